//! What happens, as server-sent events. Each has the journal row and its place in it as its id; a
//! reader that comes back with `Last-Event-ID` goes on right after it, out of the journal.

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
    params(("Last-Event-ID" = Option<String>, Header, description = "Go on after this event.")),
    responses((status = 200, content_type = "text/event-stream", body = String), Problems))]
pub async fn events(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, Failure> {
    let scope = caller.scope(Resource::Job, Action::Read)?;
    // Listen first, then read what was before: nothing falls between.
    let live = app.hub.listen();
    let last = headers.get("last-event-id").and_then(|id| EventId::parse(id.to_str().ok()?));
    let head = app.writer.ask(|live| live.seq).await?;
    // An id that is not from here yet is one of another exchange: from now on.
    let last = last.filter(|last| last.row <= head);
    let from = last.unwrap_or(EventId { row: head + 1, place: 0 });
    let follower = Follower { app, scope, live, next: from };
    let batches = stream::unfold(follower, |mut follower| async move {
        let events = follower.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), follower))
    });
    Ok(SseResponse::new(batches.flatten()).keep_alive(KeepAlive::default()))
}

/// A journal row, and how many of its events are behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct EventId {
    row: u64,
    place: usize,
}

impl EventId {
    /// `ROW.PLACE`, the events of a row counted from 1.
    fn parse(text: &str) -> Option<Self> {
        let (row, place) = text.split_once('.')?;
        Some(Self { row: row.parse().ok()?, place: place.parse().ok()? })
    }
}

struct Follower {
    app: Shared,
    scope: Option<OrgId>,
    live: tokio::sync::broadcast::Receiver<Arc<crate::writer::Batch>>,
    /// What comes next: of this row, what is after that place.
    next: EventId,
}

impl Follower {
    /// The events of the next rows; none when the server stops.
    async fn next(&mut self) -> Option<Vec<Sse>> {
        loop {
            let head = self.app.writer.ask(|live| live.seq).await.ok()?;
            if self.next.row <= head {
                let from = self.next.row;
                let rows = self.app.read(move |reader| reader.journal_from(from, CATCH_UP_ROWS));
                let rows = rows.await.ok()?;
                let mut events = Vec::new();
                for row in rows {
                    let behind = if row.seq == self.next.row { self.next.place } else { 0 };
                    self.next = EventId { row: row.seq + 1, place: 0 };
                    let entries = crate::encoding::entries(&row.payload).ok()?;
                    events.extend(self.visible(row.seq, &entries, behind).await);
                }
                if !events.is_empty() {
                    return Some(events);
                }
                continue;
            }
            let heard = tokio::select! {
                () = self.app.hub.closed() => return None,
                heard = self.live.recv() => heard,
            };
            match heard {
                // A slow reader is sent back to the journal by the head above.
                Ok(_) | Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => {}
                Err(tokio::sync::broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    async fn visible(&self, row: u64, entries: &[Entry], behind: usize) -> Vec<Sse> {
        let told: Vec<(JobId, serde_json::Value)> = entries
            .iter()
            .flat_map(|entry| entry.events.iter().filter_map(|event| describe(entry, event)))
            .collect();
        let mut events = Vec::new();
        for (place, (job, value)) in (1usize..).zip(told).skip(behind) {
            if self.may_see(job).await {
                let event = Sse::default().id(format!("{row}.{place}")).event("job");
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
        Event::BudgetWarned { project, job, warning } => {
            let value = serde_json::json!({
                "what": "budget_warned", "job": job, "project": project,
                "limit_of": warning.scope, "permille": warning.permille,
                "used": warning.used.decimal(), "limit": warning.limit.decimal(), "at": at,
            });
            Some((*job, value))
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
