//! Small stories of pools that place by themselves: places in their queues, what others hold, what they
//! forecast.

use crate::scenarios::{at, cores, minutes, pools_of, round};
use crate::world::{World, job, job_id, offer, pool, pool_id, resources};
use dayan_schedule::{
    Ask, Change, Forecast, GangAsk, HeldByOthers, LeaseEnd, NodeView, Placing, Plan, Policy,
    Preference, ReasonCode, Same, Work,
};
use dayan_units::Span;

/// Two pools, the first of which has a queue of its own with two places for short tasks.
fn beside_a_queue() -> World {
    let mut world = World::new(Policy::default());
    let mut view = pool(0, &[(2, 10, 0, None)]);
    view.placing = Placing::ByPool;
    view.nodes.push(NodeView {
        count: 2,
        waits: Some(minutes(15)),
        ..NodeView::plain("(queue)", resources(1, 5, 0))
    });
    world.show(view, vec![offer(0, 10_000)]);
    world.show(pool(2, &[(1, 10, 0, None)]), vec![offer(2, 20_000)]);
    world
}

fn nodes_of(plan: &Plan) -> Vec<String> {
    plan.seats().map(|(_, seat)| seat.node.as_str().to_owned()).collect()
}

#[test]
fn places_in_a_queue_are_taken_by_short_tasks_when_nobody_has_room() {
    let mut world = beside_a_queue();
    world.queue(job(1, Ask::plain(resources(1, 1, 0), minutes(10)), 9));
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(nodes_of(&plan), ["n0", "n0", "n0", "(queue)", "(queue)"]);
    let pools = pools_of(&plan);
    assert_eq!(pools[2], pool_id(2), "a dearer pool with room comes before a queue");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    // What is there is not what a job may count on.
    let ask = job(7, Ask::plain(resources(1, 1, 0), minutes(10)), 1);
    let found = world.planner.candidates(&ask, world.now).candidates;
    assert!(found.iter().all(|found| found.tasks == 0 && found.start.p90 >= minutes(10)));
}

#[test]
fn long_tasks_and_gangs_do_not_wait_in_another_queue() {
    let mut world = beside_a_queue();
    world.queue(job(1, Ask::plain(resources(1, 1, 0), minutes(16)), 9));
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(nodes_of(&plan), ["n0", "n0", "n0"]);
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    let mut gang = job(2, Ask::plain(resources(1, 1, 0), minutes(5)), 2);
    gang.gang = Some(GangAsk { size: 2, same: Same::Pool, near: None, least: None });
    world.queue(gang);
    assert!(round(&mut world).is_empty());
    let why = world.planner.explain(job_id(2), world.now).expect("known");
    assert_eq!(why.counts[0].code, ReasonCode::PoolNoNodeFits, "one node is no place for two");
}

#[test]
fn nothing_is_planned_on_what_others_hold_until_they_give_it_back() {
    let mut world = World::new(Policy::default());
    let mut view = pool(0, &[(4, 100, 0, None), (4, 100, 0, None)]);
    view.placing = Placing::ByPool;
    world.show(view, vec![offer(0, 10_000)]);
    let begun = world.now;
    let held = |node: &str, cores, by: i64| HeldByOthers {
        node: node.into(),
        resources: resources(cores, 1, 0),
        end: LeaseEnd { expected: begun.plus(minutes(by)), latest: begun.plus(minutes(by)) },
    };
    let told = vec![held("n0", 3, 20), held("n1", 4, 30), held("gone", 1, 5)];
    let tell = |world: &mut World, held: Vec<HeldByOthers>| {
        world.planner.observe(&Change::OthersHold { pool: pool_id(0), held });
        world.planner.consistency_check().expect("consistent");
    };
    tell(&mut world, told.clone());
    tell(&mut world, told);
    assert_eq!(world.planner.stats().leases, 0, "they are no leases of ours");
    world.queue(cores(1, 1, 10));
    world.queue(cores(2, 2, 10));
    assert_eq!(at(&mut world, 0), [job_id(1)]);
    let start = world.planner.explain(job_id(2), world.now).and_then(|why| why.start);
    let start = start.expect("an estimate");
    assert_eq!((start.p50, start.p90), (minutes(20), minutes(20)), "when others end");
    // A picture of the pool that is shown again forgets nobody.
    let view = world.pools[&pool_id(0)].clone();
    world.planner.observe(&Change::PoolShown(Box::new(view)));
    assert!(round(&mut world).is_empty());
    // They have given some back; of the rest, what finds its node booked stands on another.
    tell(&mut world, vec![held("n0", 4, 20)]);
    assert_eq!(round(&mut world), [job_id(2)]);
    world.queue(cores(3, 2, 10));
    assert!(round(&mut world).is_empty(), "eight cores: four of others, three of ours");
}

/// Two pools that are equal in all but their ids, each with a place in a queue of its own, and full
/// for twenty minutes.
fn two_full_clusters() -> World {
    let mut world = World::new(Policy::default());
    for n in 0..2 {
        let mut view = pool(n, &[(2, 10, 0, None)]);
        view.placing = Placing::ByPool;
        view.nodes.push(NodeView {
            count: 1,
            waits: Some(minutes(15)),
            ..NodeView::plain("(queue)", resources(1, 5, 0))
        });
        world.show(view, vec![offer(n, 10_000)]);
        let end = world.now.plus(minutes(20));
        let held = vec![HeldByOthers {
            node: "n0".into(),
            resources: resources(2, 1, 0),
            end: LeaseEnd { expected: end, latest: end },
        }];
        world.planner.observe(&Change::OthersHold { pool: pool_id(n), held });
    }
    world
}

fn forecasts(world: &mut World, n: u8, wait: Option<Span>) {
    let told = world.now;
    let forecast = wait.map(|wait| Forecast { told, starts: told.plus(wait) });
    world.planner.observe(&Change::QueueForecast { pool: pool_id(n), forecast });
    world.planner.consistency_check().expect("consistent");
}

#[test]
fn of_two_equal_queues_the_one_that_is_through_sooner_is_taken() {
    let taken = |told: [Option<i64>; 2]| {
        let mut world = two_full_clusters();
        // Judged before anything is forecast, and again because of it.
        world.queue(cores(1, 2, 10));
        assert!(round(&mut world).is_empty(), "two cores are no place in a queue");
        for (n, wait) in (0..).zip(told) {
            forecasts(&mut world, n, wait.map(minutes));
        }
        world.queue(cores(2, 1, 10));
        let plan = world.planner.plan(world.now, Work::UNBOUNDED);
        assert_eq!(nodes_of(&plan), ["(queue)"]);
        pools_of(&plan)[0]
    };
    assert_eq!(taken([None, None]), pool_id(0));
    assert_eq!(taken([Some(60), None]), pool_id(1));
    assert_eq!(taken([Some(60), Some(30)]), pool_id(1));
    assert_eq!(taken([Some(30), Some(60)]), pool_id(0));
}

#[test]
fn a_forecast_is_taken_back_and_a_dearer_pool_is_not_taken_for_it() {
    let mut world = two_full_clusters();
    let offers = vec![offer(1, 10_001)];
    world.planner.observe(&Change::OffersShown { pool: pool_id(1), offers });
    forecasts(&mut world, 0, Some(minutes(60)));
    world.queue(cores(1, 1, 10));
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(pools_of(&plan), [pool_id(0)], "the price goes before the start by default");
    let mut soon = cores(2, 1, 10);
    soon.prefer = vec![Preference::Start];
    world.planner.observe(&Change::JobGone(job_id(1)));
    world.queue(soon.clone());
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(pools_of(&plan), [pool_id(1)], "who prefers an early start pays for it");
    forecasts(&mut world, 0, None);
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(pools_of(&plan), [pool_id(0)]);
}

#[test]
fn what_a_cluster_forecasts_is_when_a_job_may_start_there() {
    let mut world = two_full_clusters();
    let ask = cores(1, 2, 10);
    let starts = |world: &World| {
        let found = world.planner.candidates(&ask, world.now).candidates;
        let mut starts: Vec<_> =
            found.iter().map(|it| (it.pool, it.start.p50, it.start.p90)).collect();
        starts.sort_unstable();
        starts.into_iter().map(|(_, p50, p90)| (p50, p90)).collect::<Vec<_>>()
    };
    let twenty = (minutes(20), minutes(20));
    assert_eq!(starts(&world), [twenty, twenty]);
    forecasts(&mut world, 0, Some(minutes(60)));
    assert_eq!(starts(&world), [(minutes(60), minutes(60)), twenty]);
    // What it waits for itself is longer than the queue.
    forecasts(&mut world, 1, Some(minutes(5)));
    assert_eq!(starts(&world)[1], twenty);
    // A job that waits starts where it is sooner.
    world.queue(ask.clone());
    let start = |world: &World| {
        world.planner.explain(job_id(1), world.now).and_then(|why| why.start).expect("an estimate")
    };
    assert_eq!((start(&world).p50, start(&world).p90), twenty);
    forecasts(&mut world, 1, Some(minutes(40)));
    assert_eq!((start(&world).p50, start(&world).p90), (minutes(40), minutes(40)));
    // The moment stays, the wait grows less.
    world.now = world.now.plus(minutes(15));
    assert_eq!(start(&world).p50, minutes(25));
    // Where there is room, nobody waits for the queue.
    world.planner.observe(&Change::OthersHold { pool: pool_id(0), held: Vec::new() });
    assert_eq!(starts(&world)[0], (Span::ZERO, Span::ZERO));
    assert_eq!(start(&world).p50, Span::ZERO);
}
