//! The planner from outside: a small world beside it, random histories, a naive planner, stories.

mod appointments;
mod carbon;
mod clusters;
mod control;
mod deadlines;
mod draws;
mod estimates;
mod fallback;
mod gangs;
mod later;
mod naive;
mod preemptions;
mod properties;
mod quotas;
mod ranges;
mod scenarios;
mod short;
mod world;
