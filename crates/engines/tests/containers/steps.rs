//! Launches of several steps: what they see of each other, and that the next one begins once, at the
//! right place, whoever dies.

use dayan_engines::conformance::Bed;
use dayan_engines::{Image, Launch, Mount, Outcome, Step, StepRecord, Stream};
use dayan_units::{AttemptId, Span};

use super::lab::Lab;
use super::trials::Trial;

fn step(image: u32, script: &str) -> Step {
    Step {
        image: Image { name: format!("localhost/dayan-test:{image}"), ..Image::default() },
        argv: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        ..Step::default()
    }
}

impl Trial<'_> {
    fn starts(&mut self, steps: Vec<Step>, mounts: &[(&str, &str)]) -> AttemptId {
        let mount =
            |(from, at): &(&str, &str)| Mount { from: (*from).into(), at: (*at).to_owned() };
        let mounts = mounts.iter().map(mount).collect();
        let launch = Launch { steps, mounts, ..self.launch("never this") };
        let attempt = launch.attempt;
        for answer in self.engine.start(vec![launch]) {
            answer.expect("started");
        }
        attempt
    }

    fn records(&mut self, attempt: AttemptId) -> Vec<StepRecord> {
        let (mut bytes, mut at) = (Vec::new(), 0);
        loop {
            let chunk = self.engine.logs(attempt, Stream::Steps, at, 1 << 16).expect("read");
            if chunk.data.is_empty() {
                break;
            }
            at = chunk.next();
            bytes.extend(chunk.data);
        }
        let text = String::from_utf8(bytes).expect("text");
        text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect()
    }

    fn part(&mut self, attempt: AttemptId, stream: Stream, part: [u64; 2]) -> String {
        let (mut bytes, mut at) = (Vec::new(), part[0]);
        while at < part[1] {
            let left = usize::try_from(part[1] - at).expect("short");
            let chunk = self.engine.logs(attempt, stream, at, left).expect("read");
            assert!(!chunk.data.is_empty(), "{attempt} has not written so much");
            at = chunk.next();
            bytes.extend(chunk.data);
        }
        String::from_utf8(bytes).expect("text")
    }
}

#[test]
fn steps_follow_each_other_in_one_attempt() {
    let Some(lab) = Lab::start() else { return };
    let mut trial = Trial::new(&lab, "agent");
    let first = Step {
        env: [("COLOUR".to_owned(), "red".to_owned())].into(),
        workdir: Some("/data/in".to_owned()),
        ..step(1, "echo one; pwd; echo $COLOUR > /data/in/colour; echo oops >&2")
    };
    let second = Step { ignore_error: true, ..step(2, "cat /data/in/colour; exit 7") };
    let third = Step {
        argv: ["wc", "-c"].map(str::to_owned).to_vec(),
        stdin: Some("/data/in/colour".to_owned()),
        stdout: Some("/results/deep/count".to_owned()),
        ..step(1, "")
    };
    let mounts = [("m/0", "/data/in"), ("m/1", "/results")];
    let attempt = trial.starts(vec![first, second, third], &mounts);
    assert_eq!(trial.end(attempt), Outcome::Exited(0));
    let records = trial.records(attempt);
    let codes: Vec<(u32, i32)> = records.iter().map(|r| (r.step, r.exit_code)).collect();
    assert_eq!(codes, [(0, 0), (1, 7), (2, 0)]);
    for (record, next) in records.iter().zip(records.iter().skip(1)) {
        assert!(record.started_at.expect("it ran") <= record.ended_at);
        assert!(record.ended_at <= next.started_at.expect("it ran"), "one after the other");
    }
    let outs: Vec<String> =
        records.iter().map(|r| trial.part(attempt, Stream::Stdout, r.stdout)).collect();
    // Of what went to a file the beginning is in the log.
    assert_eq!(outs, ["one\n/data/in\n", "red\n", "4\n"]);
    assert_eq!(trial.part(attempt, Stream::Stderr, records[0].stderr), "oops\n");
    let file = trial.file(attempt, "m/1/deep/count");
    assert_eq!(std::fs::read_to_string(file).expect("written"), "4\n");
    // Nothing of it is left.
    trial.none_are_left(&lab);
}

#[test]
fn a_step_that_fails_is_the_last() {
    let Some(lab) = Lab::start() else { return };
    let mut trial = Trial::new(&lab, "agent");
    let steps = vec![step(1, "exit 0"), step(1, "exit 5"), step(1, "echo ran > /work/ran")];
    let attempt = trial.starts(steps, &[]);
    assert_eq!(trial.end(attempt), Outcome::Exited(5));
    assert!(!trial.file(attempt, "ran").exists());
    assert_eq!(trial.records(attempt).len(), 2);
    // An image that is not there is found out before anything runs.
    let missing = Step {
        image: Image {
            name: "localhost/none:1".to_owned(),
            pull: dayan_engines::Pull::Never,
            ..Image::default()
        },
        ..step(1, "")
    };
    let attempt = trial.starts(vec![step(1, "echo ran > /work/ran"), missing], &[]);
    assert!(matches!(trial.end(attempt), Outcome::StartFailed(_)));
    assert!(!trial.file(attempt, "ran").exists());
    // The limit is the whole attempt's.
    let steps = vec![step(1, "sleep 1"), step(1, "sleep 600")];
    let mut launch = Launch { steps, ..trial.launch("never this") };
    launch.limits.wall = Span::from_secs(3);
    let attempt = launch.attempt;
    trial.engine.start(vec![launch]).remove(0).expect("started");
    assert_eq!(trial.end(attempt), Outcome::TimeLimit);
    assert_eq!(trial.records(attempt).iter().map(|r| r.exit_code).collect::<Vec<_>>(), [0, 124]);
    trial.none_are_left(&lab);
}

#[test]
fn a_killed_keeper_and_a_killed_service_go_on_at_the_right_step() {
    let Some(lab) = Lab::start() else { return };
    let mut trial = Trial::new(&lab, "agent");
    let waits = |number: u32| {
        let go = format!(
            "echo ran >> ran.{number}; echo step {number}; \
                          while [ ! -e go.{number} ]; do sleep 0.02; done; echo over {number}"
        );
        Step { workdir: Some("/work".to_owned()), ..step(1, &go) }
    };
    let attempt = trial.starts((0..4).map(waits).collect(), &[]);
    for number in 0..4 {
        trial.until_file(attempt, &format!("ran.{number}"));
        match number {
            // In the middle of a step.
            0 | 1 => {
                assert!(trial.bed.kill_keeper(), "it was there");
                lab.kill_service();
                if number == 0 {
                    // It ends while nobody is there, and the next waits for who comes.
                    trial.write(attempt, "go.0");
                }
                lab.start_service();
            }
            // While it is going over to the next one.
            2 => {
                trial.write(attempt, "go.2");
                assert!(trial.bed.kill_keeper(), "it was there");
            }
            _ => {}
        }
        trial.write(attempt, &format!("go.{number}"));
    }
    assert_eq!(trial.end(attempt), Outcome::Exited(0));
    let mut outs = Vec::new();
    for number in 0..4 {
        let ran = std::fs::read_to_string(trial.file(attempt, &format!("ran.{number}")));
        assert_eq!(ran.expect("it ran"), "ran\n", "step {number} ran once");
        let records = trial.records(attempt);
        let last = records.iter().rev().find(|r| r.step == number).expect("a record").clone();
        assert_eq!(last.exit_code, 0);
        outs.push(trial.part(attempt, Stream::Stdout, last.stdout));
    }
    assert_eq!(outs, [0, 1, 2, 3].map(|n| format!("step {n}\nover {n}\n")), "each has its output");
    trial.none_are_left(&lab);
}
