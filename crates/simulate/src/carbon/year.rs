//! The days that are replayed: the first whole year that the series holds, and what comes after it; of
//! a series without one, all its whole days.

use jiff::civil::{Date, DateTime, date};
use thiserror::Error;

use super::series::{DAY, SLOT_MINUTES, Series, minutes};

/// A year of a series, or some days of one. Slots count from the first half-hour of its first day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Year {
    /// The first of January, or the first whole day.
    pub first: Date,
    /// Its days.
    pub days: u32,
    /// Milligrams of CO₂ for a kilowatt-hour, by the half-hour, to the end of the series: jobs of
    /// the last days end after the year.
    pub carbon: Vec<i64>,
}

/// A week has every day of one; in less, working hours say nothing.
const DAYS_MIN: u32 = 7;

/// It is too short.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("it holds {days} whole days; jobs of up to four days need {DAYS_MIN} at least")]
pub struct NoYear {
    /// Whole days.
    pub days: u32,
}

impl Year {
    /// The first whole year of a series, or the whole days of a shorter one, a year of them at most.
    pub fn of(series: &Series) -> Result<Self, NoYear> {
        let begins = series.start.date();
        let year = begins.year() + i16::from(series.start != midnight(date(begins.year(), 1, 1)));
        let whole = Date::new(year, 1, 1).ok().and_then(|first| {
            let days = u32::from(first.days_in_year().unsigned_abs());
            Self::from(series, first)
                .filter(|found| found.whole_days() >= days)
                .map(|found| Self { days, ..found })
        });
        if let Some(year) = whole {
            return Ok(year);
        }
        let first = if series.start == midnight(begins) { Ok(begins) } else { begins.tomorrow() };
        let part = first.ok().and_then(|first| Self::from(series, first));
        let part = part.ok_or(NoYear { days: 0 })?;
        let days = part.whole_days();
        if days < DAYS_MIN {
            return Err(NoYear { days });
        }
        let most = u32::from(part.first.days_in_year().unsigned_abs());
        Ok(Self { days: days.min(most), ..part })
    }

    /// From a midnight on to the end of the series.
    fn from(series: &Series, first: Date) -> Option<Self> {
        let skip = minutes(series.start, midnight(first)) / SLOT_MINUTES;
        let carbon = series.values.get(usize::try_from(skip).ok()?..)?.to_vec();
        Some(Self { first, days: 0, carbon })
    }

    fn whole_days(&self) -> u32 {
        self.len() / DAY
    }

    /// So many of a year's jobs as its days are of one.
    pub fn share(&self, jobs: u32) -> u32 {
        let year = u64::from(self.first.days_in_year().unsigned_abs());
        let part = (u64::from(jobs) * u64::from(self.days) / year).max(1);
        u32::try_from(part).unwrap_or(jobs)
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
    use super::super::series::Notes;
    use super::*;

    #[test]
    fn the_first_whole_year_and_what_comes_after() {
        let series = |start: DateTime, len: usize| {
            let values = (0..).take(len).collect();
            Series { start, values, notes: Notes::default() }
        };
        let before = date(2019, 12, 30).at(0, 0, 0, 0);
        let year = Year::of(&series(before, 96 + 366 * 48 + 5)).expect("a whole year");
        assert_eq!((year.first, year.days, year.len()), (date(2020, 1, 1), 366, 366 * 48 + 5));
        assert_eq!(year.carbon[0], 96);
        // The first of January 2020 was a Wednesday.
        assert_eq!([year.weekday(0), year.weekday(3), year.weekday(5)], [2, 5, 0]);
        assert_eq!(year.share(3_387), 3_387);
        // Half an hour less than a whole year: the days from the first of the series on.
        let part = Year::of(&series(before, 96 + 366 * 48 - 1)).expect("whole days");
        assert_eq!((part.first, part.days, part.carbon[0]), (date(2019, 12, 30), 365, 0));
        assert_eq!(Year::of(&series(before, 9)), Err(NoYear { days: 0 }));
        assert_eq!(Year::of(&series(before, 7 * 48 - 1)), Err(NoYear { days: 6 }));
        let noon = date(2020, 3, 1).at(12, 0, 0, 0);
        let part = Year::of(&series(noon, 24 + 73 * 48 + 3)).expect("whole days");
        assert_eq!((part.first, part.days, part.carbon[0]), (date(2020, 3, 2), 73, 24));
        assert_eq!(part.share(3_660), 730);
        let sharp = Year::of(&series(date(2021, 1, 1).at(0, 0, 0, 0), 365 * 48));
        assert_eq!(sharp.expect("a whole year").days, 365);
    }
}
