//! The objects, their versions, and what happened lately.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ask;

/// What is remembered of what happened: a watch that begins before is told that it is too late.
const HISTORY_MAX: usize = 20_000;

/// An object's place: its kind's plural, its namespace (none: of the whole cluster), its name.
pub type Key = (String, String, String);

/// Something that happened to an object.
#[derive(Clone)]
pub struct Happened {
    pub version: u64,
    pub kind: &'static str,
    pub object: Arc<Value>,
    /// As it was before, for watches by what an object has ceased to be.
    pub before: Option<Arc<Value>>,
}

#[derive(Default)]
struct Inside {
    objects: BTreeMap<Key, Arc<Value>>,
    version: u64,
    /// What happened, newest last; older versions than the first one's are not known.
    history: VecDeque<Happened>,
    since: u64,
    /// What tells the uids of this fake from those of another on this machine.
    salt: u16,
    uids: u64,
}

/// All of it.
pub struct Store {
    inside: Mutex<Inside>,
    /// The newest version; changes with it.
    pub newest: watch::Sender<u64>,
    /// Where the twins of kubelets keep what pods write, by node: beside this folder.
    pub twins: PathBuf,
}

/// An answer that is an error, as Kubernetes says it.
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

pub fn refusal(code: u16, reason: &'static str, message: impl Into<String>) -> Refusal {
    Refusal { code, reason, message: message.into() }
}

impl Refusal {
    pub fn status(&self) -> Value {
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": self.message, "reason": self.reason, "code": self.code,
        })
    }
}

/// What a change makes of an object: the new one, or none to remove it.
pub type Change<'a> = dyn FnMut(Option<&Value>) -> Result<Option<Value>, Refusal> + 'a;

impl Store {
    pub fn new(twins: PathBuf) -> Self {
        let salt = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), &twins);
        let salt = u16::try_from(salt & 0xffff).expect("it is cut to fit");
        let inside = Inside { version: 1, since: 1, salt, ..Inside::default() };
        Self { inside: Mutex::new(inside), newest: watch::Sender::new(1), twins }
    }

    pub fn version(&self) -> u64 {
        self.inside.lock().expect("nobody panics holding it").version
    }

    /// Forgets what happened, as a restart does.
    pub fn forget_versions(&self) {
        let mut inside = self.inside.lock().expect("nobody panics holding it");
        inside.history.clear();
        inside.version += 1;
        inside.since = inside.version;
    }

    pub fn get(&self, key: &Key) -> Option<Arc<Value>> {
        self.inside.lock().expect("nobody panics holding it").objects.get(key).cloned()
    }

    /// Objects of a kind, and the version they are of. An empty namespace is all of them.
    pub fn list(&self, plural: &str, namespace: &str) -> (Vec<Arc<Value>>, u64) {
        let inside = self.inside.lock().expect("nobody panics holding it");
        let from = (plural.to_owned(), namespace.to_owned(), String::new());
        let all = inside
            .objects
            .range(from..)
            .take_while(|((kind, of, _), _)| {
                kind == plural && (namespace.is_empty() || of == namespace)
            })
            .map(|(_, object)| Arc::clone(object));
        (all.collect(), inside.version)
    }

    /// What happened after a version; none if that is not known any more.
    pub fn after(&self, version: u64) -> Option<Vec<Happened>> {
        let inside = self.inside.lock().expect("nobody panics holding it");
        if version < inside.since {
            return None;
        }
        let first = inside.history.partition_point(|one| one.version <= version);
        Some(inside.history.range(first..).cloned().collect())
    }

    /// Changes an object, or leaves all as it was.
    pub fn change(&self, key: &Key, change: &mut Change<'_>) -> Result<Arc<Value>, Refusal> {
        let mut inside = self.inside.lock().expect("nobody panics holding it");
        let before = inside.objects.get(key).cloned();
        let after = change(before.as_deref())?;
        if after.as_ref() == before.as_deref() {
            return Ok(Arc::new(after.unwrap_or_default()));
        }
        inside.version += 1;
        let version = inside.version;
        let (kind, mut object) = match (&before, after) {
            (None, Some(object)) => ("ADDED", object),
            (Some(_), Some(object)) => ("MODIFIED", object),
            (Some(before), None) => ("DELETED", Value::clone(before)),
            (None, None) => unreachable!("equal ones are done with"),
        };
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        if kind == "ADDED" {
            inside.uids += 1;
            let pid = std::process::id();
            let uid = format!("{pid:08x}-{:04x}-4000-8000-{:012x}", inside.salt, inside.uids);
            object["metadata"]["uid"] = json!(uid);
            object["metadata"]["creationTimestamp"] = json!(ask::now());
        }
        let object = Arc::new(object);
        if kind == "DELETED" {
            inside.objects.remove(key);
        } else {
            inside.objects.insert(key.clone(), Arc::clone(&object));
        }
        let happened = Happened { version, kind, object: Arc::clone(&object), before };
        inside.history.push_back(happened);
        if inside.history.len() > HISTORY_MAX {
            let oldest = inside.history.pop_front().map_or(0, |one| one.version);
            inside.since = oldest;
        }
        drop(inside);
        self.newest.send_replace(version);
        Ok(object)
    }

    /// Asks for an object to be removed, with so much grace; at once where it needs none.
    pub fn delete(
        &self,
        key: &Key,
        grace: Option<i64>,
        uid: Option<&str>,
    ) -> Result<Arc<Value>, Refusal> {
        let missing = || refusal(404, "NotFound", format!("{} \"{}\" not found", key.0, key.2));
        self.change(key, &mut |object| {
            let mut object = object.cloned().ok_or_else(missing)?;
            if uid.is_some_and(|uid| object["metadata"]["uid"] != uid) {
                let message = "Precondition failed: UID in precondition";
                return Err(refusal(409, "Conflict", message));
            }
            let usual = object["spec"]["terminationGracePeriodSeconds"].as_i64().unwrap_or(30);
            let grace = grace.unwrap_or(usual);
            let bound = object["spec"].get("nodeName").is_some();
            // A pod on a node is let go by its kubelet, with no grace left.
            if key.0 != "pods" || !bound || grace == 0 && is_let_go(&object) {
                return Ok(None);
            }
            let known = object["metadata"]["deletionGracePeriodSeconds"].as_i64();
            if known.is_none_or(|known| grace < known) {
                object["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
                object["metadata"]["deletionTimestamp"] = json!(ask::now());
            }
            Ok(Some(object))
        })
    }
}

/// Has its kubelet ended it?
fn is_let_go(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}
