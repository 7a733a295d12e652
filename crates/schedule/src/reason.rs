//! Why a pool does not take a job: one stable dotted code each, with a sentence that carries the
//! values. Codes are what scripts match; sentences may improve.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// The stable code of a refusal, in the order the checks are made.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum ReasonCode { $($(#[$doc])* $name,)* }

        impl ReasonCode {
            /// All codes, in the order the checks are made.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];
            /// The dotted text.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

codes! {
    /// The project cannot pay.
    ProjectBlocked = "project.blocked";
    /// Its project holds as much as it may at once.
    ProjectQuota = "project.quota";
    /// Its organisation holds as much as it may at once.
    OrgQuota = "org.quota";
    /// All licences that it needs are in use.
    JobLicense = "job.license";
    /// As many tasks of the job run at once as the job allows.
    JobMaxParallel = "job.max_parallel";
    /// Its moment to begin has not come.
    JobBegin = "job.begin";
    /// It waits for a cheaper hour, as it said it would.
    JobHour = "job.hour";
    /// An earlier strict job of the same project waits.
    JobStrict = "job.strict";
    /// The job is bound to a quote of another pool.
    PoolNotQuoted = "pool.not_quoted";
    /// The job excludes the provider, or the provider the organisation.
    PoolDenied = "pool.denied";
    /// An attempt failed or was refused there a short while ago.
    PoolAvoided = "pool.avoided";
    /// Not trusted enough.
    PoolTrust = "pool.trust";
    /// Not in a region that will do.
    PoolRegion = "pool.region";
    /// Not domestic.
    PoolResidence = "pool.residence";
    /// The engine lacks a feature, or the nodes do, or there is no fabric.
    PoolFeature = "pool.feature";
    /// The delay is over the bound, or unknown.
    PoolDelay = "pool.delay";
    /// No accelerator that will do.
    PoolAccelerator = "pool.accelerator";
    /// Too slow in some precision, or not known.
    PoolCapability = "pool.capability";
    /// No node is large enough, even empty; or there are too few for the gang.
    PoolNoNodeFits = "pool.no_node_fits";
    /// No offer covers it.
    PoolOffer = "pool.offer";
    /// Over the job's price cap.
    PoolPrice = "pool.price";
    /// Every node that could take it is down.
    PoolDown = "pool.down";
    /// It would fit, but others are there.
    PoolBusy = "pool.busy";
    /// It would fit now, but not until its limit: the place is promised to an appointment, or closes.
    PoolPromised = "pool.promised";
    /// It would fit now, but leave no room for short work.
    PoolKept = "pool.kept";
    /// It would fit now, but delay a job that waits before it.
    PoolReserved = "pool.reserved";
}

impl ReasonCode {
    /// The key of a job file that asks for what the rule refuses, where it is the job's to change.
    pub const fn job_key(self) -> Option<&'static str> {
        match self {
            Self::JobMaxParallel => Some("array.max_parallel"),
            Self::JobBegin => Some("begin"),
            Self::JobLicense => Some("licenses"),
            Self::JobHour => Some("prefer"),
            Self::JobStrict => Some("strict"),
            Self::PoolDenied => Some("placement.providers"),
            Self::PoolTrust => Some("placement.trust"),
            Self::PoolRegion => Some("placement.regions or placement.sites"),
            Self::PoolResidence => Some("placement.domestic"),
            Self::PoolDelay => Some("network.delay"),
            Self::PoolAccelerator => Some("resources.accelerators"),
            Self::PoolCapability | Self::PoolNoNodeFits => Some("resources"),
            Self::PoolPrice => Some("market.max_unit_price or market.max_price"),
            Self::ProjectBlocked
            | Self::ProjectQuota
            | Self::OrgQuota
            | Self::PoolNotQuoted
            | Self::PoolAvoided
            | Self::PoolFeature
            | Self::PoolOffer
            | Self::PoolDown
            | Self::PoolBusy
            | Self::PoolPromised
            | Self::PoolKept
            | Self::PoolReserved => None,
        }
    }
}

impl ReasonCode {
    /// Does time not change it? No pool that refuses by such a rule takes the job as it is.
    pub const fn is_lasting(self) -> bool {
        match self {
            Self::PoolNotQuoted
            | Self::PoolDenied
            | Self::PoolTrust
            | Self::PoolRegion
            | Self::PoolResidence
            | Self::PoolFeature
            | Self::PoolDelay
            | Self::PoolAccelerator
            | Self::PoolCapability
            | Self::PoolNoNodeFits
            | Self::PoolOffer
            | Self::PoolPrice => true,
            Self::ProjectBlocked
            | Self::ProjectQuota
            | Self::OrgQuota
            | Self::JobLicense
            | Self::JobMaxParallel
            | Self::JobBegin
            | Self::JobHour
            | Self::JobStrict
            | Self::PoolAvoided
            | Self::PoolDown
            | Self::PoolBusy
            | Self::PoolPromised
            | Self::PoolKept
            | Self::PoolReserved => false,
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
impl FromStr for ReasonCode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|code| code.as_str() == text);
        found.copied().ok_or_else(|| format!("`{text}` is no reason code"))
    }
}
impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}
impl<'de> Deserialize<'de> for ReasonCode {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A refusal as the user reads it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Reason {
    /// What scripts match.
    pub code: ReasonCode,
    /// A sentence with the values.
    pub message: String,
}

/// How many pools refuse for one reason.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct ReasonCount {
    /// The reason.
    pub code: ReasonCode,
    /// So many pools.
    pub pools: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_dotted_distinct_and_read_back() {
        for (at, code) in ReasonCode::ALL.iter().enumerate() {
            assert!(code.as_str().contains('.'));
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert!(ReasonCode::ALL[..at].iter().all(|other| other.as_str() != code.as_str()));
        }
        assert!("pool.weather".parse::<ReasonCode>().is_err());
    }
}
