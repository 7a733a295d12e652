//! The fake's answers beside those of a real API server: the same questions to both, and what the
//! engine looks at in the answers compared. Where no real one is at hand the fake is only asked.

use futures_util::AsyncBufReadExt;
use kube::Client;
use serde_json::{Value, json};

use crate::ask;
use crate::lab::{Lab, assets};

/// What is looked at of an answer.
#[derive(Clone, PartialEq, Debug)]
struct Answer {
    what: &'static str,
    code: u16,
    seen: Value,
}

/// One question, and what was answered.
pub async fn send(client: &Client, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
    let text = body.map_or_else(Vec::new, |body| body.to_string().into_bytes());
    let request = http::Request::builder().method(method).uri(path).header("content-type", kind);
    let request = request.body(kube::client::Body::from(text)).expect("a request");
    let answer = client.send(request).await.expect("it answers");
    let code = answer.status().as_u16();
    let text = answer.into_body().collect_bytes().await.expect("it is whole");
    (code, serde_json::from_slice(&text).unwrap_or(Value::Null))
}

/// The types of the first events of a watch, and for errors their code.
async fn events(client: &Client, path: &str, count: usize) -> Value {
    let request = http::Request::get(path).body(Vec::new()).expect("a request");
    let lines = client.request_stream(request).await.expect("it streams");
    let mut lines = std::pin::pin!(lines);
    let mut seen = Vec::new();
    while seen.len() < count {
        let mut line = String::new();
        if lines.read_line(&mut line).await.expect("it reads") == 0 {
            break;
        }
        let event: Value = serde_json::from_str(&line).expect("JSON");
        let (kind, object) = (&event["type"], &event["object"]);
        seen.push(match kind.as_str() {
            Some("ERROR") => json!([kind, object["kind"], object["code"], object["reason"]]),
            Some("BOOKMARK") => continue,
            _ => json!([kind, object["kind"], object["metadata"]["name"]]),
        });
    }
    json!(seen)
}

fn job(name: &str) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": { "name": name, "labels": { "of": "compare" } },
        "spec": {
            "completions": 1, "parallelism": 1, "completionMode": "Indexed",
            "backoffLimitPerIndex": 0, "podReplacementPolicy": "Failed", "suspend": true,
            "activeDeadlineSeconds": 50,
            "template": { "spec": {
                "restartPolicy": "Never",
                "containers": [{ "name": "task", "image": "x", "command": ["true"] }],
            }},
        },
    })
}

/// The answers, and a version that is old when they are there.
async fn questions(client: &Client) -> (Vec<Answer>, String) {
    let mut all = Vec::new();
    let mut note = |what, (code, value): (u16, Value), fields: &[&str]| {
        let seen: Vec<Value> =
            fields.iter().map(|path| value.pointer(path).cloned().into()).collect();
        all.push(Answer { what, code, seen: json!(seen) });
        value
    };
    const REFUSED: &[&str] = &["/kind", "/status", "/reason", "/code"];
    let (jobs, secrets) =
        ("/apis/batch/v1/namespaces/dayan/jobs", "/api/v1/namespaces/dayan/secrets");
    let got = send(client, "GET", &format!("{jobs}/none"), None).await;
    note("a job that is not there", got, &["/reason", "/message"]);
    let elsewhere = "/apis/batch/v1/namespaces/nowhere/jobs";
    let got = send(client, "POST", elsewhere, Some(job("a"))).await;
    note("a job in no namespace", got, &["/reason", "/message"]);
    let mut bad = job("bad");
    bad["spec"]["template"]["spec"]["containers"] = json!([]);
    note("a job of nothing", send(client, "POST", jobs, Some(bad)).await, REFUSED);
    let secret = json!({
        "metadata": { "name": "s", "labels": { "of": "compare" } }, "immutable": true,
        "stringData": { "0": "echo 算力\n" },
    });
    let got = send(client, "POST", secrets, Some(secret.clone())).await;
    note("a secret", got, &["/kind", "/data", "/stringData", "/metadata/name"]);
    let got = send(client, "POST", secrets, Some(secret)).await;
    note("the same secret again", got, &["/reason", "/message"]);
    let got = send(client, "POST", jobs, Some(job("j"))).await;
    let made = note("a job", got, &["/kind", "/apiVersion", "/spec/activeDeadlineSeconds"]);
    note(
        "the same job again",
        send(client, "POST", jobs, Some(job("j"))).await,
        &["/reason", "/message"],
    );
    let patch = json!({ "spec": { "activeDeadlineSeconds": 70 } });
    let got = send(client, "PATCH", &format!("{jobs}/j"), Some(patch.clone())).await;
    note("its deadline moved", got, &["/spec/activeDeadlineSeconds", "/metadata/name"]);
    let got = send(client, "PATCH", &format!("{jobs}/none"), Some(patch)).await;
    note("another's deadline moved", got, &["/reason", "/message"]);
    let found = |label: &str| format!("{jobs}?labelSelector=of%3D{label}");
    let got = send(client, "GET", &found("compare"), None).await;
    note("jobs by label", got, &["/kind", "/apiVersion", "/items/0/metadata/name", "/items/1"]);
    let got = send(client, "GET", &found("nobody"), None).await;
    note("no jobs by label", got, &["/kind", "/items"]);
    let wrong = json!({ "preconditions": { "uid": "00000000-0000-0000-0000-000000000000" } });
    let got = send(client, "DELETE", &format!("{jobs}/j"), Some(wrong)).await;
    note("the job of another uid removed", got, &["/reason"]);
    // What happens to a secret, as a watch from before tells it.
    let got = send(client, "GET", secrets, None).await;
    let version = got.1["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    let labels = json!({ "metadata": { "labels": { "of": "somebody" } } });
    let watched = json!({ "metadata": { "name": "w", "labels": { "of": "watched" } } });
    send(client, "POST", secrets, Some(watched)).await;
    let more = json!({ "metadata": { "annotations": { "a": "b" } } });
    send(client, "PATCH", &format!("{secrets}/w"), Some(more)).await;
    // It is not one of those that are watched any more: gone, to the watch.
    send(client, "PATCH", &format!("{secrets}/w"), Some(labels)).await;
    let watch = format!(
        "{secrets}?watch=true&resourceVersion={version}&labelSelector=of%3Dwatched&allowWatchBookmarks=true"
    );
    let seen = events(client, &watch, 3).await;
    note("a watch", (200, json!({ "seen": seen })), &["/seen"]);
    let options = json!({ "propagationPolicy": "Background" });
    let got = send(client, "DELETE", &format!("{secrets}/s"), Some(options)).await;
    note("a secret removed", (got.0, Value::Null), &[]);
    let got = send(client, "DELETE", &format!("{secrets}/s"), None).await;
    note("it again", got, &["/reason", "/message"]);
    let quota = json!({ "metadata": { "name": "q" }, "spec": { "hard": { "requests.cpu": "2" } } });
    let quotas = "/api/v1/namespaces/dayan/resourcequotas";
    note("a quota", send(client, "POST", quotas, Some(quota)).await, &["/spec/hard"]);
    let pod_log = "/api/v1/namespaces/dayan/pods/none/log?container=task";
    note(
        "the output of no pod",
        send(client, "GET", pod_log, None).await,
        &["/reason", "/message"],
    );
    let visit = "/api/v1/namespaces/dayan/pods/none/exec?command=true&stdout=true";
    let got = send(client, "GET", visit, None).await;
    note("a command beside no pod", got, &["/reason", "/message"]);
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": { "resourceAttributes": {
            "namespace": "dayan", "verb": "create", "resource": "pods", "subresource": "exec",
        }},
    });
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let got = send(client, "POST", reviews, Some(review)).await;
    note("may I run commands", got, &["/kind", "/status/allowed"]);
    let metrics = "/apis/metrics.k8s.io/v1beta1/namespaces/dayan/pods";
    note(
        "metrics that are not there",
        (send(client, "GET", metrics, None).await.0, Value::Null),
        &[],
    );
    let got = send(client, "GET", "/version", None).await;
    note("the version", (got.0, Value::Null), &[]);
    let old = made["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
    (all, old)
}

fn ask_all(lab: &Lab) -> Vec<Answer> {
    let (config, runtime) = (lab.config("admin"), ask::runtime());
    let asked = runtime.block_on(async { questions(&ask::client(&config).await).await });
    let (mut all, old) = asked;
    // A server remembers nothing that happened before it was started.
    lab.kill_server();
    lab.revive_server();
    let watch = format!("/api/v1/namespaces/dayan/secrets?watch=true&resourceVersion={old}");
    let seen = runtime.block_on(async { events(&ask::client(&config).await, &watch, 1).await });
    all.push(Answer { what: "a watch from long ago", code: 200, seen });
    all
}

#[test]
fn the_fake_answers_as_the_real_one() {
    let fake = ask_all(&Lab::fake());
    assert!(fake.len() > 15 && fake.iter().any(|answer| answer.code == 409));
    if assets().is_none() {
        println!("SKIPPED: no Kubernetes here to compare the fake with");
        return;
    }
    let real = ask_all(&Lab::real().expect("it is at hand"));
    let differ: Vec<_> = fake.iter().zip(&real).filter(|(fake, real)| fake != real).collect();
    assert!(differ.is_empty(), "fake and real differ: {differ:#?}");
    assert_eq!(fake.len(), real.len());
}
