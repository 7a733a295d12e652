//! The most that any placement could get to work which takes the pods in their order and may not
//! refuse one that fits: two relaxations in closed form, and the lower of them.
//!
//! - *Cores*: all cards as one and all cores as one; of what arrived, the pods with the fewest cores
//!   for each card, in fractions (the linear relaxation of a knapsack with two sides).
//! - *Holes*: a pod that takes more than half of a card has the card's rest to itself. While some
//!   card is untouched such a pod fits and may not be refused, and cards cannot all be touched
//!   before as many were asked for as there are. The rests that it then leaves only small pods can
//!   fill, and no more of them than arrive. Cores and memory are taken as unlimited here, so this
//!   holds where they do not refuse a pod that finds a card.
//!
//! The true optimum is lower than either: both let everything else be cut at will.

use super::list::{NodeRow, PodRow};

/// One card, in thousandths.
const CARD: u64 = 1_000;

/// The most of the cards that could be at work when these have arrived, in per cent.
pub fn bound_pct(nodes: &[NodeRow], pods: &[PodRow], order: &[usize]) -> f64 {
    let cards: u64 = nodes.iter().map(|node| u64::from(node.cards)).sum();
    if cards == 0 {
        return 0.0;
    }
    let total = cards * CARD;
    let most = total - holes(cards, pods, order).min(total);
    let by_cores = by_cores(nodes, pods, order, total);
    (most as f64).min(by_cores) / total as f64 * 100.0
}

/// Thousandths of cards that nothing can fill.
fn holes(cards: u64, pods: &[PodRow], order: &[usize]) -> u64 {
    let mut small = vec![0u64; 500];
    let mut rests = vec![0u64; 500];
    let mut touched = 0;
    for pod in order.iter().map(|&at| &pods[at]) {
        let milli = u64::from(pod.card_milli);
        if let Some(volume) = slot(&mut small, milli).filter(|_| milli > 0) {
            *volume += pod.accel_milli();
        }
        // A pod that only some models serve may be refused for that.
        let forced = touched < cards && pod.models.is_empty() && milli > 0;
        if let Some(volume) = slot(&mut rests, CARD - milli).filter(|_| forced) {
            *volume += CARD - milli;
        }
        touched += u64::from(pod.cards);
    }
    // Rests up to a size are filled by pods up to that size: for every size, what is over.
    let (mut rest, mut fill, mut most) = (0u64, 0u64, 0u64);
    for (rests, small) in rests.iter().zip(&small) {
        (rest, fill) = (rest + rests, fill + small);
        most = most.max(rest.saturating_sub(fill));
    }
    most
}

fn slot(volumes: &mut [u64], milli: u64) -> Option<&mut u64> {
    volumes.get_mut(usize::try_from(milli).ok()?)
}

fn by_cores(nodes: &[NodeRow], pods: &[PodRow], order: &[usize], total: u64) -> f64 {
    let mut cores: f64 = nodes.iter().map(|node| node.cpu_milli as f64).sum();
    let asking = order.iter().map(|&at| &pods[at]).filter(|pod| pod.accel_milli() > 0);
    let mut asking: Vec<(f64, f64)> =
        asking.map(|pod| (pod.cpu_milli as f64, pod.accel_milli() as f64)).collect();
    asking.sort_by(|a, b| (a.0 * b.1).total_cmp(&(b.0 * a.1)));
    let mut at_work = 0.0;
    for (cpu, accel) in asking {
        let room = (total as f64 - at_work) / accel;
        let part = room.min(if cpu > 0.0 { cores / cpu } else { 1.0 }).clamp(0.0, 1.0);
        cores -= part * cpu;
        at_work += part * accel;
    }
    at_work
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn pod(cpu: u64, milli: u32) -> PodRow {
        PodRow {
            name: String::new(),
            cpu_milli: cpu,
            memory_mib: 1,
            cards: 1,
            card_milli: milli,
            models: BTreeSet::new(),
        }
    }

    #[test]
    fn the_bound_is_as_computed_by_hand() {
        let check = |cores: u64, pods: &[PodRow], expect: f64| {
            let node = NodeRow {
                name: "n".to_owned(),
                cpu_milli: cores,
                memory_mib: 9,
                cards: 2,
                model: Some("T4".to_owned()),
            };
            let order: Vec<usize> = (0..pods.len()).collect();
            let bound = bound_pct(&[node], pods, &order);
            assert!((bound - expect).abs() < 1e-9, "{bound} instead of {expect}");
        };
        // Two of 800 must be taken; 200 fills one of the rests.
        check(99, &[pod(1, 800), pod(1, 800), pod(1, 200)], 90.0);
        // The third finds no untouched card: it may be refused, and is here.
        check(99, &[pod(1, 900), pod(1, 1_000), pod(1, 800)], 95.0);
        // Five cores: the whole card for one, and four fifths of the one for five.
        check(5, &[pod(5, 1_000), pod(1, 1_000)], 90.0);
        check(99, &[pod(1, 400)], 20.0);
    }
}
