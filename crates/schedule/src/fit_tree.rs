//! Which node has room: a tree over the nodes of a bay in packing order, each cell holding the
//! component-wise most that its nodes have free. The first node that fits is found by going down
//! only where every component could fit; a change costs the way up.
//!
//! Invariant: an inner cell is exactly the component-wise maximum of its two children.

use dayan_units::{MilliAccel, Resources};

use crate::cards::{CardNeed, CardRoom};

/// What a node has free.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Room {
    pub cpu: u64,
    pub memory: u64,
    pub disk: u64,
    pub accel: u64,
    pub cards: CardRoom,
}

/// What a task takes, split for cards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Need {
    pub resources: Resources,
    pub cards: CardNeed,
}

impl Need {
    pub fn of(resources: Resources) -> Self {
        Self { resources, cards: CardNeed::of(resources.accel) }
    }
    /// Could it fit where this is free? Exact but for whole cards *and* a part together, which only
    /// the cards themselves can tell.
    pub fn may_fit(&self, room: &Room) -> bool {
        self.resources.cpu.0 <= room.cpu
            && self.resources.memory.0 <= room.memory
            && self.resources.disk.0 <= room.disk
            && self.resources.accel.0 <= room.accel
            && self.cards.whole <= room.cards.whole
            && self.cards.part <= room.cards.part
    }
    /// Must the cards themselves be asked?
    pub fn mixes_cards(&self) -> bool {
        self.cards.whole > 0 && self.cards.part > 0
    }
}

impl Room {
    /// Of a sum of resources whose cards are not told apart.
    pub fn summed(free: &Resources) -> Self {
        let MilliAccel(accel) = free.accel;
        let whole = u32::try_from(accel / 1_000).unwrap_or(u32::MAX);
        let part = u32::try_from(accel.min(1_000)).expect("at most a card");
        Self {
            cpu: free.cpu.0,
            memory: free.memory.0,
            disk: free.disk.0,
            accel,
            cards: CardRoom { whole, part },
        }
    }
    /// The component-wise most.
    pub fn max(&self, other: &Self) -> Self {
        Self {
            cpu: self.cpu.max(other.cpu),
            memory: self.memory.max(other.memory),
            disk: self.disk.max(other.disk),
            accel: self.accel.max(other.accel),
            cards: CardRoom {
                whole: self.cards.whole.max(other.cards.whole),
                part: self.cards.part.max(other.cards.part),
            },
        }
    }
}

/// The index of one bay. Cell 1 is the root, cell `leaves + n` is node n.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct FitTree {
    cells: Vec<Room>,
    leaves: usize,
}

impl FitTree {
    pub fn new(rooms: &[Room]) -> Self {
        let leaves = rooms.len().next_power_of_two();
        let mut cells = vec![Room::default(); 2 * leaves];
        cells[leaves..leaves + rooms.len()].copy_from_slice(rooms);
        for at in (1..leaves).rev() {
            cells[at] = cells[2 * at].max(&cells[2 * at + 1]);
        }
        Self { cells, leaves }
    }

    /// The component-wise most that any node has free.
    pub fn most(&self) -> Room {
        self.cells.get(1).copied().unwrap_or_default()
    }

    /// Sets what a node has free.
    pub fn set(&mut self, node: usize, room: Room) {
        let mut at = self.leaves + node;
        self.cells[at] = room;
        while at > 1 {
            at /= 2;
            let most = self.cells[2 * at].max(&self.cells[2 * at + 1]);
            if self.cells[at] == most {
                break;
            }
            self.cells[at] = most;
        }
    }

    /// The first node from `from` on where the need fits and `accept` agrees. Adds the cells read
    /// to `work`.
    pub fn first_fit(
        &self,
        need: &Need,
        from: usize,
        work: &mut u64,
        mut accept: impl FnMut(usize) -> bool,
    ) -> Option<usize> {
        if from >= self.leaves {
            return None;
        }
        let mut at = if from == 0 { 1 } else { self.leaves + from };
        loop {
            *work += 1;
            if need.may_fit(&self.cells[at]) {
                if at < self.leaves {
                    at *= 2;
                    continue;
                }
                if accept(at - self.leaves) {
                    return Some(at - self.leaves);
                }
            }
            // On to the next subtree to the right; a right child's is its parent's.
            while at & 1 == 1 {
                at >>= 1;
            }
            if at == 0 {
                return None;
            }
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::{Bytes, MilliCpu};
    use proptest::prelude::*;

    fn resources(cpu: u64, memory: u64) -> Resources {
        Resources { cpu: MilliCpu(cpu), memory: Bytes(memory), ..Resources::ZERO }
    }

    proptest! {
        #[test]
        fn finds_what_a_scan_finds(
            rooms in proptest::collection::vec((0u64..8, 0u64..8), 0..40),
            changes in proptest::collection::vec((0usize..40, 0u64..8, 0u64..8), 0..20),
            need in (0u64..8, 0u64..8),
            from in 0usize..45,
        ) {
            let mut rooms: Vec<Room> =
                rooms.iter().map(|&(c, m)| Room::summed(&resources(c, m))).collect();
            let mut tree = FitTree::new(&rooms);
            for (at, c, m) in changes {
                if let Some(room) = rooms.get_mut(at) {
                    *room = Room::summed(&resources(c, m));
                    tree.set(at, *room);
                }
            }
            // A need of nothing also fits the padding; real needs are not of nothing.
            let need = Need::of(resources(need.0 + 1, need.1));
            let scan = (from..rooms.len()).find(|&at| need.may_fit(&rooms[at]));
            let mut work = 0;
            prop_assert_eq!(tree.first_fit(&need, from, &mut work, |_| true), scan);
            prop_assert_eq!(tree, FitTree::new(&rooms));
        }
    }
}
