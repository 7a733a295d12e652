//! What a scenario must be so that a market can be opened and run from it: names that the exchange
//! takes, things that are there, and sizes that end.
//!
//! Invariant: a scenario that is let in opens without a refusal, and draws no more than the limits
//! here allow, whatever its numbers. What is wrong is told with the path of its key.

use std::collections::{BTreeMap, BTreeSet};

use dayan_topology::PlaceId;
use dayan_units::{Micro, NAME_CHARS_MAX, Span, Time, is_name};

use super::scenario::{Between, Consumers, Kind, Provider, Scenario, Work};
use super::tree::{Step, Wrong};
use crate::pack::CARDS_MAX;

/// The format this reads.
const VERSION: u32 = 1;
/// Longer weeks than this are no market of one region.
const DAYS_MAX: u32 = 60;
/// Machines in all: what one exchange is built for, some times over.
const NODES_MAX: u64 = 50_000;
/// Machines of one kind at one provider: what a pool may show.
const POOL_MAX: u32 = 20_000;
/// Pools in all: a program keeps the numbers of those that may run it, in sixteen bits, and each
/// pool has an agent that is looked at every twenty seconds.
const POOLS_MAX: usize = 5_000;
/// Cores of a machine, and GB of its memory: some times the largest that is sold.
const CORES_MAX: u32 = 4_096;
const MEMORY_MAX: u32 = 1_000_000;
/// What a card or a core draws: some times the hungriest that is sold.
const WATTS_MAX: u32 = 10_000;
/// Consumers in all: each has an account, a project and two programs of every work of its mix.
const CONSUMERS_MAX: u64 = 20_000;
/// Weights: finer than a millionth is nobody's share, and their products stay within 64 bits.
const WEIGHT_MAX: u32 = 1_000_000;
/// Jobs in all days: thirty times the region's week; each takes some kilobytes.
const JOBS_MAX: u64 = 2_500_000;
/// Tasks in all days, as many as they may be: each takes a lease in the journal.
const TASKS_MAX: u64 = 20_000_000;
/// Tasks of one array. The exchange takes more, but the planner of a region sees few such.
const ARRAY_MAX: u32 = 10_000;
/// Failures of machines, or cuts of links, in all days.
const OUTAGES_MAX: u64 = 1_000_000;
/// Thousandths of the list price by the hour: what an offer may say.
const HOUR_MAX: u32 = 10_000;
/// Thousandths: nothing costs, or is limited to, more than a hundred times as much.
const PERMILLE_MAX: u32 = 100_000;
/// A building never gives back, and none needs five times what its machines do.
const PUE: [u32; 2] = [1_000, 5_000];
/// No job runs, waits or is away longer than the longest market.
const SPAN_MAX: Span = Span::from_secs(60 * 86_400);
/// A slack of a year is none any more.
const SLACK_MAX: Span = Span::from_secs(366 * 86_400);
/// A settlement window: shorter ones are more bookings than work; a longer one than the longest
/// market never closes.
const WINDOW: [Span; 2] = [Span::from_secs(60), SPAN_MAX];
/// Agents tell of use this often at most: every telling is a command for each thing that runs.
const TOLD: [Span; 2] = [Span::from_secs(60), SPAN_MAX];
/// A launch that takes longer is a run.
const LAUNCH_MAX: Span = Span::from_secs(86_400);
/// Amounts of money, in units: what one payment may be.
const MONEY_MAX: Micro = Micro::from_units(1_000_000_000);
/// Prices of an hour: dearer ones overflow what is counted for a region.
const PRICE_MAX: Micro = Micro::from_units(1_000_000);
/// Items of a list in a work.
const LIST_MAX: usize = 1_000;
/// Days begin between these: the first and the last year of calendars that people plan by.
const START: [&str; 2] = ["1970-01-02T00:00:00Z", "2200-01-01T00:00:00Z"];

/// The exchange's own organisation.
const OPERATOR: &str = "operator";

type Checked = Result<(), Wrong>;

/// A path from the top.
struct Path(Vec<Step>);

impl Path {
    fn of(key: &str) -> Self {
        Self(vec![Step::Key(key.to_owned())])
    }
    fn key(&self, key: &str) -> Self {
        let mut path = self.0.clone();
        path.push(Step::Key(key.to_owned()));
        Self(path)
    }
    fn item(&self, at: usize) -> Self {
        let mut path = self.0.clone();
        path.push(Step::Item(at));
        Self(path)
    }
    fn wrong(&self, message: impl Into<String>) -> Checked {
        Err(Wrong::at(self.0.clone(), message.into()))
    }
    fn must(&self, holds: bool, message: impl FnOnce() -> String) -> Checked {
        if holds { Ok(()) } else { self.wrong(message()) }
    }
    fn within<T: PartialOrd + std::fmt::Display>(
        &self,
        value: &T,
        [least, most]: [T; 2],
    ) -> Checked {
        self.must(least <= *value && *value <= most, || format!("from {least} to {most}"))
    }
    fn spans(&self, between: &Between, most: Span) -> Checked {
        self.within(&between.most, [Span::ZERO, most])
    }
}

/// A name as the exchange takes it, with what is put before or behind it.
fn named(path: &Path, name: &str, whole: &str) -> Checked {
    path.must(whole.len() <= NAME_CHARS_MAX, || {
        format!("`{whole}` would be its name, with more than {NAME_CHARS_MAX} characters")
    })?;
    path.must(is_name(whole) && !name.is_empty(), || {
        format!(
            "`{name}` is no name; lower-case letters, digits, hyphens, dots and underscores are"
        )
    })
}

impl Scenario {
    pub(super) fn check(&self) -> Checked {
        Path::of("version")
            .must(self.version == VERSION, || format!("this program reads version {VERSION}"))?;
        Path::of("days").within(&self.days, [1, DAYS_MAX])?;
        let start = START.map(|text| text.parse::<Time>().expect("a moment"));
        let [from, to] = START;
        Path::of("start").must(start[0] <= self.start && self.start <= start[1], || {
            format!("from {from} to {to}")
        })?;
        self.check_clearing()?;
        for (name, tariff) in &self.tariffs {
            let hours = Path::of("tariff").key(name).key("hours");
            for hour in &tariff.hours {
                hours.within(hour, [1, HOUR_MAX])?;
            }
        }
        for (name, kind) in &self.kinds {
            kind.check(&Path::of("kind").key(name))?;
        }
        self.check_providers()?;
        for (name, work) in &self.works {
            work.check(name, &Path::of("work").key(name))?;
        }
        self.check_consumers()?;
        self.check_arrivals(self.days)?;
        self.check_failures(self.days)
    }

    /// What depends on for how many days jobs come, which a caller may change.
    pub(super) fn check_days(&self, days: u32) -> Checked {
        Path::of("days").within(&days, [1, DAYS_MAX])?;
        self.check_arrivals(days)?;
        self.check_failures(days)
    }

    fn check_clearing(&self) -> Checked {
        let clearing = Path::of("clearing");
        clearing.key("window").within(&self.clearing.window, WINDOW)?;
        clearing.key("told_every").within(&self.clearing.told_every, TOLD)?;
        clearing.key("launch").within(&self.clearing.launch, [Span::ZERO, LAUNCH_MAX])
    }

    fn check_providers(&self) -> Checked {
        let (mut names, mut nodes, mut pools) = (BTreeSet::new(), 0, 0);
        for (nth, provider) in self.providers.iter().enumerate() {
            let path = Path::of("provider").item(nth);
            provider.check(&path)?;
            let (tariff, known) = (&provider.tariff, self.tariffs.contains_key(&provider.tariff));
            path.key("tariff").must(known, || format!("there is no tariff `{tariff}`"))?;
            let name = &provider.name;
            path.key("name")
                .must(names.insert(name), || format!("there is another provider `{name}`"))?;
            for (kind, count) in &provider.nodes {
                let path = path.key("nodes").key(kind);
                path.must(self.kinds.contains_key(kind), || format!("there is no kind `{kind}`"))?;
                named(&path, kind, &format!("{name}-{kind}"))?;
                path.within(count, [0, POOL_MAX])?;
                nodes += u64::from(*count);
                pools += usize::from(*count > 0);
                path.must(nodes <= NODES_MAX, || {
                    format!("{nodes} machines up to here; at most {NODES_MAX} in all")
                })?;
            }
        }
        let providers = Path::of("provider");
        providers.must(nodes > 0, || "there are no machines".to_owned())?;
        providers.must(pools <= POOLS_MAX, || format!("{pools} pools; at most {POOLS_MAX}"))
    }

    fn check_consumers(&self) -> Checked {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let providers: BTreeSet<&str> =
            self.providers.iter().map(|provider| provider.name.as_str()).collect();
        let mut count = 0;
        for (nth, consumers) in self.consumers.iter().enumerate() {
            let path = Path::of("consumers").item(nth);
            count += u64::from(consumers.count);
            path.key("count").must(count <= CONSUMERS_MAX, || {
                format!("{count} consumers up to here; at most {CONSUMERS_MAX} in all")
            })?;
            self.check_sort(consumers, &path)?;
            for number in 1..=consumers.count {
                let name = format!("{}-{number}", consumers.name);
                let path = path.key("name");
                path.must(!providers.contains(name.as_str()), || {
                    format!("a provider is called `{name}`, as one of them would be")
                })?;
                if let Some(other) = names.insert(name, nth) {
                    let other = other + 1;
                    let name = &consumers.name;
                    return path.wrong(format!(
                        "`{name}-{number}` would be there twice, also of consumers[{other}]"
                    ));
                }
            }
        }
        let asks = self.consumers.iter().any(|one| one.count > 0 && one.weight > 0);
        Path::of("consumers").must(asks, || "nobody asks for anything".to_owned())
    }

    fn check_sort(&self, consumers: &Consumers, path: &Path) -> Checked {
        named(
            &path.key("name"),
            &consumers.name,
            &format!("{}-{}", consumers.name, consumers.count),
        )?;
        path.key("weight").within(&consumers.weight, [0, WEIGHT_MAX])?;
        path.key("deposit").within(&consumers.deposit, [Micro::from_units(0), MONEY_MAX])?;
        if let Some(budget) = &consumers.budget_per_month {
            path.key("budget_per_month").within(budget, [Micro::from_units(0), MONEY_MAX])?;
        }
        let (mix, cities) = (path.key("mix"), path.key("cities"));
        for (work, weight) in &consumers.mix {
            let path = mix.key(work);
            path.must(self.works.contains_key(work), || format!("there is no work `{work}`"))?;
            path.within(weight, [0, WEIGHT_MAX])?;
        }
        for (city, weight) in &consumers.cities {
            let path = cities.key(city);
            path.must(PlaceId::find(city).is_ok(), || format!("there is no city `{city}`"))?;
            path.within(weight, [0, WEIGHT_MAX])?;
        }
        mix.must(consumers.mix.values().any(|weight| *weight > 0), || {
            "no work with a weight above 0".to_owned()
        })?;
        cities.must(consumers.cities.values().any(|weight| *weight > 0), || {
            "no city with a weight above 0".to_owned()
        })
    }

    fn check_arrivals(&self, days: u32) -> Checked {
        let path = Path::of("arrivals");
        for (key, weights) in
            [("hours", &self.arrivals.hours[..]), ("weekdays", &self.arrivals.weekdays[..])]
        {
            let path = path.key(key);
            weights.iter().try_for_each(|weight| path.within(weight, [0, WEIGHT_MAX]))?;
            path.must(weights.iter().any(|weight| *weight > 0), || {
                "every weight is 0: nothing ever comes".to_owned()
            })?;
        }
        // A short market may lie on days of which none has a weight.
        let open = self.weekdays(days).any(|day| self.arrivals.weekdays[day] > 0);
        path.key("weekdays").must(open, || {
            "the days of this market have the weight 0: nothing ever comes".to_owned()
        })?;
        let jobs = u64::from(self.arrivals.jobs_per_day) * u64::from(days);
        let path = path.key("jobs_per_day");
        path.within(&jobs, [1, JOBS_MAX]).map_err(|_| {
            let most = JOBS_MAX / u64::from(days);
            Wrong::at(path.0.clone(), format!("from 1 to {most}, for {days} days"))
        })?;
        // As many tasks as there may be, each job with the most that its work has.
        let mut tasks = 0;
        let used = |name: &String| {
            self.consumers.iter().any(|one| one.mix.get(name).is_some_and(|weight| *weight > 0))
        };
        for (name, work) in self.works.iter().filter(|(name, _)| used(name)) {
            let most = work.array.map_or(1, |[_, most]| most);
            let most = u64::from(most.max(work.gang.iter().copied().max().unwrap_or(1)));
            tasks += self.jobs_of(name, jobs) * most;
            Path::of("work")
                .key(name)
                .key(if work.array.is_some() { "array" } else { "gang" })
                .must(tasks <= TASKS_MAX, || {
                    format!(
                        "{jobs} jobs come in {days} days; with this work that may be {tasks} tasks, \
                         and at most {TASKS_MAX} are run"
                    )
                })?;
        }
        Ok(())
    }

    /// Of so many jobs, how many are of a work.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a count that was found to be small"
    )]
    fn jobs_of(&self, work: &str, jobs: u64) -> u64 {
        let (mut part, mut all) = (0.0, 0.0);
        for one in &self.consumers {
            let weight = f64::from(one.count) * f64::from(one.weight);
            let mix: f64 = one.mix.values().copied().map(f64::from).sum();
            all += weight;
            part += weight * one.mix.get(work).copied().map_or(0.0, f64::from) / mix;
        }
        (jobs as f64 * part / all) as u64
    }

    /// The days of the week, from 0 for a Monday, that a market so long touches.
    fn weekdays(&self, days: u32) -> impl Iterator<Item = usize> + use<> {
        const DAY: i64 = 86_400_000_000;
        // 1970 began on a Thursday; the day begins eight hours earlier in China.
        let from = self.start.micros() + 8 * 3_600_000_000;
        let last = (from + i64::from(days) * DAY - 1).div_euclid(DAY);
        (from.div_euclid(DAY)..=last)
            .map(|day| usize::try_from((day + 3).rem_euclid(7)).expect("a day of a week"))
    }

    fn check_failures(&self, days: u32) -> Checked {
        let (path, failures) = (Path::of("failures"), &self.failures);
        path.key("down").spans(&failures.down, SPAN_MAX)?;
        path.key("cut").spans(&failures.cut, SPAN_MAX)?;
        let nodes: u64 =
            self.providers.iter().flat_map(|one| one.nodes.values()).map(|n| u64::from(*n)).sum();
        let days = u64::from(days);
        let count = nodes * days * u64::from(failures.nodes_permille_per_day) / 1_000;
        path.key("nodes_permille_per_day").must(count <= OUTAGES_MAX, || {
            format!("{count} failures of machines in {days} days; at most {OUTAGES_MAX}")
        })?;
        let count = days * u64::from(failures.cuts_per_day);
        path.key("cuts_per_day").must(count <= OUTAGES_MAX, || {
            format!("{count} cuts in {days} days; at most {OUTAGES_MAX}")
        })
    }
}

impl Kind {
    fn check(&self, path: &Path) -> Checked {
        let both = (self.cards > 0) == self.model.is_some();
        path.must(both, || "`model` and `cards` go together: both, or neither".to_owned())?;
        path.key("cards").within(&self.cards, [0, CARDS_MAX])?;
        path.key("cores").within(&self.cores, [1, CORES_MAX])?;
        path.key("memory_gb").within(&self.memory_gb, [1, MEMORY_MAX])?;
        path.key("card_watts").within(&self.card_watts, [0, WATTS_MAX])?;
        path.key("core_watts").within(&self.core_watts, [0, WATTS_MAX])?;
        for (key, price) in [
            ("card_hour", self.card_hour),
            ("core_hour", self.core_hour),
            ("gb_hour", self.gb_hour),
        ] {
            path.key(key).within(&price, [Micro::from_units(0), PRICE_MAX])?;
        }
        path.key("card_hour").must(self.cards > 0 || self.card_hour == Micro::ZERO, || {
            "a price of cards for a machine without cards".to_owned()
        })
    }
}

impl Provider {
    fn check(&self, path: &Path) -> Checked {
        named(&path.key("name"), &self.name, &self.name)?;
        path.key("name").must(self.name != OPERATOR, || {
            format!("`{OPERATOR}` is who runs the exchange; choose another name")
        })?;
        path.key("price_permille").within(&self.price_permille, [1, PERMILLE_MAX])?;
        path.key("pue_permille").within(&self.pue_permille, PUE)
    }
}

impl Work {
    fn check(&self, name: &str, path: &Path) -> Checked {
        named(path, name, name)?;
        let run = path.key("run");
        run.must(self.run.len() >= 2 && self.run.is_sorted() && self.run[0] > Span::ZERO, || {
            "at least two lengths above 0, in ascending order".to_owned()
        })?;
        run.within(&self.run[self.run.len() - 1], [Span::ZERO, SPAN_MAX])?;
        let (cores, memory) = (path.key("cores"), path.key("memory_gb"));
        let given = !self.cores.is_empty() && !self.memory_gb.is_empty();
        path.must(self.from_pods || given, || {
            "`cores` and `memory_gb` are needed without `from_pods`".to_owned()
        })?;
        path.must(self.cores.len() == self.memory_gb.len(), || {
            "`cores` and `memory_gb` are given together, and are lists of equal length".to_owned()
        })?;
        self.cores.iter().try_for_each(|one| cores.within(one, [1, CORES_MAX]))?;
        self.memory_gb.iter().try_for_each(|one| memory.within(one, [1, MEMORY_MAX]))?;
        for (key, len) in [
            ("cards", self.cards.len()),
            ("cores", self.cores.len()),
            ("gang", self.gang.len()),
            ("run", self.run.len()),
        ] {
            path.key(key).must(len <= LIST_MAX, || format!("at most {LIST_MAX} of them"))?;
        }
        let [least, most] = self.limit_permille;
        let limit = path.key("limit_permille");
        limit.must(1_000 <= least && least <= most && most <= PERMILLE_MAX, || {
            format!("the least, then the most, from 1000 to {PERMILLE_MAX}")
        })?;
        if let Some([least, most]) = self.array {
            path.key("array").must(1 <= least && least <= most && most <= ARRAY_MAX, || {
                format!("the fewest, then the most, from 1 to {ARRAY_MAX}")
            })?;
            path.must(self.gang.is_empty(), || "`array` or `gang`, not both".to_owned())?;
        }
        let gang = path.key("gang");
        let most = dayan_spec::limits::GANG_MAX;
        self.gang.iter().try_for_each(|one| gang.within(one, [1, most]))?;
        if let Some(slack) = &self.slack {
            path.key("slack").spans(slack, SLACK_MAX)?;
        }
        path.key("at_home_permille").within(&self.at_home_permille, [0, 1_000])?;
        path.key("domestic_permille").within(&self.domestic_permille, [0, 1_000])
    }
}
