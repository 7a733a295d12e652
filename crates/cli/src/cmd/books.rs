//! `dayan usage`, `invoice`, `ledger`, `audit` and `backup`: what was used, what it came to, and
//! whether the books are right.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dayan_store::{Fault, Location, Store};
use dayan_wire::{
    Account, Finding, Invoice, InvoiceSummary, JournalCheck, LedgerCheck, LinePrice, UsageRow,
};
use serde_json::{Value, json};

use super::session::Session;
use crate::exit::{Exit, Failure, Said, one_line};
use crate::output::{Cell, Format, Grid, Show, View, money, or_dash};
use crate::words::Word;

/// Lines of an invoice a person reads at once.
const LINES_SHOWN: usize = 50;
/// Findings a person reads at once.
const FINDINGS_SHOWN: usize = 200;

/// What was used, by month, and what it came to
#[derive(Debug, clap::Args)]
pub struct Usage {
    /// By what it is added up
    #[arg(long, default_value = "project", value_parser = ["project", "provider"])]
    by: String,
    /// The month, such as 2026-11; all of them unless told
    #[arg(long, value_name = "YYYY-MM", value_parser = period_arg)]
    period: Option<String>,
}

fn period_arg(text: &str) -> Result<String, String> {
    let form = || "a month is written like `2026-11`".to_owned();
    let (year, month) = text.split_once('-').ok_or_else(form)?;
    let digits =
        |part: &str, count| part.len() == count && part.bytes().all(|b| b.is_ascii_digit());
    let real = matches!(month.parse::<u8>(), Ok(1..=12));
    if digits(year, 4) && digits(month, 2) && real { Ok(text.to_owned()) } else { Err(form()) }
}

/// Bills
#[derive(Debug, clap::Subcommand)]
pub enum InvoiceCommand {
    /// Lists invoices
    Ls,
    /// Shows an invoice
    Get {
        /// The invoice's id
        id: String,
        /// As a file in this format: FOCUS (CSV), JSON, or HTML for a browser
        #[arg(long, value_parser = ["focus", "json", "html"])]
        format: Option<String>,
    },
}

/// The books
#[derive(Debug, clap::Subcommand)]
pub enum LedgerCommand {
    /// Derives the books again from all transfers and compares
    Check(Offline),
    /// Lists accounts
    Accounts,
}

/// The journal
#[derive(Debug, clap::Subcommand)]
pub enum AuditCommand {
    /// Checks the journal's chain of hashes, and that replaying it gives the state
    Verify(Offline),
    /// Lists what agents said that cannot be so
    Findings,
}

/// Where to look
#[derive(Debug, clap::Args)]
pub struct Offline {
    /// Look into the data folder of an exchange on this machine instead of asking it
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Offline {
    /// What `look` finds in the data folder, if one is named.
    fn found<T>(&self, look: fn(&Path) -> Result<T, String>) -> Result<Option<T>, Failure> {
        let Some(dir) = &self.data else { return Ok(None) };
        // A folder with a wrong name must not be made into an empty exchange by opening it.
        if !dir.is_dir() {
            return Err(Failure::usage(Said::with(
                Word::NoDataFolder,
                "dir",
                dir.display().to_string(),
            )));
        }
        let failed = |text| Failure::Told { code: None, text, exit: Exit::Failed };
        look(dir).map(Some).map_err(failed)
    }
}

/// Has the exchange write a copy of its data
#[derive(Debug, clap::Args)]
pub struct Backup {
    /// A folder on the server's machine that does not exist yet
    dir: PathBuf,
}

/// Fills an empty data folder or database from a backup
#[derive(Debug, clap::Args)]
pub struct Restore {
    /// The backup, as `dayan backup` made it
    from: PathBuf,
    /// The data folder to fill; keys and certificates are files of their own in it
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The PostgreSQL database to fill instead of an embedded one
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
}

/// Shows usage.
pub async fn usage(args: &Usage, session: &Session) -> Result<Exit, Failure> {
    let rows = session.client()?.usage(&args.by, args.period.as_deref()).await?;
    session.out.show(&rows)?;
    Ok(Exit::Ok)
}

/// Runs `dayan invoice`.
pub async fn invoice(command: &InvoiceCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        InvoiceCommand::Ls => session.out.show(&client.invoices().await?)?,
        InvoiceCommand::Get { id, format: Some(format) } => {
            let lang = session.out.view.lang.code();
            session.out.raw(&client.invoice_file(id, format, lang).await?)?;
        }
        InvoiceCommand::Get { id, format: None } => {
            session.out.show(&client.invoice(id).await?)?;
        }
    }
    Ok(Exit::Ok)
}

/// Runs `dayan ledger`.
pub async fn ledger(command: &LedgerCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        LedgerCommand::Accounts => {
            session.out.show(&session.client()?.accounts().await?)?;
            Ok(Exit::Ok)
        }
        LedgerCommand::Check(offline) => {
            let check = match offline.found(dayan_server::offline::ledger_check)? {
                Some(check) => check,
                None => session.client()?.ledger_check().await?,
            };
            session.out.show(&check)?;
            Ok(if check.balanced { Exit::Ok } else { Exit::Failed })
        }
    }
}

/// Runs `dayan audit`.
pub async fn audit(command: &AuditCommand, session: &Session) -> Result<Exit, Failure> {
    match command {
        AuditCommand::Findings => {
            session.out.show(&session.client()?.findings(FINDINGS_SHOWN).await?)?;
            Ok(Exit::Ok)
        }
        AuditCommand::Verify(offline) => {
            let check = match offline.found(dayan_server::offline::audit_verify)? {
                Some(check) => check,
                None => session.client()?.audit_verify().await?,
            };
            session.out.show(&check)?;
            if !check.intact {
                session.out.say(&Said::plain(Word::JournalDamaged));
            }
            Ok(sound(&check))
        }
    }
}

fn sound(check: &JournalCheck) -> Exit {
    match (check.intact, check.replay_equal) {
        (true, None | Some(true)) => Exit::Ok,
        (false, _) | (true, Some(false)) => Exit::Failed,
    }
}

/// Runs `dayan backup`.
pub async fn backup(args: &Backup, session: &Session) -> Result<Exit, Failure> {
    // The server takes absolute paths only; ours is right where both are one machine.
    let absolute = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
    let path = absolute.display().to_string();
    let report = session.client()?.backup(&path).await?;
    match session.out.format {
        Format::Table => session.out.say(&Said::with(Word::BackedUp, "dir", &path)),
        Format::Json | Format::Yaml => {}
    }
    session.out.show(&Report(report))?;
    Ok(Exit::Ok)
}

/// Runs `dayan restore`.
pub fn restore(args: &Restore, session: &Session) -> Result<Exit, Failure> {
    let location = match &args.database_url {
        Some(url) => Location::Postgres(url.clone()),
        None => Location::Sqlite(args.data.clone()),
    };
    let to = args.data.display().to_string();
    let report = Store::restore_from(&args.from, &location).map_err(not_restored)?;
    let data = json!({ "seq": report.head.seq, "hash": report.head.hash.to_string() });
    let said = Said::with(Word::Restored, "dir", to).and("seq", report.head.seq.to_string());
    session.out.done(&data, &said)?;
    Ok(Exit::Ok)
}

/// A fault of the store says itself what it was about.
fn not_restored(fault: Fault) -> Failure {
    let code = Some(fault.code());
    Failure::Told { code, text: format!("{:#}", anyhow::Error::from(fault)), exit: Exit::Failed }
}

/// A flat report of a server, as names and values.
#[derive(Debug, serde::Serialize)]
#[serde(transparent)]
pub struct Report(pub Value);

impl Show for Report {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::plain(view);
        for (name, value) in self.0.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            grid.row([Cell::text(name), Cell::text(text)]);
        }
        grid.finish()
    }
}

impl Show for Vec<UsageRow> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Subject,
            Word::Period,
            Word::Lines,
            Word::CoreHours,
            Word::CardHours,
            Word::Amount,
        ];
        let mut grid = Grid::new(view, &heads);
        for row in self {
            grid.row([
                Cell::text(&row.subject),
                Cell::text(&row.period),
                Cell::number(row.lines),
                Cell::number(&row.core_hours),
                Cell::number(&row.card_hours),
                Cell::number(money(&row.amount, &row.currency)),
            ]);
        }
        grid.finish()
    }
}

impl Show for Vec<InvoiceSummary> {
    fn table(&self, view: &View) -> String {
        let heads = [Word::Invoice, Word::Org, Word::Period, Word::State, Word::Total];
        let mut grid = Grid::new(view, &heads);
        for row in self {
            grid.row([
                Cell::id(&row.id),
                Cell::text(&row.org),
                Cell::text(&row.period),
                Cell::state(&row.state),
                Cell::number(money(&row.total, &row.currency)),
            ]);
        }
        grid.finish()
    }
}

/// Prices of an hour and the share that is paid: `0.36/core 0.01/GB ×60%`.
fn line_price(price: &LinePrice) -> String {
    let costs = |amount: &str| amount.bytes().any(|byte| (b'1'..=b'9').contains(&byte));
    let of = [(&price.core_hour, "core"), (&price.gb_hour, "GB"), (&price.card_hour, "card")];
    let parts = of.iter().filter(|(amount, _)| costs(amount));
    let mut text = parts.map(|(amount, of)| format!("{amount}/{of}")).collect::<Vec<_>>().join(" ");
    if !matches!(price.permille, 0 | 1_000) {
        let _ = write!(text, " ×{}%", price.permille / 10);
    }
    text
}

impl Show for Invoice {
    fn table(&self, view: &View) -> String {
        let of = &self.summary;
        let mut head = Grid::plain(view);
        head.pair(Word::Invoice, Cell::text(&of.id));
        head.pair(Word::Issuer, Cell::text(&self.issuer));
        head.pair(Word::Org, Cell::text(&of.org));
        head.pair(Word::Period, Cell::text(&of.period));
        head.pair(Word::State, Cell::state(&of.state));
        head.pair(Word::Total, Cell::text(money(&of.total, &of.currency)));
        let heads = [Word::Job, Word::Name, Word::Project, Word::Deadline, Word::Amount];
        let mut jobs = Grid::new(view, &heads);
        for job in &self.jobs {
            let kept = match job.deadline_met {
                Some(true) => view.word(Word::DeadlineMet),
                Some(false) => view.word(Word::DeadlineMissed),
                None => "-",
            };
            jobs.row([
                Cell::id(&job.job),
                Cell::text(&job.name),
                Cell::text(&job.project),
                Cell::text(kept),
                Cell::number(money(&job.amount, &of.currency)),
            ]);
        }
        let heads = [
            Word::Attempt,
            Word::Provider,
            Word::From,
            Word::Seconds,
            Word::CoreSeconds,
            Word::GbSeconds,
            Word::Price,
            Word::Amount,
        ];
        let mut lines = Grid::new(view, &heads);
        for line in self.lines.iter().take(LINES_SHOWN) {
            lines.row([
                Cell::id(&line.attempt),
                Cell::text(&line.provider),
                Cell::text(view.time(&line.from)),
                Cell::number(&line.billed_s),
                Cell::number(&line.core_s),
                Cell::number(&line.gb_s),
                Cell::number(line_price(&line.price)),
                Cell::number(money(&line.amount, &line.currency)),
            ]);
        }
        let mut out = head.finish();
        for part in [jobs.finish(), lines.finish()] {
            if !part.is_empty() {
                out.push('\n');
                out.push_str(&part);
            }
        }
        if self.lines.len() > LINES_SHOWN {
            let (shown, all) = (LINES_SHOWN.to_string(), self.lines.len().to_string());
            let args = [("shown", shown.as_str()), ("all", &all), ("id", &of.id)];
            let _ = writeln!(out, "{}", view.lang.fill(Word::MoreLines, &args));
        }
        out
    }
}

impl Show for Vec<Account> {
    fn table(&self, view: &View) -> String {
        let heads = [Word::Kind, Word::Owner, Word::Balance, Word::Held, Word::Id];
        let mut grid = Grid::new(view, &heads);
        for account in self {
            grid.row([
                Cell::text(&account.kind),
                Cell::text(&account.owner),
                Cell::number(money(&account.balance, &account.currency)),
                Cell::number(money(&account.held, &account.currency)),
                Cell::text(&account.id),
            ]);
        }
        grid.finish()
    }
}

fn yes(holds: bool) -> Cell {
    Cell::state(if holds { "yes" } else { "no" })
}

impl Show for LedgerCheck {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::plain(view);
        grid.pair(Word::Balanced, yes(self.balanced));
        grid.pair(Word::Accounts, Cell::text(self.accounts.to_string()));
        grid.pair(Word::Transfers, Cell::text(self.transfers.to_string()));
        grid.pair(Word::Debits, Cell::text(money(&self.debits, &self.currency)));
        grid.pair(Word::Credits, Cell::text(money(&self.credits, &self.currency)));
        let mut out = grid.finish();
        for difference in &self.differences {
            let _ = writeln!(out, "  {}", one_line(difference));
        }
        out
    }
}

impl Show for JournalCheck {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::plain(view);
        grid.pair(Word::Intact, yes(self.intact));
        grid.pair(Word::Rows, Cell::text(self.rows.to_string()));
        grid.pair(Word::NewestHash, Cell::text(&self.head));
        let replay = or_dash(self.replay_equal, |same| if same { "yes" } else { "no" }.to_owned());
        grid.pair(Word::ReplayEqual, Cell::state(replay));
        if let Some(broken) = &self.broken {
            grid.pair(Word::BrokenAt, Cell::text(broken));
        }
        grid.finish()
    }
}

impl Show for Vec<Finding> {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::new(view, &[Word::At, Word::Agent, Word::Reason, Word::Message]);
        for finding in self {
            grid.row([
                Cell::text(view.time(&finding.at)),
                Cell::text(&finding.agent),
                Cell::text(&finding.code),
                Cell::text(&finding.message),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
