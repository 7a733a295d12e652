//! A bell: lets another thread end a wait. An eventfd, so that a wait on sockets can include it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use dayan_units::Span;

/// Ends a waiting [`observe`](crate::Engine::observe). Cheap to clone; rung while nobody waits,
/// it ends the next wait at once.
#[derive(Clone, Debug)]
pub struct Waker {
    bell: Arc<OwnedFd>,
}

impl Waker {
    /// A bell nobody has rung.
    pub fn new() -> io::Result<Self> {
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { bell: Arc::new(bell) })
    }

    /// Ends the wait.
    pub fn wake(&self) {
        // The only failure is a counter at its limit, and then the bell rings already.
        let _ = rustix::io::write(&*self.bell, &1u64.to_ne_bytes());
    }

    /// Takes note of the ring; true if there was one.
    pub(crate) fn quiet(&self) -> bool {
        let mut count = [0u8; 8];
        rustix::io::read(&*self.bell, &mut count).is_ok()
    }

    /// Waits until the bell rings or the time is up; true if it rang.
    pub fn wait(&self, wait: Span) -> bool {
        let mut fds = [PollFd::new(&*self.bell, PollFlags::IN)];
        let limit = timespec(wait);
        let _ = poll(&mut fds, Some(&limit));
        self.quiet()
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// A span as the kernel wants it; a negative one is none.
pub(crate) fn timespec(span: Span) -> Timespec {
    let micros = span.micros().max(0);
    Timespec { tv_sec: micros / 1_000_000, tv_nsec: micros % 1_000_000 * 1_000 }
}
