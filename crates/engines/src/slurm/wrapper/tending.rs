//! The wrapper's loop: the task's process, its deadlines, orders and Slurm's signals.
//!
//! Invariant: nothing here waits for the shared file system while anything of the task runs.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use dayan_units::{Bytes, Span};
use rustix::event::{PollFd, PollFlags, poll};

use super::files::Desk;
use super::memory::oom_kills;
use super::pump::Pump;
use super::{Stand, WrapperError, failed};
use crate::keeper::ending::{kill_session, session, tell};
use crate::keeper::task::{Due, Live, Stage, Task};
use crate::slurm::batch::Asked;
use crate::sys::{self, Status, Used};
use crate::waker::timespec;
use crate::{BootClock, BootTime, End, Enforcement, Outcome, Signal, proc, wall_now};

/// How often the task's processes are looked at where looking is what holds its limits, and where
/// it only counts.
const WATCH_EVERY: Span = Span::from_millis(250);
const COUNT_EVERY: Span = Span::from_secs(2);
/// From Slurm's word to end to the kill. Slurm itself kills after its `KillWait`, 30 s unless the
/// site says otherwise, and with it the wrapper, which is to write down the end before.
const SLURM_GRACE: Span = Span::from_secs(5);
/// How far apart the processes of a job may hear of its end: Slurm signals them one by one.
const HEARD_WITHIN: Span = Span::from_millis(300);
/// The same of a task that looks as if it had ended by itself, at the most: of a shell whose child was told first, and
/// that goes on from there to its own end. A tenth of what it ran is waited for, and nothing where that was less than
/// a second, so that short tasks are as fast as they were.
const HEARD_PART: i64 = 10;
const HEARD_AFTER: Span = Span::from_secs(1);
/// The same where the job has steps, which end by another process of Slurm's each.
const STEPS_HEARD_WITHIN: Span = Span::from_secs(2);
/// Later than this than it meant to, the wrapper has been stood still with its task (`scontrol suspend`, a machine
/// that was stopped). A busy machine is late by less.
const STILL_MIN: Span = Span::from_secs(5);
/// Between two kills of what does not end.
const KILL_AGAIN: Span = Span::from_millis(50);
/// First and longest pause before looking again whether the last processes are gone.
const LOOK_AGAIN_FIRST: Span = Span::from_millis(1);
const LOOK_AGAIN_MAX: Span = Span::from_millis(200);

/// How a task ended, and whether it was the last: Slurm has told the job to end, or something of the
/// task is left that only the job's end ends.
pub(super) struct Over {
    pub(super) outcome: Outcome,
    pub(super) last: bool,
}

/// A task that runs.
pub(super) struct Tended<'a> {
    pub(super) task: Task,
    pub(super) clock: BootClock,
    pub(super) signals: &'a OwnedFd,
    pub(super) fence: String,
    pub(super) usage_every: Span,
    pub(super) memory: Enforcement,
    /// It ends because Slurm said so.
    pub(super) by_slurm: bool,
    /// Slurm has said that the job is to end, whatever the task ends of.
    pub(super) told: bool,
    /// The newest signal that its processes were sent.
    pub(super) asked: Option<Asked>,
    /// A file that is there once its script has started steps of the job's by our `srun`; none: it finds Slurm's own,
    /// and nobody can tell.
    pub(super) steps: Option<PathBuf>,
    /// Slurm's own `srun` was seen among its processes: whoever calls it by its path finds no other.
    pub(super) saw_srun: bool,
}

impl Tended<'_> {
    /// To its end, which is written down.
    pub(super) fn run(mut self, desk: &mut Desk, pump: Pump) -> Result<Over, WrapperError> {
        let pid = self.live().pid;
        let before = if self.memory == Enforcement::Enforced { oom_kills() } else { 0 };
        self.tend(desk, pid, before);
        // Its group is killed while its pid is still its own, a zombie's.
        sys::signal_group(pid, libc::SIGKILL);
        let (status, used) = match sys::reap(pid) {
            Ok(Some(ended)) => ended,
            // Its status is lost, but not that it ended.
            Ok(None) | Err(_) => (Status::Signalled(libc::SIGKILL), Used::default()),
        };
        let at = wall_now();
        self.task.count_wall(self.live().started, self.clock.now());
        let steps = self.has_steps();
        self.hear_slurm(status);
        self.clear(pid);
        let left = sys::reap_orphans();
        self.task.count_reaped(&used, &crate::confine::Reading::default());
        pump.finish();
        let kills = match self.memory {
            Enforcement::Enforced => oom_kills().saturating_sub(before),
            Enforcement::Watched | Enforcement::Absent => 0,
        };
        let outcome = self.task.outcome(status, kills);
        let end = End { at, outcome: outcome.clone() };
        let stand = Stand::Ended { end, by_slurm: self.by_slurm, steps };
        desk.say_last(&stand, self.task.usage).map_err(failed("writing the end"))?;
        Ok(Over { outcome, last: self.told || self.saw_srun || left })
    }

    /// Until the first process has ended. `kills` for want of memory there were before it began.
    fn tend(&mut self, desk: &mut Desk, pid: i32, kills: u64) {
        let every = match self.memory {
            Enforcement::Enforced => COUNT_EVERY,
            Enforcement::Watched | Enforcement::Absent => WATCH_EVERY,
        };
        let started = self.live().started;
        let mut look_at = started.plus(every);
        let mut tell_at = started.plus(self.usage_every);
        let mut meant = self.clock.now();
        loop {
            self.stood_still(desk, pid, self.clock.now().since(meant));
            let now = self.clock.now();
            if let Some(order) = desk.changed() {
                let end = desk.here(order);
                self.task.extend(end, now);
                if order.ask != self.asked {
                    self.asked = order.ask;
                    if let Some(ask) = order.ask {
                        proc::ask(session(pid, &self.fence), ask.signal);
                    }
                }
                if let Some((signal, grace)) = order.stop {
                    self.end(pid, Outcome::Stopped, signal, now.plus(grace));
                }
            }
            let mut next = look_at;
            if let Some((at, due)) = self.task.due() {
                if at <= now {
                    self.on_due(desk, pid, due);
                    next = now.plus(if due == Due::Kill { KILL_AGAIN } else { Span::ZERO });
                } else {
                    next = next.min(at);
                }
            }
            if look_at <= now {
                look_at = now.plus(every);
                self.look(pid, now, kills);
                if tell_at <= now {
                    tell_at = now.plus(self.usage_every);
                    desk.say(self.running(), self.task.usage);
                }
            }
            // What is overdue already is meant for now.
            meant = next.max(self.clock.now());
            if self.wait(desk, next.since(self.clock.now())) {
                return;
            }
        }
    }

    fn live(&self) -> &Live {
        match &self.task.stage {
            Stage::Running(live) => live,
            Stage::Queued(_)
            | Stage::Starting { .. }
            | Stage::Clearing { .. }
            | Stage::Ended(_) => unreachable!("it is handed over running"),
        }
    }

    /// So much later than it meant to this process goes on: it and its task stood still, it seems. While the
    /// site holds a job its time does not count, neither on the bill nor for its limit, which Slurm sees alike.
    /// What its processes ran meanwhile (then it was this one alone that was stopped) does count.
    fn stood_still(&mut self, desk: &Desk, session: i32, late: Span) {
        if late < STILL_MIN {
            return;
        }
        let before = self.task.usage.cpu();
        let InUse { user, system, .. } = used(session);
        let cores =
            std::thread::available_parallelism().map_or(1, |n| i64::try_from(n.get()).unwrap_or(1));
        let ran =
            Span::from_micros(user.plus(system).minus(before).max(Span::ZERO).micros() / cores);
        let still = late.minus(ran).max(Span::ZERO);
        if let Stage::Running(live) = &mut self.task.stage {
            live.started = live.started.plus(still);
        }
        // The lease may be over, or go on by an order that nobody here could hear: until that is known,
        // nothing runs.
        let now = self.clock.now();
        let over = |(at, due)| due == Due::LeaseNotice && at <= now;
        if self.task.due().is_some_and(over) {
            signal_all(session, Signal(libc::SIGSTOP));
            desk.refresh();
            signal_all(session, Signal(libc::SIGCONT));
        }
    }

    /// Waits for something; true if the process has ended.
    fn wait(&mut self, desk: &Desk, span: Span) -> bool {
        let Stage::Running(live) = &self.task.stage else { return true };
        let (mut ended, mut signalled) = (false, false);
        {
            let mut fds = vec![
                PollFd::new(&live.pidfd, PollFlags::IN),
                PollFd::new(self.signals, PollFlags::IN),
            ];
            fds.extend(desk.bell.as_ref().map(|bell| PollFd::new(bell, PollFlags::IN)));
            if poll(&mut fds, Some(&timespec(span))).is_ok() {
                ended = !fds[0].revents().is_empty();
                signalled = !fds[1].revents().is_empty();
            }
        }
        if let Some(bell) = &desk.bell {
            bell.quiet();
        }
        if signalled && !ended {
            self.on_signal();
        }
        ended
    }

    /// May Slurm have ended it by ending steps of its script, where nobody else has?
    fn has_steps(&self) -> bool {
        let marked = |mark: &PathBuf| mark.try_exists().unwrap_or(true);
        let may = self.saw_srun || self.steps.as_ref().is_none_or(marked);
        may && self.task.ending.is_none()
    }

    /// Slurm tells all processes of a job to end, so the task may have died of it before this
    /// process has heard. Where it looks like that, a moment is waited for.
    fn hear_slurm(&mut self, status: Status) {
        let signals = [libc::SIGTERM, libc::SIGKILL];
        let killed = match status {
            Status::Signalled(signal) => signals.contains(&signal),
            // A shell whose child died of it.
            Status::Exited(code) => signals.contains(&(code - 128)),
        };
        if self.task.ending.is_some() {
            return;
        }
        let span = match self.has_steps() {
            // Slurm ends a job's steps in any order, and `srun` says 0 of one whose node was taken away: a script
            // that goes on from there would end well.
            true => STEPS_HEARD_WITHIN,
            false if killed => HEARD_WITHIN,
            false => may_be_told_after(self.task.usage.wall),
        };
        let mut fds = [PollFd::new(self.signals, PollFlags::IN)];
        if poll(&mut fds, Some(&timespec(span))).is_ok_and(|ready| ready > 0) {
            (self.by_slurm, self.told) = (true, true);
            self.task.end_by(Outcome::Stopped, self.clock.now());
        }
    }

    /// Slurm ends the job: a time limit, a cancellation, a preemption, a drained node. It says why
    /// to who asks it.
    fn on_signal(&mut self) {
        // One `signalfd_siginfo` is 128 bytes; which signal it was makes no difference.
        let mut scratch = [0u8; 1_024];
        while rustix::io::read(self.signals, &mut scratch).is_ok_and(|n| n > 0) {}
        let Stage::Running(live) = &self.task.stage else { return };
        let pid = live.pid;
        self.told = true;
        if self.task.ending.is_none() {
            self.by_slurm = true;
        }
        let kill_at = self.clock.now().plus(SLURM_GRACE);
        self.end(pid, Outcome::Stopped, Signal::TERM, kill_at);
    }

    fn running(&self) -> Stand {
        let (started_at, pid) = match &self.task.stage {
            Stage::Running(live) => (live.started_at, live.pid),
            Stage::Queued(_)
            | Stage::Starting { .. }
            | Stage::Clearing { .. }
            | Stage::Ended(_) => (wall_now(), 0),
        };
        Stand::Running { started_at, pid: u32::try_from(pid).unwrap_or(0) }
    }

    fn on_due(&mut self, desk: &mut Desk, pid: i32, due: Due) {
        let (now, started) = (self.clock.now(), self.live().started);
        match due {
            Due::Settle => {
                if let Stage::Running(live) = &mut self.task.stage {
                    live.settled = true;
                }
                // Without a thread no order comes through: the lease ends as it stands.
                if desk.begin().is_ok() {
                    self.task.count_wall(started, now);
                    desk.say(self.running(), self.task.usage);
                }
            }
            Due::LeaseNotice => {
                let end = self.task.lease_end;
                self.end(pid, Outcome::LeaseEnded, Signal::TERM, end);
            }
            Due::Wall => {
                let kill_at = now.plus(self.task.wall_grace());
                self.end(pid, Outcome::TimeLimit, Signal::TERM, kill_at);
            }
            Due::Kill => self.kill(pid),
            Due::Look => {}
        }
    }

    fn end(&mut self, pid: i32, outcome: Outcome, signal: Signal, kill_at: BootTime) {
        tell(pid, &self.task.isolation, signal);
        if signal != Signal::KILL {
            // A stopped process would take the signal only once it goes on.
            tell(pid, &self.task.isolation, Signal(libc::SIGCONT));
        }
        self.task.end_by(outcome, kill_at);
    }

    fn kill(&self, pid: i32) {
        sys::signal_group(pid, libc::SIGKILL);
        if let Stage::Running(live) = &self.task.stage {
            use std::os::fd::AsFd;
            sys::kill_by_pidfd(live.pidfd.as_fd());
        }
    }

    /// Counts what the task uses, and ends it where it uses too much, or where the kernel has killed a part
    /// of it for that: Slurm lets the rest go on, which may wait for what does not come.
    fn look(&mut self, session: i32, now: BootTime, kills: u64) {
        sys::reap_orphans();
        let InUse { user, system, resident, count, has_srun } = used(session);
        self.saw_srun |= has_srun;
        self.task.count_processes(user, system, Bytes(resident));
        self.task.count_wall(self.live().started, now);
        let over = match self.memory {
            Enforcement::Enforced => oom_kills() > kills,
            Enforcement::Watched | Enforcement::Absent => resident > self.task.limits.memory.0,
        };
        if over {
            self.end(session, Outcome::OutOfMemory, Signal::KILL, now);
        } else if count > self.task.limits.pids {
            self.end(session, Outcome::Signalled(libc::SIGKILL), Signal::KILL, now);
        }
    }

    /// Kills what is left of the task, until nothing is.
    fn clear(&self, session: i32) {
        let mut pause = LOOK_AGAIN_FIRST;
        while sys::reap_orphans() && kill_session(session, &self.fence) > 0 {
            let mut none: [PollFd<'_>; 0] = [];
            let _ = poll(&mut none, Some(&timespec(pause)));
            pause = pause.times(2).min(LOOK_AGAIN_MAX);
        }
    }
}

/// How long after the end of a task that ran so long this process may hear that Slurm had ended it.
fn may_be_told_after(ran: Span) -> Span {
    if ran < HEARD_AFTER {
        return Span::ZERO;
    }
    Span::from_micros(ran.micros() / HEARD_PART).min(HEARD_WITHIN)
}

/// Sends it to each process of a session.
fn signal_all(session: i32, signal: Signal) {
    for process in proc::processes().into_iter().filter(|process| process.session == session) {
        proc::signal(process, signal);
    }
}

/// What the processes of a session have used and hold, how many there are, and whether Slurm's `srun` is one.
#[derive(Default)]
struct InUse {
    user: Span,
    system: Span,
    resident: u64,
    count: u32,
    has_srun: bool,
}

fn used(session: i32) -> InUse {
    let mut used = InUse::default();
    for process in proc::processes().iter().filter(|process| process.session == session) {
        used.user = used.user.plus(process.user);
        used.system = used.system.plus(process.system);
        used.resident = used.resident.saturating_add(process.resident.0);
        used.count += 1;
        used.has_srun |= process.runs("srun");
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_slurm_may_have_ended_is_waited_for_by_how_long_it_ran() {
        let check = |ran: i64, waits: i64| {
            let waited = may_be_told_after(Span::from_millis(ran));
            assert_eq!(waited, Span::from_millis(waits), "{ran} ms");
        };
        check(40, 0);
        check(999, 0);
        check(1_000, 100);
        check(3_000, 300);
        check(3_600_000, 300);
    }
}
