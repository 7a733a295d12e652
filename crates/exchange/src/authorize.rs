//! Who may do what: one table of role × resource × action, and the question whose a thing is.
//! A snapshot test prints the whole table, so that no cell changes unseen.

use dayan_units::OrgId;

use crate::command::Actor;
use crate::refusal::Refusal;
use crate::state::Role;

/// What is acted upon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Resource {
    /// The exchange itself: its settings, its findings, its backup.
    Exchange,
    /// An organisation.
    Org,
    /// A user.
    User,
    /// An access token.
    Token,
    /// A project and its budget.
    Project,
    /// Money paid in.
    Deposit,
    /// A provider's standing.
    Provider,
    /// An invitation for an agent.
    Invitation,
    /// A pool.
    Pool,
    /// An offer.
    Offer,
    /// A quote.
    Quote,
    /// A job, its tasks and their logs.
    Job,
    /// Rated lines, usage, invoices.
    Bill,
    /// The books and the journal.
    Ledger,
}

impl Resource {
    /// Every resource, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::Exchange,
        Self::Org,
        Self::User,
        Self::Token,
        Self::Project,
        Self::Deposit,
        Self::Provider,
        Self::Invitation,
        Self::Pool,
        Self::Offer,
        Self::Quote,
        Self::Job,
        Self::Bill,
        Self::Ledger,
    ];
}

/// What is done to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Look at it.
    Read,
    /// Make a new one.
    Create,
    /// Change or control it.
    Update,
    /// End it.
    Delete,
}

impl Action {
    /// Every action, in the order of the table.
    pub const ALL: [Self; 4] = [Self::Read, Self::Create, Self::Update, Self::Delete];
}

/// How far a right reaches.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Grant {
    /// Not at all.
    No,
    /// What belongs to the own organisation.
    Own,
    /// Everything.
    All,
}

/// The table.
pub const fn grant(role: Role, resource: Resource, action: Action) -> Grant {
    match role {
        Role::Operator => Grant::All,
        Role::Auditor => match action {
            Action::Read => Grant::All,
            Action::Create | Action::Update | Action::Delete => Grant::No,
        },
        Role::Viewer => viewer(resource, action),
        Role::Member => member(resource, action),
        Role::Owner => owner(resource, action),
    }
}

const fn viewer(resource: Resource, action: Action) -> Grant {
    match (action, resource) {
        // The market is public to everyone who is let in at all.
        (Action::Read, Resource::Pool | Resource::Offer | Resource::Provider) => Grant::All,
        (
            Action::Read,
            Resource::Org
            | Resource::Project
            | Resource::Quote
            | Resource::Job
            | Resource::Bill
            | Resource::Deposit,
        ) => Grant::Own,
        (
            Action::Read,
            Resource::Exchange
            | Resource::User
            | Resource::Token
            | Resource::Invitation
            | Resource::Ledger,
        )
        | (Action::Create | Action::Update | Action::Delete, _) => Grant::No,
    }
}

const fn member(resource: Resource, action: Action) -> Grant {
    match (resource, action) {
        (Resource::Job, Action::Create | Action::Update | Action::Delete)
        | (Resource::Quote, Action::Create) => Grant::Own,
        (_, Action::Read | Action::Create | Action::Update | Action::Delete) => {
            viewer(resource, action)
        }
    }
}

const fn owner(resource: Resource, action: Action) -> Grant {
    match (resource, action) {
        (
            Resource::User | Resource::Token,
            Action::Read | Action::Create | Action::Update | Action::Delete,
        )
        | (Resource::Project, Action::Create | Action::Update)
        | (Resource::Provider | Resource::Invitation, Action::Create)
        | (Resource::Invitation, Action::Read)
        | (Resource::Pool, Action::Update | Action::Delete)
        | (Resource::Offer, Action::Create | Action::Update | Action::Delete) => Grant::Own,
        (_, Action::Read | Action::Create | Action::Update | Action::Delete) => {
            member(resource, action)
        }
    }
}

/// Whom to ask for it: the roles that may, as the table of rights has them.
pub fn who_may(resource: Resource, action: Action) -> String {
    let with = |reach: Grant| {
        let reaches = move |role: &Role| grant(*role, resource, action) == reach;
        Role::ALL.into_iter().filter(reaches).map(|role| format!("{}s", role.name()))
    };
    let mut roles: Vec<String> = with(Grant::Own).collect();
    if let Some(last) = roles.last_mut() {
        last.push_str(" of your organisation");
    }
    roles.extend(with(Grant::All));
    // There is no cell that is closed to operators, so that the list is never empty.
    let last = roles.pop().unwrap_or_default();
    let before = roles.join(", ");
    let list = if before.is_empty() { last } else { format!("{before} and {last}") };
    format!("{list} may; ask one")
}

/// What is acted upon, if the actor may do this to it. A name or an id that is not there and one of
/// another organisation get the same answer, `unknown`: whoever tries names learns nothing. For what
/// everybody may read, [`authorize`] says more.
pub fn authorized<'a, T>(
    actor: &Actor,
    resource: Resource,
    action: Action,
    found: Option<&'a T>,
    owner: impl Fn(&T) -> OrgId,
    unknown: impl FnOnce() -> Refusal,
) -> Result<&'a T, Refusal> {
    // Whoever could not do it to its own hears that first, whatever it named.
    let own = match actor {
        Actor::User { org, .. } => Some(*org),
        Actor::System | Actor::Agent { .. } => None,
    };
    authorize(actor, resource, action, own)?;
    let allowed = |found: &&T| authorize(actor, resource, action, Some(owner(found))).is_ok();
    found.filter(allowed).ok_or_else(unknown)
}

/// May the actor do this to what belongs to `owner`? The exchange itself may do everything; an
/// agent only what its own call does, which is checked there.
pub fn authorize(
    actor: &Actor,
    resource: Resource,
    action: Action,
    owner: Option<OrgId>,
) -> Result<(), Refusal> {
    let Actor::User { org, role, .. } = actor else {
        return match actor {
            Actor::System => Ok(()),
            Actor::Agent { .. } | Actor::User { .. } => Err(Refusal::forbidden(
                "auth.agent",
                "an agent's token is only good for its own calls",
                "use a user's token",
            )),
        };
    };
    match grant(*role, resource, action) {
        Grant::All => Ok(()),
        Grant::Own if owner == Some(*org) => Ok(()),
        Grant::Own => Err(Refusal::forbidden(
            "auth.other_org",
            format!("{resource:?} belongs to another organisation").to_lowercase(),
            "use a token of that organisation",
        )),
        Grant::No => Err(Refusal {
            advice: who_may(resource, action).into(),
            ..Refusal::forbidden(
                "auth.role",
                format!("role `{}` may not {action:?} {resource:?}", role.name()).to_lowercase(),
                "",
            )
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_may_not_hears_who_may() {
        let check = |resource, action, expect: &str| {
            assert_eq!(who_may(resource, action), format!("{expect} may; ask one"));
        };
        check(Resource::Exchange, Action::Read, "auditors and operators");
        check(Resource::Exchange, Action::Create, "operators");
        let expect = "members, owners of your organisation and operators";
        check(Resource::Job, Action::Create, expect);
        let expect = "owners of your organisation, auditors and operators";
        check(Resource::User, Action::Read, expect);
        for resource in Resource::ALL {
            for action in Action::ALL {
                let advice = who_may(resource, action);
                for role in Role::ALL {
                    let may = grant(role, resource, action) != Grant::No;
                    let named = advice.contains(&format!("{}s", role.name()));
                    assert_eq!(named, may, "{role:?} {action:?} {resource:?}: {advice}");
                }
            }
        }
    }
}
