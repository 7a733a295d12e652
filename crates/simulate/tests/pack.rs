//! Packing from outside: every policy on a small synthetic workload of a published generator.

use std::collections::BTreeSet;

use dayan_simulate::pack::{
    Bound, Curves, LOAD_PERMILLE, NodeRow, PackPolicy, Placed, PodRow, arrivals, bound_pct, pack,
    pack_seed, recheck,
};
use proptest::prelude::*;

const POLICIES: [PackPolicy; 7] = [
    PackPolicy::Random,
    PackPolicy::FirstFit,
    PackPolicy::BestFit,
    PackPolicy::DotProd,
    PackPolicy::GpuPacking,
    PackPolicy::Fgd,
    PackPolicy::Default,
];

/// Three kinds of machines; the numbers are made up.
fn nodes(count: usize) -> Vec<NodeRow> {
    let node = |n: usize| {
        let (cpu, cards, model) = [(96_000, 8, "A"), (104_000, 2, "B"), (16_000, 2, "C")]
            [if n % 4 == 3 { 2 } else { n % 2 }];
        NodeRow {
            name: format!("n{n:03}"),
            cpu_milli: cpu,
            memory_mib: 262_144,
            cards,
            model: Some(model.to_owned()),
        }
    };
    (0..count).map(node).collect()
}

/// Shares of cards that do not add up to one, cores that run short on one model.
fn pods(count: usize) -> Vec<PodRow> {
    let pod = |n: usize| {
        let (cpu, cards, milli) = [
            (12_000, 1, 1_000),
            (8_000, 1, 810),
            (6_000, 1, 470),
            (4_000, 1, 320),
            (10_000, 1, 1_000),
            (2_000, 1, 160),
            (20_000, 0, 0),
            (11_000, 1, 1_000),
            (3_000, 1, 470),
            (24_000, 2, 1_000),
            (5_000, 1, 650),
        ][n % 11];
        let models = if n.is_multiple_of(23) && cards > 0 {
            BTreeSet::from(["B".to_owned()])
        } else {
            BTreeSet::new()
        };
        PodRow {
            name: format!("p{n:04}"),
            cpu_milli: cpu,
            memory_mib: 8_192,
            cards,
            card_milli: milli,
            models,
        }
    };
    (0..count).map(pod).collect()
}

fn accel(nodes: &[NodeRow]) -> u64 {
    nodes.iter().map(|node| u64::from(node.cards) * 1_000).sum()
}

/// Goes through the arrivals again: was a pod left out although a node had room for it?
fn left_out(
    nodes: &[NodeRow],
    pods: &[PodRow],
    order: &[usize],
    placed: &[Placed],
) -> Option<usize> {
    let mut free: Vec<(u64, u64, Vec<u64>)> = nodes
        .iter()
        .map(|node| (node.cpu_milli, node.memory_mib, vec![1_000; node.cards as usize]))
        .collect();
    let mut placed = placed.iter().peekable();
    for (nth, &at) in order.iter().enumerate() {
        let pod = &pods[at];
        let fits = |(node, (cpu, memory, cards)): (&NodeRow, &(u64, u64, Vec<u64>))| {
            let milli = u64::from(pod.card_milli);
            let enough = cards.iter().filter(|left| **left >= milli).count() >= pod.cards as usize;
            let model = pod.models.is_empty()
                || node.model.as_ref().is_some_and(|model| pod.models.contains(model));
            *cpu >= pod.cpu_milli && *memory >= pod.memory_mib && enough && model
        };
        let could = nodes.iter().zip(&free).any(fits);
        match placed.next_if(|seat| seat.pod == at && could) {
            Some(seat) => {
                let (cpu, memory, cards) = &mut free[seat.node];
                *cpu -= pod.cpu_milli;
                *memory -= pod.memory_mib;
                seat.cards.iter().for_each(|card| cards[*card] -= u64::from(pod.card_milli));
            }
            None if could => return Some(nth),
            None => {}
        }
    }
    placed.next().map(|seat| seat.pod)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_overfull_nothing_is_left_out_and_nothing_beats_the_bound(
        machines in 1usize..12,
        kinds in 11usize..60,
        seed in 0u64..1_000,
    ) {
        let (nodes, pods) = (nodes(machines), pods(kinds));
        let order = arrivals(&pods, accel(&nodes), LOAD_PERMILLE, seed);
        for policy in POLICIES {
            let placed = pack_seed(&nodes, &pods, policy, seed);
            prop_assert_eq!(recheck(&nodes, &pods, &placed), Ok(()));
            prop_assert_eq!(left_out(&nodes, &pods, &order, &placed), None, "{:?}", policy);
            prop_assert_eq!(&placed, &pack_seed(&nodes, &pods, policy, seed));
        }
        prop_assert!(bound_pct(&nodes, &pods, &order) <= 100.0);
    }
}

#[test]
fn ours_wastes_least_on_a_small_cluster() {
    let (nodes, pods) = (nodes(60), pods(600));
    let seeds: Vec<u64> = (42..47).collect();
    let mean = |policy| {
        let report =
            pack(&nodes, &pods, policy, &seeds, (Bound::Wanted, Curves::Unwanted), &mut |_| ())
                .expect("nothing is overfull");
        for seed in &report.seeds {
            assert!(Some(seed.alloc_pct) <= seed.bound_pct, "{seed:?}");
        }
        report.mean
    };
    let ours = mean(PackPolicy::Default);
    for policy in POLICIES.into_iter().filter(|policy| *policy != PackPolicy::Default) {
        assert!(ours > mean(policy), "{policy:?} {} {ours}", mean(policy));
    }
}
