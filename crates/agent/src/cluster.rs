//! A cluster whose own scheduler places the tasks, as the agent shows it.
//!
//! Invariant: a cluster that does not answer is shown as it was last seen; a question that fails
//! takes no node away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use dayan_engines::kubernetes::Site;
use dayan_engines::slurm::{self, Survey};
use dayan_engines::{Fault, SlurmConfig};
use dayan_units::{Bytes, MilliCpu};
use dayan_wire::ShownNode;

/// What is shown of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterShown {
    pub(crate) nodes: Vec<ShownNode>,
    /// What stays the same of it, for the inventory.
    pub(crate) lines: BTreeMap<String, String>,
}

/// Said where the program cannot look at a Kubernetes cluster.
#[cfg(not(feature = "kubernetes"))]
pub(crate) const NO_KUBERNETES: &str = "this program was built without Kubernetes; build it with \
                                        `--features kubernetes`";

/// A cluster, or the part of one that is offered.
#[derive(Debug)]
pub(crate) struct Cluster {
    source: Source,
    last: Mutex<Option<ClusterShown>>,
}

/// Whom to ask.
#[derive(Debug)]
enum Source {
    /// The controller of a Slurm cluster.
    Slurm(SlurmConfig),
    /// The API server of a Kubernetes cluster, which tells of changes.
    #[cfg(feature = "kubernetes")]
    Kubernetes(dayan_engines::kubernetes::Lookout),
}

impl Cluster {
    pub(crate) const fn slurm(config: SlurmConfig) -> Self {
        Self { source: Source::Slurm(config), last: Mutex::new(None) }
    }

    /// Begins to watch one; `dir` is the engine's folder.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn kubernetes(site: &Site, dir: &Path) -> Result<Self, Fault> {
        let lookout = dayan_engines::kubernetes::Lookout::start(site.clone(), dir)?;
        Ok(Self { source: Source::Kubernetes(lookout), last: Mutex::new(None) })
    }

    #[cfg(not(feature = "kubernetes"))]
    pub(crate) fn kubernetes(_: &Site, _: &Path) -> Result<Self, Fault> {
        Err(Fault::Unreachable(NO_KUBERNETES.to_owned()))
    }

    /// As it is now, or as it was last seen. Waits for the cluster's answers.
    pub(crate) fn look(&self) -> Result<ClusterShown, Fault> {
        let seen = match &self.source {
            Source::Slurm(config) => slurm::survey(config).map(|survey| shown(&survey)),
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(lookout) => lookout.look().map(shown_by_kubernetes),
        };
        let mut last = self.last.lock().expect("no thread panics holding it");
        match (seen, &*last) {
            (Ok(shown), _) => {
                *last = Some(shown.clone());
                Ok(shown)
            }
            (Err(fault), Some(known)) => {
                tracing::warn!(%fault, "the cluster does not answer; it is shown as it was");
                Ok(known.clone())
            }
            (Err(fault), None) => Err(fault),
        }
    }
}

#[cfg(feature = "kubernetes")]
fn shown_by_kubernetes(survey: dayan_engines::kubernetes::Survey) -> ClusterShown {
    let nodes = survey.nodes.into_iter().map(|node| ShownNode {
        name: node.name,
        total: node.total,
        accelerator: node.accelerator,
        features: BTreeSet::new(),
        leaf: None,
        up: node.up,
    });
    let mut lines: BTreeMap<String, String> = survey
        .about
        .into_iter()
        .map(|(name, value)| (format!("kubernetes.{name}"), value))
        .collect();
    lines.insert("kubernetes.version".to_owned(), survey.version);
    lines.extend(survey.accelerator.map(|name| ("kubernetes.accelerator".to_owned(), name)));
    ClusterShown { nodes: nodes.collect(), lines }
}

fn shown(survey: &Survey) -> ClusterShown {
    let nodes = survey.nodes.iter().map(|node| ShownNode {
        name: node.name.clone(),
        total: node.total,
        accelerator: node.accelerator.clone(),
        features: BTreeSet::new(),
        leaf: None,
        up: node.up,
    });
    let partition = &survey.partition;
    let minutes = partition.minutes_max.map_or("unlimited".to_owned(), |most| most.to_string());
    let lines = [
        ("slurm.cluster", survey.cluster.clone()),
        ("slurm.version", survey.version.clone()),
        ("slurm.partition", partition.name.clone()),
        ("slurm.minutes_max", minutes),
        ("slurm.accounts", partition.accounts.clone()),
        ("slurm.qos", partition.qos.clone()),
    ];
    let lines = lines.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    ClusterShown { nodes: nodes.collect(), lines }
}

/// A node of which at most so much is offered.
pub(crate) fn capped(node: ShownNode, cpus: Option<MilliCpu>, memory: Option<Bytes>) -> ShownNode {
    let mut total = node.total;
    total.cpu = cpus.map_or(total.cpu, |most| most.min(total.cpu));
    total.memory = memory.map_or(total.memory, |most| most.min(total.memory));
    ShownNode { total, ..node }
}
