//! A cron line: five fields of numbers, ranges, lists and steps. Here is which minutes, hours and
//! days it names; at which moments those come is a matter of calendars and zones, which live
//! elsewhere.

/// The fields in their order with their bounds. Day of week: 0 and 7 are Sunday.
const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
];

/// What a cron line names. A number is in a set when its bit is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both kinds of days are restricted: one that matches is enough, as in every cron since 1975.
    either_day: bool,
    /// The hour is `*`.
    every_hour: bool,
}

impl Cron {
    /// From its five fields; or the name of the first that is wrong, or of what is wrong with their
    /// number.
    pub fn parse(line: &str) -> Result<Self, &'static str> {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, hour, day, _, weekday] = &fields[..] else {
            return Err("number of fields");
        };
        let mut sets = [0u64; 5];
        for ((text, (name, min, max)), set) in fields.iter().zip(FIELDS).zip(&mut sets) {
            for part in text.split(',') {
                *set |= part_of(part, min, max).ok_or(name)?;
            }
        }
        let [minutes, hours, days, months, weekdays] = sets;
        let any = |text: &str| text.starts_with('*');
        Ok(Self {
            minutes,
            hours,
            days,
            months,
            // Sunday is 0 here.
            weekdays: (weekdays | weekdays >> 7) & 0x7f,
            either_day: !any(day) && !any(weekday),
            every_hour: hour == "*",
        })
    }

    /// The minutes of an hour, in order.
    pub fn minutes(&self) -> impl Iterator<Item = u32> {
        numbers(self.minutes)
    }
    /// The hours of a day, in order.
    pub fn hours(&self) -> impl Iterator<Item = u32> {
        numbers(self.hours)
    }
    /// Is it meant for every hour, rather than for times of the day?
    pub const fn every_hour(&self) -> bool {
        self.every_hour
    }
    /// Is a month (from 1) one of its months?
    pub const fn has_month(&self, month: u32) -> bool {
        self.months >> month & 1 == 1
    }
    /// Is a day of one of its months one of its days? Days count from 1, days of the week from
    /// Sunday, which is 0.
    pub const fn has_day(&self, day: u32, weekday: u32) -> bool {
        let (day, weekday) = (self.days >> day & 1 == 1, self.weekdays >> weekday & 1 == 1);
        if self.either_day { day || weekday } else { day && weekday }
    }
}

fn numbers(set: u64) -> impl Iterator<Item = u32> {
    (0..u64::BITS).filter(move |number| set >> number & 1 == 1)
}

/// `*`, `5`, `1-5`, and with a step `*/15` or `0-30/10`, as a set.
fn part_of(part: &str, min: u32, max: u32) -> Option<u64> {
    let digits = |text: &str| {
        !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit())
    };
    let number = |text: &str| {
        let number = digits(text).then(|| text.parse::<u32>().expect("two digits"));
        number.filter(|n| (min..=max).contains(n))
    };
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => {
            let step = digits(step).then(|| step.parse::<u32>().expect("two digits"));
            (range, Some(step.filter(|n| *n > 0 && *n <= max)?))
        }
        None => (part, None),
    };
    let (from, to) = match range.split_once('-') {
        Some((from, to)) => (number(from)?, number(to)?),
        None if range == "*" => (min, max),
        None if step.is_none() => (number(range)?, number(range)?),
        None => return None,
    };
    if from > to {
        return None;
    }
    let step = usize::try_from(step.unwrap_or(1)).ok()?;
    Some((from..=to).step_by(step).fold(0, |set, number| set | 1 << number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let ok = |line: &str| assert!(Cron::parse(line).is_ok(), "{line}");
        let bad = |line: &str, field| assert_eq!(Cron::parse(line), Err(field), "{line}");
        ok("20 0,6,12,18 * * *");
        ok("*/15 8-18/2 1 1-6 1-5");
        ok("0 0 * * 7");
        bad("0 0 * *", "number of fields");
        bad("60 0 * * *", "minute");
        bad("0 24 * * *", "hour");
        bad("0 0 0 * *", "day of month");
        bad("0 0 * 13 *", "month");
        bad("0 0 * * 8", "day of week");
        bad("*/0 0 * * *", "minute");
        bad("*/+5 0 * * *", "minute");
        bad("*/005 0 * * *", "minute");
        bad("5/2 0 * * *", "minute");
        bad("9-5 0 * * *", "minute");
        bad(", 0 * * *", "minute");
        bad("0 -1 * * *", "hour");
    }

    #[test]
    fn what_a_line_names() {
        let cron = Cron::parse("0-30/10,59 8-18/5 * */6 0,7").expect("a line");
        assert_eq!(cron.minutes().collect::<Vec<_>>(), [0, 10, 20, 30, 59]);
        assert_eq!(cron.hours().collect::<Vec<_>>(), [8, 13, 18]);
        let months: Vec<u32> = (1..=12).filter(|month| cron.has_month(*month)).collect();
        assert_eq!(months, [1, 7]);
        assert!(cron.has_day(5, 0) && !cron.has_day(5, 1));
    }

    #[test]
    fn days_of_both_kinds_are_alternatives_only_when_both_are_restricted() {
        let check = |line: &str, day, weekday, expect| {
            let cron = Cron::parse(line).expect("a line");
            assert_eq!(cron.has_day(day, weekday), expect, "{line} on {day}, {weekday}");
        };
        // The 13th, or a Friday.
        check("0 0 13 * 5", 13, 1, true);
        check("0 0 13 * 5", 6, 5, true);
        check("0 0 13 * 5", 6, 1, false);
        check("0 0 13 * *", 6, 5, false);
        check("0 0 */2 * 5", 13, 5, true);
        check("0 0 */2 * 5", 14, 5, false);
    }
}
