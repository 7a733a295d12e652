//! What can go wrong with the store. A fault says only its own part: which operation failed and
//! what to do; the source chain says the rest, and the edge prints it once.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Which damage a journal shows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The row is not there although a later row or the head says it was written.
    #[error("the row is missing")]
    Missing,
    /// Its content does not give the hash that is written beside it: torn, zeroed or altered.
    #[error("its content does not match its hash")]
    Altered,
    /// It does not carry the hash of the row before it.
    #[error("it does not follow from the row before it")]
    Unchained,
    /// The journal's head names another hash for this row.
    #[error("the head of the journal names another hash for it")]
    NotTheHead,
    /// There are rows after the one that the head says is the last.
    #[error("it lies after the head of the journal")]
    AfterHead,
    /// Its term is lower than that of the row before it.
    #[error("its term is older than that of the row before it")]
    TermWentBack,
    /// The database cannot give it back.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
}

/// The first journal row that cannot be trusted, and why. Everything before it holds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal row {seq}: {why}")]
pub struct Broken {
    /// The row.
    pub seq: u64,
    /// What is wrong with it.
    pub why: Damage,
}

/// What lies under a fault.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// SQLite's own error.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// PostgreSQL's own error, or that of the connection to it.
    #[cfg(feature = "postgres")]
    #[error("{}", crate::postgres::describe(.0))]
    Postgres(tokio_postgres::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A stored value is not what its column promises, or a file not of the promised form.
    #[error("{0}")]
    Content(String),
    /// A cursor that this list has not handed out: the asker's fault, not the world's.
    #[error("{0}")]
    Cursor(crate::page::BadCursor),
    /// All connections stayed in use.
    #[error("no connection became free within {0:?}")]
    Busy(Duration),
    /// The server did not answer.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
}

/// Not as a source: the message above has said everything that the error would say again.
#[cfg(feature = "postgres")]
impl From<tokio_postgres::Error> for Cause {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl Cause {
    /// May the same operation succeed later without anybody repairing data or configuration?
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Sqlite(error) => sqlite_is_transient(error),
            #[cfg(feature = "postgres")]
            Self::Postgres(error) => crate::postgres::is_transient(error),
            Self::Io(error) => io_is_transient(error),
            Self::Content(_) | Self::Cursor(_) => false,
            Self::Busy(_) | Self::Timeout(_) => true,
        }
    }
}

/// A full disk counts as transient: somebody makes room and the exchange goes on.
fn sqlite_is_transient(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    matches!(
        error.sqlite_error_code(),
        Some(
            Code::DatabaseBusy
                | Code::DatabaseLocked
                | Code::DiskFull
                | Code::SystemIoFailure
                | Code::OutOfMemory
                | Code::OperationInterrupted
        )
    )
}

fn io_is_transient(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::Interrupted
            | Kind::TimedOut
            | Kind::WouldBlock
            | Kind::ConnectionRefused
            | Kind::ConnectionReset
            | Kind::ConnectionAborted
            | Kind::BrokenPipe
            | Kind::NotConnected
    )
}

/// The world failed under one operation of the store.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The database could not be opened.
    #[error("cannot open the store at {place}")]
    Open {
        /// Directory, or address without the password.
        place: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// Another process has this data directory open for writing.
    #[error(
        "{} is in use by another process (pid {holder}); \
         stop it, or give this one a data directory of its own", dir.display()
    )]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// What the lock file says of its holder.
        holder: String,
    },
    /// A newer program has written this database.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}; \
         run the newer program, or restore a backup from before the upgrade"
    )]
    NewerSchema {
        /// In the database.
        found: i64,
        /// The newest this program knows.
        known: i64,
    },
    /// The database waits for a migration, and this process may not write.
    #[error(
        "the database has schema version {found}, this program needs {needed}; \
         it is brought forward when the exchange opens it for writing"
    )]
    OlderSchema {
        /// In the database.
        found: i64,
        /// What this program reads.
        needed: i64,
    },
    /// The journal cannot be trusted from some row on. Nothing was changed.
    #[error(
        "the journal of {place} is damaged; nothing was changed. See how far it holds with \
         `dayan audit verify --data DIR`, then restore the newest backup with `dayan restore`"
    )]
    Damaged {
        /// Directory, or address without the password.
        place: String,
        /// The first row that fails.
        #[source]
        broken: Broken,
    },
    /// The location names an engine that this program was built without, or is malformed.
    #[error("{0}")]
    Location(String),
    /// The logs of tasks could not be read or written. The books are not touched by it.
    #[error("cannot {what} the logs of tasks")]
    Logs {
        /// What was being done.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: Cause,
    },
    /// The store was opened for reading only.
    #[error("the store was opened for reading only")]
    ReadOnly,
    /// A batch was not committed, or it is not known whether it was.
    #[error("batch {seq} was not committed")]
    Commit {
        /// The sequence number it would have had.
        seq: u64,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A row cannot be stored in this form; committing it again cannot help.
    #[error("a row of {table} cannot be stored: {why} in column {column}")]
    Unstorable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// What is wrong with the value.
        why: &'static str,
    },
    /// Somebody else leads now; this process must stop deciding.
    #[error("term {mine} has ended: {holder} leads term {current}")]
    TermLost {
        /// The term the batch was written under.
        mine: u64,
        /// The term in force.
        current: u64,
        /// Who holds it.
        holder: String,
    },
    /// The journal is not where this process believes it to be.
    #[error("the journal stands at {found}, not at {expected}")]
    HeadMoved {
        /// The sequence number expected to be the last.
        expected: u64,
        /// The one found.
        found: u64,
    },
    /// A commit failed before and what is really stored has not been read back.
    #[error("a commit failed; what is stored must be read back before the next one")]
    Unrecovered,
    /// Reading back after a failed commit did not succeed.
    #[error("the store does not answer yet")]
    Recover(#[source] Cause),
    /// A term could not be taken.
    #[error("the lead could not be taken")]
    Term(#[source] Cause),
    /// A query failed.
    #[error("cannot read {what}")]
    Read {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A snapshot could not be written or listed.
    #[error("cannot {what} a snapshot")]
    Snapshot {
        /// Which half.
        what: &'static str,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A backup could not be written.
    #[error("cannot back up to {}", path.display())]
    Backup {
        /// Where to.
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
    /// A backup could not be restored.
    #[error("cannot restore from {}", path.display())]
    Restore {
        /// Where from.
        path: PathBuf,
        /// Why.
        #[source]
        source: Cause,
    },
}

impl Fault {
    /// May the same operation succeed later without anybody repairing data or configuration?
    /// After a transient fault of a commit: [`crate::Store::recover`], reload, go on.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Open { source, .. }
            | Self::Commit { source, .. }
            | Self::Recover(source)
            | Self::Term(source)
            | Self::Read { source, .. }
            | Self::Snapshot { source, .. }
            | Self::Backup { source, .. }
            | Self::Restore { source, .. }
            | Self::Logs { source, .. } => source.is_transient(),
            Self::Unrecovered => true,
            Self::Locked { .. }
            | Self::NewerSchema { .. }
            | Self::OlderSchema { .. }
            | Self::Damaged { .. }
            | Self::Location(_)
            | Self::ReadOnly
            | Self::Unstorable { .. }
            | Self::TermLost { .. }
            | Self::HeadMoved { .. } => false,
        }
    }

    /// The stable dotted code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Open { .. } => "store.open",
            Self::Locked { .. } => "store.locked",
            Self::NewerSchema { .. } => "store.schema_newer",
            Self::OlderSchema { .. } => "store.schema_older",
            Self::Damaged { .. } => "store.journal_damaged",
            Self::Location(_) => "store.location",
            Self::ReadOnly => "store.read_only",
            Self::Commit { .. } => "store.commit",
            Self::Unstorable { .. } => "store.unstorable",
            Self::TermLost { .. } => "store.term_lost",
            Self::HeadMoved { .. } => "store.head_moved",
            Self::Unrecovered => "store.unrecovered",
            Self::Recover(_) => "store.recover",
            Self::Term(_) => "store.term",
            Self::Read { .. } => "store.read",
            Self::Logs { .. } => "store.logs",
            Self::Snapshot { .. } => "store.snapshot",
            Self::Backup { .. } => "store.backup",
            Self::Restore { .. } => "store.restore",
        }
    }
}
