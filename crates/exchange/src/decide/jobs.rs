//! Jobs as their owners see them: submitted, cancelled, retried, paused, resumed.

use std::collections::BTreeSet;
use std::sync::Arc;

use dayan_identity::Status;
use dayan_market::{BudgetRefusal, BudgetScope, OfferMode};
use dayan_schedule::{StartEstimate, Tasks};
use dayan_spec::{DeadlineKind, Feature, JobSpec};
use dayan_topology::{PlaceId, Region};
use dayan_units::{AttemptId, Bytes, JobId, Micro, OrgId, Resources, Time};

use super::{Ask, Decision, Made};
use crate::authorize::{Action, Resource, authorized};
use crate::command::Submit;
use crate::event::{Event, Next};
use crate::ids::run_id;
use crate::refusal::{Refusal, RefusalDetail};
use crate::state::{
    Gate, Job, JobEnd, Org, Phase, Project, Run, SpecKey, StopReason, StoredSpec, mode_at, mode_of,
};

/// Idempotency keys are the submitter's; longer ones are a mistake.
const KEY_CHARS_MAX: usize = 128;

impl Ask<'_> {
    /// The job, if the actor may do this to it.
    pub(super) fn job(&self, job: JobId, action: Action) -> Result<&Job, Refusal> {
        let found = self.state.work.jobs.get(&job);
        authorized(
            self.actor,
            Resource::Job,
            action,
            found,
            |found| found.org,
            || {
                Refusal::not_found(
                    "job.unknown",
                    format!("there is no job {job} that lives or ended not long ago"),
                    "list them with `dayan ps`; older ones can still be shown, not changed",
                )
            },
        )
    }

    pub(super) fn submit(&self, submit: &Submit) -> Result<Decision, Refusal> {
        let spec = submit.spec.as_ref();
        let project = self.project_of(spec)?;
        if let Some(known) = self.known_submission(submit, project.org)? {
            return Ok(Decision { made: known, ..Decision::default() });
        }
        match &spec.schedule {
            None => self.accept(submit, project, None),
            Some(rule) => self.make_schedule(submit, rule, project),
        }
    }

    /// What the same submission made before. A key that was used for another is refused.
    fn known_submission(&self, submit: &Submit, org: OrgId) -> Result<Option<Made>, Refusal> {
        let work = &self.state.work;
        if let Some(text) = &submit.idempotency {
            let printable = !text.chars().any(char::is_control);
            if text.is_empty() || text.chars().count() > KEY_CHARS_MAX || !printable {
                return Err(Refusal::invalid(
                    "submit.key",
                    "the idempotency key is empty, longer than 128 characters or not printable",
                    "use a short text that is new for each job",
                ));
            }
            let key = SpecKey::of(&submit.digest);
            let job = work.keys.get(&org).and_then(|keys| keys.get(text));
            let job = job.map(|(spec, job)| (*spec, Made::Job(*job), job.to_string()));
            let schedule = work.schedules.keys.get(&org).and_then(|keys| keys.get(text));
            let schedule = schedule.map(|id| {
                let known = &work.schedules.all[id];
                (known.spec(), Made::Schedule(*id, known.next), id.to_string())
            });
            return match job.or(schedule) {
                Some((same, made, _)) if same == key => Ok(Some(made)),
                Some((_, _, other)) => Err(Refusal::conflict(
                    "submit.key_used",
                    format!("the key `{text}` was used for {other} with another job file"),
                    "use a new key for a new job",
                )),
                None => Ok(None),
            };
        }
        Ok(None)
    }

    /// A job, as it was submitted or as a run of a schedule.
    pub(super) fn accept(
        &self,
        submit: &Submit,
        project: &Project,
        run: Option<Run>,
    ) -> Result<Decision, Refusal> {
        let spec = submit.spec.as_ref();
        let org = &self.state.access.orgs[&project.org];
        let key = SpecKey::of(&submit.digest);
        // Deadlines count from when a run is due.
        let start = run.map_or(self.now, |run| run.due);
        let stored =
            StoredSpec { spec: submit.spec.clone(), resources: largest_task(spec), jobs: 0 };
        self.check_priority(spec, org.id)?;
        self.check_offered(spec)?;
        self.check_places(spec)?;
        self.check_kept(spec)?;
        self.check_deadline(spec, start)?;
        self.check_currency(spec)?;
        self.check_quota_ever(spec, project)?;
        self.check_licenses_ever(spec, project)?;
        let id = run.map_or_else(|| JobId::from_bits(self.ids.bits()), run_id);
        let waits = self.waits(spec, project)?;
        let appointments = self.admitted(id, submit, project, start)?;
        let mut events = Vec::with_capacity(3);
        events.extend(self.spec_stored(key, &submit.spec));
        let mut warnings = Vec::new();
        let quote = match submit.quote {
            Some(quote) => {
                let (bound, found) = self.bind_quote(quote, submit, project, id)?;
                warnings = found;
                Some(bound)
            }
            None => {
                self.check_affordable(&stored, org, project)?;
                None
            }
        };
        let deadline = spec.deadline_at(start);
        events.push(Event::JobSubmitted {
            job: id,
            project: project.id,
            org: org.id,
            spec: key,
            tasks: spec.task_count(),
            quote,
            deadline,
            key: submit.idempotency.clone(),
            run,
            data: submit.data.clone(),
        });
        if !appointments.is_empty() {
            events.push(Event::Appointed { job: id, appointments });
        }
        if !waits.is_empty() {
            events.push(Event::DependsOn { job: id, waits });
        }
        let mut decision = Decision { events, effects: Vec::new(), made: Made::Job(id) };
        decision.warn(project.id, id, warnings);
        Ok(decision)
    }

    /// A file that is not in memory yet.
    pub(super) fn spec_stored(&self, key: SpecKey, spec: &Arc<JobSpec>) -> Option<Event> {
        let new = !self.state.work.specs.contains_key(&key);
        new.then(|| Event::SpecStored { key, spec: spec.clone(), resources: largest_task(spec) })
    }

    /// The project a file names, or the nearest one above it, if the actor may submit to it.
    fn project_of(&self, spec: &JobSpec) -> Result<&Project, Refusal> {
        let access = &self.state.access;
        let mut paths = spec.project.and_ancestors();
        let found = paths.find_map(|path| access.project_by_path(path));
        authorized(
            self.actor,
            Resource::Job,
            Action::Create,
            found,
            |found| found.org,
            || {
                Refusal::not_found(
                    "project.unknown",
                    format!("there is no project `{}`", spec.project),
                    "create it with `dayan project create ORG/PROJECT`, or correct `project:`",
                )
            },
        )
    }

    /// What no active pool's engine can do is refused now: it would wait for ever.
    pub(super) fn check_offered(&self, spec: &JobSpec) -> Result<(), Refusal> {
        let partition = crate::partitions::missing(self.state, spec);
        if dayan_spec::requirements(spec).is_empty() && partition.is_none() {
            return Ok(());
        }
        let pools = self.state.supply.pools.values();
        let active: Vec<_> = pools.filter(|pool| pool.status == Status::Active).collect();
        let offered = dayan_spec::Feature::ALL
            .iter()
            .copied()
            .filter(|feature| {
                if *feature == Feature::Spot {
                    return self.sells_spot();
                }
                active.iter().any(|pool| pool.shown.features.contains(feature.as_str()))
            })
            .collect::<BTreeSet<_>>();
        let has = |word: &String| {
            let feature = crate::changes::slurm_word(word);
            active.iter().any(|pool| pool.shown.features.contains(&feature))
        };
        let named = spec.backend.slurm.keys().filter(|word| *word != crate::partitions::PARTITION);
        let words = named.filter(|word| !has(word)).map(|word| RefusalDetail {
            subject: format!("backend.slurm.{word}"),
            code: "spec.slurm_word".to_owned(),
            message: format!("no pool lets jobs say `{word}` to Slurm"),
        });
        // Where no pool takes any, that is said once.
        let takes = offered.contains(&dayan_spec::Feature::SlurmOptions);
        let words = words.filter(|_| takes);
        let details: Vec<RefusalDetail> = dayan_spec::not_offered(spec, &offered)
            .into_iter()
            .map(|missing| RefusalDetail {
                subject: missing.key.to_owned(),
                code: missing.code,
                message: missing.message.to_owned(),
            })
            .chain(words)
            .chain(partition.map(|message| RefusalDetail {
                subject: "backend.slurm.partition".to_owned(),
                code: "spec.slurm_partition".to_owned(),
                message,
            }))
            .collect();
        if details.is_empty() {
            return Ok(());
        }
        let mut names: Vec<&str> = details.iter().map(|detail| detail.subject.as_str()).collect();
        names.dedup();
        Err(Refusal::invalid(
            "spec.not_offered",
            match &details[..] {
                [only] => format!("not offered by any pool: {}: {}", only.subject, only.message),
                _ => format!("not offered by any pool: {}", names.join(", ")),
            },
            "leave these keys out, or wait for a provider that offers them",
        )
        .with_details(details))
    }

    /// Does an offer of an active pool sell spot? That is for providers to say, not for engines.
    fn sells_spot(&self) -> bool {
        let supply = &self.state.supply;
        supply.offers.values().any(|offer| {
            let pool = supply.pools.get(&offer.pool);
            offer.spot_permille.is_some() && pool.is_some_and(|pool| pool.status == Status::Active)
        })
    }

    /// A city or region nobody knows, or a site nobody has, would only let the job wait.
    pub(super) fn check_places(&self, spec: &JobSpec) -> Result<(), Refusal> {
        let from = spec.network.as_ref().map_or(&[][..], |network| &network.delay.from);
        for dayan_spec::Place::City(city) in from {
            PlaceId::find(city).map_err(|unknown| {
                Refusal::invalid(
                    "place.unknown",
                    format!("network.delay.from: {unknown}"),
                    "name a city that `dayan net matrix` shows",
                )
            })?;
        }
        for name in &spec.placement.regions {
            Region::find(name).map_err(|unknown| {
                Refusal::invalid(
                    "region.unknown",
                    format!("placement.regions: {unknown}"),
                    "name a province, a national hub or a cluster, such as Guizhou",
                )
            })?;
        }
        let sites = &self.state.supply.sites;
        for name in &spec.placement.sites {
            if !sites.values().any(|site| site.is_called(name)) {
                return Err(Refusal::invalid(
                    "site.unknown",
                    format!("placement.sites: nobody has a site `{name}`"),
                    "name the city of a pool that `dayan pools` shows, or its site's id",
                ));
            }
        }
        Ok(())
    }

    /// A promise of a moment cannot rest on what may be taken back at any.
    pub(super) fn check_kept(&self, spec: &JobSpec) -> Result<(), Refusal> {
        if !spec.is_promised() || mode_of(spec) != OfferMode::Spot {
            return Ok(());
        }
        Err(Refusal::invalid(
            "deadline.spot",
            "a hard deadline is a promise, and `mode: spot` is sold as what may be taken back",
            "leave out `mode: spot` and pay on demand, or write `kind: soft`",
        ))
    }

    fn check_deadline(&self, spec: &JobSpec, start: Time) -> Result<(), Refusal> {
        let Some(deadline) = &spec.deadline else { return Ok(()) };
        let begin = spec.begin.map_or(self.now, |begin| begin.max(self.now));
        let earliest = begin.plus(spec.time_limit());
        let at = deadline.at(spec.begin.map_or(start, |begin| begin.max(start)));
        let hopeless = match deadline.kind {
            DeadlineKind::Hard => earliest > at,
            DeadlineKind::Soft => at <= begin,
        };
        if !hopeless {
            return Ok(());
        }
        Err(Refusal::invalid(
            "deadline.hopeless",
            format!("even started at once it may take until {earliest}, after its deadline {at}"),
            "lower `resources.time` to what it really needs, or move the deadline",
        ))
    }

    pub(super) fn check_currency(&self, spec: &JobSpec) -> Result<(), Refusal> {
        let market = &spec.market;
        let books = self.state.settings.currency;
        let amounts = [
            market.max_price,
            market.max_unit_price.as_ref().map(|price| price.per_hour),
            market.budget.as_ref().map(|budget| budget.amount),
        ];
        match amounts.into_iter().flatten().find(|money| money.currency != books) {
            None => Ok(()),
            Some(other) => Err(Refusal::invalid(
                "market.currency",
                format!("`{other}` is not in {books}, the currency of this exchange"),
                "give amounts in the currency of the exchange",
            )),
        }
    }

    /// The first lease at the cheapest listed price must be within the balance and the budgets.
    /// Nothing is held for it: that is done when there is a lease.
    fn check_affordable(
        &self,
        stored: &StoredSpec,
        org: &Org,
        project: &Project,
    ) -> Result<(), Refusal> {
        let Some(each) = self.cheapest_first_hold(stored, None, org) else { return Ok(()) };
        let members = i64::from(stored.spec.gang_nodes());
        let first = each.0.checked_mul(members).map_or(Micro::MAX, Micro);
        let account = self.state.ledger.account(org.account).expect("an organisation has one");
        if account.headroom().is_some_and(|room| room < first) {
            return Err(Refusal::unaffordable(
                "money.balance",
                format!(
                    "the balance of `{}` is {} {} and starting it takes at least {first}",
                    org.name,
                    account.available(),
                    self.state.settings.currency,
                ),
                "top up the balance, or ask for less time or fewer resources",
            ));
        }
        let periods = self.state.settings.periods(self.now);
        let job = JobId::from_bits(0);
        match project.budget.admit(&periods, job, stored.job_limit(), first) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(self.budget_refusal(&refusal, project)),
        }
    }

    /// What a limit refuses, with the amounts in the currency of the books and whose limit it is.
    pub(super) fn budget_refusal(&self, refusal: &BudgetRefusal, project: &Project) -> Refusal {
        let currency = self.state.settings.currency;
        let (left, asked) = (refusal.left, refusal.asked);
        let message = match refusal.scope {
            BudgetScope::Job => format!(
                "the job may still cost {left} {currency}, and {asked} {currency} would have to be held"
            ),
            BudgetScope::Day | BudgetScope::Month => format!(
                "{left} {currency} are left of what `{1}` may spend in this {0}, and {asked} {currency} \
                 would have to be held",
                refusal.scope, project.path
            ),
        };
        Refusal::unaffordable(refusal.code(), message, refusal.advice())
    }

    /// What the cheapest offer that takes a task, in its cheapest hour, wants held before it starts.
    /// `memory` is what it asks for where that is more than its file's least.
    pub(super) fn cheapest_first_hold(
        &self,
        stored: &StoredSpec,
        memory: Option<Bytes>,
        org: &Org,
    ) -> Option<Micro> {
        let limit = stored.spec.time_limit();
        let settlement = &self.state.settings.settlement;
        let spec = &stored.spec;
        self.state
            .supply
            .offers
            .values()
            .filter_map(|offer| {
                let mode = mode_at(spec, Some(offer));
                let terms =
                    dayan_market::Terms::listed(offer, offer.least_rate(), org.class, mode).ok()?;
                let needs = stored.spec.resources.alternatives().map(|(_, need)| Resources {
                    memory: memory.map_or(need.memory, |memory| memory.max(need.memory)),
                    ..need
                });
                let fits =
                    needs.filter(|need| offer.admits(need, None, org.class, self.now).is_ok());
                fits.filter_map(|need| settlement.first_hold(&terms, &need, limit).ok()).min()
            })
            .min()
    }

    pub(super) fn cancel(&self, job: JobId, task: Option<u32>) -> Result<Decision, Refusal> {
        let record = self.job(job, Action::Delete)?;
        let mut decision = Decision::default();
        let stored = self.state.work.spec_of(record);
        // A gang is one thing: its members are not taken back one by one.
        let task = if stored.spec.gang.is_some() { None } else { task };
        let queued: Tasks = match task {
            None => record.queued.clone(),
            Some(task) => Tasks::from_iter(record.queued.contains(task).then_some(task)),
        };
        let active: Vec<(u32, u32)> = record
            .active
            .iter()
            .filter(|(number, _)| task.is_none_or(|task| task == **number))
            .map(|(number, attempt)| (*number, *attempt))
            .collect();
        if queued.is_empty() && active.is_empty() {
            return match task {
                Some(task) if !known_task(record, task) => Err(Refusal::not_found(
                    "task.unknown",
                    format!("{job} has no task {task}"),
                    "see its tasks with `dayan show`",
                )),
                Some(_) | None => Ok(Decision::nothing()),
            };
        }
        for (number, attempt) in &active {
            let attempt = dayan_units::AttemptId { job, task: *number, attempt: *attempt };
            let lease = &self.state.work.leases[&attempt];
            // Also one that is being stopped for another reason: it must not go again.
            if lease.stop != Some(StopReason::Cancelled) {
                decision.events.push(Event::StopAsked { attempt, reason: StopReason::Cancelled });
                decision.wake(lease.agent);
            }
        }
        let all_settled = record.active.is_empty()
            && record.members_ended.is_empty()
            && queued.len() == record.queued.len();
        if !queued.is_empty() {
            decision.events.push(Event::TasksCancelled { job, tasks: queued });
        }
        if all_settled {
            decision.events.push(self.job_ended(record, JobEnd::Cancelled));
        }
        Ok(decision)
    }

    pub(super) fn retry(&self, job: JobId, task: Option<u32>) -> Result<Decision, Refusal> {
        let record = self.job(job, Action::Update)?;
        if record.quote.is_some() && record.ended.is_some() {
            return Err(Refusal::conflict(
                "retry.quote_used",
                "its firm quote ended with it",
                "submit it again under a new quote",
            ));
        }
        let mut tasks = record.failed.clone();
        tasks.add(&record.cancelled);
        // A gang is one thing: its members do not go again one by one.
        let gang = self.state.work.spec_of(record).spec.gang.is_some();
        if let Some(task) = task.filter(|_| !gang) {
            tasks = Tasks::from_iter(tasks.contains(task).then_some(task));
        }
        if tasks.is_empty() {
            return Err(Refusal::conflict(
                "retry.nothing",
                "no task of it has failed or was cancelled",
                "see its tasks with `dayan show`",
            ));
        }
        Ok(Decision::one(Event::TasksRetried { job, tasks }))
    }

    /// Lets somebody start a command beside a running task: who may control the job may. It is
    /// written down.
    pub(super) fn enter(&self, job: JobId, task: u32) -> Result<Decision, Refusal> {
        let record = self.job(job, Action::Update)?;
        let attempt =
            record.active.get(&task).map(|attempt| AttemptId { job, task, attempt: *attempt });
        let lease = attempt.and_then(|attempt| self.state.work.leases.get(&attempt));
        let Some(lease) = lease.filter(|lease| matches!(lease.phase, Phase::Running { .. })) else {
            return Err(Refusal::conflict(
                "exec.not_running",
                format!("task {task} of {job} does not run now"),
                "see which tasks run with `dayan show`",
            ));
        };
        let made = Made::Entrance(lease.agent, lease.attempt);
        let events = vec![Event::Entered { attempt: lease.attempt }];
        Ok(Decision { events, made, ..Decision::default() })
    }

    /// A job that waits for its first task is told when it is expected to start, once.
    pub(super) fn estimate(&self, job: JobId, planned: StartEstimate) -> Result<Decision, Refusal> {
        let record = self.job(job, Action::Update)?;
        let waits = record.ended.is_none()
            && record.gate == Gate::Open
            && record.tries.is_empty()
            && record.estimate.is_none()
            && !record.queued.is_empty();
        if !waits {
            return Ok(Decision::nothing());
        }
        let shown = self.state.work.estimates.shown(planned);
        Ok(Decision::one(Event::Estimated { job, planned, shown }))
    }

    pub(super) fn pause(&self, job: JobId) -> Result<Decision, Refusal> {
        let record = self.job(job, Action::Update)?;
        self.check_lives(record)?;
        match record.gate {
            Gate::Paused => Ok(Decision::nothing()),
            Gate::Open => Ok(Decision::one(Event::JobPaused { job })),
        }
    }

    pub(super) fn resume(&self, job: JobId) -> Result<Decision, Refusal> {
        let record = self.job(job, Action::Update)?;
        self.check_lives(record)?;
        match record.gate {
            Gate::Open => Ok(Decision::nothing()),
            Gate::Paused => Ok(Decision::one(Event::JobResumed { job })),
        }
    }

    fn check_lives(&self, job: &Job) -> Result<(), Refusal> {
        if job.ended.is_none() {
            return Ok(());
        }
        Err(Refusal::conflict(
            "job.ended",
            format!("{} has ended", job.id),
            "submit it again, or retry what failed of it",
        ))
    }

    /// The end of a job: whether its deadline was met, and what its quote did not use.
    pub(super) fn job_ended(&self, job: &Job, end: JobEnd) -> Event {
        Event::JobEnded {
            job: job.id,
            end,
            deadline_met: job.deadline.map(|at| end == JobEnd::Succeeded && self.now <= at),
            release: job.quote.map(|(quote, _)| self.quote_release(quote)),
        }
    }

    /// How a job ends when this is the last thing that happens to it; none while tasks are left.
    pub(super) fn end_after(&self, job: &Job, last: Next) -> Option<Event> {
        let left = job.queued.len() + job.active.len() as u64 + job.members_ended.len() as u64;
        let end = match last {
            Next::Requeued
            | Next::RequeuedFree
            | Next::MemberSucceeded
            | Next::MemberFailed
            | Next::MemberRequeued
            | Next::MemberRequeuedFree
            | Next::MemberCancelled => return None,
            _ if left > 1 => return None,
            Next::Cancelled => JobEnd::Cancelled,
            Next::Succeeded | Next::Failed if !job.cancelled.is_empty() => JobEnd::Cancelled,
            Next::Failed => JobEnd::Failed,
            Next::Succeeded if job.failed.is_empty() => JobEnd::Succeeded,
            Next::Succeeded => JobEnd::Failed,
        };
        Some(self.job_ended(job, end))
    }
}

fn known_task(job: &Job, task: u32) -> bool {
    u64::from(task) < job.task_count()
}

/// The largest of a task's alternatives, for what is kept beside the file.
fn largest_task(spec: &JobSpec) -> Resources {
    let none = Resources::ZERO;
    spec.resources.alternatives().map(|(_, need)| need).fold(none, |a, b| Resources {
        cpu: a.cpu.max(b.cpu),
        memory: a.memory.max(b.memory),
        disk: a.disk.max(b.disk),
        accel: a.accel.max(b.accel),
    })
}
