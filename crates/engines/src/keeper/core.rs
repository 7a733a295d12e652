//! The keeper's one loop: events in, deadlines kept, records written, the agent told.
//!
//! Invariant: every turn of the loop writes the journal before it tells the agent, so nothing is
//! said that a keeper started a moment later would not know. One thread owns all state; the
//! threads that make processes only pass values to it. No step waits for a task, a disk flush of
//! launches apart, so one task never holds up another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;

use dayan_units::{AttemptId, Span};
use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::io::{Errno, read};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::Folder;
use super::connection::Connection;
use super::spawner::Spawner;
use super::task::{Due, Stage, Task};
use super::workshop::{Clear, Workshop};
use crate::card_energy::CardEnergy;
use crate::confine::Confinement;
use crate::energy::Energy;
use crate::journal::{Journal, Record};
use crate::waker::timespec;
use crate::{
    BootClock, BootId, BootTime, Counters, End, Features, Outcome, Signal, proc, wall_now,
};

/// First and longest pause before looking again whether a task's last processes are gone.
pub(super) const LOOK_AGAIN_FIRST: Span = Span::from_millis(1);
pub(super) const LOOK_AGAIN_MAX: Span = Span::from_millis(200);
/// Tombstones kept of forgotten attempts: about a minute of starts at full rate. A start that
/// arrives later than that for an attempt the exchange has closed has lost its lease.
pub(crate) const TOMBSTONES_MAX: usize = 65_536;
/// A journal shorter than this is not worth rewriting; 8 MiB are read in under 50 ms.
pub(super) const JOURNAL_REWRITE_BYTES: u64 = 8 << 20;
/// How long news are gathered while processes are being made, and how many at most.
pub(super) const TELL_WITHIN: Span = Span::from_millis(2);
pub(super) const TELL_AT_ONCE: usize = 64;
/// From writing an end to having it on stable storage, unless a launch takes it along before.
const SYNC_WITHIN: Span = Span::from_secs(1);
/// Pause after the journal could not be written.
const WRITE_AGAIN_AFTER: Span = Span::from_millis(200);
/// Bytes read from one task's stream before the next gets its turn: a pipe's usual size.
const STREAM_READ_BYTES: usize = 64 << 10;

/// What a keeper is made of.
pub(super) struct Parts {
    pub folder: Folder,
    pub workshop: Workshop,
    pub clock: BootClock,
    pub journal: Journal,
    pub confinement: Confinement,
    pub features: Features,
    pub bubblewrap: Option<PathBuf>,
    pub energy: Option<Energy>,
    pub card_energy: Option<CardEnergy>,
    pub listener: UnixListener,
    pub signals: OwnedFd,
    pub idle_stay: Span,
}

/// The keeper.
pub(super) struct Keeper {
    pub(super) folder: Folder,
    pub(super) clock: BootClock,
    pub(super) journal: Journal,
    pub(super) confinement: Confinement,
    pub(super) features: Features,
    pub(super) bubblewrap: Option<PathBuf>,
    pub(super) energy: Option<Energy>,
    pub(super) card_energy: Option<CardEnergy>,
    pub(super) listener: UnixListener,
    pub(super) signals: OwnedFd,
    pub(super) idle_stay: Span,

    pub(super) epoll: OwnedFd,
    pub(super) timer: OwnedFd,
    pub(super) timer_at: Option<BootTime>,
    pub(super) spawner: Spawner,
    pub(super) sweeper: std::sync::mpsc::Sender<Clear>,
    pub(super) connections: BTreeMap<u64, Connection>,
    pub(super) next_connection: u64,
    /// The agent: the connection that greeted last.
    pub(super) agent: Option<u64>,

    pub(super) tasks: Vec<Option<Task>>,
    pub(super) vacant: Vec<u32>,
    pub(super) index: BTreeMap<AttemptId, u32>,
    pub(super) deadlines: BTreeSet<(BootTime, u32)>,
    pub(super) queue: VecDeque<u32>,
    pub(super) with_spawner: usize,
    pub(super) live: usize,
    pub(super) dirty: Vec<u32>,
    pub(super) tombstones: BTreeSet<AttemptId>,
    pub(super) tombstone_order: VecDeque<AttemptId>,

    pub(super) look_at: BootTime,
    /// When at the latest what was written reaches stable storage.
    pub(super) sync_at: Option<BootTime>,
    /// When at the latest the agent is told what is gathered.
    pub(super) tell_at: Option<BootTime>,
    /// Length of the journal at which it is rewritten.
    pub(super) rewrite_at: u64,
    pub(super) idle_since: BootTime,
    pub(super) leaving: bool,
    pub(super) scratch: Vec<u8>,
}

/// What an epoll event is about: the low three bits say what, the rest which.
#[derive(Clone, Copy)]
pub(super) enum Token {
    Process(u32),
    Output(u32, usize),
    Connection(u64),
    Listener,
    Timer,
    Made,
    Signal,
}

impl Token {
    pub(super) fn pack(self) -> epoll::EventData {
        epoll::EventData::new_u64(match self {
            Self::Process(task) => u64::from(task) << 3,
            Self::Output(task, stream) => (u64::from(task) << 3) | if stream == 0 { 1 } else { 2 },
            Self::Connection(id) => (id << 3) | 3,
            Self::Listener => 4,
            Self::Timer => 5,
            Self::Made => 6,
            Self::Signal => 7,
        })
    }

    pub(super) fn unpack(data: epoll::EventData) -> Self {
        let data = data.u64();
        let task = u32::try_from((data >> 3) & u64::from(u32::MAX)).expect("masked to 32 bits");
        match data & 7 {
            0 => Self::Process(task),
            1 => Self::Output(task, 0),
            2 => Self::Output(task, 1),
            3 => Self::Connection(data >> 3),
            4 => Self::Listener,
            5 => Self::Timer,
            6 => Self::Made,
            _ => Self::Signal,
        }
    }
}

impl Keeper {
    pub(super) fn new(parts: Parts) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = timerfd_create(
            TimerfdClockId::Boottime,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let spawner = Spawner::start(parts.clock, &parts.workshop)?;
        let reads = epoll::EventFlags::IN;
        epoll::add(&epoll, &parts.listener, Token::Listener.pack(), reads)?;
        epoll::add(&epoll, &timer, Token::Timer.pack(), reads)?;
        epoll::add(&epoll, &spawner.bell, Token::Made.pack(), reads)?;
        epoll::add(&epoll, &parts.signals, Token::Signal.pack(), reads)?;
        let now = parts.clock.now();
        Ok(Self {
            folder: parts.folder,
            clock: parts.clock,
            journal: parts.journal,
            confinement: parts.confinement,
            features: parts.features,
            bubblewrap: parts.bubblewrap,
            energy: parts.energy,
            card_energy: parts.card_energy,
            listener: parts.listener,
            signals: parts.signals,
            idle_stay: parts.idle_stay,
            epoll,
            timer,
            timer_at: None,
            spawner,
            sweeper: parts.workshop.sweeper()?,
            connections: BTreeMap::new(),
            next_connection: 0,
            agent: None,
            tasks: Vec::new(),
            vacant: Vec::new(),
            index: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            queue: VecDeque::new(),
            with_spawner: 0,
            live: 0,
            dirty: Vec::new(),
            tombstones: BTreeSet::new(),
            tombstone_order: VecDeque::new(),
            look_at: now,
            tell_at: None,
            sync_at: None,
            rewrite_at: JOURNAL_REWRITE_BYTES,
            idle_since: now,
            leaving: false,
            scratch: vec![0; STREAM_READ_BYTES],
        })
    }

    /// Takes over what an earlier keeper recorded. Nothing of it runs any more: what had no end
    /// ends now.
    pub(super) fn adopt(&mut self, records: Vec<Record>) {
        let now = self.clock.now();
        let mut open: BTreeMap<AttemptId, (dayan_units::Time, Option<BootTime>, BootId)> =
            BTreeMap::new();
        for record in records {
            match record {
                Record::Launched { attempt, at, boot } => {
                    open.insert(attempt, (at, None, boot));
                }
                Record::Started { attempt, boot_at, .. } => {
                    if let Some((_, started, _)) = open.get_mut(&attempt) {
                        *started = Some(boot_at);
                    }
                }
                Record::Ended { attempt, end, usage } => {
                    if let Some((at, _, _)) = open.remove(&attempt) {
                        let task = Task::ended(attempt, end, usage, at);
                        self.insert(task);
                    }
                }
                Record::Forgotten { attempt } => {
                    open.remove(&attempt);
                    if let Some(index) = self.index.get(&attempt).copied() {
                        self.remove(index);
                    }
                    self.bury(attempt);
                }
            }
        }
        for (attempt, (at, started, boot)) in open {
            let mut usage = Counters::default();
            if let (Some(started), true) = (started, boot == self.clock.boot()) {
                usage.wall = now.since(started);
            }
            let end = End { at: wall_now(), outcome: Outcome::KeeperDied };
            self.journal.append(&Record::Ended { attempt, end: end.clone(), usage });
            let task = Task::ended(attempt, end, usage, at);
            self.insert(task);
        }
        if let Err(error) = self.journal.write() {
            tracing::error!(%error, "cannot write the keeper's journal");
        }
    }

    /// Until nothing is left to keep.
    pub(super) fn run(&mut self) -> io::Result<()> {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(256);
        loop {
            let now = self.clock.now();
            if self.may_leave(now) {
                // The last records reach stable storage before nobody is left to see to it.
                self.journal.write()?;
                self.journal.sync()?;
                // Where the folder was made again somebody else keeps it, in cgroups of the same names.
                if self.journal.stands() {
                    self.confinement.remove_all();
                }
                return Ok(());
            }
            self.set_timer()?;
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for event in &events {
                self.on_event(Token::unpack(event.data));
            }
            self.on_time();
            self.feed_spawner();
            self.speak();
        }
    }

    /// Writes the journal and tells the agent, unless there will be more to say in a moment: while
    /// processes are being made, news are gathered for a short time, which saves a write and a
    /// wake-up for each of them.
    pub(super) fn speak(&mut self) {
        let busy = self.with_spawner > 0 && self.dirty.len() < TELL_AT_ONCE;
        if busy && self.tell_at.is_none_or(|at| self.clock.now() < at) {
            self.flush_all();
            return;
        }
        self.tell_at = None;
        if let Err(error) = self.journal.write() {
            // Disk full: what was noted stays noted, and nobody is told of it before it is
            // written. It is tried again at the next turn.
            tracing::error!(%error, "cannot write the keeper's journal");
            self.tell_at = Some(self.clock.now().plus(WRITE_AGAIN_AFTER));
            return;
        }
        self.tell();
        let now = self.clock.now();
        if self.journal.is_synced() {
            self.sync_at = None;
        } else if *self.sync_at.get_or_insert(now.plus(SYNC_WITHIN)) <= now {
            self.sync_at = None;
            if let Err(error) = self.journal.sync() {
                tracing::error!(%error, "cannot sync the keeper's journal");
            }
        }
    }

    pub(super) fn on_event(&mut self, token: Token) {
        match token {
            Token::Process(task) => self.on_exit(task),
            Token::Output(task, stream) => self.on_output(task, stream),
            Token::Connection(id) => self.on_connection(id),
            Token::Listener => self.on_listener(),
            Token::Timer => {
                let mut count = [0u8; 8];
                let _ = read(&self.timer, &mut count);
                self.timer_at = None;
            }
            Token::Made => {
                for made in self.spawner.made() {
                    self.on_made(made);
                }
            }
            Token::Signal => {
                let mut info = [0u8; 128];
                while read(&self.signals, &mut info).is_ok_and(|n| n > 0) {}
                self.leave();
            }
        }
    }

    pub(super) fn set_timer(&mut self) -> io::Result<()> {
        let mut next = self.deadlines.first().map(|(at, _)| *at);
        let mut consider = |at: BootTime| next = Some(next.map_or(at, |next| next.min(at)));
        for at in [self.tell_at, self.sync_at].into_iter().flatten() {
            consider(at);
        }
        if self.live > 0 {
            consider(self.look_at);
        } else if self.agent.is_none() {
            consider(self.idle_since.plus(self.idle_stay));
        }
        // One that fires too early costs a turn of the loop, less than setting it each time.
        if let Some(at) = next
            && self.timer_at.is_none_or(|set| at < set)
        {
            let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
            // A zero would disarm it; the past fires at once.
            let first = timespec(Span::from_micros(at.micros().max(1)));
            let value = Itimerspec { it_interval: zero, it_value: first };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value)?;
            self.timer_at = next;
        }
        Ok(())
    }

    pub(super) fn on_time(&mut self) {
        let now = self.clock.now();
        while let Some((at, index)) = self.deadlines.first().copied()
            && at <= now
        {
            self.deadlines.pop_first();
            if let Some(task) = self.tasks[index as usize].as_mut() {
                task.scheduled = None;
                if let Some((at, due)) = task.due()
                    && at <= now
                {
                    self.on_due(index, due, now);
                }
            }
            self.reschedule(index);
        }
        if self.live > 0 && self.look_at <= now {
            self.look(now);
        }
    }

    pub(super) fn reschedule(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let at = task.due().map(|(at, _)| at);
        if at != task.scheduled {
            if let Some(old) = task.scheduled {
                self.deadlines.remove(&(old, index));
            }
            if let Some(at) = at {
                self.deadlines.insert((at, index));
            }
            task.scheduled = at;
        }
    }

    pub(super) fn on_due(&mut self, index: u32, due: Due, now: BootTime) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        match due {
            Due::Settle => self.settle(index),
            Due::LeaseNotice => {
                let end = task.lease_end;
                self.end(index, Outcome::LeaseEnded, Signal::TERM, end);
            }
            Due::Wall => {
                let kill_at = now.plus(task.wall_grace());
                self.end(index, Outcome::TimeLimit, Signal::TERM, kill_at);
            }
            Due::Kill => {
                // Killed once; from now on it is looked at until it is gone, in case it forks
                // faster than it dies.
                if let (Stage::Running(live), Some(ending)) = (&task.stage, &mut task.ending) {
                    super::ending::kill_all(live);
                    ending.kill_at = now.plus(LOOK_AGAIN_MAX);
                    task.lease_end = task.lease_end.max(ending.kill_at);
                }
            }
            Due::Look => self.clear(index),
        }
    }

    /// It has lived for a moment: record who it is, and tell.
    pub(super) fn settle(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        if let Stage::Running(live) = &mut task.stage {
            live.settled = true;
            // Until now its output waited in the pipes, which hold 64 KiB: most tasks end sooner.
            for (stream, pipe) in live.streams.iter().enumerate() {
                let data = Token::Output(index, stream).pack();
                let watched = pipe
                    .as_ref()
                    .map(|pipe| epoll::add(&self.epoll, pipe, data, epoll::EventFlags::IN));
                if let Some(Err(error)) = watched {
                    // Read at the end then; a task that writes more than the pipe holds waits.
                    tracing::error!(%error, "a task's output cannot be watched");
                }
            }
            if let Some(process) = proc::process(live.pid) {
                self.journal.append(&Record::Started {
                    attempt: task.attempt,
                    pid: live.pid,
                    birth: process.birth,
                    at: live.started_at,
                    boot_at: live.started,
                    slot: live.slot.as_ref().map(|slot| slot.name.clone()),
                });
            }
            self.mark(index);
        }
    }

    pub(super) fn insert(&mut self, task: Task) -> u32 {
        let attempt = task.attempt;
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            u32::try_from(self.tasks.len() - 1).expect("fewer tasks than fit in memory")
        });
        self.tasks[index as usize] = Some(task);
        self.index.insert(attempt, index);
        index
    }

    pub(super) fn remove(&mut self, index: u32) {
        if let Some(task) = self.tasks[index as usize].take() {
            self.index.remove(&task.attempt);
            if let Some(at) = task.scheduled {
                self.deadlines.remove(&(at, index));
            }
            if task.dirty {
                self.dirty.retain(|dirty| *dirty != index);
            }
            self.vacant.push(index);
        }
    }

    pub(super) fn bury(&mut self, attempt: AttemptId) {
        if self.tombstones.insert(attempt) {
            self.tombstone_order.push_back(attempt);
        }
        while self.tombstone_order.len() > TOMBSTONES_MAX {
            if let Some(oldest) = self.tombstone_order.pop_front() {
                self.tombstones.remove(&oldest);
            }
        }
    }
}
