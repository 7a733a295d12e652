//! What agent and keeper say to each other over the socket: JSON in frames with a length before.
//!
//! Invariant: the first frame of a connection is a greeting with the version, and its form never
//! changes, so that two versions can at least tell each other apart. A frame has a limit; what is
//! longer or cannot be read ends that connection and nothing else. JSON costs some microseconds a
//! task, a hundredth of starting a process, and can be read by a person.

use dayan_units::{AttemptId, Span};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{BootId, Features, Launch, LeaseEnd, Observation, Signal, StartFault};

/// The version both must speak.
pub(crate) const PROTOCOL: u32 = 1;

/// Largest frame: 64 launches with the largest environment Linux passes on (128 KiB a string)
/// fit, and a keeper stays small if someone sends nonsense.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;

/// Largest frame before the greeting was read.
pub(crate) const GREETING_BYTES_MAX: usize = 1 << 10;

/// Launches in one frame: at the 64 KiB an ordinary environment may have they fit a frame twice.
pub(crate) const LAUNCHES_PER_FRAME_MAX: usize = 128;

/// What an agent asks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// The greeting.
    Hello {
        protocol: u32,
    },
    Start {
        serial: u64,
        launches: Vec<Launch>,
    },
    Extend {
        serial: u64,
        leases: Vec<(AttemptId, LeaseEnd)>,
    },
    Stop {
        serial: u64,
        attempt: AttemptId,
        grace: Span,
        signal: Signal,
    },
    Signal {
        serial: u64,
        attempt: AttemptId,
        signal: Signal,
    },
    Forget {
        serial: u64,
        attempts: Vec<AttemptId>,
    },
    List {
        serial: u64,
    },
}

/// What a keeper says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// Answers the greeting; `features` only if the versions are the same.
    Welcome {
        protocol: u32,
        boot: BootId,
        features: Option<Features>,
    },
    Started {
        serial: u64,
        results: Vec<Result<(), StartFault>>,
    },
    Done {
        serial: u64,
    },
    Listed {
        serial: u64,
        observations: Vec<Observation>,
    },
    /// Unasked: what changed.
    Changed {
        observations: Vec<Observation>,
    },
}

/// A frame that cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("a frame of {0} bytes is longer than allowed")]
    TooLong(usize),
    #[error("a frame that makes no sense: {0}")]
    Nonsense(#[from] serde_json::Error),
}

/// A message with its length before it.
pub(crate) fn frame(message: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *out, message).expect("messages hold only text keys");
    let length = u32::try_from(out.len() - start - 4).expect("messages are cut to frames");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Bytes on their way to becoming frames.
#[derive(Default)]
pub(crate) struct Incoming {
    bytes: Vec<u8>,
    taken: usize,
}

impl Incoming {
    /// Takes what came in.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.taken == self.bytes.len() {
            self.bytes.clear();
            self.taken = 0;
        } else if self.taken > FRAME_BYTES_MAX {
            self.bytes.drain(..self.taken);
            self.taken = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame, if it is there.
    pub(crate) fn next<T: DeserializeOwned>(&mut self, max: usize) -> Result<Option<T>, BadFrame> {
        let rest = &self.bytes[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > max {
            return Err(BadFrame::TooLong(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = serde_json::from_slice(body)?;
        self.taken += 4 + length;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_cutting(serials in prop::collection::vec(any::<u64>(), 0..20), cut in 1usize..50) {
            let mut bytes = Vec::new();
            for serial in &serials {
                frame(&Request::List { serial: *serial }, &mut bytes);
            }
            let mut incoming = Incoming::default();
            let mut read = Vec::new();
            for piece in bytes.chunks(cut) {
                incoming.push(piece);
                while let Some(request) = incoming.next(FRAME_BYTES_MAX).expect("well-formed") {
                    let Request::List { serial } = request else { panic!("another request") };
                    read.push(serial);
                }
            }
            prop_assert_eq!(read, serials);
        }

        #[test]
        fn nonsense_is_refused_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut incoming = Incoming::default();
            incoming.push(&bytes);
            while let Ok(Some(_)) = incoming.next::<Request>(GREETING_BYTES_MAX) {}
        }
    }

    #[test]
    fn a_frame_has_a_limit() {
        let mut incoming = Incoming::default();
        incoming.push(b"GET / HTTP/1.1\r\n");
        assert!(matches!(incoming.next::<Request>(FRAME_BYTES_MAX), Err(BadFrame::TooLong(_))));
    }
}
