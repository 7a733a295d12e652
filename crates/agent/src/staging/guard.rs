//! Until when copying for an attempt may go on. Shared between the main loop, which extends and
//! cancels, and the thread that copies, which looks before each file.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dayan_units::BootTime;

use super::keeping::{PUBLISHED_WITHIN, now};

/// The end of an attempt's lease as far as copying is concerned, and of the time that all of it may take.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    end: Arc<AtomicI64>,
    limit: i64,
}

const CANCELLED: i64 = i64::MIN;

impl Guard {
    /// Until then; without an end where only the fence of an earlier process knows one.
    pub(crate) fn until(end: Option<BootTime>) -> Self {
        let end = Arc::new(AtomicI64::new(end.map_or(i64::MAX, |end| end.0)));
        Self { end, limit: i64::MAX }
    }
    /// The same, and not after `limit`, however often the lease is renewed.
    pub(crate) fn within(&self, limit: BootTime) -> Self {
        Self { end: Arc::clone(&self.end), limit: self.limit.min(limit.0) }
    }
    /// The lease was renewed. What was cancelled stays so.
    pub(crate) fn extend(&self, end: BootTime) {
        let later = |now| (now != CANCELLED).then_some(end.0);
        // The only failure is that it was cancelled.
        let _ = self.end.fetch_update(Ordering::AcqRel, Ordering::Acquire, later);
    }
    /// It may not go on.
    pub(crate) fn cancel(&self) {
        self.end.store(CANCELLED, Ordering::Release);
    }
    /// May it go on?
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_at(now())
    }
    /// The same for a moment.
    fn check_at(&self, now: BootTime) -> Result<(), String> {
        match self.end.load(Ordering::Acquire) {
            CANCELLED => Err("it was stopped meanwhile".to_owned()),
            end if end <= now.0 => Err("its lease is over".to_owned()),
            _ if self.limit <= now.0 => {
                Err(format!("it took longer than the {PUBLISHED_WITHIN} that all of it may take"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::Span;

    #[test]
    fn a_renewed_lease_does_not_move_the_limit_of_all() {
        let at = |secs: i64| BootTime(0).plus(Span::from_secs(secs));
        let lease = Guard::until(Some(at(10)));
        let all = lease.within(at(20));
        assert!(all.check_at(at(9)).is_ok());
        assert!(all.check_at(at(10)).expect_err("over").contains("lease"));
        lease.extend(at(30));
        assert!(all.check_at(at(19)).is_ok(), "it is the same lease");
        assert!(all.check_at(at(20)).expect_err("over").contains("all of it"));
        assert!(lease.check_at(at(20)).is_ok());
        all.cancel();
        assert!(lease.check_at(at(1)).expect_err("cancelled").contains("stopped"));
    }
}
