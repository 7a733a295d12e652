//! The people of a world: who founds it, who sells, who buys, and how they change their minds. All
//! they do is a command like any other; they look at the exchange's state as a console would.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_exchange::{
    Actor, Admission, CarbonOf, Command, Digest, Fence, JobEnd, Join, NewOffer, Node, Placing,
    SetCarbon, Settings, Shown, State, Submit, Tell,
};
use dayan_identity::Status;
use dayan_market::{
    BudgetLimits, BuyerClass, OfferMode, Quote, QuoteItem, QuoteTerms, Settlement, SpecDigest,
    Tariff, Terms,
};
use dayan_schedule::{Closure, NodeName, Quota, QuotaOf};
use dayan_spec::{Feature, JobSpec};
use dayan_topology::GridSeries;
use dayan_units::{
    Bytes, JobId, Micro, MilliCpu, OfferId, OrgId, PoolId, QuoteId, Rate, Resources, Span, Time,
    UserId,
};
use sha2::{Digest as _, Sha256};

use crate::job_files::{COMMON_LICENSE, inputs, job_file, schedule};
use crate::random::Random;
use crate::scenario::Scenario;

/// What buyers are called, and what they pay in first: a rich one, one on credit, a poor one.
const BUYERS: [(&str, BuyerClass, i32, i32); 3] = [
    ("rich", BuyerClass::External, 100_000, 0),
    ("partner", BuyerClass::Partner, 2, 3),
    ("poor", BuyerClass::Internal, 1, 0),
];

/// The people and their draws.
#[derive(Debug)]
pub(crate) struct People {
    random: Random,
    submitted: u32,
    deposits: u32,
    /// The newest submission, to be repeated.
    last: Option<Submit>,
}

fn digest(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

/// What licences are called.
fn licenses() -> impl Iterator<Item = String> {
    let own = BUYERS.iter().map(|(org, ..)| format!("{org}/own"));
    std::iter::once(COMMON_LICENSE.to_owned()).chain(own)
}

/// A job file and its digest.
fn read(text: &str) -> (Arc<JobSpec>, Digest) {
    let spec = dayan_spec::parse_yaml(text).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
    let canonical = serde_json::to_vec(&spec).expect("a job file becomes JSON");
    (Arc::new(spec), Digest(Sha256::digest(canonical).into()))
}

/// Whoever acts for a buyer here may do what an owner may.
fn owner(state: &State, org: OrgId) -> Actor {
    let user = UserId::from_bits(org.bits());
    debug_assert!(state.access.orgs.contains_key(&org), "people act for organisations there are");
    Actor::User { user, org, role: dayan_exchange::Role::Owner }
}

impl People {
    pub(crate) const fn new(seed: u64) -> Self {
        let random = Random::new(seed, 0x7065_6f70);
        Self { random, submitted: 0, deposits: 0, last: None }
    }

    // ---- before the world starts ----

    /// What founds the exchange, its buyers and its sellers.
    pub(crate) fn found(&mut self, scenario: &Scenario) -> Vec<Command> {
        let lead = Span::from_micros(scenario.window.micros() / 6);
        let settlement = Settlement::new(scenario.window, lead).expect("a sixth is shorter");
        let settings = Settings { settlement, ..Settings::default() };
        let operator_token = digest("operator");
        let mut commands =
            vec![Command::Found { name: "world".to_owned(), operator_token, settings }];
        for (name, class, money, credit) in BUYERS {
            let credit = Micro::from_units(credit);
            commands.push(Command::CreateOrg { name: name.to_owned(), class, credit });
            let budget = self.budget();
            commands.push(Command::CreateProject { path: format!("{name}/a"), budget });
            let budget = BudgetLimits::default();
            commands.push(Command::CreateProject { path: format!("{name}/b"), budget });
            commands.push(self.deposit(name, Micro::from_units(money)));
        }
        for name in licenses() {
            let count = Some(2 + self.random.below(3));
            commands.push(Command::SetLicense { name, count });
        }
        for site in 0..scenario.sites {
            let name = format!("seller-{site}");
            let class = BuyerClass::External;
            commands.push(Command::CreateOrg { name: name.clone(), class, credit: Micro::ZERO });
            commands.push(Command::ApplyProvider { org: name.clone(), name, credit_code: None });
        }
        commands
    }

    /// What lets a provider's agent in.
    pub(crate) fn open_site(
        &mut self,
        state: &State,
        site: u32,
        scenario: &Scenario,
    ) -> Vec<Command> {
        let name = format!("seller-{site}");
        let provider = state.supply.provider_by_name(&name).expect("it applied").id;
        let secret = digest(&format!("invitation {site}"));
        let status = |status| Command::SetProviderStatus { provider, status };
        let join = Join {
            invitation: secret,
            public_key: digest(&format!("key {site}")),
            token: digest(&format!("token {site}")),
            place: ["Guiyang", "Shanghai", "Beijing"][site as usize % 3].to_owned(),
            pool: format!("pool-{site}"),
            more: 0,
            shown: self.shown(site, scenario),
        };
        vec![
            status(Status::Verified),
            status(Status::Active),
            Command::Invite { provider, digest: secret, expires_at: Time::NEVER },
            Command::Join(Box::new(join)),
        ]
    }

    fn shown(&mut self, site: u32, scenario: &Scenario) -> Shown {
        let nodes = self.random.between(1, i64::from(scenario.nodes_max));
        let node = |random: &mut Random, number: i64| Node {
            name: format!("n{number}"),
            total: Resources {
                cpu: MilliCpu(1_000 * random.below(7).max(2) + 2_000),
                memory: Bytes(16_000_000_000),
                disk: Bytes(500_000_000_000),
                ..Resources::ZERO
            },
            accelerator: None,
            features: BTreeSet::new(),
            leaf: None,
            islands: Vec::new(),
            up: true,
        };
        Shown {
            engine: "simulated".to_owned(),
            fence: Fence::Keeper,
            placing: Placing::ByNode,
            features: Feature::ALL.iter().map(|feature| feature.as_str().to_owned()).collect(),
            fabric: None,
            nodes: (0..nodes).map(|number| node(&mut self.random, number)).collect(),
            queue: None,
            inventory: BTreeMap::from([("site".to_owned(), site.to_string())]),
        }
    }

    /// An offer of a pool to everybody.
    pub(crate) fn offer(&mut self, pool: PoolId) -> Command {
        let rate = Rate {
            core_hour: Micro(self.random.between(1_000_000, 20_000_000)),
            gb_hour: Micro(self.random.between(0, 400_000)),
            card_hour: Micro::ZERO,
        };
        let minimum = Span::from_secs(*self.random.pick(&[0, 0, 10, 60]));
        let spot_permille = self.random.in_permille(600).then_some(400);
        let classes = BuyerClass::ALL.into_iter().map(|c| (c, c.usual_permille())).collect();
        Command::ListOffer(Box::new(NewOffer {
            pool,
            rate,
            minimum,
            accelerator: None,
            min: None,
            max: None,
            classes,
            spot_permille,
            tariff: self.tariff(),
            valid_until: None,
        }))
    }

    /// Some sell the night cheaper and the morning dearer.
    fn tariff(&mut self) -> Option<Tariff> {
        self.random.in_permille(300).then(|| {
            let hours = std::array::from_fn(|hour| match hour {
                0..=7 => 700,
                9..=11 => 1_250,
                _ => 1_000,
            });
            Tariff(hours)
        })
    }

    fn budget(&mut self) -> BudgetLimits {
        let random = &mut self.random;
        let mut maybe =
            |low, high| random.in_permille(500).then(|| Micro(random.between(low, high) * 10_000));
        BudgetLimits {
            per_job: maybe(10, 400),
            per_day: maybe(20, 1_000),
            per_month: maybe(50, 2_000),
            ..BudgetLimits::default()
        }
    }

    fn deposit(&mut self, org: &str, amount: Micro) -> Command {
        self.deposits += 1;
        Command::Deposit {
            org: org.to_owned(),
            amount,
            reference: format!("pay-{}", self.deposits),
        }
    }

    // ---- while it is busy ----

    /// A job, and now and then the same one again.
    pub(crate) fn submit(
        &mut self,
        state: &State,
        scenario: &Scenario,
        now: Time,
    ) -> Vec<(Actor, Command)> {
        let random = &mut self.random;
        let (name, ..) = BUYERS[*random.pick(&[0, 0, 0, 1, 2])];
        let org = state.access.org_by_name(name).expect("it was founded").id;
        if let (Some(last), true) = (&self.last, random.in_permille(80)) {
            let project = last.spec.project.to_string();
            let org = state.access.project_by_path(&project).expect("it was founded").org;
            return vec![(owner(state, org), Command::Submit(Box::new(last.clone())))];
        }
        self.submitted += 1;
        let mut text = job_file(random, name, self.submitted, scenario);
        let quoted = random.in_permille(scenario.quotes_permille);
        let mut data = Vec::new();
        if !quoted && random.in_permille(scenario.schedules_permille) {
            text += &schedule(random);
        } else if random.in_permille(400) {
            let (line, lies) = inputs(random);
            text += &line;
            data = lies;
        }
        let (spec, digest) = read(&text);
        let key = format!("key-{}", self.submitted);
        let admission = Admission::NotSought;
        let submit = Submit { spec, digest, quote: None, idempotency: Some(key), admission, data };
        if quoted {
            return self.under_quote(state, org, submit, now);
        }
        self.last = Some(submit.clone());
        vec![(owner(state, org), Command::Submit(Box::new(submit)))]
    }

    fn under_quote(
        &mut self,
        state: &State,
        org: OrgId,
        submit: Submit,
        now: Time,
    ) -> Vec<(Actor, Command)> {
        let spec = submit.spec.as_ref();
        let class = state.access.orgs[&org].class;
        let resources = spec.resources.least(None);
        let fitting: Vec<_> = state
            .supply
            .offers
            .values()
            .filter(|offer| offer.admits(&resources, None, class, now).is_ok())
            .filter(|offer| has_room(state, offer.pool, spec))
            .collect();
        if fitting.is_empty() {
            return Vec::new();
        }
        let offer = *self.random.pick(&fitting);
        let mode = dayan_exchange::mode_at(spec, Some(offer));
        let rate = offer.rate_at(now, state.settings.zone);
        let Ok(terms) = Terms::listed(offer, rate, class, mode) else {
            return Vec::new();
        };
        let id = QuoteId::from_bits(u128::from(self.random.bits()) << 64 | 1);
        let project = state.access.project_by_path(&spec.project.to_string());
        let head = QuoteTerms {
            id,
            project: project.expect("it was founded").id,
            spec_digest: SpecDigest(submit.digest.0),
            currency: state.settings.currency,
            issued_at: now,
            expires_at: now.plus(state.settings.quote_valid),
        };
        let item = QuoteItem {
            pool: offer.pool,
            offer: offer.id,
            terms,
            mode,
            resources,
            time_limit: spec.time_limit(),
            tasks: spec.task_count(),
        };
        let quote = Box::new(Quote::issue(head, &[item]).expect("prices here are small"));
        let actor = owner(state, org);
        let issue = Command::IssueQuote { quote, signature: "signed".to_owned() };
        let mut all = vec![(actor, issue)];
        // Some quotes are never used.
        if self.random.in_permille(850) {
            let submit = Submit { quote: Some(id), ..submit };
            all.push((actor, Command::Submit(Box::new(submit))));
        }
        all
    }

    fn some_job(&mut self, state: &State) -> Option<(JobId, OrgId)> {
        let jobs: Vec<_> = state.work.jobs.values().map(|job| (job.id, job.org)).collect();
        (!jobs.is_empty()).then(|| *self.random.pick(&jobs))
    }

    fn some_pool(&mut self, state: &State) -> Option<PoolId> {
        let pools: Vec<_> = state.supply.pools.keys().copied().collect();
        (!pools.is_empty()).then(|| *self.random.pick(&pools))
    }

    /// Somebody changes their mind.
    pub(crate) fn change_mind(&mut self, state: &State, now: Time) -> Vec<(Actor, Command)> {
        let job = self.some_job(state);
        let of_job = |command: Command, org| vec![(owner(state, org), command)];
        match (self.random.below(26), job) {
            (0 | 1, Some((job, org))) => of_job(Command::Cancel { job, task: None }, org),
            (2 | 3, Some((job, org))) => {
                let task = Some(u32::try_from(self.random.below(4)).expect("a small number"));
                of_job(Command::Cancel { job, task }, org)
            }
            (4, Some((job, org))) => of_job(Command::Pause { job }, org),
            (5, Some((job, org))) => of_job(Command::Resume { job }, org),
            (6 | 7, Some((job, org))) => of_job(Command::Retry { job, task: None }, org),
            (8, Some((job, org))) => {
                let task = Some(u32::try_from(self.random.below(4)).expect("a small number"));
                of_job(Command::Retry { job, task }, org)
            }
            (9, _) => {
                let (name, ..) = *self.random.pick(&BUYERS);
                let amount = Micro(self.random.between(1, 3_000_000));
                vec![(Actor::System, self.deposit(name, amount))]
            }
            (10, _) => {
                // The bank says again what it has said before.
                let (name, _, money, _) = BUYERS[0];
                let amount = Micro::from_units(money);
                let reference = "pay-1".to_owned();
                vec![(Actor::System, Command::Deposit { org: name.to_owned(), amount, reference })]
            }
            (11, _) => {
                let projects: Vec<_> = state.access.projects.keys().copied().collect();
                let project = *self.random.pick(&projects);
                let budget = self.budget();
                vec![(Actor::System, Command::SetBudget { project, budget })]
            }
            (12 | 13, _) => {
                let Some(pool) = self.some_pool(state) else { return Vec::new() };
                let status = match state.supply.pools[&pool].status {
                    Status::Active => Status::Suspended,
                    Status::Applied | Status::Verified | Status::Suspended | Status::Retired => {
                        Status::Active
                    }
                };
                vec![(Actor::System, Command::SetPoolStatus { pool, status })]
            }
            (14 | 15, _) => {
                let offers: Vec<OfferId> = state.supply.offers.keys().copied().collect();
                if offers.is_empty() {
                    return Vec::new();
                }
                let offer = *self.random.pick(&offers);
                let pool = state.supply.offers[&offer].pool;
                let retire = (Actor::System, Command::RetireOffer { offer });
                vec![retire, (Actor::System, self.offer(pool))]
            }
            (16 | 17, _) => {
                let Some(pool) = self.some_pool(state) else { return Vec::new() };
                vec![(Actor::System, self.closes(state, pool, now))]
            }
            (18 | 19, _) => {
                let all = state.work.schedules.all.values();
                let all: Vec<_> = all.map(|schedule| (schedule.id, schedule.org)).collect();
                if all.is_empty() {
                    return Vec::new();
                }
                let (schedule, org) = *self.random.pick(&all);
                let tell = *self.random.pick(&[Tell::Pause, Tell::Resume, Tell::Cancel]);
                of_job(Command::TellSchedule { schedule, tell }, org)
            }
            (20 | 21, _) => vec![(Actor::System, self.limits(state))],
            (22 | 23, _) => vec![(Actor::System, self.carbon(state, now))],
            (24 | 25, _) => vec![(Actor::System, self.licensed())],
            _ => Vec::new(),
        }
    }

    /// A region or a pool has cleaner hours than others, or none that are known any more.
    fn carbon(&mut self, state: &State, now: Time) -> Command {
        let pool = self.some_pool(state).filter(|_| self.random.in_permille(500));
        let of = pool.map_or_else(|| CarbonOf::Region("Guizhou".to_owned()), CarbonOf::Pool);
        let into = Span::from_micros(now.micros().rem_euclid(3_600_000_000));
        let hours = self.random.between(2, 40);
        let grams = (0..hours).map(|_| u32::try_from(self.random.below(900)).expect("small"));
        let grams_per_kwh = grams.collect();
        let series = self
            .random
            .in_permille(800)
            .then(|| GridSeries { from: now.minus(into), grams_per_kwh });
        Command::SetCarbon(Box::new(SetCarbon { of, series }))
    }

    /// A project or its organisation may hold a few cores, or any number again.
    fn limits(&mut self, state: &State) -> Command {
        let projects: Vec<_> = state.access.projects.values().collect();
        let project = *self.random.pick(&projects);
        let one = self.random.in_permille(600);
        let of = if one { QuotaOf::Project(project.id) } else { QuotaOf::Org(project.org) };
        let cores = self.random.in_permille(700).then(|| self.random.below(8));
        let cpu = cores.map(|cores| MilliCpu(cores * 1_000));
        Command::SetQuota { of, quota: Quota { cpu, ..Quota::default() } }
    }

    /// There are more or fewer of a licence, or it is not counted any more.
    fn licensed(&mut self) -> Command {
        let all: Vec<String> = licenses().collect();
        let name = self.random.pick(&all).clone();
        let count = self.random.in_permille(850).then(|| self.random.below(5));
        Command::SetLicense { name, count }
    }

    /// A pool, or one machine of it, will be closed for some minutes; or not after all.
    fn closes(&mut self, state: &State, pool: PoolId, now: Time) -> Command {
        let nodes = &state.supply.pools[&pool].shown.nodes;
        let node = self.random.pick(nodes).name.clone();
        let whole = self.random.in_permille(400);
        let from = now.plus(Span::from_secs(self.random.between(0, 900)));
        let until = from.plus(Span::from_secs(self.random.between(30, 600)));
        let nodes = if whole { BTreeSet::new() } else { BTreeSet::from([NodeName::new(&node)]) };
        let mut closures = vec![Closure { nodes, from, until }];
        if self.random.in_permille(200) {
            closures.clear();
        }
        Command::SetClosures { pool, closures }
    }

    // ---- when it has become quiet ----

    /// Everything that stands in the way of a job is put right: money, limits, pauses, closed
    /// pools. What can not be put right (a limit of the job's own that is too low, a firm quote
    /// on an offer that is gone, a gang that no pool has machines for) is taken back by its owner.
    pub(crate) fn put_right(&mut self, state: &State) -> Vec<(Actor, Command)> {
        let mut all = Vec::new();
        let mut order = |command| all.push((Actor::System, command));
        for (name, ..) in BUYERS {
            order(self.deposit(name, Micro::from_units(50_000)));
        }
        for project in state.access.projects.keys() {
            let budget = BudgetLimits::default();
            order(Command::SetBudget { project: *project, budget });
            let (of, quota) = (QuotaOf::Project(*project), Quota::default());
            order(Command::SetQuota { of, quota });
        }
        for org in state.access.orgs.keys() {
            let (of, quota) = (QuotaOf::Org(*org), Quota::default());
            order(Command::SetQuota { of, quota });
        }
        // As many as the largest gang wants.
        for name in licenses() {
            order(Command::SetLicense { name, count: Some(8) });
        }
        for pool in state.supply.pools.values() {
            if pool.status == Status::Suspended {
                order(Command::SetPoolStatus { pool: pool.id, status: Status::Active });
            }
            if !state.supply.offers.values().any(|offer| offer.pool == pool.id) {
                order(self.offer(pool.id));
            }
        }
        // They would go on for ever.
        for schedule in state.work.schedules.all.keys() {
            order(Command::TellSchedule { schedule: *schedule, tell: Tell::Cancel });
        }
        for job in state.work.jobs.values().filter(|job| job.ended.is_none()) {
            let stored = state.work.spec_of(job);
            let gone = job.quote.is_some_and(|(quote, _)| {
                let lines = &state.work.quotes[&quote].quote.lines;
                lines.iter().any(|line| !state.supply.offers.contains_key(&line.offer))
            });
            let fits = state.supply.pools.keys().any(|pool| {
                has_room(state, *pool, &stored.spec) && sells(state, *pool, &stored.spec)
            });
            if gone || !fits || stored.job_limit().is_some() {
                order(Command::Cancel { job: job.id, task: None });
            } else if job.gate == dayan_exchange::Gate::Paused {
                order(Command::Resume { job: job.id });
            }
        }
        all
    }
}

/// Could the empty pool take the job: a task on a machine, a gang on as many machines?
fn has_room(state: &State, pool: PoolId, spec: &JobSpec) -> bool {
    let need = spec.resources.least(None);
    let nodes = &state.supply.pools[&pool].shown.nodes;
    let fitting = nodes.iter().filter(|node| need.fits_in(&node.total)).count();
    fitting >= spec.gang.as_ref().map_or(1, |gang| gang.least() as usize)
}

/// Is it offered there to work of its kind? Who has no offer gets one that may sell no spot.
fn sells(state: &State, pool: PoolId, spec: &JobSpec) -> bool {
    let mut offers = state.supply.offers.values().filter(|offer| offer.pool == pool);
    match dayan_exchange::mode_of(spec) {
        OfferMode::OnDemand => true,
        OfferMode::Spot if spec.market.falls_back() => true,
        OfferMode::Spot => offers.any(|offer| offer.spot_permille.is_some()),
    }
}

/// Has every job ended, and will none be made any more?
pub(crate) fn all_ended(state: &State) -> bool {
    let work = &state.work;
    work.jobs.values().all(|job| job.ended.is_some())
        && work.schedules.all.values().all(|schedule| schedule.ended.is_some())
}

/// How many jobs ended in each way, of those in memory.
pub(crate) fn endings(state: &State) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for job in state.work.jobs.values() {
        let name = match job.ended {
            None => "open",
            Some((_, JobEnd::Succeeded)) => "succeeded",
            Some((_, JobEnd::Failed)) => "failed",
            Some((_, JobEnd::Cancelled)) => "cancelled",
            Some((_, JobEnd::Unfunded)) => "unfunded",
        };
        *counts.entry(name).or_default() += 1;
    }
    counts
}
