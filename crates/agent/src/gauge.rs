//! Measuring the machine once it has joined, behind everything else that runs on it.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use dayan_engines::wall_now;
use dayan_measure::{Measurement, Sharing};
use dayan_units::{Span, Time};
use tokio::sync::{mpsc, oneshot};

use crate::home::{Home, Membership};
use crate::kernels::network::{self, Transport};
use crate::kernels::{Cancel, Effort, Host, Reading, measure_host};
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

/// What is measured, and how.
pub(crate) struct Order {
    pub(crate) host: Host,
    pub(crate) dir: PathBuf,
    pub(crate) sharing: Sharing,
    pub(crate) link: Arc<Link>,
    pub(crate) home: Weak<Home>,
    pub(crate) membership: Membership,
}

/// Is it time to measure?
pub(crate) fn is_due(measured_at: Option<Time>) -> bool {
    measured_at.is_none_or(|at| wall_now() > at.plus(AGAIN_AFTER))
}

/// Begins to measure; the values come over `measured`.
pub(crate) fn begin(order: Order, measured: mpsc::Sender<Vec<Measurement>>) -> Gauge {
    let cancel = Cancel::new();
    let gauge = Gauge(cancel.clone());
    let Order { host, dir, sharing, link, home, membership } = order;
    let (tell, told) = oneshot::channel();
    let own = cancel.clone();
    let thread = std::thread::Builder::new().name("gauge".to_owned()).spawn(move || {
        // On Linux this is the calling thread and those it starts. Refused, it is only impolite.
        let _ = rustix::process::setpriority_process(None, NICENESS);
        let readings = measure_host(&host, &dir, Effort::Quick, &own);
        // The agent has ended: nobody wants them.
        let _ = tell.send(readings);
    });
    if let Err(error) = thread {
        tracing::warn!(%error, "the machine is not measured");
    }
    tokio::spawn(async move {
        let Ok(mut readings) = told.await else { return };
        let layer = link.layer();
        let mut way = Way { link: &link };
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
            let membership = Membership { measured_at: Some(at), ..membership };
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
}

impl Transport for Way<'_> {
    type Error = LinkFault;
    async fn round_trip(&mut self) -> Result<(), LinkFault> {
        self.link.knock().await
    }
    async fn send(&mut self, _bytes: usize) -> Result<(), LinkFault> {
        Err(LinkFault::Rejected("the exchange offers no probe of throughput".to_owned()))
    }
    async fn receive(&mut self, _bytes: usize) -> Result<(), LinkFault> {
        Err(LinkFault::Rejected("the exchange offers no probe of throughput".to_owned()))
    }
}
