//! Quotas: the rules once more as plainly as they can be written, for the naive planner; what is
//! promised of every plan; and stories, each with one answer.

use std::collections::BTreeMap;

use dayan_schedule::{
    Ask, Change, JobAsk, JobStanding, NodeName, Payer, Plan, Policy, Quota, QuotaOf, ReasonCode,
    Work,
};
use dayan_units::{Bytes, JobId, MilliAccel, MilliCpu, PoolId, Resources, Span, TaskId, Time};
use proptest::prelude::*;

use crate::world::{MINUTE, World, job, job_id, offer, payer_of, pool, project_id, resources};

fn both(payer: Payer) -> [QuotaOf; 2] {
    [QuotaOf::Project(payer.project), QuotaOf::Org(payer.org)]
}

/// The most a task may take, or all members of a gang.
fn want(ask: &JobAsk) -> Resources {
    let mut one = ask.ask.resources;
    one.accel = ask.ask.accelerators.iter().map(|choice| choice.cards).max().unwrap_or(one.accel);
    one.checked_mul(ask.gang.map_or(1, |gang| u64::from(gang.size))).expect("small")
}

/// What everybody holds, and what is kept for the first that waits for its quota.
pub struct Quotas<'a> {
    world: &'a World,
    /// Until when, and how much.
    held: BTreeMap<QuotaOf, Vec<(Time, Resources)>>,
    /// From when on the first can start, and what may be held beside it then.
    kept: BTreeMap<QuotaOf, (Time, Resources)>,
}

impl<'a> Quotas<'a> {
    pub fn of(world: &'a World) -> Self {
        let mut quotas = Self { world, held: BTreeMap::new(), kept: BTreeMap::new() };
        for lease in world.leases.values() {
            for of in both(lease.payer) {
                let held = quotas.held.entry(of).or_default();
                held.push((lease.end.latest, lease.seat.resources));
            }
        }
        quotas
    }

    /// These were placed now.
    pub fn hold(&mut self, placed: &[(JobId, u32, PoolId, NodeName)]) {
        for (nth, (job, _, pool, node)) in placed.iter().enumerate() {
            let ask = &self.world.jobs[job];
            let nodes = &self.world.pools[pool].nodes;
            let model = &nodes.iter().find(|n| n.name == *node).expect("shown").accelerator;
            let mut taken = ask.ask.resources;
            let accepts = |models: &dayan_schedule::Models| {
                model.as_ref().is_some_and(|model| models.accept(model))
            };
            let mut choices = ask.ask.accelerators.iter();
            if let Some(choice) = choices.find(|choice| accepts(&choice.models)) {
                taken.accel = choice.cards;
            }
            let until = self.world.now.plus(ask.ask.time);
            for of in both(payer_of(ask)) {
                self.held.entry(of).or_default().push((until, taken));
                // Members of a gang are one booking.
                if let Some((from, spare)) = self.kept.get_mut(&of)
                    && until > *from
                    && (ask.gang.is_none() || nth == 0)
                {
                    *spare = spare.checked_sub(&want(ask)).expect("it was let by");
                }
            }
        }
    }

    fn sum(&self, of: QuotaOf, after: Option<Time>) -> Resources {
        let held = self.held.get(&of).into_iter().flatten();
        let held = held.filter(|(until, _)| after.is_none_or(|after| *until > after));
        held.fold(Resources::ZERO, |sum, (_, one)| sum.checked_add(one).expect("small"))
    }

    /// Must a next task of the job wait for others of its project or organisation?
    pub fn refuse(&mut self, ask: &JobAsk) -> bool {
        let (now, want) = (self.world.now, want(ask));
        let limited: Vec<(QuotaOf, Quota)> = both(payer_of(ask))
            .into_iter()
            .filter_map(|of| Some((of, *self.world.quotas.get(&of)?)))
            .collect();
        let with = |held: Resources| held.checked_add(&want).expect("small");
        for &(of, quota) in &limited {
            if quota.admits(&with(self.sum(of, None))) {
                continue;
            }
            if !self.kept.contains_key(&of) && quota.admits(&want) {
                let mut ends: Vec<Time> =
                    self.held[&of].iter().map(|(until, _)| (*until).max(now)).collect();
                ends.sort_unstable();
                let fits = |at: &Time| quota.admits(&with(self.sum(of, Some(*at))));
                let from = ends.into_iter().find(fits).expect("alone it fits");
                let beside = with(self.sum(of, Some(from)));
                let left = |most: Option<u64>, held: u64| most.map_or(u64::MAX, |most| most - held);
                let spare = Resources {
                    cpu: MilliCpu(left(quota.cpu.map(|cpu| cpu.0), beside.cpu.0)),
                    memory: Bytes(u64::MAX),
                    disk: Bytes(u64::MAX),
                    accel: MilliAccel(u64::MAX),
                };
                self.kept.insert(of, (from, spare));
            }
            return true;
        }
        let until = now.plus(ask.ask.time);
        limited.iter().any(|(of, _)| {
            let kept = self.kept.get(of);
            kept.is_some_and(|(from, spare)| until > *from && !want.fits_in(spare))
        })
    }
}

/// No plan lets anybody hold more than it may, but for what was promised.
pub fn check(world: &World, plan: &Plan) -> Result<(), TestCaseError> {
    for (&of, quota) in &world.quotas {
        let own = |payer: Payer| both(payer).contains(&of);
        let mut held = Resources::ZERO;
        for lease in world.leases.values().filter(|lease| own(lease.payer)) {
            held = held.checked_add(&lease.seat.resources).expect("small");
        }
        let mut free = false;
        for (TaskId { job, .. }, seat) in plan.seats() {
            if own(payer_of(&world.jobs[&job])) {
                held = held.checked_add(&seat.resources).expect("small");
                free |= !world.appointments.contains_key(&job);
            }
        }
        prop_assert!(!free || quota.admits(&held), "{of:?} may hold {quota}, not {held}");
    }
    Ok(())
}

fn cores(cores: u64) -> Quota {
    Quota { cpu: Some(MilliCpu(cores * 1_000)), ..Quota::default() }
}

/// One pool of a hundred cores.
fn world() -> World {
    let mut world = World::new(dayan_schedule::Policy::default());
    world.show(pool(0, &[(100, 400, 0, None)]), vec![offer(0, 10_000)]);
    world
}

fn wants(n: u32, cores: u64, tasks: u32, time: Span) -> JobAsk {
    job(n, dayan_schedule::Ask::plain(resources(cores, 1, 0), time), tasks)
}

fn starts(world: &mut World) -> BTreeMap<JobId, usize> {
    let plan = world.planner.plan(world.now, dayan_schedule::Work::UNBOUNDED);
    let mut starts: BTreeMap<JobId, usize> = BTreeMap::new();
    for placement in &plan.placements {
        *starts.entry(placement.job).or_default() += placement.seats.len();
    }
    world.commit(&plan, |_| false);
    starts
}

#[test]
fn a_project_holds_no_more_than_its_quota_and_goes_on_when_something_ends() {
    let mut world = world();
    let project = QuotaOf::Project(project_id(0));
    world.limit(project, cores(4));
    world.queue(wants(0, 1, 10, MINUTE));
    assert_eq!(starts(&mut world), BTreeMap::from([(job_id(0), 4)]));
    let why = world.planner.explain(job_id(0), world.now).expect("it waits");
    assert_eq!(why.standing, JobStanding::OverQuota);
    assert_eq!(why.reasons[0].code, ReasonCode::ProjectQuota);
    assert!(why.reasons[0].message.contains("4 cpus"), "{}", why.reasons[0].message);
    assert_eq!(why.start.expect("it will").p90, MINUTE);
    let first = *world.leases.keys().next().expect("four run");
    world.end(first);
    assert_eq!(starts(&mut world), BTreeMap::from([(job_id(0), 1)]));
    world.limit(project, Quota::default());
    assert_eq!(starts(&mut world), BTreeMap::from([(job_id(0), 5)]));
}

#[test]
fn a_large_job_is_not_starved_by_the_small_ones_of_its_own_project() {
    let mut world = world();
    world.limit(QuotaOf::Project(project_id(0)), cores(8));
    world.queue(wants(0, 6, 1, MINUTE.times(60)));
    assert_eq!(starts(&mut world).len(), 1);
    // Eight cores, when the six have ended; meanwhile only what ends by then.
    world.queue(wants(1, 8, 1, MINUTE));
    world.queue(wants(2, 2, 1, MINUTE.times(61)));
    world.queue(wants(3, 2, 1, MINUTE.times(60)));
    assert_eq!(starts(&mut world), BTreeMap::from([(job_id(3), 1)]));
    // Another project is not held up.
    let mut other = wants(4, 50, 1, MINUTE.times(90));
    other.project = project_id(1);
    world.queue(other);
    assert_eq!(starts(&mut world), BTreeMap::from([(job_id(4), 1)]));
    // Who gives up is no longer in the way.
    world.drop_job(job_id(1));
    let running: Vec<_> = world.leases.keys().copied().collect();
    world.end(running[1]);
    assert_eq!(starts(&mut world), BTreeMap::from([(job_id(2), 1)]));
}

#[test]
fn what_an_organisation_may_hold_is_shared_by_its_projects() {
    let mut world = world();
    let first = wants(0, 1, 10, MINUTE);
    world.limit(QuotaOf::Org(first.org), cores(12));
    let mut second = wants(1, 1, 10, MINUTE);
    second.project = project_id(1);
    world.queue(first);
    world.queue(second);
    assert_eq!(starts(&mut world), BTreeMap::from([(job_id(0), 10), (job_id(1), 2)]));
    let why = world.planner.explain(job_id(1), world.now).expect("it waits");
    assert_eq!(why.reasons[0].code, ReasonCode::OrgQuota);
}

/// A job of so many tasks, each of one core and with so many licences `sim`.
fn licensed(n: u32, tasks: u32, count: u32, time: i64) -> JobAsk {
    let mut ask = Ask::plain(resources(1, 1, 0), MINUTE.times(time));
    ask.licenses.insert("sim".to_owned(), count);
    job(n, ask, tasks)
}

fn placed(world: &mut World) -> Vec<(JobId, usize)> {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    plan.placements.iter().map(|placement| (placement.job, placement.seats.len())).collect()
}

#[test]
fn no_more_tasks_run_than_there_are_licences_and_who_needs_many_is_not_starved() {
    let mut world = World::new(Policy::default());
    world.show(pool(0, &[(16, 64, 0, None); 2]), vec![offer(0, 10_000)]);
    let set = |world: &mut World, count| {
        let name = "sim".to_owned();
        world.planner.observe(&Change::LicenseSet { name, count });
    };
    set(&mut world, Some(3));
    world.queue(licensed(1, 5, 1, 60));
    assert_eq!(placed(&mut world), [(job_id(1), 3)]);
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!(why.standing, JobStanding::NoLicense);
    assert_eq!(why.reasons[0].code, ReasonCode::JobLicense);
    // There is room: no pool keeps it waiting.
    assert_eq!(why.reasons.len(), 1, "{why:?}");
    assert!(why.reasons[0].message.contains("3 of 3 licences `sim`"), "{why:?}");
    // Who needs none is not kept waiting.
    world.queue(job(2, Ask::plain(resources(1, 1, 0), MINUTE.times(60)), 1));
    assert_eq!(placed(&mut world), [(job_id(2), 1)]);
    // Another project's job waits for the same, in the order of the queue: one that needs all of
    // them is before what came later, however small.
    let other = |mut ask: JobAsk| {
        ask.project = project_id(1);
        ask
    };
    let first: Vec<_> = world.leases.keys().filter(|of| of.job == job_id(1)).copied().collect();
    world.queue(JobAsk { priority: 2, ..other(licensed(3, 1, 3, 60)) });
    world.queue(JobAsk { priority: 1, ..licensed(4, 1, 1, 90) });
    assert_eq!(placed(&mut world), []);
    // A minute later: what takes its place now would end too late for the one that needs three.
    world.now = world.now.plus(MINUTE);
    world.end(first[0]);
    assert_eq!(placed(&mut world), [], "what comes free is kept for the one that needs three");
    world.end(first[1]);
    world.end(first[2]);
    assert_eq!(placed(&mut world), [(job_id(3), 1)]);
    // More of them: the rest goes.
    set(&mut world, Some(6));
    assert_eq!(placed(&mut world), [(job_id(4), 1), (job_id(1), 2)]);
    // None any more: nothing new, and what runs goes on.
    set(&mut world, Some(0));
    world.queue(licensed(5, 1, 1, 1));
    assert_eq!(placed(&mut world), []);
}
