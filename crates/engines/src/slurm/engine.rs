//! The engine: what it holds, and its turn, which everything that is asked of it ends with.
//!
//! Invariant: what is said to the caller is in the journal before. No call waits for Slurm.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::time::SystemTime;

use dayan_units::{AttemptId, Span};
use rustix::event::{PollFd, PollFlags, poll};

use super::SlurmConfig;
use super::accounts::{Accounts, Difference};
use super::batch::{self, Order};
use super::book::{Book, Record, Seat};
use super::clerk::{Clerk, Errand};
use super::file_clock::FileClock;
use super::known;
use super::layout::{BatchId, Index, Layout};
use super::refusal::Refusal;
use super::request::Request;
use super::survey::Survey;
use super::waiting::Tray;
use crate::journal::Journal;
use crate::keeper::Lock;
use crate::waker::timespec;
use crate::{
    BootClock, BootId, BootTime, Engine, EngineInfo, EngineKind, EnterFault, Entrance, Fault,
    Features, Fence, Isolation, Launch, LeaseEnd, LogChunk, Observation, Outcome, Placing, Signal,
    SiteCount, StartFailure, StartFault, Stream, Visit, Waker, command, logs, wall_now,
};

/// How often the folder of news is looked at: where a watch works, for news that come over the
/// network; where none does, for all of them.
const NEWS_EVERY: Span = Span::from_secs(1);
const NEWS_EVERY_UNWATCHED: Span = Span::from_millis(250);
/// A journal shorter than this is not worth rewriting; 8 MiB are read in under 50 ms.
const JOURNAL_REWRITE_BYTES: u64 = 8 << 20;
/// What `scancel` is told at once: so many names of 20 characters fit any command line.
const CANCELS_AT_ONCE: usize = 500;
/// How long after its grace a stopped task may be silent before it is cancelled in Slurm: its
/// wrapper looks every second, a network file system may show it half a minute late.
pub(super) const OBEYS_WITHIN: Span = Span::from_secs(45);

/// What an engine is made of.
pub(super) struct Parts {
    pub config: SlurmConfig,
    pub layout: Layout,
    pub clock: BootClock,
    pub clock_file: File,
    pub journal: Journal<Record>,
    pub book: Book,
    pub tray: Tray,
    pub clerk: Clerk,
    pub survey: Survey,
    pub wrapper: Vec<String>,
    pub features: Features,
    pub accounts: Accounts,
    /// What is to be cancelled in Slurm.
    pub cancels: Vec<String>,
    pub bell: Waker,
    pub waker: Waker,
    pub watch: Option<OwnedFd>,
    pub lock: Lock,
}

/// Tasks as jobs of a Slurm cluster.
pub struct SlurmEngine {
    pub(super) config: SlurmConfig,
    pub(super) layout: Layout,
    pub(super) clock: BootClock,
    pub(super) clock_file: File,
    pub(super) journal: Journal<Record>,
    pub(super) book: Book,
    /// Launches that wait, on disk.
    tray: Tray,
    pub(super) clerk: Clerk,
    pub(super) survey: Survey,
    /// When the picture was written that its nodes are of; none: before this engine.
    known_at: Option<SystemTime>,
    /// The wrapper's words, in the shared folder.
    pub(super) wrapper: Vec<String>,
    features: Features,
    pub(super) accounts: Accounts,
    /// Rung by the clerk.
    bell: Waker,
    waker: Waker,
    watch: Option<OwnedFd>,
    pub(super) changed: BTreeSet<AttemptId>,
    /// News that were read and not yet removed.
    pub(super) read: Vec<PathBuf>,
    /// Whose launches are not needed any more.
    over: Vec<Seat>,
    /// Submissions that are being made.
    pub(super) submitting: usize,
    /// Until when launches gather, where they do.
    pub(super) gathering: Option<BootTime>,
    pub(super) last_batch: u64,
    /// What is to be cancelled in Slurm; and whether the clerk is at it.
    pub(super) cancels: Vec<String>,
    /// Nothing is cancelled before: the last try failed.
    pub(super) cancel_at: BootTime,
    /// How often in a row it failed.
    pub(super) cancel_misses: u32,
    pub(super) cancelling: bool,
    /// When the queue is looked at next, and whether the clerk is at it.
    pub(super) look_at: BootTime,
    pub(super) looking: bool,
    /// When Slurm may be asked again about those in doubt, and whether the clerk is at it.
    pub(super) ask_at: BootTime,
    pub(super) asking: bool,
    news_at: BootTime,
    /// The folder of news could not be read when it was last looked into.
    pub(super) deaf: bool,
    /// When at the latest an attempt must be looked after.
    pub(super) due_at: BootTime,
    rewrite_at: u64,
    sweeper: Sender<Sweep>,
    _lock: Lock,
}

impl SlurmEngine {
    pub(super) fn new(parts: Parts) -> Self {
        let now = parts.clock.now();
        let last_batch = parts.book.batches.keys().next_back().map_or(0, |batch| batch.0);
        let changed = parts.book.observations().iter().map(|seen| seen.attempt).collect();
        Self {
            config: parts.config,
            layout: parts.layout,
            clock: parts.clock,
            clock_file: parts.clock_file,
            journal: parts.journal,
            book: parts.book,
            tray: parts.tray,
            clerk: parts.clerk,
            survey: parts.survey,
            known_at: None,
            wrapper: parts.wrapper,
            features: parts.features,
            accounts: parts.accounts,
            bell: parts.bell,
            waker: parts.waker,
            watch: parts.watch,
            changed,
            read: Vec::new(),
            over: Vec::new(),
            submitting: 0,
            gathering: None,
            last_batch,
            cancels: parts.cancels,
            cancel_at: now,
            cancel_misses: 0,
            cancelling: false,
            look_at: now,
            looking: false,
            ask_at: now,
            asking: false,
            news_at: now,
            deaf: false,
            due_at: now,
            rewrite_at: JOURNAL_REWRITE_BYTES,
            sweeper: sweeper(),
            _lock: parts.lock,
        }
    }

    /// The cluster as it was when the engine was opened.
    pub const fn survey(&self) -> &Survey {
        &self.survey
    }

    /// Where Slurm's accounting and our own counters did not agree, since the last call.
    pub fn differences(&mut self) -> Vec<Difference> {
        self.accounts.differences()
    }

    fn admit(&self, launch: &Launch, now: BootTime) -> Result<(), StartFault> {
        let attempt = launch.attempt;
        if self.book.was_launched(attempt) {
            return Err(StartFault::AlreadyLaunched(attempt));
        }
        let LeaseEnd { boot, at } = launch.lease_end;
        if boot != self.clock.boot() || at <= now {
            return Err(StartFault::LeaseOver(attempt));
        }
        if launch.isolation != Isolation::None {
            let reason = "tasks on a Slurm cluster are kept apart as far as the site does";
            return Err(StartFault::Lacking(reason.to_owned()));
        }
        if launch.image.is_some() || launch.needs_containers() {
            let reason =
                "a Slurm pool runs the cluster's programs; images need a pool of containers";
            return Err(StartFault::Unsupported(reason.to_owned()));
        }
        command::arguments(&launch.program).map_err(StartFault::Invalid)?;
        let limits = &launch.limits;
        if limits.memory.0 == 0 || limits.cpu.0 == 0 || limits.pids == 0 {
            return Err(StartFault::Invalid("a limit of nothing".to_owned()));
        }
        if let Some(word) = Request::not_allowed(launch, &self.config.site) {
            let reason = format!(
                "this pool does not let jobs say `{word}` to Slurm (backend.slurm); its provider allows \
                 words by --slurm-allow"
            );
            return Err(StartFault::Unsupported(reason));
        }
        if let Some(word) = Request::names_a_file(launch) {
            let reason = format!("`{word}` in backend.slurm names nodes, not a file of them");
            return Err(StartFault::Invalid(reason));
        }
        self.request(launch).map(|_| ()).map_err(Refusal::into_fault)
    }

    /// The cluster as who looks at it has last seen it, where that is something new: the exchange plans on those
    /// nodes, and somebody may have been given an account, or let into a partition.
    fn renew(&mut self) {
        let changed = known::changed(self.layout.root());
        if changed == self.known_at {
            return;
        }
        if let Some(seen) = known::kept(self.layout.root(), &self.config.site) {
            self.survey.renew(seen);
            self.known_at = changed;
        }
    }

    /// Everything that can be done now.
    pub(super) fn turn(&mut self) {
        let answers = self.clerk.done();
        let now = self.clock.now();
        // News first: who is missing in an answer about the queue may have said why.
        if !answers.is_empty() || self.news_at <= now {
            self.hear();
            self.news_at = now.plus(match self.watch {
                Some(_) => NEWS_EVERY,
                None => NEWS_EVERY_UNWATCHED,
            });
        }
        for answer in answers {
            self.on_answer(answer);
        }
        if self.due_at <= now {
            self.look_after(now);
        }
        self.form_batches();
        self.ask_questions(now);
        if !self.cancelling && !self.cancels.is_empty() && self.cancel_at <= now {
            let some = self.cancels.len().min(CANCELS_AT_ONCE);
            let targets: Vec<String> = self.cancels.drain(..some).collect();
            self.cancelling = true;
            self.clerk.send(Errand::Cancel { targets });
        }
        self.settle();
    }

    /// Brings what happened to the file; only then is it gone elsewhere.
    fn settle(&mut self) {
        if let Err(error) = self.journal.write() {
            tracing::error!(%error, "cannot write the engine's journal");
            return;
        }
        for path in self.read.drain(..) {
            // Read again it changes nothing.
            let _ = fs::remove_file(path);
        }
        self.tray.tidy(self.book.waiting.iter());
        self.erase_launches();
        if self.journal.length() > self.rewrite_at {
            if let Err(error) = self.journal.rewrite(&self.book.records(self.clock.boot())) {
                tracing::warn!(%error, "cannot rewrite the engine's journal");
            }
            self.rewrite_at = JOURNAL_REWRITE_BYTES.max(self.journal.length().saturating_mul(2));
        }
    }

    /// Blanks the launches of those that are over: nobody starts or enters them again, and their
    /// environments hold secrets.
    fn erase_launches(&mut self) {
        let mut by_batch: BTreeMap<BatchId, Vec<Index>> = BTreeMap::new();
        for seat in self.over.drain(..) {
            by_batch.entry(seat.batch).or_default().push(seat.index);
        }
        for (batch, which) in by_batch {
            // One that is forgotten already has no file. The next start tries again.
            if let Err(error) = batch::erase_launches(&self.layout.launches(batch), &which)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, batch = batch.text(), "cannot blank launches that are over");
            }
        }
    }

    pub(super) fn finish(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.finish_at(attempt, wall_now(), outcome);
    }

    pub(super) fn finish_at(
        &mut self,
        attempt: AttemptId,
        at: dayan_units::Time,
        outcome: Outcome,
    ) {
        if let Some(record) = self.book.end(attempt, at, outcome) {
            self.journal.append(&record);
            self.changed.insert(attempt);
            self.over.extend(self.book.get(attempt).and_then(|held| held.seat));
        }
    }

    /// Something of an attempt is due then.
    pub(super) fn due(&mut self, at: BootTime) {
        self.due_at = self.due_at.min(at);
    }

    /// Removes folders, sooner or later.
    fn sweep(&self, what: Sweep) {
        // The thread lives as long as this does.
        let _ = self.sweeper.send(what);
    }

    /// The orders of some elements, as they are now, to their files.
    fn write_orders(&mut self, seats: &[Seat]) -> Result<(), Fault> {
        let at = Fault::io("reading the file server's clock");
        let file_clock = FileClock::read(&self.clock_file, self.clock).map_err(at)?;
        let mut by_batch: BTreeMap<BatchId, Vec<(Index, Order)>> = BTreeMap::new();
        for seat in seats {
            let held = self.book.attempt_at(*seat).and_then(|attempt| self.book.get(attempt));
            if let Some(held) = held {
                let until = file_clock.early(held.lease_end);
                let order = Order { until, stop: held.stop, ask: held.ask };
                by_batch.entry(seat.batch).or_default().push((seat.index, order));
            }
        }
        for (batch, orders) in by_batch {
            let path = self.layout.orders(batch);
            batch::change_orders(&path, &orders)
                .map_err(Fault::io(format!("writing {}", path.display())))?;
        }
        Ok(())
    }

    /// Waits for something to happen.
    fn wait(&mut self, until: BootTime) {
        let mut until = until;
        if self.book.live_count() > 0 {
            until = until.min(self.news_at).min(self.due_at);
            if !self.looking {
                until = until.min(self.look_at);
            }
        }
        if let Some(at) = self.accounts.due_at() {
            until = until.min(at);
        }
        let span = until.since(self.clock.now()).max(Span::ZERO);
        let mut told = false;
        {
            let mut fds = vec![
                PollFd::new(&self.waker, PollFlags::IN),
                PollFd::new(&self.bell, PollFlags::IN),
            ];
            fds.extend(self.watch.as_ref().map(|watch| PollFd::new(watch, PollFlags::IN)));
            if poll(&mut fds, Some(&timespec(span))).is_ok() {
                told = fds.get(2).is_some_and(|fd| !fd.revents().is_empty());
            }
        }
        self.bell.quiet();
        if told {
            if let Some(watch) = &self.watch {
                let mut scratch = [0u8; 16 << 10];
                while rustix::io::read(watch, &mut scratch).is_ok_and(|n| n > 0) {}
            }
            self.news_at = self.clock.now();
        }
    }
}

impl Engine for SlurmEngine {
    fn describe(&self) -> EngineInfo {
        EngineInfo {
            kind: EngineKind::Slurm,
            fence: Fence::Wrapper,
            features: self.features.clone(),
            placing: Placing::ByPool,
        }
    }

    fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
        let now = self.clock.now();
        self.renew();
        let mut fresh = BTreeSet::new();
        let mut results: Vec<Result<(), StartFault>> = launches
            .iter()
            .map(|launch| {
                self.admit(launch, now)?;
                let again = !fresh.insert(launch.attempt);
                if again { Err(StartFault::AlreadyLaunched(launch.attempt)) } else { Ok(()) }
            })
            .collect();
        if fresh.is_empty() {
            return results;
        }
        let taken = launches.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let kept = self.tray.put(taken.map(|(launch, _)| launch));
        let attempts = fresh.iter().copied().collect();
        let record = Record::Launched { attempts, launches: Vec::new() };
        let noted = kept.and_then(|()| self.journal.commit([&record].into_iter()));
        if let Err(error) = noted {
            let fault = StartFault::Unreachable(format!("the engine's journal: {error}"));
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(fault.clone());
            }
            return results;
        }
        for (launch, _) in launches.into_iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            self.book.insert(launch.attempt, super::book::Held::new(launch.lease_end.at));
            self.due(launch.lease_end.at);
            self.book.waiting.push(launch);
        }
        self.turn();
        results
    }

    fn observe(&mut self, wait: Span) -> Result<Vec<Observation>, Fault> {
        let until = self.clock.now().plus(wait);
        loop {
            self.turn();
            let rung = self.waker.quiet() | self.accounts.take_news();
            if rung || !self.changed.is_empty() || self.clock.now() >= until {
                let changed = std::mem::take(&mut self.changed);
                let seen = |attempt| self.book.observation(attempt);
                return Ok(changed.into_iter().filter_map(seen).collect());
            }
            self.wait(until);
        }
    }

    fn list(&mut self) -> Result<Vec<Observation>, Fault> {
        self.news_at = self.clock.now();
        self.turn();
        Ok(self.book.observations())
    }

    fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) -> Result<(), Fault> {
        let mut seats = Vec::with_capacity(leases.len());
        for (attempt, end) in leases {
            let boot = self.clock.boot();
            let Some(held) = self.book.live_mut(*attempt).filter(|_| end.boot == boot) else {
                continue;
            };
            // One whose node is lost is waited for until its lease is over, and gets no more.
            if held.is_lost() && end.at > held.lease_end {
                continue;
            }
            held.lease_end = end.at;
            seats.extend(held.seat);
            self.due(end.at);
        }
        let written = self.write_orders(&seats);
        self.turn();
        written
    }

    fn stop(&mut self, attempt: AttemptId, grace: Span, signal: Signal) -> Result<(), Fault> {
        let now = self.clock.now();
        let Some(held) = self.book.live_mut(attempt) else { return Ok(()) };
        let Some(seat) = held.seat else {
            self.book.waiting.retain(|launch| launch.attempt != attempt);
            self.finish(attempt, Outcome::Stopped);
            self.turn();
            return Ok(());
        };
        held.stop = Some((signal, grace));
        held.cancel_at = Some(now.plus(grace).plus(OBEYS_WITHIN));
        self.due(now.plus(grace).plus(OBEYS_WITHIN));
        let written = if self.close(attempt, seat, Outcome::Stopped) {
            Ok(())
        } else {
            self.write_orders(&[seat])
        };
        self.turn();
        written
    }

    fn signal(&mut self, attempt: AttemptId, signal: Signal) -> Result<(), Fault> {
        let Some(held) = self.book.live_mut(attempt) else { return Ok(()) };
        let Some(seat) = held.seat else { return Ok(()) };
        held.ask = Some(batch::Asked::after(held.ask, signal));
        self.write_orders(&[seat])
    }

    fn forget(&mut self, attempts: &[AttemptId]) -> Result<(), Fault> {
        for attempt in attempts {
            if self.book.get(*attempt).is_none_or(super::book::Held::is_live) {
                continue;
            }
            self.journal.append(&Record::Forgotten { attempt: *attempt });
            self.changed.remove(attempt);
            for path in self.layout.of_attempt(*attempt) {
                self.sweep(Sweep::OfAttempt(path));
            }
            if let Some(batch) = self.book.forget(*attempt) {
                self.sweep(Sweep::Batch(self.layout.batch(batch)));
            }
        }
        self.turn();
        Ok(())
    }

    fn site_counts(&mut self) -> Vec<SiteCount> {
        self.accounts.hand_out()
    }

    fn site_counts_told(&mut self, attempts: &[AttemptId]) {
        self.accounts.told(attempts);
    }

    fn logs(
        &mut self,
        attempt: AttemptId,
        stream: Stream,
        offset: u64,
        max: usize,
    ) -> Result<LogChunk, Fault> {
        let folder = self.layout.folder().logs(attempt);
        logs::read(&folder, stream, offset, max)
            .map_err(Fault::io(format!("reading {}", folder.display())))
    }

    fn workdir(&self, attempt: AttemptId) -> Option<PathBuf> {
        Some(self.layout.folder().work(attempt))
    }

    fn enter(&mut self, attempt: AttemptId, visit: Visit<'_>) -> Result<Entrance, EnterFault> {
        self.entrance(attempt, visit)
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn boot_now(&self) -> (BootId, BootTime) {
        (self.clock.boot(), self.clock.now())
    }
}

/// Where an element could not be put into a batch.
pub(super) fn no_room(error: &std::io::Error) -> Outcome {
    Outcome::StartFailed(StartFailure::Other(format!("the shared folder: {error}")))
}

/// A folder to be removed.
enum Sweep {
    /// A batch's.
    Batch(PathBuf),
    /// An attempt's. It lies in one of its job's, which goes when it is empty.
    OfAttempt(PathBuf),
}

/// A thread that removes folders: on a network file system that takes its time.
fn sweeper() -> Sender<Sweep> {
    let (sender, folders) = channel::<Sweep>();
    let work = move || {
        for what in folders {
            let (Sweep::Batch(path) | Sweep::OfAttempt(path)) = &what;
            if let Err(error) = fs::remove_dir_all(path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(%error, folder = %path.display(), "cannot remove a folder");
            }
            if let (Sweep::OfAttempt(_), Some(job)) = (&what, path.parent()) {
                let _ = fs::remove_dir(job);
            }
        }
    };
    // Without it folders stay: that harms nobody but the disk.
    let _ = std::thread::Builder::new().name("sweeper".to_owned()).spawn(work);
    sender
}
