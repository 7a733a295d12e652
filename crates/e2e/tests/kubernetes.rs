//! A Kubernetes cluster as a pool of an exchange: joined by one command, and a consumer notices nothing.
//! On the fake of an API server everywhere, and on a real control plane where `KUBEBUILDER_ASSETS` names
//! one; nodes are twins of a kubelet.

mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use support::{Serve, Stage, program, until};

/// The one image that the twins know: programs of this machine.
const IMAGE: &str = "twin/tools:1";

/// A cluster in a process of its own.
struct Cluster {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    config: String,
    /// A folder that all nodes and the agent see.
    volume: String,
}

impl Cluster {
    /// Starts one, or says why it cannot be had here and returns none.
    fn start(kind: &str) -> Option<Self> {
        let lab: PathBuf = program().with_file_name("examples").join("kube_lab");
        let said = Command::new(program()).arg("kube-exec").output().expect("it runs");
        let knows = String::from_utf8_lossy(&said.stderr).contains("usage: kube-exec");
        if !lab.exists() || !knows {
            println!("SKIPPED: built without Kubernetes (--features dayan-cli/kubernetes)");
            return None;
        }
        if kind == "real" && std::env::var_os("KUBEBUILDER_ASSETS").is_none() {
            println!("SKIPPED: no Kubernetes here (KUBEBUILDER_ASSETS names no control plane)");
            return None;
        }
        let mut child = Command::new(lab)
            .arg(kind)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped"));
        let mut cluster =
            Self { child, orders, answers, config: String::new(), volume: String::new() };
        cluster.config = cluster.hear();
        cluster.volume = cluster.hear();
        Some(cluster)
    }

    fn hear(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("it answers");
        assert!(line.ends_with('\n'), "the cluster has ended");
        line.trim().to_owned()
    }

    fn order(&mut self, words: &str) -> String {
        let orders = self.orders.as_mut().expect("open until it is dropped");
        writeln!(orders, "{words}").expect("it listens");
        self.hear()
    }

    /// How many pods were started, each once.
    fn started(&mut self) -> usize {
        let said = self.order("started");
        let (all, different) = said.split_once(' ').expect("two numbers");
        assert_eq!(all, different, "a pod was started twice");
        all.parse().expect("a number")
    }

    fn join(&self, stage: &mut Stage, more: &[&str]) {
        let words = ["--kubeconfig", &self.config, "--kube-default-image", IMAGE];
        stage.add_engine("kubernetes", "kube", &[&words, more].concat());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // It puts away what it started.
        self.orders = None;
        let _ = self.child.wait();
    }
}

/// What a member's command says that must go well.
fn member(stage: &Stage, args: &[&str]) -> Value {
    let output = stage.member_run(args, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn logs(stage: &Stage, task: &str) -> String {
    let said = stage.member_run(&["logs", task], "");
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// Tasks run once and are billed once, though the agent, the API server and the exchange are killed in
/// the middle; gangs meet, logs are read, what is cancelled ends.
fn a_life(kind: &str) {
    const TASKS: usize = 40;
    let Some(mut cluster) = Cluster::start(kind) else { return };
    let mut stage = Stage::empty(Serve::default());
    cluster.join(&mut stage, &[]);
    let pools = stage.operate(&["pools"]);
    let pool = pools.as_array().and_then(|pools| pools.first()).expect("one").clone();
    assert_eq!(pool["engine"], "kubernetes", "{pool}");

    let file = stage.path("ran");
    let run = format!("echo ran >> {}; sleep 1; echo from $DAYAN_TASK", file.display());
    let runs = || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count());
    let array = stage.submit_with(&run, "array", &format!("array: {{range: 1-{TASKS}}}\n"));
    until("some tasks", || (runs() >= 3).then_some(()));
    stage.kill_agent("kube");
    cluster.order("kill");
    stage.kill_server();
    stage.start_server();
    cluster.order("revive");
    stage.start_cluster("kube");
    let shown = stage.ended(&array);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(shown["tasks"]["succeeded"], TASKS, "{shown}");
    assert_eq!(shown["money"]["held"], "0.00", "{shown}");
    assert_eq!((runs(), cluster.started()), (TASKS, TASKS), "each ran once");
    assert_eq!(stage.billed().get(&array), Some(&TASKS), "each was billed once");
    let said = logs(&stage, &format!("{array}/7"));
    assert!(said.contains("from 7"), "{said}");

    // A gang finds itself, though the API server is away while it runs.
    let go = stage.path("go");
    let run = format!(
        "|\n  echo rank $DAYAN_NODE_RANK of $DAYAN_NODES at $DAYAN_HEAD\n  until test -e {}; do sleep 0.1; done",
        go.display()
    );
    let gang = stage.submit_with(&run, "gang", "gang: {nodes: 3}\n");
    stage.running(&gang, 3);
    cluster.order("kill");
    cluster.order("revive");
    std::fs::write(&go, "").expect("written");
    let shown = stage.ended(&gang);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(stage.billed().get(&gang), Some(&3), "each member was billed once");
    let said = logs(&stage, &format!("{gang}/2"));
    assert!(said.contains("rank 2 of 3 at dayan-"), "{said}");

    // Cancelled, it ends, and what it ran is paid.
    let job = stage.submit("sleep 600", "cancelled");
    stage.running(&job, 1);
    stage.operate(&["cancel", &job]);
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "cancelled", "{shown}");
    assert_eq!(shown["money"]["held"], "0.00", "{shown}");
    assert_eq!(stage.billed_attempts(&job), [1], "{shown}");
    assert_eq!(cluster.started(), TASKS + 3 + 1);
    stage.assert_sound();
}

#[test]
fn a_fake_cluster_joins_and_its_tasks_run_once_though_everybody_dies() {
    a_life("fake");
}

#[test]
fn a_real_cluster_joins_and_its_tasks_run_once_though_everybody_dies() {
    a_life("real");
}

/// What a job brings along, what it leaves, what it may know, and who visits it: as on any other pool.
fn data_and_visits(kind: &str) {
    let Some(cluster) = Cluster::start(kind) else { return };
    let mut stage = Stage::empty(Serve::default());
    // A pool without a volume takes no inputs, and says so.
    cluster.join(&mut stage, &[]);
    std::fs::create_dir(stage.path("scene")).expect("made");
    std::fs::write(stage.path("scene/a.txt"), "frame").expect("written");
    member(&stage, &["data", "put", "scene", "dayan://lab/demo/scene/"]);
    let secret = stage.member_run(&["secret", "set", "lab/demo", "tok"], "s3cr3t\n");
    assert!(secret.status.success(), "{}", String::from_utf8_lossy(&secret.stderr));
    let text = "version: 1\nname: walk\ntype: batch\nproject: lab/demo\n\
         resources: {cpus: 0.01, memory: 16MB, time: 10m}\n\
         inputs: [{from: dayan://lab/demo/scene/, to: in/}]\n\
         outputs: [{from: out/, to: dayan://lab/demo/out/}]\n\
         secrets: {TOKEN: tok}\n\
         run: |\n\
         \x20 mkdir out\n\
         \x20 tr a-z A-Z < in/a.txt > out/a.txt\n\
         \x20 [ \"$TOKEN\" = s3cr3t ] || exit 3\n\
         \x20 until test -e in/go; do sleep 0.05; done\n";
    std::fs::write(stage.path("walk.yaml"), text).expect("written");
    let refused = stage.member_run(&["submit", "walk.yaml"], "");
    let why = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && why.contains("not_offered.data_store"), "{why}");
    // The same cluster with a volume that the agent sees.
    stage.kill_agent("kube");
    stage.start_agent_with("kube", &["--kube-volume", &format!("host:{}", cluster.volume)]);
    let made = until("the pool to take it", || {
        let taken = stage.member_run(&["submit", "walk.yaml"], "");
        serde_json::from_slice::<Value>(&taken.stdout).ok()
    });
    let job = made["job"].as_str().expect("a job").to_owned();
    stage.running(&job, 1);
    let out = stage.exec(&job, b"typed\n", &["sh", "-c", "ls in; echo $DAYAN_JOB; cat; exit 7"]);
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(7), "{said}");
    assert_eq!(String::from_utf8_lossy(&out.stdout), format!("a.txt\n{job}\ntyped\n"), "{said}");
    // The agent dies and finds it again; then it may end.
    stage.kill_agent("kube");
    stage.start_cluster("kube");
    until("a way in", || {
        let out = stage.exec(&job, b"", &["touch", "in/go"]);
        out.status.success().then_some(())
    });
    stage.assert_ran_once(&job);
    let got = stage.member_run(&["data", "get", "dayan://lab/demo/out/a.txt", "-"], "");
    assert_eq!(String::from_utf8_lossy(&got.stdout), "FRAME");
    let left = || std::fs::read_dir(&cluster.volume).expect("listed").flatten();
    until("the volume to be empty", || {
        let agents = left().map(|agent| agent.path().join("attempts"));
        let tasks = agents.flat_map(|folder| std::fs::read_dir(folder).into_iter().flatten());
        (tasks.count() == 0).then_some(())
    });
    // One that is asked to save does, and goes on elsewhere.
    support::counter::moves_to_processes(&mut stage, "kube", "");
    stage.assert_sound();
}

#[test]
fn data_and_visitors_reach_a_task_of_a_fake_cluster() {
    data_and_visits("fake");
}

#[test]
fn data_and_visitors_reach_a_task_of_a_real_cluster() {
    data_and_visits("real");
}
