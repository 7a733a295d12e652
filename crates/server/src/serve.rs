//! Starting and stopping the whole: store, writer, planner, shadow, timers, HTTP.

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dayan_exchange::{Actor, Command, Settings};
use dayan_store::{Location, OpenMode, Store};
use dayan_units::TaskId;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::app::{App, ReaderHandle, digest};
use crate::clock::SharedClock;
use crate::data::{CopyingDesk, Depot, Vault};
use crate::files;
use crate::hub::Hub;
use crate::loads::Loads;
use crate::logs::{LogKeeper, LogLimits};
use crate::metrics::Metrics;
use crate::planner::{self, PlannerHandle};
use crate::random::{RequestIds, secret};
use crate::shadow::Shadow;
use crate::tls::{self, Tls, TlsMode};
use crate::views::Secrets;
use crate::writer::{self, Published, Writer, WriterConfig};

/// How long a stop waits for answers under way.
const STOP_WITHIN: Duration = Duration::from_secs(10);
/// A client that does not finish its TLS handshake by then is dropped.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How often data that nobody names is looked for: what is kept for a week may stay an hour more.
const SWEEP_EVERY: Duration = Duration::from_hours(1);

/// What a server is started with.
#[derive(Clone, Debug)]
pub struct ServeConfig {
    /// Keys, certificate, and the embedded database unless another is named.
    pub data: PathBuf,
    /// `postgres://…`; none: SQLite in the data folder.
    pub database_url: Option<String>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// How to speak.
    pub tls: TlsMode,
    /// The name of a new exchange.
    pub name: String,
    /// The settings of a new exchange.
    pub settings: Settings,
    /// How often running attempts tell their use.
    pub usage_every: Duration,
    /// A file of measured links between places; none: what is published and modelled.
    pub links: Option<PathBuf>,
    /// How much is kept of the logs of what has ended.
    pub logs: LogLimits,
    /// Where files of projects and their secrets are kept; none: in the data folder, and with
    /// PostgreSQL, where several servers need the same, nowhere.
    pub data_store: Option<PathBuf>,
    /// The city where that is, by which the planner judges how long inputs take; none: it does not.
    pub data_place: Option<String>,
    /// The most bytes a project may keep there.
    pub data_per_project: u64,
}

/// A server that answers.
#[derive(Clone, Debug)]
pub struct Serving {
    /// Where, with the port that was taken.
    pub url: String,
    /// SHA-256 of its certificate, in hex; none on plain HTTP.
    pub fingerprint: Option<String>,
    /// Where the operator's first token is, if this start made it.
    pub operator_token: PathBuf,
}

/// Why a server did not start, or ended.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServeFault(String);

impl From<String> for ServeFault {
    fn from(text: String) -> Self {
        Self(text)
    }
}

struct Threads {
    writer: Writer,
    planner: PlannerHandle,
    shadow: Shadow,
    handles: Vec<std::thread::JoinHandle<()>>,
}

/// Makes the key that an exchange signs quotes with where it is missing, and says where. What was
/// signed with the one that was there cannot be verified any more.
pub fn new_key(data: &Path) -> Result<Option<PathBuf>, ServeFault> {
    files::new_key(data).map_err(ServeFault)
}

/// Serves until `shutdown` resolves. `ready` is called once, when requests are answered.
pub async fn serve(
    config: ServeConfig,
    ready: impl FnOnce(&Serving) + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeFault> {
    files::private_folder(&config.data)?;
    let tls = tls(&config)?;
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        let listen = config.listen;
        format!("cannot listen on {listen}: {error}; name another address with --listen")
    })?;
    let address = listener.local_addr().map_err(|error| error.to_string())?;
    let owned = config.clone();
    let fingerprint = tls.as_ref().map(|tls| tls.fingerprint.clone());
    let print = fingerprint.clone();
    let started = tokio::task::spawn_blocking(move || start(&owned, print));
    let (app, threads) = started.await.map_err(|error| error.to_string())??;
    let operator_token = found(&app, &config).await?;
    let timers = tokio::spawn(crate::timers::run(app.writer.clone(), app.planner.clone()));
    let keeper = (app.logs.clone(), app.clock.clone(), app.metrics.clone());
    let trimming = tokio::spawn(crate::logs::trim_for_ever(keeper.0, keeper.1, keeper.2));
    let sweeping = tokio::spawn(sweep(app.clone()));
    let scheme = if tls.is_some() { "https" } else { "http" };
    let serving = Serving { url: format!("{scheme}://{address}"), fingerprint, operator_token };
    ready(&serving);
    let writer = app.writer.clone();
    let mut deposed = false;
    let end = async {
        tokio::select! {
            () = shutdown => {}
            () = writer.ended() => deposed = true,
        }
    };
    accept(&app, listener, tls, end).await;
    timers.abort();
    trimming.abort();
    sweeping.abort();
    // The data store is closed with the last who holds it: the next server may be waiting for it.
    let _ = sweeping.await;
    stop(threads).await;
    if deposed {
        return Err(ServeFault(
            "another server has taken over these books, so this one has stopped; its clients \
             should turn to the other"
                .to_owned(),
        ));
    }
    Ok(())
}

fn tls(config: &ServeConfig) -> Result<Option<Tls>, String> {
    let host = config.listen.ip().to_string();
    match &config.tls {
        TlsMode::Off => Ok(None),
        TlsMode::Auto if config.listen.ip().is_loopback() => Ok(None),
        TlsMode::Auto | TlsMode::SelfSigned => tls::self_signed(&config.data, &host).map(Some),
        TlsMode::Files(chain, key) => tls::from_files(chain, key).map(Some),
    }
}

fn start(config: &ServeConfig, fingerprint: Option<String>) -> Result<(Arc<App>, Threads), String> {
    // Before the books are opened: a typing error in a file of links takes no term from anybody.
    let network = crate::links::network(config.links.as_deref())?;
    let place = |name: &String| {
        let found = dayan_topology::PlaceId::find(name);
        found.map_err(|unknown| format!("--data-place: {unknown}")).map(|place| place.to_string())
    };
    let data_place = config.data_place.as_ref().map(place).transpose()?;
    let location = match &config.database_url {
        Some(url) => Location::Postgres(url.clone()),
        None => Location::Sqlite(config.data.clone()),
    };
    let chain = |fault: dayan_store::Fault| writer::chain(&fault);
    let absent = absent_data(config);
    // Before the books are opened: who cannot open the data takes no term from anybody.
    let (depot, vault) = data_store(config)?.unzip();
    let mut store = Store::open(&location, OpenMode::Write).map_err(chain)?;
    // Before the lead is taken: who cannot start takes it from nobody.
    let books = if store.head().seq == 0 { files::Books::New } else { files::Books::Begun };
    let signing = files::signing_key(&config.data, books)?;
    if let (files::Books::Begun, [_, ..]) = (&books, &absent[..]) {
        let absent = absent.join(" and ");
        tracing::warn!(
            "these books have begun, and {absent} was not here: files and secrets that projects \
             kept are gone unless it is put back (stop the exchange first)"
        );
    }
    let holder = format!("{}@{}", std::process::id(), config.listen);
    let term = store.take_term(&holder, crate::clock::wall()).map_err(chain)?;
    let reader = ReaderHandle(store.reader());
    let logs = dayan_store::Logs::open(&location).map_err(chain)?;
    let (shadow, shadow_thread) =
        Shadow::start(store.snapshots()).map_err(|error| error.to_string())?;
    let secrets = Arc::new(Secrets::default());
    let hub = Arc::new(Hub::default());
    let metrics = Arc::new(Metrics::default());
    let clock = SharedClock::unset();
    let (planner, planner_start) = planner::prepare();
    let publish = publisher(&planner, &shadow, &secrets, &hub, &metrics);
    let mut ids = RequestIds::new();
    let id_clock = clock.clone();
    let (writer, writer_thread) = writer::start(WriterConfig {
        store,
        term,
        clock: clock.clone(),
        request_ids: Box::new(move || ids.next(id_clock.now())),
        publish,
    })?;
    let network = Arc::new(network);
    let planner_thread = planner_start
        .run(writer.clone(), clock.clone(), network.clone())
        .map_err(|error| error.to_string())?;
    let app = Arc::new(App {
        writer: writer.clone(),
        planner: planner.clone(),
        reader,
        secrets,
        hub,
        logs: Arc::new(LogKeeper::new(logs, config.logs)),
        clock,
        signing,
        network,
        data_place,
        holders: std::sync::Mutex::default(),
        depot,
        vault,
        copying: CopyingDesk::default(),
        loads: Loads::default(),
        metrics,
        fingerprint,
        usage_every_ms: u32::try_from(config.usage_every.as_millis()).unwrap_or(u32::MAX),
    });
    let handles = vec![writer_thread, planner_thread, shadow_thread];
    Ok((app, Threads { writer, planner, shadow, handles }))
}

/// Files of projects, and their secrets.
type DataStore = (Arc<Depot>, Arc<Vault>);

/// What the data store is made of and is not there, before it is made anew.
fn absent_data(config: &ServeConfig) -> Vec<String> {
    let Some(folder) = data_folder(config) else { return Vec::new() };
    let parts = [folder, config.data.join("secrets.key")].into_iter();
    parts.filter(|path| !path.exists()).map(|path| path.display().to_string()).collect()
}

/// With books in PostgreSQL a folder of one server is not enough, so it has to be named.
fn data_folder(config: &ServeConfig) -> Option<PathBuf> {
    match (&config.data_store, &config.database_url) {
        (Some(folder), _) => Some(folder.clone()),
        (None, None) => Some(config.data.join("store")),
        (None, Some(_)) => None,
    }
}

/// The data store and the secrets beside it.
fn data_store(config: &ServeConfig) -> Result<Option<DataStore>, String> {
    let Some(folder) = data_folder(config) else { return Ok(None) };
    let depot = Depot::open(&folder, config.data_per_project)?;
    let vault = Vault::open(&folder.join("secrets"), &config.data.join("secrets.key"))?;
    Ok(Some((Arc::new(depot), Arc::new(vault))))
}

/// Removes checkpoints that no task will go on from: it has succeeded, or its job has left memory, after
/// which nothing of it can be tried again.
async fn drop_checkpoints(app: &Arc<App>, depot: &Arc<Depot>) {
    let saved = {
        let depot = Arc::clone(depot);
        tokio::task::spawn_blocking(move || depot.saved_tasks()).await.unwrap_or_default()
    };
    if saved.is_empty() {
        return;
    }
    // Asked after the look: a job whose task has saved is known by then.
    let of_no_use = app.writer.ask(move |live| {
        let jobs = &live.state.work.jobs;
        let done =
            |task: &TaskId| jobs.get(&task.job).is_none_or(|job| job.succeeded.contains(task.task));
        saved.into_iter().filter(|(_, task)| done(task)).collect::<Vec<_>>()
    });
    let Ok(of_no_use) = of_no_use.await else { return };
    let depot = Arc::clone(depot);
    let dropping = tokio::task::spawn_blocking(move || {
        for (project, task) in of_no_use {
            if let Err(fault) = depot.drop_checkpoints(project, task) {
                tracing::warn!(%fault, %task, "its checkpoints were not removed");
            }
        }
    });
    // A panic was said on standard error already; the next sweep tries again.
    let _ = dropping.await;
}

/// Removes bytes that nobody names any more, now and then.
async fn sweep(app: Arc<App>) {
    let Some(depot) = app.depot.clone() else { return };
    loop {
        drop_checkpoints(&app, &depot).await;
        let (depot, now) = (depot.clone(), app.now());
        let swept = tokio::task::spawn_blocking(move || depot.sweep(now)).await;
        match swept {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(files)) => tracing::info!(files, "removed data that nobody names"),
            Ok(Err(fault)) => tracing::warn!(%fault, "the data store was not swept"),
        }
        tokio::time::sleep(SWEEP_EVERY).await;
    }
}

/// Tells everyone who follows the journal, in the order in which they must know: who may act
/// before anyone acts on it.
fn publisher(
    planner: &PlannerHandle,
    shadow: &Shadow,
    secrets: &Arc<Secrets>,
    hub: &Arc<Hub>,
    metrics: &Arc<Metrics>,
) -> Box<dyn FnMut(Published) + Send> {
    let (planner, shadow) = (planner.clone(), shadow.clone());
    let (secrets, hub, metrics) = (secrets.clone(), hub.clone(), metrics.clone());
    Box::new(move |published| match published {
        Published::Batch { batch, changes, effects, micros } => {
            if !batch.entries.is_empty() {
                secrets.take(&batch.entries);
                shadow.batch(batch.clone());
                hub.publish(&batch);
                metrics.batch_seconds.observe(micros as f64 / 1e6);
                count(&metrics, &planner, &batch);
            }
            planner.changes(changes);
            for effect in effects {
                let dayan_exchange::Effect::WakeAgent(agent) = effect;
                hub.wake(agent);
            }
        }
        Published::Reloaded { changes, state, seq } => {
            secrets.reset(&state);
            planner.reset(changes);
            shadow.reset(state, seq);
            hub.wake_all();
        }
    })
}

fn count(metrics: &Metrics, planner: &PlannerHandle, batch: &writer::Batch) {
    use dayan_exchange::Event;
    metrics.batches.inc();
    let mut money_moved = false;
    let bill = |line: &dayan_exchange::Line| {
        metrics.billed.inc_by(u64::try_from(line.amount.0).unwrap_or(0));
    };
    for event in batch.entries.iter().flat_map(|entry| &entry.events) {
        metrics.events.inc();
        match event {
            Event::WindowClosed { line, .. } => bill(line),
            Event::AttemptEnded { released, line, .. } => {
                metrics.attempts_ended.inc();
                line.iter().for_each(bill);
                money_moved |= released.0 > 0;
            }
            Event::Preempted { victims, .. } => {
                metrics.attempts_preempted.inc_by(victims.len() as u64);
            }
            Event::Deposited { .. } | Event::BudgetSet { .. } => money_moved = true,
            _ => {}
        }
    }
    if money_moved {
        planner.money_moved();
    }
}

/// Founds a new exchange: its first operator token is left in the data folder.
async fn found(app: &Arc<App>, config: &ServeConfig) -> Result<PathBuf, String> {
    let path = config.data.join("operator.token");
    let unavailable = |unavailable: writer::Unavailable| unavailable.to_string();
    let founded =
        app.writer.ask(|live| live.state.exchange.is_some()).await.map_err(unavailable)?;
    if founded {
        return Ok(path);
    }
    let token = secret("dyt");
    files::write_private(&path, token.as_bytes())?;
    let command = Command::Found {
        name: config.name.clone(),
        operator_token: digest(&token),
        settings: config.settings,
    };
    app.writer
        .command(Actor::System, command)
        .await
        .map_err(unavailable)?
        .map_err(|refusal| refusal.to_string())?;
    Ok(path)
}

async fn accept(
    app: &Arc<App>,
    listener: TcpListener,
    tls: Option<Tls>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let router = crate::http::router(app.clone());
    let acceptor = tls.map(|tls| tokio_rustls::TlsAcceptor::from(tls.config));
    let tracker = TaskTracker::new();
    let closing = tokio_util::sync::CancellationToken::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, mostly: serve those who are here first.
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        drop(stream.set_nodelay(true));
        let (router, acceptor, closing) = (router.clone(), acceptor.clone(), closing.clone());
        tracker.spawn(async move {
            let service = TowerToHyperService::new(router);
            match acceptor {
                None => connection(TokioIo::new(stream), service, closing).await,
                Some(acceptor) => {
                    let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream));
                    if let Ok(Ok(stream)) = handshake.await {
                        connection(TokioIo::new(stream), service, closing).await;
                    }
                }
            }
        });
    }
    tracker.close();
    closing.cancel();
    app.hub.close();
    drop(tokio::time::timeout(STOP_WITHIN, tracker.wait()).await);
}

async fn connection<I>(
    io: I,
    service: TowerToHyperService<axum::Router>,
    closing: tokio_util::sync::CancellationToken,
) where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let builder = Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(io, service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        // A client that went away is no news.
        result = connection.as_mut() => drop(result),
        () = closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            drop(connection.await);
        }
    }
}

/// Stops the threads in the order in which they feed each other.
async fn stop(threads: Threads) {
    threads.planner.stop();
    threads.writer.stop().await;
    threads.shadow.stop();
    drop(
        tokio::task::spawn_blocking(move || {
            for handle in threads.handles {
                drop(handle.join());
            }
        })
        .await,
    );
}
