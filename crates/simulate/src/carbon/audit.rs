//! Adds a run up again, and enumerates what is best without limits. Shares nothing with the decider:
//! plain loops over half-hours.

use std::ops::Range;

use dayan_schedule::shift::Manner;
use thiserror::Error;

use super::jobs::ShiftJob;

/// A run broke a rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Broken {
    /// A job does not run as long as it should.
    #[error("job {job} runs {found} half-hours, not {expected}")]
    Length {
        /// Its number.
        job: usize,
        /// How long it should.
        expected: u32,
        /// How long it does.
        found: u32,
    },
    /// A job runs before it came or after it was granted.
    #[error("job {job} runs outside its window")]
    Window {
        /// Its number.
        job: usize,
    },
    /// A job that runs through does not.
    #[error("job {job} is interrupted")]
    Interrupted {
        /// Its number.
        job: usize,
    },
    /// More runs at once than may.
    #[error("{found} run at once in half-hour {slot}, {most} may")]
    Overfull {
        /// The half-hour.
        slot: u32,
        /// How many run.
        found: u32,
        /// How many may.
        most: u32,
    },
}

/// Judges where jobs ran and counts again how many ran in each half-hour. The `latest` of each job
/// is what it was granted.
pub fn recheck(
    jobs: &[ShiftJob],
    runs: &[Vec<Range<u32>>],
    manner: Manner,
    most: Option<u32>,
    len: u32,
) -> Result<Vec<u32>, Broken> {
    let mut load = vec![0u32; len as usize];
    for (job, (of, runs)) in jobs.iter().zip(runs).enumerate() {
        let mut slots: Vec<u32> = runs.iter().flat_map(Clone::clone).collect();
        slots.sort_unstable();
        slots.dedup();
        let found = u32::try_from(slots.len()).unwrap_or(u32::MAX);
        if found != of.slots {
            return Err(Broken::Length { job, expected: of.slots, found });
        }
        let (first, last) = (slots[0], slots[slots.len() - 1]);
        if first < of.start || last >= of.latest || of.latest > len {
            return Err(Broken::Window { job });
        }
        match manner {
            Manner::Whole if last - first + 1 != of.slots => {
                return Err(Broken::Interrupted { job });
            }
            Manner::Whole | Manner::Parts => {}
        }
        for slot in slots {
            load[slot as usize] += 1;
        }
    }
    if let Some(most) = most
        && let Some((found, slot)) = load.iter().zip(0..).find(|(found, _)| **found > most)
    {
        return Err(Broken::Overfull { slot, found: *found, most });
    }
    Ok(load)
}

/// What so many at work in each half-hour come to, in units of the series.
pub(super) fn sum(load: &[u32], series: &[i64]) -> i128 {
    load.iter().zip(series).map(|(load, value)| i128::from(*load) * i128::from(*value)).sum()
}

/// The least that a job can come to, alone, by trying every start, or by taking the least
/// half-hours.
pub fn unlimited_optimum(job: &ShiftJob, manner: Manner, costs: &[i128]) -> i128 {
    let window = &costs[job.start as usize..job.latest as usize];
    let length = job.slots as usize;
    match manner {
        Manner::Whole => window
            .windows(length)
            .map(|part| part.iter().sum::<i128>())
            .min()
            .expect("a window holds its job"),
        Manner::Parts => {
            let mut sorted = window.to_vec();
            sorted.sort_unstable();
            sorted[..length].iter().sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "lists of one stretch")]
    fn every_rule_is_looked_at() {
        let job = |start, slots, latest| ShiftJob { start, slots, latest };
        let jobs = [job(0, 2, 4), job(1, 2, 6)];
        let check = |runs: [&[Range<u32>]; 2], manner, most, expect: Result<Vec<u32>, Broken>| {
            let runs = runs.map(<[_]>::to_vec);
            assert_eq!(recheck(&jobs, &runs, manner, most, 6), expect, "{runs:?}");
        };
        let (whole, parts) = (Manner::Whole, Manner::Parts);
        check([&[0..2], &[1..3]], whole, Some(2), Ok(vec![1, 2, 1, 0, 0, 0]));
        check([&[0..2], &[1..2, 5..6]], parts, None, Ok(vec![1, 2, 0, 0, 0, 1]));
        check(
            [&[0..2], &[1..3]],
            whole,
            Some(1),
            Err(Broken::Overfull { slot: 1, found: 2, most: 1 }),
        );
        check([&[0..2], &[1..2, 5..6]], whole, None, Err(Broken::Interrupted { job: 1 }));
        check([&[3..5], &[1..3]], whole, None, Err(Broken::Window { job: 0 }));
        check([&[0..2], &[0..2]], whole, None, Err(Broken::Window { job: 1 }));
        check(
            [&[0..2, 0..1], &[1..2]],
            parts,
            None,
            Err(Broken::Length { job: 1, expected: 2, found: 1 }),
        );
    }

    #[test]
    fn the_optimum_of_one_job_is_worked_out_by_hand() {
        let job = ShiftJob { start: 1, slots: 2, latest: 6 };
        let costs = [0, 5, 1, 9, 2, 4, 0].map(i128::from);
        assert_eq!(unlimited_optimum(&job, Manner::Whole, &costs), 6);
        assert_eq!(unlimited_optimum(&job, Manner::Parts, &costs), 3);
    }
}
