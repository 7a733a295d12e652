//! Ranges: a task that said how much is of use to it, and not only how little will do, gets what is
//! left on its node when nobody waits for it.
//!
//! Invariants: nobody who waits, and nothing that is promised for later, finds less room for it; no
//! task gets more than the top of its range, nor at a price over its caps; and while anything waits,
//! or the round's work has ended first, everybody gets the least. A gang's members stay alike.

use std::collections::BTreeMap;

use dayan_units::{Bytes, MilliCpu, Resources, TaskId};

use crate::estate::{Lease, LeaseIx, NodeAt};
use crate::fit_tree::Need;
use crate::judge::Judge;
use crate::plan::Atomicity;
use crate::queue::JobIx;
use crate::quota::Want;
use crate::round::Round;
use crate::score::Order;
use crate::verdict::window_of;

/// Shares of cores are whole ones, as programs count them.
const CORE: u64 = 1_000;

/// A seat of this round that could be larger: of which placement, which of its seats.
struct Small {
    placement: usize,
    seat: usize,
    task: TaskId,
    job: JobIx,
    lease: LeaseIx,
}

impl Round<'_> {
    /// Shares out what is left beside the seats of this round.
    pub fn grow(&mut self) {
        let demand = &self.planner.demand;
        let waits =
            !demand.active.is_empty() || !demand.no_room.is_empty() || !demand.capped.is_empty();
        if self.exhausted || waits {
            return;
        }
        for (at, all) in self.small() {
            for (nth, small) in all.iter().enumerate() {
                self.grow_one(at, small, (all.len() - nth) as u64);
            }
        }
    }

    /// Seats of this round whose tasks would have use for more, by their node; nodes in the order in which they
    /// were first taken, and not of their numbers, which tell what was there before: where a quota ends, the first
    /// ones get what is left of it.
    fn small(&self) -> Vec<(NodeAt, Vec<Small>)> {
        let planner = &*self.planner;
        let mut found: Vec<(NodeAt, Vec<Small>)> = Vec::new();
        let mut places: BTreeMap<NodeAt, usize> = BTreeMap::new();
        for (placement, made) in self.placements.iter().enumerate() {
            let Some(&job) = planner.demand.job_ids.get(&made.job) else { continue };
            let class = &planner.demand.classes[planner.demand.jobs[job].class];
            // A quote is firm for what was quoted, an appointment is of a size.
            if class.ask.most.is_none()
                || class.wish().pin.is_some()
                || made.atomicity == Atomicity::AllOrNothing
                || planner.estate.appointed.contains_key(&made.job)
            {
                continue;
            }
            for (seat, of) in made.seats.iter().enumerate() {
                let task = TaskId { job: made.job, task: of.task };
                let Some(&lease) = planner.seats.get(&task) else { continue };
                let Some(at) = planner.estate.leases[lease].at else { continue };
                let node = planner.estate.node(at);
                if node.count == 1 && !planner.estate.is_queue(at.bay) {
                    let place = *places.entry(at).or_insert(found.len());
                    if place == found.len() {
                        found.push((at, Vec::new()));
                    }
                    found[place].1.push(Small { placement, seat, task, job, lease });
                }
            }
        }
        found
    }

    /// A seat's part of what is left on its node, where so many want some of it.
    fn grow_one(&mut self, at: NodeAt, small: &Small, of: u64) {
        let held = &self.planner.estate.leases[small.lease];
        let node = self.planner.estate.node(at);
        let class = &self.planner.demand.classes[self.planner.demand.jobs[small.job].class];
        let (Some(most), true) = (class.ask.most, node.is_up()) else { return };
        let larger = larger(&held.resources, &most, &node.free_with(&node.booked), of);
        let extra = larger.checked_sub(&held.resources).expect("it is larger");
        let want = Want { each: extra, tasks: 1 };
        if extra == Resources::ZERO
            || self.planner.estate.accounts.refuses(&held.payers, want).is_some()
        {
            return;
        }
        self.work += 1;
        let before = self.planner.estate.free(small.lease);
        let need = Need::of(larger);
        let resources = if self.may_have(at, small, &need) { larger } else { before.resources };
        let lease = self.planner.estate.book(Lease { resources, ..before });
        self.planner.seats.insert(small.task, lease);
        self.placements[small.placement].seats[small.seat].resources = resources;
    }

    /// Does its node hold that until its limit, and is it sold at a price within its caps?
    fn may_have(&self, at: NodeAt, small: &Small, need: &Need) -> bool {
        let planner = &*self.planner;
        let class_ix = planner.demand.jobs[small.job].class;
        let class = &planner.demand.classes[class_ix];
        let seat = &self.placements[small.placement].seats[small.seat];
        let order = Order::of(&class.key.prefer, &planner.policy);
        let judge: Judge<'_> = planner.judge(class.wish(), &order, window_of(self.now));
        planner.estate.node(at).fits(need, self.when(class_ix))
            && judge.sells(at.bay, seat.offer, need)
    }
}

/// So much of each as its range and its part of what is left come to.
fn larger(least: &Resources, most: &Resources, left: &Resources, of: u64) -> Resources {
    let part = |least: u64, most: u64, left: u64, unit: u64| {
        let more = most.saturating_sub(least).min(left / of.max(1));
        least + more / unit * unit
    };
    Resources {
        cpu: MilliCpu(part(least.cpu.0, most.cpu.0, left.cpu.0, CORE)),
        memory: Bytes(part(least.memory.0, most.memory.0, left.memory.0, 1)),
        disk: Bytes(part(least.disk.0, most.disk.0, left.disk.0, 1)),
        accel: least.accel,
    }
}
