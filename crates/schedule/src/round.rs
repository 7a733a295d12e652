//! One round: take the first class that may find room, place its head job's tasks, until nothing
//! more can be placed or the budget ends. A class that finds no room is left out until something
//! changed for it; before anything later is placed, it gets a reservation.
//!
//! Invariant: what is promised within the round is booked at once (as tentative seats), so the
//! round cannot promise it twice; decisions are made one after the other in queue order, so a
//! smaller budget gives the first part of the same plan.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use dayan_units::{OfferId, Resources, Span, TaskId, Time};
use smallvec::SmallVec;

use crate::ahead::AT_ONCE;
use crate::capped::Guards;
use crate::cards::Cards;
use crate::change::{LeaseEnd, Tenure};
use crate::estate::{BayIx, Holder, Lease, NodeAt, PoolIx};
use crate::fit_tree::{Need, Room};
use crate::judge::Choice;
use crate::later::When;
use crate::order::Keeps;
use crate::plan::{Atomicity, Placement, Plan, Refusal, Seat};
use crate::planner::Planner;
use crate::policy::Work;
use crate::queue::{ClassIx, Job, JobIx, JobKey, Standing};
use crate::quota::AccountIx;
use crate::reason::{ReasonCode, ReasonCount};
use crate::reserve::{EndBy, Held, Reservation, earliest_of};
use crate::search::{Search, are_equal, may_have_room};
use crate::short::{Floors, Leaves};
use crate::soon::{Follower, Newcomer};
use crate::verdict::all_closed;
use crate::waste::Mix;

pub(crate) fn run(planner: &mut Planner, now: Time, budget: Work) -> Plan {
    planner.settle(now);
    planner.packer.learn(Mix::of(&planner.estate.kinds));
    let mut round = Round::new(planner, now, budget);
    round.hear_news();
    round.keep_appointments();
    round.place_all();
    let preemptions = if round.exhausted { Vec::new() } else { round.preempt() };
    let refusals = round.refusals();
    round.unmask();
    round.grow();
    round.pass_on_news();
    let Round { work, placements, exhausted, .. } = round;
    planner.work_total += work;
    let revision = planner.revision;
    let work_used = Work(work);
    Plan { revision, now, placements, preemptions, refusals, work_used, exhausted }
}

pub(crate) struct Round<'a> {
    pub planner: &'a mut Planner,
    pub now: Time,
    pub budget: u64,
    pub work: u64,
    pub placements: Vec<Placement>,
    pub reservations: Vec<Promised>,
    /// Heads up to here have been given their reservations.
    reserved_upto: Option<JobKey>,
    news: News,
    /// Bays with a reserved node.
    reserved_bays: BTreeSet<BayIx>,
    /// Which classes found no room in which of those bays.
    shut_out: Vec<(ClassIx, BayIx)>,
    pub guards: Guards,
    pub floors: Floors,
    pub exhausted: bool,
}

/// A reservation, and whose it is.
pub(crate) struct Promised {
    pub head: JobKey,
    pub place: Reservation,
    /// How long the reserved job may run.
    pub limit: Span,
}

/// Room that came free, told to the classes that had found none, each at its turn: by then those
/// before it have taken theirs.
#[derive(Default)]
struct News {
    /// What each node has free now, and up to which head classes were told of it in rounds before.
    rooms: BTreeMap<NodeAt, (Option<JobKey>, Room)>,
    /// The most that any such node of a bay had free when the round began.
    bays: Vec<(BayIx, Room)>,
    /// The pools of all of them.
    pools: BTreeSet<PoolIx>,
    /// Classes with heads up to here have been told in this round.
    told_upto: Option<JobKey>,
}

/// To whom news are told.
#[derive(Clone, Copy)]
enum Tell {
    /// All of them: the class is to be tried anyway.
    All,
    /// Those that this head has not been told in a round before.
    NewTo(JobKey),
}

/// How the head job of a class fared.
enum Outcome {
    /// All its tasks that may start have a place.
    Placed,
    /// There is no room for a next one.
    NoRoom,
    /// Its quota has no room for a next one.
    OverQuota(AccountIx),
    /// The budget ended first.
    OutOfBudget,
}

/// A place found for one task.
pub(crate) struct Spot {
    pub at: NodeAt,
    pub choice: Choice,
    /// The reservation whose node it is, and the node's index in it.
    pub reserved: Option<(usize, usize)>,
}

impl<'a> Round<'a> {
    pub fn new(planner: &'a mut Planner, now: Time, budget: Work) -> Self {
        Self {
            planner,
            now,
            budget: budget.0,
            work: 0,
            placements: Vec::new(),
            reservations: Vec::new(),
            reserved_upto: None,
            news: News::default(),
            reserved_bays: BTreeSet::new(),
            shut_out: Vec::new(),
            guards: Guards::default(),
            floors: Floors::new(),
            exhausted: false,
        }
    }

    /// How long a task of the class may run, from now on.
    pub fn when(&self, class: ClassIx) -> When {
        When::now(self.now, self.planner.demand.classes[class].limit)
    }

    fn place_all(&mut self) {
        let mut turns = 0;
        while let Some((key, class)) = self.next() {
            if turns % AT_ONCE == 0 {
                self.planner.demand.read_ahead();
            }
            turns += 1;
            self.work += 1;
            if self.planner.demand.classes[class].stale {
                self.planner.rebuild(class, &mut self.work);
                continue;
            }
            self.reserve_before(key);
            self.look_again(class);
            let job = self.planner.demand.classes[class].head().expect("it is registered");
            let outcome = match self.planner.demand.jobs[job].gang {
                Some(gang) => self.place_gang(class, job, gang.size.max(1), key),
                None => self.place_tasks(class, job, key),
            };
            match outcome {
                Outcome::Placed => self.planner.demand.relink(job),
                Outcome::NoRoom => self.planner.demand.stand(class, Standing::NoRoom),
                Outcome::OverQuota(account) => self.cap(class, job, account),
                Outcome::OutOfBudget => {
                    self.exhausted = true;
                    return;
                }
            }
        }
    }

    /// The first class in queue order that may find room.
    fn next(&mut self) -> Option<(JobKey, ClassIx)> {
        loop {
            let demand = &self.planner.demand;
            let active = demand.active.first().copied();
            let after = match self.news.told_upto {
                Some(upto) => Bound::Excluded((upto, ClassIx::MAX)),
                None => Bound::Unbounded,
            };
            let told = || demand.no_room.range((after, Bound::Unbounded)).next().copied();
            let untold = if self.news.rooms.is_empty() { None } else { told() };
            let untold = untold.filter(|untold| active.is_none_or(|active| untold.0 < active.0));
            let (key, class) = untold.or(active)?;
            if self.work >= self.budget {
                self.exhausted = true;
                return None;
            }
            if untold.is_none() {
                self.tell(class, Tell::All);
                return Some((key, class));
            }
            self.work += 1;
            self.news.told_upto = Some(key);
            if self.tell(class, Tell::NewTo(key)) {
                self.planner.demand.stand(class, Standing::Active);
                return Some((key, class));
            }
        }
    }

    /// Collects what came free since each class last looked.
    fn hear_news(&mut self) {
        let mut has_less = false;
        for (&at, &told) in &self.planner.owed {
            let node = self.planner.estate.node(at);
            if !node.is_up() {
                has_less = true;
                continue;
            }
            self.news.pools.insert(self.planner.estate.pool_of(at.bay));
            let room = node.room_with(&node.booked);
            self.news.rooms.insert(at, (told, room));
            match self.news.bays.last_mut().filter(|bay| bay.0 == at.bay) {
                Some((_, most)) => *most = most.max(&room),
                None => self.news.bays.push((at.bay, room)),
            }
        }
        // Of a pool that has become smaller less is kept.
        if has_less {
            self.planner.demand.try_keepers();
        }
    }

    /// What was not told to all is kept for the next round.
    fn pass_on_news(&mut self) {
        self.planner.owed.clear();
        if self.exhausted {
            let upto = self.news.told_upto;
            let kept = self.news.rooms.iter().map(|(at, (told, _))| (*at, (*told).max(upto)));
            self.planner.owed.extend(kept);
        }
    }

    /// The class is to be tried out of its turn: it hears all news.
    pub fn hear(&mut self, class: ClassIx) {
        self.look_again(class);
        if self.tell(class, Tell::All) {
            self.planner.demand.stand(class, Standing::Active);
        }
    }

    /// Opens the bays where the class found no room before and may find some now; was there one?
    fn tell(&mut self, class: ClassIx, tell: Tell) -> bool {
        let Planner { demand, estate, .. } = &mut *self.planner;
        let class = &mut demand.classes[class];
        if class.stale {
            return false;
        }
        if class.key.keeps > Keeps::NOTHING {
            // What came free elsewhere in a pool counts for the room that is left there.
            let is_news = |choice: &Choice| self.news.pools.contains(&estate.pool_of(choice.bay));
            return class.choices.iter().any(is_news);
        }
        if class.closed.is_empty() {
            return false;
        }
        let mut opened = false;
        for (bay, most) in &self.news.bays {
            let fits = |room: &Room| class.needs.iter().any(|need| need.may_fit(room));
            if !class.closed.contains(*bay) || !fits(most) {
                continue;
            }
            let nodes = NodeAt { bay: *bay, node: 0 }..=NodeAt { bay: *bay, node: u32::MAX };
            let is_news = |told: &Option<JobKey>| match tell {
                Tell::All => true,
                Tell::NewTo(key) => told.is_none_or(|told| told < key),
            };
            let mut rooms = self.news.rooms.range(nodes).map(|(_, room)| room);
            if rooms.any(|(told, room)| is_news(told) && fits(room)) {
                class.closed.remove(*bay);
                class.cursor = 0;
                opened = true;
            }
        }
        opened
    }

    fn place_tasks(&mut self, class: ClassIx, job: JobIx, place: JobKey) -> Outcome {
        let (id, project) = {
            let job = &self.planner.demand.jobs[job];
            (job.key.job, job.project)
        };
        let may_run = self.planner.demand.may_run_more(job);
        let leaves = self.planner.demand.leaves(class, place, self.now);
        let leaves = leaves.as_ref();
        let mut seats: SmallVec<[Seat; 1]> = SmallVec::new();
        let mut last: Option<Spot> = None;
        let outcome = loop {
            if seats.len() as u64 >= may_run {
                break Outcome::Placed;
            }
            let Some(task) = self.planner.demand.jobs[job].pending.first() else {
                break Outcome::Placed;
            };
            if self.work >= self.budget && !seats.is_empty() {
                break Outcome::OutOfBudget;
            }
            self.work += 1;
            if let Some(account) = self.over_quota(class, job, place) {
                break Outcome::OverQuota(account);
            }
            // The first node that fits stays the first as long as it still fits.
            let still = |spot: &Spot| {
                self.still_fits(class, spot) && self.is_left(class, &spot.choice, leaves)
            };
            let spot = last.take().filter(still);
            let Some(spot) = spot.or_else(|| self.find(class, job, leaves)) else {
                break Outcome::NoRoom;
            };
            seats.push(self.book((class, job), TaskId { job: id, task }, &spot));
            self.planner.demand.jobs[job].pending.remove(task);
            self.took_quota(class, job, Some(place));
            last = Some(spot);
        };
        if !seats.is_empty() {
            // Relinking while tasks are left would be undone at once; the outcome says what holds.
            self.planner.demand.relink(job);
            let atomicity = Atomicity::Each;
            self.placements.push(Placement { job: id, project, atomicity, seats });
        }
        outcome
    }

    fn still_fits(&self, class: ClassIx, spot: &Spot) -> bool {
        if spot.reserved.is_some() {
            return false;
        }
        let when = self.when(class);
        let class = &self.planner.demand.classes[class];
        let node = self.planner.estate.node(spot.at);
        node.fits(&class.needs[usize::from(spot.choice.need)], when)
    }

    /// The best place for one task: of the best choices that are equal, the node whose expected
    /// waste grows least; after all choices, room on a reserved node that its job will not miss.
    pub fn find(&mut self, class: ClassIx, job: JobIx, leaves: Option<&Leaves>) -> Option<Spot> {
        self.close_full(class, leaves);
        let when = self.when(class);
        let Planner { estate, demand, packer, .. } = &mut *self.planner;
        let class_mut = &mut demand.classes[class];
        while let Some(&first) = class_mut.choices.get(class_mut.cursor) {
            if class_mut.closed.contains(first.bay) {
                class_mut.cursor += 1;
                continue;
            }
            let need = &class_mut.needs[usize::from(first.need)];
            let mut search = Search::new(need, when, packer);
            let equal = class_mut.choices[class_mut.cursor..].iter();
            for &choice in equal.take_while(|choice| are_equal(estate, &first, choice, need)) {
                if class_mut.closed.contains(choice.bay) {
                    continue;
                }
                let has_room = if may_have_room(estate, &choice, need) {
                    search.look_in(choice, &estate.bays[choice.bay], &mut self.work)
                } else {
                    self.work += 1;
                    false
                };
                if !has_room {
                    class_mut.closed.insert(choice.bay);
                    if self.reserved_bays.contains(&choice.bay) {
                        self.shut_out.push((class, choice.bay));
                    }
                }
                if search.is_done() {
                    break;
                }
            }
            if let Some((_, at, choice)) = search.best {
                return Some(Spot { at, choice, reserved: None });
            }
        }
        if self.reservations.is_empty() { None } else { self.find_reserved(class, job, leaves) }
    }

    /// Room on a reserved node: for work that ends in time, or beside the reserved job. Work of less
    /// priority must also be expected to, so that a job of more priority starts when it is expected
    /// to and not only when it must.
    fn find_reserved(
        &mut self,
        class: ClassIx,
        job: JobIx,
        leaves: Option<&Leaves>,
    ) -> Option<Spot> {
        let when = self.when(class);
        let full = self.full_bays(class, leaves);
        let Self { planner, reservations, work, now, .. } = self;
        let (estate, class) = (&planner.estate, &planner.demand.classes[class]);
        let job = &planner.demand.jobs[job];
        let (latest, expected) = ends(*now, class.limit, job);
        let mut best: Option<(usize, Spot)> = None;
        for (nth, Promised { head, place, .. }) in reservations.iter_mut().enumerate() {
            for index in 0..place.held.len() {
                *work += 1;
                let held = &place.held[index];
                let node = estate.node(held.at);
                let room = node.room_with(&node.booked);
                if !node.is_up()
                    || !class.needs.iter().any(|need| need.may_fit(&room))
                    || full.contains(&held.at.bay)
                {
                    continue;
                }
                let ranked = class.choices.iter().position(|c| c.bay == held.at.bay);
                let Some(rank) = ranked else { continue };
                let choice = class.choices[rank];
                let need = &class.needs[usize::from(choice.need)];
                let keeps_it = latest <= place.from || beside(held, &held.spare, need);
                if !keeps_it
                    || !node.fits(need, when)
                    || best.as_ref().is_some_and(|(least, _)| rank >= *least)
                {
                    continue;
                }
                let newcomer = Newcomer { priority: job.key.priority.0, end: expected, need };
                if !place.lets_in(index, *head, &newcomer, (estate, *now), work) {
                    continue;
                }
                let at = place.held[index].at;
                best = Some((rank, Spot { at, choice, reserved: Some((nth, index)) }));
            }
        }
        best.map(|(_, spot)| spot)
    }

    /// Books a place tentatively.
    pub fn book(&mut self, (class, ix): (ClassIx, JobIx), task: TaskId, spot: &Spot) -> Seat {
        let class = &self.planner.demand.classes[class];
        let need = class.needs[usize::from(spot.choice.need)];
        let job = &self.planner.demand.jobs[ix];
        let payers = job.payers.clone();
        let (latest, expected) = ends(self.now, class.limit, job);
        if let Some((nth, index)) = spot.reserved {
            let place = &mut self.reservations[nth].place;
            let held = &mut place.held[index];
            if latest > place.from {
                held.spare = held.spare.checked_sub(&need.resources).expect("it fits beside");
            }
            held.beside_soon(expected, &need.resources);
        }
        let pool_ix = self.planner.estate.pool_of(spot.at.bay);
        let node = self.planner.estate.node(spot.at);
        let cards = if node.booked.bank.is_empty() {
            Cards::NONE
        } else {
            let islands = &self.planner.estate.bays[spot.at.bay].make.islands;
            node.booked.bank.choose(need.cards, islands).expect("the node was found to fit")
        };
        let pool = &self.planner.estate.pools[pool_ix as usize];
        let seat = Seat {
            task: task.task,
            pool: pool.view.as_ref().expect("it is a choice").pool,
            node: node.name.clone(),
            offer: offer_of(pool, &spot.choice),
            resources: need.resources,
            cards,
        };
        let lease = self.planner.estate.book(Lease {
            holder: Holder::Seat(task),
            pool: pool_ix,
            payers,
            node: seat.node.clone(),
            at: Some(spot.at),
            resources: need.resources,
            cards,
            end: LeaseEnd { expected, latest },
            tenure: Tenure::Kept,
        });
        self.planner.seats.insert(task, lease);
        self.fill(pool_ix, &spot.choice, &need.resources);
        if let Some((_, room)) = self.news.rooms.get_mut(&spot.at) {
            let node = self.planner.estate.node(spot.at);
            *room = node.room_with(&node.booked);
        }
        self.planner.demand.seated(ix);
        seat
    }

    /// All members at once, each on a node of its own, in the first domain with room; or none.
    fn place_gang(&mut self, class_ix: ClassIx, job: JobIx, size: u32, place: JobKey) -> Outcome {
        if let Some(account) = self.over_quota(class_ix, job, place) {
            return Outcome::OverQuota(account);
        }
        let leaves = self.planner.demand.leaves(class_ix, place, self.now);
        let Some(spots) = self.find_gang(class_ix, u64::from(size), leaves.as_ref()) else {
            let class = &mut self.planner.demand.classes[class_ix];
            class.closed = all_closed(&class.choices);
            let shut = self.reserved_bays.iter().filter(|bay| class.closed.contains(**bay));
            self.shut_out.extend(shut.map(|bay| (class_ix, *bay)));
            return Outcome::NoRoom;
        };
        let (id, project) = {
            let job = &self.planner.demand.jobs[job];
            (job.key.job, job.project)
        };
        let tasks: Vec<u32> =
            self.planner.demand.jobs[job].pending.iter().take(size as usize).collect();
        let mut seats = SmallVec::new();
        for (task, spot) in tasks.into_iter().zip(&spots) {
            seats.push(self.book((class_ix, job), TaskId { job: id, task }, spot));
            self.planner.demand.jobs[job].pending.remove(task);
        }
        self.took_quota(class_ix, job, Some(place));
        self.placements.push(Placement {
            job: id,
            project,
            atomicity: Atomicity::AllOrNothing,
            seats,
        });
        Outcome::Placed
    }

    /// Places for so many members in the first domain that has room for them; where none has, in the
    /// one with the most, if it is enough for what the gang must have.
    pub fn find_gang(
        &mut self,
        class: ClassIx,
        size: u64,
        leaves: Option<&Leaves>,
    ) -> Option<Vec<Spot>> {
        let when = self.when(class);
        let floors = self.floors_of_domains(class, leaves);
        let class = &self.planner.demand.classes[class];
        let least = class.key.gang.map_or(size, |gang| u64::from(gang.at_least()));
        let mut most: Option<Vec<Spot>> = None;
        for (nth, domain) in class.domains.iter().enumerate() {
            let mut spots = Vec::new();
            let is_left = |spots: &[Spot]| match (leaves, spots.first()) {
                (Some(leaves), Some(first)) => {
                    let need = class.needs[usize::from(first.choice.need)].resources;
                    leaves.are_left(&floors[nth], &need, spots.len() as u64)
                }
                _ => true,
            };
            'domain: for &member in domain {
                let choice = class.choices[member as usize];
                let need = &class.needs[usize::from(choice.need)];
                let bay = &self.planner.estate.bays[choice.bay];
                let mut from = 0;
                while let Some(node) = bay.first_fit(need, when, from, &mut self.work) {
                    let at = NodeAt { bay: choice.bay, node };
                    let shown = self.planner.estate.node(at);
                    let left = size - spots.len() as u64;
                    for _ in 0..shown.seats_from(&shown.booked, need, when).min(left) {
                        spots.push(Spot { at, choice, reserved: None });
                    }
                    if spots.len() as u64 == size {
                        break 'domain;
                    }
                    from = node as usize + 1;
                }
            }
            if !is_left(&spots) {
                continue;
            }
            if spots.len() as u64 == size {
                return Some(spots);
            }
            let had = most.as_ref().map_or(0, Vec::len);
            if spots.len() as u64 >= least && spots.len() > had {
                most = Some(spots);
            }
        }
        most
    }

    /// Gives the waiting heads before this key their reservations, oldest first, up to the policy's
    /// number. Only when something after them could be placed is the search worth its work.
    pub fn reserve_before(&mut self, key: JobKey) {
        let most = self.planner.policy.reservations_max as usize;
        while self.reservations.len() < most {
            let next = match self.reserved_upto {
                None => self.planner.demand.no_room.first(),
                Some(upto) => {
                    let after = Bound::Excluded((upto, ClassIx::MAX));
                    let range = (after, Bound::Unbounded);
                    self.planner.demand.no_room.range(range).next()
                }
            };
            let Some(&(head, class)) = next.filter(|next| next.0 < key) else { return };
            self.reserved_upto = Some(head);
            // What was promised to it is its reservation.
            if self.planner.estate.appointed.contains_key(&head.job) {
                continue;
            }
            let leaves = self.planner.demand.leaves(class, head, self.now);
            let Some(place) = self.reservation_for(class, leaves.as_ref()) else {
                self.follow(head, class);
                continue;
            };
            for held in &place.held {
                self.planner.estate.mask(held.at);
                self.reserved_bays.insert(held.at.bay);
            }
            let limit = self.planner.demand.classes[class].limit;
            self.reservations.push(Promised { head, place, limit });
        }
    }

    /// The head has no place of its own, as all that would do are held for others: it follows them on
    /// the node that the fewest wait for, of those in the order of its choices.
    fn follow(&mut self, head: JobKey, class: ClassIx) {
        let most = self.planner.policy.reservations_max as usize;
        let class = &self.planner.demand.classes[class];
        if class.key.gang.is_some() {
            return;
        }
        let estate = &self.planner.estate;
        let held = self.reservations.iter_mut().flat_map(|promised| &mut promised.place.held);
        let would_do = held.filter_map(|held| {
            let waiting = held.followers.len() + 1;
            let rank = class.choices.iter().position(|choice| choice.bay == held.at.bay)?;
            let need = class.needs[usize::from(class.choices[rank].need)];
            let fits = estate.node(held.at).seats_empty(&need) > 0;
            (waiting < most && fits).then_some((waiting, rank, need, held))
        });
        if let Some((.., need, held)) = would_do.min_by_key(|(waiting, rank, ..)| (*waiting, *rank))
        {
            held.follow(Follower { head, need });
        }
    }

    pub fn reservation_for(
        &mut self,
        class: ClassIx,
        leaves: Option<&Leaves>,
    ) -> Option<Reservation> {
        let class = &self.planner.demand.classes[class];
        let gang = class.key.gang.map(|gang| (&*class.domains, u64::from(gang.at_least())));
        let places = (&*class.choices, &*class.needs, class.limit);
        let when = (self.now, EndBy::Latest);
        earliest_of(&self.planner.estate, places, gang, when, leaves, &mut self.work)
    }

    /// Lets the reserved nodes back in. Classes that they alone would have had room for look again
    /// next time.
    pub fn unmask(&mut self) {
        let mut rooms: BTreeMap<BayIx, Vec<Room>> = BTreeMap::new();
        let reserved = self.reservations.iter().flat_map(|promised| &promised.place.held);
        for held in reserved {
            self.planner.estate.unmask(held.at);
            let node = self.planner.estate.node(held.at);
            rooms.entry(held.at.bay).or_default().push(node.room_with(&node.booked));
        }
        for &(ix, bay) in &self.shut_out {
            let class = &mut self.planner.demand.classes[ix];
            let fits = |room: &Room| class.needs.iter().any(|need| need.may_fit(room));
            if rooms[&bay].iter().any(fits) {
                class.closed.remove(bay);
                class.cursor = 0;
                self.planner.demand.stand(ix, Standing::Active);
            }
        }
    }

    /// Why the first classes that wait do so.
    fn refusals(&self) -> Vec<Refusal> {
        let demand = &self.planner.demand;
        let most = self.planner.policy.refusals_listed_max as usize;
        let mut waiting: Vec<(JobKey, ClassIx)> =
            demand.no_room.iter().take(most).copied().collect();
        waiting.extend(demand.infeasible.iter().take(most));
        waiting.sort_unstable();
        waiting.truncate(most);
        let refusal = |(key, ix): (JobKey, ClassIx)| {
            let class = &demand.classes[ix];
            let mut pools: Vec<u32> = {
                let pool_of = |choice: &Choice| self.planner.estate.pool_of(choice.bay);
                class.choices.iter().map(pool_of).collect()
            };
            pools.sort_unstable();
            pools.dedup();
            let mut reasons: Vec<ReasonCount> =
                class.counts.iter().map(|(&code, &pools)| ReasonCount { code, pools }).collect();
            if !pools.is_empty() {
                let pools = u32::try_from(pools.len()).expect("pools are numbered in 32 bits");
                reasons.push(ReasonCount { code: ReasonCode::PoolBusy, pools });
            }
            Refusal { job: key.job, reasons }
        };
        waiting.into_iter().map(refusal).collect()
    }
}

/// Does it fit in what the reserved job leaves over? Cards are not shared with it, as only whole
/// sums are known of that moment, not which card is free.
fn beside(held: &Held, spare: &Resources, need: &Need) -> bool {
    need.resources.fits_in(spare) && !(held.takes_cards && need.resources.accel.0 > 0)
}

/// When a task that starts now ends: at the latest, and as expected.
fn ends(now: Time, limit: Span, job: &Job) -> (Time, Time) {
    let expected = job.expected.map_or(limit, |run| run.min(limit));
    (now.plus(limit), now.plus(expected))
}

fn offer_of(pool: &crate::estate::Pool, choice: &Choice) -> OfferId {
    pool.offers[usize::from(choice.offer)].offer
}
