//! A project's names: in memory as a map, on disk as a journal that is appended to.
//!
//! Invariant: what is in memory is what reading the journal gives; a change is on stable storage
//! before it is seen. Must not know where bytes lie.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dayan_units::AttemptId;

use super::names::{Named, Record, Sha256};
use super::{DataFault, PROJECT_NAMES_MAX};

/// Attempts that are remembered to have published: a repeat comes within a lease, and this is days
/// of a busy project.
const PUBLISHED_MAX: usize = 100_000;
/// A journal with so many lines more than it has names is written anew when it is opened.
const SPARE_LINES: usize = 10_000;

/// From a text on.
pub(super) fn from(text: &str) -> (Bound<&str>, Bound<&str>) {
    (Bound::Included(text), Bound::Unbounded)
}

/// A project's names.
#[derive(Debug)]
pub struct Shelf {
    path: PathBuf,
    file: File,
    length: u64,
    names: BTreeMap<String, Named>,
    /// Bytes that were sent and have no name yet: how many, since when.
    held: BTreeMap<Sha256, (u64, i64)>,
    /// How many names stand for the same bytes, and how many bytes those are.
    named: BTreeMap<Sha256, (u32, u64)>,
    published: BTreeSet<AttemptId>,
    /// Uploads under way: how many bytes they will be.
    coming: BTreeMap<Sha256, u64>,
    bytes: u64,
    lines: usize,
}

impl Shelf {
    /// Reads a journal, or begins one.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let file = options.write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let mut shelf = Self {
            path: path.to_owned(),
            file,
            length: 0,
            names: BTreeMap::new(),
            held: BTreeMap::new(),
            named: BTreeMap::new(),
            published: BTreeSet::new(),
            coming: BTreeMap::new(),
            bytes: 0,
            lines: 0,
        };
        let mut read = 0;
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            let whole = line.last() == Some(&b'\n');
            match serde_json::from_slice(line) {
                Ok(record) if whole => shelf.apply(record),
                Ok(_) => break,
                Err(error) if whole => {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                Err(_) => {
                    tracing::warn!(path = %path.display(), "the last line is cut off; left out");
                    break;
                }
            }
            read += line.len();
        }
        shelf.length = read as u64;
        shelf.file.set_len(shelf.length)?;
        if shelf.lines > shelf.names.len() + SPARE_LINES {
            shelf.rewrite()?;
        }
        Ok(shelf)
    }

    /// Names and what they stand for.
    pub const fn names(&self) -> &BTreeMap<String, Named> {
        &self.names
    }
    /// Names, and bytes that count.
    pub fn sums(&self) -> (u64, u64) {
        let held: u64 = self.held.values().map(|(size, _)| size).sum();
        let coming: u64 = self.coming.values().sum();
        (self.names.len() as u64, self.bytes + held + coming)
    }
    /// How many bytes these are, if the project has them.
    pub fn size_of(&self, sha256: Sha256) -> Option<u64> {
        let held = self.held.get(&sha256).map(|(size, _)| *size);
        held.or_else(|| self.named.get(&sha256).map(|(_, size)| *size))
    }
    /// Has the attempt published?
    pub fn published(&self, attempt: AttemptId) -> bool {
        self.published.contains(&attempt)
    }
    /// How many bytes an upload under way will be.
    pub fn coming(&self, sha256: Sha256) -> Option<u64> {
        self.coming.get(&sha256).copied()
    }
    /// An upload is under way.
    pub fn expect(&mut self, sha256: Sha256, size: u64) {
        self.coming.insert(sha256, size);
    }
    /// An upload is over, one way or the other.
    pub fn came(&mut self, sha256: Sha256) {
        self.coming.remove(&sha256);
    }
    /// Uploads that nobody goes on with do not count any more.
    pub fn keep_coming(&mut self, goes_on: impl Fn(Sha256) -> bool) {
        self.coming.retain(|sha256, _| goes_on(*sha256));
    }
    /// Every content that somebody counts on.
    pub fn contents(&self) -> impl Iterator<Item = Sha256> {
        self.named.keys().chain(self.held.keys()).copied()
    }
    /// Bytes that were sent before then and never named are not counted on any more.
    pub fn let_go(&mut self, before: i64) -> Result<usize, DataFault> {
        let old: Vec<Sha256> =
            self.held.iter().filter(|(_, (_, at))| *at < before).map(|(sha, _)| *sha).collect();
        for sha256 in &old {
            self.held.remove(sha256);
        }
        if !old.is_empty() {
            self.rewrite().map_err(DataFault::io("writing", &self.path.clone()))?;
        }
        Ok(old.len())
    }

    /// Is there room for these names: not too many, no file where a folder is?
    pub fn room_for<'a>(&self, paths: impl IntoIterator<Item = &'a str>) -> Result<(), DataFault> {
        let paths: BTreeSet<&str> = paths.into_iter().collect();
        let fresh = paths.iter().filter(|path| !self.names.contains_key(**path)).count();
        if self.names.len() + fresh > PROJECT_NAMES_MAX {
            return Err(DataFault::TooManyNames);
        }
        for path in &paths {
            let folder = format!("{path}/");
            let below = |next: Option<&str>| next.is_some_and(|next| next.starts_with(&folder));
            let stored = self.names.range::<str, _>(from(&folder)).next();
            let mut above = path.match_indices('/').map(|(slash, _)| &path[..slash]);
            let taken = below(stored.map(|(name, _)| name.as_str()))
                || below(paths.range(folder.as_str()..).next().copied())
                || above.any(|folder| self.names.contains_key(folder) || paths.contains(folder));
            if taken {
                return Err(DataFault::Taken((*path).to_owned()));
            }
        }
        Ok(())
    }

    /// By how many bytes the project would grow.
    pub fn grows_by<'a>(&self, puts: impl IntoIterator<Item = (&'a str, &'a Named)>) -> i64 {
        let mut freed = BTreeSet::new();
        let signed = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
        let mut grows = 0_i64;
        for (path, named) in puts {
            grows = grows.saturating_add(signed(named.size));
            grows -= self.names.get(path).map_or(0, |old| signed(old.size));
            if let Some((held, _)) = self.held.get(&named.sha256)
                && freed.insert(named.sha256)
            {
                grows -= signed(*held);
            }
        }
        grows
    }

    /// Writes records to stable storage, then shows them: all of them or, after a crash, a
    /// beginning of them.
    pub fn note(&mut self, records: &[Record]) -> Result<(), DataFault> {
        let mut text = Vec::new();
        for record in records {
            serde_json::to_writer(&mut text, record).expect("texts and numbers become JSON");
            text.push(b'\n');
        }
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(&text))
            .and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            // What was half written must not stand before the next record.
            let _ = self.file.set_len(self.length);
            return Err(DataFault::io("writing", &self.path)(error));
        }
        self.length += text.len() as u64;
        for record in records {
            self.apply(record.clone());
        }
        Ok(())
    }

    fn apply(&mut self, record: Record) {
        self.lines += 1;
        match record {
            Record::Held { sha256, size, at } => {
                self.coming.remove(&sha256);
                if !self.named.contains_key(&sha256) {
                    self.held.insert(sha256, (size, at));
                }
            }
            Record::Put { path, named } => self.put(path, named),
            Record::Remove { path } => self.take(&path),
            Record::Saved { files, gone } => {
                for (path, named) in files {
                    self.put(path, named);
                }
                for path in &gone {
                    self.take(path);
                }
            }
            Record::Published { attempt, files } => {
                for (path, named) in files {
                    self.put(path, named);
                }
                self.published.insert(attempt);
                // Ids of jobs grow with time.
                while self.published.len() > PUBLISHED_MAX {
                    self.published.pop_first();
                }
            }
        }
    }

    fn put(&mut self, path: String, named: Named) {
        self.held.remove(&named.sha256);
        let (names, _) = self.named.entry(named.sha256).or_insert((0, named.size));
        *names += 1;
        self.take(&path);
        self.bytes += named.size;
        self.names.insert(path, named);
    }

    fn take(&mut self, path: &str) {
        let Some(old) = self.names.remove(path) else { return };
        self.bytes -= old.size;
        if let Some((names, _)) = self.named.get_mut(&old.sha256) {
            *names -= 1;
            if *names == 0 {
                self.named.remove(&old.sha256);
            }
        }
    }

    /// The journal without what was overwritten.
    fn rewrite(&mut self) -> io::Result<()> {
        let temporary = self.path.with_extension("new");
        let mut text = Vec::new();
        let mut lines = 0;
        let mut line = |record: &Record| {
            serde_json::to_writer(&mut text, record).expect("texts and numbers become JSON");
            text.push(b'\n');
            lines += 1;
        };
        for (sha256, (size, at)) in &self.held {
            line(&Record::Held { sha256: *sha256, size: *size, at: *at });
        }
        for (path, named) in &self.names {
            line(&Record::Put { path: path.clone(), named: named.clone() });
        }
        for attempt in &self.published {
            line(&Record::Published { attempt: *attempt, files: BTreeMap::new() });
        }
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        (self.file, self.length, self.lines) = (file, text.len() as u64, lines);
        Ok(())
    }
}
