//! The engine's errands to the API server, on a thread of its own: a server that is slow or away
//! keeps nobody from hearing of ends and from moving leases.
//!
//! Invariant: every errand is answered once, and each has a limit. A watch that breaks begins
//! again with everything that is there. No errand is repeated here; whoever gave it decides.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use dayan_units::{AttemptId, Span};
use futures_util::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use kube::api::ListParams;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource};
use tokio::sync::{Semaphore, mpsc};

use super::beside::{self, NotRun, Pipes, Terminal, Where};
use super::connect::{self, Answer};
use super::jobs::{self, JobSeen};
use super::making::{self, Made};
use super::manifest::Manifests;
use super::names::{BatchName, LABEL_AGENT};
use super::pods::{self, PodSeen};
use super::reading::{self, Ended, Output};
use super::survey::{self, Quota};
use super::usage::{self, AllUsed, Source};
use super::visitor::{All, marked};
use crate::{BootClock, BootTime, Waker};

/// Questions at once: an API server gives one client a share of its own of some dozens.
const AT_ONCE: usize = 16;
/// What a command that sends a signal says is not listened to beyond this.
const SAID_MAX: usize = 4;
/// Outputs followed at once: each keeps a connection through the API server to a node open.
const FOLLOWED_MAX: usize = 64;

/// Something to be done.
#[derive(Debug)]
pub(crate) enum Errand {
    /// Make the objects of a batch.
    Make { batch: BatchName, manifests: Box<Manifests> },
    /// Tell the cluster another deadline of a job.
    Deadline { batch: BatchName, seconds: i64 },
    /// Ask for a pod to be ended.
    EndPod { attempt: AttemptId, namespace: String, name: String, uid: String, grace_seconds: u32 },
    /// Remove a job and what belongs to it.
    Remove { batch: BatchName },
    /// Why has a job no pods?
    Complaint { batch: BatchName },
    /// Watch what becomes of our jobs and pods in a namespace.
    Watch { namespace: String },
    /// Write down what a task writes, while it runs.
    Follow { output: Output },
    /// Read all that a task wrote.
    Read { attempt: AttemptId, output: Output, steps: Ended },
    /// What is there besides: quotas, the accelerators' name, the clock.
    Picture { namespaces: Vec<String> },
    /// What do pods of ours use?
    Usage { namespaces: Vec<String>, nodes: Vec<String> },
    /// Send a signal to the processes with a mark in a pod that catch it.
    Signal {
        attempt: AttemptId,
        namespace: String,
        pod: String,
        container: String,
        mark: String,
        number: i32,
    },
    /// Remove folders, when there is time.
    Sweep { folders: Vec<PathBuf> },
}

/// What a watch says.
#[derive(Debug)]
pub(crate) enum News<T> {
    /// It is there, and so.
    Seen(T),
    /// It is gone.
    Gone(T),
    /// These and no others are there, or were when they began to be listed: what was made since may
    /// be missing.
    All { began: BootTime, all: Vec<T> },
}

/// What was done.
#[derive(Debug)]
pub(crate) enum Done {
    Made {
        batch: BatchName,
        made: Made,
    },
    Moved {
        batch: BatchName,
        seconds: i64,
        outcome: Result<(), Answer>,
    },
    Asked {
        attempt: AttemptId,
        outcome: Result<(), Answer>,
    },
    Removed {
        batch: BatchName,
        outcome: Result<(), Answer>,
    },
    Complaint {
        batch: BatchName,
        words: Option<String>,
    },
    Pods {
        namespace: String,
        news: Box<News<PodSeen>>,
    },
    Jobs {
        namespace: String,
        news: News<JobSeen>,
    },
    /// A watch does not work, in these words.
    Blind {
        namespace: String,
        words: String,
    },
    Read {
        attempt: AttemptId,
    },
    Picture(Picture),
    Usage {
        source: Source,
        used: AllUsed,
    },
}

/// What is there besides tasks.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    /// How far the API server's clock is ahead.
    pub ahead: Option<Span>,
    pub quotas: BTreeMap<String, Vec<Quota>>,
    /// The first known resource of accelerators that a node shows.
    pub accelerator: Option<String>,
    /// The API server's version.
    pub version: Option<String>,
    /// May commands be run in pods?
    pub may_exec: Option<bool>,
}

/// The engine's side.
pub(crate) struct Clerk {
    errands: mpsc::UnboundedSender<Errand>,
    done: Receiver<Done>,
}

impl Clerk {
    /// Starts the thread; `bell` is rung when something was done. It ends when this is dropped.
    pub(crate) fn start(
        runtime: tokio::runtime::Runtime,
        clock: BootClock,
        client: Client,
        agent: String,
        within: Span,
        bell: Waker,
    ) -> io::Result<Self> {
        let (errands, inbox) = mpsc::unbounded_channel();
        let (say, done) = channel();
        let desk = Arc::new(Desk {
            clock,
            client,
            agent,
            within,
            say,
            bell,
            at_once: Semaphore::new(AT_ONCE),
            followed: Semaphore::new(FOLLOWED_MAX),
            following: Mutex::default(),
        });
        let work = move || {
            runtime.block_on(desk.run(inbox));
            // What is still being asked is of no use to anybody.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("kubernetes-clerk".to_owned()).spawn(work)?;
        Ok(Self { errands, done })
    }

    pub(crate) fn send(&self, errand: Errand) {
        // The thread lives as long as this does.
        let _ = self.errands.send(errand);
    }

    pub(crate) fn done(&self) -> Vec<Done> {
        self.done.try_iter().collect()
    }
}

struct Desk {
    clock: BootClock,
    client: Client,
    agent: String,
    within: Span,
    say: Sender<Done>,
    bell: Waker,
    at_once: Semaphore,
    followed: Semaphore,
    /// Held while a pod's output is followed: what was followed is whole when it is free.
    following: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Desk {
    async fn run(self: Arc<Self>, mut inbox: mpsc::UnboundedReceiver<Errand>) {
        while let Some(errand) = inbox.recv().await {
            tokio::spawn(Arc::clone(&self).errand(errand));
        }
    }

    fn say(&self, done: Done) {
        // Whoever asked may be gone; then the thread ends too.
        if self.say.send(done).is_ok() {
            self.bell.wake();
        }
    }

    /// What is held while a pod's output is followed.
    fn alone(&self, pod: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut following = self.following.lock().expect("nobody panics holding it");
        Arc::clone(following.entry(pod.to_owned()).or_default())
    }

    /// A question with its limit, one of so many at once.
    async fn ask<T>(&self, what: impl Future<Output = T>, late: impl FnOnce(String) -> T) -> T {
        let _turn = self.at_once.acquire().await.expect("never closed");
        match tokio::time::timeout(self.within.to_std(), what).await {
            Ok(answer) => answer,
            Err(_) => late(format!("no answer within {}", self.within)),
        }
    }

    async fn errand(self: Arc<Self>, errand: Errand) {
        let client = &self.client;
        let unsure = |words| Err(Answer::Unsure(words));
        match errand {
            Errand::Make { batch, manifests } => {
                let made = self.ask(making::make(client, &batch, &manifests), Made::Unsure).await;
                self.say(Done::Made { batch, made });
            }
            Errand::Deadline { batch, seconds } => {
                let moving = making::move_deadline(client, &batch, seconds);
                let outcome = self.ask(moving, unsure).await;
                self.say(Done::Moved { batch, seconds, outcome });
            }
            Errand::EndPod { attempt, namespace, name, uid, grace_seconds } => {
                let ending = making::end_pod(client, &namespace, &name, &uid, grace_seconds);
                let outcome = self.ask(ending, unsure).await;
                self.say(Done::Asked { attempt, outcome });
            }
            Errand::Remove { batch } => {
                let outcome = self.ask(making::remove(client, &batch), unsure).await;
                self.say(Done::Removed { batch, outcome });
            }
            Errand::Complaint { batch } => {
                let asking = making::complaint(client, &batch);
                let words = self.ask(asking, |words| Err(Answer::Unsure(words))).await;
                self.say(Done::Complaint { batch, words: words.unwrap_or(None) });
            }
            Errand::Watch { namespace } => {
                let pods = Arc::clone(&self).watch::<Pod, _>(namespace.clone(), pods::read, {
                    let namespace = namespace.clone();
                    move |news| Done::Pods { namespace: namespace.clone(), news: Box::new(news) }
                });
                let jobs = Arc::clone(&self).watch::<Job, _>(namespace.clone(), jobs::read, {
                    move |news| Done::Jobs { namespace: namespace.clone(), news }
                });
                tokio::join!(pods, jobs);
            }
            Errand::Follow { output } => {
                let Ok(_turn) = self.followed.try_acquire() else { return };
                let alone = self.alone(&output.pod);
                let _alone = alone.lock().await;
                if let Err(why) = reading::follow(client, &output).await {
                    tracing::debug!(why, "cannot follow an output; it is read when its task ends");
                }
            }
            Errand::Read { attempt, output, steps } => {
                let alone = self.alone(&output.pod);
                let read = self
                    .ask(
                        async {
                            // Should its pod be gone by now, what was followed is all there is.
                            let _alone = alone.lock().await;
                            reading::whole(client, &output, &steps).await
                        },
                        Err,
                    )
                    .await;
                self.following.lock().expect("nobody panics holding it").remove(&output.pod);
                if let Err(why) = read {
                    tracing::warn!(%attempt, why, "its output could not be read");
                }
                self.say(Done::Read { attempt });
            }
            Errand::Usage { namespaces, nodes } => {
                let asking = usage::ask(client, &self.agent, &namespaces, &nodes);
                let nothing = |_| (Source::Nobody, AllUsed::new());
                let (source, used) = self.ask(asking, nothing).await;
                self.say(Done::Usage { source, used });
            }
            Errand::Signal { attempt, namespace, pod, container, mark, number } => {
                // What a shell may say of processes that went meanwhile is of no interest.
                let (output, _nobody) = mpsc::channel(SAID_MAX);
                let pipes = Pipes { input: None, output, terminal: Terminal::No };
                let at = Where { namespace: &namespace, pod: &pod, container: &container };
                let words = marked(&mark, number, All::Catching);
                let sending = beside::run(client, &at, &words, pipes);
                let late = |words| Err(NotRun::Failed(words));
                match self.ask(sending, late).await {
                    Ok(_) | Err(NotRun::Gone(_)) => {}
                    Err(NotRun::Failed(why)) => {
                        tracing::warn!(%attempt, why, "it could not be sent a signal");
                    }
                }
            }
            Errand::Sweep { folders } => {
                let sweeping = tokio::task::spawn_blocking(move || {
                    for folder in folders {
                        if let Err(error) = std::fs::remove_dir_all(&folder) {
                            tracing::warn!(%error, folder = %folder.display(), "cannot remove it");
                        }
                    }
                });
                // It says itself what went wrong.
                let _ = sweeping.await;
            }
            Errand::Picture { namespaces } => {
                let picture = self.picture(namespaces).await;
                self.say(Done::Picture(picture));
            }
        }
    }

    /// Watches for as long as the engine lives. After a break (a server that restarts, a version
    /// that has expired) everything is read again and said as all there is.
    async fn watch<K, T>(
        self: Arc<Self>,
        namespace: String,
        read: fn(&K) -> Option<T>,
        done: impl Fn(News<T>) -> Done,
    ) where
        K: Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
        K::DynamicType: Default,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), &namespace);
        let ours = watcher::Config::default().labels(&format!("{LABEL_AGENT}={}", self.agent));
        let mut news = std::pin::pin!(watcher(api, ours).default_backoff());
        let (mut began, mut all) = (self.clock.now(), Vec::new());
        while let Some(event) = news.next().await {
            let one = match event {
                Ok(watcher::Event::Init) => {
                    began = self.clock.now();
                    all.clear();
                    None
                }
                Ok(watcher::Event::InitApply(one)) => {
                    all.extend(read(&one));
                    None
                }
                Ok(watcher::Event::InitDone) => {
                    Some(News::All { began, all: std::mem::take(&mut all) })
                }
                Ok(watcher::Event::Apply(one)) => read(&one).map(News::Seen),
                Ok(watcher::Event::Delete(one)) => read(&one).map(News::Gone),
                Err(error) => {
                    let words = connect::chain(&error);
                    self.say(Done::Blind { namespace: namespace.clone(), words });
                    None
                }
            };
            if let Some(one) = one {
                self.say(done(one));
            }
        }
    }

    async fn picture(&self, namespaces: Vec<String>) -> Picture {
        let mut picture = Picture::default();
        let asking = connect::ahead(&self.client);
        picture.ahead = self.ask(asking, |_| Ok(None)).await.unwrap_or_default();
        let asking = connect::may_exec(&self.client, namespaces.first().map(String::as_str));
        picture.may_exec = self.ask(asking, |_| None).await;
        let version = self
            .ask(self.client.apiserver_version(), |words| Err(kube::Error::Service(words.into())));
        picture.version = version.await.ok().map(|version| version.git_version);
        for namespace in namespaces {
            let api: Api<ResourceQuota> = Api::namespaced(self.client.clone(), &namespace);
            let params = ListParams::default();
            let quotas =
                self.ask(api.list(&params), |words| Err(kube::Error::Service(words.into())));
            match quotas.await {
                Ok(list) => {
                    let quotas = list.items.iter().map(survey::quota).collect();
                    picture.quotas.insert(namespace, quotas);
                }
                Err(error) => tracing::debug!(%error, namespace, "its quotas cannot be read"),
            }
        }
        let nodes: Api<Node> = Api::all(self.client.clone());
        let nodes = self.ask(
            async {
                let list = nodes.list(&ListParams::default()).await;
                list.map(|list| list.items)
            },
            |words| Err(kube::Error::Service(words.into())),
        );
        picture.accelerator = nodes.await.ok().and_then(|nodes| survey::known_accelerator(&nodes));
        picture
    }
}
