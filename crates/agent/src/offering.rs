//! What an operator lets be offered, as it was said on the command line and is kept in the agent's
//! folder: an agent that is started again with nothing but its folder offers the same.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use dayan_engines::kubernetes::{Namespaces, Site};
use dayan_engines::slurm::SiteWords;
use dayan_units::{Bytes, MilliCpu};
use serde::{Deserialize, Serialize};

use crate::fault::AgentFault;
use crate::home::{read_kept, write_kept};

/// The file of it in the agent's folder.
const OFFERING_FILE: &str = "offering.json";

/// What is offered, as far as the operator has said. What is none was not said.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Offering {
    /// What runs the tasks: `process`, `podman`, `docker`, `slurm`, `kubernetes` or `simulated`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// This machine's name in the pool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// At most so much of the processor, in thousandths of a core.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<MilliCpu>,
    /// At most so much memory, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Bytes>,
    /// What this machine has beside what is found out: names that jobs can ask for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<String>,
    /// The fast network it is in, by the site's name for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fabric: Option<String>,
    /// Where it hangs in it, from wide to narrow: `spine1/leaf3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaf: Option<String>,
    /// As so many nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NonZeroU32>,
    /// How tasks are kept apart: `none`, `bubblewrap` or `best`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub isolation: Option<String>,
    /// Where outputs are published and inputs found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish_root: Option<PathBuf>,
    /// Further folders that inputs may be taken from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub input_roots: Vec<PathBuf>,
    /// The socket of podman or docker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_socket: Option<PathBuf>,
    /// The image of jobs that name none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_image: Option<String>,
    /// When images are fetched: `always`, `missing` or `never`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pull: Option<String>,
    /// What containers see of the network: `none`, `bridge` or `host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub container_network: Option<String>,
    /// How many bytes of inputs from afar are kept for the next task that wants them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<Bytes>,
    /// May jobs name data at addresses of the site's own network: `refuse` or `allow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_data: Option<String>,
    /// Words of a Slurm site that go into every submission.
    #[serde(skip_serializing_if = "is_silent")]
    pub slurm: SiteWords,
    /// What was said of a Kubernetes cluster.
    #[serde(skip_serializing_if = "is_untold")]
    pub kubernetes: Site,
}

fn is_untold(site: &Site) -> bool {
    *site == Site::default()
}

/// The first of two lists (or maps) that says anything.
fn said_first<T: Default + PartialEq>(first: T, second: T) -> T {
    if first == T::default() { second } else { first }
}

/// A list (or map) of which nothing is left where another one says something.
fn unless_said<T: Default + PartialEq>(kept: T, said: &T) -> T {
    if *said == T::default() { kept } else { T::default() }
}

/// The words of `first` about a Kubernetes cluster, and those of `second` where it is silent.
fn either_site(first: Site, second: Site) -> Site {
    Site {
        kubeconfig: first.kubeconfig.or(second.kubeconfig),
        context: first.context.or(second.context),
        namespaces: Namespaces {
            pattern: said_first(first.namespaces.pattern, second.namespaces.pattern),
            of: said_first(first.namespaces.of, second.namespaces.of),
        },
        image: first.image.or(second.image),
        accelerator: first.accelerator.or(second.accelerator),
        service_account: first.service_account.or(second.service_account),
        priority_class: first.priority_class.or(second.priority_class),
        runtime_class: first.runtime_class.or(second.runtime_class),
        scheduler: first.scheduler.or(second.scheduler),
        pull_secrets: said_first(first.pull_secrets, second.pull_secrets),
        node_selector: said_first(first.node_selector, second.node_selector),
        tolerations: said_first(first.tolerations, second.tolerations),
        run_as: first.run_as.or(second.run_as),
        volume_at: first.volume_at.or(second.volume_at),
        volume: first.volume.or(second.volume),
    }
}

/// The words of `kept` about a Kubernetes cluster about which `said` is silent.
fn site_beside(kept: Site, said: &Site) -> Site {
    Site {
        kubeconfig: kept.kubeconfig.filter(|_| said.kubeconfig.is_none()),
        context: kept.context.filter(|_| said.context.is_none()),
        namespaces: Namespaces {
            pattern: unless_said(kept.namespaces.pattern, &said.namespaces.pattern),
            of: unless_said(kept.namespaces.of, &said.namespaces.of),
        },
        image: kept.image.filter(|_| said.image.is_none()),
        accelerator: kept.accelerator.filter(|_| said.accelerator.is_none()),
        service_account: kept.service_account.filter(|_| said.service_account.is_none()),
        priority_class: kept.priority_class.filter(|_| said.priority_class.is_none()),
        runtime_class: kept.runtime_class.filter(|_| said.runtime_class.is_none()),
        scheduler: kept.scheduler.filter(|_| said.scheduler.is_none()),
        pull_secrets: unless_said(kept.pull_secrets, &said.pull_secrets),
        node_selector: unless_said(kept.node_selector, &said.node_selector),
        tolerations: unless_said(kept.tolerations, &said.tolerations),
        run_as: kept.run_as.filter(|_| said.run_as.is_none()),
        // Where another volume is seen is not where this one is.
        volume_at: kept.volume_at.filter(|_| said.volume_at.is_none() && said.volume.is_none()),
        volume: kept.volume.filter(|_| said.volume.is_none()),
    }
}

/// What was said of a Kubernetes cluster, as options of the command line.
fn site_options(site: &Site) -> Vec<String> {
    let pattern = Some(&site.namespaces.pattern).filter(|pattern| !pattern.is_empty());
    let one = [
        ("kubeconfig", site.kubeconfig.as_ref().map(|path| path.display().to_string())),
        ("kube-context", site.context.clone()),
        ("kube-namespace", pattern.cloned()),
        ("kube-default-image", site.image.clone()),
        ("kube-accelerator", site.accelerator.clone()),
        ("kube-service-account", site.service_account.clone()),
        ("kube-priority-class", site.priority_class.clone()),
        ("kube-runtime-class", site.runtime_class.clone()),
        ("kube-scheduler", site.scheduler.clone()),
        ("kube-run-as", site.run_as.map(|user| user.to_string())),
        ("kube-volume", site.volume.as_ref().map(ToString::to_string)),
        ("kube-volume-at", site.volume_at.as_ref().map(|path| path.display().to_string())),
    ];
    let one = one.into_iter().filter_map(|(name, value)| Some(format!("--{name} {}", value?)));
    let pair = |(key, value): (&String, &String)| format!("{key}={value}");
    one.chain(site.namespaces.of.iter().map(|of| format!("--kube-namespace-of {}", pair(of))))
        .chain(site.pull_secrets.iter().map(|name| format!("--kube-pull-secret {name}")))
        .chain(site.node_selector.iter().map(|of| format!("--kube-node-selector {}", pair(of))))
        .chain(site.tolerations.iter().map(|key| format!("--kube-toleration {key}")))
        .collect()
}

fn is_silent(site: &SiteWords) -> bool {
    *site == SiteWords::default()
}

/// The words of `first`, and those of `second` where it is silent.
fn either(first: SiteWords, second: SiteWords) -> SiteWords {
    SiteWords {
        partition: first.partition.or(second.partition),
        account: first.account.or(second.account),
        qos: first.qos.or(second.qos),
        constraint: first.constraint.or(second.constraint),
        gres: first.gres.or(second.gres),
        rest: first.rest.or(second.rest),
        token_file: first.token_file.or(second.token_file),
        extra: said_first(first.extra, second.extra),
        ahead: first.ahead.or(second.ahead),
        allow: said_first(first.allow, second.allow),
    }
}

/// The words of `kept` about which `said` is silent.
fn beside(kept: SiteWords, said: &SiteWords) -> SiteWords {
    SiteWords {
        partition: kept.partition.filter(|_| said.partition.is_none()),
        account: kept.account.filter(|_| said.account.is_none()),
        qos: kept.qos.filter(|_| said.qos.is_none()),
        constraint: kept.constraint.filter(|_| said.constraint.is_none()),
        gres: kept.gres.filter(|_| said.gres.is_none()),
        rest: kept.rest.filter(|_| said.rest.is_none()),
        token_file: kept.token_file.filter(|_| said.token_file.is_none()),
        extra: unless_said(kept.extra, &said.extra),
        ahead: kept.ahead.filter(|_| said.ahead.is_none()),
        allow: unless_said(kept.allow, &said.allow),
    }
}

impl Offering {
    /// What is kept in an agent's folder; nothing at all where nothing is.
    pub fn kept(data: &Path) -> Result<Self, AgentFault> {
        Ok(read_kept(Self::path(data))?.unwrap_or_default())
    }

    /// Keeps it in an agent's folder, where it is something else than before.
    pub fn keep(&self, data: &Path) -> Result<(), AgentFault> {
        if Self::kept(data)? == *self {
            return Ok(());
        }
        write_kept(&Self::path(data), self)
    }

    /// Where it is kept in an agent's folder.
    pub fn path(data: &Path) -> PathBuf {
        data.join(OFFERING_FILE)
    }

    /// The part of it about which `said` is silent.
    #[must_use]
    pub fn beside(self, said: &Self) -> Self {
        Self {
            engine: self.engine.filter(|_| said.engine.is_none()),
            node: self.node.filter(|_| said.node.is_none()),
            cpus: self.cpus.filter(|_| said.cpus.is_none()),
            memory: self.memory.filter(|_| said.memory.is_none()),
            features: unless_said(self.features, &said.features),
            fabric: self.fabric.filter(|_| said.fabric.is_none()),
            leaf: self.leaf.filter(|_| said.leaf.is_none()),
            nodes: self.nodes.filter(|_| said.nodes.is_none()),
            isolation: self.isolation.filter(|_| said.isolation.is_none()),
            publish_root: self.publish_root.filter(|_| said.publish_root.is_none()),
            input_roots: if said.input_roots.is_empty() { self.input_roots } else { Vec::new() },
            container_socket: self.container_socket.filter(|_| said.container_socket.is_none()),
            default_image: self.default_image.filter(|_| said.default_image.is_none()),
            pull: self.pull.filter(|_| said.pull.is_none()),
            container_network: self.container_network.filter(|_| said.container_network.is_none()),
            cache: self.cache.filter(|_| said.cache.is_none()),
            private_data: self.private_data.filter(|_| said.private_data.is_none()),
            slurm: beside(self.slurm, &said.slurm),
            kubernetes: site_beside(self.kubernetes, &said.kubernetes),
        }
    }

    /// This, and where it is silent, `other`.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let input_roots =
            if self.input_roots.is_empty() { other.input_roots } else { self.input_roots };
        Self {
            engine: self.engine.or(other.engine),
            node: self.node.or(other.node),
            cpus: self.cpus.or(other.cpus),
            memory: self.memory.or(other.memory),
            features: said_first(self.features, other.features),
            fabric: self.fabric.or(other.fabric),
            leaf: self.leaf.or(other.leaf),
            nodes: self.nodes.or(other.nodes),
            isolation: self.isolation.or(other.isolation),
            publish_root: self.publish_root.or(other.publish_root),
            input_roots,
            container_socket: self.container_socket.or(other.container_socket),
            default_image: self.default_image.or(other.default_image),
            pull: self.pull.or(other.pull),
            container_network: self.container_network.or(other.container_network),
            cache: self.cache.or(other.cache),
            private_data: self.private_data.or(other.private_data),
            slurm: either(self.slurm, other.slurm),
            kubernetes: either_site(self.kubernetes, other.kubernetes),
        }
    }

    /// As options of the command line.
    pub fn options(&self) -> Vec<String> {
        let Self {
            engine,
            node,
            cpus,
            memory,
            features,
            fabric,
            leaf,
            nodes,
            isolation,
            publish_root,
            input_roots,
            container_socket,
            default_image,
            pull,
            container_network,
            cache,
            private_data,
            slurm,
            kubernetes,
        } = self;
        let folder = |path: &PathBuf| path.display().to_string();
        let one = [
            ("engine", engine.clone()),
            ("node", node.clone()),
            ("cpus", cpus.map(|cpus| cpus.to_string())),
            ("memory", memory.map(|memory| memory.to_string())),
            ("fabric", fabric.clone()),
            ("leaf", leaf.clone()),
            ("nodes", nodes.map(|nodes| nodes.to_string())),
            ("isolation", isolation.clone()),
            ("publish-root", publish_root.as_ref().map(folder)),
            ("container-socket", container_socket.as_ref().map(folder)),
            ("default-image", default_image.clone()),
            ("pull", pull.clone()),
            ("container-network", container_network.clone()),
            ("cache", cache.map(|cache| cache.to_string())),
            ("private-data", private_data.clone()),
            ("slurm-partition", slurm.partition.clone()),
            ("slurm-account", slurm.account.clone()),
            ("slurm-qos", slurm.qos.clone()),
            ("slurm-constraint", slurm.constraint.clone()),
            ("slurm-gres", slurm.gres.clone()),
            ("slurm-rest", slurm.rest.clone()),
            ("slurm-token-file", slurm.token_file.as_ref().map(folder)),
            ("slurm-ahead", slurm.ahead.map(|percent| percent.to_string())),
        ];
        let one = one.into_iter().filter_map(|(name, value)| Some(format!("--{name} {}", value?)));
        one.chain(input_roots.iter().map(|root| format!("--input-root {}", folder(root))))
            .chain(features.iter().map(|name| format!("--feature {name}")))
            .chain(slurm.extra.iter().map(|word| format!("--slurm-extra={word}")))
            .chain(slurm.allow.iter().map(|word| format!("--slurm-allow {word}")))
            .chain(site_options(kubernetes))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined_with() -> Offering {
        Offering {
            cpus: Some(MilliCpu(1_000)),
            memory: Some(Bytes(2_000_000_000)),
            isolation: Some("best".to_owned()),
            input_roots: vec![PathBuf::from("/in")],
            ..Offering::default()
        }
    }

    #[test]
    fn what_is_not_said_again_stays_and_what_is_said_counts() {
        let kept = joined_with();
        let silent = Offering::default();
        assert_eq!(silent.clone().or(kept.clone().beside(&silent)), kept);
        let options = kept.options().join(" ");
        assert_eq!(options, "--cpus 1 --memory 2GB --isolation best --input-root /in");

        let said = Offering {
            cpus: Some(MilliCpu(500)),
            input_roots: vec![PathBuf::from("/other")],
            ..Offering::default()
        };
        let used = kept.beside(&said);
        assert_eq!(used.options().join(" "), "--memory 2GB --isolation best");
        let offered = said.or(used).options().join(" ");
        assert_eq!(offered, "--cpus 0.5 --memory 2GB --isolation best --input-root /other");
    }
}
