//! What the pool's owner and its other users hold beside us: jobs of a cluster that we did not start;
//! and when its own engine expects to start what waits there.
//!
//! They are booked like leases, so that nothing is planned on what they hold, and everything that
//! reads when leases end (reservations, estimates) reads theirs as well. They are told anew as a whole,
//! whenever somebody has looked. Knows nothing of where the picture comes from.

use dayan_units::{OrgId, PoolId, ProjectId, Resources, Span, Time};
use serde::{Deserialize, Serialize};

use crate::cards::Cards;
use crate::change::{LeaseEnd, Tenure};
use crate::estate::{Estate, Holder, Lease, NodeAt, Pool, PoolIx};
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

/// What the engine of a pool that places by itself expects of its own queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Forecast {
    /// When it was asked.
    pub told: Time,
    /// When it expects to start the last of ours that waits there: what joins the queue now starts
    /// no sooner.
    pub starts: Time,
}

/// Forecasts are compared by whole minutes: backfilling moves them by seconds at every look, and
/// nobody should be judged anew for that.
const FORECAST_STEP: Span = Span::from_secs(60);

impl Forecast {
    /// How long the queue was when it was told, in whole minutes: the measure by which queues are
    /// compared. It does not change with the moment of looking.
    pub(crate) fn length(self) -> Span {
        let step = FORECAST_STEP.micros();
        let micros = self.starts.since(self.told).max(Span::ZERO).micros();
        Span::from_micros(micros.saturating_add(step - 1) / step * step)
    }

    /// How long a start keeps away from a moment by it; nothing once it is over.
    pub(crate) fn wait(self, now: Time) -> Span {
        self.starts.since(now).max(Span::ZERO)
    }
}

impl Pool {
    /// How long what finds no room in it now waits at least, by its own engine.
    pub(crate) fn forecast_wait(&self, now: Time) -> Span {
        let by_pool = self.view.as_ref().is_some_and(|view| view.placing == Placing::ByPool);
        let forecast = self.forecast.filter(|_| by_pool);
        forecast.map_or(Span::ZERO, |forecast| forecast.wait(now))
    }
}

impl Estate {
    /// The engine of a pool expects this of its queue now. Where that is another number of minutes,
    /// whoever could wait there is judged anew.
    pub fn set_forecast(&mut self, pool: PoolId, forecast: Option<Forecast>) {
        let ix = self.pool_ix(pool);
        let known = std::mem::replace(&mut self.pools[ix as usize].forecast, forecast);
        let queues = self.pools[ix as usize].bays.iter().any(|bay| self.is_queue(*bay));
        if queues && known.map(Forecast::length) != forecast.map(Forecast::length) {
            self.dirty.insert(ix);
        }
    }

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
