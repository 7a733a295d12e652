//! Copying files and folders, looking at the guard before each.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Guard;
use super::snag::Snag;

/// Files of one input or output. More are brought as one archive, which also travels faster.
pub(super) const FILES_MAX: usize = 100_000;
/// Folders within folders. Deeper ones are a mistake, or somebody's trap.
pub(super) const DEPTH_MAX: usize = 64;

/// How a copied file is left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Durability {
    /// As the kernel likes.
    Cached,
    /// On stable storage.
    Synced,
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("{path}: {error}")
}

/// A folder that could not be looked into.
#[derive(Debug, thiserror::Error)]
#[error("{at}: {error}")]
pub(super) struct Unread {
    at: String,
    error: io::Error,
}

impl Unread {
    pub(super) fn at(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let at = path.display().to_string();
        move |error| Self { at, error }
    }

    /// Where it lies in what the task left.
    pub(super) fn of_task(self) -> Snag {
        Snag::of_file(self.to_string(), &self.error)
    }
}

/// Copies a file or a folder to `to`. Links are followed where `may_read` allows what they lead
/// to, and refused where they lead to folders: those may form circles.
pub(super) fn copy(
    from: &Path,
    to: &Path,
    guard: &Guard,
    durability: Durability,
    may_read: &dyn Fn(&Path) -> bool,
) -> Result<(), String> {
    let mut left = FILES_MAX;
    let mut open: Vec<(PathBuf, PathBuf, usize)> = vec![(from.to_owned(), to.to_owned(), 0)];
    while let Some((from, to, depth)) = open.pop() {
        let kind = from.symlink_metadata().map_err(failed(&from))?.file_type();
        if kind.is_dir() {
            if depth >= DEPTH_MAX {
                return Err(format!("{}: more than {DEPTH_MAX} folders deep", from.display()));
            }
            fs::create_dir_all(&to).map_err(failed(&to))?;
            for entry in fs::read_dir(&from).map_err(failed(&from))? {
                let entry = entry.map_err(failed(&from))?;
                open.push((entry.path(), to.join(entry.file_name()), depth + 1));
            }
            continue;
        }
        left = left
            .checked_sub(1)
            .ok_or_else(|| format!("{}: more than {FILES_MAX} files", from.display()))?;
        guard.check()?;
        let real = from.canonicalize().map_err(failed(&from))?;
        if !may_read(&real) {
            return Err(format!("{} leads to a place that may not be read", from.display()));
        }
        if !real.metadata().map_err(failed(&real))?.is_file() {
            return Err(format!("{} is neither a file nor a folder", from.display()));
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        fs::copy(&real, &to).map_err(failed(&to))?;
        match durability {
            Durability::Cached => {}
            Durability::Synced => {
                File::open(&to).and_then(|file| file.sync_all()).map_err(failed(&to))?;
            }
        }
    }
    Ok(())
}

/// The files below a folder, sorted, each with its path from there. A plain file has none.
pub(super) fn files(below: &Path) -> Result<Vec<PathBuf>, Unread> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inside) = open.pop() {
        let folder = below.join(&inside);
        for entry in fs::read_dir(&folder).map_err(Unread::at(&folder))? {
            let entry = entry.map_err(Unread::at(&folder))?;
            let path = inside.join(entry.file_name());
            if entry.file_type().map_err(Unread::at(&folder))?.is_dir() {
                open.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
