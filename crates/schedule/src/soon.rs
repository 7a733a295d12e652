//! When the heads that wait for a held node are *expected* to start there: the one it is held for,
//! and those of its priority or less that found no place of their own and follow it there. Work of
//! less priority than theirs keeps out of their way. That keeps work out only; no promise rests on it.
//!
//! Invariant: what was expected is a function of the leases, the node and the heads; what is placed
//! beside them later takes from what they leave over, so that none of them is expected to start later
//! than before for it.

use std::collections::BTreeSet;

use dayan_units::{Resources, Span, Time};
use smallvec::SmallVec;

use crate::cards::{Cards, Islands};
use crate::estate::{Booked, Estate, LeaseIx};
use crate::fit_tree::Need;
use crate::queue::JobKey;
use crate::reserve::{Held, Reservation};

/// Leases of a pool that are read to see when a head may start in it. Where there are more, limits
/// alone decide, so that a round goes on in a large pool.
const LOOK_AHEAD_MAX: usize = 4_096;

/// A head that found no place of its own and would go to a held node next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Follower {
    pub head: JobKey,
    pub need: Need,
}

/// When one of them is expected to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Soon {
    pub from: Time,
    /// What is left over then, with it and those before it in place.
    spare: Resources,
    takes_cards: bool,
}

/// When each of them is: the one that holds the node, then its followers. Those that are not among
/// them wait for one of the others to end.
pub(crate) type Expected = SmallVec<[Soon; 2]>;

impl Soon {
    fn of(from: Time, free: &Resources, need: &Need, seats: u64) -> Self {
        let taken = need.resources.checked_mul(seats).expect("it fits in the node");
        let spare = free.checked_sub(&taken).unwrap_or(Resources::ZERO);
        Self { from, spare, takes_cards: need.resources.accel.0 > 0 }
    }
    /// Is this left over then? Cards are not shared, as only whole sums are known of that moment.
    fn is_beside(&self, need: &Need) -> bool {
        need.resources.fits_in(&self.spare) && !(self.takes_cards && need.resources.accel.0 > 0)
    }
}

/// Work that would be put on a held node.
pub(crate) struct Newcomer<'a> {
    pub priority: i32,
    /// When it is expected to end.
    pub end: Time,
    pub need: &'a Need,
}

impl Newcomer<'_> {
    fn keeps_out_of_the_way_of(&self, head: &JobKey) -> bool {
        self.priority < head.priority.0
    }
}

impl Reservation {
    /// Is there room for it on one of the nodes, beside the reserved job and the followers of more
    /// priority, when they are expected to start?
    pub fn lets_in(
        &mut self,
        index: usize,
        head: JobKey,
        newcomer: &Newcomer<'_>,
        (estate, now): (&Estate, Time),
        work: &mut u64,
    ) -> bool {
        let above = |follower: &Follower| newcomer.keeps_out_of_the_way_of(&follower.head);
        if newcomer.keeps_out_of_the_way_of(&head) {
            let all_start = self.soon(estate, now, work);
            let first = self.held[index].expected(self.from, estate, now, work)[0];
            if newcomer.end > all_start && !first.is_beside(newcomer.need) {
                return false;
            }
        }
        let held = &mut self.held[index];
        let followed = held.followers.iter().take_while(|follower| above(follower)).count();
        if followed == 0 {
            return true;
        }
        let expected = held.expected(self.from, estate, now, work);
        let mut followers = expected.iter().skip(1).take(followed);
        followers.all(|soon| newcomer.end <= soon.from || soon.is_beside(newcomer.need))
    }

    /// When all of the reserved job is expected to start.
    pub fn soon(&mut self, estate: &Estate, now: Time, work: &mut u64) -> Time {
        let from = self.from;
        let moment = |held: &mut Held| held.expected(from, estate, now, work)[0].from;
        self.held.iter_mut().map(moment).max().unwrap_or(from)
    }
}

impl Held {
    /// It waits for this node too, behind all others that do.
    pub fn follow(&mut self, follower: Follower) {
        self.followers.push(follower);
        self.expected = None;
    }

    /// When the reserved job is expected to start here, at the latest when it must, and its followers
    /// after it. What runs longer than was expected of it is expected to go on for as long as it is
    /// late.
    pub fn expected(
        &mut self,
        must: Time,
        estate: &Estate,
        now: Time,
        work: &mut u64,
    ) -> &Expected {
        let leases = &estate.pools[estate.pool_of(self.at.bay) as usize].ends;
        if self.expected.is_none() {
            let all = if leases.len() > LOOK_AHEAD_MAX {
                let takes_cards = self.takes_cards;
                [Soon { from: must, spare: self.spare, takes_cards }].into_iter().collect()
            } else {
                *work += leases.len() as u64;
                self.look_ahead(leases, estate, now)
            };
            self.expected = Some(all);
        }
        self.expected.as_ref().expect("looked for above")
    }

    /// Something was placed here that is expected to end at that moment.
    pub fn beside_soon(&mut self, end: Time, taken: &Resources) {
        for soon in self.expected.iter_mut().flatten().filter(|soon| end > soon.from) {
            soon.spare = soon.spare.checked_sub(taken).unwrap_or(Resources::ZERO);
        }
    }

    fn look_ahead(
        &self,
        leases: &BTreeSet<(Time, LeaseIx)>,
        estate: &Estate,
        now: Time,
    ) -> Expected {
        let node = estate.node(self.at);
        let here = leases.iter().filter(|(_, ix)| estate.seated.at(*ix) == Some(self.at));
        let end_of = |&(latest, ix): &(Time, LeaseIx)| {
            let expected = estate.leases[ix].end.expected;
            let late = now.since(expected);
            (if late > Span::ZERO { now.plus(late).min(latest) } else { expected }, ix)
        };
        let mut ends: Vec<(Time, LeaseIx)> = here.map(end_of).collect();
        ends.sort_unstable();
        let mut booked = node.booked.clone();
        let mut from = now;
        let followers = self.followers.iter().map(|follower| (&follower.need, 1));
        let mut heads = std::iter::once((&self.need, self.seats)).chain(followers).peekable();
        let mut found = Expected::new();
        let mut ends = ends.into_iter().peekable();
        while let Some(&(need, seats)) = heads.peek() {
            // All that ends at the same instant counts.
            let fits = || node.seats_with(&booked, need) >= seats;
            if ends.peek().is_none_or(|(end, _)| *end > from) && fits() {
                found.push(Soon::of(from, &node.free_with(&booked), need, seats));
                take(&mut booked, need, seats);
                heads.next();
                continue;
            }
            let Some((end, ix)) = ends.next() else { break };
            let lease = &estate.leases[ix];
            booked.sub(&lease.resources, lease.cards);
            from = from.max(end);
        }
        if found.is_empty() {
            // It was found to fit when all have ended.
            found.push(Soon::of(from, &node.free_with(&booked), &self.need, self.seats));
        }
        found
    }
}

/// So many seats are taken.
fn take(booked: &mut Booked, need: &Need, seats: u64) {
    let all = need.resources.checked_mul(seats).expect("it fits in the node");
    let cards =
        if booked.bank.is_empty() { None } else { booked.bank.choose(need.cards, &Islands::NONE) };
    booked.add(&all, cards.unwrap_or(Cards::NONE));
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BTreeMap;

    use dayan_units::{AttemptId, Bytes, JobId, MilliCpu, OrgId, PoolId, ProjectId, TaskId};
    use proptest::prelude::*;

    use super::*;
    use crate::change::{LeaseEnd, Tenure};
    use crate::estate::{Holder, Lease, NodeAt};
    use crate::quota::Payer;
    use crate::view::{NodeName, NodeView, PoolView};

    fn need(cores: u64) -> Need {
        let cpu = MilliCpu(cores * 1_000);
        Need::of(Resources { cpu, memory: Bytes(cores), ..Resources::ZERO })
    }
    fn at(second: i64) -> Time {
        Time::from_micros(second * 1_000_000)
    }
    fn head(priority: i32) -> JobKey {
        JobKey { priority: Reverse(priority), ..JobKey::LAST }
    }

    /// One node of sixteen cores.
    fn estate() -> (Estate, NodeAt) {
        let nodes = vec![NodeView::plain("n", need(16).resources)];
        let mut estate = Estate::default();
        estate.show_pool(&PoolView::plain(PoolId::from_bits(1), nodes));
        let bay = estate.pools[0].bays[0];
        (estate, NodeAt { bay, node: 0 })
    }

    fn book(estate: &mut Estate, nth: u128, cores: u64, expected: Time) {
        let attempt: AttemptId = TaskId { job: JobId::from_bits(nth), task: 0 }.attempt(1);
        let payer = Payer { project: ProjectId::from_bits(0), org: OrgId::from_bits(0) };
        let payers = estate.accounts.payers(payer, &BTreeMap::new());
        estate.book(Lease {
            holder: Holder::Attempt(attempt),
            pool: 0,
            payers,
            node: NodeName::new("n"),
            at: None,
            resources: need(cores).resources,
            cards: Cards::NONE,
            end: LeaseEnd { expected, latest: at(10_000) },
            tenure: Tenure::Kept,
        });
    }

    /// The node, held for the first of these, the others behind it.
    fn held(estate: &Estate, node: NodeAt, heads: &[(u64, i32)]) -> Reservation {
        let free = estate.node(node).booked.clone();
        let empty = Booked { used: Resources::ZERO, ..free };
        let mut held = Held::new(estate, node, &need(heads[0].0), 1, &empty);
        for &(cores, priority) in &heads[1..] {
            held.follow(Follower { head: head(priority), need: need(cores) });
        }
        Reservation { from: at(10_000), held: vec![held] }
    }

    proptest! {
        #[test]
        fn nobody_who_is_let_in_delays_who_has_more_priority(
            leases in proptest::collection::vec((1u64..6, 0i64..100), 0..8),
            heads in proptest::collection::vec((1u64..10, 1i32..4), 1..5),
            newcomers in proptest::collection::vec((1u64..6, 51i64..120, 0i32..3), 1..12),
        ) {
            let (now, mut heads) = (at(50), heads);
            heads.sort_by_key(|(_, priority)| Reverse(*priority));
            let (mut estate, node) = estate();
            for (nth, (cores, expected)) in (0..).zip(leases) {
                let fits = estate.node(node).fits_with(&estate.node(node).booked, &need(cores));
                if fits {
                    book(&mut estate, nth, cores, at(expected));
                }
            }
            let moments = |place: &mut Reservation, estate: &Estate| -> Vec<Time> {
                let from = place.from;
                let expected = place.held[0].expected(from, estate, now, &mut 0);
                expected.iter().map(|soon| soon.from).collect()
            };
            let mut place = held(&estate, node, &heads);
            let mut before = moments(&mut place, &estate);
            for (nth, (cores, end, priority)) in (100..).zip(newcomers) {
                let (need, end) = (need(cores), at(end));
                let newcomer = Newcomer { priority, end, need: &need };
                let top = head(heads[0].1);
                let fits = estate.node(node).fits_with(&estate.node(node).booked, &need);
                if !fits || !place.lets_in(0, top, &newcomer, (&estate, now), &mut 0) {
                    continue;
                }
                book(&mut estate, nth, cores, end);
                place.held[0].beside_soon(end, &need.resources);
                let after = moments(&mut held(&estate, node, &heads), &estate);
                let above = heads.iter().take_while(|head| head.1 > priority).count();
                for (nth, moment) in before.iter().enumerate().take(above) {
                    prop_assert!(after.get(nth).is_some_and(|after| after <= moment), "{nth}");
                }
                // Who has no more priority than the newcomer may start later for it.
                place = held(&estate, node, &heads);
                before = after;
            }
        }
    }
}
