//! Which columns of a list of jobs say when each came and how long it ran, and in what unit: by their
//! names, as public lists have them.

use crate::table::{Heading, scaled};

/// A unit of time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Unit {
    Seconds,
    Microseconds,
    Milliseconds,
    Minutes,
    Hours,
    Days,
}

impl Unit {
    /// As a name says it.
    fn of(name: &str) -> Option<Self> {
        let ends = |all: &[&str]| {
            let words = name.split(|one: char| !one.is_alphanumeric());
            words.clone().any(|word| all.contains(&word))
        };
        if ends(&["us", "usec", "usecs", "microsecond", "microseconds"]) {
            Some(Self::Microseconds)
        } else if ends(&["ms", "msec", "msecs", "millisecond", "milliseconds"]) {
            Some(Self::Milliseconds)
        } else if ends(&["d", "day", "days"]) {
            Some(Self::Days)
        } else if ends(&["s", "sec", "secs", "second", "seconds"]) {
            Some(Self::Seconds)
        } else if ends(&["m", "min", "mins", "minute", "minutes"]) {
            Some(Self::Minutes)
        } else if ends(&["h", "hr", "hrs", "hour", "hours"]) {
            Some(Self::Hours)
        } else {
            None
        }
    }

    /// What a text is that is no number of it.
    pub(crate) const fn none(self) -> &'static str {
        match self {
            Self::Microseconds => "not a number of microseconds",
            Self::Milliseconds => "not a number of milliseconds",
            Self::Seconds => "not a number of seconds",
            Self::Minutes => "not a number of minutes",
            Self::Hours => "not a number of hours",
            Self::Days => "not a number of days",
        }
    }

    /// A number of it in microseconds.
    pub(crate) fn micros(self, text: &str) -> Option<i64> {
        let (places, factor) = match self {
            Self::Microseconds => (0, 1),
            Self::Milliseconds => (3, 1),
            Self::Seconds => (6, 1),
            Self::Minutes => (6, 60),
            Self::Hours => (6, 3_600),
            Self::Days => (6, 86_400),
        };
        scaled(text, places)?.checked_mul(factor)
    }
}

/// Words of columns of lengths, with the unit they have where the name does not say one: `duration`
/// and `runtime` are seconds in the logs of machines (Philly, Helios), `length` is hours (GAIA).
const LENGTHS: [(&str, Unit); 9] = [
    ("duration", Unit::Seconds),
    ("runtime", Unit::Seconds),
    ("run_time", Unit::Seconds),
    ("run", Unit::Seconds),
    ("elapsed", Unit::Seconds),
    ("length", Unit::Hours),
    ("hours", Unit::Hours),
    ("minutes", Unit::Minutes),
    ("seconds", Unit::Seconds),
];
/// Words of columns of starts.
const STARTS: [&str; 5] = ["start", "arrival", "submit", "timestamp", "time"];

/// The columns of a list.
#[derive(Clone, Debug)]
pub(crate) struct JobColumns {
    pub heading: Heading,
    /// When jobs came.
    pub start: Option<usize>,
    /// Of a number in it, where its name says one; else it is that of the lengths.
    pub start_unit: Option<Unit>,
    /// How long they ran.
    pub length: usize,
    pub unit: Unit,
}

impl JobColumns {
    /// Finds them, or says what is missing.
    pub(crate) fn new(line: &str) -> Result<Self, &'static str> {
        let heading = Heading::new(line);
        let names = heading.names();
        let begins = |name: &str, word: &str| {
            name.strip_prefix(word).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        };
        // The name itself, or with its unit, before one with other words: `duration_requested` is no run.
        let with_unit = |name: &str, word: &str| begins(name, word) && Unit::of(name).is_some();
        let find = |fits: &dyn Fn(&str, &str) -> bool| {
            LENGTHS.iter().find_map(|(word, unit)| {
                let at = names.iter().position(|name| fits(name, word))?;
                Some((at, Unit::of(&names[at]).unwrap_or(*unit)))
            })
        };
        let length = find(&|name, word| name == word);
        let length = length.or_else(|| find(&with_unit)).or_else(|| find(&begins));
        let (length, unit) = length.ok_or(
            "a column of lengths, as `Hours`, `length` (hours), `duration` (seconds) or `run_minutes`",
        )?;
        let start = STARTS.iter().find_map(|word| {
            (0..names.len()).find(|at| *at != length && begins(&names[*at], word))
        });
        let start_unit = start.and_then(|at| Unit::of(&names[at]));
        Ok(Self { heading, start, start_unit, length, unit })
    }

    /// A start that is a number since the beginning, in microseconds; none where it is none.
    pub(crate) fn start_micros(&self, text: &str) -> Option<i64> {
        self.start_unit.unwrap_or(self.unit).micros(&self.heading.number(text))
    }

    /// A length in microseconds; none where it is none.
    pub(crate) fn micros(&self, text: &str) -> Option<i64> {
        self.unit.micros(&self.heading.number(text)).filter(|micros| *micros >= 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_the_unit_of_their_name() {
        let check = |heading: &str, text: &str, secs: f64| {
            let columns = JobColumns::new(heading).expect("it has lengths");
            let micros = columns.micros(text).map(|micros| micros as f64 / 1e6);
            assert_eq!(micros, Some(secs), "{heading}: {text}");
        };
        check("timestamp,duration", "90", 90.0);
        check("timestamp,duration_ms", "72000", 72.0);
        check("timestamp,runtime_us", "1500", 0.0015);
        check("arrival_time,duration_days", "0.5", 43_200.0);
        check("start,length", "2", 7_200.0);
        // What was asked for is not what was run.
        let columns = JobColumns::new("timestamp,duration_requested,runtime").expect("one of two");
        assert_eq!(columns.length, 2);
    }
}
