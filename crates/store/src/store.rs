//! The façade: one store, whichever the engine.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use dayan_units::Time;

use crate::fault::{Cause, Fault};
use crate::journal::{Batch, Committed, Head, JournalRow, VerifyReport, check_tail};
use crate::query;
use crate::reader::Reader;
use crate::session::Session;
use crate::snapshot::Snapshots;
use crate::sqlite;

/// The dump of a PostgreSQL database in a backup's folder.
pub(crate) const DUMP_FILE: &str = "dayan.dump";

/// Where a store lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A data directory of this machine.
    Sqlite(PathBuf),
    /// A database at an address `postgres://user:password@host:port/name?…`.
    Postgres(String),
}

impl FromStr for Location {
    type Err = std::convert::Infallible;
    /// An address that begins with `postgres://` or `postgresql://`, else a path.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address =
            ["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme));
        Ok(if address { Self::Postgres(text.to_owned()) } else { Self::Sqlite(text.into()) })
    }
}

impl fmt::Display for Location {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(dir) => write!(f, "{}", dir.display()),
            Self::Postgres(url) => f.write_str(&without_password(url)),
        }
    }
}

/// Everything between the last `@` before the path and the scheme may be secret.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return "postgres".to_owned() };
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = host.split(['?', '#']).next().unwrap_or(host);
    format!("{scheme}://{host}")
}

/// What the store is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For the exchange: makes what is missing, brings an older schema forward, and on SQLite
    /// keeps every other writer out.
    Write,
    /// For looking: changes nothing, and works beside a running exchange.
    ReadOnly,
    /// For finding out what is wrong: as reading only, and a damaged journal opens too.
    Inspect,
}

/// Where connections come from; carries no connection itself.
#[derive(Clone)]
pub(crate) enum Source {
    /// Beside a writer in this process.
    Sqlite(PathBuf),
    /// Whatever may or may not run beside.
    SqliteOffline(PathBuf),
    #[cfg(feature = "postgres")]
    Postgres(crate::postgres::Target),
}

impl Source {
    pub(crate) fn session(&self) -> Result<Session, Cause> {
        match self {
            Self::Sqlite(dir) => sqlite::Session::beside_writer(dir).map(Session::Sqlite),
            Self::SqliteOffline(dir) => sqlite::Session::offline(dir).map(Session::Sqlite),
            #[cfg(feature = "postgres")]
            Self::Postgres(target) => {
                crate::postgres::Session::open(target).map(Box::new).map(Session::Postgres)
            }
        }
    }

    /// For messages: never with a password.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Sqlite(dir) | Self::SqliteOffline(dir) => dir.display().to_string(),
            #[cfg(feature = "postgres")]
            Self::Postgres(target) => target.place().to_owned(),
        }
    }

    pub(crate) fn back_up(&self, to: &Path) -> Result<BackupReport, Fault> {
        let fault = |source: Cause| Fault::Backup { path: to.to_owned(), source };
        match self {
            Self::Sqlite(dir) | Self::SqliteOffline(dir) => {
                sqlite::back_up(dir, to).map_err(fault)?;
                let copy = Store::open(&Location::Sqlite(to.to_owned()), OpenMode::ReadOnly)?;
                Ok(BackupReport { head: copy.head().clone() })
            }
            #[cfg(feature = "postgres")]
            Self::Postgres(target) => {
                let head = crate::postgres::dump(target, to).map_err(fault)?;
                Ok(BackupReport { head })
            }
        }
    }
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The journal's head in it. Written down elsewhere, its hash proves the backup later.
    pub head: Head,
}

enum Engine {
    Sqlite(Box<sqlite::Writer>),
    #[cfg(feature = "postgres")]
    Postgres(Box<crate::postgres::Writer>),
    ReadOnly(Head),
}

/// A store. Not shared: the writer's thread owns it and gives out [`Reader`]s and [`Snapshots`].
pub struct Store {
    engine: Engine,
    reader: Reader,
    trust: Trust,
}

/// Does memory still stand for what is stored?
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Current,
    Unrecovered,
}

impl Store {
    /// Opens the store at `location` and checks that the end of its journal is whole, unless that
    /// is what the caller wants to find out.
    pub fn open(location: &Location, mode: OpenMode) -> Result<Self, Fault> {
        match (location, mode) {
            (Location::Sqlite(dir), OpenMode::Write) => {
                let writer = sqlite::Writer::open(dir)?;
                Ok(Self::over(Engine::Sqlite(Box::new(writer)), Source::Sqlite(dir.clone())))
            }
            (Location::Sqlite(dir), OpenMode::ReadOnly | OpenMode::Inspect) => {
                let fault = |source| Fault::Open { place: location.to_string(), source };
                let session = sqlite::Session::offline(dir).map_err(fault)?;
                sqlite::readable(session.schema_version().map_err(fault)?)?;
                let head = head_for(mode, &mut Session::Sqlite(session), location)?;
                Ok(Self::over(Engine::ReadOnly(head), Source::SqliteOffline(dir.clone())))
            }
            #[cfg(feature = "postgres")]
            (Location::Postgres(url), OpenMode::Write) => {
                let target = crate::postgres::Target::parse(url, location)?;
                let writer = crate::postgres::Writer::open(&target)?;
                Ok(Self::over(Engine::Postgres(Box::new(writer)), Source::Postgres(target)))
            }
            #[cfg(feature = "postgres")]
            (Location::Postgres(url), OpenMode::ReadOnly | OpenMode::Inspect) => {
                let fault = |source| Fault::Open { place: location.to_string(), source };
                let target = crate::postgres::Target::parse(url, location)?;
                let mut session = crate::postgres::Session::open(&target).map_err(fault)?;
                sqlite::readable(session.schema_version().map_err(fault)?)?;
                let mut session = Session::Postgres(Box::new(session));
                let head = head_for(mode, &mut session, location)?;
                Ok(Self::over(Engine::ReadOnly(head), Source::Postgres(target)))
            }
            #[cfg(not(feature = "postgres"))]
            (Location::Postgres(_), OpenMode::Write | OpenMode::ReadOnly | OpenMode::Inspect) => {
                Err(Fault::Location(
                    "this program was built without PostgreSQL; use a data directory".to_owned(),
                ))
            }
        }
    }

    fn over(engine: Engine, source: Source) -> Self {
        Self { engine, reader: Reader::new(source), trust: Trust::Current }
    }

    /// Where the journal stands, as of opening, the last commit, term or recovery.
    pub fn head(&self) -> &Head {
        match &self.engine {
            Engine::Sqlite(writer) => writer.head(),
            #[cfg(feature = "postgres")]
            Engine::Postgres(writer) => writer.head(),
            Engine::ReadOnly(head) => head,
        }
    }

    /// Begins a new term: from now on batches of older terms are refused, also those of another
    /// process. Returns its number. The journal may have moved: load it after this.
    pub fn take_term(&mut self, holder: &str, now: Time) -> Result<u64, Fault> {
        match &mut self.engine {
            Engine::Sqlite(writer) => writer.take_term(holder, now),
            #[cfg(feature = "postgres")]
            Engine::Postgres(writer) => writer.take_term(holder, now),
            Engine::ReadOnly(_) => Err(Fault::ReadOnly),
        }
    }

    /// Makes a batch durable, journal row and read models in one transaction, or fails and
    /// changes nothing that is acknowledged. Rows of one batch are taken table by table in the
    /// order given; of rows with one key in a replacing table the last counts.
    ///
    /// After any failure every further commit is [`Fault::Unrecovered`] until [`Self::recover`]
    /// succeeded: what the caller has in memory may not be what is stored.
    pub fn commit(&mut self, batch: &Batch) -> Result<Committed, Fault> {
        if self.trust == Trust::Unrecovered {
            return Err(Fault::Unrecovered);
        }
        let committed = match &mut self.engine {
            Engine::Sqlite(writer) => writer.commit(batch),
            #[cfg(feature = "postgres")]
            Engine::Postgres(writer) => writer.commit(batch),
            Engine::ReadOnly(_) => return Err(Fault::ReadOnly),
        };
        if committed.is_err() {
            self.trust = Trust::Unrecovered;
        }
        committed
    }

    /// After a failed commit: connects anew and reads back where the journal really stands. The
    /// failed batch may turn out to be there. The caller reloads its state from here.
    pub fn recover(&mut self) -> Result<&Head, Fault> {
        match &mut self.engine {
            Engine::Sqlite(writer) => writer.recover()?,
            #[cfg(feature = "postgres")]
            Engine::Postgres(writer) => writer.recover()?,
            Engine::ReadOnly(_) => return Err(Fault::ReadOnly),
        }
        self.trust = Trust::Current;
        Ok(self.head())
    }

    /// A handle for reading, for any number of threads.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// A handle for snapshots, for the thread of the shadow that trails the journal.
    pub fn snapshots(&self) -> Snapshots {
        let writable = match &self.engine {
            Engine::Sqlite(_) => OpenMode::Write,
            #[cfg(feature = "postgres")]
            Engine::Postgres(_) => OpenMode::Write,
            Engine::ReadOnly(_) => OpenMode::ReadOnly,
        };
        Snapshots::new(self.reader(), writable)
    }

    /// See [`Reader::journal_from`].
    pub fn journal_from(&self, seq: u64, limit: usize) -> Result<Vec<JournalRow>, Fault> {
        self.reader.journal_from(seq, limit)
    }

    /// See [`Reader::verify`].
    pub fn verify(&self, from: u64) -> Result<VerifyReport, Fault> {
        self.reader.verify(from)
    }

    /// See [`Reader::backup_to`].
    pub fn backup_to(&self, to: &Path) -> Result<BackupReport, Fault> {
        self.reader.backup_to(to)
    }

    /// Fills an empty location from a backup, and opens it for reading to prove it.
    pub fn restore_from(from: &Path, location: &Location) -> Result<BackupReport, Fault> {
        let fault = |source: Cause| Fault::Restore { path: from.to_owned(), source };
        refuse_no_backup(from, location).map_err(fault)?;
        match location {
            Location::Sqlite(dir) => sqlite::restore(from, dir).map_err(fault)?,
            #[cfg(feature = "postgres")]
            Location::Postgres(url) => {
                let target = crate::postgres::Target::parse(url, location)?;
                crate::postgres::load(&target, from).map_err(fault)?;
            }
            #[cfg(not(feature = "postgres"))]
            Location::Postgres(_) => {}
        }
        let restored = Self::open(location, OpenMode::ReadOnly)?;
        Ok(BackupReport { head: restored.head().clone() })
    }
}

/// Says what the folder is not, before anything is made: no backup at all, or one of the other
/// engine.
fn refuse_no_backup(from: &Path, location: &Location) -> Result<(), Cause> {
    let (wanted, other) = match location {
        Location::Sqlite(_) => (sqlite::DATABASE_FILE, DUMP_FILE),
        Location::Postgres(_) => (DUMP_FILE, sqlite::DATABASE_FILE),
    };
    let advice = "name a folder that `dayan backup` wrote";
    if !from.is_dir() {
        return Err(Cause::Content(format!("there is no such folder; {advice}")));
    }
    if from.join(other).exists() {
        return Err(Cause::Content(match location {
            Location::Sqlite(_) => {
                "it is the dump of a PostgreSQL database; restore it to one".to_owned()
            }
            Location::Postgres(_) => {
                "it is the copy of a data directory; restore it to a folder".to_owned()
            }
        }));
    }
    // The permission to look is asked about here too.
    if !from.join(wanted).try_exists()? {
        return Err(Cause::Content(format!("there is no {wanted} in it; {advice}")));
    }
    Ok(())
}

/// The head of a store that is opened for reading.
fn head_for(mode: OpenMode, session: &mut Session, location: &Location) -> Result<Head, Fault> {
    let place = location.to_string();
    let fault = |source| Fault::Open { place: place.clone(), source };
    match mode {
        OpenMode::Inspect => query::head(session).map_err(fault),
        OpenMode::Write | OpenMode::ReadOnly => sound_head(session, &place, fault),
    }
}

/// The head of a store, after a check that the newest rows really lead to it.
pub(crate) fn sound_head(
    session: &mut Session,
    place: &str,
    fault: impl Fn(Cause) -> Fault,
) -> Result<Head, Fault> {
    let (head, tail) = query::head_and_tail(session).map_err(fault)?;
    check_tail(&head, &tail)
        .map_err(|broken| Fault::Damaged { place: place.to_owned(), broken })?;
    Ok(head)
}
