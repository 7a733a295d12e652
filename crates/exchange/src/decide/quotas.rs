//! Quotas: what an organisation or a project may hold at once. The planner knows them too and keeps
//! the order of the queue under them; here every placement is checked again.
//!
//! What was promised for a hard deadline starts whatever the quota says by then; promises themselves
//! are given only as far as together they stay within it.

use std::collections::BTreeMap;

use dayan_schedule::{Appointment, Quota, QuotaOf};
use dayan_spec::JobSpec;
use dayan_units::{Resources, Time};

use super::placing::stale;
use super::{Ask, Decision};
use crate::command::Place;
use crate::event::Event;
use crate::refusal::Refusal;
use crate::state::{Job, Project};

impl Ask<'_> {
    pub(super) fn set_quota(&self, of: QuotaOf, quota: Quota) -> Result<Decision, Refusal> {
        match of {
            QuotaOf::Project(project) => self.project_to_change(project)?,
            QuotaOf::Org(org) => self.org_to_share_with(org)?,
        }
        Ok(Decision::one(Event::QuotaSet { of, quota }))
    }

    /// The quotas that a project counts against: its own and its organisation's, with their names.
    fn quotas<'a>(&'a self, project: &'a Project) -> [(QuotaOf, Quota, &'a str); 2] {
        let org = &self.state.access.orgs[&project.org];
        [
            (QuotaOf::Project(project.id), project.quota, project.path.as_str()),
            (QuotaOf::Org(org.id), org.quota, org.name.as_str()),
        ]
    }

    fn held(&self, of: QuotaOf) -> Resources {
        match of {
            QuotaOf::Project(project) => self.state.work.shares.held_by(project),
            QuotaOf::Org(org) => self.state.work.shares.held_by_org(org),
        }
    }

    /// Could a task of it, or all members of a gang, ever run under the quotas as they are?
    pub(super) fn check_quota_ever(
        &self,
        spec: &JobSpec,
        project: &Project,
    ) -> Result<(), Refusal> {
        let members = spec.gang.as_ref().map_or(1, |gang| u64::from(gang.nodes));
        for (_, quota, name) in self.quotas(project).iter().filter(|(_, q, _)| !q.is_unlimited()) {
            for (_, need) in spec.resources.alternatives() {
                let fits = need.checked_mul(members).is_some_and(|all| quota.admits(&all));
                if !fits {
                    let takes = if members == 1 {
                        format!("a task of it takes {need}")
                    } else {
                        format!("the gang takes {need} on each of {members} nodes")
                    };
                    return Err(Refusal::conflict(
                        "quota.too_small",
                        format!("{takes}, and `{name}` may hold {quota} at most at once"),
                        "ask for less, leave out the alternative that is too large, or have the \
                         quota raised with `dayan quota set`",
                    ));
                }
            }
        }
        Ok(())
    }

    /// A placement passes no quota, unless it was promised.
    pub(super) fn check_quota(&self, job: &Job, place: &Place) -> Result<(), Refusal> {
        let project = &self.state.access.projects[&job.project];
        let limited =
            self.quotas(project).into_iter().filter(|(_, quota, _)| !quota.is_unlimited());
        for (of, quota, name) in limited {
            let promised = |task| self.state.work.promises.of_job(job.id).any(|m| m.task == task);
            let new = place.seats.iter().filter(|seat| !promised(seat.task));
            let new: Vec<Resources> = new.map(|seat| seat.resources).collect();
            let sum = new.iter().try_fold(self.held(of), |sum, one| sum.checked_add(one));
            if !new.is_empty() && !sum.is_some_and(|sum| quota.admits(&sum)) {
                return Err(stale("place.quota", format!("`{name}` may hold {quota} at most")));
            }
        }
        Ok(())
    }

    /// These appointments, with those that the project or organisation has already, never come to
    /// more at once than the quota.
    pub(super) fn check_quota_promised(
        &self,
        project: &Project,
        made: &[Appointment],
    ) -> Result<(), Refusal> {
        let limited =
            self.quotas(project).into_iter().filter(|(_, quota, _)| !quota.is_unlimited());
        for (of, quota, name) in limited {
            let jobs = &self.state.work.jobs;
            let counts = |job: &Job| match of {
                QuotaOf::Project(project) => job.project == project,
                QuotaOf::Org(org) => job.org == org,
            };
            let before = self.state.work.promises.iter();
            let before = before.filter(|(job, _)| jobs.get(job).is_some_and(counts));
            let most = most_at_once(before.flat_map(|(_, made)| made).chain(made));
            if !most.is_some_and(|most| quota.admits(&most)) {
                return Err(Refusal::conflict(
                    "quota.promised",
                    format!(
                        "with it, more would be promised to `{name}` at one moment than the \
                         {quota} it may hold"
                    ),
                    "lower `array.max_parallel`, move the deadline, or write `kind: soft`",
                ));
            }
        }
        Ok(())
    }
}

/// The most that appointments take at any one moment, each resource by itself.
fn most_at_once<'a>(all: impl Iterator<Item = &'a Appointment>) -> Option<Resources> {
    let mut steps: BTreeMap<Time, (Vec<Resources>, Vec<Resources>)> = BTreeMap::new();
    for made in all {
        steps.entry(made.from).or_default().0.push(made.resources);
        steps.entry(made.until).or_default().1.push(made.resources);
    }
    let (mut now, mut most) = (Resources::ZERO, Resources::ZERO);
    for (begin, end) in steps.into_values() {
        for over in end {
            now = now.checked_sub(&over)?;
        }
        for new in begin {
            now = now.checked_add(&new)?;
        }
        most = Resources {
            cpu: most.cpu.max(now.cpu),
            memory: most.memory.max(now.memory),
            disk: most.disk.max(now.disk),
            accel: most.accel.max(now.accel),
        };
    }
    Some(most)
}
