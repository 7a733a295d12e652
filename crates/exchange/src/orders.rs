//! What an agent should hold: the answer to its sync, as a view of the state.

use dayan_units::{AgentId, AttemptId};

use crate::state::{Job, Lease, State, StoredSpec};

/// One lease and what belongs to it.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The lease.
    pub lease: &'a Lease,
    /// Its job.
    pub job: &'a Job,
    /// The job's file.
    pub stored: &'a StoredSpec,
}

/// Leases of the agent that are new or changed after `known`, and the revision this brings it to.
pub fn since(state: &State, agent: AgentId, known: u64) -> (u64, Vec<Order<'_>>) {
    let revision = state.supply.agents.get(&agent).map_or(0, |agent| agent.revision);
    // An agent that names a revision we never reached was served by a state that is gone (a
    // restored backup): everything is told again.
    let known = if known > revision { 0 } else { known };
    if known == revision {
        return (revision, Vec::new());
    }
    let held = state.work.by_agent.get(&agent).into_iter().flatten();
    let leases = held.map(|attempt| &state.work.leases[attempt]);
    let orders = leases.filter(|lease| lease.revision > known).map(|lease| {
        let job = &state.work.jobs[&lease.attempt.job];
        Order { lease, job, stored: state.work.spec_of(job) }
    });
    (revision, orders.collect())
}

/// Of the attempts an agent named, those that it holds no lease for.
pub fn unknown(
    state: &State,
    agent: AgentId,
    named: impl IntoIterator<Item = AttemptId>,
) -> Vec<AttemptId> {
    let held = |attempt: &AttemptId| {
        state.work.leases.get(attempt).is_some_and(|lease| lease.agent == agent)
    };
    named.into_iter().filter(|attempt| !held(attempt)).collect()
}
