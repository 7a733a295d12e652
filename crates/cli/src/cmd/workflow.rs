//! The jobs that hang together by what they wait for, drawn as a graph: each further in than all that
//! it waits for, with what that is.

use std::collections::BTreeMap;

use dayan_wire::WorkflowJob;

use crate::output::{Cell, Grid, View};

/// Marks the job that was asked about.
const OWN: &str = "◀";

/// A line for each job, in the order that they come in.
pub fn graph(jobs: &[WorkflowJob], own: &str, view: &View) -> String {
    let names: BTreeMap<&str, &str> =
        jobs.iter().map(|job| (job.id.as_str(), job.name.as_str())).collect();
    // Of two jobs with one name each is called by its id.
    let called = |id: &str| {
        let name = names.get(id).copied().filter(|name| !name.is_empty());
        let alone = name.filter(|name| names.values().filter(|other| *other == name).count() == 1);
        alone.unwrap_or(id).to_owned()
    };
    let live = ["queued", "paused", "running"];
    let over =
        |id: &str| jobs.iter().any(|job| job.id == id && !live.contains(&job.state.as_str()));
    let mut grid = Grid::plain(view);
    for job in jobs {
        let indent = "  ".repeat(job.depth as usize + 1);
        let after: Vec<String> = job
            .after
            .iter()
            .map(|wait| {
                let mark = match (wait.met, over(&wait.job)) {
                    (true, _) => "✓",
                    // It has ended otherwise.
                    (false, true) => "✗",
                    (false, false) => "…",
                };
                let what = if wait.after == "succeeded" {
                    String::new()
                } else {
                    format!(":{}", wait.after)
                };
                format!("{}{what} {mark}", called(&wait.job))
            })
            .collect();
        let arrow =
            if after.is_empty() { String::new() } else { format!("← {}", after.join(", ")) };
        let own = if job.id == own { OWN } else { "" };
        grid.row([
            Cell::text(format!("{indent}{}", called(&job.id))),
            Cell::state(&job.state),
            Cell::text(arrow),
            Cell::text(own),
        ]);
    }
    grid.finish()
}

#[cfg(test)]
mod tests {
    use dayan_wire::DependsOn;

    use super::*;

    fn job(
        id: &str,
        name: &str,
        state: &str,
        depth: u32,
        after: &[(&str, &str, bool)],
    ) -> WorkflowJob {
        let wait = |&(job, after, met): &(&str, &str, bool)| DependsOn {
            job: job.to_owned(),
            after: after.to_owned(),
            met,
        };
        WorkflowJob {
            id: id.to_owned(),
            name: name.to_owned(),
            state: state.to_owned(),
            depth,
            after: after.iter().map(wait).collect(),
        }
    }

    #[test]
    fn a_workflow_as_people_see_it() {
        let jobs = [
            job("job_1", "prep", "succeeded", 0, &[]),
            job("job_2", "render", "running", 1, &[("job_1", "succeeded", true)]),
            job("job_3", "check", "queued", 1, &[("job_1", "ended", true)]),
            job(
                "job_4",
                "grade",
                "queued",
                2,
                &[("job_2", "each", false), ("job_3", "succeeded", false)],
            ),
            job("job_5", "grade", "queued", 3, &[("job_4", "started", false)]),
            job("job_6", "probe", "failed", 0, &[]),
            job("job_7", "report", "queued", 1, &[("job_6", "succeeded", false)]),
        ];
        insta::assert_snapshot!(
            "workflow",
            graph(&jobs, "job_4", &crate::tests::view(crate::words::Lang::En))
        );
    }
}
