//! Stories of soft deadlines: who passes whom, until when, and who never does.

use dayan_schedule::{Ask, Change, JobAsk, Policy, Work};
use dayan_units::{JobId, Span, Time};

use crate::world::{MINUTE, World, job, job_id, offer, pool, resources};

fn minutes(n: i64) -> Span {
    MINUTE.times(n)
}
/// A whole node for so long, which is due ten times that after its submission, times the root of its
/// width.
fn whole(n: u32, time: i64, deadline: Option<Time>) -> JobAsk {
    let ask = Ask::plain(resources(4, 1, 0), minutes(time));
    JobAsk { soft_deadline: deadline, ..job(n, ask, 1) }
}
fn world() -> World {
    let mut world = World::new(Policy::default());
    world.show(pool(0, &[(4, 100, 0, None)]), vec![offer(0, 10_000)]);
    world
}
fn started(world: &mut World) -> Vec<JobId> {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.check_plan(&plan).expect("every promise");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    plan.placements.iter().map(|placement| placement.job).collect()
}
/// The node comes free so much later, and whoever is first gets it.
fn next(world: &mut World, after: Span) -> Vec<JobId> {
    world.now = world.now.plus(after);
    for attempt in world.leases.keys().copied().collect::<Vec<_>>() {
        world.end(attempt);
    }
    started(world)
}

#[test]
fn who_would_be_late_passes_who_is_due_sooner_but_not_who_has_priority() {
    let mut world = world();
    world.queue(whole(1, 600, None));
    assert_eq!(started(&mut world), [job_id(1)]);
    // An hour is due after 20 hours, a minute after 20 minutes; and this hour must start within two.
    world.queue(whole(2, 60, None));
    let by = world.now.plus(minutes(180));
    world.queue(whole(3, 60, Some(by)));
    world.queue(JobAsk { priority: 1, ..whole(4, 60, None) });
    assert_eq!(started(&mut world), []);
    let why = world.planner.explain(job_id(3), world.now).expect("known");
    let urgency = why.urgency.expect("it has a deadline");
    assert_eq!((urgency.start_by, urgency.lifted), (by.minus(minutes(60)), true));
    assert_eq!(why.position, Some(1), "only the one of more priority is before it");
    assert_eq!(next(&mut world, minutes(30)), [job_id(4)]);
    assert_eq!(next(&mut world, minutes(30)), [job_id(3)], "it came last of its priority");
    assert_eq!(next(&mut world, minutes(60)), [job_id(2)]);
}

#[test]
fn short_work_goes_before_a_deadline_that_has_time() {
    let mut world = world();
    world.queue(whole(1, 600, None));
    assert_eq!(started(&mut world), [job_id(1)]);
    let by = world.now.plus(minutes(180));
    world.queue(whole(2, 60, Some(by)));
    world.queue(whole(3, 1, None));
    assert_eq!(next(&mut world, minutes(5)), [job_id(3)], "due in 20 minutes, the other in 120");
    assert_eq!(next(&mut world, minutes(1)), [job_id(2)]);
}

#[test]
fn a_deadline_that_is_lost_costs_the_others_nothing_any_more() {
    let mut world = world();
    world.queue(whole(1, 600, None));
    assert_eq!(started(&mut world), [job_id(1)]);
    world.queue(whole(2, 60, None));
    let by = world.now.plus(minutes(90));
    world.queue(whole(3, 60, Some(by)));
    // Half an hour it could wait; it had to wait longer.
    let first = |world: &mut World| {
        let places = [2, 3].map(|n| {
            let why = world.planner.explain(job_id(n), world.now).expect("known");
            (why.position.expect("it waits"), n)
        });
        places.into_iter().min().map(|(_, n)| n)
    };
    started(&mut world);
    assert_eq!(first(&mut world), Some(3));
    world.now = by.minus(minutes(60));
    started(&mut world);
    assert_eq!(first(&mut world), Some(3), "at that moment it is just in time");
    world.now = world.now.plus(Span::from_micros(1));
    started(&mut world);
    assert_eq!(first(&mut world), Some(2));
    let urgency = |world: &World| {
        world.planner.explain(job_id(3), world.now).expect("known").urgency.expect("a deadline")
    };
    assert!(!urgency(&world).lifted);
    assert_eq!(next(&mut world, minutes(1)), [job_id(2)]);
    // Who never could be in time never passes anybody.
    let hopeless = world.now.plus(minutes(30));
    world.queue(whole(4, 60, Some(hopeless)));
    started(&mut world);
    let why = world.planner.explain(job_id(4), world.now).expect("known");
    assert!(!why.urgency.expect("it has one").lifted);
}

#[test]
fn one_that_goes_away_or_comes_again_is_counted_once() {
    let mut world = world();
    world.queue(whole(1, 600, None));
    started(&mut world);
    let by = world.now.plus(minutes(180));
    for _ in 0..2 {
        world.queue(whole(2, 60, Some(by)));
        world.planner.consistency_check().expect("consistent");
    }
    world.queue(whole(2, 60, None));
    world.planner.consistency_check().expect("consistent");
    world.queue(whole(2, 60, Some(by)));
    world.planner.observe(&Change::JobGone(job_id(2)));
    world.planner.consistency_check().expect("consistent");
}
