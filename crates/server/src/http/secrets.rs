//! Secrets of projects: set, listed by name, removed. What they say is told to nobody but the
//! agents of attempts that name them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::Action;
use dayan_spec::{JobSpec, is_secret_name};
use dayan_units::Time;
use dayan_wire as wire;
use serde::Deserialize;

use super::Problems;
use super::data::{called, project};
use super::extract::{Body, Caller, Params, Path};
use crate::app::Shared;
use crate::data::{SecretFault, Vault};
use crate::problem::Failure;

impl From<SecretFault> for Failure {
    fn from(fault: SecretFault) -> Self {
        let title = fault.to_string();
        let (status, code, advice) = match &fault {
            SecretFault::Unknown(_) => (
                StatusCode::NOT_FOUND,
                "secret.unknown",
                "`dayan secret ls` lists those there are; `dayan secret set` makes one",
            ),
            SecretFault::Size => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "secret.size",
                "send the secret itself on standard input, not a file that holds many",
            ),
            SecretFault::TooMany => {
                (StatusCode::CONFLICT, "secret.too_many", "remove those that are not used")
            }
            SecretFault::OtherKey(_) => (
                StatusCode::CONFLICT,
                "secret.other_key",
                "set it again, or ask the operator to put the old `secrets.key` back",
            ),
            SecretFault::Files(_) => {
                tracing::error!(%fault, "the secrets' store failed");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "secret.store",
                    "send the same request again in a moment",
                )
            }
        };
        Self::new(status, code, title, advice)
    }
}

/// The secrets, if this exchange keeps any.
pub(super) fn vault(app: &Shared) -> Result<Arc<Vault>, Failure> {
    // They lie in the data store's folder, so that all servers of an exchange have them.
    super::data::depot(app)?;
    Ok(app.vault.clone().expect("a store has its secrets beside it"))
}

/// The secrets that a job file names.
pub(super) fn named(spec: &JobSpec) -> BTreeSet<String> {
    let inputs = spec.inputs.iter().filter_map(|input| input.secret.clone());
    let outputs = spec.outputs.iter().filter_map(|output| output.secret.clone());
    inputs.chain(outputs).chain(spec.secrets.values().cloned()).collect()
}

/// Whose secrets.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ProjectQuery {
    /// The project's path.
    project: String,
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SecretFault> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))??)
}

/// A project's secrets, without what they say.
#[utoipa::path(get, path = "/v1/secrets", params(ProjectQuery),
    responses((status = 200, body = wire::Page<wire::Secret>), Problems))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<ProjectQuery>,
) -> Result<Json<wire::Page<wire::Secret>>, Failure> {
    let vault = vault(&app)?;
    let project = project(&app, &caller, &query.project, Action::Read).await?;
    let known = on_disk(move || vault.list(project)).await?;
    let told = known.into_iter().map(|known| wire::Secret {
        name: known.name,
        at: Time::from_micros(known.at).to_string(),
        by: known.by,
    });
    Ok(Json(super::extract::whole(told.collect())))
}

/// Sets a secret.
#[utoipa::path(put, path = "/v1/secrets/{name}", params(("name" = String, Path), ProjectQuery),
    request_body = wire::NewSecret, responses((status = 204), Problems))]
pub async fn set(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    Params(query): Params<ProjectQuery>,
    Body(new): Body<wire::NewSecret>,
) -> Result<StatusCode, Failure> {
    let vault = vault(&app)?;
    if !is_secret_name(&name) {
        return Err(Failure::invalid(
            "secret.name",
            "that cannot be the name of a secret",
            "use letters, digits, `-`, `_` and `.`, at most 64, beginning with a letter or digit",
        ));
    }
    let project = project(&app, &caller, &query.project, Action::Create).await?;
    let (by, at) = (called(&app, &caller).await?, app.now());
    on_disk(move || vault.set(project, &name, &new.value, &by, at)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Forgets a secret.
#[utoipa::path(delete, path = "/v1/secrets/{name}", params(("name" = String, Path), ProjectQuery),
    responses((status = 204), Problems))]
pub async fn remove(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    Params(query): Params<ProjectQuery>,
) -> Result<StatusCode, Failure> {
    let vault = vault(&app)?;
    let project = project(&app, &caller, &query.project, Action::Delete).await?;
    on_disk(move || vault.remove(project, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
