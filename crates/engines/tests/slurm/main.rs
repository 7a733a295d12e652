//! The Slurm engine on a real Slurm, with several nodes on this machine.

mod accounts;
mod agent;
mod forgetful;
mod kinds;
mod lab;
mod liar;
mod rest;
mod suspended;
mod told;
mod trials;

use dayan_engines::conformance::{self, Bed};
use dayan_engines::slurm::{Answers, Pace, SiteWords};
use dayan_engines::{Engine, SlurmConfig, SlurmEngine};
use dayan_units::Span;

use lab::{Accounts, Lab};

/// One machine has one file system: nothing is seen late.
const PACE: Pace = Pace {
    look_every: Span::from_secs(2),
    usage_every: Span::from_millis(100),
    doubt_after: Span::from_secs(1),
    lost_after: Span::from_secs(10),
    silent_after: Span::from_secs(300),
    begins_within: Span::from_secs(300),
    ask_within: Span::from_secs(60),
    accounts_after: Span::from_secs(2),
};

fn config(lab: &Lab, folder: &str) -> SlurmConfig {
    SlurmConfig {
        dir: lab.folder(folder),
        wrapper: vec![env!("CARGO_BIN_EXE_dayan-slurm-task-test").into()],
        site: SiteWords::default(),
        commands: Some(lab.commands()),
        pace: PACE,
        answers: Answers::alone(),
    }
}

struct Cluster<'a> {
    lab: &'a Lab,
    folder: String,
    alone: Alone,
}

/// Is nobody else on the cluster, so that a node may be taken away?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Alone {
    Yes,
    No,
}

impl Bed for Cluster<'_> {
    fn open(&mut self) -> Box<dyn Engine> {
        Box::new(SlurmEngine::open(config(self.lab, &self.folder)).expect("opens"))
    }

    /// Pulls the plug of the node that runs the one task there is: its daemon, what that started, the
    /// wrapper and the task are gone in a moment, and nobody there could say a word.
    fn lose_node(&mut self, _: &str) -> bool {
        if self.alone == Alone::No {
            return false;
        }
        let node = self.lab.ask("squeue", &["-h", "-o", "%N"]).trim().to_owned();
        self.lab.pull_plug(&node);
        // As the controller itself does once it has not heard of a node for `SlurmdTimeout`, minutes.
        let node = format!("nodename={node}");
        self.lab.ask("scontrol", &["update", &node, "state=down", "reason=silent"]);
        true
    }
}

/// Runs the suite from several agents of one cluster at once, each with its share of the cases:
/// most of a case is waiting.
fn keeps_the_promises<'a, B: Bed>(
    lab: &'a Lab,
    shares: usize,
    bed: impl Fn(Cluster<'a>) -> B + Sync,
) {
    let _ = lab.commands();
    let only = std::env::var("DAYAN_CASE").ok();
    let report = conformance::run_in_shares(shares, only.as_deref(), |number| {
        bed(Cluster {
            lab,
            folder: format!("agent-{number}"),
            // The last one comes when the shares are done.
            alone: if number == shares { Alone::Yes } else { Alone::No },
        })
    });
    println!("{report}");
    assert!(report.is_clean(), "{report}");
    assert!(only.is_some() || report.passed() >= 50, "too much was skipped:\n{report}");
}

#[test]
fn a_slurm_cluster_keeps_the_promises() {
    let Some(lab) = Lab::start(Accounts::Absent, &[]) else { return };
    keeps_the_promises(&lab, 6, |cluster| cluster);
}

/// The same where jobs are kept and held by cgroups, as most sites do it: processors and memory are the
/// kernel's to hold then. No node can claim more processors than there are; the large arrays are for the
/// other test.
#[test]
fn a_slurm_cluster_with_cgroups_keeps_the_promises() {
    let more = [("CGROUPS", "1"), ("NODES", "8"), ("CPN", "2")];
    let Some(lab) = Lab::start(Accounts::Absent, &more) else { return };
    keeps_the_promises(&lab, 3, Cgroups);
}

struct Cgroups<'a>(Cluster<'a>);

impl Bed for Cgroups<'_> {
    fn open(&mut self) -> Box<dyn Engine> {
        self.0.open()
    }
    fn lose_node(&mut self, node: &str) -> bool {
        self.0.lose_node(node)
    }
    fn array_size(&self) -> u32 {
        60
    }
}
