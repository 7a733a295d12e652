//! The checker: it hears of every event that was committed and of what really happened at the
//! sites, keeps its own picture, and says what must not be. It shares no code with the exchange:
//! what both get wrong in the same way would have to be written wrong twice.

mod attempts;
mod books;
mod budgets;
mod inputs;
mod licenses;
mod price;
mod promises;
mod quotas;

use std::collections::{BTreeMap, BTreeSet};

use dayan_exchange::{
    Actor, Event, FINDINGS_LEFT_OUT, FINDINGS_MAX, FINDINGS_WINDOW, Outcome, RefusalKind, Run,
    State,
};
use dayan_ledger::AccountId;
use dayan_units::{AgentId, AttemptId, JobId, Micro, OrgId, ProjectId, Time};

use crate::host::{Asked, Asker, Decided};
use attempts::Attempts;
pub(crate) use books::{Books, Kind};
use budgets::Budgets;
use inputs::Inputs;
pub(crate) use inputs::{Belief, believed};
use licenses::Licenses;
use promises::Promises;
use quotas::Quotas;

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// When it was seen.
    pub at: Time,
    /// Which rule is broken.
    pub rule: &'static str,
    /// How.
    pub text: String,
}

/// What the checker knows.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    pub(crate) violations: Vec<Violation>,
    pub(crate) findings: BTreeMap<String, u64>,
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    attempts: Attempts,
    books: Books,
    budgets: Budgets,
    pub(crate) promises: Promises,
    quotas: Quotas,
    licenses: Licenses,
    pub(crate) inputs: Inputs,
    deposits: BTreeSet<(OrgId, String)>,
    /// Runs of schedules that have fired.
    pub(crate) runs: BTreeSet<Run>,
    orgs: BTreeMap<OrgId, AccountId>,
    /// Agents that never lie: nothing may be found about their use.
    pub(crate) honest: BTreeSet<AgentId>,
    /// When an agent's window of findings began, and how many it has.
    windows: BTreeMap<AgentId, (Time, u32)>,
    /// Attempts that really ended well, by their keepers.
    pub(crate) ended_well: BTreeSet<AttemptId>,
    /// Projects without limits and jobs without limits or quotes: they are billed in full.
    unlimited: BTreeSet<ProjectId>,
}

impl Audit {
    pub(crate) fn must<T>(&mut self, at: Time, rule: &'static str, result: Result<T, String>) {
        if let Err(text) = result {
            self.violations.push(Violation { at, rule, text });
        }
    }

    /// A request was decided.
    pub(crate) fn decided(&mut self, state: &State, now: Time, asked: &Asked, all: &[Decided]) {
        let mut expected = match (&asked.asker, asked.actor) {
            // What was held back is looked at again without saying anything again.
            (Asker::Agent(sync), Actor::Agent { agent }) if !all.is_empty() => {
                self.attempts.lies_found(sync, agent, now)
            }
            (Asker::Nobody | Asker::Planner(_) | Asker::Preempting(_) | Asker::Agent(_), _) => {
                Vec::new()
            }
        };
        if let Asker::Planner(placements) = &asked.asker {
            for (placement, decided) in placements.iter().zip(all) {
                let refused = decided.outcome.as_ref().err();
                if refused.is_some_and(|refusal| refusal.kind == RefusalKind::Unaffordable) {
                    self.promises.unaffordable(placement.project);
                }
            }
        }
        for entry in all.iter().filter_map(|decided| decided.entry.as_ref()) {
            for event in &entry.events {
                if let Event::Found { agent, code, message, .. } = event {
                    *self.findings.entry(code.clone()).or_default() += 1;
                    let few = self.keeps(now, *agent, code);
                    self.must(now, "findings", few);
                    expected.retain(|(_, lie)| lie != code);
                    if self.honest.contains(agent) && code.starts_with("usage.") {
                        let text = format!("{agent} never lies, but {code}: {message}");
                        self.must::<()>(now, "findings", Err(text));
                    }
                }
                self.event(now, event);
                if let Event::Leased { lease, .. } = event {
                    let kept = self.promises.check_lease(state, now, lease);
                    self.must(now, "promises", kept);
                }
            }
            let gangs = self.attempts.gangs_whole(&entry.events);
            self.must(now, "gangs", gangs);
        }
        if let Actor::Agent { agent } = asked.actor
            && !self.has_room(now, agent)
        {
            expected.clear();
        }
        for (attempt, code) in expected {
            let text = format!("a lie about {attempt} was not found: {code}");
            self.must::<()>(now, "lies", Err(text));
        }
        for job in touched(all) {
            self.job_agrees(state, now, job);
        }
    }

    /// Of one agent so many findings are kept in a window, and no more.
    fn keeps(&mut self, now: Time, agent: AgentId, code: &str) -> Result<(), String> {
        let (since, count) = self.windows.entry(agent).or_insert((now, 0));
        if now.since(*since) >= FINDINGS_WINDOW {
            (*since, *count) = (now, 0);
        }
        if code == FINDINGS_LEFT_OUT {
            let full = *count == FINDINGS_MAX;
            return full.then_some(()).ok_or_else(|| format!("{agent}: left out with room"));
        }
        *count += 1;
        let few = *count <= FINDINGS_MAX;
        few.then_some(()).ok_or_else(|| format!("{agent}: {count} findings in a window"))
    }

    fn has_room(&self, now: Time, agent: AgentId) -> bool {
        let window = self.windows.get(&agent);
        window.is_none_or(|(since, count)| {
            *count < FINDINGS_MAX || now.since(*since) >= FINDINGS_WINDOW
        })
    }

    fn event(&mut self, at: Time, event: &Event) {
        let attempts = self.attempts.event(at, event, &self.honest, &self.ended_well);
        self.must(at, "attempts", attempts);
        let promised = match event {
            Event::Leased { lease, .. } => self.promises.has(&lease.attempt),
            _ => false,
        };
        let quotas = self.quotas.event(event, promised);
        self.must(at, "quotas", quotas);
        let licenses = self.licenses.event(event);
        self.must(at, "licenses", licenses);
        self.inputs.event(event);
        self.promises.event(at, event);
        match event {
            Event::OrgCreated { org, credit } => {
                self.books.open(org.account, Kind::Consumer, -i128::from(credit.0));
                self.orgs.insert(org.id, org.account);
            }
            Event::ProviderApplied { provider } => {
                self.books.open(provider.account, Kind::Provider, 0);
            }
            Event::ProjectCreated { project, budget, .. }
            | Event::BudgetSet { project, budget } => {
                self.budgets.limit(*project, budget);
                let unlimited = budget.per_job.is_none()
                    && budget.per_day.is_none()
                    && budget.per_month.is_none();
                if unlimited {
                    self.unlimited.insert(*project);
                } else {
                    self.unlimited.remove(project);
                }
            }
            Event::Deposited { org, reference, transfer } => {
                let new = self.deposits.insert((*org, reference.clone()));
                let once = new.then_some(()).ok_or_else(|| format!("{reference} came in twice"));
                self.must(at, "deposits", once);
                let booked = self.books.deposit(transfer);
                self.must(at, "books", booked);
            }
            Event::JobSubmitted { job, project, quote, run, .. } => {
                let new = run.is_none_or(|run| self.runs.insert(run));
                let once = new.then_some(()).ok_or_else(|| format!("{job}: its run fired before"));
                self.must(at, "schedules", once);
                let limit = self.attempts.job_limit(*job);
                self.budgets.job(*job, *project, limit);
                if let Some((_, hold)) = quote {
                    let amount = match hold.kind {
                        dayan_ledger::TransferKind::Hold { amount, .. } => amount.micro(),
                        _ => Micro::ZERO,
                    };
                    self.book(at, std::slice::from_ref(hold));
                    let held = self.budgets.held(*job, at, amount);
                    self.must(at, "budgets", held);
                }
            }
            Event::JobEnded { job, release: Some(release), .. } => {
                let (_, held) = self.budgets.of_job(*job);
                self.budgets.released(*job, Micro(held));
                self.book(at, std::slice::from_ref(release));
            }
            Event::Leased { lease, transfer: Some(transfer) } => {
                self.book(at, std::slice::from_ref(transfer));
                let held = self.budgets.held(lease.attempt.job, at, lease.held);
                self.must(at, "budgets", held);
            }
            Event::WindowClosed { attempt, line, extended, transfers, .. } => {
                self.book(at, transfers);
                let held = self.budgets.held(attempt.job, at, *extended);
                self.must(at, "budgets", held);
                self.budgets.captured(attempt.job, at, line.amount);
            }
            Event::AttemptEnded { attempt, outcome, line, released, transfers, .. } => {
                *self.outcomes.entry(name(outcome)).or_default() += 1;
                self.book(at, transfers);
                let extended = transfers.iter().find_map(|transfer| match transfer.kind {
                    dayan_ledger::TransferKind::Extend { amount, .. } => Some(amount.micro()),
                    _ => None,
                });
                let held = self.budgets.held(attempt.job, at, extended.unwrap_or(Micro::ZERO));
                self.must(at, "budgets", held);
                let amount = line.as_ref().map_or(Micro::ZERO, |line| line.amount);
                self.budgets.captured(attempt.job, at, amount);
                self.budgets.released(attempt.job, *released);
                self.billed_in_full(at, *attempt);
            }
            _ => {}
        }
    }

    /// Where nothing limits it, an attempt that is billed is billed for all of its use.
    fn billed_in_full(&mut self, at: Time, attempt: AttemptId) {
        let Some(bill) = self.attempts.last_bill(attempt) else { return };
        let missing = i128::from(bill.due.0) - i128::from(bill.billed.0);
        let room = self.books.room(self.orgs[&bill.org]);
        let unlimited = self.unlimited.contains(&bill.project) && bill.free_of_limits;
        if unlimited && missing != 0 && room >= missing {
            let text = format!("{attempt} is due {} and was billed {}", bill.due, bill.billed);
            self.must::<()>(at, "bills", Err(text));
        }
    }

    fn book(&mut self, at: Time, transfers: &[dayan_ledger::Transfer]) {
        for transfer in transfers {
            let booked = self.books.book(transfer);
            self.must(at, "books", booked);
        }
    }

    fn job_agrees(&mut self, state: &State, at: Time, job: JobId) {
        let (spent, held) = self.budgets.of_job(job);
        if let Some(record) = state.work.jobs.get(&job)
            && (record.spent.0 != spent || record.held.0 != held)
        {
            let text = format!(
                "{job} says {} spent and {} held, its lines say {spent} and {held}",
                record.spent, record.held
            );
            self.must::<()>(at, "jobs", Err(text));
        }
    }

    /// What must be so at any moment between batches; costs what the books cost.
    pub(crate) fn check(&mut self, state: &State, at: Time) {
        let sums = self.books.check();
        self.must(at, "books", sums);
        let same = self.books.compare(&state.ledger);
        self.must(at, "books", same);
        let leases = self.attempts.compare(state);
        self.must(at, "leases", leases);
        let promises = self.promises.compare(state);
        self.must(at, "promises", promises);
        let licenses = self.licenses.compare(state);
        self.must(at, "licenses", licenses);
    }

    /// What must be so when every job has ended.
    pub(crate) fn check_quiet(&mut self, state: &State, at: Time) {
        self.check(state, at);
        let books = self.books.check_quiet();
        self.must(at, "books when quiet", books);
        let budgets = self.budgets.check_quiet();
        self.must(at, "budgets when quiet", budgets);
        let attempts = self.attempts.check_quiet();
        self.must(at, "attempts when quiet", attempts);
        let licenses = self.licenses.check_quiet();
        self.must(at, "licenses when quiet", licenses);
    }

    /// Attempts ended, and how many of them were billed and waived.
    pub(crate) fn attempts_ended(&self) -> (u64, u64, u64) {
        self.attempts.ended()
    }

    /// Attempts that were taken back for others.
    pub(crate) const fn preempted(&self) -> u64 {
        self.attempts.preempted
    }

    /// Leases that held licences.
    pub(crate) const fn licensed(&self) -> u64 {
        self.licenses.taken
    }

    /// Jobs that were accepted.
    pub(crate) fn jobs(&self) -> u64 {
        self.attempts.jobs()
    }

    /// What providers earned and consumers spent.
    pub(crate) fn turnover(&self) -> (Micro, Micro) {
        let (earned, spent) = self.books.turnover();
        let micro = |wide: i128| Micro(i64::try_from(wide).unwrap_or(i64::MAX));
        (micro(earned), micro(spent))
    }
}

/// Jobs whose money may have moved.
fn touched(all: &[Decided]) -> BTreeSet<JobId> {
    let events = all.iter().filter_map(|decided| decided.entry.as_ref()).flat_map(|e| &e.events);
    events
        .filter_map(|event| match event {
            Event::Leased { lease, .. } => Some(lease.attempt.job),
            Event::WindowClosed { attempt, .. } | Event::AttemptEnded { attempt, .. } => {
                Some(attempt.job)
            }
            Event::JobEnded { job, .. } | Event::JobSubmitted { job, .. } => Some(*job),
            _ => None,
        })
        .collect()
}

const fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Exited { code: 0 } => "succeeded",
        Outcome::Exited { .. } => "exited",
        Outcome::Signalled { .. } => "signalled",
        Outcome::OutOfMemory => "out_of_memory",
        Outcome::TimeLimit => "time_limit",
        Outcome::LeaseEnded => "lease_ended",
        Outcome::Stopped => "stopped",
        Outcome::NodeFailure => "node_failure",
        Outcome::Preempted => "preempted",
        Outcome::StartFailed { .. } => "start_failed",
        Outcome::PublishFailed { .. } => "publish_failed",
        Outcome::SiteLost => "site_lost",
    }
}
