//! The only place of this room that reads clocks.
//!
//! Leases and limits are counted on CLOCK_BOOTTIME together with the boot id; the wall clock only
//! dates what people read.

use std::io;

use dayan_units::Time;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::{BootId, BootTime};

fn micros(time: Timespec) -> i64 {
    time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000)
}

/// The wall clock.
pub fn wall_now() -> Time {
    Time::from_micros(micros(clock_gettime(ClockId::Realtime)))
}

/// The boot clock of this machine: which boot, and how long since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootClock {
    boot: BootId,
}

impl BootClock {
    /// Reads which boot this is.
    pub fn of_this_machine() -> io::Result<Self> {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let boot = text.parse().map_err(io::Error::other)?;
        Ok(Self { boot })
    }
    /// Which boot this is.
    pub const fn boot(&self) -> BootId {
        self.boot
    }
    /// Time since the machine started, suspended time included.
    pub fn now(&self) -> BootTime {
        BootTime::from_micros(micros(clock_gettime(ClockId::Boottime)))
    }
}
