//! What a job remembers of those it failed at: a provider under whom it failed is left alone for a
//! while, longer each time, so that it goes to another owner and does not hammer a broken site. A pool
//! that has not what a task asks for is not tried again by that task while another may have it.
//!
//! Knows nothing of why attempts fail or of what else there is: the caller says that one was the
//! pool's fault, and a plan that finds no other provider waits.

use std::collections::BTreeMap;

use dayan_units::{PoolId, ProviderId, Span, Time};
use serde::{Deserialize, Serialize};

/// After the first failure: a machine that restarts is back in this time or will not be soon.
pub const BACK_OFF_FIRST: Span = Span::from_secs(5);
/// At most: an operator who has mended something sees work again while still at the desk.
pub const BACK_OFF_MAX: Span = Span::from_secs(600);
/// A pool that has not what a job asks for is left alone by it for so long: for good, as people see it. It
/// does not stand for ever, so that a job whose other places have gone finds out in the end.
pub const BARRED_FOR: Span = Span::from_secs(24 * 3_600);

/// How it went with one provider lately.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Setback {
    /// How often in a row.
    pub times: u32,
    /// When it failed last.
    pub at: Time,
}

impl Setback {
    /// Nothing of the job goes there before.
    pub const fn until(&self) -> Time {
        // From the eighth time on the longest wait is reached; the shift stays small.
        let doublings = if self.times > 8 { 7 } else { self.times.saturating_sub(1) };
        let wait = BACK_OFF_FIRST.micros() << doublings;
        let wait = if wait < BACK_OFF_MAX.micros() { wait } else { BACK_OFF_MAX.micros() };
        self.at.plus(Span::from_micros(wait))
    }
}

/// The providers a job has failed at.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Setbacks(BTreeMap<ProviderId, Setback>);

impl Setbacks {
    /// None?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An attempt that was placed at `placed` failed there through the provider's fault. Attempts
    /// that were under way when another failed tell nothing new: all tasks of a machine fail
    /// together.
    pub(crate) fn failed(&mut self, provider: ProviderId, placed: Time, at: Time) {
        let setback = self.0.entry(provider).or_insert(Setback { times: 0, at });
        if setback.times == 0 || placed >= setback.at {
            *setback = Setback { times: setback.times.saturating_add(1), at };
        }
    }

    /// An attempt that was placed there at `placed` has ended by itself: if that was after the last
    /// failure, the provider does again what it should.
    pub(crate) fn went_well(&mut self, provider: ProviderId, placed: Time) {
        if self.0.get(&provider).is_some_and(|setback| placed >= setback.at) {
            self.0.remove(&provider);
        }
    }

    /// Who is left alone now, and until when.
    pub fn standing(&self, now: Time) -> impl Iterator<Item = (ProviderId, Time)> {
        let all = self.0.iter().map(|(provider, setback)| (*provider, setback.until()));
        all.filter(move |(_, until)| now < *until)
    }
}

/// The pools that have not what a job asks for: an image, a program, a partition that it names. Each task has
/// its own beside them, since its number may be part of such a name.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Barred(BTreeMap<PoolId, Time>);

impl Barred {
    /// None?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// It was asked, and has it not.
    pub(crate) fn bar(&mut self, pool: PoolId, at: Time) {
        self.expire(at);
        self.0.insert(pool, at.plus(BARRED_FOR));
    }

    /// What does not stand any more is not remembered.
    pub(crate) fn expire(&mut self, now: Time) {
        self.0.retain(|_, until| now < *until);
    }

    /// Nothing keeps it off there any more.
    pub(crate) fn lift(&mut self, pool: PoolId) {
        self.0.remove(&pool);
    }

    /// Since when it stays away from there; none where it does not.
    pub(crate) fn since(&self, pool: PoolId) -> Option<Time> {
        self.0.get(&pool).map(|until| until.minus(BARRED_FOR))
    }

    /// Where it does not go now, and until when.
    pub(crate) fn standing(&self, now: Time) -> impl Iterator<Item = (PoolId, Time)> {
        self.0.iter().map(|(pool, until)| (*pool, *until)).filter(move |(_, until)| now < *until)
    }

    /// Those that are remembered, whether they stand or not.
    pub(crate) fn pools(&self) -> impl Iterator<Item = PoolId> {
        self.0.keys().copied()
    }

    /// It does not go there before; none where nothing keeps it off now.
    pub fn until(&self, pool: PoolId, now: Time) -> Option<Time> {
        self.0.get(&pool).copied().filter(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_wait_doubles_and_ends() {
        let provider = ProviderId::from_bits(1);
        let mut setbacks = Setbacks::default();
        let mut now = at(100);
        let mut waits = Vec::new();
        for _ in 0..12 {
            setbacks.failed(provider, now, now);
            let until = setbacks.standing(now).next().expect("stands").1;
            waits.push(until.since(now).micros() / 1_000_000);
            now = until;
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600, 600, 600, 600]);
        assert_eq!(setbacks.standing(now).count(), 0);
        setbacks.went_well(provider, at(100));
        assert!(!setbacks.is_empty(), "it was under way before");
        setbacks.went_well(provider, now);
        assert!(setbacks.is_empty());
    }

    #[test]
    fn what_a_pool_has_not_is_forgotten_when_it_does_not_stand_any_more() {
        let [here, there] = [1, 2].map(PoolId::from_bits);
        let mut barred = Barred::default();
        barred.bar(here, at(0));
        let over = at(0).plus(BARRED_FOR);
        barred.expire(at(1));
        assert_eq!(barred.until(here, at(1)), Some(over), "it stands");
        assert_eq!((barred.until(here, over), barred.until(there, at(1))), (None, None));
        barred.bar(there, over);
        assert_eq!(barred.pools().collect::<Vec<_>>(), [there]);
        barred.expire(over.plus(BARRED_FOR));
        assert!(barred.is_empty());
    }

    #[test]
    fn what_fails_together_counts_once() {
        let provider = ProviderId::from_bits(1);
        let mut setbacks = Setbacks::default();
        for _ in 0..50 {
            setbacks.failed(provider, at(10), at(20));
        }
        assert_eq!(setbacks.standing(at(20)).collect::<Vec<_>>(), [(provider, at(25))]);
        setbacks.failed(provider, at(26), at(30));
        assert_eq!(setbacks.standing(at(30)).collect::<Vec<_>>(), [(provider, at(40))]);
    }
}
