//! Who may act: organisations, users, tokens and projects. Tokens are kept as digests; the secret
//! is shown once, at issue, and never enters the state or the journal.

use std::collections::BTreeMap;

use dayan_ledger::AccountId;
use dayan_market::{BudgetState, BuyerClass};
use dayan_schedule::Quota;
use dayan_spec::Priority;
use dayan_units::{OrgId, ProjectId, Time, TokenId, UserId};
use serde::{Deserialize, Serialize};

/// SHA-256 of a secret: what is compared when the secret comes in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Digest(pub [u8; 32]);

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&hex::encode(self.0))
    }
}
impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        let mut bytes = [0u8; 32];
        hex::decode_to_slice(text.as_ref(), &mut bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// What a user may do, from least to most. A new user is a `Viewer`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads what belongs to the own organisation.
    Viewer,
    /// Also submits and controls jobs.
    Member,
    /// Also manages the organisation: users, tokens, projects, budgets, its pools and offers.
    Owner,
    /// Reads everything, changes nothing.
    Auditor,
    /// Runs the exchange.
    Operator,
}

impl Role {
    /// Every role, from least to most.
    pub const ALL: [Self; 5] =
        [Self::Viewer, Self::Member, Self::Owner, Self::Auditor, Self::Operator];

    /// Its written name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Owner => "owner",
            Self::Auditor => "auditor",
            Self::Operator => "operator",
        }
    }
    /// From its written name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// An organisation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// Its slug: lower-case letters, digits and hyphens; unique in the exchange.
    pub name: String,
    /// Which prices it is offered.
    pub class: BuyerClass,
    /// Its prepaid balance.
    pub account: AccountId,
    /// When it was created.
    pub created_at: Time,
    /// Its share among organisations that want something: a part of the sum of their weights.
    #[serde(default = "usual_weight")]
    pub weight: u32,
    /// The most that all of its projects may hold at once.
    #[serde(default)]
    pub quota: Quota,
    /// The highest priority that its jobs may have.
    #[serde(default = "any_priority", skip_serializing_if = "is_any_priority")]
    pub priority_most: Priority,
}

/// What an organisation has that the operator has not said anything else of.
pub(crate) const fn any_priority() -> Priority {
    Priority::High
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_any_priority(most: &Priority) -> bool {
    *most == any_priority()
}

const fn usual_weight() -> u32 {
    super::shares::WEIGHT
}

/// A person or program.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct User {
    /// Its id.
    pub id: UserId,
    /// The organisation it acts for.
    pub org: OrgId,
    /// Its name, unique in the organisation.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// An access token.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Token {
    /// Its id, for listing and revoking.
    pub id: TokenId,
    /// Whom it speaks for.
    pub user: UserId,
    /// What it is for, in the words of who issued it.
    pub label: String,
    /// SHA-256 of the secret.
    pub digest: Digest,
    /// When it was issued.
    pub issued_at: Time,
    /// When it ends by itself.
    pub expires_at: Option<Time>,
}

/// A project: what pays, inside an organisation.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// The organisation that pays in the end.
    pub org: OrgId,
    /// `organisation/project`.
    pub path: String,
    /// Limits per job, day and month, and what has gone against them.
    pub budget: BudgetState,
    /// Its share among the projects of its organisation.
    #[serde(default = "usual_weight")]
    pub weight: u32,
    /// The most that it may hold at once.
    #[serde(default)]
    pub quota: Quota,
}

/// All of it, with the look-ups that decisions need.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Access {
    /// Organisations.
    pub orgs: BTreeMap<OrgId, Org>,
    /// Users.
    pub users: BTreeMap<UserId, User>,
    /// Live tokens; a revoked one is gone.
    pub tokens: BTreeMap<TokenId, Token>,
    /// Projects.
    pub projects: BTreeMap<ProjectId, Project>,
    /// How many there are of each licence, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub licenses: BTreeMap<String, u64>,
    /// Organisations by slug.
    pub org_names: BTreeMap<String, OrgId>,
    /// Projects by path.
    pub project_paths: BTreeMap<String, ProjectId>,
    /// Tokens by digest.
    pub token_digests: BTreeMap<Digest, TokenId>,
}

impl Access {
    /// The user a secret with this digest speaks for, unless the token has ended.
    pub fn authenticate(&self, digest: &Digest, now: Time) -> Option<(&Token, &User)> {
        let token = self.tokens.get(self.token_digests.get(digest)?)?;
        if token.expires_at.is_some_and(|end| end <= now) {
            return None;
        }
        Some((token, self.users.get(&token.user)?))
    }
    /// The organisation with that slug.
    pub fn org_by_name(&self, name: &str) -> Option<&Org> {
        self.orgs.get(self.org_names.get(name)?)
    }
    /// The project with that path.
    pub fn project_by_path(&self, path: &str) -> Option<&Project> {
        self.projects.get(self.project_paths.get(path)?)
    }
}
