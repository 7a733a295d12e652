//! Speaks HTTP to an exchange: one request, its time limits, its retries, its refusals.
//!
//! Invariant: only what may be repeated is repeated; every wait has a named limit; a token goes to
//! the address it belongs to and nowhere else (no redirect is followed). Must not know commands or
//! how answers are shown.

mod api;
mod data;
mod tls;

use std::time::Duration;

use dayan_wire::socket::{self, NoSocket, Socket};
use dayan_wire::{Page, Problem};
use reqwest::header::{ACCEPT, ACCEPT_LANGUAGE, CONTENT_TYPE, HeaderMap, RANGE, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::config::Target;
use crate::exit::{Failure, Said};
use crate::words::{Lang, Word};

pub use api::{JobFilter, Order};
pub use tls::{Fingerprint, install_provider};

/// To reach the server: a lost SYN is sent again after 1 s and 3 s, so two losses are survived.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// For a whole answer. The server answers within a second; a store that is away makes it say 503
/// long before this.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// For answers that read everything there is: a check of the books, the journal, a backup.
const LONG_TIMEOUT: Duration = Duration::from_hours(1);
/// How often something repeatable is tried.
const TRIES: u32 = 4;
/// Before the second try; doubled for each further one: 0.2 + 0.4 + 0.8 s in all.
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
/// The longest a server can make us wait before a further try.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
/// The largest answer that is read: an invoice of a month with 100,000 lines is about 40 MB.
const ANSWER_BYTES_MAX: usize = 256 << 20;
/// How much of an answer that is no JSON is shown.
const STRANGE_ANSWER_CHARS: usize = 120;
/// Rows asked for at a time.
const PAGE_ROWS: usize = 500;
/// Rows of a list that are read at most; who wants more uses the API's paging.
pub const LIST_ROWS_MAX: usize = 20_000;

/// May the same request be sent twice?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Repeat {
    /// It reads, or carries a key that makes a second one harmless.
    Safe,
    /// A second one would do a second thing.
    Never,
}

/// How long an answer may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// [`ANSWER_TIMEOUT`].
    Usual,
    /// [`LONG_TIMEOUT`].
    Long,
}

/// What goes out with a request.
#[derive(Clone, Debug)]
pub enum Body {
    /// Nothing.
    Empty,
    /// A JSON value.
    Json(Vec<u8>),
    /// A job file, as it is.
    JobFile(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Body {
    /// A value as JSON.
    pub fn json(value: &impl Serialize) -> Self {
        Self::Json(serde_json::to_vec(value).expect("wire types have text keys"))
    }
}

/// One request. Segments are escaped here, so no text of a user can leave its place in the path.
#[derive(Debug)]
pub struct Ask<'a> {
    method: Method,
    path: Vec<&'a str>,
    query: Vec<(&'static str, String)>,
    body: Body,
    repeat: Repeat,
    patience: Patience,
}

impl<'a> Ask<'a> {
    /// Reads.
    pub fn get(path: &[&'a str]) -> Self {
        Self::new(Method::GET, path, Repeat::Safe)
    }
    /// Does something.
    pub fn post(path: &[&'a str]) -> Self {
        Self::new(Method::POST, path, Repeat::Never)
    }
    /// Sets something to a value.
    pub fn put(path: &[&'a str]) -> Self {
        Self::new(Method::PUT, path, Repeat::Safe)
    }
    /// Adds a part to something; which part stands in the query, so that a second one is refused.
    pub fn patch(path: &[&'a str]) -> Self {
        Self::new(Method::PATCH, path, Repeat::Never)
    }
    /// Ends something.
    pub fn delete(path: &[&'a str]) -> Self {
        Self::new(Method::DELETE, path, Repeat::Safe)
    }
    fn new(method: Method, path: &[&'a str], repeat: Repeat) -> Self {
        let (query, body) = (Vec::new(), Body::Empty);
        Self { method, path: path.to_vec(), query, body, repeat, patience: Patience::Usual }
    }
    /// With a query value.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }
    /// With a query value, if there is one.
    #[must_use]
    pub fn with_some(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
    /// With a body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
    /// Although it is a POST, a second one is harmless.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.repeat = Repeat::Safe;
        self
    }
    /// It may take long.
    #[must_use]
    pub fn patiently(mut self) -> Self {
        self.patience = Patience::Long;
        self
    }
}

/// A good answer.
#[derive(Debug)]
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub bytes: Vec<u8>,
}

/// A list as it comes: paged, or whole where it cannot be long.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Rows<T> {
    Page(Page<T>),
    All(Vec<T>),
}

/// A connection to one exchange.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// For sockets: HTTP/1.1 only.
    sockets: reqwest::Client,
    target: Target,
    lang: Lang,
}

/// Why one try came to nothing, and whether a further one may help.
enum Miss {
    Final(Failure),
    Again(Failure, Option<Duration>),
}

impl Client {
    /// For a target; nothing is sent yet.
    pub fn new(target: Target, lang: Lang) -> Result<Self, Failure> {
        let build = |more: fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder| {
            let mut builder = reqwest::Client::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .user_agent(concat!("dayan/", env!("CARGO_PKG_VERSION")));
            if let Some(expected) = target.fingerprint {
                builder = builder.tls_backend_preconfigured(tls::pinned(Fingerprint(expected)));
            }
            if is_loopback(&target.url) {
                // A proxy cannot reach what only this machine sees.
                builder = builder.no_proxy();
            }
            let built = more(builder).build();
            built.map_err(|error| Failure::local(Said::plain(Word::PreparingTls), chain(&error)))
        };
        let http = build(|builder| builder)?;
        let sockets = build(reqwest::ClientBuilder::http1_only)?;
        Ok(Self { http, sockets, target, lang })
    }

    /// Whom it speaks to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// In which language it is spoken to us.
    pub fn lang(&self) -> Lang {
        self.lang
    }

    /// Sends a request, again where that is safe, and gives back a good answer.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer, Failure> {
        let url = self.address(&ask);
        let mut tried = 1;
        loop {
            let (failure, wait) = match self.once(&ask, url.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(Miss::Final(failure)) => return Err(failure),
                Err(Miss::Again(failure, wait)) => (failure, wait),
            };
            if ask.repeat == Repeat::Never || tried >= TRIES {
                return Err(failure);
            }
            let backoff = FIRST_BACKOFF * 2u32.pow(tried - 1);
            // Up to half as long again, so that a hundred waiting scripts do not come back as one.
            let jitter = backoff.mul_f64(rand::random::<f64>() / 2.0);
            tokio::time::sleep(wait.map_or(backoff + jitter, |w| w.min(RETRY_AFTER_MAX))).await;
            tried += 1;
        }
    }

    /// Sends a request and reads the answer as JSON.
    pub async fn json<T: DeserializeOwned>(&self, ask: Ask<'_>) -> Result<T, Failure> {
        let answer = self.send(ask).await?;
        serde_json::from_slice(&answer.bytes).map_err(|error| self.strange(&error.to_string()))
    }

    /// Sends a request whose answer says nothing.
    pub async fn done(&self, ask: Ask<'_>) -> Result<(), Failure> {
        self.send(ask).await.map(drop)
    }

    /// Reads a list, page by page, up to so many rows.
    pub async fn list<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &[(&'static str, Option<String>)],
        rows_max: usize,
    ) -> Result<Vec<T>, Failure> {
        let mut rows: Vec<T> = Vec::new();
        let mut after: Option<String> = None;
        while rows.len() < rows_max {
            let mut ask = Ask::get(path)
                .with("limit", PAGE_ROWS.min(rows_max - rows.len()).to_string())
                .with_some("after", after.clone());
            for (name, value) in query {
                ask = ask.with_some(name, value.clone());
            }
            let page = match self.json(ask).await? {
                Rows::Page(page) => page,
                Rows::All(items) => Page { items, next: None },
            };
            let ended = page.items.is_empty();
            rows.extend(page.items);
            // A server that sends us round in a circle is not followed.
            if ended || page.next.is_none() || page.next == after {
                break;
            }
            after = page.next;
        }
        rows.truncate(rows_max);
        Ok(rows)
    }

    /// Opens a socket.
    pub async fn socket(&self, ask: Ask<'_>) -> Result<Socket, Failure> {
        let mut request = self.sockets.get(self.address(&ask));
        request = request.header(ACCEPT_LANGUAGE, self.lang.tag());
        if let Some(token) = &self.target.token {
            request = request.bearer_auth(token);
        }
        match tokio::time::timeout(ANSWER_TIMEOUT, socket::open(request)).await {
            Ok(Ok(socket)) => Ok(socket),
            Ok(Err(NoSocket::Unanswered(error))) => Err(self.unreachable(&error)),
            Ok(Err(NoSocket::Refused(response))) => {
                let status = response.status();
                match self.read_all(response).await {
                    Ok(bytes) => Err(self.refusal(status, &bytes)),
                    Err(Miss::Final(failure) | Miss::Again(failure, _)) => Err(failure),
                }
            }
            Err(_) => Err(self.strange("no answer")),
        }
    }

    /// Begins to read bytes from a place on, as they come; the answer is good, and what is made of it
    /// is the caller's affair.
    pub async fn stream(&self, ask: &Ask<'_>, from: u64) -> Result<reqwest::Response, Failure> {
        let mut request = self.http.request(ask.method.clone(), self.address(ask));
        request = request.header(RANGE, format!("bytes={from}-"));
        if let Some(token) = &self.target.token {
            request = request.bearer_auth(token);
        }
        let sent = tokio::time::timeout(ANSWER_TIMEOUT, request.send()).await;
        let late = |_| Failure::Unreachable {
            url: self.target.url.to_string(),
            why: self.lang.word(Word::NoAnswerInTime).to_owned(),
            advice: None,
        };
        let response = sent.map_err(late)?.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        match self.read_all(response).await {
            Ok(bytes) => Err(self.refusal(status, &bytes)),
            Err(Miss::Final(failure) | Miss::Again(failure, _)) => Err(failure),
        }
    }

    fn address(&self, ask: &Ask<'_>) -> Url {
        let mut url = self.target.url.clone();
        url.path_segments_mut()
            .expect("http and https addresses have paths")
            .pop_if_empty()
            .push("v1")
            .extend(&ask.path);
        if !ask.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&ask.query);
        }
        url
    }

    async fn once(&self, ask: &Ask<'_>, url: Url) -> Result<Answer, Miss> {
        let timeout = match ask.patience {
            Patience::Usual => ANSWER_TIMEOUT,
            Patience::Long => LONG_TIMEOUT,
        };
        let mut request = self
            .http
            .request(ask.method.clone(), url)
            .timeout(timeout)
            .header(ACCEPT, "application/json, */*;q=0.5")
            .header(ACCEPT_LANGUAGE, self.lang.tag());
        if let Some(token) = &self.target.token {
            request = request.bearer_auth(token);
        }
        request = match &ask.body {
            Body::Empty => request,
            Body::Json(json) => request.header(CONTENT_TYPE, "application/json").body(json.clone()),
            Body::JobFile(text) => {
                let is_json = text.trim_start().starts_with('{');
                let kind = if is_json { "application/json" } else { "application/yaml" };
                request.header(CONTENT_TYPE, kind).body(text.clone())
            }
            Body::Bytes(bytes) => {
                request.header(CONTENT_TYPE, "application/octet-stream").body(bytes.clone())
            }
        };
        let response =
            request.send().await.map_err(|error| Miss::Again(self.unreachable(&error), None))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = self.read_all(response).await?;
        if status.is_success() {
            return Ok(Answer { headers, bytes });
        }
        let failure = self.refusal(status, &bytes);
        // The server has waited for the site already.
        let waited =
            matches!(&failure, Failure::Refused(problem) if problem.code.ends_with(".site_silent"));
        match status.as_u16() {
            _ if waited => Err(Miss::Final(failure)),
            429 | 502..=504 => Err(Miss::Again(failure, retry_after(&headers))),
            _ => Err(Miss::Final(failure)),
        }
    }

    async fn read_all(&self, mut response: reqwest::Response) -> Result<Vec<u8>, Miss> {
        let mut bytes = Vec::new();
        let broken = |error: reqwest::Error| Miss::Again(self.unreachable(&error), None);
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                let why = format!("more than {} MiB in one answer", ANSWER_BYTES_MAX >> 20);
                return Err(Miss::Final(self.strange(&why)));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// What the server said, or what we make of an answer that is no problem document: a proxy's
    /// page, another program on the port.
    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> Failure {
        if let Ok(problem) = serde_json::from_slice::<Problem>(bytes) {
            // The status line decides the exit code, not what the body claims about it.
            return Failure::Refused(Box::new(Problem { status: status.as_u16(), ..problem }));
        }
        let text = String::from_utf8_lossy(bytes);
        let start: String = text.chars().take(STRANGE_ANSWER_CHARS).collect();
        self.strange(crate::exit::one_line(&format!("HTTP {status} {start}")).trim_end())
    }

    fn strange(&self, why: &str) -> Failure {
        Failure::NotAnExchange { url: self.target.url.to_string(), why: why.to_owned() }
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() && !error.is_connect() {
            self.lang.word(Word::NoAnswerInTime).to_owned()
        } else {
            chain(error)
        };
        let advice = tls::advice(&why, self.target.url.scheme());
        Failure::Unreachable { url: self.target.url.to_string(), why, advice }
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An error with its sources: the outermost only says that sending failed.
fn chain(error: &dyn std::error::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(source) = next {
        let text = source.to_string();
        // Some layers repeat what the one below them says.
        if !parts.iter().any(|said| said.contains(&text)) {
            parts.push(text);
        }
        next = source.source();
    }
    if parts.is_empty() { error.to_string() } else { parts.join(": ") }
}

/// Is it this machine?
pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests;
