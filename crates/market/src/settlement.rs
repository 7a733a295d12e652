//! How much is held for a lease, how far that reaches, and when the next step is due.
//!
//! A lease is cut into settlement windows counted from its start. What is held for it always
//! covers the window it is in; a lead before the window ends the hold is extended to cover the
//! next, and when it ends what was used is captured. No hold reaches beyond the time limit. All
//! amounts are cumulative over the lease: what a step has to add is what should be there by now
//! less what is, so a step that is late, repeated or left out changes no sum.
//!
//! Invariant: with the hold prolonged as told, every capture finds enough held. The rules do not
//! know what happens when a prolongation is refused (notice, grace, stop: the exchange's part).

use dayan_units::{Micro, Resources, Span, Time};
use serde::{Deserialize, Serialize};

use crate::rating::{RatingRefusal, Terms};

/// The rhythm of settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Settlement {
    window: Span,
    lead: Span,
}

impl Default for Settlement {
    /// An hour, as is usual for post-paid computing power; the lead is five minutes of it, the
    /// default grace of a job that is told to stop.
    fn default() -> Self {
        Self { window: Span::from_secs(3_600), lead: Span::from_secs(300) }
    }
}

/// Why a rhythm is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the lead must not be negative and the window must be longer than the lead")]
pub struct SettlementDefect;

impl SettlementDefect {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        "market.settlement_window"
    }
    /// What to do next.
    pub const fn advice(self) -> &'static str {
        "give a window such as `1h` and a lead such as `5m`"
    }
}

/// When something is to be done for a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NextDue {
    /// When what was used is to be captured: at the end of the window or of the time limit.
    pub capture_at: Time,
    /// When the hold is to be extended; `None` when it already covers the rest of the limit.
    pub prolong_at: Option<Time>,
}

impl Settlement {
    /// With that window, and a prolongation that long before its end.
    pub fn new(window: Span, lead: Span) -> Result<Self, SettlementDefect> {
        if lead < Span::ZERO || window <= lead {
            return Err(SettlementDefect);
        }
        Ok(Self { window, lead })
    }
    /// How long a window is.
    pub const fn window(&self) -> Span {
        self.window
    }
    /// How long before its end the hold is prolonged.
    pub const fn lead(&self) -> Span {
        self.lead
    }

    /// How much of a lease's time the hold should cover when it has run for `elapsed`: all windows
    /// up to the current one, the next too once its lead has begun, at most `limit`
    /// ([`Span::MAX`] for none).
    pub fn reach(&self, elapsed: Span, limit: Span) -> Span {
        let ahead = elapsed.max(Span::ZERO).plus(self.lead);
        let windows = ahead.micros() / self.window.micros();
        self.window.times(windows.saturating_add(1)).min(limit)
    }

    /// What to hold for a new lease: the price of the first window, or of the time limit where
    /// that is shorter.
    pub fn first_hold(
        &self,
        terms: &Terms,
        resources: &Resources,
        limit: Span,
    ) -> Result<Micro, RatingRefusal> {
        terms.price(resources, self.reach(Span::ZERO, limit))
    }

    /// By how much the hold is to be extended for a lease that has run for `elapsed` and for which
    /// `held` was held in total, captured or not; zero for not at all.
    pub fn prolongation(
        &self,
        terms: &Terms,
        resources: &Resources,
        elapsed: Span,
        limit: Span,
        held: Micro,
    ) -> Result<Micro, RatingRefusal> {
        let should = terms.price(resources, self.reach(elapsed, limit))?;
        Ok(should.saturating_sub(held).max(Micro::ZERO))
    }

    /// The next moments after `now` at which something is due for a lease that began at `start`.
    /// At the end of the time limit only a last capture is; after it, none before the lease ends.
    pub fn next(&self, start: Time, now: Time, limit: Span) -> NextDue {
        let elapsed = now.since(start).max(Span::ZERO);
        let window = self.window.micros();
        let boundary = |number: i64| self.window.times(number);
        let capture_after = boundary((elapsed.micros() / window).saturating_add(1)).min(limit);
        let capture_at =
            if capture_after > elapsed { start.plus(capture_after) } else { Time::NEVER };
        let reach = self.reach(elapsed, limit);
        let prolong_at = (reach < limit).then(|| start.plus(reach).minus(self.lead));
        NextDue { capture_at, prolong_at }
    }
}
