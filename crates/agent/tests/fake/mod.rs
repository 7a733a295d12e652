//! A small exchange for tests: it leases, grants, forgets and holds syncs back as the real one
//! does, and can be told to misbehave.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up fails at once")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as UrlPath, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dayan_agent::{AgentConfig, AgentFault, EngineChoice, Measuring};
use dayan_units::{AttemptId, JobId, MilliCpu, Resources};
use dayan_wire::logs::{LogStream, frames, unpack};
use dayan_wire::{
    JoinAnswer, JoinRequest, LeaseOrder, LogAsk, Outcome, PoolShown, Seen, SyncAnswer, SyncRequest,
    UploadState, UsageRecord,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

pub const TOKEN: &str = "agent-secret";
/// Everything in these tests happens within moments; on a busy machine within this time.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// What the exchange does with one sync.
#[derive(Clone, Debug)]
pub enum Trick {
    /// Hears it and cuts the connection.
    LoseAnswer,
    /// Does not hear it.
    LoseRequest,
    /// Answers so.
    Say(StatusCode, String),
    /// Hears it and answers what it answered before.
    Repeat,
}

#[derive(Default)]
pub struct Books {
    pub revision: u64,
    pub leases: BTreeMap<AttemptId, (LeaseOrder, u64)>,
    pub seen: BTreeMap<AttemptId, Vec<Seen>>,
    pub ended: BTreeMap<AttemptId, Outcome>,
    pub asked_to_publish: BTreeSet<AttemptId>,
    pub usage: BTreeMap<AttemptId, Vec<UsageRecord>>,
    pub signed: Vec<(String, String)>,
    pub connections: u64,
    pub syncs: u64,
    pub newest: u64,
    pub tricks: VecDeque<Trick>,
    pub answers: Vec<SyncAnswer>,
    pub asks: Vec<LogAsk>,
    pub logs: BTreeMap<u64, (BTreeMap<String, String>, Vec<u8>)>,
    /// Frames that were handed over: whose, of which stream, where, and what was written.
    pub kept: Vec<(AttemptId, Option<LogStream>, u64, Vec<u8>)>,
    /// So many times the next logs are not taken.
    pub keeps_nothing: u32,
    pub joins: Vec<JoinRequest>,
    pub shown: Vec<PoolShown>,
    pub digests: BTreeSet<String>,
    pub challenge: Option<String>,
    pub challenge_answers: Vec<(String, String)>,
    pub measured: Vec<dayan_measure::Measurement>,
    pub site_counts: Vec<dayan_wire::SiteCounted>,
    pub grants: bool,
    pub refuse_joins: bool,
    /// The joins of this pool are refused.
    pub refuses_pool: Option<String>,
    /// How many joins were refused.
    pub refused_joins: usize,
    /// So many joins are taken and not answered.
    pub lose_joins: u32,
    pub usage_every_ms: u32,
    /// Leased one by one as others end.
    pub backlog: VecDeque<LeaseOrder>,
    /// What the data store says to everything; none: it takes nothing that it is sent, and has it all.
    pub data_refuses: Option<(StatusCode, &'static str)>,
    /// What it says to a publication.
    pub publish_refuses: Option<(StatusCode, &'static str)>,
    /// What secrets say, by name.
    pub secrets: BTreeMap<String, String>,
    /// How many files were begun to be sent.
    pub begun: usize,
}

struct Shared {
    books: Mutex<Books>,
    changed: Notify,
}

#[derive(Clone)]
pub struct Exchange {
    shared: Arc<Shared>,
    server: Arc<Mutex<Option<JoinHandle<()>>>>,
    address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
    pub fingerprint: Option<String>,
}

impl Exchange {
    pub async fn plain() -> Self {
        Self::open(None, None).await
    }

    /// With a certificate of its own making.
    pub async fn with_tls() -> Self {
        use sha2::{Digest, Sha256};
        let made = rcgen::generate_simple_self_signed(vec!["exchange.test".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let fingerprint = hex::encode(Sha256::digest(&certificate));
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.unwrap())
            .unwrap();
        Self::open(Some(Arc::new(config)), Some(fingerprint)).await
    }

    async fn open(tls: Option<Arc<rustls::ServerConfig>>, fingerprint: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let books = Books { grants: true, usage_every_ms: 300, ..Books::default() };
        let exchange = Self {
            shared: Arc::new(Shared { books: Mutex::new(books), changed: Notify::new() }),
            server: Arc::default(),
            address: listener.local_addr().unwrap(),
            tls,
            fingerprint,
        };
        exchange.listen(listener);
        exchange
    }

    fn listen(&self, listener: TcpListener) {
        let app = Router::new()
            .route("/v1/health", get(async || "{\"status\":\"ok\"}"))
            .route("/v1/agent/join", post(join))
            .route("/v1/agent/sync", post(sync))
            .route("/v1/agent/logs/{ask}", post(log))
            .route("/v1/agent/kept-logs", post(kept_logs))
            .route("/v1/agent/data/uploads", post(begin_upload))
            .route("/v1/agent/data/publish", post(publish))
            .route("/v1/agent/data/secrets", get(secrets))
            .route("/v1/agent/data/copying", post(async || StatusCode::NO_CONTENT))
            .with_state(Arc::clone(&self.shared));
        let tls = self.tls.clone().map(TlsAcceptor::from);
        let shared = Arc::clone(&self.shared);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                shared.books.lock().unwrap().connections += 1;
                connections.spawn(serve(stream, tls.clone(), app.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        *self.server.lock().unwrap() = Some(task);
    }

    /// Goes away, with every connection.
    pub async fn leave(&self) {
        let task = self.server.lock().unwrap().take().unwrap();
        task.abort();
        let _ = task.await;
    }

    /// Is there again, at the same address.
    pub async fn come_back(&self) {
        let address = self.address;
        let listener =
            within("the port is free again", async || TcpListener::bind(address).await.ok()).await;
        self.listen(listener);
    }

    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    pub fn join_token(&self) -> String {
        let fingerprint = self.fingerprint.clone();
        dayan_wire::JoinToken { secret: "s3cret".to_owned(), fingerprint }.text()
    }

    pub fn books(&self) -> MutexGuard<'_, Books> {
        self.shared.books.lock().unwrap()
    }

    /// Leases an attempt, or changes its lease.
    pub fn lease(&self, order: LeaseOrder) {
        let mut books = self.books();
        books.revision += 1;
        let revision = books.revision;
        books.leases.insert(order.attempt, (order, revision));
        drop(books);
        self.shared.changed.notify_waiters();
    }

    pub fn change(&self, attempt: AttemptId, change: impl FnOnce(&mut LeaseOrder)) {
        let mut order = self.books().leases[&attempt].0.clone();
        change(&mut order);
        self.lease(order);
    }

    pub fn play(&self, tricks: impl IntoIterator<Item = Trick>) {
        self.books().tricks.extend(tricks);
        self.shared.changed.notify_waiters();
    }

    /// Rings for those whose sync is held back.
    pub fn ring(&self) {
        self.shared.changed.notify_waiters();
    }

    pub async fn until<T>(&self, what: &str, found: impl Fn(&Books) -> Option<T>) -> T {
        within(what, async || found(&self.books())).await
    }

    pub async fn ended(&self, attempt: AttemptId) -> Outcome {
        self.until(&format!("{attempt} ended"), |books| books.ended.get(&attempt).cloned()).await
    }

    pub async fn seen(&self, attempt: AttemptId, seen: Seen) {
        self.until(&format!("{attempt} is {seen:?}"), |books| {
            books.seen.get(&attempt)?.contains(&seen).then_some(())
        })
        .await;
    }
}

async fn serve(stream: TcpStream, tls: Option<TlsAcceptor>, app: Router) {
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let service = TowerToHyperService::new(app);
    match tls {
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            }
        }
        None => {
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        }
    }
}

/// Asks again and again, with a limit.
pub async fn within<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut pace = tokio::time::interval(Duration::from_millis(3));
    let asking = async {
        loop {
            pace.tick().await;
            if let Some(found) = ask().await {
                return found;
            }
        }
    };
    let found = tokio::time::timeout(PATIENCE, asking).await;
    found.unwrap_or_else(|_| panic!("not in time: {what}"))
}

async fn join(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let request: JoinRequest = serde_json::from_slice(&body).unwrap();
    let mut books = shared.books.lock().unwrap();
    if books.refuse_joins || books.refuses_pool.as_ref() == Some(&request.pool) {
        books.refused_joins += 1;
        let problem = "{\"type\":\"urn:dayan:problem:join.token\",\"status\":403,\
             \"code\":\"join.token\",\"title\":\"this join token was used\",\
             \"advice\":\"make a new one\"}";
        return (StatusCode::FORBIDDEN, problem).into_response();
    }
    let pool_name = request.pool.clone();
    books.joins.push(request);
    if books.lose_joins > 0 {
        books.lose_joins -= 1;
        return cut();
    }
    let answer = JoinAnswer {
        agent: "agt_x".to_owned(),
        pool: "pool_x".to_owned(),
        pool_name,
        crn: "crn".to_owned(),
        token: TOKEN.to_owned(),
        exchange: "test".to_owned(),
    };
    axum::Json(answer).into_response()
}

/// Cuts the connection without an answer.
fn cut() -> Response {
    let broken = futures_error();
    let mut response = Response::new(axum::body::Body::from_stream(broken));
    response.headers_mut().insert("content-length", "100".parse().unwrap());
    response
}

fn futures_error()
-> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    futures_util::stream::once(async { Err(std::io::Error::other("cut")) })
}

async fn sync(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let allowed = headers.get("authorization").is_some_and(|v| v == &format!("Bearer {TOKEN}")[..]);
    if !allowed {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let request: SyncRequest = serde_json::from_slice(&body).unwrap();
    let (mine, trick) = {
        let mut books = shared.books.lock().unwrap();
        books.syncs += 1;
        books.newest += 1;
        let trick = books.tricks.pop_front();
        match &trick {
            Some(Trick::LoseRequest | Trick::Say(..)) => {}
            Some(Trick::LoseAnswer | Trick::Repeat) | None => hear(&mut books, &request),
        }
        (books.newest, trick)
    };
    shared.changed.notify_waiters();
    match trick {
        Some(Trick::LoseAnswer | Trick::LoseRequest) => return cut(),
        Some(Trick::Say(status, text)) => return (status, text).into_response(),
        Some(Trick::Repeat) => {
            let before = shared.books.lock().unwrap().answers.first().cloned();
            if let Some(before) = before {
                return axum::Json(before).into_response();
            }
        }
        None => {}
    }
    let wait = Duration::from_millis(u64::from(request.wait_ms));
    let answer = async {
        loop {
            let changed = shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            {
                let mut books = shared.books.lock().unwrap();
                let answer = answer(&mut books, &request);
                let superseded = books.newest != mine;
                let says = !answer.orders.is_empty()
                    || !answer.forget.is_empty()
                    || !answer.logs.is_empty()
                    || answer.want_shown
                    || answer.challenge.is_some();
                if says || superseded || !books.tricks.is_empty() {
                    return answer;
                }
            }
            changed.await;
        }
    };
    let answer = match tokio::time::timeout(wait, answer).await {
        Ok(answer) => answer,
        Err(_) => answer_now(&shared, &request),
    };
    let mut books = shared.books.lock().unwrap();
    books.answers.truncate(8);
    books.answers.insert(0, answer.clone());
    drop(books);
    axum::Json(answer).into_response()
}

fn answer_now(shared: &Shared, request: &SyncRequest) -> SyncAnswer {
    answer(&mut shared.books.lock().unwrap(), request)
}

fn hear(books: &mut Books, request: &SyncRequest) {
    if let Some(shown) = &request.shown {
        books.shown.push(shown.clone());
        books.digests.insert(request.shown_digest.clone());
    }
    if let Some(answer) = &request.answer {
        books.challenge_answers.push((answer.nonce.clone(), answer.digest.clone()));
    }
    books.measured.extend(request.measured.iter().cloned());
    books.site_counts.extend(request.site_counts.iter().cloned());
    if let Some(signed) = &request.usage {
        let records: Vec<UsageRecord> = serde_json::from_str(&signed.records).unwrap();
        for record in records {
            books.usage.entry(record.attempt).or_default().push(record);
        }
        books.signed.push((signed.records.clone(), signed.signature.clone()));
    }
    for report in &request.reports {
        books.seen.entry(report.attempt).or_default().push(report.seen.clone());
        match &report.seen {
            Seen::Staging | Seen::Running => {}
            Seen::Publishing | Seen::Lingering => {
                books.asked_to_publish.insert(report.attempt);
                if books.grants {
                    grant(books, report.attempt);
                }
            }
            Seen::Ended { outcome } => {
                if books.leases.remove(&report.attempt).is_some() {
                    books.revision += 1;
                    books.ended.insert(report.attempt, outcome.clone());
                    if let Some(next) = books.backlog.pop_front() {
                        let revision = books.revision;
                        books.leases.insert(next.attempt, (next, revision));
                    }
                }
            }
        }
    }
}

pub fn grant(books: &mut Books, attempt: AttemptId) {
    let next = books.revision + 1;
    if let Some((order, revision)) = books.leases.get_mut(&attempt)
        && !order.publish
    {
        order.publish = true;
        *revision = next;
        books.revision = next;
    }
}

fn answer(books: &mut Books, request: &SyncRequest) -> SyncAnswer {
    let known = if request.known > books.revision { 0 } else { request.known };
    let orders = books
        .leases
        .values()
        .filter(|(_, revision)| *revision > known)
        .map(|(order, _)| order.clone())
        .collect();
    let forget = request
        .reports
        .iter()
        .map(|report| report.attempt)
        .filter(|attempt| !books.leases.contains_key(attempt))
        .collect();
    SyncAnswer {
        revision: books.revision,
        orders,
        forget,
        challenge: books.challenge.take(),
        logs: std::mem::take(&mut books.asks),
        execs: Vec::new(),
        want_shown: !books.digests.contains(&request.shown_digest),
        want_holds: false,
        usage_every_ms: books.usage_every_ms,
    }
}

async fn log(
    State(shared): State<Arc<Shared>>,
    UrlPath(ask): UrlPath<u64>,
    Query(query): Query<BTreeMap<String, String>>,
    body: Bytes,
) -> StatusCode {
    shared.books.lock().unwrap().logs.insert(ask, (query, body.to_vec()));
    StatusCode::NO_CONTENT
}

fn refusal((status, code): (StatusCode, &str)) -> Response {
    let problem = serde_json::json!({
        "type": format!("urn:dayan:problem:{code}"),
        "status": status.as_u16(),
        "code": code,
        "title": "it is refused",
        "advice": "do something else",
    });
    (status, axum::Json(problem)).into_response()
}

/// Every file is there already, unless it is refused.
async fn begin_upload(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let new: dayan_wire::NewOutput = serde_json::from_slice(&body).unwrap();
    let mut books = shared.books.lock().unwrap();
    books.begun += 1;
    match books.data_refuses {
        Some(refused) => refusal(refused),
        None => axum::Json(UploadState { upload: new.sha256, offset: new.size, done: true })
            .into_response(),
    }
}

async fn secrets(State(shared): State<Arc<Shared>>) -> Response {
    axum::Json(shared.books.lock().unwrap().secrets.clone()).into_response()
}

async fn publish(State(shared): State<Arc<Shared>>) -> Response {
    match shared.books.lock().unwrap().publish_refuses {
        Some(refused) => refusal(refused),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

async fn kept_logs(State(shared): State<Arc<Shared>>, body: Bytes) -> StatusCode {
    let mut books = shared.books.lock().unwrap();
    if books.keeps_nothing > 0 {
        books.keeps_nothing -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    for (frame, bytes) in frames(&body).expect("whole frames") {
        let data = unpack(bytes, frame.length).expect("sound");
        books.kept.push((frame.attempt, frame.stream, frame.offset, data));
    }
    drop(books);
    shared.changed.notify_waiters();
    StatusCode::NO_CONTENT
}

/// A running agent.
pub struct Agent {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), AgentFault>>,
}

impl Agent {
    pub fn start(config: AgentConfig) -> Self {
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        Self { stop: Some(stop), task: tokio::spawn(dayan_agent::run(config, shutdown)) }
    }

    /// It dies in the middle of whatever it does; its keeper and its tasks do not.
    pub async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    pub async fn stop(mut self) -> Result<(), AgentFault> {
        drop(self.stop.take());
        self.task.await.unwrap()
    }

    /// Waits for it to end by itself.
    pub async fn fault(self) -> AgentFault {
        let ended = tokio::time::timeout(PATIENCE, self.task).await.expect("ends in time");
        ended.unwrap().expect_err("it cannot go on")
    }
}

pub fn config(exchange: &Exchange, dir: &Path) -> AgentConfig {
    let keeper = env!("CARGO_BIN_EXE_dayan-agent-test").into();
    let options = vec!["--idle".into(), "2s".into()];
    let engine = EngineChoice::Process { keeper: vec![keeper], options };
    AgentConfig {
        join: Some(exchange.join_token()),
        site: Some("Guiyang".to_owned()),
        node: Some("node-a".to_owned()),
        measure: Measuring::Off,
        ..AgentConfig::new(exchange.url(), dir.join("agent"), engine)
    }
}

pub fn attempt(job: u128, task: u32) -> AttemptId {
    AttemptId { job: JobId::from_bits(job), task, attempt: 1 }
}

pub fn order(attempt: AttemptId, run: impl Into<String>) -> LeaseOrder {
    LeaseOrder {
        attempt,
        node: "node-a".to_owned(),
        resources: Resources {
            cpu: MilliCpu(100),
            memory: dayan_units::Bytes(256 << 20),
            ..Resources::ZERO
        },
        cards: Vec::new(),
        keep_us: 60_000_000,
        time_limit_us: 600_000_000,
        stop: false,
        publish: false,
        name: "test".to_owned(),
        org: None,
        image: None,
        run: run.into(),
        env: BTreeMap::new(),
        steps: Vec::new(),
        mounts: Vec::new(),
        files: std::collections::BTreeMap::new(),
        secrets: BTreeMap::new(),
        workdir: None,
        inputs: Vec::new(),
        outputs: Vec::new(),
        save_within_us: None,
        checkpoint: None,
        time_signal: None,
        site_words: BTreeMap::new(),
        node_features: std::collections::BTreeSet::new(),
        gang: None,
    }
}
