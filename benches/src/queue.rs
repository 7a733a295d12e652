//! A long queue: memory, restart; and a server with nothing to do.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::exchange::Exchange;
use crate::load::Connection;
use crate::machine;

/// Jobs in one request.
const BATCH: usize = 500;
/// Tasks of an array.
const ARRAY_TASKS: usize = 1_000;

/// Fills a queue and restarts with it.
pub async fn run(program: &Path, tasks: usize, shapes: usize) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let exchange = Exchange::start(program, folder.path()).await?;
    let token = exchange.consumer("bench/queue").await?;
    let mut api = Connection::open(&exchange.address, &token).await?;
    let job = |shape: usize, array: bool| {
        let mut job = json!({
            "version": 1, "name": format!("shape-{shape}"), "type": "batch",
            "project": "bench/queue", "run": "true",
            "resources": { "cpus": 1 + shape % 64, "memory": format!("{}MB", 100 + shape / 64),
                           "time": "1h" },
        });
        if array {
            job["array"] = json!({ "range": format!("0-{}", ARRAY_TASKS - 1) });
        }
        job
    };
    let begin = tokio::time::Instant::now();
    let singles: Vec<usize> = (0..tasks / 2).collect();
    for chunk in singles.chunks(BATCH) {
        let jobs: Vec<_> = chunk.iter().map(|n| job(n % shapes, false)).collect();
        api.post("/v1/jobs/batch", &json!(jobs)).await?;
    }
    let arrays: Vec<usize> = (0..tasks / 2 / ARRAY_TASKS).collect();
    for chunk in arrays.chunks(BATCH) {
        let jobs: Vec<_> = chunk.iter().map(|n| job(n % shapes, true)).collect();
        api.post("/v1/jobs/batch", &json!(jobs)).await?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    // The shadow and the planner may still be taking it in.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (_, rss) = machine::usage(exchange.pid());
    println!(
        "queued:   {tasks} tasks of {shapes} shapes in {seconds:.1} s, {:.0} MB resident",
        rss as f64 / 1e6
    );
    let begin = tokio::time::Instant::now();
    exchange.stop().await?;
    println!("stopped:  in {:.1} s", begin.elapsed().as_secs_f64());
    let begin = tokio::time::Instant::now();
    let exchange = Exchange::start(program, folder.path()).await?;
    println!("restart:  {:.1} s until it answers", begin.elapsed().as_secs_f64());
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (_, rss) = machine::usage(exchange.pid());
    println!("          {:.0} MB resident after", rss as f64 / 1e6);
    exchange.stop().await
}

/// Watches a server with nothing to do.
pub async fn idle(program: &Path, seconds: u64) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let exchange = Exchange::start(program, folder.path()).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, _) = machine::usage(exchange.pid());
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let (after, rss) = machine::usage(exchange.pid());
    println!(
        "idle:     {:.0} MB resident, {:.2} % of a core over {seconds} s",
        rss as f64 / 1e6,
        (after - before) as f64 / (seconds as f64 * 1e6) * 100.0
    );
    exchange.stop().await
}
