//! How long a job will run, learned only from jobs that have ended.
//!
//! Invariant: an expectation is at least a second and at most the user's limit; without anything
//! learned it is the limit. It must not know what a job that has not ended will take.

use std::collections::BTreeMap;

/// What is known of a job before it runs. Negative numbers are those of an unknown user, project
/// or program, as logs write them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Forecast {
    /// Whose it is.
    pub user: i64,
    /// Its project or group.
    pub project: i64,
    /// The program it runs.
    pub program: i64,
    /// How many processors it takes.
    pub width: i64,
    /// The user's limit, in seconds.
    pub limit: i64,
}

/// The last two run times under a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Line {
    last: i64,
    before: Option<i64>,
}

impl Line {
    fn ended(line: Option<Self>, run: i64) -> Self {
        Self { last: run, before: line.map(|line| line.last) }
    }
}

/// The mean of the last two run times of the same user, not above the limit; the limit while
/// there are not two (Tsafrir, Etsion, Feitelson, TPDS 2007).
#[derive(Clone, Debug, Default)]
pub struct LastTwo {
    by_user: BTreeMap<i64, Line>,
}

impl LastTwo {
    /// What to expect of a job, in seconds.
    pub fn expect(&self, job: &Forecast) -> i64 {
        match self.by_user.get(&job.user) {
            Some(Line { last, before: Some(before) }) => within(last.midpoint(*before), job.limit),
            _ => job.limit,
        }
    }

    /// A job of that user ended after `run` seconds.
    pub fn ended(&mut self, job: &Forecast, run: i64) {
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
#[derive(Clone, Debug, Default)]
pub struct Alike {
    lines: BTreeMap<Likeness, Line>,
}

/// What two jobs have in common; what is not is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Likeness {
    user: Option<i64>,
    program: Option<i64>,
    width: Option<i64>,
    limit: Option<i64>,
}

impl Likeness {
    /// From the most alike to the least; none for a user who is not known.
    fn levels(job: &Forecast) -> impl Iterator<Item = Self> {
        let known = job.user >= 0;
        let user = Some(job.user);
        let (program, width, limit) = (Some(job.program), Some(job.width), Some(job.limit));
        let levels = [
            Self { user, program, width, limit },
            Self { user, program, width: None, limit },
            Self { user, program: None, width, limit },
            Self { user, program: None, width: None, limit },
            Self { user, program: None, width: None, limit: None },
            Self { user: None, program: None, width: None, limit },
        ];
        levels.into_iter().filter(move |_| known)
    }
}

impl Alike {
    /// What to expect of a job, in seconds.
    pub fn expect(&self, job: &Forecast) -> i64 {
        let line = Likeness::levels(job).find_map(|level| self.lines.get(&level));
        line.map_or(job.limit, |line| {
            within(line.before.map_or(line.last, |before| line.last.midpoint(before)), job.limit)
        })
    }

    /// A job ended after `run` seconds.
    pub fn ended(&mut self, job: &Forecast, run: i64) {
        for level in Likeness::levels(job) {
            let line = self.lines.get(&level).copied();
            self.lines.insert(level, Line::ended(line, run));
        }
    }
}

fn within(expected: i64, limit: i64) -> i64 {
    expected.clamp(1, limit.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(user: i64, program: i64, width: i64, limit: i64) -> Forecast {
        Forecast { user, project: -1, program, width, limit }
    }

    #[test]
    fn two_ended_runs_of_the_user_make_tsafrirs_mean() {
        let mut learned = LastTwo::default();
        let one = job(1, -1, 4, 3_600);
        assert_eq!(learned.expect(&one), 3_600);
        learned.ended(&one, 100);
        assert_eq!(learned.expect(&one), 3_600);
        learned.ended(&one, 300);
        assert_eq!(learned.expect(&one), 200);
        learned.ended(&one, 500);
        assert_eq!(learned.expect(&one), 400);
        assert_eq!(learned.expect(&job(1, -1, 4, 250)), 250);
        assert_eq!(learned.expect(&job(2, -1, 4, 250)), 250);
    }

    #[test]
    fn the_most_alike_is_asked_first() {
        let mut learned = Alike::default();
        learned.ended(&job(1, 7, 4, 3_600), 100);
        learned.ended(&job(1, 8, 4, 7_200), 5_000);
        let check = |job, expect| assert_eq!(learned.expect(&job), expect);
        check(job(1, 7, 4, 3_600), 100);
        check(job(1, 7, 9, 3_600), 100);
        check(job(1, 8, 4, 7_200), 5_000);
        check(job(1, 9, 1, 7_200), 5_000);
        // Only the user is the same: the mean of the last two, within the limit.
        check(job(1, 9, 1, 10_000), 2_550);
        check(job(1, 9, 1, 60), 60);
        // Nothing of this user has ended: what others took under the same limit, if any did.
        check(job(2, 7, 4, 3_600), 100);
        check(job(2, 7, 4, 3_601), 3_601);
    }

    #[test]
    fn nothing_is_learned_of_users_who_are_not_known() {
        let mut learned = Alike::default();
        learned.ended(&job(-1, -1, 4, 3_600), 100);
        assert_eq!(learned.expect(&job(-1, -1, 4, 3_600)), 3_600);
    }
}
