//! What is taken back for the first waiting jobs: leases that were sold as ones that may be.
//!
//! A waiting head that cannot start within the notice looks for the one place where it could if some
//! of those leases ended: one node, or for a gang nodes of one domain. Of all such places it takes
//! the one that loses least ([`Loss`]). What comes free is kept for it as an appointment, so nobody
//! else takes it, and until that is taken up nothing more is taken back for it.
//!
//! Invariant: no lease is named twice, nor one that was not sold so, is spared or is ending; of the
//! leases named none could be left alone; no pool's budget is passed; no earlier head's reservation
//! is touched. Must not know who is told, nor how.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{AttemptId, Time};

use crate::ask::Mode;
use crate::change::{Appointment, Tenure};
use crate::estate::{Estate, LeaseIx, NodeAt, PoolIx};
use crate::fit_tree::Need;
use crate::judge::Choice;
use crate::later::{TURNOVER, When};
use crate::order::Width;
use crate::plan::Preemption;
use crate::queue::{Class, ClassIx, JobKey};
use crate::round::Round;

/// Leases of a pool that are looked at for one head, those that run for the shortest time first:
/// with more, the long-running rest is the last that should go.
const POOL_LOOKED_AT_MAX: usize = 4_096;
/// The same of one node, those that lose least first.
const NODE_LOOKED_AT_MAX: usize = 64;

/// What it costs to free a place: less is better, from the first field on.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
struct Loss {
    /// How many leases end.
    leases: usize,
    /// What they have done so far: microseconds times thousandths of a processor.
    work: u128,
    attempts: Vec<AttemptId>,
}

/// A lease that may go.
#[derive(Clone, Copy)]
struct Candidate {
    lost: u128,
    attempt: AttemptId,
    width: Width,
    ix: LeaseIx,
}

/// A node, and what must end for one seat of the head there.
struct Row {
    loss: Loss,
    /// Stable for equal views: the choice's rank, and the node's in its bay.
    rank: (u32, u32),
    at: NodeAt,
    need: Need,
}

/// What this round has taken back already.
#[derive(Default)]
struct Taken {
    nodes: BTreeSet<NodeAt>,
    attempts: BTreeSet<AttemptId>,
    pools: BTreeMap<PoolIx, u32>,
}

impl Round<'_> {
    /// What to take back for the heads that wait, in queue order.
    pub fn preempt(&mut self) -> Vec<Preemption> {
        let most = self.planner.policy.reservations_max as usize;
        let first = self.planner.demand.no_room.iter().take(most);
        let heads: Vec<(JobKey, ClassIx)> = first.copied().collect();
        if heads.is_empty() || self.planner.estate.pools.iter().all(|pool| pool.spot.is_empty()) {
            return Vec::new();
        }
        self.reserve_before(JobKey::LAST);
        let mut taken = Taken::default();
        let for_each = |(head, class)| self.preempt_for(head, class, &mut taken);
        heads.into_iter().filter_map(for_each).collect()
    }

    fn preempt_for(
        &mut self,
        head: JobKey,
        class: ClassIx,
        taken: &mut Taken,
    ) -> Option<Preemption> {
        let policy = self.planner.policy.preemption;
        let starts = self.now.plus(policy.notice).plus(TURNOVER);
        let waits = match self.planner.demand.classes[class].ask.mode {
            Mode::OnDemand => !self.planner.estate.appointed.contains_key(&head.job),
            Mode::Spot => false,
        };
        if !waits || self.soon(head, class).is_some_and(|soon| soon <= starts) {
            return None;
        }
        let Self { planner, reservations, work, now, .. } = self;
        let class = &planner.demand.classes[class];
        let job = &planner.demand.jobs[class.head()?];
        let earlier = reservations.iter().filter(|promised| promised.head < head);
        let held = earlier.flat_map(|promised| &promised.place.held).map(|held| held.at);
        let barred: BTreeSet<NodeAt> = held.chain(taken.nodes.iter().copied()).collect();
        let left = |pool: PoolIx| {
            let before = &planner.estate.pools[pool as usize].preempted;
            let now_taken = taken.pools.get(&pool).copied().unwrap_or(0);
            policy.pool_left(before, *now).saturating_sub(now_taken) as usize
        };
        let until = starts.plus(class.limit);
        let mut search = Search {
            estate: &planner.estate,
            when: When { now: *now, from: starts, until },
            barred: &barred,
            spared: &taken.attempts,
            left: &left,
            candidates: BTreeMap::new(),
            work,
        };
        let rows = match class.key.gang {
            Some(gang) => search.for_gang(class, gang.size.max(1) as usize)?,
            None => vec![search.for_one(class)?],
        };
        let mut victims: Vec<AttemptId> =
            rows.iter().flat_map(|row| row.loss.attempts.iter().copied()).collect();
        victims.sort_unstable();
        let mut places = Vec::with_capacity(rows.len());
        for (task, row) in job.pending.iter().zip(&rows) {
            let pool = planner.estate.pool_of(row.at.bay);
            taken.nodes.insert(row.at);
            *taken.pools.entry(pool).or_default() +=
                u32::try_from(row.loss.leases).unwrap_or(u32::MAX);
            places.push(Appointment {
                hold: false,
                task,
                pool: planner.estate.pools[pool as usize].view.as_ref()?.pool,
                node: planner.estate.node(row.at).name.clone(),
                resources: row.need.resources,
                from: starts,
                until,
            });
        }
        taken.attempts.extend(victims.iter().copied());
        Some(Preemption { for_job: head.job, victims, places })
    }

    /// When the head is expected to start if nothing is taken back; none: nobody can say.
    fn soon(&mut self, head: JobKey, class: ClassIx) -> Option<Time> {
        let (now, mut work) = (self.now, 0);
        // What leaves room is not kept waiting by others: what it would find without is what counts.
        let leaves = self.planner.demand.leaves(class, head, now);
        let kept = self.reservations.iter_mut().find(|promised| promised.head == head);
        let soon = match kept.filter(|_| leaves.is_none()) {
            Some(promised) => Some(promised.place.soon(&self.planner.estate, now, &mut work)),
            None => {
                let mut place = self.reservation_for(class, None)?;
                Some(place.soon(&self.planner.estate, now, &mut work))
            }
        };
        self.work += work;
        soon
    }
}

/// The search for one head.
struct Search<'a, 'w> {
    estate: &'a Estate,
    when: When,
    barred: &'a BTreeSet<NodeAt>,
    spared: &'a BTreeSet<AttemptId>,
    left: &'a dyn Fn(PoolIx) -> usize,
    /// What may go, by pool and node.
    candidates: BTreeMap<PoolIx, BTreeMap<NodeAt, Vec<Candidate>>>,
    work: &'w mut u64,
}

impl Search<'_, '_> {
    /// The node where one task loses others least.
    fn for_one(&mut self, class: &Class) -> Option<Row> {
        let mut best: Option<Row> = None;
        let real = |(_, choice): &(u32, &Choice)| !self.estate.is_queue(choice.bay);
        for (rank, choice) in (0u32..).zip(class.choices.iter()).filter(real) {
            let pool = self.estate.pool_of(choice.bay);
            if (self.left)(pool) == 0 {
                continue;
            }
            self.gather(pool);
            let nodes =
                NodeAt { bay: choice.bay, node: 0 }..=NodeAt { bay: choice.bay, node: u32::MAX };
            let nodes: Vec<NodeAt> =
                self.candidates[&pool].range(nodes).map(|(at, _)| *at).collect();
            for at in nodes {
                let row = self.row(class, rank, choice, at);
                // Where nothing need go it would have started, or starts without us.
                let Some(row) = row.filter(|row| row.loss.leases > 0) else { continue };
                if best.as_ref().is_none_or(|best| (&row.loss, row.rank) < (&best.loss, best.rank))
                {
                    best = Some(row);
                }
            }
        }
        best
    }

    /// Nodes of one domain, one for each member, where all of them together lose others least.
    fn for_gang(&mut self, class: &Class, size: usize) -> Option<Vec<Row>> {
        let mut best: Option<(Loss, Vec<Row>)> = None;
        for domain in &class.domains {
            let mut rows = Vec::new();
            for &rank in domain {
                let choice = &class.choices[rank as usize];
                self.gather(self.estate.pool_of(choice.bay));
                let nodes = self.estate.bays[choice.bay].nodes.len();
                for node in 0..u32::try_from(nodes).expect("nodes are numbered in 32 bits") {
                    rows.extend(self.row(class, rank, choice, NodeAt { bay: choice.bay, node }));
                }
            }
            if rows.len() < size {
                continue;
            }
            rows.sort_by(|a, b| (&a.loss, a.rank).cmp(&(&b.loss, b.rank)));
            rows.truncate(size);
            let mut loss = Loss::default();
            let mut by_pool: BTreeMap<PoolIx, usize> = BTreeMap::new();
            for row in &rows {
                loss.leases += row.loss.leases;
                loss.work += row.loss.work;
                loss.attempts.extend(row.loss.attempts.iter().copied());
                *by_pool.entry(self.estate.pool_of(row.at.bay)).or_default() += row.loss.leases;
            }
            let within = by_pool.iter().all(|(pool, leases)| *leases <= (self.left)(*pool));
            if loss.leases > 0 && within && best.as_ref().is_none_or(|(least, _)| loss < *least) {
                best = Some((loss, rows));
            }
        }
        best.map(|(_, rows)| rows)
    }

    /// Reads what may go of a pool.
    fn gather(&mut self, pool: PoolIx) {
        let Self { estate, when, spared, candidates, work, .. } = self;
        candidates.entry(pool).or_insert_with(|| {
            let mut nodes: BTreeMap<NodeAt, Vec<Candidate>> = BTreeMap::new();
            let spot = estate.pools[pool as usize].spot.iter().take(POOL_LOOKED_AT_MAX);
            for &(Reverse(since), attempt, ix) in spot {
                **work += 1;
                let lease = &estate.leases[ix];
                let Tenure::Spot { spared_until, .. } = lease.tenure else { continue };
                let Some(at) = lease.at else { continue };
                if spared_until > when.now || spared.contains(&attempt) {
                    continue;
                }
                let width = Width::of(&lease.resources);
                let ran = when.now.since(since).micros().max(0).unsigned_abs();
                let lost = u128::from(ran) * u128::from(width.0);
                nodes.entry(at).or_default().push(Candidate { lost, attempt, width, ix });
            }
            for here in nodes.values_mut() {
                here.sort_unstable_by_key(|candidate| (candidate.lost, candidate.attempt));
                here.truncate(NODE_LOOKED_AT_MAX);
            }
            nodes
        });
    }

    /// What must end on a node for one seat; none where that does not help.
    fn row(&mut self, class: &Class, rank: u32, choice: &Choice, at: NodeAt) -> Option<Row> {
        *self.work += 1;
        let node = self.estate.node(at);
        // Who runs where in a group only its own engine knows.
        if !node.is_up() || node.count > 1 || self.barred.contains(&at) {
            return None;
        }
        let pool = self.estate.pool_of(choice.bay);
        let need = class.needs[usize::from(choice.need)];
        let here = self.candidates[&pool].get(&at).map_or(&[][..], Vec::as_slice);
        let chosen = self.fewest(at, &need, here)?;
        if chosen.len() > (self.left)(pool) {
            return None;
        }
        let loss = Loss {
            leases: chosen.len(),
            work: chosen.iter().map(|candidate| candidate.lost).sum(),
            attempts: chosen.iter().map(|candidate| candidate.attempt).collect(),
        };
        Some(Row { loss, rank: (rank, at.node), at, need })
    }

    /// Few leases whose end makes room, losing little: the best where one is enough; else the
    /// largest first, then each spared that need not go, or exchanged for a cheaper one.
    fn fewest(&self, at: NodeAt, need: &Need, here: &[Candidate]) -> Option<Vec<Candidate>> {
        if self.fits(at, need, &[]) {
            return Some(Vec::new());
        }
        if !self.fits(at, need, here) {
            return None;
        }
        if let Some(one) = here.iter().find(|one| self.fits(at, need, std::slice::from_ref(one))) {
            return Some(vec![*one]);
        }
        let mut largest = here.to_vec();
        largest.sort_unstable_by_key(|one| (Reverse(one.width), one.lost, one.attempt));
        let enough = (1..=largest.len()).find(|len| self.fits(at, need, &largest[..*len]))?;
        let mut chosen = largest[..enough].to_vec();
        self.spare(at, need, &mut chosen);
        for nth in 0..chosen.len() {
            let lost = chosen[nth].lost;
            for cheaper in here.iter().take_while(|one| one.lost < lost) {
                if chosen.iter().any(|one| one.attempt == cheaper.attempt) {
                    continue;
                }
                let before = std::mem::replace(&mut chosen[nth], *cheaper);
                if self.fits(at, need, &chosen) {
                    break;
                }
                chosen[nth] = before;
            }
        }
        self.spare(at, need, &mut chosen);
        chosen.sort_unstable_by_key(|one| one.attempt);
        Some(chosen)
    }

    /// Leaves out what need not go, what would lose most first.
    fn spare(&self, at: NodeAt, need: &Need, chosen: &mut Vec<Candidate>) {
        chosen.sort_unstable_by_key(|one| Reverse((one.lost, one.attempt)));
        let mut dearest = 0;
        while dearest < chosen.len() {
            let spared = chosen.remove(dearest);
            if !self.fits(at, need, chosen) {
                chosen.insert(dearest, spared);
                dearest += 1;
            }
        }
    }

    /// Is there room without these, beside all that is promised?
    fn fits(&self, at: NodeAt, need: &Need, without: &[Candidate]) -> bool {
        let node = self.estate.node(at);
        let mut booked = node.booked.clone();
        for gone in without {
            let lease = &self.estate.leases[gone.ix];
            booked.sub(&lease.resources, lease.cards);
        }
        let keeps_promises = || {
            node.later.as_ref().is_none_or(|later| {
                let mut later = later.clone();
                later.leases.retain(|ix, _| without.iter().all(|gone| gone.ix != *ix));
                later.fits(node, need, self.when, None)
            })
        };
        node.fits_with(&booked, need) && keeps_promises()
    }
}
