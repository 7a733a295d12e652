//! What a Job shows of its batch. Pure.

use dayan_units::{AttemptId, Time};
use k8s_openapi::api::batch::v1::Job;

use super::names::{NOTE_ATTEMPTS, read_attempts};

/// A job of ours, as it was last seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct JobSeen {
    pub name: String,
    pub attempts: Vec<AttemptId>,
    /// When it was made, and when the cluster began to work on it, by its clock.
    pub made: Time,
    pub started: Option<Time>,
    /// The deadline it has, in seconds from then.
    pub deadline: Option<i64>,
    /// The cluster ends, or has ended it, at its deadline.
    pub overdue: bool,
    /// No pod of it is made any more.
    pub over: bool,
    pub deleting: bool,
}

/// Reads a job; none where it is not one of ours.
pub(crate) fn read(job: &Job) -> Option<JobSeen> {
    let note = job.metadata.annotations.as_ref()?.get(NOTE_ATTEMPTS)?;
    let status = job.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let holds =
        |kind: &str| conditions.iter().find(|one| one.type_ == kind && one.status == "True");
    let failing = holds("Failed").or_else(|| holds("FailureTarget"));
    Some(JobSeen {
        name: job.metadata.name.clone()?,
        attempts: read_attempts(note)?,
        made: Time::from_micros(job.metadata.creation_timestamp.as_ref()?.0.as_microsecond()),
        started: status.start_time.map(|time| Time::from_micros(time.0.as_microsecond())),
        deadline: job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds),
        overdue: failing.is_some_and(|one| one.reason.as_deref() == Some("DeadlineExceeded")),
        over: holds("Complete").or_else(|| holds("Failed")).is_some(),
        deleting: job.metadata.deletion_timestamp.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;
    use serde_json::json;

    #[test]
    fn a_job_is_read_and_others_are_none() {
        let attempts = vec![AttemptId { job: JobId::from_bits(1), task: 4, attempt: 1 }];
        let note = super::super::names::attempts_note(&attempts);
        let job = json!({
            "metadata": {
                "name": "dayan-x", "annotations": { NOTE_ATTEMPTS: note },
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": { "activeDeadlineSeconds": 30, "template": {} },
            "status": {
                "startTime": "2026-01-01T00:00:02Z",
                "conditions": [
                    { "type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded" },
                ],
            },
        });
        let job: Job = serde_json::from_value(job).expect("a job");
        let seen = read(&job).expect("one of ours");
        assert_eq!((seen.attempts, seen.deadline), (attempts, Some(30)));
        assert_eq!(
            seen.started.map(|at| at.since(seen.made)),
            Some(dayan_units::Span::from_secs(2))
        );
        assert_eq!((seen.overdue, seen.over, seen.deleting), (true, false, false));
        assert_eq!(read(&Job::default()), None);
    }
}
