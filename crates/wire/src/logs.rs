//! How logs travel and lie: frames of packed bytes, each behind a line of JSON that says whose they
//! are.
//!
//! The agent's archive on disk and what it sends to the exchange have this one form, so that what
//! was written once is sent as it is. Invariant: nothing that is read back is larger than
//! [`FRAME_BYTES_MAX`], whatever the line claims.

use std::io::{self, Read, Write};

use dayan_units::{AttemptId, Time};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};

/// Bytes of a task's output in one frame: read and unpacked as a whole to show any part of it.
pub const FRAME_BYTES_MAX: usize = 256 << 10;

/// The line before a frame's bytes. In a file of an older agent a frame may be longer, and is not
/// packed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LogFrame {
    /// Whose output.
    pub attempt: AttemptId,
    /// `stdout`, `stderr`, `steps` or `outputs`; none: nothing follows, and all of the attempt has been said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<LogStream>,
    /// Where it begins in what the task wrote.
    #[serde(default)]
    pub offset: u64,
    /// Bytes that the task wrote.
    #[serde(default)]
    pub length: u64,
    /// Bytes that follow; as many as the task wrote where packing would not have made them fewer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub packed: Option<u64>,
}

/// Which stream.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// What became of the steps of a task that has some: a line of JSON for each that ended, see
    /// [`StepRecord`].
    Steps,
    /// What a task that ended well has published: a line of JSON for each file, see [`OutputRecord`].
    Outputs,
}

impl LogStream {
    /// Its number in tables.
    pub const fn number(self) -> u8 {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
            Self::Steps => 2,
            Self::Outputs => 3,
        }
    }
    /// Its name in addresses.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Steps => "steps",
            Self::Outputs => "outputs",
        }
    }
    /// By its name in addresses.
    pub fn by_name(name: &str) -> Option<Self> {
        match name {
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            "steps" => Some(Self::Steps),
            "outputs" => Some(Self::Outputs),
            _ => None,
        }
    }
}

/// Bytes of an attempt's list of published files at most: some 30,000 files. What is beyond is counted.
pub const OUTPUTS_BYTES_MAX: usize = 4 << 20;

/// A file that an attempt has published.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct OutputRecord {
    /// Its path in the task's folder.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The address that it went to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub to: String,
    /// Its bytes.
    #[serde(default)]
    pub size: u64,
    /// In the last line: so many more files were published that are not in the list.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub left_out: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How a step ended, as the engine that ran it wrote it down. One that was written down twice
/// ended as the later line says.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its number, from 0.
    pub step: u32,
    /// When its container was started; none: it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it had ended.
    pub ended_at: Time,
    /// Its status, as a shell would show it.
    pub exit_code: i32,
    /// Where its standard output begins and ends in that of the whole attempt.
    pub stdout: [u64; 2],
    /// The same of its standard error.
    pub stderr: [u64; 2],
}

impl LogFrame {
    /// The frame of a piece of output, with the bytes to put behind its line.
    pub fn of(attempt: AttemptId, stream: LogStream, offset: u64, data: &[u8]) -> (Self, Vec<u8>) {
        let packed = pack(data);
        let frame = Self {
            attempt,
            stream: Some(stream),
            offset,
            length: data.len() as u64,
            packed: Some(packed.len() as u64),
        };
        (frame, packed)
    }

    /// The frame that says that all of an attempt has been said.
    pub const fn whole(attempt: AttemptId) -> Self {
        Self { attempt, stream: None, offset: 0, length: 0, packed: Some(0) }
    }

    /// How many bytes follow its line, before the line feed that ends it.
    pub fn follows(&self) -> u64 {
        self.packed.unwrap_or(self.length)
    }

    /// Appends the frame to what is to be written or sent.
    pub fn write(&self, bytes: &[u8], out: &mut Vec<u8>) {
        serde_json::to_writer(&mut *out, self).expect("texts and numbers become JSON");
        out.push(b'\n');
        out.extend_from_slice(bytes);
        out.push(b'\n');
    }
}

/// Why a text of frames is not one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BadFrames {
    /// A line is no frame's.
    Line,
    /// It ends in the middle of a frame.
    CutOff,
    /// A frame says that it holds more than it may.
    TooLarge,
}

/// The frames of a text, with what follows each.
pub fn frames(mut text: &[u8]) -> Result<Vec<(LogFrame, &[u8])>, BadFrames> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let end = text.iter().position(|byte| *byte == b'\n').ok_or(BadFrames::CutOff)?;
        let frame: LogFrame = serde_json::from_slice(&text[..end]).map_err(|_| BadFrames::Line)?;
        let follows = usize::try_from(frame.follows()).map_err(|_| BadFrames::TooLarge)?;
        if frame.length > FRAME_BYTES_MAX as u64 || follows > FRAME_BYTES_MAX {
            return Err(BadFrames::TooLarge);
        }
        let rest = &text[end + 1..];
        if rest.len() <= follows || rest[follows] != b'\n' {
            return Err(BadFrames::CutOff);
        }
        found.push((frame, &rest[..follows]));
        text = &rest[follows + 1..];
    }
    Ok(found)
}

/// Bytes for keeping: packed where that makes them fewer.
pub fn pack(data: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let packed = encoder.write_all(data).and_then(|()| encoder.finish());
    match packed {
        Ok(packed) if packed.len() < data.len() => packed,
        // Writing to memory does not fail; if it did, the bytes themselves are as good.
        Ok(_) | Err(_) => data.to_vec(),
    }
}

/// The `length` bytes that were packed.
pub fn unpack(packed: &[u8], length: u64) -> io::Result<Vec<u8>> {
    if packed.len() as u64 == length {
        return Ok(packed.to_vec());
    }
    let mut data = Vec::new();
    // One byte more than promised tells a frame that lies, without unpacking all of it.
    ZlibDecoder::new(packed).take(length.saturating_add(1)).read_to_end(&mut data)?;
    if data.len() as u64 == length {
        Ok(data)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of a log holds other than it says"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    fn attempt() -> AttemptId {
        AttemptId { job: JobId::from_bits(1), task: 2, attempt: 3 }
    }

    #[test]
    fn frames_come_back_as_they_went() {
        let text = "line\n".repeat(1_000);
        let noise: Vec<u8> =
            (0..500u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let mut out = Vec::new();
        for (stream, offset, data) in
            [(LogStream::Stdout, 0, text.as_bytes()), (LogStream::Stderr, 7, &noise[..])]
        {
            let (frame, packed) = LogFrame::of(attempt(), stream, offset, data);
            assert!(packed.len() <= data.len());
            frame.write(&packed, &mut out);
        }
        LogFrame::whole(attempt()).write(&[], &mut out);
        assert!(out.len() < 1_200, "{}", out.len());
        let found = frames(&out).expect("whole");
        let read: Vec<Vec<u8>> =
            found.iter().map(|(f, bytes)| unpack(bytes, f.length).expect("sound")).collect();
        assert_eq!(read, [text.as_bytes().to_vec(), noise, Vec::new()]);
        let streams: Vec<_> = found.iter().map(|(f, _)| (f.stream, f.offset)).collect();
        let expect = [(Some(LogStream::Stdout), 0), (Some(LogStream::Stderr), 7), (None, 0)];
        assert_eq!(streams, expect);
        for cut in 1..out.len() {
            let cut_off = frames(&out[..cut]);
            assert!(cut_off.is_err() || cut_off.expect("frames").len() < 3, "{cut}");
        }
    }

    #[test]
    fn a_frame_that_lies_is_found_out() {
        let packed = pack(&vec![b'x'; 100_000]);
        assert!(packed.len() < 1_000);
        assert!(unpack(&packed, 99_999).is_err());
        assert!(unpack(&packed, 100_001).is_err());
        assert!(unpack(b"no such thing", 100).is_err());
        let big = LogFrame { length: 1 << 40, ..LogFrame::whole(attempt()) };
        let mut out = Vec::new();
        big.write(&[], &mut out);
        assert_eq!(frames(&out), Err(BadFrames::TooLarge));
        assert_eq!(frames(b"{}\n\n"), Err(BadFrames::Line));
    }
}
