//! How long those keep a job waiting that stand before it: the queue is played out over the places
//! that the job could go to, as one heap of processors, memory and cards. Leases end as they are
//! expected to (or by their limits), the jobs before it start in their order as soon as there is
//! enough, and then it does.
//!
//! An estimate, not a promise: nodes are added up, nothing overtakes, and no one comes after. What
//! came of it is scored by who keeps the state. Changes nothing.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use dayan_units::{Resources, Span, Time};

use crate::judge::Choice;
use crate::planner::Planner;
use crate::queue::{Class, JobKey};
use crate::reserve::EndBy;
use crate::slots::BitSet;

/// Jobs before it that are played out one by one, a few milliseconds' worth; the others take as long
/// each as these did.
const AHEAD_MAX: usize = 4_096;
/// Leases that are read. Where there are more at these places, so many end all the time that the
/// leases alone tell little: then nobody is played out.
const LEASES_MAX: usize = 65_536;

/// A job that waits before: how many at once, what of, how long.
struct Ahead {
    key: JobKey,
    seats: u64,
    at_once: u64,
    need: Resources,
    length: Span,
}

/// What a job wants: so many seats at once of this.
pub(crate) struct Wanted {
    pub seats: u64,
    pub need: Resources,
    /// Where it stands.
    pub place: JobKey,
}

/// The places as one: what is free, and what will be when.
struct Together {
    free: Resources,
    ends: BinaryHeap<Reverse<(Time, Load)>>,
    now: Time,
}

/// Ordered only to stand in a heap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Load {
    cpu: u64,
    memory: u64,
    disk: u64,
    accel: u64,
}

impl From<Resources> for Load {
    fn from(r: Resources) -> Self {
        Self { cpu: r.cpu.0, memory: r.memory.0, disk: r.disk.0, accel: r.accel.0 }
    }
}
impl From<Load> for Resources {
    fn from(load: Load) -> Self {
        Self {
            cpu: dayan_units::MilliCpu(load.cpu),
            memory: dayan_units::Bytes(load.memory),
            disk: dayan_units::Bytes(load.disk),
            accel: dayan_units::MilliAccel(load.accel),
        }
    }
}

fn add(a: &Resources, b: &Resources) -> Resources {
    // More than can be counted is as good as everything.
    a.checked_add(b).unwrap_or(*a)
}

impl Together {
    /// The next that ends gives back what it has; false where nothing does.
    fn wait(&mut self) -> bool {
        let Some(Reverse((end, load))) = self.ends.pop() else { return false };
        self.now = self.now.max(end);
        self.free = add(&self.free, &load.into());
        true
    }

    /// Starts all seats of a job as they fit, those of a gang together.
    fn start(&mut self, job: &Ahead) {
        let mut left = job.seats;
        while left > 0 {
            let fit = job.need.times_in(&self.free).min(left);
            if fit >= job.at_once.min(left) {
                let taken = job.need.checked_mul(fit).unwrap_or(self.free);
                self.free = self.free.checked_sub(&taken).unwrap_or(Resources::ZERO);
                self.ends.push(Reverse((self.now.plus(job.length), taken.into())));
                left -= fit;
            } else if !self.wait() {
                // It is larger than all of this together: it waits for something else.
                return;
            }
        }
    }
}

impl Planner {
    /// How long the queue keeps these places busy before it is this one's turn; none where that
    /// cannot be told.
    pub(crate) fn queue_wait(
        &self,
        choices: impl Iterator<Item = Choice>,
        wanted: &Wanted,
        now: Time,
        by: EndBy,
    ) -> Option<Span> {
        let mut bays = BitSet::default();
        choices.for_each(|choice| bays.insert(choice.bay));
        let (ahead, more) = self.ahead(&bays, wanted.place, by);
        if ahead.is_empty() {
            return Some(Span::ZERO);
        }
        let mut together = self.together(&bays, now, by)?;
        for job in &ahead {
            together.start(job);
        }
        let played = together.now.since(now);
        while wanted.need.times_in(&together.free) < wanted.seats {
            if !together.wait() {
                break;
            }
        }
        let own = together.now.since(now);
        // Those that were not played out take as long again, each.
        let each = i64::try_from(ahead.len()).expect("a few thousand");
        let rest = i128::from(played.micros()) * i128::from(more) / i128::from(each);
        Some(own.plus(Span::from_micros(i64::try_from(rest).unwrap_or(i64::MAX))))
    }

    /// The first jobs that stand before and could go there, and how many more there are.
    fn ahead(&self, bays: &BitSet, place: JobKey, by: EndBy) -> (Vec<Ahead>, i64) {
        let mut ahead = Vec::new();
        let mut more = 0;
        // Most classes are of kinds of jobs of which none waits now.
        let there = |class: &Class| {
            !class.lines.is_empty() && class.choices.iter().any(|at| bays.contains(at.bay))
        };
        for (ix, class) in self.demand.classes.iter().filter(|(_, class)| there(class)) {
            // What the best place takes: which need was found first says nothing.
            let best = class.choices.first().map(|best| usize::from(best.need));
            let need = best.map_or(class.ask.resources, |need| class.needs[need].resources);
            for (&project, line) in &class.lines {
                let behind = self.demand.behind_of(project);
                if !self.demand.is_open(ix, project) {
                    continue;
                }
                let before = line.iter().map(|(key, job)| (key.behind(behind), *job));
                let mut before = before.take_while(|(key, _)| *key < place);
                for (key, job) in before.by_ref().take(AHEAD_MAX) {
                    let job = &self.demand.jobs[job];
                    let once = match by {
                        EndBy::Latest => class.ask.time,
                        EndBy::Expected => job.expected.unwrap_or(class.ask.time),
                    };
                    let seats = job.pending.len();
                    let wide = job.max_parallel.map_or(seats, |most| seats.min(u64::from(most)));
                    let rounds = seats.div_ceil(wide.max(1));
                    let length = once.min(class.ask.time);
                    let length = length.times(i64::try_from(rounds).unwrap_or(i64::MAX));
                    let at_once = job.gang.map_or(1, |gang| u64::from(gang.at_least()));
                    ahead.push(Ahead { key, seats: wide, at_once, need, length });
                }
                more += i64::try_from(before.count()).unwrap_or(i64::MAX);
            }
        }
        ahead.sort_unstable_by_key(|job| job.key);
        more += i64::try_from(ahead.len().saturating_sub(AHEAD_MAX)).expect("in memory");
        ahead.truncate(AHEAD_MAX);
        (ahead, more)
    }

    fn together(&self, bays: &BitSet, now: Time, by: EndBy) -> Option<Together> {
        let (mut free, mut ends) = (Resources::ZERO, BinaryHeap::new());
        let mut pools = Vec::new();
        for (_, bay) in self.estate.bays.iter().filter(|(ix, _)| bays.contains(*ix)) {
            for node in bay.nodes.iter().filter(|node| node.is_up()) {
                free = add(&free, &node.free_with(&node.booked));
            }
            if pools.last() != Some(&bay.pool) {
                pools.push(bay.pool);
            }
        }
        pools.sort_unstable();
        pools.dedup();
        let of_pools = pools.iter().map(|pool| &self.estate.pools[*pool as usize].ends);
        if of_pools.clone().map(std::collections::BTreeSet::len).sum::<usize>() > LEASES_MAX {
            return None;
        }
        for &(latest, ix) in of_pools.flatten() {
            let lease = &self.estate.leases[ix];
            if lease.at.is_some_and(|at| bays.contains(at.bay)) {
                let end = match by {
                    EndBy::Latest => latest,
                    EndBy::Expected => {
                        // What is late is expected to be late for as long again.
                        let late = now.since(lease.end.expected).max(Span::ZERO);
                        if late > Span::ZERO {
                            now.plus(late).min(latest)
                        } else {
                            lease.end.expected
                        }
                    }
                };
                ends.push(Reverse((end, lease.resources.into())));
            }
        }
        Some(Together { free, ends, now })
    }
}
