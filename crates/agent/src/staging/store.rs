//! The exchange's data store as an agent reaches it: its attempts' inputs, bytes for their outputs,
//! the publication, their secrets, and how far copying is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dayan_units::AttemptId;
use dayan_wire::{
    AGENT_DATA, AttemptCopying, InputFile, NewCheckpoint, NewOutput, Publication, TaskCheckpoint,
    UploadState,
};
use reqwest::{Method, RequestBuilder, Response};
use rustix::time::{ClockId, clock_gettime};

use super::blame::Exchange;
use crate::link::{Link, LinkFault, checked, describe, read};

/// How long a short answer may take. It may stand behind the hashing of what was just sent: 10 GB
/// at 200 MB/s.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);
/// How long a part may take: 8 MiB at half a megabit a second.
const PART_WITHIN: Duration = Duration::from_secs(150);
/// How long the first byte of a file may take.
const FIRST_BYTE_WITHIN: Duration = Duration::from_secs(30);

/// The store, for one agent.
#[derive(Clone)]
pub(crate) struct Store {
    link: Arc<Link>,
    token: Arc<str>,
}

impl Store {
    pub(crate) fn new(link: Arc<Link>, token: Arc<str>) -> Self {
        Self { link, token }
    }

    /// Is the exchange reached now, and how far is its clock ahead of this machine's?
    pub(super) async fn exchange(&self) -> Exchange {
        match self.link.clock().await {
            Ok(clock) => {
                let own = clock_gettime(ClockId::Realtime).tv_sec;
                Exchange::Reached(clock.map(|clock| clock.saturating_sub(own)))
            }
            Err(fault) => {
                tracing::debug!(%fault, "the exchange is not reached");
                Exchange::Away
            }
        }
    }

    fn request(&self, method: Method, path: &str, query: &[(&str, String)]) -> RequestBuilder {
        let request = self.link.request(method, &format!("{AGENT_DATA}/{path}"), query);
        request.bearer_auth(&self.token)
    }

    /// The files of an input.
    pub(crate) async fn inputs(
        &self,
        attempt: AttemptId,
        input: usize,
    ) -> Result<Vec<InputFile>, LinkFault> {
        let query = [("attempt", attempt.to_string()), ("input", input.to_string())];
        read(self.request(Method::GET, "inputs", &query).timeout(ANSWER_WITHIN).send().await).await
    }

    /// Bytes of an input, or of the task's checkpoint, from there on.
    pub(crate) async fn content(
        &self,
        attempt: AttemptId,
        input: Option<usize>,
        sha256: &str,
        from: u64,
    ) -> Result<Response, LinkFault> {
        let mut query = vec![("attempt", attempt.to_string()), ("sha256", sha256.to_owned())];
        query.extend(input.map(|input| ("input", input.to_string())));
        let request = self.request(Method::GET, "content", &query);
        let sent = request.header("range", format!("bytes={from}-")).send();
        let late = |_| LinkFault::Away("no answer in time".to_owned());
        let sent = tokio::time::timeout(FIRST_BYTE_WITHIN, sent).await.map_err(late)?;
        checked(sent.map_err(|error| LinkFault::Away(describe(&error)))?).await
    }

    /// Begins to send bytes of an output, or asks how far it is.
    pub(crate) async fn begin(&self, new: &NewOutput) -> Result<UploadState, LinkFault> {
        let request = self.request(Method::POST, "uploads", &[]).json(new);
        read(request.timeout(ANSWER_WITHIN).send().await).await
    }

    /// Sends a part.
    pub(crate) async fn append(
        &self,
        new: &NewOutput,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<UploadState, LinkFault> {
        let mut query = vec![
            ("attempt", new.attempt.to_string()),
            ("sha256", new.sha256.clone()),
            ("offset", offset.to_string()),
        ];
        query.extend(new.output.map(|output| ("output", output.to_string())));
        let request = self.request(Method::PATCH, "uploads", &query).body(bytes);
        let request = request.header("content-type", "application/octet-stream");
        read(request.timeout(PART_WITHIN + ANSWER_WITHIN).send().await).await
    }

    /// Publishes what was sent.
    pub(crate) async fn publish(&self, publication: &Publication) -> Result<(), LinkFault> {
        let request = self.request(Method::POST, "publish", &[]).json(publication);
        let sent = request.timeout(ANSWER_WITHIN).send().await;
        checked(sent.map_err(|error| LinkFault::Away(describe(&error)))?).await.map(drop)
    }

    /// The newest whole checkpoint of an attempt's task.
    pub(crate) async fn checkpoint(&self, attempt: AttemptId) -> Result<TaskCheckpoint, LinkFault> {
        let query = [("attempt", attempt.to_string())];
        let request = self.request(Method::GET, "checkpoints", &query);
        read(request.timeout(ANSWER_WITHIN).send().await).await
    }

    /// What was sent of a checkpoint is all of it. Which one of its task it is.
    pub(crate) async fn save(&self, new: &NewCheckpoint) -> Result<u32, LinkFault> {
        let request = self.request(Method::POST, "checkpoints", &[]).json(new);
        read(request.timeout(ANSWER_WITHIN).send().await).await
    }

    /// The secrets that an attempt's job file names.
    pub(crate) async fn secrets(
        &self,
        attempt: AttemptId,
    ) -> Result<BTreeMap<String, String>, LinkFault> {
        let query = [("attempt", attempt.to_string())];
        read(self.request(Method::GET, "secrets", &query).timeout(ANSWER_WITHIN).send().await).await
    }

    /// Says how far copying is.
    pub(crate) async fn tell(&self, told: &[AttemptCopying]) -> Result<(), LinkFault> {
        let request = self.request(Method::POST, "copying", &[]).json(told);
        let sent = request.timeout(ANSWER_WITHIN).send().await;
        checked(sent.map_err(|error| LinkFault::Away(describe(&error)))?).await.map(drop)
    }
}
