//! What leaves memory: ended jobs and schedules, lapsed quotes, remembered bookings.

use dayan_units::Time;

use super::{Ask, Decision};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::state::TRANSFER_RETENTION;

/// The most quotes and bookings looked at in one command, so that no command takes long.
const STEPS_MAX: usize = 10_000;

impl Ask<'_> {
    pub(super) fn retire(&self, before: Time, jobs_max: usize) -> Result<Decision, Refusal> {
        let work = &self.state.work;
        let mut decision = Decision::default();
        let over = work.ended.len().saturating_sub(crate::state::ENDED_JOBS_MAX);
        let due = work.ended.iter().enumerate();
        let due = due.take_while(|(number, (at, _))| *number < over || *at < before);
        for (_, (_, job)) in due.take(jobs_max) {
            decision.events.push(Event::JobRetired { job: *job });
        }
        let schedules = work.schedules.ended.iter().take_while(|(at, _)| *at < before);
        for (_, schedule) in schedules.take(jobs_max) {
            decision.events.push(Event::ScheduleRetired { schedule: *schedule });
        }
        let lapsed = work.quotes.values().take(STEPS_MAX);
        for given in lapsed.filter(|g| g.job.is_none() && g.quote.expires_at <= self.now) {
            decision.events.push(Event::QuoteLapsed { quote: given.quote.id });
        }
        let horizon = self.now.minus(TRANSFER_RETENTION);
        if self.state.booked.front().is_some_and(|(at, _)| *at < horizon) {
            decision.events.push(Event::TransfersRetired { before: horizon });
        }
        Ok(decision)
    }
}
