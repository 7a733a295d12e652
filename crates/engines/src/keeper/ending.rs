//! How a task ends: the asking, the killing, and making sure that nothing is left.
//!
//! Invariant: an end is recorded only when nothing of the task runs, and once.

use std::os::fd::AsFd;

use dayan_units::{AttemptId, Span};
use rustix::event::epoll;

use super::core::{Keeper, LOOK_AGAIN_FIRST, LOOK_AGAIN_MAX};
use super::task::{Live, Stage, Task};
use crate::journal::Record;
use crate::{BootTime, End, Isolation, Outcome, Signal, proc, sys, wall_now};

/// From telling a task to end to killing it when the keeper itself is told to end.
const LEAVE_GRACE: Span = Span::from_secs(5);

impl Keeper {
    /// Begins to end a task: a signal now, a kill at a time.
    pub(super) fn end(&mut self, index: u32, outcome: Outcome, signal: Signal, kill_at: BootTime) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        match &task.stage {
            Stage::Queued(_) => {
                self.finish(index, outcome);
                return;
            }
            Stage::Starting { .. } => task.end_by(outcome, kill_at),
            Stage::Running(live) => {
                tell(live.pid, &task.isolation, signal);
                if signal != Signal::KILL {
                    // A stopped process would take the signal only once it goes on.
                    tell(live.pid, &task.isolation, Signal(libc::SIGCONT));
                }
                task.end_by(outcome, kill_at);
            }
            Stage::Clearing { .. } | Stage::Ended(_) => {}
        }
        self.reschedule(index);
    }

    /// Sends a signal to those processes of a running task that catch it.
    pub(super) fn signal(&mut self, attempt: AttemptId, signal: Signal) {
        let Some(index) = self.index.get(&attempt).copied() else { return };
        let Some(Task { stage: Stage::Running(live), .. }) = &self.tasks[index as usize] else {
            return;
        };
        match &live.slot {
            Some(slot) => proc::ask(slot.members(), signal),
            None => proc::ask(session(live.pid, &self.folder.fence(attempt)), signal),
        }
    }

    pub(super) fn kill(&mut self, index: u32) {
        if let Some(Task { stage: Stage::Running(live), .. }) = &self.tasks[index as usize] {
            kill_all(live);
        }
    }

    pub(super) fn on_exit(&mut self, index: u32) {
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
    pub(super) fn clear(&mut self, index: u32) {
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
        task.count_reaped(&used, &reading);
        task.count_wall(started, self.clock.now());
        let outcome = task.outcome(status, reading.oom_kills);
        if let Some(slot) = slot {
            self.confinement.give_back(slot);
        }
        self.finish(index, outcome);
    }

    /// Records the end of a task of which nothing runs.
    pub(super) fn finish(&mut self, index: u32, outcome: Outcome) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        if let Some(part) = self.card_energy.as_mut().and_then(|cards| cards.end(index)) {
            task.count_energy(part);
        }
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

    pub(super) fn leave(&mut self) {
        self.leaving = true;
        let kill_at = self.clock.now().plus(LEAVE_GRACE);
        for index in self.index.values().copied().collect::<Vec<_>>() {
            self.end(index, Outcome::Stopped, Signal::TERM, kill_at);
        }
    }

    pub(super) fn may_leave(&self, now: BootTime) -> bool {
        let idle = self.agent.is_none() && self.idle_since.plus(self.idle_stay) <= now;
        self.live == 0 && (self.leaving || idle)
    }
}

/// Sends a signal to a task's processes. The first process of an isolated task is bubblewrap, which
/// dies of what it does not know and takes the rest with it, without grace: only what runs inside of
/// it is told.
pub(crate) fn tell(first: i32, isolation: &Isolation, signal: Signal) {
    let kill = signal == Signal::KILL;
    match isolation {
        Isolation::Bubblewrap { .. } if !kill => {
            let inside = |process: &proc::Process| process.session == first && process.pid != first;
            for process in proc::processes().into_iter().filter(inside) {
                proc::signal(process, signal);
            }
        }
        Isolation::None | Isolation::Bubblewrap { .. } => {
            sys::signal_group(first, signal.0);
        }
    }
}

/// Kills all of a running task that can be named; its end is seen by its pidfd.
pub(super) fn kill_all(live: &Live) {
    match &live.slot {
        Some(slot) => slot.kill(),
        None => {
            sys::signal_group(live.pid, libc::SIGKILL);
        }
    }
    sys::kill_by_pidfd(live.pidfd.as_fd());
}

/// The processes of a task without a cgroup: its session, and whoever carries its fence.
pub(crate) fn session(session: i32, fence: &str) -> Vec<i32> {
    let of_task = |process: &proc::Process| {
        process.session == session || proc::fence_of(process.pid).as_deref() == Some(fence)
    };
    proc::processes().into_iter().filter(of_task).map(|process| process.pid).collect()
}

/// Kills what is left of a task without a cgroup: its session, and whoever carries its fence.
/// Returns how many there were.
pub(crate) fn kill_session(session: i32, fence: &str) -> usize {
    let left: Vec<proc::Process> = proc::processes()
        .into_iter()
        .filter(|process| {
            process.session == session || proc::fence_of(process.pid).as_deref() == Some(fence)
        })
        .collect();
    for process in &left {
        proc::kill(*process);
    }
    left.len()
}
