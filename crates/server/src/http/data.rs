//! The data store for people and their programs: names listed, put, fetched, removed; uploads.
//!
//! Whoever may read an organisation's jobs may read its projects' data, whoever may submit may put,
//! whoever may cancel may remove.

use std::io::SeekFrom;
use std::sync::Arc;

use axum::Json;
use axum::body::Body as HttpBody;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dayan_exchange::{Action, Resource};
use dayan_spec::DataAddress;
use dayan_units::{ProjectId, Time};
use dayan_wire as wire;
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::Problems;
use super::extract::{Body, Caller, Params};
use crate::app::Shared;
use crate::data::{Content, DataFault, Depot, Named, Sha256};
use crate::problem::Failure;

/// Rows of one page of names.
const ROWS_DEFAULT: usize = 100;
/// The most of them.
const ROWS_MAX: usize = 1_000;
/// A file is read from the disk in pieces of this size.
const READ_BYTES: usize = 256 << 10;

impl From<DataFault> for Failure {
    fn from(fault: DataFault) -> Self {
        let title = fault.to_string();
        let (status, code, advice) = match &fault {
            DataFault::Unknown(_) => {
                (StatusCode::NOT_FOUND, "data.unknown", "`dayan data ls` lists what is there")
            }
            DataFault::Quota { .. } => (
                StatusCode::CONFLICT,
                "data.quota",
                "remove what is not needed with `dayan data rm`, or ask the operator for more \
                 (`dayan serve --data-per-project`)",
            ),
            DataFault::TooManyNames | DataFault::TooManyFiles(_) => (
                StatusCode::CONFLICT,
                "data.too_many_files",
                "put many small files into one archive",
            ),
            DataFault::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "data.too_large",
                "send as many bytes as were announced; cut larger files into parts",
            ),
            DataFault::DiskFull { .. } => (
                StatusCode::INSUFFICIENT_STORAGE,
                "data.disk_full",
                "ask the operator to make room on the exchange's disk",
            ),
            DataFault::Taken(_) => {
                (StatusCode::CONFLICT, "data.path_taken", "choose another name, or remove it first")
            }
            DataFault::NotHeld(_) => {
                (StatusCode::CONFLICT, "data.not_sent", "send the bytes first, then name them")
            }
            DataFault::NoUpload => (StatusCode::NOT_FOUND, "data.upload_unknown", "begin it again"),
            DataFault::Offset(_) => {
                (StatusCode::CONFLICT, "data.offset", "begin it again to learn how far it is")
            }
            DataFault::Busy => {
                (StatusCode::CONFLICT, "data.busy", "wait for the other request, or try again")
            }
            DataFault::Checksum(_) => (
                StatusCode::UNPROCESSABLE_ENTITY,
                "data.checksum",
                "the file may have changed meanwhile: send it again",
            ),
            DataFault::Cut => (StatusCode::BAD_REQUEST, "request.cut", "send on from where it was"),
            DataFault::Io { source, .. } if is_full(source.kind()) => (
                StatusCode::INSUFFICIENT_STORAGE,
                "data.disk_full",
                "ask the operator to make room on the exchange's disk",
            ),
            DataFault::Io { .. } => {
                tracing::error!(%fault, "the data store failed");
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "data.store",
                    "send the same request again in a moment",
                )
            }
        };
        Self::new(status, code, title, advice)
    }
}

/// Is there no more room for what was to be written: on the disk, within the user's quota, or within what
/// a file of this process may have?
const fn is_full(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

/// The store, if this exchange has one.
pub(super) fn depot(app: &Shared) -> Result<Arc<Depot>, Failure> {
    app.depot.clone().ok_or_else(|| {
        Failure::new(
            StatusCode::CONFLICT,
            "data.no_store",
            "this exchange keeps its books in PostgreSQL and has no folder for data",
            "ask its operator to start it with `--data-store DIR`, on storage that all its \
             servers share",
        )
    })
}

/// Work on the store, on a thread that may block.
pub(super) async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DataFault> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))??)
}

/// An address as a person wrote it.
pub(super) fn address(text: &str) -> Result<DataAddress, Failure> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        Failure::invalid(
            "data.address",
            format!("`{shown}` is not an address in the data store"),
            "write it like `dayan://studio-a/film-3/scenes/a.blend`; a project of more parts ends \
             with a double slash",
        )
    })
}

pub(super) fn digest(text: &str) -> Result<Sha256, Failure> {
    text.parse().map_err(|wanted| {
        Failure::invalid(
            "data.sha256",
            format!("a SHA-256 has {wanted}"),
            "send what `sha256sum` prints",
        )
    })
}

/// The project of an address, if the caller may do this to what is in it.
pub(super) async fn project(
    app: &Shared,
    caller: &Caller,
    path: &str,
    action: Action,
) -> Result<ProjectId, Failure> {
    // Whoever could not do it to its own hears that first.
    caller.scope(Resource::Job, action)?;
    let wanted = path.to_owned();
    let found = app
        .writer
        .ask(move |live| live.state.access.project_by_path(&wanted).map(|p| (p.id, p.org)))
        .await?;
    let (project, org) = found.ok_or_else(|| Failure::not_found("project", path))?;
    caller.may(Resource::Job, action, org, "project", path)?;
    Ok(project)
}

/// What a user is called where it gave a name.
pub(super) async fn called(app: &Shared, caller: &Caller) -> Result<String, Failure> {
    let user = caller.0.user;
    let name =
        app.writer.ask(move |live| live.state.access.users.get(&user).map(|u| u.name.clone()));
    Ok(name.await?.unwrap_or_else(|| user.to_string()))
}

fn entry(address: &DataAddress, named: &Named) -> wire::DataEntry {
    wire::DataEntry {
        address: address.to_string(),
        size: named.size,
        sha256: named.sha256.to_string(),
        at: Time::from_micros(named.at).to_string(),
        by: named.by.clone(),
        executable: named.executable,
    }
}

/// Which names.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Names that begin with this address.
    address: String,
    /// How many rows, at most 1,000; 100 unless told.
    #[serde(default)]
    limit: Option<u32>,
    /// The `next` of the page before.
    #[serde(default)]
    after: Option<String>,
}

/// Files of a project, by name.
#[utoipa::path(get, path = "/v1/data", params(ListQuery),
    responses((status = 200, body = wire::Page<wire::DataEntry>), Problems))]
pub async fn list(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<ListQuery>,
) -> Result<Json<wire::Page<wire::DataEntry>>, Failure> {
    let depot = depot(&app)?;
    let wanted = address(&query.address)?;
    let project = project(&app, &caller, wanted.project().as_str(), Action::Read).await?;
    let limit = query.limit.map_or(ROWS_DEFAULT, |rows| rows as usize).clamp(1, ROWS_MAX);
    let prefix = wanted.path().to_owned();
    let after = query.after;
    let (rows, more) =
        on_disk(move || Ok(depot.list(project, &prefix, after.as_deref(), limit))).await?;
    let next = rows.last().filter(|_| more).map(|(path, _)| path.clone());
    let items = rows.iter().filter_map(|(path, named)| {
        let address = DataAddress::new(wanted.project().clone(), path)?;
        Some(entry(&address, named))
    });
    Ok(Json(wire::Page { items: items.collect(), next }))
}

/// An address.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AddressQuery {
    /// `dayan://organisation/project/path`.
    address: String,
}

/// What a project keeps, and may keep.
#[utoipa::path(get, path = "/v1/data/use", params(AddressQuery),
    responses((status = 200, body = wire::DataUse), Problems))]
pub async fn kept(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<AddressQuery>,
) -> Result<Json<wire::DataUse>, Failure> {
    let depot = depot(&app)?;
    let wanted = address(&query.address)?;
    let path = wanted.project().as_str();
    let project = project(&app, &caller, path, Action::Read).await?;
    let kept = on_disk(move || Ok(depot.kept(project))).await?;
    Ok(Json(wire::DataUse {
        project: path.to_owned(),
        files: kept.files,
        bytes: kept.bytes,
        bytes_max: kept.bytes_max,
    }))
}

/// Begins an upload, or says how far it is. Bytes that the project has are not sent again.
#[utoipa::path(post, path = "/v1/data/uploads", request_body = wire::NewUpload,
    responses((status = 200, body = wire::UploadState), Problems))]
pub async fn begin(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewUpload>,
) -> Result<Json<wire::UploadState>, Failure> {
    let depot = depot(&app)?;
    let wanted = address(&new.address)?;
    let sha256 = digest(&new.sha256)?;
    let project = project(&app, &caller, wanted.project().as_str(), Action::Create).await?;
    let state = on_disk(move || depot.begin(project, sha256, new.size)).await?;
    Ok(Json(upload_state(sha256, state)))
}

pub(super) fn upload_state(sha256: Sha256, state: crate::data::Append) -> wire::UploadState {
    wire::UploadState { upload: sha256.to_string(), offset: state.offset, done: state.done }
}

/// Where a part of an upload belongs.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PartQuery {
    /// An address in the project.
    address: String,
    /// The bytes' SHA-256, which is what the upload is called.
    sha256: String,
    /// Where this part begins: as many bytes as are there.
    #[serde(default)]
    offset: u64,
}

/// Sends a part of an upload. After the last one the whole is checked.
#[utoipa::path(patch, path = "/v1/data/uploads", params(PartQuery),
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = wire::UploadState), Problems))]
pub async fn append(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<PartQuery>,
    body: HttpBody,
) -> Result<Json<wire::UploadState>, Failure> {
    let depot = depot(&app)?;
    let wanted = address(&query.address)?;
    let sha256 = digest(&query.sha256)?;
    let project = project(&app, &caller, wanted.project().as_str(), Action::Create).await?;
    let stream = body.into_data_stream();
    let state = depot.append(project, sha256, query.offset, stream, app.now()).await?;
    Ok(Json(upload_state(sha256, state)))
}

/// Gives bytes that were sent a name, in the place of what had it.
#[utoipa::path(put, path = "/v1/data", request_body = wire::NewEntry,
    responses((status = 200, body = wire::DataEntry), Problems))]
pub async fn name(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewEntry>,
) -> Result<Json<wire::DataEntry>, Failure> {
    let depot = depot(&app)?;
    let wanted = address(&new.address)?;
    if wanted.is_folder() {
        return Err(Failure::invalid(
            "data.folder",
            format!("`{wanted}` is a folder"),
            "name a file: write its name behind the slash",
        ));
    }
    let content = Content { sha256: digest(&new.sha256)?, executable: new.executable };
    let project = project(&app, &caller, wanted.project().as_str(), Action::Create).await?;
    let (by, at, path) = (called(&app, &caller).await?, app.now(), wanted.path().to_owned());
    let named = on_disk(move || depot.name(project, &path, content, &by, at)).await?;
    Ok(Json(entry(&wanted, &named)))
}

/// A file's bytes. `Range: bytes=N-` reads on from there.
#[utoipa::path(get, path = "/v1/data/content", params(AddressQuery),
    responses((status = 200, content_type = "application/octet-stream"),
        (status = 206, content_type = "application/octet-stream"), Problems))]
pub async fn content(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<AddressQuery>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let depot = depot(&app)?;
    let wanted = address(&query.address)?;
    let project = project(&app, &caller, wanted.project().as_str(), Action::Read).await?;
    let (store, path) = (depot.clone(), wanted.path().to_owned());
    let named = on_disk(move || Ok(store.file(project, &path))).await?;
    let named = named.ok_or_else(|| DataFault::Unknown(wanted.to_string()))?;
    send(&depot, named.sha256, named.size, &headers).await
}

/// Removes a file, or all below a folder.
#[utoipa::path(delete, path = "/v1/data", params(AddressQuery),
    responses((status = 200, body = u64, content_type = "application/json", description = "How many files."), Problems))]
pub async fn remove(
    State(app): State<Shared>,
    caller: Caller,
    Params(query): Params<AddressQuery>,
) -> Result<Json<usize>, Failure> {
    let depot = depot(&app)?;
    let wanted = address(&query.address)?;
    let project = project(&app, &caller, wanted.project().as_str(), Action::Delete).await?;
    let path = wanted.path().to_owned();
    Ok(Json(on_disk(move || depot.remove(project, &path)).await?))
}

/// From where a client wants bytes. More than one range is answered with the whole, as the standard
/// allows.
fn range_from(headers: &HeaderMap, size: u64) -> Result<Option<u64>, Failure> {
    let text = headers.get(header::RANGE).and_then(|range| range.to_str().ok());
    let from = text.and_then(|text| text.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    match from {
        Some(from) if from > size => Err(Failure::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "data.range",
            format!("the file has {size} bytes"),
            "fetch it from the beginning",
        )),
        other => Ok(other),
    }
}

/// Streams a blob.
pub(super) async fn send(
    depot: &Depot,
    sha256: Sha256,
    size: u64,
    headers: &HeaderMap,
) -> Result<Response, Failure> {
    let from = range_from(headers, size)?;
    let path = depot.blob(sha256);
    let failed = |source: std::io::Error| {
        if source.kind() == std::io::ErrorKind::NotFound {
            tracing::error!(%sha256, "bytes that have a name are not in the data store");
        }
        DataFault::Io { doing: format!("reading {}", path.display()), source }
    };
    let mut file = tokio::fs::File::open(&path).await.map_err(failed)?;
    if let Some(from) = from {
        file.seek(SeekFrom::Start(from)).await.map_err(failed)?;
    }
    let stream = futures_util::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; READ_BYTES];
        let read = file.read(&mut piece).await?;
        piece.truncate(read);
        let more = (read > 0).then(|| (axum::body::Bytes::from(piece), file));
        Ok::<_, std::io::Error>(more)
    });
    let begin = from.unwrap_or(0);
    let mut response = HttpBody::from_stream(stream).into_response();
    let head = response.headers_mut();
    let text = |text: String| header::HeaderValue::from_str(&text).expect("digits and letters");
    head.insert(header::CONTENT_TYPE, text("application/octet-stream".to_owned()));
    head.insert(header::CONTENT_LENGTH, text((size - begin).to_string()));
    head.insert(header::ACCEPT_RANGES, text("bytes".to_owned()));
    head.insert(header::ETAG, text(format!("\"{sha256}\"")));
    if from.is_some() && begin < size {
        let range = format!("bytes {begin}-{}/{size}", size - 1);
        head.insert(header::CONTENT_RANGE, text(range));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}
