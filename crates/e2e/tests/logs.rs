//! What tasks write is seen as it is written, and after their end without the site that ran them.

mod support;

use std::io::Read as _;
use std::process::{Child, Command, Stdio};

use support::{Stage, program, until};

/// `dayan logs`, running.
struct Follower {
    child: Child,
    seen: String,
}

impl Follower {
    fn of(stage: &Stage, job: &str) -> Self {
        let mut command = Command::new(program());
        command.args(["logs", "-f", job]).env("HOME", stage.path("."));
        command.env("DAYAN_URL", format!("http://{}", stage.address()));
        command.env("DAYAN_TOKEN", &stage.member).stdout(Stdio::piped());
        let child = command.spawn().expect("it starts");
        Self { child, seen: String::new() }
    }

    /// Reads until what was seen ends so. What never comes is waited for until the test is ended.
    fn sees(&mut self, end: &str) {
        let out = self.child.stdout.as_mut().expect("piped");
        let mut bytes = [0; 4_096];
        while !self.seen.ends_with(end) {
            let read = out.read(&mut bytes).expect("read");
            assert_ne!(read, 0, "it ended with {:?}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
    }

    fn ends(mut self) -> String {
        let mut rest = String::new();
        self.child.stdout.take().expect("piped").read_to_string(&mut rest).expect("read");
        assert!(self.child.wait().expect("ended").success());
        format!("{}{rest}", self.seen)
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_follower_sees_each_line_before_the_next_is_written_and_leaves_at_the_end() {
    let stage = Stage::build("1");
    let go = stage.path("go");
    std::fs::create_dir(&go).expect("a folder");
    let at = go.display();
    let run = format!(
        "|\n  for n in 1 2 3; do\n    echo line $n\n    until test -e {at}/$n; do sleep 0.02; done\n  done"
    );
    let job = stage.submit(&run, "slow");
    stage.running(&job, 1);
    let mut follower = Follower::of(&stage, &job);
    for n in 1..=3 {
        follower.sees(&format!("line {n}\n"));
        std::fs::write(go.join(n.to_string()), "").expect("a file");
    }
    assert_eq!(follower.ends(), "line 1\nline 2\nline 3\n");
}

#[test]
fn logs_outlive_the_site_and_a_restart_of_the_exchange() {
    let mut stage = Stage::build("1");
    let job = stage.submit("seq 20000", "count");
    stage.assert_ran_once(&job);
    let numbers: Vec<String> = (1..=20_000).map(|n| n.to_string()).collect();
    let expect = numbers.join("\n") + "\n";
    // They may still be on their way: then the agent is asked.
    assert_eq!(stage.logs(&job).as_deref(), Some(&*expect));
    let database = stage.path("exchange/logs.db");
    let kept = || std::fs::metadata(&database).is_ok_and(|file| file.len() > 0);
    until("logs at the exchange", || {
        let mark = stage.path("agent-main/logs/handed-over.json");
        (kept() && mark.exists()).then_some(())
    });
    stage.kill_agent("main");
    std::fs::remove_dir_all(stage.path("agent-main")).expect("the site is gone");
    assert_eq!(stage.logs(&job).as_deref(), Some(&*expect));
    stage.kill_server();
    stage.start_server();
    until("logs again", || (stage.logs(&job)? == expect).then_some(()));
}
