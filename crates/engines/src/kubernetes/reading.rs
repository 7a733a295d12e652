//! Reading what a task wrote: from the node's agent, through the API server.
//!
//! Kubernetes keeps one stream for a container; what was written to standard error is in it too. A
//! node keeps the last 10 MiB of it or so. The outputs of a launch's steps follow each other in one
//! stream, and a third one says which part of it is whose. Invariant: an output that was read to its
//! end replaces what was followed before it, so nothing of it is there twice.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dayan_units::{Bytes, Time};
use futures_util::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client};

use super::connect::{Answer, read};
use super::pods::{self, CONTAINER, Stage};
use super::steps::{self, StepSeen, Unstarted};
use crate::logs::LogWriter;
use crate::{Outcome, StepRecord, Stream, wall_now};

/// What is read at once: a page of network, many of disk.
const PIECE_BYTES: usize = 64 << 10;
/// How often an output that cannot be read is asked for, and the pause between: a node's agent
/// that restarts is back by then.
const TRIES_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// How often a step that has not begun, or whose end is not told yet, is asked for.
const STEP_AGAIN: Duration = Duration::from_millis(250);
/// How often a step's end is asked for once its output has ended: nodes tell it within seconds.
const ENDED_TRIES: u32 = 40;
/// More than the records of a launch's steps take: a hundred and fifty bytes for each.
const RECORDS_BYTES_MAX: usize = 1 << 20;

/// Whose output, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub namespace: String,
    pub pod: String,
    /// How many steps it has; none: one container.
    pub steps: u32,
    /// Where the attempt's logs are kept.
    pub folder: PathBuf,
    pub limit: Bytes,
}

/// How the steps of an attempt ended, if it has some.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ended {
    pub records: Vec<StepRecord>,
    /// The one of them that could not be started: why is said in the attempt's standard error.
    pub unstarted: Option<Unstarted>,
}

async fn copy(
    client: &Client,
    output: &Output,
    container: &str,
    follow: bool,
    to: &mut LogWriter,
) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &output.namespace);
    let params =
        LogParams { container: Some(container.to_owned()), follow, ..LogParams::default() };
    let mut from = std::pin::pin!(api.log_stream(&output.pod, &params).await?);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let count = from.read(&mut piece).await.map_err(kube::Error::ReadEvents)?;
        if count == 0 {
            return Ok(());
        }
        to.write(&piece[..count]);
    }
}

/// Writes down what a running task writes, until it ends. A second time nothing is begun: what is
/// there would be there twice.
pub(crate) async fn follow(client: &Client, output: &Output) -> Result<(), String> {
    let said = match output.steps {
        0 => {
            let mut to = LogWriter::new(output.folder.clone(), Stream::Stdout, output.limit);
            copy(client, output, CONTAINER, true, &mut to).await
        }
        _ => follow_steps(client, output).await,
    };
    said.map_err(|error| format!("following the output of {}: {error}", output.pod))
}

/// One step after the other, each until it ends. How it ended is written down beside what it wrote.
async fn follow_steps(client: &Client, output: &Output) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &output.namespace);
    let log = |stream| LogWriter::new(output.folder.clone(), stream, output.limit);
    let (mut to, mut lines) = (log(Stream::Stdout), log(Stream::Steps));
    for step in 0..output.steps {
        let begin = to.written();
        let container = steps::container(step, output.steps);
        while let Err(error) = copy(client, output, &container, true, &mut to).await {
            // It has not begun; as long as anything of the pod is to come, it may.
            let waits = matches!(&error, kube::Error::Api(answer) if answer.code == 400);
            if !waits || is_over(&api, output).await? {
                return if waits { Ok(()) } else { Err(error) };
            }
            tokio::time::sleep(STEP_AGAIN).await;
        }
        let Some((seen, now)) = ended(&api, output, step).await? else { return Ok(()) };
        let outcome = seen.ended.map_or(Outcome::KeeperDied, |(_, code)| Outcome::Exited(code));
        let record = steps::records(&[seen], None, &outcome, now).pop();
        let Some(record) = record else { return Ok(()) };
        write_down(&mut lines, &StepRecord { step, ..record }, [begin, to.written()]);
    }
    Ok(())
}

async fn is_over(api: &Api<Pod>, output: &Output) -> Result<bool, kube::Error> {
    let pod = api.get_opt(&output.pod).await?;
    let seen = pod.as_ref().and_then(pods::read);
    Ok(seen.is_none_or(|seen| matches!(seen.stage, Stage::Over(_)) || seen.deleting))
}

/// How a step ended whose output has; none where the pod is gone or does not say. The output's end is
/// known a moment before the container's.
async fn ended(
    api: &Api<Pod>,
    output: &Output,
    step: u32,
) -> Result<Option<(StepSeen, Time)>, kube::Error> {
    for turn in 0..ENDED_TRIES {
        if turn > 0 {
            tokio::time::sleep(STEP_AGAIN).await;
        }
        let Some(pod) = api.get_opt(&output.pod).await? else { return Ok(None) };
        let seen = pods::read(&pod).and_then(|pod| pod.steps.get(step as usize).cloned());
        if let Some(seen) = seen.filter(|seen| seen.ended.is_some()) {
            return Ok(Some((seen, wall_now())));
        }
    }
    Ok(None)
}

fn write_down(lines: &mut LogWriter, record: &StepRecord, stdout: [u64; 2]) {
    let record = StepRecord { stdout, ..record.clone() };
    let mut line = serde_json::to_vec(&record).expect("numbers become JSON");
    line.push(b'\n');
    lines.write(&line);
}

/// The record of a step, with its part of the attempt's standard error where it could not be started.
/// Nothing else of ours is written there: a node keeps one stream.
fn explained(record: &StepRecord, ended: &Ended, errors: &mut LogWriter) -> StepRecord {
    let begin = errors.written();
    if let Some(lost) = ended.unstarted.as_ref().filter(|lost| lost.step == record.step) {
        errors.write(lost.line().as_bytes());
    }
    StepRecord { stderr: [begin, errors.written()], ..record.clone() }
}

/// All that was written, into a folder of its own.
async fn copy_all(
    client: &Client,
    output: &Output,
    ended: &Ended,
    folder: &Path,
) -> Result<(), kube::Error> {
    let log = |stream| LogWriter::new(folder.to_owned(), stream, output.limit);
    let mut to = log(Stream::Stdout);
    if output.steps == 0 {
        return copy(client, output, CONTAINER, false, &mut to).await;
    }
    let (mut lines, mut errors) = (log(Stream::Steps), log(Stream::Stderr));
    for record in &ended.records {
        let begin = to.written();
        // One that never began has written nothing.
        if record.started_at.is_some() {
            let container = steps::container(record.step, output.steps);
            copy(client, output, &container, false, &mut to).await?;
        }
        let record = explained(record, ended, &mut errors);
        write_down(&mut lines, &record, [begin, to.written()]);
    }
    Ok(())
}

/// Reads all of an ended task's output, in the place of what was followed. Where it cannot be read
/// the attempt's standard error says so, and what was followed stays.
pub(crate) async fn whole(client: &Client, output: &Output, ended: &Ended) -> Result<(), String> {
    // Beside it, so that it can take its place; the name is no attempt's.
    let mut fresh = output.folder.clone().into_os_string();
    fresh.push(".reading");
    let fresh = PathBuf::from(fresh);
    let mut why = String::new();
    for turn in 0..TRIES_MAX {
        if turn > 0 {
            tokio::time::sleep(PAUSE).await;
        }
        let _ = fs::remove_dir_all(&fresh);
        match copy_all(client, output, ended, &fresh).await {
            Ok(()) => {
                return replace(&fresh, &output.folder)
                    .map_err(|error| format!("keeping the output of {}: {error}", output.pod));
            }
            Err(error) => match read(&error, "reading its output") {
                // The pod is gone, and its output with it.
                Answer::Missing => {
                    "its pod is gone".clone_into(&mut why);
                    break;
                }
                Answer::Refused(words) => {
                    why = words;
                    break;
                }
                Answer::Taken => why = error.to_string(),
                Answer::Unsure(words) => why = words,
            },
        }
    }
    let _ = fs::remove_dir_all(&fresh);
    if let Err(error) = complete(output, ended) {
        tracing::warn!(%error, pod = output.pod, "how its steps ended cannot be written down");
    }
    if output.folder.join(Stream::Stdout.name()).exists() {
        // What was followed stays.
        return Err(why);
    }
    let words = format!(
        "dayan: the output could not be read from the node: {why}. The API server reads it from the \
         kubelet, usually on port 10250.\n"
    );
    match LogWriter::resume(output.folder.clone(), Stream::Stderr, output.limit) {
        Ok(mut errors) => errors.write(words.as_bytes()),
        Err(error) => tracing::warn!(%error, pod = output.pod, "why cannot be written down"),
    }
    Err(why)
}

/// Writes down of those steps how they ended of which nobody has yet, and what came last is theirs; or
/// of which it is known better by now: who followed saw how a process went, and not why. Of two lines
/// of a step the later one counts.
fn complete(output: &Output, ended: &Ended) -> io::Result<()> {
    if ended.records.is_empty() {
        return Ok(());
    }
    let known = crate::logs::read(&output.folder, Stream::Steps, 0, RECORDS_BYTES_MAX)?.data;
    let known = String::from_utf8_lossy(&known).into_owned();
    let known: Vec<StepRecord> =
        known.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let resumed = |stream| LogWriter::resume(output.folder.clone(), stream, output.limit);
    let end = resumed(Stream::Stdout)?.written();
    let (mut lines, mut errors) = (resumed(Stream::Steps)?, resumed(Stream::Stderr)?);
    let mut begin = known.iter().map(|record| record.stdout[1]).max().unwrap_or(0);
    for record in &ended.records {
        match known.iter().rev().find(|one| one.step == record.step) {
            None => {
                let record = explained(record, ended, &mut errors);
                write_down(&mut lines, &record, [begin, end]);
                begin = end;
            }
            Some(one) if one.exit_code != record.exit_code => {
                let record = explained(record, ended, &mut errors);
                write_down(&mut lines, &record, one.stdout);
            }
            Some(_) => {}
        }
    }
    Ok(())
}

fn replace(fresh: &Path, folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    match fs::rename(fresh, folder) {
        // It wrote nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_followed_is_completed_by_how_the_rest_ended() {
        let dir = tempfile::tempdir().expect("a folder");
        let output = Output {
            namespace: "n".to_owned(),
            pod: "p".to_owned(),
            steps: 3,
            folder: dir.path().join("logs"),
            limit: Bytes(0),
        };
        let record = |step, exit_code| StepRecord {
            step,
            started_at: None,
            ended_at: Time::EPOCH,
            exit_code,
            stdout: [0, 0],
            stderr: [0, 0],
        };
        let mut lines = LogWriter::new(output.folder.clone(), Stream::Steps, output.limit);
        LogWriter::new(output.folder.clone(), Stream::Stdout, output.limit).write(b"one two");
        write_down(&mut lines, &record(0, 0), [0, 3]);
        let ended = |records: &[StepRecord]| Ended { records: records.to_vec(), unstarted: None };
        for _ in 0..2 {
            complete(&output, &ended(&[record(0, 0), record(1, 143)])).expect("written");
        }
        complete(&output, &ended(&[record(0, 0), record(1, 124)])).expect("written");
        let text = crate::logs::read(&output.folder, Stream::Steps, 0, 9_999).expect("reads").data;
        let text = String::from_utf8(text).expect("text");
        let all: Vec<StepRecord> =
            text.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
        let told: Vec<_> = all.iter().map(|one| (one.step, one.exit_code, one.stdout)).collect();
        assert_eq!(told, [(0, 0, [0, 3]), (1, 143, [3, 7]), (1, 124, [3, 7])]);
        // One more that could not be started: why stands in the other stream, once.
        let unstarted = Some(Unstarted { step: 2, words: "no such image".to_owned() });
        let ended = Ended { records: vec![record(0, 0), record(2, 125)], unstarted };
        for _ in 0..2 {
            complete(&output, &ended).expect("written");
        }
        let read = |stream| {
            let read = crate::logs::read(&output.folder, stream, 0, 9_999).expect("reads").data;
            String::from_utf8(read).expect("text")
        };
        let words = read(Stream::Stderr);
        assert_eq!(words, "dayan: step 2 could not be started: no such image\n");
        let last = read(Stream::Steps).lines().last().map(serde_json::from_str);
        let last: StepRecord = last.expect("a line").expect("a record");
        let end = u64::try_from(words.len()).expect("short");
        assert_eq!((last.step, last.exit_code, last.stderr), (2, 125, [0, end]));
    }
}
