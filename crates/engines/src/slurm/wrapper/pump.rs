//! The task's output, from its pipes to files: on a thread of its own, because files on a shared
//! file system may take their time, and nothing else may wait for them.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{Receiver, channel};

use dayan_units::Span;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read};

use crate::logs::LogWriter;

/// Bytes read at once: a pipe's usual size.
const READ_BYTES: usize = 64 << 10;
/// How long the last output may take to be written once nobody writes any more. A file system that
/// stands still this long loses the rest; the task's end is worth more.
const LAST_WITHIN: Span = Span::from_secs(10);

/// A thread that reads until both streams are closed.
pub(super) struct Pump {
    done: Receiver<()>,
}

impl Pump {
    pub(super) fn start(streams: [(OwnedFd, LogWriter); 2]) -> io::Result<Self> {
        let (say, done) = channel();
        let work = move || {
            pump(streams.into());
            // Nobody may be left to hear it.
            let _ = say.send(());
        };
        std::thread::Builder::new().name("pump".to_owned()).spawn(work)?;
        Ok(Self { done })
    }

    /// Waits until everything is written, within a limit.
    pub(super) fn finish(self) {
        let _ = self.done.recv_timeout(LAST_WITHIN.to_std());
    }
}

fn pump(mut open: Vec<(OwnedFd, LogWriter)>) {
    let mut scratch = vec![0u8; READ_BYTES];
    while !open.is_empty() {
        let mut fds: Vec<PollFd<'_>> =
            open.iter().map(|(fd, _)| PollFd::new(fd, PollFlags::IN)).collect();
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        open.retain_mut(|(fd, log)| {
            if !ready.next().unwrap_or(false) {
                return true;
            }
            match read(&*fd, &mut scratch) {
                Ok(n @ 1..) => {
                    log.write(&scratch[..n]);
                    true
                }
                Err(Errno::AGAIN | Errno::INTR) => true,
                Ok(_) | Err(_) => false,
            }
        });
    }
}
