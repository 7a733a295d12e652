//! The read models: what each event adds to the tables that lists, bills and auditors read. Rows
//! follow from events and the state around them, and from nothing else: rebuilding the tables from
//! the journal gives the same rows.

use std::collections::BTreeSet;

use dayan_exchange::{Entry, Event, Job, JobEnd, Lease, Line, Outcome, State, accounts};
use dayan_exchange::{Gate, Phase, SpecKey, UsageMark};
use dayan_ledger::{Transfer, TransferKind};
use dayan_store::{
    AccountRow, AttemptRow, FindingRow, JobRow, LineRow, RequestRow, Row, SiteCountRow, TransferRow,
};
use dayan_units::{AttemptId, JobId, OrgId, Span, Time};
use dayan_wire::JobState;

/// Collects the rows of a batch. Entries are shown twice: before they are applied, when a lease
/// that ends is still there, and after, for what they made.
#[derive(Debug, Default)]
pub struct Projection {
    rows: Vec<Row>,
    jobs: BTreeSet<JobId>,
}

/// Which jobs carry their file in their row: those that are new.
fn job_doc(state: &State, job: &Job) -> String {
    let stored = &state.work.specs[&job.spec];
    serde_json::json!({
        "spec": stored.spec,
        "quote": job.quote.map(|(quote, _)| quote),
        "deadline": job.deadline,
        "key": job.key,
        "by": job.by,
        "run": job.run,
    })
    .to_string()
}

/// The state of a job that ended so.
pub(crate) fn ended_state(end: JobEnd) -> JobState {
    match end {
        JobEnd::Succeeded => JobState::Succeeded,
        JobEnd::Failed => JobState::Failed,
        JobEnd::Cancelled => JobState::Cancelled,
        JobEnd::Unfunded => JobState::Unfunded,
    }
}

/// The state of a job as the API writes it.
pub(crate) fn state_of(job: &Job) -> JobState {
    match (job.ended, job.gate) {
        (Some((_, end)), _) => ended_state(end),
        (None, _) if !job.active.is_empty() => JobState::Running,
        (None, Gate::Paused) => JobState::Paused,
        (None, Gate::Open) => JobState::Queued,
    }
}

/// The state of an attempt that has ended, its exit code, and why in words.
fn ending(lease: &Lease, outcome: &Outcome) -> (&'static str, Option<i32>, String) {
    use dayan_exchange::StopReason;
    let failed = match lease.stop {
        Some(StopReason::Preempted { for_job, .. }) if !outcome.is_success() => {
            return ("preempted", None, format!("its room went to {for_job}"));
        }
        Some(_) => "cancelled",
        None => "failed",
    };
    match outcome {
        Outcome::Exited { code: 0 } => ("succeeded", Some(0), String::new()),
        Outcome::Exited { code } => (failed, Some(*code), format!("exit code {code}")),
        Outcome::Signalled { signal } => (failed, None, format!("signal {signal}")),
        Outcome::OutOfMemory => ("failed", None, "more memory than it asked for".to_owned()),
        Outcome::TimeLimit => ("failed", None, "longer than it asked for".to_owned()),
        Outcome::LeaseEnded => ("lost", None, "its lease ran out".to_owned()),
        Outcome::Stopped => {
            let why = lease.stop.map_or("its agent stopped it", |reason| match reason {
                StopReason::Cancelled => "cancelled",
                StopReason::Unfunded => "no money for its next window",
                StopReason::GangBroken => "another member of its gang ended",
                StopReason::GangLost => "another member of its gang was lost or taken off",
                StopReason::PoolWithdrawn => "its pool was withdrawn",
                StopReason::Preempted { .. } => "its room went to another job",
            });
            ("cancelled", None, why.to_owned())
        }
        Outcome::NodeFailure => ("lost", None, "its machine or keeper went away".to_owned()),
        Outcome::Preempted => ("preempted", None, "its site took it off for other work".to_owned()),
        Outcome::StartFailed { reason, status, .. } => {
            ("failed", *status, format!("could not start: {reason}"))
        }
        Outcome::PublishFailed { reason, .. } => {
            ("failed", None, format!("could not publish: {reason}"))
        }
        Outcome::SiteLost => ("lost", None, "its site was not heard of".to_owned()),
    }
}

/// From when until when an attempt ran. An agent that was away tells of an end long after it, and
/// a short task is over before anyone heard that it runs; its own clock says how long it took.
/// What publishes has ended before it was granted that, and is over when it is published.
fn ran(phase: Phase, placed_at: Time, usage: &UsageMark, told_at: Time) -> (Option<Time>, Time) {
    let heard = phase.since();
    if usage.seq == 0 {
        return (heard, told_at);
    }
    let wall = Span::from_micros(usage.counters.wall_us.max(0));
    let ended_by = match phase {
        Phase::Publishing { granted_at, .. } => granted_at,
        Phase::Leased | Phase::Staging | Phase::Running { .. } => told_at,
    };
    let began_by = ended_by.minus(wall).max(placed_at);
    let began = heard.map_or(began_by, |heard| heard.min(began_by));
    let ended = match phase {
        Phase::Running { .. } => began.plus(wall).min(told_at),
        Phase::Leased | Phase::Staging | Phase::Publishing { .. } => told_at,
    };
    (Some(began), ended)
}

impl Projection {
    /// An entry that is about to be applied.
    pub fn before(&mut self, state: &State, entry: &Entry) {
        // The last usage of an attempt is told with its end.
        let (mut told, mut located) = (None, None);
        for event in &entry.events {
            match event {
                Event::Located { attempt, node } => located = Some((*attempt, node)),
                Event::UsageRecorded { attempt, seq, counters, .. } => {
                    told = Some((*attempt, UsageMark { seq: *seq, counters: *counters }));
                }
                Event::AttemptEnded { attempt, outcome, line, waived, transfers, .. } => {
                    self.jobs.insert(attempt.job);
                    let Some(lease) = state.work.leases.get(attempt) else { continue };
                    let (state_name, exit_code, reason) = ending(lease, outcome);
                    let usage = told.filter(|(of, _)| of == attempt);
                    let usage = usage.map_or(lease.usage, |(_, usage)| usage);
                    let doc = serde_json::json!({
                        "reason": reason,
                        "outcome": outcome,
                        "waived": waived,
                        "usage": usage,
                    });
                    let (started_at, ended_at) =
                        ran(lease.phase, lease.placed_at, &usage, entry.at);
                    let as_known = attempt_row(lease, state_name);
                    let found = located.filter(|(of, _)| of == attempt);
                    let row = AttemptRow {
                        node: found.map(|(_, node)| node.clone()).or(as_known.node),
                        exit_code,
                        started_at,
                        ended_at: Some(ended_at),
                        doc: Some(doc.to_string()),
                        ..as_known
                    };
                    self.rows.push(row.into());
                    self.line(state, lease, line.as_ref(), entry.at);
                    self.transfers(transfers);
                }
                Event::WindowClosed { attempt, line, transfers, .. } => {
                    self.jobs.insert(attempt.job);
                    if let Some(lease) = state.work.leases.get(attempt) {
                        self.line(state, lease, Some(line), entry.at);
                    }
                    self.transfers(transfers);
                }
                Event::JobRetired { job } => {
                    // Its last row stands; an archived key keeps a repeat from being a new job.
                    self.jobs.remove(job);
                    if let Some(record) = state.work.jobs.get(job)
                        && let Some(key) = &record.key
                    {
                        self.request(record.org, key, record.spec, job.to_string(), entry.at);
                    }
                }
                Event::ScheduleRetired { schedule } => {
                    if let Some(record) = state.work.schedules.all.get(schedule)
                        && let Some(key) = &record.key
                    {
                        let made = schedule.to_string();
                        self.request(record.org, key, record.spec(), made, entry.at);
                    }
                }
                _ => {}
            }
        }
    }

    /// The same entry, applied.
    pub fn after(&mut self, state: &State, entry: &Entry) {
        for (number, event) in entry.events.iter().enumerate() {
            match event {
                Event::Founded { .. } => {
                    for (code, label) in [
                        (accounts::BANK, "bank"),
                        (accounts::CLEARING, "clearing"),
                        (accounts::FEES, "fees"),
                    ] {
                        self.account(state, accounts::own(code), label, "", label);
                    }
                }
                Event::OrgCreated { org, .. } => {
                    let owner = org.id.to_string();
                    self.account(state, org.account, "consumer", &owner, &org.name);
                }
                Event::ProviderApplied { provider } => {
                    let owner = provider.id.to_string();
                    self.account(state, provider.account, "provider", &owner, &provider.name);
                }
                Event::Deposited { transfer, .. } => self.transfers(std::slice::from_ref(transfer)),
                Event::JobSubmitted { job, quote, .. } => {
                    if let Some((_, hold)) = quote {
                        self.transfers(std::slice::from_ref(hold));
                    }
                    if let Some(record) = state.work.jobs.get(job) {
                        let doc = Some(job_doc(state, record));
                        self.rows.push(JobRow { doc, ..job_row(state, record) }.into());
                    }
                }
                Event::JobPaused { job }
                | Event::JobResumed { job }
                | Event::TasksCancelled { job, .. }
                | Event::TasksRetried { job, .. }
                | Event::GangShrunk { job, .. }
                | Event::GangSettled { job, .. } => {
                    self.jobs.insert(*job);
                }
                Event::JobEnded { job, deadline_met, release, .. } => {
                    self.jobs.insert(*job);
                    self.transfers(release.as_slice());
                    if let (Some(met), Some(record)) = (deadline_met, state.work.jobs.get(job)) {
                        let mut doc: serde_json::Value =
                            serde_json::from_str(&job_doc(state, record)).expect("our own JSON");
                        doc["deadline_met"] = (*met).into();
                        let doc = Some(doc.to_string());
                        self.rows.push(JobRow { doc, ..job_row(state, record) }.into());
                    }
                }
                Event::Leased { lease, transfer } => {
                    self.jobs.insert(lease.attempt.job);
                    self.rows.push(attempt_row(lease, "leased").into());
                    self.transfers(transfer.as_slice());
                }
                Event::Started { attempt } => {
                    if let Some(lease) = state.work.leases.get(attempt) {
                        let started_at = Some(entry.at);
                        let row = AttemptRow { started_at, ..attempt_row(lease, "running") };
                        self.rows.push(row.into());
                    }
                }
                // Where it is found to be may be told long after it started.
                Event::PublishGranted { attempt }
                | Event::RoomFreed { attempt }
                | Event::Located { attempt, .. } => {
                    if let Some(lease) = state.work.leases.get(attempt) {
                        self.rows.push(attempt_row(lease, state_in(lease.phase)).into());
                    }
                }
                Event::SiteCounted { attempts, of, count } => {
                    let doc = serde_json::json!({ "of": of, "count": count }).to_string();
                    let (at, doc) = (entry.at, &doc);
                    let row = |attempt: &AttemptId| {
                        let AttemptId { job, task, attempt } = *attempt;
                        SiteCountRow { job, task, attempt, at, doc: doc.clone() }.into()
                    };
                    self.rows.extend(attempts.iter().map(row));
                }
                Event::Found { agent, code, attempt, message } => {
                    let doc = serde_json::json!({ "message": message, "attempt": attempt });
                    self.rows.push(
                        FindingRow {
                            id: format!("{}-{number}", entry.request),
                            agent: Some(*agent),
                            code: code.clone(),
                            at: entry.at,
                            doc: doc.to_string(),
                        }
                        .into(),
                    );
                }
                _ => {}
            }
        }
    }

    /// All rows of the batch; each job that was touched once, as it is now.
    pub fn finish(self, state: &State) -> Vec<Row> {
        let mut rows = self.rows;
        for job in self.jobs {
            if let Some(record) = state.work.jobs.get(&job) {
                rows.push(job_row(state, record).into());
            }
        }
        rows
    }

    fn request(&mut self, org: OrgId, key: &str, spec: SpecKey, outcome: String, at: Time) {
        let digest = spec.0.to_be_bytes().to_vec();
        self.rows.push(RequestRow { key: format!("{org}/{key}"), org, digest, outcome, at }.into());
    }

    fn account(
        &mut self,
        state: &State,
        id: dayan_ledger::AccountId,
        owner_kind: &str,
        owner_id: &str,
        label: &str,
    ) {
        let floor = state.ledger.account(id).and_then(|account| account.floor);
        self.rows.push(
            AccountRow {
                id: id.to_string(),
                owner_kind: owner_kind.to_owned(),
                owner_id: owner_id.to_owned(),
                label: label.to_owned(),
                floor,
            }
            .into(),
        );
    }

    fn transfers(&mut self, transfers: &[Transfer]) {
        self.rows.extend(transfers.iter().map(|transfer| transfer_row(transfer).into()));
    }

    fn line(&mut self, state: &State, lease: &Lease, line: Option<&Line>, at: Time) {
        let Some(line) = line.filter(|line| line.amount.0 > 0) else { return };
        let job = &state.work.jobs[&line.attempt.job];
        let provider = state.supply.pools[&lease.pool].provider;
        let billed = line.to.minus(line.from);
        let milli = |amount: u64| {
            let product = i128::from(amount) * i128::from(billed.micros());
            i64::try_from(product / 1_000_000).unwrap_or(i64::MAX)
        };
        let doc = serde_json::json!({
            "number": line.number,
            "billed_us": billed.micros(),
            "resources": line.resources,
            "provider": line.provider,
            "fee": line.fee,
            "terms": lease.terms,
            "offer": lease.offer,
            "name": state.work.name_of(job),
        });
        self.rows.push(
            LineRow {
                id: format!("{}-{}", line.attempt, line.number),
                attempt: line.attempt,
                job: line.attempt.job,
                project: job.project,
                org: job.org,
                provider,
                pool: lease.pool,
                period: period(state, at),
                from_at: lease.placed_at.plus(line.from),
                to_at: lease.placed_at.plus(line.to),
                cpu_milli_s: milli(line.resources.cpu.0),
                memory_mb_s: milli(line.resources.memory.0 / 1_000_000),
                accel_milli_s: milli(line.resources.accel.0),
                amount: line.amount,
                doc: doc.to_string(),
            }
            .into(),
        );
    }
}

/// The billing month a moment counts for, `2026-11`.
pub fn period(state: &State, at: Time) -> String {
    let zone = state.settings.zone;
    // The zone's offset shifts the moment so that its date in UTC is the date there.
    let shifted = at.plus(dayan_units::Span::from_secs(i64::from(zone.minutes()) * 60));
    shifted.to_string().chars().take("2026-11".len()).collect()
}

fn count(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn job_row(state: &State, job: &Job) -> JobRow {
    let (paused, queued) = match job.gate {
        Gate::Paused => (job.queued.len(), 0),
        Gate::Open => (0, job.queued.len()),
    };
    JobRow {
        id: job.id,
        project: job.project,
        org: job.org,
        name: state.work.name_of(job),
        state: state_of(job).name().to_owned(),
        submitted_at: job.submitted_at,
        ended_at: job.ended.map(|(at, _)| at),
        tasks_total: count(job.task_count()),
        tasks_paused: count(paused),
        tasks_queued: count(queued),
        tasks_running: count((job.active.len() + job.members_ended.len()) as u64),
        tasks_succeeded: count(job.succeeded.len()),
        tasks_failed: count(job.failed.len()),
        tasks_cancelled: count(job.cancelled.len()),
        held: job.held,
        spent: job.spent,
        doc: None,
    }
}

/// The state of an attempt that goes on.
const fn state_in(phase: Phase) -> &'static str {
    match phase {
        Phase::Leased | Phase::Staging => "leased",
        Phase::Running { .. } => "running",
        Phase::Publishing { .. } => "publishing",
    }
}

/// Of an attempt that has ended, whose results take long.
const LINGERS: &str = "it ended well and holds no machine any more; its results are being sent, or wait for a store that is away";

fn attempt_row(lease: &Lease, state: &str) -> AttemptRow {
    let AttemptId { job, task, attempt } = lease.attempt;
    AttemptRow {
        id: lease.attempt,
        job,
        task,
        attempt,
        pool: lease.pool,
        node: Some(lease.node_now().to_owned()),
        state: state.to_owned(),
        exit_code: None,
        started_at: lease.phase.since(),
        ended_at: None,
        doc: lease.room_free.then(|| serde_json::json!({ "reason": LINGERS }).to_string()),
    }
}

/// A transfer as a row: everything the books are re-derived from.
pub fn transfer_row(transfer: &Transfer) -> TransferRow {
    let none = dayan_units::Micro::ZERO;
    let (kind, debit, credit, amount, hold) = match transfer.kind {
        TransferKind::Post { debit, credit, amount } => {
            ("post", Some(debit), Some(credit), amount.micro(), None)
        }
        TransferKind::Hold { debit, credit, amount, .. } => {
            ("hold", Some(debit), Some(credit), amount.micro(), None)
        }
        TransferKind::Capture { hold, amount, rest } => {
            let kind = match rest {
                dayan_ledger::Rest::Keep => "capture",
                dayan_ledger::Rest::Release => "capture_last",
            };
            (kind, None, None, amount.micro(), Some(hold))
        }
        TransferKind::Release { hold } => ("release", None, None, none, Some(hold)),
        TransferKind::Extend { hold, amount, .. } => {
            ("extend", None, None, amount.micro(), Some(hold))
        }
    };
    let text = |account: Option<dayan_ledger::AccountId>| {
        account.map_or_else(String::new, |account| account.to_string())
    };
    TransferRow {
        id: transfer.id,
        kind: kind.to_owned(),
        debit: text(debit),
        credit: text(credit),
        amount,
        hold,
        code: transfer.code.to_string(),
        reference: format!("{:032x}", transfer.user_data),
        at: transfer.at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_before_anybody_heard_of_it_ran_all_the_same() {
        let at = |secs: i64| Time::EPOCH.plus(Span::from_secs(secs));
        let used = |secs: i64| {
            let counters = dayan_exchange::Counters {
                wall_us: Span::from_secs(secs).micros(),
                ..dayan_exchange::Counters::default()
            };
            UsageMark { seq: 1, counters }
        };
        // Leased at 100, told at 300.
        let check = |phase: Phase, usage: UsageMark, began: Option<i64>, ended: i64| {
            let expect = (began.map(at), at(ended));
            assert_eq!(ran(phase, at(100), &usage, at(300)), expect, "{phase:?} {usage:?}");
        };
        let granted = |since: Option<i64>, granted_at: i64| Phase::Publishing {
            since: since.map(at),
            granted_at: at(granted_at),
        };
        check(Phase::Leased, used(20), Some(280), 300);
        check(Phase::Staging, UsageMark::default(), None, 300);
        // Heard late, or told long after its end.
        check(Phase::Running { since: at(290) }, used(20), Some(280), 300);
        check(Phase::Running { since: at(150) }, used(20), Some(150), 170);
        check(Phase::Running { since: at(150) }, UsageMark::default(), Some(150), 300);
        // It had ended when it asked to publish, and is over when that is done.
        check(granted(None, 200), used(20), Some(180), 300);
        check(granted(Some(150), 200), used(20), Some(150), 300);
        check(granted(Some(195), 200), used(20), Some(180), 300);
        check(granted(Some(150), 200), UsageMark::default(), Some(150), 300);
        // Nobody ran before the lease, whatever is told.
        check(Phase::Leased, used(900), Some(100), 300);
    }
}
