//! What a market is made of: kinds of machines, providers, kinds of work, consumers, and what goes
//! wrong. Read from TOML.
//!
//! Invariant: a scenario that [`Scenario::parse`] lets in names no kind, work or place that there is
//! not, and has nothing in it that the generator would have to guess; what cannot be is refused with
//! its line and its key. Nothing here draws or decides.

use std::collections::BTreeMap;
use std::ops::Range;

use dayan_measure::Model;
use dayan_topology::PlaceId;
use dayan_units::{Micro, Span, Time, parse_span};
use serde::de::{Error as _, Unexpected};
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use toml::Spanned;

/// The format this reads.
const VERSION: u32 = 1;
/// Longer weeks than this are no market of one region.
const DAYS_MAX: u32 = 60;
/// Machines in all: what one exchange is built for, some times over.
const NODES_MAX: u64 = 50_000;
/// The planner's card masks hold so many.
const CARDS_MAX: u32 = 64;

/// Why a scenario cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("line {line}, `{key}`: {message}")]
pub struct ScenarioError {
    /// Counted from 1.
    pub line: usize,
    /// The key on that line, or the table it begins.
    pub key: String,
    /// What is wrong.
    pub message: String,
}

/// A market, as its file says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    version: Spanned<u32>,
    /// What it is called in reports.
    pub name: String,
    /// Of all draws, unless the caller says another.
    pub seed: u64,
    days: Spanned<u32>,
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
    pub tariff: Spanned<String>,
    /// Machines by kind; each kind is a pool.
    pub nodes: BTreeMap<Spanned<String>, u32>,
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
    pub cities: BTreeMap<Spanned<String>, u32>,
    /// What they run, by weight.
    pub mix: BTreeMap<Spanned<String>, u32>,
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
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        let at = |span: Option<Range<usize>>, message: &str| located(text, span, message);
        let scenario: Self =
            toml::from_str(text).map_err(|error| at(error.span(), error.message()))?;
        scenario.check().map_err(|(span, message)| at(Some(span), &message))?;
        Ok(scenario)
    }

    /// How large it is.
    pub fn size(&self) -> Size {
        let cards = |provider: &Provider| {
            let of = |(kind, count): (&Spanned<String>, &u32)| {
                let kind = &self.kinds[kind.as_ref()];
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
        *self.days.as_ref()
    }

    fn check(&self) -> Result<(), (Range<usize>, String)> {
        let known = |name: &Spanned<String>, known: bool, what: &str| {
            if known {
                return Ok(());
            }
            Err((name.span(), format!("there is no {what} `{}`", name.as_ref())))
        };
        if *self.version.as_ref() != VERSION {
            let message = format!("this program reads version {VERSION}");
            return Err((self.version.span(), message));
        }
        if !(1..=DAYS_MAX).contains(&self.days()) {
            return Err((self.days.span(), format!("from 1 to {DAYS_MAX}")));
        }
        let whole = 0..1;
        let refuse = |message: String| Err((whole.clone(), message));
        for (name, kind) in &self.kinds {
            if (kind.cards > 0) != kind.model.is_some() || kind.cards > CARDS_MAX {
                return refuse(format!(
                    "kind `{name}` needs both `model` and `cards`, or neither, and at most \
                     {CARDS_MAX} cards"
                ));
            }
        }
        let mut nodes = 0;
        for provider in &self.providers {
            known(&provider.tariff, self.tariffs.contains_key(provider.tariff.as_ref()), "tariff")?;
            for (kind, count) in &provider.nodes {
                known(kind, self.kinds.contains_key(kind.as_ref()), "kind")?;
                nodes += u64::from(*count);
            }
        }
        if nodes == 0 || nodes > NODES_MAX {
            return refuse(format!("{nodes} machines; from 1 to {NODES_MAX}"));
        }
        for (name, work) in &self.works {
            work.check().map_err(|why| (whole.clone(), format!("work `{name}`: {why}")))?;
        }
        for consumers in &self.consumers {
            for work in consumers.mix.keys() {
                known(work, self.works.contains_key(work.as_ref()), "work")?;
            }
            for city in consumers.cities.keys() {
                known(city, PlaceId::find(city.as_ref()).is_ok(), "city")?;
            }
            let empty =
                |weights: &BTreeMap<Spanned<String>, u32>| weights.values().all(|w| *w == 0);
            if empty(&consumers.mix) || empty(&consumers.cities) {
                let name = &consumers.name;
                return refuse(format!("consumers `{name}` have no cities or no mix"));
            }
        }
        let asks = self.consumers.iter().any(|consumers| consumers.count * consumers.weight > 0);
        let open = self.arrivals.hours.iter().any(|weight| *weight > 0)
            && self.arrivals.weekdays.iter().any(|weight| *weight > 0);
        if !asks || !open {
            return refuse("nobody asks for anything, or never".to_owned());
        }
        Ok(())
    }
}

impl Work {
    fn check(&self) -> Result<(), &'static str> {
        if self.run.len() < 2 || !self.run.is_sorted() || self.run[0] <= Span::ZERO {
            return Err("`run` is at least two lengths, in ascending order");
        }
        if !self.from_pods && (self.cores.is_empty() || self.memory_gb.is_empty()) {
            return Err("`cores` and `memory_gb` are needed without `from_pods`");
        }
        if self.cores.is_empty() != self.memory_gb.is_empty() {
            return Err("`cores` and `memory_gb` are given together");
        }
        if self.cores.contains(&0) || self.memory_gb.contains(&0) {
            return Err("a task takes at least one core and one GB");
        }
        let [least, most] = self.limit_permille;
        if least < 1_000 || most < least {
            return Err("`limit_permille` is from 1000 up");
        }
        if self.array.is_some_and(|[least, most]| least == 0 || most < least)
            || (self.array.is_some() && !self.gang.is_empty())
            || self.gang.contains(&0)
        {
            return Err("an array has at least one task, and no gang is one");
        }
        Ok(())
    }
}

/// The line and the key of what is wrong.
fn located(text: &str, span: Option<Range<usize>>, message: &str) -> ScenarioError {
    let at = span.map_or(0, |span| span.start).min(text.len());
    let before = text.as_bytes()[..at].split(|byte| *byte == b'\n').count() - 1;
    let line = text.lines().nth(before).unwrap_or_default();
    let key = line.split(['=', '#']).next().unwrap_or_default().trim().to_owned();
    let message = message.lines().next().unwrap_or_default().to_owned();
    ScenarioError { line: before + 1, key, message }
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
