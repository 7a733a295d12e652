//! The table at the end: what ran where, waited how long and cost what; who earned what; whether
//! the books are right; where to look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dayan_units::Micro;
use dayan_wire::{Job, LedgerCheck};
use jiff::Timestamp;
use serde::Serialize;

use super::folder::Folder;
use super::work::Jobs;
use super::world::World;
use crate::client::Client;
use crate::exit::Failure;
use crate::output::{Cell, Grid, Show, View, money, or_dash, seconds};
use crate::words::Word;

/// A group of jobs of one consumer.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Row {
    /// What it is for.
    pub name: &'static str,
    /// What pays.
    pub project: String,
    /// How many jobs.
    pub jobs: u64,
    /// How many tasks.
    pub tasks: u64,
    /// How many of them ended well.
    pub succeeded: u64,
    /// The pools they ran in.
    pub pools: Vec<String>,
    /// From submission to the first start, the middle one of the jobs, in seconds.
    pub waited_s: Option<f64>,
    /// From submission to the end, the middle one of the jobs, in seconds.
    pub took_s: Option<f64>,
    /// Deadlines met, of those there were.
    pub deadlines_met: u64,
    /// Jobs with a deadline.
    pub deadlines: u64,
    /// What they cost.
    pub spent: String,
}

/// What a provider got.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Earned {
    /// Who.
    pub provider: String,
    /// How much.
    pub amount: String,
}

/// The demo's outcome.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Report {
    /// Jobs by consumer.
    pub jobs: Vec<Row>,
    /// What providers earned.
    pub providers: Vec<Earned>,
    /// Of all amounts.
    pub currency: String,
    /// The books.
    pub ledger: LedgerCheck,
    /// Where the pictures are.
    pub results: String,
    /// How long it all took.
    pub seconds: u64,
}

/// Asks for everything once more and adds it up.
pub async fn make(
    operator: &Client,
    world: &World,
    jobs: &Jobs,
    folder: &Folder,
    took: Duration,
) -> Result<Report, Failure> {
    let pools: BTreeMap<String, String> =
        operator.pools().await?.into_iter().map(|pool| (pool.id, pool.name)).collect();
    let mut rows = Vec::new();
    for (name, ids) in jobs.named() {
        let mut found = Vec::new();
        for id in ids {
            found.push(operator.job(id).await?);
        }
        rows.push(row(name, &found, &pools));
    }
    let sold: BTreeSet<&str> = world.sellers.iter().map(|(seller, _)| seller.name).collect();
    let providers = operator.providers().await?;
    let earned = providers.into_iter().filter(|provider| sold.contains(provider.name.as_str()));
    let ledger = operator.ledger_check().await?;
    Ok(Report {
        jobs: rows,
        providers: earned
            .map(|provider| Earned { provider: provider.name, amount: provider.earned })
            .collect(),
        currency: ledger.currency.clone(),
        ledger,
        results: folder.results().display().to_string(),
        seconds: took.as_secs(),
    })
}

fn row(name: &'static str, jobs: &[Job], pools: &BTreeMap<String, String>) -> Row {
    let summaries = || jobs.iter().map(|job| &job.summary);
    let ran_in: BTreeSet<&str> = jobs
        .iter()
        .flat_map(|job| &job.attempts)
        .map(|attempt| pools.get(&attempt.pool).map_or(attempt.pool.as_str(), String::as_str))
        .collect();
    let spent = summaries().fold(Micro::ZERO, |sum, job| {
        sum.saturating_add(Micro::parse_decimal(&job.money.spent).unwrap_or(Micro::ZERO))
    });
    let count = |of: fn(&Job) -> bool| jobs.iter().filter(|job| of(job)).count() as u64;
    Row {
        name,
        project: summaries().next().map_or_else(String::new, |job| job.project.clone()),
        jobs: jobs.len() as u64,
        tasks: summaries().map(|job| job.tasks.total).sum(),
        succeeded: summaries().map(|job| job.tasks.succeeded).sum(),
        pools: ran_in.into_iter().map(str::to_owned).collect(),
        waited_s: middle(jobs.iter().filter_map(waited).collect()),
        took_s: middle(jobs.iter().filter_map(took).collect()),
        deadlines_met: count(|job| job.deadline_met == Some(true)),
        deadlines: count(|job| job.deadline.is_some()),
        spent: spent.decimal(),
    }
}

fn between(from: &str, to: &str) -> Option<f64> {
    let (from, to): (Timestamp, Timestamp) = (from.parse().ok()?, to.parse().ok()?);
    Some(to.duration_since(from).as_secs_f64())
}

fn waited(job: &Job) -> Option<f64> {
    let first = job.attempts.iter().filter_map(|attempt| attempt.started_at.as_deref()).min()?;
    between(&job.summary.submitted_at, first)
}

fn took(job: &Job) -> Option<f64> {
    between(&job.summary.submitted_at, job.summary.ended_at.as_deref()?)
}

fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

impl Report {
    /// Has everything gone as it should?
    pub fn is_good(&self) -> bool {
        self.ledger.balanced && self.jobs.iter().all(|row| row.succeeded == row.tasks)
    }
}

impl Show for Report {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Job,
            Word::Project,
            Word::Tasks,
            Word::Pools,
            Word::Waited,
            Word::Took,
            Word::Deadline,
            Word::Spent,
        ];
        let mut jobs = Grid::new(view, &heads);
        for row in &self.jobs {
            let name = if row.jobs > 1 {
                format!("{} × {}", row.name, row.jobs)
            } else {
                row.name.into()
            };
            let kept = match row.deadlines {
                0 => "-".to_owned(),
                all => format!("{}/{all} {}", row.deadlines_met, view.word(Word::DeadlineMet)),
            };
            jobs.row([
                Cell::text(name),
                Cell::text(&row.project),
                Cell::number(format!("{}/{}", row.succeeded, row.tasks)),
                Cell::text(row.pools.join(", ")),
                Cell::number(or_dash(row.waited_s, seconds)),
                Cell::number(or_dash(row.took_s, seconds)),
                Cell::text(kept),
                Cell::number(money(&row.spent, &self.currency)),
            ]);
        }
        let mut providers = Grid::new(view, &[Word::Provider, Word::Earned]);
        for earned in &self.providers {
            providers.row([
                Cell::text(&earned.provider),
                Cell::number(money(&earned.amount, &self.currency)),
            ]);
        }
        let mut foot = Grid::plain(view);
        let balanced = if self.ledger.balanced { "yes" } else { "no" };
        foot.pair(Word::Balanced, Cell::state(balanced));
        foot.pair(Word::Transfers, Cell::text(self.ledger.transfers.to_string()));
        foot.pair(Word::Results, Cell::text(&self.results));
        foot.pair(Word::Took, Cell::text(format!("{}s", self.seconds)));
        format!("{}\n{}\n{}", jobs.finish(), providers.finish(), foot.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{both, sample};

    fn report() -> Report {
        let row = |name, project: &str, jobs, deadlines| Row {
            name,
            project: project.to_owned(),
            jobs,
            tasks: 12,
            succeeded: 12,
            pools: vec!["hangzhou-1".to_owned(), "shenzhen-1".to_owned()],
            waited_s: Some(0.4),
            took_s: Some(72.0),
            deadlines_met: deadlines,
            deadlines,
            spent: "0.005312".to_owned(),
        };
        Report {
            jobs: vec![row("film", "studio-a/film-3", 1, 0), row("tyres", "tyre-works/qc", 12, 12)],
            providers: vec![Earned {
                provider: "guian-dc".to_owned(),
                amount: "0.0123".to_owned(),
            }],
            currency: "CNY".to_owned(),
            ledger: LedgerCheck {
                balanced: true,
                accounts: 12,
                transfers: 1_700,
                debits: "1100.00".to_owned(),
                credits: "1100.00".to_owned(),
                currency: "CNY".to_owned(),
                differences: Vec::new(),
            },
            results: "/tmp/demo/results".to_owned(),
            seconds: 95,
        }
    }

    #[test]
    fn the_table_at_the_end() {
        insta::assert_snapshot!(both(&report()));
        insta::assert_snapshot!("demo_json", sample(&report()));
    }

    #[test]
    fn a_failed_task_or_a_wrong_book_is_no_good_end() {
        assert!(report().is_good());
        let mut failed = report();
        failed.jobs[0].succeeded = 11;
        assert!(!failed.is_good());
        let mut wrong = report();
        wrong.ledger.balanced = false;
        assert!(!wrong.is_good());
    }

    #[test]
    fn the_middle_is_one_of_them() {
        assert_eq!(middle(vec![]), None);
        assert_eq!(middle(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(between("2026-11-23T12:00:00Z", "2026-11-23T12:00:01.5Z"), Some(1.5));
    }
}
