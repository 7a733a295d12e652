//! The way to the exchange: HTTP requests with a time limit each, and what their failures mean.

use std::time::Duration;

use dayan_wire::socket::{self, NoSocket, Socket};
use dayan_wire::{
    AGENT_EXEC, AGENT_JOIN, AGENT_LOGS, AGENT_LOGS_KEPT, AGENT_PROBE, AGENT_SYNC, HEALTH,
    JoinAnswer, JoinRequest, Problem, SyncAnswer, SyncRequest,
};
use reqwest::{Client, ClientBuilder, Response, StatusCode};

use crate::fault::AgentFault;
use crate::gauge::LOOPBACK;
use crate::pin;

/// How long a connection may take to be made.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long a request may take beyond the time it asks to be held back: a server that recovers
/// from its journal answers late, one that is gone never. Together with the longest wait it stays
/// below what custody takes for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long one probe of throughput may take: 1 MiB at half a megabit a second. A slower link is not
/// measured.
const PROBE_WITHIN: Duration = Duration::from_secs(17);
/// The largest answer read: 20,000 orders of 1 KiB.
const ANSWER_BYTES_MAX: usize = 32 << 20;
/// What is shown of an answer that is no problem document.
const EXCERPT_CHARS_MAX: usize = 200;

/// Why a request was not answered as it should be.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum LinkFault {
    /// Not reached, or cut off; the exchange may have heard it.
    #[error("{0}")]
    Away(String),
    /// The exchange does not know the agent, or does not want it.
    #[error("{0}")]
    Refused(String),
    /// The exchange does not take this request.
    #[error("{0}")]
    Rejected(String),
    /// The answer makes no sense.
    #[error("{0}")]
    Garbage(String),
}

/// The way to one exchange.
pub(crate) struct Link {
    client: Client,
    /// For sockets: HTTP/1.1 only.
    sockets: Client,
    url: String,
}

impl Link {
    /// To the exchange at `url`, whose certificate has this fingerprint; plain HTTP without one.
    pub(crate) fn new(url: &str, fingerprint: Option<&str>) -> Result<Self, AgentFault> {
        // Something of ours or of a library may have installed one already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let url = url.trim_end_matches('/');
        let trusting = |builder: ClientBuilder| {
            match (fingerprint, url.starts_with("https://"), url.starts_with("http://")) {
                (Some(fingerprint), true, _) => {
                    let config = pin::client_config(fingerprint).map_err(AgentFault::Url)?;
                    Ok(builder.tls_backend_preconfigured(config))
                }
                // Without a pin: plain HTTP on a trusted way, or a certificate that the system's own
                // authorities vouch for, as behind a proxy.
                (None, _, true) | (None, true, _) => Ok(builder),
                (Some(_), false, _) => Err(AgentFault::Url(format!(
                    "{url}: the join token names a certificate, so the address begins with https://"
                ))),
                (None, false, false) => Err(AgentFault::Url(format!(
                    "{url}: an address of an exchange begins with http:// or https://"
                ))),
            }
        };
        let build = |more: fn(ClientBuilder) -> ClientBuilder| {
            let builder = Client::builder()
                .connect_timeout(CONNECT_WITHIN)
                .tcp_nodelay(true)
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none());
            let client = more(trusting(builder)?).build();
            client.map_err(|error| AgentFault::Url(describe(&error)))
        };
        let (client, sockets) = (build(|builder| builder)?, build(ClientBuilder::http1_only)?);
        Ok(Self { client, sockets, url: url.to_owned() })
    }

    /// Takes an invitation. The same request again is the same join, by the token in it.
    pub(crate) async fn join(&self, request: &JoinRequest) -> Result<JoinAnswer, LinkFault> {
        let sent = self
            .client
            .post(format!("{}{AGENT_JOIN}", self.url))
            .timeout(ANSWER_WITHIN)
            .json(request)
            .send();
        read(sent.await).await
    }

    /// A request to a path of the exchange; without a time limit yet.
    pub(crate) fn request(
        &self,
        method: reqwest::Method,
        path: &str,
        query: &[(&str, String)],
    ) -> reqwest::RequestBuilder {
        let address = format!("{}{path}", self.url);
        match reqwest::Url::parse_with_params(&address, query) {
            Ok(address) => self.client.request(method, address),
            // An address that cannot be read fails when it is sent, with its reason.
            Err(_) => self.client.request(method, address),
        }
    }

    /// Through what the way leads, as far as the address tells.
    pub(crate) fn layer(&self) -> &'static str {
        let host = reqwest::Url::parse(&self.url).ok();
        let host = host.as_ref().and_then(reqwest::Url::host_str).unwrap_or_default();
        let here = host == "localhost" || host.starts_with("127.") || host == "[::1]";
        if here { LOOPBACK } else { "internet" }
    }

    /// Is there an exchange at all?
    pub(crate) async fn knock(&self) -> Result<(), LinkFault> {
        let sent = self.client.get(format!("{}{HEALTH}", self.url)).timeout(ANSWER_WITHIN).send();
        let response = sent.await.map_err(|error| LinkFault::Away(describe(&error)))?;
        response.bytes().await.map_err(|error| LinkFault::Away(describe(&error)))?;
        Ok(())
    }

    /// What time it is there, in seconds since 1970, where its answer says so. Any answer is one.
    pub(crate) async fn clock(&self) -> Result<Option<i64>, LinkFault> {
        let sent = self.client.get(format!("{}{HEALTH}", self.url)).timeout(ANSWER_WITHIN).send();
        let response = sent.await.map_err(|error| LinkFault::Away(describe(&error)))?;
        let date = response.headers().get(reqwest::header::DATE).and_then(|at| at.to_str().ok());
        let date = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        Ok(date.map(|date| date.timestamp().as_second()))
    }

    /// Sends so many bytes that mean nothing.
    pub(crate) async fn give(&self, token: &str, bytes: Vec<u8>) -> Result<(), LinkFault> {
        let length = bytes.len();
        let sent = self
            .client
            .post(format!("{}{AGENT_PROBE}", self.url))
            .bearer_auth(token)
            .timeout(PROBE_WITHIN)
            .header("content-type", "application/octet-stream")
            .body(bytes)
            .send();
        let counted: usize = read(sent.await).await?;
        whole(length, counted)
    }

    /// Receives so many bytes that mean nothing.
    pub(crate) async fn take(&self, token: &str, bytes: usize) -> Result<(), LinkFault> {
        let sent = self
            .client
            .get(format!("{}{AGENT_PROBE}?bytes={bytes}", self.url))
            .bearer_auth(token)
            .timeout(PROBE_WITHIN)
            .send();
        let response = sent.await.map_err(|error| LinkFault::Away(describe(&error)))?;
        whole(bytes, body(checked(response).await?).await?.len())
    }

    /// The agent's one call.
    pub(crate) async fn sync(
        &self,
        token: &str,
        request: &SyncRequest,
    ) -> Result<SyncAnswer, LinkFault> {
        let wait = Duration::from_millis(u64::from(request.wait_ms));
        let sent = self
            .client
            .post(format!("{}{AGENT_SYNC}", self.url))
            .bearer_auth(token)
            .timeout(wait + ANSWER_WITHIN)
            .json(request)
            .send();
        read(sent.await).await
    }

    /// Answers an ask for a part of a log.
    pub(crate) async fn log(
        &self,
        token: &str,
        ask: u64,
        query: &[(&str, String)],
        bytes: Vec<u8>,
    ) -> Result<(), LinkFault> {
        let address = format!("{}{AGENT_LOGS}/{ask}", self.url);
        let address = reqwest::Url::parse_with_params(&address, query)
            .map_err(|error| LinkFault::Rejected(error.to_string()))?;
        let sent = self
            .client
            .post(address)
            .bearer_auth(token)
            .timeout(ANSWER_WITHIN)
            .header("content-type", "application/octet-stream")
            .body(bytes)
            .send();
        let response = sent.await.map_err(|error| LinkFault::Away(describe(&error)))?;
        checked(response).await.map(drop)
    }
}

impl Link {
    /// Comes for somebody who wants to run a command beside a task.
    pub(crate) async fn exec(&self, token: &str, ask: u64) -> Result<Socket, LinkFault> {
        let request =
            self.sockets.get(format!("{}{AGENT_EXEC}/{ask}", self.url)).bearer_auth(token);
        let opening = tokio::time::timeout(ANSWER_WITHIN, socket::open(request)).await;
        match opening {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(NoSocket::Unanswered(error))) => Err(LinkFault::Away(describe(&error))),
            Ok(Err(NoSocket::Refused(response))) => match checked(response).await {
                Ok(_) => Err(LinkFault::Garbage("an answer that is no socket".to_owned())),
                Err(fault) => Err(fault),
            },
            Err(_) => Err(LinkFault::Away("no answer".to_owned())),
        }
    }

    /// Hands over frames of logs that are kept.
    pub(crate) async fn kept_logs(&self, token: &str, frames: Vec<u8>) -> Result<(), LinkFault> {
        let sent = self
            .client
            .post(format!("{}{AGENT_LOGS_KEPT}", self.url))
            .bearer_auth(token)
            .timeout(ANSWER_WITHIN)
            .header("content-type", "application/octet-stream")
            .body(frames)
            .send();
        let response = sent.await.map_err(|error| LinkFault::Away(describe(&error)))?;
        checked(response).await.map(drop)
    }
}

fn whole(asked: usize, came: usize) -> Result<(), LinkFault> {
    if asked == came {
        return Ok(());
    }
    Err(LinkFault::Garbage(format!("{came} bytes of a probe with {asked}")))
}

pub(crate) async fn read<T: serde::de::DeserializeOwned>(
    sent: reqwest::Result<Response>,
) -> Result<T, LinkFault> {
    let response = sent.map_err(|error| LinkFault::Away(describe(&error)))?;
    let bytes = body(checked(response).await?).await?;
    serde_json::from_slice(&bytes).map_err(|error| {
        LinkFault::Garbage(format!("the answer is not what an exchange says: {error}"))
    })
}

async fn body(mut response: Response) -> Result<Vec<u8>, LinkFault> {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > ANSWER_BYTES_MAX => {
                return Err(LinkFault::Garbage(format!("more than {ANSWER_BYTES_MAX} bytes")));
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return Ok(bytes),
            Err(error) => return Err(LinkFault::Away(describe(&error))),
        }
    }
}

pub(crate) async fn checked(response: Response) -> Result<Response, LinkFault> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let bytes = body(response).await.unwrap_or_default();
    let said = match serde_json::from_slice::<Problem>(&bytes) {
        Ok(problem) if problem.advice.is_empty() => format!("{}: {}", problem.code, problem.title),
        Ok(problem) => format!("{}: {}; {}", problem.code, problem.title, problem.advice),
        Err(_) => {
            let text = String::from_utf8_lossy(&bytes);
            let excerpt: String = text.chars().take(EXCERPT_CHARS_MAX).collect();
            format!("{status} {}", excerpt.trim())
        }
    };
    Err(match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LinkFault::Refused(said),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => LinkFault::Away(said),
        // A full disk there does not grow by asking again.
        StatusCode::INSUFFICIENT_STORAGE => LinkFault::Rejected(said),
        status if status.is_client_error() => LinkFault::Rejected(said),
        _ => LinkFault::Away(said),
    })
}

/// An error with its causes: reqwest keeps the interesting part in the last of them.
pub(crate) fn describe(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = inner.source();
    }
    match text.find(pin::OTHER_CERTIFICATE) {
        Some(at) => text.split_off(at),
        None => text,
    }
}
