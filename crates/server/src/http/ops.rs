//! Running the exchange: health, metrics, who am I, backup, findings.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use dayan_exchange::{Action, Grant, Resource, grant};
use dayan_store::{FindingFilter, FindingRow};
use dayan_wire as wire;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::extract::{Body, Caller, PageQuery, Params, page};
use crate::app::Shared;
use crate::problem::Failure;

/// Does the server serve?
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// The exchange's name.
    exchange: String,
    /// The newest journal row.
    seq: u64,
    /// Exchange time.
    now: String,
    /// The program's version.
    version: &'static str,
}

/// Answers while the exchange can decide and commit; 503 otherwise.
#[utoipa::path(get, path = "/v1/health", security(()), responses((status = 200, body = Health), Problems))]
pub async fn health(State(app): State<Shared>) -> Result<Json<Health>, Failure> {
    let health = app.writer.ask(|live| Health {
        status: "ok",
        exchange: live.state.name.clone(),
        seq: live.seq,
        now: live.now.to_string(),
        version: env!("CARGO_PKG_VERSION"),
    });
    Ok(Json(health.await?))
}

/// Whom your token speaks for, and what it may do.
#[utoipa::path(get, path = "/v1/whoami", responses((status = 200, body = wire::WhoAmI), Problems))]
pub async fn whoami(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::WhoAmI>, Failure> {
    let known = caller.0;
    let mut rights: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for resource in Resource::ALL {
        for action in Action::ALL {
            let reach = match grant(known.role, resource, action) {
                Grant::No => continue,
                Grant::Own => "own",
                Grant::All => "all",
            };
            let actions = rights.entry(format!("{resource:?}").to_lowercase()).or_default();
            actions.insert(format!("{action:?}").to_lowercase(), reach.to_owned());
        }
    }
    let answer = app.writer.ask(move |live| {
        let access = &live.state.access;
        wire::WhoAmI {
            exchange: live.state.name.clone(),
            user: known.user.to_string(),
            name: access.users.get(&known.user).map_or_else(String::new, |user| user.name.clone()),
            org: access.orgs.get(&known.org).map_or_else(String::new, |org| org.name.clone()),
            role: known.role.name().to_owned(),
            rights,
        }
    });
    Ok(Json(answer.await?))
}

/// Where a backup goes.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// A folder on the server's machine that does not exist yet.
    path: String,
}

/// What a backup holds.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct BackupDone {
    /// The newest journal row in it.
    seq: u64,
    /// Its hash: written down elsewhere, it proves the backup later.
    hash: String,
}

/// A consistent copy of the store while the exchange runs. For operators.
#[utoipa::path(post, path = "/v1/backup", request_body = BackupRequest,
    responses((status = 200, body = BackupDone), Problems))]
pub async fn backup(
    State(app): State<Shared>,
    caller: Caller,
    Body(request): Body<BackupRequest>,
) -> Result<Json<BackupDone>, Failure> {
    caller.scope(Resource::Exchange, Action::Create)?;
    let path = std::path::PathBuf::from(request.path);
    if !path.is_absolute() || path.exists() {
        return Err(Failure::invalid(
            "backup.path",
            "a backup goes to an absolute path where nothing is yet",
            "name a new folder",
        ));
    }
    let reader = app.reader.0.clone();
    let done = tokio::task::spawn_blocking(move || reader.backup_to(&path)).await;
    let done = done.map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))?;
    let report = done.map_err(|fault| {
        Failure::invalid(
            fault.code(),
            crate::writer::chain(&fault),
            "see that the path can be written",
        )
    })?;
    Ok(Json(BackupDone { seq: report.head.seq, hash: report.head.hash.to_string() }))
}

/// What agents said that cannot be so, the newest first.
#[utoipa::path(get, path = "/v1/findings", params(PageQuery),
    responses((status = 200, body = wire::Page<wire::Finding>), Problems))]
pub async fn findings(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<PageQuery>,
) -> Result<Json<wire::Page<wire::Finding>>, Failure> {
    caller.scope(Resource::Exchange, Action::Read)?;
    let filter = FindingFilter { page: query.paging()?, ..FindingFilter::default() };
    let rows = app.read(move |reader| reader.findings(&filter)).await?;
    Ok(Json(page(rows, |row: FindingRow| {
        let doc: serde_json::Value = serde_json::from_str(&row.doc).unwrap_or_default();
        wire::Finding {
            id: row.id,
            agent: row.agent.map_or_else(String::new, |agent| agent.to_string()),
            code: row.code,
            at: row.at.to_string(),
            message: doc["message"].as_str().unwrap_or_default().to_owned(),
        }
    })))
}

/// Prometheus metrics.
pub async fn metrics(State(app): State<Shared>) -> Result<impl IntoResponse, Failure> {
    let live = app.writer.ask(|live| {
        let jobs = live.state.work.jobs.values();
        crate::metrics::Gauges {
            jobs: jobs.clone().filter(|job| job.ended.is_none()).count(),
            queued: jobs.map(|job| job.queued.len()).sum(),
            leases: live.state.work.leases.len(),
            pools: live.state.supply.pools.len(),
            pools_silent: live.liveness.silent(&live.state, live.now).len(),
            tasks_waiting: 0,
            estimates: live.state.work.estimates.clone(),
            deadlines: live.state.work.deadlines,
            seq: live.seq,
            revision: live.state.revision,
        }
    });
    let waiting = app.planner.ask(|planner, _| planner.stats().tasks_waiting);
    let gauges = crate::metrics::Gauges { tasks_waiting: waiting.await?, ..live.await? };
    let text = app.metrics.render(&gauges);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text))
}
