//! `dayan sim market`: a region's week through the whole exchange, beside simple rules and a bound.

use std::io::Read;
use std::path::{Path, PathBuf};

use dayan_simulate::market::{
    self, Course, Form, Lists, MarketError, MarketReport, MarketWords, Rival, Run, Scenario,
};
use dayan_simulate::pack;

use super::super::session::Session;
use super::plot_file::PlotFile;
use super::progress::Bar;
use super::threads::Threads;
use crate::exit::{Exit, Failure, Said};
use crate::input::{read_file, unreadable};
use crate::output::{Cell, Grid, Show, View};
use crate::words::{Lang, Word};

/// A scenario is a few hundred lines; this is no scenario.
const SCENARIO_BYTES_MAX: u64 = 4 << 20;

/// Runs a market of providers and consumers through the exchange for days, beside simple rules
#[derive(Debug, clap::Args)]
pub struct Market {
    /// Who sells, who buys, what they run and what goes wrong, in TOML, YAML or JSON
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// A log to draw run times from, with a column `length` in hours or `duration` in seconds, packed
    /// or not; `-` is standard input
    #[arg(long, value_name = "CSV")]
    jobs: Option<PathBuf>,
    /// A list to draw shapes of tasks from: `name,cpu_milli,memory_mib,num_gpu,gpu_milli`; `-` is
    /// standard input
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
    /// Also draw cards at work, waits, cost against delay, and which task ran when in one pool
    #[arg(long, value_name = "SVG")]
    plot: Option<PathBuf>,
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

/// How a scenario is written, by the end of its name.
fn form_of(path: &Path) -> Option<Form> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "toml" => Some(Form::Toml),
        "yaml" | "yml" | "json" => Some(Form::Yaml),
        _ => None,
    }
}

fn read(path: &Path) -> Result<Scenario, Failure> {
    let text = read_file(path, |file| {
        let mut text = String::new();
        file.take(SCENARIO_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    })?;
    let form = form_of(path)
        .ok_or_else(|| unreadable(path, "a scenario's name ends in .toml, .yaml, .yml or .json"))?;
    Scenario::parse(&text, form).map_err(|error| unreadable(path, &error.to_string()))
}

/// Runs it.
pub fn run(args: &Market, session: &Session) -> Result<Exit, Failure> {
    let plot = PlotFile::open(args.plot.as_deref())?;
    let scenario = read(&args.scenario)?;
    let mut lists = Lists::default();
    if let Some(path) = &args.jobs {
        lists.jobs = read_file(path, market::read_jobs)?;
    }
    if let Some(path) = &args.pods {
        lists.pods = read_file(path, pack::read_pods)?;
    }
    for (option, key, given, used) in [
        ("--jobs", "from_jobs", args.jobs.is_some(), scenario.draws_jobs()),
        ("--pods", "from_pods", args.pods.is_some(), scenario.draws_pods()),
    ] {
        if given && !used {
            session.out.say(&Said::with(Word::ListUnused, "option", option).and("key", key));
        }
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
        market::follow(&run, &Threads, &mut |part| bar.at(part))
    };
    let (report, course) = report.map_err(|error| match error {
        wrong @ (MarketError::Draw(_) | MarketError::Scenario(_) | MarketError::Opening { .. }) => {
            unreadable(&args.scenario, &wrong.to_string())
        }
        broken @ MarketError::Broken { .. } => {
            Failure::local(Said::plain(Word::MarketBroken), broken)
        }
    })?;
    if let Some(plot) = plot {
        plot.write(&market::picture(
            &report,
            &course,
            &words(&report, &course, session.out.view.lang),
        ))?;
    }
    session.out.show(&report)?;
    Ok(Exit::Ok)
}

/// What is written in the picture.
fn words(report: &MarketReport, course: &Course, lang: Lang) -> MarketWords {
    let plain = |word: Word| lang.word(word).to_owned();
    let (providers, consumers) = (report.providers.to_string(), report.consumers.to_string());
    let (jobs, days) = (report.jobs.to_string(), report.days.to_string());
    let waited = lang.fill(Word::PlotWaited, &[("time", "< 1 min")]);
    // Without any cards, cores are drawn.
    let cards = course.pool.as_ref().is_none_or(|pool| pool.cards);
    let tasks = course.pool.as_ref().map_or_else(String::new, |pool| {
        let (shown, all) = (pool.machines.0.to_string(), pool.machines.1.to_string());
        let facts = [("pool", &*pool.name), ("shown", &*shown), ("all", &*all)];
        lang.fill(Word::PlotTasksAt, &facts)
    });
    MarketWords {
        title: lang.fill(
            Word::PlotMarket,
            &[
                ("scenario", &*report.scenario),
                ("providers", &*providers),
                ("consumers", &*consumers),
                ("jobs", &*jobs),
                ("days", &*days),
            ],
        ),
        note: lang.fill(Word::PlotSeed, &[("seed", &report.seed.to_string())]),
        nothing: plain(Word::PlotNothing),
        utilisation: plain(Word::PlotMarketUse),
        waits: plain(Word::PlotWaits),
        against_delay: plain(Word::PlotCostAgainstWait),
        tasks,
        time: plain(Word::PlotSinceStart),
        used: plain(if cards { Word::PlotAtWork } else { Word::PlotCoresAtWork }),
        wait: plain(Word::PlotWait),
        share: plain(Word::PlotShareOfJobs),
        mean_wait: plain(Word::PlotMeanWait),
        over_bound: plain(Word::PlotOverBound),
        rows: plain(if cards { Word::PlotCards } else { Word::PlotCores }),
        // As `hpc::WAITS` has them.
        waited: [&waited, "< 1 h", "< 8 h", "< 1 d", "≥ 1 d"].map(str::to_owned),
    }
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
        if self.unpaid.jobs > 0 {
            facts.pair(Word::UnpaidJobs, Cell::number(self.unpaid.jobs));
        }
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
