//! A memory on disk: an append-only file of records, one line each, with a checksum. The keeper's,
//! and with records of its own the Slurm engine's.
//!
//! Invariant: a launch is on stable storage before its process is made, so neither a dead keeper
//! nor a dead machine makes anybody launch it twice. Ends are written to the file at once, which
//! survives the keeper, and reach stable storage with the next launch or within a second; should
//! the machine go down in that second the attempt is found without an end and reported as
//! [`KeeperDied`](crate::Outcome::KeeperDied), which is safe: who was told of the end before
//! keeps to it. One file for all attempts, because a file each costs more than starting the
//! process. The environment of a task is never written: it may hold secrets.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::marker::PhantomData;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dayan_units::{AttemptId, Time};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{BootId, BootTime, Counters, End};

/// What happened to an attempt.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// It is about to be launched, and never again.
    Launched { attempt: AttemptId, at: Time, boot: BootId },
    /// Its process lives. Written for those that live longer than a moment.
    Started {
        attempt: AttemptId,
        pid: i32,
        birth: u64,
        at: Time,
        boot_at: BootTime,
        slot: Option<String>,
    },
    /// Nothing of it runs any more.
    Ended { attempt: AttemptId, end: End, usage: Counters },
    /// Its end was acknowledged. The record stays as a tombstone for a while.
    Forgotten { attempt: AttemptId },
}

/// An open journal of records of one kind.
pub(crate) struct Journal<R = Record> {
    path: PathBuf,
    kind: PhantomData<fn(&R)>,
    file: File,
    /// Bytes in the file that are whole records.
    length: u64,
    /// Records not yet written.
    buffer: Vec<u8>,
    synced: bool,
}

impl<R: Serialize + DeserializeOwned> Journal<R> {
    /// Opens it, reads what is there and cuts off a torn end.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<R>)> {
        let mut file = options().open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let (records, length) = decode(&bytes);
        if length < bytes.len() {
            tracing::warn!(lost = bytes.len() - length, "the keeper's journal had a torn end");
        }
        let length = length as u64;
        file.set_len(length)?;
        Ok((
            Self {
                path: path.to_owned(),
                kind: PhantomData,
                file,
                length,
                buffer: Vec::new(),
                synced: true,
            },
            records,
        ))
    }

    /// Is it this file that its path leads to? Its folder may have been removed, and made again by another.
    pub(crate) fn stands(&self) -> bool {
        let id = |about: std::fs::Metadata| (about.dev(), about.ino());
        let (own, there) = (self.file.metadata(), std::fs::metadata(&self.path));
        own.is_ok_and(|own| there.is_ok_and(|there| id(own) == id(there)))
    }

    /// Notes a record; [`write`](Self::write) brings it to the file.
    pub(crate) fn append(&mut self, record: &R) {
        encode(record, &mut self.buffer);
    }

    /// Notes these records and brings everything to stable storage, or notes none of them.
    pub(crate) fn commit<'a>(&mut self, records: impl Iterator<Item = &'a R>) -> io::Result<()>
    where
        R: 'a,
    {
        let before = self.buffer.len();
        records.for_each(|record| encode(record, &mut self.buffer));
        let length = self.length;
        let outcome = self.write().and_then(|()| self.sync());
        if outcome.is_err() {
            // Written but perhaps not stable: taken back, so that it does not count as launched.
            if self.length > length {
                self.file.set_len(length)?;
                self.length = length;
            }
            self.buffer.truncate(before);
        }
        outcome
    }

    /// Writes what was noted to the file. After a failure it is still noted.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if let Err(error) = self.file.write_all(&self.buffer) {
            self.file.set_len(self.length)?;
            return Err(error);
        }
        self.length += self.buffer.len() as u64;
        self.buffer.clear();
        self.synced = false;
        Ok(())
    }

    /// Is something in the file that may not be on stable storage yet?
    pub(crate) const fn is_synced(&self) -> bool {
        self.synced
    }

    /// Brings the file to stable storage.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if !self.synced {
            self.file.sync_data()?;
            self.synced = true;
        }
        Ok(())
    }

    /// Bytes in the file.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Replaces the file by one that holds only these records. The old one stays until the new
    /// one is whole and stable.
    pub(crate) fn rewrite(&mut self, records: &[R]) -> io::Result<()> {
        let fresh = self.path.with_extension("new");
        let mut bytes = Vec::new();
        for record in records {
            encode(record, &mut bytes);
        }
        let mut file = options().truncate(true).append(false).open(&fresh)?;
        file.write_all(&bytes)?;
        file.sync_data()?;
        std::fs::rename(&fresh, &self.path)?;
        if let Some(folder) = self.path.parent() {
            File::open(folder)?.sync_all()?;
        }
        // Opened anew by its name: the first handle does not append.
        self.file = options().open(&self.path)?;
        self.length = bytes.len() as u64;
        self.buffer.clear();
        self.synced = true;
        Ok(())
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).append(true).create(true).mode(0o600);
    options
}

/// Writes one record as a line.
pub(crate) fn encode<R: Serialize>(record: &R, out: &mut Vec<u8>) {
    let json = serde_json::to_vec(record).expect("records hold only text keys and numbers");
    let _ = write!(out, "{:08x} ", crc32(&json));
    out.extend_from_slice(&json);
    out.push(b'\n');
}

/// The records up to the first damaged one, and how many bytes they take.
fn decode<R: DeserializeOwned>(bytes: &[u8]) -> (Vec<R>, usize) {
    let mut records = Vec::new();
    let mut length = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(record) = decode_line(line) else { break };
        records.push(record);
        length += line.len();
    }
    (records, length)
}

/// One record with its line end; nothing if it is not whole.
pub(crate) fn decode_line<R: DeserializeOwned>(line: &[u8]) -> Option<R> {
    let (sum, json) = line.strip_suffix(b"\n")?.split_at_checked(8)?;
    let json = json.strip_prefix(b" ")?;
    let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?, 16).ok()?;
    (sum == crc32(json)).then(|| serde_json::from_slice(json).ok())?
}

/// CRC-32 as in IEEE 802.3 (polynomial 0x04C11DB7, reflected).
const CRC_TABLE: [u32; 256] = {
    let mut table = [0u32; 256];
    let mut byte = 0u32;
    while byte < 256 {
        let mut value = byte;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xEDB8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[byte as usize] = value;
        byte += 1;
    }
    table
};

pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0u32, |sum, byte| (sum >> 8) ^ CRC_TABLE[((sum ^ u32::from(*byte)) & 0xFF) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;
    use proptest::prelude::*;

    fn record(n: u32) -> Record {
        let attempt = AttemptId { job: JobId::from_bits(7), task: n, attempt: 1 };
        match n % 2 {
            0 => Record::Launched { attempt, at: Time::from_micros(5), boot: BootId(9) },
            _ => Record::Forgotten { attempt },
        }
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn it_is_known_whether_the_path_still_leads_to_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal");
        let (mut journal, _) = Journal::open(&path).expect("opens");
        assert!(journal.stands());
        journal.rewrite(&[record(1)]).expect("rewrites");
        assert!(journal.stands(), "a rewritten one is it as well");
        std::fs::remove_file(&path).expect("removed");
        assert!(!journal.stands());
        let (other, _) = Journal::<Record>::open(&path).expect("opens");
        assert!((journal.stands(), other.stands()) == (false, true));
    }

    #[test]
    fn what_was_written_is_read_again_and_rewriting_keeps_what_is_given() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("journal");
        let (mut journal, records) = Journal::open(&path).expect("opens");
        assert!(records.is_empty());
        let written: Vec<_> = (0..10).map(record).collect();
        journal.append(&written[0]);
        journal.commit(written[1..].iter()).expect("commits");
        drop(journal);
        let (mut journal, records) = Journal::open(&path).expect("opens");
        assert_eq!(records, written);
        journal.rewrite(&written[8..]).expect("rewrites");
        journal.append(&written[0]);
        journal.write().expect("writes");
        let (_, records) = Journal::<Record>::open(&path).expect("opens");
        assert_eq!(records, [written[8].clone(), written[9].clone(), written[0].clone()]);
    }

    proptest! {
        #[test]
        fn a_torn_end_loses_only_the_end(count in 1u32..20, cut in 1usize..400, flip: bool) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for n in 0..count {
                encode(&record(n), &mut bytes);
                ends.push(bytes.len());
            }
            let cut = bytes.len() - cut.min(bytes.len());
            if flip {
                if let Some(byte) = bytes.get_mut(cut) { *byte ^= 0x10; }
            } else {
                bytes.truncate(cut);
            }
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (records, length) = decode::<Record>(&bytes);
            prop_assert_eq!(records.len(), whole);
            prop_assert_eq!(length, ends[whole]);
        }
    }
}
