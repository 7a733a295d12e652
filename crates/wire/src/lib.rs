//! What goes over the wire: request and response types of the public API and of the agents' sync.
//!
//! Money is a decimal string with its currency beside it, times are RFC 3339 texts, durations are
//! seconds unless the name carries a unit, ids carry a prefix. Fields may be added, not changed.
//! This room knows no state and no rules; servers and clients of other versions read it.

mod access;
mod data;
pub mod exec;
mod jobs;
pub mod logs;
mod market;
mod money;
mod paths;
mod probe;
mod problem;
mod schedules;
#[cfg(feature = "socket")]
pub mod socket;
mod supply;
mod sync;

pub use access::{
    BudgetLimits, Deposited, Held, License, NewOrg, NewPriorityMost, NewProject, NewRole, NewToken,
    NewUser, NewWeight, Org, Project, Quota, QuotaLimits, SetLicense, Share, Token, TokenIssued,
    User, WhoAmI,
};
pub use data::{
    AttemptCopying, CheckpointFile, CheckpointView, Copying, DataEntry, DataUse, InputFile,
    NewCheckpoint, NewEntry, NewOutput, NewSecret, NewUpload, OutputFile, Publication, Secret,
    TaskCheckpoint, UploadState,
};
pub use jobs::{
    Attempt, Attempts, Cancel, DependsOn, Estimates, Explanation, Job, JobMoney, JobState,
    JobSummary, LogQuery, Promise, RaisedMemory, Reason, Relaxation, Submitted, TaskCounts, Told,
    Urgency, Waiting, WorkflowJob,
};
pub use market::{
    Candidate, ListPrice, NewOffer, Offer, PlanAnswer, PlanOrder, Quote, QuoteLine, RefusedPool,
    Score,
};
pub use money::{
    Account, Deposit, Finding, Invoice, InvoiceJob, InvoiceSummary, JournalCheck, LedgerCheck,
    Line, LinePrice, UsageRow,
};
pub use paths::{
    AGENT_DATA, AGENT_EXEC, AGENT_JOIN, AGENT_LOGS, AGENT_LOGS_KEPT, AGENT_PROBE, AGENT_SYNC, API,
    HEALTH, METRICS, OPENAPI,
};
pub use probe::{PROBE_BYTES_MAX, noise};
pub use problem::{Problem, ProblemDetail};
pub use schedules::{Schedule, ScheduleRun};
pub use supply::{
    Attested, Attribute, Closure, Invitation, JoinToken, NetCell, NetMatrix, NewInvitation,
    NewProvider, Node, OthersLoad, Pool, PoolCarbon, Provider, Record, Reliability, SetCarbon,
    SetPue, SetStatus, StandardUnits,
};
pub use sync::{
    AccountsCompared, AttemptReport, Blame, ChallengeAnswer, CheckpointOrder, Counters, Gang,
    HeldPart, ImageOrder, JoinAnswer, JoinRequest, LeaseOrder, LogAsk, MountOrder, Outcome,
    OutputOrder, PoolLoad, PoolShown, Seen, ShownNode, ShownQueue, SignedUsage, SiteCount,
    SiteCounted, StepOrder, SyncAnswer, SyncRequest, TimeSignalOrder, UsageRecord,
};

/// A page of a list.
#[derive(Clone, PartialEq, Debug, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where to go on, if there is more: pass it as `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
