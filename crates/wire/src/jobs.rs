//! Jobs as scripts and people see them.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// The answer to a submission.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// The job's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Instead of it, where the file says when it runs: the id of the schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When that is due next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// How many tasks are how far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct TaskCounts {
    /// All of them.
    pub total: u64,
    /// Queued in a paused job.
    pub paused: u64,
    /// Queued.
    pub queued: u64,
    /// Under a lease.
    pub running: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended badly.
    pub failed: u64,
    /// Taken back.
    pub cancelled: u64,
}

/// A job's money.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct JobMoney {
    /// Of both.
    pub currency: String,
    /// Held for its leases now.
    pub held: String,
    /// Captured so far.
    pub spent: String,
}

/// Why a job waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Waiting {
    /// Stable dotted code.
    pub code: String,
    /// What it means here.
    pub message: String,
    /// Time does not change it: where all reasons are such, no pool takes the job as it is.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lasting: bool,
}

/// The state of a job as the API writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobState {
    /// It waits, and nothing of it is placed until it is resumed.
    Paused,
    /// It waits.
    Queued,
    /// Some of it is under a lease.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended badly.
    Failed,
    /// It was taken back.
    Cancelled,
    /// What it may cost pays for no more of it.
    Unfunded,
}

impl JobState {
    /// Every state, in the order of a job's way.
    pub const ALL: [Self; 7] = [
        Self::Paused,
        Self::Queued,
        Self::Running,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Unfunded,
    ];

    /// Its written name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paused => "paused",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unfunded => "unfunded",
        }
    }

    /// The state with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// A job in a list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct JobSummary {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What pays.
    pub project: String,
    /// Who submitted it: the user's name; absent where the user is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// `paused`, `queued`, `running`, `succeeded`, `failed`, `cancelled` or `unfunded`.
    pub state: String,
    /// When it was accepted.
    pub submitted_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Its tasks.
    pub tasks: TaskCounts,
    /// Its money.
    pub money: JobMoney,
    /// Why it waits, when it does: the first reasons in a list, all of them of a single job.
    #[serde(default)]
    pub waiting: Vec<Waiting>,
}

/// A job with everything.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// What a list shows of it.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// Its attempts, the newest first, at most as many as a page holds.
    pub attempts: Vec<Attempt>,
    /// Tasks that are queued, as the first and the last of each run of numbers; at most 1,000 runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub queued: Vec<[u32; 2]>,
    /// The same of those that were cancelled, while the exchange still has the job in memory.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cancelled: Vec<[u32; 2]>,
    /// The firm quote it runs under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<String>,
    /// When it must have finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<String>,
    /// Whether it did, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_met: Option<bool>,
    /// What is promised to the tasks that still wait, where its deadline is hard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promise: Option<Promise>,
    /// The jobs that hang together with it by what they wait for, itself included, each after those
    /// that it waits for; none where it stands alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub workflow: Vec<WorkflowJob>,
    /// Tasks that ran out of memory and ask for more since; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub raised: Vec<RaisedMemory>,
    /// The newest whole checkpoint of each of its tasks that has one; at most 1,000.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checkpoints: Vec<crate::CheckpointView>,
    /// The schedule that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<String>,
    /// When it was due by that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_at: Option<String>,
    /// Its job file, in canonical form.
    #[schema(value_type = Object)]
    pub spec: serde_json::Value,
}

/// A task that ran out of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct RaisedMemory {
    /// Which; none: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// What it asks for now, in bytes.
    pub memory: u64,
}

/// A job of a workflow.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct WorkflowJob {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its state; `gone` where it has left memory.
    pub state: String,
    /// One more than the deepest of those that it waits for; 0 where it waits for none.
    pub depth: u32,
    /// What it waits for.
    pub after: Vec<DependsOn>,
}

/// What a job waits for of another.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct DependsOn {
    /// The other job's id.
    pub job: String,
    /// `started`, `succeeded`, `failed`, `ended`, or `each`: task by task.
    pub after: String,
    /// It has happened.
    pub met: bool,
}

/// A hard deadline was admitted: places are kept for all of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Promise {
    /// When the last of its tasks starts at the latest.
    pub starts_by: String,
    /// When the last of them ends at the latest.
    pub ends_by: String,
}

/// One attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Attempt {
    /// Of which task.
    pub task: u32,
    /// Counts the task's attempts from 1.
    pub attempt: u32,
    /// In which pool.
    pub pool: String,
    /// On which machine.
    pub node: String,
    /// `leased`, `staging`, `running`, `publishing`, `succeeded`, `failed`, `cancelled`, `lost` or
    /// `preempted`.
    pub state: String,
    /// What the program said, when it said something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When its process began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// How it ended, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it used, as its agent signed it last; once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<crate::Counters>,
    /// What its site's own accounting counted, once that is final.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_count: Option<crate::SiteCount>,
    /// How many attempts ran one after the other, or together, in the job that its site counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site_count_of: Option<u64>,
    /// How far its copying is, while its inputs come or its outputs go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copying: Option<crate::Copying>,
}

impl Attempt {
    /// What it used, for people: processor time and memory by its site's accounting where that is final and
    /// counted this attempt alone, and all that the site did not count as its agent signed it. How long it
    /// took is what both sides of the lease agree on.
    pub fn used_finally(&self) -> Option<crate::Counters> {
        let Some(site) = self.counted_alone() else { return self.used };
        let ours = self.used.unwrap_or_default();
        let cpu_us = site.cpu_us.unwrap_or(ours.cpu_us);
        let memory_peak = site.memory_peak.unwrap_or(ours.memory_peak);
        Some(crate::Counters { cpu_us, memory_peak, ..ours })
    }

    /// What its site counted, if it counted this attempt alone.
    pub fn counted_alone(&self) -> Option<&crate::SiteCount> {
        self.site_count.as_ref().filter(|_| self.site_count_of == Some(1))
    }
}

/// A page of attempts.
pub type Attempts = crate::Page<Attempt>;

/// Which task to take back, retry or look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Cancel {
    /// Its number; none: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
}

/// A reason and how many pools gave it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Reason {
    /// Stable dotted code.
    pub code: String,
    /// What it means here.
    pub message: String,
    /// How many pools gave it.
    pub pools: u32,
}

/// What would fit if one rule were left out.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Relaxation {
    /// The rule.
    pub code: String,
    /// How many pools would then take it.
    pub pools: u32,
    /// What one of them says now.
    pub example: String,
    /// The key of the job file that asks for it, where it is the job's to change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Why a job waits, and until when.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The job.
    pub job: String,
    /// `not_waiting`, `blocked`, `at_max_parallel`, `not_yet`, `behind_strict`,
    /// `over_quota`, `no_license`, `depends`, `infeasible` or `waiting`.
    pub standing: String,
    /// How many jobs are before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
    /// How much later than it is due it stands, in seconds, because its project had more than its
    /// share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind_s: Option<f64>,
    /// What its soft deadline does, if it has one and waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub urgency: Option<Urgency>,
    /// How many of its tasks wait.
    pub tasks_waiting: u64,
    /// What refused it, by code.
    pub reasons: Vec<Reason>,
    /// What would help.
    pub relaxations: Vec<Relaxation>,
    /// When it is expected to start, as likely before as after, in seconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_p50_s: Option<f64>,
    /// The same with nine chances in ten.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_p90_s: Option<f64>,
    /// What was expected when it was first planned for, if it had to wait then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<Told>,
    /// How good such estimates were so far, of all jobs.
    #[serde(default)]
    pub estimates: Estimates,
}

/// What a soft deadline does to the place of a job that waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Urgency {
    /// When it must start, to be expected to be in time.
    pub start_by: String,
    /// It stands in the queue by that, before others of its priority that are due later. Not so where
    /// there is time enough, or none any more.
    pub lifted: bool,
    /// That moment has passed, or had when it was submitted: it is not expected to be in time.
    #[serde(default)]
    pub lost: bool,
    /// How many soft deadlines of all jobs were met so far.
    pub met: u64,
    /// And missed.
    pub missed: u64,
}

/// When a job was expected to start, and did.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, ToSchema)]
pub struct Told {
    /// When that was.
    pub at: String,
    /// As likely before as after, in seconds from then.
    pub start_p50_s: f64,
    /// With nine chances in ten.
    pub start_p90_s: f64,
    /// How long it took, in seconds, once it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_s: Option<f64>,
}

/// How good start estimates were.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Estimates {
    /// How many jobs that had to wait were scored when they started.
    pub scored: u64,
    /// How many of them had started by P50.
    pub within_p50: u64,
    /// How many by P90.
    pub within_p90: u64,
}

/// Which part of which log.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct LogQuery {
    /// The task; 0 unless told.
    #[serde(default)]
    pub task: u32,
    /// The attempt; the newest unless told.
    #[serde(default)]
    pub attempt: Option<u32>,
    /// `stdout` or `stderr`; `stdout` unless told.
    #[serde(default)]
    pub stream: Option<String>,
    /// Where to begin, in bytes.
    #[serde(default)]
    pub offset: u64,
    /// For how long to wait for something to be written, where there is nothing yet, in
    /// milliseconds; at most 10,000.
    #[serde(default)]
    pub wait_ms: u32,
}
