//! How good the inspector is: precision and recall over many pictures.

use super::{Defect, Kind, Settings, inspect, make};

/// Counts over a set of pictures. A finding is right if its kind is right and its middle is
/// within half the truth's size plus 12 pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Score {
    /// Pictures inspected.
    pub pictures: usize,
    /// Defects that were drawn.
    pub drawn: usize,
    /// Drawn defects that were found.
    pub found: usize,
    /// Findings that match nothing drawn.
    pub wrong: usize,
    /// Pictures whose verdict (good or bad) is right.
    pub verdicts_right: usize,
    /// Drawn and found, per kind in the order of [`Kind::ALL`].
    pub by_kind: [(usize, usize); 4],
}

impl Score {
    /// Share of findings that are right; 1 if there were none.
    pub fn precision(&self) -> f64 {
        share(self.found, self.found + self.wrong)
    }

    /// Share of drawn defects that were found; 1 if none was drawn.
    pub fn recall(&self) -> f64 {
        share(self.found, self.drawn)
    }

    /// Adds one picture.
    fn add(&mut self, truth: Option<Defect>, findings: &[Defect]) {
        self.pictures += 1;
        let right = |f: &Defect| {
            truth.is_some_and(|t| {
                let reach = t.size / 2.0 + 12.0;
                f.kind == t.kind && (f.x - t.x).hypot(f.y - t.y) <= reach
            })
        };
        let hits = findings.iter().filter(|f| right(f)).count();
        self.wrong += findings.len() - hits;
        if let Some(truth) = truth {
            let kind = Kind::ALL.iter().position(|k| *k == truth.kind).unwrap_or(0);
            self.drawn += 1;
            self.by_kind[kind].0 += 1;
            if hits > 0 {
                self.found += 1;
                self.by_kind[kind].1 += 1;
                // One defect found in two pieces is one right finding and one too many.
                self.wrong += hits - 1;
            }
        }
        if truth.is_some() != findings.is_empty() {
            self.verdicts_right += 1;
        }
    }
}

/// Inspects the pictures of the seeds `first..first + count`.
pub fn score(first: u64, count: u64, settings: &Settings) -> Score {
    let mut score = Score::default();
    for seed in first..first.saturating_add(count) {
        let (picture, truth) = make(seed);
        score.add(truth.defect, &inspect(&picture, settings).defects);
    }
    score
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counting_is_fair() {
        let bubble = Defect { kind: Kind::Bubble, x: 50.0, y: 50.0, size: 20.0 };
        let mut score = Score::default();
        score.add(Some(bubble), &[bubble, bubble]);
        score.add(Some(bubble), &[Defect { kind: Kind::ForeignBody, ..bubble }]);
        score.add(None, &[]);
        score.add(None, &[bubble]);
        score.add(Some(bubble), &[Defect { x: 90.0, ..bubble }]);
        assert_eq!((score.pictures, score.drawn, score.found, score.wrong), (5, 3, 1, 4));
        assert_eq!(score.verdicts_right, 4);
    }

    /// The aim is 95 % of both (`dayan-tyre --score`); twelve pictures can only show one miss.
    #[test]
    fn the_inspector_finds_what_is_there() {
        let score = score(9_000, 12, &Settings::default());
        assert!(score.found + 1 >= score.drawn && score.wrong <= 1, "{score:?}");
        assert!(score.drawn >= 4, "{score:?}");
    }
}
