//! Who sells: providers, their sites, pools, agents and offers.

use std::collections::{BTreeMap, BTreeSet};

use dayan_identity::{Attestation, Challenge, Name, Record, Status};
use dayan_ledger::AccountId;
use dayan_market::Offer;
use dayan_measure::MeasuredVector;
use dayan_topology::{GridSeries, PlaceId};
use dayan_units::{
    AgentId, ExchangeId, OfferId, OrgId, PoolId, ProviderId, Resources, SiteId, Span, Time,
};
use serde::{Deserialize, Serialize};

use super::access::Digest;

/// An organisation as a seller.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Provider {
    /// Its id.
    pub id: ProviderId,
    /// The organisation behind it.
    pub org: OrgId,
    /// Its slug.
    pub name: String,
    /// Its owner part in compute-resource names.
    pub owner: String,
    /// Applied, verified, active, suspended or retired.
    pub status: Status,
    /// What it is owed.
    pub account: AccountId,
    /// When it applied.
    pub applied_at: Time,
}

/// A data centre in a city.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Site {
    /// Its id.
    pub id: SiteId,
    /// Whose it is.
    pub provider: ProviderId,
    /// The city, by its name in the topology.
    pub place: String,
}

/// How the exchange checks an inventory: the agent answers a challenge for all of it.
const CHALLENGE_METHOD: &str = "inventory-challenge/1";
/// For how long others may keep what is said of a pool.
const RECORD_TTL: Span = Span::from_secs(300);

impl Pool {
    /// The whole inventory was proven at that moment.
    pub(crate) fn attest_inventory(&mut self, attestor: &str, at: Time) {
        for (name, value) in &self.shown.inventory {
            let attestation = Attestation {
                method: CHALLENGE_METHOD.to_owned(),
                finding: dayan_identity::Finding::Confirmed,
                at,
                valid_for: VERIFIED_FOR,
                attestor: attestor.to_owned(),
                value: value.clone(),
            };
            self.attestations.insert(name.clone(), attestation);
        }
    }

    /// What is on record for its name.
    pub fn record(&self, owner: OrgId, issuer: ExchangeId) -> Record {
        Record {
            name: self.crn.clone(),
            aliases: BTreeSet::new(),
            owner,
            issuer,
            status: self.status,
            attributes: self.shown.inventory.clone(),
            attestations: self.attestations.clone(),
            valid_from: self.joined_at,
            valid_until: Time::NEVER,
            ttl: RECORD_TTL,
            endpoint: None,
            signature: None,
        }
    }
}

impl Site {
    /// By its id, or by any name of its city.
    pub fn is_called(&self, name: &str) -> bool {
        name.parse() == Ok(self.id)
            || PlaceId::find(name).is_ok_and(|place| Ok(place) == PlaceId::find(&self.place))
    }
}

/// Who ends a task whose lease has run out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// A keeper beside the agent ends tasks whose lease has run out.
    Keeper,
    /// A wrapper around each command does.
    Wrapper,
    /// The cluster's own controllers do, by a deadline that the agent moves.
    Cluster,
    /// Nothing does: what was placed is not placed again until somebody confirms.
    None,
}

/// Where the choice of the node lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placing {
    /// The planner picks the node.
    ByNode,
    /// The pool's own engine does.
    ByPool,
}

/// One machine of a pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name in the pool.
    pub name: String,
    /// What it offers to the exchange.
    pub total: Resources,
    /// Its accelerators' model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// What it has that a task can ask for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// Where it hangs in the pool's fabric, from wide to narrow: `spine1/leaf3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// The island of each of its cards: what links or one processor's memory join has the same number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub islands: Vec<u8>,
    /// Can it take work now?
    pub up: bool,
}

/// Places in the queue of a pool's own engine, beside its machines: short tasks are sent there before
/// anything has ended, so that the engine never waits for us.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Queue {
    /// What a task may take at most: the largest machine.
    pub unit: Resources,
    /// All places together hold so many times that.
    pub places: u32,
    /// The longest time limit of a task that may wait there.
    pub time_max: Span,
}

/// Under which name leases are booked in a pool's queue.
pub use dayan_units::QUEUE_NODE;

/// The static picture an agent shows of its pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shown {
    /// `process`, `podman`, `slurm`, `kubernetes` or `simulated`.
    pub engine: String,
    /// Who ends tasks whose lease has run out.
    pub fence: Fence,
    /// Where the choice of the node lies.
    pub placing: Placing,
    /// What the engine can do, by the names of `spec::Feature`.
    pub features: BTreeSet<String>,
    /// The fast network that its machines share. Pools of a site that name the same one share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fabric: Option<String>,
    /// Its machines.
    pub nodes: Vec<Node>,
    /// How much may wait in its own queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<Queue>,
    /// Its inventory, canonical text per attribute; what a challenge is answered from.
    pub inventory: BTreeMap<String, String>,
}

impl Shown {
    /// What can be booked under the name of a node that is up, or in the queue.
    pub fn capacity_of(&self, name: &str) -> Option<Resources> {
        if name == QUEUE_NODE {
            let queue = self.queue.filter(|_| self.nodes.iter().any(|node| node.up))?;
            return queue.unit.checked_mul(u64::from(queue.places));
        }
        let node = self.nodes.iter().find(|node| node.name == name && node.up)?;
        Some(node.total)
    }
}

/// One engine's resources at a site.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pool {
    /// Its id.
    pub id: PoolId,
    /// Whose it is.
    pub provider: ProviderId,
    /// Where it is.
    pub site: SiteId,
    /// The agent that stands for it.
    pub agent: AgentId,
    /// Its name at the site.
    pub name: String,
    /// Its resolvable compute-resource name.
    pub crn: Name,
    /// Applied, verified, active, suspended or retired.
    pub status: Status,
    /// What its agent shows.
    pub shown: Shown,
    /// Measured values by attribute, newest each.
    pub measured: MeasuredVector,
    /// Who checked which line of its inventory, and until when that holds.
    #[serde(default)]
    pub attestations: BTreeMap<String, Attestation>,
    /// The challenge that is open, if any.
    pub challenge: Option<Challenge>,
    /// When a challenge was last answered rightly.
    pub verified_at: Option<Time>,
    /// Since when it is to show its inventory again, after a wrong answer or a late one: what
    /// changed is then seen line by line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted_at: Option<Time>,
    /// When it joined.
    pub joined_at: Time,
    /// When it, or some of its nodes, are closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closures: Vec<dayan_schedule::Closure>,
    /// How dirty its electricity is by the hour, where its provider has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<GridSeries>,
    /// What its building uses for each part that reaches its machines, in thousandths, where its
    /// provider has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pue_permille: Option<u32>,
    /// When leases in it were taken back for others, lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub preempted: Vec<Time>,
    /// What became of the attempts it was given.
    #[serde(default)]
    pub record: super::record::Record,
    /// Was it called otherwise, as a partition, by the picture before this one?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub renamed: bool,
}

/// One agent's identity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Whose it is.
    pub provider: ProviderId,
    /// The pool it stands for.
    pub pool: PoolId,
    /// Its Ed25519 key; usage is signed with it.
    pub public_key: Digest,
    /// SHA-256 of the token it syncs with.
    pub token: Digest,
    /// Counts changes of what it should hold.
    pub revision: u64,
    /// When it joined.
    pub joined_at: Time,
    /// What was found of it lately.
    #[serde(default)]
    pub findings: FindingsSeen,
}

/// For how long an agent's findings are counted together. A lying agent is looked at within the
/// day; an hour keeps a few of each day's part.
pub const FINDINGS_WINDOW: Span = Span::from_secs(3_600);
/// Kept of one agent within a window. The kinds of lie are about ten: each of them is seen a few
/// times, and the operator's list is not pushed aside by one agent.
pub const FINDINGS_MAX: u32 = 32;
/// The code of a finding that stands for others that were not kept.
pub const FINDINGS_LEFT_OUT: &str = "findings.left_out";

/// How many findings of one agent a window has seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct FindingsSeen {
    /// When the window began: with its first finding.
    pub since: Time,
    /// Kept in it.
    pub kept: u32,
    /// Of those that were not kept, how often it was said about how many they are.
    pub summaries: u32,
}

impl FindingsSeen {
    /// The window that `now` falls in.
    #[must_use]
    pub fn at(self, now: Time) -> Self {
        let fresh = self.kept == 0 || now.since(self.since) >= FINDINGS_WINDOW;
        if fresh { Self { since: now, ..Self::default() } } else { self }
    }
    /// With one more finding under that code.
    pub(crate) fn note(&mut self, code: &str, at: Time) {
        *self = self.at(at);
        let count = if code == FINDINGS_LEFT_OUT { &mut self.summaries } else { &mut self.kept };
        *count = count.saturating_add(1);
    }
}

/// An open invitation for one agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinToken {
    /// Who invites.
    pub provider: ProviderId,
    /// When it ends.
    pub expires_at: Time,
    /// What is left of it, where an agent that brings several pools has used it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<JoinsLeft>,
}

/// What is left of an invitation that was used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JoinsLeft {
    /// The only key that it is good for.
    pub key: Digest,
    /// For how many pools more.
    pub count: u32,
}

/// All of it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Supply {
    /// Providers.
    pub providers: BTreeMap<ProviderId, Provider>,
    /// Sites.
    pub sites: BTreeMap<SiteId, Site>,
    /// Pools.
    pub pools: BTreeMap<PoolId, Pool>,
    /// Agents.
    pub agents: BTreeMap<AgentId, Agent>,
    /// Offers that are listed; a retired one stays while a lease refers to its terms only in the
    /// lease itself.
    pub offers: BTreeMap<OfferId, Offer>,
    /// Open invitations by digest.
    pub join_tokens: BTreeMap<Digest, JoinToken>,
    /// Agents by the digest of their token.
    pub agent_tokens: BTreeMap<Digest, AgentId>,
    /// Providers by slug.
    pub provider_names: BTreeMap<String, ProviderId>,
    /// How dirty electricity is by the hour, by region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub grids: BTreeMap<String, GridSeries>,
}

impl Supply {
    /// The provider with that slug.
    pub fn provider_by_name(&self, name: &str) -> Option<&Provider> {
        self.providers.get(self.provider_names.get(name)?)
    }
    /// The agent a secret with this digest speaks for.
    pub fn authenticate(&self, digest: &Digest) -> Option<&Agent> {
        self.agents.get(self.agent_tokens.get(digest)?)
    }
    /// The city a pool is in.
    pub fn place_of(&self, pool: &Pool) -> &str {
        self.sites.get(&pool.site).map_or("", |site| site.place.as_str())
    }
}

/// How long a right answer to a challenge lets a pool count as verified.
pub const VERIFIED_FOR: Span = Span::from_secs(24 * 3_600);
