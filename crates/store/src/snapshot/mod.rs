//! Snapshots of the caller's state, so that a start need not replay the whole journal.
//!
//! A snapshot is named by the journal row it follows and carries that row's hash: one that
//! belongs to another history (a restored backup, a foreign folder) is passed over, as is one
//! whose checksum fails; the next older one or the journal alone serves instead.
//!
//! On SQLite they are files: a state of 200 MB in a table would hold the database's only write
//! lock while it is written and swell the write-ahead log. On PostgreSQL they are rows of a
//! megabyte each, since servers share the database and no folder; writers there do not wait for
//! one another.

mod encoding;
mod files;

use std::io::{self, Write};

use crate::fault::{Cause, Fault};
use crate::journal::ChainHash;
use crate::query;
use crate::reader::Reader;
use crate::store::{OpenMode, Source};

pub(crate) use encoding::{Header, decode, encode};
pub(crate) use files::copy as copy_files;

/// How many are kept: the newest, and one for when the newest cannot be read.
pub const SNAPSHOTS_KEPT: usize = 2;

/// A snapshot that was read and found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last journal row it includes; replay goes on with the next.
    pub seq: u64,
    /// The caller's version of the encoding of `bytes`.
    pub encoding: u32,
    /// The state.
    pub bytes: Vec<u8>,
}

/// A snapshot that is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotWritten {
    /// The last journal row it includes.
    pub seq: u64,
    /// Bytes of state.
    pub bytes: u64,
    /// Bytes stored.
    pub stored: u64,
}

/// A handle for snapshots; uses connections and files of its own.
#[derive(Clone)]
pub struct Snapshots {
    reader: Reader,
    mode: OpenMode,
}

impl Snapshots {
    pub(crate) fn new(reader: Reader, mode: OpenMode) -> Self {
        Self { reader, mode }
    }

    /// Keeps the state after journal row `seq`, which must be committed. `fill` writes the state;
    /// it is compressed and stored as it comes. Older snapshots than the newest
    /// [`SNAPSHOTS_KEPT`] are removed. Snapshots are put by one thread at a time.
    pub fn put(
        &self,
        seq: u64,
        encoding: u32,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<SnapshotWritten, Fault> {
        if self.mode != OpenMode::Write {
            return Err(Fault::ReadOnly);
        }
        let fault = |source| Fault::Snapshot { what: "write", source };
        let hash = self
            .hash_at(seq)?
            .ok_or_else(|| fault(Cause::Content(format!("journal row {seq} is not committed"))))?;
        let header = Header { seq, encoding, hash };
        match self.reader.source() {
            Source::Sqlite(dir) | Source::SqliteOffline(dir) => files::put(dir, &header, fill),
            #[cfg(feature = "postgres")]
            Source::Postgres(target) => crate::postgres::snapshot_put(target, &header, fill),
        }
        .map_err(fault)
    }

    /// [`Self::put`] of bytes at hand.
    pub fn put_bytes(
        &self,
        seq: u64,
        encoding: u32,
        bytes: &[u8],
    ) -> Result<SnapshotWritten, Fault> {
        self.put(seq, encoding, &mut |sink| sink.write_all(bytes))
    }

    /// The newest snapshot that is whole and belongs to this journal.
    pub fn latest(&self) -> Result<Option<Snapshot>, Fault> {
        let fault = |source| Fault::Snapshot { what: "list", source };
        let seqs = match self.reader.source() {
            Source::Sqlite(dir) | Source::SqliteOffline(dir) => files::list(dir),
            #[cfg(feature = "postgres")]
            Source::Postgres(_) => self.reader.pool().with(query::snapshot_seqs),
        }
        .map_err(fault)?;
        for seq in seqs.into_iter().rev() {
            match self.load(seq) {
                Ok((header, bytes)) => {
                    if header.seq == seq && self.hash_at(seq)? == Some(header.hash) {
                        return Ok(Some(Snapshot { seq, encoding: header.encoding, bytes }));
                    }
                    tracing::warn!(seq, "a snapshot of another journal is passed over");
                }
                Err(error) if error.is_transient() => return Err(fault(error)),
                Err(error) => tracing::warn!(seq, %error, "a damaged snapshot is passed over"),
            }
        }
        Ok(None)
    }

    fn load(&self, seq: u64) -> Result<(Header, Vec<u8>), Cause> {
        let stored = match self.reader.source() {
            Source::Sqlite(dir) | Source::SqliteOffline(dir) => files::read(dir, seq)?,
            #[cfg(feature = "postgres")]
            Source::Postgres(_) => {
                self.reader.pool().with(|session| query::snapshot_bytes(session, seq))?
            }
        };
        decode(&stored)
    }

    fn hash_at(&self, seq: u64) -> Result<Option<ChainHash>, Fault> {
        self.reader.read("the journal", |session| query::journal_hash(session, seq))
    }
}
