//! Checkpoints, end to end: a task that is taken back at one site goes on at another from where it was;
//! so does one whose site is lost, from the last state that was whole.

mod support;

use serde_json::Value;
use support::{Stage, host, until};

/// Counts, and saves the count when it is asked to. `hold`: from then on it writes without an end, so that
/// nothing it saves is whole. `end`: it is told to have done its work.
const COUNTER: &str = r#"
state="$DAYAN_CHECKPOINT"
n=$(cat "$state/n" 2>/dev/null || echo 0)
first=$n
save() {
    echo "$n" > "$state/n.new" && mv "$state/n.new" "$state/n"
    echo "saved $n"
    if [ -e "$1/hold" ]; then
        rm "$1/hold"
        echo torn > "$state/n"
        while :; do echo x >> "$state/torn"; sleep 0.1; done
    fi
}
trap 'save "$1"' USR1
echo "from $first, checkpoint ${DAYAN_CHECKPOINT_NUMBER:-none}"
until [ -e "$1/end" ]; do n=$((n + 1)); sleep 0.05; done
ls -A "$state" | tr '\n' ' ' > left
echo "$first ${DAYAN_CHECKPOINT_NUMBER:-none} $DAYAN_ATTEMPT $(cat left)" > result
"#;

const LAST: &str = "lab/demo/result";

fn member(stage: &Stage, args: &[&str]) -> Value {
    let output = stage.member_run(args, "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}");
    serde_json::from_slice(&output.stdout).unwrap_or(Value::Null)
}

/// Submits the counter; `more` are further keys of its job file.
fn count(stage: &Stage, name: &str, more: &str) -> String {
    std::fs::write(stage.path("count.sh"), COUNTER).expect("written");
    let folder = stage.path("");
    let folder = folder.display();
    let text = format!(
        "version: 1\nname: {name}\ntype: batch\nproject: lab/demo\n\
         resources: {{cpus: 1, memory: 64MB, time: 10m}}\n\
         outputs: [{{from: result, to: dayan://{LAST}}}]\n\
         retry: {{max: 3, resume: checkpoint}}\non_lost_link: {{keep: 0s}}\n{more}\
         run: sh {folder}/count.sh {folder}; echo the shell goes on\n"
    );
    let file = format!("{name}.yaml");
    std::fs::write(stage.path(&file), text).expect("written");
    member(stage, &["submit", &file])["job"].as_str().expect("a job").to_owned()
}

/// Lets the counter end; the count it began its last attempt with, the checkpoint, the attempt, and the
/// names in the folder of its state.
fn result(stage: &Stage, job: &str) -> (u64, String, u32, Vec<String>) {
    std::fs::write(stage.path("end"), "").expect("written");
    let shown = stage.ended(job);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    let output = stage.member_run(&["data", "get", &format!("dayan://{LAST}"), "-"], "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut words = text.split_whitespace().map(str::to_owned);
    let mut next = || words.next().expect("a word");
    let first = next().parse().expect("a number");
    let (checkpoint, attempt) = (next(), next().parse().expect("a number"));
    (first, checkpoint, attempt, words.collect())
}

fn saved(stage: &Stage, job: &str) -> Option<u64> {
    stage.show(job)?["checkpoints"][0]["number"].as_u64()
}

#[test]
fn a_task_that_is_taken_back_goes_on_at_another_site_from_its_number() {
    let mut stage = Stage::empty(support::Serve::default());
    stage.add_spot_pool("here", &["--cpus", "1"]);
    let more = "market: {mode: spot}\ncheckpoint: {path: state}\n";
    let job = count(&stage, "counter", more);
    stage.running(&job, 1);
    until("the counter", || {
        let output = stage.member_run(&["logs", &job], "");
        String::from_utf8_lossy(&output.stdout).contains("from 0").then_some(())
    });
    // It pays less, and its place is wanted by one that pays more.
    let big = format!("{}/big.yaml", stage.path("").display());
    std::fs::write(
        &big,
        "version: 1\nname: big\ntype: batch\nproject: lab/demo\n\
         resources: {cpus: 1, memory: 64MB, time: 10m}\nrun: sleep 2\n",
    )
    .expect("written");
    let big = member(&stage, &["submit", &big])["job"].as_str().expect("a job").to_owned();
    until("the first checkpoint", || saved(&stage, &job));
    let taken = until("the end of the first attempt", || {
        let shown = stage.show(&job)?;
        let attempts = shown["attempts"].as_array()?.clone();
        attempts.iter().any(|a| a["attempt"] == 1 && a["ended_at"].is_string()).then_some(shown)
    });
    assert_eq!(taken["attempts"].as_array().map(Vec::len), Some(1), "{taken:#}");
    let names = member(&stage, &["data", "ls", "dayan://lab/demo/checkpoints/"]);
    assert_eq!(names.as_array().map(Vec::len), Some(1), "{names}");

    // Another provider's machine.
    stage.add_spot_pool("there", &["--cpus", "1"]);
    stage.running(&job, 1);
    let (first, checkpoint, attempt, state) = result(&stage, &job);
    assert!(first > 0, "it went on from {first}");
    assert_eq!((checkpoint.as_str(), attempt), ("1", 2));
    assert_eq!(state, ["n"], "what was saved, and nothing else");
    assert_eq!(stage.ended(&big)["state"], "succeeded");
    assert_eq!(stage.billed_attempts(&job), [1, 2], "both attempts are billed");
    stage.assert_sound();
}

#[test]
fn a_task_whose_site_is_lost_goes_on_from_the_last_state_that_was_whole() {
    let mut stage = Stage::empty(support::Serve::default());
    stage.add_pool("here", &["--cpus", "1"]);
    let job = count(&stage, "counter", "checkpoint: {path: state, every: 1s, grace: 30s}\n");
    let before = until("two checkpoints", || saved(&stage, &job).filter(|number| *number >= 2));
    // The agent is killed, and the next one goes on saving.
    stage.kill_agent("here");
    stage.start_again("here");
    until("a checkpoint of the next agent", || saved(&stage, &job).filter(|n| *n > before));
    // In the middle of the next one the whole site is gone.
    std::fs::write(stage.path("hold"), "").expect("written");
    until("the torn state", || (!stage.path("hold").exists()).then_some(()));
    let whole = saved(&stage, &job).expect("some");
    for pid in stage.site("here") {
        host::signal(pid, rustix::process::Signal::KILL);
    }
    stage.add_pool("there", &["--cpus", "1"]);
    until("the second attempt", || {
        let shown = stage.show(&job)?;
        let attempts = shown["attempts"].as_array()?.clone();
        attempts.iter().any(|a| a["attempt"] == 2 && a["state"] == "running").then_some(())
    });
    assert_eq!(saved(&stage, &job), Some(whole), "what was torn was not saved");
    let (first, checkpoint, attempt, state) = result(&stage, &job);
    assert!(first > 0, "it went on from {first}");
    assert_eq!((checkpoint, attempt), (whole.to_string(), 2));
    assert_eq!(state, ["n"], "nothing of what was torn");
    stage.assert_sound();
}

#[test]
fn a_task_that_says_so_by_its_exit_status_goes_on_from_what_it_left() {
    let mut stage = Stage::empty(support::Serve::default());
    stage.add_pool("here", &["--cpus", "1"]);
    let file = "version: 1\nname: steps\ntype: batch\nproject: lab/demo\n\
                resources: {cpus: 0.1, memory: 16MB, time: 10m}\n\
                outputs: [{from: ckpt/log, to: dayan://lab/demo/result}]\n\
                retry: {max: 5, when: ['exit:75'], resume: checkpoint}\n\
                checkpoint: {path: ckpt}\n\
                run: echo \"$DAYAN_ATTEMPT ${DAYAN_CHECKPOINT_NUMBER:-none}\" >> ckpt/log; \
                [ \"$(wc -l < ckpt/log)\" -ge 3 ] || exit 75\n";
    std::fs::write(stage.path("steps.yaml"), file).expect("written");
    let job = member(&stage, &["submit", "steps.yaml"])["job"].as_str().expect("a job").to_owned();
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    let output = stage.member_run(&["data", "get", "dayan://lab/demo/result", "-"], "");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 none\n2 1\n3 2\n");
    stage.assert_sound();
}
