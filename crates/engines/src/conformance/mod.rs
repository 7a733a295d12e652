//! One suite for every engine: what the trait promises, tried on the real thing.
//!
//! An engine is given as a [`Bed`], which opens it, opens it again after it was dropped, and kills
//! what keeps its tasks where there is such a thing. A case that an engine does not offer by its
//! own [`describe`](crate::Engine::describe), or that the bed cannot set up, is reported as
//! skipped with the reason, never as passed. Nothing here sleeps: every wait is for a condition
//! and has a limit.

mod basics;
mod bench;
mod boxes;
mod groups;
mod leases;
mod limits;
mod output;
mod steps;
mod survival;

use std::fmt;
use std::path::PathBuf;

use dayan_units::AttemptId;

use crate::{Enforcement, Engine, EngineInfo};

pub use bench::Bench;

/// How the suite gets at an engine.
pub trait Bed {
    /// Opens the engine; called again after the one before was dropped, for adoption.
    fn open(&mut self) -> Box<dyn Engine>;

    /// Kills, as by `kill -9`, who keeps the tasks. False if this engine has nobody like that.
    fn kill_keeper(&mut self) -> bool {
        false
    }

    /// The image that tasks run in, for an engine that runs nothing else. It has a shell at
    /// `/bin/sh` and the usual small programs beside it.
    fn image(&self) -> Option<crate::Image> {
        None
    }

    /// Where a task finds its working folder, if not where it lies.
    fn folder_inside(&self) -> Option<PathBuf> {
        None
    }

    /// Where the folder of a task that has started lies on this machine, for an engine that does
    /// not say.
    fn workdir(&self, _attempt: AttemptId) -> Option<PathBuf> {
        None
    }

    /// Variables that the engine or its images set beside those of a launch.
    fn outside_variables(&self) -> &[&str] {
        &[]
    }

    /// How many tasks a large array has: fewer than a thousand only where starting those would take
    /// the engine minutes.
    fn array_size(&self) -> u32 {
        1_000
    }

    /// Does anybody count what tasks use while they run?
    fn counts_use(&self) -> bool {
        true
    }

    /// Takes a node away, as by pulling its plug. False if that cannot be done here.
    fn lose_node(&mut self, _node: &str) -> bool {
        false
    }
}

/// What a case needs of an engine.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Need {
    /// It executes programs, on this machine.
    Programs,
    /// They are the machine's own, not an image's.
    HostPrograms,
    /// It runs container images, in steps and with parts of a folder at other places.
    Images,
    /// Tasks go on while the engine is away.
    SurvivesAgent,
    /// Its keeper can be killed, and its tasks with it.
    KillableKeeper,
    /// Its keeper can be killed, and its tasks go on.
    SurvivesKeeper,
    /// Out of memory is told apart from other failures.
    OomToldApart,
    /// Memory is limited, by the kernel or by looking.
    MemoryLimit,
    /// The processor limit is enforced.
    CpuLimit,
    /// The number of processes is limited, at once or by watching.
    PidsLimit,
    /// Bubblewrap is there.
    Bubblewrap,
    /// Where a lease's end is held it is known as soon as it was said.
    FenceAtOnce,
    /// It shows a task's folder before the task starts.
    Staging,
    /// It counts processor time and memory of all that ran, however short.
    Usage,
    /// It keeps the two output streams apart.
    Streams,
    /// It can stop a task by any signal.
    AnySignal,
    /// It makes the containers itself.
    OwnContainers,
    /// Running tasks can be sent signals.
    Signals,
}

/// One case.
pub struct Case {
    /// Its name, for people and for picking it.
    pub name: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    /// Does it, and says what went wrong.
    pub run: fn(&mut Bench<'_>) -> Result<(), String>,
}

/// What became of a case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// The promise was kept.
    Passed,
    /// The engine does not make this promise.
    Skipped(String),
    /// It was broken.
    Failed(String),
}

/// All verdicts, in the order of the cases.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    /// By case.
    pub verdicts: Vec<(&'static str, Verdict)>,
}

impl Report {
    /// How many were kept.
    pub fn passed(&self) -> usize {
        self.verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Passed).count()
    }
    /// Puts the verdicts of another run in the place of this one's: of cases that a bed of their own
    /// can set up.
    pub fn replace(&mut self, by: Self) {
        for (name, verdict) in by.verdicts {
            if let Some((_, own)) = self.verdicts.iter_mut().find(|(own, _)| *own == name) {
                *own = verdict;
            }
        }
    }
    /// Was none broken?
    pub fn is_clean(&self) -> bool {
        !self.verdicts.iter().any(|(_, verdict)| matches!(verdict, Verdict::Failed(_)))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, verdict) in &self.verdicts {
            match verdict {
                Verdict::Passed => writeln!(f, "passed   {name}")?,
                Verdict::Skipped(reason) => writeln!(f, "skipped  {name}: {reason}")?,
                Verdict::Failed(reason) => writeln!(f, "FAILED   {name}: {reason}")?,
            }
        }
        Ok(())
    }
}

/// What a case says that the bed cannot set up.
const CANNOT: &str = "the bed cannot do that to the engine";

/// Every case.
pub fn cases() -> impl Iterator<Item = &'static Case> {
    let all = [
        basics::CASES,
        output::CASES,
        limits::CASES,
        leases::CASES,
        groups::CASES,
        boxes::CASES,
        steps::CASES,
        survival::CASES,
    ];
    all.into_iter().flatten()
}

/// Runs the whole suite.
pub fn run(bed: &mut dyn Bed) -> Report {
    run_some(bed, |_| true)
}

/// Runs the cases whose names are picked.
pub fn run_some(bed: &mut dyn Bed, pick: impl Fn(&str) -> bool) -> Report {
    let mut verdicts = Vec::new();
    for (number, case) in cases().enumerate().filter(|(_, case)| pick(case.name)) {
        let mut bench = Bench::new(bed, number);
        let verdict = match lacks(&bench.info(), case.needs) {
            Some(reason) => Verdict::Skipped(reason.to_owned()),
            None => match (case.run)(&mut bench) {
                Ok(()) => Verdict::Passed,
                Err(reason) if reason == CANNOT => Verdict::Skipped(reason),
                Err(reason) => Verdict::Failed(reason),
            },
        };
        bench.clean_up();
        verdicts.push((case.name, verdict));
    }
    Report { verdicts }
}

/// Runs the suite on several beds at once, each with its share of the cases: on a slow engine most
/// of a case is waiting. `only` picks the cases whose names hold it.
pub fn run_in_shares<B: Bed>(
    shares: usize,
    only: Option<&str>,
    bed: impl Fn(usize) -> B + Sync,
) -> Report {
    let picked: Vec<&'static str> = cases()
        .map(|case| case.name)
        .filter(|name| only.is_none_or(|only| name.contains(only)))
        .collect();
    // Beds of one cluster have one queue: a large array of one share would keep the others' small
    // tasks waiting past their patience. They come when all else is done.
    let (crowds, small): (Vec<&str>, Vec<&str>) =
        picked.iter().partition(|name| groups::CASES.iter().any(|case| case.name == **name));
    let mut verdicts: Vec<(&'static str, Verdict)> = std::thread::scope(|scope| {
        let (small, bed) = (&small, &bed);
        let share = |number: usize| {
            scope.spawn(move || {
                let mine: Vec<_> = small.iter().skip(number).step_by(shares).collect();
                run_some(&mut bed(number), |name| mine.iter().any(|own| **own == name)).verdicts
            })
        };
        let running: Vec<_> = (0..shares).map(share).collect();
        running.into_iter().flat_map(|share| share.join().expect("a share ran")).collect()
    });
    verdicts.extend(run_some(&mut bed(shares), |name| crowds.contains(&name)).verdicts);
    verdicts.sort_by_key(|(name, _)| picked.iter().position(|picked| picked == name));
    Report { verdicts }
}

fn lacks(info: &EngineInfo, needs: &[Need]) -> Option<&'static str> {
    let features = &info.features;
    let in_pods = info.kind == crate::EngineKind::Kubernetes;
    needs.iter().find_map(|need| {
        let (there, reason) = match need {
            Need::Programs => {
                (info.kind != crate::EngineKind::Simulated, "it executes no programs")
            }
            Need::SurvivesAgent => (features.survives_agent, "tasks end with the agent"),
            Need::HostPrograms => {
                let runs = info.kind != crate::EngineKind::Simulated && !features.images;
                (runs, "it runs no programs of the machine's own")
            }
            Need::Images => (features.images, "it runs no images"),
            Need::KillableKeeper => {
                let has = info.fence == crate::Fence::Keeper && features.survives_agent;
                (has && !features.survives_keeper, "it has no keeper that its tasks die with")
            }
            Need::SurvivesKeeper => {
                (features.survives_keeper, "it has no keeper that its tasks outlive")
            }
            Need::OomToldApart => (features.oom_told_apart, "out of memory is not told apart"),
            Need::MemoryLimit => {
                (features.memory_limit != Enforcement::Absent, "memory is not limited")
            }
            Need::CpuLimit => {
                (features.cpu_limit == Enforcement::Enforced, "the processor limit is not enforced")
            }
            Need::PidsLimit => {
                (features.pids_limit != Enforcement::Absent, "processes are not limited")
            }
            Need::Bubblewrap => (features.bubblewrap, "bubblewrap is not there"),
            Need::FenceAtOnce => (!in_pods, "a cluster hears of a lease's end a moment later"),
            Need::Staging => (features.folders, "tasks' folders are not seen from here"),
            Need::Usage => (!in_pods, "a cluster counts at intervals what its pods use"),
            Need::Streams => (!in_pods, "a kubelet keeps one stream for both"),
            Need::AnySignal => (!in_pods, "a kubelet sends only one signal"),
            Need::Signals => (features.signals, "its tasks are sent no signals"),
            Need::OwnContainers => (!in_pods, "the nodes make its containers"),
        };
        (!there).then_some(reason)
    })
}
