//! The inventory of this machine and of recorded ones, by the public interface only.

use std::fs;
use std::path::Path;

use dayan_agent::probe::{CacheKind, Found, Spin, probe, probe_recorded};
use dayan_units::{Bytes, MilliCpu};

fn put(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a file has a directory")).expect("own directory");
    fs::write(path, text).expect("own directory");
}

/// Two sockets of two cores with two threads each, one of them with a memory-only node beside it.
fn two_sockets(root: &Path) {
    let brand = "model name\t: Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz\n";
    let flags = "flags\t\t: fpu sse2 avx2 fma avx512f hypervisor\n";
    put(
        root,
        "proc/cpuinfo",
        &format!("processor\t: 0\nvendor_id\t: GenuineIntel\n{brand}{flags}"),
    );
    put(root, "proc/meminfo", "MemTotal:       263847424 kB\nMemFree:        1 kB\n");
    put(root, "proc/sys/kernel/osrelease", "5.15.0-test\n");
    put(root, "proc/sys/kernel/random/boot_id", "11111111-2222-3333-4444-555555555555\n");
    let cpu = "sys/devices/system/cpu";
    put(root, &format!("{cpu}/online"), "0-7\n");
    for thread in 0..8 {
        let core = thread % 4;
        let dir = format!("{cpu}/cpu{thread}");
        put(root, &format!("{dir}/topology/physical_package_id"), &(core / 2).to_string());
        put(root, &format!("{dir}/topology/thread_siblings_list"), &format!("{core},{}", core + 4));
        for (index, level, kind, size, shared) in [
            (0, "1", "Data", "48K", format!("{core},{}", core + 4)),
            (1, "1", "Instruction", "32K", format!("{core},{}", core + 4)),
            (2, "3", "Unified", "61440K", if core < 2 { "0-1,4-5" } else { "2-3,6-7" }.into()),
        ] {
            let dir = format!("{dir}/cache/index{index}");
            put(root, &format!("{dir}/level"), level);
            put(root, &format!("{dir}/type"), kind);
            put(root, &format!("{dir}/size"), size);
            put(root, &format!("{dir}/shared_cpu_list"), &shared);
        }
        put(root, &format!("{dir}/cpufreq/cpuinfo_max_freq"), "3400000\n");
    }
    for (node, cpus) in [(0, "0-1,4-5"), (1, "2-3,6-7"), (2, "")] {
        let dir = format!("sys/devices/system/node/node{node}");
        put(root, &format!("{dir}/cpulist"), cpus);
        put(root, &format!("{dir}/meminfo"), &format!("Node {node} MemTotal: 131923712 kB\n"));
    }
}

#[test]
fn two_probes_in_a_row_give_the_same_canonical_text() {
    let dir = tempfile::tempdir().expect("a directory");
    let (first, second) = (probe(dir.path()), probe(dir.path()));
    assert_eq!(first.canonical_text(), second.canonical_text());
    assert!(first.canonical_text().contains("\ncpu.threads="), "{}", first.canonical_text());
    assert!(first.limits.cpu.0 > 0 && first.host(None).threads.get() > 0);
    let volume = first.data_volume.value().expect("the directory exists");
    assert!(volume.size >= volume.free && !volume.kind.is_empty());
    let text = serde_json::to_string(&first).expect("plain data");
    assert_eq!(
        serde_json::from_str::<dayan_agent::probe::Inventory>(&text).expect("its own"),
        first
    );
}

#[test]
fn an_empty_machine_has_reasons_and_no_panic() {
    let root = tempfile::tempdir().expect("a directory");
    let inventory = probe_recorded(root.path().to_owned(), Path::new("/nonexistent"));
    let Found::Missing { why, .. } = &inventory.cpu else { panic!("there is no processor") };
    assert!(why.starts_with("/proc/cpuinfo: "), "{why}");
    assert!(inventory.disks.value().is_none() && inventory.data_volume.value().is_none());
    assert_eq!(inventory.accelerators.len(), 4);
    assert_eq!(inventory.cards().count(), 0);
    assert_eq!(inventory.canonical_text(), "dayan-inventory 1\naccel.count=0\n");
    assert_eq!(inventory.host(None).threads.get(), 1);
}

#[test]
fn sockets_cores_caches_and_nodes_are_told_apart() {
    let root = tempfile::tempdir().expect("a directory");
    two_sockets(root.path());
    let inventory = probe_recorded(root.path().to_owned(), root.path());
    let cpu = inventory.cpu.value().expect("it is there");
    assert_eq!((cpu.sockets, cpu.cores, cpu.threads), (2, 4, 8));
    assert_eq!(cpu.isa, ["avx2", "avx512f", "fma", "sse2"]);
    assert_eq!((cpu.base_khz, cpu.max_khz), (Some(2_300_000), Some(3_400_000)));
    assert_eq!((cpu.fp64_per_cycle, cpu.fp32_per_cycle), (Some(32), Some(64)));
    let l3 = cpu.caches.last().expect("three kinds");
    assert_eq!(
        (l3.level, l3.kind, l3.size, l3.count),
        (3, CacheKind::Unified, Bytes(61_440 << 10), 2)
    );
    assert_eq!(cpu.all_last_level_caches(), Some(Bytes(2 * (61_440 << 10))));
    let nodes = inventory.numa.value().expect("three nodes");
    assert_eq!(nodes.iter().map(|node| node.threads).collect::<Vec<_>>(), [4, 4, 0]);
    // 32 operations × 3.4 GHz, and one thread for each core of the eight that are allowed.
    let host = inventory.host(None);
    assert_eq!(host.nominal_core_fp64.map(|rate| rate.0), Some(108_800_000_000));
    assert_eq!(host.threads.get(), 4);
    let one = std::num::NonZeroUsize::MIN;
    assert_eq!(inventory.host(Some(one)).threads, one);
}

#[test]
fn what_changes_with_a_boot_is_not_in_the_canonical_text() {
    let root = tempfile::tempdir().expect("a directory");
    two_sockets(root.path());
    let text = || probe_recorded(root.path().to_owned(), root.path()).canonical_text();
    let before = text();
    put(root.path(), "proc/sys/kernel/random/boot_id", "another");
    put(root.path(), "proc/sys/kernel/osrelease", "6.1.0-new");
    // The kernel kept 3 MiB more for itself.
    put(root.path(), "proc/meminfo", "MemTotal:       263844352 kB\n");
    assert_eq!(text(), before);
    put(root.path(), "proc/meminfo", "MemTotal:       131923712 kB\n");
    assert_ne!(text(), before);
}

#[test]
fn disks_and_cards_are_hashed_and_in_an_order_of_their_own() {
    let root = tempfile::tempdir().expect("a directory");
    let disk = |name: &str, serial: &str| {
        let dir = format!("sys/block/{name}");
        put(root.path(), &format!("{dir}/size"), "7501476528");
        put(root.path(), &format!("{dir}/queue/rotational"), "0");
        put(root.path(), &format!("{dir}/device/model"), "SAMSUNG  MZQL2 ");
        put(root.path(), &format!("{dir}/device/serial"), serial);
    };
    let text = || probe_recorded(root.path().to_owned(), root.path()).canonical_text();
    disk("nvme0n1", "S64HNE0R500001");
    disk("nvme1n1", "S64HNE0R500002");
    put(root.path(), "sys/block/loop0/size", "8");
    put(root.path(), "sys/class/net/eth0/device/vendor", "0x15b3");
    put(root.path(), "sys/class/net/eth0/address", "aa:bb:cc:dd:ee:ff");
    put(root.path(), "sys/class/net/eth0/speed", "100000");
    put(root.path(), "sys/class/net/lo/address", "00:00:00:00:00:00");
    let inventory = probe_recorded(root.path().to_owned(), root.path());
    let disks = inventory.disks.value().expect("two disks");
    assert_eq!(disks.len(), 2);
    assert_eq!(disks[0].model.as_deref(), Some("SAMSUNG MZQL2"));
    assert_eq!((disks[0].size, disks[0].spin), (Bytes(7_501_476_528 * 512), Spin::Solid));
    let cards = inventory.networks.value().expect("one card");
    assert_eq!(cards.len(), 1);
    assert_eq!(cards[0].megabits_per_second, Some(100_000));
    let before = text();
    assert!(!before.contains("S64HNE0R5") && !before.contains("aa:bb"), "{before}");
    // The kernel finds them the other way round, and the link is down.
    disk("nvme0n1", "S64HNE0R500002");
    disk("nvme1n1", "S64HNE0R500001");
    put(root.path(), "sys/class/net/eth0/speed", "-1");
    assert_eq!(text(), before);
    disk("nvme1n1", "S64HNE0R500009");
    assert_ne!(text(), before);
}

#[test]
fn the_tightest_limit_of_all_groups_counts() {
    let root = tempfile::tempdir().expect("a directory");
    two_sockets(root.path());
    let limits = || probe_recorded(root.path().to_owned(), root.path()).limits;
    assert_eq!((limits().cpu, limits().cpu_quota), (MilliCpu(8_000), None));
    assert_eq!(limits().memory, Some(Bytes(263_847_424 << 10)));
    // Control groups, second version: the slice is tighter than the service in it.
    put(root.path(), "proc/self/cgroup", "0::/work.slice/agent.service\n");
    put(
        root.path(),
        "proc/self/mountinfo",
        "31 23 0:28 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
    );
    put(root.path(), "sys/fs/cgroup/work.slice/cpu.max", "250000 100000\n");
    put(root.path(), "sys/fs/cgroup/work.slice/memory.max", "max\n");
    put(root.path(), "sys/fs/cgroup/work.slice/agent.service/cpu.max", "max 100000\n");
    put(root.path(), "sys/fs/cgroup/work.slice/agent.service/memory.max", "1073741824\n");
    let found = limits();
    assert_eq!((found.cpu, found.whole_cpus()), (MilliCpu(2_500), 2));
    assert_eq!(found.memory, Some(Bytes(1 << 30)));
    assert!(found.cpu_quota.expect("set").source.ends_with("/work.slice"));
    // First version, seen from inside a container: the mount shows a subtree.
    put(root.path(), "proc/self/cgroup", "4:memory:/box/7\n3:cpu,cpuacct:/box/7\n");
    put(
        root.path(),
        "proc/self/mountinfo",
        "30 23 0:27 /box/7 /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
         31 23 0:28 /box/7 /cg/memory rw - cgroup cgroup rw,memory\n",
    );
    put(root.path(), "cg/cpu/cpu.cfs_quota_us", "-1\n");
    put(root.path(), "cg/cpu/cpu.cfs_period_us", "100000\n");
    put(root.path(), "cg/memory/memory.limit_in_bytes", "2147483648\n");
    assert_eq!((limits().cpu, limits().memory), (MilliCpu(8_000), Some(Bytes(2 << 30))));
    put(root.path(), "cg/cpu/cpu.cfs_quota_us", "150000\n");
    put(root.path(), "cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_eq!((limits().cpu, limits().memory), (MilliCpu(1_500), Some(Bytes(263_847_424 << 10))));
}

#[test]
fn cards_are_found_by_the_kernel_by_nodes_and_on_the_bus() {
    let root = tempfile::tempdir().expect("a directory");
    let node = "sys/class/kfd/kfd/topology/nodes";
    put(root.path(), &format!("{node}/0/properties"), "cpu_cores_count 64\nsimd_count 0\n");
    put(
        root.path(),
        &format!("{node}/1/properties"),
        "simd_count 1216\nvendor_id 4098\ndevice_id 29857\ngfx_target_version 90402\nunique_id 77\n",
    );
    let bank = format!("{node}/1/mem_banks/0/properties");
    put(root.path(), &bank, "heap_type 1\nsize_in_bytes 206141652992\n");
    put(root.path(), "dev/davinci0", "");
    put(root.path(), "dev/davinci1", "");
    put(root.path(), "dev/davinci_manager", "");
    put(root.path(), "dev/cambricon_dev0", "");
    let pci = |slot: &str, vendor: &str, class: &str| {
        let dir = format!("sys/bus/pci/devices/{slot}");
        put(root.path(), &format!("{dir}/vendor"), vendor);
        put(root.path(), &format!("{dir}/class"), class);
        put(root.path(), &format!("{dir}/device"), "0x2330");
    };
    pci("0000:01:00.0", "0x10de", "0x030200");
    pci("0000:02:00.0", "0x1002", "0x120000");
    pci("0000:03:00.0", "0x10de", "0x030000");
    let inventory = probe_recorded(root.path().to_owned(), root.path());
    let mut found: Vec<(&str, &str)> =
        inventory.cards().map(|card| (card.vendor.as_str(), card.model.as_str())).collect();
    found.sort_unstable();
    assert_eq!(
        found,
        [
            ("amd", "gfx942 74a1"),
            ("ascend", "unknown"),
            ("ascend", "unknown"),
            ("cambricon", "unknown"),
            ("nvidia", "pci 0x2330"),
        ]
    );
    let amd = inventory.cards().find(|card| card.vendor == "amd").expect("it is there");
    assert_eq!(amd.memory, Some(Bytes(206_141_652_992)));
    assert!(inventory.canonical_text().contains("accel.count=5\n"));
}
