//! Discipline A: one decision at a time, as the harness of RLScheduler (SC 2020) replays a log.
//!
//! The job with the least score is chosen. If it does not fit, time goes on, one end or arrival
//! at a time, until it does; nothing else is chosen meanwhile. With backfilling the moment at
//! which it could start by the limits is fixed once, and at each step, in order of arrival, jobs
//! start that would end before that moment. Invariant: a job starts once, never before its
//! submission, and what runs fits the machine.

use dayan_schedule::order::{Running, Waiting};

use super::protocol::HpcJob;
use super::schedulers::Chooser;

/// Whether anything starts while the chosen job waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HarnessFill {
    /// Nothing does.
    Wait,
    /// What ends before the chosen job's moment.
    Backfill,
}

/// The start of each job, in the order of `jobs`.
pub fn replay(
    machine: i64,
    jobs: &[HpcJob],
    fill: HarnessFill,
    chooser: &mut dyn Chooser,
) -> Vec<i64> {
    let Some(first) = jobs.first() else { return Vec::new() };
    let empty = Moment {
        now: first.submit,
        free: machine,
        arrived: 0,
        queue: Vec::new(),
        running: Vec::new(),
    };
    let mut replay = Replay::from(empty, jobs, fill, chooser);
    replay.arrive();
    replay.finish()
}

/// How things stand at a moment.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub now: i64,
    pub free: i64,
    /// So many of the jobs have come.
    pub arrived: usize,
    /// In order of arrival.
    pub queue: Vec<Waiting>,
    /// By true end, then in the order in which they started.
    pub running: Vec<(i64, Running)>,
}

/// A replay that begins at any moment.
pub(super) struct Replay<'a> {
    jobs: &'a [HpcJob],
    fill: HarnessFill,
    chooser: &'a mut dyn Chooser,
    at: Moment,
    /// Those that ran at the beginning have none.
    starts: Vec<i64>,
}

impl<'a> Replay<'a> {
    /// From there on.
    pub fn from(
        at: Moment,
        jobs: &'a [HpcJob],
        fill: HarnessFill,
        chooser: &'a mut dyn Chooser,
    ) -> Self {
        Self { jobs, fill, chooser, at, starts: vec![i64::MIN; jobs.len()] }
    }

    /// Until every job has started: when each did.
    pub fn finish(mut self) -> Vec<i64> {
        loop {
            while self.at.queue.is_empty() {
                if self.at.arrived == self.jobs.len() {
                    return self.starts;
                }
                self.step();
            }
            self.turn();
        }
    }
}

impl Replay<'_> {
    fn arrive(&mut self) {
        let key = self.at.arrived;
        let job = &self.jobs[key];
        let waiting = Waiting {
            key: u32::try_from(key).expect("a window has fewer jobs than four billion"),
            submitted: job.submit,
            width: job.width,
            limit: job.limit,
            expected: self.chooser.arrived(key),
        };
        // A log in order of number may have arrivals that go back a little.
        let at = self.at.queue.partition_point(|other| other.submitted <= job.submit);
        self.at.queue.insert(at, waiting);
        self.at.arrived += 1;
        self.at.now = self.at.now.max(job.submit);
    }

    /// The next end or the next arrival, whichever is first; an arrival where they are equal.
    fn step(&mut self) {
        let end = self.at.running.first().map(|(end, _)| *end);
        let arrival = self.jobs.get(self.at.arrived).map(|job| job.submit);
        if arrival.is_some_and(|arrival| end.is_none_or(|end| arrival <= end)) {
            self.arrive();
        } else {
            let (end, job) = self.at.running.remove(0);
            self.at.now = self.at.now.max(end);
            self.at.free += job.width;
            self.chooser.ended(job.key as usize, self.jobs[job.key as usize].run);
        }
    }

    fn start(&mut self, at: usize) {
        let job = self.at.queue.remove(at);
        let run = self.jobs[job.key as usize].run;
        self.starts[job.key as usize] = self.at.now;
        self.at.free -= job.width;
        let running = Running {
            key: job.key,
            width: job.width,
            started: self.at.now,
            limit: self.at.now + job.limit,
            expected: self.at.now + job.expected,
        };
        let end = self.at.now + run;
        let at = self.at.running.partition_point(|(other, _)| *other <= end);
        self.at.running.insert(at, (end, running));
    }

    fn turn(&mut self) {
        let running: Vec<Running> = self.at.running.iter().map(|(_, job)| *job).collect();
        let at = self.chooser.choose(self.at.now, self.at.free, &running, &self.at.queue);
        let chosen = self.at.queue[at];
        if chosen.width > self.at.free {
            let moment = match self.fill {
                HarnessFill::Wait => i64::MIN,
                HarnessFill::Backfill => {
                    earliest(self.at.now, self.at.free, &running, chosen.width)
                }
            };
            while chosen.width > self.at.free {
                let mut at = 0;
                while at < self.at.queue.len() {
                    let job = &self.at.queue[at];
                    if self.at.now + job.limit < moment && job.width <= self.at.free {
                        self.start(at);
                    } else {
                        at += 1;
                    }
                }
                self.step();
            }
        }
        let at = self.at.queue.iter().position(|job| job.key == chosen.key);
        self.start(at.expect("it would end after its own moment, so nothing has started it"));
    }
}

/// When so many processors are free by the limits.
fn earliest(now: i64, free: i64, running: &[Running], width: i64) -> i64 {
    let mut ends: Vec<(i64, i64)> = running.iter().map(|job| (job.limit, job.width)).collect();
    ends.sort_unstable();
    let mut free = free;
    let mut moment = now;
    for (end, width_freed) in ends {
        free += width_freed;
        moment = end;
        if free >= width {
            break;
        }
    }
    moment
}
