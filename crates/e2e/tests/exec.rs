//! A command beside a running task: in its folder, with its environment, and without more rights.

mod support;

use std::io::Read as _;
use std::process::{Command, Stdio};

use support::{Stage, program, until};

/// A task that runs until it is told to end, and says that it does.
struct Waiting {
    job: String,
    go: std::path::PathBuf,
}

impl Waiting {
    fn on(stage: &Stage, key: &str) -> Self {
        let go = stage.path(&format!("{key}-go"));
        let at = go.display();
        let run = format!("|\n  touch here\n  until test -e {at}; do sleep 0.05; done");
        let job = stage.submit_with(&run, key, "env: {COLOUR: red}\n");
        stage.running(&job, 1);
        Self { job, go }
    }

    fn ends(&self, stage: &Stage) {
        std::fs::write(&self.go, "").expect("a file");
        stage.ended(&self.job);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn it_has_the_tasks_folder_environment_streams_and_its_own_exit_code() {
    let stage = Stage::build("1");
    let task = Waiting::on(&stage, "task");
    let script = "echo $DAYAN_JOB $COLOUR; ls; cat; echo oops >&2; exit 7";
    let output = stage.exec(&task.job, b"typed\n", &["sh", "-c", script]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), format!("{} red\nhere\ntyped\n", task.job));
    assert_eq!(text(&output.stderr), "oops\n");

    // More than all buffers on the way hold, both ways at once.
    let much: Vec<u8> = (0..8_000_000u32).map(|n| (n % 251) as u8).collect();
    let output = stage.exec(&task.job, &much, &["cat"]);
    assert!(output.stdout == much, "{} of {} bytes", output.stdout.len(), much.len());

    let output = stage.exec(&task.job, b"", &["no-such-program"]);
    assert_eq!(output.status.code(), Some(127), "{}", text(&output.stderr));

    // Whoever may not control the job is not let in; who did is in the journal.
    stage.operate(&["org", "create", "rival"]);
    stage.operate(&["user", "create", "r", "--org", "rival", "--role", "owner"]);
    let rival = stage.operate(&["token", "issue", "rival/r"]);
    let rival = rival["secret"].as_str().expect("a secret");
    let output = stage.exec_as(rival, &task.job, b"", &["true"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));

    task.ends(&stage);
    let output = stage.exec(&task.job, b"", &["true"]);
    assert_eq!(output.status.code(), Some(4));
    assert!(text(&output.stderr).contains("exec.not_running"), "{}", text(&output.stderr));
}

#[test]
fn it_ends_with_the_task_and_with_who_asked() {
    let stage = Stage::build("1");
    let task = Waiting::on(&stage, "task");
    let mark = stage.path("alive");
    let script = format!("while :; do date +%s%N > {}; sleep 0.05; done", mark.display());
    let start = || {
        let _ = std::fs::remove_file(&mark);
        let child = Command::new(program())
            .args(["exec", &task.job, "sh", "-c", &script])
            .env("HOME", stage.path("."))
            .env("DAYAN_URL", format!("http://{}", stage.address()))
            .env("DAYAN_TOKEN", &stage.member)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        until("a sign of the command", || mark.exists().then_some(()));
        child
    };
    let is_silent = || {
        until("silence", || {
            let before = std::fs::read(&mark).ok()?;
            support::pass(std::time::Duration::from_millis(500));
            (std::fs::read(&mark).ok()? == before).then_some(())
        });
    };
    let mut left = start();
    left.kill().expect("it runs");
    left.wait().expect("ended");
    is_silent();
    assert_eq!(stage.show(&task.job).expect("an answer")["state"], "running");

    let mut stays = start();
    task.ends(&stage);
    is_silent();
    let mut rest = String::new();
    stays.stdout.take().expect("piped").read_to_string(&mut rest).expect("read");
    assert!(!stays.wait().expect("ended").success(), "it was killed with the task");
}
