//! How many deadlines were met and missed, by their kind. What its own people cancelled counts as
//! neither.

use dayan_spec::DeadlineKind;
use serde::{Deserialize, Serialize};

/// Jobs that have ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Kept {
    /// In time, and well.
    pub met: u64,
    /// Later, or badly.
    pub missed: u64,
}

/// Of all jobs that had one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Deadlines {
    /// Those that were wishes.
    pub soft: Kept,
    /// Those that were promised.
    pub hard: Kept,
}

impl Deadlines {
    /// A job with one has ended.
    pub fn count(&mut self, kind: DeadlineKind, met: bool) {
        let kept = match kind {
            DeadlineKind::Soft => &mut self.soft,
            DeadlineKind::Hard => &mut self.hard,
        };
        let counter = if met { &mut kept.met } else { &mut kept.missed };
        *counter += 1;
    }
}
