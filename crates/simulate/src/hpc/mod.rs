//! Logs of real machines, replayed: which job would have started when, and how long people would
//! have waited.
//!
//! [`SwfReader`] reads a log, a [`Protocol`] makes a [`Workload`] of it, [`run`] replays that in
//! one of two disciplines. Invariant: the same log and the same choices give the same report; no
//! order is shown what a job will take before it has ended.

mod event;
mod harness;
mod protocol;
mod report;
mod schedulers;
mod swf;

pub use dayan_schedule::order::{Backfill, Rule};
pub use harness::HarnessFill;
pub use protocol::{HpcJob, Protocol, ProtocolError, Window, Workload};
pub use report::{HpcReport, WindowReport};
pub use schedulers::{ByRule, EasyPlusPlus, Scheduler};
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
    /// A rule from the literature.
    Rule(Rule),
    /// EASY++ with the mean of the user's last two run times.
    EasyPlusPlus,
}

/// Replays a workload.
pub fn run(workload: &Workload, policy: HpcPolicy, discipline: Discipline) -> HpcReport {
    let backfill = match discipline {
        Discipline::Harness(_) => Backfill::None,
        Discipline::Event(backfill) => backfill,
    };
    run_with(workload, discipline, |jobs| match policy {
        HpcPolicy::Rule(rule) => Box::new(ByRule::new(jobs, rule, backfill)),
        HpcPolicy::EasyPlusPlus => Box::new(EasyPlusPlus::new(jobs)),
    })
}

/// Replays a workload; each window is decided by a scheduler of its own.
pub fn run_with<'w>(
    workload: &'w Workload,
    discipline: Discipline,
    mut scheduler: impl FnMut(&'w [HpcJob]) -> Box<dyn Scheduler + 'w>,
) -> HpcReport {
    let machine = workload.machine;
    let replay = |window: &'w Window| {
        let (jobs, mut scheduler) = (&window.jobs, scheduler(&window.jobs));
        match discipline {
            Discipline::Harness(fill) => harness::replay(machine, jobs, fill, scheduler.as_mut()),
            Discipline::Event(_) => event::simulate(machine, jobs, scheduler.as_mut()),
        }
    };
    let starts: Vec<Vec<i64>> = workload.windows.iter().map(replay).collect();
    HpcReport::new(workload, &starts)
}
