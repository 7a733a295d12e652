//! The default order among equals: by the moment a job is due.
//!
//! A job is due some time after its submission, in proportion to how much of the machine it is
//! expected to take, and at the latest [`OVERTAKEN_MAX`] after it. So short narrow jobs pass
//! long wide ones, which is what lessens the mean slowdown, and nobody waits for those who come
//! much later: **a job never starts behind one that was submitted more than three days after it**,
//! other than by backfilling that does not delay its reservation. Invariant: the moment a job is
//! due does not change while it waits, so an order once seen stays; all in integers, so that every
//! machine sees the same. It must not know what runs.

use std::cmp::Ordering;

use dayan_units::{Resources, Span, Time};

use super::{SLOWDOWN_FLOOR_S, Waiting};
use crate::ask::{Ask, JobAsk};

/// How far behind a job others may be submitted and still be placed before it: three days, a
/// weekend and the day after it. A job that is longer than a day has then waited about as many
/// times its own length as people put up with, and no wait grows past what strict order of
/// arrival would have made of it by more than about that.
pub const OVERTAKEN_MAX: Span = Span::from_secs(3 * 24 * 3_600);

/// How much later than it is due a job may stand because its project had more than its share: a
/// day. So much a project that asks for little gets ahead of one that asks for everything; and
/// nobody is overtaken by what was submitted more than this and [`OVERTAKEN_MAX`] later.
pub const BEHIND_MAX: Span = Span::from_secs(24 * 3_600);

/// How many times its expected length a job on one processor is let wait before it is due: ten,
/// the slowdown at which people call a machine overloaded.
const PATIENCE: u128 = 10;

/// How much of a machine a job takes at once, in thousandths of a processor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Width(pub u64);

/// So many bytes of memory count as one processor: what machines are commonly bought with.
const BYTES_PER_PROCESSOR: u128 = 4 << 30;
/// A card counts as so many processors: machines for cards are commonly bought with that many
/// beside each.
const PROCESSORS_PER_CARD: u64 = 16;

impl Width {
    /// So many whole processors.
    pub const fn processors(count: u64) -> Self {
        Self(count.saturating_mul(1_000))
    }

    /// The largest of processors, memory and cards, each in processors.
    pub fn of(resources: &Resources) -> Self {
        let memory = u128::from(resources.memory.0) * 1_000 / BYTES_PER_PROCESSOR;
        let memory = u64::try_from(memory).unwrap_or(u64::MAX);
        let cards = resources.accel.0.saturating_mul(PROCESSORS_PER_CARD);
        Self(resources.cpu.0.max(memory).max(cards).max(1))
    }

    /// Of one task, with the cards that it would like best.
    pub fn of_task(ask: &Ask) -> Self {
        let accel = ask.accelerators.first().map_or(ask.resources.accel, |first| first.cards);
        Self::of(&Resources { accel, ..ask.resources })
    }
}

/// How long a job may wait before it is due.
///
/// Slowdown is wait over length, so a job of length `e` on `n` processors gains `1 / e` a second
/// for `e·n` of the machine. Smith's rule (1956) ranks by their quotient, `1 / (e²·n)`; `e·√n`
/// ranks the same and is a time. This is ten times that, at most [`OVERTAKEN_MAX`].
pub fn patience(expected: Span, width: Width) -> Span {
    let length = expected.micros().max(SLOWDOWN_FLOOR_S * 1_000_000).unsigned_abs();
    // A million times the root of the width in processors.
    let root = (u128::from(width.0) * 1_000_000_000).isqrt();
    let micros = PATIENCE.saturating_mul(u128::from(length)).saturating_mul(root) / 1_000_000;
    let bound = OVERTAKEN_MAX.micros();
    Span::from_micros(i64::try_from(micros).unwrap_or(bound).min(bound))
}

/// When a job is due: the whole of it, all its tasks together.
///
/// An array that may run `m` of its `n` tasks at once is a job `m` tasks wide and as many times the
/// length of a task as it has rounds.
pub fn due_at(job: &JobAsk) -> Time {
    let (length, at_once) = expected_run(job);
    let width = Width(Width::of_task(&job.ask).0.saturating_mul(at_once));
    job.submitted_at.plus(patience(length, width))
}

/// When a job with a soft deadline must start, to be expected to be in time.
pub fn start_by(job: &JobAsk) -> Option<Time> {
    Some(job.soft_deadline?.minus(expected_run(job).0))
}

/// When a job is due that is looked at now, its soft deadline counted: at the moment it must start by,
/// where that is sooner, not before its submission, and has not passed.
pub fn due_now(job: &JobAsk, now: Time) -> Time {
    let due = due_at(job);
    let in_time = start_by(job).filter(|by| *by >= job.submitted_at && now <= *by);
    in_time.map_or(due, |by| by.min(due))
}

/// How long all of a job is expected to run, and how many of its tasks at once.
fn expected_run(job: &JobAsk) -> (Span, u64) {
    let limit = job.ask.time;
    let expected = job.expected.map_or(limit, |expected| expected.min(limit));
    let tasks = job.tasks_total.max(1);
    let at_once = job.max_parallel.map_or(tasks, |most| tasks.min(u64::from(most.max(1))));
    let rounds = i64::try_from(tasks.div_ceil(at_once)).unwrap_or(i64::MAX);
    (Span::from_micros(expected.micros().saturating_mul(rounds)), at_once)
}

/// When a job of a log is due.
pub fn due(job: &Waiting) -> Time {
    let width = Width::processors(job.width.unsigned_abs());
    let submitted = Time::from_micros(job.submitted.saturating_mul(1_000_000));
    submitted.plus(patience(Span::from_secs(job.expected), width))
}

/// The order itself: by [`due`], then age, then number.
pub fn by_due(one: &Waiting, other: &Waiting) -> Ordering {
    (due(one), one.submitted, one.key).cmp(&(due(other), other.submitted, other.key))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dayan_units::{Bytes, JobId, MilliAccel, MilliCpu, ProjectId};
    use proptest::prelude::*;

    use super::*;

    const OVERTAKEN_MAX_S: i64 = OVERTAKEN_MAX.micros() / 1_000_000;

    fn job(key: u32, submitted: i64, width: i64, expected: i64) -> Waiting {
        Waiting { key, submitted, width, limit: expected, expected }
    }

    #[test]
    fn short_and_narrow_work_is_due_sooner_and_all_of_it_within_three_days() {
        let check =
            |job: Waiting, secs: i64| assert_eq!(due(&job), Time::from_micros(secs * 1_000_000));
        check(job(0, 1_000, 1, 60), 1_600);
        check(job(0, 1_000, 4, 60), 2_200);
        check(job(0, 1_000, 1, 1), 1_100);
        check(job(0, 1_000, 128, 64_800), 260_200);
    }

    fn array(cores: u64, gib: u64, cards: u64, tasks: u64, max_parallel: Option<u32>) -> JobAsk {
        let resources = Resources {
            cpu: MilliCpu(cores * 1_000),
            memory: Bytes(gib << 30),
            disk: Bytes::ZERO,
            accel: MilliAccel(cards * 1_000),
        };
        let ask = Arc::new(Ask::plain(resources, Span::from_secs(60)));
        let plain = JobAsk::plain(JobId::from_bits(1), ProjectId::from_bits(1), Time::EPOCH, ask);
        JobAsk { tasks_total: tasks, max_parallel, ..plain }
    }

    #[test]
    fn a_job_is_as_wide_as_what_it_takes_most_of_and_an_array_as_all_that_runs_at_once() {
        let check =
            |job: JobAsk, secs| assert_eq!(due_at(&job), Time::EPOCH.plus(Span::from_secs(secs)));
        check(array(1, 1, 0, 1, None), 600);
        check(array(1, 16, 0, 1, None), 1_200);
        check(array(1, 1, 1, 1, None), 2_400);
        check(array(1, 1, 0, 100, None), 6_000);
        // Four at once, twenty-five rounds: twice the root, twenty-five times the length.
        check(array(1, 1, 0, 100, Some(4)), 30_000);
        let learned = JobAsk { expected: Some(Span::from_secs(30)), ..array(1, 1, 0, 1, None) };
        check(learned, 300);
    }

    #[test]
    fn a_soft_deadline_counts_while_it_can_be_met_and_only_where_it_is_sooner() {
        let at = |secs: i64| Time::EPOCH.plus(Span::from_secs(secs));
        // A minute on one core is due after ten.
        let check = |deadline: i64, now: i64, expect: i64| {
            let job = JobAsk { soft_deadline: Some(at(deadline)), ..array(1, 1, 0, 1, None) };
            assert_eq!(due_now(&job, at(now)), at(expect), "{deadline} {now}");
        };
        check(300, 0, 240);
        check(300, 240, 240);
        check(300, 241, 600);
        check(60, 0, 0);
        check(59, 0, 600);
        check(5_000, 0, 600);
    }

    proptest! {
        #[test]
        fn nobody_is_overtaken_by_work_submitted_three_days_later(
            first in (0_i64..1_000_000, 1_i64..10_000, 1_i64..10_000_000),
            later in (0_i64..1_000_000, 1_i64..10_000, 1_i64..10_000_000),
        ) {
            let old = job(0, first.0, first.1, first.2);
            let new = job(1, first.0 + OVERTAKEN_MAX_S + later.0, later.1, later.2);
            prop_assert_eq!(by_due(&old, &new), Ordering::Less);
        }

        /// Whatever deadlines they have, and whenever they are looked at.
        #[test]
        fn no_soft_deadline_overtakes_what_came_three_days_sooner(
            first in (0_i64..1_000_000, 1_i64..400_000, prop::option::of(0_i64..2_000_000)),
            later in (0_i64..1_000_000, 1_i64..400_000, prop::option::of(0_i64..2_000_000)),
            now in 0_i64..3_000_000,
        ) {
            let at = |secs: i64| Time::EPOCH.plus(Span::from_secs(secs));
            let ask = |submitted: i64, limit: i64, deadline: Option<i64>| {
                let ask = Arc::new(Ask::plain(Resources::ZERO, Span::from_secs(limit)));
                let id = JobId::from_bits(1);
                let plain = JobAsk::plain(id, ProjectId::from_bits(1), at(submitted), ask);
                JobAsk { soft_deadline: deadline.map(|secs| at(submitted + secs)), ..plain }
            };
            let old = ask(first.0, first.1, first.2);
            let new = ask(first.0 + OVERTAKEN_MAX_S + later.0 + 1, later.1, later.2);
            prop_assert!(due_now(&old, at(now)) < due_now(&new, at(now)));
            prop_assert!(due_now(&old, at(now)) <= due_at(&old));
        }

        #[test]
        fn the_order_is_one_of_ages_among_alike(
            one in 0_i64..1_000_000, other in 0_i64..1_000_000, width in 1_i64..500,
            expected in 1_i64..1_000_000,
        ) {
            let (a, b) = (job(0, one, width, expected), job(1, other, width, expected));
            prop_assert_eq!(by_due(&a, &b), (one, 0).cmp(&(other, 1)));
        }
    }
}
