//! What a wrapper writes down: that it has taken its element, and what became of the task.
//!
//! A claim is a file that only one can make: a wrapper, before it starts the task, or the engine,
//! when the task must not start any more. Whoever finds it made stays away, so that an element
//! that Slurm runs again (a requeue, a submission that came through twice) runs nothing.
//! News are small files of their own, with names that are used once: the engine removes exactly
//! what it has read.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use dayan_units::{AttemptId, Time};
use serde::{Deserialize, Serialize};

use super::layout::{BatchId, Index};
use crate::{BootId, Counters, End, Outcome, journal};

/// Who has an element.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Claim {
    /// A wrapper, which runs its task.
    Wrapper {
        /// The node, in Slurm's word.
        node: String,
        /// Slurm's id of the job that it runs in.
        job: Option<u32>,
        /// Of which element that job is, where it is another's that had time left.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        under: Option<Index>,
    },
    /// The engine: it never runs.
    Engine {
        /// As what it ended.
        outcome: Outcome,
    },
}

/// Whether a claim was made.
#[derive(Debug)]
pub(crate) enum Claimed {
    /// Now, by us; the file is kept open for its clock.
    Now(File),
    /// By somebody before.
    Before,
}

/// Claims an element.
pub(crate) fn claim(path: &Path, claim: &Claim) -> io::Result<Claimed> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file {
        Ok(mut file) => {
            let mut line = Vec::new();
            journal::encode(claim, &mut line);
            // The file is the claim; what it says is for people and for a restarted engine.
            let _ = file.write_all(&line);
            Ok(Claimed::Now(file))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(Claimed::Before),
        Err(error) => Err(error),
    }
}

/// Who has the element; none if nobody does or it cannot be told.
pub(crate) fn read_claim(path: &Path) -> Option<Claim> {
    journal::decode_line(&std::fs::read(path).ok()?)
}

/// Where a task stands, on its node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Stand {
    /// It runs.
    Running { started_at: Time, pid: u32 },
    /// Nothing of it runs any more.
    Ended {
        end: End,
        /// Slurm told the wrapper to end it, and knows why.
        by_slurm: bool,
        /// It had steps of the job's, and Slurm may have ended those without a word to the wrapper.
        #[serde(default, skip_serializing_if = "is_not")]
        steps: bool,
    },
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde hands over")]
const fn is_not(it: &bool) -> bool {
    !*it
}

/// A piece of news.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub attempt: AttemptId,
    /// The node, in Slurm's word, and which start of it.
    pub node: String,
    /// The job's other nodes, where a head speaks for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<String>,
    pub boot: BootId,
    /// Slurm's id of the job that it runs in, for its accounting.
    pub job: Option<u32>,
    /// Of which element that job is, where it is another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub under: Option<Index>,
    pub stand: Stand,
    pub usage: Counters,
}

/// Writes a piece of news under a name that nobody has used.
pub(crate) fn write(path: &Path, report: &Report) -> io::Result<()> {
    let mut line = Vec::new();
    journal::encode(report, &mut line);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&line)
}

/// Reads one; none while it is not whole.
pub(crate) fn read(path: &Path) -> Option<Report> {
    journal::decode_line(&std::fs::read(path).ok()?)
}

/// Whose a piece of news is, by its name.
pub(crate) fn parse_name(name: &str) -> Option<(BatchId, Index, u32)> {
    let mut parts = name.split('.');
    let batch = BatchId::parse(parts.next()?)?;
    let index = parts.next()?.parse().ok()?;
    let sequence = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((batch, index, sequence))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_made_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("claim.0");
        assert_eq!(read_claim(&path), None);
        let first = Claim::Wrapper { node: "n1".to_owned(), job: Some(7), under: None };
        assert!(matches!(claim(&path, &first).expect("claims"), Claimed::Now(_)));
        let second = Claim::Engine { outcome: Outcome::Stopped };
        assert!(matches!(claim(&path, &second).expect("asks"), Claimed::Before));
        assert_eq!(read_claim(&path), Some(first));
    }

    #[test]
    fn names_of_news_are_read_and_others_are_not() {
        assert_eq!(parse_name("1f.3.2"), Some((BatchId(0x1f), 3, 2)));
        for bad in ["", "1f", "1f.3", "1f.3.2.tmp", "x.y.z", ".nfs0000"] {
            assert_eq!(parse_name(bad), None, "{bad}");
        }
    }
}
