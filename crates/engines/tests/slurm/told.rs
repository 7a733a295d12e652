//! What Slurm is asked of an end before it is believed: by whom, and when.

use dayan_engines::Outcome;

use crate::agent::{Agent, runs};
use crate::config;
use crate::lab::{Accounts, Lab};
use crate::trials::noting;

#[test]
fn a_step_by_slurms_own_srun_is_seen_and_goes_with_its_node() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "1"), ("CPN", "2")]) else { return };
    let file = lab.folder("ran");
    let mut agent = Agent::open(config(&lab, "agent"));
    // Past ours, by its path. A second is four looks of the wrapper's.
    let srun = lab.commands().join("srun").display().to_string();
    let step = format!("sleep 1; echo ran >> {}; sleep 300", file.display());
    let line = format!("'{srun}' --mpi=none --jobid=$DAYAN_SLURM_JOB_ID sh -c '{step}'; exit 0");
    let made = agent.script(&line);
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
    let made = [&ends, &taken].map(|line| agent.script(line));
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

/// Slurm signals the processes of a job one by one: a shell goes on when its child is told, and may be at its own end
/// before its wrapper has heard.
#[test]
fn a_shell_that_goes_on_from_what_the_site_has_ended_has_not_ended_well() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "12")]) else { return };
    let file = lab.folder("ran");
    let mut agent = Agent::open(config(&lab, "agent"));
    // Its second is what the wrapper looks at before it believes an end.
    let line = noting(&file, "sleep 1; echo ran >> $0; sleep 100; exit 0");
    let line = line.replace("$0", &format!("'{}'", file.display()));
    let attempts = agent.start_lines(24, &line);
    agent.until("all run", |_| runs(&file) == 48);
    lab.ask("scancel", &["--user=root"]);
    agent.all_end_with(&attempts, &Outcome::KeeperDied);
}
