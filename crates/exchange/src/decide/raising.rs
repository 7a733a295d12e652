//! More memory for a job whose task ran out of it: the next size of the range that its file names.
//!
//! Each task asks for itself; members of a gang ask for the same, so what one of them needed is asked
//! for all. A job under a firm quote is not raised: its price is for what it asked.

use dayan_identity::Status;
use dayan_units::{Bytes, Resources};

use super::Ask;
use crate::command::Outcome;
use crate::event::Event;
use crate::state::{Job, Lease, MemberEnd, StoredSpec};

/// Each size is so many times the last: a task that does not say how much it lacked is tried a few
/// times, and what is granted in the end is less than twice what it needs.
const GROWTH: u64 = 2;

impl Ask<'_> {
    /// The task asks for more from now on, if this attempt ran out of what it asks for today.
    pub(super) fn raised(
        &self,
        job: &Job,
        lease: &Lease,
        outcome: &Outcome,
        verdict: MemberEnd,
    ) -> Option<Event> {
        let again = matches!(verdict, MemberEnd::Requeued);
        if *outcome != Outcome::OutOfMemory || !again || job.quote.is_some() {
            return None;
        }
        let stored = self.state.work.spec_of(job);
        let range = stored.spec.resources.memory;
        let task = lease.attempt.task;
        let today = job.memory_of(task).unwrap_or(range.min);
        if lease.resources.memory < today {
            // Another member of its gang has raised it since this one was placed.
            return None;
        }
        let wanted =
            Bytes(today.0.saturating_mul(GROWTH)).min(range.max.unwrap_or(Bytes(u64::MAX)));
        let next = wanted.min(self.largest_memory(job, stored, task)?);
        let task = stored.spec.gang.is_none().then_some(task);
        let raised = Event::MemoryRaised { job: job.id, task, from: today, to: next };
        (next > today).then_some(raised)
    }

    /// The most memory that a task of the job can be given anywhere, everything else as it asks.
    fn largest_memory(&self, job: &Job, stored: &StoredSpec, task: u32) -> Option<Bytes> {
        let org = &self.state.access.orgs[&job.org];
        let project = &self.state.access.projects[&job.project];
        let members = u64::from(stored.spec.gang_nodes()).max(1);
        let quotas = [org.quota.memory, project.quota.memory];
        let most = quotas.into_iter().flatten().min();
        let most = most.map_or(Bytes(u64::MAX), |all| Bytes(all.0 / members));
        let supply = &self.state.supply;
        let pools = supply.pools.values().filter(|pool| pool.status == Status::Active);
        let mut largest = None;
        for pool in pools {
            for offer in supply.offers.values().filter(|offer| offer.pool == pool.id) {
                for need in self.state.work.needs(job, task) {
                    let nodes = pool.shown.nodes.iter().filter(|node| node.up);
                    let fits = nodes.filter(|node| need.fits_in(&node.total));
                    let has = fits.map(|node| node.total.memory).max();
                    let Some(has) = has else { continue };
                    let memory = has.min(offer.task_max.memory).min(most);
                    let raised = Resources { memory, ..need };
                    if offer.admits(&raised, None, org.class, self.now).is_ok() {
                        largest = largest.max(Some(memory));
                    }
                }
            }
        }
        largest
    }
}
