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

use dayan_schedule::order::{Backfill, Rule};

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
    let starts: Vec<Vec<i64>> = workload
        .windows
        .iter()
        .map(|window| replay(workload.machine, &window.jobs, policy, discipline))
        .collect();
    HpcReport::new(workload, &starts)
}

fn replay(machine: i64, jobs: &[HpcJob], policy: HpcPolicy, discipline: Discipline) -> Vec<i64> {
    let backfill = match discipline {
        Discipline::Harness(_) => Backfill::None,
        Discipline::Event(backfill) => backfill,
    };
    let mut scheduler: Box<dyn Scheduler + '_> = match policy {
        HpcPolicy::Rule(rule) => Box::new(ByRule::new(jobs, rule, backfill)),
        HpcPolicy::EasyPlusPlus => Box::new(EasyPlusPlus::new(jobs)),
    };
    match discipline {
        Discipline::Harness(fill) => harness::replay(machine, jobs, fill, scheduler.as_mut()),
        Discipline::Event(_) => event::simulate(machine, jobs, scheduler.as_mut()),
    }
}
