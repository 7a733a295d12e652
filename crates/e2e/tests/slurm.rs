//! A Slurm cluster as a pool of an exchange: joined by one command, and a consumer notices nothing.

#[path = "../../engines/tests/slurm/lab.rs"]
#[allow(dead_code, reason = "the engine's own tests take the rest")]
mod lab;
mod support;

use lab::{Accounts, Lab};
use support::{Serve, Stage, until};

/// An exchange whose agents find this cluster.
fn beside(lab: &Lab) -> Stage {
    let conf = lab.folder("lab/etc/slurm.conf").display().to_string();
    let env = vec![("SLURM_CONF".to_owned(), conf)];
    Stage::empty(Serve { env, ..Serve::default() })
}

#[test]
fn a_cluster_joins_and_its_tasks_run_once_though_everybody_dies() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "8")]) else { return };
    let mut stage = beside(&lab);
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
    // By slurmrestd, so that the whole way is gone by it once.
    let more = [("NODES", "1"), ("CPN", "4"), ("REST", "1")];
    let Some(lab) = Lab::start(Accounts::Absent, &more) else { return };
    let mut stage = beside(&lab);
    let rest = ["--slurm-partition", "main", "--slurm-rest", &lab.rest_socket()];
    stage.add_cluster("cluster", &rest);
    support::counter::moves_to_processes(&mut stage, "cluster", "");
    stage.assert_sound();
}

/// What scripts for Slurm rely on, one word a line.
const SCRIPT: &str = "#!/bin/bash
#SBATCH --job-name=shots
#SBATCH --array=2,5
#SBATCH --ntasks=1 --cpus-per-task=2
#SBATCH --mem=50M -t 5
#SBATCH --account=demo
#SBATCH --output=shot-%A_%a.txt
set -eu
echo $SLURM_ARRAY_JOB_ID $SLURM_JOB_ID $SLURM_ARRAY_TASK_ID $SLURM_CPUS_PER_TASK $SLURM_JOB_NAME
[ \"$PWD\" = \"$SLURM_SUBMIT_DIR\" ] && [ \"$DAYAN_NODELIST\" = \"$SLURM_JOB_NODELIST\" ]
case \"$SLURM_JOB_NODELIST\" in n1|n2) ;; *) exit 3 ;; esac
until ls shot-*.txt 2> /dev/null; do sleep 0.05; done
";

#[test]
fn a_script_for_slurm_a_visitor_and_words_of_the_site_go_through_to_it() {
    let qos = ("EXTRA_CONF", "PartitionName=side Nodes=n2 MaxTime=60 State=UP");
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "4"), qos]) else {
        return;
    };
    let mut stage = beside(&lab);
    let words =
        ["--slurm-partition", "main", "--slurm-allow", "partition", "--slurm-allow", "nice"];
    stage.add_cluster("cluster", &words);

    std::fs::write(stage.path("job.sbatch"), SCRIPT).expect("written");
    let member = stage.member.clone();
    let script = stage.path("job.sbatch").display().to_string();
    let made = stage.command(&member, &["submit", &script]);
    let job = made["job"].as_str().expect("a job").to_owned();
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    for (task, element) in [(0, "2"), (1, "5")] {
        let name = format!("{job}/{task}");
        let said = stage.member_run(&["logs", &name], "");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        let words: Vec<&str> = said.split_whitespace().collect();
        let [array, own, index, cpus, title, file] = words[..] else { panic!("{said}") };
        assert_eq!((index, cpus, title), (element, "2", "shots"), "{said}");
        // The number is of the exchange's job, as its `sbatch` prints it, not that of the site's.
        let (of, nth): (u64, u64) = (array.parse().expect(array), element.parse().expect(element));
        assert_eq!(own, ((of << 12) + nth).to_string(), "{said}");
        assert!(array.len() == 15, "{said}");
        assert_eq!(file, format!("shot-{array}_{element}.txt"), "{said}");
    }

    // As many processes start as by plain `sbatch`, on one node as on two; the partition is the pool's own.
    for (shape, all) in [("-n 2", 2), ("-N 2 --ntasks-per-node=2 -c 1", 4)] {
        let text = format!(
            "#!/bin/sh\n#SBATCH {shape} -p main --mem=50M -t 5 -A demo\n\
             srun --mpi=none sh -c 'echo rank $SLURM_NTASKS $DAYAN_TASKS'\n"
        );
        std::fs::write(stage.path("ranks.sbatch"), text).expect("written");
        let script = stage.path("ranks.sbatch").display().to_string();
        let made = stage.command(&member, &["submit", &script]);
        let job = made["job"].as_str().expect("a job").to_owned();
        let shown = stage.ended(&job);
        let said = stage.member_run(&["logs", &job], "");
        let said = String::from_utf8_lossy(&said.stdout).into_owned();
        assert_eq!(shown["state"], "succeeded", "{shape}: {shown} {said}");
        assert_eq!(said, format!("rank {all} {all}\n").repeat(all), "{shape}");
    }
    let nowhere = "#!/bin/sh\n#SBATCH -p nosuch --mem=50M -t 5 -A demo\ntrue\n";
    std::fs::write(stage.path("nowhere.sbatch"), nowhere).expect("written");
    let script = stage.path("nowhere.sbatch").display().to_string();
    let said = stage.member_run(&["submit", &script], "");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && text.contains("there are: cluster, main, side"), "{text}");

    // A word that the provider allows goes through, one that it does not is refused with the reason.
    let words = "backend: {slurm: {partition: side, nice: '7'}}\n";
    let go = stage.path("go");
    let run = format!("|\n  until test -e {}; do sleep 0.05; done", go.display());
    let job = stage.submit_with(&run, "words", words);
    stage.running(&job, 1);
    let line = lab.ask("squeue", &["--noheader", "--states=R", "--format=%P %N"]);
    assert_eq!(line, "side n2\n");
    let file = stage.path("refused.yaml");
    std::fs::write(
        &file,
        "version: 1\nname: x\ntype: batch\nproject: lab/demo\n\
         resources: {cpus: 1, memory: 16MB, time: 1m}\nbackend: {slurm: {qos: high}}\nrun: x\n",
    )
    .expect("written");
    let said = stage.member_run(&["submit", &file.display().to_string()], "");
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(!said.status.success() && text.contains("backend.slurm.qos"), "{text}");

    // A visitor is a step of the same job: in its folder, on its node, with its own exit code.
    let script = "echo $DAYAN_JOB $SLURMD_NODENAME; cat; echo oops >&2; exit 7";
    let out = stage.exec(&job, b"typed\n", &["sh", "-c", script]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(7), "{said}");
    assert_eq!(String::from_utf8_lossy(&out.stdout), format!("{job} n2\ntyped\n"));
    assert!(said.contains("oops"), "{said}");
    std::fs::write(&go, "").expect("written");
    assert_eq!(stage.ended(&job)["state"], "succeeded");
}

/// Nodes are taken away under scripts whose steps Slurm ends first: `srun` says nothing of it, and the scripts would
/// go on and end well.
#[test]
fn what_a_lost_node_takes_along_is_not_billed_and_goes_again() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "3"), ("CPN", "4")]) else { return };
    let mut stage = beside(&lab);
    stage.add_cluster("cluster", &["--slurm-partition", "main"]);
    let member = stage.member.clone();
    let go = stage.path("go");
    // Of two nodes once the one that the script is not on. A node whose slurmd is dead tells nobody anything.
    for (nodes, is_heads, is_dead) in
        [(1, true, false), (2, false, false), (1, true, true), (2, true, true)]
    {
        let _ = std::fs::remove_file(&go);
        let text = format!(
            "#!/bin/bash -l\n#SBATCH -N {nodes} --ntasks-per-node=1 --mem=50M -t 5 -A demo\n\
             srun --mpi=none sh -c 'until test -e {}; do sleep 0.1; done'\necho after\n",
            go.display()
        );
        std::fs::write(stage.path("steps.sbatch"), text).expect("written");
        let script = stage.path("steps.sbatch").display().to_string();
        let made = stage.command(&member, &["submit", &script]);
        let job = made["job"].as_str().expect("a job").to_owned();
        let steps = || lab.ask("squeue", &["--noheader", "--steps", "--format=%i %N"]);
        let of_script = || steps().lines().find(|line| line.contains(".0 ")).map(str::to_owned);
        let step = until("its step", of_script);
        let (_, list) = step.split_once(' ').expect("its nodes");
        let first = lab.ask("scontrol", &["show", "hostnames", list]);
        let lost = if is_heads { first.lines().next() } else { first.lines().last() };
        let lost = lost.expect("a node").to_owned();
        let slurmd = format!("slurmd.{lost}");
        if is_dead {
            lab.kill(&slurmd);
        }
        let down = format!("nodename={lost}");
        lab.ask("scontrol", &["update", &down, "state=down", "reason=test"]);
        let shown = until("its members to be lost", || {
            let shown = stage.show(&job)?;
            let of = shown["attempts"].as_array()?.iter().filter(|one| one["attempt"] == 1);
            let states: Vec<&str> = of.filter_map(|one| one["state"].as_str()).collect();
            (states.len() == nodes && states.iter().all(|state| *state == "lost")).then_some(shown)
        });
        let first: Vec<_> = (shown["attempts"].as_array().into_iter().flatten())
            .filter(|one| one["attempt"] == 1)
            .filter_map(|one| one["node"].as_str())
            .collect();
        let distinct: std::collections::BTreeSet<&&str> = first.iter().collect();
        assert_eq!(distinct.len(), nodes, "each on a node of its own: {shown}");
        assert_eq!(shown["money"]["spent"], "0.00", "{shown}");
        if is_dead {
            lab.revive(&slurmd);
        }
        let up = ["update", &down, "state=resume"];
        lab.ask("scontrol", &up);
        std::fs::write(&go, "").expect("written");
        let shown = stage.ended(&job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
    }
}

#[test]
fn what_others_hold_of_a_cluster_is_seen_and_not_planned_on() {
    let Some(lab) = Lab::start(Accounts::Absent, &[("NODES", "2"), ("CPN", "4")]) else { return };
    let mut stage = beside(&lab);
    // Somebody else's, for twenty minutes at most: all of one node and a part of the other.
    for cpus in ["4", "3"] {
        let cpus = format!("--cpus-per-task={cpus}");
        lab.ask(
            "sbatch",
            &["--mem=64", "--time=20", "--output=/dev/null", &cpus, "--wrap=sleep 600"],
        );
    }
    until("others run", || {
        let text = lab.ask("squeue", &["--noheader", "--states=R", "--format=%i"]);
        (text.lines().count() == 2).then_some(())
    });
    stage.add_cluster("cluster", &["--slurm-ahead", "50"]);
    let pool = until("the others to be seen", || {
        let pools = stage.operate(&["pools"]);
        pools.as_array()?.first().filter(|pool| pool["others"].is_object()).cloned()
    });
    assert_eq!((&pool["others"]["cpus"], &pool["queue_ahead"]), (&"7".into(), &4.into()), "{pool}");

    // One core is free: a job of two is expected when the others are over, not now.
    let file = stage.path("two.yaml");
    std::fs::write(
        &file,
        "version: 1\nname: two\ntype: batch\nproject: lab/demo\n\
         resources: {cpus: 2, memory: 16MB, time: 30m}\nrun: 'true'\n",
    )
    .expect("written");
    let member = stage.member.clone();
    let file = file.display().to_string();
    // Who plans hears of it a moment after it is shown.
    until("the plan to count them", || {
        let plan = stage.command(&member, &["plan", &file]);
        let candidate = &plan["candidates"][0];
        let start = candidate["start_p90_s"].as_f64()?;
        (candidate["tasks"] == 0 && (600.0..1_300.0).contains(&start)).then_some(())
    });
    // They end: it starts.
    lab.ask("scancel", &["--state=RUNNING", "--user=root"]);
    let job = stage.command(&member, &["submit", &file]);
    let job = job["job"].as_str().expect("a job").to_owned();
    assert_eq!(stage.ended(&job)["state"], "succeeded");
}

#[test]
fn one_agent_offers_all_partitions_of_a_cluster_and_takes_over_in_each() {
    // The second has one of the first's two nodes; the third takes no jobs.
    let more = "PartitionName=side Nodes=n2 MaxTime=60 State=UP\n\
                PartitionName=closed Nodes=n1 State=DOWN";
    let more = [("NODES", "2"), ("CPN", "4"), ("EXTRA_CONF", more)];
    let Some(lab) = Lab::start(Accounts::Absent, &more) else { return };
    let mut stage = beside(&lab);
    // One command, one invitation; nothing waits ahead, so that what runs where is what was sold there.
    stage.add_cluster_of("dc", &["--slurm-ahead", "0"], &["dc-main", "dc-side"]);
    let pool = |stage: &Stage, name: &str| {
        let pools = stage.operate(&["pools"]);
        let mut pools = pools.as_array().expect("a list").iter();
        pools.find(|pool| pool["name"] == name).expect("it is there").clone()
    };
    let nodes = |pool: &serde_json::Value| pool["nodes"].as_array().map(Vec::len);
    assert_eq!(stage.operate(&["pools"]).as_array().map(Vec::len), Some(2));
    assert_eq!(nodes(&pool(&stage, "dc-main")), Some(2));
    assert_eq!(nodes(&pool(&stage, "dc-side")), Some(1));

    // A job for each, by the feature that its nodes have; they write down that they run.
    let file = lab.folder("ran");
    let run = format!("echo $DAYAN_TASK began >> {}; sleep 3", file.display());
    let runs = || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let job = |stage: &Stage, partition: &str| {
        let more = format!("array: {{range: 1-4}}\nplacement: {{features: [{partition}]}}\n");
        stage.submit_with(&run, partition, &more)
    };
    let jobs = [job(&stage, "partition-side"), job(&stage, "partition-main")];
    let queue = || lab.ask("squeue", &["--noheader", "--array", "--states=R", "--format=%P"]);
    until("tasks in both partitions", || {
        let queue = queue();
        ["main", "side"].iter().all(|name| queue.lines().any(|line| line == *name)).then_some(())
    });
    stage.kill_agent("dc");
    stage.start_cluster("dc");
    for job in &jobs {
        let shown = stage.ended(job);
        assert_eq!(shown["state"], "succeeded", "{shown}");
        assert_eq!(shown["tasks"]["succeeded"], 4, "{shown}");
        assert_eq!(stage.billed().get(job), Some(&4), "each was billed once");
    }
    assert_eq!(runs(), 8, "each ran once");
    assert_eq!(stage.operate(&["pools"]).as_array().map(Vec::len), Some(2), "none joined again");

    // What one of them has of the node that both show, the other counts as held by others.
    let side = stage.submit_with("sleep 120", "holds", "placement: {features: [partition-side]}\n");
    stage.running(&side, 1);
    until("the other pool to see it", || {
        (pool(&stage, "dc-main")["others"]["cpus"] == "1").then_some(())
    });
}
