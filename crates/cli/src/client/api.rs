//! The public API, one method for each thing that can be asked.
//!
//! Invariant: paths and query names stand here and nowhere else. Must not know what a person typed
//! or sees.

use std::time::Duration;

use dayan_wire as wire;
use dayan_wire::socket::Socket;
use serde::Deserialize;

use super::{Answer, Ask, Body, Client, LIST_ROWS_MAX};
use crate::exit::Failure;

/// What making something answers with.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, serde::Serialize)]
pub struct Made {
    /// The new thing's id.
    pub id: String,
}

/// What a job is asked to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// Take its tasks back.
    Cancel,
    /// Run ended tasks again.
    Retry,
    /// Start nothing more of it.
    Pause,
    /// Go on.
    Resume,
}

impl Order {
    const fn path(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

/// A part of a log.
#[derive(Clone, Debug)]
pub struct LogPart {
    /// What it says.
    pub bytes: Vec<u8>,
    /// Where to go on.
    pub next: u64,
    /// Nothing will come any more.
    pub ended: bool,
}

/// Which jobs.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// Of this project.
    pub project: Option<String>,
    /// In this state.
    pub state: Option<String>,
    /// With this name.
    pub name: Option<String>,
    /// With this number.
    pub number: Option<u64>,
}

type Outcome<T> = Result<T, Failure>;

impl Client {
    /// Whom our token speaks for.
    pub async fn whoami(&self) -> Outcome<wire::WhoAmI> {
        self.json(Ask::get(&["whoami"])).await
    }
    /// Does it serve? The answer's headers carry its clock.
    pub async fn health(&self) -> Outcome<Answer> {
        self.send(Ask::get(&["health"])).await
    }

    /// Submits a job. The key makes a repeated submission the same submission.
    pub async fn submit(
        &self,
        file: String,
        quote: Option<&str>,
        key: &str,
    ) -> Outcome<wire::Submitted> {
        let ask = Ask::post(&["jobs"]).with_some("quote", quote).with("key", key).repeatable();
        self.json(ask.body(Body::JobFile(file))).await
    }
    /// Where a job could go.
    pub async fn plan(&self, file: String) -> Outcome<wire::PlanAnswer> {
        self.json(Ask::post(&["plan"]).repeatable().body(Body::JobFile(file))).await
    }
    /// A firm price.
    pub async fn quote(&self, file: String) -> Outcome<wire::Quote> {
        self.json(Ask::post(&["quotes"]).body(Body::JobFile(file))).await
    }
    /// Jobs.
    pub async fn jobs(&self, filter: &JobFilter, rows: usize) -> Outcome<Vec<wire::JobSummary>> {
        let query = [
            ("project", filter.project.clone()),
            ("state", filter.state.clone()),
            ("name", filter.name.clone()),
            ("number", filter.number.map(|number| number.to_string())),
        ];
        self.list(&["jobs"], &query, rows).await
    }
    /// One job.
    pub async fn job(&self, id: &str) -> Outcome<wire::Job> {
        self.json(Ask::get(&["jobs", id])).await
    }
    /// All attempts of a job, up to so many.
    pub async fn attempts(&self, id: &str, rows: usize) -> Outcome<Vec<wire::Attempt>> {
        self.list(&["jobs", id, "attempts"], &[], rows).await
    }
    /// Why it waits.
    pub async fn explain(&self, id: &str) -> Outcome<wire::Explanation> {
        self.json(Ask::get(&["jobs", id, "explain"])).await
    }
    /// Tells a job what to do; cancelling twice and pausing twice are once, a retry is not.
    pub async fn order(&self, id: &str, order: Order, task: Option<u32>) -> Outcome<()> {
        let path = ["jobs", id, order.path()];
        let ask = match order {
            Order::Cancel => Ask::post(&path).repeatable().body(task_body(task)),
            Order::Retry => Ask::post(&path).body(task_body(task)),
            Order::Pause | Order::Resume => Ask::post(&path).repeatable(),
        };
        self.done(ask).await
    }
    /// Schedules, of one project and with one name where they are given.
    pub async fn schedules(
        &self,
        project: Option<&str>,
        name: Option<&str>,
    ) -> Outcome<Vec<wire::Schedule>> {
        let query = [("project", project.map(str::to_owned)), ("name", name.map(str::to_owned))];
        self.list(&["schedules"], &query, LIST_ROWS_MAX).await
    }
    /// One schedule.
    pub async fn schedule(&self, id: &str) -> Outcome<wire::Schedule> {
        self.json(Ask::get(&["schedules", id])).await
    }
    /// Tells a schedule what to do; all of it is the same when it is told twice.
    pub async fn order_schedule(&self, id: &str, order: Order) -> Outcome<()> {
        self.done(Ask::post(&["schedules", id, order.path()]).repeatable()).await
    }
    /// A part of a log.
    pub async fn log(
        &self,
        id: &str,
        task: u32,
        attempt: Option<u32>,
        stream: &str,
        offset: u64,
        wait: Duration,
    ) -> Outcome<LogPart> {
        let ask = Ask::get(&["jobs", id, "logs"])
            .with("task", task.to_string())
            .with_some("attempt", attempt.map(|number| number.to_string()))
            .with("stream", stream)
            .with_some("wait_ms", (!wait.is_zero()).then(|| wait.as_millis().to_string()))
            .with("offset", offset.to_string());
        let Answer { headers, bytes } = self.send(ask).await?;
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let read = offset.saturating_add(bytes.len() as u64);
        let next = header("dayan-log-next").and_then(|text| text.parse().ok()).unwrap_or(read);
        Ok(LogPart { next, ended: header("dayan-log-end") == Some("true"), bytes })
    }

    /// A socket to run a command beside a running task.
    pub async fn exec(&self, id: &str, task: u32) -> Outcome<Socket> {
        self.socket(Ask::get(&["jobs", id, "exec"]).with("task", task.to_string())).await
    }

    /// What is listed at a price.
    pub async fn offers(&self) -> Outcome<Vec<wire::Offer>> {
        self.list(&["offers"], &[], LIST_ROWS_MAX).await
    }
    /// Lists capacity at a price.
    pub async fn create_offer(&self, offer: &wire::NewOffer) -> Outcome<Made> {
        self.json(Ask::post(&["offers"]).body(Body::json(offer))).await
    }
    /// Takes an offer from the list.
    pub async fn retire_offer(&self, id: &str) -> Outcome<()> {
        self.done(Ask::delete(&["offers", id])).await
    }
    /// Pools.
    pub async fn pools(&self) -> Outcome<Vec<wire::Pool>> {
        self.list(&["pools"], &[], LIST_ROWS_MAX).await
    }
    /// One pool.
    pub async fn pool(&self, id: &str) -> Outcome<wire::Pool> {
        self.json(Ask::get(&["pools", id])).await
    }
    /// What was measured of a pool.
    pub async fn measured(&self, id: &str) -> Outcome<Vec<wire::Attribute>> {
        self.json(Ask::get(&["pools", id, "measured"])).await
    }
    /// Moves a pool to another status.
    pub async fn set_pool_status(&self, id: &str, status: &str) -> Outcome<()> {
        self.set_status(&["pools", id, "status"], status).await
    }
    /// Says when a pool is closed, instead of what was said before.
    pub async fn set_closures(&self, id: &str, closures: &[wire::Closure]) -> Outcome<()> {
        self.done(Ask::put(&["pools", id, "closures"]).body(Body::json(&closures))).await
    }
    /// Asks a pool's agent to prove its inventory now.
    pub async fn challenge(&self, id: &str) -> Outcome<()> {
        self.done(Ask::post(&["pools", id, "challenge"]).repeatable()).await
    }
    /// What a name stands for.
    pub async fn resolve(&self, name: &str) -> Outcome<wire::Record> {
        self.json(Ask::get(&["resolve", name])).await
    }
    /// Delays between places.
    pub async fn net_matrix(&self, places: &[String]) -> Outcome<wire::NetMatrix> {
        let places = (!places.is_empty()).then(|| places.join(","));
        self.json(Ask::get(&["net", "matrix"]).with_some("places", places)).await
    }

    /// Organisations.
    pub async fn orgs(&self) -> Outcome<Vec<wire::Org>> {
        self.list(&["orgs"], &[], LIST_ROWS_MAX).await
    }
    /// A new organisation.
    pub async fn create_org(&self, org: &wire::NewOrg) -> Outcome<Made> {
        self.json(Ask::post(&["orgs"]).body(Body::json(org))).await
    }
    /// Books a payment; its reference makes a repeated one the same payment.
    pub async fn deposit(&self, slug: &str, deposit: &wire::Deposit) -> Outcome<wire::Deposited> {
        let ask = Ask::post(&["orgs", slug, "deposits"]).repeatable();
        self.json(ask.body(Body::json(deposit))).await
    }
    /// Users, of one organisation or all we may see.
    pub async fn users(&self, org: Option<&str>) -> Outcome<Vec<wire::User>> {
        let query = [("org", org.map(str::to_owned))];
        let mut rows: Vec<wire::User> = self.list(&["users"], &query, LIST_ROWS_MAX).await?;
        // A server that does not know the query answers with everybody.
        rows.retain(|user| org.is_none_or(|org| user.org == org));
        Ok(rows)
    }
    /// A new user.
    pub async fn create_user(&self, user: &wire::NewUser) -> Outcome<Made> {
        self.json(Ask::post(&["users"]).body(Body::json(user))).await
    }
    /// Another role for a user.
    pub async fn set_role(&self, id: &str, role: &wire::NewRole) -> Outcome<()> {
        self.done(Ask::put(&["users", id, "role"]).body(Body::json(role))).await
    }
    /// Removes a user and its tokens.
    pub async fn remove_user(&self, id: &str) -> Outcome<()> {
        self.done(Ask::delete(&["users", id])).await
    }
    /// Tokens, without their secrets.
    pub async fn tokens(&self) -> Outcome<Vec<wire::Token>> {
        self.list(&["tokens"], &[], LIST_ROWS_MAX).await
    }
    /// A new token.
    pub async fn issue_token(&self, token: &wire::NewToken) -> Outcome<wire::TokenIssued> {
        self.json(Ask::post(&["tokens"]).body(Body::json(token))).await
    }
    /// Ends a token.
    pub async fn revoke_token(&self, id: &str) -> Outcome<()> {
        self.done(Ask::delete(&["tokens", id])).await
    }
    /// Projects.
    pub async fn projects(&self) -> Outcome<Vec<wire::Project>> {
        self.list(&["projects"], &[], LIST_ROWS_MAX).await
    }
    /// A new project.
    pub async fn create_project(&self, project: &wire::NewProject) -> Outcome<Made> {
        self.json(Ask::post(&["projects"]).body(Body::json(project))).await
    }
    /// Sets a project's limits.
    pub async fn set_budget(&self, id: &str, limits: &wire::BudgetLimits) -> Outcome<()> {
        self.done(Ask::put(&["projects", id, "budget"]).body(Body::json(limits))).await
    }
    /// How projects stand to each other.
    pub async fn shares(&self) -> Outcome<Vec<wire::Share>> {
        self.list(&["shares"], &[], LIST_ROWS_MAX).await
    }
    /// Sets the highest priority that an organisation's jobs may have.
    pub async fn set_priority_most(&self, org: &str, new: &wire::NewPriorityMost) -> Outcome<()> {
        self.done(Ask::put(&["orgs", org, "priority"]).body(Body::json(new))).await
    }

    /// Sets the weight of one of `orgs` or `projects`.
    pub async fn set_weight(&self, kind: &str, id: &str, new: &wire::NewWeight) -> Outcome<()> {
        self.done(Ask::put(&[kind, id, "weight"]).body(Body::json(new))).await
    }
    /// Quotas and what is held under them.
    pub async fn quotas(&self) -> Outcome<Vec<wire::Quota>> {
        self.list(&["quotas"], &[], LIST_ROWS_MAX).await
    }
    /// How dirty the electricity of each pool is.
    pub async fn carbon(&self) -> Outcome<Vec<wire::PoolCarbon>> {
        self.list(&["carbon"], &[], LIST_ROWS_MAX).await
    }
    /// Says how dirty the electricity of a region or a pool is by the hour.
    pub async fn set_carbon(&self, new: &wire::SetCarbon) -> Outcome<()> {
        self.done(Ask::put(&["carbon"]).body(Body::json(new))).await
    }
    /// Says how much a pool's building draws for each part that reaches its machines.
    pub async fn set_pue(&self, pool: &str, new: &wire::SetPue) -> Outcome<()> {
        self.done(Ask::put(&["pools", pool, "pue"]).body(Body::json(new))).await
    }
    /// Licences, and how many are in use.
    pub async fn licenses(&self) -> Outcome<Vec<wire::License>> {
        self.list(&["licenses"], &[], LIST_ROWS_MAX).await
    }
    /// Says how many of a licence there are.
    pub async fn set_license(&self, new: &wire::SetLicense) -> Outcome<()> {
        self.done(Ask::put(&["licenses"]).body(Body::json(new))).await
    }
    /// Sets the quota of one of `orgs` or `projects`.
    pub async fn set_quota(&self, kind: &str, id: &str, new: &wire::QuotaLimits) -> Outcome<()> {
        self.done(Ask::put(&[kind, id, "quota"]).body(Body::json(new))).await
    }
    /// Providers.
    pub async fn providers(&self) -> Outcome<Vec<wire::Provider>> {
        self.list(&["providers"], &[], LIST_ROWS_MAX).await
    }
    /// An organisation applies as a provider.
    pub async fn apply_provider(&self, provider: &wire::NewProvider) -> Outcome<Made> {
        self.json(Ask::post(&["providers"]).body(Body::json(provider))).await
    }
    /// Moves a provider to another status.
    pub async fn set_provider_status(&self, id: &str, status: &str) -> Outcome<()> {
        self.set_status(&["providers", id, "status"], status).await
    }
    /// A join token for an agent.
    pub async fn invite(
        &self,
        id: &str,
        invitation: &wire::NewInvitation,
    ) -> Outcome<wire::Invitation> {
        let ask = Ask::post(&["providers", id, "invitations"]);
        self.json(ask.body(Body::json(invitation))).await
    }

    /// Usage in a period.
    pub async fn usage(&self, by: &str, period: Option<&str>) -> Outcome<Vec<wire::UsageRow>> {
        self.json(Ask::get(&["usage"]).with("by", by).with_some("period", period)).await
    }
    /// Invoices.
    pub async fn invoices(&self) -> Outcome<Vec<wire::InvoiceSummary>> {
        self.list(&["invoices"], &[], LIST_ROWS_MAX).await
    }
    /// One invoice.
    pub async fn invoice(&self, id: &str) -> Outcome<wire::Invoice> {
        self.json(Ask::get(&["invoices", id]).with("format", "json")).await
    }
    /// One invoice in a format of its own, as it comes.
    pub async fn invoice_file(&self, id: &str, format: &str, lang: &str) -> Outcome<Vec<u8>> {
        let ask = Ask::get(&["invoices", id]).with("format", format).with("lang", lang).patiently();
        Ok(self.send(ask).await?.bytes)
    }
    /// The accounts of the books.
    pub async fn accounts(&self) -> Outcome<Vec<wire::Account>> {
        self.list(&["ledger", "accounts"], &[], LIST_ROWS_MAX).await
    }
    /// Are the books right?
    pub async fn ledger_check(&self) -> Outcome<wire::LedgerCheck> {
        self.json(Ask::get(&["ledger", "check"]).patiently()).await
    }
    /// Is the journal whole?
    pub async fn audit_verify(&self) -> Outcome<wire::JournalCheck> {
        self.json(Ask::get(&["audit", "verify"]).patiently()).await
    }
    /// What agents said that cannot be so.
    pub async fn findings(&self, rows: usize) -> Outcome<Vec<wire::Finding>> {
        self.list(&["findings"], &[], rows).await
    }
    /// Has the server write a copy of its data to a folder of its machine.
    pub async fn backup(&self, path: &str) -> Outcome<serde_json::Value> {
        let body = Body::json(&serde_json::json!({ "path": path }));
        self.json(Ask::post(&["backup"]).body(body).patiently()).await
    }

    async fn set_status(&self, path: &[&str], status: &str) -> Outcome<()> {
        let body = Body::json(&wire::SetStatus { status: status.to_owned() });
        self.done(Ask::post(path).repeatable().body(body)).await
    }
}

fn task_body(task: Option<u32>) -> Body {
    Body::json(&wire::Cancel { task })
}
