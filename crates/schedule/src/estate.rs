//! The supply: pools, their bays (nodes that are alike in all but size), and what is booked on each
//! node. Knows nothing of queues.
//!
//! Invariant: what a node has booked is the sum of the leases that name it, tentative ones
//! included; a bay's tree shows exactly what its up, unmasked nodes have free; every node that got
//! more room since the last round is in `touched`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_units::{AttemptId, FlopRate, JobId, MilliAccel, PoolId, Resources, Span, TaskId, Time};
use rustc_hash::FxHashMap;

use crate::calendar::Appointed;
use crate::cards::{CardBank, CardRoom, Cards, Islands};
use crate::change::{LeaseEnd, Tenure};
use crate::fit_tree::{FitTree, Need, Room};
use crate::later::{Later, When};
use crate::near::NearMap;
use crate::others::Forecast;
use crate::quota::{Accounts, Payers};
use crate::signs::{Front, Sign};
use crate::slots::Slots;
use crate::view::{NodeName, NodeUp, NodeView, OfferView, PoolView};
use crate::waste::{self, Free, Kind};

pub(crate) type PoolIx = u32;
pub(crate) type BayIx = u32;
pub(crate) type LeaseIx = u32;

/// A node's place in the estate.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct NodeAt {
    pub bay: BayIx,
    pub node: u32,
}

/// What is booked on a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Booked {
    pub used: Resources,
    pub bank: CardBank,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Node {
    pub name: NodeName,
    pub unit: Resources,
    pub count: u32,
    pub up: NodeUp,
    pub booked: Booked,
    /// Held out of the tree while it is reserved for a queue head, within one round.
    pub masked: bool,
    /// What it has promised for later, if anything.
    pub later: Option<Box<Later>>,
    touched: bool,
}

fn saturating_sub(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpu: a.cpu.checked_sub(b.cpu).unwrap_or_default(),
        memory: a.memory.checked_sub(b.memory).unwrap_or_default(),
        disk: a.disk.checked_sub(b.disk).unwrap_or_default(),
        accel: a.accel.checked_sub(b.accel).unwrap_or_default(),
    }
}
fn least(a: &Resources, b: &Resources) -> Resources {
    Resources {
        cpu: a.cpu.min(b.cpu),
        memory: a.memory.min(b.memory),
        disk: a.disk.min(b.disk),
        accel: a.accel.min(b.accel),
    }
}

impl Node {
    fn new(view: &NodeView) -> Self {
        // A group's engine picks the cards; of a single node we do.
        let cards = if view.count == 1 { view.total.accel } else { MilliAccel::ZERO };
        Self {
            name: view.name.clone(),
            unit: view.total,
            count: view.count,
            up: view.up,
            booked: Booked { used: Resources::ZERO, bank: CardBank::of(cards) },
            masked: false,
            later: None,
            touched: false,
        }
    }
    /// All that stands behind the name.
    pub fn capacity(&self) -> Resources {
        self.unit.checked_mul(u64::from(self.count)).unwrap_or(Resources {
            cpu: dayan_units::MilliCpu(u64::MAX),
            memory: dayan_units::Bytes(u64::MAX),
            disk: dayan_units::Bytes(u64::MAX),
            accel: MilliAccel(u64::MAX),
        })
    }
    /// What is free in sum with this booked. A node that shrank under its leases has nothing free.
    pub fn free_with(&self, booked: &Booked) -> Resources {
        saturating_sub(&self.capacity(), &booked.used)
    }
    /// What waste is judged by, now and with one more such task, where it fits; none for a group,
    /// whose cards nobody tells apart.
    pub fn free_before_and_after(&self, need: &Need) -> Option<(Free, Free)> {
        let bank = &self.booked.bank;
        if bank.is_empty() {
            return None;
        }
        let taken = bank.choose(need.cards, &Islands::NONE)?;
        let cpu = self.free_with(&self.booked).cpu.0;
        let before = Free { cpu, cards: bank.left() };
        let mut after = Free { cpu: cpu.saturating_sub(need.resources.cpu.0), ..before.clone() };
        for (card, left) in (0u32..).zip(&mut after.cards) {
            if taken.whole >> card & 1 == 1 {
                *left = 0;
            }
            if let Some(part) = taken.part.filter(|part| u32::from(part.card) == card) {
                *left = left.saturating_sub(part.milli);
            }
        }
        Some((before, after))
    }
    /// Is it in the same state as another of its bay?
    pub fn is_like(&self, other: &Self) -> bool {
        self.unit == other.unit && self.count == other.count && self.booked == other.booked
    }
    /// What one task could take with this booked, were the node up.
    pub fn room_with(&self, booked: &Booked) -> Room {
        let free = least(&self.unit, &self.free_with(booked));
        let mut room = Room::summed(&free);
        if !booked.bank.is_empty() {
            let CardRoom { whole, part } = booked.bank.room();
            room.cards.whole = room.cards.whole.min(whole);
            room.cards.part = room.cards.part.min(part);
        }
        room
    }
    /// Exactly: does the need fit with this booked, were the node up?
    pub fn fits_with(&self, booked: &Booked, need: &Need) -> bool {
        need.may_fit(&self.room_with(booked))
            && (!need.mixes_cards()
                || booked.bank.is_empty()
                || booked.bank.choose(need.cards, &Islands::NONE).is_some())
    }
    pub fn is_up(&self) -> bool {
        match self.up {
            NodeUp::Up => true,
            NodeUp::Down => false,
        }
    }
    fn shown_room(&self) -> Room {
        if self.is_up() && !self.masked { self.room_with(&self.booked) } else { Room::default() }
    }
    /// Does it fit now, and for as long as it may run beside what is promised for later?
    pub fn fits(&self, need: &Need, when: When) -> bool {
        match &self.later {
            None => self.fits_with(&self.booked, need),
            Some(later) => self.fits_with(&self.booked, need) && later.fits(self, need, when, None),
        }
    }
    /// How many such tasks, at most so many, fit now side by side, beside what is promised for later.
    pub fn times_beside(&self, need: &Need, when: When, most: u64) -> u64 {
        let most = need.resources.times_in(&self.free_with(&self.booked)).min(most);
        let fits = |times: &u64| {
            let all = need.resources.checked_mul(*times).map(Need::of);
            all.is_some_and(|all| self.fits(if *times == 1 { need } else { &all }, when))
        };
        (1..=most).take_while(fits).count() as u64
    }
    /// How many seats from a moment on, when this will be booked.
    pub fn seats_from(&self, booked: &Booked, need: &Need, when: When) -> u64 {
        let seats = self.seats_with(booked, need);
        let Some(later) = self.later.as_ref().filter(|_| seats > 0) else { return seats };
        let fits = |seats: u64| {
            let all = need.resources.checked_mul(seats).map(Need::of);
            all.is_some_and(|all| {
                // A group's members share the sum; of one node there is one seat.
                let all = if seats == 1 { *need } else { all };
                later.fits(self, &all, when, None)
            })
        };
        (1..=seats).take_while(|seats| fits(*seats)).count() as u64
    }
    /// How many members of a gang could sit here: one on each node behind the name.
    pub fn seats_with(&self, booked: &Booked, need: &Need) -> u64 {
        if !self.fits_with(booked, need) {
            return 0;
        }
        need.resources.times_in(&self.free_with(booked)).min(u64::from(self.count))
    }
    /// The same of the empty node.
    pub fn seats_empty(&self, need: &Need) -> u64 {
        if Need::of(need.resources).may_fit(&Room::summed(&self.unit)) {
            u64::from(self.count)
        } else {
            0
        }
    }
}

impl Booked {
    pub fn add(&mut self, resources: &Resources, cards: Cards) {
        self.used = self
            .used
            .checked_add(resources)
            .expect("each lease was cut from a shown node; their sum is far below 64 bits");
        self.bank.book(cards);
    }
    pub fn sub(&mut self, resources: &Resources, cards: Cards) {
        self.used = saturating_sub(&self.used, resources);
        self.bank.release(cards);
    }
}

/// What the nodes of a bay have in common.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Make {
    /// Places in a queue, for tasks of at most this limit; real nodes come first.
    pub waits: Option<Span>,
    /// None sorts first: nodes without cards are tried first for work without.
    pub accelerator: Option<String>,
    pub features: BTreeSet<String>,
    pub leaf: Option<String>,
    pub capability: BTreeMap<String, FlopRate>,
    pub islands: Islands,
}

/// The nodes of one pool that are alike in all but size.
#[derive(Clone, Debug)]
pub(crate) struct Bay {
    pub pool: PoolIx,
    /// Its number in its pool, by make: stable for equal views.
    pub number: u32,
    pub make: Make,
    /// In packing order: small before large, then by name.
    pub nodes: Vec<Node>,
    pub tree: FitTree,
    /// Distinct sizes: a node of that size, and how many.
    pub sizes: Vec<(Resources, u64)>,
    /// How many of the nodes have promised something for later.
    pub promised: u32,
}

impl Bay {
    /// How many nodes could hold the need when empty.
    pub fn seats_empty(&self, need: &Need) -> u64 {
        let fitting = self.sizes.iter().filter(|(unit, _)| need.may_fit(&Room::summed(unit)));
        fitting.map(|(_, nodes)| nodes).sum()
    }
    /// The first up and unmasked node from `from` on where the need fits now.
    pub fn first_fit(&self, need: &Need, when: When, from: usize, work: &mut u64) -> Option<u32> {
        // The tree pads with rooms of nothing, and shows down nodes as such: a need of nothing and
        // one that mixes whole cards and a part must look at the node itself. So must all where a
        // node has promised something.
        let certain =
            self.promised == 0 && !need.mixes_cards() && need.resources != Resources::ZERO;
        let exact = |at: usize| {
            let node = self.nodes.get(at);
            certain
                || node.is_some_and(|node| node.is_up() && !node.masked && node.fits(need, when))
        };
        let found = self.tree.first_fit(need, from, work, exact)?;
        Some(u32::try_from(found).expect("nodes are numbered in 32 bits"))
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    /// None while it is not shown; its nodes are in the bays.
    pub view: Option<PoolView>,
    pub offers: Vec<OfferView>,
    pub bays: Vec<BayIx>,
    pub names: FxHashMap<NodeName, NodeAt>,
    /// Its leases by when they end at the latest.
    pub ends: BTreeSet<(Time, LeaseIx)>,
    /// Its nodes that have promised something for later.
    pub promised: BTreeSet<NodeAt>,
    /// Its leases that may be taken back, those that run for the shortest time first.
    pub spot: BTreeSet<(Reverse<Time>, AttemptId, LeaseIx)>,
    /// When some were, lately.
    pub preempted: Vec<Time>,
    /// What its site's cache holds.
    pub holds: Arc<BTreeSet<u64>>,
    /// What others hold in it.
    pub others: Vec<LeaseIx>,
    /// When its own engine expects to start what waits in its queue, where it says so.
    pub forecast: Option<Forecast>,
}

/// Who holds a lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holder {
    /// A committed attempt.
    Attempt(AttemptId),
    /// A seat of the last plan, not yet confirmed.
    Seat(TaskId),
    /// Somebody beside us.
    Others,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub holder: Holder,
    pub pool: PoolIx,
    pub payers: Payers,
    pub node: NodeName,
    /// None while its node is not shown.
    pub at: Option<NodeAt>,
    pub resources: Resources,
    pub cards: Cards,
    pub end: LeaseEnd,
    pub tenure: Tenure,
}

impl Lease {
    /// Its place among those that may be taken back, if it is one of them.
    fn among_spot(&self, ix: LeaseIx) -> Option<(Reverse<Time>, AttemptId, LeaseIx)> {
        match (self.tenure, self.holder) {
            (Tenure::Spot { since, .. }, Holder::Attempt(attempt)) => {
                Some((Reverse(since), attempt, ix))
            }
            (Tenure::Spot { .. }, Holder::Seat(_) | Holder::Others) | (Tenure::Kept, _) => None,
        }
    }
}

/// Where leases are booked, by their numbers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seated(Vec<NodeAt>);

impl Seated {
    /// No node is there.
    const NOWHERE: NodeAt = NodeAt { bay: BayIx::MAX, node: u32::MAX };

    pub fn at(&self, ix: LeaseIx) -> Option<NodeAt> {
        self.0.get(ix as usize).copied().filter(|at| *at != Self::NOWHERE)
    }
    fn set(&mut self, ix: LeaseIx, at: Option<NodeAt>) {
        if self.0.len() <= ix as usize {
            self.0.resize(ix as usize + 1, Self::NOWHERE);
        }
        self.0[ix as usize] = at.unwrap_or(Self::NOWHERE);
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Estate {
    /// Numbers of pools are never given out again: jobs' back-offs may still name them.
    pub pools: Vec<Pool>,
    pub pool_ids: BTreeMap<PoolId, PoolIx>,
    pool_lookup: FxHashMap<PoolId, PoolIx>,
    /// All pools as some verdict ranked them, the best first: the next is likely to rank them so too,
    /// and then has nothing to sort. It says nothing else.
    pub ranking: Vec<PoolIx>,
    pub bays: Slots<Bay>,
    /// By the number of the bay; likewise the signs.
    pub fronts: Vec<Front>,
    pub signs: Vec<Sign>,
    pub leases: Slots<Lease>,
    /// Where each of them is booked, as the leases say too: what is read of thousands of leases to find
    /// those of one node.
    pub seated: Seated,
    pub attempts: NearMap<AttemptId, LeaseIx>,
    /// What organisations and projects hold, and may.
    pub accounts: Accounts,
    /// How many leases there are of each kind that takes cards.
    pub kinds: BTreeMap<Kind, u64>,
    /// Nodes that got more room.
    pub touched: Vec<NodeAt>,
    /// Pools whose picture or offers changed.
    pub dirty: BTreeSet<PoolIx>,
    /// Bays that are gone; their numbers may have been given out again.
    pub dropped: BTreeSet<BayIx>,
    /// Tasks with appointments.
    pub appointed: BTreeMap<JobId, BTreeMap<u32, Appointed>>,
    /// The same by the first moment of each job.
    pub appointed_from: BTreeSet<(Time, JobId)>,
    /// When closures of pools end.
    pub closures_end: BTreeSet<(Time, PoolIx)>,
}

impl Estate {
    pub fn pool_ix(&mut self, id: PoolId) -> PoolIx {
        if let Some(&ix) = self.pool_lookup.get(&id) {
            return ix;
        }
        let ix = PoolIx::try_from(self.pools.len()).expect("pools are numbered in 32 bits");
        self.pools.push(Pool::default());
        self.pool_ids.insert(id, ix);
        self.pool_lookup.insert(id, ix);
        self.ranking.push(ix);
        ix
    }

    /// Is a bay made of places in a queue? Nothing is promised, reserved or expected there.
    pub fn is_queue(&self, bay: BayIx) -> bool {
        self.bays[bay].make.waits.is_some()
    }
    /// Which pool a bay is of.
    pub fn pool_of(&self, bay: BayIx) -> PoolIx {
        self.sign(bay).pool
    }

    pub fn node(&self, at: NodeAt) -> &Node {
        &self.bays[at.bay].nodes[at.node as usize]
    }
    pub fn node_mut(&mut self, at: NodeAt) -> &mut Node {
        &mut self.bays[at.bay].nodes[at.node as usize]
    }

    /// Puts what the node has free into the tree; notes it where it may have grown.
    fn refresh(&mut self, at: NodeAt) {
        let bay = &mut self.bays[at.bay];
        let room = bay.nodes[at.node as usize].shown_room();
        bay.tree.set(at.node as usize, room);
        self.fronts[at.bay as usize].most = bay.tree.most();
    }
    pub fn touch(&mut self, at: NodeAt) {
        let node = self.node_mut(at);
        if !node.touched {
            node.touched = true;
            self.touched.push(at);
        }
    }
    /// The nodes that got more room since the last call.
    pub fn take_touched(&mut self) -> Vec<NodeAt> {
        let touched = std::mem::take(&mut self.touched);
        for &at in &touched {
            self.node_mut(at).touched = false;
        }
        touched
    }

    pub fn show_pool(&mut self, view: &PoolView) {
        let ix = self.pool_ix(view.pool);
        self.drop_bays(ix);
        let mut by_make: BTreeMap<Make, Vec<Node>> = BTreeMap::new();
        for node in &view.nodes {
            let make = Make {
                waits: node.waits,
                accelerator: node.accelerator.clone(),
                features: node.features.clone(),
                leaf: node.leaf.clone(),
                capability: node.capability.clone(),
                islands: Islands::of(&node.islands),
            };
            by_make.entry(make).or_default().push(Node::new(node));
        }
        for (number, (make, mut nodes)) in (0u32..).zip(by_make) {
            nodes.sort_by(|a, b| {
                let size = |n: &Node| (n.unit.accel, n.unit.cpu, n.unit.memory, n.unit.disk);
                size(a).cmp(&size(b)).then_with(|| a.name.cmp(&b.name))
            });
            let mut sizes: Vec<(Resources, u64)> = Vec::new();
            for node in &nodes {
                match sizes.last_mut().filter(|(unit, _)| *unit == node.unit) {
                    Some((_, count)) => *count += u64::from(node.count),
                    None => sizes.push((node.unit, u64::from(node.count))),
                }
            }
            let rooms: Vec<Room> = nodes.iter().map(Node::shown_room).collect();
            let tree = FitTree::new(&rooms);
            let bay =
                self.bays.add(Bay { pool: ix, number, make, nodes, tree, sizes, promised: 0 });
            self.put_up_signs(bay);
            let pool = &mut self.pools[ix as usize];
            pool.bays.push(bay);
            for (node, shown) in (0u32..).zip(&self.bays[bay].nodes) {
                pool.names.insert(shown.name.clone(), NodeAt { bay, node });
            }
        }
        let leases: Vec<LeaseIx> =
            self.pools[ix as usize].ends.iter().map(|&(_, lease)| lease).collect();
        for lease in leases {
            self.attach(lease);
        }
        self.claim_again(ix, view);
        self.pools[ix as usize].view = Some(PoolView { nodes: Vec::new(), ..view.clone() });
        self.dirty.insert(ix);
    }

    pub fn forget_pool(&mut self, id: PoolId) {
        let ix = self.pool_ix(id);
        self.drop_bays(ix);
        let pool = &mut self.pools[ix as usize];
        pool.view = None;
        pool.offers.clear();
        self.dirty.insert(ix);
    }

    fn drop_bays(&mut self, ix: PoolIx) {
        let pool = &mut self.pools[ix as usize];
        pool.names.clear();
        let bays = std::mem::take(&mut pool.bays);
        let leases: Vec<LeaseIx> = pool.ends.iter().map(|&(_, lease)| lease).collect();
        for lease in leases {
            self.leases[lease].at = None;
            self.seated.set(lease, None);
        }
        self.lose_sight(ix);
        for bay in &bays {
            self.bays.take(*bay);
            self.dropped.insert(*bay);
        }
        self.touched.retain(|at| !bays.contains(&at.bay));
    }

    pub fn show_holdings(&mut self, pool: PoolId, files: &Arc<BTreeSet<u64>>) {
        let ix = self.pool_ix(pool);
        let known = &mut self.pools[ix as usize].holds;
        if known != files {
            known.clone_from(files);
            self.dirty.insert(ix);
        }
    }

    pub fn show_offers(&mut self, pool: PoolId, offers: &[OfferView]) {
        let ix = self.pool_ix(pool);
        let mut offers = offers.to_vec();
        offers.sort_by_key(|offer| offer.offer);
        self.pools[ix as usize].offers = offers;
        self.dirty.insert(ix);
    }

    pub fn set_node_state(&mut self, pool: PoolId, node: &NodeName, up: NodeUp) {
        let ix = self.pool_ix(pool);
        let Some(&at) = self.pools[ix as usize].names.get(node) else { return };
        self.node_mut(at).up = up;
        self.refresh(at);
        self.touch(at);
    }

    /// Books a lease on its node, if that is shown.
    fn attach(&mut self, ix: LeaseIx) {
        let lease = &mut self.leases[ix];
        let Some(&at) = self.pools[lease.pool as usize].names.get(&lease.node) else { return };
        lease.at = Some(at);
        self.seated.set(ix, Some(at));
        let (resources, cards) = (lease.resources, lease.cards);
        self.node_mut(at).booked.add(&resources, cards);
        self.occupy(at, ix);
        self.refresh(at);
    }

    /// Books a lease. An attempt that already holds one keeps only the new.
    pub fn book(&mut self, lease: Lease) -> LeaseIx {
        if let Holder::Attempt(attempt) = lease.holder
            && let Some(&old) = self.attempts.get(&attempt)
        {
            self.free(old);
        }
        let (pool, latest, holder, at) = (lease.pool, lease.end.latest, lease.holder, lease.at);
        waste::add(&mut self.kinds, &lease.resources);
        let ix = self.leases.add(lease);
        self.seated.set(ix, at);
        self.accounts.book(&self.leases[ix], ix);
        self.pools[pool as usize].ends.insert((latest, ix));
        self.pools[pool as usize].spot.extend(self.leases[ix].among_spot(ix));
        if let Holder::Attempt(attempt) = holder {
            self.attempts.insert(attempt, ix);
        }
        match at {
            Some(at) => {
                let (resources, cards) = (self.leases[ix].resources, self.leases[ix].cards);
                self.node_mut(at).booked.add(&resources, cards);
                self.occupy(at, ix);
                self.refresh(at);
            }
            None => self.attach(ix),
        }
        self.seat_taken(holder, self.leases[ix].at);
        ix
    }

    /// Gives a lease's capacity back.
    pub fn free(&mut self, ix: LeaseIx) -> Lease {
        let lease = self.leases.take(ix);
        self.accounts.free(&lease, ix);
        waste::remove(&mut self.kinds, &lease.resources);
        self.pools[lease.pool as usize].ends.remove(&(lease.end.latest, ix));
        if let Some(entry) = lease.among_spot(ix) {
            self.pools[lease.pool as usize].spot.remove(&entry);
        }
        if let Holder::Attempt(attempt) = lease.holder {
            self.attempts.remove(&attempt);
        }
        if let Some(at) = lease.at {
            let node = self.node_mut(at);
            node.booked.sub(&lease.resources, lease.cards);
            if let Some(later) = &mut node.later {
                later.leases.remove(&ix);
            }
            self.refresh(at);
            self.touch(at);
        }
        self.seat_left(lease.holder, lease.at);
        lease
    }

    /// A seat was committed: its booking becomes the attempt's.
    pub fn confirm(&mut self, ix: LeaseIx, attempt: AttemptId, (end, tenure): (LeaseEnd, Tenure)) {
        let lease = &mut self.leases[ix];
        (lease.holder, lease.tenure) = (Holder::Attempt(attempt), tenure);
        let (pool, entry) = (lease.pool, lease.among_spot(ix));
        self.pools[pool as usize].spot.extend(entry);
        self.attempts.insert(attempt, ix);
        self.set_end(ix, end);
        self.seat_taken(Holder::Attempt(attempt), self.leases[ix].at);
    }

    pub fn set_end(&mut self, ix: LeaseIx, end: LeaseEnd) {
        let lease = &mut self.leases[ix];
        let before = lease.end.latest;
        lease.end = end;
        if before != end.latest {
            let ends = &mut self.pools[lease.pool as usize].ends;
            ends.remove(&(before, ix));
            ends.insert((end.latest, ix));
            self.accounts.ends(&self.leases[ix], ix, before);
            self.occupant_ends(ix, before);
        }
    }

    /// The lease is not taken back any more, and may end sooner than was agreed.
    pub fn stopping(&mut self, ix: LeaseIx, by: Option<Time>) {
        let lease = &mut self.leases[ix];
        let (pool, entry) = (lease.pool, lease.among_spot(ix));
        lease.tenure = Tenure::Kept;
        if let Some(entry) = entry {
            self.pools[pool as usize].spot.remove(&entry);
        }
        if let Some(by) = by {
            let LeaseEnd { expected, latest } = self.leases[ix].end;
            self.set_end(ix, LeaseEnd { expected: expected.min(by), latest: latest.min(by) });
        }
    }

    /// Holds a node out of the tree while it is reserved.
    pub fn mask(&mut self, at: NodeAt) {
        self.node_mut(at).masked = true;
        self.refresh(at);
    }
    /// Lets it back in. The round sees to those who would have had room there.
    pub fn unmask(&mut self, at: NodeAt) {
        self.node_mut(at).masked = false;
        self.refresh(at);
    }

    /// Recomputes all that is kept; the message names the first difference.
    pub fn check(&self) -> Result<(), String> {
        let mut booked: BTreeMap<NodeAt, Booked> = BTreeMap::new();
        for (ix, bay) in self.bays.iter() {
            for (node, shown) in (0u32..).zip(&bay.nodes) {
                let bank =
                    CardBank::of(if shown.count == 1 { shown.unit.accel } else { MilliAccel(0) });
                booked.insert(NodeAt { bay: ix, node }, Booked { used: Resources::ZERO, bank });
            }
        }
        for (ix, lease) in self.leases.iter() {
            let pool = &self.pools[lease.pool as usize];
            if pool.names.get(&lease.node) != lease.at.as_ref() {
                return Err(format!("lease on {} does not name its node", lease.node));
            }
            if !pool.ends.contains(&(lease.end.latest, ix)) {
                return Err(format!("lease on {} is missing among the ends", lease.node));
            }
            if self.seated.at(ix) != lease.at {
                return Err(format!("lease on {} is said to be elsewhere", lease.node));
            }
            if let Some(at) = lease.at {
                let node = booked.get_mut(&at).ok_or("a lease names a node that is gone")?;
                node.add(&lease.resources, lease.cards);
            }
        }
        self.accounts.check(&self.leases)?;
        let spot =
            self.leases.iter().filter_map(|(ix, lease)| Some((lease.pool, lease.among_spot(ix)?)));
        let spot: BTreeSet<_> = spot.collect();
        let pools = (0u32..).zip(&self.pools);
        let kept = pools.flat_map(|(ix, pool)| pool.spot.iter().map(move |entry| (ix, *entry)));
        if !spot.iter().copied().eq(kept) {
            return Err("other leases that may be taken back".to_owned());
        }
        let mut kinds = BTreeMap::new();
        self.leases.iter().for_each(|(_, lease)| waste::add(&mut kinds, &lease.resources));
        if kinds != self.kinds {
            return Err("other counts of kinds of leases".to_owned());
        }
        let ends: usize = self.pools.iter().map(|pool| pool.ends.len()).sum();
        if ends != self.leases.len() {
            return Err(format!("{ends} ends for {} leases", self.leases.len()));
        }
        self.check_signs()?;
        let touched: BTreeSet<NodeAt> = self.touched.iter().copied().collect();
        for (ix, bay) in self.bays.iter() {
            for (node, shown) in (0u32..).zip(&bay.nodes) {
                let at = NodeAt { bay: ix, node };
                if booked[&at] != shown.booked {
                    return Err(format!("node {}: booked {:?}", shown.name, shown.booked));
                }
                if shown.masked || shown.touched != touched.contains(&at) {
                    return Err(format!("node {}: masked or wrongly touched", shown.name));
                }
            }
            let rooms: Vec<Room> = bay.nodes.iter().map(Node::shown_room).collect();
            if FitTree::new(&rooms) != bay.tree {
                return Err(format!("the tree of bay {} of pool {} differs", bay.number, bay.pool));
            }
        }
        Ok(())
    }
}
