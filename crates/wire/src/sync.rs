//! Between agent and exchange: joining, and the one idempotent call.
//!
//! The agent says what it observes; the answer says what it should hold. A lost, repeated or
//! reordered message loses nothing: what is not acknowledged is said again.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{AttemptId, Resources};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One machine as an agent shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShownNode {
    /// Its name in the pool.
    pub name: String,
    /// What it offers to the exchange.
    #[schema(value_type = Object)]
    pub total: Resources,
    /// Its accelerators' model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// What it has that a task can ask for: `avx512f`, `nvlink`.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// Where it hangs in the pool's fabric, from wide to narrow: `spine1/leaf3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// The island of each of its cards, in their order: what links or one processor's memory join has the
    /// same number. Left out where nothing is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub islands: Vec<u8>,
    /// Can it take work now?
    pub up: bool,
}

/// Places in the queue of a pool's own engine: short tasks are sent there before anything has ended,
/// so that the engine never waits for the exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ShownQueue {
    /// What a task may take at most: the largest machine.
    #[schema(value_type = Object)]
    pub unit: Resources,
    /// All places together hold so many times that.
    pub places: u32,
    /// The longest time limit of a task that may wait there, in µs.
    pub time_max_us: i64,
}

/// A part of a machine that others than the exchange hold.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct HeldPart {
    /// Of which machine.
    pub node: String,
    /// How much.
    #[schema(value_type = Object)]
    pub resources: Resources,
    /// In how long it is given back at the latest, in seconds; none where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_in_s: Option<u64>,
}

/// What others do in a pool that is not the exchange's alone, as its engine sees it now.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct PoolLoad {
    /// What they hold.
    pub held: Vec<HeldPart>,
    /// How many of their tasks wait in the engine's queue.
    pub others_waiting: u32,
    /// How many of ours wait there.
    pub ours_waiting: u32,
    /// In how long the engine expects to start the last of ours that it has a forecast for, in
    /// seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecast_s: Option<u64>,
    /// How the engine's own accounting compares with what the agent counts, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<AccountsCompared>,
}

/// The use of attempts as the site's own accounting counts it, beside what was told to the exchange.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct AccountsCompared {
    /// Attempts that were compared.
    pub compared: u64,
    /// Jobs of the engine's in which time, processor time or memory differed beyond the usual.
    pub differed: u64,
    /// The last of them, in words: which, what was counted here and what there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// A pool as its agent shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct PoolShown {
    /// `process`, `podman`, `slurm`, `kubernetes` or `simulated`.
    pub engine: String,
    /// `keeper`, `wrapper` or `none`.
    pub fence: String,
    /// `by_node` or `by_pool`.
    pub placing: String,
    /// What the engine can do, by the names of the job file's features.
    pub features: BTreeSet<String>,
    /// The fast network that its machines share, by the name the site gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fabric: Option<String>,
    /// Its machines.
    pub nodes: Vec<ShownNode>,
    /// How much may wait in its own queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<ShownQueue>,
    /// Its inventory, canonical text per attribute.
    pub inventory: BTreeMap<String, String>,
}

/// An agent takes an invitation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The secret of the join token.
    pub secret: String,
    /// Its Ed25519 public key, in hex.
    pub public_key: String,
    /// The signature of its key over `dayan join 1\n` and the secret, in hex: it holds the key.
    pub proof: String,
    /// The city its site is in.
    pub site: String,
    /// The pool's name at the site.
    pub pool: String,
    /// How many further pools the holder of this key brings by the same token, such as the other
    /// partitions of a cluster; the token is good for so many joins more by this key, and by no other.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: u32,
    /// The token that the agent is going to sync with, drawn by itself: `dya_` and 64 hexadecimal digits.
    /// The same join sent again, because its answer was lost, names the same token: it is answered as the
    /// first one was and counts once. None: the exchange draws one, and a lost answer loses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The pool.
    pub shown: PoolShown,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// The agent is in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JoinAnswer {
    /// Its id.
    pub agent: String,
    /// Its pool's id.
    pub pool: String,
    /// What the pool is called: as was asked, or with a number behind it where that was taken.
    #[serde(default)]
    pub pool_name: String,
    /// The pool's compute-resource name.
    pub crn: String,
    /// The token it syncs with: its own, or the one that was drawn for it, which is shown this once.
    pub token: String,
    /// The exchange's name.
    pub exchange: String,
}

/// How an attempt ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// By itself, with this code.
    Exited {
        /// The code.
        code: i32,
    },
    /// By a signal that was not ours.
    Signalled {
        /// The signal.
        signal: i32,
    },
    /// It used more memory than it asked for.
    OutOfMemory,
    /// It ran longer than it asked for.
    TimeLimit,
    /// Its lease ran out.
    LeaseEnded,
    /// It was asked to stop.
    Stopped,
    /// The machine or its keeper went away under it.
    NodeFailure,
    /// Its site took it off for work of its own, as a cluster's scheduler does.
    Preempted,
    /// It could not be started.
    StartFailed {
        /// Why.
        reason: String,
        /// Whose doing it was.
        #[serde(default)]
        blame: Blame,
        /// Would it be the same wherever and whenever it is tried? Then it does not go again.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        for_good: bool,
        /// The status that a shell would show, where its program is not there (127) or cannot be run (126).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<i32>,
    },
    /// Its outputs could not be published.
    PublishFailed {
        /// Why.
        reason: String,
        /// Whose doing it was.
        #[serde(default)]
        blame: Blame,
    },
}

/// Whose doing it was that an attempt could not start or publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The site's: elsewhere, or later, it may go well.
    #[default]
    Site,
    /// The job's own: an input that is not there, an output that its task has not left.
    Job,
}

/// How far an attempt is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "seen")]
pub enum Seen {
    /// Its inputs are on the way.
    Staging,
    /// It runs.
    Running,
    /// It ended well and asks to publish its outputs.
    Publishing,
    /// The same, and nothing of it has run for a while: publishing takes long, and its room is free.
    Lingering,
    /// Nothing of it runs any more.
    Ended {
        /// How it ended.
        #[serde(flatten)]
        outcome: Outcome,
    },
}

/// News of one attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct AttemptReport {
    /// Which.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// How far it is.
    #[serde(flatten)]
    pub seen: Seen,
    /// On which of the pool's nodes it runs, or ran, where the pool's own scheduler has chosen that and
    /// it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// Cumulative use since the attempt began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Counters {
    /// Time since the process began, µs.
    pub wall_us: i64,
    /// Processor time, µs.
    pub cpu_us: i64,
    /// Largest memory, bytes.
    pub memory_peak: u64,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Energy, µJ, where it can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub energy_uj: Option<u64>,
}

/// One usage record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct UsageRecord {
    /// Whose use.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// Counts the records of this attempt from 1.
    pub seq: u64,
    /// The counters.
    pub counters: Counters,
}

/// Usage records with the agent's signature over their text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SignedUsage {
    /// A JSON list of usage records, as text: exactly what was signed.
    pub records: String,
    /// Ed25519 over `dayan usage 1\n` and the text, in hex.
    pub signature: String,
}

impl SignedUsage {
    /// What is signed for a text of records.
    pub fn material(records: &str) -> Vec<u8> {
        [b"dayan usage 1\n", records.as_bytes()].concat()
    }
}

/// What the site's own accounting counted for a job of its own, once that is final. It is shown beside what
/// the agent signed; nothing is billed by it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SiteCounted {
    /// The attempts that ran in the job; of several it is what they took together.
    #[schema(value_type = Vec<String>)]
    pub attempts: Vec<AttemptId>,
    /// What was counted.
    #[serde(flatten)]
    pub count: SiteCount,
}

/// A job as its site counted it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SiteCount {
    /// The job as the site names it: `1234_5` of a Slurm cluster.
    pub job: String,
    /// From its start to its end, in µs.
    pub elapsed_us: i64,
    /// Its processor time, in µs, where the site counted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_us: Option<i64>,
    /// The most memory it was seen with, in bytes, where somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak: Option<u64>,
}

/// The answer to a challenge.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ChallengeAnswer {
    /// The challenge's nonce.
    pub nonce: String,
    /// SHA-256 over the challenge's material for the inventory as it is now, in hex.
    pub digest: String,
}

/// The agent's one call.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SyncRequest {
    /// The newest revision it knows; 0 after a restart.
    pub known: u64,
    /// For how long the answer may be held back while there is nothing new, in milliseconds.
    #[serde(default)]
    pub wait_ms: u32,
    /// SHA-256 of the canonical JSON of its pool's picture, in hex.
    #[serde(default)]
    pub shown_digest: String,
    /// The picture, when the last answer asked for it or it has changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shown: Option<PoolShown>,
    /// What others do in the pool, when it was looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<PoolLoad>,
    /// News of attempts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<AttemptReport>,
    /// Usage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<SignedUsage>,
    /// The answer to a challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<ChallengeAnswer>,
    /// What its site's cache holds, when that has changed or the last answer asked for it: the first 16
    /// hexadecimal digits of the SHA-256 of each file that is worth naming, at most 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<BTreeSet<String>>,
    /// What the site's accounting counted for attempts that have ended, at most 500 jobs of the site's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub site_counts: Vec<SiteCounted>,
    /// Measured values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub measured: Vec<dayan_measure::Measurement>,
}

/// Where an output goes, or where an input comes from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct OutputOrder {
    /// Of an output a path in the working folder, of an input an address.
    pub from: String,
    /// Of an output an address, of an input a path in the working folder.
    pub to: String,
    /// What a single file must be: its SHA-256 in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// The secret that opens the address, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Is each file sent as soon as the program closes it?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub file_closed: bool,
}

/// How a task saves its state.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct CheckpointOrder {
    /// The folder with the state, inside its own.
    pub path: String,
    /// How often it is asked to save, in µs; none: only before it is stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_us: Option<i64>,
    /// The signal that asks, by its name: `SIGUSR1`.
    pub signal: String,
    /// How long saving may take, in µs.
    pub grace_us: i64,
    /// Does the attempt begin with the newest whole checkpoint of its task?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resume: bool,
    /// Exit statuses by which a task says that it goes on from what it has left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exits: Vec<u8>,
}

/// What a task is told some time before its time limit.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct TimeSignalOrder {
    /// The signal, by its name: `SIGUSR1`.
    pub signal: String,
    /// So long before, in µs.
    pub before_us: i64,
}

/// A member's place in its gang.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Gang {
    /// Its rank, from 0.
    pub rank: u32,
    /// Node names by rank.
    pub nodes: Vec<String>,
    /// A number that all members of this launch share and no other open launch in the pool has.
    pub slot: u32,
    /// Does it run the command? (`launch: head` runs it on rank 0 only.)
    pub runs: bool,
}

/// The container image a task runs in.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct ImageOrder {
    /// Its name.
    pub name: String,
    /// The project that pays: whose registries the agent may ask.
    #[serde(default)]
    pub project: String,
}

/// Part of the task's folder at another place inside its containers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct MountOrder {
    /// A path in the task's folder.
    pub from: String,
    /// Where it is seen: an absolute path.
    pub at: String,
}

/// A command in a container of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct StepOrder {
    /// The container image.
    pub image: ImageOrder,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Where it starts, inside the container; none: where the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Variables beside the task's, which they hide.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The file that it reads as its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The file that its standard output goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// The file that its standard error goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Does the next step begin although this one fails?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_error: bool,
}

/// What the exchange wants done with one attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LeaseOrder {
    /// Which.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// On which machine.
    pub node: String,
    /// What it takes there.
    #[schema(value_type = Object)]
    pub resources: Resources,
    /// The cards it takes there, by number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cards: Vec<u8>,
    /// How long it may outlive its link, in µs.
    pub keep_us: i64,
    /// How long it may run, in µs.
    pub time_limit_us: i64,
    /// Should it stop?
    #[serde(default)]
    pub stop: bool,
    /// Where it should stop, how long it has to save its state first, in µs; none: no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub save_within_us: Option<i64>,
    /// May it publish its outputs?
    #[serde(default)]
    pub publish: bool,
    /// The job's name, for people.
    pub name: String,
    /// The organisation that pays, by its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// The image it runs in; none: the pool's own programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageOrder>,
    /// The command.
    pub run: String,
    /// What runs instead of the command: containers, one after the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepOrder>,
    /// Parts of the task's folder at other places inside its containers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<MountOrder>,
    /// Small files to put into the task's folder: what is in each, by its path.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub files: BTreeMap<String, String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// Environment variables whose values are secrets, by the secrets' names. What they say is
    /// asked for when it is needed, and is never in an order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<String, String>,
    /// Its working folder, inside its own; none: its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// What to bring before it starts: from an address, to a path in the working folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<OutputOrder>,
    /// What to publish after it has ended well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<OutputOrder>,
    /// How it saves its state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointOrder>,
    /// What it is told before its time is up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_signal: Option<TimeSignalOrder>,
    /// Its place in its gang.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<Gang>,
    /// What the job says to the site's own scheduler (`backend.slurm`), where the pool lets it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub site_words: BTreeMap<String, String>,
    /// What the job asks of its nodes (`placement.features`), for a pool whose own scheduler chooses
    /// them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub node_features: BTreeSet<String>,
}

/// The exchange asks for a part of a log.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct LogAsk {
    /// The ask's number: the answer goes to it.
    pub id: u64,
    /// Whose log.
    #[schema(value_type = String)]
    pub attempt: AttemptId,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Where to begin, in bytes.
    pub offset: u64,
    /// At most so many bytes.
    pub max: u32,
    /// For how long to wait for something to be written, where there is nothing yet, in
    /// milliseconds.
    #[serde(default)]
    pub wait_ms: u32,
}

/// What the agent should hold.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct SyncAnswer {
    /// The revision this answer brings the agent to.
    pub revision: u64,
    /// Leases that are new or changed since the revision the agent named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<LeaseOrder>,
    /// Attempts the agent named and holds no lease for: stop them if they run, and forget them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub forget: Vec<AttemptId>,
    /// A challenge to answer: its nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<String>,
    /// Parts of logs that somebody waits for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<LogAsk>,
    /// Who wants to run commands beside tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub execs: Vec<crate::exec::ExecAsk>,
    /// The exchange does not have the pool's picture: send it.
    #[serde(default)]
    pub want_shown: bool,
    /// The exchange does not know what the site's cache holds: send it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub want_holds: bool,
    /// How often running attempts tell their use, in milliseconds.
    pub usage_every_ms: u32,
}
