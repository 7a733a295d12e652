//! What podman says of itself in its own words, beyond what it says in docker's.
//!
//! In docker's words podman 4 claims limits that it does not hold where it has no rights, and does not say that
//! it has none. Invariant: what is not understood is not known; nothing is made up. Must not know containers.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// How long the answer may take: podman looks at its storage for it.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// The answer is some kilobytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The question. Podman takes the oldest version of its interface that it still knows, and the answer to an
/// HTTP/1.0 ends with the connection.
const QUESTION: &[u8] = b"GET /v4.0.0/libpod/info HTTP/1.0\r\nHost: d\r\n\r\n";

/// Podman and its machine, as far as it is looked at.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Host {
    /// What it can limit by.
    #[serde(default)]
    pub cgroup_controllers: Vec<String>,
    /// `v1` or `v2`.
    #[serde(default)]
    pub cgroup_version: String,
    pub security: Security,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
pub(super) struct Security {
    pub rootless: bool,
}

#[derive(Deserialize)]
struct Info {
    host: Host,
}

impl Host {
    /// Does it hold limits of processor, memory and processes?
    pub(super) fn limits(&self) -> [bool; 3] {
        ["cpu", "memory", "pids"].map(|one| self.cgroup_controllers.iter().any(|has| has == one))
    }
}

/// Asks; none where there is no answer that is understood.
pub(super) async fn ask(socket: &Path) -> Option<Host> {
    let asking = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(QUESTION).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = tokio::time::timeout(ANSWER_WITHIN, asking).await.ok()?.ok()?;
    read(&answer)
}

fn read(answer: &[u8]) -> Option<Host> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?;
    let info: Info = serde_json::from_str(body).ok().filter(|_| status == "200")?;
    Some(info.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_podman_says_of_itself_is_read_or_not_known() {
        let answer = |status: &str, body: &str| {
            read(format!("HTTP/1.0 {status}\r\nServer: x\r\n\r\n{body}").as_bytes())
        };
        let body = r#"{"host":{"cgroupControllers":["memory","pids"],"cgroupVersion":"v2",
            "security":{"rootless":true,"seccompEnabled":true}},"store":{}}"#;
        let host = answer("200 OK", body).expect("said");
        assert_eq!((host.limits(), host.security.rootless), ([false, true, true], true));
        let bare = r#"{"host":{"security":{"rootless":true}}}"#;
        assert_eq!(answer("200 OK", bare).expect("said").limits(), [false; 3]);
        assert_eq!(answer("404 Not Found", body), None);
        assert_eq!(answer("200 OK", "{}"), None);
        assert_eq!(read(b"nonsense"), None);
    }
}
