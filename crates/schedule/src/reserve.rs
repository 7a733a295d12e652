//! When could a blocked job start at the latest, and where: leases are read in the order of their
//! latest ends until enough has come free. The same walk gives reservations (latest ends) and
//! start estimates (expected ends).
//!
//! A reservation names nodes and a moment. Until then others may use those nodes only for work
//! that ends before it, or in room that the reserved job leaves over even then. So its moment never
//! moves back while leases keep their latest ends. (EASY backfilling: Lifka, JSSPP 1995; here for
//! several queue heads, each on nodes of its own.)

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use dayan_units::{Resources, Span, Time};

use crate::alone::Alone;
use crate::estate::{Booked, Estate, LeaseIx, NodeAt, PoolIx};
use crate::fit_tree::Need;
use crate::judge::Choice;
use crate::later::When;
use crate::short::{Floor, Leaves};
use crate::soon::{Expected, Follower};

/// A node held for a queue head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Held {
    pub at: NodeAt,
    /// What is left over at the reserved moment, with the reserved job in place.
    pub spare: Resources,
    /// Does the reserved job take cards here?
    pub takes_cards: bool,
    /// What each of its seats here takes, and how many there are.
    pub need: Need,
    pub seats: u64,
    /// Heads that would come here next.
    pub followers: Vec<Follower>,
    /// When all of these are expected to start; asked for only where something of less priority could.
    pub expected: Option<Expected>,
}

impl Held {
    /// So many seats of this need, where this is booked at the reserved moment.
    pub fn new(estate: &Estate, at: NodeAt, need: &Need, seats: u64, booked: &Booked) -> Self {
        let taken = need.resources.checked_mul(seats).expect("it fits in the node");
        let free = estate.node(at).free_with(booked);
        let spare = free.checked_sub(&taken).expect("the seats fit in what is free");
        let takes_cards = need.resources.accel.0 > 0;
        let followers = Vec::new();
        Self { at, spare, takes_cards, need: *need, seats, followers, expected: None }
    }
}

/// Nodes held from a moment on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reservation {
    pub from: Time,
    pub held: Vec<Held>,
}

/// Which end of a lease counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EndBy {
    /// For promises.
    Latest,
    /// For estimates.
    Expected,
}

/// Where a job looks: choices close enough together, and how many seats it takes at once.
pub(crate) struct Domain<'a> {
    pub choices: &'a [Choice],
    /// Indices into the choices, best first.
    pub members: &'a [u32],
    pub needs: &'a [Need],
    pub seats: u64,
    /// How long a task may run.
    pub limit: Span,
    /// What it leaves free.
    pub leaves: Option<&'a Leaves>,
}

/// The earliest of several domains, and where; of equal moments the better choice wins.
pub(crate) fn earliest_of(
    estate: &Estate,
    (choices, needs, limit): (&[Choice], &[Need], Span),
    gang: Option<(&[Vec<u32>], u64)>,
    (now, by): (Time, EndBy),
    leaves: Option<&Leaves>,
    work: &mut u64,
) -> Option<Reservation> {
    let mut best: Option<Reservation> = None;
    let mut look = |members: &[u32], seats: u64| {
        let before = best
            .as_ref()
            .map_or(Time::NEVER, |best| best.from.minus(dayan_units::Span::from_micros(1)));
        *work += 1;
        let domain = Domain { choices, members, needs, seats, limit, leaves };
        if let Some(found) = domain.earliest(estate, now, before, by, work) {
            best = Some(found);
        }
    };
    match gang {
        Some((domains, seats)) => domains.iter().for_each(|members| look(members, seats)),
        None => (0u32..)
            .zip(choices)
            .filter(|(_, choice)| !estate.is_queue(choice.bay))
            .for_each(|(at, _)| look(&[at], 1)),
    }
    best
}

struct Site {
    booked: Booked,
    seats: u64,
}

impl Domain<'_> {
    fn need(&self, choice: &Choice) -> &Need {
        &self.needs[usize::from(choice.need)]
    }

    /// The earliest moment not after `before` when the seats are free together, and where.
    pub fn earliest(
        &self,
        estate: &Estate,
        now: Time,
        before: Time,
        by: EndBy,
        work: &mut u64,
    ) -> Option<Reservation> {
        if now > before {
            return None;
        }
        if let [only] = self.members
            && by == EndBy::Latest
            && self.seats == 1
            && self.leaves.is_none()
        {
            let choice = &self.choices[*only as usize];
            let alone = Alone { estate, choice, need: self.need(choice), limit: self.limit };
            return alone.earliest(now, before, work);
        }
        self.walk(estate, now, before, by, work)
    }

    /// The same for any seats in any bays.
    pub fn walk(
        &self,
        estate: &Estate,
        now: Time,
        before: Time,
        by: EndBy,
        work: &mut u64,
    ) -> Option<Reservation> {
        let when = When::now(now, self.limit);
        // Rank in the order of choices, then the node: what is taken first where several fit.
        let rank_of: BTreeMap<u32, (u32, &Need)> = (0u32..)
            .zip(self.members)
            .map(|(rank, &member)| {
                let choice = &self.choices[member as usize];
                (choice.bay, (rank, self.need(choice)))
            })
            .collect();
        let mut pools: Vec<PoolIx> = self
            .members
            .iter()
            .map(|&member| estate.pool_of(self.choices[member as usize].bay))
            .collect();
        pools.sort_unstable();
        pools.dedup();
        let mut floor = Floor::default();
        if self.leaves.is_some() {
            floor = Floor::of(estate, pools.iter().copied(), work);
        }
        let mut sites: BTreeMap<(u32, NodeAt), Site> = BTreeMap::new();
        let mut seats = 0;
        'bays: for (&bay_ix, &(rank, need)) in &rank_of {
            let bay = &estate.bays[bay_ix];
            let mut from = 0;
            while let Some(node) = bay.first_fit(need, when, from, work) {
                let at = NodeAt { bay: bay_ix, node };
                let shown = estate.node(at);
                let here = shown.seats_from(&shown.booked, need, when);
                seats += here;
                sites.insert((rank, at), Site { booked: shown.booked.clone(), seats: here });
                if seats >= self.seats {
                    if self.are_left(&floor) {
                        return Some(self.reservation(estate, now, &sites, &floor));
                    }
                    break 'bays;
                }
                from = node as usize + 1;
            }
        }
        // Nodes with promises: room there may come and go without a lease that ends. It comes only when
        // a claim is over or a lease ends; between such moments it only goes, as the task would run
        // into later claims. So what was counted last is the most there can be, and all are counted
        // again only where that would do.
        let mut promised: BTreeSet<(u32, NodeAt)> = BTreeSet::new();
        let mut over: BTreeMap<Time, Vec<(u32, NodeAt)>> = BTreeMap::new();
        for &at in pools.iter().flat_map(|pool| &estate.pools[*pool as usize].promised) {
            let Some(&(rank, _)) = rank_of.get(&at.bay) else { continue };
            let node = estate.node(at);
            if let Some(later) = node.later.as_ref().filter(|_| node.is_up() && !node.masked) {
                let booked = node.booked.clone();
                sites.entry((rank, at)).or_insert(Site { booked, seats: 0 });
                promised.insert((rank, at));
                for moment in later.moments(now, now) {
                    over.entry(moment).or_default().push((rank, at));
                }
            }
        }
        let mut ends = Ends::new(estate, &pools, by);
        let mut changed: BTreeSet<(u32, NodeAt)> = promised.clone();
        loop {
            let next = over.first_key_value().map(|(moment, _)| *moment);
            let Some(moment) = [ends.peek(), next].into_iter().flatten().min() else { break };
            let moment = moment.max(now);
            while let Some(first) = over.first_entry().filter(|first| *first.key() <= moment) {
                changed.extend(first.remove());
            }
            if moment > before {
                return None;
            }
            // All that ends at the same instant counts before anything is decided.
            while let Some(lease) = ends.next_until(moment) {
                *work += 1;
                let Some(at) = estate.seated.at(lease) else { continue };
                let node = estate.node(at);
                if !node.is_up() {
                    continue;
                }
                let lease = &estate.leases[lease];
                if self.leaves.is_some() && !estate.is_queue(at.bay) {
                    floor.give(&lease.resources);
                }
                let Some(&(rank, need)) = rank_of.get(&at.bay).filter(|_| !node.masked) else {
                    continue;
                };
                let site = sites
                    .entry((rank, at))
                    .or_insert_with(|| Site { booked: node.booked.clone(), seats: 0 });
                site.booked.sub(&lease.resources, lease.cards);
                if promised.contains(&(rank, at)) {
                    changed.insert((rank, at));
                    continue;
                }
                seats -= site.seats;
                site.seats = node.seats_with(&site.booked, need);
                seats += site.seats;
            }
            let mut count = |keys: &BTreeSet<(u32, NodeAt)>, seats: &mut u64| {
                for key in keys {
                    *work += 1;
                    let need = rank_of[&key.1.bay].1;
                    let site = sites.get_mut(key).expect("put there above");
                    *seats -= site.seats;
                    let node = estate.node(key.1);
                    site.seats = node.seats_from(&site.booked, need, when.starting(moment));
                    *seats += site.seats;
                }
            };
            count(&std::mem::take(&mut changed), &mut seats);
            if seats >= self.seats && !promised.is_empty() {
                count(&promised, &mut seats);
            }
            if seats >= self.seats && self.are_left(&floor) {
                return Some(self.reservation(estate, moment, &sites, &floor));
            }
        }
        None
    }

    /// What each of its seats takes, by its best place: what is left beside them is counted by that.
    fn first_need(&self) -> Resources {
        let first = self.members.first().map(|first| &self.choices[*first as usize]);
        first.map_or(Resources::ZERO, |first| self.need(first).resources)
    }

    /// Is as much free beside its seats as it leaves?
    fn are_left(&self, floor: &Floor) -> bool {
        self.leaves.is_none_or(|leaves| leaves.are_left(floor, &self.first_need(), self.seats))
    }

    fn reservation(
        &self,
        estate: &Estate,
        from: Time,
        sites: &BTreeMap<(u32, NodeAt), Site>,
        floor: &Floor,
    ) -> Reservation {
        let mut left = self.seats;
        let mut held = Vec::new();
        for (&(rank, at), site) in sites.iter().filter(|(_, site)| site.seats > 0) {
            let seats = site.seats.min(left);
            if seats == 0 {
                break;
            }
            left -= seats;
            let need = self.need(&self.choices[self.members[rank as usize] as usize]);
            held.push(Held::new(estate, at, need, seats, &site.booked));
        }
        if let Some(leaves) = self.leaves {
            leaves.out_of(floor, (&self.first_need(), self.seats), &mut held);
        }
        Reservation { from, held }
    }
}

type InOrder<'a> = dyn Iterator<Item = (Time, LeaseIx)> + 'a;

/// The leases of some pools in the order of their ends.
struct Ends<'a> {
    pools: Vec<Peekable<Box<InOrder<'a>>>>,
}

impl<'a> Ends<'a> {
    fn new(estate: &'a Estate, pools: &[PoolIx], by: EndBy) -> Self {
        let of_pool = |&pool: &PoolIx| {
            let ends = &estate.pools[pool as usize].ends;
            let iter: Box<InOrder<'a>> = match by {
                EndBy::Latest => Box::new(ends.iter().copied()),
                EndBy::Expected => {
                    let expected =
                        |&(_, ix): &(Time, LeaseIx)| (estate.leases[ix].end.expected, ix);
                    let mut ends: Vec<_> = ends.iter().map(expected).collect();
                    ends.sort_unstable();
                    Box::new(ends.into_iter())
                }
            };
            iter.peekable()
        };
        Self { pools: pools.iter().map(of_pool).collect() }
    }

    fn peek(&mut self) -> Option<Time> {
        self.pools.iter_mut().filter_map(|pool| pool.peek().map(|end| end.0)).min()
    }

    fn next_until(&mut self, moment: Time) -> Option<LeaseIx> {
        self.pools
            .iter_mut()
            .find_map(|pool| pool.next_if(|end| end.0 <= moment))
            .map(|(_, lease)| lease)
    }
}
