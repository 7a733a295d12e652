//! From a batch of launches to the objects that run it: a Job, the Secret of its scripts, and for a
//! gang the headless Service by which its members find each other. Pure.
//!
//! Invariant: whatever happens to a pod, its index is not run again: no retries, no restarts. What
//! is asked for is what may be used: requests are limits.

use dayan_units::{AttemptId, Bytes, MilliCpu, Span};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::Site;
use super::names::{BatchName, LABEL_AGENT, LABEL_BATCH, NOTE_ATTEMPTS, attempts_note};
use super::script::{SCRIPT, WORK};
use super::site::Volume;
use super::steps::{self, NOTE_STEPS};
use super::volume;
use crate::{Image, Launch, Pull};

/// How long the objects of a job that has ended stay when the agent never comes to remove them: a
/// week lets it be mended after a holiday.
const KEPT_SECONDS: i64 = 7 * 24 * 3_600;
/// So much longer than its time limit a pod may be there by the node's own watch: images are
/// fetched within, and the engine ends the task on time unless it is away.
const POD_DEADLINE_MARGIN: Span = Span::from_secs(900);
/// From the request to the end by force where nobody says otherwise: for pods that the cluster
/// ends, by a job's deadline or for another pod's sake.
const CLUSTER_GRACE_SECONDS: i64 = 5;

/// What one pod asks of the cluster. Launches with equal requests share a job.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    pub cpu: MilliCpu,
    pub memory: Bytes,
    /// The accelerators' resource and how many.
    pub accelerators: Option<(String, u32)>,
    pub image: String,
    pub pull: Option<String>,
    pub wall: Span,
    /// Parts of its folder, and where else they are seen.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<(String, String)>,
    /// What its steps ask for, of a launch that has some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepRequest>,
}

/// What a step asks for beside its pod.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(crate) struct StepRequest {
    pub image: String,
    pub pull: Option<String>,
    /// Where it starts; none: where its image says.
    pub workdir: Option<String>,
}

impl Request {
    /// What a launch asks for; `accelerator` is the resource that accelerators are, here.
    pub(crate) fn of(
        launch: &Launch,
        site: &Site,
        accelerator: Option<&str>,
    ) -> Result<Self, String> {
        if let Some(mount) = launch.mounts.iter().find(|mount| !volume::is_plain(mount)) {
            let (from, at) = (mount.from.display(), &mount.at);
            return Err(format!("`{from}` cannot be mounted at `{at}`"));
        }
        let named = |image: Option<&Image>| {
            let named = image.map(|image| image.name.clone()).filter(|name| !name.is_empty());
            named.or_else(|| site.image.clone()).ok_or_else(|| {
                "a pod needs an image: say `image:` in the job file, or give the agent one \
                        with --kube-default-image"
                    .to_owned()
            })
        };
        let steps: Vec<StepRequest> = launch
            .steps
            .iter()
            .map(|step| {
                Ok(StepRequest {
                    image: named(Some(&step.image))?,
                    pull: Some(pull(step.image.pull).to_owned()),
                    workdir: step.workdir.clone(),
                })
            })
            .collect::<Result<_, String>>()?;
        let image = launch.image.as_ref();
        let name = match steps.last() {
            Some(last) => last.image.clone(),
            None => named(image)?,
        };
        let accelerators = match (launch.accelerators, accelerator) {
            (0, _) => None,
            (count, Some(resource)) => Some((resource.to_owned(), count)),
            (_, None) => {
                return Err(
                    "no node of this cluster shows accelerators that are known; name their \
                            resource with --kube-accelerator"
                        .to_owned(),
                );
            }
        };
        Ok(Self {
            cpu: launch.limits.cpu,
            memory: launch.limits.memory,
            accelerators,
            image: name,
            pull: image.map(|image| pull(image.pull).to_owned()),
            wall: launch.limits.wall,
            mounts: launch
                .mounts
                .iter()
                .map(|mount| (mount.from.to_string_lossy().into_owned(), mount.at.clone()))
                .collect(),
            steps,
        })
    }

    /// How many steps it has.
    fn count(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// The resources of the pod's container.
    fn resources(&self) -> Value {
        let mut limits = Map::new();
        limits.insert("cpu".to_owned(), json!(format!("{}m", self.cpu.0)));
        limits.insert("memory".to_owned(), json!(self.memory.0.to_string()));
        if let Some((resource, count)) = &self.accelerators {
            limits.insert(resource.clone(), json!(count.to_string()));
        }
        json!({ "requests": limits.clone(), "limits": limits })
    }
}

const fn pull(pull: Pull) -> &'static str {
    match pull {
        Pull::Always => "Always",
        Pull::Missing => "IfNotPresent",
        Pull::Never => "Never",
    }
}

/// A batch that is to be made.
#[derive(Clone, Copy)]
pub(crate) struct Ordered<'a> {
    pub batch: &'a BatchName,
    /// What tells this agent's objects from another's.
    pub agent: &'a str,
    pub attempts: &'a [AttemptId],
    /// Of each, its script, or one for each of its steps.
    pub scripts: &'a [Vec<String>],
    pub request: &'a Request,
    /// Do its members have to find each other?
    pub gang: Gang,
    /// After so long the cluster ends it by itself, from when it took it.
    pub deadline_seconds: i64,
    /// Where a pod finds its folder on the volume that the agent sees, where there is one.
    pub sub_path: Option<&'a str>,
}

/// Is a batch a gang?
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Gang {
    Yes,
    No,
}

/// The objects of one batch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Manifests {
    pub secret: Secret,
    pub service: Option<Service>,
    pub job: Job,
}

/// Makes them.
pub(crate) fn manifests(ordered: Ordered<'_>, site: &Site) -> Manifests {
    let Ordered { batch, agent, attempts, scripts, request, gang, deadline_seconds, .. } = ordered;
    let BatchName { namespace, name } = batch;
    let labels = json!({ LABEL_AGENT: agent, LABEL_BATCH: name });
    let meta = json!({
        "name": name, "namespace": namespace, "labels": labels,
        "annotations": { NOTE_ATTEMPTS: attempts_note(attempts) },
    });
    let scripts: Map<String, Value> = scripts
        .iter()
        .enumerate()
        .flat_map(|(index, each)| {
            let key = move |step| steps::key(&index.to_string(), step, request.count());
            (0u32..).zip(each).map(move |(step, script)| (key(step), json!(script)))
        })
        .collect();
    let secret = json!({
        "metadata": { "name": name, "namespace": namespace, "labels": labels },
        "immutable": true, "type": "Opaque", "stringData": scripts,
    });
    let service = (gang == Gang::Yes).then(|| {
        json!({
            "metadata": { "name": name, "namespace": namespace, "labels": labels },
            "spec": {
                "clusterIP": "None", "selector": { LABEL_BATCH: name },
                // A member is found before it is ready: they wait for each other.
                "publishNotReadyAddresses": true,
            },
        })
    });
    let job = json!({
        "metadata": meta,
        "spec": {
            "completionMode": "Indexed",
            "completions": attempts.len(),
            "parallelism": attempts.len(),
            // Each index has one try, and one that fails leaves the others alone.
            "backoffLimitPerIndex": 0,
            "podReplacementPolicy": "Failed",
            "activeDeadlineSeconds": deadline_seconds,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": template_meta(&labels, request),
                "spec": pod_spec(ordered, site, request),
            },
        },
    });
    let read = "what is written here is what the types say";
    Manifests {
        secret: serde_json::from_value(secret).expect(read),
        service: service.map(|service| serde_json::from_value(service).expect(read)),
        job: serde_json::from_value(job).expect(read),
    }
}

/// What is written on the pods. Of a launch without steps nothing is said of steps.
fn template_meta(labels: &Value, request: &Request) -> Value {
    match request.count() {
        0 => json!({ "labels": labels }),
        count => {
            json!({ "labels": labels, "annotations": { NOTE_STEPS: count.to_string() } })
        }
    }
}

/// One of the pod's containers: of the launch, or of a step of it.
fn container(ordered: Ordered<'_>, request: &Request, number: u32) -> Value {
    let step = request.steps.get(number as usize);
    let mut container = json!({
        "name": steps::container(number, request.count()),
        "image": step.map_or(&request.image, |step| &step.image),
        "command": ["/bin/sh", SCRIPT],
        "resources": request.resources(),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": { "drop": ["ALL"] },
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "volumeMounts": volume_mounts(ordered, request, number),
    });
    let workdir = match step {
        None => Some(WORK),
        Some(step) => step.workdir.as_deref(),
    };
    if let Some(workdir) = workdir {
        container["workingDir"] = json!(workdir);
    }
    if let Some(pull) = step.map_or(&request.pull, |step| &step.pull) {
        container["imagePullPolicy"] = json!(pull);
    }
    container
}

/// The volume of a container's own `/tmp`: no step finds what another left there.
fn tmp_volume(number: u32, count: u32) -> String {
    if number + 1 >= count { "tmp".to_owned() } else { format!("tmp-{number}") }
}

fn pod_spec(ordered: Ordered<'_>, site: &Site, request: &Request) -> Value {
    let name = &ordered.batch.name;
    let count = request.count();
    let mut containers: Vec<Value> =
        (0..count.max(1)).map(|number| container(ordered, request, number)).collect();
    let last = containers.pop().expect("there is one at least");
    let mut volumes = vec![
        json!({ "name": "launch", "secret": { "secretName": name, "defaultMode": 0o444 } }),
        work_volume(site),
    ];
    let tmp = |number| json!({ "name": tmp_volume(number, count), "emptyDir": {} });
    volumes.extend((0..count.max(1)).map(tmp));
    let mut spec = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        // The task is then not process 1 of its namespace, to which signals mean nothing unless it
        // has asked for them.
        "shareProcessNamespace": true,
        "terminationGracePeriodSeconds": CLUSTER_GRACE_SECONDS,
        "containers": [last],
        "volumes": volumes,
    });
    if !containers.is_empty() {
        // One after the other, before the last of them.
        spec["initContainers"] = json!(containers);
    }
    if request.wall < Span::MAX {
        let deadline = request.wall.plus(POD_DEADLINE_MARGIN);
        // Kubernetes takes 32 bits of seconds: what is longer needs no watch.
        if let Ok(seconds) = i32::try_from(deadline.secs_ceil()) {
            spec["activeDeadlineSeconds"] = json!(seconds);
        }
    }
    if ordered.gang == Gang::Yes {
        // Host names under the service, and a node for each member.
        spec["subdomain"] = json!(name);
        spec["affinity"] = json!({ "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [{
                "topologyKey": "kubernetes.io/hostname",
                "labelSelector": { "matchLabels": { LABEL_BATCH: name } },
            }],
        }});
    }
    if let Some(user) = site.run_as {
        spec["securityContext"] = json!({
            "runAsNonRoot": true, "runAsUser": user, "runAsGroup": user, "fsGroup": user,
        });
    }
    for (field, value) in [
        ("serviceAccountName", &site.service_account),
        ("priorityClassName", &site.priority_class),
        ("runtimeClassName", &site.runtime_class),
        ("schedulerName", &site.scheduler),
    ] {
        if let Some(value) = value {
            spec[field] = json!(value);
        }
    }
    if !site.pull_secrets.is_empty() {
        let secrets: Vec<Value> = site.pull_secrets.iter().map(|s| json!({ "name": s })).collect();
        spec["imagePullSecrets"] = json!(secrets);
    }
    if !site.node_selector.is_empty() {
        spec["nodeSelector"] = json!(site.node_selector);
    }
    if !site.tolerations.is_empty() {
        let each = site.tolerations.iter().map(|key| json!({ "key": key, "operator": "Exists" }));
        spec["tolerations"] = json!(each.collect::<Vec<_>>());
    }
    spec
}

/// Where the tasks' folders lie: where the agent sees them too, or in each pod by itself.
fn work_volume(site: &Site) -> Value {
    match &site.volume {
        None => json!({ "name": "work", "emptyDir": {} }),
        Some(Volume::Claim(name)) => {
            json!({ "name": "work", "persistentVolumeClaim": { "claimName": name } })
        }
        Some(Volume::Host(path)) => {
            json!({ "name": "work", "hostPath": { "path": path, "type": "Directory" } })
        }
    }
}

fn volume_mounts(ordered: Ordered<'_>, request: &Request, number: u32) -> Value {
    let count = request.count();
    // Each container sees its own script only, and its pod's own folder.
    let mut mounts = vec![json!({
        "name": "launch", "mountPath": SCRIPT, "readOnly": true,
        "subPathExpr": steps::key("$(JOB_COMPLETION_INDEX)", number, count),
    })];
    mounts.push(match ordered.sub_path {
        Some(path) => json!({ "name": "work", "mountPath": WORK, "subPathExpr": path }),
        None => json!({ "name": "work", "mountPath": WORK }),
    });
    if !request.mounts.iter().any(|(_, at)| at == "/tmp") {
        mounts.push(json!({ "name": tmp_volume(number, count), "mountPath": "/tmp" }));
    }
    mounts.extend(request.mounts.iter().map(|(from, at)| match ordered.sub_path {
        Some(path) => {
            json!({ "name": "work", "mountPath": at, "subPathExpr": format!("{path}/{from}") })
        }
        // In the pod's own folder, where the node makes it.
        None => json!({ "name": "work", "mountPath": at, "subPath": from }),
    }));
    json!(mounts)
}

/// The host name of a gang's member, as the others reach it.
pub(crate) fn member_host(batch: &BatchName, index: u32) -> String {
    let BatchName { namespace, name } = batch;
    format!("{name}-{index}.{name}.{namespace}.svc")
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    #[test]
    fn a_batch_becomes_a_job_that_is_never_run_again() {
        let attempt = |task| AttemptId { job: JobId::from_bits(1), task, attempt: 1 };
        let request = Request {
            cpu: MilliCpu(1_500),
            memory: Bytes(1 << 30),
            accelerators: Some(("huawei.com/Ascend910".to_owned(), 8)),
            image: "busybox".to_owned(),
            pull: Some("Never".to_owned()),
            wall: Span::from_secs(100),
            mounts: vec![("m/0".to_owned(), "/data".to_owned())],
            steps: Vec::new(),
        };
        let batch = BatchName { namespace: "n".to_owned(), name: "dayan-x".to_owned() };
        let attempts = [attempt(0), attempt(1)];
        let scripts = [vec!["echo secret".to_owned()], vec!["b".to_owned()]];
        let ordered = Ordered {
            batch: &batch,
            agent: "a",
            attempts: &attempts,
            scripts: &scripts,
            request: &request,
            gang: Gang::Yes,
            deadline_seconds: 60,
            sub_path: Some("a/batches/x/$(JOB_COMPLETION_INDEX)"),
        };
        let volume = Some(Volume::Claim("shared".to_owned()));
        let site = Site { run_as: Some(1_000), volume, ..Site::default() };
        let made = manifests(ordered, &site);
        let spec = made.job.spec.clone().expect("it has one");
        assert_eq!((spec.completions, spec.parallelism), (Some(2), Some(2)));
        assert_eq!(
            (spec.backoff_limit_per_index, spec.active_deadline_seconds),
            (Some(0), Some(60))
        );
        assert_eq!(spec.pod_replacement_policy.as_deref(), Some("Failed"));
        let pod = spec.template.spec.expect("it has one");
        assert_eq!(pod.restart_policy.as_deref(), Some("Never"));
        assert_eq!(pod.active_deadline_seconds, Some(1_000));
        assert_eq!(pod.subdomain.as_deref(), Some("dayan-x"));
        let claim = pod.volumes.iter().flatten().find_map(|v| v.persistent_volume_claim.as_ref());
        assert_eq!(claim.map(|claim| claim.claim_name.as_str()), Some("shared"));
        let mounted: Vec<(String, Option<String>)> = pod.containers[0]
            .volume_mounts
            .iter()
            .flatten()
            .map(|mount| (mount.mount_path.clone(), mount.sub_path_expr.clone()))
            .collect();
        let own = "a/batches/x/$(JOB_COMPLETION_INDEX)".to_owned();
        assert!(mounted.contains(&("/work".to_owned(), Some(own.clone()))), "{mounted:?}");
        assert!(mounted.contains(&("/data".to_owned(), Some(own + "/m/0"))), "{mounted:?}");
        let resources = pod.containers[0].resources.clone().expect("it has some");
        assert_eq!(resources.limits, resources.requests, "what is asked for is what may be used");
        let limits = resources.limits.expect("they are set");
        let shown: Vec<_> = limits.iter().map(|(name, of)| format!("{name}={}", of.0)).collect();
        assert_eq!(shown, ["cpu=1500m", "huawei.com/Ascend910=8", "memory=1073741824"]);
        let text = serde_json::to_string(&made.job).expect("JSON");
        assert!(!text.contains("echo secret"), "no command stands in the job: {text}");
        assert!(made.service.is_some());
        assert_eq!(member_host(&batch, 1), "dayan-x-1.dayan-x.n.svc");
    }

    #[test]
    fn steps_are_containers_of_one_pod_in_their_order() {
        let step = |image: &str, workdir: Option<&str>| StepRequest {
            image: image.to_owned(),
            pull: Some("Always".to_owned()),
            workdir: workdir.map(str::to_owned),
        };
        let request = Request {
            cpu: MilliCpu(500),
            memory: Bytes(1 << 20),
            accelerators: None,
            image: "c".to_owned(),
            pull: None,
            wall: Span::MAX,
            mounts: vec![("m/0".to_owned(), "/data".to_owned())],
            steps: vec![step("a", Some("/data")), step("b", None), step("c", None)],
        };
        let batch = BatchName { namespace: "n".to_owned(), name: "dayan-x".to_owned() };
        let attempts = [AttemptId { job: JobId::from_bits(1), task: 0, attempt: 1 }];
        let scripts = [["1", "2", "3"].map(str::to_owned).to_vec()];
        let ordered = Ordered {
            batch: &batch,
            agent: "a",
            attempts: &attempts,
            scripts: &scripts,
            request: &request,
            gang: Gang::No,
            deadline_seconds: 60,
            sub_path: None,
        };
        let made = manifests(ordered, &Site::default());
        let keys: Vec<(String, String)> =
            made.secret.string_data.expect("some").into_iter().collect();
        let pair = |(key, text): (&str, &str)| (key.to_owned(), text.to_owned());
        assert_eq!(keys, [("0", "3"), ("0.0", "1"), ("0.1", "2")].map(pair));
        let template = made.job.spec.expect("it has one").template;
        let notes = template.metadata.and_then(|meta| meta.annotations).expect("some");
        assert_eq!(notes.get(NOTE_STEPS).map(String::as_str), Some("3"));
        let pod = template.spec.expect("it has one");
        let mut all = pod.init_containers.expect("two");
        all.extend(pod.containers);
        let told: Vec<_> = all
            .iter()
            .map(|one| {
                let at = |path: &str| {
                    let mounts = one.volume_mounts.iter().flatten();
                    mounts
                        .clone()
                        .find(|mount| mount.mount_path == path)
                        .expect("it is there")
                        .clone()
                };
                assert_eq!(at("/data").sub_path.as_deref(), Some("m/0"));
                (
                    one.name.as_str(),
                    one.image.as_deref().expect("it has one"),
                    one.working_dir.as_deref(),
                    at(SCRIPT).sub_path_expr.expect("its own"),
                    at("/tmp").name,
                )
            })
            .collect();
        let script = |rest: &str| format!("$(JOB_COMPLETION_INDEX){rest}");
        let expect = [
            ("task-0", "a", Some("/data"), script(".0"), "tmp-0".to_owned()),
            ("task-1", "b", None, script(".1"), "tmp-1".to_owned()),
            ("task", "c", None, script(""), "tmp".to_owned()),
        ];
        assert_eq!(told, expect);
    }
}
