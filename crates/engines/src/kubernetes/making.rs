//! Making and removing the objects of a batch, as the clerk does it.
//!
//! Invariant: an object is made under its one name or not at all, so making it again after a lost
//! answer makes nothing twice. The job comes last: what it needs is there before it.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client};
use serde_json::json;

use super::connect::{Answer, read};
use super::jobs;
use super::manifest::Manifests;
use super::names::{BatchName, LABEL_AGENT, NOTE_ATTEMPTS};
use dayan_units::Time;

/// What became of making a batch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Made {
    /// It is there, since then by the API server's clock.
    There { at: Time, deadline: Option<i64> },
    /// It is not there and will not be.
    Refused(String),
    /// Nobody knows: ask again.
    Unsure(String),
}

fn unsure_or(answer: Answer, namespace: &str) -> Result<(), Made> {
    match answer {
        Answer::Taken => Ok(()),
        Answer::Missing => Err(Made::Refused(format!(
            "engine.kubernetes.namespace: there is no namespace `{namespace}`; make it, or name \
             another with --kube-namespace"
        ))),
        Answer::Refused(words) => Err(Made::Refused(words)),
        Answer::Unsure(words) => Err(Made::Unsure(words)),
    }
}

/// Makes the objects of a batch, those that are not there yet.
pub(crate) async fn make(client: &Client, batch: &BatchName, manifests: &Manifests) -> Made {
    match try_make(client, batch, manifests).await {
        Ok(made) | Err(made) => made,
    }
}

async fn try_make(client: &Client, batch: &BatchName, manifests: &Manifests) -> Result<Made, Made> {
    let BatchName { namespace, name } = batch;
    let post = PostParams::default();
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    if let Err(error) = secrets.create(&post, &manifests.secret).await {
        unsure_or(read(&error, "making the Secret of a job's scripts"), namespace)?;
    }
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    if let Some(service) = &manifests.service
        && let Err(error) = services.create(&post, service).await
    {
        unsure_or(read(&error, "making the Service of a gang"), namespace)?;
    }
    let api: Api<Job> = Api::namespaced(client.clone(), namespace);
    let job = match api.create(&post, &manifests.job).await {
        Ok(job) => job,
        Err(error) => {
            unsure_or(read(&error, "making a job"), namespace)?;
            // The name is taken: by our own earlier try, or by somebody who launched it before.
            let there = api.get_opt(name).await;
            let there = there
                .map_err(|error| Made::Unsure(format!("looking for {name}: {error}")))?
                .ok_or_else(|| Made::Unsure(format!("{name} was there and is gone")))?;
            let same = |of: &Job| {
                let meta = &of.metadata;
                let note = meta.annotations.as_ref().and_then(|notes| notes.get(NOTE_ATTEMPTS));
                let agent = meta.labels.as_ref().and_then(|labels| labels.get(LABEL_AGENT));
                (note.cloned(), agent.cloned())
            };
            if same(&there) != same(&manifests.job) {
                return Err(Made::Refused(format!(
                    "engine.already_launched: the job {name} is there and is another's: its first \
                     task was launched before"
                )));
            }
            there
        }
    };
    let seen = jobs::read(&job).ok_or_else(|| Made::Unsure(format!("{name} cannot be read")))?;
    // What belongs to the job goes with it, should others remove it.
    let owner = json!({ "metadata": { "ownerReferences": [{
        "apiVersion": "batch/v1", "kind": "Job", "name": name,
        "uid": job.metadata.uid.clone().unwrap_or_default(),
    }]}});
    let (patch, merge) = (PatchParams::default(), Patch::Merge(&owner));
    if let Err(error) = secrets.patch_metadata(name, &patch, &merge).await {
        tracing::debug!(%error, name, "the Secret does not belong to its job");
    }
    if manifests.service.is_some()
        && let Err(error) = services.patch_metadata(name, &patch, &merge).await
    {
        tracing::debug!(%error, name, "the Service does not belong to its job");
    }
    Ok(Made::There { at: seen.made, deadline: seen.deadline })
}

/// Tells the cluster another deadline of a job.
pub(crate) async fn move_deadline(
    client: &Client,
    batch: &BatchName,
    seconds: i64,
) -> Result<(), Answer> {
    let api: Api<Job> = Api::namespaced(client.clone(), &batch.namespace);
    let patch = json!({ "spec": { "activeDeadlineSeconds": seconds } });
    let moved = api.patch(&batch.name, &PatchParams::default(), &Patch::Merge(&patch)).await;
    moved.map(|_| ()).map_err(|error| read(&error, "moving a job's deadline"))
}

/// Asks for a pod to be ended, after so many seconds by force. One that is not there, or is
/// another by now, is as good.
pub(crate) async fn end_pod(
    client: &Client,
    namespace: &str,
    name: &str,
    uid: &str,
    grace_seconds: u32,
) -> Result<(), Answer> {
    let api: Api<k8s_openapi::api::core::v1::Pod> = Api::namespaced(client.clone(), namespace);
    let params = DeleteParams {
        grace_period_seconds: Some(grace_seconds),
        preconditions: Some(Preconditions { uid: Some(uid.to_owned()), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(error) => match read(&error, "ending a pod") {
            Answer::Missing => Ok(()),
            answer => Err(answer),
        },
    }
}

/// Removes a job and what belongs to it; its pods are ended.
pub(crate) async fn remove(client: &Client, batch: &BatchName) -> Result<(), Answer> {
    let BatchName { namespace, name } = batch;
    let params = DeleteParams::background();
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let services: Api<Service> = Api::namespaced(client.clone(), namespace);
    let gone = |outcome: Result<(), kube::Error>, what| match outcome {
        Ok(()) => Ok(()),
        Err(error) => match read(&error, what) {
            Answer::Missing => Ok(()),
            answer => Err(answer),
        },
    };
    gone(jobs.delete(name, &params).await.map(|_| ()), "removing a job")?;
    gone(secrets.delete(name, &params).await.map(|_| ()), "removing a job's Secret")?;
    // Only gangs have one; asking costs less than remembering.
    gone(services.delete(name, &params).await.map(|_| ()), "removing a gang's Service")
}

/// Why a job has no pods, in the cluster's words: what its controller last complained of.
pub(crate) async fn complaint(
    client: &Client,
    batch: &BatchName,
) -> Result<Option<String>, Answer> {
    use k8s_openapi::api::core::v1::Event;
    let api: Api<Event> = Api::namespaced(client.clone(), &batch.namespace);
    let about =
        format!("involvedObject.kind=Job,involvedObject.name={},reason=FailedCreate", batch.name);
    let params = kube::api::ListParams::default().fields(&about);
    let events = api.list(&params).await.map_err(|error| read(&error, "reading events"))?;
    Ok(events.items.into_iter().filter_map(|event| event.message).next_back())
}
