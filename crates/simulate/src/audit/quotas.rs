//! Quotas, added up by the checker: nobody holds more than it may but by what was promised.

use std::collections::BTreeMap;

use dayan_exchange::Event;
use dayan_schedule::{Quota, QuotaOf};
use dayan_units::{AttemptId, JobId, Resources};

/// What may be held, and is.
#[derive(Debug, Default)]
pub(crate) struct Quotas {
    most: BTreeMap<QuotaOf, Quota>,
    held: BTreeMap<QuotaOf, Resources>,
    payers: BTreeMap<JobId, [QuotaOf; 2]>,
    leases: BTreeMap<AttemptId, Resources>,
}

impl Quotas {
    pub(crate) fn event(&mut self, event: &Event, promised: bool) -> Result<(), String> {
        match event {
            Event::QuotaSet { of, quota } => {
                self.most.insert(*of, *quota);
            }
            Event::JobSubmitted { job, project, org, .. } => {
                self.payers.insert(*job, [QuotaOf::Project(*project), QuotaOf::Org(*org)]);
            }
            Event::Leased { lease, .. } => {
                self.leases.insert(lease.attempt, lease.resources);
                for of in self.payers[&lease.attempt.job] {
                    let held = self.held.entry(of).or_default();
                    *held = held.checked_add(&lease.resources).ok_or("too much to add")?;
                    let most = self.most.get(&of).copied().unwrap_or_default();
                    if !promised && !most.admits(held) {
                        return Err(format!("{of:?} holds {held} of {most} at most"));
                    }
                }
            }
            Event::RoomFreed { attempt } | Event::AttemptEnded { attempt, .. } => {
                let Some(resources) = self.leases.remove(attempt) else { return Ok(()) };
                for of in self.payers[&attempt.job] {
                    let held = self.held.entry(of).or_default();
                    *held = held.checked_sub(&resources).ok_or("less than nothing is held")?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
