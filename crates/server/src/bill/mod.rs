//! Bills: the lines of an organisation and month, as an invoice, as FOCUS 1.2, as a page. Sums of
//! lines are exact; nothing is rounded again.

mod page;

use dayan_store::{JobRow, LineFilter, LineRow, Paging, Reader};
use dayan_units::{Micro, OrgId, Time};
use dayan_wire as wire;

use crate::http::Names;

pub use page::{PageLang, html};

/// Lines read at once.
const PAGE: u32 = 1_000;
/// An invoice's id is `inv_`, the organisation's id without its prefix, and the month: there is
/// one for each, so it needs no record to be found again.
const PREFIX: &str = "inv_";

/// The id of an organisation's invoice for a month.
pub fn id(org: OrgId, period: &str) -> String {
    let org = org.to_string();
    let body = org.strip_prefix("org_").unwrap_or(&org);
    format!("{PREFIX}{body}_{period}")
}

/// The organisation and month of an invoice's id.
pub fn parse_id(text: &str) -> Option<(OrgId, String)> {
    let (org, period) = text.strip_prefix(PREFIX)?.split_once('_')?;
    let digits =
        |part: &str, len: usize| part.len() == len && part.bytes().all(|b| b.is_ascii_digit());
    let (year, month) = period.split_once('-')?;
    if !digits(year, 4) || !digits(month, 2) {
        return None;
    }
    Some((format!("org_{org}").parse().ok()?, period.to_owned()))
}

/// The head of an invoice.
pub fn summary(
    org: Option<OrgId>,
    period: &str,
    total: Micro,
    current: &str,
    names: &Names,
) -> wire::InvoiceSummary {
    wire::InvoiceSummary {
        id: org.map_or_else(String::new, |org| id(org, period)),
        org: org.and_then(|org| names.orgs.get(&org).cloned()).unwrap_or_default(),
        period: period.to_owned(),
        state: if period == current { "open" } else { "final" }.to_owned(),
        total: total.decimal(),
        currency: names.currency.to_string(),
    }
}

/// Every line of an organisation and month.
pub fn lines(
    reader: &Reader,
    org: OrgId,
    period: &str,
) -> Result<Vec<LineRow>, dayan_store::Fault> {
    let mut filter = LineFilter {
        org: Some(org),
        period: Some(period.to_owned()),
        page: Paging { limit: PAGE, after: None },
        ..LineFilter::default()
    };
    let mut rows = Vec::new();
    loop {
        let page = reader.lines(&filter)?;
        rows.extend(page.rows);
        match page.next {
            Some(next) => filter.page.after = Some(next),
            None => return Ok(rows),
        }
    }
}

fn sum<'a>(amounts: impl Iterator<Item = &'a LineRow>) -> Micro {
    amounts.fold(Micro::ZERO, |total, row| total.saturating_add(row.amount))
}

/// The invoice.
pub fn invoice(
    org: OrgId,
    period: &str,
    current: &str,
    rows: &[LineRow],
    jobs: impl Iterator<Item = JobRow>,
    names: &Names,
) -> wire::Invoice {
    let job = |job: JobRow| {
        let doc: serde_json::Value =
            job.doc.as_deref().and_then(|doc| serde_json::from_str(doc).ok()).unwrap_or_default();
        let of_job = rows.iter().filter(|row| row.job == job.id);
        wire::InvoiceJob {
            job: job.id.to_string(),
            name: job.name,
            project: names.project(&job.project.to_string()),
            amount: sum(of_job).decimal(),
            deadline: doc["deadline"].as_i64().map(|at| Time::from_micros(at).to_string()),
            deadline_met: doc["deadline_met"].as_bool(),
        }
    };
    wire::Invoice {
        summary: summary(Some(org), period, sum(rows.iter()), current, names),
        issuer: names.exchange.clone(),
        jobs: jobs.map(job).collect(),
        lines: rows.iter().map(|row| names.line(row)).collect(),
    }
}

/// The mandatory columns of FOCUS 1.2 in their order, then the conditional ones we fill.
const FOCUS_COLUMNS: [&str; 37] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ChargeFrequency",
    "ConsumedQuantity",
    "ConsumedUnit",
    "InvoiceId",
    "PricingCategory",
    "ResourceId",
    "ResourceType",
    "SkuId",
    "SkuPriceId",
    "SubAccountId",
    "SubAccountName",
    // What a line's amount is worked out from; memory and cards have no column of their own.
    "x_MemoryGBHours",
    "x_CardHours",
    "x_CoreHourPrice",
    "x_GBHourPrice",
    "x_PricePermille",
];

fn month_bounds(period: &str) -> (String, String) {
    let (year, month) = period.split_once('-').unwrap_or(("1970", "01"));
    let (year, month): (i32, u32) = (year.parse().unwrap_or(1970), month.parse().unwrap_or(1));
    let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
    // Months begin at midnight in the exchange's zone, UTC+8: the evening before in UTC.
    let start = |year: i32, month: u32| {
        let midnight: Result<Time, _> = format!("{year:04}-{month:02}-01T00:00:00+08:00").parse();
        midnight.map_or_else(|_| String::new(), |time| time.to_string())
    };
    (start(year, month), start(next_year, next_month))
}

fn csv(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Thousandths of something × seconds, as hours of it.
fn per_hour(milli_seconds: i64) -> String {
    Micro(milli_seconds).mul_div_half_even(1_000, 3_600).unwrap_or(Micro::MAX).decimal()
}

/// The invoice as FOCUS 1.2 in CSV: one row for each line; the sum of `BilledCost` is the total.
pub fn focus(invoice: &wire::Invoice, rows: &[LineRow], names: &Names) -> String {
    let (start, end) = month_bounds(&invoice.summary.period);
    let mut text = FOCUS_COLUMNS.join(",");
    text.push_str("\r\n");
    for (line, row) in invoice.lines.iter().zip(rows) {
        let doc: serde_json::Value = serde_json::from_str(&row.doc).unwrap_or_default();
        let hours = per_hour(row.cpu_milli_s);
        let name = doc["name"].as_str().unwrap_or_default();
        let cells = [
            line.amount.clone(),
            row.org.to_string(),
            invoice.summary.org.clone(),
            invoice.summary.currency.clone(),
            end.clone(),
            start.clone(),
            "Usage".to_owned(),
            String::new(),
            format!("{name}: attempt {} in {}", line.attempt, line.pool),
            line.to.clone(),
            line.from.clone(),
            line.amount.clone(),
            line.amount.clone(),
            invoice.issuer.clone(),
            line.amount.clone(),
            hours.clone(),
            "Core-Hours".to_owned(),
            line.provider.clone(),
            line.provider.clone(),
            "Compute".to_owned(),
            "Batch compute".to_owned(),
            "Usage-Based".to_owned(),
            hours,
            "Core-Hours".to_owned(),
            invoice.summary.id.clone(),
            "Standard".to_owned(),
            line.pool.clone(),
            "Pool".to_owned(),
            doc["offer"].as_str().unwrap_or_default().to_owned(),
            doc["offer"].as_str().unwrap_or_default().to_owned(),
            row.project.to_string(),
            names.project(&row.project.to_string()),
            per_hour(row.memory_mb_s),
            per_hour(row.accel_milli_s),
            line.price.core_hour.clone(),
            line.price.gb_hour.clone(),
            line.price.permille.to_string(),
        ];
        let cells: Vec<String> = cells.iter().map(|cell| csv(cell)).collect();
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invoice_is_found_by_its_id() {
        let org = OrgId::from_bits(77);
        assert_eq!(parse_id(&id(org, "2026-11")), Some((org, "2026-11".to_owned())));
        for bad in ["", "inv_", "inv_x_2026-11", "inv_00000000000000000000000000_26-11"] {
            assert_eq!(parse_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn months_begin_at_midnight_in_china() {
        let (start, end) = month_bounds("2026-12");
        assert_eq!(start, "2026-11-30T16:00:00Z");
        assert_eq!(end, "2026-12-31T16:00:00Z");
    }

    #[test]
    fn cells_are_quoted_where_csv_needs_it() {
        assert_eq!(csv("plain"), "plain");
        assert_eq!(csv("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}
