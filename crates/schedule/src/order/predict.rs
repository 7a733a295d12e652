//! How long a job will run, learned only from jobs that have ended.

use std::collections::BTreeMap;

/// What is known of a job before it runs, beside its limit.
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

/// The mean of the last two run times of the same user, not above the limit; the limit while
/// there are not two (Tsafrir, Etsion, Feitelson, TPDS 2007).
#[derive(Clone, Debug, Default)]
pub struct LastTwo {
    by_user: BTreeMap<i64, (i64, Option<i64>)>,
}

impl LastTwo {
    /// What to expect of a job, in seconds.
    pub fn expect(&self, job: &Forecast) -> i64 {
        match self.by_user.get(&job.user) {
            Some((last, Some(before))) => ((last + before) / 2).clamp(1, job.limit.max(1)),
            _ => job.limit,
        }
    }

    /// A job of that user ended after `run` seconds.
    pub fn ended(&mut self, job: &Forecast, run: i64) {
        let before = self.by_user.get(&job.user).map(|(last, _)| *last);
        self.by_user.insert(job.user, (run, before));
    }
}
