//! The end of an attempt: what becomes of its task, its gang and its job, and its bill.

use dayan_market::OfferMode;
use dayan_spec::RetryCause;
use dayan_units::AttemptId;

use super::{Ask, Decision};
use crate::command::{Blame, Outcome};
use crate::event::{Event, Next, Waived};
use crate::state::{
    Job, JobEnd, Lease, MemberEnd, Phase, StopReason, StoredSpec, UsageMark, not_there,
};

/// A shell reports a death by signal as this much more than the signal's number.
const SIGNAL_EXIT_BASE: i32 = 128;

impl Ask<'_> {
    /// Ends an attempt. Must be the last thing that is decided about its job in this decision.
    pub(super) fn end(
        &self,
        lease: &Lease,
        outcome: &Outcome,
        usage: &UsageMark,
        decision: &mut Decision,
    ) {
        let attempt = lease.attempt;
        let job = &self.state.work.jobs[&attempt.job];
        let stored = self.state.work.spec_of(job);
        let verdict = match verdict(job, stored, lease, outcome) {
            // Where it has been once, it is not there a second time.
            MemberEnd::Requeued
                if not_there(outcome).is_some() && !self.has_elsewhere(job, lease) =>
            {
                MemberEnd::Failed
            }
            verdict => verdict,
        };
        let gang = stored.spec.gang.is_some();
        let last_member = gang && job.active.len() == 1;
        let next = if gang { as_member(verdict) } else { as_task(verdict) };
        let waived = waive(lease, outcome, usage);
        decision.events.extend(self.raised(job, lease, outcome, verdict));
        let valid = waived.is_none().then(|| self.valid_use(lease, usage));
        let settled = self.settle_last(lease, valid);
        let waived = waived.or_else(|| {
            // Ran, is billed, and came to nothing: windows were captured before, or there was no
            // use, no money left in its hold, or no price.
            (settled.line.is_none() && lease.captured == dayan_units::Micro::ZERO)
                .then_some(Waived::NoUsage)
        });
        decision.events.push(Event::AttemptEnded {
            attempt,
            pool: lease.pool,
            outcome: outcome.clone(),
            next,
            line: settled.line,
            waived,
            released: settled.released,
            extended: settled.extended,
            transfers: settled.transfers,
        });
        decision.warn(job.project, job.id, settled.warnings);
        if !gang {
            decision.events.extend(self.end_after(job, next));
        } else if last_member {
            self.settle_gang(job, verdict, decision);
        } else if verdict != MemberEnd::Succeeded {
            let reason = match waived {
                Some(Waived::ProviderFault) => StopReason::GangLost,
                Some(Waived::NeverRan | Waived::NoUsage) | None => StopReason::GangBroken,
            };
            self.stop_others(job, attempt, reason, decision);
        }
    }

    /// One member has ended badly: none of the others has a use alone.
    fn stop_others(&self, job: &Job, gone: AttemptId, reason: StopReason, decision: &mut Decision) {
        for (task, number) in &job.active {
            let attempt = AttemptId { job: job.id, task: *task, attempt: *number };
            let lease = &self.state.work.leases[&attempt];
            if attempt != gone && lease.stop.is_none() {
                decision.events.push(Event::StopAsked { attempt, reason });
                decision.wake(lease.agent);
            }
        }
    }

    /// The last member has ended: the gang has succeeded, or goes again as a whole, or is over.
    fn settle_gang(&self, job: &Job, last: MemberEnd, decision: &mut Decision) {
        let worst = job.members_ended.values().copied().fold(last, MemberEnd::max);
        let next = as_task(worst);
        decision.events.push(Event::GangSettled { job: job.id, next });
        let end = match worst {
            MemberEnd::Requeued | MemberEnd::RequeuedFree => return,
            MemberEnd::Succeeded => JobEnd::Succeeded,
            MemberEnd::Failed => JobEnd::Failed,
            MemberEnd::Cancelled => JobEnd::Cancelled,
        };
        decision.events.push(self.job_ended(job, end));
    }
}

/// What becomes of a task of its own.
const fn as_task(verdict: MemberEnd) -> Next {
    match verdict {
        MemberEnd::Succeeded => Next::Succeeded,
        MemberEnd::RequeuedFree => Next::RequeuedFree,
        MemberEnd::Requeued => Next::Requeued,
        MemberEnd::Failed => Next::Failed,
        MemberEnd::Cancelled => Next::Cancelled,
    }
}

/// The same verdict on a member of a gang, which waits for the others.
const fn as_member(verdict: MemberEnd) -> Next {
    match verdict {
        MemberEnd::Succeeded => Next::MemberSucceeded,
        MemberEnd::RequeuedFree => Next::MemberRequeuedFree,
        MemberEnd::Requeued => Next::MemberRequeued,
        MemberEnd::Failed => Next::MemberFailed,
        MemberEnd::Cancelled => Next::MemberCancelled,
    }
}

/// It was given time to save its state before it stops: a program that has done so may well end with 0.
/// One that was done all the same ends at once when it goes on from there.
fn only_saved(stored: &StoredSpec, lease: &Lease) -> bool {
    let asked =
        matches!(lease.stop, Some(StopReason::Preempted { .. } | StopReason::PoolWithdrawn));
    asked && stored.spec.checkpoint.is_some() && !matches!(lease.phase, Phase::Publishing { .. })
}

/// It was taken back: that is no failure of the task, if its file lets it go again at all.
fn taken_back(stored: &StoredSpec) -> MemberEnd {
    let again = stored.spec.retry.when.contains(&RetryCause::Preempted);
    if again { MemberEnd::RequeuedFree } else { MemberEnd::Failed }
}

/// What becomes of the task, were it alone.
fn verdict(job: &Job, stored: &StoredSpec, lease: &Lease, outcome: &Outcome) -> MemberEnd {
    if outcome.is_success() && !only_saved(stored, lease) {
        return MemberEnd::Succeeded;
    }
    match lease.stop {
        Some(StopReason::Cancelled) => return MemberEnd::Cancelled,
        Some(StopReason::Unfunded) => return MemberEnd::Failed,
        Some(StopReason::GangBroken | StopReason::GangLost) => return MemberEnd::RequeuedFree,
        Some(StopReason::PoolWithdrawn | StopReason::Preempted { .. }) => {
            return taken_back(stored);
        }
        None => {}
    }
    // The site took it back: the same, whoever wanted the room.
    if matches!(outcome, Outcome::Preempted) {
        return taken_back(stored);
    }
    // Of a gang's launch the first failure counts; what fails after it, or after one of its members
    // was taken off, may fail because of it.
    let because = |end: &MemberEnd| {
        matches!(end, MemberEnd::RequeuedFree | MemberEnd::Requeued | MemberEnd::Failed)
    };
    if job.members_ended.values().any(because) {
        return MemberEnd::RequeuedFree;
    }
    let Some(cause) = cause(outcome) else { return MemberEnd::Failed };
    let retry = &stored.spec.retry;
    let failures: u32 = if stored.spec.gang.is_some() {
        job.tries.values().map(|tries| tries.failures).sum()
    } else {
        job.tries.get(&lease.attempt.task).map_or(0, |tries| tries.failures)
    };
    if retry.when.contains(&cause) && failures < retry.max {
        MemberEnd::Requeued
    } else {
        MemberEnd::Failed
    }
}

/// The cause a job file knows an outcome by; none: it is never retried by itself.
fn cause(outcome: &Outcome) -> Option<RetryCause> {
    let exit = |code: i32| u8::try_from(code).ok().map(RetryCause::Exit);
    match outcome {
        Outcome::Exited { code } => exit(*code),
        Outcome::Signalled { signal } => exit(SIGNAL_EXIT_BASE + signal),
        Outcome::OutOfMemory => Some(RetryCause::Oom),
        Outcome::TimeLimit => None,
        Outcome::Preempted => Some(RetryCause::Preempted),
        Outcome::LeaseEnded | Outcome::SiteLost => Some(RetryCause::SiteLost),
        // The same wherever it goes.
        Outcome::StartFailed { for_good: true, .. } => None,
        Outcome::Stopped
        | Outcome::NodeFailure
        // What was not there may be there elsewhere, and costs nothing to try.
        | Outcome::StartFailed { .. }
        | Outcome::PublishFailed { blame: Blame::Site, .. } => Some(RetryCause::NodeFailure),
        // Its task would leave the same again.
        Outcome::PublishFailed { blame: Blame::Job, .. } => None,
    }
}

/// Why the rest of an attempt is not billed; none: it is. Windows captured before stay captured.
fn waive(lease: &Lease, outcome: &Outcome, usage: &UsageMark) -> Option<Waived> {
    // It ended because the site of another of its gang had lost that one, or with it, whatever it says of itself.
    let with_another = matches!(lease.stop, Some(StopReason::GangLost));
    if with_another && !matches!(outcome, Outcome::StartFailed { .. }) {
        return Some(Waived::ProviderFault);
    }
    match outcome {
        Outcome::StartFailed { .. } => Some(Waived::NeverRan),
        Outcome::LeaseEnded
        | Outcome::NodeFailure
        | Outcome::SiteLost
        | Outcome::PublishFailed { blame: Blame::Site, .. } => Some(Waived::ProviderFault),
        Outcome::Stopped if lease.stop.is_none() => Some(Waived::ProviderFault),
        // Sold as one that stays, and it did not; what was sold as one that may go is paid as used.
        Outcome::Preempted if !matches!(lease.mode, OfferMode::Spot) && lease.stop.is_none() => {
            Some(Waived::ProviderFault)
        }
        Outcome::Exited { .. }
        | Outcome::Signalled { .. }
        | Outcome::OutOfMemory
        | Outcome::TimeLimit
        | Outcome::PublishFailed { blame: Blame::Job, .. }
        | Outcome::Preempted
        | Outcome::Stopped => {
            let ran = usage.seq > 0;
            if ran {
                None
            } else if matches!(lease.phase, Phase::Leased | Phase::Staging) {
                Some(Waived::NeverRan)
            } else {
                Some(Waived::NoUsage)
            }
        }
    }
}
