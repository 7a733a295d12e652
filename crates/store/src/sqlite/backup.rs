//! Backup and restore of a data directory.
//!
//! The copy is made with SQLite's online backup in a single step from a connection of its own:
//! it reads one committed state and never makes the writer wait.

use std::fs;
use std::io;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use crate::fault::Cause;
use crate::snapshot::copy_files;

use super::{DATABASE_FILE, Session, database, sync_dir};

/// All pages at once: between two steps a writer could change the source, and the copy would
/// begin again.
const ALL_PAGES: i32 = -1;

/// Copies the database of `dir` into the folder `to`, which must be empty or absent.
pub(crate) fn back_up(dir: &Path, to: &Path) -> Result<(), Cause> {
    empty_dir(to)?;
    // Before the database, so that every snapshot in the copy is of a row in the copy.
    copy_files(dir, to)?;
    let source = Session::offline(dir)?;
    let partial = to.join("dayan.db.partial");
    {
        let mut target = Connection::open(&partial)?;
        let copied = Backup::new(&source.db, &mut target)?.step(ALL_PAGES)?;
        match copied {
            StepResult::Done => {}
            other => return Err(Cause::Content(format!("the copy ended early ({other:?})"))),
        }
        // The copy stands alone: no log beside it, so it can be read from any medium.
        let _: String = target.query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))?;
        target.close().map_err(|(_, error)| error)?;
    }
    fs::File::open(&partial)?.sync_all()?;
    fs::rename(&partial, database(to))?;
    sync_dir(to)?;
    Ok(())
}

/// Copies a backup's files into the empty data directory `dir`.
pub(crate) fn restore(from: &Path, dir: &Path) -> Result<(), Cause> {
    empty_dir(dir)?;
    copy_files(from, dir)?;
    let partial = dir.join("dayan.db.partial");
    fs::copy(from.join(DATABASE_FILE), &partial)?;
    fs::File::open(&partial)?.sync_all()?;
    fs::rename(&partial, database(dir))?;
    sync_dir(dir)?;
    Ok(())
}

fn empty_dir(dir: &Path) -> Result<(), Cause> {
    fs::create_dir_all(dir)?;
    if fs::read_dir(dir)?.next().is_some() {
        return Err(Cause::Io(io::Error::new(
            io::ErrorKind::DirectoryNotEmpty,
            format!("{} is not empty", dir.display()),
        )));
    }
    crate::private(dir)?;
    Ok(())
}
