//! Light along one ray of the camera: mirrors, glass and water are followed, scattering
//! surfaces are lit by lamps (sampled directly) and by the sky (one bounce and an estimate).
//!
//! Beside the light it returns what the denoiser needs: an estimate of the light without noise,
//! a normal and a distance. Must not know of pixels.

use super::scene::{Hit, Scene, What, facade};
use super::shape::Surface;
use super::sky;
use super::vec3::{Vec3, smooth, v3};
use crate::noise::{fbm2, hash2, noise2};
use crate::rng::Rng;

/// Mirrors in a row that are followed; a ray in the glass floats needs four.
const MIRRORS_MAX: usize = 6;
/// Beyond this distance mist is part of the painted ridges.
const MIST_MAX: f32 = 950.0;
/// Rays longer than this have left the land.
const FAR: f32 = 2_000.0;
/// One sample's light is cut here: brighter ones are rare paths that would stay as white dots.
const SAMPLE_MAX: f32 = 18.0;
/// Light that scattering surfaces receive on average; only the denoiser's estimate uses it.
const AMBIENT: Vec3 = v3(0.20, 0.17, 0.24);

/// What one ray found.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sample {
    /// Radiance.
    pub light: Vec3,
    /// The same with every noisy part replaced by an estimate.
    pub guide: Vec3,
    /// Normal of the surface that was seen, mirrored ones included.
    pub normal: Vec3,
    /// Length of the way to it, metres.
    pub depth: f32,
}

impl Sample {
    fn add(&mut self, light: Vec3) {
        self.light += light;
        self.guide += light;
    }
}

/// Follows one camera ray.
pub fn follow(scene: &Scene<'_>, origin: Vec3, direction: Vec3, rng: &mut Rng) -> Sample {
    let (mut o, mut d) = (origin, direction);
    let mut pass = Vec3::ONE;
    let mut sample = Sample { normal: -direction, ..Sample::default() };
    let mut mirrored = 0.0;
    for _ in 0..MIRRORS_MAX {
        let hit = scene.hit(o, d, FAR);
        let way = hit.map_or(MIST_MAX, |hit| hit.t.min(MIST_MAX));
        for lamp in &scene.lamps {
            let power = lamp.glow * (lamp.radius * lamp.radius * 3.0);
            sample.add(pass * sky::halo(o, d, way, lamp.centre, power));
        }
        let (clear, air) = sky::mist(o, d, way, scene.time);
        sample.add(pass * air);
        pass *= clear;
        sample.depth += hit.map_or(FAR, |hit| hit.t);
        let Some(Hit { t, normal, what }) = hit else {
            sample.add(pass * sky::view(d));
            break;
        };
        let at = o + d * t;
        sample.normal = normal.mix(Vec3::UP, 0.7 * mirrored);
        match what {
            What::Water => {
                let wave = ripple(at, t, scene.time, rng);
                let cosine = (-d.dot(wave)).max(0.02);
                let reflect = 0.02 + 0.98 * (1.0 - cosine).powi(5);
                sample.add(pass * v3(0.007, 0.017, 0.024) * (1.0 - reflect));
                pass *= reflect;
                d = d.mirrored(wave);
                d.y = d.y.abs().max(1e-3);
                d = d.unit();
                o = at + v3(0.0, 2e-3, 0.0);
                mirrored = 1.0;
            }
            What::Land => {
                let albedo = land_colour(at, normal);
                sample.add(pass * village(at));
                let e = land_light(scene, at, normal, rng);
                sample.light += pass * albedo * e;
                sample.guide += pass * albedo * AMBIENT;
                break;
            }
            What::Surface(surface) => match surface {
                Surface::Glow(glow) => {
                    sample.add(pass * glow);
                    break;
                }
                Surface::Paper(glow) => {
                    sample.add(pass * paper(glow, at, normal, d));
                    break;
                }
                Surface::Metal { tint, rough } => {
                    let facing = (-d.dot(normal)).max(0.0);
                    pass *= tint.mix(Vec3::ONE, (1.0 - facing).powi(5));
                    d = (d.mirrored(normal) + ball(rng) * rough).unit();
                    if d.dot(normal) <= 0.0 {
                        d = d.mirrored(normal);
                    }
                    o = at + normal * 1e-3;
                    mirrored = 0.5;
                }
                Surface::Glass(tint) => {
                    let inside = d.dot(normal) > 0.0;
                    let (n, eta) = if inside { (-normal, 1.5) } else { (normal, 1.0 / 1.5) };
                    let cosine = -d.dot(n);
                    let sine2 = eta * eta * (1.0 - cosine * cosine);
                    let schlick = 0.04 + 0.96 * (1.0 - cosine).powi(5);
                    if sine2 >= 1.0 || (!inside && rng.unit_f32() < schlick) {
                        d = d.mirrored(n);
                        o = at + n * 1e-3;
                    } else {
                        d = (d * eta + n * (eta * cosine - (1.0 - sine2).sqrt())).unit();
                        o = at - n * 1e-3;
                        if inside {
                            pass *= tint;
                        }
                    }
                }
                Surface::Diffuse(_) | Surface::Planks(_) | Surface::Facade(_) => {
                    let (albedo, glow) = colour(surface, at, normal);
                    sample.add(pass * glow);
                    let e = received(scene, at, normal, rng, Bounces::One);
                    sample.light += pass * albedo * e;
                    sample.guide += pass * albedo * AMBIENT;
                    break;
                }
            },
        }
    }
    let peak = sample.light.peak();
    if peak > SAMPLE_MAX {
        sample.light *= SAMPLE_MAX / peak;
    }
    sample
}

/// How many more times light may scatter before an estimate stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bounces {
    One,
    None,
}

/// Light that an object's surface receives, divided by π: lamps, and one ray to the rest.
fn received(scene: &Scene<'_>, at: Vec3, normal: Vec3, rng: &mut Rng, left: Bounces) -> Vec3 {
    let at = at + normal * 2e-3;
    let mut sum = lamp_light(scene, at, normal, rng);
    match left {
        Bounces::None => sum += sky::light(Vec3::UP) * 0.35,
        Bounces::One => {
            let d = (normal + sphere(rng)).unit();
            sum += match scene.hit(at, d, 400.0) {
                None => sky::light(d),
                Some(hit) => match hit.what {
                    What::Water => sky::light(d.mirrored(Vec3::UP)) * 0.25,
                    What::Land => v3(0.02, 0.02, 0.025),
                    What::Surface(surface) => {
                        let (albedo, glow) = colour(surface, at + d * hit.t, hit.normal);
                        let from = at + d * hit.t;
                        glow.min(Vec3::ONE)
                            + albedo * received(scene, from, hit.normal, rng, Bounces::None)
                    }
                },
            };
        }
    }
    sum
}

/// Light from one lamp picked in proportion to what it could give, by the solid angle it fills
/// (Shirley, Wang, Zimmerman, "Monte Carlo techniques for direct lighting", 1996).
fn lamp_light(scene: &Scene<'_>, at: Vec3, normal: Vec3, rng: &mut Rng) -> Vec3 {
    let weight = |i: usize| {
        let lamp = &scene.lamps[i];
        let way = lamp.centre - at;
        let square = way.dot(way);
        // A lamp wholly below the surface cannot light it.
        if way.dot(normal) < -lamp.radius {
            return 0.0;
        }
        lamp.glow.luminance() * lamp.radius * lamp.radius / (square + 0.05)
    };
    let total: f32 = (0..scene.lamps.len()).map(weight).sum();
    if total < 1e-5 {
        return Vec3::ZERO;
    }
    let mut left = rng.unit_f32() * total;
    let mut picked = None;
    for i in 0..scene.lamps.len() {
        let w = weight(i);
        if w > 0.0 {
            picked = Some((i, w));
            if left < w {
                break;
            }
            left -= w;
        }
    }
    let Some((i, w)) = picked else { return Vec3::ZERO };
    let lamp = scene.lamps[i];
    let way = lamp.centre - at;
    let square = way.dot(way).max(lamp.radius * lamp.radius * 1.02);
    let cos_max = (1.0 - lamp.radius * lamp.radius / square).max(0.0).sqrt();
    let cosine = 1.0 - rng.unit_f32() * (1.0 - cos_max);
    let sine = (1.0 - cosine * cosine).max(0.0).sqrt();
    let angle = std::f32::consts::TAU * rng.unit_f32();
    let axis = way.unit();
    let (a, b) = axis.frame();
    let d = a * (sine * angle.cos()) + b * (sine * angle.sin()) + axis * cosine;
    let facing = d.dot(normal);
    if facing <= 0.0 || scene.shadowed(at, at + d * square.sqrt(), lamp.radius * 1.3) {
        return Vec3::ZERO;
    }
    // Solid angle over π, over the chance of this lamp; paper is dimmer at its rim.
    lamp.glow * (0.8 * 2.0 * (1.0 - cos_max) * facing * total / w)
}

/// Light on the hills, divided by π: one ray to the sky past other hills, and the glow of the
/// data centre on the slopes near it.
fn land_light(scene: &Scene<'_>, at: Vec3, normal: Vec3, rng: &mut Rng) -> Vec3 {
    let from = at + normal * 0.6;
    let d = (normal + sphere(rng)).unit();
    let mut sum = if d.y < 0.0 || scene.land.hit(from, d, 0.5, 160.0).is_some() {
        v3(0.022, 0.020, 0.030)
    } else {
        sky::light(d)
    };
    for (lamp, power) in [
        (v3(38.0, 9.0, 203.0), v3(60.0, 52.0, 40.0)),
        (v3(84.0, 8.0, 207.0), v3(46.0, 30.0, 16.0)),
        (v3(40.0, 16.0, 247.0), v3(70.0, 60.0, 46.0)),
    ] {
        let way = lamp - at;
        let square = way.dot(way) + 30.0;
        let facing = (way.dot(normal) / square.sqrt() * 0.7 + 0.3).max(0.0);
        sum += power * (facing / square);
    }
    sum
}

/// Forest on what is not too steep, pale limestone where it is.
fn land_colour(at: Vec3, normal: Vec3) -> Vec3 {
    let grain = fbm2(at.x * 0.11, at.y * 0.11 + at.z * 0.11, 3, 71);
    let rock = smooth(0.62, 0.40, normal.y + 0.24 * (grain - 0.5));
    let forest = v3(0.045, 0.075, 0.040).mix(v3(0.085, 0.095, 0.045), grain);
    let stone = v3(0.26, 0.245, 0.225) * (0.55 + 0.7 * grain);
    forest.mix(stone, 0.75 * rock)
}

/// Scattered windows of a village along the shore.
fn village(at: Vec3) -> Vec3 {
    if at.z > 300.0 || !(2.2..12.0).contains(&at.y) || at.x > -4.0 {
        return Vec3::ZERO;
    }
    let (u, w) = (at.x / 2.0, at.y / 1.3);
    let (cu, cw) = (u - u.floor() - 0.5, w - w.floor() - 0.5);
    let lit = hash2(u.floor() as i32, w.floor() as i32, 333) > 0.955;
    let cluster = noise2(at.x * 0.045, 3.0, 91) > 0.45;
    if lit && cluster && cu.abs() < 0.3 && cw.abs() < 0.32 {
        v3(2.6, 1.35, 0.45)
    } else {
        Vec3::ZERO
    }
}

/// Colour and own light of a scattering surface.
fn colour(surface: Surface, at: Vec3, normal: Vec3) -> (Vec3, Vec3) {
    match surface {
        Surface::Diffuse(albedo) => (albedo, Vec3::ZERO),
        Surface::Planks(wood) => {
            let plank = (at.z / 0.16).floor();
            let edge = (at.z / 0.16 - plank - 0.5).abs();
            let joint = if edge > 0.44 { 0.25 } else { 1.0 };
            let tone = 0.65 + 0.7 * hash2(plank as i32, 5, 12);
            let grain = 0.8 + 0.4 * noise2(at.x * 3.0, at.z * 40.0, 13);
            (wood * (tone * grain * joint), Vec3::ZERO)
        }
        Surface::Facade(id) => (v3(0.10, 0.105, 0.12), facade(id, at, normal)),
        Surface::Metal { tint, .. } => (tint * 0.5, Vec3::ZERO),
        Surface::Glass(tint) => (tint * 0.1, Vec3::ZERO),
        Surface::Glow(glow) => (Vec3::ZERO, glow),
        // Lanterns are sampled as lamps; counting them again here would light twice.
        Surface::Paper(_) => (Vec3::ZERO, Vec3::ZERO),
    }
}

/// Radiance of lantern paper: brightest where one looks straight in, redder and darker towards
/// the rim, with the ribs of the frame.
fn paper(glow: Vec3, at: Vec3, normal: Vec3, d: Vec3) -> Vec3 {
    let facing = (-d.dot(normal)).clamp(0.0, 1.0);
    // Eight ribs round the upright axis, by the compass bearing of the normal.
    let bearing = normal.z.atan2(normal.x);
    let rib = 1.0 - 0.34 * smooth(0.86, 0.98, (bearing * 8.0).cos());
    let weave = 0.94 + 0.06 * (at.y * 190.0).sin();
    let rim = v3(0.50, 0.30, 0.22).mix(v3(1.15, 1.25, 1.45), facing.powf(1.4));
    let cap = 1.0 - 0.5 * smooth(0.55, 0.95, normal.y.abs());
    glow * rim * (rib * weave * cap)
}

/// Normal of the lake. Waves finer than the picture can show become chance instead, so that far
/// water blurs its reflections upright as real water does.
fn ripple(at: Vec3, way: f32, time: f32, rng: &mut Rng) -> Vec3 {
    let calm = 0.35 + 0.95 * noise2(at.x * 0.045 + 5.0, at.z * 0.022 + 0.1 * time, 640);
    let (mut sx, mut sz, mut lost) = (0.0, 0.0, 0.0);
    // Bearing (cosine, sine), wave number in rad/m, slope; speed follows deep-water waves.
    for (c, s, k, slope) in [
        (0.92_f32, 0.39_f32, 1.7_f32, 0.010_f32),
        (-0.45, 0.89, 3.1, 0.012),
        (0.20, 0.98, 5.3, 0.013),
        (0.98, -0.20, 8.7, 0.012),
        (-0.75, 0.66, 14.0, 0.013),
        (0.55, 0.83, 23.0, 0.012),
    ] {
        let fine = k * way * 0.0035;
        let shown = 1.0 / (1.0 + fine * fine);
        let phase = k * (c * at.x + s * at.z) + (9.81 * k).sqrt() * time + 4.0 * calm;
        let lean = slope * calm * shown * phase.cos();
        sx += lean * c;
        sz += lean * s;
        lost += slope * slope * (1.0 - shown) * 0.5;
    }
    let blur = lost.sqrt() * calm * 1.2;
    let (a, b) = (rng.unit_f32() + rng.unit_f32() - 1.0, rng.unit_f32() + rng.unit_f32() - 1.0);
    v3(-sx - a * blur, 1.0, -sz - b * blur).unit()
}

/// A point on the unit sphere.
fn sphere(rng: &mut Rng) -> Vec3 {
    let y = 1.0 - 2.0 * rng.unit_f32();
    let r = (1.0 - y * y).max(0.0).sqrt();
    let angle = std::f32::consts::TAU * rng.unit_f32();
    // Slightly inside the sphere, so that the sum with a normal is never zero.
    v3(r * angle.cos(), y, r * angle.sin()) * 0.999
}

/// A point in the unit ball.
fn ball(rng: &mut Rng) -> Vec3 {
    sphere(rng) * rng.unit_f32().cbrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::land::LAND;

    #[test]
    fn every_ray_gives_finite_light() {
        let scene = Scene::at(&LAND, 0.3);
        let mut rng = Rng::new(5);
        let eye = v3(0.0, 1.6, 0.0);
        for _ in 0..3_000 {
            let d = v3(rng.between(-0.5, 0.5) as f32, rng.between(-0.4, 0.3) as f32, 1.0);
            let sample = follow(&scene, eye, d.unit(), &mut rng);
            for light in [sample.light, sample.guide] {
                assert!(light.x.is_finite() && light.y.is_finite() && light.z.is_finite());
                assert!(light.x >= 0.0 && light.y >= 0.0 && light.z >= 0.0, "{light:?}");
            }
            assert!(sample.light.peak() <= SAMPLE_MAX * 1.001);
        }
    }

    /// A sphere lamp right above a point gives E/π = L · r²/d² there, whatever way it is sampled.
    #[test]
    fn a_lamp_overhead_gives_its_solid_angle() {
        let mut scene = Scene::at(&LAND, 0.0);
        let mut lamp = scene.lamps[0];
        lamp.centre = v3(60.0, 3.0, 30.0);
        lamp.radius = 0.5;
        lamp.glow = Vec3::ONE;
        scene.lamps = vec![lamp];
        let mut rng = Rng::new(8);
        let n = 4_000;
        let sum: f32 =
            (0..n).map(|_| lamp_light(&scene, v3(60.0, 1.0, 30.0), Vec3::UP, &mut rng).x).sum();
        let mean = sum / n as f32;
        let expect = 0.8 * 0.25 / 4.0;
        assert!((mean - expect).abs() < 0.03 * expect, "{mean} against {expect}");
    }
}
