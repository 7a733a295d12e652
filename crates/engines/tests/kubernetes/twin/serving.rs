//! What a kubelet serves on port 10250, to the API server: what pods write, what they use, and the way
//! in for a command beside them. The fake of an API server serves the same without one.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use futures_util::{SinkExt, StreamExt, stream};
use hyper::upgrade::OnUpgrade;
use hyper::{HeaderMap, Response};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use pty_process::OwnedWritePty;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::laying::log_of;
use super::{CONTAINER, MARK, Shared};

/// Serves them, with a certificate of its own.
pub async fn serve(shared: Arc<Shared>) -> u16 {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a key");
    let certificate = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der())
        .expect("it is one");
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], private)
        .expect("they belong together");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind((shared.address, 0)).await.expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    tokio::spawn(async move {
        while let Ok((stream, from)) = listener.accept().await {
            // It runs what it is told: by this machine, and by no other.
            if from.ip() != shared.address {
                continue;
            }
            let (acceptor, shared) = (acceptor.clone(), Arc::clone(&shared));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = hyper::service::service_fn(move |request| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, std::convert::Infallible>(answer(&shared, request).await) }
                });
                let io = hyper_util::rt::TokioIo::new(stream);
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(io, service)
                    .with_upgrades()
                    .await;
            });
        }
    });
    port
}

fn plain(code: u16, words: impl Into<String>) -> Response<Body> {
    Response::builder().status(code).body(Body::from(words.into())).expect("a plain answer")
}

async fn answer(
    shared: &Arc<Shared>,
    mut request: hyper::Request<hyper::body::Incoming>,
) -> Response<Body> {
    if *shared.silent.borrow() {
        return plain(503, "the node does not answer");
    }
    let path = request.uri().path().to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let query: Vec<(String, String)> = crate::ask::pairs(request.uri().query().unwrap_or_default());
    let says = |name: &str| query.iter().any(|(key, value)| key == name && value != "false");
    let missing = || plain(404, "there is no such container");
    match parts[..] {
        ["", "containerLogs", namespace, pod, container] => {
            let folder = folder(shared, namespace, pod).await;
            match folder.filter(|dir| log_of(dir, container).exists()) {
                Some(folder) => Response::new(body(&folder, container, says("follow"))),
                None => plain(
                    400,
                    format!("container \"{container}\" in pod \"{pod}\" is waiting to start"),
                ),
            }
        }
        ["", "exec", namespace, pod, container] => {
            let upgrade = request.extensions_mut().remove::<OnUpgrade>();
            match (folder(shared, namespace, pod).await, upgrade) {
                (Some(folder), Some(upgrade)) => {
                    let visited = Visited::of(folder, container, query);
                    visit(upgrade, request.headers(), visited)
                }
                (_, _) => missing(),
            }
        }
        ["", "stats", "summary"] => {
            let pods: Api<Pod> = Api::all(shared.client.clone());
            let ours = ListParams::default().fields(&format!("spec.nodeName={}", shared.name));
            let all = pods.list(&ours).await.map(|list| list.items).unwrap_or_default();
            let meta = |pod: &Pod| {
                let meta = &pod.metadata;
                Some((meta.namespace.clone()?, meta.name.clone()?, meta.uid.clone()?))
            };
            let named: Vec<_> = all.iter().filter_map(meta).collect();
            plain(200, used(&named).to_string())
        }
        _ => plain(404, "not here"),
    }
}

async fn folder(shared: &Shared, namespace: &str, pod: &str) -> Option<PathBuf> {
    let pods: Api<Pod> = Api::namespaced(shared.client.clone(), namespace);
    let uid = pods.get_opt(pod).await.ok().flatten()?.metadata.uid?;
    Some(shared.folder.join(uid))
}

/// A log, and what is still to come of it. It is read to its end although its pod may be removed
/// meanwhile.
pub fn body(folder: &Path, container: &str, follow: bool) -> Body {
    let log = log_of(folder, container);
    let file = std::fs::File::open(log).expect("it was there a moment ago");
    let end = folder.join(format!("ended.{container}"));
    let pieces = stream::unfold((end, file, 0u64), move |(end, file, offset)| async move {
        loop {
            let gone = end.parent().is_none_or(|folder| !folder.exists());
            let ended = !follow || end.exists() || gone;
            let data = read_from(&file, offset);
            if !data.is_empty() {
                let next = offset + data.len() as u64;
                return Some((Ok::<_, std::io::Error>(data), (end, file, next)));
            }
            if ended {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    Body::from_stream(pieces)
}

fn read_from(file: &std::fs::File, offset: u64) -> Vec<u8> {
    let mut piece = vec![0; 64 << 10];
    let read = std::os::unix::fs::FileExt::read_at(file, &mut piece, offset);
    piece.truncate(read.unwrap_or(0));
    piece
}

// --- what pods use ------------------------------------------------------------------------------

/// A summary of what these pods use, by namespace, name and uid: one look at the machine's processes.
pub fn used(pods: &[(String, String, String)]) -> Value {
    let mut by_uid: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
    let mark = format!("{MARK}=");
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        let value = |mark: &str| {
            let word =
                environment.split(|byte| *byte == 0).find_map(|w| w.strip_prefix(mark.as_bytes()));
            word.map(|word| String::from_utf8_lossy(word).into_owned())
        };
        let Some(uid) = value(&mark) else { continue };
        let container = value(&format!("{CONTAINER}=")).unwrap_or_default();
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // After the name: 12 and 13 are its own time, 14 and 15 that of children it has waited for.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks: u64 = (11..15).filter_map(|at| fields.get(at)?.parse::<u64>().ok()).sum();
        let pages: u64 = fields.get(21).and_then(|text| text.parse().ok()).unwrap_or(0);
        let known = by_uid.entry(uid).or_default();
        known.0 += ticks * 10_000_000;
        known.1 += pages * 4_096;
        known.2 = container;
    }
    let of = |(namespace, name, uid): &(String, String, String)| {
        let (nanos, bytes, container) = by_uid.get(uid)?;
        Some(json!({
            "podRef": { "name": name, "namespace": namespace, "uid": uid },
            "containers": [{
                "name": container, "cpu": { "usageCoreNanoSeconds": nanos },
                "memory": { "workingSetBytes": bytes },
            }],
        }))
    };
    json!({ "node": {}, "pods": pods.iter().filter_map(of).collect::<Vec<_>>() })
}

// --- a command beside a pod ---------------------------------------------------------------------

/// Whom a command is to run beside.
pub struct Visited {
    /// The pod's folder.
    pub folder: PathBuf,
    pub container: String,
    pub words: Vec<String>,
    /// Is it at a terminal?
    pub terminal: bool,
}

impl Visited {
    /// From what was asked for.
    pub fn of(folder: PathBuf, container: &str, query: Vec<(String, String)>) -> Self {
        let is = |name: &str, key: &str, value: &str| key == name && matches!(value, "true" | "1");
        Self {
            folder,
            container: container.to_owned(),
            terminal: query.iter().any(|(key, value)| is("tty", key, value)),
            words: query
                .into_iter()
                .filter(|(key, _)| key == "command")
                .map(|(_, word)| word)
                .collect(),
        }
    }
}

/// Changes over to a WebSocket and runs the command, with pipes or at a terminal.
pub fn visit(upgrade: OnUpgrade, headers: &HeaderMap, visited: Visited) -> Response<Body> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let spoken = text("sec-websocket-protocol").unwrap_or_default();
    let protocol = ["v5.channel.k8s.io", "v4.channel.k8s.io"];
    let Some(protocol) = protocol.into_iter().find(|one| spoken.contains(one)) else {
        return plain(400, "neither v5 nor v4");
    };
    let accept = derive_accept_key(text("sec-websocket-key").unwrap_or_default().as_bytes());
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let io = hyper_util::rt::TokioIo::new(upgraded);
        run(WebSocketStream::from_raw_socket(io, Role::Server, None).await, visited).await;
    });
    Response::builder()
        .status(101)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-accept", accept)
        .header("sec-websocket-protocol", protocol)
        .body(Body::empty())
        .expect("a plain answer")
}

type Upgraded = hyper_util::rt::TokioIo<hyper::upgrade::Upgraded>;

fn numbered(channel: u8, bytes: &[u8]) -> Message {
    Message::binary([&[channel], bytes].concat())
}

/// What a command is told by.
enum Told {
    Pipe(Option<tokio::process::ChildStdin>),
    Terminal(OwnedWritePty),
}

impl Told {
    async fn hear(&mut self, channel: u8, rest: &[u8]) {
        match (self, channel) {
            (Self::Pipe(pipe), 0) => {
                if let Some(open) = pipe
                    && open.write_all(rest).await.is_err()
                {
                    *pipe = None;
                }
            }
            (Self::Pipe(pipe), 255) if rest == [0] => *pipe = None,
            // Whoever does not read any more has ended.
            (Self::Terminal(terminal), 0) => drop(terminal.write_all(rest).await),
            (Self::Terminal(terminal), 4) => {
                let size: Value = serde_json::from_slice(rest).expect("a size");
                let side =
                    |name: &str| u16::try_from(size[name].as_u64().unwrap_or(0)).unwrap_or(0);
                let size = pty_process::Size::new(side("Height"), side("Width"));
                terminal.resize(size).expect("it is a terminal");
            }
            (Self::Pipe(_) | Self::Terminal(_), _) => {}
        }
    }
}

async fn run(socket: WebSocketStream<Upgraded>, visited: Visited) {
    let Visited { folder, container, words, terminal } = visited;
    let (mut send, mut heard) = socket.split();
    let script = ("/dayan/launch".to_owned(), super::laying::script_of(&folder, &container));
    let words: Vec<String> = words
        .into_iter()
        .map(|word| super::laying::here(std::slice::from_ref(&script), word))
        .collect();
    let uid = folder.file_name().unwrap_or_default().to_owned();
    let env = [
        ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
        (MARK.into(), uid),
        (CONTAINER.into(), container.into()),
    ];
    let env: [(std::ffi::OsString, std::ffi::OsString); 3] = env;
    let (say, mut said) = mpsc::channel::<Message>(16);
    let (mut child, mut told, outputs) = if terminal {
        let (pty, inner) = pty_process::open().expect("a terminal");
        let command = pty_process::Command::new(&words[0]).args(&words[1..]);
        let command = command.current_dir(folder.join("work")).env_clear().envs(env);
        let child = command.spawn(inner).expect("there is a shell");
        let (out, told) = pty.into_split();
        (child, Told::Terminal(told), vec![tokio::spawn(pump(1, out, say.clone()))])
    } else {
        let mut command = tokio::process::Command::new(&words[0]);
        command
            .args(&words[1..])
            .current_dir(folder.join("work"))
            .env_clear()
            .envs(env)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().expect("there is a shell");
        let outputs = vec![
            tokio::spawn(pump(1, child.stdout.take().expect("piped"), say.clone())),
            tokio::spawn(pump(2, child.stderr.take().expect("piped"), say.clone())),
        ];
        let stdin = child.stdin.take();
        (child, Told::Pipe(stdin), outputs)
    };
    let hearing = tokio::spawn(async move {
        while let Some(Ok(message)) = heard.next().await {
            let Message::Binary(bytes) = message else { continue };
            if let Some((channel, rest)) = bytes.split_first() {
                told.hear(*channel, rest).await;
            }
        }
    });
    let sending = tokio::spawn(async move {
        while let Some(message) = said.recv().await {
            if send.send(message).await.is_err() {
                return;
            }
        }
        let _ = send.close().await;
    });
    let status = child.wait().await.expect("it is ours");
    for output in outputs {
        let _ = output.await;
    }
    let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(255);
    let word = if code == 0 {
        json!({ "metadata": {}, "status": "Success" })
    } else {
        json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code {code}"),
            "details": { "causes": [{ "reason": "ExitCode", "message": code.to_string() }] },
        })
    };
    let _ = say.send(numbered(3, word.to_string().as_bytes())).await;
    drop(say);
    let _ = sending.await;
    hearing.abort();
}

/// What a command says, until it ends; who it leaves behind is waited for, as a runtime does.
async fn pump(channel: u8, mut pipe: impl AsyncRead + Unpin, say: mpsc::Sender<Message>) {
    let mut piece = vec![0; 16 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut piece).await {
        if say.send(numbered(channel, &piece[..count])).await.is_err() {
            return;
        }
    }
}
