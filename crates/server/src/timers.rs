//! What time alone brings about: leases that can no longer be valid, windows that close, pools that
//! must prove themselves again, ended jobs that leave memory. Each becomes a command like any
//! other.

use std::collections::BTreeSet;
use std::time::Duration;

use dayan_exchange::{Actor, Command, JOB_RETENTION};
use dayan_identity::{Nonce, Status};
use dayan_units::{PoolId, Span};

use crate::planner::PlannerHandle;
use crate::random::random_bytes;
use crate::writer::{Live, Writer};

/// How often the timers look: leases last seconds at least, windows minutes.
const TICK: Duration = Duration::from_millis(500);
/// The most commands one tick makes of each kind, so that no batch grows without bound.
const PER_TICK: usize = 1_000;
/// A pool proves its inventory this often.
const CHALLENGE_EVERY: Span = Span::from_secs(3_600);

/// Runs until the writer stops.
pub async fn run(writer: Writer, planner: PlannerHandle) {
    let mut silent: Option<BTreeSet<PoolId>> = None;
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (before, planner) = (silent.clone(), planner.clone());
        let asked =
            writer.ask(move |live| (due(live), tell_silence(live, before.as_ref(), &planner)));
        let due = match asked.await {
            Ok((due, now_silent)) => {
                silent = Some(now_silent);
                due
            }
            Err(crate::writer::Unavailable::Stopping) => return,
            Err(_) => continue,
        };
        if due.is_empty() {
            continue;
        }
        // A refusal here means that something else was faster.
        drop(writer.commands_then(Actor::System, due, |_, _| ()).await);
    }
}

/// Tells the planner which pools are not heard, if others were before. On the writer's thread, so
/// that nothing newer of a pool is overtaken by what is told here.
fn tell_silence(
    live: &Live,
    before: Option<&BTreeSet<PoolId>>,
    planner: &PlannerHandle,
) -> BTreeSet<PoolId> {
    let silent = live.liveness.silent(&live.state, live.now);
    if before != Some(&silent) {
        let none = BTreeSet::new();
        let mut shown = Vec::new();
        for pool in silent.symmetric_difference(before.unwrap_or(&none)) {
            if let Some(pool) = live.state.supply.pools.get(pool) {
                if before.is_some() && silent.contains(&pool.id) {
                    tracing::warn!(pool = %pool.crn, "its agent is not heard: nothing goes there");
                } else if before.is_some() {
                    tracing::info!(pool = %pool.crn, "its agent is heard");
                }
                dayan_exchange::changes::of_pool(&live.state, pool, live.now, &mut shown);
            }
        }
        planner.silent(silent.clone(), shown);
    }
    silent
}

fn due(live: &Live) -> Vec<Command> {
    let (state, now) = (&live.state, live.now);
    let mut due = Vec::new();
    let lost = live.liveness.lost(state, now, PER_TICK);
    due.extend(lost.into_iter().map(|attempt| Command::LoseLease { attempt }));
    let windows = state.work.leases.values().filter(|lease| lease.window_due <= now);
    due.extend(windows.take(PER_TICK).map(|lease| Command::CloseWindow { attempt: lease.attempt }));
    for pool in state.supply.pools.values() {
        let proven = pool.verified_at.is_some_and(|at| now.since(at) < CHALLENGE_EVERY);
        let asked =
            pool.challenge.as_ref().is_some_and(|open| now <= open.at.plus(open.answer_within));
        if !proven && !asked && !matches!(pool.status, Status::Retired) {
            due.push(Command::Challenge { pool: pool.id, nonce: Nonce(random_bytes()) });
        }
    }
    let before = now.minus(JOB_RETENTION);
    let old = state.work.ended.first().is_some_and(|(at, _)| *at < before)
        || state.work.ended.len() > dayan_exchange::ENDED_JOBS_MAX;
    let bookings = state
        .booked
        .front()
        .is_some_and(|(at, _)| now.since(*at) > dayan_exchange::TRANSFER_RETENTION.times(2));
    let quotes = state.work.quotes.values().any(|g| g.job.is_none() && g.quote.expires_at <= now);
    if old || bookings || quotes {
        due.push(Command::Retire { before, jobs_max: PER_TICK });
    }
    due
}
