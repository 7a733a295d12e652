//! What the engine knows of its attempts and batches, and the records that survive it. Pure but for
//! what is handed in.
//!
//! Invariant: an attempt that was launched stays known, at least as a tombstone; its end is set
//! once; counters never shrink.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dayan_units::{AttemptId, Bytes, Span, Time};
use serde::{Deserialize, Serialize};

use super::manifest::Gang;
use super::names::BatchName;
use super::pods::Trouble;
use super::steps::{StepSeen, Unstarted};
use super::usage::{Meter, Used};
use crate::observation::STEP_NOT_STARTED;
use crate::{BootTime, Counters, End, Launch, Observation, Outcome, Phase};

/// Tombstones kept of forgotten attempts, as the keeper does: a start that arrives later than
/// 65,536 others for an attempt that the exchange has closed has lost its lease.
const TOMBSTONES_MAX: usize = 65_536;

/// What happened, as the journal keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// They are about to be launched, and never again.
    Launched { attempts: Vec<AttemptId> },
    /// They are the indexes of a job, in order, which is about to be made.
    Batched { batch: BatchName, attempts: Vec<AttemptId>, wall: Span, log: Bytes, gang: Gang },
    /// The API server has taken the job.
    Made { batch: BatchName, at: Time },
    /// It runs.
    Running { attempt: AttemptId, started_at: Time },
    /// Nothing of it runs any more.
    Ended { attempt: AttemptId, end: End, usage: Counters },
    /// Its end was acknowledged.
    Forgotten { attempt: AttemptId },
}

/// An index of a batch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seat {
    pub batch: BatchName,
    pub index: u32,
}

/// A pod by what it cannot be confused with another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PodRef {
    pub name: String,
    pub uid: String,
    /// The container of it that runs, or is the next to.
    pub container: String,
}

/// Why and how an attempt is being ended. The first reason stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    pub outcome: Outcome,
    pub grace: Span,
    /// When its pod was last asked to go.
    pub asked: Option<BootTime>,
}

/// An end that is known while the output is still being read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Closing {
    pub outcome: Outcome,
    pub at: Time,
    pub since: BootTime,
}

/// An attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub phase: Phase,
    pub usage: Counters,
    pub lease_end: BootTime,
    /// When it is told that its lease ends.
    pub notice: BootTime,
    pub wall: Span,
    pub log: Bytes,
    pub seat: Option<Seat>,
    pub pod: Option<PodRef>,
    /// How its steps stand, of a launch that has some.
    pub steps: Vec<StepSeen>,
    /// The step that cannot be started, though others have run.
    pub unstarted: Option<Unstarted>,
    /// The node its pod is on.
    pub node: Option<String>,
    pub meter: Meter,
    /// Since when it is seen running, on the boot clock.
    pub running: Option<BootTime>,
    /// Its pod is being deleted, by whomever.
    pub deleting: bool,
    /// Since when its pod is gone or was ended without a word of why.
    pub unexplained: Option<(BootTime, Time)>,
    pub trouble: Option<(Trouble, BootTime)>,
    pub ending: Option<Ending>,
    pub closing: Option<Closing>,
    /// Its output is being followed.
    pub followed: bool,
}

impl Held {
    pub(crate) const fn new(lease_end: BootTime, wall: Span, log: Bytes) -> Self {
        Self {
            phase: Phase::Starting,
            usage: Counters {
                cpu_user: Span::ZERO,
                cpu_system: Span::ZERO,
                wall: Span::ZERO,
                memory_peak: Bytes::ZERO,
                read: Bytes::ZERO,
                written: Bytes::ZERO,
                energy_microjoule: None,
            },
            lease_end,
            notice: lease_end,
            wall,
            log,
            seat: None,
            pod: None,
            steps: Vec::new(),
            unstarted: None,
            node: None,
            meter: Meter::new(),
            running: None,
            deleting: false,
            unexplained: None,
            trouble: None,
            ending: None,
            closing: None,
            followed: false,
        }
    }

    /// Counts what it was said to use.
    pub(crate) fn used(&mut self, used: Used) {
        let more = self.meter.add(&used);
        // Nobody says which part of it was the kernel's.
        self.usage.cpu_user = self.usage.cpu_user.plus(more);
        self.usage.memory_peak = self.usage.memory_peak.max(used.memory);
    }

    pub(crate) const fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Ended(_))
    }

    /// Its pod, or the next step of it, can never be started. What has run has not failed to start: where
    /// the job has named what is not there it ends by that step, and what it used was used.
    pub(crate) fn cannot_start(&mut self, trouble: &Trouble) {
        if self.running.is_none() {
            return self.end_by(Outcome::StartFailed(trouble.failure()), Span::ZERO);
        }
        // What a node cannot do is no step's doing: the attempt is lost with it, and goes again.
        if !trouble.is_the_jobs() {
            return self.end_by(Outcome::KeeperDied, Span::ZERO);
        }
        if let Some(step) = self.steps.iter().position(|step| step.ended.is_none()) {
            let step = u32::try_from(step).unwrap_or(u32::MAX);
            self.unstarted = Some(Unstarted { step, words: trouble.words().to_owned() });
        }
        self.end_by(Outcome::Exited(STEP_NOT_STARTED), Span::ZERO);
    }

    /// Is it to be ended? The first reason stands; a later one may only shorten the grace.
    pub(crate) fn end_by(&mut self, outcome: Outcome, grace: Span) {
        match &mut self.ending {
            Some(ending) if grace < ending.grace => {
                ending.grace = grace;
                ending.asked = None;
            }
            Some(_) => {}
            None => self.ending = Some(Ending { outcome, grace, asked: None }),
        }
    }
}

/// How far a batch is with the API server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// It is being made.
    Asking,
    /// Nobody knows whether it was; it is made again, under the same name.
    Unsure { again: BootTime },
    /// It is there, since then by the API server's clock.
    Made { at: Time, seen: BootTime },
    /// It is not there any more, or never will be.
    Gone,
}

/// A batch: a job in the cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    pub attempts: Vec<AttemptId>,
    pub gang: Gang,
    pub wall: Span,
    pub log: Bytes,
    pub standing: Standing,
    /// When the cluster began to work on it, by its clock.
    pub started: Option<Time>,
    /// The deadline that the cluster was last told, in seconds.
    pub deadline: Option<i64>,
    /// Its deadline is to be told again.
    pub moved: bool,
    /// The cluster ended it at its deadline.
    pub overdue: bool,
    /// The cluster calls it over: no pod is made any more.
    pub over: bool,
    /// It was asked to be deleted.
    pub deleting: bool,
    /// Attempts of it that are not forgotten.
    pub kept: usize,
}

/// Everything that is known.
#[derive(Default)]
pub(crate) struct Book {
    attempts: BTreeMap<AttemptId, Held>,
    live: BTreeSet<AttemptId>,
    pub batches: BTreeMap<BatchName, Batch>,
    /// Launches that are in no batch yet.
    pub waiting: Vec<Launch>,
    tombstones: BTreeSet<AttemptId>,
    tombstone_order: VecDeque<AttemptId>,
}

impl Book {
    /// Was it ever launched, as far as is remembered?
    pub(crate) fn was_launched(&self, attempt: AttemptId) -> bool {
        self.attempts.contains_key(&attempt) || self.tombstones.contains(&attempt)
    }
    pub(crate) fn is_buried(&self, attempt: AttemptId) -> bool {
        self.tombstones.contains(&attempt)
    }
    pub(crate) fn insert(&mut self, attempt: AttemptId, held: Held) {
        if held.is_live() {
            self.live.insert(attempt);
        }
        self.attempts.insert(attempt, held);
    }
    pub(crate) fn get(&self, attempt: AttemptId) -> Option<&Held> {
        self.attempts.get(&attempt)
    }
    /// An attempt that has not ended.
    pub(crate) fn live_mut(&mut self, attempt: AttemptId) -> Option<&mut Held> {
        self.attempts.get_mut(&attempt).filter(|held| held.is_live())
    }
    /// Those that have not ended.
    pub(crate) fn live(&self) -> impl Iterator<Item = (AttemptId, &Held)> {
        self.live.iter().map(|attempt| (*attempt, &self.attempts[attempt]))
    }
    pub(crate) fn live_count(&self) -> usize {
        self.live.len()
    }
    /// Who sits there.
    pub(crate) fn attempt_at(&self, batch: &BatchName, index: u32) -> Option<AttemptId> {
        self.batches.get(batch)?.attempts.get(index as usize).copied()
    }
    /// The live members of a batch.
    pub(crate) fn members(&self, batch: &BatchName) -> Vec<AttemptId> {
        let attempts = self.batches.get(batch).map_or(&[][..], |batch| &batch.attempts);
        attempts.iter().copied().filter(|attempt| self.live.contains(attempt)).collect()
    }

    /// Takes a batch and seats its attempts, of which some may be forgotten already.
    pub(crate) fn seat(&mut self, name: &BatchName, mut batch: Batch) {
        batch.kept = 0;
        for (attempt, index) in batch.attempts.iter().copied().zip(0..) {
            if self.tombstones.contains(&attempt) {
                continue;
            }
            batch.kept += 1;
            let seat = Seat { batch: name.clone(), index };
            if let Some(held) = self.attempts.get_mut(&attempt) {
                held.seat = Some(seat);
            } else {
                let mut held = Held::new(BootTime::NEVER, batch.wall, batch.log);
                held.seat = Some(seat);
                self.insert(attempt, held);
            }
        }
        self.batches.insert(name.clone(), batch);
    }

    /// Sets an attempt's end, if it had none.
    pub(crate) fn end(&mut self, attempt: AttemptId, at: Time, outcome: Outcome) -> Option<Record> {
        let held = self.attempts.get_mut(&attempt).filter(|held| held.is_live())?;
        let end = End { at, outcome };
        held.phase = Phase::Ended(end.clone());
        held.ending = None;
        held.closing = None;
        held.unexplained = None;
        held.trouble = None;
        let usage = held.usage;
        self.live.remove(&attempt);
        Some(Record::Ended { attempt, end, usage })
    }

    /// Forgets an attempt that has ended. With it goes its batch, if it was the last one: then
    /// that is returned.
    pub(crate) fn forget(&mut self, attempt: AttemptId) -> Option<BatchName> {
        let held = self.attempts.remove(&attempt)?;
        self.live.remove(&attempt);
        self.bury(attempt);
        let name = held.seat?.batch;
        let batch = self.batches.get_mut(&name)?;
        batch.kept = batch.kept.saturating_sub(1);
        if batch.kept > 0 {
            return None;
        }
        self.batches.remove(&name);
        Some(name)
    }

    pub(crate) fn bury(&mut self, attempt: AttemptId) {
        if self.tombstones.insert(attempt) {
            self.tombstone_order.push_back(attempt);
        }
        while self.tombstone_order.len() > TOMBSTONES_MAX {
            if let Some(oldest) = self.tombstone_order.pop_front() {
                self.tombstones.remove(&oldest);
            }
        }
    }

    pub(crate) fn observation(&self, attempt: AttemptId, now: BootTime) -> Option<Observation> {
        let held = self.attempts.get(&attempt)?;
        let mut usage = held.usage;
        if let (true, Some(since)) = (held.is_live(), held.running) {
            usage.wall = usage.wall.max(now.since(since));
        }
        let (phase, node) = (held.phase.clone(), held.node.clone());
        Some(Observation { attempt, phase, usage, node, others: Vec::new() })
    }
    pub(crate) fn observations(&self, now: BootTime) -> Vec<Observation> {
        self.attempts.keys().filter_map(|attempt| self.observation(*attempt, now)).collect()
    }

    /// The records that say all of this again.
    pub(crate) fn records(&self) -> Vec<Record> {
        let buried = self.tombstone_order.iter();
        let mut records: Vec<Record> =
            buried.map(|attempt| Record::Forgotten { attempt: *attempt }).collect();
        let loose = |(attempt, held): (&AttemptId, &Held)| held.seat.is_none().then_some(*attempt);
        records
            .push(Record::Launched { attempts: self.attempts.iter().filter_map(loose).collect() });
        for (name, batch) in &self.batches {
            let Batch { attempts, gang, wall, log, .. } = batch.clone();
            records.push(Record::Batched { batch: name.clone(), attempts, wall, log, gang });
            if let Standing::Made { at, .. } = batch.standing {
                records.push(Record::Made { batch: name.clone(), at });
            }
        }
        for (attempt, held) in &self.attempts {
            let attempt = *attempt;
            match &held.phase {
                Phase::Starting => {}
                Phase::Running { started_at, .. } => {
                    records.push(Record::Running { attempt, started_at: *started_at });
                }
                Phase::Ended(end) => {
                    let (end, usage) = (end.clone(), held.usage);
                    records.push(Record::Ended { attempt, end, usage });
                }
            }
        }
        records
    }

    /// From the records of an earlier engine. What it had batched may be made or not, unless it had
    /// heard; what it had not batched never will be. Leases are not recorded: the jobs' deadlines
    /// say how long the cluster lets them run.
    pub(crate) fn replay(records: Vec<Record>, now: BootTime, wall_now: Time) -> Self {
        let mut book = Self::default();
        for record in records {
            match record {
                Record::Launched { attempts } => {
                    for attempt in attempts {
                        let held = Held::new(BootTime::NEVER, Span::MAX, Bytes::ZERO);
                        book.insert(attempt, held);
                    }
                }
                Record::Batched { batch, attempts, wall, log, gang } => {
                    for attempt in &attempts {
                        if let Some(held) = book.live_mut(*attempt) {
                            (held.wall, held.log) = (wall, log);
                        }
                    }
                    book.seat(&batch, Batch::new(attempts, gang, wall, log, now));
                }
                Record::Made { batch, at } => {
                    if let Some(batch) = book.batches.get_mut(&batch) {
                        batch.standing = Standing::Made { at, seen: now };
                    }
                }
                Record::Running { attempt, started_at } => {
                    if let Some(held) = book.live_mut(attempt) {
                        held.phase = Phase::Running { started_at, pid: None };
                        let ran = wall_now.since(started_at).max(Span::ZERO);
                        held.running = Some(now.plus(Span::ZERO.minus(ran)));
                    }
                }
                Record::Ended { attempt, end, usage } => {
                    if let Some(held) = book.live_mut(attempt) {
                        held.usage = usage;
                    }
                    let _ = book.end(attempt, end.at, end.outcome);
                }
                Record::Forgotten { attempt } => {
                    if book.attempts.contains_key(&attempt) {
                        let _ = book.forget(attempt);
                    } else {
                        book.bury(attempt);
                    }
                }
            }
        }
        book
    }
}

impl Batch {
    /// One of which nobody knows yet whether it was made.
    pub(crate) const fn new(
        attempts: Vec<AttemptId>,
        gang: Gang,
        wall: Span,
        log: Bytes,
        now: BootTime,
    ) -> Self {
        Self {
            attempts,
            gang,
            wall,
            log,
            standing: Standing::Unsure { again: now },
            started: None,
            deadline: None,
            moved: false,
            overdue: false,
            over: false,
            deleting: false,
            kept: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    fn attempt(task: u32) -> AttemptId {
        AttemptId { job: JobId::from_bits(3), task, attempt: 1 }
    }
    fn name(text: &str) -> BatchName {
        BatchName { namespace: "n".to_owned(), name: text.to_owned() }
    }
    const AT: Time = Time::from_micros(9);

    #[test]
    fn records_say_again_what_was_known() {
        let now = BootTime::from_micros(5);
        let end = End { at: AT, outcome: Outcome::Exited(3) };
        let usage = Counters { wall: Span::from_secs(2), ..Counters::default() };
        let batched = |text: &str, tasks: [u32; 2]| Record::Batched {
            batch: name(text),
            attempts: tasks.map(attempt).to_vec(),
            wall: Span::from_secs(7),
            log: Bytes(8),
            gang: Gang::No,
        };
        let ended = |task| Record::Ended { attempt: attempt(task), end: end.clone(), usage };
        let records = vec![
            Record::Launched { attempts: (0..5).map(attempt).collect() },
            batched("a", [0, 1]),
            Record::Made { batch: name("a"), at: AT },
            batched("b", [2, 3]),
            Record::Running { attempt: attempt(3), started_at: AT },
            ended(1),
            ended(2),
            Record::Forgotten { attempt: attempt(2) },
        ];
        let book = Book::replay(records, now, AT);
        let again = Book::replay(book.records(), now, AT);
        for book in [&book, &again] {
            assert_eq!(book.live_count(), 3);
            assert!((0..5).all(|task| book.was_launched(attempt(task))));
            assert!(!book.was_launched(attempt(5)) && book.is_buried(attempt(2)));
            let kept = book.observation(attempt(1), now).expect("it is kept");
            assert_eq!(kept.end(), Some(&end));
            assert_eq!(kept.usage, usage);
            assert_eq!(book.batches[&name("a")].standing, Standing::Made { at: AT, seen: now });
            assert_eq!(book.batches[&name("b")].standing, Standing::Unsure { again: now });
            assert_eq!(book.batches[&name("b")].kept, 1);
            assert_eq!(book.members(&name("b")), [attempt(3)]);
            assert_eq!(book.attempt_at(&name("b"), 1), Some(attempt(3)));
            let held = book.get(attempt(3)).expect("it is held");
            assert_eq!(
                (held.running, held.wall, held.log),
                (Some(now), Span::from_secs(7), Bytes(8))
            );
            let loose = book.get(attempt(4)).expect("it is held");
            assert_eq!(loose.seat, None);
        }
    }

    #[test]
    fn a_batch_goes_with_its_last_attempt_and_the_first_reason_stands() {
        let mut book = Book::default();
        let now = BootTime::from_micros(0);
        let attempts = vec![attempt(0), attempt(1)];
        book.seat(&name("a"), Batch::new(attempts, Gang::No, Span::MAX, Bytes(0), now));
        let held = book.live_mut(attempt(0)).expect("it lives");
        held.end_by(Outcome::TimeLimit, Span::from_secs(5));
        held.end_by(Outcome::Stopped, Span::from_secs(9));
        let ending = held.ending.clone().expect("it ends");
        assert_eq!((ending.outcome, ending.grace), (Outcome::TimeLimit, Span::from_secs(5)));
        for task in 0..2 {
            assert!(book.end(attempt(task), AT, Outcome::Stopped).is_some());
            assert!(book.end(attempt(task), AT, Outcome::Stopped).is_none());
        }
        assert_eq!(book.forget(attempt(0)), None);
        assert_eq!(book.forget(attempt(1)), Some(name("a")));
        assert!(book.batches.is_empty() && book.was_launched(attempt(0)));
    }
}
