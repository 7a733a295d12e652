//! What nodes have and how close together they are: a gang over the machines of several agents, under
//! one leaf where it can be, smaller where it may be; and tasks that ask for what a node has.

mod support;

use std::process::Command;

use support::{Stage, program, until};

/// Three machines of one fabric, each with an agent of its own: two under one leaf.
fn three_machines() -> Stage {
    let mut stage = Stage::empty(support::Serve::default());
    for (name, leaf) in [("one", "s1/a"), ("two", "s1/b"), ("three", "s1/b")] {
        let words = ["--node", name, "--cpus", "1", "--fabric", "ib0", "--leaf", leaf];
        stage.add_pool(name, &[&words[..], &["--feature", name]].concat());
    }
    // Nothing is placed with who has joined until it is heard, and that is told to the planner by the
    // tick: what has run there knows that it was.
    for name in ["one", "two", "three"] {
        let more = format!("placement: {{features: [{name}]}}\n");
        let job = stage.submit_with("true", &format!("first-{name}"), &more);
        stage.ended(&job);
    }
    stage
}

/// The nodes on which the attempts of a job ran, each with what it wrote.
fn nodes(stage: &Stage, job: &str) -> Vec<String> {
    let shown = stage.show(job).expect("an answer");
    let attempts = shown["attempts"].as_array().expect("a list").iter();
    let mut nodes: Vec<String> =
        attempts.map(|attempt| attempt["node"].as_str().expect("a name").to_owned()).collect();
    nodes.sort_unstable();
    nodes
}

fn log(stage: &Stage, job: &str, task: u32) -> String {
    let output = Command::new(program())
        .args(["logs", &format!("{job}/{task}")])
        .env("HOME", stage.path("."))
        .env("DAYAN_URL", format!("http://{}", stage.address()))
        .env("DAYAN_TOKEN", &stage.member)
        .output()
        .expect("it runs");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_gang_runs_over_the_machines_of_a_fabric_as_close_together_as_can_be() {
    let stage = three_machines();
    let run = "echo $DAYAN_NODE_RANK of $DAYAN_NODES on $DAYAN_NODELIST";
    let gang = |key: &str, gang: &str| {
        let job = stage.submit_with(run, key, &format!("gang: {gang}\n"));
        stage.ended(&job);
        job
    };
    let close = gang("close", "{nodes: 2, same: [fabric], near: leaf}");
    assert_eq!(nodes(&stage, &close), ["three", "two"]);
    let said = log(&stage, &close, 1);
    assert!(
        said.starts_with("1 of 2 on t") && said.contains("two") && said.contains("three"),
        "{said}"
    );
    // Three are under no leaf; five nowhere, and with three of them it starts.
    let wide = gang("wide", "{nodes: 3, same: [fabric], near: leaf}");
    assert_eq!(nodes(&stage, &wide), ["one", "three", "two"]);
    let elastic = gang("elastic", "{nodes: 5, min: 2, same: [fabric]}");
    assert_eq!(nodes(&stage, &elastic), ["one", "three", "two"]);
    assert!(log(&stage, &elastic, 2).starts_with("2 of 3 on"));
    let shown = stage.show(&elastic).expect("an answer");
    assert_eq!((&shown["state"], &shown["tasks"]["total"]), (&"succeeded".into(), &3.into()));
}

#[test]
fn a_task_goes_where_what_it_asks_for_is_and_nowhere_else() {
    let stage = three_machines();
    let job = stage.submit_with("true", "there", "placement: {features: [two]}\n");
    stage.ended(&job);
    assert_eq!(nodes(&stage, &job), ["two"]);
    let job = stage.submit_with("true", "nowhere", "placement: {features: [two, warp-drive]}\n");
    until("a reason", || {
        let shown = stage.show(&job)?;
        let waiting = shown["waiting"].as_array()?;
        let why = waiting.iter().find(|why| why["code"] == "pool.feature")?;
        why["message"].as_str()?.contains("warp-drive").then_some(())
    });
}
