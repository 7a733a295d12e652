//! A machine with podman or docker as a pool of an exchange: a job's image runs there, once, whoever dies.

#[path = "../../engines/tests/containers/lab.rs"]
#[allow(dead_code, reason = "the engine's own tests take the rest")]
mod lab;
mod support;

use std::collections::BTreeMap;

use dayan_engines::Containers;
use lab::Lab;
use support::{Serve, Stage, until};

const IMAGE: &str = "image: localhost/dayan-test:1\n";

fn boxes(stage: &mut Stage, lab: &Lab, more: &[&str]) {
    let socket = lab.socket().display().to_string();
    let words = ["--container-socket", &socket, "--pull", "never", "--cpus", "2"];
    stage.add_engine(lab.name(), "boxes", &[&words, more].concat());
}

/// How often each container was started, by podman's own account.
fn starts(lab: &Lab) -> BTreeMap<String, usize> {
    let words = ["events", "--stream=false", "--filter", "event=start", "--format", "{{.Name}}"];
    let mut starts = BTreeMap::new();
    for name in lab.run(&words).lines() {
        *starts.entry(name.to_owned()).or_insert(0) += 1;
    }
    starts
}

#[test]
fn a_jobs_image_runs_once_though_everybody_dies() {
    const TASKS: usize = 16;
    let Some(lab) = Lab::start() else { return };
    let mut stage = Stage::empty(Serve::default());
    boxes(&mut stage, &lab, &[]);
    let pools = stage.operate(&["pools"]);
    let pool = pools.as_array().and_then(|pools| pools.first()).expect("one").clone();
    assert_eq!(pool["engine"], "podman", "{pool}");

    // `kill` and `wait` are the shell's; the program is of the image.
    let run = "/bin/busybox sleep 1; test -d /work && test ! -e /usr/bin/dpkg";
    let job = stage.submit_with(run, "array", &format!("{IMAGE}array: {{range: 1-{TASKS}}}\n"));
    let begun = |some: usize| until("some tasks", || (starts(&lab).len() >= some).then_some(()));
    begun(2);
    stage.kill_agent("boxes");
    lab.kill_service();
    lab.start_service();
    stage.start_cluster("boxes");
    begun(6);
    lab.kill_service();
    stage.kill_server();
    lab.start_service();
    stage.start_server();
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown}");
    assert_eq!(shown["tasks"]["succeeded"], TASKS, "{shown}");
    assert_eq!(shown["money"]["held"], "0.00", "{shown}");
    let starts = starts(&lab);
    assert!(starts.values().all(|times| *times == 1), "one was started twice: {starts:?}");
    assert_eq!(stage.billed().get(&job), Some(&TASKS), "each was billed once");
    stage.assert_sound();
}

#[test]
fn a_job_without_an_image_waits_for_a_pool_that_runs_it() {
    let Some(lab) = Lab::start() else { return };
    let mut stage = Stage::empty(Serve::default());
    boxes(&mut stage, &lab, &[]);
    let job = stage.submit_with("echo x", "plain", "");
    let waits = until("a reason", || {
        let shown = stage.show(&job)?;
        let waiting = shown["waiting"].as_array()?.first()?.clone();
        Some(waiting)
    });
    assert!(waits.to_string().contains("jobs_without_image"), "{waits}");
    // The same machine with an image for such jobs.
    stage.kill_agent("boxes");
    stage.start_agent_with("boxes", &["--default-image", "localhost/dayan-test:2"]);
    stage.assert_ran_once(&job);
}

/// Docker forgets what it has told of, so a task counts its starts itself.
#[test]
fn a_jobs_image_runs_once_though_docker_and_the_agent_die() {
    const TASKS: usize = 8;
    let Some(lab) = Lab::start_one(Containers::Docker) else { return };
    let mut stage = Stage::empty(Serve::default());
    boxes(&mut stage, &lab, &[]);
    let pools = stage.operate(&["pools"]);
    assert_eq!(pools[0]["engine"], "docker", "{pools}");
    let run = "echo started; /bin/busybox sleep 1; test -d /work && test ! -e /usr/bin/dpkg";
    let job = stage.submit_with(run, "array", &format!("{IMAGE}array: {{range: 1-{TASKS}}}\n"));
    let ended = |stage: &Stage, some: u64| {
        let enough = || stage.show(&job)?["tasks"]["succeeded"].as_u64().filter(|n| *n >= some);
        until("some tasks", enough)
    };
    ended(&stage, 1);
    stage.kill_agent("boxes");
    lab.kill_service();
    lab.start_service();
    stage.start_cluster("boxes");
    ended(&stage, 3);
    lab.kill_service();
    lab.start_service();
    let shown = stage.ended(&job);
    assert_eq!(shown["tasks"]["succeeded"], TASKS, "{shown}");
    for task in 0..TASKS {
        let said = stage.logs(&format!("{job}/{task}")).expect("it is kept");
        assert_eq!(said.matches("started").count(), 1, "task {task}: {said}");
    }
    assert_eq!(stage.billed().get(&job), Some(&TASKS), "each was billed once");
    assert_eq!(lab.run(&["ps", "-a", "-q"]).trim(), "", "none is left");
    stage.assert_sound();
}

#[test]
fn a_command_beside_a_task_runs_in_its_container() {
    runs_beside(Containers::Podman);
}

#[test]
fn a_command_beside_a_task_runs_in_dockers_container() {
    runs_beside(Containers::Docker);
}

fn runs_beside(runs: Containers) {
    let Some(lab) = Lab::start_one(runs) else { return };
    let mut stage = Stage::empty(Serve::default());
    boxes(&mut stage, &lab, &[]);
    let run = "|\n  touch /work/here\n  /bin/busybox sleep 600";
    let job = stage.submit_with(run, "stays", &format!("{IMAGE}env: {{COLOUR: red}}\n"));
    stage.running(&job, 1);
    // It runs once its container does, which is a moment before its first line.
    let script = "until [ -e /work/here ]; do /bin/busybox sleep 0.1; done; echo $COLOUR; \
                  /bin/busybox ls /work; read line; echo $line; exit 9";
    let output = stage.exec(&job, b"typed\n", &["/bin/busybox", "sh", "-c", script]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(9), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "red\nhere\ntyped\n", "{said}");
    stage.operate(&["cancel", &job]);
    stage.ended(&job);
}

#[test]
fn a_task_in_a_container_goes_on_elsewhere_from_its_checkpoint() {
    let Some(lab) = Lab::start() else { return };
    let mut stage = Stage::empty(Serve::default());
    boxes(&mut stage, &lab, &["--default-image", "localhost/dayan-test:1"]);
    support::counter::moves_to_processes(&mut stage, "boxes", "/bin/busybox ");
    stage.assert_sound();
}
