//! A task's output on disk: the first half of what may be kept and the last half, the gap marked.
//!
//! Invariant: never more than the limit is on disk, however much is written, and what is there is
//! found at the offset at which the task wrote it. The first bytes are in a file named for the
//! stream; later ones in segments named `STREAM.@OFFSET`, of which the oldest goes when a third
//! would begin. The names say everything, so a reader needs nobody's memory. A write that fails
//! (disk full) loses those bytes, leaves a gap, and disturbs nobody.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dayan_units::Bytes;

use crate::{LogChunk, Stream};

/// Below this a limit is not worth its files: one page for each of head and two segments.
const LIMIT_MIN: u64 = 16 << 10;

/// Writes one stream of one attempt.
pub(crate) struct LogWriter {
    folder: PathBuf,
    stream: Stream,
    limit: u64,
    /// Bytes the task wrote, kept or not.
    written: u64,
    open: Option<Open>,
    /// Starts of the segments on disk, oldest first.
    segments: Vec<u64>,
}

struct Open {
    file: File,
    /// Bytes it still takes.
    room: u64,
}

impl LogWriter {
    /// Nothing is made until the first byte comes.
    pub(crate) fn new(folder: PathBuf, stream: Stream, limit: Bytes) -> Self {
        let limit = limit.0.max(LIMIT_MIN);
        Self { folder, stream, limit, written: 0, open: None, segments: Vec::new() }
    }

    /// Goes on where another writer of this stream stopped: what it wrote is what is there.
    #[cfg(any(feature = "containers", feature = "kubernetes"))]
    pub(crate) fn resume(folder: PathBuf, stream: Stream, limit: Bytes) -> io::Result<Self> {
        let mut writer = Self::new(folder, stream, limit);
        let parts = parts(&writer.folder, stream)?;
        for (start, path) in &parts {
            writer.written = writer.written.max(start + fs::metadata(path)?.len());
            if *start > 0 {
                writer.segments.push(*start);
            }
        }
        // What comes next goes on in the last of them, as long as that has room: a segment for each
        // writer that died would push out what is not too much at all.
        if let Some((start, path)) = parts.last() {
            let most = if *start == 0 { writer.limit / 2 } else { writer.limit / 4 };
            let room = most.saturating_sub(writer.written - start);
            if room > 0 {
                let file = OpenOptions::new().append(true).open(path)?;
                writer.open = Some(Open { file, room });
            }
        }
        while writer.segments.len() > 2 {
            let oldest = segment(stream, writer.segments.remove(0));
            fs::remove_file(writer.folder.join(oldest))?;
        }
        Ok(writer)
    }

    /// Bytes the task wrote, kept or not.
    #[cfg(any(feature = "containers", feature = "kubernetes"))]
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Is there anything of it on disk?
    pub(crate) const fn has_written(&self) -> bool {
        self.written > 0
    }

    /// Takes what the task wrote.
    pub(crate) fn write(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let piece = match self.opened() {
                Ok(open) => {
                    let room = usize::try_from(open.room).unwrap_or(usize::MAX);
                    let piece = room.min(data.len());
                    open.room -= piece as u64;
                    let full = open.room == 0;
                    if open.file.write_all(&data[..piece]).is_err() || full {
                        self.open = None;
                    }
                    piece
                }
                Err(_) => data.len(),
            };
            self.written += piece as u64;
            data = &data[piece..];
        }
    }

    fn opened(&mut self) -> io::Result<&mut Open> {
        if self.open.is_none() {
            let (file, room) = if self.written == 0 {
                (create(&self.folder, self.stream.name())?, self.limit / 2)
            } else {
                if self.segments.len() == 2 {
                    let oldest = segment(self.stream, self.segments.remove(0));
                    // Already gone is as good.
                    let _ = fs::remove_file(self.folder.join(oldest));
                }
                let file = create(&self.folder, &segment(self.stream, self.written))?;
                self.segments.push(self.written);
                (file, self.limit / 4)
            };
            self.open = Some(Open { file, room });
        }
        Ok(self.open.as_mut().expect("opened above"))
    }
}

fn segment(stream: Stream, start: u64) -> String {
    format!("{}.@{start}", stream.name())
}

fn create(folder: &Path, name: &str) -> io::Result<File> {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(folder.join(name))
    };
    let mut outcome = open();
    // The job's folder may be removed, empty for a moment, between its making and ours.
    for _ in 0..8 {
        match &outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(folder)?;
                outcome = open();
            }
            Ok(_) | Err(_) => break,
        }
    }
    outcome
}

/// The files of a stream, by what they begin with.
fn parts(folder: &Path, stream: Stream) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut parts: Vec<(u64, PathBuf)> = match fs::read_dir(folder) {
        Ok(entries) => entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name();
                let rest = name.to_str()?.strip_prefix(stream.name())?;
                let start =
                    if rest.is_empty() { 0 } else { rest.strip_prefix(".@")?.parse().ok()? };
                Some((start, entry.path()))
            })
            .collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    parts.sort();
    Ok(parts)
}

/// At most `max` kept bytes from `offset` on, or from the next kept one.
pub(crate) fn read(folder: &Path, stream: Stream, offset: u64, max: usize) -> io::Result<LogChunk> {
    let nothing = LogChunk { offset, ..LogChunk::default() };
    for (start, path) in parts(folder, stream)? {
        let file = match File::open(path) {
            Ok(file) => file,
            // Rotated away since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let end = start + file.metadata()?.len();
        if end <= offset {
            continue;
        }
        let from = offset.max(start);
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(max);
        let mut data = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match file.read_at(&mut data[filled..], from - start + filled as u64)? {
                0 => break,
                n => filled += n,
            }
        }
        data.truncate(filled);
        return Ok(LogChunk { offset: from, data, skipped: from - offset });
    }
    Ok(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(folder: &Path, max: usize) -> Vec<LogChunk> {
        let mut chunks = Vec::new();
        let mut offset = 0;
        loop {
            let chunk = read(folder, Stream::Stdout, offset, max).expect("reads");
            if chunk.data.is_empty() {
                return chunks;
            }
            offset = chunk.next();
            chunks.push(chunk);
        }
    }

    fn byte(at: u64) -> u8 {
        (at % 251) as u8
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn head_and_tail_are_kept_where_they_were_written(
            pieces in prop::collection::vec(1usize..9_000, 1..30), max in 100usize..40_000
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let folder = dir.path().join("a/b");
            let mut log = LogWriter::new(folder.clone(), Stream::Stdout, Bytes(0));
            let mut written = 0u64;
            for piece in pieces {
                let data: Vec<u8> = (written..written + piece as u64).map(byte).collect();
                log.write(&data);
                written += piece as u64;
            }
            let chunks = read_all(&folder, max);
            let mut expect = 0;
            for chunk in &chunks {
                prop_assert_eq!(chunk.offset, expect + chunk.skipped);
                let right = chunk.data.iter().zip(chunk.offset..).all(|(b, at)| *b == byte(at));
                prop_assert!(right);
                expect = chunk.next();
            }
            prop_assert_eq!(expect, written, "the last byte is kept");
            let kept: usize = chunks.iter().map(|c| c.data.len()).sum();
            prop_assert!(kept as u64 <= LIMIT_MIN);
            let head = written.min(LIMIT_MIN / 2);
            let kept_head: usize =
                chunks.iter().take_while(|c| c.skipped == 0).map(|c| c.data.len()).sum();
            prop_assert!(kept_head as u64 >= head);
            if written <= LIMIT_MIN * 3 / 4 {
                prop_assert_eq!(kept as u64, written, "nothing is lost below the limit");
            }
        }
    }

    #[cfg(any(feature = "containers", feature = "kubernetes"))]
    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn another_writer_goes_on_where_the_first_stopped(
            pieces in prop::collection::vec((1usize..9_000, any::<bool>()), 1..20)
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let new = || LogWriter::resume(dir.path().join("a"), Stream::Stdout, Bytes(0));
            let mut log = new().expect("nothing is there");
            let mut written = 0u64;
            for (piece, dies) in pieces {
                if dies {
                    log = new().expect("reads what is there");
                    prop_assert_eq!(log.written(), written);
                }
                let data: Vec<u8> = (written..written + piece as u64).map(byte).collect();
                log.write(&data);
                written += piece as u64;
            }
            let chunks = read_all(&dir.path().join("a"), 5_000);
            for chunk in &chunks {
                let right = chunk.data.iter().zip(chunk.offset..).all(|(b, at)| *b == byte(at));
                prop_assert!(right);
            }
            prop_assert_eq!(chunks.last().map(LogChunk::next), Some(written));
            let kept: usize = chunks.iter().map(|c| c.data.len()).sum();
            prop_assert!(kept as u64 <= LIMIT_MIN);
            // However many writers died.
            if written <= LIMIT_MIN * 3 / 4 {
                prop_assert_eq!(kept as u64, written, "nothing is lost below the limit");
            }
        }
    }

    #[test]
    fn a_full_disk_leaves_a_gap() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut log = LogWriter::new(dir.path().to_owned(), Stream::Stdout, Bytes(0));
        log.write(b"first");
        // A folder in the way of the next segment is as good as a disk that refuses it.
        log.open = Some(Open { file: File::open("/dev/null").expect("read only"), room: 100 });
        log.write(b"lost");
        log.write(b"last");
        let chunks = read_all(dir.path(), 100);
        assert_eq!(chunks[0].data, b"first");
        assert_eq!(
            (chunks[1].skipped, chunks[1].offset, &chunks[1].data[..]),
            (4, 9, &b"last"[..])
        );
    }

    #[test]
    fn of_an_unknown_task_there_is_nothing() {
        let chunk = read(Path::new("/nowhere/at/all"), Stream::Stderr, 7, 10).expect("no fault");
        assert_eq!(chunk, LogChunk { offset: 7, ..LogChunk::default() });
    }
}
