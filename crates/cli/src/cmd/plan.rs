//! `dayan plan` and `dayan quote`: where a job could go, what it would cost, and a firm price.

use std::path::PathBuf;

use dayan_wire::{Candidate, PlanAnswer, PlanOrder, Quote, RefusedPool};
use serde_json::Value;

use super::data::{Uploads, with_local_inputs};
use super::jobs::with_keys;
use super::plan_diff::{Difference, Replayed};
use super::session::{Session, job_file};
use crate::exit::{Exit, Failure, Said, one_line};
use crate::input::read_text;
use crate::output::{Cell, Grid, Show, View, money, or_dash, seconds};
use crate::words::Word;

/// Shows where a job could go: price, start, data transfer, delay, and why other pools refuse it
#[derive(Debug, clap::Args)]
pub struct Plan {
    /// The job file; `-` reads standard input
    #[arg(required_unless_present = "replay", conflicts_with = "replay")]
    file: Option<PathBuf>,
    /// Show only what has changed since a plan saved with `dayan plan FILE -o json`; `-` reads standard
    /// input
    #[arg(long, value_name = "SAVED", conflicts_with = "replay")]
    diff: Option<PathBuf>,
    /// Ask what a saved plan asked again, and say whether it is still the plan: ends with 0 if so, with
    /// 1 if not; `-` reads standard input
    #[arg(long, value_name = "SAVED")]
    replay: Option<PathBuf>,
}

/// Asks for a firm, signed price with an expiry
#[derive(Debug, clap::Args)]
pub struct AskQuote {
    /// The job file; `-` reads standard input
    file: PathBuf,
}

/// Shows where a job could go.
pub async fn plan(args: &Plan, session: &Session) -> Result<Exit, Failure> {
    let path = match (&args.file, &args.replay) {
        (Some(path), _) => path,
        (None, Some(saved)) => return replay(saved, session).await,
        (None, None) => return Err(Failure::usage(Said::plain(Word::NoJobFile))),
    };
    let file = job_file(path, session).await?;
    let folder = super::submit::beside(path);
    let (client, skip) = (session.client()?, Uploads::Skip);
    let text = with_local_inputs(&client, file.text.clone(), folder, skip, session).await?;
    let saved = args.diff.as_deref().map(saved_plan).transpose()?;
    let answer = file.plan((&client, session), text).await?;
    match saved {
        None => session.out.show(&answer)?,
        Some(saved) => session.out.show(&Difference::between(&saved, &answer))?,
    }
    Ok(Exit::Ok)
}

/// Asks again what a saved plan answered: its file as it was then, inputs and all.
async fn replay(path: &std::path::Path, session: &Session) -> Result<Exit, Failure> {
    let saved = saved_plan(path)?;
    let Some(file) = &saved.file else {
        let said = Said::with(Word::NoFileInPlan, "file", path.display().to_string());
        return Err(Failure::usage(said));
    };
    let answer = session.client()?.plan(file.to_string()).await?;
    let replayed = Replayed::between(&saved, &answer);
    session.out.show(&replayed)?;
    Ok(if replayed.same { Exit::Ok } else { Exit::Failed })
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
        // Which alternative a pool has is of interest where there are several.
        let mut kinds = self.candidates.iter().map(|candidate| &candidate.accelerator);
        let first = kinds.next();
        let several = kinds.any(|kind| Some(kind) != first);
        let shown = if several { 11 } else { 10 };
        let heads: Vec<Word> = heads.into_iter().chain([Word::Accelerator]).take(shown).collect();
        let mut grid = Grid::new(view, &heads);
        for row in &self.candidates {
            let kind = Cell::text(row.accelerator.as_deref().unwrap_or("-"));
            grid.row(candidate(row).into_iter().chain([kind]).take(shown));
        }
        let mut out = grid.finish();
        if !out.is_empty() && !self.order.is_empty() {
            out.push_str(&ordered_by(&self.order, view));
        }
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
            if let (Some(price), Some(currency)) = (&self.promise_price, &self.promise_currency) {
                let price = money(price, currency);
                out.push_str(&view.lang.fill(Word::WouldCost, &[("price", &price)]));
                out.push('\n');
            }
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
        for warning in &self.warnings {
            out.push('\n');
            let said = one_line(&warning.message);
            out.push_str(&view.lang.fill(Word::PlanWarns, &[("message", &said)]));
            out.push('\n');
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

/// The order of measures, those marked that the job put there itself.
fn ordered_by(order: &[PlanOrder], view: &View) -> String {
    let names = order.iter().map(|of| {
        let own = if of.from == "job" { "*" } else { "" };
        format!("{}{own}", one_line(&of.by))
    });
    let names = names.collect::<Vec<_>>().join(", ");
    view.lang.fill(Word::OrderedBy, &[("order", &names)]) + "\n"
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

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
