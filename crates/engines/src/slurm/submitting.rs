//! From launches to jobs in the queue.
//!
//! Invariant: a batch's files are there and its record is on stable storage before it is submitted.
//! A submission whose outcome is not known is looked for in the queue under its name; it is made
//! again only when the queue was seen without it, and should the first one come through all the
//! same, each element is still claimed once.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;

use dayan_units::{AttemptId, JobId, Span};

use super::batch::{Order, write_launches, write_orders};
use super::book::{Batch, Held, Record, Seat, Submission};
use super::choosing::Kind;
use super::clerk::Errand;
use super::engine::{SlurmEngine, no_room};
use super::file_clock::FileClock;
use super::layout::{BatchId, Index};
use super::refusal::{self, Refusal};
use super::request::{Ordered, Request, Shape, submission};
use super::way::Submitted;
use crate::{Enforcement, Launch, Outcome, StartFailure, wall_now};

/// How long a submission whose outcome is not known is looked for before it may be made again, and
/// in how many answers about the queue it must be missing: the controller works off what it has
/// taken within seconds, and a client gives up before it.
const UNSURE_FOR: Span = Span::from_secs(20);
const MISSED_MIN: u32 = 2;
/// How often a batch is submitted at most before its attempts end: the exchange has better places
/// for them by then.
const TRIES_MAX: u32 = 5;

/// How long one that has ended may be counted by Slurm still: its wrapper's word comes before.
const LINGERS: Span = Span::from_secs(5);

/// A new array is worth its submission when it has a part of this of what waits in Slurm already: then
/// the controller is asked every time a third of that has gone, and never runs dry.
const QUEUED_PER_WAITING: usize = 2;
/// How long launches gather at most: what Slurm starts next is there already.
const GATHER_MAX: Span = Span::from_secs(1);

/// Which gang a launch belongs to: the job, and which launch of it.
type GangKey = (JobId, u32);

fn gang_key(launch: &Launch) -> Option<GangKey> {
    launch.gang.map(|gang| (launch.attempt.job, gang.launch))
}

impl SlurmEngine {
    /// Puts what waits into batches. While the clerk submits, more gathers: so the rate at which
    /// launches come decides how many go into one array, and not a timer.
    pub(super) fn form_batches(&mut self) {
        if self.submitting > 0 || self.book.waiting.is_empty() {
            self.gathering = None;
            return;
        }
        if self.is_worth_gathering() {
            return;
        }
        self.gathering = None;
        let mut room = self.room();
        if room == 0 {
            // Those that have just ended leave Slurm's count without a word to us.
            self.due(self.clock.now().plus(LINGERS));
        }
        let mut groups: BTreeMap<(Request, Option<GangKey>), Vec<Launch>> = BTreeMap::new();
        for launch in std::mem::take(&mut self.book.waiting) {
            if launch.gang.is_none() {
                if room == 0 {
                    self.book.waiting.push(launch);
                    continue;
                }
                room -= 1;
            }
            match self.request(&launch) {
                Ok(request) => groups.entry((request, gang_key(&launch))).or_default().push(launch),
                // It was asked before it was taken.
                Err(refusal) => {
                    self.finish(launch.attempt, Outcome::StartFailed(refusal.into_failure()));
                }
            }
        }
        let mut formed = Vec::new();
        for ((request, _), mut launches) in groups {
            let (shape, most) = match launches.first().and_then(|launch| launch.gang) {
                None => (Shape::Array, self.survey.array_max),
                Some(gang) => (Shape::Gang { nodes: gang.nodes }, launches.len()),
            };
            if let Shape::Gang { .. } = shape {
                launches.sort_by_key(|launch| launch.gang.map_or(0, |gang| gang.rank));
                let members =
                    launches.first().and_then(|launch| launch.gang).map_or(1, |g| g.members);
                if launches.len() < members as usize {
                    // The others are on their way.
                    self.book.waiting.extend(launches);
                    continue;
                }
            }
            for some in launches.chunks(most.max(1)) {
                match self.form(some, shape) {
                    Ok(batch) => formed.push((batch, request.clone())),
                    Err(error) => {
                        tracing::error!(%error, "cannot write a batch");
                        for launch in some {
                            self.finish(launch.attempt, no_room(&error));
                        }
                    }
                }
            }
        }
        if formed.is_empty() {
            return;
        }
        let records: Vec<Record> = formed
            .iter()
            .filter_map(|(id, request)| {
                let batch = self.book.batches.get_mut(id)?;
                batch.request = Some(request.clone());
                let (shape, attempts) = (batch.shape, batch.attempts.clone());
                let request = batch.request.clone();
                Some(Record::Batched { batch: *id, shape, attempts, request })
            })
            .collect();
        if let Err(error) = self.journal.commit(records.iter()) {
            tracing::error!(%error, "cannot write the engine's journal");
            for (batch, _) in formed {
                self.give_up(batch, &no_room(&error));
            }
            return;
        }
        for (batch, request) in formed {
            self.submit(batch, &request);
        }
    }

    /// What a launch asks of Slurm, as the cluster is now.
    pub(super) fn request(&self, launch: &Launch) -> Result<Request, Refusal> {
        let (site, words) = (&self.config.site, &launch.site_words);
        self.survey.check(site, words).map_err(|why| Refusal::of_check(why, words))?;
        let most = self.survey.bounds(site, words).minutes_max;
        // What the pool has shown and the cluster does not have is the site's to say.
        let kind = Kind::of(launch, &self.survey.nodes).map_err(Refusal::Site)?;
        Request::of(launch, kind, most).map_err(Refusal::Job)
    }

    /// How many more jobs the site lets this user have in its queue: an array that is larger would be
    /// refused as a whole. A gang is one job, and its members are few.
    fn room(&self) -> usize {
        let bounds = self.survey.bounds(&self.config.site, &BTreeMap::new());
        let Some(most) = bounds.submit_max else { return usize::MAX };
        let there = self.book.in_slurm(wall_now().minus(LINGERS));
        usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(there)
    }

    /// Would more come before Slurm has nothing of ours left to start? Each array costs the controller
    /// as much as a dozen of its elements, so while enough of ours waits there, the next one gathers.
    fn is_worth_gathering(&mut self) -> bool {
        let queued = self.book.queued();
        let waiting = self.book.waiting.len();
        if waiting >= self.survey.array_max || waiting.saturating_mul(QUEUED_PER_WAITING) >= queued
        {
            return false;
        }
        let now = self.clock.now();
        let until = *self.gathering.get_or_insert(now.plus(GATHER_MAX));
        if until > now {
            self.due(until);
        }
        until > now
    }

    /// Writes the files of a batch, and takes it into the book.
    fn form(&mut self, launches: &[Launch], shape: Shape) -> io::Result<BatchId> {
        let file_clock = FileClock::read(&self.clock_file, self.clock)?;
        let batch = self.make_folder()?;
        let all: Vec<&Launch> = launches.iter().collect();
        write_launches(&self.layout.launches(batch), &all)?;
        // Leases may have moved since the launches came.
        let until = |launch: &Launch| {
            let held = self.book.get(launch.attempt);
            file_clock.early(held.map_or(launch.lease_end.at, |held| held.lease_end))
        };
        let orders: Vec<Order> = launches
            .iter()
            .map(|launch| Order { until: until(launch), stop: None, ask: None })
            .collect();
        write_orders(&self.layout.orders(batch), &orders)?;
        let attempts: Vec<_> = launches.iter().map(|launch| launch.attempt).collect();
        for (attempt, index) in attempts.iter().zip(0..) {
            if let Some(held) = self.book.live_mut(*attempt) {
                held.seat = Some(Seat { batch, index });
            }
        }
        let kept = attempts.len();
        let batched = Batch {
            attempts,
            shape,
            request: None,
            submission: Submission::Asking,
            tries: 0,
            kept,
        };
        self.book.batches.insert(batch, batched);
        Ok(batch)
    }

    /// A folder under a number that nobody has used: the moment, in microseconds.
    fn make_folder(&mut self) -> io::Result<BatchId> {
        let mut number = u64::try_from(wall_now().micros()).unwrap_or(0).max(self.last_batch + 1);
        loop {
            let batch = BatchId(number);
            match fs::DirBuilder::new().mode(0o700).create(self.layout.batch(batch)) {
                Ok(()) => {
                    self.last_batch = number;
                    return Ok(batch);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn submit(&mut self, id: BatchId, request: &Request) {
        let Some(batch) = self.book.batches.get_mut(&id) else { return };
        batch.tries += 1;
        batch.submission = Submission::Asking;
        self.submitting += 1;
        let memory = match self.survey.memory_limit() {
            Enforcement::Enforced => "enforced",
            Enforcement::Watched | Enforcement::Absent => "watched",
        };
        let options = [
            ("--dir", self.layout.root().to_string_lossy().into_owned()),
            ("--batch", id.text()),
            ("--usage-every", format!("{}ms", self.config.pace.usage_every.millis_floor())),
            ("--memory", memory.to_owned()),
        ];
        let minutes = request.minutes.map(|minutes| ("--minutes", minutes.to_string()));
        let options = options.into_iter().chain(minutes);
        let mut command = self.wrapper.clone();
        command.extend(options.flat_map(|(name, value)| [name.to_owned(), value]));
        let shape = match batch.shape {
            Shape::Array => "array",
            Shape::Gang { .. } => "gang",
        };
        command.extend(["--shape".to_owned(), shape.to_owned()]);
        // For people at the queue, and to be found again by: the first of the attempts.
        let first = batch.attempts.first().map(ToString::to_string).unwrap_or_default();
        let comment = match batch.attempts.len() {
            0 | 1 => format!("dayan {first}"),
            more => format!("dayan {first} and {} more", more - 1),
        };
        let ordered = Ordered {
            instance: self.layout.instance(),
            batch: id,
            shape: batch.shape,
            elements: batch.attempts.len(),
            request,
            comment: &comment,
            command: &command,
            folder: self.layout.root(),
        };
        let submission = submission(ordered, &self.config.site);
        self.clerk.send(Errand::Submit { batch: id, submission });
    }

    pub(super) fn on_submitted(&mut self, id: BatchId, outcome: Submitted) {
        self.submitting = self.submitting.saturating_sub(1);
        let now = self.clock.now();
        let Some(batch) = self.book.batches.get_mut(&id) else {
            // Everything of it was forgotten meanwhile; whatever runs of it finds no folder.
            if let Submitted::Job(job) = outcome {
                self.cancels.push(job.to_string());
            }
            return;
        };
        match outcome {
            Submitted::Job(job) => self.is_job(id, job),
            Submitted::Unsure(why) => {
                tracing::warn!(why, batch = id.text(), "not sure that it was submitted");
                batch.submission = Submission::Unsure { since: now, missed: 0 };
                self.look_at = now;
            }
            Submitted::Refused(why) => {
                tracing::warn!(why, batch = id.text(), "Slurm refused it");
                let failure = refusal::failure(&why, batch.request.as_ref());
                self.give_up(id, &Outcome::StartFailed(failure));
            }
        }
    }

    /// A batch is known to be this job.
    pub(super) fn is_job(&mut self, id: BatchId, job: u32) {
        if !self.book.batches.contains_key(&id) {
            return;
        }
        if let Some(before) = self.book.name(id, job, self.clock.now()) {
            self.tell_forgotten(before, job);
        }
        self.journal.append(&Record::Submitted { batch: id, job });
        // What was closed, or taken by another, before the job had a name is cancelled now. Its claim
        // says so: a wrapper whose own task is over, and forgotten, may run another's.
        let Some(batch) = self.book.batches.get(&id) else { return };
        let needless = |(attempt, index): &(&AttemptId, Index)| {
            let waits = |held: &Held| held.is_live() && !held.claimed;
            !self.book.get(**attempt).is_some_and(waits) && self.is_needless(id, *index)
        };
        let all: Vec<Index> =
            batch.attempts.iter().zip(0..).filter(needless).map(|(_, index)| index).collect();
        if all.len() == batch.attempts.len() {
            self.cancels.push(job.to_string());
        } else {
            self.cancels.extend(all.into_iter().filter_map(|index| batch.target(index)));
        }
    }

    /// A batch of which nothing has begun was not found in an answer about the queue.
    pub(super) fn missed(&mut self, id: BatchId) {
        let now = self.clock.now();
        let Some(batch) = self.book.batches.get_mut(&id) else { return };
        let Submission::Unsure { since, missed } = &mut batch.submission else { return };
        *missed += 1;
        if *missed < MISSED_MIN || now.since(*since) < UNSURE_FOR {
            self.look_at = self.look_at.min(now.plus(Span::from_secs(2)));
            return;
        }
        let live: Vec<_> = batch.attempts.clone();
        let is_live = |attempt: &AttemptId| self.book.get(*attempt).is_some_and(Held::is_live);
        let wants = live.iter().any(is_live);
        let tries = self.book.batches.get(&id).map_or(0, |batch| batch.tries);
        if !wants {
            return;
        }
        if tries >= TRIES_MAX {
            let reason = format!("Slurm did not take it in {tries} tries");
            self.give_up(id, &Outcome::StartFailed(StartFailure::Other(reason)));
            return;
        }
        // The same as when it was formed. Of a batch of an earlier version it stands in its files.
        let known = self.book.batches.get(&id).and_then(|batch| batch.request.clone());
        let request = known.map_or_else(
            || {
                super::batch::read_launch(&self.layout.launches(id), 0)
                    .map_err(|error| Refusal::Site(error.to_string()))
                    .and_then(|launch| self.request(&launch))
            },
            Ok,
        );
        match request {
            Ok(request) => {
                tracing::info!(batch = id.text(), "it is not in the queue; submitted again");
                self.submit(id, &request);
            }
            Err(refusal) => {
                self.give_up(id, &Outcome::StartFailed(refusal.into_failure()));
            }
        }
    }

    /// Ends what is left of a batch: no element of it is to start any more.
    fn give_up(&mut self, id: BatchId, outcome: &Outcome) {
        let Some(batch) = self.book.batches.get(&id) else { return };
        for (attempt, index) in batch.attempts.clone().into_iter().zip(0..) {
            let is_live = self.book.get(attempt).is_some_and(Held::is_live);
            if is_live && !self.close(attempt, Seat { batch: id, index }, outcome.clone()) {
                // A wrapper has it after all, and will say how it went.
                self.look_at = self.clock.now();
            }
        }
    }
}
