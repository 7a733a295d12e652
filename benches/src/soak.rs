//! Full rate for a long time: the server's memory must level off, because what has ended leaves
//! it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use serde_json::json;

use crate::exchange::Exchange;
use crate::load::Connection;
use crate::machine;

/// Tasks of one array.
const ARRAY_TASKS: u64 = 100;
/// Arrays under way at once: enough that the pool is never idle.
const UNDER_WAY: usize = 8;
/// Samples over the whole run.
const SAMPLES: u32 = 40;
/// By how much the last quarter of the samples may lie over the second one, in percent.
const GROWTH_MAX_PERCENT: u64 = 10;

/// Submits an array, waits for its end, and submits the next, until told to stop.
async fn submit_on(
    mut api: Connection,
    ended: Arc<AtomicU64>,
    stop: tokio::time::Instant,
) -> anyhow::Result<()> {
    let job = json!({
        "version": 1, "name": "soak", "type": "batch", "project": "bench/soak",
        "array": { "range": format!("0-{}", ARRAY_TASKS - 1) },
        "resources": { "cpus": "0.02", "memory": "1MB", "time": "1m" }, "run": "/bin/true",
    });
    while tokio::time::Instant::now() < stop {
        let submitted = api.post("/v1/jobs", &job).await?;
        let path = format!("/v1/jobs/{}", submitted["job"].as_str().context("a job")?);
        loop {
            let shown = api.get(&path).await?;
            if shown["state"] == "succeeded" {
                break;
            }
            ensure!(matches!(shown["state"].as_str(), Some("queued" | "running")), "{shown}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ended.fetch_add(ARRAY_TASKS, Ordering::Relaxed);
    }
    Ok(())
}

fn mean(samples: &[u64]) -> u64 {
    samples.iter().sum::<u64>() / (samples.len() as u64).max(1)
}

/// Runs it; an error when memory grew or anything failed.
pub async fn run(program: &Path, minutes: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut exchange = Exchange::start(program, folder.path()).await?;
    let token = exchange.consumer("bench/soak").await?;
    exchange.provider("dc", &["--engine", "process", "--cpus", "2"]).await?;
    let ended = Arc::new(AtomicU64::new(0));
    let begin = tokio::time::Instant::now();
    let length = Duration::from_secs(minutes * 60);
    let mut loads = tokio::task::JoinSet::new();
    for _ in 0..UNDER_WAY {
        let api = Connection::open(&exchange.address, &token).await?;
        loads.spawn(submit_on(api, ended.clone(), begin + length));
    }
    let mut samples = Vec::new();
    let agent = exchange.agent_pids().first().copied().context("an agent")?;
    for sample in 1..=SAMPLES {
        tokio::time::sleep_until(begin + length * sample / SAMPLES).await;
        let ((_, server), (_, agent)) = (machine::usage(exchange.pid()), machine::usage(agent));
        println!(
            "{:>6.1} min  {:>9} tasks ended  server {:>6.1} MB  agent {:>6.1} MB",
            begin.elapsed().as_secs_f64() / 60.0,
            ended.load(Ordering::Relaxed),
            server as f64 / 1e6,
            agent as f64 / 1e6
        );
        samples.push(server);
    }
    while let Some(done) = loads.join_next().await {
        done??;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let quarter = samples.len() / 4;
    let (early, late) = (mean(&samples[quarter..2 * quarter]), mean(&samples[3 * quarter..]));
    println!(
        "soak:     {:.0} tasks/s over {minutes} min; server {:.1} MB early, {:.1} MB late",
        ended.load(Ordering::Relaxed) as f64 / seconds,
        early as f64 / 1e6,
        late as f64 / 1e6
    );
    let mut api = exchange.connect().await?;
    let books = api.get("/v1/ledger/check").await?;
    ensure!(books["balanced"] == true, "{books}");
    exchange.stop().await?;
    ensure!(late <= early + early * GROWTH_MAX_PERCENT / 100, "memory grows");
    Ok(())
}
