//! Is there another pool for a task that one could not start for the job's own doing?
//!
//! What the task asks for and one pool has not (an image, a program, a partition) another may have. This
//! says whether it is worth waiting for: by the planner's own rules, as if all pools were empty and up.
//! Must not know why it did not start.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_identity::Status;
use dayan_schedule::{JobAsk, Planner, Tasks, lets_in};
use dayan_units::SiteId;

use super::Ask;
use crate::changes;
use crate::state::{Job, Lease, Pool};

impl Ask<'_> {
    /// Another active pool that would take the task, and that it does not stay away from.
    pub(super) fn has_elsewhere(&self, job: &Job, lease: &Lease) -> bool {
        let tasks = Tasks::one(lease.attempt.task);
        let bars = job.bars(&tasks, self.now);
        let mut ask = changes::job_ask(self.state, job, tasks);
        // How far away they are is not known here, and keeps nobody from waiting.
        Arc::make_mut(&mut ask.ask).delay = None;
        // What a pool refuses by itself it refuses before any of its nodes is looked at.
        let mut others = self.state.supply.pools.values().filter(|pool| {
            pool.id != lease.pool
                && pool.status == Status::Active
                && !bars.contains_key(&pool.id)
                && lets_in(&changes::pool_alone(self.state, pool, self.now), &ask)
        });
        if ask.gang.is_none() {
            return others.any(|pool| self.would_take(&[pool], &ask));
        }
        // A gang may span the pools of a site. The first site that would do is enough.
        let mut sites: BTreeMap<SiteId, Vec<&Pool>> = BTreeMap::new();
        for pool in others {
            sites.entry(pool.site).or_default().push(pool);
        }
        sites.into_values().any(|pools| self.would_take(&pools, &ask))
    }

    fn would_take(&self, pools: &[&Pool], ask: &JobAsk) -> bool {
        let mut shown = Vec::new();
        for pool in pools {
            changes::of_pool(self.state, pool, self.now, &mut shown);
        }
        let mut planner = Planner::new();
        for change in &shown {
            planner.observe(change);
        }
        planner.would_take(ask, self.now)
    }
}
