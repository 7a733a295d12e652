//! How many no-op tasks a second go through the Slurm engine, beside a plain array of the same
//! cluster and a loop of `sbatch` in the same run, and how many questions each asks of the
//! controller (`sdiag`).
//!
//! Needs a cluster that the commands in `PATH` reach and that nobody else uses;
//! `tools/bench-slurm.sh` starts one.
//!
//! `cargo run --release -p dayan-engines --example slurm_rate [TASKS [ROUNDS]]`

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::process::{Command, ExitCode};

use dayan_engines::slurm::{SiteWords, wrapper};
use dayan_engines::{
    BootClock, Engine, Isolation, Launch, LeaseEnd, Limits, Outcome, Program, SlurmConfig,
    SlurmEngine, Waker, Workdir,
};
use dayan_units::{AttemptId, Bytes, JobId, Span};

/// What a no-op asks of the cluster, in all three ways.
const MEMORY: Bytes = Bytes(64 << 20);
/// How often the queue is asked whether a plain array is over.
const LOOK_EVERY: Span = Span::from_millis(250);
/// A run that takes longer is broken.
const PATIENCE: Span = Span::from_secs(600);

/// Questions that clients ask; the others are the nodes' own, once for each task in every way.
const OF_NODES: [&str; 4] = [
    "REQUEST_COMPLETE_BATCH_SCRIPT",
    "MESSAGE_EPILOG_COMPLETE",
    "MESSAGE_NODE_REGISTRATION_STATUS",
    "REQUEST_STEP_COMPLETE",
];

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first.as_deref() == Some("slurm-task".as_ref()) {
        return Ok(wrapper::run(args).map(ExitCode::from)?);
    }
    let number = |text: Option<std::ffi::OsString>, default: u32| -> Result<u32> {
        Ok(text.map(|text| text.to_string_lossy().parse()).transpose()?.unwrap_or(default))
    };
    let (tasks, rounds) = (number(first, 1_000)?, number(args.next(), 2)?);
    for round in 1..=rounds {
        println!("round {round}: {tasks} x /bin/true");
        let plain = measured("one plain array", tasks, &plain_array)?;
        let ours = measured("through the engine", tasks, &engine)?;
        println!("  the engine reaches {:.0} % of the plain array's rate", 100.0 * ours / plain);
    }
    // The loop floods the queue, so it comes last.
    measured("sbatch in a loop", tasks, &sbatch_loop)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs one way, and prints its rate and what it asked of the controller; returns the rate.
fn measured(what: &str, tasks: u32, run: &dyn Fn(u32) -> Result<Span>) -> Result<f64> {
    let before = questions()?;
    let span = run(tasks)?;
    let after = questions()?;
    let asked: BTreeMap<&str, u64> = after
        .iter()
        .map(|(name, count)| (name.as_str(), count - before.get(name).unwrap_or(&0)))
        .filter(|(name, count)| *count > 0 && !OF_NODES.contains(name))
        .collect();
    let rate = f64::from(tasks) / span.secs_f64();
    let parts: Vec<String> = asked
        .iter()
        .map(|(name, count)| {
            format!("{} {count}", name.trim_start_matches("REQUEST_").to_lowercase())
        })
        .collect();
    let total: u64 = asked.values().sum();
    println!("  {what:<20} {rate:>6.1}/s   {total:>5} questions: {}", parts.join(", "));
    Ok(rate)
}

fn said(name: &str, words: &[&str]) -> Result<String> {
    let said = Command::new(name).args(words).output()?;
    if said.status.success() {
        Ok(String::from_utf8(said.stdout)?)
    } else {
        Err(format!("{name}: {}", String::from_utf8_lossy(&said.stderr)).into())
    }
}

/// The controller's count of questions by kind.
fn questions() -> Result<BTreeMap<String, u64>> {
    let text = said("sdiag", &[])?;
    let section = text.split("by message type").nth(1).unwrap_or_default();
    let section = section.split("by user").next().unwrap_or_default();
    let count = |line: &str| {
        let (name, rest) = line.trim().split_once(' ')?;
        let count = rest.split("count:").nth(1)?.split_whitespace().next()?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    Ok(section.lines().filter_map(count).collect())
}

const SCRIPT: &str = "#!/bin/sh\nexec /bin/true\n";

fn submit(words: &[&str]) -> Result<String> {
    let dir = tempfile::tempdir()?;
    let script = dir.path().join("noop");
    std::fs::write(&script, SCRIPT)?;
    let script = script.to_string_lossy();
    let base = ["--parsable", "--output=/dev/null", "--ntasks=1", "--mem=64M", "--time=2"];
    let words: Vec<&str> =
        base.iter().copied().chain(words.iter().copied()).chain([&*script]).collect();
    Ok(said("sbatch", &words)?.trim().to_owned())
}

/// Waits until none of these jobs waits or runs.
fn until_over(words: &[&str]) -> Result<()> {
    let (clock, pause) = (BootClock::of_this_machine()?, Waker::new()?);
    let until = clock.now().plus(PATIENCE);
    let all: Vec<&str> = ["--noheader", "--states=PENDING,RUNNING"]
        .into_iter()
        .chain(words.iter().copied())
        .collect();
    while !said("squeue", &all)?.trim().is_empty() {
        if clock.now() > until {
            return Err("it does not end".into());
        }
        pause.wait(LOOK_EVERY);
    }
    Ok(())
}

fn plain_array(tasks: u32) -> Result<Span> {
    let clock = BootClock::of_this_machine()?;
    let before = clock.now();
    let job = submit(&[&format!("--array=0-{}", tasks - 1)])?;
    until_over(&["--jobs", &job])?;
    Ok(clock.now().since(before))
}

fn sbatch_loop(tasks: u32) -> Result<Span> {
    let clock = BootClock::of_this_machine()?;
    let before = clock.now();
    for _ in 0..tasks {
        submit(&["--job-name=noop"])?;
    }
    until_over(&["--name=noop"])?;
    Ok(clock.now().since(before))
}

fn engine(tasks: u32) -> Result<Span> {
    let dir = tempfile::tempdir()?;
    let config = SlurmConfig::of_this_program(dir.path().join("agent"), SiteWords::default())?;
    let mut engine = SlurmEngine::open(config)?;
    let clock = BootClock::of_this_machine()?;
    let before = clock.now();
    let until = before.plus(PATIENCE);
    let lease_end = LeaseEnd { boot: clock.boot(), at: until };
    let job = JobId::from_bits(u128::from(before.micros().unsigned_abs()));
    let launches: Vec<Launch> = (0..tasks)
        .map(|task| Launch {
            attempt: AttemptId { job, task, attempt: 1 },
            program: Program::Argv(vec!["/bin/true".to_owned()]),
            env: BTreeMap::new(),
            workdir: Workdir::Fresh,
            limits: Limits { memory: MEMORY, wall: Span::from_secs(60), ..Limits::default() },
            lease_end,
            isolation: Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            image: None,
            mounts: Vec::new(),
            steps: Vec::new(),
            org: None,
            site_words: std::collections::BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        })
        .collect();
    let mut open: BTreeSet<AttemptId> = launches.iter().map(|launch| launch.attempt).collect();
    for answer in engine.start(launches) {
        answer?;
    }
    while !open.is_empty() {
        if clock.now() > until {
            return Err("it does not end".into());
        }
        for seen in engine.observe(Span::from_secs(10))? {
            if let Some(end) = seen.end() {
                if end.outcome != Outcome::Exited(0) {
                    return Err(format!("{} ended with {:?}", seen.attempt, end.outcome).into());
                }
                open.remove(&seen.attempt);
            }
        }
    }
    Ok(clock.now().since(before))
}
