//! Whoever brings inputs from afar and sends outputs there, for all attempts of an agent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayan_units::AttemptId;
use dayan_wire::LeaseOrder;
use futures_util::FutureExt as _;
use tokio::sync::Semaphore;

use super::Guard;
use super::cache::Cache;
use super::keeping::{self, Keeping};
#[cfg(feature = "s3")]
use super::objects::Objects;
use super::progress::{Desk, Going};
use super::ship::Manifest;
use super::snag::Snag;
use super::store::Store;
use super::watch::Watches;
use super::web::{Reach, Web};

/// Files that are copied at once for all attempts together: a site's link is full long before, and
/// each holds a few MiB of memory.
const SLOTS: usize = 8;

/// What the cache holds, and by what number that is known; none where it is still known by the one given.
pub(crate) type Holdings = Box<dyn Fn(Option<u64>) -> Option<(u64, BTreeSet<String>)> + Send>;

/// The courier.
pub(crate) struct Courier {
    pub(super) store: Store,
    pub(super) web: Web,
    pub(super) cache: Arc<Cache>,
    pub(super) slots: Semaphore,
    /// For how long what a job names is asked again before its task starts.
    pub(super) start_patience: Duration,
    pub(super) watches: Watches,
    /// Since when results wait to be published.
    pub(super) keeping: Keeping,
    desk: Desk,
    /// What was sent for attempts that wait for their grant.
    pub(super) manifests: Mutex<BTreeMap<AttemptId, Manifest>>,
    /// What is remembered of object stores.
    #[cfg(feature = "s3")]
    pub(super) objects: Objects,
}

/// What the operator says about copying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CourierConfig {
    pub(crate) cache_bytes: u64,
    pub(crate) reach: Reach,
    pub(crate) start_patience: Duration,
}

impl Courier {
    /// With its cache below `data`.
    pub(crate) fn open(data: &Path, config: CourierConfig, store: Store) -> Result<Self, String> {
        let root = data.join("cache");
        let cache = Cache::open(&root, config.cache_bytes)
            .map_err(|error| format!("{}: {error}", root.display()))?;
        Ok(Self {
            web: Web::new(config.reach)?,
            cache: Arc::new(cache),
            slots: Semaphore::new(SLOTS),
            start_patience: config.start_patience,
            watches: Watches::default(),
            keeping: Keeping::open(data.join("publishing"))?,
            desk: Desk::new(store.clone()),
            store,
            manifests: Mutex::default(),
            #[cfg(feature = "s3")]
            objects: Objects::open(data.join("outbox"))?,
        })
    }

    /// What the site's cache holds, for the exchange: asked whenever something is told.
    pub(crate) fn holdings(&self) -> Holdings {
        let cache = Arc::clone(&self.cache);
        Box::new(move |known| cache.holdings(known))
    }

    /// Copying for an attempt begins.
    pub(crate) fn begin(&self, attempt: AttemptId) -> Going {
        self.desk.begin(attempt)
    }

    /// The results of an attempt are there: until when they may be published, at the latest.
    pub(super) fn publishing(&self, attempt: AttemptId, guard: &Guard) -> Guard {
        let began = self.keeping.begin(attempt, keeping::now());
        guard.within(began.plus(keeping::PUBLISHED_WITHIN))
    }

    /// What the attempt's secrets say, if it names any.
    pub(crate) async fn secrets(
        &self,
        order: &LeaseOrder,
        guard: &Guard,
    ) -> Result<BTreeMap<String, String>, Snag> {
        let data = order.inputs.iter().chain(&order.outputs);
        if order.secrets.is_empty() && data.into_iter().all(|data| data.secret.is_none()) {
            return Ok(BTreeMap::new());
        }
        self.patiently(guard, || self.store.secrets(order.attempt).boxed()).await
    }
}

/// The environment variables whose values are secrets.
pub(crate) fn secret_env(
    order: &LeaseOrder,
    secrets: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, String> {
    order
        .secrets
        .iter()
        .map(|(variable, name)| {
            let value = secrets.get(name).ok_or_else(|| super::fetch::no_secret(name))?;
            Ok((variable.clone(), value.clone()))
        })
        .collect()
}
