//! `dayan sim market`: a region's week through the whole exchange, beside simple rules and a bound.

use std::io::Read;
use std::path::{Path, PathBuf};

use dayan_simulate::market::{self, Lists, MarketError, MarketReport, Rival, Run, Scenario};
use dayan_simulate::pack;

use super::super::session::Session;
use super::progress::Bar;
use super::{read_file, unreadable};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// A scenario is a few hundred lines; this is no scenario.
const SCENARIO_BYTES_MAX: u64 = 4 << 20;

/// Runs a market of providers and consumers through the exchange for days, beside simple rules
#[derive(Debug, clap::Args)]
pub struct Market {
    /// Who sells, who buys, what they run and what goes wrong, in TOML
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// A log to draw run times from, with a column `length` in hours; `.gz` is unpacked
    #[arg(long, value_name = "CSV")]
    jobs: Option<PathBuf>,
    /// A list to draw shapes of tasks from: `name,cpu_milli,memory_mib,num_gpu,gpu_milli`
    #[arg(long, value_name = "CSV")]
    pods: Option<PathBuf>,
    /// Rules to run beside it, separated by commas, or `all`
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    beside: Vec<Beside>,
    /// Of all draws; left out: the scenario's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// For how many days jobs come; left out: the scenario's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    days: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Beside {
    Cheapest,
    Nearest,
    Greenest,
    Fcfs,
    All,
}

fn rivals(names: &[Beside]) -> Vec<Rival> {
    let of = |name: &Beside| match name {
        Beside::Cheapest => vec![Rival::Cheapest],
        Beside::Nearest => vec![Rival::Nearest],
        Beside::Greenest => vec![Rival::Greenest],
        Beside::Fcfs => vec![Rival::Fcfs],
        Beside::All => Rival::ALL.to_vec(),
    };
    let mut rivals: Vec<Rival> = Vec::new();
    for rival in names.iter().flat_map(of) {
        if !rivals.contains(&rival) {
            rivals.push(rival);
        }
    }
    rivals
}

fn read(path: &Path) -> Result<Scenario, Failure> {
    let text = read_file(path, |file| {
        let mut text = String::new();
        file.take(SCENARIO_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    })?;
    Scenario::parse(&text).map_err(|error| unreadable(path, &error.to_string()))
}

/// Runs it.
pub fn run(args: &Market, session: &Session) -> Result<Exit, Failure> {
    let scenario = read(&args.scenario)?;
    let mut lists = Lists::default();
    if let Some(path) = &args.jobs {
        lists.jobs = read_file(path, market::read_jobs)?;
    }
    if let Some(path) = &args.pods {
        lists.pods = read_file(path, pack::read_pods)?;
    }
    let beside = rivals(&args.beside);
    let run = Run {
        scenario: &scenario,
        lists: &lists,
        seed: args.seed.unwrap_or(scenario.seed),
        days: args.days.unwrap_or(scenario.days()),
        beside: &beside,
    };
    let report = {
        let bar = Bar::new(session);
        market::run(&run, &mut |part| bar.at(part))
    };
    let report = report.map_err(|error| match error {
        MarketError::Draw(why) => unreadable(&args.scenario, &why.to_string()),
        broken @ MarketError::Broken { .. } => {
            Failure::local(Said::plain(Word::MarketBroken), broken)
        }
    })?;
    session.out.show(&report)?;
    Ok(Exit::Ok)
}

impl Show for MarketReport {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Policy,
            Word::Cost,
            Word::OverBound,
            Word::CarbonTonnes,
            Word::JobsDone,
            Word::DeadlineMisses,
            Word::DelayViolations,
            Word::ResidenceViolations,
            Word::CardsAtWork,
            Word::MeanWait,
            Word::P99Wait,
            Word::Gini,
        ];
        let mut grid = Grid::new(view, &heads);
        for row in &self.policies {
            grid.row([
                Cell::text(row.policy),
                Cell::number(&row.cost),
                Cell::number(format!("{:.2} %", row.over_bound_pct)),
                Cell::number(format!("{:.1}", row.carbon_t)),
                Cell::number(row.jobs_done),
                Cell::number(row.deadline_misses),
                Cell::number(row.delay_violations),
                Cell::number(row.residence_violations),
                Cell::number(format!("{:.1} %", row.utilisation * 100.0)),
                Cell::number(format!("{:.1}", row.mean_wait_s)),
                Cell::number(row.p99_wait_s),
                Cell::number(format!("{:.3}", row.gini)),
            ]);
        }
        let mut facts = Grid::plain(view);
        facts.pair(Word::Providers, Cell::number(self.providers));
        facts.pair(Word::Consumers, Cell::number(self.consumers));
        facts.pair(Word::Jobs, Cell::number(self.jobs));
        facts.pair(Word::Tasks, Cell::number(self.tasks));
        facts.pair(Word::Eflops, Cell::number(format!("{:.3}", self.eflops)));
        facts.pair(Word::Seed, Cell::number(self.seed));
        facts.pair(Word::LeastCost, Cell::number(format!("{} {}", self.bound_cost, self.currency)));
        facts.pair(Word::Balanced, Cell::text(self.checks.books_balanced.to_string()));
        format!("{}\n{}", grid.finish(), facts.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_each_once_in_the_order_asked_for() {
        use Beside::{All, Cheapest, Fcfs};
        assert_eq!(rivals(&[]), []);
        assert_eq!(rivals(&[All]), Rival::ALL);
        assert_eq!(rivals(&[Fcfs, Cheapest, Fcfs]), [Rival::Fcfs, Rival::Cheapest]);
        let all = rivals(&[Fcfs, All]);
        assert_eq!((all.len(), all[0]), (4, Rival::Fcfs));
    }
}
