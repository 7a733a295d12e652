//! How Slurm is asked: by its commands, or by its REST daemon. What is asked and what an answer means to
//! the engine is the same both ways; only how it is said differs, and that is each way's own.
//!
//! Invariant: `Err` means that nobody knows, whichever way: nothing follows from it. An answer that is
//! not understood is one of these.

use std::collections::{BTreeMap, BTreeSet};

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

/// Jobs that are asked about, each with the name that it was given. A number alone says little: a controller
/// that was killed forgets what it took last, and gives the number again, to anybody.
pub(crate) type Jobs = BTreeMap<u32, String>;

/// What is to be known.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Question {
    pub jobs: Jobs,
    /// Their elements that it is about.
    pub elements: BTreeSet<(u32, Index)>,
}

/// What became of jobs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Ends {
    /// How their elements stand or ended.
    pub known: BTreeMap<(u32, Index), State>,
    /// Numbers that are another job's by now.
    pub others: BTreeSet<u32>,
    /// Why nobody says how those stand that are not known; none: nothing is known of them.
    pub silent: Option<String>,
}

impl Ends {
    /// From what the controller remembers.
    fn of(jobs: &Jobs, lines: Vec<QueueLine>) -> Self {
        let mut ends = Self::default();
        for line in lines {
            let Some(name) = jobs.get(&line.job) else { continue };
            if *name != line.name {
                ends.others.insert(line.job);
                continue;
            }
            for index in line.elements.iter().flat_map(Elements::each) {
                ends.known.insert((line.job, index), line.state);
            }
        }
        ends
    }

    /// The jobs of which that does not tell all.
    fn rest(&self, question: &Question) -> Jobs {
        let is_open = |job: &u32| {
            let elements = question.elements.range((*job, Index::MIN)..=(*job, Index::MAX));
            !self.others.contains(job)
                && elements.into_iter().any(|it| !self.known.contains_key(it))
        };
        let open = question.jobs.iter().filter(|(job, _)| is_open(job));
        open.map(|(job, name)| (*job, name.clone())).collect()
    }

    /// What the accounting says of those.
    fn and_accounts(&mut self, accounts: Result<BTreeMap<(u32, Index), Account>, String>) {
        match accounts {
            Ok(accounts) => {
                for (element, account) in accounts {
                    self.known.entry(element).or_insert(account.state);
                }
            }
            Err(why) => self.silent = Some(why),
        }
    }
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
    /// the accounting, which lags behind it and may be away while it is there, is asked about what the
    /// controller does not know any more.
    pub(crate) fn ends(&self, question: &Question, accounting: Accounting) -> Result<Ends, String> {
        let lines = match self {
            Self::Commands(asker) => asker.lines_of(&question.jobs)?,
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.lines_of(&question.jobs)?,
        };
        let mut ends = Ends::of(&question.jobs, lines);
        let rest = ends.rest(question);
        if accounting == Accounting::Kept && !rest.is_empty() {
            ends.and_accounts(self.accounts(&rest));
        }
        Ok(ends)
    }

    /// What Slurm's accounting counted of these jobs; nothing of others that have had their numbers.
    pub(crate) fn accounts(&self, jobs: &Jobs) -> Result<BTreeMap<(u32, Index), Account>, String> {
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

    /// Whose jobs they are, where that is not the one's who runs this.
    pub(crate) fn user(&self) -> Option<String> {
        match self {
            Self::Commands(_) => None,
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.user(),
        }
    }

    /// The groups of a user of this machine.
    pub(crate) fn groups(&self, user: Option<&str>) -> Result<BTreeSet<String>, String> {
        match self {
            Self::Commands(asker) => asker.groups(user),
            #[cfg(feature = "slurm-rest")]
            Self::Rest(rest) => rest.groups(user),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::status::queue;

    #[test]
    fn the_accounting_is_asked_about_what_the_controller_does_not_know() {
        let jobs: Jobs = [(7, "ours"), (8, "ours"), (9, "ours")]
            .map(|(job, name)| (job, name.to_owned()))
            .into();
        let elements = [(7, 0), (7, 1), (8, 0), (9, 0)].into();
        let question = Question { jobs, elements };
        let lines =
            queue("7|0|COMPLETED|ours|None\n8|0|NODE_FAIL|ours|None\n9|0|RUNNING|theirs|None\n");
        let mut ends = Ends::of(&question.jobs, lines);
        assert_eq!(ends.others, [9].into());
        let rest = ends.rest(&question);
        assert_eq!(rest.into_keys().collect::<Vec<_>>(), [7], "element 1 is not known");
        let known = [((7, 0), State::Completed), ((8, 0), State::NodeFail)];
        assert_eq!(ends.known, known.into());
        ends.and_accounts(Err("slurmdbd is away".to_owned()));
        assert_eq!((&ends.known, ends.silent.is_some()), (&known.into(), true));
    }
}
