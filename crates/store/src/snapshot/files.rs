//! Snapshots as files of the data directory: written beside their name, synced, then renamed, so
//! that a name never stands for half a file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::fault::Cause;
use crate::sqlite::sync_dir;

use super::{Header, SNAPSHOTS_KEPT, SnapshotWritten, encode};

const SNAPSHOT_DIR: &str = "snapshots";
const ENDING: &str = "snap";
const PARTIAL_ENDING: &str = "partial";
/// One write to the disk at a time.
const BUFFER_BYTES: usize = 1 << 20;

fn folder(dir: &Path) -> PathBuf {
    dir.join(SNAPSHOT_DIR)
}

/// Twenty digits hold every 64-bit number, so that names sort as numbers do.
fn path(dir: &Path, seq: u64, ending: &str) -> PathBuf {
    folder(dir).join(format!("{seq:020}.{ending}"))
}

pub(crate) fn put(
    dir: &Path,
    header: &Header,
    fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> Result<SnapshotWritten, Cause> {
    fs::create_dir_all(folder(dir))?;
    sweep(dir)?;
    let partial = path(dir, header.seq, PARTIAL_ENDING);
    let written = write(&partial, header, fill);
    if written.is_err() {
        // What is half written only takes room, perhaps the room that was missing.
        let _ = fs::remove_file(&partial);
    }
    let written = written?;
    fs::rename(&partial, path(dir, header.seq, ENDING))?;
    sync_dir(&folder(dir))?;
    let seqs = list(dir)?;
    for seq in seqs.iter().rev().skip(SNAPSHOTS_KEPT) {
        fs::remove_file(path(dir, *seq, ENDING))?;
    }
    Ok(written)
}

fn write(
    partial: &Path,
    header: &Header,
    fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
) -> io::Result<SnapshotWritten> {
    let mut buffer = BufWriter::with_capacity(BUFFER_BYTES, File::create(partial)?);
    let written = encode(header, fill, &mut buffer)?;
    buffer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    Ok(written)
}

/// Removes what an earlier process left half written.
fn sweep(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder(dir))? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == PARTIAL_ENDING) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// The rows that have a snapshot, oldest first.
pub(crate) fn list(dir: &Path) -> Result<Vec<u64>, Cause> {
    let entries = match fs::read_dir(folder(dir)) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut seqs = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_snapshot = path.extension().is_some_and(|ending| ending == ENDING);
        let seq: Option<u64> = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
        seqs.extend(seq.filter(|_| is_snapshot));
    }
    seqs.sort_unstable();
    Ok(seqs)
}

pub(crate) fn read(dir: &Path, seq: u64) -> Result<Vec<u8>, Cause> {
    Ok(fs::read(path(dir, seq, ENDING))?)
}

/// Copies the snapshots of one data directory to another. One that is removed meanwhile is left
/// out: there is a newer one, or the journal alone.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Cause> {
    for seq in list(from)? {
        fs::create_dir_all(folder(to))?;
        let (partial, target) = (path(to, seq, PARTIAL_ENDING), path(to, seq, ENDING));
        match fs::copy(path(from, seq, ENDING), &partial) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        }
        File::open(&partial)?.sync_all()?;
        fs::rename(&partial, &target)?;
        sync_dir(&folder(to))?;
    }
    Ok(())
}
