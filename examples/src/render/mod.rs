//! The film studio's work: a path tracer and the shot it renders.
//!
//! One frame: `scene` says where everything is, `trace` follows rays, `denoise` cleans the
//! picture, `film` develops it. Invariant: a frame depends on its number, size, samples and
//! seed only, not on threads or on other frames, so that an array of tasks makes one film.

mod denoise;
mod figure;
mod film;
mod land;
mod scene;
mod shape;
mod sky;
mod trace;
pub mod vec3;

use std::thread;

use denoise::Pixel;
pub use land::Land;
use scene::Scene;
use vec3::{Vec3, v3};

use crate::canvas::Canvas;
use crate::rng::Rng;

/// Frames per second of the shot.
const FRAME_RATE: f32 = 24.0;
/// The shutter is open for half of a frame, as film cameras have it.
const SHUTTER: f32 = 0.5;

/// How a shot is rendered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shot {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// Rays per pixel.
    pub samples: u32,
    /// Frames in the whole shot; the camera's way is spread over them.
    pub frames: u64,
    /// Seed of everything random.
    pub seed: u64,
    /// Threads; changes nothing in the picture.
    pub threads: usize,
    /// Whether the picture is cleaned.
    pub finish: Finish,
}

/// What is done to a traced picture before it is developed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Filtered with the help of normals, distances and estimates.
    Denoised,
    /// As it was traced.
    Raw,
}

impl Default for Shot {
    fn default() -> Shot {
        Shot {
            width: 384,
            height: 160,
            samples: 8,
            frames: 48,
            seed: 1,
            threads: 1,
            finish: Finish::Denoised,
        }
    }
}

/// Renders frame `frame` (counted from 1) of a shot.
pub fn render(land: &Land, shot: &Shot, frame: u64) -> Canvas {
    let start = frame.saturating_sub(1) as f32 / FRAME_RATE;
    let length = shot.frames.max(1) as f32 / FRAME_RATE;
    let scene = Scene::at(land, start + 0.5 * SHUTTER / FRAME_RATE);
    let mut pixels = vec![Pixel::default(); shot.width * shot.height];
    rows(&mut pixels, shot.width, shot.threads, |y, row| {
        for (x, pixel) in row.iter_mut().enumerate() {
            let mut rng = Rng::of(&[shot.seed, frame, (y * shot.width + x) as u64]);
            *pixel = expose(&scene, shot, (x, y), (start, length), &mut rng);
        }
    });
    let light = match shot.finish {
        Finish::Denoised => denoise::denoise(&pixels, shot.width, shot.threads),
        Finish::Raw => pixels.iter().map(|p| p.light).collect(),
    };
    film::develop(&light, shot.width, frame, shot.seed)
}

/// All samples of one pixel.
fn expose(
    scene: &Scene<'_>,
    shot: &Shot,
    (x, y): (usize, usize),
    (start, length): (f32, f32),
    rng: &mut Rng,
) -> Pixel {
    let mut pixel = Pixel::default();
    let (mut sum, mut squares) = (0.0, 0.0);
    // The additive recurrence R2 (Roberts 2018) spreads samples over the pixel; a random start
    // per pixel keeps neighbours from sharing its pattern.
    let (mut u, mut w) = (rng.unit_f32(), rng.unit_f32());
    let count = shot.samples.max(1);
    for i in 0..count {
        u = (u + 0.754_877_7).fract();
        w = (w + 0.569_840_3).fract();
        let open = (i as f32 + rng.unit_f32()) / count as f32 * SHUTTER / FRAME_RATE;
        let camera = Scene::camera(start + open, length);
        let half_height = camera.half_width * shot.height as f32 / shot.width as f32;
        let across = ((x as f32 + u) / shot.width as f32 * 2.0 - 1.0) * camera.half_width;
        let upward = (1.0 - (y as f32 + w) / shot.height as f32 * 2.0) * half_height;
        let aim = camera.forward + camera.right * across + camera.up * upward;
        let angle = std::f32::consts::TAU * rng.unit_f32();
        let radius = camera.aperture * rng.unit_f32().sqrt();
        let lens = camera.right * (radius * angle.cos()) + camera.up * (radius * angle.sin());
        let direction = (aim * camera.focus - lens).unit();
        let sample = trace::follow(scene, camera.eye + lens, direction, rng);
        pixel.light += sample.light;
        pixel.guide += sample.guide;
        pixel.normal += sample.normal;
        pixel.depth += sample.depth.max(0.1).ln();
        // How far a sample is from its own estimate is the noise; the picture's detail is not.
        let off = (sample.light - sample.guide).luminance();
        sum += off;
        squares += off * off;
    }
    let share = 1.0 / count as f32;
    let mean = sum * share;
    let variance = (squares * share - mean * mean).max(0.0);
    Pixel {
        light: pixel.light * share,
        guide: pixel.guide * share,
        normal: pixel.normal * share,
        depth: pixel.depth * share,
        variance: variance * share + (0.1 * mean * share).powi(2),
    }
}

/// Works on the rows of a picture with some threads; which thread has which row changes nothing.
fn rows<T: Send>(
    picture: &mut [T],
    width: usize,
    threads: usize,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    if threads <= 1 {
        picture.chunks_mut(width).enumerate().for_each(|(y, row)| work(y, row));
        return;
    }
    let mut shares: Vec<Vec<(usize, &mut [T])>> = (0..threads).map(|_| Vec::new()).collect();
    for (y, row) in picture.chunks_mut(width).enumerate() {
        shares[y % threads].push((y, row));
    }
    thread::scope(|scope| {
        for share in shares {
            let work = &work;
            scope.spawn(move || share.into_iter().for_each(|(y, row)| work(y, row)));
        }
    });
}

/// Mean colour of a picture, for tests and for a line of report.
pub fn mean(canvas: &Canvas) -> Vec3 {
    let mut sum = Vec3::ZERO;
    for y in 0..canvas.height() {
        for x in 0..canvas.width() {
            let [r, g, b] = canvas.get(x as i32, y as i32).map(f32::from);
            sum += v3(r, g, b);
        }
    }
    sum * (1.0 / (canvas.width() * canvas.height()) as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_depends_on_its_number_and_not_on_threads() {
        let land = &*land::LAND;
        let shot = Shot { width: 24, height: 10, samples: 1, ..Shot::default() };
        let one = render(land, &shot, 7);
        assert_eq!(one, render(land, &Shot { threads: 3, ..shot }, 7));
        assert_ne!(one, render(land, &shot, 8));
        let m = mean(&one);
        assert!(m.x > 5.0 && m.x < 200.0, "neither black nor burnt: {m:?}");
    }
}
