//! Appointments: can this job be done by a deadline, whatever comes? Leases are counted by their
//! latest ends, appointments as they stand, and the waiting heads with their reservations. The
//! answer is a place and a moment for each task, or the earliest end there could be.
//!
//! Invariant: nothing that was promised is delayed by what is found here. Changes nothing: who
//! commits the answer says so with [`Change::Appointed`](crate::Change::Appointed).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use dayan_units::{Span, Time};

use crate::answer::NoAppointment;
use crate::ask::JobAsk;
use crate::change::Appointment;
use crate::estate::{LeaseIx, NodeAt, PoolIx};
use crate::fit_tree::Need;
use crate::hours::{Hours, best_first, waits_for};
use crate::judge::{Judge, Wish};
use crate::later::{Claim, ClaimBy, Later, Occupant, When};
use crate::planner::Planner;
use crate::policy::Work;
use crate::queue::JobKey;
use crate::round::Round;
use crate::score::Order;
use crate::verdict::{Verdict, window_of};

/// Nodes looked at for one job: an admission is a question, and asks no longer than a round takes.
const NODES_MAX: usize = 16_384;
/// Tasks of one job with appointments: each is a row of the state.
pub const APPOINTED_TASKS_MAX: u64 = 4_096;

/// A node that a task could go to.
struct Place {
    at: NodeAt,
    /// Index of the choice: less is better.
    rank: usize,
    need: Need,
    /// From the start of the lease to its end at the latest, with the inputs on the way.
    length: Span,
    later: Later,
}

/// When a task begins, and at which place.
#[derive(Clone, Copy)]
struct Found {
    from: Time,
    at: usize,
    /// Not sooner: it waits for that hour.
    hold: bool,
}

/// A choice in a time, and when a task could begin at its places, those first where it ends first.
struct Lane {
    rank: usize,
    opens: Time,
    closes: Time,
    /// Until it is looked at for the first time.
    ends: Option<BinaryHeap<Reverse<(Time, Time, usize)>>>,
}

impl Planner {
    /// Appointments for all waiting tasks of a job, so that all of it ends by then.
    ///
    /// # Errors
    /// With the earliest end that could be promised, or the reasons of the pools where none can.
    pub fn admit(
        &mut self,
        ask: &JobAsk,
        by: Time,
        now: Time,
    ) -> Result<Vec<Appointment>, NoAppointment> {
        self.mend_dirty();
        let heads = self.heads(now);
        let order = Order::of(&ask.prefer, &self.policy);
        let judge = self.judge(Wish::of(ask), &order, window_of(now));
        let verdict = self.verdict(&judge);
        if verdict.choices.is_empty() || ask.tasks.len() > APPOINTED_TASKS_MAX {
            return Err(self.nowhere(&judge, &verdict));
        }
        let start = ask.begin.map_or(now, |begin| begin.max(now));
        let wishes = waits_for(ask);
        let hours = if wishes.is_empty() {
            Vec::new()
        } else {
            // A run that fails must be able to go once more, and still be in time.
            best_first(&judge, &verdict, wishes, (start, by.minus(ask.ask.time.times(2))))
        };
        let search = Admission {
            planner: self,
            judge: &judge,
            verdict: &verdict,
            heads,
            occupants: BTreeMap::new(),
            read: BTreeSet::new(),
            places: Vec::new(),
            gathered: BTreeMap::new(),
            hours,
            by,
            now,
            start,
            work: 0,
        };
        let found = match ask.gang {
            Some(gang) => search.gang(usize::try_from(gang.size.max(1)).unwrap_or(1)),
            None => search.each(ask),
        };
        let found = found.ok_or_else(|| self.nowhere(&judge, &verdict))?;
        let places = &found.places;
        let ends = found.seats.iter().map(|seat| seat.from.plus(places[seat.at].length));
        let end = ends.max().unwrap_or(now);
        if end > by {
            return Err(NoAppointment { earliest_end: Some(end), reasons: Vec::new() });
        }
        let made = |(task, &Found { from, at, hold }): (u32, &Found)| {
            let place = &places[at];
            let pool = &self.estate.pools[self.estate.pool_of(place.at.bay) as usize];
            Appointment {
                task,
                pool: pool.view.as_ref().expect("it was judged").pool,
                node: self.estate.node(place.at).name.clone(),
                resources: place.need.resources,
                from,
                until: from.plus(place.length),
                hold,
            }
        };
        Ok(ask.tasks.iter().zip(&found.seats).map(made).collect())
    }

    /// The reservations of the waiting heads, as claims.
    fn heads(&mut self, now: Time) -> BTreeMap<NodeAt, Vec<Claim>> {
        let mut round = Round::new(self, now, Work::UNBOUNDED);
        round.reserve_before(JobKey::LAST);
        let mut claims: BTreeMap<NodeAt, Vec<Claim>> = BTreeMap::new();
        for promised in &round.reservations {
            let from = promised.place.from;
            for held in &promised.place.held {
                let resources = held.need.resources.checked_mul(held.seats);
                claims.entry(held.at).or_default().push(Claim {
                    by: ClaimBy::Head,
                    from,
                    until: from.plus(promised.limit),
                    resources: resources.expect("it fits in the node"),
                    seated: false,
                });
            }
        }
        round.unmask();
        claims
    }

    fn nowhere(&self, judge: &Judge<'_>, verdict: &Verdict) -> NoAppointment {
        let mut codes = BTreeSet::new();
        let first = verdict.refused.iter().filter(|(_, code)| codes.insert(*code));
        let reasons = first.map(|&(pool, code)| judge.reason(pool, code)).collect();
        NoAppointment { earliest_end: None, reasons }
    }
}

/// What was found: a moment and a place for each task, in the order of the tasks.
struct Admitted {
    seats: Vec<Found>,
    places: Vec<Place>,
}

struct Admission<'a> {
    planner: &'a Planner,
    judge: &'a Judge<'a>,
    verdict: &'a Verdict,
    /// What is reserved for those that wait, on nodes that were not looked at yet.
    heads: BTreeMap<NodeAt, Vec<Claim>>,
    /// What runs on nodes that were not looked at yet, of the pools that were.
    occupants: BTreeMap<NodeAt, BTreeMap<LeaseIx, Occupant>>,
    read: BTreeSet<PoolIx>,
    places: Vec<Place>,
    /// Those of each choice that was looked at.
    gathered: BTreeMap<usize, std::ops::Range<usize>>,
    /// Better hours, where the job waits for one.
    hours: Vec<Hours>,
    by: Time,
    now: Time,
    /// Nothing begins before.
    start: Time,
    work: u64,
}

impl Admission<'_> {
    /// The nodes of a choice, with what they have promised; the numbers of their places.
    fn gather(&mut self, rank: usize) -> std::ops::Range<usize> {
        if let Some(before) = self.gathered.get(&rank) {
            return before.clone();
        }
        let found = self.gather_new(rank);
        self.gathered.insert(rank, found.clone());
        found
    }

    fn gather_new(&mut self, rank: usize) -> std::ops::Range<usize> {
        let first = self.places.len();
        let choice = &self.verdict.choices[rank];
        let estate = &self.planner.estate;
        if estate.is_queue(choice.bay) {
            return first..first;
        }
        // Where the way of the inputs is not known, no moment can be promised.
        let Some(length) = self.length(rank) else { return first..first };
        let pool = estate.pool_of(choice.bay);
        if self.read.insert(pool) {
            self.occupants.append(&mut estate.occupants(pool));
        }
        let need = self.verdict.needs[usize::from(choice.need)];
        for (node, shown) in (0u32..).zip(&estate.bays[choice.bay].nodes) {
            if self.places.len() >= NODES_MAX {
                break;
            }
            if !shown.is_up() || shown.seats_empty(&need) == 0 {
                continue;
            }
            let at = NodeAt { bay: choice.bay, node };
            let mut later = match &shown.later {
                Some(later) => (**later).clone(),
                None => Later {
                    leases: self.occupants.remove(&at).unwrap_or_default(),
                    claims: Vec::new(),
                },
            };
            for claim in self.heads.remove(&at).unwrap_or_default() {
                later.add(claim);
            }
            self.places.push(Place { at, rank, need, length, later });
        }
        first..self.places.len()
    }

    /// From the start of a lease there to its end at the latest.
    fn length(&self, rank: usize) -> Option<Span> {
        let estate = &self.planner.estate;
        let pool = estate.pool_of(self.verdict.choices[rank].bay);
        let pool = &estate.pools[pool as usize];
        let view = pool.view.as_ref().expect("it was judged");
        Some(self.judge.wish.ask.time.plus(self.judge.transfer(pool, view)?))
    }

    /// All tasks at the best choice and at once, where that has the room and nobody waits for it:
    /// nothing could be better, and most jobs are like that.
    fn at_once(&mut self, ask: &JobAsk) -> Option<Vec<Found>> {
        let tasks = ask.tasks.len();
        if self.hours.first().is_some_and(|best| best.rank != 0 || best.opens > self.start) {
            return None;
        }
        let length = self.length(0)?;
        let in_time = self.start == self.now && self.now.plus(length) <= self.by;
        if !in_time || ask.max_parallel.is_some_and(|most| u64::from(most) < tasks) {
            return None;
        }
        let choice = &self.verdict.choices[0];
        if self.planner.estate.is_queue(choice.bay) {
            return None;
        }
        let need = self.verdict.needs[usize::from(choice.need)];
        let bay = &self.planner.estate.bays[choice.bay];
        let when = When { now: self.now, from: self.now, until: self.now.plus(length) };
        let (mut from, mut seats, mut places) = (0, Vec::new(), Vec::new());
        while let Some(node) = bay.first_fit(&need, when, from, &mut self.work) {
            from = node as usize + 1;
            let at = NodeAt { bay: choice.bay, node };
            if self.heads.contains_key(&at) {
                continue;
            }
            let left = tasks - seats.len() as u64;
            let here = bay.nodes[node as usize].times_beside(&need, when, left);
            let found = Found { from: self.now, at: places.len(), hold: false };
            seats.extend(std::iter::repeat_n(found, usize::try_from(here).unwrap_or(0)));
            let later = Later { leases: BTreeMap::new(), claims: Vec::new() };
            places.push(Place { at, rank: 0, need, length, later });
            if seats.len() as u64 == tasks {
                self.places = places;
                return Some(seats);
            }
        }
        None
    }

    fn earliest(&mut self, at: usize, from: Time) -> Option<Time> {
        let place = &self.places[at];
        let when = When { now: self.now, from, until: from.plus(place.length) };
        let node = self.planner.estate.node(place.at);
        place.later.earliest(node, &place.need, when, &mut self.work)
    }

    fn claim(&mut self, at: usize, from: Time) {
        let place = &mut self.places[at];
        place.later.add(Claim {
            by: ClaimBy::Head,
            from,
            until: from.plus(place.length),
            resources: place.need.resources,
            seated: false,
        });
    }

    /// A moment for each task, one after the other: at the best choice where it ends in time, and
    /// where it does nowhere, wherever it ends first.
    fn each(mut self, ask: &JobAsk) -> Option<Admitted> {
        if let Some(seats) = self.at_once(ask) {
            return Some(Admitted { seats, places: self.places });
        }
        // Better hours first, the best before all others; then the choices at any time, those
        // behind when those before them do not do.
        let waiting = self.hours.iter().map(|hours| (hours.rank, hours.opens, hours.closes));
        let anytime = (0..self.verdict.choices.len()).map(|rank| (rank, self.start, Time::NEVER));
        let mut lanes: Vec<Lane> = waiting
            .chain(anytime)
            .map(|(rank, opens, closes)| Lane { rank, opens, closes, ends: None })
            .collect();
        let mut running: BinaryHeap<Reverse<Time>> = BinaryHeap::new();
        let mut seats = Vec::new();
        for _ in ask.tasks.iter() {
            let mut not_before = self.start;
            if ask.max_parallel.is_some_and(|most| running.len() >= most.max(1) as usize) {
                let Reverse(end) = running.pop().expect("as many as may run");
                not_before = end;
            }
            let mut chosen: Option<(Time, Time, usize, usize)> = None;
            for (nth, lane) in lanes.iter_mut().enumerate() {
                let Some((end, from, at)) = self.first(lane, not_before) else { continue };
                if from >= lane.closes || (nth < self.hours.len() && end > self.by) {
                    continue;
                }
                if chosen.is_none_or(|(least, ..)| end < least) {
                    chosen = Some((end, from, at, nth));
                }
                if end <= self.by {
                    break;
                }
            }
            let (end, from, at, nth) = chosen?;
            self.claim(at, from);
            let next = self.earliest(at, from);
            let ends = lanes[nth].ends.as_mut().expect("it was found there");
            ends.pop();
            if let Some(next) = next {
                ends.push(Reverse((next.plus(self.places[at].length), next, at)));
            }
            running.push(Reverse(end));
            let hold = nth < self.hours.len() && lanes[nth].opens > self.start;
            seats.push(Found { from, at, hold });
        }
        Some(Admitted { seats, places: self.places })
    }

    /// When and where a task could begin first in a lane. The earliest moment of each place only
    /// moves back, so what was true of the first in the heap is looked at again before it is believed.
    fn first(&mut self, lane: &mut Lane, not_before: Time) -> Option<(Time, Time, usize)> {
        let ends = lane.ends.get_or_insert_with(|| self.ends(lane.rank, lane.opens));
        while let Some(&Reverse((end, from, at))) = ends.peek() {
            let now_from = self.earliest(at, from.max(not_before));
            if now_from == Some(from) {
                return Some((end, from, at));
            }
            ends.pop();
            if let Some(now_from) = now_from {
                ends.push(Reverse((now_from.plus(self.places[at].length), now_from, at)));
            }
        }
        None
    }

    /// When a task could begin at the places of a choice, those first where it ends first.
    fn ends(&mut self, rank: usize, opens: Time) -> BinaryHeap<Reverse<(Time, Time, usize)>> {
        let mut ends = BinaryHeap::new();
        for at in self.gather(rank) {
            if let Some(from) = self.earliest(at, opens) {
                ends.push(Reverse((from.plus(self.places[at].length), from, at)));
            }
        }
        ends
    }

    /// One moment for all members, each on a node of its own: in the first domain where it is in
    /// time, and where it is in none, wherever it is earliest.
    fn gang(mut self, size: usize) -> Option<Admitted> {
        let verdict = self.verdict;
        for rank in 0..verdict.choices.len() {
            self.gather(rank);
        }
        let members = |domain: &Vec<u32>, places: &[Place]| -> Vec<usize> {
            let ranks: BTreeSet<usize> = domain.iter().map(|&rank| rank as usize).collect();
            (0..places.len()).filter(|at| ranks.contains(&places[*at].rank)).collect()
        };
        // In a better hour, a domain being judged by its best choice.
        for hours in std::mem::take(&mut self.hours) {
            let best =
                |domain: &&Vec<u32>| domain.first().is_some_and(|&r| r as usize == hours.rank);
            let Some(domain) = verdict.domains.iter().find(best) else { continue };
            let members = members(domain, &self.places);
            let Some((mut seats, end)) = self.together(&members, size, hours.opens) else {
                continue;
            };
            if seats[0].from < hours.closes && end <= self.by {
                for seat in &mut seats {
                    seat.hold = hours.opens > self.start;
                }
                return Some(Admitted { seats, places: self.places });
            }
        }
        let mut best: Option<(Time, Vec<Found>)> = None;
        for domain in &verdict.domains {
            let members = members(domain, &self.places);
            let Some((seats, end)) = self.together(&members, size, self.start) else { continue };
            if best.as_ref().is_none_or(|(least, _)| end < *least) {
                best = Some((end, seats));
            }
            if end <= self.by {
                break;
            }
        }
        best.map(|(_, seats)| Admitted { seats, places: self.places })
    }

    /// The earliest moment from then on at which so many of these places are free together, and when
    /// all of them end at the latest.
    fn together(
        &mut self,
        members: &[usize],
        size: usize,
        mut from: Time,
    ) -> Option<(Vec<Found>, Time)> {
        loop {
            let mut moments: Vec<(Time, usize)> = Vec::new();
            for &at in members {
                if let Some(moment) = self.earliest(at, from) {
                    let count = self.planner.estate.node(self.places[at].at).count as usize;
                    let seats = self.seats(at, moment, count.min(size));
                    moments.extend(std::iter::repeat_n((moment, at), seats));
                }
            }
            moments.sort_unstable();
            // Before this moment there are too few; at it there are enough, if none that was free
            // sooner is taken again by then.
            let moment = moments.get(size - 1)?.0;
            let mut seats: Vec<Found> = Vec::new();
            let candidates: BTreeSet<usize> =
                moments.iter().filter(|(first, _)| *first <= moment).map(|(_, at)| *at).collect();
            for at in candidates {
                let count = self.planner.estate.node(self.places[at].at).count as usize;
                let here = self.seats(at, moment, count.min(size - seats.len()));
                let found = Found { from: moment, at, hold: false };
                seats.extend(std::iter::repeat_n(found, here));
                if seats.len() == size {
                    let ends = seats.iter().map(|seat| moment.plus(self.places[seat.at].length));
                    let end = ends.max()?;
                    return Some((seats, end));
                }
            }
            // Something that is free now is taken then: go on from the next moment.
            let next = |&at: &usize| {
                let later = &self.places[at].later;
                later.moments(moment, self.now).first().copied()
            };
            from = members.iter().filter_map(next).min()?;
        }
    }

    /// How many seats, at most so many, a place has from a moment on.
    fn seats(&self, at: usize, moment: Time, most: usize) -> usize {
        let place = &self.places[at];
        let node = self.planner.estate.node(place.at);
        let when = When { now: self.now, from: moment, until: moment.plus(place.length) };
        let fits = |seats: &usize| {
            let all = place.need.resources.checked_mul(*seats as u64);
            let all = all.map(|all| if *seats == 1 { place.need } else { Need::of(all) });
            all.is_some_and(|all| place.later.fits(node, &all, when, None))
        };
        (1..=most).take_while(fits).count()
    }
}
