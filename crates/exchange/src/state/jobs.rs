//! What is asked: jobs and their tasks, and the leases that run them.
//!
//! A job keeps its tasks as sets of numbers; only a task that has been tried has a record of its
//! own. Job files are shared: jobs with the same file hold one copy between them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_market::{Offer, OfferMode, Quote, Terms};
use dayan_schedule::order::{Alike, ShortJobs, Shortest};
use dayan_schedule::{Cards, DataAt, PreemptionPolicy, Tasks};
use dayan_spec::{After, JobSpec, MarketMode};
use dayan_units::{
    AgentId, AttemptId, Bytes, JobId, Micro, OfferId, OrgId, PoolId, ProjectId, QuoteId, Resources,
    Span, Time, TransferId, UserId,
};
use serde::{Deserialize, Serialize};

use super::deadlines::Deadlines;
use super::depends::Depends;
use super::estimates::{Estimate, Estimates};
use super::promises::Promises;
use super::schedules::{Run, Schedules};
use super::setbacks::{Barred, Setbacks};
use super::shares::Shares;

/// The first 128 bits of the SHA-256 of a job file's canonical JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SpecKey(pub u128);

impl SpecKey {
    /// From the whole digest.
    pub fn of(digest: &super::access::Digest) -> Self {
        let bytes: [u8; 16] = digest.0[..16].try_into().expect("a digest has 32 bytes");
        Self(u128::from_be_bytes(bytes))
    }
}

impl Serialize for SpecKey {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(&format_args!("{:032x}", self.0))
    }
}
impl<'de> Deserialize<'de> for SpecKey {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        u128::from_str_radix(text.as_ref(), 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A job file and how many jobs share it.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct StoredSpec {
    /// The file.
    pub spec: Arc<JobSpec>,
    /// What one of its tasks asks of a machine.
    pub resources: Resources,
    /// How many jobs and schedules in memory refer to it.
    pub jobs: u32,
}

/// What a job's tasks may rely on, and how they pay.
pub fn mode_of(spec: &JobSpec) -> OfferMode {
    match spec.market.mode {
        MarketMode::Spot => OfferMode::Spot,
        MarketMode::OnDemand | MarketMode::Reserved => OfferMode::OnDemand,
    }
}

/// The same where an offer is taken; none: it is no longer listed. Who falls back goes on demand where
/// no spot is sold.
pub fn mode_at(spec: &JobSpec, offer: Option<&Offer>) -> OfferMode {
    let sells_spot = offer.is_some_and(|offer| offer.spot_permille.is_some());
    if spec.market.falls_back() && !sells_spot { OfferMode::OnDemand } else { mode_of(spec) }
}

impl StoredSpec {
    /// What a job of it may cost at most, by its own words.
    pub fn job_limit(&self) -> Option<Micro> {
        let market = &self.spec.market;
        let budget = market.budget.as_ref().filter(|budget| {
            budget.per == dayan_spec::BudgetPeriod::Job
                && budget.on_limit == dayan_spec::OnLimit::Stop
        });
        let limits = [market.max_price.map(|m| m.micro), budget.map(|b| b.amount.micro)];
        limits.into_iter().flatten().min()
    }
}

/// May its queued tasks be placed?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// Yes.
    Open,
    /// Not until the user resumes it.
    Paused,
}

/// How a job ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobEnd {
    /// Every task succeeded.
    Succeeded,
    /// At least one task failed for good.
    Failed,
    /// It was cancelled before all tasks had ended.
    Cancelled,
    /// What is left under its own price limit pays for no more of its tasks.
    Unfunded,
}

/// How a member of a gang has ended while others still run: what would become of the gang, were it
/// for this member alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberEnd {
    /// Well.
    Succeeded,
    /// Through no fault of the task: the gang goes again.
    RequeuedFree,
    /// Badly: the gang goes again, and that counts.
    Requeued,
    /// Badly, with no attempt left.
    Failed,
    /// It was taken back.
    Cancelled,
}

/// What is remembered of a task that has been tried and has not ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tries {
    /// Attempts so far; also the newest epoch.
    pub attempts: u32,
    /// Attempts that count against `retry.max`.
    pub failures: u32,
    /// Attempts that were taken back for others.
    #[serde(default, skip_serializing_if = "is_none")]
    pub preempted: u32,
    /// The last of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preempted_at: Option<Time>,
    /// What it asks for since it ran out of less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Pools that have not what it asks for.
    #[serde(default, skip_serializing_if = "Barred::is_empty")]
    pub barred: Barred,
}

/// What tasks of a job were told that a pool has not.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Miss {
    /// In the pool's words.
    why: String,
    /// By so many in these words, one after the other.
    tasks: u32,
}

/// What so many tasks of a job have heard at a pool speaks for all of them: each further one would cost it a
/// start.
const MISSES_OF_ALL: u32 = 3;
/// Words that begin so far alike are the same.
const MISS_CHARS_MAX: usize = 200;

impl Tries {
    /// Does it ask for more than the others of its job, or not everywhere where they do?
    fn is_apart(&self) -> bool {
        self.memory.is_some() || !self.barred.is_empty()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

/// A job.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// What pays.
    pub project: ProjectId,
    /// Whose project it is.
    pub org: OrgId,
    /// Who submitted it.
    pub by: UserId,
    /// Its file.
    pub spec: SpecKey,
    /// When it was accepted.
    pub submitted_at: Time,
    /// How long a task of it was expected to run when it came, where jobs like it had ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Span>,
    /// How long a task of it was sure to run, as far as runs of the same user told then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<Span>,
    /// May its queued tasks be placed?
    pub gate: Gate,
    /// Waiting to be placed.
    pub queued: Tasks,
    /// Under a lease, by attempt number.
    pub active: BTreeMap<u32, u32>,
    /// Tried and not ended.
    pub tries: BTreeMap<u32, Tries>,
    /// Members of a gang that have ended while others still run, and how.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub members_ended: BTreeMap<u32, MemberEnd>,
    /// Members of a gang that are left out of its launch.
    #[serde(default, skip_serializing_if = "Tasks::is_empty")]
    pub left_out: Tasks,
    /// Under whom it failed lately.
    #[serde(default, skip_serializing_if = "Setbacks::is_empty")]
    pub setbacks: Setbacks,
    /// Pools that have not what all of its tasks ask for: members of a gang go together, and of an array some
    /// have heard the same.
    #[serde(default, skip_serializing_if = "Barred::is_empty")]
    pub barred: Barred,
    /// What its tasks were told lately that a pool has not.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub misses: BTreeMap<PoolId, Miss>,
    /// What all its tasks ask for now, where one of them needed more than the least of its file's range:
    /// members of a gang, and of jobs of before each task asked for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// Ended well.
    pub succeeded: Tasks,
    /// Ended badly, with no attempt left.
    pub failed: Tasks,
    /// Taken back by the user.
    pub cancelled: Tasks,
    /// Money held for its leases now.
    pub held: Micro,
    /// Money captured so far.
    pub spent: Micro,
    /// The firm quote it runs under, and what is left of its hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quote: Option<(QuoteId, Micro)>,
    /// When it was expected to start, and how long that took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimate: Option<Estimate>,
    /// When it must have finished, if it has a deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Time>,
    /// The submitter's idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The run of a schedule that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Run>,
    /// What of its inputs lies in the data store, and where that is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataAt>,
    /// When and how it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<(Time, JobEnd)>,
}

/// How far an attempt is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Promised to the agent.
    Leased,
    /// The agent has its inputs on the way.
    Staging,
    /// Its process runs since then (exchange time).
    Running {
        /// When the exchange learnt of it.
        since: Time,
    },
    /// It ran to success; its outputs may be published by this attempt and no other.
    Publishing {
        /// Since when its process ran, where the exchange learnt of it before it had ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Time>,
        /// When the grant was given.
        granted_at: Time,
    },
}

impl Phase {
    /// Since when its process runs, or ran, as far as the exchange learnt of it.
    pub const fn since(self) -> Option<Time> {
        match self {
            Self::Leased | Self::Staging => None,
            Self::Running { since } => Some(since),
            Self::Publishing { since, .. } => since,
        }
    }
}

/// Why an attempt is asked to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The user cancelled it.
    Cancelled,
    /// The money for the next window was refused.
    Unfunded,
    /// Another member of its gang has ended badly.
    GangBroken,
    /// Another member of its gang was lost or taken off by its site: no member is billed for what is not
    /// settled yet.
    GangLost,
    /// The pool was suspended or retired.
    PoolWithdrawn,
    /// It was sold as one that may be taken back, and its room goes to another job.
    Preempted {
        /// Which.
        for_job: JobId,
        /// When it has ended at the latest.
        ends_by: Time,
    },
}

/// What the agent last said of an attempt's use, cumulative since its beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
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

/// The newest accepted usage of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct UsageMark {
    /// Its sequence number; 0 when none has come yet.
    pub seq: u64,
    /// Its counters.
    pub counters: Counters,
}

fn no_cards(cards: &Cards) -> bool {
    *cards == Cards::NONE
}

/// Which hold a lease's captures are taken from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backing {
    /// Its own: made with the lease, ended with it.
    Own(TransferId),
    /// That of the job's accepted quote: made at submission, ended with the job.
    Quote(TransferId),
}

impl Backing {
    /// The hold.
    pub const fn hold(self) -> TransferId {
        match self {
            Self::Own(hold) | Self::Quote(hold) => hold,
        }
    }
}

/// The right and duty to run one attempt of a task.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Lease {
    /// Which attempt.
    pub attempt: AttemptId,
    /// Who runs it.
    pub agent: AgentId,
    /// Where.
    pub pool: PoolId,
    /// On which machine it is planned and booked.
    pub node: String,
    /// On which it is, where the pool has chosen another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_node: Option<String>,
    /// What it takes there.
    pub resources: Resources,
    /// On which cards.
    #[serde(default, skip_serializing_if = "no_cards")]
    pub cards: Cards,
    /// From which offer.
    pub offer: OfferId,
    /// At which price: fixed when the lease was given.
    pub terms: Terms,
    /// What it may rely on.
    #[serde(default, skip_serializing_if = "OfferMode::is_on_demand")]
    pub mode: OfferMode,
    /// When it was given.
    pub placed_at: Time,
    /// How long it may outlive its link.
    pub keep: Span,
    /// How long it may run.
    pub time_limit: Span,
    /// The agent's revision that brought the newest change of this lease.
    pub revision: u64,
    /// How far it is.
    pub phase: Phase,
    /// Whether and why it was asked to stop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<StopReason>,
    /// Nothing of it runs any more and it is still publishing: it takes no room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub room_free: bool,
    /// The hold that backs it.
    pub backing: Backing,
    /// How much is held.
    pub held: Micro,
    /// How much of it was captured.
    pub captured: Micro,
    /// Lines written so far.
    pub windows: u32,
    /// Use that those lines cover.
    pub billed: Span,
    /// When the next window closes.
    pub window_due: Time,
    /// What the agent last said.
    pub usage: UsageMark,
    /// The other members, when it is part of a gang: their common launch number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gang: Option<GangLaunch>,
}

impl Lease {
    /// On which machine it is, as far as is known.
    pub fn node_now(&self) -> &str {
        self.on_node.as_ref().unwrap_or(&self.node)
    }
    /// When it has ended at the latest.
    pub fn latest_end(&self) -> Time {
        let limit = self.placed_at.plus(self.time_limit);
        match self.stop {
            Some(StopReason::Preempted { ends_by, .. }) => limit.min(ends_by),
            Some(
                StopReason::Cancelled
                | StopReason::Unfunded
                | StopReason::GangBroken
                | StopReason::GangLost
                | StopReason::PoolWithdrawn,
            )
            | None => limit,
        }
    }
    /// Was it sold as one that may be taken back, and does it go on by itself so far?
    const fn is_spot_and_goes_on(&self) -> bool {
        matches!(self.mode, OfferMode::Spot)
            && self.stop.is_none()
            && !matches!(self.phase, Phase::Publishing { .. })
    }
}

/// One launch of a gang: which nodes its members are on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct GangLaunch {
    /// Node names by rank.
    pub nodes: Arc<Vec<String>>,
    /// A number that all members of this launch share and no other launch of this pool's open
    /// leases has: the agent derives the gang's port from it.
    pub slot: u32,
}

/// A quote that was given.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GivenQuote {
    /// What was promised.
    pub quote: Quote,
    /// The exchange's signature over it.
    pub signature: String,
    /// The job that took it.
    pub job: Option<JobId>,
}

/// All of it.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// Job files in use.
    pub specs: BTreeMap<SpecKey, StoredSpec>,
    /// Jobs that live or ended not long ago.
    pub jobs: BTreeMap<JobId, Job>,
    /// Leases in force.
    pub leases: BTreeMap<AttemptId, Lease>,
    /// Leases in force by agent.
    pub by_agent: BTreeMap<AgentId, BTreeSet<AttemptId>>,
    /// Leases in force by pool and node.
    #[serde(default)]
    by_node: BTreeMap<PoolId, BTreeMap<String, BTreeSet<AttemptId>>>,
    /// What leases take on each node: what a new placement is checked against.
    pub load: BTreeMap<PoolId, BTreeMap<String, Resources>>,
    /// Quotes in force or used by a job in memory.
    pub quotes: BTreeMap<QuoteId, GivenQuote>,
    /// Submissions by organisation and idempotency key.
    pub keys: BTreeMap<OrgId, BTreeMap<String, (SpecKey, JobId)>>,
    /// Ended jobs by the time they ended: what may leave memory next.
    pub ended: BTreeSet<(Time, JobId)>,
    /// What makes jobs again and again.
    #[serde(default, skip_serializing_if = "Schedules::is_empty")]
    pub schedules: Schedules,
    /// Run times of what has ended.
    #[serde(default)]
    pub learned: Alike,
    /// How short the last of them were.
    #[serde(default)]
    pub shortest: Shortest,
    /// What came lately and was expected to be short.
    #[serde(default)]
    pub short: ShortJobs,
    /// Who waits for whom.
    #[serde(default, skip_serializing_if = "Depends::is_empty")]
    pub depends: Depends,
    /// How good start estimates were.
    #[serde(default)]
    pub estimates: Estimates,
    /// How many deadlines were met.
    #[serde(default)]
    pub deadlines: Deadlines,
    /// What each project had.
    #[serde(default)]
    pub shares: Shares,
    /// What was promised for later.
    #[serde(default, skip_serializing_if = "Promises::is_blank")]
    pub promises: Promises,
    /// How many of each licence are in use, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub licenses: BTreeMap<String, u64>,
    /// Jobs that others were taken off for, and until when their places are kept.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept_for: BTreeMap<JobId, Time>,
}

impl Job {
    /// How many tasks it has.
    pub fn task_count(&self) -> u64 {
        self.queued.len()
            + self.active.len() as u64
            + self.members_ended.len() as u64
            + self.succeeded.len()
            + self.failed.len()
            + self.cancelled.len()
    }
    /// The memory that a task of it asks for since it ran out of less.
    pub fn memory_of(&self, task: u32) -> Option<Bytes> {
        self.memory.max(self.tries.get(&task).and_then(|tries| tries.memory))
    }
    /// The same of those of these tasks that ask for most.
    pub fn memory_among(&self, tasks: &Tasks) -> Option<Bytes> {
        let these = self.tries.iter().filter(|(task, _)| tasks.contains(**task));
        self.memory.max(these.filter_map(|(_, tries)| tries.memory).max())
    }
    /// Which pools none of these tasks goes to for now, and until when: those that have not what one of them
    /// asks for.
    pub fn bars(&self, tasks: &Tasks, now: Time) -> BTreeMap<PoolId, Time> {
        let these = self.tries.iter().filter(|(_, tries)| !tries.barred.is_empty());
        let these =
            these.filter(|(task, _)| tasks.contains(**task)).map(|(_, tries)| &tries.barred);
        let mut bars = BTreeMap::new();
        for (pool, until) in these.chain([&self.barred]).flat_map(|barred| barred.standing(now)) {
            let latest = bars.entry(pool).or_insert(until);
            *latest = until.max(*latest);
        }
        bars
    }
    /// A pool had not what a task asks for, in its words. That is the task's own, whose number may be part of a
    /// name; what some have heard there in the same words all of them ask for, and no other is sent to hear it.
    pub(crate) fn not_there(&mut self, task: u32, pool: PoolId, why: &str, at: Time) {
        if self.barred.until(pool, at).is_some() {
            return;
        }
        let why = why.chars().take(MISS_CHARS_MAX).collect();
        let miss = self.misses.entry(pool).or_default();
        let tasks = if miss.why == why { miss.tasks + 1 } else { 1 };
        *miss = Miss { why, tasks };
        if tasks < MISSES_OF_ALL {
            self.tries.entry(task).or_default().barred.bar(pool, at);
            return;
        }
        self.misses.remove(&pool);
        self.barred.bar(pool, at);
        for tries in self.tries.values_mut() {
            tries.barred.lift(pool);
        }
    }
    /// Do some of its tasks ask for more than others, or not everywhere where they do?
    pub fn is_mixed(&self) -> bool {
        self.tries.values().any(Tries::is_apart)
    }
    /// Those of these tasks that are placed next, where they do not ask alike: first those that nothing
    /// is known of, then those that ask for least. The others follow when these have their places.
    #[must_use]
    pub fn next_of(&self, tasks: &Tasks) -> Tasks {
        let apart = self.tries.iter().filter(|(_, tries)| tries.is_apart());
        let apart: Tasks = apart.map(|(task, _)| *task).collect();
        let mut alike = tasks.clone();
        alike.subtract(&apart);
        if !alike.is_empty() {
            return alike;
        }
        let of = |task: u32| {
            let barred = self.tries.get(&task).map(|tries| &tries.barred);
            let barred: Vec<PoolId> = barred.into_iter().flat_map(Barred::pools).collect();
            (self.memory_of(task), barred)
        };
        let least = tasks.iter().map(of).min();
        tasks.iter().filter(|task| Some(of(*task)) == least).collect()
    }
    /// How it ends, once every task has.
    pub fn outcome(&self) -> JobEnd {
        if !self.cancelled.is_empty() {
            JobEnd::Cancelled
        } else if self.failed.is_empty() {
            JobEnd::Succeeded
        } else {
            JobEnd::Failed
        }
    }
}

/// What is asked for a task now, where its file asks for `need`, and it ran out of memory before.
#[must_use]
pub fn grown(need: Resources, memory: Option<Bytes>) -> Resources {
    Resources { memory: memory.map_or(need.memory, |grown| grown.max(need.memory)), ..need }
}

impl Work {
    /// From when on a lease may be taken back: its task was before, not long ago or too often.
    pub fn spared_until(&self, lease: &Lease) -> Time {
        let attempt = lease.attempt;
        let tries = self.jobs.get(&attempt.job).and_then(|job| job.tries.get(&attempt.task));
        let (times, at) = tries.map_or((0, None), |tries| (tries.preempted, tries.preempted_at));
        PreemptionPolicy::DEFAULT.task_spared_until(times, at)
    }
    /// May it be taken back for another job? Not where a moment is promised to its own: that is
    /// refused for spot work by now, but what was accepted before is in journals.
    pub fn may_be_preempted(&self, lease: &Lease) -> bool {
        let promised = |job: &Job| self.spec_of(job).spec.is_promised();
        let job = self.jobs.get(&lease.attempt.job);
        lease.is_spot_and_goes_on() && !job.is_some_and(promised)
    }
    /// The file of a job.
    pub fn spec_of(&self, job: &Job) -> &StoredSpec {
        self.specs.get(&job.spec).expect("a job in memory holds its file in memory")
    }
    /// What a task of a job takes, each alternative.
    pub fn needs<'a>(&'a self, job: &'a Job, task: u32) -> impl Iterator<Item = Resources> + 'a {
        let all = self.spec_of(job).spec.resources.alternatives();
        let memory = job.memory_of(task);
        all.map(move |(_, need)| grown(need, memory))
    }
    /// What people call a job: its file's name, and of a schedule's run also when it was due, as in
    /// `forecast@2026-11-23T06:20Z`.
    pub fn name_of(&self, job: &Job) -> String {
        let name = &self.spec_of(job).spec.name;
        let Some(run) = job.run else { return name.clone() };
        let due = run.due.to_string();
        // Minutes are all that a cron line counts.
        match due.strip_suffix(":00Z") {
            Some(minutes) => format!("{name}@{minutes}Z"),
            None => format!("{name}@{due}"),
        }
    }
    /// Tasks of a job go again: where its deadline is hard and has not passed, places are sought anew.
    pub(crate) fn promise_lost(&mut self, id: JobId, at: Time) {
        let job = &self.jobs[&id];
        if self.spec_of(job).spec.is_promised() && job.deadline.is_some_and(|by| by > at) {
            self.promises.lose(id, at);
        }
    }
    /// The tasks of a job that wait without an appointment, where new ones are to be sought for it.
    pub fn unpromised(&self, job: &Job) -> Tasks {
        let mut tasks = job.queued.clone();
        for made in self.promises.of_job(job.id) {
            tasks.remove(made.task);
        }
        tasks
    }
    /// Has all happened that this task of a job waits for?
    pub fn is_ready(&self, job: &Job, task: u32) -> bool {
        self.depends.of(job.id).iter().filter(|wait| !wait.met).all(|wait| {
            let on = self.jobs.get(&wait.on).filter(|_| wait.after == After::Each);
            on.is_some_and(|on| on.succeeded.contains(task))
        })
    }
    /// The queued tasks of a job for which all has happened that they wait for.
    pub fn ready_tasks(&self, job: &Job) -> Tasks {
        let mut ready = job.queued.clone();
        for wait in self.depends.of(job.id).iter().filter(|wait| !wait.met) {
            // Task by task, where all of the other job is not done yet.
            let on = self.jobs.get(&wait.on).filter(|_| wait.after == After::Each);
            let Some(on) = on else { return Tasks::none() };
            let mut not_yet = ready.clone();
            not_yet.subtract(&on.succeeded);
            ready.subtract(&not_yet);
        }
        ready
    }
    /// The leases in force on a node.
    pub fn leases_on<'a>(&'a self, pool: PoolId, node: &str) -> impl Iterator<Item = &'a Lease> {
        let here = self.by_node.get(&pool).and_then(|nodes| nodes.get(node));
        here.into_iter().flatten().map(|attempt| &self.leases[attempt])
    }
    pub(crate) fn enter_node(&mut self, lease: &Lease) {
        let nodes = self.by_node.entry(lease.pool).or_default();
        if let Some(here) = nodes.get_mut(&lease.node) {
            here.insert(lease.attempt);
        } else {
            nodes.insert(lease.node.clone(), BTreeSet::from([lease.attempt]));
        }
    }
    pub(crate) fn leave_node(&mut self, lease: &Lease) {
        let Some(nodes) = self.by_node.get_mut(&lease.pool) else { return };
        if let Some(here) = nodes.get_mut(&lease.node) {
            here.remove(&lease.attempt);
            if here.is_empty() {
                nodes.remove(&lease.node);
            }
        }
        if nodes.is_empty() {
            self.by_node.remove(&lease.pool);
        }
    }
    /// A file that one less in memory refers to.
    pub(crate) fn let_go(&mut self, spec: SpecKey) {
        let stored = self.specs.get_mut(&spec).expect("stored while something refers to it");
        stored.jobs -= 1;
        if stored.jobs == 0 {
            self.specs.remove(&spec);
        }
    }
}
