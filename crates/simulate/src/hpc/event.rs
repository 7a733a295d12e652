//! Discipline B: ordinary event-driven scheduling. At each instant all ends, then all arrivals,
//! then one pass.
//!
//! Invariant: a job starts once, never before its submission, and what runs fits the machine. No
//! scheduler hears a run time before the job has ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dayan_schedule::order::{Running, Waiting};

use super::protocol::HpcJob;
use super::schedulers::Scheduler;

/// The start of each job, in the order of `jobs`, which is that of arrival.
pub fn simulate(machine: i64, jobs: &[HpcJob], scheduler: &mut dyn Scheduler) -> Vec<i64> {
    let mut starts = vec![i64::MIN; jobs.len()];
    let mut free = machine;
    let mut arrived = 0;
    let mut queue: Vec<Waiting> = Vec::new();
    let mut running: Vec<Running> = Vec::new();
    let mut ends: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    // When a running job will have run as long as was expected.
    let mut outruns: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    loop {
        let end = ends.peek().map(|Reverse((at, _))| *at);
        let arrival = jobs.get(arrived).map(|job| job.submit);
        let Some(now) = [end, arrival].into_iter().flatten().min() else { return starts };
        let outrun = outruns.peek().map(|Reverse((at, _))| *at).filter(|at| *at < now);
        let now = outrun.unwrap_or(now);
        while let Some(Reverse((at, job))) = ends.peek().copied()
            && at == now
        {
            ends.pop();
            let place = running.iter().position(|other| other.key as usize == job);
            free += running.swap_remove(place.expect("what ends runs")).width;
            scheduler.ended(job, jobs[job].run);
        }
        while let Some(Reverse((at, job))) = outruns.peek().copied()
            && at <= now
        {
            outruns.pop();
            // It may have ended by then.
            if let Some(one) = running.iter_mut().find(|other| other.key as usize == job) {
                let elapsed = now - one.started;
                let expected = scheduler.outran(job, elapsed);
                one.expected = one.started + expected;
                if expected > elapsed {
                    outruns.push(Reverse((one.expected, job)));
                }
            }
        }
        while let Some(job) = jobs.get(arrived)
            && job.submit <= now
        {
            let expected = scheduler.arrived(arrived);
            let key = u32::try_from(arrived).expect("a log has fewer than four billion jobs");
            queue.push(Waiting {
                key,
                submitted: job.submit,
                width: job.width,
                limit: job.limit,
                expected,
            });
            arrived += 1;
        }
        if queue.is_empty() || free == 0 {
            continue;
        }
        let mut chosen = scheduler.starts(now, free, &running, &queue);
        chosen.sort_unstable();
        for at in &chosen {
            let job = queue[*at];
            let index = job.key as usize;
            assert!(job.width <= free, "job {} does not fit", jobs[index].id);
            free -= job.width;
            starts[index] = now;
            running.push(Running {
                key: job.key,
                width: job.width,
                started: now,
                limit: now + job.limit,
                expected: now + job.expected,
            });
            ends.push(Reverse((now + jobs[index].run, index)));
            if job.expected < jobs[index].limit {
                outruns.push(Reverse((now + job.expected, index)));
            }
        }
        let mut gone = chosen.iter().copied().peekable();
        let mut at = 0;
        queue.retain(|_| {
            let started = gone.next_if_eq(&at).is_some();
            at += 1;
            !started
        });
    }
}
