//! From a configuration to a running agent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayan_engines::{BootClock, Devices, EngineInfo, EngineKind, Isolation, Network};
use dayan_wire::JoinToken;
use tokio::sync::mpsc;

use crate::cluster::Cluster;
use crate::config::{AgentConfig, EngineChoice, IsolationChoice, Measuring, PrivateData};
use crate::fault::AgentFault;
use crate::gauge::{self, Gauge};
use crate::home::{Home, Membership};
use crate::identity::Key;
use crate::images::{ImageWords, Images};
use crate::inventory::{self, Machines, Offered, Picture, Staging};
use crate::join::{Introduction, join};
use crate::link::Link;
use crate::runner::{self, Runner};
use crate::shell::{Parts, Shell};
use crate::staging::{CACHE_BYTES_DEFAULT, Courier, CourierConfig, Reach, Roots, Store};
use crate::sync::Syncs;

/// Batches of news between the threads. A batch is everything that came at once, so a few are
/// enough; a full queue makes the engine's thread wait, and the keeper gathers meanwhile.
const QUEUE: usize = 64;

/// Runs an agent until `shutdown`, or until it cannot go on. Its tasks go on without it while
/// their leases last, under the keeper.
pub fn run(
    config: AgentConfig,
    shutdown: impl Future<Output = ()>,
) -> impl Future<Output = Result<(), AgentFault>> {
    run_telling(config, || {}, shutdown)
}

/// [`run`], and `ready` is called when the agent is a member of its exchange and begins to work.
pub async fn run_telling(
    config: AgentConfig,
    ready: impl FnOnce(),
    shutdown: impl Future<Output = ()>,
) -> Result<(), AgentFault> {
    let mut shutdown = std::pin::pin!(shutdown);
    let agent = start(config);
    let shell = tokio::select! {
        () = &mut shutdown => return Ok(()),
        shell = agent => shell?,
    };
    let Started { shell, gauge, home } = shell;
    ready();
    let outcome = shell.run(shutdown).await;
    // The lock goes last, when the engine is closed and the measuring told to end.
    drop(gauge);
    drop(home);
    outcome
}

/// By what right the agent talks to the exchange.
enum Admission {
    Member(Membership),
    Invited { token: JoinToken, site: String },
}

impl Admission {
    fn fingerprint(&self) -> Option<&str> {
        match self {
            Self::Member(membership) => membership.fingerprint.as_deref(),
            Self::Invited { token, .. } => token.fingerprint.as_deref(),
        }
    }
}

struct Started {
    shell: Shell,
    gauge: Option<Gauge>,
    home: Arc<Home>,
}

async fn start(config: AgentConfig) -> Result<Started, AgentFault> {
    let AgentConfig {
        url,
        join: token,
        more,
        key,
        engine,
        site,
        pool,
        node,
        cpus,
        memory,
        parts,
        data,
        publish_root,
        input_roots,
        cache,
        private_data,
        measure,
        isolation,
        lingers_after,
        start_patience,
        keep,
        fittings,
    } = config;
    let home = Arc::new(Home::open(&data)?);
    let is_one_of_several = key.is_some();
    let key = Key::open(&key.unwrap_or_else(|| home.key()))?;
    let clock = BootClock::of_this_machine().map_err(AgentFault::data("reading the boot id"))?;
    let roots = Roots::open(publish_root.as_deref(), &input_roots)
        .map_err(AgentFault::data("opening the folders of inputs and outputs"))?;
    let node = node.unwrap_or_else(inventory::host_name);
    let machines = match &engine {
        EngineChoice::Process { .. } | EngineChoice::Containers { .. } => Machines::This,
        EngineChoice::Given { nodes, .. } => Machines::Given(nodes.clone()),
        EngineChoice::Slurm { wrapper, site, answers } => {
            let config = runner::slurm_config(&home.engine(), wrapper, site, answers);
            Machines::Of(Arc::new(Cluster::slurm(config)))
        }
        EngineChoice::Kubernetes { site, .. } => {
            // It asks the API server, on a runtime of its own.
            let (site, folder) = (site.clone(), home.engine());
            let opening = tokio::task::spawn_blocking(move || Cluster::kubernetes(&site, &folder));
            let cluster =
                opening.await.map_err(|_| AgentFault::Broken("the cluster's watch"))??;
            Machines::Of(Arc::new(cluster))
        }
    };
    let images = match &engine {
        EngineChoice::Containers { images, .. } => {
            Some(Images { words: images.clone(), data: home.root().to_owned() })
        }
        // The nodes fetch them; whether a job may name none is for the operator to say all the same.
        EngineChoice::Kubernetes { site, .. } => {
            let words = ImageWords { default_image: site.image.clone(), ..ImageWords::default() };
            Some(Images { words, data: home.root().to_owned() })
        }
        EngineChoice::Process { .. } | EngineChoice::Slurm { .. } | EngineChoice::Given { .. } => {
            None
        }
    };
    let staging = match (&publish_root, &engine) {
        // A pod's folder is on its node, where no volume is shared with it: nothing is brought there or
        // fetched from there.
        (_, EngineChoice::Kubernetes { site, .. }) if site.volume.is_none() => Staging::Absent,
        (None, _) => Staging::Absent,
        (Some(_), _) => Staging::Offered,
    };
    // The agent's key, other tasks' folders and other people's results.
    let hidden = [Some(home.root()), roots.published()].into_iter().flatten().map(Path::to_owned);
    let hidden: Vec<PathBuf> = hidden.collect();
    let unisolated = Isolation::None;
    let mut offered = Offered {
        node: node.clone(),
        cpus,
        memory,
        parts,
        fittings,
        machines,
        staging,
        isolation: unisolated,
        images,
    };

    // Said before anything is started: what is missing, and what cannot work.
    let admission = match (home.membership()?, token) {
        (Some(membership), token) => {
            if token.is_some() {
                tracing::info!(
                    exchange = membership.exchange,
                    "this folder has joined already; the join token is not used"
                );
            }
            Admission::Member(membership)
        }
        (None, Some(token)) => Admission::Invited {
            token: JoinToken::parse(&token).ok_or(AgentFault::JoinToken)?,
            site: site.ok_or_else(|| {
                AgentFault::JoinRefused("give the city of the data centre with --site".to_owned())
            })?,
        },
        (None, None) => return Err(AgentFault::NotJoined),
    };
    let link = Arc::new(Link::new(&url, admission.fingerprint())?);

    let (heard_sender, heard) = mpsc::channel(QUEUE);
    let (runner, found) = Runner::open(&home, engine, heard_sender).await?;
    offered.isolation = isolate(isolation, &found.info, hidden)?;
    let picture = look(&offered, &found.info, home.root().to_owned()).await?;

    let membership = match admission {
        Admission::Member(membership) => membership,
        Admission::Invited { token, site } => {
            // What a pool of several is stands in its folder before anybody counts on it: its folder's name
            // need not tell. An agent alone that is refused is to be started again with other words.
            if let Some(offering) = keep.as_ref().filter(|_| is_one_of_several) {
                home.keep(offering)?;
            }
            let introduction = Introduction {
                url: &url,
                token,
                site: &site,
                pool: &pool.unwrap_or_else(|| inventory::slug(&node)),
                more,
                shown: &picture.shown,
            };
            join(&home, &key, &link, introduction).await?
        }
    };
    if let Some(offering) = keep {
        home.keep(&offering)?;
    }
    tell(&membership, &picture);

    let generation = home.next_generation()?;
    let (done, synced) = mpsc::channel(QUEUE);
    let (measured_sender, measured) = mpsc::channel(1);
    let measure = match &offered.machines {
        // This machine is only the door to those that are offered.
        Machines::Of(_) => Measuring::Off,
        Machines::This | Machines::Given(_) => measure,
    };
    let gauge = match measure {
        Measuring::Quick if gauge::is_due(&membership, &picture.inventory) => {
            let order = gauge::Order {
                kernels: gauge::kernels(picture.host.clone(), home.root().to_owned()),
                sharing: picture.sharing,
                inventory: picture.inventory.clone(),
                link: Arc::clone(&link),
                home: Arc::downgrade(&home),
                membership: membership.clone(),
            };
            Some(gauge::begin(order, measured_sender))
        }
        Measuring::Quick | Measuring::Off => None,
    };
    let reach = match private_data {
        PrivateData::Refused => Reach::Public,
        PrivateData::Allowed => Reach::Private,
    };
    let cache_bytes = cache.map_or(CACHE_BYTES_DEFAULT, |most| most.0);
    let store = Store::new(Arc::clone(&link), membership.token.as_str().into());
    let courier = CourierConfig { cache_bytes, reach, start_patience };
    let courier = Courier::open(home.root(), courier, store)
        .map_err(|why| AgentFault::data("opening the cache")(std::io::Error::other(why)))?;
    let syncs = Syncs::new(link, &membership.token, key, clock, done, picture, courier.holdings());
    let data: PathBuf = home.root().to_owned();
    let shell = Shell::new(Parts {
        runner,
        found,
        heard,
        syncs,
        synced,
        measured,
        clock,
        generation,
        offered,
        roots,
        courier,
        data,
        lingers_after,
    });
    Ok(Started { shell, gauge, home })
}

/// How tasks are run, from what the operator asked for and what the engine can do here.
fn isolate(
    asked: IsolationChoice,
    info: &EngineInfo,
    hidden: Vec<PathBuf>,
) -> Result<Isolation, AgentFault> {
    let devices = Devices::Basic;
    let bubblewrap = Isolation::Bubblewrap { network: Network::Host, devices, hidden };
    match (asked, info.kind, info.features.bubblewrap) {
        (IsolationChoice::None, _, _) => Ok(Isolation::None),
        (IsolationChoice::Bubblewrap | IsolationChoice::Best, _, true) => Ok(bubblewrap),
        (IsolationChoice::Bubblewrap, EngineKind::Process, false) => Err(AgentFault::Isolation(
            "bubblewrap is not installed, or may not make namespaces here",
        )),
        (IsolationChoice::Bubblewrap, _, false) => {
            Err(AgentFault::Isolation("this engine does not isolate tasks by bubblewrap"))
        }
        (IsolationChoice::Best, _, false) => {
            tracing::warn!("tasks are not isolated: bubblewrap does not work here");
            Ok(Isolation::None)
        }
    }
}

async fn look(offered: &Offered, info: &EngineInfo, data: PathBuf) -> Result<Picture, AgentFault> {
    let (offered, info) = (offered.clone(), info.clone());
    tokio::task::spawn_blocking(move || offered.picture(&info, &data))
        .await
        .map_err(|_| AgentFault::Broken("the look at the machine"))?
        .map_err(AgentFault::from)
}

fn tell(membership: &Membership, picture: &Picture) {
    let total = picture.shown.nodes.first().map(|node| node.total.to_string());
    tracing::info!(
        agent = membership.agent,
        pool = membership.crn,
        exchange = membership.exchange,
        offers = total.unwrap_or_default(),
        nodes = picture.shown.nodes.len(),
        "joined"
    );
}
