//! Which accelerator cards of a node a task holds: whole cards and at most a part of one more, so
//! that a quarter of a card is a quarter of *one* card. Invariant: a card is never booked over 1,000
//! thousandths.

use dayan_units::MilliAccel;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// One whole card, in thousandths.
pub(crate) const CARD: u32 = 1_000;
/// The same, as it is booked.
const WHOLE: u16 = 1_000;
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

/// Cards of a node that are joined by links or by one processor's memory, each island as a mask. What is on
/// no island is one of its own, and so is all of it where nothing is told.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Islands(SmallVec<[u64; 2]>);

impl Islands {
    /// Nothing is told: the lowest cards are taken.
    pub const NONE: Self = Self(SmallVec::new_const());

    /// From the number of each card's island.
    pub fn of(numbers: &[u8]) -> Self {
        let mut masks: std::collections::BTreeMap<u8, u64> = std::collections::BTreeMap::new();
        for (card, island) in numbers.iter().take(CARDS_MAX).enumerate() {
            *masks.entry(*island).or_default() |= 1 << card;
        }
        Self(masks.into_values().collect())
    }

    /// So many of these cards: all from the island that has the fewest of those that have enough, so that
    /// whole islands stay whole; where none has, most from the one with the most. None where there are too few.
    fn take(&self, free: u64, count: u32) -> Option<u64> {
        if free.count_ones() < count {
            return None;
        }
        let mut taken = 0u64;
        while taken.count_ones() < count {
            let left = count - taken.count_ones();
            let known = self.0.iter().fold(0, |all, island| all | island);
            let parts = || {
                let islands = self.0.iter().copied().chain([!known]);
                islands.map(|island| island & free & !taken).filter(|cards| *cards != 0)
            };
            let enough = parts().filter(|cards| cards.count_ones() >= left);
            let tightest = enough.min_by_key(|cards| (cards.count_ones(), cards.trailing_zeros()));
            let most = || parts().min_by_key(|c| (u32::MAX - c.count_ones(), c.trailing_zeros()));
            taken |= lowest(tightest.or_else(most)?, left);
        }
        Some(taken)
    }
}

/// The lowest so many of these.
fn lowest(mut cards: u64, count: u32) -> u64 {
    let mut taken = 0;
    for _ in 0..count.min(cards.count_ones()) {
        taken |= 1 << cards.trailing_zeros();
        cards &= cards - 1;
    }
    taken
}

/// What is booked on each card of one node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct CardBank {
    /// Thousandths each card has and has booked. Only the last can have less than a whole card. Eight
    /// cards, the most that common machines have, stand in the node itself.
    cards: SmallVec<[(u16, u16); 8]>,
}

/// The free cards of a node in sum: cheap upper bounds for the index.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct CardRoom {
    /// Cards nobody holds any of.
    pub whole: u32,
    /// The largest free part of one card.
    pub part: u32,
}

impl CardBank {
    /// The cards of a node; none where there are more than the mask holds.
    pub fn of(total: MilliAccel) -> Self {
        let mut cards = SmallVec::new();
        let mut left = total.0;
        if left > CARDS_MAX as u64 * u64::from(CARD) {
            return Self { cards };
        }
        while left > 0 {
            let size = left.min(u64::from(CARD));
            cards.push((u16::try_from(size).expect("at most a card"), 0));
            left -= size;
        }
        Self { cards }
    }
    pub fn is_empty(&self) -> bool {
        self.cards.is_empty()
    }
    fn free(&self) -> impl Iterator<Item = (u8, u32)> + '_ {
        (0u8..).zip(self.cards.iter().map(|&(has, used)| u32::from(has.saturating_sub(used))))
    }
    /// Thousandths left on each card.
    pub fn left(&self) -> SmallVec<[u16; 8]> {
        let left = self.free().map(|(_, free)| u16::try_from(free).expect("at most a card"));
        left.collect()
    }
    pub fn room(&self) -> CardRoom {
        self.free().fold(CardRoom::default(), |room, (_, free)| CardRoom {
            whole: room.whole + u32::from(free == CARD),
            part: room.part.max(free),
        })
    }
    /// Cards for a need: the part goes to the fullest card that still has it, so that whole cards
    /// stay whole; the whole ones come from as few islands as can be. None where it does not fit.
    pub fn choose(&self, need: CardNeed, islands: &Islands) -> Option<Cards> {
        let part = if need.part == 0 {
            None
        } else {
            let fullest = self.free().filter(|&(_, free)| free >= need.part);
            let (card, _) = fullest.min_by_key(|&(card, free)| (free, card))?;
            Some(CardPart { card, milli: u16::try_from(need.part).expect("less than a card") })
        };
        let untouched = self
            .free()
            .filter(|&(card, free)| free == CARD && part.is_none_or(|part| part.card != card))
            .fold(0u64, |cards, (card, _)| cards | 1 << card);
        let whole = islands.take(untouched, need.whole)?;
        Some(Cards { whole, part })
    }
    fn change(&mut self, cards: Cards, how: impl Fn(u16, u16) -> u16) {
        let mut whole = cards.whole;
        while whole != 0 {
            let card = whole.trailing_zeros() as usize;
            whole &= whole - 1;
            if let Some((_, used)) = self.cards.get_mut(card) {
                *used = how(*used, WHOLE);
            }
        }
        if let Some(part) = cards.part
            && let Some((_, used)) = self.cards.get_mut(usize::from(part.card))
        {
            *used = how(*used, part.milli);
        }
    }
    pub fn book(&mut self, cards: Cards) {
        self.change(cards, u16::saturating_add);
    }
    pub fn release(&mut self, cards: Cards) {
        self.change(cards, u16::saturating_sub);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(milli: u64) -> CardNeed {
        CardNeed::of(MilliAccel(milli))
    }

    #[test]
    fn a_quarter_is_of_one_card_and_whole_cards_stay_whole() {
        let mut bank = CardBank::of(MilliAccel(2_000));
        let quarter = bank.choose(need(250), &Islands::NONE).expect("empty");
        assert_eq!(quarter, Cards { whole: 0, part: Some(CardPart { card: 0, milli: 250 }) });
        bank.book(quarter);
        let more = bank.choose(need(500), &Islands::NONE).expect("the started card has it");
        assert_eq!(more.part.map(|part| part.card), Some(0));
        bank.book(more);
        assert_eq!(bank.choose(need(2_000), &Islands::NONE), None);
        let one_and_a_bit =
            bank.choose(need(1_250), &Islands::NONE).expect("card 1 and the rest of card 0");
        assert_eq!(one_and_a_bit.numbers().collect::<Vec<_>>(), [0, 1]);
        bank.book(one_and_a_bit);
        assert_eq!(bank.room(), CardRoom { whole: 0, part: 0 });
        for held in [quarter, more, one_and_a_bit] {
            bank.release(held);
        }
        assert_eq!(bank, CardBank::of(MilliAccel(2_000)));
    }

    #[test]
    fn halves_on_two_cards_are_no_whole_card() {
        let mut bank = CardBank::of(MilliAccel(2_000));
        bank.book(Cards { whole: 0, part: Some(CardPart { card: 0, milli: 500 }) });
        bank.book(Cards { whole: 0, part: Some(CardPart { card: 1, milli: 500 }) });
        assert_eq!(bank.choose(need(1_000), &Islands::NONE), None);
        assert!(bank.choose(need(500), &Islands::NONE).is_some());
        assert_eq!(CardBank::of(MilliAccel(65_000)).room(), CardRoom::default());
    }

    #[test]
    fn tasks_stay_on_an_island_and_whole_islands_stay_whole() {
        let check = |islands: &[u8], free: u64, count: u32, expect: Option<u64>| {
            assert_eq!(
                Islands::of(islands).take(free, count),
                expect,
                "{islands:?} {free:b} {count}"
            );
        };
        let halves = [0, 0, 0, 0, 1, 1, 1, 1];
        // One card comes from the island that is broken already, four from the one that is whole.
        check(&halves, 0b1111_1110, 1, Some(0b0000_0010));
        check(&halves, 0b1111_1110, 4, Some(0b1111_0000));
        check(&halves, 0b1111_1110, 3, Some(0b0000_1110));
        // More than an island has: most of it from one.
        check(&halves, 0b0111_1100, 4, Some(0b0111_0100));
        check(&halves, 0b1111_1111, 6, Some(0b0011_1111));
        check(&halves, 0b0000_0001, 2, None);
        check(&halves, 0b1111_1111, 0, Some(0));
        // Cards that lie alternately, cards that nobody names, and nothing told.
        check(&[0, 1, 0, 1], 0b1111, 2, Some(0b0101));
        check(&[0, 0], 0b1110, 2, Some(0b1100));
        check(&[], 0b1011_0100, 3, Some(0b0011_0100));
        check(&[7; 64], u64::MAX, 64, Some(u64::MAX));
    }

    proptest::proptest! {
        #[test]
        fn what_one_island_can_hold_is_on_one(
            islands in proptest::collection::vec(0u8..4, 0..16), free: u16, count in 1u32..9,
        ) {
            let (numbers, free) = (&islands, u64::from(free));
            let islands = Islands::of(numbers);
            let taken = islands.take(free, count);
            proptest::prop_assert_eq!(taken.is_some(), free.count_ones() >= count);
            if let Some(taken) = taken {
                proptest::prop_assert_eq!((taken.count_ones(), taken & !free), (count, 0));
                let touched = islands.0.iter().filter(|island| *island & taken != 0).count();
                let alone = islands.0.iter().any(|island| (island & free).count_ones() >= count);
                let unnamed = taken >> numbers.len() != 0;
                proptest::prop_assert!(!alone || touched + usize::from(unnamed) == 1);
            }
        }
    }
}
