//! What a job wants. The part that tasks share, [`Ask`], is behind an `Arc` and interned by content:
//! a million queued tasks of ten thousand shapes hold ten thousand asks.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_units::{
    Bytes, FlopRate, JobId, Micro, MilliAccel, OfferId, OrgId, PoolId, ProjectId, ProviderId,
    Resources, SiteId, Span, Time,
};
use serde::{Deserialize, Serialize};

use crate::order::Keeps;
use crate::policy::Preference;
use crate::tasks::Tasks;
use crate::view::{Residence, Trust};

/// Which accelerator models will do.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Models {
    /// Any card.
    Any,
    /// One of these, by the device catalogue's names. Who asks resolves `any-nvidia` and aliases.
    OneOf(Arc<BTreeSet<String>>),
}

impl Models {
    /// Will a card of this model do?
    pub fn accept(&self, model: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(models) => models.contains(model),
        }
    }
}

/// One of the ordered alternatives for accelerators.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct AcceleratorChoice {
    /// As the user wrote it (`H100:8`), for messages.
    pub label: String,
    /// Which models.
    pub models: Models,
    /// How many cards for each task, in thousandths.
    pub cards: MilliAccel,
}

/// A bound on the one-way delay between the pool and places.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct DelayAsk {
    /// The class as the user wrote it (`T2`), for messages.
    pub class: String,
    /// The longest one-way delay that will do.
    pub bound: Span,
    /// From each of these places, by the network's names.
    pub from: Vec<String>,
    /// Judged at this percentile, 1 to 100.
    pub percentile: u8,
}

/// Input data and where it lies: moving it takes time.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct DataAt {
    /// The place, by the network's name.
    pub place: String,
    /// How much each task needs of it.
    pub bytes: Bytes,
    /// Where it is one file: the first 64 bits of its SHA-256. A pool that holds it need not fetch it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<u64>,
}

/// What a task may rely on once it has its place.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It stays until its end or its limit.
    #[default]
    OnDemand,
    /// Cheaper: it may be taken off again, with notice. Only offers that sell spot take it.
    Spot,
}

/// What each task of a job wants.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Ask {
    /// The least that will do; this is what is granted while anything waits. `accel` counts only where
    /// `accelerators` is empty: that many cards of any model.
    pub resources: Resources,
    /// The most that is of use, where the user gave a range: so much is granted where it is left over
    /// and nobody waits. Cards do not count. An offer is not refused for it.
    #[serde(default)]
    pub most: Option<Resources>,
    /// Alternatives, the best first; the first that a node can serve is taken there.
    #[serde(default)]
    pub accelerators: Vec<AcceleratorChoice>,
    /// Floors per precision for each task. Without accelerators asked for, as many whole cards are
    /// granted as reach the floor.
    #[serde(default)]
    pub capability: BTreeMap<String, FlopRate>,
    /// The time limit of a task.
    pub time: Span,
    /// A bound on delay.
    #[serde(default)]
    pub delay: Option<DelayAsk>,
    /// Regions that will do; empty is any.
    #[serde(default)]
    pub regions: BTreeSet<String>,
    /// Sites that will do; empty is any.
    #[serde(default)]
    pub sites: BTreeSet<SiteId>,
    /// Where it may go.
    pub residence: Residence,
    /// Providers that will do; empty is any.
    #[serde(default)]
    pub providers_allowed: BTreeSet<ProviderId>,
    /// Providers that will not.
    #[serde(default)]
    pub providers_denied: BTreeSet<ProviderId>,
    /// The least trust that will do.
    pub trust: Trust,
    /// What the pool's engine must be able to do.
    #[serde(default)]
    pub pool_features: BTreeSet<String>,
    /// Of these it must show one at least; empty is any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub pool_one_of: BTreeSet<String>,
    /// What the node must have.
    #[serde(default)]
    pub node_features: BTreeSet<String>,
    /// Licences that a task holds while it runs, by name, and how many of each.
    #[serde(default)]
    pub licenses: BTreeMap<String, u32>,
    /// Inputs, for transfer times.
    #[serde(default)]
    pub data: Vec<DataAt>,
    /// May it be taken off again?
    #[serde(default)]
    pub mode: Mode,
    /// Where no spot is sold it goes on demand, if there is no room where it is.
    #[serde(default)]
    pub falls_back: bool,
}

impl Ask {
    /// Just these resources for that long, anywhere: the starting point that others refine.
    pub fn plain(resources: Resources, time: Span) -> Self {
        Self {
            resources,
            most: None,
            accelerators: Vec::new(),
            capability: BTreeMap::new(),
            time,
            delay: None,
            regions: BTreeSet::new(),
            sites: BTreeSet::new(),
            residence: Residence::Any,
            providers_allowed: BTreeSet::new(),
            providers_denied: BTreeSet::new(),
            trust: Trust::Listed,
            pool_features: BTreeSet::new(),
            pool_one_of: BTreeSet::new(),
            node_features: BTreeSet::new(),
            licenses: BTreeMap::new(),
            data: Vec::new(),
            mode: Mode::OnDemand,
            falls_back: false,
        }
    }
}

/// Within what the members of a gang must be together.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Same {
    /// One data centre.
    #[default]
    Site,
    /// One fast network at one site; pools that name none do not serve such a gang.
    Fabric,
    /// One leaf of it: the narrowest part that the nodes name.
    Leaf,
    /// One pool.
    Pool,
}

/// All members at once, each on a node of its own, or none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct GangAsk {
    /// How many members: the tasks 0 to size − 1 of the job.
    pub size: u32,
    /// How close together.
    pub same: Same,
    /// Closer than that, where it can be had: the fabric, or from the leaves up to it.
    #[serde(default)]
    pub near: Option<Same>,
    /// So few will do where more cannot be had; none: all of them.
    #[serde(default)]
    pub least: Option<u32>,
}

impl GangAsk {
    /// How few members will do: at least one.
    pub fn at_least(self) -> u32 {
        self.least.unwrap_or(self.size).min(self.size).max(1)
    }
}

/// A firm quote binds the job to where it was given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Pin {
    /// The quoted pool.
    pub pool: PoolId,
    /// The quoted offer.
    pub offer: OfferId,
}

/// A job as the planner sees it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct JobAsk {
    /// Which job.
    pub job: JobId,
    /// Who pays.
    pub project: ProjectId,
    /// Whose project it is; providers' rules are about it.
    pub org: OrgId,
    /// The buyer class that offers give factors for.
    pub buyer_class: String,
    /// When it was submitted: its age, which it keeps through retries.
    pub submitted_at: Time,
    /// Its class of priority: higher goes first.
    pub priority: i32,
    /// What each task wants.
    pub ask: Arc<Ask>,
    /// How long a task is expected to run, where that was learned: it decides the order among
    /// equals, and start estimates. Without it the limit counts.
    #[serde(default)]
    pub expected: Option<Span>,
    /// How long a task is sure to run, as far as runs of the same user tell: while it is not due the
    /// job leaves room for short work. Without it, none.
    #[serde(default)]
    pub at_least: Option<Span>,
    /// None of it starts before what the same project submitted earlier as strict.
    #[serde(default)]
    pub strict: bool,
    /// The tasks that wait for a place; those that hold leases are not among them.
    pub tasks: Tasks,
    /// How many tasks the job has in all: a price cap for the job is spread evenly over them.
    pub tasks_total: u64,
    /// At most this many of its tasks hold leases at once.
    #[serde(default)]
    pub max_parallel: Option<u32>,
    /// All or nothing?
    #[serde(default)]
    pub gang: Option<GangAsk>,
    /// No task starts before.
    #[serde(default)]
    pub begin: Option<Time>,
    /// When it should be done, where that is a wish: it passes others of its priority while it would
    /// otherwise be late. What must be done in time is asked of [`admit`](crate::Planner::admit).
    #[serde(default)]
    pub soft_deadline: Option<Time>,
    /// What matters first in the choice of a pool; the policy's order follows.
    #[serde(default)]
    pub prefer: Vec<Preference>,
    /// Bound to a quote?
    #[serde(default)]
    pub quote: Option<Pin>,
    /// The most an hour of one task may cost.
    #[serde(default)]
    pub max_unit_price: Option<Micro>,
    /// The most the whole job may cost at its time limit.
    #[serde(default)]
    pub max_price: Option<Micro>,
}

impl JobAsk {
    /// One task of this ask, at list price and nothing beyond: the starting point that others
    /// refine.
    pub fn plain(job: JobId, project: ProjectId, submitted_at: Time, ask: Arc<Ask>) -> Self {
        Self {
            job,
            project,
            org: OrgId::from_bits(0),
            buyer_class: String::new(),
            submitted_at,
            priority: 0,
            ask,
            expected: None,
            at_least: None,
            strict: false,
            tasks: Tasks::one(0),
            tasks_total: 1,
            max_parallel: None,
            gang: None,
            begin: None,
            soft_deadline: None,
            prefer: Vec::new(),
            quote: None,
            max_unit_price: None,
            max_price: None,
        }
    }

    /// How long a task of it is expected to run: at most its limit.
    pub fn expected_of_task(&self) -> Span {
        self.expected.map_or(self.ask.time, |expected| expected.min(self.ask.time))
    }

    /// How much room it leaves for short work while it is not due. What passes others anyway, by its
    /// priority or a deadline, and what may be taken off again leaves none.
    pub fn keeps(&self) -> Keeps {
        let passes = self.priority > 0 || self.soft_deadline.is_some();
        match self.ask.mode {
            Mode::OnDemand if !passes => Keeps::of(self.at_least),
            Mode::OnDemand | Mode::Spot => Keeps::NOTHING,
        }
    }
}
