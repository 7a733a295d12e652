//! Jobs: in, out, and everything between.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use dayan_exchange::{Action, Admission, Command, Made, Resource, Submit};
use dayan_exchange::{Estimate, Estimates};
use dayan_schedule::{DataAt, Explanation, JobStanding};
use dayan_spec::JobSpec;
use dayan_store::{JobFilter, JobRow, LineFilter, LineRow};
use dayan_units::{Currency, JobId, QuoteId, ScheduleId, Span};
use dayan_wire as wire;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::access::unexpected;
use super::admission::{self, of_appointments, seek};
use super::data::on_disk;
use super::extract::{Body, Caller, PageQuery, Params, Path, Text, id, page};
use super::market::idle_reasons;
use super::{JobFile, Problems, attempts as of_attempts, data_check, workflow};
use crate::app::Shared;
use crate::problem::Failure;

/// Jobs in one batch: more would make one commit, and everybody behind it, wait.
const BATCH_MAX: usize = 1_000;
/// Attempts that `show` brings along; the rest is paged.
const SHOWN_ATTEMPTS_MAX: u32 = 1_000;

/// Runs of tasks that `show` brings along: a million tasks of which each thousandth has run.
const SHOWN_RUNS_MAX: usize = 1_000;
/// Jobs that a row of a list names which it waits for: a line on a screen.
const FIRST_UNMET_MAX: usize = 3;
/// Tasks whose checkpoints are shown at most.
const SHOWN_CHECKPOINTS_MAX: usize = 1_000;

/// How a job comes in.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SubmitQuery {
    /// The firm quote to run under.
    #[serde(default)]
    quote: Option<String>,
    /// The idempotency key: the same key with the same file is the same job.
    #[serde(default)]
    key: Option<String>,
}

/// A command from a job file, with its digest: done here, where there are many threads.
pub(super) fn submit_command(
    spec: JobSpec,
    quote: Option<QuoteId>,
    idempotency: Option<String>,
    admission: Admission,
    data: Vec<DataAt>,
) -> Command {
    let canonical = serde_json::to_vec(&spec).expect("a job file is plain data");
    let digest = dayan_exchange::Digest(Sha256::digest(&canonical).into());
    let submit = Submit { spec: Arc::new(spec), digest, quote, idempotency, admission, data };
    Command::Submit(Box::new(submit))
}

/// Submits a job, or a schedule where the file has one. The body is a job file: YAML, or the same
/// object as JSON.
#[utoipa::path(post, path = "/v1/jobs",
    params(SubmitQuery, ("Idempotency-Key" = Option<String>, Header, description = "The same as `key`.")),
    request_body(content((JobFile = "application/yaml"), (JobFile = "application/json")), description = "A job file."),
    responses((status = 201, body = wire::Submitted), Problems))]
pub async fn submit(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<SubmitQuery>,
    headers: HeaderMap,
    Text(text): Text,
) -> Result<(StatusCode, Json<wire::Submitted>), Failure> {
    let spec = dayan_spec::parse(&text)?;
    let quote = query.quote.as_deref().map(|quote| id("quote", quote)).transpose()?;
    let key = idempotency_key(query.key, &headers)?;
    if let Some(known) = archived(&app, &caller, key.as_deref(), &spec).await? {
        return Ok((StatusCode::CREATED, Json(known)));
    }
    data_check::check(&app, &spec).await?;
    match admission::submit(&app, &caller, spec, quote, key).await? {
        Made::Job(job) => {
            app.metrics.submissions.inc();
            Ok((StatusCode::CREATED, Json(submitted(job.to_string()))))
        }
        Made::Schedule(schedule, next) => {
            let next = next.map(|at| at.to_string());
            Ok((
                StatusCode::CREATED,
                Json(wire::Submitted { next, ..submitted(schedule.to_string()) }),
            ))
        }
        _ => Err(unexpected()),
    }
}

/// The answer to a submission that made this: a job, or a schedule.
fn submitted(made: String) -> wire::Submitted {
    let schedule = made.parse::<ScheduleId>().is_ok();
    let (job, schedule) = if schedule { (None, Some(made)) } else { (Some(made), None) };
    wire::Submitted { job, schedule, next: None }
}

/// The key of a submission, by query or by header. One that cannot be used is refused: without it
/// a repeat would be a second job.
fn idempotency_key(query: Option<String>, headers: &HeaderMap) -> Result<Option<String>, Failure> {
    let Some(header) = headers.get("idempotency-key") else { return Ok(query) };
    let refused = |title| Failure::invalid("submit.key", title, "send one key, in plain ASCII");
    let header = header.to_str().map_err(|_| refused("the header Idempotency-Key is not ASCII"))?;
    match query {
        Some(key) if key != header => {
            Err(refused("the query and the header name different idempotency keys"))
        }
        Some(_) | None => Ok(Some(header.to_owned())),
    }
}

/// A key whose job has left memory is looked up in the archive: a repeat is still a repeat.
async fn archived(
    app: &Shared,
    caller: &Caller,
    key: Option<&str>,
    spec: &JobSpec,
) -> Result<Option<wire::Submitted>, Failure> {
    let Some(key) = key else { return Ok(None) };
    let archive_key = format!("{}/{key}", caller.0.org);
    let Some(row) = app.read(move |reader| reader.request(&archive_key)).await? else {
        return Ok(None);
    };
    let canonical = serde_json::to_vec(spec).expect("a job file is plain data");
    let digest: [u8; 32] = Sha256::digest(&canonical).into();
    if row.digest == digest[..16] {
        return Ok(Some(submitted(row.outcome)));
    }
    Err(Failure::new(
        StatusCode::CONFLICT,
        "submit.key_used",
        format!("the key `{key}` was used for {} with another job file", row.outcome),
        "use a new key for a new job",
    ))
}

/// One outcome of a batch.
#[derive(Debug, Default, serde::Serialize, utoipa::ToSchema)]
pub struct BatchOutcome {
    /// The job, if it was accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
    /// The schedule, where the file says when it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    schedule: Option<String>,
    /// Why not, if it was not.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<wire::Problem>,
}

/// Submits up to 1,000 jobs in one request, each accepted or refused for itself.
#[utoipa::path(post, path = "/v1/jobs/batch", request_body = Vec<JobFile>,
    responses((status = 200, body = Vec<BatchOutcome>), Problems))]
pub async fn submit_batch(
    State(app): State<Shared>,
    caller: Caller,
    Body(jobs): Body<Vec<Box<serde_json::value::RawValue>>>,
) -> Result<Json<Vec<BatchOutcome>>, Failure> {
    if jobs.len() > BATCH_MAX {
        return Err(Failure::invalid(
            "submit.batch",
            format!("{} jobs in one batch; at most {BATCH_MAX}", jobs.len()),
            "send several batches, or one array job",
        ));
    }
    let mut outcomes = Vec::with_capacity(jobs.len());
    let mut commands = Vec::with_capacity(jobs.len());
    for job in jobs {
        match dayan_spec::parse_json(job.get()) {
            Ok(spec) => {
                if let Err(failure) = data_check::check(&app, &spec).await {
                    outcomes.push(Some(failure));
                    continue;
                }
                let admission = seek(&app, &spec, None).await?;
                let data = data_check::inputs(&app, &spec).await?;
                commands.push(submit_command(spec, None, None, admission, data));
                outcomes.push(None);
            }
            Err(errors) => outcomes.push(Some(Failure::from(errors))),
        }
    }
    let done = app.writer.commands_then(caller.actor(), commands, |_, done| done).await?;
    let mut done = done.into_iter();
    let outcomes = outcomes.into_iter().map(|early| {
        let outcome = match early {
            Some(failure) => Err(failure),
            None => {
                done.next().map_or_else(|| Err(unexpected()), |done| done.map_err(Failure::from))
            }
        };
        match outcome {
            Ok(Made::Job(job)) => {
                app.metrics.submissions.inc();
                BatchOutcome { job: Some(job.to_string()), ..BatchOutcome::default() }
            }
            Ok(Made::Schedule(schedule, _)) => {
                BatchOutcome { schedule: Some(schedule.to_string()), ..BatchOutcome::default() }
            }
            Ok(_) => BatchOutcome { problem: Some(*unexpected().0), ..BatchOutcome::default() },
            Err(failure) => BatchOutcome { problem: Some(*failure.0), ..BatchOutcome::default() },
        }
    });
    Ok(Json(outcomes.collect()))
}

/// Which jobs.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Of this project: its path.
    #[serde(default)]
    project: Option<String>,
    /// In these states, separated by commas; which there are says the `state` of a job.
    #[serde(default)]
    state: Option<String>,
    /// With this name.
    #[serde(default)]
    name: Option<String>,
    /// With this number: what tools that know jobs by numbers call them.
    #[serde(default)]
    number: Option<u64>,
    /// How many rows, at most 1,000.
    #[serde(default)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default)]
    after: Option<String>,
}

/// The states that were asked for. One that no job can be in would find nothing, for ever.
fn known_states(text: &str) -> Result<Vec<String>, Failure> {
    let known = |name: &str| {
        let state = wire::JobState::from_name(name);
        state.map(|state| state.name().to_owned()).ok_or_else(|| {
            let shown: String = name.chars().take(40).collect();
            let all = wire::JobState::ALL.map(wire::JobState::name).join(", ");
            Failure::invalid(
                "jobs.state",
                format!("`{shown}` is no state of a job"),
                &format!("use some of {all}, separated by commas"),
            )
        })
    };
    text.split(',').map(known).collect()
}

/// Jobs you may see, the newest first.
#[utoipa::path(get, path = "/v1/jobs", params(ListQuery),
    responses((status = 200, body = wire::Page<wire::JobSummary>), Problems))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Result<Json<wire::Page<wire::JobSummary>>, Failure> {
    let org = caller.scope(Resource::Job, Action::Read)?;
    let paging = PageQuery { limit: query.limit, after: query.after }.paging()?;
    let states = query.state.as_deref().map(known_states).transpose()?.unwrap_or_default();
    let names = app
        .writer
        .ask(move |live| {
            let access = &live.state.access;
            let wanted =
                query.project.as_deref().map(|path| access.project_by_path(path).map(|p| p.id));
            let paths: BTreeMap<_, _> =
                access.projects.values().map(|p| (p.id, p.path.clone())).collect();
            (wanted, paths, user_names(access), live.state.settings.currency)
        })
        .await?;
    let (wanted, paths, users, currency) = names;
    let project = match wanted {
        None => None,
        Some(Some(project)) => Some(project),
        Some(None) => return Ok(Json(super::extract::whole(Vec::new()))),
    };
    let ids = match query.number.map(JobId::with_number) {
        None => None,
        Some(Some(ids)) => Some(ids),
        Some(None) => return Ok(Json(super::extract::whole(Vec::new()))),
    };
    let filter = JobFilter { project, org, ids, states, name: query.name, page: paging };
    let rows = app.read(move |reader| reader.jobs(&filter)).await?;
    let waits = rows.rows.iter().filter(|row| row.tasks_queued > 0).map(|row| row.id).collect();
    let mut reasons = first_reasons(&app, waits).await?;
    Ok(Json(page(rows, |row| wire::JobSummary {
        waiting: reasons.remove(&row.id).unwrap_or_default(),
        ..summary(&row, paths.get(&row.project), &users, currency)
    })))
}

/// Why these jobs wait, in short: one question to the planner and one to the writer for a page.
async fn first_reasons(
    app: &Shared,
    jobs: Vec<JobId>,
) -> Result<BTreeMap<JobId, Vec<wire::Waiting>>, Failure> {
    if jobs.is_empty() {
        return Ok(BTreeMap::new());
    }
    let asked = jobs.clone();
    let reasons = app.planner.ask(move |planner, now| planner.first_reasons(&asked, now)).await?;
    let mut all: BTreeMap<JobId, Vec<wire::Waiting>> =
        reasons.into_iter().map(|(job, reasons)| (job, said(reasons))).collect();
    // Those that the planner does not know of yet wait for others.
    let unmet = app.writer.ask(move |live| {
        let of = |job: JobId| (job, workflow::unmet(&live.state, job));
        jobs.into_iter().map(of).filter(|(_, unmet)| !unmet.is_empty()).collect::<Vec<_>>()
    });
    for (job, mut unmet) in unmet.await? {
        let reasons = all.entry(job).or_default();
        unmet.truncate(FIRST_UNMET_MAX);
        reasons.splice(0..0, unmet);
    }
    Ok(all)
}

fn said(reasons: Vec<dayan_schedule::Reason>) -> Vec<wire::Waiting> {
    let said = |reason: dayan_schedule::Reason| wire::Waiting {
        code: reason.code.as_str().to_owned(),
        message: reason.message,
        lasting: reason.code.is_lasting(),
    };
    reasons.into_iter().map(said).collect()
}

/// Users by what a job's document calls them.
type UserNames = BTreeMap<dayan_units::UserId, String>;

fn user_names(access: &dayan_exchange::Access) -> UserNames {
    access.users.values().map(|user| (user.id, user.name.clone())).collect()
}

/// Who submitted a job, as its document has it.
fn submitter(row: &JobRow, users: &UserNames) -> Option<String> {
    #[derive(Deserialize)]
    struct By {
        by: dayan_units::UserId,
    }
    let By { by } = serde_json::from_str(row.doc.as_deref()?).ok()?;
    users.get(&by).cloned()
}

fn summary(
    row: &JobRow,
    path: Option<&String>,
    users: &UserNames,
    currency: Currency,
) -> wire::JobSummary {
    wire::JobSummary {
        id: row.id.to_string(),
        name: row.name.clone(),
        project: path.cloned().unwrap_or_else(|| row.project.to_string()),
        user: submitter(row, users),
        state: row.state.clone(),
        submitted_at: row.submitted_at.to_string(),
        ended_at: row.ended_at.map(|at| at.to_string()),
        tasks: wire::TaskCounts {
            total: row.tasks_total.into(),
            paused: row.tasks_paused.into(),
            queued: row.tasks_queued.into(),
            running: row.tasks_running.into(),
            succeeded: row.tasks_succeeded.into(),
            failed: row.tasks_failed.into(),
            cancelled: row.tasks_cancelled.into(),
        },
        money: wire::JobMoney {
            currency: currency.to_string(),
            held: row.held.decimal(),
            spent: row.spent.decimal(),
        },
        waiting: Vec::new(),
    }
}

/// The job's row, if the caller may see it.
async fn job_row(app: &Shared, caller: &Caller, job: &str) -> Result<JobRow, Failure> {
    let wanted: JobId = id("job", job)?;
    let row = app.read(move |reader| reader.job(wanted)).await?;
    let row = row.ok_or_else(|| Failure::not_found("job", job))?;
    caller.may(Resource::Job, Action::Read, row.org, "job", job)?;
    Ok(row)
}

/// A job with its tasks, attempts, money, and why it waits.
#[utoipa::path(get, path = "/v1/jobs/{id}", params(("id" = String, Path)),
    responses((status = 200, body = wire::Job), Problems))]
pub async fn show(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<Json<wire::Job>, Failure> {
    let row = job_row(&app, &caller, &job).await?;
    let (id, project) = (row.id, row.project);
    let paging = dayan_store::Paging { limit: SHOWN_ATTEMPTS_MAX, after: None };
    let attempts = app.read(move |reader| reader.attempts(id, &paging)).await?;
    let (path, users, currency, promise, (queued, cancelled, raised)) = app
        .writer
        .ask(move |live| {
            let path = live.state.access.projects.get(&project).map(|project| project.path.clone());
            let promise = of_appointments(live.state.work.promises.of_job(id));
            let users = user_names(&live.state.access);
            let job = live.state.work.jobs.get(&id);
            let tasks = job.map(|job| (runs(&job.queued), runs(&job.cancelled), raised(job)));
            (path, users, live.state.settings.currency, promise, tasks.unwrap_or_default())
        })
        .await?;
    let doc: serde_json::Value =
        row.doc.as_deref().and_then(|doc| serde_json::from_str(doc).ok()).unwrap_or_default();
    let mut waiting = if row.tasks_queued > 0 { waiting(&app, id).await? } else { Vec::new() };
    let (workflow, unmet) = app
        .writer
        .ask(move |live| (workflow::of(&live.state, id), workflow::unmet(&live.state, id)))
        .await?;
    waiting.splice(0..0, unmet);
    let checkpoints = match app.depot.clone() {
        Some(depot) => {
            let found = on_disk(move || Ok(depot.checkpoints(project, id, SHOWN_CHECKPOINTS_MAX)));
            found.await?.iter().map(checkpoint).collect()
        }
        None => Vec::new(),
    };
    let time = |value: &serde_json::Value| {
        value.as_i64().map(|micros| dayan_units::Time::from_micros(micros).to_string())
    };
    Ok(Json(wire::Job {
        summary: wire::JobSummary { waiting, ..summary(&row, path.as_ref(), &users, currency) },
        attempts: of_attempts::told(&app, attempts.rows).await?,
        queued,
        cancelled,
        quote: doc["quote"].as_str().map(str::to_owned),
        deadline: time(&doc["deadline"]),
        deadline_met: doc["deadline_met"].as_bool(),
        promise,
        workflow,
        raised,
        checkpoints,
        schedule: doc["run"]["schedule"].as_str().map(str::to_owned),
        scheduled_at: time(&doc["run"]["due"]),
        spec: doc["spec"].clone(),
    }))
}

/// What is asked for since it was not enough.
fn raised(job: &dayan_exchange::Job) -> Vec<wire::RaisedMemory> {
    let all = job.memory.map(|memory| (None, memory));
    let each = job.tries.iter().filter_map(|(task, tries)| Some((Some(*task), tries.memory?)));
    let raised = all.into_iter().chain(each).take(SHOWN_RUNS_MAX);
    raised.map(|(task, memory)| wire::RaisedMemory { task, memory: memory.0 }).collect()
}

fn checkpoint(saved: &crate::data::Checkpoint) -> wire::CheckpointView {
    let newest = saved.files.iter().map(|found| &found.named).max_by_key(|named| named.at);
    wire::CheckpointView {
        task: saved.task.task,
        number: saved.number,
        files: saved.files.len() as u64,
        bytes: saved.files.iter().map(|found| found.named.size).sum(),
        at: newest
            .map(|named| dayan_units::Time::from_micros(named.at).to_string())
            .unwrap_or_default(),
        by: newest.map(|named| named.by.clone()).unwrap_or_default(),
    }
}

/// Tasks as the first and the last of each run.
fn runs(tasks: &dayan_schedule::Tasks) -> Vec<[u32; 2]> {
    let runs = tasks.ranges().iter().take(SHOWN_RUNS_MAX);
    runs.map(|&(start, end)| [start, end - 1]).collect()
}

/// Why it waits, for people.
pub(super) async fn waiting(app: &Shared, job: JobId) -> Result<Vec<wire::Waiting>, Failure> {
    let explanation = app.planner.ask(move |planner, now| planner.explain(job, now)).await?;
    Ok(explanation.map_or_else(Vec::new, |explanation| said(explanation.reasons)))
}

/// A job's attempts by task, page by page.
#[utoipa::path(get, path = "/v1/jobs/{id}/attempts", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = wire::Page<wire::Attempt>), Problems))]
pub async fn attempts(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<wire::Page<wire::Attempt>>, Failure> {
    let row = job_row(&app, &caller, &job).await?;
    let paging = query.paging()?;
    let rows = app.read(move |reader| reader.attempts(row.id, &paging)).await?;
    let items = of_attempts::told(&app, rows.rows).await?;
    Ok(Json(wire::Page { items, next: rows.next.map(|cursor| cursor.to_string()) }))
}

/// Why a job waits, what would help, and when it is expected to start.
#[utoipa::path(get, path = "/v1/jobs/{id}/explain", params(("id" = String, Path)),
    responses((status = 200, body = wire::Explanation), Problems))]
pub async fn explain(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<Json<wire::Explanation>, Failure> {
    let row = job_row(&app, &caller, &job).await?;
    let id = row.id;
    let explanation = app.planner.ask(move |planner, now| planner.explain(id, now)).await?;
    let mut explanation = explanation.unwrap_or_else(|| Explanation::not_waiting(id));
    if let Some(planned) = explanation.start {
        let shown = app.writer.ask(move |live| live.state.work.estimates.shown(planned)).await?;
        explanation.start = Some(shown);
    }
    let unmet = app.writer.ask(move |live| workflow::unmet(&live.state, id)).await?;
    let mut standing = serde_json::to_value(explanation.standing)
        .ok()
        .and_then(|standing| standing.as_str().map(str::to_owned))
        .unwrap_or_default();
    let mut tasks_waiting = explanation.tasks_waiting;
    // What waits for other jobs is not the planner's business yet.
    if explanation.standing == JobStanding::NotWaiting && !unmet.is_empty() && row.tasks_queued > 0
    {
        "depends".clone_into(&mut standing);
        tasks_waiting = u64::from(row.tasks_queued);
    }
    let idle = if explanation.standing == JobStanding::NotWaiting {
        Vec::new()
    } else {
        app.writer.ask(idle_reasons).await?
    };
    let (told, estimates, soft) = app
        .writer
        .ask(move |live| {
            let work = &live.state.work;
            let told = work.jobs.get(&id).and_then(|job| job.estimate.as_ref()).map(told);
            (told, scored(&work.estimates), work.deadlines.soft)
        })
        .await?;
    // What is the job's own, or its project's, no pool says.
    let pools = |code| {
        explanation.counts.iter().find(|count| count.code == code).map_or(0, |count| count.pools)
    };
    Ok(Json(wire::Explanation {
        job: row.id.to_string(),
        standing,
        position: explanation.position,
        behind_s: Some(explanation.behind).filter(|s| *s > Span::ZERO).map(Span::secs_f64),
        urgency: explanation.urgency.map(|urgency| wire::Urgency {
            start_by: urgency.start_by.to_string(),
            lifted: urgency.lifted,
            lost: urgency.lost,
            met: soft.met,
            missed: soft.missed,
        }),
        tasks_waiting,
        reasons: unmet
            .into_iter()
            .map(|wire::Waiting { code, message, .. }| wire::Reason { code, message, pools: 0 })
            .chain(explanation.reasons.iter().map(|reason| wire::Reason {
                code: reason.code.as_str().to_owned(),
                message: reason.message.clone(),
                pools: pools(reason.code),
            }))
            .chain(idle)
            .collect(),
        relaxations: explanation
            .relaxations
            .iter()
            .map(|relaxation| wire::Relaxation {
                code: relaxation.code.as_str().to_owned(),
                pools: relaxation.pools,
                example: relaxation.example.clone(),
                key: relaxation.code.job_key().map(str::to_owned),
            })
            .collect(),
        start_p50_s: explanation.start.map(|start| start.p50.secs_f64()),
        start_p90_s: explanation.start.map(|start| start.p90.secs_f64()),
        told,
        estimates,
    }))
}

fn told(estimate: &Estimate) -> wire::Told {
    wire::Told {
        at: estimate.at.to_string(),
        start_p50_s: estimate.shown.p50.secs_f64(),
        start_p90_s: estimate.shown.p90.secs_f64(),
        waited_s: estimate.waited.map(Span::secs_f64),
    }
}

fn scored(estimates: &Estimates) -> wire::Estimates {
    let Estimates { scored, within_p50, within_p90, .. } = *estimates;
    wire::Estimates { scored, within_p50, within_p90 }
}

/// How good start estimates were: of the jobs that had to wait, how many started in time.
#[utoipa::path(get, path = "/v1/estimates",
    responses((status = 200, body = wire::Estimates), Problems))]
pub async fn estimates(
    State(app): State<Shared>,
    _caller: Caller,
) -> Result<Json<wire::Estimates>, Failure> {
    Ok(Json(app.writer.ask(|live| scored(&live.state.work.estimates)).await?))
}

/// The rated lines of a job.
#[utoipa::path(get, path = "/v1/jobs/{id}/lines", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = wire::Page<wire::Line>), Problems))]
pub async fn lines(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
    Params(query): Params<PageQuery>,
) -> Result<Json<wire::Page<wire::Line>>, Failure> {
    let row = job_row(&app, &caller, &job).await?;
    let filter = LineFilter { job: Some(row.id), page: query.paging()?, ..LineFilter::default() };
    let rows = app.read(move |reader| reader.lines(&filter)).await?;
    let names = app.writer.ask(super::money::Names::of).await?;
    Ok(Json(page(rows, |row: LineRow| names.line(&row))))
}

async fn control(
    app: &Shared,
    caller: &Caller,
    job: &str,
    command: impl FnOnce(JobId) -> Command,
) -> Result<StatusCode, Failure> {
    let job = id("job", job)?;
    app.command(caller.actor(), command(job)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes a job back, or one of its tasks.
#[utoipa::path(post, path = "/v1/jobs/{id}/cancel", params(("id" = String, Path)),
    request_body = wire::Cancel, responses((status = 204), Problems))]
pub async fn cancel(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
    Body(body): Body<wire::Cancel>,
) -> Result<StatusCode, Failure> {
    control(&app, &caller, &job, |job| Command::Cancel { job, task: body.task }).await
}

/// Queues failed or cancelled tasks again.
#[utoipa::path(post, path = "/v1/jobs/{id}/retry", params(("id" = String, Path)),
    request_body = wire::Cancel, responses((status = 204), Problems))]
pub async fn retry(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
    Body(body): Body<wire::Cancel>,
) -> Result<StatusCode, Failure> {
    control(&app, &caller, &job, |job| Command::Retry { job, task: body.task }).await
}

/// Places no more of a job's tasks.
#[utoipa::path(post, path = "/v1/jobs/{id}/pause", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn pause(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<StatusCode, Failure> {
    control(&app, &caller, &job, |job| Command::Pause { job }).await
}

/// Places a job's tasks again.
#[utoipa::path(post, path = "/v1/jobs/{id}/resume", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn resume(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
) -> Result<StatusCode, Failure> {
    control(&app, &caller, &job, |job| Command::Resume { job }).await
}
