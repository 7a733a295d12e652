//! Which pods arrive in which order: the published protocol. Sort by name, shuffle, then append
//! uniform draws with replacement, or remove at random, until the demand for cards is 130 % of the
//! capacity.
//!
//! The published simulator draws with Go's generator; ours is the project's own, so the streams
//! differ seed by seed and only their statistics compare.

use super::list::PodRow;
use crate::random::Random;

/// Demand for cards over capacity, in thousandths.
pub const LOAD_PERMILLE: u64 = 1_300;
/// What the draws are for, so that no other use of the same seed repeats them.
const PURPOSE: u64 = 0x7061_636b;

/// The pods that arrive, by their place in `pods`, for a cluster with so many thousandths of cards.
///
/// The draw that would step over the bound ends the list and is not appended, as published; where
/// nobody asks for cards the list is arrived once.
pub fn arrivals(pods: &[PodRow], accel_total: u64, load_permille: u64, seed: u64) -> Vec<usize> {
    let mut random = Random::new(seed, PURPOSE);
    let mut order: Vec<usize> = (0..pods.len()).collect();
    order.sort_by(|&a, &b| pods[a].name.cmp(&pods[b].name));
    // Fisher and Yates, from the end (Durstenfeld 1964).
    for at in (1..order.len()).rev() {
        let with = index(&mut random, at + 1);
        order.swap(at, with);
    }
    let bound = accel_total.saturating_mul(load_permille) / 1_000;
    let mut demand: u64 = pods.iter().map(PodRow::accel_milli).sum();
    if demand == 0 {
        return order;
    }
    while demand > bound && !order.is_empty() {
        let gone = order.remove(index(&mut random, order.len()));
        demand -= pods[gone].accel_milli();
    }
    while demand < bound {
        let next = index(&mut random, pods.len());
        demand += pods[next].accel_milli();
        if demand > bound {
            break;
        }
        order.push(next);
    }
    order
}

pub(crate) fn index(random: &mut Random, end: usize) -> usize {
    usize::try_from(random.below(end as u64)).expect("below a length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn pod(name: usize, milli: u32) -> PodRow {
        PodRow {
            name: format!("p{name:03}"),
            cpu_milli: 1,
            memory_mib: 1,
            cards: u32::from(milli > 0),
            card_milli: milli,
            models: BTreeSet::new(),
        }
    }

    #[test]
    fn arrives_up_to_the_bound_and_not_over_it() {
        let pods: Vec<PodRow> = (0..50).map(|n| pod(n, if n % 5 == 0 { 0 } else { 100 })).collect();
        let demand = |order: &[usize]| order.iter().map(|&at| pods[at].accel_milli()).sum::<u64>();
        let more = arrivals(&pods, 8_000, 1_300, 1);
        assert_eq!(demand(&more), 10_400);
        assert_eq!(more[..50].iter().collect::<BTreeSet<_>>().len(), 50, "each arrives once first");
        let fewer = arrivals(&pods, 1_000, 1_300, 1);
        assert_eq!(demand(&fewer), 1_300);
        assert_eq!(more, arrivals(&pods, 8_000, 1_300, 1));
        assert_ne!(more, arrivals(&pods, 8_000, 1_300, 2));
        assert_eq!(arrivals(&pods[..1], 1_000, 1_300, 1), [0], "nobody asks for cards");
    }
}
