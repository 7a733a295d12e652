//! How dirty the electricity of a grid is, hour by hour: what a provider or the operator has looked up
//! for some days, and what is taken to hold after them. Knows nothing of pools or jobs.
//!
//! After its last hour a series is taken to go on as its last day did: of all simple forecasts the
//! same hour of the day before is the usual yardstick, and the sun rises every day.

use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};
use thiserror::Error;

const HOUR: Span = Span::from_secs(3_600);
const DAY_HOURS: usize = 24;

/// Hours of a series: two weeks. What is sold as a forecast reaches a week, and a few days before it
/// say how a day goes.
pub const GRID_HOURS_MAX: usize = 14 * DAY_HOURS;

/// The dirtiest hour: brown coal comes to some 1,200 g for a kilowatt-hour. More is a slip of the pen,
/// or milligrams.
pub const GRAMS_PER_KWH_MAX: u32 = 2_000;

/// So long after its end a series is still taken to go on: a file that nobody has renewed for a week
/// describes another season's weather.
pub const REPEATED_FOR: Span = Span::from_secs(7 * 86_400);

/// Of what runs for longer, so much is looked at: what is further away is not known.
const LOOKED_AT_MAX: Span = Span::from_secs(2 * 86_400);

/// Grams of CO₂ for a kilowatt-hour, by the hour.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct GridSeries {
    /// When the first hour begins: a full hour.
    pub from: Time,
    /// Of each hour from then on.
    pub grams_per_kwh: Vec<u32>,
}

/// Why a series is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum GridDefect {
    /// It has no hours, or too many.
    #[error("a series has from 1 to {GRID_HOURS_MAX} hours, not {0}")]
    Hours(usize),
    /// It does not begin with an hour.
    #[error("a series begins with a full hour")]
    Beginning,
    /// An hour is dirtier than any grid.
    #[error("{0} g for a kilowatt-hour is more than any grid emits ({GRAMS_PER_KWH_MAX})")]
    Grams(u32),
}

impl GridSeries {
    /// Is it one?
    ///
    /// # Errors
    /// With what is wrong.
    pub fn check(&self) -> Result<(), GridDefect> {
        if self.grams_per_kwh.is_empty() || self.grams_per_kwh.len() > GRID_HOURS_MAX {
            return Err(GridDefect::Hours(self.grams_per_kwh.len()));
        }
        if self.from.micros().rem_euclid(HOUR.micros()) != 0 {
            return Err(GridDefect::Beginning);
        }
        let beyond = self.grams_per_kwh.iter().find(|grams| **grams > GRAMS_PER_KWH_MAX);
        beyond.map_or(Ok(()), |grams| Err(GridDefect::Grams(*grams)))
    }

    /// When its last hour ends.
    pub fn until(&self) -> Time {
        let hours = i64::try_from(self.grams_per_kwh.len()).unwrap_or(i64::MAX);
        self.from.plus(HOUR.times(hours))
    }

    /// Grams for a kilowatt-hour at a moment: its hour's, or after the end the same hour's of the last
    /// day. None where it does not reach.
    pub fn at(&self, time: Time) -> Option<u32> {
        let hours = time.since(self.from).micros().div_euclid(HOUR.micros());
        let hours = usize::try_from(hours).ok()?;
        let len = self.grams_per_kwh.len();
        if hours < len {
            return Some(self.grams_per_kwh[hours]);
        }
        if len < DAY_HOURS || time >= self.until().plus(REPEATED_FOR) {
            return None;
        }
        Some(self.grams_per_kwh[len - DAY_HOURS + (hours - len) % DAY_HOURS])
    }

    /// The mean of what it holds.
    pub fn mean(&self) -> u32 {
        let sum: u64 = self.grams_per_kwh.iter().map(|grams| u64::from(*grams)).sum();
        let mean = sum / (self.grams_per_kwh.len() as u64).max(1);
        u32::try_from(mean).expect("the mean of numbers of 32 bits")
    }

    /// Milligrams for a kilowatt-hour that is drawn evenly from then on for so long, at most two days
    /// of it; where the series does not reach, `otherwise` counts.
    pub fn milligrams_over(&self, from: Time, length: Span, otherwise: u32) -> u64 {
        let grams = |at| u64::from(self.at(at).unwrap_or(otherwise));
        let length = length.min(LOOKED_AT_MAX);
        if length <= Span::ZERO {
            return grams(from) * 1_000;
        }
        let until = from.plus(length);
        let (mut at, mut sum) = (from, 0_u128);
        while at < until {
            let next = next_hour(at).min(until);
            sum += u128::from(grams(at)) * u128::from(next.since(at).micros().unsigned_abs());
            at = next;
        }
        let mean = sum * 1_000 / u128::from(length.micros().unsigned_abs());
        u64::try_from(mean).expect("a mean of numbers of 32 bits, in thousandths")
    }
}

/// When the next full hour begins.
pub fn next_hour(after: Time) -> Time {
    after.plus(HOUR.minus(Span::from_micros(after.micros().rem_euclid(HOUR.micros()))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hour(hours: i64) -> Time {
        Time::EPOCH.plus(HOUR.times(hours))
    }

    #[test]
    fn an_hour_is_its_own_and_after_the_end_the_last_days() {
        let series = GridSeries { from: hour(10), grams_per_kwh: (0..30).collect() };
        let check = |at: Time, expect: Option<u32>| assert_eq!(series.at(at), expect, "{at}");
        check(hour(10).minus(Span::from_micros(1)), None);
        check(hour(10), Some(0));
        check(hour(11).minus(Span::from_micros(1)), Some(0));
        check(hour(39), Some(29));
        assert_eq!(series.until(), hour(40));
        check(hour(40), Some(6));
        check(hour(63), Some(29));
        check(hour(64), Some(6));
        check(hour(40).plus(REPEATED_FOR), None);
        let short = GridSeries { from: hour(10), grams_per_kwh: vec![5; 23] };
        assert_eq!(short.at(hour(33)), None, "less than a day does not say how a day goes");
    }

    #[test]
    fn what_runs_for_hours_emits_their_mean() {
        let series = GridSeries { from: hour(0), grams_per_kwh: vec![100, 300, 500] };
        let half = Span::from_secs(1_800);
        let check = |from: Time, length: Span, expect: u64| {
            assert_eq!(series.milligrams_over(from, length, 900), expect, "{from} {length}");
        };
        check(hour(0), Span::ZERO, 100_000);
        check(hour(0), HOUR.times(2), 200_000);
        check(hour(0).plus(half), HOUR, 200_000);
        check(hour(2), HOUR.times(2), 700_000);
        check(hour(5), HOUR, 900_000);
        assert_eq!(series.mean(), 300);
    }

    #[test]
    fn a_series_has_hours_that_a_grid_can_have() {
        let check = |from: Time, grams: Vec<u32>, expect| {
            assert_eq!(GridSeries { from, grams_per_kwh: grams }.check(), expect);
        };
        check(hour(0), vec![0, 2_000], Ok(()));
        check(hour(0), Vec::new(), Err(GridDefect::Hours(0)));
        check(hour(0), vec![1; 337], Err(GridDefect::Hours(337)));
        check(hour(0).plus(Span::from_secs(60)), vec![1], Err(GridDefect::Beginning));
        check(hour(0), vec![1, 2_001], Err(GridDefect::Grams(2_001)));
    }

    proptest! {
        #[test]
        fn a_mean_lies_between_the_cleanest_and_the_dirtiest(
            grams in prop::collection::vec(0_u32..=GRAMS_PER_KWH_MAX, 1..60),
            start in -7_200_i64..400_000,
            length in 0_i64..400_000,
            otherwise in 0_u32..=GRAMS_PER_KWH_MAX,
        ) {
            let series = GridSeries { from: hour(0), grams_per_kwh: grams.clone() };
            let from = Time::EPOCH.plus(Span::from_secs(start));
            let mean = series.milligrams_over(from, Span::from_secs(length), otherwise);
            let all = grams.iter().copied().chain([otherwise]);
            prop_assert!(mean >= u64::from(all.clone().min().unwrap_or(0)) * 1_000);
            prop_assert!(mean <= u64::from(all.max().unwrap_or(0)) * 1_000);
        }
    }
}
