//! Bills and books.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use dayan_exchange::{Action, Resource, accounts};
use dayan_store::{LineFilter, LineRow, LineSum, SumBy};
use dayan_units::{Currency, JobId, Micro, OrgId};
use dayan_wire as wire;
use serde::Deserialize;

use super::Problems;
use super::extract::{Caller, Params, Path, whole};
use crate::app::Shared;
use crate::bill;
use crate::problem::Failure;
use crate::writer::Live;

/// Names for ids, gathered once per request.
#[derive(Clone, Debug)]
pub struct Names {
    providers: BTreeMap<String, String>,
    projects: BTreeMap<String, String>,
    pub(crate) orgs: BTreeMap<OrgId, String>,
    pub(crate) currency: Currency,
    pub(crate) exchange: String,
}

impl Names {
    /// From the state.
    pub fn of(live: &Live) -> Self {
        let state = &live.state;
        let providers = state.supply.providers.values();
        Self {
            providers: providers.map(|p| (p.id.to_string(), p.name.clone())).collect(),
            projects: state
                .access
                .projects
                .values()
                .map(|project| (project.id.to_string(), project.path.clone()))
                .collect(),
            orgs: state.access.orgs.values().map(|org| (org.id, org.name.clone())).collect(),
            currency: state.settings.currency,
            exchange: state.name.clone(),
        }
    }
    /// A provider's slug.
    pub fn provider(&self, id: &str) -> String {
        self.providers.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }
    /// A project's path.
    pub fn project(&self, id: &str) -> String {
        self.projects.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }
    /// A line as the API writes it.
    pub fn line(&self, row: &LineRow) -> wire::Line {
        let doc: serde_json::Value = serde_json::from_str(&row.doc).unwrap_or_default();
        let share = |key: &str| Micro(doc[key].as_i64().unwrap_or(0)).decimal();
        wire::Line {
            id: row.id.clone(),
            job: row.job.to_string(),
            attempt: row.attempt.to_string(),
            pool: row.pool.to_string(),
            provider: self.provider(&row.provider.to_string()),
            from: row.from_at.to_string(),
            to: row.to_at.to_string(),
            billed_s: Micro(doc["billed_us"].as_i64().unwrap_or(0)).decimal(),
            core_s: thousandths(row.cpu_milli_s),
            gb_s: thousandths(row.memory_mb_s),
            card_s: thousandths(row.accel_milli_s),
            price: price(&doc),
            amount: row.amount.decimal(),
            provider_amount: share("provider"),
            fee: share("fee"),
            currency: self.currency.to_string(),
        }
    }
}

fn price(doc: &serde_json::Value) -> wire::LinePrice {
    let terms = serde_json::from_value::<dayan_market::Terms>(doc["terms"].clone());
    let offer = doc["offer"].as_str().unwrap_or_default().to_owned();
    terms.map_or_else(
        |_| wire::LinePrice { offer: offer.clone(), ..wire::LinePrice::default() },
        |terms| wire::LinePrice {
            core_hour: terms.rate.core_hour.decimal(),
            gb_hour: terms.rate.gb_hour.decimal(),
            card_hour: terms.rate.card_hour.decimal(),
            permille: terms.permille,
            offer: offer.clone(),
        },
    )
}

fn thousandths(milli: i64) -> String {
    Micro(milli.saturating_mul(1_000)).decimal()
}

fn hours(milli_seconds: i64) -> String {
    Micro(milli_seconds).mul_div_half_even(1_000, 3_600).unwrap_or(Micro::MAX).decimal()
}

/// Whose usage of which month.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct UsageQuery {
    /// `project` or `provider`; `project` unless told.
    #[serde(default)]
    by: Option<String>,
    /// `2026-11`; all months unless told.
    #[serde(default)]
    period: Option<String>,
}

/// Is it a month as lines carry it?
fn is_month(text: &str) -> bool {
    let digits =
        |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    text.split_once('-').is_some_and(|(year, month)| {
        digits(year, 4) && digits(month, 2) && ("01"..="12").contains(&month)
    })
}

/// Usage summed per project or provider and month.
#[utoipa::path(get, path = "/v1/usage", params(UsageQuery),
    responses((status = 200, body = Vec<wire::UsageRow>), Problems))]
pub async fn usage(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<UsageQuery>,
) -> Result<Json<Vec<wire::UsageRow>>, Failure> {
    let scope = caller.scope(Resource::Bill, Action::Read)?;
    let by = match query.by.as_deref() {
        None | Some("project") => SumBy::Project,
        Some("provider") => SumBy::Provider,
        Some(_) => {
            return Err(Failure::invalid(
                "usage.by",
                "usage is summed by project or by provider",
                "use one of them",
            ));
        }
    };
    if query.period.as_deref().is_some_and(|period| !is_month(period)) {
        return Err(Failure::invalid(
            "usage.period",
            "a period is a year and a month from 01 to 12",
            "write it like `2026-11`, or leave it out for all months",
        ));
    }
    let names = app.writer.ask(Names::of).await?;
    let own = app
        .writer
        .ask(move |live| {
            let providers = live.state.supply.providers.values();
            providers.filter(|p| Some(p.org) == scope).map(|p| p.id).collect::<Vec<_>>()
        })
        .await?;
    let mut filter = LineFilter { period: query.period, ..LineFilter::default() };
    let sums: Vec<LineSum> = match (by, scope) {
        // What a provider's own pools ran is its business, whoever paid.
        (SumBy::Provider, Some(_)) => {
            let mut sums = Vec::new();
            for provider in own {
                let filter = LineFilter { provider: Some(provider), ..filter.clone() };
                sums.extend(app.read(move |reader| reader.line_sums(by, &filter)).await?);
            }
            sums
        }
        (_, scope) => {
            filter.org = scope;
            app.read(move |reader| reader.line_sums(by, &filter)).await?
        }
    };
    let row = |sum: LineSum| wire::UsageRow {
        subject: match by {
            SumBy::Provider => names.provider(&sum.key),
            SumBy::Project | SumBy::Org => names.project(&sum.key),
        },
        period: sum.period,
        lines: sum.lines,
        core_hours: hours(sum.cpu_milli_s),
        card_hours: hours(sum.accel_milli_s),
        amount: sum.amount.decimal(),
        currency: names.currency.to_string(),
    };
    Ok(Json(sums.into_iter().map(row).collect()))
}

/// Invoices: one for each organisation and month with lines.
#[utoipa::path(get, path = "/v1/invoices", responses((status = 200, body = Vec<wire::InvoiceSummary>), Problems))]
pub async fn invoices(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<Vec<wire::InvoiceSummary>>, Failure> {
    let org = caller.scope(Resource::Bill, Action::Read)?;
    let names = app.writer.ask(Names::of).await?;
    let period = app.writer.ask(|live| crate::project::period(&live.state, live.now)).await?;
    let filter = LineFilter { org, ..LineFilter::default() };
    let sums = app.read(move |reader| reader.line_sums(SumBy::Org, &filter)).await?;
    let row = |sum: LineSum| {
        let org: Option<OrgId> = sum.key.parse().ok();
        bill::summary(org, &sum.period, sum.amount, &period, &names)
    };
    Ok(Json(sums.into_iter().map(row).collect()))
}

/// In which form.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InvoiceQuery {
    /// `json`, `focus` (CSV) or `html`; `json` unless told.
    #[serde(default)]
    format: Option<String>,
    /// The language of the page: `en` or `zh`; `en` unless told.
    #[serde(default)]
    lang: Option<String>,
}

/// One invoice with its jobs and lines: as JSON, as FOCUS 1.2 in CSV, or as a page.
#[utoipa::path(get, path = "/v1/invoices/{id}", params(("id" = String, Path), InvoiceQuery),
    responses((status = 200, content((wire::Invoice = "application/json"), (String = "text/csv"), (String = "text/html"))), Problems))]
pub async fn invoice(
    State(app): State<Shared>,
    caller: Caller,
    Path(invoice): Path<String>,
    Params(query): Params<InvoiceQuery>,
) -> Result<Response, Failure> {
    let (org, period) =
        bill::parse_id(&invoice).ok_or_else(|| Failure::not_found("invoice", &invoice))?;
    caller.may(Resource::Bill, Action::Read, org, "invoice", &invoice)?;
    let names = app.writer.ask(Names::of).await?;
    let current = app.writer.ask(|live| crate::project::period(&live.state, live.now)).await?;
    let wanted = period.clone();
    let rows = app.read(move |reader| bill::lines(reader, org, &wanted)).await?;
    if rows.is_empty() {
        return Err(Failure::not_found("invoice", &invoice));
    }
    let jobs: Vec<JobId> = rows
        .iter()
        .map(|row| row.job)
        .collect::<std::collections::BTreeSet<_>>()
        .into_iter()
        .collect();
    let job_rows = app
        .read(move |reader| jobs.iter().map(|job| reader.job(*job)).collect::<Result<Vec<_>, _>>())
        .await?;
    let made = bill::invoice(org, &period, &current, &rows, job_rows.into_iter().flatten(), &names);
    let typed = |text: String, kind: &'static str| {
        ([(header::CONTENT_TYPE, HeaderValue::from_static(kind))], text).into_response()
    };
    match query.format.as_deref() {
        None | Some("json") => Ok(Json(made).into_response()),
        Some("focus") => Ok(typed(bill::focus(&made, &rows, &names), "text/csv; charset=utf-8")),
        Some("html") => {
            let lang = bill::PageLang::of(query.lang.as_deref().unwrap_or("en"));
            Ok(typed(bill::html(&made, lang), "text/html; charset=utf-8"))
        }
        Some(_) => Err(Failure::invalid(
            "invoice.format",
            "an invoice is written as json, focus or html",
            "use one of them",
        )),
    }
}

/// The accounts of the books.
#[utoipa::path(get, path = "/v1/ledger/accounts", responses((status = 200, body = wire::Page<wire::Account>), Problems))]
pub async fn accounts(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Account>>, Failure> {
    caller.scope(Resource::Ledger, Action::Read)?;
    let list = app.writer.ask(|live| {
        let state = &live.state;
        let row = |account: &&dayan_ledger::Account| {
            let label = account.kind.label;
            let (kind, owner) = match account.kind.code {
                accounts::BANK => ("bank", String::new()),
                accounts::CLEARING => ("clearing", String::new()),
                accounts::FEES => ("fees", state.name.clone()),
                accounts::CONSUMER => {
                    let org = state.access.orgs.get(&OrgId::from_bits(label));
                    ("consumer", org.map_or_else(String::new, |org| org.name.clone()))
                }
                _ => {
                    let id = dayan_units::ProviderId::from_bits(label);
                    let provider = state.supply.providers.get(&id);
                    (
                        "provider",
                        provider.map_or_else(String::new, |provider| provider.name.clone()),
                    )
                }
            };
            wire::Account {
                id: account.id.to_string(),
                kind: kind.to_owned(),
                owner,
                balance: account.posted().decimal(),
                held: account.debits_pending.decimal(),
                currency: state.settings.currency.to_string(),
            }
        };
        state.ledger.accounts().iter().map(row).collect()
    });
    Ok(Json(whole(list.await?)))
}

/// Re-derives the books from every transfer and compares them with the live ones.
#[utoipa::path(get, path = "/v1/ledger/check", responses((status = 200, body = wire::LedgerCheck), Problems))]
pub async fn ledger_check(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::LedgerCheck>, Failure> {
    caller.scope(Resource::Ledger, Action::Read)?;
    let (ledger, currency, until) = app
        .writer
        .ask(|live| (live.state.ledger.clone(), live.state.settings.currency, live.state.last_at))
        .await?;
    let check = app
        .read(move |reader| crate::offline::check_books(reader, &ledger, currency, until))
        .await?;
    Ok(Json(check))
}

/// Reads the whole journal: is its chain of hashes whole, and does replaying it give the live
/// state?
#[utoipa::path(get, path = "/v1/audit/verify", responses((status = 200, body = wire::JournalCheck), Problems))]
pub async fn audit_verify(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::JournalCheck>, Failure> {
    caller.scope(Resource::Ledger, Action::Read)?;
    let (state, seq) =
        app.writer.ask(|live| (crate::encoding::snapshot(&live.state), live.seq)).await?;
    let check =
        app.read(move |reader| Ok(crate::offline::check_journal(reader, Some((&state, seq)))));
    Ok(Json(check.await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_is_a_year_and_a_month() {
        for month in ["2026-01", "2026-11", "2026-12", "0001-09"] {
            assert!(is_month(month), "{month}");
        }
        for other in [
            "",
            "-",
            "2026",
            "2026-",
            "2026-00",
            "2026-13",
            "2026-99",
            "2026-1",
            "26-01",
            "2026-011",
            "2026-01-01",
            "2026/01",
            "+026-01",
            "2026-1a",
            "２０２６-01",
            " 2026-01",
        ] {
            assert!(!is_month(other), "{other}");
        }
    }
}
