//! The planner from outside: a small world beside it, random histories, a naive planner, stories.

mod naive;
mod properties;
mod scenarios;
mod world;
