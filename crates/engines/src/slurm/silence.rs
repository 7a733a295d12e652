//! What runs for Slurm and says nothing: a controller that was killed, or that has lost the word of a node, may
//! have jobs running of which no process is left, until their time limits end them.
//!
//! Invariants: nobody is silent to whom this one is deaf, because the folder of news cannot be read; only what
//! Slurm has running is expected to speak, not what it has suspended, sets up or cleans up; silence ends nothing
//! before its lease, which its wrapper holds as well, where there is one.

use dayan_units::AttemptId;

use super::book::Seat;
use super::engine::SlurmEngine;
use crate::{BootTime, Outcome, StartFailure};

impl SlurmEngine {
    /// After a look at the queue: whose silence is too long?
    pub(super) fn heed_silence(&mut self, now: BootTime) {
        let pace = self.config.pace;
        let mut too_long = Vec::new();
        for (attempt, held) in self.book.live() {
            let within = if held.claimed { pace.silent_after } else { pace.begins_within };
            if let (Some(since), Some(seat), false) = (held.quiet_since, held.seat, held.silent)
                && now.since(since) >= within
            {
                too_long.push((attempt, seat));
            }
        }
        for (attempt, seat) in too_long {
            if self.is_claimed(attempt) {
                self.fell_silent(attempt);
            } else if !self.close(attempt, seat, never_began())
                && let Some(held) = self.book.live_mut(attempt)
            {
                // Found begun only now, or not to be closed yet: its silence is counted from here.
                held.quiet_since = Some(now);
            }
        }
    }

    fn fell_silent(&mut self, attempt: AttemptId) {
        let Some(held) = self.book.live_mut(attempt) else { return };
        held.silent = true;
        let end = held.lease_end;
        tracing::warn!(
            %attempt, silent_for = %self.config.pace.silent_after,
            "Slurm has it running, and it says nothing; it is over when its lease is"
        );
        self.due(end);
    }

    /// Takes from Slurm what it has running for nobody.
    pub(super) fn drop_silent(&mut self, attempt: AttemptId, seat: Seat) {
        let Some(held) = self.book.get(attempt).filter(|held| held.silent) else { return };
        let runs_as = held.under.unwrap_or(seat.index);
        let target = self.book.batches.get(&seat.batch).and_then(|b| b.target(runs_as));
        self.cancels.extend(target);
    }
}

fn never_began() -> Outcome {
    let why = "Slurm has it running, and nothing of it has begun: a job of which no process is left, or a \
               prolog of more than a quarter of an hour";
    Outcome::StartFailed(StartFailure::Other(why.to_owned()))
}
