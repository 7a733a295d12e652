//! Draws what consumers run and when: programs with what they ask of a place, job files, and the jobs
//! of all days.
//!
//! Invariant: every file could run somewhere were all pools empty. It must not know who decides where
//! a job goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_exchange::Digest;
use dayan_topology::PlaceId;
use dayan_units::{MilliAccel, Resources, Span};
use sha2::{Digest as _, Sha256};

use super::draw::{
    Asks, Consumer, DAY, DrawError, File, HOUR, Job, Market, Program, may_run, resources,
};
use super::lists::Lists;
use super::scenario::{Consumers, Scenario, Work};
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

pub(super) struct People<'a> {
    random: Random,
    scenario: &'a Scenario,
    lists: &'a Lists,
    /// Each program with its weight among all, added up.
    by_weight: Vec<(u64, usize)>,
}

/// One of some things with weights.
fn pick<'a>(random: &mut Random, from: &'a BTreeMap<String, u32>) -> &'a str {
    let sum: u64 = from.values().map(|weight| u64::from(*weight)).sum();
    let mut number = random.below(sum);
    for (what, weight) in from {
        match number.checked_sub(u64::from(*weight)) {
            Some(rest) => number = rest,
            None => return what,
        }
    }
    from.keys().next_back().expect("a scenario that was checked has some")
}

impl<'a> People<'a> {
    pub const fn new(random: Random, scenario: &'a Scenario, lists: &'a Lists) -> Self {
        Self { random, scenario, lists, by_weight: Vec::new() }
    }

    pub fn join(
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
            let at = self.scenario.works.keys().position(|work| work == name);
            let at = at.expect("a scenario that was checked names works");
            for _ in 0..VARIANTS {
                let program = self.program(market, (consumer, place), at)?;
                let program = program.map_err(|why| {
                    let (work, consumers) = (name.clone(), consumers.name.clone());
                    DrawError::Nowhere { work, consumers, why }
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
    ) -> Result<Result<Program, String>, DrawError> {
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
            return Ok(Err(why_nowhere(market, &need, members, &asks)));
        }
        let allowed = allowed.into();
        Ok(Ok(Program { consumer, work: at, place, need, members, allowed, asks }))
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
    pub fn submit_all(
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

/// What keeps work from every pool, were all of them empty: the first thing that none has.
fn why_nowhere(market: &Market, need: &Resources, members: u32, asks: &Asks) -> String {
    let kind = asks.cards.as_ref().map(|ask| ask.kind.to_string());
    let right = market.pools.iter().filter(|pool| match (&kind, pool.model) {
        (None, model) => model.is_none(),
        (Some(kind), Some(model)) => dayan_measure::matches(kind, model.name),
        (Some(_), None) => false,
    });
    let right: Vec<_> = right.collect();
    let with =
        kind.as_ref().map_or("without cards".to_owned(), |kind| format!("with cards `{kind}`"));
    if right.is_empty() {
        return format!("there is no pool {with}");
    }
    let most = |of: &dyn Fn(&Resources) -> u64| right.iter().map(|pool| of(&pool.node)).max();
    let parts = [
        ("thousandths of a card", need.accel.0, most(&|of| of.accel.0), 1),
        ("cores", need.cpu.0, most(&|of| of.cpu.0), 1_000),
        ("GB of memory", need.memory.0, most(&|of| of.memory.0), 1_000_000_000),
    ];
    for (what, asked, most, one) in parts {
        let most = most.unwrap_or(0);
        if asked > most {
            let (asked, most) = (asked / one, most / one);
            return format!(
                "a task takes {asked} {what}, and no machine {with} has more than {most}"
            );
        }
    }
    let roomy = right.iter().filter(|pool| need.fits_in(&pool.node));
    let Some(most) = roomy.map(|pool| pool.nodes).max() else {
        return format!("no machine {with} has its cards, cores and memory together");
    };
    format!(
        "its gang has {members} members, and no pool {with} has more than {most} machines for it"
    )
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
    if !work.prefer.is_empty() {
        let prefer = serde_json::to_string(&work.prefer).expect("a list of words");
        lines.push(format!("prefer: {prefer}"));
    }
    let text = lines.join("\n") + "\n";
    let refused = |why: String| DrawError::File { work: name.to_owned(), why };
    let spec = dayan_spec::parse_yaml(&text).map_err(|errors| {
        let told = errors.errors.iter().map(|one| match one.path.as_str() {
            "" => one.message(),
            path => format!("`{path}`: {}", one.message()),
        });
        refused(told.collect::<Vec<_>>().join("; "))
    })?;
    let canonical = serde_json::to_vec(&spec).expect("a job file becomes JSON");
    let digest = Digest(Sha256::digest(canonical).into());
    Ok(File { spec: Arc::new(spec), digest })
}
