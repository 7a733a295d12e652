//! Stories of spot work that falls back: where spot is sold as long as there is room, else on demand.

use std::sync::Arc;

use dayan_schedule::{Ask, JobAsk, Mode, OfferView, Policy, Work};
use dayan_units::{JobId, Micro, PoolId};

use crate::world::{MINUTE, World, job, job_id, offer, pool, pool_id, resources};

/// Half the node of a pool, on spot.
fn spot(n: u32, falls_back: bool) -> JobAsk {
    let ask = Ask::plain(resources(2, 1, 0), MINUTE.times(30));
    job(n, Ask { mode: Mode::Spot, falls_back, ..ask }, 1)
}
/// A dear pool that sells spot and a cheap one that sells none.
fn world() -> World {
    let mut world = World::new(Policy::default());
    let sold =
        |n, price, spot_permille| OfferView { spot_permille, hours: None, ..offer(n, price) };
    world.show(pool(0, &[(4, 100, 0, None)]), vec![sold(0, 90_000, Some(900))]);
    world.show(pool(1, &[(4, 100, 0, None)]), vec![sold(1, 10_000, None)]);
    world
}
fn round(world: &mut World) -> Vec<(JobId, PoolId)> {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.check_plan(&plan).expect("every promise");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    plan.seats().map(|(task, seat)| (task.job, seat.pool)).collect()
}

#[test]
fn spot_while_there_is_room_and_then_on_demand() {
    let mut world = world();
    (0..3).for_each(|n| world.queue(spot(n, true)));
    let expect = [(job_id(0), pool_id(0)), (job_id(1), pool_id(0)), (job_id(2), pool_id(1))];
    assert_eq!(round(&mut world), expect);
    // Who does not fall back waits for spot.
    world.queue(spot(3, false));
    assert_eq!(round(&mut world), []);
    world.queue(spot(4, true));
    assert_eq!(round(&mut world), [(job_id(4), pool_id(1))]);
}

#[test]
fn on_demand_costs_the_full_price_and_caps_are_kept() {
    let world = world();
    let found = world.planner.candidates(&spot(0, true), world.now).candidates;
    let prices: Vec<(PoolId, Micro)> =
        found.iter().map(|found| (found.pool, found.price_per_task)).collect();
    // Two cores and a gigabyte for half an hour: at nine tenths of the price, and at all of it.
    assert_eq!(prices, [(pool_id(0), Micro(85_050)), (pool_id(1), Micro(10_500))]);
    let mut capped = spot(0, true);
    capped.max_unit_price = Some(Micro(15_000));
    let found = world.planner.candidates(&capped, world.now);
    assert!(found.candidates.is_empty(), "{found:?}");
    let mut never = spot(0, true);
    Arc::make_mut(&mut never.ask).falls_back = false;
    let found = world.planner.candidates(&never, world.now);
    assert_eq!(found.candidates.len(), 1);
}
