//! Reads a file that says how dirty a grid is, with the reader that the simulator has. Samples within
//! an hour are averaged; an hour that is missing is an error. Must not know who is told.

use std::collections::BTreeMap;
use std::io::BufRead;

use dayan_simulate::carbon::{GRAMS, Sample, SeriesError, read_samples};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

/// Hours that an exchange takes at once, which is what it holds of a grid.
const HOURS_MAX: usize = 336;
/// Hours before the present one that are kept: the last day says how the next may go, where the file
/// ends soon.
const HOURS_BEFORE: i64 = 24;
const HOUR_S: i64 = 3_600;
/// Milligrams of a gram.
const MILLI: i128 = 1_000;

/// Grams for a kilowatt-hour by the hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hours {
    /// When the first begins.
    pub from: Timestamp,
    /// Of each from then on.
    pub grams_per_kwh: Vec<u32>,
}

/// Why it cannot be used.
#[derive(Debug, Error)]
pub enum FileError {
    /// It cannot be read.
    #[error(transparent)]
    Series(#[from] SeriesError),
    /// Nothing of these days is in it.
    #[error("it says nothing of the last day or of what is to come")]
    Past,
    /// An hour is missing.
    #[error("the hour from {0} is missing")]
    Gap(Timestamp),
}

/// Reads it, as far as it is of use at a moment. Times without an offset are in UTC.
pub fn read(from: impl BufRead, now: Timestamp) -> Result<Hours, FileError> {
    by_hour(&read_samples(from, GRAMS)?.rows, now)
}

fn by_hour(samples: &[Sample], now: Timestamp) -> Result<Hours, FileError> {
    let first = hour_of(now.as_second()) - HOURS_BEFORE;
    let mut hours: BTreeMap<i64, (i128, i128)> = BTreeMap::new();
    for sample in samples {
        let hour = hour_of(sample.at);
        if hour >= first {
            let sum = hours.entry(hour).or_default();
            *sum = (sum.0 + i128::from(sample.value), sum.1 + 1);
        }
    }
    let start = *hours.keys().next().ok_or(FileError::Past)?;
    let mut grams_per_kwh = Vec::new();
    for (hour, (sum, count)) in hours.into_iter().take(HOURS_MAX) {
        let due = start + i64::try_from(grams_per_kwh.len()).expect("two weeks");
        if hour != due {
            return Err(FileError::Gap(begins(due)));
        }
        // To the nearest, halves up.
        let grams = (2 * sum + count * MILLI).div_euclid(2 * count * MILLI);
        grams_per_kwh.push(u32::try_from(grams).expect("as much as is read at most"));
    }
    Ok(Hours { from: begins(start), grams_per_kwh })
}

fn hour_of(second: i64) -> i64 {
    second.div_euclid(HOUR_S)
}

fn begins(hour: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_secs(hour * HOUR_S)).expect("a span")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn check(text: &str, expect: Result<(&str, &[u32]), &str>) {
        let found = read(text.as_bytes(), at("2026-12-01T10:20:00Z"));
        let expect =
            expect.map(|(from, grams)| Hours { from: at(from), grams_per_kwh: grams.into() });
        assert_eq!(found.map_err(|why| why.to_string()), expect.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn a_table_is_averaged_by_the_hour_and_what_is_long_past_is_left_out() {
        let table = "Time,Carbon Intensity\n2026-11-30 09:30:00,900\n2026-12-01 09:00:00,100\n\
                     2026-12-01 09:30:00,201\n2026-12-01T18:00:00+08:00,40.4\n";
        check(table, Ok(("2026-12-01T09:00:00Z", &[151, 40])));
        let wide = "time,zone,gCO2/kWh,source\n2026-12-01T10:00Z,CN,77,x\n";
        check(wide, Ok(("2026-12-01T10:00:00Z", &[77])));
    }

    #[test]
    fn what_services_answer_is_read() {
        let forecast = r#"{"zone":"X","forecast":[
            {"carbonIntensity":58,"datetime":"2026-12-01T10:00:00.000Z"},
            {"carbonIntensity":60,"datetime":"2026-12-01T11:00:00.000Z"}]}"#;
        check(forecast, Ok(("2026-12-01T10:00:00Z", &[58, 60])));
        let british = r#"{"data":[{"from":"2026-12-01T12:00Z","to":"2026-12-01T12:30Z",
            "intensity":{"forecast":266,"actual":null,"index":"moderate"}}]}"#;
        check(british, Ok(("2026-12-01T12:00:00Z", &[266])));
        check(
            r#"[{"time":"2026-12-01T10:30:00Z","grams_per_kwh":5}]"#,
            Ok(("2026-12-01T10:00:00Z", &[5])),
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        check(
            "Time,g\nnoon,4\n",
            Err("line 2: not a time like 2026-12-01T08:00:00+08:00 or 2026-12-01 08:00:00: `noon`"),
        );
        check(
            "Time,g\n2026-12-01T10:00:00Z,-4\n",
            Err("line 2: not grams for a kilowatt-hour: `-4`"),
        );
        check(
            "Time,g\n2026-12-01T10:00:00Z\n",
            Err("line 2: no column of values: `2026-12-01T10:00:00Z`"),
        );
        check(
            "Time,g\n2026-12-01T10:00:00Z,4\n2026-12-01T12:00:00Z,4\n",
            Err("the hour from 2026-12-01T11:00:00Z is missing"),
        );
        check(
            "Time,g\n2020-12-01T10:00:00Z,4\n",
            Err("it says nothing of the last day or of what is to come"),
        );
    }
}
