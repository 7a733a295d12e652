//! What was promised for later: appointments of tasks, by job and by node.
//!
//! Invariant: both indexes hold the same appointments; a task that holds a lease, or no longer
//! waits, has none.

use std::collections::{BTreeMap, BTreeSet};

use dayan_schedule::Appointment;
use dayan_units::{JobId, PoolId, Time};
use serde::{Deserialize, Serialize};

/// All appointments.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Promises {
    by_job: BTreeMap<JobId, BTreeMap<u32, Appointment>>,
    by_node: BTreeMap<PoolId, BTreeMap<String, BTreeSet<(JobId, u32)>>>,
    /// Jobs with hard deadlines of which tasks wait without an appointment, as an attempt failed or
    /// they were paused: when to seek new ones.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    lost: BTreeMap<JobId, Time>,
}

impl Promises {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_job.values().map(BTreeMap::len).sum()
    }
    /// Are there none?
    pub fn is_empty(&self) -> bool {
        self.by_job.is_empty()
    }
    /// Are there none, and is none to be sought again?
    pub fn is_blank(&self) -> bool {
        self.is_empty() && self.lost.is_empty()
    }
    /// Jobs for which appointments are to be sought now, again.
    pub fn to_seek(&self, now: Time) -> impl Iterator<Item = JobId> {
        self.lost.iter().filter(move |(_, at)| **at <= now).map(|(job, _)| *job)
    }
    pub(crate) fn lose(&mut self, job: JobId, seek_at: Time) {
        self.lost.insert(job, seek_at);
    }
    pub(crate) fn give_up(&mut self, job: JobId) {
        self.lost.remove(&job);
    }
    /// Each job that has some, with them.
    pub fn iter(&self) -> impl Iterator<Item = (JobId, impl Iterator<Item = &Appointment>)> {
        self.by_job.iter().map(|(job, made)| (*job, made.values()))
    }
    /// Those of a job, by task.
    pub fn of_job(&self, job: JobId) -> impl Iterator<Item = &Appointment> {
        self.by_job.get(&job).into_iter().flat_map(BTreeMap::values)
    }
    /// Those on a node.
    pub fn on<'a>(
        &'a self,
        pool: PoolId,
        node: &str,
    ) -> impl Iterator<Item = (JobId, &'a Appointment)> {
        let tasks = self.by_node.get(&pool).and_then(|nodes| nodes.get(node));
        tasks.into_iter().flatten().map(|(job, task)| (*job, &self.by_job[job][task]))
    }

    pub(crate) fn appoint(&mut self, job: JobId, appointments: &[Appointment]) {
        self.release(job, |_| true);
        self.give_up(job);
        for made in appointments {
            let nodes = self.by_node.entry(made.pool).or_default();
            nodes.entry(made.node.as_str().to_owned()).or_default().insert((job, made.task));
            self.by_job.entry(job).or_default().insert(made.task, made.clone());
        }
    }

    pub(crate) fn release(&mut self, job: JobId, is_over: impl Fn(u32) -> bool) {
        let Some(made) = self.by_job.get_mut(&job) else { return };
        let over: Vec<u32> = made.keys().copied().filter(|task| is_over(*task)).collect();
        for task in over {
            let made = made.remove(&task).expect("it is one of them");
            let Some(nodes) = self.by_node.get_mut(&made.pool) else { continue };
            if let Some(tasks) = nodes.get_mut(made.node.as_str()) {
                tasks.remove(&(job, task));
                if tasks.is_empty() {
                    nodes.remove(made.node.as_str());
                }
            }
            if nodes.is_empty() {
                self.by_node.remove(&made.pool);
            }
        }
        if made.is_empty() {
            self.by_job.remove(&job);
        }
    }
}
