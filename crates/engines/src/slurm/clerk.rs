//! The engine's errands to Slurm, on a thread of their own: a controller that is slow or away keeps
//! nobody from hearing of ends and from moving leases.
//!
//! Invariant: errands are done one after the other, in order, so an answer about the queue knows of
//! every submission that was answered before it. No errand is repeated here; whoever gave it
//! decides.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::ask::{Answer, Asker};
use super::layout::{BatchId, Index};
use super::request::Submission;
use super::status::{self, Account, QueueLine, State};
use crate::Waker;

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Submit a batch.
    Submit { batch: BatchId, submission: Submission },
    /// Cancel jobs and elements, as `scancel` names them.
    Cancel { targets: Vec<String> },
    /// Look at the queue: one question for all jobs.
    Look,
    /// Ask what became of these jobs.
    Ends { jobs: Vec<u32> },
    /// Ask what Slurm's accounting counted.
    Accounts { jobs: Vec<u32> },
}

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

/// What was done.
#[derive(Debug)]
pub(crate) enum Done {
    Submitted { batch: BatchId, outcome: Submitted },
    Cancelled(Result<(), String>),
    Looked(Result<Vec<QueueLine>, String>),
    Ends { jobs: Vec<u32>, known: Result<BTreeMap<(u32, Index), State>, String> },
    Accounts(Result<BTreeMap<(u32, Index), Account>, String>),
}

/// Does the site keep accounts that can be asked?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Accounting {
    Kept,
    Absent,
}

/// The engine's side.
pub(crate) struct Clerk {
    errands: Sender<Errand>,
    done: Receiver<Done>,
}

impl Clerk {
    /// Starts the thread; `bell` is rung when something was done. It ends when this is dropped,
    /// after the errand it is at.
    pub(crate) fn start(asker: Asker, accounting: Accounting, bell: Waker) -> io::Result<Self> {
        let (errands, inbox) = channel();
        let (say, done) = channel();
        let desk = Desk { asker, accounting };
        let work = move || {
            for errand in inbox {
                if say.send(desk.run(errand)).is_err() {
                    return;
                }
                bell.wake();
            }
        };
        std::thread::Builder::new().name("slurm-clerk".to_owned()).spawn(work)?;
        Ok(Self { errands, done })
    }

    pub(crate) fn send(&self, errand: Errand) {
        // The thread lives as long as this does.
        let _ = self.errands.send(errand);
    }

    pub(crate) fn done(&self) -> Vec<Done> {
        self.done.try_iter().collect()
    }
}

struct Desk {
    asker: Asker,
    accounting: Accounting,
}

fn texts<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).to_vec()
}

impl Desk {
    fn run(&self, errand: Errand) -> Done {
        match errand {
            Errand::Submit { batch, submission } => {
                let answer = self.asker.ask("sbatch", &submission.options, &submission.script);
                Done::Submitted { batch, outcome: submitted(answer) }
            }
            Errand::Cancel { targets } => {
                let mut words = texts(["--quiet"]);
                words.extend(targets);
                let outcome = self.asker.ask("scancel", &words, "").and_then(|answer| {
                    // What is not there any more needs no cancelling.
                    let fine = answer.status == Some(0) || is_unknown_job(&answer);
                    if fine { Ok(()) } else { Err(answer.complaint()) }
                });
                Done::Cancelled(outcome)
            }
            Errand::Look => Done::Looked(self.queue(&self.own_jobs())),
            Errand::Ends { jobs } => Done::Ends { known: self.ends(&jobs), jobs },
            Errand::Accounts { jobs } => Done::Accounts(self.accounts(&jobs)),
        }
    }

    fn own_jobs(&self) -> Vec<String> {
        let user = rustix::process::geteuid().as_raw().to_string();
        texts(["--noheader", "--user", &user, "--format", status::QUEUE_FORMAT])
    }

    fn queue(&self, words: &[String]) -> Result<Vec<QueueLine>, String> {
        let answer = self.asker.ask("squeue", words, "")?;
        if answer.status == Some(0) {
            Ok(status::queue(&answer.out))
        } else if is_unknown_job(&answer) {
            Ok(Vec::new())
        } else {
            Err(answer.complaint())
        }
    }

    /// Asks the controller, which remembers jobs for some minutes, and the accounting, which lags
    /// behind it, for what the controller does not know any more.
    fn ends(&self, jobs: &[u32]) -> Result<BTreeMap<(u32, Index), State>, String> {
        let mut words = texts(["--noheader", "--array", "--states", "all", "--format"]);
        words.extend([status::QUEUE_FORMAT.to_owned(), "--jobs".to_owned(), list(jobs)]);
        let mut known: BTreeMap<(u32, Index), State> = BTreeMap::new();
        for (job, account) in match self.accounting {
            Accounting::Kept => self.accounts(jobs)?,
            Accounting::Absent => BTreeMap::new(),
        } {
            known.insert(job, account.state);
        }
        for line in self.queue(&words)? {
            for index in line.elements.iter().flat_map(status::Elements::each) {
                known.insert((line.job, index), line.state);
            }
        }
        Ok(known)
    }

    fn accounts(&self, jobs: &[u32]) -> Result<BTreeMap<(u32, Index), Account>, String> {
        let jobs = list(jobs);
        let words = texts([
            "--noheader",
            "--parsable2",
            "--allocations",
            "--format",
            status::ACCOUNT_FORMAT,
            "--jobs",
            &jobs,
        ]);
        let answer = self.asker.ask("sacct", &words, "")?;
        if answer.status == Some(0) {
            Ok(status::accounts(&answer.out))
        } else {
            Err(answer.complaint())
        }
    }
}

fn list(jobs: &[u32]) -> String {
    jobs.iter().map(u32::to_string).collect::<Vec<_>>().join(",")
}

fn is_unknown_job(answer: &Answer) -> bool {
    answer.err.contains("Invalid job id") || answer.err.contains("already completing or completed")
}

/// What the commands say when the controller was not reached or did not answer in time: then
/// nobody knows whether it took the job. (Slurm's words for errors of communication.)
const NO_ANSWER: [&str; 10] = [
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

/// What a submission's answer means.
fn submitted(answer: Result<Answer, String>) -> Submitted {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return Submitted::Unsure(why),
    };
    // `--parsable` writes `JOB` or `JOB;CLUSTER`.
    let job =
        answer.out.lines().last().and_then(|line| line.split(';').next()?.trim().parse().ok());
    if let (Some(0), Some(job)) = (answer.status, job) {
        return Submitted::Job(job);
    }
    let refused = answer.status.is_some_and(|status| status != 0)
        && answer.err.contains("sbatch: error:")
        && NO_ANSWER.iter().all(|words| !answer.err.contains(words));
    let complaint = answer.complaint();
    if refused { Submitted::Refused(complaint) } else { Submitted::Unsure(complaint) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_no_is_a_refusal() {
        let check = |status, out: &str, err: &str, expect: fn(&Submitted) -> bool| {
            let answer = Answer { status, out: out.to_owned(), err: err.to_owned() };
            let got = submitted(Ok(answer));
            assert!(expect(&got), "{got:?} of {out:?} {err:?}");
        };
        let unsure = |got: &Submitted| matches!(got, Submitted::Unsure(_));
        let refused = |got: &Submitted| matches!(got, Submitted::Refused(_));
        check(Some(0), "77\n", "", |got| *got == Submitted::Job(77));
        check(Some(0), "77;lab\n", "sbatch: warning\n", |got| *got == Submitted::Job(77));
        check(Some(0), "", "", unsure);
        check(None, "", "", unsure);
        check(Some(1), "", "sbatch: error: invalid partition specified: x\n", refused);
        let no_node = "sbatch: error: Batch job submission failed: Requested node configuration is \
                       not available\n";
        check(Some(1), "", no_node, refused);
        let timeout = "sbatch: error: Batch job submission failed: Socket timed out on send/recv \
                       operation\n";
        check(Some(1), "", timeout, unsure);
        let away = "sbatch: error: Batch job submission failed: Unable to contact slurm controller \
                    (connect failure)\n";
        check(Some(1), "", away, unsure);
        assert!(unsure(&submitted(Err("no answer within 1m".to_owned()))));
    }
}
