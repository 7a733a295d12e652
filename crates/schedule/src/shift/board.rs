//! What is seated so far, and what room is left. Every change of a seat goes through here, so room
//! and seats never disagree.

use std::ops::Range;

use super::cost::Cost;
use super::place::{Tally, cheapest};
use super::{Flexible, Runs, Seat, Slots};
use crate::policy::Work;

/// Seats and room.
pub(super) struct Board<'a> {
    pub slots: &'a Slots,
    pub jobs: &'a [Flexible],
    /// Room that is left.
    free: Vec<i64>,
    /// Empty where a job has no seat.
    seats: Vec<Runs>,
    limit: u64,
    done: u64,
}

/// How good a set of seats is: first whatever finds room, then the cost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Worth {
    /// Promised jobs without room: none, unless promises did not fit beside each other.
    pub broken: u32,
    /// Slots times width without room.
    pub short: u64,
    pub cost: Cost,
}

impl<'a> Board<'a> {
    pub fn new(slots: &'a Slots, jobs: &'a [Flexible], work: Work) -> Self {
        let seats = vec![Runs::new(); jobs.len()];
        Self { slots, jobs, free: slots.room.clone(), seats, limit: work.0, done: 0 }
    }

    /// Counts elementary steps: slots looked at.
    pub fn count(&mut self, steps: usize) {
        self.done = self.done.saturating_add(steps as u64);
    }

    pub const fn spent(&self) -> bool {
        self.done >= self.limit
    }

    /// Whether the given part of the work is done: one half for 2.
    pub const fn over(&self, part: u64) -> bool {
        self.done >= self.limit / part
    }

    pub const fn work_done(&self) -> Work {
        Work(self.done)
    }

    pub fn free(&self) -> &[i64] {
        &self.free
    }

    pub fn seat(&self, job: usize) -> &Runs {
        &self.seats[job]
    }

    pub fn all_seats(&self) -> Vec<Runs> {
        self.seats.clone()
    }

    pub fn fits(&self, job: usize, runs: &[Range<u32>]) -> bool {
        let width = i64::from(self.jobs[job].width);
        let has = |run: &Range<u32>| {
            self.free[run.start as usize..run.end as usize].iter().all(|free| *free >= width)
        };
        runs.iter().all(has)
    }

    /// Gives a job these slots, whether or not there is room: the caller sees to that.
    pub fn put(&mut self, job: usize, runs: Runs) {
        debug_assert!(self.seats[job].is_empty());
        self.shift(job, &runs, -1);
        self.seats[job] = runs;
    }

    /// Takes a job's slots away.
    pub fn lift(&mut self, job: usize) -> Runs {
        let runs = std::mem::take(&mut self.seats[job]);
        self.shift(job, &runs, 1);
        runs
    }

    fn shift(&mut self, job: usize, runs: &[Range<u32>], sign: i64) {
        let width = sign * i64::from(self.jobs[job].width);
        for run in runs {
            self.free[run.start as usize..run.end as usize].iter_mut().for_each(|f| *f += width);
        }
    }

    /// The cheapest place that is free, by the slots' own costs or by others.
    pub fn cheapest(&mut self, job: usize, tally: &Tally) -> Option<(Cost, Runs)> {
        let of = &self.jobs[job];
        self.count((of.latest - of.earliest.min(of.latest)) as usize);
        cheapest(of, tally, &self.free)
    }

    pub fn cost_of(&self, job: usize) -> Cost {
        self.slots.cost(&self.seats[job], self.jobs[job].width)
    }

    /// How many slots of a job have no room.
    pub fn short(&self, job: usize) -> u32 {
        let seated: u32 = self.seats[job].iter().map(|run| run.end - run.start).sum();
        self.jobs[job].slots - seated.min(self.jobs[job].slots)
    }

    pub fn worth(&self) -> Worth {
        let mut worth = Worth { broken: 0, short: 0, cost: Cost::ZERO };
        for (job, of) in self.jobs.iter().enumerate() {
            worth.broken += u32::from(!of.promised.is_empty() && self.short(job) > 0);
            worth.short += u64::from(self.short(job)) * u64::from(of.width);
            worth.cost += self.cost_of(job);
        }
        worth
    }

    /// Replaces all seats.
    pub fn set(&mut self, seats: Vec<Runs>) {
        self.free.clone_from(&self.slots.room);
        self.seats = seats;
        for job in 0..self.jobs.len() {
            let runs = self.seats[job].clone();
            self.shift(job, &runs, -1);
        }
    }

    pub fn seats(&self) -> Vec<Seat> {
        let seat = |job: usize| Seat { runs: self.seats[job].clone(), short: self.short(job) };
        (0..self.jobs.len()).map(seat).collect()
    }

    /// Seats every job where it would be with all the room to itself. False, and nobody is seated,
    /// where they do not fit beside each other: otherwise nothing can be better.
    pub fn seat_each_alone(&mut self) -> bool {
        for job in 0..self.jobs.len() {
            let of = &self.jobs[job];
            self.count((of.latest - of.earliest.min(of.latest)) as usize);
            let place = cheapest(of, &self.slots.tally, &self.slots.room);
            let seated = match place {
                Some((_, runs)) if self.fits(job, &runs) => {
                    self.put(job, runs);
                    true
                }
                Some(_) | None => of.slots == 0,
            };
            if !seated {
                self.set(vec![Runs::new(); self.jobs.len()]);
                return false;
            }
        }
        true
    }
}
