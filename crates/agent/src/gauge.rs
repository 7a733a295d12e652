//! Measuring the machine once it has joined, behind everything else that runs on it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use dayan_engines::wall_now;
use dayan_measure::{Measurement, Sharing};
use dayan_units::Span;
use tokio::sync::{mpsc, oneshot};

use crate::home::{Home, Membership};
use crate::kernels::network::{self, Transport};
use crate::kernels::{Cancel, Effort, Host, Reading, gpu, measure_host};
use crate::link::{Link, LinkFault};

/// How long a value stands. Hardware does not change by itself, but it ages, and cooling fails.
const VALID_FOR: Span = Span::from_secs(30 * 24 * 3_600);
/// Measured again after this time, when the agent is started then.
const AGAIN_AFTER: Span = Span::from_secs(7 * 24 * 3_600);
/// The least urgent there is: a task of a consumer comes first.
const NICENESS: i32 = 19;

/// A measurement under way; ends early when it is dropped.
pub(crate) struct Gauge(Cancel);

impl Drop for Gauge {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Measures until it is done or cancelled.
pub(crate) type Kernels = Box<dyn FnOnce(&Cancel) -> Vec<Reading> + Send>;

/// What is measured, and how.
pub(crate) struct Order {
    /// Measures the machine itself, on a thread of its own.
    pub(crate) kernels: Kernels,
    pub(crate) sharing: Sharing,
    /// Digest of its inventory.
    pub(crate) inventory: String,
    pub(crate) link: Arc<Link>,
    pub(crate) home: Weak<Home>,
    pub(crate) membership: Membership,
}

/// The kernels for this machine: processor, memory, the disk under `dir`, and its cards.
pub(crate) fn kernels(host: Host, dir: PathBuf) -> Kernels {
    Box::new(move |cancel| {
        let mut readings = measure_host(&host, &dir, Effort::Quick, cancel);
        readings.extend(gpu::measure(Effort::Quick, cancel));
        readings
    })
}

/// Is it time to measure the machine with this inventory? What was measured of another one is void.
pub(crate) fn is_due(membership: &Membership, inventory: &str) -> bool {
    membership.measured.as_deref() != Some(inventory)
        || membership.measured_at.is_none_or(|at| wall_now() > at.plus(AGAIN_AFTER))
}

/// Begins to measure; the values come over `measured`.
pub(crate) fn begin(order: Order, measured: mpsc::Sender<Vec<Measurement>>) -> Gauge {
    let cancel = Cancel::new();
    let gauge = Gauge(cancel.clone());
    let Order { kernels, sharing, inventory, link, home, membership } = order;
    let (tell, told) = oneshot::channel();
    let own = cancel.clone();
    let thread = std::thread::Builder::new().name("gauge".to_owned()).spawn(move || {
        // On Linux this is the calling thread and those it starts. Refused, it is only impolite.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let readings = kernels(&own);
        // The agent has ended: nobody wants them.
        let _ = tell.send(readings);
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "the machine is not measured");
    }
    tokio::spawn(async move {
        let Ok(mut readings) = told.await else { return };
        let layer = link.layer();
        let mut way = Way { link: &link, token: &membership.token, noise: Vec::new() };
        let trips = network::measure(&mut way, layer, Effort::Quick, &cancel).await;
        readings.extend(trips.into_iter().map(|reading| labelled(reading, layer)));
        if cancel.is_cancelled() {
            return;
        }
        let at = wall_now();
        let values: Vec<Measurement> = readings
            .iter()
            .filter_map(|reading| reading.measurement(at, VALID_FOR, sharing))
            .collect();
        tracing::info!(values = values.len(), "the machine is measured");
        // The folder may be another agent's by now; it is not kept locked for this.
        if measured.send(values).await.is_ok()
            && let Some(home) = home.upgrade()
        {
            let measured = Some(inventory);
            let membership = Membership { measured_at: Some(at), measured, ..membership };
            if let Err(fault) = home.remember(&membership) {
                tracing::warn!(%fault, "will be measured again");
            }
        }
    });
    gauge
}

/// A round trip that never left the machine says nothing of a link: its method says so, and values
/// of different methods are not compared.
fn labelled(mut reading: Reading, layer: &str) -> Reading {
    if layer == LOOPBACK {
        reading.method = format!("{}.{LOOPBACK}", reading.method).into();
    }
    reading
}

/// The layer of probes between programs of one machine.
pub(crate) const LOOPBACK: &str = "loopback";

/// The way to the exchange, as the kernels see it.
struct Way<'a> {
    link: &'a Link,
    token: &'a str,
    /// What is sent, made once: making it is not what is measured.
    noise: Vec<u8>,
}

impl Transport for Way<'_> {
    type Error = LinkFault;
    async fn round_trip(&mut self) -> Result<(), LinkFault> {
        self.link.knock().await
    }
    async fn send(&mut self, bytes: usize) -> Result<(), LinkFault> {
        if self.noise.len() != bytes {
            self.noise = dayan_wire::noise(bytes);
        }
        self.link.give(self.token, self.noise.clone()).await
    }
    async fn receive(&mut self, bytes: usize) -> Result<(), LinkFault> {
        self.link.take(self.token, bytes).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_measure::Attribute;

    async fn exchange() -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let take = async |query: axum::extract::RawQuery| {
            let bytes = query.0.and_then(|query| query.strip_prefix("bytes=")?.parse().ok());
            dayan_wire::noise(bytes.expect("how many"))
        };
        let give = async |body: axum::body::Bytes| body.len().to_string();
        let probe = axum::routing::get(take).post(give);
        let app = axum::Router::new()
            .route("/v1/health", axum::routing::get(async || "ok"))
            .route("/v1/agent/probe", probe);
        tokio::spawn(async move { axum::serve(listener, app).await });
        format!("http://{address}")
    }

    fn reading(_cancel: &Cancel) -> Vec<Reading> {
        let value = |attribute, measured| Reading {
            attribute,
            device: None,
            nominal: None,
            measured,
            spread_permille: None,
            method: "m".into(),
            version: 1,
            took: Span::ZERO,
            note: String::new(),
        };
        vec![value(Attribute::CpuCores, Some(7)), value(Attribute::DiskFsync, None)]
    }

    #[tokio::test]
    async fn what_was_measured_is_told_and_its_date_noted() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = Arc::new(Home::open(dir.path()).expect("free"));
        let link = Arc::new(Link::new(&exchange().await, None).expect("an address"));
        let membership = Membership {
            agent: "a".to_owned(),
            pool: "p".to_owned(),
            crn: "c".to_owned(),
            token: "t".to_owned(),
            exchange: "e".to_owned(),
            url: "u".to_owned(),
            fingerprint: None,
            measured_at: None,
            measured: None,
        };
        assert!(is_due(&membership, "one"));
        let order = || Order {
            kernels: Box::new(reading),
            sharing: Sharing::Shared,
            inventory: "one".to_owned(),
            link: Arc::clone(&link),
            home: Arc::downgrade(&home),
            membership: membership.clone(),
        };
        let (tell, mut told) = mpsc::channel(1);
        let gauge = begin(order(), tell);
        let values = told.recv().await.expect("values");
        let of = |attribute| values.iter().find(|value| value.attribute == attribute);
        let cores = of(Attribute::CpuCores).expect("measured");
        assert_eq!((cores.measured, cores.sharing), (7, Sharing::Shared));
        assert!(of(Attribute::DiskFsync).is_none(), "what has no value is not told");
        for way in [Attribute::NetUp, Attribute::NetDown] {
            let way = of(way).expect("measured");
            assert_eq!(way.method.name, "single-stream.loopback");
        }
        let trip = of(Attribute::NetRoundTripP50).expect("measured");
        assert_eq!(trip.method.name, "request-response.loopback");
        // It is told that all is over by hanging up.
        assert!(told.recv().await.is_none());
        let noted = home.membership().expect("whole").expect("there");
        assert!(!is_due(&noted, "one"));
        assert!(is_due(&noted, "another"), "a machine with another card");
        drop(gauge);

        let (tell, mut told) = mpsc::channel(1);
        drop(begin(order(), tell));
        assert!(told.recv().await.is_none(), "cancelled");
    }
}
