//! Budgets, counted once more: whenever more money is held, what is spent and held together must be
//! within every limit. (A limit that was lowered stops only what comes after.)

use std::collections::BTreeMap;

use dayan_market::BudgetLimits;
use dayan_units::{JobId, Micro, ProjectId, Time};

const HOUR: i64 = 3_600_000_000;
const DAY: i64 = 24 * HOUR;

/// The day a moment lies in, in UTC+8, counted from 1970.
const fn day(at: Time) -> i64 {
    (at.micros() + 8 * HOUR).div_euclid(DAY)
}

/// The month of a day, counted from March of the year 0: years begin in March so that leap days
/// come last (the common days-to-civil computation).
const fn month(day: i64) -> i64 {
    let day = day + 719_468;
    let era = day.div_euclid(146_097);
    let of_era = day.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    (era * 400 + year) * 12 + (5 * of_year + 2) / 153
}

#[derive(Debug, Default)]
struct Project {
    limits: Option<BudgetLimits>,
    held: i64,
    spent_by_day: BTreeMap<i64, i64>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Job {
    project: Option<ProjectId>,
    limit: Option<Micro>,
    held: i64,
    spent: i64,
}

/// All projects.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    projects: BTreeMap<ProjectId, Project>,
    jobs: BTreeMap<JobId, Job>,
}

impl Budgets {
    pub(super) fn limit(&mut self, project: ProjectId, limits: &BudgetLimits) {
        self.projects.entry(project).or_default().limits = Some(limits.clone());
    }

    pub(super) fn job(&mut self, job: JobId, project: ProjectId, limit: Option<Micro>) {
        let record = Job { project: Some(project), limit, ..Job::default() };
        self.jobs.insert(job, record);
    }

    fn both(&mut self, job: JobId) -> (&mut Job, &mut Project) {
        let record = self.jobs.get_mut(&job).expect("a job was submitted before");
        let project = record.project.expect("a job has a project");
        (record, self.projects.get_mut(&project).expect("a project was created before"))
    }

    /// More is held.
    pub(super) fn held(&mut self, job: JobId, at: Time, amount: Micro) -> Result<(), String> {
        let (record, project) = self.both(job);
        record.held += amount.0;
        project.held += amount.0;
        if amount == Micro::ZERO {
            return Ok(());
        }
        let today = day(at);
        let spent_today = project.spent_by_day.get(&today).copied().unwrap_or(0);
        let spent_month: i64 = project
            .spent_by_day
            .iter()
            .filter(|(day, _)| month(**day) == month(today))
            .map(|(_, spent)| *spent)
            .sum();
        let limits = project.limits.as_ref().expect("a project has limits, if only none");
        let of_job = record.held + record.spent;
        let of_day = project.held + spent_today;
        let of_month = project.held + spent_month;
        let checks = [
            ("job", of_job, limits.per_job),
            ("job by its own words", of_job, record.limit),
            ("day", of_day, limits.per_day),
            ("month", of_month, limits.per_month),
        ];
        for (what, used, limit) in checks {
            if limit.is_some_and(|limit| used > limit.0) {
                return Err(format!(
                    "{used} spent and held against the limit per {what}: {limit:?}"
                ));
            }
        }
        Ok(())
    }

    pub(super) fn captured(&mut self, job: JobId, at: Time, amount: Micro) {
        let (record, project) = self.both(job);
        record.held -= amount.0;
        record.spent += amount.0;
        project.held -= amount.0;
        *project.spent_by_day.entry(day(at)).or_default() += amount.0;
    }

    pub(super) fn released(&mut self, job: JobId, amount: Micro) {
        let (record, project) = self.both(job);
        record.held -= amount.0;
        project.held -= amount.0;
    }

    /// What a job has spent and has held for it.
    pub(super) fn of_job(&self, job: JobId) -> (i64, i64) {
        self.jobs.get(&job).map_or((0, 0), |job| (job.spent, job.held))
    }

    /// What nobody holds any more must not be counted as held.
    pub(super) fn check_quiet(&self) -> Result<(), String> {
        match self.projects.iter().find(|(_, project)| project.held != 0) {
            None => Ok(()),
            Some((id, project)) => Err(format!("{id} still has {} held", project.held)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_change_on_their_first_day() {
        let on = |text: &str| day(format!("{text}T00:00:00+08:00").parse().expect("a date"));
        let same = |a, b| assert_eq!(month(on(a)), month(on(b)), "{a} {b}");
        let next = |a, b| assert_eq!(month(on(a)) + 1, month(on(b)), "{a} {b}");
        same("2026-11-01", "2026-11-30");
        next("2026-11-30", "2026-12-01");
        next("2026-12-31", "2027-01-01");
        same("2028-02-01", "2028-02-29");
        next("2028-02-29", "2028-03-01");
        next("2027-02-28", "2027-03-01");
    }
}
