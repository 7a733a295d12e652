//! How many no-op tasks a second the keeper starts and reaps, with default limits on, beside what
//! the machine can do at all in the same run.
//!
//! `cargo run --release -p dayan-engines --example spawn_rate [TASKS]`

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::process::{Command, Stdio};

use dayan_engines::{
    BootClock, Engine, Isolation, Launch, LeaseEnd, Limits, ProcessConfig, ProcessEngine, Program,
    Workdir,
};
use dayan_units::{AttemptId, JobId, Span};

/// Started but not yet ended at once, as an agent on a small machine would hold them.
const IN_FLIGHT_MAX: usize = 256;
const BATCH: usize = 64;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args_os().skip(1);
    let first = args.next();
    if first.as_deref() == Some("keeper".as_ref()) {
        return Ok(dayan_engines::keeper::run(args)?);
    }
    let tasks: u32 = match first {
        Some(text) => text.to_string_lossy().parse()?,
        None => 4_000,
    };
    let clock = BootClock::of_this_machine()?;
    let timed = |work: &mut dyn FnMut() -> Result<(), Box<dyn Error>>| {
        let before = clock.now();
        work()?;
        Ok::<f64, Box<dyn Error>>(f64::from(tasks) / clock.now().since(before).secs_f64())
    };
    for round in 1..=3 {
        let ceiling = timed(&mut || ceiling(tasks))?;
        println!("round {round}: ceiling, posix_spawn by two threads: {ceiling:.0}/s");
        for confine in ["watch", "v1", "v2", "best"] {
            let (words, rate) = keeper(confine, tasks, &timed)?;
            println!(
                "  keeper --confine {confine:<5} {rate:>6.0}/s = {:>3.0} % of the ceiling   [{words}]",
                100.0 * rate / ceiling
            );
        }
    }
    Ok(())
}

/// Two threads that do nothing but start `/bin/true` and wait for it.
fn ceiling(tasks: u32) -> Result<(), Box<dyn Error>> {
    let worker = move || {
        for _ in 0..tasks / 2 {
            let mut command = Command::new("/bin/true");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            assert!(command.status().expect("starts").success());
        }
    };
    let other = std::thread::spawn(worker);
    worker();
    other.join().map_err(|_| "a worker failed")?;
    Ok(())
}

type Timed<'a> =
    dyn Fn(&mut dyn FnMut() -> Result<(), Box<dyn Error>>) -> Result<f64, Box<dyn Error>> + 'a;

fn keeper(confine: &str, tasks: u32, timed: &Timed<'_>) -> Result<(String, f64), Box<dyn Error>> {
    let dir = tempfile::tempdir()?;
    let mut config = ProcessConfig::of_this_program(dir.path().join("agent"))?;
    config.options = ["--confine", confine, "--idle", "1s"].map(OsString::from).to_vec();
    let mut engine = ProcessEngine::open(config)?;
    let words = engine.describe().features.confinement;
    let rate = timed(&mut || {
        let (mut next, mut ended) = (0u32, 0u32);
        let mut running = BTreeSet::new();
        while ended < tasks {
            while next < tasks && running.len() + BATCH <= IN_FLIGHT_MAX {
                let batch: Vec<Launch> = (0..BATCH as u32)
                    .map(|n| launch(&engine, next + n))
                    .take((tasks - next) as usize)
                    .collect();
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
        Ok(())
    })?;
    Ok((words, rate))
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
    }
}
