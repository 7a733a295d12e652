//! What tasks wrote, kept after their end: parts of logs, found by attempt and offset, bounded by
//! age and size.
//!
//! Logs are no books: they are no part of the journal, of a backup or of a commit. On SQLite they
//! lie in a file of their own, so that a busy site does not hold up the writer; on PostgreSQL in a
//! table that all servers share. Invariant: of an attempt all is found or nothing, as
//! [`Logs::put`] says when it is whole; a part that is put again changes nothing. How parts are
//! packed is the caller's.

use std::fmt;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use dayan_units::{AttemptId, Time};
use rusqlite::Connection;

use crate::column::{Column, Value};
use crate::fault::{Cause, Fault};
use crate::session::Visit;
use crate::store::Location;

/// The file in the data folder.
const LOGS_FILE: &str = "logs.db";
/// How long to wait for a reader of the file who holds it.
const BUSY_MAX: std::time::Duration = std::time::Duration::from_secs(5);
/// Rows that one statement removes: some tens of milliseconds, in which others wait.
const TRIM_ROWS: i64 = 512;

/// `stream` is −1 in the row that says that all of an attempt is there.
const TABLES: &str = "
CREATE TABLE IF NOT EXISTS task_logs (
    attempt TEXT    NOT NULL,
    stream  BIGINT  NOT NULL,
    start   BIGINT  NOT NULL,
    length  BIGINT  NOT NULL,
    at      BIGINT  NOT NULL,
    size    BIGINT  NOT NULL,
    bytes   {bytes} NOT NULL,
    PRIMARY KEY (attempt, stream, start)
);
CREATE INDEX IF NOT EXISTS task_logs_by_age ON task_logs (at, size);
";
const WHOLE: i64 = -1;

/// A part of one stream of an attempt's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Whose.
    pub attempt: AttemptId,
    /// Which stream, by the caller's numbers from 0.
    pub stream: u8,
    /// Where it begins in what the task wrote.
    pub start: u64,
    /// How many bytes the task wrote there.
    pub length: u64,
    /// Them, as the caller packed them.
    pub bytes: Vec<u8>,
}

/// What is kept now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogsKept {
    /// Parts.
    pub parts: u64,
    /// Their bytes as packed.
    pub bytes: u64,
}

enum Place {
    File(PathBuf),
    #[cfg(feature = "postgres")]
    Server(Box<crate::postgres::Target>),
}

/// The logs of one exchange.
pub struct Logs {
    place: Place,
    /// None after a failure: the next who asks connects anew.
    hand: Mutex<Option<Hand>>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Logs")
    }
}

/// One connection that reads and writes.
enum Hand {
    Sqlite(Connection),
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::Session>),
}

impl Logs {
    /// Opens what is kept beside the store at `location`, made where it is missing.
    pub fn open(location: &Location) -> Result<Self, Fault> {
        let place = match location {
            Location::Sqlite(dir) => Place::File(dir.join(LOGS_FILE)),
            #[cfg(feature = "postgres")]
            Location::Postgres(url) => {
                Place::Server(Box::new(crate::postgres::Target::parse(url, location)?))
            }
            #[cfg(not(feature = "postgres"))]
            Location::Postgres(_) => {
                return Err(Fault::Location(
                    "this program was built without PostgreSQL; use a data directory".to_owned(),
                ));
            }
        };
        let fault = |source| Fault::Open { place: location.to_string(), source };
        let hand = Hand::open(&place).map_err(fault)?;
        Ok(Self { place, hand: Mutex::new(Some(hand)) })
    }

    fn with<T>(
        &self,
        what: &'static str,
        work: impl FnOnce(&mut Hand) -> Result<T, Cause>,
    ) -> Result<T, Fault> {
        let fault = |source| Fault::Logs { what, source };
        let mut seat = self.hand.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hand = match seat.take() {
            Some(hand) => hand,
            None => Hand::open(&self.place).map_err(fault)?,
        };
        let done = work(&mut hand).map_err(fault)?;
        *seat = Some(hand);
        Ok(done)
    }

    /// Keeps parts, and that these attempts are whole with them: all of it or none.
    pub fn put(&self, now: Time, parts: &[LogPart], whole: &[AttemptId]) -> Result<(), Fault> {
        self.with("write", |hand| {
            hand.run("BEGIN")?;
            for part in parts {
                hand.insert(part.attempt, i64::from(part.stream), part, now)?;
            }
            for attempt in whole {
                let mark = LogPart {
                    attempt: *attempt,
                    stream: 0,
                    start: 0,
                    length: 0,
                    bytes: Vec::new(),
                };
                hand.insert(*attempt, WHOLE, &mark, now)?;
            }
            hand.run("COMMIT")
        })
    }

    /// Is all of an attempt's output here?
    pub fn is_whole(&self, attempt: AttemptId) -> Result<bool, Fault> {
        self.with("read", |hand| {
            let sql = "SELECT 1 FROM task_logs WHERE attempt = $1 AND stream = -1";
            let mut found = false;
            hand.each(sql, &[attempt.value()], &mut |_| {
                found = true;
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(found)
        })
    }

    /// The first part of a stream that ends behind `offset`.
    pub fn find(
        &self,
        attempt: AttemptId,
        stream: u8,
        offset: u64,
    ) -> Result<Option<LogPart>, Fault> {
        self.with("read", |hand| {
            let sql = "SELECT start, length, bytes FROM task_logs \
                       WHERE attempt = $1 AND stream = $2 AND start + length > $3 \
                       ORDER BY start LIMIT 1";
            let stream_number = i64::from(stream);
            let params = [attempt.value(), stream_number.value(), offset.value()];
            let mut found = None;
            hand.each(sql, &params, &mut |cells| {
                let (start, length) = (u64::read(cells, 0)?, u64::read(cells, 1)?);
                let bytes = Vec::<u8>::read(cells, 2)?;
                found = Some(LogPart { attempt, stream, start, length, bytes });
                Ok(ControlFlow::Continue(()))
            })?;
            Ok(found)
        })
    }

    /// What is kept.
    pub fn kept(&self) -> Result<LogsKept, Fault> {
        self.with("read", Hand::kept)
    }

    /// Removes what came before `before`, and then the oldest until at most `bytes_max` are left.
    /// Says what is kept.
    pub fn trim(&self, before: Time, bytes_max: u64) -> Result<LogsKept, Fault> {
        self.with("trim", |hand| {
            while hand.remove_before(before)? > 0 {}
            let mut kept = hand.kept()?;
            while kept.bytes > bytes_max && hand.remove_oldest()? > 0 {
                kept = hand.kept()?;
            }
            hand.shrink()?;
            Ok(kept)
        })
    }
}

impl Hand {
    fn open(place: &Place) -> Result<Self, Cause> {
        match place {
            Place::File(path) => sqlite(path).map(Self::Sqlite),
            #[cfg(feature = "postgres")]
            Place::Server(target) => {
                let mut session =
                    crate::postgres::Session::connect(target, crate::postgres::Access::Write)?;
                // Of two servers that start together one makes the tables; `IF NOT EXISTS` alone
                // does not keep the other from trying.
                let tables = TABLES.replace("{bytes}", "BYTEA");
                let tables = tables.replace(" TEXT", " TEXT COLLATE \"C\"");
                session.run(&format!(
                    "BEGIN; SELECT pg_advisory_xact_lock({TABLES_LOCK}); {tables} COMMIT"
                ))?;
                Ok(Self::Postgres(Box::new(session)))
            }
        }
    }

    fn run(&mut self, sql: &str) -> Result<(), Cause> {
        match self {
            Self::Sqlite(db) => Ok(db.execute_batch(sql)?),
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.run(sql),
        }
    }

    fn execute(&mut self, sql: &str, params: &[Value<'_>]) -> Result<u64, Cause> {
        match self {
            Self::Sqlite(db) => {
                let mut statement = db.prepare_cached(&sql.replace('$', "?"))?;
                Ok(statement.execute(rusqlite::params_from_iter(params))? as u64)
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => {
                let params: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> =
                    params.iter().map(|value| value as _).collect();
                session.execute(sql, &params)
            }
        }
    }

    fn each(&mut self, sql: &str, params: &[Value<'_>], visit: Visit<'_>) -> Result<(), Cause> {
        match self {
            Self::Sqlite(db) => {
                let mut statement = db.prepare_cached(&sql.replace('$', "?"))?;
                let mut rows = statement.query(rusqlite::params_from_iter(params))?;
                while let Some(row) = rows.next()? {
                    if visit(row)? == ControlFlow::Break(()) {
                        break;
                    }
                }
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.each(sql, params, visit),
        }
    }

    fn insert(
        &mut self,
        attempt: AttemptId,
        stream: i64,
        part: &LogPart,
        now: Time,
    ) -> Result<(), Cause> {
        let sql = "INSERT INTO task_logs (attempt, stream, start, length, at, size, bytes) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let size = part.bytes.len() as u64;
        let params = [
            attempt.value(),
            stream.value(),
            part.start.value(),
            part.length.value(),
            now.value(),
            size.value(),
            part.bytes.value(),
        ];
        if let Some(why) = params.iter().find_map(Value::unstorable) {
            return Err(Cause::Content(format!("a part of a log holds {why}")));
        }
        self.execute(sql, &params).map(drop)
    }

    fn kept(&mut self) -> Result<LogsKept, Cause> {
        let sql = "SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM task_logs \
                   WHERE stream >= 0";
        let mut kept = LogsKept::default();
        self.each(sql, &[], &mut |cells| {
            kept = LogsKept { parts: u64::read(cells, 0)?, bytes: u64::read(cells, 1)? };
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(kept)
    }

    /// Gives back to the file system what was removed. PostgreSQL does so by itself.
    fn shrink(&mut self) -> Result<(), Cause> {
        match self {
            Self::Sqlite(db) => {
                let mut statement = db.prepare("PRAGMA incremental_vacuum")?;
                let mut rows = statement.query([])?;
                while rows.next()?.is_some() {}
                Ok(())
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Ok(()),
        }
    }

    fn remove_before(&mut self, before: Time) -> Result<u64, Cause> {
        // An attempt's parts came together, its mark with the last of them: no half is left.
        let sql = "DELETE FROM task_logs WHERE attempt IN \
                   (SELECT attempt FROM task_logs WHERE at < $1 ORDER BY at LIMIT $2)";
        self.execute(sql, &[before.value(), TRIM_ROWS.value()])
    }

    fn remove_oldest(&mut self) -> Result<u64, Cause> {
        let sql = "DELETE FROM task_logs WHERE attempt IN \
                   (SELECT attempt FROM task_logs ORDER BY at LIMIT $1)";
        self.execute(sql, &[TRIM_ROWS.value()])
    }
}

/// Any number that no other program takes in the same database: the first letters of `dayan logs`.
#[cfg(feature = "postgres")]
const TABLES_LOCK: i64 = 0x6461_7961_6e6c;

fn sqlite(path: &Path) -> Result<Connection, Cause> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_MAX)?;
    // `auto_vacuum` counts only before the first table. A log that was acknowledged outlives the
    // process; the last second before a power cut is not worth a flush of the disk each.
    db.execute_batch(
        "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; \
         PRAGMA synchronous = NORMAL; PRAGMA cache_size = -512",
    )?;
    db.execute_batch(&TABLES.replace("{bytes}", "BLOB"))?;
    Ok(db)
}
