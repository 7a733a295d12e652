//! What wrappers have to say, and what the engine closes itself.
//!
//! Invariant: a piece of news is removed only after what it said is in the journal; one that is
//! older than what is known changes nothing.

use std::fs;

use dayan_units::{AttemptId, Span};

use super::book::{Doubt, Held, Record, Seat, Written};
use super::engine::SlurmEngine;
use super::layout::{BatchId, Index};
use super::report::{self, Claim, Claimed, Report, Stand, parse_name};
use crate::{Outcome, Phase};

/// A job whose script has ended is over for Slurm within this time, on a machine that is not overloaded.
const STEPS_END_WITHIN: Span = Span::from_millis(500);

/// Pieces of news read at once, so that a call of the engine stays short.
const NEWS_AT_ONCE: usize = 4_096;

impl SlurmEngine {
    /// Reads what there is.
    pub(super) fn hear(&mut self) {
        let entries = match fs::read_dir(self.layout.news()) {
            Ok(entries) => entries,
            Err(error) => {
                if !std::mem::replace(&mut self.deaf, true) {
                    tracing::warn!(%error, "what wrappers say cannot be read");
                }
                return;
            }
        };
        self.deaf = false;
        let mut news: Vec<_> = entries
            .flatten()
            .filter_map(|entry| Some((parse_name(entry.file_name().to_str()?)?, entry.path())))
            .take(NEWS_AT_ONCE)
            .collect();
        news.sort();
        for ((batch, index, sequence), path) in news {
            let seat = Seat { batch, index };
            let Some(attempt) = self.book.attempt_at(seat) else {
                // Forgotten, or of nobody.
                self.read.push(path);
                continue;
            };
            // Half written: it is whole the next time.
            let Some(report) = report::read(&path) else { continue };
            let known = self.book.live_mut(attempt).filter(|held| held.told < sequence);
            if let Some(held) = known {
                held.told = sequence;
                self.told(attempt, report, sequence);
            }
            // An end that Slurm is asked about is in no journal yet, and told again should this agent die.
            let written = self.book.get(attempt).and_then(Held::written);
            if written.is_none_or(|written| written.sequence != sequence) {
                self.read.push(path);
            }
        }
    }

    fn told(&mut self, attempt: AttemptId, report: Report, sequence: u32) {
        let here = report.boot == self.clock.boot();
        let now = self.clock.now();
        let Some(held) = self.book.live_mut(attempt) else { return };
        held.spoke();
        held.count(&report.usage);
        held.node = Some(report.node).filter(|node| !node.is_empty());
        held.others = report.others;
        self.taken(attempt, report.under);
        let Some(held) = self.book.live_mut(attempt) else { return };
        match report.stand {
            Stand::Running { started_at, pid } => {
                let pid = here.then_some(pid);
                if matches!(held.phase, Phase::Starting) {
                    let boot = report.boot;
                    self.journal.append(&Record::Running { attempt, started_at, pid, boot });
                }
                held.phase = Phase::Running { started_at, pid };
                // It speaks: it is not lost.
                held.doubt = None;
                self.changed.insert(attempt);
            }
            // A node that goes may take a script's steps along before anybody tells the script.
            Stand::Ended { end, by_slurm, steps } if by_slurm || steps => {
                let report = Some(Written { end, usage: report.usage, by_slurm, sequence });
                let since = if by_slurm { now } else { now.plus(STEPS_END_WITHIN) };
                held.doubt = Some(Doubt { since, report, lost: false });
                self.ask_at = self.ask_at.min(since);
                self.due(since);
            }
            Stand::Ended { end, .. } => {
                self.note_account(attempt);
                self.finish_at(attempt, end.at, end.outcome);
            }
        }
    }

    /// A wrapper has it: its own, or that of an element whose task has ended. Then its own would start
    /// for nothing, and needs not.
    pub(super) fn taken(&mut self, attempt: AttemptId, under: Option<Index>) {
        let Some(held) = self.book.live_mut(attempt) else { return };
        held.claimed = true;
        if under.is_none() || held.under == under {
            return;
        }
        held.under = under;
        let Some(seat) = held.seat else { return };
        let target = self.book.batches.get(&seat.batch).and_then(|b| b.target(seat.index));
        self.cancels.extend(target);
    }

    /// Looks into its claim whether another element's wrapper has it, of which nothing was heard yet.
    pub(super) fn finds_taken(&mut self, attempt: AttemptId, seat: Seat) -> bool {
        let known = self.book.get(attempt).and_then(|held| held.under);
        let path = self.layout.claim(seat.batch, seat.index);
        match report::read_claim(&path) {
            Some(Claim::Wrapper { under: Some(under), .. }) if known != Some(under) => {
                self.taken(attempt, Some(under));
                true
            }
            Some(Claim::Wrapper { .. } | Claim::Engine { .. }) | None => false,
        }
    }

    /// Would Slurm start this element for nothing? Closed by us, or run by another's wrapper.
    pub(super) fn is_needless(&self, batch: BatchId, index: Index) -> bool {
        match report::read_claim(&self.layout.claim(batch, index)) {
            Some(Claim::Engine { .. } | Claim::Wrapper { under: Some(_), .. }) => true,
            Some(Claim::Wrapper { under: None, .. }) | None => false,
        }
    }

    /// Closes an element that nobody has started: it never runs. False if a wrapper has it.
    pub(super) fn close(&mut self, attempt: AttemptId, seat: Seat, outcome: Outcome) -> bool {
        let path = self.layout.claim(seat.batch, seat.index);
        let claim = Claim::Engine { outcome: outcome.clone() };
        match report::claim(&path, &claim) {
            Ok(Claimed::Now(_)) => {
                let target = self.book.batches.get(&seat.batch).and_then(|b| b.target(seat.index));
                self.cancels.extend(target);
                self.finish(attempt, outcome);
                true
            }
            Ok(Claimed::Before) => {
                let under = match report::read_claim(&path) {
                    Some(Claim::Wrapper { under, .. }) => under,
                    Some(Claim::Engine { .. }) | None => None,
                };
                self.taken(attempt, under);
                false
            }
            Err(error) => {
                // Tried again when it is due; until then it may start.
                tracing::warn!(%error, %attempt, "cannot close an element");
                false
            }
        }
    }

    /// Is an attempt known to be with a wrapper?
    pub(super) fn is_claimed(&self, attempt: AttemptId) -> bool {
        self.book.get(attempt).is_some_and(|Held { claimed, .. }| *claimed)
    }
}
