//! The planner's placements: each is checked again against what holds now, priced, and backed by a
//! hold. A gang gets all of its leases or none.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_identity::Status;
use dayan_ledger::{Amount, Transfer, TransferKind};
use dayan_market::{QuoteLine, Terms};
use dayan_units::{JobId, Micro, PoolId, Resources, Span};

use super::{Ask, Decision};
use crate::authorize::{Action, Resource, authorize};
use crate::command::{Actor, Place, Seat};
use crate::event::Event;
use crate::ids::{accounts, codes, hold_id};
use crate::refusal::{Refusal, RefusalKind};
use crate::state::{
    Backing, GangLaunch, Gate, Job, JobEnd, Lease, Phase, QUEUE_NODE, StoredSpec, UsageMark,
    mode_at,
};

/// Launch slots of gangs in one pool: each stands for a range of ports on its nodes.
const GANG_SLOTS: u32 = 4_096;

/// No lease is shorter, whatever a job asks for. An agent counts it from when it sent the sync that
/// brought it, and the answer to that is held back for up to 25 s: a shorter one would be over as
/// it came.
const LEASE_MIN: Span = Span::from_secs(30);

pub(super) fn stale(code: &'static str, message: impl Into<String>) -> Refusal {
    Refusal::conflict(code, message, "nothing to do: the planner will plan it again")
}

impl Ask<'_> {
    /// What there is no money for is placed with the least that will do: more of a range is no reason
    /// to wait, nor to be stopped halfway.
    pub(super) fn place(&self, place: &Place) -> Result<Decision, Refusal> {
        let done = self.place_as_is(place);
        let short = match &done {
            Ok(decision) => !self.lasts(place.job, decision),
            Err(refusal) => refusal.kind == RefusalKind::Unaffordable,
        };
        if !short {
            return done;
        }
        self.least_of(place).map_or(done, |least| self.place_as_is(&least))
    }

    /// Does what is left pay for these leases to the end of their time limits?
    fn lasts(&self, job: JobId, decision: &Decision) -> bool {
        let Ok(job) = self.job(job, Action::Update) else { return true };
        let project = &self.state.access.projects[&job.project];
        let periods = self.state.settings.periods(self.now);
        let limit = self.state.work.spec_of(job).job_limit();
        let left = project.budget.left(&periods, job.id, limit);
        let Some(left) = left.filter(|_| job.quote.is_none()) else { return true };
        let leases = decision.events.iter().filter_map(|event| match event {
            Event::Leased { lease, .. } => Some(lease),
            _ => None,
        });
        let whole = |lease: &Lease| lease.terms.price(&lease.resources, lease.time_limit).ok();
        let total = leases.map(|lease| whole(lease).unwrap_or(Micro::MAX));
        total.fold(Micro::ZERO, |sum, price| sum.checked_add(price).unwrap_or(Micro::MAX)) <= left
    }

    fn place_as_is(&self, place: &Place) -> Result<Decision, Refusal> {
        if *self.actor != Actor::System {
            authorize(self.actor, Resource::Exchange, Action::Update, None)?;
        }
        let job = self.job(place.job, Action::Update)?;
        let stored = self.state.work.spec_of(job);
        if job.gate == Gate::Paused {
            return Err(stale("place.paused", format!("{} is paused", job.id)));
        }
        if let Some(begin) = stored.spec.begin.filter(|begin| *begin > self.now) {
            return Err(stale("place.begin", format!("{} begins at {begin}", job.id)));
        }
        self.check_tasks(job, stored, place)?;
        self.check_waits(job, place)?;
        self.check_room(place)?;
        self.check_queue(place, stored)?;
        self.check_quota(job, place)?;
        self.check_licenses(job, place)?;
        self.check_promises(place, stored.spec.time_limit())?;
        let gang = self.gang_launch(stored, place);
        let mut leases = Vec::with_capacity(place.seats.len());
        let mut holds = Vec::with_capacity(place.seats.len());
        let mut total = Micro::ZERO;
        for seat in &place.seats {
            let (lease, hold) = self.lease(job, stored, seat, gang.clone())?;
            total = total.checked_add(lease.held).unwrap_or(Micro::MAX);
            holds.extend(hold);
            leases.push((lease, hold));
        }
        let mut warnings = Vec::new();
        if job.quote.is_none() {
            let project = &self.state.access.projects[&job.project];
            let periods = self.state.settings.periods(self.now);
            match project.budget.admit(&periods, job.id, stored.job_limit(), total) {
                Ok(found) => warnings = found,
                Err(refusal) => {
                    return self
                        .give_up(job, stored)
                        .ok_or_else(|| self.budget_refusal(&refusal, project));
                }
            }
        }
        self.state.ledger.check_linked(&holds).map_err(|(_, status)| Refusal::from(status))?;
        let mut decision = Decision::default();
        decision.events.extend(self.shrunk(job, place));
        for (lease, transfer) in leases {
            decision.wake(lease.agent);
            decision.events.push(Event::Leased { lease: Box::new(lease), transfer });
        }
        decision.warn(job.project, job.id, warnings);
        Ok(decision)
    }

    /// A job whose own limit pays for none of its tasks any more, at nobody's price, ends rather
    /// than wait for ever. While something of it runs, money may still come back.
    fn give_up(&self, job: &Job, stored: &StoredSpec) -> Option<Decision> {
        let limit = stored.job_limit()?;
        if !(job.active.is_empty() && job.members_ended.is_empty()) {
            return None;
        }
        let project = &self.state.access.projects[&job.project];
        let org = &self.state.access.orgs[&job.org];
        let least = job.queued.iter().map(|task| job.memory_of(task)).min().flatten();
        let one = self.cheapest_first_hold(stored, least, org)?;
        let members = stored.spec.gang.as_ref().map_or(1, |gang| i64::from(gang.least()));
        let least = one.0.saturating_mul(members);
        if project.budget.job(job.id).used().0.saturating_add(least) <= limit.0 {
            return None;
        }
        let tasks = job.queued.clone();
        let mut decision = Decision::one(Event::TasksCancelled { job: job.id, tasks });
        decision.events.push(self.job_ended(job, JobEnd::Unfunded));
        Some(decision)
    }

    fn check_tasks(&self, job: &Job, stored: &StoredSpec, place: &Place) -> Result<(), Refusal> {
        let mut seen = std::collections::BTreeSet::new();
        for seat in &place.seats {
            if !job.queued.contains(seat.task) || !seen.insert(seat.task) {
                return Err(stale(
                    "place.not_queued",
                    format!("task {} of {} does not wait", seat.task, job.id),
                ));
            }
            if self.need_of(job, stored, seat).is_none() {
                return Err(stale(
                    "place.resources",
                    format!("{} is not what a task of {} asks for", seat.resources, job.id),
                ));
            }
        }
        if let Some(gang) = &stored.spec.gang {
            let ranks = (0..gang.nodes).zip(&place.seats).all(|(rank, seat)| seat.task == rank);
            let members = u32::try_from(place.seats.len()).unwrap_or(u32::MAX);
            if !ranks || members < gang.least() || members > gang.nodes {
                let message = format!("{members} of {} members of a gang", gang.nodes);
                return Err(stale("place.gang", message));
            }
        }
        Ok(())
    }

    /// The least that will do of what a seat is of, if it has no more cores than are of use.
    fn need_of(&self, job: &Job, stored: &StoredSpec, seat: &Seat) -> Option<Resources> {
        if seat.resources.cpu > stored.spec.resources.most_cpus() {
            return None;
        }
        let mut needs = self.state.work.needs(job, seat.task);
        needs.find(|need| need.fits_in(&seat.resources))
    }

    /// The same seats with the fewest cores that will do, where some have more.
    fn least_of(&self, place: &Place) -> Option<Place> {
        let job = self.job(place.job, Action::Update).ok()?;
        let stored = self.state.work.spec_of(job);
        let mut least = place.clone();
        for seat in &mut least.seats {
            seat.resources.cpu = self.need_of(job, stored, seat)?.cpu;
        }
        (least.seats != place.seats).then_some(least)
    }

    /// A gang that starts with fewer members than it would like: the others are left out of this
    /// launch.
    fn shrunk(&self, job: &Job, place: &Place) -> Option<Event> {
        let mut tasks = job.queued.clone();
        self.state.work.spec_of(job).spec.gang.as_ref()?;
        tasks.subtract(&place.seats.iter().map(|seat| seat.task).collect());
        (!tasks.is_empty()).then_some(Event::GangShrunk { job: job.id, tasks })
    }

    /// No node is promised more than it has shown, this placement included.
    fn check_room(&self, place: &Place) -> Result<(), Refusal> {
        let mut asked: BTreeMap<(PoolId, &str), Resources> = BTreeMap::new();
        for seat in &place.seats {
            let pool = self
                .state
                .supply
                .pools
                .get(&seat.pool)
                .filter(|pool| pool.status == Status::Active)
                .ok_or_else(|| stale("place.pool", format!("{} takes no work", seat.pool)))?;
            let capacity = pool
                .shown
                .capacity_of(&seat.node)
                .ok_or_else(|| stale("place.node", format!("`{}` takes no work", seat.node)))?;
            let load = self.state.work.load.get(&seat.pool);
            let entry = asked.entry((seat.pool, seat.node.as_str())).or_insert_with(|| {
                load.and_then(|nodes| nodes.get(&seat.node)).copied().unwrap_or(Resources::ZERO)
            });
            let taken = entry.checked_add(&seat.resources);
            match taken.filter(|taken| taken.fits_in(&capacity)) {
                Some(taken) => *entry = taken,
                None => {
                    return Err(stale(
                        "place.full",
                        format!("`{}` has not enough room", seat.node),
                    ));
                }
            }
        }
        Ok(())
    }

    /// In a pool's own queue wait single tasks that may run for a short time only.
    fn check_queue(&self, place: &Place, stored: &StoredSpec) -> Result<(), Refusal> {
        let may_wait = |seat: &Seat| {
            let queue = self.state.supply.pools.get(&seat.pool).and_then(|pool| pool.shown.queue);
            queue.is_some_and(|queue| {
                stored.spec.gang.is_none()
                    && stored.spec.time_limit() <= queue.time_max
                    && seat.resources.fits_in(&queue.unit)
            })
        };
        match place.seats.iter().find(|seat| seat.node == QUEUE_NODE && !may_wait(seat)) {
            None => Ok(()),
            Some(seat) => Err(stale(
                "place.queue",
                format!("task {} may not wait in the queue of {}", seat.task, seat.pool),
            )),
        }
    }

    /// Nothing is started where it would run into what was promised to others, or into a closure.
    fn check_promises(&self, place: &Place, limit: Span) -> Result<(), Refusal> {
        let pools = &self.state.supply.pools;
        let is_open =
            |seat: &Seat| pools.get(&seat.pool).is_none_or(|pool| pool.closures.is_empty());
        if self.state.work.promises.is_empty() && place.seats.iter().all(is_open) {
            return Ok(());
        }
        let mut stays = Vec::with_capacity(place.seats.len());
        for seat in &place.seats {
            stays.push(super::promises::Stay {
                task: dayan_units::TaskId { job: place.job, task: seat.task },
                pool: seat.pool,
                node: &seat.node,
                resources: seat.resources,
                from: self.now,
                until: self.now.plus(limit),
            });
        }
        self.check_stays(&stays).map_err(|message| stale("place.promised", message))
    }

    fn gang_launch(&self, stored: &StoredSpec, place: &Place) -> Option<GangLaunch> {
        stored.spec.gang.as_ref()?;
        let pools: std::collections::BTreeSet<PoolId> =
            place.seats.iter().map(|seat| seat.pool).collect();
        let taken: std::collections::BTreeSet<u32> = self
            .state
            .work
            .leases
            .values()
            .filter(|lease| pools.contains(&lease.pool))
            .filter_map(|lease| lease.gang.as_ref().map(|gang| gang.slot))
            .collect();
        let slot = (0..GANG_SLOTS).find(|slot| !taken.contains(slot)).unwrap_or(0);
        let nodes = Arc::new(place.seats.iter().map(|seat| seat.node.clone()).collect());
        Some(GangLaunch { nodes, slot })
    }

    fn lease(
        &self,
        job: &Job,
        stored: &StoredSpec,
        seat: &Seat,
        gang: Option<GangLaunch>,
    ) -> Result<(Lease, Option<Transfer>), Refusal> {
        let spec = stored.spec.as_ref();
        let org = &self.state.access.orgs[&job.org];
        let pool = &self.state.supply.pools[&seat.pool];
        let listed = self.state.supply.offers.get(&seat.offer);
        let (mode, terms) = match job.quote {
            Some((quote, _)) => {
                let line = self.quoted(quote, seat)?;
                // What was sold stays sold, also when the offer has gone.
                let mode = line.mode.unwrap_or_else(|| mode_at(spec, listed));
                (mode, Terms::quoted(line, Micro::ZERO))
            }
            None => {
                let mode = mode_at(spec, listed);
                let offer = listed
                    .filter(|offer| offer.pool == seat.pool)
                    .ok_or_else(|| stale("place.offer", "the offer is no longer listed"))?;
                offer
                    .admits(&seat.resources, None, org.class, self.now)
                    .map_err(|no| stale("place.offer", no.to_string()))?;
                let rate = offer.rate_at(self.now, self.state.settings.zone);
                let terms = Terms::listed(offer, rate, org.class, mode)
                    .map_err(|no| stale("place.offer", no.to_string()))?;
                (mode, terms)
            }
        };
        let limit = spec.time_limit();
        let over = |refusal: dayan_market::RatingRefusal| {
            Refusal::invalid(refusal.code(), refusal.to_string(), refusal.advice())
        };
        let hour = terms.price(&seat.resources, Span::from_secs(3_600)).map_err(over)?;
        if let Some(cap) = &spec.market.max_unit_price
            && hour > cap.per_hour.micro
        {
            return Err(stale("place.unit_price", format!("{hour} an hour is over the limit")));
        }
        let settlement = &self.state.settings.settlement;
        let first = settlement.first_hold(&terms, &seat.resources, limit).map_err(over)?;
        let before = job.tries.get(&seat.task).map_or(0, |tries| tries.attempts);
        let attempt = dayan_units::TaskId { job: job.id, task: seat.task }.attempt(before + 1);
        let (backing, held, transfer) = match job.quote {
            Some((quote, _)) => {
                (Backing::Quote(crate::ids::quote_hold_id(quote)), Micro::ZERO, None)
            }
            None => {
                let id = hold_id(attempt);
                let transfer = Amount::new(first).map(|amount| Transfer {
                    id,
                    kind: TransferKind::Hold {
                        debit: org.account,
                        credit: accounts::own(accounts::CLEARING),
                        amount,
                        until: None,
                    },
                    code: codes::LEASE_HOLD,
                    user_data: job.id.bits(),
                    at: self.now,
                });
                (Backing::Own(id), first, transfer)
            }
        };
        let next = settlement.next(self.now, self.now, limit);
        let lease = Lease {
            attempt,
            agent: pool.agent,
            pool: seat.pool,
            node: seat.node.clone(),
            on_node: None,
            resources: seat.resources,
            cards: seat.cards,
            offer: seat.offer,
            terms,
            mode,
            placed_at: self.now,
            keep: spec.on_lost_link.keep.max(LEASE_MIN),
            time_limit: limit,
            revision: 0,
            phase: Phase::Leased,
            stop: None,
            room_free: false,
            backing,
            held,
            captured: Micro::ZERO,
            windows: 0,
            billed: Span::ZERO,
            window_due: next.prolong_at.unwrap_or(next.capture_at).min(next.capture_at),
            usage: UsageMark::default(),
            gang,
        };
        Ok((lease, transfer))
    }

    fn quoted(&self, quote: dayan_units::QuoteId, seat: &Seat) -> Result<&QuoteLine, Refusal> {
        let given = self.state.work.quotes.get(&quote);
        given.and_then(|given| given.quote.line(seat.pool)).ok_or_else(|| {
            stale("place.not_quoted", format!("{} is not among the pools of the quote", seat.pool))
        })
    }
}
