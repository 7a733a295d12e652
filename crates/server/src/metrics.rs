//! Counters and gauges for Prometheus.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Bounds of times, in seconds: from a memory access's work to a disk that hangs.
const SECONDS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 10.0];

/// By what answers are told apart.
pub type ByStatus = [(&'static str, &'static str); 1];

/// What is counted as it happens.
#[derive(Debug)]
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
    /// Attempts that were taken back for other jobs.
    pub attempts_preempted: Counter,
    /// Answers over HTTP by the class of their status: `2xx`, `4xx`, `5xx`.
    pub answers: Family<ByStatus, Counter>,
    /// How long answers took, those aside that are held back on purpose.
    pub answer_seconds: Histogram,
    /// How long a batch took from its first decision to being durable.
    pub batch_seconds: Histogram,
    /// Micro-units of money that were billed.
    pub billed: Counter,
    /// Bytes of logs that are kept, as packed.
    pub log_bytes: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            submissions: Counter::default(),
            syncs: Counter::default(),
            batches: Counter::default(),
            events: Counter::default(),
            attempts_ended: Counter::default(),
            attempts_preempted: Counter::default(),
            answers: Family::default(),
            answer_seconds: Histogram::new(SECONDS),
            batch_seconds: Histogram::new(SECONDS),
            billed: Counter::default(),
            log_bytes: Gauge::default(),
        }
    }
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
    /// Pools whose agents are not heard.
    pub pools_silent: usize,
    /// Tasks that the planner could not place yet.
    pub tasks_waiting: u64,
    /// How good start estimates were.
    pub estimates: dayan_exchange::Estimates,
    /// How many deadlines were met.
    pub deadlines: dayan_exchange::Deadlines,
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
        let preempted = self.attempts_preempted.clone();
        registry.register("attempts_preempted", "Attempts taken back for other jobs", preempted);
        registry.register("answers", "Answers over HTTP by class of status", self.answers.clone());
        let answer_seconds = self.answer_seconds.clone();
        registry.register("answer_seconds", "Time to an answer over HTTP", answer_seconds);
        let batch_seconds = self.batch_seconds.clone();
        registry.register("batch_seconds", "Time until a batch was durable", batch_seconds);
        registry.register("billed_micro", "Money billed, in micro-units", self.billed.clone());
        let kept = self.log_bytes.clone();
        registry.register("log_bytes", "Logs kept of what has ended, packed, in bytes", kept);
        let mut gauge = |name: &str, help: &str, value: u64| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            registry.register(name, help, gauge);
        };
        gauge("jobs", "Jobs that have not ended", gauges.jobs as u64);
        gauge("tasks_queued", "Tasks that wait", gauges.queued);
        gauge("leases", "Leases in force", gauges.leases as u64);
        gauge("pools", "Pools", gauges.pools as u64);
        gauge("pools_silent", "Pools whose agents are not heard", gauges.pools_silent as u64);
        gauge("tasks_waiting", "Tasks that the planner has yet to place", gauges.tasks_waiting);
        let estimates = &gauges.estimates;
        gauge("start_estimates_scored", "Starts of jobs that had to wait", estimates.scored);
        gauge("start_estimates_within_p50", "Of them, by P50", estimates.within_p50);
        gauge("start_estimates_within_p90", "Of them, by P90", estimates.within_p90);
        let dayan_exchange::Deadlines { soft, hard } = gauges.deadlines;
        gauge("deadlines_soft_met", "Jobs with a soft deadline that ended in time", soft.met);
        gauge("deadlines_soft_missed", "Jobs with a soft deadline that did not", soft.missed);
        gauge("deadlines_hard_met", "Jobs with a hard deadline that ended in time", hard.met);
        gauge("deadlines_hard_missed", "Jobs with a hard deadline that did not", hard.missed);
        gauge("journal_seq", "The newest journal row", gauges.seq);
        gauge("revision", "Events since the beginning", gauges.revision);
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &registry);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_what_was_counted() {
        let metrics = Metrics::default();
        metrics.submissions.inc();
        metrics.answers.get_or_create(&[("status", "4xx")]).inc();
        metrics.answer_seconds.observe(0.002);
        let text = metrics.render(&Gauges {
            jobs: 3,
            queued: 4,
            leases: 5,
            pools: 6,
            pools_silent: 1,
            tasks_waiting: 2,
            estimates: dayan_exchange::Estimates::default(),
            deadlines: dayan_exchange::Deadlines::default(),
            seq: 7,
            revision: 8,
        });
        for line in [
            "dayan_submissions_total 1",
            "dayan_answers_total{status=\"4xx\"} 1",
            "dayan_answer_seconds_bucket{le=\"0.0025\"} 1",
            "dayan_pools_silent 1",
            "dayan_journal_seq 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
