//! Organisations, users, tokens, projects, and money that comes in.

use dayan_ledger::{Amount, Transfer, TransferKind};
use dayan_market::{BudgetLimits, BuyerClass};
use dayan_schedule::Quota;
use dayan_spec::{JobSpec, Priority};
use dayan_units::{
    ExchangeId, Micro, NAME_CHARS_MAX, OrgId, ProjectId, Time, TokenId, UserId, is_name,
};

use super::{Ask, Decision, Made};
use crate::authorize::{Action, Resource, authorize, authorized};
use crate::command::{Actor, Weighed};
use crate::event::Event;
use crate::ids::{accounts, deposit_id};
use crate::refusal::Refusal;
use crate::state::{
    Digest, Org, Project, Role, Settings, Token, User, WEIGHT, WEIGHT_MAX, any_priority,
};

/// Labels and references are free text that a person must be able to read in a table.
const LABEL_CHARS_MAX: usize = 120;
/// One payment is at most a thousand million: more is a slip of the pen.
const DEPOSIT_MAX: Micro = Micro::from_units(1_000_000_000);
/// The operator's own organisation.
const OPERATOR_ORG: &str = "operator";

/// Names stand in paths, tables and bills.
pub(super) fn check_slug(what: &str, name: &str) -> Result<(), Refusal> {
    if is_name(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(NAME_CHARS_MAX).collect();
    Err(Refusal::invalid(
        "name.malformed",
        format!("`{shown}` is no name for {what}"),
        "use at most 40 lower-case letters, digits, hyphens, dots and underscores, the first of them a letter or a \
         digit",
    ))
}

pub(super) fn check_label(text: &str) -> Result<(), Refusal> {
    if text.chars().count() <= LABEL_CHARS_MAX && !text.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::invalid(
        "label.malformed",
        "a label or reference is too long or has control characters",
        "use at most 120 printable characters",
    ))
}

impl Ask<'_> {
    /// The organisation, if the actor may do this to what is its own.
    pub(super) fn org_named(
        &self,
        name: &str,
        resource: Resource,
        action: Action,
    ) -> Result<&Org, Refusal> {
        let found = self.state.access.org_by_name(name);
        authorized(
            self.actor,
            resource,
            action,
            found,
            |org| org.id,
            || {
                Refusal::not_found(
                    "org.unknown",
                    format!("there is no organisation `{name}`"),
                    "list them with `dayan org ls`",
                )
            },
        )
    }

    pub(super) fn found(
        &self,
        name: &str,
        operator_token: Digest,
        settings: Settings,
    ) -> Result<Decision, Refusal> {
        if self.state.exchange.is_some() {
            return Err(Refusal::conflict(
                "exchange.founded",
                "this exchange was founded before",
                "use it as it is, or another data folder",
            ));
        }
        check_slug("an exchange", name)?;
        let exchange = ExchangeId::from_bits(self.ids.bits());
        let org = OrgId::from_bits(self.ids.bits());
        let user = UserId::from_bits(self.ids.bits());
        let token = TokenId::from_bits(self.ids.bits());
        let events = vec![
            Event::Founded { exchange, name: name.to_owned(), settings },
            Event::OrgCreated {
                org: Org {
                    id: org,
                    name: OPERATOR_ORG.to_owned(),
                    class: BuyerClass::Internal,
                    account: accounts::consumer(org),
                    created_at: self.now,
                    weight: WEIGHT,
                    quota: Quota::default(),
                    priority_most: any_priority(),
                },
                credit: Micro::ZERO,
            },
            Event::UserCreated {
                user: User { id: user, org, name: "operator".to_owned(), role: Role::Operator },
            },
            Event::TokenIssued {
                token: Token {
                    id: token,
                    user,
                    label: "first start".to_owned(),
                    digest: operator_token,
                    issued_at: self.now,
                    expires_at: None,
                },
            },
        ];
        Ok(Decision { events, effects: Vec::new(), made: Made::Org(org) })
    }

    pub(super) fn create_org(
        &self,
        name: &str,
        class: BuyerClass,
        credit: Micro,
    ) -> Result<Decision, Refusal> {
        authorize(self.actor, Resource::Org, Action::Create, None)?;
        check_slug("an organisation", name)?;
        if credit < Micro::ZERO || credit > DEPOSIT_MAX {
            return Err(Refusal::invalid(
                "org.credit",
                format!("a credit line of {credit} is not between 0 and {DEPOSIT_MAX}"),
                "give a credit line of zero or more",
            ));
        }
        if self.state.access.org_by_name(name).is_some() {
            return Err(Refusal::conflict(
                "org.exists",
                format!("there is an organisation `{name}` already"),
                "choose another name",
            ));
        }
        let id = OrgId::from_bits(self.ids.bits());
        let org = Org {
            id,
            name: name.to_owned(),
            class,
            account: accounts::consumer(id),
            created_at: self.now,
            weight: WEIGHT,
            quota: Quota::default(),
            priority_most: any_priority(),
        };
        Ok(Decision::making(Event::OrgCreated { org, credit }, Made::Org(id)))
    }

    pub(super) fn create_user(
        &self,
        org: &str,
        name: &str,
        role: Role,
    ) -> Result<Decision, Refusal> {
        let org = self.org_named(org, Resource::User, Action::Create)?.id;
        self.may_hand_out(role)?;
        check_slug("a user", name)?;
        if self.state.access.users.values().any(|user| user.org == org && user.name == name) {
            return Err(Refusal::conflict(
                "user.exists",
                format!("there is a user `{name}` in that organisation already"),
                "choose another name",
            ));
        }
        let id = UserId::from_bits(self.ids.bits());
        let user = User { id, org, name: name.to_owned(), role };
        Ok(Decision::making(Event::UserCreated { user }, Made::User(id)))
    }

    /// Nobody hands out more than the own rights reach.
    fn may_hand_out(&self, role: Role) -> Result<(), Refusal> {
        let may = match self.actor {
            crate::command::Actor::System => true,
            crate::command::Actor::User { role: own, .. } => match role {
                Role::Operator | Role::Auditor => *own == Role::Operator,
                Role::Viewer | Role::Member | Role::Owner => true,
            },
            crate::command::Actor::Agent { .. } => false,
        };
        if may {
            return Ok(());
        }
        Err(Refusal::forbidden(
            "auth.role_above",
            format!("only an operator makes an {}", role.name()),
            "ask the operator of the exchange",
        ))
    }

    pub(super) fn set_role(&self, user: UserId, role: Role) -> Result<Decision, Refusal> {
        let found = self.user_to(user, Action::Update)?;
        self.may_hand_out(role)?;
        if found.role == role {
            return Ok(Decision::nothing());
        }
        self.leaves_an_operator(found)?;
        Ok(Decision::one(Event::RoleSet { user, role }))
    }

    pub(super) fn remove_user(&self, user: UserId) -> Result<Decision, Refusal> {
        let found = self.user_to(user, Action::Delete)?;
        self.leaves_an_operator(found)?;
        Ok(Decision::one(Event::UserRemoved { user }))
    }

    /// The user, if the actor may do this to it: nobody touches a role that is above the own.
    fn user_to(&self, user: UserId, action: Action) -> Result<&User, Refusal> {
        let found = self.user(user, Resource::User, action)?;
        self.may_hand_out(found.role)?;
        Ok(found)
    }

    fn user(&self, user: UserId, resource: Resource, action: Action) -> Result<&User, Refusal> {
        let unknown = || {
            Refusal::not_found(
                "user.unknown",
                format!("there is no user {user}"),
                "list them with `dayan user ls`",
            )
        };
        let found = self.state.access.users.get(&user);
        authorized(self.actor, resource, action, found, |of| of.org, unknown)
    }

    /// An exchange without an operator could not be run by anybody any more.
    fn leaves_an_operator(&self, going: &User) -> Result<(), Refusal> {
        let mut users = self.state.access.users.values();
        let another = |user: &User| user.role == Role::Operator && user.id != going.id;
        if going.role != Role::Operator {
            return Ok(());
        }
        let is_itself = matches!(self.actor, Actor::User { user, .. } if *user == going.id);
        if users.any(another) {
            if is_itself {
                return Err(Refusal::conflict(
                    "user.own_role",
                    format!("`{}` would shut itself out", going.name),
                    "have another operator do it",
                ));
            }
            return Ok(());
        }
        Err(Refusal::conflict(
            "user.last_operator",
            format!("`{}` is the only operator there is", going.name),
            "make another user operator first",
        ))
    }

    pub(super) fn issue_token(
        &self,
        user: UserId,
        label: &str,
        digest: Digest,
        expires_at: Option<Time>,
    ) -> Result<Decision, Refusal> {
        let of = self.user(user, Resource::Token, Action::Create)?;
        self.may_hand_out(of.role)?;
        check_label(label)?;
        if expires_at.is_some_and(|end| end <= self.now) {
            return Err(Refusal::invalid(
                "token.expired",
                "the token would have ended before it begins",
                "give an end that lies ahead",
            ));
        }
        if self.state.access.token_digests.contains_key(&digest) {
            return Err(Refusal::conflict(
                "token.exists",
                "this secret is in use",
                "issue a token with a new secret",
            ));
        }
        let id = TokenId::from_bits(self.ids.bits());
        let token =
            Token { id, user, label: label.to_owned(), digest, issued_at: self.now, expires_at };
        Ok(Decision::making(Event::TokenIssued { token }, Made::Token(id)))
    }

    pub(super) fn revoke_token(&self, token: TokenId) -> Result<Decision, Refusal> {
        let access = &self.state.access;
        let found = access.tokens.get(&token).and_then(|found| access.users.get(&found.user));
        authorized(
            self.actor,
            Resource::Token,
            Action::Delete,
            found,
            |user| user.org,
            || {
                Refusal::not_found(
                    "token.unknown",
                    format!("there is no live token {token}"),
                    "list them with `dayan token ls`",
                )
            },
        )?;
        Ok(Decision::one(Event::TokenRevoked { token }))
    }

    pub(super) fn create_project(
        &self,
        path: &str,
        budget: &BudgetLimits,
    ) -> Result<Decision, Refusal> {
        let parsed: dayan_spec::ProjectPath = path.parse().map_err(|error| {
            Refusal::invalid(
                "project.malformed",
                format!("{error}"),
                "write it like `studio-a/film-3`",
            )
        })?;
        let org = self.org_named(parsed.organisation(), Resource::Project, Action::Create)?.id;
        check_limits(budget)?;
        if self.state.access.project_by_path(path).is_some() {
            return Err(Refusal::conflict(
                "project.exists",
                format!("there is a project `{path}` already"),
                "choose another name",
            ));
        }
        let project = ProjectId::from_bits(self.ids.bits());
        let event =
            Event::ProjectCreated { project, org, path: path.to_owned(), budget: budget.clone() };
        Ok(Decision::making(event, Made::Project(project)))
    }

    pub(super) fn project_to_change(&self, project: ProjectId) -> Result<(), Refusal> {
        let found = self.state.access.projects.get(&project);
        let unknown = || {
            Refusal::not_found(
                "project.unknown",
                format!("there is no project {project}"),
                "list them with `dayan budget`",
            )
        };
        let org = |found: &Project| found.org;
        authorized(self.actor, Resource::Project, Action::Update, found, org, unknown)?;
        Ok(())
    }

    /// What an organisation may have of all there is, all others have less of: the exchange's own
    /// business.
    pub(super) fn org_to_share_with(&self, org: OrgId) -> Result<(), Refusal> {
        let found = self.state.access.orgs.get(&org);
        let unknown = || {
            Refusal::not_found(
                "org.unknown",
                format!("there is no organisation {org}"),
                "list them with `dayan org ls`",
            )
        };
        let own = |found: &Org| found.id;
        authorized(self.actor, Resource::Exchange, Action::Update, found, own, unknown)?;
        Ok(())
    }

    pub(super) fn set_weight(&self, of: Weighed, weight: u32) -> Result<Decision, Refusal> {
        match of {
            Weighed::Project(project) => self.project_to_change(project)?,
            Weighed::Org(org) => self.org_to_share_with(org)?,
        }
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(Refusal::invalid(
                "share.weight",
                format!("a weight is from 1 to {WEIGHT_MAX}, not {weight}"),
                "1 is what all have that nobody gave another; 2 is twice as much",
            ));
        }
        Ok(Decision::one(Event::WeightSet { of, weight }))
    }

    pub(super) fn set_priority_most(
        &self,
        org: OrgId,
        most: Priority,
    ) -> Result<Decision, Refusal> {
        self.org_to_share_with(org)?;
        Ok(Decision::one(Event::PriorityMostSet { org, most }))
    }

    /// May a job of this organisation have the priority that it asks for?
    pub(super) fn check_priority(&self, spec: &JobSpec, org: OrgId) -> Result<(), Refusal> {
        let most = self.state.access.orgs[&org].priority_most;
        if spec.priority <= most {
            return Ok(());
        }
        Err(Refusal::invalid(
            "priority.not_granted",
            format!(
                "the job asks for the priority `{}`, and your organisation may have `{}` at most",
                spec.priority.as_str(),
                most.as_str()
            ),
            "say that one, or ask the exchange's operator (`dayan org priority`)",
        ))
    }

    pub(super) fn set_budget(
        &self,
        project: ProjectId,
        budget: &BudgetLimits,
    ) -> Result<Decision, Refusal> {
        self.project_to_change(project)?;
        check_limits(budget)?;
        Ok(Decision::one(Event::BudgetSet { project, budget: budget.clone() }))
    }

    pub(super) fn deposit(
        &self,
        org: &str,
        amount: Micro,
        reference: &str,
    ) -> Result<Decision, Refusal> {
        let org = self.org_named(org, Resource::Deposit, Action::Create)?;
        check_label(reference)?;
        let amount =
            Amount::new(amount).filter(|sum| sum.micro() <= DEPOSIT_MAX).ok_or_else(|| {
                Refusal::invalid(
                    "deposit.amount",
                    format!(
                        "a payment of {amount} is not more than zero and at most {DEPOSIT_MAX}"
                    ),
                    "give what the bank says came in",
                )
            })?;
        let transfer = Transfer {
            id: deposit_id(org.id, reference),
            kind: TransferKind::Post {
                debit: accounts::own(accounts::BANK),
                credit: org.account,
                amount,
            },
            code: crate::ids::codes::DEPOSIT,
            user_data: org.id.bits(),
            at: self.now,
        };
        match self.state.ledger.check(&transfer) {
            Ok(()) => {
                let (org, reference) = (org.id, reference.to_owned());
                Ok(Decision::making(Event::Deposited { org, reference, transfer }, Made::Booked))
            }
            Err(status) if status.is_repeat() => Ok(Decision::nothing()),
            Err(status) => Err(status.into()),
        }
    }
}

fn check_limits(budget: &BudgetLimits) -> Result<(), Refusal> {
    budget
        .check()
        .map_err(|defect| Refusal::invalid(defect.code(), defect.to_string(), defect.advice()))
}
