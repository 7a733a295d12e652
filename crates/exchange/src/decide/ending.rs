//! The end of an attempt: what becomes of its task, its gang and its job, and its bill.

use dayan_spec::RetryCause;
use dayan_units::AttemptId;

use super::{Ask, Decision};
use crate::command::Outcome;
use crate::event::{Event, Next, Waived};
use crate::state::{Job, Lease, Phase, StopReason, StoredSpec, UsageMark};

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
        let verdict = verdict(job, stored, lease, outcome);
        let gang = stored.spec.gang.is_some();
        let last_member = gang && job.active.len() == 1;
        let next = if gang { verdict.as_member() } else { verdict };
        let waived = waive(lease, outcome, usage);
        let valid = waived.is_none().then(|| self.valid_use(lease, usage));
        let settled = self.settle_last(lease, valid);
        let waived = waived.or_else(|| {
            // Ran, is billed, and came to nothing: its windows were captured before, or it is free.
            (settled.line.is_none() && lease.windows == 0).then_some(Waived::NoUsage)
        });
        decision.events.push(Event::AttemptEnded {
            attempt,
            pool: lease.pool,
            outcome: outcome.clone(),
            next,
            line: settled.line,
            waived,
            released: settled.released,
            transfers: settled.transfers,
        });
        if !gang {
            decision.events.extend(self.end_after(job, next));
        } else if last_member {
            self.settle_gang(job, stored, verdict, decision);
        } else if next == Next::MemberFailed {
            self.stop_others(job, attempt, decision);
        }
    }

    /// One member has ended badly: none of the others has a use alone.
    fn stop_others(&self, job: &Job, gone: AttemptId, decision: &mut Decision) {
        for (task, number) in &job.active {
            let attempt = AttemptId { job: job.id, task: *task, attempt: *number };
            let lease = &self.state.work.leases[&attempt];
            if attempt != gone && lease.stop.is_none() {
                let reason = StopReason::GangBroken;
                decision.events.push(Event::StopAsked { attempt, reason });
                decision.wake(lease.agent);
            }
        }
    }

    /// The last member has ended: the gang has succeeded, or goes again as a whole, or has failed.
    fn settle_gang(&self, job: &Job, stored: &StoredSpec, last: Next, decision: &mut Decision) {
        let failed_before = job.members_ended.values().any(|ended_well| !ended_well);
        let next = match last {
            Next::Succeeded | Next::MemberSucceeded if !failed_before => Next::Succeeded,
            Next::Cancelled => Next::Cancelled,
            Next::Failed if !failed_before => Next::Failed,
            Next::Requeued | Next::RequeuedFree | Next::MemberFailed if !failed_before => {
                Next::RequeuedFree
            }
            // An earlier member failed first and this one was stopped for it, or failed too. The
            // first failure was judged against `retry` when it was counted.
            Next::Succeeded
            | Next::MemberSucceeded
            | Next::Failed
            | Next::Requeued
            | Next::RequeuedFree
            | Next::MemberFailed => {
                let failures = job.tries.values().map(|tries| tries.failures).max().unwrap_or(0);
                if failures <= stored.spec.retry.max { Next::RequeuedFree } else { Next::Failed }
            }
        };
        decision.events.push(Event::GangSettled { job: job.id, next });
        decision.events.extend(match next {
            Next::RequeuedFree => None,
            Next::Succeeded | Next::MemberSucceeded => {
                Some(self.job_ended(job, crate::state::JobEnd::Succeeded))
            }
            Next::Cancelled => Some(self.job_ended(job, crate::state::JobEnd::Cancelled)),
            Next::Failed | Next::Requeued | Next::MemberFailed => {
                Some(self.job_ended(job, crate::state::JobEnd::Failed))
            }
        });
    }
}

impl Next {
    /// The same verdict on a member of a gang, which waits for the others.
    fn as_member(self) -> Self {
        match self {
            Self::Succeeded | Self::MemberSucceeded => Self::MemberSucceeded,
            Self::Failed
            | Self::Cancelled
            | Self::Requeued
            | Self::RequeuedFree
            | Self::MemberFailed => Self::MemberFailed,
        }
    }
}

/// What becomes of the task, were it alone.
fn verdict(job: &Job, stored: &StoredSpec, lease: &Lease, outcome: &Outcome) -> Next {
    if outcome.is_success() {
        return Next::Succeeded;
    }
    match lease.stop {
        Some(StopReason::Cancelled) => return Next::Cancelled,
        Some(StopReason::Unfunded) => return Next::Failed,
        Some(StopReason::PoolWithdrawn | StopReason::GangBroken) => return Next::RequeuedFree,
        None => {}
    }
    let Some(cause) = cause(outcome) else { return Next::Failed };
    let retry = &stored.spec.retry;
    let failures = job.tries.get(&lease.attempt.task).map_or(0, |tries| tries.failures);
    if retry.when.contains(&cause) && failures < retry.max { Next::Requeued } else { Next::Failed }
}

/// The cause a job file knows an outcome by; none: it is never retried by itself.
fn cause(outcome: &Outcome) -> Option<RetryCause> {
    let exit = |code: i32| u8::try_from(code).ok().map(RetryCause::Exit);
    match outcome {
        Outcome::Exited { code } => exit(*code),
        Outcome::Signalled { signal } => exit(SIGNAL_EXIT_BASE + signal),
        Outcome::OutOfMemory => Some(RetryCause::Oom),
        Outcome::TimeLimit => None,
        Outcome::LeaseEnded | Outcome::SiteLost => Some(RetryCause::SiteLost),
        Outcome::Stopped
        | Outcome::NodeFailure
        | Outcome::StartFailed { .. }
        | Outcome::PublishFailed { .. } => Some(RetryCause::NodeFailure),
    }
}

/// Why the rest of an attempt is not billed; none: it is. Windows captured before stay captured.
fn waive(lease: &Lease, outcome: &Outcome, usage: &UsageMark) -> Option<Waived> {
    match outcome {
        Outcome::StartFailed { .. } => Some(Waived::NeverRan),
        Outcome::LeaseEnded
        | Outcome::NodeFailure
        | Outcome::SiteLost
        | Outcome::PublishFailed { .. } => Some(Waived::ProviderFault),
        Outcome::Stopped if lease.stop.is_none() => Some(Waived::ProviderFault),
        Outcome::Exited { .. }
        | Outcome::Signalled { .. }
        | Outcome::OutOfMemory
        | Outcome::TimeLimit
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
