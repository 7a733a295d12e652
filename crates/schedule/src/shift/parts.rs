//! Jobs that may be interrupted and are equally wide, exactly.
//!
//! Which units of room are used is all that costs anything, and the sets of units that the jobs can
//! fill form a matroid (those linked into a network of windows). So going through the slots from the
//! cheapest on, and taking every unit that can still be filled, gives the least cost of all ways to
//! fill as much as can be filled (Edmonds, "Matroids and the greedy algorithm", 1971). Whether a
//! unit can be filled is one search for an augmenting path: a job takes it, and gives up another one
//! that a further job takes, until a job is reached that still wants slots.
//!
//! A search that fails closes the jobs it saw for good: none of them can ever reach a job outside.

use std::collections::VecDeque;

use super::Flexible;
use super::board::Board;
use super::place::{runs_of, window};

/// Seats these jobs, which have no seats, in the room that is left. False, and none of them is
/// seated, where the work ran out.
pub(super) fn fill(board: &mut Board<'_>, members: &[usize], width: u32) -> bool {
    let jobs: Vec<&Flexible> = members.iter().map(|job| &board.jobs[*job]).collect();
    let mut network = Network::new(&jobs, board.slots.len());
    let costs = board.slots.tally.each();
    let mut order: Vec<u32> = (0..board.slots.len()).collect();
    order.retain(|slot| !network.cover[*slot as usize].is_empty());
    order.sort_by_key(|slot| (costs[*slot as usize], *slot));
    for slot in order {
        let units = board.free()[slot as usize].max(0) / i64::from(width.max(1));
        let mut taken = 0;
        while taken < units && network.take(slot) {
            taken += 1;
        }
        network.pass(slot);
        board.count(std::mem::take(&mut network.steps));
        if board.spent() {
            return false;
        }
    }
    for (job, node) in members.iter().zip(&network.jobs) {
        board.put(*job, runs_of(&node.slots()));
    }
    true
}

/// A job in the network.
struct Node {
    first: u32,
    /// Whether it uses each slot of its window.
    uses: Vec<bool>,
    /// Slots that it still wants.
    wants: u32,
    /// Slots of its window that have not had their turn.
    ahead: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// It has its slots, and so has every job that could make room for it.
    Closed,
}

impl Node {
    fn new(job: &Flexible, len: u32) -> Self {
        let window = window(job, len);
        let ahead = window.end - window.start;
        let uses = vec![false; ahead as usize];
        Self { first: window.start, uses, wants: job.slots, ahead, state: State::Open }
    }
    fn uses(&self, slot: u32) -> bool {
        self.uses[(slot - self.first) as usize]
    }
    fn set(&mut self, slot: u32, uses: bool) {
        self.uses[(slot - self.first) as usize] = uses;
    }
    fn slots(&self) -> Vec<u32> {
        let used = self.uses.iter().zip(self.first..).filter(|(uses, _)| **uses);
        used.map(|(_, slot)| slot).collect()
    }
}

/// Jobs and slots, with what a search marks.
struct Network {
    jobs: Vec<Node>,
    /// The jobs whose windows hold a slot.
    cover: Vec<Vec<u32>>,
    /// The search that saw a job, or a slot, last.
    job_seen: Vec<u32>,
    slot_seen: Vec<u32>,
    /// From which slot a job was reached: it would take that one.
    job_takes: Vec<u32>,
    /// From which job a slot was reached: it would give that up.
    slot_from: Vec<u32>,
    search: u32,
    steps: usize,
}

impl Network {
    fn new(jobs: &[&Flexible], len: u32) -> Self {
        let mut cover = vec![Vec::new(); len as usize];
        for (job, number) in jobs.iter().zip(0..) {
            for slot in window(job, len) {
                cover[slot as usize].push(number);
            }
        }
        Self {
            job_seen: vec![0; jobs.len()],
            slot_seen: vec![0; len as usize],
            job_takes: vec![0; jobs.len()],
            slot_from: vec![0; len as usize],
            jobs: jobs.iter().map(|job| Node::new(job, len)).collect(),
            cover,
            search: 0,
            steps: 0,
        }
    }

    /// A slot has had its turn.
    fn pass(&mut self, slot: u32) {
        for &job in &self.cover[slot as usize] {
            self.jobs[job as usize].ahead -= 1;
        }
    }

    /// Fills one more unit of a slot, if that can be done.
    fn take(&mut self, slot: u32) -> bool {
        // Most often a job that wants slots can take it itself. The one with the least choice left
        // is the least likely to have to be moved later; which one it is does not change the cost.
        self.steps += self.cover[slot as usize].len();
        let could = |job: &&u32| {
            let node = &self.jobs[**job as usize];
            node.wants > 0 && !node.uses(slot)
        };
        let choice = |job: &&u32| {
            let node = &self.jobs[**job as usize];
            (node.ahead.saturating_sub(node.wants), **job)
        };
        if let Some(&job) = self.cover[slot as usize].iter().filter(could).min_by_key(choice) {
            let node = &mut self.jobs[job as usize];
            node.set(slot, true);
            node.wants -= 1;
            return true;
        }
        self.augment(slot)
    }

    fn augment(&mut self, slot: u32) -> bool {
        self.search += 1;
        let mut seen = Vec::new();
        let mut queue = VecDeque::from([slot]);
        self.slot_seen[slot as usize] = self.search;
        while let Some(at) = queue.pop_front() {
            self.steps += self.cover[at as usize].len();
            for index in 0..self.cover[at as usize].len() {
                let job = self.cover[at as usize][index] as usize;
                let node = &self.jobs[job];
                if self.job_seen[job] == self.search || node.state == State::Closed || node.uses(at)
                {
                    continue;
                }
                self.job_seen[job] = self.search;
                self.job_takes[job] = at;
                if node.wants > 0 {
                    self.turn(slot, job);
                    return true;
                }
                seen.push(job);
                self.steps += node.uses.len();
                for given in node.slots() {
                    if self.slot_seen[given as usize] != self.search {
                        self.slot_seen[given as usize] = self.search;
                        self.slot_from[given as usize] = u32::try_from(job).expect("from 32 bits");
                        queue.push_back(given);
                    }
                }
            }
        }
        for job in seen {
            self.jobs[job].state = State::Closed;
        }
        false
    }

    /// Follows a path back from the job that still wants a slot.
    fn turn(&mut self, from: u32, last: usize) {
        self.jobs[last].wants -= 1;
        let mut job = last;
        loop {
            let slot = self.job_takes[job];
            self.jobs[job].set(slot, true);
            if slot == from {
                return;
            }
            job = self.slot_from[slot as usize] as usize;
            self.jobs[job].set(slot, false);
        }
    }
}
