//! Budgets: what a project may spend on a job, in a day and in a month, with a hard stop in real
//! time.
//!
//! Money counts from the moment it is held, so nothing can be spent that was not admitted. A hold
//! counts in whatever day and month is current until it ends; what is captured of it counts as
//! spent in the day and month of the capture. When a period ends, what was spent in it is no
//! longer counted and what is held carries over.
//!
//! Invariant: while the limits stay, spent and held together never exceed one. Where a limit was
//! lowered below them, they do not grow until they are under it again. A budget does not know why
//! money is held or where it goes.

use std::collections::BTreeMap;
use std::fmt;

use dayan_units::{JobId, Micro, PERMILLE_ONE, Time};
use serde::{Deserialize, Serialize};

use crate::period::{Period, Periods};

/// A warning is due at 80 % unless the project wants other thresholds.
pub const WARN_DEFAULT: u32 = 800;
/// More thresholds than that warn of nothing.
const WARN_MAX: usize = 8;

/// What a project may spend; `None` where nothing limits it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BudgetLimits {
    /// On one job.
    pub per_job: Option<Micro>,
    /// In a day.
    pub per_day: Option<Micro>,
    /// In a month.
    pub per_month: Option<Micro>,
    /// At which shares of a limit a warning is due, in permille, ascending.
    pub warn_permille: Vec<u32>,
}

impl Default for BudgetLimits {
    fn default() -> Self {
        let warn_permille = vec![WARN_DEFAULT];
        Self { per_job: None, per_day: None, per_month: None, warn_permille }
    }
}

/// Why limits are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LimitsDefect {
    /// A limit below zero.
    #[error("a budget limit is negative")]
    Negative,
    /// Thresholds that are not ascending, over the limit itself, or too many.
    #[error("warning thresholds must be at most 8, ascending, from 1 to 1000 permille")]
    Thresholds,
}

impl LimitsDefect {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Negative => "market.limits_negative",
            Self::Thresholds => "market.limits_thresholds",
        }
    }
    /// What to do next.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Negative => "give a limit of zero or more, or none",
            Self::Thresholds => "give thresholds such as 500, 800, 950",
        }
    }
}

impl BudgetLimits {
    /// Are they limits? The first defect found.
    pub fn check(&self) -> Result<(), LimitsDefect> {
        let limits = [self.per_job, self.per_day, self.per_month];
        if limits.into_iter().flatten().any(|limit| limit < Micro::ZERO) {
            return Err(LimitsDefect::Negative);
        }
        let warn = &self.warn_permille;
        let ascending = warn.windows(2).all(|pair| pair[0] < pair[1]);
        let within = warn.iter().all(|permille| (1..=PERMILLE_ONE).contains(permille));
        if warn.len() > WARN_MAX || !ascending || !within {
            return Err(LimitsDefect::Thresholds);
        }
        Ok(())
    }
}

/// Which limit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetScope {
    /// That of the job.
    Job,
    /// That of the day.
    Day,
    /// That of the month.
    Month,
}

impl fmt::Display for BudgetScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Job => "job",
            Self::Day => "day",
            Self::Month => "month",
        })
    }
}

/// A threshold that an admission reaches for the first time in its period.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Warning {
    /// Of which limit.
    pub scope: BudgetScope,
    /// The highest threshold reached.
    pub permille: u32,
    /// What is then spent and held.
    pub used: Micro,
    /// The limit.
    pub limit: Micro,
}

/// Why money is not to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the budget of the {scope} has {left} left and {asked} is needed")]
pub struct BudgetRefusal {
    /// Whose limit stands in the way.
    pub scope: BudgetScope,
    /// What is left under it.
    pub left: Micro,
    /// What was asked for.
    pub asked: Micro,
    /// When the period ends and the limit starts anew; `None` for a job.
    pub resets_at: Option<Time>,
}

impl BudgetRefusal {
    /// The stable name.
    pub const fn code(&self) -> &'static str {
        match self.scope {
            BudgetScope::Job => "market.budget_job",
            BudgetScope::Day => "market.budget_day",
            BudgetScope::Month => "market.budget_month",
        }
    }
    /// What to do next.
    pub const fn advice(&self) -> &'static str {
        match self.scope {
            BudgetScope::Job => {
                "raise `market.max_price` or `market.budget` of the job file, or the limit per job \
                 with `dayan budget`; or ask for less time or fewer resources"
            }
            BudgetScope::Day => "wait for the next day, or raise the limit with `dayan budget`",
            BudgetScope::Month => "wait for the next month, or raise the limit with `dayan budget`",
        }
    }
}

/// What counts against one limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    /// Captured.
    pub spent: Micro,
    /// Held and not captured.
    pub held: Micro,
    /// The highest threshold, in permille, of which was warned.
    pub warned: u32,
}

impl Tally {
    /// Both together, which are within the range because an admission checked it.
    pub const fn used(&self) -> Micro {
        Micro(self.spent.0 + self.held.0)
    }
    /// The same with a new period begun: what is held stays.
    const fn anew(self) -> Self {
        Self { spent: Micro::ZERO, held: self.held, warned: 0 }
    }
}

/// Where a project stands with its budget.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct BudgetState {
    limits: BudgetLimits,
    /// The periods that `day` and `month` are about; `None` before the first hold.
    periods: Option<Periods>,
    day: Tally,
    month: Tally,
    /// Jobs for which money was held and that were not forgotten.
    jobs: BTreeMap<JobId, Tally>,
}

impl BudgetState {
    /// Nothing spent, nothing held.
    pub fn new(limits: BudgetLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// The limits.
    pub const fn limits(&self) -> &BudgetLimits {
        &self.limits
    }

    /// Other limits from now on, which [`BudgetLimits::check`] accepted. What is spent and held
    /// stays counted; warnings are due again.
    pub fn relimit(&mut self, limits: BudgetLimits) {
        self.limits = limits;
        for tally in self.jobs.values_mut().chain([&mut self.day, &mut self.month]) {
            tally.warned = 0;
        }
    }

    /// What counts in the day.
    pub fn day(&self, now: &Periods) -> Tally {
        let over = self.periods.is_some_and(|known| is_later(now.day, known.day));
        if over { self.day.anew() } else { self.day }
    }

    /// What counts in the month.
    pub fn month(&self, now: &Periods) -> Tally {
        let over = self.periods.is_some_and(|known| is_later(now.month, known.month));
        if over { self.month.anew() } else { self.month }
    }

    /// What counts for a job.
    pub fn job(&self, job: JobId) -> Tally {
        self.jobs.get(&job).copied().unwrap_or_default()
    }

    /// May that much be held for the job? `job_limit` is the job's own limit; the lower of it and
    /// the project's limit per job holds. Says which thresholds are reached by it for the first
    /// time. Where several limits are in the way, the narrowest scope is named.
    pub fn admit(
        &self,
        now: &Periods,
        job: JobId,
        job_limit: Option<Micro>,
        amount: Micro,
    ) -> Result<Vec<Warning>, BudgetRefusal> {
        let mut warnings = Vec::new();
        for Scope { name, tally, limit, resets_at } in self.scopes(now, job, job_limit) {
            // Without a limit the range of money is one.
            let left = limit.unwrap_or(Micro::MAX).saturating_sub(tally.used());
            if amount > left {
                let left = left.max(Micro::ZERO);
                return Err(BudgetRefusal { scope: name, left, asked: amount, resets_at });
            }
            let used = Micro(tally.used().0 + amount.0);
            let permille = self.threshold(limit, used);
            if let (true, Some(limit)) = (permille > tally.warned, limit) {
                warnings.push(Warning { scope: name, permille, used, limit });
            }
        }
        Ok(warnings)
    }

    /// How much can still be held for the job; `None` where nothing limits it.
    pub fn left(&self, now: &Periods, job: JobId, job_limit: Option<Micro>) -> Option<Micro> {
        self.scopes(now, job, job_limit)
            .into_iter()
            .filter_map(|scope| Some(scope.limit?.saturating_sub(scope.tally.used())))
            .min()
            .map(|left| left.max(Micro::ZERO))
    }

    /// Counts what [`BudgetState::admit`] admitted and was then held.
    pub fn held(&mut self, now: &Periods, job: JobId, job_limit: Option<Micro>, amount: Micro) {
        assert!(amount >= Micro::ZERO, "bug: {amount} cannot be held");
        self.roll(now);
        let [of_job, of_day, of_month] = self.scopes(now, job, job_limit).map(|scope| {
            let held = scope.tally.held.checked_add(amount).expect("admitted within the range");
            let tally = Tally { held, ..scope.tally };
            let warned = self.threshold(scope.limit, tally.used()).max(tally.warned);
            Tally { warned, ..tally }
        });
        self.jobs.insert(job, of_job);
        self.day = of_day;
        self.month = of_month;
    }

    /// Counts as spent what was captured of what was held.
    pub fn captured(&mut self, now: &Periods, job: JobId, amount: Micro) {
        self.roll(now);
        self.each(job, |tally| {
            tally.held = less(tally.held, amount);
            // Within the range because spent and held together were.
            tally.spent = Micro(tally.spent.0 + amount.0);
        });
    }

    /// No longer counts what was released of what was held.
    pub fn released(&mut self, now: &Periods, job: JobId, amount: Micro) {
        self.roll(now);
        self.each(job, |tally| tally.held = less(tally.held, amount));
    }

    /// No longer counts what was paid back, also for a job that was forgotten. Money that was spent
    /// in an earlier period makes no room in this one beyond what this one has spent.
    pub fn refunded(&mut self, now: &Periods, job: JobId, amount: Micro) {
        self.roll(now);
        let of_job = self.jobs.get_mut(&job);
        for tally in of_job.into_iter().chain([&mut self.day, &mut self.month]) {
            tally.spent = Micro((tally.spent.0 - amount.0).max(0));
        }
    }

    /// Forgets a job that has ended. A job for which money is held is kept.
    pub fn forget(&mut self, job: JobId) {
        if self.job(job).held == Micro::ZERO {
            self.jobs.remove(&job);
        }
    }

    /// The three limits with what counts against each at that time, narrowest first.
    fn scopes(&self, now: &Periods, job: JobId, job_limit: Option<Micro>) -> [Scope; 3] {
        let known = self.periods.map_or(*now, |known| newer(known, now));
        let BudgetLimits { per_job, per_day, per_month, .. } = self.limits;
        [
            Scope {
                name: BudgetScope::Job,
                tally: self.job(job),
                limit: lower(per_job, job_limit),
                resets_at: None,
            },
            Scope {
                name: BudgetScope::Day,
                tally: self.day(now),
                limit: per_day,
                resets_at: Some(known.day.end),
            },
            Scope {
                name: BudgetScope::Month,
                tally: self.month(now),
                limit: per_month,
                resets_at: Some(known.month.end),
            },
        ]
    }

    /// The highest threshold that so much reaches; 0 for none.
    fn threshold(&self, limit: Option<Micro>, used: Micro) -> u32 {
        let Some(limit) = limit else { return 0 };
        let reached = |permille: &&u32| {
            let line = i128::from(limit.0) * i128::from(**permille);
            i128::from(used.0) * i128::from(PERMILLE_ONE) >= line
        };
        self.limits.warn_permille.iter().rev().find(reached).copied().unwrap_or(0)
    }

    /// Begins new periods where they have come. Time that seems to go back changes nothing.
    fn roll(&mut self, now: &Periods) {
        self.day = self.day(now);
        self.month = self.month(now);
        self.periods = Some(self.periods.map_or(*now, |known| newer(known, now)));
    }

    fn each(&mut self, job: JobId, change: impl Fn(&mut Tally)) {
        let of_job = self.jobs.get_mut(&job).expect("money was held for the job before");
        for tally in [of_job, &mut self.day, &mut self.month] {
            change(tally);
        }
    }
}

struct Scope {
    name: BudgetScope,
    tally: Tally,
    limit: Option<Micro>,
    resets_at: Option<Time>,
}

fn is_later(now: Period, known: Period) -> bool {
    now.start > known.start
}

fn newer(known: Periods, now: &Periods) -> Periods {
    Periods {
        day: if is_later(now.day, known.day) { now.day } else { known.day },
        month: if is_later(now.month, known.month) { now.month } else { known.month },
    }
}

fn lower(one: Option<Micro>, other: Option<Micro>) -> Option<Micro> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (limit, None) | (None, limit) => limit,
    }
}

fn less(held: Micro, amount: Micro) -> Micro {
    let within = amount >= Micro::ZERO && amount <= held;
    assert!(within, "bug: {amount} captured or released where {held} was held");
    Micro(held.0 - amount.0)
}
