//! What a task, or a member of a gang, is told of its nodes: Slurm chose them, and says which.

use std::fs;

use crate::Launch;
use crate::slurm::hostlist::expand;

/// Puts the nodes in place of those that the exchange had in mind: into the environment, and
/// into the host file where there is one.
pub(super) fn tell_of_nodes(launch: &mut Launch) {
    let Some(nodes) = std::env::var("SLURM_JOB_NODELIST").ok().and_then(|list| expand(&list))
    else {
        return;
    };
    let Some(head) = nodes.first() else { return };
    if launch.gang.is_some_and(|gang| gang.members == 1) {
        // What the head starts on the other nodes, it starts by Slurm: `srun` and `mpirun` find
        // their job by these. What the agent proves itself to Slurm with is not the task's.
        let is_told = |name: &str| name.starts_with("SLURM") && name != "SLURM_JWT";
        let slurms = std::env::vars().filter(|(name, _)| is_told(name));
        for (name, value) in slurms {
            launch.env.entry(name).or_insert(value);
        }
        // Since 22.05 `srun` does not take it from the job.
        if let Ok(cpus) = std::env::var("SLURM_CPUS_PER_TASK") {
            launch.env.entry("SRUN_CPUS_PER_TASK".to_owned()).or_insert(cpus);
        }
    }
    // A task on its own is only told where it is if it was told where it would be.
    let tells = |name: &str| launch.gang.is_some() || launch.env.contains_key(name);
    let told = [("DAYAN_HEAD", head.clone()), ("DAYAN_NODELIST", nodes.join(","))];
    let told: Vec<_> = told.into_iter().filter(|(name, _)| tells(name)).collect();
    launch.env.extend(told.into_iter().map(|(name, nodes)| (name.to_owned(), nodes)));
    if let Some(path) = launch.env.get("DAYAN_HOSTFILE") {
        let tasks = launch.env.get("DAYAN_TASKS").and_then(|text| text.parse::<usize>().ok());
        let slots = tasks.unwrap_or(nodes.len()).div_ceil(nodes.len()).max(1);
        let lines: Vec<String> =
            nodes.iter().map(|node| format!("{node} slots={slots}\n")).collect();
        // Without it the program says what it misses.
        let _ = fs::write(path, lines.concat());
    }
}
