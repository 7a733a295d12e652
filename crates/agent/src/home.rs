//! The agent's data folder: who it is at the exchange, and that it is the only one here.
//!
//! Invariant: a file of the folder is whole or not there; a power failure in the middle of a
//! write leaves the old one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use dayan_units::Time;
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::fault::AgentFault;
use crate::offering::Offering;

/// Who the agent is at its exchange.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Membership {
    /// Its id.
    pub(crate) agent: String,
    /// Its pool's id.
    pub(crate) pool: String,
    /// The pool's compute-resource name.
    pub(crate) crn: String,
    /// What it syncs with.
    pub(crate) token: String,
    /// The exchange's name.
    pub(crate) exchange: String,
    /// Where it joined.
    pub(crate) url: String,
    /// SHA-256 of the exchange's certificate, in hex; none where it speaks plain HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) fingerprint: Option<String>,
    /// When the machine was last measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) measured_at: Option<Time>,
    /// SHA-256 of the inventory that was measured then, in hex: another machine is measured anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) measured: Option<String>,
}

/// The file of its membership.
const MEMBERSHIP_FILE: &str = "agent.json";
/// The file of a join that was asked for and not answered yet.
const JOINING_FILE: &str = "joining.json";

/// What a join was asked for with: asked again with the same, it is the same one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Joining {
    /// SHA-256 of the invitation's secret, in hex: by another one, perhaps of another exchange, another
    /// token is drawn.
    pub(crate) invitation: String,
    /// What the agent is going to sync with.
    pub(crate) token: String,
}

/// The folder, locked.
pub(crate) struct Home {
    root: PathBuf,
    _lock: File,
}

impl Home {
    /// Makes the folder if need be, for this user only, and takes its lock.
    pub(crate) fn open(path: &Path) -> Result<Self, AgentFault> {
        let at = |what: &str| AgentFault::data(format!("{what} {}", path.display()));
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(at("making"))?;
        let root = path.canonicalize().map_err(at("finding"))?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(root.join("lock"))
            .map_err(at("locking"))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { root, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(AgentFault::Busy(root)),
            Err(error) => Err(at("locking")(error.into())),
        }
    }

    /// Its real path.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    pub(crate) fn key(&self) -> PathBuf {
        self.root.join("agent.key")
    }
    /// Where the engine keeps its tasks.
    pub(crate) fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }
    /// Where the orders of attempts are written down.
    pub(crate) fn orders(&self) -> PathBuf {
        self.root.join("orders.journal")
    }
    /// Where logs of attempts lie that are over.
    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }
    fn membership_path(&self) -> PathBuf {
        self.root.join(MEMBERSHIP_FILE)
    }

    /// Who the agent is, if it has joined.
    pub(crate) fn membership(&self) -> Result<Option<Membership>, AgentFault> {
        read_kept(self.membership_path())
    }

    /// Writes down who the agent is.
    pub(crate) fn remember(&self, membership: &Membership) -> Result<(), AgentFault> {
        write_kept(&self.membership_path(), membership)
    }

    /// The join that was asked for last and not answered, as far as this folder knows.
    pub(crate) fn joining(&self) -> Result<Option<Joining>, AgentFault> {
        read_kept(self.root.join(JOINING_FILE))
    }

    /// Writes down what is asked for, before it is.
    pub(crate) fn begin_joining(&self, joining: &Joining) -> Result<(), AgentFault> {
        write_kept(&self.root.join(JOINING_FILE), joining)
    }

    /// It has joined.
    pub(crate) fn end_joining(&self) {
        // Left behind it does nothing: a member does not join.
        let _ = std::fs::remove_file(self.root.join(JOINING_FILE));
    }

    /// Writes down what is offered, where that is something else than before.
    pub(crate) fn keep(&self, offering: &Offering) -> Result<(), AgentFault> {
        offering.keep(&self.root)
    }

    /// Counts the agent's processes of this folder: 0 for the first.
    pub(crate) fn next_generation(&self) -> Result<u32, AgentFault> {
        let path = self.root.join("generation");
        let mine = match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().parse::<u32>().map_err(|error| AgentFault::State {
                path: path.clone(),
                why: error.to_string(),
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => {
                return Err(AgentFault::data(format!("reading {}", path.display()))(error));
            }
        };
        let next = mine.saturating_add(1).to_string();
        replace(&path, next.as_bytes())
            .map_err(AgentFault::data(format!("writing {}", path.display())))?;
        Ok(mine)
    }
}

/// Has the agent of this folder joined? One whose membership cannot be read has, and says so when it is
/// needed.
pub(crate) fn is_member(data: &Path) -> bool {
    data.join(MEMBERSHIP_FILE).exists()
}

/// What a file of the folder says; none where there is no such file.
pub(crate) fn read_kept<T: DeserializeOwned>(path: PathBuf) -> Result<Option<T>, AgentFault> {
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text)
            .map(Some)
            .map_err(|error| AgentFault::State { path, why: error.to_string() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(AgentFault::data(format!("reading {}", path.display()))(error)),
    }
}

pub(crate) fn write_kept(path: &Path, value: &impl Serialize) -> Result<(), AgentFault> {
    let text = serde_json::to_vec_pretty(value).expect("texts and numbers become JSON");
    replace(path, &text).map_err(AgentFault::data(format!("writing {}", path.display())))
}

/// Replaces a file, for this user only, so that it is the old or the new one at every moment.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_agent_at_a_time_and_each_has_its_number() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Home::open(dir.path()).expect("free");
        assert!(matches!(Home::open(dir.path()), Err(AgentFault::Busy(_))));
        assert_eq!(home.next_generation().expect("written"), 0);
        drop(home);
        let home = Home::open(dir.path()).expect("free again");
        assert_eq!(home.next_generation().expect("written"), 1);
        assert_eq!(home.membership().expect("no file is no fault"), None);
        std::fs::write(dir.path().join("agent.json"), "{\"agent\":").expect("written");
        assert!(matches!(home.membership(), Err(AgentFault::State { .. })));
    }
}
