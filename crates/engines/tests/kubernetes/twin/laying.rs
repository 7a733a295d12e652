//! What a pod finds, laid out on this machine: its script from its Secret, its folder, and parts of
//! that at other places. As a kubelet does, it follows links of a volume on the node, and not out of it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::core::v1::{
    Container, PersistentVolume, PersistentVolumeClaim, Pod, Secret, Volume, VolumeMount,
};
use kube::Api;

use super::Shared;

/// What a container of a pod is on this machine: its script and folder are where they were put.
pub struct Laid {
    pub command: Vec<String>,
    /// Where it begins.
    pub start: PathBuf,
    pub log: PathBuf,
    /// Where it leaves its last word.
    pub word: PathBuf,
}

/// Where a pod's command begins.
const WORK: &str = "/work";
/// Where a container leaves its last word, unless its pod says otherwise.
const LAST_WORD: &str = "/dev/termination-log";

/// Where a container's script lies, in its pod's folder.
pub fn script_of(folder: &Path, container: &str) -> PathBuf {
    folder.join(format!("launch.{container}"))
}

pub async fn lay_out(shared: &Shared, pod: &Pod, container: &Container) -> Laid {
    let uid = pod.metadata.uid.clone().expect("it has one");
    let spec = pod.spec.as_ref().expect("it has one");
    let root = shared.folder.join(&uid);
    std::fs::create_dir_all(&root).expect("a folder");
    let mut command: Vec<String> = container.command.clone().unwrap_or_default();
    command.extend(container.args.clone().unwrap_or_default());
    let namespace = pod.metadata.namespace.clone().unwrap_or_default();
    let index = pod
        .metadata
        .annotations
        .as_ref()
        .and_then(|notes| notes.get("batch.kubernetes.io/job-completion-index"))
        .cloned()
        .unwrap_or_default();
    let expanded = |mount: &VolumeMount| {
        let path = mount.sub_path_expr.clone().or_else(|| mount.sub_path.clone());
        let path = path.unwrap_or_default();
        path.replace("$(JOB_COMPLETION_INDEX)", &index)
    };
    let volumes = spec.volumes.clone().unwrap_or_default();
    // Where in the pod, and where here.
    let mut places: Vec<(String, PathBuf)> = Vec::new();
    let mut script = None;
    for mount in container.volume_mounts.iter().flatten() {
        let volume = volumes.iter().find(|volume| volume.name == mount.name);
        let Some(volume) = volume else { continue };
        if let Some(secret) = volume.secret.as_ref().and_then(|of| of.secret_name.as_deref()) {
            let text = secret_text(shared, &namespace, secret, &expanded(mount)).await;
            let file = script_of(&root, &container.name);
            script = Some((file.clone(), text));
            places.push((mount.mount_path.clone(), file));
        } else if let Some(base) = base(shared, &namespace, volume, &root).await {
            places.push((mount.mount_path.clone(), on_volume(&base, &expanded(mount))));
        }
    }
    // The folder has one name on every node: what it is on is behind it.
    let work = root.join("work");
    match places.iter().find(|(at, real)| at == WORK && *real != work) {
        // A container before this one has it already.
        Some((_, real)) => drop(std::os::unix::fs::symlink(real, &work)),
        None => std::fs::create_dir_all(&work).expect("a folder"),
    }
    let word = root.join(format!("word.{}", container.name));
    std::fs::write(&word, "").expect("writes");
    let at = container.termination_message_path.as_deref().unwrap_or(LAST_WORD);
    places.push((at.to_owned(), word.clone()));
    // Of two places of which one is inside of the other the inner one counts.
    places.sort_by_key(|(at, _)| std::cmp::Reverse(at.len()));
    if let Some((file, text)) = script {
        let fence = text.lines().find_map(|line| line.strip_prefix("export DAYAN_FENCE="));
        if let Some((_, task)) = fence.and_then(|fence| fence.trim_matches('\'').split_once(':')) {
            let mut tasks = shared.tasks.lock().expect("nobody panics holding it");
            tasks.insert(task.to_owned(), uid.clone());
        }
        std::fs::write(file, seen_from_here(text, &places)).expect("writes");
    }
    let command = command.into_iter().map(|word| here(&places, word)).collect();
    let start = container.working_dir.as_deref().map_or(work, |at| below(&places, at));
    Laid { command, start, log: log_of(&root, &container.name), word }
}

/// What a container has written, in its pod's folder.
pub fn log_of(folder: &Path, container: &str) -> PathBuf {
    folder.join(format!("log.{container}"))
}

/// A place in the pod, or below one, as it is here. A runtime makes where a container begins.
fn below(places: &[(String, PathBuf)], path: &str) -> PathBuf {
    let found = places.iter().find_map(|(at, real)| {
        let rest = path.strip_prefix(at.as_str())?;
        let inside = rest.is_empty() || rest.starts_with('/');
        inside.then(|| real.join(rest.trim_start_matches('/')))
    });
    let Some(folder) = found else { return PathBuf::from(path) };
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A word of a command that is a place in the pod is that place here.
pub fn here(places: &[(String, PathBuf)], word: String) -> String {
    let found = places.iter().find(|(at, _)| *at == word);
    found.map_or(word, |(_, real)| real.to_string_lossy().into_owned())
}

/// A script as it is on a machine without namespaces: places in the pod are those here.
fn seen_from_here(mut text: String, places: &[(String, PathBuf)]) -> String {
    for (at, real) in places {
        let real = real.to_string_lossy();
        // Of the folder's own name only whole words: paths of this machine may have it in them.
        text = text.replace(&format!("'{at}/"), &format!("'{real}/"));
        text = text.replace(&format!("'{at}'"), &format!("'{real}'"));
        if at != WORK {
            text = text.replace(&format!(" {at}/"), &format!(" {real}/"));
        }
    }
    text
}

async fn secret_text(shared: &Shared, namespace: &str, secret: &str, key: &str) -> String {
    let secrets: Api<Secret> = Api::namespaced(shared.client.clone(), namespace);
    let data = loop {
        // A kubelet, too, waits for a Secret that is not there yet.
        match secrets.get(secret).await {
            Ok(secret) => break secret.data.unwrap_or_default(),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    String::from_utf8(data[key].0.clone()).expect("a script is text")
}

/// Where a volume's files lie on this machine; none for a pod's own `/tmp`, which is the machine's.
async fn base(shared: &Shared, namespace: &str, volume: &Volume, root: &Path) -> Option<PathBuf> {
    if volume.empty_dir.is_some() && volume.name == "work" {
        let own = root.join("work");
        std::fs::create_dir_all(&own).expect("a folder");
        return Some(own);
    }
    if let Some(host) = &volume.host_path {
        return Some(PathBuf::from(&host.path));
    }
    let claim = &volume.persistent_volume_claim.as_ref()?.claim_name;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(shared.client.clone(), namespace);
    let claim = claims.get(claim).await.expect("the scheduler has seen it");
    let name = claim.spec.and_then(|spec| spec.volume_name).expect("it is bound");
    let all: Api<PersistentVolume> = Api::all(shared.client.clone());
    let host = all.get(&name).await.expect("it is there").spec.and_then(|spec| spec.host_path);
    host.map(|host| PathBuf::from(host.path))
}

/// A place on a volume, its links followed, and not out of it.
fn on_volume(base: &Path, sub_path: &str) -> PathBuf {
    let base = base.canonicalize().expect("the volume is mounted");
    let wanted = base.join(sub_path);
    if !wanted.exists() {
        std::fs::create_dir_all(&wanted).expect("a folder");
    }
    let real = wanted.canonicalize().expect("it is there");
    assert!(real.starts_with(&base), "{} leads out of its volume", wanted.display());
    real
}
