//! Jobs that wait for others, for people: what a job still waits for, and the whole of the jobs that
//! hang together with it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dayan_exchange::{Gate, Job, JobEnd, State, Wait};
use dayan_units::JobId;
use dayan_wire as wire;

/// Jobs of a workflow that are shown: what fits on a few screens, the nearest ones first.
const SHOWN_MAX: usize = 256;

/// What a job still waits for, as reasons.
pub(super) fn unmet(state: &State, job: JobId) -> Vec<wire::Waiting> {
    let waits = state.work.depends.of(job).iter().filter(|wait| !wait.met);
    waits
        .map(|wait| {
            let other = state.work.jobs.get(&wait.on);
            let name = other.map(|job| state.work.name_of(job));
            let name = name.map_or_else(String::new, |name| format!(" ({name})"));
            let message = format!("it waits for {}{name}: {}", wait.on, hope(wait, other));
            let open = other.is_some_and(|job| job.ended.is_none());
            let code = if open { "job.depends" } else { "job.depends_never" };
            wire::Waiting { code: code.to_owned(), message, lasting: false }
        })
        .collect()
}

/// What must happen, and whether it still can by itself.
fn hope(wait: &Wait, other: Option<&Job>) -> String {
    let end = other.map(|job| job.ended);
    match end {
        None => format!("`{}`; it is long over and will not: cancel this job", wait.after),
        Some(Some(_)) => {
            format!("`{}`; it has ended otherwise: retry it, or cancel this job", wait.after)
        }
        Some(None) => format!("`{}`", wait.after),
    }
}

/// All jobs that hang together with this one by what they wait for, each after those that it waits
/// for; none, where it stands alone.
pub(super) fn of(state: &State, job: JobId) -> Vec<wire::WorkflowJob> {
    let depends = &state.work.depends;
    let near = |job: JobId| {
        let before = depends.of(job).iter().map(|wait| wait.on);
        before.chain(depends.by(job)).collect::<BTreeSet<JobId>>()
    };
    let mut found = BTreeSet::from([job]);
    let mut next = VecDeque::from([job]);
    while let Some(job) = next.pop_front() {
        for other in near(job) {
            if found.len() < SHOWN_MAX && found.insert(other) {
                next.push_back(other);
            }
        }
    }
    if found.len() == 1 {
        return Vec::new();
    }
    // A job's depth is one more than the deepest it waits for. Who waits came later, so in the order of
    // submission every depth is known when it is asked for.
    let mut depths: BTreeMap<JobId, u32> = BTreeMap::new();
    let came = |job: &JobId| (state.work.jobs.get(job).map(|job| job.submitted_at), *job);
    let mut in_order: Vec<JobId> = found.into_iter().collect();
    in_order.sort_by_key(came);
    for &job in &in_order {
        let before = depends.of(job).iter().filter_map(|wait| depths.get(&wait.on));
        let depth = before.max().map_or(0, |deepest| deepest + 1);
        depths.insert(job, depth);
    }
    in_order.sort_by_key(|job| depths[job]);
    let row = |job: &JobId| {
        let known = state.work.jobs.get(job);
        wire::WorkflowJob {
            id: job.to_string(),
            name: known.map(|job| state.work.name_of(job)).unwrap_or_default(),
            state: known.map_or("gone", state_of).to_owned(),
            depth: depths[job],
            after: depends
                .of(*job)
                .iter()
                .map(|wait| wire::DependsOn {
                    job: wait.on.to_string(),
                    after: wait.after.to_string(),
                    met: wait.met,
                })
                .collect(),
        }
    };
    in_order.iter().map(row).collect()
}

fn state_of(job: &Job) -> &'static str {
    match (job.ended, job.gate) {
        (Some((_, JobEnd::Succeeded)), _) => "succeeded",
        (Some((_, JobEnd::Failed)), _) => "failed",
        (Some((_, JobEnd::Cancelled)), _) => "cancelled",
        (Some((_, JobEnd::Unfunded)), _) => "unfunded",
        (None, Gate::Paused) => "paused",
        (None, Gate::Open) if job.active.is_empty() => "queued",
        (None, Gate::Open) => "running",
    }
}
