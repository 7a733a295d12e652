//! A whole market, for days: dozens of providers and hundreds of consumers, drawn from a scenario
//! and a seed, through the exchange itself on virtual time: submissions, placements, leases, windows,
//! holds, captures, budgets, prices by the hour, machines that fail and links that are cut. Beside it
//! a few simple rules of choice over the same jobs, pools and prices, and a bound on what anybody
//! could have paid.
//!
//! Invariant: the same scenario, lists, days and seed give the same report, digest of the journal
//! included. What the exchange and the rules did is checked and summed up by code that shares
//! nothing with the planner. Nothing here reads a clock or a file.

mod agents;
mod bound;
mod course;
mod draw;
mod drive;
mod found;
mod listener;
mod lists;
mod network;
mod picture;
mod programs;
mod recheck;
mod report;
mod rivals;
#[cfg(test)]
mod sample;
mod scenario;

use std::fmt;

use dayan_units::{Span, Time};
use serde::Serialize;
use thiserror::Error;

pub use course::{Bar, Course, PARTS, PolicyCourse, PoolCourse};
pub use draw::DrawError;
pub use lists::{JobsError, Lists, read_jobs};
pub use picture::{MarketWords, picture};
pub use recheck::Violation;
pub use report::{Checks, MarketReport, PolicyReport};
pub use scenario::{Scenario, ScenarioError, Size};

use bound::Until;
use draw::Market;

/// A rule beside the exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rival {
    /// The pool with room that costs least.
    Cheapest,
    /// The pool with room that is nearest.
    Nearest,
    /// The pool with room that emits least.
    Greenest,
    /// One queue; nobody passes whoever is first.
    Fcfs,
}

impl Rival {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Cheapest, Self::Nearest, Self::Greenest, Self::Fcfs];

    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cheapest => "cheapest",
            Self::Nearest => "nearest",
            Self::Greenest => "greenest",
            Self::Fcfs => "fcfs",
        }
    }
}
impl fmt::Display for Rival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Why a market did not run to its end.
#[derive(Debug, Error)]
pub enum MarketError {
    /// It cannot be drawn.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// Something is so that must not be; the first of it.
    #[error("{policy} at {at}: {rule}: {text}")]
    Broken {
        /// Who did it.
        policy: &'static str,
        /// When.
        at: Time,
        /// Which rule.
        rule: &'static str,
        /// How.
        text: String,
    },
}

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Run<'a> {
    /// The market.
    pub scenario: &'a Scenario,
    /// What jobs are drawn from.
    pub lists: &'a Lists,
    /// Of all draws.
    pub seed: u64,
    /// For how many days jobs come.
    pub days: u32,
    /// Rules to run beside the exchange.
    pub beside: &'a [Rival],
}

/// One task's time on one machine: from its lease to its end.
#[derive(Clone, Debug)]
struct Attempt {
    job: usize,
    task: u32,
    pool: usize,
    node: u32,
    /// Which cards, where whoever placed it said so.
    cards: Option<dayan_schedule::Cards>,
    from: Time,
    until: Time,
    /// What was paid for it, in millionths.
    cost: i128,
    ended_well: bool,
}

/// What a policy made of the market.
#[derive(Debug, Default)]
struct Outcome {
    attempts: Vec<Attempt>,
    /// When each job had ended, all its tasks well.
    done: Vec<Option<Time>>,
}

/// Nobody waits longer than this after the last arrival.
const DRAIN_MAX: Span = Span::from_secs(28 * 86_400);

/// Runs the exchange over the market, then the rules beside it, then the bound. `progress` hears how
/// much of all that is done, from 0 to 1.
pub fn run(run: &Run<'_>, progress: &mut dyn FnMut(f64)) -> Result<MarketReport, MarketError> {
    Ok(follow(run, progress)?.0)
}

/// The same, with its course over time, for a [`picture`].
pub fn follow(
    run: &Run<'_>,
    progress: &mut dyn FnMut(f64),
) -> Result<(MarketReport, Course), MarketError> {
    let market = Market::draw(run.scenario, run.lists, run.days, run.seed)?;
    // The exchange takes by far the longest; a rule and the bound take about a tenth of it.
    let parts = 10.0 + run.beside.len() as f64 + 1.0;
    let told = drive::run(&market, run.scenario, run.seed, &mut |part| {
        progress(part * 10.0 / parts);
    })?;
    let mut outcomes = vec![("dayan", told.outcome)];
    for (nth, rival) in run.beside.iter().enumerate() {
        outcomes.push((rival.name(), rivals::run(&market, *rival)));
        progress((11.0 + nth as f64) / parts);
    }
    let mut policies = Vec::new();
    for (name, outcome) in &outcomes {
        let found = recheck::recheck(&market, outcome);
        if let Some(first) = found.broken.into_iter().next() {
            let Violation { at, rule, text } = first;
            return Err(MarketError::Broken { policy: name, at, rule, text });
        }
        policies.push(report::policy(&market, name, outcome, &found.misplaced));
    }
    let bounds = report::Bounds {
        in_time: bound::bound(&market, &outcomes, Until::InTime),
        as_it_did: bound::bound(&market, &outcomes[..1], Until::AsItDid),
    };
    progress(1.0);
    let course = course::course(&market, &outcomes);
    Ok((report::report(run, &market, policies, &bounds, told.checks), course))
}
