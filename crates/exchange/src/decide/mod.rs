//! The rules: what a command leads to in this state at this time, or why it is refused. Pure: the
//! same state, time, request and command always give the same events.

mod access;
mod attempts;
mod billing;
mod depends;
mod elsewhere;
mod ending;
mod findings;
mod grids;
mod jobs;
mod licenses;
mod placing;
mod preempting;
mod promises;
mod quotas;
mod quotes;
mod raising;
mod schedules;
mod shown;
mod supply;
mod upkeep;

pub use supply::challenge_digest;

use dayan_units::{
    AgentId, AttemptId, JobId, OfferId, OrgId, PoolId, ProjectId, ProviderId, QuoteId, Resources,
    ScheduleId, Time, TokenId, UserId,
};

use crate::command::{At, Command};
use crate::event::{Effect, Event};
use crate::ids::Minter;
use crate::refusal::Refusal;
use crate::state::State;

/// What a command made, for whoever asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Made {
    /// Nothing new has an id.
    #[default]
    Nothing,
    /// An organisation.
    Org(OrgId),
    /// A user.
    User(UserId),
    /// A token.
    Token(TokenId),
    /// Money was booked; a payment that was booked before makes nothing.
    Booked,
    /// A project.
    Project(ProjectId),
    /// A provider.
    Provider(ProviderId),
    /// An agent and its pool.
    Agent(AgentId, PoolId),
    /// An offer.
    Offer(OfferId),
    /// A way to a running attempt, through its agent.
    Entrance(AgentId, AttemptId),
    /// A quote.
    Quote(QuoteId),
    /// A job; also when the same submission was accepted before.
    Job(JobId),
    /// A schedule, and when it is due next; also when the same submission was accepted before.
    Schedule(ScheduleId, Option<Time>),
}

/// What follows from a command.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Decision {
    /// What happens.
    pub events: Vec<Event>,
    /// What the shell does after the commit.
    pub effects: Vec<Effect>,
    /// What was made.
    pub made: Made,
}

impl Decision {
    /// Nothing happens, and that is right.
    fn nothing() -> Self {
        Self::default()
    }
    fn one(event: Event) -> Self {
        Self { events: vec![event], ..Self::default() }
    }
    fn making(event: Event, made: Made) -> Self {
        Self { events: vec![event], effects: Vec::new(), made }
    }
    /// After the event with the money that is warned of.
    fn warn(
        &mut self,
        project: dayan_units::ProjectId,
        job: dayan_units::JobId,
        warnings: Vec<dayan_market::Warning>,
    ) {
        let warned = |warning| Event::BudgetWarned { project, job, warning };
        self.events.extend(warnings.into_iter().map(warned));
    }
    fn wake(&mut self, agent: AgentId) {
        if !self.effects.contains(&Effect::WakeAgent(agent)) {
            self.effects.push(Effect::WakeAgent(agent));
        }
    }
}

/// What the rules of one area are handed.
struct Ask<'a> {
    state: &'a State,
    now: Time,
    actor: &'a crate::command::Actor,
    ids: Minter,
}

/// Decides a command.
pub fn decide(state: &State, at: &At<Command>) -> Result<Decision, Refusal> {
    let ask = Ask { state, now: at.now, actor: &at.actor, ids: Minter::new(at.request) };
    if state.exchange.is_none() && !matches!(at.command, Command::Found { .. }) {
        return Err(Refusal::conflict(
            "exchange.not_founded",
            "the exchange has not been founded yet",
            "start it with `dayan serve`, which founds it",
        ));
    }
    match &at.command {
        Command::Found { name, operator_token, settings } => {
            ask.found(name, *operator_token, *settings)
        }
        Command::CreateOrg { name, class, credit } => ask.create_org(name, *class, *credit),
        Command::CreateUser { org, name, role } => ask.create_user(org, name, *role),
        Command::IssueToken { user, label, digest, expires_at } => {
            ask.issue_token(*user, label, *digest, *expires_at)
        }
        Command::SetRole { user, role } => ask.set_role(*user, *role),
        Command::RemoveUser { user } => ask.remove_user(*user),
        Command::RevokeToken { token } => ask.revoke_token(*token),
        Command::CreateProject { path, budget } => ask.create_project(path, budget),
        Command::SetWeight { of, weight } => ask.set_weight(*of, *weight),
        Command::SetPriorityMost { org, most } => ask.set_priority_most(*org, *most),
        Command::SetQuota { of, quota } => ask.set_quota(*of, *quota),
        Command::SetLicense { name, count } => ask.set_license(name, *count),
        Command::PromiseAgain { job, admission } => ask.promise_again(*job, admission),
        Command::Estimate { job, start } => ask.estimate(*job, *start),
        Command::SetBudget { project, budget } => ask.set_budget(*project, budget),
        Command::Deposit { org, amount, reference } => ask.deposit(org, *amount, reference),
        Command::ApplyProvider { org, name, credit_code } => {
            ask.apply_provider(org, name, credit_code.as_deref())
        }
        Command::SetProviderStatus { provider, status } => {
            ask.set_provider_status(*provider, *status)
        }
        Command::Invite { provider, digest, expires_at } => {
            ask.invite(*provider, *digest, *expires_at)
        }
        Command::Join(join) => ask.join(join),
        Command::SetPoolStatus { pool, status } => ask.set_pool_status(*pool, *status),
        Command::SetClosures { pool, closures } => ask.set_closures(*pool, closures),
        Command::SetCarbon(new) => ask.set_carbon(new),
        Command::SetPue { pool, pue_permille } => ask.set_pue(*pool, *pue_permille),
        Command::ListOffer(offer) => ask.list_offer(offer),
        Command::RetireOffer { offer } => ask.retire_offer(*offer),
        Command::PoolNews(news) => ask.pool_news(news),
        Command::SignedUsage(signed) => Ok(ask.signed_usage(signed)),
        Command::SiteCounted(counted) => Ok(ask.site_counted(counted)),
        Command::AttemptNews(news) => ask.attempt_news(news),
        Command::Report { agent, code, message } => Ok(ask.report(*agent, code, message)),
        Command::Submit(submit) => ask.submit(submit),
        Command::IssueQuote { quote, signature } => ask.issue_quote(quote, signature),
        Command::Cancel { job, task } => ask.cancel(*job, *task),
        Command::Enter { job, task } => ask.enter(*job, *task),
        Command::Retry { job, task } => ask.retry(*job, *task),
        Command::Pause { job } => ask.pause(*job),
        Command::Resume { job } => ask.resume(*job),
        Command::TellSchedule { schedule, tell } => ask.tell_schedule(*schedule, *tell),
        Command::Fire(firing) => ask.fire(firing),
        Command::Place(place) => ask.place(place),
        Command::Preempt(preempt) => ask.preempt(preempt),
        Command::LapsePlaces { job } => Ok(ask.lapse_places(*job)),
        Command::LoseLease { attempt } => ask.lose_lease(*attempt),
        Command::CloseWindow { attempt } => ask.close_window(*attempt),
        Command::Challenge { pool, nonce } => ask.challenge(*pool, *nonce),
        Command::Retire { before, jobs_max } => ask.retire(*before, *jobs_max),
    }
}
