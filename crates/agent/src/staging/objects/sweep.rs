//! A bucket is tried before a task runs, and what attempts have left behind in it goes after a week.
//!
//! A task may run for ten hours before its first byte is sent: that its bucket is not there, or its secret
//! may not write, is found out before. Invariant: only what lies below [`STAGED`] is ever removed, and
//! uploads that are written down there. Must not know what else is in the bucket.

use std::sync::Arc;

use dayan_wire::LeaseOrder;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::path::Path as Key;
use object_store::{Error, ObjectMeta, ObjectStoreExt as _};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::super::Guard;
use super::super::courier::Courier;
use super::super::snag::Snag;
use super::outputs::{Goes, NOTES, REQUESTS_AT_ONCE};
use super::{Bucket, STAGED, Shelf, describe, key, snag};

/// What lies unpublished for so long is of an attempt that cannot publish it any more, or of a task that
/// runs for more than a week and sends it again.
const LEFT_SECONDS_MAX: i64 = 7 * 24 * 3_600;
/// A folder is cleared by one agent no more often: listing costs the bucket's owner a request for each
/// thousand objects.
const SWEEP_EVERY_US: i64 = 24 * 3_600 * 1_000_000;
/// Objects that are looked at in one sweep: ten requests. The next takes up the rest.
const SWEPT_MAX: usize = 10_000;

/// A note has a key of 1 KiB at most, an upload's name, and what JSON adds.
const NOTE_BYTES_MAX: u64 = 16 << 10;

/// What is written down of an upload beside where it goes: who finds it can abort it.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) key: String,
    pub(super) upload: String,
}

impl Courier {
    /// Tries where an attempt's outputs are to go: each bucket takes an object, shows it and lets it go.
    pub(in super::super) async fn try_objects(
        &self,
        order: &LeaseOrder,
        secrets: &std::collections::BTreeMap<String, String>,
        guard: &Guard,
    ) -> Result<(), Snag> {
        let mut tried = std::collections::BTreeSet::new();
        for (number, output) in (0..).zip(&order.outputs) {
            if !output.to.starts_with("s3://") {
                continue;
            }
            guard.check()?;
            let about = |snag: Snag| snag.about(&format!("`{}`", output.to));
            let (bucket, goes) = self.open_output(number, output, secrets).map_err(about)?;
            // Where a file could not be told from a folder, the folder is the one above.
            let folder = goes.staged(order.attempt).map_err(about)?;
            if !tried.insert((bucket.identity().to_owned(), folder.to_string())) {
                continue;
            }
            let now = probe(&*bucket.store, &folder).await.map_err(about)?;
            self.sweep_later(&bucket, &goes, now);
        }
        Ok(())
    }

    /// Clears a folder, unless that was done of late.
    fn sweep_later(&self, bucket: &Arc<Bucket>, goes: &Goes, now: i64) {
        let time = clock_gettime(ClockId::Boottime);
        let since_boot = time.tv_sec.saturating_mul(1_000_000);
        let below = format!("{}{STAGED}", goes.folder);
        {
            let mut swept = self.objects.swept.lock().expect("nobody panics while holding it");
            swept.retain(|_, at| since_boot.saturating_sub(*at) < SWEEP_EVERY_US);
            let name = format!("{}\n{below}", bucket.identity());
            if swept.insert(name, since_boot).is_some() {
                return;
            }
        }
        let bucket = Arc::clone(bucket);
        tokio::spawn(async move {
            match sweep(&*bucket.store, &below, now).await {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, below, "cleared of what attempts left behind"),
                Err(snag) => tracing::info!(why = snag.why, below, "cannot be cleared"),
            }
        });
    }
}

/// Puts an object, looks at it and removes it. The time by the store's own clock, in seconds.
async fn probe(store: &dyn Shelf, folder: &Key) -> Result<i64, Snag> {
    let probe = folder.clone().join("probe");
    let tried = async {
        store.put(&probe, "dayan".into()).await?;
        store.head(&probe).await
    };
    let about = tried.await.map_err(|error| {
        let what = match &error {
            Error::NotFound { .. } => "there is no such bucket",
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                "its secret may not write and read there"
            }
            _ => "nothing can be stored there",
        };
        snag(&error).about(&format!("{what}, so its task was not started"))
    })?;
    match store.delete(&probe).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        // It can be published all the same.
        Err(error) => tracing::info!(%probe, error = describe(&error), "was left behind"),
    }
    Ok(about.last_modified.timestamp())
}

/// Removes what has lain in a folder for too long, with the uploads that are written down there. How
/// many objects that were.
async fn sweep(store: &dyn Shelf, below: &str, now: i64) -> Result<usize, Snag> {
    let below = key(below)?;
    let listed = store.list(Some(&below)).take(SWEPT_MAX).try_collect::<Vec<_>>();
    let listed = listed.await.map_err(|error| snag(&error))?;
    let old = |object: &ObjectMeta| {
        now.saturating_sub(object.last_modified.timestamp()) > LEFT_SECONDS_MAX
    };
    let removals = listed.into_iter().filter(old).map(|object| remove(store, object));
    let mut removals = futures_util::stream::iter(removals).buffer_unordered(REQUESTS_AT_ONCE);
    let mut gone = 0;
    while let Some(removed) = removals.next().await {
        match removed {
            Ok(()) => gone += 1,
            // The others go all the same.
            Err(error) => tracing::info!(error = describe(&error), "was left behind"),
        }
    }
    Ok(gone)
}

/// An object goes, and the upload that it tells of.
async fn remove(store: &dyn Shelf, object: ObjectMeta) -> object_store::Result<()> {
    let at = object.location;
    // Behind the folder and the attempt: its job and its number.
    let mut kind = at.parts().skip_while(|part| part.as_ref() != STAGED).skip(3);
    let notes = kind.next().is_some_and(|kind| kind.as_ref() == NOTES);
    // Anybody who has the bucket may have put something there.
    if notes && object.size <= NOTE_BYTES_MAX {
        let note = store.get(&at).await?.bytes().await?;
        if let Ok(note) = serde_json::from_slice::<Note>(&note) {
            abort(store, &Key::parse(&note.key)?, &note.upload).await?;
        }
    }
    match store.delete(&at).await {
        Err(Error::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// Aborts an upload, if there still is one.
pub(super) async fn abort(store: &dyn Shelf, to: &Key, upload: &str) -> object_store::Result<()> {
    match store.abort_multipart(to, &upload.to_owned()).await {
        Err(Error::NotFound { .. }) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStore as _;
    use object_store::memory::InMemory;
    use object_store::multipart::MultipartStore as _;

    #[tokio::test]
    async fn what_was_left_goes_after_a_week_and_nothing_else() {
        let store = InMemory::new();
        let at = |key: &str| Key::from(key);
        store.put(&at("out/.dayan/job_a/0.1/0/x"), "1".into()).await.expect("put");
        store.put(&at("out/x"), "2".into()).await.expect("put");
        let upload = store.create_multipart(&at("out/y")).await.expect("begun");
        let note = Note { key: "out/y".to_owned(), upload: upload.clone() };
        let note = serde_json::to_vec(&note).expect("text");
        store.put(&at("out/.dayan/job_a/0.1/uploads/0/y"), note.into()).await.expect("put");
        let now = store.head(&at("out/x")).await.expect("there").last_modified.timestamp();
        assert_eq!(sweep(&store, "out/.dayan", now + LEFT_SECONDS_MAX - 60).await, Ok(0));
        assert!(store.put_part(&at("out/y"), &upload, 0, "p".into()).await.is_ok());

        assert_eq!(sweep(&store, "out/.dayan", now + LEFT_SECONDS_MAX + 60).await, Ok(2));
        let left: Vec<_> = store.list(None).map_ok(|o| o.location).try_collect().await.expect("x");
        assert_eq!(left, [at("out/x")]);
        let gone = store.put_part(&at("out/y"), &upload, 1, "p".into()).await;
        assert!(gone.is_err(), "the upload was aborted");
    }

    #[tokio::test]
    async fn a_probe_leaves_nothing() {
        let store = InMemory::new();
        let now = probe(&store, &Key::from("out/.dayan/a")).await.expect("it may");
        assert!(now > 0);
        assert_eq!(store.list(None).count().await, 0);
    }
}
