//! `dayan sim hpc`: a log of a real machine, replayed under an order and a kind of backfilling.

use std::path::{Path, PathBuf};

use dayan_simulate::hpc::{
    self, Backfill, Discipline, HarnessFill, HpcPolicy, HpcReport, HpcWords, LinesRead, Protocol,
    Replayed, Rule, SwfReader, Unusable, Workload,
};
use serde::Serialize;

use super::super::session::Session;
use super::plot_file::PlotFile;
use super::progress::Bar;
use crate::exit::{Exit, Failure, Said};
use crate::input::{read_file, unreadable};
use crate::output::{Cell, Grid, Show, View};
use crate::words::{Lang, Word};

/// More processors than any machine has.
const PROCESSORS_MAX: i64 = 1_000_000_000;

/// Replays a log of a real machine: waits, slowdowns and use under an order
#[derive(Debug, clap::Args)]
pub struct Hpc {
    /// The log, in the Standard Workload Format, packed or not; `-` is standard input
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// How the log is read: ten windows (h1), the whole with run times cut to the limits (h2), or
    /// the whole with limits raised to the run times (cleaned)
    #[arg(long, value_name = "h1|h2|cleaned", hide_possible_values = true)]
    protocol: ProtocolName,
    /// Processors of the machine, where the log does not say how many there are or says it wrong
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..=PROCESSORS_MAX))]
    processors: Option<i64>,
    /// The order: `default`, `easy++`, or a rule
    #[arg(long, value_name = "NAME", default_value = "default")]
    policy: PolicyName,
    /// What may start before a job that does not fit yet
    #[arg(
        long,
        value_name = "none|easy|conservative",
        default_value = "easy",
        hide_possible_values = true
    )]
    backfill: BackfillName,
    /// How time goes on: by events, or one decision at a time as RLScheduler's harness does
    #[arg(
        long,
        value_name = "event|harness",
        default_value = "event",
        hide_possible_values = true
    )]
    discipline: DisciplineName,
    /// Orders to run beside it, in the same run, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    beside: Vec<PolicyName>,
    /// Also draw use over time, waits, and which job ran when
    #[arg(long, value_name = "SVG")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ProtocolName {
    H1,
    H2,
    Cleaned,
}

impl From<ProtocolName> for Protocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::H1 => Self::H1,
            ProtocolName::H2 => Self::H2,
            ProtocolName::Cleaned => Self::Cleaned,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum BackfillName {
    None,
    Easy,
    Conservative,
}

impl From<BackfillName> for Backfill {
    fn from(name: BackfillName) -> Self {
        match name {
            BackfillName::None => Self::None,
            BackfillName::Easy => Self::Easy,
            BackfillName::Conservative => Self::Conservative,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum DisciplineName {
    Event,
    Harness,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum PolicyName {
    Default,
    Fcfs,
    Sjf,
    Saf,
    Wfp3,
    F1,
    F2,
    F3,
    F4,
    #[value(name = "easy++")]
    EasyPlusPlus,
}

impl PolicyName {
    const fn policy(self) -> HpcPolicy {
        match self {
            Self::Default => HpcPolicy::Default,
            Self::Fcfs => HpcPolicy::Rule(Rule::Fcfs),
            Self::Sjf => HpcPolicy::Rule(Rule::Sjf),
            Self::Saf => HpcPolicy::Rule(Rule::Saf),
            Self::Wfp3 => HpcPolicy::Rule(Rule::Wfp3),
            Self::F1 => HpcPolicy::Rule(Rule::F1),
            Self::F2 => HpcPolicy::Rule(Rule::F2),
            Self::F3 => HpcPolicy::Rule(Rule::F3),
            Self::F4 => HpcPolicy::Rule(Rule::F4),
            Self::EasyPlusPlus => HpcPolicy::EasyPlusPlus,
        }
    }

    const fn name(self) -> &'static str {
        match self.policy() {
            HpcPolicy::Default => "default",
            HpcPolicy::Rule(rule) => rule.name(),
            HpcPolicy::EasyPlusPlus => "easy++",
        }
    }
}

/// What scripts get.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    own: Figures,
    lines: Lines,
    /// Those asked for beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<Figures>,
}

/// What became of the log's lines: `used` are jobs, `cut` of them ran longer than their limits and are taken
/// to have ended there; the others are left out, each by its first reason.
#[derive(Clone, Copy, Debug, Serialize)]
struct Lines {
    read: usize,
    used: usize,
    cut: usize,
    no_width: usize,
    no_run: usize,
    no_limit: usize,
    outside: usize,
}

impl From<LinesRead> for Lines {
    fn from(lines: LinesRead) -> Self {
        let Unusable { no_width, no_run, no_limit, outside } = lines.unusable;
        let LinesRead { read, usable: used, cut, .. } = lines;
        Self { read, used, cut, no_width, no_run, no_limit, outside }
    }
}

/// One order's figures.
#[derive(Debug, Serialize)]
struct Figures {
    policy: &'static str,
    jobs: usize,
    avg_wait_s: f64,
    p99_wait_s: i64,
    max_wait_s: i64,
    avg_bsld: f64,
    utilization: f64,
    windows: Vec<WindowFigures>,
}

#[derive(Debug, Serialize)]
struct WindowFigures {
    start: usize,
    avg_bsld: f64,
}

impl Figures {
    fn new(policy: &'static str, report: HpcReport) -> Self {
        let window = |one: hpc::WindowReport| WindowFigures {
            start: one.start,
            avg_bsld: rounded(one.avg_bsld, 1e4),
        };
        Self {
            policy,
            jobs: report.jobs,
            avg_wait_s: rounded(report.avg_wait_s, 1e1),
            p99_wait_s: report.p99_wait_s,
            max_wait_s: report.max_wait_s,
            avg_bsld: rounded(report.avg_bsld, 1e4),
            utilization: rounded(report.utilization, 1e4),
            windows: report.windows.into_iter().map(window).collect(),
        }
    }
}

/// To so many parts of one: more digits would say nothing.
fn rounded(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}

/// Runs it.
pub fn run(args: &Hpc, session: &Session) -> Result<Exit, Failure> {
    let backfill = Backfill::from(args.backfill);
    let discipline = match (args.discipline, backfill) {
        (DisciplineName::Event, backfill) => Discipline::Event(backfill),
        (DisciplineName::Harness, Backfill::None) => Discipline::Harness(HarnessFill::Wait),
        (DisciplineName::Harness, Backfill::Easy) => Discipline::Harness(HarnessFill::Backfill),
        (DisciplineName::Harness, Backfill::Conservative) => {
            return Err(Failure::usage(Said::plain(Word::HarnessBackfill)));
        }
    };
    let mut asked = std::iter::once(args.policy).chain(args.beside.iter().copied());
    let own_way = asked.any(|name| name.policy() == HpcPolicy::EasyPlusPlus);
    if own_way && discipline != Discipline::Event(Backfill::Easy) {
        return Err(Failure::usage(Said::plain(Word::EasyPlusPlusFills)));
    }
    let plot = PlotFile::open(args.plot.as_deref())?;
    let workload = read(args)?;
    let names: Vec<PolicyName> = [args.policy].into_iter().chain(args.beside.clone()).collect();
    let bar = Bar::new(session);
    let starts = |nth: usize, name: &PolicyName| {
        let mut progress = |part: f64| bar.at((nth as f64 + part) / names.len() as f64);
        hpc::starts_told(&workload, name.policy(), discipline, &mut progress)
    };
    let mut figures = Vec::new();
    let mut replays = Vec::new();
    for (nth, name) in names.iter().enumerate() {
        let starts = starts(nth, name);
        figures.push(Figures::new(name.name(), HpcReport::new(&workload, &starts)));
        // The starts of a long log are many: they are kept for a picture only.
        if plot.is_some() {
            replays.push((name.name(), starts));
        }
    }
    drop(bar);
    if let Some(plot) = plot {
        let replays: Vec<Replayed<'_>> =
            replays.iter().map(|(name, starts)| Replayed { name, starts }).collect();
        let words = words(&args.log, &workload, session.out.view.lang);
        plot.write(&hpc::picture(&workload, &replays, &words))?;
    }
    let beside = figures.split_off(1);
    let own = figures.pop().expect("the first one is asked for always");
    let lines = workload.lines;
    if let Some(why) = lines.why() {
        let said = Said::with(Word::LinesLeftOut, "used", lines.usable.to_string());
        session.out.say(&said.and("read", lines.read.to_string()).and("why", why));
    }
    session.out.show(&Outcome { own, lines: lines.into(), beside })?;
    Ok(Exit::Ok)
}

/// What is written in the picture.
fn words(log: &Path, workload: &Workload, lang: Lang) -> HpcWords {
    let plain = |word: Word| lang.word(word).to_owned();
    let jobs: usize = workload.windows.iter().map(|window| window.jobs.len()).sum();
    let (jobs, machine) = (jobs.to_string(), workload.machine.to_string());
    let log = log.file_name().unwrap_or(log.as_os_str()).to_string_lossy();
    let args = [("log", &*log), ("jobs", &*jobs), ("processors", &*machine)];
    let note = match workload.windows.as_slice() {
        [one, _, ..] => {
            let (windows, start) = (workload.windows.len().to_string(), one.start.to_string());
            lang.fill(Word::PlotFirstWindow, &[("windows", &windows), ("start", &start)])
        }
        [] | [_] => plain(Word::PlotBusiestDays),
    };
    let waited = lang.fill(Word::PlotWaited, &[("time", "< 1 min")]);
    HpcWords {
        title: lang.fill(Word::PlotReplay, &args),
        note,
        nothing: plain(Word::PlotNothing),
        utilisation: plain(Word::PlotUse),
        waits: plain(Word::PlotWaits),
        jobs: plain(Word::PlotJobs),
        time: plain(Word::PlotTime),
        used: plain(Word::PlotUsed),
        wait: plain(Word::PlotWait),
        share: plain(Word::PlotShareOfJobs),
        processors: plain(Word::PlotProcessors),
        // As `hpc::WAITS` has them.
        waited: [&waited, "< 1 h", "< 8 h", "< 1 d", "≥ 1 d"].map(str::to_owned),
    }
}

fn read(args: &Hpc) -> Result<Workload, Failure> {
    let (mut header, jobs) = read_file(&args.log, |text| SwfReader::new(text).read_all())?;
    header.processors = args.processors.or(header.processors);
    let protocol = Protocol::from(args.protocol);
    protocol.workload(header, &jobs).map_err(|error| unreadable(&args.log, &error.to_string()))
}

impl Show for Outcome {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Order,
            Word::Jobs,
            Word::MeanWait,
            Word::P99Wait,
            Word::LongestWait,
            Word::MeanSlowdown,
            Word::Utilisation,
        ];
        let mut grid = Grid::new(view, &heads);
        for row in std::iter::once(&self.own).chain(&self.beside) {
            grid.row([
                Cell::text(row.policy),
                Cell::number(row.jobs),
                Cell::number(format!("{:.1}", row.avg_wait_s)),
                Cell::number(row.p99_wait_s),
                Cell::number(row.max_wait_s),
                Cell::number(format!("{:.2}", row.avg_bsld)),
                Cell::number(format!("{:.1} %", row.utilization * 100.0)),
            ]);
        }
        grid.finish()
    }
}
