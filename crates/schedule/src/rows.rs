//! Why jobs wait, for the rows of a list: the first reasons of each, from what the planner remembers
//! of its class. No queue is walked, and few classes are judged again, so a page of a thousand rows
//! costs some milliseconds; the whole answer is [`Planner::explain`]'s.
//!
//! Invariant: what is said here is among what `explain` says of the same picture.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use dayan_units::{JobId, Time};

use crate::answer::JobStanding;
use crate::estate::PoolIx;
use crate::explain::{Taken, seats_of};
use crate::fit_tree::Need;
use crate::judge::{Choice, Judge};
use crate::later::When;
use crate::planner::Planner;
use crate::queue::{Class, ClassIx};
use crate::reason::{Reason, ReasonCode};
use crate::score::Order;
use crate::short::Leaves;
use crate::verdict::window_of;

/// Reasons in a row: as many as a line on a screen has room for, and who wants all asks for all.
const REASONS_MAX: usize = 3;
/// Places that are looked at for one class, the best first: the others are mostly as full.
const LOOKED_AT_MAX: usize = 8;
/// Classes that are judged for a page, of those that nobody has looked at since something changed for
/// them: in a country a verdict costs a millisecond. The next round judges the others.
const JUDGED_MAX: usize = 16;

/// What all pools say to a class.
struct Said<'a> {
    choices: &'a [Choice],
    needs: &'a [Need],
    counts: &'a BTreeMap<ReasonCode, u32>,
    refused: &'a [(PoolIx, ReasonCode)],
    /// What the first of its jobs on the page leaves free.
    leaves: Option<Leaves>,
}

impl Planner {
    /// The first reasons why each of these jobs waits; nothing of those that do not, or that nobody
    /// has looked at yet.
    pub fn first_reasons(&self, jobs: &[JobId], now: Time) -> BTreeMap<JobId, Vec<Reason>> {
        let mut of_classes: BTreeMap<ClassIx, Vec<Reason>> = BTreeMap::new();
        let mut left = JUDGED_MAX;
        let mut out = BTreeMap::new();
        for id in jobs {
            let Some(job) = self.demand.job_ids.get(id).map(|ix| &self.demand.jobs[*ix]) else {
                continue;
            };
            // What all pools say of its class comes below.
            let reasons = match self.standing(job, Taken::Somewhere) {
                JobStanding::NotWaiting => continue,
                JobStanding::Infeasible | JobStanding::Waiting => {
                    let class = &self.demand.classes[job.class];
                    let place = self.demand.place_of(job);
                    let leaves = self.demand.leaves(job.class, place, now);
                    let of_class = || self.first_of_class(class, leaves, now, &mut left);
                    of_classes.entry(job.class).or_insert_with(of_class).clone()
                }
                standing @ (JobStanding::Blocked
                | JobStanding::OverQuota
                | JobStanding::NoLicense
                | JobStanding::AtMaxParallel
                | JobStanding::NotYet
                | JobStanding::BehindStrict) => {
                    self.own_reason(job, standing).into_iter().collect()
                }
            };
            if !reasons.is_empty() {
                out.insert(*id, reasons);
            }
        }
        out
    }

    fn first_of_class(
        &self,
        class: &Class,
        leaves: Option<Leaves>,
        now: Time,
        left: &mut usize,
    ) -> Vec<Reason> {
        let order = Order::of(&class.key.prefer, &self.policy);
        let judge = self.judge(class.wish(), &order, window_of(now));
        let when = When::now(now, class.ask.time);
        if !class.stale {
            let Class { choices, needs, counts, refused, .. } = class;
            let said = Said { choices, needs, counts, refused, leaves };
            return self.first_said(&judge, &said, when);
        }
        // What a stale class remembers may name bays that are gone.
        let Some(fewer) = left.checked_sub(1) else { return Vec::new() };
        *left = fewer;
        let verdict = self.verdict(&judge);
        let said = Said {
            choices: &verdict.choices,
            needs: &verdict.needs,
            counts: &verdict.counts,
            refused: &verdict.refused,
            leaves,
        };
        self.first_said(&judge, &said, when)
    }

    /// That the best pools have no room, or why all of them refuse.
    fn first_said(&self, judge: &Judge<'_>, said: &Said<'_>, when: When) -> Vec<Reason> {
        if said.choices.is_empty() {
            let mut counts: Vec<_> = said.counts.iter().map(|(code, of)| (*code, *of)).collect();
            counts.sort_unstable_by_key(|&(code, pools)| (Reverse(pools), Reverse(code)));
            let example = |code| said.refused.iter().find(|(_, why)| *why == code);
            let codes = counts.into_iter().take(REASONS_MAX).map(|(code, _)| code);
            return codes.filter_map(|code| Some(judge.reason(example(code)?.0, code))).collect();
        }
        // What was shown anew since the last round has other bays, until that is settled.
        let is_there = |choice: &&Choice| {
            !self.estate.dropped.contains(&choice.bay) && !self.estate.is_queue(choice.bay)
        };
        let best = said.choices.iter().filter(is_there).take(LOOKED_AT_MAX);
        let leaves = said.leaves.as_ref().map(|leaves| (leaves, seats_of(judge.wish.gang)));
        let why = |choice: &Choice| {
            let need = &said.needs[usize::from(choice.need)];
            (self.no_room(choice.bay, need, when, leaves), Reverse(self.estate.pool_of(choice.bay)))
        };
        let worst: Option<(ReasonCode, Reverse<PoolIx>)> = best.map(why).max();
        worst.map(|(code, Reverse(pool))| judge.reason(pool, code)).into_iter().collect()
    }
}
