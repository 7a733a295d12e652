//! Looks for defects in an X-ray picture by classic image processing.
//!
//! Spots: cords are averaged away over one period, the slow background of every column is taken
//! off, what is left is cut at a level and joined into components. Cords: in narrow strips of
//! the sidewalls the dark lines are located; a distance of about two periods between neighbours
//! is a break, or an overlap if one neighbour is twice as dark. Must not know how pictures are
//! made.

use super::{Defect, Kind, Picture};

/// The recipe for a type of tyre: what an inspection line is told when the type changes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// Columns of the two sidewalls, where single cords can be told apart.
    pub sidewalls: [(usize, usize); 2],
    /// Shortest and longest cord period that is looked for, pixels.
    pub period: (usize, usize),
    /// Rise of the averaged grey value that is a bubble.
    pub bubble_level: f32,
    /// Fall of the averaged grey value that is a foreign body.
    pub foreign_level: f32,
    /// Shortest run along a cord that is a defect, pixels.
    pub run_least: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            sidewalls: [(32, 160), (352, 480)],
            period: (6, 14),
            bubble_level: 0.0305,
            foreign_level: 0.069,
            run_least: 22,
        }
    }
}

/// What an inspection found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Cord period measured, pixels.
    pub period: f32,
    /// Defects, from top to bottom.
    pub defects: Vec<Defect>,
}

/// Width and distance of the strips in which cords are located, pixels.
const STRIP: usize = 12;
const STRIDE: usize = 6;

/// Inspects a picture.
pub fn inspect(picture: &Picture, settings: &Settings) -> Report {
    let mut period_sum = 0.0;
    let mut defects = Vec::new();
    for (from, to) in settings.sidewalls {
        let (from, to) = (from.min(picture.width), to.min(picture.width));
        let period = period(picture, from, to, settings.period);
        period_sum += period;
        defects.extend(cords(picture, from, to, period, settings));
    }
    let period = period_sum / settings.sidewalls.len() as f32;
    for spot in spots(picture, period, settings) {
        // A broken cord is bright and an overlap is dark as well: the cord's finding explains it.
        let explained = defects.iter().any(|d| {
            (d.x - spot.x).abs() < d.size / 2.0 + 14.0 && (d.y - spot.y).abs() < 2.2 * period
        });
        if !explained {
            defects.push(spot);
        }
    }
    defects.sort_by(|a, b| a.y.total_cmp(&b.y).then(a.x.total_cmp(&b.x)));
    Report { period, defects }
}

/// The cords' period in a range of columns: the lag of the greatest autocorrelation of the row
/// profile's detail, refined by a parabola.
fn period(picture: &Picture, from: usize, to: usize, (least, most): (usize, usize)) -> f32 {
    let profile = detail(&profile(picture, from, to), most);
    let correlation = |lag: usize| -> f32 {
        let pairs = profile.len().saturating_sub(lag).max(1);
        profile.iter().zip(&profile[lag.min(profile.len())..]).map(|(a, b)| a * b).sum::<f32>()
            / pairs as f32
    };
    let best = (least.max(2)..=most)
        .max_by(|a, b| correlation(*a).total_cmp(&correlation(*b)))
        .unwrap_or(least.max(2));
    let (a, b, c) = (correlation(best - 1), correlation(best), correlation(best + 1));
    let curve = a - 2.0 * b + c;
    let shift = if curve < -1e-12 { (0.5 * (a - c) / curve).clamp(-0.5, 0.5) } else { 0.0 };
    best as f32 + shift
}

/// Mean grey value of every row over a range of columns.
fn profile(picture: &Picture, from: usize, to: usize) -> Vec<f32> {
    let count = to.saturating_sub(from).max(1) as f32;
    picture
        .grey
        .chunks_exact(picture.width)
        .map(|row| row[from..to.max(from)].iter().sum::<f32>() / count)
        .collect()
}

/// A profile less its mean over a window of `window` values.
fn detail(profile: &[f32], window: usize) -> Vec<f32> {
    let half = window / 2;
    (0..profile.len())
        .map(|i| {
            let around = &profile[i.saturating_sub(half)..(i + half + 1).min(profile.len())];
            profile[i] - around.iter().sum::<f32>() / around.len() as f32
        })
        .collect()
}

/// A gap between cords seen in one strip.
#[derive(Debug, Clone, Copy)]
struct Gap {
    x: f32,
    y: f32,
    kind: Kind,
}

fn cords(
    picture: &Picture,
    from: usize,
    to: usize,
    period: f32,
    settings: &Settings,
) -> Vec<Defect> {
    let mut gaps = Vec::new();
    let mut x = from;
    while x + STRIP <= to {
        gaps_in_strip(&profile(picture, x, x + STRIP), period, |y, kind| {
            gaps.push(Gap { x: x as f32 + STRIP as f32 / 2.0, y, kind });
        });
        x += STRIDE;
    }
    runs(gaps, period, settings.run_least as f32)
}

/// Locates the cords of one strip and reports distances that are too long.
fn gaps_in_strip(profile: &[f32], period: f32, mut found: impl FnMut(f32, Kind)) {
    let window = (2.0 * period).round() as usize | 1;
    let shape = detail(profile, window);
    let soft: Vec<f32> = (0..shape.len())
        .map(|i| {
            let (a, c) = (shape[i.saturating_sub(1)], shape[(i + 1).min(shape.len() - 1)]);
            0.25 * a + 0.5 * shape[i] + 0.25 * c
        })
        .collect();
    let spread = (soft.iter().map(|v| v * v).sum::<f32>() / soft.len().max(1) as f32).sqrt();
    let mut lines: Vec<(f32, f32)> = Vec::new();
    let reach = (0.45 * period).round() as usize;
    for i in 1..soft.len().saturating_sub(1) {
        let lowest = soft[i] <= soft[i - 1] && soft[i] < soft[i + 1];
        if lowest && soft[i] < -0.55 * spread {
            // The brightest values beside a line are the rubber between cords; the line's
            // darkness is what it takes away from that.
            let around = &profile[i.saturating_sub(reach)..(i + reach + 1).min(profile.len())];
            let rubber = around.iter().copied().fold(f32::MIN, f32::max);
            let mass: f32 = around.iter().map(|v| rubber - v).sum();
            lines.push((i as f32, mass));
        }
    }
    let mut masses: Vec<f32> = lines.iter().map(|line| line.1).collect();
    masses.sort_by(f32::total_cmp);
    let usual = masses.get(masses.len() / 2).copied().unwrap_or(0.0);
    for pair in lines.windows(2) {
        let ((a, left), (b, right)) = (pair[0], pair[1]);
        let distance = (b - a) / period;
        if (1.42..2.6).contains(&distance) {
            let heavy = left.max(right) > 1.30 * usual;
            let near = lines.windows(2).any(|p| {
                let close = p[1].0 - p[0].0 < 0.62 * period;
                close && ((p[0].0 - b).abs() < 1.0 || (p[1].0 - a).abs() < 1.0)
            });
            let kind =
                if heavy || near || distance < 1.72 { Kind::CordOverlap } else { Kind::BrokenCord };
            found(0.5 * (a + b), kind);
        }
    }
}

/// Joins gaps of neighbouring strips into runs along a cord; short runs are chance.
fn runs(gaps: Vec<Gap>, period: f32, least: f32) -> Vec<Defect> {
    let mut open: Vec<Vec<Gap>> = Vec::new();
    for gap in gaps {
        let joins = open.iter_mut().find(|run| {
            run.last().is_some_and(|last| {
                gap.x > last.x
                    && gap.x - last.x <= 2.0 * STRIDE as f32 + 0.5
                    && (gap.y - last.y).abs() < 0.7 * period
            })
        });
        match joins {
            Some(run) => run.push(gap),
            None => open.push(vec![gap]),
        }
    }
    open.into_iter()
        .filter_map(|run| {
            let (first, last) = (run.first()?, run.last()?);
            let size = last.x - first.x + STRIP as f32 * 0.5;
            let overlaps = run.iter().filter(|gap| gap.kind == Kind::CordOverlap).count();
            let kind = if 2 * overlaps >= run.len() { Kind::CordOverlap } else { Kind::BrokenCord };
            let y = run.iter().map(|gap| gap.y).sum::<f32>() / run.len() as f32;
            let dense = run.len() as f32 * STRIDE as f32 >= 0.6 * size;
            (size >= least && dense).then_some(Defect {
                kind,
                x: 0.5 * (first.x + last.x),
                y,
                size,
            })
        })
        .collect()
}

/// Bubbles and foreign bodies.
fn spots(picture: &Picture, period: f32, settings: &Settings) -> Vec<Defect> {
    let half = (period / 2.0).round() as usize;
    // Twice over one period: what is left of the cords is below a hundredth.
    let flat = |across: usize| {
        let smooth = picture.blurred(across, half).blurred(0, half);
        let background = smooth.blurred(1, 80);
        let grey = smooth.grey.iter().zip(&background.grey).map(|(a, b)| a - b).collect();
        Picture { width: picture.width, height: picture.height, grey }
    };
    let mut found = Vec::new();
    let narrow = flat(3);
    for spot in components(&narrow, |v| v < -settings.foreign_level) {
        if spot.area >= 12 && spot.longest() <= 34.0 {
            found.push(spot.defect(Kind::ForeignBody, 0.6 * spot.longest()));
        }
    }
    let wide = flat(6);
    for spot in components(&wide, |v| v > settings.bubble_level) {
        let (w, h) = spot.extent();
        if spot.area >= 90 && w / h < 2.4 && h / w < 2.4 {
            let spot = spot.defect(Kind::Bubble, spot.longest());
            // The background beside a dense body looks bright after its subtraction.
            let shadow = found.iter().any(|f| (f.x - spot.x).hypot(f.y - spot.y) < 30.0);
            if !shadow {
                found.push(spot);
            }
        }
    }
    found
}

/// A connected set of pixels.
#[derive(Debug, Clone, Copy)]
struct Component {
    area: usize,
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
    sum_x: f32,
    sum_y: f32,
}

impl Component {
    fn extent(&self) -> (f32, f32) {
        ((self.right - self.left + 1) as f32, (self.bottom - self.top + 1) as f32)
    }

    fn longest(&self) -> f32 {
        let (w, h) = self.extent();
        w.max(h)
    }

    fn defect(&self, kind: Kind, size: f32) -> Defect {
        let area = self.area as f32;
        Defect { kind, x: self.sum_x / area, y: self.sum_y / area, size }
    }
}

/// Components of pixels that fulfil a condition, four neighbours, by flood fill.
fn components(picture: &Picture, inside: impl Fn(f32) -> bool) -> Vec<Component> {
    let (w, h) = (picture.width, picture.height);
    let mut left: Vec<bool> = picture.grey.iter().map(|v| inside(*v)).collect();
    let mut found = Vec::new();
    let mut stack = Vec::new();
    for start in 0..left.len() {
        if !left[start] {
            continue;
        }
        left[start] = false;
        stack.push(start);
        let (x, y) = (start % w, start / w);
        let mut component =
            Component { area: 0, left: x, right: x, top: y, bottom: y, sum_x: 0.0, sum_y: 0.0 };
        while let Some(at) = stack.pop() {
            let (x, y) = (at % w, at / w);
            component.area += 1;
            component.left = component.left.min(x);
            component.right = component.right.max(x);
            component.top = component.top.min(y);
            component.bottom = component.bottom.max(y);
            component.sum_x += x as f32;
            component.sum_y += y as f32;
            let mut visit = |next: usize| {
                if left[next] {
                    left[next] = false;
                    stack.push(next);
                }
            };
            if x > 0 {
                visit(at - 1);
            }
            if x + 1 < w {
                visit(at + 1);
            }
            if y > 0 {
                visit(at - w);
            }
            if y + 1 < h {
                visit(at + w);
            }
        }
        found.push(component);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A plain picture of cords, not drawn by the generator: rows of cosines.
    fn cords_only(period: f32) -> Picture {
        let (width, height) = (512, 200);
        let grey = (0..width * height)
            .map(|i| {
                let y = (i / width) as f32;
                0.6 - 0.08 * (std::f32::consts::TAU * y / period).cos()
            })
            .collect();
        Picture { width, height, grey }
    }

    #[test]
    fn the_period_is_measured() {
        for expect in [8.0, 9.3, 11.5] {
            let found = inspect(&cords_only(expect), &Settings::default());
            assert!((found.period - expect).abs() < 0.25, "{} for {expect}", found.period);
            assert!(found.defects.is_empty(), "{:?}", found.defects);
        }
    }

    #[test]
    fn components_are_counted_once() {
        let mut picture = Picture { width: 6, height: 3, grey: vec![0.0; 18] };
        for at in [0, 1, 7, 5, 11] {
            picture.grey[at] = 1.0;
        }
        let found = components(&picture, |v| v > 0.5);
        assert_eq!(found.iter().map(|c| c.area).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(found[0].extent(), (2.0, 2.0));
    }

    #[test]
    fn a_flat_or_tiny_picture_is_no_trouble() {
        for (width, height) in [(1, 1), (3, 200), (512, 4)] {
            let picture = Picture { width, height, grey: vec![0.5; width * height] };
            assert!(inspect(&picture, &Settings::default()).defects.is_empty());
        }
    }
}
