//! The simulated engine: virtual work. Nothing is executed and nothing computed; a task "runs" for
//! as long as its launch says and then "ends". One engine stands for as many nodes as launches
//! name, so that one agent process can stand for a thousand. It says what it is in
//! [`describe`](Engine::describe) and is never anybody's default.
//!
//! Invariant: it keeps the promises about leases, double launches and observations that real
//! engines keep. Its virtual work lives in this process only, so the fence holds by nature: when
//! the agent dies, so does everything that "ran".

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use dayan_units::{AttemptId, Span, Time};

use crate::{
    BootClock, BootId, BootTime, Counters, End, Enforcement, Engine, EngineInfo, EngineKind, Fault,
    Features, Fence, Launch, LeaseEnd, Limits, LogChunk, Observation, Outcome, Phase, Placing,
    Signal, StartFault, Stream, Waker, command, wall_now,
};

/// The variable of a launch that says how long its virtual work takes, in seconds. Without it the
/// work takes its whole wall time limit, to the microsecond before it would be over.
pub(crate) const SECONDS: &str = "SIMULATED_SECONDS";
/// The variable that says with which status it ends; 0 without it.
const EXIT: &str = "SIMULATED_EXIT";

/// Ended attempts remembered after they are forgotten, as real engines do.
const TOMBSTONES_MAX: usize = 65_536;

struct Work {
    limits: Limits,
    started_at: Time,
    started: BootTime,
    /// When the work is done, and with which status.
    done: BootTime,
    exit: i32,
    lease_end: BootTime,
    ended: Option<(End, BootTime)>,
}

/// Virtual work for any number of nodes.
pub struct SimulatedEngine {
    clock: BootClock,
    waker: Waker,
    work: BTreeMap<AttemptId, Work>,
    /// When the next thing happens to each attempt that runs.
    due: BTreeSet<(BootTime, AttemptId)>,
    news: BTreeSet<AttemptId>,
    tombstones: BTreeSet<AttemptId>,
}

impl SimulatedEngine {
    /// An engine that runs nothing yet.
    pub fn new() -> Result<Self, Fault> {
        Ok(Self {
            clock: BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?,
            waker: Waker::new().map_err(Fault::io("making a waker"))?,
            work: BTreeMap::new(),
            due: BTreeSet::new(),
            news: BTreeSet::new(),
            tombstones: BTreeSet::new(),
        })
    }

    fn start_one(&mut self, launch: &Launch, now: BootTime) -> Result<(), StartFault> {
        let attempt = launch.attempt;
        if self.work.contains_key(&attempt) || self.tombstones.contains(&attempt) {
            return Err(StartFault::AlreadyLaunched(attempt));
        }
        if launch.lease_end.boot != self.clock.boot() || launch.lease_end.at <= now {
            return Err(StartFault::LeaseOver(attempt));
        }
        command::arguments(&launch.program).map_err(StartFault::Invalid)?;
        let span = match launch.env.get(SECONDS) {
            None => Span::from_micros(launch.limits.wall.micros().saturating_sub(1)),
            Some(text) => dayan_units::parse_span(&format!("{text}s"))
                .map_err(|error| StartFault::Invalid(format!("{SECONDS}: {error}")))?,
        };
        let exit = launch.env.get(EXIT).map_or(Ok(0), |text| text.parse());
        let exit = exit.map_err(|_| StartFault::Invalid(format!("{EXIT} is not a number")))?;
        let work = Work {
            limits: launch.limits.clone(),
            started_at: wall_now(),
            started: now,
            done: now.plus(span),
            exit,
            lease_end: launch.lease_end.at,
            ended: None,
        };
        self.due.insert((work.next(), attempt));
        self.work.insert(attempt, work);
        self.tell(attempt);
        Ok(())
    }

    fn tell(&mut self, attempt: AttemptId) {
        self.news.insert(attempt);
    }

    /// Lets everything happen whose time has come.
    fn advance(&mut self, now: BootTime) {
        while let Some((at, attempt)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            let Some(work) = self.work.get_mut(&attempt) else { continue };
            let outcome = work.outcome_at(at);
            // Virtual work ends on time, whenever somebody looks.
            let ended_at = wall_now().minus(now.since(at));
            work.ended = Some((End { at: ended_at, outcome }, at));
            self.tell(attempt);
        }
    }

    fn end(&mut self, attempt: AttemptId, outcome: Outcome, now: BootTime) {
        if let Some(work) = self.work.get_mut(&attempt)
            && work.ended.is_none()
        {
            self.due.remove(&(work.next(), attempt));
            work.ended = Some((End { at: wall_now(), outcome }, now));
            self.tell(attempt);
        }
    }
}

impl Work {
    fn wall_end(&self) -> BootTime {
        self.started.plus(self.limits.wall)
    }
    fn next(&self) -> BootTime {
        self.done.min(self.lease_end).min(self.wall_end())
    }
    fn outcome_at(&self, at: BootTime) -> Outcome {
        if self.done <= at {
            Outcome::Exited(self.exit)
        } else if self.wall_end() <= at {
            Outcome::TimeLimit
        } else {
            Outcome::LeaseEnded
        }
    }

    fn observation(&self, attempt: AttemptId, now: BootTime) -> Observation {
        let until = self.ended.as_ref().map_or(now, |(_, at)| *at);
        let wall = until.since(self.started).max(Span::ZERO);
        // It "uses" what it asked for.
        let cpu = i128::from(wall.micros()) * i128::from(self.limits.cpu.0) / 1_000;
        let usage = Counters {
            cpu_user: Span::from_micros(i64::try_from(cpu).unwrap_or(i64::MAX)),
            wall,
            memory_peak: self.limits.memory,
            ..Counters::default()
        };
        let phase = match &self.ended {
            Some((end, _)) => Phase::Ended(end.clone()),
            None => Phase::Running { started_at: self.started_at, pid: None },
        };
        Observation::new(attempt, phase, usage)
    }
}

impl Engine for SimulatedEngine {
    fn describe(&self) -> EngineInfo {
        EngineInfo {
            kind: EngineKind::Simulated,
            fence: Fence::Keeper,
            features: Features {
                confinement: "simulated: nothing is executed".to_owned(),
                cpu_limit: Enforcement::Absent,
                memory_limit: Enforcement::Absent,
                pids_limit: Enforcement::Absent,
                oom_told_apart: false,
                bubblewrap: false,
                energy: false,
                survives_agent: false,
                survives_keeper: false,
                signals: false,
                signals_told_apart: true,
                folders: true,
                images: false,
            },
            placing: Placing::ByNode,
        }
    }

    fn start(&mut self, launches: Vec<Launch>) -> Vec<Result<(), StartFault>> {
        let now = self.clock.now();
        launches.iter().map(|launch| self.start_one(launch, now)).collect()
    }

    fn observe(&mut self, wait: Span) -> Result<Vec<Observation>, Fault> {
        let until = self.clock.now().plus(wait);
        loop {
            let now = self.clock.now();
            self.advance(now);
            if !self.news.is_empty() || now >= until {
                break;
            }
            let next = self.due.first().map_or(until, |(at, _)| until.min(*at));
            if self.waker.wait(next.since(now)) {
                break;
            }
        }
        self.waker.quiet();
        let now = self.clock.now();
        let news = std::mem::take(&mut self.news);
        let seen = |attempt| Some(self.work.get(&attempt)?.observation(attempt, now));
        Ok(news.into_iter().filter_map(seen).collect())
    }

    fn list(&mut self) -> Result<Vec<Observation>, Fault> {
        let now = self.clock.now();
        self.advance(now);
        Ok(self.work.iter().map(|(attempt, work)| work.observation(*attempt, now)).collect())
    }

    fn extend(&mut self, leases: &[(AttemptId, LeaseEnd)]) -> Result<(), Fault> {
        self.advance(self.clock.now());
        for (attempt, end) in leases {
            if let Some(work) = self.work.get_mut(attempt)
                && work.ended.is_none()
                && end.boot == self.clock.boot()
            {
                self.due.remove(&(work.next(), *attempt));
                work.lease_end = end.at;
                self.due.insert((work.next(), *attempt));
            }
        }
        Ok(())
    }

    fn stop(&mut self, attempt: AttemptId, _grace: Span, _signal: Signal) -> Result<(), Fault> {
        let now = self.clock.now();
        self.advance(now);
        self.end(attempt, Outcome::Stopped, now);
        Ok(())
    }

    fn forget(&mut self, attempts: &[AttemptId]) -> Result<(), Fault> {
        self.advance(self.clock.now());
        for attempt in attempts {
            if self.work.get(attempt).is_some_and(|work| work.ended.is_some()) {
                self.work.remove(attempt);
                self.news.remove(attempt);
                self.tombstones.insert(*attempt);
            }
        }
        while self.tombstones.len() > TOMBSTONES_MAX {
            // Ids are ordered by time, so the first is the oldest job's.
            self.tombstones.pop_first();
        }
        Ok(())
    }

    fn logs(
        &mut self,
        _attempt: AttemptId,
        _stream: Stream,
        offset: u64,
        _max: usize,
    ) -> Result<LogChunk, Fault> {
        Ok(LogChunk { offset, ..LogChunk::default() })
    }

    fn workdir(&self, _attempt: AttemptId) -> Option<PathBuf> {
        None
    }

    fn waker(&self) -> Waker {
        self.waker.clone()
    }

    fn boot_now(&self) -> (BootId, BootTime) {
        (self.clock.boot(), self.clock.now())
    }
}
