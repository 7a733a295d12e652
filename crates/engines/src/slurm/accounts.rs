//! Slurm's accounting beside our own counters, once it is final.
//!
//! The wrapper's counters are what is told to the exchange: they are there at once and are whole.
//! Slurm's are written late and counted otherwise (the wrapper's own start and end are in them). A
//! difference beyond that is a finding for the operator; nothing is billed by it.

use std::collections::BTreeMap;

use dayan_units::{AttemptId, Span};

use super::book::Submission;
use super::engine::SlurmEngine;
use super::layout::Index;
use super::request::Shape;
use super::status::Account;
use super::way::Accounting;
use crate::BootTime;

/// Slurm counts whole seconds, and the wrapper's start and end: so much is no difference.
const SLACK_SECS: i64 = 5;
/// Beyond it, so much for each further task that ran in the job: from one's end to the next's start.
const BETWEEN_MILLIS: i64 = 50;
/// And so many hundredths of the time are none either.
const SLACK_PERCENT: i64 = 5;
/// Ends that are kept to be compared. More than that end within the lag only where nobody reads
/// each of them; the rest is not compared.
const KEPT_MAX: usize = 10_000;
/// How often an end is asked about that the accounting does not have: five minutes of a database that is
/// away.
const ASKED_MAX: u32 = 5;
/// Jobs asked about at once: their numbers fit any command line.
const JOBS_AT_ONCE: usize = 500;
/// Differences kept until somebody asks.
const DIFFERENCES_MAX: usize = 1_000;

/// Slurm's accounting and our counters did not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Of which attempt.
    pub attempt: AttemptId,
    /// The job in Slurm, as `sacct` names it.
    pub job: String,
    /// From start to end, as the wrapper counted it.
    pub ours: Span,
    /// The same, as Slurm counted it.
    pub theirs: Span,
}

struct Ended {
    attempt: AttemptId,
    job: u32,
    index: Index,
    /// How many ran in the job, one after the other, and how long together.
    count: u64,
    wall: Span,
    ask_at: BootTime,
    /// How often it was asked about.
    asked: u32,
}

/// What is still to be compared.
pub(super) struct Accounts {
    accounting: Accounting,
    after: Span,
    ended: Vec<Ended>,
    /// The jobs that are being asked about; none: nobody asks.
    asking: Option<Vec<u32>>,
    found: Vec<Difference>,
    compared: u64,
}

impl Accounts {
    pub(super) const fn new(accounting: Accounting, after: Span) -> Self {
        Self { accounting, after, ended: Vec::new(), asking: None, found: Vec::new(), compared: 0 }
    }

    /// What ran in the same job one after the other, Slurm counts as one.
    fn note(&mut self, ended: Ended) {
        let same = |other: &&mut Ended| (other.job, other.index) == (ended.job, ended.index);
        if let Some(before) = self.ended.iter_mut().rev().find(same) {
            before.wall = before.wall.plus(ended.wall);
            before.count += ended.count;
            before.ask_at = ended.ask_at;
            return;
        }
        if self.accounting == Accounting::Kept && self.ended.len() < KEPT_MAX {
            self.ended.push(ended);
        }
    }

    /// When there is something to ask.
    pub(super) fn due_at(&self) -> Option<BootTime> {
        let asked = self.ended.iter().map(|ended| ended.ask_at).min();
        asked.filter(|_| self.asking.is_none())
    }

    /// The jobs to ask about now; the answer goes to [`on_answer`](Self::on_answer).
    pub(super) fn jobs_to_ask(&mut self, now: BootTime) -> Option<Vec<u32>> {
        if self.due_at().is_none_or(|at| at > now) {
            return None;
        }
        let due = self.ended.iter().filter(|ended| ended.ask_at <= now).map(|ended| ended.job);
        let mut jobs: Vec<u32> = due.collect();
        jobs.sort_unstable();
        jobs.dedup();
        jobs.truncate(JOBS_AT_ONCE);
        self.asking = Some(jobs.clone());
        Some(jobs)
    }

    /// Compares what was asked.
    pub(super) fn on_answer(
        &mut self,
        answer: Result<BTreeMap<(u32, Index), Account>, String>,
        now: BootTime,
    ) {
        let asked = self.asking.take().unwrap_or_default();
        let known = match answer {
            Ok(known) => known,
            Err(why) => {
                tracing::warn!(why, "cannot read Slurm's accounting; asked again later");
                for ended in &mut self.ended {
                    ended.ask_at = ended.ask_at.max(now.plus(self.after));
                }
                return;
            }
        };
        for ended in std::mem::take(&mut self.ended) {
            if ended.ask_at > now || asked.binary_search(&ended.job).is_err() {
                self.ended.push(ended);
                continue;
            }
            // What the accounting does not know lags: it is asked about again, and in the end not compared.
            // Its word is no better than ours. A job that goes on runs another task.
            let account = known.get(&(ended.job, ended.index));
            if let Some(account) = account.filter(|account| account.state.is_over()) {
                self.compare(&ended, account);
            } else if account.is_some() || ended.asked + 1 < ASKED_MAX {
                let unknown = u32::from(account.is_none());
                let (ask_at, asked) = (now.plus(self.after), ended.asked + unknown);
                self.ended.push(Ended { ask_at, asked, ..ended });
            }
        }
    }

    fn compare(&mut self, ended: &Ended, account: &Account) {
        self.compared += ended.count;
        let ours = ended.wall.secs_ceil();
        let between = i64::try_from(ended.count).unwrap_or(i64::MAX).saturating_mul(BETWEEN_MILLIS);
        let slack = SLACK_SECS + between / 1_000;
        let slack = slack.max(ours.saturating_mul(SLACK_PERCENT) / 100);
        if (account.elapsed_secs - ours).abs() <= slack {
            return;
        }
        let difference = Difference {
            attempt: ended.attempt,
            job: format!("{}_{}", ended.job, ended.index),
            ours: ended.wall,
            theirs: Span::from_secs(account.elapsed_secs),
        };
        tracing::warn!(
            attempt = %difference.attempt,
            job = difference.job,
            ours = %difference.ours,
            slurm = %difference.theirs,
            "Slurm's accounting and the wrapper's counters differ; ours are told"
        );
        if self.found.len() < DIFFERENCES_MAX {
            self.found.push(difference);
        }
    }

    pub(super) fn differences(&mut self) -> Vec<Difference> {
        std::mem::take(&mut self.found)
    }
}

impl SlurmEngine {
    /// An attempt that ran ends: it is compared later.
    pub(super) fn note_account(&mut self, attempt: AttemptId) {
        let Some(held) = self.book.get(attempt) else { return };
        let Some(seat) = held.seat else { return };
        let Some(batch) = self.book.batches.get(&seat.batch) else { return };
        // Of a gang Slurm counts the job as a whole: from the first start to the last end.
        if let (Submission::Job(job), Shape::Array) = (&batch.submission, batch.shape) {
            let ended = Ended {
                attempt,
                job: *job,
                index: held.under.unwrap_or(seat.index),
                count: 1,
                wall: held.usage.wall,
                ask_at: self.clock.now().plus(self.config.pace.accounts_after),
                asked: 0,
            };
            self.accounts.note(ended);
        }
    }

    /// How many ends were compared with Slurm's accounting.
    pub const fn compared(&self) -> u64 {
        self.accounts.compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::status::State;
    use dayan_units::JobId;

    #[test]
    fn only_what_differs_beyond_the_slack_is_a_finding() {
        let at = BootTime::from_micros;
        let mut accounts = Accounts::new(Accounting::Kept, Span::from_secs(1));
        let walls = [10, 10, 1_000, 1_000, 10];
        for (wall, index) in walls.into_iter().zip(0..) {
            let attempt = AttemptId { job: JobId::from_bits(1), task: index, attempt: 1 };
            let wall = Span::from_secs(wall);
            accounts.note(Ended {
                attempt,
                job: 7,
                index,
                count: 1,
                wall,
                ask_at: at(5),
                asked: 0,
            });
        }
        assert_eq!(accounts.jobs_to_ask(at(4)), None);
        assert_eq!(accounts.jobs_to_ask(at(5)), Some(vec![7]));
        assert_eq!(accounts.jobs_to_ask(at(9)), None, "asked already");
        let over = |elapsed_secs| Account { state: State::Completed, elapsed_secs };
        let known = BTreeMap::from([
            ((7, 0), over(14)),
            ((7, 1), over(16)),
            ((7, 2), over(1_050)),
            ((7, 3), over(900)),
            ((7, 9), Account { state: State::Active, elapsed_secs: 99 }),
        ]);
        accounts.on_answer(Ok(known.clone()), at(9));
        // The one that is not known there is asked about again, and not for ever.
        for _ in 1..ASKED_MAX {
            let due = accounts.due_at().expect("it is asked again");
            assert_eq!(accounts.jobs_to_ask(due), Some(vec![7]));
            accounts.on_answer(Ok(known.clone()), due);
        }
        let found: Vec<u32> = accounts.differences().iter().map(|d| d.attempt.task).collect();
        assert_eq!(found, [1, 3]);
        assert_eq!((accounts.compared, accounts.due_at()), (4, None));
    }
}
