//! Expected waste: how much of a node's free cards will be of no use to the work there is. What
//! packing minimises, so that big and odd shapes still fit tomorrow.
//!
//! For each kind of task in the [`Mix`] (what runs now; nothing is known of the future) a node's
//! free cards are partly lost: those too full for one such task (the fragment of Weng et al.,
//! "Beware of Fragmentation", ATC'23 §4.1, here the *first* loss), and what stays over when the node
//! is filled with such tasks until cards or cores are gone (the *last* loss; it sees cores that run
//! out long before cards do). The loss is the mean of the two. As a scheduler sends to a node what
//! suits it there, not what comes along by chance, the expectation is over the *best of the next
//! few* tasks, not over a single one.
//!
//! Invariant: the waste is a function of the mix and the node's free cores and cards alone, between
//! nothing and all that is free; a full node wastes nothing. It must not know pools or queues.

use std::collections::BTreeMap;

use dayan_units::Resources;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::cards::CARD;

/// The best of so many tasks is what a hole gets. One is the published measure, blind to choice;
/// with many, holes that nothing but a rarity fits look free. Between 2 and 8 the figures for the
/// public traces differ by less than 0.2 % of the cards; this is the middle.
const CHOICE_OF: i32 = 4;
/// Wastes that differ by less than a hundredth of a card are equal, and then the packing order
/// decides: it keeps whole nodes free, which the expectation over single nodes cannot see.
const STEP_MILLI: f64 = 10.0;
/// The most frequent kinds that are looked at: the cost of a look is in proportion. The public
/// trace's first 32 kinds cover nine tenths of its tasks.
const KINDS_MAX: usize = 32;
/// Bits that number the kinds.
const NTH_BITS: u32 = KINDS_MAX.ilog2();
/// Frequencies are rounded to this many leading bits, so that the mix (and with it what is
/// remembered of nodes) stays the same while work of the same kind comes and goes.
const COUNT_BITS: u32 = 3;
/// Cores are rounded down to this many leading bits, so that kinds are few. Down, because what just
/// fits a node must not seem too large for it.
const CORE_BITS: u32 = 5;
/// States remembered: a few megabytes. When it is full it starts again.
const MEMO_MAX: usize = 1 << 16;

/// Tasks that take the same of cards and about the same of cores.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Kind {
    accel: u64,
    cpu: u64,
}

fn leading_bits(number: u64, bits: u32) -> u64 {
    let dropped = (u64::BITS - number.leading_zeros()).saturating_sub(bits);
    number >> dropped << dropped
}

impl Kind {
    /// None where no card is taken: such tasks use what cards cannot.
    pub fn of(taken: &Resources) -> Option<Self> {
        let cpu = leading_bits(taken.cpu.0, CORE_BITS);
        (taken.accel.0 > 0).then_some(Self { accel: taken.accel.0, cpu })
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Weighted {
    kind: Kind,
    /// Of each card it touches, in thousandths; whole cards where it takes several.
    each: u32,
    cards: u64,
    share: f64,
}

/// The kinds of tasks there are, and their shares.
#[derive(Clone, PartialEq, Debug, Default)]
pub(crate) struct Mix {
    kinds: Vec<Weighted>,
}

impl Mix {
    pub fn of(counts: &BTreeMap<Kind, u64>) -> Self {
        let round = |(kind, count): (&Kind, &u64)| (leading_bits(*count, COUNT_BITS), *kind);
        let mut ranked: Vec<(u64, Kind)> = counts.iter().map(round).collect();
        ranked.sort_unstable_by(|a, b| b.cmp(a));
        ranked.truncate(KINDS_MAX);
        let total: u64 = ranked.iter().map(|(count, _)| count).sum();
        let kinds = ranked.into_iter().map(|(count, kind)| {
            let card = u64::from(CARD);
            let (each, cards) =
                if kind.accel < card { (kind.accel, 1) } else { (card, kind.accel.div_ceil(card)) };
            let each = u32::try_from(each).expect("at most a card");
            Weighted { kind, each, cards, share: count as f64 / total as f64 }
        });
        Self { kinds: kinds.collect() }
    }

    /// Thousandths of cards that are expected to be of no use where this is free.
    pub fn waste(&self, cpu: u64, cards: &[u16]) -> f64 {
        let free: u64 = cards.iter().map(|&left| u64::from(left)).sum();
        if free == 0 || self.kinds.is_empty() {
            return 0.0;
        }
        // Twice the loss and which kind, in one number: small to sort.
        let mut losses: SmallVec<[u64; KINDS_MAX]> = SmallVec::new();
        for (nth, Weighted { kind, each, cards: wanted, .. }) in (0u64..).zip(&self.kinds) {
            if kind.cpu > cpu {
                continue;
            }
            let (mut on, mut first, mut times) = (0u64, 0u64, 0u64);
            for left in cards.iter().map(|&left| u32::from(left)).filter(|left| left >= each) {
                on += 1;
                first += u64::from(left);
                times += u64::from(left / each);
            }
            if on < *wanted {
                continue;
            }
            let by_cores = cpu.checked_div(kind.cpu).unwrap_or(u64::MAX);
            let last = (times / wanted).min(by_cores) * kind.accel;
            // A mix of whole cards and a part may seem to use more than there is.
            losses.push((2 * free).saturating_sub(first + last) << NTH_BITS | nth);
        }
        losses.sort_unstable();
        // That the best of several loses at least this: that each of them does.
        let (mut left, mut waste) = (1.0f64, 0.0);
        for packed in losses {
            let nth = usize::try_from(packed & (KINDS_MAX as u64 - 1)).expect("a small number");
            let after = (left - self.kinds[nth].share).max(0.0);
            let loss = (packed >> NTH_BITS) as f64 / 2.0;
            waste += loss * (left.powi(CHOICE_OF) - after.powi(CHOICE_OF));
            left = after;
        }
        // The kinds that do not fit lose all that is free.
        waste += free as f64 * left.powi(CHOICE_OF);
        waste
    }
}

/// What a node has free, as far as waste goes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Free {
    pub cpu: u64,
    /// Thousandths left on each card.
    pub cards: SmallVec<[u16; 8]>,
}

/// Judges nodes by a mix, and remembers what it said of a state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Packer {
    mix: Mix,
    memo: FxHashMap<Free, f64>,
}

impl Packer {
    /// From now on judges by this mix.
    pub fn learn(&mut self, mix: Mix) {
        if self.mix != mix {
            self.memo.clear();
            self.mix = mix;
        }
    }
    /// Is there anything to go by?
    pub fn is_blank(&self) -> bool {
        self.mix.kinds.is_empty()
    }
    fn waste(&mut self, mut free: Free) -> f64 {
        // Cards with as much left are alike: their order does not matter.
        free.cards.sort_unstable();
        if let Some(&waste) = self.memo.get(&free) {
            return waste;
        }
        if self.memo.len() >= MEMO_MAX {
            self.memo.clear();
        }
        let waste = self.mix.waste(free.cpu, &free.cards);
        self.memo.insert(free, waste);
        waste
    }
    /// How much the waste grows from one state to the next, in hundredths of a card.
    #[expect(clippy::cast_possible_truncation, reason = "a node has few cards")]
    pub fn growth(&mut self, before: Free, after: Free) -> i64 {
        ((self.waste(after) - self.waste(before)) / STEP_MILLI).round() as i64
    }
}

/// What is known of the work there is, from outside of a planner: for simulators and comparisons.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    counts: BTreeMap<Kind, u64>,
    packer: Packer,
}

impl Workload {
    /// A task that takes this runs.
    pub fn add(&mut self, taken: &Resources) {
        add(&mut self.counts, taken);
        self.packer.learn(Mix::of(&self.counts));
    }
    /// How much the expected waste of a node with these free cores (in thousandths) and cards grows
    /// when this becomes of it; in hundredths of a card. Negative where a hole is filled.
    pub fn growth(&mut self, before: (u64, &[u16]), after: (u64, &[u16])) -> i64 {
        let free = |(cpu, cards): (u64, &[u16])| Free { cpu, cards: cards.into() };
        self.packer.growth(free(before), free(after))
    }
}

pub(crate) fn add(counts: &mut BTreeMap<Kind, u64>, taken: &Resources) {
    if let Some(kind) = Kind::of(taken) {
        *counts.entry(kind).or_default() += 1;
    }
}

pub(crate) fn remove(counts: &mut BTreeMap<Kind, u64>, taken: &Resources) {
    if let Some(kind) = Kind::of(taken) {
        let count = counts.get_mut(&kind).expect("what is taken away was added");
        *count -= 1;
        if *count == 0 {
            counts.remove(&kind);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::{Bytes, MilliAccel, MilliCpu};
    use proptest::prelude::*;

    fn taken(cpu: u64, accel: u64) -> Resources {
        Resources { cpu: MilliCpu(cpu), accel: MilliAccel(accel), memory: Bytes(1), disk: Bytes(0) }
    }
    fn mix(kinds: &[(u64, u64, u64)]) -> Mix {
        let mut counts = BTreeMap::new();
        for &(cpu, accel, count) in kinds {
            (0..count).for_each(|_| add(&mut counts, &taken(cpu, accel)));
        }
        Mix::of(&counts)
    }

    #[test]
    fn waste_is_as_computed_by_hand() {
        let check = |mix: &Mix, cpu, cards: &[u16], expect: f64| {
            let waste = mix.waste(cpu, cards);
            assert!((waste - expect).abs() < 1e-6, "{waste} instead of {expect}");
        };
        let one = mix(&[(4, 400, 1)]);
        // Two fit on the card; 200 stay over in the end, none at first: the mean.
        check(&one, 8, &[1_000], 100.0);
        // Cores for one only: 600 in the end.
        check(&one, 4, &[1_000], 300.0);
        check(&one, 3, &[1_000], 1_000.0);
        check(&one, 8, &[300, 0], 300.0);
        check(&one, 8, &[0, 0], 0.0);
        // 300 loses 0 (kind 1) or 300 (kind 2). All of four tasks are of kind 2 in 1 of 16 cases.
        let two = mix(&[(1, 300, 1), (1, 1_000, 1)]);
        check(&two, 9, &[300], 300.0 / 16.0);
        check(&mix(&[]), 9, &[300], 0.0);
        check(&mix(&[(1, 2_000, 1)]), 9, &[1_000], 1_000.0);
        check(&mix(&[(1, 2_000, 1)]), 9, &[1_000; 3], 500.0);
    }

    #[test]
    fn a_small_task_goes_to_the_hole_it_fills() {
        let mut workload = Workload::default();
        for accel in [1_000, 1_000, 1_000, 500, 250] {
            workload.add(&taken(1_000, accel));
        }
        let hole = workload.growth((8_000, &[250, 0]), (7_000, &[0, 0]));
        let opened = workload.growth((8_000, &[1_000, 1_000]), (7_000, &[750, 1_000]));
        assert!(hole < 0 && opened > 0, "{hole} {opened}");
    }

    #[test]
    fn the_mix_does_not_move_with_every_task() {
        let mut counts = BTreeMap::new();
        (0..1_024).for_each(|_| add(&mut counts, &taken(4_000, 500)));
        (0..512).for_each(|_| add(&mut counts, &taken(2_000, 1_000)));
        let before = Mix::of(&counts);
        (0..100).for_each(|_| add(&mut counts, &taken(4_000, 500)));
        assert_eq!(Mix::of(&counts), before);
        assert_eq!(Kind::of(&taken(4_000, 1)), Kind::of(&taken(4_001, 1)));
        assert_eq!(Kind::of(&taken(4_000, 0)), None);
    }

    proptest! {
        #[test]
        fn never_more_than_is_free_nor_less_than_nothing(
            kinds in proptest::collection::vec((0u64..20_000, 1u64..9_000, 1u64..9), 0..50),
            cards in proptest::collection::vec(0u16..=1_000, 0..10),
            cpu in 0u64..100_000,
        ) {
            let free: f64 = cards.iter().map(|&left| f64::from(left)).sum();
            let waste = mix(&kinds).waste(cpu, &cards);
            prop_assert!((-1e-6..=free + 1e-6).contains(&waste), "{waste} of {free}");
        }
    }
}
