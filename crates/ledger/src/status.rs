//! Why a transfer or a change of an account is not accepted.
//!
//! The order of the variants is their precedence: of all that is wrong with a transfer the first
//! in this order is answered, so the answer does not depend on how the check is written. Having
//! been accepted before comes first of all.

use serde::{Deserialize, Serialize};

/// Why a transfer is not accepted, in order of precedence.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It was accepted before, with the same content. Nothing is wrong: there is nothing to do.
    #[error("the transfer was accepted before")]
    Exists,
    /// Its id belongs to a transfer with other content.
    #[error("the id, or the reference, belongs to a transfer with other content")]
    ExistsDifferent,
    /// The account to be debited is not in these books.
    #[error("the account to be debited does not exist")]
    DebitUnknown,
    /// The account to be credited is not in these books.
    #[error("the account to be credited does not exist")]
    CreditUnknown,
    /// Debit and credit name one account.
    #[error("an account cannot pay itself")]
    SameAccount,
    /// No transfer of the id named as hold is remembered.
    #[error("there is no such hold")]
    HoldUnknown,
    /// The id named as hold is that of another sort of transfer.
    #[error("the transfer named is not a hold")]
    NotAHold,
    /// The hold was released or captured for the last time.
    #[error("the hold has ended")]
    HoldEnded,
    /// The hold's time is over; it can only be released.
    #[error("the hold has expired and can only be released")]
    HoldExpired,
    /// The end asked for the hold is not after the time of the transfer.
    #[error("the end of the hold has passed already")]
    UntilPassed,
    /// The account to be debited is closed.
    #[error("the account to be debited is closed")]
    DebitClosed,
    /// The account to be credited is closed.
    #[error("the account to be credited is closed")]
    CreditClosed,
    /// More is to be captured than the hold has left.
    #[error("the hold has less left than is to be captured")]
    OverHold,
    /// The total debited would be over the range of money.
    #[error("the account's debits would be larger than can be kept")]
    DebitsOverflow,
    /// The total credited would be over the range of money.
    #[error("the account's credits would be larger than can be kept")]
    CreditsOverflow,
    /// The account to be debited has not enough.
    #[error("the account has not enough available")]
    BelowFloor,
}

impl Status {
    /// Every status, in order of precedence.
    pub const ALL: [Self; 16] = [
        Self::Exists,
        Self::ExistsDifferent,
        Self::DebitUnknown,
        Self::CreditUnknown,
        Self::SameAccount,
        Self::HoldUnknown,
        Self::NotAHold,
        Self::HoldEnded,
        Self::HoldExpired,
        Self::UntilPassed,
        Self::DebitClosed,
        Self::CreditClosed,
        Self::OverHold,
        Self::DebitsOverflow,
        Self::CreditsOverflow,
        Self::BelowFloor,
    ];

    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Exists => "ledger.exists",
            Self::ExistsDifferent => "ledger.exists_different",
            Self::DebitUnknown => "ledger.debit_unknown",
            Self::CreditUnknown => "ledger.credit_unknown",
            Self::SameAccount => "ledger.same_account",
            Self::HoldUnknown => "ledger.hold_unknown",
            Self::NotAHold => "ledger.not_a_hold",
            Self::HoldEnded => "ledger.hold_ended",
            Self::HoldExpired => "ledger.hold_expired",
            Self::UntilPassed => "ledger.until_passed",
            Self::DebitClosed => "ledger.debit_closed",
            Self::CreditClosed => "ledger.credit_closed",
            Self::OverHold => "ledger.over_hold",
            Self::DebitsOverflow => "ledger.debits_overflow",
            Self::CreditsOverflow => "ledger.credits_overflow",
            Self::BelowFloor => "ledger.below_floor",
        }
    }

    /// What to do next.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Exists => "nothing: the money has moved as asked",
            Self::ExistsDifferent => "use a new id for a new transfer",
            Self::DebitUnknown | Self::CreditUnknown => "open the account first",
            Self::SameAccount => "name two accounts",
            Self::HoldUnknown | Self::NotAHold => {
                "name the id of a hold; one that was retired is in the archive"
            }
            Self::HoldEnded => "make a new hold or post the amount",
            Self::HoldExpired => "release the hold and make a new one",
            Self::UntilPassed => "give an end that lies ahead",
            Self::DebitClosed | Self::CreditClosed => "use an open account",
            Self::OverHold => "extend the hold first or capture less",
            Self::DebitsOverflow | Self::CreditsOverflow => {
                "carry the balance over to a new account"
            }
            Self::BelowFloor => "top up the account or ask for a larger credit line",
        }
    }

    /// Is it a repeat of what was accepted before, so that the caller may go on as if it were
    /// accepted now?
    pub const fn is_repeat(self) -> bool {
        matches!(self, Self::Exists)
    }
}

/// Why an account is not opened, closed or given another floor, in order of precedence.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Debug,
    Serialize,
    Deserialize,
    thiserror::Error,
)]
#[serde(rename_all = "snake_case")]
pub enum AccountStatus {
    /// It is so already. Nothing is wrong: there is nothing to do.
    #[error("the account is so already")]
    Exists,
    /// The id belongs to an account of another kind or floor.
    #[error("the id belongs to another account")]
    ExistsDifferent,
    /// The account is not in these books.
    #[error("the account does not exist")]
    Unknown,
    /// The account is closed.
    #[error("the account is closed")]
    Closed,
    /// Holds from it or in its favour are open.
    #[error("the account has open holds")]
    Pending,
    /// The account stands below the floor asked for.
    #[error("the account stands below that floor")]
    BelowFloor,
}

impl AccountStatus {
    /// The stable name.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Exists => "ledger.account_exists",
            Self::ExistsDifferent => "ledger.account_exists_different",
            Self::Unknown => "ledger.account_unknown",
            Self::Closed => "ledger.account_closed",
            Self::Pending => "ledger.account_pending",
            Self::BelowFloor => "ledger.account_below_floor",
        }
    }

    /// What to do next.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Exists => "nothing: it is as asked",
            Self::ExistsDifferent => "use a new id for a new account",
            Self::Unknown => "open the account first",
            Self::Closed => "use an open account",
            Self::Pending => "wait until its holds are captured or released",
            Self::BelowFloor => "top up the account first or ask for a lower floor",
        }
    }

    /// Is it so already, so that the caller may go on as if it had been done now?
    pub const fn is_repeat(self) -> bool {
        matches!(self, Self::Exists)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn precedence_is_the_order_of_the_list_and_codes_are_distinct() {
        assert!(Status::ALL.is_sorted());
        let codes: BTreeSet<_> = Status::ALL.iter().map(|status| status.code()).collect();
        assert_eq!(codes.len(), Status::ALL.len());
        assert!(codes.iter().all(|code| code.starts_with("ledger.")));
    }
}
