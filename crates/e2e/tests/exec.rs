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

fn is_there(program: &str, words: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(words).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A shell at a terminal beside a task that is isolated so, and is told these lines.
fn shell(isolation: &str, lines: &str) -> (Option<i32>, String) {
    use std::io::Write as _;
    let mut stage = Stage::empty(support::Serve::default());
    stage.add_pool("main", &["--cpus", "1", "--isolation", isolation]);
    let job = stage.submit("sleep 600", "task");
    stage.running(&job, 1);
    let line = format!("{} exec {job} sh", program().display());
    // It gives its command a terminal.
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("HOME", stage.path("."))
        .env("SHELL", "/bin/sh")
        .env("DAYAN_URL", format!("http://{}", stage.address()))
        .env("DAYAN_TOKEN", &stage.member)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(lines.as_bytes()).expect("it listens");
    let mut said = String::new();
    child.stdout.take().expect("piped").read_to_string(&mut said).expect("read");
    let code = child.wait().expect("ended").code();
    drop(stdin);
    stage.command(&stage.member, &["cancel", &job]);
    stage.ended(&job);
    (code, said)
}

#[test]
fn a_shell_at_a_terminal_has_job_control_and_ends_with_its_own_status() {
    if !is_there("script", &["--version"]) {
        eprintln!("SKIPPED: there is no script(1)");
        return;
    }
    let check = |isolation: &str| {
        let lines = "sleep 300 &\nkill %1; echo at=$((40 + 2)) pid=$$ > /dev/tty\nexit 7\n";
        let (code, said) = shell(isolation, lines);
        assert_eq!(code, Some(7), "{isolation}: {said}");
        assert!(said.contains("at=42"), "{isolation}: {said}");
        for complaint in ["job control", "tty process group"] {
            assert!(!said.contains(complaint), "{isolation}: {said}");
        }
        let pid = said.split("at=42 pid=").nth(1).and_then(|rest| rest.split_whitespace().next());
        pid.and_then(|pid| pid.parse::<u32>().ok()).expect("a process id")
    };
    check("none");
    if is_there("bwrap", &["--ro-bind", "/", "/", "--unshare-pid", "--proc", "/proc", "/bin/true"])
    {
        assert!(check("bubblewrap") < 100, "it is among the task's own processes");
    } else {
        eprintln!("SKIPPED in part: bubblewrap may not make namespaces here");
    }
}
