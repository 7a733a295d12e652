//! Adds up what was placed and compares it with what was shown: its own sums over the rows of the
//! lists, without a line in common with the policies, the cluster's state or the planner.

use super::list::{NodeRow, PodRow};
use super::run::Placed;

/// The first thing found over what it has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("node {node}: {what}")]
pub struct Overfull {
    /// The node's name.
    pub node: String,
    /// What is wrong there.
    pub what: &'static str,
}

/// Does every node hold what was placed on it, and no card more than a card?
pub fn recheck(nodes: &[NodeRow], pods: &[PodRow], placed: &[Placed]) -> Result<(), Overfull> {
    let mut by_name: Vec<usize> = (0..nodes.len()).collect();
    by_name.sort_by(|&a, &b| nodes[a].name.cmp(&nodes[b].name));
    let mut used = vec![(0u64, 0u64, Vec::<u64>::new()); nodes.len()];
    for seat in placed {
        let Some(&row) = by_name.get(seat.node) else {
            return Err(Overfull { node: seat.node.to_string(), what: "there is no such node" });
        };
        let (node, pod) = (&nodes[row], &pods[seat.pod]);
        let wrong = |what| Err(Overfull { node: node.name.clone(), what });
        let (cpu, memory, cards) = &mut used[row];
        *cpu += pod.cpu_milli;
        *memory += pod.memory_mib;
        cards.resize(node.cards as usize, 0);
        if seat.cards.len() != pod.cards as usize {
            return wrong("a pod holds another number of cards than it asked for");
        }
        for (nth, card) in seat.cards.iter().enumerate() {
            if seat.cards[..nth].contains(card) {
                return wrong("a pod holds a card twice");
            }
            let Some(held) = cards.get_mut(*card) else { return wrong("there is no such card") };
            *held += u64::from(pod.card_milli);
            if *held > 1_000 {
                return wrong("a card is over its whole");
            }
        }
        let model_ok = pod.models.is_empty()
            || node.model.as_ref().is_some_and(|model| pod.models.contains(model));
        if pod.cards > 0 && !model_ok {
            return wrong("a pod is on a model that will not do");
        }
        if *cpu > node.cpu_milli {
            return wrong("cores are over what it has");
        }
        if *memory > node.memory_mib {
            return wrong("memory is over what it has");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn finds_each_way_to_be_over() {
        let node = NodeRow {
            name: "n".to_owned(),
            cpu_milli: 10,
            memory_mib: 10,
            cards: 2,
            model: Some("T4".to_owned()),
        };
        let pod = |cpu, memory, cards, milli, model: &str| PodRow {
            name: "p".to_owned(),
            cpu_milli: cpu,
            memory_mib: memory,
            cards,
            card_milli: milli,
            models: model.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>(),
        };
        let check = |pod: PodRow, cards: &[&[usize]], expect: Option<&'static str>| {
            let seats = cards.iter().map(|cards| Placed { pod: 0, node: 0, cards: cards.to_vec() });
            let seats: Vec<Placed> = seats.collect();
            let found =
                recheck(std::slice::from_ref(&node), &[pod], &seats).err().map(|over| over.what);
            assert_eq!(found, expect);
        };
        check(pod(5, 5, 1, 500, ""), &[&[0], &[0]], None);
        check(pod(5, 5, 1, 501, "T4 P100"), &[&[0], &[0]], Some("a card is over its whole"));
        check(pod(6, 5, 1, 500, ""), &[&[0], &[0]], Some("cores are over what it has"));
        check(pod(5, 6, 1, 500, ""), &[&[0], &[0]], Some("memory is over what it has"));
        check(pod(5, 5, 1, 500, "P100"), &[&[0]], Some("a pod is on a model that will not do"));
        check(pod(5, 5, 2, 500, ""), &[&[1, 1]], Some("a pod holds a card twice"));
        check(pod(5, 5, 1, 500, ""), &[&[2]], Some("there is no such card"));
        check(
            pod(5, 5, 2, 500, ""),
            &[&[1]],
            Some("a pod holds another number of cards than it asked for"),
        );
    }
}
