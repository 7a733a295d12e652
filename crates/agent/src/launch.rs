//! From what the exchange orders to what the engine runs.
//!
//! The exchange gives the environment; the agent adds what only it knows: where the gang's head
//! is reached, which ports and cards are its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dayan_engines::{Isolation, Launch, LeaseEnd, Limits, Program, Workdir};
use dayan_units::{AttemptId, Bytes, JobId, MilliCpu, Span};
use dayan_wire::{Gang, LeaseOrder};

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

/// Is there something to do in its folder before it starts?
pub(crate) fn needs_staging(order: &LeaseOrder) -> bool {
    !order.inputs.is_empty() || order.workdir.is_some() || order.gang.is_some()
}

/// The engine's launch for an order. `folder` is the attempt's own folder where it was prepared.
pub(crate) fn launch(
    order: &LeaseOrder,
    lease_end: LeaseEnd,
    folder: Option<&Path>,
    vendors: &[String],
) -> Launch {
    Launch {
        attempt: order.attempt,
        program: Program::Shell(order.run.clone()),
        env: environment(order, folder, vendors),
        workdir: match (&order.workdir, folder) {
            (Some(inside), Some(folder)) => Workdir::At(folder.join(inside)),
            (Some(_) | None, _) => Workdir::Fresh,
        },
        limits: Limits {
            cpu: order.resources.cpu.max(CPU_MIN),
            memory: order.resources.memory.max(MEMORY_MIN),
            wall: Span::from_micros(order.time_limit_us),
            ..Limits::default()
        },
        lease_end,
        isolation: Isolation::None,
        node: order.node.clone(),
    }
}

fn environment(
    order: &LeaseOrder,
    folder: Option<&Path>,
    vendors: &[String],
) -> BTreeMap<String, String> {
    let mut env = order.env.clone();
    let mut set = |name: &str, value: String| {
        env.insert(name.to_owned(), value);
    };
    if !order.cards.is_empty() {
        let numbers: Vec<String> = order.cards.iter().map(ToString::to_string).collect();
        for name in visible_devices(vendors) {
            set(name, numbers.join(","));
        }
    }
    if let Some(gang) = &order.gang {
        set("DAYAN_PORT", base_port(gang.slot).to_string());
        if on_one_machine(gang) {
            set("DAYAN_HEAD", LOOPBACK.to_owned());
        }
        if let Some(folder) = folder {
            let path: PathBuf = folder.join(HOSTFILE);
            set("DAYAN_HOSTFILE", path.to_string_lossy().into_owned());
        }
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

fn on_one_machine(gang: &Gang) -> bool {
    gang.nodes.windows(2).all(|pair| pair[0] == pair[1])
}

/// The host file's content: a line per node with its slots, as `mpirun` reads it. What the
/// exchange counts as processes (`DAYAN_TASKS`) is spread evenly over the members.
pub(crate) fn hostfile(order: &LeaseOrder) -> Option<String> {
    let gang = order.gang.as_ref()?;
    let members = u32::try_from(gang.nodes.len()).unwrap_or(u32::MAX).max(1);
    let tasks = order.env.get("DAYAN_TASKS").and_then(|tasks| tasks.parse().ok());
    let slots = tasks.unwrap_or(members).div_ceil(members).max(1);
    let one_machine = on_one_machine(gang);
    let mut lines: Vec<(&str, u32)> = Vec::new();
    for node in &gang.nodes {
        let name = if one_machine { LOOPBACK } else { node.as_str() };
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, count)) => *count += slots,
            None => lines.push((name, slots)),
        }
    }
    Some(lines.iter().map(|(name, slots)| format!("{name} slots={slots}\n")).collect())
}

/// The folder that publishing gathers an attempt's outputs in, under the publishing root.
pub(crate) fn attempt_folder(attempt: AttemptId) -> PathBuf {
    let AttemptId { job, task, attempt } = attempt;
    PathBuf::from(format!("{job}/{task}.{attempt}"))
}
