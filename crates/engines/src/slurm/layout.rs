//! Where things lie in the data folder that the agent and the nodes share. Known to the engine and
//! to the wrapper on the nodes; nobody else builds these paths.
//!
//! Beside the folders that every engine has (`attempts`, `logs`): `batches/B/` holds the launches
//! of one array, their orders and their claims, `waiting/` launches that are in no array yet, `news/` what
//! wrappers have to say.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use dayan_units::AttemptId;
use serde::{Deserialize, Serialize};

use crate::keeper::Folder;

/// One submission: a job of Slurm, an array where it has several elements.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct BatchId(pub u64);

impl BatchId {
    /// As in folder names and names of jobs.
    pub(crate) fn text(self) -> String {
        format!("{:x}", self.0)
    }
    pub(crate) fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// An element of a batch: which array task it is, counted from 0.
pub(crate) type Index = u32;

/// Names of claims begin so.
const CLAIM: &str = "claim.";

/// Which element a file of a batch's folder is the claim of.
pub(crate) fn claimed_by_name(name: &str) -> Option<Index> {
    name.strip_prefix(CLAIM)?.parse().ok()
}

/// The shared folder.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    folder: Folder,
}

impl Layout {
    /// Makes what is missing, for this user only.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let layout = Self { folder: Folder::open(dir)? };
        for name in ["batches", "news", "waiting"] {
            make(&layout.folder.root().join(name))?;
        }
        Ok(layout)
    }

    /// The folders that every engine has.
    pub(crate) const fn folder(&self) -> &Folder {
        &self.folder
    }
    pub(crate) fn root(&self) -> &Path {
        self.folder.root()
    }
    /// What tells jobs of this agent from those of another of the same user.
    pub(crate) fn instance(&self) -> &str {
        self.folder.name()
    }
    pub(crate) fn journal(&self) -> PathBuf {
        self.root().join("slurm.journal")
    }
    /// The file whose time of change says what the file server's clock shows.
    pub(crate) fn clock(&self) -> PathBuf {
        self.root().join("clock")
    }
    pub(crate) fn news(&self) -> PathBuf {
        self.root().join("news")
    }
    /// Where launches lie that are in no batch yet.
    pub(crate) fn waiting(&self) -> PathBuf {
        self.root().join("waiting")
    }
    pub(crate) fn batches(&self) -> PathBuf {
        self.root().join("batches")
    }
    pub(crate) fn batch(&self, batch: BatchId) -> PathBuf {
        self.batches().join(batch.text())
    }
    pub(crate) fn launches(&self, batch: BatchId) -> PathBuf {
        self.batch(batch).join("launches")
    }
    pub(crate) fn orders(&self, batch: BatchId) -> PathBuf {
        self.batch(batch).join("orders")
    }
    pub(crate) fn claim(&self, batch: BatchId, index: Index) -> PathBuf {
        self.batch(batch).join(format!("{CLAIM}{index}"))
    }
    /// Left by an element that has used `srun`.
    pub(crate) fn used_srun(&self, batch: BatchId, index: Index) -> PathBuf {
        self.batch(batch).join(format!("srun.{index}"))
    }
    /// Programs of ours that scripts find first.
    pub(crate) fn scripts(&self) -> PathBuf {
        self.root().join("scripts")
    }
    /// One piece of news; `sequence` counts those of one element.
    pub(crate) fn piece(&self, batch: BatchId, index: Index, sequence: u32) -> PathBuf {
        self.news().join(format!("{}.{index}.{sequence}", batch.text()))
    }

    /// The folders of an attempt, to be removed with it.
    pub(crate) fn of_attempt(&self, attempt: AttemptId) -> [PathBuf; 2] {
        [self.folder.work(attempt), self.folder.logs(attempt)]
    }
}

/// Makes a folder for this user only; one that is there is as good.
fn make(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
