//! How many leases and tentative seats each job holds. A queued job counts its own; what is left of
//! jobs that are not queued (any more, or not yet) is counted by their ids.
//!
//! Invariant: the sum over both is one for each lease or seat; no job is counted in both.

use std::collections::BTreeMap;

use dayan_units::JobId;

use crate::queue::{Demand, Job, JobIx};

impl Demand {
    /// Does anything of the job run, queued or not?
    pub fn runs(&self, job: JobId) -> bool {
        match self.job_ids.get(&job) {
            Some(&ix) => self.jobs[ix].running > 0,
            None => self.running.contains_key(&job),
        }
    }

    /// A job that is queued now counts what it holds already.
    pub fn take_running(&mut self, job: JobId) -> u32 {
        self.running.remove(&job).unwrap_or(0)
    }
    /// A job is not queued any more; what it holds it goes on to hold.
    pub fn leave_running(&mut self, job: &Job) {
        if job.running > 0 {
            self.running.insert(job.key.job, job.running);
        }
    }

    /// One lease or seat more of a queued job.
    pub fn seated(&mut self, ix: JobIx) {
        self.jobs[ix].running += 1;
    }
    /// The same of any.
    pub fn started(&mut self, job: JobId) {
        match self.job_ids.get(&job) {
            Some(&ix) => self.seated(ix),
            None => *self.running.entry(job).or_insert(0) += 1,
        }
    }
    /// One less.
    pub fn stopped(&mut self, job: JobId) {
        if let Some(&ix) = self.job_ids.get(&job) {
            let known = &mut self.jobs[ix];
            known.running = known.running.checked_sub(1).expect("each was counted when it started");
            if known.max_parallel.is_some() {
                self.relink(ix);
            }
        } else if let Some(running) = self.running.get_mut(&job) {
            *running -= 1;
            if *running == 0 {
                self.running.remove(&job);
            }
        }
    }

    /// All that run, by job: for the check.
    pub fn all_running(&self) -> BTreeMap<JobId, u32> {
        let queued = self.jobs.iter().map(|(_, job)| (job.key.job, job.running));
        let queued = queued.filter(|(_, running)| *running > 0);
        queued.chain(self.running.iter().map(|(job, running)| (*job, *running))).collect()
    }
}
