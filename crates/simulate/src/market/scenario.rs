//! What a market is made of: kinds of machines, providers, kinds of work, consumers, and what goes
//! wrong. Read from TOML, YAML or JSON.
//!
//! Invariant: a scenario that [`Scenario::parse`] lets in names no kind, work or place that there is
//! not, and has nothing in it that the generator would have to guess; what cannot be is refused with
//! its line and its key (`scenario_check`). Nothing here draws or decides.

use std::collections::BTreeMap;
use std::fmt;

use dayan_measure::Model;
use dayan_topology::PlaceId;
use dayan_units::{Micro, Span, Time, parse_span};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::tree::{self, Form};

/// Why a scenario cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub struct ScenarioError {
    /// Counted from 1; none where it does not stand in the file.
    pub line: Option<usize>,
    /// The keys that lead there from the top, as in `work.render.run`; empty: the file as a whole.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, key, message } = self;
        match (line, key.as_str()) {
            (None, "") => f.write_str(message),
            (None, key) => write!(f, "`{key}`: {message}"),
            (Some(line), "") => write!(f, "line {line}: {message}"),
            (Some(line), key) => write!(f, "line {line}, `{key}`: {message}"),
        }
    }
}

/// A market, as its file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub(super) version: u32,
    /// What it is called in reports.
    pub name: String,
    /// Of all draws, unless the caller says another.
    pub seed: u64,
    pub(super) days: u32,
    #[serde(deserialize_with = "moment")]
    pub(super) start: Time,
    pub(super) arrivals: Arrivals,
    #[serde(default)]
    pub(super) clearing: Clearing,
    #[serde(default)]
    pub(super) failures: Failures,
    #[serde(rename = "tariff")]
    pub(super) tariffs: BTreeMap<String, Tariff>,
    #[serde(rename = "kind")]
    pub(super) kinds: BTreeMap<String, Kind>,
    #[serde(rename = "provider")]
    pub(super) providers: Vec<Provider>,
    #[serde(rename = "work")]
    pub(super) works: BTreeMap<String, Work>,
    #[serde(rename = "consumers")]
    pub(super) consumers: Vec<Consumers>,
}

/// How many jobs come, and when.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arrivals {
    pub jobs_per_day: u32,
    /// Weights of the hours of a day, from midnight.
    pub hours: [u32; 24],
    /// Weights of the days of a week, from Monday.
    pub weekdays: [u32; 7],
}

/// How the exchange and its agents go about it.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Clearing {
    /// Length of a settlement window.
    #[serde(deserialize_with = "span")]
    pub window: Span,
    /// How often agents tell the use of what runs.
    #[serde(deserialize_with = "span")]
    pub told_every: Span,
    /// From a lease to its program: the agent hears of it and launches it.
    #[serde(deserialize_with = "span")]
    pub launch: Span,
}

impl Default for Clearing {
    /// A settlement window as in the live exchange; use is told once in each.
    fn default() -> Self {
        let hour = Span::from_secs(3_600);
        Self { window: hour, told_every: hour, launch: Span::from_secs(2) }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Failures {
    /// Machines of a thousand that fail in a day.
    #[serde(default)]
    pub nodes_permille_per_day: u32,
    /// For how long.
    #[serde(default)]
    pub down: Between,
    /// Links cut in a day, all providers together.
    #[serde(default)]
    pub cuts_per_day: u32,
    /// For how long.
    #[serde(default)]
    pub cut: Between,
}

/// From one length to another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Between {
    pub least: Span,
    pub most: Span,
}

/// Prices over a day, in thousandths of the list price, from midnight.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tariff {
    pub hours: [u32; 24],
}

/// A kind of machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kind {
    /// The cards' model, by the device catalogue.
    #[serde(default, deserialize_with = "model")]
    pub model: Option<&'static Model>,
    #[serde(default)]
    pub cards: u32,
    pub cores: u32,
    pub memory_gb: u32,
    /// What a card draws at work.
    #[serde(default)]
    pub card_watts: u32,
    /// What a core draws at work, its part of the machine included.
    pub core_watts: u32,
    #[serde(default, deserialize_with = "price")]
    pub card_hour: Micro,
    #[serde(deserialize_with = "price")]
    pub core_hour: Micro,
    #[serde(deserialize_with = "price")]
    pub gb_hour: Micro,
}

/// Who sells.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Provider {
    pub name: String,
    #[serde(deserialize_with = "place")]
    pub city: PlaceId,
    /// Of the list price of each kind, in thousandths.
    pub price_permille: u32,
    pub pue_permille: u32,
    pub tariff: String,
    /// Machines by kind; each kind is a pool.
    pub nodes: BTreeMap<String, u32>,
}

/// A kind of work.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Work {
    /// The first word of the command: what run times are learned by.
    pub program: String,
    /// Cards of a task, as in job files; each consumer uses one of them. None: no cards.
    #[serde(default, deserialize_with = "asks")]
    pub cards: Vec<dayan_spec::AcceleratorAsk>,
    #[serde(default)]
    pub cores: Vec<u32>,
    #[serde(default)]
    pub memory_gb: Vec<u32>,
    /// Cores, memory and cards are drawn from the list of pods, where one is given.
    #[serde(default)]
    pub from_pods: bool,
    /// Members of a gang; empty: no gang.
    #[serde(default)]
    pub gang: Vec<u32>,
    /// Tasks of an array, the fewest and the most.
    #[serde(default)]
    pub array: Option<[u32; 2]>,
    /// Run times: the shortest, then quantiles in equal steps, then the longest.
    #[serde(deserialize_with = "spans")]
    pub run: Vec<Span>,
    /// Run times are drawn from the log of jobs, where one is given, and cut to the shortest and
    /// the longest of `run`.
    #[serde(default)]
    pub from_jobs: bool,
    /// The limit over the run time, the least and the most, in thousandths.
    pub limit_permille: [u32; 2],
    /// What the deadline leaves beyond the limit.
    #[serde(default)]
    pub slack: Option<Between>,
    /// The strictest of these delay classes that enough pools keep.
    #[serde(default)]
    pub delay: Vec<dayan_spec::DelayClass>,
    /// Of a thousand consumers, so many keep it in their own province, where enough pools are.
    #[serde(default)]
    pub at_home_permille: u32,
    /// Of a thousand consumers, so many take domestic hardware only.
    #[serde(default)]
    pub domestic_permille: u32,
    #[serde(default)]
    pub priority: Option<dayan_spec::Priority>,
    /// What matters first to it. With `price` first, work with slack waits for a cheaper hour.
    #[serde(default)]
    pub prefer: Vec<dayan_spec::Preference>,
}

/// Consumers of one sort.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Consumers {
    /// What their names begin with.
    pub name: String,
    pub count: u32,
    /// How much each asks for beside others.
    pub weight: u32,
    /// Where they are, by weight.
    pub cities: BTreeMap<String, u32>,
    /// What they run, by weight.
    pub mix: BTreeMap<String, u32>,
    #[serde(deserialize_with = "price")]
    pub deposit: Micro,
    #[serde(default, deserialize_with = "some_price")]
    pub budget_per_month: Option<Micro>,
}

/// How large a market is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Size {
    /// Who sells.
    pub providers: usize,
    /// Who buys.
    pub consumers: u32,
    /// FP16, dense, by the device catalogue.
    pub eflops: f64,
}

impl Scenario {
    /// Reads a scenario, or says where it is wrong.
    pub fn parse(text: &str, form: Form) -> Result<Self, ScenarioError> {
        let text = text.trim_start_matches('\u{feff}');
        let root = tree::read(text, form).map_err(|wrong| wrong.told(text))?;
        let scenario: Self = tree::to_type(&root).map_err(|wrong| wrong.told(text))?;
        scenario.check().map_err(|wrong| tree::placed(&root, wrong).told(text))?;
        Ok(scenario)
    }

    /// Whether jobs may come for so many days, which a caller may choose.
    pub(super) fn fits(&self, days: u32) -> Result<(), ScenarioError> {
        // They stand in no file.
        let told = |wrong: tree::Wrong| wrong.told("");
        if days == self.days { Ok(()) } else { self.check_days(days).map_err(told) }
    }

    /// Whether any work draws run times from a log of jobs.
    pub fn draws_jobs(&self) -> bool {
        self.works.values().any(|work| work.from_jobs)
    }

    /// Whether any work draws shapes from a list of pods.
    pub fn draws_pods(&self) -> bool {
        self.works.values().any(|work| work.from_pods)
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        let cards = |provider: &Provider| {
            let of = |(kind, count): (&String, &u32)| {
                let kind = &self.kinds[kind];
                let rate =
                    kind.model.and_then(|model| model.nominal(dayan_measure::Precision::Fp16));
                rate.map_or(0.0, |rate| rate.0 as f64 / 1e18)
                    * f64::from(kind.cards)
                    * f64::from(*count)
            };
            provider.nodes.iter().map(of).sum::<f64>()
        };
        Size {
            providers: self.providers.len(),
            consumers: self.consumers.iter().map(|consumers| consumers.count).sum(),
            eflops: self.providers.iter().map(cards).sum(),
        }
    }

    /// How many days jobs come, unless the caller says otherwise.
    pub fn days(&self) -> u32 {
        self.days
    }
}

// ---- values with a unit in them ----

fn span<'de, D: Deserializer<'de>>(from: D) -> Result<Span, D::Error> {
    let text = String::deserialize(from)?;
    parse_span(&text).map_err(D::Error::custom)
}

fn spans<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Span>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| parse_span(text).map_err(D::Error::custom)).collect()
}

impl<'de> Deserialize<'de> for Between {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let texts = <[String; 2]>::deserialize(from)?;
        let [least, most] = texts.each_ref().map(|text| parse_span(text));
        let (least, most) = (least.map_err(D::Error::custom)?, most.map_err(D::Error::custom)?);
        if most < least {
            return Err(D::Error::custom("the least goes before the most"));
        }
        Ok(Self { least, most })
    }
}

fn moment<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

fn price<'de, D: Deserializer<'de>>(from: D) -> Result<Micro, D::Error> {
    let text = String::deserialize(from)?;
    let micro = Micro::parse_decimal(&text).map_err(D::Error::custom)?;
    if micro < Micro::ZERO {
        return Err(D::Error::invalid_value(Unexpected::Str(&text), &"an amount of zero or more"));
    }
    Ok(micro)
}

fn some_price<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Micro>, D::Error> {
    price(from).map(Some)
}

fn place<'de, D: Deserializer<'de>>(from: D) -> Result<PlaceId, D::Error> {
    let text = String::deserialize(from)?;
    PlaceId::find(&text).map_err(D::Error::custom)
}

fn model<'de, D: Deserializer<'de>>(from: D) -> Result<Option<&'static Model>, D::Error> {
    let text = String::deserialize(from)?;
    let found = dayan_measure::find_model(&text);
    let unknown = || D::Error::custom(format!("the device catalogue has no `{text}`"));
    found.map(Some).ok_or_else(unknown)
}

fn asks<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<dayan_spec::AcceleratorAsk>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}
