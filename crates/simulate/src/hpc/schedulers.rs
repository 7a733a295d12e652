//! Who decides: a rule with a kind of backfilling, EASY++, or the default.

use dayan_schedule::order::{Alike, Backfill, Fill, LastTwo, Pass, Rule, Running, Waiting, by_due};

use dayan_units::Span;

use super::protocol::HpcJob;

/// Hears of jobs, and says what to expect of them.
pub trait Forecaster {
    /// A job has arrived: what to expect of it, in seconds.
    fn arrived(&mut self, job: usize) -> i64;
    /// A job has ended, after `run` seconds.
    fn ended(&mut self, job: usize, run: i64);
}

/// Decides what starts at a moment.
pub trait Scheduler: Forecaster {
    /// A job has run for `elapsed` seconds, as long as was expected: what is expected now. Not
    /// asked again once the answer is not more than `elapsed`.
    fn outran(&mut self, job: usize, elapsed: i64) -> i64;
    /// The places in `queue`, which is in order of arrival, of the jobs that start now.
    fn starts(&mut self, now: i64, free: i64, running: &[Running], queue: &[Waiting])
    -> Vec<usize>;
}

/// Decides which job is the next, one at a time.
pub trait Chooser: Forecaster {
    /// The place in `queue`, which has one or more, of the job to start next, whether it fits now
    /// or not.
    fn choose(&mut self, now: i64, free: i64, running: &[Running], queue: &[Waiting]) -> usize;
}

/// A rule from the literature, with the users' limits.
#[derive(Debug)]
pub struct ByRule<'a> {
    jobs: &'a [HpcJob],
    rule: Rule,
    backfill: Backfill,
}

impl<'a> ByRule<'a> {
    /// Over jobs.
    pub const fn new(jobs: &'a [HpcJob], rule: Rule, backfill: Backfill) -> Self {
        Self { jobs, rule, backfill }
    }
}

impl Forecaster for ByRule<'_> {
    fn arrived(&mut self, job: usize) -> i64 {
        self.jobs[job].limit
    }
    fn ended(&mut self, _job: usize, _run: i64) {}
}

impl Scheduler for ByRule<'_> {
    fn outran(&mut self, job: usize, _elapsed: i64) -> i64 {
        self.jobs[job].limit
    }
    fn starts(
        &mut self,
        now: i64,
        free: i64,
        running: &[Running],
        queue: &[Waiting],
    ) -> Vec<usize> {
        let pass = Pass { now, free, running, fill: Fill::Limit };
        in_order_of(
            queue,
            |jobs| self.rule.sort(jobs, now),
            |jobs| pass.starts(jobs, self.backfill),
        )
    }
}

impl Chooser for ByRule<'_> {
    fn choose(&mut self, now: i64, _free: i64, _running: &[Running], queue: &[Waiting]) -> usize {
        let first = self.rule.first(queue, now).expect("a choice is asked for among some");
        place_of(queue, first.key)
    }
}

/// Sorts a copy of the queue, asks what starts, and says it by places in the queue.
fn in_order_of(
    queue: &[Waiting],
    sort: impl FnOnce(&mut [Waiting]),
    starts: impl FnOnce(&[Waiting]) -> Vec<usize>,
) -> Vec<usize> {
    let mut sorted = queue.to_vec();
    sort(&mut sorted);
    let mut chosen: Vec<u32> = starts(&sorted).into_iter().map(|at| sorted[at].key).collect();
    chosen.sort_unstable();
    let places = queue.iter().enumerate();
    places.filter(|(_, job)| chosen.binary_search(&job.key).is_ok()).map(|(at, _)| at).collect()
}

fn place_of(queue: &[Waiting], key: u32) -> usize {
    queue.iter().position(|job| job.key == key).expect("it was found in this queue")
}

/// What is expected, in whole seconds and one at least; the limit where nothing is.
pub(super) fn in_seconds(expected: Option<Span>, limit: i64) -> i64 {
    expected.map_or(limit, |expected| (expected.micros() / 1_000_000).max(1))
}

/// EASY++ (Tsafrir, Etsion, Feitelson, TPDS 2007): arrival order, reservations and backfilling by
/// the mean of the user's last two run times, shortest first among those that may fill in. A job
/// that runs longer than was expected is from then on expected to run to its limit: of the
/// corrections that were published this is the one under which the published figures come out,
/// and the best for it.
#[derive(Debug)]
pub struct EasyPlusPlus<'a> {
    jobs: &'a [HpcJob],
    learned: LastTwo,
}

impl<'a> EasyPlusPlus<'a> {
    /// Over jobs.
    pub fn new(jobs: &'a [HpcJob]) -> Self {
        Self { jobs, learned: LastTwo::default() }
    }
}

impl Forecaster for EasyPlusPlus<'_> {
    fn arrived(&mut self, job: usize) -> i64 {
        let job = &self.jobs[job];
        in_seconds(self.learned.expect(&job.forecast()), job.limit)
    }
    fn ended(&mut self, job: usize, run: i64) {
        self.learned.ended(&self.jobs[job].forecast(), Span::from_secs(run));
    }
}

impl Scheduler for EasyPlusPlus<'_> {
    fn outran(&mut self, job: usize, _elapsed: i64) -> i64 {
        self.jobs[job].limit
    }
    fn starts(
        &mut self,
        now: i64,
        free: i64,
        running: &[Running],
        queue: &[Waiting],
    ) -> Vec<usize> {
        let pass = Pass { now, free, running, fill: Fill::Expected };
        let first = pass.starts(queue, Backfill::None).len();
        // What fits in order of arrival starts; the next one is reserved for; the rest fills in,
        // shortest first.
        let sort = |jobs: &mut [Waiting]| {
            if let Some(rest) = jobs.get_mut(first + 1..) {
                rest.sort_by_key(|job| (job.expected, job.submitted, job.key));
            }
        };
        in_order_of(queue, sort, |jobs| pass.starts(jobs, Backfill::Easy))
    }
}

/// In order of arrival.
impl Chooser for EasyPlusPlus<'_> {
    fn choose(&mut self, _now: i64, _free: i64, _running: &[Running], _queue: &[Waiting]) -> usize {
        0
    }
}

/// The default: by the moment a job is due, with run times learned from jobs that have ended.
/// Reservations and what may fill in go by the users' limits, so that no promise rests on a guess.
#[derive(Debug)]
pub struct ByDue<'a> {
    jobs: &'a [HpcJob],
    learned: Alike,
    backfill: Backfill,
}

impl<'a> ByDue<'a> {
    /// Over jobs.
    pub fn new(jobs: &'a [HpcJob], backfill: Backfill) -> Self {
        Self { jobs, learned: Alike::default(), backfill }
    }

    /// What is expected of a job now, where anything like it has ended.
    pub fn expected(&self, job: usize) -> Option<Span> {
        self.learned.expect(&self.jobs[job].forecast())
    }
}

impl Forecaster for ByDue<'_> {
    fn arrived(&mut self, job: usize) -> i64 {
        in_seconds(self.expected(job), self.jobs[job].limit)
    }
    fn ended(&mut self, job: usize, run: i64) {
        self.learned.ended(&self.jobs[job].forecast(), Span::from_secs(run));
    }
}

impl Scheduler for ByDue<'_> {
    fn outran(&mut self, job: usize, _elapsed: i64) -> i64 {
        self.jobs[job].limit
    }
    fn starts(
        &mut self,
        now: i64,
        free: i64,
        running: &[Running],
        queue: &[Waiting],
    ) -> Vec<usize> {
        let pass = Pass { now, free, running, fill: Fill::Limit };
        in_order_of(queue, |jobs| jobs.sort_by(by_due), |jobs| pass.starts(jobs, self.backfill))
    }
}
