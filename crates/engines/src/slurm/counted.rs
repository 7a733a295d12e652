//! What the site's accounting is still to be asked for, and what it said that nobody was told yet, on disk:
//! an agent that is started again asks and tells what the one before it did not come to.
//!
//! Must not know how Slurm is asked, nor what is compared. Invariant: a line is added for each end, and the
//! file is written anew when something is settled; a file that cannot be written loses comparisons and
//! nothing else, so nobody waits for the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use dayan_units::{AttemptId, Bytes, Span};
use serde::{Deserialize, Serialize};

use super::layout::Index;
use crate::SiteCount;

const FILE: &str = "counted.jsonl";

/// How those in one job of Slurm's ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Ran {
    /// One after the other, as an element of an array.
    InTurn,
    /// By itself, in a job that is no array.
    Alone,
    /// All at once: a gang.
    Together,
}

/// What ran in one job of Slurm's and has ended, as it was counted here.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Ours {
    /// Which attempts; never none.
    pub attempts: Vec<AttemptId>,
    pub job: u32,
    /// What the job is called.
    pub name: String,
    pub index: Index,
    pub ran: Ran,
    /// How long: in turn together, together the longest.
    pub wall: Span,
    /// Their processor time together.
    pub cpu: Span,
    /// The most memory that one of them had.
    pub memory: Bytes,
}

impl Ours {
    /// Is it the same job?
    pub(super) fn is_in(&self, other: &Self) -> bool {
        (self.job, self.index) == (other.job, other.index) && self.name == other.name
    }

    /// What else ran in it. What is in it already was noted twice: its agent died before it wrote the end down.
    pub(super) fn add(&mut self, more: Self) {
        if more.attempts.iter().any(|attempt| self.attempts.contains(attempt)) {
            return;
        }
        self.wall = match more.ran {
            Ran::InTurn | Ran::Alone => self.wall.plus(more.wall),
            Ran::Together => self.wall.max(more.wall),
        };
        self.cpu = self.cpu.plus(more.cpu);
        self.memory = self.memory.max(more.memory);
        self.attempts.extend(more.attempts);
    }

    /// The job, as `sacct` names it.
    pub(super) fn job_text(&self) -> String {
        match self.ran {
            Ran::InTurn => format!("{}_{}", self.job, self.index),
            Ran::Alone | Ran::Together => self.job.to_string(),
        }
    }
}

/// A line of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// It ended, and its job is to be asked about.
    Ended(Ours),
    /// That is what was said of it; it is to be told.
    Counted(SiteCount),
}

/// The file.
#[derive(Debug)]
pub(super) struct Counted {
    path: PathBuf,
    file: Option<File>,
}

impl Counted {
    /// With what an earlier agent left in it. What is added goes behind whole lines only, so it is to be written
    /// anew first.
    pub(super) fn open(folder: &Path) -> (Self, Vec<Ours>, Vec<SiteCount>) {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let (mut ended, mut counted) = (Vec::new(), Vec::new());
        // A line that was cut off, or is another version's, is passed over.
        for line in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
            match line {
                Line::Ended(one) => ended.push(one),
                Line::Counted(one) => counted.push(one),
            }
        }
        (Self { path, file: None }, ended, counted)
    }

    /// One more has ended.
    pub(super) fn ended(&mut self, ours: &Ours) {
        let written = self.file().and_then(|mut file| {
            file.write_all(text([&Line::Ended(ours.clone())].into_iter()).as_bytes())
        });
        self.complain(written);
    }

    /// Only these are left.
    pub(super) fn rewrite<'a>(
        &mut self,
        ended: impl Iterator<Item = &'a Ours>,
        counted: impl Iterator<Item = &'a SiteCount>,
    ) {
        let ended = ended.map(|one| Line::Ended(one.clone()));
        let counted = counted.map(|one| Line::Counted(one.clone()));
        let lines: Vec<Line> = ended.chain(counted).collect();
        let fresh = self.path.with_extension("new");
        // What is added from here on is added to the new file.
        self.file = None;
        let written = std::fs::write(&fresh, text(lines.iter()))
            .and_then(|()| std::fs::rename(&fresh, &self.path));
        self.complain(written);
    }

    fn file(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            self.file = Some(OpenOptions::new().create(true).append(true).open(&self.path)?);
        }
        Ok(self.file.as_ref().expect("opened above"))
    }

    fn complain(&self, written: io::Result<()>) {
        if let Err(error) = written {
            tracing::warn!(
                %error, path = %self.path.display(),
                "cannot note what is to be asked of Slurm's accounting; a restart forgets it"
            );
        }
    }
}

fn text<'a>(lines: impl Iterator<Item = &'a Line>) -> String {
    let line = |line| serde_json::to_string(line).expect("text and numbers become JSON") + "\n";
    lines.map(line).collect()
}
