//! Maps of a forecast hour: colour, contours of the surface, wind arrows, coast, cities, legend.
//!
//! Drawing only; must not change a number of the forecast.

use super::region::{CITIES, Region, height};
use super::run::Output;
use crate::canvas::{Canvas, Rgb, ramp, text_width};

/// Width of the map's own picture in pixels, about; margins come on top.
const MAP_WIDTH: usize = 840;
/// Margins: left, top, right, bottom.
const MARGIN: (i32, i32, i32, i32) = (46, 44, 96, 34);
/// Share of the columns at either end that the map leaves out: there the region joins itself.
const CUT: f64 = 0.10;
const PAPER: Rgb = [246, 244, 238];
const INK: Rgb = [34, 38, 46];
const FAINT: Rgb = [120, 124, 130];
const SEA: Rgb = [186, 208, 226];

/// A colour scale with its title and the values that are labelled.
struct Scale {
    title: &'static str,
    stops: &'static [(f32, Rgb)],
    labels: &'static [f32],
}

/// Relative vorticity in 1e-5/s: blue turns clockwise, red anticlockwise.
const VORTICITY: Scale = Scale {
    title: "1E-5/S",
    stops: &[
        (-16.0, [30, 42, 110]),
        (-8.0, [52, 110, 184]),
        (-3.0, [158, 202, 226]),
        (0.0, [244, 242, 236]),
        (3.0, [246, 196, 152]),
        (8.0, [214, 86, 62]),
        (16.0, [112, 12, 38]),
    ],
    labels: &[-16.0, -12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0, 16.0],
};

/// Wind speed in m/s.
const WIND: Scale = Scale {
    title: "M/S",
    stops: &[
        (0.0, [236, 240, 242]),
        (8.0, [176, 214, 222]),
        (16.0, [92, 176, 180]),
        (24.0, [70, 142, 110]),
        (32.0, [206, 190, 74]),
        (40.0, [226, 124, 50]),
        (50.0, [150, 24, 60]),
    ],
    labels: &[0.0, 10.0, 20.0, 30.0, 40.0, 50.0],
};

/// Height of the fluid's surface at centres, metres.
pub fn surface(region: &Region, output: &Output) -> Vec<f64> {
    let columns = region.grid.columns;
    output
        .depth
        .iter()
        .enumerate()
        .map(|(i, depth)| depth + region.terrain(i % columns, i / columns))
        .collect()
}

/// Wind at centres: means of the two faces.
pub fn wind(region: &Region, output: &Output) -> Vec<(f64, f64)> {
    let (columns, rows) = (region.grid.columns, region.grid.rows);
    (0..columns * rows)
        .map(|i| {
            let (column, row) = (i % columns, i / columns);
            let east = row * columns + (column + 1) % columns;
            // The northern wall lets nothing through.
            let north = if row + 1 < rows { output.v[i + columns] } else { 0.0 };
            (0.5 * (output.u[i] + output.u[east]), 0.5 * (output.v[i] + north))
        })
        .collect()
}

/// Relative vorticity at centres, 1e-5/s.
fn vorticity(region: &Region, output: &Output) -> Vec<f64> {
    let (columns, rows) = (region.grid.columns, region.grid.rows);
    let wind = wind(region, output);
    (0..columns * rows)
        .map(|i| {
            let (column, row) = (i % columns, i / columns);
            let (west, east) = ((column + columns - 1) % columns, (column + 1) % columns);
            let (south, north) = (row.saturating_sub(1), (row + 1).min(rows - 1));
            let dv = wind[row * columns + east].1 - wind[row * columns + west].1;
            let du = wind[north * columns + column].0 - wind[south * columns + column].0;
            let span = (north - south).max(1) as f64;
            (dv / 2.0 - du / span) / region.grid.spacing * 1e5
        })
        .collect()
}

/// What all maps of a region share: where it lies on the canvas and the ground under it.
pub struct Atlas<'a> {
    region: &'a Region,
    frame: Frame,
    /// Heights at the map's pixels, with one row and one column more in the north and west, so
    /// that every pixel has a neighbour to the north-west.
    ground: Vec<f64>,
}

impl<'a> Atlas<'a> {
    /// Surveys a region once for all of its maps.
    pub fn new(region: &'a Region) -> Atlas<'a> {
        let frame = Frame::new(region);
        let ground = (-1..frame.height)
            .flat_map(|y| (-1..frame.width).map(move |x| (x + MARGIN.0, y + MARGIN.1)))
            .map(|(x, y)| {
                let (column, row) = frame.cell(x, y);
                let (east, north) = region.degrees(column, row);
                height(east, north)
            })
            .collect();
        Atlas { region, frame, ground }
    }

    /// Vorticity in colour.
    pub fn vorticity(&self, output: &Output) -> Canvas {
        let field = vorticity(self.region, output);
        draw(self, output, &field, &VORTICITY, "Vorticity, height and wind")
    }

    /// Wind speed in colour.
    pub fn wind(&self, output: &Output) -> Canvas {
        let wind = wind(self.region, output);
        let speed: Vec<f64> = wind.into_iter().map(|(u, v)| u.hypot(v)).collect();
        draw(self, output, &speed, &WIND, "Wind speed, height and wind")
    }
}

/// Where the map lies on the canvas, and which cells it shows.
struct Frame {
    scale: f64,
    first: f64,
    width: i32,
    height: i32,
}

impl Frame {
    fn new(region: &Region) -> Frame {
        let columns = region.grid.columns as f64;
        let first = (columns * CUT).floor();
        let shown = (columns - 2.0 * first).max(1.0);
        let scale = MAP_WIDTH as f64 / shown;
        let height = (scale * region.grid.rows as f64).round() as i32;
        Frame { scale, first, width: MAP_WIDTH as i32, height }
    }

    /// Cells from the south-western corner of the region at a pixel of the canvas.
    fn cell(&self, x: i32, y: i32) -> (f64, f64) {
        let column = self.first + (f64::from(x - MARGIN.0) + 0.5) / self.scale;
        let row = (f64::from(MARGIN.1 + self.height - y) - 0.5) / self.scale;
        (column, row)
    }

    /// The pixel of a place given in cells.
    fn pixel(&self, column: f64, row: f64) -> (f32, f32) {
        let x = f64::from(MARGIN.0) + (column - self.first) * self.scale;
        let y = f64::from(MARGIN.1 + self.height) - row * self.scale;
        (x as f32, y as f32)
    }

    fn holds(&self, (x, y): (f32, f32)) -> bool {
        let (x, y) = (x as i32 - MARGIN.0, y as i32 - MARGIN.1);
        (0..self.width).contains(&x) && (0..self.height).contains(&y)
    }
}

/// A value between cell centres.
fn sample(region: &Region, field: &[f64], column: f64, row: f64) -> f64 {
    let (columns, rows) = (region.grid.columns, region.grid.rows);
    let (x, y) = (column - 0.5, (row - 0.5).clamp(0.0, (rows - 1) as f64));
    let (left, low) = (x.floor(), y.floor());
    let (fx, fy) = (x - left, y - low);
    let left = (left as i64).rem_euclid(columns as i64) as usize;
    let right = (left + 1) % columns;
    let (low, high) = (low as usize, (low as usize + 1).min(rows - 1));
    let along =
        |row: usize| field[row * columns + left] * (1.0 - fx) + field[row * columns + right] * fx;
    along(low) * (1.0 - fy) + along(high) * fy
}

fn draw(atlas: &Atlas<'_>, output: &Output, field: &[f64], scale: &Scale, title: &str) -> Canvas {
    let (region, frame) = (atlas.region, &atlas.frame);
    let mut canvas = Canvas::new(
        (MARGIN.0 + frame.width + MARGIN.2) as usize,
        (MARGIN.1 + frame.height + MARGIN.3) as usize,
        PAPER,
    );
    paint(&mut canvas, atlas, field, scale);
    contours(&mut canvas, frame, region, &surface(region, output));
    graticule(&mut canvas, frame, region);
    arrows(&mut canvas, frame, region, &wind(region, output));
    cities(&mut canvas, frame, region);
    let (w, h) = (frame.width, frame.height);
    canvas.frame(MARGIN.0 - 1, MARGIN.1 - 1, w + 2, h + 2, INK);
    canvas.text(MARGIN.0, 10, 2, title, INK);
    let hour = format!("+{} H", output.hour);
    canvas.text(MARGIN.0 + w - text_width(&hour, 2) + 2, 10, 2, &hour, [176, 40, 40]);
    canvas.text(
        MARGIN.0,
        29,
        1,
        "Dayan example: shallow water, idealised terrain. Contours: height every 20 m",
        FAINT,
    );
    legend(&mut canvas, frame, scale);
    canvas
}

/// Colour of the field over a shaded relief, and the coast.
fn paint(canvas: &mut Canvas, atlas: &Atlas<'_>, field: &[f64], scale: &Scale) {
    let Atlas { region, frame, ground } = atlas;
    let (w, h) = (frame.width, frame.height);
    let stride = (w + 1) as usize;
    for y in 0..h {
        for x in 0..w {
            let at = (y as usize + 1) * stride + x as usize + 1;
            let (here, west, north) = (ground[at], ground[at - 1], ground[at - stride]);
            let (column, row) = frame.cell(x + MARGIN.0, y + MARGIN.1);
            let mut colour = ramp(scale.stops, sample(region, field, column, row) as f32);
            // Light from the north-west; the sea is plain and a little bluer.
            let slope = ((here - west) + (here - north)) * 0.004 * frame.scale / 4.0;
            let shade = 1.0 + slope.clamp(-0.30, 0.22);
            if here > 0.0 {
                colour = colour.map(|c| (f64::from(c) * shade).clamp(0.0, 255.0) as u8);
            } else {
                colour =
                    [0, 1, 2].map(|i| ((u16::from(colour[i]) * 4 + u16::from(SEA[i])) / 5) as u8);
            }
            let (px, py) = (x + MARGIN.0, y + MARGIN.1);
            canvas.set(px, py, colour);
            let coast = (here > 0.0) != (west > 0.0) || (here > 0.0) != (north > 0.0);
            if coast {
                canvas.blend(px, py, [40, 60, 84], 0.85);
            }
            for level in [1_000.0, 3_000.0] {
                if (here > level) != (west > level) || (here > level) != (north > level) {
                    canvas.blend(px, py, [112, 92, 66], 0.45);
                }
            }
        }
    }
}

/// Contours of the surface every 20 m, every 100 m stronger.
fn contours(canvas: &mut Canvas, frame: &Frame, region: &Region, surface: &[f64]) {
    let at = |x: i32, y: i32| {
        let (column, row) = frame.cell(x, y);
        sample(region, surface, column, row)
    };
    for y in MARGIN.1 + 1..MARGIN.1 + frame.height {
        let mut west = at(MARGIN.0, y);
        for x in MARGIN.0 + 1..MARGIN.0 + frame.width {
            let (here, north) = (at(x, y), at(x, y - 1));
            for other in [west, north] {
                let (low, high) = (here.min(other), here.max(other));
                let level = (high / 20.0).floor() * 20.0;
                if low < level {
                    let strong = (level / 100.0).fract().abs() < 1e-6;
                    canvas.blend(x, y, INK, if strong { 0.80 } else { 0.45 });
                }
            }
            west = here;
        }
    }
}

fn graticule(canvas: &mut Canvas, frame: &Frame, region: &Region) {
    for degree in (90..130).step_by(4) {
        let (column, _) = region.cells(f64::from(degree), 26.0);
        let (x, _) = frame.pixel(column, 0.0);
        if frame.holds((x, MARGIN.1 as f32)) {
            let bottom = (MARGIN.1 + frame.height) as f32;
            canvas.line((x, MARGIN.1 as f32), (x, bottom - 1.0), FAINT, 0.22);
            let text = format!("{degree}°E");
            let left = x as i32 - text_width(&text, 1) / 2;
            canvas.text(left, MARGIN.1 + frame.height + 7, 1, &text, INK);
        }
    }
    for degree in (10..50).step_by(4) {
        let (_, row) = region.cells(107.0, f64::from(degree));
        let (_, y) = frame.pixel(0.0, row);
        if frame.holds((MARGIN.0 as f32, y)) {
            let right = (MARGIN.0 + frame.width - 1) as f32;
            canvas.line((MARGIN.0 as f32, y), (right, y), FAINT, 0.22);
            let text = format!("{degree}°N");
            canvas.text(MARGIN.0 - text_width(&text, 1) - 5, y as i32 - 3, 1, &text, INK);
        }
    }
}

/// Wind arrows on a lattice of about 40 pixels; length grows with speed.
fn arrows(canvas: &mut Canvas, frame: &Frame, region: &Region, wind: &[(f64, f64)]) {
    let u: Vec<f64> = wind.iter().map(|w| w.0).collect();
    let v: Vec<f64> = wind.iter().map(|w| w.1).collect();
    for y in (MARGIN.1 + 22..MARGIN.1 + frame.height - 10).step_by(38) {
        for x in (MARGIN.0 + 22..MARGIN.0 + frame.width - 10).step_by(38) {
            let (column, row) = frame.cell(x, y);
            let (u, v) = (sample(region, &u, column, row), sample(region, &v, column, row));
            arrow(canvas, (x as f32, y as f32), (u as f32, v as f32));
        }
    }
}

fn arrow(canvas: &mut Canvas, (x, y): (f32, f32), (u, v): (f32, f32)) {
    let speed = u.hypot(v);
    if speed < 1.5 {
        return;
    }
    // 1 m/s is 0.75 px, at most 34 px, so that neighbours do not touch.
    let length = (speed * 0.75).min(34.0);
    let (dx, dy) = (u / speed, -v / speed);
    let (tail, tip) = (
        (x - dx * length / 2.0, y - dy * length / 2.0),
        (x + dx * length / 2.0, y + dy * length / 2.0),
    );
    canvas.line(tail, tip, INK, 0.85);
    for side in [-1.0, 1.0] {
        let back = (-dx * 0.82 - side * dy * 0.57, -dy * 0.82 + side * dx * 0.57);
        let barb = (length * 0.32).clamp(3.0, 7.0);
        canvas.line(tip, (tip.0 + back.0 * barb, tip.1 + back.1 * barb), INK, 0.85);
    }
}

fn cities(canvas: &mut Canvas, frame: &Frame, region: &Region) {
    for city in CITIES {
        let (column, row) = region.cells(city.east, city.north);
        let at = frame.pixel(column, row);
        if frame.holds(at) {
            let (x, y) = (at.0 as i32, at.1 as i32);
            canvas.fill(x - 3, y - 3, 7, 7, [255; 3]);
            canvas.fill(x - 2, y - 2, 5, 5, [176, 40, 40]);
            canvas.label(x + 7, y - 3, 1, city.name, INK, [250, 249, 246]);
        }
    }
}

fn legend(canvas: &mut Canvas, frame: &Frame, scale: &Scale) {
    let (Some(first), Some(last)) = (scale.stops.first(), scale.stops.last()) else { return };
    let (x, top) = (MARGIN.0 + frame.width + 18, MARGIN.1 + 18);
    let tall = (frame.height - 36).clamp(40, 320);
    for y in 0..tall {
        let share = 1.0 - y as f32 / (tall - 1) as f32;
        canvas.fill(x, top + y, 18, 1, ramp(scale.stops, first.0 + (last.0 - first.0) * share));
    }
    canvas.frame(x - 1, top - 1, 20, tall + 2, INK);
    canvas.text(x, top - 14, 1, scale.title, INK);
    for label in scale.labels {
        let share = (label - first.0) / (last.0 - first.0);
        let y = top + ((1.0 - share) * (tall - 1) as f32) as i32;
        canvas.fill(x + 18, y, 4, 1, INK);
        canvas.text(x + 25, y - 3, 1, &format!("{label}"), INK);
    }
    let y = top + tall + 26;
    arrow(canvas, (x as f32 + 16.0, y as f32), (30.0, 0.0));
    canvas.text(x, y + 10, 1, "30 M/S", INK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_and_cells_are_inverse() {
        let region = Region::new(240, 186, 8.0, 1);
        let frame = Frame::new(&region);
        let (column, row) = frame.cell(300, 200);
        let (x, y) = frame.pixel(column, row);
        assert!((x - 300.5).abs() < 1e-3 && (y - 200.5).abs() < 1e-3, "{x} {y}");
    }

    #[test]
    fn solid_rotation_has_the_vorticity_of_twice_its_rate() {
        let region = Region::new(20, 20, 10.0, 1);
        let rate = 3e-5;
        let value = |i: usize| (i as f64 - 9.5) * 10_000.0 * rate;
        let cells = 0..400;
        let output = Output {
            hour: 0,
            depth: vec![5_000.0; 400],
            u: cells.clone().map(|i| -value(i / 20)).collect(),
            v: cells.map(|i| value(i % 20)).collect(),
        };
        let found = vorticity(&region, &output)[10 * 20 + 10];
        assert!((found - 6.0).abs() < 1e-6, "{found}");
    }
}
