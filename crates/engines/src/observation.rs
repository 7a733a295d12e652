//! What was seen of an attempt: where it stands, how it ended, what it used, what it wrote.
//!
//! Invariant: an observation is the whole truth about its attempt at that moment, so a lost or
//! repeated one changes nothing. Counters count since the attempt began and never shrink.

use dayan_units::{AttemptId, Bytes, Span, Time};
use serde::{Deserialize, Serialize};

/// What an attempt used since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Processor time in the program itself, of all its processes.
    pub cpu_user: Span,
    /// Processor time in the kernel on its behalf.
    pub cpu_system: Span,
    /// Time since its process was made, on the boot clock.
    pub wall: Span,
    /// The most memory it had at once.
    pub memory_peak: Bytes,
    /// Bytes read from storage.
    pub read: Bytes,
    /// Bytes written to storage.
    pub written: Bytes,
    /// Energy in microjoule: its share of the processor packages' by its share of their busy time,
    /// an estimate, and that of the cards it holds. `None` where no meter can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_microjoule: Option<u64>,
}

impl Counters {
    /// Processor time of both kinds.
    pub const fn cpu(&self) -> Span {
        self.cpu_user.plus(self.cpu_system)
    }
}

/// Why a program could not be started.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum StartFailure {
    /// There is no such program.
    #[error("there is no program `{0}`")]
    NoSuchProgram(String),
    /// It is there and may not or cannot be executed.
    #[error("`{0}` cannot be executed")]
    NotExecutable(String),
    /// The working folder is missing or could not be made.
    #[error("the working folder: {0}")]
    Workdir(String),
    /// The machine has no room for another process.
    #[error("the machine has no room for another process: {0}")]
    NoRoom(String),
    /// The limits asked for could not be set.
    #[error("the limits could not be set: {0}")]
    Limits(String),
    /// A registry says that it has no such image, or not for who asks.
    #[error("{0}")]
    Image(String),
    /// Who runs the machines says no to what the job itself has said: a partition, an account, a time.
    #[error("{0}")]
    Asked(String),
    /// Anything else, in the system's words.
    #[error("{0}")]
    Other(String),
}

impl StartFailure {
    /// Of an image that did not come, by what was said of it: a registry that knows no such image, or not
    /// for who asks, says so everywhere. There are words for it and no codes: podman and docker answer 500
    /// and 404 to the same, and nodes of a cluster hand on what their runtimes said.
    #[cfg(any(feature = "containers", feature = "kubernetes"))]
    pub(crate) fn of_image(words: String) -> Self {
        if says_no_image(&words) { Self::Image(words) } else { Self::Other(words) }
    }

    /// Is it for want of what the job itself has named? Then asking there again is of no use, and no fault
    /// of the site's. Everything else is the site's, until it is known better.
    pub const fn is_the_jobs(&self) -> bool {
        match self {
            Self::NoSuchProgram(_) | Self::NotExecutable(_) | Self::Image(_) | Self::Asked(_) => {
                true
            }
            Self::Workdir(_) | Self::NoRoom(_) | Self::Limits(_) | Self::Other(_) => false,
        }
    }

    /// The status that a shell would show, where it is for want of the program.
    pub const fn status(&self) -> Option<i32> {
        match self {
            Self::NoSuchProgram(_) => Some(127),
            Self::NotExecutable(_) => Some(126),
            Self::Workdir(_)
            | Self::NoRoom(_)
            | Self::Limits(_)
            | Self::Image(_)
            | Self::Asked(_)
            | Self::Other(_) => None,
        }
    }
}

/// Does a registry say that it has no such image, or not for who asks?
#[cfg(any(feature = "containers", feature = "kubernetes"))]
pub(crate) fn says_no_image(words: &str) -> bool {
    const SAID: [&str; 8] = [
        "manifest unknown",
        "name unknown",
        "does not exist or may require",
        "unauthorized",
        "invalid reference",
        "repository name must be lowercase",
        // containerd's, and the kubelet's of a name that can be none.
        "code = notfound",
        "invalidimagename",
    ];
    let words = words.to_ascii_lowercase();
    SAID.iter().any(|said| words.contains(said))
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// By itself, with this status.
    Exited(i32),
    /// By a signal that nobody of ours sent.
    Signalled(i32),
    /// It asked for more memory than its limit.
    OutOfMemory,
    /// Its wall time was up.
    TimeLimit,
    /// Its lease ran out.
    LeaseEnded,
    /// It was told to stop.
    Stopped,
    /// Who kept it died, and it with it; whatever was left of it was killed. Also: the machine
    /// was restarted.
    KeeperDied,
    /// Who runs the machines took it off for something of more weight there: nothing failed.
    Preempted,
    /// It never ran.
    StartFailed(StartFailure),
}

impl Outcome {
    /// The status a shell would show: 127 and 126 for a program that is missing or not
    /// executable, 128 + n for signal n (out of memory is SIGKILL), 124 for a time limit.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Exited(code) => *code,
            Self::Signalled(signal) => 128 + signal,
            Self::OutOfMemory | Self::KeeperDied => 128 + 9,
            Self::TimeLimit => 124,
            Self::LeaseEnded | Self::Stopped | Self::Preempted => 128 + 15,
            Self::StartFailed(failure) => failure.status().unwrap_or(126),
        }
    }
}

/// The end of an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct End {
    /// When nothing of it ran any more, by the wall clock.
    pub at: Time,
    /// How.
    pub outcome: Outcome,
}

/// Where an attempt stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Recorded as launched; its process is being made.
    Starting,
    /// It runs.
    Running {
        /// When its process was made, by the wall clock.
        started_at: Time,
        /// Its first process, where the engine runs it on this machine.
        pid: Option<u32>,
    },
    /// Nothing of it runs any more.
    Ended(End),
}

/// An attempt as it was seen.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Observation {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Where it stands.
    pub phase: Phase,
    /// What it used so far.
    pub usage: Counters,
    /// On which of the engine's nodes it runs, or ran: of an engine that chooses the node itself, once
    /// that is known. None where it runs on the one that it was sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// Which other nodes it has, in order: of the head of a gang that was started alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
}

impl Observation {
    /// Of one that runs where it was sent to.
    pub const fn new(attempt: AttemptId, phase: Phase, usage: Counters) -> Self {
        Self { attempt, phase, usage, node: None, others: Vec::new() }
    }

    /// Its end, if it has ended.
    pub const fn end(&self) -> Option<&End> {
        match &self.phase {
            Phase::Ended(end) => Some(end),
            Phase::Starting | Phase::Running { .. } => None,
        }
    }
}

/// The status of a step that could not be started after others of its attempt had run: what `docker run`
/// itself exits with then. The attempt has run and ends so; it has not failed to start.
#[cfg(any(feature = "containers", feature = "kubernetes"))]
pub(crate) const STEP_NOT_STARTED: i32 = 125;

/// How a step ended. One that was written down twice ended as the later line says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its number, from 0.
    pub step: u32,
    /// When its container was started, by the wall clock; none: it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it had ended.
    pub ended_at: Time,
    /// Its status, as a shell would show it.
    pub exit_code: i32,
    /// Where its standard output begins and ends in that of the attempt.
    pub stdout: [u64; 2],
    /// The same of its standard error.
    pub stderr: [u64; 2],
}

/// One of the two output streams, or the record of a launch's steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// What became of the steps of a launch that has some: a [`StepRecord`](crate::StepRecord) as a
    /// line of JSON for each that ended.
    Steps,
    /// What the launch's results went to, which only the agent knows: of every engine it is empty.
    Outputs,
}

impl Stream {
    /// Its name as a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Steps => "steps",
            Self::Outputs => "outputs",
        }
    }
}

/// A piece of an output stream. Offsets count every byte the task ever wrote, kept or not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogChunk {
    /// Where `data` begins.
    pub offset: u64,
    /// The bytes, as they were written.
    pub data: Vec<u8>,
    /// Bytes between the offset asked for and `offset` that were not kept: the gap.
    pub skipped: u64,
}

impl LogChunk {
    /// Where to go on reading.
    pub fn next(&self) -> u64 {
        self.offset + self.data.len() as u64
    }
}
