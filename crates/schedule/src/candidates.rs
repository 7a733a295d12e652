//! Where a job could go: what `plan` and `quote` show before anything is queued.

use std::collections::BTreeMap;

use dayan_units::{Micro, PoolId, Span, Time};

use crate::answer::{Candidate, Candidates, RefusedPool, StartEstimate};
use crate::ask::{GangAsk, JobAsk};
use crate::change::Appointment;
use crate::estate::{Estate, PoolIx};
use crate::judge::{Choice, Judge, Relax, Wish};
use crate::later::When;
use crate::outlook::Wanted;
use crate::planner::Planner;
use crate::policy::Policy;
use crate::queue::JobKey;
use crate::reason::{Reason, ReasonCode};
use crate::reserve::{Domain, EndBy};
use crate::score::Order;
use crate::verdict::{Verdict, window_of};
use crate::view::PoolView;

/// Does a pool by itself let a job in, whatever its nodes are? No network is known here: a job that asks for a
/// delay is let in nowhere.
pub fn lets_in(pool: &PoolView, ask: &JobAsk) -> bool {
    let (estate, order) = (Estate::default(), Order::of(&ask.prefer, &Policy::default()));
    Judge::new(&estate, None, Wish::of(ask), &order, Time::EPOCH).check_pool(pool).is_ok()
}

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
        Candidates { candidates, refused, order: order.as_slice().to_vec() }
    }

    /// Is there a pool that would take a task of this job, were it empty and all its nodes up? What lies
    /// between the job and its pools counts as far as a network is known.
    pub fn would_take(&self, ask: &JobAsk, now: Time) -> bool {
        let order = Order::of(&ask.prefer, &self.policy);
        let judge = self.judge(Wish::of(ask), &order, window_of(now));
        !self.verdict(&judge).choices.is_empty()
    }

    /// What all of these places would cost at their time limit, each at the price of the hour it is
    /// for; none where one of them is not offered any more, or the sum is over the range of money.
    pub fn price_of(&self, ask: &JobAsk, places: &[Appointment], now: Time) -> Option<Micro> {
        let order = Order::of(&ask.prefer, &self.policy);
        let judge = self.judge(Wish::of(ask), &order, window_of(now));
        let verdict = self.verdict(&judge);
        places.iter().try_fold(Micro::ZERO, |sum, made| {
            let pool = *self.estate.pool_ids.get(&made.pool)?;
            let here = verdict.choices.iter().filter(|choice| {
                self.estate.pool_of(choice.bay) == pool
                    && verdict.needs[usize::from(choice.need)].resources == made.resources
            });
            let price = |choice| judge.price_from(choice, &verdict.needs, made.from).0;
            let least = here.filter_map(price).min()?;
            sum.0.checked_add(least.0).map(Micro)
        })
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
        let room = match judge.wish.gang {
            None => {
                let fit = places.iter().map(|&at| self.tasks_now(verdict, at, when)).sum::<u64>();
                Room { now: fit.min(tasks), started: tasks, alone: true, is_up: true }
            }
            Some(gang) => self.room_for(verdict, places, gang, when),
        };
        let fit = room.now;
        let transfer = judge.transfer(pool, view);
        let wait = |by| {
            if fit > 0 {
                return Some(Span::ZERO);
            }
            let seats = judge.wish.gang.map_or(1, |gang| u64::from(gang.at_least()));
            let wanted = Wanted { seats, need: need.resources, place };
            let choices = places.iter().map(|&at| verdict.choices[at]);
            let queue = self.queue_wait(choices, &wanted, now, by).unwrap_or(Span::ZERO);
            let queue = queue.max(pool.forecast_wait(now));
            Some(self.wait(judge, verdict, places, now, by)?.max(queue))
        };
        let staged = transfer.unwrap_or(Span::ZERO);
        // Every lease ends: what is never free is down, or closes for good.
        let never = if room.is_up { ReasonCode::PoolPromised } else { ReasonCode::PoolDown };
        let start = |by| Some(wait(by)?.plus(staged));
        let p90 = start(EndBy::Latest).ok_or(never)?;
        let p50 = start(EndBy::Expected).ok_or(never)?.min(p90);
        let total = i64::try_from(room.started).ok().and_then(|n| per_task.0.checked_mul(n));
        Ok(Candidate {
            pool: view.pool,
            provider: view.provider,
            site: view.site,
            offer: offer.offer,
            resources: need.resources,
            tasks: fit,
            alone: room.alone,
            score: judge.score(best, &verdict.needs).told(judge.order),
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
                    let cards = booked
                        .bank
                        .choose(need.cards, &crate::cards::Islands::NONE)
                        .expect("it fits");
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

    /// What a gang finds where these places are: of all domains that one of them is in, the one
    /// with the most room now, as the planner would take it.
    fn room_for(&self, verdict: &Verdict, places: &[usize], gang: GangAsk, when: When) -> Room {
        let (least, size) = (u64::from(gang.at_least()), u64::from(gang.size.max(1)));
        let now = |at: usize| self.seats_now(verdict, at, when);
        let empty = |at: usize, up_only: bool| {
            let choice = &verdict.choices[at];
            let need = &verdict.needs[usize::from(choice.need)];
            let nodes = self.estate.bays[choice.bay].nodes.iter();
            let counted = nodes.filter(|node| !up_only || node.is_up());
            counted.map(|node| node.seats_empty(need)).sum::<u64>()
        };
        let most = |count: &dyn Fn(usize) -> u64| {
            let sums = domains_of(verdict, places)
                .map(|domain| domain.iter().map(|&at| count(at as usize)).sum::<u64>());
            sums.max().unwrap_or(0)
        };
        let fit = most(&now);
        let fit = if fit >= least { fit.min(size) } else { 0 };
        let started = if fit > 0 { fit } else { most(&|at| empty(at, false)).clamp(least, size) };
        let alone = places.iter().map(|&at| empty(at, false)).sum::<u64>() >= least;
        Room { now: fit, started, alone, is_up: most(&|at| empty(at, true)) >= least }
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
        let (choices, needs): (&[Choice], _) = (&verdict.choices, &*verdict.needs);
        let limit = judge.wish.ask.time;
        let mut work = 0;
        let mut earliest = |members: &[u32], seats| {
            let domain = Domain { choices, members, needs, seats, limit, leaves: None };
            domain.earliest(&self.estate, now, Time::NEVER, by, &mut work)
        };
        let found = match judge.wish.gang {
            None => earliest(&numbers(places), 1)?.from,
            Some(gang) => {
                let seats = u64::from(gang.at_least());
                let each = domains_of(verdict, places).filter_map(|all| earliest(all, seats));
                each.map(|found| found.from).min()?
            }
        };
        Some(found.since(now))
    }
}

/// What there is for a job at some places.
struct Room {
    /// So many of its tasks could start now.
    now: u64,
    /// With so many it starts, when there is room: of an elastic gang, as many as it can have.
    started: u64,
    /// Were they empty, these places would do without any beside them.
    alone: bool,
    /// Enough nodes take work.
    is_up: bool,
}

fn numbers(places: &[usize]) -> Vec<u32> {
    places.iter().map(|&at| u32::try_from(at).expect("choices are few")).collect()
}

/// What is close enough together for a gang, and has one of these places in it.
fn domains_of<'a>(
    verdict: &'a Verdict,
    places: &[usize],
) -> impl Iterator<Item = &'a Vec<u32>> + use<'a> {
    let here = numbers(places);
    verdict.domains.iter().filter(move |domain| domain.iter().any(|at| here.contains(at)))
}
