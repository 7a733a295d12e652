//! From what the exchange orders to what the engine runs.
//!
//! The exchange gives the environment; the agent adds what only it knows: where the gang's head
//! is reached, which ports and cards are its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dayan_engines::{
    Devices, EngineInfo, EngineKind, Isolation, Launch, LeaseEnd, Limits, Mount, Program, Step,
    Workdir, hosts,
};
use dayan_units::{AttemptId, Bytes, JobId, MilliCpu, Span};
use dayan_wire::{Gang, LeaseOrder, StepOrder};

use crate::images::{self, Images};
use crate::inventory::{Offered, Picture};

/// First port of the first gang, above what the system's own services use.
const PORTS_FIRST: u32 = 20_000;
/// One past the last: where Linux begins to take ports for outgoing connections
/// (`ip_local_port_range`).
const PORTS_END: u32 = 32_768;
/// Ports of one launch: a rendezvous port and some for what is built on it.
const PORTS_PER_LAUNCH: u32 = 16;
/// The least a program is started with, whatever the order says: a shell needs so much.
const MEMORY_MIN: Bytes = Bytes(16 << 20);
/// The least processor share that makes progress.
const CPU_MIN: MilliCpu = MilliCpu(10);
/// Where members of a gang on one machine find each other.
const LOOPBACK: &str = "127.0.0.1";
/// The host file's name in the working folder.
pub(crate) const HOSTFILE: &str = ".dayan-hostfile";
/// By what a task is told of it.
const HOSTFILE_VARIABLE: &str = "DAYAN_HOSTFILE";

/// What this machine is to the exchange.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// The nodes that are this machine, in order; none where the engine stands for others. One
    /// machine may be shown as several nodes, so that gangs can run on it.
    pub(crate) nodes: Vec<String>,
    /// Cards of each of these nodes.
    pub(crate) cards_each: u32,
    /// The cards' vendors.
    pub(crate) vendors: Vec<String>,
    /// How tasks are kept apart from it.
    pub(crate) isolation: Isolation,
    /// What is known of images, where they are run.
    pub(crate) images: Option<Images>,
    /// Are tasks' folders on this machine?
    pub(crate) folders: bool,
}

impl Place {
    /// The driver's number of a node's card: the exchange counts the cards of each node from 0.
    fn card(&self, node: &str, number: u8) -> u32 {
        let before = self.nodes.iter().position(|own| own == node).unwrap_or(0);
        u32::try_from(before).unwrap_or(0) * self.cards_each + u32::from(number)
    }

    /// Are all members of a gang on this machine?
    fn holds(&self, gang: &Gang) -> bool {
        gang.nodes.iter().all(|node| self.nodes.contains(node))
    }
}

/// What this machine is to the exchange. Every node of a process engine is this machine.
pub(crate) fn place(info: &EngineInfo, picture: &Picture, offered: &Offered) -> Place {
    let nodes = match info.kind {
        EngineKind::Process | EngineKind::Podman | EngineKind::Docker => &picture.shown.nodes[..],
        EngineKind::Slurm | EngineKind::Kubernetes | EngineKind::Simulated => &[],
    };
    let cards = nodes.first().map_or(0, |node| node.total.accel.0 / 1_000);
    Place {
        nodes: nodes.iter().map(|node| node.name.clone()).collect(),
        cards_each: u32::try_from(cards).unwrap_or(0),
        vendors: picture.vendors.clone(),
        isolation: offered.isolation.clone(),
        images: offered.images.clone(),
        folders: info.features.folders,
    }
}

/// What tells one launch of a gang from all others on this agent.
pub(crate) type LaunchKey = (JobId, u32);

/// Which launch of a gang the order belongs to.
pub(crate) fn launch_key(order: &LeaseOrder) -> Option<LaunchKey> {
    order.gang.as_ref().map(|gang| (order.attempt.job, gang.slot))
}

/// Does the member hold its lease only, while the head runs the command?
pub(crate) fn holds_only(order: &LeaseOrder) -> bool {
    order.gang.as_ref().is_some_and(|gang| !gang.runs)
}

/// Is there something to do in its folder before it starts? Where that is elsewhere, only what it
/// cannot do without.
pub(crate) fn needs_staging(order: &LeaseOrder, place: &Place) -> bool {
    // Its folder is watched from its first moment.
    let watched = order.outputs.iter().any(|output| output.file_closed);
    let saves = order.checkpoint.is_some();
    let hosts = has_hostfile(order);
    let own = place.folders && (order.workdir.is_some() || hosts || watched || saves);
    let given = !order.inputs.is_empty() || !order.files.is_empty();
    // Where they go is tried before anything runs.
    let shipped = order.outputs.iter().any(|output| output.to.starts_with("s3://"));
    given || shipped || !order.secrets.is_empty() || own
}

/// Is there a host file for it: for a gang, and for a task of one node that names it in what comes with
/// the order? The others are spared a folder of their own: they are many, and short.
fn has_hostfile(order: &LeaseOrder) -> bool {
    let names = |text: &String| text.contains(HOSTFILE_VARIABLE);
    order.gang.is_some()
        || names(&order.run)
        || order.files.values().any(names)
        || order.steps.iter().flat_map(|step| &step.command).any(names)
}

/// The engine's launch for an order. `folder` is the attempt's own folder where it was prepared.
pub(crate) fn launch(
    order: &LeaseOrder,
    lease_end: LeaseEnd,
    folder: Option<&Path>,
    place: &Place,
) -> Launch {
    Launch {
        attempt: order.attempt,
        program: Program::Shell(order.run.clone()),
        env: environment(order, folder, place),
        workdir: match (&order.workdir, folder) {
            (Some(inside), Some(folder)) => Workdir::At(folder.join(inside)),
            // Inside of a folder that is elsewhere.
            (Some(inside), None) => Workdir::At(PathBuf::from(inside)),
            (None, _) => Workdir::Fresh,
        },
        limits: Limits {
            cpu: order.resources.cpu.max(CPU_MIN),
            memory: order.resources.memory.max(MEMORY_MIN),
            wall: Span::from_micros(order.time_limit_us),
            ..Limits::default()
        },
        lease_end,
        isolation: isolation(order, place),
        node: order.node.clone(),
        cards: if place.vendors.iter().any(|vendor| vendor.eq_ignore_ascii_case("nvidia")) {
            cards(order, place).collect()
        } else {
            Vec::new()
        },
        accelerators: u32::try_from(order.resources.accel.0.div_ceil(1_000)).unwrap_or(u32::MAX),
        // Who of the gang runs is not in the order; the caller knows the others.
        gang: None,
        image: {
            let cards: Vec<u32> = cards(order, place).collect();
            // A task in steps names its images there.
            let named = order.image.as_ref().or_else(|| Some(&order.steps.first()?.image));
            images::named(named, place.images.as_ref(), &place.vendors, &cards)
        },
        mounts: order
            .mounts
            .iter()
            .map(|mount| Mount { from: PathBuf::from(&mount.from), at: mount.at.clone() })
            .collect(),
        steps: order.steps.iter().map(|step| self::step(order, step, place)).collect(),
        org: order.org.clone(),
        site_words: order.site_words.clone(),
        node_features: order.node_features.clone(),
    }
}

fn step(order: &LeaseOrder, step: &StepOrder, place: &Place) -> Step {
    let cards: Vec<u32> = cards(order, place).collect();
    let named = Some(&step.image);
    let image = images::named(named, place.images.as_ref(), &place.vendors, &cards);
    Step {
        image: image.unwrap_or_default(),
        argv: step.command.clone(),
        workdir: step.workdir.clone(),
        env: step.env.clone(),
        stdin: step.stdin.clone(),
        stdout: step.stdout.clone(),
        stderr: step.stderr.clone(),
        ignore_error: step.ignore_error,
    }
}

/// The cards of an order, as the machine's drivers number them.
fn cards(order: &LeaseOrder, place: &Place) -> impl Iterator<Item = u32> {
    order.cards.iter().map(|card| place.card(&order.node, *card))
}

/// The pool's isolation; the devices of cards are seen by those who have leased some.
fn isolation(order: &LeaseOrder, place: &Place) -> Isolation {
    let mut isolation = place.isolation.clone();
    if let Isolation::Bubblewrap { devices, .. } = &mut isolation {
        *devices = if order.cards.is_empty() { Devices::Basic } else { Devices::Machine };
    }
    isolation
}

fn environment(
    order: &LeaseOrder,
    folder: Option<&Path>,
    place: &Place,
) -> BTreeMap<String, String> {
    let mut env = order.env.clone();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    if !order.cards.is_empty() {
        // A container sees no other cards, and counts its own from 0.
        let numbers: Vec<String> = match &place.images {
            Some(_) => (0..order.cards.len()).map(|card| card.to_string()).collect(),
            None => cards(order, place).map(|card| card.to_string()).collect(),
        };
        for name in visible_devices(&place.vendors) {
            set(name, numbers.join(","));
        }
        // CUDA counts the fastest first unless told; the cards were found in the order of the bus.
        set("CUDA_DEVICE_ORDER", "PCI_BUS_ID".to_owned());
    }
    if let (Some(checkpoint), Some(folder)) = (&order.checkpoint, folder) {
        set("DAYAN_CHECKPOINT", folder.join(&checkpoint.path).to_string_lossy().into_owned());
    }
    if let Some(gang) = &order.gang {
        set("DAYAN_PORT", base_port(gang.slot).to_string());
        if place.holds(gang) {
            set("DAYAN_HEAD", LOOPBACK.to_owned());
        }
    }
    if let Some(folder) = folder.filter(|_| has_hostfile(order)) {
        set(HOSTFILE_VARIABLE, folder.join(HOSTFILE).to_string_lossy().into_owned());
    }
    env
}

/// By which variables the vendors' run-times are told which cards they may see.
fn visible_devices(vendors: &[String]) -> Vec<&'static str> {
    let mut names: Vec<&'static str> = vendors
        .iter()
        .filter_map(|vendor| match vendor.to_ascii_lowercase().as_str() {
            "nvidia" => Some("CUDA_VISIBLE_DEVICES"),
            "ascend" | "huawei" => Some("ASCEND_RT_VISIBLE_DEVICES"),
            "amd" | "hygon" => Some("HIP_VISIBLE_DEVICES"),
            _ => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The first port of a launch. Slots are reused when launches end, so they stay small; the range
/// holds 798 launches on one machine.
fn base_port(slot: u32) -> u32 {
    PORTS_FIRST + slot % ((PORTS_END - PORTS_FIRST) / PORTS_PER_LAUNCH) * PORTS_PER_LAUNCH
}

/// The host file's content. A task of one node needs no other name for it.
pub(crate) fn hostfile(order: &LeaseOrder, place: &Place) -> Option<String> {
    if !has_hostfile(order) {
        return None;
    }
    let gang = order.gang.as_ref();
    let slots = hosts::slots(&order.env, gang.map(|gang| gang.nodes.len()));
    let names: Vec<&str> = match gang {
        None => vec!["localhost"],
        Some(gang) if place.holds(gang) => vec![LOOPBACK; gang.nodes.len()],
        Some(gang) => gang.nodes.iter().map(String::as_str).collect(),
    };
    Some(hosts::lines(names.into_iter().zip(slots)))
}

/// The folder that publishing gathers an attempt's outputs in, under the publishing root.
pub(crate) fn attempt_folder(attempt: AttemptId) -> PathBuf {
    let AttemptId { job, task, attempt } = attempt;
    PathBuf::from(format!("{job}/{task}.{attempt}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_engines::{BootId, BootTime};
    use dayan_units::Resources;

    fn order(nodes: &[&str]) -> LeaseOrder {
        LeaseOrder {
            attempt: AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 },
            node: nodes[0].to_owned(),
            resources: Resources::ZERO,
            cards: vec![0, 2],
            keep_us: 1,
            time_limit_us: 7,
            stop: false,
            publish: false,
            name: String::new(),
            org: None,
            image: None,
            run: "true".to_owned(),
            env: [("DAYAN_HEAD", nodes[0]), ("DAYAN_TASKS", "4")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            steps: Vec::new(),
            mounts: Vec::new(),
            files: std::collections::BTreeMap::new(),
            secrets: BTreeMap::new(),
            workdir: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            save_within_us: None,
            checkpoint: None,
            time_signal: None,
            site_words: BTreeMap::new(),
            node_features: std::collections::BTreeSet::new(),
            gang: Some(Gang {
                rank: 0,
                nodes: nodes.iter().map(|&node| node.to_owned()).collect(),
                slot: 799,
                runs: true,
            }),
        }
    }

    fn place() -> Place {
        Place {
            nodes: vec!["a-1".to_owned(), "a-2".to_owned()],
            cards_each: 4,
            vendors: vec!["NVIDIA".to_owned(), "nvidia".to_owned()],
            isolation: Isolation::None,
            images: None,
            folders: true,
        }
    }

    #[test]
    fn members_on_one_machine_meet_on_its_loopback() {
        let check = |nodes: &[&str], head: &str, hosts: &str| {
            let order = order(nodes);
            let end = LeaseEnd { boot: BootId(1), at: BootTime::NEVER };
            let launch = launch(&order, end, Some(Path::new("/w")), &place());
            assert_eq!(launch.env["DAYAN_HEAD"], head, "{nodes:?}");
            assert_eq!(launch.env["DAYAN_PORT"], "20016", "slots wrap around");
            assert_eq!(launch.env["DAYAN_HOSTFILE"], "/w/.dayan-hostfile");
            assert_eq!(hostfile(&order, &place()).as_deref(), Some(hosts), "{nodes:?}");
        };
        check(&["a-1", "a-2"], "127.0.0.1", "127.0.0.1 slots=4\n");
        check(&["a-2", "b", "a-2"], "a-2", "a-2 slots=3\nb slots=1\n");
    }

    #[test]
    fn a_task_of_one_node_has_a_host_file_where_it_names_it() {
        let plain = LeaseOrder { gang: None, ..order(&["a-1"]) };
        let run = "mpirun --hostfile $DAYAN_HOSTFILE ./a.out".to_owned();
        let mut says = LeaseOrder { run, ..plain.clone() };
        says.env.insert("DAYAN_CPUS".to_owned(), "6".to_owned());
        let names = says.clone();
        says.env.insert("DAYAN_TASKS_PER_NODE".to_owned(), "4".to_owned());
        let end = LeaseEnd { boot: BootId(1), at: BootTime::NEVER };
        let (few, all) = (Some("localhost slots=4\n"), Some("localhost slots=6\n"));
        for (order, expect) in [(plain, None), (says, few), (names, all)] {
            assert_eq!(needs_staging(&order, &place()), expect.is_some(), "{}", order.run);
            assert_eq!(hostfile(&order, &place()).as_deref(), expect, "{}", order.run);
            let told = launch(&order, end, Some(Path::new("/w")), &place());
            let told = told.env.get("DAYAN_HOSTFILE").map(String::as_str);
            assert_eq!(told, expect.map(|_| "/w/.dayan-hostfile"), "{}", order.run);
        }
    }

    #[test]
    fn cards_are_the_nodes_own() {
        let check = |node: &str, expect: &str| {
            let order = LeaseOrder { gang: None, ..order(&[node]) };
            let end = LeaseEnd { boot: BootId(1), at: BootTime::NEVER };
            let launch = launch(&order, end, None, &place());
            assert_eq!(launch.env["CUDA_VISIBLE_DEVICES"], expect);
            let cards: Vec<String> = launch.cards.iter().map(u32::to_string).collect();
            assert_eq!(cards.join(","), expect, "whose energy is counted");
            assert!(launch.limits.memory >= MEMORY_MIN && launch.limits.cpu >= CPU_MIN);
        };
        check("a-1", "0,2");
        check("a-2", "4,6");
    }

    #[test]
    fn who_leases_cards_sees_devices() {
        let hidden = vec![PathBuf::from("/var/lib/agent")];
        let shut = |devices| Isolation::Bubblewrap {
            network: dayan_engines::Network::Host,
            devices,
            hidden: hidden.clone(),
        };
        let check = |place: &Place, cards: Vec<u8>, expect: Isolation| {
            let order = LeaseOrder { gang: None, cards, ..order(&["a-1"]) };
            let end = LeaseEnd { boot: BootId(1), at: BootTime::NEVER };
            assert_eq!(launch(&order, end, None, place).isolation, expect);
        };
        let isolated = Place { isolation: shut(Devices::Basic), ..place() };
        check(&isolated, vec![0], shut(Devices::Machine));
        check(&isolated, Vec::new(), shut(Devices::Basic));
        check(&place(), vec![0], Isolation::None);
    }

    #[test]
    fn an_image_reaches_the_engine_whatever_the_pool_is() {
        let image = |image: Option<&str>, place: &Place| {
            let image = image.map(|name| dayan_wire::ImageOrder {
                name: name.to_owned(),
                project: "studio/film".to_owned(),
            });
            let order = LeaseOrder { gang: None, image, ..order(&["a-1"]) };
            let end = LeaseEnd { boot: BootId(1), at: BootTime::NEVER };
            launch(&order, end, None, place)
        };
        let named = |launch: &Launch| launch.image.as_ref().map(|image| image.name.clone());
        assert_eq!(named(&image(Some("r/a:1"), &place())).as_deref(), Some("r/a:1"));
        assert_eq!(named(&image(None, &place())), None);

        let dir = tempfile::tempdir().expect("a folder");
        let mut logins = crate::Registries::default();
        logins.add("studio", "docker.io", "film", "x".to_owned());
        logins.keep(dir.path()).expect("written");
        let words = crate::ImageWords {
            default_image: Some("base:1".to_owned()),
            pull: dayan_engines::Pull::Always,
            ..crate::ImageWords::default()
        };
        let data = dir.path().to_owned();
        let pool = Place { images: Some(Images { words, data }), ..place() };
        assert_eq!(named(&image(None, &pool)).as_deref(), Some("base:1"));
        let launched = image(Some("film/a:1"), &pool);
        assert_eq!(launched.env["CUDA_VISIBLE_DEVICES"], "0,1", "cards are counted anew inside");
        let made = launched.image.expect("one");
        assert_eq!(made.pull, dayan_engines::Pull::Always);
        assert_eq!(made.login.map(|login| login.username).as_deref(), Some("film"));
    }

    #[test]
    fn ports_of_launches_do_not_overlap_and_stay_below_the_systems_own() {
        let mut taken = std::collections::BTreeSet::new();
        for slot in 0..798 {
            let first = base_port(slot);
            assert!(first >= PORTS_FIRST && first + PORTS_PER_LAUNCH <= PORTS_END);
            assert!((first..first + PORTS_PER_LAUNCH).all(|port| taken.insert(port)));
        }
    }
}
