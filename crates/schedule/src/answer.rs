//! What people ask the planner beside a plan: where could this job go, why does it wait, how busy is
//! everything. Answers are values and change nothing.

use dayan_units::{
    Bytes, JobId, Micro, OfferId, PoolId, ProviderId, Resources, SiteId, Span, Time,
};
use serde::{Deserialize, Serialize};

use crate::policy::Preference;
use crate::reason::{Reason, ReasonCode, ReasonCount};

/// When a job might start, from `now` on.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct StartEstimate {
    /// As likely before as after.
    pub p50: Span,
    /// In nine of ten cases before this.
    pub p90: Span,
}

impl StartEstimate {
    /// The same of what may not start sooner.
    #[must_use]
    pub fn not_before(self, wait: Span) -> Self {
        Self { p50: self.p50.max(wait), p90: self.p90.max(wait) }
    }
}

/// What a place is compared by with others, from the first field on; less is better. Places with
/// room now come before those without.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct Scored {
    /// Spot work would pay the price on demand there.
    pub falls_back: bool,
    /// Which of the job's accelerator alternatives it has, from 0 on: the user put the best first.
    pub alternative: u8,
    /// The measures, in the order of preference.
    pub measures: Vec<Measured>,
    /// Cards would stand idle there beside work that wants none.
    pub idles_cards: bool,
}

/// One measure of a place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Which.
    pub by: Preference,
    /// Less is better: the price of a task at its limit in millionths; for start, deadline and delay
    /// microseconds; for carbon milligrams for a kilowatt-hour; for reliability how many of a thousand
    /// attempts fail. None: not known, which is worst.
    pub value: Option<i64>,
}

const fn yes() -> bool {
    true
}

/// A pool that could take a job.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Candidate {
    /// Which pool.
    pub pool: PoolId,
    /// Whose.
    pub provider: ProviderId,
    /// Where.
    pub site: SiteId,
    /// The best of its offers for this job.
    pub offer: OfferId,
    /// What each task would get.
    pub resources: Resources,
    /// How many of the job's tasks fit now (a gang: as many as it would start with, or none; counted
    /// with what is close enough beside the pool).
    pub tasks: u64,
    /// It would do without any other pool: always, but for a gang.
    #[serde(default = "yes")]
    pub alone: bool,
    /// What it is compared by.
    #[serde(default)]
    pub score: Scored,
    /// What an hour of one task costs this buyer.
    pub unit_price: Micro,
    /// What one task costs at its time limit.
    pub price_per_task: Micro,
    /// What all waiting tasks of the job cost at their time limit; of a gang that may be smaller, as
    /// many as it would start with.
    pub price: Micro,
    /// When the first task could start.
    pub start: StartEstimate,
    /// The longest one-way delay to the places asked about, where that is known.
    pub delay: Option<Span>,
    /// How long the inputs of a task take to get there, where that is known.
    pub transfer: Option<Span>,
    /// How much of a task's inputs that is: what the site's cache does not hold.
    #[serde(default)]
    pub missing: Bytes,
    /// Milligrams of CO₂ for a kilowatt-hour there, from the expected start to the time limit, overhead
    /// included; where known.
    pub carbon_milligrams_per_kwh: Option<u64>,
}

/// A pool that cannot take a job as the job stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RefusedPool {
    /// Which pool.
    pub pool: PoolId,
    /// Every rule that refuses it, in the order of the checks.
    pub reasons: Vec<Reason>,
}

/// Where a job could go.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Candidates {
    /// The best first, by the job's preferences; those with room now before those without.
    pub candidates: Vec<Candidate>,
    /// The others, by id.
    pub refused: Vec<RefusedPool>,
    /// The order of measures that they are compared by: the job's own, then the policy's.
    #[serde(default)]
    pub order: Vec<Preference>,
}

/// Why a job has no appointment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NoAppointment {
    /// The earliest moment by which it could be promised to have ended; none where no pool can
    /// take it.
    pub earliest_end: Option<Time>,
    /// Then why: one message for each reason.
    pub reasons: Vec<Reason>,
}

/// What would open more pools.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Relaxation {
    /// The one rule in the way.
    pub code: ReasonCode,
    /// So many more pools would do without it.
    pub pools: u32,
    /// An example of its message.
    pub example: String,
}

/// Where a job stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStanding {
    /// The planner does not know it, or none of its tasks wait.
    NotWaiting,
    /// Its project cannot pay.
    Blocked,
    /// Its project or organisation holds as much as its quota lets it, or the rest is kept for one
    /// that came before it.
    OverQuota,
    /// As many licences that it needs are in use as there are, or the rest is kept for one that
    /// came before it.
    NoLicense,
    /// As many of its tasks run as it allows.
    AtMaxParallel,
    /// Its moment to begin has not come.
    NotYet,
    /// It is strict, and an earlier strict job of its project waits.
    BehindStrict,
    /// No pool can take it, even empty.
    Infeasible,
    /// It waits its turn.
    Waiting,
}

/// What a soft deadline does to the place of a job that waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Urgency {
    /// When it must start, to be expected to be in time.
    pub start_by: Time,
    /// It stands in the queue by that, which is sooner than it is due otherwise. Not so where there is
    /// time enough, or none any more.
    pub lifted: bool,
    /// That moment has passed, or had when it was submitted: it is not expected to be in time.
    #[serde(default)]
    pub lost: bool,
}

/// Why a job waits.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Explanation {
    /// Which job.
    pub job: JobId,
    /// In short.
    pub standing: JobStanding,
    /// How many waiting jobs are before it.
    pub position: Option<u64>,
    /// How much later than it is due it stands, because its project had more than its share.
    #[serde(default)]
    pub behind: Span,
    /// What its soft deadline does, if it has one.
    #[serde(default)]
    pub urgency: Option<Urgency>,
    /// How many of its tasks wait.
    pub tasks_waiting: u64,
    /// How many pools refuse it, by reason (each pool under its first).
    pub counts: Vec<ReasonCount>,
    /// One message for each reason.
    pub reasons: Vec<Reason>,
    /// What would fit if one rule were relaxed.
    pub relaxations: Vec<Relaxation>,
    /// When it might start, where some pool can take it.
    pub start: Option<StartEstimate>,
}

impl Explanation {
    /// Of a job that does not wait: there is nothing to explain.
    pub const fn not_waiting(job: JobId) -> Self {
        Self {
            job,
            standing: JobStanding::NotWaiting,
            position: None,
            behind: Span::ZERO,
            urgency: None,
            tasks_waiting: 0,
            counts: Vec::new(),
            reasons: Vec::new(),
            relaxations: Vec::new(),
            start: None,
        }
    }
}

/// The planner's own figures.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Stats {
    /// Pools shown.
    pub pools: u64,
    /// Nodes shown, groups counted once.
    pub nodes: u64,
    /// Jobs known.
    pub jobs: u64,
    /// Tasks that wait.
    pub tasks_waiting: u64,
    /// Distinct asks held.
    pub asks: u64,
    /// Groups of jobs that are judged alike.
    pub classes: u64,
    /// Tasks with appointments.
    pub appointments: u64,
    /// Leases held.
    pub leases: u64,
    /// Seats of the last plan neither confirmed nor refused.
    pub tentative: u64,
    /// Work done since the planner was made.
    pub work_total: u64,
}
