//! From linear light to a picture: glow of the lens, tone curve, colour grade, vignette, grain.
//!
//! Must not know of scenes. Grain is seeded by the frame and pixel, so a frame made again is
//! the same.

use super::vec3::{Vec3, smooth, v3};
use crate::canvas::Canvas;
use crate::rng::Rng;

/// Develops a frame.
pub fn develop(light: &[Vec3], width: usize, frame: u64, seed: u64) -> Canvas {
    let height = light.len() / width;
    let glow = glow(light, width);
    let mut canvas = Canvas::new(width, height, [0; 3]);
    let mut grain = Rng::of(&[seed, frame, 0x9_6a17]);
    for y in 0..height {
        for x in 0..width {
            let at = y * width + x;
            let (u, w) = (
                (x as f32 + 0.5) / width as f32 * 2.0 - 1.0,
                (y as f32 + 0.5) / height as f32 * 2.0 - 1.0,
            );
            let edge = 1.0 - 0.30 * smooth(0.45, 1.5, (u * u + 0.7 * w * w).sqrt());
            let exposed = (light[at] + glow[at]) * (1.22 * edge);
            let graded = grade(tone(exposed));
            // Grain is strongest in the lower mid-tones, as in print stock.
            let level = graded.luminance();
            let amount = 0.012 * (0.35 + 1.9 * level.sqrt() * (1.0 - level));
            let speck = (grain.normal() * f64::from(amount)) as f32;
            let colour = v3(grain.unit_f32(), grain.unit_f32(), grain.unit_f32());
            let print =
                graded.map(encode) + Vec3::splat(speck) + (colour - Vec3::splat(0.5)) * 0.008;
            let byte = |c: f32| (c.clamp(0.0, 1.0) * 255.0 + 0.5) as u8;
            canvas.set(x as i32, y as i32, [byte(print.x), byte(print.y), byte(print.z)]);
        }
    }
    canvas
}

/// Light scattered in the lens: bright parts, blurred narrowly and widely.
fn glow(light: &[Vec3], width: usize) -> Vec<Vec3> {
    let bright: Vec<Vec3> = light
        .iter()
        .map(|c| {
            let excess = (c.peak() - 0.9).max(0.0);
            *c * (excess / (c.peak() + 1e-6)).min(1.0)
        })
        .collect();
    let unit = width as f32 / 384.0;
    let mut sum = vec![Vec3::ZERO; light.len()];
    let mut layer = bright;
    for (radius, share) in [(1.2, 0.090), (4.0, 0.070), (13.0, 0.055)] {
        let radius = (radius * unit).round().max(1.0) as usize;
        for _ in 0..2 {
            layer = box_blur(&layer, width, radius);
        }
        for (s, l) in sum.iter_mut().zip(&layer) {
            *s += *l * share;
        }
    }
    sum
}

/// Mean over a square of (2·radius+1)²; rows, then columns, by running sums.
fn box_blur(picture: &[Vec3], width: usize, radius: usize) -> Vec<Vec3> {
    let height = picture.len() / width;
    let pass = |from: &[Vec3], to: &mut [Vec3], count: usize, start: usize, stride: usize| {
        let at = |i: isize| from[start + i.clamp(0, count as isize - 1) as usize * stride];
        let r = radius as isize;
        let mut sum = Vec3::ZERO;
        for i in -r..=r {
            sum += at(i);
        }
        let share = 1.0 / (2.0 * radius as f32 + 1.0);
        for i in 0..count as isize {
            to[start + i as usize * stride] = (sum * share).max(Vec3::ZERO);
            sum = sum + at(i + r + 1) - at(i - r);
        }
    };
    let mut across = vec![Vec3::ZERO; picture.len()];
    for y in 0..height {
        pass(picture, &mut across, width, y * width, 1);
    }
    let mut both = vec![Vec3::ZERO; picture.len()];
    for x in 0..width {
        pass(&across, &mut both, height, x, width);
    }
    both
}

/// A film-like curve per channel: a toe, a long shoulder, white at about 12 times middle grey.
/// Some of each channel goes into the others first, so that strong colours pale as they burn.
fn tone(c: Vec3) -> Vec3 {
    let spill = c.luminance() * 0.10;
    let c = c * 0.90 + Vec3::splat(spill);
    c.map(|x| {
        let x = x.max(0.0);
        // A rational curve: slope 1 near the middle, toe by x², shoulder by the denominator.
        let y = x * (x * 2.05 + 0.09) / (x * (x * 1.86 + 1.06) + 0.15);
        y.min(1.0)
    })
}

/// Cool shadows, warm lights, a little more colour than life.
fn grade(c: Vec3) -> Vec3 {
    let level = c.luminance();
    let cool = v3(0.84, 1.00, 1.18);
    let warm = v3(1.05, 1.00, 0.93);
    let tint = cool.mix(warm, smooth(0.03, 0.5, level));
    let tinted = c * tint;
    let grey = Vec3::splat(tinted.luminance());
    grey.mix(tinted, 1.12).max(Vec3::ZERO) + v3(0.0012, 0.0018, 0.0034)
}

/// Linear to sRGB (IEC 61966-2-1).
fn encode(x: f32) -> f32 {
    if x <= 0.003_130_8 { 12.92 * x } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tone_curve_rises_and_stays_below_one() {
        let mut before = -1.0;
        for i in 0..400 {
            let y = tone(Vec3::splat(i as f32 * 0.05)).x;
            assert!(y >= before && y <= 1.0);
            before = y;
        }
        assert_eq!(tone(Vec3::ZERO), Vec3::ZERO);
        assert!(before > 0.9);
    }

    #[test]
    fn blurs_keep_an_even_picture() {
        let even = vec![Vec3::splat(0.5); 20 * 10];
        for c in box_blur(&even, 20, 3) {
            assert!((c.x - 0.5).abs() < 1e-4);
        }
    }
}
