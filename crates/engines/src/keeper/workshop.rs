//! Working folders: handed out empty, cleared away, used again.
//!
//! Making and removing a folder costs more than a tenth of starting a process (43 and 79 µs on
//! ext4, measured beside 600 for the process), moving one 10 µs. Most tasks leave their folder as
//! they found it, so those are kept as spares and moved to where the next attempt expects its
//! own. Invariant: what is handed out is empty, ours, and closed to others. Clearing away happens
//! on a thread of its own, because a task may leave a million files.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex};

/// Spares kept: as many tasks as end between two batches of starts.
const SPARES_MAX: usize = 256;

/// Permissions of a working folder: its task's user only.
const MODE: u32 = 0o700;

/// What is to be cleared away.
pub(super) enum Clear {
    /// A working folder, which may become a spare.
    Work(PathBuf),
    /// A folder of logs.
    Logs(PathBuf),
}

/// The spares, shared by those who hand them out and the one who clears away.
#[derive(Clone)]
pub(super) struct Workshop {
    shelf: PathBuf,
    spares: Arc<Mutex<Vec<PathBuf>>>,
}

impl Workshop {
    /// Spares lie below `shelf`, on the same file system as the working folders. Those of an
    /// earlier keeper are removed.
    pub(super) fn open(shelf: PathBuf) -> io::Result<Self> {
        match fs::remove_dir_all(&shelf) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::DirBuilder::new().mode(MODE).create(&shelf)?;
        Ok(Self { shelf, spares: Arc::default() })
    }

    fn spare(&self) -> Option<PathBuf> {
        self.spares.lock().expect("no thread panics holding it").pop()
    }

    /// Makes sure of a folder at `path`: the one that is there with what was staged into it, a
    /// spare, or a new one.
    pub(super) fn hand_out(&self, path: &Path) -> io::Result<()> {
        if let Some(spare) = self.spare() {
            // Takes the place of an empty folder, never of one with something in it.
            let mut outcome = fs::rename(&spare, path);
            if let (Err(error), Some(job)) = (&outcome, path.parent())
                && error.kind() == io::ErrorKind::NotFound
            {
                fs::DirBuilder::new().recursive(true).mode(MODE).create(job)?;
                outcome = fs::rename(&spare, path);
            }
            if outcome.is_ok() {
                return Ok(());
            }
            // Nobody else knows of it.
            let _ = fs::remove_dir(&spare);
        }
        make(path)
    }

    /// Starts the thread that clears away.
    pub(super) fn sweeper(&self) -> io::Result<Sender<Clear>> {
        let (sender, receiver) = channel();
        let workshop = self.clone();
        let sweep = move || workshop.sweep(&receiver);
        std::thread::Builder::new().name("sweeper".to_owned()).spawn(sweep)?;
        Ok(sender)
    }

    fn sweep(&self, work: &Receiver<Clear>) {
        let mut number = 0u64;
        // Folders of jobs, to be removed with their last task: tried when there is nothing else
        // to do, because most attempts to do so fail.
        let mut jobs = BTreeSet::new();
        loop {
            let next = match work.try_recv() {
                Ok(next) => next,
                Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {
                    for job in std::mem::take(&mut jobs) {
                        let _ = fs::remove_dir(job);
                    }
                    match work.recv() {
                        Ok(next) => next,
                        Err(_) => return,
                    }
                }
            };
            let (Clear::Work(path) | Clear::Logs(path)) = &next;
            jobs.extend(path.parent().map(Path::to_owned));
            let kept = match &next {
                Clear::Work(path) => {
                    number += 1;
                    self.keep(path, number)
                }
                Clear::Logs(_) => false,
            };
            if !kept
                && let Err(error) = fs::remove_dir_all(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!(%error, folder = %path.display(), "cannot remove a folder");
            }
        }
    }

    /// Puts a folder on the shelf if it is as good as new.
    fn keep(&self, path: &Path, number: u64) -> bool {
        let has_room = self.spares.lock().expect("no thread panics holding it").len() < SPARES_MAX;
        if !has_room || !is_as_new(path) {
            return false;
        }
        let spare = self.shelf.join(number.to_string());
        if fs::rename(path, &spare).is_err() {
            return false;
        }
        self.spares.lock().expect("no thread panics holding it").push(spare);
        true
    }
}

/// Is it an empty folder of ours with the permissions we give?
fn is_as_new(path: &Path) -> bool {
    let Ok(about) = fs::symlink_metadata(path) else { return false };
    about.is_dir()
        && about.mode() & 0o7777 == MODE
        && about.uid() == rustix::process::geteuid().as_raw()
        && fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none())
}

/// Makes the folder, and those above it only if they are missing: most tasks of a job find them.
pub(crate) fn make(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.mode(MODE);
    match builder.create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other,
    }
    builder.recursive(true);
    // The sweeper may remove the job's folder, empty for a moment, between its making and ours.
    let mut outcome = builder.create(path);
    for _ in 0..8 {
        match &outcome {
            Err(error) if error.kind() == io::ErrorKind::NotFound => outcome = builder.create(path),
            Ok(()) | Err(_) => break,
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_new_is_used_again() {
        let dir = tempfile::tempdir().expect("a folder");
        let shop = Workshop::open(dir.path().join("spares")).expect("opens");
        let at = |name: &str| dir.path().join("attempts/job").join(name);
        let inode = |path: &Path| fs::metadata(path).expect("there").ino();

        shop.hand_out(&at("1")).expect("made");
        let first = inode(&at("1"));
        assert!(shop.keep(&at("1"), 1));
        assert!(!at("1").exists());
        shop.hand_out(&at("2")).expect("moved");
        assert_eq!(inode(&at("2")), first, "the same folder at another place");

        fs::write(at("2").join("left"), "x").expect("writes");
        assert!(!shop.keep(&at("2"), 2), "something is in it");
        shop.hand_out(&at("3")).expect("made");
        fs::set_permissions(at("3"), std::os::unix::fs::PermissionsExt::from_mode(0o777))
            .expect("ours");
        assert!(!shop.keep(&at("3"), 3), "it was opened to others");

        // What was staged stays, even if a spare is there.
        shop.hand_out(&at("4")).expect("made");
        assert!(shop.keep(&at("4"), 4));
        shop.hand_out(&at("2")).expect("is there");
        assert!(at("2").join("left").exists());
    }
}
