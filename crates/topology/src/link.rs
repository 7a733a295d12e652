//! Links between places, as somebody measured, published or modelled them.
//!
//! Invariant: a link that is in a topology could exist: its percentiles are in order, it is not
//! faster than light, and one that never left a machine stays inside of one place.

use std::fmt;

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

use crate::delay::Percentile;
use crate::place::PlaceId;

/// What the two percentiles of a link are percentiles of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// From the first place to the second; needs synchronised clocks at both ends.
    OneWay,
    /// There and back; says nothing of how the two directions share it.
    RoundTrip,
}

/// What carries the bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layer {
    /// An optical circuit (OTN).
    Optical,
    /// The exchange's own or a leased IP network.
    PrivateIp,
    /// The public Internet.
    PublicIp,
    /// Inside of one machine. Never describes a link between places.
    Loopback,
}

impl Layer {
    /// In which order layers are asked when nobody says otherwise: what most sites are reached by
    /// first.
    pub const DEFAULT_ORDER: &'static [Self] = &[Self::PrivateIp, Self::Optical, Self::PublicIp];

    /// Its name as the API writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Optical => "optical",
            Self::PrivateIp => "private_ip",
            Self::PublicIp => "public_ip",
            Self::Loopback => "loopback",
        }
    }
}
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Where a figure comes from, the most trusted first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Our own probes.
    Measured,
    /// A public statement by the operator of the network.
    Published,
    /// A formula over the distance.
    Modelled,
}

impl Source {
    /// Its name as the API writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Measured => "measured",
            Self::Published => "published",
            Self::Modelled => "modelled",
        }
    }
}
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is known of the way from one place to another on one layer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Where the bits start.
    pub from: PlaceId,
    /// Where they arrive (and, for a round trip, turn).
    pub to: PlaceId,
    /// One way or there and back.
    pub kind: LinkKind,
    /// What carries them.
    pub layer: Layer,
    /// Who says so.
    pub source: Source,
    /// Median delay.
    pub p50: Span,
    /// 99th percentile of the delay.
    pub p99: Span,
    /// Throughput of one flow in bit/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bps: Option<u64>,
    /// When it was measured or published.
    pub as_of: Time,
    /// For how long after that it holds.
    pub ttl: Span,
}

/// Why a link cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// Negative or zero delay, or a 99th percentile under the median.
    #[error("delays of p50 {p50} and p99 {p99} are not possible")]
    Percentiles {
        /// The median.
        p50: Span,
        /// The 99th percentile.
        p99: Span,
    },
    /// Holds for no time at all.
    #[error("a link needs a positive time to live, got {0}")]
    Ttl(Span),
    /// No bits can pass.
    #[error("a bandwidth of zero is no link")]
    Bandwidth,
    /// Measured inside of one machine, claimed for two places.
    #[error("a loopback probe says nothing about the way from {from} to {to}")]
    Loopback {
        /// Claimed start.
        from: PlaceId,
        /// Claimed end.
        to: PlaceId,
    },
    /// Under the time light needs in vacuum.
    #[error("{p50} from {from} to {to} would be faster than light ({least})")]
    FasterThanLight {
        /// Claimed start.
        from: PlaceId,
        /// Claimed end.
        to: PlaceId,
        /// Claimed median.
        p50: Span,
        /// The least that is possible.
        least: Span,
    },
}

impl LinkError {
    /// Stable code of this refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Percentiles { .. } => "topology.percentiles",
            Self::Ttl(_) => "topology.ttl",
            Self::Bandwidth => "topology.bandwidth",
            Self::Loopback { .. } => "topology.loopback",
            Self::FasterThanLight { .. } => "topology.faster_than_light",
        }
    }
}

/// What became of a link that was handed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Upsert {
    /// Nothing was known of this way on this layer by this source.
    Inserted,
    /// It replaced an older figure.
    Replaced,
    /// A figure of the same time or newer was there; nothing changed.
    Kept,
}

/// Light in vacuum takes 3.33564 µs for a kilometre; in nanoseconds, rounded down.
const LIGHT_NS_PER_KM: u64 = 3_335;
/// Coordinates are those of a city's centre; a site may stand 50 km from it, at either end.
const SITE_SCATTER_M: u64 = 100_000;

impl Link {
    /// The delay at that percentile, as the link's kind counts it.
    pub const fn at(&self, percentile: Percentile) -> Span {
        match percentile {
            Percentile::P50 => self.p50,
            Percentile::P99 => self.p99,
        }
    }

    /// Does it hold at that moment? One dated in the future does not hold yet.
    pub fn is_fresh(&self, now: Time) -> bool {
        self.as_of <= now && now < self.as_of.plus(self.ttl)
    }

    /// Could it be true?
    pub fn validate(&self) -> Result<(), LinkError> {
        if self.p50 <= Span::ZERO || self.p99 < self.p50 {
            return Err(LinkError::Percentiles { p50: self.p50, p99: self.p99 });
        }
        if self.ttl <= Span::ZERO {
            return Err(LinkError::Ttl(self.ttl));
        }
        if self.bandwidth_bps == Some(0) {
            return Err(LinkError::Bandwidth);
        }
        if self.layer == Layer::Loopback && self.from != self.to {
            return Err(LinkError::Loopback { from: self.from, to: self.to });
        }
        let least = self.least_possible();
        if self.p50 < least {
            let Self { from, to, p50, .. } = *self;
            return Err(LinkError::FasterThanLight { from, to, p50, least });
        }
        Ok(())
    }

    fn least_possible(&self) -> Span {
        let metres = self.from.metres_to(self.to).saturating_sub(SITE_SCATTER_M);
        let micros = metres * LIGHT_NS_PER_KM / 1_000_000;
        let one_way = Span::from_micros(i64::try_from(micros).expect("light circles Earth in ms"));
        match self.kind {
            LinkKind::OneWay => one_way,
            LinkKind::RoundTrip => one_way.times(2),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A plausible measured link for tests to bend.
    pub(crate) fn measured(from: &str, to: &str, kind: LinkKind, p50_ms: i64, p99_ms: i64) -> Link {
        Link {
            from: from.parse().expect("a place"),
            to: to.parse().expect("a place"),
            kind,
            layer: Layer::PrivateIp,
            source: Source::Measured,
            p50: Span::from_millis(p50_ms),
            p99: Span::from_millis(p99_ms),
            bandwidth_bps: None,
            as_of: Time::EPOCH,
            ttl: Span::from_secs(600),
        }
    }

    #[test]
    fn impossible_links_are_refused() {
        let good = measured("Guiyang", "Shenzhen", LinkKind::OneWay, 9, 11);
        assert_eq!(good.validate(), Ok(()));
        let check = |bend: fn(&mut Link), code: &str| {
            let mut link = good.clone();
            bend(&mut link);
            assert_eq!(link.validate().expect_err(code).code(), code);
        };
        check(|l| l.p50 = Span::ZERO, "topology.percentiles");
        check(|l| l.p99 = Span::from_millis(8), "topology.percentiles");
        check(|l| l.ttl = Span::ZERO, "topology.ttl");
        check(|l| l.bandwidth_bps = Some(0), "topology.bandwidth");
        check(|l| l.layer = Layer::Loopback, "topology.loopback");
        check(|l| l.p50 = Span::from_millis(1), "topology.faster_than_light");
        // 4 ms would do for one way over 840 km and is too fast for there and back.
        let mut link = measured("Guiyang", "Shenzhen", LinkKind::OneWay, 4, 11);
        assert_eq!(link.validate(), Ok(()));
        link.kind = LinkKind::RoundTrip;
        assert_eq!(link.validate().expect_err("fast").code(), "topology.faster_than_light");
    }

    #[test]
    fn freshness_ends_with_the_ttl_and_starts_with_the_date() {
        let mut link = measured("Guiyang", "Shenzhen", LinkKind::OneWay, 9, 11);
        link.as_of = Time::from_micros(1_000_000);
        let check = |at_secs: i64, expect| {
            let now = Time::EPOCH.plus(Span::from_secs(at_secs));
            assert_eq!(link.is_fresh(now), expect, "{at_secs}");
        };
        check(0, false);
        check(1, true);
        check(600, true);
        check(601, false);
    }
}
