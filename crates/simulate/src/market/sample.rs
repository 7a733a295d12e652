//! A market of two pools for the tests of this folder: one card each in Guiyang and in Shanghai,
//! the second at twice the price.

use dayan_units::{Span, Time};

use super::draw::{Job, Market};
use super::lists::Lists;
use super::scenario::Scenario;
use super::tree::Form;

const TEXT: &str = r#"
version = 1
name = "sample"
seed = 1
days = 1
start = "2026-11-02T00:00:00+08:00"
arrivals = { jobs_per_day = 1, hours = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], weekdays = [1, 1, 1, 1, 1, 1, 1] }
tariff.flat = { hours = [1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000] }

[kind.card]
model = "A800-SXM4-80GB"
cards = 1
cores = 8
memory_gb = 64
card_watts = 400
core_watts = 5
card_hour = "5.00"
core_hour = "0.00"
gb_hour = "0.00"

[[provider]]
name = "near"
city = "Guiyang"
price_permille = 1000
pue_permille = 1200
tariff = "flat"
nodes = { card = 1 }

[[provider]]
name = "far"
city = "Shanghai"
price_permille = 2000
pue_permille = 1200
tariff = "flat"
nodes = { card = 1 }

[work.infer]
program = "infer"
cards = ["A800:1"]
cores = [4]
memory_gb = [16]
run = ["1h", "1h"]
limit_permille = [1000, 1000]

[[consumers]]
name = "lab"
count = 1
weight = 1
cities = { "Guiyang" = 1 }
mix = { infer = 1 }
deposit = "1000.00"
"#;

/// The scenario, as somebody changed its text.
pub(super) fn scenario(change: impl FnOnce(&str) -> String) -> Scenario {
    Scenario::parse(&change(TEXT), Form::Toml).unwrap_or_else(|error| panic!("{error}"))
}

/// That market with so many jobs of an hour at its beginning, each with a slack.
pub(super) fn market(jobs: usize, slack: Option<Span>) -> Market {
    let scenario = scenario(str::to_owned);
    let mut market = Market::draw(&scenario, &Lists::default(), 1, 1).expect("it is drawn");
    let (at, run) = (market.start, Span::from_secs(3_600));
    let deadline = slack.map(|slack| at.plus(run).plus(slack));
    let file = market.jobs[0].file;
    market.jobs = vec![Job { at, program: 0, run, deadline, tasks: 1, file }; jobs];
    market
}

/// So many hours after its beginning.
pub(super) fn hour(market: &Market, number: i64) -> Time {
    market.start.plus(Span::from_secs(3_600 * number))
}
