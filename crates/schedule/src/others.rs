//! What the pool's owner and its other users hold beside us: jobs of a cluster that we did not start.
//!
//! They are booked like leases, so that nothing is planned on what they hold, and everything that
//! reads when leases end (reservations, estimates) reads theirs as well. They are told anew as a whole,
//! whenever somebody has looked. Knows nothing of where the picture comes from.

use dayan_units::{OrgId, PoolId, ProjectId, Resources};
use serde::{Deserialize, Serialize};

use crate::cards::Cards;
use crate::change::{LeaseEnd, Tenure};
use crate::estate::{Estate, Holder, Lease, NodeAt, PoolIx};
use crate::fit_tree::Need;
use crate::quota::Payer;
use crate::view::{NodeName, Placing};

/// A part of a node that others hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HeldByOthers {
    /// On which node.
    pub node: NodeName,
    /// How much.
    pub resources: Resources,
    /// When it is given back; [`Time::NEVER`](dayan_units::Time::NEVER) where nobody knows.
    pub end: LeaseEnd,
}

impl Estate {
    /// Others hold this in a pool now, and nothing else.
    pub fn set_others(&mut self, pool: PoolId, held: &[HeldByOthers]) {
        let ix = self.pool_ix(pool);
        for lease in std::mem::take(&mut self.pools[ix as usize].others) {
            self.free(lease);
        }
        // Nobody's ids: no quota is set for them.
        let payer = Payer { project: ProjectId::from_bits(0), org: OrgId::from_bits(0) };
        let payers = self.accounts.payers(payer, &std::collections::BTreeMap::new());
        for part in held {
            let at = self.place_for(ix, part);
            let node = at.map_or_else(|| part.node.clone(), |at| self.node(at).name.clone());
            let lease = self.book(Lease {
                holder: Holder::Others,
                pool: ix,
                payers: payers.clone(),
                node,
                at,
                resources: part.resources,
                cards: Cards::NONE,
                end: part.end,
                tenure: Tenure::Kept,
            });
            self.pools[ix as usize].others.push(lease);
        }
    }

    /// Where it is booked. Where the pool places by itself our own tasks are not where they were
    /// booked, so what others hold may find its node booked already: then another with room stands for
    /// it, and the sum is right.
    fn place_for(&self, ix: PoolIx, part: &HeldByOthers) -> Option<NodeAt> {
        let pool = &self.pools[ix as usize];
        // A node that is not shown is nobody's to plan on.
        let own = pool.names.get(&part.node).copied()?;
        let need = Need::of(part.resources);
        let fits = |at: &NodeAt| {
            let node = self.node(*at);
            node.fits_with(&node.booked, &need)
        };
        let places_itself = pool.view.as_ref().is_some_and(|view| view.placing == Placing::ByPool);
        if !places_itself || fits(&own) {
            return Some(own);
        }
        let real = pool.bays.iter().copied().filter(|bay| !self.is_queue(*bay));
        let mut nodes = real.flat_map(|bay| {
            let nodes = u32::try_from(self.bays[bay].nodes.len()).unwrap_or(u32::MAX);
            (0..nodes).map(move |node| NodeAt { bay, node })
        });
        nodes.find(fits).or(Some(own))
    }
}
