//! Before a job is decided: are the data and the secrets that its file names to be had? Said at
//! submission, where it costs nothing, and not by a task that fails at a site.

use axum::http::StatusCode;
use dayan_exchange::changes::data_key;
use dayan_schedule::DataAt;
use dayan_spec::{JobSpec, Location};
use dayan_units::Bytes;

use super::agent_data::{addresses, projects};
use super::data::{depot, on_disk};
use crate::app::Shared;
use crate::data::DataFault;
use crate::problem::Failure;

/// Files of a job's inputs that are known one by one: they are kept with the job in memory and in the
/// journal, and most jobs' bytes are in a few of them.
const NAMED_MAX: usize = 32;

/// Refuses a job whose addresses in the data store are not its organisation's, whose inputs there
/// do not exist, or whose secrets do not.
pub(super) async fn check(app: &Shared, spec: &JobSpec) -> Result<(), Failure> {
    let names = super::secrets::named(spec);
    let in_store = addresses(spec).next().is_some();
    if spec.checkpoint.is_some() {
        // Said now where there is no place for what it will save.
        depot(app)?;
    }
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

/// What of a job's inputs lies in the data store, where it is known where that is: the largest files
/// one by one, so that what a site has of them counts, and the rest together. What is not there, or
/// comes only later, is left out.
pub(super) async fn inputs(app: &Shared, spec: &JobSpec) -> Result<Vec<DataAt>, Failure> {
    let in_store = spec.inputs.iter().any(|input| matches!(input.from, Location::Store(_)));
    let (Some(place), Some(depot)) = (app.data_place.clone(), app.depot.clone()) else {
        return Ok(Vec::new());
    };
    if !in_store {
        return Ok(Vec::new());
    }
    let (path, asked) = (spec.project.as_str().to_owned(), spec.clone());
    let found = app.writer.ask(move |live| {
        let project = live.state.access.project_by_path(&path)?;
        Some(projects(&live.state, &asked, project.org))
    });
    let projects = found.await?.unwrap_or_default();
    let mut wanted = Vec::new();
    for input in &spec.inputs {
        if let Location::Store(address) = &input.from
            && let Some(project) = projects.get(address.project().as_str())
        {
            wanted.push((*project, address.path().to_owned()));
        }
    }
    on_disk(move || {
        let found = wanted.iter().flat_map(|(project, path)| {
            // Whether it must be there is judged elsewhere.
            depot.find(*project, path).unwrap_or_default()
        });
        let mut files: Vec<_> = found.map(|found| (found.named.size, found.named.sha256)).collect();
        files.sort_unstable_by(|a, b| b.cmp(a));
        let rest = files.split_off(files.len().min(NAMED_MAX));
        let rest = rest.iter().fold(0_u64, |sum, (size, _)| sum.saturating_add(*size));
        let at = |bytes, key| DataAt { place: place.clone(), bytes: Bytes(bytes), key };
        let key = |sha256: crate::data::Sha256| data_key(&sha256.to_string());
        let mut data: Vec<DataAt> =
            files.into_iter().map(|(size, sha256)| at(size, key(sha256))).collect();
        data.extend((rest > 0).then(|| at(rest, None)));
        Ok(data)
    })
    .await
}
