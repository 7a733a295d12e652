//! Stories of ranges: the least while somebody waits, what is left over when nobody does.

use dayan_schedule::{Ask, JobAsk, OfferView, Policy, Quota, QuotaOf, Seat, Work};
use dayan_units::{JobId, Micro, MilliCpu, Resources, Span};

use crate::world::{MINUTE, World, job, job_id, offer, pool, project_id, resources};

fn minutes(n: i64) -> Span {
    MINUTE.times(n)
}
/// So many tasks of at least and at most so many cores, for half an hour.
fn range(n: u32, tasks: u32, least: u64, most: u64) -> JobAsk {
    let mut ask = Ask::plain(resources(least, 1, 0), minutes(30));
    ask.most = Some(resources(most, 1, 0)).filter(|_| most > least);
    job(n, ask, tasks)
}
fn world() -> World {
    let mut world = World::new(Policy::default());
    world.show(pool(0, &[(16, 100, 0, None)]), vec![offer(0, 10_000)]);
    world
}
/// How many cores each task was given.
fn round(world: &mut World) -> Vec<(JobId, u64)> {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.check_plan(&plan).expect("every promise");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    let cores = |seat: &Seat| seat.resources.cpu.0 / 1_000;
    plan.seats().map(|(task, seat)| (task.job, cores(seat))).collect()
}

#[test]
fn what_is_left_over_is_shared_out_when_nobody_waits() {
    let mut world = world();
    world.queue(range(1, 1, 2, 12));
    assert_eq!(round(&mut world), [(job_id(1), 12)]);
    // The next has what is there, between its ends.
    world.queue(range(2, 1, 2, 12));
    assert_eq!(round(&mut world), [(job_id(2), 4)]);
}

#[test]
fn tasks_of_one_node_share_what_is_left_evenly() {
    let mut world = world();
    world.queue(range(1, 3, 2, 12));
    world.queue(range(2, 1, 3, 3));
    // Seven are left beside nine: two, two and three.
    let given = round(&mut world);
    assert_eq!(given, [(job_id(2), 3), (job_id(1), 4), (job_id(1), 4), (job_id(1), 5)]);
}

#[test]
fn while_somebody_waits_everybody_has_the_least() {
    let mut world = world();
    world.queue(range(1, 1, 2, 12));
    world.queue(range(2, 1, 15, 15));
    assert_eq!(round(&mut world), [(job_id(1), 2)]);
    let mut world = self::world();
    // Its own tasks wait too: as many as there is room for, and no more of any.
    world.queue(range(1, 10, 2, 12));
    assert_eq!(round(&mut world), vec![(job_id(1), 2); 8]);
}

#[test]
fn a_cap_a_quota_an_offer_and_a_promise_for_later_are_kept() {
    let mut world = world();
    let dear = JobAsk { max_unit_price: Some(Micro(50_000)), ..range(1, 1, 2, 12) };
    world.queue(dear);
    assert_eq!(round(&mut world), [(job_id(1), 2)], "twelve cores would cost over five times one");

    let mut world = self::world();
    let quota = Quota { cpu: Some(MilliCpu(8_000)), ..Quota::default() };
    world.limit(QuotaOf::Project(project_id(0)), quota);
    world.queue(range(1, 1, 2, 12));
    assert_eq!(round(&mut world), [(job_id(1), 2)]);

    let mut world = self::world();
    let small = OfferView { most: Some(resources(4, 50, 0)), ..offer(0, 10_000) };
    world.show(pool(0, &[(16, 100, 0, None)]), vec![small]);
    world.queue(range(1, 1, 2, 12));
    assert_eq!(round(&mut world), [(job_id(1), 2)]);

    let mut world = self::world();
    world.queue(range(1, 1, 14, 14));
    assert_eq!(round(&mut world), [(job_id(1), 14)]);
    world.queue(range(2, 1, 16, 16));
    let by = world.now.plus(minutes(90));
    world.admit(job_id(2), by).expect("after half an hour");
    for attempt in world.leases.keys().copied().collect::<Vec<_>>() {
        world.end(attempt);
    }
    // The promise is for later, and what would run into it has the least or nothing.
    let mut long = range(3, 1, 2, 12);
    std::sync::Arc::make_mut(&mut long.ask).time = minutes(20);
    world.queue(long);
    let given = round(&mut world);
    assert!(given.iter().all(|(_, cores)| *cores <= 16), "{given:?}");
}

#[test]
fn a_range_without_a_top_and_a_gang_have_the_least() {
    let mut world = world();
    world.queue(range(1, 1, 2, 2));
    let mut gang = range(2, 1, 2, 12);
    gang.gang = Some(dayan_schedule::GangAsk {
        size: 1,
        same: dayan_schedule::Same::Pool,
        near: None,
        least: None,
    });
    world.queue(gang);
    assert_eq!(round(&mut world), [(job_id(1), 2), (job_id(2), 2)]);
    let held: Vec<Resources> = world.leases.values().map(|lease| lease.seat.resources).collect();
    assert_eq!(held, [resources(2, 1, 0); 2]);
}
