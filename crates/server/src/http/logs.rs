//! Parts of logs, fetched from the agent that has them, through the call it holds open.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dayan_exchange::{Action, Resource};
use dayan_units::{AttemptId, JobId};
use dayan_wire as wire;
use dayan_wire::logs::{BadFrames, LogStream, frames};
use serde::Deserialize;

use super::Problems;
use super::extract::{Caller, CallingAgent, Params, Path, Raw, id};
use crate::app::Shared;
use crate::hub::LogPart;
use crate::problem::Failure;

/// Bytes of one part: a screenful of any program, small enough to be held in memory for many.
const PART_MAX: u32 = 256 << 10;
/// The longest that an answer is held back for a follower; with what an agent may take it stays below
/// the idle limit of common proxies and of common clients.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long an agent may take; its own call is woken at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A part of a task's log. `Dayan-Log-Next` says where to go on, `Dayan-Log-End` whether there will
/// be no more.
#[utoipa::path(get, path = "/v1/jobs/{id}/logs", params(("id" = String, Path), wire::LogQuery),
    responses((status = 200, content_type = "application/octet-stream"), Problems))]
pub async fn read(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
    Params(query): Params<wire::LogQuery>,
) -> Result<Response, Failure> {
    let wanted: JobId = id("job", &job)?;
    let row = app.read(move |reader| reader.job(wanted)).await?;
    let row = row.ok_or_else(|| Failure::not_found("job", &job))?;
    caller.may(Resource::Job, Action::Read, row.org, "job", &job)?;
    let stream = query.stream.as_deref().unwrap_or("stdout");
    let Some(stream) = LogStream::by_name(stream) else {
        return Err(Failure::invalid(
            "logs.stream",
            "the streams are stdout, stderr and, of a job in steps, steps",
            "ask for one of them",
        ));
    };
    let attempt = newest(&app, wanted, query.task, query.attempt).await?;
    let Some((attempt, pool)) = attempt else {
        let tasks = app.read(move |reader| reader.job(wanted)).await?;
        let tasks = tasks.map_or(0, |row| row.tasks_total);
        if query.task >= tasks {
            return Err(Failure::new(
                StatusCode::NOT_FOUND,
                "task.unknown",
                format!("{job} has no task {}", query.task),
                "tasks count from 0; `dayan show` says how many there are",
            ));
        }
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            "logs.not_started",
            format!("task {} of {job} has not been started", query.task),
            "wait until it runs; `dayan explain` says why it waits",
        ));
    };
    let wait = Duration::from_millis(u64::from(query.wait_ms)).min(WAIT_MAX);
    let times = (wait, ANSWER_WITHIN + wait);
    Ok(shown(part(&app, (attempt, pool), stream, query.offset, times).await?))
}

/// A part of an attempt's log: as it was handed over, or else from the agent of its pool, which may
/// wait so long for something to be written, and has so long to answer.
pub(super) async fn part(
    app: &Shared,
    (attempt, pool): (AttemptId, dayan_units::PoolId),
    stream: LogStream,
    offset: u64,
    (wait, within): (Duration, Duration),
) -> Result<LogPart, Failure> {
    if let Some(kept) = kept_part(app, attempt, stream, offset).await? {
        return Ok(kept);
    }
    let agent = app
        .writer
        .ask(move |live| live.state.supply.pools.get(&pool).map(|pool| pool.agent))
        .await?
        .ok_or_else(|| Failure::not_found("pool", &pool.to_string()))?;
    let name = stream.name().to_owned();
    let wait_ms = u32::try_from(wait.as_millis()).unwrap_or(0);
    let ask = wire::LogAsk { id: 0, attempt, stream: name, offset, max: PART_MAX, wait_ms };
    let asked = app.hub.ask_log(agent, ask);
    let (ask, part) = asked.ok_or_else(|| {
        Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "logs.busy",
            "too many are reading logs from that site",
            "try again in a moment",
        )
    })?;
    let answered = tokio::time::timeout(within, part).await;
    let Ok(Ok(part)) = answered else {
        app.hub.drop_ask(ask);
        return Err(Failure::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "logs.site_silent",
            "the site that ran it does not answer",
            "try again when its agent is back",
        ));
    };
    if let Some(error) = part.error {
        return Err(Failure::new(
            StatusCode::NOT_FOUND,
            "logs.gone",
            error,
            "logs are kept for a while after the end; keep what you need as outputs",
        ));
    }
    Ok(part)
}

fn shown(part: LogPart) -> Response {
    let mut headers = HeaderMap::new();
    let number = HeaderValue::from_str(&part.next.to_string()).expect("digits");
    headers.insert("dayan-log-next", number);
    headers
        .insert("dayan-log-end", HeaderValue::from_static(if part.end { "true" } else { "false" }));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    (headers, part.bytes).into_response()
}

/// A part of a log that was handed over; none where its agent is to be asked.
pub(super) async fn kept_part(
    app: &Shared,
    attempt: AttemptId,
    stream: LogStream,
    offset: u64,
) -> Result<Option<LogPart>, Failure> {
    let keeper = app.logs.clone();
    let read = move || keeper.read(attempt, stream, offset, PART_MAX as usize);
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))?;
    let Some(piece) = read.map_err(Failure::from)? else { return Ok(None) };
    let next = piece.offset + piece.data.len() as u64;
    // A part that cannot be read is passed over, and is no end.
    let end = piece.data.is_empty() && piece.offset == offset;
    Ok(Some(LogPart { bytes: piece.data, next, end, error: None }))
}

/// An agent hands over logs of attempts that have ended: frames as its archive has them. Those of
/// attempts that were not its own are passed over.
#[utoipa::path(post, path = "/v1/agent/kept-logs",
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 204), Problems))]
pub async fn kept(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Raw(bytes): Raw,
) -> Result<StatusCode, Failure> {
    let agent = known.agent;
    let frames = frames(&bytes).map_err(|bad| {
        Failure::invalid(
            "logs.frames",
            match bad {
                BadFrames::Line => "a line is no frame's",
                BadFrames::CutOff => "it ends in the middle of a frame",
                BadFrames::TooLarge => "a frame is larger than frames may be",
            },
            "update the agent",
        )
    })?;
    let attempts: BTreeSet<AttemptId> = frames.iter().map(|(frame, _)| frame.attempt).collect();
    let pools = app
        .read(move |reader| {
            let pool = |attempt| Ok(reader.attempt(attempt)?.map(|row| (attempt, row.pool)));
            let found: Result<Vec<_>, _> = attempts.into_iter().map(pool).collect();
            Ok(found?.into_iter().flatten().collect::<Vec<_>>())
        })
        .await?;
    let mine: BTreeSet<AttemptId> = app
        .writer
        .ask(move |live| {
            let of = |pool| live.state.supply.pools.get(&pool).map(|pool| pool.agent);
            let own = pools.into_iter().filter(|(_, pool)| of(*pool) == Some(agent));
            own.map(|(attempt, _)| attempt).collect()
        })
        .await?;
    let of_mine = frames.into_iter().filter(|(frame, _)| mine.contains(&frame.attempt));
    let owned: Vec<_> = of_mine.map(|(frame, packed)| (frame, packed.to_vec())).collect();
    let (keeper, now) = (app.logs.clone(), app.now());
    let taken = tokio::task::spawn_blocking(move || keeper.take(now, owned));
    let taken = taken.await.map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))?;
    taken.map_err(Failure::from)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn newest(
    app: &Shared,
    job: JobId,
    task: u32,
    attempt: Option<u32>,
) -> Result<Option<(AttemptId, dayan_units::PoolId)>, Failure> {
    let live = app
        .writer
        .ask(move |live| {
            let active = live.state.work.jobs.get(&job)?.active.get(&task).copied()?;
            Some(active)
        })
        .await?;
    let number = attempt.or(live);
    let row = match number {
        Some(attempt) => {
            let wanted = AttemptId { job, task, attempt };
            app.read(move |reader| reader.attempt(wanted)).await?
        }
        None => app.read(move |reader| newest_row(reader, job, task)).await?,
    };
    Ok(row.map(|row| (row.id, row.pool)))
}

/// Attempts of one task are few: tries are bounded by `retry.max`.
fn newest_row(
    reader: &dayan_store::Reader,
    job: JobId,
    task: u32,
) -> Result<Option<dayan_store::AttemptRow>, dayan_store::Fault> {
    let mut found = None;
    for attempt in 1.. {
        match reader.attempt(AttemptId { job, task, attempt })? {
            Some(row) => found = Some(row),
            None => break,
        }
    }
    Ok(found)
}

/// What an agent says about an ask for a log.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AnswerQuery {
    /// Where to go on.
    #[serde(default)]
    next: u64,
    /// Will there be no more?
    #[serde(default)]
    end: bool,
    /// Why there is nothing.
    #[serde(default)]
    error: Option<String>,
}

/// An agent's answer to an ask for a part of a log.
#[utoipa::path(post, path = "/v1/agent/logs/{ask}", params(("ask" = u64, Path), AnswerQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = bool, content_type = "application/json", description = "Whether somebody still waited for it."), Problems))]
pub async fn answer(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Path(ask): Path<String>,
    Params(query): Params<AnswerQuery>,
    Raw(bytes): Raw,
) -> Result<Json<bool>, Failure> {
    let ask = id("ask", &ask)?;
    let error = query.error.as_deref().map(super::agent::clip);
    let part = LogPart { bytes: bytes.to_vec(), next: query.next, end: query.end, error };
    Ok(Json(app.hub.answer_log(known.agent, ask, part)))
}
