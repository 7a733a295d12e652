//! What a slot costs, and by what it is judged. A cost is a struct whose derived order is the rule;
//! there is no score without a unit: where two things are weighed, the weight is a price of carbon.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub, SubAssign};

use serde::{Deserialize, Serialize};

/// What one unit of width pays and emits in one slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tariff {
    /// Milligrams of CO₂.
    pub carbon_mg: i64,
    /// Millionths of the currency.
    pub price_micro: i64,
}

/// By what slots are chosen. As `prefer:` of a job file the first thing decides, and the next among
/// equals; or carbon is given a price, and the sum decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Least carbon; among equals the lower price.
    Carbon,
    /// Lowest price; among equals less carbon.
    Price,
    /// Lowest price when a kilogram of CO₂ costs so much; among equals less carbon.
    PricedCarbon {
        /// Millionths of the currency.
        micro_per_kg: i64,
    },
}

/// Milligrams in a kilogram: what brings a price and priced carbon to one unit.
const MG_PER_KG: i128 = 1_000_000;

impl Objective {
    /// The cost of a slot for a unit of width.
    pub fn cost(self, tariff: Tariff) -> Cost {
        let (carbon, price) = (i128::from(tariff.carbon_mg), i128::from(tariff.price_micro));
        match self {
            Self::Carbon => Cost { first: carbon, second: price },
            Self::Price => Cost { first: price, second: carbon },
            Self::PricedCarbon { micro_per_kg } => Cost {
                first: price * MG_PER_KG + carbon * i128::from(micro_per_kg),
                second: carbon,
            },
        }
    }
}

/// How much a choice costs; less is better. Sums of 64-bit tariffs over any number of slots that
/// memory holds stay far inside 128 bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Cost {
    /// What decides: milligrams, millionths, or (priced carbon) millionths of millionths.
    pub first: i128,
    /// What decides among equals.
    pub second: i128,
}

impl Cost {
    /// Nothing.
    pub const ZERO: Self = Self { first: 0, second: 0 };

    /// So many times.
    #[must_use]
    pub fn times(self, width: u32) -> Self {
        let width = i128::from(width);
        Self { first: self.first * width, second: self.second * width }
    }
}

impl Add for Cost {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { first: self.first + other.first, second: self.second + other.second }
    }
}

impl Sub for Cost {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { first: self.first - other.first, second: self.second - other.second }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl SubAssign for Cost {
    fn sub_assign(&mut self, other: Self) {
        *self = *self - other;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::ZERO, Add::add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_decides_and_the_next_among_equals() {
        let tariff = |carbon_mg, price_micro| Tariff { carbon_mg, price_micro };
        let check = |objective: Objective, less: Tariff, more: Tariff| {
            assert!(objective.cost(less) < objective.cost(more), "{objective:?}");
        };
        check(Objective::Carbon, tariff(1, 9), tariff(2, 1));
        check(Objective::Carbon, tariff(1, 1), tariff(1, 2));
        check(Objective::Price, tariff(9, 1), tariff(1, 2));
        check(Objective::Price, tariff(1, 1), tariff(2, 1));
        // 0.10 a kilogram: 400 g are worth 0.04, less than the 0.05 that the other saves.
        let priced = Objective::PricedCarbon { micro_per_kg: 100_000 };
        check(priced, tariff(500_000, 300_000), tariff(100_000, 350_000));
        let dear = Objective::PricedCarbon { micro_per_kg: 200_000 };
        check(dear, tariff(100_000, 350_000), tariff(500_000, 300_000));
    }
}
