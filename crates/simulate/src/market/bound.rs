//! What all of the work costs at least, whoever places it.
//!
//! The relaxation is a linear program over shares of starts: each task may be split over the pools
//! that may run it and over all moments between its coming and the last at which it still ends in
//! time, at the price of that moment; in each hour a pool has so many card-hours (core-hours, where
//! it has no cards) and no more. What is left out can only help: machines, memory, gangs, failures,
//! whole tasks, and that nobody knows the future. Any schedule that keeps the windows is such a set
//! of shares, so none is cheaper than the program's optimum.
//!
//! The bound is of its dual. For any prices λ ≥ 0 on the hours of pools,
//!   Σ over tasks of the least (price + λ of what it would hold) − Σ λ · capacity
//! is at most the optimum (weak duality), so it needs no solver and no trust in one: λ is climbed by
//! subgradients (Held, Wolfe and Crowder 1974; steps by Polyak's rule) and the best value counts.
//!
//! A window ends with the deadline, or later where some policy that is compared ended the job later:
//! so the bound holds for each of them, the late ones included.

use dayan_units::{Span, Time};

use super::Outcome;
use super::draw::{Market, cost};

const HOUR_MICROS: i64 = 3_600_000_000;
/// Steps of the climb. After these the value moves by less than a thousandth of itself.
const STEPS: u32 = 120;
/// Of Polyak's rule: halved when so many steps brought nothing.
const PATIENCE: u32 = 6;

/// Tasks that are alike in all that counts here.
struct Group {
    program: usize,
    from: Time,
    /// The last moment at which it may start.
    latest: Time,
    run: Span,
    tasks: f64,
}

struct Climb<'a> {
    market: &'a Market,
    groups: Vec<Group>,
    hours: usize,
    /// Of a pool in an hour, in card-hours or core-hours.
    capacity: Vec<f64>,
    /// What an hour of a pool costs a program, by hour of the day.
    prices: Vec<Vec<[f64; 24]>>,
}

/// In millionths.
pub(super) fn bound(market: &Market, outcomes: &[(&'static str, Outcome)]) -> i128 {
    let groups = groups(market, outcomes);
    let last = groups.iter().map(|group| group.latest.plus(group.run)).max();
    let length = last.unwrap_or(market.end).since(market.start).micros();
    let hours = usize::try_from(length / HOUR_MICROS + 2).expect("a few weeks");
    let climb = Climb {
        market,
        hours,
        capacity: market.pools.iter().map(|pool| amount(pool, &pool.node) * f64::from(pool.nodes)).collect(),
        prices: prices(market),
        groups,
    };
    let cheapest = outcomes.iter().map(|(_, outcome)| {
        outcome.attempts.iter().map(|attempt| attempt.cost).sum::<i128>()
    });
    climb.best(cheapest.min().unwrap_or(0) as f64)
}

/// What counts in a pool: cards where it has some.
fn amount(pool: &super::draw::Pool, of: &dayan_units::Resources) -> f64 {
    if pool.model.is_some() { of.accel.0 as f64 / 1e3 } else { of.cpu.0 as f64 / 1e3 }
}

fn prices(market: &Market) -> Vec<Vec<[f64; 24]>> {
    let of = |program: &super::draw::Program| {
        let pools = program.allowed.iter().map(|pool| &market.pools[usize::from(*pool)]);
        let hours = |pool: &super::draw::Pool| {
            std::array::from_fn(|hour| {
                cost(&pool.rate_at(hour), &program.need, Span::from_micros(HOUR_MICROS)) as f64
            })
        };
        pools.map(hours).collect()
    };
    market.programs.iter().map(of).collect()
}

fn groups(market: &Market, outcomes: &[(&'static str, Outcome)]) -> Vec<Group> {
    let of = |(nth, job): (usize, &super::draw::Job)| {
        let ends = outcomes.iter().map(|(_, outcome)| outcome.done[nth].unwrap_or(Time::EPOCH));
        let by = ends.chain(job.deadline).max().unwrap_or(job.at);
        let by = by.max(job.at.plus(job.run));
        let (program, from, run) = (job.program, job.at, job.run);
        Group { program, from, latest: by.minus(run), run, tasks: f64::from(job.tasks) }
    };
    market.jobs.iter().enumerate().map(of).collect()
}

impl Climb<'_> {
    fn best(&self, paid: f64) -> i128 {
        let pools = self.market.pools.len();
        let mut lambda = vec![0.0; pools * self.hours];
        let (mut best, mut scale, mut idle) = (f64::MIN, 1.0, 0);
        let mut used = vec![0.0; pools * self.hours];
        for _ in 0..STEPS {
            let value = self.value(&lambda, &mut used);
            if value > best {
                (best, idle) = (value, 0);
            } else {
                idle += 1;
                if idle >= PATIENCE {
                    (scale, idle) = (scale / 2.0, 0);
                }
            }
            let mut norm = 0.0;
            for (at, used) in used.iter_mut().enumerate() {
                *used -= self.capacity[at / self.hours];
                // Where the price is nothing and there is room, nothing moves.
                if *used < 0.0 && lambda[at] <= 0.0 {
                    *used = 0.0;
                }
                norm += *used * *used;
            }
            if norm <= 0.0 {
                break;
            }
            let step = scale * (paid - value).max(paid * 1e-4) / norm;
            for (lambda, used) in lambda.iter_mut().zip(&used) {
                *lambda = (*lambda + step * used).max(0.0);
            }
        }
        floor(best)
    }

    /// The dual's value at these prices, and what would be used at them.
    fn value(&self, lambda: &[f64], used: &mut [f64]) -> f64 {
        used.fill(0.0);
        // Prices of all hours before, added up: what is held costs a difference.
        let mut before = vec![0.0; self.market.pools.len() * (self.hours + 1)];
        for (pool, hours) in lambda.chunks(self.hours).enumerate() {
            let mut sum = 0.0;
            for (hour, price) in hours.iter().enumerate() {
                sum += price;
                before[pool * (self.hours + 1) + hour + 1] = sum;
            }
        }
        let mut value = 0.0;
        for group in &self.groups {
            let (least, pool, start) = self.least(group, lambda, &before);
            value += least * group.tasks;
            let need = &self.market.programs[group.program].need;
            let amount = amount(&self.market.pools[pool], need) * group.tasks;
            let used = &mut used[pool * self.hours..(pool + 1) * self.hours];
            Self::hold(used, start, group.run, amount);
        }
        let idle: f64 = lambda
            .chunks(self.hours)
            .zip(&self.capacity)
            .map(|(hours, capacity)| hours.iter().sum::<f64>() * capacity)
            .sum();
        value - idle
    }

    /// Hours since the beginning.
    fn hours_of(&self, at: Time) -> f64 {
        at.since(self.market.start).micros() as f64 / HOUR_MICROS as f64
    }

    /// The cheapest place and moment for a task. Between full hours the price stands still and what
    /// is held changes evenly, so the least is where the task begins or ends on one, or at an end of
    /// its window.
    fn least(&self, group: &Group, lambda: &[f64], before: &[f64]) -> (f64, usize, f64) {
        let program = &self.market.programs[group.program];
        let (from, latest) = (self.hours_of(group.from), self.hours_of(group.latest));
        let run = group.run.micros() as f64 / HOUR_MICROS as f64;
        let mut best = (f64::MAX, 0, from);
        for (place, pool) in program.allowed.iter().enumerate() {
            let pool = usize::from(*pool);
            let amount = amount(&self.market.pools[pool], &program.need);
            let hours = &lambda[pool * self.hours..(pool + 1) * self.hours];
            let before = &before[pool * (self.hours + 1)..(pool + 1) * (self.hours + 1)];
            let upto = |at: f64| {
                let (hour, part) = whole(at);
                before[hour] + hours.get(hour).copied().unwrap_or(0.0) * part
            };
            let prices = &self.prices[group.program][place];
            let mut look = |start: f64| {
                // Of a full hour, the price before it counts too: one may start right before it.
                let (hour, part) = whole(start);
                let mut price = prices[self.hour_of_day(hour)];
                if part < 1e-9 && hour > 0 && start > from {
                    price = price.min(prices[self.hour_of_day(hour - 1)]);
                }
                let sum = price * run + (upto(start + run) - upto(start)) * amount;
                if sum < best.0 {
                    best = (sum, pool, start);
                }
            };
            look(from);
            if latest > from {
                look(latest);
                let mut start = from.ceil();
                while start <= latest {
                    look(start);
                    start += 1.0;
                }
                let mut end = (from + run).ceil();
                while end - run <= latest {
                    look(end - run);
                    end += 1.0;
                }
            }
        }
        best
    }

    fn hour_of_day(&self, hour: usize) -> usize {
        (Market::hour_of(self.market.start) + hour) % 24
    }

    /// Adds what a task holds to each hour it touches.
    fn hold(used: &mut [f64], start: f64, run: Span, amount: f64) {
        let end = start + run.micros() as f64 / HOUR_MICROS as f64;
        let (first, _) = whole(start);
        for (hour, used) in used.iter_mut().enumerate().skip(first) {
            let (from, to) = (start.max(hour as f64), end.min((hour + 1) as f64));
            if to <= from {
                break;
            }
            *used += (to - from) * amount;
        }
    }
}

/// The hour a moment lies in, and how much of it has passed.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "hours since the beginning, a few thousand at most"
)]
fn whole(at: f64) -> (usize, f64) {
    let hour = at.max(0.0).floor();
    (hour as usize, at - hour)
}

#[expect(clippy::cast_possible_truncation, reason = "a week of a region in millionths")]
fn floor(value: f64) -> i128 {
    value.max(0.0).floor() as i128
}
