//! Transfers as asked for, open holds, and the print by which a repeat is told from a clash.
//!
//! A settled transfer leaves only its id and a 128-bit print of its content in memory (32 bytes,
//! plus the table's slack): the whole transfer is in the caller's journal.

use dayan_units::{Micro, Time, TransferId};
use serde::{Deserialize, Serialize};

use crate::account::AccountId;
use crate::amount::{Amount, hex128};

/// One movement of money, or one step of a movement in two phases.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Transfer {
    /// Its name and idempotency key.
    pub id: TransferId,
    /// What it does.
    pub kind: TransferKind,
    /// The caller's reason, one of its own list.
    #[serde(default)]
    pub code: u16,
    /// The caller's reference, for instance an attempt.
    #[serde(default, with = "hex128")]
    pub user_data: u128,
    /// When it is asked for. No part of its content: a repeat comes later than the first.
    pub at: Time,
}

/// What a transfer does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferKind {
    /// Moves an amount at once.
    Post {
        /// Pays.
        debit: AccountId,
        /// Is paid.
        credit: AccountId,
        /// How much.
        amount: Amount,
    },
    /// Reserves an amount on the debit account, to be captured or released under this transfer's
    /// id.
    Hold {
        /// Will pay.
        debit: AccountId,
        /// Will be paid.
        credit: AccountId,
        /// How much at most.
        amount: Amount,
        /// From this moment on it can only be released; `None`: no such moment. The ledger does
        /// not release by itself, see [`crate::Ledger::expired`].
        until: Option<Time>,
    },
    /// Moves a part of what a hold has left.
    Capture {
        /// The hold.
        hold: TransferId,
        /// How much of it.
        amount: Amount,
        /// What becomes of the rest.
        rest: Rest,
    },
    /// Ends a hold and gives back what it has left.
    Release {
        /// The hold.
        hold: TransferId,
    },
    /// Reserves more under the same hold.
    Extend {
        /// The hold.
        hold: TransferId,
        /// How much more.
        amount: Amount,
        /// Its new end, in place of the one it had.
        until: Option<Time>,
    },
}

/// What becomes of what a capture leaves of its hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rest {
    /// It stays held, even where nothing is left: the hold can be extended.
    Keep,
    /// It goes back and the hold ends: the last capture.
    Release,
}

/// A hold that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Hold {
    /// Will pay.
    pub debit: AccountId,
    /// Will be paid.
    pub credit: AccountId,
    /// All that was ever reserved under it, extensions included.
    pub held: Micro,
    /// What was captured of that.
    pub captured: Micro,
    /// From then on it can only be released.
    pub until: Option<Time>,
    /// The reason it was made for.
    pub code: u16,
    /// The reference it was made with.
    #[serde(with = "hex128")]
    pub user_data: u128,
}

impl Hold {
    /// What is still reserved.
    pub const fn left(&self) -> Micro {
        Micro(self.held.0 - self.captured.0)
    }
    /// Can it only be released at that time?
    pub fn is_expired(&self, at: Time) -> bool {
        self.until.is_some_and(|until| at >= until)
    }
}

/// A print of a transfer's content (everything but its id and time), with its sort in the lowest
/// three bits. Two transfers that differ in a single 64-bit word of their content never share
/// one; other differing pairs do with a chance of about 2⁻¹²⁵, and ids are not chosen by buyers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Print(#[serde(with = "hex128")] u128);

const SORT_BITS: u128 = 0b111;
const SORT_HOLD: u64 = 1;

impl Print {
    pub(crate) fn of(transfer: &Transfer) -> Self {
        let mut lanes = Lanes::new();
        lanes.word(u64::from(transfer.code));
        lanes.wide(transfer.user_data);
        let sort = match transfer.kind {
            TransferKind::Post { debit, credit, amount } => {
                lanes.wide(debit.bits());
                lanes.wide(credit.bits());
                lanes.money(amount);
                0
            }
            TransferKind::Hold { debit, credit, amount, until } => {
                lanes.wide(debit.bits());
                lanes.wide(credit.bits());
                lanes.money(amount);
                lanes.end(until);
                SORT_HOLD
            }
            TransferKind::Capture { hold, amount, rest } => {
                lanes.wide(hold.bits());
                lanes.money(amount);
                match rest {
                    Rest::Keep => 2,
                    Rest::Release => 3,
                }
            }
            TransferKind::Release { hold } => {
                lanes.wide(hold.bits());
                4
            }
            TransferKind::Extend { hold, amount, until } => {
                lanes.wide(hold.bits());
                lanes.money(amount);
                lanes.end(until);
                5
            }
        };
        let bits = (u128::from(lanes.high) << 64) | u128::from(lanes.low);
        Self((bits & !SORT_BITS) | u128::from(sort))
    }

    /// Was the transfer a hold?
    pub(crate) const fn is_hold(self) -> bool {
        self.0 & SORT_BITS == SORT_HOLD as u128
    }
}

/// Two lanes of 64 bits. Each step is a bijection of the lane for a given word and of the word for
/// a given lane: an exclusive or, a product with an odd number, a folding shift.
struct Lanes {
    high: u64,
    low: u64,
}

impl Lanes {
    /// The fractional digits of π and of e as starts and factors (made odd): numbers with nothing
    /// up their sleeve.
    const PI: u64 = 0x243f_6a88_85a3_08d3;
    const E: u64 = 0xb7e1_5162_8aed_2a6b;

    const fn new() -> Self {
        Self { high: Self::E, low: Self::PI }
    }
    const fn word(&mut self, word: u64) {
        self.high = (self.high ^ word).wrapping_mul(Self::PI);
        self.high ^= self.high >> 32;
        self.low = (self.low ^ word.rotate_left(32)).wrapping_mul(Self::E);
        self.low ^= self.low >> 29;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the two halves of it, one after the other"
    )]
    const fn wide(&mut self, value: u128) {
        self.word((value >> 64) as u64);
        self.word(value as u64);
    }
    const fn money(&mut self, amount: Amount) {
        self.word(amount.micro().0.cast_unsigned());
    }
    const fn end(&mut self, until: Option<Time>) {
        match until {
            Some(until) => {
                self.word(1);
                self.word(until.micros().cast_unsigned());
            }
            None => self.word(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn post(amount: i64, code: u16, at: i64) -> Transfer {
        Transfer {
            id: TransferId::from_bits(1),
            kind: TransferKind::Post {
                debit: AccountId::from_bits(1),
                credit: AccountId::from_bits(2),
                amount: Amount::new(Micro(amount)).expect("positive"),
            },
            code,
            user_data: 7,
            at: Time::from_micros(at),
        }
    }

    #[test]
    fn the_print_is_of_the_content_and_not_of_the_time() {
        assert_eq!(Print::of(&post(5, 1, 0)), Print::of(&post(5, 1, 99)));
        assert_ne!(Print::of(&post(5, 1, 0)), Print::of(&post(6, 1, 0)));
        assert_ne!(Print::of(&post(5, 1, 0)), Print::of(&post(5, 2, 0)));
    }

    #[test]
    fn a_hold_is_known_by_its_print() {
        let until = Some(Time::from_micros(1));
        let with = |until| Transfer {
            kind: TransferKind::Hold {
                debit: AccountId::from_bits(1),
                credit: AccountId::from_bits(2),
                amount: Amount::new(Micro(5)).expect("positive"),
                until,
            },
            ..post(5, 1, 0)
        };
        assert!(Print::of(&with(until)).is_hold());
        assert!(!Print::of(&post(5, 1, 0)).is_hold());
        assert_ne!(Print::of(&with(until)), Print::of(&with(None)));
    }
}
