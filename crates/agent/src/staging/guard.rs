//! Until when copying for an attempt may go on. Shared between the main loop, which extends and
//! cancels, and the thread that copies, which looks before each file.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dayan_units::BootTime;
use rustix::time::{ClockId, clock_gettime};

/// The end of an attempt's lease as far as copying is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Guard(Arc<AtomicI64>);

const CANCELLED: i64 = i64::MIN;

impl Guard {
    /// Until then; without an end where only the fence of an earlier process knows one.
    pub(crate) fn until(end: Option<BootTime>) -> Self {
        Self(Arc::new(AtomicI64::new(end.map_or(i64::MAX, |end| end.0))))
    }
    /// The lease was renewed. What was cancelled stays so.
    pub(crate) fn extend(&self, end: BootTime) {
        let later = |now| (now != CANCELLED).then_some(end.0);
        // The only failure is that it was cancelled.
        let _ = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }
    /// It may not go on.
    pub(crate) fn cancel(&self) {
        self.0.store(CANCELLED, Ordering::Release);
    }
    /// May it go on?
    pub(crate) fn check(&self) -> Result<(), String> {
        let time = clock_gettime(ClockId::Boottime);
        let now = time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000);
        match self.0.load(Ordering::Acquire) {
            CANCELLED => Err("it was stopped meanwhile".to_owned()),
            end if end <= now => Err("its lease is over".to_owned()),
            _ => Ok(()),
        }
    }
}
