//! The one connection that writes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use dayan_units::Time;
use rusqlite::{Connection, OpenFlags, params};

use crate::column::Column;
use crate::fault::{Cause, Fault};
use crate::journal::{Batch, Committed, Head, row_hash};
use crate::rows::{self, READ_MODELS};
use crate::schema::{Dialect, MIGRATIONS, VERSIONS_TABLE};
use crate::store::sound_head;
use crate::table::Group;

use super::lock::DirLock;
use super::{BUSY_MAX, STATEMENTS_KEPT, Session, database, schema_version, sync_dir};

/// Pages in the log before they are carried into the database file. 4,000 × 4 KiB = 16 MB: large
/// enough that a page written by many batches is carried over once, small enough that one round
/// of it takes some tens of milliseconds.
const CHECKPOINT_PAGES: u32 = 4_000;

const INSERT_JOURNAL: &str =
    "INSERT INTO journal (seq, term, at, payload, prev, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
const MOVE_HEAD: &str =
    "UPDATE head SET seq = ?1, hash = ?2 WHERE one = 1 AND seq = ?3 AND term = ?4";

pub(crate) struct Writer {
    dir: PathBuf,
    db: Connection,
    head: Head,
    /// In the order of the read models.
    inserts: Vec<String>,
    _lock: DirLock,
}

impl Writer {
    pub(crate) fn open(dir: &Path) -> Result<Self, Fault> {
        let fault = |source: Cause| Fault::Open { place: dir.display().to_string(), source };
        fs::create_dir_all(dir).map_err(|error| fault(error.into()))?;
        let lock = DirLock::take(dir)?;
        let mut db = connect(dir).map_err(fault)?;
        migrate(&mut db, dir)?;
        sync_dir(dir).map_err(|error| fault(error.into()))?;
        let head = read_head(dir, fault)?;
        let inserts = READ_MODELS.iter().map(|table| table.insert_values()).collect();
        Ok(Self { dir: dir.to_owned(), db, head, inserts, _lock: lock })
    }

    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// A new connection, so that nothing the failed one believed survives, and the head as it is.
    pub(crate) fn recover(&mut self) -> Result<(), Fault> {
        self.db = connect(&self.dir).map_err(Fault::Recover)?;
        self.head = read_head(&self.dir, Fault::Recover)?;
        Ok(())
    }

    pub(crate) fn take_term(&mut self, holder: &str, now: Time) -> Result<u64, Fault> {
        let taken = self.db.execute(
            "UPDATE head SET term = term + 1, holder = ?1, taken_at = ?2 WHERE one = 1",
            params![holder, now.micros()],
        );
        taken.map_err(|error| Fault::Term(error.into()))?;
        self.head = read_head(&self.dir, Fault::Term)?;
        Ok(self.head.term)
    }

    pub(crate) fn commit(&mut self, batch: &Batch) -> Result<Committed, Fault> {
        let groups = rows::group(&batch.rows)?;
        let prev = self.head.hash;
        let seq = self.head.seq + 1;
        let hash = row_hash(&prev, seq, batch.term, batch.at, &batch.payload);
        let committed = Committed { seq, hash };
        match self.write(batch, &groups, committed) {
            Ok(true) => {
                self.head.seq = seq;
                self.head.hash = hash;
                Ok(committed)
            }
            Ok(false) => {
                self.roll_back();
                Err(self.why_fenced(batch.term))
            }
            Err(error) => {
                self.roll_back();
                Err(Fault::Commit { seq, source: error.into() })
            }
        }
    }

    /// The whole transaction. False: the head is not where it should be, nothing was committed.
    fn write(
        &self,
        batch: &Batch,
        groups: &[Group<'_>],
        Committed { seq, hash }: Committed,
    ) -> rusqlite::Result<bool> {
        let db = &self.db;
        db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let moved = db.prepare_cached(MOVE_HEAD)?.execute(params![
            seq.value(),
            hash.0.value(),
            self.head.seq.value(),
            batch.term.value(),
        ])?;
        if moved != 1 {
            return Ok(false);
        }
        db.prepare_cached(INSERT_JOURNAL)?.execute(params![
            seq.value(),
            batch.term.value(),
            batch.at.value(),
            batch.payload.value(),
            self.head.hash.0.value(),
            hash.0.value(),
        ])?;
        for (group, insert) in groups.iter().zip(&self.inserts) {
            write_group(db, group, insert)?;
        }
        db.prepare_cached("COMMIT")?.execute([])?;
        Ok(true)
    }

    fn roll_back(&self) {
        if !self.db.is_autocommit() {
            // If this fails too, recovery throws the connection away; the log has no commit mark.
            if let Err(error) = self.db.execute_batch("ROLLBACK") {
                tracing::warn!(%error, "a failed batch could not be rolled back");
            }
        }
    }

    fn why_fenced(&self, mine: u64) -> Fault {
        match read_head(&self.dir, |source| Fault::Commit { seq: self.head.seq + 1, source }) {
            Ok(head) => head.refuses(mine, self.head.seq),
            Err(fault) => fault,
        }
    }
}

fn write_group(db: &Connection, group: &Group<'_>, insert: &str) -> rusqlite::Result<()> {
    if group.rows() == 0 {
        return Ok(());
    }
    // One row a run: statements of many rows were measured and are not faster here, for SQLite
    // works in this process and there is no way to save.
    let mut statement = db.prepare_cached(insert)?;
    for row in group.values.chunks_exact(group.table.columns.len()) {
        for (at, value) in row.iter().enumerate() {
            statement.raw_bind_parameter(at + 1, value)?;
        }
        statement.raw_execute()?;
    }
    Ok(())
}

fn connect(dir: &Path) -> Result<Connection, Cause> {
    let db = Connection::open_with_flags(
        database(dir),
        OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    db.busy_timeout(BUSY_MAX)?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    // SQLite opens a file it may not write for reading, without a word.
    if db.is_readonly("main")? {
        return Err(Cause::Io(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} cannot be written", database(dir).display()),
        )));
    }
    let mode: String = db.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if !mode.eq_ignore_ascii_case("wal") {
        return Err(Cause::Content(format!("write-ahead logging is not possible here ({mode})")));
    }
    db.execute_batch(&format!(
        "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}; \
         PRAGMA cache_size = -32768; PRAGMA temp_store = MEMORY"
    ))?;
    Ok(db)
}

/// Brings an older database forward, one transaction per step; refuses a newer one untouched.
fn migrate(db: &mut Connection, dir: &Path) -> Result<(), Fault> {
    let fault = |source: rusqlite::Error| Fault::Open {
        place: dir.display().to_string(),
        source: source.into(),
    };
    let found = schema_version(db).map_err(fault)?;
    if found > crate::schema::SCHEMA_VERSION {
        return super::readable(found);
    }
    for migration in MIGRATIONS.iter().filter(|migration| migration.version > found) {
        let step = |db: &mut Connection| {
            let tx = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
            tx.execute_batch(VERSIONS_TABLE)?;
            tx.execute_batch(&migration.sql(Dialect::Sqlite))?;
            tx.execute(
                "INSERT INTO schema_versions (version, name) VALUES (?1, ?2)",
                params![migration.version, migration.name],
            )?;
            if migration.version == 1 {
                let empty = Head::empty();
                tx.execute(
                    "INSERT INTO head (one, seq, hash, term, holder, taken_at) \
                     VALUES (1, 0, ?1, 0, '', 0)",
                    params![empty.hash.0.value()],
                )?;
            }
            tx.commit()
        };
        step(db).map_err(fault)?;
    }
    Ok(())
}

fn read_head(dir: &Path, fault: impl Fn(Cause) -> Fault) -> Result<Head, Fault> {
    let session = Session::beside_writer(dir).map_err(&fault)?;
    let mut session = crate::session::Session::Sqlite(session);
    sound_head(&mut session, &dir.display().to_string(), fault)
}
