//! An exchange in this process, a client, and an agent played by hand.
#![allow(dead_code, reason = "each test takes what it needs")]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dayan_exchange::Settings;
use dayan_server::{ServeConfig, TlsMode, serve};
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub struct Exchange {
    pub url: String,
    pub operator: String,
    client: reqwest::Client,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// A request that is to be refused.
pub struct Ask<'a> {
    pub method: reqwest::Method,
    pub token: &'a str,
    pub path: &'a str,
    pub headers: Vec<(&'static str, &'a str)>,
    pub body: Vec<u8>,
}

impl<'a> Ask<'a> {
    pub const fn get(token: &'a str, path: &'a str) -> Self {
        Self { method: reqwest::Method::GET, token, path, headers: Vec::new(), body: Vec::new() }
    }
    pub fn post(token: &'a str, path: &'a str, body: impl Into<Vec<u8>>) -> Self {
        Self { method: reqwest::Method::POST, body: body.into(), ..Self::get(token, path) }
    }
    /// How its body begins, for messages.
    fn start(&self) -> String {
        String::from_utf8_lossy(&self.body).chars().take(300).collect()
    }
}

pub struct Setup {
    pub member: String,
    pub viewer: String,
    pub join_token: String,
    pub provider: String,
}

pub fn client() -> reqwest::Client {
    // Plain HTTP is spoken here, but the client wants a provider all the same.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    reqwest::Client::builder().timeout(Duration::from_mins(1)).build().expect("a client")
}

impl Exchange {
    pub async fn start(data: &Path) -> Self {
        Self::start_with(data, Settings::default()).await
    }

    pub async fn start_with(data: &Path, settings: Settings) -> Self {
        let config = ServeConfig {
            data: data.to_owned(),
            database_url: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: TlsMode::Auto,
            name: "test".to_owned(),
            settings,
            usage_every: Duration::from_secs(1),
            links: None,
            logs: dayan_server::LogLimits::DEFAULT,
            data_store: None,
            data_place: None,
            data_per_project: dayan_server::PROJECT_BYTES_DEFAULT,
        };
        let (ready_send, ready) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            let ready = |serving: &dayan_server::Serving| {
                ready_send.send(serving.clone()).expect("the test waits");
            };
            let stopped = async move { drop(stopped.await) };
            serve(config, ready, stopped).await.expect("serves");
        });
        let serving = ready.await.expect("started");
        let operator = std::fs::read_to_string(&serving.operator_token).expect("a token");
        Self { url: serving.url, operator, client: client(), stop, task }
    }

    pub async fn stop(self) {
        let _ = self.stop.send(());
        self.task.await.expect("ended");
    }

    pub async fn call(
        &self,
        method: reqwest::Method,
        token: &str,
        path: &str,
        body: Option<String>,
    ) -> (u16, Value) {
        let mut request =
            self.client.request(method, format!("{}{path}", self.url)).bearer_auth(token);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("text");
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub async fn get(&self, token: &str, path: &str) -> Value {
        let (status, value) = self.call(reqwest::Method::GET, token, path, None).await;
        assert_eq!(status, 200, "GET {path}: {value}");
        value
    }

    pub async fn post(&self, token: &str, path: &str, body: Value) -> Value {
        let body = Some(body.to_string());
        let (status, value) = self.call(reqwest::Method::POST, token, path, body).await;
        assert!((200..300).contains(&status), "POST {path}: {status} {value}");
        value
    }

    pub async fn submit(&self, token: &str, text: &str) -> String {
        let body = Some(text.to_owned());
        let (status, value) = self.call(reqwest::Method::POST, token, "/v1/jobs", body).await;
        assert_eq!(status, 201, "{value}");
        value["job"].as_str().expect("an id").to_owned()
    }

    pub async fn show(&self, token: &str, job: &str) -> Value {
        self.get(token, &format!("/v1/jobs/{job}")).await
    }

    /// A consumer with money and a project, a provider that is active, and an invitation.
    pub async fn set_up(&self, project: &str) -> Setup {
        let op = &self.operator;
        let (org, _) = project.split_once('/').expect("a path");
        self.post(op, "/v1/orgs", json!({ "name": org })).await;
        let money = json!({ "amount": "100.00 CNY", "reference": "wire 1" });
        self.post(op, &format!("/v1/orgs/{org}/deposits"), money).await;
        self.post(op, "/v1/projects", json!({ "path": project })).await;
        let member = self.user(org, "m", "member").await;
        let viewer = self.user(org, "v", "viewer").await;
        self.post(op, "/v1/orgs", json!({ "name": "dc" })).await;
        let provider = self.post(op, "/v1/providers", json!({ "org": "dc", "name": "dc" })).await;
        let provider = provider["id"].as_str().expect("an id").to_owned();
        for status in ["verified", "active"] {
            let path = format!("/v1/providers/{provider}/status");
            self.post(op, &path, json!({ "status": status })).await;
        }
        let join_token = self.invite(&provider).await;
        Setup { member, viewer, join_token, provider }
    }

    pub async fn invite(&self, provider: &str) -> String {
        let path = format!("/v1/providers/{provider}/invitations");
        let invitation = self.post(&self.operator, &path, json!({})).await;
        invitation["token"].as_str().expect("a token").to_owned()
    }

    pub async fn user(&self, org: &str, name: &str, role: &str) -> String {
        let body = json!({ "org": org, "name": name, "role": role });
        let user = self.post(&self.operator, "/v1/users", body).await;
        let token = self.post(&self.operator, "/v1/tokens", json!({ "user": user["id"] })).await;
        token["secret"].as_str().expect("a secret").to_owned()
    }

    pub async fn answer(&self, ask: Ask<'_>) -> (u16, String, String) {
        let mut request = self.client.request(ask.method, format!("{}{}", self.url, ask.path));
        if !ask.token.is_empty() {
            request = request.bearer_auth(ask.token);
        }
        for (name, value) in &ask.headers {
            request = request.header(*name, *value);
        }
        let response = request.body(ask.body).send().await.expect("an answer");
        let status = response.status().as_u16();
        let kind = response.headers().get("content-type").map(|kind| kind.to_str().expect("text"));
        let kind = kind.unwrap_or_default().to_owned();
        (status, kind, response.text().await.expect("text"))
    }

    /// Sends it and demands this refusal: its status, its code, what is wrong and what to do, as a
    /// problem document.
    pub async fn refused(&self, ask: Ask<'_>, status: u16, code: &str) -> Value {
        let what = format!("{} {} {}", ask.method, ask.path, ask.start());
        let (got, kind, text) = self.answer(ask).await;
        let problem: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{what}: {got} {text}"));
        assert_eq!((got, problem["code"].as_str()), (status, Some(code)), "{what}: {problem}");
        assert_eq!(kind, "application/problem+json", "{what}");
        assert_eq!(problem["status"], json!(status), "{what}");
        assert_eq!(problem["type"], format!("urn:dayan:problem:{code}"), "{what}");
        for said in ["title", "advice"] {
            let said = problem[said].as_str().unwrap_or_default();
            assert!(said.len() >= 8 && said.len() <= 2_000, "{what}: {problem}");
        }
        problem
    }

    /// What can be seen of the state, and how long the journal is.
    pub async fn picture(&self) -> Value {
        let paths = [
            "/v1/jobs",
            "/v1/orgs",
            "/v1/users",
            "/v1/tokens",
            "/v1/projects",
            "/v1/providers",
            "/v1/pools",
            "/v1/offers",
            "/v1/findings",
            "/v1/invoices",
            "/v1/ledger/accounts",
        ];
        let mut seen = json!({ "seq": self.get("", "/v1/health").await["seq"] });
        for path in paths {
            seen[path] = self.get(&self.operator, path).await;
        }
        seen
    }

    /// The books balance, and the journal replays to the state.
    pub async fn assert_balanced(&self) {
        let check = self.get(&self.operator, "/v1/ledger/check").await;
        assert_eq!(check["balanced"], true, "{check}");
        assert_eq!(check["differences"], json!([]));
        let audit = self.get(&self.operator, "/v1/audit/verify").await;
        assert_eq!(audit["intact"], true, "{audit}");
        assert_eq!(audit["replay_equal"], true, "{audit}");
    }

    pub async fn offer(&self, pool: &str, core_hour: &str) {
        self.offer_from(pool, core_hour, 10).await;
    }

    /// With a least billed time, in seconds.
    pub async fn offer_from(&self, pool: &str, core_hour: &str, minimum: u32) {
        let offer = json!({ "pool": pool, "core_hour": core_hour, "minimum": minimum });
        self.post(&self.operator, "/v1/offers", offer).await;
    }
}

/// What a core costs for an hour where a test does not say otherwise, at a least time of 10 s.
pub const CORE_HOUR: &str = "0.36";

/// An agent played by hand.
pub struct FakeAgent {
    client: reqwest::Client,
    url: String,
    key: SigningKey,
    pub token: String,
    pub agent: String,
    pub pool: String,
    revision: AtomicU64,
}

/// The inventory it shows.
pub fn shown() -> Value {
    json!({
        "engine": "process", "fence": "keeper", "placing": "by_node", "features": ["staging"],
        "nodes": [{ "name": "n1", "up": true,
                    "total": { "cpu": 4_000, "memory": 8_000_000_000u64, "disk": 0, "accel": 0 } }],
        "inventory": { "cpu.model": "test", "memory": "8GB" },
    })
}

impl FakeAgent {
    pub async fn join(exchange: &Exchange, token: &str) -> Self {
        Self::join_as(exchange, token, 7, "main").await
    }

    /// What an agent with that key asks for.
    pub fn join_request(token: &str, key: &SigningKey, pool: &str) -> Value {
        let token = dayan_wire::JoinToken::parse(token).expect("a join token");
        let proof = key.sign(&[b"dayan join 1\n", token.secret.as_bytes()].concat());
        json!({
            "secret": token.secret,
            "public_key": hex::encode(key.verifying_key().to_bytes()),
            "proof": hex::encode(proof.to_bytes()),
            "site": "Guiyang",
            "pool": pool,
            "shown": shown(),
        })
    }

    /// With a key and a pool of its own.
    pub async fn join_as(exchange: &Exchange, token: &str, key: u8, pool: &str) -> Self {
        let key = SigningKey::from_bytes(&[key; 32]);
        let request = Self::join_request(token, &key, pool);
        let joined = exchange.post("", "/v1/agent/join", request).await;
        let text = |key: &str| joined[key].as_str().expect("text").to_owned();
        Self {
            client: client(),
            url: exchange.url.clone(),
            key,
            token: text("token"),
            agent: text("agent"),
            pool: text("pool"),
            revision: AtomicU64::new(0),
        }
    }

    /// It has joined and proven its pool, which may take work then.
    pub async fn proven(exchange: &Exchange, token: &str) -> Self {
        let agent = Self::join(exchange, token).await;
        agent.prove(exchange).await;
        agent
    }

    /// Besides, its pool is offered: what is submitted next comes to it.
    pub async fn selling(exchange: &Exchange, token: &str) -> Self {
        let agent = Self::proven(exchange, token).await;
        exchange.offer(&agent.pool, CORE_HOUR).await;
        agent
    }

    /// The exchange is somewhere else now.
    pub fn moved_to(self, exchange: &Exchange) -> Self {
        Self { url: exchange.url.clone(), ..self }
    }

    pub async fn sync(&self, request: Value) -> Value {
        let (status, answer) = self.try_sync(request).await;
        assert!((200..300).contains(&status), "{status} {answer}");
        let revision = answer["revision"].as_u64().expect("a number");
        self.revision.fetch_max(revision, Ordering::SeqCst);
        answer
    }

    pub async fn try_sync(&self, mut request: Value) -> (u16, Value) {
        request["known"] = json!(self.revision.load(Ordering::SeqCst));
        request["shown_digest"] = json!("known");
        let response = self
            .client
            .post(format!("{}/v1/agent/sync", self.url))
            .bearer_auth(&self.token)
            .json(&request)
            .send()
            .await
            .expect("an answer");
        let status = response.status().as_u16();
        (status, response.json().await.expect("JSON"))
    }

    /// Waits for a challenge, and answers it rightly.
    pub async fn prove(&self, exchange: &Exchange) {
        let answer = self.answer("cpu.model=test\nmemory=8GB").await;
        self.sync(json!({ "answer": answer })).await;
        let pool = exchange.get(&exchange.operator, &format!("/v1/pools/{}", self.pool)).await;
        assert_eq!(pool["status"], "active", "{pool}");
    }

    /// Waits for a challenge; the answer for these lines of an inventory.
    pub async fn answer(&self, inventory: &str) -> Value {
        let answer = loop {
            let answer = self.sync(json!({ "wait_ms": 5_000 })).await;
            if answer["challenge"].is_string() {
                break answer;
            }
        };
        let nonce = answer["challenge"].as_str().expect("a nonce").to_owned();
        let mut bytes = [0; 32];
        hex::decode_to_slice(&nonce, &mut bytes).expect("hex");
        let challenge = dayan_identity::Challenge {
            nonce: dayan_identity::Nonce(bytes),
            at: dayan_units::Time::EPOCH,
            answer_within: dayan_units::Span::ZERO,
        };
        let digest = Sha256::digest(challenge.material(inventory));
        json!({ "nonce": nonce, "digest": hex::encode(digest) })
    }

    pub async fn next_order(&self) -> Value {
        for _ in 0..20 {
            let answer = self.sync(json!({ "wait_ms": 2_000 })).await;
            if let Some(order) = answer["orders"].as_array().and_then(|orders| orders.first()) {
                return order.clone();
            }
        }
        panic!("no lease came");
    }

    pub async fn report(&self, reports: Value, usage: Option<Value>) -> Value {
        let mut request = json!({ "reports": reports });
        if let Some(records) = usage {
            request["usage"] = self.sign(&records.to_string());
        }
        self.sync(request).await
    }

    /// A measured value, signed with its key.
    pub fn sign_measured(&self, value: Value) -> Value {
        let plain = value.clone();
        let value: dayan_measure::Measurement = serde_json::from_value(value).expect("one");
        let signature = hex::encode(self.key.sign(value.material().as_bytes()).to_bytes());
        let key = hex::encode(self.key.verifying_key().to_bytes());
        let mut signed = plain;
        signed["signature"] = json!({ "key": key, "signature": signature });
        signed
    }

    pub fn sign(&self, records: &str) -> Value {
        sign(&self.key, records)
    }

    /// With a key that is not its own.
    pub fn sign_with(key: u8, records: &str) -> Value {
        sign(&SigningKey::from_bytes(&[key; 32]), records)
    }
}

/// What an agent reports of an attempt that has ended well after a millisecond, and the usage of it.
pub fn ended_well(attempt: &str) -> (Value, Value) {
    let ended = json!([{ "attempt": attempt, "seen": "ended", "outcome": "exited", "code": 0 }]);
    let usage = json!([{ "attempt": attempt, "seq": 1, "counters": {
        "wall_us": 1_000, "cpu_us": 900, "memory_peak": 1_000_000, "read_bytes": 0,
        "write_bytes": 0 } }]);
    (ended, usage)
}

fn sign(key: &SigningKey, records: &str) -> Value {
    let signature = key.sign(&dayan_wire::SignedUsage::material(records));
    json!({ "records": records, "signature": hex::encode(signature.to_bytes()) })
}
