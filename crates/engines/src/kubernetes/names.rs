//! What objects in the cluster are called, and by what labels they are found again. Pure.
//!
//! Invariant: a batch's name follows from its first attempt alone, so that whoever launches that
//! attempt a second time meets the first launch's object: the API server takes a name once.

use dayan_units::AttemptId;
use serde::{Deserialize, Serialize};

/// On every object of ours: which agent made it.
pub(crate) const LABEL_AGENT: &str = "dayan/agent";
/// On every object of ours: which batch it belongs to.
pub(crate) const LABEL_BATCH: &str = "dayan/batch";
/// On the jobs: the attempts that are their indexes, in order.
pub(crate) const NOTE_ATTEMPTS: &str = "dayan/attempts";
/// On the pods, by Kubernetes: which index of its job a pod is.
pub(crate) const NOTE_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Names of our objects begin so.
const NAME: &str = "dayan";
/// A job in the cluster.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(crate) struct BatchName {
    pub namespace: String,
    pub name: String,
}

/// The name of the batch whose first attempt this is: at most 48 characters, because the host name
/// of a pod is its job's name and index, and takes 63.
pub(crate) fn batch_name(first: AttemptId) -> String {
    let job = first.job.to_string();
    let body = job.rsplit('_').next().unwrap_or_default();
    format!("{NAME}-{body}-{}-{}", base36(first.task), base36(first.attempt))
}

fn base36(mut number: u32) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    loop {
        text.push(char::from(DIGITS[(number % 36) as usize]));
        number /= 36;
        if number == 0 {
            return text.iter().rev().collect();
        }
    }
}

/// The attempts of a batch, as a note on its job.
pub(crate) fn attempts_note(attempts: &[AttemptId]) -> String {
    let job = attempts.first().map(|first| first.job.to_string()).unwrap_or_default();
    let each: Vec<String> =
        attempts.iter().map(|one| format!("{}.{}", one.task, one.attempt)).collect();
    format!("{job}/{}", each.join(","))
}

/// Reads them again; none where it is not ours.
pub(crate) fn read_attempts(note: &str) -> Option<Vec<AttemptId>> {
    let (job, rest) = note.split_once('/')?;
    let job = job.parse().ok()?;
    rest.split(',')
        .map(|one| {
            let (task, attempt) = one.split_once('.')?;
            Some(AttemptId { job, task: task.parse().ok()?, attempt: attempt.parse().ok()? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    fn attempt(task: u32, attempt: u32) -> AttemptId {
        AttemptId { job: JobId::from_bits(u128::MAX), task, attempt }
    }

    #[test]
    fn names_fit_and_follow_from_the_first_attempt() {
        let name = batch_name(attempt(u32::MAX, u32::MAX));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(name.len() <= 48 && name.chars().all(plain), "{name}");
        assert_eq!(name, batch_name(attempt(u32::MAX, u32::MAX)));
        assert_ne!(name, batch_name(attempt(u32::MAX, 1)));
        assert_eq!((base36(0), base36(35), base36(36)), ("0".into(), "z".into(), "10".into()));
    }

    #[test]
    fn attempts_are_read_again() {
        let attempts = vec![attempt(0, 1), attempt(7, 2)];
        assert_eq!(read_attempts(&attempts_note(&attempts)), Some(attempts));
        for bad in ["", "x/1.1", "job_/", "1.1"] {
            assert_eq!(read_attempts(bad), None, "{bad}");
        }
    }
}
