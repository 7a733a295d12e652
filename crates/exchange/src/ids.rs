//! Ids a decision makes. Those of new things come from the request's own id, which the shell made;
//! those of bookings come from what is booked, so that the same booking always has the same id.

use dayan_units::{AttemptId, JobId, OrgId, QuoteId, RequestId, TransferId};
use sha2::{Digest as _, Sha256};

use crate::state::Run;

/// Makes ids from a request: its time-ordered upper half, and a count mixed into the lower.
#[derive(Debug)]
pub struct Minter {
    base: u128,
    next: std::cell::Cell<u64>,
}

impl Minter {
    /// For the ids one request needs.
    pub const fn new(request: RequestId) -> Self {
        Self { base: request.bits(), next: std::cell::Cell::new(0) }
    }
    /// The next 128 bits. The first id is the request's own, so that one request that makes one
    /// thing can be found by either.
    pub fn bits(&self) -> u128 {
        let n = self.next.replace(self.next.get() + 1);
        // An odd factor permutes the 64-bit numbers: no two counts give the same lower half.
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let low = (self.base as u64).wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (self.base >> 64 << 64) | u128::from(low)
    }
    /// True for one call in 2^`power`; the next call of the same request draws anew.
    pub fn one_in_power_of_two(&self, what: &[u8], power: u32) -> bool {
        derive(&[what, &self.bits().to_be_bytes()]).trailing_zeros() >= power
    }
}

fn derive(parts: &[&[u8]]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let bytes: [u8; 16] = hash.finalize()[..16].try_into().expect("a hash has 32 bytes");
    u128::from_be_bytes(bytes)
}

fn of_attempt(what: &[u8], attempt: AttemptId, number: u32) -> TransferId {
    TransferId::from_bits(derive(&[
        what,
        &attempt.job.bits().to_be_bytes(),
        &attempt.task.to_be_bytes(),
        &attempt.attempt.to_be_bytes(),
        &number.to_be_bytes(),
    ]))
}

/// The hold of an attempt.
pub fn hold_id(attempt: AttemptId) -> TransferId {
    of_attempt(b"hold", attempt, 0)
}
/// One step of an attempt's money: its kind and the number of its line.
pub fn step_id(what: &'static str, attempt: AttemptId, line: u32) -> TransferId {
    of_attempt(what.as_bytes(), attempt, line)
}
/// The hold of an accepted quote.
pub fn quote_hold_id(quote: QuoteId) -> TransferId {
    TransferId::from_bits(derive(&[b"quote", &quote.bits().to_be_bytes()]))
}
/// The release of an accepted quote's hold.
pub fn quote_release_id(quote: QuoteId) -> TransferId {
    TransferId::from_bits(derive(&[b"quote-release", &quote.bits().to_be_bytes()]))
}
/// The job of a schedule's run. Ids order jobs by when they came, so that its upper part is a time
/// as in others': that at which it was due. The rest says which run it is: the same one always has
/// the same id.
pub fn run_id(run: Run) -> JobId {
    let due = run.due.micros();
    let rest = derive(&[b"run", &run.schedule.bits().to_be_bytes(), &due.to_be_bytes()]);
    let millis = u128::from((due / 1_000).max(0).unsigned_abs());
    JobId::from_bits(millis << 80 | rest >> 48)
}
/// A payment that came in, by the bank's reference.
pub fn deposit_id(org: OrgId, reference: &str) -> TransferId {
    TransferId::from_bits(derive(&[b"deposit", &org.bits().to_be_bytes(), reference.as_bytes()]))
}

/// The chart of accounts: what an account is to us.
pub mod accounts {
    use dayan_ledger::{AccountId, AccountKind, NewAccount};
    use dayan_units::{Micro, OrgId, ProviderId};

    use super::derive;

    /// The world outside: what came in is owed by it. No floor.
    pub const BANK: u16 = 1;
    /// Money of captured windows on its way to be split.
    pub const CLEARING: u16 = 2;
    /// The exchange's own income.
    pub const FEES: u16 = 3;
    /// An organisation's prepaid balance.
    pub const CONSUMER: u16 = 10;
    /// What a provider is owed.
    pub const PROVIDER: u16 = 20;

    fn id(code: u16, label: u128) -> AccountId {
        AccountId::from_bits(derive(&[b"account", &code.to_be_bytes(), &label.to_be_bytes()]))
    }
    /// The exchange's own account with that code.
    pub fn own(code: u16) -> AccountId {
        id(code, 0)
    }
    /// An organisation's balance.
    pub fn consumer(org: OrgId) -> AccountId {
        id(CONSUMER, org.bits())
    }
    /// What a provider is owed.
    pub fn provider(provider: ProviderId) -> AccountId {
        id(PROVIDER, provider.bits())
    }
    /// The exchange's own accounts, as they are opened at its founding.
    pub fn founding() -> [NewAccount; 3] {
        let own =
            |code, floor| NewAccount { id: own(code), kind: AccountKind { code, label: 0 }, floor };
        [own(BANK, None), own(CLEARING, Some(Micro::ZERO)), own(FEES, Some(Micro::ZERO))]
    }
    /// A new organisation's balance with its credit line.
    pub fn new_consumer(org: OrgId, credit: Micro) -> NewAccount {
        NewAccount {
            id: consumer(org),
            kind: AccountKind { code: CONSUMER, label: org.bits() },
            floor: Some(Micro(-credit.0)),
        }
    }
    /// A new provider's account.
    pub fn new_provider(of: ProviderId) -> NewAccount {
        NewAccount {
            id: provider(of),
            kind: AccountKind { code: PROVIDER, label: of.bits() },
            floor: Some(Micro::ZERO),
        }
    }
}

/// Why money moves, as it stands beside each booking.
pub mod codes {
    /// A payment came in.
    pub const DEPOSIT: u16 = 1;
    /// Money is held for a lease.
    pub const LEASE_HOLD: u16 = 10;
    /// A settlement window was captured.
    pub const WINDOW: u16 = 11;
    /// An attempt's last capture, or its release.
    pub const LEASE_END: u16 = 12;
    /// A provider's share.
    pub const PROVIDER_SHARE: u16 = 13;
    /// The exchange's share.
    pub const FEE: u16 = 14;
    /// Money is held for an accepted quote.
    pub const QUOTE_HOLD: u16 = 20;
    /// What an accepted quote did not use.
    pub const QUOTE_END: u16 = 21;
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn one_request_makes_distinct_ids_in_its_time() {
        let minter = Minter::new(RequestId::from_bits(u128::MAX - 5));
        let ids: BTreeSet<u128> = (0..10_000).map(|_| minter.bits()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id >> 64 == u128::MAX >> 64));
    }
}
