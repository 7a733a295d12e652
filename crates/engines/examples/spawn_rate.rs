//! How many no-op tasks a second the keeper starts and reaps, with default limits on, beside what
//! the machine can do at all in the same run.
//!
//! Two figures each: the rate as it was, which is the machine's and whoever else uses it, and the
//! processor time per task of everything involved, which is ours. Two idle cores start
//! 2,000,000 divided by those microseconds a second.
//!
//! `cargo run --release -p dayan-engines --example spawn_rate [TASKS [watch|v1|v2|best]]`

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

use dayan_engines::{
    BootClock, Engine, Isolation, Launch, LeaseEnd, Limits, ProcessConfig, ProcessEngine, Program,
    Workdir,
};
use dayan_units::{AttemptId, JobId, Span};

/// Started but not yet ended at once, as an agent on a small machine would hold them.
const IN_FLIGHT_MAX: usize = 256;
const BATCH: u32 = 64;
const ROUNDS: u32 = 3;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first.as_deref() == Some("keeper".as_ref()) {
        return Ok(dayan_engines::keeper::run(args)?);
    }
    let tasks: u32 = match first {
        Some(text) => text.to_string_lossy().parse()?,
        None => 4_000,
    };
    let only = args.next();
    for round in 1..=ROUNDS {
        let (ceiling, own) = ceiling(tasks)?;
        println!(
            "round {round}: two threads of posix_spawn and wait {ceiling:>6.0}/s {own:>5.0} us a task"
        );
        for confine in ["watch", "v1", "v2", "best"] {
            if only.as_ref().is_some_and(|only| *only != *confine) {
                continue;
            }
            let run = keeper(confine, tasks)?;
            println!(
                "  --confine {confine:<5} {:>6.0}/s = {:>3.0} %   {:>5.0} us a task = {:>3.0} % (tasks {:.0}, keeper {:.0}, agent {:.0})   [{}]",
                run.rate,
                100.0 * run.rate / ceiling,
                run.tasks + run.keeper + run.agent,
                100.0 * own / (run.tasks + run.keeper + run.agent),
                run.tasks,
                run.keeper,
                run.agent,
                run.words,
            );
        }
    }
    Ok(())
}

/// Microseconds of processor time of a process itself and of the children it has reaped
/// (proc(5), fields 14 to 17 of stat).
fn cpu_of(pid: &str) -> Outcome<(f64, f64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let rest = stat.rsplit_once(')').ok_or("a strange stat line")?.1;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    Ok(((ticks(11) + ticks(12)) * 10_000.0, (ticks(13) + ticks(14)) * 10_000.0))
}

/// Two threads that do nothing but start `/bin/true` and wait for it: rate, and microseconds each.
fn ceiling(tasks: u32) -> Outcome<(f64, f64)> {
    let clock = BootClock::of_this_machine()?;
    let worker = move || {
        for _ in 0..tasks / 2 {
            let mut command = Command::new("/bin/true");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            assert!(command.status().expect("starts").success());
        }
    };
    let (own, children) = cpu_of("self")?;
    let before = clock.now();
    let other = std::thread::spawn(worker);
    worker();
    other.join().map_err(|_| "a worker failed")?;
    let rate = f64::from(tasks) / clock.now().since(before).secs_f64();
    let (own_after, children_after) = cpu_of("self")?;
    Ok((rate, (own_after - own + children_after - children) / f64::from(tasks)))
}

/// One run: tasks a second, and microseconds of processor time per task by who used it.
struct Run {
    words: String,
    rate: f64,
    tasks: f64,
    keeper: f64,
    agent: f64,
}

fn keeper_of(dir: &Path) -> Outcome<String> {
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("--dir") && line.contains(&*dir.to_string_lossy()) {
            return Ok(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Err("there is no keeper".into())
}

fn keeper(confine: &str, tasks: u32) -> Outcome<Run> {
    let dir = tempfile::tempdir()?;
    let mut config = ProcessConfig::of_this_program(dir.path().join("agent"))?;
    config.options = ["--confine", confine, "--idle", "1s"].map(OsString::from).to_vec();
    let mut engine = ProcessEngine::open(config)?;
    let clock = BootClock::of_this_machine()?;
    let pid = keeper_of(dir.path())?;
    let (keeper, reaped) = cpu_of(&pid)?;
    let (agent, _) = cpu_of("self")?;
    let before = clock.now();
    let (mut next, mut ended) = (0u32, 0u32);
    let mut running = BTreeSet::new();
    while ended < tasks {
        while next < tasks && running.len() + BATCH as usize <= IN_FLIGHT_MAX {
            let batch: Vec<Launch> =
                (next..tasks.min(next + BATCH)).map(|task| launch(&engine, task)).collect();
            next += u32::try_from(batch.len())?;
            running.extend(batch.iter().map(|launch| launch.attempt));
            for result in engine.start(batch) {
                result?;
            }
        }
        let seen = engine.observe(Span::from_secs(10))?;
        let done: Vec<AttemptId> = seen
            .iter()
            .filter(|seen| seen.end().is_some_and(|end| end.outcome.exit_code() == 0))
            .map(|seen| seen.attempt)
            .filter(|attempt| running.remove(attempt))
            .collect();
        ended += u32::try_from(done.len())?;
        engine.forget(&done)?;
    }
    let per_task = |micros: f64| micros / f64::from(tasks);
    let rate = f64::from(tasks) / clock.now().since(before).secs_f64();
    let (keeper_after, reaped_after) = cpu_of(&pid)?;
    Ok(Run {
        words: engine.describe().features.confinement,
        rate,
        tasks: per_task(reaped_after - reaped),
        keeper: per_task(keeper_after - keeper),
        agent: per_task(cpu_of("self")?.0 - agent),
    })
}

fn launch(engine: &ProcessEngine, task: u32) -> Launch {
    let (boot, now) = engine.boot_now();
    Launch {
        attempt: AttemptId { job: JobId::from_bits(1), task, attempt: 1 },
        program: Program::Shell("/bin/true".to_owned()),
        env: BTreeMap::new(),
        workdir: Workdir::Fresh,
        limits: Limits::default(),
        lease_end: LeaseEnd { boot, at: now.plus(Span::from_secs(300)) },
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
    }
}
