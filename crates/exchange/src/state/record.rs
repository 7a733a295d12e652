//! How reliable a pool has been: what became of the attempts it was given, the newest counting most.
//!
//! Invariant: made of ended attempts alone; the value that others see moves in steps, so that it is
//! told again only when it says something new.

use serde::{Deserialize, Serialize};

use crate::command::{Blame, Outcome};

/// From so many attempts on, both counts are halved: the last thousand or two decide.
const REMEMBERED: u32 = 1_000;
/// A pool of which nothing is known counts as if it had ended so many attempts, …
const PRIOR: u32 = 20;
/// … and failed a hundredth of them.
const PRIOR_PERMILLE: u32 = 990;
/// What others see moves in steps of a hundredth.
const STEP_PERMILLE: u32 = 10;

/// A pool's record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    ended: u32,
    failed: u32,
    /// As others see it.
    pub permille: u32,
    /// Did the newest attempt change that?
    pub moved: bool,
}

impl Default for Record {
    fn default() -> Self {
        Self { ended: 0, failed: 0, permille: PRIOR_PERMILLE, moved: false }
    }
}

/// Was it the pool that failed? A program that fails, is too large or too slow, or is taken back,
/// says nothing of where it ran.
pub const fn is_pools_fault(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::NodeFailure
        | Outcome::LeaseEnded
        | Outcome::SiteLost
        | Outcome::StartFailed { blame: Blame::Site, .. }
        | Outcome::PublishFailed { blame: Blame::Site, .. } => true,
        Outcome::Exited { .. }
        | Outcome::Signalled { .. }
        | Outcome::OutOfMemory
        | Outcome::TimeLimit
        | Outcome::Preempted
        | Outcome::Stopped
        | Outcome::StartFailed { blame: Blame::Job, .. }
        | Outcome::PublishFailed { blame: Blame::Job, .. } => false,
    }
}

/// Does the job stay away from the provider for a while? What it asks for may be there elsewhere; and
/// what its site wanted the room for a moment ago wants it still.
pub const fn sends_elsewhere(outcome: &Outcome) -> bool {
    is_pools_fault(outcome) || matches!(outcome, Outcome::StartFailed { .. } | Outcome::Preempted)
}

impl Record {
    /// Attempts counted, and those of them that the pool failed.
    pub const fn counts(&self) -> (u32, u32) {
        (self.ended, self.failed)
    }

    pub(crate) fn count(&mut self, outcome: &Outcome) {
        self.ended += 1;
        self.failed += u32::from(is_pools_fault(outcome));
        if self.ended >= REMEMBERED {
            self.ended /= 2;
            self.failed /= 2;
        }
        let good = (self.ended - self.failed) * 1_000 + PRIOR * PRIOR_PERMILLE;
        let exact = good / (self.ended + PRIOR);
        // A value at the edge of a step would move with every attempt.
        self.moved = exact.abs_diff(self.permille) >= STEP_PERMILLE;
        if self.moved {
            self.permille = exact;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_pool_count_and_are_forgotten_with_time() {
        let mut record = Record::default();
        let mut moves = 0;
        let mut count = |record: &mut Record, outcome: &Outcome, times: u32| {
            for _ in 0..times {
                record.count(outcome);
                moves += u32::from(record.moved);
            }
            record.permille
        };
        assert_eq!(count(&mut record, &Outcome::Exited { code: 1 }, 100), 990);
        let failing = count(&mut record, &Outcome::NodeFailure, 20);
        assert!((845..=865).contains(&failing), "{failing}");
        let better = count(&mut record, &Outcome::Exited { code: 0 }, 400);
        assert!((950..=970).contains(&better), "{better}");
        let good = count(&mut record, &Outcome::Exited { code: 0 }, 4_000);
        assert!(good >= 985, "{good}");
        assert!(moves < 60, "told {moves} times for 4,520 attempts");
    }
}
