//! What a task finds in its environment.

use dayan_units::{Bytes, JobId, MilliCpu, Time};

use crate::model::JobSpec;

/// What is known of a task when it is started.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskContext {
    /// The job.
    pub job: JobId,
    /// The task, from 0.
    pub task: u32,
    /// The attempt, from 1.
    pub attempt: u32,
    /// This node's place among the nodes of the gang, from 0; 0 without a gang.
    pub node_rank: u32,
    /// The pool's name.
    pub pool: String,
    /// Names or addresses of the nodes, in the order of their ranks.
    pub nodelist: Vec<String>,
    /// Name or address of the first node.
    pub head: String,
    /// Cores the task was given.
    pub cpus: MilliCpu,
    /// Memory the task was given.
    pub memory: Bytes,
    /// When the job should have ended.
    pub deadline: Option<Time>,
    /// For which moment a schedule made the job, if one did.
    pub scheduled_at: Option<Time>,
    /// A file with a node to a line.
    pub hostfile: Option<String>,
}

/// The variables of a task: the job's own, then the exchange's, which the job cannot replace.
///
/// `DAYAN_CPUS` is in whole cores, rounded down and at least 1, because programs take it as a
/// number of threads; `DAYAN_MEMORY` is in bytes; `DAYAN_DEADLINE` and
/// `DAYAN_SCHEDULED_AT` are RFC 3339, in UTC.
pub fn task_env(job: &JobSpec, context: &TaskContext) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> =
        job.env.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    let mut set = |name: &str, value: String| env.push((format!("DAYAN_{name}"), value));
    set("JOB", context.job.to_string());
    set("JOB_NUMBER", context.job.number().to_string());
    set("TASK", context.task.to_string());
    set("ATTEMPT", context.attempt.to_string());
    if let Some((first, last, step)) = job.task_slice(context.task) {
        set("ARRAY_FIRST", first.to_string());
        set("ARRAY_LAST", last.to_string());
        set("ARRAY_STEP", step.to_string());
    }
    set("POOL", context.pool.clone());
    let nodes = u32::try_from(context.nodelist.len()).unwrap_or(u32::MAX).max(1);
    set("NODES", nodes.to_string());
    set("NODE_RANK", context.node_rank.to_string());
    set("NODELIST", context.nodelist.join(","));
    set("HEAD", context.head.clone());
    // What `mpirun` is to start: as the job says, else one on each node.
    set("TASKS", job.resources.processes.unwrap_or(nodes).to_string());
    if let Some(processes) = job.resources.processes {
        set("TASKS_PER_NODE", processes.div_ceil(nodes).to_string());
    }
    set("CPUS", (context.cpus.0 / 1_000).max(1).to_string());
    set("MEMORY", context.memory.0.to_string());
    if let Some(hostfile) = &context.hostfile {
        set("HOSTFILE", hostfile.clone());
    }
    if let Some(deadline) = context.deadline {
        set("DEADLINE", deadline.to_string());
    }
    if let Some(at) = context.scheduled_at {
        set("SCHEDULED_AT", at.to_string());
    }
    env
}
