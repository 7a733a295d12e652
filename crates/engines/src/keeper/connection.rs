//! One connection to the keeper's socket.
//!
//! Invariant: nothing is asked of the keeper over a connection that has not greeted in its
//! version, nor by another user. What cannot be read closes this connection and disturbs nobody.
//! Nothing waits: what the other side does not take is kept, and it is given no more until then.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use rustix::net::sockopt::socket_peercred;

use crate::protocol::{
    BadFrame, FRAME_BYTES_MAX, GREETING_BYTES_MAX, Incoming, Message, PROTOCOL, Request, frame,
};

/// Why a connection is closed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Closed {
    #[error("the other side is gone")]
    Gone,
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Bad(#[from] BadFrame),
    #[error("it did not greet first")]
    NoGreeting,
    #[error("it speaks protocol {0}")]
    Version(u32),
}

/// Who connected.
pub(crate) struct Connection {
    stream: UnixStream,
    incoming: Incoming,
    outgoing: Vec<u8>,
    sent: usize,
    /// Has it greeted in our version?
    pub greeted: bool,
    /// Does epoll watch for room to write?
    pub waits_to_write: bool,
}

impl Connection {
    /// Takes a connection of the same user; anybody else's is refused.
    pub(crate) fn accept(stream: UnixStream) -> io::Result<Self> {
        let peer = socket_peercred(&stream)?;
        if peer.uid != rustix::process::geteuid() {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another user's process"));
        }
        stream.set_nonblocking(true)?;
        Ok(Self {
            stream,
            incoming: Incoming::default(),
            outgoing: Vec::new(),
            sent: 0,
            greeted: false,
            waits_to_write: false,
        })
    }

    /// Reads what is there.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> Result<(), Closed> {
        // A megabyte at most in one go, so that a flood of requests does not keep the keeper
        // from its deadlines.
        for _ in 0..16 {
            match self.stream.read(scratch) {
                Ok(0) => return Err(Closed::Gone),
                Ok(n) => self.incoming.push(&scratch[..n]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The next request. The greeting is seen to here; `Ok(None)`: nothing whole is there.
    pub(crate) fn next(&mut self) -> Result<Option<Request>, Closed> {
        let max = if self.greeted { FRAME_BYTES_MAX } else { GREETING_BYTES_MAX };
        match self.incoming.next(max)? {
            None => Ok(None),
            Some(Request::Hello { protocol: PROTOCOL }) => {
                self.greeted = true;
                Ok(Some(Request::Hello { protocol: PROTOCOL }))
            }
            Some(Request::Hello { protocol }) => Err(Closed::Version(protocol)),
            Some(_) if !self.greeted => Err(Closed::NoGreeting),
            Some(request) => Ok(Some(request)),
        }
    }

    /// Puts a message on its way.
    pub(crate) fn send(&mut self, message: &Message) {
        frame(message, &mut self.outgoing);
    }

    /// Has the other side taken everything?
    pub(crate) fn is_idle(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Writes what goes without waiting.
    pub(crate) fn flush(&mut self) -> Result<(), Closed> {
        while self.sent < self.outgoing.len() {
            match self.stream.write(&self.outgoing[self.sent..]) {
                Ok(0) => return Err(Closed::Gone),
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.outgoing.clear();
        self.sent = 0;
        Ok(())
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
