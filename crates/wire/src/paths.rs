//! Paths that both sides must agree on.

/// What every path of the public API begins with.
pub const API: &str = "/v1";
/// An agent takes its invitation here.
pub const AGENT_JOIN: &str = "/v1/agent/join";
/// An agent's one call.
pub const AGENT_SYNC: &str = "/v1/agent/sync";
/// An agent answers for logs here, with the ask's number behind it.
pub const AGENT_LOGS: &str = "/v1/agent/logs";
/// An agent hands over the logs of what has ended here.
pub const AGENT_LOGS_KEPT: &str = "/v1/agent/kept-logs";
/// An agent comes for who wants to run a command beside a task here, with the ask's number behind it.
pub const AGENT_EXEC: &str = "/v1/agent/exec";
/// An agent measures the way to the exchange here.
pub const AGENT_PROBE: &str = "/v1/agent/probe";
/// An agent brings inputs and outputs from and to the data store below here.
pub const AGENT_DATA: &str = "/v1/agent/data";
/// Does the server serve?
pub const HEALTH: &str = "/v1/health";
/// Prometheus metrics.
pub const METRICS: &str = "/metrics";
/// The description of the API.
pub const OPENAPI: &str = "/v1/openapi.json";
