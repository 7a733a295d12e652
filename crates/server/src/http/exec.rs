//! Commands beside running tasks: a socket of who asked and a socket of the agent, and what comes
//! in at one goes out at the other.
//!
//! Who may is decided by the exchange and written down there; what they say to each other is not
//! read here.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use dayan_exchange::{Command, Made};
use dayan_units::{AgentId, AttemptId, JobId};
use dayan_wire::exec::{ExecEnd, MESSAGE_BYTES_MAX};
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use serde::Deserialize;

use super::Problems;
use super::access::unexpected;
use super::extract::{Caller, CallingAgent, Params, Path, id};
use crate::app::Shared;
use crate::problem::Failure;

/// How long an agent may take to come; its own call is woken at once.
const AGENT_WITHIN: Duration = Duration::from_secs(15);
/// A side that takes nothing for so long is gone.
const TAKE_WITHIN: Duration = Duration::from_mins(1);

/// A request that wants to become a socket.
pub(super) struct Socket(WebSocketUpgrade);

impl FromRequestParts<Shared> for Socket {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, app: &Shared) -> Result<Self, Failure> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, app).await;
        let upgrade = upgrade.map_err(|rejection| {
            Failure::new(
                StatusCode::UPGRADE_REQUIRED,
                "request.upgrade",
                rejection.body_text(),
                "use `dayan exec`, or a client of web sockets over HTTP/1.1",
            )
        })?;
        Ok(Self(upgrade.max_message_size(MESSAGE_BYTES_MAX).max_frame_size(MESSAGE_BYTES_MAX)))
    }
}

/// Beside which task.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExecQuery {
    /// The task; 0 unless told.
    #[serde(default)]
    task: u32,
}

/// Runs a command beside a running task, over a web socket. The first message says which, as text;
/// then bytes travel as binary messages whose first byte is a channel: 0 to the command, 1 and 2
/// from it. The last message says how it ended.
#[utoipa::path(get, path = "/v1/jobs/{id}/exec", params(("id" = String, Path), ExecQuery),
    responses((status = 101, description = "A web socket."),
        (status = 426, description = "It is no web socket.", body = dayan_wire::Problem,
            content_type = "application/problem+json"), Problems))]
pub(super) async fn client(
    State(app): State<Shared>,
    caller: Caller,
    Path(job): Path<String>,
    Params(query): Params<ExecQuery>,
    socket: Result<Socket, Failure>,
) -> Result<Response, Failure> {
    let job: JobId = id("job", &job)?;
    let Socket(upgrade) = socket?;
    let made = app.command(caller.actor(), Command::Enter { job, task: query.task }).await?;
    let Made::Entrance(agent, attempt) = made else { return Err(unexpected()) };
    Ok(upgrade.on_upgrade(move |socket| meet(app, socket, agent, attempt)).into_response())
}

async fn meet(app: Shared, mut client: WebSocket, agent: AgentId, attempt: AttemptId) {
    let refused = |code: &str, message: &str| {
        let (code, message) = (code.to_owned(), message.to_owned());
        let end = ExecEnd::Refused { code, message };
        Message::text(serde_json::to_string(&end).expect("texts become JSON"))
    };
    let Some((ask, coming)) = app.hub.ask_exec(agent, attempt) else {
        let busy = refused("exec.busy", "too many wait for a site; try again in a moment");
        drop(client.send(busy).await);
        return;
    };
    let Ok(Ok(site)) = tokio::time::timeout(AGENT_WITHIN, coming).await else {
        app.hub.drop_exec(ask);
        let silent = refused("exec.site_silent", "the site that runs it does not answer");
        drop(client.send(silent).await);
        return;
    };
    tokio::select! {
        () = relay(client, site) => {}
        () = app.hub.closed() => {}
    }
}

/// An agent comes for who asked.
#[utoipa::path(get, path = "/v1/agent/exec/{ask}", params(("ask" = u64, Path)),
    responses((status = 101, description = "A web socket."),
        (status = 426, description = "It is no web socket.", body = dayan_wire::Problem,
            content_type = "application/problem+json"), Problems))]
pub(super) async fn agent(
    State(app): State<Shared>,
    CallingAgent(known): CallingAgent,
    Path(ask): Path<String>,
    socket: Result<Socket, Failure>,
) -> Result<Response, Failure> {
    let ask: u64 = id("ask", &ask)?;
    let Socket(upgrade) = socket?;
    if !app.hub.awaits_exec(known.agent, ask) {
        return Err(Failure::not_found("ask", &ask.to_string()));
    }
    Ok(upgrade.on_upgrade(async move |socket| app.hub.exec_joined(ask, socket)).into_response())
}

/// Passes on what comes until one of them leaves. Each way has a loop of its own: a command that
/// waits to be heard may be what keeps it from listening.
async fn relay(client: WebSocket, site: WebSocket) {
    let (to_client, from_client) = client.split();
    let (to_site, from_site) = site.split();
    tokio::select! {
        () = pass_on(from_client, to_site) => {}
        () = pass_on(from_site, to_client) => {}
    }
}

async fn pass_on(mut from: SplitStream<WebSocket>, mut to: SplitSink<WebSocket, Message>) {
    while let Some(Ok(message)) = from.next().await {
        match message {
            Message::Text(_) | Message::Binary(_) => {
                let taken = tokio::time::timeout(TAKE_WITHIN, to.send(message)).await;
                if !matches!(taken, Ok(Ok(()))) {
                    return;
                }
            }
            // The library answers them.
            Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => break,
        }
    }
    // Both sides learn that it is over, however this one ended.
    drop(tokio::time::timeout(TAKE_WITHIN, to.close()).await);
}
