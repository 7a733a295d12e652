//! The fake's REST interface.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response, StatusCode};
use base64::Engine as _;
use futures_util::stream;
use hyper::upgrade::OnUpgrade;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::controllers;
use super::store::{Happened, Key, Refusal, Store, refusal};
use crate::ask;
use crate::twin::Visited;

/// How often a watch that asks for bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(5);

/// Between two turns of the controllers.
const TURN_EVERY: Duration = Duration::from_millis(20);

/// Kinds by their plurals.
const KINDS: [(&str, &str, &str); 11] = [
    ("nodes", "Node", "v1"),
    ("namespaces", "Namespace", "v1"),
    ("pods", "Pod", "v1"),
    ("secrets", "Secret", "v1"),
    ("services", "Service", "v1"),
    ("events", "Event", "v1"),
    ("resourcequotas", "ResourceQuota", "v1"),
    ("serviceaccounts", "ServiceAccount", "v1"),
    ("persistentvolumes", "PersistentVolume", "v1"),
    ("persistentvolumeclaims", "PersistentVolumeClaim", "v1"),
    ("jobs", "Job", "batch/v1"),
];

pub struct Server {
    pub port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    pub fn start(store: Arc<Store>, port: u16) -> Self {
        let runtime = ask::runtime();
        let listener = runtime.block_on(async {
            let mut tries = 0;
            loop {
                match tokio::net::TcpListener::bind(("127.0.0.1", port)).await {
                    Ok(listener) => return listener,
                    // Its own connections of before are still being closed.
                    Err(_) if tries < 100 => tries += 1,
                    Err(error) => panic!("port {port}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        let port = listener.local_addr().expect("it is bound").port();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                let app = Router::new().fallback(answer).with_state(Arc::clone(&store));
                tokio::select! {
                    _ = axum::serve(listener, app).into_future() => {}
                    () = control(store) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { port, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The controllers look when something has changed, and at times for what is due.
async fn control(store: Arc<Store>) {
    let mut newest = store.newest.subscribe();
    loop {
        newest.borrow_and_update();
        controllers::turn(&store);
        // What happens in a moment is dealt with together.
        tokio::time::sleep(TURN_EVERY).await;
        let _ = tokio::time::timeout(Duration::from_millis(200), newest.changed()).await;
    }
}

/// A path's parts.
#[derive(Debug)]
struct Wanted {
    plural: String,
    namespace: String,
    name: Option<String>,
    sub: Option<String>,
}

fn wanted(path: &str) -> Option<Wanted> {
    let rest = path.strip_prefix("/api/v1/").or_else(|| path.strip_prefix("/apis/batch/v1/"))?;
    let parts: Vec<&str> = rest.split('/').collect();
    let (namespace, rest) = match parts[..] {
        ["namespaces", namespace, _, ..] if parts[2] != "status" => (namespace, &parts[2..]),
        _ => ("", &parts[..]),
    };
    let text = |at: usize| rest.get(at).map(|part| (*part).to_owned());
    let plural = text(0)?;
    KINDS.iter().any(|(known, _, _)| *known == plural).then(|| Wanted {
        plural,
        namespace: namespace.to_owned(),
        name: text(1),
        sub: text(2),
    })
}

fn query(text: Option<&str>) -> BTreeMap<String, String> {
    ask::pairs(text.unwrap_or_default()).into_iter().collect()
}

fn reply(code: u16, value: &Value) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(code).expect("a status"))
        .header("content-type", "application/json")
        .header("date", date())
        .body(Body::from(value.to_string()))
        .expect("a plain answer")
}

/// The moment as HTTP dates it.
fn date() -> String {
    jiff::Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// What one may send at most: a Job with a thousand indexes and its Secret are below it.
const BODY_BYTES_MAX: usize = 4 << 20;

async fn answer(State(store): State<Arc<Store>>, request: Request) -> Response<Body> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<OnUpgrade>();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.unwrap_or_default();
    let (method, uri) = (parts.method, parts.uri);
    let query = query(uri.query());
    if uri.path() == "/version" {
        let version = json!({
            "major": "1", "minor": "0", "gitVersion": "v1.0.0-fake", "gitCommit": "",
            "gitTreeState": "", "buildDate": "", "goVersion": "", "compiler": "", "platform": "",
        });
        return reply(200, &version);
    }
    if uri.path() == "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews" {
        // Everybody may everything here.
        let mut review: Value = serde_json::from_slice(&body).unwrap_or_default();
        review["status"] = json!({ "allowed": true });
        return reply(201, &review);
    }
    let Some(wanted) = wanted(uri.path()) else {
        let message = "the server could not find the requested resource";
        return reply(404, &refusal(404, "NotFound", message).status());
    };
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let result = match (method.as_str(), &wanted.name, wanted.sub.as_deref()) {
        ("GET", None, None)
            if query.get("watch").is_some_and(|watch| watch != "false" && watch != "0") =>
        {
            return watch(store, &wanted, &query);
        }
        ("GET", None, None) => Ok((200, Arc::new(list(&store, &wanted, &query)))),
        ("GET", Some(_), Some("log")) => return log(&store, &wanted, &query),
        ("GET", Some(name), Some("exec")) => {
            return exec(&store, &wanted, name, uri.query(), &parts.headers, upgrade);
        }
        ("GET", Some(name), Some("proxy")) if uri.path().ends_with("/proxy/stats/summary") => {
            return reply(200, &usage(&store, name));
        }
        ("GET", Some(name), None) => get(&store, &wanted, name),
        ("POST", None, None) => create(&store, &wanted, body),
        ("PATCH", Some(name), sub) => patch(&store, &wanted, name, sub, &body),
        ("DELETE", Some(name), None) => delete(&store, &wanted, name, &body, &query),
        _ => Err(refusal(405, "MethodNotAllowed", "the fake does not do that")),
    };
    match result {
        Ok((code, value)) => reply(code, &value),
        Err(refused) => reply(refused.code, &refused.status()),
    }
}

fn key(wanted: &Wanted, name: &str) -> Key {
    (wanted.plural.clone(), wanted.namespace.clone(), name.to_owned())
}

fn missing(wanted: &Wanted, name: &str) -> Refusal {
    let kind = if wanted.plural == "jobs" { "jobs.batch" } else { &wanted.plural };
    refusal(404, "NotFound", format!("{kind} \"{name}\" not found"))
}

type Answered = Result<(u16, Arc<Value>), Refusal>;

fn get(store: &Store, wanted: &Wanted, name: &str) -> Answered {
    store.get(&key(wanted, name)).map(|object| (200, object)).ok_or_else(|| missing(wanted, name))
}

/// Is an object picked by the selectors of a question?
fn picked(object: &Value, query: &BTreeMap<String, String>) -> bool {
    let labels = query.get("labelSelector").map_or("", String::as_str);
    let fields = query.get("fieldSelector").map_or("", String::as_str);
    let pairs = |text: &str| -> Vec<(String, String)> {
        let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
        pairs
            .map(|(key, value)| (key.to_owned(), value.trim_start_matches('=').to_owned()))
            .collect()
    };
    let by_label = pairs(labels)
        .iter()
        .all(|(key, value)| object["metadata"]["labels"][key].as_str() == Some(value.as_str()));
    let by_field = pairs(fields).iter().all(|(path, value)| {
        let found = path.split('.').fold(object, |at, part| &at[part]);
        found.as_str().unwrap_or_default() == value
    });
    by_label && by_field
}

fn list(store: &Store, wanted: &Wanted, query: &BTreeMap<String, String>) -> Value {
    let (all, version) = store.list(&wanted.plural, &wanted.namespace);
    let items: Vec<Arc<Value>> = all.into_iter().filter(|object| picked(object, query)).collect();
    let (_, kind, api) = KINDS.iter().find(|(plural, ..)| *plural == wanted.plural).expect("known");
    json!({
        "kind": format!("{kind}List"), "apiVersion": api,
        "metadata": { "resourceVersion": version.to_string() }, "items": items,
    })
}

fn create(store: &Store, wanted: &Wanted, mut object: Value) -> Answered {
    let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let (_, kind, api) = KINDS.iter().find(|(plural, ..)| *plural == wanted.plural).expect("known");
    if !wanted.namespace.is_empty()
        && store.get(&("namespaces".to_owned(), String::new(), wanted.namespace.clone())).is_none()
    {
        let message = format!("namespaces \"{}\" not found", wanted.namespace);
        return Err(refusal(404, "NotFound", message));
    }
    if wanted.plural == "jobs" {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        if containers.is_none_or(Vec::is_empty) {
            let message = format!(
                "Job.batch \"{name}\" is invalid: spec.template.spec.containers: Required value"
            );
            return Err(refusal(422, "Invalid", message));
        }
    }
    object["kind"] = json!(kind);
    object["apiVersion"] = json!(api);
    object["metadata"]["namespace"] = json!(wanted.namespace);
    if wanted.plural == "secrets"
        && let Some(texts) = object.as_object_mut().and_then(|all| all.remove("stringData"))
    {
        for (name, text) in texts.as_object().cloned().unwrap_or_default() {
            let plain = text.as_str().unwrap_or_default();
            let encoded = base64::engine::general_purpose::STANDARD.encode(plain);
            object["data"][&name] = json!(encoded);
        }
    }
    let made = store.change(&key(wanted, &name), &mut |known| match known {
        None => Ok(Some(object.clone())),
        Some(_) => {
            let kind = if wanted.plural == "jobs" { "jobs.batch" } else { &wanted.plural };
            Err(refusal(409, "AlreadyExists", format!("{kind} \"{name}\" already exists")))
        }
    })?;
    Ok((201, made))
}

/// A merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, change) in changes {
        match (change, target.as_object_mut()) {
            (Value::Null, Some(target)) => {
                target.remove(name);
            }
            (change, Some(target)) => {
                merge(target.entry(name.clone()).or_insert(Value::Null), change);
            }
            (_, None) => {}
        }
    }
}

fn patch(
    store: &Store,
    wanted: &Wanted,
    name: &str,
    sub: Option<&str>,
    change: &Value,
) -> Answered {
    let patched = store.change(&key(wanted, name), &mut |known| {
        let mut object = known.cloned().ok_or_else(|| missing(wanted, name))?;
        let uid = &change["metadata"]["uid"];
        if !uid.is_null() && *uid != object["metadata"]["uid"] {
            return Err(refusal(409, "Conflict", "Precondition failed: UID in precondition"));
        }
        match sub {
            Some("status") => merge(&mut object["status"], &change["status"]),
            _ => {
                let status = object["status"].clone();
                merge(&mut object, change);
                object["status"] = status;
            }
        }
        Ok(Some(object))
    })?;
    Ok((200, patched))
}

fn delete(
    store: &Store,
    wanted: &Wanted,
    name: &str,
    options: &Value,
    query: &BTreeMap<String, String>,
) -> Answered {
    let asked = query.get("gracePeriodSeconds").and_then(|text| text.parse().ok());
    let grace = options["gracePeriodSeconds"].as_i64().or(asked);
    let uid = options["preconditions"]["uid"].as_str();
    let deleted = store
        .delete(&key(wanted, name), grace, uid)
        .map_err(|refused| if refused.code == 404 { missing(wanted, name) } else { refused })?;
    Ok((200, deleted))
}

fn watch(store: Arc<Store>, wanted: &Wanted, query: &BTreeMap<String, String>) -> Response<Body> {
    let from = query.get("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
    let bookmarks = query.get("allowWatchBookmarks").is_some_and(|text| text == "true");
    let (plural, namespace) = (wanted.plural.clone(), wanted.namespace.clone());
    let (_, kind, api) = *KINDS.iter().find(|(known, ..)| *known == plural).expect("it is known");
    let query = query.clone();
    let mine = move |one: &Happened| {
        let place = controllers::key(&plural, &one.object);
        let of_kind = one.object["kind"] == kind;
        (of_kind && (namespace.is_empty() || place.1 == namespace)).then(|| {
            let now = one.kind != "DELETED" && picked(&one.object, &query);
            let before = one.before.as_ref().is_some_and(|before| picked(before, &query));
            match (before, now) {
                (false, true) => Some(("ADDED", Arc::clone(&one.object))),
                (true, true) => Some(("MODIFIED", Arc::clone(&one.object))),
                (true, false) => Some(("DELETED", Arc::clone(&one.object))),
                (false, false) => None,
            }
        })?
    };
    let newest = store.newest.subscribe();
    let state = (store, newest, from, false);
    let lines = stream::unfold(state, move |(store, mut newest, from, over)| {
        let mine = mine.clone();
        async move {
            if over {
                return None;
            }
            loop {
                newest.borrow_and_update();
                let Some(news) = store.after(from) else {
                    let message = format!("too old resource version: {from}");
                    let status = refusal(410, "Expired", message).status();
                    let line = json!({ "type": "ERROR", "object": status }).to_string() + "\n";
                    return Some((Ok::<_, std::io::Error>(line), (store, newest, from, true)));
                };
                let next = news.last().map_or(from, |one| one.version);
                let lines: String = news
                    .iter()
                    .filter_map(&mine)
                    .map(|(kind, object)| {
                        json!({ "type": kind, "object": object }).to_string() + "\n"
                    })
                    .collect();
                if !lines.is_empty() {
                    return Some((Ok(lines), (store, newest, next, false)));
                }
                let waited = tokio::time::timeout(BOOKMARK_EVERY, newest.changed()).await;
                if waited.is_err() && bookmarks {
                    let mark = json!({ "type": "BOOKMARK", "object": {
                        "kind": kind, "apiVersion": api,
                        "metadata": { "resourceVersion": store.version().to_string() },
                    }});
                    let line = mark.to_string() + "\n";
                    return Some((Ok(line), (store, newest, next, false)));
                }
            }
        }
    });
    Response::builder()
        .header("content-type", "application/json")
        .header("date", date())
        .body(Body::from_stream(lines))
        .expect("a plain answer")
}

/// A pod's output, from the folder that its node's twin keeps it in.
fn log(store: &Store, wanted: &Wanted, query: &BTreeMap<String, String>) -> Response<Body> {
    let name = wanted.name.clone().unwrap_or_default();
    let pod = store.get(&key(wanted, &name));
    let Some(pod) = pod else {
        return reply(404, &missing(wanted, &name).status());
    };
    let container = query.get("container").map_or("task", String::as_str);
    match folder_of(store, &pod, container) {
        Some(folder) => {
            let follow = query.get("follow").is_some_and(|follow| follow == "true");
            Response::new(crate::twin::body(&folder, container, follow))
        }
        None => {
            let message =
                format!("container \"{container}\" in pod \"{name}\" is waiting to start");
            reply(400, &refusal(400, "BadRequest", message).status())
        }
    }
}

/// The folder that a pod's node keeps for it, once this container of it has been started.
fn folder_of(store: &Store, pod: &Value, container: &str) -> Option<PathBuf> {
    let uid = pod["metadata"]["uid"].as_str().unwrap_or_default();
    let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    // The lab's first node lies in `twin`, others under their names beside it.
    let beside = store.twins.with_file_name(node);
    [store.twins.join(uid), beside.join(uid)]
        .into_iter()
        .find(|folder| crate::twin::log_of(folder, container).exists())
}

/// A command beside a pod, as its node's twin runs it.
fn exec(
    store: &Store,
    wanted: &Wanted,
    name: &str,
    query: Option<&str>,
    headers: &HeaderMap,
    upgrade: Option<OnUpgrade>,
) -> Response<Body> {
    let pod = store.get(&key(wanted, name));
    let Some(pod) = pod else {
        return reply(404, &missing(wanted, name).status());
    };
    let said = ask::pairs(query.unwrap_or_default());
    let container = said.iter().find(|(key, _)| key == "container");
    let container = container.map_or_else(|| "task".to_owned(), |(_, name)| name.clone());
    match (folder_of(store, &pod, &container), upgrade) {
        (Some(folder), Some(upgrade)) => {
            crate::twin::visit(upgrade, headers, Visited::of(folder, &container, said))
        }
        (_, _) => {
            let message = format!("container not found (\"{container}\") in pod \"{name}\"");
            reply(400, &refusal(400, "BadRequest", message).status())
        }
    }
}

/// What the pods of a node use.
fn usage(store: &Store, node: &str) -> Value {
    let (pods, _) = store.list("pods", "");
    let text =
        |pod: &Value, name: &str| pod["metadata"][name].as_str().unwrap_or_default().to_owned();
    let named: Vec<_> = pods
        .iter()
        .filter(|pod| pod["spec"]["nodeName"] == node)
        .map(|pod| (text(pod, "namespace"), text(pod, "name"), text(pod, "uid")))
        .collect();
    crate::twin::used(&named)
}
