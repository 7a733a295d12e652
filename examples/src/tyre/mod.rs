//! The tyre works' task: an X-ray picture of a tyre is inspected within two seconds.
//!
//! There is no public stream of such pictures, so `make` draws one from a seed, with or without
//! a defect; `inspect` looks at grey values only. Invariant: the inspector never sees the seed
//! or the truth; they meet in `score` alone.

mod inspect;
mod make;
mod score;

use crate::canvas::Canvas;

pub use inspect::{Report, Settings, inspect};
pub use make::{Truth, make};
pub use score::{Score, score};

/// Kinds of defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Air between plies: a soft bright spot.
    Bubble,
    /// Something dense that does not belong there: a small dark spot.
    ForeignBody,
    /// Two carcass cords lying on one another: a dark line beside a gap.
    CordOverlap,
    /// A carcass cord that is interrupted: a bright gap as long as the break.
    BrokenCord,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 4] =
        [Kind::Bubble, Kind::ForeignBody, Kind::CordOverlap, Kind::BrokenCord];

    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bubble => "bubble",
            Kind::ForeignBody => "foreign_body",
            Kind::CordOverlap => "cord_overlap",
            Kind::BrokenCord => "broken_cord",
        }
    }
}

/// A defect: what and where (middle, pixels), and its larger extent in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Defect {
    /// What it is.
    pub kind: Kind,
    /// Column of its middle.
    pub x: f32,
    /// Row of its middle.
    pub y: f32,
    /// Larger extent.
    pub size: f32,
}

/// A grey picture, 0 dark (dense) to 1 bright.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Pixels across (across the tyre, bead to bead).
    pub width: usize,
    /// Pixels down (along the circumference).
    pub height: usize,
    /// Grey values, rows from the top.
    pub grey: Vec<f32>,
}

impl Picture {
    /// A grey value; the border is repeated outward.
    #[inline]
    pub fn at(&self, x: isize, y: isize) -> f32 {
        let x = x.clamp(0, self.width as isize - 1) as usize;
        let y = y.clamp(0, self.height as isize - 1) as usize;
        self.grey[y * self.width + x]
    }

    /// Mean over boxes of (2·rx+1) × (2·ry+1) pixels, cut at the border; by a summed table.
    #[must_use]
    pub fn blurred(&self, rx: usize, ry: usize) -> Picture {
        let (w, h) = (self.width, self.height);
        let mut table = vec![0.0f64; (w + 1) * (h + 1)];
        for y in 0..h {
            let mut row = 0.0;
            for x in 0..w {
                row += f64::from(self.grey[y * w + x]);
                table[(y + 1) * (w + 1) + x + 1] = table[y * (w + 1) + x + 1] + row;
            }
        }
        let mut grey = Vec::with_capacity(w * h);
        for y in 0..h {
            let (top, bottom) = (y.saturating_sub(ry), (y + ry + 1).min(h));
            for x in 0..w {
                let (left, right) = (x.saturating_sub(rx), (x + rx + 1).min(w));
                let sum = table[bottom * (w + 1) + right] + table[top * (w + 1) + left]
                    - table[top * (w + 1) + right]
                    - table[bottom * (w + 1) + left];
                grey.push((sum / ((bottom - top) * (right - left)) as f64) as f32);
            }
        }
        Picture { width: w, height: h, grey }
    }

    /// The picture in grey, with frames round the findings: one colour per kind.
    pub fn marked(&self, found: &[Defect]) -> Canvas {
        let mut canvas = Canvas::new(self.width, self.height, [0; 3]);
        for y in 0..self.height {
            for x in 0..self.width {
                let grey = (self.grey[y * self.width + x].clamp(0.0, 1.0) * 255.0).round() as u8;
                canvas.set(x as i32, y as i32, [grey; 3]);
            }
        }
        for defect in found {
            let colour = match defect.kind {
                Kind::Bubble => [80, 170, 255],
                Kind::ForeignBody => [255, 70, 60],
                Kind::CordOverlap => [255, 170, 40],
                Kind::BrokenCord => [255, 230, 60],
            };
            let half = (defect.size / 2.0 + 7.0) as i32;
            let (x, y) = (defect.x as i32, defect.y as i32);
            canvas.frame(x - half, y - half, 2 * half + 1, 2 * half + 1, colour);
            canvas.frame(x - half - 1, y - half - 1, 2 * half + 3, 2 * half + 3, [0; 3]);
            let name = defect.kind.name().replace('_', " ");
            let left = (x - half).min(self.width as i32 - crate::canvas::text_width(&name, 1) - 2);
            let top = if y - half > 12 { y - half - 11 } else { y + half + 4 };
            canvas.label(left.max(2), top, 1, &name, colour, [0; 3]);
        }
        canvas
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blurring_keeps_an_even_picture_and_averages() {
        let mut picture = Picture { width: 7, height: 5, grey: vec![0.5; 35] };
        assert!(picture.blurred(2, 1).grey.iter().all(|g| (g - 0.5).abs() < 1e-6));
        picture.grey[2 * 7 + 3] = 1.4;
        assert!((picture.blurred(1, 1).at(3, 2) - 0.6).abs() < 1e-6);
    }
}
