//! How a market is opened: the exchange is founded, consumers pay in, providers are let in with an
//! agent and an offer for each pool. All of it is commands, as operators and agents give them.

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::{
    Actor, Command, Digest, Fence, Join, Made, NewOffer, Node, Placing, Settings, Shown,
};
use dayan_identity::Status;
use dayan_market::{BudgetLimits, BuyerClass, Settlement, Tariff};
use dayan_spec::Feature;
use dayan_units::{AgentId, Micro, MilliAccel, OrgId, PoolId, Resources, Span, Time};
use sha2::{Digest as _, Sha256};

use super::MarketError;
use super::draw::{Market, Pool};
use super::scenario::Clearing;
use crate::host::{Asked, Asker, Host};

/// What there is once the market is open.
pub(super) struct Opened {
    /// By pool.
    pub pools: Vec<(PoolId, AgentId)>,
    pub shown: Vec<Shown>,
    /// By consumer.
    pub orgs: Vec<OrgId>,
}

pub(super) fn digest(text: &str) -> Digest {
    Digest(Sha256::digest(text.as_bytes()).into())
}

/// Has a command decided at once. A scenario that was let in is opened without refusals; what the
/// exchange refuses all the same is told with what it was about.
fn order(
    host: &mut Host,
    now: Time,
    (about, command): (&str, Command),
    seen: &mut dyn FnMut(&dayan_exchange::Event),
) -> Result<Made, MarketError> {
    let commands = vec![command];
    host.ask(Asked { actor: Actor::System, commands, asker: Asker::Nobody });
    let mut committed = host.commit(now, &mut |_, _, decided| {
        let entries = decided.iter().filter_map(|decided| decided.entry.as_ref());
        entries.flat_map(|entry| &entry.events).for_each(&mut *seen);
    });
    let done = committed.done.pop().expect("one command, one outcome");
    done.map_err(|refusal| MarketError::Opening {
        about: about.to_owned(),
        why: format!("{} ({})", refusal.message, refusal.code),
    })
}

pub(super) fn open(
    host: &mut Host,
    market: &Market,
    clearing: &Clearing,
    seen: &mut dyn FnMut(&dayan_exchange::Event),
) -> Result<Opened, MarketError> {
    let now = market.start;
    // The lead has the live one's proportion: five minutes of an hour.
    let lead = Span::from_micros(clearing.window.micros() / 12);
    let settlement = Settlement::new(clearing.window, lead).map_err(|defect| {
        let about = "`clearing.window`".to_owned();
        MarketError::Opening { about, why: defect.to_string() }
    })?;
    let settings = Settings { settlement, ..Settings::default() };
    let operator_token = digest("operator");
    let name = "market".to_owned();
    let mut order =
        |host: &mut Host, about: &str, command| order(host, now, (about, command), seen);
    order(host, "the exchange", Command::Found { name, operator_token, settings })?;
    let mut orgs = Vec::new();
    for consumer in &market.consumers {
        let (name, class) = (consumer.name.clone(), BuyerClass::External);
        let credit = Micro::ZERO;
        let made = order(host, &name, Command::CreateOrg { name: name.clone(), class, credit })?;
        let Made::Org(org) = made else { panic!("an organisation is made") };
        orgs.push(org);
        let per_month = consumer.budget_per_month;
        let budget = BudgetLimits { per_month, ..BudgetLimits::default() };
        let path = format!("{name}/main");
        order(host, &name, Command::CreateProject { path, budget })?;
        let (amount, reference) = (consumer.deposit, format!("first-{name}"));
        // Who has nothing pays nothing in.
        if amount > Micro::ZERO {
            order(host, &consumer.name, Command::Deposit { org: name, amount, reference })?;
        }
    }
    for name in &market.providers {
        let class = BuyerClass::External;
        let (org, credit) = (name.clone(), Micro::ZERO);
        order(host, name, Command::CreateOrg { name: org.clone(), class, credit })?;
        let apply = Command::ApplyProvider { org, name: name.clone(), credit_code: None };
        let made = order(host, name, apply)?;
        let Made::Provider(provider) = made else { panic!("a provider is made") };
        for status in [Status::Verified, Status::Active] {
            order(host, name, Command::SetProviderStatus { provider, status })?;
        }
    }
    let mut opened = Opened { pools: Vec::new(), shown: Vec::new(), orgs };
    for pool in &market.pools {
        let provider = &market.providers[pool.provider];
        let provider = host.state.supply.provider_by_name(provider).expect("it applied").id;
        let secret = digest(&format!("invitation {}", pool.name));
        let invite = Command::Invite { provider, digest: secret, expires_at: Time::NEVER };
        order(host, &pool.name, invite)?;
        let shown = shown(pool);
        let join = Join {
            invitation: secret,
            public_key: digest(&format!("key {}", pool.name)),
            token: digest(&format!("token {}", pool.name)),
            place: pool.place.place().name.to_owned(),
            pool: pool.name.clone(),
            more: 0,
            shown: shown.clone(),
        };
        let made = order(host, &pool.name, Command::Join(Box::new(join)))?;
        let Made::Agent(agent, id) = made else { panic!("an agent and its pool are made") };
        order(host, &pool.name, offer(pool, id))?;
        opened.pools.push((id, agent));
        opened.shown.push(shown);
    }
    Ok(opened)
}

fn shown(pool: &Pool) -> Shown {
    let node = |number: u32| Node {
        name: node_name(number),
        total: pool.node,
        accelerator: pool.model.map(|model| model.name.to_owned()),
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
        nodes: (0..pool.nodes).map(node).collect(),
        queue: None,
        inventory: BTreeMap::from([("site".to_owned(), pool.name.clone())]),
    }
}

pub(super) fn node_name(number: u32) -> String {
    format!("n{number}")
}

/// A pool at its prices. Where there are cards, they are what is sold: cores alone are
/// not.
fn offer(pool: &Pool, id: PoolId) -> Command {
    let cards = Resources { accel: MilliAccel(1), ..Resources::ZERO };
    Command::ListOffer(Box::new(NewOffer {
        pool: id,
        rate: pool.rate,
        minimum: Span::ZERO,
        accelerator: pool.model.map(|model| model.name.to_owned()),
        min: pool.model.map(|_| cards),
        max: None,
        classes: BTreeMap::from([(BuyerClass::External, dayan_units::PERMILLE_ONE)]),
        valid_until: None,
        spot_permille: None,
        tariff: Some(Tariff(pool.hours)),
    }))
}
