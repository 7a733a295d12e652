//! Licences: how many of each there are, and are in use.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::{Action, Command, Resource};
use dayan_units::OrgId;
use dayan_wire as wire;

use super::Problems;
use super::extract::{Body, Caller, whole};
use crate::app::Shared;
use crate::problem::Failure;
use crate::writer::Live;

/// The licences that the caller's jobs may ask for; an operator sees all.
#[utoipa::path(get, path = "/v1/licenses",
    responses((status = 200, body = wire::Page<wire::License>), Problems))]
pub async fn licenses(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::License>>, Failure> {
    let scope = caller.scope(Resource::Project, Action::Read)?;
    Ok(Json(whole(app.writer.ask(move |live| rows(live, scope)).await?)))
}

fn rows(live: &Live, scope: Option<OrgId>) -> Vec<wire::License> {
    let access = &live.state.access;
    let own = scope.and_then(|org| access.orgs.get(&org)).map(|org| org.name.as_str());
    let seen = |name: &str| {
        let owner = name.split_once('/').map(|(owner, _)| owner);
        scope.is_none() || owner.is_none() || owner == own
    };
    let used = &live.state.work.licenses;
    let rows = access.licenses.iter().filter(|(name, _)| seen(name));
    rows.map(|(name, count)| wire::License {
        name: name.clone(),
        count: *count,
        used: used.get(name).copied().unwrap_or(0),
    })
    .collect()
}

/// How many of a licence there are; the operator says so. Without a count it is not counted any more,
/// and nobody gets it; what runs goes on.
#[utoipa::path(put, path = "/v1/licenses", request_body = wire::SetLicense,
    responses((status = 204), Problems))]
pub async fn set_license(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::SetLicense>,
) -> Result<StatusCode, Failure> {
    let wire::SetLicense { name, count } = new;
    app.command(caller.actor(), Command::SetLicense { name, count }).await?;
    Ok(StatusCode::NO_CONTENT)
}
