//! A series by the half-hour, from rows of 5 to 60 minutes. A half-hour has the value of the row that
//! holds at its beginning: rows between are left out, as the paper does with the German and British
//! series, and an hour's value counts for both its halves.
//!
//! Invariant: no half-hour between the first and the last is without a value. Gaps of a few hours are
//! filled by the line between their ends, and counted; longer ones, and times that go back, are errors
//! that name their line.

use std::collections::BTreeMap;
use std::io::BufRead;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Serialize;
use thiserror::Error;

use super::samples::{GRAMS, Sample, Samples, read_samples};
use crate::table::{Heading, LineError, Lines, place};

/// A hundred years of quarters of an hour; this bounds what a wrong file can make us hold.
pub(super) const ROWS_MAX: usize = 4_000_000;
/// Minutes of a slot.
pub(super) const SLOT_MINUTES: i64 = 30;
const SLOT_S: i64 = SLOT_MINUTES * 60;
/// Half-hours that are held: a hundred years.
const SLOTS_MAX: usize = 2_000_000;
/// Rows follow one another by five minutes to an hour: coarser ones say nothing of half-hours.
const STEP_S: [i64; 2] = [300, 3_600];
/// Gaps up to three hours are filled: grids change little within them. The hour that clocks lose in
/// spring is one.
const GAP_SLOTS_MAX: usize = 6;
/// Slots of a day.
pub(super) const DAY: u32 = 48;

/// Values by the half-hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// When the first half-hour begins.
    pub start: DateTime,
    /// Milligrams of CO₂ for a kilowatt-hour, or millionths of the currency for one.
    pub values: Vec<i64>,
    /// What was made of the rows.
    pub notes: Notes,
}

/// What was made of the rows of a series.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Notes {
    /// Rows with a value.
    pub rows: usize,
    /// Minutes from one to the next.
    pub step_minutes: u32,
    /// Rows of a moment that another had already; the mean counts.
    pub doubled: usize,
    /// Rows without a value.
    pub empty: usize,
    /// Half-hours of short gaps, filled by the line between their ends.
    pub filled: usize,
}

/// Why a series cannot be read.
#[derive(Debug, Error)]
pub enum SeriesError {
    /// A line cannot be had.
    #[error(transparent)]
    Line(#[from] LineError),
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
    /// In another unit.
    #[error(
        "{}`{name}` is not in grams for a kilowatt-hour, nor in kilograms for a megawatt-hour",
        place(*line)
    )]
    Unit {
        /// Counted from 1; 0: it stands in JSON.
        line: usize,
        /// What says the unit.
        name: String,
    },
    /// A price in parts of a currency, of another amount of energy, or of none that is said.
    #[error(
        "{}`{name}` is no unit of a price: a currency for a kilowatt-hour or a megawatt-hour, as in `EUR/MWh`",
        place(*line)
    )]
    PriceUnit {
        /// Counted from 1; 0: it stands in JSON.
        line: usize,
        /// What says the unit.
        name: String,
    },
    /// In no unit.
    #[error(
        "{}`{name}` says no unit; grams for a kilowatt-hour are called `carbon_intensity`, or `gCO2/kWh` \
         is their `unit`", place(*line)
    )]
    NoUnit {
        /// Counted from 1; 0: it stands in JSON.
        line: usize,
        /// What should say it.
        name: String,
    },
    /// It is not JSON of a kind that is known.
    #[error(
        "neither a table nor JSON with `datetime` and `{key}` in a list that may be called `forecast`, \
         `history` or `data`: {why}"
    )]
    Json {
        /// The key of what is read.
        key: &'static str,
        /// What the reader said.
        why: String,
    },
    /// A line is wrong, or a value of JSON.
    #[error("{}{what}: `{text}`", place(*line))]
    Row {
        /// Counted from 1; 0: it stands in JSON.
        line: usize,
        /// What is wrong.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// A gap that is too long to be filled.
    #[error(
        "{}{hours} hours from {from} on are missing; up to three are filled", before(*line)
    )]
    Gap {
        /// Counted from 1; 0: it stands in JSON.
        line: usize,
        /// The first half-hour that is missing.
        from: String,
        /// How many.
        hours: f64,
    },
    /// Times without an offset go back.
    #[error(
        "{}{found} comes after {before}. Where clocks were put back, an hour is there twice and cannot \
         be told apart: give times in UTC, or with their offset", place(*line)
    )]
    ClockBack {
        /// Counted from 1; 0: it stands in JSON.
        line: usize,
        /// The time before.
        before: String,
        /// What stands there.
        found: String,
    },
    /// Times go back.
    #[error("{}{found} comes after {before} (UTC); rows are in the order of time", place(*line))]
    Back {
        /// Counted from 1; 0: it stands in JSON.
        line: usize,
        /// The time before.
        before: String,
        /// What stands there.
        found: String,
    },
    /// Too fine, or too coarse.
    #[error("rows follow one another by {minutes} minutes; 5 to 60 are read")]
    Step {
        /// From one to the next, most often.
        minutes: i64,
    },
    /// A list of jobs of another time, or of longer ones.
    #[error("none of the {jobs} jobs lies within the series")]
    NoneWithin {
        /// How many there are.
        jobs: usize,
    },
    /// Not a series of this kind.
    #[error("it goes from {from} to {to}; a hundred years are read")]
    TooLong {
        /// Its first half-hour.
        from: String,
        /// Its last row.
        to: String,
    },
}

/// Where a gap ends.
fn before(line: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}: before it, ") }
}

/// The heading of a table.
pub(super) fn heading(lines: &mut Lines<impl BufRead>) -> Result<Heading, SeriesError> {
    Ok(Heading::new(&lines.heading()?.ok_or(SeriesError::Empty)?))
}

/// An error about what stands in a line.
pub(super) fn wrong(line: usize, what: &'static str, text: &str) -> SeriesError {
    SeriesError::Row { line, what, text: text.chars().take(40).collect() }
}

/// Reads a series of carbon intensity in grams for a kilowatt-hour.
pub fn read_carbon(from: impl BufRead) -> Result<Series, SeriesError> {
    half_hours(read_samples(from, GRAMS)?)
}

/// By the half-hour: each has the value of the row that holds at its beginning, which is the last one
/// not older than a step.
pub(super) fn half_hours(samples: Samples) -> Result<Series, SeriesError> {
    let Samples { mut rows, empty, zoned } = samples;
    // Some services tell the newest first.
    if rows.windows(2).all(|pair| pair[0].at >= pair[1].at) {
        rows.reverse();
    }
    let read = rows.len();
    let rows = apart(rows, zoned)?;
    let (first, last) = rows.first().zip(rows.last()).ok_or(SeriesError::NoRows)?;
    let step = step_of(&rows)?;
    let start = -(-first.at).div_euclid(SLOT_S) * SLOT_S;
    let mut known = Vec::new();
    let mut next = 0;
    let mut slot = start;
    while slot < last.at + step {
        while rows.get(next).is_some_and(|row| row.at <= slot) {
            next += 1;
        }
        let row = rows[next.max(1) - 1];
        known.push((row.at > slot - step && row.at <= slot).then_some(row.value));
        slot += SLOT_S;
        if known.len() > SLOTS_MAX {
            return Err(SeriesError::TooLong { from: shown(start), to: shown(last.at) });
        }
    }
    let filled = fill(&mut known, start, &rows)?;
    let notes = Notes {
        rows: read,
        step_minutes: u32::try_from(step / 60).unwrap_or(u32::MAX),
        doubled: read - rows.len(),
        empty,
        filled,
    };
    let values = known.into_iter().map(|value| value.expect("gaps are filled")).collect();
    Ok(Series { start: civil(start), values, notes })
}

/// Rows of one moment become their mean. Times that go back are those of a clock that was put back,
/// or of a file that is in no order; which half-hours those are cannot be known.
fn apart(rows: Vec<Sample>, zoned: bool) -> Result<Vec<Sample>, SeriesError> {
    let mut found: Vec<Sample> = Vec::with_capacity(rows.len());
    let (mut sum, mut count) = (0_i128, 0_i128);
    for row in rows {
        match found.last_mut() {
            Some(last) if last.at == row.at => {
                (sum, count) = (sum + i128::from(row.value), count + 1);
                last.value = i64::try_from(sum.div_euclid(count)).unwrap_or(last.value);
                continue;
            }
            Some(last) if last.at > row.at => {
                let (line, before, found) = (row.line, shown(last.at), shown(row.at));
                return Err(if zoned {
                    SeriesError::Back { line, before, found }
                } else {
                    SeriesError::ClockBack { line, before, found }
                });
            }
            Some(_) | None => {}
        }
        (sum, count) = (i128::from(row.value), 1);
        found.push(row);
    }
    Ok(found)
}

/// What lies between rows most often.
fn step_of(rows: &[Sample]) -> Result<i64, SeriesError> {
    let mut counts: BTreeMap<i64, usize> = BTreeMap::new();
    for pair in rows.windows(2) {
        *counts.entry(pair[1].at - pair[0].at).or_default() += 1;
    }
    // Of equals, the shorter.
    let step =
        counts.iter().rev().max_by_key(|(_, count)| **count).map_or(SLOT_S, |(step, _)| *step);
    if (STEP_S[0]..=STEP_S[1]).contains(&step) {
        return Ok(step);
    }
    Err(SeriesError::Step { minutes: step / 60 })
}

/// Short gaps get the line between the values on both sides, and are counted; long ones are told.
fn fill(known: &mut [Option<i64>], start: i64, rows: &[Sample]) -> Result<usize, SeriesError> {
    let mut filled = 0;
    let mut at = 0;
    while at < known.len() {
        let Some(end) = known[at..].iter().position(Option::is_some).map(|len| at + len) else {
            break;
        };
        let len = end - at;
        if len > GAP_SLOTS_MAX {
            let from = start + i64::try_from(at).expect("slots are few") * SLOT_S;
            let line = rows.iter().find(|row| row.at >= from).map_or(0, |row| row.line);
            let hours = len as f64 / 2.0;
            return Err(SeriesError::Gap { line, from: shown(from), hours });
        }
        if len > 0 {
            let ends = at.checked_sub(1).and_then(|before| known[before]).zip(known[end]);
            let (before, after) = ends.expect("it begins and ends with a value");
            let parts = i64::try_from(len + 1).expect("a short gap");
            for (part, slot) in (1..).zip(&mut known[at..end]) {
                *slot = Some(before + (after - before) * part / parts);
            }
            filled += len;
        }
        at = end + 1;
    }
    Ok(filled)
}

fn civil(seconds: i64) -> DateTime {
    let at = Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH);
    at.to_zoned(TimeZone::UTC).datetime()
}

fn shown(seconds: i64) -> String {
    civil(seconds).strftime("%Y-%m-%d %H:%M:%S").to_string()
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

    fn read(rows: &str) -> Series {
        read_carbon(format!("{HEAD}{rows}").as_bytes()).unwrap_or_else(|why| panic!("{why}"))
    }

    #[test]
    fn half_hours_are_kept_and_quarters_left_out() {
        let text = "2019-12-31 23:15:00,9\n2019-12-31 23:30:00,42.3412\n2019-12-31 23:45:00,1\r\n\
                    2020-01-01 00:00:00,0.5\n\n";
        let series = read(text);
        assert_eq!(series.values, [42_341, 500]);
        assert_eq!(series.start, jiff::civil::date(2019, 12, 31).at(23, 30, 0, 0));
        assert_eq!((series.notes.step_minutes, series.notes.filled), (15, 0));
    }

    #[test]
    fn rows_of_any_step_become_half_hours() {
        let check = |rows: &str, expect: &[i64]| assert_eq!(read(rows).values, expect, "{rows}");
        check("2020-01-01T00:00Z,1\n2020-01-01T01:00Z,2\n", &[1_000, 1_000, 2_000, 2_000]);
        check(
            "2020-01-01 00:00,1\n2020-01-01 00:20,2\n2020-01-01 00:40,3\n2020-01-01 01:00,4\n",
            &[1_000, 2_000, 4_000],
        );
        let fives: Vec<String> =
            (0..12).map(|n| format!("2020-01-01 00:{:02},{n}\n", n * 5)).collect();
        check(&fives.concat(), &[0, 6_000]);
        // One row is a half-hour.
        check("2020-01-01 00:00:00,1\n", &[1_000]);
        // The newest first, as some services tell it; offsets are taken to UTC.
        let back = read("2020-01-01T08:30:00+08:00,2\n2020-01-01T08:00:00+08:00,1\n");
        assert_eq!(
            (back.values, back.start),
            (vec![1_000, 2_000], jiff::civil::date(2020, 1, 1).at(0, 0, 0, 0))
        );
        let spaced = read("2020-01-01 00:00:00+00:00,1\n2020-01-01 00:30:00+00:00,2\n");
        assert_eq!(spaced.values, [1_000, 2_000]);
    }

    #[test]
    fn other_tables_are_read() {
        let check = |text: &str, expect: &[i64]| {
            let series = read_carbon(text.as_bytes()).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(series.values, expect, "{text}");
        };
        check("zone,datetime,gCO2eq/kWh\nDE,2020-01-01T00:00:00Z,7.5\n", &[7_500]);
        check("\u{feff}Time;CO2;more\n2020-01-01 00:00:00;7,5;x\n", &[7_500]);
        check("\"time\",\"kgCO2/MWh\"\n\"2020-01-01 00:00\",\"7\"\n", &[7_000]);
        check(
            "{\"data\":[{\"from\":\"2020-01-01T00:00Z\",\"intensity\":{\"actual\":5,\"forecast\":6}}]}",
            &[5_000],
        );
        let pounds = read_carbon("time,lbs CO2/MWh\n2020-01-01 00:00,7\n".as_bytes());
        assert!(matches!(pounds, Err(SeriesError::Unit { .. })), "{pounds:?}");
    }

    #[test]
    fn short_gaps_are_filled_and_doubled_rows_are_averaged() {
        let rows = "2020-01-01 00:00:00,1\n2020-01-01 00:30:00,2\n2020-01-01 01:00:00,3\n\
                    2020-01-01 01:00:00,4\n2020-01-01 01:30:00,\n2020-01-01 02:00:00,\n\
                    2020-01-01 02:30:00,6.5\n2020-01-01 03:00:00,1\n";
        let series = read(rows);
        assert_eq!(series.values, [1_000, 2_000, 3_500, 4_500, 5_500, 6_500, 1_000]);
        let notes = Notes { rows: 6, step_minutes: 30, doubled: 1, empty: 2, filled: 2 };
        assert_eq!(series.notes, notes);
        // The hour that clocks lose in spring.
        let spring = read(
            "2020-03-29 01:00,1\n2020-03-29 01:30,2\n2020-03-29 03:00,5\n2020-03-29 03:30,6\n",
        );
        assert_eq!((spring.values.len(), spring.notes.filled), (6, 2));
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let check = |text: &str, expect: &str| {
            let error = read_carbon(text.as_bytes()).expect_err(text).to_string();
            assert!(error.starts_with(expect), "{error}");
        };
        check("", "the series is empty");
        check(HEAD, "the series has a heading but no half-hours");
        check("Time\n", "line 1: the heading is not `a column of times and one of values`");
        let row = |row: &str| format!("{HEAD}2020-01-01 00:00:00,1\n{row}\n");
        check(&row("2020-01-01 00:30:00"), "line 3: no column of values: `2020-01-01 00:30:00`");
        const TIME: &str = "line 3: not a time like ";
        for time in ["2020-02-30 00:30:00", "2020-1-1 00:30:00", "noon", "", "31/12/2019 00:00"] {
            check(&row(&format!("{time},1")), TIME);
        }
        for value in ["-1", "1e3", "x"] {
            let expect = format!("line 3: not grams for a kilowatt-hour: `{value}`");
            check(&row(&format!("2020-01-01 00:30:00,{value}")), &expect);
        }
        check(
            &row("2020-01-01 00:30:00,1\n2020-01-01 01:00:00,1\n2020-01-01 06:00:00,1"),
            "line 5: before it, 4.5 hours from 2020-01-01 01:30:00 on are missing; up to three",
        );
        check(
            &row("2020-01-01 00:30:00,1\n2020-01-01 00:00:00,1"),
            "line 4: 2020-01-01 00:00:00 comes after 2020-01-01 00:30:00. Where clocks were put back",
        );
        check(&row("2020-01-01 03:00:00,1"), "rows follow one another by 180 minutes; 5 to 60");
        check(&row("2020-01-01 00:01:00,1"), "rows follow one another by 1 minutes; 5 to 60");
        let long = format!("{HEAD}{}\n", "x".repeat(9_000));
        check(&long, "line 2: longer than 4096 bytes");
        let far = format!("{HEAD}0001-01-01 00:00,1\n0001-01-01 00:30,1\n9000-01-01 00:00,1\n");
        check(&far, "it goes from 0001-01-01 00:00:00 to 9000-01-01 00:00:00; a hundred years");
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
