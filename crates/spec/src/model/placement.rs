//! Where a job may run.

use serde::{Deserialize, Serialize};

use super::choice::{DelayClass, OnBreach, Trust};
use super::name::{Place, ProviderRef};

/// What the job asks of the network.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Network {
    /// A bound on delay.
    pub delay: DelayAsk,
}

/// A class of one-way delay from each of some places.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DelayAsk {
    /// The bound.
    pub class: DelayClass,
    /// From where; each of them must be inside the class.
    pub from: Vec<Place>,
    /// Which percentile of the delay is judged.
    pub percentile: u8,
    /// What to do when it is left.
    pub on_breach: OnBreach,
}

impl DelayAsk {
    /// The percentile that is judged where none is given, as the delay classes are defined.
    pub const DEFAULT_PERCENTILE: u8 = 99;
}

/// Which places are allowed. Empty lists do not restrict.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Placement {
    /// Regions (provinces) of which the site must be in one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Only hardware of domestic makers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub domestic: bool,
    /// Which providers.
    #[serde(default, skip_serializing_if = "Providers::is_any")]
    pub providers: Providers,
    /// How much must be known of the hardware.
    pub trust: Trust,
    /// Sites by id or name, of which it must be one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<String>,
    /// What each node must have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

impl Default for Placement {
    fn default() -> Self {
        Self {
            regions: Vec::new(),
            domestic: false,
            providers: Providers::default(),
            trust: Trust::Listed,
            sites: Vec::new(),
            features: Vec::new(),
        }
    }
}

/// Which providers may run the job.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub struct Providers {
    /// If not empty, only these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<ProviderRef>,
    /// Not these, also when allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<ProviderRef>,
}

impl Providers {
    /// Is nobody left out?
    pub fn is_any(&self) -> bool {
        self.allow.is_empty() && self.deny.is_empty()
    }
}
