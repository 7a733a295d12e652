//! `dayan sim carbon`: a year of jobs that may wait, and how much less they emit when the planner
//! chooses their hours.

use std::path::{Path, PathBuf};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use dayan_simulate::carbon::{
    self, Capacity, CarbonPolicy, CarbonReport, CarbonWords, Deadline, Jobs, Knowledge, ListNotes,
    Manner, Notes, Objective, Prices, SeedReport, Trial, TrialError, Year,
};
use serde::Serialize;

use super::super::session::Session;
use super::pack::{Seeds, rounded, seeds};
use super::plot_file::PlotFile;
use super::progress::Bar;
use crate::exit::{Exit, Failure, Said};
use crate::input::{read_file, unreadable};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// More jobs than this are no year of one site.
const JOBS_MAX: i64 = 100_000;
/// What `together` was called.
const FORMER: &str = "default";
/// Noise of five times the mean is none any more.
const NOISE_MAX: f64 = 5.0;

/// Chooses the hours of a year of jobs that may wait, and says how much less they emit
#[derive(Debug, clap::Args)]
pub struct Carbon {
    /// Carbon intensity by 5 to 60 minutes: a table such as `Time,Carbon Intensity`, or the JSON of a
    /// carbon service, packed or not; `-` is standard input, as for the other files
    #[arg(value_name = "SERIES")]
    series: PathBuf,
    /// Who chooses the hours: all known jobs together whenever one comes, each alone, or with all of
    /// the year known. None is the live exchange's rule; `default` is another name of the first
    #[arg(long, value_name = "NAME", default_value = "together",
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
    /// Jobs in the year; left out: 3387, and so many of them as a shorter series has of a year
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=JOBS_MAX))]
    jobs: Option<u32>,
    /// Jobs of a list instead: `Start,Hours`, `timestamp,duration` in seconds or `arrival_time,length`
    /// in hours; starts are rounded down to half-hours and lengths up
    #[arg(long, value_name = "CSV", conflicts_with = "jobs")]
    job_list: Option<PathBuf>,
    /// Prices of a kilowatt-hour: a series, such as `Time,Price`, or windows of the day,
    /// `From,To,Price`
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
    let values = CarbonPolicy::ALL.map(|policy| {
        let value = PossibleValue::new(policy.name());
        // What commands were written with before it was said what it is.
        if policy == CarbonPolicy::Together { value.alias(FORMER) } else { value }
    });
    PossibleValuesParser::new(values)
        .map(|name| if name == FORMER { CarbonPolicy::Together.name().to_owned() } else { name })
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
    /// The days that were replayed, from the first on.
    from: String,
    days: u32,
    /// What was made of the rows of the series, and of the list of jobs.
    series: Notes,
    #[serde(skip_serializing_if = "Option::is_none")]
    job_list: Option<ListNotes>,
    seeds: Vec<SeedReport>,
}

/// Runs it.
pub fn run(args: &Carbon, session: &Session) -> Result<Exit, Failure> {
    if args.prefer == PreferName::Price && args.prices.is_none() {
        return Err(Failure::usage(Said::plain(Word::PricesNeeded)));
    }
    let plot = PlotFile::open(args.plot.as_deref())?;
    let series = read_file(&args.series, carbon::read_carbon)?;
    say_made(session, &args.series, &series.notes);
    let year = Year::of(&series).map_err(|none| unreadable(&args.series, &none.to_string()))?;
    if year.days < 365 {
        let said = Said::with(Word::PartYear, "file", args.series.display().to_string());
        let said = said.and("days", year.days.to_string()).and("from", year.first.to_string());
        session.out.say(&said);
    }
    let prices = match &args.prices {
        None => vec![0; year.carbon.len()],
        Some(path) => {
            let prices = read_file(path, carbon::read_prices)?;
            if let Prices::Series(series) = &prices {
                say_made(session, path, &series.notes);
            }
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
        jobs: match &listed {
            Some(listed) => Jobs::Listed(&listed.jobs),
            None => Jobs::Drawn(args.jobs.unwrap_or_else(|| year.share(carbon::JOBS))),
        },
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
    if let (Some(path), Some(list)) = (&args.job_list, &listed) {
        say_list(session, path, &list.notes);
    }
    let report = {
        let bar = Bar::new(session);
        carbon::run(&trial, &args.seeds.0, &mut |part| bar.at(part))
    };
    let report = report.map_err(|error| match error {
        TrialError::Broken(broken) => Failure::local(Said::plain(Word::ShiftedWrong), broken),
        full @ TrialError::NoRoom { .. } => {
            Failure::usage(Said::with(Word::NoRoomAtOnce, "why", full.to_string()))
        }
    })?;
    if let Some(plot) = plot {
        plot.write(&carbon::picture(&report.course, &words(args, &report, session)))?;
    }
    let made = (&year, series.notes, listed.map(|list| list.notes));
    session.out.show(&Outcome::new(args, report.jobs, &report.seeds, made))?;
    Ok(Exit::Ok)
}

/// Says what was made of rows that are not simply there.
fn say_made(session: &Session, path: &Path, notes: &Notes) {
    if notes.filled + notes.doubled + notes.empty > 0 {
        let said = Said::with(Word::SeriesMade, "file", path.display().to_string())
            .and("filled", notes.filled.to_string())
            .and("doubled", notes.doubled.to_string())
            .and("empty", notes.empty.to_string());
        session.out.say(&said);
    }
}

fn say_list(session: &Session, path: &Path, notes: &ListNotes) {
    if notes.rounded + notes.empty + notes.beyond > 0 || notes.shifted_days != 0 {
        let said = Said::with(Word::JobListMade, "file", path.display().to_string())
            .and("rows", notes.rows.to_string())
            .and("rounded", notes.rounded.to_string())
            .and("empty", notes.empty.to_string())
            .and("beyond", notes.beyond.to_string())
            .and("days", notes.shifted_days.to_string());
        session.out.say(&said);
    }
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
    fn new(
        args: &Carbon,
        jobs: usize,
        seeds: &[SeedReport],
        (year, series, job_list): (&Year, Notes, Option<ListNotes>),
    ) -> Self {
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
            from: year.first.to_string(),
            days: year.days,
            series,
            job_list,
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
