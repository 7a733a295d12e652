//! The one place where the measuring kernels read a clock.

use dayan_units::Span;

/// Time since a start, on the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(std::time::Instant);

impl Stopwatch {
    /// Starts.
    #[expect(clippy::disallowed_methods, reason = "measuring durations is what this module is for")]
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }
    /// Seconds since the start.
    pub(crate) fn seconds(self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
    /// The same in whole microseconds.
    pub(crate) fn span(self) -> Span {
        Span::from_micros(i64::try_from(self.0.elapsed().as_micros()).unwrap_or(i64::MAX))
    }
}
