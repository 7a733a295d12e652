//! The books: accounts, two-phase transfers between them, and the proof that they balance.
//!
//! Money is moved at once (`Post`) or in two phases: a `Hold` reserves it on the debit side, any
//! number of `Capture`s move parts of it, an `Extend` reserves more, a `Release` gives the rest
//! back. Every transfer names a debit and a credit account, directly or through its hold.
//!
//! Invariants, each a test:
//! - the debits of all accounts equal their credits, posted and pending alike;
//! - an account with a floor never goes below it;
//! - what is pending is exactly what open holds have left;
//! - a transfer is accepted once, whatever is repeated;
//! - what [`Ledger::check`] accepts, [`Ledger::apply`] applies, and nothing else changes a balance.
//!
//! The ledger knows no jobs, no prices and no clock: reasons are codes, what a transfer is for is
//! an opaque reference, and time comes in with the transfer.

mod account;
mod amount;
mod transfer;

mod status;

mod judge;
mod ledger;

mod books;
mod snapshot;

pub use account::{Account, AccountId, AccountIdError, AccountKind, NewAccount};
pub use amount::Amount;
pub use books::{BooksReport, Difference, Unfit};
pub use ledger::Ledger;
pub use status::{AccountStatus, Status};
pub use transfer::{Hold, Rest, Transfer, TransferKind};
