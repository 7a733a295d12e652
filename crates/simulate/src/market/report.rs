//! What a policy made of a market, in figures. The same sums for the exchange and for every rule
//! beside it.

use std::collections::BTreeMap;

use dayan_units::Time;
use serde::Serialize;

use super::draw::Market;
use super::recheck::Misplaced;
use super::{Apart, Outcome, Run};

const HOUR_MICROS: f64 = 3.6e9;

/// A market's figures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct MarketReport {
    /// Of the scenario.
    pub scenario: String,
    /// Of all draws.
    pub seed: u64,
    /// For how many days jobs came.
    pub days: u32,
    /// Who sells.
    pub providers: usize,
    /// Pools of theirs.
    pub pools: usize,
    /// Machines in them.
    pub nodes: u64,
    /// FP16, dense, by the device catalogue.
    pub eflops: f64,
    /// Who buys.
    pub consumers: usize,
    /// Jobs that came.
    pub jobs: usize,
    /// Their tasks.
    pub tasks: u64,
    /// Of those jobs, with a deadline.
    pub with_deadline: usize,
    /// Of those jobs, with a delay class.
    pub with_delay: usize,
    /// Of those jobs, that may not leave their province or domestic hardware.
    pub with_residence: usize,
    /// Jobs that their consumers could not pay for; they are in no other figure but the checks.
    pub unpaid: Apart,
    /// What nobody could have paid less than, keeping the deadlines.
    pub bound_cost: String,
    /// The same where no job ends later than the exchange ended it: what was not to be saved
    /// without letting anybody wait longer.
    pub prompt_bound_cost: String,
    /// Of all amounts.
    pub currency: &'static str,
    /// The exchange, then the rules beside it.
    pub policies: Vec<PolicyReport>,
    /// What was checked of the exchange.
    pub checks: Checks,
}

/// One policy's figures.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct PolicyReport {
    /// Which.
    pub policy: &'static str,
    /// What consumers paid.
    pub cost: String,
    /// Over the bound, in percent.
    pub over_bound_pct: f64,
    /// Tonnes of CO₂.
    pub carbon_t: f64,
    /// Jobs that ended well.
    pub jobs_done: usize,
    /// Card-hours that came to something.
    pub card_hours: f64,
    /// Core-hours of pools without cards that came to something.
    pub core_hours: f64,
    /// Jobs that ended after their deadline, or not at all.
    pub deadline_misses: usize,
    /// Attempts farther away than their class allows.
    pub delay_violations: u64,
    /// Attempts outside their province, or on hardware that is not domestic.
    pub residence_violations: u64,
    /// Of the cards while jobs came.
    pub utilisation: f64,
    /// Of the cores of pools without cards.
    pub core_utilisation: f64,
    /// Of the cards of each model, and of the cores beside none.
    pub utilisation_by_model: BTreeMap<&'static str, f64>,
    /// From a job's coming to its first task's start.
    pub mean_wait_s: f64,
    /// Of a hundred jobs, 99 waited at most this.
    pub p99_wait_s: i64,
    /// The longest.
    pub max_wait_s: i64,
    /// Of the providers' incomes: 0 where all earn alike, 1 where one earns all.
    pub gini: f64,
    /// When the last job ended, in hours after the last day.
    pub drained_h: f64,
}

/// What was checked while the exchange ran, and how much of it there was.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Checks {
    /// Debits are credits, the books kept beside say the same, no hold is left.
    pub books_balanced: bool,
    /// No machine over what it has, no card twice, gangs whole.
    pub capacity_ok: bool,
    /// What consumers spent, by the books kept beside.
    pub spent: String,
    /// What of it providers earned; the rest is the exchange's fee.
    pub earned: String,
    /// Events.
    pub events: u64,
    /// Batches committed.
    pub commits: u64,
    /// Leases given.
    pub leases: u64,
    /// Settlement windows closed.
    pub windows: u64,
    /// Attempts that were not billed to their end, or not at all.
    pub waived: u64,
    /// Attempts that ended with their machine.
    pub node_failures: u64,
    /// Attempts that were lost with their link.
    pub lost: u64,
    /// Attempts that were stopped because their next window could not be paid for.
    pub unfunded: u64,
    /// Commands refused, by code.
    pub refusals: BTreeMap<String, u64>,
    /// SHA-256 of the journal.
    pub journal: String,
}

/// What the work costs at least, in millionths.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub in_time: i128,
    pub as_it_did: i128,
}

pub(super) fn decimal(micro: i128) -> String {
    let whole = i64::try_from(micro).map_or(i64::MAX, |micro| micro);
    // To the fen: what anybody reads of a region's week.
    let fen = (whole + 5_000).div_euclid(10_000);
    format!("{}.{:02}", fen.div_euclid(100), fen.rem_euclid(100))
}

pub(super) fn report(
    run: &Run<'_>,
    market: &Market,
    mut policies: Vec<PolicyReport>,
    bounds: &Bounds,
    (checks, unpaid): (Checks, Apart),
) -> MarketReport {
    for policy in &mut policies {
        let cost: f64 = policy.cost.parse().expect("a decimal of ours");
        // Of nothing, nothing is too much.
        if bounds.in_time > 0 {
            let over = cost / (bounds.in_time as f64 / 1e6) - 1.0;
            policy.over_bound_pct = rounded(over * 100.0, 1e3);
        }
    }
    let program = |job: &super::draw::Job| &market.programs[job.program];
    let count =
        |of: &dyn Fn(&super::draw::Job) -> bool| market.jobs.iter().filter(|job| of(job)).count();
    MarketReport {
        scenario: run.scenario.name.clone(),
        seed: run.seed,
        days: run.days,
        providers: market.providers.len(),
        pools: market.pools.len(),
        nodes: market.pools.iter().map(|pool| u64::from(pool.nodes)).sum(),
        eflops: rounded(run.scenario.size().eflops, 1e3),
        consumers: market.consumers.len(),
        jobs: market.jobs.len(),
        tasks: market.jobs.iter().map(|job| u64::from(job.tasks)).sum(),
        with_deadline: count(&|job| job.deadline.is_some()),
        with_delay: count(&|job| program(job).asks.delay.is_some()),
        with_residence: count(&|job| {
            program(job).asks.region.is_some() || program(job).asks.domestic
        }),
        unpaid,
        bound_cost: decimal(bounds.in_time),
        prompt_bound_cost: decimal(bounds.as_it_did),
        currency: "CNY",
        policies,
        checks: Checks { capacity_ok: true, ..checks },
    }
}

/// To so many parts of one: more digits would say nothing.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

pub(super) fn policy(
    market: &Market,
    policy: &'static str,
    outcome: &Outcome,
    misplaced: &Misplaced,
) -> PolicyReport {
    let mut sums = Sums::default();
    let mut income = vec![0i128; market.providers.len()];
    let mut first: Vec<Option<Time>> = vec![None; market.jobs.len()];
    for attempt in &outcome.attempts {
        let pool = &market.pools[attempt.pool];
        let job = &market.jobs[attempt.job];
        let need = &market.programs[job.program].need;
        income[pool.provider] += attempt.cost;
        let begun = &mut first[attempt.job];
        *begun = Some(begun.map_or(attempt.from, |known| known.min(attempt.from)));
        let hours = |until: Time| until.since(attempt.from).micros().max(0) as f64 / HOUR_MICROS;
        let (all, inside) = (hours(attempt.until), hours(attempt.until.min(market.end)));
        let (cards, cores) = (need.accel.0 as f64 / 1e3, need.cpu.0 as f64 / 1e3);
        let on_cards = pool.model.is_some();
        sums.cost += attempt.cost;
        // Milliwatts and milligrams: a gram is 10⁹ of their products over an hour and a kilowatt.
        let kilowatts = pool.milliwatts(need) as f64 / 1e6;
        sums.grams += kilowatts * all * pool.milligrams_per_kwh() as f64 / 1e3;
        let busy = sums.by_model.entry(model_of(pool)).or_default();
        *busy += inside * if on_cards { cards } else { cores };
        if on_cards {
            sums.busy_cards += cards * inside;
        } else {
            sums.busy_cores += cores * inside;
        }
        if attempt.ended_well {
            let use_of = if on_cards { &mut sums.card_hours } else { &mut sums.core_hours };
            *use_of += all * if on_cards { cards } else { cores };
        }
    }
    let days = market.end.since(market.start).micros() as f64 / HOUR_MICROS;
    let has = |which: &dyn Fn(&super::draw::Pool) -> bool| {
        let of = |pool: &super::draw::Pool| {
            let each = if pool.model.is_some() { pool.node.accel.0 } else { pool.node.cpu.0 };
            each as f64 / 1e3 * f64::from(pool.nodes)
        };
        market.pools.iter().filter(|pool| which(pool)).map(of).sum::<f64>() * days
    };
    let mut waits: Vec<i64> = Vec::with_capacity(first.len());
    for (job, first) in market.jobs.iter().zip(&first) {
        waits.extend(first.map(|first| first.since(job.at).micros()));
    }
    waits.sort_unstable();
    let p99 = waits.get(waits.len().saturating_sub(1) * 99 / 100).copied().unwrap_or(0);
    let missed = market.jobs.iter().zip(&outcome.done).filter(|(job, done)| {
        job.deadline.is_some_and(|deadline| done.is_none_or(|done| done > deadline))
    });
    let last = outcome.done.iter().flatten().max().copied().unwrap_or(market.end);
    let share = |part: f64, whole: f64| if whole > 0.0 { rounded(part / whole, 1e4) } else { 0.0 };
    PolicyReport {
        policy,
        cost: decimal(sums.cost),
        over_bound_pct: 0.0,
        carbon_t: rounded(sums.grams / 1e6, 1e3),
        jobs_done: outcome.done.iter().flatten().count(),
        card_hours: rounded(sums.card_hours, 1e1),
        core_hours: rounded(sums.core_hours, 1e1),
        deadline_misses: missed.count(),
        delay_violations: misplaced.delay,
        residence_violations: misplaced.residence,
        utilisation: share(sums.busy_cards, has(&|pool| pool.model.is_some())),
        core_utilisation: share(sums.busy_cores, has(&|pool| pool.model.is_none())),
        utilisation_by_model: sums
            .by_model
            .iter()
            .map(|(model, busy)| (*model, share(*busy, has(&|pool| model_of(pool) == *model))))
            .collect(),
        mean_wait_s: {
            let all: i128 = waits.iter().map(|wait| i128::from(*wait)).sum();
            rounded(all as f64 / 1e6 / waits.len().max(1) as f64, 1e1)
        },
        p99_wait_s: p99 / 1_000_000,
        max_wait_s: waits.last().copied().unwrap_or(0) / 1_000_000,
        gini: rounded(gini(income), 1e4),
        drained_h: rounded(last.since(market.end).micros() as f64 / HOUR_MICROS, 1e1),
    }
}

const fn model_of(pool: &super::draw::Pool) -> &'static str {
    match pool.model {
        Some(model) => model.name,
        None => "none",
    }
}

#[derive(Default)]
struct Sums {
    by_model: BTreeMap<&'static str, f64>,
    cost: i128,
    grams: f64,
    card_hours: f64,
    core_hours: f64,
    busy_cards: f64,
    busy_cores: f64,
}

/// Half the mean difference of all pairs over the mean (Gini 1912), from the sorted list.
fn gini(mut incomes: Vec<i128>) -> f64 {
    incomes.sort_unstable();
    let (count, sum) = (incomes.len() as f64, incomes.iter().sum::<i128>() as f64);
    if sum <= 0.0 {
        return 0.0;
    }
    let ranked: f64 =
        incomes.iter().enumerate().map(|(nth, income)| (nth + 1) as f64 * *income as f64).sum();
    2.0 * ranked / (count * sum) - (count + 1.0) / count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn incomes_alike_are_zero_and_one_alone_is_nearly_one() {
        let check = |incomes: &[i128], expect: f64| {
            assert!((gini(incomes.to_vec()) - expect).abs() < 1e-9, "{incomes:?}");
        };
        check(&[5, 5, 5, 5], 0.0);
        check(&[0, 0, 0, 8], 0.75);
        check(&[1, 3], 0.25);
        check(&[0, 0], 0.0);
        check(&[], 0.0);
    }

    #[test]
    fn amounts_are_told_to_the_fen() {
        let check = |micro, expect: &str| assert_eq!(decimal(micro), expect);
        check(1_234_567, "1.23");
        check(1_235_000, "1.24");
        check(0, "0.00");
    }
}
