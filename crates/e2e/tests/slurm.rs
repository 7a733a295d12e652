//! A Slurm cluster as a pool of an exchange: joined by one command, and a consumer notices nothing.

#[path = "../../engines/tests/slurm/lab.rs"]
#[allow(dead_code, reason = "the engine's own tests take the rest")]
mod lab;
mod support;

use lab::{Accounts, Lab};
use support::{Serve, Stage, until};

#[test]
fn a_cluster_joins_and_its_tasks_run_once_though_everybody_dies() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "8")]) else { return };
    let conf = lab.folder("lab/etc/slurm.conf").display().to_string();
    let env = vec![("SLURM_CONF".to_owned(), conf)];
    let mut stage = Stage::empty(Serve { env, ..Serve::default() });
    stage.add_cluster("cluster", &["--slurm-partition", "main"]);
    let pools = stage.operate(&["pools"]);
    let pool = pools.as_array().and_then(|pools| pools.first()).expect("one").clone();
    assert_eq!(pool["engine"], "slurm", "{pool}");

    let file = lab.folder("ran");
    let run = format!("echo ran >> {}; sleep 1; echo from $DAYAN_TASK", file.display());
    let runs = || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let job = stage.submit_with(&run, "array", "array: {range: 1-40}\n");
    until("some tasks", || (runs() >= 3).then_some(()));
    stage.kill_agent("cluster");
    lab.kill("slurmctld");
    stage.kill_server();
    stage.start_server();
    lab.revive("slurmctld");
    stage.start_cluster("cluster");
    let mut looks = 0;
    until("more tasks", || {
        // A killed controller has forgotten the newest starts, and does them again.
        looks += 1;
        if looks % 40 == 0 {
            lab.heal();
        }
        (runs() >= 30).then_some(())
    });
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(shown["tasks"]["succeeded"], 40, "{shown}");
    assert_eq!(shown["money"]["held"], "0.00", "{shown}");
    assert_eq!(runs(), 40, "each ran once");
    assert_eq!(stage.billed().get(&job), Some(&40), "each was billed once");
}

#[test]
fn a_task_of_a_cluster_goes_on_elsewhere_from_its_checkpoint() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "1"), ("CPN", "4")]) else { return };
    let conf = lab.folder("lab/etc/slurm.conf").display().to_string();
    let env = vec![("SLURM_CONF".to_owned(), conf)];
    let mut stage = Stage::empty(Serve { env, ..Serve::default() });
    stage.add_cluster("cluster", &["--slurm-partition", "main"]);
    support::counter::moves_to_processes(&mut stage, "cluster", "");
    stage.assert_sound();
}
