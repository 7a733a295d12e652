//! Draws a market from its scenario and a seed: pools with their prices, consumers with what they
//! run, the jobs of all days, and what goes wrong.
//!
//! Invariant: the same scenario, lists and seed give the same market; each thing drawn has a stream
//! of its own, so that more failures do not move a job. Every file of a consumer could run somewhere
//! were all pools empty. It must not know who decides where a job goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_exchange::Digest;
use dayan_measure::Model;
use dayan_spec::JobSpec;
use dayan_topology::{DelayClasses, Layer, Percentile, PlaceId, Topology};
use dayan_units::{Bytes, Micro, MilliAccel, MilliCpu, PERMILLE_ONE, Rate, Resources, Span, Time};
use thiserror::Error;

use super::lists::Lists;
use super::programs::People;
use super::scenario::{Between, Scenario};
use crate::random::Random;

pub(super) const HOUR: Span = Span::from_secs(3_600);
pub(super) const DAY: Span = Span::from_secs(86_400);

/// What the draws are for.
#[derive(Clone, Copy)]
#[repr(u64)]
enum Purpose {
    Consumers = 0x6d61_726b_0001,
    Jobs,
    Nodes,
    Links,
}

/// Why a market cannot be drawn.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum DrawError {
    /// No pool would take it, even empty.
    #[error("no pool takes work `{work}` of consumers `{consumers}`: {why}")]
    Nowhere {
        /// Which work.
        work: String,
        /// Whose.
        consumers: String,
        /// What keeps it away.
        why: String,
    },
    /// Work comes from a list that has no row for it.
    #[error("the list of pods has no row for work `{work}`")]
    NoPod {
        /// Which work.
        work: String,
    },
    /// A file was drawn that is none.
    #[error("work `{work}` makes a job file that is refused: {why}")]
    File {
        /// Which work.
        work: String,
        /// What the reader of job files says.
        why: String,
    },
}

/// One kind of machine at one provider.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    pub name: String,
    pub provider: usize,
    pub place: PlaceId,
    pub model: Option<&'static Model>,
    /// What one machine has.
    pub node: Resources,
    pub nodes: u32,
    /// At list price.
    pub rate: Rate,
    /// Of the list price by the hour of the day.
    pub hours: [u32; 24],
    pub card_watts: u32,
    pub core_watts: u32,
    pub pue_permille: u32,
}

impl Pool {
    /// What an hour of everything costs for work that starts in that hour of the day.
    pub fn rate_at(&self, hour: usize) -> Rate {
        let of = |list: Micro| {
            let factor = u64::from(self.hours[hour % 24]);
            list.mul_div_half_even(factor, u64::from(PERMILLE_ONE)).unwrap_or(list)
        };
        Rate {
            core_hour: of(self.rate.core_hour),
            gb_hour: of(self.rate.gb_hour),
            card_hour: of(self.rate.card_hour),
        }
    }

    /// Milliwatts of a task at work, the building's overhead included.
    pub fn milliwatts(&self, need: &Resources) -> i128 {
        let own = i128::from(need.accel.0) * i128::from(self.card_watts)
            + i128::from(need.cpu.0) * i128::from(self.core_watts);
        own * i128::from(self.pue_permille) / 1_000
    }

    /// Milligrams of CO₂ for a kilowatt-hour from the grid there; what is not known counts as the
    /// dirtiest grid of the table.
    pub fn milligrams_per_kwh(&self) -> i128 {
        let grid = self.place.place().grid_mg_per_kwh;
        let worst =
            || dayan_topology::places().iter().filter_map(|place| place.grid_mg_per_kwh).max();
        i128::from(grid.or_else(worst).unwrap_or(0))
    }
}

/// Who buys.
#[derive(Clone, Debug)]
pub(super) struct Consumer {
    pub name: String,
    pub deposit: Micro,
    pub budget_per_month: Option<Micro>,
}

/// What a consumer runs: all of a job but its length.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub consumer: usize,
    pub work: usize,
    pub place: PlaceId,
    /// Of one task.
    pub need: Resources,
    pub members: u32,
    /// The pools that may run it, were they empty.
    pub allowed: Arc<[u16]>,
    /// What it asks of the delay, and of the place.
    pub asks: Asks,
}

/// What a program asks of where it runs.
#[derive(Clone, Debug)]
pub(super) struct Asks {
    pub cards: Option<dayan_spec::AcceleratorAsk>,
    pub delay: Option<dayan_spec::DelayClass>,
    pub region: Option<&'static str>,
    pub domestic: bool,
}

/// A job.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub at: Time,
    pub program: usize,
    /// How long each of its tasks runs.
    pub run: Span,
    pub deadline: Option<Time>,
    /// Tasks of an array, or members of a gang.
    pub tasks: u32,
    pub file: usize,
}

/// A job file.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub spec: Arc<JobSpec>,
    pub digest: Digest,
}

/// A machine that fails, or a link that is cut: from, until, which.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outage<What> {
    pub from: Time,
    pub until: Time,
    pub what: What,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Market {
    pub start: Time,
    pub end: Time,
    pub providers: Vec<String>,
    pub pools: Vec<Pool>,
    pub consumers: Vec<Consumer>,
    pub programs: Vec<Program>,
    pub files: Vec<File>,
    /// In the order of their coming.
    pub jobs: Vec<Job>,
    /// A pool and a machine of it.
    pub failures: Vec<Outage<(usize, u32)>>,
    /// A provider.
    pub cuts: Vec<Outage<usize>>,
    /// One way from place to place, by [`PlaceId::index`]: what a promise may rest on.
    pub delays: BTreeMap<(usize, usize), Span>,
}

impl Market {
    pub fn draw(
        scenario: &Scenario,
        lists: &Lists,
        days: u32,
        seed: u64,
    ) -> Result<Self, DrawError> {
        let pools = pools(scenario);
        let length = DAY.times(i64::from(days));
        let mut market = Self {
            start: scenario.start,
            end: scenario.start.plus(length),
            providers: scenario.providers.iter().map(|provider| provider.name.clone()).collect(),
            delays: delays(scenario, &pools),
            pools,
            consumers: Vec::new(),
            programs: Vec::new(),
            files: Vec::new(),
            jobs: Vec::new(),
            failures: Vec::new(),
            cuts: Vec::new(),
        };
        let random = Random::new(seed, Purpose::Consumers as u64);
        let mut people = People::new(random, scenario, lists);
        for consumers in &scenario.consumers {
            for number in 1..=consumers.count {
                people.join(&mut market, consumers, number)?;
            }
        }
        let mut random = Random::new(seed, Purpose::Jobs as u64);
        people.submit_all(&mut market, &mut random, days)?;
        market.outages(scenario, seed);
        Ok(market)
    }

    /// The hour of the day by the clock on the wall in China.
    pub fn hour_of(at: Time) -> usize {
        let hours = at.micros().div_euclid(HOUR.micros()) + 8;
        usize::try_from(hours.rem_euclid(24)).expect("an hour of a day")
    }

    fn outages(&mut self, scenario: &Scenario, seed: u64) {
        let (length, failures) = (self.end.since(self.start), &scenario.failures);
        let when = |random: &mut Random, span: &Between| {
            let from = self.start.plus(random.span(Span::ZERO, length));
            (from, from.plus(random.span(span.least, span.most)))
        };
        let days = u64::try_from(length.micros() / DAY.micros()).unwrap_or(0);
        let mut random = Random::new(seed, Purpose::Nodes as u64);
        let nodes: u64 = self.pools.iter().map(|pool| u64::from(pool.nodes)).sum();
        let count = nodes * days * u64::from(failures.nodes_permille_per_day) / 1_000;
        let mut up_again: BTreeMap<(usize, u32), Time> = BTreeMap::new();
        let mut found = Vec::new();
        for _ in 0..count {
            let (from, until) = when(&mut random, &failures.down);
            let mut number = random.below(nodes);
            let pool = self.pools.iter().position(|pool| {
                let here = u64::from(pool.nodes);
                let inside = number < here;
                number -= if inside { 0 } else { here };
                inside
            });
            let pool = pool.expect("a number below the count of all machines");
            let node = u32::try_from(number).expect("a number below a pool's machines");
            found.push(Outage { from, until, what: (pool, node) });
        }
        found.sort_by_key(|outage| (outage.from, outage.what));
        // A machine that is down does not fail again before it is back.
        found.retain(|outage| {
            let back = up_again.get(&outage.what).copied();
            let apart = back.is_none_or(|back| back < outage.from);
            if apart {
                up_again.insert(outage.what, outage.until);
            }
            apart
        });
        self.failures = found;
        let mut random = Random::new(seed, Purpose::Links as u64);
        let mut cuts = Vec::new();
        for _ in 0..u64::from(failures.cuts_per_day) * days {
            let (from, until) = when(&mut random, &failures.cut);
            let what = random.below(self.providers.len() as u64);
            cuts.push(Outage {
                from,
                until,
                what: usize::try_from(what).expect("a number of one"),
            });
        }
        cuts.sort_by_key(|cut| (cut.from, cut.what));
        self.cuts = cuts;
    }
}

fn pools(scenario: &Scenario) -> Vec<Pool> {
    let of = |nth: usize| {
        let provider = &scenario.providers[nth];
        let hours = scenario.tariffs[&provider.tariff].hours;
        let kinds = provider.nodes.iter().filter(|(_, count)| **count > 0);
        kinds.map(move |(name, count)| {
            let kind = &scenario.kinds[name];
            let of = |list: Micro| {
                let factor = u64::from(provider.price_permille);
                list.mul_div_half_even(factor, u64::from(PERMILLE_ONE)).unwrap_or(list)
            };
            Pool {
                name: format!("{}-{}", provider.name, name),
                provider: nth,
                place: provider.city,
                model: kind.model,
                node: resources(kind.cores, kind.memory_gb, kind.cards * 1_000),
                nodes: *count,
                rate: Rate {
                    core_hour: of(kind.core_hour),
                    gb_hour: of(kind.gb_hour),
                    card_hour: of(kind.card_hour),
                },
                hours,
                card_watts: kind.card_watts,
                core_watts: kind.core_watts,
                pue_permille: provider.pue_permille,
            }
        })
    };
    (0..scenario.providers.len()).flat_map(of).collect()
}

pub(super) fn resources(cores: u32, memory_gb: u32, cards_milli: u32) -> Resources {
    Resources {
        cpu: MilliCpu(u64::from(cores) * 1_000),
        memory: Bytes(u64::from(memory_gb) * 1_000_000_000),
        accel: MilliAccel(u64::from(cards_milli)),
        ..Resources::ZERO
    }
}

fn delays(scenario: &Scenario, pools: &[Pool]) -> BTreeMap<(usize, usize), Span> {
    let network = Topology::default();
    let cities = scenario.consumers.iter().flat_map(|consumers| consumers.cities.keys());
    let from: Vec<PlaceId> = cities.filter_map(|city| PlaceId::find(city).ok()).collect();
    let to = |from: PlaceId| {
        pools.iter().map(move |pool| ((from.index(), pool.place.index()), (from, pool.place)))
    };
    let pairs: BTreeMap<_, _> = from.into_iter().flat_map(to).collect();
    let delay = |(from, to)| {
        let (layers, percentile) = (Layer::DEFAULT_ORDER, Percentile::P99);
        network.one_way_bound(from, to, layers, percentile, scenario.start).span
    };
    pairs.into_iter().map(|(key, pair)| (key, delay(pair))).collect()
}

/// What the classes allow; the same bounds as everywhere.
pub(super) fn bound_of(class: dayan_spec::DelayClass) -> Span {
    DelayClasses::default().bound(match class {
        dayan_spec::DelayClass::T1 => dayan_topology::DelayClass::T1,
        dayan_spec::DelayClass::T2 => dayan_topology::DelayClass::T2,
        dayan_spec::DelayClass::T3 => dayan_topology::DelayClass::T3,
    })
}

/// May it run there, were the pool empty?
pub(super) fn may_run(
    market: &Market,
    program: (&Resources, u32, PlaceId, &Asks),
    at: usize,
) -> bool {
    let (need, members, place, asks) = program;
    let pool = &market.pools[at];
    let model = pool.model;
    let cards = match (&asks.cards, model) {
        (None, model) => model.is_none(),
        (Some(_), None) => false,
        (Some(ask), Some(model)) => dayan_measure::matches(&ask.kind.to_string(), model.name),
    };
    let home = asks.region.is_none_or(|region| pool.place.place().province == region);
    let domestic = !asks.domestic || model.is_none_or(|model| model.vendor.is_domestic());
    let near = asks
        .delay
        .is_none_or(|class| market.delays[&(place.index(), pool.place.index())] <= bound_of(class));
    cards && home && domestic && near && need.fits_in(&pool.node) && members <= pool.nodes
}

/// What a task costs for that long, in millionths, rounded down: sums of our own, for whoever is
/// compared with the exchange.
pub(super) fn cost(rate: &Rate, need: &Resources, run: Span) -> i128 {
    let meter = |price: Micro, amount: u64, one: i128| {
        i128::from(price.0) * i128::from(amount) * (1_000_000_000 / one)
    };
    let hour = meter(rate.core_hour, need.cpu.0, 1_000)
        + meter(rate.gb_hour, need.memory.0, 1_000_000_000)
        + meter(rate.card_hour, need.accel.0, 1_000);
    hour * i128::from(run.micros()) / (1_000_000_000 * i128::from(HOUR.micros()))
}
