//! `squeue`: jobs that have not ended, in Slurm's columns.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::again::{clusters, every};
use super::ask::{Target, active, details, named, pool_names};
use super::format::{self, Format};
use super::pools::Pools;
use super::view::{Job, Line, Part, State, clock, span, submitted};
use super::{Refused, Tool, names, unix, users};
use crate::client::Client;
use crate::cmd::session::Session;

const DEFAULT: &str = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R";
const LONG: &str = "%.18i %.9P %.8j %.8u %.8T %.10M %.9l %.6D %R";
const START: &str = "%.18i %.9P %.8j %.8u %.2t %.19S %.6D %20Y %R";
const STEPS: &str = "%.15i %.8j %.9P %.8u %.9M %N";

/// Lists jobs in the queue
#[derive(Debug, clap::Parser)]
#[command(
    name = "squeue",
    disable_help_flag = true,
    disable_version_flag = true,
    infer_long_args = true
)]
pub struct Squeue {
    /// Nothing more than without: all jobs you may see are shown
    #[arg(short = 'a', long)]
    all: bool,
    /// A line for each element of an array
    #[arg(short = 'r', long)]
    array: bool,
    /// The same: elements that run have lines of their own anyway
    #[arg(long)]
    array_unique: bool,
    /// No line of heads
    #[arg(short = 'h', long = "noheader")]
    no_header: bool,
    /// Nothing more than without: nothing is hidden that you may see
    #[arg(long)]
    hide: bool,
    /// Again every so many seconds
    #[arg(short = 'i', long, value_name = "SECONDS",
        value_parser = clap::value_parser!(u32).range(1..))]
    iterate: Option<u32>,
    /// Only these jobs
    #[arg(short = 'j', long, value_name = "IDS")]
    jobs: Vec<String>,
    /// More columns
    #[arg(short = 'l', long)]
    long: bool,
    /// Only jobs that ask for these licences
    #[arg(short = 'L', long, value_name = "NAMES")]
    licenses: Vec<String>,
    /// Nothing more than without: there is one cluster
    #[arg(long)]
    local: bool,
    /// The same
    #[arg(long)]
    federation: bool,
    /// The same
    #[arg(long)]
    sibling: bool,
    /// Of these clusters: there is one, `dayan`
    #[arg(short = 'M', long, alias = "cluster", value_name = "NAMES")]
    clusters: Vec<String>,
    /// Only your jobs
    #[arg(long)]
    me: bool,
    /// Only jobs with these names
    #[arg(short = 'n', long, value_name = "NAMES")]
    name: Vec<String>,
    /// Columns, as `%.18i %.9P`
    #[arg(short = 'o', long, value_name = "FORMAT")]
    format: Option<String>,
    /// Columns by name, as `JobID,Name:30`
    #[arg(short = 'O', long = "Format", value_name = "NAMES")]
    named: Option<String>,
    /// Only in these partitions
    #[arg(short = 'p', long, value_name = "NAMES")]
    partition: Vec<String>,
    /// Nothing more than without: a job waits in one queue
    #[arg(short = 'P', long)]
    priority: bool,
    /// Only in this reservation
    #[arg(short = 'R', long, value_name = "NAME")]
    reservation: Option<String>,
    /// The steps in which scripts run; only these, where they are named
    #[arg(short = 's', long, value_name = "IDS", num_args = 0..=1, require_equals = true,
        default_missing_value = "")]
    steps: Option<String>,
    /// Only of these accounts: projects
    #[arg(short = 'A', long, value_name = "NAMES")]
    account: Vec<String>,
    /// Only with these qualities of service
    #[arg(short = 'q', long, value_name = "NAMES")]
    qos: Vec<String>,
    /// Only in these states; `all` is those that have ended, too
    #[arg(short = 't', long, value_name = "STATES")]
    states: Vec<String>,
    /// Only of these users
    #[arg(short = 'u', long = "user", alias = "users", value_name = "NAMES")]
    users: Vec<String>,
    /// Only on these nodes
    #[arg(short = 'w', long, value_name = "NODES")]
    nodelist: Vec<String>,
    /// The order, as `-t,i`
    #[arg(short = 'S', long, value_name = "FIELDS", allow_hyphen_values = true)]
    sort: Option<String>,
    /// When waiting jobs are expected to start
    #[arg(long)]
    start: bool,
    /// Nothing more than without
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// For scripts
    #[arg(long)]
    json: bool,
}

/// What a line is shown with.
pub struct Around {
    pub(super) pools: Pools,
    pub(super) now: Timestamp,
    pub(super) zone: jiff::tz::TimeZone,
    /// When waiting jobs are expected to start, by id; only where it was asked for.
    pub(super) starts: BTreeMap<String, Timestamp>,
    /// Are lines about the steps in which scripts run?
    pub(super) steps: bool,
}

/// Answers.
pub async fn run(args: &Squeue, session: &Session) -> Result<u8, Refused> {
    let cluster = clusters(&args.clusters)?;
    every(args.iterate, session, || once(args, &cluster, session)).await
}

async fn once(args: &Squeue, cluster: &str, session: &Session) -> Result<u8, Refused> {
    let states = states(&args.states)?;
    let (format, strange) = args.columns()?.known(|letter| !head(letter).is_empty());
    for letter in strange {
        let said = format!("squeue: error: Invalid job format specification: {letter}\n");
        session.out.say_raw(&said);
    }
    let client = session.client()?;
    let jobs = args.fetch(&client, states.as_deref()).await?;
    let mut around = Around {
        pools: pool_names(&client).await,
        now: crate::clock::now(),
        zone: session.out.view.zone.clone(),
        starts: BTreeMap::new(),
        steps: args.steps.is_some(),
    };
    let mut lines: Vec<Line<'_>> = jobs.iter().flat_map(Job::lines).collect();
    if args.array || args.array_unique {
        lines = lines.into_iter().flat_map(Line::apart).collect();
    }
    args.choose(&mut lines, states.as_deref(), &client, &around).await?;
    if args.start {
        lines.retain(|line| line.state == State::Pending);
        around.starts = starts(&client, &lines, around.now).await;
    }
    order(&mut lines, args.sort.as_deref(), &around);
    let text = if args.json {
        format!("{:#}\n", as_json(&lines, &around))
    } else {
        let heads = !args.no_header;
        let date = around.now.to_zoned(around.zone.clone()).strftime("%a %b %d %H:%M:%S %Y\n");
        let dated = (args.long || args.iterate.is_some()) && heads;
        let date = if dated { date.to_string() } else { String::new() };
        let above = if heads { cluster } else { "" };
        let head = |letter| if around.steps { step_head(letter) } else { head(letter) };
        date + above
            + &format.lines(&lines, heads, head, |line, letter| cell(line, letter, &around))
    };
    session.out.raw(text.as_bytes())?;
    Ok(0)
}

/// The states that were asked for; none: those that have not ended.
fn states(given: &[String]) -> Result<Option<Vec<State>>, Refused> {
    let names = super::listed(given);
    if names.is_empty() {
        return Ok(None);
    }
    if names.iter().any(|name| name.eq_ignore_ascii_case("all")) {
        return Ok(Some(State::ALL.to_vec()));
    }
    State::listed(&names).map(Some).map_err(|name| {
        let all: Vec<&str> = State::ALL.iter().map(|state| state.names().0).collect();
        Refused::said(format!("Invalid job state specified: {name}"))
            .and(format!("Valid job states include: {}", all.join(",")))
    })
}

impl Squeue {
    fn columns(&self) -> Result<Format, Refused> {
        let text = match (&self.format, &self.named) {
            (Some(format), _) => format.clone(),
            (None, Some(named)) => by_names(named)?,
            (None, None) if self.steps.is_some() => STEPS.to_owned(),
            (None, None) if self.start => START.to_owned(),
            (None, None) if self.long => LONG.to_owned(),
            (None, None) => std::env::var("SQUEUE_FORMAT").unwrap_or_else(|_| DEFAULT.to_owned()),
        };
        Ok(Format::parse_or_all(&text, head))
    }

    async fn fetch(&self, client: &Client, states: Option<&[State]>) -> Result<Vec<Job>, Refused> {
        if !self.jobs.is_empty() {
            let targets = targets(&self.jobs)?;
            let jobs = named(client, &targets).await?;
            // Of several, Slurm shows those that there are.
            if jobs.is_empty() && targets.len() == 1 {
                return Err(Refused::bare("slurm_load_jobs error: Invalid job id specified"));
            }
            return Ok(jobs);
        }
        let ended = states.is_some_and(|states| states.iter().any(|state| state.has_ended()));
        let listed = if ended {
            client.jobs(&crate::client::JobFilter::default(), super::LISTED_MAX).await?
        } else {
            active(client).await?
        };
        Ok(details(client, listed.into_iter().map(|job| job.id).collect()).await?)
    }

    async fn choose(
        &self,
        lines: &mut Vec<Line<'_>>,
        states: Option<&[State]>,
        client: &Client,
        around: &Around,
    ) -> Result<(), Refused> {
        match states {
            Some(states) => lines.retain(|line| states.contains(&line.state)),
            None => lines.retain(|line| !line.state.has_ended()),
        }
        let steps = self.steps.iter().filter(|list| !list.is_empty()).cloned();
        for named in [targets(&self.jobs)?, targets(&steps.collect::<Vec<_>>())?] {
            if !named.is_empty() {
                lines.retain(|line| named.iter().any(|target| meant(target, line)));
            }
        }
        if self.steps.is_some() {
            // What waits has no step yet.
            lines.retain(|line| line.started().is_some() && !line.state.has_ended());
        }
        if self.me || !self.users.is_empty() {
            let users = users(client, self.me, &self.users).await?;
            let of = |line: &Line<'_>| line.job.told.summary.user.clone().unwrap_or_default();
            lines.retain(|line| users.contains(&of(line)));
        }
        let keep =
            |given: &[String], lines: &mut Vec<Line<'_>>, of: &dyn Fn(&Line<'_>) -> String| {
                let wanted = super::listed(given);
                if !wanted.is_empty() {
                    lines.retain(|line| wanted.contains(&of(line)));
                }
            };
        keep(&self.name, lines, &|line| line.job.name().to_owned());
        let partitions = super::listed(&self.partition);
        if !partitions.is_empty() {
            let pools = &around.pools;
            lines.retain(|line| pools.is_one(&line.partition(pools), &partitions));
        }
        keep(&self.qos, lines, &|line| line.slurm_option("qos").unwrap_or("normal").to_owned());
        let accounts = super::listed(&self.account);
        if !accounts.is_empty() {
            lines.retain(|line| {
                let project = &line.job.told.summary.project;
                let last = project.rsplit('/').next().unwrap_or(project);
                accounts.iter().any(|account| account == project || account == last)
            });
        }
        let licenses = super::listed(&self.licenses);
        if !licenses.is_empty() {
            lines.retain(|line| {
                let asked = line.job.spec.iter().flat_map(|spec| &spec.licenses);
                asked.into_iter().any(|asked| licenses.contains(&asked.name))
            });
        }
        if let Some(name) = &self.reservation {
            lines.retain(|line| line.slurm_option("reservation") == Some(name));
        }
        let nodes = super::listed(&self.nodelist);
        if !nodes.is_empty() {
            lines.retain(|line| line.attempts.iter().any(|attempt| nodes.contains(&attempt.node)));
        }
        Ok(())
    }
}

fn targets(given: &[String]) -> Result<Vec<Target>, Refused> {
    let parsed = Target::parse_list(&given.join(","));
    parsed.map_err(|text| Refused::said(format!("Invalid job id: {text}")))
}

/// Does it name this line, or a part of it?
pub(super) fn meant(target: &Target, line: &Line<'_>) -> bool {
    let part = match (&target.elements, target.task, &line.part) {
        (None, None, _) | (_, _, Part::Whole) => true,
        (Some(wanted), _, Part::Element(element, _)) => wanted.contains(element),
        (Some(wanted), _, Part::Untried(all)) => wanted.iter().any(|one| all.contains(one)),
        (None, Some(wanted), Part::Element(_, task)) => *task == wanted,
        (None, Some(wanted), Part::Untried(all)) => {
            line.job.element(wanted).is_some_and(|element| all.contains(&element))
        }
    };
    part && target.is_of(line.job)
}

/// When waiting jobs are expected to start.
async fn starts(
    client: &Client,
    lines: &[Line<'_>],
    now: Timestamp,
) -> BTreeMap<String, Timestamp> {
    let mut starts = BTreeMap::new();
    for line in lines {
        let id = &line.job.told.summary.id;
        // What cannot be said is not shown; the list is still of use.
        if let Ok(explained) = client.explain(id).await
            && let Some(seconds) = explained.start_p50_s.filter(|seconds| seconds.is_finite())
            && let Ok(at) = now.checked_add(jiff::SignedDuration::from_secs_f64(seconds.max(0.0)))
        {
            starts.insert(id.clone(), at);
        }
    }
    starts
}

/// By partition, then those that wait first, then the newest last, unless told otherwise.
fn order(lines: &mut [Line<'_>], sort: Option<&str>, around: &Around) {
    let default = "P,t,i";
    let sort = sort.unwrap_or(default);
    for key in sort.split(',').rev() {
        let (down, letter) = match key.trim().strip_prefix('-') {
            Some(letter) => (true, letter),
            None => (false, key.trim().trim_start_matches('+')),
        };
        let Some(letter) = letter.chars().next() else { continue };
        lines.sort_by(|a, b| {
            let ordering = match letter {
                't' | 'T' => a.state.cmp(&b.state),
                'i' | 'A' | 'F' => (a.job.number, a.elements().map(|e| natural(&e)))
                    .cmp(&(b.job.number, b.elements().map(|e| natural(&e)))),
                'M' => a.elapsed_s(around.now).cmp(&b.elapsed_s(around.now)),
                'V' => submitted(a.job).cmp(&submitted(b.job)),
                'S' => a.started().cmp(&b.started()),
                letter => cell(a, letter, around).cmp(&cell(b, letter, around)),
            };
            if down { ordering.reverse() } else { ordering }
        });
    }
}

/// The first number of elements, so that 10 comes after 9.
fn natural(elements: &str) -> u32 {
    let digits: String = elements.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}

/// The head of a field; empty where there is none of that letter.
fn head(letter: char) -> &'static str {
    match letter {
        'a' => "ACCOUNT",
        'A' | 'i' => "JOBID",
        'b' => "TRES_PER_NODE",
        'B' => "EXEC_HOST",
        'c' => "MIN_CPUS",
        'C' => "CPUS",
        'd' => "MIN_TMP_DISK",
        'D' => "NODES",
        'e' => "END_TIME",
        'E' => "DEPENDENCY",
        'f' => "FEATURES",
        'F' => "ARRAY_JOB_ID",
        'g' => "GROUP",
        'h' => "OVER_SUBSCRIBE",
        'H' => "SOCKETS_PER_NODE",
        'I' => "CORES_PER_SOCKET",
        'J' => "THREADS_PER_CORE",
        'j' => "NAME",
        'k' => "COMMENT",
        'K' => "ARRAY_TASK_ID",
        'l' => "TIME_LIMIT",
        'L' => "TIME_LEFT",
        'm' => "MIN_MEMORY",
        'M' => "TIME",
        'n' => "REQ_NODES",
        'N' => "NODELIST",
        'o' => "COMMAND",
        'O' => "CONTIGUOUS",
        'p' | 'Q' => "PRIORITY",
        'P' => "PARTITION",
        'q' => "QOS",
        'r' => "REASON",
        'R' => "NODELIST(REASON)",
        'S' => "START_TIME",
        't' => "ST",
        'T' => "STATE",
        'u' => "USER",
        'U' => "UID",
        'v' => "RESERVATION",
        'V' => "SUBMIT_TIME",
        'w' => "WCKEY",
        'W' => "LICENSES",
        'x' => "EXC_NODES",
        'X' => "CORE_SPEC",
        'y' => "NICE",
        'Y' => "SCHEDNODES",
        'z' => "S:C:T",
        'Z' => "WORK_DIR",
        letter => names::head(letter),
    }
}

/// The head of a field where lines are steps.
fn step_head(letter: char) -> &'static str {
    match letter {
        'i' => "STEPID",
        letter => head(letter),
    }
}

/// What a job still waits for; what has happened is left out, as Slurm does.
fn dependencies(line: &Line<'_>, now: Timestamp) -> Option<String> {
    if line.state != State::Pending {
        return None;
    }
    let (told, spec) = (&line.job.told, line.job.spec.as_ref());
    let own = told.workflow.iter().find(|job| job.id == told.summary.id);
    let open: Vec<String> = match (own, spec) {
        (Some(own), _) => {
            let is_over = |id: &str| {
                told.workflow.iter().any(|job| {
                    job.id == id && matches!(&*job.state, "succeeded" | "failed" | "cancelled")
                })
            };
            let in_vain = line.reason(now) == "DependencyNeverSatisfied";
            let open = own.after.iter().filter(|wait| !wait.met);
            let named = open.filter_map(|wait| {
                let text = format!("{}:{}", wait.job, wait.after);
                let named = text.parse::<dayan_spec::Dependency>().ok()?;
                // Of what is waited for element by element some may have happened: the exchange knows.
                let each = named.after == dayan_spec::After::Each;
                let never = is_over(&wait.job) && (in_vain || !each);
                Some(dependency(&named, if never { "failed" } else { "unfulfilled" }))
            });
            named.collect()
        }
        // The exchange does not say which; its reasons say whether there is one.
        (None, Some(spec)) if line.reason(now).starts_with("Dependency") => {
            spec.depends_on.iter().map(|named| dependency(named, "unfulfilled")).collect()
        }
        (None, _) => Vec::new(),
    };
    (!open.is_empty()).then(|| open.join(","))
}

/// One of them and how it stands, as Slurm writes it.
fn dependency(named: &dayan_spec::Dependency, stands: &str) -> String {
    use dayan_spec::After;
    let kind = match named.after {
        After::Started => "after",
        After::Succeeded => "afterok",
        After::Failed => "afternotok",
        After::Ended => "afterany",
        After::Each => "aftercorr",
    };
    let number = named.job.parse::<dayan_units::JobId>().map(|id| id.number().to_string());
    format!("{kind}:{}({stands})", number.unwrap_or_else(|_| named.job.clone()))
}

/// A field of a line.
pub(super) fn cell(line: &Line<'_>, letter: char, around: &Around) -> String {
    let told = &line.job.told.summary;
    let null = || "(null)".to_owned();
    let elapsed = line.elapsed_s(around.now);
    match letter {
        'a' => told.project.clone(),
        'A' => line.number(),
        'i' if around.steps => format!("{}.batch", line.id()),
        'i' => line.id(),
        'j' if around.steps => "batch".to_owned(),
        'b' => line.cards().unwrap_or_else(|| "N/A".to_owned()),
        'B' => line.attempts.first().map_or_else(|| "n/a".to_owned(), |a| a.node.clone()),
        'c' => (line.cpus() / u64::from(line.job.nodes().max(1))).to_string(),
        'C' => line.cpus().to_string(),
        'd' | 'O' | 'y' => "0".to_owned(),
        'h' => "OK".to_owned(),
        'H' | 'I' | 'J' => "*".to_owned(),
        'X' => "N/A".to_owned(),
        'D' => line.job.nodes().to_string(),
        'e' => {
            let limit = line.limit_s().zip(line.started());
            let end = limit.and_then(|(limit, at)| {
                at.checked_add(jiff::SignedDuration::from_secs(limit)).ok()
            });
            clock(line.ended().or(end), &around.zone, "N/A")
        }
        'E' => dependencies(line, around.now).unwrap_or_else(null),
        'f' => line.slurm_option("constraint").map_or_else(null, str::to_owned),
        'F' => line.job.number.to_string(),
        'g' => told.project.split('/').next().unwrap_or_default().to_owned(),
        'j' => line.job.name().to_owned(),
        'k' => line.job.variable("SLURM_JOB_COMMENT").map_or_else(null, str::to_owned),
        'K' => line.elements().unwrap_or_else(|| "N/A".to_owned()),
        'l' => line.limit_s().map_or_else(|| "UNLIMITED".to_owned(), span),
        'L' => line.limit_s().map_or_else(|| "N/A".to_owned(), |l| span((l - elapsed).max(0))),
        'm' => format!("{}M", line.memory_mib()),
        'M' => span(elapsed),
        'N' => line.node_list(),
        'o' => line.job.name().to_owned(),
        'p' | 'Q' => priority(line),
        'P' => line.partition(&around.pools),
        'q' => line.slurm_option("qos").unwrap_or("normal").to_owned(),
        'r' => line.reason(around.now),
        'R' if line.state == State::Pending => format!("({})", line.reason(around.now)),
        'R' => line.node_list(),
        'S' => {
            let start = line.started().or_else(|| around.starts.get(&told.id).copied());
            clock(start, &around.zone, "N/A")
        }
        't' => line.state.names().1.to_owned(),
        'T' => line.state.names().0.to_owned(),
        'u' | 'U' => told.user.clone().unwrap_or_else(|| "unknown".to_owned()),
        'v' => line.slurm_option("reservation").map_or_else(null, str::to_owned),
        'V' => clock(submitted(line.job), &around.zone, "N/A"),
        'W' => {
            let asked = line.job.spec.iter().flat_map(|spec| &spec.licenses);
            let all: Vec<String> =
                asked.map(|asked| format!("{}:{}", asked.name, asked.count)).collect();
            if all.is_empty() { null() } else { all.join(",") }
        }
        'w' | 'Y' => null(),
        'z' => "*:*:*".to_owned(),
        'Z' => line
            .job
            .spec
            .as_ref()
            .and_then(|spec| spec.workdir.clone())
            .unwrap_or_else(|| ".".to_owned()),
        letter => names::cell(line, letter, around),
    }
}

/// The priority of its file, as a number.
pub(super) fn priority(line: &Line<'_>) -> String {
    let priority = line.job.spec.as_ref().map(|spec| spec.priority);
    match priority.unwrap_or(dayan_spec::Priority::Normal) {
        dayan_spec::Priority::Low => "1",
        dayan_spec::Priority::Normal => "2",
        dayan_spec::Priority::High => "3",
    }
    .to_owned()
}

/// Letters for the names of `-O`.
fn by_names(names: &str) -> Result<String, Refused> {
    format::of_names(names, letter)
        .map_err(|name| Refused::said(format!("Invalid job format specification: {name}")))
}

fn letter(name: &str) -> Option<char> {
    Some(match name {
        "account" => 'a',
        "jobid" => 'A',
        "jobarrayid" | "stepid" => 'i',
        "arrayjobid" => 'F',
        "arraytaskid" => 'K',
        "comment" => 'k',
        "command" => 'o',
        "dependency" => 'E',
        "endtime" => 'e',
        "contiguous" => 'O',
        "cores" => 'I',
        "corespec" => 'X',
        "exc_nodes" => 'x',
        "feature" => 'f',
        "groupid" | "groupname" => 'g',
        "licenses" => 'W',
        "mincpus" => 'c',
        "minmemory" => 'm',
        "name" | "stepname" => 'j',
        "nice" => 'y',
        "nodelist" | "nodes" => 'N',
        "numcpus" => 'C',
        "numnodes" => 'D',
        "partition" => 'P',
        "prioritylong" | "priority" => 'Q',
        "qos" => 'q',
        "reason" => 'r',
        "reasonlist" => 'R',
        "reqnodes" => 'n',
        "reservation" => 'v',
        "schednodes" => 'Y',
        "sct" => 'z',
        "sockets" => 'H',
        "starttime" => 'S',
        "state" | "stepstate" => 'T',
        "statecompact" => 't',
        "submittime" => 'V',
        "threads" => 'J',
        "timeleft" => 'L',
        "timelimit" => 'l',
        "timeused" => 'M',
        "tres-per-node" | "gres" => 'b',
        "batchhost" => 'B',
        "mintmpdisk" => 'd',
        "oversubscribe" | "shared" => 'h',
        "username" => 'u',
        "userid" => 'U',
        "wckey" => 'w',
        "workdir" => 'Z',
        other => return names::letter(other),
    })
}

/// The fields scripts read, in the shape of `squeue --json` of 22.05.
fn as_json(lines: &[Line<'_>], around: &Around) -> serde_json::Value {
    let job = |line: &Line<'_>| {
        let told = &line.job.told.summary;
        let (code, signal) = line.exit();
        let waiting = match &line.part {
            Part::Untried(_) => line.elements().unwrap_or_default(),
            Part::Whole | Part::Element(..) => String::new(),
        };
        let array = match line.part {
            Part::Whole => 0,
            Part::Element(..) | Part::Untried(_) => line.job.number,
        };
        // As the columns have it, where that is something.
        let known = |letter| match cell(line, letter, around) {
            text if ["(null)", "N/A", "n/a"].contains(&text.as_str()) => String::new(),
            text => text,
        };
        let named = |name| names::letter(name).map_or_else(String::new, known);
        let number = |text: String| text.parse::<u64>().unwrap_or(0);
        let deadline = line.job.told.deadline.as_ref().and_then(|text| text.parse().ok());
        json!({
            "job_id": line.raw().unwrap_or(line.job.number),
            "dayan_id": told.id,
            "array_job_id": array,
            "array_task_id": line.element(),
            "array_task_string": waiting,
            "name": line.job.name(),
            "job_state": line.state.names().0,
            "state_reason": line.reason(around.now),
            "user_name": told.user.clone().unwrap_or_default(),
            "account": told.project,
            "partition": line.partition(&around.pools),
            "cluster": named("cluster"),
            "command": known('o'),
            "current_working_directory": known('Z'),
            "standard_input": named("stdin"),
            // The exchange keeps what a task says.
            "standard_output": "",
            "standard_error": "",
            "dependency": known('E'),
            "features": known('f'),
            "licenses": known('W'),
            "resv_name": known('v'),
            "priority": number(known('Q')),
            "batch_host": known('B'),
            "restart_cnt": number(named("restartcnt")),
            "tasks": number(named("numtasks")),
            "cpus_per_task": number(named("cpus-per-task")),
            "deadline": deadline.map_or(0, unix),
            "qos": line.slurm_option("qos").unwrap_or("normal"),
            "comment": line.job.variable("SLURM_JOB_COMMENT").unwrap_or_default(),
            "submit_time": submitted(line.job).map_or(0, unix),
            "start_time": line.started().map_or(0, unix),
            "end_time": line.ended().map_or(0, unix),
            "time_limit": line.limit_s().map(|seconds| (seconds + 59) / 60),
            "nodes": line.node_list(),
            "node_count": line.job.nodes(),
            "cpus": line.cpus(),
            "memory_per_node": line.memory_mib(),
            "tres_per_node": line.cards().unwrap_or_default(),
            "exit_code": code * 256 + signal,
        })
    };
    json!({
        "meta": super::meta(Tool::Squeue),
        "errors": [],
        "jobs": lines.iter().map(job).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
#[path = "squeue_tests.rs"]
mod tests;
