//! The promised properties of docs/concepts/scheduling.md, over random sequences of changes.

use crate::world::{Step, World, any_step};
use dayan_schedule::{NodeUp, Policy};
use proptest::prelude::*;

/// `DAYAN_SEQUENCES` runs as many sequences as one has time for.
fn cases() -> u32 {
    std::env::var("DAYAN_SEQUENCES").ok().and_then(|n| n.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    /// Never over capacity, gangs whole, constraints kept, incremental equals fresh, a bounded plan
    /// is a part of the whole one, two plans in a row are equal, every index is consistent.
    #[test]
    fn whatever_happens_every_plan_keeps_every_promise(
        steps in proptest::collection::vec(any_step(), 1..50),
        reservations in 0u32..4,
    ) {
        let policy = Policy { reservations_max: reservations, ..Policy::default() };
        let mut world = World::new(policy);
        for step in &steps {
            world.step(step)?;
        }
    }
}

/// Found by the property above.
#[test]
fn a_pool_that_comes_between_two_admissions_is_judged() {
    let mut world = World::new(Policy { reservations_max: 0, ..Policy::default() });
    for step in [
        Step::Node { n: 1, node: 0, up: NodeUp::Up },
        Step::ShowPool { n: 2, nodes: vec![(3, 1), (0, 1)], price: 1 },
        Step::Node { n: 0, node: 0, up: NodeUp::Up },
        Step::HidePool { n: 0 },
        Step::Queue { shape: 0, tasks: 1, priority: 0, kind: 0 },
        Step::Queue { shape: 2, tasks: 3, priority: 0, kind: 3 },
        Step::ShowPool { n: 3, nodes: vec![(0, 1)], price: 1 },
        Step::Plan { refuse: 162, budget: None },
        Step::ShowPool { n: 2, nodes: vec![(3, 1)], price: 1 },
        Step::Admit { nth: 0, within: 0 },
        Step::ShowPool { n: 0, nodes: vec![(0, 1)], price: 1 },
        Step::Admit { nth: 0, within: 0 },
    ] {
        world.step(&step).expect("every promise is kept");
    }
}

/// The same: larger seats are shared out in the order of the plan, whatever numbers nodes have.
#[test]
fn what_is_left_of_a_quota_goes_to_the_first_seats_of_the_plan() {
    let mut world = World::new(Policy { reservations_max: 0, ..Policy::default() });
    for step in [
        Step::Queue { shape: 3, tasks: 3, priority: 0, kind: 8 },
        Step::Queue { shape: 0, tasks: 1, priority: 0, kind: 0 },
        Step::Quota { of: 0, cores: Some(21) },
        Step::ShowPool { n: 0, nodes: vec![(0, 1), (3, 1)], price: 1 },
        Step::Wait { minutes: 0 },
        Step::Queue { shape: 0, tasks: 1, priority: 0, kind: 8 },
        Step::ShowPool { n: 1, nodes: vec![(0, 1), (0, 2)], price: 1 },
        Step::Queue { shape: 0, tasks: 1, priority: 0, kind: 0 },
        Step::Plan { refuse: 3, budget: None },
        Step::End { nth: 0, requeue: false },
        Step::Queue { shape: 4, tasks: 5, priority: 0, kind: 5 },
        Step::ShowPool { n: 3, nodes: vec![(0, 1)], price: 1 },
        Step::Drop { nth: 0 },
        Step::Plan { refuse: 0, budget: None },
    ] {
        world.step(&step).expect("every promise is kept");
    }
}
