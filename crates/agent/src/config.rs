//! What an operator says about an agent.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use dayan_engines::kubernetes::Site;
use dayan_engines::slurm::{Answers, SiteWords};
use dayan_engines::{Containers, Engine, Fault};
use dayan_units::{Bytes, MilliCpu, Span};
use dayan_wire::ShownNode;

use crate::images::ImageWords;
use crate::offering::Offering;

/// Opens an engine, on the thread that will own it.
pub type OpenEngine = Box<dyn FnOnce() -> Result<Box<dyn Engine>, Fault> + Send>;

/// Which engine runs the tasks.
pub enum EngineChoice {
    /// Processes of this machine, kept by a keeper.
    Process {
        /// The program that runs [`dayan_engines::keeper::run`], with the words before its
        /// options: `[dayan, "keeper"]`.
        keeper: Vec<OsString>,
        /// Further options for it.
        options: Vec<OsString>,
    },
    /// Containers of podman or docker on this machine.
    Containers {
        /// The program that runs [`dayan_engines::keeper::run`], as for processes.
        keeper: Vec<OsString>,
        /// Further options for it.
        options: Vec<OsString>,
        /// Whose they are.
        whose: Containers,
        /// The service's socket; none: the usual ones are tried.
        socket: Option<PathBuf>,
        /// What is said of images.
        images: ImageWords,
    },
    /// Jobs of a Slurm cluster, by the commands of a login node.
    Slurm {
        /// The program that runs [`dayan_engines::slurm::wrapper::run`], with the words before its
        /// options: `[dayan, "slurm-task"]`.
        wrapper: Vec<OsString>,
        /// Words of the site that go into every submission.
        site: SiteWords,
        /// What is shared with other pools of the same cluster.
        answers: Answers,
    },
    /// Pods of a Kubernetes cluster, by its API server.
    Kubernetes {
        /// What the operator says of the cluster.
        site: Box<Site>,
        /// The program that runs `dayan_engines::kubernetes::visitor::run`, with the words before its
        /// options: `[dayan, "kube-exec"]`.
        visitor: Vec<OsString>,
    },
    /// An engine of the caller's, and the machines it stands for.
    Given {
        /// Opens it.
        open: OpenEngine,
        /// What it offers.
        nodes: Vec<ShownNode>,
    },
}

impl EngineChoice {
    /// Processes of this machine, with the running program as keeper by its hidden subcommand.
    pub fn process() -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        Ok(Self::Process { keeper: vec![program.into(), "keeper".into()], options: Vec::new() })
    }

    /// Containers, with the running program as keeper by its hidden subcommand.
    pub fn containers(
        whose: Containers,
        socket: Option<PathBuf>,
        images: ImageWords,
    ) -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let keeper = vec![program.into(), "keeper".into()];
        Ok(Self::Containers { keeper, options: Vec::new(), whose, socket, images })
    }

    /// Pods of a Kubernetes cluster, with the running program as the one that enters them by its
    /// hidden subcommand.
    pub fn kubernetes(site: Site) -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let visitor = vec![program.into(), "kube-exec".into()];
        Ok(Self::Kubernetes { site: Box::new(site), visitor })
    }

    /// Jobs of a Slurm cluster, with the running program as wrapper by its hidden subcommand.
    pub fn slurm(site: SiteWords) -> std::io::Result<Self> {
        let program = std::env::current_exe()?;
        let wrapper = vec![program.into(), "slurm-task".into()];
        Ok(Self::Slurm { wrapper, site, answers: Answers::alone() })
    }
}

/// Does the agent measure the machine after it has joined?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measuring {
    /// Quickly, at low priority, and again when the values have grown old.
    Quick,
    /// Not at all.
    Off,
}

/// May jobs name data at addresses of the site's own network?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PrivateData {
    /// They may not: a job file is a stranger's, and behind the agent lies what strangers do not
    /// reach.
    Refused,
    /// They may.
    Allowed,
}

/// How far are tasks kept apart from the machine, beyond their limits?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IsolationChoice {
    /// Not at all.
    None,
    /// In namespaces by bubblewrap; an agent that cannot does not start.
    Bubblewrap,
    /// By bubblewrap where it works, and not at all where it does not.
    Best,
}

/// What nodes have beside numbers.
#[derive(Clone, Debug, Default)]
pub struct Fittings {
    /// Names that jobs can ask for, beside those that are found out.
    pub features: BTreeSet<String>,
    /// The fast network the nodes share, by the site's name for it.
    pub fabric: Option<String>,
    /// Where this machine hangs in it, from wide to narrow.
    pub leaf: Option<String>,
}

/// After so long the exchange is told that a task lingers: its processors and cards are others' from then
/// on, while its results are sent, or wait for a store that is away. Most results are sent within it, and
/// cost no word more.
const LINGERS_AFTER: Span = Span::from_secs(60);

/// So long an address, or a bucket, that a task needs before it starts is asked again without a byte of
/// progress: a store that is restarted, or fails over to another, is back by then, and a machine that waits
/// for longer is better used by somebody else.
const START_PATIENCE: Duration = Duration::from_mins(5);

/// What an operator says about an agent.
pub struct AgentConfig {
    /// The exchange's address: `https://host:port`.
    pub url: String,
    /// The join token; not needed once joined.
    pub join: Option<String>,
    /// How many further pools with the same key join by the same token.
    pub more: u32,
    /// The file of its key, where it is one of several pools; none: one of its own in its folder.
    pub key: Option<PathBuf>,
    /// What runs the tasks.
    pub engine: EngineChoice,
    /// The city of the data centre. Needed to join.
    pub site: Option<String>,
    /// The pool's name at the site; none: the node's name.
    pub pool: Option<String>,
    /// The machine's name in the pool; none: its host name.
    pub node: Option<String>,
    /// Offers at most this much of the processor.
    pub cpus: Option<MilliCpu>,
    /// Offers at most this much memory.
    pub memory: Option<Bytes>,
    /// Shows this machine as so many equal nodes, so that a gang, whose members each take a node,
    /// can be run on one machine. One unless told.
    pub parts: std::num::NonZeroU32,
    /// What its nodes have beside numbers.
    pub fittings: Fittings,
    /// Where it keeps its key, its token, its tasks and their logs.
    pub data: PathBuf,
    /// Where outputs are published, and where inputs may be taken from. Without it the pool does
    /// not offer staging.
    pub publish_root: Option<PathBuf>,
    /// Further folders that inputs may be taken from.
    pub input_roots: Vec<PathBuf>,
    /// How many bytes of inputs from afar are kept for the next task that wants them; none: as many
    /// as usual.
    pub cache: Option<Bytes>,
    /// May jobs name data at addresses of the site's own network?
    pub private_data: PrivateData,
    /// Does it measure?
    pub measure: Measuring,
    /// How far are tasks kept apart from the machine?
    pub isolation: IsolationChoice,
    /// After how long a task that has ended and is not published yet gives its room back.
    pub lingers_after: Span,
    /// For how long what a task needs before it starts is asked for again without progress.
    pub start_patience: Duration,
    /// What is written down as offered once the agent is a member, for its next start, and of one of
    /// several pools before it joins; none: nothing is.
    pub keep: Option<Offering>,
}

impl AgentConfig {
    /// An agent that offers everything of this machine, and measures it.
    pub fn new(url: impl Into<String>, data: impl Into<PathBuf>, engine: EngineChoice) -> Self {
        Self {
            url: url.into(),
            join: None,
            more: 0,
            key: None,
            engine,
            site: None,
            pool: None,
            node: None,
            cpus: None,
            memory: None,
            parts: std::num::NonZeroU32::MIN,
            fittings: Fittings::default(),
            data: data.into(),
            publish_root: None,
            input_roots: Vec::new(),
            cache: None,
            private_data: PrivateData::Refused,
            measure: Measuring::Quick,
            isolation: IsolationChoice::None,
            lingers_after: LINGERS_AFTER,
            start_patience: START_PATIENCE,
            keep: None,
        }
    }
}
