//! What happens, as server-sent events. Each has the journal row as its id; a reader that comes
//! back with `Last-Event-ID` goes on from there, out of the journal.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event as Sse, KeepAlive, Sse as SseResponse};
use dayan_exchange::{Action, Entry, Event, Resource};
use dayan_units::{JobId, OrgId};
use futures_util::{Stream, StreamExt as _, stream};

use super::Problems;
use super::extract::Caller;
use crate::app::Shared;
use crate::problem::Failure;

/// Journal rows read at once while a reader catches up.
const CATCH_UP_ROWS: usize = 256;

/// Events of your jobs as they are committed.
#[utoipa::path(get, path = "/v1/events",
    params(("Last-Event-ID" = Option<u64>, Header, description = "Go on after this event.")),
    responses((status = 200, content_type = "text/event-stream", body = String), Problems))]
pub async fn events(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, Failure> {
    let scope = caller.scope(Resource::Job, Action::Read)?;
    // Listen first, then read what was before: nothing falls between.
    let live = app.hub.listen();
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse::<u64>().ok());
    let head = app.writer.ask(|live| live.seq).await?;
    let from = last.map_or(head, |last| last.min(head));
    let follower = Follower { app, scope, live, next: from + 1 };
    let batches = stream::unfold(follower, |mut follower| async move {
        let events = follower.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), follower))
    });
    Ok(SseResponse::new(batches.flatten()).keep_alive(KeepAlive::default()))
}

struct Follower {
    app: Shared,
    scope: Option<OrgId>,
    live: tokio::sync::broadcast::Receiver<Arc<crate::writer::Batch>>,
    next: u64,
}

impl Follower {
    /// The events of the next rows; none when the server stops.
    async fn next(&mut self) -> Option<Vec<Sse>> {
        loop {
            let head = self.app.writer.ask(|live| live.seq).await.ok()?;
            if self.next <= head {
                let from = self.next;
                let rows = self.app.read(move |reader| reader.journal_from(from, CATCH_UP_ROWS));
                let rows = rows.await.ok()?;
                let mut events = Vec::new();
                for row in rows {
                    self.next = row.seq + 1;
                    let entries = crate::encoding::entries(&row.payload).ok()?;
                    events.extend(self.visible(row.seq, &entries).await);
                }
                if !events.is_empty() {
                    return Some(events);
                }
                continue;
            }
            match self.live.recv().await {
                // A slow reader is sent back to the journal by the head above.
                Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn visible(&self, seq: u64, entries: &[Entry]) -> Vec<Sse> {
        let told: Vec<(JobId, serde_json::Value)> = entries
            .iter()
            .flat_map(|entry| entry.events.iter().filter_map(|event| describe(entry, event)))
            .collect();
        let mut events = Vec::new();
        for (job, value) in told {
            if self.may_see(job).await {
                let event = Sse::default().id(seq.to_string()).event("job");
                events.push(event.json_data(value).unwrap_or_default());
            }
        }
        events
    }

    async fn may_see(&self, job: JobId) -> bool {
        let Some(scope) = self.scope else { return true };
        let row = self.app.read(move |reader| reader.job(job)).await;
        row.ok().flatten().is_some_and(|row| row.org == scope)
    }
}

/// An event as readers hear of it: which job, what, where.
fn describe(entry: &Entry, event: &Event) -> Option<(JobId, serde_json::Value)> {
    let at = entry.at.to_string();
    let attempt_event = |attempt: &dayan_units::AttemptId, what: &str| {
        let value = serde_json::json!({
            "what": what, "job": attempt.job, "task": attempt.task, "attempt": attempt.attempt,
            "at": at,
        });
        Some((attempt.job, value))
    };
    match event {
        Event::JobSubmitted { job, tasks, .. } => Some((
            *job,
            serde_json::json!({ "what": "submitted", "job": job, "tasks": tasks, "at": at }),
        )),
        Event::JobEnded { job, end, .. } => {
            Some((*job, serde_json::json!({ "what": "ended", "job": job, "end": end, "at": at })))
        }
        Event::Leased { lease, .. } => attempt_event(&lease.attempt, "leased"),
        Event::Started { attempt } => attempt_event(attempt, "started"),
        Event::AttemptEnded { attempt, outcome, line, .. } => {
            let value = serde_json::json!({
                "what": "attempt_ended", "job": attempt.job, "task": attempt.task,
                "attempt": attempt.attempt, "outcome": outcome,
                "amount": line.as_ref().map(|line| line.amount.decimal()), "at": at,
            });
            Some((attempt.job, value))
        }
        _ => None,
    }
}
