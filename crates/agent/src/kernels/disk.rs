//! Write throughput and the latency of making a write durable, in a given directory.
//!
//! Invariant: nothing is left behind. The file's name is removed as soon as it is open, so that
//! the system frees its blocks even when this process is killed. It never takes more than a tenth
//! of what is free.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use dayan_measure::Attribute;

use super::{Cancel, Effort, Frame, Reading, Repetitions, Stopwatch, percentile, whole};

const VERSION: u32 = 1;
/// Large enough that the device sees long writes, small enough to look at the clock in between.
const BLOCK_BYTES: usize = 1 << 20;
/// A database page: what a journal forces to disk at a commit, at least.
const PAGE_BYTES: usize = 4_096;
/// With fewer the 99th percentile would be the worst of a handful.
const SYNCS_MIN: usize = 20;
const SYNCS_MAX: usize = 5_000;

/// Measures sequential writing (made durable at the end) and `fdatasync` of one page.
pub fn measure(dir: &Path, effort: Effort, cancel: &Cancel) -> Vec<Reading> {
    vec![throughput(dir, effort, cancel), sync_latency(dir, effort, cancel)]
}

fn throughput(dir: &Path, effort: Effort, cancel: &Cancel) -> Reading {
    let max_bytes: u64 = match effort {
        Effort::Quick => 32 << 20,
        Effort::Full => 512 << 20,
    };
    let frame = Frame::new(Attribute::DiskWrite, "sequential-fdatasync", VERSION);
    let attempt = || -> io::Result<Reading> {
        let bytes = max_bytes.min(free_bytes(dir)? / 10) / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        if bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "less than 10 MiB are free"));
        }
        let mut file = nameless(dir)?;
        // Not all zeros: some file systems and disks do not store those.
        let block: Vec<u8> = (0..=250).cycle().take(BLOCK_BYTES).collect();
        let note = format!("{} MiB in blocks of 1 MiB, then fdatasync", bytes >> 20);
        let mut repetitions = Repetitions::new(effort, cancel);
        loop {
            file.seek(SeekFrom::Start(0))?;
            let watch = Stopwatch::start();
            for _ in 0..bytes / BLOCK_BYTES as u64 {
                if cancel.is_cancelled() {
                    break;
                }
                file.write_all(&block)?;
            }
            file.sync_data()?;
            if !repetitions.another(watch.seconds()) {
                break;
            }
        }
        Ok(repetitions.rate(frame.clone().with_note(note), bytes as f64))
    };
    attempt().unwrap_or_else(|fault| frame.clone().unavailable(&fault.to_string()))
}

fn sync_latency(dir: &Path, effort: Effort, cancel: &Cancel) -> Reading {
    let frame = Frame::new(Attribute::DiskFsync, "append-4k-fdatasync", VERSION);
    let watch = Stopwatch::start();
    match sync_times(dir, effort, cancel) {
        Ok(mut times) if !times.is_empty() => {
            times.sort_by(f64::total_cmp);
            let micros = |permille| whole(percentile(&times, permille) * 1e6);
            let note = format!("p99 {} us, {} syncs", micros(990), times.len());
            Reading {
                measured: Some(micros(500)),
                took: watch.span(),
                ..frame.with_note(note).into_reading()
            }
        }
        Ok(_) => frame.unavailable("cancelled"),
        Err(fault) => frame.unavailable(&fault.to_string()),
    }
}

/// Seconds of each write of one page at the end of a file, made durable.
fn sync_times(dir: &Path, effort: Effort, cancel: &Cancel) -> io::Result<Vec<f64>> {
    let mut file = nameless(dir)?;
    let page = [0x5a; PAGE_BYTES];
    let mut times = Vec::new();
    let total = Stopwatch::start();
    while times.len() < SYNCS_MAX
        && !cancel.is_cancelled()
        && (times.len() < SYNCS_MIN || total.seconds() < effort.share_seconds())
    {
        let watch = Stopwatch::start();
        file.write_all(&page)?;
        file.sync_data()?;
        times.push(watch.seconds());
    }
    Ok(if cancel.is_cancelled() { Vec::new() } else { times })
}

/// A new file in `dir` that has no name any more.
fn nameless(dir: &Path) -> io::Result<File> {
    let path = dir.join(format!(".dayan-measure-{}", std::process::id()));
    let file = OpenOptions::new().write(true).create_new(true).open(&path).or_else(|fault| {
        // Left by a process with our id that was killed between opening and removing.
        if fault.kind() == io::ErrorKind::AlreadyExists {
            std::fs::remove_file(&path)?;
            OpenOptions::new().write(true).create_new(true).open(&path)
        } else {
            Err(fault)
        }
    })?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn free_bytes(dir: &Path) -> io::Result<u64> {
    let volume = rustix::fs::statvfs(dir)?;
    Ok(volume.f_bavail.saturating_mul(volume.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_and_leaves_nothing_behind() {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let readings = measure(dir.path(), Effort::Quick, &Cancel::new());
        let attributes: Vec<Attribute> = readings.iter().map(|r| r.attribute).collect();
        assert_eq!(attributes, [Attribute::DiskWrite, Attribute::DiskFsync]);
        assert!(readings.iter().all(|r| r.measured.is_some()), "{readings:?}");
        assert!(readings[1].note.starts_with("p99 "), "{readings:?}");
        assert_eq!(std::fs::read_dir(dir.path()).expect("it exists").count(), 0);
    }

    #[test]
    fn a_missing_directory_is_a_reason_not_a_panic() {
        let readings = measure(Path::new("/nonexistent/dir"), Effort::Quick, &Cancel::new());
        assert_eq!(readings.len(), 2);
        for reading in readings {
            assert_eq!(reading.measured, None);
            assert!(reading.note.starts_with("not available: "), "{}", reading.note);
        }
    }

    #[test]
    fn cancelling_stops_it() {
        let dir = tempfile::tempdir().expect("a directory for the test");
        let cancel = Cancel::new();
        cancel.cancel();
        let readings = measure(dir.path(), Effort::Full, &cancel);
        assert!(readings.iter().all(|r| r.note == "not available: cancelled"), "{readings:?}");
    }
}
