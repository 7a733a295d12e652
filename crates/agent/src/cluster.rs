//! A cluster whose own scheduler places the tasks, as the agent shows it.
//!
//! Invariant: a cluster that does not answer is shown as it was last seen; a question that fails
//! takes no node away.

use std::collections::BTreeMap;
use std::sync::Mutex;

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

/// A Slurm cluster, or one partition of it.
#[derive(Debug)]
pub(crate) struct Cluster {
    config: SlurmConfig,
    last: Mutex<Option<ClusterShown>>,
}

impl Cluster {
    pub(crate) const fn new(config: SlurmConfig) -> Self {
        Self { config, last: Mutex::new(None) }
    }

    /// As it is now, or as it was last seen. Waits for the cluster's commands.
    pub(crate) fn look(&self) -> Result<ClusterShown, Fault> {
        let seen = slurm::survey(&self.config);
        let mut last = self.last.lock().expect("no thread panics holding it");
        match (seen, &*last) {
            (Ok(survey), _) => {
                let shown = shown(&survey);
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

fn shown(survey: &Survey) -> ClusterShown {
    let nodes = survey.nodes.iter().map(|node| ShownNode {
        name: node.name.clone(),
        total: node.total,
        accelerator: node.accelerator.clone(),
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
