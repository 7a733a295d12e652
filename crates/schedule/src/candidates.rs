//! Where a job could go: what `plan` and `quote` show before anything is queued.

use std::collections::BTreeMap;

use dayan_units::{Micro, PoolId, Span, Time};

use crate::answer::{Candidate, Candidates, RefusedPool, StartEstimate};
use crate::ask::JobAsk;
use crate::estate::PoolIx;
use crate::judge::{Choice, Judge, Relax, Wish};
use crate::later::When;
use crate::outlook::Wanted;
use crate::planner::Planner;
use crate::queue::JobKey;
use crate::reason::{Reason, ReasonCode};
use crate::reserve::{Domain, EndBy};
use crate::score::Order;
use crate::verdict::{Verdict, window_of};

impl Planner {
    /// Where this job could go, known to the planner or not.
    pub fn candidates(&self, ask: &JobAsk, now: Time) -> Candidates {
        let wish = Wish::of(ask);
        let order = Order::of(&ask.prefer, &self.policy);
        let judge = self.judge(wish, &order, window_of(now));
        let verdict = self.verdict(&judge);
        let tasks = ask.tasks.len();
        let begins_in = ask.begin.map_or(Span::ZERO, |begin| begin.since(now).max(Span::ZERO));
        let place = JobKey::at(ask, now).behind(self.demand.behind_of(ask.project));
        let mut by_pool: BTreeMap<PoolIx, Vec<usize>> = BTreeMap::new();
        // Places in a queue are no promise of a start.
        let real = |(_, choice): &(usize, &Choice)| !self.estate.is_queue(choice.bay);
        for (at, choice) in verdict.choices.iter().enumerate().filter(real) {
            by_pool.entry(self.estate.pool_of(choice.bay)).or_default().push(at);
        }
        let mut candidates: Vec<(bool, usize, Candidate)> = Vec::new();
        let mut never: Vec<(PoolIx, ReasonCode)> = Vec::new();
        for (ix, places) in by_pool {
            match self.candidate(&judge, &verdict, &places, (tasks, begins_in, place), now) {
                Ok(candidate) => candidates.push((candidate.tasks == 0, places[0], candidate)),
                Err(code) => never.push((ix, code)),
            }
        }
        candidates.sort_by_key(|&(waits, best, _)| (waits, best));
        let ids: BTreeMap<PoolIx, PoolId> =
            self.estate.pool_ids.iter().map(|(id, ix)| (*ix, *id)).collect();
        let mut refused: Vec<RefusedPool> = verdict
            .refused
            .iter()
            .map(|&(ix, code)| RefusedPool {
                pool: ids[&ix],
                reasons: Self::reasons(&judge, ix, code),
            })
            .collect();
        refused.extend(never.into_iter().map(|(ix, code)| RefusedPool {
            pool: ids[&ix],
            reasons: vec![judge.reason(ix, code)],
        }));
        refused.sort_by_key(|refused| refused.pool);
        let candidates = candidates.into_iter().map(|(_, _, candidate)| candidate).collect();
        Candidates { candidates, refused }
    }

    /// Every rule that refuses, found by leaving out the first, then the next; a rule that cannot
    /// be left out (sizes) is the last.
    fn reasons(judge: &Judge<'_>, ix: PoolIx, first: ReasonCode) -> Vec<Reason> {
        let mut reasons = vec![judge.reason(ix, first)];
        let mut needs = smallvec::SmallVec::new();
        let relaxed = Judge { relax: Relax::One(first), ..*judge };
        if let Err(next) = relaxed.pool(ix, &mut needs, |_, _| {})
            && next != first
        {
            reasons.push(judge.reason(ix, next));
        }
        reasons
    }

    fn candidate(
        &self,
        judge: &Judge<'_>,
        verdict: &Verdict,
        places: &[usize],
        (tasks, begins_in, place): (u64, Span, JobKey),
        now: Time,
    ) -> Result<Candidate, ReasonCode> {
        let best = &verdict.choices[places[0]];
        let pool = &self.estate.pools[self.estate.pool_of(best.bay) as usize];
        let view = pool.view.as_ref().ok_or(ReasonCode::PoolNoNodeFits)?;
        let need = &verdict.needs[usize::from(best.need)];
        let offer = &pool.offers[usize::from(best.offer)];
        let dear = ReasonCode::PoolPrice;
        let per_task = judge.task_price(offer, &need.resources).ok_or(dear)?;
        let when = When::now(now, judge.wish.ask.time);
        let fit = match judge.wish.gang {
            None => {
                places.iter().map(|&at| self.tasks_now(verdict, at, when)).sum::<u64>().min(tasks)
            }
            Some(gang) => {
                let seats: u64 = places.iter().map(|&at| self.seats_now(verdict, at, when)).sum();
                if seats >= u64::from(gang.size) { u64::from(gang.size) } else { 0 }
            }
        };
        let transfer = judge.transfer(pool, view);
        let wait = |by| {
            if fit > 0 {
                return Some(Span::ZERO);
            }
            let seats = judge.wish.gang.map_or(1, |gang| u64::from(gang.size.max(1)));
            let wanted = Wanted { seats, need: need.resources, place };
            let choices = places.iter().map(|&at| verdict.choices[at]);
            let queue = self.queue_wait(choices, &wanted, now, by).unwrap_or(Span::ZERO);
            let queue = queue.max(pool.forecast_wait(now));
            Some(self.wait(judge, verdict, places, now, by)?.max(queue))
        };
        let staged = transfer.unwrap_or(Span::ZERO);
        // Every lease ends: what is never free is down.
        let start = |by| Some(wait(by)?.plus(staged));
        let p90 = start(EndBy::Latest).ok_or(ReasonCode::PoolDown)?;
        let p50 = start(EndBy::Expected).ok_or(ReasonCode::PoolDown)?.min(p90);
        let total = i64::try_from(tasks).ok().and_then(|n| per_task.0.checked_mul(n));
        Ok(Candidate {
            pool: view.pool,
            provider: view.provider,
            site: view.site,
            offer: offer.offer,
            resources: need.resources,
            tasks: fit,
            unit_price: judge.unit_price(offer, &need.resources).ok_or(dear)?,
            price_per_task: per_task,
            price: Micro(total.ok_or(dear)?),
            start: StartEstimate { p50, p90 }.not_before(begins_in),
            delay: judge.delay(view),
            transfer: if judge.wish.ask.data.is_empty() { None } else { transfer },
            missing: judge.missing(pool),
            carbon_milligrams_per_kwh: view.carbon.as_ref().and_then(|carbon| {
                let starts = now.plus(p50.max(begins_in));
                u64::try_from(carbon.milligrams_per_kwh(starts, judge.wish.ask.time)).ok()
            }),
        })
    }

    /// How many tasks fit at a choice now, side by side.
    fn tasks_now(&self, verdict: &Verdict, at: usize, when: When) -> u64 {
        let choice = &verdict.choices[at];
        let need = &verdict.needs[usize::from(choice.need)];
        let nodes = self.estate.bays[choice.bay].nodes.iter().filter(|node| node.is_up());
        nodes
            .map(|node| {
                if node.later.is_some() {
                    return node.times_beside(need, when, u64::MAX);
                }
                let mut booked = node.booked.clone();
                // Cards are taken one by one; without them the sum tells.
                if booked.bank.is_empty() || need.resources.accel.0 == 0 {
                    let fits = node.fits_with(&booked, need);
                    return if fits {
                        need.resources.times_in(&node.free_with(&booked))
                    } else {
                        0
                    };
                }
                let mut times = 0;
                while node.fits_with(&booked, need) {
                    let cards = booked.bank.choose(need.cards).expect("it fits");
                    booked.add(&need.resources, cards);
                    times += 1;
                }
                times
            })
            .fold(0, u64::saturating_add)
    }

    fn seats_now(&self, verdict: &Verdict, at: usize, when: When) -> u64 {
        let choice = &verdict.choices[at];
        let need = &verdict.needs[usize::from(choice.need)];
        let nodes = self.estate.bays[choice.bay].nodes.iter().filter(|node| node.is_up());
        nodes.map(|node| node.seats_from(&node.booked, need, when)).sum()
    }

    /// How long until enough leases have ended at these places.
    fn wait(
        &self,
        judge: &Judge<'_>,
        verdict: &Verdict,
        places: &[usize],
        now: Time,
        by: EndBy,
    ) -> Option<Span> {
        let members: Vec<u32> =
            places.iter().map(|&at| u32::try_from(at).expect("choices are few")).collect();
        let seats = judge.wish.gang.map_or(1, |gang| u64::from(gang.size));
        let choices: &[Choice] = &verdict.choices;
        let (members, needs, limit) = (&*members, &*verdict.needs, judge.wish.ask.time);
        let domain = Domain { choices, members, needs, seats, limit };
        let mut work = 0;
        let found = domain.earliest(&self.estate, now, Time::NEVER, by, &mut work)?;
        Some(found.from.since(now))
    }
}
