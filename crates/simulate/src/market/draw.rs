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
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use toml::Spanned;

use super::lists::Lists;
use super::scenario::{Between, Consumers, Scenario, Work};
use crate::random::Random;

/// A consumer's file has so many variants of each kind of work: people run a few programs again
/// and again, and the expected length is learned from that.
const VARIANTS: u64 = 2;
/// A class of delay or a place of residence is asked for only where so many pools are left: with
/// fewer, one failure would stop the work.
const POOLS_MIN: usize = 2;
/// Limits are written in these, as people do.
const LIMITS_MIN: [i64; 17] =
    [2, 5, 10, 15, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1_080, 1_440, 2_880];
const HOUR: Span = Span::from_secs(3_600);
const DAY: Span = Span::from_secs(86_400);

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
    #[error("no pool takes work `{work}` of consumers `{consumers}`")]
    Nowhere {
        /// Which work.
        work: String,
        /// Whose.
        consumers: String,
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
        let mut people = People {
            random: Random::new(seed, Purpose::Consumers as u64),
            scenario,
            lists,
            by_weight: Vec::new(),
        };
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
        let hours = scenario.tariffs[provider.tariff.as_ref()].hours;
        let kinds = provider.nodes.iter().filter(|(_, count)| **count > 0);
        kinds.map(move |(name, count)| {
            let kind = &scenario.kinds[name.as_ref()];
            let of = |list: Micro| {
                let factor = u64::from(provider.price_permille);
                list.mul_div_half_even(factor, u64::from(PERMILLE_ONE)).unwrap_or(list)
            };
            Pool {
                name: format!("{}-{}", provider.name, name.as_ref()),
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

fn resources(cores: u32, memory_gb: u32, cards_milli: u32) -> Resources {
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
    let from: Vec<PlaceId> = cities.filter_map(|city| PlaceId::find(city.as_ref()).ok()).collect();
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

struct People<'a> {
    random: Random,
    scenario: &'a Scenario,
    lists: &'a Lists,
    /// Each program with its weight among all, added up.
    by_weight: Vec<(u64, usize)>,
}

/// One of some things with weights.
fn pick<'a, T>(random: &mut Random, from: &'a BTreeMap<Spanned<T>, u32>) -> &'a T {
    let sum: u64 = from.values().map(|weight| u64::from(*weight)).sum();
    let mut number = random.below(sum);
    for (what, weight) in from {
        match number.checked_sub(u64::from(*weight)) {
            Some(rest) => number = rest,
            None => return what.as_ref(),
        }
    }
    from.keys().next_back().expect("a scenario that was checked has some").as_ref()
}

impl People<'_> {
    fn join(
        &mut self,
        market: &mut Market,
        consumers: &Consumers,
        number: u32,
    ) -> Result<(), DrawError> {
        let consumer = market.consumers.len();
        market.consumers.push(Consumer {
            name: format!("{}-{number}", consumers.name),
            deposit: consumers.deposit,
            budget_per_month: consumers.budget_per_month,
        });
        let city = pick(&mut self.random, &consumers.cities);
        let place = PlaceId::find(city).expect("a scenario that was checked names cities");
        let all: u64 = consumers.mix.values().map(|weight| u64::from(*weight)).sum();
        for (name, weight) in consumers.mix.iter().filter(|(_, weight)| **weight > 0) {
            let name = name.as_ref();
            let at = self.scenario.works.keys().position(|work| work == name);
            let at = at.expect("a scenario that was checked names works");
            for _ in 0..VARIANTS {
                let program = self.program(market, (consumer, place), at)?.ok_or_else(|| {
                    let (work, consumers) = (name.to_owned(), consumers.name.clone());
                    DrawError::Nowhere { work, consumers }
                })?;
                // A million parts of the consumer's weight, shared out by its mix.
                let part = u64::from(consumers.weight) * u64::from(*weight) * 1_000_000;
                let before = self.by_weight.last().map_or(0, |(sum, _)| *sum);
                self.by_weight.push((before + part / (all * VARIANTS), market.programs.len()));
                market.programs.push(program);
            }
        }
        Ok(())
    }

    fn program(
        &mut self,
        market: &Market,
        (consumer, place): (usize, PlaceId),
        at: usize,
    ) -> Result<Option<Program>, DrawError> {
        let (name, work) = self.scenario.works.iter().nth(at).expect("a number of a work");
        let (need, cards) = self.shape(name, work)?;
        let members = if work.gang.is_empty() { 1 } else { *self.random.pick(&work.gang) };
        let home = self.random.in_permille(work.at_home_permille);
        let domestic = self.random.in_permille(work.domestic_permille);
        let mut asks = Asks { cards, delay: None, region: None, domestic: false };
        let all = 0..market.pools.len();
        let left = |asks: &Asks| {
            let may = |pool: &usize| may_run(market, (&need, members, place, asks), *pool);
            all.clone()
                .filter(may)
                .map(|pool| u16::try_from(pool).expect("pools are few"))
                .collect()
        };
        let enough = |asks: &Asks| Vec::<u16>::len(&left(asks)) >= POOLS_MIN;
        let with = Asks { domestic: true, ..asks.clone() };
        if domestic && enough(&with) {
            asks = with;
        }
        let with = Asks { region: Some(place.place().province), ..asks.clone() };
        if home && enough(&with) {
            asks = with;
        }
        for class in &work.delay {
            let with = Asks { delay: Some(*class), ..asks.clone() };
            if enough(&with) {
                asks = with;
                break;
            }
        }
        let allowed: Vec<u16> = left(&asks);
        if allowed.is_empty() {
            return Ok(None);
        }
        let allowed = allowed.into();
        Ok(Some(Program { consumer, work: at, place, need, members, allowed, asks }))
    }

    /// What a task takes, from the scenario or from the list of pods.
    fn shape(
        &mut self,
        name: &str,
        work: &Work,
    ) -> Result<(Resources, Option<dayan_spec::AcceleratorAsk>), DrawError> {
        let cards = (!work.cards.is_empty()).then(|| self.random.pick(&work.cards).clone());
        if work.from_pods && !self.lists.pods.is_empty() {
            let none = || DrawError::NoPod { work: name.to_owned() };
            let fits = |pod: &&crate::pack::PodRow| (pod.cards > 0) == cards.is_some();
            let pods: Vec<_> = self.lists.pods.iter().filter(fits).collect();
            if pods.is_empty() {
                return Err(none());
            }
            let pod = *self.random.pick(&pods);
            let cores = u32::try_from(pod.cpu_milli.div_ceil(1_000)).map_err(|_| none())?;
            let memory = u64::from(u32::MAX).min(pod.memory_mib * 1_048_576 / 1_000_000_000);
            let memory = u32::try_from(memory).expect("bounded above").max(1);
            let milli = u32::try_from(pod.accel_milli()).map_err(|_| none())?;
            let cards = cards.map(|ask| dayan_spec::AcceleratorAsk {
                count: MilliAccel(u64::from(milli)),
                ..ask
            });
            return Ok((resources(cores.max(1), memory, milli), cards));
        }
        if work.cores.is_empty() {
            // A list was meant and none was given: an eighth of a usual machine.
            let milli = cards.as_ref().map_or(0, |ask| ask.count.0);
            let milli = u32::try_from(milli).expect("a machine's cards");
            return Ok((resources(12, 48, milli), cards));
        }
        let at = usize::try_from(self.random.below(work.cores.len() as u64)).expect("an index");
        let memory = work.memory_gb[at.min(work.memory_gb.len() - 1)];
        let milli = cards.as_ref().map_or(0, |ask| ask.count.0);
        let milli = u32::try_from(milli).expect("a machine's cards");
        Ok((resources(work.cores[at], memory, milli), cards))
    }

    /// The jobs of all days.
    fn submit_all(
        &self,
        market: &mut Market,
        random: &mut Random,
        days: u32,
    ) -> Result<(), DrawError> {
        let arrivals = &self.scenario.arrivals;
        let weight = |hour: u32| {
            let at = market.start.plus(HOUR.times(i64::from(hour)));
            // 1970 began on a Thursday; the day begins eight hours earlier in China.
            let day = (at.micros() + 8 * HOUR.micros()).div_euclid(DAY.micros()) + 3;
            let day = usize::try_from(day.rem_euclid(7)).expect("a day of a week");
            u64::from(arrivals.hours[Market::hour_of(at)]) * u64::from(arrivals.weekdays[day])
        };
        let mut hours: Vec<u64> = Vec::new();
        for hour in 0..days * 24 {
            hours.push(hours.last().copied().unwrap_or(0) + weight(hour));
        }
        let all_hours = hours.last().copied().unwrap_or(0);
        let all_programs = self.by_weight.last().map_or(0, |(sum, _)| *sum);
        let mut files: BTreeMap<(usize, Span, i64, u32), usize> = BTreeMap::new();
        let mut jobs = Vec::new();
        for _ in 0..u64::from(arrivals.jobs_per_day) * u64::from(days) {
            let number = random.below(all_hours.max(1));
            let hour = hours.partition_point(|sum| *sum <= number);
            let hour = i64::try_from(hour).expect("hours are few");
            let at = market.start.plus(HOUR.times(hour)).plus(random.span(Span::ZERO, HOUR));
            let number = random.below(all_programs.max(1));
            let found = self.by_weight.partition_point(|(sum, _)| *sum <= number);
            let program = self.by_weight[found.min(self.by_weight.len() - 1)].1;
            let (name, work) = self
                .scenario
                .works
                .iter()
                .nth(market.programs[program].work)
                .expect("a number of a work");
            let run = self.run_time(random, work);
            let [least, most] = work.limit_permille.map(i64::from);
            let limit = limit_of(run, random.between(least, most));
            let slack = work.slack.as_ref().map(|slack| {
                let hours = random.span(slack.least, slack.most).micros() / HOUR.micros();
                HOUR.times(hours.max(1))
            });
            let tasks = match work.array {
                Some([least, most]) => {
                    let tasks = random.between(i64::from(least), i64::from(most));
                    // Arrays of few sizes: a file is one size.
                    u32::try_from(tasks).expect("a count of tasks").next_multiple_of(4)
                }
                None => market.programs[program].members,
            };
            let key = (program, limit, slack.map_or(-1, Span::micros), tasks);
            let file = match files.get(&key) {
                Some(known) => *known,
                None => {
                    let file = file(market, (program, name, work), (limit, slack, tasks))?;
                    market.files.push(file);
                    files.insert(key, market.files.len() - 1);
                    market.files.len() - 1
                }
            };
            let deadline = slack.map(|slack| at.plus(limit).plus(slack));
            jobs.push(Job { at, program, run, deadline, tasks, file });
        }
        jobs.sort_by_key(|job| job.at);
        market.jobs = jobs;
        Ok(())
    }

    fn run_time(&self, random: &mut Random, work: &Work) -> Span {
        let (least, most) = (work.run[0], work.run[work.run.len() - 1]);
        if work.from_jobs && !self.lists.jobs.is_empty() {
            let drawn = *random.pick(&self.lists.jobs);
            return drawn.max(least).min(most);
        }
        // Within one of the equal steps between the quantiles.
        let step = random.below(work.run.len() as u64 - 1);
        let step = usize::try_from(step).expect("an index");
        random.span(work.run[step], work.run[step + 1])
    }
}

/// The next usual limit over so many thousandths of the run time.
fn limit_of(run: Span, permille: i64) -> Span {
    let wanted = run.micros() / 1_000 * permille;
    let usual = LIMITS_MIN.iter().map(|minutes| Span::from_secs(minutes * 60));
    let longer = || DAY.times(wanted / DAY.micros() + 1);
    usual.into_iter().find(|limit| limit.micros() >= wanted).unwrap_or_else(longer)
}

/// The job file of a program with that limit and deadline.
fn file(
    market: &Market,
    (at, name, work): (usize, &str, &Work),
    (limit, slack, tasks): (Span, Option<Span>, u32),
) -> Result<File, DrawError> {
    let program = &market.programs[at];
    let org = &market.consumers[program.consumer].name;
    let need = &program.need;
    let asks = &program.asks;
    let cards = asks.cards.as_ref().map_or(String::new(), |ask| {
        let count = need.accel.0 as f64 / 1_000.0;
        format!(", accelerators: [\"{}:{count}\"]", ask.kind)
    });
    let mut lines = vec![
        "version: 1".to_owned(),
        format!("name: {name}-{at}"),
        "type: batch".to_owned(),
        format!("project: {org}/main"),
        format!(
            "resources: {{cpus: {}, memory: {}GB, time: {}s{cards}}}",
            need.cpu.0 / 1_000,
            need.memory.0 / 1_000_000_000,
            limit.secs_floor(),
        ),
        format!("run: ./{} --variant {at}", work.program),
        // A long gang meets more failures than the three tries that are usual.
        "retry: {max: 10, when: [node_failure, preempted, site_lost]}".to_owned(),
    ];
    if program.members > 1 {
        lines.push(format!("gang: {{nodes: {}}}", program.members));
    } else if work.array.is_some() {
        lines.push(format!("array: {{range: 1-{tasks}}}"));
    }
    if let Some(class) = asks.delay {
        let from = program.place;
        lines.push(format!(
            "network: {{delay: {{class: {}, from: \"city:{from}\", percentile: 99}}}}",
            class.as_str()
        ));
    }
    let mut placement = Vec::new();
    placement.extend(asks.region.map(|region| format!("regions: [\"{region}\"]")));
    placement.extend(asks.domestic.then(|| "domestic: true".to_owned()));
    if !placement.is_empty() {
        lines.push(format!("placement: {{{}}}", placement.join(", ")));
    }
    if let Some(slack) = slack {
        let within = limit.plus(slack).secs_floor();
        lines.push(format!("deadline: {{finish_within: {within}s, kind: hard}}"));
    }
    if let Some(priority) = work.priority {
        lines.push(format!("priority: {}", priority.as_str()));
    }
    let text = lines.join("\n") + "\n";
    let refused = |why: String| DrawError::File { work: name.to_owned(), why };
    let spec = dayan_spec::parse_yaml(&text).map_err(|errors| refused(format!("{errors:?}")))?;
    let canonical = serde_json::to_vec(&spec).expect("a job file becomes JSON");
    let digest = Digest(Sha256::digest(canonical).into());
    Ok(File { spec: Arc::new(spec), digest })
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
