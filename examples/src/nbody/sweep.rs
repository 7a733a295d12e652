//! A sweep over density and temperature: which point a task has, how it is run, what it reports.

use std::fmt;

use super::fluid::Fluid;
use crate::rng::Rng;

/// Time step in reduced units: about 9 fs for argon; the energy error is then below 1e-3.
const STEP: f64 = 0.004;
/// Distance in steps between the snapshots from which diffusion is taken.
const SNAPSHOT_EVERY: usize = 20;

/// The columns of [`Result`]'s line.
pub const CSV_HEADER: &str = "task,atoms,T_set,rho,T,pressure,energy,diffusion,drift,steps,seed";

/// A rectangular grid of state points.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Lowest density and distance between densities.
    pub density: (f64, f64),
    /// Number of densities.
    pub densities: u64,
    /// Lowest temperature and distance between temperatures.
    pub temperature: (f64, f64),
    /// Number of temperatures.
    pub temperatures: u64,
}

/// The demo's grid: 25 densities × 20 temperatures = 500 points, all above the critical
/// temperature of 1.31, so that no point falls apart into two phases.
pub const GRID: Grid =
    Grid { density: (0.02, 0.035), densities: 25, temperature: (1.40, 0.10), temperatures: 20 };

/// A state point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Number density ρσ³.
    pub density: f64,
    /// Temperature kT/ε.
    pub temperature: f64,
}

impl Grid {
    /// Number of points.
    pub fn len(&self) -> u64 {
        self.densities * self.temperatures
    }

    /// Whether the grid has no point.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The point of a task; densities run fastest, so that neighbouring tasks take unlike times.
    pub fn point(&self, task: u64) -> Option<Point> {
        (task < self.len()).then(|| Point {
            density: self.density.0 + self.density.1 * (task % self.densities) as f64,
            temperature: self.temperature.0 + self.temperature.1 * (task / self.densities) as f64,
        })
    }
}

/// How long and how large a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Cells of the crystal per axis; 4·cells³ atoms.
    pub cells: usize,
    /// Steps to melt and to reach the temperature.
    pub settle: usize,
    /// Steps over which averages are taken.
    pub measure: usize,
    /// Seed of the velocities.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { cells: 3, settle: 1_200, measure: 2_400, seed: 1 }
    }
}

/// What one task found. Prints as one CSV line, see [`CSV_HEADER`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Result {
    /// The task's index in the sweep.
    pub task: u64,
    /// Number of atoms.
    pub atoms: usize,
    /// The state point asked for.
    pub point: Point,
    /// Mean temperature reached.
    pub temperature: f64,
    /// Mean pressure.
    pub pressure: f64,
    /// Mean potential energy per atom.
    pub energy: f64,
    /// Self-diffusion coefficient from the mean square displacement (Einstein).
    pub diffusion: f64,
    /// Drift of the conserved energy per atom over the whole measurement, by least squares.
    pub drift: f64,
    /// Steps measured.
    pub steps: usize,
    /// Seed used.
    pub seed: u64,
}

impl fmt::Display for Result {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{},{},{:.3},{:.3},{:.4},{:.4},{:.4},{:.4},{:.2e},{},{}",
            self.task,
            self.atoms,
            self.point.temperature,
            self.point.density,
            self.temperature,
            self.pressure,
            self.energy,
            self.diffusion,
            self.drift,
            self.steps,
            self.seed,
        )
    }
}

/// Runs one state point.
pub fn run(task: u64, point: Point, plan: Plan) -> Result {
    let mut rng = Rng::of(&[plan.seed, task]);
    let hot = point.temperature + 2.0;
    let mut fluid = Fluid::crystal(plan.cells, point.density, hot, &mut rng);
    settle(&mut fluid, point.temperature, hot, plan.settle);

    let (mut temperature, mut pressure, mut energy) = (0.0, 0.0, 0.0);
    let mut snapshots = Vec::new();
    let mut conserved = Vec::with_capacity(plan.measure);
    for step in 0..plan.measure {
        if step % SNAPSHOT_EVERY == 0 {
            snapshots.push(fluid.travelled().clone());
        }
        fluid.step(STEP);
        let now = fluid.reading();
        temperature += now.temperature;
        pressure += now.pressure;
        energy += now.potential;
        conserved.push(now.conserved);
    }
    let steps = plan.measure.max(1) as f64;
    Result {
        task,
        atoms: fluid.len(),
        point,
        temperature: temperature / steps,
        pressure: pressure / steps,
        energy: energy / steps,
        diffusion: diffusion(&snapshots, SNAPSHOT_EVERY as f64 * STEP),
        drift: slope(&conserved, 1.0) * steps,
        steps: plan.measure,
        seed: plan.seed,
    }
}

/// Melts the crystal hot, cools it, and leaves it with the mean energy of its temperature.
/// Rescaling alone would freeze in whatever the potential energy happens to be at the last
/// rescaling; setting the total energy to its mean brings the later mean temperature to target.
fn settle(fluid: &mut Fluid, temperature: f64, hot: f64, steps: usize) {
    let (mut sum, mut count) = (0.0, 0.0);
    for step in 0..steps {
        fluid.step(STEP);
        if step % 10 == 9 {
            fluid.set_temperature(if step < steps / 4 { hot } else { temperature });
            if step >= steps / 2 {
                sum += fluid.reading().conserved;
                count += 1.0;
            }
        }
    }
    if count > 0.0 {
        fluid.set_conserved(sum / count);
    }
}

/// Einstein's relation: D = slope of the mean square displacement / 6, every snapshot an
/// origin, lags between a quarter and a half of the run, where motion is diffusive.
fn diffusion(snapshots: &[[Vec<f64>; 3]], spacing: f64) -> f64 {
    let count = snapshots.len();
    let displacement: Vec<f64> = (count / 4..count / 2)
        .map(|lag| {
            let (mut sum, mut terms) = (0.0, 0.0);
            for origin in 0..count - lag {
                let later = &snapshots[origin + lag];
                for (from, to) in snapshots[origin].iter().zip(later) {
                    for (a, b) in from.iter().zip(to) {
                        sum += (a - b) * (a - b);
                    }
                }
                terms += snapshots[origin][0].len() as f64;
            }
            sum / f64::max(terms, 1.0)
        })
        .collect();
    slope(&displacement, spacing) / 6.0
}

/// Least-squares slope of equally spaced values; 0 for fewer than two.
fn slope(values: &[f64], spacing: f64) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let n = values.len() as f64;
    let middle = (n - 1.0) / 2.0;
    let mean = values.iter().sum::<f64>() / n;
    let (mut over, mut under) = (0.0, 0.0);
    for (i, value) in values.iter().enumerate() {
        let x = i as f64 - middle;
        over += x * (value - mean);
        under += x * x;
    }
    over / (under * spacing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(density: f64, temperature: f64, plan: Plan) -> Result {
        run(0, Point { density, temperature }, plan)
    }

    #[test]
    fn the_grid_has_five_hundred_points() {
        assert_eq!(GRID.len(), 500);
        assert_eq!(GRID.point(0), Some(Point { density: 0.02, temperature: 1.4 }));
        let last = GRID.point(499).unwrap();
        assert!((last.density - 0.86).abs() < 1e-9 && (last.temperature - 3.3).abs() < 1e-9);
        assert_eq!(GRID.point(500), None);
    }

    #[test]
    fn the_same_task_gives_the_same_line() {
        let plan = Plan { cells: 2, settle: 40, measure: 60, seed: 5 };
        let line = at(0.5, 1.5, plan).to_string();
        assert_eq!(line, at(0.5, 1.5, plan).to_string());
        assert_eq!(line.split(',').count(), CSV_HEADER.split(',').count());
    }

    #[test]
    fn slopes_are_least_squares() {
        assert!((slope(&[1.0, 3.0, 5.0], 0.5) - 4.0).abs() < 1e-12);
        assert_eq!(slope(&[1.0], 1.0), 0.0);
    }

    /// NIST Standard Reference Simulation Website, "Lennard-Jones fluid properties", NVT at
    /// T* = 0.85 with long-range corrections: ρ* = 0.86 has U* = −6.0305 and p* = 1.2660.
    #[test]
    fn the_liquid_has_the_published_energy_and_pressure() {
        let plan = Plan { cells: 3, settle: 600, measure: 900, seed: 2 };
        let found = at(0.86, 0.85, plan);
        // 108 atoms and 900 steps leave about 0.02 in energy, 0.15 in pressure; the found
        // temperature shifts them by the slopes (about 1.0 and 5 per unit) that are taken out.
        let off = found.temperature - 0.85;
        assert!((found.energy - off + 6.0305).abs() < 0.06, "{found}");
        assert!((found.pressure - 5.0 * off - 1.2660).abs() < 0.35, "{found}");
        assert!(found.diffusion > 0.01 && found.diffusion < 0.1, "{found}");
        assert!(found.drift.abs() < 2e-3, "{found}");
    }

    /// Kolafa & Nezbeda, Fluid Phase Equilib. 100, 1 (1994): their equation of state gives
    /// U* = −2.8060 and p* = 0.1125 at T* = 1.3, ρ* = 0.4, and U* = −1.5372, p* = 0.1215 at
    /// ρ* = 0.2. Near the critical point, so the tolerance is wider in energy.
    #[test]
    fn the_dense_gas_has_the_published_energy_and_pressure() {
        let plan = Plan { cells: 3, settle: 800, measure: 1500, seed: 2 };
        let found = at(0.2, 1.3, plan);
        assert!((found.energy + 1.5372).abs() < 0.15, "{found}");
        assert!((found.pressure - 0.1215).abs() < 0.04, "{found}");
    }
}
