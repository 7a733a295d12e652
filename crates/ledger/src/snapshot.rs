//! The ledger as it is written down: sorted lists, so that equal books give equal bytes. What is
//! read back is not believed: books that transfers cannot have led to are refused.

use std::collections::BTreeSet;

use dayan_units::TransferId;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::account::Account;
use crate::ledger::Ledger;
use crate::transfer::{Hold, Print};

/// Written by reference, read by value; the field names are the format.
#[derive(Serialize)]
struct Written<'a> {
    accepted: u64,
    accounts: Vec<&'a Account>,
    holds: Vec<(TransferId, &'a Hold)>,
    prints: Vec<(TransferId, Print)>,
}

#[derive(Deserialize)]
struct Read {
    accepted: u64,
    accounts: Vec<Account>,
    holds: Vec<(TransferId, Hold)>,
    prints: Vec<(TransferId, Print)>,
}

impl Serialize for Ledger {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut prints: Vec<_> = self.prints.iter().map(|(id, print)| (*id, *print)).collect();
        prints.sort_unstable_by_key(|(id, _)| *id);
        Written { accepted: self.accepted, accounts: self.accounts(), holds: self.holds(), prints }
            .serialize(s)
    }
}

impl<'de> Deserialize<'de> for Ledger {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(d)?;
        let counts = (read.accounts.len(), read.holds.len(), read.prints.len());
        let ends: BTreeSet<_> =
            read.holds.iter().filter_map(|(id, hold)| Some((hold.until?, *id))).collect();
        let ledger = Self {
            accounts: read.accounts.into_iter().map(|account| (account.id, account)).collect(),
            holds: read.holds.into_iter().collect(),
            ends,
            prints: read.prints.into_iter().collect(),
            accepted: read.accepted,
        };
        if (ledger.accounts.len(), ledger.holds.len(), ledger.prints.len()) != counts {
            return Err(de::Error::custom("the ledger lists something twice"));
        }
        if !ledger.holds.keys().all(|id| ledger.prints.get(id).is_some_and(|p| p.is_hold())) {
            return Err(de::Error::custom("the ledger has a hold that no transfer made"));
        }
        if let Some(difference) = ledger.books_check().differences.first() {
            return Err(de::Error::custom(format_args!("the ledger is unsound: {difference}")));
        }
        Ok(ledger)
    }
}
