//! The form in which a snapshot is stored, the same in a file and in rows:
//!
//! ```text
//! "DAYANSNP" · format u32 · encoding u32 · seq u64 · hash of journal row seq, 32 bytes
//! deflate stream of the state
//! length of the state u64 · SHA-256 over everything before, 32 bytes
//! ```
//! Numbers are big-endian. The checksum is compared before anything is unpacked.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use sha2::{Digest, Sha256};

use crate::fault::Cause;
use crate::journal::ChainHash;

use super::SnapshotWritten;

const MAGIC: &[u8; 8] = b"DAYANSNP";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 8 + 4 + 4 + 8 + 32;
const CHECKSUM_BYTES: usize = 32;
const TRAILER_BYTES: usize = 8 + CHECKSUM_BYTES;
/// Level 1: state as JSON shrinks to about a seventh; higher levels cost several times the
/// processor for a few per cent.
const LEVEL: u32 = 1;

/// What a snapshot says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) seq: u64,
    pub(crate) encoding: u32,
    pub(crate) hash: ChainHash,
}

/// Hashes and counts what passes.
struct Tally<W> {
    sink: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Tally<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Counts what passes.
struct Counted<'a, W> {
    sink: &'a mut W,
    bytes: u64,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Writes a whole snapshot to `sink`.
pub(crate) fn encode(
    header: &Header,
    fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    sink: impl Write,
) -> io::Result<SnapshotWritten> {
    let mut tally = Tally { sink, hasher: Sha256::new(), bytes: 0 };
    tally.write_all(MAGIC)?;
    tally.write_all(&FORMAT.to_be_bytes())?;
    tally.write_all(&header.encoding.to_be_bytes())?;
    tally.write_all(&header.seq.to_be_bytes())?;
    tally.write_all(&header.hash.0)?;
    let mut deflate = DeflateEncoder::new(&mut tally, Compression::new(LEVEL));
    let mut counted = Counted { sink: &mut deflate, bytes: 0 };
    fill(&mut counted)?;
    let bytes = counted.bytes;
    deflate.finish()?;
    tally.write_all(&bytes.to_be_bytes())?;
    let checksum: [u8; CHECKSUM_BYTES] = tally.hasher.finalize().into();
    tally.sink.write_all(&checksum)?;
    tally.sink.flush()?;
    let stored = tally.bytes + CHECKSUM_BYTES as u64;
    Ok(SnapshotWritten { seq: header.seq, bytes, stored })
}

/// Reads a whole snapshot, or says what is wrong with it.
pub(crate) fn decode(stored: &[u8]) -> Result<(Header, Vec<u8>), Cause> {
    let bad = |why: &str| Cause::Content(format!("the snapshot {why}"));
    if stored.len() < HEADER_BYTES + TRAILER_BYTES {
        return Err(bad("is cut short"));
    }
    let (content, checksum) = stored.split_at(stored.len() - CHECKSUM_BYTES);
    if Sha256::digest(content).as_slice() != checksum {
        return Err(bad("does not match its checksum"));
    }
    let (head, rest) = content.split_at(HEADER_BYTES);
    let (packed, length) = rest.split_at(rest.len() - 8);
    if &head[..8] != MAGIC {
        return Err(bad("is none"));
    }
    if number::<4>(&head[8..12]) != u64::from(FORMAT) {
        return Err(bad("has a format this program does not know"));
    }
    let encoding = u32::try_from(number::<4>(&head[12..16])).expect("four bytes");
    let hash = ChainHash(head[24..].try_into().expect("the header ends with 32 bytes"));
    let header = Header { seq: number::<8>(&head[16..24]), encoding, hash };
    let length = usize::try_from(number::<8>(length)).map_err(|_| bad("is too large"))?;
    let mut bytes = Vec::with_capacity(length);
    DeflateDecoder::new(packed).read_to_end(&mut bytes)?;
    if bytes.len() != length {
        return Err(bad("does not have the length it names"));
    }
    Ok((header, bytes))
}

/// A big-endian number of `N` bytes.
fn number<const N: usize>(bytes: &[u8]) -> u64 {
    assert_eq!(bytes.len(), N, "the field was cut to its length");
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(state: &[u8]) -> (Header, Vec<u8>) {
        let header = Header { seq: 7, encoding: 3, hash: ChainHash([9; 32]) };
        let mut sink = Vec::new();
        let written = encode(&header, &mut |out| out.write_all(state), &mut sink).unwrap();
        assert_eq!((written.bytes, written.stored), (state.len() as u64, sink.len() as u64));
        (header, sink)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(state in proptest::collection::vec(any::<u8>(), 0..5_000)) {
            let (header, stored) = stored(&state);
            prop_assert_eq!(decode(&stored).unwrap(), (header, state));
        }

        #[test]
        fn no_damage_goes_unseen(
            state in proptest::collection::vec(any::<u8>(), 0..200),
            at: prop::sample::Index,
            flip in 1u8..,
            cut: bool,
        ) {
            let (_, mut stored) = stored(&state);
            let at = at.index(stored.len());
            if cut { stored.truncate(at); } else { stored[at] ^= flip; }
            prop_assert!(decode(&stored).is_err());
        }
    }
}
