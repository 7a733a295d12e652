//! `dayan sim carbon`: a year of jobs that may wait, and how much less they emit when the planner
//! chooses their hours.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use dayan_simulate::carbon::{
    self, Capacity, CarbonPolicy, CarbonReport, CarbonWords, Deadline, Jobs, Knowledge, Manner,
    Objective, SeedReport, Trial, Year,
};
use serde::Serialize;

use super::super::session::Session;
use super::pack::{Seeds, rounded, seeds};
use super::plot_file::PlotFile;
use super::{read_file, unreadable};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// More jobs than this are no year of one site.
const JOBS_MAX: i64 = 100_000;
/// Noise of five times the mean is none any more.
const NOISE_MAX: f64 = 5.0;

/// Chooses the hours of a year of jobs that may wait, and says how much less they emit
#[derive(Debug, clap::Args)]
pub struct Carbon {
    /// Carbon intensity by the half-hour: `Time,Carbon Intensity`; `.gz` is unpacked
    #[arg(value_name = "SERIES")]
    series: PathBuf,
    /// Who chooses the hours
    #[arg(long, value_name = "NAME", default_value = "default", hide_default_value = true,
        value_parser = policies())]
    policy: CarbonPolicy,
    /// Jobs may stop and go on later
    #[arg(long)]
    interruptible: bool,
    /// How many jobs may run at once, or so many per cent of the peak where none is shifted
    #[arg(long, value_name = "N|N%", value_parser = capacity)]
    capacity: Option<Capacity>,
    /// Deviation of the forecast's error, as a part of the mean
    #[arg(long, value_name = "PART", default_value = "0.05", value_parser = noise)]
    noise: Knowledge,
    /// Draws of jobs and noise: one number, or the first and the last
    #[arg(long, value_name = "N|N-N", default_value = "42-51", value_parser = seeds)]
    seeds: Seeds,
    /// When a job must have ended that would end outside working hours: as the published program
    /// has it, or as the paper says
    #[arg(
        long,
        value_name = "published|workday",
        default_value = "published",
        hide_possible_values = true
    )]
    deadline: DeadlineName,
    /// Jobs in the year
    #[arg(long, value_name = "N", default_value_t = carbon::JOBS,
        value_parser = clap::value_parser!(u32).range(1..=JOBS_MAX))]
    jobs: u32,
    /// Jobs of a list instead: `Start,Hours`
    #[arg(long, value_name = "CSV", conflicts_with = "jobs")]
    job_list: Option<PathBuf>,
    /// Prices of a kilowatt-hour: `Time,Price`, or windows of the day, `From,To,Price`
    #[arg(long, value_name = "CSV")]
    prices: Option<PathBuf>,
    /// What is looked at first; the other counts among equals
    #[arg(
        long,
        value_name = "carbon|price",
        default_value = "carbon",
        hide_possible_values = true
    )]
    prefer: PreferName,
    /// Also draw when jobs run over the day, and what each saved for its delay; of the first seed
    #[arg(long, value_name = "SVG")]
    plot: Option<PathBuf>,
    /// Instead of `--prefer`: what a kilogram of carbon costs, added to the price
    #[arg(long = "carbon-price", value_name = "AMOUNT", conflicts_with = "prefer", value_parser = carbon::amount)]
    per_kg: Option<i64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum DeadlineName {
    Published,
    Workday,
}

impl From<DeadlineName> for Deadline {
    fn from(name: DeadlineName) -> Self {
        match name {
            DeadlineName::Published => Self::Published,
            DeadlineName::Workday => Self::Workday,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum PreferName {
    Carbon,
    Price,
}

/// The policies by name.
fn policies() -> impl TypedValueParser<Value = CarbonPolicy> {
    PossibleValuesParser::new(CarbonPolicy::ALL.map(CarbonPolicy::name))
        .map(|name| CarbonPolicy::from_name(&name).expect("one of the names"))
}

fn capacity(text: &str) -> Result<Capacity, String> {
    let number = |text: &str| text.parse::<u32>().map_err(|why| format!("`{text}`: {why}"));
    let (capacity, value) = match text.strip_suffix('%') {
        Some(percent) => (Capacity::PercentOfPeak(number(percent)?), number(percent)?),
        None => (Capacity::Jobs(number(text)?), number(text)?),
    };
    if value == 0 { Err("at least 1".to_owned()) } else { Ok(capacity) }
}

fn noise(text: &str) -> Result<Knowledge, String> {
    let part: f64 = text.parse().map_err(|why| format!("`{text}`: {why}"))?;
    if !(0.0..=NOISE_MAX).contains(&part) {
        return Err(format!("from 0 to {NOISE_MAX}"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between 0 and five million"
    )]
    let millionths = (part * 1e6).round() as u32;
    Ok(if millionths == 0 { Knowledge::Exact } else { Knowledge::Noisy(millionths) })
}

/// What scripts get.
#[derive(Debug, Serialize)]
struct Outcome {
    policy: CarbonPolicy,
    interruptible: bool,
    jobs: usize,
    saved_pct: f64,
    saved_std: f64,
    optimum_pct: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_pct: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    price_saved_pct: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    objective_saved_pct: Option<f64>,
    /// Of all seeds.
    late: u32,
    seeds: Vec<SeedReport>,
}

/// Runs it.
pub fn run(args: &Carbon, session: &Session) -> Result<Exit, Failure> {
    let plot = PlotFile::open(args.plot.as_deref())?;
    let series = read_file(&args.series, carbon::read_carbon)?;
    let year = Year::of(&series).map_err(|none| unreadable(&args.series, &none.to_string()))?;
    let prices = match &args.prices {
        None => vec![0; year.carbon.len()],
        Some(path) => {
            let prices = read_file(path, carbon::read_prices)?;
            let file = path.display().to_string();
            prices
                .over(year.start(), year.carbon.len())
                .ok_or_else(|| Failure::usage(Said::with(Word::PricesEnd, "file", file)))?
        }
    };
    let deadline = Deadline::from(args.deadline);
    let listed = match &args.job_list {
        None => None,
        Some(path) => Some(read_file(path, |text| carbon::read_jobs(text, &year, deadline))?),
    };
    let trial = Trial {
        year: &year,
        prices: &prices,
        jobs: listed.as_deref().map_or(Jobs::Drawn(args.jobs), Jobs::Listed),
        deadline,
        manner: if args.interruptible { Manner::Parts } else { Manner::Whole },
        capacity: args.capacity.unwrap_or(Capacity::Unlimited),
        knowledge: args.noise,
        objective: match (args.per_kg, args.prefer) {
            (Some(micro_per_kg), _) => Objective::PricedCarbon { micro_per_kg },
            (None, PreferName::Carbon) => Objective::Carbon,
            (None, PreferName::Price) => Objective::Price,
        },
        policy: args.policy,
    };
    let report = carbon::run(&trial, &args.seeds.0)
        .map_err(|broken| Failure::local(Said::plain(Word::ShiftedWrong), broken))?;
    if let Some(plot) = plot {
        plot.write(&carbon::picture(&report.course, &words(args, &report, session)))?;
    }
    session.out.show(&Outcome::new(args, report.jobs, &report.seeds))?;
    Ok(Exit::Ok)
}

/// What is written in the picture.
fn words(args: &Carbon, report: &CarbonReport, session: &Session) -> CarbonWords {
    let lang = session.out.view.lang;
    let plain = |word: Word| lang.word(word).to_owned();
    let file = args.series.file_name().unwrap_or(args.series.as_os_str()).to_string_lossy();
    let (jobs, seed) = (report.jobs.to_string(), args.seeds.0.first().copied().unwrap_or_default());
    CarbonWords {
        title: lang.fill(Word::PlotShifting, &[("jobs", &jobs), ("file", &file)]),
        note: lang.fill(Word::PlotSeed, &[("seed", &seed.to_string())]),
        nothing: plain(Word::PlotNothing),
        by_hour: plain(Word::PlotJobsByHour),
        grid: plain(Word::PlotGrid),
        against_delay: plain(Word::PlotAgainstDelay),
        hour: plain(Word::PlotHourOfDay),
        at_once: plain(Word::PlotJobsAtOnce),
        grams: plain(Word::PlotGrams),
        delay: plain(Word::PlotDelay),
        saved: plain(Word::CarbonSaved),
        shifted: plain(Word::PlotShifted),
        unshifted: plain(Word::PlotUnshifted),
    }
}

fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

impl Outcome {
    fn new(args: &Carbon, jobs: usize, seeds: &[SeedReport]) -> Self {
        let of =
            |what: &dyn Fn(&SeedReport) -> f64| -> Vec<f64> { seeds.iter().map(what).collect() };
        let some = |what: &dyn Fn(&SeedReport) -> Option<f64>| -> Option<f64> {
            let all: Option<Vec<f64>> = seeds.iter().map(what).collect();
            all.map(|all| rounded(mean(&all)))
        };
        let saved = of(&|seed| seed.saved_pct);
        let middle = mean(&saved);
        let squares: f64 = saved.iter().map(|value| (value - middle).powi(2)).sum();
        Self {
            policy: args.policy,
            interruptible: args.interruptible,
            jobs,
            saved_pct: rounded(middle),
            saved_std: rounded((squares / saved.len().max(1) as f64).sqrt()),
            optimum_pct: rounded(mean(&of(&|seed| seed.optimum_pct))),
            bound_pct: some(&|seed| seed.bound_pct),
            price_saved_pct: some(&|seed| seed.price_saved_pct),
            objective_saved_pct: some(&|seed| seed.objective_saved_pct),
            late: seeds.iter().map(|seed| seed.late).sum(),
            seeds: seeds.iter().map(shortened).collect(),
        }
    }
}

fn shortened(seed: &SeedReport) -> SeedReport {
    SeedReport {
        saved_pct: rounded(seed.saved_pct),
        optimum_pct: rounded(seed.optimum_pct),
        bound_pct: seed.bound_pct.map(rounded),
        price_saved_pct: seed.price_saved_pct.map(rounded),
        objective_saved_pct: seed.objective_saved_pct.map(rounded),
        ..seed.clone()
    }
}

impl Show for Outcome {
    fn table(&self, view: &View) -> String {
        let priced = self.price_saved_pct.is_some();
        let mut heads = vec![Word::Seed, Word::CarbonSaved, Word::EachAlone];
        if priced {
            heads.extend([Word::PriceSaved, Word::CostSaved]);
        }
        heads.extend([Word::AtMost, Word::LateJobs, Word::AtOnce]);
        let mut grid = Grid::new(view, &heads);
        let percent = |value: f64| Cell::number(format!("{value:.2} %"));
        let perhaps = |value: Option<f64>| value.map_or_else(|| Cell::text("-"), percent);
        for seed in &self.seeds {
            let mut row =
                vec![Cell::number(seed.seed), percent(seed.saved_pct), percent(seed.optimum_pct)];
            if priced {
                row.extend([seed.price_saved_pct, seed.objective_saved_pct].map(perhaps));
            }
            row.extend([perhaps(seed.bound_pct), Cell::number(seed.late), Cell::number(seed.peak)]);
            grid.row(row);
        }
        let spread = format!("{:.2} ± {:.2} %", self.saved_pct, self.saved_std);
        let mut row = vec![
            Cell::text(view.word(Word::Mean)),
            Cell::number(spread),
            percent(self.optimum_pct),
        ];
        if priced {
            row.extend([self.price_saved_pct, self.objective_saved_pct].map(perhaps));
        }
        row.extend([perhaps(self.bound_pct), Cell::number(self.late), Cell::text("-")]);
        grid.row(row);
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capacity_is_a_number_or_a_share() {
        let check = |text: &str, expect: Option<Capacity>| {
            assert_eq!(capacity(text).ok(), expect, "{text}");
        };
        check("40", Some(Capacity::Jobs(40)));
        check("90%", Some(Capacity::PercentOfPeak(90)));
        for wrong in ["0", "0%", "", "%", "-1", "1.5", "half"] {
            check(wrong, None);
        }
    }

    #[test]
    fn noise_is_a_part_of_the_mean() {
        let check = |text: &str, expect: Option<Knowledge>| {
            assert_eq!(noise(text).ok(), expect, "{text}");
        };
        check("0.05", Some(Knowledge::Noisy(50_000)));
        check("0", Some(Knowledge::Exact));
        for wrong in ["-0.1", "6", "nan", "x", ""] {
            check(wrong, None);
        }
    }
}
