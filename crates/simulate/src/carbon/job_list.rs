//! Reads a list of jobs, `Start,Hours`: when each comes, and how long it runs.

use std::io::BufRead;

use super::decimal::scaled;
use super::jobs::{Deadline, ShiftJob};
use super::series::{Lines, SLOT_MINUTES, SeriesError, minutes, time_of, wrong};
use super::year::Year;

/// Reads the jobs of a year.
pub fn read_jobs(
    from: impl BufRead,
    year: &Year,
    deadline: Deadline,
) -> Result<Vec<ShiftJob>, SeriesError> {
    const HEADING: &str = "Start,Hours";
    let mut lines = Lines::new(from);
    if lines.heading()? != HEADING {
        return Err(SeriesError::Heading { expected: HEADING });
    }
    let mut jobs = Vec::new();
    while let Some((line, text)) = lines.next()? {
        if text.is_empty() {
            continue;
        }
        let (start, hours) =
            text.split_once(',').ok_or_else(|| wrong(line, "not two columns", &text))?;
        let slot = slot_of(start, year)
            .ok_or_else(|| wrong(line, "not a half-hour of the series' year or later", start))?;
        let slots =
            slots_of(hours).ok_or_else(|| wrong(line, "not a number of hours in halves", hours))?;
        let latest = slot
            .checked_add(slots)
            .filter(|end| *end <= year.len())
            .map(|end| deadline.of(year, end).min(year.len()))
            .ok_or_else(|| wrong(line, "ends after the series", &text))?;
        jobs.push(ShiftJob { start: slot, slots, latest });
    }
    jobs.sort_by_key(|job| (job.start, job.slots));
    if jobs.is_empty() { Err(SeriesError::NoRows) } else { Ok(jobs) }
}

fn slot_of(text: &str, year: &Year) -> Option<u32> {
    let after = minutes(year.start(), time_of(text)?);
    let slot = u32::try_from(after / SLOT_MINUTES).ok()?;
    (after >= 0 && after % SLOT_MINUTES == 0).then_some(slot)
}

fn slots_of(text: &str) -> Option<u32> {
    let tenths = scaled(text, 1)?;
    let exact = text.split_once('.').is_none_or(|(_, part)| part.len() == 1);
    let slots = u32::try_from(tenths / 5).ok()?;
    (exact && tenths % 5 == 0 && slots > 0).then_some(slots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_read_in_order_of_time_or_refused() {
        let first = jiff::civil::date(2020, 1, 1);
        let year = Year { first, days: 366, carbon: vec![0; 375 * 48] };
        let read = |rows: &str| {
            let text = format!("Start,Hours\n{rows}");
            read_jobs(text.as_bytes(), &year, Deadline::Workday)
        };
        let jobs = read("2020-01-02 09:30:00,4\n2020-01-01 16:30:00,4.5\n").expect("well formed");
        assert_eq!(jobs[0], ShiftJob { start: 33, slots: 9, latest: 48 + 18 });
        assert_eq!(jobs[1], ShiftJob { start: 48 + 19, slots: 8, latest: 48 + 27 });
        let check = |rows: &str, expect: &str| {
            assert_eq!(read(rows).expect_err("it is wrong").to_string(), expect);
        };
        check("", "the series has a heading but no half-hours");
        const HALF: &str = "line 2: not a half-hour of the series' year or later";
        check("2020-01-02 09:15:00,4\n", &format!("{HALF}: `2020-01-02 09:15:00`"));
        check("2019-12-31 09:30:00,4\n", &format!("{HALF}: `2019-12-31 09:30:00`"));
        for hours in ["0", "4.25", "4.3", "-4", "x"] {
            let expect = format!("line 2: not a number of hours in halves: `{hours}`");
            check(&format!("2020-01-02 09:30:00,{hours}\n"), &expect);
        }
        check(
            "2021-01-09 12:00:00,13\n",
            "line 2: ends after the series: `2021-01-09 12:00:00,13`",
        );
    }
}
