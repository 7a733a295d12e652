//! The default order among equals: by the moment a job is due.
//!
//! A job is due some time after its submission, in proportion to how much of the machine it is
//! expected to take, and at the latest [`OVERTAKEN_MAX_S`] after it. So short narrow jobs pass
//! long wide ones, which is what lessens the mean slowdown, and nobody waits for those who come
//! much later: **a job never starts behind one that was submitted more than three days after it**,
//! other than by backfilling that does not delay its reservation. Invariant: the moment a job is
//! due does not change while it waits, so an order once seen stays. It must not know what runs.

use std::cmp::Ordering;

use super::{SLOWDOWN_FLOOR_S, Waiting};

/// How far behind a job others may be submitted and still be placed before it, in seconds: three
/// days, a weekend and the day after it. A job that is longer than a day has then waited about as
/// many times its own length as people put up with, and no wait grows past what strict order of
/// arrival would have made of it by more than about that.
pub const OVERTAKEN_MAX_S: i64 = 3 * 24 * 3_600;

/// How many times its expected length a job on one processor is let wait before it is due: ten,
/// the slowdown at which people call a machine overloaded.
const PATIENCE: f64 = 10.0;

/// When a job is due, in seconds.
///
/// Slowdown is wait over length, so a job of length `e` on `n` processors gains `1 / e` a second
/// for `e·n` of the machine. Smith's rule (1956) ranks by their quotient, `1 / (e²·n)`; `e·√n`
/// ranks the same and is a time. Ten times that, held at [`OVERTAKEN_MAX_S`], is added to the
/// submission.
pub fn due(job: &Waiting) -> f64 {
    let length = job.expected.max(SLOWDOWN_FLOOR_S) as f64;
    let patience = PATIENCE * length * (job.width as f64).sqrt();
    job.submitted as f64 + patience.min(OVERTAKEN_MAX_S as f64)
}

/// The order itself: by [`due`], then age, then number.
pub fn by_due(one: &Waiting, other: &Waiting) -> Ordering {
    due(one)
        .total_cmp(&due(other))
        .then(one.submitted.cmp(&other.submitted))
        .then(one.key.cmp(&other.key))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn job(key: u32, submitted: i64, width: i64, expected: i64) -> Waiting {
        Waiting { key, submitted, width, limit: expected, expected }
    }

    #[test]
    fn short_and_narrow_work_is_due_sooner_and_all_of_it_within_three_days() {
        let check = |job: Waiting, expect: f64| assert!((due(&job) - expect).abs() < 1e-6);
        check(job(0, 1_000, 1, 60), 1_600.0);
        check(job(0, 1_000, 4, 60), 2_200.0);
        check(job(0, 1_000, 1, 1), 1_100.0);
        check(job(0, 1_000, 128, 64_800), 260_200.0);
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
