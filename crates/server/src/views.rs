//! What requests need before the writer is asked: whom a secret speaks for. Kept in step with the
//! journal: a revoked token is refused from the moment its revocation is committed.

use std::collections::HashMap;
use std::sync::RwLock;

use dayan_exchange::{Digest, Entry, Event, Role, State};
use dayan_units::{AgentId, OrgId, Time, TokenId, UserId};

/// A user's token.
#[derive(Clone, Copy, Debug)]
pub struct KnownUser {
    /// The user.
    pub user: UserId,
    /// The organisation it acts for.
    pub org: OrgId,
    /// What it may do.
    pub role: Role,
    /// When the token ends.
    pub expires_at: Option<Time>,
}

/// An agent's token.
#[derive(Clone, Copy, Debug)]
pub struct KnownAgent {
    /// The agent.
    pub agent: AgentId,
    /// Its Ed25519 key.
    pub public_key: Digest,
}

#[derive(Default)]
struct Tables {
    users: HashMap<Digest, KnownUser>,
    agents: HashMap<Digest, KnownAgent>,
    roles: HashMap<UserId, (OrgId, Role)>,
    digests: HashMap<TokenId, Digest>,
}

/// Secrets by digest.
#[derive(Default)]
pub struct Secrets {
    tables: RwLock<Tables>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets")
    }
}

impl Secrets {
    /// From a whole state.
    pub fn reset(&self, state: &State) {
        let mut tables = Tables::default();
        for user in state.access.users.values() {
            tables.roles.insert(user.id, (user.org, user.role));
        }
        for token in state.access.tokens.values() {
            tables.issue(token);
        }
        for agent in state.supply.agents.values() {
            let known = KnownAgent { agent: agent.id, public_key: agent.public_key };
            tables.agents.insert(agent.token, known);
        }
        *self.tables.write().expect("nobody panics while holding it") = tables;
    }

    /// From what was committed.
    pub fn take(&self, entries: &[Entry]) {
        let touches = |event: &Event| {
            matches!(
                event,
                Event::UserCreated { .. }
                    | Event::RoleSet { .. }
                    | Event::UserRemoved { .. }
                    | Event::TokenIssued { .. }
                    | Event::TokenRevoked { .. }
                    | Event::AgentJoined { .. }
            )
        };
        let events = entries.iter().flat_map(|entry| &entry.events);
        let relevant: Vec<&Event> = events.filter(|event| touches(event)).collect();
        if relevant.is_empty() {
            return;
        }
        let mut tables = self.tables.write().expect("nobody panics while holding it");
        for event in relevant {
            match event {
                Event::UserCreated { user } => {
                    tables.roles.insert(user.id, (user.org, user.role));
                }
                Event::RoleSet { user, role } => tables.set_role(*user, *role),
                Event::UserRemoved { user } => tables.remove(*user),
                Event::TokenIssued { token } => tables.issue(token),
                Event::TokenRevoked { token } => {
                    if let Some(digest) = tables.digests.remove(token) {
                        tables.users.remove(&digest);
                    }
                }
                Event::AgentJoined { agent, public_key, token, .. } => {
                    let known = KnownAgent { agent: *agent, public_key: *public_key };
                    tables.agents.insert(*token, known);
                }
                _ => {}
            }
        }
    }

    /// The user a secret speaks for.
    pub fn user(&self, digest: &Digest, now: Time) -> Option<KnownUser> {
        let tables = self.tables.read().expect("nobody panics while holding it");
        let known = *tables.users.get(digest)?;
        known.expires_at.is_none_or(|end| end > now).then_some(known)
    }

    /// The agent a secret speaks for.
    pub fn agent(&self, digest: &Digest) -> Option<KnownAgent> {
        self.tables.read().expect("nobody panics while holding it").agents.get(digest).copied()
    }
}

impl Tables {
    fn set_role(&mut self, user: UserId, role: Role) {
        if let Some((_, known)) = self.roles.get_mut(&user) {
            *known = role;
        }
        for known in self.users.values_mut().filter(|known| known.user == user) {
            known.role = role;
        }
    }

    fn remove(&mut self, user: UserId) {
        self.roles.remove(&user);
        self.users.retain(|_, known| known.user != user);
        let Self { users, digests, .. } = self;
        digests.retain(|_, digest| users.contains_key(digest));
    }

    fn issue(&mut self, token: &dayan_exchange::Token) {
        let Some((org, role)) = self.roles.get(&token.user).copied() else { return };
        self.digests.insert(token.id, token.digest);
        let known = KnownUser { user: token.user, org, role, expires_at: token.expires_at };
        self.users.insert(token.digest, known);
    }
}
