//! Slurm's accounting beside our own counters, once it is final.
//!
//! The wrapper's counters are what is told to the exchange: they are there at once and are whole.
//! Slurm's are written late and counted otherwise (the wrapper's own start and end are in them, and memory is
//! what was there when somebody looked). A difference beyond that is a finding for the operator, who sees
//! their sum at the pool; nothing is billed by it.

use std::collections::BTreeMap;

use std::path::PathBuf;

use dayan_units::{AttemptId, Bytes, Span};
use serde::{Deserialize, Serialize};

use super::book::Submission;
use super::engine::SlurmEngine;
use super::layout::Index;
use super::request::{Shape, job_name};
use super::status::Account;
use super::way::{Accounting, Jobs};
use crate::BootTime;

/// Slurm counts whole seconds, and the wrapper's start and end: so much is no difference.
const SLACK_SECS: i64 = 5;
/// Beyond it, so much for each further task that ran in the job: from one's end to the next's start.
const BETWEEN_MILLIS: i64 = 50;
/// And so many hundredths of the time are none either.
const SLACK_PERCENT: i64 = 5;
/// Slurm adds the pages of all processes, those that they share each time, and the wrapper's own: so much of
/// it more than what we saw is no difference. Less is none at all: it looks every half minute.
const MEMORY_SLACK: Bytes = Bytes(128 << 20);
/// The same in hundredths of what we saw.
const MEMORY_SLACK_PERCENT: u64 = 50;
/// How it stands, for whoever shows the pool; it outlives the engine.
const TALLY_FILE: &str = "compared.json";
/// Ends that are kept to be compared. More than that end within the lag only where nobody reads
/// each of them; the rest is not compared.
const KEPT_MAX: usize = 10_000;
/// How often an end is asked about that the accounting does not have: five minutes of a database that is
/// away.
const ASKED_MAX: u32 = 5;
/// Jobs asked about at once: their numbers fit any command line.
const JOBS_AT_ONCE: usize = 500;
/// Differences kept until somebody asks.
const DIFFERENCES_MAX: usize = 1_000;

/// Slurm's accounting and our counters did not agree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Of which attempt.
    pub attempt: AttemptId,
    /// The job in Slurm, as `sacct` names it.
    pub job: String,
    /// What differs: `time`, `cpu` or `memory`.
    pub what: &'static str,
    /// As the wrapper counted it: seconds, or MiB of memory.
    pub ours: i64,
    /// The same, as Slurm counted it.
    pub theirs: i64,
}

/// How many were compared since the folder is there, and what of that differed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tally {
    /// Attempts that were compared.
    pub compared: u64,
    /// Jobs of Slurm's in which something differed.
    pub differed: u64,
    /// The last of them, in words.
    pub last: String,
}

impl Tally {
    /// As it was left in an engine's folder.
    pub(super) fn read(folder: &std::path::Path) -> Self {
        let text = std::fs::read(folder.join(TALLY_FILE)).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }
}

/// How those in one job of Slurm's ran.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ran {
    /// One after the other.
    InTurn,
    /// All at once: a gang.
    Together,
}

struct Ended {
    attempt: AttemptId,
    job: u32,
    /// What the job is called.
    name: String,
    index: Index,
    ran: Ran,
    /// How many ran in the job, and how long: in turn together, together the longest.
    count: u64,
    wall: Span,
    /// Their processor time together.
    cpu: Span,
    /// The most memory that one of them had.
    memory: Bytes,
    ask_at: BootTime,
    /// How often it was asked about.
    asked: u32,
}

/// What is still to be compared.
pub(super) struct Accounts {
    accounting: Accounting,
    after: Span,
    ended: Vec<Ended>,
    /// The jobs that are being asked about; none: nobody asks.
    asking: Option<Jobs>,
    found: Vec<Difference>,
    compared: u64,
    tally: Tally,
    /// The folder that the tally is kept in.
    folder: PathBuf,
}

impl Accounts {
    pub(super) fn new(accounting: Accounting, after: Span, folder: PathBuf) -> Self {
        let (ended, found) = (Vec::new(), Vec::new());
        let tally = Tally::read(&folder);
        Self { accounting, after, ended, asking: None, found, compared: 0, tally, folder }
    }

    /// What ran in the same job, Slurm counts as one.
    fn note(&mut self, ended: Ended) {
        let same = |other: &&mut Ended| {
            (other.job, other.index) == (ended.job, ended.index) && other.name == ended.name
        };
        if let Some(before) = self.ended.iter_mut().rev().find(same) {
            before.wall = match ended.ran {
                Ran::InTurn => before.wall.plus(ended.wall),
                Ran::Together => before.wall.max(ended.wall),
            };
            before.cpu = before.cpu.plus(ended.cpu);
            before.memory = before.memory.max(ended.memory);
            before.count += ended.count;
            before.ask_at = ended.ask_at;
            return;
        }
        if self.accounting == Accounting::Kept && self.ended.len() < KEPT_MAX {
            self.ended.push(ended);
        }
    }

    /// When there is something to ask.
    pub(super) fn due_at(&self) -> Option<BootTime> {
        let asked = self.ended.iter().map(|ended| ended.ask_at).min();
        asked.filter(|_| self.asking.is_none())
    }

    /// The jobs to ask about now; the answer goes to [`on_answer`](Self::on_answer).
    pub(super) fn jobs_to_ask(&mut self, now: BootTime) -> Option<Jobs> {
        if self.due_at().is_none_or(|at| at > now) {
            return None;
        }
        let mut jobs = Jobs::new();
        for ended in self.ended.iter().filter(|ended| ended.ask_at <= now) {
            if jobs.len() == JOBS_AT_ONCE {
                break;
            }
            // Of two that have had one number the other is asked about the next time.
            jobs.entry(ended.job).or_insert_with(|| ended.name.clone());
        }
        self.asking = Some(jobs.clone());
        Some(jobs)
    }

    /// Compares what was asked.
    pub(super) fn on_answer(
        &mut self,
        answer: Result<BTreeMap<(u32, Index), Account>, String>,
        now: BootTime,
    ) {
        let asked = self.asking.take().unwrap_or_default();
        let known = match answer {
            Ok(known) => known,
            Err(why) => {
                tracing::warn!(why, "cannot read Slurm's accounting; asked again later");
                for ended in &mut self.ended {
                    ended.ask_at = ended.ask_at.max(now.plus(self.after));
                }
                return;
            }
        };
        let compared_before = self.compared;
        for ended in std::mem::take(&mut self.ended) {
            if ended.ask_at > now || asked.get(&ended.job) != Some(&ended.name) {
                self.ended.push(ended);
                continue;
            }
            // What the accounting does not know lags: it is asked about again, and in the end not compared.
            // Its word is no better than ours. A job that goes on runs another task.
            let account = known.get(&(ended.job, ended.index));
            if let Some(account) = account.filter(|account| account.state.is_over()) {
                self.compare(&ended, account);
            } else if account.is_some() || ended.asked + 1 < ASKED_MAX {
                let unknown = u32::from(account.is_none());
                let (ask_at, asked) = (now.plus(self.after), ended.asked + unknown);
                self.ended.push(Ended { ask_at, asked, ..ended });
            }
        }
        if self.compared > compared_before {
            self.keep();
        }
    }

    fn compare(&mut self, ended: &Ended, account: &Account) {
        self.compared += ended.count;
        self.tally.compared += ended.count;
        let differing = differing(ended, account);
        if differing.is_empty() {
            return;
        }
        self.tally.differed += 1;
        for (what, ours, theirs) in differing {
            let job = match ended.ran {
                Ran::InTurn => format!("{}_{}", ended.job, ended.index),
                Ran::Together => ended.job.to_string(),
            };
            tracing::warn!(
                attempt = %ended.attempt, job, what, ours, slurm = theirs,
                "Slurm's accounting and the wrapper's counters differ; ours are told"
            );
            let unit = if what == MEMORY { "MiB" } else { "s" };
            self.tally.last = format!(
                "{what} of {} ({job}): {ours} {unit}, Slurm {theirs} {unit}",
                ended.attempt
            );
            if self.found.len() < DIFFERENCES_MAX {
                let attempt = ended.attempt;
                self.found.push(Difference { attempt, job, what, ours, theirs });
            }
        }
    }

    /// Leaves word of how it stands.
    fn keep(&self) {
        let text = serde_json::to_vec(&self.tally).expect("text and numbers become JSON");
        let path = self.folder.join(TALLY_FILE);
        let fresh = path.with_extension("new");
        let kept = std::fs::write(&fresh, text).and_then(|()| std::fs::rename(&fresh, &path));
        if let Err(error) = kept {
            // It is told again after the next comparison.
            tracing::warn!(%error, "cannot write how the accounting compares");
        }
    }

    pub(super) fn differences(&mut self) -> Vec<Difference> {
        std::mem::take(&mut self.found)
    }
}

const TIME: &str = "time";
const CPU: &str = "cpu";
const MEMORY: &str = "memory";

/// What differs beyond the slack: what it is, ours and Slurm's.
fn differing(ended: &Ended, account: &Account) -> Vec<(&'static str, i64, i64)> {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let between = whole(ended.count).saturating_mul(BETWEEN_MILLIS) / 1_000;
    let times = [
        (TIME, ended.wall.secs_ceil(), Some(account.elapsed_secs)),
        // Of what it did not count it says nothing.
        (CPU, ended.cpu.secs_ceil(), account.cpu.map(Span::secs_ceil)),
    ];
    let mut found: Vec<(&'static str, i64, i64)> = times
        .into_iter()
        .filter_map(|(what, ours, theirs)| Some((what, ours, theirs?)))
        .filter(|(_, ours, theirs)| {
            let slack = (SLACK_SECS + between).max(ours.saturating_mul(SLACK_PERCENT) / 100);
            (theirs - ours).abs() > slack
        })
        .collect();
    if let Some(theirs) = account.memory {
        let ours = ended.memory.0;
        let slack = MEMORY_SLACK.0.max(ours.saturating_mul(MEMORY_SLACK_PERCENT) / 100);
        if theirs.0 > ours.saturating_add(slack) {
            found.push((MEMORY, whole(ours >> 20), whole(theirs.0 >> 20)));
        }
    }
    found
}

impl SlurmEngine {
    /// An attempt that ran ends: it is compared later.
    pub(super) fn note_account(&mut self, attempt: AttemptId) {
        let Some(held) = self.book.get(attempt) else { return };
        let Some(seat) = held.seat else { return };
        let Some(batch) = self.book.batches.get(&seat.batch) else { return };
        let Submission::Job(job) = batch.submission else { return };
        let ran = match batch.shape {
            Shape::Array => Ran::InTurn,
            // Of a gang Slurm counts the job as a whole: from the first start to the last end.
            Shape::Gang { .. } => Ran::Together,
        };
        let usage = &held.usage;
        let ended = Ended {
            attempt,
            job,
            name: job_name(self.layout.instance(), seat.batch),
            index: batch.in_slurm(seat.index, held.under),
            ran,
            count: 1,
            wall: usage.wall,
            cpu: usage.cpu_user.plus(usage.cpu_system),
            memory: usage.memory_peak,
            ask_at: self.clock.now().plus(self.config.pace.accounts_after),
            asked: 0,
        };
        self.accounts.note(ended);
    }

    /// How many ends were compared with Slurm's accounting.
    pub const fn compared(&self) -> u64 {
        self.accounts.compared
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slurm::status::State;
    use dayan_units::JobId;

    fn ended(index: Index, wall: i64) -> Ended {
        Ended {
            attempt: AttemptId { job: JobId::from_bits(1), task: index, attempt: 1 },
            job: 7,
            name: "a".to_owned(),
            index,
            ran: Ran::InTurn,
            count: 1,
            wall: Span::from_secs(wall),
            cpu: Span::from_secs(wall),
            memory: Bytes(1 << 30),
            ask_at: BootTime::from_micros(5),
            asked: 0,
        }
    }

    fn seven() -> Jobs {
        [(7, "a".to_owned())].into()
    }

    const fn over(elapsed_secs: i64) -> Account {
        Account { state: State::Completed, elapsed_secs, cpu: None, memory: None }
    }

    #[test]
    fn only_what_differs_beyond_the_slack_is_a_finding() {
        let at = BootTime::from_micros;
        let dir = tempfile::tempdir().expect("a folder");
        let open = || Accounts::new(Accounting::Kept, Span::from_secs(1), dir.path().to_owned());
        let mut accounts = open();
        let walls = [10, 10, 1_000, 1_000, 10];
        for (wall, index) in walls.into_iter().zip(0..) {
            accounts.note(ended(index, wall));
        }
        assert_eq!(accounts.jobs_to_ask(at(4)), None);
        assert_eq!(accounts.jobs_to_ask(at(5)), Some(seven()));
        assert_eq!(accounts.jobs_to_ask(at(9)), None, "asked already");
        let known = BTreeMap::from([
            ((7, 0), over(14)),
            ((7, 1), over(16)),
            ((7, 2), over(1_050)),
            ((7, 3), over(900)),
            ((7, 9), Account { state: State::Active, ..over(99) }),
        ]);
        accounts.on_answer(Ok(known.clone()), at(9));
        // The one that is not known there is asked about again, and not for ever.
        for _ in 1..ASKED_MAX {
            let due = accounts.due_at().expect("it is asked again");
            assert_eq!(accounts.jobs_to_ask(due), Some(seven()));
            accounts.on_answer(Ok(known.clone()), due);
        }
        let found: Vec<u32> = accounts.differences().iter().map(|d| d.attempt.task).collect();
        assert_eq!(found, [1, 3]);
        assert_eq!((accounts.compared, accounts.due_at()), (4, None));
        // It is there for who shows the pool, and for the next engine.
        let tally = Tally::read(dir.path());
        assert_eq!((tally.compared, tally.differed), (4, 2));
        assert!(tally.last.ends_with("(7_3): 1000 s, Slurm 900 s"), "{}", tally.last);
        assert_eq!(open().tally, tally);
    }

    #[test]
    fn processors_and_memory_are_compared_where_slurm_counts_them() {
        let check = |account: Account, expect: &[(&str, i64, i64)]| {
            assert_eq!(differing(&ended(0, 100), &account), expect, "{account:?}");
        };
        let cpu = |secs| Account { cpu: Some(Span::from_secs(secs)), ..over(100) };
        check(cpu(104), &[]);
        check(cpu(90), &[("cpu", 100, 90)]);
        let memory = |mib: u64| Account { memory: Some(Bytes(mib << 20)), ..over(100) };
        // It looks now and then, and counts what is shared more than once.
        check(memory(1), &[]);
        check(memory(1_500), &[]);
        check(memory(1_600), &[("memory", 1_024, 1_600)]);
        check(
            Account { memory: Some(Bytes(2 << 30)), ..cpu(1) },
            &[("cpu", 100, 1), ("memory", 1_024, 2_048)],
        );
    }

    #[test]
    fn a_gang_is_compared_as_one_job() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut accounts =
            Accounts::new(Accounting::Kept, Span::from_secs(1), dir.path().to_owned());
        for (task, wall) in [(0, 60), (1, 58), (2, 61)] {
            let attempt = AttemptId { job: JobId::from_bits(1), task, attempt: 1 };
            accounts.note(Ended { attempt, ran: Ran::Together, ..ended(0, wall) });
        }
        let now = BootTime::from_micros(5);
        assert_eq!(accounts.jobs_to_ask(now), Some(seven()));
        let account = Account { cpu: Some(Span::from_secs(180)), ..over(63) };
        accounts.on_answer(Ok(BTreeMap::from([((7, 0), account)])), now);
        assert_eq!((accounts.compared, accounts.differences()), (3, Vec::new()));
    }
}
