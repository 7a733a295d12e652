//! What the planner takes back: leases that were sold as ones that may be, checked again against what
//! holds now, so that a waiting job can start where they were.
//!
//! Invariant: no other lease is ever asked to stop for it; no task more often, and in no pool more
//! of them, than the policy lets; what comes free is promised to the job that it was freed for.

use std::collections::{BTreeMap, BTreeSet};

use dayan_market::OfferMode;
use dayan_schedule::PreemptionPolicy;
use dayan_units::{AttemptId, JobId, PoolId, TaskId};

use super::placing::stale;
use super::promises::Stay;
use super::{Ask, Decision};
use crate::authorize::{Action, Resource, authorize};
use crate::command::{Actor, Preempt};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::state::{Gate, Job, mode_of};

const POLICY: PreemptionPolicy = PreemptionPolicy::DEFAULT;

impl Ask<'_> {
    pub(super) fn preempt(&self, wanted: &Preempt) -> Result<Decision, Refusal> {
        if *self.actor != Actor::System {
            authorize(self.actor, Resource::Exchange, Action::Update, None)?;
        }
        let job = self.job(wanted.for_job, Action::Update)?;
        self.check_head(job, wanted)?;
        self.check_victims(wanted)?;
        let ends_by = self.now.plus(POLICY.notice);
        if wanted.places.iter().any(|made| made.from < ends_by) {
            return Err(stale("preempt.notice", "the notice would not be over by then"));
        }
        let stays: Vec<Stay<'_>> = wanted
            .places
            .iter()
            .map(|made| Stay {
                task: TaskId { job: job.id, task: made.task },
                pool: made.pool,
                node: made.node.as_str(),
                resources: made.resources,
                from: made.from,
                until: made.until,
            })
            .collect();
        self.check_stays_after(&wanted.victims, &stays)
            .map_err(|message| stale("preempt.no_help", message))?;
        let mut decision = Decision::one(Event::Preempted {
            for_job: job.id,
            victims: wanted.victims.clone(),
            ends_by,
            places: wanted.places.clone(),
        });
        for victim in &wanted.victims {
            decision.wake(self.state.work.leases[victim].agent);
        }
        Ok(decision)
    }

    /// Does the job wait, and for just these places?
    fn check_head(&self, job: &Job, wanted: &Preempt) -> Result<(), Refusal> {
        let stored = self.state.work.spec_of(job);
        if job.gate == Gate::Paused || mode_of(&stored.spec) != OfferMode::OnDemand {
            return Err(stale("preempt.head", format!("nothing goes for {} now", job.id)));
        }
        if self.state.work.promises.of_job(job.id).next().is_some() {
            return Err(stale("preempt.on_its_way", format!("{} is promised a place", job.id)));
        }
        let tasks: BTreeSet<u32> = wanted.places.iter().map(|made| made.task).collect();
        let size = stored.spec.gang.as_ref().map_or(1, |gang| gang.nodes as usize);
        let wait = tasks.iter().all(|task| job.queued.contains(*task));
        if !wait || tasks.len() != size || wanted.places.len() != size {
            return Err(stale("preempt.not_queued", format!("{} does not wait so", job.id)));
        }
        let pools = wanted.places.iter().filter_map(|made| self.state.supply.pools.get(&made.pool));
        let sites: BTreeSet<_> = pools.map(|pool| pool.site).collect();
        let limit = stored.spec.time_limit();
        let enough = |made: &dayan_schedule::Appointment| {
            let mut asked = self.state.work.needs(job, made.task);
            made.until.since(made.from) >= limit && asked.any(|need| need.fits_in(&made.resources))
        };
        if sites.len() != 1 || !wanted.places.iter().all(enough) {
            return Err(stale("preempt.places", format!("not what {} asks for", job.id)));
        }
        Ok(())
    }

    /// May all of them be taken back now, and do they make room there?
    fn check_victims(&self, wanted: &Preempt) -> Result<(), Refusal> {
        let mut seen: BTreeSet<AttemptId> = BTreeSet::new();
        let mut by_pool: BTreeMap<PoolId, u32> = BTreeMap::new();
        for victim in &wanted.victims {
            let found = self.state.work.leases.get(victim).filter(|_| seen.insert(*victim));
            let lease = found.filter(|lease| self.state.work.may_be_preempted(lease));
            let lease = lease.ok_or_else(|| {
                stale("preempt.kept", format!("{victim} is not one that may be taken back"))
            })?;
            if self.state.work.spared_until(lease) > self.now {
                return Err(stale("preempt.spared", format!("{victim} was taken off before")));
            }
            let here = |made: &dayan_schedule::Appointment| {
                made.pool == lease.pool && made.node.as_str() == lease.node
            };
            if !wanted.places.iter().any(here) {
                return Err(stale("preempt.elsewhere", format!("{victim} makes no room there")));
            }
            *by_pool.entry(lease.pool).or_default() += 1;
        }
        if seen.is_empty() {
            return Err(stale("preempt.nobody", "nothing would be taken back"));
        }
        for (pool, more) in by_pool {
            let before = &self.state.supply.pools[&pool].preempted;
            if more > POLICY.pool_left(before, self.now) {
                return Err(stale("preempt.budget", format!("enough was taken back in {pool}")));
            }
        }
        Ok(())
    }

    /// What was kept for a job and not taken up by then is free again.
    pub(super) fn lapse_places(&self, job: JobId) -> Decision {
        match self.state.work.kept_for.get(&job) {
            Some(until) if *until <= self.now => Decision::one(Event::PlacesLapsed { job }),
            Some(_) | None => Decision::nothing(),
        }
    }
}
