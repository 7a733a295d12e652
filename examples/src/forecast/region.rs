//! The region: south-west China, idealised. Terrain, coast, cities, and the weather at hour 0.
//!
//! Terrain is a sum of smooth shapes placed where the real ranges are; it is not survey data,
//! and the first state is drawn from a seed, not observed. Everything is a pure function of
//! place and seed. Must not know of ranks.

use super::solver::{GRAVITY, Grid};
use crate::noise::fbm2;
use crate::rng::Rng;

/// Middle of the region, degrees east and north.
const MIDDLE: (f64, f64) = (107.5, 26.2);
/// Kilometres per degree of latitude.
const DEGREE: f64 = 111.2;
/// Height of the fluid's surface, about that of the 500 hPa level, metres.
const SURFACE: f64 = 5_640.0;
/// How much of the real height the fluid feels: a layer of even density would otherwise be
/// blocked by ranges that the real, stratified air flows over.
const TERRAIN_FELT: f64 = 0.42;

/// A city on the map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct City {
    /// Name.
    pub name: &'static str,
    /// Degrees east.
    pub east: f64,
    /// Degrees north.
    pub north: f64,
}

/// Cities drawn on the maps.
pub const CITIES: [City; 9] = [
    City { name: "Guiyang", east: 106.71, north: 26.58 },
    City { name: "Chengdu", east: 104.07, north: 30.66 },
    City { name: "Chongqing", east: 106.55, north: 29.56 },
    City { name: "Kunming", east: 102.71, north: 25.04 },
    City { name: "Nanning", east: 108.37, north: 22.82 },
    City { name: "Guangzhou", east: 113.26, north: 23.13 },
    City { name: "Changsha", east: 112.94, north: 28.23 },
    City { name: "Wuhan", east: 114.30, north: 30.59 },
    City { name: "Hanoi", east: 105.85, north: 21.03 },
];

/// Ranges: degrees east and north, height in metres, half widths in kilometres east and north.
const RANGES: [(f64, f64, f64, f64, f64); 12] = [
    (102.4, 25.2, 1_750.0, 250.0, 210.0),
    (106.6, 26.8, 1_000.0, 230.0, 130.0),
    (104.2, 27.1, 900.0, 130.0, 110.0),
    (107.5, 33.4, 1_500.0, 420.0, 90.0),
    (109.6, 31.6, 1_250.0, 160.0, 70.0),
    (109.9, 28.3, 620.0, 110.0, 170.0),
    (112.2, 25.0, 620.0, 260.0, 60.0),
    (114.2, 28.2, 480.0, 60.0, 120.0),
    (117.0, 26.9, 750.0, 70.0, 190.0),
    (103.9, 22.2, 1_200.0, 130.0, 80.0),
    (101.0, 20.6, 1_000.0, 160.0, 140.0),
    (109.7, 19.0, 750.0, 50.0, 40.0),
];

/// The coast from west to east, degrees east and north; land lies north of it.
const COAST: [(f64, f64); 16] = [
    (96.0, 14.0),
    (105.2, 17.0),
    (105.8, 19.0),
    (106.7, 20.4),
    (108.0, 21.5),
    (109.3, 21.45),
    (109.75, 20.6),
    (110.2, 20.4),
    (110.5, 21.2),
    (111.8, 21.7),
    (113.5, 22.2),
    (114.5, 22.5),
    (116.2, 22.9),
    (117.3, 23.6),
    (118.4, 24.6),
    (121.0, 27.0),
];

/// A region on a grid.
#[derive(Debug, Clone)]
pub struct Region {
    /// The grid.
    pub grid: Grid,
    /// Lows and highs of the first state: kilometres from the middle, metres, radius in km.
    systems: Vec<(f64, f64, f64, f64)>,
}

impl Region {
    /// The region with a number of cells of a size in kilometres; the seed places the weather.
    pub fn new(columns: usize, rows: usize, spacing_km: f64, seed: u64) -> Region {
        let spacing = spacing_km * 1_000.0;
        let omega = 7.292_115e-5;
        let south = MIDDLE.1 - rows as f64 * spacing_km / 2.0 / DEGREE;
        let grid = Grid {
            columns,
            rows,
            spacing,
            step: Grid::step_for(spacing, SURFACE + 150.0, 60.0).min(120.0),
            coriolis: 2.0 * omega * south.to_radians().sin(),
            beta: 2.0 * omega * MIDDLE.1.to_radians().cos() / 6_371_000.0,
            viscosity: 4_000.0 * (spacing_km / 8.0),
        };
        let mut rng = Rng::of(&[seed, 0xf0_0ca]);
        // A vortex in the basin of Sichuan, a trough upstream, a ridge in the south-east, and
        // what the seed adds.
        let mut systems = vec![
            (-300.0, 380.0, -34.0, 200.0),
            (-800.0, 200.0, -26.0, 230.0),
            (430.0, -360.0, 26.0, 300.0),
            (620.0, 330.0, -20.0, 180.0),
        ];
        let reach = (columns as f64 * spacing_km / 2.0, rows as f64 * spacing_km / 2.0);
        for _ in 0..5 {
            systems.push((
                rng.between(-0.9, 0.9) * reach.0,
                rng.between(-0.6, 0.6) * reach.1,
                rng.between(-13.0, 11.0),
                rng.between(110.0, 190.0),
            ));
        }
        Region { grid, systems }
    }

    /// Degrees east and north of a point given in cells from the south-western corner.
    pub fn degrees(&self, column: f64, row: f64) -> (f64, f64) {
        let (x, y) = self.kilometres(column, row);
        (MIDDLE.0 + x / (DEGREE * MIDDLE.1.to_radians().cos()), MIDDLE.1 + y / DEGREE)
    }

    /// Cells from the south-western corner of a point in degrees.
    pub fn cells(&self, east: f64, north: f64) -> (f64, f64) {
        let km = self.grid.spacing / 1_000.0;
        let x = (east - MIDDLE.0) * DEGREE * MIDDLE.1.to_radians().cos();
        let y = (north - MIDDLE.1) * DEGREE;
        (x / km + self.grid.columns as f64 / 2.0, y / km + self.grid.rows as f64 / 2.0)
    }

    /// Real height of the ground at the middle of a cell, metres; 0 at sea.
    pub fn height(&self, column: usize, row: usize) -> f64 {
        let (east, north) = self.degrees(column as f64 + 0.5, row as f64 + 0.5);
        height(east, north)
    }

    /// The terrain that the fluid feels: lowered, and flat where the region joins itself at its
    /// western and eastern ends.
    pub fn terrain(&self, column: usize, row: usize) -> f64 {
        let x = (column as f64 + 0.5) / self.grid.columns as f64;
        let inside = (x.min(1.0 - x) / 0.12).min(1.0);
        TERRAIN_FELT * self.height(column, row) * inside * inside * (3.0 - 2.0 * inside)
    }

    /// Depth, u and v at hour 0: a westerly jet and systems in geostrophic balance.
    pub fn start(&self, column: usize, row: usize) -> [f64; 3] {
        let (x, y) = (column as f64, row as f64);
        let f = |row: f64| self.grid.coriolis + self.grid.beta * row * self.grid.spacing;
        let slope = |dx: f64, dy: f64, x: f64, y: f64| {
            (self.surface(x + dx, y + dy) - self.surface(x - dx, y - dy)) / self.grid.spacing
        };
        let depth = self.surface(x + 0.5, y + 0.5) - self.terrain(column, row);
        let u = -GRAVITY / f(y + 0.5) * slope(0.0, 0.5, x, y + 0.5);
        let v = GRAVITY / f(y) * slope(0.5, 0.0, x + 0.5, y);
        [depth, u, v]
    }

    /// Height of the fluid's surface at hour 0, at a point in cells.
    fn surface(&self, column: f64, row: f64) -> f64 {
        let km = self.grid.spacing / 1_000.0;
        let length = self.grid.columns as f64 * km;
        let (x, y) = self.kilometres(column, row);
        // The jet winds through the region once from end to end.
        let winding = 90.0 * (std::f64::consts::TAU * (x / length + 0.15)).cos();
        let mut surface = SURFACE - 52.0 * ((y - 110.0 - winding) / 400.0).tanh();
        // Walls in the south and north: systems fade towards them.
        let half = self.grid.rows as f64 * km / 2.0;
        let calm = (1.0 - (y / half).powi(4)).max(0.0);
        for (at_x, at_y, metres, radius) in &self.systems {
            // The nearest of the copies that periodicity makes.
            let dx = (x - at_x + 1.5 * length).rem_euclid(length) - 0.5 * length;
            let dy = y - at_y;
            surface += metres * calm * (-(dx * dx + dy * dy) / (2.0 * radius * radius)).exp();
        }
        surface
    }

    fn kilometres(&self, column: f64, row: f64) -> (f64, f64) {
        let km = self.grid.spacing / 1_000.0;
        ((column - self.grid.columns as f64 / 2.0) * km, (row - self.grid.rows as f64 / 2.0) * km)
    }
}

/// Height above the sea at a point in degrees, metres.
pub fn height(east: f64, north: f64) -> f64 {
    // Bays and headlands finer than the listed points, a tenth of a degree deep.
    let (x, y) = (east as f32 * 2.2, north as f32 * 2.2);
    let bays = 0.45 * (f64::from(fbm2(x, y, 4, 77)) - 0.5);
    let inland = (north - coast(east)).max(hainan(east, north)) + bays;
    if inland <= 0.0 {
        return 0.0;
    }
    let scale = DEGREE * MIDDLE.1.to_radians().cos();
    let rise = |at: f64, width: f64| 1.0 / (1.0 + (-at / width).exp());
    // The edge of the Tibetan plateau.
    let edge = 102.6 + 0.22 * (north - 29.0) - east;
    let mut metres = 180.0 + 3_400.0 * rise(edge, 0.55) * rise(north - 26.6, 0.8);
    for (at_east, at_north, top, wide, high) in RANGES {
        let x = (east - at_east) * scale / wide;
        let y = (north - at_north) * DEGREE / high;
        metres += top * (-0.5 * (x * x + y * y)).exp();
    }
    // Valleys and ridges, more of them where the ground is high.
    let rough = f64::from(fbm2(east as f32 * 1.3, north as f32 * 1.5, 4, 31)) - 0.5;
    metres *= 1.0 + 0.55 * rough;
    metres.max(10.0) * (inland / 0.6).min(1.0)
}

/// Latitude of the coast at a longitude.
fn coast(east: f64) -> f64 {
    let mut before = COAST[0];
    for point in COAST {
        if east < point.0 {
            let share = (east - before.0) / (point.0 - before.0).max(1e-9);
            return before.1 + (point.1 - before.1) * share.clamp(0.0, 1.0);
        }
        before = point;
    }
    before.1
}

/// Positive on the island of Hainan, in degrees from its shore.
fn hainan(east: f64, north: f64) -> f64 {
    let (x, y) = ((east - 109.8) / 1.0, (north - 19.2) / 0.82);
    0.8 * (1.0 - (x * x + y * y).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_to_cells_and_back() {
        let region = Region::new(250, 194, 8.0, 1);
        for city in CITIES {
            let (x, y) = region.cells(city.east, city.north);
            assert!(x > 0.0 && x < 250.0 && y > 0.0 && y < 194.0, "{}", city.name);
            let (east, north) = region.degrees(x, y);
            assert!((east - city.east).abs() < 1e-9 && (north - city.north).abs() < 1e-9);
        }
    }

    #[test]
    fn mountains_are_high_and_the_sea_is_flat() {
        assert_eq!(height(112.0, 20.0), 0.0);
        assert!(height(109.7, 19.1) > 100.0, "Hainan");
        assert!(height(100.5, 30.5) > 2_500.0, "the plateau");
        assert!((600.0..2_200.0).contains(&height(106.7, 26.6)), "Guiyang");
        assert!(height(105.0, 30.5) < 900.0, "the basin of Sichuan");
    }

    #[test]
    fn the_first_state_joins_at_the_ends_and_is_moderate() {
        let region = Region::new(60, 46, 34.0, 1);
        assert!((region.surface(0.0, 20.0) - region.surface(60.0, 20.0)).abs() < 1e-9);
        for row in 0..46 {
            for column in 0..60 {
                let [depth, u, v] = region.start(column, row);
                assert!((3_000.0..6_000.0).contains(&depth), "{depth}");
                assert!(u.abs() < 75.0 && v.abs() < 75.0, "{u} {v} at {column},{row}");
            }
        }
    }
}
