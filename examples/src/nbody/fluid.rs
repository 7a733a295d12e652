//! Atoms in a periodic box: positions, velocities, forces, one step of time.
//!
//! Must not know of sweeps, averages or files.

use crate::rng::Rng;

/// The longest cutoff worth its pairs: beyond 4 σ the correction is exact enough.
const CUTOFF_MAX: f64 = 4.0;

/// Instantaneous values of the fluid, reduced units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// Kinetic temperature with 3N − 3 degrees of freedom (momentum is fixed at zero).
    pub temperature: f64,
    /// Pressure with long-range correction.
    pub pressure: f64,
    /// Potential energy per atom with long-range correction.
    pub potential: f64,
    /// Kinetic plus potential energy per atom, potential shifted to zero at the cutoff: the
    /// quantity that the equations of motion conserve.
    pub conserved: f64,
}

/// A box of atoms. Coordinates are kept inside the box; `travelled` is the way since the start
/// without wrapping.
#[derive(Debug, Clone)]
pub struct Fluid {
    side: f64,
    cutoff: f64,
    position: [Vec<f64>; 3],
    travelled: [Vec<f64>; 3],
    velocity: [Vec<f64>; 3],
    force: [Vec<f64>; 3],
    potential: f64,
    virial: f64,
    pairs: usize,
}

impl Fluid {
    /// A face-centred crystal of 4·cells³ atoms at a density, with random velocities.
    pub fn crystal(cells: usize, density: f64, temperature: f64, rng: &mut Rng) -> Fluid {
        let count = 4 * cells * cells * cells;
        let side = (count as f64 / density).cbrt();
        let edge = side / cells as f64;
        let mut position = [Vec::new(), Vec::new(), Vec::new()];
        let corners = [[0.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5], [0.0, 0.5, 0.5]];
        for x in 0..cells {
            for y in 0..cells {
                for z in 0..cells {
                    for corner in corners {
                        for (axis, at) in [x, y, z].into_iter().enumerate() {
                            // A quarter of a cell keeps every atom off the border of the box.
                            position[axis].push((at as f64 + corner[axis] + 0.25) * edge);
                        }
                    }
                }
            }
        }
        let mut velocity = [(); 3].map(|()| (0..count).map(|_| rng.normal()).collect::<Vec<f64>>());
        for axis in &mut velocity {
            let mean = axis.iter().sum::<f64>() / count as f64;
            for v in axis {
                *v -= mean;
            }
        }
        let zero = || [(); 3].map(|()| vec![0.0; count]);
        let mut fluid = Fluid {
            side,
            cutoff: (side / 2.0).min(CUTOFF_MAX),
            position,
            travelled: zero(),
            velocity,
            force: zero(),
            potential: 0.0,
            virial: 0.0,
            pairs: 0,
        };
        fluid.set_temperature(temperature);
        fluid.forces();
        fluid
    }

    /// Number of atoms.
    pub fn len(&self) -> usize {
        self.position[0].len()
    }

    /// Whether there are no atoms; never true.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The way each atom has gone since the start, one vector per axis.
    pub fn travelled(&self) -> &[Vec<f64>; 3] {
        &self.travelled
    }

    /// Total momentum.
    pub fn momentum(&self) -> [f64; 3] {
        [0, 1, 2].map(|axis| self.velocity[axis].iter().sum())
    }

    /// One step of velocity Verlet.
    pub fn step(&mut self, dt: f64) {
        let half = 0.5 * dt;
        for axis in 0..3 {
            for i in 0..self.len() {
                self.velocity[axis][i] += half * self.force[axis][i];
                let way = dt * self.velocity[axis][i];
                self.travelled[axis][i] += way;
                let mut at = self.position[axis][i] + way;
                // One wrap is enough: an atom cannot cross the box in a step.
                if at >= self.side {
                    at -= self.side;
                } else if at < 0.0 {
                    at += self.side;
                }
                self.position[axis][i] = at;
            }
        }
        self.forces();
        for axis in 0..3 {
            for (v, f) in self.velocity[axis].iter_mut().zip(&self.force[axis]) {
                *v += half * f;
            }
        }
    }

    /// Rescales the velocities to a temperature.
    pub fn set_temperature(&mut self, temperature: f64) {
        let now = 2.0 * self.kinetic() / self.freedom();
        if now > 0.0 {
            self.scale_velocities((temperature / now).sqrt());
        }
    }

    /// Rescales the velocities so that the conserved energy per atom becomes `target`; does
    /// nothing if the potential alone is above it.
    pub fn set_conserved(&mut self, target: f64) {
        let count = self.len() as f64;
        let excess = target - self.reading().conserved;
        let kinetic = self.kinetic() / count;
        if kinetic > 0.0 && kinetic + excess > 0.0 {
            self.scale_velocities(((kinetic + excess) / kinetic).sqrt());
        }
    }

    /// The values of this instant.
    pub fn reading(&self) -> Reading {
        let count = self.len() as f64;
        let volume = self.side.powi(3);
        let density = count / volume;
        let temperature = 2.0 * self.kinetic() / self.freedom();
        // Long-range corrections: Allen & Tildesley, equations 2.144 and 2.145.
        let third = self.cutoff.powi(-3);
        let ninth = third.powi(3);
        let tau = std::f64::consts::PI * density;
        let tail_energy = tau * (8.0 / 9.0 * ninth - 8.0 / 3.0 * third);
        let tail_pressure = tau * density * (32.0 / 9.0 * ninth - 16.0 / 3.0 * third);
        let sixth = self.cutoff.powi(-6);
        let shift = 4.0 * (sixth * sixth - sixth);
        Reading {
            temperature,
            pressure: density * temperature + self.virial / (3.0 * volume) + tail_pressure,
            potential: self.potential / count + tail_energy,
            conserved: (self.kinetic() + self.potential - shift * self.pairs as f64) / count,
        }
    }

    fn freedom(&self) -> f64 {
        (3 * self.len() - 3) as f64
    }

    fn kinetic(&self) -> f64 {
        0.5 * self.velocity.iter().flatten().map(|v| v * v).sum::<f64>()
    }

    fn scale_velocities(&mut self, factor: f64) {
        self.velocity.iter_mut().flatten().for_each(|v| *v *= factor);
    }

    /// All pairs, each once: for the 108 to 500 atoms used here a cell list would not be faster,
    /// because the cutoff is half the box.
    fn forces(&mut self) {
        let count = self.len();
        let (side, half) = (self.side, self.side / 2.0);
        let cutoff_square = self.cutoff * self.cutoff;
        let [px, py, pz] = &self.position;
        let [fx, fy, fz] = &mut self.force;
        for f in [&mut *fx, &mut *fy, &mut *fz] {
            f.fill(0.0);
        }
        let nearest = |d: f64| {
            // Both comparisons become masks, so the loop has no branch per axis.
            d - if d > half { side } else { 0.0 } + if d < -half { side } else { 0.0 }
        };
        let (mut potential, mut virial, mut pairs) = (0.0, 0.0, 0);
        let mut square = vec![0.0; count];
        for i in 0..count {
            let (xi, yi, zi) = (px[i], py[i], pz[i]);
            // Distances first, in a loop the compiler can do several at a time.
            let rest = i + 1..count;
            for (((s, x), y), z) in square[rest.clone()]
                .iter_mut()
                .zip(&px[rest.clone()])
                .zip(&py[rest.clone()])
                .zip(&pz[rest])
            {
                let (dx, dy, dz) = (nearest(xi - x), nearest(yi - y), nearest(zi - z));
                *s = dx * dx + dy * dy + dz * dz;
            }
            let (mut ax, mut ay, mut az) = (0.0, 0.0, 0.0);
            for j in i + 1..count {
                if square[j] >= cutoff_square {
                    continue;
                }
                let inverse = 1.0 / square[j];
                let sixth = inverse * inverse * inverse;
                potential += 4.0 * sixth * (sixth - 1.0);
                let strength = 48.0 * sixth * (sixth - 0.5);
                virial += strength;
                pairs += 1;
                let pull = strength * inverse;
                let dx = pull * nearest(xi - px[j]);
                let dy = pull * nearest(yi - py[j]);
                let dz = pull * nearest(zi - pz[j]);
                ax += dx;
                ay += dy;
                az += dz;
                fx[j] -= dx;
                fy[j] -= dy;
                fz[j] -= dz;
            }
            fx[i] += ax;
            fy[i] += ay;
            fz[i] += az;
        }
        self.potential = potential;
        self.virial = virial;
        self.pairs = pairs;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn warm(density: f64, temperature: f64) -> Fluid {
        let mut fluid = Fluid::crystal(2, density, temperature, &mut Rng::new(3));
        for _ in 0..100 {
            fluid.step(0.004);
        }
        fluid
    }

    #[test]
    fn momentum_stays_zero() {
        let fluid = warm(0.6, 1.5);
        assert!(fluid.momentum().iter().all(|p| p.abs() < 1e-9), "{:?}", fluid.momentum());
    }

    #[test]
    fn energy_error_falls_with_the_square_of_the_step() {
        let error = |dt: f64, steps: usize| {
            let mut fluid = warm(0.6, 1.5);
            let start = fluid.reading().conserved;
            let mut worst: f64 = 0.0;
            for _ in 0..steps {
                fluid.step(dt);
                worst = worst.max((fluid.reading().conserved - start).abs());
            }
            worst
        };
        let (coarse, fine) = (error(0.008, 60), error(0.002, 240));
        assert!(fine < coarse / 5.0, "{fine} against {coarse}");
        assert!(fine < 2e-3, "{fine}");
    }

    #[test]
    fn two_atoms_at_the_minimum_pull_no_force() {
        let mut fluid = warm(0.01, 1.0);
        for axis in 0..3 {
            for i in 0..fluid.len() {
                // Everything else is put out of the cutoff's reach of the first two.
                fluid.position[axis][i] = 6.0;
            }
        }
        fluid.position[0][0] = 1.0;
        fluid.position[0][1] = 1.0 + 2f64.powf(1.0 / 6.0);
        for axis in 1..3 {
            fluid.position[axis][0] = 1.0;
            fluid.position[axis][1] = 1.0;
        }
        // Only the pair itself is looked at: keep two atoms.
        for axis in 0..3 {
            fluid.position[axis].truncate(2);
            fluid.velocity[axis].truncate(2);
            fluid.force[axis].truncate(2);
            fluid.travelled[axis].truncate(2);
        }
        fluid.forces();
        assert!((fluid.potential + 1.0).abs() < 1e-12);
        assert!(fluid.force[0][0].abs() < 1e-10);
    }
}
