//! What a delay is said to be, and what that rests on.

use std::fmt;

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

use crate::link::{Layer, Source};

/// Which part of the packets arrives within the delay.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Percentile {
    /// Half of them.
    P50,
    /// 99 of 100; what delay classes are judged on.
    P99,
}

/// A percentile that no link carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a percentile is 1 to 99, got {0}")]
pub struct PercentileUnknown(pub u8);

impl TryFrom<u8> for Percentile {
    type Error = PercentileUnknown;
    /// Links carry the median and the 99th percentile. What lies between is judged by the
    /// stricter.
    fn try_from(percent: u8) -> Result<Self, PercentileUnknown> {
        match percent {
            1..=50 => Ok(Self::P50),
            51..=99 => Ok(Self::P99),
            0 | 100.. => Err(PercentileUnknown(percent)),
        }
    }
}

/// What a delay rests on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Measured one way with synchronised clocks.
    OneWayMeasured,
    /// A whole measured round trip, which the one-way delay cannot exceed.
    RoundTripBound,
    /// Half of a measured round trip: an estimate, as the directions may differ.
    RoundTripHalf,
    /// A published figure.
    Published,
    /// A formula over the distance.
    Modelled,
}

impl Basis {
    /// Is it an estimate that no promise may rest on alone?
    pub const fn is_estimate(self) -> bool {
        match self {
            Self::OneWayMeasured | Self::RoundTripBound | Self::Published => false,
            Self::RoundTripHalf | Self::Modelled => true,
        }
    }
    /// For people, in a sentence's end.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::OneWayMeasured => "measured one way",
            Self::RoundTripBound => "bounded by a measured round trip",
            Self::RoundTripHalf => "estimated as half of a measured round trip",
            Self::Published => "published",
            Self::Modelled => "modelled from the distance",
        }
    }
}

/// A one-way delay with its provenance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DelayEstimate {
    /// One way.
    pub span: Span,
    /// What it rests on.
    pub basis: Basis,
    /// What carries the bits.
    pub layer: Layer,
    /// Who says so.
    pub source: Source,
    /// When it was measured or published; a model has no date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Time>,
}

impl fmt::Display for DelayEstimate {
    /// `10.4 ms, measured one way (private_ip)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} ({})", Millis(self.span), self.basis.describe(), self.layer)
    }
}

/// A span in milliseconds with one decimal, as delays are read. Rounded up, so that a delay over
/// a bound never looks like the bound.
pub(crate) struct Millis(pub(crate) Span);

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = self.0.micros().div_euclid(100) + i64::from(self.0.micros() % 100 != 0);
        if tenths % 10 == 0 {
            write!(f, "{} ms", tenths / 10)
        } else {
            write!(f, "{}.{} ms", tenths / 10, tenths % 10)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_between_are_judged_by_the_stricter() {
        assert_eq!(Percentile::try_from(50), Ok(Percentile::P50));
        assert_eq!(Percentile::try_from(51), Ok(Percentile::P99));
        assert_eq!(Percentile::try_from(99), Ok(Percentile::P99));
        assert_eq!(Percentile::try_from(0), Err(PercentileUnknown(0)));
        assert_eq!(Percentile::try_from(100), Err(PercentileUnknown(100)));
    }

    #[test]
    fn delays_read_in_milliseconds_rounded_up() {
        let check = |micros, expect: &str| {
            assert_eq!(Millis(Span::from_micros(micros)).to_string(), expect);
        };
        check(10_000, "10 ms");
        check(10_001, "10.1 ms");
        check(10_400, "10.4 ms");
        check(100, "0.1 ms");
        check(0, "0 ms");
    }
}
