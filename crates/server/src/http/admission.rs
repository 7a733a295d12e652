//! Hard deadlines: before a job that has one is decided, the planner is asked whether it can be
//! promised. The decision looks again, so what was found may be overtaken: then it is sought anew.

use std::sync::Arc;

use dayan_exchange::{Admission, Command, Made};
use dayan_schedule::Appointment;
use dayan_spec::{Deadline, DeadlineKind, JobSpec};
use dayan_units::QuoteId;
use dayan_wire as wire;

use super::data_check;
use super::extract::Caller;
use super::jobs::submit_command;
use super::market::question;
use crate::app::Shared;
use crate::problem::Failure;

/// How often a place is sought for one submission. Each time somebody else was faster: after three
/// the exchange is so busy that the user had better decide.
const SEEK_MAX: usize = 3;

/// What the planner says of a job's hard deadline; nothing is sought for a job without one.
pub(super) async fn seek(
    app: &Shared,
    spec: &JobSpec,
    quote: Option<QuoteId>,
) -> Result<Admission, Failure> {
    let hard = |deadline: &Deadline| deadline.kind == DeadlineKind::Hard;
    // A schedule's runs are admitted when they are due.
    if spec.schedule.is_some() || !spec.deadline.as_ref().is_some_and(hard) {
        return Ok(Admission::NotSought);
    }
    // Where there is no such project, the decision says so.
    let Some(question) = question(app, spec, quote).await? else {
        return Ok(Admission::NotSought);
    };
    Ok(app.planner.admit(question.ask, Arc::new(spec.clone()), None).await?)
}

/// Submits a job; one with a hard deadline with the places that were found for it.
pub(super) async fn submit(
    app: &Shared,
    caller: &Caller,
    spec: JobSpec,
    quote: Option<QuoteId>,
    key: Option<String>,
) -> Result<Made, Failure> {
    let mut tries = 0;
    loop {
        tries += 1;
        let admission = seek(app, &spec, quote).await?;
        let data = data_check::inputs(app, &spec).await?;
        let command: Command = submit_command(spec.clone(), quote, key.clone(), admission, data);
        let done = app.command(caller.actor(), command).await;
        let raced = done.as_ref().err().is_some_and(|failure| failure.0.code == "deadline.raced");
        if !raced || tries >= SEEK_MAX {
            return done;
        }
    }
}

/// By when a job is promised to have started and ended.
pub(super) fn promise(admission: &Admission) -> Option<wire::Promise> {
    match admission {
        Admission::Found(made) => of_appointments(made.iter()),
        Admission::NotSought | Admission::Refused(_) => None,
    }
}

/// The same of appointments that stand.
pub(super) fn of_appointments<'a>(
    made: impl Iterator<Item = &'a Appointment>,
) -> Option<wire::Promise> {
    let (from, until) = made
        .map(|made| (made.from, made.until))
        .reduce(|all, one| (all.0.max(one.0), all.1.max(one.1)))?;
    Some(wire::Promise { starts_by: from.to_string(), ends_by: until.to_string() })
}
