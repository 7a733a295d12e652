//! How long to wait after a failure: longer each time, never for ever, and not all agents at once.

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use dayan_units::Span;

use crate::identity::random_bytes;

/// An exchange that restarts is back within a second or two; the first try comes before that.
const FIRST: Span = Span::from_millis(50);
/// A pause that a person does not notice, and that a thousand agents of an exchange that is away
/// can afford.
const LONGEST: Span = Span::from_secs(2);

/// Pauses after failures in a row.
pub(crate) struct Backoff {
    builder: ExponentialBuilder,
    pauses: ExponentialBackoff,
    longest: Span,
}

impl Backoff {
    /// Of an exchange that is away. No failure yet.
    pub(crate) fn new() -> Self {
        Self::between(FIRST, LONGEST)
    }

    /// From once to twice the first one, then longer each time up to the longest. No failure yet.
    pub(crate) fn between(first: Span, longest: Span) -> Self {
        // Without randomness all agents come at once, which is slower and not wrong.
        let seed = random_bytes()
            .map_or(0, |bytes| u64::from_le_bytes(bytes[..8].try_into().expect("8 of 32 bytes")));
        let builder = ExponentialBuilder::new()
            .with_min_delay(first.to_std())
            .with_max_delay(longest.to_std())
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(seed);
        Self { builder, pauses: builder.build(), longest }
    }

    /// It failed once more: the pause before the next try.
    pub(crate) fn next(&mut self) -> Span {
        let pause = self.pauses.next().unwrap_or(self.longest.to_std());
        Span::from_micros(i64::try_from(pause.as_micros()).unwrap_or(i64::MAX)).min(self.longest)
    }

    /// It went well.
    pub(crate) fn reset(&mut self) {
        self.pauses = self.builder.build();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let mut backoff = Backoff::new();
        let pauses: Vec<Span> = (0..20).map(|_| backoff.next()).collect();
        assert!(pauses[0] >= FIRST && pauses[0] <= FIRST.times(2), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert_eq!(pauses[19], LONGEST);
        backoff.reset();
        assert!(backoff.next() <= FIRST.times(2));
    }
}
