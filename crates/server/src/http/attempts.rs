//! Attempts as the API tells them: their rows, how far their copying is, and what their sites counted.

use std::collections::BTreeMap;

use dayan_exchange::SiteCount;
use dayan_store::AttemptRow;
use dayan_wire as wire;
use serde::Deserialize;

use crate::app::Shared;
use crate::problem::Failure;

/// What the row of a site's count says.
#[derive(Deserialize)]
struct Counted {
    of: u64,
    count: SiteCount,
}

/// Attempts of one job, in the order of their rows.
pub(super) async fn told(
    app: &Shared,
    rows: Vec<AttemptRow>,
) -> Result<Vec<wire::Attempt>, Failure> {
    // They are told after an end; few pools have an accounting of their own.
    let ended = || rows.iter().filter(|row| row.ended_at.is_some());
    let (first, last) = (ended().next(), ended().next_back());
    let mut counted = BTreeMap::new();
    if let (Some(first), Some(last)) = (first, last) {
        let (job, tasks) = (first.job, (first.task, last.task));
        let found = app.read(move |reader| reader.site_counts(job, tasks)).await?;
        counted.extend(found.into_iter().map(|row| ((row.task, row.attempt), row.doc)));
    }
    let told = |row: &AttemptRow| {
        let count = counted.get(&(row.task, row.attempt));
        let count = count.and_then(|doc| serde_json::from_str::<Counted>(doc).ok());
        wire::Attempt {
            site_count_of: count.as_ref().map(|count| count.of),
            site_count: count.map(|Counted { count, .. }| wire::SiteCount {
                job: count.job,
                elapsed_us: count.elapsed.micros(),
                cpu_us: count.cpu.map(dayan_units::Span::micros),
                memory_peak: count.memory_peak,
            }),
            ..with_copying(app, row)
        }
    };
    Ok(rows.iter().map(told).collect())
}

fn attempt(row: &AttemptRow) -> wire::Attempt {
    let doc: serde_json::Value =
        row.doc.as_deref().and_then(|doc| serde_json::from_str(doc).ok()).unwrap_or_default();
    let reason = doc["reason"].as_str().filter(|reason| !reason.is_empty()).map(str::to_owned);
    wire::Attempt {
        task: row.task,
        attempt: row.attempt,
        pool: row.pool.to_string(),
        node: row.node.clone().unwrap_or_default(),
        state: row.state.clone(),
        exit_code: row.exit_code,
        started_at: row.started_at.map(|at| at.to_string()),
        ended_at: row.ended_at.map(|at| at.to_string()),
        reason,
        // Without a record nothing is known of its use; zero would say that it used nothing.
        used: (doc["usage"]["seq"].as_u64() > Some(0))
            .then(|| serde_json::from_value(doc["usage"]["counters"].clone()).ok())
            .flatten(),
        site_count: None,
        site_count_of: None,
        copying: None,
    }
}

/// An attempt, with how far its copying is while it copies.
fn with_copying(app: &Shared, row: &AttemptRow) -> wire::Attempt {
    let told = attempt(row);
    if !matches!(told.state.as_str(), "leased" | "staging" | "running" | "publishing") {
        return told;
    }
    let copying = app.copying.of(row.id, crate::clock::boot_micros());
    wire::Attempt { copying, ..told }
}
