//! Rules known by name, each a score: the job with the least score starts first.
//!
//! They are what the default is measured against. Invariant: a score never depends on more than
//! the job and the moment; equal scores are in order of age. It must not know the machine.

use std::cmp::Ordering;

use super::Waiting;

/// A rule from the literature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Rule {
    /// First come, first served: the time of submission.
    Fcfs,
    /// Shortest job first: the limit.
    Sjf,
    /// Smallest area first: limit × processors.
    Saf,
    /// `−(wait / limit)³ × processors` (Tang, Lan, Desai, Buettner, CLUSTER 2009), with the wait
    /// up to now. Some published figures used the wait of a job that had not started, which is a
    /// constant less the submission; they are not this rule.
    Wfp3,
    /// `log₁₀(r)·n + 870·log₁₀(s)`, r the limit, n processors, s the time of submission
    /// (Carastan-Santos and de Camargo, SC 2017, table 3, as are the next three).
    F1,
    /// `√r·n + 25 600·log₁₀(s)`.
    F2,
    /// `r·n + 6 860 000·log₁₀(s)`.
    F3,
    /// `r·√n + 530 000·log₁₀(s)`.
    F4,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Fcfs, Self::Sjf, Self::Saf, Self::Wfp3, Self::F1, Self::F2, Self::F3, Self::F4];

    /// The name in commands.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fcfs => "fcfs",
            Self::Sjf => "sjf",
            Self::Saf => "saf",
            Self::Wfp3 => "wfp3",
            Self::F1 => "f1",
            Self::F2 => "f2",
            Self::F3 => "f3",
            Self::F4 => "f4",
        }
    }

    /// Less is sooner. The run time it goes by is the user's limit.
    pub fn score(self, job: &Waiting, now: i64) -> f64 {
        // A logarithm of nothing is replaced by that of a tenth of a second.
        let log = |seconds: i64| if seconds > 0 { (seconds as f64).log10() } else { -1.0 };
        let (limit, width) = (job.limit as f64, job.width as f64);
        match self {
            Self::Fcfs => job.submitted as f64,
            Self::Sjf => limit,
            Self::Saf => limit * width,
            Self::Wfp3 => -((now - job.submitted) as f64 / limit.max(1.0)).powi(3) * width,
            Self::F1 => log(job.limit) * width + 870.0 * log(job.submitted),
            Self::F2 => limit.max(0.0).sqrt() * width + 25_600.0 * log(job.submitted),
            Self::F3 => limit * width + 6_860_000.0 * log(job.submitted),
            Self::F4 => limit * width.sqrt() + 530_000.0 * log(job.submitted),
        }
    }

    /// Puts jobs into its order.
    pub fn sort(self, jobs: &mut [Waiting], now: i64) {
        jobs.sort_by_cached_key(|job| Place {
            score: self.score(job, now),
            submitted: job.submitted,
            key: job.key,
        });
    }

    /// The job that it would start first.
    pub fn first(self, jobs: &[Waiting], now: i64) -> Option<Waiting> {
        let place = |job: &&Waiting| Place {
            score: self.score(job, now),
            submitted: job.submitted,
            key: job.key,
        };
        jobs.iter().min_by_key(place).copied()
    }
}

/// A score, then age.
#[derive(Clone, Copy, Debug)]
struct Place {
    score: f64,
    submitted: i64,
    key: u32,
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.score
            .total_cmp(&other.score)
            .then(self.submitted.cmp(&other.submitted))
            .then(self.key.cmp(&other.key))
    }
}
impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Place {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_the_papers() {
        let job = Waiting { key: 1, submitted: 1_000, width: 4, limit: 100, expected: 7 };
        let check = |rule: Rule, expect: f64| {
            let score = rule.score(&job, 1_200);
            assert!((score - expect).abs() < 1e-6, "{rule:?}: {score}");
        };
        check(Rule::Fcfs, 1_000.0);
        check(Rule::Sjf, 100.0);
        check(Rule::Saf, 400.0);
        // (200 / 100)³ × 4.
        check(Rule::Wfp3, -32.0);
        check(Rule::F1, 2.0 * 4.0 + 870.0 * 3.0);
        check(Rule::F2, 10.0 * 4.0 + 25_600.0 * 3.0);
        check(Rule::F3, 400.0 + 6_860_000.0 * 3.0);
        check(Rule::F4, 200.0 + 530_000.0 * 3.0);
    }

    #[test]
    fn equal_scores_are_in_order_of_age() {
        let job = |key, submitted| Waiting { key, submitted, width: 1, limit: 60, expected: 60 };
        let mut jobs = [job(3, 20), job(2, 10), job(1, 20)];
        Rule::Sjf.sort(&mut jobs, 30);
        assert_eq!(jobs.map(|job| job.key), [2, 1, 3]);
        assert_eq!(Rule::Sjf.first(&[job(3, 20), job(1, 20)], 30), Some(job(1, 20)));
    }
}
