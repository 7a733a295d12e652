//! Where things lie in an agent's data folder. Known to the keeper and to the engine that talks
//! to it; nobody else builds these paths.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dayan_units::AttemptId;
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};

/// The data folder of one agent and its keeper.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    name: String,
}

impl Folder {
    /// Makes the folder if need be, for this user only, and finds its real path.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let root = path.canonicalize()?;
        // FNV-1a over the path: tells keepers of one machine apart in cgroup names and in the
        // environment of tasks. Two that collide would need 2³² folders on one machine.
        let hash =
            root.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Ok(Self { root, name: format!("dayan-{hash:016x}") })
    }

    /// What this keeper is called in cgroups and fences.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    /// What the environment of a task of ours carries.
    pub(crate) fn fence(&self, attempt: AttemptId) -> String {
        format!("{}:{attempt}", self.name)
    }
    pub(crate) fn journal(&self) -> PathBuf {
        self.root.join("keeper.journal")
    }
    pub(crate) fn keeper_log(&self) -> PathBuf {
        self.root.join("keeper.log")
    }
    /// Working folders that wait to be used again.
    pub(crate) fn spares(&self) -> PathBuf {
        self.root.join("spares")
    }
    /// The working folder of an attempt.
    pub(crate) fn work(&self, attempt: AttemptId) -> PathBuf {
        self.of("attempts", attempt)
    }
    /// Where its output is kept: beside the working folder, so that outputs named by a glob are
    /// the task's own files only.
    pub(crate) fn logs(&self, attempt: AttemptId) -> PathBuf {
        self.of("logs", attempt)
    }
    fn of(&self, kind: &str, attempt: AttemptId) -> PathBuf {
        let AttemptId { job, task, attempt } = attempt;
        self.root.join(format!("{kind}/{job}/{task}.{attempt}"))
    }

    /// The socket's address, which must fit the 108 bytes of `sockaddr_un` however long the path
    /// of the folder is. The descriptor must live while the address is used.
    pub(crate) fn socket(&self) -> io::Result<(PathBuf, OwnedFd)> {
        let folder = open(&self.root, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        Ok((PathBuf::from(format!("/proc/self/fd/{}/keeper.sock", folder.as_raw_fd())), folder))
    }

    /// Takes one of the folder's locks, which the kernel frees with the process; `None` if
    /// somebody has it.
    pub(crate) fn lock(&self, name: &str) -> io::Result<Option<Lock>> {
        let path = self.root.join(name);
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Lock(file))),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// A lock that is held. It is given back in so many words: merely closing the file would leave it
/// with any process that is just being forked and has not executed yet.
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // The file is closed in any case.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}
