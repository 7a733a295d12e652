//! Placements a second, end to end: an array of virtual tasks is planned, each placement is decided,
//! its money held, journalled durably, its lease given to the agent, and said to run by it.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::exchange::Exchange;
use crate::load::Connection;
use crate::machine;

/// How long a virtual task takes: longer than the measurement.
const SECONDS: u32 = 3_000;

/// Measures it.
pub async fn run(program: &Path, tasks: usize, nodes: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut exchange = Exchange::start(program, folder.path()).await?;
    let token = exchange.consumer("bench/place").await?;
    let cpus = tasks.div_ceil(nodes).to_string();
    let nodes = nodes.to_string();
    let options = ["--engine", "simulated", "--nodes", &nodes, "--cpus", &cpus];
    exchange.provider("dc", &options).await?;
    let mut api = Connection::open(&exchange.address, &token).await?;
    let job = json!({
        "version": 1, "name": "place", "type": "batch", "project": "bench/place",
        "array": { "range": format!("0-{}", tasks - 1) },
        "resources": { "cpus": 1, "memory": "1MB", "time": "1h" }, "run": "true",
        "env": { "SIMULATED_SECONDS": SECONDS.to_string() },
    });
    let (server_before, _) = machine::usage(exchange.pid());
    let begin = tokio::time::Instant::now();
    let submitted = api.post("/v1/jobs", &job).await?;
    let id = submitted["job"].as_str().context("a job")?.to_owned();
    let mut placed = None;
    loop {
        let page = api.get("/v1/jobs?limit=1").await?;
        let counts = &page["items"][0]["tasks"];
        let count = |state: &str| counts[state].as_u64().unwrap_or(0);
        if count("queued") == 0 && placed.is_none() {
            placed = Some(begin.elapsed().as_secs_f64());
        }
        if count("running") == tasks as u64 {
            break;
        }
        ensure!(begin.elapsed() < Duration::from_mins(10), "it takes too long: {counts}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let running = begin.elapsed().as_secs_f64();
    let placed = placed.unwrap_or(running);
    let (server_after, rss) = machine::usage(exchange.pid());
    println!(
        "placements:    {:.0}/s end to end ({tasks} of {id}), {:.0}/s until the agent runs them",
        tasks as f64 / placed,
        tasks as f64 / running
    );
    println!(
        "               server {:.0} us of processor each, {:.0} MB resident",
        (server_after - server_before) as f64 / tasks as f64,
        rss as f64 / 1e6
    );
    let mut operator = exchange.connect().await?;
    let books = operator.get("/v1/ledger/check").await?;
    ensure!(books["balanced"] == true, "{books}");
    exchange.stop().await
}
