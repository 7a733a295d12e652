//! What the keeper takes from running tasks: their output, and at intervals their counters.
//!
//! Invariant: one task's output never keeps the keeper from the others: it takes a pipe's worth at a
//! time, and a task that writes faster waits.

use dayan_units::Span;
use rustix::io::{Errno, read};

use super::core::Keeper;
use super::task::Stage;
use crate::energy::Energy;
use crate::{BootTime, Outcome, Signal, proc};

/// How often running tasks are looked at where cgroups hold them: for the agent's usage records,
/// which it signs every few seconds.
const LOOK_EVERY: Span = Span::from_secs(2);
/// The same where looking is what holds memory and process limits.
const WATCH_EVERY: Span = Span::from_millis(250);

impl Keeper {
    pub(super) fn on_output(&mut self, index: u32, stream: usize) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let (Stage::Running(live) | Stage::Clearing { live, .. }) = &mut task.stage else { return };
        let Some(pipe) = &live.streams[stream] else { return };
        match read(pipe, &mut self.scratch) {
            Ok(0) => live.close(stream, &self.epoll),
            Ok(n) => task.logs[stream].write(&self.scratch[..n]),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => live.close(stream, &self.epoll),
        }
    }

    /// Takes what the task wrote last. Nobody writes any more, so this ends.
    pub(super) fn drain(&mut self, index: u32) {
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Stage::Clearing { live, .. } = &mut task.stage else { return };
        for (stream, log) in task.logs.iter_mut().enumerate() {
            while let Some(pipe) = &live.streams[stream] {
                match read(pipe, &mut self.scratch) {
                    Ok(n @ 1..) => log.write(&self.scratch[..n]),
                    Err(Errno::INTR) => {}
                    Ok(_) | Err(_) => live.close(stream, &self.epoll),
                }
            }
        }
    }

    pub(super) fn look(&mut self, now: BootTime) {
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
                task.count_energy(share);
            }
            if let Some(cards) = &mut self.card_energy
                && let Some(part) = cards.take(index)
            {
                task.count_energy(part);
            }
            if over || too_many {
                let outcome =
                    if over { Outcome::OutOfMemory } else { Outcome::Signalled(libc::SIGKILL) };
                self.end(index, outcome, Signal::KILL, now);
            }
            self.mark(index);
        }
        self.confinement.tidy();
    }
}
