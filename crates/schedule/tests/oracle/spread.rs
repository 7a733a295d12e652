//! What a list of gaps comes to.

use std::fmt;

/// Gaps to the best, in per cent of it.
#[derive(Default)]
pub struct Spread(Vec<f64>);

impl Spread {
    pub fn add(&mut self, gap_pct: f64) {
        assert!(gap_pct > -1e-6, "better than the best by {} %", -gap_pct);
        self.0.push(gap_pct.max(0.0));
    }

    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len().max(1) as f64
    }

    /// The least that this share of all does not exceed.
    pub fn at_percent(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
        sorted.get(at).copied().unwrap_or(0.0)
    }

    /// How many of all are as good as the best, in per cent.
    pub fn optimal_pct(&self) -> f64 {
        let optimal = self.0.iter().filter(|gap| **gap < 1e-6).count();
        optimal as f64 / self.0.len().max(1) as f64 * 100.0
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mean, optimal, count) = (self.mean(), self.optimal_pct(), self.0.len());
        let [p50, p95, max] = [50, 95, 100].map(|percent| self.at_percent(percent));
        write!(
            f,
            "mean {mean:.2} %, p50 {p50:.2} %, p95 {p95:.2} %, max {max:.2} %, \
             optimal in {optimal:.1} % of {count}"
        )
    }
}
