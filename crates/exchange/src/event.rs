//! What happened: the vocabulary of the journal. Each event carries everything `evolve` needs, so
//! that replay decides nothing again. Fields may be added with a default, never changed.

use std::sync::Arc;

use dayan_identity::{Challenge, Name, Status};
use dayan_ledger::Transfer;
use dayan_market::{BudgetLimits, Offer, Warning};
use dayan_measure::{Component, Measurement};
use dayan_schedule::{Appointment, Closure, DataAt, Quota, QuotaOf, StartEstimate, Tasks};
use dayan_spec::{JobSpec, Priority};
use dayan_topology::GridSeries;
use dayan_units::{
    AgentId, AttemptId, Bytes, ExchangeId, JobId, Micro, OfferId, OrgId, PoolId, ProjectId,
    ProviderId, QuoteId, Resources, ScheduleId, SiteId, Span, Time, TokenId, UserId,
};
use serde::{Deserialize, Serialize};

use crate::command::{Actor, CarbonOf, Evidence, Outcome, SiteCount, Weighed};
use crate::state::{
    Counters, Digest, GivenQuote, JobEnd, JoinToken, Lease, Org, Provider, Role, Run, Settings,
    Shown, Site, SpecKey, StopReason, Token, User, Wait,
};

/// What becomes of a task when one of its attempts has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// It is done.
    Succeeded,
    /// It has failed for good.
    Failed,
    /// The user took it back.
    Cancelled,
    /// It waits to be placed again; the attempt counts against `retry.max`.
    Requeued,
    /// It waits to be placed again; the attempt was nobody's fault of the task.
    RequeuedFree,
    /// A member of a gang that ended well and waits for the others.
    MemberSucceeded,
    /// A member of a gang that ended badly, with no attempt left; the others are being stopped.
    MemberFailed,
    /// A member of a gang that ended badly; the gang goes again, and that counts.
    MemberRequeued,
    /// A member of a gang that ended through no fault of the task; the gang goes again.
    MemberRequeuedFree,
    /// A member of a gang that was taken back.
    MemberCancelled,
}

/// Why an attempt that ran is not billed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waived {
    /// It never ran.
    NeverRan,
    /// The provider's site or machine was lost under it.
    ProviderFault,
    /// No usage of it that could be believed came in.
    NoUsage,
}

/// One line of a bill.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Counts the lines of this attempt from 1.
    pub number: u32,
    /// The use before this line, and with it: billed time is the difference.
    pub from: Span,
    /// Billed use with this line.
    pub to: Span,
    /// What was reserved for that time.
    pub resources: Resources,
    /// What it costs.
    pub amount: Micro,
    /// Of it, the provider's.
    pub provider: Micro,
    /// Of it, the exchange's.
    pub fee: Micro,
}

fn is_nothing(amount: &Micro) -> bool {
    *amount == Micro::ZERO
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What happened.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// The exchange was founded.
    Founded {
        /// Its id.
        exchange: ExchangeId,
        /// Its name.
        name: String,
        /// What is the same on every replay.
        settings: Settings,
    },
    /// An organisation came in.
    OrgCreated {
        /// It.
        org: Org,
        /// How far below zero its balance may go.
        credit: Micro,
    },
    /// A user came in.
    UserCreated {
        /// It.
        user: User,
    },
    /// A user got another role.
    RoleSet {
        /// Whose.
        user: UserId,
        /// What it may do from now on.
        role: Role,
    },
    /// A user went, and its tokens with it.
    UserRemoved {
        /// Which.
        user: UserId,
    },
    /// A token was issued.
    TokenIssued {
        /// It.
        token: Token,
    },
    /// A token ended.
    TokenRevoked {
        /// Which.
        token: TokenId,
    },
    /// A project came in.
    ProjectCreated {
        /// Its id.
        project: ProjectId,
        /// Whose.
        org: OrgId,
        /// Its path.
        path: String,
        /// Its limits.
        budget: BudgetLimits,
    },
    /// An organisation or a project got another weight.
    WeightSet {
        /// Which.
        of: Weighed,
        /// The weight.
        weight: u32,
    },
    /// The highest priority that an organisation's jobs may have from now on.
    PriorityMostSet {
        /// Which.
        org: OrgId,
        /// The highest.
        most: Priority,
    },
    /// How many of a licence there are.
    LicenseSet {
        /// Its name.
        name: String,
        /// How many; none: it is not counted any more.
        count: Option<u64>,
    },
    /// An organisation or a project may hold another amount at once.
    QuotaSet {
        /// Which.
        of: QuotaOf,
        /// The most.
        quota: Quota,
    },
    /// Tasks of a job with a hard deadline wait, and could not be promised a place again.
    NotPromised {
        /// Which job.
        job: JobId,
        /// When that is tried once more.
        again: Time,
    },
    /// Somebody was let in beside a running task: the entry's actor.
    Entered {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// A task ran out of memory: it asks for the next size of its range.
    MemoryRaised {
        /// Which job.
        job: JobId,
        /// Which of its tasks; none: all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        task: Option<u32>,
        /// What it asked for.
        from: Bytes,
        /// What it asks for now.
        to: Bytes,
    },
    /// A job that waits was told when it is expected to start.
    Estimated {
        /// Which.
        job: JobId,
        /// In the planner's words.
        planned: StartEstimate,
        /// As it is shown.
        shown: StartEstimate,
    },
    /// A project's limits changed.
    BudgetSet {
        /// Which.
        project: ProjectId,
        /// The limits.
        budget: BudgetLimits,
    },
    /// What a project has spent and holds has reached a share of a limit at which to warn, for the
    /// first time in the limit's period.
    BudgetWarned {
        /// Which.
        project: ProjectId,
        /// For which job money was just held.
        job: JobId,
        /// Which limit, and how far.
        warning: Warning,
    },
    /// Money came in.
    Deposited {
        /// For whom.
        org: OrgId,
        /// The bank's reference.
        reference: String,
        /// The booking.
        transfer: Transfer,
    },
    /// A provider applied.
    ProviderApplied {
        /// It.
        provider: Provider,
    },
    /// A provider moved along.
    ProviderStatusChanged {
        /// Which.
        provider: ProviderId,
        /// Where to.
        status: Status,
    },
    /// An agent was invited.
    Invited {
        /// SHA-256 of the secret.
        digest: Digest,
        /// By whom, until when.
        token: JoinToken,
    },
    /// A site opened.
    SiteOpened {
        /// It.
        site: Site,
    },
    /// An agent joined with its pool; the invitation is used up, or left for its other pools.
    AgentJoined {
        /// Its id.
        agent: AgentId,
        /// Whose.
        provider: ProviderId,
        /// Its pool.
        pool: PoolId,
        /// Where.
        site: SiteId,
        /// The pool's name at the site.
        name: String,
        /// The pool's compute-resource name.
        crn: Name,
        /// Its key.
        public_key: Digest,
        /// SHA-256 of its token.
        token: Digest,
        /// The invitation.
        invitation: Digest,
        /// How many further pools its key may bring by that.
        #[serde(default, skip_serializing_if = "is_zero")]
        more: u32,
        /// The pool's picture.
        shown: Box<Shown>,
    },
    /// A pool's picture changed.
    PoolShown {
        /// Which.
        pool: PoolId,
        /// The picture.
        shown: Box<Shown>,
        /// Parts of it that have changed: what was measured of them no longer describes it.
        voided: Vec<Component>,
    },
    /// A pool moved along.
    PoolStatusChanged {
        /// Which.
        pool: PoolId,
        /// Where to.
        status: Status,
    },
    /// When a pool is closed.
    ClosuresSet {
        /// Which.
        pool: PoolId,
        /// All closures that are to come.
        closures: Vec<Closure>,
    },
    /// How dirty the electricity of a region or a pool is by the hour.
    CarbonSet {
        /// Whose; a region by its English name.
        of: CarbonOf,
        /// By the hour; none: it is not known any more.
        series: Option<GridSeries>,
    },
    /// How much a pool's building uses for each part that reaches its machines.
    PueSet {
        /// Of which pool.
        pool: PoolId,
        /// In thousandths; none: as others that have not said.
        pue_permille: Option<u32>,
    },
    /// Values were measured.
    Measured {
        /// Of which pool.
        pool: PoolId,
        /// The values.
        values: Vec<Measurement>,
    },
    /// A pool was asked to prove its inventory.
    Challenged {
        /// Which.
        pool: PoolId,
        /// The question.
        challenge: Challenge,
    },
    /// Its answer was wrong or late: it counts as unproven from now on.
    ChallengeFailed {
        /// Which.
        pool: PoolId,
    },
    /// It did.
    ChallengeMet {
        /// Which.
        pool: PoolId,
    },
    /// Something cannot be so; the operator sees it.
    Found {
        /// Which agent said it.
        agent: AgentId,
        /// Stable dotted code.
        code: String,
        /// About which attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attempt: Option<AttemptId>,
        /// For the operator.
        message: String,
    },
    /// Capacity was listed.
    OfferListed {
        /// It.
        offer: Box<Offer>,
    },
    /// An offer was taken back.
    OfferRetired {
        /// Which.
        offer: OfferId,
    },
    /// A job file not seen before.
    SpecStored {
        /// Its key.
        key: SpecKey,
        /// It.
        spec: Arc<JobSpec>,
        /// What one of its tasks asks of a machine.
        resources: Resources,
    },
    /// A job was accepted.
    JobSubmitted {
        /// Its id.
        job: JobId,
        /// What pays.
        project: ProjectId,
        /// Whose.
        org: OrgId,
        /// Its file.
        spec: SpecKey,
        /// How many tasks it has.
        tasks: u32,
        /// The firm quote it runs under, and the hold for all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        quote: Option<(QuoteId, Transfer)>,
        /// When it must have finished.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Time>,
        /// The submitter's idempotency key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
        /// The run of a schedule that it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        run: Option<Run>,
        /// What of its inputs lies in the data store, and where that is.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        data: Vec<DataAt>,
    },
    /// A job that was accepted waits for others.
    DependsOn {
        /// Which.
        job: JobId,
        /// For what.
        waits: Vec<Wait>,
    },
    /// A schedule was accepted.
    ScheduleMade {
        /// Its id.
        schedule: ScheduleId,
        /// What pays.
        project: ProjectId,
        /// Whose.
        org: OrgId,
        /// SHA-256 of its file.
        digest: Digest,
        /// When it is due first.
        next: Time,
        /// The submitter's idempotency key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// It makes no more jobs.
    SchedulePaused {
        /// Which.
        schedule: ScheduleId,
    },
    /// It makes jobs again.
    ScheduleResumed {
        /// Which.
        schedule: ScheduleId,
        /// When it is due next; none: never.
        next: Option<Time>,
    },
    /// It was due, and is so again at another time.
    ScheduleAdvanced {
        /// Which.
        schedule: ScheduleId,
        /// When it is due next; none: never.
        next: Option<Time>,
    },
    /// Runs were due while the exchange was away.
    RunsMissed {
        /// Of which schedule.
        schedule: ScheduleId,
        /// Whose.
        org: OrgId,
        /// The first and the last of those that are not made up for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left_out: Option<(Time, Time)>,
        /// Those that are, oldest first.
        make_up: Vec<Time>,
    },
    /// A run was left out.
    RunSkipped {
        /// Of which schedule.
        schedule: ScheduleId,
        /// Whose.
        org: OrgId,
        /// When it was due.
        due: Time,
        /// Stable dotted code.
        code: String,
        /// Why, in words.
        message: String,
    },
    /// A schedule was taken back.
    ScheduleEnded {
        /// Which.
        schedule: ScheduleId,
    },
    /// A schedule left memory.
    ScheduleRetired {
        /// Which.
        schedule: ScheduleId,
    },
    /// A job's hard deadline is promised: its tasks have these appointments, and no others.
    Appointed {
        /// Which job.
        job: JobId,
        /// A place and a moment for each task.
        appointments: Vec<Appointment>,
    },
    /// No more tasks of it are placed.
    JobPaused {
        /// Which.
        job: JobId,
    },
    /// Its tasks may be placed again.
    JobResumed {
        /// Which.
        job: JobId,
    },
    /// Queued tasks were taken back.
    TasksCancelled {
        /// Of which job.
        job: JobId,
        /// Which.
        tasks: Tasks,
    },
    /// Ended tasks wait again.
    TasksRetried {
        /// Of which job.
        job: JobId,
        /// Which.
        tasks: Tasks,
    },
    /// A gang starts with fewer members than it would like.
    GangShrunk {
        /// Of which job.
        job: JobId,
        /// Those that are left out of this launch.
        tasks: Tasks,
    },
    /// A gang's members have all ended.
    GangSettled {
        /// Of which job.
        job: JobId,
        /// What becomes of all its tasks: succeeded, failed, cancelled or requeued.
        next: Next,
    },
    /// Every task of a job has ended.
    JobEnded {
        /// Which.
        job: JobId,
        /// How.
        end: JobEnd,
        /// Whether its deadline was met; none: it had none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline_met: Option<bool>,
        /// The end of its quote's hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        release: Option<Transfer>,
    },
    /// A job left memory.
    JobRetired {
        /// Which.
        job: JobId,
    },
    /// A firm price was given.
    QuoteIssued {
        /// It.
        quote: Box<GivenQuote>,
    },
    /// A quote can no longer be used, or its job has left memory.
    QuoteLapsed {
        /// Which.
        quote: QuoteId,
    },
    /// An attempt got its lease and, unless a quote backs it, its hold.
    Leased {
        /// It.
        lease: Box<Lease>,
        /// The hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        transfer: Option<Transfer>,
    },
    /// Inputs are on the way.
    Staging {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// It is on another of the pool's nodes than it was planned on: the pool's own scheduler has chosen
    /// that. What is booked stays where it was planned.
    Located {
        /// Which attempt.
        attempt: AttemptId,
        /// Where.
        node: String,
    },
    /// Its process runs.
    Started {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// This attempt and no other may publish.
    PublishGranted {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// Nothing of it runs any more, and what it left is still being published: its room is free, and
    /// the lease is the right to publish alone.
    RoomFreed {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// An attempt is asked to stop.
    StopAsked {
        /// Which attempt.
        attempt: AttemptId,
        /// Why.
        reason: StopReason,
    },
    /// Leases that were sold as ones that may be taken back are, so that a waiting job can start:
    /// their tasks are asked to stop, and what comes free is kept for it.
    Preempted {
        /// For which job.
        for_job: JobId,
        /// Which leases.
        victims: Vec<AttemptId>,
        /// When they have ended at the latest.
        ends_by: Time,
        /// What is kept for it, and for which of its tasks.
        places: Vec<Appointment>,
    },
    /// What was kept for a job was not taken up in time, or is no longer needed.
    PlacesLapsed {
        /// Which job.
        job: JobId,
    },
    /// Usage came in with its agent's signature: the text as it was signed, for anybody who wants to
    /// check it again. The records that were believed follow.
    UsageSigned {
        /// Who signed.
        agent: AgentId,
        /// What was signed.
        text: String,
        /// Ed25519, in hex.
        signature: String,
    },
    /// Usage that can be believed.
    UsageRecorded {
        /// Of which attempt.
        attempt: AttemptId,
        /// Its sequence number.
        seq: u64,
        /// The counters.
        counters: Counters,
        /// What proves it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Evidence>,
    },
    /// What a site's own accounting counted for attempts that have ended.
    SiteCounted {
        /// Which attempts it is told of.
        attempts: Vec<AttemptId>,
        /// How many ran in the job.
        of: u64,
        /// The job and what was counted.
        count: SiteCount,
    },
    /// A settlement window closed: captured, and held for the next.
    WindowClosed {
        /// Of which attempt.
        attempt: AttemptId,
        /// The line.
        line: Line,
        /// How much was held in addition.
        extended: Micro,
        /// The bookings.
        transfers: Vec<Transfer>,
        /// When the next one closes.
        next_due: Time,
    },
    /// An attempt ended; its lease is over and its hold is gone.
    AttemptEnded {
        /// Which.
        attempt: AttemptId,
        /// Where it was.
        pool: PoolId,
        /// How.
        outcome: Outcome,
        /// What becomes of the task.
        next: Next,
        /// The last line of its bill.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<Line>,
        /// Why it is not billed, when it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        waived: Option<Waived>,
        /// How much of the hold went back.
        released: Micro,
        /// How much was held in addition, because the run outlasted its hold.
        #[serde(default, skip_serializing_if = "is_nothing")]
        extended: Micro,
        /// The bookings.
        transfers: Vec<Transfer>,
    },
    /// Ended bookings left memory.
    TransfersRetired {
        /// Booked before.
        before: Time,
    },
}

/// The events of one command, as the journal keeps them.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// When: exchange time.
    pub at: Time,
    /// Which request.
    pub request: dayan_units::RequestId,
    /// Who asked.
    pub actor: Actor,
    /// What happened.
    pub events: Vec<Event>,
}

/// What the shell should do after the commit. Lost effects do no harm: whoever waits asks again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Effect {
    /// What an agent should hold has changed.
    WakeAgent(AgentId),
}
