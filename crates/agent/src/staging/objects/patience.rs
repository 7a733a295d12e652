//! Trying again what an object store did not do, for as long as that is reasonable.
//!
//! Invariant: what will not go better is not tried again; when patience is at its end, it is found out
//! whose doing it is. Must not know what is tried.

use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::super::Guard;
use super::super::courier::Courier;
use super::super::fetch::{PAUSE_FIRST, PAUSE_MAX};
use super::super::snag::Snag;

/// So long a store that does not do its part is asked again before its job is given up, while the lease
/// lasts: results of hours of work are worth an hour's wait, and most outages are over by then. Each request
/// is tried for three minutes besides, by the library.
pub(super) const PATIENCE: Duration = Duration::from_hours(1);

/// How often something is tried that what a job named has its part in.
pub(super) struct Patience<'a> {
    courier: &'a Courier,
    pauses: ExponentialBackoff,
    until: Instant,
}

impl<'a> Patience<'a> {
    pub(super) fn of(courier: &'a Courier) -> Self {
        let pauses = ExponentialBuilder::new()
            .with_min_delay(PAUSE_FIRST)
            .with_max_delay(PAUSE_MAX)
            .without_max_times()
            .with_jitter()
            .build();
        Self { courier, pauses, until: Instant::now() + courier.objects.patience }
    }

    /// Waits until it may go better, where it may; else says whose doing it is that it did not.
    pub(super) async fn after(&mut self, snag: Snag, guard: &Guard) -> Result<(), Snag> {
        if snag.far.is_none() {
            return Err(snag);
        }
        let pause = self.pauses.next().unwrap_or(PAUSE_MAX);
        if Instant::now() + pause > self.until {
            return Err(self.courier.settled(snag).await);
        }
        tracing::info!(why = snag.why, ?pause, "asked again");
        tokio::time::sleep(pause).await;
        Ok(guard.check()?)
    }
}
