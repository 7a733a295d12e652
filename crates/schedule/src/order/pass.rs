//! One pass over the queue: which jobs start now, in a given order and kind of backfilling.
//!
//! Invariant: what starts fits into what is free. With EASY nothing that starts delays the first
//! job that does not fit, and with conservative backfilling nothing delays any job before it, as
//! long as jobs end when they are counted on to end.

use super::{Running, Timeline, Waiting};

/// What may start before a job that cannot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backfill {
    /// Nothing: strictly in order.
    None,
    /// What does not delay the first job that waits (Lifka, JSSPP 1995).
    Easy,
    /// What delays no job that is before it in the order.
    Conservative,
}

/// What run time a job that might start is counted with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fill {
    /// The user's limit.
    Limit,
    /// What is expected.
    Expected,
}

impl Fill {
    /// Of a job.
    pub const fn length(self, job: &Waiting) -> i64 {
        match self {
            Self::Limit => job.limit,
            Self::Expected => job.expected,
        }
    }

    /// When a job that runs is counted to end.
    pub const fn end(self, job: &Running) -> i64 {
        match self {
            Self::Limit => job.limit,
            Self::Expected => job.expected,
        }
    }
}

/// A machine at a moment, to be filled.
#[derive(Clone, Copy, Debug)]
pub struct Pass<'a> {
    /// The moment, in seconds.
    pub now: i64,
    /// Processors that are free.
    pub free: i64,
    /// What runs.
    pub running: &'a [Running],
    /// Which run times count.
    pub fill: Fill,
}

impl Pass<'_> {
    /// The jobs that start now, by their place in `queue`, which is in the order to be kept.
    pub fn starts(&self, queue: &[Waiting], backfill: Backfill) -> Vec<usize> {
        match backfill {
            Backfill::None => self.in_order(queue),
            Backfill::Easy => self.easy(queue),
            Backfill::Conservative => self.conservative(queue),
        }
    }

    fn in_order(&self, queue: &[Waiting]) -> Vec<usize> {
        let mut free = self.free;
        let mut starts = Vec::new();
        for (at, job) in queue.iter().enumerate() {
            if job.width > free {
                break;
            }
            free -= job.width;
            starts.push(at);
        }
        starts
    }

    fn easy(&self, queue: &[Waiting]) -> Vec<usize> {
        let mut starts = self.in_order(queue);
        let mut free = self.free - starts.iter().map(|at| queue[*at].width).sum::<i64>();
        let Some(head) = queue.get(starts.len()) else { return starts };
        if free == 0 {
            return starts;
        }
        let begun =
            starts.iter().map(|at| (self.now + self.fill.length(&queue[*at]), queue[*at].width));
        let mut ends: Vec<(i64, i64)> =
            self.running.iter().map(|job| (self.fill.end(job), job.width)).chain(begun).collect();
        let (reserved, mut spare) = reservation(self.now, free, &mut ends, head.width);
        for (at, job) in queue.iter().enumerate().skip(starts.len() + 1) {
            if job.width > free {
                continue;
            }
            let in_time = self.now + self.fill.length(job) <= reserved;
            if in_time || job.width <= spare {
                if !in_time {
                    spare -= job.width;
                }
                free -= job.width;
                starts.push(at);
                if free == 0 {
                    break;
                }
            }
        }
        starts
    }

    fn conservative(&self, queue: &[Waiting]) -> Vec<usize> {
        let ends = self.running.iter().map(|job| (self.fill.end(job), job.width));
        let mut timeline = Timeline::new(self.now, self.free, ends);
        let mut free = self.free;
        let mut starts = Vec::new();
        for (at, job) in queue.iter().enumerate() {
            let length = self.fill.length(job).max(1);
            let Some(start) = timeline.earliest(job.width, length) else { continue };
            timeline.take(start, length, job.width);
            if start == self.now {
                starts.push(at);
                free -= job.width;
                if free == 0 {
                    break;
                }
            }
        }
        starts
    }
}

/// When `width` will be free, and how many more then, from what is free and what ends when. A job
/// that should have ended counts as ending now.
fn reservation(now: i64, free: i64, ends: &mut [(i64, i64)], width: i64) -> (i64, i64) {
    ends.sort_unstable();
    let mut free = free;
    let mut index = 0;
    while index < ends.len() {
        let at = ends[index].0;
        // Everything that ends at that instant is free then.
        while index < ends.len() && ends[index].0 == at {
            free += ends[index].1;
            index += 1;
        }
        if free >= width {
            return (at.max(now), free - width);
        }
    }
    (i64::MAX, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four processors, three of them held until 100.
    fn starts(queue: &[(i64, i64)], backfill: Backfill, fill: Fill) -> Vec<usize> {
        let running = [Running { key: 9, width: 3, started: 0, limit: 100, expected: 50 }];
        let queue: Vec<Waiting> = queue
            .iter()
            .zip(0..)
            .map(|((width, limit), key)| Waiting {
                key,
                submitted: 0,
                width: *width,
                limit: *limit,
                expected: limit / 2,
            })
            .collect();
        Pass { now: 10, free: 1, running: &running, fill }.starts(&queue, backfill)
    }

    #[test]
    fn nothing_passes_without_backfilling() {
        assert_eq!(starts(&[(1, 9), (1, 9)], Backfill::None, Fill::Limit), [0]);
        assert!(starts(&[(2, 9), (1, 9)], Backfill::None, Fill::Limit).is_empty());
    }

    #[test]
    fn easy_lets_pass_what_ends_in_time_or_is_left_over() {
        // To the second in time, and one second late.
        assert_eq!(starts(&[(4, 9), (1, 90)], Backfill::Easy, Fill::Limit), [1]);
        assert!(starts(&[(4, 9), (1, 91)], Backfill::Easy, Fill::Limit).is_empty());
        // The head leaves one over.
        assert_eq!(starts(&[(3, 9), (1, 900)], Backfill::Easy, Fill::Limit), [1]);
        // By what is expected the running job ends at 50.
        assert_eq!(starts(&[(4, 9), (1, 80)], Backfill::Easy, Fill::Expected), [1]);
        assert!(starts(&[(4, 9), (1, 82)], Backfill::Easy, Fill::Expected).is_empty());
    }

    #[test]
    fn conservative_holds_the_second_one_too() {
        // The first leaves one over, which the second takes after it: for 190 there is none.
        let queue = [(3, 50), (4, 50), (1, 190)];
        assert_eq!(starts(&queue, Backfill::Easy, Fill::Limit), [2]);
        assert!(starts(&queue, Backfill::Conservative, Fill::Limit).is_empty());
        assert_eq!(starts(&[(3, 50), (4, 50), (1, 140)], Backfill::Conservative, Fill::Limit), [2]);
    }
}
