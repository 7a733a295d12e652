//! Slurm's accounting beside our own counters, once it is final.
//!
//! The wrapper's counters are what is signed and billed: they are there at once and are whole. Slurm's are
//! written late and counted otherwise (the wrapper's own start and end are in them, and memory is what was
//! there when somebody looked). They are told to the exchange, which shows them, and compared: a difference
//! beyond that is a finding for the operator, who sees their sum at the pool.

use std::collections::{BTreeMap, BTreeSet};

use std::path::PathBuf;

use dayan_units::{AttemptId, Bytes, Span};
use serde::{Deserialize, Serialize};

use super::book::Submission;
use super::counted::{Counted, Ours, Ran};
use super::engine::SlurmEngine;
use super::layout::Index;
use super::request::{Shape, job_name};
use super::status::Account;
use super::way::{Accounting, Jobs};
use crate::{BootTime, SiteCount};

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
/// Ends that are kept to be compared, and counts that nobody was told yet. More than that end within the lag only where nobody reads
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

struct Ended {
    ours: Ours,
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
    /// What Slurm counted and the exchange has not been told.
    counted: Vec<SiteCount>,
    /// So many of them were handed out, from the first on.
    handed_out: usize,
    /// Has something been counted since that was asked last?
    has_news: bool,
    found: Vec<Difference>,
    compared: u64,
    tally: Tally,
    /// The folder that the tally is kept in.
    folder: PathBuf,
    file: Counted,
}

impl Accounts {
    pub(super) fn new(accounting: Accounting, after: Span, folder: PathBuf, now: BootTime) -> Self {
        let tally = Tally::read(&folder);
        let (file, left, counted) = Counted::open(&folder);
        let (ended, found) = (Vec::new(), Vec::new());
        let mut accounts = Self {
            accounting,
            after,
            ended,
            asking: None,
            counted,
            handed_out: 0,
            has_news: false,
            found,
            compared: 0,
            tally,
            folder,
            file,
        };
        for ours in left {
            accounts.take(ours, now.plus(after));
        }
        if !(accounts.ended.is_empty() && accounts.counted.is_empty()) {
            accounts.keep_list();
        }
        accounts
    }

    /// One has ended: its job is asked about later.
    fn note(&mut self, ours: Ours, ask_at: BootTime) {
        if self.accounting == Accounting::Kept && self.ended.len() < KEPT_MAX {
            self.file.ended(&ours);
            self.take(ours, ask_at);
        }
    }

    /// What ran in the same job, Slurm counts as one.
    fn take(&mut self, ours: Ours, ask_at: BootTime) {
        match self.ended.iter_mut().rev().find(|before| before.ours.is_in(&ours)) {
            Some(before) => {
                before.ours.add(ours);
                before.ask_at = ask_at;
            }
            None => self.ended.push(Ended { ours, ask_at, asked: 0 }),
        }
    }

    /// What was counted and nobody has heard yet.
    pub(super) fn hand_out(&mut self) -> Vec<SiteCount> {
        let fresh = self.counted.split_at(self.handed_out).1.to_vec();
        self.handed_out = self.counted.len();
        fresh
    }

    /// Is there something to hand out that nobody was called for yet?
    pub(super) const fn take_news(&mut self) -> bool {
        std::mem::replace(&mut self.has_news, false)
    }

    /// The exchange has them.
    pub(super) fn told(&mut self, attempts: &[AttemptId]) {
        let attempts: BTreeSet<&AttemptId> = attempts.iter().collect();
        let is_told =
            |one: &SiteCount| one.attempts.first().is_some_and(|of| attempts.contains(of));
        let handed_out = self.counted.iter().take(self.handed_out);
        self.handed_out -= handed_out.filter(|one| is_told(one)).count();
        self.counted.retain(|one| !is_told(one));
        self.keep_list();
    }

    fn keep_list(&mut self) {
        let ended = self.ended.iter().map(|ended| &ended.ours);
        self.file.rewrite(ended, self.counted.iter());
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
            jobs.entry(ended.ours.job).or_insert_with(|| ended.ours.name.clone());
        }
        self.asking = Some(jobs.clone());
        Some(jobs)
    }

    /// Compares what was asked.
    pub(super) fn on_answer(
        &mut self,
        answer: Result<BTreeMap<(u32, Index), Account>, String>,
        live: &BTreeSet<(u32, Index)>,
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
        let (compared_before, all) = (self.compared, self.ended.len());
        for ended in std::mem::take(&mut self.ended) {
            if ended.ask_at > now || asked.get(&ended.ours.job) != Some(&ended.ours.name) {
                self.ended.push(ended);
                continue;
            }
            // What the accounting does not know lags: it is asked about again, and in the end not compared.
            // Its word is no better than ours. A job that goes on runs another task.
            let of = (ended.ours.job, ended.ours.index);
            let account = known.get(&of);
            if live.contains(&of) {
                // What else ran in it is not known to be over yet: it comes to the same account.
                self.ended.push(Ended { ask_at: now.plus(self.after), ..ended });
            } else if let Some(account) = account.filter(|account| account.state.is_over()) {
                self.compare(&ended.ours, account);
                if self.counted.len() < KEPT_MAX {
                    self.has_news = true;
                    self.counted.push(SiteCount {
                        job: ended.ours.job_text(),
                        attempts: ended.ours.attempts,
                        elapsed: Span::from_secs(account.elapsed_secs),
                        cpu: account.cpu,
                        memory: account.memory,
                    });
                }
            } else if account.is_some() || ended.asked + 1 < ASKED_MAX {
                let unknown = u32::from(account.is_none());
                let (ask_at, asked) = (now.plus(self.after), ended.asked + unknown);
                self.ended.push(Ended { ask_at, asked, ..ended });
            }
        }
        if self.compared > compared_before {
            self.keep();
        }
        if self.ended.len() != all {
            self.keep_list();
        }
    }

    fn compare(&mut self, ours: &Ours, account: &Account) {
        self.compared += ours.attempts.len() as u64;
        self.tally.compared += ours.attempts.len() as u64;
        let differing = differing(ours, account);
        let Some(&attempt) = ours.attempts.first() else { return };
        if differing.is_empty() {
            return;
        }
        self.tally.differed += 1;
        let job = ours.job_text();
        for (what, ours, theirs) in differing {
            tracing::warn!(
                %attempt, job, what, ours, slurm = theirs,
                "Slurm's accounting and the wrapper's counters differ; ours are told"
            );
            let unit = if what == MEMORY { "MiB" } else { "s" };
            self.tally.last =
                format!("{what} of {attempt} ({job}): {ours} {unit}, Slurm {theirs} {unit}");
            if self.found.len() < DIFFERENCES_MAX {
                let job = job.clone();
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
fn differing(ended: &Ours, account: &Account) -> Vec<(&'static str, i64, i64)> {
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let between = whole(ended.attempts.len() as u64).saturating_mul(BETWEEN_MILLIS) / 1_000;
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
            Shape::Array if batch.attempts.len() == 1 => Ran::Alone,
            Shape::Array => Ran::InTurn,
            // Of a gang Slurm counts the job as a whole: from the first start to the last end.
            Shape::Gang { .. } => Ran::Together,
        };
        let usage = &held.usage;
        let ours = Ours {
            attempts: vec![attempt],
            job,
            name: job_name(self.layout.instance(), seat.batch),
            index: batch.in_slurm(seat.index, held.under),
            ran,
            wall: usage.wall,
            cpu: usage.cpu_user.plus(usage.cpu_system),
            memory: usage.memory_peak,
        };
        let ask_at = self.clock.now().plus(self.config.pace.accounts_after);
        self.accounts.note(ours, ask_at);
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

    fn ours(index: Index, wall: i64) -> Ours {
        Ours {
            attempts: vec![AttemptId { job: JobId::from_bits(1), task: index, attempt: 1 }],
            job: 7,
            name: "a".to_owned(),
            index,
            ran: Ran::InTurn,
            wall: Span::from_secs(wall),
            cpu: Span::from_secs(wall),
            memory: Bytes(1 << 30),
        }
    }

    const fn at(micros: i64) -> BootTime {
        BootTime::from_micros(micros)
    }

    fn open(folder: &std::path::Path) -> Accounts {
        Accounts::new(Accounting::Kept, Span::from_secs(1), folder.to_owned(), at(0))
    }

    fn seven() -> Jobs {
        [(7, "a".to_owned())].into()
    }

    const fn over(elapsed_secs: i64) -> Account {
        Account { state: State::Completed, elapsed_secs, cpu: None, memory: None }
    }

    #[test]
    fn only_what_differs_beyond_the_slack_is_a_finding() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut accounts = open(dir.path());
        let walls = [10, 10, 1_000, 1_000, 10];
        for (wall, index) in walls.into_iter().zip(0..) {
            accounts.note(ours(index, wall), at(5));
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
        accounts.on_answer(Ok(known.clone()), &BTreeSet::new(), at(9));
        // The one that is not known there is asked about again, and not for ever.
        for _ in 1..ASKED_MAX {
            let due = accounts.due_at().expect("it is asked again");
            assert_eq!(accounts.jobs_to_ask(due), Some(seven()));
            accounts.on_answer(Ok(known.clone()), &BTreeSet::new(), due);
        }
        let found: Vec<u32> = accounts.differences().iter().map(|d| d.attempt.task).collect();
        assert_eq!(found, [1, 3]);
        assert_eq!((accounts.compared, accounts.due_at()), (4, None));
        // It is there for who shows the pool, and for the next engine.
        let tally = Tally::read(dir.path());
        assert_eq!((tally.compared, tally.differed), (4, 2));
        assert!(tally.last.ends_with("(7_3): 1000 s, Slurm 900 s"), "{}", tally.last);
        assert_eq!(open(dir.path()).tally, tally);
    }

    #[test]
    fn processors_and_memory_are_compared_where_slurm_counts_them() {
        let check = |account: Account, expect: &[(&str, i64, i64)]| {
            assert_eq!(differing(&ours(0, 100), &account), expect, "{account:?}");
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
        let mut accounts = open(dir.path());
        for (task, wall) in [(0, 60), (1, 58), (2, 61)] {
            let attempts = vec![AttemptId { job: JobId::from_bits(1), task, attempt: 1 }];
            accounts.note(Ours { attempts, ran: Ran::Together, ..ours(0, wall) }, at(5));
        }
        assert_eq!(accounts.jobs_to_ask(at(5)), Some(seven()));
        let account = Account { cpu: Some(Span::from_secs(180)), ..over(63) };
        accounts.on_answer(Ok(BTreeMap::from([((7, 0), account)])), &BTreeSet::new(), at(5));
        assert_eq!((accounts.compared, accounts.differences()), (3, Vec::new()));
        let counts = accounts.hand_out();
        let [count] = &counts[..] else { panic!("{counts:?}") };
        assert_eq!((count.attempts.len(), count.job.as_str()), (3, "7"));
        assert_eq!((count.elapsed, count.cpu), (Span::from_secs(63), Some(Span::from_secs(180))));
    }

    /// Its wrapper took another, of which it is not known yet that it is over, too.
    #[test]
    fn a_job_is_counted_when_all_that_ran_in_it_is_known() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut accounts = open(dir.path());
        accounts.note(ours(0, 10), at(5));
        let known = BTreeMap::from([((7, 0), over(70))]);
        assert_eq!(accounts.jobs_to_ask(at(5)), Some(seven()));
        accounts.on_answer(Ok(known.clone()), &BTreeSet::from([(7, 0)]), at(5));
        assert_eq!((accounts.hand_out(), accounts.take_news()), (Vec::new(), false));
        let second = Ours { attempts: ours(9, 0).attempts, ..ours(0, 58) };
        // Twice: its agent died between the two files.
        accounts.note(second.clone(), at(6));
        accounts.note(second, at(6));
        let due = accounts.due_at().expect("it is asked about again");
        assert_eq!(accounts.jobs_to_ask(due), Some(seven()));
        accounts.on_answer(Ok(known), &BTreeSet::new(), due);
        let counts = accounts.hand_out();
        assert_eq!((counts.len(), counts[0].attempts.len()), (1, 2));
        assert!(accounts.take_news() && !accounts.take_news());
        assert_eq!(accounts.differences(), []);
    }

    #[test]
    fn a_line_that_was_cut_off_takes_no_other_with_it() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path()).note(ours(0, 10), at(5));
        let path = dir.path().join("counted.jsonl");
        let whole = std::fs::read_to_string(&path).expect("reads");
        std::fs::write(&path, format!("{whole}{}", &whole[..whole.len() / 2])).expect("writes");
        open(dir.path()).note(ours(1, 10), at(5));
        assert_eq!(open(dir.path()).ended.len(), 2);
    }

    /// The agent goes away between an end and the question, and between the answer and who is told it.
    #[test]
    fn what_was_not_asked_or_told_is_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        open(dir.path()).note(ours(0, 10), at(5));
        open(dir.path()).note(ours(1, 20), at(5));
        let mut accounts = open(dir.path());
        let due = accounts.due_at().expect("both are asked about");
        assert_eq!(due, at(1_000_000), "as long after the start as after an end");
        assert_eq!(accounts.jobs_to_ask(due), Some(seven()));
        let known = BTreeMap::from([((7, 0), over(10)), ((7, 1), over(21))]);
        accounts.on_answer(Ok(known), &BTreeSet::new(), due);
        assert_eq!((accounts.compared, accounts.hand_out().len()), (2, 2));
        assert_eq!(accounts.hand_out(), [], "handed out already");

        let mut accounts = open(dir.path());
        assert_eq!(accounts.due_at(), None, "asked before");
        let counts = accounts.hand_out();
        assert_eq!(counts.iter().map(|one| one.job.as_str()).collect::<Vec<_>>(), ["7_0", "7_1"]);
        accounts.told(&counts[0].attempts);
        accounts.note(ours(2, 5), at(5));

        let mut accounts = open(dir.path());
        assert_eq!(accounts.hand_out(), counts[1..]);
        accounts.told(&counts[1].attempts);
        assert_eq!(open(dir.path()).hand_out(), []);
        assert_eq!(open(dir.path()).ended.len(), 1);
    }
}
