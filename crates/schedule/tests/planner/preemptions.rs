//! What is taken back, checked from the state alone; and stories of it, each with one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_schedule::{
    Ask, GangAsk, JobAsk, Mode, NodeName, Plan, Policy, PreemptionPolicy, Same, Tenure, Work,
};
use dayan_units::{AttemptId, JobId, PoolId, Resources, Span, TaskId};
use proptest::prelude::*;

use crate::later::TURNOVER;
use crate::world::{MINUTE, World, job, job_id, offer, pool, pool_id, resources};

/// Everything that is promised of what is taken back.
pub fn check(world: &World, plan: &Plan) -> Result<(), TestCaseError> {
    let policy = world.policy.preemption;
    prop_assert!(plan.preemptions.len() <= world.policy.reservations_max as usize);
    let mut seen: BTreeSet<AttemptId> = BTreeSet::new();
    let mut heads: BTreeSet<JobId> = BTreeSet::new();
    let mut by_pool: BTreeMap<PoolId, u32> = BTreeMap::new();
    let mut nodes: BTreeSet<(PoolId, NodeName)> = BTreeSet::new();
    for taken in &plan.preemptions {
        let ask = &world.jobs[&taken.for_job];
        prop_assert!(heads.insert(taken.for_job), "one set for a job");
        prop_assert_eq!(ask.ask.mode, Mode::OnDemand);
        prop_assert!(!world.blocked.contains(&ask.project));
        prop_assert!(!world.appointments.contains_key(&taken.for_job), "a set is on its way");
        prop_assert!(!taken.victims.is_empty(), "nothing is taken back where a place is free");
        prop_assert_eq!(taken.places.len(), ask.gang.map_or(1, |gang| gang.size as usize));
        let sites: BTreeSet<_> =
            taken.places.iter().map(|made| world.pools[&made.pool].site).collect();
        prop_assert_eq!(sites.len(), 1, "in one place");
        for made in &taken.places {
            prop_assert!(ask.tasks.contains(made.task), "it waits");
            let head = TaskId { job: taken.for_job, task: made.task };
            prop_assert!(plan.seats().all(|(task, _)| task != head), "it waits");
            prop_assert_eq!(made.from, plan.now.plus(policy.notice).plus(TURNOVER));
            prop_assert!(nodes.insert((made.pool, made.node.clone())), "a node for one head");
        }
        for attempt in &taken.victims {
            prop_assert!(seen.insert(*attempt), "nothing is taken back twice");
            let lease = &world.leases[attempt];
            let Tenure::Spot { spared_until, .. } = lease.tenure else {
                return Err(TestCaseError::fail(format!("{attempt} was not sold so")));
            };
            prop_assert!(spared_until <= plan.now, "{attempt} is spared");
            let on = |made: &dayan_schedule::Appointment| {
                made.pool == lease.seat.pool && made.node == lease.seat.node
            };
            prop_assert!(taken.places.iter().any(on), "{attempt} makes no room for it");
            *by_pool.entry(lease.seat.pool).or_default() += 1;
        }
        for made in &taken.places {
            check_place(world, plan, made, &taken.victims)?;
        }
    }
    for (pool, taken) in by_pool {
        let before = world.preempted.get(&pool).map_or(&[][..], Vec::as_slice);
        let within = before.iter().filter(|at| plan.now.since(**at) < policy.pool_within).count();
        let within = u32::try_from(within).expect("few");
        prop_assert!(within + taken <= policy.pool_max, "{within} and {taken} of {pool}");
    }
    Ok(())
}

/// With its victims gone the place has room; with any one of them there it has not.
fn check_place(
    world: &World,
    plan: &Plan,
    made: &dayan_schedule::Appointment,
    victims: &[AttemptId],
) -> Result<(), TestCaseError> {
    let here = |pool: PoolId, node: &NodeName| pool == made.pool && *node == made.node;
    let node = world.pools[&made.pool].nodes.iter().find(|node| node.name == made.node);
    let total = node.expect("shown").total;
    let mut sum = made.resources;
    let mut add = |more: &Resources| sum = sum.checked_add(more).expect("small");
    for (attempt, lease) in &world.leases {
        if here(lease.seat.pool, &lease.seat.node) && !victims.contains(attempt) {
            add(&lease.seat.resources);
        }
    }
    plan.seats()
        .filter(|(_, seat)| here(seat.pool, &seat.node))
        .for_each(|(_, s)| add(&s.resources));
    let fits = crate::later::holds(&made.resources, &sum, &total);
    prop_assert!(fits, "{sum} of {total} after all that was taken back");
    let others = world.appointments.values().flatten().any(|other| here(other.pool, &other.node));
    // Which card is free is for the planner to say, and promises for later take their part.
    if made.resources.accel.0 > 0 || others {
        return Ok(());
    }
    for attempt in victims {
        let seat = &world.leases[attempt].seat;
        if here(seat.pool, &seat.node) {
            let with = sum.checked_add(&seat.resources).expect("small");
            prop_assert!(!with.fits_in(&total), "{attempt} could have stayed");
        }
    }
    Ok(())
}

fn minutes(n: i64) -> Span {
    MINUTE.times(n)
}
fn cores(n: u32, cores: u64, time: i64) -> JobAsk {
    job(n, Ask::plain(resources(cores, 1, 0), minutes(time)), 1)
}
fn spot(mut ask: JobAsk) -> JobAsk {
    Arc::make_mut(&mut ask.ask).mode = Mode::Spot;
    ask
}
fn world_of(nodes: &[(u64, u64, u64, Option<&str>)], preemption: PreemptionPolicy) -> World {
    let mut world = World::new(Policy { preemption, ..Policy::default() });
    world.show(pool(0, nodes), vec![offer(0, 10_000)]);
    world
}
/// Plans and commits; which jobs started.
fn round(world: &mut World) -> (Vec<JobId>, Plan) {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    let fresh = world.fresh().plan(world.now, Work::UNBOUNDED);
    assert_eq!(plan.preemptions, fresh.preemptions);
    world.check_plan(&plan).expect("every promise");
    check(world, &plan).expect("every promise of what is taken back");
    world.commit(&plan, |_| false);
    world.preempt(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    (plan.placements.iter().map(|placement| placement.job).collect(), plan)
}
fn after(world: &mut World, span: Span) -> (Vec<JobId>, Plan) {
    world.now = world.now.plus(span);
    let over = world.leases.iter().filter(|(_, lease)| lease.end.latest <= world.now);
    let over: Vec<AttemptId> = over.map(|(attempt, _)| *attempt).collect();
    for attempt in over {
        world.end(attempt);
    }
    round(world)
}
fn victims(plan: &Plan) -> Vec<JobId> {
    plan.preemptions.iter().flat_map(|taken| &taken.victims).map(|attempt| attempt.job).collect()
}
const NOTICE: Span = PreemptionPolicy::DEFAULT.notice;

#[test]
fn the_place_that_loses_least_is_freed_and_kept_for_the_head() {
    let mut world = world_of(&[(4, 100, 0, None), (4, 100, 0, None)], PreemptionPolicy::DEFAULT);
    // One node runs two spot tasks, the other one, which has run for longer.
    world.queue(spot(cores(1, 4, 600)));
    assert_eq!(round(&mut world).0, [job_id(1)]);
    world.queue(spot(cores(2, 2, 600)));
    world.queue(spot(cores(3, 2, 600)));
    assert_eq!(after(&mut world, minutes(30)).0.len(), 2);
    world.queue(cores(4, 3, 60));
    let (started, plan) = round(&mut world);
    assert_eq!((started, victims(&plan)), (vec![], vec![job_id(1)]), "one rather than two");
    let node = plan.preemptions[0].places[0].node.clone();
    // On its way: nothing more is taken back, and what is free meanwhile is not for others.
    world.queue(cores(5, 1, 60));
    world.queue(JobAsk { priority: 9, ..cores(6, 4, 60) });
    let (started, plan) = after(&mut world, NOTICE);
    assert_eq!(started[0], job_id(4), "it starts as soon as its victims have ended");
    let seat = world.leases.iter().find(|(attempt, _)| attempt.job == job_id(4)).expect("placed");
    assert_eq!(seat.1.seat.node, node);
    assert!(victims(&plan).iter().all(|job| [job_id(2), job_id(3)].contains(job)));
}

#[test]
fn of_equal_numbers_the_one_that_ran_for_the_shortest_time_goes() {
    let mut world = world_of(&[(4, 100, 0, None)], PreemptionPolicy::DEFAULT);
    for n in 1..5 {
        world.queue(spot(cores(n, 1, 600)));
        assert_eq!(after(&mut world, minutes(10)).0, [job_id(n)]);
    }
    world.queue(cores(5, 2, 60));
    assert_eq!(victims(&round(&mut world).1), [job_id(3), job_id(4)]);
}

#[test]
fn what_was_not_sold_so_stays_and_nothing_goes_where_it_would_not_help() {
    let mut world = world_of(&[(4, 100, 0, None)], PreemptionPolicy::DEFAULT);
    world.queue(cores(1, 2, 600));
    world.queue(spot(cores(2, 2, 600)));
    assert_eq!(round(&mut world).0.len(), 2);
    world.queue(cores(3, 3, 60));
    assert_eq!(victims(&round(&mut world).1), [], "even without the spot task it would wait");
    world.queue(spot(cores(4, 1, 60)));
    assert_eq!(victims(&round(&mut world).1), [], "nothing is taken back for spot work");
    world.drop_job(job_id(3));
    world.drop_job(job_id(4));
    world.queue(cores(5, 1, 60));
    assert_eq!(victims(&round(&mut world).1), [job_id(2)]);
}

#[test]
fn nothing_goes_where_a_place_is_free_or_soon_will_be() {
    let nodes = [(4, 100, 0, None), (4, 100, 0, None)];
    let mut world = world_of(&nodes, PreemptionPolicy::DEFAULT);
    world.queue(spot(cores(1, 4, 600)));
    round(&mut world);
    world.queue(cores(2, 4, 10));
    let (started, plan) = round(&mut world);
    assert_eq!((started, victims(&plan)), (vec![job_id(2)], vec![]));
    world.now = world.now.plus(minutes(10)).minus(NOTICE);
    world.queue(cores(3, 4, 60));
    assert_eq!(victims(&round(&mut world).1), [], "the other node is free before the notice ends");
}

#[test]
fn budgets_hold_for_pools_and_tasks() {
    let few = PreemptionPolicy { pool_max: 2, task_max: 1, ..PreemptionPolicy::DEFAULT };
    let mut world = world_of(&[(4, 100, 0, None)], few);
    for n in 1..5 {
        world.queue(spot(cores(n, 1, 600)));
    }
    assert_eq!(round(&mut world).0.len(), 4);
    world.queue(cores(5, 3, 1));
    assert_eq!(victims(&after(&mut world, minutes(1)).1), [], "it would take three");
    world.drop_job(job_id(5));
    world.queue(cores(6, 2, 1));
    assert_eq!(victims(&round(&mut world).1).len(), 2);
    world.queue(cores(7, 1, 1));
    assert_eq!(victims(&round(&mut world).1), [], "two in ten minutes are enough");
    assert_eq!(after(&mut world, NOTICE).0, [job_id(6)]);
    // Those that were taken off come back, and are not taken off again.
    let off: Vec<u32> =
        (1..5).filter(|n| world.leases.keys().all(|a| a.job != job_id(*n))).collect();
    assert_eq!(off.len(), 2);
    world.drop_job(job_id(7));
    for n in off {
        world.queue(spot(cores(n, 1, 600)));
    }
    assert_eq!(after(&mut world, minutes(1)).0.len(), 2);
    world.queue(cores(8, 3, 1));
    assert_eq!(victims(&after(&mut world, minutes(20)).1), [], "only two may go");
    world.drop_job(job_id(8));
    world.queue(cores(9, 2, 1));
    assert_eq!(victims(&round(&mut world).1).len(), 2);
}

#[test]
fn a_gang_gets_its_nodes_in_one_domain() {
    let node = (2, 100, 0, None);
    let mut world = world_of(&[node, node], PreemptionPolicy::DEFAULT);
    world.show(pool(2, &[node, node, node]), vec![offer(2, 20_000)]);
    let fill = |world: &mut World, n: u32, of: u8, ask: JobAsk| {
        let ask = JobAsk {
            quote: Some(dayan_schedule::Pin { pool: pool_id(of), offer: offer(of, 1).offer }),
            ..ask
        };
        world.queue(JobAsk { job: job_id(n), ..ask });
    };
    // Two nodes of each pool run spot work; the third of the second is not to be had.
    fill(&mut world, 1, 0, spot(cores(1, 2, 600)));
    fill(&mut world, 2, 0, cores(2, 2, 600));
    for n in 3..5 {
        fill(&mut world, n, 2, spot(cores(n, 2, 600)));
    }
    fill(&mut world, 5, 2, cores(5, 2, 600));
    assert_eq!(round(&mut world).0.len(), 5);
    let gang = Some(GangAsk { size: 2, same: Same::Pool, near: None, least: None });
    world.queue(JobAsk { gang, ..job(6, Ask::plain(resources(2, 1, 0), minutes(60)), 2) });
    let (_, plan) = round(&mut world);
    assert_eq!(victims(&plan), [job_id(3), job_id(4)]);
    assert!(plan.preemptions[0].places.iter().all(|made| made.pool == pool_id(2)));
    assert_eq!(after(&mut world, NOTICE).0, [job_id(6)]);
}
