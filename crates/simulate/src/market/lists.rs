//! The lists that jobs are drawn from where they are given: run times from a log of jobs, shapes
//! from a list of pods.
//!
//! Invariant: a list is taken whole or refused with the number of its line. What is drawn from it is
//! the generator's.

use std::io::BufRead;

use dayan_units::Span;
use thiserror::Error;

use crate::pack::PodRow;

/// The largest public log of this form has 100,000 rows; this bounds what a wrong file makes us hold.
const ROWS_MAX: usize = 5_000_000;
/// No job runs for a year.
const HOURS_MAX: f64 = 8_784.0;

/// Both lists; empty: the scenario's own distributions.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// Run times.
    pub jobs: Vec<Span>,
    /// Shapes.
    pub pods: Vec<PodRow>,
}

/// Why a log of jobs cannot be read.
#[derive(Debug, Error)]
pub enum JobsError {
    /// The source failed.
    #[error("line {line}: cannot be read")]
    Read {
        /// Counted from 1.
        line: usize,
        /// What the source said.
        #[source]
        source: std::io::Error,
    },
    /// No such column.
    #[error("line 1: there is no column `length`")]
    NoLength,
    /// Not a length.
    #[error("line {line}: `{text}` is no length in hours")]
    Length {
        /// Counted from 1.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// Nothing in it, or too much.
    #[error("{0} jobs; from 1 to 5000000")]
    Count(usize),
}

/// Reads the run times of a log with a column `length` in hours, such as GAIA's `arrival_time,
/// length,cpus`.
pub fn read_jobs(from: impl BufRead) -> Result<Vec<Span>, JobsError> {
    let mut lines = (1..).zip(from.lines());
    let read = |(line, text): (usize, std::io::Result<String>)| {
        text.map(|text| (line, text)).map_err(|source| JobsError::Read { line, source })
    };
    let heading = lines.next().map(read).transpose()?.ok_or(JobsError::Count(0))?.1;
    let column = heading.split(',').position(|name| name.trim() == "length");
    let column = column.ok_or(JobsError::NoLength)?;
    let mut jobs = Vec::new();
    for line in lines {
        let (line, text) = read(line)?;
        if text.is_empty() {
            continue;
        }
        let field = text.split(',').nth(column).unwrap_or_default().trim();
        let hours = field.parse::<f64>().ok().filter(|hours| (0.0..=HOURS_MAX).contains(hours));
        let hours = hours.ok_or_else(|| JobsError::Length { line, text: field.to_owned() })?;
        jobs.push(seconds(hours));
        if jobs.len() > ROWS_MAX {
            return Err(JobsError::Count(jobs.len()));
        }
    }
    if jobs.is_empty() { Err(JobsError::Count(0)) } else { Ok(jobs) }
}

/// To whole seconds: the log is no finer.
#[expect(clippy::cast_possible_truncation, reason = "within the range that is checked")]
fn seconds(hours: f64) -> Span {
    Span::from_secs((hours * 3_600.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_hours_and_what_is_none_is_named() {
        let read = |text: &str| read_jobs(text.as_bytes());
        let jobs = read("arrival_time,length,cpus\n0.0,0.5,1\n1.0,2.25,3\n").expect("two jobs");
        assert_eq!(jobs, [Span::from_secs(1_800), Span::from_secs(8_100)]);
        let check = |text: &str, expect: &str| {
            assert_eq!(read(text).expect_err(text).to_string(), expect);
        };
        check("arrival_time,cpus\n", "line 1: there is no column `length`");
        check("length\n1\n-1\n", "line 3: `-1` is no length in hours");
        check("length\nnan\n", "line 2: `nan` is no length in hours");
        check("length\n", "0 jobs; from 1 to 5000000");
    }
}
