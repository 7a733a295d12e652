//! One transfer against the books: is it accepted, and what does it change?
//!
//! The same code judges against the ledger itself and against an overlay in which earlier members
//! of a chain have taken effect. Judging changes nothing; one early return per condition, in the
//! order of [`Status`].

use std::collections::BTreeMap;

use dayan_units::{Micro, Time, TransferId};

use crate::account::{Account, AccountId};
use crate::amount::Amount;
use crate::status::Status;
use crate::transfer::{Hold, Print, Rest, Transfer, TransferKind};

/// What a judgement needs to see.
pub(crate) trait Books {
    fn account(&self, id: AccountId) -> Option<&Account>;
    fn hold(&self, id: TransferId) -> Option<&Hold>;
    fn print(&self, id: TransferId) -> Option<Print>;
}

/// What a judged transfer changes, on the debit account's debits and the credit account's credits
/// alike.
pub(crate) struct Change {
    pub(crate) debit: AccountId,
    pub(crate) credit: AccountId,
    /// Added to what is pending; negative where a hold gives way.
    pub(crate) pending: Micro,
    /// Added to what is posted.
    pub(crate) posted: Micro,
    pub(crate) hold: HoldChange,
    pub(crate) print: Print,
}

pub(crate) enum HoldChange {
    None,
    Put(TransferId, Hold),
    End(TransferId),
}

/// Which rules are judged.
#[derive(Clone, Copy)]
pub(crate) enum Rules {
    /// All of them: the transfer is asked for now.
    All,
    /// All but those that depend on what may have changed since (floors, closed accounts): the
    /// transfer was accepted in the past and is applied anew.
    Past,
}

/// What the transfer changes, or the first of all that is wrong with it.
pub(crate) fn judge(books: &impl Books, t: &Transfer, rules: Rules) -> Result<Change, Status> {
    let print = Print::of(t);
    if let Some(known) = books.print(t.id) {
        return Err(if known == print { Status::Exists } else { Status::ExistsDifferent });
    }
    judge_new(books, t, print, rules)
}

/// The same for a transfer whose id is known to be new. Who writes it finds out anyway, and in a
/// large ledger looking for an id is most of the work.
pub(crate) fn judge_new(
    books: &impl Books,
    t: &Transfer,
    print: Print,
    rules: Rules,
) -> Result<Change, Status> {
    match t.kind {
        TransferKind::Post { debit, credit, amount } => {
            parties(books, debit, credit, amount, rules, || Ok(()))?;
            let posted = amount.micro();
            Ok(Change {
                debit,
                credit,
                pending: Micro::ZERO,
                posted,
                hold: HoldChange::None,
                print,
            })
        }
        TransferKind::Hold { debit, credit, amount, until } => {
            parties(books, debit, credit, amount, rules, || ends_ahead(until, t.at))?;
            let held = amount.micro();
            let hold = Hold {
                debit,
                credit,
                held,
                captured: Micro::ZERO,
                until,
                code: t.code,
                user_data: t.user_data,
            };
            let hold = HoldChange::Put(t.id, hold);
            Ok(Change { debit, credit, pending: held, posted: Micro::ZERO, hold, print })
        }
        TransferKind::Capture { hold: id, amount, rest } => {
            let hold = open_hold(books, id)?;
            if hold.is_expired(t.at) {
                return Err(Status::HoldExpired);
            }
            if amount.micro() > hold.left() {
                return Err(Status::OverHold);
            }
            let posted = amount.micro();
            let (given_up, after) = match rest {
                Rest::Keep => {
                    // Within the range because the hold has that much left.
                    let captured = Micro(hold.captured.0 + posted.0);
                    (posted, HoldChange::Put(id, Hold { captured, ..*hold }))
                }
                Rest::Release => (hold.left(), HoldChange::End(id)),
            };
            let (debit, credit) = (hold.debit, hold.credit);
            Ok(Change { debit, credit, pending: Micro(-given_up.0), posted, hold: after, print })
        }
        TransferKind::Release { hold: id } => {
            let hold = open_hold(books, id)?;
            Ok(Change {
                debit: hold.debit,
                credit: hold.credit,
                pending: Micro(-hold.left().0),
                posted: Micro::ZERO,
                hold: HoldChange::End(id),
                print,
            })
        }
        TransferKind::Extend { hold: id, amount, until } => {
            let hold = open_hold(books, id)?;
            if hold.is_expired(t.at) {
                return Err(Status::HoldExpired);
            }
            let (debit, credit) = (hold.debit, hold.credit);
            parties(books, debit, credit, amount, rules, || ends_ahead(until, t.at))?;
            // Within the range because it is part of the debit account's total, just checked.
            let held = Micro(hold.held.0 + amount.micro().0);
            let after = HoldChange::Put(id, Hold { held, until, ..*hold });
            Ok(Change {
                debit,
                credit,
                pending: amount.micro(),
                posted: Micro::ZERO,
                hold: after,
                print,
            })
        }
    }
}

/// Can `debit` give and `credit` take that much more? `between` is what has its place in the
/// precedence after the accounts are known and before they are weighed.
fn parties(
    books: &impl Books,
    debit: AccountId,
    credit: AccountId,
    amount: Amount,
    rules: Rules,
    between: impl FnOnce() -> Result<(), Status>,
) -> Result<(), Status> {
    let payer = books.account(debit).ok_or(Status::DebitUnknown)?;
    let payee = books.account(credit).ok_or(Status::CreditUnknown)?;
    if debit == credit {
        return Err(Status::SameAccount);
    }
    between()?;
    if let Rules::All = rules {
        if payer.closed {
            return Err(Status::DebitClosed);
        }
        if payee.closed {
            return Err(Status::CreditClosed);
        }
    }
    if payer.debits().checked_add(amount.micro()).is_none() {
        return Err(Status::DebitsOverflow);
    }
    if payee.credits().checked_add(amount.micro()).is_none() {
        return Err(Status::CreditsOverflow);
    }
    if let (Rules::All, Some(floor)) = (rules, payer.floor) {
        // Within the range because all debits and this amount together are.
        if Micro(payer.available().0 - amount.micro().0) < floor {
            return Err(Status::BelowFloor);
        }
    }
    Ok(())
}

fn ends_ahead(until: Option<Time>, at: Time) -> Result<(), Status> {
    match until {
        Some(until) if until <= at => Err(Status::UntilPassed),
        Some(_) | None => Ok(()),
    }
}

fn open_hold(books: &impl Books, id: TransferId) -> Result<&Hold, Status> {
    books.hold(id).ok_or_else(|| match books.print(id) {
        None => Status::HoldUnknown,
        Some(print) if print.is_hold() => Status::HoldEnded,
        Some(_) => Status::NotAHold,
    })
}

/// Writes a change to the two accounts it concerns.
pub(crate) fn settle(debit: &mut Account, credit: &mut Account, change: &Change) {
    // Sums that judge() found to be within the range; a hold gives back at most what it put in.
    debit.debits_pending.0 += change.pending.0;
    debit.debits_posted.0 += change.posted.0;
    credit.credits_pending.0 += change.pending.0;
    credit.credits_posted.0 += change.posted.0;
}

/// The books as they would be after some transfers. Grows with what these touch, not with the
/// books.
pub(crate) struct Overlay<'a, B> {
    base: &'a B,
    accounts: BTreeMap<AccountId, Account>,
    /// `None` for a hold that the overlay has ended.
    holds: BTreeMap<TransferId, Option<Hold>>,
    prints: BTreeMap<TransferId, Print>,
}

impl<'a, B: Books> Overlay<'a, B> {
    pub(crate) const fn over(base: &'a B) -> Self {
        Self { base, accounts: BTreeMap::new(), holds: BTreeMap::new(), prints: BTreeMap::new() }
    }

    pub(crate) fn write(&mut self, id: TransferId, change: &Change) {
        let known = "a judged change names accounts of these books";
        let mut debit = *self.account(change.debit).expect(known);
        let mut credit = *self.account(change.credit).expect(known);
        settle(&mut debit, &mut credit, change);
        self.accounts.insert(debit.id, debit);
        self.accounts.insert(credit.id, credit);
        match change.hold {
            HoldChange::None => {}
            HoldChange::Put(id, hold) => {
                self.holds.insert(id, Some(hold));
            }
            HoldChange::End(id) => {
                self.holds.insert(id, None);
            }
        }
        self.prints.insert(id, change.print);
    }
}

impl<B: Books> Books for Overlay<'_, B> {
    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id).or_else(|| self.base.account(id))
    }
    fn hold(&self, id: TransferId) -> Option<&Hold> {
        match self.holds.get(&id) {
            Some(written) => written.as_ref(),
            None => self.base.hold(id),
        }
    }
    fn print(&self, id: TransferId) -> Option<Print> {
        self.prints.get(&id).copied().or_else(|| self.base.print(id))
    }
}
