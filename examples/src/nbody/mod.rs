//! The laboratory's work: molecular dynamics of a Lennard-Jones fluid, one state point a task.
//!
//! Everything is in reduced units (ε = σ = m = k = 1). The fluid is melted from a crystal,
//! brought to its temperature by rescaling velocities, then left alone (constant energy) while
//! averages are taken: velocity Verlet (Swope et al., J. Chem. Phys. 76, 637 (1982)), minimum
//! image, spherical cutoff with the usual long-range corrections (Allen & Tildesley, "Computer
//! Simulation of Liquids", 2nd ed. 2017, section 2.8). Invariants: total momentum stays zero,
//! total energy stays constant; both are tests.

mod fluid;
mod sweep;

pub use fluid::{Fluid, Reading};
pub use sweep::{CSV_HEADER, GRID, Grid, Plan, Point, Result, run};
