//! How good the planner's start estimates were, and what they are made of it: a job that had to wait
//! gets one when it is first planned for, and when it starts it is scored. What is shown is the
//! planner's estimate stretched by what such estimates turned out to be.
//!
//! Invariant: all in integers and from the times of events, so that a replay gives the same. A job is
//! scored once, by what was shown to its user.

use dayan_schedule::StartEstimate;
use dayan_units::{Span, Time};
use serde::{Deserialize, Serialize};

/// Waits and estimates are compared with this much added: below it a difference says little.
const SMOOTHING: Span = Span::from_secs(10);
/// Quarters of a factor of two, from a 256th to 256 times what was expected.
const BUCKETS: usize = 64;
/// The upper ends of the buckets begin here, in millionths, and each is 2^(1/4) times the one before.
const FIRST_MILLIONTHS: u64 = 3_906;
const STEP_MILLIONTHS: u64 = 1_189_207;
/// With fewer scored the planner's own words stand: what a handful says is chance.
const SCORED_MIN: u64 = 32;
/// When so many were scored all count half from then on: what was long ago says less.
const SCORED_FULL: u64 = 4_096;

/// What a job was told when it was first planned for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Estimate {
    /// When.
    pub at: Time,
    /// By the planner alone: what is learned from.
    pub planned: StartEstimate,
    /// As it was shown.
    pub shown: StartEstimate,
    /// How long it waited from then on, once it has started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited: Option<Span>,
}

/// What all of them came to.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Estimates {
    /// How many starts were scored.
    pub scored: u64,
    /// How many of them were not later than the middle estimate.
    pub within_p50: u64,
    /// How many not later than the one for nine in ten.
    pub within_p90: u64,
    /// How often a wait was so many times what the planner said: by buckets, the recent for more.
    factors: Vec<u64>,
}

fn ends() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(FIRST_MILLIONTHS), |end| Some(end * STEP_MILLIONTHS / 1_000_000))
        .take(BUCKETS)
}

impl Estimates {
    /// What is shown of what the planner says.
    pub fn shown(&self, planned: StartEstimate) -> StartEstimate {
        if self.factors.iter().sum::<u64>() < SCORED_MIN {
            return planned;
        }
        let stretched = |permille| {
            let smooth = i128::from(planned.p50.plus(SMOOTHING).micros());
            let micros = smooth * i128::from(self.factor(permille)) / 1_000_000;
            let micros = micros - i128::from(SMOOTHING.micros());
            Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX)).max(Span::ZERO)
        };
        let (p50, p90) = (stretched(500), stretched(900));
        StartEstimate { p50, p90: p90.max(p50) }
    }

    /// The factor that so many waits in a thousand did not pass, in millionths.
    fn factor(&self, permille: u64) -> u64 {
        let wanted = (self.factors.iter().sum::<u64>() * permille).div_ceil(1_000);
        let mut sum = 0;
        let reached = self.factors.iter().zip(ends()).find(|(count, _)| {
            sum += **count;
            sum >= wanted
        });
        reached.map_or(1_000_000, |(_, end)| end)
    }

    /// A job that had this estimate has waited so long.
    pub(crate) fn score(&mut self, estimate: &Estimate, waited: Span) {
        self.scored += 1;
        self.within_p50 += u64::from(waited <= estimate.shown.p50);
        self.within_p90 += u64::from(waited <= estimate.shown.p90);
        let smooth = |span: Span| u128::try_from(span.plus(SMOOTHING).micros()).unwrap_or(1).max(1);
        let factor = smooth(waited) * 1_000_000 / smooth(estimate.planned.p50);
        let at = ends().position(|end| factor <= u128::from(end)).unwrap_or(BUCKETS - 1);
        self.factors.resize(BUCKETS, 0);
        self.factors[at] += 1;
        if self.factors.iter().sum::<u64>() >= SCORED_FULL {
            self.factors.iter_mut().for_each(|count| *count /= 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn minutes(minutes: i64) -> Span {
        Span::from_secs(60 * minutes)
    }

    /// Waits that took so many thousandths of what the planner had said.
    fn scored(factors: &[i64]) -> Estimates {
        let mut estimates = Estimates::default();
        for (n, factor) in (0..).zip(factors) {
            let p50 = minutes(10 + n % 50);
            let planned = StartEstimate { p50, p90: p50.plus(p50) };
            let estimate = Estimate {
                at: Time::EPOCH,
                planned,
                shown: estimates.shown(planned),
                waited: None,
            };
            estimates.score(&estimate, Span::from_micros(p50.micros() / 1_000 * factor));
        }
        estimates
    }

    #[test]
    fn a_planner_that_says_twice_too_little_is_believed_half() {
        let estimates = scored(&[2_000; 200]);
        let planned = StartEstimate { p50: minutes(60), p90: minutes(600) };
        let shown = estimates.shown(planned);
        assert!(shown.p50 > minutes(110) && shown.p50 < minutes(145), "{shown:?}");
        assert_eq!(shown.p90, shown.p50, "they were all alike");
        // At first they were late, and then no more.
        assert!(estimates.within_p50 >= 200 - SCORED_MIN, "{estimates:?}");
    }

    #[test]
    fn a_few_say_nothing_and_the_planner_is_taken_at_its_word() {
        let planned = StartEstimate { p50: minutes(1), p90: minutes(5) };
        assert_eq!(Estimates::default().shown(planned), planned);
        assert_eq!(scored(&[9_000; 31]).shown(planned), planned);
    }

    #[test]
    fn what_was_long_ago_is_outweighed() {
        let mut factors = vec![100; 5_000];
        factors.extend(vec![4_000; 10_000]);
        let shown = scored(&factors).shown(StartEstimate { p50: minutes(10), p90: minutes(10) });
        assert!(shown.p50 > minutes(30), "{shown:?}");
    }

    proptest! {
        #[test]
        fn nine_in_ten_begin_within_what_was_shown_for_nine_in_ten(
            factors in proptest::collection::vec(1_i64..20_000, 3_000),
        ) {
            let estimates = scored(&factors);
            let permille = |part: u64| part * 1_000 / estimates.scored;
            prop_assert!((870..=970).contains(&permille(estimates.within_p90)), "{estimates:?}");
            prop_assert!((440..=640).contains(&permille(estimates.within_p50)), "{estimates:?}");
        }
    }
}
