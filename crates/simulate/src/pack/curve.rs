//! The way to the end of a packing run: at each whole per cent of the cards asked for, what is at
//! work, as the mean over seeds.

use super::bound::bound_pct;
use super::list::{NodeRow, PodRow};
use super::run::{Bound, Curve, Placed};
use super::workload::LOAD_PERMILLE;

/// Sums over seeds, at 0, 1, 2 … per cent of the cards asked for.
#[derive(Debug, Default)]
pub struct MeanCurve {
    /// Sum, and of how many seeds.
    at_work: Vec<(f64, u32)>,
    bound: Vec<(f64, u32)>,
}

impl MeanCurve {
    /// One seed's run.
    pub fn add(
        &mut self,
        nodes: &[NodeRow],
        pods: &[PodRow],
        order: &[usize],
        placed: &[Placed],
        bound: Bound,
    ) {
        let total: u64 = nodes.iter().map(|node| u64::from(node.cards) * 1_000).sum();
        if total == 0 {
            return;
        }
        let (mut asked, mut at_work, mut step) = (0_u64, 0_u64, 0_u64);
        let mut placed = placed.iter().peekable();
        // Nobody leaves, so a pod that found no room finds none later: the next placement of a pod
        // is that of its next arrival.
        for (nth, &pod) in order.iter().enumerate() {
            let milli = pods[pod].accel_milli();
            while asked.saturating_add(milli) * 100 > step * total {
                add(&mut self.at_work, step, at_work as f64 / total as f64 * 100.0);
                if bound == Bound::Wanted {
                    add(&mut self.bound, step, bound_pct(nodes, pods, &order[..nth]));
                }
                step += 1;
            }
            asked += milli;
            if placed.next_if(|seat| seat.pod == pod).is_some() {
                at_work += milli;
            }
        }
        let end = LOAD_PERMILLE / 10;
        if step <= end && asked * 1_000 > (LOAD_PERMILLE - 10) * total {
            add(&mut self.at_work, end, at_work as f64 / total as f64 * 100.0);
            if bound == Bound::Wanted {
                add(&mut self.bound, end, bound_pct(nodes, pods, order));
            }
        }
    }

    /// The means.
    pub fn mean(self, bound: Bound) -> Curve {
        let points = |sums: Vec<(f64, u32)>| {
            let known = sums.into_iter().enumerate().filter(|(_, (_, seeds))| *seeds > 0);
            let mean =
                |(step, (sum, seeds)): (usize, (f64, u32))| (step as f64, sum / f64::from(seeds));
            known.map(mean).collect()
        };
        Curve {
            at_work: points(self.at_work),
            bound: (bound == Bound::Wanted).then(|| points(self.bound)),
        }
    }
}

fn add(sums: &mut Vec<(f64, u32)>, step: u64, value: f64) {
    let step = usize::try_from(step).expect("a hundred and thirty");
    if sums.len() <= step {
        sums.resize(step + 1, (0.0, 0));
    }
    sums[step].0 += value;
    sums[step].1 += 1;
}
