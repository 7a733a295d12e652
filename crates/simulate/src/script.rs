//! What an attempt would do if nobody stopped it: drawn from the seed and the attempt's id alone,
//! so that it is the same in whatever order things happen.

use dayan_exchange::{Blame, Outcome};
use dayan_units::{AttemptId, Span};

use crate::random::Random;

/// The script of one attempt.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Script {
    /// How long its inputs take, and whether they come.
    pub(crate) staging: (Span, Result<(), String>),
    /// How long its program runs by itself.
    pub(crate) work: Span,
    /// How that ends.
    pub(crate) end: Outcome,
    /// How long gathering its outputs takes.
    pub(crate) gathering: Span,
    /// How long publishing them takes, and whether it succeeds.
    pub(crate) publishing: (Span, Result<(), String>),
    /// How long it goes on after it was asked to stop; at most the fence's grace.
    pub(crate) dying: Span,
    /// How many of a thousand of its processors it keeps busy.
    pub(crate) busy_permille: i64,
}

/// The longest that the fence lets a task live on: what the exchange reckons with.
const GRACE: Span = dayan_exchange::liveness::STOP_GRACE;

impl Script {
    pub(crate) fn of(seed: u64, attempt: AttemptId, time_limit: Span) -> Self {
        let bits = attempt.job.bits();
        #[expect(clippy::cast_possible_truncation, reason = "both halves are mixed in")]
        let folded = (bits as u64) ^ ((bits >> 64) as u64);
        let number = (u64::from(attempt.task) << 32) | u64::from(attempt.attempt);
        let mut random = Random::new(seed ^ folded, number);
        let fails = |random: &mut Random, permille, why: &str| {
            if random.in_permille(permille) { Err(why.to_owned()) } else { Ok(()) }
        };
        let staging = (random.millis(50, 12_000), fails(&mut random, 20, "no such input"));
        // Some run into their limit, which the fence ends.
        let work = Span::from_micros(time_limit.micros() / 1_000 * random.between(30, 1_080));
        let end = match random.below(100) {
            0..80 => Outcome::Exited { code: 0 },
            80..86 => Outcome::Exited { code: 1 },
            86..92 => Outcome::Exited { code: 75 },
            92..95 => Outcome::OutOfMemory,
            95..97 => Outcome::Signalled { signal: 11 },
            97 => Outcome::Preempted,
            _ => Outcome::StartFailed {
                reason: "no such program".to_owned(),
                blame: Blame::Site,
                for_good: false,
                status: Some(127),
            },
        };
        let gathering = random.millis(1, 3_000);
        let publishing = (random.millis(20, 8_000), fails(&mut random, 30, "no space is left"));
        let dying =
            if random.in_permille(500) { Span::ZERO } else { random.span(Span::ZERO, GRACE) };
        let busy_permille = random.between(0, 1_000);
        Self { staging, work, end, gathering, publishing, dying, busy_permille }
    }
}
