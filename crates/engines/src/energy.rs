//! The processor packages' energy by RAPL, as Linux's powercap shows it
//! (`/sys/class/powercap/intel-rapl:N/energy_uj`, in microjoule, wrapping at
//! `max_energy_range_uj`), and each task's share of it.
//!
//! A package's meter knows no tasks, so a task is given the share that its processor time has in
//! all busy time of the machine: an estimate, good for work of one kind. Idle power is thereby
//! shared by those who work.

use std::fs;
use std::path::{Path, PathBuf};

/// One package's meter.
struct Package {
    file: PathBuf,
    range: u64,
    last: u64,
}

/// All packages, and the machine's busy time, as of the last look.
pub(crate) struct Energy {
    packages: Vec<Package>,
    stat: PathBuf,
    busy_ticks: u64,
}

/// What one interval cost.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Interval {
    /// Microjoule over all packages.
    pub microjoule: u64,
    /// Busy processor time of the machine, microseconds.
    pub busy_micros: u64,
}

impl Interval {
    /// The share of a task that was busy for so long.
    pub(crate) fn share(&self, cpu_micros: u64) -> u64 {
        let busy = u128::from(self.busy_micros.max(cpu_micros).max(1));
        let share = u128::from(self.microjoule) * u128::from(cpu_micros) / busy;
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

fn read(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Ticks of user, nice, system, irq, softirq and steal over all processors (proc(5), stat).
fn busy_ticks(stat: &str) -> Option<u64> {
    let fields: Vec<u64> = stat
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_ascii_whitespace()
        .filter_map(|field| field.parse().ok())
        .collect();
    let busy = [0, 1, 2, 5, 6, 7];
    Some(busy.iter().filter_map(|index| fields.get(*index)).sum())
}

impl Energy {
    /// The meters of this machine, `None` if none can be read.
    pub(crate) fn probe() -> Option<Self> {
        Self::at(Path::new("/sys/class/powercap"), Path::new("/proc/stat"))
    }

    fn at(powercap: &Path, stat: &Path) -> Option<Self> {
        let mut packages = Vec::new();
        for entry in fs::read_dir(powercap).ok()?.flatten() {
            let name = entry.file_name();
            // `intel-rapl:0` is a package, `intel-rapl:0:1` a part of it that is counted already.
            let Some(number) = name.to_str().and_then(|n| n.strip_prefix("intel-rapl:")) else {
                continue;
            };
            let file = entry.path().join("energy_uj");
            if let (false, Some(last)) = (number.contains(':'), read(&file)) {
                let range = read(&entry.path().join("max_energy_range_uj")).unwrap_or(u64::MAX);
                packages.push(Package { file, range, last });
            }
        }
        let busy_ticks = busy_ticks(&fs::read_to_string(stat).ok()?)?;
        (!packages.is_empty()).then(|| Self { packages, stat: stat.to_owned(), busy_ticks })
    }

    /// What was used since the last call.
    pub(crate) fn interval(&mut self) -> Option<Interval> {
        let busy = busy_ticks(&fs::read_to_string(&self.stat).ok()?)?;
        let mut microjoule = 0u64;
        for package in &mut self.packages {
            let now = read(&package.file)?;
            let used = if now >= package.last {
                now - package.last
            } else {
                package.range.saturating_sub(package.last).saturating_add(now)
            };
            package.last = now;
            microjoule = microjoule.saturating_add(used);
        }
        let busy_micros = busy.saturating_sub(self.busy_ticks).saturating_mul(10_000);
        self.busy_ticks = busy;
        Some(Interval { microjoule, busy_micros })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_packages_by_busy_time_and_knows_the_wrap() {
        let dir = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().expect("inside")).expect("makes");
            fs::write(path, text).expect("writes");
        };
        write("cap/intel-rapl:0/energy_uj", "900\n");
        write("cap/intel-rapl:0/max_energy_range_uj", "1000\n");
        write("cap/intel-rapl:0:0/energy_uj", "77\n");
        write("stat", "cpu  10 0 10 1000 5 0 0 0 0 0\ncpu0 1\n");
        let stat = dir.path().join("stat");
        let mut energy = Energy::at(&dir.path().join("cap"), &stat).expect("one package");
        write("cap/intel-rapl:0/energy_uj", "300\n");
        write("stat", "cpu  20 0 30 2000 5 0 0 0 0 0\n");
        let interval = energy.interval().expect("readable");
        assert_eq!(interval, Interval { microjoule: 400, busy_micros: 300_000 });
        assert_eq!(interval.share(150_000), 200);
        assert_eq!(interval.share(0), 0);
        assert_eq!(interval.share(600_000), 400, "never more than all of it");
        assert!(Energy::at(&dir.path().join("nothing"), &stat).is_none());
    }
}
