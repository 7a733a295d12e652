//! Launches in steps, as one pod runs them: every step but the last is an init container, which
//! Kubernetes starts one after the other, and the last is the pod's own container. Pure.
//!
//! Kubernetes goes on after an init container that exits with 0, and with no other. So a step whose
//! error is ignored runs behind a shell that exits with 0 for it, and says how it exited in the
//! container's termination message; whoever reads the pod finds it there. Invariant: all that is to be
//! known of a step stands in its pod, so that an agent that lost everything finds it again.

use std::collections::BTreeMap;
use std::path::Path;

use dayan_units::Time;
use k8s_openapi::api::core::v1::ContainerStatus;

use super::pods::{CONTAINER, Exit};
use super::script::{self, WORK, quoted};
use crate::observation::STEP_NOT_STARTED;
use crate::{Launch, Outcome, Program, Step, StepRecord, command};

/// On the pods of a launch in steps: how many it has.
pub(crate) const NOTE_STEPS: &str = "dayan/steps";
/// Where a container leaves its last word, unless its pod says otherwise.
const LAST_WORD: &str = "/dev/termination-log";
/// What that begins with, of a step whose error is ignored.
const EXITED: &str = "dayan: the step exited with ";
/// How much of a file that a step wrote its output to is brought to the log, as in containers of
/// podman and docker. All of it is in the file.
const HEAD_BYTES: u32 = 64 << 10;

/// The container of a step, of so many.
pub(crate) fn container(step: u32, count: u32) -> String {
    if step + 1 >= count { CONTAINER.to_owned() } else { format!("{CONTAINER}-{step}") }
}

/// The number of a container among its pod's: they run in this order, and the last one has the last.
pub(crate) fn number(container: &str) -> Option<u32> {
    match container.strip_prefix(CONTAINER)? {
        "" => Some(u32::MAX),
        rest => rest.strip_prefix('-')?.parse().ok(),
    }
}

/// The key of a step's script in its batch's Secret, `index` being how the pod's own is said.
pub(crate) fn key(index: &str, step: u32, count: u32) -> String {
    if step + 1 >= count { index.to_owned() } else { format!("{index}.{step}") }
}

/// The scripts of a launch: one, or one for each of its steps.
pub(crate) fn scripts(
    launch: &Launch,
    fence: &str,
    folder: Option<&Path>,
) -> Result<Vec<String>, String> {
    if launch.steps.is_empty() {
        return script::script(launch, fence, folder).map(|text| vec![text]);
    }
    launch.steps.iter().map(|step| one(launch, step, fence, folder)).collect()
}

fn one(launch: &Launch, step: &Step, fence: &str, folder: Option<&Path>) -> Result<String, String> {
    let mut env: BTreeMap<String, String> = launch.env.clone();
    env.extend(step.env.clone());
    let mut lines = script::beginning(launch, &env, fence, folder, &quoted(WORK))?;
    // A visitor finds what the step finds, wherever that writes to.
    lines.push("[ $# = 0 ] || exec \"$@\"".to_owned());
    let words = command::arguments(&Program::Argv(step.argv.clone()))?;
    let mut line = words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ");
    for (sign, file) in [("<", &step.stdin), (">", &step.stdout), ("2>", &step.stderr)] {
        if let Some(file) = file {
            line.extend([" ", sign, &quoted(file)]);
        }
    }
    let written = [&step.stdout, &step.stderr];
    for file in written.into_iter().flatten() {
        if let Some(above) = Path::new(file).parent().filter(|above| above.parent().is_some()) {
            lines.push(format!("mkdir -p {} 2>/dev/null", quoted(&above.to_string_lossy())));
        }
    }
    if step.ignore_error || written.iter().any(|file| file.is_some()) {
        // Asked to end, it is the step that is asked: also when that comes before it is known by number.
        let trap = "trap 'told=1; [ -z \"$child\" ] || kill -TERM \"$child\"' TERM";
        lines.push(format!("child=; told=; {trap}"));
        lines.push(format!("{line} &"));
        lines.push("child=$!".to_owned());
        // What this shell itself says of how it ended is nobody's output.
        lines.push("exec 3>&2 2>/dev/null".to_owned());
        lines.push("[ -z \"$told\" ] || kill -TERM \"$child\"".to_owned());
        lines.push("wait \"$child\"; code=$?".to_owned());
        let again = "while kill -0 \"$child\"; do wait \"$child\"; code=$?; done";
        lines.push(again.to_owned());
        for (file, to) in written.into_iter().zip(["", " >&3"]) {
            if let Some(file) = file {
                let file = quoted(file);
                // A file and nothing else: whatever else it is would be read for ever.
                lines.push(format!("[ ! -f {file} ] || head -c {HEAD_BYTES} {file}{to}"));
            }
        }
        if step.ignore_error {
            lines.push(format!("echo \"{EXITED}$code\" >{}", quoted(LAST_WORD)));
            lines.push("exit 0".to_owned());
        } else {
            lines.push("exit \"$code\"".to_owned());
        }
    } else {
        lines.push(format!("exec {line}"));
    }
    script::whole(&lines)
}

/// A step that cannot be started, of an attempt of which something has run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Unstarted {
    pub step: u32,
    /// Why not, in the node's words.
    pub words: String,
}

impl Unstarted {
    /// What the attempt's standard error says of it.
    pub(crate) fn line(&self) -> String {
        format!("dayan: step {} could not be started: {}\n", self.step, self.words)
    }
}

/// How a step stands.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct StepSeen {
    pub started: Option<Time>,
    /// When it ended, where that is known, and with what status.
    pub ended: Option<(Option<Time>, i32)>,
}

impl StepSeen {
    /// From the state of its container: since when it runs, and how it exited.
    pub(crate) fn of(status: Option<&ContainerStatus>, exit: Option<&Exit>) -> Self {
        let running = status.and_then(|one| one.state.as_ref()?.running.as_ref());
        let since = running.and_then(|state| super::pods::time(state.started_at.as_ref()));
        Self {
            started: exit.and_then(|exit| exit.started).or(since),
            ended: exit.map(|exit| (exit.finished, status_of(exit))),
        }
    }
}

/// The status that a step exited with, also where that was kept from its pod.
fn status_of(exit: &Exit) -> i32 {
    let said = exit.message.strip_prefix(EXITED).and_then(|rest| rest.trim().parse().ok());
    said.filter(|_| exit.code == 0).unwrap_or(exit.code)
}

/// How the steps of an attempt ended that ended so itself at that time: those that began, the one that
/// could not be started, and, where none did, the first. What a step wrote is not known here.
pub(crate) fn records(
    steps: &[StepSeen],
    unstarted: Option<&Unstarted>,
    outcome: &Outcome,
    at: Time,
) -> Vec<StepRecord> {
    let began = steps.iter().take_while(|step| step.started.is_some() || step.ended.is_some());
    let count = began.count().max(usize::from(!steps.is_empty()));
    let last = count.saturating_sub(1);
    let never = unstarted.map(|lost| StepRecord {
        step: lost.step,
        started_at: None,
        ended_at: at,
        exit_code: STEP_NOT_STARTED,
        stdout: [0, 0],
        stderr: [0, 0],
    });
    // Of that one some nodes say that it has ended.
    let ran = never.as_ref().map_or(count, |never| count.min(never.step as usize));
    (0u32..)
        .zip(&steps[..ran])
        .map(|(step, seen)| {
            let is_last = step as usize == last;
            // Why the attempt ended says more than how its process then went.
            let exit_code = match (seen.ended, outcome) {
                (Some((_, code)), Outcome::Exited(_)) => code,
                (Some((_, code)), _) if !is_last => code,
                (_, _) => outcome.exit_code(),
            };
            StepRecord {
                step,
                started_at: seen.started,
                ended_at: seen.ended.and_then(|(finished, _)| finished).unwrap_or(at),
                exit_code,
                stdout: [0, 0],
                stderr: [0, 0],
            }
        })
        .chain(never)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, BootTime, Image, Isolation, LeaseEnd, Limits, Workdir};
    use dayan_units::{AttemptId, JobId};

    fn launch(steps: Vec<Step>) -> Launch {
        Launch {
            attempt: AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 },
            program: Program::Shell("never this".to_owned()),
            env: [("A", "ours"), ("B", "ours")].map(|(a, b)| (a.to_owned(), b.to_owned())).into(),
            workdir: Workdir::Fresh,
            limits: Limits::default(),
            lease_end: LeaseEnd { boot: BootId(1), at: BootTime::NEVER },
            isolation: Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            image: None,
            mounts: Vec::new(),
            steps,
            org: None,
            site_words: BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        }
    }

    fn step(line: &str) -> Step {
        Step {
            image: Image { name: "i".to_owned(), ..Image::default() },
            argv: ["sh", "-c", line].map(str::to_owned).to_vec(),
            ..Step::default()
        }
    }

    /// Runs it in a folder that stands for the pod's, and says how it ended and what it said.
    fn ran(step: Step, dir: &Path) -> (i32, String, String) {
        let text = scripts(&launch(vec![step]), "f", None).expect("a shell can say it").remove(0);
        let here = dir.to_str().expect("text");
        let text = text.replace(LAST_WORD, &format!("{here}/word")).replace("/work", here);
        let mut sh = std::process::Command::new("/bin/sh");
        let said = sh.args(["-c", &text]).current_dir(dir).output().expect("runs");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
        (said.status.code().expect("no signal"), text(said.stdout), text(said.stderr))
    }

    #[test]
    fn a_step_is_run_as_it_was_meant() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut plain = step("echo $A $B; exit 7");
        plain.env.insert("B".to_owned(), "the step's".to_owned());
        assert_eq!(ran(plain.clone(), dir.path()), (7, "ours the step's\n".into(), String::new()));
        let ignored = Step { ignore_error: true, ..plain };
        assert_eq!(ran(ignored, dir.path()).0, 0);
        let word = std::fs::read_to_string(dir.path().join("word")).expect("it left one");
        let exit = Exit { code: 0, message: word.trim().to_owned(), ..Exit::default() };
        assert_eq!(status_of(&exit), 7);
    }

    #[test]
    fn files_take_the_place_of_streams_and_their_beginning_is_said() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("in"), "told").expect("written");
        let files = Step {
            stdin: Some("/work/in".to_owned()),
            stdout: Some("/work/deep/it's".to_owned()),
            stderr: Some("/work/errors".to_owned()),
            ..step("cat; echo oops >&2; exit 3")
        };
        assert_eq!(ran(files, dir.path()), (3, "told".to_owned(), "oops\n".to_owned()));
        assert_eq!(std::fs::read(dir.path().join("deep/it's")).expect("written"), b"told");
        let lost = Step { stdin: Some("/work/none".to_owned()), ..step("cat") };
        assert_ne!(ran(lost, dir.path()).0, 0);
    }

    #[test]
    fn who_asks_a_step_to_end_asks_what_it_runs() {
        use std::io::BufRead as _;
        let line = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.02; done";
        let ignored = Step { ignore_error: true, ..step(line) };
        let text = scripts(&launch(vec![ignored]), "f", None).expect("said").remove(0);
        let dir = tempfile::tempdir().expect("a folder");
        let word = dir.path().join("word");
        let text = text.replace(LAST_WORD, word.to_str().expect("text"));
        let mut sh = std::process::Command::new("/bin/sh");
        sh.args(["-c", &text]).stdout(std::process::Stdio::piped());
        let mut child = sh.spawn().expect("runs");
        let mut out = std::io::BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut String::new()).expect("it is there");
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("ours");
        assert_eq!(child.wait().expect("ended").code(), Some(0));
        assert_eq!(std::fs::read_to_string(word).expect("left"), format!("{EXITED}5\n"));
    }

    #[test]
    fn containers_have_their_order() {
        let all: Vec<String> = (0..3).map(|step| container(step, 3)).collect();
        assert_eq!(all, ["task-0", "task-1", "task"]);
        let numbers: Vec<Option<u32>> = all.iter().map(|name| number(name)).collect();
        assert!(numbers.is_sorted() && numbers[0] == Some(0), "{numbers:?}");
        assert_eq!((number("sidecar"), number("task-x")), (None, None));
        assert_eq!((key("$(I)", 0, 2), key("$(I)", 1, 2)), ("$(I).0".into(), "$(I)".into()));
    }

    #[test]
    fn what_became_of_steps_is_said_by_why_the_attempt_ended() {
        let at = |secs: i64| Time::from_micros(secs * 1_000_000);
        let seen = |code: Option<i32>| StepSeen {
            started: Some(at(1)),
            ended: code.map(|code| (Some(at(2)), code)),
        };
        let check = |steps: &[StepSeen], outcome: Outcome, expect: &[(i32, i64)]| {
            let all = records(steps, None, &outcome, at(9));
            let got: Vec<(i32, i64)> =
                all.iter().map(|r| (r.exit_code, r.ended_at.micros() / 1_000_000)).collect();
            assert_eq!(got, expect, "{outcome:?}");
            assert!((0u32..).zip(&all).all(|(number, record)| record.step == number));
        };
        let never = StepSeen::default();
        check(&[seen(Some(0)), seen(Some(7))], Outcome::Exited(7), &[(0, 2), (7, 2)]);
        // Ignored: the attempt ended well.
        check(&[seen(Some(7)), seen(Some(3))], Outcome::Exited(0), &[(7, 2), (3, 2)]);
        check(&[seen(Some(4)), never.clone()], Outcome::Exited(4), &[(4, 2)]);
        check(&[seen(Some(0)), seen(Some(143))], Outcome::TimeLimit, &[(0, 2), (124, 2)]);
        check(&[seen(Some(0)), seen(None), never.clone()], Outcome::Stopped, &[(0, 2), (143, 9)]);
        check(&[never.clone(), never], Outcome::KeeperDied, &[(137, 9)]);
        check(&[], Outcome::Exited(0), &[]);
        // One that could not be started, whether its node says that it has ended or nothing of it.
        let lost = Unstarted { step: 1, words: "no such image".to_owned() };
        let never = StepSeen::default();
        let ended = StepSeen { started: None, ended: Some((Some(at(3)), 128)) };
        for second in [never.clone(), ended] {
            let steps = [seen(Some(0)), second, never.clone()];
            let all = records(&steps, Some(&lost), &Outcome::Exited(STEP_NOT_STARTED), at(9));
            let told: Vec<_> = all.iter().map(|r| (r.step, r.started_at, r.exit_code)).collect();
            assert_eq!(told, [(0, Some(at(1)), 0), (1, None, 125)]);
        }
    }
}
