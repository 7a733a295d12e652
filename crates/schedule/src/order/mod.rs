//! The order among equals: which of the jobs that wait for one machine starts next.
//!
//! Everything here is one resource wide (processors of a machine, nodes of a bay) and counts in
//! whole seconds, because bounded slowdown, by which orders are compared, is defined in seconds.
//! Invariant: a function of its arguments; what a job *will* take is never an argument, only its
//! limit and what was learned from jobs that ended. It must not know pools, prices or priorities:
//! those are settled before two jobs are equals.

mod due;
mod pass;
mod predict;
mod recent;
mod room;
mod rules;
mod timeline;

pub use due::{BEHIND_MAX, OVERTAKEN_MAX, Width, by_due, due, due_at, due_now, patience, start_by};
pub use pass::{Backfill, Fill, Pass};
pub use predict::{Alike, Forecast, LastTwo};
pub use room::{Keeps, SHORT, ShortJobs, ShortWork, Shortest};
pub use rules::Rule;
pub use timeline::Timeline;

/// A job that waits, as an order sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Waiting {
    /// Its number, by which the caller knows it again; among jobs submitted in the same second the
    /// lower one is the older.
    pub key: u32,
    /// When it was submitted, in seconds.
    pub submitted: i64,
    /// How many processors it takes, one or more.
    pub width: i64,
    /// The user's limit on its run time, in seconds: the bound that reservations keep to.
    pub limit: i64,
    /// How long it is expected to run, in seconds, not above the limit.
    pub expected: i64,
}

/// A job that runs, as an order sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Running {
    /// Its number.
    pub key: u32,
    /// How many processors it gives back.
    pub width: i64,
    /// When it started, in seconds.
    pub started: i64,
    /// When its limit ends it, in seconds.
    pub limit: i64,
    /// When it is expected to end, in seconds, not after its limit.
    pub expected: i64,
}

/// Below this run time, in seconds, a slowdown counts as if the job had run that long (Feitelson
/// and Rudolph, JSSPP 1998): a job of one second that waits for ten is not ten times worse off.
pub const SLOWDOWN_FLOOR_S: i64 = 10;

/// Bounded slowdown: `max(1, (wait + run) / max(run, 10 s))`.
pub fn bounded_slowdown(wait: i64, run: i64) -> f64 {
    ((wait + run) as f64 / run.max(SLOWDOWN_FLOOR_S) as f64).max(1.0)
}
