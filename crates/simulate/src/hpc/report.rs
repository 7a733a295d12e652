//! What a run comes to.

use dayan_schedule::order::bounded_slowdown;

use super::protocol::{Window, Workload};

/// Means over jobs, or for slowdowns over windows of means over jobs.
#[derive(Clone, PartialEq, Debug)]
pub struct HpcReport {
    /// How many jobs were run, over all windows.
    pub jobs: usize,
    /// Mean wait, in seconds.
    pub avg_wait_s: f64,
    /// The wait that one job in a hundred exceeds, in seconds.
    pub p99_wait_s: i64,
    /// The longest wait, in seconds.
    pub max_wait_s: i64,
    /// Mean bounded slowdown, floor 10 s: the mean over windows of their means.
    pub avg_bsld: f64,
    /// Processor seconds used, of those there were from each window's first submission to its last
    /// end.
    pub utilization: f64,
    /// Each window.
    pub windows: Vec<WindowReport>,
}

/// One window.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WindowReport {
    /// Where it begins, among the usable jobs.
    pub start: usize,
    /// Mean bounded slowdown of its jobs.
    pub avg_bsld: f64,
}

impl HpcReport {
    /// From the starts of the jobs of each window.
    pub fn new(workload: &Workload, starts: &[Vec<i64>]) -> Self {
        let mut waits: Vec<i64> = Vec::new();
        let mut windows = Vec::new();
        let (mut used, mut offered) = (0.0, 0.0);
        for (window, starts) in workload.windows.iter().zip(starts) {
            let mut slowdowns = 0.0;
            for (job, start) in window.jobs.iter().zip(starts) {
                let wait = start - job.submit;
                slowdowns += bounded_slowdown(wait, job.run);
                waits.push(wait);
                used += job.width as f64 * job.run as f64;
            }
            offered += workload.machine as f64 * makespan(window, starts) as f64;
            let avg_bsld = slowdowns / window.jobs.len() as f64;
            windows.push(WindowReport { start: window.start, avg_bsld });
        }
        waits.sort_unstable();
        let jobs = waits.len();
        let total: i64 = waits.iter().sum();
        // The least wait that 99 of 100 jobs do not exceed.
        let p99 = waits.get((jobs * 99).div_ceil(100).saturating_sub(1)).copied();
        Self {
            jobs,
            avg_wait_s: total as f64 / jobs as f64,
            p99_wait_s: p99.unwrap_or(0),
            max_wait_s: waits.last().copied().unwrap_or(0),
            avg_bsld: windows.iter().map(|one| one.avg_bsld).sum::<f64>() / windows.len() as f64,
            utilization: used / offered,
            windows,
        }
    }
}

fn makespan(window: &Window, starts: &[i64]) -> i64 {
    let first = window.jobs.iter().map(|job| job.submit).min().unwrap_or(0);
    let ends = window.jobs.iter().zip(starts).map(|(job, start)| start + job.run);
    ends.max().unwrap_or(first) - first
}
