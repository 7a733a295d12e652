//! Jobs that wait for others: who is meant by a name, and what has happened already.

use dayan_spec::{After, Dependency, JobSpec};
use dayan_units::JobId;

use super::Ask;
use crate::command::Place;
use crate::refusal::Refusal;
use crate::state::{Job, JobEnd, Phase, Project, Wait};

use super::placing::stale;

impl Ask<'_> {
    /// What a new job waits for.
    pub(super) fn waits(&self, spec: &JobSpec, project: &Project) -> Result<Vec<Wait>, Refusal> {
        if spec.depends_on.is_empty() {
            return Ok(Vec::new());
        }
        let hard = spec.is_promised();
        if hard {
            return Err(Refusal::invalid(
                "depends.hard_deadline",
                "a hard deadline is a promise of a moment, and nobody knows when other jobs end",
                "leave one of them out, or write `kind: soft`",
            ));
        }
        spec.depends_on.iter().map(|named| self.wait(named, spec, project)).collect()
    }

    fn wait(&self, named: &Dependency, spec: &JobSpec, project: &Project) -> Result<Wait, Refusal> {
        let on = self.job_meant(&named.job, project).ok_or_else(|| {
            Refusal::not_found(
                "depends.unknown",
                format!("there is no job `{}` in `{}` to wait for", named.job, project.path),
                "name it by its id, its number, or its name in the same project; jobs that ended \
                 long ago need not be waited for",
            )
        })?;
        if named.after == After::Each && on.task_count() != u64::from(spec.task_count()) {
            return Err(Refusal::invalid(
                "depends.each_size",
                format!(
                    "`{named}` waits task by task, and it has {} tasks where this job has {}",
                    on.task_count(),
                    spec.task_count()
                ),
                "give both the same `array`, or wait for all of it with `:succeeded`",
            ));
        }
        Ok(Wait { on: on.id, after: named.after, met: self.has_happened(on, named.after) })
    }

    /// The job of the same organisation with that id or number, or the newest of the project with that
    /// name.
    fn job_meant(&self, named: &str, project: &Project) -> Option<&Job> {
        let jobs = &self.state.work.jobs;
        if let Ok(id) = named.parse::<JobId>() {
            return jobs.get(&id).filter(|job| job.org == project.org);
        }
        if let Some((first, last)) = named.parse().ok().and_then(JobId::with_number) {
            let mut numbered = jobs.range(first..=last).map(|(_, job)| job);
            if let Some(found) = numbered.find(|job| job.org == project.org) {
                return Some(found);
            }
        }
        let mut own = jobs.values().rev().filter(|job| job.project == project.id);
        own.find(|job| self.state.work.name_of(job) == named)
    }

    fn has_happened(&self, job: &Job, what: After) -> bool {
        let running = |(task, attempt): (&u32, &u32)| {
            let attempt = dayan_units::TaskId { job: job.id, task: *task }.attempt(*attempt);
            let lease = self.state.work.leases.get(&attempt);
            lease.is_some_and(|lease| matches!(lease.phase, Phase::Running { .. }))
        };
        let end = job.ended.map(|(_, end)| end);
        match what {
            After::Started => {
                end.is_some() || !job.succeeded.is_empty() || job.active.iter().any(running)
            }
            After::Succeeded | After::Each => end == Some(JobEnd::Succeeded),
            After::Failed => end.is_some_and(|end| end != JobEnd::Succeeded),
            After::Ended => end.is_some(),
        }
    }

    /// Nothing is placed before what it waits for.
    pub(super) fn check_waits(&self, job: &Job, place: &Place) -> Result<(), Refusal> {
        if place.seats.iter().all(|seat| self.state.work.is_ready(job, seat.task)) {
            return Ok(());
        }
        Err(stale("place.depends", format!("{} waits for other jobs", job.id)))
    }
}
