//! No-op tasks end to end: one process each, default limits, durable, metered, billed; beside what
//! the machine can spawn at all, measured in the same run.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::exchange::Exchange;
use crate::load::{Connection, percentile};
use crate::machine;

/// Processes spawned for the ceiling.
const CEILING: usize = 4_000;

/// Processes a second with two spawners and nothing else.
fn ceiling() -> anyhow::Result<f64> {
    let begin = tokio::time::Instant::now();
    let spawn = || {
        std::thread::spawn(|| -> std::io::Result<()> {
            for _ in 0..CEILING / 2 {
                Command::new("/bin/true").stdin(Stdio::null()).status()?;
            }
            Ok(())
        })
    };
    let workers = [spawn(), spawn()];
    for worker in workers {
        worker.join().map_err(|_| anyhow::anyhow!("a spawner panicked"))??;
    }
    Ok(CEILING as f64 / begin.elapsed().as_secs_f64())
}

/// Microseconds from the submission of a task that is alone until it runs, for each of some.
async fn alone(api: &mut Connection, folder: &Path, count: usize) -> anyhow::Result<Vec<u64>> {
    let mut latencies = Vec::new();
    for number in 0..count {
        let path = folder.join(format!("at-{number}"));
        let at = path.display();
        let job = json!({
            "version": 1, "name": "alone", "type": "batch", "project": "bench/noop",
            "resources": { "cpus": 1, "memory": "10MB", "time": "1m" },
            "run": format!("date +%s%N > {at}.new && mv {at}.new {at}"),
        });
        let submitted = std::time::UNIX_EPOCH.elapsed()?.as_nanos();
        api.post("/v1/jobs", &job).await?;
        let started = loop {
            match std::fs::read_to_string(&path) {
                Ok(text) => break text.trim().parse::<u128>()?,
                Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        latencies.push(u64::try_from(started.saturating_sub(submitted) / 1_000)?);
    }
    latencies.sort_unstable();
    Ok(latencies)
}

/// Measures it.
pub async fn run(program: &Path, tasks: usize, cpus: &str, singles: usize) -> anyhow::Result<()> {
    let ceiling = tokio::task::spawn_blocking(ceiling).await??;
    println!("spawn ceiling: {ceiling:.0}/s with two spawners");
    let folder = tempfile::tempdir()?;
    let mut exchange = Exchange::start(program, folder.path()).await?;
    let token = exchange.consumer("bench/noop").await?;
    exchange.provider("dc", &["--engine", "process", "--cpus", "2"]).await?;
    let mut api = Connection::open(&exchange.address, &token).await?;
    let job = json!({
        "version": 1, "name": "noop", "type": "batch", "project": "bench/noop",
        "array": { "range": format!("0-{}", tasks - 1) },
        "resources": { "cpus": cpus, "memory": "1MB", "time": "1m" }, "run": "/bin/true",
    });
    let (cpu_before, _) = machine::usage(exchange.pid());
    let busy_before = machine::busy();
    let begin = tokio::time::Instant::now();
    let submitted = api.post("/v1/jobs", &job).await?;
    let submitting = begin.elapsed().as_secs_f64();
    let id = submitted["job"].as_str().unwrap_or_default().to_owned();
    let shown = loop {
        let page = api.get("/v1/jobs?limit=1").await?;
        let row = page["items"][0].clone();
        if row["ended_at"].is_string() {
            break row;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let seconds = begin.elapsed().as_secs_f64();
    let busy = machine::busy() - busy_before;
    let (cpu_after, rss) = machine::usage(exchange.pid());
    ensure!(shown["tasks"]["succeeded"] == tasks, "{shown}");
    let rate = tasks as f64 / seconds;
    println!(
        "no-op tasks:   {rate:.0}/s end to end ({tasks} of {id}), {:.0} % of the ceiling",
        rate / ceiling * 100.0
    );
    println!(
        "               server {:.0} us of processor each, {:.0} MB resident; spent {}",
        (cpu_after - cpu_before) as f64 / tasks as f64,
        rss as f64 / 1e6,
        shown["money"]["spent"]
    );
    for pid in exchange.agent_pids() {
        let (cpu, rss) = machine::usage(pid);
        println!(
            "               agent {:.0} us each, {:.0} MB resident",
            cpu as f64 / tasks as f64,
            rss as f64 / 1e6
        );
    }
    if singles > 0 {
        let latencies = alone(&mut api, folder.path(), singles).await?;
        let (p50, p99) = (percentile(&latencies, 500), percentile(&latencies, 990));
        println!("               alone: p50 {p50} us, p99 {p99} us from submission to start");
        // One line of the table that benches/peers.sh prints.
        println!(
            "PEER\tDayan {cpus} cpus\t{rate:.0}\t{:.0}\t{:.1}\t{:.1}\t{:.2}",
            tasks as f64 / submitting,
            p50 as f64 / 1e3,
            p99 as f64 / 1e3,
            busy / tasks as f64 * 1e3
        );
    }
    let mut operator = exchange.connect().await?;
    let books = operator.get("/v1/ledger/check").await?;
    ensure!(books["balanced"] == true, "{books}");
    println!("               books balanced over {} transfers", books["transfers"]);
    exchange.stop().await
}
