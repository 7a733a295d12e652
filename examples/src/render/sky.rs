//! Dusk: the sky's light, ridges too far to be land, mist over the lake, the glow round lamps.
//!
//! All of it is closed form, so it adds no noise. Must not know of objects.

use super::vec3::{Vec3, smooth, v3};
use crate::noise::{fbm2, hash2, noise2};

/// Where the sun went down: a little right of the picture's middle, 2° under the horizon.
fn sun() -> Vec3 {
    v3(0.135, -0.035, 1.0).unit()
}

/// Light of the open sky without clouds and ridges; what lights surfaces.
pub fn light(direction: Vec3) -> Vec3 {
    let up = direction.y.max(0.0);
    let level = (1.0 - up).powi(11);
    // How much a direction faces the afterglow, as a compass bearing and as an angle.
    let flat = v3(direction.x, 0.0, direction.z).unit();
    let bearing = (0.5 + 0.5 * flat.dot(v3(0.135, 0.0, 1.0).unit())).powi(3);
    let near = direction.dot(sun()).max(0.0);
    let zenith = v3(0.034, 0.066, 0.165);
    let dusk = v3(0.20, 0.15, 0.27).mix(v3(1.00, 0.40, 0.17), bearing);
    let band = v3(0.13, 0.20, 0.38) * (1.0 - (up - 0.24).abs() * 2.4).max(0.0);
    zenith
        + band * 0.55
        + dusk * (0.92 * level)
        + v3(1.30, 0.48, 0.13) * (0.80 * near.powi(60))
        + v3(1.6, 0.80, 0.30) * (1.15 * near.powi(420))
}

/// What the camera sees where it sees no object: sky, streaks of cloud, first stars, ridges.
pub fn view(direction: Vec3) -> Vec3 {
    let mut colour = light(direction);
    let up = direction.y;
    if up > 0.005 {
        // Clouds as a thin sheet seen from below: far ones crowd towards the horizon.
        let reach = 1.0 / (up + 0.06);
        let (u, w) = (direction.x * reach, direction.z * reach);
        let sheet = fbm2(u * 0.55 + 3.0, w * 1.9, 4, 901);
        let cover = smooth(0.50, 0.78, sheet) * smooth(0.01, 0.07, up);
        let near = direction.dot(sun()).max(0.0);
        let lit = v3(0.30, 0.19, 0.25).mix(v3(1.35, 0.55, 0.26), near.powi(14));
        colour = colour.mix(lit, 0.62 * cover);
        // Stars only where the sky is dark enough to see them.
        let (sx, sy) = (direction.x / direction.z * 260.0, up / direction.z * 260.0);
        if direction.z > 0.1 && hash2(sx.floor() as i32, sy.floor() as i32, 17) > 0.9965 {
            let (dx, dy) = (sx - sx.floor() - 0.5, sy - sy.floor() - 0.5);
            let dot = (1.0 - 3.2 * (dx * dx + dy * dy).sqrt()).max(0.0);
            colour += v3(0.9, 0.95, 1.0) * (dot * 0.5 * smooth(0.10, 0.19, up) * (1.0 - cover));
        }
    }
    // Three ridges, each nearer one a little darker and bluer.
    if direction.z > 0.05 {
        let across = direction.x / direction.z;
        for (layer, (height, pitch, haze)) in
            [(0.062, 5.0, 0.80), (0.050, 8.0, 0.64), (0.038, 12.0, 0.50)].into_iter().enumerate()
        {
            let seed = 300 + layer as u32 * 9;
            let cones = noise2(across * pitch, 0.5, seed);
            let crest = height * (0.30 + 0.95 * cones * cones)
                + 0.004 * (noise2(across * 60.0, 2.5, seed) - 0.5);
            let dip = 1.0 - 0.45 * (1.0 - smooth(0.03, 0.17, (across - 0.13).abs()));
            let edge = smooth(-0.0011, 0.0011, crest * dip - up / direction.z);
            let level = v3(direction.x, 0.02, direction.z).unit();
            let far = light(level) * haze + v3(0.035, 0.045, 0.09) * (1.0 - haze);
            // Mist fills the valleys: the foot of a ridge is brighter than its crest.
            let foot = far.mix(light(level), 0.55 * (1.0 - smooth(0.0, 0.03, up)));
            colour = colour.mix(foot, edge);
        }
    }
    colour
}

/// Share of light that passes the mist between two points, and the light the mist adds.
///
/// Density falls off exponentially with height; the integral along a straight way is closed
/// (e.g. Quílez, "Better fog", 2010). Banks drift in front of the hills as thin sheets.
pub fn mist(from: Vec3, direction: Vec3, way: f32, time: f32) -> (f32, Vec3) {
    let thin = 0.00038;
    let low = |height: f32, density: f32| {
        let start = (-from.y.max(0.0) / height).exp();
        let fall = direction.y * way / height;
        let mean = if fall.abs() < 1e-3 { 1.0 } else { (1.0 - (-fall).exp()) / fall };
        density * start * mean * way
    };
    let mut depth = thin * way + low(8.0, 0.0017) + low(34.0, 0.00042);
    for (i, z) in [202.0, 262.0, 338.0, 430.0, 560.0].into_iter().enumerate() {
        let t = (z - from.z) / direction.z;
        if t > 0.0 && t < way {
            let (x, y) = (from.x + direction.x * t, from.y + direction.y * t);
            let top = 7.0 + 7.0 * i as f32;
            if y > 2.2 * top {
                // Less than a hundredth of the bank reaches so high.
                continue;
            }
            let drift = time * (1.2 + 0.3 * i as f32);
            let cloud = fbm2((x + drift) * 0.011, y * 0.045 + 7.0 * i as f32, 3, 500 + i as u32);
            depth += 1.25 * smooth(0.36, 0.75, cloud) * (-(y.max(0.0) / top).powi(2)).exp();
        }
    }
    let pass = (-depth).exp();
    let level = v3(direction.x, 0.035, direction.z).unit();
    let air = light(level) * 0.47 + v3(0.022, 0.036, 0.072);
    (pass, air * (1.0 - pass))
}

/// Light that the damp air scatters from a lamp into a ray: for a point lamp in thin even air
/// the integral of 1/d² along the way is a difference of arc tangents.
pub fn halo(from: Vec3, direction: Vec3, way: f32, lamp: Vec3, power: Vec3) -> Vec3 {
    let to = lamp - from;
    let along = to.dot(direction);
    // A floor on the distance keeps the lamp's own body from glowing without bound.
    let aside = (to.dot(to) - along * along).max(0.0).sqrt().max(0.12);
    let angle = ((way - along) / aside).atan() + (along / aside).atan();
    power * (0.0042 * angle / aside)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mist_is_a_share_and_grows_with_the_way() {
        let direction = v3(0.05, 0.01, 1.0).unit();
        let mut before = 1.0;
        for way in [1.0, 50.0, 150.0, 300.0, 700.0] {
            let (pass, air) = mist(v3(0.0, 2.0, 0.0), direction, way, 0.0);
            assert!(pass <= before && pass > 0.0);
            assert!(air.x >= 0.0 && air.z >= 0.0);
            before = pass;
        }
    }

    #[test]
    fn the_afterglow_is_warm_and_the_zenith_blue() {
        let glow = light(v3(0.135, 0.02, 1.0).unit());
        let zenith = light(Vec3::UP);
        assert!(glow.x > 2.0 * glow.z && zenith.z > 2.0 * zenith.x);
        assert!(view(v3(0.1, 0.3, 1.0).unit()).peak().is_finite());
        assert!(view(-Vec3::UP).peak().is_finite());
    }
}
