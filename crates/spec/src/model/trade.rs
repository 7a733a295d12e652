//! How the job is bought, when it runs and by when it must have ended.

use std::fmt;
use std::str::FromStr;

use dayan_units::{Money, Span, Time};
use serde::{Deserialize, Serialize};

use super::choice::{BudgetPeriod, CatchUp, DeadlineKind, MarketMode, OnLimit, Overlap};
use super::name::{NameError, quote, serde_through_text};

/// How capacity is bought.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Market {
    /// The way of buying.
    pub mode: MarketMode,
    /// The most the whole job may cost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_price: Option<Money>,
    /// The most one task may cost in an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_unit_price: Option<UnitPrice>,
    /// A limit on what is spent in a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The contract, in mode `reserved`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contract: Option<String>,
    /// The way of buying when the first has nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<MarketMode>,
}

impl Default for Market {
    fn default() -> Self {
        Self {
            mode: MarketMode::OnDemand,
            max_price: None,
            max_unit_price: None,
            budget: None,
            contract: None,
            fallback: None,
        }
    }
}

impl Market {
    /// It would like spot, and goes on demand where there is no room for it at pools that sell spot.
    pub fn falls_back(&self) -> bool {
        (self.mode, self.fallback) == (MarketMode::Spot, Some(MarketMode::OnDemand))
    }
}

/// Money for an hour of one task, written `9.50 CNY/hour`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UnitPrice {
    /// For an hour.
    pub per_hour: Money,
}
serde_through_text!(UnitPrice);

impl FromStr for UnitPrice {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refused = || NameError::UnitPrice(quote(text));
        let (money, unit) = text.rsplit_once('/').ok_or_else(refused)?;
        if unit.trim() != "hour" {
            return Err(refused());
        }
        money.trim().parse().map(|per_hour| Self { per_hour }).map_err(|_| refused())
    }
}
impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/hour", self.per_hour)
    }
}

/// A limit on spending.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Budget {
    /// How much.
    pub amount: Money,
    /// In which period.
    pub per: BudgetPeriod,
    /// What happens then.
    pub on_limit: OnLimit,
}

/// Runs again and again.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Minute, hour, day of month, month, day of week.
    pub cron: String,
    /// The zone in which the fields are read: a name of the IANA table.
    pub timezone: String,
    /// A run that is due while one runs.
    pub overlap: Overlap,
    /// Runs that were missed.
    pub catch_up: CatchUp,
    /// How far back missed runs are made up for; none: as far as there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catch_up_within: Option<Span>,
}

/// By when the job should have ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deadline {
    /// When.
    pub finish: Finish,
    /// What it means.
    pub kind: DeadlineKind,
}

impl Deadline {
    /// The moment, for a job that was submitted (or, on a schedule, due) at `start`.
    pub fn at(&self, start: Time) -> Time {
        match self.finish {
            Finish::Within(span) => start.plus(span),
            Finish::By(time) => time,
        }
    }
}

/// A moment, or a span from submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// So long after submission, or after the due time of a scheduled run.
    Within(Span),
    /// At this moment.
    By(Time),
}
