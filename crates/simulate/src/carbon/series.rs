//! Reads a series of carbon intensity, `Time,Carbon Intensity`. Strict: a time that is none, a value
//! that is none, or half an hour that is missing is an error that names its line. Rows between full
//! half-hours are left out, as the paper does with the German and British series.

use std::io::BufRead;

use jiff::civil::DateTime;
use thiserror::Error;

use super::decimal::scaled;

/// A line of these series has under 50 bytes.
const LINE_BYTES_MAX: usize = 1_024;
/// A hundred years of quarters of an hour; this bounds what a wrong file can make us hold.
const ROWS_MAX: usize = 4_000_000;
/// Minutes of a slot.
pub(super) const SLOT_MINUTES: i64 = 30;
/// Slots of a day.
pub(super) const DAY: u32 = 48;

/// Values by the half-hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// When the first half-hour begins.
    pub start: DateTime,
    /// Milligrams of CO₂ for a kilowatt-hour, or millionths of the currency for one.
    pub values: Vec<i64>,
}

/// Why a series cannot be read.
#[derive(Debug, Error)]
pub enum SeriesError {
    /// The source failed.
    #[error("line {line}: cannot be read")]
    Read {
        /// Counted from 1.
        line: usize,
        /// What the source said.
        #[source]
        source: std::io::Error,
    },
    /// There is not even a heading.
    #[error("the series is empty")]
    Empty,
    /// There is a heading and nothing else.
    #[error("the series has a heading but no half-hours")]
    NoRows,
    /// Another heading.
    #[error("line 1: the heading is not `{expected}`")]
    Heading {
        /// What it should be.
        expected: &'static str,
    },
    /// A line is wrong.
    #[error("line {line}: {what}: `{text}`")]
    Row {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// A half-hour is missing, or stands there twice.
    #[error("line {line}: {found} does not follow {before} by half an hour")]
    Gap {
        /// Counted from 1.
        line: usize,
        /// The half-hour before.
        before: String,
        /// What stands there.
        found: String,
    },
    /// Not a series of this kind.
    #[error("line {line}: longer than {LINE_BYTES_MAX} bytes, or more than {ROWS_MAX} rows")]
    TooLong {
        /// Counted from 1.
        line: usize,
    },
}

/// Lines with their numbers, each of a bounded length.
pub(super) struct Lines<R> {
    from: R,
    line: usize,
}

impl<R: BufRead> Lines<R> {
    pub const fn new(from: R) -> Self {
        Self { from, line: 0 }
    }

    /// The next line without its end.
    pub fn next(&mut self) -> Result<Option<(usize, String)>, SeriesError> {
        self.line += 1;
        let line = self.line;
        if line > ROWS_MAX {
            return Err(SeriesError::TooLong { line });
        }
        let mut bytes = Vec::new();
        let most = LINE_BYTES_MAX as u64 + 1;
        std::io::Read::take(&mut self.from, most)
            .read_until(b'\n', &mut bytes)
            .map_err(|source| SeriesError::Read { line, source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() > LINE_BYTES_MAX {
            return Err(SeriesError::TooLong { line });
        }
        let text =
            String::from_utf8(bytes).map_err(|_| wrong(line, "this is not UTF-8 text", ""))?;
        Ok(Some((line, text.trim_end_matches(['\n', '\r']).to_owned())))
    }

    /// The heading, without a mark of the byte order.
    pub fn heading(&mut self) -> Result<String, SeriesError> {
        let (_, text) = self.next()?.ok_or(SeriesError::Empty)?;
        Ok(text.trim_start_matches('\u{feff}').to_owned())
    }
}

/// An error about what stands in a line.
pub(super) fn wrong(line: usize, what: &'static str, text: &str) -> SeriesError {
    SeriesError::Row { line, what, text: text.chars().take(40).collect() }
}

/// Reads a series of carbon intensity in grams for a kilowatt-hour.
pub fn read_carbon(from: impl BufRead) -> Result<Series, SeriesError> {
    const HEADING: &str = "Time,Carbon Intensity";
    let mut lines = Lines::new(from);
    if lines.heading()? != HEADING {
        return Err(SeriesError::Heading { expected: HEADING });
    }
    let grams = |text: &str| scaled(text, 3).filter(|mg| *mg >= 0);
    read_values(lines, "not a carbon intensity in grams", grams)
}

/// Reads the rows of a series.
pub(super) fn read_values(
    mut lines: Lines<impl BufRead>,
    what: &'static str,
    value: impl Fn(&str) -> Option<i64>,
) -> Result<Series, SeriesError> {
    let mut start = None;
    let mut last: Option<DateTime> = None;
    let mut values = Vec::new();
    while let Some((line, text)) = lines.next()? {
        if text.is_empty() {
            continue;
        }
        let (time, number) =
            text.split_once(',').ok_or_else(|| wrong(line, "not two columns", &text))?;
        let at = time_of(time)
            .ok_or_else(|| wrong(line, "not a time like 2020-01-31 23:30:00", time))?;
        let number = value(number).ok_or_else(|| wrong(line, what, number))?;
        if i64::from(at.minute()) % SLOT_MINUTES != 0 {
            continue;
        }
        if let Some(before) = last
            && minutes(before, at) != SLOT_MINUTES
        {
            let (before, found) = (shown(before), shown(at));
            return Err(SeriesError::Gap { line, before, found });
        }
        last = Some(at);
        start = start.or(last);
        values.push(number);
    }
    start.map(|start| Series { start, values }).ok_or(SeriesError::NoRows)
}

/// Only `YYYY-MM-DD HH:MM:SS` with no seconds.
pub(super) fn time_of(text: &str) -> Option<DateTime> {
    const FORM: &str = "%Y-%m-%d %H:%M:%S";
    let at = DateTime::strptime(FORM, text).ok()?;
    (shown(at) == text && at.second() == 0).then_some(at)
}

fn shown(at: DateTime) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Minutes from one time to another.
pub(super) fn minutes(from: DateTime, to: DateTime) -> i64 {
    to.duration_since(from).as_secs() / 60
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "Time,Carbon Intensity\n";

    #[test]
    fn half_hours_are_kept_and_quarters_left_out() {
        let text = format!(
            "{HEAD}2019-12-31 23:30:00,42.3412\n2019-12-31 23:45:00,1\r\n2020-01-01 00:00:00,0.5\n\n"
        );
        let series = read_carbon(text.as_bytes()).expect("well formed");
        assert_eq!(series.values, [42_341, 500]);
        assert_eq!(shown(series.start), "2019-12-31 23:30:00");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let check = |text: &str, expect: &str| {
            let error = read_carbon(text.as_bytes()).expect_err("it is wrong");
            assert_eq!(error.to_string(), expect);
        };
        check("", "the series is empty");
        check(HEAD, "the series has a heading but no half-hours");
        check("Time,Price\n", "line 1: the heading is not `Time,Carbon Intensity`");
        let row = |row: &str| format!("{HEAD}2020-01-01 00:00:00,1\n{row}\n");
        check(&row("2020-01-01 00:30:00"), "line 3: not two columns: `2020-01-01 00:30:00`");
        const TIME: &str = "line 3: not a time like 2020-01-31 23:30:00";
        for time in [
            "2020-02-30 00:30:00",
            "2020-1-1 00:30:00",
            "2020-01-01T00:30:00",
            "2020-01-01 00:30:07",
            "2020-01-01 00:30",
        ] {
            check(&row(&format!("{time},1")), &format!("{TIME}: `{time}`"));
        }
        check(&row("2020-01-01 00:30:00,-1"), "line 3: not a carbon intensity in grams: `-1`");
        check(&row("2020-01-01 00:30:00,nan"), "line 3: not a carbon intensity in grams: `nan`");
        check(
            &row("2020-01-01 01:00:00,1"),
            "line 3: 2020-01-01 01:00:00 does not follow 2020-01-01 00:00:00 by half an hour",
        );
        check(
            &row("2020-01-01 00:00:00,1"),
            "line 3: 2020-01-01 00:00:00 does not follow 2020-01-01 00:00:00 by half an hour",
        );
        let long = format!("{HEAD}{}\n", "x".repeat(5_000));
        assert!(matches!(read_carbon(long.as_bytes()), Err(SeriesError::TooLong { line: 2 })));
    }

    proptest! {
        #[test]
        fn garbage_is_an_error_or_a_series_but_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut text = format!("{HEAD}2020-01-01 00:00:00,1.5\n2020-01-01 00:30:00,2\n").into_bytes();
            for (at, byte) in bytes.iter().enumerate() {
                if byte % 11 == 0 && at < text.len() { text[at] = *byte; }
            }
            let _ = read_carbon(text.as_slice()).is_ok();
            let _ = read_carbon(bytes.as_slice()).is_ok();
        }
    }
}
