//! The operator's knobs, all published: what a plan looks at first, how many waiting jobs are
//! protected, how much a round may do.

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
    /// Grams of CO₂ for a kilowatt-hour, the building's overhead included; unknown is worst.
    Carbon,
    /// Attempts that do not end as they should.
    Reliability,
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
        }
    }
}
