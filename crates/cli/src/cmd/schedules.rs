//! Schedules: found by name beside jobs, shown, listed, and told to pause, go on or end.

use dayan_wire::{Schedule, ScheduleRun};
use serde_json::{Value, json};

use super::jobs::with_keys;
use super::session::{JobPath, Session};
use crate::client::{Client, Order};
use crate::exit::{Exit, Failure, Said};
use crate::output::{Cell, Grid, Show, View};
use crate::words::Word;

/// The schedule that is meant, if one is: by its id, or by a name that one has which was not
/// cancelled. It goes before jobs of that name, whose ids are always good.
pub async fn meant(path: &JobPath, client: &Client) -> Result<Option<String>, Failure> {
    if path.task.is_some() || path.job.starts_with("job_") {
        return Ok(None);
    }
    if path.job.starts_with("sch_") {
        return Ok(Some(path.job.clone()));
    }
    let found = match client.schedules(None, Some(&path.job)).await {
        Ok(found) => found,
        // An exchange of before there were any, or one that does not let us look.
        Err(Failure::Refused(problem)) if matches!(problem.status, 403 | 404) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let living = |of: &&Schedule| of.state != "cancelled" && of.name == path.job;
    let ids: Vec<String> = found.iter().filter(living).map(|of| of.id.clone()).collect();
    match &ids[..] {
        [] => Ok(None),
        [only] => Ok(Some(only.clone())),
        [..] => {
            let kind = client.lang().word(Word::KindSchedule);
            let said = Said::with(Word::Ambiguous, "kind", kind).and("name", &path.job);
            Err(Failure::usage(said.and("ids", ids.join(", "))))
        }
    }
}

/// Tells a schedule what to do. What has no end to it cannot be tried again.
pub async fn give(
    id: &str,
    order: Order,
    client: &Client,
    session: &Session,
) -> Result<Exit, Failure> {
    let word = match order {
        Order::Retry => return Err(Failure::usage(Said::with(Word::NoRetryOfSchedule, "id", id))),
        Order::Cancel => Word::ScheduleCancelled,
        Order::Pause => Word::SchedulePaused,
        Order::Resume => Word::ScheduleResumed,
    };
    client.order_schedule(id, order).await?;
    session.out.done(&json!({ "schedule": id }), &Said::with(word, "id", id))?;
    Ok(Exit::Ok)
}

impl Show for Vec<Schedule> {
    fn table(&self, view: &View) -> String {
        let heads = [
            Word::Schedule,
            Word::Name,
            Word::Project,
            Word::State,
            Word::DueNext,
            Word::LastRun,
            Word::CameTo,
        ];
        let mut grid = Grid::new(view, &heads);
        for schedule in self {
            let last = schedule.runs.first();
            grid.row([
                Cell::id(&schedule.id),
                Cell::text(&schedule.name),
                Cell::text(&schedule.project),
                Cell::state(&schedule.state),
                Cell::text(view.time_or_dash(schedule.next.first().map(String::as_str))),
                Cell::text(view.time_or_dash(last.map(|run| run.due.as_str()))),
                Cell::state(last.map_or("-", |run| run.state.as_str())),
            ]);
        }
        grid.finish()
    }
}

impl Show for Schedule {
    fn table(&self, view: &View) -> String {
        let mut grid = Grid::plain(view);
        grid.pair(Word::Schedule, Cell::id(&self.id));
        grid.pair(Word::Name, Cell::text(&self.name));
        grid.pair(Word::Project, Cell::text(&self.project));
        grid.pair(Word::State, Cell::state(&self.state));
        grid.pair(Word::Submitted, Cell::text(view.time(&self.submitted_at)));
        if let Some(ended) = &self.ended_at {
            grid.pair(Word::Ended, Cell::text(view.time(ended)));
        }
        grid.pair(Word::Rhythm, Cell::text(format!("{} ({})", self.cron, self.timezone)));
        grid.pair(Word::Overlap, Cell::text(&self.overlap));
        grid.pair(Word::CatchUp, Cell::text(&self.catch_up));
        let times = |times: &[String]| {
            let times: Vec<String> = times.iter().map(|at| view.time(at)).collect();
            if times.is_empty() { "-".to_owned() } else { times.join(", ") }
        };
        grid.pair(Word::DueNext, Cell::text(times(&self.next)));
        if !self.to_make_up.is_empty() {
            grid.pair(Word::ToMakeUp, Cell::text(times(&self.to_make_up)));
        }
        let mut out = grid.finish();
        if !self.runs.is_empty() {
            out.push('\n');
            out.push_str(&runs(&self.runs, view));
        }
        out
    }

    fn data(&self) -> Value {
        let mut data = serde_json::to_value(self).expect("wire types have text keys");
        if let Some(Value::Array(runs)) = data.get_mut("runs") {
            for run in runs {
                with_keys(run, &["job", "ended_at", "code", "message"]);
            }
        }
        data
    }
}

fn runs(runs: &[ScheduleRun], view: &View) -> String {
    let heads = [Word::LastRun, Word::CameTo, Word::Job, Word::Ended, Word::Reason];
    let mut grid = Grid::new(view, &heads);
    for run in runs {
        let due = match &run.until {
            Some(until) => format!("{} – {}", view.time(&run.due), view.time(until)),
            None => view.time(&run.due),
        };
        grid.row([
            Cell::text(due),
            Cell::state(&run.state),
            Cell::text(run.job.as_deref().unwrap_or("-")),
            Cell::text(view.time_or_dash(run.ended_at.as_deref())),
            Cell::text(run.message.as_deref().unwrap_or("")),
        ]);
    }
    grid.finish()
}

#[cfg(test)]
#[path = "schedules_tests.rs"]
mod tests;
