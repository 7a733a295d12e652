//! Jobs of the exchange as Slurm would see them: states, elements, times. What `squeue`, `sacct`
//! and `scancel` show and choose from.
//!
//! Must not know formats or command lines.

use std::collections::BTreeMap;

use dayan_spec::{JobSpec, sbatch::LIST_VARIABLE};
use dayan_units::JobId;
use dayan_wire as wire;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::pools::Pools;

/// A state with Slurm's two names for it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// Waits.
    Pending,
    /// On its way to a machine.
    Configuring,
    /// Runs.
    Running,
    /// Its results are published.
    Completing,
    /// Ended well.
    Completed,
    /// Ended badly.
    Failed,
    /// Ended at its limit.
    Timeout,
    /// Ended for want of memory.
    OutOfMemory,
    /// Taken back by its user.
    Cancelled,
    /// Its machine went away.
    NodeFail,
    /// It could not be started.
    BootFail,
    /// Its room went to another.
    Preempted,
}

/// States of Slurm's jobs that nothing here is ever in: scripts name them in lists with others.
const ELSEWHERE: [(&str, &str); 12] = [
    ("DEADLINE", "DL"),
    ("REQUEUED", "RQ"),
    ("REQUEUE_FED", "RF"),
    ("REQUEUE_HOLD", "RH"),
    ("RESIZING", "RS"),
    ("RESV_DEL_HOLD", "RD"),
    ("REVOKED", "RV"),
    ("SIGNALING", "SI"),
    ("SPECIAL_EXIT", "SE"),
    ("STAGE_OUT", "SO"),
    ("STOPPED", "ST"),
    ("SUSPENDED", "S"),
];

impl State {
    /// All of them, in the order of a job's way.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Configuring,
        Self::Running,
        Self::Completing,
        Self::Completed,
        Self::Failed,
        Self::Timeout,
        Self::OutOfMemory,
        Self::Cancelled,
        Self::NodeFail,
        Self::BootFail,
        Self::Preempted,
    ];
    /// The long and the short name.
    pub const fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Pending => ("PENDING", "PD"),
            Self::Configuring => ("CONFIGURING", "CF"),
            Self::Running => ("RUNNING", "R"),
            Self::Completing => ("COMPLETING", "CG"),
            Self::Completed => ("COMPLETED", "CD"),
            Self::Failed => ("FAILED", "F"),
            Self::Timeout => ("TIMEOUT", "TO"),
            Self::OutOfMemory => ("OUT_OF_MEMORY", "OOM"),
            Self::Cancelled => ("CANCELLED", "CA"),
            Self::NodeFail => ("NODE_FAIL", "NF"),
            Self::BootFail => ("BOOT_FAIL", "BF"),
            Self::Preempted => ("PREEMPTED", "PR"),
        }
    }
    /// By either name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        let same = |other: &str| other.eq_ignore_ascii_case(name);
        Self::ALL.into_iter().find(|state| same(state.names().0) || same(state.names().1))
    }
    /// By their names; one of Slurm's that nothing here is ever in is none of them. An error is a name that
    /// is no state's.
    pub fn listed(names: &[String]) -> Result<Vec<Self>, String> {
        let mut all = Vec::new();
        for name in names {
            let same = |other: &str| other.eq_ignore_ascii_case(name);
            let never = || ELSEWHERE.iter().any(|(long, short)| same(long) || same(short));
            match Self::from_name(name) {
                Some(state) => all.push(state),
                None if never() => {}
                None => return Err(name.clone()),
            }
        }
        Ok(all)
    }
    /// Has it ended?
    pub const fn has_ended(self) -> bool {
        match self {
            Self::Pending | Self::Configuring | Self::Running | Self::Completing => false,
            Self::Completed
            | Self::Failed
            | Self::Timeout
            | Self::OutOfMemory
            | Self::Cancelled
            | Self::NodeFail
            | Self::BootFail
            | Self::Preempted => true,
        }
    }
    /// That of an attempt.
    pub fn of(attempt: &wire::Attempt) -> Self {
        // The exchange says why in words; these two are the ones Slurm has a state for.
        let reason = attempt.reason.as_deref().unwrap_or("");
        match attempt.state.as_str() {
            "leased" | "staging" => Self::Configuring,
            "running" => Self::Running,
            "publishing" => Self::Completing,
            "succeeded" => Self::Completed,
            "cancelled" => Self::Cancelled,
            "lost" => Self::NodeFail,
            "preempted" => Self::Preempted,
            _ if reason.starts_with("longer than") => Self::Timeout,
            _ if reason.starts_with("more memory") => Self::OutOfMemory,
            // Slurm's word for what could not be launched. An agent counts the time that it tried, so that
            // such an attempt may have a beginning.
            _ if reason.starts_with("could not start") && attempt.exit_code.is_none() => {
                Self::BootFail
            }
            _ if attempt.started_at.is_none()
                && attempt.exit_code.is_none()
                && !reason.starts_with("signal ") =>
            {
                Self::BootFail
            }
            _ => Self::Failed,
        }
    }
    fn of_job(state: &str) -> Self {
        match state {
            "succeeded" => Self::Completed,
            "cancelled" => Self::Cancelled,
            "running" => Self::Running,
            "paused" | "queued" => Self::Pending,
            // What can be paid for no more has ended badly, as for who waits for it.
            _ => Self::Failed,
        }
    }
}

/// A job with all that is asked about it.
#[derive(Debug)]
pub struct Job {
    /// As the exchange tells it.
    pub told: wire::Job,
    /// Its file.
    pub spec: Option<JobSpec>,
    /// Its number.
    pub number: u64,
    /// The elements of its array, where they have no common step.
    listed: Option<Vec<u32>>,
}

/// Which part of a job a line is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// All of it.
    Whole,
    /// One element of its array: its number, and the task that runs it.
    Element(u32, u32),
    /// Elements without an attempt that counts: they wait, also to be tried again, or were cancelled before
    /// they were tried.
    Untried(Vec<u32>),
}

/// One line.
#[derive(Clone, Debug)]
pub struct Line<'j> {
    /// Of this job.
    pub job: &'j Job,
    /// Of this part of it.
    pub part: Part,
    /// Its state.
    pub state: State,
    /// Its newest attempts, one for each member of a gang.
    pub attempts: Vec<&'j wire::Attempt>,
}

impl Job {
    /// From what the exchange tells.
    pub fn new(told: wire::Job) -> Self {
        let spec: Option<JobSpec> = serde_json::from_value(told.spec.clone()).ok();
        let number = told.summary.id.parse().map_or(0, JobId::number);
        let listed = spec.as_ref().and_then(|spec| spec.env.get(LIST_VARIABLE)).and_then(|list| {
            list.split(',').map(|element| element.parse().ok()).collect::<Option<Vec<u32>>>()
        });
        Self { told, spec, number, listed }
    }
    /// What the script calls itself.
    pub fn name(&self) -> &str {
        self.variable("SLURM_JOB_NAME").unwrap_or(&self.told.summary.name)
    }
    /// A variable that its script is given.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.spec.as_ref()?.env.get(name).map(String::as_str)
    }
    fn is_array(&self) -> bool {
        self.spec.as_ref().is_some_and(|spec| spec.array.is_some())
    }
    /// The element that a task runs; of a task with several, the first.
    pub fn element(&self, task: u32) -> Option<u32> {
        if let Some(listed) = &self.listed {
            return listed.get(usize::try_from(task).ok()?).copied();
        }
        let (first, _, _) = self.spec.as_ref()?.array?.task_slice(task)?;
        Some(first)
    }
    /// The task that runs an element.
    pub fn task_of(&self, element: u32) -> Option<u32> {
        if let Some(listed) = &self.listed {
            return listed.iter().position(|other| *other == element)?.try_into().ok();
        }
        let array = self.spec.as_ref()?.array?;
        let steps = element.checked_sub(array.first)?;
        let hit = steps.is_multiple_of(array.step) && element <= array.last;
        hit.then_some(steps / array.step / array.chunk.max(1))
    }
    /// How many nodes one line of it has.
    pub fn nodes(&self) -> u32 {
        self.spec.as_ref().map_or(1, JobSpec::gang_nodes)
    }

    /// Its lines: one for all elements that wait, one for those that were cancelled before they were
    /// tried, one for each that was tried.
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut newest: BTreeMap<u32, &wire::Attempt> = BTreeMap::new();
        for attempt in &self.told.attempts {
            let slot = newest.entry(attempt.task).or_insert(attempt);
            if attempt.attempt > slot.attempt {
                *slot = attempt;
            }
        }
        let waits = |task: u32| is_in(&self.told.queued, task);
        if !self.is_array() {
            return vec![self.whole(newest.into_values().collect(), !self.told.queued.is_empty())];
        }
        let tried = newest.iter().filter(|(task, _)| !waits(**task));
        let mut lines: Vec<Line<'_>> = tried
            .map(|(task, attempt)| Line {
                job: self,
                part: Part::Element(self.element(*task).unwrap_or(*task), *task),
                state: self.state_of(attempt),
                attempts: vec![attempt],
            })
            .collect();
        let elements = |tasks: &mut dyn Iterator<Item = u32>| -> Vec<u32> {
            tasks.map(|task| self.element(task).unwrap_or(task)).collect()
        };
        let mut untried = |elements: Vec<u32>, state, at| {
            if !elements.is_empty() {
                let part = Part::Untried(elements);
                lines.insert(at, Line { job: self, part, state, attempts: Vec::new() });
            }
        };
        // What was cancelled before it was tried has no attempt that says so.
        let cancelled = self.told.cancelled.iter().flat_map(|[a, b]| *a..=*b);
        let cancelled = elements(&mut cancelled.filter(|task| !newest.contains_key(task)));
        untried(cancelled, State::Cancelled, 0);
        let waiting = elements(&mut self.told.queued.iter().flat_map(|[a, b]| *a..=*b));
        untried(waiting, State::Pending, 0);
        if lines.is_empty() {
            lines.push(self.whole(Vec::new(), false));
        }
        lines
    }

    /// The state of a task by its newest attempt.
    fn state_of(&self, newest: &wire::Attempt) -> State {
        let own = State::of(newest);
        let badly = own.has_ended() && own != State::Completed;
        // What was to be tried again and was cancelled before has an attempt that ended otherwise. Where
        // nothing can be paid for any more, nobody has cancelled it.
        let taken_back = is_in(&self.told.cancelled, newest.task)
            && self.told.summary.state != wire::JobState::Unfunded.name();
        if badly && taken_back { State::Cancelled } else { own }
    }

    fn whole<'j>(&'j self, attempts: Vec<&'j wire::Attempt>, waits: bool) -> Line<'j> {
        let state = State::of_job(&self.told.summary.state);
        let of_attempts = attempts.iter().map(|attempt| State::of(attempt));
        let state = match state {
            // While one member of a gang runs, the job does.
            State::Running => {
                let live = of_attempts.filter(|state| !state.has_ended());
                live.max().unwrap_or(State::Running)
            }
            State::Failed => {
                let bad = of_attempts
                    .filter(|state| state.has_ended() && *state != State::Completed)
                    .filter(|state| *state != State::Cancelled);
                bad.min().unwrap_or(State::Failed)
            }
            State::Pending if waits => State::Pending,
            other => other,
        };
        let attempts = if state == State::Pending { Vec::new() } else { attempts };
        Line { job: self, part: Part::Whole, state, attempts }
    }
}

impl Line<'_> {
    /// Its own number, `SLURM_JOB_ID` of its task. None of an element whose does not fit.
    pub fn raw(&self) -> Option<u64> {
        match &self.part {
            Part::Whole | Part::Untried(_) => Some(self.job.number),
            Part::Element(element, _) => {
                dayan_spec::sbatch::element_number(self.job.number, *element)
            }
        }
    }
    /// As a number by itself, as far as there is one.
    pub fn number(&self) -> String {
        self.raw().map_or_else(|| self.id(), |number| number.to_string())
    }
    /// As `squeue` names it: `7`, `7_3`, `7_[4-9%2]`.
    pub fn id(&self) -> String {
        let number = self.job.number;
        match &self.part {
            Part::Whole => number.to_string(),
            Part::Element(element, _) => format!("{number}_{element}"),
            Part::Untried(elements) => {
                let most = self.job.spec.as_ref().and_then(|spec| spec.array?.max_parallel);
                let most = most.filter(|_| self.state == State::Pending);
                let most = most.map_or_else(String::new, |most| format!("%{most}"));
                format!("{number}_[{}{most}]", ranges(elements))
            }
        }
    }
    /// The element, or the elements.
    pub fn elements(&self) -> Option<String> {
        match &self.part {
            Part::Whole => None,
            Part::Element(element, _) => Some(element.to_string()),
            Part::Untried(elements) => Some(ranges(elements)),
        }
    }
    /// Lines for each element that was not tried.
    pub fn apart(self) -> Vec<Self> {
        let Part::Untried(elements) = &self.part else { return vec![self] };
        let (job, state) = (self.job, self.state);
        let each = elements.iter().map(|element| {
            let task = job.task_of(*element).unwrap_or(*element);
            Self { job, part: Part::Element(*element, task), state, attempts: Vec::new() }
        });
        each.collect()
    }
    /// When it began.
    pub fn started(&self) -> Option<Timestamp> {
        self.attempts.iter().filter_map(|attempt| moment(attempt.started_at.as_deref())).min()
    }
    /// When it ended.
    pub fn ended(&self) -> Option<Timestamp> {
        if !self.state.has_ended() {
            return None;
        }
        let last =
            self.attempts.iter().filter_map(|attempt| moment(attempt.ended_at.as_deref())).max();
        last.or_else(|| moment(self.job.told.summary.ended_at.as_deref()))
    }
    /// How long it has run, in seconds.
    pub fn elapsed_s(&self, now: Timestamp) -> i64 {
        let Some(started) = self.started() else { return 0 };
        let until = self.ended().unwrap_or(now);
        (until.as_second() - started.as_second()).max(0)
    }
    /// Its limit, in seconds.
    pub fn limit_s(&self) -> Option<i64> {
        Some(self.job.spec.as_ref()?.resources.time.micros() / 1_000_000)
    }
    /// Cores of all its nodes.
    pub fn cpus(&self) -> u64 {
        let each = self.job.spec.as_ref().map_or(1_000, |spec| spec.resources.cpus.min.0);
        each.div_ceil(1_000).max(1) * u64::from(self.job.nodes())
    }
    /// Memory of a node, in MiB.
    pub fn memory_mib(&self) -> u64 {
        self.job.spec.as_ref().map_or(0, |spec| spec.resources.memory.min.0).div_ceil(1 << 20)
    }
    /// Its machines.
    pub fn node_list(&self) -> String {
        let names: Vec<&str> = self.attempts.iter().map(|attempt| attempt.node.as_str()).collect();
        hosts(&names)
    }
    /// Where it runs: the pool's name, or the partition that was asked for.
    pub fn partition(&self, pools: &Pools) -> String {
        if let Some(attempt) = self.attempts.first() {
            return pools.name(&attempt.pool).unwrap_or(&attempt.pool).to_owned();
        }
        let asked = self.slurm_option("partition");
        asked.map_or_else(|| "any".to_owned(), |asked| pools.shown(asked))
    }
    /// An option that is handed to Slurm pools.
    pub fn slurm_option(&self, name: &str) -> Option<&str> {
        self.job.spec.as_ref()?.backend.slurm.get(name).map(String::as_str)
    }
    /// The element that it is, where it is one by itself.
    pub fn element(&self) -> Option<u32> {
        match self.part {
            Part::Element(element, _) => Some(element),
            Part::Whole | Part::Untried(_) => None,
        }
    }
    /// Why it waits, in Slurm's words where it has one.
    pub fn reason(&self, now: Timestamp) -> String {
        if self.state != State::Pending {
            return "None".to_owned();
        }
        let spec = self.job.spec.as_ref();
        let begin = spec.and_then(|spec| spec.begin).map(dayan_units::Time::micros);
        if self.job.told.summary.state == "paused" {
            "JobHeldUser".to_owned()
        } else if begin.is_some_and(|begin| begin > now.as_microsecond()) {
            "BeginTime".to_owned()
        } else if self.job.told.summary.waiting.iter().any(|why| why.code == "job.depends_never") {
            "DependencyNeverSatisfied".to_owned()
        } else if self.job.told.summary.waiting.iter().any(|why| why.code == "job.depends") {
            "Dependency".to_owned()
        } else if self.at_limit() {
            "JobArrayTaskLimit".to_owned()
        } else {
            resources(&self.job.told.summary.waiting).to_owned()
        }
    }
    fn at_limit(&self) -> bool {
        let most = self.job.spec.as_ref().and_then(|spec| spec.array?.max_parallel);
        most.is_some_and(|most| self.job.told.summary.tasks.running >= u64::from(most))
    }
    /// Exit status and signal, as Slurm keeps them.
    pub fn exit(&self) -> (i32, i32) {
        // What was cancelled before it was tried again does not end as that attempt did.
        let own = |attempt: &&&wire::Attempt| {
            self.state != State::Cancelled || State::of(attempt) == State::Cancelled
        };
        let each = self.attempts.iter().filter(own).map(|attempt| exit(attempt));
        each.max().unwrap_or((0, 0))
    }
    /// Cards of a node, as a generic resource.
    pub fn cards(&self) -> Option<String> {
        self.gres("gres:gpu", ':', 1)
    }
    /// The same of all its nodes.
    pub fn all_cards(&self) -> Option<String> {
        self.gres("gres:gpu", ':', self.job.nodes())
    }
    /// All that Slurm would count of it; `memory` is that of all its nodes, as it is to be shown.
    pub fn tres(&self, memory: &str) -> String {
        let (cpus, nodes) = (self.cpus(), self.job.nodes());
        let cards = self.gres("gres/gpu", '=', nodes);
        let cards = cards.map_or_else(String::new, |cards| format!(",{cards}"));
        format!("billing={cpus},cpu={cpus},mem={memory},node={nodes}{cards}")
    }
    fn gres(&self, name: &str, mark: char, nodes: u32) -> Option<String> {
        let ask = self.job.spec.as_ref()?.resources.accelerators.first()?;
        let count = ask.count.0.div_ceil(1_000) * u64::from(nodes);
        Some(match &ask.kind {
            dayan_spec::AcceleratorKind::Any => format!("{name}{mark}{count}"),
            kind => format!("{name}:{kind}{mark}{count}"),
        })
    }
}

/// Why there is no room for it.
fn resources(waiting: &[wire::Waiting]) -> &'static str {
    let is = |code: &str| waiting.iter().any(|why| why.code == code);
    if !waiting.is_empty() && waiting.iter().all(|why| why.lasting) {
        "BadConstraints"
    } else if is("job.license") {
        "Licenses"
    } else {
        "Resources"
    }
}

/// Exit status and signal of an attempt.
fn exit(attempt: &wire::Attempt) -> (i32, i32) {
    if let Some(code) = attempt.exit_code {
        return (code, 0);
    }
    let reason = attempt.reason.as_deref().unwrap_or("");
    let signal = reason.strip_prefix("signal ").and_then(|signal| signal.parse().ok());
    match (signal, State::of(attempt)) {
        (Some(signal), _) => (0, signal),
        (None, State::Failed | State::NodeFail) => (1, 0),
        (None, State::Timeout) => (0, 15),
        (None, State::OutOfMemory) => (0, 125),
        (None, _) => (0, 0),
    }
}

fn moment(text: Option<&str>) -> Option<Timestamp> {
    text?.parse().ok()
}

/// Is a task in these runs of tasks?
fn is_in(runs: &[[u32; 2]], task: u32) -> bool {
    runs.iter().any(|[first, last]| (*first..=*last).contains(&task))
}

/// When a job came.
pub fn submitted(job: &Job) -> Option<Timestamp> {
    moment(Some(&job.told.summary.submitted_at))
}

/// From when on it may start.
pub fn eligible(job: &Job) -> Option<Timestamp> {
    let begin = job.spec.as_ref().and_then(|spec| spec.begin);
    let begin = begin.and_then(|begin| Timestamp::from_microsecond(begin.micros()).ok());
    begin.or_else(|| submitted(job))
}

/// Numbers as ranges: `1-3,8`.
pub fn ranges(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*number) => *last = *number,
            Some(_) | None => runs.push((*number, *number)),
        }
    }
    let shown = |(first, last): &(u32, u32)| {
        if first == last { first.to_string() } else { format!("{first}-{last}") }
    };
    runs.iter().map(shown).collect::<Vec<_>>().join(",")
}

/// Names of machines, those that differ by a number at their end together: `n[1-3],gpu`.
pub fn hosts(names: &[&str]) -> String {
    let mut groups: Vec<(&str, usize, Vec<u32>)> = Vec::new();
    let mut plain: Vec<&str> = Vec::new();
    for name in names {
        let digits = name.len() - name.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let (stem, end) = name.split_at(name.len() - digits);
        match end.parse::<u32>() {
            // Leading zeros belong to the name.
            Ok(number) if !stem.is_empty() && (digits == 1 || !end.starts_with('0')) => {
                match groups.iter_mut().find(|(known, _, _)| *known == stem) {
                    Some((_, _, numbers)) => numbers.push(number),
                    None => groups.push((stem, digits, vec![number])),
                }
            }
            Ok(_) | Err(_) if name.is_empty() => {}
            Ok(_) | Err(_) => plain.push(name),
        }
    }
    let mut shown = Vec::new();
    for (stem, _, mut numbers) in groups {
        numbers.sort_unstable();
        numbers.dedup();
        shown.push(match numbers[..] {
            [one] => format!("{stem}{one}"),
            _ => format!("{stem}[{}]", ranges(&numbers)),
        });
    }
    plain.dedup();
    shown.extend(plain.into_iter().map(str::to_owned));
    shown.join(",")
}

/// A span as `squeue` shows it: `0:05`, `1:02:03`, `2-03:04:05`.
pub fn span(seconds: i64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (hours, minutes, seconds) = (rest / 3_600, rest / 60 % 60, rest % 60);
    match (days, hours) {
        (0, 0) => format!("{minutes}:{seconds:02}"),
        (0, _) => format!("{hours}:{minutes:02}:{seconds:02}"),
        (_, _) => format!("{days}-{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

/// A span as `sacct` shows it: `00:00:05`, `2-03:04:05`.
pub fn full_span(seconds: i64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let clock = format!("{:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60);
    if days > 0 { format!("{days}-{clock}") } else { clock }
}

/// A moment on the viewer's clock, `2026-11-30T18:00:00`.
pub fn clock(at: Option<Timestamp>, zone: &TimeZone, none: &str) -> String {
    at.map_or_else(
        || none.to_owned(),
        |at| at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S").to_string(),
    )
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
