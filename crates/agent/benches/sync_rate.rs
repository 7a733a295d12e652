//! Short tasks a second through one agent: leases come over HTTP from a small exchange in this
//! process, the keeper runs `/bin/true`, ends are told and forgotten.
//!
//! `cargo bench -p dayan-agent --bench sync_rate -- [TASKS] [AT_ONCE]`

#[path = "../tests/fake/mod.rs"]
#[expect(dead_code, reason = "shared with the tests, which use the rest")]
mod fake;

use std::io::Write;
use std::time::Duration;

use dayan_engines::BootClock;
use fake::{Agent, Exchange, attempt, config, order};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let numbers: Vec<u32> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let tasks = numbers.first().copied().unwrap_or(5_000);
    let at_once = numbers.get(1).copied().unwrap_or(64);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(measure(tasks, at_once));
}

async fn measure(tasks: u32, at_once: u32) {
    let exchange = Exchange::plain().await;
    let dir = tempfile::tempdir().expect("a folder");
    let agent = Agent::start(config(&exchange, dir.path()));
    exchange.lease(order(attempt(1, 0), "/bin/true"));
    exchange.ended(attempt(1, 0)).await;
    let clock = BootClock::of_this_machine().expect("a clock");
    let (began, cpu_before) = (clock.now(), cpu_seconds());
    let syncs_before = exchange.books().syncs;
    exchange.books().backlog.extend((at_once..tasks).map(|n| order(attempt(2, n), "/bin/true")));
    {
        let mut books = exchange.books();
        books.revision += 1;
        let revision = books.revision;
        for number in 0..at_once.min(tasks) {
            let one = attempt(2, number);
            books.leases.insert(one, (order(one, "/bin/true"), revision));
        }
    }
    exchange.ring();
    let all = usize::try_from(tasks).expect("a number") + 1;
    let mut pace = tokio::time::interval(Duration::from_millis(5));
    while exchange.books().ended.len() < all {
        pace.tick().await;
    }
    let seconds = clock.now().since(began).secs_f64();
    let cpu = cpu_seconds() - cpu_before;
    let syncs = exchange.books().syncs - syncs_before;
    let rate = f64::from(tasks) / seconds;
    let per_task = cpu * 1e6 / f64::from(tasks);
    let mut out = std::io::stdout().lock();
    let _ = writeln!(
        out,
        "{tasks} tasks, {at_once} at once: {rate:.0} tasks/s, {syncs} syncs, {per_task:.0} us of \
         processor time a task for agent and exchange together (the keeper's is its own)"
    );
    drop(out);
    agent.stop().await.expect("it stops");
}

/// Processor time of this process, all threads.
fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
