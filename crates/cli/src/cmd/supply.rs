//! `dayan pools`, `pool`, `provider`, `resolve` and `net matrix`: who sells, what there is, and how
//! far it is.

use dayan_wire::{
    Attribute, Closure, NetMatrix, NewInvitation, NewProvider, Pool, Provider, Record, Reliability,
    StandardUnits,
};
use serde::Serialize;
use serde_json::{Value, json};

use super::session::{Session, org_slug, pool_id, provider_id, seconds_arg};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Format, Grid, Show, View, money};
use crate::words::Word;

/// Sellers of compute
#[derive(Debug, clap::Subcommand)]
pub enum ProviderCommand {
    /// Has an organisation apply as a provider
    Apply {
        /// The provider's slug
        name: String,
        /// The organisation: its slug or id
        #[arg(long)]
        org: String,
        /// Its unified social credit code
        #[arg(long, value_name = "CODE")]
        credit_code: Option<String>,
    },
    /// Lists providers
    Ls,
    /// States that a provider is who it says
    Verify(OfProvider),
    /// Lets a provider sell
    Activate(OfProvider),
    /// Stops a provider from getting new work
    Suspend(OfProvider),
    /// Ends a provider for good
    Retire(OfProvider),
    /// Makes a one-time join token for an agent of a provider
    Invite {
        /// The provider: its slug or id
        provider: String,
        /// After how long the token ends
        #[arg(long, value_name = "TIME", value_parser = seconds_arg)]
        expires: Option<u32>,
    },
}

/// One provider
#[derive(Debug, clap::Args)]
pub struct OfProvider {
    /// The provider: its slug or id
    provider: String,
}

/// Capacity of providers
#[derive(Debug, clap::Subcommand)]
pub enum PoolCommand {
    /// Lists pools
    Ls,
    /// Shows a pool's machines and what was measured of it
    Show(OfPool),
    /// States that a pool is what it says
    Verify(OfPool),
    /// Lets a pool take work
    Activate(OfPool),
    /// Stops a pool from getting new work
    Suspend(OfPool),
    /// Ends a pool for good
    Retire(OfPool),
    /// Closes a pool, or some of its machines, for a time: nothing starts that could run into it
    Close(Close),
    /// Takes back every closure that is still to come or under way
    Reopen(OfPool),
    /// Has a pool's agent prove its inventory now
    Challenge(OfPool),
}

/// When a pool is closed
#[derive(Debug, clap::Args)]
pub struct Close {
    /// The pool: its id, its name, PROVIDER/NAME or its compute-resource name
    pool: String,
    /// From when, like 2026-12-01T08:00:00+08:00; from now on unless told
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// Until when
    #[arg(long, value_name = "TIME")]
    until: String,
    /// Only this machine; may be given several times
    #[arg(long = "node", value_name = "NAME")]
    nodes: Vec<String>,
}

/// One pool
#[derive(Debug, clap::Args)]
pub struct OfPool {
    /// The pool: its id, its name, PROVIDER/NAME or its compute-resource name
    pool: String,
}

/// What a compute-resource name stands for
#[derive(Debug, clap::Args)]
pub struct Resolve {
    /// The name
    name: String,
}

/// Delays
#[derive(Debug, clap::Subcommand)]
pub enum NetCommand {
    /// One-way delays between places, with what they are based on
    Matrix {
        /// Cities; all that have pools unless told
        places: Vec<String>,
    },
}

/// Runs `dayan provider`.
pub async fn provider(command: &ProviderCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        ProviderCommand::Ls => session.out.show(&client.providers().await?)?,
        ProviderCommand::Apply { name, org, credit_code } => {
            let (name, credit_code) = (name.clone(), credit_code.clone());
            let new = NewProvider { org: org_slug(&client, org).await?, name, credit_code };
            let made = client.apply_provider(&new).await?;
            session.out.value("id", &json!({ "id": made.id }), None)?;
        }
        ProviderCommand::Verify(of) => set_provider(of, "verified", session).await?,
        ProviderCommand::Activate(of) => set_provider(of, "active", session).await?,
        ProviderCommand::Suspend(of) => set_provider(of, "suspended", session).await?,
        ProviderCommand::Retire(of) => set_provider(of, "retired", session).await?,
        ProviderCommand::Invite { provider, expires } => {
            let id = provider_id(&client, provider).await?;
            let invitation = client.invite(&id, &NewInvitation { expires_in: *expires }).await?;
            let said = Said::with(Word::Invited, "url", client.target().url.as_str())
                .and("until", session.out.view.time(&invitation.expires_at));
            let data = json!({ "token": invitation.token, "expires_at": invitation.expires_at });
            session.out.value("token", &data, Some(&said))?;
        }
    }
    Ok(Exit::Ok)
}

async fn set_provider(of: &OfProvider, status: &str, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let id = provider_id(&client, &of.provider).await?;
    client.set_provider_status(&id, status).await?;
    moved(&id, &of.provider, status, session)
}

fn moved(id: &str, name: &str, status: &str, session: &Session) -> Result<(), Failure> {
    let said = Said::with(Word::NowIs, "name", name).and("state", session.out.view.state(status));
    session.out.done(&json!({ "id": id, "status": status }), &said)
}

/// Lists pools.
pub async fn pools(session: &Session) -> Result<Exit, Failure> {
    session.out.show(&session.client()?.pools().await?)?;
    Ok(Exit::Ok)
}

/// Runs `dayan pool`.
pub async fn pool(command: &PoolCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        PoolCommand::Ls => return pools(session).await,
        PoolCommand::Show(of) => {
            let id = pool_id(&client, &of.pool).await?;
            let (pool, measured) = (client.pool(&id).await?, client.measured(&id).await?);
            session.out.show(&ShownPool { pool, measured })?;
        }
        PoolCommand::Verify(of) => set_pool(of, "verified", session).await?,
        PoolCommand::Activate(of) => set_pool(of, "active", session).await?,
        PoolCommand::Suspend(of) => set_pool(of, "suspended", session).await?,
        PoolCommand::Retire(of) => set_pool(of, "retired", session).await?,
        PoolCommand::Close(args) => {
            let id = pool_id(&client, &args.pool).await?;
            let mut closures = client.pool(&id).await?.closures;
            closures.push(Closure {
                nodes: args.nodes.clone(),
                from: args.from.clone(),
                until: args.until.clone(),
            });
            client.set_closures(&id, &closures).await?;
            let said = Said::with(Word::PoolCloses, "name", &args.pool);
            session.out.done(&json!({ "id": id }), &said.and("until", args.until.clone()))?;
        }
        PoolCommand::Reopen(of) => {
            let id = pool_id(&client, &of.pool).await?;
            client.set_closures(&id, &[]).await?;
            let said = Said::with(Word::PoolReopened, "name", &of.pool);
            session.out.done(&json!({ "id": id }), &said)?;
        }
        PoolCommand::Challenge(of) => {
            let id = pool_id(&client, &of.pool).await?;
            client.challenge(&id).await?;
            let said = Said::with(Word::Challenged, "name", &of.pool);
            session.out.done(&json!({ "id": id }), &said)?;
        }
    }
    Ok(Exit::Ok)
}

async fn set_pool(of: &OfPool, status: &str, session: &Session) -> Result<(), Failure> {
    let client = session.client()?;
    let id = pool_id(&client, &of.pool).await?;
    client.set_pool_status(&id, status).await?;
    moved(&id, &of.pool, status, session)
}

/// Says what a name stands for.
pub async fn resolve(args: &Resolve, session: &Session) -> Result<Exit, Failure> {
    session.out.show(&session.client()?.resolve(&args.name).await?)?;
    Ok(Exit::Ok)
}

/// Runs `dayan net`.
pub async fn net(command: &NetCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        NetCommand::Matrix { places } => {
            let matrix = session.client()?.net_matrix(places).await?;
            match session.out.format {
                Format::Table if matrix.places.len() < 2 => {
                    session.out.say(&Said::plain(Word::TwoPlaces));
                }
                Format::Table | Format::Json | Format::Yaml => session.out.show(&matrix)?,
            }
        }
    }
    Ok(Exit::Ok)
}

impl Show for Vec<Provider> {
    fn table(&self, view: &View) -> String {
        let heads = [Word::Provider, Word::Org, Word::Status, Word::Pools, Word::Earned, Word::Id];
        let mut grid = Grid::new(view, &heads);
        for provider in self {
            grid.row([
                Cell::text(&provider.name),
                Cell::text(&provider.org),
                Cell::state(&provider.status),
                Cell::number(provider.pools),
                Cell::number(money(&provider.earned, &provider.currency)),
                Cell::id(&provider.id),
            ]);
        }
        grid.finish()
    }
}

impl Show for Vec<Pool> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Pool,
            Word::Provider,
            Word::Site,
            Word::Status,
            Word::Engine,
            Word::Nodes,
            Word::Cores,
            Word::Heard,
            Word::Id,
        ];
        let mut grid = Grid::new(view, &heads);
        for pool in self {
            let up = pool.nodes.iter().filter(|node| node.up).count();
            grid.row([
                Cell::text(&pool.name),
                Cell::text(&pool.provider),
                Cell::text(&pool.site),
                Cell::state(&pool.status),
                Cell::text(&pool.engine),
                Cell::number(format!("{up}/{}", pool.nodes.len())),
                Cell::number(format!("{}/{}", cores(pool, |n| &n.cpus_used), shown_cores(pool))),
                Cell::text(view.time_or_dash(pool.heard_at.as_deref())),
                Cell::id(&pool.id),
            ]);
        }
        grid.finish()
    }
}

/// All cores a pool shows.
pub fn shown_cores(pool: &Pool) -> dayan_units::MilliCpu {
    cores(pool, |node| &node.cpus)
}

/// The sum of decimals of a pool's nodes, exact to a thousandth of a core.
/// What every node of it has.
fn features(pool: &Pool) -> String {
    let mut nodes = pool.nodes.iter();
    let Some(first) = nodes.next() else { return String::new() };
    let mut all = first.features.clone();
    nodes.for_each(|node| all.retain(|feature| node.features.contains(feature)));
    all.into_iter().collect::<Vec<_>>().join(" ")
}

fn cores(pool: &Pool, of: impl Fn(&dayan_wire::Node) -> &String) -> dayan_units::MilliCpu {
    let sum = pool.nodes.iter().fold(0u64, |sum, node| {
        let cores = of(node).parse().unwrap_or(dayan_units::MilliCpu::ZERO);
        sum.saturating_add(cores.0)
    });
    dayan_units::MilliCpu(sum)
}

/// A pool with what was measured of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct ShownPool {
    /// The pool.
    #[serde(flatten)]
    pub pool: Pool,
    /// What was measured of it.
    pub measured: Vec<Attribute>,
}

impl Show for ShownPool {
    fn table(&self, view: &View) -> String {
        let pool = &self.pool;
        let mut head = Grid::plain(view);
        head.pair(Word::Pool, Cell::text(&pool.name));
        head.pair(Word::Id, Cell::id(&pool.id));
        head.pair(Word::ResourceName, Cell::text(&pool.crn));
        head.pair(Word::Provider, Cell::text(&pool.provider));
        head.pair(Word::Site, Cell::text(&pool.site));
        head.pair(Word::Status, Cell::state(&pool.status));
        head.pair(Word::Engine, Cell::text(&pool.engine));
        head.pair(Word::Fence, Cell::text(&pool.fence));
        head.pair(Word::Isolation, Cell::text(pool.isolation.as_deref().unwrap_or("-")));
        if let Some(fabric) = &pool.fabric {
            head.pair(Word::Fabric, Cell::text(fabric));
        }
        for (name, value) in &pool.cluster {
            head.row([Cell::text(name), Cell::text(value)]);
        }
        let features = features(pool);
        if !features.is_empty() {
            head.pair(Word::Features, Cell::text(features));
        }
        head.pair(Word::Heard, Cell::text(view.time_or_dash(pool.heard_at.as_deref())));
        head.pair(Word::Proven, Cell::text(view.time_or_dash(pool.verified_at.as_deref())));
        for standard in &pool.standard {
            let StandardUnits { unit, per_hour, formula, method } = standard;
            let text = format!("{per_hour} {unit} (formula {formula}, {method})");
            head.pair(Word::StandardUnits, Cell::text(text));
        }
        if let Some(Reliability { permille, attempts, failed }) = pool.reliability {
            let tenths = format!("{}.{} %", permille / 10, permille % 10);
            head.pair(Word::Reliability, Cell::text(format!("{tenths} ({failed}/{attempts})")));
        }
        if let Some(places) = pool.queue_ahead {
            head.pair(Word::QueueAhead, Cell::number(places));
        }
        if let Some(others) = &pool.others {
            let cards = if others.accelerators == "0" {
                String::new()
            } else {
                format!(", {} {}", others.accelerators, view.word(Word::Cards))
            };
            let memory = dayan_units::Bytes(others.memory);
            let held = format!("{} {}, {memory}{cards}", others.cpus, view.word(Word::Cores));
            head.pair(Word::HeldByOthers, Cell::text(held));
            let waiting = format!("{} / {}", others.waiting, others.ours_waiting);
            head.pair(Word::WaitingThere, Cell::text(waiting));
            if let Some(at) = &others.forecast_at {
                head.pair(Word::Forecast, Cell::text(view.time(at)));
            }
            if let Some(accounts) = &others.accounts {
                let count = format!("{} / {}", accounts.differed, accounts.compared);
                let last = accounts.last.as_ref().map(|last| format!(" ({last})"));
                let text = format!("{count}{}", last.unwrap_or_default());
                head.pair(Word::AccountsDiffer, Cell::text(text));
            }
            head.pair(Word::SeenAt, Cell::text(view.time(&others.seen_at)));
        }
        for Closure { nodes, from, until } in &pool.closures {
            let from = view.time_or_dash(from.as_deref());
            let text = format!("{from} – {} {}", view.time(until), nodes.join(", "));
            head.pair(Word::Closed, Cell::text(text.trim_end()));
        }
        let mut out = head.finish();
        let heads = [Word::Node, Word::Up, Word::Cores, Word::Memory, Word::Cards];
        let mut nodes = Grid::new(view, &heads);
        for node in &pool.nodes {
            let model = node.accelerator.as_deref().unwrap_or_default();
            nodes.row([
                Cell::text(&node.name),
                Cell::state(if node.up { "yes" } else { "no" }),
                Cell::number(format!("{}/{}", node.cpus_used, node.cpus)),
                Cell::number(dayan_units::Bytes(node.memory)),
                Cell::text(format!("{} {model}", node.accelerators).trim_end()),
            ]);
        }
        for part in [nodes.finish(), attributes(&self.measured, view)] {
            if !part.is_empty() {
                out.push('\n');
                out.push_str(&part);
            }
        }
        out
    }

    fn data(&self) -> Value {
        let mut data = serde_json::to_value(self).expect("wire types have text keys");
        super::measure::complete(&mut data["measured"]);
        data
    }
}

fn attributes(rows: &[Attribute], view: &View) -> String {
    let heads = [
        Word::Attribute,
        Word::Measured,
        Word::Nominal,
        Word::Unit,
        Word::Standing,
        Word::Method,
        Word::At,
    ];
    let mut grid = Grid::new(view, &heads);
    for row in rows {
        let amount = |value: Option<u64>| super::measure::scaled(value);
        grid.row([
            Cell::text(&row.name),
            Cell::number(amount(row.measured)),
            Cell::number(amount(row.nominal)),
            Cell::text(&row.unit),
            Cell::state(&row.standing),
            Cell::text(row.method.as_deref().unwrap_or("-")),
            Cell::text(view.time_or_dash(row.at.as_deref())),
        ]);
    }
    grid.finish()
}

impl Show for Record {
    fn table(&self, view: &View) -> String {
        let mut head = Grid::plain(view);
        head.pair(Word::ResourceName, Cell::text(&self.crn));
        if !self.aliases.is_empty() {
            head.pair(Word::Aliases, Cell::text(self.aliases.join(", ")));
        }
        head.pair(Word::Owner, Cell::text(&self.owner));
        head.pair(Word::Issuer, Cell::text(&self.issuer));
        head.pair(Word::Status, Cell::state(&self.status));
        head.pair(Word::Since, Cell::text(view.time(&self.valid_from)));
        head.pair(Word::Proven, Cell::text(view.time_or_dash(self.verified_at.as_deref())));
        for (name, value) in &self.attributes {
            // What is confirmed is what is usual: only another standing is worth a word.
            let standing = self.attestations.iter().find(|attested| attested.attribute == *name);
            let word = standing.map_or("", |attested| attested.standing.as_str());
            let value = match word {
                "" | "confirmed" => value.clone(),
                word => format!("{value} ({word})"),
            };
            head.row([Cell::text(format!("  {name}")), Cell::text(value)]);
        }
        let measured = attributes(&self.measured, view);
        let gap = if measured.is_empty() { "" } else { "\n" };
        format!("{}{gap}{measured}", head.finish())
    }

    fn data(&self) -> Value {
        let mut data = serde_json::to_value(self).expect("wire types have text keys");
        super::measure::complete(&mut data["measured"]);
        data
    }
}

impl Show for NetMatrix {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::From,
            Word::To,
            Word::OneWay,
            Word::DelayClass,
            Word::Basis,
            Word::Layer,
            Word::At,
        ];
        let mut grid = Grid::new(view, &heads);
        for cell in &self.cells {
            grid.row([
                Cell::text(&cell.from),
                Cell::text(&cell.to),
                Cell::number(format!("{:.2} ms", cell.one_way_ms)),
                Cell::text(cell.class.as_deref().unwrap_or("-")),
                Cell::text(&cell.basis),
                Cell::text(&cell.layer),
                Cell::text(view.time_or_dash(cell.as_of.as_deref())),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
#[path = "supply_tests.rs"]
mod tests;
