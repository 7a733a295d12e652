//! A schedule over HTTP: submitted, shown, fired by the timers, its run told which one it is;
//! paused, resumed, cancelled; and a restart that knows it again.

mod support;

use std::path::Path;

use dayan_exchange::{Actor, Entry, Event};
use dayan_store::{Batch, Location, OpenMode, Store};
use dayan_units::RequestId;
use reqwest::Method;
use serde_json::{Value, json};
use support::{Ask, Exchange, FakeAgent, ended_well};

const FILE: &str = "version: 1
name: watch
type: batch
project: lab/demo
schedule: {cron: '0 0 1 1 *', overlap: forbid}
resources: {cpus: 1, memory: 100MB, time: 10m}
run: echo hello
";

impl Exchange {
    async fn schedule(&self, token: &str, id: &str) -> Value {
        self.get(token, &format!("/v1/schedules/{id}")).await
    }
    async fn submit_schedule(&self, token: &str, file: &str) -> String {
        let made = self.call(Method::POST, token, "/v1/jobs", Some(file.to_owned())).await.1;
        text(&made["schedule"]).to_owned()
    }
    async fn tell(&self, token: &str, id: &str, order: &str) {
        let path = format!("/v1/schedules/{id}/{order}");
        let (status, answer) = self.call(Method::POST, token, &path, None).await;
        assert_eq!(status, 204, "{answer}");
    }
}

/// Adds to the journal of an exchange that is away that a schedule was due then.
fn was_due(folder: &Path, schedule: &str, due: &str) {
    let mut store =
        Store::open(&Location::Sqlite(folder.to_owned()), OpenMode::Write).expect("its books");
    let schedule = schedule.parse().expect("an id");
    let next = Some(due.parse().expect("a time"));
    let at = store.head().taken_at;
    let entry = Entry {
        at,
        request: RequestId::from_bits(1),
        actor: Actor::System,
        events: vec![Event::ScheduleAdvanced { schedule, next }],
    };
    let term = store.take_term("test", at).expect("nobody leads");
    let payload = json!({ "v": 1, "entries": [entry] }).to_string().into_bytes();
    store.commit(&Batch { term, at, payload, rows: Vec::new() }).expect("written");
}

fn post<'a>(token: &'a str, path: &'a str, body: &str) -> Ask<'a> {
    Ask::post(token, path, body.to_owned())
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_runs_when_it_is_due_and_a_restart_knows_it_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let member = &setup.member;

    let plan = exchange.call(Method::POST, member, "/v1/plan", Some(FILE.to_owned())).await.1;
    assert_eq!(plan["next"].as_array().map(Vec::len), Some(3), "{plan}");
    assert!(plan["submission"].is_null(), "{plan}");
    let path = "/v1/jobs?key=once";
    let (status, made) = exchange.call(Method::POST, member, path, Some(FILE.to_owned())).await;
    assert_eq!(status, 201, "{made}");
    assert!(made["job"].is_null(), "{made}");
    let id = text(&made["schedule"]).to_owned();
    let again = exchange.call(Method::POST, member, path, Some(FILE.to_owned())).await;
    assert_eq!(again, (201, made.clone()), "the same key is the same schedule");

    let shown = exchange.schedule(member, &id).await;
    assert_eq!((text(&shown["name"]), text(&shown["state"])), ("watch", "scheduled"));
    assert_eq!(shown["spec"]["schedule"]["cron"], "0 0 1 1 *");
    assert_eq!(shown["next"][0], made["next"]);

    // Nobody waits for New Year here: the journal says that it was due while the exchange was away.
    exchange.stop().await;
    was_due(folder.path(), &id, "2026-01-01T00:00:00Z");
    let exchange = Exchange::start(folder.path()).await;
    let agent = agent.moved_to(&exchange);
    let order = agent.next_order().await;
    // The latest stands for all, in whichever year this is read.
    let due = text(&order["env"]["DAYAN_SCHEDULED_AT"]).to_owned();
    assert!(due.ends_with("-01-01T00:00:00Z"), "{due}");
    let job = text(&order["env"]["DAYAN_JOB"]).to_owned();
    let shown = exchange.show(member, &job).await;
    let name = format!("watch@{}Z", due.strip_suffix(":00Z").expect("a whole minute"));
    assert_eq!(shown["name"], json!(name));
    assert_eq!((&shown["schedule"], &shown["scheduled_at"]), (&json!(id), &json!(due)));
    // By its name it is found, too.
    let found = exchange.get(member, &format!("/v1/jobs?name={name}")).await;
    assert_eq!(found["items"][0]["id"], json!(job));

    exchange.tell(member, &id, "pause").await;
    let attempt = text(&order["attempt"]).to_owned();
    let (ended, usage) = ended_well(&attempt);
    agent.report(ended, Some(usage)).await;
    let shown = exchange.schedule(member, &id).await;
    assert_eq!((text(&shown["state"]), &shown["next"]), ("paused", &json!([])));
    let first = shown["runs"].as_array().and_then(|runs| runs.last()).expect("one is behind");
    assert_eq!((&first["due"], &first["job"]), (&json!(due), &json!(job)));
    assert_eq!(first["state"], "succeeded");
    exchange.assert_balanced().await;

    exchange.stop().await;
    let exchange = Exchange::start(folder.path()).await;
    assert_eq!(exchange.schedule(member, &id).await, shown);
    exchange.tell(member, &id, "resume").await;
    assert_eq!(exchange.schedule(member, &id).await["state"], "scheduled");
    exchange.tell(member, &id, "cancel").await;
    let list = exchange.get(member, "/v1/schedules?limit=1000&name=watch&project=lab/demo").await;
    assert_eq!(list["items"][0]["state"], "cancelled", "{list}");
    exchange.assert_balanced().await;
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_are_their_organisations_and_refusals_say_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let file = FILE.to_owned();
    exchange.refused(post(&setup.viewer, "/v1/jobs", &file), 403, "auth.role").await;
    let path = "/v1/jobs";
    let id = exchange.submit_schedule(&setup.member, &file).await;
    exchange.refused(post(&setup.member, path, &file), 409, "schedule.exists").await;
    exchange.refused(post(&setup.member, "/v1/quotes", &file), 422, "quote.schedule").await;
    let lost = file.replace("overlap: forbid", "timezone: Mars/Olympus");
    let lost = lost.replace("watch", "lost");
    exchange.refused(post(&setup.member, path, &lost), 422, "schedule.timezone").await;

    // Page by page they are the same.
    let second = exchange.submit_schedule(&setup.member, &file.replace("watch", "other")).await;
    let page = exchange.get(&setup.member, "/v1/schedules?limit=1").await;
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&json!(id), &json!(id)));
    let page = exchange.get(&setup.member, &format!("/v1/schedules?limit=1&after={id}")).await;
    assert_eq!((&page["items"][0]["id"], &page["next"]), (&json!(second), &Value::Null));
    let lost = "/v1/schedules?after=nowhere";
    exchange.refused(Ask::get(&setup.member, lost), 422, "request.cursor").await;

    let own = format!("/v1/schedules/{id}");
    let told = exchange.get(&setup.viewer, &own).await;
    assert_eq!(told["id"], json!(id));
    exchange.refused(post(&setup.viewer, &format!("{own}/cancel"), ""), 403, "auth.role").await;
    exchange.post(&exchange.operator, "/v1/orgs", json!({ "name": "others" })).await;
    let other = exchange.user("others", "o", "member").await;
    exchange.refused(Ask::get(&other, &own), 404, "schedule.unknown").await;
    exchange.refused(post(&other, &format!("{own}/pause"), ""), 404, "schedule.unknown").await;
    assert_eq!(exchange.get(&other, "/v1/schedules").await["items"], json!([]));
    exchange.stop().await;
}
