//! The far shore: cone karst as a height field, and how a ray meets it.
//!
//! Heights are computed once per process on a grid; coarse blocks keep the highest point inside
//! them, so that a ray crosses empty air a block at a time and steps finely only near ground.
//! Must not know of light or colour.

use super::vec3::{Vec3, smooth, v3};
use crate::noise::{fbm2, hash2, split};

/// Metres per grid cell.
const CELL: f32 = 1.5;
/// Cells per block and side, on the coarse and on the fine level.
const BLOCKS: [usize; 2] = [48, 12];
/// The field's west and near edges, and its size in cells.
const WEST: f32 = -430.0;
const NEAR: f32 = 168.0;
const COLUMNS: usize = 576;
const ROWS: usize = 480;
/// Where the data centre's flat ground lies: west, east, near, far; and its height.
pub const PAD: (f32, f32, f32, f32) = (4.0, 104.0, 196.0, 248.0);
/// Height of the data centre's ground above the lake.
pub const PAD_HEIGHT: f32 = 2.2;

/// A hill: where it stands, its radius and height in metres.
struct Hill {
    x: f32,
    z: f32,
    radius: f32,
    height: f32,
}

/// Hills that make the picture: a gap right of the middle lets the afterglow through, the
/// tallest stand left of it, lower ones close the right.
const PLACED: [Hill; 14] = [
    Hill { x: -118.0, z: 318.0, radius: 58.0, height: 53.8 },
    Hill { x: -66.0, z: 372.0, radius: 54.0, height: 68.9 },
    Hill { x: -28.0, z: 470.0, radius: 62.0, height: 72.2 },
    Hill { x: -172.0, z: 420.0, radius: 74.0, height: 80.6 },
    Hill { x: -92.0, z: 545.0, radius: 72.0, height: 99.1 },
    Hill { x: 8.0, z: 640.0, radius: 70.0, height: 60.5 },
    Hill { x: 136.0, z: 372.0, radius: 50.0, height: 55.4 },
    Hill { x: 178.0, z: 440.0, radius: 62.0, height: 80.6 },
    Hill { x: 118.0, z: 520.0, radius: 46.0, height: 53.8 },
    Hill { x: 222.0, z: 560.0, radius: 74.0, height: 94.1 },
    Hill { x: 160.0, z: 690.0, radius: 66.0, height: 77.3 },
    Hill { x: 66.0, z: 760.0, radius: 60.0, height: 48.7 },
    Hill { x: -220.0, z: 640.0, radius: 90.0, height: 100.8 },
    Hill { x: -20.0, z: 288.0, radius: 26.0, height: 18.5 },
];

/// The height field.
#[derive(Debug)]
pub struct Land {
    heights: Vec<f32>,
    /// Coarse and fine blocks.
    levels: [Level; 2],
    highest: f32,
}

/// Blocks of one size.
#[derive(Debug)]
struct Level {
    /// Side of a block in metres.
    side: f32,
    columns: usize,
    rows: usize,
    /// Highest point of each block, with one cell of margin.
    tops: Vec<f32>,
}

impl Land {
    /// Raises the hills; `seed` moves the small ones and the roughness, not the composition.
    pub fn new(seed: u64) -> Land {
        // 32 bits of the seed are enough to tell hills apart.
        let seed = seed as u32;
        let mut hills: Vec<Hill> = PLACED.into_iter().collect();
        for i in 0..46 {
            let a = |k| hash2(i, k, seed.wrapping_add(77));
            let z = 330.0 + 520.0 * a(0);
            let x = (a(1) - 0.5) * 1.1 * z;
            // The gap under the afterglow stays open: small hills only.
            let open = 1.0 - smooth(30.0, 75.0, (x - 0.11 * z).abs());
            let height = (24.0 + 56.0 * a(2) * a(3)) * (1.0 - 0.72 * open);
            hills.push(Hill { x, z, radius: height * (0.62 + 0.35 * a(4)) + 10.0, height });
        }
        let mut heights = vec![0.0; COLUMNS * ROWS];
        for (row, line) in heights.chunks_exact_mut(COLUMNS).enumerate() {
            let z = NEAR + row as f32 * CELL;
            for (column, height) in line.iter_mut().enumerate() {
                *height = raise(&hills, WEST + column as f32 * CELL, z, seed);
            }
        }
        let levels = BLOCKS.map(|cells| Level::new(&heights, cells));
        let highest = heights.iter().copied().fold(f32::MIN, f32::max);
        Land { heights, levels, highest }
    }

    /// Height of the ground above the lake in metres; far below outside the field.
    #[inline]
    pub fn height(&self, x: f32, z: f32) -> f32 {
        let (u, w) = ((x - WEST) / CELL, (z - NEAR) / CELL);
        if u < 0.0 || w < 0.0 || u >= (COLUMNS - 1) as f32 || w >= (ROWS - 1) as f32 {
            return -50.0;
        }
        let (column, row) = (u as usize, w as usize);
        let (fu, fw) = (u - column as f32, w - row as f32);
        let at = row * COLUMNS + column;
        let near = self.heights[at] * (1.0 - fu) + self.heights[at + 1] * fu;
        let far = self.heights[at + COLUMNS] * (1.0 - fu) + self.heights[at + COLUMNS + 1] * fu;
        near * (1.0 - fw) + far * fw
    }

    /// The upward normal of the ground.
    pub fn normal(&self, x: f32, z: f32) -> Vec3 {
        let e = CELL;
        let dx = self.height(x + e, z) - self.height(x - e, z);
        let dz = self.height(x, z + e) - self.height(x, z - e);
        v3(-dx, 2.0 * e, -dz).unit()
    }

    /// Where a ray first meets the ground between `t_min` and `t_max`.
    pub fn hit(&self, origin: Vec3, direction: Vec3, t_min: f32, t_max: f32) -> Option<f32> {
        let (mut t, t_end) = self.span(origin, direction, t_min, t_max)?;
        let [coarse, fine] = &self.levels;
        // At most every block of a row and a column is crossed; the limit only guards against a
        // ray that creeps along a block's edge.
        for _ in 0..400 {
            if t >= t_end {
                return None;
            }
            let (low, top, exit) = coarse.cross(origin, direction, t, t_end);
            if low > top {
                t = exit;
                continue;
            }
            let (low, top, exit) = fine.cross(origin, direction, t, t_end);
            if low <= top
                && let Some(hit) = self.creep(origin, direction, t, exit)
            {
                return Some(hit);
            }
            t = exit;
        }
        None
    }

    /// Fine steps inside one block.
    fn creep(&self, origin: Vec3, direction: Vec3, from: f32, to: f32) -> Option<f32> {
        let (mut t, mut before) = (from, from);
        loop {
            let at = origin + direction * t;
            let above = at.y - self.height(at.x, at.z);
            if above < 0.0 {
                // The crossing lies between the last two steps: halve it four times.
                let (mut low, mut high) = (before, t);
                for _ in 0..4 {
                    let middle = 0.5 * (low + high);
                    let at = origin + direction * middle;
                    if at.y < self.height(at.x, at.z) { high = middle } else { low = middle }
                }
                return Some(high);
            }
            if t >= to {
                return None;
            }
            before = t;
            // The steepest karst walls here rise about 2 m per metre, hence half of the clearance;
            // half a cell is the finest thing there is to hit, and further away a pixel (about
            // 0.002 of the distance) is the finest that can be seen.
            let step = (above * 0.5).max(CELL * 0.5).max(0.0022 * t);
            // The border is looked at too, so that no ray enters the next block under ground.
            t = (t + step).min(to);
        }
    }

    /// The part of a ray inside the field's box.
    fn span(&self, o: Vec3, d: Vec3, t_min: f32, t_max: f32) -> Option<(f32, f32)> {
        let east = WEST + (COLUMNS - 1) as f32 * CELL;
        let far = NEAR + (ROWS - 1) as f32 * CELL;
        let (mut low, mut high) = (t_min, t_max);
        for (o, d, from, to) in
            [(o.x, d.x, WEST, east), (o.z, d.z, NEAR, far), (o.y, d.y, -1.0, self.highest)]
        {
            if d.abs() < 1e-9 {
                if o < from || o > to {
                    return None;
                }
            } else {
                let (a, b) = ((from - o) / d, (to - o) / d);
                low = low.max(a.min(b));
                high = high.min(a.max(b));
            }
        }
        (low < high).then_some((low, high))
    }
}

impl Level {
    fn new(heights: &[f32], cells: usize) -> Level {
        let (columns, rows) = (COLUMNS.div_ceil(cells), ROWS.div_ceil(cells));
        let mut tops = vec![f32::MIN; columns * rows];
        for (block, top) in tops.iter_mut().enumerate() {
            let (left, near) = (block % columns * cells, block / columns * cells);
            for row in near..(near + cells + 1).min(ROWS) {
                for column in left..(left + cells + 1).min(COLUMNS) {
                    *top = top.max(heights[row * COLUMNS + column]);
                }
            }
        }
        Level { side: CELL * cells as f32, columns, rows, tops }
    }

    /// For the block a ray is in at distance `t`: the ray's lowest height inside it, the block's
    /// highest point, and the distance at which the ray leaves it.
    #[inline]
    fn cross(&self, o: Vec3, d: Vec3, t: f32, t_end: f32) -> (f32, f32, f32) {
        let here = o + d * t;
        let (column, _) = split((here.x - WEST) / self.side);
        let (row, _) = split((here.z - NEAR) / self.side);
        let leave = |at: i32, from: f32, o: f32, d: f32| {
            if d.abs() < 1e-9 {
                return f32::MAX;
            }
            let border = at as f32 + if d > 0.0 { 1.0 } else { 0.0 };
            (border * self.side + from - o) / d
        };
        // A few millimetres beyond the border, so that the next block is the next one.
        let exit =
            leave(column, WEST, o.x, d.x).min(leave(row, NEAR, o.z, d.z)).max(t).min(t_end) + 4e-3;
        let inside = column >= 0
            && row >= 0
            && (column as usize) < self.columns
            && (row as usize) < self.rows;
        let top = if inside {
            self.tops[row as usize * self.columns + column as usize]
        } else {
            f32::MIN
        };
        (here.y.min(o.y + d.y * exit), top, exit)
    }
}

/// Height of the ground at a place.
fn raise(hills: &[Hill], x: f32, z: f32, seed: u32) -> f32 {
    let coarse = fbm2(x * 0.012, z * 0.012, 3, seed);
    let fine = fbm2(x * 0.06, z * 0.06, 4, seed.wrapping_add(20));
    // A shoreline that wanders by some thirty metres, then a plain that rises gently.
    let inland = z - (196.0 + 34.0 * (coarse - 0.5) + 10.0 * (fine - 0.5));
    let mut ground = (inland * 0.05).clamp(-3.0, 4.5) + 1.4 * (fine - 0.45);
    for hill in hills {
        let (dx, dz) = (x - hill.x, z - hill.z);
        let far = (dx * dx + dz * dz) / (hill.radius * hill.radius);
        if far < 1.7 {
            // Warped distance: gullies and shoulders instead of bodies of revolution.
            let q = far.sqrt() * (1.0 + 0.42 * (fine - 0.5) + 0.24 * (coarse - 0.5));
            if q < 1.0 {
                // Cone karst: a rounded top over sides that grow steep towards the foot.
                let body = hill.height * (1.0 - q * q).powf(0.82);
                let rough = 0.12 * hill.height * (fine - 0.5) * (1.0 - q);
                let top = body + rough;
                // A soft union keeps saddles between neighbours rounded.
                let blend = 5.0;
                let h = (0.5 + 0.5 * (top - ground) / blend).clamp(0.0, 1.0);
                ground = ground + (top - ground) * h + blend * h * (1.0 - h);
            }
        }
    }
    // Trees: small crowns on everything that is not the beach.
    let crowns = fbm2(x * 0.33, z * 0.33, 2, seed.wrapping_add(40));
    ground += 2.6 * crowns * smooth(1.0, 3.5, ground);
    let (west, east, near, far) = PAD;
    let outside = (west - x).max(x - east).max(near - z).max(z - far).max(0.0);
    let flat = 1.0 - smooth(0.0, 14.0, outside);
    ground + (PAD_HEIGHT - ground) * flat
}

/// The hills of seed 1, raised once for all tests.
#[cfg(test)]
pub(super) static LAND: std::sync::LazyLock<Land> = std::sync::LazyLock::new(|| Land::new(1));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rays_meet_the_ground_where_it_is() {
        let land = &*LAND;
        let mut met = 0;
        for i in 0..200 {
            let x = -200.0 + 2.0 * i as f32;
            let direction = v3(x / 420.0, 0.06 + 0.0004 * i as f32, 1.0).unit();
            let origin = v3(0.0, 2.0, 0.0);
            if let Some(t) = land.hit(origin, direction, 0.0, 2000.0) {
                let at = origin + direction * t;
                let off = at.y - land.height(at.x, at.z);
                assert!(off.abs() < 1.5, "{off} at {at:?}");
                // Nothing was jumped over: every point before it is in the air.
                let mut s = 0.0;
                while s < t - 2.0 {
                    let p = origin + direction * s;
                    assert!(p.y > land.height(p.x, p.z) - 0.8, "ray {i} passed through {p:?}");
                    s += 1.0;
                }
                met += 1;
            }
        }
        assert!(met > 50, "{met}");
        assert_eq!(land.hit(v3(0.0, 2.0, 0.0), v3(0.0, 0.0, -1.0), 0.0, 1e4), None);
        assert_eq!(land.hit(v3(0.0, 900.0, 300.0), v3(0.0, 1.0, 0.0), 0.0, 1e4), None);
    }
}
