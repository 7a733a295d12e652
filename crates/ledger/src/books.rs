//! The proof: do the books balance in themselves, and do they follow from their transfers?
//!
//! [`Ledger::books_check`] recomputes every sum that must agree. [`Ledger::rederive`] builds the
//! books anew from the transfers, and [`Ledger::compare`] holds the two side by side. Neither
//! trusts the running totals.

use std::collections::BTreeMap;
use std::fmt;

use dayan_units::{Micro, TransferId};
use serde::{Deserialize, Serialize};

use crate::account::{Account, AccountId, NewAccount};
use crate::judge::Rules;
use crate::ledger::Ledger;
use crate::status::Status;
use crate::transfer::Transfer;

/// What a check of the books found.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BooksReport {
    /// How many accounts there are.
    pub accounts: u64,
    /// How many transfers were ever accepted.
    pub transfers: u64,
    /// The posted debits of all accounts, in micro-units; over the range of one account's.
    pub debits: u128,
    /// The posted credits of all accounts.
    pub credits: u128,
    /// Nothing differs.
    pub balanced: bool,
    /// What differs.
    pub differences: Vec<Difference>,
}

/// Two numbers that should be one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Difference {
    /// The account; `None` where it concerns the books as a whole.
    pub account: Option<AccountId>,
    /// Which number.
    pub what: String,
    /// What it should be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(account) = self.account {
            write!(f, "account {account}: ")?;
        }
        write!(f, "{} should be {} and is {}", self.what, self.expected, self.found)
    }
}

/// A transfer that the books could not have accepted at its place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("transfer {transfer} cannot have been accepted: {status}")]
pub struct Unfit {
    /// Which.
    pub transfer: TransferId,
    /// Why not.
    pub status: Status,
}

#[derive(Default)]
struct Findings(Vec<Difference>);

impl Findings {
    fn equal<T: PartialEq + fmt::Display>(
        &mut self,
        account: Option<AccountId>,
        what: &str,
        expected: &T,
        found: &T,
    ) {
        if expected != found {
            self.0.push(Difference {
                account,
                what: what.to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
}

/// An amount in 128 bits, since the sum over accounts may exceed the range of one.
fn wide(micro: Micro) -> i128 {
    i128::from(micro.0)
}

impl Ledger {
    /// Recomputes what must agree: debits with credits, what is pending with what open holds have
    /// left, balances with floors, totals with their range.
    pub fn books_check(&self) -> BooksReport {
        let mut findings = Findings::default();
        let mut held: BTreeMap<AccountId, (i128, i128)> = BTreeMap::new();
        for (id, hold) in self.holds() {
            held.entry(hold.debit).or_default().0 += wide(hold.held) - wide(hold.captured);
            held.entry(hold.credit).or_default().1 += wide(hold.held) - wide(hold.captured);
            let within = hold.captured >= Micro::ZERO && hold.captured <= hold.held;
            findings.equal(None, &format!("hold {id} captured within its amount"), &true, &within);
            for party in [hold.debit, hold.credit] {
                let known = self.account(party).is_some();
                findings.equal(Some(party), "account of an open hold exists", &true, &known);
            }
        }
        let mut sums = [0i128; 4];
        for account in self.accounts() {
            let one = Some(account.id);
            let totals = [
                account.debits_posted,
                account.credits_posted,
                account.debits_pending,
                account.credits_pending,
            ];
            for (sum, total) in sums.iter_mut().zip(totals) {
                *sum += wide(total);
            }
            findings.equal(one, "totals within their range", &true, &account.sound());
            let (debit, credit) = held.get(&account.id).copied().unwrap_or_default();
            findings.equal(one, "debits pending", &debit, &wide(account.debits_pending));
            findings.equal(one, "credits pending", &credit, &wide(account.credits_pending));
            if let (true, Some(floor)) = (account.sound(), account.floor) {
                let above = account.available() >= floor;
                findings.equal(one, "balance at or above its floor", &true, &above);
            }
        }
        let [debits, credits, debits_pending, credits_pending] = sums;
        findings.equal(None, "sum of credits posted", &debits, &credits);
        findings.equal(None, "sum of credits pending", &debits_pending, &credits_pending);
        BooksReport {
            accounts: self.accounts.len() as u64,
            transfers: self.accepted,
            debits: debits.unsigned_abs(),
            credits: credits.unsigned_abs(),
            balanced: findings.0.is_empty(),
            differences: findings.0,
        }
    }

    /// The books that follow from the accounts (their totals are not looked at) and all transfers
    /// ever accepted, in order. Floors and closings are not judged again, since they may have been
    /// others at the time; everything else is.
    pub fn rederive<'a, 't>(
        accounts: impl IntoIterator<Item = &'a Account>,
        transfers: impl IntoIterator<Item = &'t Transfer>,
    ) -> Result<Self, Unfit> {
        let mut ledger = Self::new();
        for account in accounts {
            let new = NewAccount { id: account.id, kind: account.kind, floor: account.floor };
            let empty = Account { closed: account.closed, ..Account::opened(&new) };
            ledger.accounts.insert(account.id, empty);
        }
        for transfer in transfers {
            let id = transfer.id;
            ledger
                .accept(transfer, Rules::Past)
                .map_err(|status| Unfit { transfer: id, status })?;
        }
        Ok(ledger)
    }

    /// What differs between these books and `derived` ones: every total of every account, every
    /// open hold, the number of transfers. Retired ids do not count as a difference.
    pub fn compare(&self, derived: &Self) -> Vec<Difference> {
        let mut findings = Findings::default();
        findings.equal(None, "accounts", &derived.accounts.len(), &self.accounts.len());
        findings.equal(None, "transfers", &derived.accepted, &self.accepted);
        for expected in derived.accounts() {
            let one = Some(expected.id);
            let Some(found) = self.account(expected.id) else {
                findings.equal(one, "account", &"there", &"missing");
                continue;
            };
            let totals = |a: &Account| {
                [
                    ("debits pending", a.debits_pending),
                    ("debits posted", a.debits_posted),
                    ("credits pending", a.credits_pending),
                    ("credits posted", a.credits_posted),
                ]
            };
            for ((what, expected), (_, found)) in totals(expected).iter().zip(totals(found)) {
                findings.equal(one, what, expected, &found);
            }
        }
        findings.equal(None, "open holds", &derived.holds.len(), &self.holds.len());
        for (id, expected) in derived.holds() {
            let shown = |left: Option<Micro>| left.map_or("ended".to_owned(), Micro::decimal);
            let found = self.hold(id).map(crate::transfer::Hold::left);
            let what = format!("left of hold {id}");
            let payer = Some(expected.debit);
            findings.equal(payer, &what, &shown(Some(expected.left())), &shown(found));
        }
        findings.0
    }

    /// [`Ledger::books_check`], and the same books derived anew from all transfers ever accepted.
    pub fn audit<'t>(&self, transfers: impl IntoIterator<Item = &'t Transfer>) -> BooksReport {
        let mut report = self.books_check();
        match Self::rederive(self.accounts(), transfers) {
            Ok(derived) => report.differences.extend(self.compare(&derived)),
            Err(unfit) => report.differences.push(Difference {
                account: None,
                what: format!("transfer {}", unfit.transfer),
                expected: "accepted".to_owned(),
                found: unfit.status.to_string(),
            }),
        }
        report.balanced = report.differences.is_empty();
        report
    }
}

#[cfg(test)]
mod tests {
    use dayan_units::Time;

    use super::*;
    use crate::account::AccountKind;
    use crate::amount::Amount;
    use crate::transfer::TransferKind;

    fn account(id: u128) -> AccountId {
        AccountId::from_bits(id)
    }

    fn transfer(id: u128, kind: TransferKind) -> Transfer {
        let id = TransferId::from_bits(id);
        Transfer { id, kind, code: 0, user_data: 0, at: Time::EPOCH }
    }

    /// Two accounts, 100 posted from the first to the second and 40 held back.
    fn books() -> (Ledger, Vec<Transfer>) {
        let amount = |micro| Amount::new(Micro(micro)).expect("positive");
        let (one, two) = (account(1), account(2));
        let post = TransferKind::Post { debit: one, credit: two, amount: amount(100) };
        let hold = TransferKind::Hold { debit: two, credit: one, amount: amount(40), until: None };
        let transfers = vec![transfer(1, post), transfer(2, hold)];
        let mut ledger = Ledger::new();
        for (id, floor) in [(one, None), (two, Some(Micro(50)))] {
            let kind = AccountKind::default();
            ledger.open(&NewAccount { id, kind, floor: None });
            ledger.accounts.get_mut(&id).expect("opened").floor = floor;
        }
        ledger.apply_linked(&transfers);
        (ledger, transfers)
    }

    /// Corrupts sound books and says what the check alone and the derivation beside it find.
    fn check(corrupt: impl Fn(&mut Ledger), in_itself: &[&str], beside: &[&str]) {
        let (mut ledger, transfers) = books();
        let derived = Ledger::rederive(ledger.accounts(), &transfers).expect("they were accepted");
        assert_eq!(ledger.audit(&transfers).differences, []);
        corrupt(&mut ledger);
        let found = |differences: Vec<Difference>| {
            differences.into_iter().map(|difference| difference.what).collect::<Vec<_>>()
        };
        let report = ledger.books_check();
        assert_eq!(report.balanced, in_itself.is_empty());
        assert_eq!(found(report.differences), in_itself);
        assert_eq!(found(ledger.compare(&derived)), beside);
    }

    fn two(ledger: &mut Ledger) -> &mut Account {
        ledger.accounts.get_mut(&account(2)).expect("opened")
    }

    #[test]
    fn each_number_that_is_off_is_found() {
        check(
            |books| two(books).debits_pending.0 += 1,
            &["debits pending", "sum of credits pending"],
            &["debits pending"],
        );
        check(
            |books| two(books).credits_pending.0 += 1,
            &["credits pending", "sum of credits pending"],
            &["credits pending"],
        );
        check(
            |books| two(books).debits_posted.0 += 1,
            &["sum of credits posted"],
            &["debits posted"],
        );
        check(
            |books| two(books).debits_posted.0 += 11,
            &["balance at or above its floor", "sum of credits posted"],
            &["debits posted"],
        );
        check(
            |books| two(books).credits_posted.0 += 1,
            &["sum of credits posted"],
            &["credits posted"],
        );
        check(|books| books.accepted += 1, &[], &["transfers"]);
        check(
            |books| {
                let copy = Account { id: account(3), ..*two(books) };
                books.accounts.insert(copy.id, copy);
            },
            &["debits pending", "sum of credits posted", "sum of credits pending"],
            &["accounts"],
        );
    }

    #[test]
    fn what_is_off_on_both_sides_is_found_by_the_transfers() {
        check(
            |books| {
                two(books).debits_posted.0 += 1;
                books.accounts.get_mut(&account(1)).expect("opened").credits_posted.0 += 1;
            },
            &[],
            &["credits posted", "debits posted"],
        );
    }

    #[test]
    fn a_hold_that_is_off_is_found() {
        let id = TransferId::from_bits(2);
        let left = format!("left of hold {id}");
        check(
            |books| books.holds.get_mut(&id).expect("open").held.0 += 1,
            &["credits pending", "debits pending"],
            &[&left],
        );
        check(
            |books| {
                let hold = books.holds.get_mut(&id).expect("open");
                hold.captured.0 = hold.held.0 + 1;
            },
            &[
                &format!("hold {id} captured within its amount"),
                "credits pending",
                "debits pending",
            ],
            &[&left],
        );
        check(
            |books| books.holds.clear(),
            &["credits pending", "debits pending"],
            &["open holds", &left],
        );
    }

    #[test]
    fn transfers_that_cannot_have_been_accepted_are_named() {
        let (ledger, mut transfers) = books();
        transfers.push(transfer(3, TransferKind::Release { hold: TransferId::from_bits(1) }));
        let unfit = Unfit { transfer: TransferId::from_bits(3), status: Status::NotAHold };
        assert_eq!(Ledger::rederive(ledger.accounts(), &transfers), Err(unfit));
        assert_eq!(ledger.audit(&transfers).differences.len(), 1);
        transfers[2].id = TransferId::from_bits(1);
        let again = Ledger::rederive(ledger.accounts(), &[transfers[0], transfers[0]]);
        assert_eq!(again.map_err(|unfit| unfit.status), Err(Status::Exists));
    }
}
