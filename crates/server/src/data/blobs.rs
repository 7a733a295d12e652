//! Bytes: on their way in, checked, kept under their digest, read out, swept away.
//!
//! Invariant: a file below `blobs/` was hashed after its last byte was written, and is never
//! written again. An upload is a file that grows; whoever sends asks first how far it is.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Mutex;

use dayan_units::{ProjectId, Time};
use sha2::{Digest as _, Sha256 as Hasher};
use tokio::io::AsyncWriteExt as _;

use super::names::{Record, Sha256};
use super::{DISK_RESERVE, DataFault, Depot, FILE_BYTES_MAX, HELD_FOR_MICROS};

/// A part of an upload is put to disk in pieces of this size.
const WRITE_BYTES: usize = 1 << 20;

/// How far an upload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Append {
    /// Bytes that are there.
    pub offset: u64,
    /// Is it all there, and right?
    pub done: bool,
}

/// An upload that is being written to by one request.
struct Turn<'a> {
    busy: &'a Mutex<HashSet<String>>,
    name: String,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.busy.lock().expect("nobody panics while holding it").remove(&self.name);
    }
}

impl Depot {
    /// Where bytes lie.
    pub fn blob(&self, sha256: Sha256) -> PathBuf {
        let name = sha256.to_string();
        self.root.join("blobs").join(&name[..2]).join(name)
    }

    fn part(&self, project: ProjectId, sha256: Sha256) -> PathBuf {
        self.root.join("uploads").join(format!("{project}.{sha256}"))
    }

    /// Begins an upload, or says how far it is. What the project has already is not sent again.
    pub fn begin(
        &self,
        project: ProjectId,
        sha256: Sha256,
        size: u64,
    ) -> Result<Append, DataFault> {
        if size > FILE_BYTES_MAX {
            return Err(DataFault::TooLarge);
        }
        let there = self.part(project, sha256).metadata().map_or(0, |part| part.len());
        self.with_shelf(project, |shelf| {
            if shelf.size_of(sha256) == Some(size) && self.blob(sha256).exists() {
                return Ok(Append { offset: size, done: true });
            }
            if shelf.coming(sha256) != Some(size) {
                self.fits(shelf, i64::try_from(size).unwrap_or(i64::MAX))?;
            }
            let needed = size.saturating_sub(there);
            let disk = rustix::fs::statvfs(&self.root).map_err(|errno| {
                DataFault::io("looking at the disk of", &self.root)(errno.into())
            })?;
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if needed > 0 && free < needed.saturating_add(DISK_RESERVE) {
                return Err(DataFault::DiskFull { free, needed });
            }
            shelf.expect(sha256, size);
            Ok(Append { offset: there.min(size), done: false })
        })
    }

    /// Takes a part of an upload, from where it is; the last part is followed by a look at the
    /// whole. What came before a cut is kept.
    pub async fn append<S, E>(
        &self,
        project: ProjectId,
        sha256: Sha256,
        offset: u64,
        mut body: S,
        at: Time,
    ) -> Result<Append, DataFault>
    where
        S: futures_util::Stream<Item = Result<axum::body::Bytes, E>> + Unpin,
    {
        use futures_util::StreamExt as _;
        let size = self.with_shelf(project, |shelf| Ok(shelf.coming(sha256)))?;
        let Some(size) = size else {
            // It may have been finished by a request whose answer was lost.
            let kept = self.with_shelf(project, |shelf| Ok(shelf.size_of(sha256)))?;
            let size = kept.ok_or(DataFault::NoUpload)?;
            return Ok(Append { offset: size, done: true });
        };
        let _turn = self.turn(format!("{project}.{sha256}"))?;
        let path = self.part(project, sha256);
        let failed = || DataFault::io("writing", &path);
        let mut options = tokio::fs::OpenOptions::new();
        let mut file =
            options.create(true).append(true).mode(0o600).open(&path).await.map_err(failed())?;
        let mut there = file.metadata().await.map_err(failed())?.len();
        if there > size {
            file.set_len(0).await.map_err(failed())?;
            there = 0;
        }
        if there != offset {
            return Err(DataFault::Offset(there));
        }
        let mut waiting = Vec::with_capacity(WRITE_BYTES);
        let mut cut = false;
        while let Some(chunk) = body.next().await {
            let Ok(chunk) = chunk else {
                cut = true;
                break;
            };
            if there + (waiting.len() + chunk.len()) as u64 > size {
                return Err(DataFault::TooLarge);
            }
            waiting.extend_from_slice(&chunk);
            if waiting.len() >= WRITE_BYTES {
                file.write_all(&waiting).await.map_err(failed())?;
                there += waiting.len() as u64;
                waiting.clear();
            }
        }
        file.write_all(&waiting).await.map_err(failed())?;
        there += waiting.len() as u64;
        file.flush().await.map_err(failed())?;
        if cut {
            return Err(DataFault::Cut);
        }
        if there < size {
            return Ok(Append { offset: there, done: false });
        }
        file.sync_all().await.map_err(failed())?;
        drop(file);
        self.finish(project, sha256, size, at).await?;
        Ok(Append { offset: size, done: true })
    }

    fn turn(&self, name: String) -> Result<Turn<'_>, DataFault> {
        let mut busy = self.busy.lock().expect("nobody panics while holding it");
        if busy.insert(name.clone()) {
            Ok(Turn { busy: &self.busy, name })
        } else {
            Err(DataFault::Busy)
        }
    }

    /// An upload that is all there becomes a blob, if it is what it should be.
    async fn finish(
        &self,
        project: ProjectId,
        sha256: Sha256,
        size: u64,
        at: Time,
    ) -> Result<(), DataFault> {
        let (part, blob) = (self.part(project, sha256), self.blob(sha256));
        let hashing = part.clone();
        let found = tokio::task::spawn_blocking(move || digest(&hashing)).await;
        let found = found.unwrap_or_else(|error| Err(std::io::Error::other(error)));
        let found = found.map_err(DataFault::io("reading", &part))?;
        if found != sha256 {
            let _ = std::fs::remove_file(&part);
            self.with_shelf(project, |shelf| {
                shelf.came(sha256);
                Ok(())
            })?;
            return Err(DataFault::Checksum(found));
        }
        let folder = blob.parent().expect("a blob lies in a folder");
        self.with_shelf(project, |shelf| {
            // With the names held, so that no sweep comes between.
            std::fs::create_dir_all(folder).map_err(DataFault::io("making", folder))?;
            std::fs::rename(&part, &blob).map_err(DataFault::io("keeping", &blob))?;
            std::fs::File::open(folder)
                .and_then(|folder| folder.sync_all())
                .map_err(DataFault::io("keeping", folder))?;
            shelf.note(&[Record::Held { sha256, size, at: at.micros() }])
        })
    }

    /// Removes bytes that nobody counts on any more, and uploads that nobody goes on with. How many
    /// files went.
    pub fn sweep(&self, now: Time) -> Result<usize, DataFault> {
        let before = now.micros().saturating_sub(HELD_FOR_MICROS);
        let mut shelves = self.shelves();
        let mut kept = HashSet::new();
        for shelf in shelves.values_mut() {
            shelf.let_go(before)?;
            kept.extend(shelf.contents());
        }
        let mut gone = 0;
        for folder in entries(&self.root.join("blobs")) {
            for blob in entries(&folder) {
                let name = blob.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let known = name.parse().is_ok_and(|sha: Sha256| kept.contains(&sha));
                if !known && std::fs::remove_file(&blob).is_ok() {
                    gone += 1;
                }
            }
        }
        drop(shelves);
        let busy = self.busy.lock().expect("nobody panics while holding it");
        for part in entries(&self.root.join("uploads")) {
            let name = part.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let age = part.metadata().ok().and_then(|meta| meta.modified().ok()?.elapsed().ok());
            let old = age.is_some_and(|age| {
                i64::try_from(age.as_micros()).unwrap_or(i64::MAX) > HELD_FOR_MICROS
            });
            if old && !busy.contains(name) && std::fs::remove_file(&part).is_ok() {
                gone += 1;
            }
        }
        drop(busy);
        for (project, shelf) in self.shelves().iter_mut() {
            shelf.keep_coming(|sha256| self.part(*project, sha256).exists());
        }
        Ok(gone)
    }
}

fn entries(folder: &std::path::Path) -> Vec<PathBuf> {
    let read = std::fs::read_dir(folder).into_iter().flatten();
    read.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

/// The digest of a file.
fn digest(path: &std::path::Path) -> std::io::Result<Sha256> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Hasher::new();
    let mut piece = vec![0; WRITE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(Sha256(hasher.finalize().into())),
            read => hasher.update(&piece[..read]),
        }
    }
}
