//! What agents say of their attempts, and what time does to leases. Every record is judged before
//! it is believed: nothing is billed from one that cannot be so.

use dayan_ledger::Amount;
use dayan_market::Warning;
use dayan_units::{AgentId, AttemptId, Micro, Span};

use super::findings::Finding;
use super::{Ask, Decision};
use crate::command::{AttemptNews, Outcome, Seen, SignedUsage, SiteCounted, UsageRecord};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::state::{Backing, Lease, Phase, StopReason, UsageMark};

/// By how much an agent's clock may run ahead of ours and still be believed: its sync may have
/// waited, and quartz drifts.
const CLOCK_SLACK: Span = Span::from_secs(2);
/// The same in thousandths of the elapsed time.
const CLOCK_SLACK_PERMILLE: i64 = 10;
/// A task's processes may burst over their share of the processor; over the whole node they can
/// not. The slack covers coarse accounting.
const CPU_SLACK: Span = Span::from_secs(1);
/// Stored as a signed 64-bit number; a record a microsecond for ten thousand years stays below it.
const SEQ_MAX: u64 = i64::MAX as u64;
/// Windows close on what was last told, and never more often than this.
const WINDOW_MIN: Span = Span::from_secs(1);

impl Ask<'_> {
    pub(super) fn attempt_news(&self, news: &AttemptNews) -> Result<Decision, Refusal> {
        let Some(lease) = self.state.work.leases.get(&news.attempt) else {
            // No lease: the answer to the sync tells the agent to forget it.
            return Ok(Decision::nothing());
        };
        if lease.agent != news.agent {
            let mut decision = Decision::default();
            let finding = Finding {
                code: "usage.foreign_lease",
                attempt: Some(news.attempt),
                message: "it reports on an attempt that is leased to another agent".to_owned(),
            };
            self.find(news.agent, finding, &mut decision);
            return Ok(decision);
        }
        let mut decision = Decision::default();
        let mut usage = lease.usage;
        if let Some(record) = &news.usage {
            match self.judge(lease, record) {
                Ok(None) => {}
                Ok(Some(mark)) => {
                    usage = mark;
                    decision.events.push(Event::UsageRecorded {
                        attempt: news.attempt,
                        seq: mark.seq,
                        counters: mark.counters,
                        evidence: news.evidence,
                    });
                }
                Err(lie) => self.find(news.agent, lie, &mut decision),
            }
        }
        let attempt = news.attempt;
        // A node that the pool does not show is none that it could have chosen.
        let shown = |node: &&String| {
            let pool = self.state.supply.pools.get(&lease.pool);
            pool.is_some_and(|pool| pool.shown.nodes.iter().any(|one| one.name == **node))
        };
        if let Some(node) =
            news.node.as_ref().filter(|node| *node != lease.node_now()).filter(shown)
        {
            decision.events.push(Event::Located { attempt, node: node.clone() });
        }
        match (&news.seen, lease.phase) {
            (Some(Seen::Staging), Phase::Leased) => {
                decision.events.push(Event::Staging { attempt });
            }
            (Some(Seen::Running), Phase::Leased | Phase::Staging) => {
                decision.events.push(Event::Started { attempt });
            }
            (Some(Seen::Publishing), Phase::Leased | Phase::Staging | Phase::Running { .. })
                if lease.stop.is_none() =>
            {
                decision.events.push(Event::PublishGranted { attempt });
                decision.wake(lease.agent);
            }
            (Some(Seen::Lingering), phase) if lease.stop.is_none() && !lease.room_free => {
                if !matches!(phase, Phase::Publishing { .. }) {
                    decision.events.push(Event::PublishGranted { attempt });
                    decision.wake(lease.agent);
                }
                decision.events.push(Event::RoomFreed { attempt });
            }
            (Some(Seen::Ended { outcome }), _) => {
                self.end(lease, outcome, &usage, &mut decision);
            }
            (
                Some(Seen::Staging | Seen::Running | Seen::Publishing | Seen::Lingering) | None,
                _,
            ) => {}
        }
        Ok(decision)
    }

    /// Keeps the signed text where a record in it is believed, or is a lie that is kept as a
    /// finding; a repeat is not kept again.
    pub(super) fn signed_usage(&self, signed: &SignedUsage) -> Decision {
        let leases = &self.state.work.leases;
        let counts = |record: &UsageRecord| {
            let lease = leases.get(&record.attempt).filter(|lease| lease.agent == signed.agent);
            lease.is_some_and(|lease| match self.judge(lease, record) {
                Ok(mark) => mark.is_some(),
                Err(_) => self.finds_room(signed.agent),
            })
        };
        if !signed.records.iter().any(counts) {
            return Decision::nothing();
        }
        Decision::one(Event::UsageSigned {
            agent: signed.agent,
            text: signed.text.clone(),
            signature: signed.signature.clone(),
        })
    }

    /// Takes what a site counted for attempts of the agent's own pool, where it can be so.
    pub(super) fn site_counted(&self, counted: &SiteCounted) -> Decision {
        let mut decision = Decision::default();
        let SiteCounted { agent, attempts, of, count } = counted;
        let Some(record) = self.state.supply.agents.get(agent) else { return decision };
        let lie = |attempt, message: &str| Finding {
            code: "site_count.wrong",
            attempt,
            message: message.to_owned(),
        };
        if let Some((attempt, _)) = attempts.iter().find(|(_, pool)| *pool != record.pool) {
            let finding = lie(Some(*attempt), "it tells what another pool's attempt used");
            self.find(*agent, finding, &mut decision);
            return decision;
        }
        let Some((first, _)) = attempts.first() else { return decision };
        let below_nothing =
            count.elapsed < Span::ZERO || count.cpu.is_some_and(|cpu| cpu < Span::ZERO);
        if below_nothing || *of < attempts.len() as u64 {
            let finding = lie(Some(*first), "what its site counted cannot be so");
            self.find(*agent, finding, &mut decision);
            return decision;
        }
        let attempts = attempts.iter().map(|(attempt, _)| *attempt).collect();
        decision.events.push(Event::SiteCounted { attempts, of: *of, count: count.clone() });
        decision
    }

    /// Is the record new, and can it be so?
    fn judge(&self, lease: &Lease, record: &UsageRecord) -> Result<Option<UsageMark>, Finding> {
        let known = &lease.usage;
        let lie = |code, message| Err(Finding { code, attempt: Some(record.attempt), message });
        if record.seq < known.seq {
            return Ok(None);
        }
        if record.seq == known.seq {
            return if record.counters == known.counters {
                Ok(None)
            } else {
                lie(
                    "usage.same_number",
                    format!("record {} of {} came with other content", record.seq, record.attempt),
                )
            };
        }
        if record.seq > SEQ_MAX {
            return lie(
                "usage.number",
                format!("record {} of {} is beyond any count", record.seq, record.attempt),
            );
        }
        let (old, new) = (&known.counters, &record.counters);
        let shrinks = new.wall_us < old.wall_us
            || new.cpu_us < old.cpu_us
            || new.memory_peak < old.memory_peak
            || new.read_bytes < old.read_bytes
            || new.write_bytes < old.write_bytes
            || new.energy_uj < old.energy_uj;
        if shrinks || new.wall_us < 0 || new.cpu_us < 0 {
            return lie(
                "usage.shrinks",
                format!("record {} of {} is less than the one before", record.seq, record.attempt),
            );
        }
        let elapsed = self.now.since(lease.placed_at);
        let slack = Span::from_micros(elapsed.micros() / 1_000 * CLOCK_SLACK_PERMILLE);
        let most = elapsed.plus(slack).plus(CLOCK_SLACK);
        if Span::from_micros(new.wall_us) > most {
            return lie(
                "usage.faster_than_time",
                format!(
                    "record {} of {} says {} within {elapsed} of its lease",
                    record.seq,
                    record.attempt,
                    Span::from_micros(new.wall_us),
                ),
            );
        }
        let cores = self.node_cores(lease);
        let cpu_most = most.times(i64::try_from(cores).unwrap_or(i64::MAX)).plus(CPU_SLACK);
        if Span::from_micros(new.cpu_us) > cpu_most {
            return lie(
                "usage.more_than_the_node",
                format!(
                    "record {} of {} says {} of processor time on {cores} cores",
                    record.seq,
                    record.attempt,
                    Span::from_micros(new.cpu_us),
                ),
            );
        }
        Ok(Some(UsageMark { seq: record.seq, counters: record.counters }))
    }

    /// The cores of the node a lease is on, at least what the lease takes. A node may show fewer
    /// cores than the machine has when several pools share it, so the bound is generous.
    fn node_cores(&self, lease: &Lease) -> u64 {
        const SHARED_MACHINE_FACTOR: u64 = 64;
        let pool = self.state.supply.pools.get(&lease.pool);
        let node = pool.and_then(|pool| pool.shown.nodes.iter().find(|n| n.name == lease.node));
        let shown = node.map_or(0, |node| node.total.cpu.0);
        shown.max(lease.resources.cpu.0).div_ceil(1_000).max(1) * SHARED_MACHINE_FACTOR
    }

    pub(super) fn lose_lease(&self, attempt: AttemptId) -> Result<Decision, Refusal> {
        let Some(lease) = self.state.work.leases.get(&attempt) else {
            return Ok(Decision::nothing());
        };
        let mut decision = Decision::default();
        self.end(lease, &Outcome::SiteLost, &lease.usage, &mut decision);
        Ok(decision)
    }

    pub(super) fn close_window(&self, attempt: AttemptId) -> Result<Decision, Refusal> {
        let Some(lease) = self.state.work.leases.get(&attempt) else {
            return Ok(Decision::nothing());
        };
        if self.now < lease.window_due {
            return Ok(Decision::nothing());
        }
        let valid = self.valid_use(lease, &lease.usage);
        let (line, mut transfers) = self.settle_window(lease, valid);
        let elapsed = self.now.since(lease.placed_at);
        let settlement = &self.state.settings.settlement;
        let mut decision = Decision::default();
        let (mut extended, mut warnings) = (Micro::ZERO, Vec::new());
        // Where nothing runs any more nothing more will be used.
        if let (Backing::Own(hold), false) = (lease.backing, lease.room_free) {
            let more = settlement.prolongation(
                &lease.terms,
                &lease.resources,
                elapsed,
                lease.time_limit,
                lease.held,
            );
            if let Some(amount) = more.ok().and_then(Amount::new) {
                match self.prolong(lease, hold, amount, &transfers) {
                    Ok((transfer, found)) => {
                        transfers.push(transfer);
                        extended = amount.micro();
                        warnings = found;
                    }
                    Err(_) if lease.stop.is_none() => {
                        let reason = StopReason::Unfunded;
                        decision.events.push(Event::StopAsked { attempt, reason });
                        decision.wake(lease.agent);
                    }
                    Err(_) => {}
                }
            }
        }
        let next = settlement.next(lease.placed_at, self.now, lease.time_limit);
        let next_due = next.prolong_at.map_or(next.capture_at, |at| at.min(next.capture_at));
        let next_due = next_due.max(self.now.plus(WINDOW_MIN));
        let closed = Event::WindowClosed { attempt, line, extended, transfers, next_due };
        decision.events.insert(0, closed);
        let project = self.state.work.jobs[&attempt.job].project;
        decision.warn(project, attempt.job, warnings);
        Ok(decision)
    }

    /// More for a lease's hold, within the balance and the budgets, and of what to warn; `before` is
    /// booked first.
    pub(super) fn prolong(
        &self,
        lease: &Lease,
        hold: dayan_units::TransferId,
        amount: Amount,
        before: &[dayan_ledger::Transfer],
    ) -> Result<(dayan_ledger::Transfer, Vec<Warning>), Refusal> {
        let job = &self.state.work.jobs[&lease.attempt.job];
        let stored = self.state.work.spec_of(job);
        let project = &self.state.access.projects[&job.project];
        let periods = self.state.settings.periods(self.now);
        let warnings = project
            .budget
            .admit(&periods, job.id, stored.job_limit(), amount.micro())
            .map_err(|refusal| self.budget_refusal(&refusal, project))?;
        let transfer = self.extend(lease, hold, amount);
        let mut chain = before.to_vec();
        chain.push(transfer);
        self.state.ledger.check_linked(&chain).map_err(|(_, status)| Refusal::from(status))?;
        Ok((transfer, warnings))
    }

    /// The use that counts: what the agent told, but never more than the lease lasted or was
    /// allowed to.
    pub(super) fn valid_use(&self, lease: &Lease, usage: &UsageMark) -> Span {
        let told = Span::from_micros(usage.counters.wall_us);
        let lasted = self.now.since(lease.placed_at).max(Span::ZERO);
        told.min(lasted).min(lease.time_limit)
    }

    pub(super) fn report(&self, agent: AgentId, code: &'static str, message: &str) -> Decision {
        let mut decision = Decision::default();
        let finding = Finding { code, attempt: None, message: message.to_owned() };
        self.find(agent, finding, &mut decision);
        decision
    }
}
