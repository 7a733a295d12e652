//! What running pods use: by the cluster's metrics interface (`metrics.k8s.io`) where there is one,
//! else by the nodes' own statistics through the API server. Pure but for the two questions.
//!
//! The metrics interface says how fast processor time is used, averaged over its window; what was used
//! is that times the time since the last word, which no word can be counted twice in. Kubelets say how
//! much was used since the container began: of each container the most that was said of it counts, so that
//! a word of an earlier one that comes late adds what was not known of it and nothing else. Invariant:
//! counters never shrink; where nobody says anything nothing is made up.

use std::collections::BTreeMap;

use dayan_units::{Bytes, Span, Time};
use kube::Client;
use serde::Deserialize;

use super::connect::{self, Answer};
use super::names::LABEL_AGENT;
use super::quantity::{nano_floor, whole_floor};
use super::steps;

/// How long a node may take to say it: one that is silent keeps nobody else from being heard.
const NODE_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// Who says what pods use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Source {
    /// The metrics interface.
    Metrics,
    /// The kubelets.
    Kubelets,
    /// Nobody.
    Nobody,
}

impl Source {
    /// In words, for who looks at the pool.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Metrics => "processor and memory by metrics.k8s.io",
            Self::Kubelets => "processor and memory by the kubelets",
            Self::Nobody => {
                "times only: there is no metrics.k8s.io, and nodes/proxy may not be asked"
            }
        }
    }
}

/// What a pod's container uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Used {
    pub cpu: Cpu,
    pub memory: Bytes,
    /// Which of its containers that is: they run one after the other.
    pub container: Run,
}

/// A run of a container: its number among its pod's, and when it began, where that is said. One that a
/// node began anew counts from nothing again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Run {
    pub number: u32,
    pub began: Option<Time>,
}

/// Processor time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cpu {
    /// So many billionths of a core, on average over the window before that moment.
    Rate { nanocores: u64, window: Span, at: Time },
    /// All of it since the container began.
    Total(Span),
}

/// What is remembered of an attempt between two words of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Meter {
    /// Until when its use is counted, where rates are said.
    until: Option<Time>,
    /// What is counted of each run of a container.
    counted: BTreeMap<Run, Span>,
}

impl Meter {
    pub(crate) const fn new() -> Self {
        Self { until: None, counted: BTreeMap::new() }
    }

    /// The processor time that a word of it adds to what is counted.
    pub(crate) fn add(&mut self, used: &Used) -> Span {
        let run = used.container;
        // Who says rates does not say when a container began: it is the one that is there.
        let unnamed = Run { began: None, ..run };
        if run.began.is_some()
            && let Some(counted) = self.counted.remove(&unnamed)
        {
            let known = self.counted.entry(run).or_default();
            *known = known.plus(counted);
        }
        let counted = self.counted.entry(run).or_default();
        let more = match used.cpu {
            Cpu::Total(total) => total.minus(*counted).max(Span::ZERO),
            Cpu::Rate { nanocores, window, at } => {
                let from = self.until.unwrap_or_else(|| at.plus(Span::ZERO.minus(window)));
                let over = at.since(from).max(Span::ZERO);
                if over > Span::ZERO {
                    self.until = Some(at);
                }
                let micros = i128::from(over.micros()) * i128::from(nanocores) / 1_000_000_000;
                Span::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
            }
        };
        *counted = counted.plus(more);
        more
    }
}

/// By namespace and pod.
pub(crate) type AllUsed = BTreeMap<(String, String), Used>;

/// Asks; `nodes` are those that run pods of ours.
pub(crate) async fn ask(
    client: &Client,
    agent: &str,
    namespaces: &[String],
    nodes: &[String],
) -> (Source, AllUsed) {
    let mut all = AllUsed::new();
    let mut source = Source::Nobody;
    for namespace in namespaces {
        let path = format!(
            "/apis/metrics.k8s.io/v1beta1/namespaces/{namespace}/pods?labelSelector={LABEL_AGENT}%3D{agent}"
        );
        if let Ok(list) = get::<MetricsList>(client, &path).await {
            source = Source::Metrics;
            all.extend(list.items.into_iter().filter_map(MetricsItem::read));
        }
    }
    if source == Source::Metrics {
        return (source, all);
    }
    let asking = nodes.iter().map(|node| async move {
        let path = format!("/api/v1/nodes/{node}/proxy/stats/summary");
        tokio::time::timeout(NODE_WITHIN, get::<Summary>(client, &path)).await
    });
    for (node, answer) in nodes.iter().zip(futures_util::future::join_all(asking).await) {
        match answer {
            Ok(Ok(summary)) => {
                source = Source::Kubelets;
                all.extend(summary.pods.into_iter().filter_map(PodStats::read));
            }
            Ok(Err(Answer::Refused(words))) => {
                tracing::debug!(node, words, "what pods use is not said");
            }
            // A node that does not answer says it later.
            Ok(Err(Answer::Missing | Answer::Taken | Answer::Unsure(_))) | Err(_) => {}
        }
    }
    (source, all)
}

/// Who would say what pods use: asked once, for people.
pub(crate) async fn source(client: &Client, namespace: Option<&str>) -> Source {
    let path = match namespace {
        Some(name) => format!("/apis/metrics.k8s.io/v1beta1/namespaces/{name}/pods?limit=1"),
        None => "/apis/metrics.k8s.io/v1beta1".to_owned(),
    };
    if get::<serde_json::Value>(client, &path).await.is_ok() {
        return Source::Metrics;
    }
    let attributes =
        serde_json::json!({ "verb": "get", "resource": "nodes", "subresource": "proxy" });
    match connect::may(client, &attributes).await {
        Some(true) => Source::Kubelets,
        Some(false) | None => Source::Nobody,
    }
}

async fn get<T: serde::de::DeserializeOwned>(client: &Client, path: &str) -> Result<T, Answer> {
    let request = http::Request::get(path).body(Vec::new()).expect("a path of names");
    let answer = client.request::<T>(request).await;
    answer.map_err(|error| connect::read(&error, "asking what pods use"))
}

/// `PodMetricsList` of `metrics.k8s.io/v1beta1`, as far as it is looked at.
#[derive(Deserialize)]
struct MetricsList {
    items: Vec<MetricsItem>,
}

#[derive(Deserialize)]
struct MetricsItem {
    metadata: Name,
    timestamp: jiff::Timestamp,
    window: String,
    #[serde(default)]
    containers: Vec<MetricsOf>,
}

#[derive(Deserialize)]
struct Name {
    name: String,
    #[serde(default)]
    namespace: String,
}

#[derive(Deserialize)]
struct MetricsOf {
    name: String,
    usage: BTreeMap<String, String>,
}

impl MetricsItem {
    fn read(self) -> Option<((String, String), Used)> {
        let (number, own) = newest(&self.containers, |of| &of.name)?;
        let container = Run { number, began: None };
        let nanocores = nano_floor(own.usage.get("cpu")?)?;
        let memory = Bytes(whole_floor(own.usage.get("memory")?)?);
        let window = window(&self.window)?;
        let at = Time::from_micros(self.timestamp.as_microsecond());
        let cpu = Cpu::Rate { nanocores, window, at };
        Some(((self.metadata.namespace, self.metadata.name), Used { cpu, memory, container }))
    }
}

/// Of the containers of a pod of ours the one that began last.
fn newest<T>(all: &[T], name: impl Fn(&T) -> &str) -> Option<(u32, &T)> {
    let ours = all.iter().filter_map(|one| Some((steps::number(name(one))?, one)));
    ours.max_by_key(|(number, _)| *number)
}

/// Reads a duration as Go writes it: `15s`, `10.062s`, `1m0s`.
fn window(text: &str) -> Option<Span> {
    let friendly = text.parse::<jiff::SignedDuration>().ok()?;
    i64::try_from(friendly.as_micros()).ok().map(Span::from_micros)
}

/// A kubelet's `/stats/summary`, as far as it is looked at.
#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    pods: Vec<PodStats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: Name,
    #[serde(default)]
    containers: Vec<ContainerStats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStats {
    name: String,
    /// When this run of it began.
    start_time: Option<jiff::Timestamp>,
    cpu: Option<CpuStats>,
    memory: Option<MemoryStats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CpuStats {
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MemoryStats {
    working_set_bytes: Option<u64>,
}

impl PodStats {
    fn read(self) -> Option<((String, String), Used)> {
        let (number, own) = newest(&self.containers, |of| &of.name)?;
        let began = own.start_time.map(|at| Time::from_micros(at.as_microsecond()));
        let container = Run { number, began };
        let nanos = own.cpu.as_ref()?.usage_core_nano_seconds?;
        let total = Span::from_micros(i64::try_from(nanos / 1_000).ok()?);
        let memory = own.memory.as_ref().and_then(|of| of.working_set_bytes).unwrap_or(0);
        let used = Used { cpu: Cpu::Total(total), memory: Bytes(memory), container };
        Some(((self.pod_ref.namespace, self.pod_ref.name), used))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_metrics_interface_is_read() {
        let list = json!({ "items": [{
            "metadata": { "name": "p", "namespace": "n" },
            "timestamp": "2026-01-01T00:00:30Z", "window": "15.062s",
            "containers": [
                { "name": "sidecar", "usage": { "cpu": "1", "memory": "1Gi" } },
                { "name": "task", "usage": { "cpu": "250000001n", "memory": "12Ki" } },
            ],
        }]});
        let list: MetricsList = serde_json::from_value(list).expect("a list");
        let (at, used) = list.items.into_iter().next().and_then(MetricsItem::read).expect("one");
        assert_eq!(at, ("n".to_owned(), "p".to_owned()));
        assert_eq!(used.memory, Bytes(12 << 10));
        let Cpu::Rate { nanocores, window, .. } = used.cpu else { panic!("a rate: {used:?}") };
        assert_eq!((nanocores, window), (250_000_001, Span::from_millis(15_062)));
        assert_eq!(super::window("1m30s"), Some(Span::from_secs(90)));
        assert_eq!(super::window("soon"), None);
    }

    #[test]
    fn a_kubelets_summary_is_read() {
        let summary = json!({ "node": {}, "pods": [
            { "podRef": { "name": "p", "namespace": "n", "uid": "u" }, "containers": [
                { "name": "task", "startTime": "2026-01-01T00:00:05Z", "cpu": { "usageNanoCores": 5, "usageCoreNanoSeconds": 2_500_000_000u64 },
                  "memory": { "workingSetBytes": 4096 } } ] },
            { "podRef": { "name": "starts", "namespace": "n" } },
        ]});
        let summary: Summary = serde_json::from_value(summary).expect("a summary");
        let all: AllUsed = summary.pods.into_iter().filter_map(PodStats::read).collect();
        let cpu = Cpu::Total(Span::from_millis(2_500));
        let began = "2026-01-01T00:00:05Z".parse::<jiff::Timestamp>().expect("a time");
        let began = Some(Time::from_micros(began.as_microsecond()));
        let container = Run { number: u32::MAX, began };
        let expect = Used { cpu, memory: Bytes(4_096), container };
        assert_eq!(all, [(("n".to_owned(), "p".to_owned()), expect)].into());
    }

    #[test]
    fn a_source_that_changes_counts_nothing_twice() {
        let at = |secs: i64| Time::from_micros(secs * 1_000_000);
        let mut meter = Meter::new();
        let mut add = |began: Option<i64>, cpu| {
            let container = Run { number: 0, began: began.map(at) };
            meter.add(&Used { cpu, memory: Bytes(0), container })
        };
        assert_eq!(add(Some(5), Cpu::Total(Span::from_secs(100))), Span::from_secs(100));
        let rate = Cpu::Rate { nanocores: 1_000_000_000, window: Span::from_secs(15), at: at(200) };
        assert_eq!(add(None, rate), Span::from_secs(15));
        assert_eq!(add(Some(5), Cpu::Total(Span::from_secs(120))), Span::from_secs(5));
    }

    #[test]
    fn no_word_is_counted_twice_and_nothing_shrinks() {
        let at = |secs: i64| Time::from_micros(secs * 1_000_000);
        let run = |number, began: Option<i64>| Run { number, began: began.map(at) };
        let of = |number, cpu| Used { cpu, memory: Bytes(0), container: run(number, None) };
        let rate = |secs, nanocores| {
            let window = Span::from_secs(15);
            of(0, Cpu::Rate { nanocores, window, at: at(secs) })
        };
        let mut meter = Meter::default();
        assert_eq!(meter.add(&rate(100, 500_000_000)), Span::from_millis(7_500));
        assert_eq!(meter.add(&rate(100, 500_000_000)), Span::ZERO, "the same word");
        assert_eq!(meter.add(&rate(90, 500_000_000)), Span::ZERO, "an older one");
        assert_eq!(meter.add(&rate(130, 1_000_000_000)), Span::from_secs(30));
        let secs = Span::from_secs;
        let mut meter = Meter::default();
        let total = |container, of_cpu| of(container, Cpu::Total(secs(of_cpu)));
        assert_eq!(meter.add(&total(0, 5)), secs(5));
        assert_eq!(meter.add(&total(0, 5)), Span::ZERO, "it was counted before");
        // The next step's own begins with nothing, and is more.
        assert_eq!(meter.add(&total(1, 2)), secs(2));
        assert_eq!(meter.add(&total(1, 3)), secs(1));
        // A late word of the step before adds nothing that is known, and what is not.
        assert_eq!(meter.add(&total(0, 4)), Span::ZERO);
        assert_eq!(meter.add(&total(0, 5)), Span::ZERO);
        assert_eq!(meter.add(&total(0, 6)), secs(1));
        assert_eq!(meter.add(&total(1, 3)), Span::ZERO);
        // One that was begun anew counts from nothing, and is more.
        let again = |began, of_cpu| Used { container: run(7, Some(began)), ..total(7, of_cpu) };
        let mut meter = Meter::default();
        assert_eq!(meter.add(&again(1, 5)), secs(5));
        assert_eq!(meter.add(&again(60, 2)), secs(2));
        assert_eq!(meter.add(&again(1, 5)), Span::ZERO, "a late word");
        // Rates came first, of the same container: its total is not added to them.
        let mut meter = Meter::default();
        assert_eq!(meter.add(&rate(100, 1_000_000_000)), secs(15));
        let named = Used { container: run(0, Some(80)), ..total(0, 20) };
        assert_eq!(meter.add(&named), secs(5));
        assert_eq!(meter.add(&named), Span::ZERO);
    }
}
