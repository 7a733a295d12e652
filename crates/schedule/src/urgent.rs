//! Soft deadlines in the order of the queue: a job that would miss its own stands at the moment it
//! must start by, where that is before the moment it is due anyway. So it passes others as its slack
//! goes, and only within its priority.
//!
//! Invariants: nobody stands before its own submission, so nobody is overtaken by what was submitted
//! later than its bound, whatever deadlines others have; and what can no longer be in time goes back
//! to where it would stand without one, so that lost deadlines cost nobody theirs. Must not know what
//! runs.

use dayan_units::{JobId, Time};

use crate::ask::JobAsk;
use crate::order::{due_at, start_by};
use crate::queue::{Demand, JobIx};

/// What a soft deadline does to the place of a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Soft {
    /// When it must start, to be expected to be in time.
    pub start_by: Time,
    /// When it is due without it.
    due: Time,
    /// It stands at the former.
    pub lifted: bool,
}

impl Soft {
    /// Of a job that has one.
    pub fn of(ask: &JobAsk) -> Option<Self> {
        let (start_by, due) = (start_by(ask)?, due_at(ask));
        let lifted = start_by >= ask.submitted_at && start_by < due;
        Some(Self { start_by, due, lifted })
    }

    /// Whose start would come too late now is not lifted.
    pub fn at(self, now: Time) -> Self {
        Self { lifted: self.lifted && now <= self.start_by, ..self }
    }

    /// When the job is due with it.
    pub const fn due(self) -> Time {
        if self.lifted { self.start_by } else { self.due }
    }
}

impl Demand {
    /// A job whose place a deadline decides is looked at again when that is lost.
    pub(crate) fn lift(&mut self, job: JobId, soft: Option<Soft>) {
        if let Some(soft) = soft.filter(|soft| soft.lifted) {
            self.lifted.insert((soft.start_by, job));
        }
    }

    /// It leaves the queue.
    pub(crate) fn unlift(&mut self, job: JobId, soft: Option<Soft>) {
        if let Some(soft) = soft {
            self.lifted.remove(&(soft.start_by, job));
        }
    }

    /// Jobs that can no longer be in time stand where they would without a deadline.
    pub(crate) fn lose_deadlines(&mut self, now: Time) {
        while let Some(&(start_by, id)) = self.lifted.first().filter(|first| first.0 < now) {
            self.lifted.remove(&(start_by, id));
            let ix = self.job_ids[&id];
            self.take_back(ix, now);
        }
    }

    fn take_back(&mut self, ix: JobIx, now: Time) {
        self.leave_line(ix);
        let job = &mut self.jobs[ix];
        job.soft = job.soft.map(|soft| soft.at(now));
        if let Some(soft) = job.soft {
            job.key.due = soft.due();
        }
        self.link(ix);
    }

    /// Those that are lifted are exactly those that are looked at again.
    pub(crate) fn check_lifted(&self) -> Result<(), String> {
        let mut lifted = 0;
        for (_, job) in self.jobs.iter() {
            let Some(soft) = job.soft else { continue };
            if job.key.due != soft.due() {
                return Err(format!("{} stands where it is not due", job.key.job));
            }
            if soft.lifted != self.lifted.contains(&(soft.start_by, job.key.job)) {
                return Err(format!("{} is lifted: {}", job.key.job, soft.lifted));
            }
            lifted += usize::from(soft.lifted);
        }
        if lifted == self.lifted.len() {
            Ok(())
        } else {
            Err("a job that is gone is lifted".into())
        }
    }
}
