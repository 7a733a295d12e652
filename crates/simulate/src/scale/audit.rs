//! Adds up what was seated and compares it with what was shown: its own sums, card by card,
//! without a line in common with the planner.

use std::collections::BTreeSet;

use dayan_schedule::Cards;
use dayan_units::{Resources, TaskId};

/// A seat as the plan told it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seated {
    pub task: TaskId,
    /// What the task asked for.
    pub asked: Resources,
    /// Which machine, by its place in the list.
    pub node: usize,
    pub given: Resources,
    pub cards: Cards,
}

/// The first thing found that cannot be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("machine {node}: {what}")]
pub struct Overfull {
    /// The machine's number.
    pub node: usize,
    /// What is wrong there.
    pub what: &'static str,
}

const CARD: u64 = 1_000;

/// Does every machine hold what is seated on it, and no card more than a card?
pub(super) fn recheck(nodes: &[Resources], seats: &[Seated]) -> Result<(), Overfull> {
    let mut used = vec![(0u64, 0u64); nodes.len()];
    let mut cards: Vec<Vec<u64>> = nodes
        .iter()
        .map(|node| vec![0; usize::try_from(node.accel.0 / CARD).unwrap_or(0)])
        .collect();
    let mut seen = BTreeSet::new();
    for seat in seats {
        let wrong = |what| Err(Overfull { node: seat.node, what });
        let Some(node) = nodes.get(seat.node) else { return wrong("there is no such machine") };
        if !seen.insert(seat.task) {
            return wrong("a task is seated twice");
        }
        if seat.given != seat.asked {
            return wrong("a task is given other than it asked for");
        }
        let (cpu, memory) = &mut used[seat.node];
        *cpu += seat.asked.cpu.0;
        *memory += seat.asked.memory.0;
        if *cpu > node.cpu.0 {
            return wrong("cores are over what it has");
        }
        if *memory > node.memory.0 {
            return wrong("memory is over what it has");
        }
        let mut held = 0;
        for number in 0..64 {
            let whole = if seat.cards.whole >> number & 1 == 1 { CARD } else { 0 };
            let part = seat.cards.part.filter(|part| u32::from(part.card) == number);
            let milli = whole + part.map_or(0, |part| u64::from(part.milli));
            if milli == 0 {
                continue;
            }
            let Some(card) = cards[seat.node].get_mut(number as usize) else {
                return wrong("there is no such card");
            };
            *card += milli;
            held += milli;
            if *card > CARD {
                return wrong("a card is over its whole");
            }
        }
        if held != seat.asked.accel.0 {
            return wrong("a task holds another share of cards than it asked for");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dayan_schedule::CardPart;
    use dayan_units::{Bytes, JobId, MilliAccel, MilliCpu};

    use super::*;

    #[test]
    fn finds_each_way_to_be_wrong() {
        let of = |cpu, memory, accel| Resources {
            cpu: MilliCpu(cpu),
            memory: Bytes(memory),
            accel: MilliAccel(accel),
            ..Resources::ZERO
        };
        let part = |card, milli| Cards { whole: 0, part: Some(CardPart { card, milli }) };
        let seat = |task, asked, cards| {
            let task = TaskId { job: JobId::from_bits(1), task };
            Seated { task, asked, node: 0, given: asked, cards }
        };
        let check = |seats: &[Seated], expect: Option<&'static str>| {
            let found = recheck(&[of(10, 10, 2_000)], seats).err().map(|over| over.what);
            assert_eq!(found, expect);
        };
        let half = of(5, 5, 500);
        check(&[seat(0, half, part(0, 500)), seat(1, half, part(0, 500))], None);
        check(&[seat(0, of(1, 1, 1_000), Cards { whole: 2, part: None })], None);
        check(
            &[seat(0, half, part(0, 500)), seat(0, half, part(1, 500))],
            Some("a task is seated twice"),
        );
        check(&[seat(0, of(11, 5, 0), Cards::NONE)], Some("cores are over what it has"));
        check(&[seat(0, of(5, 11, 0), Cards::NONE)], Some("memory is over what it has"));
        let more = of(1, 1, 600);
        check(
            &[seat(0, half, part(0, 500)), seat(1, more, part(0, 600))],
            Some("a card is over its whole"),
        );
        check(&[seat(0, half, part(2, 500))], Some("there is no such card"));
        check(
            &[seat(0, half, Cards::NONE)],
            Some("a task holds another share of cards than it asked for"),
        );
        let other = Seated { given: of(5, 6, 500), ..seat(0, half, part(0, 500)) };
        check(&[other], Some("a task is given other than it asked for"));
        let nowhere = Seated { node: 1, ..seat(0, half, part(0, 500)) };
        check(&[nowhere], Some("there is no such machine"));
    }
}
