//! Which leases cannot be valid any more. Kept beside the state, not in it: hearing from an agent
//! is not journalled, so an exchange that starts counts every lease as just renewed.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{AgentId, AttemptId, PoolId, Span, Time, lost_after};

use crate::command::Command;
use crate::refusal::Refusal;
use crate::state::{Fence, Lease, State};

/// How long the fence gives a task between asking it to end and killing it; with this behind the
/// lease's end, nothing of it can still run.
pub const STOP_GRACE: Span = Span::from_secs(5);

/// An agent is heard whenever an answer that was held back for it is over, which takes up to 25 s;
/// one that is late by more than a slow link explains is not there.
pub const SILENT_AFTER: Span = Span::from_secs(40);

/// When each agent was last heard.
#[derive(Clone, Debug)]
pub struct Liveness {
    since: Time,
    heard: BTreeMap<AgentId, Time>,
}

impl Liveness {
    /// Starts counting: nobody was heard, and nobody is late.
    pub const fn new(now: Time) -> Self {
        Self { since: now, heard: BTreeMap::new() }
    }

    /// An authenticated call of the agent came in.
    pub fn heard(&mut self, agent: AgentId, now: Time) {
        self.heard.insert(agent, now);
    }

    /// When the agent was last heard since this exchange started.
    pub fn last(&self, agent: AgentId) -> Option<Time> {
        self.heard.get(&agent).copied()
    }

    /// When the lease can no longer be valid, if the agent stays silent. The newest call may have
    /// been answered before the lease was given, so the lease's own beginning counts too.
    fn ends(&self, lease: &Lease) -> Time {
        let renewed = self.last(lease.agent).unwrap_or(self.since);
        let renewed = renewed.max(lease.placed_at).max(self.since);
        let ends = renewed.plus(lost_after(lease.keep, STOP_GRACE));
        if self.was_never_told(lease) {
            return ends.min(lease.placed_at.plus(SILENT_AFTER));
        }
        ends
    }

    /// Given since this exchange started to an agent that has not been heard since then: no answer
    /// was made that could have told it of the lease, so nothing of it can run.
    fn was_never_told(&self, lease: &Lease) -> bool {
        lease.placed_at >= self.since
            && self.last(lease.agent).is_none_or(|heard| heard < lease.placed_at)
    }

    /// May this be decided now? Asked right before: the agent of a lease may have been heard since
    /// [`Self::lost`] named it, and then the lease is not to be given away.
    pub fn admits(&self, state: &State, command: &Command, now: Time) -> Result<(), Refusal> {
        match command {
            Command::LoseLease { attempt } if !self.is_lost(state, *attempt, now) => {
                let message = format!("the agent of {attempt} has been heard");
                Err(Refusal::conflict("lease.alive", message, "nothing to do"))
            }
            _ => Ok(()),
        }
    }

    /// Can the lease not be valid any more?
    pub fn is_lost(&self, state: &State, attempt: AttemptId, now: Time) -> bool {
        let lease = state.work.leases.get(&attempt);
        lease.is_some_and(|lease| is_fenced(state, lease.agent) && self.ends(lease) <= now)
    }

    /// Leases that cannot be valid any more, at most `max` of them. A pool without a fence is
    /// never given up by time alone.
    pub fn lost(&self, state: &State, now: Time, max: usize) -> Vec<AttemptId> {
        let mut lost = Vec::new();
        for (agent, attempts) in &state.work.by_agent {
            let quiet_since = self.last(*agent).unwrap_or(self.since);
            if now.since(quiet_since) < SILENCE_MIN || !is_fenced(state, *agent) {
                continue;
            }
            let late = attempts
                .iter()
                .filter(|attempt| self.ends(&state.work.leases[*attempt]) <= now)
                .take(max - lost.len());
            lost.extend(late.copied());
            if lost.len() >= max {
                break;
            }
        }
        lost
    }

    /// Pools whose agent is not heard: nothing new is sent there.
    pub fn silent(&self, state: &State, now: Time) -> BTreeSet<PoolId> {
        // One that has just joined shows its nodes as soon as it is heard, and work may go there at once.
        let is_new = |pool: &PoolId| {
            let pool = state.supply.pools.get(pool);
            pool.is_some_and(|pool| now.since(pool.joined_at) <= SILENT_AFTER)
        };
        let agents = state.supply.agents.iter();
        let silent = agents.filter(|(id, _)| self.is_silent(**id, now));
        silent.map(|(_, agent)| agent.pool).filter(|pool| !is_new(pool)).collect()
    }

    /// Is this agent not heard?
    pub fn is_silent(&self, agent: AgentId, now: Time) -> bool {
        // One that has said nothing since this exchange started may be gone for days.
        self.last(agent).is_none_or(|heard| now.since(heard) > SILENT_AFTER)
    }
}

/// Does something at the agent's site end what outlives its lease?
fn is_fenced(state: &State, agent: AgentId) -> bool {
    let agent = state.supply.agents.get(&agent);
    let pool = agent.and_then(|agent| state.supply.pools.get(&agent.pool));
    pool.is_some_and(|pool| pool.shown.fence != Fence::None)
}

/// No lease is shorter than this with its margin, so an agent heard more recently has none to lose.
const SILENCE_MIN: Span = Span::from_secs(1);
