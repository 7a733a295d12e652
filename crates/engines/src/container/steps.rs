//! From the end of one step to the beginning of the next.
//!
//! Each step that ended leaves a line in the attempt's third stream: when, how, and which part of
//! the output is its own. Of what went to files the beginning is brought to the output, so that it
//! can be read where everything else is. Invariants: the next step begins only when nothing of this
//! one runs; a file is looked for without following links, which the task may have made.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use dayan_units::AttemptId;
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};

use super::holding::Held;
use super::house::House;
use crate::observation::STEP_NOT_STARTED;
use crate::{Outcome, StartFailure, StepRecord, wall_now};

/// How much of a file that a step wrote its output to is brought to the log: some screenfuls. All of
/// it is in the file.
const HEAD_BYTES: u64 = 64 << 10;

/// What comes after a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Next {
    /// The step with this number.
    Step(u32),
    /// Nothing: the attempt has ended so.
    Over(Outcome),
}

/// Writes down how a step ended, and says what comes next. A launch without steps is over.
pub(super) fn after(house: &House, attempt: AttemptId, step: u32, outcome: Outcome) -> Next {
    let work = house.folder.work(attempt);
    let next = house.with(attempt, |held| {
        if held.steps.is_empty() {
            return Next::Over(outcome.clone());
        }
        bring_heads(held, step, &work);
        let (own, words) = own_failure(step, &outcome);
        write_down(held, step, &own, words.as_deref());
        next(held, step, &own)
    });
    next.unwrap_or(Next::Over(outcome))
}

/// What it means that a step could not be started: of the first, that nothing has run. After others had
/// run it is that step's own failure, as `docker run` would exit, and why, to be said in the attempt's
/// standard error. What is nobody's but the machine's is no step's doing: no room, a service that fails, a
/// registry that is not reached.
fn own_failure(step: u32, outcome: &Outcome) -> (Outcome, Option<String>) {
    match outcome {
        Outcome::StartFailed(failure) if step > 0 => {
            let code = match failure {
                // It keeps its reason, and counts as a start that failed: for one project up to a bound.
                StartFailure::NoRoom(_) | StartFailure::Limits(_) | StartFailure::Other(_) => {
                    return (outcome.clone(), None);
                }
                StartFailure::NoSuchProgram(_) | StartFailure::NotExecutable(_) => {
                    outcome.exit_code()
                }
                StartFailure::Workdir(_) | StartFailure::Image(_) | StartFailure::Asked(_) => {
                    STEP_NOT_STARTED
                }
            };
            let words = format!("dayan: step {step} could not be started: {failure}\n");
            (Outcome::Exited(code), Some(words))
        }
        _ => (outcome.clone(), None),
    }
}

fn next(held: &Held, step: u32, outcome: &Outcome) -> Next {
    let ignored = held.steps.get(step as usize).is_some_and(|step| step.ignore_error);
    let goes_on = match outcome {
        Outcome::Exited(0) => true,
        Outcome::Exited(_) => ignored,
        Outcome::Signalled(_)
        | Outcome::OutOfMemory
        | Outcome::TimeLimit
        | Outcome::LeaseEnded
        | Outcome::Stopped
        | Outcome::KeeperDied
        | Outcome::Preempted => false,
        // A program that is not there has a status, as one that ran.
        Outcome::StartFailed(failure) => ignored && failure.status().is_some(),
    };
    match (goes_on, (step as usize) + 1 < held.steps.len()) {
        (true, true) => Next::Step(step + 1),
        (true, false) => Next::Over(Outcome::Exited(0)),
        (false, _) => Next::Over(outcome.clone()),
    }
}

fn write_down(held: &mut Held, step: u32, outcome: &Outcome, words: Option<&str>) {
    let ran = held.current.step == step && held.current.started_at.is_some();
    let begin = if ran { held.current.written } else { [0, 1].map(|stream| written(held, stream)) };
    // An init that could not execute its program has said so itself.
    if let (false, Some(words), Some(errors)) = (ran, words, held.logs.get_mut(1)) {
        errors.write(words.as_bytes());
    }
    let record = StepRecord {
        step,
        started_at: held.current.started_at.filter(|_| ran),
        ended_at: wall_now(),
        exit_code: outcome.exit_code(),
        stdout: [begin[0], written(held, 0)],
        stderr: [begin[1], written(held, 1)],
    };
    let mut line = serde_json::to_vec(&record).expect("numbers become JSON");
    line.push(b'\n');
    if let Some(log) = held.logs.get_mut(2) {
        log.write(&line);
    }
}

fn written(held: &Held, stream: usize) -> u64 {
    held.logs.get(stream).map_or(0, crate::logs::LogWriter::written)
}

fn bring_heads(held: &mut Held, step: u32, work: &Path) {
    let Some(files) = held.steps.get(step as usize).map(|step| step.files.clone()) else { return };
    for (stream, file) in files.iter().enumerate() {
        // What is there already was brought by a keeper that died behind it.
        let fresh = written(held, stream) == held.current.written[stream];
        if let Some(file) = file.as_ref().filter(|_| fresh && held.current.step == step)
            && let Some(head) = head(work, file)
            && let Some(log) = held.logs.get_mut(stream)
        {
            log.write(&head);
        }
    }
}

/// The beginning of a file in a task's folder; none where there is no such file.
fn head(work: &Path, file: &Path) -> Option<Vec<u8>> {
    let folder = File::open(work).ok()?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOFOLLOW;
    let within = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    let found = File::from(openat2(&folder, file, flags, Mode::empty(), within).ok()?);
    if !found.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    found.take(HEAD_BYTES).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::holding::{Current, StepNote};
    use super::*;
    use crate::logs::LogWriter;
    use crate::{BootTime, Limits, Stream};
    use dayan_units::{Bytes, JobId, Time};

    fn held(ignored: &[bool], file: Option<&str>, logs: &Path) -> Held {
        let attempt = AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 };
        let now = BootTime::from_micros(0);
        let mut held = Held::new(attempt, Limits::default(), BootTime::NEVER, now, Time::EPOCH);
        let note = |ignore_error: &bool| StepNote {
            ignore_error: *ignore_error,
            files: [file.map(Into::into), None],
        };
        held.steps = ignored.iter().map(note).collect();
        let log = |stream| LogWriter::new(logs.to_owned(), stream, Bytes(0));
        held.logs = vec![log(Stream::Stdout), log(Stream::Stderr), log(Stream::Steps)];
        held
    }

    #[test]
    fn the_next_step_begins_after_success_and_after_errors_that_are_ignored() {
        let dir = tempfile::tempdir().expect("a folder");
        let held = held(&[false, true], None, dir.path());
        let check = |step, outcome: Outcome, expect: Next| {
            assert_eq!(next(&held, step, &outcome), expect, "{step} {outcome:?}");
        };
        check(0, Outcome::Exited(0), Next::Step(1));
        check(0, Outcome::Exited(3), Next::Over(Outcome::Exited(3)));
        check(1, Outcome::Exited(0), Next::Over(Outcome::Exited(0)));
        check(1, Outcome::Exited(3), Next::Over(Outcome::Exited(0)));
        check(1, Outcome::TimeLimit, Next::Over(Outcome::TimeLimit));
        let failed = Outcome::StartFailed(StartFailure::Other(String::new()));
        check(1, failed.clone(), Next::Over(failed));
    }

    #[test]
    fn what_became_of_a_step_is_written_down_with_its_part_of_the_output() {
        let dir = tempfile::tempdir().expect("a folder");
        let (logs, work) = (dir.path().join("logs"), dir.path().join("work"));
        std::fs::create_dir_all(work.join("m")).expect("made");
        std::fs::write(work.join("m/out"), "from the file").expect("written");
        let mut held = held(&[false, false], Some("m/out"), &logs);
        held.logs[0].write(b"before");
        let at = Time::from_micros(5);
        held.current =
            Current { step: 1, started_at: Some(at), written: [6, 0], ..Current::default() };
        held.logs[1].write(b"err");
        // Twice: the keeper died behind the first time.
        for _ in 0..2 {
            bring_heads(&mut held, 1, &work);
            write_down(&mut held, 1, &Outcome::Exited(4), None);
        }
        let read = |stream| crate::logs::read(&logs, stream, 0, 9_999).expect("reads").data;
        assert_eq!(read(Stream::Stdout), b"beforefrom the file");
        let lines = String::from_utf8(read(Stream::Steps)).expect("text");
        for line in lines.lines() {
            let record: StepRecord = serde_json::from_str(line).expect("a record");
            assert_eq!((record.step, record.exit_code), (1, 4));
            assert_eq!(record.started_at, Some(at));
            assert_eq!((record.stdout, record.stderr), ([6, 19], [0, 3]));
        }
        assert_eq!(lines.lines().count(), 2);
    }

    #[test]
    fn a_later_step_that_cannot_be_started_has_failed_and_the_first_has_not_begun() {
        let check = |step, failure: StartFailure, expect: Option<i32>| {
            let outcome = Outcome::StartFailed(failure);
            let (own, words) = own_failure(step, &outcome);
            assert_eq!(own, expect.map_or(outcome.clone(), Outcome::Exited));
            assert_eq!(words.is_some(), expect.is_some());
        };
        let image = || StartFailure::Image("why".to_owned());
        check(0, image(), None);
        check(1, image(), Some(125));
        for step in [0, 1] {
            check(step, StartFailure::Other("why".to_owned()), None);
            check(step, StartFailure::Limits("why".to_owned()), None);
        }
        check(1, StartFailure::NoSuchProgram("p".to_owned()), Some(127));
        check(1, StartFailure::NotExecutable("p".to_owned()), Some(126));
        check(1, StartFailure::NoRoom("full".to_owned()), None);
        let exited = Outcome::Exited(3);
        assert_eq!(own_failure(1, &exited), (exited.clone(), None));
        // Why stands in the attempt's standard error, and the record says where.
        let dir = tempfile::tempdir().expect("a folder");
        let mut held = held(&[false, false], None, dir.path());
        held.logs[1].write(b"before");
        let (own, words) = own_failure(1, &Outcome::StartFailed(image()));
        write_down(&mut held, 1, &own, words.as_deref());
        let read = |stream| crate::logs::read(dir.path(), stream, 0, 9_999).expect("reads").data;
        let errors = String::from_utf8(read(Stream::Stderr)).expect("text");
        assert_eq!(errors, format!("beforedayan: step 1 could not be started: {}\n", image()));
        let record: StepRecord = serde_json::from_slice(&read(Stream::Steps)).expect("a record");
        let end = u64::try_from(errors.len()).expect("short");
        assert_eq!((record.exit_code, record.stderr, record.started_at), (125, [6, end], None));
    }

    #[test]
    fn links_that_a_task_made_are_not_followed() {
        let dir = tempfile::tempdir().expect("a folder");
        let secret = dir.path().join("secret");
        std::fs::write(&secret, "the machine's").expect("written");
        let work = dir.path().join("work");
        std::fs::create_dir_all(work.join("real")).expect("made");
        std::fs::write(work.join("real/file"), "the task's").expect("written");
        std::os::unix::fs::symlink(&secret, work.join("out")).expect("linked");
        std::os::unix::fs::symlink(dir.path(), work.join("up")).expect("linked");
        let check = |file: &str, expect: Option<&str>| {
            let read =
                head(&work, Path::new(file)).map(|b| String::from_utf8_lossy(&b).into_owned());
            assert_eq!(read.as_deref(), expect, "{file}");
        };
        check("real/file", Some("the task's"));
        check("out", None);
        check("up/secret", None);
        check("../secret", None);
        check("real", None);
        check("nothing", None);
    }
}
