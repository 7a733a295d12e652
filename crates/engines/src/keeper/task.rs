//! One attempt as the keeper holds it, and what is due for it when.
//!
//! Invariant: stages go forward only; the reason given for an end is the first one there was;
//! counters never shrink. Knows times only as arguments and touches nothing but its own pipes.

use std::os::fd::OwnedFd;

use dayan_units::{AttemptId, Bytes, Span, Time};

use crate::confine::{Reading, Slot};
use crate::logs::LogWriter;
use crate::sys::{Status, Used};
use crate::{BootTime, Counters, End, Isolation, Launch, Limits, Observation, Outcome, Phase};

/// How long after its start a process is worth a record of its own and a word to the agent. Most
/// tasks that end sooner end without either; a keeper that dies in this time takes the process
/// along, so that nobody needs the record.
pub(crate) const SETTLE: Span = Span::from_millis(25);

/// A task is told to end this long before its lease does, or a tenth of the lease if that is
/// less, so that nothing runs past it: two seconds write a checkpoint's last page.
pub(crate) const LEASE_NOTICE_MAX: Span = Span::from_secs(2);

/// From SIGTERM to SIGKILL when the wall time is up, or a tenth of it if that is less.
pub(crate) const WALL_GRACE_MAX: Span = Span::from_secs(5);

pub(crate) fn tenth_up_to(span: Span, max: Span) -> Span {
    Span::from_micros(span.micros() / 10).min(max).max(Span::ZERO)
}

/// Why and until when a task is being ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Ending {
    pub outcome: Outcome,
    pub kill_at: BootTime,
}

/// A process of ours.
pub(crate) struct Live {
    pub pid: i32,
    pub pidfd: OwnedFd,
    pub started_at: Time,
    pub started: BootTime,
    pub slot: Option<Slot>,
    pub streams: [Option<OwnedFd>; 2],
    /// Was its start recorded and told?
    pub settled: bool,
    /// Processes and memory of the whole task were last seen within the limits.
    pub within_limits: bool,
}

impl Live {
    /// Closes one of its pipes. It leaves epoll first: a process that is just being made holds
    /// copies of all our descriptors until it executes, and while it does epoll would go on
    /// reporting this one.
    pub(crate) fn close(&mut self, stream: usize, epoll: &OwnedFd) {
        if let Some(pipe) = self.streams[stream].take()
            && self.settled
        {
            let _ = rustix::event::epoll::delete(epoll, &pipe);
        }
    }
}

/// Where it stands.
pub(crate) enum Stage {
    /// Recorded; not yet handed to a thread.
    Queued(Box<Launch>),
    /// With a thread.
    Starting { slot: Option<Slot> },
    /// Its first process runs.
    Running(Live),
    /// Its first process has ended; the others are being killed. Looked at again at `look_at`.
    Clearing { live: Live, status: Status, used: Used, look_at: BootTime, looks: u32 },
    /// Nothing of it runs.
    Ended(End),
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Record and tell that it runs.
    Settle,
    /// The lease is about to end.
    LeaseNotice,
    /// The wall time is up.
    Wall,
    /// The grace is over.
    Kill,
    /// Look again whether the rest is gone.
    Look,
}

/// One attempt.
pub(crate) struct Task {
    pub attempt: AttemptId,
    pub stage: Stage,
    pub limits: Limits,
    pub isolation: Isolation,
    pub lease_end: BootTime,
    lease_notice: BootTime,
    pub ending: Option<Ending>,
    pub usage: Counters,
    /// Cards whose energy is counted for it.
    pub cards: Vec<u32>,
    /// Standard output and error; none of a task that an earlier keeper ran.
    pub logs: Vec<LogWriter>,
    /// Is it in the list of what the agent must be told?
    pub dirty: bool,
    /// Under which time it is in the keeper's order of deadlines.
    pub scheduled: Option<BootTime>,
    /// When and on which boot it was launched, for the journal.
    pub launched_at: Time,
    /// How long after its start its process is worth a word.
    pub settle: Span,
}

impl Task {
    pub(crate) fn new(launch: Box<Launch>, logs: Vec<LogWriter>, now: BootTime, at: Time) -> Self {
        let mut task = Self {
            attempt: launch.attempt,
            limits: launch.limits.clone(),
            isolation: launch.isolation.clone(),
            cards: launch.cards.clone(),
            lease_end: launch.lease_end.at,
            lease_notice: launch.lease_end.at,
            stage: Stage::Queued(launch),
            ending: None,
            usage: Counters::default(),
            logs,
            dirty: false,
            scheduled: None,
            launched_at: at,
            settle: SETTLE,
        };
        task.extend(task.lease_end, now);
        task
    }

    /// One that had ended when the keeper began.
    pub(crate) fn ended(attempt: AttemptId, end: End, usage: Counters, launched_at: Time) -> Self {
        Self {
            attempt,
            limits: Limits::default(),
            isolation: Isolation::None,
            cards: Vec::new(),
            lease_end: BootTime::NEVER,
            lease_notice: BootTime::NEVER,
            stage: Stage::Ended(end),
            ending: None,
            usage,
            logs: Vec::new(),
            dirty: false,
            scheduled: None,
            launched_at,
            settle: SETTLE,
        }
    }

    /// Moves the end of the lease.
    pub(crate) fn extend(&mut self, end: BootTime, now: BootTime) {
        self.lease_end = end;
        let notice = tenth_up_to(end.since(now), LEASE_NOTICE_MAX);
        self.lease_notice = end.plus(Span::ZERO.minus(notice));
    }

    /// Is something of it still to come?
    pub(crate) const fn is_live(&self) -> bool {
        !matches!(self.stage, Stage::Ended(_))
    }

    /// Has it written anything? An adopted one may have.
    pub(crate) fn has_logs(&self) -> bool {
        self.logs.is_empty() || self.logs.iter().any(LogWriter::has_written)
    }

    /// What is due next, and when. An ended one has nothing due.
    pub(crate) fn due(&self) -> Option<(BootTime, Due)> {
        let lease = (self.lease_notice, Due::LeaseNotice);
        match (&self.stage, &self.ending) {
            (Stage::Ended(_), _) | (Stage::Starting { .. } | Stage::Queued(_), Some(_)) => None,
            (Stage::Queued(_) | Stage::Starting { .. }, None) => Some(lease),
            (Stage::Clearing { look_at, .. }, _) => Some((*look_at, Due::Look)),
            (Stage::Running(live), ending) => {
                let wall = (live.started.plus(self.limits.wall), Due::Wall);
                let next = if let Some(ending) = ending {
                    // A stop may have left a grace that is longer than the lease.
                    (ending.kill_at.min(self.lease_end), Due::Kill)
                } else if wall.0 < lease.0 {
                    wall
                } else {
                    lease
                };
                let settle = (live.started.plus(self.settle), Due::Settle);
                Some(if !live.settled && settle.0 < next.0 { settle } else { next })
            }
        }
    }

    /// Begins to end it. The first reason stands; a second one may only bring the kill forward.
    pub(crate) fn end_by(&mut self, outcome: Outcome, kill_at: BootTime) {
        match &mut self.ending {
            Some(ending) => ending.kill_at = ending.kill_at.min(kill_at),
            None => self.ending = Some(Ending { outcome, kill_at }),
        }
    }

    /// From SIGTERM to SIGKILL when its wall time is up.
    pub(crate) fn wall_grace(&self) -> Span {
        tenth_up_to(self.limits.wall, WALL_GRACE_MAX)
    }

    /// Takes counters of its slot into account.
    pub(crate) fn count_slot(&mut self, reading: &Reading) {
        self.count_cpu(reading.cpu, reading.cpu_system);
        self.usage.memory_peak = self.usage.memory_peak.max(reading.memory_peak);
        self.usage.read = self.usage.read.max(reading.read);
        self.usage.written = self.usage.written.max(reading.written);
    }

    /// Takes counters of its processes into account.
    pub(crate) fn count_processes(&mut self, user: Span, system: Span, resident: Bytes) {
        self.count_cpu(user.plus(system), system);
        self.usage.memory_peak = self.usage.memory_peak.max(resident);
    }

    /// Takes what the kernel counted for the reaped process and its reaped children.
    /// What a slot has counted is better: it includes processes that nobody waited for. Without
    /// one the memory is that of the largest process, and at least what the keeper itself has,
    /// because the kernel counts a process from before it executes, when it shares our memory.
    pub(crate) fn count_reaped(&mut self, used: &Used, reading: &Reading) {
        if reading.cpu == Span::ZERO {
            self.count_cpu(used.user.plus(used.system), used.system);
        }
        if reading.memory_peak == Bytes::ZERO {
            self.usage.memory_peak = self.usage.memory_peak.max(used.memory_peak);
        }
        self.usage.read = self.usage.read.max(used.read);
        self.usage.written = self.usage.written.max(used.written);
    }

    /// `total` is exact, `system` the kernel's estimate of a part of it. Neither part shrinks.
    fn count_cpu(&mut self, total: Span, system: Span) {
        let usage = &mut self.usage;
        let total = total.max(usage.cpu());
        let system = system.min(total.minus(usage.cpu_user)).max(usage.cpu_system);
        usage.cpu_system = system;
        usage.cpu_user = total.minus(system);
    }

    /// Counts energy on top of what was counted.
    pub(crate) fn count_energy(&mut self, microjoule: u64) {
        let total = self.usage.energy_microjoule.unwrap_or(0).saturating_add(microjoule);
        self.usage.energy_microjoule = Some(total);
    }

    /// Counts wall time up to now.
    pub(crate) fn count_wall(&mut self, started: BootTime, now: BootTime) {
        self.usage.wall = self.usage.wall.max(now.since(started));
    }

    /// How it ended, given how its first process did.
    pub(crate) fn outcome(&self, status: Status, oom_kills: u64) -> Outcome {
        if let Some(ending) = &self.ending {
            return ending.outcome.clone();
        }
        match status {
            // Also where its first process has outlived that of another and says that all is well.
            _ if oom_kills > 0 => Outcome::OutOfMemory,
            Status::Exited(code) => Outcome::Exited(code),
            Status::Signalled(signal) => Outcome::Signalled(signal),
        }
    }

    /// As the agent sees it.
    pub(crate) fn observation(&self) -> Observation {
        let phase = match &self.stage {
            Stage::Queued(_) | Stage::Starting { .. } => Phase::Starting,
            Stage::Running(live) | Stage::Clearing { live, .. } => {
                Phase::Running { started_at: live.started_at, pid: u32::try_from(live.pid).ok() }
            }
            Stage::Ended(end) => Phase::Ended(end.clone()),
        };
        Observation::new(self.attempt, phase, self.usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootId, LeaseEnd, Program, Stream, Workdir};
    use dayan_units::JobId;
    use proptest::prelude::*;

    fn task(lease_secs: i64) -> Task {
        let launch = Launch {
            attempt: AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 },
            program: Program::Shell("true".to_owned()),
            env: std::collections::BTreeMap::new(),
            workdir: Workdir::Fresh,
            limits: Limits::default(),
            lease_end: LeaseEnd { boot: BootId(0), at: at(lease_secs) },
            isolation: Isolation::None,
            node: String::new(),
            cards: Vec::new(),
            accelerators: 0,
            gang: None,
            image: None,
            mounts: Vec::new(),
            steps: Vec::new(),
            org: None,
            site_words: std::collections::BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
        };
        let log = |stream| LogWriter::new("/nowhere".into(), stream, Bytes(0));
        Task::new(
            Box::new(launch),
            vec![log(Stream::Stdout), log(Stream::Stderr)],
            at(0),
            Time::EPOCH,
        )
    }

    fn at(secs: i64) -> BootTime {
        BootTime::from_micros(secs * 1_000_000)
    }

    #[test]
    fn notice_is_given_before_the_lease_ends() {
        let check = |lease, notice_millis: i64| {
            let due = task(lease).due();
            let expect = at(lease).plus(Span::from_millis(-notice_millis));
            assert_eq!(due, Some((expect, Due::LeaseNotice)), "lease of {lease} s");
        };
        check(100, 2_000);
        check(10, 1_000);
        check(1, 100);
    }

    #[test]
    fn the_first_reason_stands() {
        let mut task = task(100);
        task.end_by(Outcome::Stopped, at(9));
        task.end_by(Outcome::TimeLimit, at(5));
        task.end_by(Outcome::LeaseEnded, at(7));
        assert_eq!(task.ending, Some(Ending { outcome: Outcome::Stopped, kill_at: at(5) }));
        assert_eq!(task.outcome(Status::Exited(0), 0), Outcome::Stopped);
    }

    #[test]
    fn out_of_memory_is_told_apart() {
        let task = task(100);
        assert_eq!(task.outcome(Status::Signalled(9), 1), Outcome::OutOfMemory);
        assert_eq!(task.outcome(Status::Exited(137), 1), Outcome::OutOfMemory);
        assert_eq!(task.outcome(Status::Exited(0), 1), Outcome::OutOfMemory);
        assert_eq!(task.outcome(Status::Exited(0), 0), Outcome::Exited(0));
        assert_eq!(task.outcome(Status::Signalled(9), 0), Outcome::Signalled(9));
    }

    proptest! {
        #[test]
        fn processor_time_never_shrinks_and_adds_up(
            readings in prop::collection::vec((0i64..1_000, 0i64..1_000), 1..30)
        ) {
            let mut task = task(100);
            let mut largest = 0;
            for (total, system) in readings {
                let before = task.usage;
                task.count_cpu(Span::from_micros(total), Span::from_micros(system));
                largest = largest.max(total);
                prop_assert!(task.usage.cpu_user >= before.cpu_user);
                prop_assert!(task.usage.cpu_system >= before.cpu_system);
                prop_assert_eq!(task.usage.cpu(), Span::from_micros(largest));
            }
        }
    }
}
