//! Which nodes a task may run on, though Slurm chooses them: those of the kind that the exchange has
//! planned it on and bills, with what the job asks of them. Pure.
//!
//! Invariant: cards are asked for by the type of the planned node's. Where no type says which those are,
//! the planned nodes themselves are asked for; where a node's are not known and it could be any of
//! several, nothing is asked for at all.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::survey::Node;
use crate::Launch;

/// The variable that says which nodes the exchange has planned a gang on.
const NODELIST: &str = "DAYAN_NODELIST";

/// What is asked of a task's nodes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Kind {
    /// The type of their cards, as `--gres` takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cards: Option<String>,
    /// They themselves, where no type says which cards are meant.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The site's own words for what they have.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
}

impl Kind {
    /// Of a launch, on a cluster of these nodes.
    pub(crate) fn of(launch: &Launch, all: &[Node]) -> Result<Self, String> {
        let shown = |word: &&String| all.iter().any(|node| node.features.contains(*word));
        let features = launch.node_features.iter().filter(shown).cloned().collect();
        let mut kind = Self { features, ..Self::default() };
        let planned = planned(launch);
        let types: BTreeSet<Option<&str>> =
            all.iter().filter(|node| node.accelerator.is_some()).map(card_type).collect();
        if launch.accelerators == 0 || planned.is_empty() || types.len() < 2 {
            // One type, or none: there is nothing to choose between.
            kind.cards = types.first().copied().flatten().map(str::to_owned);
            kind.cards = kind.cards.filter(|_| launch.accelerators > 0 && types.len() == 1);
            return Ok(kind);
        }
        let type_of = |name: &str| {
            let node = all.iter().find(|node| node.name == name);
            node.map(card_type).ok_or_else(|| {
                format!(
                    "slurm.node: Slurm does not show the node `{name}`, and which cards it has is not \
                     known; it is planned anew once the pool is shown as it is"
                )
            })
        };
        let mut meant =
            planned.iter().map(|name| type_of(name)).collect::<Result<BTreeSet<_>, _>>()?;
        match (meant.pop_first().flatten(), meant.is_empty()) {
            (Some(only), true) => kind.cards = Some(only.to_owned()),
            (None, true) | (_, false) if !names_nodes(launch) => {
                kind.nodes = planned.into_iter().map(str::to_owned).collect();
            }
            (None, true) | (_, false) => {}
        }
        Ok(kind)
    }

    /// What `--constraint` says, with what the site or the job says there.
    pub(crate) fn constraint(&self, said: Option<&str>) -> Option<String> {
        let is_one =
            |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        let said = said.filter(|said| !said.is_empty()).map(|said| {
            if is_one(said) || self.features.is_empty() {
                said.to_owned()
            } else {
                format!("({said})")
            }
        });
        let words: Vec<String> = said.into_iter().chain(self.features.iter().cloned()).collect();
        (!words.is_empty()).then(|| words.join("&"))
    }
}

fn card_type(node: &Node) -> Option<&str> {
    node.gres_type.as_deref()
}

/// Does the job say itself where it is to run: on which nodes, or in another partition?
fn names_nodes(launch: &Launch) -> bool {
    ["nodelist", "partition"].iter().any(|word| launch.site_words.contains_key(*word))
}

/// The nodes that the exchange has planned a launch on, a gang's all of it; none where it does not say.
fn planned(launch: &Launch) -> Vec<&str> {
    let own = Some(launch.node.as_str()).filter(|name| !name.is_empty());
    let gang = launch.gang.and_then(|_| launch.env.get(NODELIST));
    match gang {
        Some(names) => names.split(',').filter(|name| !name.is_empty()).collect(),
        None => own.into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, GangSeat};
    use dayan_units::Resources;

    fn node(name: &str, accelerator: Option<&str>, gres_type: Option<&str>) -> Node {
        Node {
            name: name.to_owned(),
            total: Resources::ZERO,
            accelerator: accelerator.map(str::to_owned),
            gres_type: gres_type.map(str::to_owned),
            features: [format!("of-{name}")].into(),
            up: true,
            taken: Resources::ZERO,
        }
    }

    fn launch(on: &[&str], accelerators: u32) -> Launch {
        let mut launch = crate::slurm::book::tests::launch(1, BootId(0), 1);
        launch.node = on.first().copied().unwrap_or_default().to_owned();
        launch.accelerators = accelerators;
        if on.len() > 1 {
            let members = u32::try_from(on.len()).expect("few");
            launch.gang = Some(GangSeat { launch: 0, rank: 0, members, nodes: members });
            launch.env.insert(NODELIST.to_owned(), on.join(","));
        }
        launch
    }

    #[test]
    fn cards_are_those_of_the_planned_node() {
        let mixed = [
            node("n1", Some("v100"), Some("v100")),
            node("n2", Some("a100"), Some("a100")),
            node("n3", Some("a100"), Some("a100")),
            node("n4", None, None),
        ];
        let check = |all: &[Node],
                     on: &[&str],
                     cards,
                     expect: Result<(Option<&str>, &[&str]), ()>| {
            let kind = Kind::of(&launch(on, cards), all);
            let got = kind.as_ref().map(|kind| {
                (kind.cards.as_deref(), kind.nodes.iter().map(String::as_str).collect::<Vec<_>>())
            });
            let expect = expect.map(|(cards, nodes)| (cards, nodes.to_vec()));
            assert_eq!(got.map_err(|_| ()), expect, "{on:?} {cards}: {kind:?}");
        };
        check(&mixed, &["n1"], 1, Ok((Some("v100"), &[])));
        check(&mixed, &["n3"], 1, Ok((Some("a100"), &[])));
        check(&mixed, &["n2", "n3"], 1, Ok((Some("a100"), &[])));
        // No one type is all of a mixed gang's.
        check(&mixed, &["n1", "n3"], 1, Ok((None, &["n1", "n3"])));
        check(&mixed, &["n3"], 0, Ok((None, &[])));
        check(&mixed, &["n9"], 1, Err(()));
        check(&mixed, &[], 1, Ok((None, &[])));
        // Where there is one kind, nobody can be given another.
        check(&mixed[1..], &["n9"], 1, Ok((Some("a100"), &[])));
        let plain = [node("n1", Some("gpu"), None), node("n2", Some("gpu"), None)];
        check(&plain, &["n1"], 1, Ok((None, &[])));
        let half = [node("n1", Some("gpu"), None), node("n2", Some("a100"), Some("a100"))];
        check(&half, &["n1"], 1, Ok((None, &["n1"])));
        check(&half, &["n2"], 1, Ok((Some("a100"), &[])));
    }

    #[test]
    fn a_job_that_names_its_nodes_is_not_told_of_others_and_gets_no_other_cards() {
        let mixed = [node("n1", Some("v100"), Some("v100")), node("n2", Some("gpu"), None)];
        let of = |on: &[&str], word: &str| {
            let mut launch = launch(on, 1);
            launch.site_words.insert(word.to_owned(), "x".to_owned());
            Kind::of(&launch, &mixed).expect("they are known")
        };
        assert_eq!(of(&["n1"], "nodelist").cards.as_deref(), Some("v100"));
        assert_eq!(of(&["n2"], "nice").nodes, ["n2"]);
        for word in ["nodelist", "partition"] {
            assert_eq!(of(&["n2"], word).nodes, [""; 0]);
        }
    }

    #[test]
    fn features_of_the_site_are_asked_for_beside_what_is_said() {
        let all = [node("n1", None, None)];
        let mut launch = launch(&["n1"], 0);
        launch.node_features = ["of-n1", "partition-main"].map(str::to_owned).into();
        let kind = Kind::of(&launch, &all).expect("it is known");
        assert_eq!(kind.features, ["of-n1"]);
        let check = |kind: &Kind, said, expect: Option<&str>| {
            assert_eq!(kind.constraint(said).as_deref(), expect, "{said:?}");
        };
        check(&kind, None, Some("of-n1"));
        check(&kind, Some("ib"), Some("ib&of-n1"));
        check(&kind, Some("ib|opa"), Some("(ib|opa)&of-n1"));
        let none = Kind::default();
        check(&none, None, None);
        check(&none, Some("ib|opa"), Some("ib|opa"));
    }
}
