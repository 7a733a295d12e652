//! What may be asked of the exchange. A command says what is wanted, by whom and when; whether it
//! happens is for [`crate::decide`]. Secrets never come in: only their digests do.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_identity::{Nonce, Status};
use dayan_market::{BudgetLimits, BuyerClass, Quote, Tariff};
use dayan_measure::Measurement;
use dayan_schedule::{
    Appointment, Cards, Closure, DataAt, NoAppointment, Quota, QuotaOf, StartEstimate,
};
use dayan_spec::{JobSpec, Priority};
use dayan_topology::GridSeries;
use dayan_units::{
    AgentId, AttemptId, JobId, Micro, OfferId, OrgId, PoolId, ProjectId, ProviderId, QuoteId, Rate,
    RequestId, Resources, ScheduleId, Span, Time, TokenId, UserId,
};
use serde::{Deserialize, Serialize};

use crate::state::{Counters, Digest, Role, Run, Settings, Shown};

/// Who is behind a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The exchange itself: its planner, its timers, its first start.
    System,
    /// A person or program, by its token.
    User {
        /// Who.
        user: UserId,
        /// For whom.
        org: OrgId,
        /// With which rights.
        role: Role,
    },
    /// A provider's agent.
    Agent {
        /// Which.
        agent: AgentId,
    },
}

/// A command with everything a pure decision needs from the world.
#[derive(Clone, Debug)]
pub struct At<C> {
    /// Exchange time.
    pub now: Time,
    /// The request it came with; also the seed of every id the decision makes.
    pub request: RequestId,
    /// Who asks.
    pub actor: Actor,
    /// What is asked.
    pub command: C,
}

/// How an attempt ended, as its agent tells it or the exchange decides.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub enum Outcome {
    /// The program ended by itself with this code; 0 is success.
    Exited {
        /// Exit code.
        code: i32,
    },
    /// A signal that was not ours ended it.
    Signalled {
        /// Signal number.
        signal: i32,
    },
    /// It used more memory than it asked for.
    OutOfMemory,
    /// It ran longer than it asked for.
    TimeLimit,
    /// Its lease ran out and the fence ended it.
    LeaseEnded,
    /// It was asked to stop and did.
    Stopped,
    /// The machine or its keeper went away under it.
    NodeFailure,
    /// Its site took it off for work of its own: neither the task nor the machine failed.
    Preempted,
    /// It could not be started.
    StartFailed {
        /// What the machine said.
        reason: String,
        /// Whose doing it was.
        #[serde(default)]
        blame: Blame,
        /// Would it be the same wherever and whenever it is tried?
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        for_good: bool,
        /// The status that a shell would show, where its program is not there (127) or cannot be run (126).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        status: Option<i32>,
    },
    /// Its outputs could not be published.
    PublishFailed {
        /// What the store said.
        reason: String,
        /// Whose doing it was.
        #[serde(default)]
        blame: Blame,
    },
    /// The exchange has not heard of its site for longer than the lease.
    SiteLost,
}

/// Whose doing it was that an attempt could not start or publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The site's: elsewhere, or later, it may go well.
    #[default]
    Site,
    /// The job's own: an input that is not there, an output that its task has not left.
    Job,
}

impl Outcome {
    /// Did the task do what it was asked?
    pub const fn is_success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }
}

/// How far an attempt is, seen from its agent.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
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
    /// It ended; nothing of it runs any more.
    Ended {
        /// How.
        outcome: Outcome,
    },
}

/// One record of use: cumulative since the attempt began.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct UsageRecord {
    /// Whose use.
    pub attempt: AttemptId,
    /// Counts the records of this attempt from 1.
    pub seq: u64,
    /// The counters.
    pub counters: Counters,
}

/// Where the signed bytes of usage are found again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// SHA-256 of the signed text.
    pub digest: Digest,
}

/// A job of a site's own scheduler, as the site's accounting counted it. Nothing is billed by it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SiteCount {
    /// The job as the site names it.
    pub job: String,
    /// From its start to its end.
    pub elapsed: Span,
    /// Its processor time, where it was counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Span>,
    /// The most memory it was seen with, where somebody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_peak: Option<u64>,
}

/// An agent tells what its site's accounting counted for attempts of its own that have ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteCounted {
    /// Who tells.
    pub agent: AgentId,
    /// The attempts that ran in the job and were told of for the first time, and where each of them ran, as
    /// the tables have it.
    pub attempts: Vec<(AttemptId, PoolId)>,
    /// How many ran in it.
    pub of: u64,
    /// What was counted.
    pub count: SiteCount,
}

/// What an agent shows of its pool, already authenticated.
#[derive(Clone, PartialEq, Debug)]
pub struct PoolNews {
    /// Who calls.
    pub agent: AgentId,
    /// The pool's picture, when the exchange does not have the newest.
    pub shown: Option<Shown>,
    /// Measured values.
    pub measured: Vec<Measurement>,
    /// The answer to an open challenge: nonce and digest.
    pub answer: Option<(Nonce, Digest)>,
}

/// Usage as it was signed: the text and the signature, so that anybody can check them again.
#[derive(Clone, PartialEq, Debug)]
pub struct SignedUsage {
    /// Who signed.
    pub agent: AgentId,
    /// The records the text holds.
    pub records: Vec<UsageRecord>,
    /// What was signed.
    pub text: String,
    /// Ed25519, in hex.
    pub signature: String,
}

/// What an agent says of one attempt, already authenticated; usage only if its signature held.
#[derive(Clone, PartialEq, Debug)]
pub struct AttemptNews {
    /// Who says it.
    pub agent: AgentId,
    /// Of which attempt.
    pub attempt: AttemptId,
    /// How far it is.
    pub seen: Option<Seen>,
    /// Its use.
    pub usage: Option<UsageRecord>,
    /// What proves the use.
    pub evidence: Option<Evidence>,
    /// On which of the pool's nodes it is, where the pool has chosen that.
    pub node: Option<String>,
}

/// One decision of the planner: all of these tasks, or none.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Place {
    /// Whose tasks.
    pub job: JobId,
    /// Which task goes where; a gang's in the order of their ranks.
    pub seats: Vec<Seat>,
}

/// What the planner takes back so that a waiting job can start: all of it, or nothing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Preempt {
    /// For which job.
    pub for_job: JobId,
    /// Which leases end.
    pub victims: Vec<AttemptId>,
    /// What is kept for the job of what comes free.
    pub places: Vec<Appointment>,
}

/// Where one task goes.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Seat {
    /// Which task.
    pub task: u32,
    /// In which pool.
    pub pool: PoolId,
    /// On which machine of it.
    pub node: String,
    /// From which offer.
    pub offer: OfferId,
    /// What it takes there.
    pub resources: Resources,
    /// On which cards.
    pub cards: Cards,
}

/// A submission.
#[derive(Clone, PartialEq, Debug)]
pub struct Submit {
    /// The file.
    pub spec: Arc<JobSpec>,
    /// SHA-256 of its canonical JSON.
    pub digest: Digest,
    /// The firm quote to run under.
    pub quote: Option<QuoteId>,
    /// The submitter's idempotency key.
    pub idempotency: Option<String>,
    /// What the planner says of a hard deadline.
    pub admission: Admission,
    /// What of its inputs lies in the data store, and where that is.
    pub data: Vec<DataAt>,
}

/// Can a hard deadline be promised? The planner looks; the decision looks again.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Admission {
    /// Nobody has asked. Right for every job without a hard deadline.
    #[default]
    NotSought,
    /// Yes: a place and a moment for each task.
    Found(Vec<Appointment>),
    /// No.
    Refused(NoAppointment),
}

/// What a schedule is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tell {
    /// Make no more jobs.
    Pause,
    /// Make jobs again.
    Resume,
    /// End. What it made goes on.
    Cancel,
}

/// What a new agent brings.
#[derive(Clone, PartialEq, Debug)]
pub struct Join {
    /// SHA-256 of the invitation's secret.
    pub invitation: Digest,
    /// Its Ed25519 key.
    pub public_key: Digest,
    /// SHA-256 of the token it will sync with; a join that names one that is known is the same join again.
    pub token: Digest,
    /// The city its site is in.
    pub place: String,
    /// The pool's name at the site.
    pub pool: String,
    /// How many further pools the same key brings by this invitation.
    pub more: u32,
    /// The pool's picture.
    pub shown: Shown,
}

/// What is offered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct NewOffer {
    /// Which pool's capacity.
    pub pool: PoolId,
    /// At which price.
    pub rate: Rate,
    /// What each hour of the day costs of it, by the exchange's clock on the wall; none: the same.
    pub tariff: Option<Tariff>,
    /// Least billed time of an attempt.
    pub minimum: Span,
    /// Which accelerator model it is for; none: no accelerator.
    pub accelerator: Option<String>,
    /// Least of each resource per task.
    pub min: Option<Resources>,
    /// Most of each resource per task.
    pub max: Option<Resources>,
    /// Share of the list price each buyer class pays, in permille.
    pub classes: BTreeMap<BuyerClass, u32>,
    /// Share of that which spot work pays, in permille; none: no spot is sold.
    pub spot_permille: Option<u32>,
    /// When it stops being listed.
    pub valid_until: Option<Time>,
}

/// Whose electricity.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CarbonOf {
    /// Of all pools in a province, a hub or a cluster that have none of their own.
    Region(String),
    /// Of one pool.
    Pool(PoolId),
}

/// How dirty electricity is by the hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SetCarbon {
    /// Whose.
    pub of: CarbonOf,
    /// By the hour; none: what was said before does not count any more.
    pub series: Option<GridSeries>,
}

/// What has a weight.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighed {
    /// An organisation, among organisations.
    Org(OrgId),
    /// A project, among those of its organisation.
    Project(ProjectId),
}

/// A run of a schedule that is due.
#[derive(Clone, PartialEq, Debug)]
pub struct Firing {
    /// Which.
    pub run: Run,
    /// What the planner says of its hard deadline.
    pub admission: Admission,
}

/// What may be asked.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// First start: names the exchange and makes its operator.
    Found {
        /// Its name.
        name: String,
        /// SHA-256 of the operator's first token.
        operator_token: Digest,
        /// What is the same on every replay.
        settings: Settings,
    },
    /// A new organisation.
    CreateOrg {
        /// Its slug.
        name: String,
        /// Which prices it is offered.
        class: BuyerClass,
        /// How far below zero its balance may go.
        credit: Micro,
    },
    /// A new user.
    CreateUser {
        /// Of which organisation (slug).
        org: String,
        /// Its name.
        name: String,
        /// What it may do.
        role: Role,
    },
    /// Another role for a user; it holds at once, for all its tokens.
    SetRole {
        /// Whose.
        user: UserId,
        /// What it may do from now on.
        role: Role,
    },
    /// A user goes, and its tokens with it.
    RemoveUser {
        /// Which.
        user: UserId,
    },
    /// A new token.
    IssueToken {
        /// For whom.
        user: UserId,
        /// What for.
        label: String,
        /// SHA-256 of the secret.
        digest: Digest,
        /// When it ends.
        expires_at: Option<Time>,
    },
    /// The end of a token.
    RevokeToken {
        /// Which.
        token: TokenId,
    },
    /// A new project.
    CreateProject {
        /// `organisation/project`.
        path: String,
        /// Its limits.
        budget: BudgetLimits,
    },
    /// Another weight, by which shares are meted out.
    SetWeight {
        /// Whose.
        of: Weighed,
        /// From 1 to [`WEIGHT_MAX`](crate::state::WEIGHT_MAX).
        weight: u32,
    },
    /// The highest priority that an organisation's jobs may have.
    SetPriorityMost {
        /// Whose.
        org: OrgId,
        /// The highest.
        most: Priority,
    },
    /// The most that an organisation or a project may hold at once.
    SetQuota {
        /// Whose.
        of: QuotaOf,
        /// The most; unlimited, where nothing is set.
        quota: Quota,
    },
    /// How many of a licence there are.
    SetLicense {
        /// Its name.
        name: String,
        /// How many; none: it is not counted any more, and nobody gets it.
        count: Option<u64>,
    },
    /// What the planner found for the tasks of a job with a hard deadline that wait without an
    /// appointment.
    PromiseAgain {
        /// Which.
        job: JobId,
        /// What it found.
        admission: Admission,
    },
    /// When a job that waits is expected to start, in the planner's words.
    Estimate {
        /// Which.
        job: JobId,
        /// From now on.
        start: StartEstimate,
    },
    /// New limits.
    SetBudget {
        /// Which project.
        project: ProjectId,
        /// The limits.
        budget: BudgetLimits,
    },
    /// Money came in for an organisation.
    Deposit {
        /// Which (slug).
        org: String,
        /// How much.
        amount: Micro,
        /// The payment's reference at the bank; the same reference is booked once.
        reference: String,
    },
    /// An organisation applies as a provider.
    ApplyProvider {
        /// Which (slug).
        org: String,
        /// Its slug as a provider.
        name: String,
        /// Its unified social credit code, if it has one.
        credit_code: Option<String>,
    },
    /// The operator moves a provider along.
    SetProviderStatus {
        /// Which.
        provider: ProviderId,
        /// Where to.
        status: Status,
    },
    /// An invitation for one agent.
    Invite {
        /// Who invites.
        provider: ProviderId,
        /// SHA-256 of the secret.
        digest: Digest,
        /// When it ends.
        expires_at: Time,
    },
    /// An agent takes an invitation.
    Join(Box<Join>),
    /// A pool is suspended, made active again or retired.
    SetPoolStatus {
        /// Which.
        pool: PoolId,
        /// Where to.
        status: Status,
    },
    /// When a pool, or some of its nodes, are closed; replaces what was said before.
    SetClosures {
        /// Which.
        pool: PoolId,
        /// All closures that are to come.
        closures: Vec<Closure>,
    },
    /// How dirty the electricity of a region or a pool is by the hour.
    SetCarbon(Box<SetCarbon>),
    /// How much a pool's building uses for each part that reaches its machines.
    SetPue {
        /// Which.
        pool: PoolId,
        /// In thousandths; none: as others that have not said.
        pue_permille: Option<u32>,
    },
    /// Capacity is listed at a price.
    ListOffer(Box<NewOffer>),
    /// An offer is taken back; leases keep their price.
    RetireOffer {
        /// Which.
        offer: OfferId,
    },
    /// An agent shows its pool.
    PoolNews(Box<PoolNews>),
    /// Usage came with its signature; decided before the records themselves.
    SignedUsage(Box<SignedUsage>),
    /// What a site's accounting counted, once that is final.
    SiteCounted(Box<SiteCounted>),
    /// An agent tells of one attempt. One sync is several of these, decided one after the other.
    AttemptNews(Box<AttemptNews>),
    /// Something an agent did that cannot be so (bad signature, another's lease).
    Report {
        /// Which agent.
        agent: AgentId,
        /// Stable dotted code; a literal, so that an agent cannot choose it.
        code: &'static str,
        /// For the operator.
        message: String,
    },
    /// A job comes in.
    Submit(Box<Submit>),
    /// A firm price is asked for.
    IssueQuote {
        /// What is promised, computed from the offers as they stand.
        quote: Box<Quote>,
        /// The exchange's signature over its canonical bytes.
        signature: String,
    },
    /// A job, or one of its tasks, is taken back.
    Cancel {
        /// Which job.
        job: JobId,
        /// Which task; none: all.
        task: Option<u32>,
    },
    /// Failed or cancelled tasks are queued again.
    Retry {
        /// Which job.
        job: JobId,
        /// Which task; none: all that failed or were cancelled.
        task: Option<u32>,
    },
    /// Somebody starts a command beside a running task.
    Enter {
        /// Which job.
        job: JobId,
        /// Which task.
        task: u32,
    },
    /// No more tasks of it are placed.
    Pause {
        /// Which job.
        job: JobId,
    },
    /// Its tasks may be placed again.
    Resume {
        /// Which job.
        job: JobId,
    },
    /// A schedule is paused, resumed or taken back.
    TellSchedule {
        /// Which.
        schedule: ScheduleId,
        /// What.
        tell: Tell,
    },
    /// A run of a schedule is due.
    Fire(Box<Firing>),
    /// The planner places tasks.
    Place(Box<Place>),
    /// The planner takes leases back that were sold as ones that may be.
    Preempt(Box<Preempt>),
    /// What was kept for a job of what came free was not taken up in time.
    LapsePlaces {
        /// Which job.
        job: JobId,
    },
    /// A lease cannot be valid any more.
    LoseLease {
        /// Which.
        attempt: AttemptId,
    },
    /// A settlement window has closed.
    CloseWindow {
        /// Of which attempt.
        attempt: AttemptId,
    },
    /// A pool is asked to prove its inventory.
    Challenge {
        /// Which.
        pool: PoolId,
        /// What must be mixed in.
        nonce: Nonce,
    },
    /// What ended before this time leaves memory (at most this many jobs).
    Retire {
        /// Ended before.
        before: Time,
        /// At most.
        jobs_max: usize,
    },
}

impl Command {
    /// A run is due; whether its deadline can be promised is still to be sought.
    pub fn fire(run: Run) -> Self {
        Self::Fire(Box::new(Firing { run, admission: Admission::NotSought }))
    }

    /// What the planner found, for a command that asked for it.
    pub fn admitted(&mut self, found: Admission) {
        match self {
            Self::Fire(firing) => firing.admission = found,
            Self::PromiseAgain { admission, .. } => *admission = found,
            _ => {}
        }
    }
}
