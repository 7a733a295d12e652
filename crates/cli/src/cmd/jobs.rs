//! `dayan ps`, `show`, `explain` (of schedules, too), and what a job is told: `cancel`, `retry`, `pause`, `resume`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dayan_units::Bytes;
use dayan_wire::{
    Attempt, Estimates, Explanation, Job, JobState, JobSummary, Schedule, TaskCounts, Waiting,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::schedules;
use super::session::{JobPath, Session};
use super::workflow::graph;
use crate::client::{JobFilter, Order};
use crate::exit::{Exit, Failure, Said, one_line};
use crate::output::{Cell, Format, Grid, Show, View, money, or_dash, seconds};
use crate::words::Word;

/// Attempts a person reads at once.
const ATTEMPTS_SHOWN: usize = 20;
/// Tasks whose newest checkpoint a table shows; JSON has the others.
const CHECKPOINTS_SHOWN: usize = 5;
/// An answer with fewer attempts than this holds all of them; one with more may be cut to a page.
const ATTEMPTS_PAGE_LEAST: usize = 50;
/// Attempts fetched at most for scripts.
const ATTEMPTS_MAX: usize = 200_000;

/// Lists jobs, the newest first
#[derive(Debug, clap::Args)]
pub struct Ps {
    /// Only of this project
    #[arg(long, value_name = "ORG/PROJECT")]
    project: Option<String>,
    /// Only in this state
    #[arg(long, value_parser = JobState::ALL.map(JobState::name))]
    state: Option<String>,
    /// Only with this name
    #[arg(long)]
    name: Option<String>,
    /// Schedules instead of jobs
    #[arg(long, conflicts_with_all = ["state", "limit"])]
    schedules: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    limit: u32,
}

/// A job and where it is in it
#[derive(Debug, clap::Args)]
pub struct OfJob {
    /// The job's id, or its name: the newest job of that name to look at, the only one to change
    job: String,
}

/// A job, or one of its tasks
#[derive(Debug, clap::Args)]
pub struct OfTask {
    /// JOB or JOB/TASK; the job's id, or its name: the newest job of that name to look at, the only one
    /// to change
    #[arg(value_name = "JOB[/TASK]")]
    job: String,
}

/// Lists jobs.
pub async fn ps(args: &Ps, session: &Session) -> Result<Exit, Failure> {
    let filter = JobFilter {
        project: args.project.clone(),
        state: args.state.clone(),
        name: args.name.clone(),
        number: None,
    };
    let client = session.client()?;
    let (project, name) = (args.project.as_deref(), args.name.as_deref());
    if args.schedules {
        session.out.show(&client.schedules(project, name).await?)?;
        return Ok(Exit::Ok);
    }
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let jobs = client.jobs(&filter, limit).await?;
    // What a person looks for may be a schedule. Scripts get jobs and nothing else.
    let schedules = match session.out.format {
        Format::Table if args.state.is_none() => {
            client.schedules(project, name).await.unwrap_or_default()
        }
        Format::Table | Format::Json | Format::Yaml => Vec::new(),
    };
    session.out.show(&Listed { jobs, schedules })?;
    Ok(Exit::Ok)
}

/// Shows one job.
pub async fn show(args: &OfJob, session: &Session) -> Result<Exit, Failure> {
    let path = whole_job(&args.job)?;
    let client = session.client()?;
    if let Some(schedule) = schedules::meant(&path, &client).await? {
        session.out.show(&client.schedule(&schedule).await?)?;
        return Ok(Exit::Ok);
    }
    let id = path.newest_id(&client, session).await?;
    let mut job = client.job(&id).await?;
    let mut pools = BTreeMap::new();
    match session.out.format {
        Format::Json | Format::Yaml if job.attempts.len() >= ATTEMPTS_PAGE_LEAST => {
            job.attempts = client.attempts(&id, ATTEMPTS_MAX).await?;
        }
        Format::Table if !job.attempts.is_empty() => {
            // Names are a courtesy: who may not list pools sees their ids.
            if let Ok(rows) = client.pools().await {
                pools = rows.into_iter().map(|pool| (pool.id, pool.name)).collect();
            }
        }
        Format::Json | Format::Yaml | Format::Table => {}
    }
    session.out.show(&ShownJob { job, pools })?;
    Ok(Exit::Ok)
}

/// Says why a job waits.
pub async fn explain(args: &OfJob, session: &Session) -> Result<Exit, Failure> {
    let path = whole_job(&args.job)?;
    let client = session.client()?;
    let id = path.newest_id(&client, session).await?;
    session.out.show(&client.explain(&id).await?)?;
    Ok(Exit::Ok)
}

/// Tells a job or a task what to do.
pub async fn tell(args: &OfTask, order: Order, session: &Session) -> Result<Exit, Failure> {
    let path = JobPath::parse(&args.job)?;
    if path.attempt.is_some() {
        return Err(Failure::usage(Said::with(Word::NoAttemptHere, "text", &args.job)));
    }
    give(&path, order, session).await
}

/// Tells a whole job what to do.
pub async fn tell_job(args: &OfJob, order: Order, session: &Session) -> Result<Exit, Failure> {
    give(&whole_job(&args.job)?, order, session).await
}

async fn give(path: &JobPath, order: Order, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    if let Some(schedule) = schedules::meant(path, &client).await? {
        return schedules::give(&schedule, order, &client, session).await;
    }
    let id = match order {
        Order::Cancel | Order::Pause | Order::Resume => path.live_id(&client).await?,
        Order::Retry => path.job_id(&client).await?,
    };
    // The exchange answers a cancellation of what has ended as it answers any other: what was to be
    // reached is so. Whoever asked should know that it was not their doing.
    if order == Order::Cancel
        && let Ok(job) = client.job(&id).await
        && super::submit::outcome(&job.summary.state).is_some()
    {
        let state = session.out.view.state(&job.summary.state);
        let said = Said::with(Word::AlreadyEnded, "job", &id).and("state", state);
        session.out.done(&told(&id, path.task), &said)?;
        return Ok(Exit::Ok);
    }
    client.order(&id, order, path.task).await?;
    let word = match order {
        Order::Cancel => Word::Cancelled,
        Order::Retry => Word::Retried,
        Order::Pause => Word::Paused,
        Order::Resume => Word::Resumed,
    };
    let shown = match path.task {
        Some(task) => format!("{id}/{task}"),
        None => id.clone(),
    };
    session.out.done(&told(&id, path.task), &Said::with(word, "job", shown))?;
    Ok(Exit::Ok)
}

/// What was told something, for scripts.
fn told(job: &str, task: Option<u32>) -> Value {
    match task {
        Some(task) => json!({ "job": job, "task": task }),
        None => json!({ "job": job }),
    }
}

fn whole_job(text: &str) -> Result<JobPath, Failure> {
    let path = JobPath::parse(text)?;
    match path.task {
        None => Ok(path),
        Some(_) => Err(Failure::usage(Said::with(Word::NoTaskHere, "text", text))),
    }
}

/// How many tasks are how far, without what is none.
pub fn counts(tasks: &TaskCounts, view: &View) -> String {
    let parts = [
        ("running", tasks.running),
        ("queued", tasks.queued),
        ("paused", tasks.paused),
        ("succeeded", tasks.succeeded),
        ("failed", tasks.failed),
        ("cancelled", tasks.cancelled),
    ];
    let said: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(state, count)| format!("{count} {}", view.state(state)))
        .collect();
    said.join(", ")
}

impl Show for Vec<JobSummary> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Job,
            Word::Name,
            Word::Project,
            Word::State,
            Word::Tasks,
            Word::Spent,
            Word::Submitted,
            Word::Reason,
        ];
        let mut grid = Grid::new(view, &heads);
        for job in self {
            let ended = job.tasks.succeeded + job.tasks.failed + job.tasks.cancelled;
            grid.row([
                Cell::id(&job.id),
                Cell::text(&job.name),
                Cell::text(&job.project),
                Cell::state(&job.state),
                Cell::number(format!("{ended}/{}", job.tasks.total)),
                Cell::number(money(&job.money.spent, &job.money.currency)),
                Cell::text(view.time(&job.submitted_at)),
                Cell::text(in_short(&job.waiting)),
            ]);
        }
        grid.finish()
    }
}

/// Why a job waits, in a column: the codes; what they mean here says `dayan explain`.
fn in_short(reasons: &[Waiting]) -> String {
    let codes: Vec<&str> = reasons.iter().map(|reason| reason.code.as_str()).collect();
    codes.join(", ")
}

/// What `ps` lists: jobs, and for people also schedules.
#[derive(Debug)]
pub struct Listed {
    /// Jobs.
    pub jobs: Vec<JobSummary>,
    /// Schedules; of the cancelled ones nobody is told again.
    pub schedules: Vec<Schedule>,
}

impl Serialize for Listed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.jobs.serialize(serializer)
    }
}

impl Show for Listed {
    fn table(&self, view: &View) -> String {
        let living: Vec<Schedule> =
            self.schedules.iter().filter(|of| of.state != "cancelled").cloned().collect();
        let tables = [self.jobs.table(view), living.table(view)];
        let tables: Vec<String> = tables.into_iter().filter(|table| !table.is_empty()).collect();
        tables.join("\n")
    }
}

/// A job with the names of the pools it ran in.
#[derive(Debug)]
pub struct ShownJob {
    /// The job.
    pub job: Job,
    /// Pools' names by id, as far as known.
    pub pools: BTreeMap<String, String>,
}

impl Serialize for ShownJob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.job.serialize(serializer)
    }
}

impl Show for ShownJob {
    fn table(&self, view: &View) -> String {
        let summary = &self.job.summary;
        let mut out = head(&self.job, view);
        if !summary.waiting.is_empty() {
            let _ = writeln!(out, "\n{}", view.word(Word::WhyItWaits));
            out.push_str(&waiting(&summary.waiting, view));
        }
        if !self.job.workflow.is_empty() {
            let _ = writeln!(out, "\n{}", view.word(Word::Workflow));
            out.push_str(&graph(&self.job.workflow, &summary.id, view));
        }
        if !self.job.attempts.is_empty() {
            out.push('\n');
            out.push_str(&self.attempts(view));
        }
        let ran = self.job.attempts.len();
        if ran > ATTEMPTS_SHOWN {
            let (shown, id) = (ATTEMPTS_SHOWN.to_string(), summary.id.as_str());
            let args = [("shown", shown.as_str()), ("job", id)];
            let _ = writeln!(out, "{}", view.lang.fill(Word::MoreAttempts, &args));
        }
        out
    }

    fn data(&self) -> Value {
        let mut data = serde_json::to_value(&self.job).expect("wire types have text keys");
        if let Some(Value::Array(attempts)) = data.get_mut("attempts") {
            for attempt in attempts {
                with_keys(attempt, &["exit_code", "started_at", "ended_at"]);
            }
        }
        data
    }
}

/// Keys that scripts may rely on are there when they have no value: as null.
pub fn with_keys(value: &mut Value, keys: &[&str]) {
    if let Value::Object(map) = value {
        for key in keys {
            map.entry(*key).or_insert(Value::Null);
        }
    }
}

fn head(job: &Job, view: &View) -> String {
    let summary = &job.summary;
    let mut grid = Grid::plain(view);
    grid.pair(Word::Job, Cell::id(&summary.id));
    grid.pair(Word::Name, Cell::text(&summary.name));
    grid.pair(Word::Project, Cell::text(&summary.project));
    grid.pair(Word::State, Cell::state(&summary.state));
    grid.pair(Word::Submitted, Cell::text(view.time(&summary.submitted_at)));
    if let Some(ended) = &summary.ended_at {
        grid.pair(Word::Ended, Cell::text(view.time(ended)));
    }
    if let (Some(schedule), Some(at)) = (&job.schedule, &job.scheduled_at) {
        let due = view.time(at);
        grid.pair(Word::Schedule, Cell::text(format!("{schedule} ({due})")));
    }
    if let Some(deadline) = &job.deadline {
        let kept = match job.deadline_met {
            Some(true) => format!(" ({})", view.word(Word::DeadlineMet)),
            Some(false) => format!(" ({})", view.word(Word::DeadlineMissed)),
            None => String::new(),
        };
        grid.pair(Word::Deadline, Cell::text(view.time(deadline) + &kept));
    }
    if let Some(promise) = &job.promise {
        grid.pair(Word::StartsBy, Cell::text(view.time(&promise.starts_by)));
        grid.pair(Word::EndsBy, Cell::text(view.time(&promise.ends_by)));
    }
    if let Some(quote) = &job.quote {
        grid.pair(Word::Quote, Cell::text(quote));
    }
    for raised in job.raised.iter().take(CHECKPOINTS_SHOWN) {
        let task = raised.task.map_or_else(String::new, |task| format!("{task}: "));
        grid.pair(Word::Memory, Cell::text(format!("{task}{}", Bytes(raised.memory))));
    }
    for saved in job.checkpoints.iter().take(CHECKPOINTS_SHOWN) {
        let (task, number, bytes) = (saved.task, saved.number, Bytes(saved.bytes));
        let at = view.time(&saved.at);
        grid.pair(Word::Checkpoint, Cell::text(format!("{task}: #{number}, {bytes}, {at}")));
    }
    let total = summary.tasks.total;
    grid.pair(Word::Tasks, Cell::text(format!("{total}: {}", counts(&summary.tasks, view))));
    let of = &summary.money;
    grid.pair(Word::Spent, Cell::text(money(&of.spent, &of.currency)));
    grid.pair(Word::Held, Cell::text(money(&of.held, &of.currency)));
    grid.finish()
}

fn waiting(reasons: &[Waiting], view: &View) -> String {
    let mut grid = Grid::plain(view);
    for reason in reasons {
        grid.row([Cell::text(&reason.code), Cell::text(&reason.message)]);
    }
    grid.finish()
}

impl ShownJob {
    fn attempts(&self, view: &View) -> String {
        let heads = [
            Word::Task,
            Word::Attempt,
            Word::Pool,
            Word::Node,
            Word::State,
            Word::ExitCode,
            Word::Started,
            Word::Ended,
            Word::Used,
            Word::Reason,
        ];
        let mut grid = Grid::new(view, &heads);
        for attempt in self.job.attempts.iter().take(ATTEMPTS_SHOWN) {
            grid.row(self.attempt(attempt, view));
        }
        grid.finish()
    }

    fn attempt(&self, attempt: &Attempt, view: &View) -> [Cell; 10] {
        let pool = self.pools.get(&attempt.pool).unwrap_or(&attempt.pool);
        [
            Cell::number(attempt.task),
            Cell::number(attempt.attempt),
            Cell::text(pool),
            Cell::text(&attempt.node),
            Cell::state(&attempt.state),
            Cell::number(or_dash(attempt.exit_code, |code| code.to_string())),
            Cell::text(view.time_or_dash(attempt.started_at.as_deref())),
            Cell::text(view.time_or_dash(attempt.ended_at.as_deref())),
            Cell::text(or_dash(attempt.used_finally().as_ref(), used) + &by_site(attempt)),
            Cell::text(
                copied(attempt, view).unwrap_or_else(|| attempt.reason.clone().unwrap_or_default()),
            ),
        ]
    }
}

/// How far its copying is.
fn copied(attempt: &Attempt, view: &View) -> Option<String> {
    let copying = attempt.copying.as_ref()?;
    let far = (copying.total > 0).then(|| {
        let (done, total) = (Bytes(copying.done), Bytes(copying.total));
        let part = format!("{} {done} / {total}", view.word(Word::Copied));
        // What is not there yet may be larger than it is known to be.
        if copying.trouble.is_some() {
            return part;
        }
        let percent = u128::from(copying.done) * 100 / u128::from(copying.total);
        format!("{part} ({percent} %)")
    });
    let told: Vec<String> = far.into_iter().chain(copying.trouble.clone()).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// The job of its site's that the numbers are of, where they are the site's.
fn by_site(attempt: &Attempt) -> String {
    attempt.counted_alone().map_or_else(String::new, |site| format!(" ({})", site.job))
}

/// Processor time, largest memory, and energy where it was read.
fn used(used: &dayan_wire::Counters) -> String {
    let cpu = used.cpu_us as f64 / 1e6;
    let energy = used.energy_uj.map_or_else(String::new, |micro| {
        let joule = micro as f64 / 1e6;
        if joule < 10_000.0 {
            format!(" {joule:.1} J")
        } else {
            format!(" {:.2} Wh", joule / 3_600.0)
        }
    });
    format!("{cpu:.1} s {:.1} MB{energy}", used.memory_peak as f64 / 1e6)
}

impl Show for Explanation {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::plain(view);
        grid.pair(Word::Job, Cell::text(&self.job));
        grid.pair(Word::Standing, Cell::state(&self.standing));
        if let Some(position) = self.position {
            grid.pair(Word::JobsBefore, Cell::text(position.to_string()));
        }
        if let Some(behind) = self.behind_s {
            grid.pair(Word::Behind, Cell::text(seconds(behind)));
        }
        if let Some(urgency) = &self.urgency {
            let lifted = match (urgency.lifted, urgency.lost) {
                (true, _) => Word::Lifted,
                (false, false) => Word::NotLifted,
                (false, true) => Word::TooLate,
            };
            let at = view.time(&urgency.start_by);
            grid.pair(Word::StartBy, Cell::text(view.lang.fill(lifted, &[("at", &at)])));
            let of = urgency.met + urgency.missed;
            if of > 0 {
                let text = format!("{} / {of}", urgency.met);
                grid.pair(Word::SoftDeadlinesMet, Cell::text(text));
            }
        }
        grid.pair(Word::TasksWaiting, Cell::text(self.tasks_waiting.to_string()));
        if let (Some(p50), Some(p90)) = (self.start_p50_s, self.start_p90_s) {
            let expected = format!("P50 {}, P90 {}", seconds(p50), seconds(p90));
            grid.pair(Word::ExpectedStart, Cell::text(expected));
        }
        if let Some(told) = &self.told {
            let (p50, p90) = (seconds(told.start_p50_s), seconds(told.start_p90_s));
            let came = told.waited_s.map_or_else(String::new, |s| format!(" → {}", seconds(s)));
            grid.pair(Word::WasExpected, Cell::text(format!("P50 {p50}, P90 {p90}{came}")));
        }
        if self.estimates.scored > 0 {
            let Estimates { scored, within_p50, within_p90 } = self.estimates;
            let percent = |part: u64| part * 100 / scored;
            let (p50, p90) = (percent(within_p50), percent(within_p90));
            let text = format!("{p50} % ≤ P50, {p90} % ≤ P90 ({scored})");
            grid.pair(Word::EstimatesHeld, Cell::text(text));
        }
        let mut out = grid.finish();
        if !self.reasons.is_empty() {
            let mut grid = Grid::new(view, &[Word::Pools, Word::Reason, Word::Message]);
            for reason in &self.reasons {
                grid.row([
                    // What is the job's own, no pool says.
                    match reason.pools {
                        0 => Cell::number("-"),
                        pools => Cell::number(pools),
                    },
                    Cell::text(&reason.code),
                    Cell::text(&reason.message),
                ]);
            }
            out.push('\n');
            out.push_str(&grid.finish());
        }
        if !self.relaxations.is_empty() {
            let _ = writeln!(out, "\n{}", view.word(Word::WouldHelp));
            for relaxation in &self.relaxations {
                let pools = relaxation.pools.to_string();
                let args = [
                    ("key", relaxation.key.as_deref().unwrap_or(&relaxation.code)),
                    ("pools", &pools),
                    ("example", &relaxation.example),
                ];
                // What is the pool's own has no key in the job file.
                let word = match relaxation.key {
                    Some(_) => Word::Relaxation,
                    None => Word::RelaxationOfPool,
                };
                let line = view.lang.fill(word, &args);
                let _ = writeln!(out, "  {}", one_line(&line));
            }
        }
        out
    }

    fn data(&self) -> Value {
        let mut data = serde_json::to_value(self).expect("wire types have text keys");
        with_keys(&mut data, &["position", "start_p50_s", "start_p90_s"]);
        data
    }
}

#[cfg(test)]
#[path = "jobs_tests.rs"]
mod tests;
