//! The jobs of the paper's second scenario, drawn from a seed: 3,387 trainings of models, begun on
//! workdays from 9:00 to 16:30, four hours to almost four days long.

use super::series::DAY;
use super::year::Year;
use crate::random::Random;

/// How many jobs there are in a year.
pub const JOBS: u32 = 3_387;
/// 9:00 and 17:00, in half-hours of the day.
const NINE: u32 = 18;
const FIVE: u32 = 34;
/// Starts at 9:00 to 16:30.
const STARTS: u64 = (FIVE - NINE) as u64;
/// Four hours.
const SHORTEST: u32 = 8;
/// Lengths from four hours to 89.5.
const LENGTHS: u64 = 172;

/// A job, in slots of the year.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShiftJob {
    /// When it comes, and would start.
    pub start: u32,
    /// How long it runs.
    pub slots: u32,
    /// When it must have ended.
    pub latest: u32,
}

/// When a job must have ended that would end outside working hours, 9:00 to 17:00 on workdays.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deadline {
    /// As the published simulator computes it, by which the published figures came about: 9:00 of
    /// the next day, or of Monday where it would end on a Saturday (so on Friday evening it is
    /// Saturday); and every job, wherever it ends, may run half an hour past that.
    Published,
    /// As the paper says it: 9:00 of the next workday.
    Workday,
}

impl Deadline {
    /// When a job that would end at `end` must have ended.
    pub fn of(self, year: &Year, end: u32) -> u32 {
        let (day, half_hour) = (end / DAY, end % DAY);
        let nine = |days_later: u32| (day + days_later) * DAY + NINE;
        let friday_evening = match self {
            Self::Published => 1,
            Self::Workday => 3,
        };
        let due = match (year.weekday(day), half_hour) {
            (5, _) => nine(2),
            (6, _) => nine(1),
            (4, evening) if evening > FIVE => nine(friday_evening),
            (_, evening) if evening > FIVE => nine(1),
            (_, morning) if morning < NINE => nine(0),
            (_, _) => end,
        };
        due + self.grace()
    }

    /// How long a job may wait at least. The published simulator looks one half-hour too far, also
    /// for its unshifted jobs: each of those starts at once or half an hour later, whichever emits
    /// less. What is saved is counted from there.
    pub const fn grace(self) -> u32 {
        match self {
            Self::Published => 1,
            Self::Workday => 0,
        }
    }
}

/// Draws the jobs of a year, in the order in which they come. One that the series does not hold to
/// its end is left out.
pub fn draw(year: &Year, count: u32, deadline: Deadline, seed: u64) -> Vec<ShiftJob> {
    let mut random = Random::new(seed, u64::from_be_bytes(*b"shifting"));
    let workdays: Vec<u32> = (0..year.days).filter(|day| year.weekday(*day) < 5).collect();
    let mut small = |end: u64| u32::try_from(random.below(end)).expect("ends are small");
    let mut jobs: Vec<ShiftJob> = (0..count)
        .map(|_| {
            let day = workdays[small(workdays.len() as u64) as usize];
            let start = day * DAY + NINE + small(STARTS);
            let slots = SHORTEST + small(LENGTHS);
            let latest = deadline.of(year, start + slots).min(year.len());
            ShiftJob { start, slots, latest }
        })
        .filter(|job| job.start + job.slots <= job.latest)
        .collect();
    jobs.sort_by_key(|job| (job.start, job.slots));
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn year() -> Year {
        let first = jiff::civil::date(2020, 1, 1);
        Year { first, days: 366, carbon: vec![0; 375 * 48] }
    }

    #[test]
    fn due_at_nine_of_the_next_workday_unless_inside_working_hours() {
        let year = year();
        // Days from Wednesday, the first of January 2020.
        let at = |day: u32, hour: u32| day * DAY + hour * 2;
        let check = |end: u32, published: u32, workday: u32| {
            assert_eq!(Deadline::Published.of(&year, end), published + 1, "{end}");
            assert_eq!(Deadline::Workday.of(&year, end), workday, "{end}");
        };
        check(at(0, 8), at(0, 9), at(0, 9));
        check(at(0, 9), at(0, 9), at(0, 9));
        check(at(0, 17), at(0, 17), at(0, 17));
        check(at(0, 17) + 1, at(1, 9), at(1, 9));
        check(at(2, 18), at(3, 9), at(5, 9));
        check(at(3, 12), at(5, 9), at(5, 9));
        check(at(4, 7), at(5, 9), at(5, 9));
        check(at(5, 7), at(5, 9), at(5, 9));
    }

    #[test]
    fn jobs_are_those_of_the_protocol() {
        let year = year();
        let jobs = draw(&year, JOBS, Deadline::Workday, 42);
        assert_eq!(jobs.len(), JOBS as usize);
        assert_eq!(jobs, draw(&year, JOBS, Deadline::Workday, 42));
        assert_ne!(jobs, draw(&year, JOBS, Deadline::Workday, 43));
        let hours: std::collections::BTreeSet<u32> =
            jobs.iter().map(|job| job.start % DAY).collect();
        assert_eq!(hours, (18..34).collect());
        assert!(jobs.iter().all(|job| year.weekday(job.start / DAY) < 5));
        assert_eq!(jobs.iter().map(|job| job.slots).min(), Some(8));
        assert_eq!(jobs.iter().map(|job| job.slots).max(), Some(179));
    }

    #[test]
    fn what_the_series_does_not_hold_is_left_out() {
        let short = Year { carbon: vec![0; 366 * 48], ..year() };
        let jobs = draw(&short, JOBS, Deadline::Published, 42);
        assert!(jobs.len() < JOBS as usize && jobs.len() > 3_300, "{}", jobs.len());
        assert!(jobs.iter().all(|job| job.latest <= short.len()));
    }
}
