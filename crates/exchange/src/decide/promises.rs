//! Promises for later: appointments are checked against what holds now before they are given, and
//! every placement is checked against the appointments and closures of its node.
//!
//! Invariant: on no node is more promised for any moment than it has shown, counted by leases'
//! latest ends. Cards are counted in sum here; which cards, the planner saw to.

use std::collections::BTreeMap;

use dayan_identity::Status;
use dayan_schedule::{Appointment, Closure};
use dayan_spec::{DeadlineKind, JobSpec};
use dayan_units::{AttemptId, JobId, PoolId, QuoteId, Resources, Span, TaskId, Time};

use super::{Ask, Decision};
use crate::authorize::{Action, Resource, authorize};
use crate::command::{Admission, Submit};
use crate::event::Event;
use crate::refusal::{Refusal, RefusalDetail};
use crate::state::{Gate, Pool, Project};

/// Closures of one pool that are to come: a year's maintenance, announced week by week.
const CLOSURES_MAX: usize = 64;
/// A closure further away is a pool that is retired.
const CLOSURE_AHEAD_MAX: dayan_units::Span = dayan_units::Span::from_secs(366 * 86_400);

/// Where no place was found for tasks that go again, one is sought once more after this: an
/// admission costs the planner up to some milliseconds, and what frees places takes minutes.
const SEEK_AGAIN: Span = Span::from_secs(60);

/// What a task would take of a node, and for how long.
pub(super) struct Stay<'a> {
    pub task: TaskId,
    pub pool: PoolId,
    pub node: &'a str,
    pub resources: Resources,
    pub from: Time,
    pub until: Time,
}

fn raced(message: impl Into<String>) -> Refusal {
    Refusal::conflict("deadline.raced", message, "submit it again: others were faster")
}

impl Ask<'_> {
    /// The appointments of a job with a hard deadline that counts from `start`, or why it has none.
    pub(super) fn admitted(
        &self,
        job: JobId,
        submit: &Submit,
        project: &Project,
        start: Time,
    ) -> Result<Vec<Appointment>, Refusal> {
        let spec: &JobSpec = &submit.spec;
        let hard = spec.deadline.as_ref().filter(|deadline| deadline.kind == DeadlineKind::Hard);
        let by = hard.and_then(|_| spec.deadline_at(start));
        let Some(by) = by else { return Ok(Vec::new()) };
        if spec.strict {
            return Err(Refusal::invalid(
                "deadline.strict",
                "a hard deadline is a promise of a moment, and `strict: true` waits for others",
                "leave one of them out, or write `kind: soft`",
            ));
        }
        let made = match &submit.admission {
            Admission::NotSought => {
                return Err(Refusal::conflict(
                    "deadline.not_sought",
                    "nobody has looked whether this hard deadline can be promised",
                    "submit it by itself, or write `kind: soft`",
                ));
            }
            Admission::Refused(no) => return Err(not_admitted(by, no)),
            Admission::Found(made) => made,
        };
        let tasks: dayan_schedule::Tasks = made.iter().map(|made| made.task).collect();
        if tasks != dayan_schedule::Tasks::range(0..spec.task_count()) {
            return Err(raced("the places that were found are not for all of its tasks"));
        }
        // The deadline counts from now, and the places were found a moment ago.
        self.check_found(job, made, by, (spec, submit.quote, project))?;
        Ok(made.clone())
    }

    /// Are these places good for a job that must have ended by then?
    fn check_found(
        &self,
        job: JobId,
        made: &[Appointment],
        by: Time,
        (spec, quote, project): (&JobSpec, Option<QuoteId>, &Project),
    ) -> Result<(), Refusal> {
        let fits = |made: &Appointment| {
            made.until <= by
                && made.from.plus(spec.time_limit()) <= made.until
                && spec.begin.is_none_or(|begin| begin <= made.from)
        };
        if !made.iter().all(fits) {
            return Err(raced("the places that were found are for another deadline"));
        }
        // Under a quote it goes where that was given, and nowhere else.
        let quoted = quote.and_then(|quote| self.state.work.quotes.get(&quote));
        let elsewhere =
            |made: &Appointment| quoted.is_some_and(|given| given.quote.line(made.pool).is_none());
        if made.iter().any(elsewhere) {
            return Err(raced("the places that were found are not those of its quote"));
        }
        let stays: Vec<Stay<'_>> = made
            .iter()
            .map(|made| Stay {
                task: TaskId { job, task: made.task },
                pool: made.pool,
                node: made.node.as_str(),
                resources: made.resources,
                from: made.from,
                until: made.until,
            })
            .collect();
        self.check_stays(&stays).map_err(raced)?;
        self.check_quota_promised(project, made)
    }

    /// Tasks of a job with a hard deadline go again: they get new appointments, if there are any by
    /// then. A promise that an attempt broke is not made good otherwise.
    pub(super) fn promise_again(
        &self,
        job: JobId,
        admission: &Admission,
    ) -> Result<Decision, Refusal> {
        let job = self.job(job, Action::Update)?;
        let tasks = self.state.work.unpromised(job);
        let by = job.deadline.filter(|_| job.ended.is_none() && job.gate == Gate::Open);
        let (Some(by), false) = (by, tasks.is_empty()) else { return Ok(Decision::nothing()) };
        let made = match admission {
            Admission::NotSought => return Err(raced("nobody has looked for places")),
            Admission::Refused(_) => {
                let again = self.now.plus(SEEK_AGAIN);
                return Ok(Decision::one(Event::NotPromised { job: job.id, again }));
            }
            Admission::Found(made) => made,
        };
        let found: dayan_schedule::Tasks = made.iter().map(|made| made.task).collect();
        if found != tasks {
            return Err(raced("the places that were found are for other tasks"));
        }
        let spec = &self.state.work.spec_of(job).spec;
        let quote = job.quote.map(|(quote, _)| quote);
        let project = &self.state.access.projects[&job.project];
        self.check_found(job.id, made, by, (spec, quote, project))?;
        let before = self.state.work.promises.of_job(job.id).cloned();
        let appointments = before.chain(made.iter().cloned()).collect();
        Ok(Decision::one(Event::Appointed { job: job.id, appointments }))
    }

    /// Can the nodes keep all that they have promised with these stays beside it? The message
    /// says which cannot.
    pub(super) fn check_stays(&self, stays: &[Stay<'_>]) -> Result<(), String> {
        self.check_stays_after(&[], stays)
    }

    /// The same, where these leases have ended before.
    pub(super) fn check_stays_after(
        &self,
        ending: &[AttemptId],
        stays: &[Stay<'_>],
    ) -> Result<(), String> {
        let mut nodes: BTreeMap<(PoolId, &str), Vec<&Stay<'_>>> = BTreeMap::new();
        for stay in stays {
            nodes.entry((stay.pool, stay.node)).or_default().push(stay);
        }
        let check = |((pool, node), stays): (_, Vec<&Stay<'_>>)| {
            self.check_node(pool, node, &stays, ending)
        };
        nodes.into_iter().try_for_each(check)
    }

    fn check_node(
        &self,
        id: PoolId,
        node: &str,
        stays: &[&Stay<'_>],
        ending: &[AttemptId],
    ) -> Result<(), String> {
        let pool = self.state.supply.pools.get(&id).filter(|pool| pool.status == Status::Active);
        let pool = pool.ok_or_else(|| format!("{id} takes no work"))?;
        let total = pool.shown.capacity_of(node);
        let total = total.ok_or_else(|| format!("`{node}` takes no work"))?;
        for closure in pool.closures.iter().filter(|closure| is_meant(closure, node)) {
            if stays.iter().any(|stay| closure.from < stay.until && stay.from < closure.until) {
                return Err(format!("`{node}` is closed from {}", closure.from));
            }
        }
        let seated = |task: TaskId| stays.iter().any(|stay| stay.task == task);
        let promised: Vec<&Appointment> = self
            .state
            .work
            .promises
            .on(id, node)
            .filter(|(job, made)| !seated(TaskId { job: *job, task: made.task }))
            .map(|(_, made)| made)
            .collect();
        let is_later = stays.iter().any(|stay| stay.from > self.now);
        // Without promises the present load tells all, and that is checked for every placement.
        if promised.is_empty() && !is_later {
            return Ok(());
        }
        let leases = self.occupants(pool, node, ending);
        let begins = promised.iter().map(|made| made.from);
        let begins = begins.chain(stays.iter().map(|stay| stay.from)).map(|at| at.max(self.now));
        for moment in begins {
            let during = stays.iter().filter(|stay| stay.from <= moment && moment < stay.until);
            let during: Vec<Resources> = during.map(|stay| stay.resources).collect();
            if during.is_empty() {
                continue;
            }
            let still = leases.iter().filter(|(latest, _)| *latest > moment);
            // What has not begun in time is still to come.
            let kept = promised.iter().filter(|made| {
                made.from.max(self.now) <= moment && (moment < made.until || made.from <= self.now)
            });
            let all = still.map(|(_, resources)| *resources).chain(during);
            let mut all = all.chain(kept.map(|made| made.resources));
            let sum = all.try_fold(Resources::ZERO, |sum, one| sum.checked_add(&one));
            if !sum.is_some_and(|sum| sum.fits_in(&total)) {
                return Err(format!("`{node}` has promised more at {moment} than it could keep"));
            }
        }
        Ok(())
    }

    /// What runs on a node, until when at the latest.
    fn occupants(&self, pool: &Pool, node: &str, ending: &[AttemptId]) -> Vec<(Time, Resources)> {
        self.state
            .work
            .leases_on(pool.id, node)
            .filter(|lease| !ending.contains(&lease.attempt))
            .map(|lease| (lease.latest_end(), lease.resources))
            .collect()
    }

    /// When a pool, or some nodes of it, are closed from now on.
    pub(super) fn set_closures(
        &self,
        pool: PoolId,
        closures: &[Closure],
    ) -> Result<Decision, Refusal> {
        let found = self.state.supply.pools.get(&pool);
        let org = found.map(|pool| self.state.supply.providers[&pool.provider].org);
        authorize(self.actor, Resource::Pool, Action::Update, org)?;
        let found = found.ok_or_else(|| {
            Refusal::not_found(
                "pool.unknown",
                format!("there is no pool {pool}"),
                "list them with `dayan pools`",
            )
        })?;
        let invalid = |message: String| {
            let advice = "give an end after the beginning, within a year, and nodes of the pool";
            Err(Refusal::invalid("closure.invalid", message, advice))
        };
        // One that has passed since it was announced is left out; one that is new must be to come.
        let is_over =
            |closure: &&Closure| closure.until <= self.now && !found.closures.contains(closure);
        if let Some(over) = closures.iter().find(is_over) {
            return Err(Refusal::invalid(
                "closure.over",
                format!("a closure until {} is over: it is {} now", over.until, self.now),
                "give an end that is to come",
            ));
        }
        let mut kept: Vec<Closure> =
            closures.iter().filter(|closure| closure.until > self.now).cloned().collect();
        kept.sort_unstable();
        kept.dedup();
        if kept.len() > CLOSURES_MAX {
            return invalid(format!("{} closures; at most {CLOSURES_MAX}", kept.len()));
        }
        for closure in &kept {
            if closure.from >= closure.until || closure.until > self.now.plus(CLOSURE_AHEAD_MAX) {
                return invalid(format!("from {} until {}", closure.from, closure.until));
            }
            let known = |name: &&dayan_schedule::NodeName| {
                found.shown.nodes.iter().any(|node| node.name == name.as_str())
            };
            if let Some(node) = closure.nodes.iter().find(|name| !known(name)) {
                return invalid(format!("the pool has no node `{node}`"));
            }
        }
        if kept == found.closures {
            return Ok(Decision::nothing());
        }
        Ok(Decision::one(Event::ClosuresSet { pool, closures: kept }))
    }
}

fn is_meant(closure: &Closure, node: &str) -> bool {
    closure.nodes.is_empty() || closure.nodes.contains(node)
}

fn not_admitted(by: Time, no: &dayan_schedule::NoAppointment) -> Refusal {
    if let Some(earliest) = no.earliest_end {
        return Refusal::conflict(
            "deadline.too_early",
            format!("its end by {by} cannot be promised; the earliest that can is {earliest}"),
            "move the deadline there, lower `resources.time` to what it really needs, or write \
             `kind: soft`",
        );
    }
    let details = no.reasons.iter().map(|reason| RefusalDetail {
        subject: "pools".to_owned(),
        code: reason.code.to_string(),
        message: reason.message.clone(),
    });
    Refusal::conflict(
        "deadline.nowhere",
        "no pool can take all of it, at any time",
        "see why with `dayan plan`; write `kind: soft` to let it wait for a pool that can",
    )
    .with_details(details.collect())
}
