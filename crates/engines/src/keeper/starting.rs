//! The keeper's way from a launch to a running process.
//!
//! Invariant: a launch is on stable storage before anything of it is made, and is refused if it ever
//! was there before.

use std::collections::BTreeSet;

use dayan_units::AttemptId;
use rustix::event::epoll;

use super::core::{Keeper, Token};
use super::spawner::{Job, Made, Running};
use super::task::{Live, Stage, Task};
use crate::confine::SlotLimits;
use crate::journal::Record;
use crate::logs::LogWriter;
use crate::{
    BootTime, Enforcement, Isolation, Launch, LeaseEnd, Limits, Outcome, Signal, StartFailure,
    StartFault, Stream, command, wall_now,
};

impl Keeper {
    pub(super) fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
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

    pub(super) fn admit(&self, launch: &Launch, now: BootTime) -> Result<(), StartFault> {
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
            return Err(StartFault::Lacking(reason.to_owned()));
        }
        if launch.image.is_some() || launch.needs_containers() {
            let reason =
                "this engine runs programs of the machine; images need a pool of containers";
            return Err(StartFault::Unsupported(reason.to_owned()));
        }
        command::arguments(&launch.program).map_err(StartFault::Invalid)?;
        if launch.limits.memory.0 == 0 || launch.limits.cpu.0 == 0 || launch.limits.pids == 0 {
            return Err(StartFault::Invalid("a limit of nothing".to_owned()));
        }
        Ok(())
    }

    pub(super) fn logs_of(&self, attempt: AttemptId, limits: &Limits) -> Vec<LogWriter> {
        let folder = self.folder.logs(attempt);
        [Stream::Stdout, Stream::Stderr]
            .into_iter()
            .map(|stream| LogWriter::new(folder.clone(), stream, limits.log))
            .collect()
    }

    pub(super) fn feed_spawner(&mut self) {
        while self.with_spawner < self.spawner.depth() {
            let Some(index) = self.queue.pop_front() else { return };
            let Some(task) = self.tasks[index as usize].as_mut() else { continue };
            if !matches!(task.stage, Stage::Queued(_)) {
                continue;
            }
            let limits = SlotLimits::from(&task.limits);
            let slot = match self.confinement.take(limits) {
                Ok(slot) => slot,
                // Out of descriptors: others end and free some.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
                        && self.live > self.queue.len() + 1 =>
                {
                    self.queue.push_front(index);
                    return;
                }
                Err(error) => {
                    let failure = StartFailure::Limits(error.to_string());
                    self.finish(index, Outcome::StartFailed(failure));
                    continue;
                }
            };
            let unheld = self.features.memory_limit != Enforcement::Enforced;
            let data_limit = unheld.then(|| super::spawner::data_limit(task.limits.memory));
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

    pub(super) fn on_made(&mut self, made: Made) {
        self.with_spawner -= 1;
        let index = made.task;
        let Some(task) = self.tasks[index as usize].as_mut() else { return };
        let Stage::Starting { slot } = &mut task.stage else { return };
        let slot = slot.take();
        let Running { pid, pidfd, started_at, started, stdout, stderr } = match made.outcome {
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
        if let Some(cards) = &mut self.card_energy {
            cards.begin(index, &task.cards);
        }
        let reads = epoll::EventFlags::IN;
        let watched = epoll::add(&self.epoll, &pidfd, Token::Process(index).pack(), reads);
        task.stage = Stage::Running(Live {
            pid,
            pidfd,
            started_at,
            started,
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
}
