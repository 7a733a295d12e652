//! The ledger itself: accounts, open holds, and the prints of what was settled.
//!
//! Every change comes as a pair: `check…` on a shared reference, which says whether it is accepted
//! and changes nothing, and its counterpart on an exclusive one, which cannot fail for what was
//! accepted and panics for anything else, because going on would corrupt the books.

use std::collections::BTreeSet;

use dayan_units::{Micro, Time, TransferId};
use rustc_hash::FxHashMap;

use crate::account::{Account, AccountId, NewAccount};
use crate::judge::{Books, Change, HoldChange, Overlay, Rules, judge, judge_new, settle};
use crate::status::{AccountStatus, Status};
use crate::transfer::{Hold, Print, Transfer};

/// The books of one exchange, in one currency.
///
/// The maps are hashed for speed; nothing here lets their order out: lists are sorted, and so is
/// the serialised form, which therefore is the same for the same books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    pub(crate) accounts: FxHashMap<AccountId, Account>,
    /// Open holds only.
    pub(crate) holds: FxHashMap<TransferId, Hold>,
    /// The ends of those open holds that have one, in order.
    pub(crate) ends: BTreeSet<(Time, TransferId)>,
    /// All accepted and not yet retired.
    pub(crate) prints: FxHashMap<TransferId, Print>,
    /// How many were ever accepted.
    pub(crate) accepted: u64,
}

impl Ledger {
    /// Empty books.
    pub fn new() -> Self {
        Self::default()
    }

    /// Would the transfer be accepted? [`Status::Exists`] means that it has been.
    pub fn check(&self, transfer: &Transfer) -> Result<(), Status> {
        judge(self, transfer, Rules::All).map(|_| ())
    }

    /// Would all of the transfers be accepted, one after the other? Else none may be applied: the
    /// answer names the first that would not be, by its place. A chain that was applied before
    /// answers `(0, Exists)`. Allocates in proportion to the chain.
    pub fn check_linked(&self, transfers: &[Transfer]) -> Result<(), (usize, Status)> {
        match transfers {
            [] => Ok(()),
            [single] => self.check(single).map_err(|status| (0, status)),
            [init @ .., last] => {
                let mut overlay = Overlay::over(self);
                for (place, transfer) in init.iter().enumerate() {
                    let change = judge(&overlay, transfer, Rules::All);
                    overlay.write(transfer.id, &change.map_err(|status| (place, status))?);
                }
                judge(&overlay, last, Rules::All).map(|_| ()).map_err(|status| (init.len(), status))
            }
        }
    }

    /// Applies a transfer that [`Ledger::check`] accepts.
    pub fn apply(&mut self, transfer: &Transfer) {
        if let Err(status) = self.accept(transfer, Rules::All) {
            panic!("bug: {} applied unchecked: {status}", transfer.id);
        }
    }

    /// Applies a chain that [`Ledger::check_linked`] accepts.
    pub fn apply_linked(&mut self, transfers: &[Transfer]) {
        for transfer in transfers {
            self.apply(transfer);
        }
    }

    /// Would the account be opened? [`AccountStatus::Exists`] means that it is open, as asked.
    pub fn check_open(&self, new: &NewAccount) -> Result<(), AccountStatus> {
        if let Some(known) = self.accounts.get(&new.id) {
            let same = (known.kind, known.floor) == (new.kind, new.floor);
            return Err(if same { AccountStatus::Exists } else { AccountStatus::ExistsDifferent });
        }
        if new.floor.is_some_and(|floor| floor > Micro::ZERO) {
            return Err(AccountStatus::BelowFloor);
        }
        Ok(())
    }

    /// Opens an account that [`Ledger::check_open`] accepts.
    pub fn open(&mut self, new: &NewAccount) {
        if let Err(status) = self.check_open(new) {
            panic!("bug: account {} opened unchecked: {status}", new.id);
        }
        self.accounts.insert(new.id, Account::opened(new));
    }

    /// Would the account be closed? Its holds must have ended; a balance may stay on it.
    pub fn check_close(&self, id: AccountId) -> Result<(), AccountStatus> {
        let account = self.accounts.get(&id).ok_or(AccountStatus::Unknown)?;
        if account.closed {
            return Err(AccountStatus::Exists);
        }
        // A hold with nothing left can still be extended, so what is pending does not tell.
        if self.holds.values().any(|hold| hold.debit == id || hold.credit == id) {
            return Err(AccountStatus::Pending);
        }
        Ok(())
    }

    /// Closes an account that [`Ledger::check_close`] accepts.
    pub fn close(&mut self, id: AccountId) {
        if let Err(status) = self.check_close(id) {
            panic!("bug: account {id} closed unchecked: {status}");
        }
        self.account_mut(id).closed = true;
    }

    /// Would the account be given that floor (a credit line is a floor below zero)? Refused where
    /// the account stands below it already.
    pub fn check_floor(&self, id: AccountId, floor: Option<Micro>) -> Result<(), AccountStatus> {
        let account = self.accounts.get(&id).ok_or(AccountStatus::Unknown)?;
        if account.floor == floor {
            return Err(AccountStatus::Exists);
        }
        if account.closed {
            return Err(AccountStatus::Closed);
        }
        if floor.is_some_and(|floor| account.available() < floor) {
            return Err(AccountStatus::BelowFloor);
        }
        Ok(())
    }

    /// Gives an account the floor that [`Ledger::check_floor`] accepts.
    pub fn move_floor(&mut self, id: AccountId, floor: Option<Micro>) {
        if let Err(status) = self.check_floor(id, floor) {
            panic!("bug: floor of account {id} moved unchecked: {status}");
        }
        self.account_mut(id).floor = floor;
    }

    /// Forgets settled transfers: from then on their ids are free, and a repeat would be accepted
    /// again. When that is safe is the caller's to know. Open holds stay, unknown ids do nothing.
    pub fn retire(&mut self, ids: impl IntoIterator<Item = TransferId>) {
        for id in ids {
            if !self.holds.contains_key(&id) {
                self.prints.remove(&id);
            }
        }
        // Give back what a month of transfers took, but not for every small batch.
        if self.prints.capacity() > 4 * self.prints.len().max(1 << 10) {
            self.prints.shrink_to(2 * self.prints.len());
        }
    }

    /// An account.
    pub fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }

    /// All accounts, by id.
    pub fn accounts(&self) -> Vec<&Account> {
        let mut all: Vec<_> = self.accounts.values().collect();
        all.sort_unstable_by_key(|account| account.id);
        all
    }

    /// An open hold; `None` where it has ended or never was.
    pub fn hold(&self, id: TransferId) -> Option<&Hold> {
        self.holds.get(&id)
    }

    /// All open holds, by id.
    pub fn holds(&self) -> Vec<(TransferId, &Hold)> {
        let mut all: Vec<_> = self.holds.iter().map(|(id, hold)| (*id, hold)).collect();
        all.sort_unstable_by_key(|(id, _)| *id);
        all
    }

    /// Was the transfer accepted and is it not retired yet?
    pub fn remembers(&self, id: TransferId) -> bool {
        self.prints.contains_key(&id)
    }

    /// The open holds that at `now` can only be released, in the order in which they expired.
    pub fn expired(&self, now: Time) -> impl Iterator<Item = TransferId> + '_ {
        self.ends.iter().take_while(move |(end, _)| *end <= now).map(|(_, id)| *id)
    }

    /// How many transfers were ever accepted, the retired included.
    pub const fn accepted(&self) -> u64 {
        self.accepted
    }

    /// How many transfers are remembered.
    pub fn remembered(&self) -> usize {
        self.prints.len()
    }

    fn account_mut(&mut self, id: AccountId) -> &mut Account {
        self.accounts.get_mut(&id).expect("the check before found the account")
    }

    /// Judges a transfer and writes it. Where its id is not new the books are left unfit for use.
    pub(crate) fn accept(&mut self, transfer: &Transfer, rules: Rules) -> Result<(), Status> {
        let print = Print::of(transfer);
        let change = judge_new(self, transfer, print, rules)?;
        if let Some(known) = self.prints.insert(transfer.id, print) {
            return Err(if known == print { Status::Exists } else { Status::ExistsDifferent });
        }
        self.write(transfer.id, &change);
        Ok(())
    }

    /// Writes what was judged.
    fn write(&mut self, id: TransferId, change: &Change) {
        let [Some(debit), Some(credit)] =
            self.accounts.get_disjoint_mut([&change.debit, &change.credit])
        else {
            panic!("bug: {id} names accounts that are not in the books");
        };
        settle(debit, credit, change);
        match change.hold {
            HoldChange::None => {}
            HoldChange::Put(id, hold) => {
                let before = self.holds.insert(id, hold).and_then(|before| before.until);
                if before != hold.until {
                    if let Some(end) = before {
                        self.ends.remove(&(end, id));
                    }
                    if let Some(end) = hold.until {
                        self.ends.insert((end, id));
                    }
                }
            }
            HoldChange::End(id) => {
                if let Some(end) = self.holds.remove(&id).and_then(|before| before.until) {
                    self.ends.remove(&(end, id));
                }
            }
        }
        self.accepted += 1;
    }
}

impl Books for Ledger {
    fn account(&self, id: AccountId) -> Option<&Account> {
        self.accounts.get(&id)
    }
    fn hold(&self, id: TransferId) -> Option<&Hold> {
        self.holds.get(&id)
    }
    fn print(&self, id: TransferId) -> Option<Print> {
        self.prints.get(&id).copied()
    }
}
