//! Trying again what a store of the job's own, or an address, did not do, before a start and when publishing.
//!
//! Invariant: what will not go better is not tried again; when patience is at its end, it is found out
//! whose doing it is. Must not know what is tried.

use std::time::Duration;

use dayan_units::{AttemptId, BootTime};
use tokio::time::Instant;

use super::super::Guard;
use super::super::courier::Courier;
use super::super::fetch::{PAUSE_MAX, pauses, span};
use super::super::keeping::{asked_until, now};
use super::super::snag::Snag;
use crate::backoff::Backoff;

/// So long a store that does not do its part is asked again in any case, while the lease lasts: most outages
/// are over by then. Results that are there are kept for longer ([`KEPT_FOR`](super::super::keeping::KEPT_FOR)).
pub(super) const PATIENCE: Duration = Duration::from_hours(1);
/// The longest pause: what is back is heard of soon beside the hours that it was away, and a day is some
/// three hundred requests of an attempt.
const LONG_PAUSE_MAX: Duration = Duration::from_mins(5);

/// Asks what may go better again until patience is at its end, or the attempt's time. What it says last is
/// not yet settled; what it says before that is told to `stuck`.
pub(super) async fn before_the_start<T, F>(
    patience: Duration,
    guard: &Guard,
    stuck: impl Fn(&str),
    mut ask: impl FnMut() -> F,
) -> Result<T, Snag>
where
    F: Future<Output = Result<T, Snag>>,
{
    let mut pauses = pauses(PAUSE_MAX);
    let begun = Instant::now();
    loop {
        guard.check()?;
        let snag = match ask().await {
            Err(snag) if snag.far.is_some() => snag,
            done => return done,
        };
        let pause = pauses.next().to_std();
        if begun.elapsed() + pause > patience {
            let why = format!("{}; asked again for {}", snag.why, span(begun.elapsed()));
            return Err(Snag { why, ..snag });
        }
        tracing::info!(why = snag.why, ?pause, "asked again");
        stuck(&snag.why);
        tokio::time::sleep(pause).await;
    }
}

/// How often something is tried that what a job named has its part in.
pub(super) struct Patience<'a> {
    courier: &'a Courier,
    attempt: AttemptId,
    pauses: Backoff,
    begun: BootTime,
}

impl<'a> Patience<'a> {
    pub(super) fn of(courier: &'a Courier, attempt: AttemptId) -> Self {
        Self { courier, attempt, pauses: pauses(LONG_PAUSE_MAX), begun: now() }
    }

    /// Waits until it may go better, where it may; else says whose doing it is that it did not.
    pub(super) async fn after(&mut self, snag: Snag, guard: &Guard) -> Result<(), Snag> {
        if snag.far.is_none() {
            return Err(snag);
        }
        let pause = self.pauses.next().to_std();
        let keeping = &self.courier.keeping;
        let least = self.begun.plus(span(self.courier.objects.patience));
        let until = asked_until(least, keeping.began(self.attempt), keeping.disk());
        let at = now();
        if at.plus(span(pause)) > until {
            let tried = at.since(self.begun);
            let snag = self.courier.settled(snag).await;
            let why = format!("{}; asked again for {tried}", snag.why);
            return Err(Snag { why, ..snag });
        }
        tracing::info!(why = snag.why, ?pause, "asked again");
        let mut left = pause;
        while !left.is_zero() {
            // Who is stopped meanwhile holds nothing for minutes.
            let part = left.min(PAUSE_MAX);
            tokio::time::sleep(part).await;
            guard.check()?;
            left -= part;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_is_away_for_a_while_is_waited_for() {
        let guard = Guard::until(None);
        let patience = Duration::from_mins(5);
        let begun = Instant::now();
        let back_after = |away: Duration| {
            before_the_start(
                patience,
                &guard,
                |_| {},
                move || async move {
                    let away = begun.elapsed() < away;
                    if away { Err(Snag::far("connection refused".to_owned())) } else { Ok(()) }
                },
            )
        };
        assert_eq!(back_after(Duration::from_secs(75)).await, Ok(()));
        let gone = back_after(Duration::from_hours(9)).await.expect_err("it does not come back");
        assert!(gone.why.contains("asked again for") && gone.far.is_some(), "{gone:?}");
        assert!(begun.elapsed() < Duration::from_secs(75 + 20) + patience);
        // What will not go better is not asked for again.
        let mut asked = 0;
        let never = before_the_start(
            patience,
            &guard,
            |_| {},
            || {
                asked += 1;
                async { Err::<(), _>(Snag::for_good("no such bucket".to_owned())) }
            },
        );
        assert!(never.await.expect_err("a clear no").for_good);
        assert_eq!(asked, 1);
    }
}
