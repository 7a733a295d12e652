//! Hears what was committed and writes down who ran where, when and for how much. The books are kept
//! once more beside the exchange's, from the bookings alone.
//!
//! Invariant: it only listens; the first thing that must not be is kept for whoever drives.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::{Event, JobEnd, Outcome as How, StopReason};
use dayan_units::{AttemptId, JobId, Time};

use super::report::Checks;
use super::{Attempt, Outcome};
use crate::audit::{Books, Kind};

/// What the commits said, since it was last looked at.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub leased: Vec<dayan_exchange::Lease>,
    pub stopped: Vec<AttemptId>,
}

/// Writes down what was committed.
#[derive(Default)]
pub(super) struct Listener {
    pub books: Books,
    pub outcome: Outcome,
    /// The attempts under a lease, by their place in the outcome.
    open: BTreeMap<AttemptId, usize>,
    pub jobs: BTreeMap<JobId, usize>,
    /// Jobs that somebody could not pay for to their end, by their number.
    pub unpaid: BTreeSet<usize>,
    /// Jobs that have not ended.
    pub going: BTreeSet<JobId>,
    pub pools: BTreeMap<dayan_units::PoolId, usize>,
    pub heard: Heard,
    pub checks: Checks,
    /// The first thing that must not be.
    pub broken: Option<(Time, &'static str, String)>,
}

impl Listener {
    fn must(&mut self, at: Time, rule: &'static str, result: Result<(), String>) {
        if let Err(text) = result {
            self.broken.get_or_insert((at, rule, text));
        }
    }

    fn book(&mut self, at: Time, transfers: &[dayan_ledger::Transfer]) {
        for transfer in transfers {
            let booked = self.books.book(transfer);
            self.must(at, "books", booked);
        }
    }

    pub fn hear(&mut self, at: Time, event: &Event) {
        self.checks.events += 1;
        match event {
            Event::OrgCreated { org, credit } => {
                self.books.open(org.account, Kind::Consumer, -i128::from(credit.0));
            }
            Event::ProviderApplied { provider } => {
                self.books.open(provider.account, Kind::Provider, 0);
            }
            Event::Deposited { transfer, .. } => {
                let booked = self.books.deposit(transfer);
                self.must(at, "books", booked);
            }
            Event::Leased { lease, transfer } => {
                self.book(at, transfer.as_slice());
                self.leased(at, lease);
            }
            Event::WindowClosed { attempt, line, transfers, .. } => {
                self.checks.windows += 1;
                self.book(at, transfers);
                let paid = i128::from(line.amount.0);
                if let Some(record) = self.open.get(attempt) {
                    self.outcome.attempts[*record].cost += paid;
                }
            }
            Event::AttemptEnded { attempt, outcome, line, waived, transfers, .. } => {
                self.book(at, transfers);
                self.checks.waived += u64::from(waived.is_some());
                match outcome {
                    How::NodeFailure => self.checks.node_failures += 1,
                    How::SiteLost | How::LeaseEnded => self.checks.lost += 1,
                    How::Exited { .. }
                    | How::Signalled { .. }
                    | How::OutOfMemory
                    | How::TimeLimit
                    | How::Stopped
                    | How::StartFailed { .. }
                    | How::PublishFailed { .. }
                    | How::Preempted => {}
                }
                if let Some(record) = self.open.remove(attempt) {
                    let record = &mut self.outcome.attempts[record];
                    record.until = at;
                    record.cost += line.as_ref().map_or(0, |line| i128::from(line.amount.0));
                    record.ended_well = outcome.is_success();
                }
            }
            Event::StopAsked { attempt, reason } => {
                self.heard.stopped.push(*attempt);
                if *reason == StopReason::Unfunded {
                    self.checks.unfunded += 1;
                    self.unpaid.extend(self.jobs.get(&attempt.job));
                }
            }
            Event::JobEnded { job, end, .. } => {
                self.going.remove(job);
                if *end == JobEnd::Succeeded
                    && let Some(nth) = self.jobs.get(job)
                {
                    self.outcome.done[*nth] = Some(at);
                }
            }
            _ => {}
        }
    }

    fn leased(&mut self, at: Time, lease: &dayan_exchange::Lease) {
        let job = self.jobs[&lease.attempt.job];
        let node = lease.node.strip_prefix('n').and_then(|number| number.parse().ok());
        let record = Attempt {
            job,
            task: lease.attempt.task,
            pool: self.pools[&lease.pool],
            node: node.expect("machines are numbered"),
            cards: Some(lease.cards),
            from: at,
            until: at,
            cost: 0,
            ended_well: false,
        };
        self.open.insert(lease.attempt, self.outcome.attempts.len());
        self.outcome.attempts.push(record);
        self.heard.leased.push(lease.clone());
        self.checks.leases += 1;
    }
}
