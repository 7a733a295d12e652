//! Durable submissions a second: single jobs, then arrays.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::Method;
use hyper::body::Bytes;
use serde_json::json;

use crate::exchange::Exchange;
use crate::load::{Connection, percentile};
use crate::machine;

/// Arrays of so many tasks, as a render farm sends them.
const ARRAY_TASKS: usize = 1_000;

/// Measures both.
pub async fn run(program: &Path, connections: usize, jobs: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let exchange = Exchange::start(program, folder.path()).await?;
    let token = exchange.consumer("bench/submit").await?;
    let single = json!({
        "version": 1, "name": "noop", "type": "batch", "project": "bench/submit",
        "resources": { "cpus": 1, "memory": "100MB", "time": "1m" }, "run": "true",
    });
    let array = json!({
        "version": 1, "name": "noop-array", "type": "batch", "project": "bench/submit",
        "array": { "range": format!("0-{}", ARRAY_TASKS - 1) },
        "resources": { "cpus": 1, "memory": "100MB", "time": "1m" }, "run": "true",
    });
    let (cpu_before, _) = machine::usage(exchange.pid());
    let rate = flood(&exchange, &token, connections, jobs, &single.to_string()).await?;
    let (cpu_after, rss) = machine::usage(exchange.pid());
    println!(
        "single jobs:  {:.0}/s over {connections} connections, {jobs} in all; p50 {} us, p99 {} us",
        rate.per_second, rate.p50, rate.p99
    );
    println!(
        "              server {:.0} us of processor each, {:.0} MB resident after",
        (cpu_after - cpu_before) as f64 / jobs as f64,
        rss as f64 / 1e6
    );
    let arrays = (jobs / 50).max(connections);
    let rate = flood(&exchange, &token, connections, arrays, &array.to_string()).await?;
    println!(
        "arrays:       {:.0} tasks/s in arrays of {ARRAY_TASKS}; p99 {} us",
        rate.per_second * ARRAY_TASKS as f64,
        rate.p99
    );
    exchange.stop().await
}

struct Rate {
    per_second: f64,
    p50: u64,
    p99: u64,
}

async fn flood(
    exchange: &Exchange,
    token: &str,
    connections: usize,
    jobs: usize,
    body: &str,
) -> anyhow::Result<Rate> {
    let body = Bytes::from(body.to_owned());
    let left = Arc::new(AtomicUsize::new(jobs));
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(Connection::open(&exchange.address, token).await?);
    }
    let begin = tokio::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in open {
        let (body, left) = (body.clone(), left.clone());
        tasks.spawn(async move {
            let mut latencies = Vec::new();
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                .is_ok()
            {
                let sent = tokio::time::Instant::now();
                let (status, answer) =
                    connection.send(Method::POST, "/v1/jobs", body.clone()).await?;
                anyhow::ensure!(status == 201, "{status} {}", String::from_utf8_lossy(&answer));
                latencies.push(u64::try_from(sent.elapsed().as_micros())?);
            }
            anyhow::Ok(latencies)
        });
    }
    let mut latencies = Vec::with_capacity(jobs);
    while let Some(done) = tasks.join_next().await {
        latencies.extend(done??);
    }
    let seconds = begin.elapsed().as_secs_f64();
    latencies.sort_unstable();
    Ok(Rate {
        per_second: latencies.len() as f64 / seconds,
        p50: percentile(&latencies, 500),
        p99: percentile(&latencies, 990),
    })
}
