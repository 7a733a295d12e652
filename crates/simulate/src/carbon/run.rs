//! One run: jobs come through a year, and a policy chooses their half-hours.

use std::ops::Range;

use dayan_schedule::Work;
use dayan_schedule::shift::{Cost, Flexible, Manner, Objective, Room, Runs, Slots, Tariff, decide};
use serde::Serialize;
use thiserror::Error;

use super::audit::{Broken, recheck, sum, unlimited_optimum};
use super::jobs::{Deadline, ShiftJob, draw};
use super::picture::Course;
use super::series::DAY;
use super::year::Year;
use crate::random::Random;

/// Who chooses the half-hours. None of these is what the live exchange runs: that finds each job the
/// best hours among those it knows, one by one, as `schedule::hours` and `schedule::appoint` have it.
/// These show what choosing better could save.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CarbonPolicy {
    /// All jobs that are known and can still be moved, together, whenever one comes.
    Together,
    /// Each job once, when it comes, in the room that those before it left: the paper's rule.
    Alone,
    /// All jobs of the year together, as if all were known on its first day.
    Foresight,
}

impl CarbonPolicy {
    /// Every policy.
    pub const ALL: [Self; 3] = [Self::Together, Self::Alone, Self::Foresight];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Together => "together",
            Self::Alone => "alone",
            Self::Foresight => "foresight",
        }
    }

    /// The policy of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

/// How many jobs may run at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capacity {
    /// Any number.
    Unlimited,
    /// So many.
    Jobs(u32),
    /// So many hundredths of the most that run at once where none is shifted.
    PercentOfPeak(u32),
}

/// What decisions know of the series.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Knowledge {
    /// The series with a normal error, independent for every half-hour; so many millionths of the
    /// mean is its deviation.
    Noisy(u32),
    /// The series.
    Exact,
}

/// What is tried.
#[derive(Clone, Debug)]
pub struct Trial<'a> {
    /// The series.
    pub year: &'a Year,
    /// Millionths of the currency for a kilowatt-hour, one for each half-hour of the series.
    pub prices: &'a [i64],
    /// How many jobs there are, or which.
    pub jobs: Jobs<'a>,
    /// Until when.
    pub deadline: Deadline,
    /// Whether jobs may be interrupted.
    pub manner: Manner,
    /// How many at once.
    pub capacity: Capacity,
    /// What the forecast is worth.
    pub knowledge: Knowledge,
    /// By what half-hours are chosen.
    pub objective: Objective,
    /// Who chooses.
    pub policy: CarbonPolicy,
}

/// Where jobs come from.
#[derive(Clone, Copy, Debug)]
pub enum Jobs<'a> {
    /// So many, drawn.
    Drawn(u32),
    /// These; a seed is then for the noise only.
    Listed(&'a [ShiftJob]),
}

/// A run of one seed. Shares are of what the same jobs come to where none is shifted, in hundredths.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct SeedReport {
    /// The seed.
    pub seed: u64,
    /// Carbon saved.
    pub saved_pct: f64,
    /// Carbon saved where every job is alone, nothing is limited and the series is known: enumerated.
    pub optimum_pct: f64,
    /// The most that could be saved of what is chosen by, under the limit, with the series and all
    /// jobs known. None where even then some would be late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_pct: Option<f64>,
    /// Price saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub price_saved_pct: Option<f64>,
    /// Saved of what is chosen by: carbon, price, or price with priced carbon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objective_saved_pct: Option<f64>,
    /// How many jobs ended after they had to.
    pub late: u32,
    /// The most that ran at once.
    pub peak: u32,
    /// The most that run at once where none is shifted.
    pub unshifted_peak: u32,
    /// How many might.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
}

/// Runs of several seeds.
#[derive(Clone, PartialEq, Debug)]
pub struct CarbonReport {
    /// How many jobs there are.
    pub jobs: usize,
    /// One for each seed.
    pub seeds: Vec<SeedReport>,
    /// Of the first of them, for a picture.
    pub course: Course,
}

/// Elementary steps for one decision about the jobs of a few days, and for one about a whole year.
const WORK: Work = Work(2_000_000);
const WORK_FOR_YEAR: Work = Work(400_000_000);
/// A job without room may end a day later, at most so often.
const DAYS_LATE_MAX: u32 = 60;

/// Why a trial did not run to its end.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TrialError {
    /// A rule is broken.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// There is not room for the jobs, wherever in the series they run.
    #[error(
        "the jobs take {needed} half-hours from the first one's coming on, and {capacity} at once \
         leave {room} until the series ends"
    )]
    NoRoom {
        /// What they take.
        needed: u64,
        /// How many may run at once.
        capacity: u32,
        /// What there is.
        room: u64,
    },
}

/// Runs a trial for every seed. `progress` hears how much of all is done, from 0 to 1.
pub fn run(
    trial: &Trial<'_>,
    seeds: &[u64],
    progress: &mut dyn FnMut(f64),
) -> Result<CarbonReport, TrialError> {
    let mut jobs = 0;
    let mut reports = Vec::new();
    let mut course = None;
    for (nth, &seed) in seeds.iter().enumerate() {
        let part = |part: f64| (nth as f64 + part) / seeds.len() as f64;
        let (of, report) = run_seed(trial, seed, &mut |done| progress(part(done)))?;
        jobs = of.jobs.len();
        reports.push(report);
        course.get_or_insert(of);
    }
    Ok(CarbonReport { jobs, seeds: reports, course: course.unwrap_or_default() })
}

/// Runs a trial for one seed: how each job fared, and what came of it.
pub fn run_seed(
    trial: &Trial<'_>,
    seed: u64,
    progress: &mut dyn FnMut(f64),
) -> Result<(Course, SeedReport), TrialError> {
    let year = trial.year;
    let jobs = match trial.jobs {
        Jobs::Drawn(count) => draw(year, count, trial.deadline, seed),
        Jobs::Listed(listed) => listed.to_vec(),
    };
    let unshifted: Vec<Range<u32>> =
        jobs.iter().map(|job| job.start..job.start + job.slots).collect();
    let unshifted_load = load_of(&unshifted, year.len());
    let unshifted_peak = unshifted_load.iter().copied().max().unwrap_or(0);
    let capacity = match trial.capacity {
        Capacity::Unlimited => None,
        Capacity::Jobs(most) => Some(most),
        Capacity::PercentOfPeak(percent) => {
            let jobs = (u64::from(unshifted_peak) * u64::from(percent)).div_ceil(100);
            Some(u32::try_from(jobs).unwrap_or(u32::MAX))
        }
    };
    if let Some(capacity) = capacity {
        // Where even all half-hours are too few, most would be late by more than is looked for.
        let needed = jobs.iter().map(|job| u64::from(job.slots)).sum();
        let first = jobs.iter().map(|job| job.start).min().unwrap_or(0);
        let room = u64::from(year.len() - first) * u64::from(capacity);
        if needed > room {
            return Err(TrialError::NoRoom { needed, capacity, room });
        }
    }
    let seen = forecast(&year.carbon, trial.knowledge, seed);
    let mut desk = Desk {
        costs: costs(trial.objective, &seen, trial.prices),
        capacity,
        manner: trial.manner,
        granted: jobs.clone(),
        runs: vec![Runs::new(); jobs.len()],
    };
    match trial.policy {
        CarbonPolicy::Together => desk.as_they_come(progress),
        CarbonPolicy::Alone => desk.each_once(progress),
        CarbonPolicy::Foresight => desk.all_at_once(),
    }
    let runs: Vec<Vec<Range<u32>>> = desk.runs.iter().map(|runs| runs.to_vec()).collect();
    let load = recheck(&desk.granted, &runs, trial.manner, capacity, year.len())?;
    let late = jobs
        .iter()
        .zip(&desk.runs)
        .filter(|(job, runs)| runs.last().is_some_and(|run| run.end > job.latest));
    let late = u32::try_from(late.count()).unwrap_or(u32::MAX);

    let real = costs(trial.objective, &year.carbon, trial.prices);
    let whole = |series: &[i64]| -> Vec<i128> { series.iter().map(|v| i128::from(*v)).collect() };
    let carbon = whole(&year.carbon);
    let firsts: Vec<i128> = real.iter().map(|cost| cost.first).collect();
    let start = |series: &[i128]| -> i128 {
        jobs.iter().map(|job| not_shifted(job, trial.deadline, &carbon, series)).sum()
    };
    let emitted = sum(&load, &year.carbon);
    let least: i128 = jobs.iter().map(|job| unlimited_optimum(job, trial.manner, &carbon)).sum();
    let bound = bound(&desk, &real).map(|bound| saved(bound, start(&firsts)));
    let priced = trial.prices.iter().any(|price| *price != 0);
    let objective: i128 =
        load.iter().zip(&firsts).map(|(load, cost)| i128::from(*load) * cost).sum();
    let report = SeedReport {
        seed,
        saved_pct: saved(emitted, start(&carbon)),
        optimum_pct: saved(least, start(&carbon)),
        bound_pct: bound,
        price_saved_pct: priced
            .then(|| saved(sum(&load, trial.prices), start(&whole(trial.prices)))),
        objective_saved_pct: priced.then(|| saved(objective, start(&firsts))),
        late,
        peak: load.iter().copied().max().unwrap_or(0),
        unshifted_peak,
        capacity,
    };
    let emits = |runs: &[Range<u32>]| -> i64 {
        runs.iter().flat_map(|run| &year.carbon[run.start as usize..run.end as usize]).sum()
    };
    let of_job = |(before, runs): (&Range<u32>, &Vec<Range<u32>>)| {
        let end = runs.last().map_or(before.end, |run| run.end);
        let whole = emits(std::slice::from_ref(before));
        let left = if whole == 0 { 1.0 } else { emits(runs) as f64 / whole as f64 };
        (end.saturating_sub(before.end), left)
    };
    let course = Course {
        jobs: unshifted.iter().zip(&runs).map(of_job).collect(),
        shifted: load,
        unshifted: unshifted_load,
        carbon: year.carbon.clone(),
    };
    Ok((course, report))
}

fn saved(now: i128, before: i128) -> f64 {
    // At prices below zero less is better all the same.
    if before == 0 { 0.0 } else { (before - now) as f64 / before.unsigned_abs() as f64 * 100.0 }
}

/// What a job comes to, by one series, where it is not shifted: it starts at once, or (published
/// protocol) in the next half-hour if that emits less.
fn not_shifted(job: &ShiftJob, deadline: Deadline, carbon: &[i128], series: &[i128]) -> i128 {
    let total = |of: &[i128], start: u32| -> i128 {
        of[start as usize..(start + job.slots) as usize].iter().sum()
    };
    let last = (job.start + deadline.grace()).min(job.latest - job.slots);
    let start = (job.start..=last).min_by_key(|start| total(carbon, *start)).unwrap_or(job.start);
    total(series, start)
}

fn load_of(runs: &[Range<u32>], len: u32) -> Vec<u32> {
    let mut load = vec![0; len as usize];
    for run in runs {
        load[run.start as usize..run.end as usize].iter_mut().for_each(|load| *load += 1);
    }
    load
}

fn costs(objective: Objective, carbon: &[i64], prices: &[i64]) -> Vec<Cost> {
    let cost = |(carbon_mg, price_micro): (&i64, &i64)| {
        objective.cost(Tariff { carbon_mg: *carbon_mg, price_micro: *price_micro })
    };
    carbon.iter().zip(prices).map(cost).collect()
}

/// The series as decisions see it. The error is the sum of 1,024 coins, smoothed: normal to within
/// what 17,568 draws can show, and the same on every machine, which a logarithm would not be.
fn forecast(carbon: &[i64], knowledge: Knowledge, seed: u64) -> Vec<i64> {
    const COINS: i64 = 1_024;
    /// The square root of a quarter of the coins.
    const DEVIATION: i128 = 16;
    const PARTS: i64 = 1 << 16;
    let Knowledge::Noisy(millionths) = knowledge else { return carbon.to_vec() };
    let mut random = Random::new(seed, u64::from_be_bytes(*b"forecast"));
    let mean = carbon.iter().map(|mg| i128::from(*mg)).sum::<i128>() / carbon.len().max(1) as i128;
    let error = |mg: &i64| {
        let heads: i64 = (0..COINS / 64).map(|_| i64::from(random.bits().count_ones())).sum();
        let smooth = random.between(-PARTS / 2, PARTS / 2 - 1);
        let deviates = i128::from((heads - COINS / 2) * PARTS + smooth);
        let error =
            deviates * mean * i128::from(millionths) / (DEVIATION * i128::from(PARTS) * 1_000_000);
        mg + i64::try_from(error).expect("an error is some of the mean")
    };
    carbon.iter().map(error).collect()
}

/// The bound: all jobs known, the series known, and every job granted what it was in the run.
fn bound(desk: &Desk, real: &[Cost]) -> Option<i128> {
    let desk = Desk { costs: real.to_vec(), runs: desk.runs.clone(), ..desk.clone() };
    let flexible: Vec<Flexible> =
        (0..desk.granted.len()).map(|job| desk.flexible(job, 0, desk.runs[job].clone())).collect();
    let slots = desk.slots(0, desk.costs.len(), |_| 0);
    decide(&slots, &flexible, WORK_FOR_YEAR).bound
}

/// Where decisions are made: what was granted, and what was decided.
#[derive(Clone)]
struct Desk {
    costs: Vec<Cost>,
    capacity: Option<u32>,
    manner: Manner,
    /// The jobs; the latest end is put off where there was no room.
    granted: Vec<ShiftJob>,
    runs: Vec<Runs>,
}

impl Desk {
    /// Slots from one on, less what runs there already.
    fn slots(&self, from: u32, to: usize, taken: impl Fn(u32) -> u32) -> Slots {
        let room = |slot: u32| match self.capacity {
            None => Room::Unlimited,
            Some(most) => Room::Units(most.saturating_sub(taken(slot))),
        };
        let costs = self.costs[from as usize..to].iter().zip(from..);
        Slots::new(costs.map(|(cost, slot)| (*cost, room(slot))))
    }

    /// A job as the decider sees it from `now` on.
    fn flexible(&self, job: usize, now: u32, promised: Runs) -> Flexible {
        let of = self.granted[job];
        let done: u32 = match self.manner {
            Manner::Whole => 0,
            Manner::Parts => {
                self.runs[job].iter().map(|run| run.end.min(now).saturating_sub(run.start)).sum()
            }
        };
        Flexible {
            earliest: of.start.max(now) - now,
            latest: of.latest - now,
            slots: of.slots - done,
            width: 1,
            manner: self.manner,
            promised: promised.into_iter().map(|run| run.start - now..run.end - now).collect(),
        }
    }

    /// Decides about jobs from `now` on, beside what runs and cannot be moved. Those without room
    /// may end a day later, until all have room.
    fn settle(&mut self, jobs: &[usize], now: u32, taken: &[u32], work: Work) {
        for _ in 0..=DAYS_LATE_MAX {
            let to = jobs.iter().map(|job| self.granted[*job].latest).max().unwrap_or(now);
            let slots = self.slots(now, to as usize, |slot| taken[slot as usize]);
            let flexible: Vec<Flexible> =
                jobs.iter().map(|job| self.flexible(*job, now, self.ahead(*job, now))).collect();
            let decision = decide(&slots, &flexible, work);
            let mut short = false;
            for (job, seat) in jobs.iter().zip(&decision.seats) {
                if seat.short > 0 {
                    short = true;
                    let of = &mut self.granted[*job];
                    of.latest =
                        (of.latest + DAY).min(u32::try_from(self.costs.len()).unwrap_or(u32::MAX));
                }
            }
            if !short {
                for (job, seat) in jobs.iter().zip(decision.seats) {
                    let mut runs: Runs = self.behind(*job, now);
                    for run in seat.runs {
                        let run = run.start + now..run.end + now;
                        match runs.last_mut() {
                            Some(last) if last.end == run.start => last.end = run.end,
                            Some(_) | None => runs.push(run),
                        }
                    }
                    self.runs[*job] = runs;
                }
                return;
            }
        }
    }

    /// What a job has run before `now`.
    fn behind(&self, job: usize, now: u32) -> Runs {
        let before = self.runs[job].iter().filter(|run| run.start < now);
        before.map(|run| run.start..run.end.min(now)).collect()
    }

    /// What it is to run from `now` on.
    fn ahead(&self, job: usize, now: u32) -> Runs {
        let after = self.runs[job].iter().filter(|run| run.end > now);
        after.map(|run| run.start.max(now)..run.end).collect()
    }

    fn all_at_once(&mut self) {
        // Where they fit beside each other unshifted, that is promised.
        let unshifted: Vec<Range<u32>> =
            self.granted.iter().map(|job| job.start..job.start + job.slots).collect();
        let load = load_of(&unshifted, u32::try_from(self.costs.len()).unwrap_or(u32::MAX));
        if self.capacity.is_none_or(|most| load.iter().all(|load| *load <= most)) {
            self.runs = unshifted.into_iter().map(|run| Runs::from_iter([run])).collect();
        }
        let jobs: Vec<usize> = (0..self.granted.len()).collect();
        let none = vec![0; self.costs.len()];
        self.settle(&jobs, 0, &none, WORK_FOR_YEAR);
    }

    fn each_once(&mut self, progress: &mut dyn FnMut(f64)) {
        let mut taken = vec![0; self.costs.len()];
        for job in 0..self.granted.len() {
            progress(job as f64 / self.granted.len() as f64);
            self.settle(&[job], self.granted[job].start, &taken, WORK);
            for run in &self.runs[job] {
                taken[run.start as usize..run.end as usize].iter_mut().for_each(|t| *t += 1);
            }
        }
    }

    fn as_they_come(&mut self, progress: &mut dyn FnMut(f64)) {
        let mut taken = vec![0; self.costs.len()];
        let mut open: Vec<usize> = Vec::new();
        let mut next = 0;
        while next < self.granted.len() {
            progress(next as f64 / self.granted.len() as f64);
            let now = self.granted[next].start;
            // Who runs through cannot be moved once started; who may be interrupted is done when
            // nothing of it is left.
            open.retain(|job| {
                let runs = &self.runs[*job];
                match self.manner {
                    Manner::Parts => runs.last().is_some_and(|run| run.end > now),
                    Manner::Whole => {
                        let started = runs.first().filter(|run| run.start < now);
                        if let Some(run) = started {
                            let run = run.start as usize..run.end as usize;
                            taken[run].iter_mut().for_each(|t| *t += 1);
                        }
                        started.is_none()
                    }
                }
            });
            while next < self.granted.len() && self.granted[next].start == now {
                open.push(next);
                next += 1;
            }
            let jobs = open.clone();
            self.settle(&jobs, now, &taken, WORK);
        }
    }
}
