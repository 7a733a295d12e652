//! Accounts: four running totals and the floor below which the balance may not go.
//!
//! Invariant: of each side, pending and posted together stay within the range of [`Micro`], so
//! every balance computed from them does too. An account does not know who owns it.

use std::fmt;
use std::str::FromStr;

use dayan_units::Micro;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::amount::hex128;

/// Which account; 128 bits of the caller's choosing, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(u128);

impl AccountId {
    /// From its 128 bits.
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }
    /// Its 128 bits.
    pub const fn bits(self) -> u128 {
        self.0
    }
}

/// A text that is not 32 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an account; an account is written as 32 lower-case hex digits")]
pub struct AccountIdError(String);

impl FromStr for AccountId {
    type Err = AccountIdError;
    fn from_str(text: &str) -> Result<Self, AccountIdError> {
        hex128::parse(text).map(Self).ok_or_else(|| AccountIdError(text.chars().take(40).collect()))
    }
}
impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
impl fmt::Debug for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl Serialize for AccountId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        hex128::serialize(&self.0, s)
    }
}
impl<'de> Deserialize<'de> for AccountId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        hex128::deserialize(d).map(Self)
    }
}

/// What the caller wants to find the account by. The ledger only keeps it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
pub struct AccountKind {
    /// The caller's chart of accounts.
    pub code: u16,
    /// The caller's own key, for instance the owner's id.
    #[serde(with = "hex128")]
    pub label: u128,
}

/// An account to be opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct NewAccount {
    /// Its name; also what makes a repeated opening harmless.
    pub id: AccountId,
    /// What it is to the caller.
    pub kind: AccountKind,
    /// The least available balance; `None` for none. At most zero, where a new account stands.
    pub floor: Option<Micro>,
}

/// An account and its totals, none of them negative.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// What it is to the caller.
    pub kind: AccountKind,
    /// What [`Account::available`] may not go below; `None` for no such limit.
    pub floor: Option<Micro>,
    /// Held to be debited.
    pub debits_pending: Micro,
    /// Debited.
    pub debits_posted: Micro,
    /// Held by others to be credited here.
    pub credits_pending: Micro,
    /// Credited.
    pub credits_posted: Micro,
    /// A closed account takes part in no transfer.
    pub closed: bool,
}

impl Account {
    /// The account as it starts: nothing on it.
    pub const fn opened(new: &NewAccount) -> Self {
        Self {
            id: new.id,
            kind: new.kind,
            floor: new.floor,
            debits_pending: Micro::ZERO,
            debits_posted: Micro::ZERO,
            credits_pending: Micro::ZERO,
            credits_posted: Micro::ZERO,
            closed: false,
        }
    }
    /// Credits less debits, both posted.
    pub const fn posted(&self) -> Micro {
        Micro(self.credits_posted.0 - self.debits_posted.0)
    }
    /// What can be spent: the posted balance less what is held from it. What others hold in its
    /// favour does not count before it is captured.
    pub const fn available(&self) -> Micro {
        Micro(self.credits_posted.0 - (self.debits_posted.0 + self.debits_pending.0))
    }
    /// How much more can be debited before the floor is met; `None` where there is no floor.
    pub fn headroom(&self) -> Option<Micro> {
        self.floor.map(|floor| self.available().saturating_sub(floor))
    }
    /// All ever debited or held; kept within the range.
    pub(crate) const fn debits(&self) -> Micro {
        Micro(self.debits_pending.0 + self.debits_posted.0)
    }
    /// All ever credited or held; kept within the range.
    pub(crate) const fn credits(&self) -> Micro {
        Micro(self.credits_pending.0 + self.credits_posted.0)
    }
    /// Are the totals ones that transfers can have led to? Asked of what comes from outside.
    pub(crate) fn sound(&self) -> bool {
        let side = |pending: Micro, posted: Micro| {
            pending.0 >= 0 && posted.0 >= 0 && pending.checked_add(posted).is_some()
        };
        side(self.debits_pending, self.debits_posted)
            && side(self.credits_pending, self.credits_posted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_id_prints_and_parses() {
        let id = AccountId::from_bits(0xfeed);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("feed".parse::<AccountId>().is_err());
        assert_eq!(
            serde_json::to_string(&id).expect("text"),
            "\"0000000000000000000000000000feed\""
        );
    }

    #[test]
    fn what_is_held_cannot_be_spent_and_what_is_promised_neither() {
        let new = NewAccount {
            id: AccountId::from_bits(1),
            kind: AccountKind::default(),
            floor: Some(Micro(-5)),
        };
        let mut account = Account::opened(&new);
        account.credits_posted = Micro(100);
        account.credits_pending = Micro(50);
        account.debits_posted = Micro(20);
        account.debits_pending = Micro(30);
        assert_eq!(account.posted(), Micro(80));
        assert_eq!(account.available(), Micro(50));
        assert_eq!(account.headroom(), Some(Micro(55)));
    }
}
