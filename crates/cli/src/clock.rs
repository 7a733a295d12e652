//! The one place of the command line that reads a clock.

use jiff::Timestamp;

/// The time now, by this machine.
pub fn now() -> Timestamp {
    Timestamp::now()
}
