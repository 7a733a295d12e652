//! The way between an agent and the exchange, measured by the agent: bytes that mean nothing, there
//! and back. The round trip is measured with `/v1/health`.

use std::sync::OnceLock;

use axum::Json;
use axum::body::Bytes;
use axum::http::{StatusCode, header};
use dayan_wire::PROBE_BYTES_MAX;
use serde::Deserialize;

use super::Problems;
use super::extract::{CallingAgent, Params, Raw};
use crate::problem::Failure;

/// How many bytes.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ProbeQuery {
    /// So many; at most 8 MiB.
    #[serde(default)]
    #[param(maximum = 8_388_608)]
    bytes: u64,
}

fn too_many() -> Failure {
    Failure::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "probe.too_large",
        format!("a probe is at most {} MiB", PROBE_BYTES_MAX >> 20),
        "probe with less, more than once",
    )
}

/// What is handed out: the same for everyone, so that a probe takes no memory of its own.
fn noise() -> Bytes {
    static NOISE: OnceLock<Bytes> = OnceLock::new();
    NOISE.get_or_init(|| dayan_wire::noise(PROBE_BYTES_MAX).into()).clone()
}

/// Takes so many bytes from the exchange, to see how fast they come.
#[utoipa::path(get, path = "/v1/agent/probe", params(ProbeQuery),
    responses((status = 200, content_type = "application/octet-stream", body = String), Problems))]
pub async fn take(
    CallingAgent(_known): CallingAgent,
    Params(query): Params<ProbeQuery>,
) -> Result<([(header::HeaderName, &'static str); 2], Bytes), Failure> {
    let bytes = usize::try_from(query.bytes).ok().filter(|bytes| *bytes <= PROBE_BYTES_MAX);
    let bytes = bytes.ok_or_else(too_many)?;
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, noise().slice(..bytes)))
}

/// Gives bytes to the exchange, to see how fast they go; they are counted and dropped.
#[utoipa::path(post, path = "/v1/agent/probe",
    request_body(content = String, content_type = "application/octet-stream"),
    responses((status = 200, body = u64, content_type = "application/json", description = "How many came."), Problems))]
pub async fn give(
    CallingAgent(_known): CallingAgent,
    Raw(bytes): Raw,
) -> Result<Json<usize>, Failure> {
    if bytes.len() > PROBE_BYTES_MAX { Err(too_many()) } else { Ok(Json(bytes.len())) }
}
