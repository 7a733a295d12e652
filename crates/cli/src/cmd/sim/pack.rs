//! `dayan sim pack`: pods of a published list arrive at a cluster; how much of its cards gets to
//! work under a policy.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use dayan_simulate::pack::{
    self, Bound, Curve, Curves, PackPolicy, PackReport, PackWords, SeedReport,
};
use serde::Serialize;

use super::super::session::Session;
use super::plot_file::PlotFile;
use super::progress::Bar;
use crate::exit::{Exit, Failure, Said};
use crate::input::read_file;
use crate::output::{Cell, Grid, Show, View};
use crate::words::{Lang, Word};

/// More seeds than anybody waits for.
const SEEDS_MAX: usize = 10_000;

/// Packs the pods of a list onto the accelerators of a cluster, one by one, none refused that fits
#[derive(Debug, clap::Args)]
pub struct Pack {
    /// The machines: `sn,cpu_milli,memory_mib,gpu,model`, packed or not; `-` is standard input
    #[arg(long, value_name = "CSV")]
    nodes: PathBuf,
    /// The pods: `name,cpu_milli,memory_mib,num_gpu,gpu_milli` and perhaps `gpu_spec`; `-` is standard
    /// input
    #[arg(long, value_name = "CSV")]
    pods: PathBuf,
    /// Who chooses the node; `default` is the planner of the live exchange
    #[arg(long, value_name = "NAME", default_value = "default", hide_default_value = true,
        value_parser = policies())]
    policy: PackPolicy,
    /// Orders of arrival: one number, or the first and the last
    #[arg(long, value_name = "N|N-N", default_value = "42-51", value_parser = seeds)]
    seeds: Seeds,
    /// Also the most that any placement in this order could reach
    #[arg(long)]
    bound: bool,
    /// Policies to run beside it, in the same run, separated by commas
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = policies(),
        hide_possible_values = true)]
    beside: Vec<PackPolicy>,
    /// Also draw what is at work as more and more is asked for
    #[arg(long, value_name = "SVG")]
    plot: Option<PathBuf>,
}

/// The policies by name.
fn policies() -> impl TypedValueParser<Value = PackPolicy> {
    PossibleValuesParser::new(PackPolicy::ALL.map(PackPolicy::name))
        .map(|name| PackPolicy::from_name(&name).expect("one of the names"))
}

/// Seeds of a run.
#[derive(Clone, Debug)]
pub(super) struct Seeds(pub Vec<u64>);

pub(super) fn seeds(text: &str) -> Result<Seeds, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| text.parse::<u64>().map_err(|why| format!("`{text}`: {why}"));
    let (first, last) = (number(first)?, number(last)?);
    if first > last || last - first >= SEEDS_MAX as u64 {
        return Err(format!("from the lower to the higher, at most {SEEDS_MAX}"));
    }
    Ok(Seeds((first..=last).collect()))
}

/// What scripts get.
#[derive(Debug, Serialize)]
struct Outcome {
    policy: PackPolicy,
    seeds: Vec<SeedReport>,
    mean: f64,
    std: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bound_mean: Option<f64>,
    /// Those asked for beside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<Outcome>,
}

impl Outcome {
    fn new(report: PackReport) -> Self {
        let bounds: Option<Vec<f64>> = report.seeds.iter().map(|seed| seed.bound_pct).collect();
        let mean = |all: Vec<f64>| all.iter().sum::<f64>() / all.len().max(1) as f64;
        let seed = |one: SeedReport| SeedReport {
            seed: one.seed,
            alloc_pct: rounded(one.alloc_pct),
            bound_pct: one.bound_pct.map(rounded),
        };
        Self {
            policy: report.policy,
            seeds: report.seeds.into_iter().map(seed).collect(),
            mean: rounded(report.mean),
            std: rounded(report.std),
            bound_mean: bounds.map(mean).map(rounded),
            beside: Vec::new(),
        }
    }
}

/// More digits would say nothing.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Runs it.
pub fn run(args: &Pack, session: &Session) -> Result<Exit, Failure> {
    let plot = PlotFile::open(args.plot.as_deref())?;
    let nodes = read_file(&args.nodes, pack::read_nodes)?;
    let pods = read_file(&args.pods, pack::read_pods)?;
    let bound = if args.bound { Bound::Wanted } else { Bound::Unwanted };
    let curves = if plot.is_some() { Curves::Wanted } else { Curves::Unwanted };
    if !pack::any_fits(&nodes, &pods) {
        let said = Said::with(Word::NothingPlaced, "nodes", args.nodes.display().to_string());
        return Err(Failure::usage(said.and("pods", args.pods.display().to_string())));
    }
    let bar = Bar::new(session);
    let (mut done, all) = (0.0, (args.beside.len() + 1) as f64);
    let mut run = |policy: PackPolicy, bound| {
        let from = done;
        done += 1.0;
        let mut progress = |part: f64| bar.at((from + part) / all);
        pack::pack(&nodes, &pods, policy, &args.seeds.0, (bound, curves), &mut progress)
            .map_err(|over| Failure::local(Said::plain(Word::PackedOver), over))
    };
    // The bound is that of the arrivals, whoever chooses.
    let own = run(args.policy, bound)?;
    let beside = args.beside.iter().map(|policy| run(*policy, Bound::Unwanted));
    let beside: Vec<PackReport> = beside.collect::<Result<_, _>>()?;
    drop(bar);
    if let Some(plot) = plot {
        let all = std::iter::once(&own).chain(&beside);
        let curves: Vec<(&str, &Curve)> =
            all.filter_map(|one| Some((one.policy.name(), one.curve.as_ref()?))).collect();
        plot.write(&pack::picture(&curves, &words(args, session.out.view.lang)))?;
    }
    let beside = beside.into_iter().map(Outcome::new).collect();
    session.out.show(&Outcome { beside, ..Outcome::new(own) })?;
    Ok(Exit::Ok)
}

/// What is written in the picture.
fn words(args: &Pack, lang: Lang) -> PackWords {
    let plain = |word: Word| lang.word(word).to_owned();
    let pods = args.pods.file_name().unwrap_or(args.pods.as_os_str()).to_string_lossy();
    let seeds = args.seeds.0.len().to_string();
    PackWords {
        title: lang.fill(Word::PlotPacking, &[("pods", &pods)]),
        note: lang.fill(Word::PlotSeeds, &[("seeds", &seeds)]),
        nothing: plain(Word::PlotNothing),
        whole: plain(Word::PlotFromEmpty),
        end: plain(Word::PlotAtTheEnd),
        arrived: plain(Word::PlotArrived),
        at_work: plain(Word::PlotAtWork),
        bound: plain(Word::AtMost),
    }
}

impl Show for Outcome {
    fn table(&self, view: &View) -> String {
        let percent = |value: f64| Cell::number(format!("{value:.2} %"));
        let at_most = |value: Option<f64>| value.map_or_else(|| Cell::text("-"), percent);
        let mean = |one: &Self| Cell::number(format!("{:.2} ± {:.2} %", one.mean, one.std));
        if self.beside.is_empty() {
            let mut grid = Grid::new(view, &[Word::Seed, Word::CardsAtWork, Word::AtMost]);
            for seed in &self.seeds {
                let most = at_most(seed.bound_pct);
                grid.row([Cell::number(seed.seed), percent(seed.alloc_pct), most]);
            }
            let name = Cell::text(view.word(Word::Mean));
            grid.row([name, mean(self), at_most(self.bound_mean)]);
            return grid.finish();
        }
        let mut grid = Grid::new(view, &[Word::Order, Word::CardsAtWork, Word::AtMost]);
        for one in std::iter::once(self).chain(&self.beside) {
            grid.row([Cell::text(one.policy.name()), mean(one), at_most(one.bound_mean)]);
        }
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::tests::dayan;

    #[tokio::test]
    async fn pods_that_find_no_machine_are_told_with_both_files() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).expect("written");
            path.display().to_string()
        };
        let nodes =
            file("nodes.csv", "sn,cpu_milli,memory_mib,gpu,model\nn1,64000,262144,2,P100\n");
        let heading = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec\n";
        let pods = |name: &str, row: &str| file(name, &format!("{heading}{row}\n"));
        let packed = async |pods: &str| {
            let line = ["sim", "pack", "--nodes", &nodes, "--pods", pods, "--seeds", "42"];
            dayan(Environment::default(), &line).await
        };
        for (name, row) in [
            ("many.csv", "p1,1000,1024,4,1000,"),
            ("other.csv", "p1,1000,1024,1,1000,V100"),
            ("cores.csv", "p1,65000,1024,1,1000,"),
            ("none.csv", "p1,1000,1024,0,0,"),
        ] {
            let pods = pods(name, row);
            let ran = packed(&pods).await;
            let files = [("nodes", &*nodes), ("pods", &*pods)];
            let told = Lang::En.fill(Word::NothingPlaced, &files);
            assert_eq!((ran.exit, ran.stdout.as_str()), (Exit::Usage, ""), "{row}");
            assert!(ran.stderr.contains(told.lines().next().expect("a line")), "{}", ran.stderr);
        }
        let fits = packed(&pods("fits.csv", "p1,1000,1024,1,1000,P100")).await;
        assert_eq!(fits.exit, Exit::Ok, "{}", fits.stderr);
    }

    #[test]
    fn seeds_are_one_or_a_range() {
        let check = |text: &str, expect: Option<&[u64]>| {
            assert_eq!(seeds(text).ok().map(|seeds| seeds.0).as_deref(), expect, "{text}");
        };
        check("42", Some(&[42]));
        check("42-44", Some(&[42, 43, 44]));
        check("44-42", None);
        check("1-100000", None);
        check("a-b", None);
        check("", None);
    }
}
