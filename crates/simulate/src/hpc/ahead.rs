//! Which job to commit to, where a choice binds: by playing on from each.
//!
//! The live exchange never commits itself to one job: what it keeps for one it may keep for another
//! a moment later. The harness does, and what is started wrongly there cannot be mended by the next
//! plan. So the default looks ahead: it plays the harness on from each of a few choices, with the
//! run times that it expects and with arrivals as they came at some hour of the past, and departs
//! from the plain order (least work first) only where that is surely better. Invariant: it knows of
//! run times only those of jobs that have ended; nobody is chosen before one that came [`OVERTAKEN_MAX`]
//! sooner, as in the planner; the same log gives the same choices.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use dayan_schedule::order::{Alike, OVERTAKEN_MAX, Running, SLOWDOWN_FLOOR_S, Waiting};
use dayan_units::Span;

use super::harness::{HarnessFill, Moment, Replay};
use super::protocol::HpcJob;
use super::schedulers::{Chooser, Forecaster, in_seconds};
use crate::random::Random;

/// So many futures are played for each choice.
const FUTURES: usize = 64;

/// So many of them are played first.
const FIRST: usize = 16;

/// So many jobs come in each: what comes later hangs little on what is chosen now.
const COMING: usize = 20;

/// Fewer arrivals than this say nothing of those to come.
const CAME_MIN: usize = 20;

/// A choice is surely better where its mean is so by this many standard errors over all futures.
const STANDARD_ERRORS: f64 = 2.5;

/// What stands idle until the chosen job has its room counts as so much work, in tenths: the rest of
/// it is filled in.
const IDLE_TENTHS: i64 = 3;

/// The last runs that say how often a job like it is short.
const RUNS: usize = 20;

/// The default in the harness.
#[derive(Debug)]
pub struct Ahead<'a> {
    jobs: &'a [HpcJob],
    fill: HarnessFill,
    learned: Alike,
    lately: Lately,
    /// Of each job that has come.
    known: Vec<Known>,
}

/// What is known of a job that has come.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// How long it is expected to run, until it has ended: then how long it ran.
    run: i64,
    /// What a second of waiting adds to its slowdown.
    harm: f64,
}

impl<'a> Ahead<'a> {
    /// Over jobs, of which nothing is known yet.
    pub fn new(jobs: &'a [HpcJob], fill: HarnessFill) -> Self {
        let (learned, lately) = (Alike::default(), Lately::default());
        Self { jobs, fill, learned, lately, known: Vec::new() }
    }

    fn expects(&self, job: &HpcJob) -> Known {
        let run = in_seconds(self.learned.expect(&job.forecast()), job.limit);
        // A mean says nothing of how often a run is short, and it is short ones that waiting harms.
        let harm = self.lately.harm(job).map_or(harm(run), |often| f64::midpoint(harm(run), often));
        Known { run, harm }
    }

    /// How things stand, with the run times that are expected by now.
    fn moment(&self, now: i64, free: i64, running: &[Running], queue: &[Waiting]) -> Moment {
        let expected =
            |job: &Waiting| Waiting { expected: self.known[job.key as usize].run, ..*job };
        let ends = |job: &Running| {
            let end = outlasted(job, self.known[job.key as usize].run, now);
            (end, Running { expected: end, ..*job })
        };
        let mut running: Vec<(i64, Running)> = running.iter().map(ends).collect();
        running.sort_by_key(|(end, job)| (*end, job.limit, job.width));
        let queue = queue.iter().map(expected).collect();
        Moment { now, free, arrived: 0, queue, running }
    }

    /// Arrivals to come, as they came after some moment of the past; after the last the first follows.
    fn arrivals(&self, now: i64, random: &mut Random) -> Vec<(HpcJob, f64)> {
        let came = &self.jobs[..self.known.len()];
        let first = came.first().map_or(now, |job| job.submit);
        let past = (now - first).max(1);
        let from = first + random.between(0, past - 1);
        let next = came.partition_point(|job| job.submit <= from);
        let again = |nth: usize| {
            let (round, at) = ((next + nth) / came.len(), (next + nth) % came.len());
            let (job, known) = (&came[at], &self.known[at]);
            let later = past * i64::try_from(round).unwrap_or(i64::MAX);
            let submit = now + 1 + job.submit - from + later;
            (HpcJob { submit, run: known.run, ..*job }, known.harm)
        };
        (0..COMING).map(again).collect()
    }

    /// What there is to choose from: the plain choice, and what other orders would have first, of
    /// all and of those that fit. In this order, so that of equal ones the plainer is taken.
    fn choices(&self, plain: usize, at: &Moment) -> Vec<usize> {
        let slowdown = |job: &Waiting| {
            let waited = (at.now - job.submitted + job.expected) as f64;
            -waited / job.expected.max(SLOWDOWN_FLOOR_S) as f64
        };
        let orders: [&dyn Fn(&Waiting) -> f64; 8] = [
            &|job| job.expected as f64 * job.width as f64,
            &|job| job.expected as f64,
            &|job| job.expected as f64 * (job.width as f64).sqrt(),
            &|job| job.limit as f64 * job.width as f64,
            &|job| slowdown(job) / job.width as f64,
            &slowdown,
            &|job| job.width as f64,
            &|job| -job.width as f64,
        ];
        let turn = last_turn(&at.queue);
        let mut choices = vec![plain];
        for order in orders {
            for most in [i64::MAX, at.free] {
                let jobs = at.queue.iter().enumerate();
                let jobs = jobs.filter(|(_, job)| job.width <= most && job.submitted <= turn);
                let best = jobs.min_by(|(_, one), (_, other)| order(one).total_cmp(&order(other)));
                if let Some((place, _)) = best.filter(|(place, _)| !choices.contains(place)) {
                    choices.push(place);
                }
            }
        }
        choices
    }
}

impl Forecaster for Ahead<'_> {
    fn arrived(&mut self, job: usize) -> i64 {
        let known = self.expects(&self.jobs[job]);
        self.known.push(known);
        known.run
    }

    fn ended(&mut self, job: usize, run: i64) {
        let of = &self.jobs[job];
        self.learned.ended(&of.forecast(), Span::from_secs(run));
        self.lately.ended(of, run);
        let run = run.min(of.limit).max(1);
        self.known[job] = Known { run, harm: harm(run) };
    }
}

impl Chooser for Ahead<'_> {
    fn choose(&mut self, now: i64, free: i64, running: &[Running], queue: &[Waiting]) -> usize {
        // What has ended since says more of those that wait.
        for job in queue {
            self.known[job.key as usize] = self.expects(&self.jobs[job.key as usize]);
        }
        let at = self.moment(now, free, running, queue);
        let ends: Vec<Running> = at.running.iter().map(|(_, job)| *job).collect();
        let plain = least_work(now, free, &ends, &at.queue);
        let choices = self.choices(plain, &at);
        if choices.len() == 1 {
            return plain;
        }
        let mut random = Random::new(self.known.len() as u64, queue.len() as u64);
        let futures: Vec<Future> = if self.known.len() < CAME_MIN {
            vec![Future::of(&at, self, Vec::new())]
        } else {
            let future = |_| Future::of(&at, self, self.arrivals(now, &mut random));
            (0..FUTURES).map(future).collect()
        };
        let costs = |choice: usize, some: Range<usize>| -> Vec<f64> {
            let futures = futures[some].iter();
            futures.map(|future| future.cost(&at, number(choice), self.fill)).collect()
        };
        let all = futures.len();
        let of_plain = costs(plain, 0..all);
        let better = |choice: usize, some: Range<usize>| -> Vec<f64> {
            let of_plain = &of_plain[some.clone()];
            costs(choice, some).iter().zip(of_plain).map(|(cost, of)| cost - of).collect()
        };
        let mut best = (0.0, plain);
        for choice in choices.into_iter().skip(1) {
            // What is no better in the first of them is hardly surely better in all.
            let mut differences = better(choice, 0..all.min(FIRST));
            if differences.iter().sum::<f64>() >= 0.0 {
                continue;
            }
            differences.extend(better(choice, all.min(FIRST)..all));
            let at_most = surely(&differences);
            if at_most < best.0 {
                best = (at_most, choice);
            }
        }
        best.1
    }
}

fn number(nth: usize) -> u32 {
    u32::try_from(nth).expect("a window has fewer jobs than four billion")
}

/// What a second of waiting adds to the slowdown of a job that runs so long.
fn harm(run: i64) -> f64 {
    1.0 / run.max(SLOWDOWN_FLOOR_S) as f64
}

/// When a job that runs is expected to end: one that has outlasted what was expected takes twice as
/// long, and again.
fn outlasted(job: &Running, expected: i64, now: i64) -> i64 {
    let mut run = expected.max(1);
    while job.started + run <= now {
        run *= 2;
    }
    (job.started + run).min(job.limit.max(now + 1))
}

/// Of these differences, what the mean surely is at most.
fn surely(differences: &[f64]) -> f64 {
    let count = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|one| (one - mean).powi(2)).sum();
    let variance = squares / (count - 1.0).max(1.0);
    mean + STANDARD_ERRORS * (variance / count).sqrt()
}

/// Whose turn it is: of those that came until then. What came later does not overtake the oldest.
fn last_turn(queue: &[Waiting]) -> i64 {
    let oldest = queue.iter().map(|job| job.submitted).min().unwrap_or(0);
    oldest.saturating_add(OVERTAKEN_MAX.micros() / 1_000_000)
}

/// The plain order: the job that takes least of the machine, in processor seconds, together with
/// what stands idle until it has its room. Of equal ones the oldest.
fn least_work(now: i64, free: i64, running: &[Running], queue: &[Waiting]) -> usize {
    let mut ends: Vec<(i64, i64)> = running.iter().map(|job| (job.expected, job.width)).collect();
    ends.sort_unstable();
    let idle = |width: i64| {
        let (mut free, mut at, mut idle) = (free, now, 0);
        for (end, freed) in &ends {
            if free >= width {
                break;
            }
            idle = free.saturating_mul((end - at).max(0)).saturating_add(idle);
            at = at.max(*end);
            free += freed;
        }
        idle
    };
    // Many are as wide as others.
    let mut by_width: Vec<(i64, i64)> = Vec::new();
    let mut cost = |job: &Waiting| {
        let known = by_width.iter().find(|(width, _)| *width == job.width).map(|(_, idle)| *idle);
        let idle = known.unwrap_or_else(|| {
            let idle = idle(job.width);
            by_width.push((job.width, idle));
            idle
        });
        let work = job.expected.saturating_mul(job.width).saturating_mul(10);
        work.saturating_add(idle.saturating_mul(IDLE_TENTHS))
    };
    let turn = last_turn(queue);
    let jobs = queue.iter().enumerate().filter(|(_, job)| job.submitted <= turn);
    let costs = jobs.map(|(place, job)| (place, cost(job)));
    costs.min_by_key(|(place, cost)| (*cost, *place)).expect("a choice is asked for among some").0
}

/// How it might go on: those that wait, then those that run, then those that come, each with a run
/// time.
struct Future {
    jobs: Vec<HpcJob>,
    harms: Vec<f64>,
    running: Vec<(i64, Running)>,
    queue: Vec<Waiting>,
}

impl Future {
    fn of(at: &Moment, ahead: &Ahead<'_>, coming: Vec<(HpcJob, f64)>) -> Self {
        let (mut jobs, mut harms) = (Vec::new(), Vec::new());
        let (mut queue, mut running) = (Vec::new(), Vec::new());
        for job in &at.queue {
            queue.push(Waiting { key: number(jobs.len()), ..*job });
            let of = &ahead.jobs[job.key as usize];
            jobs.push(HpcJob { run: job.expected, ..*of });
            harms.push(ahead.known[job.key as usize].harm);
        }
        for (end, job) in &at.running {
            running.push((*end, Running { key: number(jobs.len()), ..*job }));
            // How long it really runs is nobody's to know.
            jobs.push(HpcJob { run: end - job.started, ..ahead.jobs[job.key as usize] });
            harms.push(0.0);
        }
        for (job, harm) in coming {
            jobs.push(job);
            harms.push(harm);
        }
        Self { jobs, harms, running, queue }
    }

    /// What is still waited, by the slowdown that it adds, if this one of those that wait is chosen
    /// now and all else in the plain order.
    fn cost(&self, at: &Moment, first: u32, fill: HarnessFill) -> f64 {
        let moment = Moment {
            arrived: self.queue.len() + self.running.len(),
            queue: self.queue.clone(),
            running: self.running.clone(),
            ..*at
        };
        let mut plain = Plain { jobs: &self.jobs, first: Some(first) };
        let starts = Replay::from(moment, &self.jobs, fill, &mut plain).finish();
        let all = self.jobs.iter().zip(&self.harms).zip(starts);
        let waits = all.filter(|(_, start)| *start >= at.now);
        waits.map(|((job, harm), start)| (start - job.submit.max(at.now)) as f64 * harm).sum()
    }
}

/// One job, and after it the plain order.
struct Plain<'a> {
    jobs: &'a [HpcJob],
    first: Option<u32>,
}

impl Forecaster for Plain<'_> {
    fn arrived(&mut self, job: usize) -> i64 {
        self.jobs[job].run
    }
    fn ended(&mut self, _job: usize, _run: i64) {}
}

impl Chooser for Plain<'_> {
    fn choose(&mut self, now: i64, free: i64, running: &[Running], queue: &[Waiting]) -> usize {
        let first = self.first.take();
        let first = first.and_then(|key| queue.iter().position(|job| job.key == key));
        first.unwrap_or_else(|| least_work(now, free, running, queue))
    }
}

/// The last runs of each user, by limit and in all, and of everybody.
#[derive(Debug, Default)]
struct Lately(BTreeMap<Whose, VecDeque<i64>>);

/// A user, and a limit of theirs; none: any.
type Whose = (Option<i64>, Option<i64>);

impl Lately {
    /// From the most alike to the least; none for a user who is not known.
    fn levels(job: &HpcJob) -> [Whose; 3] {
        [(Some(job.user), Some(job.limit)), (Some(job.user), None), (None, None)]
    }

    /// How much a second of waiting has harmed jobs like it in the mean; none where nothing like it
    /// has ended.
    fn harm(&self, job: &HpcJob) -> Option<f64> {
        let of_known = Some(job).filter(|job| job.user >= 0)?;
        let runs = Self::levels(of_known).iter().find_map(|whose| self.0.get(whose))?;
        let harms = runs.iter().map(|run| harm((*run).min(job.limit)));
        Some(harms.sum::<f64>() / runs.len() as f64)
    }

    fn ended(&mut self, job: &HpcJob, run: i64) {
        if job.user < 0 {
            return;
        }
        for whose in Self::levels(job) {
            let runs = self.0.entry(whose).or_default();
            runs.push_front(run);
            runs.truncate(RUNS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: i64, submit: i64, run: i64, width: i64, user: i64) -> HpcJob {
        HpcJob { id, submit, run, width, limit: run, user, group: 1, program: 1 }
    }

    fn waiting(key: u32, width: i64, expected: i64) -> Waiting {
        Waiting { key, submitted: 0, width, limit: expected, expected }
    }

    fn running(width: i64, expected: i64) -> Running {
        Running { key: 9, width, started: 0, limit: expected, expected }
    }

    #[test]
    fn the_plain_order_counts_work_and_what_stands_idle_for_it() {
        let check = |queue: &[Waiting], expect: usize| {
            // Four of eight processors are free, the others in a hundred seconds.
            assert_eq!(least_work(0, 4, &[running(4, 100)], queue), expect, "{queue:?}");
        };
        check(&[waiting(0, 2, 50), waiting(1, 1, 90)], 1);
        check(&[waiting(0, 2, 50), waiting(1, 1, 100)], 0);
        // 80 of its own, and 400 idle before it has its eight.
        check(&[waiting(0, 8, 10), waiting(1, 2, 99)], 1);
        check(&[waiting(0, 8, 10), waiting(1, 2, 101)], 0);
    }

    #[test]
    fn nobody_overtakes_what_came_five_days_sooner() {
        let check = |came: i64, expect: usize| {
            let queue = [waiting(0, 8, 50_000), Waiting { submitted: came, ..waiting(1, 1, 10) }];
            assert_eq!(least_work(came, 8, &[], &queue), expect, "{came}");
            let jobs = [job(0, 0, 50_000, 8, 1), job(1, came, 10, 1, 1)];
            let at =
                Moment { now: came, free: 8, arrived: 2, queue: queue.into(), running: vec![] };
            let choices = Ahead::new(&jobs, HarnessFill::Backfill).choices(expect, &at);
            assert_eq!(choices.contains(&1), expect == 1, "{came}: {choices:?}");
        };
        check(432_000, 1);
        check(432_001, 0);
    }

    #[test]
    fn a_difference_is_sure_by_two_and_a_half_standard_errors() {
        assert!((surely(&[-5.0]) + 5.0).abs() < 1e-9);
        assert!((surely(&[-5.0; 4]) + 5.0).abs() < 1e-9);
        // A mean of -1, a variance of four thirds.
        assert!((surely(&[0.0, -2.0, 0.0, -2.0]) + 1.0 - 2.5 / 3.0_f64.sqrt()).abs() < 1e-9);
    }

    #[test]
    fn what_outlasts_what_was_expected_is_expected_to_take_twice_as_long() {
        let job = Running { key: 0, width: 1, started: 100, limit: 1_100, expected: 0 };
        let check = |expected, now, end| assert_eq!(outlasted(&job, expected, now), end, "{now}");
        check(50, 149, 150);
        check(50, 150, 200);
        check(50, 399, 500);
        check(400, 950, 1_100);
        check(1_000, 1_100, 1_101);
    }

    #[test]
    fn a_mean_hides_how_often_a_run_is_short() {
        let mut lately = Lately::default();
        let of = job(0, 0, 1_000, 1, 7);
        assert_eq!(lately.harm(&of), None);
        lately.ended(&of, 1_000);
        lately.ended(&of, 10);
        assert!((lately.harm(&of).expect("two ended") - 0.0505).abs() < 1e-9);
        // Another limit: the user's, and another user's: anybody's.
        assert_eq!(lately.harm(&HpcJob { limit: 5, ..of }), Some(0.1));
        assert_eq!(lately.harm(&HpcJob { user: 8, ..of }), lately.harm(&of));
        assert_eq!(lately.harm(&HpcJob { user: -1, ..of }), None);
    }

    #[test]
    fn arrivals_come_again_as_they_came_and_after_the_last_the_first() {
        let jobs: Vec<HpcJob> = (0..3).map(|nth| job(nth, 10 * nth, 7 + nth, 1, 1)).collect();
        let mut ahead = Ahead::new(&jobs, HarnessFill::Backfill);
        (0..3).for_each(|nth| {
            let _ = ahead.arrived(nth);
        });
        ahead.ended(0, 3);
        let mut random = Random::new(1, 1);
        for _ in 0..50 {
            let coming = ahead.arrivals(30, &mut random);
            assert_eq!(coming.len(), COMING);
            let first = coming[0].0.id;
            for (nth, (job, harm)) in (0..).zip(&coming) {
                assert_eq!(job.id, (first + nth) % 3);
                assert!(job.submit > 30 && job.submit - coming[0].0.submit == 10 * nth);
                assert_eq!(job.run, if job.id == 0 { 3 } else { 7 + job.id });
                assert!((harm - 0.1).abs() < 1e-9);
            }
        }
    }

    /// Eight processors, four of them taken for an hour. A wide job of a second and narrow ones of
    /// minutes wait: committing to the wide one would keep four idle for that hour.
    #[test]
    fn it_commits_to_what_costs_the_others_least() {
        let mut jobs = vec![job(0, 0, 3_600, 4, 1), job(1, 1, 1, 8, 1)];
        jobs.extend((2..8).map(|nth| job(nth, 1, 500, 4, 1)));
        let mut ahead = Ahead::new(&jobs, HarnessFill::Backfill);
        let starts = crate::hpc::harness::replay(8, &jobs, HarnessFill::Backfill, &mut ahead);
        assert_eq!(starts[1], 3_600);
        assert!(starts[2..].iter().all(|start| *start < 3_600), "{starts:?}");
    }
}
