//! The shot: dusk over a lake in Guizhou. A pier with lanterns on the left, a fisherman on a
//! raft at the right third, a lit data centre at the foot of karst cones, mist between.
//!
//! One place says where everything is at a moment of the shot. Must not know of sampling.

use super::figure;
use super::land::{Land, PAD, PAD_HEIGHT};
use super::shape::{Body, Group, Surface, Thing};
use super::vec3::{Vec3, smooth, v3};
use crate::noise::hash2;

/// A lamp that lights its surroundings: a sphere for sampling, whatever is drawn there.
#[derive(Debug, Clone, Copy)]
pub struct Lamp {
    /// Middle.
    pub centre: Vec3,
    /// Radius of the sphere that is sampled, metres.
    pub radius: f32,
    /// Radiance.
    pub glow: Vec3,
}

/// What a ray met.
#[derive(Debug, Clone, Copy)]
pub struct Hit {
    /// Distance along the ray.
    pub t: f32,
    /// Unit normal on the side of the outside.
    pub normal: Vec3,
    /// What is there.
    pub what: What,
}

/// The kinds of thing a ray can meet.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// An object.
    Surface(Surface),
    /// The hills.
    Land,
    /// The lake.
    Water,
}

/// Camera of one moment.
#[derive(Debug, Clone, Copy)]
pub struct Camera {
    /// Where the lens is.
    pub eye: Vec3,
    /// Right, up and forward, at right angles.
    pub right: Vec3,
    /// See `right`.
    pub up: Vec3,
    /// See `right`.
    pub forward: Vec3,
    /// Half the picture's width at distance 1.
    pub half_width: f32,
    /// Radius of the lens opening, metres.
    pub aperture: f32,
    /// Distance of the plane that is sharp, metres.
    pub focus: f32,
}

/// Everything at one moment.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The far shore.
    pub land: &'a Land,
    /// Seconds since the shot began.
    pub time: f32,
    /// Lamps that are sampled as lights.
    pub lamps: Vec<Lamp>,
    groups: Vec<Group>,
    raft: Vec3,
}

/// How the raft lies: along the x axis turned by this angle (cosine, sine).
const RAFT_TURN: (f32, f32) = (0.94, -0.34);
/// Radiance of the pier's paper lanterns, and of the lamp on the raft.
const LANTERN: Vec3 = v3(6.4, 1.75, 0.42);
const RAFT_LAMP: Vec3 = v3(17.0, 8.2, 2.7);
/// The pier's lantern posts: distance from the camera's start.
const POSTS: [f32; 4] = [5.4, 8.6, 12.4, 17.0];
/// The pier: its right edge, width and deck height.
const PIER: (f32, f32, f32) = (-1.72, 1.75, 0.52);

impl<'a> Scene<'a> {
    /// The scene at a moment: seconds since the shot began.
    pub fn at(land: &'a Land, time: f32) -> Scene<'a> {
        let raft = v3(3.35 - 0.20 * time, 0.015 * (time * 1.7).sin(), 19.5 + 0.05 * time);
        let mut lamps = Vec::new();
        let mut groups = vec![pier(), data_centre(), lanterns(time, &mut lamps)];
        let lamp = raft + turned(v3(2.12, 1.20 + 0.008 * (time * 2.1).sin(), 0.0));
        groups.push(Group::new(vec![
            Thing {
                body: Body::Ellipsoid { centre: lamp, half: v3(0.12, 0.15, 0.12) },
                surface: Surface::Paper(RAFT_LAMP),
            },
            Thing {
                body: Body::Post { foot: lamp + v3(0.0, 0.14, 0.0), height: 0.05, radius: 0.07 },
                surface: Surface::Metal { tint: v3(0.75, 0.52, 0.26), rough: 0.2 },
            },
        ]));
        lamps.push(Lamp { centre: lamp, radius: 0.14, glow: RAFT_LAMP });
        groups.extend(water_lights(time));
        groups.push(sky_lanterns(time));
        Scene { land, time, lamps, groups, raft }
    }

    /// The nearest thing on a ray.
    pub fn hit(&self, o: Vec3, d: Vec3, far: f32) -> Option<Hit> {
        let near = 1e-3;
        let mut limit = far;
        let mut best = None;
        if d.y < -1e-6 && o.y > 0.0 {
            let t = -o.y / d.y;
            if t > near && t < limit {
                limit = t;
                best = Some(Hit { t, normal: Vec3::UP, what: What::Water });
            }
        }
        for group in &self.groups {
            if let Some((t, normal, surface)) = group.hit(o, d, near, limit) {
                limit = t;
                best = Some(Hit { t, normal, what: What::Surface(surface) });
            }
        }
        let local = unturned(o - self.raft);
        let heading = unturned(d);
        if let Some((t, normal, surface)) = figure::hit(local, heading, near, limit) {
            limit = t;
            best = Some(Hit { t, normal: turned(normal), what: What::Surface(surface) });
        }
        if let Some(t) = self.land.hit(o, d, near, limit) {
            let at = o + d * t;
            best = Some(Hit { t, normal: self.land.normal(at.x, at.z), what: What::Land });
        }
        best
    }

    /// Whether anything solid stands between two points (lamps and lit paper do not count).
    pub fn shadowed(&self, from: Vec3, to: Vec3, margin: f32) -> bool {
        let way = to - from;
        let length = way.length();
        let (d, limit) = (way * (1.0 / length), length - margin);
        let near = 2e-3;
        for group in &self.groups {
            if let Some((_, _, surface)) = group.hit(from, d, near, limit) {
                match surface {
                    Surface::Glow(_) | Surface::Paper(_) | Surface::Glass(_) => {}
                    Surface::Diffuse(_)
                    | Surface::Metal { .. }
                    | Surface::Facade(_)
                    | Surface::Planks(_) => return true,
                }
            }
        }
        figure::hit(unturned(from - self.raft), unturned(d), near, limit).is_some()
    }

    /// The camera at a moment of a shot that lasts `length` seconds.
    pub fn camera(time: f32, length: f32) -> Camera {
        let s = smooth(-0.15, 1.15, time / length.max(0.1));
        let eye = v3(0.55 - 0.75 * s, 1.42 + 0.42 * s, -1.1 + 2.4 * s);
        let target = v3(4.6 + 2.0 * s, 6.1, 100.0);
        let forward = (target - eye).unit();
        let right = Vec3::UP.cross(forward).unit();
        let up = forward.cross(right);
        // The eye is led from the nearest lantern to the man: the focus follows.
        let focus = 7.5 + 12.5 * smooth(0.10, 0.75, time / length.max(0.1));
        Camera { eye, right, up, forward, half_width: 0.385, aperture: 0.026, focus }
    }
}

fn turned(p: Vec3) -> Vec3 {
    let (c, s) = RAFT_TURN;
    v3(c * p.x - s * p.z, p.y, s * p.x + c * p.z)
}

fn unturned(p: Vec3) -> Vec3 {
    let (c, s) = RAFT_TURN;
    v3(c * p.x + s * p.z, p.y, -s * p.x + c * p.z)
}

fn block(low: Vec3, high: Vec3, surface: Surface) -> Thing {
    Thing { body: Body::Block { low, high }, surface }
}

fn post(foot: Vec3, height: f32, radius: f32, surface: Surface) -> Thing {
    Thing { body: Body::Post { foot, height, radius }, surface }
}

fn ball(centre: Vec3, half: Vec3, surface: Surface) -> Thing {
    Thing { body: Body::Ellipsoid { centre, half }, surface }
}

fn pier() -> Group {
    let (right, width, deck) = PIER;
    let wood = v3(0.23, 0.155, 0.10);
    let dark = Surface::Diffuse(wood * 0.55);
    let far = 18.2;
    let mut things = vec![
        block(v3(right - width, deck - 0.07, 0.5), v3(right, deck, far), Surface::Planks(wood)),
        block(v3(right - 0.10, deck - 0.24, 0.5), v3(right - 0.02, deck - 0.07, far), dark),
    ];
    for z in POSTS {
        things.push(post(v3(right + 0.02, -0.3, z), 2.72, 0.052, dark));
        things.push(post(v3(right - width, -0.3, z), 1.25, 0.06, dark));
        things.push(block(
            v3(right - 0.10, 2.27, z - 0.03),
            v3(right + 0.50, 2.33, z + 0.03),
            dark,
        ));
    }
    // A rail on the far side, glass fishing floats and a brass lamp bowl on the deck.
    things.push(block(
        v3(right - width - 0.03, 0.86, 4.0),
        v3(right - width + 0.03, 0.92, POSTS[3]),
        dark,
    ));
    let top = deck + 0.17;
    things.push(ball(
        v3(right - 0.30, top, 6.75),
        Vec3::splat(0.17),
        Surface::Glass(v3(0.80, 0.97, 0.90)),
    ));
    things.push(ball(
        v3(right - 0.62, top - 0.05, 6.55),
        Vec3::splat(0.12),
        Surface::Glass(v3(0.95, 0.88, 0.70)),
    ));
    let brass = Surface::Metal { tint: v3(0.83, 0.60, 0.28), rough: 0.12 };
    things.push(ball(v3(right - 0.26, top - 0.03, 7.5), v3(0.19, 0.14, 0.19), brass));
    Group::new(things)
}

/// The paper lanterns hanging from the posts; they sway a little.
fn lanterns(time: f32, lamps: &mut Vec<Lamp>) -> Group {
    let mut things = Vec::new();
    for (i, z) in POSTS.into_iter().enumerate() {
        let sway = 0.018 * (time * 1.9 + i as f32 * 1.3).sin();
        let centre = v3(PIER.0 + 0.42 + sway, 1.93, z + 0.4 * sway);
        let flicker = 1.0 + 0.05 * (time * 7.3 + i as f32 * 2.1).sin();
        let glow = LANTERN * flicker;
        things.push(ball(centre, v3(0.205, 0.185, 0.205), Surface::Paper(glow)));
        let brass = Surface::Metal { tint: v3(0.80, 0.56, 0.26), rough: 0.25 };
        things.push(post(centre + v3(0.0, 0.165, 0.0), 0.045, 0.085, brass));
        things.push(post(centre - v3(0.0, 0.215, 0.0), 0.045, 0.085, brass));
        let cord = Surface::Diffuse(v3(0.30, 0.05, 0.03));
        things.push(post(centre + v3(0.0, 0.2, 0.0), 0.16, 0.008, cord));
        things.push(post(centre - v3(0.0, 0.42, 0.0), 0.2, 0.02, cord));
        lamps.push(Lamp { centre, radius: 0.2, glow });
    }
    Group::new(things)
}

/// Small lights set afloat, drifting in a loose band from the pier towards the far shore.
fn water_lights(time: f32) -> Vec<Group> {
    let mut near = Vec::new();
    let mut far = Vec::new();
    for i in 0..44 {
        let a = |k| hash2(i, k, 4242);
        let along = a(0) * a(0);
        let z = 13.0 + 135.0 * along;
        let spread = 2.2 + 0.11 * z;
        let x = -1.2 + 0.105 * z + (a(1) - 0.5) * spread + 0.10 * time * (a(2) - 0.3);
        // None may float inside the raft.
        if (x - 3.3).abs() < 3.4 && (z - 19.5).abs() < 2.2 {
            continue;
        }
        let bob = 0.01 * (time * 2.0 + 9.0 * a(3)).sin();
        let size = 0.075 + 0.035 * a(4);
        let centre = v3(x, 0.09 + bob, z + 0.05 * time);
        let warm = v3(8.5, 3.3, 0.85).mix(v3(7.5, 1.5, 0.75), a(5)) * (0.7 + 0.6 * a(6));
        let light = ball(centre, v3(size, size * 0.95, size), Surface::Glow(warm));
        let leaf = ball(
            centre - v3(0.0, 0.075, 0.0),
            v3(size * 1.7, 0.035, size * 1.7),
            Surface::Diffuse(v3(0.30, 0.08, 0.08)),
        );
        if z < 45.0 { near.extend([light, leaf]) } else { far.push(light) }
    }
    vec![Group::new(near), Group::new(far)]
}

/// Paper sky lanterns rising over the far shore.
fn sky_lanterns(time: f32) -> Group {
    let things = (0..13)
        .map(|i| {
            let a = |k| hash2(i, k, 808);
            let z = 90.0 + 85.0 * a(0);
            let x = z * (-0.06 + 0.30 * a(1)) + 0.5 * time * (a(2) - 0.2);
            let y = z * (0.055 + 0.125 * a(3)) + 0.75 * time;
            let size = 0.30 + 0.12 * a(4);
            let glow = v3(5.2, 1.9, 0.45) * (0.6 + 0.6 * a(5));
            ball(v3(x, y, z), v3(size, size * 1.35, size), Surface::Paper(glow))
        })
        .collect();
    Group::new(things)
}

/// The data centre on its terrace: two halls, a tower with a beacon, chillers on the roof.
fn data_centre() -> Group {
    let (west, east, near, _) = PAD;
    let y = PAD_HEIGHT - 0.4;
    let hall = |x0: f32, x1: f32, z0: f32, z1: f32, top: f32, id| {
        block(v3(x0, y, z0), v3(x1, y + top, z1), Surface::Facade(id))
    };
    let steel = Surface::Metal { tint: v3(0.55, 0.58, 0.62), rough: 0.35 };
    let mut things = vec![
        hall(west + 8.0, west + 62.0, near + 10.0, near + 30.0, 10.5, 0),
        hall(west + 66.0, east - 6.0, near + 14.0, near + 34.0, 8.0, 1),
        hall(west + 22.0, west + 50.0, near + 33.0, near + 48.0, 17.0, 2),
        block(
            v3(west + 54.0, y, near + 31.0),
            v3(west + 60.0, y + 25.0, near + 37.0),
            Surface::Facade(3),
        ),
        ball(
            v3(west + 57.0, y + 26.4, near + 34.0),
            Vec3::splat(0.55),
            Surface::Glow(v3(9.0, 0.5, 0.3)),
        ),
        // The quay: a low wall with a line of light along the water.
        block(
            v3(west + 2.0, y, near + 1.0),
            v3(east - 2.0, y + 0.9, near + 2.0),
            Surface::Diffuse(v3(0.22, 0.22, 0.23)),
        ),
        block(
            v3(west + 4.0, y + 0.9, near + 1.2),
            v3(east - 4.0, y + 1.05, near + 1.5),
            Surface::Glow(v3(2.2, 1.25, 0.55)),
        ),
    ];
    for i in 0..7 {
        let x = west + 11.0 + 7.2 * i as f32;
        things.push(block(v3(x, y + 10.5, near + 13.0), v3(x + 4.6, y + 12.4, near + 24.0), steel));
    }
    Group::new(things)
}

/// Radiance of a wall of the data centre at a point; zero on the panels between the windows.
pub fn facade(id: u32, at: Vec3, normal: Vec3) -> Vec3 {
    if normal.y.abs() > 0.5 {
        return Vec3::ZERO;
    }
    let along = if normal.x.abs() > 0.5 { at.z } else { at.x };
    let (width, storey) = match id {
        0 => (1.8, 3.3),
        1 => (2.4, 3.8),
        2 => (1.5, 2.8),
        _ => (1.0, 2.4),
    };
    let (u, w) = (along / width, (at.y - PAD_HEIGHT) / storey);
    let (cu, cw) = (u - u.floor(), w - w.floor());
    if !(0.10..0.90).contains(&cu) || !(0.30..0.78).contains(&cw) || w < 0.0 {
        return Vec3::ZERO;
    }
    let pick = |k| hash2(u.floor() as i32, w.floor() as i32, 60 + 10 * id + k);
    // Machine halls glow cool, offices warm, some windows are dark.
    let cool = v3(0.42, 1.05, 1.45);
    let warm = v3(2.1, 1.12, 0.42);
    let lit = if pick(0) < 0.22 { 0.05 } else { 0.55 + 0.9 * pick(1) };
    let share = match id {
        1 => 0.85,
        3 => 0.2,
        _ => 0.42,
    };
    (if pick(2) < share { warm } else { cool }) * (lit * 1.15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::land::LAND;

    #[test]
    fn the_camera_is_right_angled_and_moves() {
        for time in [0.0, 1.0, 2.0] {
            let c = Scene::camera(time, 2.0);
            assert!(c.right.dot(c.up).abs() < 1e-5 && c.right.dot(c.forward).abs() < 1e-5);
            assert!(c.up.y > 0.9 && c.right.x > 0.9, "{c:?}");
        }
        let way = Scene::camera(0.0, 2.0).eye - Scene::camera(2.0, 2.0).eye;
        assert!(way.length() > 1.0);
    }

    #[test]
    fn turning_and_back_is_nothing() {
        let p = v3(1.0, 2.0, 3.0);
        assert!((unturned(turned(p)) - p).length() < 0.01);
    }

    #[test]
    fn rays_find_water_lamps_and_hills() {
        let scene = Scene::at(&LAND, 0.5);
        let eye = v3(0.0, 1.6, 0.0);
        let down = scene.hit(eye, v3(0.3, -1.0, 0.3).unit(), 1e4).unwrap();
        assert!(matches!(down.what, What::Water));
        let lamp = scene.lamps[0];
        let seen = scene.hit(eye, (lamp.centre - eye).unit(), 1e4).unwrap();
        assert!(matches!(seen.what, What::Surface(Surface::Paper(_))), "{seen:?}");
        let hill = scene.hit(eye, v3(-0.02, 0.06, 1.0).unit(), 1e4).unwrap();
        assert!(matches!(hill.what, What::Land), "{hill:?}");
        assert!(!scene.shadowed(eye, lamp.centre, 0.3));
        assert!(scene.shadowed(v3(-2.0, 0.2, 6.0), lamp.centre, 0.3), "the deck is in the way");
    }
}
