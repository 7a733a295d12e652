//! What is asked of all bays of a country, one after the other: in tables beside the bays, a cache
//! line each, so that those which do not serve are passed over without a look at them.
//!
//! Invariant: each entry is what its bay says (`Estate::check`). Must not know queues.

use crate::estate::{Bay, BayIx, Estate, PoolIx};
use crate::fit_tree::{Need, Room};
use crate::judge::Choice;
use crate::slots::BitSet;

/// What a round asks of a bay before it looks at any of its nodes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Front {
    /// The component-wise most that any node has free.
    pub most: Room,
    pub pool: PoolIx,
    pub has_cards: bool,
}

/// What a verdict asks of a bay, empty as it may be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sign {
    /// The component-wise most of the sizes: refuses most asks that are too large at one look.
    pub largest: Room,
    pub pool: PoolIx,
    /// Its number in its pool, by make: stable for equal views.
    pub number: u32,
    pub has_cards: bool,
    /// All nodes are of one size: what fits in the most fits in a node.
    pub one_size: bool,
    /// Places in a queue.
    pub waits: bool,
}

impl Bay {
    pub fn front(&self) -> Front {
        let has_cards = self.make.accelerator.is_some();
        Front { most: self.tree.most(), pool: self.pool, has_cards }
    }
    pub fn sign(&self) -> Sign {
        let sizes = self.sizes.iter().map(|(unit, _)| Room::summed(unit));
        Sign {
            largest: sizes.fold(Room::default(), |most, size| most.max(&size)),
            pool: self.pool,
            number: self.number,
            has_cards: self.make.accelerator.is_some(),
            one_size: self.sizes.len() == 1,
            waits: self.make.waits.is_some(),
        }
    }
}

impl Estate {
    #[inline]
    pub fn sign(&self, bay: BayIx) -> &Sign {
        &self.signs[bay as usize]
    }
    /// Could any node of the bay hold the need when empty?
    #[inline]
    pub fn fits_empty(&self, bay: BayIx, need: &Need) -> bool {
        let sign = self.sign(bay);
        need.may_fit(&sign.largest) && (sign.one_size || self.bays[bay].seats_empty(need) > 0)
    }

    /// Verdicts are expected to rank pools as these choices do.
    pub fn rank(&mut self, choices: &[Choice]) {
        let mut seen = BitSet::default();
        let mut ranking = Vec::with_capacity(self.ranking.len());
        for pool in choices.iter().map(|choice| self.pool_of(choice.bay)) {
            if !seen.contains(pool) {
                seen.insert(pool);
                ranking.push(pool);
            }
        }
        ranking.extend(self.ranking.iter().filter(|pool| !seen.contains(**pool)));
        self.ranking = ranking;
    }

    /// A bay is new, or another has taken its number.
    pub fn put_up_signs(&mut self, ix: BayIx) {
        let bay = &self.bays[ix];
        let (front, sign) = (bay.front(), bay.sign());
        let at = ix as usize;
        if self.fronts.len() <= at {
            self.fronts.resize(at + 1, front.clone());
            self.signs.resize(at + 1, sign.clone());
        }
        self.fronts[at] = front;
        self.signs[at] = sign;
    }

    /// Names the first bay whose entries are not its own.
    pub fn check_signs(&self) -> Result<(), String> {
        for (ix, bay) in self.bays.iter() {
            if self.fronts[ix as usize] != bay.front() || *self.sign(ix) != bay.sign() {
                return Err(format!("bay {} of pool {} shows another front", bay.number, bay.pool));
            }
        }
        Ok(())
    }
}
