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
        let fits = |job: &&Waiting| {
            let fits = job.width <= free;
            if fits {
                free -= job.width;
            }
            fits
        };
        (0..queue.iter().take_while(fits_once(fits)).count()).collect()
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

/// `take_while` wants a closure over references to references; the state lives in `fits`.
fn fits_once<'q>(mut fits: impl FnMut(&&'q Waiting) -> bool) -> impl FnMut(&&'q Waiting) -> bool {
    move |job| fits(job)
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
