//! A command beside a running task: in its container, by the API server's `exec` over a WebSocket.
//!
//! Kubernetes' channels (`v5.channel.k8s.io`, else v4) carry a number before each message: 0 for the
//! input, 1 and 2 for the outputs, 3 for how it ended, 4 for the terminal's size, 255 for the end of a
//! channel. Both ways go on by themselves: a command that says much while it is told much must not
//! wait for itself. Who asks says where output goes; nothing of ours is kept here.

use futures_util::{SinkExt, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::AttachParams;
use kube::{Client, Resource};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::connect::{self, Answer};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// Between two signs of life: proxies forget a silent connection after a minute.
const PING_EVERY: std::time::Duration = std::time::Duration::from_secs(20);

/// Where a command is to run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Where<'a> {
    pub namespace: &'a str,
    pub pod: &'a str,
    pub container: &'a str,
}

/// Something for a command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum In {
    Bytes(Vec<u8>),
    End,
    /// Columns and rows.
    Size(u16, u16),
}

/// Which output something is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Of {
    Stdout,
    Stderr,
}

/// Is it at a terminal?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Terminal {
    Yes,
    No,
}

/// The ways to and from a command.
pub(crate) struct Pipes {
    /// What it is told; none: it has no input.
    pub input: Option<mpsc::Receiver<In>>,
    /// What it says. Who does not listen any more ends it.
    pub output: mpsc::Sender<(Of, Vec<u8>)>,
    pub terminal: Terminal,
}

/// Why a command could not be run, or how it ended is not known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum NotRun {
    /// There is no such pod any more, or nothing of it runs.
    Gone(String),
    Failed(String),
}

/// Runs a command and says with what status it ended.
pub(crate) async fn run(
    client: &Client,
    at: &Where<'_>,
    words: &[String],
    pipes: Pipes,
) -> Result<i32, NotRun> {
    let Pipes { mut input, output, terminal } = pipes;
    let params = AttachParams {
        container: Some(at.container.to_owned()),
        stdin: input.is_some(),
        stdout: true,
        stderr: terminal == Terminal::No,
        tty: terminal == Terminal::Yes,
        ..AttachParams::default()
    };
    let failed = |error: &dyn std::error::Error| NotRun::Failed(connect::chain(error));
    let request = kube::core::Request::new(Pod::url_path(&(), Some(at.namespace)));
    let request = request.exec(at.pod, words, &params).map_err(|error| failed(&error))?;
    let connection = client.connect(request).await.map_err(|error| {
        match connect::read(&error, "running a command beside a task") {
            Answer::Missing => NotRun::Gone("its pod is gone".to_owned()),
            Answer::Taken => failed(&error),
            Answer::Refused(words) | Answer::Unsure(words) => NotRun::Failed(words),
        }
    })?;
    let closes = connection.supports_stream_close();
    let (mut send, mut heard) = connection.into_stream().split();
    let telling = async {
        let mut pings = tokio::time::interval(PING_EVERY);
        loop {
            let next = async {
                match &mut input {
                    Some(input) => input.recv().await,
                    None => std::future::pending().await,
                }
            };
            let message = tokio::select! {
                message = next => match message {
                    Some(In::Bytes(bytes)) => numbered(STDIN, &bytes),
                    Some(In::Size(columns, rows)) => {
                        let size = serde_json::json!({ "Width": columns, "Height": rows });
                        numbered(RESIZE, size.to_string().as_bytes())
                    }
                    // Without a word for the end of a channel the input stays open: to close the
                    // connection would lose what the command still says.
                    Some(In::End) if closes => numbered(CLOSE, &[STDIN]),
                    Some(In::End) => continue,
                    None => {
                        input = None;
                        continue;
                    }
                },
                _ = pings.tick() => Message::Ping(Vec::new().into()),
            };
            if send.send(message).await.is_err() {
                // What it still says, and how it ended, is heard.
                std::future::pending::<()>().await;
            }
        }
    };
    let hearing = async {
        while let Some(message) = heard.next().await {
            let bytes = match message {
                Ok(Message::Binary(bytes)) => bytes,
                Ok(Message::Close(_)) => break,
                Ok(_) => continue,
                Err(error) => return Err(failed(&error)),
            };
            let Some((channel, rest)) = bytes.split_first() else { continue };
            let of = match *channel {
                STDOUT => Of::Stdout,
                STDERR => Of::Stderr,
                STATUS => {
                    let status: Status =
                        serde_json::from_slice(rest).map_err(|error| failed(&error))?;
                    return status_of(&status);
                }
                _ => continue,
            };
            if !rest.is_empty() && output.send((of, rest.to_vec())).await.is_err() {
                return Err(NotRun::Failed("nobody listens any more".to_owned()));
            }
        }
        Err(NotRun::Gone("the connection ended before the command did".to_owned()))
    };
    tokio::select! {
        () = telling => Err(NotRun::Failed("the connection broke".to_owned())),
        ended = hearing => ended,
    }
}

fn numbered(channel: u8, bytes: &[u8]) -> Message {
    let mut message = Vec::with_capacity(bytes.len() + 1);
    message.push(channel);
    message.extend_from_slice(bytes);
    Message::binary(message)
}

/// How a command ended, in Kubernetes' words.
fn status_of(status: &Status) -> Result<i32, NotRun> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.as_ref().and_then(|details| details.causes.as_ref());
    let code = causes.into_iter().flatten().find_map(|cause| {
        let code = cause.reason.as_deref() == Some("ExitCode");
        code.then(|| cause.message.as_deref()?.parse().ok()).flatten()
    });
    code.ok_or_else(|| {
        let words = status.message.clone().unwrap_or_default();
        let gone = words.contains("not found") || words.contains("not running");
        if gone { NotRun::Gone(words) } else { NotRun::Failed(words) }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn check(status: &Value) -> Result<i32, NotRun> {
        status_of(&serde_json::from_value(status.clone()).expect("a status"))
    }

    #[test]
    fn statuses_are_told_apart() {
        assert_eq!(check(&json!({ "status": "Success" })), Ok(0));
        let seven = json!({ "status": "Failure", "reason": "NonZeroExitCode", "details": {
            "causes": [{ "reason": "ExitCode", "message": "7" }] } });
        assert_eq!(check(&seven), Ok(7));
        let failed = json!({ "status": "Failure", "reason": "InternalError",
            "message": "exec: \"/bin/sh\": no such file" });
        assert!(matches!(check(&failed), Err(NotRun::Failed(why)) if why.contains("/bin/sh")));
        let gone = json!({ "status": "Failure", "message": "container \"task\" not found" });
        assert!(matches!(check(&gone), Err(NotRun::Gone(_))));
    }
}
