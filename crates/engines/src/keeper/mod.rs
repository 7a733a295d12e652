//! The keeper: a small process per agent that owns the task processes and outlives the agent.
//!
//! It starts and reaps tasks, writes down what happened before anyone hears of it, holds their
//! limits, and ends a task whose lease runs out although nobody is left to ask for it. It knows
//! no network and no exchange; its only visitor is the agent of the same user, over a socket in
//! the data folder.
//!
//! Invariants: a launch recorded is never launched again; a task is reported ended only when
//! nothing of it runs; no task outlives its keeper (it dies with it, and the next keeper kills
//! what slipped through before it takes anybody's orders).

mod connection;
pub(crate) mod core;
pub(crate) mod ending;
mod folder;
mod looking;
mod recover;
mod serving;
pub(crate) mod spawner;
mod starting;
pub(crate) mod task;
pub(crate) mod workshop;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use dayan_units::{Span, parse_span};

pub(crate) use folder::{Folder, Lock};
use workshop::Workshop;

use crate::card_energy::CardEnergy;
use crate::confine::{Allowed, Confinement};
use crate::energy::Energy;
use crate::journal::Journal;
use crate::{BootClock, Enforcement, Features, command, sys};

/// How long a keeper without tasks and without an agent stays: an agent that is restarted or
/// upgraded finds it again, a machine that has left the exchange is rid of it within a minute.
const IDLE_STAY: Span = Span::from_secs(60);

/// Locked by the keeper while it lives.
pub(crate) const KEEPER_LOCK: &str = "keeper.lock";
/// Locked by the agent's engine while it lives.
pub(crate) const AGENT_LOCK: &str = "agent.lock";

/// What a started keeper writes to its standard output once it can be reached.
pub(crate) const READY: &str = "ready\n";

/// Why a keeper could not do its work.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// It was called wrongly.
    #[error(
        "keeper.usage: {0}; usage: keeper --dir DIR [--idle 60s] [--confine best|v2|v1|watch] \
         [--containers SOCKET]"
    )]
    Usage(String),
    /// Another keeper has this folder.
    #[error("keeper.taken: another keeper owns {0}")]
    Taken(PathBuf),
    /// No container could have the files of this agent's tasks.
    #[error("keeper.users: {0}")]
    Users(String),
    /// Reading or writing failed.
    #[error("keeper.io: {doing}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

pub(crate) fn failed(doing: &'static str) -> impl FnOnce(io::Error) -> KeeperError {
    move |source| KeeperError::Io { doing, source }
}

struct Options {
    dir: PathBuf,
    idle: Span,
    allowed: Allowed,
    /// The socket of podman or docker, where containers are kept instead of processes.
    containers: Option<PathBuf>,
    /// Is this the process that works, rather than the one that starts it again?
    worker: bool,
}

fn options(mut args: impl Iterator<Item = OsString>) -> Result<Options, KeeperError> {
    let usage = |what: &str| KeeperError::Usage(what.to_owned());
    let (mut dir, mut idle, mut allowed) = (None, IDLE_STAY, Allowed::Best);
    let (mut containers, mut worker) = (None, false);
    while let Some(name) = args.next() {
        let value = args.next().ok_or_else(|| usage("an option without a value"))?;
        let text = value.to_str().unwrap_or_default();
        match name.to_str() {
            Some("--dir") => dir = Some(PathBuf::from(value)),
            Some("--containers") => containers = Some(PathBuf::from(value)),
            Some("--worker") => worker = true,
            Some("--idle") => idle = parse_span(text).map_err(|e| usage(&e.to_string()))?,
            Some("--confine") => {
                allowed = match text {
                    "best" => Allowed::Best,
                    "v2" => Allowed::V2,
                    "v1" => Allowed::V1,
                    "watch" => Allowed::Watch,
                    _ => return Err(usage("--confine knows best, v2, v1 and watch")),
                }
            }
            _ => return Err(usage("an unknown option")),
        }
    }
    let dir = dir.ok_or_else(|| usage("--dir is missing"))?;
    Ok(Options { dir, idle, allowed, containers, worker })
}

/// Runs a keeper until it has nothing left to keep. `args` are the words after the program's name
/// (and after the hidden subcommand, where there is one). Call it before any thread is started.
pub fn run(args: impl Iterator<Item = OsString>) -> Result<(), KeeperError> {
    let args: Vec<OsString> = args.collect();
    let options = options(args.iter().cloned())?;
    if let Some(socket) = options.containers {
        return run_containers(&args, options.dir, socket, options.idle, options.worker);
    }
    sys::close_inherited_on_exec();
    // Out of the agent's session, so that what ends that does not end us. It fails only if we
    // lead one already.
    let _ = rustix::process::setsid();
    let folder = Folder::open(&options.dir).map_err(failed("opening the data folder"))?;
    let Some(lock) = folder.lock(KEEPER_LOCK).map_err(failed("locking the data folder"))? else {
        return Err(KeeperError::Taken(folder.root().to_owned()));
    };
    // A running task takes up to fourteen descriptors: its own, its pipes', its cgroups'.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    // With fewer, fewer tasks run at once; the others wait.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, files);
    // Nothing keeps a folder busy that it does not own.
    rustix::process::chdir("/").map_err(|e| failed("leaving the folder")(e.into()))?;
    let signals = sys::signal_fd().map_err(failed("setting up signals"))?;
    // Orphans of tasks come to us, not to the machine's first process.
    let me = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(me))
        .map_err(|e| failed("becoming the orphans' parent")(e.into()))?;

    let clock = BootClock::of_this_machine().map_err(failed("reading the boot id"))?;
    let (journal, records) =
        Journal::open(&folder.journal()).map_err(failed("opening the journal"))?;
    let bubblewrap = find_bubblewrap();
    let (energy, card_energy) = (Energy::probe(), CardEnergy::probe());
    let confinement = Confinement::probe(folder.name(), options.allowed);
    let [cpu_limit, memory_limit, pids_limit] = confinement.enforcement();
    let features = Features {
        confinement: confinement.words().to_owned(),
        cpu_limit,
        memory_limit,
        pids_limit,
        oom_told_apart: memory_limit == Enforcement::Enforced,
        bubblewrap: bubblewrap.is_some(),
        energy: energy.is_some() || card_energy.is_some(),
        survives_agent: true,
        survives_keeper: false,
        signals: true,
        signals_told_apart: true,
        folders: true,
        images: false,
    };
    let workshop = Workshop::open(folder.spares()).map_err(failed("making room for folders"))?;
    recover::kill_left(&folder, &confinement, &records, clock);

    let mut keeper = core::Keeper::new(core::Parts {
        listener: listen(&folder).map_err(failed("listening"))?,
        folder,
        workshop,
        clock,
        journal,
        confinement,
        features,
        bubblewrap,
        energy,
        card_energy,
        signals,
        idle_stay: options.idle,
    })
    .map_err(failed("starting"))?;
    keeper.adopt(records);
    // Whoever started us waits for this word; if nobody does, it is not missed.
    let mut out = io::stdout();
    let _ = out.write_all(READY.as_bytes()).and_then(|()| out.flush());
    let outcome = keeper.run().map_err(failed("keeping tasks"));
    drop(lock);
    outcome
}

#[cfg(feature = "containers")]
fn run_containers(
    args: &[OsString],
    dir: PathBuf,
    socket: PathBuf,
    idle: Span,
    worker: bool,
) -> Result<(), KeeperError> {
    use crate::container::keeper;
    if worker { keeper::work(&keeper::Order { dir, socket, idle }) } else { keeper::guard(args) }
}

#[cfg(not(feature = "containers"))]
fn run_containers(
    _: &[OsString],
    _: PathBuf,
    _: PathBuf,
    _: Span,
    _: bool,
) -> Result<(), KeeperError> {
    Err(KeeperError::Usage("this program was built without containers".to_owned()))
}

pub(crate) fn listen(folder: &Folder) -> io::Result<UnixListener> {
    let (address, _folder) = folder.socket()?;
    match std::fs::remove_file(&address) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The mask makes the socket 0600 from its first moment; a chmod afterwards would be late.
    let mask = rustix::process::umask(rustix::fs::Mode::from_bits_truncate(0o177));
    let listener = UnixListener::bind(&address);
    rustix::process::umask(mask);
    let listener = listener?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Where bubblewrap is, if it works: unprivileged namespaces may be switched off.
fn find_bubblewrap() -> Option<PathBuf> {
    let path = command::DEFAULT_PATH.split(':').map(|folder| PathBuf::from(folder).join("bwrap"));
    path.into_iter().find(|program| {
        std::process::Command::new(program)
            .args(["--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "/bin/true"])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    })
}
