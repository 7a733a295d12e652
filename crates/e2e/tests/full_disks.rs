//! Full disks where data lies: at the exchange's data store, in a site's cache, where results are
//! published. Each says so, loses nothing, and goes on when there is room again. A limit on the size of
//! the process's files stands in for the disk.

mod support;

use serde_json::Value;
use support::{Serve, Stage, limit_files, until};

/// Larger than any file that these programs write for themselves.
const LARGE: usize = 24_000_000;
/// What a file may have while the disk is full.
const ROOM: u64 = 16_000_000;

fn stage() -> Stage {
    let ignores = Some("trap '' XFSZ".to_owned());
    let serve = Serve { shell: ignores.clone(), agent_shell: ignores, ..Serve::default() };
    let mut stage = Stage::empty(serve);
    let published = stage.path("published").display().to_string();
    stage.add_pool("main", &["--cpus", "1", "--publish-root", &published]);
    std::fs::write(stage.path("large"), vec![5; LARGE]).expect("written");
    stage
}

fn member(stage: &Stage, args: &[&str]) -> Value {
    let output = stage.member_run(args, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

fn submit(stage: &Stage, name: &str, rest: &str) -> String {
    let file = format!("{name}.yaml");
    let text = format!(
        "version: 1\nname: {name}\ntype: batch\nproject: lab/demo\n\
         resources: {{cpus: 0.1, memory: 64MB, time: 10m}}\nretry: {{max: 0}}\n{rest}"
    );
    std::fs::write(stage.path(&file), text).expect("written");
    member(stage, &["submit", &file])["job"].as_str().expect("a job").to_owned()
}

/// Why a job's newest attempt came to nothing.
fn reason(stage: &Stage, job: &str) -> String {
    let shown = stage.ended(job);
    assert_eq!(shown["state"], "failed", "{shown:#}");
    shown["attempts"][0]["reason"].as_str().expect("a reason").to_owned()
}

/// Tries the job again, which goes well.
fn goes_on(stage: &Stage, job: &str) {
    member(stage, &["retry", job]);
    until("the job to succeed", || (stage.show(job)?["state"] == "succeeded").then_some(()));
}

#[test]
fn a_full_data_store_refuses_and_goes_on_where_it_was() {
    let stage = stage();
    let put = ["data", "put", "large", "dayan://lab/demo/large"];
    limit_files(stage.server_pid(), Some(ROOM));
    let refused = stage.member_run(&put, "");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("data.disk_full"), "{said}");
    assert!(said.contains("make room"), "it says what to do: {said}");
    assert_eq!(member(&stage, &["data", "ls", "dayan://lab/demo/"]), serde_json::json!([]));
    // Results that have no room there are said to have none, and are not lost with it.
    let to = "outputs: [{from: large, to: dayan://lab/demo/result}]\n";
    let job = submit(&stage, "result", &format!("{to}run: head -c {LARGE} /dev/zero > large\n"));
    let why = reason(&stage, &job);
    assert!(why.contains("data.disk_full"), "{why}");
    // What there is room for goes on as before.
    std::fs::write(stage.path("small"), "small").expect("written");
    member(&stage, &["data", "put", "small", "dayan://lab/demo/small"]);
    limit_files(stage.server_pid(), None);
    let sent = member(&stage, &put);
    let bytes = sent["sent_bytes"].as_u64().expect("a number");
    assert!(bytes < LARGE as u64, "it went on where it was: {sent}");
    goes_on(&stage, &job);
    let listed = member(&stage, &["data", "ls", "dayan://lab/demo/"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(3), "{listed}");
    stage.assert_sound();
}

#[test]
fn a_full_cache_fails_the_start_and_says_so() {
    let stage = stage();
    member(&stage, &["data", "put", "large", "dayan://lab/demo/large"]);
    let from = "inputs: [{from: dayan://lab/demo/large, to: large}]\n";
    limit_files(stage.agent_pid("main"), Some(ROOM));
    let job = submit(&stage, "input", &format!("{from}run: test $(wc -c < large) = {LARGE}\n"));
    let why = reason(&stage, &job);
    assert!(why.contains("dayan://lab/demo/large") && why.contains("make room"), "{why}");
    // Others are not kept from running.
    let other = submit(&stage, "other", "run: 'true'\n");
    assert_eq!(stage.ended(&other)["state"], "succeeded");
    limit_files(stage.agent_pid("main"), None);
    goes_on(&stage, &job);
    stage.assert_sound();
}

#[test]
fn results_without_room_where_they_are_published_are_said_to_have_none() {
    let stage = stage();
    let to = "outputs: [{from: large, to: data://results/large}]\n";
    let run = format!("{to}run: head -c {LARGE} /dev/zero > large\n");
    let before = submit(
        &stage,
        "before",
        "outputs: [{from: x, to: data://results/large}]\nrun: echo old > x\n",
    );
    assert_eq!(stage.ended(&before)["state"], "succeeded");
    limit_files(stage.agent_pid("main"), Some(ROOM));
    let job = submit(&stage, "output", &run);
    let why = reason(&stage, &job);
    assert!(why.contains("too large") || why.contains("No space"), "{why}");
    let published = stage.path("published/results/large");
    assert_eq!(std::fs::read(&published).expect("there"), b"old\n", "what was there is untouched");
    limit_files(stage.agent_pid("main"), None);
    goes_on(&stage, &job);
    assert_eq!(std::fs::metadata(&published).expect("there").len(), LARGE as u64);
    stage.assert_sound();
}
