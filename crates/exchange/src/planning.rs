//! The planner beside the exchange, with what it needs to be driven: it hears of every committed
//! change, its placements become commands like any other, and what is refused goes back into its
//! picture. The live exchange and the simulator drive this same one.
//!
//! Invariant: nothing is placed before it is known whose agents are heard, and nothing on a pool
//! whose agent is not.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use dayan_schedule::{
    Atomicity, Avoid, Change, Forecast, HeldByOthers, JobAsk, Network, NodeUp, Placement, Planner,
    Preemption, StartEstimate, Tasks, Work,
};
use dayan_spec::{Deadline, DeadlineKind, JobSpec};
use dayan_units::{JobId, PoolId, ProjectId, Span, Time};

use crate::command::{Admission, Command, Place, Preempt, Seat};
use crate::refusal::{Refusal, RefusalKind};

/// Work of one round, in elementary steps. A step is a few dozen nanoseconds: a round stays within
/// some 20 ms, so that a question or a change never waits longer.
const ROUND: Work = Work::LIVE_ROUND;
/// A project without money is tried again after this, if nothing is heard of its money before.
const BLOCKED_FOR: Span = Span::from_secs(30);
/// A job that was refused its place for its own limits keeps off that pool for so long.
const REFUSED_FOR: Span = Span::from_secs(10);

/// What others hold in a pool is believed for so long after it was told: an agent looks twice a minute,
/// and a slow controller may keep it from that a few times.
pub const OTHERS_FOR: Span = Span::from_secs(300);

/// A start estimate costs up to some milliseconds, as it looks at all pools and at the queue: so many
/// at once, so often, leave the planner its time. Of a burst of jobs a sample is told and scored.
const ESTIMATES_MAX: usize = 2;
/// See above.
const ESTIMATES_EVERY: Span = Span::from_micros(250_000);
/// Jobs that wait to be told: half a minute's worth. What came after is not told by itself.
const FRESH_MAX: usize = 256;

/// What one round came to.
#[derive(Debug, Default)]
pub struct Round {
    /// Each is a command of its own; [`command`] makes it.
    pub placements: Vec<Placement>,
    /// Each is a command of its own too; [`preempt`] makes it.
    pub preemptions: Vec<Preemption>,
    /// When jobs that came lately and found no place are expected to start.
    pub estimates: Vec<(JobId, StartEstimate)>,
    /// The round's work was used up: there may be more to place at once.
    pub exhausted: bool,
}

/// The planner and what is known beside it.
#[derive(Debug, Default)]
pub struct Planning {
    planner: Planner,
    network: Option<Arc<dyn Network>>,
    /// Projects without money, and since when.
    blocked: BTreeMap<ProjectId, Time>,
    /// Projects that were told to stand behind.
    behind: BTreeSet<ProjectId>,
    /// Jobs that nothing is taken back for until then: what was wanted for them was refused.
    unhelped: BTreeMap<JobId, Time>,
    /// Jobs that came lately: those that still wait are told when they are expected to start.
    fresh: VecDeque<JobId>,
    /// When the next are told.
    estimate_at: Option<Time>,
    /// Pools that are not heard: whatever they have shown, none of their nodes takes work. None
    /// until it is known who is there.
    silent: Option<BTreeSet<PoolId>>,
    /// What the caches of pools' sites hold: told by their agents, and not in the journal.
    holds: BTreeMap<PoolId, Arc<BTreeSet<u64>>>,
    /// How pools that are not ours alone stand, and when that was told.
    others: BTreeMap<PoolId, (Time, Beside)>,
}

/// What others do in a pool, and what its own engine expects, as its agent sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// What others hold.
    pub held: Vec<HeldByOthers>,
    /// In how long the engine expects to start the last of ours that waits in its own queue; none
    /// where nothing of ours waits, or it does not say.
    pub starts_in: Option<Span>,
}

impl Beside {
    fn forecast(&self, told: Time) -> Option<Forecast> {
        Some(Forecast { told, starts: told.plus(self.starts_in?) })
    }

    /// Tells the planner: all of it, or what is not as it was.
    fn tell(&self, planner: &mut Planner, pool: PoolId, now: Time, before: Option<&Self>) {
        if before.is_none_or(|before| before.held != self.held) {
            planner.observe(&Change::OthersHold { pool, held: self.held.clone() });
        }
        // The same wait from a later moment on is another start.
        if self.starts_in.is_some() || before.is_none_or(|before| before.starts_in.is_some()) {
            planner.observe(&Change::QueueForecast { pool, forecast: self.forecast(now) });
        }
    }
}

impl Planning {
    /// One that knows nothing but the network.
    pub fn new(network: Arc<dyn Network>) -> Self {
        let mut planning = Self { network: Some(network), ..Self::default() };
        planning.reset(&[]);
        planning
    }

    /// The planner, to be asked.
    pub const fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Everything is told anew. Who is heard is not forgotten.
    pub fn reset(&mut self, changes: &[Change]) {
        self.planner = Planner::new();
        self.blocked.clear();
        self.behind.clear();
        self.unhelped.clear();
        self.fresh.clear();
        if let Some(network) = &self.network {
            self.planner.observe(&Change::Network(network.clone()));
        }
        self.observe(changes);
        for (&pool, files) in &self.holds {
            self.planner.observe(&Change::PoolHolds { pool, files: Arc::clone(files) });
        }
        for (&pool, (at, beside)) in &self.others {
            beside.tell(&mut self.planner, pool, *at, None);
        }
    }

    /// What the cache of a pool's site holds now.
    pub fn hold(&mut self, pool: PoolId, files: BTreeSet<u64>) {
        let files = Arc::new(files);
        self.planner.observe(&Change::PoolHolds { pool, files: Arc::clone(&files) });
        self.holds.insert(pool, files);
    }

    /// What is believed of the cache of a pool's site; none where nobody has told.
    pub fn held(&self, pool: PoolId) -> Option<&BTreeSet<u64>> {
        self.holds.get(&pool).map(Arc::as_ref)
    }

    /// So a pool stands now beside what is ours: it replaces what was told before.
    pub fn others(&mut self, pool: PoolId, beside: Beside, now: Time) {
        let known = self.others.get(&pool).map(|(_, known)| known);
        let nothing = Beside::default();
        beside.tell(&mut self.planner, pool, now, Some(known.unwrap_or(&nothing)));
        self.others.insert(pool, (now, beside));
    }

    /// What nobody has told again for long is not believed any more.
    fn forget_others(&mut self, now: Time) {
        let old = self.others.iter().filter(|(_, (at, _))| now.since(*at) > OTHERS_FOR);
        let old: Vec<PoolId> = old.map(|(pool, _)| *pool).collect();
        for pool in old {
            let known = self.others.remove(&pool).map(|(_, known)| known);
            Beside::default().tell(&mut self.planner, pool, now, known.as_ref());
        }
    }

    /// What was committed.
    pub fn observe(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::PoolShown(view) if self.is_silent(view.pool) => {
                    let mut view = view.clone();
                    for node in &mut view.nodes {
                        node.up = NodeUp::Down;
                    }
                    self.planner.observe(&Change::PoolShown(view));
                }
                Change::ProjectBehind { project, .. } => {
                    self.behind.insert(*project);
                    self.planner.observe(change);
                }
                Change::JobQueued(ask) => {
                    // One whose tasks do not ask alike is told again with each of them.
                    if self.fresh.len() < FRESH_MAX && self.fresh.back() != Some(&ask.job) {
                        self.fresh.push_back(ask.job);
                    }
                    self.planner.observe(change);
                }
                _ => self.planner.observe(change),
            }
        }
    }

    fn is_silent(&self, pool: PoolId) -> bool {
        self.silent.as_ref().is_some_and(|silent| silent.contains(&pool))
    }

    /// These pools are not heard now; `shown` is how the pools that changed have shown themselves.
    pub fn silence(&mut self, pools: BTreeSet<PoolId>, shown: &[Change]) {
        self.silent = Some(pools);
        self.observe(shown);
    }

    /// These projects stand so much behind now, and no others.
    pub fn stand(&mut self, behind: &BTreeMap<ProjectId, Span>) {
        let before = std::mem::take(&mut self.behind);
        for project in before.into_iter().filter(|project| !behind.contains_key(project)) {
            self.planner.observe(&Change::ProjectBehind { project, behind: Span::ZERO });
        }
        for (&project, &behind) in behind {
            self.behind.insert(project);
            self.planner.observe(&Change::ProjectBehind { project, behind });
        }
    }

    /// Money came in or was given back, or limits changed: blocked projects may try again.
    pub fn money_moved(&mut self) {
        self.unblock(Time::NEVER);
    }

    /// Lets projects try again that were blocked before a moment.
    fn unblock(&mut self, before: Time) {
        let due: Vec<ProjectId> =
            self.blocked.iter().filter(|(_, at)| **at < before).map(|(id, _)| *id).collect();
        for project in due {
            self.blocked.remove(&project);
            self.planner.observe(&Change::ProjectUnblocked(project));
        }
    }

    /// Can all of a job be promised to have ended by its deadline, and where would it run? Nothing is
    /// sought where the deadline is not hard. It counts from `start`.
    pub fn admit(&mut self, ask: &JobAsk, spec: &JobSpec, start: Time, now: Time) -> Admission {
        let hard = |deadline: &Deadline| deadline.kind == DeadlineKind::Hard;
        let by = spec.deadline_at(start).filter(|_| spec.deadline.as_ref().is_some_and(hard));
        let Some(by) = by else { return Admission::NotSought };
        match self.planner.admit(ask, by, now) {
            Ok(found) => Admission::Found(found),
            Err(no) => Admission::Refused(no),
        }
    }

    /// Plans once.
    pub fn round(&mut self, now: Time) -> Round {
        if self.silent.is_none() {
            return Round::default();
        }
        self.unblock(now.minus(BLOCKED_FOR));
        self.forget_others(now);
        let plan = self.planner.plan(now, ROUND);
        let placements = plan.placements.into_iter().flat_map(apart).collect();
        self.unhelped.retain(|_, until| now < *until);
        let wanted = |taken: &Preemption| !self.unhelped.contains_key(&taken.for_job);
        let preemptions = plan.preemptions.into_iter().filter(wanted).collect();
        let exhausted = plan.exhausted;
        let estimates = if exhausted { Vec::new() } else { self.estimates(now) };
        Round { placements, preemptions, estimates, exhausted }
    }

    /// Some of the jobs that came lately and got no place, with when they may.
    fn estimates(&mut self, now: Time) -> Vec<(JobId, StartEstimate)> {
        if self.estimate_at.is_some_and(|at| now < at) {
            return Vec::new();
        }
        let mut estimates = Vec::new();
        while estimates.len() < ESTIMATES_MAX
            && let Some(job) = self.fresh.pop_front()
        {
            estimates.extend(self.planner.first_start(job, now).map(|start| (job, start)));
        }
        if !estimates.is_empty() {
            self.estimate_at = Some(now.plus(ESTIMATES_EVERY));
        }
        estimates
    }

    /// What became of a placement.
    pub fn settled(&mut self, placement: &Placement, outcome: Result<(), &Refusal>, now: Time) {
        let Err(refusal) = outcome else { return };
        match refusal.kind {
            RefusalKind::Unaffordable if refusal.code != "market.budget_job" => {
                self.refused(placement, Vec::new());
                self.blocked.insert(placement.project, now);
                self.planner.observe(&Change::ProjectBlocked {
                    project: placement.project,
                    reason: refusal.message.clone(),
                });
            }
            // Somebody was faster: the change that says so is on its way here.
            RefusalKind::Conflict if refusal.code == "place.not_queued" => {
                self.refused(placement, Vec::new());
            }
            RefusalKind::NotFound => self.refused(placement, Vec::new()),
            RefusalKind::Unaffordable
            | RefusalKind::Conflict
            | RefusalKind::Invalid
            | RefusalKind::Forbidden => {
                let until = now.plus(REFUSED_FOR);
                let pools: BTreeSet<_> = placement.seats.iter().map(|seat| seat.pool).collect();
                let keep_off = pools.into_iter().map(|pool| Avoid { pool, until }).collect();
                self.refused(placement, keep_off);
            }
        }
    }

    /// What became of a preemption.
    pub fn preempted(&mut self, taken: &Preemption, outcome: Result<(), &Refusal>, now: Time) {
        if outcome.is_err() {
            self.unhelped.insert(taken.for_job, now.plus(REFUSED_FOR));
        }
    }

    /// A placement was not decided at all: the store is away.
    pub fn undecided(&mut self, placement: &Placement) {
        self.refused(placement, Vec::new());
    }

    fn refused(&mut self, placement: &Placement, avoid: Vec<Avoid>) {
        let tasks: Tasks = placement.seats.iter().map(|seat| seat.task).collect();
        self.planner.observe(&Change::PlacementRefused { job: placement.job, tasks, avoid });
    }
}

/// Seats that need not stand together are asked for one by one: money for some of them is enough
/// for some of them.
fn apart(placement: Placement) -> Vec<Placement> {
    match placement.atomicity {
        Atomicity::AllOrNothing => vec![placement],
        Atomicity::Each => {
            let Placement { job, project, atomicity, seats } = placement;
            let alone = |seat| Placement { job, project, atomicity, seats: [seat].into() };
            seats.into_iter().map(alone).collect()
        }
    }
}

/// The command that a preemption is.
pub fn preempt(taken: &Preemption) -> Command {
    let Preemption { for_job, victims, places } = taken.clone();
    Command::Preempt(Box::new(Preempt { for_job, victims, places }))
}

/// The commands that estimates are.
pub fn estimates(all: &[(JobId, StartEstimate)]) -> Vec<Command> {
    all.iter().map(|&(job, start)| Command::Estimate { job, start }).collect()
}

/// The command that a placement is.
pub fn command(placement: &Placement) -> Command {
    let seats = placement
        .seats
        .iter()
        .map(|seat| Seat {
            task: seat.task,
            pool: seat.pool,
            node: seat.node.as_str().to_owned(),
            offer: seat.offer,
            resources: seat.resources,
            cards: seat.cards,
        })
        .collect();
    Command::Place(Box::new(Place { job: placement.job, seats }))
}
