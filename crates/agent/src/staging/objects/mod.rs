//! Object stores that speak S3, by the crate `object_store`.
//!
//! Here: how a bucket is opened, and whose fault it is when it does not answer as it should. `inputs`
//! lists and reads; `outputs` sends, and publishes with the grant; `outbox` remembers on disk what was
//! sent, so that another process of this agent goes on; `patience` tries again; `sweep` tries a bucket before a task runs, and
//! clears away what attempts left there. Invariants: keys come from the job's own secret, never from this
//! machine's environment or metadata service; requests go out by the same client as the web's, so that
//! they reach no address that it may not. An object is seen under its name whole, or not yet.

mod inputs;
mod outbox;
mod outputs;
#[cfg(test)]
mod outputs_tests;
mod patience;
mod sweep;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dayan_units::AttemptId;
use object_store::aws::AmazonS3Builder;
use object_store::client::{HttpClient, HttpConnector};
use object_store::multipart::MultipartStore;
use object_store::path::Path as Key;
use object_store::{ClientOptions, Error, ObjectStore, RetryConfig};
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::courier::Courier;
use super::fetch::Miss;
use super::snag::{Far, Snag, status_in};

use outbox::Outbox;
pub(super) use outputs::{Naming, Staged};
use patience::PATIENCE;
use sweep::Swept;

/// Where an attempt's objects lie before they are published, below the folder that its output goes to.
const STAGED: &str = ".dayan";
/// MiB of parts that are held in memory at once, for all attempts: enough to fill a link, little beside
/// what a task takes. A part that is larger goes alone.
const PARTS_MIB_MAX: u32 = 256;
/// How often the library tries a request again that may go better: for a hiccup, a second or two in all, as
/// it pauses for tenths of a second. Longer troubles are waited for by `patience`, which hears when its
/// attempt is stopped; the library does not.
const RETRIES_MAX: usize = 5;
const RETRY_WITHIN: Duration = Duration::from_secs(30);

/// What is remembered of object stores, for all attempts.
pub(super) struct Objects {
    /// What was sent for attempts, or is being sent.
    outboxes: Mutex<BTreeMap<AttemptId, Arc<Outbox>>>,
    /// The folder of their records.
    records: PathBuf,
    /// Room for parts in memory, in MiB.
    room: Semaphore,
    /// When folders were last cleared of what attempts left there.
    swept: Arc<Mutex<BTreeMap<String, Swept>>>,
    /// How long what may pass is tried again.
    patience: Duration,
}

impl Objects {
    /// With its records in that folder.
    pub(super) fn open(records: PathBuf) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", records.display());
        std::fs::create_dir_all(&records).map_err(failed)?;
        outbox::forget_old(&records);
        Ok(Self {
            outboxes: Mutex::default(),
            records,
            room: Semaphore::new(PARTS_MIB_MAX as usize),
            swept: Arc::default(),
            patience: PATIENCE,
        })
    }
}

/// What a secret for `s3://` says, as JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Access {
    #[serde(rename = "access_key_id")]
    key_id: String,
    secret_access_key: String,
    #[serde(default)]
    session_token: Option<String>,
    #[serde(default)]
    region: Option<String>,
    /// Another store than Amazon's: `https://minio.site:9000`.
    #[serde(default)]
    endpoint: Option<String>,
}

/// The client that the web is reached by.
#[derive(Debug)]
struct Ours(reqwest::Client);

impl HttpConnector for Ours {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.0.clone()))
    }
}

/// A store of objects that also takes them in parts.
trait Shelf: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Shelf for T {}

/// A bucket, opened with a job's secret.
#[derive(Debug)]
pub(super) struct Bucket {
    store: Arc<dyn Shelf>,
    /// Where it is and who asks, without the secret itself.
    identity: String,
    /// Is it asked without a secret?
    open: bool,
}

impl Bucket {
    /// What stands in the way is the job's: its address or its secret.
    fn open(courier: &Courier, bucket: &str, secret: Option<&String>) -> Result<Self, Snag> {
        let connector = Ours(courier.web.client());
        let retries = RetryConfig {
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_WITHIN,
            ..RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_http_connector(connector)
            .with_retry(retries);
        let mut identity = bucket.to_owned();
        match secret {
            None => builder = builder.with_skip_signature(true).with_region("us-east-1"),
            Some(secret) => {
                let access = Access::read(secret)?;
                identity = format!("{identity}\n{}", access.key_id);
                builder = builder
                    .with_access_key_id(access.key_id)
                    .with_secret_access_key(access.secret_access_key)
                    .with_region(access.region.unwrap_or_else(|| "us-east-1".to_owned()));
                if let Some(token) = access.session_token {
                    builder = builder.with_token(token);
                }
                if let Some(endpoint) = access.endpoint {
                    courier.web.check(&endpoint).map_err(Snag::job)?;
                    identity = format!("{identity}\n{endpoint}");
                    builder = builder
                        .with_allow_http(endpoint.starts_with("http://"))
                        .with_endpoint(endpoint)
                        .with_virtual_hosted_style_request(false);
                }
            }
        }
        let store = builder.build().map_err(|error| Snag::job(describe(&error)))?;
        Ok(Self { store: Arc::new(store), identity, open: secret.is_none() })
    }

    /// Does it show what is in it to everybody?
    pub(super) const fn is_open(&self) -> bool {
        self.open
    }

    /// What tells it from others, for the cache.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }
}

impl Access {
    fn read(secret: &str) -> Result<Self, Snag> {
        // What the text is stays out of the message.
        serde_json::from_str(secret).map_err(|_| {
            Snag::for_good(
                "its secret is not a JSON object with access_key_id, secret_access_key and, where \
                 they are needed, session_token, region, endpoint; set it again with `dayan secret \
                 set`"
                    .to_owned(),
            )
        })
    }
}

/// Another try may help with this, or not.
fn miss(error: &Error) -> Miss {
    let why = describe(error);
    if let Far::Clock = Far::of(&why) {
        return Miss::Again(why);
    }
    match error {
        Error::NotFound { .. } | Error::InvalidPath { .. } => Miss::Gone(why),
        Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::UnknownConfigurationKey { .. } => Miss::Never(why),
        _ if why.contains("own network") || is_firm(&why) => Miss::Never(why),
        _ => Miss::Again(why),
    }
}

/// Does the store say that it will not take this request, whoever sends it? The library gives the status
/// away in its words only. A full store (507) is its owner's to see to; a wrong region is answered with a
/// redirect that leads nowhere.
fn is_firm(why: &str) -> bool {
    if why.contains("redirect without LOCATION") {
        return true;
    }
    match status_in(why) {
        // 407 may be a word of the site's proxy.
        Some(407 | 408 | 409 | 425 | 429) | None => false,
        Some(status) => (400..500).contains(&status) || status == 507,
    }
}

fn snag(error: &Error) -> Snag {
    match miss(error) {
        Miss::Never(why) => Snag::job(why),
        Miss::Gone(why) => Snag::for_good(why),
        Miss::Again(why) => Snag::far(why),
        Miss::Here(why) | Miss::AgainHere(why) => why.into(),
        Miss::Unchanged => describe(error).into(),
    }
}

/// An error with its causes, without what the store's library says of its retries.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        next = cause.source();
    }
    text
}

fn key(text: &str) -> Result<Key, Snag> {
    Key::parse(text).map_err(|error| Snag::job(error.to_string()))
}

/// The bucket of an address, and the path in it.
fn parts(address: &str) -> Result<(&str, &str), Snag> {
    let rest = address.strip_prefix("s3://").unwrap_or(address);
    rest.split_once('/').ok_or_else(|| Snag::for_good("it names no object".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_wire::Blame;

    #[test]
    fn what_a_store_refuses_is_the_jobs_and_what_passes_is_not() {
        let generic = |text: &str| Error::Generic { store: "S3", source: text.to_owned().into() };
        let path = || "out/x".to_owned();
        let source = || "said so".into();
        let status = |status: &str| generic(&format!("non-2xx status code: {status}: <Error/>"));
        let check = |error: &Error, blame: Blame| {
            let snag = snag(error);
            assert_eq!(snag.blame, blame, "{error}");
            // Whose it is that may pass is found out when it does not.
            assert_eq!(snag.far.is_some(), blame == Blame::Site, "{error}");
        };
        let none = Error::NotFound { path: path(), source: source() };
        check(&none, Blame::Job);
        assert!(super::snag(&none).for_good, "it is not there, whoever asks");
        check(&Error::PermissionDenied { path: path(), source: source() }, Blame::Job);
        check(&Error::Unauthenticated { path: path(), source: source() }, Blame::Job);
        check(&status("400 Bad Request"), Blame::Job);
        check(&status("507 Insufficient Storage"), Blame::Job);
        check(&generic("Received redirect without LOCATION, this normally…"), Blame::Job);
        for passing in ["500 Internal Server Error", "503 Slow Down", "429 Too Many Requests"] {
            check(&status(passing), Blame::Site);
        }
        check(&generic("error sending request: connection refused"), Blame::Site);
        let late = "<Code>RequestTimeTooSkewed</Code>".into();
        check(&Error::PermissionDenied { path: path(), source: late }, Blame::Site);
    }

    #[test]
    fn a_secret_that_cannot_be_read_is_the_jobs_and_is_not_shown() {
        let snag = Access::read("hush-hush").err().expect("no JSON");
        assert_eq!((snag.blame, snag.for_good), (Blame::Job, true));
        assert!(!snag.why.contains("hush"), "{snag:?}");
        assert_eq!(parts("s3://bucket").expect_err("no path").blame, Blame::Job);
    }
}
