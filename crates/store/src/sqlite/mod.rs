//! The embedded engine: one database file in write-ahead mode in the data directory.
//!
//! Invariant: at most one process has the directory open for writing (the lock file), and what a
//! commit acknowledged has been synced to the disk (`synchronous=FULL`).

mod backup;
mod lock;
mod writer;

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ErrorCode, OpenFlags, ToSql};

use crate::column::{Cells, Value};
use crate::fault::{Cause, Fault};
use crate::schema::SCHEMA_VERSION;
use crate::session::Visit;

pub(crate) use backup::{back_up, restore};
pub(crate) use writer::Writer;

/// The database file in the data directory.
pub(crate) const DATABASE_FILE: &str = "dayan.db";
/// How long to wait for a foreign lock (someone with the `sqlite3` shell) before failing.
const BUSY_MAX: Duration = Duration::from_secs(5);
/// Prepared statements kept per connection: there are about forty different texts.
const STATEMENTS_KEPT: usize = 64;

pub(crate) fn database(dir: &Path) -> PathBuf {
    dir.join(DATABASE_FILE)
}

/// One read-only connection.
pub(crate) struct Session {
    db: Connection,
}

impl Session {
    /// A connection beside a writer of this process.
    pub(crate) fn beside_writer(dir: &Path) -> Result<Self, Cause> {
        let db = Connection::open_with_flags(
            database(dir),
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        Self::prepare(db)
    }

    /// A connection to a store that this process does not write: one that another process has
    /// open, a stopped one, or a backup, perhaps on a medium that cannot be written.
    pub(crate) fn offline(dir: &Path) -> Result<Self, Cause> {
        if !database(dir).try_exists()? {
            return Err(Cause::Content(format!(
                "there is no {DATABASE_FILE} in it; name the data folder of an exchange, or a \
                 backup of one"
            )));
        }
        let shared = Self::beside_writer(dir).and_then(|session| {
            session.schema_version()?;
            Ok(session)
        });
        match shared {
            Ok(session) => return Ok(session),
            Err(Cause::Sqlite(error)) if cannot_share_memory(&error) => {}
            Err(error) => return Err(error),
        }
        // The log's index cannot be made in this folder. Without a log there is nothing to index.
        let log = database(dir).with_extension("db-wal");
        if fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            return Err(Cause::Content(format!(
                "{} holds commits that are not in the database file yet, and the folder cannot \
                 be written; copy the folder to where it can and read it there",
                log.display()
            )));
        }
        let db = Connection::open_with_flags(
            immutable_uri(&database(dir)),
            OpenFlags::SQLITE_OPEN_READ_ONLY
                | OpenFlags::SQLITE_OPEN_NO_MUTEX
                | OpenFlags::SQLITE_OPEN_URI,
        )?;
        Self::prepare(db)
    }

    fn prepare(db: Connection) -> Result<Self, Cause> {
        db.busy_timeout(BUSY_MAX)?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        // 512 KiB, 128 pages: a page of a list touches some hundred. Each of the readers fills its
        // own, and behind them is the system's cache; with eight times as much memory crept up for
        // the better part of an hour.
        db.execute_batch("PRAGMA cache_size = -512; PRAGMA query_only = ON")?;
        Ok(Self { db })
    }

    pub(crate) fn schema_version(&self) -> Result<i64, Cause> {
        Ok(schema_version(&self.db)?)
    }

    pub(crate) fn each(
        &mut self,
        sql: &str,
        params: &[Value<'_>],
        visit: Visit<'_>,
    ) -> Result<(), Cause> {
        // SQLite reads `$1` as a name. Our texts hold no dollar sign but in parameters.
        let mut statement = self.db.prepare_cached(&sql.replace('$', "?"))?;
        let mut rows = statement.query(rusqlite::params_from_iter(params))?;
        while let Some(row) = rows.next()? {
            if visit(row)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

/// 0 for an empty database.
fn schema_version(db: &Connection) -> rusqlite::Result<i64> {
    let tables: i64 = db.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'schema_versions'",
        [],
        |row| row.get(0),
    )?;
    if tables == 0 {
        return Ok(0);
    }
    db.query_row("SELECT coalesce(max(version), 0) FROM schema_versions", [], |row| row.get(0))
}

/// May this program read a database of that version?
pub(crate) fn readable(found: i64) -> Result<(), Fault> {
    match found.cmp(&SCHEMA_VERSION) {
        std::cmp::Ordering::Less => Err(Fault::OlderSchema { found, needed: SCHEMA_VERSION }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Fault::NewerSchema { found, known: SCHEMA_VERSION }),
    }
}

/// The ways in which SQLite says that it cannot make the index of the log.
fn cannot_share_memory(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    )
}

fn immutable_uri(path: &Path) -> String {
    let mut uri = String::from("file:");
    for &byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(char::from(byte));
            }
            other => {
                let _ = write!(uri, "%{other:02X}");
            }
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// Makes a file's name survive a power cut.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    fs::File::open(dir)?.sync_all()
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Blob(bytes) => ValueRef::Blob(bytes),
            Value::Unfit(why) => {
                return Err(rusqlite::Error::ToSqlConversionFailure((*why).into()));
            }
        }))
    }
}

impl Cells for rusqlite::Row<'_> {
    fn int(&self, column: usize) -> Result<Option<i64>, Cause> {
        match self.get_ref(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(number) => Ok(Some(number)),
            other => Err(unexpected(column, other)),
        }
    }
    fn text(&self, column: usize) -> Result<Option<&str>, Cause> {
        match self.get_ref(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(text) => std::str::from_utf8(text)
                .map(Some)
                .map_err(|_| Cause::Content(format!("column {column} is not UTF-8"))),
            other => Err(unexpected(column, other)),
        }
    }
    fn blob(&self, column: usize) -> Result<Option<&[u8]>, Cause> {
        match self.get_ref(column)? {
            ValueRef::Null => Ok(None),
            ValueRef::Blob(bytes) => Ok(Some(bytes)),
            other => Err(unexpected(column, other)),
        }
    }
}

fn unexpected(column: usize, value: ValueRef<'_>) -> Cause {
    Cause::Content(format!("column {column} holds a value of type {}", value.data_type()))
}
