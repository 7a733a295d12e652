//! What this machine is: processor, memory, disks, network cards, accelerators, and how much of
//! it we may use.
//!
//! Every part comes from a named source and is either there or missing with the reason; nothing
//! here panics because a file is absent or a tool hangs. Probing reads and never changes the
//! machine. Serial numbers, MAC addresses and card ids leave only as hashes; host names never.
//! Must not know how fast anything is.

mod accelerator;
mod cpu;
mod device;
mod limits;
mod source;
mod stable;
mod system;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use dayan_units::{Bytes, FlopRate};
use serde::{Deserialize, Serialize};

pub use accelerator::{Accelerator, AcceleratorSource, Mig};
pub use cpu::{Cache, CacheKind, Cpu, NumaNode};
pub use device::{Disk, NetworkCard, Spin, Volume};
pub use limits::{Limits, Quota};
pub use source::Found;
pub use system::System;

use crate::kernels::Host;
use source::Sources;

/// Everything that was found out. What may change while the machine stays the same (free space,
/// boot id, limits, drivers) is in here but not in [`Inventory::stable`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Operating system, boot, virtualisation.
    pub system: Found<System>,
    /// Processors.
    pub cpu: Found<Cpu>,
    /// NUMA nodes with their memory.
    pub numa: Found<Vec<NumaNode>>,
    /// Memory that the operating system manages.
    pub memory: Found<Bytes>,
    /// Memory by the hardware's blocks: more than `memory`, and the same after every boot.
    pub memory_blocks: Found<Bytes>,
    /// Disks, without loop devices and the like.
    pub disks: Found<Vec<Disk>>,
    /// The file system that holds the agent's data.
    pub data_volume: Found<Volume>,
    /// Physical network cards.
    pub networks: Found<Vec<NetworkCard>>,
    /// How much of the machine this process may use.
    pub limits: Limits,
    /// Energy counters (RAPL) that this process can read.
    pub energy: Found<Vec<String>>,
    /// Accelerators, by where they were looked for.
    pub accelerators: Vec<AcceleratorSource>,
}

/// Looks at this machine. Takes some milliseconds; up to 5 s for each vendor tool that hangs.
pub fn probe(data_dir: &Path) -> Inventory {
    probe_from(&Sources::live(), data_dir)
}

/// Looks at a copy of another machine's `/proc`, `/sys` and `/dev` under `root`: vendor libraries,
/// tools and this processor are not asked. For tests and for support cases.
pub fn probe_recorded(root: PathBuf, data_dir: &Path) -> Inventory {
    probe_from(&Sources::recorded(root), data_dir)
}

fn probe_from(sources: &Sources, data_dir: &Path) -> Inventory {
    let memory = system::memory(sources);
    Inventory {
        system: system::system(sources),
        cpu: cpu::cpu(sources),
        numa: cpu::numa(sources),
        memory_blocks: system::memory_blocks(sources),
        disks: device::disks(sources),
        data_volume: device::volume(sources, data_dir),
        networks: device::networks(sources),
        limits: limits::limits(sources, memory.value().copied()),
        energy: system::energy(sources),
        accelerators: accelerator::accelerators(sources),
        memory,
    }
}

impl Inventory {
    /// What the measuring kernels must know. `cpus_max` is the operator's own limit (`--cpus`).
    pub fn host(&self, cpus_max: Option<NonZeroUsize>) -> Host {
        let cpu = self.cpu.value();
        let allowed = NonZeroUsize::new(self.limits.whole_cpus()).unwrap_or(NonZeroUsize::MIN);
        // Two threads on one core share its arithmetic units: one a core gives the best rate.
        let cores = cpu.and_then(|cpu| {
            let per_core = (cpu.threads / cpu.cores.max(1)).max(1);
            NonZeroUsize::new(allowed.get() / usize::try_from(per_core).unwrap_or(1))
        });
        let threads = cores.unwrap_or(allowed).min(cpus_max.unwrap_or(NonZeroUsize::MAX));
        let nominal = |per_cycle: fn(&Cpu) -> Option<u32>| -> Option<FlopRate> {
            let cpu = cpu?;
            dayan_measure::cpu_nominal(per_cycle(cpu)?, 1, cpu.max_khz.or(cpu.base_khz)?)
        };
        Host {
            threads,
            memory: self.limits.memory.unwrap_or(Bytes(1 << 30)),
            one_cache: cpu.and_then(Cpu::one_last_level_cache).unwrap_or(Bytes::ZERO),
            all_caches: cpu.and_then(Cpu::all_last_level_caches).unwrap_or(Bytes::ZERO),
            nominal_core_fp64: nominal(|cpu| cpu.fp64_per_cycle),
            nominal_core_fp32: nominal(|cpu| cpu.fp32_per_cycle),
            nominal_clock_khz: cpu.and_then(|cpu| cpu.max_khz.or(cpu.base_khz)),
        }
    }

    /// All cards that were found, wherever that was.
    pub fn cards(&self) -> impl Iterator<Item = &Accelerator> {
        self.accelerators.iter().filter_map(|source| source.cards.value()).flatten()
    }
}
