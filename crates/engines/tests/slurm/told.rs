//! What Slurm is asked of an end before it is believed: by whom, and when.

use dayan_engines::{Launch, Outcome};

use crate::agent::{Agent, runs};
use crate::config;
use crate::lab::{Accounts, Lab};
use crate::trials::noting;

/// As a script for Slurm has it, which finds an `srun` of ours, and the number of its job.
fn script(agent: &mut Agent, line: &str) -> Launch {
    let mut made = agent.launch(line);
    made.env.insert("SLURM_JOB_NAME".to_owned(), "x".to_owned());
    made
}

#[test]
fn a_step_by_slurms_own_srun_is_seen_and_goes_with_its_node() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "1"), ("CPN", "2")]) else { return };
    let file = lab.folder("ran");
    let mut agent = Agent::open(config(&lab, "agent"));
    // Past ours, by its path. A second is four looks of the wrapper's.
    let srun = lab.commands().join("srun").display().to_string();
    let step = format!("sleep 1; echo ran >> {}; sleep 300", file.display());
    let line = format!("'{srun}' --mpi=none --jobid=$DAYAN_SLURM_JOB_ID sh -c '{step}'; exit 0");
    let made = script(&mut agent, &line);
    let attempt = agent.start(vec![made])[0];
    agent.until("its step runs", |_| runs(&file) == 1);
    lab.ask("scontrol", &["update", "nodename=n1", "state=down", "reason=test"]);
    assert_eq!(agent.outcome(attempt), Outcome::KeeperDied);
}

#[test]
fn the_controller_says_what_became_of_jobs_while_the_accounting_is_away() {
    let Some(lab) = Lab::start(Accounts::Kept, &[("NODES", "1"), ("CPN", "2")]) else { return };
    let (file, go) = (lab.folder("ran"), lab.folder("go"));
    let mut agent = Agent::open(config(&lab, "agent"));
    let wait = format!("until test -e '{}'; do sleep 0.1; done", go.display());
    let ends = format!("srun --mpi=none true; {}; {wait}; exit 3", noting(&file, "true"));
    let taken = format!("srun --mpi=none true; {}", noting(&file, "exec sleep 300"));
    let made = [&ends, &taken].map(|line| script(&mut agent, line));
    let attempts = agent.start(made.into());
    agent.until("their steps are over", |_| runs(&file) == 2);
    lab.kill("slurmdbd");
    std::fs::write(&go, "").expect("written");
    assert_eq!(agent.outcome(attempts[0]), Outcome::Exited(3));
    // Both are one array, whose second element the site ends.
    let running = lab.ask("squeue", &["--noheader", "--array", "--states=R", "--format=%i"]);
    lab.ask("scancel", &[running.trim()]);
    assert_eq!(agent.outcome(attempts[1]), Outcome::KeeperDied);
    lab.revive("slurmdbd");
}
