//! What time alone brings about: leases that can no longer be valid, windows that close, pools that
//! must prove themselves again, schedules that are due, ended jobs that leave memory, agents that fall silent. The live
//! exchange and the simulator ask this on a timer; each answer is a command like any other.

use std::collections::BTreeSet;
use std::sync::Arc;

use dayan_identity::{Nonce, Status};
use dayan_schedule::{Change, JobAsk};
use dayan_spec::{DeadlineKind, JobSpec};
use dayan_units::{PoolId, Span, Time};

use crate::calendar::Calendar;
use crate::changes;
use crate::command::{Admission, Command};
use crate::liveness::Liveness;
use crate::state::{ENDED_JOBS_MAX, Gate, JOB_RETENTION, Job, State, TRANSFER_RETENTION};

/// The most commands of each kind at once, so that no batch grows without bound.
const AT_ONCE: usize = 1_000;

/// The most admissions at once: each is a question to the planner.
const SOUGHT_AT_ONCE: usize = 16;

/// The commands that are due. A pool proves its inventory every `challenge_every`; `nonce` makes
/// what it is asked.
pub fn due(
    state: &State,
    liveness: &Liveness,
    now: Time,
    challenge_every: Span,
    mut nonce: impl FnMut() -> Nonce,
) -> Vec<Command> {
    let mut due = Vec::new();
    let lost = liveness.lost(state, now, AT_ONCE);
    due.extend(lost.into_iter().map(|attempt| Command::LoseLease { attempt }));
    let windows = state.work.leases.values().filter(|lease| lease.window_due <= now);
    due.extend(windows.take(AT_ONCE).map(|lease| Command::CloseWindow { attempt: lease.attempt }));
    due.extend(state.work.runs_due(now).take(AT_ONCE).map(Command::fire));
    let lapsed = state.work.kept_for.iter().filter(|(_, until)| **until <= now);
    due.extend(lapsed.take(AT_ONCE).map(|(job, _)| Command::LapsePlaces { job: *job }));
    let sought = state.work.promises.to_seek(now).filter(|job| {
        let job = &state.work.jobs[job];
        job.gate == Gate::Open && !state.work.unpromised(job).is_empty()
    });
    due.extend(sought.take(SOUGHT_AT_ONCE).map(|job| {
        let admission = Admission::NotSought;
        Command::PromiseAgain { job, admission }
    }));
    for pool in state.supply.pools.values() {
        let proven = pool.verified_at.is_some_and(|at| now.since(at) < challenge_every);
        let asked =
            pool.challenge.as_ref().is_some_and(|open| now <= open.at.plus(open.answer_within));
        if !proven && !asked && pool.status != Status::Retired {
            due.push(Command::Challenge { pool: pool.id, nonce: nonce() });
        }
    }
    let before = now.minus(JOB_RETENTION);
    let jobs = state.work.ended.first().is_some_and(|(at, _)| *at < before)
        || state.work.ended.len() > ENDED_JOBS_MAX;
    let schedules = state.work.schedules.ended.first().is_some_and(|(at, _)| *at < before);
    let horizon = TRANSFER_RETENTION.times(2);
    let bookings = state.booked.front().is_some_and(|(at, _)| now.since(*at) > horizon);
    let quotes = state.work.quotes.values().any(|g| g.job.is_none() && g.quote.expires_at <= now);
    if jobs || schedules || bookings || quotes {
        due.push(Command::Retire { before, jobs_max: AT_ONCE });
    }
    due
}

/// A hard deadline that the planner must be asked about before it is decided: of a run that is due, or
/// of tasks that go again.
#[derive(Clone, Debug)]
pub struct ToAdmit {
    /// As the planner sees it.
    pub ask: JobAsk,
    /// Its file.
    pub spec: Arc<JobSpec>,
    /// What its deadline counts from.
    pub start: Time,
}

/// What the planner must be asked about a command that is due, if anything.
pub fn to_admit(state: &State, command: &Command, now: Time) -> Option<ToAdmit> {
    if let Command::PromiseAgain { job, .. } = command {
        return again(state, state.work.jobs.get(job)?);
    }
    let Command::Fire(firing) = command else { return None };
    let schedule = state.work.schedules.all.get(&firing.run.schedule)?;
    let spec = state.work.specs.get(&schedule.spec())?.spec.clone();
    spec.deadline.as_ref().filter(|deadline| deadline.kind == DeadlineKind::Hard)?;
    let org = state.access.orgs.get(&schedule.org)?;
    let mut ask = changes::ask_for(state, &spec, org.class, &[]);
    (ask.project, ask.org, ask.submitted_at) = (schedule.project, schedule.org, now);
    let due = firing.run.due;
    let rule = spec.schedule.as_ref()?;
    // Of runs that were missed the newest is what becomes a job, but for those that are made up for.
    let start = if schedule.to_make_up(rule.overlap) == Some(due) {
        due
    } else {
        Calendar::new(rule).ok()?.newest(due, now, 1).last().copied().unwrap_or(due)
    };
    Some(ToAdmit { ask, spec, start })
}

/// Tasks that go again keep the deadline that their job was given.
fn again(state: &State, job: &Job) -> Option<ToAdmit> {
    let spec = state.work.spec_of(job).spec.clone();
    let ask = changes::job_ask(state, job, state.work.unpromised(job));
    let start = job.run.map_or(job.submitted_at, |run| run.due);
    Some(ToAdmit { ask, spec, start })
}

/// Who is not heard, where that has changed.
#[derive(Debug)]
pub struct Silence {
    /// All pools that are not heard now.
    pub pools: BTreeSet<PoolId>,
    /// How those that fell silent or are heard again have shown themselves.
    pub shown: Vec<Change>,
}

/// Compares who is heard with what was told `before`; none where nothing has changed.
pub fn silence(
    state: &State,
    liveness: &Liveness,
    now: Time,
    before: Option<&BTreeSet<PoolId>>,
) -> Option<Silence> {
    let pools = liveness.silent(state, now);
    if before == Some(&pools) {
        return None;
    }
    let none = BTreeSet::new();
    let changed = pools.symmetric_difference(before.unwrap_or(&none));
    let mut shown = Vec::new();
    for pool in changed.filter_map(|pool| state.supply.pools.get(pool)) {
        changes::of_pool(state, pool, now, &mut shown);
    }
    Some(Silence { pools, shown })
}
