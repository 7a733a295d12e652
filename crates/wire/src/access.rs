//! Organisations, users, tokens, projects.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new organisation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewOrg {
    /// Its slug.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,39}$")]
    pub name: String,
    /// `internal`, `partner` or `external`; which prices it is offered.
    #[serde(default = "external")]
    #[schema(pattern = "^(internal|partner|external)$")]
    pub class: String,
    /// How far below zero its balance may go, as a decimal.
    #[serde(default = "zero")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
    pub credit: String,
}
fn external() -> String {
    "external".to_owned()
}
fn zero() -> String {
    "0".to_owned()
}

/// An organisation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Org {
    /// Its id.
    pub id: String,
    /// Its slug.
    pub name: String,
    /// Which prices it is offered.
    pub class: String,
    /// What it can spend now.
    pub balance: String,
    /// What is held of its money.
    pub held: String,
    /// The currency of both.
    pub currency: String,
    /// When it was created.
    pub created_at: String,
    /// Its weight among organisations, by which shares are meted out.
    #[serde(default = "usual_weight")]
    pub weight: u32,
    /// The highest priority that its jobs may have: `low`, `normal` or `high`.
    #[serde(default = "any_priority")]
    pub priority_most: String,
}

fn any_priority() -> String {
    "high".to_owned()
}

fn usual_weight() -> u32 {
    1
}

/// A new user; without a role it is a viewer, who changes nothing.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// Of which organisation.
    pub org: String,
    /// Its name.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]{0,39}$")]
    pub name: String,
    /// `viewer`, `member`, `owner`, `auditor` or `operator`.
    #[serde(default = "viewer")]
    #[schema(pattern = "^(viewer|member|owner|auditor|operator)$")]
    pub role: String,
}

/// What came of a payment that was told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Deposited {
    /// Was the same reference booked before? Then nothing was booked now.
    pub repeated: bool,
}

/// Another role for a user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRole {
    /// `viewer`, `member`, `owner`, `auditor` or `operator`.
    #[schema(pattern = "^(viewer|member|owner|auditor|operator)$")]
    pub role: String,
}

fn viewer() -> String {
    "viewer".to_owned()
}

/// A user.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Of which organisation.
    pub org: String,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub role: String,
}

/// A new token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// For whom: a user's id.
    pub user: String,
    /// What for.
    #[serde(default)]
    pub label: String,
    /// In how many seconds it ends; none: when it is revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u32>,
}

/// A token without its secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// For whom.
    pub user: String,
    /// What for.
    pub label: String,
    /// When it was issued.
    pub issued_at: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// A new token with its secret, which is shown this once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TokenIssued {
    /// Its id.
    pub id: String,
    /// The secret.
    pub secret: String,
}

/// Limits of a project's spending, as decimals; none: no limit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BudgetLimits {
    /// Of one job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
    pub per_job: Option<String>,
    /// Of a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
    pub per_day: Option<String>,
    /// Of a month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})?$")]
    pub per_month: Option<String>,
    /// Shares of a limit, in permille, at which to warn.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warn_permille: Vec<u32>,
}

/// A new project.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProject {
    /// `organisation/project`.
    #[schema(pattern = "^[a-z0-9][a-z0-9._-]*(/[a-z0-9][a-z0-9._-]*){1,5}$")]
    pub path: String,
    /// Its limits.
    #[serde(default)]
    pub budget: BudgetLimits,
}

/// The highest priority that an organisation's jobs may have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPriorityMost {
    /// `low`, `normal` or `high`, which all have that nobody said anything else of.
    pub most: String,
}

/// A weight.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWeight {
    /// From 1, which all have that nobody gave another, to 1,000.
    #[schema(minimum = 1, maximum = 1_000)]
    pub weight: u32,
}

/// How a project that has a job which has not ended stands to the others that have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Share {
    /// The project's path.
    pub project: String,
    /// The weight of its organisation among organisations.
    pub org_weight: u32,
    /// What is meant for the organisation, in permille of all.
    pub org_share_permille: u32,
    /// What the organisation had of late, in permille of all.
    pub org_had_permille: u32,
    /// Its weight among the projects of its organisation.
    pub weight: u32,
    /// What is meant for it, in permille of its organisation's.
    pub share_permille: u32,
    /// What it had of late, in permille of its organisation's.
    pub had_permille: u32,
    /// How much later than they are due its jobs stand, in seconds.
    pub behind_s: u64,
}

/// The most that may be held at once; what is left out is not limited.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuotaLimits {
    /// Cores, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,9}(\.[0-9]{1,3})?$")]
    pub cpus: Option<String>,
    /// Memory in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<u64>,
    /// Accelerator cards of any model, as a decimal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,9}(\.[0-9]{1,3})?$")]
    pub accelerators: Option<String>,
}

/// What is held now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Held {
    /// Cores, as a decimal.
    pub cpus: String,
    /// Memory in bytes.
    pub memory: u64,
    /// Accelerator cards, as a decimal.
    pub accelerators: String,
}

/// A quota and what is held under it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Quota {
    /// `org` or `project`.
    pub of: String,
    /// Whose: an organisation's or a project's id.
    pub id: String,
    /// Its slug or path.
    pub name: String,
    /// The most that may be held.
    pub quota: QuotaLimits,
    /// What is held.
    pub held: Held,
}

/// How many of a licence there are; none: it is not counted any more, and nobody gets it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetLicense {
    /// Its name: letters, digits, `.`, `_` and `-`; with `ORG/` before it that organisation's own.
    pub name: String,
    /// How many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 1_000_000)]
    pub count: Option<u64>,
}

/// A licence and how many of it are in use.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct License {
    /// Its name.
    pub name: String,
    /// How many there are.
    pub count: u64,
    /// How many tasks hold now.
    pub used: u64,
}

/// A project, its limits and what has gone against them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Project {
    /// Its id.
    pub id: String,
    /// Its path.
    pub path: String,
    /// Its limits.
    pub budget: BudgetLimits,
    /// Spent today.
    pub spent_today: String,
    /// Spent this month.
    pub spent_month: String,
    /// The highest share of the day's limit that was reached and warned of, in permille; 0: none.
    #[serde(default)]
    pub warned_today: u32,
    /// The same of the month's.
    #[serde(default)]
    pub warned_month: u32,
    /// Held now.
    pub held: String,
    /// The currency of all of them.
    pub currency: String,
    /// Its weight among the projects of its organisation.
    #[serde(default = "usual_weight")]
    pub weight: u32,
}

/// Whom a token speaks for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// The exchange's name.
    pub exchange: String,
    /// The user.
    pub user: String,
    /// The user's name.
    pub name: String,
    /// The organisation's slug.
    pub org: String,
    /// The role.
    pub role: String,
    /// What the role may do: actions by resource, `own` or `all`.
    pub rights: BTreeMap<String, BTreeMap<String, String>>,
}
