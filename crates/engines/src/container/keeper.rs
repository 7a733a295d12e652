//! The process that keeps containers, and the one that starts it anew.
//!
//! Containers outlive their keeper. So that none is without one for long, the keeper is started by
//! a process that does nothing but wait for it: one that died (and did not end) is started again,
//! and adopts what the last one held. Invariant: nothing is launched again for what is found in the
//! notes; a container of ours that nobody knows is removed.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use dayan_units::{AttemptId, Span};
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};

use super::api::{About, Service};
use super::cgroup::{self, Trees};
use super::holding::{Held, Note, Ran};
use super::house::House;
use super::owner;
use super::recipe::{Kitchen, LABEL_AGENT};
use super::tending;
use crate::journal::Journal;
use crate::keeper::{Folder, KEEPER_LOCK, KeeperError, READY, failed, listen};
use crate::{
    BootClock, Counters, End, Enforcement, Features, Outcome, Signal, Waker, sys, wall_now,
};

/// The word by which the waiting process calls the working one.
pub(crate) const WORKER: &str = "--worker";
/// How the working one ends when another keeper has the folder.
const TAKEN: i32 = 3;
/// Pause before a keeper that died is started again.
const AGAIN_AFTER: Span = Span::from_millis(100);
/// How often in a row it is started again: one that dies at once a hundred times dies of the same.
const AGAIN_MAX: u32 = 100;
/// How long the service may take to say what it is, when a keeper starts for the first time.
const ABOUT_WITHIN: Duration = Duration::from_secs(15);
/// Pause between such questions.
const ABOUT_AGAIN_AFTER: Duration = Duration::from_millis(100);
/// From telling a task to end to killing it when the keeper itself is told to end.
const LEAVE_GRACE: Span = Span::from_secs(5);
/// What the service last said about itself, for a keeper that starts while it is away.
const ABOUT_FILE: &str = "service.json";

/// Has a keeper of containers been in this folder?
pub(super) fn was_here(dir: &Path) -> bool {
    dir.join(ABOUT_FILE).exists()
}

/// Starts the keeper, and again whenever it dies. `args` are all words after the program's own and
/// its subcommand's.
pub(crate) fn guard(args: &[OsString]) -> Result<(), KeeperError> {
    let program = std::env::current_exe().map_err(failed("finding this program"))?;
    // The words before the options: none for a program of its own, the subcommand for the product.
    let words = std::env::args_os().skip(1).take_while(|word| Some(word) != args.first());
    let words: Vec<OsString> = words.collect();
    let pause = Waker::new().map_err(failed("making a waker"))?;
    for _ in 0..AGAIN_MAX {
        let status = Command::new(&program)
            .args(&words)
            .args(args)
            .args([WORKER, "yes"])
            .stdin(Stdio::null())
            .status()
            .map_err(failed("starting the keeper"))?;
        match (status.code(), status.signal()) {
            (Some(0), _) => return Ok(()),
            (Some(TAKEN), _) => return Err(KeeperError::Taken(PathBuf::from("this folder"))),
            (Some(1), _) => {
                let error = io::Error::other("see the lines before");
                return Err(failed("keeping containers")(error));
            }
            (code, by) => {
                // Its standard error is the keeper's log.
                eprintln!("the keeper of containers died ({code:?}, {by:?}); it is started again");
            }
        }
        pause.wait(AGAIN_AFTER);
    }
    Err(failed("keeping containers")(io::Error::other("it dies again and again")))
}

/// What a keeper of containers is started with.
pub(crate) struct Order {
    pub dir: PathBuf,
    pub socket: PathBuf,
    pub idle: Span,
}

/// Keeps containers until there is nothing left to keep.
pub(crate) fn work(order: &Order) -> Result<(), KeeperError> {
    sys::close_inherited_on_exec();
    // Out of the agent's session, so that what ends that does not end us. It fails only if we
    // lead one already.
    let _ = rustix::process::setsid();
    let folder = Folder::open(&order.dir).map_err(failed("opening the data folder"))?;
    let Some(lock) = folder.lock(KEEPER_LOCK).map_err(failed("locking the data folder"))? else {
        std::process::exit(TAKEN);
    };
    if !cgroup::is_mountable(folder.root()) {
        let words = "its path has a colon or a comma, which words for mounts cannot carry";
        return Err(failed("opening the data folder")(io::Error::other(words)));
    }
    rustix::process::chdir("/").map_err(|e| failed("leaving the folder")(e.into()))?;
    // Each container takes two connections and a descriptor.
    let mut files = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    files.current = files.maximum;
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, files);

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("making a runtime"))?;
    let local = tokio::task::LocalSet::new();
    let outcome = local.block_on(&runtime, keep(order, folder));
    drop(lock);
    outcome
}

async fn keep(order: &Order, folder: Folder) -> Result<(), KeeperError> {
    let clock = BootClock::of_this_machine().map_err(failed("reading the boot id"))?;
    let notes = folder.root().join("containers.journal");
    let (journal, notes) = Journal::open(&notes).map_err(failed("opening the notes"))?;
    let service = Service::at(&order.socket);
    let about = about(&service, &folder).await.map_err(failed("asking podman or docker"))?;
    let cgroup = Some(format!("/{}", folder.name()))
        .filter(|_| Trees::find().can_hold(&about, folder.name()));
    let us = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let maps = maps(&service).await;
    let owner = owner::of(us, &about, folder.name(), &maps).map_err(KeeperError::Users)?;
    let kitchen = Kitchen {
        agent: folder.name().to_owned(),
        rootless: about.rootless && !about.docker,
        docker: about.docker,
        cdi: about.cdi,
        cgroup,
        owner,
        init: true,
    };
    let features = features(&about, &kitchen);
    let house = Rc::new(House::new(folder, clock, service, kitchen, features, journal));
    adopt(&house, notes);

    if about.docker {
        let (house, socket) = (Rc::clone(&house), order.socket.clone());
        tokio::task::spawn_local(async move { house.presence.hold(&socket).await });
    }
    let listener = listen(&house.folder).map_err(failed("listening"))?;
    let listener = UnixListener::from_std(listener).map_err(failed("listening"))?;
    let mut told = signal(SignalKind::terminate()).map_err(failed("setting up signals"))?;
    let swept = Rc::clone(&house);
    tokio::task::spawn_local(async move { sweep(&swept).await });
    // Whoever started us waits for this word; if nobody does, it is not missed.
    let mut out = io::stdout();
    let _ = out.write_all(READY.as_bytes()).and_then(|()| out.flush());

    let mut quiet_since = clock.now();
    loop {
        if !house.is_quiet() {
            quiet_since = clock.now();
        }
        let left = quiet_since.plus(order.idle).since(clock.now());
        let leaves = house.is_quiet() && (house.leaving.get() || left <= Span::ZERO);
        if leaves {
            if let Some(cgroup) = &house.kitchen.borrow().cgroup {
                house.trees.remove(cgroup);
            }
            return Ok(());
        }
        let wait = left.max(Span::from_millis(10)).to_std().min(Duration::from_mins(1));
        tokio::select! {
            visitor = listener.accept() => {
                if let Ok((stream, _)) = visitor {
                    tokio::task::spawn_local(Rc::clone(&house).visit(stream));
                }
            }
            _ = told.recv() => leave(&house),
            () = house.quieter.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Which users there are here, and to the service, where its process is seen from here.
async fn maps(service: &Service) -> Vec<String> {
    let of = |whose: &str| std::fs::read_to_string(format!("/proc/{whose}/uid_map")).ok();
    let peer = service.peer().await.map(|(_, pid)| pid).filter(|pid| *pid > 0);
    of("self").into_iter().chain(peer.and_then(|pid| of(&pid.to_string()))).collect()
}

/// What the service is. A keeper that was started before knows it although the service is away.
async fn about(service: &Service, folder: &Folder) -> io::Result<About> {
    let path = folder.root().join(ABOUT_FILE);
    let known = std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
    let asking = async {
        loop {
            match service.about().await {
                Ok(about) => return about,
                Err(error) => tracing::debug!(%error, "the container service is asked again"),
            }
            tokio::time::sleep(ABOUT_AGAIN_AFTER).await;
        }
    };
    // One that was here before has tasks to care for.
    let within = if known.is_some() { ABOUT_AGAIN_AFTER * 10 } else { ABOUT_WITHIN };
    match (tokio::time::timeout(within, asking).await, known) {
        (Ok(about), _) => {
            let text = serde_json::to_vec(&about).map_err(io::Error::other)?;
            std::fs::write(&path, text)?;
            Ok(about)
        }
        (Err(_), Some(known)) => Ok(known),
        (Err(_), None) => {
            let error = service.about().await.err().map(|error| error.to_string());
            Err(io::Error::other(error.unwrap_or_else(|| "it does not answer".to_owned())))
        }
    }
}

fn features(about: &About, kitchen: &Kitchen) -> Features {
    let held = |has: bool| if has { Enforcement::Enforced } else { Enforcement::Absent };
    let [cpu, memory, pids] = about.limits.map(held);
    let counted = match &kitchen.cgroup {
        Some(_) => "counted to the end",
        None => "counted once a second",
    };
    let why = match &about.holds_none {
        Some(why) => format!("; not all limits are held: {why}"),
        None => String::new(),
    };
    Features {
        confinement: format!("containers of {}, {counted}{why}", about.words),
        cpu_limit: cpu,
        memory_limit: memory,
        pids_limit: pids,
        oom_told_apart: memory == Enforcement::Enforced,
        bubblewrap: false,
        energy: false,
        survives_agent: true,
        survives_keeper: true,
        signals: true,
        signals_told_apart: false,
        folders: true,
        images: true,
    }
}

/// Takes over what the notes say.
fn adopt(house: &Rc<House>, notes: Vec<Note>) {
    let (now, boot) = (house.clock.now(), house.clock.boot());
    let mut open: BTreeMap<AttemptId, (Held, bool)> = BTreeMap::new();
    for note in notes {
        match note {
            Note::Launched { attempt, at, boot: of, lease_end, limits, steps } => {
                let mut held = Held::new(attempt, limits, lease_end, now, at);
                held.steps = steps;
                open.insert(attempt, (held, of == boot));
            }
            Note::Asked { attempt, step } => {
                if let Some((held, _)) = open.get_mut(&attempt) {
                    held.asked = Some(step);
                }
            }
            Note::Started { attempt, at, boot_at, first, cgroup, current } => {
                if let Some((held, _)) = open.get_mut(&attempt) {
                    held.begin(Ran { at, boot_at, first, cgroup }, current);
                }
            }
            Note::Lease { attempt, at } => {
                if let Some((held, _)) = open.get_mut(&attempt) {
                    held.extend(at, now);
                }
            }
            Note::Ending { attempt, outcome, kill_at } => {
                if let Some((held, _)) = open.get_mut(&attempt) {
                    held.end_by(outcome, kill_at);
                }
            }
            Note::Ended { attempt, end, usage } => {
                if let Some((held, _)) = open.get_mut(&attempt) {
                    held.ended = Some(end);
                    held.usage = usage;
                }
            }
            Note::Forgotten { attempt } => {
                open.remove(&attempt);
                house.bury(attempt);
            }
        }
    }
    for (attempt, (mut held, this_boot)) in open {
        let goes_on = held.is_live() && this_boot;
        if held.is_live() && !this_boot {
            // The machine went down with everything it ran.
            let end = End { at: wall_now(), outcome: Outcome::KeeperDied };
            house.note(&Note::Ended { attempt, end: end.clone(), usage: Counters::default() });
            held.ended = Some(end);
        }
        if goes_on {
            held.logs = house.logs_of(attempt, &held);
        }
        house.adopt(held);
        if goes_on {
            tokio::task::spawn_local(tending::adopted(Rc::clone(house), attempt));
        }
    }
}

/// Removes containers of ours that no open attempt is for: what was left when a keeper died.
async fn sweep(house: &Rc<House>) {
    let ours = loop {
        match house.service.named(LABEL_AGENT, house.folder.name()).await {
            Ok(names) => break names,
            Err(_) => tokio::time::sleep(ABOUT_AGAIN_AFTER).await,
        }
    };
    for name in ours {
        // Asked at this moment: one may have been launched since the list was made.
        if house.has_live_named(&name) {
            continue;
        }
        if let Err(error) = house.service.remove(&name).await {
            tracing::warn!(%error, name, "a container that nobody knows cannot be removed");
        }
    }
    let cgroup = house.kitchen.borrow().cgroup.clone();
    for (ours, name) in cgroup
        .iter()
        .flat_map(|ours| house.trees.below(ours).into_iter().map(move |name| (ours, name)))
    {
        if !house.has_live_named(&name) {
            // One that is not empty yet is its container's to remove.
            house.trees.remove(&format!("{ours}/{name}"));
        }
    }
}

fn leave(house: &House) {
    house.leaving.set(true);
    for attempt in house.live_attempts() {
        tending::end(house, attempt, Outcome::Stopped, Signal::TERM, LEAVE_GRACE);
    }
    house.quieter.notify_one();
}
