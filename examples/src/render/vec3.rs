//! Vectors and colours of three single-precision numbers.

use std::ops::{Add, AddAssign, Div, Mul, MulAssign, Neg, Sub};

/// A point, a direction or a colour in linear light.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Vec3 {
    /// East, or red.
    pub x: f32,
    /// Up, or green.
    pub y: f32,
    /// Away from the camera's first place, or blue.
    pub z: f32,
}

/// Short for [`Vec3::new`].
#[inline]
pub const fn v3(x: f32, y: f32, z: f32) -> Vec3 {
    Vec3 { x, y, z }
}

impl Vec3 {
    /// All zero.
    pub const ZERO: Vec3 = v3(0.0, 0.0, 0.0);
    /// All one.
    pub const ONE: Vec3 = v3(1.0, 1.0, 1.0);
    /// Straight up.
    pub const UP: Vec3 = v3(0.0, 1.0, 0.0);

    /// The same number three times.
    #[inline]
    pub const fn splat(s: f32) -> Vec3 {
        v3(s, s, s)
    }

    /// Scalar product.
    #[inline]
    pub fn dot(self, o: Vec3) -> f32 {
        self.x * o.x + self.y * o.y + self.z * o.z
    }

    /// Vector product.
    #[must_use]
    #[inline]
    pub fn cross(self, o: Vec3) -> Vec3 {
        v3(self.y * o.z - self.z * o.y, self.z * o.x - self.x * o.z, self.x * o.y - self.y * o.x)
    }

    /// Length.
    #[inline]
    pub fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The same direction with length 1; straight up for a vector too short to have one.
    #[must_use]
    #[inline]
    pub fn unit(self) -> Vec3 {
        let length = self.length();
        if length > 1e-20 { self * (1.0 / length) } else { Vec3::UP }
    }

    /// Mirrored about a unit normal.
    #[must_use]
    #[inline]
    pub fn mirrored(self, normal: Vec3) -> Vec3 {
        self - normal * (2.0 * self.dot(normal))
    }

    /// Between this and another: 0 gives this, 1 the other.
    #[must_use]
    #[inline]
    pub fn mix(self, o: Vec3, share: f32) -> Vec3 {
        self * (1.0 - share) + o * share
    }

    /// Component-wise greatest.
    #[must_use]
    #[inline]
    pub fn max(self, o: Vec3) -> Vec3 {
        v3(self.x.max(o.x), self.y.max(o.y), self.z.max(o.z))
    }

    /// Component-wise smallest.
    #[must_use]
    #[inline]
    pub fn min(self, o: Vec3) -> Vec3 {
        v3(self.x.min(o.x), self.y.min(o.y), self.z.min(o.z))
    }

    /// Applies a function to each component.
    #[must_use]
    #[inline]
    pub fn map(self, f: impl Fn(f32) -> f32) -> Vec3 {
        v3(f(self.x), f(self.y), f(self.z))
    }

    /// The largest component.
    #[inline]
    pub fn peak(self) -> f32 {
        self.x.max(self.y).max(self.z)
    }

    /// Luminance of a linear sRGB colour (ITU-R BT.709 weights).
    #[inline]
    pub fn luminance(self) -> f32 {
        0.2126 * self.x + 0.7152 * self.y + 0.0722 * self.z
    }

    /// Two unit vectors that make a right-angled frame with this unit vector
    /// (Duff et al., "Building an orthonormal basis, revisited", JCGT 6(1), 2017).
    #[inline]
    pub fn frame(self) -> (Vec3, Vec3) {
        let sign = 1f32.copysign(self.z);
        let a = -1.0 / (sign + self.z);
        let b = self.x * self.y * a;
        (
            v3(1.0 + sign * self.x * self.x * a, sign * b, -sign * self.x),
            v3(b, sign + self.y * self.y * a, -self.y),
        )
    }
}

impl Add for Vec3 {
    type Output = Vec3;
    #[inline]
    fn add(self, o: Vec3) -> Vec3 {
        v3(self.x + o.x, self.y + o.y, self.z + o.z)
    }
}

impl Sub for Vec3 {
    type Output = Vec3;
    #[inline]
    fn sub(self, o: Vec3) -> Vec3 {
        v3(self.x - o.x, self.y - o.y, self.z - o.z)
    }
}

impl Mul for Vec3 {
    type Output = Vec3;
    #[inline]
    fn mul(self, o: Vec3) -> Vec3 {
        v3(self.x * o.x, self.y * o.y, self.z * o.z)
    }
}

impl MulAssign<f32> for Vec3 {
    #[inline]
    fn mul_assign(&mut self, s: f32) {
        *self = *self * s;
    }
}

impl Mul<f32> for Vec3 {
    type Output = Vec3;
    #[inline]
    fn mul(self, s: f32) -> Vec3 {
        v3(self.x * s, self.y * s, self.z * s)
    }
}

impl Div for Vec3 {
    type Output = Vec3;
    #[inline]
    fn div(self, o: Vec3) -> Vec3 {
        v3(self.x / o.x, self.y / o.y, self.z / o.z)
    }
}

impl Neg for Vec3 {
    type Output = Vec3;
    #[inline]
    fn neg(self) -> Vec3 {
        v3(-self.x, -self.y, -self.z)
    }
}

impl AddAssign for Vec3 {
    #[inline]
    fn add_assign(&mut self, o: Vec3) {
        *self = *self + o;
    }
}

impl MulAssign for Vec3 {
    #[inline]
    fn mul_assign(&mut self, o: Vec3) {
        *self = *self * o;
    }
}

/// 0 below `low`, 1 above `high`, smooth between.
#[inline]
pub fn smooth(low: f32, high: f32, at: f32) -> f32 {
    let t = ((at - low) / (high - low)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_right_angled() {
        for n in [v3(0.0, 1.0, 0.0), v3(0.0, 0.0, -1.0), v3(0.3, -0.5, 0.8).unit()] {
            let (a, b) = n.frame();
            assert!(a.dot(b).abs() < 1e-6 && a.dot(n).abs() < 1e-6 && b.dot(n).abs() < 1e-6);
            assert!((a.cross(b) - n).length() < 1e-5);
        }
    }

    #[test]
    fn mirrors_keep_length() {
        let d = v3(0.2, -0.7, 0.4);
        let m = d.mirrored(Vec3::UP);
        assert!((m.length() - d.length()).abs() < 1e-6);
        assert_eq!(m.y, -d.y);
    }
}
