//! Money: deposits, lines, invoices, books.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A payment that came in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// How much, with its currency: `500.00 CNY`.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,6})? [A-Z]{3}$")]
    pub amount: String,
    /// The bank's reference; the same reference is booked once.
    pub reference: String,
}

/// One rated line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Line {
    /// Its id.
    pub id: String,
    /// Which job.
    pub job: String,
    /// Which attempt.
    pub attempt: String,
    /// Which pool.
    pub pool: String,
    /// The provider.
    pub provider: String,
    /// From when.
    pub from: String,
    /// Until when.
    pub to: String,
    /// Billed seconds, as a decimal.
    pub billed_s: String,
    /// Core-seconds, as a decimal.
    pub core_s: String,
    /// GB-seconds of memory, as a decimal; a GB is 10⁹ bytes.
    #[serde(default)]
    pub gb_s: String,
    /// Card-seconds, as a decimal.
    #[serde(default)]
    pub card_s: String,
    /// The price of each: with it and the three before, anyone can work out the amount.
    #[serde(default)]
    pub price: LinePrice,
    /// What it costs.
    pub amount: String,
    /// Of it, the provider's.
    pub provider_amount: String,
    /// Of it, the exchange's.
    pub fee: String,
    /// In which currency.
    pub currency: String,
}

/// The terms of a line: list prices of an hour, and the share of them that the buyer pays.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct LinePrice {
    /// Of a core.
    pub core_hour: String,
    /// Of a GB of memory.
    pub gb_hour: String,
    /// Of an accelerator card.
    pub card_hour: String,
    /// The share of all of them, in permille.
    pub permille: u32,
    /// Under which offer.
    pub offer: String,
}

/// Usage of a project or provider in a period.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// The project's path or the provider's slug.
    pub subject: String,
    /// The period, `2026-11`.
    pub period: String,
    /// How many lines.
    pub lines: u64,
    /// Core-hours, as a decimal.
    pub core_hours: String,
    /// Card-hours, as a decimal.
    pub card_hours: String,
    /// What it came to.
    pub amount: String,
    /// In which currency.
    pub currency: String,
}

/// An invoice in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct InvoiceSummary {
    /// Its id.
    pub id: String,
    /// The organisation's slug.
    pub org: String,
    /// The period, `2026-11`.
    pub period: String,
    /// `open` while the period runs, then `final`.
    pub state: String,
    /// What it comes to.
    pub total: String,
    /// In which currency.
    pub currency: String,
}

/// An invoice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Invoice {
    /// Its head.
    #[serde(flatten)]
    pub summary: InvoiceSummary,
    /// Who issues it.
    pub issuer: String,
    /// Its jobs, each with what it came to and whether its deadline was met.
    pub jobs: Vec<InvoiceJob>,
    /// Its lines.
    pub lines: Vec<Line>,
}

/// One job on an invoice.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct InvoiceJob {
    /// Its id.
    pub job: String,
    /// Its name.
    pub name: String,
    /// What pays.
    pub project: String,
    /// What it came to.
    pub amount: String,
    /// When it must have finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Whether it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_met: Option<bool>,
}

/// An account of the books.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its id.
    pub id: String,
    /// What it is: `bank`, `clearing`, `fees`, `consumer`, `provider`.
    pub kind: String,
    /// Whose, in words.
    pub owner: String,
    /// Credits less debits.
    pub balance: String,
    /// Held from it.
    pub held: String,
    /// In which currency.
    pub currency: String,
}

/// The answer to `dayan ledger check`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LedgerCheck {
    /// Do debits equal credits, and do the books follow from the transfers?
    pub balanced: bool,
    /// How many accounts.
    pub accounts: u64,
    /// How many transfers the books were derived from.
    pub transfers: u64,
    /// Debits in sum.
    pub debits: String,
    /// Credits in sum.
    pub credits: String,
    /// In which currency.
    pub currency: String,
    /// What does not agree.
    pub differences: Vec<String>,
}

/// The answer to `dayan audit verify`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JournalCheck {
    /// Is the chain of hashes whole?
    pub intact: bool,
    /// How many rows were read.
    pub rows: u64,
    /// The newest hash: note it elsewhere, and nobody can rewrite what is before it.
    pub head: String,
    /// Does replaying the journal give the live state? None where that was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay_equal: Option<bool>,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

/// Something an agent said that cannot be so.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// Its id.
    pub id: String,
    /// Which agent.
    pub agent: String,
    /// Stable dotted code.
    pub code: String,
    /// When.
    pub at: String,
    /// What it is about.
    pub message: String,
}
