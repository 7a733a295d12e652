//! Launches that were taken and are in no batch yet, in files of their own that go when they are: so
//! the journal, which stays, never holds an environment.
//!
//! Invariant: what lies here is in no batch, or will be removed at the next look; a file that was cut
//! off loses the launches behind the cut, which then count as never started.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use dayan_units::AttemptId;

use crate::{Launch, journal};

/// The folder and what lies in it.
pub(super) struct Tray {
    folder: PathBuf,
    next: u64,
    files: BTreeMap<u64, Vec<AttemptId>>,
}

impl Tray {
    /// Opens the folder, and reads what an earlier engine left in it.
    pub(super) fn open(folder: &Path) -> io::Result<(Self, Vec<Launch>)> {
        let mut tray = Self { folder: folder.to_owned(), next: 0, files: BTreeMap::new() };
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(number): Option<u64> = number else { continue };
            let bytes = fs::read(entry.path())?;
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            let launches: Vec<Launch> = lines.map_while(journal::decode_line).collect();
            tray.next = tray.next.max(number + 1);
            tray.files.insert(number, launches.iter().map(|launch| launch.attempt).collect());
            found.extend(launches);
        }
        Ok((tray, found))
    }

    /// Keeps these. Not flushed: after a power failure they count as never started.
    pub(super) fn put<'a>(&mut self, launches: impl Iterator<Item = &'a Launch>) -> io::Result<()> {
        let mut bytes = Vec::new();
        let mut attempts = Vec::new();
        for launch in launches {
            journal::encode(launch, &mut bytes);
            attempts.push(launch.attempt);
        }
        let number = self.next;
        self.next += 1;
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.path(number))?;
        // One that is only half there is removed at the next look, like the others.
        self.files.insert(number, attempts);
        file.write_all(&bytes)
    }

    /// Removes the files of which nothing waits any more.
    pub(super) fn tidy<'a>(&mut self, waiting: impl Iterator<Item = &'a Launch>) {
        if self.files.is_empty() {
            return;
        }
        let waits: BTreeSet<AttemptId> = waiting.map(|launch| launch.attempt).collect();
        let folder = &self.folder;
        self.files.retain(|number, attempts| {
            let stays = attempts.iter().any(|attempt| waits.contains(attempt));
            if !stays && let Err(error) = fs::remove_file(folder.join(number.to_string())) {
                let gone = error.kind() == io::ErrorKind::NotFound;
                if !gone {
                    tracing::warn!(%error, "cannot remove what launches were kept in");
                }
                return !gone;
            }
            stays
        });
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::book::tests::launch;
    use crate::{BootId, BootTime};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_waits_is_kept_and_goes_when_it_waits_no_more() {
        let dir = tempfile::tempdir().expect("a folder");
        let names = || fs::read_dir(dir.path()).expect("reads").count();
        let (mut tray, found) = Tray::open(dir.path()).expect("opens");
        assert!(found.is_empty());
        let at = BootTime::from_micros(9).micros();
        let launches: Vec<Launch> = (0..3).map(|task| launch(task, BootId(4), at)).collect();
        tray.put(launches[..2].iter()).expect("keeps");
        tray.put(launches[2..].iter()).expect("keeps");
        let mode = fs::metadata(dir.path().join("0")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (mut tray, found) = Tray::open(dir.path()).expect("opens");
        assert_eq!(found, launches);
        tray.tidy(launches[1..].iter());
        assert_eq!(names(), 2, "one of the first file still waits");
        tray.tidy(launches[2..].iter());
        assert_eq!(names(), 1);
        // A torn file gives what is whole of it.
        let torn = fs::read(dir.path().join("1")).expect("reads");
        fs::write(dir.path().join("1"), &torn[..torn.len() - 2]).expect("writes");
        let (mut tray, found) = Tray::open(dir.path()).expect("opens");
        assert_eq!(found, []);
        tray.put(launches[..1].iter()).expect("keeps, under a name of its own");
        tray.tidy([].into_iter());
        assert_eq!(names(), 0);
    }
}
