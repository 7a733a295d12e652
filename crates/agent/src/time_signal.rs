//! The signal that a job file asks for some time before a task's limit.
//!
//! One timer for each such attempt, from when it is seen running. Invariant: it is sent while the task runs,
//! however late it is seen; where the agent was started again after the moment it may come a second time.
//! Must not know what a task does about it.

use dayan_units::{Span, Time};
use dayan_wire::LeaseOrder;
use tokio::task::AbortHandle;

use crate::runner::Asking;
use crate::words;

/// A timer, which goes with this.
#[derive(Debug)]
pub(crate) struct Timer(AbortHandle);

impl Drop for Timer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Timer {
    /// For an attempt that has run since then; none where its job file asks for none.
    pub(crate) fn begin(
        order: &LeaseOrder,
        since: Time,
        now: Time,
        asking: Asking,
    ) -> Option<Self> {
        let asked = order.time_signal.as_ref()?;
        let signal = words::signal(&asked.signal)?;
        let limit = Span::from_micros(order.time_limit_us);
        let wait = wait(limit, Span::from_micros(asked.before_us), now.since(since));
        let attempt = order.attempt;
        let task = tokio::spawn(async move {
            tokio::time::sleep(wait.to_std()).await;
            tracing::info!(%attempt, "its time is nearly up, and it is told so");
            asking.signal(attempt, signal);
        });
        Some(Self(task.abort_handle()))
    }
}

/// How long until then. The clock of its node may be another: it has not run for less than no time.
fn wait(limit: Span, before: Span, ran: Span) -> Span {
    limit.minus(before).minus(ran.max(Span::ZERO)).max(Span::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_so_long_before_the_limit() {
        let check = |limit, before, ran, expect| {
            let [limit, before, ran] = [limit, before, ran].map(Span::from_secs);
            assert_eq!(wait(limit, before, ran), Span::from_secs(expect));
        };
        check(3_600, 120, 0, 3_480);
        check(3_600, 120, 3_000, 480);
        check(60, 120, 0, 0);
        check(3_600, 120, 3_590, 0);
        check(3_600, 120, -5, 3_480);
    }
}
