//! What an agent may show and report of its pool: the bounds. All of it goes into the journal, into
//! memory and onto terminals, and an agent is not ours.

use std::collections::BTreeSet;

use dayan_measure::Measurement;

use crate::refusal::Refusal;
use crate::state::{Node, QUEUE_NODE, Shown};

/// A pool shows at most this many nodes or node groups; a larger one shows groups. 100,000 nodes
/// of a country over 1,000 pools is 100 each; this leaves room for the largest.
const NODES_MAX: usize = 20_000;
/// An inventory is a few dozen lines of text; more is a mistake or an attack.
const INVENTORY_MAX: usize = 2_000;
/// An attribute's name: `accel.12.pcie.width` and the like.
const INVENTORY_KEY_MAX: usize = 128;
/// The longest honest value lists a processor's instruction sets, some 100 bytes.
const INVENTORY_VALUE_MAX: usize = 1_024;
/// All of it: [`INVENTORY_MAX`] honest lines have 50 bytes each, and this is kept for each pool.
const INVENTORY_BYTES_MAX: usize = 256 << 10;
/// Names of machines stand in tables and lists of nodes.
const NODE_NAME_MAX: usize = 128;
/// The longest model in the catalogue has 40 bytes.
const ACCELERATOR_MAX: usize = 128;
/// The planner tells so many cards of a node apart.
const CARDS_MAX: usize = 64;
/// An engine's name is one word.
const ENGINE_MAX: usize = 32;
/// The job file has some thirty features, and an agent may be newer than the exchange.
const FEATURES_MAX: usize = 128;
/// Names of features are a few words.
const FEATURE_MAX: usize = 64;
/// Some twenty attributes of a machine, and a dozen of each of 64 cards.
const MEASURED_MAX: usize = 1_024;
/// Name and version of a benchmark; a key has 64 bytes in hex, a signature 128.
const METHOD_MAX: usize = 128;

/// Not empty, not too long, and nothing in it that a terminal obeys.
fn word(text: &str, bytes_max: usize) -> bool {
    !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control)
}

fn refuse(message: String, advice: &'static str) -> Result<(), Refusal> {
    Err(Refusal::invalid("pool.shown", message, advice))
}

pub(super) fn check_shown(shown: &Shown) -> Result<(), Refusal> {
    if !word(&shown.engine, ENGINE_MAX) {
        return refuse(
            format!("a pool's engine has a name of 1 to {ENGINE_MAX} printable bytes"),
            "update the agent",
        );
    }
    if shown.features.len() > FEATURES_MAX
        || !shown.features.iter().all(|feature| word(feature, FEATURE_MAX))
    {
        return refuse(
            format!(
                "a pool shows at most {FEATURES_MAX} features with names of 1 to {FEATURE_MAX} \
                 printable bytes"
            ),
            "update the agent",
        );
    }
    check_nodes(&shown.nodes)?;
    let inventory = &shown.inventory;
    let readable = inventory.iter().all(|(key, value)| {
        word(key, INVENTORY_KEY_MAX) && (value.is_empty() || word(value, INVENTORY_VALUE_MAX))
    });
    let bytes: usize = inventory.iter().map(|(key, value)| key.len() + value.len()).sum();
    if !readable || inventory.len() > INVENTORY_MAX || bytes > INVENTORY_BYTES_MAX {
        return refuse(
            format!(
                "an inventory has at most {INVENTORY_MAX} attributes and {INVENTORY_BYTES_MAX} \
                 bytes, with names of up to {INVENTORY_KEY_MAX} and values of up to \
                 {INVENTORY_VALUE_MAX} printable bytes"
            ),
            "update the agent",
        );
    }
    Ok(())
}

fn check_nodes(nodes: &[Node]) -> Result<(), Refusal> {
    let names: BTreeSet<&str> = nodes.iter().map(|node| node.name.as_str()).collect();
    let readable = nodes.iter().all(|node| {
        let model = node.accelerator.as_deref();
        word(&node.name, NODE_NAME_MAX)
            && node.name != QUEUE_NODE
            && model.is_none_or(|model| word(model, ACCELERATOR_MAX))
            && node.islands.len() <= CARDS_MAX
    });
    if nodes.len() > NODES_MAX || names.len() != nodes.len() || !readable {
        return refuse(
            format!(
                "a pool shows at most {NODES_MAX} nodes with distinct names, names and \
                 accelerators of up to {NODE_NAME_MAX} printable bytes, and the islands of {CARDS_MAX} cards"
            ),
            "show like nodes as one group",
        );
    }
    Ok(())
}

pub(super) fn check_measured(values: &[Measurement]) -> Result<(), Refusal> {
    let readable = values.iter().all(|value| {
        word(&value.method.name, METHOD_MAX)
            && word(&value.method.version, METHOD_MAX)
            && value.signature.as_ref().is_none_or(|signed| {
                word(&signed.key, METHOD_MAX) && word(&signed.signature, METHOD_MAX)
            })
    });
    if values.len() <= MEASURED_MAX && readable {
        return Ok(());
    }
    Err(Refusal::invalid(
        "pool.measured",
        format!(
            "one call brings at most {MEASURED_MAX} values, each by a method with a name and a \
             version of up to {METHOD_MAX} printable bytes"
        ),
        "update the agent",
    ))
}
