//! `dayan submit`: a job file in, the id of a job or schedule out; and waiting for a job's end.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dayan_wire::{Job, JobSummary};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::data::{Uploads, with_local_inputs};
use super::session::{Progress, Session, job_file};
use crate::client::{Client, Order};
use crate::exit::{Exit, Failure, Said};
use crate::output::View;
use crate::words::Word;

/// A key is a name for one submission; this is as long as the exchange keeps.
const KEY_CHARS_MAX: usize = 128;
/// How soon after a submission a wait looks again; the shortest jobs take about this long.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// How rarely a wait looks at a long job.
const LAST_LOOK: Duration = Duration::from_secs(5);
/// How long a wait goes on asking while nobody answers: longer than a server's restart.
pub(super) const OUTAGE_MAX: Duration = Duration::from_mins(10);

/// Submits a job
#[derive(Debug, clap::Args)]
pub struct Submit {
    /// The job file, or a script with `#SBATCH` lines; `-` reads standard input
    file: PathBuf,
    /// A firm quote to run under, from `dayan quote`
    #[arg(long, value_name = "ID")]
    quote: Option<String>,
    /// A name for this submission: the same key submits once, however often it is sent
    #[arg(long, value_parser = key_arg)]
    key: Option<String>,
    /// Wait until the job has ended; the exit code says how
    #[arg(long)]
    wait: bool,
}

fn key_arg(text: &str) -> Result<String, String> {
    let fits = !text.is_empty() && text.chars().count() <= KEY_CHARS_MAX;
    if fits && !text.chars().any(char::is_control) {
        Ok(text.to_owned())
    } else {
        Err(format!("a key is 1 to {KEY_CHARS_MAX} characters"))
    }
}

/// Runs it.
pub async fn run(args: &Submit, session: &Session) -> Result<Exit, Failure> {
    let file = job_file(&args.file, session).await?;
    let waits = args.wait || file.wait;
    if waits && file.repeats {
        return Err(Failure::usage(Said::plain(Word::NoEndToWaitFor)));
    }
    let client = session.client()?;
    let folder = beside(&args.file);
    let text =
        with_local_inputs(&client, file.text.clone(), folder, Uploads::Send, session).await?;
    // Without a key of the caller's, one of our own makes it safe to send again after a lost
    // answer.
    let key = args.key.clone().unwrap_or_else(|| hex::encode(rand::random::<[u8; 16]>()));
    let submitted = file.submit((&client, session), text, args.quote.as_deref(), &key).await;
    let submitted = submitted.inspect_err(|failure| {
        if matches!(failure, Failure::Unreachable { .. }) {
            session.out.say(&Said::with(Word::SubmitAgain, "key", &key));
        }
    })?;
    if let Some(job) = submitted.job {
        session.out.value("job", &json!({ "job": job }), None)?;
        if file.hold {
            client.order(&job, Order::Pause, None).await?;
        }
        warn_if_hopeless(&client, session, &job).await;
        return if waits { wait(&client, session, &job).await } else { Ok(Exit::Ok) };
    }
    let schedule = submitted.schedule.unwrap_or_default();
    let next = submitted.next.as_deref();
    let said = Said::with(Word::WillRun, "id", &schedule);
    let said = said.and("next", session.out.view.time_or_dash(next));
    session.out.value("schedule", &json!({ "schedule": schedule, "next": next }), Some(&said))?;
    Ok(Exit::Ok)
}

/// Where files beside a job file lie; beside standard input is here.
pub fn beside(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Says at once when no pool there is could take it: it may wait for one that comes, but whoever
/// submitted it should know. What cannot be asked is no reason to fail a submission.
async fn warn_if_hopeless(client: &Client, session: &Session, job: &str) {
    let Ok(explained) = client.explain(job).await else { return };
    if explained.standing == "infeasible" {
        let reasons: Vec<&str> =
            explained.reasons.iter().map(|reason| reason.message.as_str()).collect();
        let reasons = if reasons.is_empty() { "-".to_owned() } else { reasons.join("; ") };
        session.out.say(&Said::with(Word::Hopeless, "job", job).and("reasons", reasons));
    }
}

/// Waits for a job's end.
async fn wait(client: &Client, session: &Session, job: &str) -> Result<Exit, Failure> {
    let bar = match session.progress {
        Progress::Drawn => drawn_bar(),
        Progress::Hidden => ProgressBar::hidden(),
    };
    let look = |summary: &JobSummary| {
        bar.set_length(summary.tasks.total);
        bar.set_position(ended_tasks(summary));
        bar.set_message(line(summary, &session.out.view));
    };
    let found = ended(client, job, look).await;
    bar.finish_and_clear();
    let summary = found?.summary;
    session.out.say(
        &Said::with(Word::JobEnded, "job", job)
            .and("state", session.out.view.state(&summary.state))
            .and("spent", &summary.money.spent)
            .and("currency", &summary.money.currency),
    );
    let exit = outcome(&summary.state).unwrap_or(Exit::Failed);
    if exit == Exit::Failed {
        session.out.say(&Said::with(Word::SeeWhy, "job", job));
    }
    Ok(exit)
}

/// The job, once it has ended; each look at it until then is shown.
pub async fn ended(client: &Client, job: &str, look: impl Fn(&JobSummary)) -> Result<Job, Failure> {
    let mut pause = FIRST_LOOK;
    let mut without_answer = Duration::ZERO;
    loop {
        match client.job(job).await {
            Ok(found) => {
                without_answer = Duration::ZERO;
                look(&found.summary);
                if outcome(&found.summary.state).is_some() {
                    return Ok(found);
                }
            }
            // A server that restarts is waited for: the job goes on meanwhile.
            Err(failure) if failure.exit() == Exit::Unreachable && without_answer < OUTAGE_MAX => {
                without_answer += pause;
            }
            Err(failure) => return Err(failure),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 3 / 2).min(LAST_LOOK);
    }
}

fn drawn_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {elapsed}")
        .expect("the template is fixed");
    ProgressBar::new(0).with_style(style)
}

fn ended_tasks(job: &JobSummary) -> u64 {
    job.tasks.succeeded + job.tasks.failed + job.tasks.cancelled
}

fn line(job: &JobSummary, view: &View) -> String {
    let counts = super::jobs::counts(&job.tasks, view);
    format!("{counts} · {} {}", job.money.spent, job.money.currency)
}

/// What a state means for who waits; none: not ended. A state of a newer server is waited on.
pub fn outcome(state: &str) -> Option<Exit> {
    match state {
        "succeeded" => Some(Exit::Ok),
        "failed" | "cancelled" | "unfunded" => Some(Exit::Failed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ended_jobs_end_a_wait() {
        let check = |state: &str, expect| assert_eq!(outcome(state), expect, "{state}");
        check("succeeded", Some(Exit::Ok));
        check("failed", Some(Exit::Failed));
        check("cancelled", Some(Exit::Failed));
        check("unfunded", Some(Exit::Failed));
        check("running", None);
        check("paused", None);
        check("queued", None);
    }

    #[test]
    fn keys_have_a_size() {
        assert!(key_arg("nightly-2026-11-23").is_ok());
        assert!(key_arg("").is_err());
        assert!(key_arg(&"k".repeat(KEY_CHARS_MAX + 1)).is_err());
        assert!(key_arg("a\nb").is_err());
    }
}
