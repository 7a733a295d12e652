//! What a world came to.

use std::collections::BTreeMap;

use dayan_units::{Micro, Span};
use serde::Serialize;

use crate::audit::Violation;

/// What a world came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Virtual time that has passed.
    pub lasted: Span,
    /// Jobs that were accepted.
    pub jobs: u64,
    /// Of those, runs of schedules.
    pub runs: u64,
    /// Attempts that have ended.
    pub attempts: u64,
    /// Of those, billed at least in part.
    pub billed: u64,
    /// Of those, not billed or not to their end.
    pub waived: u64,
    /// Attempts that were taken back for others.
    pub preempted: u64,
    /// Jobs that were promised their deadline.
    pub promised: u64,
    /// Tasks of them that got their lease in time.
    pub in_time: u64,
    /// And too late.
    pub late: u64,
    /// Leases that held licences.
    pub licensed: u64,
    /// Programs that began with inputs of theirs fetched, or found in their site's cache.
    pub staged: u64,
    /// What consumers spent.
    pub spent: Micro,
    /// Of it, what providers earned.
    pub earned: Micro,
    /// How attempts ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// Batches that were committed.
    pub batches: u64,
    /// Syncs that were sent.
    pub syncs: u64,
    /// Faults that struck.
    pub faults: u64,
    /// Commands that were refused, by code.
    pub refusals: BTreeMap<String, u64>,
    /// What was found about agents, by code.
    pub findings: BTreeMap<String, u64>,
    /// SHA-256 of the journal, in hexadecimal: the same for the same seed.
    pub journal: String,
    /// What must not be.
    #[serde(skip)]
    pub violations: Vec<Violation>,
}
