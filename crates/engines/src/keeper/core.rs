//! The keeper's one loop: events in, deadlines kept, records written, the agent told.
//!
//! Invariant: every turn of the loop writes the journal before it tells the agent, so nothing is
//! said that a keeper started a moment later would not know. One thread owns all state; the
//! threads that make processes only pass values to it. No step waits for a task, a disk flush of
//! launches apart, so one task never holds up another.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
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
use super::connection::{Closed, Connection};
use super::spawner::{Job, Made, Running, Spawner};
use super::task::{Due, Live, Stage, Task};
use crate::confine::{Confinement, SlotLimits};
use crate::energy::Energy;
use crate::journal::{Journal, Record};
use crate::logs::LogWriter;
use crate::protocol::{Message, PROTOCOL, Request};
use crate::waker::timespec;
use crate::{
    BootClock, BootId, BootTime, Counters, End, Enforcement, Features, Isolation, Launch, LeaseEnd,
    Limits, Outcome, Signal, StartFailure, StartFault, Stream, command, proc, sys, wall_now,
};

/// How often running tasks are looked at where cgroups hold them: for the agent's usage records,
/// which it signs every few seconds.
const LOOK_EVERY: Span = Span::from_secs(2);
/// The same where looking is what holds memory and process limits.
const WATCH_EVERY: Span = Span::from_millis(250);
/// From telling a task to end to killing it when the keeper itself is told to end.
const LEAVE_GRACE: Span = Span::from_secs(5);
/// First and longest pause before looking again whether a task's last processes are gone.
const LOOK_AGAIN_FIRST: Span = Span::from_millis(1);
const LOOK_AGAIN_MAX: Span = Span::from_millis(200);
/// Tombstones kept of forgotten attempts: about a minute of starts at full rate. A start that
/// arrives later than that for an attempt the exchange has closed has lost its lease.
const TOMBSTONES_MAX: usize = 65_536;
/// A journal shorter than this is not worth rewriting; 8 MiB are read in under 50 ms.
const JOURNAL_REWRITE_BYTES: u64 = 8 << 20;
/// Connections at once. One agent has one; the rest are its predecessors and the curious.
const CONNECTIONS_MAX: usize = 8;
/// Bytes read from one task's stream before the next gets its turn: a pipe's usual size.
const STREAM_READ_BYTES: usize = 64 << 10;

/// What a keeper is made of.
pub(super) struct Parts {
    pub folder: Folder,
    pub clock: BootClock,
    pub journal: Journal,
    pub confinement: Confinement,
    pub features: Features,
    pub bubblewrap: Option<PathBuf>,
    pub energy: Option<Energy>,
    pub listener: UnixListener,
    pub signals: OwnedFd,
    pub idle_stay: Span,
}

/// The keeper.
pub(super) struct Keeper {
    folder: Folder,
    clock: BootClock,
    journal: Journal,
    confinement: Confinement,
    features: Features,
    bubblewrap: Option<PathBuf>,
    energy: Option<Energy>,
    listener: UnixListener,
    signals: OwnedFd,
    idle_stay: Span,

    epoll: OwnedFd,
    timer: OwnedFd,
    timer_at: Option<BootTime>,
    spawner: Spawner,
    sweeper: std::sync::mpsc::Sender<PathBuf>,
    connections: BTreeMap<u64, Connection>,
    next_connection: u64,
    /// The agent: the connection that greeted last.
    agent: Option<u64>,

    tasks: Vec<Option<Task>>,
    vacant: Vec<u32>,
    index: BTreeMap<AttemptId, u32>,
    deadlines: BTreeSet<(BootTime, u32)>,
    queue: VecDeque<u32>,
    with_spawner: usize,
    live: usize,
    dirty: Vec<u32>,
    tombstones: BTreeSet<AttemptId>,
    tombstone_order: VecDeque<AttemptId>,

    look_at: BootTime,
    /// Length of the journal at which it is rewritten.
    rewrite_at: u64,
    idle_since: BootTime,
    leaving: bool,
    scratch: Vec<u8>,
}

/// What an epoll event is about: the low three bits say what, the rest which.
#[derive(Clone, Copy)]
enum Token {
    Process(u32),
    Output(u32, usize),
    Connection(u64),
    Listener,
    Timer,
    Made,
    Signal,
}

impl Token {
    fn pack(self) -> epoll::EventData {
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

    fn unpack(data: epoll::EventData) -> Self {
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
        let spawner = Spawner::start()?;
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
            listener: parts.listener,
            signals: parts.signals,
            idle_stay: parts.idle_stay,
            epoll,
            timer,
            timer_at: None,
            spawner,
            sweeper: sweeper()?,
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
                        let task = Task::ended(
                            attempt,
                            end,
                            usage,
                            self.logs_of(attempt, &Limits::default()),
                            at,
                        );
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
            let task =
                Task::ended(attempt, end, usage, self.logs_of(attempt, &Limits::default()), at);
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
                self.confinement.remove_all();
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
            if let Err(error) = self.journal.write() {
                // Disk full: what was noted stays noted, and nobody is told of it before it is
                // written.
                tracing::error!(%error, "cannot write the keeper's journal");
                continue;
            }
            self.tell();
        }
    }

    fn on_event(&mut self, token: Token) {
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

    // ---- deadlines ----

    fn set_timer(&mut self) -> io::Result<()> {
        let mut next = self.deadlines.first().map(|(at, _)| *at);
        let mut consider = |at: BootTime| next = Some(next.map_or(at, |next| next.min(at)));
        if self.live > 0 {
            consider(self.look_at);
        } else if self.agent.is_none() {
            consider(self.idle_since.plus(self.idle_stay));
        }
        if next != self.timer_at {
            // A zero would disarm it; the past fires at once.
            let at = next.map_or(Timespec { tv_sec: 0, tv_nsec: 0 }, |at| {
                timespec(Span::from_micros(at.micros().max(1)))
            });
            let value =
                Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
            timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value)?;
            self.timer_at = next;
        }
        Ok(())
    }

    fn on_time(&mut self) {
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

    fn reschedule(&mut self, index: u32) {
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

    fn on_due(&mut self, index: u32, due: Due, now: BootTime) {
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
                    kill_all(live);
                    ending.kill_at = now.plus(LOOK_AGAIN_MAX);
                    task.lease_end = task.lease_end.max(ending.kill_at);
                }
            }
            Due::Look => self.clear(index),
        }
    }

    /// It has lived for a moment: record who it is, and tell.
    fn settle(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        if let Stage::Running(live) = &mut task.stage {
            live.settled = true;
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

    // ---- starting ----

    fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
        let now = self.clock.now();
        let at = wall_now();
        let mut seen = BTreeSet::new();
        let mut results: Vec<Result<(), StartFault>> = launches
            .iter()
            .map(|launch| {
                self.admit(launch, now)?;
                let again = !seen.insert(launch.attempt);
                if again { Err(StartFault::AlreadyLaunched(launch.attempt)) } else { Ok(()) }
            })
            .collect();
        let boot = self.clock.boot();
        let records: Vec<Record> = launches
            .iter()
            .zip(&results)
            .filter(|(_, result)| result.is_ok())
            .map(|(launch, _)| Record::Launched { attempt: launch.attempt, at, boot })
            .collect();
        if let Err(error) = self.journal.commit(records.iter()) {
            let fault = StartFault::Unreachable(format!("the keeper's journal: {error}"));
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(fault.clone());
            }
            return results;
        }
        for (launch, _) in launches.into_iter().zip(&results).filter(|(_, result)| result.is_ok()) {
            let logs = self.logs_of(launch.attempt, &launch.limits);
            let index = self.insert(Task::new(Box::new(launch), logs, now, at));
            self.live += 1;
            self.queue.push_back(index);
            self.reschedule(index);
        }
        results
    }

    fn admit(&self, launch: &Launch, now: BootTime) -> Result<(), StartFault> {
        let attempt = launch.attempt;
        if self.index.contains_key(&attempt) || self.tombstones.contains(&attempt) {
            return Err(StartFault::AlreadyLaunched(attempt));
        }
        let LeaseEnd { boot, at } = launch.lease_end;
        if boot != self.clock.boot() || at <= now {
            return Err(StartFault::LeaseOver(attempt));
        }
        if self.leaving {
            return Err(StartFault::Unreachable("the keeper is being stopped".to_owned()));
        }
        if launch.isolation != Isolation::None && self.bubblewrap.is_none() {
            let reason = "bubblewrap is not installed or may not make namespaces here";
            return Err(StartFault::Unsupported(reason.to_owned()));
        }
        command::arguments(&launch.program).map_err(StartFault::Invalid)?;
        if launch.limits.memory.0 == 0 || launch.limits.cpu.0 == 0 || launch.limits.pids == 0 {
            return Err(StartFault::Invalid("a limit of nothing".to_owned()));
        }
        Ok(())
    }

    fn logs_of(&self, attempt: AttemptId, limits: &Limits) -> [LogWriter; 2] {
        let folder = self.folder.logs(attempt);
        [Stream::Stdout, Stream::Stderr]
            .map(|stream| LogWriter::new(folder.clone(), stream, limits.log))
    }

    fn feed_spawner(&mut self) {
        while self.with_spawner < self.spawner.depth() {
            let Some(index) = self.queue.pop_front() else { return };
            let Some(task) = self.tasks[index as usize].as_mut() else { continue };
            if !matches!(task.stage, Stage::Queued(_)) {
                continue;
            }
            let limits = SlotLimits::from(&task.limits);
            let slot = match self.confinement.take(limits) {
                Ok(slot) => slot,
                Err(error) => {
                    let failure = StartFailure::Limits(error.to_string());
                    self.finish(index, Outcome::StartFailed(failure));
                    continue;
                }
            };
            let unheld = self.features.memory_limit != Enforcement::Enforced;
            let data_limit = unheld.then_some(task.limits.memory.0);
            let join = slot.as_ref().map(|slot| slot.join.clone());
            let stage = std::mem::replace(&mut task.stage, Stage::Starting { slot });
            let Stage::Queued(launch) = stage else { unreachable!("checked above") };
            let attempt = task.attempt;
            self.with_spawner += 1;
            self.spawner.submit(Job {
                task: index,
                launch,
                work: self.folder.work(attempt),
                fence: self.folder.fence(attempt),
                join,
                data_limit,
                bubblewrap: self.bubblewrap.clone(),
            });
        }
    }

    fn on_made(&mut self, made: Made) {
        self.with_spawner -= 1;
        let index = made.task;
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Stage::Starting { slot } = &mut task.stage else { return };
        let slot = slot.take();
        let Running { pid, pidfd, stdout, stderr } = match made.outcome {
            Ok(running) => running,
            Err(failure) => {
                if let Some(slot) = slot {
                    self.confinement.give_back(slot);
                }
                let outcome = match &task.ending {
                    Some(ending) => ending.outcome.clone(),
                    None => Outcome::StartFailed(failure),
                };
                self.finish(index, outcome);
                return;
            }
        };
        let reads = epoll::EventFlags::IN;
        let watched = epoll::add(&self.epoll, &pidfd, Token::Process(index).pack(), reads)
            .and_then(|()| epoll::add(&self.epoll, &stdout, Token::Output(index, 0).pack(), reads))
            .and_then(|()| epoll::add(&self.epoll, &stderr, Token::Output(index, 1).pack(), reads));
        task.stage = Stage::Running(Live {
            pid,
            pidfd,
            started_at: wall_now(),
            started: self.clock.now(),
            slot,
            streams: [Some(stdout), Some(stderr)],
            settled: false,
            within_limits: true,
        });
        if let Err(error) = watched {
            // Out of descriptors or memory: what cannot be watched must not run.
            tracing::error!(%error, "a task cannot be watched");
            let failure = StartFailure::NoRoom(error.to_string());
            self.end(index, Outcome::StartFailed(failure), Signal::KILL, BootTime::from_micros(0));
        } else if task.ending.is_some() {
            // Stopped while its process was being made.
            self.kill(index);
        }
        self.reschedule(index);
    }

    // ---- ending ----

    /// Begins to end a task: a signal now, a kill at a time.
    fn end(&mut self, index: u32, outcome: Outcome, signal: Signal, kill_at: BootTime) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        match &task.stage {
            Stage::Queued(_) => {
                self.finish(index, outcome);
                return;
            }
            Stage::Starting { .. } => task.end_by(outcome, kill_at),
            Stage::Running(live) => {
                sys::signal_group(live.pid, signal.0);
                if signal != Signal::KILL {
                    // A stopped process would take the signal only once it goes on.
                    sys::signal_group(live.pid, libc::SIGCONT);
                }
                task.end_by(outcome, kill_at);
            }
            Stage::Clearing { .. } | Stage::Ended(_) => {}
        }
        self.reschedule(index);
    }

    fn kill(&mut self, index: u32) {
        if let Some(Task { stage: Stage::Running(live), .. }) = &self.tasks[index as usize] {
            kill_all(live);
        }
    }

    fn on_exit(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Stage::Running(live) = &task.stage else { return };
        // Its group is killed while its pid is still its own, a zombie's.
        if live.slot.is_none() {
            sys::signal_group(live.pid, libc::SIGKILL);
        }
        let (status, used) = match sys::reap(live.pid) {
            Ok(Some(ended)) => ended,
            Ok(None) => return,
            // Somebody else reaped our child: its status is lost, but not that it ended.
            Err(_) => (sys::Status::Signalled(libc::SIGKILL), sys::Used::default()),
        };
        let _ = epoll::delete(&self.epoll, &live.pidfd);
        let stage = std::mem::replace(&mut task.stage, Stage::Starting { slot: None });
        let Stage::Running(live) = stage else { unreachable!("checked above") };
        let look_at = self.clock.now();
        task.stage = Stage::Clearing { live, status, used, look_at, looks: 0 };
        self.clear(index);
        self.reschedule(index);
    }

    /// Kills what is left of a task whose first process has ended; ends it once nothing is.
    fn clear(&mut self, index: u32) {
        let orphans = sys::reap_orphans();
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Stage::Clearing { live, look_at, looks, .. } = &mut task.stage else { return };
        let gone = match &live.slot {
            Some(slot) => {
                let empty = slot.members().is_empty();
                if !empty {
                    slot.kill();
                }
                empty
            }
            // Every orphan has become our child; without children there is nothing to look for.
            None => !orphans || kill_session(live.pid, &self.folder.fence(task.attempt)) == 0,
        };
        if !gone {
            let pause = Span::from_micros(LOOK_AGAIN_FIRST.micros() << (*looks).min(16));
            *looks += 1;
            *look_at = self.clock.now().plus(pause.min(LOOK_AGAIN_MAX));
            return;
        }
        self.drain(index);
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Stage::Clearing { live, status, used, .. } = &mut task.stage else { return };
        let (status, used, started) = (*status, *used, live.started);
        let slot = live.slot.take();
        let reading = slot.as_ref().map(crate::confine::Slot::reading).unwrap_or_default();
        task.count_slot(&reading);
        task.count_reaped(&used);
        task.count_wall(started, self.clock.now());
        let outcome = task.outcome(status, reading.oom_kills);
        if let Some(slot) = slot {
            self.confinement.give_back(slot);
        }
        self.finish(index, outcome);
    }

    /// Records the end of a task of which nothing runs.
    fn finish(&mut self, index: u32, outcome: Outcome) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let end = End { at: wall_now(), outcome };
        let attempt = task.attempt;
        self.journal.append(&Record::Ended { attempt, end: end.clone(), usage: task.usage });
        task.stage = Stage::Ended(end);
        self.live -= 1;
        if self.live == 0 {
            self.idle_since = self.clock.now();
        }
        self.mark(index);
        self.reschedule(index);
    }

    fn leave(&mut self) {
        self.leaving = true;
        let kill_at = self.clock.now().plus(LEAVE_GRACE);
        for index in self.index.values().copied().collect::<Vec<_>>() {
            self.end(index, Outcome::Stopped, Signal::TERM, kill_at);
        }
    }

    fn may_leave(&self, now: BootTime) -> bool {
        let idle = self.agent.is_none() && self.idle_since.plus(self.idle_stay) <= now;
        self.live == 0 && (self.leaving || idle)
    }

    // ---- output ----

    fn on_output(&mut self, index: u32, stream: usize) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let (Stage::Running(live) | Stage::Clearing { live, .. }) = &mut task.stage else { return };
        let Some(pipe) = &live.streams[stream] else { return };
        match read(pipe, &mut self.scratch) {
            Ok(0) => close(&self.epoll, &mut live.streams[stream]),
            Ok(n) => task.logs[stream].write(&self.scratch[..n]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => close(&self.epoll, &mut live.streams[stream]),
        }
    }

    /// Takes what the task wrote last. Nobody writes any more, so this ends.
    fn drain(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Stage::Clearing { live, .. } = &mut task.stage else { return };
        for (pipe, log) in live.streams.iter_mut().zip(&mut task.logs) {
            while let Some(open) = pipe {
                match read(open, &mut self.scratch) {
                    Ok(n @ 1..) => log.write(&self.scratch[..n]),
                    Err(Errno::INTR) => {}
                    Ok(_) | Err(_) => close(&self.epoll, pipe),
                }
            }
        }
    }

    // ---- looking at running tasks ----

    fn look(&mut self, now: BootTime) {
        let watching = !self.confinement.has_slots();
        self.look_at = now.plus(if watching { WATCH_EVERY } else { LOOK_EVERY });
        let energy = self.energy.as_mut().and_then(Energy::interval);
        let processes = if watching { proc::processes() } else { Vec::new() };
        for index in self.index.values().copied().collect::<Vec<_>>() {
            let Some(task) = self.tasks[index as usize].as_mut() else { continue };
            let Stage::Running(live) = &mut task.stage else { continue };
            let (started, pid) = (live.started, live.pid);
            let before = task.usage.cpu();
            let over;
            if let Some(slot) = &live.slot {
                let reading = slot.reading();
                // Cgroup v1 kills one process only; the rest of the task is as dead as v2 has it.
                over = reading.oom_kills > 0;
                task.count_slot(&reading);
            } else {
                let mine = processes.iter().filter(|process| process.session == pid);
                let (mut user, mut system) = (Span::ZERO, Span::ZERO);
                let (mut resident, mut count) = (0u64, 0u32);
                for process in mine {
                    user = user.plus(process.user);
                    system = system.plus(process.system);
                    resident = resident.saturating_add(process.resident.0);
                    count += 1;
                }
                over = resident > task.limits.memory.0;
                live.within_limits = count <= task.limits.pids;
                task.count_processes(user, system, dayan_units::Bytes(resident));
            }
            let too_many = matches!(&task.stage, Stage::Running(live) if !live.within_limits);
            task.count_wall(started, now);
            if let Some(interval) = energy {
                let cpu = task.usage.cpu().minus(before).micros();
                let share = interval.share(u64::try_from(cpu).unwrap_or(0));
                let total = task.usage.energy_microjoule.unwrap_or(0).saturating_add(share);
                task.usage.energy_microjoule = Some(total);
            }
            if over || too_many {
                let outcome =
                    if over { Outcome::OutOfMemory } else { Outcome::Signalled(libc::SIGKILL) };
                self.end(index, outcome, Signal::KILL, now);
            }
            self.mark(index);
        }
        self.confinement.tidy();
        if let Err(error) = self.journal.sync() {
            tracing::error!(%error, "cannot sync the keeper's journal");
        }
    }

    // ---- the agent ----

    fn mark(&mut self, index: u32) {
        if let Some(task) = self.tasks[index as usize].as_mut()
            && !task.dirty
        {
            task.dirty = true;
            self.dirty.push(index);
        }
    }

    /// Sends what is to be said: answers first, then news for as long as the agent takes it.
    fn tell(&mut self) {
        let ids: Vec<u64> = self.connections.keys().copied().collect();
        for id in ids {
            self.flush(id);
        }
        while !self.dirty.is_empty()
            && let Some(id) = self.agent
            && let Some(agent) = self.connections.get_mut(&id)
            && agent.is_idle()
        {
            // Cut so that a frame stays far below its limit whatever an error message holds.
            let count = self.dirty.len().min(4_096);
            let mut observations = Vec::with_capacity(count);
            for index in self.dirty.drain(..count) {
                if let Some(task) = self.tasks[index as usize].as_mut() {
                    task.dirty = false;
                    observations.push(task.observation());
                }
            }
            agent.send(&Message::Changed { observations });
            self.flush(id);
        }
    }

    fn flush(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.flush() {
            Ok(()) => {
                let wait = !connection.is_idle();
                if wait != connection.waits_to_write {
                    let mut flags = epoll::EventFlags::IN;
                    if wait {
                        flags |= epoll::EventFlags::OUT;
                    }
                    let data = Token::Connection(id).pack();
                    let _ = epoll::modify(&self.epoll, &*connection, data, flags);
                    connection.waits_to_write = wait;
                }
            }
            Err(reason) => self.close(id, &reason),
        }
    }

    fn on_listener(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            let connection = match Connection::accept(stream) {
                Ok(connection) if self.connections.len() < CONNECTIONS_MAX => connection,
                Ok(_) => {
                    tracing::warn!("too many connections");
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was refused");
                    continue;
                }
            };
            let id = self.next_connection;
            self.next_connection += 1;
            let data = Token::Connection(id).pack();
            if epoll::add(&self.epoll, &connection, data, epoll::EventFlags::IN).is_ok() {
                self.connections.insert(id, connection);
            }
        }
    }

    fn on_connection(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if let Err(reason) = connection.read(&mut self.scratch) {
            self.close(id, &reason);
            return;
        }
        while let Some(connection) = self.connections.get_mut(&id) {
            match connection.next() {
                Ok(Some(request)) => self.serve(id, request),
                Ok(None) => return,
                Err(reason) => {
                    if let Closed::Version(_) = reason {
                        let boot = self.clock.boot();
                        connection.send(&Message::Welcome {
                            protocol: PROTOCOL,
                            boot,
                            features: None,
                        });
                        let _ = connection.flush();
                    }
                    self.close(id, &reason);
                    return;
                }
            }
        }
    }

    fn close(&mut self, id: u64, reason: &Closed) {
        tracing::debug!(%reason, "a connection closed");
        self.connections.remove(&id);
        if self.agent == Some(id) {
            self.agent = None;
            self.idle_since = self.clock.now();
        }
    }

    fn serve(&mut self, id: u64, request: Request) {
        let answer = match request {
            Request::Hello { .. } => {
                // The newest agent is the agent; an older connection is of one that was
                // replaced.
                if let Some(old) = self.agent.replace(id).filter(|old| *old != id) {
                    self.connections.remove(&old);
                }
                for index in self.index.values().copied().collect::<Vec<_>>() {
                    self.mark(index);
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
                self.stop(attempt, grace, signal);
                Message::Done { serial }
            }
            Request::Forget { serial, attempts } => {
                self.forget(&attempts);
                Message::Done { serial }
            }
            Request::List { serial } => {
                self.look(self.clock.now());
                let tasks = self.index.values().filter_map(|i| self.tasks[*i as usize].as_ref());
                Message::Listed { serial, observations: tasks.map(Task::observation).collect() }
            }
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.send(&answer);
        }
    }

    fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) {
        let now = self.clock.now();
        for (attempt, end) in leases {
            if let Some(index) = self.index.get(attempt).copied()
                && let Some(task) = self.tasks[index as usize].as_mut()
                && end.boot == self.clock.boot()
            {
                task.extend(end.at, now);
                self.reschedule(index);
            }
        }
    }

    fn stop(&mut self, attempt: AttemptId, grace: Span, signal: Signal) {
        if let Some(index) = self.index.get(&attempt).copied() {
            let kill_at = self.clock.now().plus(grace.max(Span::ZERO));
            self.end(index, Outcome::Stopped, signal, kill_at);
        }
    }

    fn forget(&mut self, attempts: &[AttemptId]) {
        for attempt in attempts {
            let Some(index) = self.index.get(attempt).copied() else { continue };
            if self.tasks[index as usize].as_ref().is_some_and(|task| !task.is_live()) {
                self.journal.append(&Record::Forgotten { attempt: *attempt });
                self.remove(index);
                self.bury(*attempt);
                for folder in [self.folder.work(*attempt), self.folder.logs(*attempt)] {
                    // The sweeper lives as long as we do.
                    let _ = self.sweeper.send(folder);
                }
            }
        }
        if self.journal.length() > self.rewrite_at {
            self.rewrite();
        }
    }

    /// Leaves the journal only what is still known. Waits then until it has doubled, so that each
    /// record is rewritten once on average.
    fn rewrite(&mut self) {
        let boot = self.clock.boot();
        let mut records: Vec<Record> = self
            .tombstone_order
            .iter()
            .map(|attempt| Record::Forgotten { attempt: *attempt })
            .collect();
        for task in self.tasks.iter().flatten() {
            let attempt = task.attempt;
            records.push(Record::Launched { attempt, at: task.launched_at, boot });
            match &task.stage {
                Stage::Running(live) | Stage::Clearing { live, .. } if live.settled => {
                    if let Some(process) = proc::process(live.pid) {
                        records.push(Record::Started {
                            attempt,
                            pid: live.pid,
                            birth: process.birth,
                            at: live.started_at,
                            boot_at: live.started,
                            slot: live.slot.as_ref().map(|slot| slot.name.clone()),
                        });
                    }
                }
                Stage::Ended(end) => {
                    records.push(Record::Ended { attempt, end: end.clone(), usage: task.usage });
                }
                Stage::Queued(_)
                | Stage::Starting { .. }
                | Stage::Running(_)
                | Stage::Clearing { .. } => {}
            }
        }
        if let Err(error) = self.journal.rewrite(&records) {
            tracing::error!(%error, "cannot rewrite the keeper's journal");
        }
        self.rewrite_at = JOURNAL_REWRITE_BYTES.max(self.journal.length().saturating_mul(2));
    }

    // ---- the table of tasks ----

    fn insert(&mut self, task: Task) -> u32 {
        let attempt = task.attempt;
        let index = match self.vacant.pop() {
            Some(index) => {
                self.tasks[index as usize] = Some(task);
                index
            }
            None => {
                self.tasks.push(Some(task));
                u32::try_from(self.tasks.len() - 1).expect("fewer tasks than fit in memory")
            }
        };
        self.index.insert(attempt, index);
        index
    }

    fn remove(&mut self, index: u32) {
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

    fn bury(&mut self, attempt: AttemptId) {
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

/// Closes a task's pipe. It leaves epoll first: a process that is just being made holds copies of
/// all our descriptors until it executes, and while it does epoll would go on reporting this one.
fn close(epoll: &OwnedFd, pipe: &mut Option<OwnedFd>) {
    if let Some(pipe) = pipe.take() {
        let _ = epoll::delete(epoll, &pipe);
    }
}

/// Kills all of a running task that can be named; its end is seen by its pidfd.
fn kill_all(live: &Live) {
    match &live.slot {
        Some(slot) => slot.kill(),
        None => {
            sys::signal_group(live.pid, libc::SIGKILL);
        }
    }
    sys::kill_by_pidfd(live.pidfd.as_fd());
}

/// Kills what is left of a task without a cgroup: its session, and whoever carries its fence.
/// Returns how many there were.
fn kill_session(session: i32, fence: &str) -> usize {
    let left: Vec<proc::Process> = proc::processes()
        .into_iter()
        .filter(|process| {
            process.session == session || proc::fence_of(process.pid).as_deref() == Some(fence)
        })
        .collect();
    left.iter().for_each(|process| proc::kill(*process));
    left.len()
}

/// Removes folders, on a thread of its own: a task may leave a million files.
fn sweeper() -> io::Result<std::sync::mpsc::Sender<PathBuf>> {
    let (sender, receiver) = std::sync::mpsc::channel::<PathBuf>();
    std::thread::Builder::new().name("sweeper".to_owned()).spawn(move || {
        for folder in receiver {
            // Most are empty, and then one call does it.
            if std::fs::remove_dir(&folder).is_err()
                && let Err(error) = std::fs::remove_dir_all(&folder)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, folder = %folder.display(), "cannot remove a folder");
            }
            // Goes with the job's last task.
            if let Some(job) = folder.parent() {
                let _ = std::fs::remove_dir(job);
            }
        }
    })?;
    Ok(sender)
}
