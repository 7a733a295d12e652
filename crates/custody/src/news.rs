//! What is said at a sync.

use dayan_units::AttemptId;

use crate::usage::UsageRecord;

/// What is said of an attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Seen<E> {
    /// Being staged or started.
    Staging,
    /// Runs.
    Running,
    /// Ended well, asks to publish.
    Publishing,
    /// The same, and publishing takes long: its room is free.
    Lingering,
    /// Over.
    Ended(E),
}

/// What to say at one sync. Kept by the shell until the sync is answered or given up.
#[derive(Clone, PartialEq, Debug)]
pub struct News<E> {
    /// The newest revision known.
    pub revision: u64,
    /// News of attempts.
    pub reports: Vec<(AttemptId, Seen<E>)>,
    /// Usage records.
    pub usage: Vec<UsageRecord>,
}
