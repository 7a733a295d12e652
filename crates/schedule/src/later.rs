//! What a node has promised for later, and whether a task may run beside it until it ends.
//!
//! A node with promises keeps a list of its leases, so that what is left of them at a later moment
//! can be added up. All other nodes keep nothing. Invariant: where a task fits by [`Later::fits`],
//! every promise of the node can still be kept if leases end at their latest ends. Knows nothing of
//! queues; made of sums, so cards are counted whole.

use std::collections::BTreeMap;

use dayan_units::{Resources, Span, TaskId, Time};

use crate::cards::{CardBank, Cards, Islands};
use crate::estate::{Booked, LeaseIx, Node};
use crate::fit_tree::Need;

/// A task that has reached its limit is told to end, has a grace to do so, and its end must become
/// known: what is promised for a moment counts on nothing that may run until shortly before it.
pub const TURNOVER: Span = Span::from_secs(10);

/// What starts now may come so much closer to what is promised for later: it, or what runs there, may
/// have started that much later than was promised, because plans and commits take their time.
const LATE: Span = Span::from_secs(2);

/// The time a task would take: from its start to its limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct When {
    pub now: Time,
    pub from: Time,
    pub until: Time,
}

impl When {
    /// From now on.
    pub fn now(now: Time, limit: Span) -> Self {
        Self { now, from: now, until: now.plus(limit) }
    }
    /// How long must lie between an end and what is promised after it.
    const fn gap(self) -> Span {
        if self.from.micros() <= self.now.micros() { TURNOVER.minus(LATE) } else { TURNOVER }
    }
    /// The same length from another moment on.
    pub fn starting(self, from: Time) -> Self {
        Self { from, until: from.plus(self.until.since(self.from)), ..self }
    }
}

/// For whom a part of a node is kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum ClaimBy {
    /// A task with an appointment.
    Task(TaskId),
    /// A queue head, while an appointment is looked for.
    Head,
    /// Nobody: the node is closed.
    Closure,
}

/// A part of a node that is kept for a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Claim {
    pub by: ClaimBy,
    pub from: Time,
    pub until: Time,
    pub resources: Resources,
    /// The task holds its seat already: its lease stands for it.
    pub seated: bool,
}

impl Claim {
    /// When it is over at the latest. What has not begun in time is still to come, whole.
    fn end(&self, now: Time) -> Time {
        match self.by {
            ClaimBy::Closure => self.until,
            ClaimBy::Task(_) | ClaimBy::Head => {
                let late = now.since(self.from).max(Span::ZERO);
                self.until.plus(late).plus(TURNOVER)
            }
        }
    }
    fn is_at(&self, moment: Time, now: Time) -> bool {
        self.from <= moment && moment < self.end(now)
    }
}

/// A lease as it counts here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Occupant {
    pub latest: Time,
    pub resources: Resources,
    pub cards: Cards,
}

/// What a node has promised, and its leases.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Later {
    pub leases: BTreeMap<LeaseIx, Occupant>,
    /// By the moment they begin.
    pub claims: Vec<Claim>,
}

fn whole_cards(resources: &Resources) -> u64 {
    resources.accel.0.div_ceil(1_000)
}

impl Later {
    pub fn add(&mut self, claim: Claim) {
        let at =
            self.claims.partition_point(|other| (other.from, other.by) <= (claim.from, claim.by));
        self.claims.insert(at, claim);
    }

    /// May a task of this need run on the node for that time? `but` is the task whose own claim
    /// does not count.
    pub fn fits(&self, node: &Node, need: &Need, when: When, but: Option<TaskId>) -> bool {
        let counts = |claim: &&Claim| {
            !claim.seated && but.is_none_or(|task| claim.by != ClaimBy::Task(task))
        };
        let overlaps = |claim: &&Claim| {
            claim.from < when.until.plus(when.gap()) && when.from < claim.end(when.now)
        };
        let claims: Vec<&Claim> = self.claims.iter().filter(counts).filter(overlaps).collect();
        if claims.iter().any(|claim| claim.by == ClaimBy::Closure) {
            return false;
        }
        if claims.is_empty() && when.from <= when.now {
            return node.fits_with(&node.booked, need);
        }
        // What is taken only grows where a claim begins.
        let begins = claims.iter().map(|claim| claim.from).filter(|from| *from > when.from);
        std::iter::once(when.from).chain(begins).all(|moment| {
            let mut booked = self.booked_at(node, moment, when);
            let mut cards = 0;
            for claim in claims.iter().filter(|claim| claim.is_at(moment, when.now)) {
                booked.add(&claim.resources, Cards::NONE);
                cards += whole_cards(&claim.resources);
            }
            has_room(node, &booked, need, cards)
        })
    }

    /// What leases have booked at a moment, by their latest ends.
    fn booked_at(&self, node: &Node, moment: Time, when: When) -> Booked {
        if moment <= when.now {
            return node.booked.clone();
        }
        let bank = if node.booked.bank.is_empty() {
            CardBank::default()
        } else {
            CardBank::of(node.unit.accel)
        };
        let mut booked = Booked { used: Resources::ZERO, bank };
        for lease in self.leases.values().filter(|lease| lease.latest.plus(when.gap()) > moment) {
            booked.add(&lease.resources, lease.cards);
        }
        booked
    }

    /// The moments at which something of the node comes free, after `from`, in order.
    pub fn moments(&self, from: Time, now: Time) -> Vec<Time> {
        let ends = self.leases.values().map(|lease| lease.latest.plus(TURNOVER));
        let over = self.claims.iter().filter(|claim| !claim.seated).map(|claim| claim.end(now));
        let mut moments: Vec<Time> = ends.chain(over).filter(|moment| *moment > from).collect();
        moments.sort_unstable();
        moments.dedup();
        moments
    }

    /// The earliest moment from `when.from` on at which such a task could begin.
    pub fn earliest(&self, node: &Node, need: &Need, when: When, work: &mut u64) -> Option<Time> {
        let moments = std::iter::once(when.from).chain(self.moments(when.from, when.now));
        for moment in moments {
            *work += 1;
            if self.fits(node, need, when.starting(moment), None) {
                return Some(moment);
            }
        }
        None
    }
}

/// Beside what is booked, with so many cards kept for claims: a part of a card counts as a whole
/// one, because only the moment will show which card it is a part of.
fn has_room(node: &Node, booked: &Booked, need: &Need, cards_kept: u64) -> bool {
    if !need.resources.fits_in(&node.free_with(booked)) || !need.resources.fits_in(&node.unit) {
        return false;
    }
    if booked.bank.is_empty() || need.resources.accel.0 == 0 {
        return true;
    }
    if cards_kept == 0 {
        return booked.bank.choose(need.cards, &Islands::NONE).is_some();
    }
    u64::from(booked.bank.room().whole) >= cards_kept + whole_cards(&need.resources)
}
