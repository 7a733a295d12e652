//! Discipline A: one decision at a time, as the harness of RLScheduler (SC 2020) replays a log.
//!
//! The job with the least score is chosen. If it does not fit, time goes on, one end or arrival
//! at a time, until it does; nothing else is chosen meanwhile. With backfilling the moment at
//! which it could start by the limits is fixed once, and at each step, in order of arrival, jobs
//! start that would end before that moment. Invariant: a job starts once, never before its
//! submission, and what runs fits the machine.

use dayan_schedule::order::{Running, Waiting};

use super::protocol::HpcJob;
use super::schedulers::Scheduler;

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
    scheduler: &mut dyn Scheduler,
) -> Vec<i64> {
    let Some(first) = jobs.first() else { return Vec::new() };
    let mut replay = Replay {
        jobs,
        scheduler,
        now: first.submit,
        free: machine,
        arrived: 0,
        queue: Vec::new(),
        running: Vec::new(),
        starts: vec![i64::MIN; jobs.len()],
    };
    replay.arrive();
    loop {
        while replay.queue.is_empty() {
            if replay.arrived == jobs.len() {
                return replay.starts;
            }
            replay.step();
        }
        replay.turn(fill);
    }
}

struct Replay<'a> {
    jobs: &'a [HpcJob],
    scheduler: &'a mut dyn Scheduler,
    now: i64,
    free: i64,
    arrived: usize,
    /// In order of arrival.
    queue: Vec<Waiting>,
    /// By true end, then in the order in which they started.
    running: Vec<(i64, Running)>,
    starts: Vec<i64>,
}

impl Replay<'_> {
    fn arrive(&mut self) {
        let key = self.arrived;
        let job = &self.jobs[key];
        let waiting = Waiting {
            key: u32::try_from(key).expect("a window has fewer jobs than four billion"),
            submitted: job.submit,
            width: job.width,
            limit: job.limit,
            expected: self.scheduler.arrived(key),
        };
        // A log in order of number may have arrivals that go back a little.
        let at = self.queue.partition_point(|other| other.submitted <= job.submit);
        self.queue.insert(at, waiting);
        self.arrived += 1;
        self.now = self.now.max(job.submit);
    }

    /// The next end or the next arrival, whichever is first; an arrival where they are equal.
    fn step(&mut self) {
        let end = self.running.first().map(|(end, _)| *end);
        let arrival = self.jobs.get(self.arrived).map(|job| job.submit);
        if arrival.is_some_and(|arrival| end.is_none_or(|end| arrival <= end)) {
            self.arrive();
        } else {
            let (end, job) = self.running.remove(0);
            self.now = self.now.max(end);
            self.free += job.width;
            self.scheduler.ended(job.key as usize, self.jobs[job.key as usize].run);
        }
    }

    fn start(&mut self, at: usize) {
        let job = self.queue.remove(at);
        let run = self.jobs[job.key as usize].run;
        self.scheduler.started(job.key as usize, self.now);
        self.starts[job.key as usize] = self.now;
        self.free -= job.width;
        let running = Running {
            key: job.key,
            width: job.width,
            started: self.now,
            limit: self.now + job.limit,
            expected: self.now + job.expected,
        };
        let end = self.now + run;
        let at = self.running.partition_point(|(other, _)| *other <= end);
        self.running.insert(at, (end, running));
    }

    fn turn(&mut self, fill: HarnessFill) {
        let running: Vec<Running> = self.running.iter().map(|(_, job)| *job).collect();
        let at = self.scheduler.choose(self.now, self.free, &running, &self.queue);
        let chosen = self.queue[at];
        if chosen.width > self.free {
            let moment = match fill {
                HarnessFill::Wait => i64::MIN,
                HarnessFill::Backfill => earliest(self.now, self.free, &running, chosen.width),
            };
            while chosen.width > self.free {
                let mut at = 0;
                while at < self.queue.len() {
                    let job = &self.queue[at];
                    if self.now + job.limit < moment && job.width <= self.free {
                        self.start(at);
                    } else {
                        at += 1;
                    }
                }
                self.step();
            }
        }
        let at = self.queue.iter().position(|job| job.key == chosen.key);
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
