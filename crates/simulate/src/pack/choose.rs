//! Takes the best node for a shape by a rule that judges nodes one by one. Judgements are kept per
//! shape and made again only for nodes that changed since.
//!
//! Invariant: the choice is that of judging every node afresh, the first by name among equals.

use std::collections::BTreeMap;

use super::cluster::{Cluster, Shape};
use super::rivals::{Rule, Scored};

/// A node as it was judged: at which version, and with what result; none where it does not fit.
type Kept = (u32, Option<Scored>);

pub(crate) struct Chooser<'a> {
    rule: &'a Rule,
    versions: Vec<u32>,
    kept: BTreeMap<Shape, Vec<Kept>>,
}

impl<'a> Chooser<'a> {
    pub fn new(rule: &'a Rule, cluster: &Cluster) -> Self {
        Self { rule, versions: vec![1; cluster.nodes.len()], kept: BTreeMap::new() }
    }

    pub fn choose(&mut self, cluster: &Cluster, shape: &Shape) -> Option<(usize, Option<usize>)> {
        if !self.kept.contains_key(shape) {
            self.kept.insert(shape.clone(), vec![(0, None); cluster.nodes.len()]);
        }
        let kept = self.kept.get_mut(shape).expect("it was just put there");
        let mut best: Option<(usize, Scored)> = None;
        for (at, node) in cluster.nodes.iter().enumerate() {
            let (version, judged) = &mut kept[at];
            if *version != self.versions[at] {
                *version = self.versions[at];
                *judged = node.fits(shape).then(|| self.rule.score(node, shape));
            }
            if let Some(scored) = judged
                && best.is_none_or(|(_, best)| scored.score > best.score)
            {
                best = Some((at, *scored));
            }
        }
        best.map(|(at, scored)| (at, scored.part))
    }

    /// This node is not what it was.
    pub fn changed(&mut self, node: usize) {
        self.versions[node] += 1;
    }
}
