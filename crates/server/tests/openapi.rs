//! The published description of the API is what the server serves, and says of each parameter where
//! it is sent. `DAYAN_WRITE_DOCS=1` writes it.

use std::collections::BTreeSet;

use serde_json::Value;

#[test]
fn the_published_description_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/openapi.json");
    let mut current = dayan_server::openapi().to_pretty_json().expect("plain data");
    current.push('\n');
    if std::env::var_os("DAYAN_WRITE_DOCS").is_some() {
        std::fs::write(path, &current).expect("the docs can be written");
    }
    let published = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        published == current,
        "docs/reference/openapi.json is not current: DAYAN_WRITE_DOCS=1 cargo test -p dayan-server --test openapi"
    );
}

fn document() -> Value {
    serde_json::to_value(dayan_server::openapi()).expect("plain data")
}

/// The parameters of an operation that are sent there.
fn sent_in<'a>(operation: &'a Value, place: &str) -> BTreeSet<&'a str> {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let there = parameters.filter(|parameter| parameter["in"] == place);
    there.filter_map(|parameter| parameter["name"].as_str()).collect()
}

#[test]
fn what_stands_in_a_path_is_declared_and_nothing_else_is_said_to() {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 40, "{}", paths.len());
    for (path, item) in paths {
        let named: BTreeSet<&str> =
            path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        for (method, operation) in item.as_object().expect("operations") {
            assert_eq!(sent_in(operation, "path"), named, "{method} {path}");
        }
    }
}

#[test]
fn queries_and_headers_are_declared_as_such_and_may_be_left_out() {
    let document = document();
    let check = |method: &str, path: &str, place: &str, names: &[&str]| {
        let operation = &document["paths"][path][method];
        let expect: BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(sent_in(operation, place), expect, "{method} {path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let must = parameter["in"] == "path";
            assert_eq!(parameter["required"] == true, must, "{method} {path}: {parameter}");
            assert!(parameter["description"].is_string() || must, "{method} {path}: {parameter}");
        }
    };
    check("get", "/v1/jobs", "query", &["project", "state", "name", "number", "limit", "after"]);
    check("post", "/v1/jobs", "query", &["quote", "key"]);
    check("post", "/v1/jobs", "header", &["Idempotency-Key"]);
    check("get", "/v1/jobs/{id}/attempts", "query", &["limit", "after"]);
    check("get", "/v1/jobs/{id}/lines", "query", &["limit", "after"]);
    check(
        "get",
        "/v1/jobs/{id}/logs",
        "query",
        &["task", "attempt", "stream", "offset", "wait_ms"],
    );
    check("get", "/v1/findings", "query", &["limit", "after"]);
    check("get", "/v1/usage", "query", &["by", "period"]);
    check("get", "/v1/invoices/{id}", "query", &["format", "lang"]);
    check("get", "/v1/net/matrix", "query", &["places"]);
    check("get", "/v1/events", "header", &["Last-Event-ID"]);
    check("post", "/v1/agent/logs/{ask}", "query", &["next", "end", "error"]);
    check("get", "/v1/agent/probe", "query", &["bytes"]);
}
