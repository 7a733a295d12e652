//! The threads that make processes.
//!
//! Invariant: they live as long as the keeper, because a task dies with the thread that made it
//! (`PR_SET_PDEATHSIG`). While a process is made its thread is stopped until the program
//! executes, so there are several; one alone would reach half of what two cores can do.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};

use dayan_units::{Bytes, Time};
use rustix::pipe::{PipeFlags, pipe_with};

use super::workshop::Workshop;
use crate::command;
use crate::sys::{self, Child, ChildStack, Step};
use crate::{
    BootClock, BootTime, Isolation, Launch, Program, StartFailure, Waker, Workdir, wall_now,
};

/// Threads per processor. One each would do on an idle machine; on a busy one a process that
/// joins a cgroup waits for its turn among all others before it executes, several milliseconds,
/// and its thread with it. Four keep the processors supplied meanwhile.
const THREADS_PER_CORE: usize = 4;
/// Threads at most: beyond, starting processes is bound by the kernel's own locks.
const THREADS_MAX: usize = 32;

/// One process to be made.
pub(crate) struct Job {
    /// The caller's key.
    pub task: u32,
    pub launch: Box<Launch>,
    pub work: PathBuf,
    pub fence: String,
    pub join: Option<Arc<Vec<OwnedFd>>>,
    /// Private memory of each process, where no cgroup limits all of them: see [`data_limit`].
    pub data_limit: Option<u64>,
    pub bubblewrap: Option<PathBuf>,
}

/// A process that runs.
pub(crate) struct Running {
    pub pid: i32,
    /// Just before it was made, by the wall clock and by the boot clock.
    pub started_at: Time,
    pub started: BootTime,
    pub pidfd: OwnedFd,
    pub stdout: OwnedFd,
    pub stderr: OwnedFd,
}

/// What became of a job.
pub(crate) struct Made {
    pub task: u32,
    pub outcome: Result<Running, StartFailure>,
}

#[derive(Default)]
struct Queues {
    jobs: Mutex<VecDeque<Job>>,
    more: Condvar,
    made: Mutex<Vec<Made>>,
}

/// The threads and what goes to and fro.
pub(crate) struct Spawner {
    queues: Arc<Queues>,
    /// Rung when something was made.
    pub bell: Waker,
    threads: usize,
}

impl Spawner {
    pub(super) fn start(clock: BootClock, workshop: &Workshop) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let threads = (cores * THREADS_PER_CORE).min(THREADS_MAX);
        let queues = Arc::new(Queues::default());
        let bell = Waker::new()?;
        let null = Arc::new(OwnedFd::from(fs::File::open("/dev/null")?));
        for n in 0..threads {
            let (queues, bell, null) = (Arc::clone(&queues), bell.clone(), Arc::clone(&null));
            let workshop = workshop.clone();
            std::thread::Builder::new()
                .name(format!("spawn-{n}"))
                .stack_size(256 << 10)
                .spawn(move || work(clock, &queues, &bell, &workshop, &null))?;
        }
        Ok(Self { queues, bell, threads })
    }

    /// How many jobs to hand over at once: enough that no thread waits for the next, few enough
    /// that what is stopped while it queues need never start.
    pub(crate) const fn depth(&self) -> usize {
        self.threads * 2
    }

    pub(crate) fn submit(&self, job: Job) {
        self.queues.jobs.lock().expect("no thread panics holding it").push_back(job);
        self.queues.more.notify_one();
    }

    pub(crate) fn made(&self) -> Vec<Made> {
        self.bell.quiet();
        std::mem::take(&mut *self.queues.made.lock().expect("no thread panics holding it"))
    }
}

fn work(clock: BootClock, queues: &Queues, bell: &Waker, workshop: &Workshop, null: &OwnedFd) {
    let mut stack = ChildStack::new();
    loop {
        let mut jobs = queues.jobs.lock().expect("no thread panics holding it");
        let job = loop {
            match jobs.pop_front() {
                Some(job) => break job,
                None => jobs = queues.more.wait(jobs).expect("no thread panics holding it"),
            }
        };
        drop(jobs);
        let outcome = make(clock, &job, &|path| workshop.hand_out(path), null, &mut stack);
        let mut made = queues.made.lock().expect("no thread panics holding it");
        made.push(Made { task: job.task, outcome });
        if made.len() == 1 {
            bell.wake();
        }
    }
}

/// Private memory that a process may ask for beyond twice its task's limit, where no cgroup holds the task:
/// so much that what asks for it and does not fill it (stacks of threads, arenas of allocators: forty stacks
/// of 200 MB are 8 GB) is not refused. What is filled is looked at four times a second, and ends the task as
/// out of memory; a process that is refused instead says so in its own way, and nobody gives it more.
const DATA_RESERVE: u64 = 8 << 30;

/// What each process of a task may ask for where its memory is only watched: a bound for what would take
/// the whole machine between two looks.
pub(crate) const fn data_limit(memory: Bytes) -> u64 {
    memory.0.saturating_mul(2).saturating_add(DATA_RESERVE)
}

fn other(error: impl std::fmt::Display) -> StartFailure {
    StartFailure::Other(error.to_string())
}

/// Makes the process of a job. `hand_out` makes sure of its fresh folder.
pub(crate) fn make(
    clock: BootClock,
    job: &Job,
    hand_out: &dyn Fn(&Path) -> io::Result<()>,
    null: &OwnedFd,
    stack: &mut ChildStack,
) -> Result<Running, StartFailure> {
    let launch = &*job.launch;
    let workdir = match &launch.workdir {
        Workdir::Fresh => {
            hand_out(&job.work)
                .map_err(|e| StartFailure::Workdir(format!("{}: {e}", job.work.display())))?;
            &job.work
        }
        Workdir::At(path) => path,
    };
    let argv = command::arguments(&launch.program).map_err(other)?;
    let program = argv[0].clone();
    let argv = match (&launch.isolation, &job.bubblewrap) {
        (Isolation::None, _) => argv,
        (isolation, Some(wrapper)) => {
            // A launch with a folder of its own may have none at the engine.
            let attempt = if job.work.is_dir() { &job.work } else { workdir };
            let folders = command::Folders { attempt, workdir };
            command::isolated(isolation, wrapper, folders, argv)
        }
        (_, None) => return Err(other("bubblewrap is not installed")),
    };
    let path = launch.env.get("PATH").map_or(command::DEFAULT_PATH, String::as_str);
    let candidates = command::candidates(&argv[0], path).map_err(other)?;
    let envp = command::environment(&launch.env, workdir, &job.fence).map_err(other)?;
    let strings = |argv: Vec<String>| {
        argv.into_iter().map(std::ffi::CString::new).collect::<Result<Vec<_>, _>>().map_err(other)
    };
    let workdir_c = std::ffi::CString::new(workdir.as_os_str().as_bytes()).map_err(other)?;
    let argv = strings(argv)?;
    let mut rlimits = vec![(sys::RLIMIT_NOFILE, launch.limits.open_files), (sys::RLIMIT_CORE, 0)];
    rlimits.extend(job.data_limit.map(|bytes| (sys::RLIMIT_DATA, bytes)));

    let (stdout, stdout_end) = pipe_with(PipeFlags::CLOEXEC).map_err(no_room)?;
    let (stderr, stderr_end) = pipe_with(PipeFlags::CLOEXEC).map_err(no_room)?;
    // Only our ends: a task expects its output to block, not to fail.
    for ours in [&stdout, &stderr] {
        rustix::io::ioctl_fionbio(ours, true).map_err(no_room)?;
    }
    let mut child = Child {
        candidates: &candidates,
        argv: &argv,
        envp: &envp,
        workdir: &workdir_c,
        join: job.join.as_ref().map_or(&[], |join| join.as_slice()),
        stdio: [null.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()],
        rlimits: &rlimits,
        cpu_set: &launch.limits.cpu_set,
    };
    let (started_at, started) = (wall_now(), clock.now());
    let mut process = sys::spawn(&child, stack);
    let script: Vec<_>;
    if let Err((Step::Exec, error)) = &process
        && error.raw_os_error() == Some(libc::ENOEXEC)
    {
        // A script that does not say for whom: POSIX has the shell read it.
        script = [c"/bin/sh".to_owned()].into_iter().chain(argv.iter().cloned()).collect();
        let shell = [c"/bin/sh".to_owned()];
        child.candidates = &shell;
        child.argv = &script;
        process = sys::spawn(&child, stack);
    }
    match process {
        Ok(process) => Ok(Running {
            pid: process.pid,
            pidfd: process.pidfd,
            started_at,
            started,
            stdout,
            stderr,
        }),
        Err((step, error)) => {
            // The shell that reads a line and the wrapper around an isolated task are the machine's.
            let shell = matches!(launch.program, Program::Shell(_)) && program == command::SHELL;
            let named = !shell && launch.isolation == Isolation::None;
            match failure(step, &error, program, workdir) {
                StartFailure::NoSuchProgram(_) | StartFailure::NotExecutable(_) if !named => {
                    let ours = candidates.first().map(|path| path.to_string_lossy());
                    Err(other(format!("{}: {error}", ours.unwrap_or_default())))
                }
                failure => Err(failure),
            }
        }
    }
}

fn no_room(error: rustix::io::Errno) -> StartFailure {
    StartFailure::NoRoom(error.to_string())
}

fn failure(step: Step, error: &io::Error, program: String, workdir: &Path) -> StartFailure {
    match (step, error.raw_os_error()) {
        (Step::Exec, Some(libc::ENOENT | libc::ENOTDIR)) => StartFailure::NoSuchProgram(program),
        (Step::Exec, Some(libc::E2BIG)) => {
            StartFailure::Other("the arguments and environment are too long".to_owned())
        }
        (Step::Exec, Some(libc::ENOMEM | libc::EAGAIN)) | (Step::Clone, _) => {
            StartFailure::NoRoom(error.to_string())
        }
        (Step::Exec, _) => StartFailure::NotExecutable(program),
        (Step::Workdir, _) => StartFailure::Workdir(format!("{}: {error}", workdir.display())),
        (Step::Join | Step::Limits, _) => StartFailure::Limits(error.to_string()),
        (Step::Session | Step::Streams, _) => StartFailure::Other(error.to_string()),
    }
}
