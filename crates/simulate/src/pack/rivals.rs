//! The published rules that packing is compared with, as scores: the node with the highest wins,
//! among equals the first by name (as the published simulator breaks ties). Scores are whole
//! numbers from 0 to 100, rounded down, because the published ones are: the ties that the rounding
//! makes are part of the rule.
//!
//! Each formula names where it is described; the code is ours.

use super::cluster::{CARD, Node, Shape};
use super::fgd::Typical;

/// What a node of the published cluster has at most: scores are relative to it.
const CPU_MOST: f64 = 128_000.0;
const ACCEL_MOST: f64 = 8_000.0;
/// The top of a scheduler's score.
pub(crate) const TOP: f64 = 100.0;

/// A score and the card that a part would go to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Scored {
    pub score: i64,
    pub part: Option<usize>,
}

/// A rule that judges a node by its own state. The node is one that fits.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    FirstFit,
    BestFit,
    DotProduct,
    GpuPacking,
    Fgd(Typical),
}

/// Rounds down as a conversion to a whole number does.
#[expect(clippy::cast_possible_truncation, reason = "scores are between 0 and 100")]
pub(crate) fn floor(score: f64) -> i64 {
    score as i64
}

impl Rule {
    pub fn score(&self, node: &Node, shape: &Shape) -> Scored {
        let part = if shape.is_part() { node.fullest(shape.milli) } else { None };
        let of = |score| Scored { score, part };
        match self {
            Self::FirstFit => of(0),
            Self::BestFit => of(best_fit(node, shape)),
            Self::DotProduct => of(dot_product(node, shape)),
            Self::GpuPacking => of(gpu_packing(node, shape)),
            Self::Fgd(typical) => typical.score(node, shape),
        }
    }
}

/// What is left over of cores and cards, in equal weights (Panigrahy et al., "Heuristics for vector
/// bin packing", 2011, in the normalisation of ATC'23 §6.1).
fn best_fit(node: &Node, shape: &Shape) -> i64 {
    let cpu = (node.cpu - shape.cpu) as f64 / CPU_MOST;
    let accel = node.accel().saturating_sub(shape.accel()) as f64 / ACCEL_MOST;
    floor((1.0 - 0.5 * cpu - 0.5 * accel) * TOP)
}

/// Least inner product of what is free and what is asked (Tetris, Grandl et al., SIGCOMM'14, turned
/// round as in ATC'23: the node whose free vector is least like the ask).
fn dot_product(node: &Node, shape: &Shape) -> i64 {
    let cpu = node.cpu as f64 / CPU_MOST * (shape.cpu as f64 / CPU_MOST);
    let accel = node.accel() as f64 / ACCEL_MOST * (shape.accel() as f64 / ACCEL_MOST);
    floor((1.0 - f64::midpoint(cpu, accel)) * TOP)
}

/// Cards in use first, then idle cards of a node in use, then idle nodes (Antman, OSDI'20, as in
/// ATC'23).
fn gpu_packing(node: &Node, shape: &Shape) -> i64 {
    let whole = |cards: usize| i64::try_from(cards).expect("a node has few cards");
    let idle = node.cards.iter().filter(|&&left| left == CARD).count();
    if idle == node.cards.len() {
        return (100 / 3 - whole(idle)).max(whole(idle));
    }
    let mut left: Vec<u32> = node.cards.iter().copied().filter(|&l| l >= shape.milli).collect();
    left.sort_unstable();
    left.truncate(shape.cards as usize);
    let fresh = left.iter().filter(|&&left| left == CARD).count();
    if fresh > 0 {
        return (50 - whole(fresh)).max(100 / 3);
    }
    let free: i64 = left.iter().map(|&left| i64::from(left) * 100 / i64::from(CARD)).sum();
    (100 - free / 10).max(50)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(cpu: u64, cards: &[u32]) -> Node {
        Node { cpu, memory: 1 << 20, cards: cards.to_vec(), model: 1 }
    }
    fn shape(cpu: u64, cards: u32, milli: u32) -> Shape {
        Shape { cpu, memory: 1, cards, milli, models: u128::MAX }
    }

    #[test]
    fn scores_are_as_computed_by_hand() {
        let check = |rule: &Rule, node: &Node, shape: &Shape, expect: (i64, Option<usize>)| {
            let Scored { score, part } = rule.score(node, shape);
            assert_eq!((score, part), expect, "{rule:?}");
        };
        let half = shape(32_000, 1, 500);
        // (64 − 32) of 128 cores and (1.6 − 0.5) of 8 cards stay: 1 − 0.125 − 0.06875 = 0.80625.
        check(&Rule::BestFit, &node(64_000, &[1_000, 600]), &half, (80, Some(1)));
        // 0.5 × 0.25 + 0.2 × 0.0625 = 0.1375; half of it from 1.
        check(&Rule::DotProduct, &node(64_000, &[1_000, 600]), &half, (93, Some(1)));
        // 60 % of the card in use is free.
        check(&Rule::GpuPacking, &node(64_000, &[1_000, 600]), &half, (94, Some(1)));
        // One idle card of a node in use; two of an idle node.
        check(&Rule::GpuPacking, &node(64_000, &[1_000, 400]), &half, (49, Some(0)));
        check(&Rule::GpuPacking, &node(64_000, &[1_000; 2]), &half, (31, Some(0)));
        check(&Rule::GpuPacking, &node(64_000, &[1_000, 400]), &shape(1, 0, 0), (100, None));
        check(&Rule::FirstFit, &node(64_000, &[1_000; 2]), &shape(1, 2, 1_000), (0, None));
    }
}
