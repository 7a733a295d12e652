//! The energy of graphics cards by their own meters (NVML's total energy, in millijoule since the
//! driver was loaded), and each task's part of it.
//!
//! What a card used between two looks is divided evenly among the tasks that held it meanwhile: a
//! card that one task holds is that task's alone, whatever it did with it. Invariant: what is given
//! to tasks is what the meter counted, to the microjoule. Knows nothing of processes.

use std::collections::BTreeMap;

/// What a card's meter says.
pub(crate) trait Meter {
    /// Millijoule since some moment, of the card with this number; `None` where it has no meter or
    /// cannot be asked just now.
    fn millijoule(&mut self, card: u32) -> Option<u64>;
}

/// The meters of NVIDIA's cards.
struct Nvml(nvml_wrapper::Nvml);

impl Meter for Nvml {
    fn millijoule(&mut self, card: u32) -> Option<u64> {
        self.0.device_by_index(card).ok()?.total_energy_consumption().ok()
    }
}

/// A card that somebody holds.
struct Card {
    /// The last reading; none while the meter does not answer.
    last: Option<u64>,
    /// Who holds it, and what each is owed, in microjoule.
    owed: BTreeMap<u32, u64>,
}

/// The cards that tasks hold. Tasks are known by the keeper's numbers.
pub(crate) struct CardEnergy {
    meter: Box<dyn Meter>,
    cards: BTreeMap<u32, Card>,
}

impl CardEnergy {
    /// The meters of this machine; `None` where no driver answers.
    pub(crate) fn probe() -> Option<Self> {
        // Without its device the library would only be searched for in vain.
        std::fs::metadata("/dev/nvidiactl").ok()?;
        let nvml = nvml_wrapper::Nvml::builder().lib_path("libnvidia-ml.so.1".as_ref()).init();
        let mut meter = nvml.map(Nvml).ok()?;
        // Cards before Volta have none.
        meter.millijoule(0)?;
        Some(Self::with(Box::new(meter)))
    }

    fn with(meter: Box<dyn Meter>) -> Self {
        Self { meter, cards: BTreeMap::new() }
    }

    /// A task begins to hold cards.
    pub(crate) fn begin(&mut self, task: u32, cards: &[u32]) {
        for number in cards {
            self.settle(*number);
            let meter = &mut self.meter;
            let card = self
                .cards
                .entry(*number)
                .or_insert_with(|| Card { last: meter.millijoule(*number), owed: BTreeMap::new() });
            card.owed.insert(task, 0);
        }
    }

    /// What its cards used for a task since this was asked last, in microjoule; `None` for a task
    /// that holds none.
    pub(crate) fn take(&mut self, task: u32) -> Option<u64> {
        let mut sum = None;
        for number in self.held_by(task) {
            self.settle(number);
            let owed = self.cards.get_mut(&number).and_then(|card| card.owed.get_mut(&task));
            let part = owed.map_or(0, std::mem::take);
            sum = Some(sum.unwrap_or(0u64).saturating_add(part));
        }
        sum
    }

    /// The same for a task that lets its cards go.
    pub(crate) fn end(&mut self, task: u32) -> Option<u64> {
        let last = self.take(task);
        self.cards.retain(|_, card| {
            card.owed.remove(&task);
            !card.owed.is_empty()
        });
        last
    }

    fn held_by(&self, task: u32) -> Vec<u32> {
        let held = self.cards.iter().filter(|(_, card)| card.owed.contains_key(&task));
        held.map(|(number, _)| *number).collect()
    }

    /// Divides what the card used since the last look among those who hold it.
    fn settle(&mut self, number: u32) {
        let Some(card) = self.cards.get_mut(&number) else { return };
        let now = self.meter.millijoule(number);
        // A meter that begins anew (a driver that was loaded again) has counted nothing for us.
        let used = now.zip(card.last).and_then(|(now, last)| now.checked_sub(last)).unwrap_or(0);
        card.last = now.or(card.last);
        let holders = card.owed.len() as u64;
        let micro = used.saturating_mul(1_000);
        let mut left = micro % holders.max(1);
        for owed in card.owed.values_mut() {
            let odd = u64::from(left > 0);
            left -= odd;
            *owed = owed.saturating_add(micro / holders + odd);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::rc::Rc;

    /// Every card counts what the test says.
    struct Said(Rc<Cell<Option<u64>>>);

    impl Meter for Said {
        fn millijoule(&mut self, card: u32) -> Option<u64> {
            (card < 8).then(|| self.0.get()).flatten()
        }
    }

    fn cards(first: u64) -> (CardEnergy, Rc<Cell<Option<u64>>>) {
        let said = Rc::new(Cell::new(Some(first)));
        (CardEnergy::with(Box::new(Said(Rc::clone(&said)))), said)
    }

    #[test]
    fn a_card_is_its_holders_alone_and_a_shared_one_is_divided() {
        let (mut energy, said) = cards(1_000);
        energy.begin(1, &[0, 1]);
        said.set(Some(1_010));
        assert_eq!(energy.take(1), Some(20_000), "two cards with 10 mJ each");
        assert_eq!(energy.take(1), Some(0), "once");
        energy.begin(2, &[1]);
        said.set(Some(1_013));
        assert_eq!(energy.take(2), Some(1_500), "half of the shared one");
        assert_eq!(energy.end(1), Some(3_000 + 1_500));
        said.set(Some(1_014));
        assert_eq!(energy.end(2), Some(1_000), "alone again");
        assert_eq!((energy.take(2), energy.end(1)), (None, None));
        assert!(energy.cards.is_empty());
    }

    #[test]
    fn nothing_is_lost_in_dividing() {
        let (mut energy, said) = cards(0);
        for task in 0..3 {
            energy.begin(task, &[5]);
        }
        said.set(Some(1));
        let parts: Vec<u64> = (0..3).filter_map(|task| energy.end(task)).collect();
        assert_eq!(parts, [334, 333, 333]);
    }

    #[test]
    fn a_meter_that_is_away_or_begins_anew_counts_nothing_wrong() {
        let (mut energy, said) = cards(500);
        energy.begin(1, &[0]);
        said.set(None);
        assert_eq!(energy.take(1), Some(0));
        said.set(Some(503));
        assert_eq!(energy.take(1), Some(3_000), "it counted on meanwhile");
        said.set(Some(2));
        assert_eq!(energy.take(1), Some(0), "a driver that was loaded again");
        said.set(Some(4));
        assert_eq!(energy.take(1), Some(2_000));
        energy.begin(2, &[9]);
        assert_eq!(energy.end(2), Some(0), "there is no such card");
    }
}
