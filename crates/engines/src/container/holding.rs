//! One attempt as the keeper of containers holds it: what is due for it when, what it used, and the
//! notes from which another keeper goes on.
//!
//! Invariant: phases go forward only; the first reason for an end stands; counters never shrink;
//! what is due depends on nothing but this and the time. Touches nothing but its log files.

use std::path::PathBuf;
use std::rc::Rc;

use dayan_units::{AttemptId, Bytes, Span, Time};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::confine::Reading;
use crate::keeper::task::{Ending, LEASE_NOTICE_MAX, WALL_GRACE_MAX, tenth_up_to};
use crate::logs::LogWriter;
use crate::{BootId, BootTime, Counters, End, Limits, Observation, Outcome, Phase};

/// What happened to an attempt, as it is noted. The environment is never noted: it may hold secrets.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Note {
    /// It is about to be launched, and never again.
    Launched {
        attempt: AttemptId,
        at: Time,
        boot: BootId,
        lease_end: BootTime,
        limits: Limits,
        /// Its steps, where it has some.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        steps: Vec<StepNote>,
    },
    /// Docker is about to be asked to start its container, or that of a step.
    Asked { attempt: AttemptId, step: u32 },
    /// Its container runs, or that of a step.
    Started {
        attempt: AttemptId,
        at: Time,
        boot_at: BootTime,
        /// Its first process and that one's birth, where it is of this machine.
        first: Option<(i32, u64)>,
        /// The cgroup of ours that it is in.
        cgroup: Option<String>,
        /// Where it is in its steps.
        #[serde(default, skip_serializing_if = "Current::is_first")]
        current: Current,
    },
    /// Its lease was moved.
    Lease { attempt: AttemptId, at: BootTime },
    /// It was told to end.
    Ending { attempt: AttemptId, outcome: Outcome, kill_at: BootTime },
    /// Nothing of it runs any more.
    Ended { attempt: AttemptId, end: End, usage: Counters },
    /// Its end was acknowledged. The note stays as a tombstone for a while.
    Forgotten { attempt: AttemptId },
}

/// What must be known of a step once its container is made.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct StepNote {
    /// Does the next one begin although it fails?
    pub ignore_error: bool,
    /// Where in the attempt's folder its standard output and error go, where they go to files.
    pub files: [Option<PathBuf>; 2],
}

/// Where an attempt is in its steps.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Current {
    /// The number of the step; its container is the one that is held.
    pub step: u32,
    /// When its container was started.
    pub started_at: Option<Time>,
    /// What was written to each stream before it.
    pub written: [u64; 2],
    /// What was used before it, where each container is counted for itself.
    pub before: Counters,
}

impl Current {
    fn is_first(&self) -> bool {
        *self == Self::default()
    }
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// The lease is about to end.
    LeaseNotice,
    /// The wall time is up.
    Wall,
    /// The grace is over.
    Kill,
}

/// Its container, once it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Ran {
    pub at: Time,
    pub boot_at: BootTime,
    pub first: Option<(i32, u64)>,
    pub cgroup: Option<String>,
}

/// How the containers of an attempt are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Counted {
    /// In one cgroup of ours.
    Together,
    /// In one that goes with each.
    EachForItself,
}

/// One attempt.
pub(super) struct Held {
    pub attempt: AttemptId,
    pub limits: Limits,
    pub launched_at: Time,
    pub lease_end: BootTime,
    lease_notice: BootTime,
    pub ran: Option<Ran>,
    /// The step whose container docker was asked to start.
    pub asked: Option<u32>,
    /// Empty for a launch of one program.
    pub steps: Vec<StepNote>,
    pub current: Current,
    pub ending: Option<Ending>,
    pub ended: Option<End>,
    pub usage: Counters,
    /// Standard output and error, and what became of its steps; none of one that had ended when the keeper began.
    pub logs: Vec<LogWriter>,
    /// How long the last container that ended has run, where the service says so.
    pub lasted: Option<Span>,
    /// Is it in the list of what the agent must be told?
    pub dirty: bool,
    /// Rung when its lease or its ending changed.
    pub changed: Rc<Notify>,
}

impl Held {
    pub(super) fn new(
        attempt: AttemptId,
        limits: Limits,
        lease_end: BootTime,
        now: BootTime,
        launched_at: Time,
    ) -> Self {
        let mut held = Self {
            attempt,
            limits,
            launched_at,
            lease_end,
            lease_notice: lease_end,
            ran: None,
            asked: None,
            steps: Vec::new(),
            current: Current::default(),
            ending: None,
            ended: None,
            usage: Counters::default(),
            logs: Vec::new(),
            lasted: None,
            dirty: false,
            changed: Rc::default(),
        };
        held.extend(lease_end, now);
        held
    }

    /// Is something of it still to come?
    pub(super) const fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// Moves the end of the lease.
    pub(super) fn extend(&mut self, end: BootTime, now: BootTime) {
        self.lease_end = end;
        let notice = tenth_up_to(end.since(now), LEASE_NOTICE_MAX);
        self.lease_notice = end.plus(Span::ZERO.minus(notice));
        self.changed.notify_one();
    }

    /// Begins to end it. The first reason stands; a second one may only bring the kill forward.
    pub(super) fn end_by(&mut self, outcome: Outcome, kill_at: BootTime) {
        match &mut self.ending {
            Some(ending) => ending.kill_at = ending.kill_at.min(kill_at),
            None => self.ending = Some(Ending { outcome, kill_at }),
        }
        self.changed.notify_one();
    }

    /// What is due next, and when.
    pub(super) fn due(&self) -> (BootTime, Due) {
        if let Some(ending) = &self.ending {
            // A stop may have left a grace that is longer than the lease.
            return (ending.kill_at.min(self.lease_end), Due::Kill);
        }
        let lease = (self.lease_notice, Due::LeaseNotice);
        match &self.ran {
            Some(ran) => {
                let wall = (ran.boot_at.plus(self.limits.wall), Due::Wall);
                if wall.0 < lease.0 { wall } else { lease }
            }
            None => lease,
        }
    }

    /// From asking to killing when its wall time is up.
    pub(super) fn wall_grace(&self) -> Span {
        tenth_up_to(self.limits.wall, WALL_GRACE_MAX)
    }

    /// Takes counters into account. No part of them shrinks.
    pub(super) fn count(&mut self, reading: &Reading, now: BootTime) {
        let before = self.current.before;
        let usage = &mut self.usage;
        let total = before.cpu().plus(reading.cpu).max(usage.cpu());
        let system = before.cpu_system.plus(reading.cpu_system);
        let system = system.min(total.minus(usage.cpu_user)).max(usage.cpu_system);
        usage.cpu_system = system;
        usage.cpu_user = total.minus(system);
        usage.memory_peak = usage.memory_peak.max(reading.memory_peak);
        let sum = |one: Bytes, other: Bytes| Bytes(one.0.saturating_add(other.0));
        usage.read = usage.read.max(sum(before.read, reading.read));
        usage.written = usage.written.max(sum(before.written, reading.written));
        if let Some(ran) = &self.ran {
            usage.wall = usage.wall.max(now.since(ran.boot_at));
        }
    }

    /// The container of a step runs. Its wall time is the attempt's, which began with the first.
    pub(super) fn begin(&mut self, started: Ran, current: Current) {
        let began = self.ran.as_ref().map_or((started.at, started.boot_at), |r| (r.at, r.boot_at));
        self.ran = Some(Ran { at: began.0, boot_at: began.1, ..started });
        self.current = current;
    }

    /// Where it is once the container of this step is started: behind what was written so far, and,
    /// where the service counts each container for itself, behind what was used so far.
    pub(super) fn entering(&self, step: u32, at: Time, counted: Counted) -> Current {
        if self.steps.is_empty() {
            return Current::default();
        }
        let written = |stream: usize| self.logs.get(stream).map_or(0, LogWriter::written);
        Current {
            step,
            started_at: Some(at),
            written: [written(0), written(1)],
            before: match counted {
                Counted::Together => Counters::default(),
                Counted::EachForItself => self.usage,
            },
        }
    }

    /// As the agent sees it.
    pub(super) fn observation(&self) -> Observation {
        let phase = match (&self.ended, &self.ran) {
            (Some(end), _) => Phase::Ended(end.clone()),
            (None, Some(ran)) => {
                let pid = ran.first.and_then(|(pid, _)| u32::try_from(pid).ok());
                Phase::Running { started_at: ran.at, pid }
            }
            (None, None) => Phase::Starting,
        };
        Observation::new(self.attempt, phase, self.usage)
    }

    /// What another keeper must know of it.
    pub(super) fn notes(&self, boot: BootId) -> Vec<Note> {
        let attempt = self.attempt;
        let mut notes = vec![Note::Launched {
            attempt,
            at: self.launched_at,
            boot,
            lease_end: self.lease_end,
            limits: self.limits.clone(),
            steps: self.steps.clone(),
        }];
        if let Some(step) = self.asked {
            notes.push(Note::Asked { attempt, step });
        }
        if let Some(ran) = &self.ran {
            notes.push(Note::Started {
                attempt,
                at: ran.at,
                boot_at: ran.boot_at,
                first: ran.first,
                cgroup: ran.cgroup.clone(),
                current: self.current.clone(),
            });
        }
        if let (Some(ending), None) = (&self.ending, &self.ended) {
            let (outcome, kill_at) = (ending.outcome.clone(), ending.kill_at);
            notes.push(Note::Ending { attempt, outcome, kill_at });
        }
        if let Some(end) = &self.ended {
            notes.push(Note::Ended { attempt, end: end.clone(), usage: self.usage });
        }
        notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;
    use proptest::prelude::*;

    fn at(secs: i64) -> BootTime {
        BootTime::from_micros(secs * 1_000_000)
    }

    fn held(lease_secs: i64) -> Held {
        let attempt = AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 };
        let limits = Limits { wall: Span::from_secs(50), ..Limits::default() };
        Held::new(attempt, limits, at(lease_secs), at(0), Time::EPOCH)
    }

    #[test]
    fn what_is_due_follows_from_lease_wall_and_ending() {
        let mut held = held(100);
        assert_eq!(held.due(), (at(98), Due::LeaseNotice));
        held.ran = Some(Ran { at: Time::EPOCH, boot_at: at(10), first: None, cgroup: None });
        assert_eq!(held.due(), (at(60), Due::Wall));
        held.extend(at(40), at(20));
        assert_eq!(held.due(), (at(38), Due::LeaseNotice));
        held.end_by(Outcome::Stopped, at(90));
        assert_eq!(held.due(), (at(40), Due::Kill), "no grace outlives the lease");
        held.end_by(Outcome::TimeLimit, at(30));
        assert_eq!(held.due(), (at(30), Due::Kill));
        assert_eq!(held.ending.map(|ending| ending.outcome), Some(Outcome::Stopped));
    }

    #[test]
    fn another_keeper_knows_the_same_of_it() {
        let mut held = held(100);
        held.ran = Some(Ran {
            at: Time::from_micros(7),
            boot_at: at(10),
            first: Some((4, 5)),
            cgroup: Some("/a/b".to_owned()),
        });
        held.end_by(Outcome::Stopped, at(90));
        let notes = held.notes(BootId(3));
        let text = serde_json::to_string(&notes).expect("JSON");
        let again: Vec<Note> = serde_json::from_str(&text).expect("the same");
        assert_eq!(again, notes);
        assert_eq!(notes.len(), 3);
        held.ended = Some(End { at: Time::EPOCH, outcome: Outcome::Stopped });
        assert!(matches!(held.notes(BootId(3)).last(), Some(Note::Ended { .. })));
    }

    proptest! {
        #[test]
        fn counters_never_shrink(readings in prop::collection::vec((0i64..999, 0i64..999), 1..30)) {
            let mut held = held(100);
            let mut largest = 0;
            for (cpu, system) in readings {
                let before = held.usage;
                let reading = Reading {
                    cpu: Span::from_micros(cpu),
                    cpu_system: Span::from_micros(system),
                    ..Reading::default()
                };
                held.count(&reading, at(1));
                largest = largest.max(cpu);
                prop_assert!(held.usage.cpu_user >= before.cpu_user);
                prop_assert!(held.usage.cpu_system >= before.cpu_system);
                prop_assert_eq!(held.usage.cpu(), Span::from_micros(largest));
            }
        }
    }
}
