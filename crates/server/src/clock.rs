//! Exchange time: the last journalled time plus what has passed on a clock that runs through
//! suspend. A jump of the wall clock, either way, expires nothing.

use std::sync::{Arc, RwLock};

use dayan_units::{Span, Time};
use rustix::time::{ClockId, clock_gettime};

fn read(id: ClockId) -> i64 {
    let now = clock_gettime(id);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

/// The wall clock: asked once, when the exchange starts.
#[expect(clippy::disallowed_methods, reason = "the one place where the server asks for it")]
pub fn wall() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    // A machine that believes to be before 1970 has no time worth using.
    let micros = since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
    Time::from_micros(micros)
}

/// Microseconds on CLOCK_BOOTTIME.
pub fn boot_micros() -> i64 {
    read(ClockId::Boottime)
}

/// The clock of a running exchange. Never goes back.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeClock {
    base: Time,
    boot: i64,
}

impl ExchangeClock {
    /// Starts at the wall clock, or at the last journalled time where that is later: a clock that
    /// was set back while the exchange was down must not take time back.
    pub fn start(last_journalled: Time) -> Self {
        Self { base: wall().max(last_journalled), boot: boot_micros() }
    }

    /// Goes on after a reload: from now, but never before what was journalled.
    pub fn resume(self, last_journalled: Time) -> Self {
        Self { base: self.now().max(last_journalled), boot: boot_micros() }
    }

    /// Exchange time.
    pub fn now(&self) -> Time {
        self.base.plus(Span::from_micros(boot_micros() - self.boot))
    }
}

/// The exchange's clock as several threads read it; only the writer sets it.
#[derive(Clone, Debug)]
pub struct SharedClock(Arc<RwLock<ExchangeClock>>);

impl SharedClock {
    /// Before the state is known.
    pub fn unset() -> Self {
        Self(Arc::new(RwLock::new(ExchangeClock::start(Time::EPOCH))))
    }
    /// Exchange time.
    pub fn now(&self) -> Time {
        self.0.read().expect("nobody panics while holding it").now()
    }
    /// Starts from here.
    pub fn set(&self, clock: ExchangeClock) {
        *self.0.write().expect("nobody panics while holding it") = clock;
    }
    /// Goes on after the state was read back.
    pub fn resume(&self, last_journalled: Time) {
        let mut clock = self.0.write().expect("nobody panics while holding it");
        *clock = clock.resume(last_journalled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_starts_no_earlier_than_what_is_journalled() {
        let future = wall().plus(Span::from_secs(3_600));
        assert!(ExchangeClock::start(future).now() >= future);
        let clock = ExchangeClock::start(Time::EPOCH);
        let first = clock.now();
        assert!(clock.now() >= first);
        assert!(clock.resume(future).now() >= future);
    }
}
