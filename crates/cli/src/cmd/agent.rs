//! `dayan agent`: offers this machine to an exchange and runs what it is given.

mod partitions;

use std::num::NonZeroU32;
use std::path::PathBuf;

use dayan_agent::{
    AgentConfig, AgentFault, EngineChoice, Fittings, ImageWords, IsolationChoice, Measuring,
    Offering, PrivateData,
};
use dayan_engines::kubernetes::{Namespaces, Site, Volume};
use dayan_engines::slurm::SiteWords;
use dayan_engines::{Containers, SimulatedEngine};
use dayan_units::{Bytes, MilliCpu, Resources};
use dayan_wire::ShownNode;

use super::daemon;
use super::registry::{self, RegistryCommand};
use super::session::Session;
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// Simulated nodes of one agent: what one is built to stand for.
const SIMULATED_NODES_MAX: i64 = 10_000;
/// What may wait in a cluster's queue at most: ten times what runs there is a day of what was sold as
/// minutes.
const SLURM_AHEAD_MAX: i64 = 1_000;
/// A simulated node that nobody describes.
const SIMULATED_CPUS: MilliCpu = MilliCpu(64_000);
/// A simulated node that nobody describes.
const SIMULATED_MEMORY: Bytes = Bytes(256_000_000_000);

/// Offers this machine to an exchange and runs what it is given
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Agent {
    #[command(subcommand)]
    beside: Option<Beside>,
    /// The exchange's address
    #[arg(long, env = "DAYAN_URL", required = true)]
    url: Option<String>,
    /// A join token from `dayan provider invite`; not needed once joined
    #[arg(long, value_name = "TOKEN", env = "DAYAN_JOIN", hide_env_values = true)]
    join: Option<String>,
    /// What runs the tasks, processes unless told; `podman` and `docker` run containers, by the socket
    /// of one or the other; `slurm` submits them to the cluster that this login node belongs to; `kubernetes` makes
    /// them pods of a cluster; `simulated` executes nothing and is for trying out an exchange
    #[arg(long, value_parser = ["process", "podman", "docker", "slurm", "kubernetes", "simulated"])]
    engine: Option<String>,
    /// The city of the data centre, needed to join
    #[arg(long, value_name = "CITY")]
    site: Option<String>,
    /// The pool's name at the site; the node's name unless told
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// This machine's name in the pool; its host name unless told
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// Offer at most so many cores
    #[arg(long, value_name = "N")]
    cpus: Option<MilliCpu>,
    /// Offer at most so much memory, such as 64GB
    #[arg(long, value_name = "SIZE")]
    memory: Option<Bytes>,
    /// Something its nodes have that a job can ask for (`placement.features`), beside its architecture
    /// and instruction sets, which are found out; may be given several times
    #[arg(long = "feature", value_name = "NAME")]
    features: Vec<String>,
    /// The fast network that its nodes share, by the site's name for it: gangs can ask to be in one, and
    /// pools of one site that name the same one share it
    #[arg(long, value_name = "NAME")]
    fabric: Option<String>,
    /// Where this machine hangs in that, from wide to narrow, such as spine1/leaf3
    #[arg(long, value_name = "PATH", requires = "fabric")]
    leaf: Option<String>,
    /// Shows this machine as so many equal nodes that share --cpus and --memory, so that a gang can run
    /// on one; with the simulated
    /// engine: how many nodes it stands for, --cpus and --memory being of each
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=SIMULATED_NODES_MAX))]
    nodes: Option<u32>,
    /// Where it keeps its key, its token, its tasks and their logs
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where outputs are published and inputs found; without it the pool does not copy data
    #[arg(long, value_name = "DIR")]
    publish_root: Option<PathBuf>,
    /// A further folder that inputs may be taken from
    #[arg(long = "input-root", value_name = "DIR")]
    input_roots: Vec<PathBuf>,
    /// With the podman and docker engines: the service's socket; unless told, that of CONTAINER_HOST
    /// (not docker's) or DOCKER_HOST, podman's own, or docker's
    #[arg(long, value_name = "PATH")]
    container_socket: Option<PathBuf>,
    /// With the podman and docker engines: the image of jobs that name none; without it they are not run here
    #[arg(long, value_name = "IMAGE")]
    default_image: Option<String>,
    /// With the podman and docker engines: when images are fetched from their registries; `missing` unless told
    #[arg(long, value_parser = ["always", "missing", "never"])]
    pull: Option<String>,
    /// With the podman and docker engines: what containers see of the network; `none` unless told
    #[arg(long, value_parser = ["none", "bridge", "host"])]
    container_network: Option<String>,
    /// Keeps at most so much of what inputs were fetched from afar, for the next task that wants it;
    /// 50GB unless told
    #[arg(long, value_name = "SIZE")]
    cache: Option<Bytes>,
    /// May jobs fetch from and send to addresses of the site's own network, such as its object store?
    /// `refuse` unless told
    #[arg(long, value_parser = ["refuse", "allow"])]
    private_data: Option<String>,
    /// With the slurm engine: the partitions that are offered, each as a pool of its own; `all` that this
    /// user may use unless told
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    slurm_partition: Vec<String>,
    /// With the slurm engine: the account its jobs are charged to at the site
    #[arg(long, value_name = "NAME")]
    slurm_account: Option<String>,
    /// With the slurm engine: the quality of service its jobs ask for
    #[arg(long, value_name = "NAME")]
    slurm_qos: Option<String>,
    /// With the slurm engine: the node features its jobs ask for
    #[arg(long, value_name = "WORDS")]
    slurm_constraint: Option<String>,
    /// With the slurm engine: the generic resource that is offered as accelerators, such as
    /// gpu:a100 or npu; gpu unless told
    #[arg(long, value_name = "NAME")]
    slurm_gres: Option<String>,
    /// With the slurm engine: where slurmrestd is, http://host:port or unix:///path; Slurm's commands
    /// are used unless told
    #[arg(long, value_name = "URL")]
    slurm_rest: Option<String>,
    /// With --slurm-rest: the file of the token it is shown, which others renew; `scontrol token` is
    /// asked for one unless told
    #[arg(long, value_name = "FILE")]
    slurm_token_file: Option<PathBuf>,
    /// With the slurm engine: a further option of sbatch, whole: --slurm-extra=--reservation=x
    #[arg(long, value_name = "OPTION", allow_hyphen_values = true)]
    slurm_extra: Vec<String>,
    /// With the slurm engine: how much may wait in Slurm's queue before anything has ended, in percent
    /// of the cluster's cores; short tasks only, 100 unless told
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=SLURM_AHEAD_MAX))]
    slurm_ahead: Option<u32>,
    /// With the slurm engine: what jobs may say for themselves in backend.slurm; may be given
    /// several times, nothing unless told
    #[arg(long, value_name = "WORD", value_parser = dayan_engines::slurm::JOB_WORDS)]
    slurm_allow: Vec<String>,
    #[command(flatten)]
    kube: Kube,
    /// Whether it measures the machine after joining
    #[arg(long, default_value = "quick", value_parser = ["quick", "off"])]
    measure: String,
    /// Keeps tasks apart from the machine by namespaces; `best` does so where bubblewrap works, and
    /// `none`, which it is unless told, does not
    #[arg(long, value_parser = ["none", "bubblewrap", "best"])]
    isolation: Option<String>,
    #[command(flatten)]
    log: daemon::Log,
}

/// What is said of a Kubernetes cluster
#[expect(clippy::struct_field_names, reason = "each is the name of an option on the command line")]
#[derive(Debug, clap::Args)]
struct Kube {
    /// With the kubernetes engine: the file that says where the API server is and who asks; as
    /// kubectl finds it unless told, else the service account of the agent's own pod
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// With the kubernetes engine: which context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    kube_context: Option<String>,
    /// With the kubernetes engine: the namespace of the pods, dayan unless told; {org} in it stands
    /// for the organisation's name
    #[arg(long, value_name = "PATTERN")]
    kube_namespace: Option<String>,
    /// With the kubernetes engine: an organisation with a namespace of its own
    #[arg(long, value_name = "ORG=NAMESPACE", value_parser = pair)]
    kube_namespace_of: Vec<(String, String)>,
    /// With the kubernetes engine: the image of tasks that name none
    #[arg(long, value_name = "IMAGE")]
    kube_default_image: Option<String>,
    /// With the kubernetes engine: the resource that is offered as accelerators, such as
    /// nvidia.com/gpu or huawei.com/Ascend910; the first known one unless told
    #[arg(long, value_name = "RESOURCE")]
    kube_accelerator: Option<String>,
    /// With the kubernetes engine: the service account of the pods, of which they get no token
    #[arg(long, value_name = "NAME")]
    kube_service_account: Option<String>,
    /// With the kubernetes engine: the priority class of the pods
    #[arg(long, value_name = "NAME")]
    kube_priority_class: Option<String>,
    /// With the kubernetes engine: the runtime class of the pods, such as gvisor
    #[arg(long, value_name = "NAME")]
    kube_runtime_class: Option<String>,
    /// With the kubernetes engine: who schedules the pods, such as volcano
    #[arg(long, value_name = "NAME")]
    kube_scheduler: Option<String>,
    /// With the kubernetes engine: a secret by which images are fetched
    #[arg(long = "kube-pull-secret", value_name = "NAME")]
    kube_pull_secrets: Vec<String>,
    /// With the kubernetes engine: a label that nodes must have
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    kube_node_selector: Vec<(String, String)>,
    /// With the kubernetes engine: a taint of nodes that the pods bear
    #[arg(long = "kube-toleration", value_name = "KEY")]
    kube_tolerations: Vec<String>,
    /// With the kubernetes engine: the user and group that tasks run as; the image's unless told
    #[arg(long, value_name = "UID", value_parser = clap::value_parser!(u32).range(1..))]
    kube_run_as: Option<u32>,
    /// With the kubernetes engine: the volume that tasks' folders lie on, so that the agent brings
    /// inputs and takes outputs: claim:NAME for a PersistentVolumeClaim that all nodes and the agent
    /// mount, host:/PATH for a folder that they share
    #[arg(long, value_name = "VOLUME")]
    kube_volume: Option<Volume>,
    /// With the kubernetes engine: where the agent sees that volume; for host:/PATH the same unless
    /// told
    #[arg(long, value_name = "DIR")]
    kube_volume_at: Option<PathBuf>,
}

/// Reads `KEY=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("`{text}` is not KEY=VALUE")),
    }
}

impl Kube {
    fn said(&self) -> Site {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Site {
            kubeconfig: self.kubeconfig.as_ref().map(absolute),
            context: self.kube_context.clone(),
            namespaces: Namespaces {
                pattern: self.kube_namespace.clone().unwrap_or_default(),
                of: self.kube_namespace_of.iter().cloned().collect(),
            },
            image: self.kube_default_image.clone(),
            accelerator: self.kube_accelerator.clone(),
            service_account: self.kube_service_account.clone(),
            priority_class: self.kube_priority_class.clone(),
            runtime_class: self.kube_runtime_class.clone(),
            scheduler: self.kube_scheduler.clone(),
            pull_secrets: self.kube_pull_secrets.clone(),
            node_selector: self.kube_node_selector.iter().cloned().collect(),
            tolerations: self.kube_tolerations.clone(),
            run_as: self.kube_run_as,
            volume: self.kube_volume.clone(),
            volume_at: self.kube_volume_at.as_ref().map(absolute),
        }
    }
}

impl Agent {
    /// What the command line says of what is offered. Folders as they are from anywhere: the next
    /// start may be elsewhere.
    fn said(&self) -> Offering {
        let absolute = |path: &PathBuf| std::path::absolute(path).unwrap_or_else(|_| path.clone());
        Offering {
            engine: self.engine.clone(),
            node: self.node.clone(),
            cpus: self.cpus,
            memory: self.memory,
            features: self.features.clone(),
            fabric: self.fabric.clone(),
            leaf: self.leaf.clone(),
            nodes: self.nodes.and_then(NonZeroU32::new),
            isolation: self.isolation.clone(),
            publish_root: self.publish_root.as_ref().map(absolute),
            input_roots: self.input_roots.iter().map(absolute).collect(),
            container_socket: self.container_socket.as_ref().map(absolute),
            default_image: self.default_image.clone(),
            pull: self.pull.clone(),
            container_network: self.container_network.clone(),
            cache: self.cache,
            private_data: self.private_data.clone(),
            slurm: SiteWords {
                partition: Some(self.slurm_partition.join(",")).filter(|names| !names.is_empty()),
                account: self.slurm_account.clone(),
                qos: self.slurm_qos.clone(),
                constraint: self.slurm_constraint.clone(),
                gres: self.slurm_gres.clone(),
                rest: self.slurm_rest.clone(),
                token_file: self.slurm_token_file.as_ref().map(absolute),
                extra: self.slurm_extra.clone(),
                ahead: self.slurm_ahead,
                allow: self.slurm_allow.iter().cloned().collect(),
            },
            kubernetes: self.kube.said(),
        }
    }

    fn config(&self, data: PathBuf, offering: Offering) -> Result<AgentConfig, Failure> {
        let engine = engine(&offering)?;
        Ok(self.with_engine(data, offering, engine))
    }

    fn with_engine(&self, data: PathBuf, offering: Offering, engine: EngineChoice) -> AgentConfig {
        let isolation = match offering.isolation.as_deref() {
            Some("bubblewrap") => IsolationChoice::Bubblewrap,
            Some("best") => IsolationChoice::Best,
            _ => IsolationChoice::None,
        };
        AgentConfig {
            join: self.join.clone(),
            site: self.site.clone(),
            pool: self.pool.clone(),
            node: offering.node.clone(),
            cpus: offering.cpus,
            memory: offering.memory,
            parts: nodes(&offering),
            fittings: Fittings {
                features: offering.features.iter().cloned().collect(),
                fabric: offering.fabric.clone(),
                leaf: offering.leaf.clone(),
            },
            publish_root: offering.publish_root.clone(),
            input_roots: offering.input_roots.clone(),
            cache: offering.cache,
            private_data: match offering.private_data.as_deref() {
                Some("allow") => PrivateData::Allowed,
                Some(_) | None => PrivateData::Refused,
            },
            isolation,
            measure: if self.measure == "off" { Measuring::Off } else { Measuring::Quick },
            keep: Some(offering),
            ..AgentConfig::new(self.url.clone().unwrap_or_default(), data, engine)
        }
    }
}

fn nodes(offering: &Offering) -> NonZeroU32 {
    offering.nodes.unwrap_or(NonZeroU32::MIN)
}

fn engine(offering: &Offering) -> Result<EngineChoice, Failure> {
    let local = |error| Failure::local(Said::plain(Word::StartingUp), error);
    match offering.engine.as_deref() {
        Some("simulated") => {
            let numbers = 1..=nodes(offering).get();
            let nodes = numbers.map(|number| simulated_node(offering, number)).collect();
            let open: dayan_agent::OpenEngine =
                Box::new(|| SimulatedEngine::new().map(|engine| Box::new(engine) as _));
            Ok(EngineChoice::Given { open, nodes })
        }
        Some(name @ ("podman" | "docker")) => {
            let whose = if name == "docker" { Containers::Docker } else { Containers::Podman };
            let words = ImageWords {
                default_image: offering.default_image.clone(),
                pull: word(offering.pull.as_deref()),
                network: word(offering.container_network.as_deref()),
            };
            EngineChoice::containers(whose, offering.container_socket.clone(), words).map_err(local)
        }
        Some("slurm") => EngineChoice::slurm(offering.slurm.clone()).map_err(local),
        Some("kubernetes") => EngineChoice::kubernetes(offering.kubernetes.clone()).map_err(local),
        Some(_) | None => EngineChoice::process().map_err(local),
    }
}

/// A word that the command line has checked, or the usual one.
fn word<T: Default + std::str::FromStr>(said: Option<&str>) -> T {
    said.and_then(|said| said.parse().ok()).unwrap_or_default()
}

fn simulated_node(offering: &Offering, number: u32) -> ShownNode {
    let base = offering.node.as_deref().unwrap_or("simulated");
    ShownNode {
        name: format!("{base}-{number}"),
        total: Resources {
            cpu: offering.cpus.unwrap_or(SIMULATED_CPUS),
            memory: offering.memory.unwrap_or(SIMULATED_MEMORY),
            ..Resources::ZERO
        },
        accelerator: None,
        features: offering.features.iter().cloned().collect(),
        leaf: offering.leaf.clone(),
        islands: Vec::new(),
        up: true,
    }
}

/// Runs it.
pub async fn run(args: &Agent, session: &Session) -> Result<Exit, Failure> {
    if let Some(Beside::Registry(command)) = &args.beside {
        return registry::run(command, session);
    }
    let data = daemon::data_dir(args.data.as_ref(), "agent", session)?;
    let said = args.said();
    let remembered = Offering::kept(&data).map_err(ended)?.beside(&said);
    let again = remembered.options();
    let offering = said.or(remembered);
    args.log.begin();
    let stop = daemon::told_to_stop()?;
    let url = args.url.clone().unwrap_or_default();
    let begins = || {
        if !again.is_empty() {
            let file = Offering::path(&data).display().to_string();
            let said = Said::with(Word::AgentRemembers, "options", again.join(" "));
            session.out.say(&said.and("file", file));
        }
        let said = Said::with(Word::AgentStarts, "url", &url);
        session.out.say(&said.and("data", data.display().to_string()));
    };
    match partitions::offered(args, &data, &offering).await? {
        partitions::Offered::One(partition) => {
            let mut offering = offering;
            offering.slurm.partition = partition.or(offering.slurm.partition);
            let config = args.config(data.clone(), offering)?;
            dayan_agent::run_telling(config, begins, stop).await.map_err(ended)?;
        }
        partitions::Offered::Several(pools) => {
            let began = std::cell::Cell::new(false);
            let ready = |name: &str| {
                if !began.replace(true) {
                    begins();
                    partitions::tell_left_out(&pools, session);
                }
                session.out.say(&Said::with(Word::AgentPool, "pool", name));
            };
            partitions::run(args, &data, offering, &pools, ready, stop).await?;
        }
    }
    session.out.say(&Said::plain(Word::AgentStopped));
    Ok(Exit::Ok)
}

/// What is done with an agent's folder beside running it.
#[derive(Debug, clap::Subcommand)]
enum Beside {
    /// By what registries are asked for the images of projects
    #[command(subcommand)]
    Registry(RegistryCommand),
}

/// An agent's fault has a code and says what to do; it only needs an exit code.
pub(super) fn ended(fault: AgentFault) -> Failure {
    let exit = match &fault {
        AgentFault::NotJoined
        | AgentFault::JoinToken
        | AgentFault::Url(_)
        | AgentFault::Isolation(_) => Exit::Usage,
        AgentFault::JoinRefused(_) => Exit::Refused,
        AgentFault::Unreachable(_) => Exit::Unreachable,
        AgentFault::Data { .. }
        | AgentFault::Busy(_)
        | AgentFault::State { .. }
        | AgentFault::Engine(_)
        | AgentFault::Broken(_) => Exit::Failed,
    };
    let code = Some(fault.code());
    Failure::Told { code, text: format!("{:#}", anyhow::Error::from(fault)), exit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_end_has_a_code() {
        let check = |fault, expect| assert_eq!(ended(fault).exit(), expect);
        check(AgentFault::NotJoined, Exit::Usage);
        check(AgentFault::JoinRefused("used".to_owned()), Exit::Refused);
        check(AgentFault::Unreachable("no route".to_owned()), Exit::Unreachable);
        check(AgentFault::Busy(PathBuf::from("/x")), Exit::Failed);
        let shown = ended(AgentFault::NotJoined).render(crate::words::Lang::En);
        assert!(shown.starts_with("error[agent.not_joined]: this folder"), "{shown}");
    }

    /// Runs the line with a folder in which somebody joined with less than the whole machine.
    fn started_again(line: &[&str]) -> (AgentConfig, String) {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            agent: Agent,
        }
        let base = ["dayan", "--url", "http://x"];
        let line = base.iter().chain(line).copied();
        let agent = <Line as clap::Parser>::try_parse_from(line).expect("a right line").agent;
        let dir = tempfile::tempdir().expect("a folder");
        let kept = r#"{"cpus": 1000, "memory": 2000000000, "isolation": "best", "nodes": 2}"#;
        std::fs::write(Offering::path(dir.path()), kept).expect("written");
        let said = agent.said();
        let remembered = Offering::kept(dir.path()).expect("it is JSON").beside(&said);
        let options = remembered.options().join(" ");
        let config = agent.config(dir.path().to_owned(), said.or(remembered));
        (config.expect("this program is there"), options)
    }

    #[test]
    fn an_agent_that_is_started_again_offers_what_it_offered() {
        let (config, options) = started_again(&[]);
        assert_eq!(
            (config.cpus, config.memory),
            (Some(MilliCpu(1_000)), Some(Bytes(2_000_000_000)))
        );
        assert_eq!((config.parts.get(), config.isolation), (2, IsolationChoice::Best));
        assert_eq!(options, "--cpus 1 --memory 2GB --nodes 2 --isolation best");

        let (config, options) = started_again(&["--cpus", "0.5", "--isolation", "none"]);
        assert_eq!((config.cpus, config.isolation), (Some(MilliCpu(500)), IsolationChoice::None));
        assert_eq!(options, "--memory 2GB --nodes 2");
        let keep = config.keep.expect("it is kept");
        assert_eq!((keep.cpus, keep.isolation.as_deref()), (Some(MilliCpu(500)), Some("none")));
    }
}
