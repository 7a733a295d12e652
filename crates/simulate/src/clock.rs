//! A machine's clock as the simulation sees it: it counts from the machine's start, runs through
//! sleep, and runs a little faster or slower than the exchange's.

use dayan_units::{BootTime, Span, Time};

const MILLION: i128 = 1_000_000;

/// A clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MachineClock {
    started: Time,
    drift_ppm: i64,
}

impl MachineClock {
    pub(crate) const fn started(at: Time, drift_ppm: i64) -> Self {
        Self { started: at, drift_ppm }
    }

    /// The machine starts anew: so does its clock.
    pub(crate) const fn restart(&mut self, at: Time) {
        self.started = at;
    }

    /// What it shows at a moment.
    pub(crate) fn shows(&self, at: Time) -> BootTime {
        let micros = i128::from(at.since(self.started).micros());
        BootTime(narrow(micros * (MILLION + i128::from(self.drift_ppm)) / MILLION))
    }

    /// The first moment at which it shows at least that, or the microsecond after it.
    pub(crate) fn when(&self, shows: BootTime) -> Time {
        let rate = MILLION + i128::from(self.drift_ppm);
        self.started.plus(Span::from_micros(narrow(i128::from(shows.0) * MILLION / rate + 1)))
    }
}

fn narrow(micros: i128) -> i64 {
    i64::try_from(micros).expect("a world lasts days")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_is_not_before_what_is_shown_and_hardly_after() {
        for drift in [-500, -1, 0, 3, 500] {
            let clock = MachineClock::started(Time::from_micros(1_000_000_000), drift);
            for micros in [0, 1, 999_999, 1_000_000, 59_123_456, 86_400_000_000] {
                let at = clock.when(BootTime(micros));
                let shown = clock.shows(at);
                assert!(shown >= BootTime(micros), "{drift} {micros}");
                assert!(shown.0 - micros < 3, "{drift} {micros}: {shown:?}");
            }
        }
    }
}
