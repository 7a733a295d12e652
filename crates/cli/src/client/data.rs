//! The data store and the secrets of the public API.

use dayan_wire as wire;

use super::{Ask, Body, Client, Repeat};
use crate::exit::Failure;

/// Names that are listed at most.
const NAMES_MAX: usize = 200_000;

impl Client {
    /// Files whose names begin with an address.
    pub async fn data_files(&self, address: &str) -> Result<Vec<wire::DataEntry>, Failure> {
        self.list(&["data"], &[("address", Some(address.to_owned()))], NAMES_MAX).await
    }
    /// What the project of an address keeps.
    pub async fn data_use(&self, address: &str) -> Result<wire::DataUse, Failure> {
        self.json(Ask::get(&["data", "use"]).with("address", address)).await
    }
    /// Begins an upload, or asks how far it is.
    pub async fn begin_upload(&self, new: &wire::NewUpload) -> Result<wire::UploadState, Failure> {
        self.json(Ask::post(&["data", "uploads"]).repeatable().body(Body::json(new))).await
    }
    /// Sends a part of an upload.
    pub async fn send_part(
        &self,
        new: &wire::NewUpload,
        offset: u64,
        bytes: Vec<u8>,
    ) -> Result<wire::UploadState, Failure> {
        let ask = Ask::patch(&["data", "uploads"])
            .with("address", &new.address)
            .with("sha256", &new.sha256)
            .with("offset", offset.to_string());
        self.json(ask.body(Body::Bytes(bytes)).patiently()).await
    }
    /// Gives bytes a name.
    pub async fn name_data(&self, new: &wire::NewEntry) -> Result<wire::DataEntry, Failure> {
        self.json(Ask::put(&["data"]).body(Body::json(new))).await
    }
    /// A file's bytes from a place on.
    pub async fn data_content(
        &self,
        address: &str,
        from: u64,
    ) -> Result<reqwest::Response, Failure> {
        self.stream(&Ask::get(&["data", "content"]).with("address", address), from).await
    }
    /// Removes a file or a folder; how many files.
    pub async fn remove_data(&self, address: &str) -> Result<u64, Failure> {
        let mut ask = Ask::delete(&["data"]).with("address", address);
        // A second one would say that nothing is there.
        ask.repeat = Repeat::Never;
        self.json(ask).await
    }

    /// A project's secrets, without what they say.
    pub async fn secrets(&self, project: &str) -> Result<Vec<wire::Secret>, Failure> {
        let page: wire::Page<wire::Secret> =
            self.json(Ask::get(&["secrets"]).with("project", project)).await?;
        Ok(page.items)
    }
    /// Sets a secret.
    pub async fn set_secret(
        &self,
        project: &str,
        name: &str,
        value: String,
    ) -> Result<(), Failure> {
        let body = Body::json(&wire::NewSecret { value });
        self.done(Ask::put(&["secrets", name]).with("project", project).body(body)).await
    }
    /// Forgets a secret.
    pub async fn remove_secret(&self, project: &str, name: &str) -> Result<(), Failure> {
        let mut ask = Ask::delete(&["secrets", name]).with("project", project);
        ask.repeat = Repeat::Never;
        self.done(ask).await
    }
}
