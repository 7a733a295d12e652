//! What a node has promised for later, added up as plainly as it can be: at each moment, leases by
//! their latest ends and appointments beside each other. Shares no code with the planner.

use dayan_schedule::{Appointment, NodeName, Seat};
use dayan_units::{PoolId, Resources, Span, TaskId, Time};
use proptest::prelude::*;

use crate::world::World;

/// Nothing counts on a lease to have ended sooner after its limit.
pub const TURNOVER: Span = Span::from_secs(10);

/// What starts now may come so close to what is promised after it.
pub const GAP: Span = Span::from_secs(8);

/// How late a task may be in its own place without those that were promised behind it counting.
pub fn late(made: &Appointment, now: Time) -> Span {
    now.since(made.from).clamp(Span::ZERO, TURNOVER)
}

/// When an appointment is over at the latest, seen from now.
pub fn over(made: &Appointment, now: Time) -> Time {
    made.until.plus(now.since(made.from).max(Span::ZERO)).plus(TURNOVER)
}

/// Does a node hold that sum, in all that is asked for here? In the rest one that shrank may be
/// over-booked by old leases.
pub fn holds(asked: &Resources, sum: &Resources, has: &Resources) -> bool {
    let within = |asked: u64, sum: u64, has: u64| asked == 0 || sum <= has;
    within(asked.cpu.0, sum.cpu.0, has.cpu.0)
        && within(asked.memory.0, sum.memory.0, has.memory.0)
        && within(asked.accel.0, sum.accel.0, has.accel.0)
}

/// During that time everything fits on the node together, these new seats included; only what is
/// promised to tasks that have no new seat counts.
pub fn check(
    world: &World,
    new: &[(TaskId, &Seat, Time)],
    at: &(PoolId, NodeName),
    (from, until): (Time, Time),
    asked: &Resources,
) -> Result<(), TestCaseError> {
    let view = &world.pools[&at.0];
    let node = view.nodes.iter().find(|node| node.name == at.1).expect("shown");
    for closure in &view.closures {
        let meant = closure.nodes.is_empty() || closure.nodes.contains(&at.1);
        let apart = until.plus(GAP) <= closure.from || closure.until <= from;
        prop_assert!(!meant || apart, "nothing runs on a closed node");
    }
    let made: Vec<(TaskId, &Appointment)> = world
        .appointments
        .iter()
        .flat_map(|(job, made)| {
            made.iter().map(|made| (TaskId { job: *job, task: made.task }, made))
        })
        .filter(|(task, made)| {
            (made.pool, made.node.clone()) == *at && new.iter().all(|(seated, ..)| seated != task)
        })
        .collect();
    let begins = made.iter().map(|(_, made)| made.from);
    let begins = begins.filter(|begin| *begin > from && *begin < until.plus(GAP));
    for moment in std::iter::once(from).chain(begins) {
        let is_now = moment <= world.now;
        let mut sum = Resources::ZERO;
        let mut cards = 0;
        let mut add = |resources: &Resources| {
            sum = sum.checked_add(resources).expect("small");
            cards += resources.accel.0.div_ceil(1_000) * 1_000;
        };
        let mut promised = false;
        for (_, made) in &made {
            if made.from <= moment && moment < over(made, world.now) {
                add(&made.resources);
                promised = true;
            }
        }
        for lease in world.leases.values() {
            let here = (lease.seat.pool, lease.seat.node.clone()) == *at;
            if here && (is_now || lease.end.latest.plus(GAP) > moment) {
                sum = sum.checked_add(&lease.seat.resources).expect("small");
            }
        }
        for (_, seat, end) in new {
            if is_now || end.plus(GAP) > moment {
                sum = sum.checked_add(&seat.resources).expect("small");
            }
        }
        if promised {
            let has = &node.total;
            prop_assert!(holds(asked, &sum, has), "at {moment}: {sum} of {has}");
        }
    }
    Ok(())
}
