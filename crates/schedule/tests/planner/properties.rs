//! The promised properties of docs/concepts/scheduling.md, over random sequences of changes.

use crate::world::{World, any_step};
use dayan_schedule::Policy;
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
