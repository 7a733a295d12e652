//! The engine's own thread: the engine is synchronous, the agent is not.
//!
//! Invariant: an attempt's order is in the book before its launch is at the engine, and its logs
//! are in the archive before the engine forgets it. Commands of one batch are done in the order
//! launches, lease ends, stops, forgetting. A launch that may or may not have reached the engine
//! is asked for again until the engine says which.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use dayan_custody::Counters;
use dayan_engines::slurm::{Answers, Pace, SiteWords};
use dayan_engines::{
    BootId, BootTime, Containers, Engine, EngineInfo, EnterFault, Entrance, Fault, Launch,
    LeaseEnd, LogChunk, Observation, ProcessConfig, ProcessEngine, Signal, SiteCount, SlurmConfig,
    SlurmEngine, StartFault, Stream, Visit, Waker,
};
use dayan_units::{AttemptId, Span};
use dayan_wire::exec::ExecStart;
use dayan_wire::{LeaseOrder, Outcome};
use tokio::sync::{mpsc, oneshot};

use crate::archive::{Archive, Parcel, Upto};
use crate::book::{Book, Noted};
use crate::config::EngineChoice;
use crate::fault::AgentFault;
use crate::home::Home;
use crate::hush::Hush;
use crate::staging::listed;

/// From asking a task to end to killing it: what the exchange reckons with beyond a lease's end.
const STOP_GRACE: Span = Span::from_secs(5);
/// The longest wait for news of the engine; a bell ends it when there is something to do.
const OBSERVE_WAIT: Span = Span::from_secs(30);
/// How often the keeper is looked for, or started.
const OPEN_TRIES_MAX: u32 = 3;
/// The pause before an engine that failed is asked again.
const RETRY_PAUSE: Span = Span::from_millis(200);

/// What a terminal is that nobody has named: one that can nothing.
const NO_TERMINAL_KIND: &str = "dumb";

/// What is to be done.
#[derive(Default)]
pub(crate) struct Work {
    /// To be noted and launched.
    pub(crate) launches: Vec<(Arc<LeaseOrder>, Launch)>,
    /// To be noted only: nothing runs for them.
    pub(crate) notes: Vec<Arc<LeaseOrder>>,
    pub(crate) extends: Vec<(AttemptId, BootTime)>,
    pub(crate) stops: Vec<AttemptId>,
    pub(crate) forgets: Vec<AttemptId>,
    /// What is about to be told of running attempts.
    pub(crate) used: Vec<(AttemptId, Counters)>,
    /// Ends after publishing.
    pub(crate) over: Vec<(AttemptId, Outcome)>,
}

impl Work {
    /// Adds later work.
    fn append(&mut self, later: Self) {
        self.launches.extend(later.launches);
        self.notes.extend(later.notes);
        self.extends.extend(later.extends);
        self.stops.extend(later.stops);
        self.forgets.extend(later.forgets);
        self.used.extend(later.used);
        self.over.extend(later.over);
    }

    fn is_empty(&self) -> bool {
        self.launches.is_empty()
            && self.notes.is_empty()
            && self.extends.is_empty()
            && self.stops.is_empty()
            && self.forgets.is_empty()
            && self.used.is_empty()
            && self.over.is_empty()
    }
}

enum Command {
    Work(Box<Work>),
    Log { part: LogPart, reply: oneshot::Sender<LogChunk> },
    Enter { attempt: AttemptId, start: ExecStart, reply: oneshot::Sender<Entered> },
    Signal { attempt: AttemptId, signal: Signal },
    Parcel { reply: oneshot::Sender<Option<Parcel>> },
    HandedOver { upto: Upto },
    CountsTold { attempts: Vec<AttemptId> },
    Workdir { attempt: AttemptId, reply: oneshot::Sender<Option<PathBuf>> },
}

/// The way to a task, or why there is none.
pub(crate) type Entered = Result<Entrance, EnterFault>;

/// A part of a log that is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPart {
    pub(crate) attempt: AttemptId,
    pub(crate) stream: Stream,
    pub(crate) offset: u64,
    pub(crate) max: usize,
}

/// What the engine's thread says.
pub(crate) enum Heard {
    /// What changed.
    Observed(Vec<Observation>),
    /// There is something to hand over.
    Kept,
    /// What the site's accounting counted.
    SiteCounts(Vec<SiteCount>),
    /// What will not be launched.
    NotStarted(Vec<(AttemptId, StartFault)>),
}

/// What was found when the engine was opened.
pub(crate) struct Found {
    pub(crate) info: EngineInfo,
    pub(crate) boot: BootId,
    pub(crate) observations: Vec<Observation>,
    pub(crate) noted: BTreeMap<AttemptId, Noted>,
}

/// The handle on the engine's thread.
pub(crate) struct Runner {
    /// The only strong one: the thread ends when it is gone.
    commands: Option<Arc<Sender<Command>>>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl Runner {
    /// Opens the engine on a thread of its own. News come over `heard`.
    pub(crate) async fn open(
        home: &Home,
        choice: EngineChoice,
        heard: mpsc::Sender<Heard>,
    ) -> Result<(Self, Found), AgentFault> {
        let (commands, inbox) = channel();
        let (opened, opening) = oneshot::channel();
        let paths = Paths { engine: home.engine(), orders: home.orders(), logs: home.logs() };
        let thread = std::thread::Builder::new()
            .name("engine".to_owned())
            .spawn(move || match Desk::open(choice, &paths, inbox, heard) {
                Ok((mut desk, found)) => {
                    if opened.send(Ok((desk.engine.waker(), found))).is_ok() {
                        desk.run();
                    }
                }
                // Whoever asked is gone: nobody to tell.
                Err(fault) => drop(opened.send(Err(fault))),
            })
            .map_err(AgentFault::data("starting a thread"))?;
        let opened = opening.await.map_err(|_| AgentFault::Broken("the engine's thread"))?;
        let (waker, found) = opened?;
        Ok((Self { commands: Some(Arc::new(commands)), waker, thread: Some(thread) }, found))
    }

    /// Hands over what is to be done.
    pub(crate) fn work(&self, work: &mut Work) {
        if !work.is_empty() {
            self.send(Command::Work(Box::new(std::mem::take(work))));
        }
    }

    /// For who asks from a task of its own: it may outlive this handle, and then finds nobody.
    pub(crate) fn asking(&self) -> Asking {
        Asking {
            commands: self.commands.as_ref().map(Arc::downgrade).unwrap_or_default(),
            waker: self.waker.clone(),
        }
    }

    /// Asks where an attempt's fresh folder is.
    pub(crate) fn workdir(&self, attempt: AttemptId) -> oneshot::Receiver<Option<PathBuf>> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Workdir { attempt, reply });
        answer
    }

    /// The exchange has what the site counted for these attempts.
    pub(crate) fn counts_told(&self, attempts: Vec<AttemptId>) {
        if !attempts.is_empty() {
            self.send(Command::CountsTold { attempts });
        }
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The thread ends only after we hang up; if it broke, its news end, and that is seen.
            let _ = commands.send(command);
            self.waker.wake();
        }
    }
}

impl Drop for Runner {
    /// The engine is closed when the agent is gone, so that the next one finds it free. Its tasks
    /// go on.
    fn drop(&mut self) {
        self.commands = None;
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            // It panicked: said on standard error already.
            let _ = thread.join();
        }
    }
}

/// Asks the engine's thread.
#[derive(Clone)]
pub(crate) struct Asking {
    commands: Weak<Sender<Command>>,
    waker: Waker,
}

impl Asking {
    fn send(&self, command: Command) {
        if let Some(commands) = self.commands.upgrade() {
            // The thread has ended: whoever waits for its answer sees that.
            let _ = commands.send(command);
            self.waker.wake();
        }
    }

    /// Asks for a part of a log.
    pub(crate) fn log(&self, part: LogPart) -> oneshot::Receiver<LogChunk> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Log { part, reply });
        answer
    }

    /// Asks for the way to a running attempt.
    pub(crate) fn enter(&self, attempt: AttemptId, start: ExecStart) -> oneshot::Receiver<Entered> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Enter { attempt, start, reply });
        answer
    }

    /// Sends a signal to those processes of an attempt that catch it.
    pub(crate) fn signal(&self, attempt: AttemptId, signal: Signal) {
        self.send(Command::Signal { attempt, signal });
    }

    /// Asks for what is to be handed over next.
    pub(crate) fn parcel(&self) -> oneshot::Receiver<Option<Parcel>> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::Parcel { reply });
        answer
    }

    /// It was taken.
    pub(crate) fn handed_over(&self, upto: Upto) {
        self.send(Command::HandedOver { upto });
    }
}

struct Paths {
    engine: PathBuf,
    orders: PathBuf,
    logs: PathBuf,
}

/// The thread's own: the engine and what belongs to it.
struct Desk {
    engine: Box<dyn Engine>,
    boot: BootId,
    book: Book,
    archive: Archive,
    inbox: Receiver<Command>,
    heard: mpsc::Sender<Heard>,
    /// Launches that may or may not have reached the engine.
    unsure: Vec<Launch>,
    /// Everything else that the engine did not take.
    again: Work,
    hush: Hush,
    /// The list of what was published that was read last: it is read piece by piece.
    list: Option<(AttemptId, Vec<u8>)>,
}

/// How a cluster's jobs are run from this folder.
pub(crate) fn slurm_config(
    dir: &Path,
    wrapper: &[OsString],
    site: &SiteWords,
    answers: &Answers,
) -> SlurmConfig {
    SlurmConfig {
        dir: dir.to_owned(),
        wrapper: wrapper.to_vec(),
        site: site.clone(),
        commands: None,
        pace: Pace::default(),
        answers: answers.clone(),
    }
}

#[cfg(feature = "kubernetes")]
fn open_kubernetes(
    dir: &Path,
    site: dayan_engines::kubernetes::Site,
    visitor: Vec<OsString>,
) -> Result<Box<dyn Engine>, Fault> {
    let (dir, visitor) = (dir.to_owned(), Some(visitor));
    let pace = dayan_engines::kubernetes::Pace::default();
    let config = dayan_engines::KubernetesConfig { dir, site, pace, visitor };
    Ok(Box::new(dayan_engines::KubernetesEngine::open(config)?))
}

#[cfg(not(feature = "kubernetes"))]
fn open_kubernetes(
    _: &Path,
    _: dayan_engines::kubernetes::Site,
    _: Vec<OsString>,
) -> Result<Box<dyn Engine>, Fault> {
    Err(Fault::Unreachable(crate::cluster::NO_KUBERNETES.to_owned()))
}

fn open_engine(choice: EngineChoice, dir: &Path) -> Result<Box<dyn Engine>, Fault> {
    match choice {
        EngineChoice::Process { keeper, options } => {
            let config = ProcessConfig { dir: dir.to_owned(), keeper, options };
            let mut tries = 0;
            loop {
                tries += 1;
                match ProcessEngine::open(config.clone()) {
                    Ok(engine) => return Ok(Box::new(engine)),
                    // A keeper that has nothing to keep may leave in the moment we reach it; the
                    // next try starts another.
                    Err(Fault::Unreachable(why)) if tries < OPEN_TRIES_MAX => {
                        tracing::warn!(why, "the keeper was not reached; tried again");
                    }
                    Err(Fault::Io { doing, source }) if tries < OPEN_TRIES_MAX => {
                        tracing::warn!(doing, %source, "the keeper was not reached; tried again");
                    }
                    Err(fault) => return Err(fault),
                }
            }
        }
        EngineChoice::Containers { keeper, options, whose, socket, images: _ } => {
            open_containers(dir, keeper, options, whose, socket)
        }
        EngineChoice::Slurm { wrapper, site, answers } => {
            let engine = SlurmEngine::open(slurm_config(dir, &wrapper, &site, &answers))?;
            Ok(Box::new(engine))
        }
        EngineChoice::Kubernetes { site, visitor } => open_kubernetes(dir, *site, visitor),
        EngineChoice::Given { open, nodes: _ } => open(),
    }
}

/// Containers have a folder of their own: a keeper of processes may still be in the other.
#[cfg(feature = "containers")]
fn open_containers(
    dir: &Path,
    keeper: Vec<OsString>,
    options: Vec<OsString>,
    whose: Containers,
    socket: Option<PathBuf>,
) -> Result<Box<dyn Engine>, Fault> {
    let dir = dir.join("containers");
    let config = dayan_engines::ContainerConfig { dir, keeper, options, whose, socket };
    Ok(Box::new(dayan_engines::container::open(config)?))
}

#[cfg(not(feature = "containers"))]
fn open_containers(
    _: &Path,
    _: Vec<OsString>,
    _: Vec<OsString>,
    _: Containers,
    _: Option<PathBuf>,
) -> Result<Box<dyn Engine>, Fault> {
    Err(Fault::Unreachable("this program was built without containers".to_owned()))
}

impl Desk {
    fn open(
        choice: EngineChoice,
        paths: &Paths,
        inbox: Receiver<Command>,
        heard: mpsc::Sender<Heard>,
    ) -> Result<(Self, Found), AgentFault> {
        let mut engine = open_engine(choice, &paths.engine)?;
        let at = |path: &Path| AgentFault::data(format!("opening {}", path.display()));
        let book = Book::open(&paths.orders).map_err(at(&paths.orders))?;
        let archive = Archive::open(&paths.logs).map_err(at(&paths.logs))?;
        let (boot, _) = engine.boot_now();
        let found = Found {
            info: engine.describe(),
            boot,
            observations: engine.list()?,
            noted: book.noted().clone(),
        };
        let desk = Self {
            engine,
            boot,
            book,
            archive,
            inbox,
            heard,
            unsure: Vec::new(),
            again: Work::default(),
            hush: Hush::default(),
            list: None,
        };
        Ok((desk, found))
    }

    /// Until the handle is dropped.
    fn run(&mut self) {
        let mut first = None;
        loop {
            // What has come while the engine was busy is one batch for it: it makes launches
            // durable once a batch.
            let mut work = Work::default();
            loop {
                match first.take().map_or_else(|| self.inbox.try_recv(), Ok) {
                    Ok(Command::Work(more)) => work.append(*more),
                    Ok(Command::Log { part, reply }) => {
                        // Whoever asked may have gone.
                        let _ = reply.send(self.log(part));
                    }
                    Ok(Command::Enter { attempt, start, reply }) => {
                        let kind = start.kind.as_deref().unwrap_or(NO_TERMINAL_KIND);
                        let terminal = start.terminal.map(|_| kind);
                        let visit = Visit { command: &start.command, terminal };
                        let _ = reply.send(self.engine.enter(attempt, visit));
                    }
                    Ok(Command::Signal { attempt, signal }) => {
                        if let Err(fault) = self.engine.signal(attempt, signal) {
                            tracing::warn!(%fault, %attempt, "it could not be asked to save");
                        }
                    }
                    Ok(Command::Parcel { reply }) => {
                        let parcel = self.archive.parcel().unwrap_or_else(|error| {
                            tracing::warn!(%error, "kept logs cannot be read");
                            None
                        });
                        let _ = reply.send(parcel);
                    }
                    Ok(Command::HandedOver { upto }) => {
                        if let Err(error) = self.archive.handed_over(upto) {
                            tracing::warn!(%error, "logs may be handed over twice");
                        }
                    }
                    Ok(Command::CountsTold { attempts }) => {
                        self.engine.site_counts_told(&attempts);
                    }
                    Ok(Command::Workdir { attempt, reply }) => {
                        let _ = reply.send(self.engine.workdir(attempt));
                    }
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            if !work.is_empty() {
                self.work(work);
            }
            let behind = !self.unsure.is_empty() || !self.again.is_empty();
            if behind {
                self.catch_up();
            }
            let counts = self.engine.site_counts();
            if !counts.is_empty() && self.heard.blocking_send(Heard::SiteCounts(counts)).is_err() {
                return;
            }
            let wait = if behind { RETRY_PAUSE } else { OBSERVE_WAIT };
            match self.engine.observe(wait) {
                Ok(observations) if observations.is_empty() => {}
                Ok(observations) => {
                    if self.heard.blocking_send(Heard::Observed(observations)).is_err() {
                        return;
                    }
                }
                Err(fault) => {
                    if let Some(unsaid) = self.says("engine", &fault) {
                        tracing::error!(%fault, unsaid, "the engine failed; it is asked again");
                    }
                    // The next command ends the pause early, and does no harm.
                    match self.inbox.recv_timeout(RETRY_PAUSE.to_std()) {
                        Ok(command) => first = Some(command),
                        Err(RecvTimeoutError::Timeout) => {}
                        Err(RecvTimeoutError::Disconnected) => return,
                    }
                }
            }
        }
    }

    fn work(&mut self, work: Work) {
        let Work { launches, notes, extends, stops, forgets, used, over } = work;
        for order in notes {
            self.book.order(order);
        }
        for (attempt, counters) in used {
            self.book.used(attempt, counters);
        }
        for (attempt, outcome) in over {
            self.book.over(attempt, outcome);
        }
        let mut starts = Vec::with_capacity(launches.len());
        for (order, launch) in launches {
            self.book.order(order);
            starts.push(launch);
        }
        if let Err(error) = self.book.write() {
            // A full disk: launched all the same would be found without its order after a restart,
            // and stopped; not launched at all would be a task refused for a small matter.
            if let Some(unsaid) = self.says("orders", &error) {
                tracing::error!(%error, unsaid, "cannot write the orders' journal");
            }
        }
        if !starts.is_empty() {
            self.start(starts);
        }
        if !extends.is_empty() {
            self.extend(extends);
        }
        for attempt in stops {
            self.stop(attempt);
        }
        if !forgets.is_empty() {
            self.forget(forgets);
        }
    }

    fn start(&mut self, launches: Vec<Launch>) {
        let copies = launches.clone();
        let results = self.engine.start(launches);
        let mut not_started = Vec::new();
        let mut launched_before = Vec::new();
        for (launch, result) in copies.into_iter().zip(results) {
            match result {
                Ok(()) => {}
                Err(StartFault::Unreachable(why)) => {
                    if let Some(unsaid) = self.says("launch", &why) {
                        let attempt = launch.attempt;
                        tracing::warn!(%attempt, why, unsaid, "not sure that it was launched");
                    }
                    self.unsure.push(launch);
                }
                Err(StartFault::AlreadyLaunched(attempt)) => launched_before.push(attempt),
                Err(
                    fault @ (StartFault::LeaseOver(_)
                    | StartFault::Unsupported(_)
                    | StartFault::Lacking(_)
                    | StartFault::Invalid(_)),
                ) => not_started.push((launch.attempt, fault)),
            }
        }
        if !launched_before.is_empty() {
            self.look_up(launched_before, &mut not_started);
        }
        if !not_started.is_empty() {
            // A receiver that is gone has no use for it.
            let _ = self.heard.blocking_send(Heard::NotStarted(not_started));
        }
    }

    /// What was launched before is seen in the list, or was forgotten and is never launched again.
    fn look_up(
        &mut self,
        attempts: Vec<AttemptId>,
        not_started: &mut Vec<(AttemptId, StartFault)>,
    ) {
        match self.engine.list() {
            Ok(known) => {
                let known: Vec<Observation> = known
                    .into_iter()
                    .filter(|observation| attempts.contains(&observation.attempt))
                    .collect();
                let missing = attempts
                    .into_iter()
                    .filter(|attempt| known.iter().all(|known| known.attempt != *attempt));
                not_started
                    .extend(missing.map(|attempt| (attempt, StartFault::AlreadyLaunched(attempt))));
                let _ = self.heard.blocking_send(Heard::Observed(known));
            }
            // After a failure everything known counts as changed, so it will be observed.
            Err(fault) => tracing::warn!(%fault, "cannot list what was launched before"),
        }
    }

    fn extend(&mut self, extends: Vec<(AttemptId, BootTime)>) {
        for launch in &mut self.unsure {
            for (_, at) in extends.iter().filter(|(attempt, _)| *attempt == launch.attempt) {
                launch.lease_end.at = launch.lease_end.at.max(*at);
            }
        }
        let leases: Vec<(AttemptId, LeaseEnd)> = extends
            .iter()
            .map(|(attempt, at)| (*attempt, LeaseEnd { boot: self.boot, at: *at }))
            .collect();
        if let Err(fault) = self.engine.extend(&leases) {
            if let Some(unsaid) = self.says("extend", &fault) {
                tracing::warn!(%fault, unsaid, "cannot extend leases; tried again");
            }
            self.again.extends.extend(extends);
        }
    }

    fn stop(&mut self, attempt: AttemptId) {
        if let Err(fault) = self.engine.stop(attempt, STOP_GRACE, Signal::TERM) {
            if let Some(unsaid) = self.says("stop", &fault) {
                tracing::warn!(%fault, %attempt, unsaid, "cannot stop it; tried again");
            }
            self.again.stops.push(attempt);
        }
    }

    fn forget(&mut self, attempts: Vec<AttemptId>) {
        for attempt in &attempts {
            let listed = self.listed(*attempt);
            if let Err(error) = self.archive.keep(&mut *self.engine, *attempt, &listed)
                && let Some(unsaid) = self.says("logs", &error)
            {
                tracing::warn!(%error, %attempt, unsaid, "its logs are not kept");
            }
            if let Some(error) = self.archive.trouble()
                && let Some(unsaid) = self.says("room for logs", &error)
            {
                tracing::warn!(%error, %attempt, unsaid, "its logs wait in memory for the disk");
            }
            self.book.forgotten(*attempt);
        }
        // A receiver that is gone has no use for it.
        let _ = self.heard.blocking_send(Heard::Kept);
        self.unsure.retain(|launch| !attempts.contains(&launch.attempt));
        self.list = None;
        match self.engine.forget(&attempts) {
            Ok(()) => {
                if let Err(error) = self.book.write()
                    && let Some(unsaid) = self.says("orders", &error)
                {
                    tracing::error!(%error, unsaid, "cannot write the orders' journal");
                }
            }
            Err(fault) => {
                if let Some(unsaid) = self.says("forget", &fault) {
                    tracing::warn!(%fault, unsaid, "cannot forget attempts; tried again");
                }
                self.again.forgets.extend(attempts);
            }
        }
    }

    /// What an attempt has published, as long as its folder is there: also what an earlier process of this agent
    /// published.
    fn listed(&self, attempt: AttemptId) -> Vec<u8> {
        let published = |noted: &&Noted| {
            matches!(noted.over, Some(Outcome::Exited { code: 0 }))
                && !noted.order.outputs.is_empty()
        };
        let noted = self.book.noted().get(&attempt).filter(published);
        let folder = noted.and_then(|noted| Some((noted, self.engine.workdir(attempt)?)));
        folder.map(|(noted, folder)| listed(&noted.order, &folder)).unwrap_or_default()
    }

    /// Is this trouble to be said now? Then how often it was not since it was said last.
    fn says(&mut self, what: &str, why: &impl std::fmt::Display) -> Option<u64> {
        let (_, now) = self.engine.boot_now();
        self.hush.says(&format!("{what}: {why}"), now)
    }

    fn catch_up(&mut self) {
        let launches = std::mem::take(&mut self.unsure);
        if !launches.is_empty() {
            self.start(launches);
        }
        let again = std::mem::take(&mut self.again);
        self.work(again);
    }

    fn log(&mut self, part: LogPart) -> LogChunk {
        let LogPart { attempt, stream, offset, max } = part;
        if stream == Stream::Outputs && self.book.noted().contains_key(&attempt) {
            // From its beginning it is made anew: an attempt that is being published has none yet.
            if offset == 0 || self.list.as_ref().is_none_or(|(of, _)| *of != attempt) {
                self.list = Some((attempt, self.listed(attempt)));
            }
            let list = self.list.as_ref().map_or(&[][..], |(_, list)| list);
            let rest = usize::try_from(offset).ok().and_then(|at| list.get(at..));
            let rest = rest.unwrap_or_default();
            let data = rest[..rest.len().min(max)].to_vec();
            return LogChunk { offset, data, skipped: 0 };
        }
        match self.engine.logs(attempt, stream, offset, max) {
            Ok(chunk) if !chunk.data.is_empty() => chunk,
            Ok(_) | Err(_) => self.archive.read(part),
        }
    }
}
