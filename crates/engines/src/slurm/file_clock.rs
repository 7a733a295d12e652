//! One clock for the agent and all nodes: that of the file server.
//!
//! A lease ends on the agent's boot clock, which means nothing on another machine, and the wall
//! clocks of a cluster may be minutes apart. What all of them share is the file system: the time
//! at which it says that a file was changed is the server's own. Each side relates its boot clock
//! to that, once, with an error that is on the safe side: the agent's reckoning is early, the
//! wrapper's late. A file server whose clock is set moves leases by as much; nothing else does.

use std::fs::File;
use std::io;

use dayan_units::Span;
use rustix::fs::{Timespec, Timestamps, UTIME_NOW, fstat, futimens};
use serde::{Deserialize, Serialize};

use crate::{BootClock, BootTime};

/// How far the time of a change may lie behind the moment of the change: local file systems date
/// by the kernel's tick, 10 ms at the slowest.
const TICK: Span = Span::from_millis(10);

/// A moment on the file server's clock, in microseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct FileTime(pub i64);

/// How a boot clock stands to the file server's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FileClock {
    shown: FileTime,
    /// The boot clock before and after the file was changed.
    before: BootTime,
    after: BootTime,
}

impl FileClock {
    /// Changes the file and looks at what time the server gave to it.
    pub(crate) fn read(file: &File, clock: BootClock) -> io::Result<Self> {
        let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
        let before = clock.now();
        futimens(file, &Timestamps { last_access: now, last_modification: now })?;
        let stat = fstat(file)?;
        let after = clock.now();
        let nanos = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
        let shown = FileTime(stat.st_mtime.saturating_mul(1_000_000).saturating_add(nanos / 1_000));
        Ok(Self { shown, before, after })
    }

    /// A moment of this machine on the server's clock, or somewhat earlier.
    pub(crate) fn early(&self, moment: BootTime) -> FileTime {
        FileTime(self.shown.0.saturating_add(moment.since(self.after).micros()))
    }

    /// A moment of the server's clock on this machine's, or somewhat earlier: who goes by it stops
    /// in time.
    pub(crate) fn here(&self, moment: FileTime) -> BootTime {
        let since = Span::from_micros(moment.0.saturating_sub(self.shown.0));
        self.before.plus(since.minus(TICK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_early_rather_than_late_on_the_other_side() {
        let file = tempfile::tempfile().expect("a file");
        let clock = BootClock::of_this_machine().expect("a boot id");
        let agent = FileClock::read(&file, clock).expect("reads");
        let node = FileClock::read(&file, clock).expect("reads");
        let end = clock.now().plus(Span::from_secs(10));
        let there = node.here(agent.early(end));
        assert!(there <= end, "{there:?} is after {end:?}");
        assert!(end.since(there) < Span::from_secs(5), "{there:?} is far before {end:?}");
    }
}
