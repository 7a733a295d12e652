//! Small stories, each with one answer: order, backfilling, starvation, gangs, reasons, estimates.

use std::collections::BTreeMap;

use crate::world::{MINUTE, World, job, job_id, offer, pool, pool_id, project_id, resources};
use dayan_schedule::order::OVERTAKEN_MAX;
use dayan_schedule::{
    Ask, Candidate, Change, DataAt, DelayAsk, GangAsk, JobAsk, JobStanding, Network, NodeUp,
    OrgRule, Pin, Placing, Plan, Policy, Preference, ReasonCode, Residence, Same, StartEstimate,
    Tasks, Trust, Work,
};
use dayan_units::{
    AttemptId, Bytes, FlopRate, JobId, Micro, MilliAccel, OfferId, OrgId, PoolId, Resources, Span,
    Time,
};

pub(crate) fn minutes(n: i64) -> Span {
    MINUTE.times(n)
}

/// A job of one task with so many cores for so long.
pub(crate) fn cores(n: u32, cores: u64, time: i64) -> JobAsk {
    job(n, Ask::plain(resources(cores, 1, 0), minutes(time)), 1)
}

/// The same, waiting for so long that it is due before whatever comes now.
fn long_due(ask: JobAsk) -> JobAsk {
    JobAsk { submitted_at: ask.submitted_at.minus(OVERTAKEN_MAX), ..ask }
}

pub(crate) fn one_node(cores: u64) -> World {
    let mut world = World::new(Policy::default());
    world.show(pool(0, &[(cores, 100, 0, None)]), vec![offer(0, 10_000)]);
    world
}

/// Plans and commits; the jobs that started, in order.
pub(crate) fn round(world: &mut World) -> Vec<JobId> {
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.check_plan(&plan).expect("every promise");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    plan.placements.iter().map(|placement| placement.job).collect()
}

/// Ends all leases that are over, then plans.
pub(crate) fn at(world: &mut World, minute: i64) -> Vec<JobId> {
    world.now = Time::from_micros(1_000_000_000).plus(minutes(minute));
    let over = world.leases.iter().filter(|(_, lease)| lease.end.latest <= world.now);
    let over: Vec<AttemptId> = over.map(|(attempt, _)| *attempt).collect();
    for attempt in over {
        world.end(attempt);
    }
    round(world)
}

pub(crate) fn pools_of(plan: &Plan) -> Vec<PoolId> {
    plan.seats().map(|(_, seat)| seat.pool).collect()
}

#[test]
fn among_equals_the_job_that_is_due_first_goes_first() {
    let mut world = one_node(1);
    // An hour on one core is due four hours after it came, a minute after four minutes.
    let long = cores(1, 1, 60);
    let short = JobAsk { submitted_at: Time::EPOCH.plus(minutes(3 * 60)), ..cores(2, 1, 1) };
    let late = JobAsk { submitted_at: Time::EPOCH.plus(minutes(4 * 60)), ..cores(3, 1, 1) };
    // Learned to take a minute, which makes a quarter of what its limit says.
    let learned = JobAsk {
        submitted_at: Time::EPOCH.plus(minutes(3 * 60 - 2)),
        expected: Some(minutes(1)),
        ..cores(4, 1, 60)
    };
    for ask in [long, short, late, learned] {
        world.queue(ask);
    }
    assert_eq!(at(&mut world, 601), [job_id(2)]);
    assert_eq!(at(&mut world, 602), [job_id(4)]);
    assert_eq!(at(&mut world, 662), [job_id(1)]);
    assert_eq!(at(&mut world, 722), [job_id(3)]);
}

#[test]
fn a_project_that_had_more_than_its_share_stands_behind_and_not_for_ever() {
    let mut world = one_node(1);
    let of = |project, ask: JobAsk| JobAsk { project: project_id(project), ..ask };
    // Due four minutes after they came.
    for n in 1..4 {
        world.queue(of(1, cores(n, 1, 1)));
    }
    let came = |minute| Time::EPOCH.plus(minutes(minute));
    for (n, minute) in [(4, 30), (5, 90)] {
        world.queue(JobAsk { submitted_at: came(minute), ..of(0, cores(n, 1, 1)) });
    }
    world.put_behind(project_id(1), minutes(60));
    // An hour behind: after what came half an hour later, before what came an hour and a half later.
    assert_eq!(at(&mut world, 600), [job_id(4)]);
    let why = world.planner.explain(job_id(5), world.now).expect("known");
    assert_eq!((why.position, why.behind), (Some(3), Span::ZERO));
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!((why.position, why.behind), (Some(0), minutes(60)));
    assert_eq!(at(&mut world, 601), [job_id(1)]);
    // Its order within stays; with its share back it is not behind any more.
    world.put_behind(project_id(1), minutes(100));
    assert_eq!(at(&mut world, 602), [job_id(5)]);
    world.put_behind(project_id(1), Span::ZERO);
    world.queue(JobAsk { submitted_at: came(30), ..of(0, cores(6, 1, 1)) });
    assert_eq!(at(&mut world, 603), [job_id(2)]);
    // However much it had, it is never more than a day behind.
    world.put_behind(project_id(1), OVERTAKEN_MAX);
    world.queue(JobAsk { submitted_at: came(24 * 60 + 1), ..of(0, cores(7, 1, 1)) });
    assert_eq!(at(&mut world, 604), [job_id(6)]);
    assert_eq!(at(&mut world, 605), [job_id(3)]);
}

#[test]
fn strict_jobs_of_a_project_keep_their_order_of_arrival() {
    let mut world = one_node(4);
    world.queue(cores(1, 3, 60));
    assert_eq!(at(&mut world, 0), [job_id(1)]);
    let strict = |n, cores_asked, time| JobAsk { strict: true, ..cores(n, cores_asked, time) };
    world.queue(strict(2, 4, 10));
    world.queue(strict(3, 1, 1));
    world.queue(JobAsk { project: project_id(1), ..strict(4, 1, 1) });
    // The first is too large for now; another project's is not held up by it.
    assert_eq!(at(&mut world, 1), [job_id(4)]);
    let why = world.planner.explain(job_id(3), world.now).expect("known");
    assert_eq!(why.standing, JobStanding::BehindStrict);
    assert_eq!(why.reasons[0].code, ReasonCode::JobStrict);
    assert!(why.reasons[0].message.starts_with(&job_id(2).to_string()));
    assert_eq!(at(&mut world, 2), []);
    assert_eq!(at(&mut world, 60), [job_id(2)]);
    assert_eq!(at(&mut world, 70), [job_id(3)]);
    // One that is withdrawn holds nobody up.
    world.queue(strict(5, 4, 10));
    world.queue(strict(6, 1, 10));
    world.queue(strict(7, 1, 10));
    world.drop_job(job_id(5));
    assert_eq!(at(&mut world, 70), [job_id(6), job_id(7)]);
}

#[test]
fn order_is_priority_then_age_then_id() {
    let mut world = one_node(2);
    for (n, priority, submitted) in [(1, 0, 5), (2, 0, 3), (3, 7, 9), (4, 0, 3)] {
        let mut ask = cores(n, 1, 10);
        ask.priority = priority;
        ask.submitted_at = Time::from_micros(submitted);
        world.queue(ask);
    }
    assert_eq!(at(&mut world, 0), [job_id(3), job_id(2)]);
    assert_eq!(at(&mut world, 10), [job_id(4), job_id(1)]);
}

#[test]
fn backfilling_never_delays_a_reserved_head() {
    let mut world = one_node(8);
    world.queue(cores(1, 4, 10));
    world.queue(cores(2, 2, 100));
    assert_eq!(at(&mut world, 0), [job_id(1), job_id(2)]);
    // The head needs 6 of 8 cores: free at minute 10, when job 1 ends.
    world.queue(long_due(cores(3, 6, 50)));
    world.queue(cores(4, 1, 30)); // would hold a core beyond minute 10: none is left over then
    world.queue(cores(5, 2, 9)); // ends in time
    assert_eq!(at(&mut world, 1), [job_id(5)]);
    let why = world.planner.explain(job_id(3), world.now).expect("known");
    assert_eq!(why.standing, JobStanding::Waiting);
    assert_eq!(why.start, Some(StartEstimate { p50: minutes(9), p90: minutes(9) }));
    let held = world.planner.explain(job_id(4), world.now).expect("known");
    assert!(held.counts.iter().any(|count| count.code == ReasonCode::PoolBusy));
    assert_eq!(at(&mut world, 10), [job_id(3)]);
    assert_eq!(at(&mut world, 60), [job_id(4)]);
}

/// Four jobs on eight cores, all with limits of an hour: the first ends after eight minutes, the
/// second is expected to after ten, the others after thirty. Then comes one of four cores.
fn soon_free(head: JobAsk) -> World {
    let known = |n, run| JobAsk { expected: Some(minutes(run)), ..cores(n, 2, 60) };
    let mut world = one_node(8);
    for (n, run) in [(1, 10), (2, 10), (3, 30), (4, 30)] {
        world.queue(known(n, run));
    }
    assert_eq!(at(&mut world, 0).len(), 4);
    world.queue(head);
    end(&mut world, 1);
    world
}

fn end(world: &mut World, n: u32) {
    let attempt = world.leases.keys().find(|attempt| attempt.job == job_id(n)).copied();
    world.end(attempt.expect("it runs"));
}

#[test]
fn work_of_less_priority_leaves_room_for_what_is_expected_to_start_soon() {
    let ten = |n, asked| JobAsk { expected: Some(minutes(10)), ..cores(n, asked, 60) };
    let mut world = soon_free(JobAsk { priority: 1, ..ten(5, 4) });
    // By their limits all end together, and leave four cores over. By what is known of them the
    // first is free in two minutes, and leaves none: ten minutes would be in the way.
    world.queue(ten(6, 2));
    assert_eq!(at(&mut world, 8), []);
    // What is expected to end before is not.
    world.queue(JobAsk { expected: Some(minutes(1)), ..cores(7, 2, 60) });
    assert_eq!(at(&mut world, 8), [job_id(7)]);
    end(&mut world, 7);
    assert_eq!(at(&mut world, 9), []);
    end(&mut world, 2);
    assert_eq!(at(&mut world, 10), [job_id(5)]);
    assert_eq!(at(&mut world, 11), []);
}

/// Two cores are free since the eighth minute, four more are expected to be after ten minutes, and two
/// after eleven; two jobs wait that want four cores each.
fn two_wait(second: i32) -> World {
    let known = |n, asked, run| JobAsk { expected: Some(minutes(run)), ..cores(n, asked, 60) };
    let mut world = one_node(8);
    for (n, asked, run) in [(1, 2, 30), (2, 4, 10), (3, 2, 11)] {
        world.queue(known(n, asked, run));
    }
    assert_eq!(at(&mut world, 0).len(), 3);
    for (n, limit, priority) in [(4, 60, 1), (5, 61, second)] {
        world.queue(JobAsk { priority, expected: Some(minutes(10)), ..cores(n, 4, limit) });
    }
    end(&mut world, 1);
    assert_eq!(at(&mut world, 8), []);
    world
}

#[test]
fn all_who_wait_with_more_priority_keep_what_comes_free() {
    // The first starts in two minutes on the four that come free then. The two that are free now are
    // the second's.
    let ten = JobAsk { expected: Some(minutes(10)), ..cores(6, 2, 60) };
    let mut world = two_wait(1);
    world.queue(ten.clone());
    assert_eq!(at(&mut world, 8), []);
    // What is expected to end before the second starts is not in its way.
    world.queue(JobAsk { expected: Some(minutes(2)), ..cores(7, 2, 60) });
    assert_eq!(at(&mut world, 8), [job_id(7)]);
    end(&mut world, 7);
    end(&mut world, 2);
    assert_eq!(at(&mut world, 10), [job_id(4)]);
    end(&mut world, 3);
    assert_eq!(at(&mut world, 11), [job_id(5)]);
    // An equal of the second may pass it, as far as its reservation allows.
    let mut world = two_wait(0);
    world.queue(ten);
    assert_eq!(at(&mut world, 8), [job_id(6)]);
}

#[test]
fn an_equal_may_use_what_the_head_of_the_queue_leaves_over_by_limits() {
    let ten = |n, asked| JobAsk { expected: Some(minutes(10)), ..cores(n, asked, 60) };
    let mut world = soon_free(ten(5, 4));
    world.queue(JobAsk { submitted_at: Time::EPOCH.plus(minutes(100)), ..ten(6, 2) });
    assert_eq!(at(&mut world, 8), [job_id(6)]);
}

#[test]
fn what_is_late_is_not_waited_for_for_ever() {
    let one = |n| JobAsk { expected: Some(minutes(1)), ..cores(n, 2, 60) };
    let mut world = soon_free(JobAsk { priority: 1, ..one(5) });
    // The head fits at once; the next needs six cores, which were expected free by minute 30.
    assert_eq!(at(&mut world, 8), [job_id(5)]);
    end(&mut world, 5);
    world.queue(JobAsk { priority: 1, ..cores(8, 6, 60) });
    world.queue(one(6));
    // Half a minute late: as much later again is too soon for a minute of work.
    world.now = Time::from_micros(1_000_000_000).plus(minutes(30)).plus(Span::from_secs(30));
    assert_eq!(round(&mut world), []);
    // Two minutes late: it is expected to go on for two more.
    assert_eq!(at(&mut world, 32), [job_id(6)]);
}

#[test]
fn what_the_head_leaves_over_may_be_used_for_long() {
    let mut world = one_node(8);
    world.queue(cores(1, 7, 10));
    assert_eq!(at(&mut world, 0), [job_id(1)]);
    world.queue(cores(2, 6, 50));
    world.queue(cores(3, 1, 1_000)); // 8 − 6 leaves two cores over
    world.queue(cores(4, 1, 1_000)); // but only one is free now
    assert_eq!(at(&mut world, 1), [job_id(3)]);
    assert_eq!(at(&mut world, 10), [job_id(2), job_id(4)]);
}

#[test]
fn a_big_head_starts_although_small_work_keeps_coming() {
    let mut world = one_node(8);
    for n in 0..8 {
        world.queue(cores(n, 1, 10 + i64::from(n)));
    }
    at(&mut world, 0);
    world.queue(long_due(cores(100, 8, 10)));
    let mut started = None;
    for minute in 1..60 {
        world.queue(cores(1_000 + u32::try_from(minute).expect("small"), 1, 15));
        if at(&mut world, minute).contains(&job_id(100)) {
            started = Some(minute);
            break;
        }
    }
    // The last of the first eight ends at minute 17; nothing later may hold a core beyond it.
    assert_eq!(started, Some(17));
}

#[test]
fn without_reservations_the_same_head_starves() {
    let policy = Policy { reservations_max: 0, ..Policy::default() };
    let mut world = World::new(policy);
    world.show(pool(0, &[(8, 100, 0, None)]), vec![offer(0, 10_000)]);
    for n in 0..8 {
        world.queue(cores(n, 1, 10 + i64::from(n)));
    }
    at(&mut world, 0);
    world.queue(long_due(cores(100, 8, 10)));
    for minute in 1..60 {
        world.queue(cores(1_000 + u32::try_from(minute).expect("small"), 1, 15));
        assert!(!at(&mut world, minute).contains(&job_id(100)));
    }
}

#[test]
fn the_cheapest_pool_first_or_what_the_job_prefers() {
    let mut world = World::new(Policy::default());
    for (n, price, reliability) in [(0u8, 30_000, 999), (2, 10_000, 900), (4, 20_000, 950)] {
        let mut offer = offer(n, price);
        offer.reliability_permille = reliability;
        world.show(pool(n, &[(1, 10, 0, None)]), vec![offer]);
    }
    for n in 0..3 {
        world.queue(cores(n, 1, 10));
    }
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(pools_of(&plan), [pool_id(2), pool_id(4), pool_id(0)]);
    let mut ask = cores(9, 1, 10);
    ask.prefer = vec![Preference::Reliability];
    let answer = world.planner.candidates(&ask, world.now);
    assert_eq!(world.planner.stats().tentative, 3);
    let mut fresh = world.fresh();
    let order = |answer: dayan_schedule::Candidates| {
        answer.candidates.into_iter().map(|candidate| candidate.pool).collect::<Vec<_>>()
    };
    assert_eq!(order(answer), [pool_id(0), pool_id(4), pool_id(2)]);
    ask.prefer = Vec::new();
    assert_eq!(order(fresh.candidates(&ask, world.now)), [pool_id(2), pool_id(4), pool_id(0)]);
    assert_eq!(fresh.plan(world.now, Work::UNBOUNDED).placements, plan.placements);
}

#[test]
fn buyer_classes_minimum_times_and_caps_decide_the_price() {
    let mut world = World::new(Policy::default());
    let mut dear = offer(0, 100_000);
    dear.classes = BTreeMap::from([("internal".to_owned(), 600)]);
    dear.minimum = minutes(60);
    world.show(pool(0, &[(4, 100, 0, None)]), vec![dear]);
    let mut ask = job(1, Ask::plain(resources(1, 0, 0), minutes(30)), 4);
    let price = |world: &World, ask: &JobAsk| {
        let answer = world.planner.candidates(ask, world.now);
        answer.candidates.first().map(|found| (found.unit_price, found.price_per_task, found.price))
    };
    let list = Micro(100_000);
    assert_eq!(price(&world, &ask), Some((list, list, Micro(400_000))));
    ask.buyer_class = "internal".to_owned();
    assert_eq!(price(&world, &ask), Some((Micro(60_000), Micro(60_000), Micro(240_000))));
    ask.max_price = Some(Micro(240_000));
    assert!(price(&world, &ask).is_some());
    ask.max_price = Some(Micro(239_999));
    assert_eq!(price(&world, &ask), None);
    let refused = world.planner.candidates(&ask, world.now).refused;
    assert_eq!(refused[0].reasons[0].code, ReasonCode::PoolPrice);
    // A quote is firm: caps were judged when it was accepted.
    ask.quote = Some(Pin { pool: pool_id(0), offer: OfferId::from_bits(1) });
    assert!(price(&world, &ask).is_some());
    ask.quote = Some(Pin { pool: pool_id(0), offer: OfferId::from_bits(9) });
    let refused = world.planner.candidates(&ask, world.now).refused;
    assert_eq!(refused[0].reasons[0].code, ReasonCode::PoolOffer);
}

#[derive(Debug)]
struct Ruler;
impl Network for Ruler {
    fn one_way(&self, from: &str, to: &str, _: u8, _: Time) -> Option<Span> {
        match (from, to) {
            ("Chengdu", _) => Some(Span::from_millis(6)),
            ("Guiyang", "Guiyang") => Some(Span::from_millis(1)),
            _ => None,
        }
    }
    fn transfer_time(&self, _: &str, _: &str, bytes: Bytes, _: Time) -> Option<Span> {
        Some(Span::from_secs(i64::try_from(bytes.0 / 1_000_000_000).ok()?))
    }
}

#[test]
fn work_goes_where_its_data_is_and_what_a_site_holds_is_not_brought() {
    let mut world = World::new(Policy::default());
    let shows = |world: &mut World| {
        world.planner.observe(&Change::Network(std::sync::Arc::new(Ruler)));
    };
    shows(&mut world);
    for n in [0, 1] {
        world.show(pool(n, &[(4, 16, 0, None)]), vec![offer(n, 10_000)]);
    }
    let of = |gigabytes: u64, key| DataAt {
        place: "Guiyang".to_owned(),
        bytes: Bytes(gigabytes * 1_000_000_000),
        key,
    };
    let mut ask = Ask::plain(resources(1, 1, 0), minutes(10));
    ask.data = vec![of(50, Some(7)), of(2, None), of(1, Some(9))];
    let moved = |world: &World| {
        let found = world.planner.candidates(&job(1, ask.clone(), 1), world.now).candidates;
        let told = |found: &Candidate| {
            let seconds = found.transfer.expect("known").secs_floor();
            assert_eq!(found.start.p50.secs_floor(), seconds, "moving it comes first");
            (found.pool, seconds, found.missing.0 / 1_000_000_000)
        };
        found.iter().map(told).collect::<Vec<_>>()
    };
    let (first, second) = (pool_id(0), pool_id(1));
    assert_eq!(moved(&world), [(first, 53, 53), (second, 53, 53)]);
    let holds = |world: &mut World, pool, files: &[u64]| {
        let files = std::sync::Arc::new(files.iter().copied().collect());
        world.planner.observe(&Change::PoolHolds { pool, files });
    };
    holds(&mut world, second, &[7, 8]);
    assert_eq!(moved(&world), [(second, 3, 3), (first, 53, 53)], "of equal prices the nearer");
    // What waits already is judged again, and nothing that is held costs a refusal.
    world.queue(job(1, ask.clone(), 1));
    let placed = |world: &mut World| {
        let plan = world.planner.plan(world.now, Work::UNBOUNDED);
        plan.placements.iter().flat_map(|made| &made.seats).map(|seat| seat.pool).next()
    };
    holds(&mut world, second, &[]);
    holds(&mut world, first, &[7, 9]);
    assert_eq!(placed(&mut world), Some(first));
    let mut dear = World::new(Policy::default());
    shows(&mut dear);
    dear.show(pool(0, &[(4, 16, 0, None)]), vec![offer(0, 10_000)]);
    dear.show(pool(1, &[(4, 16, 0, None)]), vec![offer(1, 20_000)]);
    holds(&mut dear, second, &[7, 9]);
    let near = JobAsk { prefer: vec![Preference::Start], ..job(2, ask.clone(), 1) };
    dear.queue(near);
    assert_eq!(placed(&mut dear), Some(second), "who prefers it pays for it");
    let mut cheap = World::new(Policy::default());
    shows(&mut cheap);
    cheap.show(pool(0, &[(4, 16, 0, None)]), vec![offer(0, 10_000)]);
    cheap.show(pool(1, &[(4, 16, 0, None)]), vec![offer(1, 20_000)]);
    holds(&mut cheap, second, &[7, 9]);
    cheap.queue(job(3, ask.clone(), 1));
    assert_eq!(placed(&mut cheap), Some(first), "by itself the price comes first");
}

/// Who reads why a job waits is told of the pool that is nearest to taking it.
#[test]
fn of_pools_that_lack_something_the_one_that_lacks_least_speaks() {
    let mut world = World::new(Policy::default());
    let show = |world: &mut World, number, features: &[&str]| {
        let mut view = pool(number, &[(4, 16, 0, None)]);
        view.features = features.iter().map(|word| (*word).to_owned()).collect();
        world.show(view, vec![offer(number, 10_000)]);
    };
    show(&mut world, 1, &["process"]);
    show(&mut world, 2, &["containers", "steps"]);
    let mut ask = Ask::plain(resources(1, 1, 0), minutes(10));
    let wanted = ["containers", "shared_folder", "steps"].map(str::to_owned);
    ask.pool_features.extend(wanted);
    world.queue(job(1, ask, 1));
    world.planner.plan(world.now, Work::UNBOUNDED);
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    let told: Vec<_> =
        why.reasons.iter().map(|reason| (reason.code, reason.message.as_str())).collect();
    assert_eq!(told, [(ReasonCode::PoolFeature, "lacks shared_folder")]);
    assert_eq!(why.counts[0].pools, 2);
    // One that is as near lacks something else.
    show(&mut world, 3, &["shared_folder", "steps"]);
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!(why.reasons[0].message, "lacks shared_folder; another lacks containers");
}

#[test]
fn every_rule_refuses_under_its_own_code() {
    let mut world = World::new(Policy::default());
    world.planner.observe(&Change::Network(std::sync::Arc::new(Ruler)));
    let mut view = pool(1, &[(4, 16, 1, Some("H100"))]);
    view.nodes[0].capability = BTreeMap::from([("fp16".to_owned(), FlopRate(900))]);
    view.placing = Placing::ByPool;
    view.rules = OrgRule { deny: [OrgId::from_bits(66)].into(), ..OrgRule::default() };
    world.show(view, vec![offer(1, 10_000)]);
    let check = |change: &dyn Fn(&mut JobAsk, &mut Ask), expect: Option<ReasonCode>| {
        let mut ask = Ask::plain(resources(1, 1, 0), minutes(10));
        let mut wish = job(1, ask.clone(), 2);
        change(&mut wish, &mut ask);
        wish.ask = std::sync::Arc::new(ask);
        let answer = world.planner.candidates(&wish, world.now);
        let first = answer.refused.first().map(|refused| refused.reasons[0].code);
        assert_eq!(first, expect, "{wish:?}");
        assert_eq!(answer.candidates.len(), usize::from(expect.is_none()));
        // The same verdict where it is queued, with its one relaxation.
        let mut planner = world.fresh();
        planner.observe(&Change::Network(std::sync::Arc::new(Ruler)));
        planner.observe(&Change::JobQueued(Box::new(wish.clone())));
        let plan = planner.plan(world.now, Work::UNBOUNDED);
        assert_eq!(plan.is_empty(), expect.is_some());
        let why = planner.explain(wish.job, world.now).expect("known");
        if let Some(code) = expect {
            assert_eq!(why.standing, JobStanding::Infeasible);
            assert_eq!(why.counts[0].code, code);
            assert_eq!(plan.refusals[0].reasons, why.counts);
            let opens = why.relaxations.iter().any(|relaxed| relaxed.code == code);
            assert_eq!(opens, code != ReasonCode::PoolNoNodeFits);
        }
    };
    check(&|_, _| {}, None);
    check(&|job, _| job.org = OrgId::from_bits(66), Some(ReasonCode::PoolDenied));
    check(
        &|_, ask| ask.providers_denied = [dayan_units::ProviderId::from_bits(2)].into(),
        Some(ReasonCode::PoolDenied),
    );
    check(&|_, ask| ask.trust = Trust::Verified, Some(ReasonCode::PoolTrust));
    check(&|_, ask| ask.regions = ["Guizhou".to_owned()].into(), Some(ReasonCode::PoolRegion));
    check(&|_, ask| ask.regions = ["Sichuan".to_owned()].into(), None);
    check(&|_, ask| ask.residence = Residence::Domestic, Some(ReasonCode::PoolResidence));
    check(
        &|_, ask| ask.pool_features = ["containers".to_owned()].into(),
        Some(ReasonCode::PoolFeature),
    );
    check(&|_, ask| ask.node_features = ["numa".to_owned()].into(), Some(ReasonCode::PoolFeature));
    check(
        &|job, _| job.gang = Some(GangAsk { size: 2, same: Same::Fabric, near: None, least: None }),
        Some(ReasonCode::PoolFeature),
    );
    let delay = |from: &str, millis| DelayAsk {
        class: "T2".to_owned(),
        bound: Span::from_millis(millis),
        from: vec!["Guiyang".to_owned(), from.to_owned()],
        percentile: 99,
    };
    check(&|_, ask| ask.delay = Some(delay("Chengdu", 6)), None);
    check(&|_, ask| ask.delay = Some(delay("Chengdu", 5)), Some(ReasonCode::PoolDelay));
    check(&|_, ask| ask.delay = Some(delay("Nowhere", 5)), Some(ReasonCode::PoolDelay));
    check(&|_, ask| ask.resources.accel = MilliAccel(1_000), None);
    check(&|_, ask| ask.resources.accel = MilliAccel(1_001), Some(ReasonCode::PoolNoNodeFits));
    let fp16 = |floor| BTreeMap::from([("fp16".to_owned(), FlopRate(floor))]);
    check(&|_, ask| ask.capability = fp16(900), None);
    check(&|_, ask| ask.capability = fp16(901), Some(ReasonCode::PoolNoNodeFits));
    check(
        &|_, ask| ask.capability = BTreeMap::from([("fp64".to_owned(), FlopRate(1))]),
        Some(ReasonCode::PoolCapability),
    );
    check(
        &|_, ask| {
            ask.resources.accel = MilliAccel(500);
            ask.capability = fp16(451);
        },
        Some(ReasonCode::PoolCapability),
    );
    check(&|_, ask| ask.resources = resources(5, 1, 0), Some(ReasonCode::PoolNoNodeFits));
    check(
        &|job, _| job.gang = Some(GangAsk { size: 2, same: Same::Pool, near: None, least: None }),
        Some(ReasonCode::PoolNoNodeFits),
    );
    check(&|job, _| job.max_unit_price = Some(Micro(10_999)), Some(ReasonCode::PoolPrice));
    check(&|job, _| job.max_unit_price = Some(Micro(11_000)), None);
    check(
        &|job, _| job.quote = Some(Pin { pool: pool_id(7), offer: OfferId::from_bits(2) }),
        Some(ReasonCode::PoolNotQuoted),
    );
}

#[test]
fn a_gang_takes_all_its_nodes_at_once_and_others_fill_in_before_it() {
    let mut world = World::new(Policy::default());
    let nodes = [(4, 16, 0, None); 4];
    world.show(pool(0, &nodes), vec![offer(0, 10_000)]);
    world.queue(cores(1, 4, 30));
    assert_eq!(at(&mut world, 0), [job_id(1)]);
    let mut gang = job(2, Ask::plain(resources(3, 1, 0), minutes(60)), 4);
    gang.gang = Some(GangAsk { size: 4, same: Same::Site, near: None, least: None });
    world.queue(long_due(gang));
    world.queue(cores(3, 1, 500)); // beside the gang's three cores
    world.queue(cores(4, 4, 29)); // before it
    world.queue(cores(5, 4, 31)); // would delay it
    // Shorter work is due before longer.
    assert_eq!(at(&mut world, 1), [job_id(4), job_id(3)]);
    assert_eq!(at(&mut world, 30), [job_id(2)]);
    assert_eq!(world.leases.len(), 5);
}

#[test]
fn a_group_of_nodes_is_booked_in_sum_but_a_task_must_fit_in_one() {
    let mut world = World::new(Policy::default());
    let mut view = pool(0, &[(8, 32, 0, None)]);
    view.placing = Placing::ByPool;
    view.nodes[0].count = 3;
    let node = view.nodes[0].name.clone();
    world.show(view, vec![offer(0, 10_000)]);
    let ask = cores(1, 9, 10);
    assert!(world.planner.candidates(&ask, world.now).candidates.is_empty());
    let ask = job(2, Ask::plain(resources(8, 1, 0), minutes(10)), 5);
    assert_eq!(world.planner.candidates(&ask, world.now).candidates[0].tasks, 3);
    world.planner.observe(&Change::JobQueued(Box::new(ask)));
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(plan.placed_len(), 3);
    let change = Change::NodeState { pool: pool_id(0), node, up: NodeUp::Down };
    world.planner.observe(&change);
    assert!(world.planner.plan(world.now, Work::UNBOUNDED).is_empty());
    let why = world.planner.explain(job_id(2), world.now).expect("known");
    assert_eq!(why.counts[0].code, ReasonCode::PoolDown);
}

#[test]
fn an_array_of_a_million_is_one_entry_and_goes_chunk_by_chunk() {
    let mut world = one_node(1_000);
    let mut array = job(1, Ask::plain(resources(1, 0, 0), minutes(10)), 1_000_000);
    array.max_parallel = Some(30);
    world.queue(array);
    world.queue(cores(2, 900, 10));
    // All of the array is far more than 900 cores for ten minutes: it is due later.
    assert_eq!(at(&mut world, 0), [job_id(2), job_id(1)]);
    assert_eq!(world.leases.len(), 31);
    assert_eq!(world.jobs[&job_id(1)].tasks, Tasks::range(30..1_000_000));
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!(why.standing, JobStanding::AtMaxParallel);
    assert_eq!(at(&mut world, 10).len(), 1);
    assert_eq!(world.leases.len(), 30);
}

#[test]
fn a_lease_that_outlives_its_node_is_booked_when_the_node_is_shown_again() {
    let mut world = one_node(4);
    world.queue(cores(1, 3, 10));
    at(&mut world, 0);
    let view = world.pools[&pool_id(0)].clone();
    world.planner.observe(&Change::PoolGone(pool_id(0)));
    world.planner.observe(&Change::PoolShown(Box::new(view)));
    let offers = world.offers[&pool_id(0)].clone();
    world.planner.observe(&Change::OffersShown { pool: pool_id(0), offers });
    world.queue(cores(2, 2, 10));
    world.queue(cores(3, 1, 5));
    assert_eq!(at(&mut world, 1), [job_id(3)]);
}

#[test]
fn a_plan_is_data() {
    let mut world = one_node(2);
    world.queue(cores(1, 1, 10));
    let first = world.planner.plan(world.now, Work::UNBOUNDED);
    world.queue(cores(2, 4, 10));
    let mut urgent = cores(3, 2, 10);
    urgent.priority = 5;
    world.queue(urgent);
    let second = world.planner.plan(world.now, Work::UNBOUNDED);
    let text = serde_json::to_string(&second).expect("serialises");
    assert_eq!(serde_json::from_str::<Plan>(&text).expect("reads back"), second);
    let diff = first.diff(&second);
    assert_eq!((diff.added.len(), diff.removed.len(), diff.moved.len()), (1, 1, 0));
    assert_eq!(diff.refused.len(), 2, "the first job and the infeasible one");
    assert_eq!(diff.refused[1].reasons[0].code, ReasonCode::PoolNoNodeFits);
    assert!(second.diff(&second).added.is_empty());
}

#[test]
fn nothing_of_a_blocked_project_starts() {
    let mut world = one_node(4);
    world.queue(cores(1, 1, 10));
    let project = world.jobs[&job_id(1)].project;
    let reason = "the budget of studio-a is spent".to_owned();
    world.planner.observe(&Change::ProjectBlocked { project, reason: reason.clone() });
    assert!(world.planner.plan(world.now, Work::UNBOUNDED).is_empty());
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!((why.standing, &why.reasons[0].message), (JobStanding::Blocked, &reason));
    world.planner.observe(&Change::ProjectUnblocked(project));
    assert_eq!(at(&mut world, 0), [job_id(1)]);
}

#[test]
fn a_refused_placement_goes_elsewhere_and_comes_back_when_the_back_off_is_over() {
    let mut world = World::new(Policy::default());
    world.show(pool(0, &[(1, 10, 0, None)]), vec![offer(0, 10_000)]);
    world.show(pool(2, &[(1, 10, 0, None)]), vec![offer(2, 20_000)]);
    world.queue(cores(1, 1, 10));
    for expect in [vec![pool_id(0)], vec![pool_id(2)], vec![]] {
        let plan = world.planner.plan(world.now, Work::UNBOUNDED);
        assert_eq!(pools_of(&plan), expect);
        world.commit(&plan, |_| true);
    }
    let why = world.planner.explain(job_id(1), world.now).expect("known");
    assert_eq!(why.counts[0].code, ReasonCode::PoolAvoided);
    assert_eq!(at(&mut world, 2), [job_id(1)]);
    assert_eq!(world.leases.values().next().map(|lease| lease.seat.pool), Some(pool_id(0)));
}

#[test]
fn free_resources_of_nothing_are_no_place() {
    let world = World::new(Policy::default());
    let ask = job(1, Ask::plain(Resources::ZERO, minutes(1)), 1);
    assert!(world.planner.candidates(&ask, world.now).candidates.is_empty());
    assert!(world.planner.explain(job_id(1), world.now).is_none());
}

#[test]
fn a_job_told_again_before_its_lease_is_confirmed_is_not_placed_twice() {
    let mut world = one_node(4);
    world.queue(cores(1, 1, 10));
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.queue(cores(1, 1, 10));
    world.commit(&plan, |_| false);
    assert!(world.planner.plan(world.now, Work::UNBOUNDED).is_empty());
    let plan = {
        world.queue(cores(2, 1, 10));
        world.planner.plan(world.now, Work::UNBOUNDED)
    };
    world.planner.observe(&Change::JobGone(job_id(2)));
    assert_eq!((plan.placed_len(), world.planner.stats().tentative), (1, 0));
}

#[test]
fn the_reasons_of_a_row_are_among_those_of_the_whole_answer() {
    let mut world = World::new(Policy::default());
    world.show(pool(0, &[(4, 16, 0, None)]), vec![offer(0, 10_000)]);
    world.show(pool(1, &[(2, 16, 0, None)]), vec![offer(1, 10_000)]);
    let shape = |cores| Ask::plain(resources(cores, 1, 0), MINUTE.times(60));
    for (n, cores) in [(1, 4), (2, 4), (3, 2), (4, 2), (5, 64)] {
        world.queue(job(n, shape(cores), 1));
    }
    let mut later = job(6, shape(1), 1);
    later.begin = Some(world.now.plus(MINUTE.times(60)));
    world.queue(later);
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.commit(&plan, |_| false);
    world.planner.plan(world.now, Work::UNBOUNDED);
    let all: Vec<JobId> = (1..=7).map(job_id).collect();
    let rows = world.planner.first_reasons(&all, world.now);
    let codes = |n| rows.get(&job_id(n)).map(|r| r.iter().map(|r| r.code).collect::<Vec<_>>());
    assert_eq!(codes(7), None, "it is not known");
    let runs = |n| plan.placements.iter().any(|one| one.job == job_id(n));
    assert!((1..=4).any(runs) && !(1..=4).all(runs));
    for n in 1..=4 {
        assert_eq!(codes(n), (!runs(n)).then(|| vec![ReasonCode::PoolBusy]), "{n}");
    }
    assert_eq!(codes(5), Some(vec![ReasonCode::PoolNoNodeFits]));
    assert_eq!(codes(6), Some(vec![ReasonCode::JobBegin]));
    for (id, reasons) in &rows {
        let whole = world.planner.explain(*id, world.now).expect("known").reasons;
        assert!(reasons.iter().all(|reason| whole.iter().any(|other| other.code == reason.code)));
    }
}
