//! `dayan sim scale`: how fast the planner of the live exchange decides for a country of so many
//! machines and tasks, drawn from a seed.

use std::time::Instant;

use dayan_simulate::scale::{self, Meter, ScaleReport, Size};
use serde::Serialize;

use super::super::session::Session;
use super::progress::Bar;
use crate::exit::{Exit, Failure, Said};
use crate::output::{Show, View};
use crate::words::Word;

/// More machines or tasks than this are more than memory holds.
const COUNT_MAX: i64 = 20_000_000;
/// More kinds than this are no kinds.
const KINDS_MAX: i64 = 1_000_000;

/// Places the tasks of a whole country, drawn from a seed, and says how long that took
#[derive(Debug, clap::Args)]
pub struct Scale {
    /// Machines, in pools of a hundred
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    nodes: u32,
    /// Tasks to place, half of them in arrays of a thousand
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    tasks: u32,
    /// Tasks that run already when the clock starts
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=COUNT_MAX))]
    placed: u32,
    /// Kinds of machines
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=KINDS_MAX))]
    node_shapes: u32,
    /// Kinds of tasks
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=KINDS_MAX))]
    task_shapes: u32,
    /// Of all draws
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
}

/// This process's own clocks, and a bar that is drawn outside of what they measure.
struct Clocks(Instant, Bar);

impl Clocks {
    #[expect(clippy::disallowed_methods, reason = "what is measured is how long it takes here")]
    fn start(bar: Bar) -> Self {
        Self(Instant::now(), bar)
    }
}

impl Meter for Clocks {
    fn at(&self, part: f64) {
        self.1.at(part);
    }
    fn wall(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
    fn processor(&self) -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or(0)
    }
}

/// The most memory this process ever held, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024 / 1_000_000
}

/// What scripts get.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    report: ScaleReport,
    rss_mb: u64,
}

/// More digits would say nothing.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

/// Runs it.
pub fn run(args: &Scale, session: &Session) -> Result<Exit, Failure> {
    let size = Size {
        nodes: args.nodes,
        placed: args.placed,
        tasks: args.tasks,
        node_shapes: args.node_shapes,
        task_shapes: args.task_shapes,
        seed: args.seed,
    };
    let (report, checked) = scale::run(&size, &Clocks::start(Bar::new(session)));
    let report = ScaleReport {
        fill_pct: rounded(report.fill_pct),
        seconds: rounded(report.seconds),
        processor_s: rounded(report.processor_s),
        placements_per_s: report.placements_per_s.round(),
        p50_us: rounded(report.p50_us),
        p99_us: rounded(report.p99_us),
        urgent_p99_us: rounded(report.urgent_p99_us),
        ..report
    };
    session.out.show(&Outcome { report, rss_mb: peak_mb() })?;
    checked.map_err(|over| Failure::local(Said::plain(Word::PackedOver), over))?;
    Ok(Exit::Ok)
}

impl Show for Outcome {
    fn table(&self, view: &View) -> String {
        let values = serde_json::to_value(self).expect("plain data");
        super::super::books::Report(values).table(view)
    }
}
