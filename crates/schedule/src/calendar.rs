//! The estate's calendar: which parts of which nodes are promised for later. Appointments of tasks
//! come and go by themselves; closures are part of a pool's picture.
//!
//! Invariant: a shown node carries exactly the claims that name it and, if it has any, all of its
//! leases; the claim of a task whose seat is held does not count; a task that holds a lease has no
//! appointment any more. Knows nothing of queues.

use std::collections::BTreeMap;

use dayan_units::{JobId, Resources, TaskId, Time};

use crate::change::Appointment;
use crate::estate::{Estate, Holder, Lease, LeaseIx, NodeAt, PoolIx};
use crate::later::{Claim, ClaimBy, Later, Occupant};
use crate::tasks::Tasks;
use crate::view::{NodeName, PoolView};

/// A task's appointment, and where it is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Appointed {
    pub pool: PoolIx,
    pub node: NodeName,
    /// None while its node is not shown.
    pub at: Option<NodeAt>,
    pub from: Time,
    pub until: Time,
    pub resources: Resources,
    pub seated: bool,
    /// Does not start before its moment.
    pub hold: bool,
}

impl Appointed {
    fn claim(&self, task: TaskId) -> Claim {
        Claim {
            by: ClaimBy::Task(task),
            from: self.from,
            until: self.until,
            resources: self.resources,
            seated: self.seated,
        }
    }
}

fn occupant(lease: &Lease) -> Occupant {
    Occupant { latest: lease.end.latest, resources: lease.resources, cards: lease.cards }
}

impl Estate {
    /// The job has these appointments, and no others.
    pub fn appoint(
        &mut self,
        job: JobId,
        appointments: &[Appointment],
        seat_of: impl Fn(&Self, u32) -> Option<NodeAt>,
    ) {
        self.release_job(job);
        let mut tasks = BTreeMap::new();
        for made in appointments {
            let pool = self.pool_ix(made.pool);
            let at = self.pools[pool as usize].names.get(&made.node).copied();
            let Appointment { task, node, resources, from, until, hold, .. } = made.clone();
            let seated = at.is_some() && seat_of(self, task) == at;
            let appointed = Appointed { pool, node, at, from, until, resources, seated, hold };
            if let Some(at) = at {
                let claim = appointed.claim(TaskId { job, task });
                self.later_mut(at).add(claim);
            }
            tasks.insert(task, appointed);
        }
        if let Some(first) = tasks.values().map(|made| made.from).min() {
            self.appointed_from.insert((first, job));
            self.appointed.insert(job, tasks);
        }
    }

    /// Until when all tasks of a job with appointments wait for a cheaper hour, if they do.
    pub fn held_until(&self, job: JobId) -> Option<Time> {
        let made = self.appointed.get(&job)?;
        if !made.values().all(|made| made.hold) {
            return None;
        }
        made.values().map(|made| made.from).min()
    }

    /// These tasks keep no appointments any more.
    pub fn release(&mut self, job: JobId, tasks: &Tasks) {
        let Some(mut kept) = self.appointed.remove(&job) else { return };
        let first = |kept: &BTreeMap<u32, Appointed>| kept.values().map(|made| made.from).min();
        if let Some(first) = first(&kept) {
            self.appointed_from.remove(&(first, job));
        }
        let over: Vec<u32> = kept.keys().copied().filter(|task| tasks.contains(*task)).collect();
        for task in over {
            let at = kept.remove(&task).and_then(|made| made.at);
            if let Some(at) = at {
                let by = ClaimBy::Task(TaskId { job, task });
                self.unclaim(at, |claim| claim.by == by);
            }
        }
        if let Some(first) = first(&kept) {
            self.appointed_from.insert((first, job));
            self.appointed.insert(job, kept);
        }
    }

    /// None of the job's tasks keeps an appointment any more.
    pub fn release_job(&mut self, job: JobId) {
        if self.appointed.contains_key(&job) {
            self.release(job, &Tasks::range(0..u32::MAX));
        }
    }

    fn unclaim(&mut self, at: NodeAt, is_over: impl Fn(&Claim) -> bool) {
        let Some(later) = &mut self.node_mut(at).later else { return };
        later.claims.retain(|claim| !is_over(claim));
        if later.claims.is_empty() {
            self.node_mut(at).later = None;
            let pool = self.pool_of(at.bay);
            if self.pools[pool as usize].promised.remove(&at) {
                self.bays[at.bay].promised -= 1;
            }
        }
        self.touch(at);
    }

    fn promises(&mut self, at: NodeAt) {
        let pool = self.pool_of(at.bay);
        if self.pools[pool as usize].promised.insert(at) {
            self.bays[at.bay].promised += 1;
        }
    }

    /// What the node promises for later; its leases are gathered when the first promise comes.
    fn later_mut(&mut self, at: NodeAt) -> &mut Later {
        if self.node(at).later.is_none() {
            let ends = &self.pools[self.pool_of(at.bay) as usize].ends;
            let here = ends.iter().filter(|(_, ix)| self.seated.at(*ix) == Some(at));
            let leases = here.map(|&(_, ix)| (ix, occupant(&self.leases[ix]))).collect();
            self.promises(at);
            self.node_mut(at).later = Some(Box::new(Later { leases, claims: Vec::new() }));
        }
        self.node_mut(at).later.as_mut().expect("made above")
    }

    /// The leases of a pool by node.
    pub fn occupants(&self, pool: PoolIx) -> BTreeMap<NodeAt, BTreeMap<LeaseIx, Occupant>> {
        let mut occupants: BTreeMap<NodeAt, BTreeMap<LeaseIx, Occupant>> = BTreeMap::new();
        for &(_, ix) in &self.pools[pool as usize].ends {
            let lease = &self.leases[ix];
            if let Some(at) = lease.at {
                occupants.entry(at).or_default().insert(ix, occupant(lease));
            }
        }
        occupants
    }

    /// The pool is shown (again): its new nodes get their claims.
    pub fn claim_again(&mut self, ix: PoolIx, view: &PoolView) {
        let mut claims: Vec<(NodeAt, Claim)> = Vec::new();
        let names = &self.pools[ix as usize].names;
        for closure in &view.closures {
            let all = closure.nodes.is_empty();
            let closed = names.iter().filter(|(name, _)| all || closure.nodes.contains(*name));
            claims.extend(closed.map(|(_, at)| {
                let claim = Claim {
                    by: ClaimBy::Closure,
                    from: closure.from,
                    until: closure.until,
                    resources: Resources::ZERO,
                    seated: false,
                };
                (*at, claim)
            }));
        }
        for (job, tasks) in &mut self.appointed {
            for (task, made) in tasks.iter_mut().filter(|(_, made)| made.pool == ix) {
                made.at = names.get(&made.node).copied();
                let task = TaskId { job: *job, task: *task };
                claims.extend(made.at.map(|at| (at, made.claim(task))));
            }
        }
        if !claims.is_empty() {
            let mut occupants = self.occupants(ix);
            for (at, claim) in claims {
                let node = self.node_mut(at);
                let later = node.later.get_or_insert_with(|| {
                    let leases = occupants.remove(&at).unwrap_or_default();
                    Box::new(Later { leases, claims: Vec::new() })
                });
                later.add(claim);
                self.promises(at);
            }
        }
        let ends = view.closures.iter().map(|closure| (closure.until, ix));
        self.closures_end.extend(ends);
    }

    /// The pool's nodes are gone: appointments wait for them to be shown again.
    pub fn lose_sight(&mut self, ix: PoolIx) {
        for made in self.appointed.values_mut().flat_map(BTreeMap::values_mut) {
            if made.pool == ix {
                (made.at, made.seated) = (None, false);
            }
        }
        self.pools[ix as usize].promised.clear();
        self.closures_end.retain(|(_, pool)| *pool != ix);
    }

    /// Closures that are over by now give their nodes back.
    pub fn end_closures(&mut self, now: Time) {
        while let Some(&(until, ix)) = self.closures_end.first().filter(|(until, _)| *until <= now)
        {
            self.closures_end.remove(&(until, ix));
            for at in self.pools[ix as usize].promised.clone() {
                self.unclaim(at, |claim| claim.by == ClaimBy::Closure && claim.until <= now);
            }
        }
    }

    /// A lease was booked on the node.
    pub fn occupy(&mut self, at: NodeAt, ix: LeaseIx) {
        if self.node(at).later.is_some() {
            let occupant = occupant(&self.leases[ix]);
            self.later_mut(at).leases.insert(ix, occupant);
        }
    }

    /// A lease has another latest end than `before`.
    pub fn occupant_ends(&mut self, ix: LeaseIx, before: Time) {
        let lease = &self.leases[ix];
        let (latest, Some(at)) = (lease.end.latest, lease.at) else { return };
        let Some(later) = &mut self.node_mut(at).later else { return };
        if let Some(occupant) = later.leases.get_mut(&ix) {
            occupant.latest = latest;
        }
        if latest < before {
            self.touch(at);
        }
    }

    /// A seat or lease was booked. At the task's own place the seat stands for the claim; elsewhere
    /// the claim is kept until the lease is certain.
    pub fn seat_taken(&mut self, holder: Holder, at: Option<NodeAt>) {
        match holder {
            Holder::Seat(task) => self.set_seated(task, at, true),
            Holder::Attempt(attempt) => {
                self.release(attempt.job, &Tasks::one(attempt.task));
            }
            Holder::Others => {}
        }
    }
    /// The seat is free again.
    pub fn seat_left(&mut self, holder: Holder, at: Option<NodeAt>) {
        match holder {
            Holder::Seat(task) => self.set_seated(task, at, false),
            Holder::Attempt(_) | Holder::Others => {}
        }
    }
    fn set_seated(&mut self, task: TaskId, at: Option<NodeAt>, seated: bool) {
        let tasks = self.appointed.get_mut(&task.job);
        let Some(made) = tasks.and_then(|tasks| tasks.get_mut(&task.task)) else { return };
        let Some(at) = at.filter(|_| made.at == at) else { return };
        made.seated = seated;
        if let Some(later) = &mut self.node_mut(at).later {
            let own = later.claims.iter_mut().filter(|claim| claim.by == ClaimBy::Task(task));
            own.for_each(|claim| claim.seated = seated);
        }
        // It takes its place in the sum now: beside it there may be more room than before.
        self.touch(at);
    }

    /// The claims and leases that a node must carry, from scratch.
    pub fn check_calendar(&self) -> Result<(), String> {
        let mut first = std::collections::BTreeSet::new();
        for (job, tasks) in &self.appointed {
            first.extend(tasks.values().map(|made| (made.from, *job)).min());
            for (task, made) in tasks {
                if made.at.as_ref() != self.pools[made.pool as usize].names.get(&made.node) {
                    return Err(format!("an appointment of {job} does not name its node"));
                }
                let Some(at) = made.at else { continue };
                let claim = made.claim(TaskId { job: *job, task: *task });
                let later = self.node(at).later.as_ref();
                if !later.is_some_and(|later| later.claims.contains(&claim)) {
                    return Err(format!("an appointment of {job} is not kept on {}", made.node));
                }
            }
        }
        if first != self.appointed_from {
            return Err("other first moments of appointments".to_owned());
        }
        for (ix, bay) in self.bays.iter() {
            let promised = bay.nodes.iter().filter(|node| node.later.is_some()).count();
            if promised != bay.promised as usize {
                return Err(format!("a bay of pool {} counts {} promised", bay.pool, bay.promised));
            }
            for (node, shown) in (0u32..).zip(&bay.nodes) {
                let at = NodeAt { bay: ix, node };
                let promised = &self.pools[bay.pool as usize].promised;
                if promised.contains(&at) != shown.later.is_some() {
                    return Err(format!("node {}: wrongly among the promised", shown.name));
                }
                let Some(later) = &shown.later else { continue };
                let here = self.leases.iter().filter(|(_, lease)| lease.at == Some(at));
                let leases: BTreeMap<_, _> =
                    here.map(|(ix, lease)| (ix, occupant(lease))).collect();
                if later.leases != leases || later.claims.is_empty() {
                    return Err(format!("node {}: other leases beside its claims", shown.name));
                }
                let of_tasks = later.claims.iter().filter_map(|claim| match claim.by {
                    ClaimBy::Task(task) => Some(task),
                    ClaimBy::Head | ClaimBy::Closure => None,
                });
                for task in of_tasks {
                    let made = self.appointed.get(&task.job).and_then(|of| of.get(&task.task));
                    if made.is_none_or(|made| made.at != Some(at)) {
                        return Err(format!("node {}: a claim that nobody has", shown.name));
                    }
                }
            }
        }
        Ok(())
    }
}
