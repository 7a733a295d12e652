//! Which jobs wait for others, and for what of them.
//!
//! Invariant: what has happened once counts, whatever becomes of the other job later; a job is listed
//! under every job that it named, until one of the two leaves memory.

use std::collections::{BTreeMap, BTreeSet};

use dayan_spec::After;
use dayan_units::JobId;
use serde::{Deserialize, Serialize};

/// What one job waits for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Wait {
    /// Of which job.
    pub on: JobId,
    /// What must have happened to it.
    pub after: After,
    /// It has.
    pub met: bool,
}

/// All of them.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Depends {
    on: BTreeMap<JobId, Vec<Wait>>,
    by: BTreeMap<JobId, BTreeSet<JobId>>,
}

impl Depends {
    /// Does nobody wait for anybody?
    pub fn is_empty(&self) -> bool {
        self.on.is_empty()
    }
    /// What a job waits for, in the order of its file.
    pub fn of(&self, job: JobId) -> &[Wait] {
        self.on.get(&job).map_or(&[], Vec::as_slice)
    }
    /// The jobs that named this one.
    pub fn by(&self, job: JobId) -> impl Iterator<Item = JobId> {
        self.by.get(&job).into_iter().flatten().copied()
    }

    pub(crate) fn add(&mut self, job: JobId, waits: &[Wait]) {
        for wait in waits {
            self.by.entry(wait.on).or_default().insert(job);
        }
        self.on.insert(job, waits.to_vec());
    }

    /// This has happened to a job: whoever waited for it waits no longer.
    pub(crate) fn happened(&mut self, job: JobId, what: &[After]) {
        for dependent in self.by.get(&job).into_iter().flatten() {
            let waits = self.on.get_mut(dependent).into_iter().flatten();
            for wait in waits.filter(|wait| wait.on == job && what.contains(&wait.after)) {
                wait.met = true;
            }
        }
    }

    /// The job leaves memory.
    pub(crate) fn forget(&mut self, job: JobId) {
        for wait in self.on.remove(&job).unwrap_or_default() {
            if let Some(by) = self.by.get_mut(&wait.on) {
                by.remove(&job);
                if by.is_empty() {
                    self.by.remove(&wait.on);
                }
            }
        }
        self.by.remove(&job);
    }
}
