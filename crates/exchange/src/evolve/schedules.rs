//! Schedules and their runs.

use dayan_units::{JobId, Time, UserId};

use crate::command::Actor;
use crate::event::{Entry, Event};
use crate::state::{Came, Gate, JobEnd, Run, Schedule, State, Work};

impl State {
    pub(super) fn apply_schedules(&mut self, entry: &Entry, event: &Event) {
        let work = &mut self.work;
        let schedules = &mut work.schedules;
        match event {
            Event::ScheduleMade { schedule: id, project, org, digest, next, key } => {
                let by = match entry.actor {
                    Actor::User { user, .. } => user,
                    Actor::System | Actor::Agent { .. } => UserId::from_bits(0),
                };
                let record = Schedule {
                    id: *id,
                    project: *project,
                    org: *org,
                    by,
                    digest: *digest,
                    submitted_at: entry.at,
                    gate: Gate::Open,
                    next: None,
                    missed: std::collections::VecDeque::new(),
                    alive: std::collections::BTreeMap::new(),
                    runs: std::collections::VecDeque::new(),
                    key: key.clone(),
                    ended: None,
                };
                work.specs.get_mut(&record.spec()).expect("stored before").jobs += 1;
                if let Some(key) = key {
                    schedules.keys.entry(*org).or_default().insert(key.clone(), *id);
                }
                schedules.all.insert(*id, record);
                schedules.change(*id, |schedule| schedule.next = Some(*next));
            }
            Event::SchedulePaused { schedule } => {
                schedules.change(*schedule, |of| of.gate = Gate::Paused);
            }
            Event::ScheduleResumed { schedule, next } => schedules.change(*schedule, |of| {
                of.gate = Gate::Open;
                of.next = *next;
            }),
            Event::ScheduleAdvanced { schedule, next } => {
                schedules.change(*schedule, |of| of.next = *next);
            }
            Event::RunsMissed { schedule, left_out, make_up, .. } => {
                schedules.change(*schedule, |of| {
                    if let Some((first, last)) = left_out {
                        of.remember(*first, Came::Missed { until: *last });
                    }
                    of.missed.extend(make_up);
                });
            }
            Event::RunSkipped { schedule, due, code, message, .. } => {
                let came = Came::Skipped { code: code.clone(), message: message.clone() };
                schedules.change(*schedule, |of| of.remember(*due, came));
            }
            Event::ScheduleEnded { schedule } => {
                schedules.change(*schedule, |of| of.ended = Some(entry.at));
                schedules.ended.insert((entry.at, *schedule));
            }
            Event::ScheduleRetired { schedule } => {
                let Some(record) = schedules.all.remove(schedule) else { return };
                if let Some(at) = record.ended {
                    schedules.ended.remove(&(at, *schedule));
                }
                if let Some(key) = &record.key
                    && let Some(keys) = schedules.keys.get_mut(&record.org)
                {
                    keys.remove(key);
                    if keys.is_empty() {
                        schedules.keys.remove(&record.org);
                    }
                }
                work.let_go(record.spec());
            }
            _ => unreachable!("sorted by `apply`"),
        }
    }
}

impl Work {
    /// A run has become a job.
    pub(super) fn run_made(&mut self, run: Run, job: JobId) {
        self.schedules.change(run.schedule, |schedule| {
            schedule.alive.insert(job, run.due);
            schedule.remember(run.due, Came::Made { job, ended: None });
        });
    }

    /// A run's job has ended, or lives again.
    pub(super) fn run_ended(&mut self, run: Run, job: JobId, how: Option<(Time, JobEnd)>) {
        let Some(schedule) = self.schedules.all.get_mut(&run.schedule) else { return };
        match how {
            Some(_) => drop(schedule.alive.remove(&job)),
            None => drop(schedule.alive.insert(job, run.due)),
        }
        let mut runs = schedule.runs.iter_mut().rev().map(|past| &mut past.came);
        let own = runs.find_map(|came| match came {
            Came::Made { job: made, ended } if *made == job => Some(ended),
            Came::Made { .. } | Came::Skipped { .. } | Came::Missed { .. } => None,
        });
        if let Some(ended) = own {
            *ended = how;
        }
    }
}
