//! `dayan logs`: what a task wrote, as bytes, once or as it comes.

use std::time::Duration;

use super::session::{JobPath, Session};
use super::submit::OUTAGE_MAX;
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// For how long the exchange may hold an answer to a follower back until there is something.
const FOLLOW_WAIT: Duration = Duration::from_secs(10);
/// The least time between two looks at a silent task: an answer that says nothing may come at once.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Between two looks at a task that waits to be started: soon enough for who looks on, and seldom enough
/// for one that waits for days.
const START_LOOK_EVERY: Duration = Duration::from_secs(1);

/// Does a task still wait for its start?
fn is_not_started(failure: &Failure) -> bool {
    matches!(failure, Failure::Refused(problem) if problem.code == "logs.not_started")
}

/// Prints what a task wrote
#[derive(Debug, clap::Args)]
pub struct Logs {
    /// JOB, JOB/TASK or JOB/TASK.ATTEMPT; the first task and the newest attempt unless told
    #[arg(value_name = "JOB[/TASK]")]
    job: String,
    /// Go on until the task has ended
    #[arg(short, long)]
    follow: bool,
    /// The task's standard error instead of its standard output
    #[arg(long)]
    stderr: bool,
    /// How each step of a job in steps ended, and the beginning of what it said
    #[arg(long, conflicts_with = "stderr")]
    steps: bool,
}

/// Runs it.
pub async fn run(args: &Logs, session: &Session) -> Result<Exit, Failure> {
    let path = JobPath::parse(&args.job)?;
    let client = session.client()?;
    let (id, task) = match crate::slurm::one_element(&client, &args.job).await? {
        Some((id, task)) => (id, task),
        None => (path.newest_id(&client, session).await?, path.task.unwrap_or(0)),
    };
    let stream = match (args.stderr, args.steps) {
        (true, _) => "stderr",
        (_, true) => "steps",
        (false, false) => "stdout",
    };
    let wait = if args.follow { FOLLOW_WAIT } else { Duration::ZERO };
    let (mut offset, mut line_open, mut said) = (0, false, false);
    let mut answered = tokio::time::Instant::now();
    loop {
        let looked = tokio::time::Instant::now();
        let part = match client.log(&id, task, path.attempt, stream, offset, wait).await {
            Ok(part) => part,
            Err(failure) if args.follow && is_not_started(&failure) => {
                let job = client.job(&id).await?.summary;
                // What has ended without a start never writes anything.
                if job.ended_at.is_some() {
                    return Err(failure);
                }
                if !said {
                    said = true;
                    session.out.say(&Said::with(Word::NotStartedYet, "job", &args.job));
                }
                tokio::time::sleep_until(looked + START_LOOK_EVERY).await;
                continue;
            }
            // A server that restarts is waited for: the task goes on meanwhile.
            Err(failure)
                if args.follow
                    && failure.exit() == Exit::Unreachable
                    && looked.duration_since(answered) < OUTAGE_MAX =>
            {
                tokio::time::sleep(START_LOOK_EVERY).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        answered = tokio::time::Instant::now();
        let begins = part.next.saturating_sub(part.bytes.len() as u64);
        if begins > offset {
            // What is on both sides of it is no line.
            if line_open {
                session.out.raw(b"\n")?;
            }
            let size = dayan_units::Bytes(begins - offset).to_string();
            session
                .out
                .say(&Said::with(Word::LogGap, "size", size).and("from", offset.to_string()));
        }
        line_open = part.bytes.last().map_or(line_open, |last| *last != b'\n');
        session.out.raw(&part.bytes)?;
        let came = part.next > offset;
        offset = part.next.max(offset);
        if part.ended || (!args.follow && !came) {
            return Ok(Exit::Ok);
        }
        if came {
            // There may be more of what is written already: no reason to wait for it.
            continue;
        }
        tokio::time::sleep_until(looked + LOOK_EVERY).await;
    }
}
