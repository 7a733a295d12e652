//! What was sent of one attempt's outputs to object stores, kept on disk: another process of this agent
//! goes on where this one was killed.
//!
//! Invariants: one line of JSON per step, written after the step is done, so that nothing is taken for
//! sent that is not; a line that a crash cut off is left out. Nothing is flushed to stable storage: what a
//! power failure loses is sent again. Must hold no secret, and not know how things are sent.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::super::checkpoint::Mark;
use super::Staged;

/// A record that nobody has written to for so long is of an attempt that nobody knows any more: it is
/// as old as what is cleared away in buckets.
const RECORD_AGE_MAX: Duration = Duration::from_hours(7 * 24);

/// Which object of an attempt: the output's number, and the key that it is to have.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) struct Slot {
    pub(super) output: u32,
    pub(super) key: String,
}

/// How far a file is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum State {
    /// Its object lies under the attempt's key.
    Put,
    /// An upload to its own name, which is seen once it is completed.
    Parts(Upload),
}

/// An upload in parts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Upload {
    /// What the store calls it.
    pub(super) id: String,
    /// Bytes of each part but the last.
    pub(super) part_bytes: u64,
    /// Bytes of the file.
    pub(super) size: u64,
    /// What the store calls the parts that it has, by number from 0.
    pub(super) parts: BTreeMap<u64, String>,
    /// What lay under the name before it was completed: none where that was not tried.
    pub(super) before: Option<String>,
    /// Is it written down in the bucket?
    pub(super) noted: bool,
}

/// A file that was sent, or is being sent, as it was when that began.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Sent {
    pub(super) mark: Mark,
    pub(super) state: State,
    /// Has it its name?
    pub(super) named: bool,
}

/// A step.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Step {
    /// The object lies under the attempt's key.
    Put { slot: Slot, mark: Mark },
    /// An upload began.
    Began { slot: Slot, mark: Mark, id: String, part_bytes: u64, size: u64 },
    /// An upload is written down in the bucket.
    Noted { slot: Slot, id: String },
    /// The store has a part.
    Part { slot: Slot, id: String, part: u64, tag: String },
    /// An upload is about to be completed, over what is called so; empty where nothing is seen.
    Completing { slot: Slot, before: String },
    /// It has its name.
    Named { slot: Slot },
    /// What was sent of it is gone.
    Dropped { slot: Slot },
}

/// What is remembered of an attempt.
pub(super) struct Outbox {
    path: PathBuf,
    record: Mutex<Record>,
    /// Held for reading by whoever sends, for writing by whoever clears away.
    pub(super) sending: tokio::sync::RwLock<()>,
    /// Where what this process has sent lies, with the buckets that are open for it.
    open: Mutex<BTreeMap<Slot, Staged>>,
}

#[derive(Default)]
struct Record {
    file: Option<File>,
    sent: BTreeMap<Slot, Sent>,
}

impl Outbox {
    /// With what an earlier process has written there.
    pub(super) fn open(path: PathBuf) -> Self {
        let text = std::fs::read(&path).unwrap_or_default();
        let mut record = Record::default();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(step) => apply(&mut record.sent, step),
                Err(error) => tracing::warn!(%error, "a line of what was sent is cut off"),
            }
        }
        // What comes next begins a line of its own.
        let whole = text.last().is_none_or(|last| *last == b'\n');
        let outbox = Self {
            path,
            record: Mutex::new(record),
            sending: tokio::sync::RwLock::default(),
            open: Mutex::default(),
        };
        if !whole {
            outbox.write(&mut outbox.record(), b"\n");
        }
        outbox
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().expect("nobody panics while holding it")
    }

    /// What was sent for a slot.
    pub(super) fn sent(&self, slot: &Slot) -> Option<Sent> {
        self.record().sent.get(slot).cloned()
    }

    /// Everything that was sent.
    pub(super) fn all(&self) -> Vec<(Slot, Sent)> {
        self.record().sent.iter().map(|(slot, sent)| (slot.clone(), sent.clone())).collect()
    }

    /// A step is done.
    pub(super) fn enter(&self, step: Step) {
        let line = serde_json::to_vec(&step).expect("text and numbers only");
        let mut record = self.record();
        self.write(&mut record, &[line, vec![b'\n']].concat());
        apply(&mut record.sent, step);
    }

    /// Without its line the step is done again by the next process, which costs time and nothing else.
    fn write(&self, record: &mut Record, line: &[u8]) {
        let opened = match record.file.take() {
            Some(file) => Ok(file),
            None => OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path),
        };
        match opened.and_then(|mut file| file.write_all(line).map(|()| file)) {
            Ok(file) => record.file = Some(file),
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "what was sent is not noted");
            }
        }
    }

    /// Where a slot's object lies, if this process has sent it.
    pub(super) fn staged(&self, slot: &Slot) -> Option<Staged> {
        self.open.lock().expect("nobody panics while holding it").get(slot).cloned()
    }

    /// This process is about to send a slot's object.
    pub(super) fn open_for(&self, staged: &Staged) {
        let mut open = self.open.lock().expect("nobody panics while holding it");
        open.insert(staged.slot.clone(), staged.clone());
    }

    /// Nothing of it is remembered any more.
    pub(super) fn remove(path: &Path) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, path = %path.display(), "cannot be removed");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// The file of its record.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

fn apply(all: &mut BTreeMap<Slot, Sent>, step: Step) {
    match step {
        Step::Put { slot, mark } => {
            all.insert(slot, Sent { mark, state: State::Put, named: false });
        }
        Step::Began { slot, mark, id, part_bytes, size } => {
            let upload =
                Upload { id, part_bytes, size, parts: BTreeMap::new(), before: None, noted: false };
            all.insert(slot, Sent { mark, state: State::Parts(upload), named: false });
        }
        Step::Noted { slot, id } => {
            if let Some(Sent { state: State::Parts(upload), .. }) = all.get_mut(&slot)
                && upload.id == id
            {
                upload.noted = true;
            }
        }
        Step::Part { slot, id, part, tag } => {
            // One that another upload has overtaken is of no use.
            if let Some(Sent { state: State::Parts(upload), .. }) = all.get_mut(&slot)
                && upload.id == id
            {
                upload.parts.insert(part, tag);
            }
        }
        Step::Completing { slot, before } => {
            if let Some(Sent { state: State::Parts(upload), .. }) = all.get_mut(&slot) {
                upload.before = Some(before);
            }
        }
        Step::Named { slot } => {
            if let Some(sent) = all.get_mut(&slot) {
                sent.named = true;
            }
        }
        Step::Dropped { slot } => {
            all.remove(&slot);
        }
    }
}

/// Removes records of attempts that nobody has asked for since long.
pub(super) fn forget_old(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let age = entry.metadata().and_then(|about| about.modified()).ok();
        if age.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > RECORD_AGE_MAX) {
            Outbox::remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_finds_what_was_sent_also_behind_a_line_that_was_cut_off() {
        let dir = tempfile::tempdir().expect("a folder");
        let (path, file) = (dir.path().join("record"), dir.path().join("file"));
        std::fs::write(&file, "x").expect("written");
        let mark = Mark::of(&file).expect("there");
        let slot = |key: &str| Slot { output: 1, key: key.to_owned() };
        let first = Outbox::open(path.clone());
        first.enter(Step::Put { slot: slot("small"), mark });
        let (id, part_bytes, size) = ("u1".to_owned(), 5, 12);
        first.enter(Step::Began { slot: slot("large"), mark, id: id.clone(), part_bytes, size });
        first.enter(Step::Part { slot: slot("large"), id, part: 1, tag: "t".to_owned() });
        let stray = Step::Part { slot: slot("large"), id: "u0".into(), part: 0, tag: "t".into() };
        first.enter(stray);
        let all = first.all();
        drop(first);
        let mut text = std::fs::read(&path).expect("there");
        text.extend(b"{\"put\":{\"slot\"");
        std::fs::write(&path, text).expect("written");

        let second = Outbox::open(path.clone());
        assert_eq!(second.all(), all);
        let Some(Sent { state: State::Parts(upload), .. }) = second.sent(&slot("large")) else {
            panic!("{:?}", second.all())
        };
        assert_eq!(upload.parts, BTreeMap::from([(1, "t".to_owned())]), "not another upload's");
        second.enter(Step::Named { slot: slot("small") });
        second.enter(Step::Dropped { slot: slot("large") });

        let third = Outbox::open(path.clone());
        assert_eq!(third.all(), second.all(), "also what came behind the cut line");
        let small = Sent { mark, state: State::Put, named: true };
        assert_eq!(third.all(), [(slot("small"), small)]);
        Outbox::remove(third.path());
        assert!(Outbox::open(path).all().is_empty());
    }
}
