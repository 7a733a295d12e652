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
    pub(super) fn of_task(self, root: &Path) -> Snag {
        Snag::of_file(self.to_string(), &self.error, root)
    }
}

/// Why something was not copied.
#[derive(Debug)]
pub(super) enum CopyFault {
    /// What is to be copied cannot be read.
    Unread(Unread),
    /// Anything else.
    Failed(String),
}

impl CopyFault {
    /// What is to be copied is what the task left in its folder.
    pub(super) fn of_task(self, root: &Path) -> Snag {
        match self {
            Self::Unread(unread) => unread.of_task(root),
            Self::Failed(why) => why.into(),
        }
    }
}

impl From<String> for CopyFault {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl From<Unread> for CopyFault {
    fn from(unread: Unread) -> Self {
        Self::Unread(unread)
    }
}

impl From<CopyFault> for Snag {
    fn from(fault: CopyFault) -> Self {
        match fault {
            CopyFault::Unread(unread) => unread.to_string().into(),
            CopyFault::Failed(why) => why.into(),
        }
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
) -> Result<(), CopyFault> {
    let mut left = FILES_MAX;
    let mut open: Vec<(PathBuf, PathBuf, usize)> = vec![(from.to_owned(), to.to_owned(), 0)];
    while let Some((from, to, depth)) = open.pop() {
        let kind = from.symlink_metadata().map_err(Unread::at(&from))?.file_type();
        if kind.is_dir() {
            if depth >= DEPTH_MAX {
                let why = format!("{}: more than {DEPTH_MAX} folders deep", from.display());
                return Err(why.into());
            }
            fs::create_dir_all(&to).map_err(failed(&to))?;
            for entry in fs::read_dir(&from).map_err(Unread::at(&from))? {
                let entry = entry.map_err(Unread::at(&from))?;
                open.push((entry.path(), to.join(entry.file_name()), depth + 1));
            }
            continue;
        }
        left = left
            .checked_sub(1)
            .ok_or_else(|| format!("{}: more than {FILES_MAX} files", from.display()))?;
        guard.check()?;
        let real = from.canonicalize().map_err(Unread::at(&from))?;
        if !may_read(&real) {
            let why = format!("{} leads to a place that may not be read", from.display());
            return Err(why.into());
        }
        if !real.metadata().map_err(Unread::at(&real))?.is_file() {
            return Err(format!("{} is neither a file nor a folder", from.display()).into());
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        // Whose path it is that an error is about, copying does not say.
        File::open(&real).map_err(Unread::at(&real))?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_wire::Blame;

    #[test]
    fn whose_fault_it_is_goes_by_whose_path_it_is() {
        let dir = tempfile::tempdir().expect("a folder");
        let (root, there) = (dir.path().join("work"), dir.path().join("work/there"));
        fs::create_dir(&root).expect("made");
        fs::write(&there, "x").expect("written");
        let copied = |from: &Path, to: &Path| {
            copy(from, to, &Guard::until(None), Durability::Cached, &|_| true)
        };
        copied(&there, &dir.path().join("out/there")).expect("copied");
        // What the task left is gone.
        let gone = || copied(&root.join("gone"), &dir.path().join("out/gone")).expect_err("gone");
        assert_eq!(gone().of_task(&root).blame, Blame::Job);
        assert_eq!(Snag::from(gone()).blame, Blame::Site, "what is no task's");
        // Where it is to go is no folder.
        let to = dir.path().join("out/there/below");
        assert_eq!(copied(&there, &to).expect_err("no folder").of_task(&root).blame, Blame::Site);
    }
}
