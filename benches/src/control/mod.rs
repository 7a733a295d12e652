//! The load of Kueue's published generator on the live exchange: five owners of 120 units, six
//! projects at each; every project sends small, medium and large workloads on a fixed beat. The
//! engines are simulated, all else is real: each workload is a job of its own, submitted over HTTP,
//! planned, held, journalled, leased, metered and billed. What it would take without any overhead is
//! computed in the same run (`bound`).

mod bound;

use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::exchange::Exchange;
use crate::load::Connection;
use crate::machine;

/// Owners, each with a pool of its own.
const COHORTS: u32 = 5;
/// Projects that send to one owner.
const QUEUES: u32 = 6;
/// What an owner has: twenty for each of its projects, lent among them.
const UNITS: u32 = 120;
/// How long it may take before it is given up.
const WITHIN: Duration = Duration::from_mins(15);

/// Which goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Priority {
    Low,
    Normal,
    High,
}

impl Priority {
    /// As a job file says it.
    const fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
        }
    }
}

/// A kind of workload.
#[derive(Debug)]
struct Class {
    name: &'static str,
    count: u32,
    every_us: u64,
    runs_us: u64,
    units: u32,
    /// Kueue's 50, 100 and 200.
    priority: Priority,
    /// Mean seconds to admission as published for Kueue.
    kueue: f64,
}

const CLASSES: [Class; 3] = [
    Class {
        name: "small",
        count: 350,
        every_us: 100_000,
        runs_us: 200_000,
        units: 1,
        priority: Priority::Low,
        kueue: 215.5,
    },
    Class {
        name: "medium",
        count: 100,
        every_us: 500_000,
        runs_us: 500_000,
        units: 5,
        priority: Priority::Normal,
        kueue: 76.8,
    },
    Class {
        name: "large",
        count: 50,
        every_us: 1_200_000,
        runs_us: 1_000_000,
        units: 20,
        priority: Priority::High,
        kueue: 6.67,
    },
];
/// Seconds, and share of the queue that was used least, as published for Kueue.
const KUEUE: (f64, f64) = (351.1, 0.587);

/// One workload, and when it is sent.
#[derive(Clone, Debug)]
struct Workload {
    queue: u32,
    class: &'static Class,
    due_us: u64,
}

/// What one owner's projects send.
fn cohort(percent: u32) -> Vec<Workload> {
    let mut all = Vec::new();
    for queue in 0..QUEUES {
        for class in &CLASSES {
            let count = u64::from(class.count * percent / 100);
            let due = (0..count).map(|nth| nth * class.every_us);
            all.extend(due.map(|due_us| Workload { queue, class, due_us }));
        }
    }
    all
}

/// What came of a load.
#[derive(Default)]
struct Figures {
    last_us: u64,
    /// By class.
    waits_us: [Vec<u64>; 3],
}

impl Figures {
    fn count(&mut self, workload: &Workload, started_us: u64, ended_us: u64) {
        self.last_us = self.last_us.max(ended_us);
        let class = CLASSES.iter().position(|class| class.name == workload.class.name);
        let waited = started_us.saturating_sub(workload.due_us);
        self.waits_us[class.expect("one of them")].push(waited);
    }

    fn join(mut self, other: Self) -> Self {
        self.last_us = self.last_us.max(other.last_us);
        for (mine, theirs) in self.waits_us.iter_mut().zip(other.waits_us) {
            mine.extend(theirs);
        }
        self
    }

    fn mean_wait(&self, class: usize) -> f64 {
        let waits = &self.waits_us[class];
        waits.iter().sum::<u64>() as f64 / waits.len().max(1) as f64 / 1e6
    }

    /// The share of each project's units that was used until its owner's last workload ended: all
    /// projects send the same.
    fn use_of(&self, units: u32, percent: u32) -> f64 {
        let work = |w: &Workload| u64::from(w.class.units) * w.class.runs_us;
        let asked: u64 = cohort(percent).iter().map(work).sum();
        asked as f64 / (u64::from(units) * self.last_us.max(1)) as f64
    }
}

fn micros(text: &str) -> anyhow::Result<u64> {
    let at: jiff::Timestamp = text.parse()?;
    Ok(u64::try_from(at.as_microsecond())?)
}

/// One project's workloads, each at its moment. Gives back each with its job.
async fn send(
    mut api: Connection,
    cohort: u32,
    workloads: Vec<Workload>,
    begin: tokio::time::Instant,
) -> anyhow::Result<Vec<(Workload, String)>> {
    let mut sent = Vec::new();
    for workload in workloads {
        tokio::time::sleep_until(begin + Duration::from_micros(workload.due_us)).await;
        let class = workload.class;
        let job = json!({
            "version": 1, "name": class.name, "type": "batch", "priority": class.priority.name(),
            "project": format!("q{cohort}-{}/load", workload.queue),
            "resources": { "cpus": class.units, "memory": "1MB", "time": "10s" },
            "placement": { "providers": { "allow": [format!("c{cohort}")] } },
            "env": { "SIMULATED_SECONDS": (class.runs_us as f64 / 1e6).to_string() },
            "run": "true",
        });
        let answer = api.post("/v1/jobs", &job).await?;
        sent.push((workload, answer["job"].as_str().context("a job")?.to_owned()));
    }
    Ok(sent)
}

/// What came of an owner's workloads, counted from the moment that the load began.
async fn read(
    api: &mut Connection,
    jobs: &[(Workload, String)],
    begin_us: u64,
) -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    for (workload, id) in jobs {
        let job = api.get(&format!("/v1/jobs/{id}")).await?;
        let attempts = job["attempts"].as_array().context("attempts")?;
        ensure!(job["state"] == "succeeded" && attempts.len() == 1, "{job}");
        let at = |name: &str| micros(attempts[0][name].as_str().unwrap_or_default());
        let since = |at: u64| at.saturating_sub(begin_us);
        figures.count(workload, since(at("started_at")?), since(at("ended_at")?));
    }
    Ok(figures)
}

async fn until_all_ended(api: &mut Connection, jobs: usize) -> anyhow::Result<()> {
    let begin = tokio::time::Instant::now();
    loop {
        let mut waiting = 0;
        for state in ["queued", "running"] {
            let page = api.get(&format!("/v1/jobs?state={state}&limit=1")).await?;
            waiting += page["items"].as_array().map_or(0, Vec::len);
        }
        if waiting == 0 {
            return Ok(());
        }
        ensure!(begin.elapsed() < WITHIN, "some of {jobs} jobs still wait or run");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Measures it.
pub async fn run(program: &Path, percent: u32) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut exchange = Exchange::start(program, folder.path()).await?;
    for cohort in 0..COHORTS {
        let units = UNITS.to_string();
        let options = ["--engine", "simulated", "--nodes", "1", "--cpus", &units];
        exchange.provider(&format!("c{cohort}"), &options).await?;
    }
    let mut lines = Vec::new();
    for at in 0..COHORTS {
        let all = cohort(percent);
        for queue in 0..QUEUES {
            let token = exchange.consumer(&format!("q{at}-{queue}/load")).await?;
            let api = Connection::open(&exchange.address, &token).await?;
            let mut mine: Vec<Workload> =
                all.iter().filter(|workload| workload.queue == queue).cloned().collect();
            mine.sort_by_key(|workload| workload.due_us);
            lines.push((api, at, mine));
        }
    }
    let (cpu_before, _) = machine::usage(exchange.pid());
    let busy_before = machine::busy();
    let begin = tokio::time::Instant::now();
    let begin_us = u64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_micros())?;
    let mut senders = JoinSet::new();
    for (api, at, mine) in lines {
        senders.spawn(async move { send(api, at, mine, begin).await.map(|sent| (at, sent)) });
    }
    let mut cohorts = vec![Vec::new(); COHORTS as usize];
    while let Some(sent) = senders.join_next().await {
        let (at, sent) = sent??;
        cohorts[at as usize].extend(sent);
    }
    let mut api = exchange.connect().await?;
    let jobs: usize = cohorts.iter().map(Vec::len).sum();
    until_all_ended(&mut api, jobs).await?;
    let settled = begin.elapsed().as_secs_f64();
    let busy = (machine::busy() - busy_before) / settled;
    let (cpu_after, rss) = machine::usage(exchange.pid());
    let mut ours = Figures::default();
    let mut least_used = f64::INFINITY;
    for jobs in &cohorts {
        let figures = read(&mut api, jobs, begin_us).await?;
        least_used = least_used.min(figures.use_of(UNITS, percent));
        ours = ours.join(figures);
    }
    print(&ours, least_used, percent);
    println!(
        "               {jobs} jobs, all settled after {settled:.1} s; server {:.0} us of processor \
         a job, {:.0} MB resident; {busy:.2} of the machine's cores were busy",
        (cpu_after - cpu_before) as f64 / jobs as f64,
        rss as f64 / 1e6
    );
    let books: Value = api.get("/v1/ledger/check").await?;
    ensure!(books["balanced"] == true, "{books}");
    println!("               books balanced over {} transfers", books["transfers"]);
    exchange.stop().await
}

fn print(ours: &Figures, least_used: f64, percent: u32) {
    let bound = bound::play(&cohort(percent), UNITS);
    let (all, used) = (ours.last_us as f64 / 1e6, bound.use_of(UNITS, percent));
    let least = bound.last_us as f64 / 1e6;
    println!(
        "control plane: the live exchange, engines simulated, beside the bound of no overhead"
    );
    println!("               and Kueue as published, which pays for Kubernetes objects");
    println!("                          Dayan    bound   ratio    Kueue");
    println!(
        "makespan, s            {all:>8.1} {least:>8.1} {:>7.2} {:>8.1}",
        all / least,
        KUEUE.0
    );
    println!(
        "least use of a queue   {:>7.1}% {:>7.1}%         {:>7.1}%",
        least_used * 100.0,
        used * 100.0,
        KUEUE.1 * 100.0
    );
    for (at, class) in CLASSES.iter().enumerate() {
        let (mean, least) = (ours.mean_wait(at), bound.mean_wait(at));
        println!(
            "to start, {:<12} {mean:>8.2} {least:>8.2} {:>7.2} {:>8.2}",
            format!("{}, s", class.name),
            mean / least,
            class.kueue
        );
    }
}
