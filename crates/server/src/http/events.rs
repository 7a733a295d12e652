//! What happens, as server-sent events. Each has the journal row and its place in it as its id; a
//! reader that comes back with `Last-Event-ID` goes on right after it, out of the journal.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue};
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

/// Events of your jobs and schedules as they are committed.
#[utoipa::path(get, path = "/v1/events",
    params(("Last-Event-ID" = Option<String>, Header, description = "Go on right after the event with this id; without it, with what is new from now on.")),
    responses((status = 200, content_type = "text/event-stream", body = String), Problems))]
pub async fn events(
    State(app): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<SseResponse<impl Stream<Item = Result<Sse, Infallible>>>, Failure> {
    let scope = caller.scope(Resource::Job, Action::Read)?;
    // Listen first, then read what was before: nothing falls between.
    let live = app.hub.listen();
    let head = app.writer.ask(|live| live.seq).await?;
    let from = match headers.get("last-event-id") {
        None => EventId { row: head + 1, place: 0 },
        Some(last) => given(&app, last, head).await?,
    };
    let follower = Follower { app, scope, live, next: from };
    let batches = stream::unfold(follower, |mut follower| async move {
        let events = follower.next().await?;
        Some((stream::iter(events.into_iter().map(Ok)), follower))
    });
    Ok(SseResponse::new(batches.flatten()).keep_alive(KeepAlive::default()))
}

/// The id of the last event that was read. One that nobody gave out is refused: taken for "from now
/// on" it would lose events without a word.
async fn given(app: &Shared, last: &HeaderValue, head: u64) -> Result<EventId, Failure> {
    let text = String::from_utf8_lossy(last.as_bytes());
    let refused = |why: &str| {
        let shown: String = text.chars().take(40).collect();
        let advice = "send the `id` of an event as it came, or none to hear of what is new";
        Failure::invalid("events.id", format!("`{shown}` {why}"), advice)
    };
    let id = EventId::parse(&text)
        .ok_or_else(|| refused("is no id of an event: those are `ROW.PLACE`, such as `12.1`"))?;
    let row = if id.row <= head {
        app.read(move |reader| reader.journal_from(id.row, 1)).await?.pop()
    } else {
        None
    };
    let entries = row
        .filter(|row| row.seq == id.row)
        .and_then(|row| crate::encoding::entries(&row.payload).ok())
        .unwrap_or_default();
    // Place 0 is before the first event of a row that there is.
    if id.row > head || id.place > told(&entries).len() {
        return Err(refused("is the id of no event of this exchange"));
    }
    Ok(id)
}

/// A journal row, and how many of its events are behind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct EventId {
    row: u64,
    place: usize,
}

impl EventId {
    /// `ROW.PLACE` as it is written, the events of a row counted from 1.
    fn parse(text: &str) -> Option<Self> {
        let (row, place) = text.split_once('.')?;
        let id = Self { row: row.parse().ok()?, place: place.parse().ok()? };
        (id.to_string() == text).then_some(id)
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.row, self.place)
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
        let mut events = Vec::new();
        for (place, (whose, value)) in (1usize..).zip(told(entries)).skip(behind) {
            if self.may_see(whose).await {
                let id = EventId { row, place };
                let kind = match whose {
                    Whose::Job(_) => "job",
                    Whose::Org(_) => "schedule",
                };
                let event = Sse::default().id(id.to_string()).event(kind);
                events.push(event.json_data(value).unwrap_or_default());
            }
        }
        events
    }

    async fn may_see(&self, whose: Whose) -> bool {
        let Some(scope) = self.scope else { return true };
        let job = match whose {
            Whose::Job(job) => job,
            Whose::Org(org) => return org == scope,
        };
        let row = self.app.read(move |reader| reader.job(job)).await;
        row.ok().flatten().is_some_and(|row| row.org == scope)
    }
}

/// Who may hear of something.
#[derive(Clone, Copy)]
enum Whose {
    /// Who may see the job.
    Job(JobId),
    /// Who may see what is the organisation's.
    Org(OrgId),
}

/// What readers hear of a row, in the order in which places are counted: over all of it, whoever
/// may see what.
fn told(entries: &[Entry]) -> Vec<(Whose, serde_json::Value)> {
    entries
        .iter()
        .flat_map(|entry| entry.events.iter().filter_map(|event| describe(entry, event)))
        .collect()
}

/// An event as readers hear of it: of a job, or of a schedule.
fn describe(entry: &Entry, event: &Event) -> Option<(Whose, serde_json::Value)> {
    let of_job = of_job(entry, event).map(|(job, value)| (Whose::Job(job), value));
    of_job.or_else(|| {
        let at = entry.at.to_string();
        match event {
            Event::RunSkipped { schedule, org, due, code, message } => {
                let value = serde_json::json!({
                    "what": "run_skipped", "schedule": schedule, "due": due.to_string(),
                    "code": code, "message": message, "at": at,
                });
                Some((Whose::Org(*org), value))
            }
            Event::RunsMissed { schedule, org, left_out, make_up } => {
                let text = |at: &dayan_units::Time| at.to_string();
                let value = serde_json::json!({
                    "what": "runs_missed", "schedule": schedule,
                    "left_out": left_out.map(|(from, until)| [text(&from), text(&until)]),
                    "make_up": make_up.iter().map(text).collect::<Vec<_>>(), "at": at,
                });
                Some((Whose::Org(*org), value))
            }
            _ => None,
        }
    })
}

fn of_job(entry: &Entry, event: &Event) -> Option<(JobId, serde_json::Value)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_was_written_and_in_no_other_way() {
        let check = |text, expect: Option<(u64, usize)>| {
            let read = EventId::parse(text).map(|id| (id.row, id.place));
            assert_eq!(read, expect, "{text}");
        };
        check("12.3", Some((12, 3)));
        check("12.0", Some((12, 0)));
        for text in ["", "1", "foo", ".", "1.", ".1", "1.2.3", "-1.1", "+1.1", "01.1", "1.1 "] {
            check(text, None);
        }
        check("18446744073709551616.1", None);
    }
}
