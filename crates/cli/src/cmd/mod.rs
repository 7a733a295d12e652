//! The commands: one module for each family, and the list of all of them.

mod access;
mod agent;
mod books;
mod carbon;
mod daemon;
pub mod data;
mod demo;
mod doctor;
mod exec;
mod jobs;
mod license;
mod login;
mod logs;
mod market;
mod measure;
mod plan;
mod plan_diff;
mod quota;
mod registry;
mod schedules;
mod secret;
mod serve;
pub mod session;
mod share;
mod sim;
pub mod submit;
mod supply;
mod workflow;

use clap::{CommandFactory as _, Subcommand};
use serde_json::json;

use crate::args::Cli;
use crate::client::Order;
use crate::exit::{Exit, Failure};
use crate::words::{EXIT_CODES_ZH, Lang};
use session::Session;

/// What can be asked of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    // Work.
    Submit(submit::Submit),
    Plan(plan::Plan),
    Quote(plan::AskQuote),
    Ps(jobs::Ps),
    /// Shows a job: its tasks, its money, where each attempt ran, and why it waits; or a schedule
    Show(jobs::OfJob),
    /// Says why a job waits, when it is expected to start, and what would help
    Explain(jobs::OfJob),
    Logs(logs::Logs),
    Exec(exec::Exec),
    /// Takes a job or one of its tasks back, or ends a schedule
    Cancel(jobs::OfTask),
    /// Runs what has failed or was cancelled again
    Retry(jobs::OfTask),
    /// Starts nothing more of a job or schedule; what runs goes on
    Pause(jobs::OfJob),
    /// Goes on with a paused job or schedule
    Resume(jobs::OfJob),
    /// Files of projects in the exchange's data store
    #[command(subcommand)]
    Data(data::DataCommand),
    /// Secrets of projects
    #[command(subcommand)]
    Secret(secret::SecretCommand),
    // The market.
    Offers(market::Offers),
    /// Lists pools
    Pools,
    Resolve(supply::Resolve),
    /// Delays between places
    #[command(subcommand)]
    Net(supply::NetCommand),
    // Money.
    Usage(books::Usage),
    /// Bills
    #[command(subcommand)]
    Invoice(books::InvoiceCommand),
    /// Limits of projects' spending
    Budget(access::BudgetArgs),
    /// Quotas: what projects and organisations may hold at once, and hold
    Quota(quota::Quotas),
    Carbon(carbon::Carbon),
    License(license::Licenses),
    /// Shares of projects and organisations: who stands before whom among equals
    Share(share::Shares),
    // Running an exchange.
    /// Organisations
    #[command(subcommand)]
    Org(access::OrgCommand),
    /// Users
    #[command(subcommand)]
    User(access::UserCommand),
    /// Access tokens
    #[command(subcommand)]
    Token(access::TokenCommand),
    /// Projects
    #[command(subcommand)]
    Project(access::ProjectCommand),
    /// Sellers of compute
    #[command(subcommand)]
    Provider(supply::ProviderCommand),
    /// Capacity of providers
    #[command(subcommand)]
    Pool(supply::PoolCommand),
    /// Prices of pools
    #[command(subcommand)]
    Offer(market::OfferCommand),
    /// The books
    #[command(subcommand)]
    Ledger(books::LedgerCommand),
    /// The journal
    #[command(subcommand)]
    Audit(books::AuditCommand),
    Backup(books::Backup),
    Restore(books::Restore),
    // Staying.
    Demo(demo::Demo),
    Serve(serve::Serve),
    Agent(Box<agent::Agent>),
    /// Replays traces and logs with the code that runs the exchange
    #[command(subcommand)]
    Sim(sim::SimCommand),
    // This machine and this program.
    Measure(measure::Measure),
    Login(login::Login),
    /// Says whom the token speaks for
    Whoami,
    Doctor(doctor::Doctor),
    /// Prints a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Prints the version
    Version,
    /// What the exit codes mean
    #[command(name = "exit-codes", long_about = EXIT_CODES)]
    ExitCodes,
}

impl Command {
    /// How many threads it is worth.
    pub const fn threads(&self) -> Threads {
        if matches!(self, Self::Demo(_) | Self::Serve(_) | Self::Agent(_)) {
            Threads::Many
        } else {
            Threads::One
        }
    }
}

/// Which runtime a command wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// It asks and shows.
    One,
    /// It stays and serves.
    Many,
}

/// Numbers that scripts may rely on.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done; with --wait: the job succeeded
  1  done, with a bad outcome: with --wait the job failed or was cancelled, books do not
     balance, a check failed; or this machine got in the way
  2  the command line, the configuration or the job file is wrong; nothing was asked
  3  no answer, or the exchange cannot answer now; asking again later may help
  4  the exchange refused; the message has a stable code and says what to do
`dayan exec` ends with the code of the command it ran.";

/// Runs a command.
pub async fn run(command: &Command, session: &Session) -> Result<Exit, Failure> {
    match command {
        Command::Submit(args) => submit::run(args, session).await,
        Command::Plan(args) => plan::plan(args, session).await,
        Command::Quote(args) => plan::quote(args, session).await,
        Command::Ps(args) => jobs::ps(args, session).await,
        Command::Show(args) => jobs::show(args, session).await,
        Command::Explain(args) => jobs::explain(args, session).await,
        Command::Logs(args) => logs::run(args, session).await,
        Command::Exec(args) => exec::run(args, session).await,
        Command::Cancel(args) => jobs::tell(args, Order::Cancel, session).await,
        Command::Retry(args) => jobs::tell(args, Order::Retry, session).await,
        Command::Pause(args) => jobs::tell_job(args, Order::Pause, session).await,
        Command::Resume(args) => jobs::tell_job(args, Order::Resume, session).await,
        Command::Data(command) => data::run(command, session).await,
        Command::Secret(command) => secret::run(command, session).await,
        Command::Offers(args) => market::offers(args, session).await,
        Command::Pools => supply::pools(session).await,
        Command::Resolve(args) => supply::resolve(args, session).await,
        Command::Net(command) => supply::net(command, session).await,
        Command::Usage(args) => books::usage(args, session).await,
        Command::Invoice(command) => books::invoice(command, session).await,
        Command::Budget(args) => access::budget(args, session).await,
        Command::Quota(args) => quota::quota(args, session).await,
        Command::Carbon(args) => carbon::carbon(args, session).await,
        Command::License(args) => license::license(args, session).await,
        Command::Share(args) => share::share(args, session).await,
        Command::Org(command) => access::org(command, session).await,
        Command::User(command) => access::user(command, session).await,
        Command::Token(command) => access::token(command, session).await,
        Command::Project(command) => access::project(command, session).await,
        Command::Provider(command) => supply::provider(command, session).await,
        Command::Pool(command) => supply::pool(command, session).await,
        Command::Offer(command) => market::offer(command, session).await,
        Command::Ledger(command) => books::ledger(command, session).await,
        Command::Audit(command) => books::audit(command, session).await,
        Command::Backup(args) => books::backup(args, session).await,
        Command::Restore(args) => books::restore(args, session),
        Command::Demo(args) => demo::run(args, session).await,
        Command::Serve(args) => serve::run(args, session).await,
        Command::Agent(args) => agent::run(args, session).await,
        Command::Sim(command) => sim::run(command, session),
        Command::Measure(args) => measure::run(args, session),
        Command::Login(args) => login::login(args, session).await,
        Command::Whoami => login::whoami(session).await,
        Command::Doctor(args) => doctor::run(args, session).await,
        Command::Completions { shell } => completions(*shell, session),
        Command::Version => version(session),
        Command::ExitCodes => {
            let text = match session.out.view.lang {
                Lang::En => EXIT_CODES,
                Lang::Zh => EXIT_CODES_ZH,
            };
            session.out.raw(text.as_bytes())?;
            session.out.raw(b"\n")?;
            Ok(Exit::Ok)
        }
    }
}

fn completions(shell: clap_complete::Shell, session: &Session) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "dayan", &mut script);
    session.out.raw(&script)?;
    Ok(Exit::Ok)
}

fn version(session: &Session) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    session.out.value("version", &json!({ "version": version }), None)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod flow_tests;
