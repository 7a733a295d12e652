//! Inputs from object stores: what an address means, and bytes from there on.
//!
//! Invariant: what other attempts have sent and not published is no input. Must not know where the bytes
//! go.

use std::sync::Arc;

use dayan_spec::Pattern;
use dayan_wire::OutputOrder;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::{GetOptions, GetRange, ObjectMeta, ObjectStoreExt as _};

use super::super::Guard;
use super::super::courier::Courier;
use super::super::fetch::{Miss, Opened, Source, Wanted, below, single};
use super::super::progress::Going;
use super::super::snag::Snag;
use super::patience::before_the_start;
use super::{Bucket, STAGED, describe, key, miss, parts, snag};

/// Empty objects that are asked for at one time, whether they are there.
const LOOKS_AT_ONCE: usize = 16;
/// Objects of one input.
const OBJECTS_MAX: usize = 100_000;

impl Bucket {
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
        self.without_markers(found).await
    }

    /// Consoles make objects without bytes that end with a slash, to show a folder. They are listed without
    /// the slash, and nothing is there under that name.
    async fn without_markers(&self, found: Vec<ObjectMeta>) -> Result<Vec<ObjectMeta>, Snag> {
        let mut looks = futures_util::stream::iter(found)
            .map(|object| async move {
                if object.size > 0 {
                    return Ok(Some(object));
                }
                match self.store.head(&object.location).await {
                    Ok(_) => Ok(Some(object)),
                    Err(object_store::Error::NotFound { .. }) => Ok(None),
                    Err(error) => Err(snag(&error)),
                }
            })
            .buffered(LOOKS_AT_ONCE);
        let mut kept = Vec::new();
        while let Some(object) = looks.next().await {
            kept.extend(object?);
        }
        Ok(kept)
    }

    /// Bytes of an object, from a place on, of the content that was listed.
    pub(in super::super) async fn open_at(
        &self,
        object: &str,
        from: u64,
        etag: Option<String>,
    ) -> Result<Opened, Miss> {
        let location = key(object).map_err(|snag| Miss::Never(snag.why))?;
        let options = |from: u64| GetOptions {
            range: (from > 0).then_some(GetRange::Offset(from)),
            if_match: etag.clone(),
            ..GetOptions::default()
        };
        let (mut from, mut got) = (from, self.store.get_opts(&location, options(from)).await);
        // The library looks at which bytes come.
        if let Err(error) = &got
            && from > 0
            && is_other_bytes(&describe(error))
        {
            tracing::info!(object, from, "other bytes came than were asked for");
            from = 0;
            got = self.store.get_opts(&location, options(from)).await;
        }
        let got = got.map_err(|error| miss(&error))?;
        let bytes = got.into_stream();
        let bytes = bytes.map(|bytes| bytes.map(|b| b.to_vec()).map_err(|e| describe(&e))).boxed();
        Ok(Opened { from, etag, size: None, bytes })
    }
}

/// Does the library say that what came is not what was asked for? It has no other word for it.
fn is_other_bytes(why: &str) -> bool {
    ["Content-Range", "non-partial response", "Requested "].iter().any(|words| why.contains(words))
}

impl Courier {
    pub(in super::super) async fn look_up_objects(
        &self,
        input: &OutputOrder,
        org: &str,
        secret: Option<&String>,
        guard: &Guard,
        going: &Going,
    ) -> Result<Vec<Wanted>, Snag> {
        let stuck = |why: &str| going.stuck(&input.from, why);
        let look = || self.look_at_objects(input, org, secret);
        let found = before_the_start(self.start_patience, guard, stuck, look).await;
        going.goes_on(&input.from);
        found
    }

    async fn look_at_objects(
        &self,
        input: &OutputOrder,
        org: &str,
        secret: Option<&String>,
    ) -> Result<Vec<Wanted>, Snag> {
        let (bucket, path) = parts(&input.from)?;
        let opened = Arc::new(Bucket::open(self, bucket, secret)?);
        let pattern = Pattern::of(path).map_err(|error| Snag::for_good(error.to_string()))?;
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
                org: org.to_owned(),
                called: format!("s3://{bucket}/{own}"),
                source: Source::Object {
                    bucket: Arc::clone(&opened),
                    key: own,
                    etag: object.e_tag,
                },
                sha256: input.sha256.clone(),
                size: Some(object.size),
                executable: false,
            })
        };
        let wanted: Vec<Wanted> = found.into_iter().filter_map(wanted).collect();
        if wanted.is_empty() {
            Err(Snag::for_good("nothing is there".to_owned()))
        } else {
            Ok(wanted)
        }
    }
}
