//! The operator's knobs, all published: what a plan looks at first, how many waiting jobs are
//! protected, how much a round may do.

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

/// A count of elementary steps (jobs looked at, pools tried, index cells read), never a clock: the
/// same inputs stop at the same place on every machine.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Work(pub u64);

impl Work {
    /// No bound.
    pub const UNBOUNDED: Self = Self(u64::MAX);
    /// A round of the live exchange.
    pub const LIVE_ROUND: Self = Self(500_000);
}

/// What a choice between pools is made by. In each, less is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preference {
    /// The cost of a task at its time limit.
    Price,
    /// The time until it can start where there is room: moving its data there.
    Start,
    /// As `start`: between pools with room the earliest end is the earliest start.
    Deadline,
    /// The longest one-way delay to the places asked about, else to where its data lies.
    Delay,
    /// CO₂ for a kilowatt-hour from the start to the time limit, the building's overhead included;
    /// unknown is worst.
    Carbon,
    /// Attempts that do not end as they should.
    Reliability,
}

/// How much may be taken back, and how.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PreemptionPolicy {
    /// So long after it was told to stop a lease has ended: the next sync of its agent, and the
    /// grace that a task has.
    pub notice: Span,
    /// In one pool at most so many leases are taken back within the time below.
    pub pool_max: u32,
    /// Within this time.
    pub pool_within: Span,
    /// A task is taken off at most so often in its life.
    pub task_max: u32,
    /// And not again before this has passed.
    pub task_spared: Span,
}

impl PreemptionPolicy {
    /// Half a minute's notice: an agent hears within a second and gives a task five to save what it
    /// can; the rest is for slow links. Sixteen in ten minutes: a pool whose tasks run for an hour
    /// loses no more than a hundred of them to it. A task is taken off three times in its life and
    /// then runs through, and each time has ten minutes before the next, so that it gets somewhere.
    pub const DEFAULT: Self = Self {
        notice: Span::from_secs(30),
        pool_max: 16,
        pool_within: Span::from_secs(600),
        task_max: 3,
        task_spared: Span::from_secs(600),
    };

    /// How many more leases of a pool may be taken back at a moment, after these.
    pub fn pool_left(&self, before: &[Time], now: Time) -> u32 {
        let within = before.iter().filter(|at| now.since(**at) < self.pool_within).count();
        self.pool_max.saturating_sub(u32::try_from(within).unwrap_or(u32::MAX))
    }

    /// From when on a task may be taken off that was so often, the last time then.
    pub fn task_spared_until(&self, times: u32, last: Option<Time>) -> Time {
        if times >= self.task_max {
            return Time::NEVER;
        }
        last.map_or(Time::EPOCH, |last| last.plus(self.task_spared))
    }
}

impl Default for PreemptionPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How the planner decides where the job does not say.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Policy {
    /// The order of preferences that follows the job's own. Every preference left out comes last,
    /// in the order of the enum.
    pub prefer: Vec<Preference>,
    /// How many waiting queue heads hold a reservation. Later jobs may not delay a reserved one.
    pub reservations_max: u32,
    /// How many of the first waiting jobs a plan gives reasons for.
    pub refusals_listed_max: u32,
    /// How much may be taken back.
    #[serde(default)]
    pub preemption: PreemptionPolicy,
}

impl Default for Policy {
    /// Price first. Eight reservations: one would leave a head that waits for rare cards without
    /// protection whenever another waits before it; each further one costs a search.
    fn default() -> Self {
        Self {
            prefer: vec![
                Preference::Price,
                Preference::Start,
                Preference::Reliability,
                Preference::Delay,
                Preference::Carbon,
            ],
            reservations_max: 8,
            refusals_listed_max: 64,
            preemption: PreemptionPolicy::DEFAULT,
        }
    }
}
