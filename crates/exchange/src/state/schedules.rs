//! Schedules: what makes a job again and again. Each keeps when it is due next, which of its runs
//! live, and how the last ones came out.
//!
//! Invariant: a schedule is in the index of what is due exactly while it may make jobs. What a line
//! of cron means is not known here: when it is due next is in the events.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use dayan_spec::Overlap;
use dayan_units::{JobId, OrgId, ProjectId, ScheduleId, Time, UserId};
use serde::{Deserialize, Serialize};

use super::access::Digest;
use super::jobs::{Gate, JobEnd, SpecKey, Work};

/// How many of its last runs a schedule remembers: enough to see a habit, few enough that a
/// thousand schedules are about a megabyte.
pub const RUNS_REMEMBERED: usize = 10;
/// The most runs of one schedule that live at once, where it may overlap: a line that comes round
/// faster than its work is done would fill the queue.
pub const RUNS_ALIVE_MAX: usize = 100;
/// The most missed runs that are made up for: four days of hours. Who was away for longer wants to
/// look first.
pub const MAKE_UP_MAX: usize = 100;
/// The most schedules of one organisation that have not ended: each is memory, and a timer.
pub const SCHEDULES_MAX: usize = 1_000;

/// One run of a schedule: what makes its job's id, and that job no other's.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Of which schedule.
    pub schedule: ScheduleId,
    /// When it was due.
    pub due: Time,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "came")]
pub enum Came {
    /// It is a job.
    Made {
        /// Which.
        job: JobId,
        /// When and how it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ended: Option<(Time, JobEnd)>,
    },
    /// It was left out.
    Skipped {
        /// Stable dotted code.
        code: String,
        /// Why, in words.
        message: String,
    },
    /// It and all up to another one were due while the exchange was away, and are not made up for.
    Missed {
        /// The last of them.
        until: Time,
    },
}

/// A run that is behind.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PastRun {
    /// When it was due.
    pub due: Time,
    /// What came of it.
    #[serde(flatten)]
    pub came: Came,
}

/// A schedule.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Schedule {
    /// Its id.
    pub id: ScheduleId,
    /// What pays.
    pub project: ProjectId,
    /// Whose project it is.
    pub org: OrgId,
    /// Who submitted it.
    pub by: UserId,
    /// SHA-256 of its file.
    pub digest: Digest,
    /// When it was accepted.
    pub submitted_at: Time,
    /// May it make jobs?
    pub gate: Gate,
    /// When it is due next; none: never again.
    pub next: Option<Time>,
    /// Missed runs that are still to be made up for, oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub missed: VecDeque<Time>,
    /// Its jobs that have not ended, and when they were due.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub alive: BTreeMap<JobId, Time>,
    /// Its last runs, oldest first: at most [`RUNS_REMEMBERED`].
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub runs: VecDeque<PastRun>,
    /// The submitter's idempotency key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Time>,
}

/// All of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Schedules {
    /// Those that live or ended not long ago.
    pub all: BTreeMap<ScheduleId, Schedule>,
    /// When those that may make jobs are due next.
    pub due: BTreeSet<(Time, ScheduleId)>,
    /// Those of them with runs to make up for.
    pub behind: BTreeSet<ScheduleId>,
    /// Submissions by organisation and idempotency key.
    pub keys: BTreeMap<OrgId, BTreeMap<String, ScheduleId>>,
    /// Ended ones by the time they ended: what may leave memory next.
    pub ended: BTreeSet<(Time, ScheduleId)>,
}

impl Schedule {
    /// Its file.
    pub fn spec(&self) -> SpecKey {
        SpecKey::of(&self.digest)
    }

    /// May it make jobs?
    pub const fn is_open(&self) -> bool {
        self.ended.is_none() && matches!(self.gate, Gate::Open)
    }

    /// What it is to make up for now. One after the other, unless they may overlap.
    pub fn to_make_up(&self, overlap: Overlap) -> Option<Time> {
        let free = match overlap {
            Overlap::Allow => true,
            Overlap::Forbid | Overlap::Replace => self.alive.is_empty(),
        };
        self.missed.front().copied().filter(|_| free && self.is_open())
    }

    pub(crate) fn remember(&mut self, due: Time, came: Came) {
        if self.missed.front() == Some(&due) {
            self.missed.pop_front();
        }
        if self.runs.len() >= RUNS_REMEMBERED {
            self.runs.pop_front();
        }
        self.runs.push_back(PastRun { due, came });
    }
}

impl Schedules {
    /// None in use, as in most snapshots.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Changes one and keeps the indexes in step.
    pub(crate) fn change(&mut self, id: ScheduleId, change: impl FnOnce(&mut Schedule)) {
        let Some(schedule) = self.all.get_mut(&id) else { return };
        if let Some(next) = schedule.next {
            self.due.remove(&(next, id));
        }
        self.behind.remove(&id);
        change(schedule);
        if schedule.is_open() {
            if let Some(next) = schedule.next {
                self.due.insert((next, id));
            }
            if !schedule.missed.is_empty() {
                self.behind.insert(id);
            }
        }
    }
}

impl Work {
    /// The rule of a schedule.
    pub fn rule_of(&self, schedule: &Schedule) -> &dayan_spec::Schedule {
        let stored = self.specs.get(&schedule.spec());
        let stored = stored.expect("a schedule in memory holds its file in memory");
        stored.spec.schedule.as_ref().expect("only files with a schedule make one")
    }

    /// The runs that are due now, those first that waited longest.
    pub fn runs_due(&self, now: Time) -> impl Iterator<Item = Run> {
        let schedules = &self.schedules;
        let due = schedules.due.iter().take_while(move |(due, _)| *due <= now);
        let behind = schedules.behind.iter().filter_map(|id| {
            let schedule = &schedules.all[id];
            let due = schedule.to_make_up(self.rule_of(schedule).overlap)?;
            Some(Run { schedule: *id, due })
        });
        due.map(|(due, schedule)| Run { schedule: *schedule, due: *due }).chain(behind)
    }
}
