//! A twin of a kubelet: it claims to be a node, runs the pods bound to it as processes of this
//! machine, and serves what they write, what they use and who visits them where an API server asks for
//! it. No images, no networks, no namespaces: a pod's command runs as it is, its Secret in files, its
//! folder a folder, of its own or of a volume.
//!
//! What it tells is what a kubelet tells: times to the second, exit statuses as a container runtime
//! says them, `OOMKilled`, `DeadlineExceeded`, one stream of output.

mod laying;
mod serving;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::StreamExt;
use k8s_openapi::api::core::v1::{Container, Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::{oneshot, watch};

use crate::ask;
use laying::lay_out;
pub use laying::log_of;
pub use serving::{Visited, body, used, visit};

/// What a node claims to have.
#[derive(Clone, Debug)]
pub struct Room {
    pub cpus: u32,
    pub memory: &'static str,
    pub pods: u32,
    /// Further resources, such as `nvidia.com/gpu`.
    pub more: BTreeMap<&'static str, u32>,
}

impl Default for Room {
    /// Room for hundreds of small pods: nothing is measured here.
    fn default() -> Self {
        Self { cpus: 512, memory: "2Ti", pods: 1_000, more: BTreeMap::new() }
    }
}

/// A node that lives as long as this.
pub struct Twin {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    folder: PathBuf,
    client: Client,
    /// By the pods' uids.
    pods: Mutex<BTreeMap<String, Running>>,
    /// Every pod that was ever started here, in order: what ran how often.
    started: Mutex<Vec<String>>,
    /// The pods' uids by what our scripts call their tasks.
    tasks: Mutex<BTreeMap<String, String>>,
    /// While it is silent it tells nothing and hears nothing; what runs goes on.
    silent: watch::Sender<bool>,
    /// Where an API server reaches it.
    address: IpAddr,
}

struct Running {
    pid: Option<i32>,
    /// Told when the pod is to go, with its grace.
    go: watch::Sender<Option<Duration>>,
}

impl Twin {
    pub fn start(name: &str, config: &Path, folder: &Path, room: &Room) -> Self {
        std::fs::create_dir_all(folder).expect("a folder");
        let runtime = ask::runtime();
        let client = runtime.block_on(ask::client(config));
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            folder: folder.to_owned(),
            client,
            pods: Mutex::default(),
            started: Mutex::default(),
            tasks: Mutex::default(),
            silent: watch::Sender::new(false),
            address: own_address(),
        });
        let port = runtime.block_on(serving::serve(Arc::clone(&shared)));
        runtime.block_on(register(&shared, room, port));
        let (stop, stopped) = oneshot::channel();
        let theirs = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = watch_pods(theirs) => {}
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        });
        Self { stop: Some(stop), thread: Some(thread), shared }
    }

    /// Which pods were started here, by name.
    pub fn started(&self) -> Vec<String> {
        self.shared.started.lock().expect("nobody panics holding it").clone()
    }

    /// Is a node that says nothing any more, though what it runs goes on; or is one again.
    pub fn be_silent(&self, silent: bool) {
        self.shared.silent.send_replace(silent);
    }

    /// API servers hand nothing on to loopback addresses, but for logs and visits.
    pub fn is_reached_by_proxy(&self) -> bool {
        !self.shared.address.is_loopback()
    }

    /// Where the folder of a task of ours lies, if it runs or ran here: its process says whose it
    /// is.
    pub fn work_of(&self, task: &str) -> Option<PathBuf> {
        let tasks = self.shared.tasks.lock().expect("nobody panics holding it");
        tasks.get(task).map(|uid| self.shared.folder.join(uid).join("work"))
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for uid in self.shared.pods.lock().expect("nobody panics holding it").keys() {
            kill_all(uid);
        }
    }
}

/// The address of this machine in its network, or its loopback where it is in none. Nothing is sent.
fn own_address() -> IpAddr {
    let asked = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // An address for documentation (RFC 5737): whatever is not local.
        socket.connect("192.0.2.1:9")?;
        socket.local_addr()
    });
    asked.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
}

async fn register(shared: &Shared, room: &Room, port: u16) {
    let nodes: Api<Node> = Api::all(shared.client.clone());
    let node = json!({
        "metadata": { "name": shared.name, "labels": { "kubernetes.io/hostname": shared.name } },
    });
    let node: Node = serde_json::from_value(node).expect("a node");
    nodes.create(&PostParams::default(), &node).await.expect("a node is made");
    let mut capacity = json!({
        "cpu": room.cpus.to_string(), "memory": room.memory, "pods": room.pods.to_string(),
        "ephemeral-storage": "1Ti",
    });
    for (name, count) in &room.more {
        capacity[*name] = json!(count.to_string());
    }
    let status = json!({ "status": {
        "capacity": capacity, "allocatable": capacity,
        "conditions": [{
            "type": "Ready", "status": "True", "reason": "KubeletReady",
            "lastTransitionTime": ask::now(), "lastHeartbeatTime": ask::now(),
        }],
        "addresses": [{ "type": "InternalIP", "address": shared.address.to_string() }],
        "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
    }});
    let patch = PatchParams::default();
    nodes.patch_status(&shared.name, &patch, &Patch::Merge(&status)).await.expect("it is ready");
    // Where a controller takes the taint of a new node away, it takes its moment.
    let clear = json!({ "spec": { "taints": null } });
    nodes.patch(&shared.name, &patch, &Patch::Merge(&clear)).await.expect("it takes pods");
}

async fn watch_pods(shared: Arc<Shared>) {
    let pods: Api<Pod> = Api::all(shared.client.clone());
    let ours = watcher::Config::default().fields(&format!("spec.nodeName={}", shared.name));
    let mut news = std::pin::pin!(watcher(pods, ours).default_backoff());
    let mut hears = shared.silent.subscribe();
    while let Some(event) = news.next().await {
        let _ = hears.wait_for(|silent| !silent).await;
        if let Ok(watcher::Event::Delete(pod)) = &event {
            // With the pod its folder goes, and its output.
            let uid = pod.metadata.uid.clone().unwrap_or_default();
            let _ = std::fs::remove_dir_all(shared.folder.join(uid));
        }
        if let Ok(watcher::Event::Apply(pod) | watcher::Event::InitApply(pod)) = event {
            see(&shared, pod);
        }
    }
}

fn see(shared: &Arc<Shared>, pod: Pod) {
    let (Some(uid), status) = (pod.metadata.uid.clone(), pod.status.clone().unwrap_or_default())
    else {
        return;
    };
    let over = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let mut pods = shared.pods.lock().expect("nobody panics holding it");
    if let Some(running) = pods.get(&uid) {
        if pod.metadata.deletion_timestamp.is_some() {
            let seconds = pod.metadata.deletion_grace_period_seconds.unwrap_or(0);
            let grace = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            running.go.send_if_modified(|known| {
                let sooner = known.is_none_or(|known| grace < known);
                if sooner {
                    *known = Some(grace);
                }
                sooner
            });
        }
        return;
    }
    if over || pod.metadata.deletion_timestamp.is_some() {
        if pod.metadata.deletion_timestamp.is_some() {
            // It never started here, or ended before: nothing of it is left.
            drop(pods);
            let (shared, over) = (Arc::clone(shared), over);
            tokio::spawn(async move {
                if !over {
                    tell(&shared, &pod, &failed_unstarted()).await;
                }
                let_go(&shared, &pod).await;
            });
        }
        return;
    }
    let (go, told) = watch::channel(None);
    pods.insert(uid.clone(), Running { pid: None, go });
    drop(pods);
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        run(&shared, &pod, told).await;
        // Its name stays known: it is not started twice.
        if let Some(running) = shared.pods.lock().expect("nobody panics holding it").get_mut(&uid) {
            running.pid = None;
        }
    });
}

fn failed_unstarted() -> Value {
    json!({ "phase": "Failed" })
}

/// Writes a pod's status, as long as it takes: a server may be away.
async fn tell(shared: &Shared, pod: &Pod, status: &Value) {
    let _ = shared.silent.subscribe().wait_for(|silent| !silent).await;
    let pods = api(shared, pod);
    let name = pod.metadata.name.clone().unwrap_or_default();
    for _ in 0..600 {
        let patch = json!({ "metadata": { "uid": pod.metadata.uid }, "status": status });
        match pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch)).await {
            Err(kube::Error::Api(answer)) if answer.code < 500 && answer.code != 429 => return,
            Ok(_) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

fn api(shared: &Shared, pod: &Pod) -> Api<Pod> {
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    Api::namespaced(shared.client.clone(), &namespace)
}

/// Confirms that nothing of a deleted pod is left.
async fn let_go(shared: &Shared, pod: &Pod) {
    let _ = shared.silent.subscribe().wait_for(|silent| !silent).await;
    let params = DeleteParams {
        preconditions: Some(kube::api::Preconditions {
            uid: pod.metadata.uid.clone(),
            resource_version: None,
        }),
        ..DeleteParams::default().grace_period(0)
    };
    let name = pod.metadata.name.clone().unwrap_or_default();
    for _ in 0..600 {
        match api(shared, pod).delete(&name, &params).await {
            Err(kube::Error::Api(answer)) if answer.code < 500 && answer.code != 429 => return,
            Ok(_) => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// How the containers of a pod stand, in the order in which they run: as its status says it.
struct States {
    names: Vec<(String, String)>,
    states: Vec<Value>,
}

impl States {
    fn of(containers: &[Container]) -> Self {
        let name = |one: &Container| (one.name.clone(), one.image.clone().unwrap_or_default());
        let waiting = json!({ "waiting": { "reason": "PodInitializing" } });
        Self {
            names: containers.iter().map(name).collect(),
            states: vec![waiting; containers.len()],
        }
    }

    fn told(&self, status: &mut Value) {
        let each = self.names.iter().zip(&self.states).map(|((name, image), state)| {
            let running = state.get("running").is_some();
            json!({
                "name": name, "image": image, "imageID": "twin", "restartCount": 0,
                "ready": running, "started": running, "state": state,
            })
        });
        let mut all: Vec<Value> = each.collect();
        let last = all.pop();
        status["containerStatuses"] = json!(last.into_iter().collect::<Vec<_>>());
        if !all.is_empty() {
            status["initContainerStatuses"] = json!(all);
        }
    }
}

/// How a process ended, for a status.
struct Ended {
    code: i32,
    reason: &'static str,
    pod_reason: Option<&'static str>,
}

/// The one image that there is: programs of this machine.
pub const IMAGE: &str = "twin/tools:1";

/// What a kubelet says of an image that does not come.
async fn cannot_fetch(
    shared: &Arc<Shared>,
    pod: &Pod,
    number: usize,
    states: &mut States,
    go: &mut watch::Receiver<Option<Duration>>,
) {
    let container = &in_order(pod)[number];
    let image = container.image.clone().unwrap_or_default();
    let (reason, message) = match container.image_pull_policy.as_deref() {
        Some("Never") => (
            "ErrImageNeverPull",
            format!("Container image \"{image}\" is not present with pull policy of Never"),
        ),
        _ => ("ImagePullBackOff", format!("Back-off pulling image \"{image}\"")),
    };
    states.states[number] = json!({ "waiting": { "reason": reason, "message": message } });
    let mut status = json!({ "phase": "Pending", "startTime": ask::now() });
    states.told(&mut status);
    tell(shared, pod, &status).await;
    let _ = go.wait_for(Option::is_some).await;
    tell(shared, pod, &failed_unstarted()).await;
    let_go(shared, pod).await;
}

/// A pod's containers, those before its own first.
fn in_order(pod: &Pod) -> Vec<Container> {
    let spec = pod.spec.as_ref().expect("it has one");
    let before = spec.init_containers.iter().flatten();
    before.chain(&spec.containers).cloned().collect()
}

fn condition(kind: &str, holds: &str) -> Value {
    json!({ "type": kind, "status": holds, "lastTransitionTime": ask::now() })
}

async fn run(shared: &Arc<Shared>, pod: &Pod, mut go: watch::Receiver<Option<Duration>>) {
    let uid = pod.metadata.uid.clone().expect("it has one");
    let containers = in_order(pod);
    let mut states = States::of(&containers);
    let deadline = pod.spec.as_ref().and_then(|spec| spec.active_deadline_seconds);
    let deadline = deadline.map(|seconds| {
        tokio::time::Instant::now() + Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
    });
    let mut ended = Ended { code: 0, reason: "Completed", pod_reason: None };
    for (number, container) in containers.iter().enumerate() {
        if container.image.as_deref() != Some(IMAGE) {
            cannot_fetch(shared, pod, number, &mut states, &mut go).await;
            return;
        }
        if number == 0 {
            let name = pod.metadata.name.clone().unwrap_or_default();
            shared.started.lock().expect("nobody panics holding it").push(name);
        }
        let one = One { pod, container, number, deadline };
        ended = run_one(shared, &one, &mut states, &mut go).await;
        // What comes after one that failed, or was told to go, is not begun.
        let told = go.borrow().is_some();
        if ended.code != 0 || ended.pod_reason.is_some() || (told && number + 1 < containers.len())
        {
            break;
        }
    }
    let all = states.states.iter().all(|state| state["terminated"]["exitCode"] == 0);
    let phase = if all && ended.pod_reason.is_none() { "Succeeded" } else { "Failed" };
    let mut status = json!({
        "phase": phase, "reason": ended.pod_reason,
        "conditions": [condition("Ready", "False"), condition("ContainersReady", "False"),
            condition("PodScheduled", "True")],
    });
    states.told(&mut status);
    std::fs::write(shared.folder.join(&uid).join("ended"), "").expect("writes");
    tell(shared, pod, &status).await;
    // When it is deleted, now or later, it is let go.
    let _ = go.wait_for(Option::is_some).await;
    let_go(shared, pod).await;
}

/// A container of a pod, and when the pod ends at the latest.
struct One<'a> {
    pod: &'a Pod,
    container: &'a Container,
    number: usize,
    deadline: Option<tokio::time::Instant>,
}

async fn run_one(
    shared: &Arc<Shared>,
    one: &One<'_>,
    states: &mut States,
    go: &mut watch::Receiver<Option<Duration>>,
) -> Ended {
    let One { pod, container, number, .. } = *one;
    let uid = pod.metadata.uid.clone().expect("it has one");
    let laid = lay_out(shared, pod, container).await;
    let log = std::fs::File::create(&laid.log).expect("a log");
    let mut command = tokio::process::Command::new(&laid.command[0]);
    command
        .args(&laid.command[1..])
        .current_dir(&laid.start)
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env(MARK, &uid)
        .env(CONTAINER, &container.name)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("it is open"))
        .stderr(log)
        .process_group(0);
    for variable in container.env.iter().flatten() {
        command.env(&variable.name, variable.value.clone().unwrap_or_default());
    }
    let mut child = command.spawn().expect("there is a shell");
    let pid = i32::try_from(child.id().expect("it lives")).expect("a pid");
    if let Some(running) = shared.pods.lock().expect("nobody panics holding it").get_mut(&uid) {
        running.pid = Some(pid);
    }
    let started = ask::now();
    states.states[number] = json!({ "running": { "startedAt": started } });
    let last = number + 1 == states.states.len();
    // As long as a pod initializes it is pending, whatever of it runs.
    let (phase, holds) = if last { ("Running", "True") } else { ("Pending", "False") };
    let mut status = json!({
        "phase": phase, "startTime": started, "podIP": "127.0.0.1",
        "podIPs": [{ "ip": "127.0.0.1" }], "hostIP": "127.0.0.1",
        "conditions": [condition("PodScheduled", "True"), condition("Initialized", holds),
            condition("ContainersReady", holds), condition("Ready", holds)],
    });
    states.told(&mut status);
    // Told while it runs, not before it may go on.
    let telling = tell(shared, pod, &status);
    let ending = until_ended(one, &uid, pid, &mut child, go);
    let ((), ended) = tokio::join!(telling, ending);
    // Nothing of a container outlives its first process.
    kill_all(&uid);
    let folder = shared.folder.join(&uid);
    std::fs::write(folder.join(format!("ended.{}", container.name)), "").expect("writes");
    states.states[number] = json!({ "terminated": {
        "exitCode": ended.code, "reason": ended.reason, "startedAt": started,
        "finishedAt": ask::now(), "message": last_words(&laid, ended.code),
    }});
    if !last && ended.code == 0 && ended.pod_reason.is_none() {
        let mut status = json!({ "phase": "Pending" });
        states.told(&mut status);
        tell(shared, pod, &status).await;
    }
    ended
}

/// What a container left as its last word; else, as `FallbackToLogsOnError` does, the last lines of what
/// one that failed has written.
fn last_words(laid: &laying::Laid, code: i32) -> Option<String> {
    let word = std::fs::read_to_string(&laid.word).unwrap_or_default();
    if !word.is_empty() {
        return Some(word);
    }
    let text = std::fs::read(&laid.log).ok().filter(|_| code != 0)?;
    let from = text.len().saturating_sub(2_048);
    Some(String::from_utf8_lossy(&text[from..]).into_owned())
}

async fn until_ended(
    one: &One<'_>,
    uid: &str,
    pid: i32,
    child: &mut tokio::process::Child,
    go: &mut watch::Receiver<Option<Duration>>,
) -> Ended {
    let One { container, deadline, .. } = *one;
    let limit = memory_limit(container);
    let mut kill_at: Option<tokio::time::Instant> = None;
    let (mut reason, mut pod_reason) = (None, None);
    let mut look = tokio::time::interval(Duration::from_millis(20));
    let mut told = false;
    loop {
        let far = tokio::time::Instant::now() + Duration::from_hours(24);
        tokio::select! {
            status = child.wait() => {
                let status = status.expect("it is ours");
                let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(255);
                let usual = if code == 0 { "Completed" } else { "Error" };
                return Ended { code, reason: reason.unwrap_or(usual), pod_reason };
            }
            changed = go.changed(), if !told || kill_at.is_some() => {
                let grace = *go.borrow_and_update();
                if let (Ok(()), Some(grace)) = (changed, grace) {
                    told = true;
                    signal(pid, 15);
                    // A stopped process hears nothing until it goes on.
                    signal(pid, 18);
                    let at = tokio::time::Instant::now() + grace;
                    kill_at = Some(kill_at.map_or(at, |known| known.min(at)));
                }
            }
            () = tokio::time::sleep_until(kill_at.unwrap_or(far)) => {
                kill_all(uid);
                signal(pid, 9);
                kill_at = Some(far);
            }
            () = tokio::time::sleep_until(deadline.unwrap_or(far)) => {
                pod_reason = Some("DeadlineExceeded");
                kill_all(uid);
                signal(pid, 9);
            }
            _ = look.tick() => {
                if limit.is_some_and(|limit| resident(uid, pid) > limit) {
                    reason = Some("OOMKilled");
                    kill_all(uid);
                    signal(pid, 9);
                }
            }
        }
    }
}

/// On every process of a pod, by which they are found.
const MARK: &str = "TWIN_POD";
/// And in which container it is.
const CONTAINER: &str = "TWIN_CONTAINER";

fn signal(pid: i32, number: i32) {
    if let (Some(pid), Some(signal)) =
        (rustix::process::Pid::from_raw(pid), rustix::process::Signal::from_named_raw(number))
    {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The processes of a pod.
fn processes(uid: &str) -> Vec<i32> {
    let mark = format!("{MARK}={uid}");
    let bears = |pid: i32| {
        let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|word| word == mark.as_bytes())
    };
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| bears(*pid))
        .collect()
}

fn kill_all(uid: &str) {
    // One that is being made while they are counted is found the next time.
    for _ in 0..1_000 {
        let left = processes(uid);
        if left.is_empty() {
            return;
        }
        for pid in left {
            signal(pid, 9);
        }
        std::thread::yield_now();
    }
}

/// Memory of a pod's first process and those of its group, in bytes.
fn resident(_: &str, pid: i32) -> u64 {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let children = children.unwrap_or_default();
    let all = children.split_whitespace().filter_map(|text| text.parse().ok());
    std::iter::once(pid).chain(all).map(pages).sum::<u64>() * 4_096
}

fn pages(pid: i32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn memory_limit(container: &Container) -> Option<u64> {
    container.resources.as_ref()?.limits.as_ref()?.get("memory")?.0.parse().ok()
}
