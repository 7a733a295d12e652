//! The money, kept once more: from the bookings alone, in plain 128-bit sums, without a line of the
//! ledger's code.

use std::collections::{BTreeMap, BTreeSet};

use dayan_ledger::{AccountId, Rest, Transfer, TransferKind};
use dayan_units::{Micro, TransferId};

/// What an account is to the checker.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    Consumer,
    Provider,
    /// The exchange's own: the bank's side, clearing, fees.
    Own,
}

#[derive(Clone, Copy, Debug)]
struct Account {
    kind: Kind,
    floor: Option<i128>,
    posted: i128,
    held: i128,
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    debit: AccountId,
    credit: AccountId,
    left: i128,
}

/// All accounts and holds.
#[derive(Debug, Default)]
pub(crate) struct Books {
    accounts: BTreeMap<AccountId, Account>,
    holds: BTreeMap<TransferId, Hold>,
    booked: BTreeSet<TransferId>,
    bank: Option<AccountId>,
    clearing: Option<AccountId>,
    fees: Option<AccountId>,
}

const fn wide(micro: Micro) -> i128 {
    micro.0 as i128
}

impl Books {
    pub(crate) fn open(&mut self, id: AccountId, kind: Kind, floor: i128) {
        let account = Account { kind, floor: Some(floor), posted: 0, held: 0 };
        self.accounts.insert(id, account);
    }

    fn own(&mut self, id: AccountId, floor: Option<i128>) {
        let account = Account { kind: Kind::Own, floor, posted: 0, held: 0 };
        self.accounts.entry(id).or_insert(account);
    }

    fn moved(&mut self, from: AccountId, to: AccountId, amount: i128) -> Result<(), String> {
        self.accounts.get_mut(&from).ok_or("unknown payer")?.posted -= amount;
        self.accounts.get_mut(&to).ok_or("unknown payee")?.posted += amount;
        self.above_floor(from)
    }

    fn above_floor(&self, id: AccountId) -> Result<(), String> {
        let account = &self.accounts[&id];
        let available = account.posted - account.held;
        match account.floor {
            Some(floor) if available < floor => {
                Err(format!("account {id} is at {available}, below its floor of {floor}"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A payment from outside.
    pub(crate) fn deposit(&mut self, transfer: &Transfer) -> Result<(), String> {
        let TransferKind::Post { debit, .. } = transfer.kind else {
            return Err("a deposit is not a posting".to_owned());
        };
        self.own(debit, None);
        self.bank = Some(debit);
        self.book(transfer)
    }

    /// Any booking.
    pub(crate) fn book(&mut self, transfer: &Transfer) -> Result<(), String> {
        if !self.booked.insert(transfer.id) {
            return Err(format!("{} was booked before", transfer.id));
        }
        match transfer.kind {
            TransferKind::Post { debit, credit, amount } => {
                if !self.accounts.contains_key(&credit) {
                    self.own(credit, Some(0));
                    self.fees = Some(credit);
                }
                self.moved(debit, credit, wide(amount.micro()))
            }
            TransferKind::Hold { debit, credit, amount, .. } => {
                self.own(credit, Some(0));
                self.clearing = Some(credit);
                let left = wide(amount.micro());
                self.holds.insert(transfer.id, Hold { debit, credit, left });
                self.accounts.get_mut(&debit).ok_or("unknown payer")?.held += left;
                self.above_floor(debit)
            }
            TransferKind::Extend { hold, amount, .. } => {
                let more = wide(amount.micro());
                let held = self.holds.get_mut(&hold).ok_or("no such hold to extend")?;
                held.left += more;
                let debit = held.debit;
                self.accounts.get_mut(&debit).ok_or("unknown payer")?.held += more;
                self.above_floor(debit)
            }
            TransferKind::Capture { hold, amount, rest } => {
                let amount = wide(amount.micro());
                let held = self.holds.get_mut(&hold).ok_or("no such hold to capture")?;
                if amount > held.left {
                    return Err(format!("{amount} captured of {} held", held.left));
                }
                held.left -= amount;
                let Hold { debit, credit, .. } = *held;
                self.accounts.get_mut(&debit).ok_or("unknown payer")?.held -= amount;
                self.moved(debit, credit, amount)?;
                match rest {
                    Rest::Keep => Ok(()),
                    Rest::Release => self.release(hold),
                }
            }
            TransferKind::Release { hold } => self.release(hold),
        }
    }

    fn release(&mut self, hold: TransferId) -> Result<(), String> {
        let held = self.holds.remove(&hold).ok_or("no such hold to release")?;
        self.accounts.get_mut(&held.debit).ok_or("unknown payer")?.held -= held.left;
        Ok(())
    }

    /// What an account can still spend.
    pub(crate) fn room(&self, id: AccountId) -> i128 {
        let account = &self.accounts[&id];
        account.posted - account.held - account.floor.unwrap_or(0)
    }

    fn sum(&self, kind: Kind) -> i128 {
        self.accounts.values().filter(|a| a.kind == kind).map(|a| a.posted).sum()
    }

    fn posted(&self, id: Option<AccountId>) -> i128 {
        id.and_then(|id| self.accounts.get(&id)).map_or(0, |account| account.posted)
    }

    /// What must always be so.
    pub(crate) fn check(&self) -> Result<(), String> {
        let all: i128 = self.accounts.values().map(|account| account.posted).sum();
        if all != 0 {
            return Err(format!("debits and credits differ by {all}"));
        }
        let spent = -self.posted(self.bank) - self.sum(Kind::Consumer);
        let earned = self.sum(Kind::Provider) + self.posted(self.fees);
        if spent != earned + self.posted(self.clearing) {
            return Err(format!("consumers spent {spent}, providers and fees got {earned}"));
        }
        Ok(())
    }

    /// What must be so when nothing runs.
    pub(crate) fn check_quiet(&self) -> Result<(), String> {
        self.check()?;
        if let Some((id, hold)) = self.holds.first_key_value() {
            return Err(format!("hold {id} of {} is left, one of {}", hold.left, self.holds.len()));
        }
        match self.posted(self.clearing) {
            0 => Ok(()),
            rest => Err(format!("{rest} is left on the clearing account")),
        }
    }

    /// Does the exchange's ledger say the same?
    pub(crate) fn compare(&self, ledger: &dayan_ledger::Ledger) -> Result<(), String> {
        for (id, account) in &self.accounts {
            let theirs = ledger.account(*id).ok_or_else(|| format!("account {id} is missing"))?;
            let posted = wide(theirs.credits_posted) - wide(theirs.debits_posted);
            let held = wide(theirs.debits_pending);
            if posted != account.posted || held != account.held {
                return Err(format!(
                    "account {id} has {posted} and holds {held}, not {} and {}",
                    account.posted, account.held
                ));
            }
        }
        let theirs: Vec<TransferId> = ledger.holds().into_iter().map(|(id, _)| id).collect();
        if theirs.iter().ne(self.holds.keys()) {
            return Err(format!("{} holds are open, not {}", theirs.len(), self.holds.len()));
        }
        Ok(())
    }

    /// What providers earned and what consumers spent, for reports.
    pub(crate) fn turnover(&self) -> (i128, i128) {
        (self.sum(Kind::Provider), -self.posted(self.bank) - self.sum(Kind::Consumer))
    }
}
