//! The exchange's memory: an append-only journal, snapshots and read models behind one façade,
//! on SQLite (embedded, the default) or PostgreSQL.
//!
//! Invariants: a batch is one transaction, journal row and read models together, durable before
//! [`Store::commit`] returns; each journal row carries the hash of the row before it; a commit
//! is accepted only from the holder of the newest term. After a failed commit nothing else is
//! committed until [`Store::recover`] has read back what is really there.
//!
//! This room knows no rules of the exchange: payloads, states and documents are the caller's
//! text. It reads no clock. The API blocks; the writer owns a thread, readers are called from
//! threads that may block.

mod column;
mod fault;
mod journal;
mod logs;
mod page;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod reader;
mod rows;
mod schema;
mod session;
mod snapshot;
mod sqlite;
mod store;
mod table;

pub use fault::{Broken, Cause, Damage, Fault};
pub use journal::{Batch, ChainHash, Committed, Head, JournalRow, Survey, VerifyReport};
pub use logs::{LogPart, Logs, LogsKept};
pub use page::{BadCursor, Cursor, PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX, Page, Paging};
pub use query::{FindingFilter, JobFilter, LineFilter, LineSum, SumBy};
pub use reader::{JOURNAL_PAGE_BYTES_MAX, JOURNAL_PAGE_ROWS_MAX, Reader};
pub use rows::{
    AccountRow, AttemptRow, FindingRow, InvoiceRow, JobRow, LineRow, RequestRow, Row, SiteCountRow,
    TransferRow,
};
pub use snapshot::{SNAPSHOTS_KEPT, Snapshot, SnapshotWritten, Snapshots};
pub use store::{BackupReport, Location, OpenMode, Store};

/// A folder that holds the books, or a copy of them, is its owner's alone: job files may carry
/// secrets.
fn private(folder: &std::path::Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}
