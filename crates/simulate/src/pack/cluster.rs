//! The state of a packing run: nodes with what is free on each card, and the shapes that pods have.
//! Shared by the published rules; ours runs in the planner.
//!
//! Invariant: nothing free is ever negative, as `place` is only called where `Cluster::fits` holds.

use std::collections::BTreeMap;

use super::list::{NodeRow, PodRow};

/// One card, in thousandths.
pub(crate) const CARD: u32 = 1_000;

/// What pods that are alike ask for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Shape {
    /// Thousandths of a core.
    pub cpu: u64,
    /// Mebibytes.
    pub memory: u64,
    /// How many cards.
    pub cards: u32,
    /// Of each, in thousandths.
    pub milli: u32,
    /// The models that will do, as bits of the cluster's numbering; all ones is any.
    pub models: u128,
}

impl Shape {
    /// Does it take a part of one card?
    pub fn is_part(&self) -> bool {
        self.cards == 1 && self.milli < CARD
    }
    /// Thousandths of cards in sum.
    pub fn accel(&self) -> u64 {
        u64::from(self.cards) * u64::from(self.milli)
    }
}

/// What a node has left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub cpu: u64,
    pub memory: u64,
    /// Thousandths left of each card.
    pub cards: Vec<u32>,
    /// The bit of its model; 0 where it has no cards.
    pub model: u128,
}

impl Node {
    pub fn accel(&self) -> u64 {
        self.cards.iter().map(|&left| u64::from(left)).sum()
    }
    /// May these models and cards serve the shape?
    pub fn cards_fit(&self, shape: &Shape) -> bool {
        if shape.cards == 0 {
            return true;
        }
        let enough =
            self.cards.iter().filter(|&&left| left >= shape.milli).take(shape.cards as usize);
        shape.models & self.model != 0 && enough.count() == shape.cards as usize
    }
    pub fn fits(&self, shape: &Shape) -> bool {
        shape.cpu <= self.cpu && shape.memory <= self.memory && self.cards_fit(shape)
    }
    /// The fullest card that has the part, the lowest number first.
    pub fn fullest(&self, milli: u32) -> Option<usize> {
        let fitting = self.cards.iter().enumerate().filter(|(_, left)| **left >= milli);
        fitting.min_by_key(|&(at, &left)| (left, at)).map(|(at, _)| at)
    }
    /// Takes the shape: a part from the card named, whole cards from the lowest that are whole.
    pub fn take(&mut self, shape: &Shape, part: Option<usize>) -> Vec<usize> {
        self.cpu -= shape.cpu;
        self.memory -= shape.memory;
        let taken: Vec<usize> = match part.filter(|_| shape.is_part()) {
            Some(card) => vec![card],
            None => {
                let whole = (0..self.cards.len()).filter(|&at| self.cards[at] >= shape.milli);
                whole.take(shape.cards as usize).collect()
            }
        };
        for &card in &taken {
            self.cards[card] -= shape.milli;
        }
        taken
    }
}

/// Nodes in the order of their names, and the numbering of models.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Node>,
    /// Thousandths of cards in sum, as shown.
    pub(crate) accel_total: u64,
    models: BTreeMap<String, u128>,
}

impl Cluster {
    /// An empty cluster of these nodes.
    pub fn new(rows: &[NodeRow]) -> Self {
        let mut models: BTreeMap<String, u128> = BTreeMap::new();
        for model in rows.iter().filter_map(|row| row.model.as_ref()) {
            // The 128th and later models share the last bit: more kinds of cards than any list has.
            let bit = 1u128 << models.len().min(127);
            models.entry(model.clone()).or_insert(bit);
        }
        let mut rows: Vec<&NodeRow> = rows.iter().collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        let node = |row: &&NodeRow| Node {
            cpu: row.cpu_milli,
            memory: row.memory_mib,
            cards: vec![CARD; row.cards as usize],
            model: row.model.as_ref().map_or(0, |model| models[model]),
        };
        let nodes: Vec<Node> = rows.iter().map(node).collect();
        let accel_total = nodes.iter().map(Node::accel).sum();
        Self { nodes, accel_total, models }
    }

    /// What a pod comes to in this cluster.
    pub fn shape(&self, pod: &PodRow) -> Shape {
        let bit = |model: &String| self.models.get(model).copied().unwrap_or(0);
        let models = if pod.models.is_empty() {
            u128::MAX
        } else {
            pod.models.iter().map(bit).fold(0, |all, one| all | one)
        };
        Shape {
            cpu: pod.cpu_milli,
            memory: pod.memory_mib,
            cards: pod.cards,
            milli: pod.card_milli,
            models,
        }
    }
}
