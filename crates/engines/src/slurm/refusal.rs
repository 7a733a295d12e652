//! Whose doing it is that Slurm does not take a job: the job's own, where what it said is what Slurm does
//! not want; else the site's, which has shown room that its cluster does not give.
//!
//! Slurm says it in words, by its commands as by its daemon. Must not know how it was asked.

use std::collections::BTreeMap;

use super::request::Request;
use crate::{StartFailure, StartFault};

/// Why nothing is submitted, by whose doing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Refusal {
    /// The job's own: it says, or asks for, what is not to be had here.
    Job(String),
    /// The site's: the job has said nothing of it.
    Site(String),
}

impl Refusal {
    /// Of what this site takes from this pool, which begins with the code of what it is about.
    pub(super) fn of_check(why: String, words: &BTreeMap<String, String>) -> Self {
        let option = why.strip_prefix("slurm.").and_then(|rest| rest.split_once(':'));
        let said = option.is_some_and(|(option, _)| {
            let about = ABOUT.iter().find(|(what, _)| *what == option);
            about
                .map_or(&[option][..], |(_, options)| options)
                .iter()
                .any(|it| words.contains_key(*it))
        });
        if said { Self::Job(why) } else { Self::Site(why) }
    }

    /// Of a launch that is not taken.
    pub(super) fn into_fault(self) -> StartFault {
        match self {
            Self::Job(why) => StartFault::Unsupported(why),
            Self::Site(why) => StartFault::Lacking(why),
        }
    }

    /// Of one that was.
    pub(super) fn into_failure(self) -> StartFailure {
        match self {
            Self::Job(why) => StartFailure::Asked(why),
            Self::Site(why) => StartFailure::Other(why),
        }
    }
}

/// What Slurm says in its complaints, in small letters, and the words of a job's that they are about; the first
/// that is said counts. What a job has not said is the site's: the pool's own partition, the agent's own account.
const ABOUT: [(&str, &[&str]); 11] = [
    // "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)": the user's, who is
    // the agent.
    ("violates accounting/qos policy", &[]),
    // "Invalid account or account/partition combination specified"
    ("account", &["account", "partition", "qos"]),
    ("partition", &["partition"]),
    ("qos", &["qos"]),
    ("reservation", &["reservation"]),
    ("feature", &["constraint", "prefer"]),
    ("constraint", &["constraint", "prefer"]),
    ("license", &["licenses"]),
    ("wckey", &["wckey"]),
    ("node name", &["nodelist", "exclude"]),
    // "Requested node configuration is not available": what was shown is, so it is what shapes nodes besides.
    (
        "node configuration",
        &[
            "constraint",
            "contiguous",
            "exclude",
            "exclusive",
            "mincpus",
            "nodelist",
            "partition",
            "sockets-per-node",
            "switches",
            "threads-per-core",
            "tmp",
        ],
    ),
];

/// What Slurm says where a job asks for more time than anyone may have there: that is each job's own.
const TIME: &str = "time limit is invalid";

/// Why a batch that Slurm refused with these words was not started.
pub(super) fn failure(why: &str, request: Option<&Request>) -> StartFailure {
    let words = format!("Slurm refused it: {why}");
    let said = |word: &&str| request.is_some_and(|request| request.words.contains_key(*word));
    let why = why.to_ascii_lowercase();
    let about = ABOUT.iter().find(|(what, _)| why.contains(what));
    let is_the_jobs = match about {
        Some((_, options)) => options.iter().any(said),
        None => why.contains(TIME),
    };
    if is_the_jobs { Refusal::Job(words) } else { Refusal::Site(words) }.into_failure()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::choosing::Kind;

    #[test]
    fn slurms_no_is_the_jobs_where_the_job_has_said_it() {
        let check = |why: &str, words: &[&str], jobs: bool| {
            let words = words.iter().map(|word| ((*word).to_owned(), "x".to_owned())).collect();
            let request = Request {
                cpus: 1,
                memory_mib: 1,
                minutes: Some(1),
                accelerators: 0,
                kind: Kind::default(),
                processes: None,
                words,
            };
            let failure = failure(why, Some(&request));
            assert_eq!(failure.is_the_jobs(), jobs, "{why}: {failure:?}");
            assert!(failure.to_string().contains(why), "{failure}");
        };
        let partition = "invalid partition specified: nosuch";
        check(partition, &["partition"], true);
        check(partition, &[], false);
        check(partition, &["constraint"], false);
        check("Invalid qos specification", &["qos"], true);
        check("Invalid qos specification", &[], false);
        let pair = "Invalid account or account/partition combination specified";
        check(pair, &["account"], true);
        check(pair, &["partition"], true);
        check(pair, &[], false);
        check("Invalid feature specification", &["constraint"], true);
        check("Requested node configuration is not available", &["constraint"], true);
        check("Requested node configuration is not available", &["mincpus"], true);
        check("Requested node configuration is not available", &[], false);
        check("Requested time limit is invalid (missing or exceeds some limit)", &[], true);
        check("Requested reservation is invalid", &["reservation"], true);
        check("Invalid license specification", &["licenses"], true);
        check("Invalid node name specified", &["nodelist"], true);
        check("Requested node configuration is not available", &["nice"], false);
        for busy in [
            "Slurm temporarily unable to accept job, sleeping and retrying",
            "Resource temporarily unavailable",
            "Access/permission denied",
            "Memory specification can not be satisfied",
            "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)",
        ] {
            check(busy, &["nice", "hint", "account", "qos"], false);
        }
    }

    #[test]
    fn what_the_site_does_not_take_is_the_jobs_where_the_job_has_said_it() {
        let check = |why: &str, words: &[&str], jobs: bool| {
            let words = words.iter().map(|word| ((*word).to_owned(), "x".to_owned())).collect();
            let refusal = Refusal::of_check(why.to_owned(), &words);
            assert_eq!(refusal == Refusal::Job(why.to_owned()), jobs, "{refusal:?}");
            let unsupported = matches!(refusal.clone().into_fault(), StartFault::Unsupported(_));
            assert_eq!((unsupported, refusal.into_failure().is_the_jobs()), (jobs, jobs));
        };
        let account = "slurm.account: gpu: it is for the accounts extra (AllowAccounts)";
        check(account, &["account"], true);
        check(account, &["partition"], true);
        check(account, &[], false);
        check("slurm.partition: gpu: it is not for this user", &["partition"], true);
        check("slurm.qos: the account `a` has no QoS `x` here", &["account"], false);
    }
}
