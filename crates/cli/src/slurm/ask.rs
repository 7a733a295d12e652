//! Asking the exchange for what Slurm's commands name: jobs by number and element, lists with their
//! details, names of pools. Must not know how anything is shown.

use dayan_spec::sbatch::array_and_element;
use dayan_units::JobId;
use dayan_wire::JobSummary;

use super::pools::Pools;
use super::view::Job;
use crate::client::{Client, JobFilter};
use crate::exit::Failure;

/// Jobs of which details are fetched for one answer: a screen of lists shows fewer, and each costs
/// a request.
const DETAILS_MAX: usize = 2_000;
/// Requests at one time: the server reads on several threads, and more would wait there.
const AT_ONCE: usize = 8;
/// Attempts that come with a job; one with so many may have more.
const ATTEMPTS_SHOWN: usize = 1_000;
/// Attempts of one job that are read at most.
const ATTEMPTS_MAX: usize = 200_000;
/// Elements that one range names at most: as many as a job may have tasks.
const ELEMENTS_MAX: u32 = 1_000_000;

/// A job as it is named on a command line: `7`, `7_3`, `7_[1-3]`, `job_…`, `job_…/2`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Target {
    /// As it was written.
    pub text: String,
    job: Named,
    /// Elements of its array; none: all of it.
    pub elements: Option<Vec<u32>>,
    /// A task, counted from 0, as the exchange names it.
    pub task: Option<u32>,
    /// Only the step in which its script runs: `7.batch`.
    pub batch: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Named {
    Number(u64),
    Id(JobId),
}

impl Target {
    /// From its text. None where it names no job.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (whole, step) = text.split_once('.').unwrap_or((text, ""));
        let batch = step == "batch";
        let named =
            |job, elements, task| Some(Self { text: text.to_owned(), job, elements, task, batch });
        if text.starts_with("job_") {
            return match text.split_once('/') {
                None => named(Named::Id(text.parse().ok()?), None, None),
                Some((id, task)) => {
                    named(Named::Id(id.parse().ok()?), None, Some(task.parse().ok()?))
                }
            };
        }
        // A job runs in one step, so that another step's name is all of it.
        let (number, elements) = match whole.split_once('_') {
            None => (whole, None),
            Some((number, rest)) => (number, Some(elements(rest)?)),
        };
        let digits = number.bytes().all(|b| b.is_ascii_digit());
        let number = number.parse().ok().filter(|_| digits)?;
        // `SLURM_JOB_ID` of an element is a number by itself.
        match array_and_element(number).filter(|_| elements.is_none()) {
            Some((array, element)) => named(Named::Number(array), Some(vec![element]), None),
            None => named(Named::Number(number), elements, None),
        }
    }
    /// Several, with commas between them; those inside brackets part elements. An error is the one
    /// that names no job.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        let mut parts = vec![String::new()];
        let mut inside = false;
        for c in text.chars() {
            match c {
                '[' => inside = true,
                ']' => inside = false,
                _ => {}
            }
            match parts.last_mut() {
                Some(_) if c == ',' && !inside => parts.push(String::new()),
                Some(part) => part.push(c),
                None => {}
            }
        }
        let given = parts.iter().filter(|part| !part.trim().is_empty());
        given.map(|part| Self::parse(part).ok_or_else(|| part.clone())).collect()
    }

    /// Is it this job, or a part of it?
    pub fn is_of(&self, job: &Job) -> bool {
        match self.job {
            Named::Number(number) => number == job.number,
            Named::Id(id) => id.to_string() == job.told.summary.id,
        }
    }
    /// The jobs it names. More than one only where two runs of schedules share a number.
    pub async fn jobs(&self, client: &Client) -> Result<Vec<Job>, Failure> {
        let ids = self.ids(client).await?;
        details(client, ids).await
    }
    /// Their ids.
    pub async fn ids(&self, client: &Client) -> Result<Vec<String>, Failure> {
        match self.job {
            Named::Id(id) => Ok(vec![id.to_string()]),
            Named::Number(number) => {
                let filter = JobFilter { number: Some(number), ..JobFilter::default() };
                let rows = client.jobs(&filter, DETAILS_MAX).await?;
                Ok(rows.into_iter().map(|row| row.id).collect())
            }
        }
    }
}

/// The jobs that targets name, each once: two elements of one array are two targets and one job.
pub async fn named(client: &Client, targets: &[Target]) -> Result<Vec<Job>, Failure> {
    let mut ids: Vec<String> = Vec::new();
    for target in targets {
        for id in target.ids(client).await? {
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
    }
    details(client, ids).await
}

/// The job and the task that one element is, as Slurm's users name it: `NUMBER_ELEMENT`, or its own number.
pub async fn one_element(client: &Client, text: &str) -> Result<Option<(String, u32)>, Failure> {
    let target = Target::parse(text).filter(|target| !target.batch);
    let Some(target) = target else { return Ok(None) };
    let Some(&[element]) = target.elements.as_deref() else { return Ok(None) };
    let jobs = target.jobs(client).await?;
    let [job] = &jobs[..] else { return Ok(None) };
    Ok(job.task_of(element).map(|task| (job.told.summary.id.clone(), task)))
}

/// `3`, `[1-3,8]`, `[0-10:5]`.
fn elements(text: &str) -> Option<Vec<u32>> {
    let text = text.strip_prefix('[').map_or(Some(text), |rest| rest.strip_suffix(']'))?;
    let text = text.split('%').next()?;
    let mut all = Vec::new();
    for part in text.split(',') {
        let (ends, step) = part.split_once(':').unwrap_or((part, "1"));
        let (first, last) = ends.split_once('-').unwrap_or((ends, ends));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        let step: usize = step.parse().ok().filter(|step| *step > 0)?;
        if last < first || last - first >= ELEMENTS_MAX {
            return None;
        }
        all.extend((first..=last).step_by(step));
    }
    Some(all)
}

/// Jobs with everything, in the order of their ids here; those that are gone are left out.
pub async fn details(client: &Client, ids: Vec<String>) -> Result<Vec<Job>, Failure> {
    let mut found: Vec<Option<Job>> = Vec::new();
    found.resize_with(ids.len(), || None);
    let mut open = tokio::task::JoinSet::new();
    let mut next = ids.into_iter().take(DETAILS_MAX).enumerate();
    loop {
        while open.len() < AT_ONCE
            && let Some((at, id)) = next.next()
        {
            let client = client.clone();
            open.spawn(async move { (at, one(&client, &id).await) });
        }
        let Some(done) = open.join_next().await else { break };
        let (at, job) = done.expect("a question does not panic");
        match job {
            Ok(job) => found[at] = Some(job),
            Err(Failure::Refused(problem)) if problem.status == 404 => {}
            Err(failure) => return Err(failure),
        }
    }
    Ok(found.into_iter().flatten().collect())
}

async fn one(client: &Client, id: &str) -> Result<Job, Failure> {
    let mut told = client.job(id).await?;
    if told.attempts.len() >= ATTEMPTS_SHOWN {
        told.attempts = client.attempts(id, ATTEMPTS_MAX).await?;
    }
    Ok(Job::new(told))
}

/// Jobs that have not ended, the newest first.
pub async fn active(client: &Client) -> Result<Vec<JobSummary>, Failure> {
    let state = Some("paused,queued,running".to_owned());
    client.jobs(&JobFilter { state, ..JobFilter::default() }, DETAILS_MAX).await
}

/// Names of pools by their ids: a courtesy, who may not list pools sees ids.
pub async fn pool_names(client: &Client) -> Pools {
    Pools::of(client.pools().await.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_as_they_are_named() {
        let check = |text: &str, expect: Option<Option<&[u32]>>| {
            let target = Target::parse(text);
            let elements = target.as_ref().map(|target| target.elements.as_deref());
            assert_eq!(elements, expect, "{text}");
        };
        check("123", Some(None));
        check(" 123 ", Some(None));
        check("123_7", Some(Some(&[7])));
        check("123_[1-3,8]", Some(Some(&[1, 2, 3, 8])));
        check("123_[0-10:5%2]", Some(Some(&[0, 5, 10])));
        check("123.batch", Some(None));
        check("job_01h455vb4pex5vsknk084sn02q", Some(None));
        for bad in
            ["", "x", "12x", "123_", "123_[1-", "123_[3-1]", "job_1", "+5", "123_[0-9999999]"]
        {
            check(bad, None);
        }
        let task = Target::parse("job_01h455vb4pex5vsknk084sn02q/4").expect("a task");
        assert_eq!(task.task, Some(4));
        let list = Target::parse_list("1,2_[1,3],4,").expect("a list");
        assert_eq!(list.iter().map(|t| t.text.as_str()).collect::<Vec<_>>(), ["1", "2_[1,3]", "4"]);
        assert_eq!(Target::parse_list("1,x"), Err("x".to_owned()));
    }
}
