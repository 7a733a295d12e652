//! The agent: the shell on a provider's machine.
//!
//! It finds out what the machine is ([`probe`]), measures what it can do ([`kernels`]), joins an
//! exchange, and then does what the exchange's leases say: [`run`]. What is started, stopped and
//! told is decided by `dayan_custody`; the tasks themselves are the engine's. It must not know
//! the exchange's rules or its storage.

mod archive;
mod backoff;
mod book;
mod cluster;
mod config;
mod exec;
mod fault;
mod gauge;
mod home;
mod hush;
mod identity;
mod images;
mod inventory;
mod join;
pub mod kernels;
mod launch;
mod link;
mod logs;
mod offering;
mod pin;
pub mod probe;
pub mod program;
mod registries;
mod run;
mod runner;
mod saving;
mod several;
mod shell;
mod staging;
mod sync;
mod time_signal;
mod words;

pub use config::{
    AgentConfig, EngineChoice, Fittings, IsolationChoice, Measuring, OpenEngine, PrivateData,
};
pub use fault::AgentFault;
pub use images::ImageWords;
pub use offering::Offering;
pub use registries::{EVERYBODY, Entry, Registries};
pub use run::{run, run_telling};
pub use several::{OnePool, Several, has_joined, pool_name, run_several};
