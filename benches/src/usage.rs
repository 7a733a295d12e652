//! Usage records a second: signed by an agent, each judged, deduplicated and journalled before the
//! answer; beside what the same disk takes as bare bytes in the same run.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::{Value, json};

use crate::exchange::Exchange;
use crate::load::Connection;
use crate::machine;

/// Calls under way at once, each of attempts of its own.
const CALLS: usize = 4;
/// Records in one call: those of so many running attempts.
const RECORDS: usize = 1_000;
/// Every so many-th call is sent twice: what came already must not count again.
const REPEAT_EVERY: u64 = 10;

struct Agent {
    key: SigningKey,
    token: String,
}

impl Agent {
    /// Joins with a pool as large as is needed, which the operator lets in at once.
    async fn join(exchange: &Exchange, provider: &str, tasks: usize) -> anyhow::Result<Self> {
        let mut api = exchange.connect().await?;
        let invitation = exchange.invite(&mut api, provider).await?;
        let secret = invitation.split('.').nth(1).context("a join token")?.to_owned();
        let key = SigningKey::from_bytes(&[7; 32]);
        let proof = key.sign(&[b"dayan join 1\n", secret.as_bytes()].concat());
        let total = json!({ "cpu": tasks * 1_000, "memory": tasks as u64 * 1_000_000_000 });
        let request = json!({
            "secret": secret, "site": "Guiyang", "pool": "main",
            "public_key": hex::encode(key.verifying_key().to_bytes()),
            "proof": hex::encode(proof.to_bytes()),
            "shown": { "engine": "process", "fence": "keeper", "placing": "by_node",
                       "features": [], "inventory": { "cpu.model": "bench" },
                       "nodes": [{ "name": "n1", "up": true, "total": total }] },
        });
        let joined = api.post("/v1/agent/join", &request).await?;
        let pool = joined["pool"].as_str().context("a pool")?;
        for status in ["verified", "active"] {
            let path = format!("/v1/pools/{pool}/status");
            api.post(&path, &json!({ "status": status })).await?;
        }
        let offer = json!({ "pool": pool, "core_hour": "0.10", "minimum": 1 });
        api.post("/v1/offers", &offer).await?;
        let token = joined["token"].as_str().context("a token")?.to_owned();
        Ok(Self { key, token })
    }

    fn sign(&self, records: &str) -> Value {
        let signature = self.key.sign(&[b"dayan usage 1\n", records.as_bytes()].concat());
        json!({ "records": records, "signature": hex::encode(signature.to_bytes()) })
    }
}

/// The attempts the agent is told to hold, once all are there.
async fn leases(api: &mut Connection, tasks: usize) -> anyhow::Result<(u64, Vec<String>)> {
    loop {
        let ask = json!({ "known": 0, "wait_ms": 100, "shown_digest": "known" });
        let answer = api.post("/v1/agent/sync", &ask).await?;
        let orders = answer["orders"].as_array().cloned().unwrap_or_default();
        if orders.len() >= tasks {
            let attempts = orders.iter().filter_map(|order| order["attempt"].as_str());
            let revision = answer["revision"].as_u64().context("a revision")?;
            return Ok((revision, attempts.map(str::to_owned).collect()));
        }
    }
}

/// What the disk takes: as many bytes as were journalled, in as many durable writes.
fn raw(folder: &Path, bytes: usize, writes: u64) -> anyhow::Result<f64> {
    let mut file = std::fs::File::create(folder.join("raw"))?;
    let chunk = vec![b'u'; bytes];
    let begin = tokio::time::Instant::now();
    for _ in 0..writes {
        file.write_all(&chunk)?;
        file.sync_data()?;
    }
    Ok((writes * RECORDS as u64) as f64 / begin.elapsed().as_secs_f64())
}

/// Measures it.
pub async fn run(program: &Path, seconds: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let exchange = Exchange::start(program, folder.path()).await?;
    let member = exchange.consumer("bench/usage").await?;
    let provider = exchange.founded_provider("dc").await?;
    let tasks = CALLS * RECORDS;
    let agent = Agent::join(&exchange, &provider, tasks).await?;
    let job = json!({
        "version": 1, "name": "long", "type": "batch", "project": "bench/usage",
        "array": { "range": format!("0-{}", tasks - 1) },
        "resources": { "cpus": 1, "memory": "100MB", "time": "1h" }, "run": "true",
    });
    Connection::open(&exchange.address, &member).await?.post("/v1/jobs", &job).await?;
    let mut api = Connection::open(&exchange.address, &agent.token).await?;
    let (revision, attempts) = leases(&mut api, tasks).await?;
    let agent = std::sync::Arc::new(agent);
    let (cpu_before, _) = machine::usage(exchange.pid());
    let begin = tokio::time::Instant::now();
    let until = begin + Duration::from_secs(seconds);
    let mut calls = tokio::task::JoinSet::new();
    for mine in attempts.chunks(RECORDS).map(<[String]>::to_vec) {
        let mut api = Connection::open(&exchange.address, &agent.token).await?;
        let agent = agent.clone();
        calls.spawn(async move {
            let (mut new, mut repeated, mut bytes) = (0u64, 0u64, 0);
            let mut known = revision;
            for seq in 1u64.. {
                if tokio::time::Instant::now() >= until {
                    break;
                }
                let counters = json!({ "wall_us": seq, "cpu_us": seq, "memory_peak": 1,
                                       "read_bytes": seq, "write_bytes": seq });
                let record = |attempt: &String| {
                    json!({ "attempt": attempt, "seq": seq,
                                                        "counters": counters })
                };
                let records: Vec<Value> = mine.iter().map(record).collect();
                let text = json!(records).to_string();
                bytes = text.len();
                let ask = json!({ "known": known, "wait_ms": 0, "shown_digest": "known",
                                  "usage": agent.sign(&text) });
                let answer = api.post("/v1/agent/sync", &ask).await?;
                known = answer["revision"].as_u64().context("a revision")?;
                new += mine.len() as u64;
                if seq % REPEAT_EVERY == 0 {
                    api.post("/v1/agent/sync", &ask).await?;
                    repeated += mine.len() as u64;
                }
            }
            anyhow::Ok((new, repeated, bytes))
        });
    }
    let (mut new, mut repeated, mut bytes) = (0, 0, 0);
    while let Some(done) = calls.join_next().await {
        let (n, r, b) = done??;
        (new, repeated, bytes) = (new + n, repeated + r, b);
    }
    let elapsed = begin.elapsed().as_secs_f64();
    let (cpu_after, rss) = machine::usage(exchange.pid());
    println!(
        "usage:    {:.0} records/s signed, judged, journalled ({:.0}/s new, {:.0}/s repeats)",
        (new + repeated) as f64 / elapsed,
        new as f64 / elapsed,
        repeated as f64 / elapsed
    );
    println!(
        "          server {:.1} us of processor each, {:.0} MB resident after",
        (cpu_after - cpu_before) as f64 / (new + repeated) as f64,
        rss as f64 / 1e6
    );
    let raw = raw(folder.path(), bytes, new / RECORDS as u64)?;
    println!("          the disk alone takes the signed texts of {raw:.0} records/s");
    exchange.stop().await
}
