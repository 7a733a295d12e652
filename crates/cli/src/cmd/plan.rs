//! `dayan plan` and `dayan quote`: where a job could go, what it would cost, and a firm price.

use std::path::PathBuf;

use dayan_wire::{Candidate, PlanAnswer, Quote, RefusedPool};
use serde::Serialize;
use serde_json::Value;

use super::data::{Uploads, with_local_inputs};
use super::jobs::with_keys;
use super::session::{Session, job_file, read_text};
use crate::exit::{Exit, Failure, Said, one_line};
use crate::output::{Cell, Grid, Show, View, money, or_dash, seconds};
use crate::words::Word;

/// Shows where a job could go: price, start, data transfer, delay, and why other pools refuse it
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// The job file; `-` reads standard input
    file: PathBuf,
    /// Show only what has changed since a plan saved with `dayan plan FILE -o json`
    #[arg(long, value_name = "SAVED")]
    diff: Option<PathBuf>,
}

/// Asks for a firm, signed price with an expiry
#[derive(Debug, clap::Args)]
pub struct AskQuote {
    /// The job file; `-` reads standard input
    file: PathBuf,
}

/// Shows where a job could go.
pub async fn plan(args: &Plan, session: &Session) -> Result<Exit, Failure> {
    let file = job_file(&args.file, session).await?.text;
    let folder = super::submit::beside(&args.file);
    let (client, skip) = (session.client()?, Uploads::Skip);
    let file = with_local_inputs(&client, file, folder, skip, session).await?;
    let saved = args.diff.as_deref().map(saved_plan).transpose()?;
    let answer = session.client()?.plan(file).await?;
    match saved {
        None => session.out.show(&answer)?,
        Some(saved) => session.out.show(&Difference::between(&saved, &answer))?,
    }
    Ok(Exit::Ok)
}

fn saved_plan(path: &std::path::Path) -> Result<PlanAnswer, Failure> {
    let text = read_text(path)?;
    serde_json::from_str(&text).map_err(|error| {
        let said = Said::with(Word::NoSavedPlan, "file", path.display().to_string());
        Failure::usage(said.and("why", error.to_string()))
    })
}

/// Asks for a firm price.
pub async fn quote(args: &AskQuote, session: &Session) -> Result<Exit, Failure> {
    let file = job_file(&args.file, session).await?.text;
    let folder = super::submit::beside(&args.file);
    let (client, skip) = (session.client()?, Uploads::Skip);
    let file = with_local_inputs(&client, file, folder, skip, session).await?;
    let quote = session.client()?.quote(file).await?;
    session.out.show(&quote)?;
    Ok(Exit::Ok)
}

fn candidate(candidate: &Candidate) -> [Cell; 10] {
    let ms = |value: f64| format!("{value:.1} ms");
    let grams = |value: f64| format!("{value:.1} g");
    [
        Cell::text(&candidate.pool_name),
        Cell::text(&candidate.provider),
        Cell::text(&candidate.site),
        Cell::number(candidate.tasks),
        Cell::number(money(&candidate.price, &candidate.currency)),
        Cell::number(seconds(candidate.start_p50_s)),
        Cell::number(seconds(candidate.start_p90_s)),
        Cell::number(or_dash(candidate.transfer_s, seconds)),
        Cell::number(or_dash(candidate.delay_ms, ms)),
        Cell::number(or_dash(candidate.carbon_g, grams)),
    ]
}

impl Show for PlanAnswer {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Pool,
            Word::Provider,
            Word::Site,
            Word::TasksNow,
            Word::Price,
            Word::StartP50,
            Word::StartP90,
            Word::Transfer,
            Word::Delay,
            Word::Carbon,
        ];
        let mut grid = Grid::new(view, &heads);
        for row in &self.candidates {
            grid.row(candidate(row));
        }
        let mut out = grid.finish();
        if out.is_empty() {
            let none = if self.refused.is_empty() { Word::NoPoolYet } else { Word::NoCandidate };
            out = format!("{}\n", view.word(none));
        }
        if !self.refused.is_empty() {
            out.push('\n');
            out.push_str(&refused(&self.refused, view));
        }
        if let Some(promise) = &self.promise {
            let times = [view.time(&promise.starts_by), view.time(&promise.ends_by)];
            let values = [("from", &*times[0]), ("until", &*times[1])];
            out.push('\n');
            out.push_str(&view.lang.fill(Word::WouldBePromised, &values));
            out.push('\n');
            if let Some(grams) = self.promise_carbon_g {
                let grams = format!("{grams:.1} g");
                out.push_str(&view.lang.fill(Word::WouldEmit, &[("grams", &grams)]));
                out.push('\n');
            }
        }
        if !self.next.is_empty() {
            out.push('\n');
            out.push_str(view.word(Word::WouldRun));
            out.push('\n');
            for at in &self.next {
                out.push_str("  ");
                out.push_str(&view.time(at));
                out.push('\n');
            }
        }
        if let Some(problem) = &self.submission {
            out.push('\n');
            out.push_str(&view.lang.fill(Word::WouldBeRefused, &[("code", &problem.code)]));
            for line in [&problem.title, &problem.advice] {
                out.push_str("\n  ");
                out.push_str(&one_line(line));
            }
            out.push('\n');
        }
        out
    }

    fn data(&self) -> Value {
        let mut data = serde_json::to_value(self).expect("wire types have text keys");
        if let Some(Value::Array(candidates)) = data.get_mut("candidates") {
            for candidate in candidates {
                with_keys(candidate, &["transfer_s", "delay_ms", "carbon_g"]);
            }
        }
        data
    }
}

fn refused(pools: &[RefusedPool], view: &View) -> String {
    let mut grid = Grid::new(view, &[Word::Refused, Word::Reason, Word::Message]);
    for pool in pools {
        for (at, reason) in pool.reasons.iter().enumerate() {
            let name = if at == 0 { pool.pool_name.as_str() } else { "" };
            grid.row([Cell::text(name), Cell::text(&reason.code), Cell::text(&reason.message)]);
        }
    }
    grid.finish()
}

impl Show for Quote {
    fn table(&self, view: &View) -> String {
        let mut head = Grid::plain(view);
        head.pair(Word::Quote, Cell::text(&self.quote));
        head.pair(Word::Total, Cell::text(money(&self.total, &self.currency)));
        head.pair(Word::Expires, Cell::text(view.time(&self.expires_at)));
        let mut lines = Grid::new(view, &[Word::Pool, Word::Tasks, Word::Price]);
        for line in &self.lines {
            // An exchange of before names were told says none.
            let named = if line.pool_name.is_empty() {
                Cell::id(&line.pool)
            } else {
                Cell::text(&line.pool_name)
            };
            lines.row([
                named,
                Cell::number(line.tasks),
                Cell::number(money(&line.price, &self.currency)),
            ]);
        }
        format!("{}\n{}", head.finish(), lines.finish())
    }
}

/// What is different between two plans.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Difference {
    /// Pools that take it now and did not.
    pub added: Vec<Candidate>,
    /// Pools that took it and do not any more, with the reasons where they are told.
    pub removed: Vec<RefusedPool>,
    /// Pools that took it and still do, but otherwise.
    pub changed: Vec<Change>,
}

/// A pool that still takes the job, but otherwise.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Change {
    /// The pool.
    pub pool: String,
    /// Its name.
    pub pool_name: String,
    /// What it was.
    pub was: Candidate,
    /// What it is.
    pub now: Candidate,
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
        let added = new.candidates.iter().filter(|c| before(&c.pool).is_none());
        let changed = new.candidates.iter().filter_map(|now| {
            let was = before(&now.pool).filter(|was| *was != now)?.clone();
            let (pool, pool_name) = (now.pool.clone(), now.pool_name.clone());
            Some(Change { pool, pool_name, was, now: now.clone() })
        });
        Self {
            added: added.cloned().collect(),
            removed: old.candidates.iter().filter(|c| !after(&c.pool)).map(refusal).collect(),
            changed: changed.collect(),
        }
    }
}

impl Show for Difference {
    fn table(&self, view: &View) -> String {
        let heads = [Word::ChangeMark, Word::Pool, Word::Price, Word::StartP50, Word::TasksNow];
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
        for Change { pool_name, was, now, .. } in &self.changed {
            let arrow = |was: String, now: String| {
                if was == now { now } else { format!("{was} → {now}") }
            };
            grid.row([
                Cell::text("~"),
                Cell::text(pool_name),
                Cell::text(arrow(
                    money(&was.price, &was.currency),
                    money(&now.price, &now.currency),
                )),
                Cell::text(arrow(seconds(was.start_p50_s), seconds(now.start_p50_s))),
                Cell::text(arrow(was.tasks.to_string(), now.tasks.to_string())),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
