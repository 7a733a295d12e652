//! One attempt's way to its end, from where its container runs on.
//!
//! Invariants: whatever the service answers or does not, the task ends with its lease, because its
//! first process is held by a descriptor of ours; its end is told only when nothing of it runs. A
//! service that is away is asked again for as long as the lease lasts, and after it until it says
//! how the container ended.

use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use dayan_units::{AttemptId, Span};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::io::unix::AsyncFd;

use super::api::{Follow, Standing, Trouble};
use super::bringing::{began, begin, bring, may_have_run, said_by_init};
use super::cgroup::First;
use super::holding::{Due, Note, Ran};
use super::house::House;
use super::output::{Piece, Source};
use super::presence::Visit;
use super::recipe;
use super::steps::{self, Next};
use crate::waker::timespec;
use crate::{BootTime, Launch, Outcome, Signal, proc, sys, wall_now};

/// Pause before a service that is away is asked again: short beside the seconds in which one is
/// started, long beside the microseconds that asking takes.
pub(super) const ASK_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// The first pause before a container that has just ended is asked about again: podman's conmon
/// needs some milliseconds to write down how.
const END_AGAIN_FIRST: Duration = Duration::from_millis(5);
/// How often a running container is looked at: for usage records, and to see that something in it
/// was killed for want of memory.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the rest of the output may take after the container has ended: it lies in pipes, and who keeps it
/// may be busy, or be started again just then.
const DRAIN_WITHIN: Duration = Duration::from_secs(30);
/// Between two readings of what an ended container has written: longer than its last bytes take from the pipe to
/// the disk.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(200);
/// So much of a container's output is counted again after its end, which takes some milliseconds. Of more it takes as
/// long as it took to write, and a service that dies in the moment after an end takes the last words along.
const COUNTED_MAX: u64 = 1 << 20;
/// Pause after a kill before the next, in case it forks faster than it dies.
const KILL_AGAIN_AFTER: Span = Span::from_millis(200);
/// How often it is tried to remove what an ended container left, five seconds apart at most.
const CLEAR_TRIES_MAX: u32 = 720;

/// Runs a launch to its end.
pub(super) async fn launched(house: Rc<House>, launch: Box<Launch>) {
    let attempt = launch.attempt;
    let outcome = match bring(&house, &launch).await {
        Ok(permit) => {
            let mut permit = Some(permit);
            let mut step = 0;
            loop {
                let argv = recipe::argv(&launch, step).unwrap_or_default();
                let program = argv.first().map_or("", String::as_str);
                let permit = match permit.take() {
                    Some(permit) => permit,
                    None => house.starts.acquire().await.expect("it is never closed"),
                };
                let seen = heard(&house).await;
                let outcome = match begin(&house, attempt, step, program, permit).await {
                    Ok(source) => run(&house, attempt, step, source, seen).await,
                    Err(outcome) => outcome,
                };
                let outcome = said_by_init(&house, attempt, program, outcome);
                match steps::after(&house, attempt, step, outcome) {
                    Next::Step(next) => step = next,
                    Next::Over(outcome) => break outcome,
                }
            }
        }
        Err(outcome) => outcome,
    };
    house.finish(attempt, outcome);
    clear(&house, attempt).await;
}

/// What docker says of a container that ended while docker was not there: nobody knows how.
const UNKNOWN_TO_DOCKER: i64 = 255;

/// Which docker is heard; of podman, none.
async fn heard(house: &House) -> Option<Visit> {
    let docker = house.kitchen.borrow().docker;
    if docker { house.presence.soon().await } else { None }
}

/// Goes on with what an earlier keeper launched, where it is in its steps.
pub(super) async fn adopted(house: Rc<House>, attempt: AttemptId) {
    let mut step = house.with(attempt, |held| held.current.step).unwrap_or(0);
    let outcome = loop {
        let outcome = taken_over(&house, attempt, step).await;
        match steps::after(&house, attempt, step, outcome) {
            Next::Step(next) => step = next,
            Next::Over(outcome) => break outcome,
        }
    };
    house.finish(attempt, outcome);
    clear(&house, attempt).await;
}

/// Runs a step to its end whose container an earlier keeper made, and perhaps started.
async fn taken_over(house: &House, attempt: AttemptId, step: u32) -> Outcome {
    let name = house.name(attempt, step);
    loop {
        let seen = house.presence.now();
        match house.service.standing(&name).await {
            // Nothing was made, or somebody removed it: nobody knows how it ended.
            Ok(None) => return Outcome::KeeperDied,
            Ok(Some(standing))
                if !standing.started
                    && house.kitchen.borrow().docker
                    && house.with(attempt, |held| held.asked) == Some(Some(step)) =>
            {
                return may_have_run(house, attempt);
            }
            // It was made, and all that it needs is in it.
            Ok(Some(standing)) if !standing.started => {
                let permit = house.starts.acquire().await.expect("it is never closed");
                let seen = heard(house).await;
                return match begin(house, attempt, step, "its program", permit).await {
                    Ok(source) => run(house, attempt, step, source, seen).await,
                    Err(outcome) => outcome,
                };
            }
            Ok(Some(standing)) => {
                let known =
                    house.with(attempt, |held| held.ran.is_some() && held.current.step == step);
                if known != Some(true) {
                    began(house, attempt, step, &standing, (wall_now(), house.clock.now()));
                }
                return run(house, attempt, step, None, seen.filter(|_| standing.running)).await;
            }
            Err(_) => {
                if told(house, attempt).is_some() {
                    kill(house, attempt).await;
                }
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
        }
    }
}

/// Why it is to end, if it is.
pub(super) fn told(house: &House, attempt: AttemptId) -> Option<Outcome> {
    let now = house.clock.now();
    house.with(attempt, |held| {
        let lease_over = matches!(held.due(), (at, Due::LeaseNotice) if at <= now);
        held.ending
            .as_ref()
            .map(|ending| ending.outcome.clone())
            .or_else(|| lease_over.then_some(Outcome::LeaseEnded))
    })?
}

/// Waits until it is to end.
pub(super) async fn until_told(house: &House, attempt: AttemptId) -> Outcome {
    loop {
        if let Some(outcome) = told(house, attempt) {
            return outcome;
        }
        let Some((due, changed)) =
            house.with(attempt, |held| (held.due().0, Rc::clone(&held.changed)))
        else {
            return Outcome::Stopped;
        };
        tokio::select! {
            () = changed.notified() => {}
            () = until(house, due) => {}
        }
    }
}

/// Waits for a time of the boot clock, a second at most: that clock goes on while a machine sleeps,
/// a timer does not.
async fn until(house: &House, at: BootTime) {
    let left = at.since(house.clock.now()).max(Span::ZERO).to_std();
    tokio::time::sleep(left.min(LOOK_EVERY)).await;
}

fn ran(house: &House, attempt: AttemptId) -> Option<Ran> {
    house.with(attempt, |held| held.ran.clone())?
}

fn first(house: &House, attempt: AttemptId) -> Option<First> {
    let (pid, birth) = ran(house, attempt)?.first?;
    First::again(pid, birth)
}

/// Takes counters of a running attempt, and ends it where something in it died for want of memory.
pub(super) fn look(house: &House, attempt: AttemptId) {
    let Some(ran) = ran(house, attempt) else { return };
    if !house.is_live(attempt) {
        return;
    }
    let now = house.clock.now();
    let alive = ran.first.filter(|(pid, birth)| {
        proc::process(*pid).is_some_and(|process| process.birth == *birth && !process.is_zombie)
    });
    let own = alive.map(|(pid, _)| house.trees.of_process(pid)).unwrap_or_default();
    let mut reading = match &ran.cgroup {
        Some(cgroup) => house.trees.of_ours(cgroup),
        None => own,
    };
    if alive.is_some() {
        // Its own peak leaves out what the service does beside it.
        reading.memory_peak = own.memory_peak;
    }
    house.with(attempt, |held| held.count(&reading, now));
    house.mark(attempt);
    if own.oom_kills > 0 {
        end(house, attempt, Outcome::OutOfMemory, Signal::KILL, Span::ZERO);
    }
}

/// Begins to end an attempt: a signal now, a kill after the grace.
pub(super) fn end(
    house: &House,
    attempt: AttemptId,
    outcome: Outcome,
    signal: Signal,
    grace: Span,
) {
    if !house.is_live(attempt) {
        return;
    }
    let kill_at = house.clock.now().plus(grace);
    let is_first = house.with(attempt, |held| {
        let is_first = held.ending.is_none();
        held.end_by(outcome.clone(), kill_at);
        is_first
    });
    if is_first == Some(true) {
        house.note(&Note::Ending { attempt, outcome, kill_at });
    }
    if signal != Signal::KILL && ran(house, attempt).is_some() {
        tell(house, attempt, signal);
        // A stopped process would take the signal only once it goes on.
        tell(house, attempt, Signal(libc::SIGCONT));
    }
}

fn tell(house: &House, attempt: AttemptId, signal: Signal) {
    if let Some(first) = first(house, attempt)
        && first.signal(signal).is_ok()
    {
        return;
    }
    let (service, name) = (house.service.clone(), house.current_name(attempt));
    tokio::task::spawn_local(async move {
        if let Err(error) = service.signal(&name, signal).await {
            tracing::debug!(%error, name, "a container could not be told to end");
        }
    });
}

/// Sends a signal to those processes of a running container that catch it. The service itself could
/// tell only the first one, an init that would pass it on to a shell that dies of it.
pub(super) fn ask(house: &House, attempt: AttemptId, signal: Signal) {
    let Some(first) = first(house, attempt) else { return };
    let space = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(own) = space(first.pid) else { return };
    let inside = proc::processes().into_iter().map(|process| process.pid);
    proc::ask(inside.filter(|pid| space(*pid).as_ref() == Some(&own)), signal);
}

/// Ends all of an attempt at once, with the service or without.
pub(super) async fn kill(house: &House, attempt: AttemptId) {
    if let Some(first) = first(house, attempt)
        && first.signal(Signal::KILL).is_ok()
    {
        return;
    }
    let asked = house.service.signal(&house.current_name(attempt), Signal::KILL).await;
    if matches!(asked, Err(Trouble::Away(_))) {
        end_marked(house, attempt);
    }
}

/// Ends what carries an attempt's mark, whatever the service knows of it.
pub(super) fn end_marked(house: &House, attempt: AttemptId) {
    let fence = house.folder.fence(attempt);
    let marked =
        |process: &proc::Process| proc::fence_of(process.pid).as_deref() == Some(fence.as_str());
    proc::processes().into_iter().filter(marked).for_each(proc::kill);
}

/// Has the process ended?
fn has_ended(first: &First) -> bool {
    let mut fds = [PollFd::new(&first.pidfd, PollFlags::IN)];
    poll(&mut fds, Some(&timespec(Span::ZERO))).is_ok_and(|ready| ready > 0)
}

/// Rings when the process ends; never where there is none to hold.
async fn ended(first: Option<&AsyncFd<OwnedFd>>) {
    match first {
        // A failure to watch is as good as an end: it is asked about.
        Some(first) => drop(first.readable().await),
        None => std::future::pending().await,
    }
}

/// The next piece of output; never where nobody listens.
async fn piece(source: &mut Option<Source>) -> Option<Piece> {
    match source {
        Some(source) => source.next().await,
        None => std::future::pending().await,
    }
}

/// Keeps a running container to its end, and says how it ended. `seen`: the docker that it ran under.
async fn run(
    house: &House,
    attempt: AttemptId,
    step: u32,
    source: Option<Source>,
    mut seen: Option<Visit>,
) -> Outcome {
    let name = &house.name(attempt, step);
    // Heard from the start on; what another keeper heard of it is read again.
    let mut whole = source.is_some();
    let mut source = source;
    let bell = first(house, attempt).and_then(|first| house.trees.bell(first.pid));
    let watched = first(house, attempt).and_then(|first| sys::watch(first.pidfd).ok());
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut listen_at = house.clock.now();
    loop {
        let Some((due, changed)) =
            house.with(attempt, |held| (held.due(), Rc::clone(&held.changed)))
        else {
            return Outcome::Stopped;
        };
        let now = house.clock.now();
        if due.0 <= now {
            on_due(house, attempt, due.1, now).await;
            continue;
        }
        if source.is_none() && listen_at <= now {
            source = Source::from_start(&house.service, name, Follow::On).ok();
            listen_at = now.plus(Span::from_micros(1_000_000));
        }
        tokio::select! {
            biased;
            () = ended(watched.as_ref()) => break,
            piece = piece(&mut source) => match piece {
                Some(piece) => {
                    house.with(attempt, |held| piece.write(&mut held.logs, held.current.written));
                }
                // It has ended, or the service is gone.
                None => {
                    source = None;
                    whole = false;
                    let gone = house.service.standing(name).await;
                    if matches!(gone, Ok(None)) || matches!(gone, Ok(Some(s)) if !s.running) {
                        break;
                    }
                }
            },
            () = until(house, due.0) => {}
            () = changed.notified() => {}
            _ = looks.tick() => {
                look(house, attempt);
                let present = house.presence.now();
                if watched.is_none() || seen != present {
                    match house.service.standing(name).await {
                        Ok(Some(standing)) if !standing.running => break,
                        // It runs under this one, too.
                        Ok(Some(_)) => seen = present,
                        Ok(None) | Err(_) => {}
                    }
                }
            }
        }
    }
    let rung = match &bell {
        Some(bell) => bell.has_rung().await,
        None => false,
    };
    let mut standing = how_it_ended(house, attempt, name).await;
    let is_there = standing.is_some();
    let knows = seen.is_some() && seen == house.presence.now();
    if house.kitchen.borrow().docker && !knows {
        standing = standing.filter(|standing| standing.exit_code != UNKNOWN_TO_DOCKER);
    }
    let source = source.filter(|_| whole);
    // Of one that somebody has removed there is no more than was heard.
    if is_there || source.is_some() {
        drain(house, attempt, name, source, seen).await;
    }
    look(house, attempt);
    outcome(house, attempt, standing, rung)
}

async fn on_due(house: &House, attempt: AttemptId, due: Due, now: BootTime) {
    match due {
        Due::LeaseNotice => {
            let left = house.with(attempt, |held| held.lease_end.since(now));
            let grace = left.unwrap_or(Span::ZERO).max(Span::ZERO);
            end(house, attempt, Outcome::LeaseEnded, Signal::TERM, grace);
        }
        Due::Wall => {
            let grace = house.with(attempt, |held| held.wall_grace()).unwrap_or(Span::ZERO);
            end(house, attempt, Outcome::TimeLimit, Signal::TERM, grace);
        }
        Due::Kill => {
            kill(house, attempt).await;
            // From now on it is looked at until it is gone.
            house.with(attempt, |held| {
                let again = now.plus(KILL_AGAIN_AFTER);
                if let Some(ending) = &mut held.ending {
                    ending.kill_at = again;
                }
                held.lease_end = held.lease_end.max(again);
            });
        }
    }
}

/// Asks until the service says how a container ended; none: it is not there any more.
async fn how_it_ended(house: &House, attempt: AttemptId, name: &str) -> Option<Standing> {
    let mut pause = END_AGAIN_FIRST;
    loop {
        match house.service.standing(name).await {
            Ok(None) => return None,
            Ok(Some(standing)) if !standing.running => return Some(standing),
            Ok(Some(_)) | Err(_) => {}
        }
        // What is left of it is ended all the same.
        if first(house, attempt).is_some_and(|first| !has_ended(&first)) {
            kill(house, attempt).await;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_AGAIN_AFTER);
    }
}

/// Takes the rest of the output. Nobody writes any more; but a stream that is heard ends as well where the service
/// has died, without a word, so what the service keeps is counted after it, where that is little. Where it is more than
/// was heard, it may still be on its way to where it is kept, and has all come when two readings are the same.
async fn drain(
    house: &House,
    attempt: AttemptId,
    name: &str,
    source: Option<Source>,
    seen: Option<Visit>,
) {
    let heard = source.is_some();
    let rest = async {
        let mut before = None;
        if let Some(mut source) = source {
            take(house, attempt, &mut source).await;
            before = taken(house, attempt);
            let much = before.is_none_or(|[out, err]| out.saturating_add(err) > COUNTED_MAX);
            if much && !source.is_cut() {
                return;
            }
        }
        let mut first = heard;
        loop {
            let again = Source::from_start(&house.service, name, Follow::Off);
            let mut all = None;
            if let Ok(mut source) = again {
                take(house, attempt, &mut source).await;
                all = source.all();
            }
            // Podman's containers write down their output before their end. Docker does it itself, also what is left
            // of those that ended while it was away.
            let docker = house.kitchen.borrow().docker;
            let settled = !first || !docker || seen.is_some() && seen == house.presence.now();
            if all.is_some() && all == before && settled {
                return;
            }
            before = all;
            first = false;
            tokio::time::sleep(READ_AGAIN_AFTER).await;
        }
    };
    if tokio::time::timeout(DRAIN_WITHIN, rest).await.is_err() {
        tracing::warn!(name, heard, "the end of a container's output did not come");
    }
}

/// How much was taken of each stream of the container that runs.
fn taken(house: &House, attempt: AttemptId) -> Option<[u64; 2]> {
    house.with(attempt, |held| {
        let of = |at: usize| held.logs.get(at)?.written().checked_sub(held.current.written[at]);
        Some([of(0)?, of(1)?])
    })?
}

/// Writes down what comes of it.
async fn take(house: &House, attempt: AttemptId, source: &mut Source) {
    while let Some(piece) = source.next().await {
        house.with(attempt, |held| piece.write(&mut held.logs, held.current.written));
    }
}

/// `rung`: something of it was heard to be killed for want of memory.
fn outcome(house: &House, attempt: AttemptId, standing: Option<Standing>, rung: bool) -> Outcome {
    let ending = house.with(attempt, |held| held.ending.clone());
    match (ending.flatten(), standing) {
        (Some(ending), _) => ending.outcome,
        // Somebody removed it: it runs no more, and nobody knows how it ended.
        (None, None) => Outcome::KeeperDied,
        (None, Some(standing)) => {
            house.with(attempt, |held| held.lasted = standing.lasted);
            let code = i32::try_from(standing.exit_code).unwrap_or(i32::MAX);
            let memory = house.with(attempt, |held| held.limits.memory).unwrap_or_default();
            let cgroup = ran(house, attempt).and_then(|ran| ran.cgroup);
            let ran_out = cgroup.as_ref().is_some_and(|it| house.trees.ran_out(it, memory, code));
            let was_full = cgroup.as_ref().is_none_or(|it| house.trees.was_full(it, memory));
            // Also where the first process has outlived that of another and says that all is well.
            if rung && was_full || standing.oom || ran_out {
                Outcome::OutOfMemory
            } else if code < 0 {
                // No program ends so: podman says it where it does not know.
                Outcome::KeeperDied
            } else {
                Outcome::Exited(code)
            }
        }
    }
}

/// Removes the containers and their cgroup, however long the service is away.
async fn clear(house: &House, attempt: AttemptId) {
    let names = house.names(attempt);
    let mut left = names.iter().peekable();
    let cgroup = ran(house, attempt).and_then(|ran| ran.cgroup);
    let mut pause = ASK_AGAIN_AFTER;
    for _ in 0..CLEAR_TRIES_MAX {
        while let Some(name) = left.peek() {
            if let Err(error) = house.service.remove(name).await {
                tracing::debug!(%error, name, "a container is not removed yet");
                break;
            }
            left.next();
        }
        let empty = left.peek().is_none();
        if empty && cgroup.as_ref().is_none_or(|cgroup| house.trees.remove(cgroup)) {
            return;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(5));
    }
    tracing::warn!(%attempt, "an ended container could not be removed");
}
