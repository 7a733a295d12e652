//! What passes for a scheduler, a job controller and a quota's admission.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use super::store::{Key, Refusal, Store, refusal};
use crate::ask;

const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Looks at everything once and does what is to be done.
pub fn turn(store: &Store) {
    let (jobs, _) = store.list("jobs", "");
    let (pods, _) = store.list("pods", "");
    for job in &jobs {
        tend_job(store, job, &pods);
    }
    // Pods of jobs that are gone go too.
    for pod in &pods {
        let owner = pod["metadata"]["labels"]["job-name"].as_str().unwrap_or_default();
        let namespace = &pod["metadata"]["namespace"];
        let there = jobs.iter().any(|job| {
            job["metadata"]["name"] == owner && job["metadata"]["namespace"] == *namespace
        });
        if !owner.is_empty() && !there && pod["metadata"].get("deletionTimestamp").is_none() {
            let grace = if is_over(pod) { Some(0) } else { None };
            let _ = store.delete(&key("pods", pod), grace, None);
        }
    }
    let (pods, _) = store.list("pods", "");
    schedule(store, &pods);
}

pub fn key(plural: &str, object: &Value) -> Key {
    let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
    (plural.to_owned(), text("namespace"), text("name"))
}

fn is_over(pod: &Value) -> bool {
    matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"))
}

fn has(job: &Value, condition: &str) -> bool {
    job["status"]["conditions"].as_array().is_some_and(|all| {
        all.iter().any(|one| one["type"] == condition && one["status"] == "True")
    })
}

fn tell(store: &Store, job: &Value, status: &Value) {
    let _ = store.change(&key("jobs", job), &mut |known| {
        Ok(known.cloned().map(|mut job| {
            super::serve::merge(&mut job["status"], status);
            job
        }))
    });
}

fn tend_job(store: &Store, job: &Value, pods: &[Arc<Value>]) {
    if has(job, "Complete") || has(job, "Failed") {
        return;
    }
    if job["status"].get("startTime").is_none() {
        tell(store, job, &json!({ "startTime": ask::now() }));
        return;
    }
    let name = job["metadata"]["name"].as_str().unwrap_or_default();
    let ours: Vec<&Value> = pods
        .iter()
        .map(Arc::as_ref)
        .filter(|pod| {
            pod["metadata"]["labels"]["job-name"] == name
                && pod["metadata"]["namespace"] == job["metadata"]["namespace"]
        })
        .collect();
    let started: jiff::Timestamp =
        job["status"]["startTime"].as_str().and_then(|t| t.parse().ok()).unwrap_or_default();
    let deadline = job["spec"]["activeDeadlineSeconds"].as_i64();
    let late = deadline
        .is_some_and(|seconds| jiff::Timestamp::now().as_second() - started.as_second() >= seconds);
    if late || has(job, "FailureTarget") {
        if !has(job, "FailureTarget") {
            add_condition(store, job, "FailureTarget", "DeadlineExceeded");
        }
        for pod in ours.iter().filter(|pod| !is_over(pod)) {
            if pod["metadata"].get("deletionTimestamp").is_none() {
                let _ = store.delete(&key("pods", pod), None, None);
            }
        }
        if ours.iter().all(|pod| is_over(pod)) {
            add_condition(store, job, "Failed", "DeadlineExceeded");
        }
        return;
    }
    let completions = job["spec"]["completions"].as_u64().unwrap_or(1);
    let done = &job["status"]["doneByFake"];
    let counted = |index: u64| done.get(index.to_string()).and_then(Value::as_str);
    let (mut fresh, mut made) = (serde_json::Map::new(), serde_json::Map::new());
    let by_index: BTreeMap<&str, &&Value> = ours
        .iter()
        .filter_map(|pod| Some((pod["metadata"]["annotations"][INDEX].as_str()?, pod)))
        .collect();
    for index in 0..completions {
        let text = index.to_string();
        match (by_index.get(text.as_str()), counted(index)) {
            (Some(pod), None) if is_over(pod) => {
                fresh.insert(index.to_string(), pod["status"]["phase"].clone());
            }
            // It was there and is not: it counts as failed, and is not made again.
            (None, None) if job["status"]["madeByFake"].get(index.to_string()).is_some() => {
                fresh.insert(index.to_string(), json!("Failed"));
            }
            (None, None) => match make_pod(store, job, index) {
                Ok(()) => {
                    made.insert(text, json!(true));
                }
                Err(refused) => complain(store, job, &refused),
            },
            (_, _) => {}
        }
    }
    if !fresh.is_empty() || !made.is_empty() {
        tell(store, job, &json!({ "doneByFake": fresh, "madeByFake": made }));
        return;
    }
    let ends: Vec<&str> = (0..completions).filter_map(counted).collect();
    if ends.len() as u64 == completions {
        if ends.iter().all(|end| *end == "Succeeded") {
            add_condition(store, job, "SuccessCriteriaMet", "CompletionsReached");
            add_condition(store, job, "Complete", "CompletionsReached");
        } else {
            add_condition(store, job, "FailureTarget", "FailedIndexes");
            add_condition(store, job, "Failed", "FailedIndexes");
        }
    }
}

fn add_condition(store: &Store, job: &Value, kind: &str, reason: &str) {
    let _ = store.change(&key("jobs", job), &mut |known| {
        Ok(known.cloned().map(|mut job| {
            let mut all = job["status"]["conditions"].as_array().cloned().unwrap_or_default();
            all.push(json!({
                "type": kind, "status": "True", "reason": reason,
                "lastTransitionTime": ask::now(), "lastProbeTime": ask::now(),
            }));
            job["status"]["conditions"] = json!(all);
            job
        }))
    });
}

fn make_pod(store: &Store, job: &Value, index: u64) -> Result<(), Refusal> {
    let namespace = job["metadata"]["namespace"].as_str().unwrap_or_default();
    let job_name = job["metadata"]["name"].as_str().unwrap_or_default();
    let suffix = store.version() % 60_466_176;
    let name = format!("{job_name}-{index}-{suffix:05x}");
    let template = &job["spec"]["template"];
    let mut labels = template["metadata"]["labels"].clone();
    labels["job-name"] = json!(job_name);
    labels["batch.kubernetes.io/job-name"] = json!(job_name);
    labels[INDEX] = json!(index.to_string());
    let mut notes = template["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
    notes.insert(INDEX.to_owned(), json!(index.to_string()));
    let mut spec = template["spec"].clone();
    spec["hostname"] = json!(format!("{job_name}-{index}"));
    for kind in ["initContainers", "containers"] {
        for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            container["env"] = json!([{
                "name": "JOB_COMPLETION_INDEX", "value": index.to_string(),
            }]);
        }
    }
    let pod = json!({
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": namespace, "labels": labels, "annotations": notes,
        },
        "spec": spec, "status": { "phase": "Pending" },
    });
    within_quota(store, namespace, &pod)?;
    store.change(&key("pods", &pod), &mut |_| Ok(Some(pod.clone()))).map(|_| ())
}

/// Says on the job that its pods cannot be made; one event, that counts.
fn complain(store: &Store, job: &Value, refused: &Refusal) {
    let namespace = job["metadata"]["namespace"].as_str().unwrap_or_default();
    let name = format!("{}.failed", job["metadata"]["name"].as_str().unwrap_or_default());
    let event = json!({
        "kind": "Event", "apiVersion": "v1",
        "metadata": { "name": name, "namespace": namespace },
        "involvedObject": { "kind": "Job", "name": job["metadata"]["name"], "namespace": namespace },
        "reason": "FailedCreate", "type": "Warning",
        "message": format!("Error creating: {}", refused.message),
    });
    let _ = store.change(&key("events", &event), &mut |known| {
        Ok(Some(known.cloned().unwrap_or_else(|| event.clone())))
    });
}

fn milli(text: &str) -> u64 {
    match text.strip_suffix('m') {
        Some(number) => number.parse().unwrap_or(0),
        None => text.parse::<u64>().unwrap_or(0) * 1_000,
    }
}

fn cpu_of(pod: &Value) -> u64 {
    let asked = &pod["spec"]["containers"][0]["resources"]["requests"]["cpu"];
    asked.as_str().map_or(0, milli)
}

/// Processor time only: it stands for all that a quota bounds.
fn within_quota(store: &Store, namespace: &str, pod: &Value) -> Result<(), Refusal> {
    let (quotas, _) = store.list("resourcequotas", namespace);
    if quotas.is_empty() {
        return Ok(());
    }
    let (pods, _) = store.list("pods", namespace);
    let used: u64 = pods.iter().filter(|pod| !is_over(pod)).map(|pod| cpu_of(pod)).sum();
    for quota in quotas {
        let hard = quota["spec"]["hard"]["requests.cpu"].as_str().map(milli);
        if let Some(hard) = hard
            && used + cpu_of(pod) > hard
        {
            let message = format!(
                "pods \"{}\" is forbidden: exceeded quota: {}, requested: requests.cpu={}m, used: \
                 requests.cpu={used}m, limited: requests.cpu={hard}m",
                pod["metadata"]["name"].as_str().unwrap_or_default(),
                quota["metadata"]["name"].as_str().unwrap_or_default(),
                cpu_of(pod),
            );
            return Err(refusal(403, "Forbidden", message));
        }
    }
    Ok(())
}

/// Binds pods to the node with the most room, if there is one that they may be on.
fn schedule(store: &Store, pods: &[Arc<Value>]) {
    let (nodes, _) = store.list("nodes", "");
    let waits = |pod: &Arc<Value>| {
        pod["spec"].get("nodeName").is_none() && pod["metadata"].get("deletionTimestamp").is_none()
    };
    if !pods.iter().any(waits) {
        return;
    }
    let mut placed: Vec<(String, Arc<Value>)> = pods
        .iter()
        .filter(|pod| !is_over(pod))
        .filter_map(|pod| Some((pod["spec"]["nodeName"].as_str()?.to_owned(), Arc::clone(pod))))
        .collect();
    let mut used: BTreeMap<String, u64> = BTreeMap::new();
    for (on, pod) in &placed {
        *used.entry(on.clone()).or_default() += cpu_of(pod);
    }
    for pod in pods.iter().filter(|pod| waits(pod)) {
        let apart = &pod["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
            [0]["labelSelector"]["matchLabels"];
        let fits = |node: &&Arc<Value>| {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            let used = used.get(name).copied().unwrap_or(0);
            let room = node["status"]["allocatable"]["cpu"].as_str().map_or(0, milli);
            let bears = apart.as_object().is_none_or(|labels| {
                !placed.iter().any(|(on, other)| {
                    on == name
                        && labels
                            .iter()
                            .all(|(key, value)| other["metadata"]["labels"][key] == *value)
                })
            });
            let ready = node["status"]["conditions"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
            });
            let wanted = pod["spec"]["nodeSelector"].as_object();
            let picked = wanted.is_none_or(|labels| {
                labels.iter().all(|(key, value)| node["metadata"]["labels"][key] == *value)
            });
            ready && bears && picked && used + cpu_of(pod) <= room
        };
        let found = nodes.iter().find(fits);
        let condition = |holds: &str, words: &str| {
            json!([{
                "type": "PodScheduled", "status": holds, "message": words,
                "lastTransitionTime": ask::now(),
            }])
        };
        let _ = store.change(&key("pods", pod), &mut |known| {
            Ok(known.cloned().map(|mut known| {
                match found {
                    Some(node) => {
                        known["spec"]["nodeName"] = node["metadata"]["name"].clone();
                        known["status"]["conditions"] = condition("True", "");
                    }
                    None if known["status"].get("conditions").is_none() => {
                        let words = format!("0/{} nodes are available", nodes.len());
                        known["status"]["conditions"] = condition("False", &words);
                    }
                    None => {}
                }
                known
            }))
        });
        if let Some(node) = found {
            let name = node["metadata"]["name"].as_str().unwrap_or_default();
            *used.entry(name.to_owned()).or_default() += cpu_of(pod);
            placed.push((name.to_owned(), Arc::clone(pod)));
        }
    }
}
