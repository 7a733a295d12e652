//! What happens, as readers hear of it: as it is committed, only what they may see, and after an
//! interruption exactly the rest.

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{Ask, Exchange, FakeAgent, ended_well};

/// No event is on its way for so long; a reader that waits longer waits for nothing.
const PATIENCE: Duration = Duration::from_mins(1);

/// An event as it came: its id and what it says.
type Heard = (String, Value);

/// Someone who reads events.
struct Reader {
    response: reqwest::Response,
    /// What has come and is not read yet.
    text: String,
}

impl Reader {
    /// When this returns, the server listens for it.
    async fn open(exchange: &Exchange, token: &str, after: Option<&str>) -> Self {
        let url = format!("{}/v1/events", exchange.url);
        let mut request = support::client().get(url).bearer_auth(token).timeout(10 * PATIENCE);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let response = request.send().await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    async fn next(&mut self) -> Heard {
        loop {
            while let Some((block, rest)) = self.text.split_once("\n\n") {
                // A block without an id keeps the connection open and says nothing.
                let heard = parse(block);
                let rest = rest.to_owned();
                self.text = rest;
                if let Some(heard) = heard {
                    return heard;
                }
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("an event comes").expect("it can be read");
            let chunk = chunk.expect("the stream goes on");
            self.text.push_str(std::str::from_utf8(&chunk).expect("text"));
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Heard> {
        let mut heard = Vec::with_capacity(count);
        for _ in 0..count {
            heard.push(self.next().await);
        }
        heard
    }
}

fn field<'a>(block: &'a str, name: &str) -> Option<&'a str> {
    block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':').map(str::trim))
}

fn parse(block: &str) -> Option<Heard> {
    let id = field(block, "id")?;
    assert_eq!(field(block, "event"), Some("job"), "{block}");
    let data = field(block, "data").expect("an event says something");
    Some((id.to_owned(), serde_json::from_str(data).expect("JSON")))
}

/// What happened to which job.
fn what_of_which<'a>(heard: &'a [Heard]) -> Vec<(&'a str, &'a str)> {
    let text = |value: &'a Value| value.as_str().expect("text");
    heard.iter().map(|(_, said)| (text(&said["what"]), text(&said["job"]))).collect()
}

/// The row and the place of an id.
fn parts(id: &str) -> (u64, u64) {
    let (row, place) = id.split_once('.').expect("a row and a place");
    (row.parse().expect("a number"), place.parse().expect("a number"))
}

fn job(project: &str) -> Value {
    json!({ "version": 1, "name": "hello", "type": "batch", "project": project,
        "resources": { "cpus": 1, "memory": "100MB", "time": "10m" }, "run": "echo hello" })
}

/// A second organisation that may submit; a member of it.
async fn second(exchange: &Exchange) -> String {
    let op = &exchange.operator;
    let money = json!({ "amount": "100.00 CNY", "reference": "wire 2" });
    exchange.post(op, "/v1/orgs/dc/deposits", money).await;
    exchange.post(op, "/v1/projects", json!({ "path": "dc/demo" })).await;
    exchange.user("dc", "m", "member").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hears_its_own_and_goes_on_after_any_of_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let (op, lab) = (exchange.operator.clone(), setup.member.clone());
    let dc = second(&exchange).await;
    let mut of_all = Reader::open(&exchange, &op, None).await;
    let mut of_lab = Reader::open(&exchange, &lab, None).await;
    let mut of_dc = Reader::open(&exchange, &dc, None).await;

    // One request is one row of the journal; its jobs are of both organisations in turn.
    let batch = ["lab/demo", "dc/demo", "lab/demo", "dc/demo", "lab/demo"].map(job);
    let outcomes = exchange.post(&op, "/v1/jobs/batch", json!(batch)).await;
    let outcomes = outcomes.as_array().expect("a list").iter();
    let jobs: Vec<&str> = outcomes.map(|one| one["job"].as_str().expect("a job")).collect();
    exchange.post(&lab, &format!("/v1/jobs/{}/cancel", jobs[0]), json!({})).await;
    let later = exchange.submit(&dc, &job("dc/demo").to_string()).await;

    let all = of_all.take(7).await;
    let mut expect: Vec<(&str, &str)> = jobs.iter().map(|job| ("submitted", *job)).collect();
    expect.extend([("ended", jobs[0]), ("submitted", later.as_str())]);
    assert_eq!(what_of_which(&all), expect);
    assert_eq!(all[5].1["end"], "cancelled", "{all:?}");
    let ids: Vec<(u64, u64)> = all.iter().map(|(id, _)| parts(id)).collect();
    let row = ids[0].0;
    let (of_batch, after) = ids.split_at(5);
    assert_eq!(of_batch, [1, 2, 3, 4, 5].map(|place| (row, place)));
    assert!(after[0].0 > row && after[1].0 > after[0].0 && after[1].1 == 1, "{ids:?}");

    // Whose is whose: the same events, and no others between them.
    let is_lab =
        |heard: &Heard| [jobs[0], jobs[2], jobs[4]].iter().any(|job| heard.1["job"] == *job);
    let (lab_all, dc_all): (Vec<Heard>, Vec<Heard>) = all.iter().cloned().partition(is_lab);
    assert_eq!((lab_all.len(), dc_all.len()), (4, 3));
    assert_eq!(of_lab.take(4).await, lab_all);
    assert_eq!(of_dc.take(3).await, dc_all);

    // After any of them, wherever in its row and whoever may see it, comes exactly the rest.
    let mut readers = vec![(of_all, "all"), (of_lab, "lab"), (of_dc, "dc")];
    let before = format!("{row}.0");
    let places = std::iter::once(before.as_str()).chain(all.iter().map(|(id, _)| id.as_str()));
    for (behind, id) in places.enumerate() {
        for (token, whose) in [(&op, "all"), (&lab, "lab"), (&dc, "dc")] {
            let mut reader = Reader::open(&exchange, token, Some(id)).await;
            let rest = all[behind..].iter().filter(|heard| match whose {
                "lab" => is_lab(heard),
                "dc" => !is_lab(heard),
                _ => true,
            });
            let rest: Vec<Heard> = rest.cloned().collect();
            assert_eq!(reader.take(rest.len()).await, rest, "{whose} after {id}");
            readers.push((reader, whose));
        }
    }
    // Nothing came twice: what they all hear next is what happens next.
    let last = [job("lab/demo"), job("dc/demo")];
    let outcomes = exchange.post(&op, "/v1/jobs/batch", json!(last)).await;
    let of = |number: usize| outcomes[number]["job"].as_str().expect("a job");
    for (reader, whose) in &mut readers {
        let expect = match *whose {
            "lab" => vec![("submitted", of(0))],
            "dc" => vec![("submitted", of(1))],
            _ => vec![("submitted", of(0)), ("submitted", of(1))],
        };
        let heard = reader.take(expect.len()).await;
        assert_eq!(what_of_which(&heard), expect, "{whose}");
    }
    drop(readers);
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_jobs_way_is_told_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let agent = FakeAgent::selling(&exchange, &setup.join_token).await;
    let mut reader = Reader::open(&exchange, &setup.viewer, None).await;

    let id = exchange.submit(&setup.member, &job("lab/demo").to_string()).await;
    let order = agent.next_order().await;
    let attempt = order["attempt"].as_str().expect("an id").to_owned();
    agent.report(json!([{ "attempt": attempt, "seen": "running" }]), None).await;
    let (ended, usage) = ended_well(&attempt);
    agent.report(ended, Some(usage)).await;

    let heard = reader.take(5).await;
    let whats = ["submitted", "leased", "started", "attempt_ended", "ended"];
    let expect: Vec<(&str, &str)> = whats.iter().map(|what| (*what, id.as_str())).collect();
    assert_eq!(what_of_which(&heard), expect);
    // 0.36 CNY an hour, a minimum of 10 s.
    assert_eq!(heard[3].1["amount"], "0.001", "{heard:?}");
    assert_eq!(heard[4].1["end"], "succeeded", "{heard:?}");
    // Between two events of one row, too.
    assert_eq!(parts(&heard[3].0).0, parts(&heard[4].0).0, "{heard:?}");
    let mut again = Reader::open(&exchange, &setup.viewer, Some(&heard[3].0)).await;
    assert_eq!(again.take(1).await, heard[4..]);
    drop((reader, again));
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_id_that_nobody_gave_out_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let mut reader = Reader::open(&exchange, &setup.member, None).await;
    exchange.submit(&setup.member, &job("lab/demo").to_string()).await;
    let (id, _) = reader.next().await;
    let (row, place) = parts(&id);
    assert_eq!(place, 1);

    let behind = format!("{row}.2");
    let future = format!("{}.1", row + 1_000_000);
    let whole = row.to_string();
    let ids = ["1", "foo", "", "1.", ".1", "1.x", "1.1.1", "-1.1", "+1.1", "01.1", "0.1"];
    let large = ["18446744073709551615.1", "18446744073709551616.1", "1.18446744073709551616"];
    for id in ids.into_iter().chain(large).chain([&*behind, &*future, &*whole]) {
        let mut ask = Ask::get(&setup.member, "/v1/events");
        ask.headers = vec![("last-event-id", id)];
        let problem = exchange.refused(ask, 422, "events.id").await;
        assert!(problem["title"].as_str().is_some_and(|title| title.contains(id)), "{problem}");
    }
    exchange.refused(Ask::get("", "/v1/events"), 401, "auth.token").await;
    drop(reader);
    exchange.stop().await;
}
