//! What the engine knows of its attempts and batches, and the records that survive it. Pure but for
//! what is handed in.
//!
//! Invariant: an attempt that was launched stays known, at least as a tombstone; its end is set
//! once; counters never shrink.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dayan_units::{AttemptId, Span, Time};
use serde::{Deserialize, Serialize};

use super::batch::Asked;
use super::layout::{BatchId, Index};
use super::request::{Request, Shape};
use crate::{BootId, BootTime, Counters, End, Launch, Observation, Outcome, Phase, Signal};

/// Tombstones kept of forgotten attempts, as the keeper does: a start that arrives later than
/// 65,536 others for an attempt that the exchange has closed has lost its lease.
const TOMBSTONES_MAX: usize = 65_536;

/// What happened, as the journal keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// They are about to be launched, and never again. What they are lies beside the journal, for it
    /// may hold secrets; journals of earlier versions have it here.
    Launched {
        attempts: Vec<AttemptId>,
        #[serde(default, skip_serializing)]
        launches: Vec<Launch>,
    },
    /// They are the elements of a batch, in order, which is about to be submitted, and ask for this.
    Batched {
        batch: BatchId,
        shape: Shape,
        attempts: Vec<AttemptId>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<Request>,
    },
    /// The batch is this job of Slurm.
    Submitted { batch: BatchId, job: u32 },
    /// It runs, by this process of the engine's machine where it is that one.
    Running { attempt: AttemptId, started_at: Time, pid: Option<u32>, boot: BootId },
    /// Nothing of it runs any more.
    Ended { attempt: AttemptId, end: End, usage: Counters },
    /// Its end was acknowledged.
    Forgotten { attempt: AttemptId },
}

/// An element of a batch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Seat {
    pub batch: BatchId,
    pub index: Index,
}

/// An end as a wrapper wrote it down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Written {
    pub end: End,
    pub usage: Counters,
    /// Slurm told it to end.
    pub by_slurm: bool,
    /// The number of the news: its file stays until what became of it is in the journal.
    pub sequence: u32,
}

/// Why an attempt's standing is not known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Doubt {
    /// Since when.
    pub since: BootTime,
    /// What its wrapper wrote, where only the reason for the end is missing.
    pub report: Option<Written>,
    /// Its node is lost and may still run it: it is over when its lease is.
    pub lost: bool,
}

/// An attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub phase: Phase,
    pub usage: Counters,
    pub lease_end: BootTime,
    /// Its element; none while it waits to be put into a batch.
    pub seat: Option<Seat>,
    /// A wrapper has it, as far as is known.
    pub claimed: bool,
    /// Another element's wrapper has it: it runs in that one's job.
    pub under: Option<Index>,
    /// The node that it runs on, as its wrapper said.
    pub node: Option<String>,
    /// The other nodes of its job, of a head.
    pub others: Vec<String>,
    /// It was told to stop.
    pub stop: Option<(Signal, Span)>,
    /// The newest signal that it was sent.
    pub ask: Option<Asked>,
    /// When it is cancelled in Slurm, should its wrapper not have obeyed.
    pub cancel_at: Option<BootTime>,
    pub doubt: Option<Doubt>,
    /// Since when it runs, for Slurm, and nothing was heard of it.
    pub quiet_since: Option<BootTime>,
    /// Nothing was heard for too long: it is over when its lease is, whatever Slurm says.
    pub silent: bool,
    /// The largest number of its news that was read.
    pub told: u32,
}

impl Held {
    pub(crate) const fn new(lease_end: BootTime) -> Self {
        Self {
            phase: Phase::Starting,
            usage: Counters {
                cpu_user: Span::ZERO,
                cpu_system: Span::ZERO,
                wall: Span::ZERO,
                memory_peak: dayan_units::Bytes::ZERO,
                read: dayan_units::Bytes::ZERO,
                written: dayan_units::Bytes::ZERO,
                energy_microjoule: None,
            },
            lease_end,
            seat: None,
            claimed: false,
            under: None,
            node: None,
            others: Vec::new(),
            stop: None,
            ask: None,
            cancel_at: None,
            doubt: None,
            quiet_since: None,
            silent: false,
            told: 0,
        }
    }

    pub(crate) const fn is_live(&self) -> bool {
        !matches!(self.phase, Phase::Ended(_))
    }

    /// The end that its wrapper wrote, where Slurm is still asked why.
    pub(crate) fn written(&self) -> Option<&Written> {
        self.doubt.as_ref()?.report.as_ref().filter(|_| self.is_live())
    }

    /// Can nobody say whether it runs? Then its lease is not prolonged.
    pub(crate) fn is_lost(&self) -> bool {
        self.silent || self.doubt.as_ref().is_some_and(|doubt| doubt.lost)
    }

    /// The queue was looked at: does it run there, so that it should speak?
    pub(crate) fn quiet(&mut self, runs: bool, now: BootTime) {
        self.quiet_since = runs.then(|| self.quiet_since.unwrap_or(now));
    }

    /// It has spoken.
    pub(crate) fn spoke(&mut self) {
        (self.quiet_since, self.silent) = (None, false);
    }

    /// Takes counters into account that may be older than what is known.
    pub(crate) fn count(&mut self, usage: &Counters) {
        let known = &mut self.usage;
        if usage.cpu() >= known.cpu() {
            known.cpu_user = usage.cpu_user.max(known.cpu_user);
            known.cpu_system = usage.cpu_system.max(known.cpu_system);
        }
        known.wall = known.wall.max(usage.wall);
        known.memory_peak = known.memory_peak.max(usage.memory_peak);
        known.read = known.read.max(usage.read);
        known.written = known.written.max(usage.written);
        known.energy_microjoule = known.energy_microjoule.max(usage.energy_microjoule);
    }
}

/// How far a batch is with Slurm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Submission {
    /// `sbatch` is being asked.
    Asking,
    /// It was asked and nobody knows whether it took it; the queue tells. Or it had a number once, which is
    /// another's by now.
    Unsure {
        /// Since when.
        since: BootTime,
        /// In how many answers about the queue it was missing.
        missed: u32,
    },
    /// It is this job.
    Job(u32),
}

/// A batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Batch {
    pub attempts: Vec<AttemptId>,
    pub shape: Shape,
    /// What each of them asks of Slurm; none in journals of earlier versions.
    pub request: Option<Request>,
    pub submission: Submission,
    /// How often it was submitted.
    pub tries: u32,
    /// Attempts of it that are not forgotten.
    pub kept: usize,
}

impl Batch {
    /// Its number in Slurm, as far as that is known and its own.
    pub(crate) const fn job(&self) -> Option<u32> {
        match self.submission {
            Submission::Job(job) => Some(job),
            Submission::Asking | Submission::Unsure { .. } => None,
        }
    }

    /// How `scancel` names one of its elements. A gang's cannot be told apart: with one of them all
    /// are cancelled, and are to be, for a gang is whole or not at all.
    pub(crate) fn target(&self, index: Index) -> Option<String> {
        match (&self.submission, self.shape) {
            (Submission::Job(job), Shape::Array) if self.attempts.len() > 1 => {
                Some(format!("{job}_{index}"))
            }
            (Submission::Job(job), Shape::Array | Shape::Gang { .. }) => Some(job.to_string()),
            (Submission::Asking | Submission::Unsure { .. }, _) => None,
        }
    }

    /// Under which element Slurm speaks of it.
    pub(crate) fn in_slurm(&self, index: Index, under: Option<Index>) -> Index {
        match self.shape {
            Shape::Array => under.unwrap_or(index),
            Shape::Gang { .. } => 0,
        }
    }
}

/// Everything that is known.
#[derive(Default)]
pub(crate) struct Book {
    attempts: BTreeMap<AttemptId, Held>,
    live: BTreeSet<AttemptId>,
    pub batches: BTreeMap<BatchId, Batch>,
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
    /// How many were submitted and are not known to have begun.
    pub(crate) fn queued(&self) -> usize {
        self.live()
            .filter(|(_, held)| {
                held.seat.is_some() && !held.claimed && matches!(held.phase, Phase::Starting)
            })
            .count()
    }
    /// How many were submitted and have not ended, or ended later than this.
    pub(crate) fn in_slurm(&self, ended_after: Time) -> usize {
        let there = |held: &&Held| match &held.phase {
            Phase::Starting | Phase::Running { .. } => held.seat.is_some(),
            Phase::Ended(end) => held.seat.is_some() && end.at > ended_after,
        };
        self.attempts.values().filter(there).count()
    }
    /// A batch is this job of Slurm. Which one had that number before is returned: Slurm gives one again only
    /// where it has forgotten whose it was.
    pub(crate) fn name(&mut self, id: BatchId, job: u32, now: BootTime) -> Option<BatchId> {
        let before =
            self.batches.iter().find(|(other, batch)| **other != id && batch.job() == Some(job));
        let before = before.map(|(other, _)| *other);
        if let Some(other) = before {
            self.unname(other, now);
        }
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.submission = Submission::Job(job);
        }
        before
    }
    /// A batch's number is another's by now.
    pub(crate) fn unname(&mut self, id: BatchId, now: BootTime) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.submission = Submission::Unsure { since: now, missed: 0 };
        }
    }
    /// Has any of a batch been with a wrapper, as far as is known?
    pub(crate) fn has_begun(&self, id: BatchId) -> bool {
        let attempts = self.batches.get(&id).map_or(&[][..], |batch| &batch.attempts);
        attempts.iter().any(|attempt| self.get(*attempt).is_some_and(|held| held.claimed))
    }

    /// Who sits there.
    pub(crate) fn attempt_at(&self, seat: Seat) -> Option<AttemptId> {
        self.batches.get(&seat.batch)?.attempts.get(seat.index as usize).copied()
    }

    /// Sets an attempt's end, if it had none.
    pub(crate) fn end(&mut self, attempt: AttemptId, at: Time, outcome: Outcome) -> Option<Record> {
        let held = self.attempts.get_mut(&attempt).filter(|held| held.is_live())?;
        let end = End { at, outcome };
        held.phase = Phase::Ended(end.clone());
        held.doubt = None;
        held.cancel_at = None;
        let usage = held.usage;
        self.live.remove(&attempt);
        Some(Record::Ended { attempt, end, usage })
    }

    /// Forgets an attempt that has ended. With it goes its batch, if it was the last one: then
    /// that is returned.
    pub(crate) fn forget(&mut self, attempt: AttemptId) -> Option<BatchId> {
        let held = self.attempts.remove(&attempt)?;
        // One that a former engine ended as it began, and forgot, has no end in the journal.
        self.live.remove(&attempt);
        self.bury(attempt);
        let batch = held.seat?.batch;
        let kept = self.batches.get_mut(&batch)?;
        kept.kept = kept.kept.saturating_sub(1);
        if kept.kept > 0 {
            return None;
        }
        self.batches.remove(&batch);
        Some(batch)
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

    pub(crate) fn observation(&self, attempt: AttemptId) -> Option<Observation> {
        let held = self.attempts.get(&attempt)?;
        let (node, others) = (held.node.clone(), held.others.clone());
        Some(Observation { attempt, phase: held.phase.clone(), usage: held.usage, node, others })
    }
    pub(crate) fn observations(&self) -> Vec<Observation> {
        self.attempts.keys().filter_map(|attempt| self.observation(*attempt)).collect()
    }

    /// The records that say all of this again; `boot` is this machine's.
    pub(crate) fn records(&self, boot: BootId) -> Vec<Record> {
        let buried = self.tombstone_order.iter();
        let mut records: Vec<Record> =
            buried.map(|attempt| Record::Forgotten { attempt: *attempt }).collect();
        let loose = |(attempt, held): (&AttemptId, &Held)| held.seat.is_none().then_some(*attempt);
        let attempts = self.attempts.iter().filter_map(loose).collect();
        records.push(Record::Launched { attempts, launches: Vec::new() });
        for (id, batch) in &self.batches {
            let (shape, attempts) = (batch.shape, batch.attempts.clone());
            let request = batch.request.clone();
            records.push(Record::Batched { batch: *id, shape, attempts, request });
            if let Submission::Job(job) = batch.submission {
                records.push(Record::Submitted { batch: *id, job });
            }
        }
        for (attempt, held) in &self.attempts {
            let attempt = *attempt;
            match &held.phase {
                Phase::Starting => {}
                Phase::Running { started_at, pid } => {
                    let (started_at, pid) = (*started_at, *pid);
                    records.push(Record::Running { attempt, started_at, pid, boot });
                }
                Phase::Ended(end) => {
                    let (end, usage) = (end.clone(), held.usage);
                    records.push(Record::Ended { attempt, end, usage });
                }
            }
        }
        records
    }

    /// From the records of an earlier engine. What it had batched may be in the queue or not,
    /// unless it had heard; what it had not batched never will be. Leases are not recorded: they
    /// stand in the batches' orders; what had gathered lies in `waiting`.
    pub(crate) fn replay(
        records: Vec<Record>,
        waiting: Vec<Launch>,
        boot: BootId,
        now: BootTime,
    ) -> Self {
        let mut book = Self::default();
        let mut loose: BTreeMap<AttemptId, Launch> =
            waiting.into_iter().map(|launch| (launch.attempt, launch)).collect();
        for record in records {
            match record {
                Record::Launched { attempts, launches } => {
                    for attempt in attempts {
                        book.insert(attempt, Held::new(BootTime::NEVER));
                    }
                    for launch in launches {
                        loose.insert(launch.attempt, launch);
                    }
                }
                Record::Batched { batch, shape, attempts, request } => {
                    // In a rewritten journal the forgotten ones come first.
                    let there = |attempt: &&AttemptId| !book.tombstones.contains(attempt);
                    let kept = attempts.iter().filter(there).count();
                    for (attempt, index) in attempts.iter().copied().zip(0..) {
                        if book.tombstones.contains(&attempt) {
                            continue;
                        }
                        let held = Held {
                            seat: Some(Seat { batch, index }),
                            ..Held::new(BootTime::NEVER)
                        };
                        book.insert(attempt, held);
                    }
                    let submission = Submission::Unsure { since: now, missed: 0 };
                    let batched = Batch { attempts, shape, request, submission, tries: 1, kept };
                    book.batches.insert(batch, batched);
                }
                Record::Submitted { batch, job } => {
                    let _ = book.name(batch, job, now);
                }
                Record::Running { attempt, started_at, pid, boot: of } => {
                    if let Some(held) = book.live_mut(attempt) {
                        let pid = pid.filter(|_| of == boot);
                        held.phase = Phase::Running { started_at, pid };
                        held.claimed = true;
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
        // Those that were never put into a batch wait for one still, while their leases last. What was
        // prolonged since is told again by who holds them.
        for (attempt, launch) in loose {
            let lease_end = launch.lease_end;
            let Some(held) = book.live_mut(attempt).filter(|held| held.seat.is_none()) else {
                continue;
            };
            if lease_end.boot == boot && lease_end.at > now {
                held.lease_end = lease_end.at;
                book.waiting.push(launch);
            }
        }
        book
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use dayan_units::JobId;

    fn attempt(task: u32) -> AttemptId {
        AttemptId { job: JobId::from_bits(3), task, attempt: 1 }
    }

    #[test]
    fn records_say_again_what_was_known() {
        let now = BootTime::from_micros(5);
        let end = End { at: Time::from_micros(9), outcome: Outcome::Exited(3) };
        let usage = Counters { wall: Span::from_secs(2), ..Counters::default() };
        let (first, second) = (BatchId(1), BatchId(2));
        let records = vec![
            Record::Launched { attempts: (0..5).map(attempt).collect(), launches: Vec::new() },
            Record::Batched {
                batch: first,
                shape: Shape::Array,
                attempts: vec![attempt(0), attempt(1)],
                request: None,
            },
            Record::Submitted { batch: first, job: 77 },
            Record::Batched {
                batch: second,
                shape: Shape::Gang { nodes: 2 },
                attempts: vec![attempt(2), attempt(3)],
                request: None,
            },
            Record::Running {
                attempt: attempt(3),
                started_at: now_wall(),
                pid: Some(8),
                boot: BootId(4),
            },
            Record::Running {
                attempt: attempt(0),
                started_at: now_wall(),
                pid: Some(9),
                boot: BootId(5),
            },
            Record::Ended { attempt: attempt(1), end: end.clone(), usage },
            Record::Ended {
                attempt: attempt(1),
                end: End { at: now_wall(), outcome: Outcome::Stopped },
                usage,
            },
            Record::Ended { attempt: attempt(2), end, usage },
            Record::Forgotten { attempt: attempt(2) },
        ];
        let boot = BootId(4);
        let book = Book::replay(records, Vec::new(), boot, now);
        let again = Book::replay(book.records(boot), Vec::new(), boot, now);
        for book in [&book, &again] {
            assert_eq!(book.live_count(), 3);
            assert!((0..5).all(|task| book.was_launched(attempt(task))));
            assert!(!book.was_launched(attempt(5)));
            assert_eq!(book.get(attempt(2)), None);
            let ended = book.observation(attempt(1)).expect("it is kept");
            assert_eq!(ended.end().map(|end| &end.outcome), Some(&Outcome::Exited(3)));
            assert_eq!(ended.usage, usage);
            assert_eq!(book.batches[&first].target(1).as_deref(), Some("77_1"));
            assert_eq!(book.batches[&second].target(1), None);
            assert_eq!(book.batches[&second].kept, 1);
            let pid = |task| match book.get(attempt(task)).map(|held| &held.phase) {
                Some(Phase::Running { pid, .. }) => *pid,
                other => panic!("it runs: {other:?}"),
            };
            assert_eq!((pid(0), pid(3)), (None, Some(8)), "a process of another boot is none");
            let seat = Seat { batch: second, index: 1 };
            assert_eq!(book.attempt_at(seat), Some(attempt(3)));
            assert_eq!(book.get(attempt(3)).and_then(|held| held.seat), Some(seat));
        }
    }

    pub(crate) fn launch(task: u32, boot: BootId, at: i64) -> Launch {
        Launch {
            attempt: attempt(task),
            program: crate::Program::Shell("true".to_owned()),
            env: BTreeMap::new(),
            workdir: crate::Workdir::Fresh,
            limits: crate::Limits::default(),
            lease_end: crate::LeaseEnd { boot, at: BootTime::from_micros(at) },
            isolation: crate::Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            image: None,
            org: None,
            steps: Vec::new(),
            mounts: Vec::new(),
            site_words: BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        }
    }

    #[test]
    fn what_gathered_when_an_agent_died_waits_on_while_its_lease_lasts() {
        let (boot, now) = (BootId(4), BootTime::from_micros(5));
        let launches: Vec<Launch> = vec![
            launch(0, boot, 9),
            launch(1, boot, 9),
            launch(2, boot, 5),
            launch(3, BootId(5), 9),
        ];
        let records = vec![
            Record::Launched { attempts: (0..4).map(attempt).collect(), launches: Vec::new() },
            Record::Batched {
                batch: BatchId(1),
                shape: Shape::Array,
                attempts: vec![attempt(1)],
                request: None,
            },
        ];
        let book = Book::replay(records.clone(), launches.clone(), boot, now);
        let again = Book::replay(book.records(boot), book.waiting.clone(), boot, now);
        // Journals of earlier versions held them.
        let mut older = records;
        older[0] = Record::Launched { attempts: (0..4).map(attempt).collect(), launches };
        let older = Book::replay(older, Vec::new(), boot, now);
        for book in [&book, &again, &older] {
            let waiting: Vec<AttemptId> = book.waiting.iter().map(|one| one.attempt).collect();
            assert_eq!(waiting, [attempt(0)], "one is in a batch, two have no lease any more");
            assert_eq!(book.get(attempt(0)).map(|held| held.lease_end.micros()), Some(9));
            assert_eq!(book.live_count(), 4);
        }
    }

    #[test]
    fn one_that_is_forgotten_without_an_end_is_gone() {
        let launched = Record::Launched { attempts: vec![attempt(0)], launches: Vec::new() };
        let records = vec![launched, Record::Forgotten { attempt: attempt(0) }];
        let book = Book::replay(records, Vec::new(), BootId(4), BootTime::from_micros(5));
        assert_eq!((book.live().count(), book.live_count()), (0, 0));
        assert!(book.was_launched(attempt(0)));
    }

    const fn now_wall() -> Time {
        Time::from_micros(11)
    }

    #[test]
    fn a_batch_goes_with_its_last_attempt() {
        let mut book = Book::replay(
            vec![Record::Batched {
                batch: BatchId(1),
                shape: Shape::Array,
                attempts: vec![attempt(0), attempt(1)],
                request: None,
            }],
            Vec::new(),
            BootId(4),
            BootTime::from_micros(0),
        );
        for task in 0..2 {
            assert!(book.end(attempt(task), now_wall(), Outcome::Stopped).is_some());
            assert!(book.end(attempt(task), now_wall(), Outcome::Stopped).is_none());
        }
        assert_eq!(book.forget(attempt(0)), None);
        assert_eq!(book.forget(attempt(1)), Some(BatchId(1)));
        assert!(book.batches.is_empty() && book.was_launched(attempt(0)));
    }
}
