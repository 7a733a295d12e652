//! A task that counts, saves its count when it is asked to, and has done its work once it goes on from
//! one: for pools of any engine.

use super::{Stage, until};

/// Has it run on this pool, takes the pool out of service, and sees that it goes on from its count on a
/// pool of plain processes. `applets`: what small programs are called by there, such as `/bin/busybox `.
pub fn moves_to_processes(stage: &mut Stage, from: &str, applets: &str) {
    let text = format!(
        "version: 1\nname: counter\ntype: batch\nproject: lab/demo\n\
         resources: {{cpus: 0.5, memory: 64MB, time: 10m}}\n\
         outputs: [{{from: result, to: dayan://lab/demo/result}}]\n\
         retry: {{max: 3, resume: checkpoint}}\n\
         checkpoint: {{path: state, grace: 30s}}\n\
         run: |\n\
         \x20 n=0\n\
         \x20 [ ! -e \"$DAYAN_CHECKPOINT/n\" ] || read n < \"$DAYAN_CHECKPOINT/n\"\n\
         \x20 if [ \"$n\" -gt 0 ]; then echo \"$n $DAYAN_CHECKPOINT_NUMBER\" > result; exit 0; fi\n\
         \x20 save() {{ echo \"$n\" > \"$DAYAN_CHECKPOINT/new\"; \
         {applets}mv \"$DAYAN_CHECKPOINT/new\" \"$DAYAN_CHECKPOINT/n\"; }}\n\
         \x20 trap save USR1\n\
         \x20 echo counting\n\
         \x20 while :; do n=$((n + 1)); {applets}sleep 0.05; done\n"
    );
    std::fs::write(stage.path("counter.yaml"), text).expect("written");
    let output = stage.member_run(&["submit", "counter.yaml"], "");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let made: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let job = made["job"].as_str().expect("a job").to_owned();
    until("the counter", || {
        let output = stage.member_run(&["logs", &job], "");
        String::from_utf8_lossy(&output.stdout).contains("counting").then_some(())
    });
    stage.operate(&["pool", "suspend", from]);
    let shown = until("the end of the first attempt", || {
        let shown = stage.show(&job)?;
        shown["attempts"][0]["ended_at"].is_string().then_some(shown)
    });
    assert_eq!(shown["checkpoints"][0]["number"], 1, "{shown:#}");
    stage.add_pool("there", &["--cpus", "1"]);
    let shown = stage.ended(&job);
    assert_eq!(shown["state"], "succeeded", "{shown:#}");
    assert_eq!(shown["attempts"].as_array().map(Vec::len), Some(2), "{shown:#}");
    let output = stage.member_run(&["data", "get", "dayan://lab/demo/result", "-"], "");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut words = text.split_whitespace();
    let count: u64 = words.next().and_then(|word| word.parse().ok()).expect("a count");
    assert!(count > 0 && words.next() == Some("1"), "it went on from its checkpoint: {text}");
}
