//! From what is known of a job back to a task, as far as a view shows it.
//!
//! Invariant: what a view leaves out is not read for it; a state that a client sees last is the one
//! it stays in.

use std::collections::BTreeMap;

use dayan_units::Time;
use dayan_wire::logs::StepRecord;

use super::document::{TesExecutorLog, TesOutputFileLog, TesState, TesTask, TesTaskLog};
use super::places::Places;
use super::translate::Kept;

/// How much a client wants to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum View {
    /// Id and state.
    #[default]
    Minimal,
    /// All but contents, output and what the system says.
    Basic,
    /// All.
    Full,
}

impl View {
    /// By its name in a query.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "MINIMAL" => Some(Self::Minimal),
            "BASIC" => Some(Self::Basic),
            "FULL" => Some(Self::Full),
            _ => None,
        }
    }
}

/// An attempt, as the tables have it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// Where it ran.
    pub pool: String,
    /// On which machine.
    pub node: String,
    /// As the API writes it.
    pub state: String,
    /// How the exchange calls its end: `exited`, `time_limit`, …
    pub outcome: String,
    /// Its status, where it has one.
    pub exit_code: Option<i32>,
    /// When it started.
    pub started_at: Option<Time>,
    /// When it had ended.
    pub ended_at: Option<Time>,
    /// Why it ended.
    pub reason: String,
    /// How its executors ended, with their output; empty where nothing is known of it.
    pub steps: Vec<StepTold>,
    /// Files that it published.
    pub outputs: Vec<TesOutputFileLog>,
    /// So many more, which are not listed.
    pub left_out: u64,
}

/// How an executor ended, and what it wrote.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StepTold {
    /// As its engine wrote it down.
    pub record: StepRecord,
    /// The beginning of its output, where it is shown.
    pub stdout: Option<String>,
    /// The same of its errors.
    pub stderr: Option<String>,
}

/// Is a job being stopped?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stopping {
    /// It was asked to.
    Asked,
    /// It was not.
    No,
}

/// The state of a job's task.
pub fn state(job: &str, stopping: Stopping, attempts: &[Attempt]) -> TesState {
    let last = attempts.last();
    match job {
        "paused" => TesState::Paused,
        "queued" => TesState::Queued,
        "running" if stopping == Stopping::Asked => TesState::Canceling,
        "running" => match last.map(|attempt| attempt.state.as_str()) {
            Some("running" | "publishing") => TesState::Running,
            // Between two attempts it is about to be placed again.
            _ => TesState::Initializing,
        },
        "succeeded" => TesState::Complete,
        "cancelled" => TesState::Canceled,
        // It did not get all of the money that it needed.
        "unfunded" => TesState::SystemError,
        "failed" => last.map_or(TesState::SystemError, failed),
        _ => TesState::Unknown,
    }
}

fn failed(last: &Attempt) -> TesState {
    match (last.state.as_str(), last.outcome.as_str()) {
        ("preempted", _) => TesState::Preempted,
        (_, "exited" | "signalled" | "out_of_memory" | "time_limit") => TesState::ExecutorError,
        // Its program is not there, which has a status.
        (_, "start_failed") if last.exit_code.is_some() => TesState::ExecutorError,
        _ => TesState::SystemError,
    }
}

/// What is told of a task.
#[derive(Debug)]
pub struct Told<'a> {
    /// Its id.
    pub id: String,
    /// The state of its job, as the API writes it.
    pub job: &'a str,
    /// Is it being stopped?
    pub stopping: Stopping,
    /// When it was created.
    pub created_at: Time,
    /// Its attempts, in order.
    pub attempts: &'a [Attempt],
    /// Why it waits, where it does.
    pub waits: Vec<String>,
}

impl Told<'_> {
    /// The task in a view.
    pub fn task(&self, kept: Kept, view: View) -> TesTask {
        let state = Some(state(self.job, self.stopping, self.attempts));
        let id = Some(self.id.clone());
        if view == View::Minimal {
            return TesTask { id, state, ..TesTask::default() };
        }
        let places = kept.places();
        let Kept { mut task, warnings } = kept;
        if view == View::Basic {
            task.inputs.iter_mut().flatten().for_each(|input| input.content = None);
        }
        let executors = task.executors.len();
        let ignored = task.executors.iter().any(|executor| executor.ignore_error == Some(true));
        let mut logs: Vec<TesTaskLog> = self
            .attempts
            .iter()
            .map(|attempt| log(attempt, executors, ignored, &warnings, &places, view))
            .collect();
        let system: Vec<String> = warnings.into_iter().chain(self.waits.iter().cloned()).collect();
        if logs.is_empty() && !system.is_empty() && view == View::Full {
            logs.push(TesTaskLog { system_logs: Some(system), ..TesTaskLog::default() });
        }
        TesTask {
            id,
            state,
            logs: Some(logs),
            creation_time: Some(self.created_at.to_string()),
            ..task
        }
    }
}

fn log(
    attempt: &Attempt,
    executors: usize,
    ignored: bool,
    warnings: &[String],
    places: &Places,
    view: View,
) -> TesTaskLog {
    let time = |time: Option<Time>| time.map(|time| time.to_string());
    let metadata = [
        ("attempt", attempt.number.to_string()),
        ("pool", attempt.pool.clone()),
        ("node", attempt.node.clone()),
    ];
    let metadata = metadata.into_iter().filter(|(_, value)| !value.is_empty());
    let mut system = warnings.to_vec();
    if !attempt.reason.is_empty() {
        system.push(places.as_written(&attempt.reason));
    }
    if attempt.left_out > 0 {
        system.push(format!("{} more files were published than are listed", attempt.left_out));
    }
    // What the agent wrote down of its first step may be earlier than what the exchange heard.
    let first = attempt.steps.iter().filter_map(|step| step.record.started_at).min();
    let began = attempt.started_at.into_iter().chain(first).min();
    TesTaskLog {
        logs: executor_logs(attempt, executors, ignored, view),
        metadata: Some(metadata.map(|(key, value)| (key.to_owned(), value)).collect()),
        start_time: time(began),
        end_time: time(attempt.ended_at),
        outputs: attempt.outputs.clone(),
        system_logs: (view == View::Full && !system.is_empty()).then_some(system),
    }
}

fn executor_logs(
    attempt: &Attempt,
    executors: usize,
    ignored: bool,
    view: View,
) -> Vec<TesExecutorLog> {
    if attempt.steps.is_empty() {
        return without_records(attempt, executors, ignored);
    }
    // One that was written down twice ended as the later line says.
    let last: BTreeMap<u32, &StepTold> =
        attempt.steps.iter().map(|step| (step.record.step, step)).collect();
    let shown = |text: &Option<String>| text.clone().filter(|_| view == View::Full);
    last.into_values()
        .map(|step| TesExecutorLog {
            start_time: step.record.started_at.map(|at| at.to_string()),
            end_time: Some(step.record.ended_at.to_string()),
            stdout: shown(&step.stdout),
            stderr: shown(&step.stderr),
            exit_code: step.record.exit_code,
        })
        .collect()
}

/// What follows from the end of the whole: of logs that are gone, or not here yet.
fn without_records(attempt: &Attempt, executors: usize, ignored: bool) -> Vec<TesExecutorLog> {
    let time = |time: Option<Time>| time.map(|time| time.to_string());
    match (attempt.exit_code, executors) {
        (Some(exit_code), 1) => vec![TesExecutorLog {
            start_time: time(attempt.started_at),
            end_time: time(attempt.ended_at),
            exit_code,
            ..TesExecutorLog::default()
        }],
        // All ended well, where none was allowed to fail.
        (Some(0), many) if !ignored => vec![TesExecutorLog::default(); many],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::{TesExecutor, TesInput};
    use super::*;

    fn attempt(state: &str, outcome: &str) -> Attempt {
        Attempt {
            number: 1,
            state: state.to_owned(),
            outcome: outcome.to_owned(),
            ..Attempt::default()
        }
    }

    #[test]
    fn states() {
        let check = |job: &str, stopping, attempts: &[Attempt], expect| {
            assert_eq!(state(job, stopping, attempts), expect, "{job} {attempts:?}");
        };
        let no = Stopping::No;
        check("queued", no, &[], TesState::Queued);
        check("queued", no, &[attempt("lost", "node_failure")], TesState::Queued);
        check("paused", no, &[], TesState::Paused);
        check("running", no, &[attempt("leased", "")], TesState::Initializing);
        check("running", no, &[attempt("running", "")], TesState::Running);
        check("running", no, &[attempt("publishing", "")], TesState::Running);
        check("running", Stopping::Asked, &[attempt("running", "")], TesState::Canceling);
        check("cancelled", Stopping::Asked, &[attempt("cancelled", "stopped")], TesState::Canceled);
        check("succeeded", no, &[attempt("succeeded", "exited")], TesState::Complete);
        for outcome in ["exited", "signalled", "out_of_memory", "time_limit"] {
            check("failed", no, &[attempt("failed", outcome)], TesState::ExecutorError);
        }
        for outcome in ["start_failed", "publish_failed", "node_failure", "site_lost", ""] {
            check("failed", no, &[attempt("failed", outcome)], TesState::SystemError);
        }
        let typo = Attempt { exit_code: Some(127), ..attempt("failed", "start_failed") };
        check("failed", no, &[typo], TesState::ExecutorError);
        check("failed", no, &[attempt("preempted", "stopped")], TesState::Preempted);
        check("something new", no, &[], TesState::Unknown);
    }

    fn step(number: u32, exit_code: i32) -> StepTold {
        let at = Time::from_micros(1_000_000);
        let record = StepRecord {
            step: number,
            started_at: Some(at),
            ended_at: at,
            exit_code,
            stdout: [0, 3],
            stderr: [0, 0],
        };
        StepTold { record, stdout: Some("out".to_owned()), stderr: Some(String::new()) }
    }

    fn kept() -> Kept {
        let input = TesInput { content: Some("secret".to_owned()), ..TesInput::default() };
        let executor =
            |ignore| TesExecutor { ignore_error: Some(ignore), ..TesExecutor::default() };
        let task = TesTask {
            name: Some("n".to_owned()),
            inputs: Some(vec![input]),
            executors: vec![executor(false), executor(false)],
            ..TesTask::default()
        };
        Kept { task, warnings: vec!["no effect".to_owned()] }
    }

    #[test]
    fn a_view_shows_what_it_is_for() {
        let mut ended = attempt("failed", "exited");
        ended.reason = "exit code 3".to_owned();
        ended.exit_code = Some(3);
        ended.started_at = Some(Time::from_micros(2_000_000));
        ended.steps = vec![step(0, 0), step(1, 9), step(1, 3)];
        let attempts = [ended];
        let told = Told {
            id: "job_1".to_owned(),
            job: "failed",
            stopping: Stopping::No,
            created_at: Time::EPOCH,
            attempts: &attempts,
            waits: Vec::new(),
        };
        let minimal = told.task(kept(), View::Minimal);
        let expect = TesTask {
            id: Some("job_1".to_owned()),
            state: Some(TesState::ExecutorError),
            ..TesTask::default()
        };
        assert_eq!(minimal, expect);
        let basic = told.task(kept(), View::Basic);
        let log = &basic.logs.as_ref().expect("some")[0];
        assert_eq!(log.logs.iter().map(|l| l.exit_code).collect::<Vec<_>>(), [0, 3]);
        assert!(log.logs.iter().all(|l| l.stdout.is_none() && l.start_time.is_some()));
        assert_eq!(log.start_time, log.logs[0].start_time, "not after its first executor's");
        assert_eq!(log.system_logs, None);
        assert_eq!(basic.inputs.expect("one")[0].content, None);
        let full = told.task(kept(), View::Full);
        let log = &full.logs.as_ref().expect("some")[0];
        assert_eq!(log.logs[1].stdout.as_deref(), Some("out"));
        let system = log.system_logs.as_ref().expect("some");
        assert_eq!(system, &["no effect", "exit code 3"]);
        assert_eq!(full.inputs.expect("one")[0].content.as_deref(), Some("secret"));
    }

    #[test]
    fn a_task_that_waits_says_why() {
        let waits = vec!["no pool has the image".to_owned()];
        let told = Told {
            id: "job_1".to_owned(),
            job: "queued",
            stopping: Stopping::No,
            created_at: Time::EPOCH,
            attempts: &[],
            waits: waits.clone(),
        };
        let full = told.task(Kept { warnings: Vec::new(), ..kept() }, View::Full);
        assert_eq!(full.logs.expect("one")[0].system_logs, Some(waits));
        assert_eq!(told.task(kept(), View::Basic).logs, Some(Vec::new()));
    }

    #[test]
    fn without_records_the_end_of_the_whole_says_what_it_can() {
        let check = |code, executors, ignored, expect: &[i32]| {
            let ended = Attempt { exit_code: code, ..attempt("succeeded", "exited") };
            let logs = without_records(&ended, executors, ignored);
            assert_eq!(logs.iter().map(|log| log.exit_code).collect::<Vec<_>>(), expect);
        };
        check(Some(7), 1, false, &[7]);
        check(Some(0), 3, false, &[0, 0, 0]);
        check(Some(0), 3, true, &[]);
        check(Some(7), 2, false, &[]);
        check(None, 1, false, &[]);
    }
}
