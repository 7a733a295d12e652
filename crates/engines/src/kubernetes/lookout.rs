//! A cluster as it is now, kept fresh by watches: for who shows it, apart from who runs tasks in it.
//!
//! Invariant: a cluster that does not answer is shown as it was last seen. What may not be read
//! (nodes of a cluster, pods of others) is said in words, and the picture is made of the rest.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};

use dayan_units::Span;
use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};

use super::Site;
use super::connect::{self, client};
use super::survey::{self, Survey};
use super::usage;
use super::volume::agent_name;
use crate::Fault;
use crate::keeper::Folder;

/// How long the first picture may take.
const FIRST_WITHIN: Span = Span::from_secs(20);

/// Objects of one kind, by namespace and name.
type All<K> = BTreeMap<(String, String), K>;

#[derive(Default)]
struct Seen {
    nodes: Option<All<Node>>,
    pods: Option<All<Pod>>,
    quotas: Option<All<ResourceQuota>>,
    version: String,
    /// Who says what tasks use, in words.
    usage: &'static str,
    /// What does not work, by what it is about.
    trouble: BTreeMap<&'static str, String>,
}

#[derive(Default)]
struct Shared {
    seen: Mutex<Seen>,
    changed: Condvar,
}

/// Watches a cluster for as long as it lives.
pub struct Lookout {
    shared: Arc<Shared>,
    site: Site,
    agent: String,
    /// Dropped with this; the thread then ends.
    _alive: tokio::sync::oneshot::Sender<()>,
}

impl fmt::Debug for Lookout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookout").field("site", &self.site).finish_non_exhaustive()
    }
}

impl Lookout {
    /// Begins to watch. `dir` is the engine's folder, by which its own pods are known.
    pub fn start(site: Site, dir: &Path) -> Result<Self, Fault> {
        let folder = Folder::open(dir).map_err(Fault::io("opening the engine's folder"))?;
        let agent = agent_name(&folder).map_err(Fault::io("naming the agent"))?;
        let runtime = runtime()?;
        let client = runtime.block_on(client(&site))?;
        let shared = Arc::new(Shared::default());
        let (alive, gone) = tokio::sync::oneshot::channel::<()>();
        let (theirs, namespace) = (Arc::clone(&shared), site.namespaces.only());
        let work = move || {
            runtime.block_on(async {
                tokio::select! {
                    () = watch_all(&theirs, client, namespace) => {}
                    _ = gone => {}
                }
            });
            runtime.shutdown_background();
        };
        std::thread::Builder::new()
            .name("kubernetes-lookout".to_owned())
            .spawn(work)
            .map_err(Fault::io("starting a thread"))?;
        Ok(Self { shared, site, agent, _alive: alive })
    }

    /// As it is now, or as it was last seen. The first time it waits for an answer.
    pub fn look(&self) -> Result<Survey, Fault> {
        let seen = self.shared.seen.lock().expect("no thread panics holding it");
        let known = |seen: &mut Seen| {
            let heard = |known: bool, what| known || seen.trouble.contains_key(what);
            !(heard(seen.nodes.is_some(), NODES) && heard(seen.pods.is_some(), PODS))
        };
        let (seen, _) = self
            .shared
            .changed
            .wait_timeout_while(seen, FIRST_WITHIN.to_std(), known)
            .expect("no thread panics holding it");
        let Some(nodes) = &seen.nodes else {
            let words = seen.trouble.get(NODES).cloned();
            let words = words.unwrap_or_else(|| format!("no answer within {FIRST_WITHIN}"));
            return Err(Fault::Unreachable(format!("looking at the nodes: {words}")));
        };
        let nodes: Vec<Node> = nodes.values().cloned().collect();
        let pods: Vec<Pod> = seen.pods.iter().flat_map(|pods| pods.values().cloned()).collect();
        let quotas: Vec<_> =
            seen.quotas.iter().flat_map(BTreeMap::values).map(survey::quota).collect();
        let mut survey = survey::survey(&nodes, &pods, &quotas, &self.site, &self.agent);
        survey.version.clone_from(&seen.version);
        let others = match (&seen.pods, seen.trouble.get(PODS)) {
            (Some(_), _) => "seen".to_owned(),
            (None, words) => format!("not seen: {}", words.map_or("no answer", String::as_str)),
        };
        let namespace = self
            .site
            .namespaces
            .only()
            .unwrap_or_else(|| format!("by organisation: {}", self.site.namespaces.pattern));
        let usage = if seen.usage.is_empty() { "not known yet" } else { seen.usage };
        let folders = self.site.volume.as_ref();
        let folders = folders.map_or_else(|| "in the pods only".to_owned(), ToString::to_string);
        survey.about = [
            ("others", others),
            ("namespace", namespace),
            ("usage", usage.to_owned()),
            ("folders", folders),
        ]
        .map(|(name, words)| (name.to_owned(), words))
        .into();
        Ok(survey)
    }
}

const NODES: &str = "nodes";
const PODS: &str = "pods";
const QUOTAS: &str = "quotas";

/// A thread's own runtime.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Fault> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::io("making a runtime"))
}

async fn watch_all(shared: &Shared, client: Client, namespace: Option<String>) {
    let nodes = watch::<Node>(shared, NODES, Api::all(client.clone()), |seen| &mut seen.nodes);
    let pods = watch::<Pod>(shared, PODS, Api::all(client.clone()), |seen| &mut seen.pods);
    let quotas = async {
        // Where each organisation has its own, the engine asks for theirs.
        if let Some(namespace) = &namespace {
            let api = Api::namespaced(client.clone(), namespace);
            watch::<ResourceQuota>(shared, QUOTAS, api, |seen| &mut seen.quotas).await;
        }
    };
    let version = async {
        if let Ok(version) = client.apiserver_version().await {
            shared.seen.lock().expect("no thread panics holding it").version = version.git_version;
        }
        let source = usage::source(&client, namespace.as_deref()).await;
        shared.seen.lock().expect("no thread panics holding it").usage = source.words();
    };
    tokio::join!(nodes, pods, quotas, version);
}

async fn watch<K>(
    shared: &Shared,
    what: &'static str,
    api: Api<K>,
    of: fn(&mut Seen) -> &mut Option<All<K>>,
) where
    K: Resource + Clone + fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let key = |one: &K| {
        let meta = one.meta();
        (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
    };
    // Thousands of pods are kept: what nobody here reads is not.
    let light = |mut one: K| {
        let meta = one.meta_mut();
        (meta.managed_fields, meta.annotations) = (None, None);
        one
    };
    let mut fresh = All::new();
    let mut news = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = news.next().await {
        let mut seen = shared.seen.lock().expect("no thread panics holding it");
        match event {
            Ok(watcher::Event::Init) => fresh.clear(),
            Ok(watcher::Event::InitApply(one)) => {
                fresh.insert(key(&one), light(one));
            }
            Ok(watcher::Event::InitDone) => {
                *of(&mut seen) = Some(std::mem::take(&mut fresh));
                seen.trouble.remove(what);
            }
            Ok(watcher::Event::Apply(one)) => {
                of(&mut seen).get_or_insert_default().insert(key(&one), light(one));
            }
            Ok(watcher::Event::Delete(one)) => {
                of(&mut seen).get_or_insert_default().remove(&key(&one));
            }
            Err(error) => {
                let words = connect::chain(&error);
                if seen.trouble.insert(what, words.clone()).is_none() {
                    tracing::warn!(words, "cannot watch the cluster's {what}; tried again");
                }
            }
        }
        drop(seen);
        shared.changed.notify_all();
    }
}
