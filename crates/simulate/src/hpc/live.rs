//! The default as the live exchange runs it: the very planner, over one pool of one node that is
//! the machine of the log.
//!
//! It queues what arrives, plans at each instant, and books what it placed. What it expects of a
//! job is learned from those that ended, as the exchange learns it. It must not know what a job
//! will take.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_schedule::order::{Running, ShortJobs, Shortest, Waiting};
use dayan_schedule::{
    Ask, Cards, Change, JobAsk, LeaseEnd, NodeName, NodeView, OfferView, Payer, Placing, Planner,
    PoolView, Tenure, Work,
};
use dayan_units::{
    JobId, MilliCpu, OfferId, OrgId, PoolId, ProjectId, Rate, Resources, Span, TaskId, Time,
};

use super::protocol::HpcJob;
use super::schedulers::{ByDue, Forecaster, Scheduler};

/// All jobs are one project's.
const PAYER: Payer = Payer { project: ProjectId::from_bits(0), org: OrgId::from_bits(0) };

const POOL: PoolId = PoolId::from_bits(1);
/// Its one node.
const MACHINE: &str = "machine";

/// The planner, driven by a log.
#[derive(Debug)]
pub struct Live<'a> {
    jobs: &'a [HpcJob],
    planner: Planner,
    /// What is learned of run times.
    order: ByDue<'a>,
    /// How long jobs are sure to run.
    at_least: Shortest,
    /// What came that is short.
    short: ShortJobs,
}

impl<'a> Live<'a> {
    /// On a machine of so many processors.
    pub fn new(machine: i64, jobs: &'a [HpcJob], order: ByDue<'a>) -> Self {
        let mut planner = Planner::new();
        let machine = NodeView::plain(MACHINE, processors(machine));
        let view = PoolView { placing: Placing::ByPool, ..PoolView::plain(POOL, vec![machine]) };
        planner.observe(&Change::PoolShown(Box::new(view)));
        let offer = OfferView::plain(OfferId::from_bits(0), Rate::default());
        planner.observe(&Change::OffersShown { pool: POOL, offers: vec![offer] });
        Self { jobs, planner, order, at_least: Shortest::default(), short: ShortJobs::default() }
    }

    fn ask(&self, nth: usize) -> JobAsk {
        let job = &self.jobs[nth];
        let limit = Span::from_secs(job.limit);
        let ask = Arc::new(Ask::plain(processors(job.width), limit));
        let project = PAYER.project;
        JobAsk {
            expected: self.order.expected(nth),
            at_least: self.at_least.at_least(&job.forecast()),
            ..JobAsk::plain(job_id(nth), project, at(job.submit), ask)
        }
    }

    fn started(&mut self, job: usize, now: i64) {
        let HpcJob { limit, width, .. } = self.jobs[job];
        let latest = at(now).plus(Span::from_secs(limit));
        self.planner.observe(&Change::LeasePlaced {
            licenses: BTreeMap::new(),
            attempt: task(job).attempt(1),
            payer: PAYER,
            pool: POOL,
            node: NodeName::new(MACHINE),
            resources: processors(width),
            cards: Cards::NONE,
            end: LeaseEnd { expected: latest, latest },
            tenure: Tenure::Kept,
        });
    }
}

impl Forecaster for Live<'_> {
    fn arrived(&mut self, job: usize) -> i64 {
        let ask = self.ask(job);
        self.short.came(ask.submitted_at, &ask.ask.resources, ask.expected_of_task());
        self.planner.observe(&Change::ShortJobs(self.short.clone()));
        self.planner.observe(&Change::JobQueued(Box::new(ask)));
        self.order.arrived(job)
    }

    fn ended(&mut self, job: usize, run: i64) {
        let attempt = task(job).attempt(1);
        self.planner.observe(&Change::LeaseEnded { attempt });
        self.planner.observe(&Change::JobGone(attempt.job));
        self.at_least.ended(&self.jobs[job].forecast(), Span::from_secs(run));
        self.order.ended(job, run);
    }
}

impl Scheduler for Live<'_> {
    fn outran(&mut self, job: usize, elapsed: i64) -> i64 {
        self.order.outran(job, elapsed)
    }

    fn starts(
        &mut self,
        now: i64,
        _free: i64,
        _running: &[Running],
        queue: &[Waiting],
    ) -> Vec<usize> {
        let plan = self.planner.plan(at(now), Work::UNBOUNDED);
        let mut started = BTreeSet::new();
        for (task, _) in plan.seats() {
            started.insert(task.job.bits());
        }
        for job in &started {
            self.started(usize::try_from(*job).expect("it was numbered from a place"), now);
        }
        let places = queue.iter().enumerate();
        let begun = places.filter(|(_, job)| started.contains(&u128::from(job.key)));
        begun.map(|(place, _)| place).collect()
    }
}

const fn at(secs: i64) -> Time {
    Time::EPOCH.plus(Span::from_secs(secs))
}

fn job_id(nth: usize) -> JobId {
    JobId::from_bits(nth as u128)
}

fn task(nth: usize) -> TaskId {
    TaskId { job: job_id(nth), task: 0 }
}

const fn processors(count: i64) -> Resources {
    Resources { cpu: MilliCpu(count.unsigned_abs() * 1_000), ..Resources::ZERO }
}
