//! What a container writes, taken once, whoever dies meanwhile.
//!
//! It is listened to from before the container starts. Should the service go away, what it keeps of
//! the output is read from the beginning instead, and what was taken before is passed over by
//! counting. Invariant: no byte is taken twice. The service keeps 64 MiB of a container's output; of one
//! that wrote more before the service died, what was written meanwhile is lost, and nothing else.

use bollard::container::LogOutput;
use futures_util::StreamExt;

use super::api::{Follow, Output, Service, Trouble};
use crate::logs::LogWriter;

/// Where the bytes come from.
pub(super) struct Source {
    output: Output,
    /// Bytes seen of each stream since its beginning; none: what comes is new.
    seen: Option<[u64; 2]>,
    /// It was cut off.
    cut: bool,
}

/// A piece of one stream.
pub(super) struct Piece {
    stream: usize,
    bytes: Vec<u8>,
    /// Where it begins, where that is known.
    offset: Option<u64>,
}

impl Source {
    /// What comes from now on, of a container that has not been started.
    pub(super) async fn listen(service: &Service, name: &str) -> Result<Self, Trouble> {
        Ok(Self { output: service.attach(name).await?, seen: None, cut: false })
    }

    /// All of it, from the beginning.
    pub(super) fn from_start(
        service: &Service,
        name: &str,
        follow: Follow,
    ) -> Result<Self, Trouble> {
        Ok(Self { output: service.written(name, follow)?, seen: Some([0; 2]), cut: false })
    }

    /// How much there is of each stream, as far as it was read to its end from the beginning.
    pub(super) fn all(&self) -> Option<[u64; 2]> {
        self.seen.filter(|_| !self.cut)
    }

    /// Was it cut off before its end, by the service or with it?
    pub(super) const fn is_cut(&self) -> bool {
        self.cut
    }

    /// The next piece; none: there is no more, or the service is gone.
    pub(super) async fn next(&mut self) -> Option<Piece> {
        loop {
            let (stream, message) = match self.output.next().await? {
                Ok(LogOutput::StdOut { message }) => (0, message),
                Ok(LogOutput::StdErr { message }) => (1, message),
                // Half of a frame, where the service died in the middle of it.
                Ok(LogOutput::StdIn { .. } | LogOutput::Console { .. }) => continue,
                Err(_) => {
                    self.cut = true;
                    return None;
                }
            };
            let offset = self.seen.as_mut().map(|seen| {
                let offset = seen[stream];
                seen[stream] += message.len() as u64;
                offset
            });
            return Some(Piece { stream, bytes: message.to_vec(), offset });
        }
    }
}

impl Piece {
    /// Brings it to its log, but for what is there. `before` says how much of each stream other
    /// containers wrote before this one.
    pub(super) fn write(&self, logs: &mut [LogWriter], before: [u64; 2]) {
        let Some(log) = logs.get_mut(self.stream) else { return };
        let before = before[self.stream];
        let there = self.offset.map_or(0, |offset| log.written().saturating_sub(before + offset));
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        if let Some(fresh) = self.bytes.get(there..) {
            log.write(fresh);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Stream;
    use dayan_units::Bytes;

    #[test]
    fn what_is_there_is_passed_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let log = |stream| LogWriter::new(dir.path().to_owned(), stream, Bytes(0));
        let mut logs = [log(Stream::Stdout), log(Stream::Stderr)];
        let piece = |stream, bytes: &str, offset| Piece {
            stream,
            bytes: bytes.as_bytes().to_vec(),
            offset,
        };
        piece(0, "abc", None).write(&mut logs, [0; 2]);
        piece(1, "err", None).write(&mut logs, [0; 2]);
        piece(0, "ab", Some(0)).write(&mut logs, [0; 2]);
        piece(0, "cde", Some(2)).write(&mut logs, [0; 2]);
        piece(0, "f", Some(5)).write(&mut logs, [0; 2]);
        let read = |stream| crate::logs::read(dir.path(), stream, 0, 100).expect("reads").data;
        assert_eq!(read(Stream::Stdout), b"abcdef");
        assert_eq!(read(Stream::Stderr), b"err");
        // Of the next container, whose own output begins at 0.
        piece(0, "gh", Some(0)).write(&mut logs, [6, 3]);
        piece(0, "hi", Some(1)).write(&mut logs, [6, 3]);
        assert_eq!(read(Stream::Stdout), b"abcdefghi");
    }
}
