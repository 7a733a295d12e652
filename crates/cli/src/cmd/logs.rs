//! `dayan logs`: what a task wrote, as bytes, once or as it comes.

use std::time::Duration;

use super::session::{JobPath, Session};
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// For how long the exchange may hold an answer to a follower back until there is something.
const FOLLOW_WAIT: Duration = Duration::from_secs(10);
/// The least time between two looks at a silent task: an answer that says nothing may come at once.
const LOOK_EVERY: Duration = Duration::from_millis(250);

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
}

/// Runs it.
pub async fn run(args: &Logs, session: &Session) -> Result<Exit, Failure> {
    let path = JobPath::parse(&args.job)?;
    let client = session.client()?;
    let id = path.newest_id(&client, session).await?;
    let stream = if args.stderr { "stderr" } else { "stdout" };
    let wait = if args.follow { FOLLOW_WAIT } else { Duration::ZERO };
    let (mut offset, mut line_open) = (0, false);
    loop {
        let looked = tokio::time::Instant::now();
        let part =
            client.log(&id, path.task.unwrap_or(0), path.attempt, stream, offset, wait).await?;
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
