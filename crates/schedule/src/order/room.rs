//! Room for short work: what is sure to run for long leaves some, while it is not due.
//!
//! A machine that long work has filled keeps a job of a minute waiting for hours, and the mean
//! slowdown is made of those. So a job that all of its user's last runs of its kind say to be long
//! starts only where room is left beside it: a part of the machine that grows with how long it is
//! sure to run, and no more than the widest short job of the last day would have taken. Invariant:
//! what is sure is learned only from jobs that ended, and of whom nothing is known keeps nothing.
//! It must not know what runs, nor where.

use std::collections::VecDeque;

use dayan_units::{MilliAccel, MilliCpu, Resources, Span, Time};
use serde::{Deserialize, Serialize};

use super::Forecast;
use super::recent::Recent;

/// Up to here work is short: ten minutes, for which people wait at the screen.
pub const SHORT: Span = Span::from_secs(600);

/// Room is kept for as wide a job as has come within this time: a day, because people come back at
/// the same hour.
const CAME_WITHIN: Span = Span::from_secs(24 * 3_600);

/// The largest part of a machine that is kept: an eighth.
const PART: u64 = 8;

/// All of that part is kept by work that is sure to run for [`SHORT`] doubled so often: ten hours and
/// a half.
const DOUBLINGS: u64 = 6;

/// Doublings are counted in eighths, so that jobs of about the same length are alike to the planner.
const STEPS: u64 = 8;

/// One, in the fixed point that logarithms are taken in.
const ONE: u128 = 1 << 32;

/// How much of a part a job keeps: nothing, up to all of it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Keeps(u8);

impl Keeps {
    /// Nothing.
    pub const NOTHING: Self = Self(0);

    /// By how long a job is sure to run; where nothing is known, nothing.
    pub fn of(at_least: Option<Span>) -> Self {
        let length = at_least.map_or(0, Span::micros).max(0).unsigned_abs();
        let short = SHORT.micros().unsigned_abs();
        if length <= short {
            return Self::NOTHING;
        }
        let doublings = u64::from((length / short).ilog2());
        if doublings >= DOUBLINGS {
            return Self(u8::try_from(DOUBLINGS * STEPS).expect("a few dozen"));
        }
        // What is left of the quotient, from 1 up to 2, and its logarithm by repeated squaring.
        let mut rest = u128::from(length) * ONE / (u128::from(short) << doublings);
        let mut step = 0;
        let mut unit = STEPS;
        while unit > 1 {
            unit /= 2;
            rest = rest * rest / ONE;
            if rest >= 2 * ONE {
                rest /= 2;
                step += unit;
            }
        }
        Self(u8::try_from(doublings * STEPS + step).expect("a few dozen"))
    }

    /// So much of a machine that large.
    pub fn of_machine(self, total: u64) -> u64 {
        let all = u128::from(PART * DOUBLINGS * STEPS);
        let kept = u128::from(total) * u128::from(self.0) / all;
        u64::try_from(kept).expect("a part of 64 bits")
    }
}

/// What the widest short job of the last day took: processors of work without cards, and cards.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ShortWork {
    /// Of work that takes no cards.
    pub cpu: MilliCpu,
    /// Of work that does.
    pub accel: MilliAccel,
}

/// What came and was expected to be short.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ShortJobs {
    cpu: Widest,
    accel: Widest,
}

impl ShortJobs {
    /// A job came, of which so much is placed together and is expected to run so long.
    pub fn came(&mut self, at: Time, takes: &Resources, expected: Span) {
        if expected > SHORT {
        } else if takes.accel > MilliAccel::ZERO {
            self.accel.came(at, takes.accel.0);
        } else {
            self.cpu.came(at, takes.cpu.0);
        }
    }

    /// What room is kept for at that moment.
    pub fn widest(&self, now: Time) -> ShortWork {
        ShortWork { cpu: MilliCpu(self.cpu.within(now)), accel: MilliAccel(self.accel.within(now)) }
    }
}

/// Those that nothing as wide has come after: the first that is not too old is the widest. There are
/// never more of them than different widths.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
struct Widest(VecDeque<(Time, u64)>);

/// So many are remembered; people ask for round numbers, of which a machine has fewer.
const WIDTHS_MAX: usize = 256;

impl Widest {
    fn came(&mut self, at: Time, width: u64) {
        while self.0.back().is_some_and(|(_, last)| *last <= width) {
            self.0.pop_back();
        }
        if self.0.len() < WIDTHS_MAX {
            self.0.push_back((at, width));
        }
        let is_old = |first: &(Time, u64)| at.since(first.0) > CAME_WITHIN;
        while self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
    }

    fn within(&self, now: Time) -> u64 {
        let lately = self.0.iter().find(|(at, _)| now.since(*at) <= CAME_WITHIN);
        lately.map_or(0, |(_, width)| *width)
    }
}

/// So many of the last runs count: one of them that was short says that the next may be.
const RUNS: usize = 20;

/// The last runs under a key, the last one first.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Runs(VecDeque<Span>);

impl Runs {
    fn ended(mut self, run: Span) -> Self {
        self.0.push_front(run);
        self.0.truncate(RUNS);
        self
    }
}

/// Whose runs, and under which limit; none: under any.
type Whose = (u128, Option<i64>);

/// How long a job is sure to run: as long as the shortest of the user's last twenty runs, and of
/// those under the same limit.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shortest(Recent<Whose, Runs>);

impl Shortest {
    /// None where nothing of the user has ended. A log without users says the limit: there is nobody
    /// to learn of.
    pub fn at_least(&self, job: &Forecast) -> Option<Span> {
        let Some(user) = job.user else { return Some(job.limit) };
        let all = self.0.get(&(user, None))?;
        let alike = self.0.get(&(user, Some(job.limit.micros())));
        let runs = alike.into_iter().flat_map(|runs| &runs.0).chain(&all.0);
        runs.min().map(|least| (*least).min(job.limit))
    }

    /// A job ended after `run`.
    pub fn ended(&mut self, job: &Forecast, run: Span) {
        let Some(user) = job.user else { return };
        for key in [(user, Some(job.limit.micros())), (user, None)] {
            let runs = self.0.get(&key).cloned().unwrap_or_default();
            self.0.set(key, runs.ended(run));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::order::Width;

    const fn minutes(minutes: i64) -> Span {
        Span::from_secs(60 * minutes)
    }

    fn job(user: Option<u128>, limit: Span) -> Forecast {
        Forecast { user, program: None, width: Width::processors(1), limit }
    }

    #[test]
    fn what_is_kept_grows_with_what_is_sure_up_to_an_eighth() {
        let check = |at_least: Option<Span>, of_all: u64| {
            assert_eq!(Keeps::of(at_least).of_machine(4_800), of_all, "{at_least:?}");
        };
        check(None, 0);
        check(Some(minutes(10)), 0);
        // An eighth of 4,800 is 600, and a doubling a sixth of that.
        check(Some(minutes(20)), 100);
        check(Some(minutes(40)), 200);
        // Half a doubling more, which is 1.41 times as long.
        check(Some(minutes(57)), 250);
        check(Some(minutes(56)), 237);
        check(Some(minutes(640)), 600);
        check(Some(minutes(100_000)), 600);
        check(Some(Span::from_micros(-1)), 0);
    }

    #[test]
    fn room_is_for_the_widest_short_job_of_a_day() {
        let at = |hours: i64| Time::EPOCH.plus(minutes(60 * hours));
        let takes = |cpu: u64, accel: u64| Resources {
            cpu: MilliCpu(cpu),
            accel: MilliAccel(accel),
            ..Resources::ZERO
        };
        let mut short = ShortJobs::default();
        short.came(at(0), &takes(8, 0), minutes(10));
        short.came(at(1), &takes(32, 0), minutes(11));
        short.came(at(2), &takes(4, 0), minutes(1));
        short.came(at(3), &takes(2, 0), minutes(1));
        short.came(at(4), &takes(64, 1), minutes(1));
        let check = |now: i64, cpu: u64, accel: u64| {
            let expect = ShortWork { cpu: MilliCpu(cpu), accel: MilliAccel(accel) };
            assert_eq!(short.widest(at(now)), expect, "{now}");
        };
        check(4, 8, 1);
        check(24, 8, 1);
        check(25, 4, 1);
        check(27, 2, 1);
        check(29, 0, 0);
    }

    #[test]
    fn what_is_sure_is_the_shortest_of_the_last_runs() {
        let mut learned = Shortest::default();
        let (long, longer) = (job(Some(1), minutes(60)), job(Some(1), minutes(600)));
        assert_eq!(learned.at_least(&long), None);
        assert_eq!(learned.at_least(&job(None, minutes(60))), Some(minutes(60)));
        learned.ended(&long, minutes(50));
        assert_eq!(learned.at_least(&long), Some(minutes(50)));
        // Another limit: only what the user's runs say as a whole.
        assert_eq!(learned.at_least(&longer), Some(minutes(50)));
        assert_eq!(learned.at_least(&job(Some(1), minutes(5))), Some(minutes(5)));
        learned.ended(&longer, minutes(1));
        assert_eq!(learned.at_least(&long), Some(minutes(1)));
        for _ in 0..RUNS {
            learned.ended(&long, minutes(40));
        }
        // Of the user's last ones none was short; of those under the long limit the last one was.
        assert_eq!(learned.at_least(&long), Some(minutes(40)));
        assert_eq!(learned.at_least(&longer), Some(minutes(1)));
        let text = serde_json::to_string(&learned).expect("it is plain data");
        assert_eq!(serde_json::from_str::<Shortest>(&text).ok(), Some(learned));
    }
}
