//! When and where one task alone could start, by limits and in one bay: the walk of a [`Domain`] for what
//! nearly all heads of queues ask, over lists of one bay's nodes.
//!
//! Invariant: it finds what the walk of the domain finds. Knows nothing of queues.
//!
//! [`Domain`]: crate::reserve::Domain

use std::collections::BTreeMap;

use dayan_units::{Span, Time};
use rustc_hash::FxHashMap;

use crate::estate::{Booked, Estate, Node, NodeAt};
use crate::fit_tree::Need;
use crate::judge::Choice;
use crate::later::When;
use crate::reserve::{Held, Reservation};

/// A node as it will be, and whether it will have a seat.
struct Site {
    booked: Booked,
    seats: u64,
}

/// Where it looks, and for what.
pub(crate) struct Alone<'a> {
    pub estate: &'a Estate,
    pub choice: &'a Choice,
    pub need: &'a Need,
    /// How long the task may run.
    pub limit: Span,
}

impl Alone<'_> {
    /// The earliest moment not after `before` when there is a seat, and where.
    pub fn earliest(&self, now: Time, before: Time, work: &mut u64) -> Option<Reservation> {
        let Self { estate, need, .. } = *self;
        let bay_ix = self.choice.bay;
        let (bay, when) = (&estate.bays[bay_ix], When::now(now, self.limit));
        let pool = &estate.pools[bay.pool as usize];
        let here = |node: u32| NodeAt { bay: bay_ix, node };
        if let Some(node) = bay.first_fit(need, when, 0, work) {
            let booked = &bay.nodes[node as usize].booked;
            let held = vec![Held::new(estate, here(node), need, 1, booked)];
            return Some(Reservation { from: now, held });
        }
        // Most places cannot beat what was found already: nothing there ends early enough.
        let first_end = pool.ends.first();
        if pool.promised.is_empty() && first_end.is_none_or(|end| end.0.max(now) > before) {
            return None;
        }
        let may = |node: &Node| node.is_up() && !node.masked && node.seats_empty(need) > 0;
        let fresh = |node: &Node| Site { booked: node.booked.clone(), seats: 0 };
        let mut sites: FxHashMap<u32, Site> = FxHashMap::default();
        // As in a domain: nodes with promises are counted again when something of them is over.
        let mut promised: Vec<u32> = Vec::new();
        let mut over: BTreeMap<Time, Vec<u32>> = BTreeMap::new();
        for at in pool.promised.range(here(0)..=here(u32::MAX)) {
            let node = estate.node(*at);
            let Some(later) = node.later.as_ref().filter(|_| may(node)) else { continue };
            sites.insert(at.node, fresh(node));
            promised.push(at.node);
            for moment in later.moments(now, now).into_iter().take_while(|it| *it <= before) {
                over.entry(moment).or_default().push(at.node);
            }
        }
        let mut ends = pool.ends.iter().copied().peekable();
        let mut changed = promised.clone();
        let mut seats = 0;
        loop {
            let next = over.first_key_value().map(|(moment, _)| *moment);
            let end = ends.peek().map(|end| end.0);
            let moment = [end, next].into_iter().flatten().min()?.max(now);
            if moment > before {
                return None;
            }
            while let Some(first) = over.first_entry().filter(|first| *first.key() <= moment) {
                changed.extend(first.remove());
            }
            while let Some((_, ix)) = ends.next_if(|end| end.0 <= moment) {
                *work += 1;
                let Some(at) = estate.seated.at(ix).filter(|at| at.bay == bay_ix) else { continue };
                let node = estate.node(at);
                if !may(node) {
                    continue;
                }
                let lease = &estate.leases[ix];
                let site = sites.entry(at.node).or_insert_with(|| fresh(node));
                site.booked.sub(&lease.resources, lease.cards);
                if node.later.is_some() {
                    changed.push(at.node);
                    continue;
                }
                seats -= site.seats;
                site.seats = node.seats_with(&site.booked, need).min(1);
                seats += site.seats;
            }
            changed.sort_unstable();
            changed.dedup();
            let mut count = |nodes: &[u32], seats: &mut u64| {
                for node in nodes {
                    *work += 1;
                    let site = sites.get_mut(node).expect("put there above");
                    *seats -= site.seats;
                    let node = estate.node(here(*node));
                    let then = when.starting(moment);
                    site.seats = node.seats_from(&site.booked, need, then).min(1);
                    *seats += site.seats;
                }
            };
            count(&changed, &mut seats);
            changed.clear();
            if seats > 0 && !promised.is_empty() {
                count(&promised, &mut seats);
            }
            if seats > 0 {
                let free = sites.iter().filter(|(_, site)| site.seats > 0);
                let (node, site) = free.min_by_key(|(node, _)| **node)?;
                let held = vec![Held::new(estate, here(*node), need, 1, &site.booked)];
                return Some(Reservation { from: moment, held });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use dayan_units::{
        AttemptId, Bytes, JobId, MilliAccel, MilliCpu, OrgId, PoolId, ProjectId, Resources, TaskId,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::cards::{Cards, Islands};
    use crate::change::{Appointment, LeaseEnd, Tenure};
    use crate::estate::{Holder, Lease};
    use crate::quota::Payer;
    use crate::reserve::{Domain, EndBy};
    use crate::view::{NodeView, PoolView};

    fn take(cores: u64, cards: u64) -> Resources {
        Resources {
            cpu: MilliCpu(cores * 1_000),
            memory: Bytes(cores),
            disk: Bytes::ZERO,
            accel: MilliAccel(cards * 500),
        }
    }

    /// Eight nodes of two makes and sizes; leases where they fit, some of whose nodes are promised.
    fn estate(leases: &[(u32, u64, u64, i64)], promised: &[(u32, u64, i64, i64)]) -> Estate {
        let name = |nth: u32| format!("n{nth}");
        let node = |nth: u32| {
            let accelerator = (nth < 4).then(|| "card".to_owned());
            let total = take(4 + u64::from(nth % 2) * 4, if nth < 4 { 4 } else { 0 });
            NodeView { accelerator, ..NodeView::plain(&name(nth), total) }
        };
        let view = PoolView::plain(PoolId::from_bits(1), (0..8).map(node).collect());
        let mut estate = Estate::default();
        estate.show_pool(&view);
        let pool = estate.pool_ix(view.pool);
        let payer = Payer { project: ProjectId::from_bits(0), org: OrgId::from_bits(0) };
        let payers = estate.accounts.payers(payer, &BTreeMap::new());
        let at_of = |estate: &Estate, nth| {
            *estate.pools[pool as usize].names.get(name(nth).as_str()).expect("shown")
        };
        for (nth, &(node, cores, cards, latest)) in (0u128..).zip(leases) {
            let at = at_of(&estate, node);
            let need = Need::of(take(cores, cards));
            let shown = estate.node(at);
            if !shown.fits_with(&shown.booked, &need) {
                continue;
            }
            let cards = shown.booked.bank.choose(need.cards, &Islands::NONE).unwrap_or(Cards::NONE);
            let attempt: AttemptId = TaskId { job: JobId::from_bits(nth), task: 0 }.attempt(1);
            let end = Time::from_micros(latest * 1_000_000);
            let node = estate.node(at).name.clone();
            estate.book(Lease {
                holder: Holder::Attempt(attempt),
                pool,
                payers: payers.clone(),
                node,
                at: Some(at),
                resources: need.resources,
                cards,
                end: LeaseEnd { expected: end, latest: end },
                tenure: Tenure::Kept,
            });
        }
        for (nth, &(node, cores, from, length)) in (1_000u128..).zip(promised) {
            let made = Appointment {
                task: 0,
                pool: view.pool,
                node: name(node).as_str().into(),
                resources: take(cores, 0),
                from: Time::from_micros(from * 1_000_000),
                until: Time::from_micros((from + length) * 1_000_000),
                hold: false,
            };
            estate.appoint(JobId::from_bits(nth), &[made], |_, _| None);
        }
        estate
    }

    proptest! {
        #[test]
        fn it_finds_what_the_walk_of_a_domain_finds(
            leases in proptest::collection::vec((0u32..8, 1u64..9, 0u64..4, 1i64..200), 0..40),
            promised in proptest::collection::vec((0u32..8, 1u64..9, 1i64..200, 20i64..100), 0..6),
            (cores, cards) in (1u64..9, 0u64..4),
            (limit, before) in (1i64..300, 0i64..400),
        ) {
            let estate = estate(&leases, &promised);
            let need = Need::of(take(cores, cards));
            let (now, limit) = (Time::EPOCH, Span::from_secs(limit));
            let before = Time::from_micros(before * 1_000_000);
            for &bay in &estate.pools[0].bays {
                let choice = Choice { bay, offer: 0, need: 0, alternative: 0 };
                let (choices, needs) = ([choice], [need]);
                let domain = Domain {
                    choices: &choices,
                    members: &[0],
                    needs: &needs,
                    seats: 1,
                    limit,
                    leaves: None,
                };
                let alone = Alone { estate: &estate, choice: &choice, need: &need, limit };
                prop_assert_eq!(
                    alone.earliest(now, before, &mut 0),
                    domain.walk(&estate, now, before, EndBy::Latest, &mut 0)
                );
            }
        }
    }
}
