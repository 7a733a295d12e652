//! Logs of real machines, replayed: which job would have started when, and how long people would
//! have waited.
//!
//! [`SwfReader`] reads a log, a [`Protocol`] makes a [`Workload`] of it, [`run`] replays that in
//! one of two disciplines. Invariant: the same log and the same choices give the same report; no
//! order is shown what a job will take before it has ended.

mod ahead;
mod event;
mod harness;
mod live;
mod picture;
mod protocol;
mod report;
mod schedulers;
mod swf;

use dayan_schedule::order::{Running, Waiting};

pub use ahead::Ahead;
pub use dayan_schedule::order::{Backfill, Rule};
pub use harness::HarnessFill;
pub use live::Live;
pub use picture::{HpcWords, Replayed, WAITS, picture};
pub use protocol::{HpcJob, LinesRead, Protocol, ProtocolError, Unusable, Window, Workload};
pub use report::{HpcReport, WindowReport};
pub use schedulers::{ByDue, ByRule, Chooser, EasyPlusPlus, Forecaster, Scheduler};
pub use swf::{SwfError, SwfHeader, SwfJob, SwfReader};

/// How time goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Discipline {
    /// One decision at a time, as RLScheduler's harness does.
    Harness(HarnessFill),
    /// All ends, all arrivals, one pass.
    Event(Backfill),
}

/// Who decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HpcPolicy {
    /// The default: with EASY backfilling the planner of the live exchange itself; otherwise its
    /// order, by the moment a job is due. In the harness, where a choice binds, [`Ahead`].
    Default,
    /// A rule from the literature.
    Rule(Rule),
    /// EASY++ with the mean of the user's last two run times.
    EasyPlusPlus,
}

impl HpcPolicy {
    /// One that decides by events over `jobs` on a machine, having learned nothing yet.
    pub fn scheduler(
        self,
        machine: i64,
        jobs: &[HpcJob],
        backfill: Backfill,
    ) -> Box<dyn Scheduler + '_> {
        let order = || ByDue::new(jobs, backfill);
        match self {
            Self::Default if backfill == Backfill::Easy => {
                Box::new(Live::new(machine, jobs, order()))
            }
            Self::Default => Box::new(order()),
            Self::Rule(rule) => Box::new(ByRule::new(jobs, rule, backfill)),
            Self::EasyPlusPlus => Box::new(EasyPlusPlus::new(jobs)),
        }
    }

    /// One that decides in the harness.
    pub fn chooser(self, jobs: &[HpcJob], fill: HarnessFill) -> Box<dyn Chooser + '_> {
        match self {
            Self::Default => Box::new(Ahead::new(jobs, fill)),
            Self::Rule(rule) => Box::new(ByRule::new(jobs, rule, Backfill::None)),
            Self::EasyPlusPlus => Box::new(EasyPlusPlus::new(jobs)),
        }
    }
}

/// Replays a workload; nothing learned in one window is known in another.
pub fn run(workload: &Workload, policy: HpcPolicy, discipline: Discipline) -> HpcReport {
    HpcReport::new(workload, &starts(workload, policy, discipline))
}

/// The same, but what is known is when each job of each window starts.
pub fn starts(workload: &Workload, policy: HpcPolicy, discipline: Discipline) -> Vec<Vec<i64>> {
    starts_told(workload, policy, discipline, &mut |_| ())
}

/// The same; `progress` hears how much of the jobs has come, from 0 to 1.
pub fn starts_told(
    workload: &Workload,
    policy: HpcPolicy,
    discipline: Discipline,
    progress: &mut dyn FnMut(f64),
) -> Vec<Vec<i64>> {
    let all: usize = workload.windows.iter().map(|window| window.jobs.len()).sum();
    let mut before = 0;
    let window = |window: &Window| {
        let mut told = |came: usize| progress((before + came) as f64 / all.max(1) as f64);
        let starts = replay_told(workload.machine, &window.jobs, (policy, discipline), &mut told);
        before += window.jobs.len();
        starts
    };
    workload.windows.iter().map(window).collect()
}

/// One whose driver says aloud how many jobs have come.
struct Told<'a, T: ?Sized> {
    decides: Box<T>,
    came: usize,
    say: &'a mut dyn FnMut(usize),
}

impl<'a, T: ?Sized> Told<'a, T> {
    fn new(decides: Box<T>, say: &'a mut dyn FnMut(usize)) -> Self {
        Self { decides, came: 0, say }
    }
}

impl<T: Forecaster + ?Sized> Forecaster for Told<'_, T> {
    fn arrived(&mut self, job: usize) -> i64 {
        self.came += 1;
        (self.say)(self.came);
        self.decides.arrived(job)
    }
    fn ended(&mut self, job: usize, run: i64) {
        self.decides.ended(job, run);
    }
}

impl<T: Scheduler + ?Sized> Scheduler for Told<'_, T> {
    fn outran(&mut self, job: usize, elapsed: i64) -> i64 {
        self.decides.outran(job, elapsed)
    }
    fn starts(
        &mut self,
        now: i64,
        free: i64,
        running: &[Running],
        queue: &[Waiting],
    ) -> Vec<usize> {
        self.decides.starts(now, free, running, queue)
    }
}

impl<T: Chooser + ?Sized> Chooser for Told<'_, T> {
    fn choose(&mut self, now: i64, free: i64, running: &[Running], queue: &[Waiting]) -> usize {
        self.decides.choose(now, free, running, queue)
    }
}

/// When each job starts, in the order of `jobs`, which is that of arrival, on a machine that is
/// empty at first. No job may be wider than the machine.
pub fn replay(
    machine: i64,
    jobs: &[HpcJob],
    policy: HpcPolicy,
    discipline: Discipline,
) -> Vec<i64> {
    replay_told(machine, jobs, (policy, discipline), &mut |_| ())
}

fn replay_told(
    machine: i64,
    jobs: &[HpcJob],
    (policy, discipline): (HpcPolicy, Discipline),
    told: &mut dyn FnMut(usize),
) -> Vec<i64> {
    match discipline {
        Discipline::Harness(fill) => {
            let chooser = policy.chooser(jobs, fill);
            harness::replay(machine, jobs, fill, &mut Told::new(chooser, told))
        }
        Discipline::Event(backfill) => {
            let scheduler = policy.scheduler(machine, jobs, backfill);
            event::simulate(machine, jobs, &mut Told::new(scheduler, told))
        }
    }
}
