//! Stories of work that prefers clean electricity: which place, and in which hour.

use std::sync::Arc;

use dayan_schedule::{
    Ask, Carbon, HourlyCarbon, HourlyRates, JobAsk, JobStanding, OfferView, Policy, PoolView,
    Preference, ReasonCode, Work,
};
use dayan_topology::GridSeries;
use dayan_units::{JobId, Micro, PoolId, Rate, Span, Time};
use proptest::prelude::*;

use crate::world::{MINUTE, World, job, job_id, offer, pool, pool_id, resources};

fn minutes(n: i64) -> Span {
    MINUTE.times(n)
}
fn hour(n: i64) -> Time {
    Time::EPOCH.plus(minutes(60 * n))
}
/// Grams by the hour from midnight on; it is 16 minutes past.
fn grid(grams: &[u32]) -> Carbon {
    let series = GridSeries { from: hour(0), grams_per_kwh: grams.to_vec() };
    let hours = Some(Arc::new(HourlyCarbon { shown: hour(0), series }));
    Carbon { grams_per_kwh: 600, pue_permille: 1_200, hours }
}
fn powered(n: u8, carbon: Option<Carbon>) -> PoolView {
    PoolView { carbon, ..pool(n, &[(4, 100, 0, None)]) }
}
fn flat(n: u8, price: i64) -> OfferView {
    OfferView { hours: None, ..offer(n, price) }
}
fn clean(n: u32, width: u64, time: i64) -> JobAsk {
    let ask = Ask::plain(resources(width, 1, 0), minutes(time));
    JobAsk { prefer: vec![Preference::Carbon], ..job(n, ask, 1) }
}
fn world_of(pools: &[(PoolView, OfferView)]) -> World {
    let mut world = World::new(Policy::default());
    for (view, offer) in pools {
        world.show(view.clone(), vec![offer.clone()]);
    }
    world
}
fn round(world: &mut World) -> Vec<JobId> {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.check_plan(&plan).expect("every promise");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    plan.placements.iter().map(|placement| placement.job).collect()
}
/// Where, when, and not sooner?
fn admitted(world: &mut World, ask: JobAsk, by: Time) -> (PoolId, Time, bool) {
    let id = ask.job;
    world.queue(ask);
    let made = world.admit(id, by).expect("there is time");
    (made[0].pool, made[0].from, made[0].hold)
}

#[test]
fn work_that_prefers_carbon_goes_to_the_cleanest_place_in_its_cleanest_hour() {
    let mut world = world_of(&[
        (powered(0, Some(grid(&[500, 400, 300, 90, 500, 500, 500, 500]))), flat(0, 1_000)),
        (powered(1, Some(grid(&[200, 200, 200, 200, 80, 200, 200, 200]))), flat(1, 9_000)),
        (powered(2, None), flat(2, 1_000)),
    ]);
    // The cleanest hour is the dear pool's; a task of an hour has it for itself.
    assert_eq!(admitted(&mut world, clean(1, 4, 60), hour(8)), (pool_id(1), hour(4), true));
    assert_eq!(round(&mut world), []);
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!((why.standing, why.reasons[0].code), (JobStanding::NotYet, ReasonCode::JobHour));
    assert!(why.reasons[0].message.contains("cleaner"), "{}", why.reasons[0].message);
    // That hour is taken; the next best is the other pool's.
    assert_eq!(admitted(&mut world, clean(2, 4, 60), hour(8)), (pool_id(0), hour(3), true));
    // What runs for three hours goes by the mean of them, and starts at once where that is best.
    let now = world.now;
    assert_eq!(admitted(&mut world, clean(3, 4, 180), hour(30)).0, pool_id(1));
    // Who could not go once more in time does not wait, and goes to the cleanest place of this hour.
    let mut world = world_of(&[
        (powered(0, Some(grid(&[500, 400, 300, 90, 500, 500, 500, 500]))), flat(0, 1_000)),
        (powered(1, Some(grid(&[200, 200, 200, 200, 80, 200, 200, 200]))), flat(1, 9_000)),
    ]);
    assert_eq!(admitted(&mut world, clean(1, 1, 60), hour(3)), (pool_id(1), now, false));
}

#[test]
fn among_hours_of_one_price_the_cleanest_and_a_price_before_all_carbon() {
    let of = |dear: i64| Rate { core_hour: Micro(dear), ..Rate::default() };
    let cheap_from_two =
        std::array::from_fn(|hour| of(if (2..6).contains(&hour) { 5_000 } else { 10_000 }));
    let hours = Arc::new(HourlyRates { ahead: Span::ZERO, rates: cheap_from_two });
    let priced = OfferView { hours: Some(hours), rate: of(10_000), ..offer(0, 10_000) };
    let grams = [400, 50, 300, 300, 120, 300, 300, 300];
    let both = |n, prefer: &[Preference]| JobAsk { prefer: prefer.to_vec(), ..clean(n, 1, 60) };
    let found = |prefer: &[Preference]| {
        let mut world = world_of(&[(powered(0, Some(grid(&grams))), priced.clone())]);
        admitted(&mut world, both(1, prefer), hour(9)).1
    };
    use Preference::{Carbon, Price, Start};
    assert_eq!(found(&[Price, Carbon]), hour(4), "the cleanest of the cheap hours");
    assert_eq!(found(&[Carbon, Price]), hour(1), "the cleanest of all");
    assert_eq!(found(&[Price, Start, Carbon]), hour(2), "the first of the cheap hours");
}

#[test]
fn places_are_compared_by_what_a_task_would_emit_until_its_limit_from_this_hour_on() {
    let mut world = world_of(&[
        (powered(0, Some(grid(&[100, 900, 900, 900, 900]))), flat(0, 1_000)),
        (powered(1, Some(grid(&[300; 5]))), flat(1, 1_000)),
    ]);
    let (short, long) = (clean(1, 1, 30), clean(2, 1, 180));
    let best = |world: &World, ask: &JobAsk| {
        let found = world.planner.candidates(ask, world.now).candidates;
        (found[0].pool, found[0].carbon_milligrams_per_kwh)
    };
    // Half an hour from 00:16 on is all of the first hour's 44 minutes at most.
    assert_eq!(best(&world, &short), (pool_id(0), Some(120_000)));
    assert_eq!(best(&world, &long), (pool_id(1), Some(360_000)));
    // Another hour is another picture.
    let later = |carbon: Carbon| {
        let hours = carbon.hours.clone().expect("by the hour");
        let shown = HourlyCarbon { shown: hour(1), ..(*hours).clone() };
        Carbon { hours: Some(Arc::new(shown)), ..carbon }
    };
    world.now = hour(1);
    world.show(powered(0, Some(later(grid(&[100, 900, 900, 900, 900])))), vec![flat(0, 1_000)]);
    world.show(powered(1, Some(later(grid(&[300; 5])))), vec![flat(1, 1_000)]);
    assert_eq!(best(&world, &short).0, pool_id(1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Who waits emits no more in its hour, for a kilowatt-hour, than at once in the cleanest place,
    /// and ends in time; on an empty estate it emits no more than in any other full hour.
    #[test]
    fn nobody_waits_for_a_dirtier_hour(
        one in prop::collection::vec(10u32..900, 30),
        other in prop::collection::vec(10u32..900, 30),
        time in 1i64..5,
        within in 1i64..28,
    ) {
        let grids = [grid(&one), grid(&other)];
        let mut world = world_of(&[
            (powered(0, Some(grids[0].clone())), flat(0, 1_000)),
            (powered(1, Some(grids[1].clone())), flat(1, 1_000)),
        ]);
        let limit = minutes(60 * time);
        let by = world.now.plus(limit).plus(minutes(60 * within));
        let (pool, from, hold) = admitted(&mut world, clean(1, 4, 60 * time), by);
        let emits = |nth: usize, from: Time| grids[nth].milligrams_per_kwh(from, limit);
        let found = emits(usize::from(pool == pool_id(1)), from);
        let at_once = (0..2).map(|nth| emits(nth, hour(0))).min().expect("two");
        prop_assert!(from.plus(limit) <= by);
        prop_assert!(!hold || found <= at_once.max(emits(0, world.now)).max(emits(1, world.now)));
        let latest = by.minus(limit.times(2));
        for begin in (1..28).map(hour).filter(|begin| *begin < latest && hold) {
            for nth in 0..2 {
                prop_assert!(found <= emits(nth, begin), "{begin} in {nth} is cleaner");
            }
        }
    }
}
