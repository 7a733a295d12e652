//! Finds the node for one task among choices that are equal: bays of one pool under one offer. By
//! the expected waste (see `waste`), and where that says nothing by the packing order.
//!
//! Invariant: what is found fits; where any node of the choices looked at fits, one is found.

use dayan_units::MilliAccel;

use crate::estate::{Bay, Estate, NodeAt};
use crate::fit_tree::Need;
use crate::judge::Choice;
use crate::later::When;
use crate::waste::Packer;

/// Nodes compared for one task. A pool with more nodes that have room is packed in parts of this
/// size, in packing order: a look costs about a tenth of a microsecond.
const LOOKS_MAX: u32 = 4_096;

/// Are two choices as good as each other? Neighbours in the order of scores that have the same
/// pool, offer and need have the same measures.
pub(crate) fn are_equal(estate: &Estate, a: &Choice, b: &Choice, need: &Need) -> bool {
    let front = |choice: &Choice| &estate.fronts[choice.bay as usize];
    (a.offer, a.need, a.alternative) == (b.offer, b.need, b.alternative)
        && front(a).pool == front(b).pool
        && (need.resources.accel > MilliAccel::ZERO || front(a).has_cards == front(b).has_cards)
}

/// Could a node of that bay have room? Looked at before the bay itself is.
pub(crate) fn may_have_room(estate: &Estate, choice: &Choice, need: &Need) -> bool {
    need.may_fit(&estate.fronts[choice.bay as usize].most)
}

fn has_cards(bay: &Bay) -> bool {
    bay.make.accelerator.is_some()
}

/// A search under way.
pub(crate) struct Search<'a> {
    need: &'a Need,
    when: When,
    packer: &'a mut Packer,
    looks: u32,
    /// How much the waste grows (in hundredths of a card), and where.
    pub best: Option<(i64, NodeAt, Choice)>,
    done: bool,
}

impl<'a> Search<'a> {
    pub fn new(need: &'a Need, when: When, packer: &'a mut Packer) -> Self {
        Self { need, when, packer, looks: 0, best: None, done: false }
    }

    /// Nothing better can be found, or enough has been looked at.
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Looks at the nodes of a bay; did any have room?
    pub fn look_in(&mut self, choice: Choice, bay: &Bay, work: &mut u64) -> bool {
        let at = |node| NodeAt { bay: choice.bay, node };
        let Some(mut node) = bay.first_fit(self.need, self.when, 0, work) else { return false };
        if self.packer.is_blank() || !has_cards(bay) {
            // Nothing to go by, or no cards to waste: the first in packing order.
            self.best = self.best.or(Some((0, at(node), choice)));
            self.done = true;
            return true;
        }
        let mut before: Option<u32> = None;
        loop {
            let shown = &bay.nodes[node as usize];
            // Rows of nodes in the same state are common, above all the empty ones.
            if before.is_none_or(|before| !shown.is_like(&bay.nodes[before as usize])) {
                let growth = match shown.free_before_and_after(self.need) {
                    Some((before, after)) => self.packer.growth(before, after),
                    None => 0,
                };
                if self.best.is_none_or(|(least, ..)| growth < least) {
                    self.best = Some((growth, at(node), choice));
                }
            }
            self.looks += 1;
            before = Some(node);
            self.done = self.looks >= LOOKS_MAX;
            if self.done {
                return true;
            }
            let next = bay.first_fit(self.need, self.when, node as usize + 1, work);
            let Some(next) = next else { return true };
            node = next;
        }
    }
}
