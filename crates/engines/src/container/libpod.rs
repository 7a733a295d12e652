//! Questions to podman in its own words, beyond docker's.
//!
//! In docker's words podman 4 claims limits that it does not hold where it has no rights, does not say that it
//! has none, and knows no devices by name. Invariant: what is not understood is not known; nothing is made up.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::api::Trouble;
use super::specification::Specification;

/// How long podman may take to say what it is: it looks at its storage for it.
const ABOUT_WITHIN: Duration = Duration::from_secs(15);
/// How long a container may take to be made; others are made and removed at the same time.
const MADE_WITHIN: Duration = Duration::from_mins(1);
/// An answer is some kilobytes.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// Podman takes the oldest version of its interface that it still knows.
const INTERFACE: &str = "/v4.0.0/libpod";

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

/// What it is; none where there is no answer that is understood.
pub(super) async fn about(socket: &Path) -> Option<Host> {
    let (status, body) = ask(socket, "GET", "/info", "", ABOUT_WITHIN).await.ok()?;
    host(status, &body)
}

/// Makes a container; does not start it.
pub(super) async fn create(socket: &Path, container: &Specification) -> Result<(), Trouble> {
    let asked =
        serde_json::to_string(container).map_err(|error| Trouble::Away(error.to_string()))?;
    let (status, body) = ask(socket, "POST", "/containers/create", &asked, MADE_WITHIN).await?;
    match status {
        201 => Ok(()),
        _ => Err(Trouble::Refused { status, words: words(body) }),
    }
}

fn host(status: u16, body: &str) -> Option<Host> {
    let info: Info = serde_json::from_str(body).ok().filter(|_| status == 200)?;
    Some(info.host)
}

/// Why it says no.
fn words(body: String) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    serde_json::from_str(&body).map_or(body, |refusal: Refusal| refusal.message)
}

/// The answer to an HTTP/1.0 ends with the connection.
async fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    body: &str,
    within: Duration,
) -> Result<(u16, String), Trouble> {
    let question = format!(
        "{method} {INTERFACE}{path} HTTP/1.0\r\nHost: d\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let asking = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(question.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    let answer = match tokio::time::timeout(within, asking).await {
        Ok(answer) => answer.map_err(|error| Trouble::Away(error.to_string()))?,
        Err(_) => return Err(Trouble::Away(format!("{path}: no answer in time"))),
    };
    read(&answer).ok_or_else(|| Trouble::Away(format!("{path}: half an answer")))
}

fn read(answer: &[u8]) -> Option<(u16, String)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    // One that was cut short is none.
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    (length.is_none_or(|length| length == body.len())).then(|| (status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_podman_says_of_itself_is_read_or_not_known() {
        let answer = |status: &str, body: &str| {
            let said = format!("HTTP/1.0 {status}\r\nServer: x\r\n\r\n{body}");
            read(said.as_bytes()).and_then(|(status, body)| host(status, &body))
        };
        let body = r#"{"host":{"cgroupControllers":["memory","pids"],"cgroupVersion":"v2",
            "security":{"rootless":true,"seccompEnabled":true}},"store":{}}"#;
        let host = answer("200 OK", body).expect("said");
        assert_eq!((host.limits(), host.security.rootless), ([false, true, true], true));
        let bare = r#"{"host":{"security":{"rootless":true}}}"#;
        assert_eq!(answer("200 OK", bare).expect("said").limits(), [false; 3]);
        assert_eq!(answer("404 Not Found", body), None);
        assert_eq!(answer("200 OK", "{}"), None);
    }

    #[test]
    fn half_an_answer_is_none() {
        let whole = "HTTP/1.0 201 Created\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(read(whole.as_bytes()), Some((201, "{}".to_owned())));
        for end in ["{", "{}}"] {
            let cut = format!("HTTP/1.0 201 Created\r\ncontent-length: 2\r\n\r\n{end}");
            assert_eq!(read(cut.as_bytes()), None, "{end}");
        }
        assert_eq!(read(b"nonsense"), None);
        assert_eq!(read(b"HTTP/1.0 many\r\n\r\n"), None);
    }

    #[test]
    fn why_podman_says_no_is_in_its_words() {
        let said = r#"{"cause":"that name","message":"the name is already in use","response":500}"#;
        assert_eq!(words(said.to_owned()), "the name is already in use");
        assert_eq!(words("not found".to_owned()), "not found");
    }
}
