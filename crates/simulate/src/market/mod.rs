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
mod apart;
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
mod scenario_check;
mod tree;

use std::fmt;

use dayan_units::{Span, Time};
use serde::Serialize;
use thiserror::Error;

pub use crate::host::{Digester, Scribe};
pub use apart::Apart;
pub use course::{Bar, Course, PARTS, PolicyCourse, PoolCourse};
pub use dayan_exchange::{Actor, Entry};
pub use draw::DrawError;
pub use lists::{JobsError, Lists, read_jobs};
pub use picture::{MarketWords, picture};
pub use recheck::Violation;
pub use report::{Checks, MarketReport, PolicyReport};
pub use scenario::{Scenario, ScenarioError, Size};
pub use tree::Form;

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
    /// It cannot be so long.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// It cannot be opened: the exchange does not take what the scenario says.
    #[error("the exchange does not take {about}: {why}")]
    Opening {
        /// What it was about.
        about: String,
        /// The exchange's reason.
        why: String,
    },
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
const DRAIN_MAX: Span = Span::from_secs(366 * 86_400);

/// Who does things that need nothing of each other: one after the other, or at the same time where
/// there are threads, of which nothing is known here. What comes of them is the same.
pub trait Helper {
    /// Who writes the journal down while the exchange goes on.
    fn scribe(&self) -> Box<dyn Scribe>;
    /// Does both; the second may be done beside the first.
    fn both(&self, first: &mut dyn FnMut(), second: &mut (dyn FnMut() + Send));
}

/// Does one thing after the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Alone;

impl Helper for Alone {
    fn scribe(&self) -> Box<dyn Scribe> {
        Box::new(Digester::default())
    }
    fn both(&self, first: &mut dyn FnMut(), second: &mut (dyn FnMut() + Send)) {
        first();
        second();
    }
}

/// The part of all that is to be done which the exchange takes.
const EXCHANGE: f64 = 0.9;

/// Runs the exchange over the market, then the rules and the bounds. `progress` hears how
/// much of all that is done, from 0 to 1.
pub fn run(run: &Run<'_>, progress: &mut dyn FnMut(f64)) -> Result<MarketReport, MarketError> {
    Ok(follow(run, &Alone, progress)?.0)
}

/// The same with somebody's help, and with its course over time, for a [`picture`].
pub fn follow(
    run: &Run<'_>,
    helper: &dyn Helper,
    progress: &mut dyn FnMut(f64),
) -> Result<(MarketReport, Course), MarketError> {
    run.scenario.fits(run.days)?;
    let market = Market::draw(run.scenario, run.lists, run.days, run.seed)?;
    let told = {
        let mut progress = |part| progress(part * EXCHANGE);
        drive::run(&market, run.scenario, run.seed, helper.scribe(), &mut progress)?
    };
    let (mut market, mut outcome, mut apart) = (market, told.outcome, Apart::none());
    if !told.unpaid.is_empty() {
        // All of it is looked over before some is set apart.
        broken("dayan", recheck::recheck(&market, &outcome).broken)?;
        (market, outcome, apart) = apart::set_apart(market, outcome, &told.unpaid);
    }
    // Which work the rules get is known only now: what somebody could pay for.
    let (mut outcomes, mut rules, mut as_it_did) = (vec![("dayan", outcome)], Vec::new(), 0);
    helper.both(&mut || as_it_did = bound::bound(&market, &outcomes, Until::AsItDid), &mut || {
        let rivals = run.beside.iter();
        rules = rivals.map(|rival| (rival.name(), rivals::run(&market, *rival))).collect();
    });
    outcomes.append(&mut rules);
    let (mut in_time, mut rest) = (0, None);
    helper.both(&mut || in_time = bound::bound(&market, &outcomes, Until::InTime), &mut || {
        rest = Some((course::course(&market, &outcomes), policies(&market, &outcomes)));
    });
    let (course, policies) = rest.expect("both were done");
    let bounds = report::Bounds { in_time, as_it_did };
    progress(1.0);
    Ok((report::report(run, &market, policies?, &bounds, (told.checks, apart)), course))
}

/// The first thing that must not be.
fn broken(policy: &'static str, found: Vec<Violation>) -> Result<(), MarketError> {
    match found.into_iter().next() {
        Some(Violation { at, rule, text }) => Err(MarketError::Broken { policy, at, rule, text }),
        None => Ok(()),
    }
}

/// What is told of each policy, where nothing that must not be was found of any.
fn policies(
    market: &Market,
    outcomes: &[(&'static str, Outcome)],
) -> Result<Vec<PolicyReport>, MarketError> {
    let look = |(policy, outcome): &(&'static str, Outcome)| {
        let found = recheck::recheck(market, outcome);
        broken(policy, found.broken)?;
        Ok(report::policy(market, policy, outcome, &found.misplaced))
    };
    outcomes.iter().map(look).collect()
}
