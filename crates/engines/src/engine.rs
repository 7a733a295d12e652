//! The trait that every engine implements, and what it says about itself.
//!
//! Invariant: every call is idempotent by attempt. The caller may repeat any of them after a
//! lost answer. Calls are synchronous and take batches; an engine that waits for something says so
//! with a bounded wait.

use std::path::PathBuf;

use dayan_units::{AttemptId, Bytes, Span};
use serde::{Deserialize, Serialize};

use crate::{
    BootId, BootTime, EnterFault, Entrance, Launch, LeaseEnd, LogChunk, Observation, Signal,
    Stream, Visit, Waker,
};

/// Which engine it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EngineKind {
    /// Processes of this machine.
    Process,
    /// Containers, by podman unless a socket of docker is all there is.
    Podman,
    /// Containers by docker.
    Docker,
    /// Jobs of a Slurm cluster.
    Slurm,
    /// Pods of a Kubernetes cluster.
    Kubernetes,
    /// Virtual work for tests and scale; nothing is computed.
    Simulated,
}

impl EngineKind {
    /// Its name on the command line and in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Podman => "podman",
            Self::Docker => "docker",
            Self::Slurm => "slurm",
            Self::Kubernetes => "kubernetes",
            Self::Simulated => "simulated",
        }
    }
}

/// Whose containers the operator wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Containers {
    /// Podman's, or docker's where there is no podman.
    Podman,
    /// Docker's.
    Docker,
}

/// Who ends a task whose lease runs out while the agent is dead.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// The keeper, a process of its own.
    Keeper,
    /// A wrapper around the task's command.
    Wrapper,
    /// The cluster's own controllers, by a deadline that the agent moves.
    Cluster,
    /// Nobody: nothing of it may be placed again until somebody confirms that it is gone.
    None,
}

/// Who chooses the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placing {
    /// The planner; [`Launch::node`] is binding.
    ByNode,
    /// The engine's own scheduler; the planner picks the pool only.
    ByPool,
}

/// How well a limit is held.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enforcement {
    /// By the kernel or the engine, at once.
    Enforced,
    /// By looking at intervals: it may be passed for a moment.
    Watched,
    /// Not at all.
    Absent,
}

/// What an engine can do here, found out by trying.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Features {
    /// By what tasks are confined, in words, with the reason where a better way was not open.
    pub confinement: String,
    /// The processor limit.
    pub cpu_limit: Enforcement,
    /// The memory limit.
    pub memory_limit: Enforcement,
    /// The limit of processes.
    pub pids_limit: Enforcement,
    /// Can running out of memory be told apart from another failure? Where memory is only
    /// watched, a program whose allocation is refused fails in its own way and is reported as
    /// [`Exited`](crate::Outcome::Exited).
    pub oom_told_apart: bool,
    /// Is [`Isolation::Bubblewrap`](crate::Isolation::Bubblewrap) offered?
    pub bubblewrap: bool,
    /// Is energy measured?
    pub energy: bool,
    /// Do tasks go on while the agent is away?
    pub survives_agent: bool,
    /// Do tasks go on when who keeps them is killed, and are they adopted then?
    #[serde(default)]
    pub survives_keeper: bool,
    /// Is a signal that ended a task told apart from a status of 128 and its number?
    #[serde(default = "told_apart")]
    pub signals_told_apart: bool,
    /// Does it run container images, and nothing else?
    #[serde(default)]
    pub images: bool,
    /// Can running tasks be sent signals ([`Engine::signal`])?
    #[serde(default)]
    pub signals: bool,
    /// Do tasks' folders lie where this machine sees them ([`Engine::workdir`]), so that they can be
    /// filled before and looked into afterwards?
    #[serde(default = "seen")]
    pub folders: bool,
}

const fn seen() -> bool {
    true
}

const fn told_apart() -> bool {
    true
}

/// What an engine is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct EngineInfo {
    /// Which one.
    pub kind: EngineKind,
    /// Who holds the lease's end.
    pub fence: Fence,
    /// What it can do.
    pub features: Features,
    /// Who chooses the node.
    pub placing: Placing,
}

/// Why an attempt was not started. The engine has not run it and, but for
/// [`StartFault::AlreadyLaunched`], knows nothing of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StartFault {
    /// It was launched before: running, ended or forgotten. Observe it; never launch it again.
    #[error("engine.already_launched: {0} was launched before and is never launched again")]
    AlreadyLaunched(AttemptId),
    /// Its lease is over already, or belongs to another boot of the machine.
    #[error("engine.lease_over: the lease of {0} is over")]
    LeaseOver(AttemptId),
    /// This engine does not offer what it asks for.
    #[error("engine.unsupported: {0}")]
    Unsupported(String),
    /// This engine does not do what its agent is set to do for every task, or has shown.
    #[error("engine.lacking: {0}")]
    Lacking(String),
    /// The launch itself makes no sense.
    #[error("engine.invalid_launch: {0}")]
    Invalid(String),
    /// The engine could not be asked. The attempt may have been launched: ask again.
    #[error("engine.unreachable: {0}")]
    Unreachable(String),
}

/// The engine failed, not the task. Every call may be repeated.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Reading or writing failed.
    #[error("engine.io: {doing}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Who runs the tasks could not be started or reached.
    #[error("engine.unreachable: {0}")]
    Unreachable(String),
    /// Who runs the tasks speaks another version.
    #[error(
        "engine.version: the running keeper speaks protocol {theirs}, this program {ours}; let its \
         tasks end or stop it, then it is replaced"
    )]
    Version {
        /// What this program speaks.
        ours: u32,
        /// What the other side speaks.
        theirs: u32,
    },
    /// Another agent holds this data folder.
    #[error("engine.busy: another agent uses {0}")]
    Busy(PathBuf),
    /// The other side said something that makes no sense.
    #[error("engine.protocol: {0}")]
    Protocol(String),
    /// This engine does not do that.
    #[error("engine.unsupported: {0}")]
    Unsupported(String),
}

impl Fault {
    /// A failed read or write, with what was being done.
    pub fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// What the site's own accounting counted for a job of its own, once that is final. Nothing is billed by it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteCount {
    /// The attempts that ran in the job; of several it is what they took together.
    pub attempts: Vec<AttemptId>,
    /// The job as the site names it: `1234_5`.
    pub job: String,
    /// From its start to its end.
    pub elapsed: Span,
    /// Its processor time; none where the site did not count it.
    pub cpu: Option<Span>,
    /// The most memory it was seen with; none where nobody looked.
    pub memory: Option<Bytes>,
}

/// What runs tasks. See `docs/guides/engine.md` for how to write one.
pub trait Engine: Send {
    /// What it is and can do here. Does not change while it lives.
    fn describe(&self) -> EngineInfo;

    /// Launches each attempt once. `Ok` means that the launch is recorded and will never be done
    /// again; whether the program could be started is seen in its observation. The answers stand
    /// in the order of the launches.
    fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>>;

    /// What changed since the last call: attempts that started or ended, and at intervals the
    /// usage of those that run. Returns as soon as there is something, at the latest after `wait`
    /// (then empty), or when the [`Waker`] is used. After a reconnection everything known counts
    /// as changed.
    fn observe(&mut self, wait: Span) -> Result<Vec<Observation>, Fault>;

    /// Every attempt it knows, with fresh counters: for adoption after a restart.
    fn list(&mut self) -> Result<Vec<Observation>, Fault>;

    /// Moves the ends of leases, later or earlier. Attempts it does not know are passed over.
    fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) -> Result<(), Fault>;

    /// Sends `signal`, and after `grace` ends whatever is left. An attempt that has ended or is
    /// unknown is passed over.
    fn stop(&mut self, attempt: AttemptId, grace: Span, signal: Signal) -> Result<(), Fault>;

    /// Sends `signal` to those processes of a running attempt that catch it. Whoever does not is left
    /// alone: a signal that asks a program to save must kill neither it nor the shell around it. An
    /// attempt that does not run is passed over.
    fn signal(&mut self, attempt: AttemptId, signal: Signal) -> Result<(), Fault> {
        let _ = (attempt, signal);
        let kind = self.describe().kind.name();
        Err(Fault::Unsupported(format!("tasks of a {kind} pool cannot be sent signals")))
    }

    /// Removes what is kept of attempts that have ended: records, logs, working folders. Called
    /// once the exchange has everything. Attempts that have not ended are passed over.
    fn forget(&mut self, attempts: &[AttemptId]) -> Result<(), Fault>;

    /// What the site's accounting counted for attempts that have ended, where it is final and was not asked
    /// for since this engine was opened. Kept until [`site_counts_told`](Self::site_counts_told), beyond
    /// forgetting.
    fn site_counts(&mut self) -> Vec<SiteCount> {
        Vec::new()
    }

    /// The exchange has the counts of these attempts.
    fn site_counts_told(&mut self, attempts: &[AttemptId]) {
        let _ = attempts;
    }

    /// At most `max` bytes of an output stream from `offset` on; empty when nothing more is
    /// there yet, or nothing is known of it.
    fn logs(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        offset: u64,
        max: usize,
    ) -> Result<LogChunk, Fault>;

    /// Where the fresh working folder of an attempt is or will be on this machine, to stage
    /// inputs into before the start and fetch outputs from before it is forgotten. `None` where
    /// the engine keeps it elsewhere.
    fn workdir(&self, attempt: AttemptId) -> Option<PathBuf>;

    /// How to start a command beside a running attempt. Engines that offer no way in say so.
    fn enter(&mut self, attempt: AttemptId, visit: Visit<'_>) -> Result<Entrance, EnterFault> {
        let _ = (attempt, visit);
        let kind = self.describe().kind.name();
        Err(EnterFault::Unsupported(format!("tasks of a {kind} pool cannot be entered")))
    }

    /// Makes a waiting [`observe`](Self::observe) return early, from another thread.
    fn waker(&self) -> Waker;

    /// The clock that its leases are counted on: the boot and the reading now.
    fn boot_now(&self) -> (BootId, BootTime);
}
