//! `dayan org`, `user`, `token`, `project` and `budget`: who there is, what they may do and spend.

use dayan_wire::{BudgetLimits, Deposit, NewOrg, NewPriorityMost, NewProject, NewRole, NewToken};
use dayan_wire::{NewUser, Org, Project, Token, User};
use serde_json::json;

use super::session::{Session, amount_arg, money_arg, org_slug, pick, seconds_arg, user_id};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View, money, or_dash};
use crate::words::Word;

/// Organisations
#[derive(Debug, clap::Subcommand)]
pub enum OrgCommand {
    /// Adds an organisation
    Create {
        /// Its slug
        name: String,
        /// Which prices it is offered
        #[arg(long, default_value = "external", value_parser = ["internal", "partner", "external"])]
        class: String,
        /// How far below zero its balance may go
        #[arg(long, value_name = "AMOUNT", default_value = "0", value_parser = amount_arg, allow_hyphen_values = true)]
        credit: String,
    },
    /// Lists organisations
    Ls,
    /// Books a payment that came in
    Deposit {
        /// The organisation: its slug or id
        org: String,
        /// How much, such as `500.00 CNY`
        #[arg(value_parser = money_arg, allow_hyphen_values = true)]
        amount: String,
        /// The bank's reference; the same reference is booked once
        #[arg(long)]
        reference: String,
    },
    /// Says which priority its jobs may have at most; `high` unless said
    Priority {
        /// The organisation: its slug or id
        org: String,
        /// The highest
        #[arg(value_parser = ["low", "normal", "high"])]
        most: String,
    },
}

/// Users
#[derive(Debug, clap::Subcommand)]
pub enum UserCommand {
    /// Adds a user to an organisation
    Create {
        /// Its name
        name: String,
        /// The organisation: its slug or id
        #[arg(long)]
        org: String,
        /// What it may do; a viewer changes nothing
        #[arg(long, default_value = "viewer", value_parser = ["viewer", "member", "owner", "auditor", "operator"])]
        role: String,
    },
    /// Gives a user another role, which holds at once
    Role {
        /// The user: its id, its name or ORG/NAME
        user: String,
        /// What it may do
        #[arg(value_parser = ["viewer", "member", "owner", "auditor", "operator"])]
        role: String,
    },
    /// Removes a user and ends its tokens; what it submitted stays
    Rm {
        /// The user: its id, its name or ORG/NAME
        user: String,
    },
    /// Lists users
    Ls {
        /// Only of this organisation
        #[arg(long)]
        org: Option<String>,
    },
}

/// Access tokens
#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Makes a token and shows its secret, once
    Issue {
        /// The user: its id, its name or ORG/NAME
        user: String,
        /// What for
        #[arg(long, default_value = "")]
        label: String,
        /// After how long it ends
        #[arg(long, value_name = "TIME", value_parser = seconds_arg)]
        expires: Option<u32>,
    },
    /// Lists tokens, without their secrets
    Ls,
    /// Ends a token
    Revoke {
        /// The token's id
        id: String,
    },
}

/// Projects
#[derive(Debug, clap::Subcommand)]
pub enum ProjectCommand {
    /// Adds a project
    Create {
        /// ORG/PROJECT
        path: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// Lists projects
    Ls,
}

/// Limits of a project's spending
#[derive(Debug, clap::Args)]
pub struct BudgetArgs {
    #[command(subcommand)]
    command: Option<BudgetCommand>,
}

/// What to do with budgets
#[derive(Debug, clap::Subcommand)]
pub enum BudgetCommand {
    /// Lists projects with their limits and what has gone against them
    Ls,
    /// Changes a project's limits; those that are not named stay
    Set {
        /// ORG/PROJECT
        project: String,
        #[command(flatten)]
        limits: Limits,
    },
}

/// `none` takes a limit away
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Limits {
    /// Of one job, or `none`
    #[arg(long, value_name = "AMOUNT", value_parser = limit_arg, allow_hyphen_values = true)]
    per_job: Option<Limit>,
    /// Of a day, or `none`
    #[arg(long, value_name = "AMOUNT", value_parser = limit_arg, allow_hyphen_values = true)]
    per_day: Option<Limit>,
    /// Of a month, or `none`
    #[arg(long, value_name = "AMOUNT", value_parser = limit_arg, allow_hyphen_values = true)]
    per_month: Option<Limit>,
    /// Warn at these shares of a limit, in percent: 80,95
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100))]
    warn: Vec<u32>,
}

/// A limit as typed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Limit {
    /// No limit.
    None,
    /// This much.
    Amount(String),
}

fn limit_arg(text: &str) -> Result<Limit, String> {
    if text == "none" { Ok(Limit::None) } else { amount_arg(text).map(Limit::Amount) }
}

impl Limits {
    /// These limits where they are named, else those there are.
    fn over(&self, now: &BudgetLimits) -> BudgetLimits {
        let choose = |typed: &Option<Limit>, now: &Option<String>| match typed {
            None => now.clone(),
            Some(Limit::None) => None,
            Some(Limit::Amount(amount)) => Some(amount.clone()),
        };
        let permille: Vec<u32> = self.warn.iter().map(|percent| percent * 10).collect();
        BudgetLimits {
            per_job: choose(&self.per_job, &now.per_job),
            per_day: choose(&self.per_day, &now.per_day),
            per_month: choose(&self.per_month, &now.per_month),
            warn_permille: if permille.is_empty() { now.warn_permille.clone() } else { permille },
        }
    }
}

/// Runs `dayan org`.
pub async fn org(command: &OrgCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        OrgCommand::Ls => session.out.show(&client.orgs().await?)?,
        OrgCommand::Create { name, class, credit } => {
            let new = NewOrg { name: name.clone(), class: class.clone(), credit: credit.clone() };
            let made = client.create_org(&new).await?;
            session.out.value("id", &json!({ "id": made.id }), None)?;
        }
        OrgCommand::Deposit { org, amount, reference } => {
            let slug = org_slug(&client, org).await?;
            let deposit = Deposit { amount: amount.clone(), reference: reference.clone() };
            let repeated = client.deposit(&slug, &deposit).await?.repeated;
            let word = if repeated { Word::DepositedBefore } else { Word::Deposited };
            let said = Said::with(word, "org", &slug).and("amount", amount);
            let said = said.and("reference", reference);
            let data = json!({ "org": slug, "amount": amount, "reference": reference,
                "repeated": repeated });
            session.out.done(&data, &said)?;
        }
        OrgCommand::Priority { org, most } => {
            let rows = client.orgs().await?;
            let lang = client.lang();
            let row = pick(&rows, Word::KindOrg, org, lang, |o| vec![&o.id, &o.name])?;
            client.set_priority_most(&row.id, &NewPriorityMost { most: most.clone() }).await?;
            let said = Said::with(Word::PriorityMostSet, "org", &row.name).and("most", most);
            session.out.done(&json!({ "org": row.name, "most": most }), &said)?;
        }
    }
    Ok(Exit::Ok)
}

/// Runs `dayan user`.
pub async fn user(command: &UserCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        UserCommand::Ls { org } => {
            let org = match org {
                Some(org) => Some(org_slug(&client, org).await?),
                None => None,
            };
            session.out.show(&client.users(org.as_deref()).await?)?;
        }
        UserCommand::Create { name, org, role } => {
            let org = org_slug(&client, org).await?;
            let new = NewUser { org, name: name.clone(), role: role.clone() };
            let made = client.create_user(&new).await?;
            session.out.value("id", &json!({ "id": made.id }), None)?;
        }
        UserCommand::Role { user, role } => {
            let id = user_id(&client, user).await?;
            client.set_role(&id, &NewRole { role: role.clone() }).await?;
            let said = Said::with(Word::RoleSet, "user", user).and("role", role);
            session.out.done(&json!({ "id": id, "role": role }), &said)?;
        }
        UserCommand::Rm { user } => {
            let id = user_id(&client, user).await?;
            client.remove_user(&id).await?;
            session.out.done(&json!({ "id": id }), &Said::with(Word::UserRemoved, "user", user))?;
        }
    }
    Ok(Exit::Ok)
}

/// Runs `dayan token`.
pub async fn token(command: &TokenCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        TokenCommand::Ls => session.out.show(&client.tokens().await?)?,
        TokenCommand::Issue { user, label, expires } => {
            let user = user_id(&client, user).await?;
            let new = NewToken { user, label: label.clone(), expires_in: *expires };
            let issued = client.issue_token(&new).await?;
            let said = Said::with(Word::TokenIssued, "id", &issued.id);
            let data = json!({ "id": issued.id, "secret": issued.secret });
            session.out.value("secret", &data, Some(&said))?;
        }
        TokenCommand::Revoke { id } => {
            client.revoke_token(id).await?;
            session.out.done(&json!({ "id": id }), &Said::with(Word::Revoked, "id", id))?;
        }
    }
    Ok(Exit::Ok)
}

/// Runs `dayan project`.
pub async fn project(command: &ProjectCommand, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match command {
        ProjectCommand::Ls => session.out.show(&client.projects().await?)?,
        ProjectCommand::Create { path, limits } => {
            let budget = limits.over(&BudgetLimits::default());
            let made = client.create_project(&NewProject { path: path.clone(), budget }).await?;
            session.out.value("id", &json!({ "id": made.id }), None)?;
        }
    }
    Ok(Exit::Ok)
}

/// Runs `dayan budget`.
pub async fn budget(args: &BudgetArgs, session: &Session) -> Result<Exit, Failure> {
    let client = session.client()?;
    match args.command.as_ref().unwrap_or(&BudgetCommand::Ls) {
        BudgetCommand::Ls => session.out.show(&client.projects().await?)?,
        BudgetCommand::Set { project, limits } => {
            let rows = client.projects().await?;
            let lang = client.lang();
            let row = pick(&rows, Word::KindProject, project, lang, |p| vec![&p.id, &p.path])?;
            let budget = limits.over(&row.budget);
            client.set_budget(&row.id, &budget).await?;
            let data = json!({ "id": row.id, "path": row.path, "budget": budget });
            session.out.done(&data, &Said::with(Word::BudgetSet, "project", &row.path))?;
        }
    }
    Ok(Exit::Ok)
}

impl Show for Vec<Org> {
    fn table(&self, view: &View) -> String {
        let heads =
            [Word::Org, Word::BuyerClass, Word::Balance, Word::Held, Word::Created, Word::Id];
        let mut grid = Grid::new(view, &heads);
        for org in self {
            grid.row([
                Cell::text(&org.name),
                Cell::text(&org.class),
                Cell::number(money(&org.balance, &org.currency)),
                Cell::number(money(&org.held, &org.currency)),
                Cell::text(view.time(&org.created_at)),
                Cell::id(&org.id),
            ]);
        }
        grid.finish()
    }
}

impl Show for Vec<User> {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::new(view, &[Word::User, Word::Org, Word::Role, Word::Id]);
        for user in self {
            grid.row([
                Cell::text(&user.name),
                Cell::text(&user.org),
                Cell::state(&user.role),
                Cell::id(&user.id),
            ]);
        }
        grid.finish()
    }
}

impl Show for Vec<Token> {
    fn table(&self, view: &View) -> String {
        let heads = [Word::Id, Word::User, Word::Label, Word::Issued, Word::Expires];
        let mut grid = Grid::new(view, &heads);
        for token in self {
            grid.row([
                Cell::id(&token.id),
                Cell::text(&token.user),
                Cell::text(&token.label),
                Cell::text(view.time(&token.issued_at)),
                Cell::text(view.time_or_dash(token.expires_at.as_deref())),
            ]);
        }
        grid.finish()
    }
}

/// What was spent, marked where a share of its limit was reached that the project is warned of.
fn with_warning(spent: &str, permille: u32) -> String {
    match permille {
        0 => spent.to_owned(),
        _ => format!("{spent} (!{}%)", permille / 10),
    }
}

impl Show for Vec<Project> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Project,
            Word::PerJob,
            Word::Today,
            Word::PerDay,
            Word::ThisMonth,
            Word::PerMonth,
            Word::Held,
            Word::Currency,
        ];
        let mut grid = Grid::new(view, &heads);
        for project in self {
            let limit = |limit: &Option<String>| Cell::number(or_dash(limit.clone(), |l| l));
            grid.row([
                Cell::text(&project.path),
                limit(&project.budget.per_job),
                Cell::number(with_warning(&project.spent_today, project.warned_today)),
                limit(&project.budget.per_day),
                Cell::number(with_warning(&project.spent_month, project.warned_month)),
                limit(&project.budget.per_month),
                Cell::number(&project.held),
                Cell::text(&project.currency),
            ]);
        }
        grid.finish()
    }
}

#[cfg(test)]
#[path = "access_tests.rs"]
mod tests;
