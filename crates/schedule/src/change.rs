//! What the planner is told. Whoever owns the state translates its events into these; the planner
//! knows no others. Order between changes about different things does not matter.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dayan_topology::{Layer, Percentile, PlaceId};
use dayan_units::{AttemptId, Bytes, JobId, PoolId, ProjectId, Resources, Span, Time};
use serde::{Deserialize, Serialize};

use crate::ask::JobAsk;
use crate::cards::Cards;
use crate::order::ShortJobs;
use crate::others::{Forecast, HeldByOthers};
use crate::policy::Policy;
use crate::quota::{Payer, Quota, QuotaOf};
use crate::tasks::Tasks;
use crate::view::{NodeName, NodeUp, OfferView, PoolView};

/// What the planner needs to know of the network. A picture does not change: a new one is shown.
pub trait Network: fmt::Debug + Send + Sync {
    /// The one-way delay between two places at a percentile (1 to 100), judged at `now`; none where
    /// nothing is known.
    fn one_way(&self, from: &str, to: &str, percentile: u8, now: Time) -> Option<Span>;
    /// How long so many bytes take from one place to another; none where nothing is known.
    fn transfer_time(&self, from: &str, to: &str, bytes: Bytes, now: Time) -> Option<Span>;
}

/// When a lease is expected to give its capacity back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct LeaseEnd {
    /// As likely before as after. For start estimates.
    pub expected: Time,
    /// Not later than this: the start plus the time limit. Reservations count on it.
    pub latest: Time,
}

/// May a lease be taken back before its end?
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tenure {
    /// It may not: it was not sold so, or it is ending anyway.
    #[default]
    Kept,
    /// It was sold as one that may.
    Spot {
        /// Since when it runs: what is lost with it.
        since: Time,
        /// Not before then: its task was taken off before, not long ago or too often.
        spared_until: Time,
    },
}

/// Not this pool for this job before that time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Avoid {
    /// Which pool.
    pub pool: PoolId,
    /// Until when.
    pub until: Time,
}

/// A task will start there then, at the latest: a part of the node is kept for it. Many things may
/// start sooner; nothing may delay it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Appointment {
    /// Which task of its job.
    pub task: u32,
    /// In which pool.
    pub pool: PoolId,
    /// On which node, or in which group of nodes.
    pub node: NodeName,
    /// What it takes.
    pub resources: Resources,
    /// When it starts at the latest.
    pub from: Time,
    /// When it ends at the latest.
    pub until: Time,
    /// Not sooner either: that hour was chosen because it is cheaper.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hold: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde hands over
const fn is_false(it: &bool) -> bool {
    !*it
}

/// Something the planner must know.
#[derive(Clone, Debug)]
pub enum Change {
    /// The static picture of a pool, in full. Replaces the former; leases on its nodes stay booked.
    PoolShown(Box<PoolView>),
    /// The pool takes no more work and is forgotten; leases in it are still told to have ended.
    PoolGone(PoolId),
    /// What the cache of a pool's site holds, in full: the first 64 bits of the SHA-256 of each file
    /// that is worth naming.
    PoolHolds {
        /// Which pool.
        pool: PoolId,
        /// Its files.
        files: Arc<BTreeSet<u64>>,
    },
    /// What came lately and was expected to be short, in full: for the widest of it room is kept.
    ShortJobs(ShortJobs),
    /// A node takes work, or no longer does.
    NodeState {
        /// In which pool.
        pool: PoolId,
        /// Which node.
        node: NodeName,
        /// Does it take work?
        up: NodeUp,
    },
    /// All offers that are open for a pool, in full.
    OffersShown {
        /// Which pool.
        pool: PoolId,
        /// Its offers; none closes it.
        offers: Vec<OfferView>,
    },
    /// A job is in the queue. Told again, it replaces what was known of it but its leases.
    JobQueued(Box<JobAsk>),
    /// Tasks of a known job wait (again), such as after a lost attempt or a resume.
    TasksQueued {
        /// Which job.
        job: JobId,
        /// Which tasks.
        tasks: Tasks,
        /// Where the job should not go for a while.
        avoid: Vec<Avoid>,
    },
    /// Tasks no longer wait: cancelled or paused. Leases are told apart.
    TasksTaken {
        /// Which job.
        job: JobId,
        /// Which tasks.
        tasks: Tasks,
    },
    /// The job is over; leases of it are still told to have ended.
    JobGone(JobId),
    /// A task holds a lease: a placement was committed. Its task no longer waits.
    LeasePlaced {
        /// Which attempt.
        attempt: AttemptId,
        /// Against whose quotas it counts.
        payer: Payer,
        /// The licences it holds.
        licenses: BTreeMap<String, u32>,
        /// Where.
        pool: PoolId,
        /// On which node (or in which group) it is booked.
        node: NodeName,
        /// How much.
        resources: Resources,
        /// On which cards, as its seat said.
        cards: Cards,
        /// When it ends.
        end: LeaseEnd,
        /// May it be taken back?
        tenure: Tenure,
    },
    /// A lease was asked to stop, or is about to end by itself: it is not taken back any more.
    LeaseStopping {
        /// Which attempt.
        attempt: AttemptId,
        /// When it will have ended at the latest, where that is before its end.
        by: Option<Time>,
    },
    /// What others than us hold in a pool, in full: it replaces what was told before.
    OthersHold {
        /// In which pool.
        pool: PoolId,
        /// Each part.
        held: Vec<HeldByOthers>,
    },
    /// When the pool's own engine expects to start what of ours waits in its queue; none where it
    /// does not say. It replaces what was told before.
    QueueForecast {
        /// Of which pool.
        pool: PoolId,
        /// Its forecast.
        forecast: Option<Forecast>,
    },
    /// When leases of a pool were taken back lately: all that counts against its budget.
    PoolPreempted {
        /// Which pool.
        pool: PoolId,
        /// When, each of them.
        at: Vec<Time>,
    },
    /// A lease has new expected and latest ends.
    LeaseProlonged {
        /// Which attempt.
        attempt: AttemptId,
        /// When it ends now.
        end: LeaseEnd,
    },
    /// A lease is over: its capacity is free. Its task does not wait unless told so.
    LeaseEnded {
        /// Which attempt.
        attempt: AttemptId,
    },
    /// A placement of the last plan was refused: its tasks wait again, and not in that pool before
    /// the given time (which may be past: then at once).
    PlacementRefused {
        /// Which job.
        job: JobId,
        /// Which tasks.
        tasks: Tasks,
        /// Where it should not go for a while.
        avoid: Vec<Avoid>,
    },
    /// Nothing of the project starts: it cannot pay.
    ProjectBlocked {
        /// Which project.
        project: ProjectId,
        /// Why, as the user will read it.
        reason: String,
    },
    /// The project can pay again.
    ProjectUnblocked(ProjectId),
    /// The job has these appointments and no others. One is over when its task holds a lease, or no
    /// longer waits.
    Appointed {
        /// Which job.
        job: JobId,
        /// Its appointments.
        appointments: Vec<Appointment>,
    },
    /// What an organisation or a project may hold at most at once. Tasks with appointments start all
    /// the same, and count.
    QuotaSet {
        /// Whose.
        of: QuotaOf,
        /// The most; unlimited, where nothing is set.
        quota: Quota,
    },
    /// So many of a licence there are.
    LicenseSet {
        /// Its name.
        name: String,
        /// How many; none: it is not counted any more.
        count: Option<u64>,
    },
    /// The project had more than its share, or no longer: among equals its jobs stand so much later
    /// than they are due, at most [`order::BEHIND_MAX`](crate::order::BEHIND_MAX).
    ProjectBehind {
        /// Which project.
        project: ProjectId,
        /// How much later.
        behind: Span,
    },
    /// A new picture of the network.
    Network(Arc<dyn Network>),
    /// A new policy.
    PolicySet(Policy),
}

impl Network for dayan_topology::Topology {
    /// What a promise may rest on: a measured round trip counts whole.
    fn one_way(&self, from: &str, to: &str, percentile: u8, now: Time) -> Option<Span> {
        let (from, to) = (PlaceId::find(from).ok()?, PlaceId::find(to).ok()?);
        let percentile = Percentile::try_from(percentile).ok()?;
        Some(self.one_way_bound(from, to, Layer::DEFAULT_ORDER, percentile, now).span)
    }
    fn transfer_time(&self, from: &str, to: &str, bytes: Bytes, now: Time) -> Option<Span> {
        let (from, to) = (PlaceId::find(from).ok()?, PlaceId::find(to).ok()?);
        Some(self.transfer(from, to, bytes, now).span)
    }
}
