//! `scancel`: takes jobs and elements back, by number, name, user, state and partition.

use std::io::BufRead;

use super::again::clusters;
use super::ask::{Target, active, details, pool_names};
use super::pools::Pools;
use super::view::{Job, Line, Part, State};
use super::{Refused, listed, users};
use crate::client::{Client, Order};
use crate::cmd::session::Session;
use crate::exit::Failure;

/// Cancels jobs
#[derive(Debug, clap::Parser)]
#[command(
    name = "scancel",
    disable_help_flag = true,
    disable_version_flag = true,
    infer_long_args = true
)]
pub struct Scancel {
    /// Jobs, and elements of arrays as `JOB_3` or `JOB_[1-4]`
    #[arg(value_name = "JOBS")]
    jobs: Vec<String>,
    /// Only of these accounts: projects
    #[arg(short = 'A', long, value_name = "NAME")]
    account: Option<String>,
    /// Nothing more than without: nobody's work is taken over when a job ends
    #[arg(short = 'H', long)]
    hurry: bool,
    /// Asks before each
    #[arg(short = 'i', long)]
    interactive: bool,
    /// Nothing more than without: the exchange is asked anyway
    #[arg(short = 'c', long)]
    ctld: bool,
    /// Of these clusters: there is one, `dayan`
    #[arg(short = 'M', long, alias = "cluster", value_name = "NAMES")]
    clusters: Vec<String>,
    /// Only your jobs
    #[arg(long)]
    me: bool,
    /// Only with this name
    #[arg(short = 'n', long, alias = "jobname", value_name = "NAME")]
    name: Option<String>,
    /// Only in this partition
    #[arg(short = 'p', long, value_name = "NAME")]
    partition: Option<String>,
    /// Nothing is said of jobs that are not there
    #[arg(short = 'Q', long)]
    quiet: bool,
    /// Only in this reservation
    #[arg(short = 'R', long, value_name = "NAME")]
    reservation: Option<String>,
    /// TERM, INT or KILL: what is cancelled is asked to end, then ended
    #[arg(short = 's', long, value_name = "NAME")]
    signal: Option<String>,
    /// Only in these states: PENDING, RUNNING
    #[arg(short = 't', long, value_name = "STATE")]
    state: Option<String>,
    /// Only of this user
    #[arg(short = 'u', long, value_name = "NAME")]
    user: Option<String>,
    /// Says what is cancelled
    #[arg(short = 'v', long, action = clap::ArgAction::Count)]
    verbose: u8,
    /// Only on these nodes
    #[arg(short = 'w', long, value_name = "NODES")]
    nodelist: Option<String>,
    /// Only with this key: no job here has one
    #[arg(long, value_name = "NAME")]
    wckey: Option<String>,
    /// Nothing more than without: a job is cancelled with all that it runs
    #[arg(short = 'b', long)]
    batch: bool,
    /// The same
    #[arg(short = 'f', long)]
    full: bool,
}

/// Signals that mean an end, by name and by number.
const ENDING: [(&str, &str); 3] = [("TERM", "15"), ("KILL", "9"), ("INT", "2")];

/// The exchange takes tasks back; it has no call that hands a running one a signal.
fn ends(signal: &str) -> Result<(), Refused> {
    let upper = signal.trim().to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    if ENDING.iter().any(|(known, number)| *known == name || *number == name) {
        return Ok(());
    }
    let said = format!(
        "Signal {signal} is not delivered: the exchange can end a task (TERM, INT, KILL) and has no \
         way to hand it another signal"
    );
    let instead = match name {
        "STOP" | "TSTP" | "19" | "20" | "CONT" | "18" => {
            "`dayan pause` and `dayan resume` hold back what has not started"
        }
        _ => {
            "`#SBATCH --signal` (`time_signal` of a job file) names one that comes before its time is up; \
             `dayan exec JOB -- kill -s NAME PID` runs a command beside it"
        }
    };
    Err(Refused::said(said).and(instead))
}

/// Cancels.
pub async fn run(args: &Scancel, session: &Session) -> Result<u8, Refused> {
    // People answer one line at a time: nobody else reads this program's input.
    let asked = |question: &str| answered(question, session, &mut std::io::stdin().lock());
    cancel_all(args, session, asked).await
}

/// Asks; anything that does not begin with `y` is no, and so is the end of the input.
fn answered(question: &str, session: &Session, input: &mut impl BufRead) -> bool {
    session.out.say_raw(question);
    let mut line = String::new();
    // An input that cannot be read says nothing.
    input.read_line(&mut line).is_ok_and(|_| line.trim_start().starts_with(['y', 'Y']))
}

async fn cancel_all(
    args: &Scancel,
    session: &Session,
    asked: impl Fn(&str) -> bool,
) -> Result<u8, Refused> {
    clusters(&args.clusters)?;
    if let Some(signal) = &args.signal {
        ends(signal)?;
    }
    let states = args.states()?;
    if args.jobs.is_empty() && !args.chooses() {
        return Err(Refused::said("No job identification provided"));
    }
    let client = session.client()?;
    let targets = Target::parse_list(&args.jobs.join(","));
    let targets = targets.map_err(|text| Refused::said(format!("Invalid job id {text}")))?;
    let mut code = 0;
    let mut jobs: Vec<Job> = Vec::new();
    if targets.is_empty() {
        let listed = active(&client).await?;
        jobs.extend(details(&client, listed.into_iter().map(|job| job.id).collect()).await?);
    }
    for target in &targets {
        let found = target.jobs(&client).await?;
        // As with Slurm a job that is not there is no failure: it does not run.
        if found.is_empty() {
            args.complain(session, &target.text, "Invalid job id specified");
        }
        // An element that the array does not have is no job either.
        for job in &found {
            let strange = |element: &&u32| job.task_of(**element).is_none();
            for element in target.elements.iter().flatten().filter(strange) {
                let text = format!("{}_{element}", job.number);
                args.complain(session, &text, "Invalid job id specified");
            }
        }
        // Two elements of one array are two targets and one job.
        let known = |job: &Job, jobs: &[Job]| {
            jobs.iter().any(|other| other.told.summary.id == job.told.summary.id)
        };
        for job in found {
            if !known(&job, &jobs) {
                jobs.push(job);
            }
        }
    }
    let pools = match (&args.partition, args.interactive) {
        (None, false) => Pools::default(),
        (Some(_), _) | (None, true) => pool_names(&client).await,
    };
    let mine = users(&client, args.me, &args.user.iter().cloned().collect::<Vec<_>>()).await?;
    let chosen = Chosen { args, states: states.as_deref(), pools: &pools, users: &mine };
    for job in &jobs {
        let named: Vec<&Target> = targets.iter().filter(|target| target.is_of(job)).collect();
        for (task, text) in chosen.tasks(job, &named) {
            if args.interactive && !asked(&chosen.question(job, &text)) {
                continue;
            }
            if args.verbose > 0 {
                session.out.say_raw(&format!("scancel: Terminating job {text}\n"));
            }
            if let Some(why) = cancel(&client, job, task).await? {
                args.complain(session, &text, &why);
                code = 1;
            }
        }
    }
    Ok(code)
}

impl Scancel {
    /// The states that are meant; none: any. As Slurm has it, only what waits, runs or is suspended can be
    /// named, and nothing here is suspended.
    fn states(&self) -> Result<Option<Vec<State>>, Refused> {
        let Some(given) = &self.state else { return Ok(None) };
        let bad = |name: &str| {
            let said = Refused::bare(format!("Invalid job state specified: {name}"));
            said.and("Valid job states are PENDING, RUNNING, and SUSPENDED")
        };
        let names = listed(std::slice::from_ref(given));
        for name in &names {
            let suspended = ["suspended", "s"].iter().any(|word| name.eq_ignore_ascii_case(word));
            let meant = matches!(State::from_name(name), Some(State::Pending | State::Running));
            if !suspended && !meant {
                return Err(bad(name));
            }
        }
        match State::listed(&names) {
            Ok(states) if !names.is_empty() => Ok(Some(states)),
            Ok(_) => Err(bad(given)),
            Err(name) => Err(bad(&name)),
        }
    }
    fn chooses(&self) -> bool {
        let named = [&self.account, &self.name, &self.partition, &self.state, &self.user];
        let named = named.into_iter().chain([&self.reservation, &self.wckey]).collect::<Vec<_>>();
        self.me || self.nodelist.is_some() || named.iter().any(|given| given.is_some())
    }
    fn complain(&self, session: &Session, job: &str, why: &str) {
        if !self.quiet {
            let line = format!("scancel: error: Kill job error on job id {job}: {why}\n");
            session.out.say_raw(&line);
        }
    }
}

/// Takes it back; why not, where the exchange refuses. What has ended is as it should be.
async fn cancel(client: &Client, job: &Job, task: Option<u32>) -> Result<Option<String>, Failure> {
    match client.order(&job.told.summary.id, Order::Cancel, task).await {
        Ok(()) => Ok(None),
        Err(Failure::Refused(problem)) if problem.status == 403 => {
            Ok(Some("Access/permission denied".to_owned()))
        }
        Err(Failure::Refused(problem)) if problem.status == 404 => {
            Ok(Some("Invalid job id specified".to_owned()))
        }
        Err(Failure::Refused(problem)) if problem.status < 500 => Ok(Some(problem.title)),
        Err(failure) => Err(failure),
    }
}

struct Chosen<'a> {
    args: &'a Scancel,
    /// Only in one of these; none: in any.
    states: Option<&'a [State]>,
    pools: &'a Pools,
    users: &'a std::collections::BTreeSet<String>,
}

impl Chosen<'_> {
    /// What is to be cancelled of a job: all of it, or tasks; each with its name for people.
    fn tasks(&self, job: &Job, named: &[&Target]) -> Vec<(Option<u32>, String)> {
        if !self.takes(job) {
            return Vec::new();
        }
        let whole = named.iter().any(|target| target.elements.is_none() && target.task.is_none());
        let narrowed =
            self.states.is_some() || self.args.partition.is_some() || self.args.nodelist.is_some();
        let narrowed = narrowed || self.args.reservation.is_some();
        let lines: Vec<Line<'_>> =
            job.lines().into_iter().flat_map(Line::apart).filter(|line| self.keeps(line)).collect();
        if (whole || named.is_empty()) && !narrowed {
            return vec![(None, job.number.to_string())];
        }
        let wanted = |element: u32, task: u32| {
            whole
                || named.is_empty()
                || named.iter().any(|target| {
                    target.task == Some(task)
                        || target.elements.as_ref().is_some_and(|all| all.contains(&element))
                })
        };
        let mut tasks: Vec<(Option<u32>, String)> = Vec::new();
        for line in &lines {
            match line.part {
                Part::Whole => return vec![(None, job.number.to_string())],
                Part::Element(element, task) if wanted(element, task) => {
                    tasks.push((Some(task), line.id()));
                }
                Part::Element(..) | Part::Untried(_) => {}
            }
        }
        tasks
    }

    fn takes(&self, job: &Job) -> bool {
        let told = &job.told.summary;
        let name = self.args.name.as_ref().is_none_or(|name| name == job.name());
        let asked = self.args.me || self.args.user.is_some();
        let user = !asked || told.user.as_ref().is_some_and(|user| self.users.contains(user));
        let account = self.args.account.as_ref().is_none_or(|account| {
            let last = told.project.rsplit('/').next();
            *account == told.project || Some(account.as_str()) == last
        });
        // A key that no job has is not one that every job has.
        name && user && account && self.args.wckey.is_none()
    }

    /// What is asked before one is cancelled.
    fn question(&self, job: &Job, text: &str) -> String {
        let line = job.lines().into_iter().next();
        let partition = line.map_or_else(String::new, |line| line.partition(self.pools));
        let (name, partition) =
            (crate::exit::one_line(job.name()), crate::exit::one_line(&partition));
        format!("Cancel job_id={text} name={name} partition={partition} [y/n]? ")
    }

    fn keeps(&self, line: &Line<'_>) -> bool {
        // What is on its way to a machine or from it runs, to who takes it back.
        let waits = line.state == State::Pending;
        let is = if waits { State::Pending } else { State::Running };
        let state =
            !line.state.has_ended() && self.states.is_none_or(|states| states.contains(&is));
        let partition = self.args.partition.as_ref();
        let partition = partition.is_none_or(|names| {
            let names = listed(std::slice::from_ref(names));
            self.pools.is_one(&line.partition(self.pools), &names)
        });
        let nodes = listed(&self.args.nodelist.iter().cloned().collect::<Vec<_>>());
        let node =
            nodes.is_empty() || line.attempts.iter().any(|attempt| nodes.contains(&attempt.node));
        let reservation = self.args.reservation.as_deref();
        let reservation =
            reservation.is_none_or(|name| line.slurm_option("reservation") == Some(name));
        state && partition && node && reservation
    }
}

#[cfg(test)]
#[path = "scancel_tests.rs"]
mod tests;
