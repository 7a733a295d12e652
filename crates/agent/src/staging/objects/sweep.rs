//! A bucket is tried before a task runs, and what attempts have left behind in it goes after a week.
//!
//! A task may run for ten hours before its first byte is sent: that its bucket is not there, or its secret
//! may not write, is found out before. Invariants: only what lies below [`STAGED`] and is called as an
//! attempt of ours calls it is ever removed. An upload is aborted only where a note tells of it that lies where
//! the upload's own key puts it: whoever has the bucket's key may write notes, and no note makes anything go
//! that lies elsewhere. Must not know what else is in the bucket.

use std::sync::Arc;

use dayan_units::AttemptId;
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
use super::patience::before_the_start;
use super::{Bucket, STAGED, Shelf, describe, key, snag};

/// What lies unpublished for so long is of an attempt that cannot publish it any more, or of a task that
/// runs for more than a week and sends it again.
const LEFT_SECONDS_MAX: i64 = 7 * 24 * 3_600;
/// A folder is cleared by one agent no more often: listing costs the bucket's owner a request for each
/// thousand objects.
const SWEEP_EVERY_US: i64 = 24 * 3_600 * 1_000_000;
/// Objects that are looked at in one sweep: a hundred requests, a tenth of a cent. The next goes on where it
/// ended, so that nothing is behind what others have put there for good.
const SWEPT_MAX: usize = 100_000;
/// Objects that are remembered until they are removed: a page of a list.
const REMOVED_AT_ONCE: usize = 1_000;
/// For so long it is remembered where that was. An agent that is started again begins at the beginning.
const PLACE_KEPT_US: i64 = 30 * SWEEP_EVERY_US;

/// What a bucket is tried with is called so, in the attempt's folder.
const PROBE: &str = "probe";
/// A note has a key of 1 KiB at most, an upload's name, and what JSON adds.
const NOTE_BYTES_MAX: u64 = 16 << 10;

/// What is written down of an upload beside where it goes: who finds it can abort it.
#[derive(Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) key: String,
    pub(super) upload: String,
}

/// How far the clearing of a folder is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Swept {
    /// When that was, in microseconds since boot.
    at: i64,
    /// The last key that was looked at; none where there were no more.
    last: Option<Key>,
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
            let probed = before_the_start(
                self.start_patience,
                guard,
                |_| {},
                || probe(&*bucket.store, &folder),
            );
            let now = match probed.await {
                Ok(now) => now,
                Err(snag) => return Err(self.settled(about(snag)).await),
            };
            self.sweep_later(&bucket, &goes, now);
        }
        Ok(())
    }

    /// Clears a folder, unless that was done of late.
    fn sweep_later(&self, bucket: &Arc<Bucket>, goes: &Goes, now: i64) {
        let time = clock_gettime(ClockId::Boottime);
        let since_boot = time.tv_sec.saturating_mul(1_000_000);
        let folder = goes.folder.clone();
        let name = format!("{}\n{folder}", bucket.identity());
        let from = {
            let mut swept = self.objects.swept.lock().expect("nobody panics while holding it");
            swept.retain(|_, swept| since_boot.saturating_sub(swept.at) < PLACE_KEPT_US);
            let before = swept.get(&name).cloned();
            let since = before.as_ref().map(|before| since_boot.saturating_sub(before.at));
            if since.is_some_and(|since| since < SWEEP_EVERY_US) {
                return;
            }
            let from = before.and_then(|before| before.last);
            swept.insert(name.clone(), Swept { at: since_boot, last: from.clone() });
            from
        };
        let (bucket, all) = (Arc::clone(bucket), Arc::clone(&self.objects.swept));
        tokio::spawn(async move {
            match sweep(&*bucket.store, &folder, now, from.as_ref(), SWEPT_MAX).await {
                Ok((gone, last)) => {
                    if gone > 0 {
                        tracing::info!(gone, folder, "cleared of what attempts left behind");
                    }
                    let mut all = all.lock().expect("nobody panics while holding it");
                    all.insert(name, Swept { at: since_boot, last });
                }
                Err(snag) => tracing::info!(why = snag.why, folder, "cannot be cleared"),
            }
        });
    }
}

/// Puts an object, looks at it and removes it. The time by the store's own clock, in seconds.
async fn probe(store: &dyn Shelf, folder: &Key) -> Result<i64, Snag> {
    let probe = folder.clone().join(PROBE);
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

/// Removes what has lain in a folder for too long, with the uploads that are written down there: of so many
/// objects behind `from`. How many went, and the last that was looked at, unless it was the last of all.
async fn sweep(
    store: &dyn Shelf,
    folder: &str,
    now: i64,
    from: Option<&Key>,
    most: usize,
) -> Result<(usize, Option<Key>), Snag> {
    let below = key(&format!("{folder}{STAGED}"))?;
    let listed = match from {
        Some(from) => store.list_with_offset(Some(&below), from),
        None => store.list(Some(&below)),
    };
    let mut listed = listed.take(most);
    let (mut seen, mut gone, mut last) = (0, 0, None);
    let mut old = Vec::new();
    loop {
        let object = listed.try_next().await.map_err(|error| snag(&error))?;
        let ended = object.is_none();
        if let Some(object) = object {
            seen += 1;
            last = Some(object.location.clone());
            let age = now.saturating_sub(object.last_modified.timestamp());
            let left = Left::of(folder, object.location.as_ref());
            old.extend(left.filter(|_| age > LEFT_SECONDS_MAX).map(|left| (object, left)));
        }
        if ended || old.len() >= REMOVED_AT_ONCE {
            gone += remove_all(store, std::mem::take(&mut old)).await;
        }
        if ended {
            return Ok((gone, last.filter(|_| seen == most)));
        }
    }
}

/// Removes them; how many went. The others go all the same.
async fn remove_all(store: &dyn Shelf, old: Vec<(ObjectMeta, Left)>) -> usize {
    let removals = old.into_iter().map(|(object, left)| remove(store, object, left));
    let mut removals = futures_util::stream::iter(removals).buffer_unordered(REQUESTS_AT_ONCE);
    let mut gone = 0;
    while let Some(removed) = removals.next().await {
        match removed {
            Ok(()) => gone += 1,
            Err(error) => tracing::info!(error = describe(&error), "was left behind"),
        }
    }
    gone
}

/// Something that an attempt has left, by how it is called.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Left {
    /// An object that has not got its name, or a trial.
    Object,
    /// A note of an upload to this key: what it says of another is not true.
    Note(String),
}

impl Left {
    /// What lies at a key, in the folder that outputs go to; none where no attempt calls anything so.
    fn of(folder: &str, at: &str) -> Option<Self> {
        let own = at.strip_prefix(folder)?.strip_prefix(STAGED)?.strip_prefix('/')?;
        let (job, rest) = own.split_once('/')?;
        let (number, rest) = rest.split_once('/')?;
        let attempt = format!("{job}/{number}");
        // As it writes itself, and in no other way.
        let known = attempt.parse::<AttemptId>().is_ok_and(|known| known.to_string() == attempt);
        if !known {
            return None;
        }
        let is_output = |text: &str| text.parse::<u32>().is_ok();
        match rest.split_once('/') {
            None => (rest == PROBE).then_some(Self::Object),
            Some((NOTES, rest)) => {
                let (output, below) = rest.split_once('/')?;
                is_output(output).then(|| Self::Note(format!("{folder}{below}")))
            }
            Some((output, _)) => is_output(output).then_some(Self::Object),
        }
    }
}

/// An object goes, and the upload that it tells of.
async fn remove(store: &dyn Shelf, object: ObjectMeta, left: Left) -> object_store::Result<()> {
    let at = object.location;
    if let Left::Note(to) = left
        && object.size <= NOTE_BYTES_MAX
    {
        let note = store.get(&at).await?.bytes().await?;
        if let Ok(note) = serde_json::from_slice::<Note>(&note)
            && note.key == to
        {
            abort(store, &Key::parse(&to)?, &note.upload).await?;
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

    const WEEK: i64 = LEFT_SECONDS_MAX;

    fn at(key: &str) -> Key {
        Key::from(key)
    }

    fn attempt(task: u32) -> AttemptId {
        AttemptId { job: dayan_units::JobId::from_bits(7), task, attempt: 1 }
    }

    async fn keys(store: &InMemory) -> Vec<String> {
        let listed = store.list(None).map_ok(|object| object.location.to_string());
        listed.try_collect().await.expect("listed")
    }

    async fn put(store: &InMemory, key: &str, text: String) {
        store.put(&at(key), text.into()).await.expect("put");
    }

    /// The store's time, from something that was just put.
    async fn now(store: &InMemory, key: &str) -> i64 {
        store.head(&at(key)).await.expect("there").last_modified.timestamp()
    }

    fn note(key: &str, upload: &str) -> String {
        let note = Note { key: key.to_owned(), upload: upload.to_owned() };
        serde_json::to_string(&note).expect("text")
    }

    #[tokio::test]
    async fn what_was_left_goes_after_a_week_and_nothing_else() {
        let store = InMemory::new();
        let own = format!("out/.dayan/{}", attempt(0));
        put(&store, &format!("{own}/0/x"), "1".to_owned()).await;
        put(&store, "out/x", "2".to_owned()).await;
        let upload = store.create_multipart(&at("out/y")).await.expect("begun");
        put(&store, &format!("{own}/uploads/0/y"), note("out/y", &upload)).await;
        let now = now(&store, "out/x").await;
        let sweep = async |now| sweep(&store, "out/", now, None, 100).await;
        assert_eq!(sweep(now + WEEK - 60).await, Ok((0, None)));
        assert!(store.put_part(&at("out/y"), &upload, 0, "p".into()).await.is_ok());

        assert_eq!(sweep(now + WEEK + 60).await, Ok((2, None)));
        assert_eq!(keys(&store).await, ["out/x"]);
        let gone = store.put_part(&at("out/y"), &upload, 1, "p".into()).await;
        assert!(gone.is_err(), "the upload was aborted");
    }

    #[tokio::test]
    async fn no_note_makes_anything_go_that_lies_elsewhere() {
        let store = InMemory::new();
        let (own, other) = (attempt(0), at("backup/all"));
        let upload = store.create_multipart(&other).await.expect("begun");
        // Written by anybody who has the bucket's key, as if an upload of theirs were ours.
        let lie = format!("out/.dayan/{own}/uploads/0/y");
        put(&store, &lie, note("backup/all", &upload)).await;
        // And what no attempt calls so.
        let strange = [
            "out/.dayan/readme".to_owned(),
            "out/.dayan/job_a/0.1/0/x".to_owned(),
            format!("out/.dayan/{own}/uploads/y"),
            format!("out/.dayan/{own}/notes/0/y"),
            format!("out/.dayan/{own}x/0/y"),
            "out/.dayan/deep/.dayan/x".to_owned(),
        ];
        for key in &strange {
            put(&store, key, note("backup/all", &upload)).await;
        }
        let now = now(&store, &lie).await;
        assert_eq!(sweep(&store, "out/", now + WEEK + 60, None, 100).await, Ok((1, None)));
        assert!(store.put_part(&other, &upload, 0, "p".into()).await.is_ok(), "it goes on");
        let mut left = keys(&store).await;
        left.sort();
        let mut expect = strange.to_vec();
        expect.sort();
        assert_eq!(left, expect);
    }

    #[tokio::test]
    async fn the_next_sweep_goes_on_where_the_last_one_ended() {
        let store = InMemory::new();
        // What others have put in front, for good.
        for number in 0..5 {
            put(&store, &format!("out/.dayan/a{number}"), String::new()).await;
        }
        let own = format!("out/.dayan/{}/0/x", attempt(0));
        put(&store, &own, String::new()).await;
        let now = now(&store, &own).await + WEEK + 60;
        let (gone, last) = sweep(&store, "out/", now, None, 4).await.expect("swept");
        assert_eq!((gone, &last), (0, &Some(at("out/.dayan/a3"))));
        assert_eq!(sweep(&store, "out/", now, last.as_ref(), 4).await, Ok((1, None)));
        assert_eq!(keys(&store).await.len(), 5);
    }

    #[tokio::test]
    async fn a_probe_leaves_nothing() {
        let store = InMemory::new();
        let now = probe(&store, &Key::from("out/.dayan/a")).await.expect("it may");
        assert!(now > 0);
        assert_eq!(store.list(None).count().await, 0);
    }
}
