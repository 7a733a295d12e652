//! Room for short work in pools: what [`Keeps`] says of a machine, for pools of many nodes and cards.
//!
//! Invariant: what keeps room and is not due starts only where so much is left beside it of all that
//! its pool has up, added up over the nodes; of cards where it takes cards, else of processors. What
//! is promised, or made free by taking something back, is had all the same. Knows nothing of the order
//! in the queue but when a job is due.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{MilliAccel, MilliCpu, Resources, Time};

use crate::estate::{BayIx, Estate, PoolIx};
use crate::judge::Choice;
use crate::order::{Keeps, ShortWork};
use crate::queue::{ClassIx, Demand, JobKey, Standing};
use crate::reserve::Held;
use crate::round::Round;

/// What a job that is not due leaves free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Leaves {
    keeps: Keeps,
    short: ShortWork,
}

/// What some pools have up, places in queues apart: all of it, and what is free of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Floor {
    total: Sum,
    free: Sum,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sum {
    cpu: u64,
    accel: u64,
}

impl Sum {
    fn add(&mut self, more: &Resources) {
        self.cpu = self.cpu.saturating_add(more.cpu.0);
        self.accel = self.accel.saturating_add(more.accel.0);
    }
    /// Of the kind that such a task is counted by.
    const fn of(self, need: &Resources) -> u64 {
        if need.accel.0 > 0 { self.accel } else { self.cpu }
    }
}

impl Floor {
    /// Of these pools; each node looked at is work.
    pub fn of(estate: &Estate, pools: impl IntoIterator<Item = PoolIx>, work: &mut u64) -> Self {
        let mut floor = Self::default();
        let bays = pools.into_iter().flat_map(|pool| &estate.pools[pool as usize].bays);
        for bay in bays.filter(|bay| !estate.is_queue(**bay)) {
            let nodes = &estate.bays[*bay].nodes;
            *work += nodes.len() as u64;
            for node in nodes.iter().filter(|node| node.is_up()) {
                floor.total.add(&node.capacity());
                floor.free.add(&node.free_with(&node.booked));
            }
        }
        floor
    }

    /// So much comes free.
    pub fn give(&mut self, resources: &Resources) {
        self.free.add(resources);
    }

    fn take(&mut self, resources: &Resources) {
        self.free.cpu = self.free.cpu.saturating_sub(resources.cpu.0);
        self.free.accel = self.free.accel.saturating_sub(resources.accel.0);
    }

    fn plus(&mut self, other: &Self) {
        for (sum, more) in [(&mut self.total, other.total), (&mut self.free, other.free)] {
            sum.cpu = sum.cpu.saturating_add(more.cpu);
            sum.accel = sum.accel.saturating_add(more.accel);
        }
    }
}

impl Leaves {
    /// How much beside so many seats, of what such a task is counted by: no more than there is beside
    /// them at all.
    fn beside(&self, floor: &Floor, need: &Resources, seats: u64) -> u64 {
        let total = floor.total.of(need);
        let widest = Sum { cpu: self.short.cpu.0, accel: self.short.accel.0 }.of(need);
        let taken = own(need).saturating_mul(seats);
        self.keeps.of_machine(total).min(widest).min(total.saturating_sub(taken))
    }

    /// Is so much left beside so many seats?
    pub fn are_left(&self, floor: &Floor, need: &Resources, seats: u64) -> bool {
        let taken = own(need).saturating_mul(seats);
        floor.free.of(need) >= taken.saturating_add(self.beside(floor, need, seats))
    }

    /// Is there enough for so many seats, but not for what they leave as well?
    pub fn keep_out(&self, floor: &Floor, need: &Resources, seats: u64) -> bool {
        let taken = own(need).saturating_mul(seats);
        floor.free.of(need) >= taken && !self.are_left(floor, need, seats)
    }

    /// What is reserved beside the seats is not left over.
    pub fn out_of(&self, floor: &Floor, (need, seats): (&Resources, u64), held: &mut [Held]) {
        let mut left = self.beside(floor, need, seats);
        for held in held {
            let spare = &mut held.spare;
            let spare = if need.accel.0 > 0 { &mut spare.accel.0 } else { &mut spare.cpu.0 };
            let taken = left.min(*spare);
            (*spare, left) = (*spare - taken, left - taken);
        }
    }
}

const fn own(need: &Resources) -> u64 {
    if need.accel.0 > 0 { need.accel.0 } else { need.cpu.0 }
}

impl Demand {
    /// What a class leaves free whose first job stands there; none where it leaves nothing, as it is
    /// due, or nobody has come for whom it would.
    pub fn leaves(&self, class: ClassIx, place: JobKey, now: Time) -> Option<Leaves> {
        let keeps = self.classes[class].key.keeps;
        let leaves = keeps > Keeps::NOTHING
            && place.due > now
            && (self.short.cpu > MilliCpu::ZERO || self.short.accel > MilliAccel::ZERO);
        leaves.then_some(Leaves { keeps, short: self.short })
    }

    /// For what work room is left at that moment.
    pub fn see_short(&mut self, now: Time) {
        let short = self.short_jobs.widest(now);
        if self.short != short {
            self.short = short;
            self.try_keepers();
        }
    }

    /// What leaves room is to be tried again: how much has changed.
    pub fn try_keepers(&mut self) {
        let keepers = self.no_room.iter().map(|(_, class)| *class);
        let keepers: Vec<ClassIx> =
            keepers.filter(|ix| self.classes[*ix].key.keeps > Keeps::NOTHING).collect();
        for class in keepers {
            self.stand(class, Standing::Active);
        }
    }

    /// A class stands there now: when that is due, it leaves nothing any more.
    pub fn note_due(&mut self, class: ClassIx, head: Option<JobKey>) {
        if self.classes[class].key.keeps > Keeps::NOTHING
            && let Some(head) = head
        {
            self.undue.insert((head.due, class));
        }
    }

    /// Those whose first job is due by now are tried again.
    pub fn come_due(&mut self, now: Time) {
        while let Some(&(due, class)) = self.undue.first().filter(|(due, _)| *due <= now) {
            self.undue.remove(&(due, class));
            // It may be another class's number by now, which is tried once for nothing.
            if self.classes.get(class).is_some_and(|class| class.standing == Standing::NoRoom) {
                self.stand(class, Standing::Active);
            }
        }
    }
}

/// What pools have, as far as it was asked for in this round.
pub(crate) type Floors = BTreeMap<PoolIx, Floor>;

impl Round<'_> {
    /// The class is to be looked at from the beginning: what it found without room may have had some,
    /// but not beside what it had to leave.
    pub fn look_again(&mut self, class: ClassIx) {
        let class = &mut self.planner.demand.classes[class];
        if class.key.keeps > Keeps::NOTHING {
            class.reopen();
        }
    }

    fn floor(&mut self, pool: PoolIx) -> Floor {
        let (estate, work) = (&self.planner.estate, &mut self.work);
        *self.floors.entry(pool).or_insert_with(|| Floor::of(estate, [pool], work))
    }

    /// Something was placed there.
    pub fn fill(&mut self, pool: PoolIx, choice: &Choice, resources: &Resources) {
        if !self.floors.is_empty()
            && !self.planner.estate.is_queue(choice.bay)
            && let Some(floor) = self.floors.get_mut(&pool)
        {
            floor.take(resources);
        }
    }

    /// Does a task of the class leave enough where it would go?
    pub fn is_left(&mut self, class: ClassIx, choice: &Choice, leaves: Option<&Leaves>) -> bool {
        let Some(leaves) = leaves.filter(|_| !self.planner.estate.is_queue(choice.bay)) else {
            return true;
        };
        let need = self.planner.demand.classes[class].needs[usize::from(choice.need)].resources;
        let pool = self.planner.estate.pool_of(choice.bay);
        leaves.are_left(&self.floor(pool), &need, 1)
    }

    /// The bays with reserved nodes where a task of the class would leave too little.
    pub fn full_bays(&mut self, class: ClassIx, leaves: Option<&Leaves>) -> BTreeSet<BayIx> {
        if leaves.is_none() {
            return BTreeSet::new();
        }
        let held = self.reservations.iter().flat_map(|promised| &promised.place.held);
        let mut full: BTreeSet<BayIx> = held.map(|held| held.at.bay).collect();
        let choices = self.planner.demand.classes[class].choices.clone();
        let of = |bay: BayIx| choices.iter().find(|choice| choice.bay == bay);
        full.retain(|bay| of(*bay).is_some_and(|choice| !self.is_left(class, choice, leaves)));
        full
    }

    /// What the pools of each domain of a gang's class have together; nothing where it leaves none.
    pub fn floors_of_domains(&mut self, class: ClassIx, leaves: Option<&Leaves>) -> Vec<Floor> {
        if leaves.is_none() {
            return Vec::new();
        }
        let class = &self.planner.demand.classes[class];
        let pool_of =
            |member: &u32| self.planner.estate.pool_of(class.choices[*member as usize].bay);
        let pools = |domain: &Vec<u32>| domain.iter().map(pool_of).collect();
        let domains: Vec<BTreeSet<PoolIx>> = class.domains.iter().map(pools).collect();
        let together = |pools: BTreeSet<PoolIx>| {
            let mut floor = Floor::default();
            for pool in pools {
                floor.plus(&self.floor(pool));
            }
            floor
        };
        domains.into_iter().map(together).collect()
    }

    /// Closes the bays where a task of the class would leave too little.
    pub fn close_full(&mut self, class: ClassIx, leaves: Option<&Leaves>) {
        if leaves.is_none() {
            return;
        }
        let choices = self.planner.demand.classes[class].choices.clone();
        for choice in choices.iter() {
            let is_open = !self.planner.demand.classes[class].closed.contains(choice.bay);
            if is_open && !self.is_left(class, choice, leaves) {
                self.planner.demand.classes[class].closed.insert(choice.bay);
            }
        }
    }
}
