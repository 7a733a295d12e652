//! Work in several containers, one after the other: a job's steps, the places in them at which
//! folders of the task are seen, and small files that the job file itself holds.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Part of the task's folder, seen at another place inside its containers.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mount {
    /// A folder inside the task's, made where it is missing; or a file that is staged.
    pub from: String,
    /// Where it is seen: an absolute path.
    pub at: String,
}

/// A command in a container of its own.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Step {
    /// The container image.
    pub image: String,
    /// The program and its arguments, as they are.
    pub command: Vec<String>,
    /// Where it starts, inside the container; none: where the image says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workdir: Option<String>,
    /// Variables beside the job's, which they hide.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// The file inside the container that it reads as its standard input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<String>,
    /// The file inside the container that its standard output goes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdout: Option<String>,
    /// The same of its standard error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stderr: Option<String>,
    /// Does the next step begin although this one fails?
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_error: bool,
}

/// The document of another interface that a job was made from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Origin {
    /// Which interface: `tes`.
    pub kind: String,
    /// The document, as that interface has it.
    pub document: String,
}

/// Folders of a container that are the kernel's or the engine's own.
const RESERVED: [&str; 4] = ["/proc", "/sys", "/dev", "/work"];

/// Can a part of the task's folder be seen there? An absolute path below the root, without `..`,
/// `.` and empty parts, outside of what the kernel and the engine keep there, and without the marks
/// that engines give a meaning in the names of mounts.
pub fn is_mountable(at: &str) -> bool {
    is_inside_path(at)
        && at != "/"
        && !at.contains([':', ','])
        && !RESERVED.iter().any(|kept| {
            at.strip_prefix(kept).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

/// Is it an absolute path in normal form?
pub fn is_inside_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else { return false };
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !path.chars().any(char::is_control) && (rest.is_empty() || rest.split('/').all(plain))
}

/// The steps as one line, for people and for what is learnt of programs. Nobody runs it.
pub fn line_of(steps: &[Step]) -> String {
    let quoted = |word: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_./:,+@%-=".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    let line = |step: &Step| step.command.iter().map(quoted).collect::<Vec<_>>().join(" ");
    steps.iter().map(line).collect::<Vec<_>>().join(" && ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_lie_below_the_root_and_hide_nothing_of_the_kernels() {
        for good in ["/data", "/tmp", "/var/spool/cwl", "/devices", "/a b"] {
            assert!(is_mountable(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "data",
            "/a/../b",
            "/a//b",
            "/a/",
            "/./a",
            "/proc",
            "/proc/self",
            "/sys",
            "/dev/shm",
            "/work",
            "/work/a",
            "/a:b",
            "/a,b",
            "/a\nb",
        ] {
            assert!(!is_mountable(bad), "{bad}");
        }
    }

    #[test]
    fn steps_are_read_as_a_line() {
        let step = |words: &[&str]| Step {
            image: "a".to_owned(),
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            workdir: None,
            env: BTreeMap::new(),
            stdin: None,
            stdout: None,
            stderr: None,
            ignore_error: false,
        };
        let steps = [step(&["sort", "-u", "/data/a"]), step(&["echo", "it's", ""])];
        assert_eq!(line_of(&steps), r"sort -u /data/a && echo 'it'\''s' ''");
    }
}
