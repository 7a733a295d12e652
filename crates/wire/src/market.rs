//! Offers, plans and quotes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Capacity to be listed at a price. Prices are decimals in the exchange's currency.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOffer {
    /// Which pool's: its id.
    pub pool: String,
    /// For one core for an hour.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
    pub core_hour: String,
    /// For one GB of memory for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
    pub gb_hour: Option<String>,
    /// For one accelerator card for an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
    pub card_hour: Option<String>,
    /// The accelerator's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// What each hour of the day costs, in permille of these prices, from midnight by the exchange's
    /// clock on the wall; a lease keeps the price of the hour it was given in. None: all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<[u32; 24]>,
    /// Least billed time of an attempt, in seconds.
    #[serde(default)]
    pub minimum: u32,
    /// Share of the list price each buyer class pays, in permille; none: 600, 800 and 1000 for
    /// internal, partner and external.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, u32>,
    /// Share of its class's price that spot work pays, in permille: it may be taken back with
    /// notice; none: no spot is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<u32>,
    /// In how many seconds it stops being listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// A listed offer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// Its id.
    pub id: String,
    /// Which pool's.
    pub pool: String,
    /// The pool's name.
    pub pool_name: String,
    /// Whose: the provider's slug.
    pub provider: String,
    /// The city.
    pub site: String,
    /// For one core for an hour, at the asker's price.
    pub core_hour: String,
    /// For one GB of memory for an hour.
    pub gb_hour: String,
    /// For one accelerator card for an hour.
    pub card_hour: String,
    /// The currency of all of them.
    pub currency: String,
    /// The accelerator's model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// What each hour of the day costs, in permille of the list price, from midnight by the exchange's
    /// clock on the wall; none: all the same. The prices above are those of this hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<[u32; 24]>,
    /// Least billed time of an attempt, in seconds.
    pub minimum: i64,
    /// Share of these prices that spot work pays, in permille; none: no spot is sold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spot: Option<u32>,
    /// What it lists, for whom it may concern: who may change it, and who reads everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listed: Option<ListPrice>,
}

/// The prices an offer lists, before the share that a buyer's class pays of them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ListPrice {
    /// For one core for an hour.
    pub core_hour: String,
    /// For one GB of memory for an hour.
    pub gb_hour: String,
    /// For one accelerator card for an hour.
    pub card_hour: String,
    /// What each buyer class pays of it, in thousandths; who is not named is not offered it.
    pub classes: BTreeMap<String, u32>,
}

/// Where a job could go.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Candidate {
    /// The pool.
    pub pool: String,
    /// The pool's name.
    pub pool_name: String,
    /// Whose: the provider's slug.
    pub provider: String,
    /// The city.
    pub site: String,
    /// How many of its tasks could start there now; of a gang, as many as it would start with,
    /// counted with the pools that are close enough, or none.
    pub tasks: u64,
    /// What the whole job would cost there at most, if each task took its whole time limit, with the
    /// fewest cores of its range; of a gang with `min`, as many members as it would start with.
    pub price: String,
    /// What one task would cost for an hour.
    pub price_per_task_hour: String,
    /// The currency of both.
    pub currency: String,
    /// When it would start, as likely before as after, in seconds from now.
    pub start_p50_s: f64,
    /// The same with nine chances in ten.
    pub start_p90_s: f64,
    /// How long its data takes to get there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_s: Option<f64>,
    /// How many bytes that is for one task: what the site has already is not brought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfer_bytes: Option<u64>,
    /// One-way delay from the places it names, the worst of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<f64>,
    /// What it would emit, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carbon_g: Option<f64>,
    /// Which of its accelerator alternatives it would have there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// What it is compared by, in the plan's `order`: the first difference decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub score: Vec<Score>,
}

/// One measure in the order that places are compared by.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanOrder {
    /// `room`, `mode`, `accelerator`, `price`, `start`, `deadline`, `delay`, `carbon`, `reliability` or
    /// `idle_cards`.
    pub by: String,
    /// What it is counted in.
    pub unit: String,
    /// Who put it there: `job` (its `prefer`, or the order of its accelerators), `default`, or
    /// `always`.
    pub from: String,
}

/// One measure of a candidate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Score {
    /// Which: as in the order.
    pub by: String,
    /// Its value; none: not known, which counts as worst.
    pub value: Option<String>,
    /// The unit of the value, where it has one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unit: String,
}

/// A pool that does not take it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RefusedPool {
    /// The pool.
    pub pool: String,
    /// The pool's name.
    pub pool_name: String,
    /// Why.
    pub reasons: Vec<crate::Waiting>,
}

/// The answer to `dayan plan`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PlanAnswer {
    /// Pools that take it, the best first.
    pub candidates: Vec<Candidate>,
    /// Pools that do not.
    pub refused: Vec<RefusedPool>,
    /// Why submitting the file now would be refused, wherever it could go: for want of money, say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub submission: Option<crate::Problem>,
    /// What would be promised if it were submitted now, where its deadline is hard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<crate::Promise>,
    /// What that would emit in the places and hours that were found, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise_carbon_g: Option<f64>,
    /// What it would cost then, at the prices of the hours that were found, if each task took its whole
    /// time limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise_price: Option<String>,
    /// The currency of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise_currency: Option<String>,
    /// The measures that candidates are compared by, the first one first. There are no weights: the
    /// first difference decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub order: Vec<PlanOrder>,
    /// What the owner should know and may not have meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<crate::Waiting>,
    /// When this was asked, by the exchange's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// The newest row of the journal that it knew: between two plans with the same number nothing was
    /// committed; what agents tell beside the journal, such as a cluster's other jobs, may have moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The job file that was asked about: what `dayan plan --replay` asks again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub file: Option<serde_json::Value>,
    /// When the file's schedule would be due next, the next few times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub next: Vec<String>,
}

/// A firm price.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Quote {
    /// Its id: pass it with the submission.
    pub quote: String,
    /// What it is made of.
    pub lines: Vec<QuoteLine>,
    /// The most the job can cost under it.
    pub total: String,
    /// Of all amounts.
    pub currency: String,
    /// Until when it can be taken.
    pub expires_at: String,
    /// The exchange's Ed25519 signature over the quote's canonical bytes, in hex.
    pub signature: String,
}

/// One line of a quote.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct QuoteLine {
    /// The pool.
    pub pool: String,
    /// Its name at the site.
    #[serde(default)]
    pub pool_name: String,
    /// How many tasks.
    pub tasks: u32,
    /// Of all those tasks.
    pub price: String,
    /// As what they are sold, whatever the offer sells later: `on_demand` or `spot`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}
