//! What a task saves of its state: is it whole, sending it, bringing it back.
//!
//! Invariants: what is sent was not changed while it was sent, or it is not made a checkpoint; what is
//! brought back was hashed on the way. Must not know when a task is asked to save.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use dayan_wire::{CheckpointFile, LeaseOrder, NewCheckpoint, OutputOrder};
use futures_util::FutureExt as _;

use super::Guard;
use super::courier::Courier;
use super::fetch::{Brought, Source, Wanted, below};
use super::progress::Going;
use super::ship::{NOT_SENT, Outgoing, outgoing};
use super::snag::Snag;

/// A file of this name in the folder says that all of it is whole: a program that writes it does so
/// last. It is not part of what is saved.
pub(crate) const SAVED_MARK: &str = ".saved";
/// How often the exchange is asked to take a checkpoint whose bytes it has lost track of.
const SENDINGS_MAX: u32 = 2;

/// A file as it was at one look: any write changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct Mark {
    size: u64,
    changed: (i64, i64),
    inode: u64,
}

impl Mark {
    /// Of the file at a path, if there is one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let about = path.metadata().ok()?;
        let changed = (about.ctime(), about.ctime_nsec());
        Some(Self { size: about.size(), changed, inode: about.ino() })
    }

    /// Of an opened file: as it is now, also where it lies on a network.
    #[cfg(feature = "s3")]
    pub(super) fn of_file(file: &std::fs::File) -> std::io::Result<Self> {
        let about = file.metadata()?;
        let changed = (about.ctime(), about.ctime_nsec());
        Ok(Self { size: about.size(), changed, inode: about.ino() })
    }

    /// Its bytes.
    #[cfg(feature = "s3")]
    pub(super) const fn size(&self) -> u64 {
        self.size
    }
}

/// The folder at one look.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Glance {
    files: BTreeMap<PathBuf, Mark>,
    /// What the program says of it by [`SAVED_MARK`].
    pub(crate) said: Option<Said>,
}

/// The program's own word that its state is whole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Said(Mark);

impl Glance {
    /// Is there anything?
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
    /// Was nothing of it written after the program said that it is whole?
    pub(crate) fn is_as_said(&self) -> bool {
        let newest = self.files.values().map(|mark| mark.changed).max();
        self.said.is_none_or(|said| newest.is_none_or(|newest| newest <= said.0.changed))
    }
}

/// Looks at the folder. One that is not there is empty, and so is what goes away meanwhile.
pub(crate) fn glance(folder: &Path) -> Glance {
    let mut seen = Glance::default();
    for path in super::copy::files(folder).unwrap_or_default() {
        let Some(mark) = Mark::of(&folder.join(&path)) else { continue };
        if path.as_os_str() == SAVED_MARK {
            seen.said = Some(Said(mark));
        } else {
            seen.files.insert(path, mark);
        }
    }
    seen
}

impl Courier {
    /// Sends what lies in the folder and makes it the task's newest checkpoint, if it still is what was
    /// looked at. Gives back its number.
    pub(crate) async fn save(
        &self,
        order: &LeaseOrder,
        folder: &Path,
        seen: &Glance,
        guard: &Guard,
    ) -> Result<u32, String> {
        let Some(checkpoint) = &order.checkpoint else { return Err("it has none".to_owned()) };
        let path = format!("{}/", checkpoint.path.trim_end_matches('/'));
        let output = OutputOrder { from: path, ..OutputOrder::default() };
        let going = self.begin(order.attempt);
        let mut sendings = 0;
        loop {
            sendings += 1;
            let (at, of) = (folder.to_owned(), output.clone());
            let found = tokio::task::spawn_blocking(move || outgoing(&at, &of)).await;
            let found = found.map_err(|error| error.to_string())?;
            let mut found = found.map_err(|snag| snag.why)?;
            found.retain(|file| file.below != SAVED_MARK);
            let files = self.send_state(order, found, guard, &going).await;
            let files = files.map_err(|snag| snag.why)?;
            let here = folder.join(&checkpoint.path);
            let now = tokio::task::spawn_blocking(move || glance(&here)).await;
            if now.map_err(|error| error.to_string())? != *seen {
                return Err("it was written to while it was sent".to_owned());
            }
            let new = NewCheckpoint { attempt: order.attempt, files };
            match self.patiently(guard, || self.store.save(&new).boxed()).await {
                Err(snag) if snag.is(NOT_SENT) && sendings < SENDINGS_MAX => {}
                other => return other.map_err(|snag| snag.why),
            }
        }
    }

    async fn send_state(
        &self,
        order: &LeaseOrder,
        found: Vec<Outgoing>,
        guard: &Guard,
        going: &Going,
    ) -> Result<Vec<CheckpointFile>, Snag> {
        going.expect(found.iter().filter_map(|f| f.path.metadata().ok()).map(|m| m.len()).sum());
        let sent = self.send_files(order.attempt, None, found, guard, going).await?;
        let file = |(file, sha256): (Outgoing, String)| {
            let executable = file.is_program();
            CheckpointFile { path: file.below, sha256, executable }
        };
        Ok(sent.into_iter().map(file).collect())
    }

    /// Brings the task's newest whole checkpoint, where the attempt is to go on from it: which one it
    /// is, 0 where there is none, and its files.
    pub(super) async fn bring_checkpoint(
        &self,
        order: &LeaseOrder,
        guard: &Guard,
        going: &Going,
    ) -> Result<(u32, Vec<Brought>), Snag> {
        let attempt = order.attempt;
        let resumes = order.checkpoint.as_ref().filter(|checkpoint| checkpoint.resume);
        let Some(checkpoint) = resumes else { return Ok((0, Vec::new())) };
        let newest = self.patiently(guard, || self.store.checkpoint(attempt).boxed()).await?;
        let wanted = newest.files.into_iter().map(|file| Wanted {
            to: below(&checkpoint.path, &file.path),
            org: order.org.clone().unwrap_or_default(),
            called: format!("checkpoint {} {}", newest.number, file.path),
            source: Source::Store { attempt, input: None },
            sha256: Some(file.sha256),
            size: Some(file.size),
            executable: file.executable,
        });
        let brought = self.bring_all(wanted.collect(), guard, going).await;
        let brought = brought.map_err(|snag| snag.about("going on from a checkpoint"))?;
        Ok((newest.number, brought))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_write_is_seen_and_the_programs_word_is_no_part_of_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        assert!(glance(&dir.path().join("none")).is_empty());
        write("step", "1");
        write("deep/shard", "abc");
        let first = glance(dir.path());
        assert_eq!(glance(dir.path()), first);
        assert!(first.is_as_said(), "nothing is said");
        write(SAVED_MARK, "");
        let said = glance(dir.path());
        assert!(said != first && said.files == first.files && said.is_as_said());
        // Of the same size, and put in its place by a rename.
        write("new", "abd");
        std::fs::rename(dir.path().join("new"), dir.path().join("deep/shard")).expect("renamed");
        let second = glance(dir.path());
        assert!(second.files != said.files && !second.is_as_said(), "written after it was said");
    }
}
