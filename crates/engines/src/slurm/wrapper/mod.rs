//! The wrapper: what Slurm starts on a node in place of a task. It claims its element, makes the
//! task's process, holds its lease and its limits, keeps its output, and writes down its end. Where
//! that came soon, it goes on with the next of the array.
//!
//! Invariants: a task is started only by who made its claim; it is ended when its lease is over,
//! whether or not anybody is left to say so and whether or not the shared file system answers
//! (what waits for files is done on threads of their own); an end is written only when nothing of
//! the task runs. It knows the shared folder and its own node, and speaks to nobody.

mod files;
pub(super) mod gang;
mod memory;
mod next;
mod pump;
mod tending;

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

use dayan_units::{Span, parse_span};
use rustix::event::{PollFd, PollFlags, poll};

use super::batch::{read_launch, read_order};
use super::file_clock::FileClock;
use super::layout::{BatchId, Index, Layout};
use super::report::{self, Claim, Claimed, Report, Stand};
use crate::keeper::spawner::{self, Job, Made, Running};
use crate::keeper::task::{Live, Stage, Task};
use crate::keeper::workshop;
use crate::logs::LogWriter;
use crate::sys::{self, ChildStack};
use crate::waker::timespec;
use crate::{
    BootClock, BootTime, Counters, End, Enforcement, Launch, LeaseEnd, Outcome, StartFailure,
    Stream, wall_now,
};

use files::Desk;
use pump::Pump;
use tending::Over;

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
         [--memory watched|enforced] [--shape array|gang] [--minutes N]"
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

/// What an element is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A job of Slurm's.
    Array,
    /// A process of one.
    Gang,
}

struct Options {
    dir: PathBuf,
    batch: BatchId,
    usage_every: Span,
    memory: Enforcement,
    /// The variable by which Slurm says which element this is.
    index: &'static str,
    kind: Kind,
    /// How long Slurm lets the job run, in minutes; none: for as long as it likes.
    minutes: Option<i64>,
}

/// How often what runs is counted for the agent, unless told.
const USAGE_EVERY: Span = Span::from_secs(10);

fn options(mut args: impl Iterator<Item = OsString>) -> Result<Options, WrapperError> {
    let usage = |what: &str| WrapperError::Usage(what.to_owned());
    let (mut dir, mut batch) = (None, None);
    let (mut usage_every, mut memory) = (USAGE_EVERY, Enforcement::Watched);
    let (mut index, mut kind) = ("SLURM_ARRAY_TASK_ID", Kind::Array);
    let mut minutes = None;
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
                (index, kind) = match text {
                    "array" => ("SLURM_ARRAY_TASK_ID", Kind::Array),
                    "gang" => ("SLURM_PROCID", Kind::Gang),
                    _ => return Err(usage("--shape knows array and gang")),
                }
            }
            Some("--minutes") => {
                let number = text.parse().map_err(|_| usage("--minutes is a number"))?;
                minutes = Some(number);
            }
            _ => return Err(usage("an unknown option")),
        }
    }
    Ok(Options {
        index,
        kind,
        minutes,
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
    /// The job's other nodes, of a head that runs for them all.
    others: Vec<String>,
    job: Option<u32>,
    /// Whose job that is, where it is not the element's own.
    under: Option<Index>,
}

/// An element that was claimed.
struct Taken {
    index: Index,
    /// The claim, open for its clock.
    file: File,
    launch: Launch,
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
    let began = began(clock);
    let (batch, own) = (options.batch, number(options.index).unwrap_or(0));
    let node = std::env::var("SLURMD_NODENAME").unwrap_or_default();
    let job = number("SLURM_JOB_ID");
    let claim = |under| Claim::Wrapper { node: node.clone(), job, under };
    let Claimed::Now(file) =
        report::claim(&layout.claim(batch, own), &claim(None)).map_err(failed("claiming"))?
    else {
        // Started before, or ended before it could start: both are written down already.
        return Ok(0);
    };
    let launch = read_launch(&layout.launches(batch), own).map_err(failed("reading the launch"))?;
    let of = launch.attempt.job;
    let mut bench = Bench { options: &options, clock, signals: &signals, maker: None };
    let element = |index, under| {
        let (layout, node) = (layout.clone(), node.clone());
        Element { layout, batch, index, node, others: Vec::new(), job, under }
    };
    let over = bench.run(element(own, None), Taken { index: own, file, launch })?;
    let status = u8::try_from(over.outcome.exit_code() & 0xFF).unwrap_or(u8::MAX);
    let minutes = options.minutes;
    let host = next::Host { layout: &layout, batch, index: own, clock, began, minutes };
    let mut last = over.last;
    while options.kind == Kind::Array && !last && !told_to_end(&signals) {
        // What cannot be looked for is left to Slurm, which starts it.
        let Ok(Some(taken)) = host.take(of, &claim(Some(own))) else { break };
        last = bench.run(element(taken.index, Some(own)), taken)?.last;
    }
    Ok(status)
}

/// When Slurm gave the job its place, which may be some time before it started us, and from when on
/// it counts. The controller says so by its own clock, so what cannot be is not believed.
fn began(clock: BootClock) -> BootTime {
    const BEFORE_US_MAX: Span = Span::from_secs(3_600);
    let start = std::env::var("SLURM_JOB_START_TIME").ok().and_then(|text| text.parse().ok());
    let since =
        start.map(|secs: i64| Span::from_micros(wall_now().micros()).minus(Span::from_secs(secs)));
    let before = since.filter(|since| *since > Span::ZERO && *since <= BEFORE_US_MAX);
    clock.now().plus(Span::ZERO.minus(before.unwrap_or(Span::ZERO)))
}

/// Has Slurm told this job to end?
fn told_to_end(signals: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(signals, PollFlags::IN)];
    poll(&mut fds, Some(&timespec(Span::ZERO))).is_ok_and(|ready| ready > 0)
}

/// What the tasks of a wrapper have in common.
struct Bench<'a> {
    options: &'a Options,
    clock: BootClock,
    signals: &'a OwnedFd,
    maker: Option<Maker>,
}

impl Bench<'_> {
    /// Runs a task to its end.
    fn run(&mut self, mut element: Element, taken: Taken) -> Result<Over, WrapperError> {
        let Taken { index, file, mut launch } = taken;
        element.others = gang::others(&launch);
        let clock = self.clock;
        let file_clock = FileClock::read(&file, clock).map_err(failed("reading the clock"))?;
        drop(file);
        let order = read_order(&element.layout.orders(element.batch), index)
            .map_err(failed("reading the orders"))?;
        launch.lease_end = LeaseEnd { boot: clock.boot(), at: file_clock.here(order.until) };
        if launch.accelerators > 0 {
            let value = |name: &&str| Some(((*name).to_owned(), std::env::var(name).ok()?));
            launch.env.extend(DEVICE_VARIABLES.iter().filter_map(value));
        }
        gang::tell_of_nodes(&mut launch);
        let (layout, batch) = (element.layout.clone(), element.batch);
        let is_script = gang::is_script(&launch);
        let mark = layout.used_srun(batch, index);
        gang::give_srun(&mut launch, &layout.scripts(), &mark);
        let mut desk = Desk::new(element, launch.attempt, clock, file_clock, order);
        let early = match order.stop {
            Some(_) => Some(Outcome::Stopped),
            None if launch.lease_end.at <= clock.now() => Some(Outcome::LeaseEnded),
            None => None,
        };
        let steps = (!gang::is_head(&launch)).then(|| mark.clone());
        let over = match early {
            Some(outcome) => told(&mut desk, outcome, Counters::default()),
            None => self.start(launch, &mut desk, steps),
        }?;
        // What was started by Slurm may outlive who started it, and ends with the job.
        // Where nobody can tell whether there are steps, there may be some.
        let has_steps = is_script && mark.try_exists().unwrap_or(true);
        Ok(Over { last: over.last || has_steps, ..over })
    }

    fn start(
        &mut self,
        launch: Launch,
        desk: &mut Desk,
        steps: Option<PathBuf>,
    ) -> Result<Over, WrapperError> {
        let (options, clock) = (self.options, self.clock);
        let (attempt, limits) = (launch.attempt, launch.limits.clone());
        let folder = desk.layout().folder().clone();
        let logs = |stream| LogWriter::new(folder.logs(attempt), stream, limits.log);
        let data_limit =
            (options.memory == Enforcement::Watched).then(|| spawner::data_limit(limits.memory));
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
        let running = match self.make(job)?.outcome {
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
            signals: self.signals,
            fence: folder.fence(attempt),
            usage_every: options.usage_every,
            memory: options.memory,
            by_slurm: false,
            told: false,
            asked: desk.asked(),
            steps,
            saw_srun: false,
        };
        tended.run(desk, pump)
    }
}

/// Writes down an end of which Slurm knows nothing more.
fn told(desk: &mut Desk, outcome: Outcome, usage: Counters) -> Result<Over, WrapperError> {
    let end = End { at: wall_now(), outcome: outcome.clone() };
    desk.say_last(&Stand::Ended { end, by_slurm: false, steps: false }, usage)
        .map_err(failed("writing the end"))?;
    Ok(Over { outcome, last: false })
}

/// A thread that makes processes and lives as long as the wrapper, because a process dies with the
/// thread that made it; and because orphans are told apart from it by that.
struct Maker {
    jobs: Sender<Job>,
    made: Receiver<Made>,
}

impl Maker {
    fn start(clock: BootClock) -> Result<Self, WrapperError> {
        let null = OwnedFd::from(File::open("/dev/null").map_err(failed("opening null"))?);
        let (jobs, asked) = channel::<Job>();
        let (say, made) = channel();
        let work = move || {
            let mut stack = ChildStack::new();
            for job in asked {
                let outcome = spawner::make(clock, &job, &workshop::make, &null, &mut stack);
                // The wrapper waits for it.
                let _ = say.send(Made { task: 0, outcome });
            }
        };
        let thread = std::thread::Builder::new().name("maker".to_owned());
        thread.spawn(work).map_err(failed("starting a thread"))?;
        Ok(Self { jobs, made })
    }
}

impl Bench<'_> {
    fn make(&mut self, job: Job) -> Result<Made, WrapperError> {
        let maker = match self.maker.take() {
            Some(maker) => maker,
            None => Maker::start(self.clock)?,
        };
        let maker = self.maker.insert(maker);
        // A thread that failed says nothing.
        let _ = maker.jobs.send(job);
        let gone = |_| failed("making the process")(io::Error::other("its thread failed"));
        maker.made.recv().map_err(gone)
    }
}
