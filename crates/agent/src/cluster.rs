//! A cluster whose own scheduler places the tasks, as the agent shows it.
//!
//! Invariant: a cluster that does not answer is shown as it was last seen; a question that fails
//! takes no node away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use dayan_engines::kubernetes::Site;
use dayan_engines::slurm::{self, Access, Load, SiteWords, Survey};
use dayan_engines::{Fault, SlurmConfig};
use dayan_units::{Bytes, MilliAccel, MilliCpu, Resources, Span};
use dayan_wire::{AccountsCompared, HeldPart, PoolLoad, ShownNode, ShownQueue};

/// What is shown of a cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterShown {
    pub(crate) nodes: Vec<ShownNode>,
    /// What stays the same of it, for the inventory.
    pub(crate) lines: BTreeMap<String, String>,
    /// What may wait in its own queue.
    pub(crate) queue: Option<ShownQueue>,
    /// What others do in it, where that was seen.
    pub(crate) load: Option<PoolLoad>,
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
    Slurm(slurm::Lookout),
    /// The API server of a Kubernetes cluster, which tells of changes.
    #[cfg(feature = "kubernetes")]
    Kubernetes(dayan_engines::kubernetes::Lookout),
}

impl Cluster {
    pub(crate) const fn slurm(config: SlurmConfig) -> Self {
        Self { source: Source::Slurm(slurm::Lookout::new(config)), last: Mutex::new(None) }
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

    /// What jobs may say to its scheduler.
    pub(crate) fn job_words(&self) -> BTreeSet<String> {
        match &self.source {
            Source::Slurm(lookout) => {
                let known = |word: &&String| slurm::JOB_WORDS.contains(&word.as_str());
                lookout.config().site.allow.iter().filter(known).cloned().collect()
            }
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(_) => BTreeSet::new(),
        }
    }

    /// As it is now, or as it was last seen. Waits for the cluster's answers.
    pub(crate) fn look(&self) -> Result<ClusterShown, Fault> {
        let seen = match &self.source {
            Source::Slurm(lookout) => lookout
                .look()
                .map(|(survey, load)| shown(&survey, load.as_ref(), &lookout.config().site)),
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
                Ok(ClusterShown { load: None, ..known.clone() })
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
    ClusterShown { nodes: nodes.collect(), lines, ..ClusterShown::default() }
}

/// What waits in the cluster's queue has at most this time limit: a task that comes after has the
/// chance to begin elsewhere meanwhile, and the one that waits cannot be moved.
const WAITS_MAX: Span = Span::from_secs(15 * 60);
/// How much may wait there unless told, in percent of the cluster: what a round of everything that runs
/// brings in until the exchange has sent the next.
const AHEAD_PERCENT: u32 = 100;

/// The places in its queue: so many percent of the processors of the nodes that are up.
fn queue(nodes: &[ShownNode], percent: u32) -> Option<ShownQueue> {
    let up = || nodes.iter().filter(|node| node.up).map(|node| node.total);
    let unit = up().fold(Resources::ZERO, |most, total| Resources {
        cpu: most.cpu.max(total.cpu),
        memory: most.memory.max(total.memory),
        disk: most.disk.max(total.disk),
        // Cards are worth waiting for elsewhere.
        accel: MilliAccel::ZERO,
    });
    let all: u64 = up().map(|total| total.cpu.0).sum();
    let wanted = all.saturating_mul(u64::from(percent)) / 100;
    let places = wanted.div_ceil(unit.cpu.0.max(1));
    let places = u32::try_from(places).ok().filter(|places| *places > 0)?;
    Some(ShownQueue { unit, places, time_max_us: WAITS_MAX.micros() })
}

fn load_of(load: &Load) -> PoolLoad {
    let secs = |span: Span| u64::try_from(span.secs_ceil()).unwrap_or(0);
    let part = |part: &slurm::Held| HeldPart {
        node: part.node.clone(),
        resources: part.resources,
        ends_in_s: part.ends_in.map(secs),
    };
    PoolLoad {
        held: load.held.iter().map(part).collect(),
        others_waiting: load.others_waiting,
        ours_waiting: load.ours_waiting,
        forecast_s: load.forecast.map(secs),
        accounts: load.compared.as_ref().map(|tally| AccountsCompared {
            compared: tally.compared,
            differed: tally.differed,
            last: Some(tally.last.clone()).filter(|last| !last.is_empty()),
        }),
    }
}

/// The nodes as far as the site's accounting lets this user have processors at once: which of them it
/// gets is Slurm's to say, but so many are all there are. What is beyond is shown as not up.
fn within(mut nodes: Vec<ShownNode>, cpus_max: Option<u64>) -> Vec<ShownNode> {
    let Some(cpus) = cpus_max else { return nodes };
    let mut left = MilliCpu(cpus.saturating_mul(1_000));
    for node in nodes.iter_mut().filter(|node| node.up) {
        let cpu = node.total.cpu.min(left);
        left = MilliCpu(left.0 - cpu.0);
        if cpu == MilliCpu(0) {
            node.up = false;
        } else {
            node.total.cpu = cpu;
        }
    }
    nodes
}

fn shown(survey: &Survey, load: Option<&Load>, site: &SiteWords) -> ClusterShown {
    let nodes = survey.nodes.iter().map(|node| ShownNode {
        name: node.name.clone(),
        total: node.total,
        accelerator: node.accelerator.clone(),
        features: [format!("partition-{}", survey.partition.name)].into(),
        leaf: None,
        up: node.up,
    });
    let bounds = survey.bounds(site, &BTreeMap::new());
    let nodes = within(nodes.collect(), bounds.cpus_max);
    let partition = &survey.partition;
    let minutes = bounds.minutes_max.map_or("unlimited".to_owned(), |most| most.to_string());
    let lines = [
        ("slurm.cluster", survey.cluster.clone()),
        ("slurm.version", survey.version.clone()),
        ("slurm.partition", partition.name.clone()),
        ("slurm.minutes_max", minutes),
        ("slurm.accounts", partition.accounts.clone()),
        ("slurm.qos", partition.qos.clone()),
    ];
    let access = survey.access.as_ref().map(Access::lines).into_iter().flatten();
    let lines = lines.into_iter().chain(access);
    let lines = lines.map(|(name, value)| (name.to_owned(), value)).collect();
    ClusterShown {
        queue: queue(&nodes, site.ahead.unwrap_or(AHEAD_PERCENT)),
        load: load.map(load_of),
        nodes,
        lines,
    }
}

/// A node of which at most so much is offered.
pub(crate) fn capped(node: ShownNode, cpus: Option<MilliCpu>, memory: Option<Bytes>) -> ShownNode {
    let mut total = node.total;
    total.cpu = cpus.map_or(total.cpu, |most| most.min(total.cpu));
    total.memory = memory.map_or(total.memory, |most| most.min(total.memory));
    ShownNode { total, ..node }
}

/// What others hold of what is offered: of a node of which only a part is, they may hold the rest.
pub(crate) fn beside_offered(
    load: PoolLoad,
    whole: &[ShownNode],
    offered: &[ShownNode],
) -> PoolLoad {
    let mut spare: BTreeMap<&str, Resources> = BTreeMap::new();
    for (all, part) in whole.iter().zip(offered) {
        let rest = all.total.checked_sub(&part.total).unwrap_or(Resources::ZERO);
        spare.insert(&all.name, rest);
    }
    let take = |have: &mut u64, of: u64| {
        let taken = (*have).min(of);
        *have -= taken;
        of - taken
    };
    let mut held = load.held;
    // What is held for longest is the first to be somebody else's business.
    held.sort_by_key(|part| std::cmp::Reverse(part.ends_in_s.unwrap_or(u64::MAX)));
    for part in &mut held {
        let Some(rest) = spare.get_mut(part.node.as_str()) else { continue };
        let of = &mut part.resources;
        of.cpu = MilliCpu(take(&mut rest.cpu.0, of.cpu.0));
        of.memory = Bytes(take(&mut rest.memory.0, of.memory.0));
    }
    held.retain(|part| part.resources != Resources::ZERO);
    PoolLoad { held, ..load }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, cores: u64, up: bool) -> ShownNode {
        let total = Resources {
            cpu: MilliCpu(cores * 1_000),
            memory: Bytes(cores << 30),
            accel: MilliAccel(2_000),
            ..Resources::ZERO
        };
        ShownNode {
            name: name.to_owned(),
            total,
            accelerator: None,
            features: BTreeSet::new(),
            leaf: None,
            up,
        }
    }

    #[test]
    fn the_queue_is_as_large_as_what_is_up_and_holds_no_cards() {
        let nodes = [node("a", 16, true), node("b", 8, true), node("c", 64, false)];
        let made = queue(&nodes, 100).expect("some are up");
        assert_eq!((made.unit.cpu, made.unit.accel.0, made.places), (MilliCpu(16_000), 0, 2));
        assert_eq!(queue(&nodes, 400).map(|made| made.places), Some(6));
        assert_eq!(queue(&nodes, 0), None);
        assert_eq!(queue(&nodes[2..], 100), None);
    }

    #[test]
    fn no_more_is_shown_than_the_user_may_have_at_once() {
        let nodes =
            [node("a", 16, true), node("b", 8, false), node("c", 8, true), node("d", 8, true)];
        let check = |most, expect: [(u64, bool); 4]| {
            let shown = within(nodes.to_vec(), most);
            let shown: Vec<_> =
                shown.iter().map(|node| (node.total.cpu.0 / 1_000, node.up)).collect();
            assert_eq!(shown, expect, "{most:?}");
        };
        check(None, [(16, true), (8, false), (8, true), (8, true)]);
        check(Some(20), [(16, true), (8, false), (4, true), (8, false)]);
        check(Some(0), [(16, false), (8, false), (8, false), (8, false)]);
    }

    #[test]
    fn others_may_hold_what_is_not_offered() {
        let part = |node: &str, cores: u64, ends_in_s| HeldPart {
            node: node.to_owned(),
            resources: Resources { cpu: MilliCpu(cores * 1_000), ..Resources::ZERO },
            ends_in_s,
        };
        let held = vec![part("a", 10, Some(60)), part("a", 4, None), part("b", 3, Some(5))];
        let load = PoolLoad { held, ..PoolLoad::default() };
        let whole = [node("a", 16, true), node("b", 8, true)];
        let offered = [node("a", 8, true), node("b", 8, true)];
        let left = beside_offered(load, &whole, &offered).held;
        assert_eq!(left, [part("a", 6, Some(60)), part("b", 3, Some(5))]);
    }
}
