//! Start estimates count what runs and what waits before.

use std::sync::Arc;

use dayan_schedule::{AcceleratorChoice, Ask, JobAsk, Models, Policy, StartEstimate, Work};
use dayan_units::{MilliAccel, Span};

use crate::world::{MINUTE, World, job, job_id, offer, pool, resources};

/// A job of so many cores that is expected to take ten minutes of its hour.
fn wants(n: u32, cores: u64, tasks: u32) -> JobAsk {
    let ask = Ask::plain(resources(cores, 1, 0), MINUTE.times(60));
    JobAsk { expected: Some(MINUTE.times(10)), ..job(n, ask, tasks) }
}

/// Two machines of four cores, both busy for ten minutes.
fn busy() -> World {
    let mut world = World::new(Policy::default());
    world.show(pool(0, &[(4, 16, 0, None), (4, 16, 0, None)]), vec![offer(0, 10_000)]);
    world.queue(wants(0, 4, 2));
    plan(&mut world);
    world
}

fn plan(world: &mut World) {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.commit(&plan, |_| false);
}

fn estimate(world: &World, n: u32) -> StartEstimate {
    let explained = world.planner.explain(job_id(n), world.now).expect("it is known");
    explained.start.expect("something ends")
}

#[test]
fn an_estimate_counts_the_jobs_that_wait_before() {
    let mut world = busy();
    for n in 1..=4 {
        world.queue(wants(n, 4, 1));
    }
    plan(&mut world);
    let waits: Vec<Span> = (1..=4).map(|n| estimate(&world, n).p50).collect();
    assert_eq!(waits, [10, 10, 20, 20].map(|minutes| MINUTE.times(minutes)));
    let worst: Vec<Span> = (1..=4).map(|n| estimate(&world, n).p90).collect();
    assert_eq!(worst, [60, 60, 120, 120].map(|minutes| MINUTE.times(minutes)));
    // Before it is submitted, the same is told.
    let next = world.planner.candidates(&wants(5, 4, 1), world.now);
    assert_eq!(next.candidates[0].start.p50, MINUTE.times(30));
}

#[test]
fn what_goes_elsewhere_or_comes_later_is_not_waited_for() {
    let mut world = busy();
    let mut first = wants(1, 4, 1);
    first.priority = 1;
    let mut elsewhere = wants(2, 4, 30);
    Arc::make_mut(&mut elsewhere.ask).regions = ["Sichuan".to_owned()].into();
    world.queue(elsewhere);
    world.queue(wants(3, 4, 30));
    world.queue(first);
    plan(&mut world);
    assert_eq!(estimate(&world, 1).p50, MINUTE.times(10));
}

#[test]
fn an_array_before_it_takes_as_many_rounds_as_it_needs() {
    let mut world = busy();
    let mut wide = wants(1, 4, 6);
    let mut narrow = wants(2, 4, 3);
    (wide.priority, narrow.priority) = (2, 1);
    world.queue(wide);
    narrow.max_parallel = Some(1);
    world.queue(narrow);
    world.queue(wants(3, 4, 1));
    plan(&mut world);
    // Three rounds of two, then one machine beside the narrow one.
    assert_eq!(estimate(&world, 3).p50, MINUTE.times(40));
}

/// A job that may have two kinds of cards needs more of one than of the other; which of both was found
/// first depends on which pool was shown first, and says nothing.
#[test]
fn an_estimate_does_not_depend_on_which_pool_was_shown_first() {
    let mut world = World::new(Policy::default());
    for n in 0..4 {
        world.show(pool(n, &[(8, 64, 4, Some("B"))]), vec![offer(n, 20_000)]);
    }
    world.show(pool(4, &[(8, 64, 4, Some("A"))]), vec![offer(4, 30_000)]);
    let choice = |label: &str, cards| AcceleratorChoice {
        label: label.to_owned(),
        models: Models::OneOf(Arc::new([label.to_owned()].into())),
        cards: MilliAccel(cards),
    };
    let mut ask = Ask::plain(resources(1, 1, 0), MINUTE.times(60));
    ask.accelerators = vec![choice("A", 4_000), choice("B", 1_000)];
    let wants =
        |n, tasks| JobAsk { expected: Some(MINUTE.times(10)), ..job(n, ask.clone(), tasks) };
    world.queue(wants(0, 17));
    plan(&mut world);
    for n in 1..=9 {
        world.queue(wants(n, 2));
    }
    plan(&mut world);
    // Pools are looked at in the order of the verdict before: this one is made last here, and first there.
    let mut urgent = wants(10, 1);
    let any = AcceleratorChoice { models: Models::Any, ..choice("any", 1_000) };
    Arc::make_mut(&mut urgent.ask).accelerators = vec![any];
    urgent.priority = 1;
    world.queue(urgent);
    plan(&mut world);
    let mut fresh = world.fresh();
    fresh.plan(world.now, Work::UNBOUNDED);
    for n in 1..=9 {
        let told = fresh.explain(job_id(n), world.now).expect("it is known").start;
        assert_eq!(Some(estimate(&world, n)), told, "{n}");
    }
}
