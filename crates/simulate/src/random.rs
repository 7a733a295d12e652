//! Draws from a seed. The generator is our own few lines (SplitMix64: Steele, Lea and Flood, "Fast
//! splittable pseudorandom number generators", OOPSLA 2014), so that a seed that once failed still
//! fails with the next version of anybody's library. Must not be used for secrets.

use dayan_units::Span;

/// A source of draws.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

/// 2⁶⁴ divided by the golden ratio, odd: the step of the counter.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl Random {
    /// From a seed and what it is for: the same seed gives unrelated draws for different purposes.
    pub(crate) const fn new(seed: u64, purpose: u64) -> Self {
        Self { state: mix(seed ^ mix(purpose.wrapping_add(GAMMA))) }
    }

    pub(crate) const fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// From 0 up to but not including `end`; 0 where that is 0. The bias of the remainder is under
    /// one in 2⁴⁰ for the small ends asked for here.
    pub(crate) const fn below(&mut self, end: u64) -> u64 {
        let bits = self.bits();
        if end == 0 { 0 } else { bits % end }
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = u64::try_from(high - low).expect("the ends are in order") + 1;
        low + i64::try_from(self.below(width)).expect("less than the width")
    }

    /// In so many of a thousand cases.
    pub(crate) const fn in_permille(&mut self, permille: u32) -> bool {
        self.below(1_000) < permille as u64
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let index = self.below(from.len() as u64);
        &from[usize::try_from(index).expect("an index of a slice")]
    }

    pub(crate) fn span(&mut self, low: Span, high: Span) -> Span {
        Span::from_micros(self.between(low.micros(), high.micros()))
    }

    pub(crate) fn millis(&mut self, low: i64, high: i64) -> Span {
        self.span(Span::from_millis(low), Span::from_millis(high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_follow_the_seed_and_stay_inside() {
        let draw = |seed, purpose| {
            let mut random = Random::new(seed, purpose);
            (0..64).map(|_| random.between(-3, 9)).collect::<Vec<_>>()
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
        let all = draw(7, 1);
        assert!(all.iter().all(|n| (-3..=9).contains(n)));
        assert!(all.contains(&-3) && all.contains(&9));
    }
}
