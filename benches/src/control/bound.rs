//! What the same workloads would take if deciding, starting and ending cost nothing: each owner's
//! units are given at once, at every arrival and every end, to what waits, by priority and then by
//! arrival, passing over what does not fit.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};

use super::{Figures, Priority, Workload};

/// Plays one owner's workloads.
pub(super) fn play(workloads: &[Workload], units: u32) -> Figures {
    let mut arrivals: Vec<usize> = (0..workloads.len()).collect();
    arrivals.sort_by_key(|&at| workloads[at].due_us);
    let mut arrivals = arrivals.into_iter().peekable();
    let mut waiting: BTreeSet<(Reverse<Priority>, u64, usize)> = BTreeSet::new();
    let mut ends: BinaryHeap<Reverse<(u64, u32)>> = BinaryHeap::new();
    let mut free = units;
    let mut figures = Figures::default();
    loop {
        let arrives = arrivals.peek().map(|&at| workloads[at].due_us);
        let ends_at = ends.peek().map(|Reverse((at, _))| *at);
        let Some(now) = arrives.into_iter().chain(ends_at).min() else { return figures };
        while let Some(&Reverse((at, units))) = ends.peek()
            && at <= now
        {
            ends.pop();
            free += units;
        }
        while let Some(&at) = arrivals.peek()
            && workloads[at].due_us <= now
        {
            arrivals.next();
            let workload = &workloads[at];
            waiting.insert((Reverse(workload.class.priority), workload.due_us, at));
        }
        let mut taken = Vec::new();
        for &entry in &waiting {
            let workload = &workloads[entry.2];
            if free == 0 {
                break;
            }
            if workload.class.units <= free {
                free -= workload.class.units;
                let end = now + workload.class.runs_us;
                ends.push(Reverse((end, workload.class.units)));
                figures.count(workload, now, end);
                taken.push(entry);
            }
        }
        for entry in taken {
            waiting.remove(&entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CLASSES, UNITS, Workload, cohort};
    use super::play;

    #[test]
    fn one_workload_after_another_where_there_is_room_for_one() {
        let large = &CLASSES[2];
        let two = [0, 100].map(|due_us| Workload { queue: 0, class: large, due_us });
        let figures = play(&two, large.units);
        assert_eq!(figures.last_us, 2 * large.runs_us);
        assert_eq!(figures.waits_us[2], vec![0, large.runs_us - 100]);
    }

    #[test]
    fn the_whole_load_takes_what_its_protocol_says_it_must() {
        let figures = play(&cohort(100), UNITS);
        let seconds = figures.last_us as f64 / 1e6;
        assert!((65.9..66.3).contains(&seconds), "{seconds}");
        assert!(figures.use_of(UNITS, 100) > 0.99);
    }
}
