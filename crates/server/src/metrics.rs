//! Counters and gauges for Prometheus.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted as it happens.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Jobs accepted.
    pub submissions: Counter,
    /// Syncs answered.
    pub syncs: Counter,
    /// Batches committed.
    pub batches: Counter,
    /// Events committed.
    pub events: Counter,
    /// Attempts that ended.
    pub attempts_ended: Counter,
}

/// What is read when asked.
#[derive(Debug)]
pub struct Gauges {
    /// Jobs that have not ended.
    pub jobs: usize,
    /// Tasks that wait.
    pub queued: u64,
    /// Leases in force.
    pub leases: usize,
    /// Pools.
    pub pools: usize,
    /// The newest journal row.
    pub seq: u64,
    /// Events since the beginning.
    pub revision: u64,
}

impl Metrics {
    /// The exposition text.
    pub fn render(&self, gauges: &Gauges) -> String {
        let mut registry = Registry::with_prefix("dayan");
        registry.register("submissions", "Jobs accepted", self.submissions.clone());
        registry.register("syncs", "Agents' syncs answered", self.syncs.clone());
        registry.register("batches", "Batches committed", self.batches.clone());
        registry.register("events", "Events committed", self.events.clone());
        registry.register("attempts_ended", "Attempts that ended", self.attempts_ended.clone());
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        gauge("jobs", "Jobs that have not ended", gauges.jobs as u64);
        gauge("tasks_queued", "Tasks that wait", gauges.queued);
        gauge("leases", "Leases in force", gauges.leases as u64);
        gauge("pools", "Pools", gauges.pools as u64);
        gauge("journal_seq", "The newest journal row", gauges.seq);
        gauge("revision", "Events since the beginning", gauges.revision);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}
