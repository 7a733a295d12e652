//! Appointments come first in a round: a task starts where and when it was promised, or sooner if
//! its place is free. What cannot be kept where it was promised is placed before anything else.
//!
//! Invariant: nothing is placed here that breaks another promise. Must not know how appointments
//! were found.

use dayan_units::{JobId, Span, TaskId, Time};
use smallvec::SmallVec;

use crate::calendar::Appointed;
use crate::later::{TURNOVER, When};
use crate::plan::{Atomicity, Placement, Seat};
use crate::queue::{ClassIx, JobIx, Standing};
use crate::round::{Round, Spot};

/// Jobs with appointments looked at in one round, the earliest first. The others find their place in
/// the queue, or when those before them have started.
const JOBS_MAX: usize = 1_024;

impl Round<'_> {
    /// Starts what has an appointment and can start.
    pub fn keep_appointments(&mut self) {
        let estate = &self.planner.estate;
        let first: Vec<(Time, JobId)> =
            estate.appointed_from.iter().copied().take(JOBS_MAX).collect();
        let mut tried: Vec<ClassIx> = Vec::new();
        for (from, id) in first {
            if self.work >= self.budget {
                self.exhausted = true;
                break;
            }
            self.work += 1;
            let Some(&job) = self.planner.demand.job_ids.get(&id) else { continue };
            if self.planner.demand.may_start(job) {
                tried.push(self.planner.demand.jobs[job].class);
                self.keep(id, job, from);
            }
        }
        // Where one found no room beside what was promised to another, there may be some now that
        // the other sits there: all look again at their turn.
        for class in tried {
            self.planner.demand.classes[class].reopen();
            if self.planner.demand.classes[class].standing == Standing::NoRoom {
                self.planner.demand.stand(class, Standing::Active);
            }
        }
    }

    fn keep(&mut self, id: JobId, job: JobIx, from: Time) {
        let class = self.planner.demand.jobs[job].class;
        self.planner.demand.notice_time(class);
        if self.planner.demand.classes[class].stale {
            self.planner.rebuild(class, &mut self.work);
        }
        self.hear(class);
        let pending = &self.planner.demand.jobs[job].pending;
        let appointed = &self.planner.estate.appointed[&id];
        let waiting: Vec<(u32, Appointed)> = appointed
            .iter()
            .filter(|(task, made)| pending.contains(**task) && !(made.hold && made.from > self.now))
            .map(|(task, made)| (*task, made.clone()))
            .collect();
        if self.planner.demand.jobs[job].gang.is_some() {
            self.keep_gang(class, job, &waiting, from);
            return;
        }
        let may_run = self.planner.demand.may_run_more(job);
        let mut seats: SmallVec<[Seat; 1]> = SmallVec::new();
        for (task, made) in waiting {
            if seats.len() as u64 >= may_run {
                break;
            }
            if self.work >= self.budget && !seats.is_empty() {
                self.exhausted = true;
                break;
            }
            self.work += 1;
            let task = TaskId { job: id, task };
            let own = self.own_place(class, task, &made);
            let is_due = made.from <= self.now;
            let spot = own.or_else(|| if is_due { self.find(class, job, None) } else { None });
            if let Some(spot) = spot {
                seats.push(self.book((class, job), task, &spot));
                self.planner.demand.jobs[job].pending.remove(task.task);
                self.took_quota(class, job, None);
            }
        }
        self.push(job, seats, Atomicity::Each);
    }

    /// All members at their places; from their moment on wherever they can be together.
    fn keep_gang(&mut self, class: ClassIx, job: JobIx, all: &[(u32, Appointed)], from: Time) {
        let id = self.planner.demand.jobs[job].key.job;
        let size = self.planner.demand.jobs[job].gang.map_or(1, |gang| gang.size.max(1));
        if all.len() < size as usize {
            return;
        }
        let own = |(task, made): &(u32, Appointed)| {
            self.own_place(class, TaskId { job: id, task: *task }, made)
        };
        let spots: Option<Vec<Spot>> = all.iter().map(own).collect();
        let spots = match spots {
            Some(spots) => Some(spots),
            None if from <= self.now => self.find_gang(class, u64::from(size), None),
            None => None,
        };
        let Some(spots) = spots else { return };
        let mut seats = SmallVec::new();
        for ((task, _), spot) in all.iter().zip(&spots) {
            seats.push(self.book((class, job), TaskId { job: id, task: *task }, spot));
            self.planner.demand.jobs[job].pending.remove(*task);
        }
        self.took_quota(class, job, None);
        self.push(job, seats, Atomicity::AllOrNothing);
    }

    fn push(&mut self, job: JobIx, seats: SmallVec<[Seat; 1]>, atomicity: Atomicity) {
        if seats.is_empty() {
            return;
        }
        self.planner.demand.relink(job);
        let job = &self.planner.demand.jobs[job];
        let (job, project) = (job.key.job, job.project);
        self.placements.push(Placement { job, project, atomicity, seats });
    }

    /// The place that was promised, if it is free for as long as the task may run.
    fn own_place(&self, class: ClassIx, task: TaskId, made: &Appointed) -> Option<Spot> {
        let at = made.at?;
        // What was promised behind it on the node was promised behind its promised end: a little
        // late, as every plan is, it must not be kept waiting by that.
        let late = self.now.since(made.from).clamp(Span::ZERO, TURNOVER);
        let when = self.when(class);
        let when = When { until: when.until.minus(late), ..when };
        let class = &self.planner.demand.classes[class];
        let choice = *class.choices.iter().find(|choice| choice.bay == at.bay)?;
        let need = &class.needs[usize::from(choice.need)];
        let node = self.planner.estate.node(at);
        let fits = node.is_up()
            && node.fits_with(&node.booked, need)
            && node.later.as_ref().is_none_or(|later| later.fits(node, need, when, Some(task)));
        fits.then_some(Spot { at, choice, reserved: None })
    }
}
