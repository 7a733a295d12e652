//! Fragmentation gradient descent (Weng et al., ATC'23 §4), as its authors run it: the card and
//! node whose expected fragment grows least, for the typical pods of the *whole* list, which their
//! simulator knows beforehand. Ours (in `dayan_schedule`) only knows what has arrived.
//!
//! A node's fragment for a typical pod: all its free card capacity if the pod does not fit there or
//! wants no card, else what is free on cards too full for it (§4.1, cases 1 to 3). Memory is not
//! looked at, as published.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::cluster::{Node, Shape};
use super::rivals::{Scored, TOP, floor};

/// The share of pods that the typical shapes must cover (the artefact's setting).
const COVERED_PERCENT: u64 = 95;

/// A typical pod and its share of the list.
#[derive(Clone, PartialEq, Debug)]
struct Kind {
    cpu: u64,
    cards: u32,
    milli: u32,
    models: u128,
    share: f64,
}

/// The typical pods of a list.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Typical {
    kinds: Vec<Kind>,
}

impl Typical {
    /// The most frequent shapes (memory aside) until they cover enough of the list.
    pub fn of<'a>(shapes: impl Iterator<Item = &'a Shape>) -> Self {
        let mut counts: BTreeMap<(u64, u32, u32, u128), u64> = BTreeMap::new();
        let mut total = 0;
        for shape in shapes {
            *counts.entry((shape.cpu, shape.milli, shape.cards, shape.models)).or_default() += 1;
            total += 1;
        }
        let mut ranked: Vec<_> = counts.into_iter().collect();
        // The most frequent first; among equals the larger.
        ranked.sort_unstable_by_key(|&(kind, count)| Reverse((count, kind)));
        let mut covered = 0;
        ranked.retain(|&(_, count)| {
            let wanted = covered * 100 < COVERED_PERCENT * total;
            covered += if wanted { count } else { 0 };
            wanted
        });
        let kinds = ranked.into_iter().map(|((cpu, milli, cards, models), count)| {
            let share = count as f64 / covered as f64;
            Kind { cpu, cards, milli, models, share }
        });
        Self { kinds: kinds.collect() }
    }

    /// Thousandths of cards that are expected to be of no use.
    pub fn fragment(&self, node: &Node) -> f64 {
        let free = node.accel();
        let mut fragment = 0.0;
        for kind in &self.kinds {
            let has = node.cards.iter().filter(|&&left| left >= kind.milli).count();
            let fits = kind.milli > 0
                && kind.cpu <= node.cpu
                && kind.models & node.model != 0
                && has >= kind.cards as usize;
            let lost: u64 = if fits {
                let full = node.cards.iter().filter(|&&left| left < kind.milli);
                full.map(|&left| u64::from(left)).sum()
            } else {
                free
            };
            fragment += kind.share * lost as f64;
        }
        fragment
    }

    /// How much the fragment shrinks, through the published sigmoid, at the best card.
    pub fn score(&self, node: &Node, shape: &Shape) -> Scored {
        let before = self.fragment(node);
        let with = |part: Option<usize>| {
            let mut after = node.clone();
            after.take(shape, part);
            let gain = (before - self.fragment(&after)) / 1_000.0;
            floor(TOP / (1.0 + (-gain).exp()))
        };
        if !shape.is_part() {
            return Scored { score: with(None), part: None };
        }
        let mut best = Scored { score: -1, part: None };
        for card in (0..node.cards.len()).filter(|&card| node.cards[card] >= shape.milli) {
            // Cards with as much left are alike; the first of them has been judged.
            if node.cards[..card].contains(&node.cards[card]) {
                continue;
            }
            let score = with(Some(card));
            if score > best.score {
                best = Scored { score, part: Some(card) };
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(cpu: u64, cards: u32, milli: u32) -> Shape {
        Shape { cpu, memory: 1, cards, milli, models: u128::MAX }
    }
    fn node(cpu: u64, cards: &[u32]) -> Node {
        Node { cpu, memory: 1, cards: cards.to_vec(), model: 1 }
    }

    #[test]
    fn the_fragment_is_as_computed_by_hand() {
        // Half of the pods want a whole card, a quarter 300 thousandths, a quarter only cores.
        let list = [shape(4, 1, 1_000), shape(4, 1, 1_000), shape(2, 1, 300), shape(1, 0, 0)];
        let typical = Typical::of(list.iter());
        let check = |node: &Node, expect: f64| {
            assert!((typical.fragment(node) - expect).abs() < 1e-9, "{}", typical.fragment(node));
        };
        // For whole cards 200 is lost, for 300 as well; for cores all of it.
        check(&node(8, &[1_000, 200]), 0.5 * 200.0 + 0.25 * 200.0 + 0.25 * 1_200.0);
        // Too few cores for a whole card.
        check(&node(3, &[1_000]), 0.5 * 1_000.0 + 0.25 * 1_000.0);
        check(&node(8, &[]), 0.0);
    }

    #[test]
    fn typical_pods_cover_most_of_the_list_and_no_more() {
        let mut list = vec![shape(1, 1, 1_000); 95];
        list.extend((0..5).map(|n| shape(10 + n, 1, 500)));
        assert_eq!(Typical::of(list.iter()).kinds.len(), 1);
        list.push(shape(99, 1, 500));
        assert_eq!(Typical::of(list.iter()).kinds.len(), 2);
    }

    #[test]
    fn a_part_goes_where_it_fragments_least() {
        let typical = Typical::of([shape(1, 1, 1_000), shape(1, 1, 700), shape(1, 1, 400)].iter());
        let best = typical.score(&node(8, &[1_000, 800, 400]), &shape(1, 1, 400));
        assert_eq!(best.part, Some(2), "the hole it fills");
    }
}
