//! GA4GH's Task Execution Service on a real podman: what it promises, and the clients of others on it.

mod clients;
#[path = "../../../engines/tests/containers/lab.rs"]
#[allow(dead_code, reason = "the engine's own tests take the rest")]
mod lab;
mod scene;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
