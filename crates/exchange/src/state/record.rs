//! How reliable a pool has been: what became of the attempts it was given, the newest counting most.
//!
//! Invariants: made of ended attempts alone; the value that others see moves in steps, so that it is
//! told again only when it says something new; what the tasks of one project had a part in lowers it by a
//! twentieth at most, whatever they do.

use std::collections::BTreeMap;

use dayan_units::ProjectId;
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
/// Starts and publications that failed by the site's fault count for one project up to this part of what is
/// remembered, and one always. With the prior that is a twentieth of the value at most: a pool that fails
/// everybody is still seen to, by a few projects; one project alone, by mistake or for sport, ruins nobody.
const PROJECT_PART: u32 = 20;

/// A pool's record.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Record {
    ended: u32,
    failed: u32,
    /// As others see it.
    pub permille: u32,
    /// Did the newest attempt change that?
    pub moved: bool,
    /// Of those failed, the starts and publications of each project.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    by: BTreeMap<ProjectId, u32>,
}

impl Default for Record {
    fn default() -> Self {
        Self { ended: 0, failed: 0, permille: PRIOR_PERMILLE, moved: false, by: BTreeMap::new() }
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

/// Does the job stay away from the provider for a while? It failed, or what its site wanted the room for a
/// moment ago wants it still. What a pool has not keeps off only the task that asks for it, and only there.
pub const fn sends_elsewhere(outcome: &Outcome) -> bool {
    is_pools_fault(outcome) || matches!(outcome, Outcome::Preempted)
}

/// What a task asks for and the pool has not, in its words; none where it was started. It has it not the next
/// time either, and another may.
pub fn not_there(outcome: &Outcome) -> Option<&str> {
    match outcome {
        Outcome::StartFailed { reason, blame: Blame::Job, for_good: false, .. } => Some(reason),
        _ => None,
    }
}

/// Was it the pool's fault, of a kind that a job's own words can bring about where they are read wrongly?
const fn had_a_part(outcome: &Outcome) -> bool {
    is_pools_fault(outcome)
        && matches!(outcome, Outcome::StartFailed { .. } | Outcome::PublishFailed { .. })
}

impl Record {
    /// Attempts counted, and those of them that the pool failed.
    pub const fn counts(&self) -> (u32, u32) {
        (self.ended, self.failed)
    }

    pub(crate) fn count(&mut self, outcome: &Outcome, project: ProjectId) {
        if had_a_part(outcome) {
            let most = (self.ended / PROJECT_PART).max(1);
            let of_project = self.by.entry(project).or_default();
            if *of_project >= most {
                // It says nothing new of the pool.
                self.moved = false;
                return;
            }
            *of_project += 1;
        }
        self.ended += 1;
        self.failed += u32::from(is_pools_fault(outcome));
        if self.ended >= REMEMBERED {
            self.ended /= 2;
            self.failed /= 2;
            self.by.retain(|_, count| {
                *count /= 2;
                *count > 0
            });
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

    use proptest::prelude::*;

    /// Not started, by the site's fault as it was said.
    fn not_started() -> Outcome {
        Outcome::StartFailed {
            reason: "no".to_owned(),
            blame: Blame::Site,
            for_good: false,
            status: None,
        }
    }

    const ONE: ProjectId = ProjectId::from_bits(1);

    proptest! {
        /// Whatever a project does among the attempts of others, the pool is good for those.
        #[test]
        fn one_project_lowers_a_good_pool_by_a_twentieth_at_most(
            turns in prop::collection::vec((any::<bool>(), 1..400_u32), 1..40),
        ) {
            let mut record = Record::default();
            for (others, times) in turns {
                for _ in 0..times {
                    if others {
                        record.count(&Outcome::Exited { code: 0 }, ProjectId::from_bits(2));
                    } else {
                        record.count(&not_started(), ONE);
                    }
                    prop_assert!(record.permille >= PRIOR_PERMILLE - 50 - STEP_PERMILLE, "{record:?}");
                }
            }
        }
    }

    #[test]
    fn a_pool_that_fails_everybody_is_seen_to() {
        let mut record = Record::default();
        for project in 1..=20 {
            for _ in 0..5 {
                record.count(&not_started(), ProjectId::from_bits(project));
            }
        }
        assert!(record.permille < 550, "{record:?}");
        assert_eq!(record.counts().0, record.counts().1, "none of them ran");
    }

    #[test]
    fn failures_of_the_pool_count_and_are_forgotten_with_time() {
        let mut record = Record::default();
        let mut moves = 0;
        let mut count = |record: &mut Record, outcome: &Outcome, times: u32| {
            for _ in 0..times {
                record.count(outcome, ONE);
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
