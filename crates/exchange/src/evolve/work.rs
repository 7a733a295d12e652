//! Jobs, quotes and leases.

use dayan_schedule::{PreemptionPolicy, Tasks};
use dayan_spec::After;
use dayan_units::{AttemptId, JobId, Micro, Resources, Span};

use super::learn::Foreseen;
use crate::command::Outcome;
use crate::event::{Entry, Event, Line, Next};
use crate::state::{
    Backing, Barred, Estimate, Gate, Job, JobEnd, Lease, MemberEnd, Phase, Setbacks, State,
    StopReason, StoredSpec, UsageMark, Work, not_there, sends_elsewhere,
};

/// What others were taken off for is kept for so long after they should have ended: a plan and a
/// commit take seconds, and an agent whose link is slow a minute.
const KEPT_FOR: Span = Span::from_secs(120);

impl Work {
    fn job_mut(&mut self, job: JobId) -> &mut Job {
        self.jobs.get_mut(&job).expect("decided for a job in memory")
    }
    fn lease_mut(&mut self, attempt: AttemptId) -> &mut Lease {
        self.leases.get_mut(&attempt).expect("decided for a lease in force")
    }
}

impl State {
    pub(super) fn apply_jobs(&mut self, entry: &Entry, event: &Event) {
        let work = &mut self.work;
        match event {
            Event::SpecStored { key, spec, resources } => {
                let stored = StoredSpec { spec: spec.clone(), resources: *resources, jobs: 0 };
                work.specs.insert(*key, stored);
            }
            Event::JobSubmitted {
                job,
                project,
                org,
                spec,
                tasks,
                quote,
                deadline,
                key,
                run,
                data,
            } => {
                work.specs.get_mut(spec).expect("stored before").jobs += 1;
                if let Some(key) = key {
                    work.keys.entry(*org).or_default().insert(key.clone(), (*spec, *job));
                }
                let by = match entry.actor {
                    crate::command::Actor::User { user, .. } => user,
                    // A run of a schedule is its submitter's.
                    crate::command::Actor::System | crate::command::Actor::Agent { .. } => run
                        .and_then(|run| work.schedules.all.get(&run.schedule))
                        .map_or(dayan_units::UserId::from_bits(0), |schedule| schedule.by),
                };
                let mut held = Micro::ZERO;
                if let Some((quote, hold)) = quote {
                    let given = work.quotes.get_mut(quote).expect("decided for this quote");
                    given.job = Some(*job);
                    held = given.quote.total;
                    self.book(hold);
                }
                let work = &mut self.work;
                let Foreseen { expected, at_least } = work.foresee(by, *spec, entry.at);
                let record = Job {
                    id: *job,
                    project: *project,
                    org: *org,
                    by,
                    spec: *spec,
                    submitted_at: entry.at,
                    expected,
                    at_least,
                    gate: Gate::Open,
                    queued: Tasks::range(0..*tasks),
                    active: std::collections::BTreeMap::new(),
                    tries: std::collections::BTreeMap::new(),
                    members_ended: std::collections::BTreeMap::new(),
                    left_out: Tasks::none(),
                    setbacks: Setbacks::default(),
                    barred: Barred::default(),
                    misses: std::collections::BTreeMap::new(),
                    memory: None,
                    succeeded: Tasks::none(),
                    failed: Tasks::none(),
                    cancelled: Tasks::none(),
                    held,
                    spent: Micro::ZERO,
                    quote: quote.as_ref().map(|(quote, _)| (*quote, held)),
                    estimate: None,
                    deadline: *deadline,
                    key: key.clone(),
                    run: *run,
                    data: data.clone(),
                    ended: None,
                };
                work.jobs.insert(*job, record);
                if let Some(run) = run {
                    work.run_made(*run, *job);
                }
                work.shares.job_opened(*project, *org, entry.at);
                if held > Micro::ZERO {
                    self.budget_held(entry, *job, held);
                }
            }
            Event::Appointed { job, appointments } => work.promises.appoint(*job, appointments),
            Event::PlacesLapsed { job } => {
                work.promises.release(*job, |_| true);
                work.kept_for.remove(job);
            }
            Event::JobPaused { job } => {
                work.promises.release(*job, |_| true);
                work.promises.give_up(*job);
                let job = work.job_mut(*job);
                job.gate = Gate::Paused;
                // How long the user makes it wait is nobody's to foretell.
                job.estimate = job.estimate.filter(|estimate| estimate.waited.is_some());
            }
            Event::Estimated { job, planned, shown } => {
                let (planned, shown) = (*planned, *shown);
                let estimate = Estimate { at: entry.at, planned, shown, waited: None };
                work.job_mut(*job).estimate = Some(estimate);
            }
            Event::JobResumed { job } => {
                work.job_mut(*job).gate = Gate::Open;
                work.promise_lost(*job, entry.at);
            }
            Event::DependsOn { job, waits } => work.depends.add(*job, waits),
            Event::NotPromised { job, again } => work.promises.lose(*job, *again),
            Event::MemoryRaised { job, task: None, to, .. } => {
                work.job_mut(*job).memory = Some(*to);
            }
            Event::MemoryRaised { job, task: Some(task), to, .. } => {
                work.job_mut(*job).tries.entry(*task).or_default().memory = Some(*to);
            }
            Event::TasksCancelled { job, tasks } => {
                work.promises.release(*job, |task| tasks.contains(task));
                let job = work.job_mut(*job);
                job.queued.subtract(tasks);
                job.failed.subtract(tasks);
                job.cancelled.add(tasks);
            }
            Event::TasksRetried { job, tasks } => {
                let record = work.job_mut(*job);
                record.failed.subtract(tasks);
                record.cancelled.subtract(tasks);
                record.queued.add(tasks);
                record.queued.add(&std::mem::take(&mut record.left_out));
                record.estimate = record.estimate.filter(|known| known.waited.is_some());
                // The user's retry starts a new count of failures, never a new count of epochs.
                // What a pool has not it has not for a retry either, while that stands.
                record.barred.expire(entry.at);
                for (_, tries) in record.tries.iter_mut().filter(|(task, _)| tasks.contains(**task))
                {
                    tries.failures = 0;
                    tries.barred.expire(entry.at);
                }
                if let Some((at, _)) = record.ended.take() {
                    let (project, org) = (record.project, record.org);
                    let run = record.run;
                    work.shares.job_opened(project, org, entry.at);
                    work.ended.remove(&(at, *job));
                    if let Some(run) = run {
                        work.run_ended(run, *job, None);
                    }
                }
                work.promise_lost(*job, entry.at);
            }
            Event::GangShrunk { job: id, tasks } => {
                let job = work.job_mut(*id);
                job.queued.subtract(tasks);
                job.left_out.add(tasks);
            }
            Event::GangSettled { job: id, next } => {
                let job = work.job_mut(*id);
                let mut members: Tasks =
                    std::mem::take(&mut job.members_ended).into_keys().collect();
                if matches!(next, Next::Requeued | Next::RequeuedFree) {
                    members.add(&std::mem::take(&mut job.left_out));
                }
                match next {
                    Next::Succeeded | Next::MemberSucceeded => job.succeeded.add(&members),
                    Next::Failed | Next::MemberFailed => job.failed.add(&members),
                    Next::Cancelled | Next::MemberCancelled => job.cancelled.add(&members),
                    Next::Requeued
                    | Next::RequeuedFree
                    | Next::MemberRequeued
                    | Next::MemberRequeuedFree => {
                        job.queued.add(&members);
                        work.promise_lost(*id, entry.at);
                    }
                }
            }
            Event::JobEnded { job, end, release, deadline_met, .. } => {
                if let Some(met) = deadline_met.filter(|_| *end != JobEnd::Cancelled) {
                    let spec = &work.spec_of(&work.jobs[job]).spec;
                    if let Some(kind) = spec.deadline.as_ref().map(|deadline| deadline.kind) {
                        work.deadlines.count(kind, met);
                    }
                }
                work.promises.release(*job, |_| true);
                work.promises.give_up(*job);
                work.kept_for.remove(job);
                let record = work.job_mut(*job);
                record.ended = Some((entry.at, *end));
                let how = if *end == JobEnd::Succeeded {
                    [After::Succeeded, After::Each]
                } else {
                    [After::Failed, After::Failed]
                };
                let (project, org, run) = (record.project, record.org, record.run);
                work.depends.happened(*job, &[After::Started, After::Ended]);
                work.depends.happened(*job, &how);
                work.shares.job_ended(project, org, entry.at);
                if let Some(run) = run {
                    work.run_ended(run, *job, Some((entry.at, *end)));
                }
                // What every task did is in the tables; the newest epochs must stay, because a
                // retry goes on from them.
                work.ended.insert((entry.at, *job));
                if let Some(release) = release {
                    let left =
                        work.job_mut(*job).quote.as_mut().map(|(_, left)| std::mem::take(left));
                    self.book(release);
                    if let Some(left) = left {
                        self.budget_released(entry, *job, left);
                    }
                }
            }
            Event::JobRetired { job } => self.retire_job(*job),
            Event::QuoteIssued { quote } => {
                work.quotes.insert(quote.quote.id, quote.as_ref().clone());
            }
            Event::QuoteLapsed { quote } => {
                work.quotes.remove(quote);
            }
            _ => unreachable!("sorted by `apply`"),
        }
    }

    fn retire_job(&mut self, job: JobId) {
        let work = &mut self.work;
        let Some(record) = work.jobs.remove(&job) else { return };
        work.depends.forget(job);
        if let Some((at, _)) = record.ended {
            work.ended.remove(&(at, job));
        }
        work.let_go(record.spec);
        if let Some(key) = &record.key
            && let Some(keys) = work.keys.get_mut(&record.org)
        {
            keys.remove(key);
            if keys.is_empty() {
                work.keys.remove(&record.org);
            }
        }
        if let Some((quote, _)) = record.quote {
            work.quotes.remove(&quote);
        }
        if let Some(project) = self.access.projects.get_mut(&record.project) {
            project.budget.forget(job);
        }
    }

    fn budget_held(&mut self, entry: &Entry, job: JobId, amount: Micro) {
        let periods = self.settings.periods(entry.at);
        let record = &self.work.jobs[&job];
        let limit = self.work.spec_of(record).job_limit();
        let project = self.access.projects.get_mut(&record.project).expect("a job has its project");
        project.budget.held(&periods, job, limit, amount);
    }

    fn budget_released(&mut self, entry: &Entry, job: JobId, amount: Micro) {
        if amount == Micro::ZERO {
            return;
        }
        let periods = self.settings.periods(entry.at);
        let record = self.work.job_mut(job);
        record.held = record.held.saturating_sub(amount);
        let project = self.access.projects.get_mut(&record.project).expect("a job has its project");
        project.budget.released(&periods, job, amount);
    }

    fn captured(&mut self, entry: &Entry, backing: Backing, line: &Line) {
        if line.amount == Micro::ZERO {
            return;
        }
        let periods = self.settings.periods(entry.at);
        let job = self.work.job_mut(line.attempt.job);
        job.held = job.held.saturating_sub(line.amount);
        job.spent = job.spent.saturating_add(line.amount);
        if let (Backing::Quote(_), Some((_, left))) = (backing, &mut job.quote) {
            *left = left.saturating_sub(line.amount);
        }
        let project = self.access.projects.get_mut(&job.project).expect("a job has its project");
        project.budget.captured(&periods, line.attempt.job, line.amount);
    }

    fn touch_agent(&mut self, attempt: AttemptId) {
        let lease = self.work.lease_mut(attempt);
        let agent = self.supply.agents.get_mut(&lease.agent).expect("a lease has its agent");
        agent.revision += 1;
        lease.revision = agent.revision;
    }

    pub(super) fn apply_leases(&mut self, entry: &Entry, event: &Event) {
        match event {
            Event::Leased { lease, transfer } => self.lease(entry, lease, transfer.as_ref()),
            Event::Staging { attempt } => {
                self.work.lease_mut(*attempt).phase = Phase::Staging;
            }
            Event::Located { attempt, node } => {
                self.work.lease_mut(*attempt).on_node = Some(node.clone());
            }
            Event::Started { attempt } => {
                self.work.lease_mut(*attempt).phase = Phase::Running { since: entry.at };
                self.work.depends.happened(attempt.job, &[After::Started]);
            }
            Event::PublishGranted { attempt } => {
                let lease = self.work.lease_mut(*attempt);
                let since = lease.phase.since();
                lease.phase = Phase::Publishing { since, granted_at: entry.at };
                self.touch_agent(*attempt);
            }
            Event::RoomFreed { attempt } => {
                let lease = self.work.lease_mut(*attempt);
                lease.room_free = true;
                let lease = lease.clone();
                self.free_room(entry, &lease);
            }
            Event::StopAsked { attempt, reason } => {
                self.work.lease_mut(*attempt).stop = Some(*reason);
                self.touch_agent(*attempt);
            }
            Event::Preempted { for_job, victims, ends_by, places } => {
                for victim in victims {
                    let (for_job, ends_by) = (*for_job, *ends_by);
                    let lease = self.work.lease_mut(*victim);
                    lease.stop = Some(StopReason::Preempted { for_job, ends_by });
                    let pool = lease.pool;
                    self.touch_agent(*victim);
                    let tries = self.work.job_mut(victim.job).tries.entry(victim.task).or_default();
                    tries.preempted += 1;
                    tries.preempted_at = Some(entry.at);
                    let pool = self.supply.pools.get_mut(&pool).expect("a lease has its pool");
                    let within = PreemptionPolicy::DEFAULT.pool_within;
                    pool.preempted.retain(|at| entry.at.since(*at) < within);
                    pool.preempted.push(entry.at);
                }
                self.work.promises.appoint(*for_job, places);
                self.work.kept_for.insert(*for_job, ends_by.plus(KEPT_FOR));
            }
            Event::UsageRecorded { attempt, seq, counters, .. } => {
                let mark = UsageMark { seq: *seq, counters: *counters };
                self.work.lease_mut(*attempt).usage = mark;
            }
            Event::WindowClosed { attempt, line, extended, transfers, next_due } => {
                for transfer in transfers {
                    self.book(transfer);
                }
                let lease = self.work.lease_mut(*attempt);
                lease.captured = lease.captured.saturating_add(line.amount);
                lease.held = lease.held.saturating_add(*extended);
                lease.windows = line.number;
                lease.billed = line.to;
                lease.window_due = *next_due;
                let backing = lease.backing;
                if *extended > Micro::ZERO {
                    let job = self.work.job_mut(attempt.job);
                    job.held = job.held.saturating_add(*extended);
                    self.budget_held(entry, attempt.job, *extended);
                }
                self.captured(entry, backing, line);
            }
            Event::AttemptEnded {
                attempt,
                outcome,
                next,
                line,
                released,
                extended,
                transfers,
                ..
            } => {
                for transfer in transfers {
                    self.book(transfer);
                }
                let lease = self.work.leases.remove(attempt).expect("decided for a lease in force");
                self.work.learn(&lease, outcome, line.as_ref());
                if let Some(pool) = self.supply.pools.get_mut(&lease.pool) {
                    let project = self.work.jobs[&attempt.job].project;
                    pool.record.count(outcome, project);
                    let job = self.work.job_mut(attempt.job);
                    match (not_there(outcome), next) {
                        (Some(why), Next::Requeued) => {
                            job.not_there(attempt.task, pool.id, why, entry.at);
                        }
                        (Some(_), Next::MemberRequeued) => job.barred.bar(pool.id, entry.at),
                        _ => {}
                    }
                    // What did not even start says nothing for its provider.
                    let ran = !matches!(outcome, Outcome::StartFailed { .. });
                    if sends_elsewhere(outcome) {
                        job.setbacks.failed(pool.provider, lease.placed_at, entry.at);
                    } else if ran && lease.stop.is_none() {
                        job.setbacks.went_well(pool.provider, lease.placed_at);
                    }
                }
                if !lease.room_free {
                    self.free_room(entry, &lease);
                }
                if let Some(held) = self.work.by_agent.get_mut(&lease.agent) {
                    held.remove(attempt);
                    if held.is_empty() {
                        self.work.by_agent.remove(&lease.agent);
                    }
                }
                if *extended > Micro::ZERO {
                    let job = self.work.job_mut(attempt.job);
                    job.held = job.held.saturating_add(*extended);
                    self.budget_held(entry, attempt.job, *extended);
                }
                if let Some(line) = line {
                    self.captured(entry, lease.backing, line);
                }
                self.budget_released(entry, attempt.job, *released);
                self.task_after(*attempt, *next);
                if matches!(next, Next::Requeued | Next::RequeuedFree) {
                    self.work.promise_lost(attempt.job, entry.at);
                }
            }
            Event::TransfersRetired { before } => self.forget_bookings(*before),
            _ => unreachable!("sorted by `apply`"),
        }
    }

    /// Gives back what a lease takes: on its node, of licences, of its project's share.
    fn free_room(&mut self, entry: &Entry, lease: &Lease) {
        self.load(lease, Resources::checked_sub);
        self.count_licenses(lease.attempt.job, u64::checked_sub);
        let job = &self.work.jobs[&lease.attempt.job];
        let (project, org) = (job.project, job.org);
        self.work.shares.release(project, org, &lease.resources, entry.at);
        self.work.leave_node(lease);
    }

    /// Adds to what is taken on a node, or gives it back.
    fn load(
        &mut self,
        lease: &Lease,
        change: impl Fn(&Resources, &Resources) -> Option<Resources>,
    ) {
        let nodes = self.work.load.entry(lease.pool).or_default();
        let taken = nodes.get(&lease.node).copied().unwrap_or(Resources::ZERO);
        let taken = change(&taken, &lease.resources).expect("checked when the lease was decided");
        if taken == Resources::ZERO {
            nodes.remove(&lease.node);
        } else {
            nodes.insert(lease.node.clone(), taken);
        }
    }

    /// Adds what a task of a job holds of licences to what is in use, or gives it back.
    fn count_licenses(&mut self, job: JobId, change: impl Fn(u64, u64) -> Option<u64>) {
        let spec = self.work.spec_of(&self.work.jobs[&job]).spec.clone();
        for license in &spec.licenses {
            let used = self.work.licenses.get(&license.name).copied().unwrap_or(0);
            let used = change(used, license.count.into()).expect("counted when it was leased");
            if used == 0 {
                self.work.licenses.remove(&license.name);
            } else {
                self.work.licenses.insert(license.name.clone(), used);
            }
        }
    }

    fn lease(&mut self, entry: &Entry, lease: &Lease, transfer: Option<&dayan_ledger::Transfer>) {
        let attempt = lease.attempt;
        if let Some(transfer) = transfer {
            self.book(transfer);
            let job = self.work.job_mut(attempt.job);
            job.held = job.held.saturating_add(lease.held);
            self.budget_held(entry, attempt.job, lease.held);
        }
        let job = self.work.job_mut(attempt.job);
        job.queued.remove(attempt.task);
        job.active.insert(attempt.task, attempt.attempt);
        let tries = job.tries.entry(attempt.task).or_default();
        tries.attempts = attempt.attempt;
        tries.barred.expire(entry.at);
        if let Some(estimate) = job.estimate.as_mut().filter(|known| known.waited.is_none()) {
            let waited = entry.at.since(estimate.at).max(Span::ZERO);
            estimate.waited = Some(waited);
            let estimate = *estimate;
            self.work.estimates.score(&estimate, waited);
        }
        let job = self.work.job_mut(attempt.job);
        let (project, org) = (job.project, job.org);
        self.work.shares.lease(project, org, &lease.resources, entry.at);
        self.work.by_agent.entry(lease.agent).or_default().insert(attempt);
        self.work.enter_node(lease);
        self.load(lease, Resources::checked_add);
        self.count_licenses(attempt.job, u64::checked_add);
        self.work.promises.release(attempt.job, |task| task == attempt.task);
        self.work.leases.insert(attempt, lease.clone());
        self.touch_agent(attempt);
    }

    fn task_after(&mut self, attempt: AttemptId, next: Next) {
        let job = self.work.job_mut(attempt.job);
        let task = attempt.task;
        job.active.remove(&task);
        match next {
            Next::Succeeded => {
                job.succeeded.insert(task);
                job.tries.remove(&task);
            }
            Next::Failed => {
                job.failed.insert(task);
            }
            Next::Cancelled => {
                job.cancelled.insert(task);
            }
            Next::Requeued => {
                job.queued.insert(task);
                job.tries.entry(task).or_default().failures += 1;
            }
            Next::RequeuedFree => job.queued.insert(task),
            Next::MemberSucceeded => {
                job.members_ended.insert(task, MemberEnd::Succeeded);
            }
            Next::MemberFailed => {
                job.members_ended.insert(task, MemberEnd::Failed);
            }
            Next::MemberRequeued => {
                job.members_ended.insert(task, MemberEnd::Requeued);
                job.tries.entry(task).or_default().failures += 1;
            }
            Next::MemberRequeuedFree => {
                job.members_ended.insert(task, MemberEnd::RequeuedFree);
            }
            Next::MemberCancelled => {
                job.members_ended.insert(task, MemberEnd::Cancelled);
            }
        }
    }
}
