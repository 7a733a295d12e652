//! How long a job will run, learned only from jobs that have ended.
//!
//! Invariant: an expectation is longer than nothing and at most the user's limit; without anything
//! learned there is none, and the limit stands. What is learned is bounded. It must not know what a
//! job that has not ended will take.

use std::collections::BTreeMap;

use dayan_units::Span;
use serde::{Deserialize, Serialize};

use super::Width;
use super::recent::Recent;

/// What is known of a job before it runs; none where it is not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forecast {
    /// Whose it is.
    pub user: Option<u128>,
    /// The program it runs.
    pub program: Option<u64>,
    /// How wide it is.
    pub width: Width,
    /// The user's limit.
    pub limit: Span,
}

/// The last two run times under a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Line {
    last: Span,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Span>,
}

impl Line {
    fn ended(line: Option<Self>, run: Span) -> Self {
        Self { last: run, before: line.map(|line| line.last) }
    }
    fn mean(self) -> Span {
        let last = self.last.micros();
        self.before.map_or(self.last, |before| Span::from_micros(last.midpoint(before.micros())))
    }
}

/// The mean of the last two run times of the same user, not above the limit; the limit while
/// there are not two (Tsafrir, Etsion, Feitelson, TPDS 2007).
#[derive(Clone, Debug, Default)]
pub struct LastTwo {
    by_user: BTreeMap<Option<u128>, Line>,
}

impl LastTwo {
    /// What to expect of a job; none where there are not two runs to go by.
    pub fn expect(&self, job: &Forecast) -> Option<Span> {
        let line = self.by_user.get(&job.user).filter(|line| line.before.is_some())?;
        Some(within(line.mean(), job.limit))
    }

    /// A job of that user ended after `run`.
    pub fn ended(&mut self, job: &Forecast, run: Span) {
        let line = self.by_user.get(&job.user).copied();
        self.by_user.insert(job.user, Line::ended(line, run));
    }
}

/// What the default order expects: the mean of the last two run times of the jobs most like it.
///
/// The same user, program, width and limit; else without the width; else the same user, width and
/// limit; else user and limit; else the user; else, for a user of whom nothing has ended yet,
/// whoever's with the same limit. The limit is a strong sign of which of a user's works it is:
/// people change it with the work. One run is enough, as the likeness is what counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Alike(Recent<Likeness, Line>);

/// What two jobs have in common; what is not is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
struct Likeness(Option<u128>, Option<u64>, Option<u64>, Option<i64>);

impl Likeness {
    /// From the most alike to the least; none for a user who is not known.
    fn levels(job: &Forecast) -> impl Iterator<Item = Self> {
        let known = job.user.is_some();
        // A program that is not known is one like any other: the same user's unknown ones are
        // likely the same.
        let program = Some(job.program.unwrap_or(u64::MAX));
        let (user, width, limit) = (job.user, Some(job.width.0), Some(job.limit.micros()));
        let levels = [
            Self(user, program, width, limit),
            Self(user, program, None, limit),
            Self(user, None, width, limit),
            Self(user, None, None, limit),
            Self(user, None, None, None),
            Self(None, None, None, limit),
        ];
        levels.into_iter().filter(move |_| known)
    }
}

impl Alike {
    /// What to expect of a job; none where nothing like it has ended.
    pub fn expect(&self, job: &Forecast) -> Option<Span> {
        let line = Likeness::levels(job).find_map(|level| self.0.get(&level).copied())?;
        Some(within(line.mean(), job.limit))
    }

    /// A job ended after `run`.
    pub fn ended(&mut self, job: &Forecast, run: Span) {
        for level in Likeness::levels(job) {
            let line = Line::ended(self.0.get(&level).copied(), run);
            self.0.set(level, line);
        }
    }
}

fn within(expected: Span, limit: Span) -> Span {
    let least = Span::from_micros(1);
    expected.clamp(least, limit.max(least))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::recent::LINES_MAX;

    fn job(user: u128, program: u64, width: u64, limit: i64) -> Forecast {
        let limit = Span::from_secs(limit);
        let (user, program) = (Some(user), Some(program));
        Forecast { user, program, width: Width::processors(width), limit }
    }

    const fn secs(secs: i64) -> Span {
        Span::from_secs(secs)
    }

    #[test]
    fn two_ended_runs_of_the_user_make_tsafrirs_mean() {
        let mut learned = LastTwo::default();
        assert_eq!(learned.expect(&job(1, 0, 4, 1_000)), None);
        learned.ended(&job(1, 0, 4, 1_000), secs(100));
        assert_eq!(learned.expect(&job(1, 0, 4, 1_000)), None);
        learned.ended(&job(1, 0, 4, 1_000), secs(301));
        assert_eq!(learned.expect(&job(1, 0, 4, 1_000)), Some(Span::from_micros(200_500_000)));
        assert_eq!(learned.expect(&job(1, 0, 4, 150)), Some(secs(150)));
        assert_eq!(learned.expect(&job(2, 0, 4, 250)), None);
    }

    #[test]
    fn the_most_alike_is_asked_first() {
        let mut learned = Alike::default();
        learned.ended(&job(1, 7, 4, 3_600), secs(100));
        learned.ended(&job(1, 8, 4, 7_200), secs(5_000));
        let check = |job, expect| assert_eq!(learned.expect(&job), Some(secs(expect)));
        check(job(1, 7, 4, 3_600), 100);
        check(job(1, 7, 9, 3_600), 100);
        check(job(1, 8, 4, 7_200), 5_000);
        check(job(1, 9, 1, 7_200), 5_000);
        // Only the user is the same: the mean of the last two, within the limit.
        check(job(1, 9, 1, 10_000), 2_550);
        check(job(1, 9, 1, 60), 60);
        // Nothing of this user has ended: what others took under the same limit, if any did.
        check(job(2, 7, 4, 3_600), 100);
        assert_eq!(learned.expect(&job(2, 7, 4, 3_601)), None);
    }

    #[test]
    fn nothing_is_learned_of_users_who_are_not_known() {
        let mut learned = Alike::default();
        let unknown = Forecast { user: None, program: None, ..job(0, 0, 4, 3_600) };
        learned.ended(&unknown, secs(100));
        assert_eq!(learned, Alike::default());
        assert_eq!(learned.expect(&unknown), None);
    }

    #[test]
    fn what_is_learned_is_bounded_and_what_is_heard_of_stays() {
        let mut learned = Alike::default();
        for user in 0..30_000 {
            learned.ended(&job(user, 0, 1, 60), secs(1));
            learned.ended(&job(u128::MAX, 0, 1, 60), secs(2));
        }
        assert!(learned.0.len() <= LINES_MAX);
        assert_eq!(learned.expect(&job(u128::MAX, 0, 1, 60)), Some(secs(2)));
        assert_eq!(learned.expect(&job(29_999, 0, 1, 60)), Some(secs(1)));
        // It is stored and read back as it was.
        let text = serde_json::to_string(&learned).expect("it is plain data");
        assert_eq!(serde_json::from_str::<Alike>(&text).ok(), Some(learned));
    }
}
