//! Who takes part: three providers and four consumers, brought in as an operator would.

use dayan_wire::{BudgetLimits, Deposit, NewOrg, NewProject, NewProvider, NewToken, NewUser};

use super::Exchange;
use crate::client::Client;
use crate::cmd::session::Session;
use crate::exit::Failure;

/// A seller, with its share of this machine and its prices.
#[derive(Clone, Copy, Debug)]
pub struct Seller {
    /// Its organisation and provider slug.
    pub name: &'static str,
    /// Its pool.
    pub pool: &'static str,
    /// The city of its data centre.
    pub site: &'static str,
    /// As how many nodes its share is shown.
    pub nodes: u32,
    /// Its share of this machine's cores, in thousandths.
    pub share_permille: u64,
    /// For one core for an hour, in CNY.
    pub core_hour: &'static str,
    /// For one GB of memory for an hour, in CNY.
    pub gb_hour: &'static str,
}

/// Half of the machine and cheap in Gui'an; a quarter each at the coast, dearer.
pub const SELLERS: [Seller; 3] = [
    Seller {
        name: "guian-dc",
        pool: "guian-1",
        site: "Gui'an",
        nodes: 4,
        share_permille: 500,
        core_hour: "0.12",
        gb_hour: "0.012",
    },
    Seller {
        name: "shenzhen-dc",
        pool: "shenzhen-1",
        site: "Shenzhen",
        nodes: 1,
        share_permille: 250,
        core_hour: "0.31",
        gb_hour: "0.030",
    },
    Seller {
        name: "hangzhou-dc",
        pool: "hangzhou-1",
        site: "Hangzhou",
        nodes: 1,
        share_permille: 250,
        core_hour: "0.24",
        gb_hour: "0.024",
    },
];

/// A buyer.
#[derive(Clone, Copy, Debug)]
pub struct Buyer {
    /// Its organisation.
    pub org: &'static str,
    /// Who submits.
    pub user: &'static str,
    /// What pays.
    pub project: &'static str,
    /// What it pays in at first.
    pub deposit: &'static str,
    /// The most it lets the project spend in a day.
    pub per_day: &'static str,
}

/// A film studio, a weather office, a tyre works, a laboratory.
pub const BUYERS: [Buyer; 4] = [
    Buyer {
        org: "studio-a",
        user: "lin",
        project: "studio-a/film-3",
        deposit: "500.00 CNY",
        per_day: "200.00",
    },
    Buyer {
        org: "gz-meteo",
        user: "duty",
        project: "gz-meteo/ops",
        deposit: "300.00 CNY",
        per_day: "100.00",
    },
    Buyer {
        org: "tyre-works",
        user: "line-2",
        project: "tyre-works/qc",
        deposit: "100.00 CNY",
        per_day: "50.00",
    },
    Buyer {
        org: "lab-n",
        user: "wei",
        project: "lab-n/fluids",
        deposit: "200.00 CNY",
        per_day: "100.00",
    },
];

/// Everybody, known to the exchange.
pub struct World {
    /// Sellers with their provider ids.
    pub sellers: Vec<(Seller, String)>,
    /// Buyers with connections of their own.
    pub buyers: Vec<(Buyer, Client)>,
}

impl World {
    /// The connection of the buyer that owns a project.
    pub fn buyer_of(&self, project: &str) -> Option<&Client> {
        self.buyers.iter().find(|(buyer, _)| buyer.project == project).map(|(_, client)| client)
    }
}

/// Brings everybody in.
pub async fn found(
    operator: &Client,
    exchange: &Exchange,
    session: &Session,
) -> Result<World, Failure> {
    let mut sellers = Vec::new();
    for seller in SELLERS {
        sellers.push((seller, admit_seller(operator, &seller).await?));
    }
    let mut buyers = Vec::new();
    for buyer in BUYERS {
        let token = admit_buyer(operator, &buyer).await?;
        buyers.push((buyer, exchange.client(&token, session)?));
    }
    Ok(World { sellers, buyers })
}

fn org(name: &str) -> NewOrg {
    NewOrg { name: name.to_owned(), class: "external".to_owned(), credit: "0".to_owned() }
}

async fn admit_seller(operator: &Client, seller: &Seller) -> Result<String, Failure> {
    operator.create_org(&org(seller.name)).await?;
    let (org, name) = (seller.name.to_owned(), seller.name.to_owned());
    let made = operator.apply_provider(&NewProvider { org, name, credit_code: None }).await?;
    for status in ["verified", "active"] {
        operator.set_provider_status(&made.id, status).await?;
    }
    Ok(made.id)
}

/// Gives back the secret of a token of the buyer's user, who may submit and see its own.
async fn admit_buyer(operator: &Client, buyer: &Buyer) -> Result<String, Failure> {
    operator.create_org(&org(buyer.org)).await?;
    let deposit =
        Deposit { amount: buyer.deposit.to_owned(), reference: format!("demo-{}", buyer.org) };
    operator.deposit(buyer.org, &deposit).await?;
    let budget =
        BudgetLimits { per_day: Some(buyer.per_day.to_owned()), ..BudgetLimits::default() };
    operator.create_project(&NewProject { path: buyer.project.to_owned(), budget }).await?;
    let user = NewUser {
        org: buyer.org.to_owned(),
        name: buyer.user.to_owned(),
        role: "member".to_owned(),
    };
    let made = operator.create_user(&user).await?;
    let token = NewToken { user: made.id, label: "demo".to_owned(), expires_in: None };
    Ok(operator.issue_token(&token).await?.secret)
}
