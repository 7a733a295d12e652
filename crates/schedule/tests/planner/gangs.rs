//! Gangs and the network they run in: as close together as they must be, closer where they can be, and
//! smaller where they may be.

use dayan_schedule::{Ask, GangAsk, Policy, ReasonCode, Same, Work};

use crate::world::{MINUTE, World, job, job_id, offer, pool, resources};

/// Six nodes of one fabric: two under each of the leaves a and b of one spine and c of another.
fn world_of_leaves() -> World {
    let mut world = World::new(Policy::default());
    let mut view = pool(0, &[(4, 16, 0, None); 6]);
    let leaves = ["s1/a", "s2/c", "s1/b", "s1/a", "s2/c", "s1/b"];
    for (node, leaf) in view.nodes.iter_mut().zip(leaves) {
        node.leaf = Some(leaf.to_owned());
    }
    world.show(view, vec![offer(0, 10_000)]);
    world
}

/// The nodes that a gang of so many gets, by number.
fn gang_at(world: &mut World, n: u32, size: u32, same: Same, near: Option<Same>) -> Vec<String> {
    let mut gang = job(n, Ask::plain(resources(4, 1, 0), MINUTE.times(60)), size);
    gang.gang = Some(GangAsk { size, same, near, least: None });
    world.queue(gang);
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.check_plan(&plan).expect("every promise");
    world.commit(&plan, |_| false);
    world.planner.consistency_check().expect("consistent");
    let seats = plan.placements.iter().flat_map(|placement| &placement.seats);
    let mut nodes: Vec<String> = seats.map(|seat| seat.node.as_str().to_owned()).collect();
    nodes.sort_unstable();
    nodes
}

#[test]
fn a_gang_is_as_close_together_as_it_must_be_and_closer_where_it_can_be() {
    let mut world = world_of_leaves();
    // One node of the first leaf is taken.
    world.queue(job(1, Ask::plain(resources(4, 1, 0), MINUTE.times(90)), 1));
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    world.commit(&plan, |_| false);
    assert_eq!(world.leases.len(), 1);
    let free = |world: &mut World, n| {
        let over: Vec<_> = world.leases.keys().filter(|of| of.job == job_id(n)).copied().collect();
        for attempt in over {
            world.end(attempt);
        }
    };
    assert_eq!(gang_at(&mut world, 2, 2, Same::Site, None), ["n2", "n3"], "under two leaves");
    free(&mut world, 2);
    assert_eq!(gang_at(&mut world, 3, 2, Same::Site, Some(Same::Leaf)), ["n2", "n5"]);
    free(&mut world, 3);
    assert_eq!(gang_at(&mut world, 8, 2, Same::Pool, Some(Same::Leaf)), ["n2", "n5"]);
    free(&mut world, 8);
    // Three fit under one spine and under no leaf; five under nothing but the fabric.
    assert_eq!(gang_at(&mut world, 4, 3, Same::Fabric, Some(Same::Leaf)), ["n2", "n3", "n5"]);
    free(&mut world, 4);
    let five = gang_at(&mut world, 5, 5, Same::Fabric, Some(Same::Leaf));
    assert_eq!(five, ["n1", "n2", "n3", "n4", "n5"]);
    free(&mut world, 5);
    // What must be under one leaf waits for one, or is refused where none is large enough.
    assert_eq!(gang_at(&mut world, 6, 2, Same::Leaf, None), ["n2", "n5"]);
    assert_eq!(gang_at(&mut world, 7, 3, Same::Leaf, None), [""; 0]);
    let why = world.planner.explain(job_id(7), world.now).expect("known");
    assert_eq!(why.counts[0].code, ReasonCode::PoolNoNodeFits);
}

#[test]
fn a_gang_that_may_be_smaller_takes_the_domain_with_the_most() {
    let mut world = world_of_leaves();
    let mut elastic = |n, size, least, same| {
        let mut gang = job(n, Ask::plain(resources(4, 1, 0), MINUTE.times(60)), size);
        gang.gang = Some(GangAsk { size, same, near: None, least: Some(least) });
        world.queue(gang);
        let plan = world.planner.plan(world.now, Work::UNBOUNDED);
        let placed: Vec<usize> = plan.placements.iter().map(|one| one.seats.len()).collect();
        world.commit(&plan, |_| false);
        world.planner.consistency_check().expect("consistent");
        placed
    };
    assert_eq!(elastic(1, 3, 1, Same::Leaf), [2], "no leaf has three");
    assert_eq!(elastic(2, 8, 3, Same::Fabric), [4], "all that is left");
    assert_eq!(elastic(3, 2, 1, Same::Pool), [0; 0]);
}

#[test]
fn what_is_told_of_an_elastic_gang_is_what_it_starts_with() {
    let mut world = world_of_leaves();
    let mut told = |n, size, least| {
        let mut gang = job(n, Ask::plain(resources(4, 1, 0), MINUTE.times(60)), size);
        gang.gang = Some(GangAsk { size, same: Same::Site, near: None, least });
        let told = world.planner.candidates(&gang, world.now);
        world.queue(gang);
        let plan = world.planner.plan(world.now, Work::UNBOUNDED);
        let placed: usize = plan.placements.iter().map(|one| one.seats.len()).sum();
        world.commit(&plan, |_| false);
        (told, placed)
    };
    // Four of the six nodes there are; the two that are left; none is left for a third.
    let (four, placed) = told(1, 4, Some(2));
    assert_eq!((four.candidates[0].tasks, placed), (4, 4));
    let each = four.candidates[0].price_per_task;
    assert_eq!(four.candidates[0].price.0, each.0 * 4);
    let (two, placed) = told(2, 6, Some(1));
    assert_eq!((two.candidates[0].tasks, placed), (2, 2));
    assert_eq!(two.candidates[0].price.0, each.0 * 2, "it pays for those it has");
    assert_eq!(two.candidates[0].start.p90, dayan_units::Span::ZERO);
    let (later, placed) = told(3, 6, Some(3));
    assert_eq!((later.candidates[0].tasks, placed), (0, 0));
    assert!(later.candidates[0].start.p50 > dayan_units::Span::ZERO);
    // What could never be had is refused with the number that it takes.
    let (never, _) = told(4, 9, Some(7));
    assert_eq!(never.refused[0].reasons[0].code, ReasonCode::PoolNoNodeFits);
    assert!(never.refused[0].reasons[0].message.contains("no 7 nodes here, the `min` of 9"));
}

#[test]
fn a_gang_over_two_pools_of_a_site_is_told_so() {
    let mut world = World::new(Policy::default());
    for n in [0, 1] {
        world.show(pool(n, &[(4, 16, 0, None); 2]), vec![offer(n, 10_000)]);
    }
    let mut gang = job(1, Ask::plain(resources(4, 1, 0), MINUTE.times(60)), 3);
    gang.gang = Some(GangAsk { size: 3, same: Same::Site, near: None, least: None });
    let told = world.planner.candidates(&gang, world.now);
    let tasks: Vec<(u64, bool)> = told.candidates.iter().map(|at| (at.tasks, at.alone)).collect();
    assert_eq!(tasks, [(3, false), (3, false)]);
    world.queue(gang);
    let plan = world.planner.plan(world.now, Work::UNBOUNDED);
    assert_eq!(plan.placements[0].seats.len(), 3);
}

#[test]
fn a_gang_that_lacks_nodes_that_are_up_is_told_how_many_it_takes() {
    let mut world = World::new(Policy::default());
    let mut view = pool(0, &[(4, 16, 0, None); 3]);
    for node in &mut view.nodes[1..] {
        node.up = dayan_schedule::NodeUp::Down;
    }
    world.show(view, vec![offer(0, 10_000)]);
    let mut gang = job(1, Ask::plain(resources(4, 1, 0), MINUTE.times(60)), 3);
    gang.gang = Some(GangAsk { size: 3, same: Same::Site, near: None, least: Some(2) });
    let told = world.planner.candidates(&gang, world.now);
    let reason = &told.refused[0].reasons[0];
    assert_eq!(reason.code, ReasonCode::PoolDown);
    assert_eq!(reason.message, "fewer than 2 nodes that could take it are up");
}
