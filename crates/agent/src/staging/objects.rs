//! Object stores that speak S3, by the crate `object_store`: inputs listed and read, outputs written
//! under the attempt's own key and copied to their names with the grant.
//!
//! Invariants: keys come from the job's own secret, never from this machine's environment or
//! metadata service; requests go out by the same client as the web's, so that they reach no address
//! that it may not. An object is seen under its name whole, or not yet.

use std::collections::BTreeMap;
use std::sync::Arc;

use dayan_spec::Pattern;
use dayan_units::AttemptId;
use dayan_wire::OutputOrder;
use futures_util::StreamExt as _;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::client::{HttpClient, HttpConnector};
use object_store::path::Path as Key;
use object_store::{
    ClientOptions, Error, GetOptions, GetRange, ObjectMeta, ObjectStore as _, ObjectStoreExt as _,
    WriteMultipart,
};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use super::Guard;
use super::checkpoint::Mark;
use super::courier::Courier;
use super::fetch::{Miss, Opened, Source, Wanted, below, single};
use super::progress::Going;
use super::ship::{Manifest, Outgoing};
use super::snag::Snag;

/// Objects of one input.
const OBJECTS_MAX: usize = 100_000;
/// A part of a large object: S3 takes parts from 5 MiB on, 10,000 of them.
const PART_BYTES: usize = 16 << 20;
/// Parts on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// What S3 copies in one request (`CopyObject`). A larger output cannot be published in one step.
const COPY_BYTES_MAX: u64 = 5 << 30;
/// Where an attempt's objects lie before they are published, below the folder they go to.
const STAGED: &str = ".dayan";

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

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    store: AmazonS3,
    identity: String,
}

/// An object under an attempt's key.
#[derive(Clone, Debug)]
pub(crate) struct Staged {
    bucket: Arc<Bucket>,
    from: Key,
    to: Key,
}

/// An object that was sent while its task ran, and the file as it was then.
#[derive(Clone, Debug)]
pub(super) struct Early {
    staged: Staged,
    mark: Mark,
}

/// Another try may help with this, or not.
fn miss(error: &Error) -> Miss {
    let why = describe(error);
    match error {
        Error::NotFound { .. }
        | Error::InvalidPath { .. }
        | Error::PermissionDenied { .. }
        | Error::Unauthenticated { .. }
        | Error::NotSupported { .. }
        | Error::UnknownConfigurationKey { .. } => Miss::Never(why),
        _ if why.contains("own network") => Miss::Never(why),
        _ => Miss::Again(why),
    }
}

fn snag(error: &Error) -> Snag {
    match miss(error) {
        Miss::Never(why) => Snag::job(why),
        Miss::Again(why) | Miss::Here(why) => why.into(),
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

impl Bucket {
    fn open(courier: &Courier, bucket: &str, secret: Option<&String>) -> Result<Self, String> {
        let connector = Ours(courier.web.client());
        let mut builder =
            AmazonS3Builder::new().with_bucket_name(bucket).with_http_connector(connector);
        let mut identity = bucket.to_owned();
        match secret {
            None => builder = builder.with_skip_signature(true).with_region("us-east-1"),
            Some(secret) => {
                // What the text is stays out of the message.
                let access: Access = serde_json::from_str(secret).map_err(|_| {
                    "its secret is not a JSON object with access_key_id, secret_access_key and, \
                     where they are needed, session_token, region, endpoint"
                        .to_owned()
                })?;
                identity = format!("{identity}\n{}", access.key_id);
                builder = builder
                    .with_access_key_id(access.key_id)
                    .with_secret_access_key(access.secret_access_key)
                    .with_region(access.region.unwrap_or_else(|| "us-east-1".to_owned()));
                if let Some(token) = access.session_token {
                    builder = builder.with_token(token);
                }
                if let Some(endpoint) = access.endpoint {
                    courier.web.check(&endpoint)?;
                    identity = format!("{identity}\n{endpoint}");
                    builder = builder
                        .with_allow_http(endpoint.starts_with("http://"))
                        .with_endpoint(endpoint)
                        .with_virtual_hosted_style_request(false);
                }
            }
        }
        let store = builder.build().map_err(|error| describe(&error))?;
        Ok(Self { store, identity })
    }

    /// What tells it from others, for the cache.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Objects below a folder.
    async fn list(&self, folder: &str) -> Result<Vec<ObjectMeta>, Snag> {
        let prefix = key(folder.trim_end_matches('/'))?;
        let listed = self.store.list(Some(&prefix)).take(OBJECTS_MAX + 1).try_collect::<Vec<_>>();
        let mut found = listed.await.map_err(|error| snag(&error))?;
        if found.len() > OBJECTS_MAX {
            return Err(Snag::job(format!("more than {OBJECTS_MAX} objects")));
        }
        // What other attempts have not published.
        found.retain(|object| object.location.parts().all(|part| part.as_ref() != STAGED));
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// Bytes of an object, from a place on, of the content that was listed.
    pub(super) async fn open_at(
        &self,
        object: &str,
        from: u64,
        etag: Option<String>,
    ) -> Result<Opened, Miss> {
        let location = key(object).map_err(Miss::Never)?;
        let options = GetOptions {
            range: (from > 0).then_some(GetRange::Offset(from)),
            if_match: etag.clone(),
            ..GetOptions::default()
        };
        let got = self.store.get_opts(&location, options).await;
        let got = got.map_err(|error| miss(&error))?;
        let bytes = got.into_stream();
        let bytes = bytes.map(|bytes| bytes.map(|b| b.to_vec()).map_err(|e| describe(&e))).boxed();
        Ok(Opened { from, etag, bytes })
    }

    async fn put(
        &self,
        file: &Outgoing,
        to: &Key,
        guard: &Guard,
        going: &Going,
    ) -> Result<(), String> {
        let unread = |error: std::io::Error| format!("{}: {error}", file.name);
        let mut source = tokio::fs::File::open(&file.path).await.map_err(unread)?;
        let size = source.metadata().await.map_err(unread)?.len();
        if size > COPY_BYTES_MAX {
            let most = COPY_BYTES_MAX >> 30;
            return Err(format!(
                "{} has {size} bytes; an object of at most {most} GiB can be \
                published, so cut it into parts",
                file.name
            ));
        }
        if size <= PART_BYTES as u64 {
            let mut bytes = Vec::new();
            source.read_to_end(&mut bytes).await.map_err(unread)?;
            self.store.put(to, bytes.into()).await.map_err(|error| describe(&error))?;
            going.came(size);
            return Ok(());
        }
        let upload = self.store.put_multipart(to).await.map_err(|error| describe(&error))?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut piece = vec![0; 1 << 20];
        loop {
            if let Err(why) = guard.check() {
                let _ = upload.abort().await;
                return Err(why);
            }
            let read = source.read(&mut piece).await.map_err(unread)?;
            if read == 0 {
                break;
            }
            let room = upload.wait_for_capacity(PARTS_AT_ONCE).await;
            room.map_err(|error| describe(&error))?;
            upload.write(&piece[..read]);
            going.came(read as u64);
        }
        upload.finish().await.map(drop).map_err(|error| describe(&error))
    }
}

fn key(text: &str) -> Result<Key, String> {
    Key::parse(text).map_err(|error| error.to_string())
}

fn parts(address: &str) -> Result<(&str, &str), String> {
    let rest = address.strip_prefix("s3://").unwrap_or(address);
    rest.split_once('/').ok_or_else(|| "it names no object".to_owned())
}

/// Where an object goes, and where it lies before: below the folder it goes to.
fn places(prefix: &str, file: &Outgoing, attempt: AttemptId) -> Result<(Key, Key), String> {
    let to = match (file.below.is_empty(), prefix.is_empty() || prefix.ends_with('/')) {
        (true, true) => format!("{prefix}{}", file.name),
        (true, false) => prefix.to_owned(),
        (false, true) => format!("{prefix}{}", file.below),
        (false, false) => format!("{prefix}/{}", file.below),
    };
    let (folder, name) = to.rsplit_once('/').map_or(("", to.as_str()), |(f, n)| (f, n));
    let slash = if folder.is_empty() { "" } else { "/" };
    let from = format!("{folder}{slash}{STAGED}/{attempt}/{name}");
    Ok((key(&from)?, key(&to)?))
}

impl Courier {
    pub(super) async fn look_up_objects(
        &self,
        input: &OutputOrder,
        secret: Option<&String>,
        guard: &Guard,
    ) -> Result<Vec<Wanted>, Snag> {
        guard.check()?;
        let (bucket, path) = parts(&input.from).map_err(Snag::job)?;
        let opened = Arc::new(Bucket::open(self, bucket, secret)?);
        let pattern = Pattern::of(path).map_err(|error| Snag::job(error.to_string()))?;
        let folder = path.is_empty() || path.ends_with('/');
        let found = match &pattern {
            Some(pattern) => opened.list(pattern.base()).await?,
            None if folder => opened.list(path).await?,
            None => {
                let head = opened.store.head(&key(path)?).await;
                vec![head.map_err(|error| snag(&error))?]
            }
        };
        let wanted = |object: ObjectMeta| {
            let own = object.location.to_string();
            let inside = match &pattern {
                Some(pattern) => Some(pattern.matches(&own)?.to_owned()),
                None if folder => Some(own.strip_prefix(path)?.to_owned()),
                None => None,
            };
            let name = own.rsplit('/').next().unwrap_or_default();
            Some(Wanted {
                to: match &inside {
                    Some(inside) => below(&input.to, inside),
                    None => single(&input.to, name),
                },
                called: format!("s3://{bucket}/{own}"),
                source: Source::Object {
                    bucket: Arc::clone(&opened),
                    key: own,
                    etag: object.e_tag,
                },
                sha256: input.sha256.clone(),
                size: Some(object.size),
            })
        };
        let wanted: Vec<Wanted> = found.into_iter().filter_map(wanted).collect();
        if wanted.is_empty() { Err(Snag::job("nothing is there".to_owned())) } else { Ok(wanted) }
    }

    #[expect(clippy::too_many_arguments, reason = "everything that sending one output needs")]
    pub(super) async fn send_objects(
        &self,
        attempt: AttemptId,
        output: &OutputOrder,
        found: Vec<Outgoing>,
        secrets: &BTreeMap<String, String>,
        guard: &Guard,
        going: &Going,
        manifest: &mut Manifest,
    ) -> Result<(), String> {
        let secret = match &output.secret {
            Some(name) => Some(secrets.get(name).ok_or_else(|| super::fetch::no_secret(name))?),
            None => None,
        };
        let (bucket, prefix) = parts(&output.to)?;
        let bucket = Arc::new(Bucket::open(self, bucket, secret)?);
        for file in found {
            guard.check()?;
            let (from, to) = places(prefix, &file, attempt)?;
            let mark = Mark::of(&file.path);
            let before = self.early(attempt, |early| early.get(&from).map(|sent| sent.mark));
            if mark.is_some() && mark == before {
                going.came(file.path.metadata().map_or(0, |about| about.len()));
            } else {
                let _slot = self.slots.acquire().await.map_err(|_| "the agent ends".to_owned())?;
                bucket.put(&file, &from, guard, going).await?;
            }
            manifest.objects.push(Staged { bucket: Arc::clone(&bucket), from, to });
        }
        Ok(())
    }

    fn early<T>(&self, attempt: AttemptId, act: impl FnOnce(&mut BTreeMap<Key, Early>) -> T) -> T {
        let mut early = self.early.lock().expect("nobody panics while holding it");
        act(early.entry(attempt).or_default())
    }

    /// Sends files of an output under the attempt's key while its task runs. One that was written to
    /// meanwhile is sent again at the end.
    pub(super) async fn send_early(
        &self,
        attempt: AttemptId,
        output: &OutputOrder,
        files: Vec<Outgoing>,
        secrets: &BTreeMap<String, String>,
        guard: &Guard,
        going: &Going,
    ) -> Result<(), String> {
        for file in files {
            let mark = Mark::of(&file.path);
            let mut sent = Manifest::default();
            let (path, files) = (file.path.clone(), vec![file]);
            self.send_objects(attempt, output, files, secrets, guard, going, &mut sent).await?;
            if let (Some(mark), Some(staged)) = (mark, sent.objects.pop())
                && Mark::of(&path) == Some(mark)
            {
                self.early(attempt, |early| {
                    early.insert(staged.from.clone(), Early { staged, mark })
                });
            }
        }
        Ok(())
    }

    /// Removes what was sent early for an attempt and not published. What was is gone already.
    pub(super) fn drop_early(&self, attempt: AttemptId) {
        let sent = self.early.lock().expect("nobody panics while holding it").remove(&attempt);
        let Some(sent) = sent.filter(|sent| !sent.is_empty()) else { return };
        tokio::spawn(async move {
            for early in sent.into_values() {
                match early.staged.bucket.store.delete(&early.staged.from).await {
                    Ok(()) | Err(Error::NotFound { .. }) => {}
                    Err(error) => {
                        let error = describe(&error);
                        tracing::warn!(key = %early.staged.from, error, "was left behind");
                    }
                }
            }
        });
    }

    /// Copies what was sent to its names, then removes what it was copied from. What an earlier try
    /// copied and removed is not missed.
    pub(super) async fn rename_objects(
        &self,
        staged: &[Staged],
        guard: &Guard,
    ) -> Result<(), String> {
        for object in staged {
            guard.check()?;
            let store = &object.bucket.store;
            match store.copy(&object.from, &object.to).await {
                Ok(()) => {}
                Err(Error::NotFound { .. }) if store.head(&object.to).await.is_ok() => {}
                Err(error) => return Err(format!("{}: {}", object.to, describe(&error))),
            }
        }
        for object in staged {
            if let Err(error) = object.bucket.store.delete(&object.from).await {
                tracing::warn!(key = %object.from, error = describe(&error), "was left behind");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    #[test]
    fn objects_wait_beside_where_they_go() {
        let attempt = AttemptId { job: JobId::from_bits(7), task: 3, attempt: 2 };
        let check = |prefix: &str, below: &str, expect: &str, folder: &str| {
            let name = below.rsplit('/').next().unwrap_or("a").to_owned();
            let name = if name.is_empty() { "a".to_owned() } else { name };
            let file = Outgoing { below: below.to_owned(), name, path: "x".into() };
            let (from, to) = places(prefix, &file, attempt).expect("keys");
            assert_eq!(to.as_ref(), expect);
            let own = expect.rsplit('/').next().expect("a name");
            assert_eq!(from.as_ref(), format!("{folder}.dayan/{attempt}/{own}"));
        };
        check("out/", "", "out/a", "out/");
        check("out/b", "", "out/b", "out/");
        check("out", "c/d", "out/c/d", "out/c/");
        check("", "d", "d", "");
        assert!(parts("s3://bucket").is_err());
    }
}
