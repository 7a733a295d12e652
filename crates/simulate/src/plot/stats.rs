//! From values to points: what a chart of a distribution shows.

use super::{Area, Point};

/// The share of all values, in per cent, that are no greater: one point for each value there is, in
/// order. For [`Steps`](super::Marks::Steps).
pub fn cdf(values: &[f64]) -> Vec<Point> {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len() as f64;
    let mut points: Vec<Point> = Vec::new();
    for (nth, value) in sorted.into_iter().enumerate() {
        let share = (nth + 1) as f64 / count * 100.0;
        match points.last_mut() {
            Some(last) if last.0 >= value => last.1 = share,
            _ => points.push((value, share)),
        }
    }
    points
}

/// Shares over an axis by powers: where nothing lies at its beginning the line starts there, from
/// nought, and rises at the first value.
pub fn rising(mut shares: Vec<Point>) -> Vec<Point> {
    if let Some(first) = shares.first().copied().filter(|first| first.0 > 1.0) {
        shares.insert(0, (0.0, 0.0));
        shares.insert(1, (first.0, 0.0));
    }
    shares
}

/// How many values lie in each of so many equal parts of their range, the last one with its end.
/// For [`Boxes`](super::Marks::Boxes). Values that are all equal make one part of width 1.
pub fn histogram(values: &[f64], parts: usize) -> Vec<Area> {
    let finite = || values.iter().copied().filter(|value| value.is_finite());
    let Some(low) = finite().min_by(f64::total_cmp) else { return Vec::new() };
    let high = finite().max_by(f64::total_cmp).unwrap_or(low);
    if high <= low {
        let all = finite().count() as f64;
        return vec![Area { x: (low - 0.5, low + 0.5), y: (0.0, all) }];
    }
    let parts = parts.max(1);
    let width = (high - low) / parts as f64;
    let edge = |nth: usize| if nth == parts { high } else { low + width * nth as f64 };
    let mut counts = vec![0_usize; parts];
    for value in finite() {
        let nth = (1..parts).take_while(|nth| value >= edge(*nth)).count();
        counts[nth] += 1;
    }
    let bar = |(nth, count): (usize, usize)| Area {
        x: (edge(nth), edge(nth + 1)),
        y: (0.0, count as f64),
    };
    counts.into_iter().enumerate().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_rise_to_all_and_bars_hold_each_value_once() {
        assert_eq!(cdf(&[3.0, 0.0, 0.0, 9.0]), [(0.0, 50.0), (3.0, 75.0), (9.0, 100.0)]);
        assert_eq!(cdf(&[f64::NAN]), []);
        let bars = histogram(&[0.0, 1.0, 2.5, 4.0, f64::INFINITY], 2);
        assert_eq!(bars.iter().map(|bar| bar.y.1).collect::<Vec<_>>(), [2.0, 2.0]);
        assert_eq!((bars[0].x, bars[1].x), ((0.0, 2.0), (2.0, 4.0)));
        assert_eq!(histogram(&[7.0, 7.0], 9), [Area { x: (6.5, 7.5), y: (0.0, 2.0) }]);
        assert_eq!(histogram(&[], 9), []);
    }
}
