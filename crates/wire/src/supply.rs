//! Providers, pools, names, delays.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An organisation applies as a provider.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProvider {
    /// The organisation's slug.
    pub org: String,
    /// Its slug as a provider.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,39}$")]
    pub name: String,
    /// Its unified social credit code, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_code: Option<String>,
}

/// A provider.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// Its id.
    pub id: String,
    /// Its slug.
    pub name: String,
    /// The organisation's slug.
    pub org: String,
    /// `applied`, `verified`, `active`, `suspended` or `retired`.
    pub status: String,
    /// What it is owed.
    pub earned: String,
    /// In which currency.
    pub currency: String,
    /// How many pools it has.
    pub pools: u32,
}

/// Where something is moved to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetStatus {
    /// `verified`, `active`, `suspended` or `retired`.
    #[schema(pattern = "^(verified|active|suspended|retired)$")]
    pub status: String,
}

/// An invitation is asked for.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// In how many seconds it ends; an hour unless told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// A one-time join token, shown this once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// For `dayan agent --join`.
    pub token: String,
    /// When it ends.
    pub expires_at: String,
}

/// What a join token is made of: `dyj1.SECRET.FINGERPRINT`, the fingerprint being the SHA-256 of
/// the server's certificate in hex, or `-` where the server speaks plain HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoinToken {
    /// The secret, shown to the exchange once.
    pub secret: String,
    /// The certificate the agent must see.
    pub fingerprint: Option<String>,
}

impl JoinToken {
    const VERSION: &'static str = "dyj1";

    /// From its text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('.');
        let (version, secret, fingerprint) = (parts.next()?, parts.next()?, parts.next()?);
        if version != Self::VERSION || secret.is_empty() || parts.next().is_some() {
            return None;
        }
        let is_hash =
            fingerprint.len() == 64 && fingerprint.bytes().all(|byte| byte.is_ascii_hexdigit());
        match fingerprint {
            "-" => Some(Self { secret: secret.to_owned(), fingerprint: None }),
            _ if is_hash => {
                let fingerprint = Some(fingerprint.to_ascii_lowercase());
                Some(Self { secret: secret.to_owned(), fingerprint })
            }
            _ => None,
        }
    }
    /// As text.
    pub fn text(&self) -> String {
        let fingerprint = self.fingerprint.as_deref().unwrap_or("-");
        format!("{}.{}.{fingerprint}", Self::VERSION, self.secret)
    }
}

/// One machine of a pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its cores, as a decimal.
    pub cpus: String,
    /// Its memory in bytes.
    pub memory: u64,
    /// Its accelerator cards, as a decimal.
    pub accelerators: String,
    /// Their model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// What it has that jobs can ask for with `placement.features`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// Where it hangs in the pool's fabric, from wide to narrow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// The island of each of its cards, in their order: what links or one processor's memory join has the
    /// same number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub islands: Vec<u8>,
    /// Can it take work?
    pub up: bool,
    /// Cores under leases now.
    pub cpus_used: String,
    /// Cores that others hold, as the agent last saw; none: nothing is known of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpus_others: Option<String>,
}

/// A pool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Pool {
    /// Its id.
    pub id: String,
    /// Its compute-resource name.
    pub crn: String,
    /// Its name at the site.
    pub name: String,
    /// The provider's slug.
    pub provider: String,
    /// The city.
    pub site: String,
    /// `applied`, `verified`, `active`, `suspended` or `retired`.
    pub status: String,
    /// Which engine runs its tasks.
    pub engine: String,
    /// Who ends a task whose lease has run out: `keeper`, `wrapper` or `none`.
    pub fence: String,
    /// How its tasks are kept apart from the machine: `none` or `bubblewrap`; absent where its agent
    /// does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// What its agent says of the cluster behind it, by name: `slurm.partition`, `slurm.own_qos`, …
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cluster: BTreeMap<String, String>,
    /// The fast network that its machines share: pools of a site that name the same one share it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fabric: Option<String>,
    /// Its machines.
    pub nodes: Vec<Node>,
    /// When its agent was last heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard_at: Option<String>,
    /// When it last proved its inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
    /// What an hour of all it shows comes to in standard units, where its speed was measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standard: Vec<StandardUnits>,
    /// When it, or some of its machines, are closed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub closures: Vec<Closure>,
    /// How reliable it has been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reliability: Option<Reliability>,
    /// How many tasks of one core may wait in its engine's own queue before anything has ended, short
    /// ones only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ahead: Option<u32>,
    /// What others do in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub others: Option<OthersLoad>,
}

/// How dirty electricity is by the hour: of a region, which the operator says, or of a pool, which its
/// provider says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetCarbon {
    /// A province, a hub or a cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// A pool's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// When the first hour begins: a full hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Grams of CO₂ for a kilowatt-hour from then on, by the hour; none: what was said before does not
    /// count any more.
    #[serde(default)]
    #[schema(max_items = 336)]
    pub grams_per_kwh: Vec<u32>,
}

/// How much a building draws for each part that reaches its machines.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetPue {
    /// In thousandths; none: as of others that have not said theirs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1_000, maximum = 3_000)]
    pub pue_permille: Option<u32>,
}

/// How dirty the electricity of a pool is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PoolCarbon {
    /// The pool.
    pub pool: String,
    /// Its name at the site.
    pub pool_name: String,
    /// The city.
    pub site: String,
    /// Grams of CO₂ for a kilowatt-hour of its grid in this hour, without the building.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grams_per_kwh: Option<u32>,
    /// Who says so: `pool`, `region`, `average` of its province over a year, or `unknown`.
    pub source: String,
    /// When what was said by the hour ends; for a week after that it is taken to go on as its last day
    /// did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_until: Option<String>,
    /// What the building draws for each part that reaches its machines, in thousandths.
    pub pue_permille: u32,
    /// Its provider has said so.
    pub pue_told: bool,
    /// Grams of the cleanest hour within a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanest_grams_per_kwh: Option<u32>,
    /// When that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleanest_at: Option<String>,
}

/// What others do in a pool that is not the exchange's alone, as its agent saw it last.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct OthersLoad {
    /// The cores they hold, as a decimal.
    pub cpus: String,
    /// The memory they hold, in bytes.
    pub memory: u64,
    /// The accelerator cards they hold, as a decimal.
    pub accelerators: String,
    /// How many of their tasks wait in the engine's own queue.
    pub waiting: u32,
    /// How many of ours wait there.
    pub ours_waiting: u32,
    /// When the engine expects to have started those of ours that it has a forecast for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast_at: Option<String>,
    /// How the site's own accounting compares with what was told to the exchange, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<crate::AccountsCompared>,
    /// When that was seen.
    pub seen_at: String,
}

/// What became of the last thousand or so attempts that a pool was given.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Reliability {
    /// As the planner counts it, in thousandths: few attempts say little, so a pool begins at 990.
    pub permille: u32,
    /// Attempts counted.
    pub attempts: u32,
    /// Of those, failed by the pool: its machine or its link went away, or it could not start or
    /// publish.
    pub failed: u32,
}

/// A time for which machines are closed: nothing is started on them that could still run when it
/// begins. What runs already is not touched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Closure {
    /// Which machines; empty means all of the pool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// From when; absent means from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Until when.
    pub until: String,
}

/// Capacity in units that make unlike hardware comparable.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StandardUnits {
    /// `core-h`, core-hours of the reference core, or `SCU`: a PFLOPS of FP16 for an hour.
    pub unit: String,
    /// How many of them, for an hour of all cores or cards.
    pub per_hour: String,
    /// The version of the formula or of the reference.
    pub formula: u32,
    /// By which benchmark the speed was measured.
    pub method: String,
}

/// One attribute, nominal beside measured.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// What the maker says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nominal: Option<u64>,
    /// What was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<u64>,
    /// By which method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// `exclusive` or `shared`: whether the machine had other work meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<String>,
    /// `valid`, `expired` or `voided`.
    pub standing: String,
    /// The key of the agent that stands for it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Ed25519 over the measurement's text, in hex; docs/concepts/measure.md says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// What was signed, to be checked again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<String>,
}

/// What a name resolves to.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Record {
    /// The name.
    pub crn: String,
    /// Other names of it.
    pub aliases: Vec<String>,
    /// The provider's slug.
    pub owner: String,
    /// The exchange that issued it.
    pub issuer: String,
    /// `found`, or why nothing is to be placed there: `suspended`, `expired`, `retired`.
    #[serde(default)]
    pub answer: String,
    /// Its status.
    pub status: String,
    /// Since when.
    pub valid_from: String,
    /// For how long the answer may be kept, in seconds.
    pub ttl: i64,
    /// The inventory it shows.
    pub attributes: BTreeMap<String, String>,
    /// How each line of the inventory stands.
    #[serde(default)]
    pub attestations: Vec<Attested>,
    /// What was measured of it.
    pub measured: Vec<Attribute>,
    /// When it last proved its inventory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
}

/// Who checked a line of an inventory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attested {
    /// Which line.
    pub attribute: String,
    /// `confirmed`, `refuted`, `expired`, or `unattested`: nobody checked its present value.
    pub standing: String,
    /// How it was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// Until when that holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
    /// Who checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestor: Option<String>,
}

/// The delay between two places.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct NetCell {
    /// From.
    pub from: String,
    /// To.
    pub to: String,
    /// One way, in milliseconds.
    pub one_way_ms: f64,
    /// What it is based on: measured, published or modelled.
    pub basis: String,
    /// Over which layer.
    pub layer: String,
    /// When it was measured or published; a model has no date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The strictest delay class it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
}

/// Delays between places.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct NetMatrix {
    /// The places, in order.
    pub places: Vec<String>,
    /// The cells, row by row, without the diagonal.
    pub cells: Vec<NetCell>,
}
