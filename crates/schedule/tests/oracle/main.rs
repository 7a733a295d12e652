//! The planner beside an exact oracle: random small instances, solved to the end by a mixed-integer
//! solver, and how far from the best the planner stays. The figures are printed (`-- --nocapture`)
//! and stand in docs/performance.md; bounds on them are asserted.

mod draws;
mod instance;
mod milp;
mod packing;
mod plain;
mod spread;
mod time;
