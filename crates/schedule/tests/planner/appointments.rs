//! Stories of what is promised for later: hard deadlines, closures, and work that comes between.

use dayan_schedule::{
    Appointment, Ask, Change, Closure, HourlyRates, JobAsk, JobStanding, NodeName, OfferView,
    Policy, Preference, ReasonCode, Same, Tasks, Work,
};
use dayan_units::{JobId, Micro, Rate, Span, Time};

use crate::later::TURNOVER;
use crate::world::{MINUTE, World, job, job_id, offer, pool, pool_id, resources};

fn minutes(n: i64) -> Span {
    MINUTE.times(n)
}
fn cores(n: u32, cores: u64, time: i64) -> JobAsk {
    job(n, Ask::plain(resources(cores, 1, 0), minutes(time)), 1)
}
fn world_of(nodes: &[(u64, u64, u64, Option<&str>)]) -> World {
    let mut world = World::new(Policy::default());
    world.show(pool(0, nodes), vec![offer(0, 10_000)]);
    world
}
fn round(world: &mut World) -> Vec<JobId> {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.check_plan(&plan).expect("every promise");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    plan.placements.iter().map(|placement| placement.job).collect()
}
/// Ends what is over, then plans.
fn after(world: &mut World, span: Span) -> Vec<JobId> {
    world.now = world.now.plus(span);
    let over = world.leases.iter().filter(|(_, lease)| lease.end.latest <= world.now);
    for attempt in over.map(|(attempt, _)| *attempt).collect::<Vec<_>>() {
        world.end(attempt);
    }
    round(world)
}
fn in_minutes(world: &World, n: i64) -> Time {
    world.now.plus(minutes(n))
}

#[test]
fn a_deadline_is_promised_or_the_earliest_end_is_told_and_nothing_comes_between() {
    let mut world = world_of(&[(4, 100, 0, None)]);
    world.queue(cores(1, 4, 60));
    assert_eq!(round(&mut world), [job_id(1)]);
    world.queue(cores(2, 4, 30));
    let by = in_minutes(&world, 90);
    let late = world.admit(job_id(2), by).expect_err("the node is taken for an hour");
    let earliest = world.now.plus(minutes(60)).plus(TURNOVER).plus(minutes(30));
    assert_eq!(late.earliest_end, Some(earliest));
    let made = world.admit(job_id(2), earliest).expect("as it was told");
    let from = earliest.minus(minutes(30));
    let expect = Appointment {
        hold: false,
        task: 0,
        pool: pool_id(0),
        node: NodeName::new("n0"),
        resources: resources(4, 1, 0),
        from,
        until: earliest,
    };
    assert_eq!(made, [expect]);
    // What is more urgent and comes later waits: it would not be over in time.
    world.queue(JobAsk { priority: 9, ..cores(3, 1, 10) });
    assert_eq!(after(&mut world, minutes(60)), [job_id(2)], "sooner than promised: it is free");
    assert_eq!(after(&mut world, minutes(30)), [job_id(3)]);
}

#[test]
fn short_work_fills_the_time_before_an_appointment_and_long_work_does_not() {
    let mut world = world_of(&[(4, 100, 0, None)]);
    world.queue(cores(1, 3, 60));
    round(&mut world);
    world.queue(cores(2, 4, 30));
    let by = in_minutes(&world, 120);
    world.admit(job_id(2), by).expect("there is time");
    world.queue(cores(3, 1, 120));
    world.queue(cores(4, 1, 59));
    assert_eq!(round(&mut world), [job_id(4)]);
    let why = world.planner.explain(job_id(3), world.now).expect("known");
    assert!(why.counts.iter().any(|count| count.code == ReasonCode::PoolBusy));
    let start = why.start.expect("after the appointment").p90;
    assert_eq!(start, minutes(60 + 30).plus(TURNOVER).plus(TURNOVER));
}

#[test]
fn what_was_promised_is_not_promised_again_and_not_at_the_cost_of_a_waiting_head() {
    let mut world = world_of(&[(4, 100, 0, None)]);
    world.queue(cores(1, 3, 60));
    round(&mut world);
    // A head waits for the whole node.
    world.queue(cores(2, 4, 60));
    assert_eq!(round(&mut world), []);
    world.queue(cores(3, 1, 70));
    let by = in_minutes(&world, 80);
    let late = world.admit(job_id(3), by).expect_err("the head would start later");
    let head_ends = world.now.plus(minutes(120)).plus(TURNOVER);
    assert_eq!(late.earliest_end, Some(head_ends.plus(minutes(70))));
    let by = in_minutes(&world, 50);
    world.queue(cores(4, 1, 50));
    world.admit(job_id(4), by).expect("it is over before the head starts");
    assert_eq!(round(&mut world), [job_id(4)]);
}

#[test]
fn a_gang_has_one_moment_on_nodes_of_its_own() {
    let mut world = world_of(&[(4, 100, 0, None), (4, 100, 0, None), (4, 100, 0, None)]);
    world.queue(cores(1, 4, 30));
    world.queue(cores(2, 4, 60));
    round(&mut world);
    let gang = |n, size| JobAsk {
        gang: Some(dayan_schedule::GangAsk { size, same: Same::Pool, near: None, least: None }),
        ..job(n, Ask::plain(resources(4, 1, 0), minutes(20)), size)
    };
    world.queue(gang(3, 2));
    let by = in_minutes(&world, 60);
    let made = world.admit(job_id(3), by).expect("two nodes after half an hour");
    let from = world.now.plus(minutes(30)).plus(TURNOVER);
    assert!(made.iter().all(|made| made.from == from));
    world.queue(gang(4, 3));
    let by = in_minutes(&world, 90);
    let late = world.admit(job_id(4), by).expect("three nodes after an hour");
    assert!(late.iter().all(|made| made.from == world.now.plus(minutes(60)).plus(TURNOVER)));
    assert_eq!(after(&mut world, minutes(30)), [job_id(3)]);
    assert_eq!(after(&mut world, minutes(30)), [job_id(4)]);
    world.queue(gang(5, 4));
    let none = world.admit(job_id(5), Time::NEVER).expect_err("there are three nodes");
    assert_eq!(none.earliest_end, None);
    assert_eq!(none.reasons[0].code, ReasonCode::PoolNoNodeFits);
}

#[test]
fn tasks_of_an_array_follow_each_other_and_keep_their_limit() {
    let mut world = world_of(&[(2, 100, 0, None)]);
    let ask = Ask::plain(resources(1, 1, 0), minutes(10));
    world.queue(job(1, ask.clone(), 4));
    let by = in_minutes(&world, 25);
    let made = world.admit(job_id(1), by).expect("two by two");
    let froms: Vec<Span> = made.iter().map(|made| made.from.since(world.now)).collect();
    let second = minutes(10).plus(TURNOVER);
    assert_eq!(froms, [Span::ZERO, Span::ZERO, second, second]);
    // A moment later, as every plan is, they start nevertheless.
    let mut later = World::new(Policy::default());
    later.show(world.pools[&pool_id(0)].clone(), vec![offer(0, 10_000)]);
    later.queue(job(1, ask.clone(), 4));
    let by = in_minutes(&later, 25);
    later.admit(job_id(1), by).expect("two by two");
    assert_eq!(after(&mut later, Span::from_millis(20)).len(), 1);
    world.queue(JobAsk { max_parallel: Some(1), ..job(2, ask, 2) });
    let by = in_minutes(&world, 40);
    let late = world.admit(job_id(2), by).expect_err("one after the other");
    let earliest = world.now.plus(second).plus(second).plus(minutes(20));
    assert_eq!(late.earliest_end, Some(earliest));
}

#[test]
fn nothing_runs_into_a_closure_and_work_goes_on_after_it() {
    let mut world = world_of(&[(4, 100, 0, None), (4, 100, 0, None)]);
    let mut view = world.pools[&pool_id(0)].clone();
    let (from, until) = (in_minutes(&world, 30), in_minutes(&world, 90));
    view.closures = vec![Closure { nodes: [NodeName::new("n0")].into(), from, until }];
    world.show(view.clone(), vec![offer(0, 10_000)]);
    world.queue(cores(1, 4, 60));
    world.queue(cores(2, 4, 20));
    world.queue(cores(3, 4, 60));
    let started = round(&mut world);
    assert_eq!(started, [job_id(2), job_id(1)], "an hour only on the node that stays open");
    let why = world.planner.explain(job_id(3), world.now).expect("known");
    assert_eq!(why.start.expect("when the open node is free").p90, minutes(60));
    assert_eq!(after(&mut world, minutes(20)), []);
    assert_eq!(after(&mut world, minutes(40)), [job_id(3)]);
    // A whole pool, and the end of it.
    view.closures = vec![Closure { nodes: [].into(), from: world.now, until }];
    world.show(view, vec![offer(0, 10_000)]);
    world.queue(cores(4, 1, 1));
    assert_eq!(after(&mut world, minutes(29)), []);
    let why = world.planner.explain(job_id(4), world.now).expect("known");
    assert!(why.counts.iter().any(|count| count.code == ReasonCode::PoolPromised));
    assert_eq!(after(&mut world, minutes(1)), [job_id(4)]);
}

#[test]
fn when_its_node_is_gone_it_goes_elsewhere_before_anybody_else() {
    let mut world = world_of(&[(4, 100, 0, None), (4, 100, 0, None)]);
    world.queue(cores(1, 4, 30));
    world.queue(cores(2, 4, 30));
    round(&mut world);
    world.queue(cores(3, 4, 30));
    let by = in_minutes(&world, 61);
    let made = world.admit(job_id(3), by).expect("after half an hour");
    let (pool, node) = (made[0].pool, made[0].node.clone());
    let up = dayan_schedule::NodeUp::Down;
    world.planner.observe(&Change::NodeState { pool, node: node.clone(), up });
    let shown = world.pools.get_mut(&pool).expect("shown");
    shown.nodes.iter_mut().find(|shown| shown.name == node).expect("shown").up = up;
    world.queue(JobAsk { priority: 9, ..cores(4, 4, 30) });
    assert_eq!(after(&mut world, minutes(30)), [job_id(4)], "it is not due yet");
    let mut other = cores(5, 4, 30);
    other.priority = 9;
    world.queue(other);
    assert_eq!(after(&mut world, minutes(30)), [job_id(3)]);
    // Taken back, it keeps nothing.
    world.queue(cores(6, 1, 1));
    let by = in_minutes(&world, 600);
    world.admit(job_id(6), by).expect("some time");
    world.planner.observe(&Change::TasksTaken { job: job_id(6), tasks: Tasks::one(0) });
    world.planner.consistency_check().expect("consistent");
    assert_eq!(world.planner.stats().appointments, 0);
}

#[test]
fn a_time_can_be_booked_in_advance_and_work_goes_on_until_then() {
    let mut world = world_of(&[(4, 100, 0, None)]);
    let begin = in_minutes(&world, 60);
    world.queue(JobAsk { begin: Some(begin), ..cores(1, 4, 30) });
    assert_eq!(round(&mut world), []);
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!(why.standing, JobStanding::NotYet);
    assert_eq!(why.reasons[0].code, ReasonCode::JobBegin);
    assert_eq!(why.start.expect("there is room").p50, minutes(60));
    let by = begin.plus(minutes(30));
    let made = world.admit(job_id(1), by).expect("the time is free");
    assert_eq!((made[0].from, made[0].until), (begin, by));
    // The same time is not booked twice, and what is short enough runs before.
    world.queue(JobAsk { begin: Some(begin), ..cores(2, 1, 30) });
    let late = world.admit(job_id(2), by).expect_err("all of it is booked");
    assert_eq!(late.earliest_end, Some(by.plus(TURNOVER).plus(minutes(30))));
    world.queue(cores(3, 4, 61));
    world.queue(cores(4, 4, 59));
    assert_eq!(round(&mut world), [job_id(4)]);
    assert_eq!(after(&mut world, minutes(59)), [], "the booked one does not begin sooner");
    assert_eq!(after(&mut world, minutes(1)), [job_id(1)]);
}

/// One node of four cores; what starts in the given hours (UTC) costs half. It is 16 minutes past
/// midnight.
fn world_with_cheap_hours(cheap: &[usize]) -> World {
    let mut world = World::new(Policy::default());
    let rate = |price| Rate { core_hour: Micro(price), ..Rate::default() };
    let of = |hour| rate(if cheap.contains(&hour) { 5_000 } else { 10_000 });
    let hours = HourlyRates { ahead: Span::ZERO, rates: std::array::from_fn(of) };
    let offer = OfferView { hours: Some(hours.into()), rate: of(0), ..offer(0, 10_000) };
    world.show(pool(0, &[(4, 100, 0, None)]), vec![offer]);
    world
}
fn hour(n: i64) -> Time {
    Time::EPOCH.plus(minutes(60 * n))
}
fn thrifty(n: u32, width: u64, time: i64) -> JobAsk {
    JobAsk { prefer: vec![Preference::Price], ..cores(n, width, time) }
}

#[test]
fn work_that_prefers_price_waits_for_a_cheaper_hour_of_its_deadline_and_others_fill_in() {
    let mut world = world_with_cheap_hours(&[3, 4]);
    world.queue(thrifty(1, 4, 60));
    let made = world.admit(job_id(1), hour(9)).expect("there is time");
    assert_eq!((made[0].from, made[0].hold), (hour(3), true));
    assert_eq!(round(&mut world), [], "the node is free, and the hour is dear");
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!((why.standing, why.reasons[0].code), (JobStanding::NotYet, ReasonCode::JobHour));
    // A second one fits behind the first in the cheap time, a third does not any more.
    world.queue(thrifty(4, 4, 60));
    let made = world.admit(job_id(4), hour(9)).expect("there is time");
    assert_eq!((made[0].from, made[0].hold), (hour(4).plus(TURNOVER), true));
    world.queue(thrifty(5, 4, 60));
    let made = world.admit(job_id(5), hour(9)).expect("there is time");
    assert!(!made[0].hold && made[0].from < hour(2), "{made:?}");
    // It takes the time until then; what would run into it waits.
    world.queue(cores(2, 4, 120));
    assert_eq!(round(&mut world), [job_id(5)]);
    let wait = hour(3).since(world.now);
    assert_eq!(after(&mut world, wait), [job_id(1)]);
    assert_eq!(after(&mut world, minutes(60)), [], "some seconds too early for the next");
    assert_eq!(after(&mut world, TURNOVER), [job_id(4)]);
}

#[test]
fn who_does_not_prefer_price_or_could_not_go_once_more_does_not_wait() {
    let mut world = world_with_cheap_hours(&[3]);
    let begins = |world: &mut World, ask: JobAsk, by: Time| {
        let id = ask.job;
        world.queue(ask);
        let made = world.admit(id, by).expect("there is time");
        (made[0].from, made[0].hold)
    };
    let now = world.now;
    assert_eq!(begins(&mut world, cores(1, 1, 60), hour(9)), (now, false));
    let none = JobAsk { prefer: vec![Preference::Start], ..cores(2, 1, 60) };
    assert_eq!(begins(&mut world, none, hour(9)), (now, false));
    // After a failure in the cheap hour there would be no time for another attempt.
    assert_eq!(begins(&mut world, thrifty(3, 1, 60), hour(5)), (now, false));
    assert_eq!(begins(&mut world, thrifty(4, 1, 60), hour(6)), (hour(3), true));
}

#[test]
fn a_gang_waits_for_the_cheaper_hour_together() {
    let mut world = world_with_cheap_hours(&[3]);
    let rate = Rate { core_hour: Micro(10_000), ..Rate::default() };
    let hours = |cheap: Rate| HourlyRates {
        ahead: Span::ZERO,
        rates: std::array::from_fn(|hour| if hour == 3 { cheap } else { rate }),
    };
    let cheap = Rate { core_hour: Micro(5_000), ..rate };
    let offer = OfferView { hours: Some(hours(cheap).into()), rate, ..offer(0, 10_000) };
    world.show(pool(0, &[(4, 100, 0, None), (4, 100, 0, None)]), vec![offer]);
    let mut gang = thrifty(1, 4, 60);
    gang.tasks = Tasks::range(0..2);
    gang.gang =
        Some(dayan_schedule::GangAsk { size: 2, same: Same::Pool, near: None, least: None });
    world.queue(gang);
    let made = world.admit(job_id(1), hour(9)).expect("there is time");
    assert!(made.iter().all(|made| made.from == hour(3) && made.hold), "{made:?}");
    assert_eq!(round(&mut world), []);
    let wait = hour(3).since(world.now);
    assert_eq!(after(&mut world, wait), [job_id(1)]);
}
