//! The exchange that the stories are about, and what may be done to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dayan_exchange::{
    Actor, Admission, At, AttemptNews, Command, Counters, Digest, Entry, Event, Fence, JobEnd,
    Join, Made, NewOffer, Node, Outcome, Place, Placing, Refusal, Seat, Seen, Settings, Shown,
    State, Submit, UsageRecord, decide,
};
use dayan_identity::Status;
use dayan_market::{BudgetLimits, BuyerClass, Settlement};
use dayan_schedule::{Placement, Planner, Work};
use dayan_units::{
    AgentId, AttemptId, Bytes, JobId, Micro, MilliCpu, OfferId, PoolId, QuoteId, Rate, RequestId,
    Resources, Span, Time,
};

pub struct Story {
    pub state: State,
    pub now: Time,
    pub requests: u128,
    pub agent: AgentId,
    pub pool: PoolId,
    pub offer: OfferId,
    pub events: Vec<Event>,
    pub entries: Vec<Entry>,
}

pub fn secret(number: u8) -> Digest {
    Digest([number; 32])
}

pub fn seconds(secs: i64) -> Span {
    Span::from_secs(secs)
}

impl Story {
    /// One pool of one machine with eight cores at 1 CNY an hour each, a buyer with 100 CNY, and
    /// windows of a minute.
    pub fn new() -> Self {
        let mut story = Self {
            state: State::default(),
            now: "2026-11-23T04:00:00Z".parse().expect("a time"),
            requests: 1 << 64,
            agent: AgentId::from_bits(0),
            pool: PoolId::from_bits(0),
            offer: OfferId::from_bits(0),
            events: Vec::new(),
            entries: Vec::new(),
        };
        let settlement = Settlement::new(seconds(60), seconds(10)).expect("a rhythm");
        let settings = Settings { settlement, ..Settings::default() };
        let name = "story".to_owned();
        story.does(Command::Found { name, operator_token: secret(1), settings });
        for org in ["buyer", "seller"] {
            let (name, class) = (org.to_owned(), BuyerClass::External);
            story.does(Command::CreateOrg { name, class, credit: Micro::ZERO });
        }
        let budget = BudgetLimits::default();
        story.does(Command::CreateProject { path: "buyer/a".to_owned(), budget });
        story.pays(100, "first");
        let (org, name) = ("seller".to_owned(), "seller".to_owned());
        let applied = story.does(Command::ApplyProvider { org, name, credit_code: None });
        let Made::Provider(provider) = applied else { panic!("{applied:?}") };
        for status in [Status::Verified, Status::Active] {
            story.does(Command::SetProviderStatus { provider, status });
        }
        let expires_at = Time::NEVER;
        story.does(Command::Invite { provider, digest: secret(2), expires_at });
        let joined = story.does(Command::Join(Box::new(join())));
        let Made::Agent(agent, pool) = joined else { panic!("{joined:?}") };
        (story.agent, story.pool) = (agent, pool);
        for status in [Status::Verified, Status::Active] {
            story.does(Command::SetPoolStatus { pool, status });
        }
        let offer = NewOffer {
            pool,
            rate: Rate { core_hour: Micro::from_units(1), ..Rate::default() },
            minimum: Span::ZERO,
            accelerator: None,
            min: None,
            max: None,
            classes: BTreeMap::from([(BuyerClass::External, 1_000)]),
            spot_permille: Some(400),
            tariff: None,
            valid_until: None,
        };
        let listed = story.does(Command::ListOffer(Box::new(offer)));
        let Made::Offer(offer) = listed else { panic!("{listed:?}") };
        story.offer = offer;
        story
    }

    pub fn asks(&mut self, command: Command) -> Result<Made, Refusal> {
        self.requests += 1 << 64;
        let request = RequestId::from_bits(self.requests);
        let at = At { now: self.now, request, actor: Actor::System, command };
        let decision = decide(&self.state, &at)?;
        let entry = Entry { at: self.now, request, actor: Actor::System, events: decision.events };
        self.state.evolve(&entry);
        self.events.extend(entry.events.iter().cloned());
        if !entry.events.is_empty() {
            self.entries.push(entry);
        }
        Ok(decision.made)
    }

    pub fn does(&mut self, command: Command) -> Made {
        self.asks(command).expect("nothing stands in the way")
    }

    pub fn pays(&mut self, amount: i32, reference: &str) {
        let (org, reference) = ("buyer".to_owned(), reference.to_owned());
        self.does(Command::Deposit { org, amount: Micro::from_units(amount), reference });
    }

    pub fn balance(&self) -> Micro {
        let org = self.state.access.org_by_name("buyer").expect("it was created");
        self.state.ledger.account(org.account).expect("it has one").available()
    }

    /// A job of one-core tasks with ten minutes each; `more` is added to its file.
    pub fn submits(&mut self, more: &str) -> JobId {
        let submit = self.submission(more, None);
        match self.does(submit) {
            Made::Job(job) => job,
            other => panic!("{other:?}"),
        }
    }

    pub fn submission(&self, more: &str, quote: Option<QuoteId>) -> Command {
        Self::submission_of("buyer/a", more, quote)
    }

    pub fn submission_of(project: &str, more: &str, quote: Option<QuoteId>) -> Command {
        Self::submission_asking("cpus: 1, memory: 1GB, time: 10m", project, more, quote)
    }

    pub fn submission_asking(
        resources: &str,
        project: &str,
        more: &str,
        quote: Option<QuoteId>,
    ) -> Command {
        let text = format!(
            "version: 1\nname: j\ntype: batch\nproject: {project}\n\
             resources: {{{resources}}}\nrun: ./work\n{more}"
        );
        let spec = Arc::new(dayan_spec::parse_yaml(&text).expect("a job file"));
        let mut digest = [0u8; 32];
        for (n, byte) in text.bytes().enumerate() {
            let mixed = &mut digest[n % 32];
            *mixed = mixed.wrapping_mul(31).wrapping_add(byte);
        }
        let digest = Digest(digest);
        Command::Submit(Box::new(Submit {
            spec,
            digest,
            quote,
            idempotency: None,
            admission: Admission::NotSought,
            data: Vec::new(),
        }))
    }

    /// What a planner that has just started would place.
    pub fn plans(&self) -> Vec<Placement> {
        let mut planner = Planner::new();
        for change in dayan_exchange::changes::everything(&self.state, self.now) {
            planner.observe(&change);
        }
        planner.plan(self.now, Work(100_000)).placements
    }

    /// A planner that heard of everything as it happened.
    pub fn heard(&self) -> Planner {
        let mut planner = Planner::new();
        let mut replayed = dayan_exchange::State::default();
        for entry in &self.entries {
            replayed.evolve(entry);
            let mut heard = Vec::new();
            dayan_exchange::changes::of_entry(&replayed, entry, &mut heard);
            for change in &heard {
                planner.observe(change);
            }
        }
        planner
    }

    pub fn places(&mut self, job: JobId, tasks: &[u32]) {
        self.try_places(job, tasks).expect("nothing stands in the way");
    }

    pub fn try_places(&mut self, job: JobId, tasks: &[u32]) -> Result<Made, Refusal> {
        self.try_places_with(job, tasks, 1, 1)
    }

    /// The same, each task with so many cores and gigabytes.
    pub fn try_places_with(
        &mut self,
        job: JobId,
        tasks: &[u32],
        cores: u64,
        gigabytes: u64,
    ) -> Result<Made, Refusal> {
        let resources = Resources {
            cpu: MilliCpu(cores * 1_000),
            memory: Bytes(gigabytes * 1_000_000_000),
            ..Resources::ZERO
        };
        let seat = |task: &u32| Seat {
            task: *task,
            pool: self.pool,
            node: "n".to_owned(),
            offer: self.offer,
            resources,
            cards: dayan_schedule::Cards::NONE,
        };
        let seats = tasks.iter().map(seat).collect();
        self.asks(Command::Place(Box::new(Place { job, seats })))
    }

    pub fn says(&mut self, attempt: AttemptId, seen: Seen, wall: Option<(u64, Span)>) {
        let counters = |wall: Span| Counters { wall_us: wall.micros(), ..Counters::default() };
        let usage = wall.map(|(seq, wall)| UsageRecord { attempt, seq, counters: counters(wall) });
        let agent = self.agent;
        let news =
            AttemptNews { agent, attempt, seen: Some(seen), usage, evidence: None, node: None };
        self.does(Command::AttemptNews(Box::new(news)));
    }

    pub fn ends(&mut self, attempt: AttemptId, outcome: Outcome) {
        self.says(attempt, Seen::Ended { outcome }, Some((9, seconds(1))));
    }

    pub fn passes(&mut self, span: Span) {
        self.now = self.now.plus(span);
    }

    pub fn ended(&self, job: JobId) -> Option<JobEnd> {
        self.state.work.jobs[&job].ended.map(|(_, end)| end)
    }

    pub fn waits(&self, job: JobId) -> Vec<u32> {
        self.state.work.jobs[&job].queued.iter().collect()
    }
}

pub fn join() -> Join {
    let node = Node {
        name: "n".to_owned(),
        total: Resources { cpu: MilliCpu(8_000), memory: Bytes(32_000_000_000), ..Resources::ZERO },
        accelerator: None,
        features: std::collections::BTreeSet::new(),
        leaf: None,
        islands: Vec::new(),
        up: true,
    };
    Join {
        invitation: secret(2),
        public_key: secret(3),
        token: secret(4),
        place: "Guiyang".to_owned(),
        pool: "pool".to_owned(),
        more: 0,
        shown: Shown {
            engine: "simulated".to_owned(),
            fence: Fence::Keeper,
            placing: Placing::ByNode,
            features: BTreeSet::new(),
            fabric: None,
            nodes: vec![node],
            queue: None,
            inventory: BTreeMap::new(),
        },
    }
}

pub fn first(job: JobId, task: u32) -> AttemptId {
    AttemptId { job, task, attempt: 1 }
}

pub const fn exits(code: i32) -> Outcome {
    Outcome::Exited { code }
}
