//! `sbatch`: submits a script and prints the number that the other commands take.

use std::io::Read as _;
use std::path::Path;

use dayan_spec::sbatch::{Batch, CommandLine, command_line, wrapped};
use dayan_units::JobId;

use super::submit::{Script, planned, submitted, with_ids};
use super::view::{Job, clock};
use super::{Refused, Tool, WRONG_OPTION};
use crate::client::{Client, Order};
use crate::cmd::data::{Uploads, with_local_inputs};
use crate::cmd::session::Session;
use crate::cmd::submit::beside;
use crate::exit::{Failure, one_line};
use crate::input::read_text;

/// The largest script that is read from standard input; the reader's own limit is lower and its
/// message better.
const STDIN_BYTES_MAX: u64 = 16 << 20;

const USAGE: &str = "\
Usage: sbatch [OPTIONS...] SCRIPT [ARGUMENTS...]
       sbatch [OPTIONS...] --wrap=COMMAND
Which options are taken, which have no effect here and which are refused stands in
docs/guides/slurm-words.md. Keys of a job file stand in the script as `#DAYAN key: value`.
";

/// Submits.
pub async fn run(words: &[String], session: &Session) -> Result<u8, Refused> {
    // Only as the first word: behind the script it is the script's own.
    if matches!(words.first().map(String::as_str), Some("--help" | "--usage" | "-h")) {
        session.out.raw(USAGE.as_bytes())?;
        return Ok(0);
    }
    let line = command_line(words).map_err(|errors| wrong_line(&errors))?;
    let (text, file) = script(&line)?;
    let client = session.client()?;
    let script =
        Script { text: &text, file: &file, options: &line.options, arguments: &line.arguments };
    let mut batch = script.read(&client).await?;
    if !batch.asked.quiet {
        for note in &batch.notes {
            let place = note.line.map_or_else(String::new, |line| format!(" (line {line})"));
            let said = format!("sbatch: warning: {}{place}: {}\n", note.option, note.why);
            session.out.say_raw(&said);
        }
    }
    with_ids(&client, &mut batch).await.map_err(|failure| match failure {
        Failure::Usage(_) => Refused::said("Batch job submission failed: Job dependency problem"),
        other => other.into(),
    })?;
    let folder = line.script.as_deref().map_or(Path::new("."), |file| beside(Path::new(file)));
    if batch.asked.test_only {
        return test_only(&batch, folder, &client, session).await;
    }
    let file = batch.file.to_string();
    let file = with_local_inputs(&client, file, folder, Uploads::Send, session).await?;
    submit(&batch, file, &client, session).await
}

/// What is wrong with an option of the command line, in the words of `getopt` where it has them.
fn wrong_line(errors: &dayan_spec::SpecErrors) -> Refused {
    use dayan_spec::Code;
    let mut lines = errors.errors.iter().map(|error| {
        let option = error.arg("option").unwrap_or_default();
        let help = error.help().map_or_else(String::new, |help| format!("; {help}"));
        match error.code {
            Code::SbatchUnknownOption if error.arg("choices").is_some() => {
                let choices = error.arg("choices").unwrap_or_default().replace(", ", "' '");
                format!("sbatch: option '{option}' is ambiguous; possibilities: '{choices}'")
            }
            Code::SbatchUnknownOption if option.starts_with("--") => {
                format!("sbatch: unrecognized option '{option}'{help}")
            }
            Code::SbatchUnknownOption => {
                format!("sbatch: invalid option -- '{}'", option.trim_start_matches('-'))
            }
            Code::SbatchValueMissing => format!("sbatch: option '{option}' requires an argument"),
            Code::SbatchTakesNoValue => {
                format!("sbatch: option '{option}' doesn't allow an argument")
            }
            _ => format!("sbatch: error: {}{help}", error.message()),
        }
    });
    let mut refused = Refused::bare(lines.next().unwrap_or_default());
    for line in lines {
        refused = refused.and(line);
    }
    refused.and("Try \"sbatch --help\" for more information").ending(WRONG_OPTION)
}

/// The script's text and what it is called.
fn script(line: &CommandLine) -> Result<(String, String), Refused> {
    let text = match (&line.wrap, &line.script) {
        (Some(_), Some(_)) => {
            return Err(Refused::said("Script arguments not permitted with --wrap option"));
        }
        (Some(command), None) => return Ok((wrapped(command), "wrap".to_owned())),
        (None, Some(file)) => {
            if !Path::new(file).is_file() {
                return Err(Refused::said(format!("Unable to open file {file}")));
            }
            (read_text(Path::new(file))?, file.clone())
        }
        (None, None) => {
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().take(STDIN_BYTES_MAX).read_to_end(&mut bytes);
            let text = read.ok().and_then(|_| String::from_utf8(bytes).ok());
            let text = text.ok_or_else(|| Refused::said("Standard input is no text"))?;
            (text, "sbatch".to_owned())
        }
    };
    checked(&text.0)?;
    Ok(text)
}

/// What Slurm says of files that are no scripts.
fn checked(text: &str) -> Result<(), Refused> {
    if text.is_empty() {
        return Err(Refused::said("Batch script is empty!"));
    }
    if text.trim().is_empty() {
        return Err(Refused::said("Batch script contains only whitespace!"));
    }
    if !text.starts_with("#!") {
        let said = Refused::said("This does not look like a batch script.  The first");
        let said = said.and("line must start with #! followed by the path to an interpreter.");
        return Err(said.and("For instance: #!/bin/sh"));
    }
    if text.contains("\r\n") {
        let said = Refused::said("Batch script contains DOS line breaks (\\r\\n)");
        return Err(said.and("instead of expected UNIX line breaks (\\n)."));
    }
    Ok(())
}

/// How it is told that an option is left out.
fn left_out(batch: &Batch, session: &Session) -> impl Fn(&str, &str) {
    |option, why| {
        if !batch.asked.quiet {
            let said = format!("sbatch: warning: {option}: no pool lets jobs say it; {why}\n");
            session.out.say_raw(&said);
        }
    }
}

async fn submit(
    batch: &Batch,
    file: String,
    client: &Client,
    session: &Session,
) -> Result<u8, Refused> {
    // A key of our own makes it safe to send again after a lost answer.
    let key = hex::encode(rand::random::<[u8; 16]>());
    let submitted = submitted(client, file, None, &key, left_out(batch, session)).await;
    let submitted = submitted.inspect_err(|failure| hint(failure, session))?;
    let Some(id) = submitted.job else {
        let schedule = submitted.schedule.unwrap_or_default();
        session.out.raw(format!("Submitted schedule {schedule}\n").as_bytes())?;
        return Ok(0);
    };
    if batch.asked.hold {
        client.order(&id, Order::Pause, None).await?;
    }
    if !batch.asked.quiet {
        warn_if_hopeless(&id, client, session).await;
    }
    let number = id.parse().map_or(0, JobId::number);
    let line = if batch.asked.parsable {
        format!("{number}\n")
    } else {
        format!("Submitted batch job {number}\n")
    };
    session.out.raw(line.as_bytes())?;
    if batch.asked.wait { wait(&id, client).await } else { Ok(0) }
}

/// Says at once when no pool there is could take it: it waits for one that comes. What cannot be
/// asked is no reason to fail a submission.
async fn warn_if_hopeless(id: &str, client: &Client, session: &Session) {
    let Ok(explained) = client.explain(id).await else { return };
    if explained.standing == "infeasible" {
        let why: Vec<&str> = explained.reasons.iter().map(|why| why.message.as_str()).collect();
        let why = one_line(&why.join("; "));
        session
            .out
            .say_raw(&format!("sbatch: warning: no pool can take it as things are: {why}\n"));
    }
}

/// Words of one cluster are the commonest reason why a script that ran there is refused.
fn hint(failure: &Failure, session: &Session) {
    let Failure::Refused(problem) = failure else { return };
    let slurm = dayan_spec::Feature::SlurmOptions;
    let of_one_cluster =
        |code: &str| code.ends_with(slurm.as_str()) || code == "spec.slurm_partition";
    if problem.details.iter().any(|detail| of_one_cluster(&detail.code)) {
        session.out.say_raw(
            "sbatch: partition, qos, constraint, reservation and what goes with them (exclusive, nodelist, \
             switches …) are words of one cluster; write `any` for each (`-p any`, or SBATCH_PARTITION=any) \
             to run on any pool\n",
        );
    }
}

/// Waits for the end; the code is the highest of its tasks, as with `sbatch --wait`.
async fn wait(id: &str, client: &Client) -> Result<u8, Refused> {
    let told = crate::cmd::submit::ended(client, id, |_| {}).await?;
    let bad = told.summary.state != "succeeded";
    let mut told = told;
    told.attempts = client.attempts(id, ATTEMPTS_MAX).await?;
    let job = Job::new(told);
    let codes = job.lines().into_iter().map(|line| {
        let (code, signal) = line.exit();
        if code == 0 && signal != 0 { 128 + signal } else { code }
    });
    let worst = codes.max().unwrap_or(0);
    Ok(match u8::try_from(worst) {
        Ok(0) if bad => 1,
        Ok(code) => code,
        Err(_) => 1,
    })
}

/// Attempts whose codes are looked at.
const ATTEMPTS_MAX: usize = 200_000;

/// When it would start, without submitting it.
async fn test_only(
    batch: &Batch,
    folder: &Path,
    client: &Client,
    session: &Session,
) -> Result<u8, Refused> {
    let file = with_local_inputs(client, batch.file.to_string(), folder, Uploads::Skip, session);
    let plan = planned(client, file.await?, left_out(batch, session)).await?;
    let refused = plan.submission.as_ref().map(|problem| problem.title.clone());
    if let Some(why) = refused {
        return Err(Refused::bare(format!("allocation failure: {why}")));
    }
    let Some(best) = plan.candidates.first() else {
        let said = "allocation failure: Requested node configuration is not available";
        let mut said = Refused::bare(said);
        for pool in &plan.refused {
            let why: Vec<&str> =
                pool.reasons.iter().map(|reason| reason.message.as_str()).collect();
            said = said.and(format!("{}: {}", pool.pool_name, why.join("; ")));
        }
        return Err(said);
    };
    let seconds = if best.start_p50_s.is_finite() { best.start_p50_s.max(0.0) } else { 0.0 };
    let at = crate::clock::now().checked_add(jiff::SignedDuration::from_secs_f64(seconds)).ok();
    let at = clock(at, &session.out.view.zone, "Unknown");
    let each = batch.job.resources.cpus.min.0.div_ceil(1_000).max(1);
    let cpus = each * u64::from(batch.job.gang_nodes());
    session.out.say_raw(&format!(
        "{}: Job to start at {at} using {cpus} processors in partition {}, at most {} {}\n",
        Tool::Sbatch.name(),
        best.pool_name,
        best.price,
        best.currency,
    ));
    Ok(0)
}

#[cfg(test)]
#[path = "sbatch_tests.rs"]
mod tests;
