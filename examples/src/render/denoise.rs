//! A clean picture from few samples.
//!
//! An edge-avoiding à-trous filter (Dammertz et al., HPG 2010) on light divided by its
//! noise-free estimate, with edges from normal, distance and estimate, and with strength from
//! the measured variance as in Schied et al., "Spatiotemporal variance-guided filtering" (HPG
//! 2017), here within one frame only. Must not know of scenes.

use super::vec3::Vec3;

/// What is known of a pixel: means over its samples.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pixel {
    /// Mean light.
    pub light: Vec3,
    /// Mean noise-free estimate.
    pub guide: Vec3,
    /// Mean normal, not unit where surfaces meet.
    pub normal: Vec3,
    /// Mean logarithm of the distance.
    pub depth: f32,
    /// Variance of the mean luminance.
    pub variance: f32,
}

/// Passes: the last one reaches 2 · 2⁴ = 32 pixels.
const PASSES: usize = 5;
/// Added to the estimate before dividing, so that black stays black.
const FLOOR: f32 = 4e-3;

/// Filters a picture of `width` pixels a row.
pub fn denoise(pixels: &[Pixel], width: usize, threads: usize) -> Vec<Vec3> {
    let floor = Vec3::splat(FLOOR);
    let mut ratio: Vec<Vec3> = pixels.iter().map(|p| p.light / (p.guide + floor)).collect();
    let mut variance: Vec<f32> = pixels
        .iter()
        .map(|p| {
            let scale = p.guide.luminance() + FLOOR;
            p.variance / (scale * scale)
        })
        .collect();
    for pass in 0..PASSES {
        let reach = 1 << pass;
        let mut next = vec![(Vec3::ZERO, 0.0); pixels.len()];
        super::rows(&mut next, width, threads, |y, row| {
            for (x, out) in row.iter_mut().enumerate() {
                *out = filter(pixels, &ratio, &variance, width, (x, y), reach);
            }
        });
        for (i, (light, spread)) in next.into_iter().enumerate() {
            ratio[i] = light;
            variance[i] = spread;
        }
    }
    pixels.iter().zip(ratio).map(|(p, r)| r * (p.guide + floor)).collect()
}

/// One pixel of one pass: filtered ratio and its variance.
fn filter(
    pixels: &[Pixel],
    ratio: &[Vec3],
    variance: &[f32],
    width: usize,
    (x, y): (usize, usize),
    reach: usize,
) -> (Vec3, f32) {
    const KERNEL: [f32; 3] = [3.0 / 8.0, 1.0 / 4.0, 1.0 / 16.0];
    let height = pixels.len() / width;
    let at = y * width + x;
    let here = &pixels[at];
    // The variance of few samples is itself noisy; its blurred value is what edges go by.
    let mut spread = 0.0;
    let mut count = 0.0;
    for v in y.saturating_sub(1)..(y + 2).min(height) {
        for u in x.saturating_sub(1)..(x + 2).min(width) {
            spread += variance[v * width + u];
            count += 1.0;
        }
    }
    let sigma = 1.0 / (2.6 * (spread / count).sqrt() + 0.012);
    let level = ratio[at].luminance();
    let guide = here.guide.luminance() + FLOOR;
    let (mut sum, mut sum_weight) = (Vec3::ZERO, 0.0);
    let mut sum_variance = 0.0;
    for dv in -2i32..=2 {
        let v = y as i32 + dv * reach as i32;
        if v < 0 || v >= height as i32 {
            continue;
        }
        for du in -2i32..=2 {
            let u = x as i32 + du * reach as i32;
            if u < 0 || u >= width as i32 {
                continue;
            }
            let other = v as usize * width + u as usize;
            let there = &pixels[other];
            let normals = 1.0 - here.normal.dot(there.normal).min(1.0);
            let depths = (here.depth - there.depth).abs() / (1.0 + du.abs().max(dv.abs()) as f32);
            let levels = (ratio[other].luminance() - level).abs();
            let glow = there.guide.luminance() + FLOOR;
            let guides = (glow - guide).abs() / glow.max(guide);
            let cost = normals * 18.0 + depths * 22.0 + levels * sigma + guides * 2.2;
            let kernel = KERNEL[du.unsigned_abs() as usize] * KERNEL[dv.unsigned_abs() as usize];
            let weight = if other == at { kernel } else { kernel * (-cost).exp() };
            sum += ratio[other] * weight;
            sum_variance += variance[other] * weight * weight;
            sum_weight += weight;
        }
    }
    (sum * (1.0 / sum_weight), sum_variance / (sum_weight * sum_weight))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn noise_falls_and_edges_stay() {
        let (width, height) = (48, 24);
        let mut rng = Rng::new(4);
        let truth = |x: usize| if x < 24 { 0.2f32 } else { 1.0 };
        let pixels: Vec<Pixel> = (0..width * height)
            .map(|i| {
                let x = i % width;
                let noise = 0.15 * rng.normal() as f32;
                Pixel {
                    light: Vec3::splat((truth(x) + noise).max(0.0)),
                    guide: Vec3::splat(0.3),
                    normal: if x < 24 { Vec3::UP } else { Vec3 { x: 1.0, y: 0.0, z: 0.0 } },
                    depth: 1.0,
                    variance: 0.15 * 0.15,
                }
            })
            .collect();
        let clean = denoise(&pixels, width, 1);
        let error = |picture: &dyn Fn(usize) -> f32| {
            (0..width * height).map(|i| (picture(i) - truth(i % width)).powi(2)).sum::<f32>()
        };
        let before = error(&|i| pixels[i].light.x);
        let after = error(&|i| clean[i].x);
        assert!(after < before / 8.0, "{after} against {before}");
        assert_eq!(clean, denoise(&pixels, width, 3), "threads change nothing");
    }
}
