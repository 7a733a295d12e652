//! The agent: the shell on a provider's machine.
//!
//! It finds out what the machine is ([`probe`]), measures what it can do ([`kernels`]) and tells
//! the exchange. It must not know the exchange's rules or its storage.

pub mod kernels;
pub mod probe;
