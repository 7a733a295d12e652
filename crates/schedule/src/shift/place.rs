//! The cheapest place of one job, where the others are given. Enumerates: a window has some hundred
//! slots.

use std::ops::Range;

use super::cost::Cost;
use super::{Flexible, Manner, Runs};

/// Costs of slots, and their sums from the first on.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    each: Vec<Cost>,
    before: Vec<Cost>,
}

impl Tally {
    pub fn new(each: Vec<Cost>) -> Self {
        let mut before = Vec::with_capacity(each.len() + 1);
        let mut sum = Cost::ZERO;
        before.push(sum);
        for cost in &each {
            sum += *cost;
            before.push(sum);
        }
        Self { each, before }
    }

    pub fn each(&self) -> &[Cost] {
        &self.each
    }

    pub fn over(&self, run: &Range<u32>) -> Cost {
        self.before[run.end as usize] - self.before[run.start as usize]
    }
}

/// The window of a job, inside the slots there are.
pub(super) fn window(job: &Flexible, len: u32) -> Range<u32> {
    let end = job.latest.min(len);
    job.earliest.min(end)..end
}

/// How many slots it may wait.
pub(super) fn slack(job: &Flexible) -> u32 {
    (job.latest.saturating_sub(job.earliest)).saturating_sub(job.slots)
}

/// The cheapest place with room, the earliest among equals, and its cost for a unit of width.
pub(super) fn cheapest(job: &Flexible, tally: &Tally, room: &[i64]) -> Option<(Cost, Runs)> {
    let window = window(job, u32::try_from(room.len()).unwrap_or(u32::MAX));
    match job.manner {
        Manner::Whole => starts(job, &window, room)
            .map(|run| (tally.over(&run), run))
            .min_by_key(|(cost, run)| (*cost, run.start))
            .map(|(cost, run)| (cost, Runs::from_iter([run]))),
        Manner::Parts => {
            let width = i64::from(job.width);
            let mut slots: Vec<u32> = window.filter(|slot| room[*slot as usize] >= width).collect();
            let wanted = job.slots as usize;
            if slots.len() < wanted || wanted == 0 {
                return None;
            }
            let key = |slot: &u32| (tally.each()[*slot as usize], *slot);
            slots.select_nth_unstable_by_key(wanted - 1, key);
            slots.truncate(wanted);
            slots.sort_unstable();
            let runs = runs_of(&slots);
            Some((runs.iter().map(|run| tally.over(run)).sum(), runs))
        }
    }
}

/// All places with room of a job that runs through.
pub(super) fn starts<'a>(
    job: &'a Flexible,
    window: &Range<u32>,
    room: &'a [i64],
) -> impl Iterator<Item = Range<u32>> + 'a {
    let (width, length) = (i64::from(job.width), job.slots);
    let (first, end) = (window.start, window.end);
    // The slot after the last one seen that has no room.
    let mut clear_from = first;
    (first..end).filter_map(move |slot| {
        if room[slot as usize] < width {
            clear_from = slot + 1;
        }
        let next = slot + 1;
        (length > 0 && next - clear_from >= length).then(|| next - length..next)
    })
}

/// Slots in order, as stretches.
pub(super) fn runs_of(slots: &[u32]) -> Runs {
    let mut runs = Runs::new();
    for &slot in slots {
        match runs.last_mut() {
            Some(run) if run.end == slot => run.end = slot + 1,
            Some(_) | None => runs.push(slot..slot + 1),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(manner: Manner, earliest: u32, latest: u32, slots: u32) -> Flexible {
        Flexible { earliest, latest, slots, width: 2, manner, promised: Runs::new() }
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "lists of one stretch")]
    fn the_earliest_of_the_cheapest_places_with_room() {
        let tally = Tally::new([5, 1, 1, 9, 1, 1, 0].map(|first| Cost { first, second: 0 }).into());
        let check = |job: &Flexible, room: [i64; 7], expect: Option<&[Range<u32>]>| {
            let found = cheapest(job, &tally, &room).map(|(_, runs)| runs.to_vec());
            assert_eq!(found.as_deref(), expect, "{job:?} {room:?}");
        };
        let free = [2; 7];
        check(&job(Manner::Whole, 0, 7, 2), free, Some(&[5..7]));
        check(&job(Manner::Whole, 0, 6, 2), free, Some(&[1..3]));
        check(&job(Manner::Whole, 0, 6, 2), [2, 1, 2, 2, 2, 2, 2], Some(&[4..6]));
        check(&job(Manner::Whole, 0, 3, 2), [2, 1, 2, 2, 2, 2, 2], None);
        check(&job(Manner::Whole, 3, 5, 3), free, None);
        check(&job(Manner::Parts, 0, 6, 3), free, Some(&[1..3, 4..5]));
        check(&job(Manner::Parts, 0, 6, 3), [2, 0, 2, 2, 2, 2, 2], Some(&[2..3, 4..6]));
        check(&job(Manner::Parts, 0, 3, 3), [2, 0, 2, 2, 2, 2, 2], None);
        // A window that goes past the end ends with it.
        check(&job(Manner::Whole, 5, 90, 2), free, Some(&[5..7]));
        check(&job(Manner::Whole, 90, 99, 2), free, None);
    }
}
