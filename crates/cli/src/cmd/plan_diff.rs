//! What is different between two plans: the one that was saved, and the one there is now.
//!
//! Invariant: a clock that went on changes nothing. What is compared is what was decided: who takes the
//! job, in what order, with how many tasks at what price, what is promised, whether it may be submitted,
//! and the moment it would start, not how long until then.

use dayan_wire::{Candidate, PlanAnswer, PlanOrder, Promise, RefusedPool};
use jiff::Timestamp;
use serde::Serialize;

use crate::output::{Cell, Grid, Show, View, money, seconds};
use crate::words::Word;

/// An estimate that moves by less is the same: it is shown in seconds and good to minutes.
const START_MOVES_S: f64 = 60.0;
/// What was measured is the same within a tenth.
const MEASURED_MOVES: f64 = 0.1;

/// What is different between two plans.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// Pools that take it now and did not.
    pub added: Vec<Candidate>,
    /// Pools that took it and do not any more, with the reasons where they are told.
    pub removed: Vec<RefusedPool>,
    /// Pools that took it and still do, but otherwise.
    pub changed: Vec<Change>,
    /// The pool that comes first, where that is another one; none: no pool takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first: Option<Turned<Option<String>>>,
    /// The order of the pools that take it in both, where it is another one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ranks: Option<Turned<Vec<String>>>,
    /// The measures that pools are compared by, where they are others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub order: Option<Turned<Vec<PlanOrder>>>,
    /// What is promised, where that is something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promise: Option<Turned<Option<Promised>>>,
    /// The code by which submitting it is refused, where that is another one; none: it is taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub submission: Option<Turned<Option<String>>>,
}

/// What it was, and what it is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Turned<T> {
    /// Before.
    pub was: T,
    /// Now.
    pub now: T,
}

impl<T> Turned<T> {
    /// None where it is the same.
    fn unless(same: bool, was: T, now: T) -> Option<Self> {
        if same { None } else { Some(Self { was, now }) }
    }
}

/// What a plan promises.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Promised {
    /// When.
    #[serde(flatten)]
    pub times: Promise,
    /// What it costs then, where it is known.
    pub price: Option<String>,
    /// The currency of that.
    pub currency: Option<String>,
    /// What it emits then, where it is known.
    pub carbon_g: Option<f64>,
}

impl Promised {
    fn of(plan: &PlanAnswer) -> Option<Self> {
        Some(Self {
            times: plan.promise.clone()?,
            price: plan.promise_price.clone(),
            currency: plan.promise_currency.clone(),
            carbon_g: plan.promise_carbon_g,
        })
    }

    fn shown(&self, view: &View) -> String {
        let Promise { starts_by, ends_by } = &self.times;
        let times = format!("{} – {}", view.time(starts_by), view.time(ends_by));
        match (&self.price, &self.currency) {
            (Some(price), Some(currency)) => format!("{times}, {}", money(price, currency)),
            (Some(_) | None, _) => times,
        }
    }
}

/// When a plan was made, where it says.
fn made_at(plan: &PlanAnswer) -> Option<Timestamp> {
    plan.at.as_deref()?.parse().ok()
}

/// Does a plan still promise what another did?
fn still_promised(old: &PlanAnswer, new: &PlanAnswer) -> bool {
    let (was, now) = match (Promised::of(old), Promised::of(new)) {
        (None, None) => return true,
        (Some(was), Some(now)) => (was, now),
        (Some(_), None) | (None, Some(_)) => return false,
    };
    // In how many seconds it starts, and how long it takes then; what starts within a minute starts at
    // once.
    let times = |plan: &PlanAnswer, of: &Promise| {
        let starts: Timestamp = of.starts_by.parse().ok()?;
        let ends: Timestamp = of.ends_by.parse().ok()?;
        let wait = starts.duration_since(made_at(plan)?).as_secs_f64();
        let wait = if wait > START_MOVES_S { wait } else { 0.0 };
        Some((wait, ends.duration_since(starts).as_secs_f64()))
    };
    let same_times = match (times(old, &was.times), times(new, &now.times)) {
        (Some((waited, took)), Some((waits, takes))) => {
            !another_start(waited, waits, passed(old, new))
                && (takes - took).abs() <= START_MOVES_S.max(MEASURED_MOVES * took)
        }
        (Some(_) | None, _) => was.times == now.times,
    };
    same_times
        && (&was.price, &was.currency) == (&now.price, &now.currency)
        && !moved(was.carbon_g, now.carbon_g)
}

/// A pool that still takes the job, but otherwise.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Change {
    /// The pool.
    pub pool: String,
    /// Its name.
    pub pool_name: String,
    /// The keys of a candidate that differ.
    pub differs: Vec<&'static str>,
    /// What it was.
    pub was: Candidate,
    /// What it is.
    pub now: Candidate,
}

/// Did a measure move by more than it is known to?
fn moved(was: Option<f64>, now: Option<f64>) -> bool {
    match (was, now) {
        (Some(was), Some(now)) => (now - was).abs() > MEASURED_MOVES * was.abs().max(now.abs()),
        (None, None) => false,
        (Some(_), None) | (None, Some(_)) => true,
    }
}

/// Is it another moment, where so many seconds went by between? Of plans that do not say when they were
/// made only whether it would start at once.
fn another_start(was: f64, now: f64, passed: Option<f64>) -> bool {
    let within = START_MOVES_S.max(MEASURED_MOVES * was);
    match (was == 0.0, now == 0.0) {
        (true, true) => false,
        (true, false) => true,
        // The wait is over: as it was said to be, unless that is sooner.
        (false, true) => passed.is_none_or(|passed| was - passed > within),
        (false, false) => passed.is_some_and(|passed| (now + passed - was).abs() > within),
    }
}

fn differs(was: &Candidate, now: &Candidate, passed: Option<f64>) -> Vec<&'static str> {
    let found = [
        ("tasks", was.tasks != now.tasks),
        ("price", (&was.price, &was.currency) != (&now.price, &now.currency)),
        ("price_per_task_hour", was.price_per_task_hour != now.price_per_task_hour),
        ("start_p50_s", another_start(was.start_p50_s, now.start_p50_s, passed)),
        ("transfer_s", moved(was.transfer_s, now.transfer_s)),
        ("delay_ms", moved(was.delay_ms, now.delay_ms)),
        ("carbon_g", moved(was.carbon_g, now.carbon_g)),
        ("accelerator", was.accelerator != now.accelerator),
        ("site", (&was.site, &was.provider) != (&now.site, &now.provider)),
    ];
    found.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
}

/// How many seconds lie between two plans, where both say when they were made.
fn passed(old: &PlanAnswer, new: &PlanAnswer) -> Option<f64> {
    Some(made_at(new)?.duration_since(made_at(old)?).as_secs_f64())
}

impl Difference {
    /// From an older plan to a newer one, in the newer one's order.
    pub fn between(old: &PlanAnswer, new: &PlanAnswer) -> Self {
        let before = |pool: &str| old.candidates.iter().find(|c| c.pool == pool);
        let after = |pool: &str| new.candidates.iter().any(|c| c.pool == pool);
        let refusal = |gone: &Candidate| {
            let told = new.refused.iter().find(|refused| refused.pool == gone.pool);
            told.cloned().unwrap_or_else(|| RefusedPool {
                pool: gone.pool.clone(),
                pool_name: gone.pool_name.clone(),
                reasons: Vec::new(),
            })
        };
        let passed = passed(old, new);
        let added = new.candidates.iter().filter(|c| before(&c.pool).is_none());
        let changed = new.candidates.iter().filter_map(|now| {
            let was = before(&now.pool)?;
            let differs = differs(was, now, passed);
            let (pool, pool_name) = (now.pool.clone(), now.pool_name.clone());
            let change = Change { pool, pool_name, differs, was: was.clone(), now: now.clone() };
            (!change.differs.is_empty()).then_some(change)
        });
        let in_both = |plan: &PlanAnswer, other: &PlanAnswer| -> Vec<(String, String)> {
            let there = |c: &&Candidate| other.candidates.iter().any(|o| o.pool == c.pool);
            let both = plan.candidates.iter().filter(there);
            both.map(|c| (c.pool.clone(), c.pool_name.clone())).collect()
        };
        let (then, now) = (in_both(old, new), in_both(new, old));
        // By what a pool is, whatever it is called.
        let same_ranks = then.iter().map(|(id, _)| id).eq(now.iter().map(|(id, _)| id));
        let named = |all: Vec<(String, String)>| all.into_iter().map(|(_, name)| name).collect();
        let first = |plan: &PlanAnswer| plan.candidates.first().map(|c| c.pool.clone());
        let name = |plan: &PlanAnswer| plan.candidates.first().map(|c| c.pool_name.clone());
        let code = |plan: &PlanAnswer| plan.submission.as_ref().map(|problem| problem.code.clone());
        // An exchange of before the order was told says none.
        let same_order = old.order.is_empty() || old.order == new.order;
        let same_first = first(old) == first(new);
        let (same_promise, same_answer) = (still_promised(old, new), code(old) == code(new));
        Self {
            added: added.cloned().collect(),
            removed: old.candidates.iter().filter(|c| !after(&c.pool)).map(refusal).collect(),
            changed: changed.collect(),
            first: Turned::unless(same_first, name(old), name(new)),
            ranks: Turned::unless(same_ranks, named(then), named(now)),
            order: Turned::unless(same_order, old.order.clone(), new.order.clone()),
            promise: Turned::unless(same_promise, Promised::of(old), Promised::of(new)),
            submission: Turned::unless(same_answer, code(old), code(new)),
        }
    }

    /// Is it the same plan?
    pub fn is_none(&self) -> bool {
        let Self { added, removed, changed, first, ranks, order, promise, submission } = self;
        let pools = added.is_empty() && removed.is_empty() && changed.is_empty();
        let ranked = first.is_none() && ranks.is_none() && order.is_none();
        pools && ranked && promise.is_none() && submission.is_none()
    }
}

impl Show for Difference {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::ChangeMark,
            Word::Pool,
            Word::Price,
            Word::StartP50,
            Word::TasksNow,
            Word::Differs,
        ];
        let mut grid = Grid::new(view, &heads);
        for now in &self.added {
            grid.row([
                Cell::text("+"),
                Cell::text(&now.pool_name),
                Cell::text(money(&now.price, &now.currency)),
                Cell::text(seconds(now.start_p50_s)),
                Cell::text(now.tasks.to_string()),
            ]);
        }
        for gone in &self.removed {
            let why: Vec<&str> = gone.reasons.iter().map(|r| r.message.as_str()).collect();
            grid.row([Cell::text("-"), Cell::text(&gone.pool_name), Cell::text(why.join("; "))]);
        }
        for Change { pool_name, was, now, differs, .. } in &self.changed {
            let arrow = |was: String, now: String| {
                if was == now { now } else { format!("{was} → {now}") }
            };
            let start = if differs.contains(&"start_p50_s") {
                arrow(seconds(was.start_p50_s), seconds(now.start_p50_s))
            } else {
                seconds(now.start_p50_s)
            };
            grid.row([
                Cell::text("~"),
                Cell::text(pool_name),
                Cell::text(arrow(
                    money(&was.price, &was.currency),
                    money(&now.price, &now.currency),
                )),
                Cell::text(start),
                Cell::text(arrow(was.tasks.to_string(), now.tasks.to_string())),
                Cell::text(differs.join(", ")),
            ]);
        }
        let mut out = grid.finish();
        let mut beside = Grid::new(view, &[Word::Differs, Word::Was, Word::Now]);
        for (key, was, now) in self.beside(view) {
            beside.row([Cell::text(key), Cell::text(was), Cell::text(now)]);
        }
        let beside = beside.finish();
        if !out.is_empty() && !beside.is_empty() {
            out.push('\n');
        }
        out + &beside
    }
}

impl Difference {
    /// What differs beside the pools: its key, what it was, what it is.
    fn beside(&self, view: &View) -> Vec<(&'static str, String, String)> {
        fn row<T>(
            key: &'static str,
            turned: Option<&Turned<T>>,
            shown: impl Fn(&T) -> String,
        ) -> Option<(&'static str, String, String)> {
            turned.map(|turned| (key, shown(&turned.was), shown(&turned.now)))
        }
        let none = || "-".to_owned();
        let name = |of: &Option<String>| of.clone().unwrap_or_else(none);
        let promise = |of: &Option<Promised>| of.as_ref().map_or_else(none, |of| of.shown(view));
        let order = |of: &Vec<PlanOrder>| {
            of.iter().map(|measure| measure.by.as_str()).collect::<Vec<_>>().join(", ")
        };
        let rows = [
            row("first", self.first.as_ref(), name),
            row("ranks", self.ranks.as_ref(), |names| names.join(", ")),
            row("order", self.order.as_ref(), order),
            row("promise", self.promise.as_ref(), promise),
            row("submission", self.submission.as_ref(), name),
        ];
        rows.into_iter().flatten().collect()
    }
}

/// A saved plan asked for again: is it still the plan?
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Replayed {
    /// The same question gives the same plan.
    pub same: bool,
    /// The journal's newest row when it was saved, where it says.
    pub was_at: Option<u64>,
    /// The same now: where they are equal, nothing was committed between.
    pub now_at: Option<u64>,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

impl Replayed {
    /// From the plan that was saved, and the answer to its question now.
    pub fn between(saved: &PlanAnswer, answer: &PlanAnswer) -> Self {
        let difference = Difference::between(saved, answer);
        Self {
            same: difference.is_none(),
            was_at: saved.revision,
            now_at: answer.revision,
            difference,
        }
    }
}

impl Show for Replayed {
    fn table(&self, view: &View) -> String {
        let since = match (self.was_at, self.now_at) {
            (Some(was), Some(now)) => now.checked_sub(was),
            (None, _) | (_, None) => None,
        };
        let since = since.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
        let word = if self.same { Word::PlanIsTheSame } else { Word::PlanIsAnother };
        let mut out = view.lang.fill(word, &[("rows", &since)]);
        out.push('\n');
        if !self.same {
            out.push('\n');
            out.push_str(&self.difference.table(view));
        }
        out
    }
}
