//! What Slurm says about jobs, read leniently. Pure.
//!
//! Invariant: a state that is not known counts as one that goes on, and a line that is not
//! understood is passed over: a surprise in Slurm's words ends nothing.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use dayan_units::{Bytes, Span};

use super::layout::Index;
use super::way::Jobs;

/// The fields of a queue's line, for `squeue --format`: the array's job, which elements, the
/// state, the name; the reason last, because it may hold anything.
pub(crate) const QUEUE_FORMAT: &str = "%F|%K|%T|%j|%r";
/// The fields of an accounting line, for `sacct --format`; the name last, because it may hold anything.
pub(crate) const ACCOUNT_FORMAT: &str = "JobID,State,ElapsedRaw,TotalCPU,MaxRSS,JobName";

/// Where an element stands in Slurm.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// It is being set up or cleaned up; or Slurm uses a word we do not know.
    Active,
    /// The site holds it still, and its wrapper with it.
    Suspended,
    /// It runs, as far as Slurm knows, and nothing keeps it from that.
    Running,
    /// It waits for room: the same, and it does not run. Also one that was taken off and put back.
    Pending,
    Completed,
    Failed,
    Cancelled,
    Timeout,
    /// A deadline that somebody gave it has passed: not its time limit.
    Deadline,
    NodeFail,
    Preempted,
    OutOfMemory,
    /// Another cluster of a federation has taken it over: it may run there.
    Revoked,
}

impl State {
    /// Reads `CANCELLED by 1000`, `NODE_FAIL`, `OUT_OF_ME+` and the like.
    pub(crate) fn parse(text: &str) -> Self {
        let word = text.split([' ', '+']).next().unwrap_or_default().to_ascii_uppercase();
        match word.as_str() {
            "PENDING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD" | "SPECIAL_EXIT"
            | "RESV_DEL_HOLD" => Self::Pending,
            "RUNNING" => Self::Running,
            "SUSPENDED" => Self::Suspended,
            "COMPLETED" => Self::Completed,
            "FAILED" | "LAUNCH_FAILED" | "RECONFIG_FAIL" => Self::Failed,
            "CANCELLED" => Self::Cancelled,
            "REVOKED" => Self::Revoked,
            "TIMEOUT" => Self::Timeout,
            "DEADLINE" => Self::Deadline,
            "NODE_FAIL" | "BOOT_FAIL" => Self::NodeFail,
            "PREEMPTED" => Self::Preempted,
            "OUT_OF_MEMORY" | "OUT_OF_ME" => Self::OutOfMemory,
            _ => Self::Active,
        }
    }

    /// Is it over because the site lost it or took it off, whatever its script says of its end?
    pub(crate) const fn took_off(self) -> bool {
        matches!(self, Self::NodeFail | Self::Revoked | Self::Preempted)
    }

    /// Is it over for Slurm?
    pub(crate) const fn is_over(self) -> bool {
        !matches!(self, Self::Active | Self::Suspended | Self::Running | Self::Pending)
    }
}

/// Which elements of a job a line is about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Elements(Vec<RangeInclusive<Index>>);

impl Elements {
    /// Reads `7`, `3-9`, `1,4-6`, `0-99%8`; a job that is no array has the element 0. None where
    /// it is shortened (`1,3,...`) or not understood.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "N/A" {
            return Some(Self(vec![0..=0]));
        }
        let text = text.trim_matches(['[', ']']);
        let text = text.split('%').next()?;
        let range = |part: &str| match part.split_once('-') {
            None => part.parse().ok().map(|one| one..=one),
            Some((from, to)) => Some(from.parse().ok()?..=to.parse().ok()?),
        };
        text.split(',').map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Each of them.
    pub(crate) fn each(&self) -> impl Iterator<Item = Index> {
        self.0.iter().cloned().flatten()
    }

    pub(crate) fn contain(&self, index: Index) -> bool {
        self.0.iter().any(|range| range.contains(&index))
    }
}

/// A line of the queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct QueueLine {
    /// The job's id; of an array, the array's.
    pub job: u32,
    /// Which elements; none: all of them may be meant.
    pub elements: Option<Elements>,
    pub state: State,
    pub name: String,
    pub reason: String,
}

/// Reads a queue.
pub(crate) fn queue(text: &str) -> Vec<QueueLine> {
    text.lines().filter_map(queue_line).collect()
}

fn queue_line(line: &str) -> Option<QueueLine> {
    let mut fields = line.splitn(5, '|').map(str::trim);
    Some(QueueLine {
        job: fields.next()?.parse().ok()?,
        elements: Elements::parse(fields.next()?),
        state: State::parse(fields.next()?),
        name: fields.next()?.to_owned(),
        reason: fields.next().unwrap_or_default().to_owned(),
    })
}

/// What Slurm's accounting says of an element.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Account {
    pub state: State,
    /// From its start to its end, as Slurm saw it.
    pub elapsed_secs: i64,
    /// The processor time of all its steps; none where it was not counted.
    pub cpu: Option<Span>,
    /// The most memory that a process group of one of its steps was seen with; none where nobody looked.
    pub memory: Option<Bytes>,
}

impl Account {
    /// With what one of its steps had.
    pub(crate) fn with_step(self, memory: Option<Bytes>) -> Self {
        Self { memory: self.memory.max(memory), ..self }
    }

    /// With what its next start counted, after the site had put it back.
    fn then(self, next: Self) -> Self {
        let cpu = self.cpu.zip(next.cpu).map(|(before, more)| before.plus(more));
        Self {
            state: next.state,
            elapsed_secs: self.elapsed_secs.saturating_add(next.elapsed_secs),
            cpu: cpu.or(self.cpu).or(next.cpu),
            memory: self.memory.max(next.memory),
        }
    }
}

/// Reads accounting lines of these jobs, by job and element. Each start of a job that the site has put back has
/// lines of its own.
pub(crate) fn accounts(text: &str, jobs: &Jobs) -> BTreeMap<(u32, Index), Account> {
    let mut all = BTreeMap::new();
    let mut ours = None;
    for (key, of, account) in text.lines().filter_map(account) {
        match of {
            // A number that somebody else's job had before.
            Line::Job(name) if jobs.get(&key.0).is_none_or(|known| known != name) => ours = None,
            Line::Job(_) => {
                enter(&mut all, key, account);
                ours = Some(key);
            }
            // Its steps follow a job.
            Line::Step if ours == Some(key) => {
                if let Some(job) = all.get_mut(&key) {
                    *job = job.with_step(account.memory);
                }
            }
            Line::Step => {}
        }
    }
    all
}

/// Takes note of what the accounting says of one start of a job.
pub(crate) fn enter(all: &mut BTreeMap<(u32, Index), Account>, key: (u32, Index), start: Account) {
    all.entry(key).and_modify(|before| *before = before.then(start)).or_insert(start);
}

/// What an accounting line is of.
enum Line<'a> {
    /// What it is called.
    Job(&'a str),
    /// `7.batch`, `7.0`: only they say what memory was used.
    Step,
}

fn account(line: &str) -> Option<((u32, Index), Line<'_>, Account)> {
    let mut fields = line.splitn(6, '|').map(str::trim);
    let id = fields.next()?;
    let (id, is_step) = match id.split_once('.') {
        Some((job, _)) => (job, true),
        None => (id, false),
    };
    let key = match id.split_once('_') {
        None => (id.parse().ok()?, 0),
        Some((job, index)) => (job.parse().ok()?, index.parse().ok()?),
    };
    let state = State::parse(fields.next()?);
    let elapsed_secs = fields.next().and_then(|text| text.parse().ok()).unwrap_or(0);
    let cpu = fields.next().and_then(processor_time);
    let memory = fields.next().and_then(kibibytes);
    let name = fields.next().unwrap_or_default();
    let of = if is_step { Line::Step } else { Line::Job(name) };
    Some((key, of, Account { state, elapsed_secs, cpu, memory }))
}

/// Reads `1-02:03:04`, `02:03:04`, `03:04.567`; none for nothing at all, which is what is written where
/// nobody counted.
fn processor_time(text: &str) -> Option<Span> {
    let (days, clock) = match text.split_once('-') {
        Some((days, clock)) => (days.parse::<i64>().ok()?, clock),
        None => (0, text),
    };
    let (clock, part) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut secs = 0i64;
    for word in clock.split(':') {
        secs = secs.checked_mul(60)?.checked_add(word.parse().ok()?)?;
    }
    let millis: i64 = format!("{part:0<3}").get(..3)?.parse().ok()?;
    let secs = days.checked_mul(86_400)?.checked_add(secs)?;
    let all = Span::from_secs(secs).plus(Span::from_millis(millis));
    (all > Span::ZERO).then_some(all)
}

/// Reads `1234K`, as `--units=K` has it written.
fn kibibytes(text: &str) -> Option<Bytes> {
    let number = text.strip_suffix('K').unwrap_or(text);
    let whole = number.split('.').next()?;
    Some(Bytes(whole.parse::<u64>().ok()?.saturating_mul(1 << 10))).filter(|all| all.0 > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_all_versions_are_read_and_unknown_ones_go_on() {
        let check = |text, expect| assert_eq!(State::parse(text), expect, "{text}");
        check("COMPLETED", State::Completed);
        check("CANCELLED by 1000", State::Cancelled);
        check("CANCELLED+", State::Cancelled);
        check("OUT_OF_ME+", State::OutOfMemory);
        check("TIMEOUT", State::Timeout);
        check("NODE_FAIL", State::NodeFail);
        check("BOOT_FAIL", State::NodeFail);
        check("PREEMPTED", State::Preempted);
        check("DEADLINE", State::Deadline);
        check("REVOKED", State::Revoked);
        for failed in ["FAILED", "LAUNCH_FAILED", "RECONFIG_FAIL"] {
            check(failed, State::Failed);
        }
        for waits in ["PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "RESV_DEL_HOLD"] {
            check(waits, State::Pending);
            assert!(!State::parse(waits).is_over());
        }
        check("RUNNING", State::Running);
        assert!(!State::Running.is_over());
        check("SUSPENDED", State::Suspended);
        assert!(!State::Suspended.is_over());
        for goes_on in [
            "CONFIGURING",
            "COMPLETING",
            "STAGE_OUT",
            "SIGNALING",
            "RESIZING",
            "STOPPED",
            "NEWFANGLED",
            "",
        ] {
            check(goes_on, State::Active);
            assert!(!State::parse(goes_on).is_over());
        }
    }

    #[test]
    fn queues_are_read_and_garbage_is_passed_over() {
        let text = "12|N/A|RUNNING|dayan.i.1|None\n13|5-7,9%4|PENDING|dayan.i.2|Resources\n\
                    13|3|COMPLETING|dayan.i.2|None\nslurm_load_jobs error: x\n\n14|1,...|PENDING|n\n";
        let lines = queue(text);
        assert_eq!(lines.len(), 4, "{lines:?}");
        assert!(lines[0].elements.as_ref().is_some_and(|e| e.contain(0) && !e.contain(1)));
        let pending = lines[1].elements.as_ref().expect("understood");
        let inside: Vec<Index> = (0..12).filter(|index| pending.contain(*index)).collect();
        assert_eq!(inside, [5, 6, 7, 9]);
        assert_eq!((lines[1].state, lines[1].reason.as_str()), (State::Pending, "Resources"));
        assert_eq!(lines[3].elements, None, "shortened: it may be any");
    }

    #[test]
    fn accounting_is_read_by_element() {
        let text = "7|FAILED|3|00:00:00||a\n8_4|COMPLETED|12|01:02.500||b|c\n\
                    8_4.batch|COMPLETED|12|01:02.500|2048K|batch\n8_4.0|COMPLETED|1|00:00.001|4096K|x\nx\n\
                    9.batch|COMPLETED|1|00:01|1K|batch\n10|COMPLETED|1|00:01|1K|another's\n\
                    10.batch|COMPLETED|1|00:01|1K|batch\n";
        let jobs = [(7, "a"), (8, "b|c"), (9, "d"), (10, "e")];
        let got = accounts(text, &jobs.map(|(job, name)| (job, name.to_owned())).into());
        assert_eq!(got.len(), 2);
        let none = Account { state: State::Failed, elapsed_secs: 3, cpu: None, memory: None };
        assert_eq!(got[&(7, 0)], none);
        let counted = Account {
            state: State::Completed,
            elapsed_secs: 12,
            cpu: Some(Span::from_millis(62_500)),
            memory: Some(Bytes(4 << 20)),
        };
        assert_eq!(got[&(8, 4)], counted);
        // The site has put it back; and its number was somebody else's before.
        let text = "7|TIMEOUT|900|00:09||another's\n7.batch|TIMEOUT|900|00:09|9000K|batch\n\
                    7|REQUEUED|40|00:30||a\n7.batch|CANCELLED|40|00:30|2048K|batch\n\
                    7|COMPLETED|2|00:01||a\n7.batch|COMPLETED|2|00:01|1K|batch\n";
        let all = accounts(text, &[(7, "a".to_owned())].into());
        let both = Account { elapsed_secs: 42, memory: Some(Bytes(2 << 20)), ..counted };
        assert_eq!(all[&(7, 0)], Account { cpu: Some(Span::from_secs(31)), ..both });
        let check = |text, expect: Option<i64>| {
            assert_eq!(processor_time(text), expect.map(Span::from_millis), "{text}");
        };
        check("1-02:03:04", Some(93_784_000));
        check("00:07.1", Some(7_100));
        check("", None);
        check("x", None);
    }
}
