//! The data store for agents. An agent's token reaches what its attempts name and nothing else: it
//! reads the inputs of attempts that it holds, sends bytes for their outputs, and publishes once the
//! exchange has granted it.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use dayan_exchange::{Phase, State as Books};
use dayan_spec::{DataAddress, JobSpec, Location};
use dayan_units::{AgentId, AttemptId, OrgId, ProjectId, TaskId};
use dayan_wire as wire;
use serde::Deserialize;

use super::Problems;
use super::data::{depot, digest, on_disk, send, upload_state};
use super::extract::{Body, CallingAgent, Params, id};
use crate::app::Shared;
use crate::data::{Content, DataFault, Depot, Found, Published, Saving};
use crate::problem::Failure;

/// What an agent may touch for one of its attempts.
struct Holding {
    spec: Arc<JobSpec>,
    project: ProjectId,
    /// Projects that the job's file names, of the job's own organisation.
    projects: BTreeMap<String, ProjectId>,
}

impl Holding {
    fn project_of(&self, address: &DataAddress) -> Result<ProjectId, Failure> {
        let path = address.project().as_str();
        self.projects.get(path).copied().ok_or_else(|| Failure::not_found("project", path))
    }
    fn input(&self, number: u32) -> Result<&DataAddress, Failure> {
        match self.spec.inputs.get(number as usize).map(|input| &input.from) {
            Some(Location::Store(address)) => Ok(address),
            Some(_) | None => Err(Failure::not_found("input", &number.to_string())),
        }
    }
    /// The project that bytes for an output, or for the checkpoint, are kept by.
    fn keeps(&self, output: Option<u32>) -> Result<ProjectId, Failure> {
        match (output, &self.spec.checkpoint) {
            (Some(number), _) => self.project_of(self.output(number)?),
            (None, Some(_)) => Ok(self.project),
            (None, None) => Err(no_checkpoint()),
        }
    }
    fn output(&self, number: u32) -> Result<&DataAddress, Failure> {
        match self.spec.outputs.get(number as usize).map(|output| &output.to) {
            Some(Location::Store(address)) => Ok(address),
            Some(_) | None => Err(Failure::not_found("output", &number.to_string())),
        }
    }
}

/// The store addresses of a job file.
pub(super) fn addresses(spec: &JobSpec) -> impl Iterator<Item = &DataAddress> {
    let from = spec.inputs.iter().map(|input| &input.from);
    from.chain(spec.outputs.iter().map(|output| &output.to)).filter_map(|location| match location {
        Location::Store(address) => Some(address),
        Location::Data(_)
        | Location::File(_)
        | Location::S3 { .. }
        | Location::Http(_)
        | Location::Local(_) => None,
    })
}

/// The projects that a job file's addresses are in, as far as they are the organisation's.
pub(super) fn projects(books: &Books, spec: &JobSpec, org: OrgId) -> BTreeMap<String, ProjectId> {
    let paths = addresses(spec).map(|address| address.project().as_str());
    let found = paths.filter_map(|path| books.access.project_by_path(path));
    found.filter(|p| p.org == org).map(|p| (p.path.clone(), p.id)).collect()
}

async fn holding(app: &Shared, agent: AgentId, attempt: AttemptId) -> Result<Holding, Failure> {
    let found = app.writer.ask(move |live| {
        let work = &live.state.work;
        let lease = work.leases.get(&attempt).filter(|lease| lease.agent == agent)?;
        let job = work.jobs.get(&lease.attempt.job)?;
        let spec = work.spec_of(job).spec.clone();
        let org = live.state.access.projects.get(&job.project)?.org;
        let projects = projects(&live.state, &spec, org);
        Some(Holding { spec, project: job.project, projects })
    });
    found.await?.ok_or_else(|| not_held(attempt))
}

fn no_checkpoint() -> Failure {
    Failure::not_found("checkpoint", "of a job without one")
}

fn not_held(attempt: AttemptId) -> Failure {
    Failure::new(
        StatusCode::FORBIDDEN,
        "data.not_your_attempt",
        format!("this agent holds no lease for {attempt}"),
        "sync, and stop what has no lease",
    )
}

/// Which input of which attempt.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct InputQuery {
    /// The attempt.
    attempt: String,
    /// Which of its inputs, from 0; none: its task's checkpoint.
    #[serde(default)]
    input: Option<u32>,
    /// Which bytes of it: their SHA-256.
    #[serde(default)]
    sha256: Option<String>,
}

async fn input_files(
    depot: &Arc<Depot>,
    holding: &Holding,
    input: Option<u32>,
    task: TaskId,
) -> Result<Vec<Found>, Failure> {
    let Some(input) = input else {
        let (depot, project) = (Arc::clone(depot), holding.project);
        let newest = on_disk(move || Ok(depot.checkpoint(project, task))).await?;
        return newest.map(|newest| newest.files).ok_or_else(no_checkpoint);
    };
    let address = holding.input(input)?;
    let project = holding.project_of(address)?;
    let (depot, path) = (Arc::clone(depot), address.path().to_owned());
    on_disk(move || depot.find(project, &path)).await
}

/// The files of an input that lies in the data store, as they are now.
#[utoipa::path(get, path = "/v1/agent/data/inputs", params(InputQuery),
    responses((status = 200, body = Vec<wire::InputFile>), Problems))]
pub async fn inputs(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Params(query): Params<InputQuery>,
) -> Result<Json<Vec<wire::InputFile>>, Failure> {
    let depot = depot(&app)?;
    let attempt: AttemptId = id("attempt", &query.attempt)?;
    let holding = holding(&app, known.agent, attempt).await?;
    let found = input_files(&depot, &holding, query.input, attempt.task_id()).await?;
    Ok(Json(found.into_iter().map(input_file).collect()))
}

fn input_file(found: Found) -> wire::InputFile {
    wire::InputFile {
        name: found.path.rsplit('/').next().unwrap_or_default().to_owned(),
        path: found.below,
        size: found.named.size,
        sha256: found.named.sha256.to_string(),
        executable: found.named.executable,
    }
}

/// Bytes of an input. `Range: bytes=N-` reads on from there.
#[utoipa::path(get, path = "/v1/agent/data/content", params(InputQuery),
    responses((status = 200, content_type = "application/octet-stream"),
        (status = 206, content_type = "application/octet-stream"), Problems))]
pub async fn content(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Params(query): Params<InputQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let depot = depot(&app)?;
    let attempt: AttemptId = id("attempt", &query.attempt)?;
    let wanted = digest(query.sha256.as_deref().unwrap_or_default())?;
    let holding = holding(&app, known.agent, attempt).await?;
    let found = input_files(&depot, &holding, query.input, attempt.task_id()).await?;
    let file = found.iter().find(|found| found.named.sha256 == wanted);
    let file = file.ok_or_else(|| DataFault::Unknown(format!("{wanted} in this input")))?;
    send(&depot, wanted, file.named.size, &headers).await
}

/// Begins to send bytes of an attempt's output, or says how far that is.
#[utoipa::path(post, path = "/v1/agent/data/uploads", request_body = wire::NewOutput,
    responses((status = 200, body = wire::UploadState), Problems))]
pub async fn begin(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Body(new): Body<wire::NewOutput>,
) -> Result<Json<wire::UploadState>, Failure> {
    let depot = depot(&app)?;
    let sha256 = digest(&new.sha256)?;
    let holding = holding(&app, known.agent, new.attempt).await?;
    let project = holding.keeps(new.output)?;
    let state = on_disk(move || depot.begin(project, sha256, new.size)).await?;
    Ok(Json(upload_state(sha256, state)))
}

/// Where a part of an output's bytes belongs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct OutputPartQuery {
    /// The attempt.
    attempt: String,
    /// Which of its outputs, from 0; none: its checkpoint.
    #[serde(default)]
    output: Option<u32>,
    /// The bytes' SHA-256.
    sha256: String,
    /// Where this part begins: as many bytes as are there.
    #[serde(default)]
    offset: u64,
}

/// Sends a part of the bytes of an attempt's output.
#[utoipa::path(patch, path = "/v1/agent/data/uploads", params(OutputPartQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = wire::UploadState), Problems))]
pub async fn append(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Params(query): Params<OutputPartQuery>,
    body: HttpBody,
) -> Result<Json<wire::UploadState>, Failure> {
    let depot = depot(&app)?;
    let sha256 = digest(&query.sha256)?;
    let attempt = id("attempt", &query.attempt)?;
    let holding = holding(&app, known.agent, attempt).await?;
    let project = holding.keeps(query.output)?;
    let stream = body.into_data_stream();
    let state = depot.append(project, sha256, query.offset, stream, app.now()).await?;
    Ok(Json(upload_state(sha256, state)))
}

/// Where a file of an output goes.
fn target(address: &DataAddress, below: &str) -> Result<DataAddress, Failure> {
    let path = match (below.is_empty(), address.is_folder()) {
        (true, false) => address.path().to_owned(),
        (false, true) => format!("{}{below}", address.path()),
        (false, false) => format!("{}/{below}", address.path()),
        (true, true) => String::new(),
    };
    DataAddress::new(address.project().clone(), &path).filter(|to| !to.is_folder()).ok_or_else(
        || {
            let below: String = below.chars().take(80).collect();
            Failure::invalid(
                "data.output_path",
                format!("`{below}` cannot be a file's name below `{address}`"),
                "use file names without control characters, and paths without empty parts",
            )
        },
    )
}

/// An attempt's outputs appear under their names: all that go to one project at once, and only while
/// the attempt has the exchange's grant. Repeating it changes nothing.
#[utoipa::path(post, path = "/v1/agent/data/publish", request_body = wire::Publication,
    responses((status = 204), Problems))]
pub async fn publish(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Body(publication): Body<wire::Publication>,
) -> Result<StatusCode, Failure> {
    let depot = depot(&app)?;
    let (agent, attempt) = (known.agent, publication.attempt);
    let holding = holding(&app, agent, attempt).await?;
    let mut by_project: BTreeMap<ProjectId, Vec<(String, Content)>> = BTreeMap::new();
    for file in &publication.files {
        let to = target(holding.output(file.output)?, &file.path)?;
        let files = by_project.entry(holding.project_of(&to)?).or_default();
        let sha256 = digest(&file.sha256)?;
        files.push((to.path().to_owned(), Content { sha256, executable: file.executable }));
    }
    for (project, files) in by_project {
        let (depot, writer) = (Arc::clone(&depot), app.writer.clone());
        let (at, runtime) = (app.now(), tokio::runtime::Handle::current());
        let granted = move || {
            let granted = runtime.block_on(writer.ask(move |live| {
                let lease = live.state.work.leases.get(&attempt);
                lease.is_some_and(|lease| {
                    lease.agent == agent && matches!(lease.phase, Phase::Publishing { .. })
                })
            }));
            granted.unwrap_or(false)
        };
        let done = on_disk(move || depot.publish(project, attempt, &files, at, granted)).await?;
        if done == Published::NotGranted {
            return Err(Failure::new(
                StatusCode::CONFLICT,
                "data.not_granted",
                format!("{attempt} may not publish"),
                "ask for the grant by a sync, and publish once it is given",
            ));
        }
    }
    Ok(StatusCode::NO_CONTENT)
}

/// What an attempt's task has saved becomes its newest checkpoint: all of it at once, and only while
/// the agent holds the attempt's lease. The same once more is the same checkpoint.
#[utoipa::path(post, path = "/v1/agent/data/checkpoints", request_body = wire::NewCheckpoint,
    responses((status = 200, body = u32, content_type = "application/json",
        description = "Which checkpoint of its task it is, from 1."), Problems))]
pub async fn save(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Body(new): Body<wire::NewCheckpoint>,
) -> Result<Json<u32>, Failure> {
    let depot = depot(&app)?;
    let (agent, attempt) = (known.agent, new.attempt);
    let holding = holding(&app, agent, attempt).await?;
    let project = holding.keeps(None)?;
    let mut files = Vec::with_capacity(new.files.len());
    for file in &new.files {
        if DataAddress::new(holding.spec.project.clone(), &file.path).is_none_or(|a| a.is_folder())
        {
            let shown: String = file.path.chars().take(80).collect();
            return Err(Failure::invalid(
                "data.output_path",
                format!("`{shown}` cannot be a file's name in the data store"),
                "use file names without control characters, and paths without empty parts",
            ));
        }
        let content = Content { sha256: digest(&file.sha256)?, executable: file.executable };
        files.push((file.path.clone(), content));
    }
    let (writer, runtime) = (app.writer.clone(), tokio::runtime::Handle::current());
    let held = move || {
        let held = runtime.block_on(writer.ask(move |live| {
            let lease = live.state.work.leases.get(&attempt);
            lease.is_some_and(|lease| lease.agent == agent)
        }));
        held.unwrap_or(false)
    };
    let at = app.now();
    let saved = on_disk(move || depot.save(project, attempt, &files, at, held)).await?;
    match saved {
        Saving::Newest(number) => Ok(Json(number)),
        Saving::NotHeld => Err(not_held(attempt)),
    }
}

/// The newest whole checkpoint of an attempt's task.
#[utoipa::path(get, path = "/v1/agent/data/checkpoints", params(AttemptQuery),
    responses((status = 200, body = wire::TaskCheckpoint), Problems))]
pub async fn checkpoint(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Params(query): Params<AttemptQuery>,
) -> Result<Json<wire::TaskCheckpoint>, Failure> {
    let depot = depot(&app)?;
    let attempt: AttemptId = id("attempt", &query.attempt)?;
    let holding = holding(&app, known.agent, attempt).await?;
    let project = holding.keeps(None)?;
    let newest = on_disk(move || Ok(depot.checkpoint(project, attempt.task_id()))).await?;
    let told = newest.map(|newest| wire::TaskCheckpoint {
        number: newest.number,
        files: newest.files.into_iter().map(input_file).collect(),
    });
    Ok(Json(told.unwrap_or_default()))
}

/// Which attempt.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AttemptQuery {
    /// The attempt.
    attempt: String,
}

/// The secrets that an attempt's job file names, by name.
#[utoipa::path(get, path = "/v1/agent/data/secrets", params(AttemptQuery),
    responses((status = 200, body = BTreeMap<String, String>), Problems))]
pub async fn secrets(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Params(query): Params<AttemptQuery>,
) -> Result<Json<BTreeMap<String, String>>, Failure> {
    let attempt = id("attempt", &query.attempt)?;
    let holding = holding(&app, known.agent, attempt).await?;
    let vault = super::secrets::vault(&app)?;
    let names = super::secrets::named(&holding.spec);
    let project = holding.project;
    let opened = tokio::task::spawn_blocking(move || {
        names
            .into_iter()
            .map(|name| vault.open_secret(project, &name).map(|value| (name, value)))
            .collect::<Result<BTreeMap<_, _>, _>>()
    });
    let opened = opened.await.map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))?;
    Ok(Json(opened?))
}

/// How far the copying for an agent's attempts is; shown to people, kept nowhere.
#[utoipa::path(post, path = "/v1/agent/data/copying", request_body = Vec<wire::AttemptCopying>,
    responses((status = 204), Problems))]
pub async fn copying(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Body(told): Body<Vec<wire::AttemptCopying>>,
) -> Result<StatusCode, Failure> {
    let agent = known.agent;
    let held = app.writer.ask(move |live| {
        let leases = &live.state.work.leases;
        let own = |attempt: &AttemptId| leases.get(attempt).is_some_and(|l| l.agent == agent);
        told.into_iter().filter(|told| own(&told.attempt)).collect::<Vec<_>>()
    });
    let held = held.await?;
    let now = crate::clock::boot_micros();
    app.copying.tell(held.into_iter().map(|told| (told.attempt, told.copying)), now);
    Ok(StatusCode::NO_CONTENT)
}
