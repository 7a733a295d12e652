//! Asks on a timer what time alone brings about, and has it decided. What is due is the exchange's
//! to say; here are only the clock and the randomness.

use std::collections::BTreeSet;
use std::time::Duration;

use dayan_exchange::due::{ToAdmit, due, silence, to_admit};
use dayan_exchange::shares::{SHARES_EVERY, behind};
use dayan_exchange::{Actor, Command, changes};
use dayan_identity::Nonce;
use dayan_units::{PoolId, Span, Time};

use crate::planner::PlannerHandle;
use crate::random::random_bytes;
use crate::writer::{Live, Unavailable, Writer};

/// How often the timers look: leases last seconds at least, windows minutes.
const TICK: Duration = Duration::from_millis(500);
/// A pool proves its inventory this often.
const CHALLENGE_EVERY: Span = Span::from_secs(3_600);

/// Runs until the writer stops.
pub async fn run(writer: Writer, planner: PlannerHandle) {
    let mut silent: Option<BTreeSet<PoolId>> = None;
    let mut shared_at: Option<Time> = None;
    let mut priced: Option<usize> = None;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let planner_handle = planner.clone();
        let (before, planner, shared, hour) = (silent.clone(), planner.clone(), shared_at, priced);
        let asked = writer.ask(move |live| {
            let nonce = || Nonce(random_bytes());
            let due = due(&live.state, &live.liveness, live.now, CHALLENGE_EVERY, nonce);
            let due: Vec<(Command, Option<ToAdmit>)> = due
                .into_iter()
                .map(|command| {
                    let seek = to_admit(&live.state, &command, live.now);
                    (command, seek)
                })
                .collect();
            let told = (tell_shares(live, shared, &planner), tell_prices(live, hour, &planner));
            (due, tell_silence(live, before, &planner), told)
        });
        let due = match asked.await {
            Ok((due, now_silent, told)) => {
                silent = now_silent;
                (shared_at, priced) = told;
                due
            }
            Err(Unavailable::Stopping) => return,
            Err(Unavailable::Busy | Unavailable::Store(_)) => continue,
        };
        if due.is_empty() {
            continue;
        }
        let due = admitted(due, &planner_handle).await;
        // A refusal here means that something else was faster.
        drop(writer.commands_then(Actor::System, due, |_, _| ()).await);
    }
}

/// The planner is asked about the hard deadlines of runs that are due and of tasks that go again. One that it does not answer
/// is decided without, which leaves the run out with that reason.
async fn admitted(due: Vec<(Command, Option<ToAdmit>)>, planner: &PlannerHandle) -> Vec<Command> {
    let mut commands = Vec::with_capacity(due.len());
    for (mut command, seek) in due {
        if let Some(ToAdmit { ask, spec, start }) = seek
            && let Ok(admission) = planner.admit(ask, spec, Some(start)).await
        {
            command.admitted(admission);
        }
        commands.push(command);
    }
    commands
}

/// Tells the planner how projects stand, once in a while.
fn tell_shares(live: &Live, before: Option<Time>, planner: &PlannerHandle) -> Option<Time> {
    // A clock that was set back must not keep it from being told for as long.
    if before.is_some_and(|at| at <= live.now && live.now.since(at) < SHARES_EVERY) {
        return before;
    }
    planner.shares(behind(&live.state, live.now));
    Some(live.now)
}

/// Tells the planner what an hour costs, when another has begun. On the writer's thread, like what is
/// told of silence.
fn tell_prices(live: &Live, before: Option<usize>, planner: &PlannerHandle) -> Option<usize> {
    let hour = changes::hour(&live.state, live.now);
    if before != Some(hour) {
        planner.changes(changes::of_hour(&live.state, live.now));
    }
    Some(hour)
}

/// Tells the planner which pools are not heard, if others were before. On the writer's thread, so
/// that nothing newer of a pool is overtaken by what is told here.
fn tell_silence(
    live: &Live,
    before: Option<BTreeSet<PoolId>>,
    planner: &PlannerHandle,
) -> Option<BTreeSet<PoolId>> {
    let Some(news) = silence(&live.state, &live.liveness, live.now, before.as_ref()) else {
        return before;
    };
    if let Some(before) = &before {
        let crn = |pool: &PoolId| live.state.supply.pools.get(pool).map(|pool| &pool.crn);
        for crn in news.pools.difference(before).filter_map(crn) {
            tracing::warn!(pool = %crn, "its agent is not heard: nothing goes there");
        }
        for crn in before.difference(&news.pools).filter_map(crn) {
            tracing::info!(pool = %crn, "its agent is heard");
        }
    }
    let silent = news.pools.clone();
    planner.silence(news);
    Some(silent)
}
