//! The tables, as numbered migrations that go forward only. One text serves both engines; the
//! three words that differ are named in [`Dialect`].
//!
//! A released migration is never edited: the next change is a new one with the next number.

#[cfg(feature = "postgres")]
use crate::column::Kind;
#[cfg(feature = "postgres")]
use crate::table::{ColumnSpec, OnRepeat, OnUpdate, Table};

/// The version this program writes and reads.
pub(crate) const SCHEMA_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

pub(crate) struct Migration {
    pub(crate) version: i64,
    /// What it is for; kept in the database beside the version.
    pub(crate) name: &'static str,
    text: &'static str,
}

/// The words in which the engines differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Migration {
    pub(crate) fn sql(&self, dialect: Dialect) -> String {
        match dialect {
            // `INTEGER PRIMARY KEY` is SQLite's row id; a BIGINT key would need a second tree.
            // A clustered table keeps its rows in the tree of their key.
            Dialect::Sqlite => self
                .text
                .replace("{number_key}", "INTEGER PRIMARY KEY")
                .replace("{bytes}", "BLOB")
                .replace("{clustered}", "WITHOUT ROWID"),
            #[cfg(feature = "postgres")]
            Dialect::Postgres => self
                .text
                .replace("{number_key}", "BIGINT PRIMARY KEY")
                .replace("{bytes}", "BYTEA")
                .replace("{clustered}", "")
                .replace(" TEXT", " TEXT COLLATE \"C\""),
        }
    }
}

/// Made before the first migration; the only statement that is not one.
pub(crate) const VERSIONS_TABLE: &str = "CREATE TABLE IF NOT EXISTS schema_versions (
    version BIGINT NOT NULL PRIMARY KEY,
    name    TEXT   NOT NULL
)";

pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "journal, head, read models", text: V1 },
    Migration { version: 2, name: "what sites' own accounting counted", text: V2 },
];

/// `head` has exactly one row: the last batch and the term under which batches are accepted. It
/// is what makes a journal that lost its last rows visible, and what fences an old leader.
/// `transfers` has no index by account: two of them made each row cost three times as much (3.5
/// against 11 µs on SQLite), and it is the table with the most rows. Who wants the movements of
/// one account reads them all, offline.
/// Text sorts by byte on both engines, so that pages come in the same order.
const V1: &str = "
CREATE TABLE journal (
    seq     {number_key},
    term    BIGINT  NOT NULL,
    at      BIGINT  NOT NULL,
    payload {bytes} NOT NULL,
    prev    {bytes} NOT NULL,
    hash    {bytes} NOT NULL
);
CREATE TABLE head (
    one      {number_key} CHECK (one = 1),
    seq      BIGINT  NOT NULL,
    hash     {bytes} NOT NULL,
    term     BIGINT  NOT NULL,
    holder   TEXT    NOT NULL,
    taken_at BIGINT  NOT NULL
);
CREATE TABLE snapshots (
    seq   BIGINT  NOT NULL,
    part  BIGINT  NOT NULL,
    bytes {bytes} NOT NULL,
    PRIMARY KEY (seq, part)
);
CREATE TABLE jobs (
    id              TEXT   NOT NULL PRIMARY KEY,
    project         TEXT   NOT NULL,
    org             TEXT   NOT NULL,
    name            TEXT   NOT NULL,
    state           TEXT   NOT NULL,
    submitted_at    BIGINT NOT NULL,
    ended_at        BIGINT,
    tasks_total     BIGINT NOT NULL,
    tasks_paused    BIGINT NOT NULL,
    tasks_queued    BIGINT NOT NULL,
    tasks_running   BIGINT NOT NULL,
    tasks_succeeded BIGINT NOT NULL,
    tasks_failed    BIGINT NOT NULL,
    tasks_cancelled BIGINT NOT NULL,
    held            BIGINT NOT NULL,
    spent           BIGINT NOT NULL,
    doc             TEXT
);
CREATE INDEX jobs_by_project ON jobs (project, id);
CREATE INDEX jobs_by_org ON jobs (org, id);
CREATE TABLE attempts (
    id         TEXT   NOT NULL,
    job        TEXT   NOT NULL,
    task       BIGINT NOT NULL,
    attempt    BIGINT NOT NULL,
    pool       TEXT   NOT NULL,
    node       TEXT,
    state      TEXT   NOT NULL,
    exit_code  BIGINT,
    started_at BIGINT,
    ended_at   BIGINT,
    doc        TEXT,
    PRIMARY KEY (job, task, attempt)
) {clustered};
CREATE TABLE transfers (
    id        TEXT   NOT NULL PRIMARY KEY,
    kind      TEXT   NOT NULL,
    debit     TEXT   NOT NULL,
    credit    TEXT   NOT NULL,
    amount    BIGINT NOT NULL,
    hold      TEXT,
    code      TEXT   NOT NULL,
    reference TEXT   NOT NULL,
    at        BIGINT NOT NULL
) {clustered};
CREATE TABLE accounts (
    id         TEXT NOT NULL PRIMARY KEY,
    owner_kind TEXT NOT NULL,
    owner_id   TEXT NOT NULL,
    label      TEXT NOT NULL,
    floor      BIGINT
) {clustered};
CREATE TABLE lines (
    id            TEXT   NOT NULL PRIMARY KEY,
    attempt       TEXT   NOT NULL,
    job           TEXT   NOT NULL,
    project       TEXT   NOT NULL,
    org           TEXT   NOT NULL,
    provider      TEXT   NOT NULL,
    pool          TEXT   NOT NULL,
    period        TEXT   NOT NULL,
    from_at       BIGINT NOT NULL,
    to_at         BIGINT NOT NULL,
    cpu_milli_s   BIGINT NOT NULL,
    memory_mb_s   BIGINT NOT NULL,
    accel_milli_s BIGINT NOT NULL,
    amount        BIGINT NOT NULL,
    doc           TEXT   NOT NULL
);
CREATE INDEX lines_by_project ON lines (project, period, id);
CREATE INDEX lines_by_org ON lines (org, period, id);
CREATE INDEX lines_by_provider ON lines (provider, period, id);
CREATE INDEX lines_by_job ON lines (job, id);
CREATE TABLE invoices (
    id     TEXT   NOT NULL PRIMARY KEY,
    org    TEXT   NOT NULL,
    period TEXT   NOT NULL,
    total  BIGINT NOT NULL,
    state  TEXT   NOT NULL,
    doc    TEXT
);
CREATE INDEX invoices_by_org ON invoices (org, id);
CREATE TABLE requests (
    key     TEXT    NOT NULL PRIMARY KEY,
    org     TEXT    NOT NULL,
    digest  {bytes} NOT NULL,
    outcome TEXT    NOT NULL,
    at      BIGINT  NOT NULL
) {clustered};
CREATE TABLE findings (
    id    TEXT   NOT NULL PRIMARY KEY,
    agent TEXT,
    code  TEXT   NOT NULL,
    at    BIGINT NOT NULL,
    doc   TEXT   NOT NULL
);
CREATE INDEX findings_by_time ON findings (at, id);
CREATE INDEX findings_by_agent ON findings (agent, at, id);
";

/// A table of its own: it is told long after an attempt's last row, and few pools have it.
const V2: &str = "
CREATE TABLE site_counts (
    job     TEXT   NOT NULL,
    task    BIGINT NOT NULL,
    attempt BIGINT NOT NULL,
    at      BIGINT NOT NULL,
    doc     TEXT   NOT NULL,
    PRIMARY KEY (job, task, attempt)
) {clustered};
";

/// The tables beside the read models, for a dump.
#[cfg(feature = "postgres")]
pub(crate) const JOURNAL_TABLES: &[Table] = &[
    table(
        "journal",
        &["seq"],
        &[int("seq"), int("term"), int("at"), blob("payload"), blob("prev"), blob("hash")],
    ),
    table(
        "head",
        &["one"],
        &[int("one"), int("seq"), blob("hash"), int("term"), text("holder"), int("taken_at")],
    ),
    table("snapshots", &["seq", "part"], &[int("seq"), int("part"), blob("bytes")]),
];

#[cfg(feature = "postgres")]
const fn table(
    name: &'static str,
    key: &'static [&'static str],
    columns: &'static [ColumnSpec],
) -> Table {
    Table { name, columns, key, on_repeat: OnRepeat::Refuse }
}
#[cfg(feature = "postgres")]
const fn int(name: &'static str) -> ColumnSpec {
    ColumnSpec { name, kind: Kind::Int, on_update: OnUpdate::Fixed }
}
#[cfg(feature = "postgres")]
const fn text(name: &'static str) -> ColumnSpec {
    ColumnSpec { name, kind: Kind::Text, on_update: OnUpdate::Fixed }
}
#[cfg(feature = "postgres")]
const fn blob(name: &'static str) -> ColumnSpec {
    ColumnSpec { name, kind: Kind::Blob, on_update: OnUpdate::Fixed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::READ_MODELS;

    #[test]
    fn versions_count_up_without_gaps() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.version), Ok(at + 1), "{}", migration.name);
        }
    }

    #[test]
    fn every_read_model_has_its_columns_in_the_schema() {
        let db = rusqlite::Connection::open_in_memory().unwrap();
        for migration in MIGRATIONS {
            db.execute_batch(&migration.sql(Dialect::Sqlite)).unwrap();
        }
        for table in READ_MODELS {
            let sql = format!("SELECT {} FROM {}", table.column_list(), table.name);
            let statement = db.prepare(&sql).unwrap();
            assert_eq!(statement.column_count(), table.columns.len());
            db.prepare(&table.insert_values()).unwrap();
            let all = db.prepare(&format!("SELECT * FROM {}", table.name)).unwrap();
            assert_eq!(all.column_count(), table.columns.len(), "{}", table.name);
        }
    }
}
