//! How Slurm is asked: by its commands, or by its REST daemon. What is asked and what an answer means to
//! the engine is the same both ways; only how it is said differs, and that is each way's own.
//!
//! Invariant: `Err` means that nobody knows, whichever way: nothing follows from it. An answer that is
//! not understood is one of these.

use std::collections::BTreeMap;

use dayan_units::Span;

use super::SlurmConfig;
use super::access::Access;
use super::ask::Asker;
use super::layout::Index;
use super::load::Line;
use super::request::Submission;
#[cfg(feature = "slurm-rest")]
use super::rest::Rest;
use super::status::{Account, Elements, QueueLine, State};
use crate::{BootClock, Fault};

/// What became of a submission.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Submitted {
    /// It is this job.
    Job(u32),
    /// Slurm does not want it: it never was in the queue.
    Refused(String),
    /// It may or may not be in the queue.
    Unsure(String),
}

/// Does the site keep accounts that can be asked?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Accounting {
    Kept,
    Absent,
}

/// `Name=Value` words about one thing, named as `scontrol` names them.
pub(crate) type Words = BTreeMap<String, String>;

/// What a cluster says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Picture {
    pub config: Words,
    pub partitions: Vec<Words>,
    pub nodes: Vec<Words>,
}

/// What Slurm says when the controller was not reached or did not answer in time: then nobody knows
/// whether it took a job. (Its words for errors of communication, by either way.)
pub(crate) const NO_ANSWER: [&str; 10] = [
    "Unable to contact",
    "timed out",
    "Zero Bytes were transmitted",
    "Connection refused",
    "Connection reset",
    "Communication",
    "communication",
    "endpoint",
    "standby mode",
    "Unexpected message",
];

/// One of them.
#[derive(Clone, Debug)]
pub(crate) enum Way {
    Commands(Asker),
    #[cfg(feature = "slurm-rest")]
    Rest(Rest),
}

impl Way {
    /// The one that the operator named: the commands, unless an address was given.
    pub(crate) fn of(config: &SlurmConfig) -> Result<Self, Fault> {
        let clock = BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?;
        let asker =
            Asker { clock, commands: config.commands.clone(), within: config.pace.ask_within };
        match &config.site.rest {
            None => Ok(Self::Commands(asker)),
            #[cfg(feature = "slurm-rest")]
            Some(address) => {
                let token = config.site.token_file.clone();
                Rest::to(address, token, asker).map(Self::Rest)
            }
            #[cfg(not(feature = "slurm-rest"))]
            Some(_) => Err(Fault::Unreachable(
                "slurm.rest_absent: this program was built without slurmrestd; build it with \
                 `--features slurm-rest`, or leave out --slurm-rest"
                    .to_owned(),
            )),
        }
    }

    /// The same, answered sooner or given up.
    pub(crate) fn sooner(&self, within: Span) -> Self {
        match self {
            Self::Commands(asker) => {
                Self::Commands(Asker { within: asker.within.min(within), ..asker.clone() })
            }
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => Self::Rest(rest.sooner(within)),
        }
    }

    /// Submits a job.
    pub(crate) fn submit(&self, submission: &Submission) -> Submitted {
        match self {
            Self::Commands(asker) => asker.submit(submission),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.submit(submission),
        }
    }

    /// Cancels jobs and elements, as `scancel` names them. What is not there any more is cancelled.
    pub(crate) fn cancel(&self, targets: &[String]) -> Result<(), String> {
        match self {
            Self::Commands(asker) => asker.cancel(targets),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.cancel(targets),
        }
    }

    /// What of this user's is in the queue: one question for all jobs.
    pub(crate) fn queue(&self) -> Result<Vec<QueueLine>, String> {
        match self {
            Self::Commands(asker) => asker.queue(),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.queue(),
        }
    }

    /// How the elements of these jobs stand or ended. The controller remembers jobs for some minutes;
    /// the accounting, which lags behind it, knows what the controller does not know any more.
    pub(crate) fn ends(
        &self,
        jobs: &[u32],
        accounting: Accounting,
    ) -> Result<BTreeMap<(u32, Index), State>, String> {
        let accounts = match accounting {
            Accounting::Kept => self.accounts(jobs)?,
            Accounting::Absent => BTreeMap::new(),
        };
        let mut known: BTreeMap<(u32, Index), State> =
            accounts.into_iter().map(|(element, account)| (element, account.state)).collect();
        let lines = match self {
            Self::Commands(asker) => asker.lines_of(jobs)?,
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.lines_of(jobs)?,
        };
        for line in lines {
            for index in line.elements.iter().flat_map(Elements::each) {
                known.insert((line.job, index), line.state);
            }
        }
        Ok(known)
    }

    /// What Slurm's accounting counted of these jobs.
    pub(crate) fn accounts(&self, jobs: &[u32]) -> Result<BTreeMap<(u32, Index), Account>, String> {
        match self {
            Self::Commands(asker) => asker.accounts(jobs),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.accounts(jobs),
        }
    }

    /// What the cluster is.
    pub(crate) fn picture(&self) -> Result<Picture, Fault> {
        match self {
            Self::Commands(asker) => asker.picture(),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.picture(),
        }
    }

    /// What the accounting lets this user do in the cluster of that name.
    pub(crate) fn access(&self, cluster: &str) -> Result<Access, String> {
        match self {
            Self::Commands(asker) => asker.access(cluster),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.access(cluster),
        }
    }

    /// All jobs, whoever's and in whichever partition: nodes may be in several.
    pub(crate) fn all_jobs(&self) -> Result<Vec<Line>, String> {
        match self {
            Self::Commands(asker) => asker.all_jobs(),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.all_jobs(),
        }
    }
}
