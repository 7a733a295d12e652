//! The wrapper: what Slurm starts on a node in place of a task. It claims its element, makes the
//! task's process, holds its lease and its limits, keeps its output, and writes down its end.
//!
//! Invariants: a task is started only by who made its claim; it is ended when its lease is over,
//! whether or not anybody is left to say so and whether or not the shared file system answers
//! (what waits for files is done on threads of their own); an end is written only when nothing of
//! the task runs. It knows the shared folder and its own node, and speaks to nobody.

mod files;
mod gang;
mod memory;
mod pump;
mod tending;

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::channel;

use dayan_units::{Span, parse_span};

use super::batch::{read_launch, read_order};
use super::file_clock::FileClock;
use super::layout::{BatchId, Index, Layout};
use super::report::{self, Claim, Claimed, Report, Stand};
use crate::keeper::spawner::{self, Job, Made, Running};
use crate::keeper::task::{Live, Stage, Task};
use crate::keeper::workshop;
use crate::logs::LogWriter;
use crate::sys::{self, ChildStack};
use crate::{
    BootClock, Counters, End, Enforcement, Launch, LeaseEnd, Outcome, StartFailure, Stream,
    wall_now,
};

use files::Desk;
use pump::Pump;

/// Variables by which Slurm says which devices it has given to a job. All others of its own are
/// kept from the task, whose environment is the launch's.
const DEVICE_VARIABLES: [&str; 6] = [
    "CUDA_VISIBLE_DEVICES",
    "ROCR_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "ZE_AFFINITY_MASK",
    "ASCEND_RT_VISIBLE_DEVICES",
];

/// Why a wrapper could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum WrapperError {
    /// It was called wrongly.
    #[error(
        "wrapper.usage: {0}; usage: slurm-task --dir DIR --batch ID [--usage-every 10s] \
         [--memory watched|enforced] [--shape array|gang]"
    )]
    Usage(String),
    /// Reading or writing failed.
    #[error("wrapper.io: {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> WrapperError {
    move |source| WrapperError::Io { doing, source }
}

/// How long after its start a task is worth news of its own and a thread that looks for orders. On a
/// cluster starting took longer than this, and what ends sooner costs the shared file system one file
/// less.
const SETTLE: Span = Span::from_millis(300);

struct Options {
    dir: PathBuf,
    batch: BatchId,
    usage_every: Span,
    memory: Enforcement,
    /// The variable by which Slurm says which element this is.
    index: &'static str,
}

/// How often what runs is counted for the agent, unless told.
const USAGE_EVERY: Span = Span::from_secs(10);

fn options(mut args: impl Iterator<Item = OsString>) -> Result<Options, WrapperError> {
    let usage = |what: &str| WrapperError::Usage(what.to_owned());
    let (mut dir, mut batch) = (None, None);
    let (mut usage_every, mut memory) = (USAGE_EVERY, Enforcement::Watched);
    let mut index = "SLURM_ARRAY_TASK_ID";
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| usage("an option without a value"))?;
        let text = value.to_str().unwrap_or_default();
        match name.to_str() {
            Some("--dir") => dir = Some(PathBuf::from(value)),
            Some("--batch") => batch = BatchId::parse(text),
            Some("--usage-every") => {
                usage_every = parse_span(text).map_err(|e| usage(&e.to_string()))?;
            }
            Some("--memory") => {
                memory = match text {
                    "watched" => Enforcement::Watched,
                    "enforced" => Enforcement::Enforced,
                    _ => return Err(usage("--memory knows watched and enforced")),
                }
            }
            Some("--shape") => {
                index = match text {
                    "array" => "SLURM_ARRAY_TASK_ID",
                    "gang" => "SLURM_PROCID",
                    _ => return Err(usage("--shape knows array and gang")),
                }
            }
            _ => return Err(usage("an unknown option")),
        }
    }
    Ok(Options {
        index,
        dir: dir.ok_or_else(|| usage("--dir is missing"))?,
        batch: batch.ok_or_else(|| usage("--batch is missing or is no id"))?,
        usage_every,
        memory,
    })
}

/// Which element this is and how it is told of.
#[derive(Clone)]
struct Element {
    layout: Layout,
    batch: BatchId,
    index: Index,
    node: String,
    job: Option<u32>,
}

/// A number that Slurm gives in the environment.
fn number(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

/// Runs one element to its end; the status is what Slurm's accounting is to show. `args` are the
/// words after the program's name (and after the hidden subcommand, where there is one). Call it
/// before any thread is started.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<u8, WrapperError> {
    let options = options(args)?;
    sys::close_inherited_on_exec();
    let signals = sys::signal_fd().map_err(failed("setting up signals"))?;
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me))
        .map_err(|e| failed("becoming the orphans' parent")(e.into()))?;
    let clock = BootClock::of_this_machine().map_err(failed("reading the boot id"))?;
    let layout = Layout::open(&options.dir).map_err(failed("opening the shared folder"))?;
    let element = Element {
        layout,
        batch: options.batch,
        index: number(options.index).unwrap_or(0),
        node: std::env::var("SLURMD_NODENAME").unwrap_or_default(),
        job: number("SLURM_JOB_ID"),
    };
    let claim = Claim::Wrapper { node: element.node.clone(), job: element.job };
    let path = element.layout.claim(element.batch, element.index);
    let Claimed::Now(claimed) = report::claim(&path, &claim).map_err(failed("claiming"))? else {
        // Started before, or ended before it could start: both are written down already.
        return Ok(0);
    };
    let file_clock = FileClock::read(&claimed, clock).map_err(failed("reading the clock"))?;
    drop(claimed);
    let (launches, orders) =
        (element.layout.launches(element.batch), element.layout.orders(element.batch));
    let mut launch = read_launch(&launches, element.index).map_err(failed("reading the launch"))?;
    let order = read_order(&orders, element.index).map_err(failed("reading the orders"))?;
    launch.lease_end = LeaseEnd { boot: clock.boot(), at: file_clock.here(order.until) };
    if launch.accelerators > 0 {
        let given = DEVICE_VARIABLES
            .iter()
            .filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value)));
        launch.env.extend(given);
    }
    gang::tell_of_nodes(&mut launch);
    let mut desk = Desk::new(element, launch.attempt, clock, file_clock, order);
    let early = match order.stop {
        Some(_) => Some(Outcome::Stopped),
        None if launch.lease_end.at <= clock.now() => Some(Outcome::LeaseEnded),
        None => None,
    };
    let outcome = match early {
        Some(outcome) => told(&mut desk, outcome, Counters::default())?,
        None => start(&options, launch, clock, signals, &mut desk)?,
    };
    Ok(u8::try_from(outcome.exit_code() & 0xFF).unwrap_or(u8::MAX))
}

/// Writes down an end of which Slurm knows nothing more.
fn told(desk: &mut Desk, outcome: Outcome, usage: Counters) -> Result<Outcome, WrapperError> {
    let end = End { at: wall_now(), outcome: outcome.clone() };
    desk.say_last(&Stand::Ended { end, by_slurm: false }, usage)
        .map_err(failed("writing the end"))?;
    Ok(outcome)
}

fn start(
    options: &Options,
    launch: Launch,
    clock: BootClock,
    signals: OwnedFd,
    desk: &mut Desk,
) -> Result<Outcome, WrapperError> {
    let (attempt, limits) = (launch.attempt, launch.limits.clone());
    let folder = desk.layout().folder().clone();
    let logs = |stream| LogWriter::new(folder.logs(attempt), stream, limits.log);
    let data_limit = (options.memory == Enforcement::Watched).then_some(limits.memory.0);
    let job = Job {
        task: 0,
        launch: Box::new(launch),
        work: folder.work(attempt),
        fence: folder.fence(attempt),
        join: None,
        data_limit,
        bubblewrap: None,
    };
    let mut task = Task::new(job.launch.clone(), Vec::new(), clock.now(), wall_now());
    task.settle = SETTLE;
    let running = match make(clock, job)?.outcome {
        Ok(running) => running,
        Err(failure) => return told(desk, Outcome::StartFailed(failure), Counters::default()),
    };
    let Running { pid, pidfd, started_at, started, stdout, stderr } = running;
    let pump = Pump::start([(stdout, logs(Stream::Stdout)), (stderr, logs(Stream::Stderr))]);
    task.stage = Stage::Running(Live {
        pid,
        pidfd,
        started_at,
        started,
        slot: None,
        streams: [None, None],
        settled: false,
        within_limits: true,
    });
    let pump = match pump {
        Ok(pump) => pump,
        Err(error) => {
            // Without its output read it would stand still: what cannot be kept must not run.
            sys::signal_group(pid, libc::SIGKILL);
            let failure = StartFailure::NoRoom(error.to_string());
            return told(desk, Outcome::StartFailed(failure), Counters::default());
        }
    };
    let tended = tending::Tended {
        task,
        clock,
        signals,
        fence: folder.fence(attempt),
        usage_every: options.usage_every,
        memory: options.memory,
        by_slurm: false,
        asked: desk.asked(),
    };
    tended.run(desk, pump)
}

/// Makes the process on a thread that lives as long as the wrapper, because the process dies with
/// the thread that made it; and because orphans are told apart from it by that.
fn make(clock: BootClock, job: Job) -> Result<Made, WrapperError> {
    let null = OwnedFd::from(std::fs::File::open("/dev/null").map_err(failed("opening null"))?);
    let (say, made) = channel();
    let work = move || {
        let mut stack = ChildStack::new();
        let outcome = spawner::make(clock, &job, &workshop::make, &null, &mut stack);
        // The wrapper waits for it.
        let _ = say.send(Made { task: 0, outcome });
        loop {
            std::thread::park();
        }
    };
    let thread = std::thread::Builder::new().name("maker".to_owned());
    thread.spawn(work).map_err(failed("starting a thread"))?;
    made.recv().map_err(|_| failed("making the process")(io::Error::other("its thread failed")))
}
