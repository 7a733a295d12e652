//! The engine's errands to Slurm, on a thread of their own: a controller that is slow or away keeps
//! nobody from hearing of ends and from moving leases.
//!
//! Invariant: errands are done one after the other, in order, so an answer about the queue knows of
//! every submission that was answered before it. No errand is repeated here; whoever gave it
//! decides.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

use dayan_units::Span;

use super::layout::{BatchId, Index};
use super::request::Submission;
use super::status::{Account, QueueLine};
use super::together::{Answers, Seen};
use super::way::{Accounting, Ends, Jobs, Question, Submitted, Way};
use crate::Waker;

/// An accounting that has not said by then what it counted is asked again later: nothing hangs on it, and all that
/// the controller is told and asked waits behind it. What became of jobs is waited for.
const COUNTS_WITHIN: Span = Span::from_secs(10);

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Submit a batch.
    Submit { batch: BatchId, submission: Submission },
    /// Cancel jobs and elements, as `scancel` names them.
    Cancel { targets: Vec<String> },
    /// Look at the queue: one question for all jobs.
    Look,
    /// Ask what became of jobs.
    Ends { question: Question },
    /// Ask what Slurm's accounting counted.
    Accounts { jobs: Jobs },
}

/// What was done.
#[derive(Debug)]
pub(crate) enum Done {
    Submitted { batch: BatchId, outcome: Submitted },
    Cancelled { targets: Vec<String>, outcome: Result<(), String> },
    Looked(Result<Vec<QueueLine>, String>),
    Ends { jobs: Jobs, ends: Result<Ends, String> },
    Accounts(Result<BTreeMap<(u32, Index), Account>, String>),
}

/// The engine's side.
pub(crate) struct Clerk {
    errands: Sender<Errand>,
    done: Receiver<Done>,
}

impl Clerk {
    /// Starts the thread; `bell` is rung when something was done. It ends when this is dropped,
    /// after the errand it is at.
    pub(crate) fn start(desk: Desk, bell: Waker) -> io::Result<Self> {
        let (errands, inbox) = channel();
        let (say, done) = channel();
        let mut desk = desk;
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

/// What the thread works with.
pub(super) struct Desk {
    pub way: Way,
    pub accounting: Accounting,
    /// What other pools of the cluster have heard.
    pub answers: Answers,
    pub seen: Seen,
    /// How often the queue is looked at.
    pub look_every: Span,
}

impl Desk {
    fn run(&mut self, errand: Errand) -> Done {
        match errand {
            Errand::Submit { batch, submission } => {
                let outcome = self.way.submit(&submission);
                self.seen.done();
                Done::Submitted { batch, outcome }
            }
            Errand::Cancel { targets } => {
                Done::Cancelled { outcome: self.way.cancel(&targets), targets }
            }
            Errand::Look => {
                Done::Looked(self.answers.queue(&self.way, &mut self.seen, self.look_every))
            }
            Errand::Ends { question } => {
                let ends = self.way.ends(&question, self.accounting);
                Done::Ends { jobs: question.jobs, ends }
            }
            Errand::Accounts { jobs } => {
                Done::Accounts(self.way.sooner(COUNTS_WITHIN).accounts(&jobs))
            }
        }
    }
}
