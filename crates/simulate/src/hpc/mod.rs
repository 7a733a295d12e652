//! Logs of real machines, replayed: which job would have started when, and how long people would
//! have waited.
//!
//! [`SwfReader`] reads a log, a [`Protocol`] makes a [`Workload`] of it, [`run`] replays that in
//! one of two disciplines. Invariant: the same log and the same choices give the same report; no
//! order is shown what a job will take before it has ended.

mod event;
mod harness;
mod live;
mod picture;
mod protocol;
mod report;
mod schedulers;
mod swf;

pub use dayan_schedule::order::{Backfill, Rule};
pub use harness::HarnessFill;
pub use live::Live;
pub use picture::{HpcWords, Replayed, WAITS, picture};
pub use protocol::{HpcJob, Protocol, ProtocolError, Window, Workload};
pub use report::{HpcReport, WindowReport};
pub use schedulers::{ByDue, ByRule, EasyPlusPlus, Scheduler};
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
    /// order, by the moment a job is due.
    Default,
    /// A rule from the literature.
    Rule(Rule),
    /// EASY++ with the mean of the user's last two run times.
    EasyPlusPlus,
}

impl HpcPolicy {
    /// One that decides over `jobs` on a machine, having learned nothing yet.
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
}

/// Replays a workload; nothing learned in one window is known in another.
pub fn run(workload: &Workload, policy: HpcPolicy, discipline: Discipline) -> HpcReport {
    HpcReport::new(workload, &starts(workload, policy, discipline))
}

/// The same, but what is known is when each job of each window starts.
pub fn starts(workload: &Workload, policy: HpcPolicy, discipline: Discipline) -> Vec<Vec<i64>> {
    let window = |window: &Window| replay(workload.machine, &window.jobs, policy, discipline);
    workload.windows.iter().map(window).collect()
}

/// When each job starts, in the order of `jobs`, which is that of arrival, on a machine that is
/// empty at first. No job may be wider than the machine.
pub fn replay(
    machine: i64,
    jobs: &[HpcJob],
    policy: HpcPolicy,
    discipline: Discipline,
) -> Vec<i64> {
    match discipline {
        Discipline::Harness(fill) => {
            // The harness has a backfilling of its own; a scheduler is only asked to choose.
            let mut scheduler = policy.scheduler(machine, jobs, Backfill::None);
            harness::replay(machine, jobs, fill, scheduler.as_mut())
        }
        Discipline::Event(backfill) => {
            let mut scheduler = policy.scheduler(machine, jobs, backfill);
            event::simulate(machine, jobs, scheduler.as_mut())
        }
    }
}
