//! Which accelerator cards of a node a task holds: whole cards and at most a part of one more, so
//! that a quarter of a card is a quarter of *one* card. Invariant: a card is never booked over 1,000
//! thousandths.

use dayan_units::MilliAccel;
use serde::{Deserialize, Serialize};

/// One whole card, in thousandths.
pub(crate) const CARD: u32 = 1_000;
/// Cards are a bit mask of 64: the largest machines sold have 16, and a larger one is shown as a group.
pub(crate) const CARDS_MAX: usize = 64;

/// A part of one card.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct CardPart {
    /// The card's number on its node.
    pub card: u8,
    /// How much of it, in thousandths, 1 to 999.
    pub milli: u16,
}

/// The cards a task holds on its node. Empty where it holds none, or where the node is a group and
/// its engine picks them.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct Cards {
    /// Bit n: the whole of card n.
    pub whole: u64,
    /// And a part of one more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<CardPart>,
}

impl Cards {
    /// None.
    pub const NONE: Self = Self { whole: 0, part: None };

    /// The numbers of all cards held, whole or in part, ascending.
    pub fn numbers(&self) -> impl Iterator<Item = u8> + '_ {
        let part = self.part.map_or(0, |part| 1u64 << part.card);
        (0..64u8).filter(move |card| (self.whole | part) >> card & 1 == 1)
    }
}

/// What an ask for thousandths of cards comes to: whole cards and a rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct CardNeed {
    pub whole: u32,
    pub part: u32,
}

impl CardNeed {
    pub fn of(accel: MilliAccel) -> Self {
        let card = u64::from(CARD);
        Self {
            whole: u32::try_from(accel.0 / card).unwrap_or(u32::MAX),
            part: u32::try_from(accel.0 % card).expect("less than a card"),
        }
    }
}
