//! Bodies a ray can meet, and what their surfaces are made of.

use super::vec3::{Vec3, v3};

/// What a surface does with light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Surface {
    /// Scatters evenly.
    Diffuse(Vec3),
    /// Mirrors, tinted, with a roughness of 0 (polished) to 1.
    Metal {
        /// Reflectance at normal incidence.
        tint: Vec3,
        /// Spread of the reflection.
        rough: f32,
    },
    /// Clear glass with a tint.
    Glass(Vec3),
    /// Shines by itself with this radiance.
    Glow(Vec3),
    /// A paper lantern lit from inside: radiance of its middle.
    Paper(Vec3),
    /// A wall of the data centre: dark panels and rows of lit windows; which wall it is.
    Facade(u32),
    /// Planks: a diffuse colour with joints across the way.
    Planks(Vec3),
}

/// A body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Body {
    /// An ellipsoid with half axes along x, y and z.
    Ellipsoid {
        /// Middle.
        centre: Vec3,
        /// Half axes.
        half: Vec3,
    },
    /// A box between two corners.
    Block {
        /// Lowest corner.
        low: Vec3,
        /// Highest corner.
        high: Vec3,
    },
    /// An upright round post.
    Post {
        /// Where its axis meets the ground plane, and its foot's height.
        foot: Vec3,
        /// Height above the foot.
        height: f32,
        /// Radius.
        radius: f32,
    },
}

/// A body and what it is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thing {
    /// Its form.
    pub body: Body,
    /// Its surface.
    pub surface: Surface,
}

impl Body {
    /// The nearest meeting with a ray between two distances: distance and outward normal.
    #[inline]
    pub fn hit(&self, o: Vec3, d: Vec3, near: f32, far: f32) -> Option<(f32, Vec3)> {
        match *self {
            Body::Ellipsoid { centre, half } => {
                // Squeezed into a unit sphere; distances along the ray stay what they were.
                let (p, q) = ((o - centre) / half, d / half);
                let (a, b, c) = (q.dot(q), p.dot(q), p.dot(p) - 1.0);
                let root = b * b - a * c;
                if root <= 0.0 {
                    return None;
                }
                let root = root.sqrt();
                let first = (-b - root) / a;
                let t = if first > near { first } else { (-b + root) / a };
                (t > near && t < far).then(|| (t, ((p + q * t) / half).unit()))
            }
            Body::Block { low, high } => {
                let (t, axis, leaving) = slab(o, d, low, high, near)?;
                if t >= far {
                    return None;
                }
                let sign = |d: f32| if (d > 0.0) == leaving { 1.0 } else { -1.0 };
                let normal = match axis {
                    0 => v3(sign(d.x), 0.0, 0.0),
                    1 => v3(0.0, sign(d.y), 0.0),
                    _ => v3(0.0, 0.0, sign(d.z)),
                };
                Some((t, normal))
            }
            Body::Post { foot, height, radius } => {
                let (px, pz) = (o.x - foot.x, o.z - foot.z);
                let a = d.x * d.x + d.z * d.z;
                let b = px * d.x + pz * d.z;
                let root = b * b - a * (px * px + pz * pz - radius * radius);
                let top = foot.y + height;
                let mut best: Option<(f32, Vec3)> = None;
                if root > 0.0 && a > 1e-12 {
                    let t = (-b - root.sqrt()) / a;
                    let y = o.y + d.y * t;
                    if t > near && t < far && y > foot.y && y < top {
                        let n = v3((px + d.x * t) / radius, 0.0, (pz + d.z * t) / radius);
                        best = Some((t, n));
                    }
                }
                if d.y < 0.0 && o.y > top {
                    let t = (top - o.y) / d.y;
                    let (x, z) = (px + d.x * t, pz + d.z * t);
                    let nearer = best.is_none_or(|(s, _)| t < s);
                    if t > near && t < far && nearer && x * x + z * z < radius * radius {
                        best = Some((t, Vec3::UP));
                    }
                }
                best
            }
        }
    }

    /// A box that holds the body.
    pub fn bounds(&self) -> (Vec3, Vec3) {
        match *self {
            Body::Ellipsoid { centre, half } => (centre - half, centre + half),
            Body::Block { low, high } => (low, high),
            Body::Post { foot, height, radius } => {
                (foot - v3(radius, 0.0, radius), foot + v3(radius, height, radius))
            }
        }
    }
}

/// Where a ray enters a box, or leaves it when it starts inside: distance, axis, leaving.
#[inline]
fn slab(o: Vec3, d: Vec3, low: Vec3, high: Vec3, near: f32) -> Option<(f32, usize, bool)> {
    let inverse = v3(1.0 / d.x, 1.0 / d.y, 1.0 / d.z);
    let (a, b) = ((low - o) * inverse, (high - o) * inverse);
    let (enter, leave) = (a.min(b), a.max(b));
    let (mut first, mut axis) = (enter.x, 0);
    if enter.y > first {
        (first, axis) = (enter.y, 1);
    }
    if enter.z > first {
        (first, axis) = (enter.z, 2);
    }
    let (mut last, mut out) = (leave.x, 0);
    if leave.y < last {
        (last, out) = (leave.y, 1);
    }
    if leave.z < last {
        (last, out) = (leave.z, 2);
    }
    if first > last || last <= near {
        None
    } else if first > near {
        Some((first, axis, false))
    } else {
        Some((last, out, true))
    }
}

/// The part of a ray, given by the inverse of its direction, that lies inside a box and between
/// two distances.
#[inline]
pub fn passes(
    o: Vec3,
    inverse: Vec3,
    low: Vec3,
    high: Vec3,
    near: f32,
    far: f32,
) -> Option<(f32, f32)> {
    let (a, b) = ((low - o) * inverse, (high - o) * inverse);
    let (enter, leave) = (a.min(b), a.max(b));
    let first = enter.x.max(enter.y).max(enter.z).max(near);
    let last = leave.x.min(leave.y).min(leave.z).min(far);
    (first <= last).then_some((first, last))
}

/// Things near one another behind one box, so that most rays miss them all at once.
#[derive(Debug, Clone)]
pub struct Group {
    low: Vec3,
    high: Vec3,
    things: Vec<Thing>,
}

impl Group {
    /// Puts a box round things.
    pub fn new(things: Vec<Thing>) -> Group {
        let far = Vec3::splat(f32::MAX);
        let (low, high) = things.iter().fold((far, -far), |(low, high), thing| {
            let (a, b) = thing.body.bounds();
            (low.min(a), high.max(b))
        });
        Group { low, high, things }
    }

    /// The nearest meeting: distance, normal, surface.
    #[inline]
    pub fn hit(&self, o: Vec3, d: Vec3, near: f32, far: f32) -> Option<(f32, Vec3, Surface)> {
        passes(o, Vec3::ONE / d, self.low, self.high, 0.0, far)?;
        let mut best = None;
        let mut limit = far;
        for thing in &self.things {
            if let Some((t, normal)) = thing.body.hit(o, d, near, limit) {
                limit = t;
                best = Some((t, normal, thing.surface));
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(body: Body, o: Vec3, d: Vec3, expect: Option<(f32, Vec3)>) {
        let found = body.hit(o, d, 1e-4, 100.0);
        match (found, expect) {
            (Some((t, n)), Some((et, en))) => {
                assert!((t - et).abs() < 1e-4 && (n - en).length() < 1e-4, "{found:?}");
            }
            (None, None) => {}
            _ => panic!("{body:?}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn bodies_are_met_on_their_surface() {
        let z = v3(0.0, 0.0, 1.0);
        let ball = Body::Ellipsoid { centre: v3(0.0, 0.0, 5.0), half: v3(1.0, 2.0, 0.5) };
        check(ball, Vec3::ZERO, z, Some((4.5, -z)));
        check(ball, v3(0.0, 0.0, 5.0), z, Some((0.5, z)));
        check(ball, v3(1.1, 0.0, 0.0), z, None);
        let block = Body::Block { low: v3(-1.0, -1.0, 2.0), high: v3(1.0, 1.0, 3.0) };
        check(block, Vec3::ZERO, z, Some((2.0, -z)));
        check(block, v3(0.0, 0.0, 2.5), z, Some((0.5, z)));
        check(block, v3(0.0, 0.0, 4.0), z, None);
        let post = Body::Post { foot: v3(0.0, 0.0, 4.0), height: 2.0, radius: 0.5 };
        check(post, v3(0.0, 1.0, 0.0), z, Some((3.5, -z)));
        check(post, v3(0.0, 3.0, 0.0), z, None);
        check(post, v3(0.0, 5.0, 4.0), -Vec3::UP, Some((3.0, Vec3::UP)));
    }

    #[test]
    fn a_group_answers_like_its_nearest_thing() {
        let at = |z: f32| Thing {
            body: Body::Ellipsoid { centre: v3(0.0, 0.0, z), half: Vec3::ONE },
            surface: Surface::Glow(v3(z, 0.0, 0.0)),
        };
        let group = Group::new(vec![at(9.0), at(5.0), at(7.0)]);
        let (t, _, surface) = group.hit(Vec3::ZERO, v3(0.0, 0.0, 1.0), 1e-3, 50.0).unwrap();
        assert_eq!((t, surface), (4.0, Surface::Glow(v3(5.0, 0.0, 0.0))));
        assert!(group.hit(Vec3::ZERO, v3(0.0, 0.0, -1.0), 1e-3, 50.0).is_none());
    }
}
