//! What ended attempts teach about run times, and what is expected of a job when it comes.
//!
//! Invariant: only what a task took that ended by itself is learned; a run that was cut short by
//! anybody else says nothing of the next one.

use dayan_schedule::order::{Forecast, Width};
use dayan_units::{Span, Time, UserId};
use sha2::{Digest as _, Sha256};

use crate::command::Outcome;
use crate::event::Line;
use crate::state::{Lease, SpecKey, StoredSpec, Work};

/// What is known of a task before it runs, where anything is.
pub(super) struct Foreseen {
    pub expected: Option<Span>,
    pub at_least: Option<Span>,
}

impl Work {
    /// This user submits this file: what to expect of its tasks. What is short is kept in mind.
    pub(super) fn foresee(&mut self, by: UserId, spec: SpecKey, at: Time) -> Foreseen {
        let stored = &self.specs[&spec];
        let forecast = forecast(by, stored);
        let expected = self.learned.expect(&forecast);
        let together = stored.spec.gang.as_ref().map_or(1, |gang| u64::from(gang.nodes));
        let takes = stored.resources.checked_mul(together).unwrap_or(stored.resources);
        self.short.came(at, &takes, expected.unwrap_or(forecast.limit));
        Foreseen { expected, at_least: self.shortest.at_least(&forecast) }
    }

    /// An attempt has ended.
    pub(super) fn learn(&mut self, lease: &Lease, outcome: &Outcome, line: Option<&Line>) {
        let own = match outcome {
            Outcome::Exited { .. }
            | Outcome::Signalled { .. }
            | Outcome::OutOfMemory
            | Outcome::TimeLimit => lease.stop.is_none(),
            Outcome::Stopped
            | Outcome::LeaseEnded
            | Outcome::NodeFailure
            | Outcome::Preempted
            | Outcome::SiteLost
            | Outcome::StartFailed { .. }
            | Outcome::PublishFailed { .. } => false,
        };
        let counted = Span::from_micros(lease.usage.counters.wall_us);
        let ran = line.map_or(lease.billed, |line| line.to).max(counted);
        if !own || ran <= Span::ZERO {
            return;
        }
        let job = &self.jobs[&lease.attempt.job];
        let forecast = forecast(job.by, self.spec_of(job));
        self.learned.ended(&forecast, ran);
        self.shortest.ended(&forecast, ran);
    }
}

fn forecast(by: UserId, stored: &StoredSpec) -> Forecast {
    Forecast {
        user: Some(by.bits()),
        program: Some(program(&stored.spec.run)),
        width: Width::of(&stored.resources),
        limit: stored.spec.resources.time,
    }
}

/// How many words of a command say which program it is: an interpreter and its script.
const PROGRAM_WORDS: usize = 2;

fn program(run: &str) -> u64 {
    let mut hash = Sha256::new();
    for word in run.split_whitespace().take(PROGRAM_WORDS) {
        hash.update(word);
        hash.update([0]);
    }
    let digest: [u8; 32] = hash.finalize().into();
    u64::from_be_bytes(digest[..8].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::program;

    #[test]
    fn a_program_is_its_first_two_words() {
        assert_eq!(program("python train.py --seed 1"), program("python  train.py --seed 2"));
        assert_ne!(program("python train.py"), program("python score.py"));
        assert_ne!(program("ab c"), program("a bc"));
    }
}
