//! What is answered to everyone: metrics that a Prometheus can read, and the reference page.

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{Ask, Exchange};

const JOB: &str = "version: 1
name: hello
type: batch
project: lab/demo
resources: {cpus: 1, memory: 100MB, time: 10m}
run: echo hello
";

/// Values by series, as text. What is not in the form is a failure.
fn read(text: &str) -> BTreeMap<String, String> {
    assert!(text.ends_with("# EOF\n"), "{text}");
    let mut kinds = BTreeMap::new();
    let mut values = BTreeMap::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# TYPE ") {
            let (name, kind) = said.split_once(' ').expect("a name and a kind");
            assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
            assert!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
        } else if !line.starts_with("# HELP ") && line != "# EOF" {
            let (series, value) = line.rsplit_once(' ').expect("a series and its value");
            let name = series.split('{').next().unwrap_or_default();
            let family = ["", "_total", "_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                let family = name.strip_suffix(*suffix)?;
                kinds.get(family)
            });
            assert!(family.is_some(), "{line}: no type before it");
            assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line}");
            assert!(values.insert(series.to_owned(), value.to_owned()).is_none(), "{line}");
        }
    }
    values
}

async fn scrape(exchange: &Exchange) -> BTreeMap<String, String> {
    let (status, kind, text) = exchange.answer(Ask::get("", "/metrics")).await;
    assert_eq!(status, 200, "{text}");
    assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
    read(&text)
}

/// What is not there yet has not been counted.
fn number(values: &BTreeMap<String, String>, series: &str) -> u64 {
    values.get(series).map_or(0, |value| value.parse().expect("a whole number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_count_what_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let setup = exchange.set_up("lab/demo").await;
    let before = scrape(&exchange).await;
    for series in ["dayan_submissions_total", "dayan_jobs", "dayan_tasks_queued", "dayan_pools"] {
        assert_eq!(before.get(series).map(String::as_str), Some("0"), "{series}");
    }

    exchange.submit(&setup.member, JOB).await;
    exchange.refused(Ask::get("", "/v1/whoami"), 401, "auth.token").await;
    let after = scrape(&exchange).await;
    for series in ["dayan_submissions_total", "dayan_jobs", "dayan_tasks_queued"] {
        assert_eq!(after.get(series).map(String::as_str), Some("1"), "{series}");
    }
    let more = |series: &str| number(&after, series) - number(&before, series);
    // The submission, and the first reading of these numbers.
    assert_eq!(more("dayan_answers_total{status=\"2xx\"}"), 2);
    assert_eq!(more("dayan_answers_total{status=\"4xx\"}"), 1);
    assert_eq!(more("dayan_answers_total{status=\"5xx\"}"), 0);
    assert_eq!(more("dayan_answer_seconds_count"), 3);
    assert!(more("dayan_batches_total") >= 1 && more("dayan_journal_seq") >= 1);
    // Its file and itself.
    assert!(more("dayan_events_total") >= 2 && more("dayan_revision") >= 2);
    exchange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_reference_page_tells_all_of_the_description() {
    let folder = tempfile::tempdir().expect("a folder");
    let exchange = Exchange::start(folder.path()).await;
    let (status, kind, page) = exchange.answer(Ask::get("", "/v1/docs")).await;
    assert_eq!((status, kind.as_str()), (200, "text/html; charset=utf-8"));

    let (_, _, served) = exchange.answer(Ask::get("", "/v1/openapi.json")).await;
    let document: Value = serde_json::from_str(&served).expect("JSON");
    let entries = |value: &Value| value.as_object().cloned().unwrap_or_default();
    let code = |name: &str| format!("<code>{name}</code>");
    let paths = entries(&document["paths"]);
    assert!(paths.len() > 40, "{}", paths.len());
    for (path, item) in paths {
        for (method, operation) in entries(&item) {
            let head = format!("<h3><span class=\"m\">{}</span> ", method.to_uppercase());
            let head = format!("{head}{}</h3>", code(&path));
            let (_, section) = page.split_once(&head).expect("a section for each");
            let (section, _) = section.split_once("</section>").expect("its end");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let text = |key: &str| parameter[key].as_str().expect("text");
                let row = format!("<td>{}</td><td>{}</td>", code(text("name")), text("in"));
                assert!(section.contains(&row), "{method} {path}: {row}: {section}");
            }
            for (status, _) in entries(&operation["responses"]) {
                assert!(section.contains(&format!(">{status}<")), "{method} {path}: {status}");
            }
        }
    }
    for (name, schema) in entries(&document["components"]["schemas"]) {
        let head = format!("<h3>{}</h3>", code(&name));
        let (_, section) = page.split_once(&head).expect("a section for each");
        let (section, _) = section.split_once("</section>").expect("its end");
        for (field, _) in entries(&schema["properties"]) {
            assert!(section.contains(&format!("<td>{}</td>", code(&field))), "{name}.{field}");
        }
    }
    // Of a job file too, down to what is inside.
    assert!(page.contains(&code("resources.memory")) && page.contains(&code("gang.nodes")));
    // Markdown is not shown as it was written, and nothing comes from elsewhere.
    for absent in ["`", "<script", "<link", "src=", "url(", "@import", "href=\"http"] {
        assert!(!page.contains(absent), "{absent}");
    }
    assert!(page.contains("color-scheme:light dark"));
    exchange.stop().await;
}
