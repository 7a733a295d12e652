//! A logical dump of all our tables as of one moment, and the load of it into an empty database.
//!
//! The file is gzip over lines of JSON, readable with `zcat`: first `{"dayan_dump":1,"schema":N}`,
//! then per table `{"table":NAME}` and one array per row (bytes in hex, columns in the order of
//! the schema), at last `{"rows":N,"sha256":HEX}` over all lines before.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

use crate::column::{Cells, Kind, Value};
use crate::fault::{Cause, Fault};
use crate::journal::Head;
use crate::query;
use crate::rows::READ_MODELS;
use crate::schema::{JOURNAL_TABLES, SCHEMA_VERSION};
use crate::sqlite::sync_dir;
use crate::store::DUMP_FILE;
use crate::table::Table;

use super::writer::{insert_rows, migrate};
use super::{Access, Session, Target};

const FORMAT: u64 = 1;
/// Rows sent to the database together when loading.
const LOAD_ROWS: usize = 2_000;

fn tables() -> impl Iterator<Item = &'static Table> {
    JOURNAL_TABLES.iter().chain(READ_MODELS.iter().copied())
}

struct Lines<W: Write> {
    sink: W,
    hasher: Sha256,
}

impl<W: Write> Lines<W> {
    fn put(&mut self, line: &Json) -> Result<(), Cause> {
        let mut text = line.to_string();
        text.push('\n');
        self.hasher.update(&text);
        Ok(self.sink.write_all(text.as_bytes())?)
    }
}

/// Writes everything committed so far to the folder `to`, which must be empty or absent.
pub(crate) fn dump(target: &Target, to: &Path) -> Result<Head, Cause> {
    fs::create_dir_all(to)?;
    if fs::read_dir(to)?.next().is_some() {
        return Err(Cause::Io(io::ErrorKind::DirectoryNotEmpty.into()));
    }
    crate::private(to)?;
    let mut session = Session::open(target)?;
    session.run("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")?;
    let partial = to.join("dayan.dump.partial");
    let file = BufWriter::new(File::create(&partial)?);
    let sink = GzEncoder::new(file, Compression::fast());
    let mut lines = Lines { sink, hasher: Sha256::new() };
    lines.put(&json!({"dayan_dump": FORMAT, "schema": SCHEMA_VERSION}))?;
    let mut rows = 0u64;
    for table in tables() {
        lines.put(&json!({"table": table.name}))?;
        let sql = format!(
            "SELECT {} FROM {} ORDER BY {}",
            table.column_list(),
            table.name,
            table.key.join(", ")
        );
        session.each(&sql, &[], &mut |cells| {
            rows += 1;
            lines.put(&row_to_json(table, cells)?)?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    let digest = hex::encode(lines.hasher.clone().finalize());
    lines.put(&json!({"rows": rows, "sha256": digest}))?;
    lines.sink.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
    fs::rename(&partial, to.join(DUMP_FILE))?;
    sync_dir(to)?;
    let mut session = crate::session::Session::Postgres(Box::new(session));
    query::head(&mut session)
}

fn row_to_json(table: &Table, cells: &dyn Cells) -> Result<Json, Cause> {
    let columns = table.columns.iter().enumerate();
    let values = columns.map(|(at, column)| {
        Ok(match column.kind {
            Kind::Int => cells.int(at)?.map(Json::from),
            Kind::Text => cells.text(at)?.map(Json::from),
            Kind::Blob => cells.blob(at)?.map(|bytes| Json::from(hex::encode(bytes))),
        }
        .unwrap_or(Json::Null))
    });
    values.collect::<Result<Vec<Json>, Cause>>().map(Json::from)
}

fn row_from_json(table: &Table, row: &Json, out: &mut Vec<Value<'static>>) -> Option<()> {
    let cells = row.as_array().filter(|cells| cells.len() == table.columns.len())?;
    for (cell, column) in cells.iter().zip(table.columns) {
        out.push(match (column.kind, cell) {
            (_, Json::Null) => Value::Null,
            (Kind::Int, cell) => Value::Int(cell.as_i64()?),
            (Kind::Text, cell) => Value::Text(cell.as_str()?.to_owned().into()),
            (Kind::Blob, cell) => Value::Blob(hex::decode(cell.as_str()?).ok()?.into()),
        });
    }
    Some(())
}

/// Loads a dump into an empty database, all of it or nothing.
pub(crate) fn load(target: &Target, from: &Path) -> Result<(), Cause> {
    let file = BufReader::new(File::open(from.join(DUMP_FILE))?);
    let mut source = BufReader::new(GzDecoder::new(file));
    let mut session = Session::connect(target, Access::Write)?;
    migrate(&mut session, |source| Fault::Open { place: target.place().to_owned(), source })
        .map_err(|fault| match fault {
            Fault::Open { source, .. } => source,
            other => Cause::Content(other.to_string()),
        })?;
    session.run("BEGIN")?;
    refuse_unless_empty(&mut session)?;
    session.run("DELETE FROM head")?;
    let mut loader = Loader { session: &mut session, table: None, values: Vec::new(), rows: 0 };
    let mut hasher = Sha256::new();
    let mut line = String::new();
    let bad = |why: &str| Cause::Content(format!("the dump {why}"));
    let mut first = true;
    loop {
        line.clear();
        if source.read_line(&mut line)? == 0 {
            return Err(bad("is cut short"));
        }
        let parsed: Json = serde_json::from_str(&line).map_err(|error| bad(&error.to_string()))?;
        if std::mem::take(&mut first) {
            // Later schemas only have more tables: what is not in the dump stays empty.
            let readable = parsed["schema"].as_i64().is_some_and(|of| of <= SCHEMA_VERSION);
            if parsed["dayan_dump"] != FORMAT || !readable {
                return Err(bad(&format!(
                    "is of another version ({}); this program loads schemas up to {SCHEMA_VERSION}",
                    line.trim()
                )));
            }
        } else if let Some(expected) = parsed["sha256"].as_str() {
            loader.flush()?;
            if hex::encode(hasher.finalize()) != expected || parsed["rows"] != loader.rows {
                return Err(bad("does not match its checksum"));
            }
            break;
        } else if let Some(name) = parsed["table"].as_str() {
            loader.flush()?;
            let table = tables().find(|table| table.name == name);
            loader.table = Some(table.ok_or_else(|| bad("names a table that is none of ours"))?);
        } else {
            loader.take(&parsed)?.ok_or_else(|| bad("holds a row that does not fit its table"))?;
        }
        hasher.update(&line);
    }
    session.run("COMMIT")
}

struct Loader<'a> {
    session: &'a mut Session,
    table: Option<&'static Table>,
    values: Vec<Value<'static>>,
    rows: u64,
}

impl Loader<'_> {
    /// None if the row does not fit the table.
    fn take(&mut self, row: &Json) -> Result<Option<()>, Cause> {
        let Some(table) = self.table else { return Ok(None) };
        if row_from_json(table, row, &mut self.values).is_none() {
            return Ok(None);
        }
        self.rows += 1;
        if self.values.len() >= LOAD_ROWS * table.columns.len() {
            self.flush()?;
        }
        Ok(Some(()))
    }

    fn flush(&mut self) -> Result<(), Cause> {
        if let Some(table) = self.table {
            insert_rows(self.session, table, &self.values)?;
        }
        self.values.clear();
        Ok(())
    }
}

fn refuse_unless_empty(session: &mut Session) -> Result<(), Cause> {
    for table in tables() {
        let only_the_first_head =
            if table.name == "head" { " WHERE term > 0 OR seq > 0" } else { "" };
        let sql = format!("SELECT 1::BIGINT FROM {}{only_the_first_head} LIMIT 1", table.name);
        let mut found = false;
        session.each(&sql, &[], &mut |_| {
            found = true;
            Ok(ControlFlow::Continue(()))
        })?;
        if found {
            return Err(Cause::Content("the database is not empty".to_owned()));
        }
    }
    Ok(())
}
