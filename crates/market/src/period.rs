//! Days and months as budgets and bills count them: half-open periods in a zone with a fixed
//! offset.
//!
//! The default is UTC+8, the one civil time of China, which has had no summer time since 1991.
//! Which offset applies is the exchange's setting; the calendar is jiff's.

use dayan_units::Time;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// From `start` until just before `end`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Period {
    /// Its first moment.
    pub start: Time,
    /// The first moment after it.
    pub end: Time,
}

impl Period {
    /// Does the moment lie in it?
    pub fn contains(&self, time: Time) -> bool {
        self.start <= time && time < self.end
    }
}

/// How far a zone is ahead of UTC, in whole minutes, at most 18 hours either way.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "i32", into = "i32")]
pub struct ZoneOffset(i32);

impl ZoneOffset {
    /// UTC+8.
    pub const CHINA: Self = Self(8 * 60);
    /// Coordinated universal time.
    pub const UTC: Self = Self(0);

    /// From minutes ahead of UTC.
    pub const fn from_minutes(minutes: i32) -> Option<Self> {
        if minutes.unsigned_abs() <= 18 * 60 { Some(Self(minutes)) } else { None }
    }
    /// Minutes ahead of UTC.
    pub const fn minutes(self) -> i32 {
        self.0
    }

    /// The hour of the day at a moment, from 0 to 23.
    pub fn hour(self, time: Time) -> usize {
        let hours = (time.micros().div_euclid(60_000_000) + i64::from(self.0)).div_euclid(60);
        usize::try_from(hours.rem_euclid(24)).expect("one of 24")
    }

    fn offset(self) -> Offset {
        Offset::from_seconds(self.0 * 60).expect("18 hours are within jiff's range")
    }

    /// The date at a moment. A moment outside the calendar, which ends with the year 9999, counts
    /// as the calendar's nearest.
    fn date(self, time: Time) -> Date {
        let nearest = if time < Time::EPOCH { Timestamp::MIN } else { Timestamp::MAX };
        let stamp = Timestamp::from_microsecond(time.micros()).unwrap_or(nearest);
        self.offset().to_datetime(stamp).date()
    }

    /// The first moment of a date; past the calendar's ends, that of time.
    fn midnight(self, date: Date) -> Time {
        let civil = date.to_datetime(jiff::civil::Time::midnight());
        match self.offset().to_timestamp(civil) {
            Ok(stamp) => Time::from_micros(stamp.as_microsecond()),
            Err(_) if date.year() < 0 => Time::from_micros(i64::MIN),
            Err(_) => Time::NEVER,
        }
    }

    /// The day that a moment lies in.
    pub fn day(self, time: Time) -> Period {
        let date = self.date(time);
        self.period(date, date.tomorrow().ok())
    }

    /// The month that a moment lies in.
    pub fn month(self, time: Time) -> Period {
        let date = self.date(time);
        self.period(date.first_of_month(), date.last_of_month().tomorrow().ok())
    }

    fn period(self, first: Date, after: Option<Date>) -> Period {
        Period {
            start: self.midnight(first),
            end: after.map_or(Time::NEVER, |date| self.midnight(date)),
        }
    }

    /// Both.
    pub fn periods(self, time: Time) -> Periods {
        Periods { day: self.day(time), month: self.month(time) }
    }
}

impl Default for ZoneOffset {
    fn default() -> Self {
        Self::CHINA
    }
}
impl TryFrom<i32> for ZoneOffset {
    type Error = &'static str;
    fn try_from(minutes: i32) -> Result<Self, Self::Error> {
        Self::from_minutes(minutes).ok_or("a zone is at most 18 hours from UTC")
    }
}
impl From<ZoneOffset> for i32 {
    fn from(zone: ZoneOffset) -> Self {
        zone.0
    }
}

/// The day and the month of a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Periods {
    /// Its day.
    pub day: Period,
    /// Its month.
    pub month: Period,
}

#[cfg(test)]
mod tests {
    use dayan_units::Span;
    use proptest::prelude::*;

    use super::*;

    const DAY: Span = Span::from_secs(86_400);

    #[test]
    fn a_day_begins_at_midnight_in_the_zone() {
        let check = |zone: ZoneOffset, now: &str, day: [&str; 2], month: [&str; 2]| {
            let at = |text: &str| text.parse::<Time>().expect("a time");
            let periods = zone.periods(at(now));
            assert_eq!(periods.day, Period { start: at(day[0]), end: at(day[1]) }, "{now}");
            assert_eq!(periods.month, Period { start: at(month[0]), end: at(month[1]) }, "{now}");
        };
        check(
            ZoneOffset::CHINA,
            "2026-11-30T15:59:59.999999Z",
            ["2026-11-29T16:00:00Z", "2026-11-30T16:00:00Z"],
            ["2026-10-31T16:00:00Z", "2026-11-30T16:00:00Z"],
        );
        check(
            ZoneOffset::CHINA,
            "2026-11-30T16:00:00Z",
            ["2026-11-30T16:00:00Z", "2026-12-01T16:00:00Z"],
            ["2026-11-30T16:00:00Z", "2026-12-31T16:00:00Z"],
        );
        check(
            ZoneOffset::UTC,
            "2028-02-29T12:00:00Z",
            ["2028-02-29T00:00:00Z", "2028-03-01T00:00:00Z"],
            ["2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"],
        );
    }

    #[test]
    fn the_ends_of_time_have_a_period_too() {
        for time in [Time::from_micros(i64::MIN), Time::NEVER] {
            let periods = ZoneOffset::CHINA.periods(time);
            assert!(periods.day.start < periods.day.end);
            assert!(periods.month.start <= periods.day.start);
        }
    }

    proptest! {
        #[test]
        fn periods_contain_their_moment_and_follow_without_gap(
            micros in -1_000_000_000_000_000i64..200_000_000_000_000_000,
            minutes in -18 * 60i32..=18 * 60,
        ) {
            let zone = ZoneOffset::from_minutes(minutes).expect("in range");
            let time = Time::from_micros(micros);
            let Periods { day, month } = zone.periods(time);
            prop_assert!(day.contains(time) && month.contains(time));
            prop_assert!(month.start <= day.start && day.end <= month.end);
            prop_assert_eq!(day.end.since(day.start), DAY);
            prop_assert_eq!(zone.day(day.end).start, day.end);
            prop_assert_eq!(zone.month(month.end).start, month.end);
            let days = month.end.since(month.start).micros() / DAY.micros();
            prop_assert!((28..=31).contains(&days));
        }
    }
}
