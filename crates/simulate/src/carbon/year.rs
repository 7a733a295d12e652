//! The year that is replayed: the first whole one that the series holds, and what comes after it.

use jiff::civil::{Date, DateTime, date};
use thiserror::Error;

use super::series::{DAY, SLOT_MINUTES, Series, minutes};

/// A year of a series. Slots count from the first half-hour of its first day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Year {
    /// The first of January.
    pub first: Date,
    /// Its days.
    pub days: u32,
    /// Milligrams of CO₂ for a kilowatt-hour, by the half-hour, to the end of the series: jobs of
    /// the last days end after the year.
    pub carbon: Vec<i64>,
}

/// There is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("it holds no whole year from the first of January on")]
pub struct NoYear;

impl Year {
    /// The first whole year of a series.
    pub fn of(series: &Series) -> Result<Self, NoYear> {
        let begins = series.start.date();
        let year = begins.year() + i16::from(series.start != midnight(date(begins.year(), 1, 1)));
        let first = Date::new(year, 1, 1).map_err(|_| NoYear)?;
        let days = u32::from(first.days_in_year().unsigned_abs());
        let skip = usize::try_from(minutes(series.start, midnight(first)) / SLOT_MINUTES)
            .map_err(|_| NoYear)?;
        let carbon = series.values.get(skip..).ok_or(NoYear)?.to_vec();
        if carbon.len() < (days * DAY) as usize {
            return Err(NoYear);
        }
        Ok(Self { first, days, carbon })
    }

    /// Its first half-hour.
    pub fn start(&self) -> DateTime {
        midnight(self.first)
    }

    /// How many half-hours there are.
    pub fn len(&self) -> u32 {
        u32::try_from(self.carbon.len()).unwrap_or(u32::MAX)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.carbon.is_empty()
    }

    /// The weekday of a day, from 0 for a Monday.
    pub fn weekday(&self, day: u32) -> u32 {
        let first = u32::from(self.first.weekday().to_monday_zero_offset().unsigned_abs());
        (first + day) % 7
    }
}

fn midnight(day: Date) -> DateTime {
    day.at(0, 0, 0, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_whole_year_and_what_comes_after() {
        let series =
            |start: DateTime, len: usize| Series { start, values: (0..).take(len).collect() };
        let before = date(2019, 12, 30).at(0, 0, 0, 0);
        let year = Year::of(&series(before, 96 + 366 * 48 + 5)).expect("a whole year");
        assert_eq!((year.first, year.days, year.len()), (date(2020, 1, 1), 366, 366 * 48 + 5));
        assert_eq!(year.carbon[0], 96);
        // The first of January 2020 was a Wednesday.
        assert_eq!([year.weekday(0), year.weekday(3), year.weekday(5)], [2, 5, 0]);
        assert_eq!(Year::of(&series(before, 96 + 366 * 48 - 1)), Err(NoYear));
        assert_eq!(Year::of(&series(before, 9)), Err(NoYear));
        let sharp = Year::of(&series(date(2021, 1, 1).at(0, 0, 0, 0), 365 * 48));
        assert_eq!(sharp.expect("a whole year").days, 365);
    }
}
