//! All attempts that a keeper of containers holds, their notes, and the agent on the other side of
//! the socket.
//!
//! Invariants: everything here happens on one thread, and nothing is borrowed over a wait; a note
//! is in the file before the agent hears of it, and a launch on stable storage before anything of it
//! is made.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use dayan_units::{AttemptId, Span};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Mutex, Notify, Semaphore};

use super::api::Service;
use super::bringing;
use super::cgroup::{Trees, is_mountable};
use super::holding::{Held, Note, StepNote};
use super::presence::Presence;
use super::recipe::{self, Kitchen};
use super::tending;
use crate::journal::Journal;
use crate::keeper::Folder;
use crate::keeper::core::TOMBSTONES_MAX;
use crate::logs::LogWriter;
use crate::protocol::{
    FRAME_BYTES_MAX, GREETING_BYTES_MAX, Incoming, Message, PROTOCOL, Request, frame,
};
use crate::{
    BootClock, End, Features, Isolation, Launch, LeaseEnd, Observation, Outcome, StartFault,
    Stream, wall_now,
};

/// Containers that are being made at once: podman takes a lock for most of it, and more than a few
/// only wait for each other.
const STARTS_AT_ONCE: usize = 4;
/// Notes above which the file is rewritten: 8 MiB are read in under 50 ms.
const NOTES_REWRITE_BYTES: u64 = 8 << 20;
/// Observations in one frame: cut so that it stays far below its limit.
const OBSERVATIONS_PER_FRAME: usize = 4_096;

/// The keeper's own.
pub(super) struct House {
    pub folder: Folder,
    pub clock: BootClock,
    pub service: Service,
    /// Whether docker was there all the time; of podman, which needs no such thing, nobody.
    pub presence: Presence,
    pub trees: Trees,
    pub kitchen: RefCell<Kitchen>,
    pub features: Features,
    pub starts: Semaphore,
    /// One fetch at a time for each image.
    pub pulls: RefCell<BTreeMap<String, Rc<Mutex<()>>>>,
    journal: RefCell<Journal<Note>>,
    rewrite_at: Cell<u64>,
    held: RefCell<BTreeMap<AttemptId, Held>>,
    tombstones: RefCell<(BTreeSet<AttemptId>, VecDeque<AttemptId>)>,
    dirty: RefCell<Vec<AttemptId>>,
    news: Notify,
    /// Which connection is the agent's: the one that greeted last.
    agent: Cell<Option<u64>>,
    connections: Cell<u64>,
    pub leaving: Cell<bool>,
    /// Rung when something ended or somebody left: is there a reason to stay?
    pub quieter: Notify,
}

impl House {
    pub(super) fn new(
        folder: Folder,
        clock: BootClock,
        service: Service,
        kitchen: Kitchen,
        features: Features,
        journal: Journal<Note>,
    ) -> Self {
        Self {
            folder,
            clock,
            service,
            presence: Presence::default(),
            trees: Trees::find(),
            kitchen: RefCell::new(kitchen),
            features,
            starts: Semaphore::new(STARTS_AT_ONCE),
            pulls: RefCell::default(),
            journal: RefCell::new(journal),
            rewrite_at: Cell::new(NOTES_REWRITE_BYTES),
            held: RefCell::default(),
            tombstones: RefCell::default(),
            dirty: RefCell::default(),
            news: Notify::new(),
            agent: Cell::new(None),
            connections: Cell::new(0),
            leaving: Cell::new(false),
            quieter: Notify::new(),
        }
    }

    /// What the container of a step of an attempt is called; of one without steps it is the first.
    pub(super) fn name(&self, attempt: AttemptId, step: u32) -> String {
        recipe::name(self.folder.name(), attempt, step)
    }

    /// The container that is held now.
    pub(super) fn current_name(&self, attempt: AttemptId) -> String {
        self.name(attempt, self.with(attempt, |held| held.current.step).unwrap_or(0))
    }

    /// All containers of an attempt.
    pub(super) fn names(&self, attempt: AttemptId) -> Vec<String> {
        let steps = self.with(attempt, |held| held.steps.len()).unwrap_or(0).max(1);
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        (0..steps).map(|step| self.name(attempt, step)).collect()
    }

    /// Looks at one attempt, or changes it.
    pub(super) fn with<T>(
        &self,
        attempt: AttemptId,
        look: impl FnOnce(&mut Held) -> T,
    ) -> Option<T> {
        self.held.borrow_mut().get_mut(&attempt).map(look)
    }

    /// Is it held, and has it not ended?
    pub(super) fn is_live(&self, attempt: AttemptId) -> bool {
        self.held.borrow().get(&attempt).is_some_and(Held::is_live)
    }

    /// All that have not ended.
    pub(super) fn live_attempts(&self) -> Vec<AttemptId> {
        let held = self.held.borrow();
        held.values().filter(|held| held.is_live()).map(|held| held.attempt).collect()
    }

    /// Is a container or a cgroup of this name one of an attempt that has not ended?
    pub(super) fn has_live_named(&self, name: &str) -> bool {
        let suffix = |attempt| bringing::suffix(attempt);
        self.live_attempts()
            .into_iter()
            .any(|attempt| suffix(attempt) == name || self.names(attempt).iter().any(|n| n == name))
    }

    /// Is nobody left to stay for?
    pub(super) fn is_quiet(&self) -> bool {
        self.live_attempts().is_empty() && (self.leaving.get() || self.agent.get().is_none())
    }

    /// Notes something and brings it to the file. What cannot be written is written with the next.
    pub(super) fn note(&self, note: &Note) {
        let mut journal = self.journal.borrow_mut();
        journal.append(note);
        if let Err(error) = journal.write() {
            tracing::error!(%error, "cannot write the notes of containers");
        }
        if journal.length() > self.rewrite_at.get() {
            drop(journal);
            self.rewrite();
        }
    }

    fn rewrite(&self) {
        let tombstones = self.tombstones.borrow();
        let mut notes: Vec<Note> =
            tombstones.1.iter().map(|attempt| Note::Forgotten { attempt: *attempt }).collect();
        let boot = self.clock.boot();
        notes.extend(self.held.borrow().values().flat_map(|held| held.notes(boot)));
        let mut journal = self.journal.borrow_mut();
        if let Err(error) = journal.rewrite(&notes) {
            tracing::error!(%error, "cannot rewrite the notes of containers");
        }
        // Waits until it has doubled, so that each note is rewritten once on average.
        self.rewrite_at.set(NOTES_REWRITE_BYTES.max(journal.length().saturating_mul(2)));
    }

    /// The agent is to hear of it.
    pub(super) fn mark(&self, attempt: AttemptId) {
        let fresh = self.with(attempt, |held| !std::mem::replace(&mut held.dirty, true));
        if fresh == Some(true) {
            self.dirty.borrow_mut().push(attempt);
            self.news.notify_one();
        }
    }

    /// Notes the end of an attempt of which nothing runs.
    pub(super) fn finish(&self, attempt: AttemptId, outcome: Outcome) {
        let end = End { at: wall_now(), outcome };
        let usage = self.with(attempt, |held| {
            held.ended = Some(end.clone());
            held.usage
        });
        if let Some(usage) = usage {
            self.note(&Note::Ended { attempt, end, usage });
            self.mark(attempt);
        }
        self.quieter.notify_one();
    }

    /// Takes a note of an earlier keeper into account.
    pub(super) fn adopt(&self, held: Held) {
        self.held.borrow_mut().insert(held.attempt, held);
    }

    /// Remembers that it was launched, and nothing else.
    pub(super) fn bury(&self, attempt: AttemptId) {
        self.held.borrow_mut().remove(&attempt);
        let (known, order) = &mut *self.tombstones.borrow_mut();
        if known.insert(attempt) {
            order.push_back(attempt);
        }
        while order.len() > TOMBSTONES_MAX {
            if let Some(oldest) = order.pop_front() {
                known.remove(&oldest);
            }
        }
    }

    /// Writers for what an attempt puts out; `resumed` ones go on where others stopped.
    pub(super) fn logs_of(&self, attempt: AttemptId, held: &Held) -> Vec<LogWriter> {
        let folder = self.folder.logs(attempt);
        let writer = |stream| {
            LogWriter::resume(folder.clone(), stream, held.limits.log).unwrap_or_else(|error| {
                tracing::warn!(%error, %attempt, "its earlier output cannot be read");
                LogWriter::new(folder.clone(), stream, held.limits.log)
            })
        };
        vec![writer(Stream::Stdout), writer(Stream::Stderr), writer(Stream::Steps)]
    }

    fn admit(&self, launch: &Launch) -> Result<(), StartFault> {
        let attempt = launch.attempt;
        let buried = self.tombstones.borrow().0.contains(&attempt);
        if buried || self.held.borrow().contains_key(&attempt) {
            return Err(StartFault::AlreadyLaunched(attempt));
        }
        let LeaseEnd { boot, at } = launch.lease_end;
        if boot != self.clock.boot() || at <= self.clock.now() {
            return Err(StartFault::LeaseOver(attempt));
        }
        if self.leaving.get() {
            return Err(StartFault::Unreachable("the keeper is being stopped".to_owned()));
        }
        if launch.isolation != Isolation::None {
            let reason = "containers are kept apart by their engine, not by bubblewrap";
            return Err(StartFault::Lacking(reason.to_owned()));
        }
        if launch.image.is_none() {
            let reason = "this pool runs container images only; name one with `image`, or start \
                          the agent with --default-image";
            return Err(StartFault::Unsupported(reason.to_owned()));
        }
        if launch.limits.memory.0 == 0 || launch.limits.cpu.0 == 0 || launch.limits.pids == 0 {
            return Err(StartFault::Invalid("a limit of nothing".to_owned()));
        }
        for step in 0..recipe::count(launch) {
            recipe::argv(launch, step).map_err(StartFault::Invalid)?;
        }
        let plain = |mount: &crate::Mount| {
            let mut parts = mount.from.components();
            let inside = parts.all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            inside
                && mount.at.starts_with('/')
                && is_mountable(&mount.from)
                && is_mountable(Path::new(&mount.at))
        };
        if let Some(mount) = launch.mounts.iter().find(|mount| !plain(mount)) {
            let (from, at) = (mount.from.display(), &mount.at);
            return Err(StartFault::Invalid(format!("`{from}` cannot be mounted at `{at}`")));
        }
        Ok(())
    }

    fn start(self: &Rc<Self>, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
        let (now, at, boot) = (self.clock.now(), wall_now(), self.clock.boot());
        let mut seen = BTreeSet::new();
        let mut results: Vec<Result<(), StartFault>> = launches
            .iter()
            .map(|launch| {
                self.admit(launch)?;
                let again = !seen.insert(launch.attempt);
                if again { Err(StartFault::AlreadyLaunched(launch.attempt)) } else { Ok(()) }
            })
            .collect();
        let taken = || launches.iter().zip(&results).filter(|(_, result)| result.is_ok());
        let notes: Vec<Note> = taken()
            .map(|(launch, _)| Note::Launched {
                attempt: launch.attempt,
                at,
                boot,
                lease_end: launch.lease_end.at,
                limits: launch.limits.clone(),
                steps: step_notes(launch),
            })
            .collect();
        if let Err(error) = self.journal.borrow_mut().commit(notes.iter()) {
            let fault = StartFault::Unreachable(format!("the notes of containers: {error}"));
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(fault.clone());
            }
            return results;
        }
        for (launch, result) in launches.into_iter().zip(&results) {
            if result.is_ok() {
                let attempt = launch.attempt;
                let mut held =
                    Held::new(attempt, launch.limits.clone(), launch.lease_end.at, now, at);
                held.steps = step_notes(&launch);
                held.logs = self.logs_of(attempt, &held);
                self.adopt(held);
                tokio::task::spawn_local(tending::launched(Rc::clone(self), Box::new(launch)));
            }
        }
        results
    }

    fn extend(&self, leases: &[(AttemptId, LeaseEnd)]) {
        let now = self.clock.now();
        for (attempt, end) in leases.iter().filter(|(_, end)| end.boot == self.clock.boot()) {
            let live = self.with(*attempt, |held| {
                if held.is_live() {
                    held.extend(end.at, now);
                }
                held.is_live()
            });
            if live == Some(true) {
                self.note(&Note::Lease { attempt: *attempt, at: end.at });
            }
        }
    }

    /// Forgets attempts that have ended, and removes what is kept of them.
    fn forget(&self, attempts: &[AttemptId]) {
        for attempt in attempts.iter().copied() {
            if self.is_live(attempt) {
                continue;
            }
            if self.with(attempt, |_| ()).is_some() {
                self.bury(attempt);
                self.note(&Note::Forgotten { attempt });
            }
            // Also of one that was staged and never launched. A task may leave a million files.
            let folders = [self.folder.work(attempt), self.folder.logs(attempt)];
            tokio::task::spawn_blocking(move || {
                for folder in &folders {
                    clear(folder);
                }
            });
        }
    }

    /// Everything known, with fresh counters.
    fn list(&self) -> Vec<Observation> {
        let attempts: Vec<AttemptId> = self.held.borrow().keys().copied().collect();
        for attempt in attempts {
            tending::look(self, attempt);
        }
        self.held.borrow().values().map(Held::observation).collect()
    }

    fn serve(self: &Rc<Self>, request: Request) -> Message {
        match request {
            Request::Hello { .. } => {
                let attempts: Vec<AttemptId> = self.held.borrow().keys().copied().collect();
                for attempt in attempts {
                    self.mark(attempt);
                }
                let features = Some(self.features.clone());
                Message::Welcome { protocol: PROTOCOL, boot: self.clock.boot(), features }
            }
            Request::Start { serial, launches } => {
                Message::Started { serial, results: self.start(launches) }
            }
            Request::Extend { serial, leases } => {
                self.extend(&leases);
                Message::Done { serial }
            }
            Request::Stop { serial, attempt, grace, signal } => {
                tending::end(self, attempt, Outcome::Stopped, signal, grace.max(Span::ZERO));
                Message::Done { serial }
            }
            Request::Signal { serial, attempt, signal } => {
                tending::ask(self, attempt, signal);
                Message::Done { serial }
            }
            Request::Forget { serial, attempts } => {
                self.forget(&attempts);
                Message::Done { serial }
            }
            Request::List { serial } => Message::Listed { serial, observations: self.list() },
        }
    }

    /// What the agent has not heard yet, as many as fit a frame.
    fn unheard(&self) -> Option<Message> {
        let mut dirty = self.dirty.borrow_mut();
        let count = dirty.len().min(OBSERVATIONS_PER_FRAME);
        let attempts: Vec<AttemptId> = dirty.drain(..count).collect();
        drop(dirty);
        let observations: Vec<Observation> = attempts
            .into_iter()
            .filter_map(|attempt| {
                self.with(attempt, |held| {
                    held.dirty = false;
                    held.observation()
                })
            })
            .collect();
        (!observations.is_empty()).then_some(Message::Changed { observations })
    }

    /// Serves one connection until it closes, or a newer agent takes its place.
    pub(super) async fn visit(self: Rc<Self>, stream: UnixStream) {
        let number = self.connections.get();
        self.connections.set(number + 1);
        if let Err(error) = self.talk(stream, number).await {
            tracing::debug!(%error, "a connection closed");
        }
        if self.agent.get() == Some(number) {
            self.agent.set(None);
            self.quieter.notify_one();
        }
    }

    async fn talk(self: &Rc<Self>, mut stream: UnixStream, number: u64) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        if peer.uid() != rustix::process::geteuid().as_raw() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user's process"));
        }
        let mut incoming = Incoming::default();
        let mut scratch = vec![0; 64 << 10];
        let mut greeted = false;
        loop {
            let mut out = Vec::new();
            let most = if greeted { FRAME_BYTES_MAX } else { GREETING_BYTES_MAX };
            while let Some(request) = incoming.next::<Request>(most).map_err(io::Error::other)? {
                match request {
                    Request::Hello { protocol } if protocol != PROTOCOL => {
                        let boot = self.clock.boot();
                        let answer = Message::Welcome { protocol: PROTOCOL, boot, features: None };
                        frame(&answer, &mut out);
                        stream.write_all(&out).await?;
                        return Ok(());
                    }
                    Request::Hello { .. } => {
                        greeted = true;
                        self.agent.set(Some(number));
                    }
                    _ if !greeted => return Err(io::Error::other("it did not greet first")),
                    _ => {}
                }
                frame(&self.serve(request), &mut out);
            }
            if greeted && self.agent.get() != Some(number) {
                // What rang here was meant for the newer one.
                self.news.notify_one();
                return Ok(());
            }
            if greeted && let Some(news) = self.unheard() {
                frame(&news, &mut out);
            }
            if !out.is_empty() {
                stream.write_all(&out).await?;
                continue;
            }
            tokio::select! {
                read = stream.read(&mut scratch) => match read? {
                    0 => return Ok(()),
                    n => incoming.push(&scratch[..n]),
                },
                () = self.news.notified(), if greeted => {}
            }
        }
    }
}

/// What of a launch's steps must be known when nobody knows the launch any more.
fn step_notes(launch: &Launch) -> Vec<StepNote> {
    let file = |path: &Option<String>| recipe::behind(&launch.mounts, path.as_deref()?);
    let steps = launch.steps.iter();
    steps
        .map(|step| StepNote {
            ignore_error: step.ignore_error,
            files: [file(&step.stdout), file(&step.stderr)],
        })
        .collect()
}

/// Removes a folder, and the job's around it with its last attempt.
fn clear(folder: &PathBuf) {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, folder = %folder.display(), "cannot remove a folder");
        }
        Ok(()) | Err(_) => {}
    }
    if let Some(job) = folder.parent() {
        // Most of them are not empty yet.
        let _ = std::fs::remove_dir(job);
    }
}
