//! What the REST daemon's answers about jobs mean. Pure.
//!
//! Invariant: an answer without what was asked for is an error, never an empty list.

use std::collections::BTreeMap;

use dayan_units::{Bytes, Span, Time};
use serde::Deserialize;

use super::lenient::{Flags, Number, Text, Tres};
use crate::slurm::hostlist::expand;
use crate::slurm::layout::Index;
use crate::slurm::load::Line;
use crate::slurm::status::{self, Account, Elements, QueueLine};
use crate::slurm::way::{self, NO_ANSWER, Submitted};

/// Numbers from here on in Slurm's 32 bits say that there is none.
const NONE_FROM: i64 = 0xFFFF_FFF0;
/// Slurm's codes for a job that is not there, or not any more.
const GONE: [i64; 2] = [2017, 2021];
/// Slurm's code for a question to the accounting that found nothing.
const FOUND_NOTHING: i64 = 9003;
/// Slurm's codes by which its controller, or the daemon itself, says that it does not want a job. Others
/// speak of connections, of databases, of the daemon's own troubles.
const REFUSALS: [std::ops::Range<i64>; 2] = [2_000..3_000, 9_000..9_003];
const MIB: u64 = 1 << 20;

/// Is it Slurm's code for a job that is not there, or not any more?
pub(super) fn is_gone(code: i64) -> bool {
    GONE.contains(&code)
}

/// What went wrong, as the daemon says it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Complaint {
    error: Text,
    description: Text,
    error_number: Number,
    error_code: Number,
}

impl Complaint {
    fn code(&self) -> i64 {
        self.error_number.0.or(self.error_code.0).unwrap_or(-1)
    }
    pub(super) fn is_gone(&self) -> bool {
        is_gone(self.code())
    }
    fn words(&self) -> String {
        let both = [&self.description.0, &self.error.0];
        let both: Vec<&str> =
            both.into_iter().map(|text| text.trim()).filter(|t| !t.is_empty()).collect();
        if both.is_empty() { format!("error {}", self.code()) } else { both.join(": ") }
    }
    fn refuses(&self) -> bool {
        let words = self.words();
        REFUSALS.iter().any(|codes| codes.contains(&self.code()))
            && NO_ANSWER.iter().all(|sign| !words.contains(sign))
    }
}

/// What every answer may hold.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    pub(super) errors: Vec<Complaint>,
}

impl Said {
    /// What went wrong, in words; none where nothing did.
    pub(super) fn trouble(&self) -> Option<String> {
        self.errors.iter().any(|one| one.code() != 0).then(|| self.words())
    }
    pub(super) fn words(&self) -> String {
        let all: Vec<String> = self.errors.iter().map(Complaint::words).collect();
        if all.is_empty() { "slurmrestd says no and not why".to_owned() } else { all.join("; ") }
    }
}

/// The answer to a submission; newer versions have the number in a `result`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Submission {
    job_id: Number,
    result: Inner,
    errors: Vec<Complaint>,
}

#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
struct Inner {
    job_id: Number,
}

fn job_number(number: Number) -> Option<u32> {
    let number = number.0.filter(|number| *number > 0 && *number < NONE_FROM)?;
    u32::try_from(number).ok()
}

/// What the answer to a submission means. A job that was taken may come with complaints, such as that it
/// is held.
pub(super) fn submitted(success: bool, answer: Submission) -> Submitted {
    let job = job_number(answer.job_id).or_else(|| job_number(answer.result.job_id));
    let said = Said { errors: answer.errors };
    match job {
        Some(job) if success => Submitted::Job(job),
        Some(_) => Submitted::Unsure(said.words()),
        None if !success && said.errors.iter().any(Complaint::refuses) => {
            Submitted::Refused(said.words())
        }
        None => Submitted::Unsure(said.words()),
    }
}

/// All jobs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Jobs {
    jobs: Option<Vec<Job>>,
    errors: Vec<Complaint>,
}

impl Jobs {
    pub(super) fn jobs(self) -> Result<Vec<Job>, String> {
        listed(self.jobs, self.errors, "jobs")
    }
}

/// A list that was asked for, if it is there and nothing went wrong.
pub(super) fn listed<T>(
    list: Option<Vec<T>>,
    errors: Vec<Complaint>,
    what: &str,
) -> Result<Vec<T>, String> {
    if let Some(why) = (Said { errors }).trouble() {
        return Err(why);
    }
    list.ok_or_else(|| format!("slurmrestd's answer holds no {what}"))
}

/// A job, or the elements of one that wait.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_field_names, reason = "the interface's own names")]
pub(super) struct Job {
    job_id: Number,
    array_job_id: Number,
    array_task_id: Number,
    array_task_string: Text,
    job_state: Flags,
    name: Text,
    state_reason: Text,
    user_id: Number,
    user_name: Text,
    partition: Text,
    cpus: Number,
    node_count: Number,
    nodes: Text,
    memory_per_node: Number,
    memory_per_cpu: Number,
    tres_per_node: Text,
    start_time: Number,
    end_time: Number,
}

impl Job {
    /// The job's number, of an array the array's, and which elements.
    fn place(&self) -> Option<(u32, Option<Elements>)> {
        let Some(array) = job_number(self.array_job_id) else {
            return Some((job_number(self.job_id)?, Elements::parse("N/A")));
        };
        let one = self.array_task_id.0.filter(|index| (0..NONE_FROM).contains(index));
        let which = one.map_or_else(|| self.array_task_string.0.clone(), |index| index.to_string());
        Some((array, Elements::parse(&which)))
    }

    /// Is it this user's, by name where that is known?
    pub(super) fn is_of(&self, user: u32, name: Option<&str>) -> bool {
        match name {
            // Tokens may be another user's than this process.
            Some(name) if !self.user_name.0.is_empty() => self.user_name.0 == name,
            Some(_) | None => self.user_id.0.is_some_and(|id| id == i64::from(user)),
        }
    }

    /// As a line of the queue.
    pub(super) fn line(&self) -> Option<QueueLine> {
        let (job, elements) = self.place()?;
        Some(QueueLine {
            job,
            elements,
            state: self.job_state.state(),
            name: self.name.0.clone(),
            reason: self.state_reason.0.clone(),
        })
    }

    /// As what it holds; none where it is over.
    pub(super) fn load_line(&self, now: Time) -> Option<Line> {
        let (_, elements) = self.place()?;
        let state = self.job_state.state();
        if state.is_over() {
            return None;
        }
        let nodes = self.node_count.count().max(1);
        let cpus = self.cpus.count();
        let memory = match self.memory_per_node.count() {
            0 => self.memory_per_cpu.count().saturating_mul(cpus).div_ceil(nodes),
            mib => mib,
        };
        let at = |number: Number| {
            let secs = number.0.filter(|secs| *secs > 0)?;
            Some(Time::EPOCH.plus(Span::from_secs(secs)))
        };
        // The minute that its end may be late.
        let left = |end: Time| end.since(now).max(Span::ZERO).plus(Span::from_secs(60));
        Some(Line {
            user: u32::try_from(self.user_id.0?).ok()?,
            state,
            elements: elements
                .map_or(1, |all| u32::try_from(all.each().count()).unwrap_or(u32::MAX)),
            cpus,
            nodes,
            memory: Bytes(memory.saturating_mul(MIB)),
            gres: self.tres_per_node.0.clone(),
            left: at(self.end_time).map(left),
            start: at(self.start_time),
            on: expand(&self.nodes.0).unwrap_or_default(),
            partitions: self.partition.0.clone(),
            name: self.name.0.clone(),
        })
    }
}

/// What the accounting says of jobs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct AccountJobs {
    jobs: Option<Vec<AccountJob>>,
    errors: Vec<Complaint>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct AccountJob {
    job_id: Number,
    name: Text,
    array: InArray,
    state: Standing,
    time: Times,
    steps: Vec<Step>,
}

/// A step of a job; what it had at most is told under what it asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    tres: StepTres,
    time: Times,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct StepTres {
    requested: Seen,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Seen {
    max: Vec<Tres>,
}

/// Seconds and the rest in microseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Split {
    seconds: Number,
    microseconds: Number,
}

impl Split {
    fn span(&self) -> Option<Span> {
        let rest = Span::from_micros(self.microseconds.0.unwrap_or(0));
        Some(Span::from_secs(self.seconds.0?).plus(rest)).filter(|all| *all > Span::ZERO)
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct InArray {
    job_id: Number,
    task_id: Number,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Standing {
    current: Flags,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Times {
    elapsed: Number,
    total: Split,
}

impl AccountJobs {
    pub(super) fn accounts(
        self,
        jobs: &way::Jobs,
    ) -> Result<BTreeMap<(u32, Index), Account>, String> {
        if self.errors.iter().any(|one| one.code() == FOUND_NOTHING) {
            return Ok(BTreeMap::new());
        }
        let told = listed(self.jobs, self.errors, "accounts of jobs")?;
        let mut all = BTreeMap::new();
        for (key, account) in told.iter().filter_map(|job| job.account(jobs)) {
            status::enter(&mut all, key, account);
        }
        Ok(all)
    }
}

impl AccountJob {
    /// None of a job that has the number of one that is asked about, and another name.
    fn account(&self, jobs: &way::Jobs) -> Option<((u32, Index), Account)> {
        let key = match job_number(self.array.job_id) {
            // The rest of an array that waits has no element of its own.
            Some(array) => (array, u32::try_from(self.array.task_id.0?).ok()?),
            None => (job_number(self.job_id)?, 0),
        };
        jobs.get(&key.0).filter(|name| **name == self.name.0)?;
        let state = self.state.current.state();
        let all = self.steps.iter().flat_map(|step| &step.tres.requested.max);
        let memory = all.filter(|one| one.kind.0 == "mem").map(|one| one.count.count()).max();
        let account = Account {
            state,
            elapsed_secs: self.time.elapsed.0.unwrap_or(0),
            cpu: self.time.total.span().or_else(|| self.of_steps()),
            memory: memory.filter(|bytes| *bytes > 0).map(Bytes),
        };
        Some((key, account))
    }

    /// The processor time of its steps: 22.05 says none of the whole.
    fn of_steps(&self) -> Option<Span> {
        let spans = self.steps.iter().filter_map(|step| step.time.total.span());
        spans.reduce(Span::plus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::status::State;
    use serde_json::{Value, json};

    fn of<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).expect("read")
    }

    #[test]
    fn only_a_clear_no_refuses_a_job() {
        let check = |success, answer: Value, expect: fn(&Submitted) -> bool| {
            let got = submitted(success, of(answer.clone()));
            assert!(expect(&got), "{got:?} of {answer}");
        };
        let unsure = |got: &Submitted| matches!(got, Submitted::Unsure(_));
        let refused = |got: &Submitted| matches!(got, Submitted::Refused(_));
        let taken = |got: &Submitted| *got == Submitted::Job(7);
        check(true, json!({"job_id": 7, "errors": []}), taken);
        let held = json!([{"error_code": 2042, "error": "Job is in held state"}]);
        check(true, json!({"job_id": 7, "errors": held}), taken);
        check(true, json!({"result": {"job_id": {"set": true, "number": 7}}}), taken);
        let partition = json!([{"error_code": 2000, "error": "Invalid partition name specified"}]);
        check(false, json!({ "errors": partition }), refused);
        let key =
            json!([{"description": "Unknown key \"x\""}, {"error_code": 9001, "error": "Failure"}]);
        check(false, json!({ "errors": key }), refused);
        // What is not Slurm's no.
        check(true, json!({}), unsure);
        check(true, json!({"job_id": 0, "errors": []}), unsure);
        check(true, json!({ "errors": partition }), unsure);
        check(false, json!({"job_id": 7}), unsure);
        check(false, json!({ "errors": [] }), unsure);
        let load =
            json!([{"description": "slurmctld config is unable to load", "error_number": -1}]);
        check(false, json!({ "errors": load }), unsure);
        let away = json!([{"error_code": 2055, "error": "Unable to contact slurm controller"}]);
        check(false, json!({ "errors": away }), unsure);
        let socket = json!([{"error_number": 5004, "error": "Socket timed out on send/recv"}]);
        check(false, json!({ "errors": socket }), unsure);
    }

    #[test]
    fn whose_a_job_is_is_told_by_name_where_there_is_one() {
        let check = |job: serde_json::Value, name, expect| {
            assert_eq!(of::<Job>(job).is_of(7, name), expect, "{name:?}");
        };
        check(json!({"user_id": 7, "user_name": "lin"}), None, true);
        check(json!({"user_id": 8, "user_name": "lin"}), None, false);
        check(json!({"user_id": 8, "user_name": "lin"}), Some("lin"), true);
        check(json!({"user_id": 7, "user_name": "li"}), Some("lin"), false);
        // Told by number alone.
        check(json!({"user_id": 7}), Some("lin"), true);
    }

    #[test]
    fn jobs_of_all_versions_are_the_same_lines() {
        let old = json!({"jobs": [
            {"job_id": 2, "array_job_id": 1, "array_task_id": 0, "array_task_string": "",
             "job_state": "RUNNING", "name": "dayan.i.a", "state_reason": "None"},
            {"job_id": 1, "array_job_id": 1, "array_task_id": null, "array_task_string": "8-19%4",
             "job_state": "PENDING", "name": "dayan.i.a", "state_reason": "Resources"},
            {"job_id": 30, "array_job_id": 0, "array_task_id": null, "job_state": "PREEMPTED",
             "name": "dayan.i.b"},
        ], "errors": []});
        let number = |n: u32| json!({"set": true, "infinite": false, "number": n});
        let none = json!({"set": false, "infinite": false, "number": 0});
        let new = json!({"jobs": [
            {"job_id": 2, "array_job_id": number(1), "array_task_id": number(0), "array_task_string": "",
             "job_state": ["RUNNING"], "name": "dayan.i.a", "state_reason": "None"},
            {"job_id": 1, "array_job_id": number(1), "array_task_id": none,
             "array_task_string": "8-19%4", "job_state": ["PENDING"], "name": "dayan.i.a",
             "state_reason": "Resources"},
            {"job_id": 30, "array_job_id": number(0), "array_task_id": none, "job_state": ["PREEMPTED"],
             "name": "dayan.i.b", "state_reason": null},
        ]});
        let lines = |value| -> Vec<QueueLine> {
            let jobs = of::<Jobs>(value).jobs().expect("a list");
            jobs.iter().filter_map(Job::line).collect()
        };
        let (old, new) = (lines(old), lines(new));
        assert_eq!(old, new);
        let stands: Vec<(u32, State)> = old.iter().map(|line| (line.job, line.state)).collect();
        assert_eq!(stands, [(1, State::Running), (1, State::Pending), (30, State::Preempted)]);
        let inside = |line: &QueueLine| line.elements.as_ref().map(|all| all.each().count());
        assert_eq!(old.iter().map(inside).collect::<Vec<_>>(), [Some(1), Some(12), Some(1)]);
    }

    #[test]
    fn an_answer_without_a_list_is_none() {
        for nothing in [json!({}), json!({"jobs": null}), json!({"errors": [{"error_number": 1}]})]
        {
            assert!(of::<Jobs>(nothing.clone()).jobs().is_err(), "{nothing}");
        }
        let failed =
            json!({"jobs": [], "errors": [{"error": "Unable to contact", "error_number": 1}]});
        assert!(of::<Jobs>(failed).jobs().is_err());
        assert!(of::<Jobs>(json!({"jobs": []})).jobs().is_ok_and(|jobs| jobs.is_empty()));
    }

    #[test]
    fn what_others_hold_is_read() {
        let job = json!({"job_id": 30, "job_state": ["RUNNING"], "name": "sim", "user_id": 7, "cpus": 4,
            "node_count": {"set": true, "number": 2}, "nodes": "n[1-2]", "memory_per_node": 100,
            "tres_per_node": "gres/gpu:a100:2", "start_time": 900, "end_time": 1600});
        let line = of::<Job>(job).load_line(Time::EPOCH.plus(Span::from_secs(1_000)));
        let line = line.expect("it runs");
        assert_eq!((line.user, line.cpus, line.nodes, line.elements), (7, 4, 2, 1));
        assert_eq!(line.memory, Bytes(100 << 20));
        assert_eq!(line.on, ["n1", "n2"]);
        assert_eq!(line.left, Some(Span::from_secs(660)));
        let over = json!({"job_id": 3, "job_state": "COMPLETED", "user_id": 7});
        assert_eq!(of::<Job>(over).load_line(Time::EPOCH), None);
    }

    #[test]
    fn accounts_are_read_by_element() {
        let answer = json!({"errors": [], "jobs": [
            {"job_id": 1, "array": {"job_id": 1, "task_id": null, "task": "0xFF"},
             "state": {"current": "PENDING"}},
            {"job_id": 2, "name": "a", "array": {"job_id": 1, "task_id": 0}, "state": {"current": "CANCELLED"},
             "time": {"elapsed": 3, "total": {"seconds": 2, "microseconds": 500_000}},
             "steps": [{"tres": {"requested": {"max": [
                 {"type": "cpu", "count": 9}, {"type": "mem", "count": 4096}]}}}]},
            {"job_id": 9, "name": "b", "array": {"job_id": 0, "task_id": {"set": false}},
             "state": {"current": ["TIMEOUT"]}, "time": {"elapsed": 61}},
            {"job_id": 11, "name": "c", "state": {"current": ["COMPLETED"]},
             "time": {"elapsed": 9, "total": {"seconds": 0, "microseconds": 0}},
             "steps": [{"time": {"total": {"seconds": 1, "microseconds": 500_000}}},
                       {"time": {"total": {"seconds": 2, "microseconds": 0}}}]},
            {"job_id": 9, "name": "b", "state": {"current": ["TIMEOUT"]}, "time": {"elapsed": 2}},
            {"job_id": 10, "name": "another's", "state": {"current": ["COMPLETED"]}},
        ]});
        let jobs = [(1, "a"), (9, "b"), (10, "c"), (11, "c")];
        let jobs: way::Jobs = jobs.map(|(job, name)| (job, name.to_owned())).into();
        let got = of::<AccountJobs>(answer).accounts(&jobs).expect("a list");
        // Twice: the site has put it back.
        let plain = Account { state: State::Timeout, elapsed_secs: 63, cpu: None, memory: None };
        let counted = Account {
            state: State::Cancelled,
            elapsed_secs: 3,
            cpu: Some(Span::from_millis(2_500)),
            memory: Some(Bytes(4_096)),
        };
        let by_steps = Account {
            state: State::Completed,
            elapsed_secs: 9,
            cpu: Some(Span::from_millis(3_500)),
            memory: None,
        };
        let expect = [((1, 0), counted), ((9, 0), plain), ((11, 0), by_steps)];
        assert_eq!(got, expect.into());
        let nothing =
            json!({"errors": [{"error_number": 9003, "error": "Nothing found"}], "jobs": []});
        assert!(of::<AccountJobs>(nothing).accounts(&jobs).is_ok_and(|all| all.is_empty()));
    }
}
