//! Schedules: listed, shown, paused, resumed, cancelled. They are submitted like jobs.

use std::ops::Bound;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::calendar::Calendar;
use dayan_exchange::{Action, Came, Command, Gate, PastRun, Resource, Schedule, Tell};
use dayan_spec::JobSpec;
use dayan_store::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
use dayan_units::{OrgId, ScheduleId, Time};
use dayan_wire as wire;
use serde::Deserialize;

use super::Problems;
use super::extract::{Caller, Params, Path, id};
use crate::app::Shared;
use crate::problem::Failure;
use crate::project::{ended_state, state_of};
use crate::writer::Live;

/// How many of the next times are told.
const NEXT_TOLD: usize = 3;

/// Which schedules.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Of this project: its path.
    #[serde(default)]
    project: Option<String>,
    /// With this name.
    #[serde(default)]
    name: Option<String>,
    /// How many rows, at most 1,000; 100 unless told.
    #[serde(default)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default)]
    after: Option<String>,
}

/// Schedules you may see that live or were cancelled not long ago, the oldest first.
#[utoipa::path(get, path = "/v1/schedules", params(ListQuery),
    responses((status = 200, body = wire::Page<wire::Schedule>), Problems))]
pub async fn list_schedules(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Result<Json<wire::Page<wire::Schedule>>, Failure> {
    let org = caller.scope(Resource::Job, Action::Read)?;
    let after = query.after.as_deref().map(str::parse::<ScheduleId>).transpose();
    let after = after.map_err(Failure::bad_cursor)?;
    let limit = query.limit.unwrap_or(PAGE_ROWS_DEFAULT).clamp(1, PAGE_ROWS_MAX) as usize;
    let page = app.writer.ask(move |live| {
        let begin = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = live.state.work.schedules.all.range((begin, Bound::Unbounded));
        let seen = all.filter(|(_, schedule)| org.is_none_or(|org| schedule.org == org));
        let told = seen.map(|(_, schedule)| describe(live, schedule));
        let fits = |of: &Option<String>, text: &str| of.as_ref().is_none_or(|of| of == text);
        let mut fitting = told
            .filter(|told| fits(&query.project, &told.project) && fits(&query.name, &told.name));
        let items: Vec<wire::Schedule> = fitting.by_ref().take(limit).collect();
        let more = fitting.next().is_some();
        let next = items.last().filter(|_| more).map(|last| last.id.clone());
        wire::Page { items, next }
    });
    Ok(Json(page.await?))
}

/// A schedule: its next times, its last runs and how they ended.
#[utoipa::path(get, path = "/v1/schedules/{id}", params(("id" = String, Path)),
    responses((status = 200, body = wire::Schedule), Problems))]
pub async fn show_schedule(
    State(app): State<Shared>,
    caller: Caller,
    Path(schedule): Path<String>,
) -> Result<Json<wire::Schedule>, Failure> {
    let wanted: ScheduleId = id("schedule", &schedule)?;
    let found = app.writer.ask(move |live| {
        let found = live.state.work.schedules.all.get(&wanted)?;
        let spec = live.state.work.specs[&found.spec()].spec.clone();
        Some((found.org, describe(live, found), spec))
    });
    let found = found.await?.ok_or_else(|| Failure::not_found("schedule", &schedule))?;
    let (org, told, spec): (OrgId, wire::Schedule, _) = found;
    caller.may(Resource::Job, Action::Read, org, "schedule", &schedule)?;
    let spec = serde_json::to_value(spec).ok();
    Ok(Json(wire::Schedule { spec, ..told }))
}

fn describe(live: &Live, schedule: &Schedule) -> wire::Schedule {
    let work = &live.state.work;
    let rule = work.rule_of(schedule);
    let project = live.state.access.projects.get(&schedule.project);
    let state = match (schedule.ended, schedule.gate) {
        (Some(_), _) => "cancelled",
        (None, Gate::Paused) => "paused",
        (None, Gate::Open) => "scheduled",
    };
    let next = schedule.next.filter(|_| schedule.is_open());
    wire::Schedule {
        id: schedule.id.to_string(),
        name: work.specs[&schedule.spec()].spec.name.clone(),
        project: project.map_or_else(|| schedule.project.to_string(), |of| of.path.clone()),
        state: state.to_owned(),
        submitted_at: schedule.submitted_at.to_string(),
        ended_at: schedule.ended.map(|at| at.to_string()),
        cron: rule.cron.clone(),
        timezone: rule.timezone.clone(),
        overlap: rule.overlap.to_string(),
        catch_up: rule.catch_up.to_string(),
        next: next.map_or_else(Vec::new, |first| times(rule, first)),
        to_make_up: schedule.missed.iter().map(Time::to_string).collect(),
        runs: schedule.runs.iter().rev().map(|run| run_of(live, run)).collect(),
        spec: None,
    }
}

fn run_of(live: &Live, run: &PastRun) -> wire::ScheduleRun {
    let told = |state: &str| wire::ScheduleRun {
        due: run.due.to_string(),
        until: None,
        state: state.to_owned(),
        job: None,
        ended_at: None,
        code: None,
        message: None,
    };
    match &run.came {
        Came::Made { job, ended } => {
            let state = match (ended, live.state.work.jobs.get(job)) {
                (_, Some(record)) => state_of(record),
                (Some((_, end)), None) => ended_state(*end),
                // A job that lives is in memory.
                (None, None) => wire::JobState::Queued,
            };
            wire::ScheduleRun {
                job: Some(job.to_string()),
                ended_at: ended.map(|(at, _)| at.to_string()),
                ..told(state.name())
            }
        }
        Came::Skipped { code, message } => wire::ScheduleRun {
            code: Some(code.clone()),
            message: Some(message.clone()),
            ..told("skipped")
        },
        Came::Missed { until } => {
            wire::ScheduleRun { until: Some(until.to_string()), ..told("missed") }
        }
    }
}

/// The next few times from the first of them on.
fn times(rule: &dayan_spec::Schedule, first: Time) -> Vec<String> {
    let mut times = vec![first.to_string()];
    let Ok(calendar) = Calendar::new(rule) else { return times };
    let mut last = first;
    while times.len() < NEXT_TOLD
        && let Some(next) = calendar.after(last)
    {
        times.push(next.to_string());
        last = next;
    }
    times
}

/// When a job file that has a schedule would be due.
pub(super) fn next_times(spec: &JobSpec, now: Time) -> Vec<String> {
    let Some(rule) = &spec.schedule else { return Vec::new() };
    let first = Calendar::new(rule).ok().and_then(|calendar| calendar.after(now));
    first.map_or_else(Vec::new, |first| times(rule, first))
}

async fn tell(
    app: &Shared,
    caller: &Caller,
    schedule: &str,
    tell: Tell,
) -> Result<StatusCode, Failure> {
    let schedule = id("schedule", schedule)?;
    app.command(caller.actor(), Command::TellSchedule { schedule, tell }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends a schedule. What it made goes on.
#[utoipa::path(post, path = "/v1/schedules/{id}/cancel", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn cancel_schedule(
    State(app): State<Shared>,
    caller: Caller,
    Path(schedule): Path<String>,
) -> Result<StatusCode, Failure> {
    tell(&app, &caller, &schedule, Tell::Cancel).await
}

/// Makes no more jobs until it is resumed.
#[utoipa::path(post, path = "/v1/schedules/{id}/pause", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn pause_schedule(
    State(app): State<Shared>,
    caller: Caller,
    Path(schedule): Path<String>,
) -> Result<StatusCode, Failure> {
    tell(&app, &caller, &schedule, Tell::Pause).await
}

/// Makes jobs again, from its next time on.
#[utoipa::path(post, path = "/v1/schedules/{id}/resume", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn resume_schedule(
    State(app): State<Shared>,
    caller: Caller,
    Path(schedule): Path<String>,
) -> Result<StatusCode, Failure> {
    tell(&app, &caller, &schedule, Tell::Resume).await
}
