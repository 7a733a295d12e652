//! The lists that jobs are drawn from where they are given: run times from a log of jobs, shapes
//! from a list of pods.
//!
//! Invariant: a list is taken whole or refused with the number of its line. What is drawn from it is
//! the generator's.

use std::io::BufRead;

use dayan_units::Span;
use thiserror::Error;

use crate::job_columns::JobColumns;
use crate::pack::PodRow;
use crate::table::{LineError, Lines};

/// The largest public log of this form has 100,000 rows; this bounds what a wrong file makes us hold.
const ROWS_MAX: usize = 5_000_000;
/// No job runs for a year.
const LENGTH_MAX: Span = Span::from_secs(366 * 86_400);

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
    /// A line cannot be had.
    #[error(transparent)]
    Line(#[from] LineError),
    /// No such column.
    #[error("line 1: there is not {expected}")]
    NoLength {
        /// What would be one.
        expected: &'static str,
    },
    /// Not a length.
    #[error("line {line}: {none} up to a year: `{text}`")]
    Length {
        /// Counted from 1.
        line: usize,
        /// What it is not.
        none: &'static str,
        /// What stands there.
        text: String,
    },
    /// Nothing in it.
    #[error("there are no jobs in it")]
    NoJobs,
}

/// Reads the run times of a log with a column of lengths, such as GAIA's `arrival_time,length,cpus`
/// (hours) or Philly's `timestamp,duration` (seconds).
pub fn read_jobs(from: impl BufRead) -> Result<Vec<Span>, JobsError> {
    let mut lines = Lines::new(from, ROWS_MAX);
    let heading = lines.heading()?.ok_or(JobsError::NoJobs)?;
    let columns = JobColumns::new(&heading).map_err(|expected| JobsError::NoLength { expected })?;
    let mut jobs = Vec::new();
    while let Some((line, text)) = lines.row()? {
        let mut fields = columns.heading.row(&text);
        let found = fields.get_mut(columns.length).map(std::mem::take).unwrap_or_default();
        let micros = columns.micros(&found).filter(|micros| *micros <= LENGTH_MAX.micros());
        let none = columns.unit.none();
        let micros = micros.ok_or(JobsError::Length { line, none, text: found })?;
        // To whole seconds: the logs are no finer.
        jobs.push(Span::from_secs((micros + 500_000) / 1_000_000));
    }
    if jobs.is_empty() { Err(JobsError::NoJobs) } else { Ok(jobs) }
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
        let philly = read("\u{feff}timestamp,duration,num_gpus\n2017-10-09 07:01:55,\"66.4\",1\n");
        assert_eq!(philly.expect("a job"), [Span::from_secs(66)]);
        check(
            "arrival_time,cpus\n",
            "line 1: there is not a column of lengths, as `Hours`, `length` (hours), `duration` (seconds) or `run_minutes`",
        );
        check("length\n1\n-1\n", "line 3: not a number of hours up to a year: `-1`");
        check("length\nnan\n", "line 2: not a number of hours up to a year: `nan`");
        check("duration\n1e3\n", "line 2: not a number of seconds up to a year: `1e3`");
        check("length\n", "there are no jobs in it");
        check("", "there are no jobs in it");
    }
}
