//! Shallow-water equations on a C-grid: one rank's band of rows, one stage at a time.
//!
//! Vector-invariant form with the energy-conserving scheme of Sadourny (J. Atmos. Sci. 32, 680
//! (1975)), third-order strong-stability-preserving Runge–Kutta (Shu & Osher 1988), periodic in
//! x, free-slip walls in y, a little viscosity. h is the depth of the fluid, b the terrain under
//! it, g(h+b) the geopotential of its surface.
//!
//! ```text
//! ∂u/∂t = +q V − ∂/∂x (g(h+b) + (u²+v²)/2) + ν∇²u      q = (f + ∂v/∂x − ∂u/∂y) / h
//! ∂v/∂t = −q U − ∂/∂y (g(h+b) + (u²+v²)/2) + ν∇²v      U = u h,  V = v h
//! ∂h/∂t = −∂U/∂x − ∂V/∂y
//! ```
//! Invariant: a cell's new value is computed by the same operations in the same order whatever
//! band it lies in. Must not know of ranks, files or geography.

/// Acceleration of gravity, m/s².
pub const GRAVITY: f64 = 9.806_65;

/// The whole region's grid and constants.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Cells from west to east; periodic.
    pub columns: usize,
    /// Cells from south to north; walls at both ends.
    pub rows: usize,
    /// Side of a cell, metres.
    pub spacing: f64,
    /// Time step, seconds.
    pub step: f64,
    /// Coriolis parameter at the southern wall, 1/s.
    pub coriolis: f64,
    /// Its growth northward, 1/(m s).
    pub beta: f64,
    /// Viscosity, m²/s.
    pub viscosity: f64,
}

impl Grid {
    /// The longest stable step for a depth and a wind: gravity waves on the diagonal of a
    /// C-grid have frequency up to 2√2 c/Δ, and the scheme is stable to √3 per step; a fifth of
    /// that is kept in hand.
    pub fn step_for(spacing: f64, depth: f64, wind: f64) -> f64 {
        let speed = (GRAVITY * depth).sqrt() + wind;
        0.8 * 3f64.sqrt() * spacing / (8f64.sqrt() * speed)
    }
}

/// A field over a band: the band's rows, one more on either side, one more column on either side.
pub type Rows = Vec<f64>;

/// The prognostic fields of a band. `h` at cell centres, `u` on western, `v` on southern faces.
#[derive(Debug, Clone, PartialEq)]
struct Fields {
    h: Rows,
    u: Rows,
    v: Rows,
}

/// One rank's rows.
#[derive(Debug, Clone)]
pub struct Band {
    grid: Grid,
    first: usize,
    count: usize,
    terrain: Rows,
    now: Fields,
    stage: Fields,
    next: Fields,
    /// Potential vorticity at south-western corners, mass fluxes, Bernoulli function.
    q: Rows,
    flux_x: Rows,
    flux_y: Rows,
    energy: Rows,
}

/// The rows of a rank: first row and number of rows. Every rank has some when there are at
/// least as many rows as ranks.
pub fn share(rows: usize, rank: usize, ranks: usize) -> (usize, usize) {
    let first = rows * rank / ranks;
    (first, rows * (rank + 1) / ranks - first)
}

impl Band {
    /// The band of rows `first..first + count`, from functions of column and row of the whole
    /// grid: terrain and depth at centres, wind on the faces.
    pub fn new(
        grid: Grid,
        (first, count): (usize, usize),
        terrain: impl Fn(usize, usize) -> f64,
        state: impl Fn(usize, usize) -> [f64; 3],
    ) -> Band {
        let size = (grid.columns + 2) * (count + 2);
        let zero = || vec![0.0; size];
        let fields = || Fields { h: zero(), u: zero(), v: zero() };
        let mut band = Band {
            grid,
            first,
            count,
            terrain: zero(),
            now: fields(),
            stage: fields(),
            next: fields(),
            q: zero(),
            flux_x: zero(),
            flux_y: zero(),
            energy: zero(),
        };
        // The rows beyond the band are filled too where they exist; beyond a wall they repeat.
        for local in 0..count + 2 {
            let row = (first + local).saturating_sub(1).min(grid.rows - 1);
            let wall = first + local == 0 || first + local > grid.rows;
            for column in 0..grid.columns {
                let at = band.at(local, column);
                band.terrain[at] = terrain(column, row);
                let [h, u, v] = state(column, row);
                band.now.h[at] = h;
                band.now.u[at] = u;
                // No flow through the walls: the southern one is the face of row 0.
                let closed = wall || first + local == 1;
                band.now.v[at] = if closed { 0.0 } else { v };
            }
        }
        let width = grid.columns + 2;
        wrap(&mut band.terrain, width);
        for field in [&mut band.now.h, &mut band.now.u, &mut band.now.v] {
            wrap(field, width);
        }
        band
    }

    /// First row of the band in the whole grid.
    pub fn first(&self) -> usize {
        self.first
    }

    /// Number of rows.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The band's own values of depth, u and v, rows from the south, one after the other.
    pub fn values(&self) -> Vec<f64> {
        let mut values = Vec::with_capacity(3 * self.count * self.grid.columns);
        for field in [&self.now.h, &self.now.u, &self.now.v] {
            for local in 1..=self.count {
                let at = self.at(local, 0);
                values.extend_from_slice(&field[at..at + self.grid.columns]);
            }
        }
        values
    }

    /// One time step. `exchange` is handed the southernmost and northernmost rows of h, u and v
    /// and fills the rows beyond them; it is called before each of the three stages.
    pub fn step<E>(
        &mut self,
        mut exchange: impl FnMut(Border<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.stage.clone_from(&self.now);
        // now, and the share of now + dt·L in each stage's combination (Shu & Osher).
        for (keep, take) in [(0.0, 1.0), (0.75, 0.25), (1.0 / 3.0, 2.0 / 3.0)] {
            self.borders(&mut exchange)?;
            self.advance(keep, take);
            std::mem::swap(&mut self.stage, &mut self.next);
        }
        std::mem::swap(&mut self.now, &mut self.stage);
        Ok(())
    }

    /// Exchanges the borders of the stage's fields and applies walls and periodicity.
    fn borders<E>(
        &mut self,
        exchange: &mut impl FnMut(Border<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (columns, count) = (self.grid.columns, self.count);
        let starts = [0, 1, count, count + 1].map(|local| self.at(local, 0));
        let pick = |fields: &Fields, start: usize| {
            [&fields.h, &fields.u, &fields.v]
                .into_iter()
                .flat_map(|field| field[start..start + columns].iter().copied())
                .collect::<Vec<f64>>()
        };
        let south = pick(&self.stage, starts[1]);
        let north = pick(&self.stage, starts[2]);
        let (mut below, mut above) = (vec![0.0; 3 * columns], vec![0.0; 3 * columns]);
        exchange(Border { south: &south, north: &north, below: &mut below, above: &mut above })?;
        if self.first == 0 {
            below.copy_from_slice(&south);
            below[2 * columns..].fill(0.0);
        }
        if self.first + count == self.grid.rows {
            above.copy_from_slice(&north);
            above[2 * columns..].fill(0.0);
        }
        for (field, i) in [(&mut self.stage.h, 0), (&mut self.stage.u, 1), (&mut self.stage.v, 2)] {
            let part = i * columns..(i + 1) * columns;
            field[starts[0]..starts[0] + columns].copy_from_slice(&below[part.clone()]);
            field[starts[3]..starts[3] + columns].copy_from_slice(&above[part]);
            wrap(field, columns + 2);
        }
        Ok(())
    }

    /// `next = keep·now + take·(stage + dt·L(stage))` for the band's own rows.
    fn advance(&mut self, keep: f64, take: f64) {
        let width = self.grid.columns + 2;
        let (columns, count) = (self.grid.columns, self.count);
        let inverse = 1.0 / self.grid.spacing;
        let Fields { h, u, v } = &self.stage;
        // Faces, corners and centres of all rows that the tendencies below will read.
        for local in 0..=count + 1 {
            let row = local * width..(local + 1) * width;
            let (h, u) = (&h[row.clone()], &u[row.clone()]);
            let flux = &mut self.flux_x[row];
            for c in 1..=columns + 1 {
                flux[c] = u[c] * 0.5 * (h[c] + h[c - 1]);
            }
            flux[0] = flux[columns];
        }
        for local in 1..=count + 1 {
            let here = local * width..(local + 1) * width;
            let south = (local - 1) * width..local * width;
            let coriolis = self.grid.coriolis
                + self.grid.beta * (self.first + local - 1) as f64 * self.grid.spacing;
            let (hh, hs) = (&h[here.clone()], &h[south.clone()]);
            let (uh, us) = (&u[here.clone()], &u[south]);
            let vh = &v[here.clone()];
            let flux = &mut self.flux_y[here.clone()];
            let q = &mut self.q[here];
            for c in 1..=columns + 1 {
                let rotation = ((vh[c] - vh[c - 1]) - (uh[c] - us[c])) * inverse;
                let depth = 0.25 * ((hh[c] + hh[c - 1]) + (hs[c] + hs[c - 1]));
                q[c] = (coriolis + rotation) / depth;
                flux[c] = vh[c] * 0.5 * (hh[c] + hs[c]);
            }
            flux[0] = flux[columns];
        }
        for local in 0..=count {
            let here = local * width..(local + 1) * width;
            let north = (local + 1) * width..(local + 2) * width;
            let (h, b) = (&h[here.clone()], &self.terrain[here.clone()]);
            let (u, vs, vn) = (&u[here.clone()], &v[here.clone()], &v[north]);
            let energy = &mut self.energy[here];
            for c in 1..=columns {
                let speed = (u[c] * u[c] + u[c + 1] * u[c + 1]) + (vs[c] * vs[c] + vn[c] * vn[c]);
                energy[c] = GRAVITY * (h[c] + b[c]) + 0.25 * speed;
            }
            energy[0] = energy[columns];
            energy[columns + 1] = energy[1];
        }
        self.combine(keep, take);
    }

    /// The tendencies from the intermediate fields, and the Runge–Kutta combination.
    fn combine(&mut self, keep: f64, take: f64) {
        let width = self.grid.columns + 2;
        let columns = self.grid.columns;
        let inverse = 1.0 / self.grid.spacing;
        let viscous = self.grid.viscosity * inverse * inverse;
        let dt = self.grid.step;
        let Fields { h, u, v } = &self.stage;
        for local in 1..=self.count {
            let here = local * width..(local + 1) * width;
            let south = (local - 1) * width..local * width;
            let north = (local + 1) * width..(local + 2) * width;
            let (qh, qn) = (&self.q[here.clone()], &self.q[north.clone()]);
            let (fxh, fxs) = (&self.flux_x[here.clone()], &self.flux_x[south.clone()]);
            let (fyh, fyn) = (&self.flux_y[here.clone()], &self.flux_y[north.clone()]);
            let (eh, es) = (&self.energy[here.clone()], &self.energy[south.clone()]);
            let (uh, us, un) = (&u[here.clone()], &u[south.clone()], &u[north.clone()]);
            let (vh, vs, vn) = (&v[here.clone()], &v[south], &v[north]);
            let hh = &h[here.clone()];
            let (now_h, now_u, now_v) =
                (&self.now.h[here.clone()], &self.now.u[here.clone()], &self.now.v[here.clone()]);
            let next_h = &mut self.next.h[here.clone()];
            let next_u = &mut self.next.u[here.clone()];
            let next_v = &mut self.next.v[here];
            for c in 1..=columns {
                let change = -((fxh[c + 1] - fxh[c]) + (fyn[c] - fyh[c])) * inverse;
                next_h[c] = keep * now_h[c] + take * (hh[c] + dt * change);
            }
            for c in 1..=columns {
                let turn = 0.25 * (qh[c] * (fyh[c] + fyh[c - 1]) + qn[c] * (fyn[c] + fyn[c - 1]));
                let slope = (eh[c] - eh[c - 1]) * inverse;
                let smooth = (uh[c + 1] + uh[c - 1]) + (un[c] + us[c]) - 4.0 * uh[c];
                let change = turn - slope + viscous * smooth;
                next_u[c] = keep * now_u[c] + take * (uh[c] + dt * change);
            }
            if self.first + local == 1 {
                // The southern wall.
                next_v[1..=columns].fill(0.0);
                continue;
            }
            for c in 1..=columns {
                let turn =
                    0.25 * (qh[c] * (fxh[c] + fxs[c]) + qh[c + 1] * (fxh[c + 1] + fxs[c + 1]));
                let slope = (eh[c] - es[c]) * inverse;
                let smooth = (vh[c + 1] + vh[c - 1]) + (vn[c] + vs[c]) - 4.0 * vh[c];
                let change = -turn - slope + viscous * smooth;
                next_v[c] = keep * now_v[c] + take * (vh[c] + dt * change);
            }
        }
    }

    fn at(&self, local: usize, column: usize) -> usize {
        local * (self.grid.columns + 2) + column + 1
    }
}

/// What a band shows its neighbours and gets from them: h, u and v of one row each.
#[derive(Debug)]
pub struct Border<'a> {
    /// The band's southernmost row.
    pub south: &'a [f64],
    /// The band's northernmost row.
    pub north: &'a [f64],
    /// To be filled with the row south of the band, where there is one.
    pub below: &'a mut [f64],
    /// To be filled with the row north of the band, where there is one.
    pub above: &'a mut [f64],
}

/// Repeats the first and last column of every row beyond the other end.
fn wrap(field: &mut [f64], width: usize) {
    for row in field.chunks_exact_mut(width) {
        row[0] = row[width - 2];
        row[width - 1] = row[1];
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn grid(columns: usize, rows: usize) -> Grid {
        Grid {
            columns,
            rows,
            spacing: 20_000.0,
            step: Grid::step_for(20_000.0, 5_500.0, 40.0),
            coriolis: 5e-5,
            beta: 2e-11,
            viscosity: 1e4,
        }
    }

    fn hill(column: usize, row: usize) -> f64 {
        let (x, y) = (column as f64 - 10.0, row as f64 - 8.0);
        900.0 * (-(x * x + y * y) / 16.0).exp()
    }

    fn start(column: usize, row: usize) -> [f64; 3] {
        let (x, y) = (column as f64 - 14.0, row as f64 - 6.0);
        let low = -40.0 * (-(x * x + y * y) / 12.0).exp();
        [5_500.0 + low - hill(column, row), 8.0, 1.0 - 0.1 * y]
    }

    #[expect(clippy::unnecessary_wraps, reason = "it stands for an exchange that can fail")]
    fn alone(_: Border<'_>) -> Result<(), Infallible> {
        Ok(())
    }

    fn mass(band: &Band, cells: usize) -> f64 {
        band.values()[..cells].iter().sum()
    }

    #[test]
    fn mass_is_conserved_and_nothing_blows_up() {
        let grid = grid(24, 18);
        let mut band = Band::new(grid, (0, 18), hill, start);
        let before = mass(&band, 24 * 18);
        for _ in 0..600 {
            band.step(alone).unwrap();
        }
        let after = mass(&band, 24 * 18);
        assert!(((after - before) / before).abs() < 1e-12, "{before} {after}");
        let values = band.values();
        assert!(values.iter().all(|v| v.is_finite()));
        let wind = values[24 * 18..].iter().fold(0.0f64, |most, v| most.max(v.abs()));
        assert!(wind < 60.0, "{wind}");
    }

    #[test]
    fn a_fluid_at_rest_over_a_hill_stays_at_rest() {
        let grid = grid(24, 18);
        let still = |c: usize, r: usize| [5_500.0 - hill(c, r), 0.0, 0.0];
        let mut band = Band::new(grid, (0, 18), hill, still);
        for _ in 0..50 {
            band.step(alone).unwrap();
        }
        let wind = band.values()[24 * 18..].iter().fold(0.0f64, |most, v| most.max(v.abs()));
        assert!(wind < 1e-8, "{wind}");
    }

    /// Total energy Σ h (u²+v²)/2 + g h (h/2 + b) is conserved by the scheme in space; viscosity
    /// and the third-order step may only take a little away.
    #[test]
    fn energy_hardly_changes() {
        let grid = Grid { viscosity: 0.0, ..grid(24, 18) };
        let mut band = Band::new(grid, (0, 18), hill, start);
        let energy = |band: &Band| {
            let values = band.values();
            let cells = 24 * 18;
            (0..cells)
                .map(|i| {
                    let (h, u, v) = (values[i], values[cells + i], values[2 * cells + i]);
                    h * (u * u + v * v) / 2.0 + GRAVITY * h * (h / 2.0 + hill(i % 24, i / 24))
                })
                .sum::<f64>()
        };
        let before = energy(&band);
        for _ in 0..200 {
            band.step(alone).unwrap();
        }
        let change = (energy(&band) - before) / before;
        assert!(change.abs() < 2e-6, "{change}");
    }

    #[test]
    fn bands_cut_anywhere_give_the_same_bits() {
        let grid = grid(16, 12);
        let mut whole = Band::new(grid, (0, 12), hill, start);
        let mut south = Band::new(grid, (0, 5), hill, start);
        let mut north = Band::new(grid, (5, 7), hill, start);
        for _ in 0..30 {
            whole.step(alone).unwrap();
            // Both halves in one thread: stages alternate through a shared slot.
            lockstep(&mut south, &mut north);
        }
        let (w, s, n) = (whole.values(), south.values(), north.values());
        for field in 0..3 {
            let (cells, cut) = (16 * 12, 16 * 5);
            let joined: Vec<f64> = s[field * cut..(field + 1) * cut]
                .iter()
                .chain(&n[field * (cells - cut)..(field + 1) * (cells - cut)])
                .copied()
                .collect();
            assert_eq!(joined, w[field * cells..(field + 1) * cells]);
        }
    }

    fn lockstep(south: &mut Band, north: &mut Band) {
        use std::sync::mpsc::channel;
        let (to_north, from_south) = channel::<Vec<f64>>();
        let (to_south, from_north) = channel::<Vec<f64>>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                south.step(|border| {
                    to_north.send(border.north.to_vec()).map_err(|_| ())?;
                    border.above.copy_from_slice(&from_north.recv().map_err(|_| ())?);
                    Ok::<(), ()>(())
                })
            });
            scope.spawn(move || {
                north.step(|border| {
                    to_south.send(border.south.to_vec()).map_err(|_| ())?;
                    border.below.copy_from_slice(&from_south.recv().map_err(|_| ())?);
                    Ok::<(), ()>(())
                })
            });
        });
    }

    #[test]
    fn shares_cover_all_rows_once() {
        for ranks in 1..6 {
            let mut next = 0;
            for rank in 0..ranks {
                let (first, count) = share(17, rank, ranks);
                assert_eq!(first, next);
                assert!(count > 0);
                next += count;
            }
            assert_eq!(next, 17);
        }
    }
}
