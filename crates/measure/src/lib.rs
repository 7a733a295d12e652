//! What hardware is said to do and what it was measured to do: the device catalogue, benchmark
//! vectors with provenance and validity per attribute, and the standard units computed from them.
//!
//! Invariants: nominal and measured values stand side by side and are never mixed; every measured
//! value says by which method, when, for how long and whether the machine was shared; stored
//! values are integers in the unit that belongs to their attribute for ever. This room does not
//! know how a benchmark is run, and reads no clock.

mod accelerator;
mod attribute;
mod cpu;
mod inventory;
mod matching;
mod normalise;
mod power;
mod precision;
mod table;
mod vector;

pub use accelerator::{Model, Vendor, canonical, find_model, models};
pub use attribute::{Attribute, AttributeUnknown, Component, Unit};
pub use cpu::{CpuFamily, Isa, Origin, cpu_families, cpu_nominal, cpu_origin, find_cpu};
pub use inventory::Inventory;
pub use matching::{UnknownAsk, check_ask, matches, matching, vendor};
pub use normalise::{
    CoreReference, Derate, MicroCoreHours, MicroScu, Normalised, RawUse, SCU_FORMULA,
    normalise_accelerators, normalise_cores, reference,
};
pub use power::{draw_milliwatts, milliwatt_hours};
pub use precision::Precision;
pub use vector::{
    Doubt, MeasuredVector, Measurement, Method, Sharing, Signature, Slot, Standing, capability,
    cpu_capability,
};
