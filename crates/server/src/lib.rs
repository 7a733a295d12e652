//! The server: a thin shell around the exchange. It authenticates, turns requests into commands,
//! has the one writer decide and commit them, and tells those who wait.
//!
//! Invariants: nothing is acknowledged before it is committed; readers, syncs and the planner see
//! committed revisions only; after a failed commit nothing goes on from memory. This room knows no
//! SQL and no rules.

mod app;
mod bill;
mod clock;
mod data;
mod encoding;
mod files;
mod http;
mod hub;
mod links;
mod loads;
mod logs;
mod metrics;
pub mod offline;
mod planner;
mod problem;
mod project;
mod random;
mod reference;
mod serve;
mod shadow;
pub mod tes;
mod timers;
mod tls;
mod views;
mod writer;

pub use data::PROJECT_BYTES_DEFAULT;
pub use http::openapi;
pub use logs::LogLimits;
pub use serve::{ServeConfig, ServeFault, Serving, new_key, serve};
pub use tls::TlsMode;
