//! Whether Slurm's cgroup killed something of the task for want of memory. Slurm says so too, later
//! and only of the whole job; the kernel's own count is here at once.

use std::path::{Path, PathBuf};

/// From a task's cgroup up to its job's: task, user or slurm, step, job.
const LEVELS: usize = 4;

/// Kills for want of memory in this process's cgroup and those above it that belong to the job; 0
/// where that cannot be read.
pub(super) fn oom_kills() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/cgroup") else { return 0 };
    paths(&text, Path::new("/sys/fs/cgroup"))
        .into_iter()
        .filter_map(|path| count(&std::fs::read_to_string(path).ok()?))
        .max()
        .unwrap_or(0)
}

/// The files that count them.
fn paths(cgroups: &str, mount: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (base, file) = match controllers {
            "" => (mount.to_owned(), "memory.events"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (mount.join("memory"), "memory.oom_control")
            }
            _ => continue,
        };
        // Only what Slurm made: above it the count is of other people's jobs.
        let own = Path::new(path.trim_start_matches('/'));
        let ours = own.ancestors().take(LEVELS).take_while(|folder| {
            folder.components().any(|part| part.as_os_str().to_string_lossy().starts_with("job_"))
        });
        found.extend(ours.map(|folder| base.join(folder).join(file)));
    }
    found
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_jobs_own_cgroups_are_asked() {
        let mount = Path::new("/m");
        let v2 = "0::/system.slice/slurmstepd.scope/job_7/step_batch/user/task_0\n";
        let found = paths(v2, mount);
        let base = "/m/system.slice/slurmstepd.scope/job_7";
        let expect: Vec<PathBuf> =
            ["/step_batch/user/task_0", "/step_batch/user", "/step_batch", ""]
                .iter()
                .map(|rest| PathBuf::from(format!("{base}{rest}/memory.events")))
                .collect();
        assert_eq!(found, expect);
        let v1 = "5:memory:/slurm/uid_0/job_7/step_batch\n3:cpu,cpuacct:/x\n0::/\n";
        let found = paths(v1, mount);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(
            found[0],
            Path::new("/m/memory/slurm/uid_0/job_7/step_batch/memory.oom_control")
        );
        assert!(paths("0::/user.slice\n", mount).is_empty());
    }

    #[test]
    fn the_kernels_words_are_read() {
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n"), Some(3));
        assert_eq!(count("low 0\noom 1\noom_kill 1\noom_group_kill 0\n"), Some(1));
        assert_eq!(count("low 0\n"), None);
    }
}
