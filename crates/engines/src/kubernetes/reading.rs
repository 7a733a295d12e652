//! Reading what a task wrote: from the node's agent, through the API server.
//!
//! Kubernetes keeps one stream for a container; what was written to standard error is in it too. A
//! node keeps the last 10 MiB of it or so. Invariant: an output that was read to its end replaces
//! what was followed before it, so nothing of it is there twice.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dayan_units::Bytes;
use futures_util::AsyncReadExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::LogParams;
use kube::{Api, Client};

use super::connect::{Answer, read};
use super::pods::CONTAINER;
use crate::Stream;
use crate::logs::LogWriter;

/// What is read at once: a page of network, many of disk.
const PIECE_BYTES: usize = 64 << 10;
/// How often an output that cannot be read is asked for, and the pause between: a node's agent
/// that restarts is back by then.
const TRIES_MAX: u32 = 3;
const PAUSE: Duration = Duration::from_secs(1);

/// Whose output, and where it goes.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    pub namespace: String,
    pub pod: String,
    /// Where the attempt's logs are kept.
    pub folder: PathBuf,
    pub limit: Bytes,
}

async fn copy(
    client: &Client,
    output: &Output,
    follow: bool,
    folder: &Path,
) -> Result<(), kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &output.namespace);
    let params =
        LogParams { container: Some(CONTAINER.to_owned()), follow, ..LogParams::default() };
    let mut from = std::pin::pin!(api.log_stream(&output.pod, &params).await?);
    let mut to = LogWriter::new(folder.to_owned(), Stream::Stdout, output.limit);
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
    copy(client, output, true, &output.folder)
        .await
        .map_err(|error| format!("following the output of {}: {error}", output.pod))
}

/// Reads all of an ended task's output, in the place of what was followed. Where it cannot be read
/// the attempt's standard error says so, and what was followed stays.
pub(crate) async fn whole(client: &Client, output: &Output) -> Result<(), String> {
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
        match copy(client, output, false, &fresh).await {
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
    if output.folder.join(Stream::Stdout.name()).exists() {
        // What was followed stays.
        return Err(why);
    }
    let words = format!(
        "dayan: the output could not be read from the node: {why}. The API server reads it from the \
         kubelet, usually on port 10250.\n"
    );
    LogWriter::new(output.folder.clone(), Stream::Stderr, output.limit).write(words.as_bytes());
    Err(why)
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
