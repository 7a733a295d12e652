//! The two ends of a lease: when the agent must have stopped, and when the exchange may give the
//! task to another. Both are derived here so that the first always lies before the second.

use serde::{Deserialize, Serialize};

use crate::Span;

/// A moment on a clock that runs through suspend (CLOCK_BOOTTIME), in microseconds since boot.
/// Comparable only within one boot.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct BootTime(pub i64);

impl BootTime {
    /// This moment and a span.
    #[must_use]
    pub const fn plus(self, span: Span) -> Self {
        Self(self.0.saturating_add(span.micros()))
    }
    /// How long since `earlier`.
    pub const fn since(self, earlier: Self) -> Span {
        Span::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Two quartz clocks drift apart by at most 200 ppm or so; a hundredth is fifty times that, and
/// leaves room for a loaded machine to act on its timer.
const DRIFT_DIVISOR: i64 = 100;
/// The least margin: a timer may fire late by scheduling, and a killed process takes a moment to
/// be gone.
const MARGIN_MIN: Span = Span::from_millis(500);

fn margin(keep: Span) -> Span {
    let drift = Span::from_micros(keep.micros() / DRIFT_DIVISOR);
    if drift > MARGIN_MIN { drift } else { MARGIN_MIN }
}

/// When the agent ends a task whose lease was renewed by a sync sent at `sent_at`.
pub fn lease_end(sent_at: BootTime, keep: Span) -> BootTime {
    let usable = keep.minus(margin(keep));
    // A lease shorter than its margin still gets half of itself.
    let usable = if usable.micros() < keep.micros() / 2 {
        Span::from_micros(keep.micros() / 2)
    } else {
        usable
    };
    sent_at.plus(usable)
}

/// How long after the last sync it *received* the exchange waits before it gives the task to
/// another: the lease and its margin again, and the grace in which a stopped task may die.
pub fn lost_after(keep: Span, grace: Span) -> Span {
    keep.plus(margin(keep)).plus(grace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// The sync is received after it was sent; the clocks run apart by up to 0.1 %.
        #[test]
        fn the_agent_stops_before_the_exchange_gives_away(
            keep in 1_000_000i64..10_000_000_000,
            delay in 0i64..60_000_000,
            drift_ppm in -1_000i64..1_000,
        ) {
            let keep = Span::from_micros(keep);
            let agent_stops = lease_end(BootTime(0), keep).0;
            let exchange_gives = delay + lost_after(keep, Span::ZERO).micros();
            let agent_stops_in_exchange_time = agent_stops + agent_stops * drift_ppm / 1_000_000;
            prop_assert!(agent_stops_in_exchange_time < exchange_gives);
        }
    }
}
