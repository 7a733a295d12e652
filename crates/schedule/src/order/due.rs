//! The default order among equals: by the moment a job is due.
//!
//! A job is due some time after its submission, in proportion to how much of the machine it is
//! expected to take, and at the latest [`OVERTAKEN_MAX`] after it. So short narrow jobs pass
//! long wide ones, which is what lessens the mean slowdown, and nobody waits for those who come
//! much later: **a job never starts behind one that was submitted more than five days after it**,
//! other than by backfilling that does not delay its reservation. Invariant: the moment a job is
//! due does not change while it waits, so an order once seen stays; all in integers, so that every
//! machine sees the same. It must not know what runs.

use std::cmp::Ordering;

use dayan_units::{Resources, Span, Time};

use super::{SLOWDOWN_FLOOR_S, Waiting};
use crate::ask::{Ask, JobAsk};

/// How far behind a job others may be submitted and still be placed before it: five days, a working
/// week. Only what is long and wide comes near it, and no wait grows past what strict order of
/// arrival would have made of it by more than about that.
pub const OVERTAKEN_MAX: Span = Span::from_secs(5 * 24 * 3_600);

/// How much later than it is due a job may stand because its project had more than its share: a
/// day. So much a project that asks for little gets ahead of one that asks for everything; and
/// nobody is overtaken by what was submitted more than this and [`OVERTAKEN_MAX`] later.
pub const BEHIND_MAX: Span = Span::from_secs(24 * 3_600);

/// How many times its length a job on one processor is let wait before it is due. Its limit counts for
/// two thirds of that length, and people ask for several times what they need, so that is about ten
/// times as long as it runs: the slowdown at which people call a machine overloaded.
const PATIENCE: u128 = 4;

/// No length counts as more than this, about thirty years: its cube fits in 128 bits.
const LENGTH_MAX_MS: u128 = 1_000_000_000_000;

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
/// ranks the same and is a time. This is four times that, at most [`OVERTAKEN_MAX`].
///
/// What is expected may be far off, and the limit is what the user believes: the length is the mean of
/// both by their logarithms, with the limit for two thirds.
pub fn patience(expected: Span, limit: Span, width: Width) -> Span {
    let millis = |span: Span| {
        let millis = span.micros().max(SLOWDOWN_FLOOR_S * 1_000_000).unsigned_abs() / 1_000;
        u128::from(millis).min(LENGTH_MAX_MS)
    };
    let (expected, limit) = (millis(expected), millis(limit));
    let length = cube_root(expected * limit * limit);
    // A million times the root of the width in processors.
    let root = (u128::from(width.0) * 1_000_000_000).isqrt();
    let micros = PATIENCE.saturating_mul(length).saturating_mul(root) / 1_000;
    let bound = OVERTAKEN_MAX.micros();
    Span::from_micros(i64::try_from(micros).unwrap_or(bound).min(bound))
}

/// The largest number whose cube is not more than this, by halving.
fn cube_root(of: u128) -> u128 {
    let (mut least, mut above) = (0, 2 * LENGTH_MAX_MS);
    while above - least > 1 {
        let middle = u128::midpoint(least, above);
        if middle * middle * middle <= of { least = middle } else { above = middle }
    }
    least
}

/// When a job is due: the whole of it, all its tasks together.
///
/// An array that may run `m` of its `n` tasks at once is a job `m` tasks wide and as many times the
/// length of a task as it has rounds.
pub fn due_at(job: &JobAsk) -> Time {
    let (rounds, at_once) = rounds(job);
    let width = Width(Width::of_task(&job.ask).0.saturating_mul(at_once));
    let (expected, limit) = (job.expected_of_task(), job.ask.time);
    job.submitted_at.plus(patience(expected.times(rounds), limit.times(rounds), width))
}

/// When a job with a soft deadline must start, to be expected to be in time.
pub fn start_by(job: &JobAsk) -> Option<Time> {
    Some(job.soft_deadline?.minus(job.expected_of_task().times(rounds(job).0)))
}

/// When a job is due that is looked at now, its soft deadline counted: at the moment it must start by,
/// where that is sooner, not before its submission, and has not passed.
pub fn due_now(job: &JobAsk, now: Time) -> Time {
    let due = due_at(job);
    let in_time = start_by(job).filter(|by| *by >= job.submitted_at && now <= *by);
    in_time.map_or(due, |by| by.min(due))
}

/// How many rounds the tasks of a job run in, and how many of them at once.
fn rounds(job: &JobAsk) -> (i64, u64) {
    let tasks = job.tasks_total.max(1);
    let at_once = job.max_parallel.map_or(tasks, |most| tasks.min(u64::from(most.max(1))));
    (i64::try_from(tasks.div_ceil(at_once)).unwrap_or(i64::MAX), at_once)
}

/// When a job of a log is due.
pub fn due(job: &Waiting) -> Time {
    let width = Width::processors(job.width.unsigned_abs());
    let submitted = Time::from_micros(job.submitted.saturating_mul(1_000_000));
    let (expected, limit) = (Span::from_secs(job.expected), Span::from_secs(job.limit));
    submitted.plus(patience(expected, limit, width))
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
    fn short_and_narrow_work_is_due_sooner_and_all_of_it_within_five_days() {
        let check =
            |job: Waiting, secs: i64| assert_eq!(due(&job), Time::from_micros(secs * 1_000_000));
        check(job(0, 1_000, 1, 60), 1_240);
        check(job(0, 1_000, 4, 60), 1_480);
        check(job(0, 1_000, 1, 1), 1_040);
        check(job(0, 1_000, 128, 64_800), 433_000);
        // The limit weighs twice as much: of a minute under eight it is four.
        check(Waiting { limit: 480, ..job(0, 1_000, 1, 60) }, 1_960);
    }

    proptest! {
        #[test]
        fn a_cube_root_is_the_largest_whose_cube_is_not_more(of in 0_u128..LENGTH_MAX_MS.pow(3)) {
            let root = cube_root(of);
            prop_assert!(root.pow(3) <= of && (root + 1).pow(3) > of);
        }
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
        check(array(1, 1, 0, 1, None), 240);
        check(array(1, 16, 0, 1, None), 480);
        check(array(1, 1, 1, 1, None), 960);
        check(array(1, 1, 0, 100, None), 2_400);
        // Four at once, twenty-five rounds: twice the root, twenty-five times the length.
        check(array(1, 1, 0, 100, Some(4)), 12_000);
        // An eighth as long as its limit counts as half.
        let learned = Some(Span::from_micros(7_500_000));
        let floor = JobAsk { expected: learned, ..array(1, 1, 0, 1, None) };
        let by_floor = patience(Span::from_secs(10), Span::from_secs(60), Width::processors(1));
        assert_eq!(due_at(&floor), Time::EPOCH.plus(by_floor));
        let learned = Some(Span::from_secs(15));
        let due = due_at(&JobAsk { expected: learned, ..array(8, 1, 0, 1, None) });
        let limit = due_at(&array(8, 1, 0, 1, None));
        assert!(due < limit);
    }

    #[test]
    fn a_soft_deadline_counts_while_it_can_be_met_and_only_where_it_is_sooner() {
        let at = |secs: i64| Time::EPOCH.plus(Span::from_secs(secs));
        // A minute on one core is due after four.
        let check = |deadline: i64, now: i64, expect: i64| {
            let job = JobAsk { soft_deadline: Some(at(deadline)), ..array(1, 1, 0, 1, None) };
            assert_eq!(due_now(&job, at(now)), at(expect), "{deadline} {now}");
        };
        check(250, 0, 190);
        check(250, 190, 190);
        check(250, 191, 240);
        check(60, 0, 0);
        check(59, 0, 240);
        check(5_000, 0, 240);
    }

    proptest! {
        #[test]
        fn nobody_is_overtaken_by_work_submitted_five_days_later(
            first in (0_i64..1_000_000, 1_i64..10_000, 1_i64..10_000_000),
            later in (0_i64..1_000_000, 1_i64..10_000, 1_i64..10_000_000),
        ) {
            let old = job(0, first.0, first.1, first.2);
            let new = job(1, first.0 + OVERTAKEN_MAX_S + later.0, later.1, later.2);
            prop_assert_eq!(by_due(&old, &new), Ordering::Less);
        }

        /// Whatever deadlines they have, and whenever they are looked at.
        #[test]
        fn no_soft_deadline_overtakes_what_came_five_days_sooner(
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
