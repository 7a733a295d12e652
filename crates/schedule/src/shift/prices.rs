//! Prices of room: what a unit of a full slot is worth, beside what it costs. With them each job
//! may be asked alone, and together they want about as much of each slot as there is.
//!
//! This is Lagrange's relaxation of the limits, with Polyak's step: whatever the prices, the sum of
//! what the jobs would pay alone, less the prices of all room, is at most the cost of any choice
//! that keeps the limits. The best such sum found is the bound; for these jobs its limit is the
//! bound of the linear program over starts, which is at least that of one over slots.

use std::cmp::Reverse;

use super::board::Board;
use super::cost::Cost;
use super::place::{Tally, cheapest, slack};
use super::{BOUNDLESS, Flexible};

/// A price may be so small a part of a unit of cost: small numbers need fractions.
const SCALE: i128 = 1_024;

/// The part of Polyak's step that is taken at first, in thousandths, and when it is too small to
/// matter. It is halved where so many rounds bring nothing.
const STEP_FIRST: i128 = 1_000;
const STEP_LEAST: i128 = 4;
const PATIENCE: u32 = 8;

/// Prices that are being found.
pub(super) struct Prices {
    price: Vec<i128>,
    /// Costs and prices, by which a job chooses.
    pub tally: Tally,
    /// The best bound so far, scaled.
    best: Option<i128>,
    step: i128,
    idle: u32,
}

impl Prices {
    pub fn new(board: &Board<'_>) -> Self {
        let price = vec![0; board.slots.room.len()];
        let tally = priced(board, &price);
        Self { price, tally, best: None, step: STEP_FIRST, idle: 0 }
    }

    /// No choice that finds room for everything costs less.
    pub fn bound(&self) -> Option<i128> {
        self.best.map(|best| -(-best).div_euclid(SCALE))
    }

    /// Whether another round may change anything.
    pub const fn settled(&self) -> bool {
        self.step < STEP_LEAST
    }

    /// Asks every job, and moves the prices towards what they want. `known` is the cost of some
    /// choice, by which the step is measured.
    pub fn round(&mut self, board: &mut Board<'_>, known: Option<i128>) {
        if self.settled() {
            return;
        }
        let (room, jobs) = (&board.slots.room, board.jobs);
        let mut wanted = vec![0i64; room.len() + 1];
        let mut sum = 0i128;
        let mut steps = room.len();
        for job in jobs {
            steps += job.latest.saturating_sub(job.earliest) as usize;
            let Some((cost, runs)) = cheapest(job, &self.tally, room) else { continue };
            sum += cost.times(job.width).first;
            for run in &runs {
                wanted[run.start as usize] += i64::from(job.width);
                wanted[run.end as usize] -= i64::from(job.width);
            }
        }
        // Wanted beyond what there is; where there is no limit there is no price.
        let mut running = 0;
        let mut over = vec![0i128; room.len()];
        for (slot, over) in over.iter_mut().enumerate() {
            running += wanted[slot];
            if room[slot] < BOUNDLESS / 2 {
                sum -= self.price[slot] * i128::from(room[slot].max(0));
                *over = i128::from(running - room[slot].max(0));
                if *over < 0 && self.price[slot] == 0 {
                    *over = 0;
                }
            }
        }
        board.count(steps);
        if self.best.is_none_or(|best| sum > best) {
            self.best = Some(sum);
            self.idle = 0;
        } else {
            self.idle += 1;
            if self.idle == PATIENCE {
                (self.idle, self.step) = (0, self.step / 2);
            }
        }
        self.advance(board, &over, sum, known);
    }

    fn advance(&mut self, board: &Board<'_>, over: &[i128], sum: i128, known: Option<i128>) {
        let square: i128 = over.iter().map(|over| over * over).sum();
        // Where no choice is known, one that is by a fiftieth dearer is supposed.
        let aim = known.map_or(sum + sum.abs() / 50, |known| known * SCALE);
        let gap = aim - sum;
        if square == 0 || gap <= 0 {
            self.step = 0;
            return;
        }
        for (price, over) in self.price.iter_mut().zip(over) {
            *price = (*price + self.step * gap * over / (1_000 * square)).max(0);
        }
        self.tally = priced(board, &self.price);
    }
}

fn priced(board: &Board<'_>, price: &[i128]) -> Tally {
    let with = |(cost, price): (&Cost, &i128)| Cost {
        first: cost.first * SCALE + price,
        second: cost.second,
    };
    Tally::new(board.slots.tally.each().iter().zip(price).map(with).collect())
}

/// In what order jobs choose: who missed room most often first, then who can wait least, then the
/// larger.
pub(super) fn by_need(jobs: &[Flexible], missed: &[u32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    let need = |job: &usize| {
        let of = &jobs[*job];
        let size = u64::from(of.slots) * u64::from(of.width);
        (Reverse(missed[*job]), slack(of), Reverse(size), *job)
    };
    order.sort_by_key(need);
    order
}
