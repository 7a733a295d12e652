//! Hearing of kills for want of memory in a cgroup of the older kind (cgroup v1), which goes with its
//! container and takes its count along: whoever looks now and then would miss the last ones.
//!
//! Invariant: that the cgroup goes, for which the kernel rings as well, is never taken for a kill. It rings for
//! a cgroup above that was full, too: whether its own was is for others to see, as is what follows.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

/// How long the kernel may take to ring for a cgroup that is gone: it does so behind other work.
const RINGS_WITHIN: Duration = Duration::from_millis(100);

/// A bell on a container's own cgroup.
#[derive(Debug)]
pub(super) struct Bell {
    rings: OwnedFd,
    control: PathBuf,
}

impl Bell {
    /// On the cgroup of that folder of the tree of the memory controller; none where that is not ours
    /// to do.
    pub(super) fn hang(folder: &Path) -> Option<Self> {
        let control = folder.join("cgroup.event_control");
        let watched = File::open(folder.join("memory.oom_control")).ok()?;
        let rings = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).ok()?;
        let words = format!("{} {}", rings.as_raw_fd(), watched.as_raw_fd());
        let opened = OpenOptions::new().write(true).open(&control);
        if let Err(error) = opened.and_then(|mut file| file.write_all(words.as_bytes())) {
            tracing::debug!(%error, control = %control.display(), "nobody rings for kills there");
            return None;
        }
        Some(Self { rings, control })
    }

    /// Was something in it killed for want of memory? Asked once all of it has ended.
    pub(super) async fn has_rung(&self) -> bool {
        let rings = self.count();
        match heard(rings, self.control.exists()) {
            Heard::Kill => true,
            Heard::Nothing => false,
            Heard::Either => {
                tokio::time::sleep(RINGS_WITHIN).await;
                self.count() > 0
            }
        }
    }

    /// How often it has rung since this was asked last.
    fn count(&self) -> u64 {
        let mut count = [0; 8];
        // Where it has not, there is nothing to read.
        rustix::io::read(&self.rings, &mut count).map_or(0, |_| u64::from_ne_bytes(count))
    }
}

/// What rings mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Heard {
    Nothing,
    Kill,
    /// A kill, or that the cgroup is gone; in the first case it rings once more for the second.
    Either,
}

const fn heard(rings: u64, is_there: bool) -> Heard {
    match (rings, is_there) {
        (0, _) => Heard::Nothing,
        (1, false) => Heard::Either,
        (_, _) => Heard::Kill,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cgroup_that_goes_rings_once_and_that_is_no_kill() {
        assert_eq!(heard(0, true), Heard::Nothing);
        assert_eq!(heard(0, false), Heard::Nothing);
        assert_eq!(heard(1, true), Heard::Kill);
        assert_eq!(heard(1, false), Heard::Either);
        assert_eq!(heard(2, false), Heard::Kill);
    }
}
