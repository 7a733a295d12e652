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
//! is at most the optimum (weak duality), so it needs no solver and no trust in one: prices rise where
//! more would be used than there is and fall where less would (subgradients, with shrinking steps:
//! Held, Wolfe and Crowder 1974), and the best value counts.
//!
//! A window ends with the deadline, or later where some policy that is compared ended the job later:
//! so the bound holds for each of them, the late ones included.

use dayan_units::{Span, Time};

use super::Outcome;
use super::draw::{Market, cost};

const HOUR_MICROS: i64 = 3_600_000_000;
/// Steps of the climb. After these the value moves by less than a thousandth of itself.
const STEPS: u32 = 100;
/// The first step moves the price of a pool that is twice full by so much of its list price; later
/// ones move it less: half as much after so many.
const STEP_FIRST: f64 = 0.1;
const STEP_SHRINKS: f64 = 5.0;
/// A pool that is more than so many times over its capacity is moved no faster.
const OVER_MAX: f64 = 2.0;

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
    /// What an hour of a card, or of a core, costs in a pool at list price.
    worth: Vec<f64>,
    /// The places of a program by their lowest price of a day.
    ranked: Vec<Vec<(f64, usize)>>,
}

/// Until when a task may start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Until {
    /// Whatever still ends before its deadline, or before anybody compared ended it.
    InTime,
    /// As early as it really started: nobody waits longer than they did.
    AsItDid,
}

/// In millionths.
pub(super) fn bound(market: &Market, outcomes: &[(&'static str, Outcome)], until: Until) -> i128 {
    let groups = groups(market, outcomes, until);
    let last = groups.iter().map(|group| group.latest.plus(group.run)).max();
    let length = last.unwrap_or(market.end).since(market.start).micros();
    let hours = usize::try_from(length / HOUR_MICROS + 2).expect("a few weeks");
    let prices = prices(market);
    let ranked = prices.iter().map(|places| rank(places)).collect();
    let climb = Climb {
        market,
        hours,
        capacity: market
            .pools
            .iter()
            .map(|pool| amount(pool, &pool.node) * f64::from(pool.nodes))
            .collect(),
        prices,
        worth: market.pools.iter().map(worth).collect(),
        ranked,
        groups,
    };
    climb.best()
}

/// What counts in a pool: cards where it has some.
fn amount(pool: &super::draw::Pool, of: &dayan_units::Resources) -> f64 {
    if pool.model.is_some() { of.accel.0 as f64 / 1e3 } else { of.cpu.0 as f64 / 1e3 }
}

fn worth(pool: &super::draw::Pool) -> f64 {
    let hour = cost(&pool.rate, &pool.node, Span::from_micros(HOUR_MICROS)) as f64;
    hour / amount(pool, &pool.node)
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

fn rank(places: &[[f64; 24]]) -> Vec<(f64, usize)> {
    let lowest = |hours: &[f64; 24]| hours.iter().copied().fold(f64::MAX, f64::min);
    let mut ranked: Vec<(f64, usize)> =
        places.iter().enumerate().map(|(place, hours)| (lowest(hours), place)).collect();
    ranked.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
    ranked
}

fn groups(market: &Market, outcomes: &[(&'static str, Outcome)], until: Until) -> Vec<Group> {
    let of = |(nth, job): (usize, &super::draw::Job)| {
        let ends = outcomes.iter().map(|(_, outcome)| outcome.done[nth].unwrap_or(Time::EPOCH));
        let deadline = job.deadline.filter(|_| until == Until::InTime);
        let by = ends.chain(deadline).max().unwrap_or(job.at);
        let by = by.max(job.at.plus(job.run));
        let (program, from, run) = (job.program, job.at, job.run);
        Group { program, from, latest: by.minus(run), run, tasks: f64::from(job.tasks) }
    };
    market.jobs.iter().enumerate().map(of).collect()
}

impl Climb<'_> {
    fn best(&self) -> i128 {
        let pools = self.market.pools.len();
        let mut lambda = vec![0.0; pools * self.hours];
        let mut best = f64::MIN;
        let mut used = vec![0.0; lambda.len()];
        // Prices swing about their best; the mean of the later ones is closer to it than any.
        let (mut mean, mut counted) = (vec![0.0; lambda.len()], 0.0);
        for step in 0..STEPS {
            best = best.max(self.value(&lambda, &mut used));
            let part = STEP_FIRST / (1.0 + f64::from(step) / STEP_SHRINKS);
            for (at, (lambda, used)) in lambda.iter_mut().zip(&used).enumerate() {
                let pool = at / self.hours;
                let over = (used / self.capacity[pool] - 1.0).clamp(-1.0, OVER_MAX);
                *lambda = (*lambda + part * self.worth[pool] * over).max(0.0);
            }
            if step >= STEPS / 2 {
                counted += 1.0;
                mean.iter_mut().zip(&lambda).for_each(|(mean, lambda)| *mean += lambda);
            }
        }
        for mean in &mut mean {
            *mean /= counted;
        }
        best = best.max(self.value(&mean, &mut used));
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
        for &(list, place) in &self.ranked[group.program] {
            // What is held costs nothing at least, so no dearer pool can be better.
            if list * run >= best.0 {
                break;
            }
            let pool = usize::from(program.allowed[place]);
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

#[cfg(test)]
mod tests {
    use super::super::sample::market;
    use super::*;

    /// In CNY, for jobs of an hour at 5 CNY near and 10 CNY far, one card each.
    fn bound_of(jobs: usize, slack_hours: Option<i64>) -> f64 {
        let slack = slack_hours.map(|hours| Span::from_secs(hours * 3_600));
        let market = market(jobs, slack);
        let outcome = Outcome { done: vec![None; jobs], ..Outcome::default() };
        bound(&market, &[("nobody", outcome)], Until::InTime) as f64 / 1e6
    }

    #[test]
    fn it_comes_close_to_the_least_cost_and_never_over_it() {
        let check = |jobs, slack, least: f64| {
            let found = bound_of(jobs, slack);
            assert!(found <= least + 1e-6, "{jobs} jobs, slack {slack:?}: {found} over {least}");
            assert!(found >= least * 0.95, "{jobs} jobs, slack {slack:?}: {found} under {least}");
        };
        // One fits near; the second goes far, or waits an hour where it may.
        check(1, None, 5.0);
        check(2, None, 15.0);
        check(2, Some(1), 10.0);
        // Three in two hours near, one far.
        check(3, Some(1), 20.0);
    }
}
