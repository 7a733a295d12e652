//! What must be looked up to tell of a task: its attempts, how its executors ended and what they
//! wrote, and what was published.
//!
//! Invariant: nothing is looked up that the view does not show; logs that are not to be had leave
//! gaps and are no failure.

use std::time::Duration;

use dayan_exchange::StopReason;
use dayan_spec::JobSpec;
use dayan_store::{AttemptRow, JobRow, Paging};
use dayan_units::JobId;
use dayan_wire::logs::{LogStream, OUTPUTS_BYTES_MAX, OutputRecord, StepRecord};

use super::logs::{kept_part, part};
use crate::app::Shared;
use crate::problem::Failure;
use crate::tes::document::TesOutputFileLog;
use crate::tes::told::{Attempt, StepTold, Stopping, View};

/// Attempts of one task that are told of: retries are few.
const ATTEMPTS_MAX: u32 = 100;
/// What is read of the lines of ended executors: each has less than 300 bytes, of at most 32.
const RECORDS_BYTES_MAX: u64 = 64 << 10;
/// How much of each executor's output is told: a screenful of errors, a page of numbers. All of it
/// is in the logs and, where the executor says so, in a file.
const OUTPUT_BYTES_MAX: u64 = 64 << 10;
/// How long a site may take to say what it has: clients of TES usually wait ten seconds in all.
const SITE_WITHIN: Duration = Duration::from_secs(3);
/// What is read of a list of published files: all of it, and the line that counts the rest.
const OUTPUTS_READ_MAX: u64 = OUTPUTS_BYTES_MAX as u64 + 1_000;

/// Who is asked for logs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ask {
    /// The exchange, and the site where it has them not yet.
    Everybody,
    /// Only what was handed over: for lists.
    Kept,
}

/// Is the job being cancelled?
pub(super) async fn stopping(app: &Shared, jobs: Vec<JobId>) -> Result<Vec<Stopping>, Failure> {
    let asked = app
        .writer
        .ask(move |live| {
            let work = &live.state.work;
            let asked = |job: &JobId| {
                let record = work.jobs.get(job)?;
                let mut leases = record.active.iter().filter_map(|(task, attempt)| {
                    let attempt =
                        dayan_units::AttemptId { job: *job, task: *task, attempt: *attempt };
                    work.leases.get(&attempt)
                });
                leases.any(|lease| lease.stop == Some(StopReason::Cancelled)).then_some(())
            };
            jobs.iter().map(|job| asked(job).is_some()).collect::<Vec<bool>>()
        })
        .await?;
    let stopping = |asked| if asked { Stopping::Asked } else { Stopping::No };
    Ok(asked.into_iter().map(stopping).collect())
}

/// The attempts of a job, as far as the view shows them.
pub(super) async fn attempts(
    app: &Shared,
    row: &JobRow,
    spec: &JobSpec,
    view: View,
    ask: Ask,
) -> Result<Vec<Attempt>, Failure> {
    // A view that shows a state only needs them where that depends on them.
    let settled = matches!(row.state.as_str(), "queued" | "paused" | "succeeded" | "cancelled");
    if view == View::Minimal && settled {
        return Ok(Vec::new());
    }
    let job = row.id;
    let paging = Paging { limit: ATTEMPTS_MAX, after: None };
    let rows = app.read(move |reader| reader.attempts(job, &paging)).await?.rows;
    let mut told = Vec::with_capacity(rows.len());
    for attempt in &rows {
        let mut known = of_row(attempt);
        if view != View::Minimal {
            known.steps = steps(app, attempt, view, ask).await;
            if known.state == "succeeded" && !spec.outputs.is_empty() {
                (known.outputs, known.left_out) = published(app, attempt, spec, ask).await;
            }
        }
        told.push(known);
    }
    Ok(told)
}

fn of_row(row: &AttemptRow) -> Attempt {
    let doc: serde_json::Value =
        row.doc.as_deref().and_then(|doc| serde_json::from_str(doc).ok()).unwrap_or_default();
    Attempt {
        number: row.attempt,
        pool: row.pool.to_string(),
        node: row.node.clone().unwrap_or_default(),
        state: row.state.clone(),
        outcome: doc["outcome"]["outcome"].as_str().unwrap_or_default().to_owned(),
        exit_code: row.exit_code,
        started_at: row.started_at,
        ended_at: row.ended_at,
        reason: doc["reason"].as_str().unwrap_or_default().to_owned(),
        steps: Vec::new(),
        outputs: Vec::new(),
        left_out: 0,
    }
}

/// How the executors of an attempt ended, and what they wrote.
async fn steps(app: &Shared, row: &AttemptRow, view: View, ask: Ask) -> Vec<StepTold> {
    let lines = piece(app, row, LogStream::Steps, [0, RECORDS_BYTES_MAX], ask).await;
    let Some(lines) = lines else { return Vec::new() };
    let text = String::from_utf8_lossy(&lines).into_owned();
    let records = text.lines().filter_map(|line| serde_json::from_str::<StepRecord>(line).ok());
    let mut told = Vec::new();
    for record in records {
        let (mut stdout, mut stderr) = (None, None);
        if view == View::Full {
            stdout = text_of(app, row, LogStream::Stdout, record.stdout, ask).await;
            stderr = text_of(app, row, LogStream::Stderr, record.stderr, ask).await;
        }
        told.push(StepTold { record, stdout, stderr });
    }
    told
}

async fn text_of(
    app: &Shared,
    row: &AttemptRow,
    stream: LogStream,
    [begin, end]: [u64; 2],
    ask: Ask,
) -> Option<String> {
    let end = end.min(begin.saturating_add(OUTPUT_BYTES_MAX));
    if begin >= end {
        return Some(String::new());
    }
    let bytes = piece(app, row, stream, [begin, end], ask).await?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A piece of a log, as far as it is to be had; none where nobody has it.
async fn piece(
    app: &Shared,
    row: &AttemptRow,
    stream: LogStream,
    [begin, end]: [u64; 2],
    ask: Ask,
) -> Option<Vec<u8>> {
    let (mut bytes, mut at) = (Vec::new(), begin);
    while at < end {
        let found = match ask {
            Ask::Kept => kept_part(app, row.id, stream, at).await.ok()??,
            Ask::Everybody => {
                let whose = (row.id, row.pool);
                part(app, whose, stream, at, (Duration::ZERO, SITE_WITHIN)).await.ok()?
            }
        };
        if found.bytes.is_empty() || found.next <= at {
            break;
        }
        // What was not kept in between is passed over.
        at = found.next;
        bytes.extend(found.bytes);
    }
    bytes.truncate(usize::try_from(end - begin).unwrap_or(usize::MAX));
    Some(bytes)
}

/// The files that an attempt has published, and how many more its list has not.
async fn published(
    app: &Shared,
    row: &AttemptRow,
    spec: &JobSpec,
    ask: Ask,
) -> (Vec<TesOutputFileLog>, u64) {
    let lines = piece(app, row, LogStream::Outputs, [0, OUTPUTS_READ_MAX], ask).await;
    let text = String::from_utf8_lossy(&lines.unwrap_or_default()).into_owned();
    let records = text.lines().filter_map(|line| serde_json::from_str::<OutputRecord>(line).ok());
    let (mut told, mut left_out) = (Vec::new(), 0);
    for record in records {
        left_out += record.left_out;
        if record.left_out == 0 {
            let (path, size_bytes) = (seen_at(spec, &record.path), record.size.to_string());
            told.push(TesOutputFileLog { url: record.to, path, size_bytes });
        }
    }
    (told, left_out)
}

/// Where the containers saw a path of the task's folder.
fn seen_at(spec: &JobSpec, inner: &str) -> String {
    let found = spec.mounts.iter().find_map(|mount| {
        let rest = inner.strip_prefix(&mount.from)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", mount.at))
    });
    found.unwrap_or_else(|| format!("/work/{inner}"))
}
