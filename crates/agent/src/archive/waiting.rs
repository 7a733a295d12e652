//! Frames that found no room on the disk: they wait in memory, where they can be read and handed over as well.
//!
//! What runs on this machine has filled its disk, and its folder goes as soon as its logs are kept, so room comes
//! soon as a rule. Invariant: never more than [`WAITING_BYTES_MAX`]; what an agent that is killed held here is lost.

use std::collections::VecDeque;
use std::io;

use dayan_wire::logs::LogFrame;

use super::{Parcel, Upto, stream_of};
use crate::runner::LogPart;

/// Packed: the last words of thousands of tasks, or all of some that wrote much.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// What a frame takes besides its bytes, about.
const FRAME_BYTES: usize = 256;

/// In the order in which they are to be written down.
#[derive(Default)]
pub(super) struct Waiting {
    frames: VecDeque<(LogFrame, Vec<u8>)>,
    bytes: usize,
    /// The number of the first of them: each gets the next number.
    first: u64,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn push(&mut self, frame: LogFrame, packed: Vec<u8>) -> io::Result<()> {
        let bytes = packed.len() + FRAME_BYTES;
        if self.bytes + bytes > WAITING_BYTES_MAX {
            let why = "the disk is full, and so is what waits for room on it";
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        self.bytes += bytes;
        self.frames.push_back((frame, packed));
        Ok(())
    }

    /// Takes the first out.
    pub(super) fn take(&mut self) -> Option<(LogFrame, Vec<u8>)> {
        let taken = self.frames.pop_front()?;
        self.bytes -= taken.1.len() + FRAME_BYTES;
        self.first += 1;
        Some(taken)
    }

    /// There was no room for what was taken out last.
    pub(super) fn put_back(&mut self, frame: LogFrame, packed: Vec<u8>) {
        self.bytes += packed.len() + FRAME_BYTES;
        self.first -= 1;
        self.frames.push_front((frame, packed));
    }

    /// The frame with the first byte that is asked for, or the next one kept.
    pub(super) fn find(&self, part: LogPart) -> Option<&(LogFrame, Vec<u8>)> {
        self.frames.iter().find(|(frame, _)| {
            frame.attempt == part.attempt
                && frame.stream.map(stream_of) == Some(part.stream)
                && frame.offset + frame.length > part.offset
        })
    }

    /// The first frames, as many as are to be handed over at once; none where none wait.
    pub(super) fn parcel(&self, bytes_max: u64) -> Option<Parcel> {
        let (mut frames, mut upto) = (Vec::new(), self.first);
        for (frame, packed) in &self.frames {
            if !frames.is_empty() && (frames.len() + packed.len()) as u64 > bytes_max {
                break;
            }
            frame.write(packed, &mut frames);
            upto += 1;
        }
        (upto > self.first).then_some(Parcel { frames, upto: Upto::Memory(upto) })
    }

    /// Those below this number were taken. Some may have been written down meanwhile: they are handed over again,
    /// and kept once.
    pub(super) fn handed_over(&mut self, number: u64) {
        while self.first < number && self.take().is_some() {}
    }
}
