//! `sacct`: what became of jobs, in the columns that are asked for.

use dayan_spec::sbatch;
use dayan_units::QUEUE_NODE;
use dayan_wire::Counters;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use super::again::{CLUSTER, clusters};
use super::ask::{Target, details, named, pool_names};
use super::format::{Named, Parting, named_lines};
use super::pools::Pools;
use super::view::{Job, Line, Part, State, clock, eligible, full_span, submitted};
use super::{LISTED_MAX, Refused, Tool, fields, listed, unix, users};
use crate::client::JobFilter;
use crate::cmd::session::Session;

/// The name that stands for all fields.
const EVERYTHING: &str = "ALL";
const DEFAULT: &str = "JobID,JobName,Partition,Account,AllocCPUS,State,ExitCode";
const BRIEF: &str = "JobID,State,ExitCode";
const LONG: &str = "JobID,JobIDRaw,JobName,Partition,MaxRSS,AllocCPUS,Elapsed,State,ExitCode,ReqMem,\
    TotalCPU,MaxDiskRead,MaxDiskWrite,Submit,Start,End,NodeList";

/// Shows jobs that ran
#[derive(Debug, clap::Parser)]
#[command(
    name = "sacct",
    disable_help_flag = true,
    disable_version_flag = true,
    infer_long_args = true
)]
pub struct Sacct {
    /// Of all users, not only of you
    #[arg(short = 'a', long)]
    allusers: bool,
    /// Only of these accounts: projects
    #[arg(short = 'A', long = "accounts", alias = "account", value_name = "NAMES")]
    accounts: Vec<String>,
    /// A line for each element of an array that waits
    #[arg(long)]
    array: bool,
    /// Number, state and exit code
    #[arg(short = 'b', long)]
    brief: bool,
    /// Only jobs with one of these constraints
    #[arg(short = 'C', long, value_name = "NAMES")]
    constraints: Vec<String>,
    /// Every attempt, not only the newest
    #[arg(short = 'D', long)]
    duplicates: bool,
    /// What parts fields with `--parsable`
    #[arg(long, value_name = "TEXT", default_value = "|")]
    delimiter: String,
    /// The fields there are
    #[arg(short = 'e', long)]
    helpformat: bool,
    /// Only what began before; `now` unless told
    #[arg(short = 'E', long, value_name = "TIME")]
    endtime: Option<String>,
    /// Nothing more than without: there is one cluster
    #[arg(long)]
    federation: bool,
    /// Only of these groups: organisations
    #[arg(short = 'g', long = "gid", alias = "group", value_name = "NAMES")]
    groups: Vec<String>,
    /// Only these jobs
    #[arg(short = 'j', long, value_name = "IDS")]
    jobs: Vec<String>,
    /// More columns
    #[arg(short = 'l', long)]
    long: bool,
    /// Nothing more than without: there is one cluster
    #[arg(short = 'L', long)]
    allclusters: bool,
    /// The same
    #[arg(long)]
    local: bool,
    /// Of these clusters: there is one, `dayan`
    #[arg(short = 'M', long, alias = "cluster", value_name = "NAMES")]
    clusters: Vec<String>,
    /// No line of heads
    #[arg(short = 'n', long = "noheader")]
    no_header: bool,
    /// Only jobs with these names
    #[arg(long, value_name = "NAMES")]
    name: Vec<String>,
    /// Only what ran on these nodes
    #[arg(short = 'N', long, value_name = "NODES")]
    nodelist: Vec<String>,
    /// Columns by name, as `JobID,State%20`
    #[arg(short = 'o', long, value_name = "NAMES")]
    format: Vec<String>,
    /// A mark after each field
    #[arg(short = 'p', long)]
    parsable: bool,
    /// A mark between fields
    #[arg(short = 'P', long)]
    parsable2: bool,
    /// Only in these partitions
    #[arg(short = 'r', long, value_name = "NAMES")]
    partition: Vec<String>,
    /// Only with these qualities of service
    #[arg(short = 'q', long, value_name = "NAMES")]
    qos: Vec<String>,
    /// Only in these states
    #[arg(short = 's', long, value_name = "STATES")]
    state: Vec<String>,
    /// Only what had not ended before; this midnight unless told or a job is named
    #[arg(short = 'S', long, value_name = "TIME")]
    starttime: Option<String>,
    /// Times outside of `-S` and `-E` are shown as those
    #[arg(short = 'T', long)]
    truncate: bool,
    /// Only of these users
    #[arg(short = 'u', long = "user", alias = "uid", value_name = "NAMES")]
    users: Vec<String>,
    /// Nothing more than without
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Only with these keys: no job here has one
    #[arg(short = 'W', long, value_name = "NAMES")]
    wckeys: Vec<String>,
    /// One line for a job, none for its steps
    #[arg(short = 'X', long)]
    allocations: bool,
    /// Sizes in this unit: K, M, G or T
    #[arg(long, value_name = "UNIT")]
    units: Option<String>,
    /// Sizes as they are kept
    #[arg(long)]
    noconvert: bool,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// One line: a job or element, or the step in which its script ran.
struct Row<'j> {
    line: Line<'j>,
    step: bool,
}

struct Around {
    pools: Pools,
    now: Timestamp,
    zone: TimeZone,
    unit: Unit,
    /// What times are cut to.
    within: (Option<Timestamp>, Option<Timestamp>),
}

/// In which unit sizes are shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Unit {
    /// The largest that leaves a number above one.
    Fitting,
    /// 2 to this power.
    Fixed(u32),
    /// Bytes.
    Raw,
}

/// Answers.
pub async fn run(args: &Sacct, session: &Session) -> Result<u8, Refused> {
    if args.helpformat {
        let names = fields::names();
        let lines = names.chunks(4).map(|four| {
            let cells: Vec<String> = four.iter().map(|name| format!("{name:<19}")).collect();
            cells.join(" ").trim_end().to_owned() + "\n"
        });
        session.out.raw(lines.collect::<String>().as_bytes())?;
        return Ok(0);
    }
    clusters(&args.clusters)?;
    let columns = args.columns()?;
    let states = args.states()?;
    let now = crate::clock::now();
    let zone = session.out.view.zone.clone();
    let window = args.window(now, &zone)?;
    let unit = args.unit()?;
    let client = session.client()?;
    let jobs = args.fetch(&client, window).await?;
    let within = if args.truncate { window } else { (None, None) };
    let around = Around { pools: pool_names(&client).await, now, zone, unit, within };
    let lines = args.lines(&jobs, &around, states.as_deref());
    if args.json {
        let text = format!("{:#}\n", as_json(&lines, &around));
        session.out.raw(text.as_bytes())?;
        return Ok(0);
    }
    let targets = args.targets().unwrap_or_default();
    // Whoever names the step alone wants no line of the job.
    let wanted = |row: &Row<'_>| {
        let mut meant = targets.iter().filter(|target| super::squeue::meant(target, &row.line));
        row.step || targets.is_empty() || meant.any(|target| !target.batch)
    };
    let rows: Vec<Vec<String>> = rows(lines, args.allocations)
        .iter()
        .filter(|row| wanted(row))
        .map(|row| columns.iter().map(|column| cell(row, column.name, &around)).collect())
        .collect();
    let parting = match (args.parsable2, args.parsable) {
        (true, _) => Parting::Between(args.delimiter.clone()),
        (false, true) => Parting::After(args.delimiter.clone()),
        (false, false) => Parting::Columns,
    };
    let text = named_lines(&columns, &rows, !args.no_header, &parting);
    session.out.raw(text.as_bytes())?;
    Ok(0)
}

/// Each line, and after it the step in which its script ran.
fn rows(lines: Vec<Line<'_>>, alone: bool) -> Vec<Row<'_>> {
    let mut rows = Vec::with_capacity(lines.len() * 2);
    for line in lines {
        let mut tried = line.attempts.iter().filter(|one| State::of(one) != State::BootFail);
        let ran = tried.any(|attempt| attempt.started_at.is_some());
        let step = (ran && !alone).then(|| Row { line: step_of(&line), step: true });
        rows.push(Row { line, step: false });
        rows.extend(step);
    }
    rows
}

/// The step of a line: of what was cancelled before it was tried again, as the attempt before ended.
fn step_of<'j>(line: &Line<'j>) -> Line<'j> {
    let state = match line.attempts[..] {
        [attempt] if line.state == State::Cancelled => State::of(attempt),
        [..] => line.state,
    };
    Line { state, ..line.clone() }
}

impl Sacct {
    fn columns(&self) -> Result<Vec<Named>, Refused> {
        let text = match (self.format.is_empty(), self.brief, self.long) {
            (false, _, _) => self.format.join(","),
            (true, true, _) => BRIEF.to_owned(),
            (true, false, true) => LONG.to_owned(),
            (true, false, false) => {
                std::env::var("SACCT_FORMAT").unwrap_or_else(|_| DEFAULT.to_owned())
            }
        };
        let column = |part: &str| {
            let (name, width) = part.split_once('%').unwrap_or((part, ""));
            let Some((name, usual)) = fields::find(name) else {
                let said = format!("Invalid field requested: \"{name}\"");
                return Err(Refused::said(said).and("`sacct --helpformat` lists the fields"));
            };
            let width = width.parse::<i32>().ok().filter(|width| width.unsigned_abs() <= 1_000);
            Ok(Named { name, width: width.unwrap_or(usual) })
        };
        let mut parts: Vec<&str> = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            if part.eq_ignore_ascii_case(EVERYTHING) {
                parts.extend(fields::names());
            } else {
                parts.push(part);
            }
        }
        parts.into_iter().map(column).collect()
    }

    fn states(&self) -> Result<Option<Vec<State>>, Refused> {
        let names = listed(&self.state);
        let states = State::listed(&names).map_err(|name| {
            Refused::bare(format!("sacct: fatal: unrecognized job state value '{name}'"))
        })?;
        Ok(Some(states).filter(|_| !names.is_empty()))
    }

    fn unit(&self) -> Result<Unit, Refused> {
        match self.units.as_deref().map(str::to_ascii_uppercase).as_deref() {
            None if self.noconvert => Ok(Unit::Raw),
            None => Ok(Unit::Fitting),
            Some("K") => Ok(Unit::Fixed(10)),
            Some("M") => Ok(Unit::Fixed(20)),
            Some("G") => Ok(Unit::Fixed(30)),
            Some("T") => Ok(Unit::Fixed(40)),
            Some(_) => Err(Refused::said("Invalid unit, use one of K, M, G, T")),
        }
    }

    /// From when until when; a job that is named is shown whenever it was.
    fn window(
        &self,
        now: Timestamp,
        zone: &TimeZone,
    ) -> Result<(Option<Timestamp>, Option<Timestamp>), Refused> {
        let read = |text: &String| {
            let offset = zone.to_offset(now).seconds();
            let here = dayan_units::Time::from_micros(now.as_microsecond());
            let at = sbatch::past(text, here, offset);
            at.and_then(|at| Timestamp::from_microsecond(at.micros()).ok())
                .ok_or_else(|| Refused::bare(format!("Invalid time specification (pos=0): {text}")))
        };
        let start = self.starttime.as_ref().map(read).transpose()?;
        let end = self.endtime.as_ref().map(read).transpose()?;
        let midnight = || now.to_zoned(zone.clone()).start_of_day().ok().map(|day| day.timestamp());
        let start = match start {
            None if self.jobs.is_empty() => midnight(),
            start => start,
        };
        Ok((start, end))
    }

    async fn fetch(
        &self,
        client: &crate::client::Client,
        (start, end): (Option<Timestamp>, Option<Timestamp>),
    ) -> Result<Vec<Job>, Refused> {
        let mut jobs = named(client, &self.targets()?).await?;
        if self.jobs.is_empty() {
            let listed = client.jobs(&JobFilter::default(), LISTED_MAX).await?;
            let moment = |text: &str| text.parse::<Timestamp>().ok();
            let within = listed.into_iter().filter(|job| {
                let came = moment(&job.submitted_at);
                let gone = job.ended_at.as_deref().and_then(moment);
                let late = end.zip(came).is_some_and(|(end, came)| came > end);
                let early = start.zip(gone).is_some_and(|(start, gone)| gone < start);
                !late && !early
            });
            let mine = if self.allusers || !self.users.is_empty() {
                self.users(client).await?
            } else {
                // Slurm shows one's own jobs unless told.
                Some(std::iter::once(client.whoami().await?.name).collect())
            };
            let own = within.filter(|job| {
                mine.as_ref()
                    .is_none_or(|mine| job.user.as_ref().is_some_and(|user| mine.contains(user)))
            });
            let mut ids: Vec<String> = own.map(|job| job.id).collect();
            // The oldest first.
            ids.reverse();
            return Ok(details(client, ids).await?);
        }
        if let Some(users) = self.users(client).await? {
            let of = |job: &Job| job.told.summary.user.clone().unwrap_or_default();
            jobs.retain(|job| users.contains(&of(job)));
        }
        Ok(jobs)
    }

    async fn users(
        &self,
        client: &crate::client::Client,
    ) -> Result<Option<std::collections::BTreeSet<String>>, Refused> {
        if self.users.is_empty() {
            return Ok(None);
        }
        Ok(Some(users(client, false, &self.users).await?))
    }

    fn targets(&self) -> Result<Vec<Target>, Refused> {
        let parsed = Target::parse_list(&self.jobs.join(","));
        parsed
            .map_err(|text| Refused::bare(format!("sacct: fatal: Bad job/step specified: {text}")))
    }

    fn lines<'j>(
        &self,
        jobs: &'j [Job],
        around: &Around,
        states: Option<&[State]>,
    ) -> Vec<Line<'j>> {
        let targets = self.targets().unwrap_or_default();
        let (names, partitions) = (listed(&self.name), listed(&self.partition));
        let accounts = listed(&self.accounts);
        let mut lines: Vec<Line<'j>> = Vec::new();
        for line in jobs.iter().flat_map(Job::lines) {
            let project = &line.job.told.summary.project;
            let last = project.rsplit('/').next().unwrap_or(project);
            let kept = (targets.is_empty()
                || targets.iter().any(|target| super::squeue::meant(target, &line)))
                && states.is_none_or(|states| states.contains(&state(&line)))
                && (names.is_empty() || names.iter().any(|name| name == line.job.name()))
                && (partitions.is_empty()
                    || around.pools.is_one(&line.partition(&around.pools), &partitions))
                && (accounts.is_empty() || accounts.iter().any(|a| a == project || a == last));
            if !kept || !self.keeps(&line) {
                continue;
            }
            if self.array && matches!(line.part, Part::Untried(_)) {
                lines.extend(line.apart());
                continue;
            }
            if self.duplicates {
                lines.extend(earlier(&line));
            }
            lines.push(line);
        }
        lines
    }
}

impl Sacct {
    /// What is asked for more seldom.
    fn keeps(&self, line: &Line<'_>) -> bool {
        let (nodes, qos) = (listed(&self.nodelist), listed(&self.qos));
        let (groups, constraints) = (listed(&self.groups), listed(&self.constraints));
        let own = line.slurm_option("qos").unwrap_or("normal");
        let constraint = line.slurm_option("constraint").unwrap_or_default();
        let has = |wanted: &String| {
            constraint.split(['&', '|', ',']).any(|one| one.trim_matches(['[', ']', ' ']) == wanted)
        };
        (nodes.is_empty() || line.attempts.iter().any(|attempt| nodes.contains(&attempt.node)))
            && (qos.is_empty() || qos.iter().any(|name| name == own))
            && (groups.is_empty() || groups.contains(&group(line)))
            && (constraints.is_empty() || constraints.iter().any(has))
            && listed(&self.wckeys).is_empty()
    }
}

/// The organisation whose project pays.
fn group(line: &Line<'_>) -> String {
    line.job.told.summary.project.split('/').next().unwrap_or_default().to_owned()
}

/// The attempts before the newest, where each line has one; and that too, where it had ended by itself before
/// what was to be tried again was cancelled.
fn earlier<'j>(line: &Line<'j>) -> Vec<Line<'j>> {
    let [newest] = line.attempts[..] else { return Vec::new() };
    let over = line.state == State::Cancelled && State::of(newest) != State::Cancelled;
    let mut before: Vec<_> = (line.job.told.attempts.iter())
        .filter(|attempt| attempt.task == newest.task)
        .filter(|attempt| attempt.attempt < newest.attempt + u32::from(over))
        .collect();
    before.sort_by_key(|attempt| attempt.attempt);
    let of = |attempt| Line { state: State::of(attempt), attempts: vec![attempt], ..line.clone() };
    before.into_iter().map(of).collect()
}

/// A sum over the attempts of a line, where one of them has told its use.
fn used(line: &Line<'_>, of: impl Fn(&Counters) -> u64) -> Option<u64> {
    let all: Vec<u64> =
        line.attempts.iter().filter_map(|a| a.used_finally()).map(|u| of(&u)).collect();
    (!all.is_empty()).then(|| all.iter().sum())
}
fn peak(line: &Line<'_>) -> Option<u64> {
    line.attempts.iter().filter_map(|a| a.used_finally()).map(|used| used.memory_peak).max()
}

impl Around {
    /// When a line began and ended, cut to what was asked about.
    fn times(&self, line: &Line<'_>) -> (Option<Timestamp>, Option<Timestamp>) {
        let (from, until) = self.within;
        let started = line.started().map(|at| from.map_or(at, |from| at.max(from)));
        let ended = match (line.ended(), until) {
            (Some(at), Some(until)) => Some(at.min(until)),
            // What still runs then has its time until then.
            (None, Some(until)) if started.is_some() && until < self.now => Some(until),
            (ended, _) => ended,
        };
        (started, ended)
    }

    /// How long it ran of that, in seconds.
    fn elapsed_s(&self, line: &Line<'_>) -> i64 {
        if self.within == (None, None) {
            return line.elapsed_s(self.now);
        }
        let (started, ended) = self.times(line);
        let seconds = |from: Timestamp| ended.unwrap_or(self.now).as_second() - from.as_second();
        started.map_or(0, |from| seconds(from).max(0))
    }

    /// Bytes in the unit that was asked for: `512000K`, `1.50G`.
    fn size(&self, bytes: u64) -> String {
        let power = match self.unit {
            Unit::Raw => return bytes.to_string(),
            Unit::Fixed(power) => power,
            Unit::Fitting => match bytes {
                0 => return "0".to_owned(),
                b if b < 10 << 20 => 10,
                b if b < 10 << 30 => 20,
                _ => 30,
            },
        };
        let letter = match power {
            10 => 'K',
            20 => 'M',
            30 => 'G',
            _ => 'T',
        };
        let hundredths = u128::from(bytes) * 100 / (1u128 << power);
        let (whole, rest) = (hundredths / 100, hundredths % 100);
        if rest == 0 { format!("{whole}{letter}") } else { format!("{whole}.{rest:02}{letter}") }
    }
}

/// A span of processor time: `00:01.250`, `01:02:03`.
fn cpu_span(micros: u64) -> String {
    let seconds = micros / 1_000_000;
    if seconds < 3_600 {
        format!("{:02}:{:02}.{:03}", seconds / 60, seconds % 60, micros / 1_000 % 1_000)
    } else {
        full_span(i64::try_from(seconds).unwrap_or(i64::MAX))
    }
}

fn cell(row: &Row<'_>, name: &str, around: &Around) -> String {
    let Row { line, step } = row;
    let told = &line.job.told.summary;
    let of_job = |text: &dyn Fn() -> String| if *step { String::new() } else { text() };
    let of_step = |text: &dyn Fn() -> Option<String>| {
        if *step { text().unwrap_or_default() } else { String::new() }
    };
    let elapsed = around.elapsed_s(line);
    let (started, ended) = around.times(line);
    let busy = elapsed.saturating_mul(i64::try_from(line.cpus()).unwrap_or(i64::MAX));
    let at = |moment| clock(moment, &around.zone, "Unknown");
    let (code, _) = line.exit();
    let allocated = !line.attempts.is_empty();
    match name {
        "Account" => told.project.rsplit('/').next().unwrap_or_default().to_owned(),
        "AllocCPUS" | "NCPUS" if !allocated => "0".to_owned(),
        "AllocCPUS" | "NCPUS" | "ReqCPUS" => line.cpus().to_string(),
        "AllocNodes" if !allocated => "0".to_owned(),
        "AllocNodes" | "NNodes" | "ReqNodes" => line.job.nodes().to_string(),
        "AllocTRES" | "ReqTRES" => {
            let memory = (line.memory_mib() << 20).saturating_mul(line.job.nodes().into());
            line.tres(&around.size(memory))
        }
        "AveRSS" | "MaxRSS" => of_step(&|| peak(line).map(|bytes| around.size(bytes))),
        "Cluster" => CLUSTER.to_owned(),
        "Comment" => {
            of_job(&|| line.job.variable("SLURM_JOB_COMMENT").unwrap_or_default().to_owned())
        }
        "ConsumedEnergy" | "ConsumedEnergyRaw" => {
            let micro = used(line, |used| used.energy_uj.unwrap_or(0));
            micro.map_or_else(|| "0".to_owned(), |micro| (micro / 1_000_000).to_string())
        }
        "CPUTime" => full_span(busy),
        "CPUTimeRAW" => busy.to_string(),
        "DerivedExitCode" => of_job(&|| format!("{code}:0")),
        "Elapsed" => full_span(elapsed),
        "ElapsedRaw" => elapsed.to_string(),
        "Eligible" => at(eligible(line.job)),
        "End" => at(ended),
        "ExitCode" => {
            let (code, signal) = shown_exit(line, *step);
            format!("{code}:{signal}")
        }
        "Group" => of_job(&|| group(line)),
        "JobID" | "JobIDRaw" => {
            let step = if *step { ".batch" } else { "" };
            let id = if name == "JobID" { line.id() } else { line.number() };
            format!("{id}{step}")
        }
        "JobName" if *step => "batch".to_owned(),
        "JobName" => line.job.name().to_owned(),
        "MaxDiskRead" => of_step(&|| used(line, |u| u.read_bytes).map(|b| around.size(b))),
        "MaxDiskWrite" => of_step(&|| used(line, |u| u.write_bytes).map(|b| around.size(b))),
        "NodeList" if !allocated => "None assigned".to_owned(),
        "NodeList" => line.node_list(),
        "NTasks" => of_step(&|| Some("1".to_owned())),
        "Partition" => of_job(&|| line.partition(&around.pools)),
        "Priority" => of_job(&|| super::squeue::priority(line)),
        "QOS" => of_job(&|| line.slurm_option("qos").unwrap_or("normal").to_owned()),
        "Reason" => of_job(&|| line.reason(around.now)),
        "ReqMem" => of_job(&|| around.size(line.memory_mib() << 20)),
        "MaxDiskReadNode" | "MaxDiskWriteNode" | "MaxRSSNode" => {
            of_step(&|| line.attempts.first().map(|attempt| attempt.node.clone()))
        }
        "Planned" | "Reserved" => of_job(&|| {
            let until = started.unwrap_or(around.now);
            let waited = submitted(line.job).map(|at| until.as_second() - at.as_second());
            waited.map_or_else(String::new, |seconds| full_span(seconds.max(0)))
        }),
        "Restarts" => {
            let tries = line.attempts.iter().map(|attempt| attempt.attempt).max();
            of_job(&|| tries.map_or(0, |tries| tries - 1).to_string())
        }
        "Start" => at(started),
        "State" if *step && was_ended(line) => State::Cancelled.names().0.to_owned(),
        "State" => state(line).names().0.to_owned(),
        "Submit" => at(submitted(line.job)),
        "Timelimit" => of_job(&|| line.limit_s().map_or_else(|| "UNLIMITED".to_owned(), full_span)),
        "TimelimitRaw" => of_job(&|| {
            line.limit_s().map_or_else(String::new, |seconds| ((seconds + 59) / 60).to_string())
        }),
        "Suspended" => of_job(&|| "00:00:00".to_owned()),
        "TotalCPU" => used(line, |used| used.cpu_us.unsigned_abs())
            .map_or_else(|| "00:00:00".to_owned(), cpu_span),
        "User" => of_job(&|| told.user.clone().unwrap_or_default()),
        "WorkDir" => of_job(&|| {
            let spec = line.job.spec.as_ref();
            spec.and_then(|spec| spec.workdir.clone()).unwrap_or_else(|| ".".to_owned())
        }),
        _ => String::new(),
    }
}

/// The fields scripts read, in the shape of `sacct --json` of 22.05.
fn as_json(lines: &[Line<'_>], around: &Around) -> serde_json::Value {
    let job = |line: &Line<'_>| {
        let told = &line.job.told.summary;
        let (code, signal) = line.exit();
        let status = match (signal, line.state.has_ended()) {
            (_, false) => "PENDING",
            (0, true) if code == 0 => "SUCCESS",
            (0, true) => "ERROR",
            (_, true) => "SIGNALED",
        };
        json!({
            "job_id": line.raw().unwrap_or(line.job.number),
            "dayan_id": told.id,
            "array": { "job_id": line.job.number, "task_id": line.element(), "task": line.elements() },
            "name": line.job.name(),
            "user": told.user.clone().unwrap_or_default(),
            "account": told.project,
            "partition": line.partition(&around.pools),
            "state": { "current": state(line).names().0, "reason": line.reason(around.now) },
            "exit_code": { "status": status, "return_code": code, "signal": { "signal_id": signal } },
            "time": {
                "submission": submitted(line.job).map_or(0, unix),
                "start": line.started().map_or(0, unix),
                "end": line.ended().map_or(0, unix),
                "elapsed": line.elapsed_s(around.now),
                "limit": line.limit_s().map(|seconds| (seconds + 59) / 60),
            },
            "nodes": line.node_list(),
            "allocation_nodes": line.job.nodes(),
            "required": { "CPUs": line.cpus(), "memory": line.memory_mib() },
            "comment": { "job": line.job.variable("SLURM_JOB_COMMENT").unwrap_or_default() },
            "cost": { "currency": told.money.currency, "spent": told.money.spent },
        })
    };
    json!({
        "meta": super::meta(Tool::Sacct),
        "errors": [],
        "jobs": lines.iter().map(job).collect::<Vec<_>>(),
    })
}

/// Was its script ended by a signal of Slurm's, as its limit or who cancelled it wanted?
fn was_ended(line: &Line<'_>) -> bool {
    matches!(line.state, State::Timeout | State::Cancelled)
}

/// As Slurm has it: the signal is in the line of the script, and not in that of the job.
fn shown_exit(line: &Line<'_>, step: bool) -> (i32, i32) {
    match (was_ended(line), step) {
        (true, true) => (0, 15),
        (true, false) => (0, 0),
        (false, _) => line.exit(),
    }
}

/// The accounting knows no setting up: what has a machine runs, and what waits in a site's queue waits.
fn state(line: &Line<'_>) -> State {
    let queued = || line.attempts.first().is_some_and(|attempt| attempt.node == QUEUE_NODE);
    match line.state {
        State::Configuring if queued() => State::Pending,
        State::Configuring => State::Running,
        other => other,
    }
}

#[cfg(test)]
#[path = "sacct_tests.rs"]
mod tests;
