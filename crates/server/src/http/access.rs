//! Organisations, users, tokens, projects and payments.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use dayan_exchange::shares::standings;
use dayan_exchange::{Action, Command, Made, Resource, Role, Weighed};
use dayan_market::BuyerClass;
use dayan_spec::Priority;
use dayan_units::{Micro, Money, Span, TokenId, UserId};
use dayan_wire as wire;

use super::Problems;
use super::extract::{Body, Caller, Path, id, whole};
use crate::app::{Shared, digest};
use crate::problem::Failure;
use crate::random::secret;
use crate::writer::Live;

/// What was made.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub struct Created {
    /// Its id.
    pub id: String,
}

pub(super) fn created(id: &impl ToString) -> (StatusCode, Json<Created>) {
    (StatusCode::CREATED, Json(Created { id: id.to_string() }))
}

pub(super) fn unexpected() -> Failure {
    Failure::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "server.bug",
        "the decision made something else",
        "report it with what you sent",
    )
}

pub(super) fn amount(text: &str) -> Result<Micro, Failure> {
    Micro::parse_decimal(text).map_err(|error| {
        Failure::invalid("request.amount", error.to_string(), "write a decimal such as `60.00`")
    })
}

pub(super) fn buyer_class(name: &str) -> Result<BuyerClass, Failure> {
    BuyerClass::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| {
        Failure::invalid(
            "org.class",
            format!("`{}` is no buyer class", name.chars().take(40).collect::<String>()),
            "use internal, partner or external",
        )
    })
}

fn limits(budget: &wire::BudgetLimits) -> Result<dayan_market::BudgetLimits, Failure> {
    let limit = |text: &Option<String>| text.as_deref().map(amount).transpose();
    let usual = dayan_market::BudgetLimits::default();
    Ok(dayan_market::BudgetLimits {
        per_job: limit(&budget.per_job)?,
        per_day: limit(&budget.per_day)?,
        per_month: limit(&budget.per_month)?,
        warn_permille: if budget.warn_permille.is_empty() {
            usual.warn_permille
        } else {
            budget.warn_permille.clone()
        },
    })
}

/// Organisations you may see.
#[utoipa::path(get, path = "/v1/orgs", responses((status = 200, body = wire::Page<wire::Org>), Problems))]
pub async fn list_orgs(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Org>>, Failure> {
    let scope = caller.scope(Resource::Org, Action::Read)?;
    let list = app.writer.ask(move |live| {
        let orgs = live.state.access.orgs.values();
        orgs.filter(|org| scope.is_none_or(|own| own == org.id))
            .map(|org| org_of(live, org))
            .collect()
    });
    Ok(Json(whole(list.await?)))
}

fn org_of(live: &Live, org: &dayan_exchange::Org) -> wire::Org {
    let account = live.state.ledger.account(org.account);
    wire::Org {
        id: org.id.to_string(),
        name: org.name.clone(),
        class: org.class.name().to_owned(),
        balance: account.map_or(Micro::ZERO, dayan_ledger::Account::available).decimal(),
        held: account.map_or(Micro::ZERO, |account| account.debits_pending).decimal(),
        currency: live.state.settings.currency.to_string(),
        created_at: org.created_at.to_string(),
        weight: org.weight,
        priority_most: org.priority_most.as_str().to_owned(),
    }
}

/// A new organisation.
#[utoipa::path(post, path = "/v1/orgs", request_body = wire::NewOrg,
    responses((status = 201, body = Created), Problems))]
pub async fn create_org(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewOrg>,
) -> Result<(StatusCode, Json<Created>), Failure> {
    let command = Command::CreateOrg {
        name: new.name,
        class: buyer_class(&new.class)?,
        credit: amount(&new.credit)?,
    };
    match app.command(caller.actor(), command).await? {
        Made::Org(id) => Ok(created(&id)),
        _ => Err(unexpected()),
    }
}

/// Money came in for an organisation.
#[utoipa::path(post, path = "/v1/orgs/{name}/deposits", request_body = wire::Deposit,
    params(("name" = String, Path, description = "The organisation's slug.")),
    responses((status = 200, body = wire::Deposited), Problems))]
pub async fn deposit(
    State(app): State<Shared>,
    caller: Caller,
    Path(name): Path<String>,
    Body(deposit): Body<wire::Deposit>,
) -> Result<Json<wire::Deposited>, Failure> {
    let money: Money = deposit.amount.parse().map_err(|error: dayan_units::MoneyError| {
        Failure::invalid("deposit.amount", error.to_string(), "write it like `500.00 CNY`")
    })?;
    let books = app.writer.ask(|live| live.state.settings.currency).await?;
    if money.currency != books {
        return Err(Failure::invalid(
            "deposit.currency",
            format!("the books are in {books}, not {}", money.currency),
            "pay in the currency of the exchange",
        ));
    }
    let command = Command::Deposit { org: name, amount: money.micro, reference: deposit.reference };
    let made = app.command(caller.actor(), command).await?;
    Ok(Json(wire::Deposited { repeated: made == Made::Nothing }))
}

fn role(name: &str) -> Result<Role, Failure> {
    Role::from_name(name).ok_or_else(|| {
        Failure::invalid(
            "user.role",
            format!("`{}` is no role", name.chars().take(40).collect::<String>()),
            "use viewer, member, owner, auditor or operator",
        )
    })
}

/// Users you may see.
#[utoipa::path(get, path = "/v1/users", responses((status = 200, body = wire::Page<wire::User>), Problems))]
pub async fn list_users(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::User>>, Failure> {
    let scope = caller.scope(Resource::User, Action::Read)?;
    let list = app.writer.ask(move |live| {
        let access = &live.state.access;
        let users = access.users.values().filter(|user| scope.is_none_or(|own| own == user.org));
        let row = |user: &dayan_exchange::User| wire::User {
            id: user.id.to_string(),
            org: access.orgs.get(&user.org).map_or_else(String::new, |org| org.name.clone()),
            name: user.name.clone(),
            role: user.role.name().to_owned(),
        };
        users.map(row).collect()
    });
    Ok(Json(whole(list.await?)))
}

/// A new user; without a role it is a viewer.
#[utoipa::path(post, path = "/v1/users", request_body = wire::NewUser,
    responses((status = 201, body = Created), Problems))]
pub async fn create_user(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewUser>,
) -> Result<(StatusCode, Json<Created>), Failure> {
    let role = role(&new.role)?;
    let command = Command::CreateUser { org: new.org, name: new.name, role };
    match app.command(caller.actor(), command).await? {
        Made::User(id) => Ok(created(&id)),
        _ => Err(unexpected()),
    }
}

/// Another role for a user. It holds at once, for all its tokens; the last operator stays one, and none takes its own role away.
#[utoipa::path(put, path = "/v1/users/{id}/role", request_body = wire::NewRole,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_role(
    State(app): State<Shared>,
    caller: Caller,
    Path(user): Path<String>,
    Body(new): Body<wire::NewRole>,
) -> Result<StatusCode, Failure> {
    let user = id("user", &user)?;
    let command = Command::SetRole { user, role: role(&new.role)? };
    app.command(caller.actor(), command).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a user and ends its tokens; what it submitted stays. The last operator cannot go.
#[utoipa::path(delete, path = "/v1/users/{id}", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn remove_user(
    State(app): State<Shared>,
    caller: Caller,
    Path(user): Path<String>,
) -> Result<StatusCode, Failure> {
    let user = id("user", &user)?;
    app.command(caller.actor(), Command::RemoveUser { user }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tokens you may see, without their secrets.
#[utoipa::path(get, path = "/v1/tokens", responses((status = 200, body = wire::Page<wire::Token>), Problems))]
pub async fn list_tokens(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Token>>, Failure> {
    let scope = caller.scope(Resource::Token, Action::Read)?;
    let list = app.writer.ask(move |live| {
        let access = &live.state.access;
        let own = |token: &&dayan_exchange::Token| {
            let org = access.users.get(&token.user).map(|user| user.org);
            scope.is_none_or(|own| Some(own) == org)
        };
        let row = |token: &dayan_exchange::Token| wire::Token {
            id: token.id.to_string(),
            user: token.user.to_string(),
            label: token.label.clone(),
            issued_at: token.issued_at.to_string(),
            expires_at: token.expires_at.map(|at| at.to_string()),
        };
        access.tokens.values().filter(own).map(row).collect()
    });
    Ok(Json(whole(list.await?)))
}

/// A new token. Its secret is shown this once.
#[utoipa::path(post, path = "/v1/tokens", request_body = wire::NewToken,
    responses((status = 201, body = wire::TokenIssued), Problems))]
pub async fn issue_token(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewToken>,
) -> Result<(StatusCode, Json<wire::TokenIssued>), Failure> {
    let user: UserId = id("user", &new.user)?;
    let secret = secret("dyt");
    let expires_at = new.expires_in.map(|secs| app.now().plus(Span::from_secs(secs.into())));
    let command =
        Command::IssueToken { user, label: new.label, digest: digest(&secret), expires_at };
    match app.command(caller.actor(), command).await? {
        Made::Token(id) => {
            let issued = wire::TokenIssued { id: id.to_string(), secret };
            Ok((StatusCode::CREATED, Json(issued)))
        }
        _ => Err(unexpected()),
    }
}

/// Ends a token at once.
#[utoipa::path(delete, path = "/v1/tokens/{id}", params(("id" = String, Path)),
    responses((status = 204), Problems))]
pub async fn revoke_token(
    State(app): State<Shared>,
    caller: Caller,
    Path(token): Path<String>,
) -> Result<StatusCode, Failure> {
    let token: TokenId = id("token", &token)?;
    app.command(caller.actor(), Command::RevokeToken { token }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Projects you may see, with their budgets and what has gone against them.
#[utoipa::path(get, path = "/v1/projects", responses((status = 200, body = wire::Page<wire::Project>), Problems))]
pub async fn list_projects(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Project>>, Failure> {
    let scope = caller.scope(Resource::Project, Action::Read)?;
    let list = app.writer.ask(move |live| {
        let projects = live.state.access.projects.values();
        let own = projects.filter(|project| scope.is_none_or(|own| own == project.org));
        own.map(|project| project_of(live, project)).collect()
    });
    Ok(Json(whole(list.await?)))
}

fn project_of(live: &Live, project: &dayan_exchange::Project) -> wire::Project {
    let periods = live.state.settings.periods(live.now);
    let budget = project.budget.limits();
    let text = |limit: Option<Micro>| limit.map(Micro::decimal);
    wire::Project {
        id: project.id.to_string(),
        path: project.path.clone(),
        budget: wire::BudgetLimits {
            per_job: text(budget.per_job),
            per_day: text(budget.per_day),
            per_month: text(budget.per_month),
            warn_permille: budget.warn_permille.clone(),
        },
        spent_today: project.budget.day(&periods).spent.decimal(),
        spent_month: project.budget.month(&periods).spent.decimal(),
        warned_today: project.budget.day(&periods).warned,
        warned_month: project.budget.month(&periods).warned,
        held: project.budget.month(&periods).held.decimal(),
        currency: live.state.settings.currency.to_string(),
        weight: project.weight,
    }
}

/// How the projects stand to each other that have a job which has not ended: what each had of late
/// beside its share, and how far behind its jobs stand for it.
#[utoipa::path(get, path = "/v1/shares",
    responses((status = 200, body = wire::Page<wire::Share>), Problems))]
pub async fn shares(
    State(app): State<Shared>,
    caller: Caller,
) -> Result<Json<wire::Page<wire::Share>>, Failure> {
    let scope = caller.scope(Resource::Project, Action::Read)?;
    let list = app.writer.ask(move |live| {
        let access = &live.state.access;
        let standings = standings(&live.state, live.now).into_iter();
        let own = standings.filter(|(_, standing)| scope.is_none_or(|own| own == standing.org));
        let mut rows: Vec<wire::Share> = own
            .filter_map(|(project, standing)| {
                let project = access.projects.get(&project)?;
                Some(wire::Share {
                    project: project.path.clone(),
                    org_weight: access.orgs.get(&standing.org)?.weight,
                    org_share_permille: standing.org_share,
                    org_had_permille: standing.org_had,
                    weight: project.weight,
                    share_permille: standing.share,
                    had_permille: standing.had,
                    behind_s: standing.behind.micros().unsigned_abs() / 1_000_000,
                })
            })
            .collect();
        rows.sort_by(|one, other| one.project.cmp(&other.project));
        rows
    });
    Ok(Json(whole(list.await?)))
}

/// Another weight for an organisation, which the exchange's operator gives.
#[utoipa::path(put, path = "/v1/orgs/{id}/weight", request_body = wire::NewWeight,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_org_weight(
    State(app): State<Shared>,
    caller: Caller,
    Path(org): Path<String>,
    Body(new): Body<wire::NewWeight>,
) -> Result<StatusCode, Failure> {
    let of = Weighed::Org(id("organisation", &org)?);
    let weight = new.weight;
    app.command(caller.actor(), Command::SetWeight { of, weight }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The highest priority that an organisation's jobs may have, which the exchange's operator says. What was
/// submitted before keeps its own.
#[utoipa::path(put, path = "/v1/orgs/{id}/priority", request_body = wire::NewPriorityMost,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_org_priority(
    State(app): State<Shared>,
    caller: Caller,
    Path(org): Path<String>,
    Body(new): Body<wire::NewPriorityMost>,
) -> Result<StatusCode, Failure> {
    let org = id("organisation", &org)?;
    let mut all = [Priority::Low, Priority::Normal, Priority::High].into_iter();
    let most = all.find(|one| one.as_str() == new.most).ok_or_else(|| {
        let title = format!("`{}` is no priority", crate::tes::shown(&new.most));
        Failure::invalid("priority.unknown", title, "say low, normal or high")
    })?;
    app.command(caller.actor(), Command::SetPriorityMost { org, most }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Another weight for a project, among those of its organisation.
#[utoipa::path(put, path = "/v1/projects/{id}/weight", request_body = wire::NewWeight,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_project_weight(
    State(app): State<Shared>,
    caller: Caller,
    Path(project): Path<String>,
    Body(new): Body<wire::NewWeight>,
) -> Result<StatusCode, Failure> {
    let of = Weighed::Project(id("project", &project)?);
    let weight = new.weight;
    app.command(caller.actor(), Command::SetWeight { of, weight }).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A new project.
#[utoipa::path(post, path = "/v1/projects", request_body = wire::NewProject,
    responses((status = 201, body = Created), Problems))]
pub async fn create_project(
    State(app): State<Shared>,
    caller: Caller,
    Body(new): Body<wire::NewProject>,
) -> Result<(StatusCode, Json<Created>), Failure> {
    let command = Command::CreateProject { budget: limits(&new.budget)?, path: new.path };
    match app.command(caller.actor(), command).await? {
        Made::Project(id) => Ok(created(&id)),
        _ => Err(unexpected()),
    }
}

/// New limits for a project; they hold from the next lease on.
#[utoipa::path(put, path = "/v1/projects/{id}/budget", request_body = wire::BudgetLimits,
    params(("id" = String, Path)), responses((status = 204), Problems))]
pub async fn set_budget(
    State(app): State<Shared>,
    caller: Caller,
    Path(project): Path<String>,
    Body(budget): Body<wire::BudgetLimits>,
) -> Result<StatusCode, Failure> {
    let project = id("project", &project)?;
    let command = Command::SetBudget { project, budget: limits(&budget)? };
    app.command(caller.actor(), command).await?;
    Ok(StatusCode::NO_CONTENT)
}
