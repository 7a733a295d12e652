//! Reads a list of jobs: when each comes, and how long it runs. Lists of real machines are read as
//! they are published: `Start,Hours`, `timestamp,duration` with moments and seconds, `arrival_time,
//! length` with hours since the beginning.
//!
//! Invariant: a list is read whole or refused with the number of its line. Starts are all moments or all
//! numbers, as the column has them; `20201201` alone is told by its neighbours, or by a unit in the
//! heading. What is rounded to half-hours, and what lies outside the series, is counted.

use std::io::BufRead;

use jiff::civil::DateTime;
use serde::Serialize;

use super::jobs::{Deadline, ShiftJob};
use super::samples::{Moment, moment};
use super::series::{ROWS_MAX, SLOT_MINUTES, SeriesError, minutes, wrong};
use super::year::Year;
use crate::job_columns::JobColumns;
use crate::table::Lines;

const SLOT_US: i64 = SLOT_MINUTES * 60_000_000;

/// A list as it was read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JobList {
    /// In the order in which they come.
    pub jobs: Vec<ShiftJob>,
    /// What was made of the rows.
    pub notes: ListNotes,
}

/// What was made of the rows of a list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ListNotes {
    /// Rows.
    pub rows: usize,
    /// Jobs whose start or length was no full half-hour: starts are rounded down, lengths up.
    pub rounded: usize,
    /// Jobs that took no time; they are left out.
    pub empty: usize,
    /// Whole days by which the list was put off, so that its first job comes in the series. Weeks,
    /// so that workdays stay workdays.
    pub shifted_days: i64,
    /// Jobs that end after the series; they are left out.
    pub beyond: usize,
}

/// Reads the jobs of a year.
pub fn read_jobs(
    from: impl BufRead,
    year: &Year,
    deadline: Deadline,
) -> Result<JobList, SeriesError> {
    let mut lines = Lines::new(from, ROWS_MAX);
    let first = lines.heading()?.ok_or(SeriesError::Empty)?;
    let columns = JobColumns::new(&first).map_err(|expected| SeriesError::Heading { expected })?;
    let Some(start_column) = columns.start else {
        return Err(SeriesError::Heading {
            expected: "a column of starts, as `Start` or `arrival_time`",
        });
    };
    let mut notes = ListNotes::default();
    let mut starts = Starts::new(&columns, year);
    let mut found: Vec<(Start, i64)> = Vec::new();
    while let Some((line, text)) = lines.row()? {
        notes.rows += 1;
        let fields = columns.heading.row(&text);
        let field = |at: usize| fields.get(at).map_or("", String::as_str);
        let start = starts.read(line, field(start_column))?;
        let length = field(columns.length);
        let lasts =
            columns.micros(length).ok_or_else(|| wrong(line, columns.unit.none(), length))?;
        if lasts == 0 {
            notes.empty += 1;
            continue;
        }
        found.push((start, lasts));
    }
    let kind = starts.kind()?;
    let found = found.into_iter().map(|(start, lasts)| {
        let at = start.of(kind);
        notes.rounded += usize::from(at % SLOT_US != 0 || lasts % SLOT_US != 0);
        (at.div_euclid(SLOT_US), -(-lasts).div_euclid(SLOT_US))
    });
    let found: Vec<(i64, i64)> = found.collect();
    let Some(first) = found.iter().map(|(start, _)| *start).min() else {
        return Err(SeriesError::NoRows);
    };
    notes.shifted_days = weeks_to(first, year);
    let mut jobs = Vec::new();
    for (start, slots) in found {
        let start = start + notes.shifted_days * SLOTS_OF_DAY;
        let job = u32::try_from(start).ok().zip(u32::try_from(slots).ok());
        let job = job.and_then(|(start, slots)| {
            let end = start.checked_add(slots).filter(|end| *end <= year.len())?;
            Some(ShiftJob { start, slots, latest: deadline.of(year, end).min(year.len()) })
        });
        match job {
            Some(job) => jobs.push(job),
            None => notes.beyond += 1,
        }
    }
    jobs.sort_by_key(|job| (job.start, job.slots));
    if jobs.is_empty() {
        return Err(SeriesError::NoneWithin { jobs: notes.rows });
    }
    Ok(JobList { jobs, notes })
}

const SLOTS_OF_DAY: i64 = 24 * 60 / SLOT_MINUTES;

/// Whole weeks, in days, from a first start outside the series to one inside it.
fn weeks_to(first: i64, year: &Year) -> i64 {
    let week = 7 * SLOTS_OF_DAY;
    if (0..i64::from(year.len())).contains(&first) {
        return 0;
    }
    // The first week that begins in the series.
    -first.div_euclid(week) * 7
}

/// What the starts of a list are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Moments,
    /// Since the beginning, in the unit of the column.
    Numbers,
}

/// A start in microseconds since the first half-hour of the year, as either; `20201201` is both.
#[derive(Clone, Copy, Debug)]
struct Start {
    moment: i64,
    number: i64,
}

impl Start {
    const fn of(self, kind: Kind) -> i64 {
        match kind {
            Kind::Moments => self.moment,
            Kind::Numbers => self.number,
        }
    }
}

/// The column of starts, as far as it was read.
struct Starts<'a> {
    columns: &'a JobColumns,
    year: &'a Year,
    /// What the first one that is not both is.
    kind: Option<Kind>,
    /// The first one that is both.
    both: Option<(usize, String)>,
}

impl<'a> Starts<'a> {
    const fn new(columns: &'a JobColumns, year: &'a Year) -> Self {
        Self { columns, year, kind: None, both: None }
    }

    fn read(&mut self, line: usize, text: &str) -> Result<Start, SeriesError> {
        let neither = || wrong(line, "neither a time nor a number since the beginning", text);
        let (moment, number) = (self.moment(text), self.columns.start_micros(text));
        let (start, kind) = match (moment, number) {
            (None, None) => return Err(neither()),
            (Some(moment), None) => (Start { moment, number: 0 }, Some(Kind::Moments)),
            (None, Some(number)) => (Start { moment: 0, number }, Some(Kind::Numbers)),
            (Some(moment), Some(number)) => {
                self.both.get_or_insert_with(|| (line, text.to_owned()));
                (Start { moment, number }, None)
            }
        };
        match (self.kind, kind) {
            (Some(Kind::Moments), Some(Kind::Numbers)) => {
                Err(wrong(line, "a number in a column of times", text))
            }
            (Some(Kind::Numbers), Some(Kind::Moments)) => {
                Err(wrong(line, "a time in a column of numbers since the beginning", text))
            }
            (known, found) => {
                self.kind = known.or(found);
                Ok(start)
            }
        }
    }

    fn moment(&self, text: &str) -> Option<i64> {
        let (Moment::Utc(at) | Moment::Local(at)) = moment(text)?;
        let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
        let since = minutes(epoch, self.year.start()) * 60;
        at.checked_sub(since)?.checked_mul(1_000_000)
    }

    /// What all of them are.
    fn kind(self) -> Result<Kind, SeriesError> {
        let named = self.columns.start_unit.map(|_| Kind::Numbers);
        match (self.kind.or(named), self.both) {
            (Some(kind), _) => Ok(kind),
            (None, None) => Err(SeriesError::NoRows),
            (None, Some((line, text))) => Err(wrong(
                line,
                "a day or a number since the beginning, as all starts are; write days as 2020-12-01, or \
                 the unit into the heading, as `start_hours`",
                &text,
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year() -> Year {
        let first = jiff::civil::date(2020, 1, 1);
        Year { first, days: 366, carbon: vec![0; 375 * 48] }
    }

    fn read(text: &str) -> Result<JobList, SeriesError> {
        read_jobs(text.as_bytes(), &year(), Deadline::Workday)
    }

    #[test]
    fn jobs_are_read_in_order_of_time() {
        let rows = "2020-01-02 09:30:00,4\n2020-01-01 16:30:00,4.5\n";
        let list = read(&format!("Start,Hours\n{rows}")).expect("well formed");
        assert_eq!(list.jobs[0], ShiftJob { start: 33, slots: 9, latest: 48 + 18 });
        assert_eq!(list.jobs[1], ShiftJob { start: 48 + 19, slots: 8, latest: 48 + 27 });
        assert_eq!(list.notes, ListNotes { rows: 2, ..ListNotes::default() });
    }

    #[test]
    fn published_lists_are_read_as_they_are() {
        // Philly: seconds; its days are those of another year.
        let philly = "timestamp,duration,num_gpus,gpu_time,cluster\n\
                      2017-10-09 07:01:55,66.0,1,66.0,a\n2017-10-03 06:13:03,3601.0,1,1,b\n\
                      2017-10-09 07:01:55,0.0,1,66.0,a\n";
        let list = read(philly).expect("well formed");
        assert_eq!((list.notes.rows, list.notes.rounded, list.notes.empty), (3, 2, 1));
        assert_eq!((list.notes.shifted_days % 7, list.notes.beyond), (0, 0));
        let [first, second] = list.jobs[..] else { panic!("{list:?}") };
        // A Tuesday and a Monday.
        assert_eq!([year().weekday(first.start / 48), year().weekday(second.start / 48)], [1, 0]);
        assert_eq!((first.slots, second.slots, first.start % 48), (3, 1, 12));
        assert_eq!(second.start - first.start, 6 * 48 + 2);
        // GAIA: hours since the beginning.
        let gaia = "\u{feff}\"arrival_time\",\"length\",\"cpus\"\n0.0,\"25.408055555555556\",1\n10.65,0.5,1\n";
        let list = read(gaia).expect("well formed");
        assert_eq!((list.jobs[0].start, list.jobs[0].slots), (0, 51));
        assert_eq!((list.jobs[1].start, list.jobs[1].slots, list.notes.rounded), (21, 1, 2));
        let minutes = "submit_minutes;run_minutes\n90;45\n";
        let list = read(minutes).expect("well formed");
        assert_eq!((list.jobs[0].start, list.jobs[0].slots), (3, 2));
    }

    #[test]
    fn what_a_start_is_the_column_says() {
        let first = |text: &str| {
            let list = read(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            (list.jobs[0].start, list.jobs.len())
        };
        // Eight digits are a day beside times, and seconds beside other numbers.
        assert_eq!(first("Start,Hours\n20200102,1\n2020-01-03 09:30,1\n"), (48, 2));
        assert_eq!(first("start,duration\n10000101,3600\n12.5,3600\n"), (0, 2));
        // A unit in the heading is a word on it.
        assert_eq!(first("start_seconds,duration\n10000101,3600\n").0, 5_555);
    }

    #[test]
    fn what_is_wrong_is_named_and_what_is_outside_is_counted() {
        let check = |text: &str, expect: &str| {
            let told = read(text).expect_err(text).to_string();
            assert!(told.starts_with(expect), "{told}");
        };
        let hours = |row: &str| format!("Start,Hours\n{row}\n");
        check(&hours(""), "the series has a heading but no half-hours");
        check("Start,Name\n", "line 1: the heading is not `a column of lengths");
        check("Hours\n1\n", "line 1: the heading is not `a column of starts");
        check(&hours("noon,4"), "line 2: neither a time nor a number since the beginning: `noon`");
        for length in ["-4", "x", ""] {
            let expect = format!("line 2: not a number of hours: `{length}`");
            check(&hours(&format!("2020-01-02 09:30:00,{length}")), &expect);
        }
        let starts = |rows: &str| format!("Start,Hours\n{rows}\n");
        check(&starts("2020-01-02 09:30,1\n8.5,1"), "line 3: a number in a column of times: `8.5`");
        check(
            &starts("8.5,1\n2020-01-02 09:30,1"),
            "line 3: a time in a column of numbers since the beginning: `2020-01-02 09:30`",
        );
        check(&starts("20200102,1\n20200103,1"), "line 2: a day or a number since the beginning");
        let list = read(&hours("2020-01-02 09:30,4\n2021-01-09 12:00:00,13")).expect("one of two");
        assert_eq!((list.jobs.len(), list.notes.beyond), (1, 1));
        check(&hours("2020-01-02 09:30,90000"), "none of the 1 jobs lies within the series");
    }
}
