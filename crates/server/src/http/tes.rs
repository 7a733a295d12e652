//! GA4GH's Task Execution Service 1.1 under `/ga4gh/tes/v1`: a task is a job, its id the job's.
//!
//! Invariant: what this interface may do, the exchange's own may too, and for the same tokens; it
//! decides nothing. What a task is and becomes is in [`crate::tes`].

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use dayan_exchange::{Action, Command, Made, Resource};
use dayan_spec::JobSpec;
use dayan_store::{JobFilter, JobRow, Paging};
use dayan_units::JobId;

use super::access::unexpected;
use super::extract::{Params, Path, Text, id};
use super::tes_auth::{TesCaller, TesFailure, TesProblems};
use super::tes_facts::{Ask, attempts, stopping};
use super::{admission, data_check};
use crate::app::Shared;
use crate::problem::Failure;
use crate::tes::document::{
    TesCanceled, TesCreated, TesList, TesOrganization, TesServiceInfo, TesServiceType, TesState,
    TesTask,
};
use crate::tes::told::{Told, View, state};
use crate::tes::translate::{Around, KIND, Kept, PARAMETERS, Spot, translate};

/// The version of the standard.
const VERSION: &str = "1.1.0";
/// Tasks on a page unless told; the standard's.
const PAGE_DEFAULT: u32 = 256;
/// A page is smaller than that; the standard's.
const PAGE_BOUND: u32 = 2_048;
/// Jobs that one call looks through for tasks that fit: a second of reading. What it did not come
/// to is on the next page, which may be empty.
const SCANNED_MAX: u32 = 4_000;
/// Jobs that are read at once: a task may have a megabyte.
const ROWS_AT_ONCE: u32 = 50;
/// A page ends behind so many bytes of tasks, whatever its size: what one request may hold.
const PAGE_BYTES_MAX: usize = 16 << 20;
/// What the method of an id is written with.
const CANCEL: &str = ":cancel";

/// Puts the description's words in place: the router cannot tell `/tasks/{id}:cancel` from
/// `/tasks/{id}`, so that the first is a method of the second.
pub(super) fn describe(document: &mut utoipa::openapi::OpenApi) {
    let path = "/ga4gh/tes/v1/tasks/{id}";
    let Some(item) = document.paths.paths.get_mut(path) else { return };
    if let Some(cancel) = item.post.take() {
        let item = utoipa::openapi::PathItem::new(utoipa::openapi::HttpMethod::Post, cancel);
        document.paths.paths.insert(format!("{path}{CANCEL}"), item);
    }
}

/// What this service is.
#[utoipa::path(get, path = "/ga4gh/tes/v1/service-info", security(()), tag = "GA4GH TES",
    operation_id = "tes_service_info",
    responses((status = 200, body = TesServiceInfo), TesProblems))]
pub async fn service_info(State(app): State<Shared>, headers: HeaderMap) -> Json<TesServiceInfo> {
    let scheme = if app.fingerprint.is_some() { "https" } else { "http" };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    Json(TesServiceInfo {
        id: "dayan.tes".to_owned(),
        name: "Dayan".to_owned(),
        description: "An exchange for computing power; a task is placed, metered and billed as a \
                      job of its project."
            .to_owned(),
        kind: TesServiceType {
            group: "org.ga4gh".to_owned(),
            artifact: "tes".to_owned(),
            version: VERSION.to_owned(),
        },
        organization: TesOrganization {
            name: "Dayan".to_owned(),
            url: format!("{scheme}://{host}/"),
        },
        version: env!("CARGO_PKG_VERSION").to_owned(),
        storage: ["dayan://", "s3://", "https://", "http://", "file:///"]
            .map(str::to_owned)
            .to_vec(),
        backend_parameters: PARAMETERS.map(str::to_owned).to_vec(),
    })
}

/// Creates a task.
#[utoipa::path(post, path = "/ga4gh/tes/v1/tasks", tag = "GA4GH TES", operation_id = "tes_create_task",
    security(("token" = []), ("basic" = [])), request_body = TesTask,
    responses((status = 200, body = TesCreated), TesProblems))]
pub async fn create(
    State(app): State<Shared>,
    TesCaller { caller, project }: TesCaller,
    text: Result<Text, Failure>,
) -> Result<Json<TesCreated>, TesFailure> {
    let Text(text) = text?;
    let task: TesTask = serde_json::from_str(&text).map_err(|error| {
        Failure::invalid("tes.task", error.to_string(), "send a task as TES 1.1 has it")
    })?;
    let org = caller.0.org;
    let (projects, spot) = app
        .writer
        .ask(move |live| {
            let own = live.state.access.projects.values().filter(|project| project.org == org);
            let mut paths: Vec<String> = own.map(|project| project.path.clone()).collect();
            paths.sort();
            let sold = live.state.supply.offers.values().any(|o| o.spot_permille.is_some());
            (paths, if sold { Spot::Sold } else { Spot::NotSold })
        })
        .await
        .map_err(Failure::from)?;
    let only = if let [only] = projects.as_slice() { Some(only.as_str()) } else { None };
    let around = Around { project: project.as_deref().or(only), projects: &projects, spot };
    let spec = translate(&task, text.len(), &around)?;
    data_check::check(&app, &spec).await.map_err(named)?;
    match admission::submit(&app, &caller, spec, None, None).await.map_err(named)? {
        Made::Job(job) => {
            app.metrics.submissions.inc();
            Ok(Json(TesCreated { id: job.to_string() }))
        }
        _ => Err(unexpected().into()),
    }
}

/// What a task names and nobody has is the task's fault: to clients of TES a 404 says that the address of the server
/// is wrong, and they look for it at others.
fn named(mut failure: Failure) -> Failure {
    if failure.0.status == StatusCode::NOT_FOUND.as_u16() {
        failure.0.status = StatusCode::BAD_REQUEST.as_u16();
    }
    failure
}

/// The row of a task and its job's file, if the caller may see it.
async fn found(
    app: &Shared,
    TesCaller { caller, .. }: &TesCaller,
    task: &str,
) -> Result<(JobRow, JobSpec, Kept), Failure> {
    let unknown = || Failure::not_found("task", task);
    let wanted: JobId = id("task", task)?;
    let row = app.read(move |reader| reader.job(wanted)).await?.ok_or_else(unknown)?;
    caller.may(Resource::Job, Action::Read, row.org, "task", task)?;
    let (spec, kept) = kept_of(&row).ok_or_else(unknown)?;
    Ok((row, spec, kept))
}

/// What is kept of the task with a job; none: it was none.
fn kept_of(row: &JobRow) -> Option<(JobSpec, Kept)> {
    let doc = row.doc.as_deref()?;
    // Most jobs of an exchange are none; their files need not be read for it.
    if !doc.contains(&format!("\"{KIND}\"")) {
        return None;
    }
    let mut doc: serde_json::Value = serde_json::from_str(doc).ok()?;
    let spec: JobSpec = serde_json::from_value(doc["spec"].take()).ok()?;
    let kept = Kept::of(&spec)?;
    Some((spec, kept))
}

/// The view that a query names.
fn view(name: Option<&str>) -> Result<View, Failure> {
    let Some(name) = name.filter(|name| !name.is_empty()) else { return Ok(View::default()) };
    View::by_name(name).ok_or_else(|| {
        let title = format!("`{}` is no view", crate::tes::shown(name));
        Failure::invalid("tes.view", title, "ask for MINIMAL, BASIC or FULL")
    })
}

/// Which view.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ViewQuery {
    /// `MINIMAL` (unless told), `BASIC` or `FULL`.
    #[serde(default)]
    view: Option<String>,
}

/// A task.
#[utoipa::path(get, path = "/ga4gh/tes/v1/tasks/{id}", tag = "GA4GH TES", operation_id = "tes_get_task",
    security(("token" = []), ("basic" = [])), params(("id" = String, Path), ViewQuery),
    responses((status = 200, body = TesTask), TesProblems))]
pub async fn show(
    State(app): State<Shared>,
    caller: TesCaller,
    path: Result<Path<String>, Failure>,
    query: Result<Params<ViewQuery>, Failure>,
) -> Result<Json<TesTask>, TesFailure> {
    let (Path(task), Params(query)) = (path?, query?);
    if task.ends_with(CANCEL) {
        return Err(TesFailure::not_allowed("POST"));
    }
    let view = view(query.view.as_deref())?;
    let (mut row, spec, mut kept) = found(&app, &caller, &task).await?;
    if view == View::Full {
        kept.fill(&spec);
    }
    let stopping = stopping(&app, vec![row.id]).await?[0];
    if row.ended_at.is_none() {
        // What was being stopped when the row was read may have ended since, and is stopped no more.
        (row, ..) = found(&app, &caller, &task).await?;
    }
    let attempts = attempts(&app, &row, &spec, view, Ask::Everybody).await?;
    let asks = view == View::Full && row.tasks_queued > 0 && attempts.is_empty();
    let reasons = if asks { super::jobs::waiting(&app, row.id).await? } else { Vec::new() };
    let waits = reasons.into_iter().map(|reason| reason.message).collect();
    Ok(Json(Told { waits, ..told(&row, stopping, &attempts) }.task(kept, view)))
}

fn told<'a>(
    row: &'a JobRow,
    stopping: crate::tes::told::Stopping,
    attempts: &'a [crate::tes::told::Attempt],
) -> Told<'a> {
    Told {
        id: row.id.to_string(),
        job: &row.state,
        stopping,
        created_at: row.submitted_at,
        attempts,
        waits: Vec::new(),
    }
}

/// Cancels a task. One that has ended stays as it is.
#[utoipa::path(post, path = "/ga4gh/tes/v1/tasks/{id}", tag = "GA4GH TES", operation_id = "tes_cancel_task",
    security(("token" = []), ("basic" = [])), params(("id" = String, Path)),
    responses((status = 200, body = TesCanceled), TesProblems))]
pub async fn cancel(
    State(app): State<Shared>,
    caller: TesCaller,
    path: Result<Path<String>, Failure>,
) -> Result<Json<TesCanceled>, TesFailure> {
    let Path(method) = path?;
    let task = method.strip_suffix(CANCEL).ok_or_else(|| TesFailure::not_allowed("GET, HEAD"))?;
    let (row, ..) = found(&app, &caller, task).await?;
    if row.ended_at.is_none() {
        let command = Command::Cancel { job: row.id, task: None };
        app.command(caller.caller.actor(), command).await?;
    }
    Ok(Json(TesCanceled {}))
}

/// Which tasks.
#[derive(Debug, Default, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListQuery {
    /// Whose name begins so.
    #[serde(default)]
    name_prefix: Option<String>,
    /// In this state.
    #[serde(default)]
    state: Option<TesState>,
    /// With this tag; repeated: with all of them.
    #[serde(default)]
    tag_key: Vec<String>,
    /// The values of those tags, in the same order; an empty one stands for any.
    #[serde(default)]
    tag_value: Vec<String>,
    /// How many, below 2,048; 256 unless told. There may be fewer although there are more pages.
    #[serde(default)]
    page_size: Option<u32>,
    /// The `next_page_token` of the page before.
    #[serde(default)]
    page_token: Option<String>,
    /// `MINIMAL` (unless told), `BASIC` or `FULL`.
    #[serde(default)]
    view: Option<String>,
}

impl ListQuery {
    /// From the pairs of a query. Names that the standard does not have are passed over, as are
    /// empty values.
    fn of(pairs: Vec<(String, String)>) -> Result<Self, Failure> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                // Also an empty one has its place.
                "tag_key" => query.tag_key.push(value),
                "tag_value" => query.tag_value.push(value),
                _ if value.is_empty() => {}
                "name_prefix" => query.name_prefix = Some(value),
                "page_token" => query.page_token = Some(value),
                "view" => query.view = Some(value),
                "state" => {
                    let state = serde_json::from_value(value.as_str().into()).map_err(|_| {
                        let title = format!("`{}` is no state", crate::tes::shown(&value));
                        Failure::invalid("tes.state", title, "ask for one that TES 1.1 has")
                    })?;
                    query.state = Some(state);
                }
                "page_size" => {
                    let size = value.parse().ok().filter(|size| (1..PAGE_BOUND).contains(size));
                    query.page_size = Some(size.ok_or_else(|| {
                        let title = format!("`{}` is no size of a page", crate::tes::shown(&value));
                        Failure::invalid("tes.page_size", title, "ask for 1 to 2047")
                    })?);
                }
                _ => {}
            }
        }
        if query.tag_value.len() > query.tag_key.len() {
            return Err(Failure::invalid(
                "tes.tags",
                "there are more values of tags than keys",
                "send a `tag_key` for each `tag_value`",
            ));
        }
        Ok(query)
    }

    /// Does a task fit, but for its state?
    fn takes(&self, task: &TesTask) -> bool {
        let name = task.name.as_deref().unwrap_or_default();
        let named = self.name_prefix.as_deref().is_none_or(|prefix| name.starts_with(prefix));
        named
            && self.tag_key.iter().enumerate().all(|(number, key)| {
                let found = task.tags.as_ref().and_then(|tags| tags.get(key));
                let wanted = self.tag_value.get(number).map_or("", String::as_str);
                let is = |value: &Option<String>| value.as_deref().unwrap_or_default() == wanted;
                found.is_some_and(|value| wanted.is_empty() || is(value))
            })
    }
}

/// Where a page begins has another name in the standard than in our own lists.
fn of_page_token(failure: Failure) -> Failure {
    if failure.0.code != "request.cursor" {
        return failure;
    }
    let title = "the `page_token` is not one that this list has given";
    Failure::invalid("request.cursor", title, "start again without it")
}

/// Tasks that you may see, the newest first.
#[utoipa::path(get, path = "/ga4gh/tes/v1/tasks", tag = "GA4GH TES", operation_id = "tes_list_tasks",
    security(("token" = []), ("basic" = [])), params(ListQuery),
    responses((status = 200, body = TesList), TesProblems))]
pub async fn list(
    State(app): State<Shared>,
    TesCaller { caller, .. }: TesCaller,
    pairs: Result<Params<Vec<(String, String)>>, Failure>,
) -> Result<Json<TesList>, TesFailure> {
    let Params(pairs) = pairs?;
    let query = ListQuery::of(pairs)?;
    let view = view(query.view.as_deref())?;
    let org = caller.scope(Resource::Job, Action::Read)?;
    let size = query.page_size.unwrap_or(PAGE_DEFAULT);
    let after = query.page_token.as_deref().map(str::parse).transpose();
    let mut after = after.map_err(|error| of_page_token(Failure::bad_cursor(error)))?;
    let mut tasks = Vec::new();
    let (mut scanned, mut bytes) = (0, 0);
    loop {
        let missing = size - u32::try_from(tasks.len()).unwrap_or(size);
        let limit = missing.min(SCANNED_MAX - scanned).min(ROWS_AT_ONCE);
        let filter = JobFilter { org, page: Paging { limit, after }, ..JobFilter::default() };
        let page = app.read(move |reader| reader.jobs(&filter)).await.map_err(of_page_token)?;
        scanned += limit;
        after = page.next;
        bytes +=
            page.rows.iter().filter_map(|row| row.doc.as_ref()).map(String::len).sum::<usize>();
        let rows = page.rows.into_iter().filter_map(|row| kept_of(&row).map(|kept| (row, kept)));
        let fits = rows.filter(|(_, (_, kept))| query.takes(&kept.task));
        let fits: Vec<_> = fits.collect();
        let stops = stopping(&app, fits.iter().map(|(row, _)| row.id).collect()).await?;
        for ((row, (spec, mut kept)), stopping) in fits.into_iter().zip(stops) {
            // The state first: what does not fit needs no logs.
            let known = attempts(&app, &row, &spec, View::Minimal, Ask::Kept).await?;
            let is = state(&row.state, stopping, &known);
            if query.state.is_some_and(|wanted| wanted != is) {
                continue;
            }
            let known = match view {
                View::Minimal => known,
                View::Basic | View::Full => attempts(&app, &row, &spec, view, Ask::Kept).await?,
            };
            if view == View::Full {
                kept.fill(&spec);
            }
            tasks.push(told(&row, stopping, &known).task(kept, view));
        }
        let full =
            tasks.len() >= size as usize || scanned >= SCANNED_MAX || bytes >= PAGE_BYTES_MAX;
        if after.is_none() || full {
            break;
        }
    }
    Ok(Json(TesList { tasks, next_page_token: after.map(|after| after.to_string()) }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn query(pairs: &[(&str, &str)]) -> Result<ListQuery, Failure> {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        ListQuery::of(pairs.iter().map(pair).collect())
    }

    #[test]
    fn tags_fit_as_the_standard_s_table_says() {
        let check = |filter: &[(&str, &str)], tags: serde_json::Value, expect: bool| {
            let task: TesTask =
                serde_json::from_value(json!({"tags": tags, "name": "align-1"})).expect("a task");
            let pairs: Vec<_> = filter
                .iter()
                .flat_map(|(key, value)| [("tag_key", *key), ("tag_value", *value)])
                .collect();
            let query = query(&pairs).expect("a query");
            assert_eq!(query.takes(&task), expect, "{filter:?} {tags}");
        };
        check(&[("foo", "bar")], json!({"foo": "bar"}), true);
        check(&[("foo", "bar")], json!({"foo": "bat"}), false);
        check(&[("foo", "")], json!({"foo": ""}), true);
        check(&[("foo", "bar"), ("baz", "bat")], json!({"foo": "bar", "baz": "bat"}), true);
        check(&[("foo", "bar")], json!({"foo": "bar", "baz": "bat"}), true);
        check(&[("foo", "bar"), ("baz", "bat")], json!({"foo": "bar"}), false);
        check(&[("foo", "")], json!({"foo": "bar"}), true);
        check(&[("foo", "")], json!({}), false);
        check(&[], json!(null), true);
    }

    #[test]
    fn queries() {
        let task: TesTask = serde_json::from_value(json!({"name": "align-1"})).expect("a task");
        for (prefix, expect) in [("align", true), ("", true), ("sort", false)] {
            let query = query(&[("name_prefix", prefix), ("unheard", "x")]).expect("a query");
            assert_eq!(query.takes(&task), expect, "{prefix}");
        }
        let good = query(&[("page_size", "2047"), ("state", "EXECUTOR_ERROR")]).expect("a query");
        assert_eq!(good.page_size, Some(2_047));
        assert_eq!(good.state, Some(TesState::ExecutorError));
        for bad in [
            [("page_size", "2048")],
            [("page_size", "0")],
            [("page_size", "x")],
            [("state", "DONE")],
            [("tag_value", "x")],
        ] {
            assert!(query(&bad).is_err(), "{bad:?}");
        }
    }
}
