//! Why a job waits: counts, messages, what one relaxed rule would open, when it might start. Made
//! on demand from the present picture; nothing is remembered for it.

use std::collections::BTreeMap;

use dayan_units::{JobId, Span, Time};
use smallvec::SmallVec;

use crate::answer::{Explanation, JobStanding, Relaxation, StartEstimate, Urgency};
use crate::ask::GangAsk;
use crate::capped::want_of;
use crate::estate::{BayIx, Node, PoolIx};
use crate::fit_tree::Need;
use crate::judge::{Choice, Judge, Relax};
use crate::later::When;
use crate::outlook::Wanted;
use crate::planner::Planner;
use crate::policy::Preference;
use crate::queue::{Job, JobKey};
use crate::quota::{AccountOf, QuotaOf};
use crate::reason::{Reason, ReasonCode, ReasonCount};
use crate::reserve::{Domain, EndBy, earliest_of};
use crate::score::Order;
use crate::short::{Floor, Leaves};
use crate::urgent::Soft;
use crate::verdict::{Verdict, window_of};

/// Would any pool take a job, were it empty?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Taken {
    Somewhere,
    Nowhere,
}

/// Different words of pools that are as near to taking a job, at most.
const NEAREST_MAX: usize = 3;

/// What the pools lack that lack least: any of it would do.
fn nearest_of(judge: &Judge<'_>, pools: &[PoolIx]) -> Reason {
    let code = ReasonCode::PoolFeature;
    let least = pools.iter().map(|pool| judge.lacks(*pool)).min();
    let mut messages: Vec<String> = Vec::new();
    for pool in pools.iter().filter(|pool| Some(judge.lacks(**pool)) == least) {
        let message = judge.reason(*pool, code).message;
        if messages.len() < NEAREST_MAX && !messages.contains(&message) {
            messages.push(message);
        }
    }
    Reason { code, message: messages.join("; another ") }
}

/// How many seats it takes at once, at the least.
pub(crate) fn seats_of(gang: Option<GangAsk>) -> u64 {
    gang.map_or(1, |gang| u64::from(gang.at_least()))
}

impl Planner {
    /// Why the job waits; none where the planner does not know it.
    pub fn explain(&self, job: JobId, now: Time) -> Option<Explanation> {
        let job = &self.demand.jobs[*self.demand.job_ids.get(&job)?];
        let class = &self.demand.classes[job.class];
        let order = Order::of(&class.key.prefer, &self.policy);
        let judge = self.judge(class.wish(), &order, window_of(now));
        let verdict = self.verdict(&judge);
        let taken = if verdict.choices.is_empty() { Taken::Nowhere } else { Taken::Somewhere };
        let standing = self.standing(job, taken);
        if standing == JobStanding::NotWaiting {
            return Some(Explanation::not_waiting(job.key.job));
        }
        let mut by_code: BTreeMap<ReasonCode, Vec<PoolIx>> = BTreeMap::new();
        for &(pool, code) in &verdict.refused {
            by_code.entry(code).or_default().push(pool);
        }
        // Where room is there and it waits for something of its own, no pool keeps it waiting.
        let own = standing != JobStanding::Waiting;
        let leaves = self.demand.leaves(job.class, self.demand.place_of(job), now);
        let leaves = leaves.as_ref().map(|leaves| (leaves, seats_of(class.key.gang)));
        let busy = self.busy(&verdict, When::now(now, class.ask.time), leaves);
        let has_room = |code| matches!(code, ReasonCode::PoolReserved | ReasonCode::PoolKept);
        for (pool, code) in busy.into_iter().filter(|(_, code)| !own || !has_room(*code)) {
            by_code.entry(code).or_default().push(pool);
        }
        // One pool speaks for those of its reason; of those that lack something, all that lack least.
        let told = |code, pools: &[PoolIx]| match code {
            ReasonCode::PoolFeature => nearest_of(&judge, pools),
            _ => judge.reason(pools[0], code),
        };
        let mut reasons: Vec<Reason> =
            by_code.iter().map(|(&code, pools)| told(code, pools)).collect();
        let before_pools = self.own_reason(job, standing);
        reasons.splice(0..0, before_pools);
        Some(Explanation {
            job: job.key.job,
            behind: self.demand.behind_of(job.project),
            standing,
            position: self.position(job),
            urgency: job.soft.map(|soft| soft.at(now)).map(|Soft { start_by, lifted, .. }| {
                Urgency { start_by, lifted, lost: start_by < now }
            }),
            tasks_waiting: job.pending.len(),
            counts: by_code
                .iter()
                .map(|(&code, pools)| ReasonCount {
                    code,
                    pools: u32::try_from(pools.len()).expect("pools are numbered in 32 bits"),
                })
                .collect(),
            reasons,
            relaxations: Self::relaxations(&judge, &verdict),
            start: self.start_of(job, &judge, &verdict, now),
        })
    }

    /// When a job that waits and has started nothing yet might start.
    pub fn first_start(&self, job: JobId, now: Time) -> Option<StartEstimate> {
        let known = &self.demand.jobs[*self.demand.job_ids.get(&job)?];
        if known.pending.is_empty() || known.running > 0 {
            return None;
        }
        let class = &self.demand.classes[known.class];
        let order = Order::of(&class.key.prefer, &self.policy);
        let judge = self.judge(class.wish(), &order, window_of(now));
        self.start_of(known, &judge, &self.verdict(&judge), now)
    }

    fn start_of(
        &self,
        job: &Job,
        judge: &Judge<'_>,
        verdict: &Verdict,
        now: Time,
    ) -> Option<StartEstimate> {
        let place = self.demand.place_of(job);
        let leaves = self.demand.leaves(job.class, place, now);
        let start = self.start(judge, verdict, (place, leaves.as_ref()), now)?;
        let begin = self.demand.sleeps_until(job).map_or(now, |begin| begin.max(now));
        let begin = self.quota_frees(job, now).map_or(begin, |frees| frees.max(begin));
        Some(start.not_before(begin.since(now)))
    }

    /// What keeps it from its turn, whatever pools say.
    pub(crate) fn own_reason(&self, job: &Job, standing: JobStanding) -> Option<Reason> {
        match standing {
            JobStanding::Blocked => {
                let why = self.demand.blocked_projects.get(&job.project);
                let message = why.cloned().unwrap_or_default();
                Some(Reason { code: ReasonCode::ProjectBlocked, message })
            }
            JobStanding::OverQuota | JobStanding::NoLicense => self.quota_reason(job),
            JobStanding::AtMaxParallel => {
                let most = job.max_parallel.unwrap_or(0);
                let message = format!("{most} of its tasks hold places, as many as it allows");
                Some(Reason { code: ReasonCode::JobMaxParallel, message })
            }
            JobStanding::NotYet => self.demand.sleeps_until(job).map(|begin| {
                if self.estate.held_until(job.key.job) == Some(begin) {
                    let prefer = self.demand.classes[job.class].key.prefer.first();
                    let better = match prefer {
                        Some(Preference::Carbon) => "cleaner",
                        Some(_) | None => "cheaper",
                    };
                    let message = format!("it waits for a {better} hour, from {begin} on");
                    return Reason { code: ReasonCode::JobHour, message };
                }
                Reason { code: ReasonCode::JobBegin, message: format!("it begins at {begin}") }
            }),
            JobStanding::BehindStrict => self.demand.behind(job).map(|first| {
                let message = format!("{first} of the same project came earlier and is strict too");
                Reason { code: ReasonCode::JobStrict, message }
            }),
            JobStanding::NotWaiting | JobStanding::Infeasible | JobStanding::Waiting => None,
        }
    }

    /// Where a job stands.
    pub(crate) fn standing(&self, job: &Job, taken: Taken) -> JobStanding {
        if job.pending.is_empty() {
            JobStanding::NotWaiting
        } else if self.demand.blocked_projects.contains_key(&job.project) {
            JobStanding::Blocked
        } else if let Some(account) = self.demand.capped.under(job.class, job.project) {
            match self.estate.accounts.of(account) {
                AccountOf::Quota(_) => JobStanding::OverQuota,
                AccountOf::License(_) => JobStanding::NoLicense,
            }
        } else if self.demand.sleeps_until(job).is_some() {
            JobStanding::NotYet
        } else if job.max_parallel.is_some_and(|most| job.running >= most) {
            JobStanding::AtMaxParallel
        } else if self.demand.behind(job).is_some() {
            JobStanding::BehindStrict
        } else if taken == Taken::Nowhere {
            JobStanding::Infeasible
        } else {
            JobStanding::Waiting
        }
    }

    /// When its quota has room for it, if it waits for that.
    fn quota_frees(&self, job: &Job, now: Time) -> Option<Time> {
        let account = self.demand.capped.under(job.class, job.project)?;
        let want = (&job.payers, want_of(&self.demand.classes[job.class]));
        let accounts = &self.estate.accounts;
        Some(accounts.guard(account, want, now, &self.estate.leases)?.until())
    }

    fn quota_reason(&self, job: &Job) -> Option<Reason> {
        let account = self.demand.capped.under(job.class, job.project)?;
        let (quota, held) = self.estate.accounts.quota(account)?;
        let (code, whose) = match self.estate.accounts.of(account) {
            AccountOf::Quota(QuotaOf::Project(_)) => (ReasonCode::ProjectQuota, "project"),
            AccountOf::Quota(QuotaOf::Org(_)) => (ReasonCode::OrgQuota, "organisation"),
            AccountOf::License(name) => {
                let (used, of) = (held.cpu.0, quota.cpu.map_or(0, |most| most.0));
                let message = format!(
                    "{used} of {of} licences `{name}` are in use: it waits for one to come free, and \
                     for those that came before it"
                );
                return Some(Reason { code: ReasonCode::JobLicense, message });
            }
        };
        let message = format!(
            "its {whose} holds {held} of {quota} at most: it waits for others of it to end, and for \
             those that came before it"
        );
        Some(Reason { code, message })
    }

    /// Pools that would do but have no room, or no node up.
    fn busy(
        &self,
        verdict: &Verdict,
        when: When,
        leaves: Option<(&Leaves, u64)>,
    ) -> BTreeMap<PoolIx, ReasonCode> {
        let mut found: BTreeMap<PoolIx, ReasonCode> = BTreeMap::new();
        for choice in verdict.choices.iter().filter(|at| !self.estate.is_queue(at.bay)) {
            let need = &verdict.needs[usize::from(choice.need)];
            let bay = &self.estate.bays[choice.bay];
            let code = self.no_room(choice.bay, need, when, leaves);
            let entry = found.entry(bay.pool).or_insert(code);
            *entry = code.max(*entry);
        }
        found
    }

    /// Why nothing more starts in a bay that would do, of what leaves so much beside so many seats.
    pub(crate) fn no_room(
        &self,
        bay: BayIx,
        need: &Need,
        when: When,
        leaves: Option<(&Leaves, u64)>,
    ) -> ReasonCode {
        let bay = &self.estate.bays[bay];
        let some_up = bay.nodes.iter().any(|node| node.is_up() && node.seats_empty(need) > 0);
        let mut work = 0;
        let has_room = |node: &Node| node.is_up() && node.fits_with(&node.booked, need);
        match (some_up, bay.first_fit(need, when, 0, &mut work)) {
            (false, _) => ReasonCode::PoolDown,
            // Room now, but not for as long as it may run.
            (true, None) if bay.nodes.iter().any(has_room) => ReasonCode::PoolPromised,
            (true, None) => ReasonCode::PoolBusy,
            // Room now, and yet it waits: it is kept for short work or held for those before it, or too
            // little for a gang.
            (true, Some(_)) => {
                let floor = || Floor::of(&self.estate, [bay.pool], &mut 0);
                let kept = |(leaves, seats): (&Leaves, u64)| {
                    leaves.keep_out(&floor(), &need.resources, seats)
                };
                if leaves.is_some_and(kept) {
                    ReasonCode::PoolKept
                } else {
                    ReasonCode::PoolReserved
                }
            }
        }
    }

    /// How many ready jobs are before it in the queue.
    fn position(&self, job: &Job) -> Option<u64> {
        if job.pending.is_empty() {
            return None;
        }
        let place = self.demand.place_of(job);
        let before = |project, key: JobKey| key.behind(self.demand.behind_of(project)) < place;
        let lines = self.demand.classes.iter().flat_map(|(_, class)| class.lines.iter());
        let open = lines.filter(|(project, _)| !self.demand.blocked_projects.contains_key(project));
        let ahead = open.map(|(&project, line)| {
            line.iter().take_while(|(key, _)| before(project, *key)).count()
        });
        Some(ahead.sum::<usize>() as u64)
    }

    fn relaxations(judge: &Judge<'_>, verdict: &Verdict) -> Vec<Relaxation> {
        let mut opened: BTreeMap<ReasonCode, (u32, PoolIx)> = BTreeMap::new();
        for &(pool, code) in &verdict.refused {
            let relaxed = Judge { relax: Relax::One(code), ..*judge };
            let mut needs = SmallVec::new();
            let is_rule = code != ReasonCode::PoolNoNodeFits;
            if is_rule && relaxed.pool(pool, &mut needs, |_, _| {}).is_ok() {
                opened.entry(code).or_insert((0, pool)).0 += 1;
            }
        }
        opened
            .into_iter()
            .map(|(code, (pools, example))| Relaxation {
                code,
                pools,
                example: judge.reason(example, code).message,
            })
            .collect()
    }

    /// How long until there is room somewhere, where pools' own engines say that they start nothing
    /// sooner; none where none of them says so, or nowhere is room.
    fn beyond_forecasts(
        &self,
        (choices, needs, limit): (&[Choice], &[Need], Span),
        gang: Option<(&[Vec<u32>], u64)>,
        (now, by): (Time, EndBy),
    ) -> Option<Span> {
        let pool_of = |at: &Choice| self.estate.pool_of(at.bay);
        let forecast = |at: &Choice| self.estate.pools[pool_of(at) as usize].forecast_wait(now);
        if choices.iter().all(|at| forecast(at) == Span::ZERO) {
            return None;
        }
        let domains: Vec<Vec<u32>> = match gang {
            Some((domains, _)) => domains.to_vec(),
            None => {
                let each = (0u32..).zip(choices);
                let real = each.filter(|(_, at)| !self.estate.is_queue(at.bay));
                real.map(|(at, _)| vec![at]).collect()
            }
        };
        let seats = gang.map_or(1, |(_, seats)| seats);
        let waits = domains.iter().filter_map(|members| {
            let domain = Domain { choices, members, needs, seats, limit, leaves: None };
            let found = domain.earliest(&self.estate, now, Time::NEVER, by, &mut 0)?;
            let room = found.from.since(now);
            if room == Span::ZERO {
                return Some(room);
            }
            // Members in several pools start together: the last of them counts.
            let held = members.iter().map(|at| forecast(&choices[*at as usize])).max();
            Some(room.max(held.unwrap_or(Span::ZERO)))
        });
        waits.min()
    }

    fn start(
        &self,
        judge: &Judge<'_>,
        verdict: &Verdict,
        (place, leaves): (JobKey, Option<&Leaves>),
        now: Time,
    ) -> Option<StartEstimate> {
        // What the best place takes: which need was found first says nothing.
        let best = verdict.choices.first()?;
        let need = verdict.needs[usize::from(best.need)].resources;
        let seats = seats_of(judge.wish.gang);
        let wanted = Wanted { seats, need, place };
        let gang = judge.wish.gang.map(|gang| (&*verdict.domains, u64::from(gang.at_least())));
        let places = (&*verdict.choices, &*verdict.needs, judge.wish.ask.time);
        let earliest = |by| {
            let found = |leaves| earliest_of(&self.estate, places, gang, (now, by), leaves, &mut 0);
            let mut from = found(None)?.from;
            // Once it is due it leaves nothing any more.
            if leaves.is_some() {
                let due = from.max(place.due);
                from = found(leaves).map_or(due, |beside| beside.from.min(due));
            }
            let real = |choice: &Choice| !self.estate.is_queue(choice.bay);
            let choices = verdict.choices.iter().copied().filter(real);
            let queue = self.queue_wait(choices, &wanted, now, by).unwrap_or(Span::ZERO);
            let room = self.beyond_forecasts(places, gang, (now, by));
            let room = room.unwrap_or_else(|| from.since(now));
            Some(room.max(queue))
        };
        let p90 = earliest(EndBy::Latest)?;
        let p50 = earliest(EndBy::Expected)?.min(p90);
        Some(StartEstimate { p50, p90 })
    }
}
