//! The keeper's twin: it owns the processes of a site, survives the agent, ends what outlives its
//! lease or its time limit, and remembers how everything ended. The same rules as the real one in
//! `engines`, without a process.

use std::collections::{BTreeMap, BTreeSet};

use dayan_custody::Counters;
use dayan_exchange::Outcome;
use dayan_units::{AttemptId, BootTime, Span};

use crate::script::Script;

/// Use is written to disk this often; what a death of the keeper may take with it.
const WRITTEN_EVERY: i64 = 5_000_000;

/// A process that runs.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    began: BootTime,
    /// When its program ends by itself.
    work_end: BootTime,
    limit_end: BootTime,
    pub(crate) lease_end: BootTime,
    /// When it is gone after it was asked to stop, and why it was.
    dying: Option<(BootTime, Outcome)>,
    script: Script,
    cores_milli: i64,
}

/// How a process ended.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    pub(crate) outcome: Outcome,
    pub(crate) counters: Counters,
}

/// What a launch asks for.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) attempt: AttemptId,
    pub(crate) lease_end: BootTime,
    pub(crate) time_limit: Span,
    pub(crate) cores_milli: i64,
    pub(crate) script: Script,
}

/// Why nothing was launched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NotLaunched {
    /// It was before.
    Already,
    /// Its lease is over.
    LeaseOver,
}

/// The keeper and what it wrote to disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keeper {
    pub(crate) running: BTreeMap<AttemptId, Process>,
    pub(crate) ended: BTreeMap<AttemptId, Ended>,
    /// Everything it ever launched.
    launched: BTreeSet<AttemptId>,
    /// What it launched since the checker looked.
    pub(crate) news: Vec<AttemptId>,
}

impl Process {
    fn counters(&self, now: BootTime) -> Counters {
        let wall = now.since(self.began).micros().max(0);
        let cpu = wall / 1_000 * self.script.busy_permille / 1_000 * self.cores_milli;
        let units = u64::try_from(wall / 1_000_000).unwrap_or(0);
        Counters {
            wall_us: wall,
            cpu_us: cpu,
            memory_peak: 50_000_000 + units.min(300) * 1_000_000,
            read_bytes: units * 4_096,
            write_bytes: units * 1_024,
            energy_uj: None,
        }
    }

    /// When it is gone, and how it ends then, if nothing more happens to it.
    fn end(&self) -> (BootTime, Outcome) {
        let mut ends = vec![(self.work_end, self.script.end.clone())];
        ends.extend(self.dying.clone());
        let due = |at: BootTime, why| (at.plus(self.script.dying), why);
        ends.push(due(self.limit_end, Outcome::TimeLimit));
        ends.push(due(self.lease_end, Outcome::LeaseEnded));
        ends.into_iter().min_by_key(|(at, _)| *at).expect("there is always one")
    }
}

impl Keeper {
    pub(crate) fn launch(&mut self, now: BootTime, launch: Launch) -> Result<(), NotLaunched> {
        let Launch { attempt, lease_end, time_limit, cores_milli, script } = launch;
        if !self.launched.insert(attempt) {
            return Err(NotLaunched::Already);
        }
        if lease_end <= now {
            self.launched.remove(&attempt);
            return Err(NotLaunched::LeaseOver);
        }
        if let Outcome::StartFailed { .. } = script.end {
            let ended = Ended { outcome: script.end, counters: Counters::default() };
            self.ended.insert(attempt, ended);
            return Ok(());
        }
        let process = Process {
            began: now,
            work_end: now.plus(script.work),
            limit_end: now.plus(time_limit),
            lease_end,
            dying: None,
            script,
            cores_milli,
        };
        self.running.insert(attempt, process);
        self.news.push(attempt);
        Ok(())
    }

    /// A lease lasts longer than was known. What is being ended is not spared.
    pub(crate) fn extend(&mut self, now: BootTime, attempt: AttemptId, end: BootTime) {
        if let Some(process) = self.running.get_mut(&attempt)
            && process.lease_end > now
        {
            process.lease_end = process.lease_end.max(end);
        }
    }

    pub(crate) fn stop(&mut self, now: BootTime, attempt: AttemptId) {
        if let Some(process) = self.running.get_mut(&attempt)
            && process.dying.is_none()
        {
            process.dying = Some((now.plus(process.script.dying), Outcome::Stopped));
        }
    }

    /// Ends what is to have ended by now, and says what did.
    pub(crate) fn advance(&mut self, now: BootTime) -> Vec<AttemptId> {
        let over: Vec<AttemptId> = self
            .running
            .iter()
            .filter(|(_, process)| process.end().0 <= now)
            .map(|(attempt, _)| *attempt)
            .collect();
        for attempt in &over {
            let process = self.running.remove(attempt).expect("it was just seen");
            let (at, outcome) = process.end();
            // A sleeping machine ends nothing: what was due meanwhile ends when it wakes, and its
            // use is counted until it was due.
            let ended = Ended { outcome, counters: process.counters(at) };
            self.ended.insert(*attempt, ended);
        }
        over
    }

    pub(crate) fn next_due(&self) -> Option<BootTime> {
        self.running.values().map(|process| process.end().0).min()
    }

    pub(crate) fn counters(&self, attempt: AttemptId, now: BootTime) -> Option<Counters> {
        let running = self.running.get(&attempt).map(|process| process.counters(now));
        running.or_else(|| self.ended.get(&attempt).map(|ended| ended.counters))
    }

    pub(crate) fn forget(&mut self, attempt: AttemptId) {
        self.ended.remove(&attempt);
    }

    /// Everything that runs dies with it; its use is known as it was last written.
    pub(crate) fn die(&mut self, now: BootTime) -> Vec<AttemptId> {
        let running = std::mem::take(&mut self.running);
        let died = running.keys().copied().collect();
        for (attempt, process) in running {
            let whole = process.counters(now);
            let written = BootTime(process.began.0 + whole.wall_us / WRITTEN_EVERY * WRITTEN_EVERY);
            let counters = process.counters(written);
            self.ended.insert(attempt, Ended { outcome: Outcome::NodeFailure, counters });
        }
        died
    }

    /// The machine sleeps for so long: no program gets on.
    pub(crate) fn slept(&mut self, span: Span) {
        for process in self.running.values_mut() {
            process.work_end = process.work_end.plus(span);
        }
    }
}
