//! Room that long work leaves for short work.

use dayan_schedule::{Ask, Change, GangAsk, JobAsk, Policy, ReasonCode, Same};
use dayan_units::{MilliAccel, Span};

use crate::scenarios::{at, cores, minutes, one_node};
use crate::world::{MINUTE, World, job, job_id, offer, pool, resources};

/// Something short of so many cores came, and of so many cards.
fn short_came(world: &mut World, cores: u64, cards: u64) {
    world.short.came(world.now, &resources(cores, 1, 0), MINUTE);
    if cards > 0 {
        world.short.came(world.now, &resources(1, 1, cards * 1_000), MINUTE);
    }
    world.planner.observe(&Change::ShortJobs(world.short.clone()));
}

/// It is sure to run for eleven hours.
fn sure(ask: JobAsk) -> JobAsk {
    JobAsk { at_least: Some(minutes(660)), ..ask }
}

#[test]
fn long_work_leaves_room_for_what_is_short_until_it_is_due() {
    let mut world = one_node(48);
    short_came(&mut world, 4, 0);
    world.queue(cores(1, 4, 20_000));
    world.queue(sure(cores(2, 43, 700)));
    // Forty-four are free, and it would leave one of them instead of four.
    assert_eq!(at(&mut world, 0), [job_id(1)]);
    let why = world.planner.explain(job_id(2), world.now).expect("known");
    assert_eq!(why.reasons[0].code, ReasonCode::PoolKept);
    // It came a thousand seconds ago, and is due five days after.
    let due = minutes(5 * 24 * 60).minus(Span::from_secs(1_000));
    let start = why.start.expect("it will be due");
    assert!((start.p90.micros() - due.micros()).abs() < 10, "{start:?}");
    let rows = world.planner.first_reasons(&[job_id(2)], world.now);
    assert_eq!(rows[&job_id(2)][0].code, ReasonCode::PoolKept);
    // What is short has it, and so has what is long and leaves the room all the same.
    world.queue(cores(3, 4, 5));
    world.queue(sure(cores(4, 40, 700)));
    assert_eq!(at(&mut world, 1), [job_id(3)]);
    assert_eq!(at(&mut world, 6), [job_id(4)]);
    // While others come every day.
    for day in 1..6 {
        assert_eq!(at(&mut world, day * 1_430), []);
        short_came(&mut world, 4, 0);
    }
    assert_eq!(at(&mut world, 7_183), []);
    assert_eq!(at(&mut world, 7_184), [job_id(2)]);
}

#[test]
fn nothing_is_left_where_nobody_comes_for_it() {
    let mut world = one_node(48);
    world.queue(cores(1, 4, 20_000));
    world.queue(sure(cores(2, 43, 700)));
    assert_eq!(at(&mut world, 0), [job_id(1), job_id(2)]);
    let mut world = one_node(48);
    short_came(&mut world, 4, 0);
    world.queue(cores(1, 4, 20_000));
    world.queue(sure(cores(2, 43, 700)));
    assert_eq!(at(&mut world, 0), [job_id(1)]);
    // A day later nobody has come again.
    assert_eq!(at(&mut world, 24 * 60), []);
    assert_eq!(at(&mut world, 24 * 60 + 1), [job_id(2)]);
}

#[test]
fn what_must_be_first_leaves_nothing() {
    for (nth, leaves) in [false, false, true].into_iter().enumerate() {
        let mut world = one_node(48);
        short_came(&mut world, 4, 0);
        world.queue(cores(1, 4, 20_000));
        assert_eq!(at(&mut world, 0), [job_id(1)]);
        let long = sure(cores(2, 43, 700));
        world.queue(match nth {
            0 => JobAsk { priority: 1, ..long },
            1 => JobAsk { soft_deadline: Some(world.now.plus(minutes(2_000))), ..long },
            _ => long,
        });
        assert_eq!(at(&mut world, 1).is_empty(), leaves, "{nth}");
    }
}

#[test]
fn room_is_of_all_nodes_together_and_of_what_the_work_takes() {
    let mut world = World::new(Policy::default());
    // Four nodes of twelve cores, two of which have eight cards each.
    let nodes = [
        (12, 100, 0, None),
        (12, 100, 0, None),
        (12, 100, 8, Some("H100")),
        (12, 100, 8, Some("H100")),
    ];
    world.show(pool(0, &nodes), vec![offer(0, 10_000)]);
    short_came(&mut world, 6, 2);
    let gang = |n, size| {
        let ask = job(n, Ask::plain(resources(12, 1, 0), minutes(700)), size);
        sure(JobAsk {
            gang: Some(GangAsk { size, same: Same::Pool, near: None, least: None }),
            ..ask
        })
    };
    // Of forty-eight cores six are left, in sum: a gang of three has that, but not a seventh core more.
    world.queue(gang(1, 3));
    world.queue(sure(cores(2, 7, 700)));
    world.queue(sure(cores(3, 6, 700)));
    assert_eq!(at(&mut world, 0), [job_id(3), job_id(1)]);
    // A gang that would have its nodes, and leave five cores, hears that.
    let mut world = World::new(Policy::default());
    world.show(pool(0, &nodes), vec![offer(0, 10_000)]);
    short_came(&mut world, 6, 2);
    world.queue(cores(4, 7, 700));
    world.queue(gang(5, 3));
    assert_eq!(at(&mut world, 0), [job_id(4)]);
    let why = world.planner.explain(job_id(5), world.now).expect("known");
    assert_eq!(why.reasons[0].code, ReasonCode::PoolKept);
    let rows = world.planner.first_reasons(&[job_id(5)], world.now);
    assert_eq!(rows[&job_id(5)][0].code, ReasonCode::PoolKept);
    // Of sixteen cards two are left: processors are not asked about.
    let mut world = World::new(Policy::default());
    world.show(pool(0, &nodes), vec![offer(0, 10_000)]);
    short_came(&mut world, 48, 2);
    let cards = |n: u32, cards: u64| {
        let mut ask = Ask::plain(resources(1, 1, 0), minutes(700));
        ask.resources.accel = MilliAccel(cards * 1_000);
        sure(job(n, ask, 1))
    };
    for (n, asked) in [(4, 8), (5, 7), (6, 6)] {
        world.queue(cards(n, asked));
    }
    assert_eq!(at(&mut world, 0), [job_id(4), job_id(6)]);
}
