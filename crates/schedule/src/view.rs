//! What a pool shows the planner: its nodes, where it stands, who may use it, and at what price.
//! Views are values: the planner keeps the last one shown and never asks anybody back.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dayan_topology::{GridSeries, next_hour};
use dayan_units::{
    FlopRate, OfferId, OrgId, PoolId, ProviderId, Rate, Resources, SiteId, Span, Time,
};
use serde::{Deserialize, Serialize};

const HOUR: Span = Span::from_secs(3_600);

/// The name of a node (or node group) within its pool. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// From its text.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
impl From<&str> for NodeName {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}
impl Borrow<str> for NodeName {
    fn borrow(&self) -> &str {
        &self.0
    }
}
impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// How far what a pool says about itself is to be believed. Ordered: more is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// The provider says so.
    Listed,
    /// The operator has checked the papers.
    Verified,
    /// A machine has measured it.
    Measured,
}

impl Trust {
    /// The word that job files say.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Verified => "verified",
            Self::Measured => "measured",
        }
    }
}

/// Who decides on which node of the pool a task runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placing {
    /// We do: the node named in a seat is where the task runs (processes, podman).
    ByNode,
    /// The pool's own engine does (Slurm, Kubernetes): the node named in a seat is where the
    /// planner *books* the task, so that what is promised can always be packed.
    ByPool,
}

/// Where data and work may go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Residence {
    /// No restriction (of an ask); hardware or owner from elsewhere (of a pool).
    Any,
    /// Domestic only (of an ask); domestic (of a pool).
    Domestic,
}

/// Whom a provider serves.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OrgRule {
    /// Only these, when not empty.
    #[serde(default)]
    pub allow: BTreeSet<OrgId>,
    /// Never these, even if allowed.
    #[serde(default)]
    pub deny: BTreeSet<OrgId>,
}

/// How dirty the pool's electricity is.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Carbon {
    /// Grams of CO₂ for a kilowatt-hour from the grid there: on average, and wherever the hours below
    /// are not known.
    pub grams_per_kwh: u32,
    /// Power usage effectiveness in thousandths (1.2 is 1,200).
    pub pue_permille: u32,
    /// By the hour, where that is known.
    #[serde(default)]
    pub hours: Option<Arc<HourlyCarbon>>,
}

/// How dirty a grid is by the hour.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct HourlyCarbon {
    /// The hour that it is shown in: places are compared for what starts with it. A pool is shown
    /// again each hour.
    pub shown: Time,
    /// Grams for a kilowatt-hour.
    pub series: GridSeries,
}

impl Carbon {
    /// The average of a grid, and nothing of its hours.
    pub const fn average(grams_per_kwh: u32, pue_permille: u32) -> Self {
        Self { grams_per_kwh, pue_permille, hours: None }
    }

    /// Milligrams for a kilowatt-hour of what runs from then on for so long, the building's overhead
    /// included; the mean of its first two days.
    pub fn milligrams_per_kwh(&self, from: Time, length: Span) -> i64 {
        let grid = match &self.hours {
            None => u64::from(self.grams_per_kwh) * 1_000,
            Some(hours) => hours.series.milligrams_over(from, length, self.grams_per_kwh),
        };
        let with_overhead = u128::from(grid) * u128::from(self.pue_permille) / 1_000;
        i64::try_from(with_overhead).unwrap_or(i64::MAX)
    }

    /// Of what runs for so long and starts in the hour that the pool was shown in.
    pub(crate) fn milligrams_now(&self, length: Span) -> i64 {
        let shown = self.hours.as_ref().map_or(Time::EPOCH, |hours| hours.shown);
        self.milligrams_per_kwh(shown, length)
    }

    /// The same of what starts then, and until when that is so.
    pub(crate) fn milligrams_from(&self, start: Time, length: Span) -> (i64, Time) {
        let until = if self.hours.is_some() { next_hour(start) } else { Time::NEVER };
        (self.milligrams_per_kwh(start, length), until)
    }
}

/// A node, or a group of like nodes, of a pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NodeView {
    /// Unique in the pool.
    pub name: NodeName,
    /// What one node has.
    pub total: Resources,
    /// How many like nodes stand behind the name. More than one is a group: it is booked in sum,
    /// and a task must fit in one node of it.
    pub count: u32,
    /// The model of its accelerator cards, by the device catalogue's name.
    #[serde(default)]
    pub accelerator: Option<String>,
    /// What it delivers per precision (`fp16`, `fp64`): one card's where it has cards, one core's
    /// where it has none. Measured values where there are any.
    #[serde(default)]
    pub capability: BTreeMap<String, FlopRate>,
    /// Properties a task can ask for (`numa`, `nvlink`, `avx512`).
    #[serde(default)]
    pub features: BTreeSet<String>,
    /// Where it hangs in its pool's fabric, from wide to narrow: `spine1/leaf3`. Nodes with the same
    /// path share the narrowest part, those with a common beginning what that names.
    #[serde(default)]
    pub leaf: Option<String>,
    /// The island of each of its cards: those with the same number are joined by links, or by one
    /// processor's memory. Empty: nothing is known. Several cards of a task are on one where they can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub islands: Vec<u8>,
    /// Does it take work?
    pub up: NodeUp,
    /// Not machines but places in the queue of the pool's own engine, for tasks whose time limit is at
    /// most this: what is put there waits a little and starts the moment something else ends.
    #[serde(default)]
    pub waits: Option<Span>,
}

/// Does a node take work?
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeUp {
    /// It does.
    Up,
    /// It does not: lost, draining or in maintenance. Leases on it stay booked until they end.
    Down,
}

/// A time for which nodes are closed: what may still run when it begins is not started on them.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Closure {
    /// Which nodes; empty means all.
    #[serde(default)]
    pub nodes: BTreeSet<NodeName>,
    /// From when.
    pub from: Time,
    /// Until when.
    pub until: Time,
}

/// The static picture of a pool. Shown again it replaces the former picture; leases stay.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PoolView {
    /// Which pool.
    pub pool: PoolId,
    /// Whose.
    pub provider: ProviderId,
    /// In which data centre.
    pub site: SiteId,
    /// The place (city) by the name the network knows.
    pub place: String,
    /// The regions that it lies in: its province, and a hub and a cluster where it is in one.
    pub regions: BTreeSet<String>,
    /// Domestic hardware and owner?
    pub residence: Residence,
    /// How far it is to be believed.
    pub trust: Trust,
    /// What its engine can do (`process`, `containers`, `fence`).
    pub features: BTreeSet<String>,
    /// Who picks the node.
    pub placing: Placing,
    /// The fast network its nodes share; pools that name the same one at one site share it.
    #[serde(default)]
    pub fabric: Option<String>,
    /// Its nodes.
    pub nodes: Vec<NodeView>,
    /// Whom it serves.
    #[serde(default)]
    pub rules: OrgRule,
    /// How dirty its electricity is, where known.
    #[serde(default)]
    pub carbon: Option<Carbon>,
    /// When it is closed.
    #[serde(default)]
    pub closures: Vec<Closure>,
}

/// List prices by the hour of the day. What starts in an hour has its price to its end.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HourlyRates {
    /// How far the clock on the wall is ahead of UTC.
    pub ahead: Span,
    /// From midnight on.
    pub rates: [Rate; 24],
}

impl HourlyRates {
    /// The price of what starts then.
    pub fn at(&self, start: Time) -> Rate {
        let hours = start.plus(self.ahead).micros().div_euclid(HOUR.micros());
        self.rates[usize::try_from(hours.rem_euclid(24)).expect("an hour of a day")]
    }
    /// When the next hour begins.
    pub fn next(&self, after: Time) -> Time {
        let into = after.plus(self.ahead).micros().rem_euclid(HOUR.micros());
        after.plus(HOUR.minus(Span::from_micros(into)))
    }
}

/// A pool's capacity at a price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfferView {
    /// Which offer.
    pub offer: OfferId,
    /// For nodes with this accelerator model; none means any node of the pool.
    #[serde(default)]
    pub accelerator: Option<String>,
    /// List price, at present.
    pub rate: Rate,
    /// By the hour of the day, where that differs.
    #[serde(default)]
    pub hours: Option<Arc<HourlyRates>>,
    /// The shortest time that is billed.
    pub minimum: Span,
    /// The least a task must take.
    #[serde(default)]
    pub least: Resources,
    /// The most a task may take; none is no limit.
    #[serde(default)]
    pub most: Option<Resources>,
    /// The longest time limit that is sold; none is no limit.
    #[serde(default)]
    pub time_max: Option<Span>,
    /// Thousandths of the list price per buyer class; a class that is not named pays list price.
    #[serde(default)]
    pub classes: BTreeMap<String, u32>,
    /// What spot work pays, in thousandths of what its buyer class pays; none: no spot is sold.
    #[serde(default)]
    pub spot_permille: Option<u32>,
    /// Attempts that ended as they should, in thousandths, as measured.
    pub reliability_permille: u32,
    /// No longer sold: only jobs bound to a quote of it may still go there.
    #[serde(default)]
    pub closed: bool,
}

impl NodeView {
    /// One node without cards that takes work: the starting point that others refine.
    pub fn plain(name: &str, total: Resources) -> Self {
        Self {
            name: NodeName::new(name),
            total,
            count: 1,
            accelerator: None,
            capability: BTreeMap::new(),
            features: BTreeSet::new(),
            leaf: None,
            islands: Vec::new(),
            up: NodeUp::Up,
            waits: None,
        }
    }
}

impl PoolView {
    /// A pool that nothing but its nodes restricts, and where we place: the starting point that
    /// others refine.
    pub fn plain(pool: PoolId, nodes: Vec<NodeView>) -> Self {
        Self {
            pool,
            provider: ProviderId::from_bits(0),
            site: SiteId::from_bits(0),
            place: String::new(),
            regions: BTreeSet::new(),
            residence: Residence::Domestic,
            trust: Trust::Measured,
            features: BTreeSet::new(),
            placing: Placing::ByNode,
            fabric: None,
            nodes,
            rules: OrgRule::default(),
            carbon: None,
            closures: Vec::new(),
        }
    }
}

impl OfferView {
    /// Everything of a pool at this price for everybody: the starting point that others refine.
    pub fn plain(offer: OfferId, rate: Rate) -> Self {
        Self {
            offer,
            accelerator: None,
            rate,
            hours: None,
            minimum: Span::ZERO,
            least: Resources::ZERO,
            most: None,
            time_max: None,
            classes: BTreeMap::new(),
            spot_permille: None,
            reliability_permille: 1_000,
            closed: false,
        }
    }
}
