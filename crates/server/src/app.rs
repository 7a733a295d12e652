//! What every request handler is handed.

use std::sync::Arc;

use dayan_exchange::{Actor, Command, Digest, Made};
use dayan_store::Reader;
use dayan_topology::Topology;
use dayan_units::Time;
use ed25519_dalek::SigningKey;
use sha2::{Digest as _, Sha256};

use crate::clock::SharedClock;
use crate::data::{CopyingDesk, Depot, Vault};
use crate::hub::Hub;
use crate::loads::Loads;
use crate::logs::LogKeeper;
use crate::metrics::Metrics;
use crate::planner::PlannerHandle;
use crate::problem::Failure;
use crate::views::Secrets;
use crate::writer::Writer;

/// The server's parts, shared by all requests.
#[derive(Debug)]
pub struct App {
    /// Decides and commits.
    pub writer: Writer,
    /// Answers what-if questions.
    pub planner: PlannerHandle,
    /// Reads the tables.
    pub reader: ReaderHandle,
    /// Whom secrets speak for.
    pub secrets: Arc<Secrets>,
    /// Who waits for what.
    pub hub: Arc<Hub>,
    /// Logs of what has ended.
    pub logs: Arc<LogKeeper>,
    /// Exchange time.
    pub clock: SharedClock,
    /// Signs quotes.
    pub signing: SigningKey,
    /// Delays between places.
    pub network: Arc<Topology>,
    /// Where the data store is: a city, by the network's name.
    pub data_place: Option<String>,
    /// Agents that have said since this server started what their sites' caches hold.
    pub holders: std::sync::Mutex<std::collections::BTreeSet<dayan_units::AgentId>>,
    /// The data store, where this exchange has one.
    pub depot: Option<Arc<Depot>>,
    /// Secrets of projects, beside it.
    pub vault: Option<Arc<Vault>>,
    /// How far agents' copying is.
    pub copying: CopyingDesk,
    /// What others do in pools.
    pub loads: Loads,
    /// Counters for Prometheus.
    pub metrics: Arc<Metrics>,
    /// SHA-256 of the certificate, in hex; none on plain HTTP.
    pub fingerprint: Option<String>,
    /// How often running attempts tell their use, ms.
    pub usage_every_ms: u32,
}

/// The reader, with a `Debug` that says nothing.
pub struct ReaderHandle(pub Reader);

impl std::fmt::Debug for ReaderHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reader")
    }
}

/// How handlers are handed it.
pub type Shared = Arc<App>;

/// SHA-256 of a secret.
pub fn digest(secret: &str) -> Digest {
    Digest(Sha256::digest(secret.as_bytes()).into())
}

impl App {
    /// Has a command decided for an actor.
    pub async fn command(&self, actor: Actor, command: Command) -> Result<Made, Failure> {
        Ok(self.writer.command(actor, command).await??)
    }

    /// Reads from the tables on a thread that may block.
    pub async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, dayan_store::Fault> + Send + 'static,
    ) -> Result<T, Failure> {
        let reader = self.reader.0.clone();
        let joined = tokio::task::spawn_blocking(move || read(&reader)).await;
        joined
            .map_err(|_| Failure::from(crate::writer::Unavailable::Stopping))?
            .map_err(Failure::from)
    }

    /// Exchange time.
    pub fn now(&self) -> Time {
        self.clock.now()
    }
}
