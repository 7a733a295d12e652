//! The exchange's own data store: files of projects by name, their bytes by content.
//!
//! On disk below one folder: `blobs/` holds bytes under their SHA-256, `uploads/` what is on its
//! way, `names/` one journal of names per project, `secrets/` sealed secrets. Invariants: a blob is
//! whole and is what its name says; a name is given in one append, so that what an attempt
//! publishes appears at once or not at all, and once; a project reads only bytes that it has named
//! or sent itself. Must not know HTTP, nor what a job is.

mod blobs;
mod checkpoints;
mod copying;
mod names;
mod secrets;
mod shelf;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use dayan_spec::Pattern;
use dayan_units::{AttemptId, ProjectId, Time};
use rustix::fs::{FlockOperation, flock};

pub use blobs::Append;
pub use checkpoints::{Checkpoint, Saving};
pub use copying::CopyingDesk;
use names::Record;
pub use names::{Content, Named, Sha256};
pub use secrets::{SecretFault, Vault};
use shelf::Shelf;

/// What a project may keep unless the operator says otherwise: a film shot's textures and frames,
/// on a disk that an exchange without a storage system has.
pub const PROJECT_BYTES_DEFAULT: u64 = 100_000_000_000;
/// Names of one project: 200,000 take about 60 MB of memory; more are brought as archives.
pub const PROJECT_NAMES_MAX: usize = 200_000;
/// The largest single file.
pub const FILE_BYTES_MAX: u64 = 1 << 40;
/// What must stay free on the disk: the journal lies on the same one, and it must go on.
const DISK_RESERVE: u64 = 1 << 30;
/// Bytes that nobody named are kept so long: a task may run for days before it may publish.
const HELD_FOR_MICROS: i64 = 7 * 24 * 3_600 * 1_000_000;
/// Files of one input or one publication.
const FILES_MAX: usize = 100_000;

/// Why the store does not do something.
#[derive(Debug, thiserror::Error)]
pub enum DataFault {
    /// Nothing has that name.
    #[error("there is no {0}")]
    Unknown(String),
    /// The project would keep more than it may.
    #[error("{needed} bytes more are over the limit of {max} bytes; {kept} are kept")]
    Quota {
        /// What was to be added.
        needed: u64,
        /// What is kept.
        kept: u64,
        /// What may be kept.
        max: u64,
    },
    /// The project would have more names than it may.
    #[error("a project has at most {PROJECT_NAMES_MAX} files")]
    TooManyNames,
    /// More bytes than one file may have.
    #[error("a file has at most {FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// More files than are brought or published at once.
    #[error("{0} are more than {FILES_MAX} files")]
    TooManyFiles(String),
    /// The disk is nearly full.
    #[error("the exchange's disk has {free} bytes left, and {needed} are needed")]
    DiskFull {
        /// What is left.
        free: u64,
        /// What is needed.
        needed: u64,
    },
    /// A file's name is a folder's, or the other way round.
    #[error("`{0}` is a file already where a folder is meant, or a folder where a file is")]
    Taken(String),
    /// Bytes that this project has not sent.
    #[error("this project has not sent the bytes {0}")]
    NotHeld(Sha256),
    /// An upload that was not begun.
    #[error("no such upload is under way")]
    NoUpload,
    /// An upload that goes on somewhere else.
    #[error("the upload goes on at {0}")]
    Offset(u64),
    /// Somebody is sending the same.
    #[error("the same upload is being sent by another request")]
    Busy,
    /// What came is not what was announced.
    #[error("what came is not what was announced: its SHA-256 is {0}")]
    Checksum(Sha256),
    /// The client went away.
    #[error("the body did not arrive whole")]
    Cut,
    /// The file system does not do what it should.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it went wrong.
        source: std::io::Error,
    },
}

impl DataFault {
    fn io(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let doing = format!("{doing} {}", path.display());
        move |source| Self::Io { doing, source }
    }
}

/// What a project keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kept {
    /// Names.
    pub files: u64,
    /// Bytes that count.
    pub bytes: u64,
    /// The most of them.
    pub bytes_max: u64,
}

/// A file of a folder or a pattern.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Its path below what was asked for; empty for a single file.
    pub below: String,
    /// Its whole path.
    pub path: String,
    /// What it is.
    pub named: Named,
}

/// The store.
pub struct Depot {
    root: PathBuf,
    project_bytes_max: u64,
    shelves: Mutex<BTreeMap<ProjectId, Shelf>>,
    /// Uploads that are being written to.
    busy: Mutex<HashSet<String>>,
    _lock: File,
}

impl std::fmt::Debug for Depot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Depot").field("root", &self.root).finish_non_exhaustive()
    }
}

impl Depot {
    /// Opens the store in a folder, for this process only.
    pub fn open(root: &Path, project_bytes_max: u64) -> Result<Self, String> {
        let named = |path: &Path| {
            let path = path.display().to_string();
            move |error: std::io::Error| format!("{path}: {error}")
        };
        for folder in ["blobs", "uploads", "names"] {
            crate::files::private_folder(&root.join(folder))?;
        }
        crate::files::private_folder(root)?;
        let path = root.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
        let lock = lock.map_err(named(&path))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(format!(
                "{}: another server has this data store open; stop it first",
                root.display()
            ));
        }
        let mut shelves = BTreeMap::new();
        let folder = root.join("names");
        for entry in fs::read_dir(&folder).map_err(named(&folder))? {
            let path = entry.map_err(named(&folder))?.path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let journal = path.extension().is_some_and(|extension| extension == "jsonl");
            if let (true, Ok(project)) = (journal, stem.parse::<ProjectId>()) {
                shelves.insert(project, Shelf::open(&path).map_err(named(&path))?);
            }
        }
        Ok(Self {
            root: root.to_owned(),
            project_bytes_max,
            shelves: Mutex::new(shelves),
            busy: Mutex::default(),
            _lock: lock,
        })
    }

    fn shelves(&self) -> MutexGuard<'_, BTreeMap<ProjectId, Shelf>> {
        self.shelves.lock().expect("nobody panics while holding it")
    }

    fn with_shelf<T>(
        &self,
        project: ProjectId,
        act: impl FnOnce(&mut Shelf) -> Result<T, DataFault>,
    ) -> Result<T, DataFault> {
        use std::collections::btree_map::Entry;
        let mut shelves = self.shelves();
        let shelf = match shelves.entry(project) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let path = self.root.join("names").join(format!("{project}.jsonl"));
                place.insert(Shelf::open(&path).map_err(DataFault::io("opening", &path))?)
            }
        };
        act(shelf)
    }

    /// What a project keeps.
    pub fn kept(&self, project: ProjectId) -> Kept {
        let shelves = self.shelves();
        let (files, bytes) = shelves.get(&project).map_or((0, 0), Shelf::sums);
        Kept { files, bytes, bytes_max: self.project_bytes_max }
    }

    /// One file.
    pub fn file(&self, project: ProjectId, path: &str) -> Option<Named> {
        self.shelves().get(&project)?.names().get(path).cloned()
    }

    /// Names that begin with a text, after a name, so many; and whether there are more.
    pub fn list(
        &self,
        project: ProjectId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> (Vec<(String, Named)>, bool) {
        use std::ops::Bound;
        let shelves = self.shelves();
        let Some(shelf) = shelves.get(&project) else { return (Vec::new(), false) };
        let begin = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            Some(_) | None => Bound::Included(prefix),
        };
        let mut found = shelf
            .names()
            .range::<str, _>((begin, Bound::Unbounded))
            .take_while(|(path, _)| path.starts_with(prefix));
        let rows: Vec<(String, Named)> =
            found.by_ref().take(limit).map(|(path, named)| (path.clone(), named.clone())).collect();
        (rows, found.next().is_some())
    }

    /// The files that a path means: itself, what lies below it, or what its pattern matches.
    pub fn find(&self, project: ProjectId, path: &str) -> Result<Vec<Found>, DataFault> {
        let shelves = self.shelves();
        let unknown = || DataFault::Unknown(format!("file `{path}` in the project's data"));
        let names = shelves.get(&project).ok_or_else(unknown)?.names();
        let whole = |below: &str, path: &str, named: &Named| Found {
            below: below.to_owned(),
            path: path.to_owned(),
            named: named.clone(),
        };
        let mut found = Vec::new();
        // A file that was put under the very name is meant, whatever characters it has.
        if let Some(named) = names.get(path) {
            return Ok(vec![whole("", path, named)]);
        }
        let pattern = Pattern::of(path).ok().flatten();
        let folder = match &pattern {
            Some(pattern) => pattern.base().to_owned(),
            None if path.is_empty() || path.ends_with('/') => path.to_owned(),
            None => format!("{path}/"),
        };
        let below = names.range::<str, _>(shelf::from(&folder));
        for (name, named) in below.take_while(|(name, _)| name.starts_with(&folder)) {
            let matched = match &pattern {
                Some(pattern) => pattern.matches(name),
                None => name.strip_prefix(&folder),
            };
            if let Some(inside) = matched {
                found.push(whole(inside, name, named));
            }
            if found.len() > FILES_MAX {
                return Err(DataFault::TooManyFiles(path.to_owned()));
            }
        }
        if found.is_empty() { Err(unknown()) } else { Ok(found) }
    }

    /// Gives bytes that the project has sent a name, in the place of what had it.
    pub fn name(
        &self,
        project: ProjectId,
        path: &str,
        content: Content,
        by: &str,
        at: Time,
    ) -> Result<Named, DataFault> {
        self.with_shelf(project, |shelf| {
            if let Some(same) = shelf.names().get(path).filter(|named| named.content() == content) {
                return Ok(same.clone());
            }
            let named = self.nameable(shelf, content, by, at)?;
            shelf.room_for([path])?;
            self.fits(shelf, shelf.grows_by([(path, &named)]))?;
            shelf.note(&[Record::Put { path: path.to_owned(), named: named.clone() }])?;
            Ok(named)
        })
    }

    fn nameable(
        &self,
        shelf: &Shelf,
        content: Content,
        by: &str,
        at: Time,
    ) -> Result<Named, DataFault> {
        let Content { sha256, executable } = content;
        let held = shelf.size_of(sha256).filter(|_| self.blob(sha256).exists());
        let size = held.ok_or(DataFault::NotHeld(sha256))?;
        Ok(Named { sha256, size, at: at.micros(), by: by.to_owned(), executable })
    }

    fn fits(&self, shelf: &Shelf, grows: i64) -> Result<(), DataFault> {
        let (_, kept) = shelf.sums();
        let (max, needed) = (self.project_bytes_max, u64::try_from(grows).unwrap_or(0));
        if kept.saturating_add(needed) > max && needed > 0 {
            return Err(DataFault::Quota { needed, kept, max });
        }
        Ok(())
    }

    /// What an attempt made appears under its names, all of it at once; again, nothing happens.
    /// `granted` is asked while nobody else can publish in the project: what it allows is still so
    /// when the names are given.
    pub fn publish(
        &self,
        project: ProjectId,
        attempt: AttemptId,
        files: &[(String, Content)],
        at: Time,
        granted: impl FnOnce() -> bool,
    ) -> Result<Published, DataFault> {
        if files.len() > FILES_MAX {
            return Err(DataFault::TooManyFiles("the outputs".to_owned()));
        }
        self.with_shelf(project, |shelf| {
            if shelf.published(attempt) {
                return Ok(Published::Before);
            }
            if !granted() {
                return Ok(Published::NotGranted);
            }
            let by = attempt.to_string();
            let mut puts = BTreeMap::new();
            for (path, content) in files {
                puts.insert(path.clone(), self.nameable(shelf, *content, &by, at)?);
            }
            shelf.room_for(puts.keys().map(String::as_str))?;
            self.fits(shelf, shelf.grows_by(puts.iter().map(|(path, n)| (path.as_str(), n))))?;
            shelf.note(&[Record::Published { attempt, files: puts }])?;
            Ok(Published::Now)
        })
    }

    /// Takes names away: one, or all below a folder. How many there were.
    pub fn remove(&self, project: ProjectId, path: &str) -> Result<usize, DataFault> {
        let found = self.find(project, path)?;
        self.with_shelf(project, |shelf| {
            let records: Vec<Record> =
                found.iter().map(|found| Record::Remove { path: found.path.clone() }).collect();
            shelf.note(&records)?;
            Ok(records.len())
        })
    }
}

/// What became of a publication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Published {
    /// It was done.
    Now,
    /// It was done before.
    Before,
    /// The attempt has no grant.
    NotGranted,
}

#[cfg(test)]
mod tests;
