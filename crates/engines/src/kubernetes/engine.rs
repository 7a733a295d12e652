//! The engine: what it holds, and its turn, which everything that is asked of it ends with.
//!
//! Invariant: what is said to the caller is in the journal before. No call waits for the API
//! server, but for the first, which opens.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use dayan_units::{AttemptId, Span, Time};
use rustix::event::{PollFd, PollFlags, poll};

use super::KubernetesConfig;
use super::book::{Book, Held, Record, Standing};
use super::clerk::{Clerk, Errand};
use super::manifest::Request;
use super::names::BatchName;
use super::pods::PodSeen;
use super::reading::Output;
use super::survey::{self, Quota};
use super::usage::Source;
use super::volume::{Shared, agent_name};
use crate::journal::Journal;
use crate::keeper::{AGENT_LOCK, Folder, Lock};
use crate::waker::timespec;
use crate::{
    BootClock, BootId, BootTime, Enforcement, Engine, EngineInfo, EngineKind, EnterFault, Entrance,
    Fault, Features, Fence, Isolation, Launch, LeaseEnd, LogChunk, Observation, Outcome, Phase,
    Placing, Signal, StartFault, Stream, Visit, Waker, command, logs, wall_now,
};

/// A journal shorter than this is not worth rewriting; 8 MiB are read in under 50 ms.
const JOURNAL_REWRITE_BYTES: u64 = 8 << 20;
/// How long the first answers may take when the engine is opened: tasks wait to be taken over.
const OPEN_WITHIN: Span = Span::from_secs(15);

/// Tasks as pods of a Kubernetes cluster.
pub struct KubernetesEngine {
    pub(super) config: KubernetesConfig,
    pub(super) folder: Folder,
    pub(super) clock: BootClock,
    pub(super) journal: Journal<Record>,
    pub(super) book: Book,
    pub(super) clerk: Clerk,
    /// What this agent's objects in the cluster are labelled with.
    pub(super) agent: String,
    /// The volume that tasks' folders lie on, where the agent sees it.
    pub(super) shared: Option<Shared>,
    /// May commands be run in pods? None: nobody has said.
    pub(super) may_exec: Option<bool>,
    /// The same, as it was when the engine was opened.
    signals: bool,
    /// Visits so far: what tells them apart.
    pub(super) visits: u32,
    /// Who says what pods use, once it was asked.
    pub(super) usage: Option<Source>,
    /// When it is asked next; none: it is being asked.
    pub(super) usage_at: Option<BootTime>,
    /// Rung by the clerk.
    bell: Waker,
    waker: Waker,
    pub(super) changed: BTreeSet<AttemptId>,
    /// Batches that are being made.
    pub(super) making: usize,
    /// Namespaces that are watched, and which of their kinds have been heard of.
    pub(super) watched: BTreeMap<String, Heard>,
    /// Pods of jobs that are not known, or not yet: what an earlier agent made is heard of in any
    /// order.
    pub(super) strays: BTreeMap<BatchName, Vec<PodSeen>>,
    /// How far the API server's clock is ahead of this machine's.
    pub(super) ahead: Span,
    pub(super) quotas: BTreeMap<String, Vec<Quota>>,
    /// The resource that accelerators are, as far as is known.
    pub(super) accelerator: Option<String>,
    pub(super) version: Option<String>,
    /// When the picture is asked for next.
    pub(super) picture_at: BootTime,
    /// When at the latest an attempt or a batch must be looked after.
    pub(super) due_at: BootTime,
    rewrite_at: u64,
    _lock: Lock,
}

/// What has been heard of a namespace since the engine was opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Heard {
    pub pods: bool,
    pub jobs: bool,
}

impl KubernetesEngine {
    /// Opens the folder, finds the cluster, and takes over what an earlier engine left.
    pub fn open(config: KubernetesConfig) -> Result<Self, Fault> {
        let at = |what: &str| format!("{what} {}", config.dir.display());
        let folder = Folder::open(&config.dir).map_err(Fault::io(at("opening")))?;
        let lock = folder.lock(AGENT_LOCK).map_err(Fault::io(at("locking")))?;
        let Some(lock) = lock else { return Err(Fault::Busy(folder.root().to_owned())) };
        let clock = BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?;
        // Before the journal is made: one that is there belongs to an agent of before.
        let agent = agent_name(&folder).map_err(Fault::io(at("naming the agent of")))?;
        let shared = Shared::open(&config.site, &agent)?;
        let (mut journal, records) =
            Journal::<Record>::open(&folder.root().join(super::JOURNAL_FILE))
                .map_err(Fault::io(at("opening the journal in")))?;
        let book = Book::replay(records, clock.now(), wall_now());
        journal.sync().map_err(Fault::io(at("writing the journal in")))?;
        let bell = Waker::new().map_err(Fault::io("making a waker"))?;
        let waker = Waker::new().map_err(Fault::io("making a waker"))?;
        let runtime = super::lookout::runtime()?;
        let client = runtime.block_on(super::connect::client(&config.site))?;
        let clerk = Clerk::start(
            runtime,
            clock,
            client,
            agent.clone(),
            config.pace.ask_within,
            bell.clone(),
        )
        .map_err(Fault::io("starting a thread"))?;
        let now = clock.now();
        let mut engine = Self {
            accelerator: config.site.accelerator.clone(),
            config,
            folder,
            clock,
            journal,
            changed: book.observations(now).iter().map(|seen| seen.attempt).collect(),
            book,
            clerk,
            agent,
            shared,
            may_exec: None,
            signals: false,
            visits: 0,
            usage: None,
            usage_at: Some(now),
            bell,
            waker,
            making: 0,
            watched: BTreeMap::new(),
            strays: BTreeMap::new(),
            ahead: Span::ZERO,
            quotas: BTreeMap::new(),
            version: None,
            picture_at: now,
            due_at: now,
            rewrite_at: JOURNAL_REWRITE_BYTES,
            _lock: lock,
        };
        engine.adopt()?;
        engine.signals = engine.may_exec.unwrap_or(true);
        let left = engine.shared.as_ref().map(Shared::left).unwrap_or_default();
        engine.sweep(left);
        Ok(engine)
    }

    /// Hears of everything that is there before it says what it knows. A cluster that does not
    /// answer is waited for only where nothing is known of it.
    fn adopt(&mut self) -> Result<(), Fault> {
        let mut namespaces: BTreeSet<String> =
            self.book.batches.keys().map(|batch| batch.namespace.clone()).collect();
        namespaces.extend(self.config.site.namespaces.only());
        namespaces.extend(self.config.site.namespaces.of.values().cloned());
        for namespace in namespaces {
            self.watch(&namespace);
        }
        self.forget_loose();
        let until = self.clock.now().plus(OPEN_WITHIN);
        loop {
            self.turn();
            let all = |heard: &Heard| heard.pods && heard.jobs;
            if self.version.is_some() && self.watched.values().all(all) {
                return Ok(());
            }
            if self.clock.now() >= until {
                if self.version.is_some() || self.book.live_count() > 0 {
                    tracing::warn!("not all of the cluster's answers are there; it is asked on");
                    return Ok(());
                }
                let words = "the API server does not answer; see what `kubectl version` says with \
                             the same kubeconfig";
                return Err(Fault::Unreachable(words.to_owned()));
            }
            self.wait(until);
        }
    }

    /// Launched and never put into a batch: nothing of them ever was in the cluster.
    fn forget_loose(&mut self) {
        let loose: Vec<AttemptId> = self
            .book
            .live()
            .filter(|(_, held)| held.seat.is_none())
            .map(|(attempt, _)| attempt)
            .collect();
        for attempt in loose {
            self.finish(attempt, Outcome::KeeperDied);
        }
    }

    /// Begins to watch a namespace, once.
    pub(super) fn watch(&mut self, namespace: &str) {
        if !self.watched.contains_key(namespace) {
            self.watched.insert(namespace.to_owned(), Heard::default());
            self.clerk.send(Errand::Watch { namespace: namespace.to_owned() });
            self.picture_at = self.clock.now();
        }
    }

    /// The API server's version, once it has said it.
    pub fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    fn admit(&self, launch: &Launch, now: BootTime) -> Result<(), StartFault> {
        let attempt = launch.attempt;
        if self.book.was_launched(attempt) {
            return Err(StartFault::AlreadyLaunched(attempt));
        }
        let LeaseEnd { boot, at } = launch.lease_end;
        if boot != self.clock.boot() || at <= now {
            return Err(StartFault::LeaseOver(attempt));
        }
        if launch.isolation != Isolation::None {
            let reason = "pods are kept apart by the cluster; bubblewrap is not for them";
            return Err(StartFault::Lacking(reason.to_owned()));
        }
        command::arguments(&launch.program).map_err(StartFault::Invalid)?;
        let limits = &launch.limits;
        if limits.memory.0 == 0 || limits.cpu.0 == 0 || limits.pids == 0 {
            return Err(StartFault::Invalid("a limit of nothing".to_owned()));
        }
        let accelerator = self.accelerator.as_deref();
        let request = Request::of(launch, &self.config.site, accelerator);
        let request = request.map_err(StartFault::Unsupported)?;
        let namespace = self.namespace(launch).map_err(StartFault::Unsupported)?;
        if launch.gang.is_some_and(|gang| gang.members < gang.nodes) {
            let reason = "nothing starts the rest of a gang from its head in a cluster of pods; let \
                          each member run the command (`launch: each`)";
            return Err(StartFault::Unsupported(reason.to_owned()));
        }
        let accelerators =
            request.accelerators.as_ref().map(|(name, count)| (name.as_str(), u64::from(*count)));
        let pods = launch.gang.map_or(1, |gang| u64::from(gang.members));
        let quotas = self.quotas.get(&namespace).map_or(&[][..], Vec::as_slice);
        match survey::beyond(quotas, request.cpu, request.memory, accelerators, pods) {
            Some(reason) => Err(StartFault::Unsupported(reason)),
            None => Ok(()),
        }
    }

    pub(super) fn namespace(&self, launch: &Launch) -> Result<String, String> {
        self.config.site.namespaces.find(launch.org.as_deref())
    }

    /// Everything that can be done now.
    pub(super) fn turn(&mut self) {
        for answer in self.clerk.done() {
            self.on_answer(answer);
        }
        let now = self.clock.now();
        if self.due_at <= now {
            self.look_after(now);
        }
        self.form_batches();
        if self.picture_at <= now {
            self.picture_at = now.plus(self.config.pace.picture_every);
            let namespaces = self.watched.keys().cloned().collect();
            self.clerk.send(Errand::Picture { namespaces });
        }
        if self.usage_at.is_some_and(|at| at <= now) {
            self.ask_for_usage(now);
        }
        self.settle();
    }

    /// Brings what happened to the file.
    fn settle(&mut self) {
        if let Err(error) = self.journal.write() {
            tracing::error!(%error, "cannot write the engine's journal");
            return;
        }
        if self.journal.length() > self.rewrite_at {
            if let Err(error) = self.journal.rewrite(&self.book.records()) {
                tracing::warn!(%error, "cannot rewrite the engine's journal");
            }
            self.rewrite_at = JOURNAL_REWRITE_BYTES.max(self.journal.length().saturating_mul(2));
        }
    }

    /// Asks what running tasks use; where nothing runs, later.
    fn ask_for_usage(&mut self, now: BootTime) {
        let (mut namespaces, mut nodes) = (BTreeSet::new(), BTreeSet::new());
        for (_, held) in self.book.live().filter(|(_, held)| held.running.is_some()) {
            namespaces.extend(held.seat.as_ref().map(|seat| seat.batch.namespace.clone()));
            nodes.extend(held.node.clone());
        }
        if namespaces.is_empty() {
            self.usage_at = Some(now.plus(self.config.pace.usage_every));
            return;
        }
        self.usage_at = None;
        let (namespaces, nodes) = (namespaces.into_iter().collect(), nodes.into_iter().collect());
        self.clerk.send(Errand::Usage { namespaces, nodes });
    }

    /// Has folders removed that were taken away.
    fn sweep(&self, folders: Vec<PathBuf>) {
        if !folders.is_empty() {
            self.clerk.send(Errand::Sweep { folders });
        }
    }

    pub(super) fn finish(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.finish_at(attempt, wall_now(), outcome);
    }

    pub(super) fn finish_at(&mut self, attempt: AttemptId, at: Time, outcome: Outcome) {
        if let Some(record) = self.book.end(attempt, at, outcome) {
            self.journal.append(&record);
            self.changed.insert(attempt);
        }
    }

    /// Something is due then.
    pub(super) fn due(&mut self, at: BootTime) {
        self.due_at = self.due_at.min(at);
    }

    /// The API server's clock, as far as is known.
    pub(super) fn server_now(&self) -> Time {
        wall_now().plus(self.ahead)
    }

    /// Where an attempt's output is found and kept; none while it has no pod.
    pub(super) fn output(&self, attempt: AttemptId) -> Option<Output> {
        let held = self.book.get(attempt)?;
        Some(Output {
            namespace: held.seat.as_ref()?.batch.namespace.clone(),
            pod: held.pod.as_ref()?.name.clone(),
            steps: u32::try_from(held.steps.len()).unwrap_or(u32::MAX),
            folder: self.folder.logs(attempt),
            limit: held.log,
        })
    }

    /// Has what a running task writes written down, from now on and from its beginning.
    pub(super) fn follow(&mut self, attempt: AttemptId) {
        if let Some(output) = self.output(attempt)
            && let Some(held) = self.book.live_mut(attempt)
            && matches!(held.phase, Phase::Running { .. })
            && held.closing.is_none()
            && !std::mem::replace(&mut held.followed, true)
        {
            self.clerk.send(Errand::Follow { output });
        }
    }

    /// The file that a batch's objects are kept in until the API server has them.
    pub(super) fn manifest_file(&self, batch: &BatchName) -> PathBuf {
        let BatchName { namespace, name } = batch;
        self.folder.root().join("batches").join(format!("{namespace}.{name}.json"))
    }

    /// Waits for something to happen.
    fn wait(&mut self, until: BootTime) {
        let until = until.min(self.due_at).min(self.picture_at);
        let until = until.min(self.usage_at.unwrap_or(BootTime::NEVER));
        let span = until.since(self.clock.now()).max(Span::ZERO);
        let mut fds =
            [PollFd::new(&self.waker, PollFlags::IN), PollFd::new(&self.bell, PollFlags::IN)];
        // Woken early it looks and waits again.
        let _ = poll(&mut fds, Some(&timespec(span)));
        self.bell.quiet();
    }
}

impl Engine for KubernetesEngine {
    fn describe(&self) -> EngineInfo {
        let version = self.version.as_deref().unwrap_or("of an unknown version");
        EngineInfo {
            kind: EngineKind::Kubernetes,
            fence: Fence::Cluster,
            features: Features {
                confinement: format!("pods of Kubernetes {version}, limits by the nodes' kubelets"),
                cpu_limit: Enforcement::Enforced,
                memory_limit: Enforcement::Enforced,
                // A kubelet may have a limit for all pods; a pod cannot ask for one.
                pids_limit: Enforcement::Absent,
                oom_told_apart: true,
                bubblewrap: false,
                energy: false,
                survives_agent: true,
                survives_keeper: false,
                signals: self.signals,
                // A container runtime says 128 and the number.
                signals_told_apart: false,
                folders: self.shared.is_some(),
                images: true,
            },
            placing: Placing::ByPool,
        }
    }

    fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
        let now = self.clock.now();
        let mut fresh = BTreeSet::new();
        let mut results: Vec<Result<(), StartFault>> = launches
            .iter()
            .map(|launch| {
                self.admit(launch, now)?;
                let again = !fresh.insert(launch.attempt);
                if again { Err(StartFault::AlreadyLaunched(launch.attempt)) } else { Ok(()) }
            })
            .collect();
        if fresh.is_empty() {
            return results;
        }
        let record = Record::Launched { attempts: fresh.iter().copied().collect() };
        if let Err(error) = self.journal.commit([&record].into_iter()) {
            let fault = StartFault::Unreachable(format!("the engine's journal: {error}"));
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(fault.clone());
            }
            return results;
        }
        for (launch, _) in launches.into_iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            let end = launch.lease_end.at;
            let mut held = Held::new(end, launch.limits.wall, launch.limits.log);
            held.notice = super::tending::notice(end, now);
            self.due(held.notice);
            self.book.insert(launch.attempt, held);
            self.book.waiting.push(launch);
        }
        self.turn();
        results
    }

    fn observe(&mut self, wait: Span) -> Result<Vec<Observation>, Fault> {
        let until = self.clock.now().plus(wait);
        loop {
            self.turn();
            let rung = self.waker.quiet();
            let now = self.clock.now();
            if rung || !self.changed.is_empty() || now >= until {
                let changed = std::mem::take(&mut self.changed);
                let seen = |attempt| self.book.observation(attempt, now);
                return Ok(changed.into_iter().filter_map(seen).collect());
            }
            self.wait(until);
        }
    }

    fn list(&mut self) -> Result<Vec<Observation>, Fault> {
        self.turn();
        Ok(self.book.observations(self.clock.now()))
    }

    fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) -> Result<(), Fault> {
        let now = self.clock.now();
        for (attempt, end) in leases {
            let boot = self.clock.boot();
            let Some(held) = self.book.live_mut(*attempt).filter(|_| end.boot == boot) else {
                continue;
            };
            // One that the cluster takes away gets no more: its node may be silent, and then it is
            // over when its lease is.
            if held.deleting && held.ending.is_none() && end.at > held.lease_end {
                continue;
            }
            held.lease_end = end.at;
            held.notice = super::tending::notice(end.at, now);
            let (notice, batch) = (held.notice, held.seat.as_ref().map(|seat| seat.batch.clone()));
            self.due(notice);
            if let Some(batch) = batch.and_then(|batch| self.book.batches.get_mut(&batch)) {
                batch.moved = true;
                self.due_at = now;
            }
        }
        self.turn();
        Ok(())
    }

    fn stop(&mut self, attempt: AttemptId, grace: Span, signal: Signal) -> Result<(), Fault> {
        let Some(held) = self.book.live_mut(attempt) else { return Ok(()) };
        if held.seat.is_none() {
            self.book.waiting.retain(|launch| launch.attempt != attempt);
            self.finish(attempt, Outcome::Stopped);
        } else {
            // Kubernetes sends the image's stop signal, TERM unless it says otherwise, and then
            // KILL: no other can be asked for.
            held.end_by(Outcome::Stopped, if signal == Signal::KILL { Span::ZERO } else { grace });
            self.due_at = self.clock.now();
        }
        self.turn();
        Ok(())
    }

    fn forget(&mut self, attempts: &[AttemptId]) -> Result<(), Fault> {
        let mut away = Vec::new();
        for attempt in attempts {
            if self.book.get(*attempt).is_some_and(Held::is_live) {
                continue;
            }
            // Also of one that was never launched: it may have been filled.
            away.extend(self.shared.as_ref().and_then(|shared| shared.take_away(*attempt)));
            if self.book.get(*attempt).is_none() {
                continue;
            }
            self.journal.append(&Record::Forgotten { attempt: *attempt });
            self.changed.remove(attempt);
            let logs = self.folder.logs(*attempt);
            // What stays harms nobody but the disk.
            let _ = fs::remove_dir_all(&logs);
            if let Some(job) = logs.parent() {
                let _ = fs::remove_dir(job);
            }
            if let Some(batch) = self.book.forget(*attempt) {
                let _ = fs::remove_file(self.manifest_file(&batch));
                away.extend(self.shared.as_ref().and_then(|shared| shared.take_links_away(&batch)));
                self.clerk.send(Errand::Remove { batch });
            }
        }
        self.sweep(away);
        self.turn();
        Ok(())
    }

    fn logs(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        offset: u64,
        max: usize,
    ) -> Result<LogChunk, Fault> {
        // Somebody looks: from now on it is followed.
        self.follow(attempt);
        let folder = self.folder.logs(attempt);
        logs::read(&folder, stream, offset, max)
            .map_err(Fault::io(format!("reading {}", folder.display())))
    }

    fn workdir(&self, attempt: AttemptId) -> Option<PathBuf> {
        self.shared.as_ref().map(|shared| shared.work(attempt))
    }

    fn signal(&mut self, attempt: AttemptId, signal: Signal) -> Result<(), Fault> {
        self.send_signal(attempt, signal)
    }

    fn enter(&mut self, attempt: AttemptId, visit: Visit<'_>) -> Result<Entrance, EnterFault> {
        self.entrance(attempt, visit)
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn boot_now(&self) -> (BootId, BootTime) {
        (self.clock.boot(), self.clock.now())
    }
}

impl Standing {
    /// Had the API server taken it then?
    pub(super) const fn is_made_before(&self, then: BootTime) -> bool {
        match self {
            Self::Made { seen, .. } => seen.micros() < then.micros(),
            Self::Asking | Self::Unsure { .. } | Self::Gone => false,
        }
    }
}
