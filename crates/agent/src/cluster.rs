//! A cluster whose own scheduler places the tasks, as the agent shows it.
//!
//! Invariant: a cluster that does not answer is shown as it was last seen, by this agent or by the one
//! before it; a question that fails takes no node away.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;

use dayan_engines::kubernetes::Site;
use dayan_engines::slurm::{self, Access, Load, Names, SiteWords, Survey};
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
            (Err(fault), None) => {
                let known = self.seen_before().filter(|_| matches!(fault, Fault::Unreachable(_)));
                let known = known.ok_or(fault)?;
                tracing::warn!(
                    "the cluster does not answer; it is shown as an earlier agent saw it"
                );
                Ok(known)
            }
        }
    }

    /// As it was when an agent of this folder last had an answer: a member is started again while the
    /// controller is away, and the leases of what runs are to be prolonged.
    fn seen_before(&self) -> Option<ClusterShown> {
        match &self.source {
            Source::Slurm(lookout) => {
                Some(shown(&lookout.last_seen()?, None, &lookout.config().site))
            }
            #[cfg(feature = "kubernetes")]
            Source::Kubernetes(_) => None,
        }
    }
}

/// A model by the catalogue's name, so that it is found by all of its names; what that does not know stays
/// as the site calls it.
fn by_catalogue(model: &str) -> String {
    dayan_measure::canonical(model).to_owned()
}

#[cfg(feature = "kubernetes")]
fn shown_by_kubernetes(survey: dayan_engines::kubernetes::Survey) -> ClusterShown {
    let nodes = survey.nodes.into_iter().map(|node| ShownNode {
        name: node.name,
        total: node.total,
        accelerator: node.accelerator.as_deref().map(by_catalogue),
        features: BTreeSet::new(),
        leaf: None,
        islands: Vec::new(),
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
        accelerator: node.accelerator.as_deref().map(by_catalogue),
        features: {
            let partition = format!("partition-{}", survey.partition.name);
            node.features.iter().cloned().chain([partition]).collect()
        },
        leaf: None,
        islands: Vec::new(),
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
        ("slurm.accounts", partition.gate.accounts.to_string()),
        ("slurm.qos", partition.gate.qos.to_string()),
    ];
    let access = survey.access_here().as_ref().map(Access::lines).into_iter().flatten();
    let groups = &partition.gate.groups;
    let groups = (*groups != Names::All).then(|| ("slurm.groups", groups.to_string()));
    // What jobs may name that may name a partition: those that this user may use.
    let open = || survey.partitions.iter().filter(|one| one.closed.is_none());
    let others = || open().map(|one| one.name.as_str()).collect::<Vec<_>>();
    let others = site.allow.contains("partition").then(|| ("slurm.partitions", others().join(",")));
    let closed = partition.closed.clone().map(|why| ("slurm.closed", why));
    let lines = lines.into_iter().chain(access).chain(groups).chain(closed).chain(others);
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
            islands: Vec::new(),
            up,
        }
    }

    /// A command of Slurm's that says what stands in a file, or that nobody answers where there is none.
    fn fake(commands: &Path, name: &str) {
        let path = commands.join(name);
        let away = "echo 'Unable to contact slurm controller (connect failure)' >&2; exit 1";
        let text = format!(
            "#!/bin/sh\nfor what in \"$@\"; do :; done\ncat {0}/$what 2> /dev/null || {{ {away}; }}\n",
            commands.display()
        );
        std::fs::write(&path, text).expect("writes");
        let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path, may_run).expect("ours");
    }

    #[test]
    fn a_member_is_started_while_the_controller_is_away() {
        let dir = tempfile::tempdir().expect("a folder");
        let commands = dir.path().join("bin");
        std::fs::create_dir(&commands).expect("a folder");
        for name in ["scontrol", "squeue"] {
            fake(&commands, name);
        }
        let say =
            |what: &str, text: &str| std::fs::write(commands.join(what), text).expect("writes");
        say("config", "ClusterName = lab\nSLURM_VERSION = 22.05.8\n");
        say("partition", "PartitionName=main Default=YES MaxTime=60:00 State=UP\n");
        let node = "CPUTot=8 RealMemory=4096 State=IDLE Partitions=main ActiveFeatures=avx512";
        let nodes =
            [("n1", "gpu:a100:4"), ("n2", "gpu:V100-SXM2-32GB:2"), ("n3", "gpu:own_card:1")];
        let nodes = nodes.map(|(name, gres)| format!("NodeName={name} Gres={gres} {node}\n"));
        say("node", &nodes.concat());
        let config = |folder: &str| SlurmConfig {
            dir: dir.path().join(folder),
            wrapper: Vec::new(),
            site: SiteWords::default(),
            commands: Some(commands.clone()),
            pace: slurm::Pace::default(),
            answers: slurm::Answers::alone(),
        };
        let seen = Cluster::slurm(config("a")).look().expect("it answers");
        let models: Vec<_> = seen.nodes.iter().filter_map(|n| n.accelerator.as_deref()).collect();
        assert_eq!(models, ["A100", "V100-SXM2-32GB", "own_card"], "by the catalogue");
        assert!(seen.nodes[0].features.iter().eq(["avx512", "partition-main"]));

        for what in ["config", "partition", "node"] {
            std::fs::remove_file(commands.join(what)).expect("it was there");
        }
        let known = Cluster::slurm(config("a")).look().expect("it was seen before");
        assert_eq!((known.nodes, known.lines), (seen.nodes, seen.lines));
        let first = Cluster::slurm(config("b")).look();
        assert!(matches!(first, Err(Fault::Unreachable(_))), "nobody has seen it: {first:?}");
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
