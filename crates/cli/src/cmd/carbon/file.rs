//! Reads a file that says how dirty a grid is: a table with a column of times and one of grams, or the
//! JSON that services for carbon data answer with. Samples within an hour are averaged; an hour that
//! is missing is an error. Must not know who is told.

use std::collections::BTreeMap;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use thiserror::Error;

/// Hours that an exchange takes at once, which is what it holds of a grid.
const HOURS_MAX: usize = 336;
/// Hours before the present one that are kept: the last day says how the next may go, where the file
/// ends soon.
const HOURS_BEFORE: i64 = 24;
const HOUR_S: i64 = 3_600;
/// Samples of a file: a year of five minutes is a third of it.
const SAMPLES_MAX: usize = 400_000;

/// Grams for a kilowatt-hour by the hour.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hours {
    /// When the first begins.
    pub from: Timestamp,
    /// Of each from then on.
    pub grams_per_kwh: Vec<u32>,
}

/// Why it cannot be used.
#[derive(Debug, PartialEq, Error)]
pub enum FileError {
    /// It is not JSON of a kind that is known.
    #[error(
        "neither a table nor JSON with `datetime` and `carbonIntensity` in a list that may be called \
         `forecast`, `history` or `data`: {0}"
    )]
    Json(String),
    /// A line of the table is wrong.
    #[error("line {line}: {what}: `{text}`")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// A time or a value of the JSON is wrong.
    #[error("{what}: `{text}`")]
    Sample {
        /// What is wrong.
        what: &'static str,
        /// What stands there.
        text: String,
    },
    /// Nothing of these days is in it.
    #[error("it says nothing of the last day or of what is to come")]
    Past,
    /// An hour is missing.
    #[error("the hour from {0} is missing")]
    Gap(Timestamp),
    /// There is too much of it.
    #[error("more than {SAMPLES_MAX} values")]
    TooMany,
}

/// Reads it, as far as it is of use at a moment.
pub fn read(text: &str, now: Timestamp) -> Result<Hours, FileError> {
    let samples = if text.trim_start().starts_with(['{', '[']) { json(text) } else { table(text) };
    by_hour(&samples?, now)
}

type Sample = (Timestamp, f64);

fn by_hour(samples: &[Sample], now: Timestamp) -> Result<Hours, FileError> {
    let first = hour_of(now) - HOURS_BEFORE;
    let mut hours: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for (at, grams) in samples {
        let hour = hour_of(*at);
        if hour >= first {
            let sum = hours.entry(hour).or_default();
            *sum = (sum.0 + grams, sum.1 + 1.0);
        }
    }
    let start = *hours.keys().next().ok_or(FileError::Past)?;
    let mut grams_per_kwh = Vec::new();
    for (hour, (sum, count)) in hours.into_iter().take(HOURS_MAX) {
        let due = start + i64::try_from(grams_per_kwh.len()).expect("two weeks");
        if hour != due {
            return Err(FileError::Gap(begins(due)));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "each sample lies between 0 and 100,000, and so does their mean"
        )]
        grams_per_kwh.push((sum / count).round() as u32);
    }
    Ok(Hours { from: begins(start), grams_per_kwh })
}

fn hour_of(at: Timestamp) -> i64 {
    at.as_second().div_euclid(HOUR_S)
}

fn begins(hour: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH.saturating_add(SignedDuration::from_secs(hour * HOUR_S)).expect("a span")
}

/// A time with its offset, or without one: in UTC.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim().trim_matches('"');
    if let Ok(at) = text.parse() {
        return Some(at);
    }
    let civil: DateTime = text.trim_end_matches('Z').parse().ok()?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

fn grams(value: f64) -> Option<f64> {
    (value.is_finite() && (0.0..=100_000.0).contains(&value)).then_some(value)
}

/// `Time,Carbon Intensity`, with any heading and any further columns: the first column is the time,
/// and grams are in the one whose heading speaks of carbon or grams, else in the second.
fn table(text: &str) -> Result<Vec<Sample>, FileError> {
    let wrong = |line, what, text: &str| FileError::Line {
        line,
        what,
        text: text.chars().take(40).collect(),
    };
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    let (_, heading) = lines.next().ok_or_else(|| wrong(1, "there is no heading", ""))?;
    let speaks = |name: &str| {
        let name = name.to_lowercase();
        name.contains("carbon") || name.contains("gram") || name.contains("gco2")
    };
    let names: Vec<&str> = heading.split(',').collect();
    let column = names.iter().skip(1).position(|name| speaks(name)).map_or(1, |at| at + 1);
    let mut samples = Vec::new();
    for (at, row) in lines.filter(|(_, row)| !row.trim().is_empty()) {
        let line = at + 1;
        let fields: Vec<&str> = row.split(',').collect();
        let moment = time(fields[0])
            .ok_or_else(|| wrong(line, "not a time like 2026-12-01T08:00:00+08:00", fields[0]))?;
        let field = fields.get(column).ok_or_else(|| wrong(line, "no column of grams", row))?;
        let value = field.trim().parse().ok().and_then(grams);
        let value = value.ok_or_else(|| wrong(line, "not grams for a kilowatt-hour", field))?;
        if samples.len() >= SAMPLES_MAX {
            return Err(FileError::TooMany);
        }
        samples.push((moment, value));
    }
    Ok(samples)
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Answer {
    List(Vec<Point>),
    Named {
        #[serde(alias = "forecast", alias = "history")]
        data: Vec<Point>,
    },
}

#[derive(Deserialize)]
struct Point {
    #[serde(alias = "time", alias = "from", alias = "point_time")]
    datetime: String,
    #[serde(
        rename = "carbonIntensity",
        alias = "carbon_intensity",
        alias = "grams_per_kwh",
        alias = "intensity",
        alias = "value"
    )]
    grams: Grams,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Grams {
    Plain(f64),
    /// What was measured counts before what was expected.
    Of {
        #[serde(default)]
        actual: Option<f64>,
        #[serde(default)]
        forecast: Option<f64>,
    },
}

fn json(text: &str) -> Result<Vec<Sample>, FileError> {
    let answer: Answer =
        serde_json::from_str(text).map_err(|why| FileError::Json(why.to_string()))?;
    let (Answer::List(points) | Answer::Named { data: points }) = answer;
    if points.len() > SAMPLES_MAX {
        return Err(FileError::TooMany);
    }
    let sample = |point: Point| {
        let what = "not a time like 2026-12-01T08:00:00+08:00";
        let at = time(&point.datetime)
            .ok_or(FileError::Sample { what, text: point.datetime.clone() })?;
        let value = match point.grams {
            Grams::Plain(value) => Some(value),
            Grams::Of { actual, forecast } => actual.or(forecast),
        };
        let what = "no grams for a kilowatt-hour at that time";
        let value =
            value.and_then(grams).ok_or(FileError::Sample { what, text: point.datetime })?;
        Ok((at, value))
    };
    points.into_iter().map(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    fn check(text: &str, expect: Result<(&str, &[u32]), &str>) {
        let found = read(text, at("2026-12-01T10:20:00Z"));
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
        check("Time,g\nnoon,4\n", Err("line 2: not a time like 2026-12-01T08:00:00+08:00: `noon`"));
        check(
            "Time,g\n2026-12-01T10:00:00Z,-4\n",
            Err("line 2: not grams for a kilowatt-hour: `-4`"),
        );
        check(
            "Time,g\n2026-12-01T10:00:00Z\n",
            Err("line 2: no column of grams: `2026-12-01T10:00:00Z`"),
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
