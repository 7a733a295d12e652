//! The agent's own memory across restarts: the orders of the attempts that it launched, what was
//! told of their use, and which have published.
//!
//! Invariant: an order is written before its attempt is launched, so that whatever runs here has
//! its order here. One line of JSON per entry; a line that a crash cut off is the last one and is
//! left out. Nothing is flushed to stable storage: after a power failure nothing of it runs any
//! more, and the exchange tells what it still wants.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayan_custody::Counters;
use dayan_units::AttemptId;
use dayan_wire::{LeaseOrder, Outcome};
use serde::{Deserialize, Serialize};

use crate::staging::is_full;

/// A journal shorter than this is not worth rewriting.
const REWRITE_BYTES: u64 = 4 << 20;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Entry {
    Order(Arc<LeaseOrder>),
    Used(AttemptId, Counters),
    Over(AttemptId, Outcome),
    Forgotten(AttemptId),
}

/// What is noted of one attempt.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Noted {
    /// How to run it.
    pub(crate) order: Arc<LeaseOrder>,
    /// The most that was told of its use.
    pub(crate) used: Counters,
    /// How it ended after its outputs were published, or could not be.
    pub(crate) over: Option<Outcome>,
}

/// The journal of orders.
pub(crate) struct Book {
    path: PathBuf,
    file: File,
    noted: BTreeMap<AttemptId, Noted>,
    length: u64,
    rewrite_at: u64,
    /// Lines not written yet.
    pending: Vec<u8>,
}

impl Book {
    /// Reads what earlier processes wrote.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let mut noted = BTreeMap::new();
        for line in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(entry) => apply(&mut noted, entry),
                Err(error) => tracing::warn!(%error, "a line of the orders' journal is cut off"),
            }
        }
        let length = text.len() as u64;
        let mut options = OpenOptions::new();
        let file = options.append(true).create(true).mode(0o600).open(path)?;
        // What follows begins a line.
        let torn = text.last().is_some_and(|last| *last != b'\n');
        let pending = if torn { vec![b'\n'] } else { Vec::new() };
        let mut book = Self { path: path.to_owned(), file, noted, length, rewrite_at: 0, pending };
        // What was read is not touched before its copy is whole.
        match book.rewrite() {
            // It is as good as it is: who frees room on a full disk needs an agent that works.
            Err(error) if is_full(error.kind()) => {
                tracing::warn!(%error, "the orders' journal is gone on with as it is");
                book.rewrite_at = length.saturating_add(REWRITE_BYTES);
                Ok(book)
            }
            Err(error) => Err(error),
            Ok(()) => Ok(book),
        }
    }

    /// What is noted, by attempt.
    pub(crate) const fn noted(&self) -> &BTreeMap<AttemptId, Noted> {
        &self.noted
    }

    pub(crate) fn order(&mut self, order: Arc<LeaseOrder>) {
        self.enter(Entry::Order(order));
    }
    pub(crate) fn used(&mut self, attempt: AttemptId, counters: Counters) {
        if self.noted.contains_key(&attempt) {
            self.enter(Entry::Used(attempt, counters));
        }
    }
    pub(crate) fn over(&mut self, attempt: AttemptId, outcome: Outcome) {
        if self.noted.contains_key(&attempt) {
            self.enter(Entry::Over(attempt, outcome));
        }
    }
    pub(crate) fn forgotten(&mut self, attempt: AttemptId) {
        if self.noted.contains_key(&attempt) {
            self.enter(Entry::Forgotten(attempt));
        }
    }

    fn enter(&mut self, entry: Entry) {
        write_line(&entry, &mut self.pending);
        apply(&mut self.noted, entry);
    }

    /// Writes what was entered since. What fails stays to be written with the next.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.file.write_all(&self.pending)?;
        self.length += self.pending.len() as u64;
        self.pending.clear();
        if self.length > self.rewrite_at { self.rewrite() } else { Ok(()) }
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = Vec::new();
        for (attempt, noted) in &self.noted {
            write_line(&Entry::Order(Arc::clone(&noted.order)), &mut text);
            if noted.used != Counters::default() {
                write_line(&Entry::Used(*attempt, noted.used), &mut text);
            }
            if let Some(outcome) = &noted.over {
                write_line(&Entry::Over(*attempt, outcome.clone()), &mut text);
            }
        }
        let new = self.path.with_extension("new");
        let file = create(&new, &text).inspect_err(|_| drop(std::fs::remove_file(&new)))?;
        std::fs::rename(&new, &self.path)?;
        self.file = file;
        self.length = text.len() as u64;
        self.rewrite_at = REWRITE_BYTES.max(self.length.saturating_mul(2));
        self.pending.clear();
        Ok(())
    }
}

fn apply(noted: &mut BTreeMap<AttemptId, Noted>, entry: Entry) {
    match entry {
        Entry::Order(order) => {
            let used = noted.get(&order.attempt).map_or_else(Counters::default, |old| old.used);
            noted.insert(order.attempt, Noted { order, used, over: None });
        }
        Entry::Used(attempt, counters) => {
            if let Some(noted) = noted.get_mut(&attempt) {
                noted.used = noted.used.grown_to(counters);
            }
        }
        Entry::Over(attempt, outcome) => {
            if let Some(noted) = noted.get_mut(&attempt) {
                noted.over = Some(outcome);
            }
        }
        Entry::Forgotten(attempt) => {
            noted.remove(&attempt);
        }
    }
}

fn write_line(entry: &Entry, out: &mut Vec<u8>) {
    serde_json::to_writer(&mut *out, entry).expect("texts and numbers become JSON");
    out.push(b'\n');
}

fn create(path: &Path, content: &[u8]) -> io::Result<File> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::{JobId, Resources};

    fn order(task: u32) -> Arc<LeaseOrder> {
        let attempt = AttemptId { job: JobId::from_bits(7), task, attempt: 1 };
        Arc::new(LeaseOrder {
            attempt,
            node: "a".to_owned(),
            resources: Resources::ZERO,
            cards: Vec::new(),
            keep_us: 1,
            time_limit_us: 1,
            stop: false,
            publish: false,
            name: "n".to_owned(),
            org: None,
            image: None,
            run: "true".to_owned(),
            env: BTreeMap::new(),
            steps: Vec::new(),
            mounts: Vec::new(),
            files: std::collections::BTreeMap::new(),
            secrets: BTreeMap::new(),
            workdir: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            save_within_us: None,
            checkpoint: None,
            time_signal: None,
            site_words: BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
            gang: None,
        })
    }

    #[test]
    fn what_was_noted_is_there_after_a_crash_in_the_middle_of_a_line() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("orders.journal");
        let mut book = Book::open(&path).expect("new");
        for task in 0..3 {
            book.order(order(task));
        }
        let used = Counters { cpu_us: 5, ..Counters::default() };
        book.used(order(0).attempt, used);
        book.over(order(1).attempt, Outcome::Exited { code: 0 });
        book.forgotten(order(2).attempt);
        book.write().expect("written");
        let expect = book.noted().clone();
        assert_eq!(expect.len(), 2);
        let mut file = OpenOptions::new().append(true).open(&path).expect("there");
        file.write_all(b"{\"forgotten\":\"job_").expect("written");
        let again = Book::open(&path).expect("read");
        assert_eq!(*again.noted(), expect);
        assert_eq!(again.noted()[&order(0).attempt].used, used);
        assert_eq!(again.noted()[&order(1).attempt].over, Some(Outcome::Exited { code: 0 }));
    }

    #[test]
    fn the_journal_does_not_grow_for_ever() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("orders.journal");
        let mut book = Book::open(&path).expect("new");
        let kept = order(0);
        book.order(Arc::clone(&kept));
        for task in 1..20_000 {
            book.order(order(task));
            book.forgotten(order(task).attempt);
            if task % 100 == 0 {
                book.write().expect("written");
            }
        }
        let length = std::fs::metadata(&path).expect("there").len();
        assert!(length < 2 * REWRITE_BYTES, "{length}");
        assert!(book.noted().contains_key(&kept.attempt));
    }
}
