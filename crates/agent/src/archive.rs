//! Logs of attempts that the engine has forgotten, so that they can be read after the end and are
//! handed over to the exchange.
//!
//! Invariant: never more than [`SEGMENTS_MAX`] files of bounded size and content lie here, nothing
//! older than a day is handed out, and what is there is found at the offset at which the task
//! wrote it. A segment is a sequence of [frames](dayan_wire::logs). A frame that a crash cut off is
//! the last one of its segment and is left out. What was handed over is marked, so that the next
//! process of this agent goes on behind it. On a full disk what was handed over makes room, and what
//! finds none [waits](waiting) in memory.

mod waiting;

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dayan_engines::{Engine, LogChunk, Stream, wall_now};
use dayan_units::{AttemptId, Span, Time};
use dayan_wire::logs::{FRAME_BYTES_MAX, LogFrame, LogStream, unpack};
use serde::{Deserialize, Serialize};

use crate::runner::LogPart;
use waiting::Waiting;

/// Files at once; with the next two numbers: at most half a GiB on disk, and 320,000 entries of
/// some hundred bytes in memory.
const SEGMENTS_MAX: usize = 32;
/// A segment that is larger gets no further frame. One frame may pass it by its own size.
const SEGMENT_BYTES: u64 = 16 << 20;
/// A segment with so many frames gets no further one.
const SEGMENT_FRAMES_MAX: usize = 10_000;
/// A task's logs are read on the day it ended, or were handed over.
const AGE_MAX: Span = Span::from_secs(24 * 3_600);
/// What is handed over at once: a second on a slow link, thousands of small tasks.
const PARCEL_BYTES_MAX: u64 = 1 << 20;
/// The file that says what was handed over.
const MARK_FILE: &str = "handed-over.json";

/// Where a frame's bytes lie.
struct Frame {
    segment: u64,
    at: u64,
    offset: u64,
    length: u64,
    packed: u64,
}

struct Segment {
    number: u64,
    path: PathBuf,
    begun: Time,
    length: u64,
    keys: Vec<(AttemptId, Stream)>,
    /// Where its frames end, in order.
    ends: Vec<u64>,
}

/// How far the archive was handed over: everything before this place.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Mark {
    segment: u64,
    at: u64,
}

/// What is done once frames were taken.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Upto {
    /// They lie in segments before this place.
    Disk(Mark),
    /// They wait in memory, and have numbers below this one.
    Memory(u64),
}

/// Frames to hand over, and how far it is when they are taken.
#[derive(Debug)]
pub(crate) struct Parcel {
    pub(crate) frames: Vec<u8>,
    pub(crate) upto: Upto,
}

/// The archive of one agent.
pub(crate) struct Archive {
    folder: PathBuf,
    /// Oldest first; frames are added to the last.
    segments: VecDeque<Segment>,
    frames: BTreeMap<(AttemptId, Stream), Vec<Frame>>,
    open: Option<File>,
    next_number: u64,
    handed: Mark,
    waiting: Waiting,
    trouble: Option<io::Error>,
}

const fn stream_of(stream: LogStream) -> Stream {
    match stream {
        LogStream::Stdout => Stream::Stdout,
        LogStream::Stderr => Stream::Stderr,
        LogStream::Steps => Stream::Steps,
        LogStream::Outputs => Stream::Outputs,
    }
}

const fn named(stream: Stream) -> LogStream {
    match stream {
        Stream::Stdout => LogStream::Stdout,
        Stream::Stderr => LogStream::Stderr,
        Stream::Steps => LogStream::Steps,
        Stream::Outputs => LogStream::Outputs,
    }
}

impl Archive {
    /// Finds what earlier processes left.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let mut numbers: Vec<u64> = fs::read_dir(folder)?
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".log")?.parse().ok())
            .collect();
        numbers.sort_unstable();
        // Without a mark, or with one that cannot be read, all is handed over again: the exchange
        // keeps each part once.
        let handed = fs::read(folder.join(MARK_FILE)).ok();
        let handed = handed.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let mut archive = Self {
            folder: folder.to_owned(),
            segments: VecDeque::new(),
            frames: BTreeMap::new(),
            open: None,
            next_number: numbers.last().map_or(0, |last| last + 1),
            handed,
            waiting: Waiting::default(),
            trouble: None,
        };
        for number in numbers {
            archive.scan(number)?;
        }
        archive.trim();
        Ok(archive)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:08}.log"))
    }

    fn scan(&mut self, number: u64) -> io::Result<()> {
        let path = self.path(number);
        let file = File::open(&path)?;
        let found = file.metadata()?;
        let begun = Time::from_micros(found.mtime().saturating_mul(1_000_000));
        let (keys, ends) = (Vec::new(), Vec::new());
        let mut segment = Segment { number, path, begun, length: found.len(), keys, ends };
        let mut reader = BufReader::new(file);
        let mut at = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line)? as u64;
            let Ok(frame) = serde_json::from_slice::<LogFrame>(&line) else { break };
            let begin = at + read;
            at = begin.saturating_add(frame.follows()).saturating_add(1);
            if at > segment.length {
                break;
            }
            reader.seek(SeekFrom::Start(at))?;
            self.enter(&mut segment, &frame, begin, at);
        }
        self.segments.push_back(segment);
        Ok(())
    }

    /// Takes note of a frame whose bytes begin at `begin`, and which ends at `end`.
    fn enter(&mut self, segment: &mut Segment, frame: &LogFrame, begin: u64, end: u64) {
        segment.ends.push(end);
        let Some(stream) = frame.stream else { return };
        let key = (frame.attempt, stream_of(stream));
        let (offset, length, packed) = (frame.offset, frame.length, frame.follows());
        let lies = Frame { segment: segment.number, at: begin, offset, length, packed };
        self.frames.entry(key).or_default().push(lies);
        segment.keys.push(key);
    }

    /// Takes over what the engine has of an attempt's logs, and the list of what it published.
    pub(crate) fn keep(
        &mut self,
        engine: &mut dyn Engine,
        attempt: AttemptId,
        outputs: &[u8],
    ) -> io::Result<()> {
        let mut any = !outputs.is_empty();
        let mut offset = 0;
        for piece in outputs.chunks(FRAME_BYTES_MAX) {
            self.add((attempt, Stream::Outputs), offset, piece)?;
            offset += piece.len() as u64;
        }
        for stream in [Stream::Stdout, Stream::Stderr, Stream::Steps] {
            let mut offset = 0;
            loop {
                let chunk = engine
                    .logs(attempt, stream, offset, FRAME_BYTES_MAX)
                    .map_err(io::Error::other)?;
                if chunk.data.is_empty() {
                    break;
                }
                any = true;
                offset = chunk.next();
                self.add((attempt, stream), chunk.offset, &chunk.data)?;
            }
        }
        if any { self.write(&LogFrame::whole(attempt), &[]) } else { Ok(()) }
    }

    fn add(&mut self, key: (AttemptId, Stream), offset: u64, data: &[u8]) -> io::Result<()> {
        let (frame, packed) = LogFrame::of(key.0, named(key.1), offset, data);
        self.write(&frame, &packed)
    }

    /// Writes a frame down. What finds no room on the disk waits for it, in order.
    fn write(&mut self, frame: &LogFrame, packed: &[u8]) -> io::Result<()> {
        self.settle();
        if self.waiting.is_empty() && self.place(frame, packed) {
            return Ok(());
        }
        self.waiting.push(frame.clone(), packed.to_vec())
    }

    /// Writes down what waits, as far as there is room.
    fn settle(&mut self) {
        while let Some((frame, packed)) = self.waiting.take() {
            if !self.place(&frame, &packed) {
                self.waiting.put_back(frame, packed);
                break;
            }
        }
    }

    /// Puts a frame on the disk, and what was handed over out of its way: is it there?
    fn place(&mut self, frame: &LogFrame, packed: &[u8]) -> bool {
        let mut placed = self.put(frame, packed);
        if placed.is_err() && self.let_go() {
            placed = self.put(frame, packed);
        }
        self.trouble = placed.err();
        self.trouble.is_none()
    }

    /// Why what came last waits for the disk, where it does.
    pub(crate) fn trouble(&mut self) -> Option<io::Error> {
        self.trouble.take()
    }

    /// Lets segments go that were handed over as a whole: does that make room?
    fn let_go(&mut self) -> bool {
        let before = self.segments.len();
        while self.segments.len() > 1
            && self.segments.front().is_some_and(|first| first.number < self.handed.segment)
        {
            self.remove_oldest();
        }
        self.segments.len() < before
    }

    fn put(&mut self, frame: &LogFrame, packed: &[u8]) -> io::Result<()> {
        let full = self.segments.back().is_none_or(|segment| {
            segment.length >= SEGMENT_BYTES || segment.ends.len() >= SEGMENT_FRAMES_MAX
        });
        if full || self.open.is_none() {
            self.begin()?;
        }
        let mut bytes = Vec::with_capacity(packed.len() + 200);
        frame.write(packed, &mut bytes);
        let heading = (bytes.len() - packed.len() - 1) as u64;
        let (Some(file), Some(mut segment)) = (self.open.as_mut(), self.segments.pop_back()) else {
            return Err(io::Error::other("no segment is open"));
        };
        let written = file.write_all_at(&bytes, segment.length);
        if written.is_ok() {
            let begin = segment.length + heading;
            segment.length += bytes.len() as u64;
            let end = segment.length;
            self.enter(&mut segment, frame, begin, end);
        } else if file.set_len(segment.length).is_err() {
            // What was half written is the last of its segment; the next begins another.
            self.open = None;
        }
        self.segments.push_back(segment);
        written
    }

    fn begin(&mut self) -> io::Result<()> {
        let number = self.next_number;
        let path = self.path(number);
        let file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        self.next_number += 1;
        self.open = Some(file);
        let (keys, ends) = (Vec::new(), Vec::new());
        let segment = Segment { number, path, begun: wall_now(), length: 0, keys, ends };
        self.segments.push_back(segment);
        self.trim();
        Ok(())
    }

    fn trim(&mut self) {
        let oldest = wall_now().minus(AGE_MAX);
        while let Some(segment) = self.segments.front()
            && (self.segments.len() > SEGMENTS_MAX || segment.begun < oldest)
        {
            self.remove_oldest();
        }
        if self.segments.is_empty() {
            self.open = None;
        }
    }

    fn remove_oldest(&mut self) {
        let Some(segment) = self.segments.pop_front() else { return };
        for key in segment.keys {
            if let Some(frames) = self.frames.get_mut(&key) {
                frames.retain(|frame| frame.segment != segment.number);
                if frames.is_empty() {
                    self.frames.remove(&key);
                }
            }
        }
        if let Err(error) = fs::remove_file(&segment.path) {
            tracing::warn!(%error, path = %segment.path.display(), "old logs stay");
        }
    }

    /// A part of a log: empty where nothing of it is kept.
    pub(crate) fn read(&mut self, part: LogPart) -> LogChunk {
        self.trim();
        let nothing = LogChunk { offset: part.offset, ..LogChunk::default() };
        let frames = self.frames.get(&(part.attempt, part.stream));
        let frame =
            frames.into_iter().flatten().find(|frame| frame.offset + frame.length > part.offset);
        let (offset, read) = if let Some(frame) = frame {
            let mut packed = vec![0; usize::try_from(frame.packed).unwrap_or(usize::MAX)];
            let read = File::open(self.path(frame.segment))
                .and_then(|file| file.read_exact_at(&mut packed, frame.at))
                .and_then(|()| unpack(&packed, frame.length));
            (frame.offset, read)
        } else if let Some((frame, packed)) = self.waiting.find(part) {
            (frame.offset, unpack(packed, frame.length))
        } else {
            return nothing;
        };
        let from = part.offset.max(offset);
        match read {
            Ok(mut data) => {
                let skip = usize::try_from(from - offset).unwrap_or(usize::MAX);
                data.drain(..skip.min(data.len()));
                data.truncate(part.max);
                LogChunk { offset: from, data, skipped: from - part.offset }
            }
            Err(error) => {
                tracing::warn!(%error, attempt = %part.attempt, "its log cannot be read");
                nothing
            }
        }
    }

    /// The next frames that were not handed over, as they lie; none when there are none.
    pub(crate) fn parcel(&mut self) -> io::Result<Option<Parcel>> {
        self.trim();
        self.settle();
        for segment in &self.segments {
            if segment.number < self.handed.segment {
                continue;
            }
            let from = if segment.number == self.handed.segment { self.handed.at } else { 0 };
            let after = segment.ends.partition_point(|end| *end <= from);
            let rest = &segment.ends[after..];
            let Some(first) = rest.first() else { continue };
            let fits = rest.partition_point(|end| end - from <= PARCEL_BYTES_MAX);
            let upto = if fits == 0 { *first } else { rest[fits - 1] };
            let mut frames = vec![0; usize::try_from(upto - from).unwrap_or(usize::MAX)];
            File::open(&segment.path)?.read_exact_at(&mut frames, from)?;
            let upto = Upto::Disk(Mark { segment: segment.number, at: upto });
            return Ok(Some(Parcel { frames, upto }));
        }
        Ok(self.waiting.parcel(PARCEL_BYTES_MAX))
    }

    /// Everything before this place was taken, or never will be.
    pub(crate) fn handed_over(&mut self, upto: Upto) -> io::Result<()> {
        let upto = match upto {
            Upto::Disk(upto) => upto,
            Upto::Memory(number) => {
                self.waiting.handed_over(number);
                return Ok(());
            }
        };
        self.handed = self.handed.max(upto);
        // Not flushed: after a power failure some of it is handed over again.
        let (path, new) = (self.folder.join(MARK_FILE), self.folder.join("handed-over.new"));
        fs::write(&new, serde_json::to_vec(&self.handed).expect("numbers become JSON"))?;
        fs::rename(new, path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;
    use proptest::prelude::*;
    use std::io::Write;

    fn attempt(task: u32) -> AttemptId {
        AttemptId { job: JobId::from_bits(1), task, attempt: 1 }
    }
    fn part(task: u32, offset: u64, max: usize) -> LogPart {
        LogPart { attempt: attempt(task), stream: Stream::Stdout, offset, max }
    }

    #[test]
    fn logs_are_found_after_a_restart_and_a_crash() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut archive = Archive::open(dir.path()).expect("new");
        let key = |task| (attempt(task), Stream::Stdout);
        archive.add(key(1), 0, b"first\nlines\n").expect("written");
        archive.add(key(2), 0, b"other").expect("written");
        archive.add(key(1), 100, b"tail").expect("written");
        let path = archive.path(0);
        let mut file = OpenOptions::new().append(true).open(path).expect("there");
        file.write_all(b"{\"attempt\":\"job_").expect("written");
        let mut again = Archive::open(dir.path()).expect("read");
        assert_eq!(again.read(part(1, 0, 5)).data, b"first");
        assert_eq!(again.read(part(1, 6, 100)).data, b"lines\n");
        let tail = again.read(part(1, 50, 100));
        assert_eq!((tail.offset, tail.skipped, &tail.data[..]), (100, 50, &b"tail"[..]));
        assert_eq!(again.read(part(1, 104, 100)).data, b"");
        assert_eq!(again.read(part(2, 0, 100)).data, b"other");
        assert_eq!(again.read(part(3, 7, 100)), LogChunk { offset: 7, ..LogChunk::default() });
        again.add(key(3), 0, b"new").expect("written");
        assert_eq!(again.read(part(3, 0, 100)).data, b"new");
    }

    #[test]
    fn the_oldest_make_room() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut archive = Archive::open(dir.path()).expect("new");
        for task in 0..u32::try_from(SEGMENTS_MAX).expect("few") + 3 {
            archive.begin().expect("begun");
            archive.add((attempt(task), Stream::Stdout), 0, b"x").expect("written");
        }
        assert_eq!(archive.segments.len(), SEGMENTS_MAX);
        assert_eq!(fs::read_dir(dir.path()).expect("there").count(), SEGMENTS_MAX);
        assert_eq!(archive.frames.len(), SEGMENTS_MAX);
        assert_eq!(archive.read(part(0, 0, 9)).data, b"");
        assert_eq!(archive.read(part(4, 0, 9)).data, b"x");
    }

    #[test]
    fn everything_is_handed_over_once_in_order_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut archive = Archive::open(dir.path()).expect("new");
        let noise = |seed: u32| -> Vec<u8> {
            let mut state = seed;
            let mut next = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            };
            (0..200_000).map(|_| next()).collect()
        };
        let mut taken: Vec<(u32, u64)> = Vec::new();
        let mut take = |archive: &mut Archive| {
            let Some(parcel) = archive.parcel().expect("read") else { return false };
            for (frame, bytes) in dayan_wire::logs::frames(&parcel.frames).expect("whole frames") {
                let data = unpack(bytes, frame.length).expect("sound");
                assert_eq!(data, noise(frame.attempt.task));
                taken.push((frame.attempt.task, frame.offset));
            }
            archive.handed_over(parcel.upto).expect("noted");
            true
        };
        for task in 0..10 {
            archive.add((attempt(task), Stream::Stderr), 5, &noise(task)).expect("written");
        }
        assert!(take(&mut archive));
        let mut again = Archive::open(dir.path()).expect("read");
        again.begin().expect("another segment");
        again.add((attempt(10), Stream::Stderr), 5, &noise(10)).expect("written");
        while take(&mut again) {}
        assert!(Archive::open(dir.path()).expect("read").parcel().expect("read").is_none());
        assert_eq!(taken, (0..11).map(|task| (task, 5)).collect::<Vec<_>>());
    }

    #[test]
    fn what_finds_no_room_waits_is_read_and_is_handed_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let (there, away) = (dir.path().join("logs"), dir.path().join("away"));
        let mut archive = Archive::open(&there).expect("new");
        let key = |task| (attempt(task), Stream::Stdout);
        // A folder that is not there refuses every byte, as a full disk does.
        fs::rename(&there, &away).expect("moved");
        archive.add(key(1), 0, b"first ").expect("waits");
        archive.add(key(1), 6, b"second").expect("waits");
        assert!(archive.trouble().is_some(), "whoever asks hears why");
        assert_eq!(archive.read(part(1, 0, 100)).data, b"first ");
        assert_eq!(archive.read(part(1, 8, 2)).data, b"co");
        assert_eq!(archive.read(part(1, 12, 2)).data, b"");
        let parcel = archive.parcel().expect("no disk is read").expect("two frames");
        let told: Vec<u64> = dayan_wire::logs::frames(&parcel.frames)
            .expect("whole frames")
            .iter()
            .map(|(frame, _)| frame.offset)
            .collect();
        assert_eq!(told, [0, 6]);
        archive.add(key(2), 0, b"third").expect("waits");
        archive.handed_over(parcel.upto).expect("noted");
        let rest = archive.parcel().expect("no disk is read").expect("one frame");
        fs::rename(&away, &there).expect("back");
        archive.add(key(2), 5, b" fourth").expect("written");
        assert!(archive.waiting.is_empty() && archive.trouble().is_none());
        // It was taken while it was written down: once more does no harm, and nothing else is passed over.
        archive.handed_over(rest.upto).expect("noted");
        let mut again = Archive::open(&there).expect("read");
        assert_eq!(again.read(part(1, 0, 100)).data, b"");
        assert_eq!(again.read(part(2, 0, 100)).data, b"third");
        assert_eq!(again.read(part(2, 5, 100)).data, b" fourth");
        let both = again.parcel().expect("read").expect("two frames");
        assert_eq!(dayan_wire::logs::frames(&both.frames).expect("whole frames").len(), 2);
    }

    #[test]
    fn what_waits_is_bounded_and_what_was_handed_over_makes_room() {
        let dir = tempfile::tempdir().expect("a folder");
        let there = dir.path().join("logs");
        let mut archive = Archive::open(&there).expect("new");
        for task in 0..3 {
            archive.begin().expect("another segment");
            archive.add((attempt(task), Stream::Stdout), 0, b"x").expect("written");
        }
        while let Some(parcel) = archive.parcel().expect("read") {
            archive.handed_over(parcel.upto).expect("noted");
        }
        assert!(archive.let_go(), "two of them were handed over as a whole");
        assert_eq!((archive.segments.len(), archive.let_go()), (1, false));
        let frame = |offset| LogFrame::of(attempt(9), LogStream::Stdout, offset, &[7]).0;
        let mut waiting = Waiting::default();
        let refused = (0..100).find_map(|at| waiting.push(frame(at), vec![0; 1 << 20]).err());
        assert_eq!(refused.map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_byte_is_where_it_was(
            pieces in prop::collection::vec((0u32..3, prop::collection::vec(any::<u8>(), 1..50)), 1..30),
            max in 1usize..60,
        ) {
            let dir = tempfile::tempdir().expect("a folder");
            let mut archive = Archive::open(dir.path()).expect("new");
            let mut whole: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
            for (task, piece) in &pieces {
                let sofar = whole.entry(*task).or_default();
                let key = (attempt(*task), Stream::Stdout);
                archive.add(key, sofar.len() as u64, piece).expect("written");
                sofar.extend(piece);
            }
            let mut again = Archive::open(dir.path()).expect("read");
            for (task, expect) in whole {
                for archive in [&mut archive, &mut again] {
                    let mut read = Vec::new();
                    loop {
                        let chunk = archive.read(part(task, read.len() as u64, max));
                        if chunk.data.is_empty() { break; }
                        read.extend(chunk.data);
                    }
                    prop_assert_eq!(&read, &expect);
                }
            }
        }
    }
}
