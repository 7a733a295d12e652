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

/// Has a command decided at once; a market is opened without refusals.
pub(super) fn order(
    host: &mut Host,
    now: Time,
    command: Command,
    seen: &mut dyn FnMut(&dayan_exchange::Event),
) -> Made {
    let commands = vec![command];
    host.ask(Asked { actor: Actor::System, commands, asker: Asker::Nobody });
    let mut committed = host.commit(now, &mut |_, _, decided| {
        let entries = decided.iter().filter_map(|decided| decided.entry.as_ref());
        entries.flat_map(|entry| &entry.events).for_each(&mut *seen);
    });
    let done = committed.done.pop().expect("one command, one outcome");
    done.unwrap_or_else(|refusal| panic!("{}: {}", refusal.code, refusal.message))
}

pub(super) fn open(
    host: &mut Host,
    market: &Market,
    clearing: &Clearing,
    seen: &mut dyn FnMut(&dayan_exchange::Event),
) -> Opened {
    let now = market.start;
    // The lead has the live one's proportion: five minutes of an hour.
    let lead = Span::from_micros(clearing.window.micros() / 12);
    let settlement = Settlement::new(clearing.window, lead).expect("a twelfth is shorter");
    let settings = Settings { settlement, ..Settings::default() };
    let operator_token = digest("operator");
    let name = "market".to_owned();
    order(host, now, Command::Found { name, operator_token, settings }, seen);
    let mut orgs = Vec::new();
    for consumer in &market.consumers {
        let (name, class) = (consumer.name.clone(), BuyerClass::External);
        let made = order(
            host,
            now,
            Command::CreateOrg { name: name.clone(), class, credit: Micro::ZERO },
            seen,
        );
        let Made::Org(org) = made else { panic!("an organisation is made") };
        orgs.push(org);
        let per_month = consumer.budget_per_month;
        let budget = BudgetLimits { per_month, ..BudgetLimits::default() };
        order(host, now, Command::CreateProject { path: format!("{name}/main"), budget }, seen);
        let (amount, reference) = (consumer.deposit, format!("first-{name}"));
        order(host, now, Command::Deposit { org: name, amount, reference }, seen);
    }
    for name in &market.providers {
        let class = BuyerClass::External;
        let (org, credit) = (name.clone(), Micro::ZERO);
        order(host, now, Command::CreateOrg { name: org.clone(), class, credit }, seen);
        let apply = Command::ApplyProvider { org, name: name.clone(), credit_code: None };
        let made = order(host, now, apply, seen);
        let Made::Provider(provider) = made else { panic!("a provider is made") };
        for status in [Status::Verified, Status::Active] {
            order(host, now, Command::SetProviderStatus { provider, status }, seen);
        }
    }
    let mut opened = Opened { pools: Vec::new(), shown: Vec::new(), orgs };
    for pool in &market.pools {
        let provider = &market.providers[pool.provider];
        let provider = host.state.supply.provider_by_name(provider).expect("it applied").id;
        let secret = digest(&format!("invitation {}", pool.name));
        let invite = Command::Invite { provider, digest: secret, expires_at: Time::NEVER };
        order(host, now, invite, seen);
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
        let made = order(host, now, Command::Join(Box::new(join)), seen);
        let Made::Agent(agent, id) = made else { panic!("an agent and its pool are made") };
        order(host, now, offer(pool, id), seen);
        opened.pools.push((id, agent));
        opened.shown.push(shown);
    }
    opened
}

fn shown(pool: &Pool) -> Shown {
    let node = |number: u32| Node {
        name: node_name(number),
        total: pool.node,
        accelerator: pool.model.map(|model| model.name.to_owned()),
        features: BTreeSet::new(),
        leaf: None,
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
