//! Keeps each class's verdict on all pools up to date: made once, then mended pool by pool.
//!
//! Invariant: after `settle`, a class that is not stale holds exactly what judging all pools
//! afresh would give.

use std::collections::{BTreeMap, BTreeSet};

use dayan_units::{SiteId, Span, Time};

use crate::ask::{GangAsk, Same};
use crate::estate::PoolIx;
use crate::judge::{Choice, Judge};
use crate::planner::Planner;
use crate::queue::{ClassIx, Standing};
use crate::reason::ReasonCode;
use crate::score::Order;
use crate::slots::BitSet;

/// Delays and transfer times are judged once in this window (the measuring window of CATS metrics),
/// for its start, so that the verdict does not depend on when in it the planner looked.
const JUDGED_WINDOW: Span = Span::from_secs(10);

/// The start of the window that a moment lies in.
pub(crate) fn window_of(now: Time) -> Time {
    let width = JUDGED_WINDOW.micros();
    Time::from_micros(now.micros().div_euclid(width) * width)
}

impl Planner {
    /// The next look at the class judges all pools afresh.
    pub(crate) fn judge_again(&mut self, ix: ClassIx) {
        self.demand.class_changed(ix);
        self.demand.classes[ix].stale = true;
        self.demand.stand(ix, Standing::Active);
    }

    /// Brings verdicts and knowledge of room up to what was observed.
    pub(crate) fn settle(&mut self, now: Time) {
        self.forget_seats();
        self.planned_at = Some(now);
        self.estate.end_closures(now);
        self.demand.end_avoids(now);
        self.demand.wake(now);
        let window = window_of(now);
        if self.judged_at != Some(window) {
            self.judged_at = Some(window);
            self.judge_timed_again();
        }
        self.mend_dirty();
        self.settle_quotas();
        for at in self.estate.take_touched() {
            self.owed.insert(at, None);
        }
    }

    /// Judges the pools that changed again, for every class that waits.
    pub(crate) fn mend_dirty(&mut self) {
        let dirty = std::mem::take(&mut self.estate.dirty);
        if !dirty.is_empty() {
            self.mend_all(&dirty);
        }
        // Those numbers may be other bays' by now, which the next mending must not take for them.
        let dropped = std::mem::take(&mut self.estate.dropped);
        self.owed.retain(|at, _| !dropped.contains(&at.bay));
    }

    fn mend_all(&mut self, dirty: &BTreeSet<PoolIx>) {
        // From this share on, judging all afresh costs no more than mending.
        let too_many = dirty.len() * 4 > self.estate.pool_ids.len();
        let classes: Vec<ClassIx> = self.demand.classes.iter().map(|(ix, _)| ix).collect();
        for ix in classes {
            let class = &self.demand.classes[ix];
            if class.stale || too_many || class.registered.is_none() || class.key.gang.is_some() {
                self.judge_again(ix);
            } else {
                self.mend(ix, dirty);
            }
        }
    }

    fn mend(&mut self, ix: ClassIx, dirty: &BTreeSet<PoolIx>) {
        let class = &mut self.demand.classes[ix];
        let mut closed = std::mem::take(&mut class.closed);
        let mut choices = class.choices.to_vec();
        let mut needs = std::mem::take(&mut class.needs);
        let estate = &self.estate;
        choices.retain(|choice| {
            // A number may have been given out again, but then only to another dirty pool's bay.
            let keep = !estate.dropped.contains(&choice.bay)
                && !dirty.contains(&estate.pool_of(choice.bay));
            if !keep {
                closed.remove(choice.bay);
            }
            keep
        });
        let counts = &mut class.counts;
        class.refused.retain(|(pool, code)| {
            let keep = !dirty.contains(pool);
            if !keep {
                count(counts, *code, Count::Less);
            }
            keep
        });
        let class = &self.demand.classes[ix];
        let order = Order::of(&class.key.prefer, &self.policy);
        let judge = self.judge(class.wish(), &order, self.judged_at.unwrap_or(Time::EPOCH));
        let mut refused = Vec::new();
        let mut found = Vec::new();
        for &pool in dirty.iter().filter(|pool| self.is_shown(**pool)) {
            let add = |_, choice| found.push(choice);
            if let Err(code) = judge.pool(pool, &mut needs, add) {
                refused.push((pool, code));
            }
        }
        let found_more = !found.is_empty();
        for choice in found {
            let score = judge.score(&choice, &needs);
            let at = choices.partition_point(|other| judge.score(other, &needs) < score);
            choices.insert(at, choice);
        }
        let infeasible = choices.is_empty();
        let choices = self.lists.share(choices);
        self.demand.class_changed(ix);
        let class = &mut self.demand.classes[ix];
        for &(_, code) in &refused {
            count(&mut class.counts, code, Count::More);
        }
        class.refused.append(&mut refused);
        class.refused.sort_unstable();
        (class.closed, class.choices, class.needs) = (closed, choices, needs);
        class.cursor = 0;
        if infeasible {
            self.demand.stand(ix, Standing::Infeasible);
        } else if found_more {
            self.demand.stand(ix, Standing::Active);
        }
    }

    /// Do choices that begin alike stand in the order of their scores? Those of one pool differ in what
    /// stands idle and in their numbers alone, and were found in that order, if nothing stands idle.
    fn are_in_order(&self, choices: &[Choice]) -> bool {
        choices.windows(2).all(|pair| {
            let (a, b) = (&pair[0], &pair[1]);
            let (bay_a, bay_b) = (self.estate.sign(a.bay), self.estate.sign(b.bay));
            // Nodes without cards come first in the numbers too.
            (a.offer, a.need) == (b.offer, b.need)
                && bay_a.pool == bay_b.pool
                && bay_a.number < bay_b.number
                && bay_a.has_cards <= bay_b.has_cards
        })
    }

    fn is_shown(&self, pool: PoolIx) -> bool {
        self.estate.pools[pool as usize].view.is_some()
    }

    /// A judge of this moment's picture.
    pub(crate) fn judge<'a>(
        &'a self,
        wish: crate::judge::Wish<'a>,
        order: &'a Order,
        at: Time,
    ) -> Judge<'a> {
        let network = self.network.as_deref();
        Judge::new(&self.estate, network, wish, order, at)
    }

    /// Judges all pools for a class afresh.
    pub(crate) fn rebuild(&mut self, ix: ClassIx, work: &mut u64) {
        let class = &self.demand.classes[ix];
        let at = self.judged_at.unwrap_or(Time::EPOCH);
        let order = Order::of(&class.key.prefer, &self.policy);
        let verdict = self.verdict(&self.judge(class.wish(), &order, at));
        if verdict.is_unlike {
            self.estate.rank(&verdict.choices);
        }
        *work += self.estate.pool_ids.len() as u64;
        let infeasible = verdict.choices.is_empty();
        self.demand.judged(ix);
        let class = &mut self.demand.classes[ix];
        class.needs = verdict.needs;
        class.choices = self.lists.share(verdict.choices);
        class.refused = verdict.refused;
        class.counts = verdict.counts;
        class.domains = verdict.domains;
        class.reopen();
        self.demand.stand(ix, if infeasible { Standing::Infeasible } else { Standing::Active });
    }

    /// The verdict of all pools on one wish.
    pub(crate) fn verdict(&self, judge: &Judge<'_>) -> Verdict {
        let mut verdict = Verdict::default();
        // Whole scores of a country would fill the processor's cache for each class: only what is
        // compared first is kept of them, in one number with the place of the choice.
        let mut found: Vec<Choice> = Vec::with_capacity(self.estate.bays.len());
        let mut ranked: Vec<u128> = Vec::with_capacity(self.estate.bays.len());
        // Which order they are looked at in says nothing, but for how far there is to sort. Where asks
        // come to many needs, those are numbered as they are found.
        let by_id: Vec<PoolIx>;
        let pools = if judge.wish.ask.capability.is_empty() {
            &self.estate.ranking
        } else {
            by_id = self.estate.pool_ids.values().copied().collect();
            &by_id
        };
        for &pool in pools.iter().filter(|pool| self.is_shown(**pool)) {
            let add = |head: u128, choice| {
                let at = u32::try_from(found.len()).expect("bays are numbered in 32 bits");
                ranked.push(head << u32::BITS | u128::from(at));
                found.push(choice);
            };
            if let Err(code) = judge.pool(pool, &mut verdict.needs, add) {
                verdict.refused.push((pool, code));
            }
        }
        if !ranked.is_sorted() {
            ranked.sort_unstable();
            verdict.is_unlike = true;
        }
        let choice_of = |ranked: &u128| found[(ranked & u128::from(u32::MAX)) as usize];
        verdict.choices = ranked.iter().map(choice_of).collect();
        let mut from = 0;
        for equal in ranked.chunk_by(|a, b| a >> u32::BITS == b >> u32::BITS) {
            let choices = &mut verdict.choices[from..from + equal.len()];
            from += equal.len();
            if choices.len() > 1 && !self.are_in_order(choices) {
                choices.sort_by_cached_key(|choice| judge.score(choice, &verdict.needs));
            }
        }
        if let Some(gang) = judge.wish.gang {
            verdict.split(self, gang);
        }
        verdict.refused.sort_unstable();
        for &(_, code) in &verdict.refused {
            count(&mut verdict.counts, code, Count::More);
        }
        verdict
    }
}

/// What all pools say to one wish.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub needs: smallvec::SmallVec<[crate::fit_tree::Need; 1]>,
    pub choices: Vec<Choice>,
    pub refused: Vec<(PoolIx, ReasonCode)>,
    pub counts: BTreeMap<ReasonCode, u32>,
    pub domains: Vec<Vec<u32>>,
    /// Its choices stand in another order than those of the verdict before.
    is_unlike: bool,
}

/// What holds a gang together; ordered only to group by.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Together<'a> {
    Site(SiteId),
    /// A fabric, or what the path below it names.
    Network(SiteId, &'a str, &'a str),
    Pool(PoolIx),
}

/// How close together; of a leaf's path so many parts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Site,
    Fabric,
    Below(usize),
    Leaf,
    Pool,
}

/// A path of more parts than this is as close as one of so many: fabrics have three levels of
/// switches, and a node some islands.
const LEVELS_MAX: usize = 6;

impl From<Same> for Level {
    fn from(same: Same) -> Self {
        match same {
            Same::Site => Self::Site,
            Same::Fabric => Self::Fabric,
            Same::Leaf => Self::Leaf,
            Same::Pool => Self::Pool,
        }
    }
}

/// The first so many parts of a path; none where it has fewer.
fn beginning(path: &str, parts: usize) -> Option<&str> {
    let mut ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    ends.nth(parts.checked_sub(1)?).map(|end| &path[..end])
}

impl Verdict {
    /// The choices by what of a level they share; those that name none of it are in no group.
    fn groups(&self, planner: &Planner, gang: GangAsk, level: Level) -> Vec<Vec<u32>> {
        let estate = &planner.estate;
        let size = gang.at_least();
        let mut groups: BTreeMap<(Option<PoolIx>, Together<'_>), Vec<u32>> = BTreeMap::new();
        for (at, choice) in (0u32..).zip(&self.choices) {
            let ix = estate.pool_of(choice.bay);
            let view = estate.pools[ix as usize].view.as_ref().expect("it was judged");
            let leaf = estate.bays[choice.bay].make.leaf.as_deref();
            let network =
                |below| Some(Together::Network(view.site, view.fabric.as_deref()?, below));
            let together = match level {
                Level::Site => Some(Together::Site(view.site)),
                Level::Fabric => network(""),
                Level::Leaf => leaf.and_then(network),
                Level::Below(parts) => leaf.and_then(|it| beginning(it, parts)).and_then(network),
                Level::Pool => Some(Together::Pool(ix)),
            };
            let pool = (gang.same == Same::Pool).then_some(ix);
            if let Some(together) = together {
                groups.entry((pool, together)).or_default().push(at);
            }
        }
        let large_enough = |members: &Vec<u32>| {
            let seats = members.iter().map(|&at| {
                let choice = &self.choices[at as usize];
                estate.bays[choice.bay].seats_empty(&self.needs[usize::from(choice.need)])
            });
            seats.sum::<u64>() >= u64::from(size)
        };
        let mut domains: Vec<Vec<u32>> = groups.into_values().filter(large_enough).collect();
        // A member's first entry is its best choice, so this is the order of the best choices.
        domains.sort();
        domains
    }

    /// Splits the choices into domains that are close enough together and large enough, the closest
    /// first where that is preferred; pools outside of every such domain refuse.
    fn split(&mut self, planner: &Planner, gang: GangAsk) {
        let estate = &planner.estate;
        let mut domains: Vec<Vec<u32>> = Vec::new();
        let mut levels = Vec::new();
        if gang.near == Some(Same::Leaf) {
            levels.push(Level::Leaf);
            levels.extend((1..LEVELS_MAX).rev().map(Level::Below));
        }
        if gang.near.is_some() {
            levels.push(Level::Fabric);
        }
        // What must be under one leaf can be no closer.
        if gang.same == Same::Leaf {
            levels.clear();
        }
        levels.push(gang.same.into());
        for level in levels {
            for domain in self.groups(planner, gang, level) {
                if !domains.contains(&domain) {
                    domains.push(domain);
                }
            }
        }
        let kept: BTreeSet<u32> = domains.iter().flatten().copied().collect();
        let pools: BTreeSet<PoolIx> =
            kept.iter().map(|&at| estate.pool_of(self.choices[at as usize].bay)).collect();
        let judged: BTreeSet<PoolIx> =
            self.choices.iter().map(|choice| estate.pool_of(choice.bay)).collect();
        let too_small = judged.difference(&pools);
        self.refused.extend(too_small.map(|&pool| (pool, ReasonCode::PoolNoNodeFits)));
        // Choices are named by index from the domains: dropped ones leave, indices follow.
        let mut renumbered = BTreeMap::new();
        let mut choices = Vec::with_capacity(kept.len());
        for at in kept {
            renumbered.insert(at, u32::try_from(choices.len()).expect("no more than before"));
            choices.push(self.choices[at as usize]);
        }
        self.choices = choices;
        for member in domains.iter_mut().flatten() {
            *member = renumbered[member];
        }
        self.domains = domains;
    }
}

#[derive(Clone, Copy)]
enum Count {
    More,
    Less,
}

fn count(counts: &mut BTreeMap<ReasonCode, u32>, code: ReasonCode, how: Count) {
    let entry = counts.entry(code).or_default();
    match how {
        Count::More => *entry += 1,
        Count::Less => *entry -= 1,
    }
    if *entry == 0 {
        counts.remove(&code);
    }
}

/// Closed for every bay that is a choice: nothing is known to have room.
pub(crate) fn all_closed(choices: &[Choice]) -> BitSet {
    let mut closed = BitSet::default();
    for choice in choices {
        closed.insert(choice.bay);
    }
    closed
}
