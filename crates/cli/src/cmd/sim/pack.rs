//! `dayan sim pack`: pods of a published list arrive at a cluster; how much of its cards gets to
//! work under a policy.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use dayan_simulate::pack::{self, Bound, PackPolicy, SeedReport};
use serde::Serialize;

use super::super::session::Session;
use super::read_file;
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// More seeds than anybody waits for.
const SEEDS_MAX: usize = 10_000;

/// Packs the pods of a list onto the accelerators of a cluster, one by one, none refused that fits
#[derive(Debug, clap::Args)]
pub struct Pack {
    /// The machines: `sn,cpu_milli,memory_mib,gpu,model`; `.gz` is unpacked
    #[arg(long, value_name = "CSV")]
    nodes: PathBuf,
    /// The pods: `name,cpu_milli,memory_mib,num_gpu,gpu_milli` and perhaps `gpu_spec`
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
}

/// More digits would say nothing.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// Runs it.
pub fn run(args: &Pack, session: &Session) -> Result<Exit, Failure> {
    let nodes = read_file(&args.nodes, pack::read_nodes)?;
    let pods = read_file(&args.pods, pack::read_pods)?;
    let bound = if args.bound { Bound::Wanted } else { Bound::Unwanted };
    let report = pack::pack(&nodes, &pods, args.policy, &args.seeds.0, bound)
        .map_err(|over| Failure::local(Said::plain(Word::PackedOver), over))?;
    let bounds: Option<Vec<f64>> = report.seeds.iter().map(|seed| seed.bound_pct).collect();
    let mean = |all: Vec<f64>| all.iter().sum::<f64>() / all.len().max(1) as f64;
    let seed = |one: SeedReport| SeedReport {
        seed: one.seed,
        alloc_pct: rounded(one.alloc_pct),
        bound_pct: one.bound_pct.map(rounded),
    };
    session.out.show(&Outcome {
        policy: report.policy,
        seeds: report.seeds.into_iter().map(seed).collect(),
        mean: rounded(report.mean),
        std: rounded(report.std),
        bound_mean: bounds.map(mean).map(rounded),
    })?;
    Ok(Exit::Ok)
}

impl Show for Outcome {
    fn table(&self, view: &View) -> String {
        let heads = [Word::Seed, Word::CardsAtWork, Word::AtMost];
        let mut grid = Grid::new(view, &heads);
        let percent = |value: f64| Cell::number(format!("{value:.2} %"));
        let at_most = |value: Option<f64>| value.map_or_else(|| Cell::text("-"), percent);
        for seed in &self.seeds {
            grid.row([Cell::number(seed.seed), percent(seed.alloc_pct), at_most(seed.bound_pct)]);
        }
        let mean = format!("{:.2} ± {:.2} %", self.mean, self.std);
        grid.row([Cell::text(view.word(Word::Mean)), Cell::number(mean), at_most(self.bound_mean)]);
        grid.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::seeds;

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
