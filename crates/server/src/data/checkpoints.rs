//! Checkpoints: what a task has saved of its state, to go on from elsewhere.
//!
//! A checkpoint is a folder of names below `checkpoints/JOB/TASK/` in the project that pays, and is
//! called by its number and by how many files it has: `00003-12`. Invariants: its names are given in
//! one append, so that it is whole or not there; one from which somebody has removed a file is not
//! whole, and is not used; numbers of a task only grow. Must not know what a lease is: whether an
//! attempt may save is asked for.

use std::collections::BTreeMap;

use dayan_units::{AttemptId, JobId, ProjectId, TaskId, Time};

use super::names::{Content, Named, Record};
use super::shelf::{self, Shelf};
use super::{DataFault, Depot, Found};

/// The folder of a project that holds them.
const FOLDER: &str = "checkpoints/";
/// So many checkpoints of a task are kept: the newest, and the one before it for the person who finds
/// that what was saved last is of no use.
const KEPT: usize = 2;
/// Files of one checkpoint: a shard for each of a thousand cards, ten times over. A program that
/// writes more packs them.
const FILES_MAX: usize = 10_000;

/// A whole checkpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkpoint {
    /// Of which task.
    pub task: TaskId,
    /// Counts the checkpoints of the task from 1.
    pub number: u32,
    /// Its files, each with its path below the checkpoint's folder.
    pub files: Vec<Found>,
}

/// What became of a checkpoint that was to be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saving {
    /// It is the newest of its task, with this number.
    Newest(u32),
    /// The attempt may not save any more.
    NotHeld,
}

/// Where names of a checkpoint's folder stand, by its number.
struct Part {
    count: usize,
    files: Vec<Found>,
}

fn of_task(task: TaskId) -> String {
    format!("{FOLDER}{}/{}/", task.job, task.task)
}

/// The parts of a checkpoint's name below its job's folder: task, number, count, path.
fn read(below: &str) -> Option<(u32, u32, usize, &str)> {
    let (task, rest) = below.split_once('/')?;
    let (folder, path) = rest.split_once('/')?;
    let (number, count) = folder.split_once('-')?;
    Some((task.parse().ok()?, number.parse().ok()?, count.parse().ok()?, path))
}

/// Everything below the folder of a job, or of one of its tasks, by task and number.
fn parts(shelf: &Shelf, job: JobId, below: &str) -> BTreeMap<(u32, u32), Part> {
    let of_job = format!("{FOLDER}{job}/");
    let mut parts: BTreeMap<(u32, u32), Part> = BTreeMap::new();
    let names = shelf.names().range::<str, _>(shelf::from(below));
    for (name, named) in names.take_while(|(name, _)| name.starts_with(below)) {
        let found = name.strip_prefix(&of_job).and_then(read);
        let Some((task, number, count, path)) = found else { continue };
        let part = parts.entry((task, number)).or_insert_with(|| Part { count, files: Vec::new() });
        if part.count == count {
            part.files.push(Found {
                below: path.to_owned(),
                path: name.clone(),
                named: named.clone(),
            });
        }
    }
    parts
}

fn is_whole(part: &Part) -> bool {
    part.count == part.files.len()
}

impl Depot {
    /// What an attempt's task has saved becomes the newest checkpoint of the task, and the oldest goes.
    /// `held` is asked while nobody else can save in the project: an attempt whose lease is lost after
    /// that is overtaken by the next one's checkpoint, never the other way round.
    pub fn save(
        &self,
        project: ProjectId,
        attempt: AttemptId,
        files: &[(String, Content)],
        at: Time,
        held: impl FnOnce() -> bool,
    ) -> Result<Saving, DataFault> {
        let task = attempt.task_id();
        if files.len() > FILES_MAX {
            return Err(DataFault::TooManyFiles("the checkpoint's files".to_owned()));
        }
        let files: BTreeMap<&str, Content> = files.iter().map(|(p, s)| (p.as_str(), *s)).collect();
        if files.is_empty() {
            return Err(DataFault::Unknown("file in this checkpoint".to_owned()));
        }
        self.with_shelf(project, |shelf| {
            if !held() {
                return Ok(Saving::NotHeld);
            }
            let folder = of_task(task);
            let parts = parts(shelf, task.job, &folder);
            let newest = parts.iter().next_back();
            if let Some(((_, number), part)) = newest.filter(|(_, part)| is_whole(part)) {
                let same =
                    |found: &Found| files.get(found.below.as_str()) == Some(&found.named.content());
                if part.files.len() == files.len() && part.files.iter().all(same) {
                    return Ok(Saving::Newest(*number));
                }
            }
            let number = newest.map_or(0, |((_, number), _)| *number).saturating_add(1);
            let folder = format!("{folder}{number:05}-{}/", files.len());
            let by = attempt.to_string();
            let mut puts = BTreeMap::new();
            for (path, content) in &files {
                let named = self.nameable(shelf, *content, &by, at)?;
                puts.insert(format!("{folder}{path}"), named);
            }
            shelf.room_for(puts.keys().map(String::as_str))?;
            self.fits(shelf, shelf.grows_by(puts.iter().map(|(path, n)| (path.as_str(), n))))?;
            // The newest whole ones stay; what is not whole is of no use to anybody.
            let mut kept = 1;
            let old = parts.into_values().rev().filter(|part| {
                let stays = is_whole(part) && kept < KEPT;
                kept += usize::from(stays);
                !stays
            });
            let gone = old.flat_map(|part| part.files).map(|found| found.path).collect();
            shelf.note(&[Record::Saved { files: puts, gone }])?;
            Ok(Saving::Newest(number))
        })
    }

    /// The newest whole checkpoint of a task.
    pub fn checkpoint(&self, project: ProjectId, task: TaskId) -> Option<Checkpoint> {
        let shelves = self.shelves();
        let parts = parts(shelves.get(&project)?, task.job, &of_task(task));
        let ((_, number), part) = parts.into_iter().rev().find(|(_, part)| is_whole(part))?;
        Some(Checkpoint { task, number, files: part.files })
    }

    /// The newest whole checkpoints of a job's tasks, one of each, at most so many.
    pub fn checkpoints(&self, project: ProjectId, job: JobId, max: usize) -> Vec<Checkpoint> {
        let shelves = self.shelves();
        let Some(shelf) = shelves.get(&project) else { return Vec::new() };
        let mut newest = BTreeMap::new();
        for ((task, number), part) in parts(shelf, job, &format!("{FOLDER}{job}/")) {
            if is_whole(&part) {
                let task = TaskId { job, task };
                newest.insert(task.task, Checkpoint { task, number, files: part.files });
            }
        }
        newest.into_values().take(max).collect()
    }

    /// The tasks that have checkpoints, whole or not.
    pub fn saved_tasks(&self) -> Vec<(ProjectId, TaskId)> {
        let mut tasks = Vec::new();
        for (project, shelf) in self.shelves().iter() {
            let names = shelf.names().range::<str, _>(shelf::from(FOLDER));
            for (name, _) in names.take_while(|(name, _)| name.starts_with(FOLDER)) {
                let below = name.strip_prefix(FOLDER).and_then(|below| below.split_once('/'));
                let Some((job, below)) = below else { continue };
                if let (Ok(job), Some((task, ..))) = (job.parse(), read(below)) {
                    tasks.push((*project, TaskId { job, task }));
                }
            }
        }
        tasks.dedup();
        tasks
    }

    /// Removes all checkpoints of a task. How many files there were.
    pub fn drop_checkpoints(&self, project: ProjectId, task: TaskId) -> Result<usize, DataFault> {
        self.with_shelf(project, |shelf| {
            let parts = parts(shelf, task.job, &of_task(task));
            let files = parts.into_values().flat_map(|part| part.files);
            let gone: Vec<String> = files.map(|found| found.path).collect();
            let count = gone.len();
            if count > 0 {
                let files: BTreeMap<String, Named> = BTreeMap::new();
                shelf.note(&[Record::Saved { files, gone }])?;
            }
            Ok(count)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{PROJECT, attempt, open, put, sha};
    use super::*;

    /// Sends files and saves them as a checkpoint of an attempt.
    fn save(depot: &Depot, by: u32, files: &[(&str, &[u8])]) -> Result<Saving, DataFault> {
        for (path, bytes) in files {
            // Under another name, which goes again: so the project has sent them.
            put(depot, PROJECT, &format!("sent/{path}"), bytes)?;
        }
        let files: Vec<_> =
            files.iter().map(|(path, b)| ((*path).to_owned(), sha(b).into())).collect();
        let saved = depot.save(PROJECT, attempt(by), &files, Time::EPOCH, || true);
        depot.remove(PROJECT, "sent/")?;
        saved
    }

    fn newest(depot: &Depot) -> Option<(u32, Vec<String>)> {
        let newest = depot.checkpoint(PROJECT, attempt(1).task_id())?;
        Some((newest.number, newest.files.into_iter().map(|found| found.below).collect()))
    }

    #[test]
    fn the_newest_whole_one_is_used_and_two_are_kept_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let depot = open(dir.path());
        assert_eq!(newest(&depot), None);
        let first = save(&depot, 1, &[("a", b"1"), ("deep/b", b"2")]).expect("saved");
        assert_eq!(first, Saving::Newest(1));
        let again = save(&depot, 1, &[("a", b"1")]);
        assert_eq!(again.expect("saved"), Saving::Newest(2), "fewer files are another one");
        assert_eq!(save(&depot, 1, &[("a", b"1")]).expect("saved"), Saving::Newest(2), "the same");
        assert_eq!(save(&depot, 2, &[("a", b"3")]).expect("saved"), Saving::Newest(3));
        assert_eq!(newest(&depot), Some((3, vec!["a".to_owned()])));
        let names = |depot: &Depot| depot.find(PROJECT, FOLDER).expect("some").len();
        assert_eq!(names(&depot), 2, "two checkpoints of one file each");

        // One that a person took a file from is not whole, and the one before it is used.
        assert_eq!(save(&depot, 2, &[("a", b"4"), ("b", b"5")]).expect("saved"), Saving::Newest(4));
        let path = format!("{}00004-2/b", of_task(attempt(1).task_id()));
        depot.remove(PROJECT, &path).expect("removed");
        assert_eq!(newest(&depot), Some((3, vec!["a".to_owned()])));
        drop(depot);
        let depot = open(dir.path());
        assert_eq!(newest(&depot), Some((3, vec!["a".to_owned()])));
        assert_eq!(save(&depot, 2, &[("a", b"6")]).expect("saved"), Saving::Newest(5));
        assert_eq!(names(&depot), 2, "what was not whole is gone");
        let tasks = vec![(PROJECT, attempt(1).task_id())];
        assert_eq!(depot.saved_tasks(), tasks);
        assert_eq!(depot.checkpoints(PROJECT, attempt(1).job, 9).len(), 1);
        assert_eq!(depot.drop_checkpoints(PROJECT, attempt(1).task_id()).expect("gone"), 2);
        assert_eq!((newest(&depot), depot.saved_tasks()), (None, Vec::new()));
    }

    #[test]
    fn what_is_not_held_not_sent_or_empty_is_not_saved() {
        let dir = tempfile::tempdir().expect("a folder");
        let depot = open(dir.path());
        let files = vec![("a".to_owned(), sha(b"x").into())];
        let lost = depot.save(PROJECT, attempt(1), &files, Time::EPOCH, || false);
        assert_eq!(lost.expect("asked"), Saving::NotHeld);
        let not_sent = depot.save(PROJECT, attempt(1), &files, Time::EPOCH, || true);
        assert!(matches!(not_sent, Err(DataFault::NotHeld(_))), "{not_sent:?}");
        let empty = depot.save(PROJECT, attempt(1), &[], Time::EPOCH, || true);
        assert!(matches!(empty, Err(DataFault::Unknown(_))), "{empty:?}");
        // Other people's files there are left alone.
        put(&depot, PROJECT, "checkpoints/mine/x", b"m").expect("put");
        assert_eq!(depot.saved_tasks(), Vec::new());
        assert_eq!(newest(&depot), None);
    }
}
