//! Quotas: what organisations and projects may hold at once, and hold.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::{Action, Command, Resource};
use dayan_schedule::{Quota, QuotaOf};
use dayan_units::{Bytes, OrgId, Resources};
use dayan_wire as wire;

use super::Problems;
use super::extract::{Body, Caller, Path, id, whole};
use crate::app::Shared;
use crate::problem::Failure;
use crate::writer::Live;

/// The quotas that the caller may see: its own organisation's and its projects', an operator all.
#[utoipa::path(get, path = "/v1/quotas",
    responses((status = 200, body = wire::Page<wire::Quota>), Problems))]
pub async fn quotas(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Quota>>, Failure> {
    let scope = caller.scope(Resource::Project, Action::Read)?;
    Ok(Json(whole(app.writer.ask(move |live| rows(live, scope)).await?)))
}

fn rows(live: &Live, scope: Option<OrgId>) -> Vec<wire::Quota> {
    let access = &live.state.access;
    let shares = &live.state.work.shares;
    let seen = |org: OrgId| scope.is_none_or(|own| own == org);
    let orgs = access.orgs.values().filter(|org| seen(org.id));
    let orgs = orgs.filter(|org| !org.quota.is_unlimited()).map(|org| {
        let held = shares.held_by_org(org.id);
        row("org", org.id.to_string(), &org.name, &org.quota, &held)
    });
    let projects = access.projects.values().filter(|project| seen(project.org));
    let projects = projects.filter(|project| !project.quota.is_unlimited()).map(|project| {
        let held = shares.held_by(project.id);
        row("project", project.id.to_string(), &project.path, &project.quota, &held)
    });
    let mut rows: Vec<wire::Quota> = orgs.chain(projects).collect();
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows
}

fn row(of: &str, id: String, name: &str, quota: &Quota, held: &Resources) -> wire::Quota {
    wire::Quota {
        of: of.to_owned(),
        id,
        name: name.to_owned(),
        quota: wire::QuotaLimits {
            cpus: quota.cpu.map(|most| most.to_string()),
            memory: quota.memory.map(|most| most.0),
            accelerators: quota.accel.map(|most| most.to_string()),
        },
        held: wire::Held {
            cpus: held.cpu.to_string(),
            memory: held.memory.0,
            accelerators: held.accel.to_string(),
        },
    }
}

fn read(limits: &wire::QuotaLimits) -> Result<Quota, Failure> {
    fn number<T: std::str::FromStr>(what: &str, text: Option<&String>) -> Result<Option<T>, Failure>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: &String| {
            text.parse().map_err(|error: T::Err| {
                let advice = "write a decimal with at most three places, such as `64`";
                Failure::invalid("request.quota", format!("{what}: {error}"), advice)
            })
        };
        text.map(parse).transpose()
    }
    Ok(Quota {
        cpu: number("cpus", limits.cpus.as_ref())?,
        memory: limits.memory.map(Bytes),
        accel: number("accelerators", limits.accelerators.as_ref())?,
    })
}

/// What an organisation may hold at once, over all of its projects; the operator says so. What is
/// left out is not limited.
#[utoipa::path(put, path = "/v1/orgs/{id}/quota", request_body = wire::QuotaLimits,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_org_quota(
    State(app): State<Shared>,
    caller: Caller,
    Path(org): Path<String>,
    Body(limits): Body<wire::QuotaLimits>,
) -> Result<StatusCode, Failure> {
    let of = QuotaOf::Org(id("organisation", &org)?);
    let quota = read(&limits)?;
    app.command(caller.actor(), Command::SetQuota { of, quota }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a project may hold at once. What is left out is not limited.
#[utoipa::path(put, path = "/v1/projects/{id}/quota", request_body = wire::QuotaLimits,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_project_quota(
    State(app): State<Shared>,
    caller: Caller,
    Path(project): Path<String>,
    Body(limits): Body<wire::QuotaLimits>,
) -> Result<StatusCode, Failure> {
    let of = QuotaOf::Project(id("project", &project)?);
    let quota = read(&limits)?;
    app.command(caller.actor(), Command::SetQuota { of, quota }).await?;
    Ok(StatusCode::NO_CONTENT)
}
