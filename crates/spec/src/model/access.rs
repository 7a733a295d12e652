//! What others ask of a job most.

use dayan_units::Span;

use super::job::JobSpec;

impl JobSpec {
    /// How many tasks the job has: elements of the array in chunks, members of the gang, the least
    /// replicas of a service, or one.
    pub fn task_count(&self) -> u32 {
        match (&self.array, &self.gang, &self.service) {
            (Some(array), _, _) => u32::try_from(array.task_count()).unwrap_or(u32::MAX),
            (None, Some(gang), _) => gang.nodes,
            (None, None, Some(service)) => service.replicas.min,
            (None, None, None) => 1,
        }
    }
    /// First element, last element and step of a task of the array, counted from 0; none when the
    /// job has no array or no such task.
    pub fn task_slice(&self, task: u32) -> Option<(u32, u32, u32)> {
        self.array.as_ref()?.task_slice(task)
    }
    /// The longest an attempt may run.
    pub fn time_limit(&self) -> Span {
        self.resources.time
    }
    /// Members that are placed in one step: the gang's, or one.
    pub fn gang_nodes(&self) -> u32 {
        self.gang.as_ref().map_or(1, |gang| gang.nodes)
    }
    /// Attempts a task may have in all.
    pub fn attempts_max(&self) -> u32 {
        self.retry.max + 1
    }
}
