//! What the agent shows of its pool, and how it proves it.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use dayan_engines::{EngineInfo, EngineKind, Fault, Fence, Isolation, Placing};
use dayan_identity::{Challenge, Nonce};
use dayan_measure::Sharing;
use dayan_units::{Bytes, MilliAccel, MilliCpu, Resources, Span, Time};
use dayan_wire::{ChallengeAnswer, PoolLoad, PoolShown, ShownNode};
use sha2::{Digest, Sha256};

use crate::cluster::{self, Cluster, ClusterShown};
use crate::config::Fittings;
use crate::images::Images;
use crate::kernels::Host;
use crate::probe::{self, Accelerator, Inventory};

/// What the operator lets be offered.
#[derive(Clone, Debug)]
pub(crate) struct Offered {
    pub(crate) node: String,
    pub(crate) cpus: Option<MilliCpu>,
    pub(crate) memory: Option<Bytes>,
    /// As how many equal nodes this machine is shown.
    pub(crate) parts: std::num::NonZeroU32,
    /// What the nodes have beside numbers.
    pub(crate) fittings: Fittings,
    pub(crate) machines: Machines,
    pub(crate) staging: Staging,
    /// How tasks are kept apart from this machine.
    pub(crate) isolation: Isolation,
    /// What is known of images, where they are run.
    pub(crate) images: Option<Images>,
}

/// Which machines are offered.
#[derive(Clone, Debug)]
pub(crate) enum Machines {
    /// The agent's own.
    This,
    /// Those that an engine of the caller's stands for.
    Given(Vec<ShownNode>),
    /// Those of a cluster, which the agent's machine is only the door to.
    Of(Arc<Cluster>),
}

impl Machines {
    /// Do they come and go without the agent?
    pub(crate) const fn change(&self) -> bool {
        match self {
            Self::Of(_) => true,
            Self::This | Self::Given(_) => false,
        }
    }
}

/// Does the agent copy data in and out?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Staging {
    /// It has a root to publish under.
    Offered,
    /// It has none.
    Absent,
}

/// A picture of the pool, and by what it is known again.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    pub(crate) shown: PoolShown,
    pub(crate) digest: String,
    /// The same of its inventory alone.
    pub(crate) inventory: String,
    /// Is all of the machine offered, or is the rest somebody else's?
    pub(crate) sharing: Sharing,
    /// What others do in the pool. Not a part of what is shown: it changes all the time.
    pub(crate) load: Option<PoolLoad>,
    /// What the measuring kernels must know.
    pub(crate) host: Host,
    /// The kinds of the cards, as their drivers number them.
    pub(crate) vendors: Vec<String>,
}

impl Offered {
    /// What tasks can ask for on this engine, by the names of the job file's features.
    fn features(&self, info: &EngineInfo) -> BTreeSet<String> {
        use dayan_spec::Feature;
        let mut features = BTreeSet::new();
        if self.staging == Staging::Offered {
            features.insert(Feature::Staging);
        }
        match info.kind {
            // The agent prepares the task's folder and looks into it afterwards.
            EngineKind::Process
            | EngineKind::Podman
            | EngineKind::Docker
            | EngineKind::Slurm
            | EngineKind::Kubernetes
                if info.features.folders =>
            {
                features.extend([
                    Feature::DataStore,
                    Feature::Files,
                    Feature::Http,
                    Feature::Secrets,
                    Feature::StreamedOutputs,
                ]);
                if info.features.signals {
                    features.extend([Feature::Checkpoint, Feature::TimeSignal]);
                }
                if cfg!(feature = "s3") {
                    features.insert(Feature::ObjectStore);
                }
            }
            // Without a folder there is still what a task is told.
            EngineKind::Kubernetes => {
                features.insert(Feature::Secrets);
            }
            EngineKind::Process
            | EngineKind::Podman
            | EngineKind::Docker
            | EngineKind::Slurm
            | EngineKind::Simulated => {}
        }
        if self.images.is_some() {
            features.insert(Feature::Containers);
            features.insert(Feature::Steps);
        }
        if self.fittings.fabric.is_some() {
            features.insert(Feature::Fabric);
        }
        let mut named: BTreeSet<String> =
            features.into_iter().map(|feature| feature.as_str().to_owned()).collect();
        if let Machines::Of(cluster) = &self.machines {
            let words = cluster.job_words();
            if !words.is_empty() {
                named.insert(Feature::SlurmOptions.as_str().to_owned());
            }
            named.extend(words.iter().map(|word| dayan_engines::slurm::feature_of(word)));
        }
        if self.images.as_ref().is_some_and(|images| images.words.default_image.is_some()) {
            named.insert(dayan_spec::JOBS_WITHOUT_IMAGE.to_owned());
        }
        named
    }

    /// Looks at the machine. Takes milliseconds, with a sick vendor tool seconds; a cluster's
    /// commands take what its controller takes.
    pub(crate) fn picture(&self, engine: &EngineInfo, data: &Path) -> Result<Picture, Fault> {
        let inventory = probe::probe(data);
        let node = self.this_machine(&inventory);
        let cluster = match &self.machines {
            Machines::This | Machines::Given(_) => ClusterShown::default(),
            Machines::Of(cluster) => cluster.look()?,
        };
        let sharing = if node.total.cpu < inventory.limits.cpu {
            Sharing::Shared
        } else {
            Sharing::Exclusive
        };
        let cpus_max = usize::try_from(node.total.cpu.0 / 1_000).ok().and_then(NonZeroUsize::new);
        let host = inventory.host(cpus_max);
        let nodes: Vec<ShownNode> = match &self.machines {
            Machines::This => self.split(node),
            Machines::Given(nodes) => nodes.clone(),
            Machines::Of(_) => {
                let fitted = |node: &ShownNode| {
                    let node = cluster::capped(node.clone(), self.cpus, self.memory);
                    let told = self.fittings.features.iter().cloned();
                    let features = node.features.into_iter().chain(told).collect();
                    ShownNode { features, ..node }
                };
                cluster.nodes.iter().map(fitted).collect()
            }
        };
        let load = cluster.load.map(|load| cluster::beside_offered(load, &cluster.nodes, &nodes));
        let shown = PoolShown {
            engine: engine.kind.name().to_owned(),
            fence: match engine.fence {
                Fence::Keeper => "keeper",
                Fence::Wrapper => "wrapper",
                Fence::Cluster => "cluster",
                Fence::None => "none",
            }
            .to_owned(),
            placing: match engine.placing {
                Placing::ByNode => "by_node",
                Placing::ByPool => "by_pool",
            }
            .to_owned(),
            features: self.features(engine),
            fabric: self.fittings.fabric.clone(),
            nodes,
            queue: cluster.queue,
            inventory: {
                let mut lines = self.inventory(&inventory);
                lines.extend(cluster.lines);
                lines
            },
        };
        let text = serde_json::to_vec(&shown).expect("texts and numbers become JSON");
        // A cluster hands out its cards itself, and this machine's are not among them.
        let vendors = match &self.machines {
            Machines::This | Machines::Given(_) => {
                inventory.cards().map(|card| card.vendor.clone()).collect()
            }
            Machines::Of(_) => Vec::new(),
        };
        let lines = serde_json::to_vec(&shown.inventory).expect("texts become JSON");
        Ok(Picture {
            digest: hex::encode(Sha256::digest(text)),
            inventory: hex::encode(Sha256::digest(lines)),
            shown,
            sharing,
            load,
            host,
            vendors,
        })
    }

    /// What stays the same of the machine, and how the agent was told to treat it.
    fn inventory(&self, inventory: &Inventory) -> std::collections::BTreeMap<String, String> {
        let isolation = match (&self.images, &self.isolation) {
            (Some(_), _) => "container",
            (None, Isolation::None) => "none",
            (None, Isolation::Bubblewrap { .. }) => "bubblewrap",
        };
        inventory.stable().with("agent.isolation", isolation).0
    }

    /// The machine as equal nodes: what does not divide is offered by none of them.
    fn split(&self, whole: ShownNode) -> Vec<ShownNode> {
        let parts = u64::from(self.parts.get());
        if parts == 1 {
            return vec![whole];
        }
        let total = Resources {
            cpu: MilliCpu(whole.total.cpu.0 / parts),
            memory: Bytes(whole.total.memory.0 / parts),
            disk: Bytes(whole.total.disk.0 / parts),
            // Whole cards only: half a card on two nodes would be the same card.
            accel: MilliAccel(whole.total.accel.0 / 1_000 / parts * 1_000),
        };
        let name = |number| format!("{}-{number}", whole.name);
        // Which cards a part has is not said.
        let part =
            |number| ShownNode { name: name(number), total, islands: Vec::new(), ..whole.clone() };
        (1..=parts).map(part).collect()
    }

    fn this_machine(&self, inventory: &Inventory) -> ShownNode {
        let usable = &inventory.limits;
        let memory = usable.memory.unwrap_or(Bytes::ZERO);
        let cards = inventory.cards().count();
        ShownNode {
            name: self.node.clone(),
            total: Resources {
                cpu: self.cpus.map_or(usable.cpu, |cpus| cpus.min(usable.cpu)),
                memory: self.memory.map_or(memory, |most| most.min(memory)),
                disk: inventory.data_volume.value().map_or(Bytes::ZERO, |volume| volume.free),
                accel: MilliAccel(u64::try_from(cards).unwrap_or(0) * 1_000),
            },
            accelerator: inventory.cards().next().map(|card| card.model.clone()),
            features: found_features(inventory).chain(self.fittings.features.clone()).collect(),
            leaf: self.fittings.leaf.clone(),
            islands: islands(inventory.cards()),
            up: true,
        }
    }
}

/// The island of each card: those that links join; where no card has links, those at one processor's memory.
/// Numbered as they come; empty where that tells none apart.
fn islands<'a>(cards: impl Iterator<Item = &'a Accelerator>) -> Vec<u8> {
    let cards: Vec<&Accelerator> = cards.collect();
    let by_links = cards.iter().any(|card| card.joined.is_some());
    let mut seen: Vec<(bool, u32)> = Vec::new();
    let number = |(at, card): (u32, &&Accelerator)| {
        let of = if by_links { card.joined } else { card.numa };
        // Joined to none, it is alone; of unknown memory, too.
        let key = of.map_or((false, at), |of| (true, of));
        let known = seen.iter().position(|one| *one == key);
        let place = known.unwrap_or_else(|| {
            seen.push(key);
            seen.len() - 1
        });
        u8::try_from(place).unwrap_or(u8::MAX)
    };
    let numbers: Vec<u8> = (0u32..).zip(&cards).map(number).collect();
    let told = by_links || cards.iter().all(|card| card.numa.is_some());
    if told && numbers.iter().any(|number| *number != 0) { numbers } else { Vec::new() }
}

/// What a task can ask for of the machine itself: its architecture, its instruction sets, and whether
/// its memory is in several parts.
fn found_features(inventory: &Inventory) -> impl Iterator<Item = String> {
    let cpu = inventory.cpu.value();
    let numa = inventory.numa.value().is_some_and(|nodes| nodes.len() > 1);
    let isa = cpu.into_iter().flat_map(|cpu| cpu.isa.iter().cloned());
    let architecture = cpu.map(|cpu| cpu.architecture.clone());
    isa.chain(architecture).chain(numa.then(|| "numa".to_owned()))
}

/// Answers a challenge for the inventory of a picture taken after it was asked; none where the
/// nonce is none.
pub(crate) fn answer(nonce: &str, shown: &PoolShown) -> Option<ChallengeAnswer> {
    let parsed = Nonce::try_from(nonce.to_owned()).ok()?;
    let challenge = Challenge { nonce: parsed, at: Time::EPOCH, answer_within: Span::ZERO };
    let lines: Vec<String> =
        shown.inventory.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let digest = Sha256::digest(challenge.material(&lines.join("\n")));
    Some(ChallengeAnswer { nonce: nonce.to_owned(), digest: hex::encode(digest) })
}

/// This machine's name, without its domain.
pub(crate) fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let short = name.split('.').next().unwrap_or_default();
    if short.is_empty() { "node".to_owned() } else { short.to_owned() }
}

/// A host name as a pool's name: the exchange takes lower-case letters, digits and hyphens.
pub(crate) fn slug(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(32)
        .collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { "pool".to_owned() } else { plain.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_slugs() {
        let check = |name: &str, expect: &str| assert_eq!(slug(name), expect);
        check("node1", "node1");
        check("Rack-7_B", "rack-7-b");
        check("--", "pool");
        check("", "pool");
    }

    #[test]
    fn islands_are_those_of_links_or_of_memory() {
        let check = |cards: &[(Option<u32>, Option<u32>)], expect: &[u8]| {
            let cards: Vec<Accelerator> = cards
                .iter()
                .map(|(joined, numa)| Accelerator {
                    joined: *joined,
                    numa: *numa,
                    ..Accelerator::named("nvidia", "x", 0)
                })
                .collect();
            assert_eq!(islands(cards.iter()), expect);
        };
        check(&[], &[]);
        check(&[(None, Some(0)), (None, Some(1)), (None, Some(0))], &[0, 1, 0]);
        check(&[(Some(5), Some(0)), (Some(5), Some(1)), (None, Some(0))], &[0, 0, 1]);
        // All alike, or not known of all.
        check(&[(Some(0), Some(0)), (Some(0), Some(1))], &[]);
        check(&[(None, Some(0)), (None, None)], &[]);
    }

    #[test]
    fn a_challenge_is_answered_for_the_lines_of_the_inventory() {
        let shown = PoolShown {
            engine: String::new(),
            fence: String::new(),
            placing: String::new(),
            features: BTreeSet::new(),
            fabric: None,
            nodes: Vec::new(),
            queue: None,
            inventory: [("b".to_owned(), "2".to_owned()), ("a".to_owned(), "1".to_owned())].into(),
        };
        let nonce = "ab".repeat(32);
        let expect = Sha256::digest(format!("dayan-challenge 1\n{nonce}\na=1\nb=2").as_bytes());
        let answered = answer(&nonce, &shown).expect("a nonce");
        assert_eq!(answered.digest, hex::encode(expect));
        assert_eq!(answer("zz", &shown), None);
    }
}
