//! Before a job is decided: are the data and the secrets that its file names to be had? Said at
//! submission, where it costs nothing, and not by a task that fails at a site.

use axum::http::StatusCode;
use dayan_spec::{JobSpec, Location};

use super::agent_data::{addresses, projects};
use super::data::{depot, on_disk};
use crate::app::Shared;
use crate::data::DataFault;
use crate::problem::Failure;

/// Refuses a job whose addresses in the data store are not its organisation's, whose inputs there
/// do not exist, or whose secrets do not.
pub(super) async fn check(app: &Shared, spec: &JobSpec) -> Result<(), Failure> {
    let names = super::secrets::named(spec);
    let in_store = addresses(spec).next().is_some();
    if !in_store && names.is_empty() {
        return Ok(());
    }
    let (path, asked) = (spec.project.as_str().to_owned(), spec.clone());
    let found = app.writer.ask(move |live| {
        let project = live.state.access.project_by_path(&path)?;
        Some((project.id, projects(&live.state, &asked, project.org)))
    });
    // Where there is no such project, the decision says so.
    let Some((project, projects)) = found.await? else { return Ok(()) };
    if !names.is_empty() {
        let vault = super::secrets::vault(app)?;
        let known = tokio::task::spawn_blocking(move || vault.list(project)).await;
        let known = known.map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))??;
        let missing = names.iter().find(|name| known.iter().all(|known| known.name != **name));
        if let Some(name) = missing {
            return Err(crate::data::SecretFault::Unknown(name.clone()).into());
        }
    }
    if !in_store {
        return Ok(());
    }
    let depot = depot(app)?;
    for address in addresses(spec) {
        if !projects.contains_key(address.project().as_str()) {
            return Err(Failure::new(
                StatusCode::NOT_FOUND,
                "project.unknown",
                format!("there is no project `{}` in this organisation", address.project()),
                "a job reads and writes data of its own organisation's projects; `dayan project \
                 ls` lists them",
            ));
        }
    }
    // What a job before this one makes, or is made until a schedule's next run, need not be there.
    if !spec.depends_on.is_empty() || spec.schedule.is_some() {
        return Ok(());
    }
    for input in &spec.inputs {
        let Location::Store(address) = &input.from else { continue };
        let project = projects[address.project().as_str()];
        let (depot, path) = (depot.clone(), address.path().to_owned());
        let shown = address.to_string();
        on_disk(move || match depot.find(project, &path) {
            Err(DataFault::Unknown(_)) => Err(DataFault::Unknown(format!("`{shown}`"))),
            other => other,
        })
        .await?;
    }
    Ok(())
}
