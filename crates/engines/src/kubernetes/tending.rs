//! What is due by the clock: leases and time limits that end, pods that are to go, deadlines that
//! move, images that do not come, gangs that do not come together.
//!
//! Invariant: an attempt that is to end is ended when its pod is, or when no pod of it can be any
//! more; one whose pod stays silent is over some time after its lease.

use dayan_units::{AttemptId, Span};

use super::book::{Batch, Standing};
use super::clerk::Errand;
use super::engine::KubernetesEngine;
use super::forming::seconds_until;
use super::manifest::Gang;
use super::names::BatchName;
use super::pods::Trouble;
use crate::keeper::task::{LEASE_NOTICE_MAX, WALL_GRACE_MAX};
use crate::{BootTime, Outcome, Phase, StartFailure};

/// How long after its grace a pod that was asked to go may take before it is asked again.
const OBEYS_WITHIN: Span = Span::from_secs(10);
/// How long a job that is there may have no pod for an index that is to end, before it is removed.
const NO_POD_WITHIN: Span = Span::from_secs(3);
/// How long a pod that can never start is given to prove otherwise: its words may be old.
const NEVER_WITHIN: Span = Span::from_secs(2);
/// How long the job's word may take about why the cluster took its pods away.
const WHY_WITHIN: Span = Span::from_secs(3);
/// How often something is looked after that is due and cannot be dealt with yet.
const AGAIN: Span = Span::from_secs(1);

/// A tenth of a span, within bounds.
fn tenth_up_to(span: Span, most: Span) -> Span {
    Span::from_micros(span.micros() / 10).min(most).max(Span::ZERO)
}

/// When a task is told that its lease ends: as the keeper does, two seconds before, or a tenth of
/// what is left if that is less.
pub(super) fn notice(end: BootTime, now: BootTime) -> BootTime {
    let before = tenth_up_to(end.since(now), LEASE_NOTICE_MAX);
    end.plus(Span::ZERO.minus(before))
}

/// What is to be done about an attempt.
enum Act {
    End(Outcome, Span),
    /// It can never start, or its next step cannot.
    Never(Trouble),
    Ask,
    Finish(Outcome),
}

impl KubernetesEngine {
    /// Looks after what is due.
    pub(super) fn look_after(&mut self, now: BootTime) {
        self.due_at = BootTime::NEVER;
        let mut next = BootTime::NEVER;
        let mut acts = Vec::new();
        for (attempt, _) in self.book.live() {
            let (act, at) = self.what_is_due(attempt, now);
            next = next.min(at);
            if let Some(act) = act {
                acts.push((attempt, act));
            }
        }
        self.due(next);
        for (attempt, act) in acts {
            match act {
                Act::End(outcome, grace) => {
                    if let Some(held) = self.book.live_mut(attempt) {
                        held.end_by(outcome, grace);
                        self.due_at = now;
                    }
                    self.ask_to_go(attempt, now);
                }
                Act::Never(trouble) => {
                    if let Some(held) = self.book.live_mut(attempt) {
                        held.cannot_start(&trouble);
                        self.due_at = now;
                    }
                    self.ask_to_go(attempt, now);
                }
                Act::Ask => self.ask_to_go(attempt, now),
                Act::Finish(outcome) => self.finish(attempt, outcome),
            }
        }
        for name in self.book.batches.keys().cloned().collect::<Vec<_>>() {
            self.look_after_batch(&name, now);
        }
    }

    /// What an attempt needs now, and when something is due of it at the latest.
    fn what_is_due(&self, attempt: AttemptId, now: BootTime) -> (Option<Act>, BootTime) {
        let held = self.book.get(attempt).expect("it is live");
        let pace = &self.config.pace;
        if let Some(closing) = &held.closing {
            let at = closing.since.plus(pace.logs_within);
            let late = at <= now;
            return (late.then(|| Act::Finish(closing.outcome.clone())), at);
        }
        if let Some((since, _)) = held.unexplained {
            let at = since.plus(WHY_WITHIN);
            return ((at <= now).then_some(Act::Finish(Outcome::KeeperDied)), at);
        }
        let lost_at = held.lease_end.plus(pace.word_within);
        if lost_at <= now {
            return (
                Some(Act::Finish(held.ending.as_ref().map_or(Outcome::KeeperDied, |ending| {
                    // Asked to go and never heard of again: nobody can say that it obeyed.
                    match ending.outcome {
                        Outcome::StartFailed(_) => ending.outcome.clone(),
                        _ => Outcome::KeeperDied,
                    }
                }))),
                now,
            );
        }
        if let Some(ending) = &held.ending {
            let again = match ending.asked {
                None => now,
                Some(asked) => asked.plus(ending.grace).plus(OBEYS_WITHIN),
            };
            if again > now {
                return (None, again.min(lost_at));
            }
            let ask = (held.seat.is_some() && held.pod.is_some()).then_some(Act::Ask);
            return (ask, now.plus(AGAIN).min(lost_at));
        }
        let mut next = held.notice;
        if held.notice <= now {
            let left = held.lease_end.since(now).max(Span::ZERO);
            return (Some(Act::End(Outcome::LeaseEnded, left)), now);
        }
        if let Some(since) = held.running {
            let at = since.plus(held.wall);
            if at <= now {
                let grace = tenth_up_to(held.wall, WALL_GRACE_MAX);
                return (Some(Act::End(Outcome::TimeLimit, grace)), now);
            }
            next = next.min(at);
        }
        let patience = match &held.trouble {
            Some((Trouble::Image(_), _)) => pace.image_within,
            Some((Trouble::Never(_), _)) => NEVER_WITHIN,
            Some((Trouble::NoRoom(_), _)) | None => return (None, next),
        };
        if let Some((trouble, since)) = &held.trouble {
            let at = since.plus(patience);
            if at <= now {
                return (Some(Act::Never(trouble.clone())), now);
            }
            next = next.min(at);
        }
        (None, next)
    }

    /// Asks for an attempt's pod to be ended.
    fn ask_to_go(&mut self, attempt: AttemptId, now: BootTime) {
        // What it still says may be gone with its pod.
        self.follow(attempt);
        let Some(held) = self.book.live_mut(attempt) else { return };
        let (Some(seat), Some(pod), Some(ending)) = (&held.seat, &held.pod, &mut held.ending)
        else {
            return;
        };
        ending.asked = Some(now);
        let grace = ending.grace;
        let again = now.plus(grace).plus(OBEYS_WITHIN);
        self.clerk.send(Errand::EndPod {
            attempt,
            namespace: seat.batch.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            grace_seconds: u32::try_from(grace.secs_ceil().max(0)).unwrap_or(u32::MAX),
        });
        self.due(again);
    }

    fn look_after_batch(&mut self, name: &BatchName, now: BootTime) {
        let members = self.book.members(name);
        let Some(batch) = self.book.batches.get(name) else { return };
        match batch.standing {
            Standing::Asking | Standing::Gone => {}
            Standing::Unsure { again } if again <= now => self.make_again(name),
            Standing::Unsure { again } => self.due(again),
            Standing::Made { seen, .. } if !members.is_empty() => {
                let idle = self.idle(&members, seen, now);
                let (gang, moved) = (batch.gang, batch.moved);
                match idle {
                    Idle::No => {}
                    Idle::Until(at) => self.due(at),
                    Idle::Now if !batch.deleting => {
                        if let Some(batch) = self.book.batches.get_mut(name) {
                            batch.deleting = true;
                        }
                        self.clerk.send(Errand::Remove { batch: name.clone() });
                    }
                    Idle::Now => self.due(now.plus(AGAIN)),
                }
                if gang == Gang::Yes {
                    self.look_after_gang(&members, now);
                }
                if moved {
                    self.move_deadline(name, &members, now);
                }
            }
            Standing::Made { .. } => {}
        }
    }

    /// Is nothing left of a batch but attempts that are to end and have no pod?
    fn idle(&self, members: &[AttemptId], made: BootTime, now: BootTime) -> Idle {
        let all = members.iter().all(|attempt| {
            self.book.get(*attempt).is_some_and(|held| held.ending.is_some() && held.pod.is_none())
        });
        let at = made.plus(NO_POD_WITHIN);
        match all {
            false => Idle::No,
            true if at > now => Idle::Until(at),
            true => Idle::Now,
        }
    }

    /// A gang of which some run and others wait for room, for too long, gives its room back.
    fn look_after_gang(&mut self, members: &[AttemptId], now: BootTime) {
        let held = |attempt: &AttemptId| self.book.get(*attempt);
        let first = members.iter().filter_map(|attempt| held(attempt)?.running).min();
        let waits = members
            .iter()
            .filter_map(held)
            .any(|held| matches!(held.phase, Phase::Starting) && held.ending.is_none());
        let (Some(first), true) = (first, waits) else { return };
        let at = first.plus(self.config.pace.gang_within);
        if at > now {
            self.due(at);
            return;
        }
        let words = "some members of the gang found no room in time; a scheduler that places gangs \
                     as one (Volcano, Kueue) is named with --kube-scheduler";
        for attempt in members {
            if let Some(held) = self.book.live_mut(*attempt) {
                held.end_by(
                    Outcome::StartFailed(StartFailure::NoRoom(words.to_owned())),
                    Span::ZERO,
                );
            }
        }
        self.due_at = now;
    }

    /// Tells the cluster when the first lease of a batch ends, where that has moved.
    fn move_deadline(&mut self, name: &BatchName, members: &[AttemptId], now: BootTime) {
        let until = self.until(members);
        let server = self.server_now();
        let Some(batch) = self.book.batches.get_mut(name) else { return };
        batch.moved = false;
        let Standing::Made { at, .. } = batch.standing else { return };
        if until == BootTime::NEVER || batch.over || batch.overdue {
            return;
        }
        // Counted from when the cluster began to work on it.
        let ran = server.since(batch.started.unwrap_or(at)).max(Span::ZERO);
        let seconds = seconds_until(until.plus(ran), now);
        if batch.deadline != Some(seconds) {
            batch.deadline = Some(seconds);
            self.clerk.send(Errand::Deadline { batch: name.clone(), seconds });
        }
    }
}

/// Is a batch waiting for nothing any more?
enum Idle {
    No,
    Until(BootTime),
    Now,
}

/// A batch whose job was told a deadline that did not reach it is told again.
pub(super) fn tell_again(batch: &mut Batch) {
    batch.deadline = None;
    batch.moved = true;
}
