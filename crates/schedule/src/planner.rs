//! The planner's face: observe, plan, answer. It ties supply and demand together; the round itself
//! is in `round`.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_units::{AttemptId, JobId, TaskId, Time};

use crate::answer::Stats;
use crate::change::{Avoid, Change, Network};
use crate::estate::{Estate, Holder, Lease, LeaseIx, NodeAt};
use crate::lists::Lists;
use crate::near::NearMap;
use crate::plan::Plan;
use crate::policy::{Policy, Work};
use crate::queue::{Demand, JobKey};
use crate::quota::{AccountOf, Payer};
use crate::tasks::Tasks;
use crate::waste::Packer;

/// One queue over the pools of all owners.
///
/// The loop is: [`observe`](Self::observe) what was committed → [`plan`](Self::plan) → commit each
/// placement, which may be refused → observe [`LeasePlaced`](Change::LeasePlaced) or
/// [`PlacementRefused`](Change::PlacementRefused) → plan again.
///
/// The seats of a plan are held for it *tentatively*: a confirmed one becomes a lease without
/// further cost, a refused one is free at once, and whatever was neither confirmed nor refused is
/// free again when the next plan begins. So two plans in a row without a change between are equal.
#[derive(Clone, Debug, Default)]
pub struct Planner {
    pub(crate) estate: Estate,
    pub(crate) demand: Demand,
    pub(crate) policy: Policy,
    pub(crate) network: Option<Arc<dyn Network>>,
    /// Seats of the last plan, neither confirmed nor refused.
    pub(crate) seats: NearMap<TaskId, LeaseIx>,
    /// Nodes that got room, with the head up to which classes without room were told of it.
    pub(crate) owed: BTreeMap<NodeAt, Option<JobKey>>,
    /// What verdicts came to lately.
    pub(crate) lists: Lists,
    /// Judges nodes by the work that runs.
    pub(crate) packer: Packer,
    pub(crate) revision: u64,
    /// The moment of the last plan.
    pub(crate) planned_at: Option<Time>,
    /// The moment that timed verdicts were made for.
    pub(crate) judged_at: Option<Time>,
    pub(crate) work_total: u64,
}

impl Planner {
    /// Nothing shown, nothing queued, the default policy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a change. Costs what the change touches.
    pub fn observe(&mut self, change: &Change) {
        self.revision += 1;
        match change {
            Change::PoolShown(view) => self.estate.show_pool(view),
            Change::PoolGone(pool) => self.estate.forget_pool(*pool),
            Change::PoolHolds { pool, files } => self.estate.show_holdings(*pool, files),
            Change::NodeState { pool, node, up } => self.estate.set_node_state(*pool, node, *up),
            Change::OffersShown { pool, offers } => self.estate.show_offers(*pool, offers),
            Change::JobQueued(ask) => {
                self.drop_seats(ask.job, &ask.tasks);
                let payer = Payer { project: ask.project, org: ask.org };
                let payers = self.estate.accounts.payers(payer, &ask.ask.licenses);
                self.demand.queue(ask, payers);
                self.hold(ask.job);
            }
            Change::TasksQueued { job, tasks, avoid } => {
                // Who says that they wait says that a seat of theirs is not wanted.
                self.drop_seats(*job, tasks);
                self.wait_again(*job, tasks, avoid);
            }
            Change::TasksTaken { job, tasks } => {
                self.drop_seats(*job, tasks);
                self.estate.release(*job, tasks);
                self.hold(*job);
                if let Some(&ix) = self.demand.job_ids.get(job) {
                    self.demand.jobs[ix].pending.subtract(tasks);
                    self.demand.relink(ix);
                }
            }
            Change::JobGone(job) => {
                if self.demand.runs(*job) {
                    self.drop_seats(*job, &Tasks::range(0..u32::MAX));
                }
                self.estate.release_job(*job);
                self.demand.remove(*job);
            }
            Change::LeasePlaced {
                attempt,
                payer,
                licenses,
                pool,
                node,
                resources,
                cards,
                end,
                tenure,
            } => {
                let pool = self.estate.pool_ix(*pool);
                let payers = self.estate.accounts.payers(*payer, licenses);
                let holder = Holder::Attempt(*attempt);
                let lease = Lease {
                    holder,
                    pool,
                    payers,
                    node: node.clone(),
                    at: None,
                    resources: *resources,
                    cards: *cards,
                    end: *end,
                    tenure: *tenure,
                };
                self.place(*attempt, lease);
                if self.estate.appointed.contains_key(&attempt.job) {
                    self.hold(attempt.job);
                }
            }
            Change::LeaseProlonged { attempt, end } => {
                if let Some(&ix) = self.estate.attempts.get(attempt) {
                    self.estate.set_end(ix, *end);
                }
            }
            Change::LeaseStopping { attempt, by } => {
                if let Some(&ix) = self.estate.attempts.get(attempt) {
                    self.estate.stopping(ix, *by);
                }
            }
            Change::OthersHold { pool, held } => self.estate.set_others(*pool, held),
            Change::QueueForecast { pool, forecast } => {
                self.estate.set_forecast(*pool, *forecast);
            }
            Change::PoolPreempted { pool, at } => {
                let pool = self.estate.pool_ix(*pool);
                self.estate.pools[pool as usize].preempted.clone_from(at);
            }
            Change::LeaseEnded { attempt } => {
                if let Some(&ix) = self.estate.attempts.get(attempt) {
                    self.estate.free(ix);
                    self.demand.stopped(attempt.job);
                }
            }
            Change::PlacementRefused { job, tasks, avoid } => {
                let dropped = self.drop_seats(*job, tasks);
                self.wait_again(*job, &dropped, avoid);
            }
            Change::ProjectBlocked { project, reason } => {
                self.demand.block_project(*project, reason);
            }
            Change::ProjectUnblocked(project) => self.demand.unblock_project(*project),
            Change::Appointed { job, appointments } => {
                let seat_of = |estate: &Estate, task| {
                    let ix = self.seats.get(&TaskId { job: *job, task })?;
                    estate.leases[*ix].at
                };
                self.estate.appoint(*job, appointments, seat_of);
                self.hold(*job);
            }
            Change::QuotaSet { of, quota } => {
                let of = AccountOf::Quota(*of);
                self.estate.accounts.set(of, quota, &self.estate.leases);
            }
            Change::LicenseSet { name, count } => {
                self.estate.accounts.set_license(name, *count, &self.estate.leases);
            }
            Change::ProjectBehind { project, behind } => {
                self.demand.set_behind(*project, *behind);
            }
            Change::ShortJobs(jobs) => self.demand.short_jobs.clone_from(jobs),
            Change::Network(network) => {
                self.network = Some(network.clone());
                self.judge_timed_again();
            }
            Change::PolicySet(policy) => {
                self.policy = policy.clone();
                self.judge_all_again();
            }
        }
    }

    /// The job waits for the hour that it was promised, if it was promised one.
    fn hold(&mut self, job: JobId) {
        if let Some(&ix) = self.demand.job_ids.get(&job) {
            self.demand.hold(ix, self.estate.held_until(job));
        }
    }

    /// The planner's own figures.
    pub fn stats(&self) -> Stats {
        let shown = self.estate.pools.iter().filter(|pool| pool.view.is_some());
        let tasks = self.demand.jobs.iter().map(|(_, job)| job.pending.len());
        Stats {
            pools: shown.count() as u64,
            nodes: self.estate.bays.iter().map(|(_, bay)| bay.nodes.len() as u64).sum(),
            jobs: self.demand.jobs.len() as u64,
            tasks_waiting: tasks.sum(),
            asks: self.demand.asks_len() as u64,
            classes: self.demand.classes.len() as u64,
            appointments: self.estate.appointed.values().map(|of| of.len() as u64).sum(),
            leases: {
                let others: usize = self.estate.pools.iter().map(|pool| pool.others.len()).sum();
                (self.estate.leases.len() - self.seats.len() - others) as u64
            },
            tentative: self.seats.len() as u64,
            work_total: self.work_total,
        }
    }

    fn place(&mut self, attempt: AttemptId, lease: Lease) {
        let task = attempt.task_id();
        if let Some(ix) = self.seats.remove(&task) {
            let seat = &self.estate.leases[ix];
            let as_planned = seat.pool == lease.pool
                && seat.node == lease.node
                && seat.payers == lease.payers
                && seat.resources == lease.resources
                && seat.cards == lease.cards;
            if as_planned && !self.estate.attempts.contains_key(&attempt) {
                self.estate.confirm(ix, attempt, (lease.end, lease.tenure));
                return;
            }
            self.estate.free(ix);
            self.demand.stopped(task.job);
        }
        let is_new = !self.estate.attempts.contains_key(&attempt);
        self.estate.book(lease);
        if is_new {
            self.demand.started(task.job);
        }
        if let Some(&ix) = self.demand.job_ids.get(&task.job) {
            self.demand.jobs[ix].pending.remove(task.task);
            self.demand.relink(ix);
        }
    }

    /// Frees the tentative seats among these tasks, and says which there were.
    fn drop_seats(&mut self, job: JobId, tasks: &Tasks) -> Tasks {
        if self.seats.is_empty() {
            return Tasks::none();
        }
        // The smaller side is walked: a million tasks may be named where a few hold seats.
        let seated: Vec<u32> = if tasks.len() <= self.seats.len() as u64 {
            let holds = |task: &u32| self.seats.contains_key(&TaskId { job, task: *task });
            tasks.iter().filter(holds).collect()
        } else {
            let mine = |task: &&TaskId| task.job == job && tasks.contains(task.task);
            let mut mine: Vec<u32> = self.seats.keys().filter(mine).map(|t| t.task).collect();
            mine.sort_unstable();
            mine
        };
        for &task in &seated {
            self.free_seat(TaskId { job, task });
        }
        seated.into_iter().collect()
    }

    fn free_seat(&mut self, task: TaskId) {
        let ix = self.seats.remove(&task).expect("the caller has seen it");
        self.estate.free(ix);
        self.demand.stopped(task.job);
    }

    fn wait_again(&mut self, job: JobId, tasks: &Tasks, avoid: &[Avoid]) {
        if let Some(&ix) = self.demand.job_ids.get(&job) {
            self.demand.jobs[ix].pending.add(tasks);
            self.demand.relink(ix);
            self.demand.avoid(ix, avoid);
        }
    }

    /// Seats that nobody confirmed or refused are free, and their tasks wait.
    pub(crate) fn forget_seats(&mut self) {
        let mut tasks: Vec<TaskId> = self.seats.keys().copied().collect();
        tasks.sort_unstable();
        for group in tasks.chunk_by(|a, b| a.job == b.job) {
            let job = group[0].job;
            for &task in group {
                self.free_seat(task);
            }
            self.wait_again(job, &group.iter().map(|task| task.task).collect(), &[]);
        }
    }

    fn judge_all_again(&mut self) {
        let all: Vec<u32> = self.demand.classes.iter().map(|(ix, _)| ix).collect();
        for ix in all {
            self.judge_again(ix);
        }
    }
    pub(crate) fn judge_timed_again(&mut self) {
        for ix in self.demand.time_passed() {
            self.judge_again(ix);
        }
    }

    /// Decides for this moment, with at most this much work. A plan that ends early holds the first
    /// placements of the one that an unbounded budget would give.
    pub fn plan(&mut self, now: Time, budget: Work) -> Plan {
        crate::round::run(self, now, budget)
    }
}
