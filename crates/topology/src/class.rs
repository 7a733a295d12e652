//! Delay classes: what a consumer may ask for and a pool must keep.
//!
//! A class bounds the one-way delay. It holds where evidence says so at the percentile asked for:
//! a one-way measurement, a published figure, a model, or a whole measured round trip. Half of a
//! round trip is named in the refusal as an estimate and proves nothing.

use std::fmt;
use std::str::FromStr;

use dayan_units::Span;
use serde::{Deserialize, Serialize};

use crate::delay::{DelayEstimate, Millis};
use crate::place::PlaceId;

/// A bound on one-way delay by name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum DelayClass {
    /// Inside of a cluster; 3 ms unless configured otherwise.
    T1,
    /// To neighbouring provinces; 10 ms.
    T2,
    /// To the coast; 20 ms.
    T3,
}

/// A text that names no class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no delay class; there are T1, T2 and T3")]
pub struct ClassUnknown(pub String);

impl DelayClass {
    /// All of them, the strictest first.
    pub const ALL: [Self; 3] = [Self::T1, Self::T2, Self::T3];
}

impl fmt::Display for DelayClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::T1 => "T1",
            Self::T2 => "T2",
            Self::T3 => "T3",
        })
    }
}
impl FromStr for DelayClass {
    type Err = ClassUnknown;
    fn from_str(text: &str) -> Result<Self, ClassUnknown> {
        Self::ALL
            .into_iter()
            .find(|class| class.to_string().eq_ignore_ascii_case(text.trim()))
            .ok_or_else(|| ClassUnknown(text.chars().take(40).collect()))
    }
}

/// The bounds of the classes, in ascending order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelayClasses {
    /// Bound of T1.
    pub t1: Span,
    /// Bound of T2.
    pub t2: Span,
    /// Bound of T3.
    pub t3: Span,
}

impl Default for DelayClasses {
    /// The three tiers of the network this is modelled on.
    fn default() -> Self {
        Self { t1: Span::from_millis(3), t2: Span::from_millis(10), t3: Span::from_millis(20) }
    }
}

impl DelayClasses {
    /// The longest one-way delay the class allows.
    pub const fn bound(&self, class: DelayClass) -> Span {
        match class {
            DelayClass::T1 => self.t1,
            DelayClass::T2 => self.t2,
            DelayClass::T3 => self.t3,
        }
    }
    /// The strictest class that a delay keeps.
    pub fn strictest(&self, delay: Span) -> Option<DelayClass> {
        DelayClass::ALL.into_iter().find(|class| delay <= self.bound(*class))
    }
}

/// Why a class does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The best evidence is over the bound.
    #[error("{from} to {to} takes {}; {class} allows {}", .got, Millis(*.bound))]
    OverBound {
        /// The worst of the origins.
        from: PlaceId,
        /// Where the work would run.
        to: PlaceId,
        /// The class asked for.
        class: DelayClass,
        /// What it allows.
        bound: Span,
        /// What was found.
        got: DelayEstimate,
    },
    /// Only round trips are measured, and the whole round trip is over the bound.
    #[error(
        "{from} to {to}: the measured round trip of {} does not prove the {} that {class} allows \
         (half of it, an estimate: {})",
        Millis(*.round_trip), Millis(*.bound), Millis(*.half_estimate)
    )]
    NotProven {
        /// The worst of the origins.
        from: PlaceId,
        /// Where the work would run.
        to: PlaceId,
        /// The class asked for.
        class: DelayClass,
        /// What it allows.
        bound: Span,
        /// The whole round trip.
        round_trip: Span,
        /// Half of it, an estimate.
        half_estimate: Span,
    },
    /// A class without places to count from.
    #[error("a delay class needs at least one place to count from")]
    NoOrigin,
}

impl Reason {
    /// Stable code of this refusal.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OverBound { .. } => "topology.delay_over_bound",
            Self::NotProven { .. } => "topology.delay_not_proven",
            Self::NoOrigin => "topology.no_origin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_by_name_and_by_delay() {
        assert_eq!("T2".parse(), Ok(DelayClass::T2));
        assert_eq!(" t1 ".parse(), Ok(DelayClass::T1));
        assert!("T4".parse::<DelayClass>().is_err());
        let classes = DelayClasses::default();
        let check = |micros, expect| {
            assert_eq!(classes.strictest(Span::from_micros(micros)), expect, "{micros}");
        };
        check(3_000, Some(DelayClass::T1));
        check(3_001, Some(DelayClass::T2));
        check(20_000, Some(DelayClass::T3));
        check(20_001, None);
    }
}
