//! Outputs to object stores: sent where nobody sees them, seen under their names with the grant.
//!
//! A small file is put under the attempt's own key and copied to its name. A large one is an upload in
//! parts to its own name, which is seen once it is completed: nothing is copied, and it may have as many
//! bytes as the store takes. Invariants: nothing is named before [`Courier::name_objects`], which the
//! exchange has granted; repeating any step changes nothing; a file that has not changed since it was
//! sent is not sent again, also by another process. Must not know what a task is.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dayan_spec::Pattern;
use dayan_units::AttemptId;
use dayan_wire::OutputOrder;
use futures_util::StreamExt as _;
use object_store::multipart::PartId;
use object_store::path::Path as Key;
use object_store::{Error, ObjectStoreExt as _};

use super::super::Guard;
use super::super::checkpoint::Mark;
use super::super::courier::Courier;
use super::super::fetch::no_secret;
use super::super::opened;
use super::super::progress::Going;
use super::super::ship::{Outgoing, SENDS_MAX};
use super::super::snag::Snag;
use super::outbox::{Outbox, Sent, Slot, State, Step, Upload};
use super::patience::Patience;
use super::sweep::{Note, abort};
use super::{Bucket, PARTS_MIB_MAX, STAGED, describe, key, parts, snag};

/// Up to here a file is one object that is put and copied; beyond, an upload in parts of so many bytes,
/// and what is lost when a link is cut. S3 takes parts from 5 MiB on.
const PART_BYTES: u64 = 16 << 20;
/// Parts of one upload that S3 takes.
const PARTS_MAX: u64 = 10_000;
/// The largest object that every store takes.
const OBJECT_BYTES_MAX: u64 = 5 << 40;
/// Parts of one file on their way at once.
const PARTS_AT_ONCE: usize = 4;
/// Small requests at once: copies, removals. Each waits for a round trip and little else.
pub(super) const REQUESTS_AT_ONCE: usize = 8;
/// Where uploads are written down, below the attempt's folder. Outputs lie there under their numbers.
pub(super) const NOTES: &str = "uploads";

/// Where an output goes.
#[derive(Clone, Debug)]
pub(super) struct Goes {
    output: u32,
    /// Its path in the bucket.
    prefix: String,
    /// The folder that its objects lie below, with its slash; empty for the bucket's own.
    pub(super) folder: String,
}

/// An object that was sent, and where it lies until it has its name.
#[derive(Clone, Debug)]
pub(in super::super) struct Staged {
    bucket: Arc<Bucket>,
    pub(super) slot: Slot,
    pub(super) from: Key,
    pub(super) note: Key,
    pub(super) to: Key,
}

/// What giving names came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Naming {
    /// All have theirs.
    Done,
    /// The store does not have something of it any more: it is to be sent again.
    Lost,
}

/// Why a part did not get there.
enum PartFault {
    /// The store does not know the upload any more.
    Gone,
    Failed(Snag),
}

impl From<Snag> for PartFault {
    fn from(snag: Snag) -> Self {
        Self::Failed(snag)
    }
}

impl Goes {
    pub(super) fn to(output: u32, prefix: &str, order: &OutputOrder) -> Result<Self, Snag> {
        let pattern = Pattern::of(&order.from).map_err(|error| Snag::job(error.to_string()))?;
        let folder = if prefix.is_empty() || prefix.ends_with('/') {
            prefix.to_owned()
        } else if pattern.is_some() || order.from.ends_with('/') {
            format!("{prefix}/")
        } else {
            prefix.rsplit_once('/').map_or_else(String::new, |(above, _)| format!("{above}/"))
        };
        Ok(Self { output, prefix: prefix.to_owned(), folder })
    }

    /// The attempt's own folder.
    pub(super) fn staged(&self, attempt: AttemptId) -> Result<Key, Snag> {
        key(&format!("{}{STAGED}/{attempt}", self.folder))
    }

    pub(super) fn object(
        &self,
        bucket: &Arc<Bucket>,
        file: &Outgoing,
        attempt: AttemptId,
    ) -> Result<Staged, Snag> {
        let prefix = &self.prefix;
        let to = match (file.below.is_empty(), prefix.is_empty() || prefix.ends_with('/')) {
            (true, true) => format!("{prefix}{}", file.name),
            (true, false) => prefix.clone(),
            (false, true) => format!("{prefix}{}", file.below),
            (false, false) => format!("{prefix}/{}", file.below),
        };
        let (output, below) = (self.output, to.strip_prefix(&self.folder).unwrap_or(&to));
        let staged = format!("{}{STAGED}/{attempt}", self.folder);
        Ok(Staged {
            bucket: Arc::clone(bucket),
            from: key(&format!("{staged}/{output}/{below}"))?,
            note: key(&format!("{staged}/{NOTES}/{output}/{below}"))?,
            to: key(&to)?,
            slot: Slot { output, key: to },
        })
    }
}

impl Upload {
    fn count(&self) -> u64 {
        self.size.div_ceil(self.part_bytes)
    }

    /// Bytes of a part.
    fn length(&self, part: u64) -> u64 {
        self.size.saturating_sub(part * self.part_bytes).min(self.part_bytes)
    }
}

/// How many bytes each part of so large a file has, so that there are not too many: whole MiB, as all but
/// the last have to be equal for some stores.
pub(super) fn part_bytes(size: u64) -> u64 {
    size.div_ceil(PARTS_MAX).next_multiple_of(1 << 20).max(PART_BYTES)
}

impl Courier {
    fn outbox(&self, attempt: AttemptId) -> Arc<Outbox> {
        let mut all = self.objects.outboxes.lock().expect("nobody panics while holding it");
        let open = || Arc::new(Outbox::open(self.record(attempt)));
        Arc::clone(all.entry(attempt).or_insert_with(open))
    }

    /// Where it is noted what was sent for an attempt.
    pub(super) fn record(&self, attempt: AttemptId) -> PathBuf {
        let AttemptId { job, task, attempt } = attempt;
        self.objects.records.join(format!("{job}-{task}.{attempt}.jsonl"))
    }

    /// Opens the bucket of an output, with the secret as it is now.
    pub(super) fn open_output(
        &self,
        number: u32,
        output: &OutputOrder,
        secrets: &BTreeMap<String, String>,
    ) -> Result<(Arc<Bucket>, Goes), Snag> {
        let secret = match &output.secret {
            Some(name) => Some(secrets.get(name).ok_or_else(|| Snag::job(no_secret(name)))?),
            None => None,
        };
        let (bucket, prefix) = parts(&output.to)?;
        let bucket = Arc::new(Bucket::open(self, bucket, secret)?);
        Ok((bucket, Goes::to(number, prefix, output)?))
    }

    /// Sends files of an output, several at once.
    #[expect(clippy::too_many_arguments, reason = "everything that sending one output needs")]
    pub(in super::super) async fn send_objects(
        &self,
        attempt: AttemptId,
        number: u32,
        output: &OutputOrder,
        found: Vec<Outgoing>,
        secrets: &BTreeMap<String, String>,
        guard: &Guard,
        going: &Going,
    ) -> Result<Vec<Staged>, Snag> {
        let (bucket, goes) = self.open_output(number, output, secrets)?;
        self.send_found(attempt, &bucket, &goes, found, guard, going).await
    }

    pub(super) async fn send_found(
        &self,
        attempt: AttemptId,
        bucket: &Arc<Bucket>,
        goes: &Goes,
        found: Vec<Outgoing>,
        guard: &Guard,
        going: &Going,
    ) -> Result<Vec<Staged>, Snag> {
        guard.check()?;
        let outbox = self.outbox(attempt);
        let _sending = outbox.sending.read().await;
        let mut all = Vec::with_capacity(found.len());
        for file in found {
            let staged = goes.object(bucket, &file, attempt)?;
            outbox.open_for(&staged);
            all.push((staged, file));
        }
        let sends = all
            .into_iter()
            .map(|(staged, file)| self.send_object(attempt, &outbox, staged, file, guard, going));
        let mut sends = futures_util::stream::iter(sends).buffered(SENDS_MAX);
        let mut sent = Vec::new();
        while let Some(staged) = sends.next().await {
            sent.push(staged?);
        }
        Ok(sent)
    }

    async fn send_object(
        &self,
        attempt: AttemptId,
        outbox: &Outbox,
        staged: Staged,
        file: Outgoing,
        guard: &Guard,
        going: &Going,
    ) -> Result<Staged, Snag> {
        let mut patience = Patience::of(self, attempt);
        loop {
            match self.send_once(outbox, staged.clone(), &file, guard, going).await {
                Ok(staged) => return Ok(staged),
                Err(snag) => patience.after(snag, guard).await?,
            }
        }
    }

    async fn send_once(
        &self,
        outbox: &Outbox,
        staged: Staged,
        file: &Outgoing,
        guard: &Guard,
        going: &Going,
    ) -> Result<Staged, Snag> {
        let _slot = self.slots.acquire().await.map_err(|_| "the agent ends".to_owned())?;
        guard.check()?;
        let mark = mark_of(&file.path).await.map_err(|error| unread(file, &error))?;
        let before = match outbox.sent(&staged.slot) {
            Some(sent) if sent.mark == mark => match sent.state {
                State::Parts(upload) if !sent.named => Some(upload),
                State::Parts(_) | State::Put => {
                    going.came(mark.size());
                    return Ok(staged);
                }
            },
            Some(sent) => {
                drop_sent(outbox, &staged, &sent).await;
                None
            }
            None => None,
        };
        if mark.size() <= PART_BYTES {
            let bytes = piece(&file.path, mark, 0, mark.size()).await;
            let bytes = bytes.map_err(|error| unread(file, &error))?;
            let put = staged.bucket.store.put(&staged.from, bytes.into()).await;
            put.map_err(|error| snag(&error).about(&file.name))?;
            outbox.enter(Step::Put { slot: staged.slot.clone(), mark });
            going.came(mark.size());
            return Ok(staged);
        }
        if let Some(upload) = before {
            // Should that have failed before: an upload that is not noted is never found again.
            note(outbox, &staged, &upload).await.map_err(|snag| snag.about(&file.name))?;
            match self.send_parts(outbox, &staged, (file, mark), &upload, guard, going).await {
                Ok(()) => return Ok(staged),
                Err(PartFault::Failed(snag)) => return Err(snag),
                // Somebody has aborted it, as buckets do with old ones.
                Err(PartFault::Gone) => {}
            }
        }
        let upload = begin(outbox, &staged, file, mark).await?;
        match self.send_parts(outbox, &staged, (file, mark), &upload, guard, going).await {
            Ok(()) => Ok(staged),
            Err(PartFault::Failed(snag)) => Err(snag),
            Err(PartFault::Gone) => {
                Err(Snag::job(format!("{}: the store has lost its upload", file.name)))
            }
        }
    }

    async fn send_parts(
        &self,
        outbox: &Outbox,
        staged: &Staged,
        file: (&Outgoing, Mark),
        upload: &Upload,
        guard: &Guard,
        going: &Going,
    ) -> Result<(), PartFault> {
        let there: u64 = upload.parts.keys().map(|part| upload.length(*part)).sum();
        going.came(there);
        let counted = AtomicU64::new(there);
        let missing = (0..upload.count()).filter(|part| !upload.parts.contains_key(part));
        // After one has failed none begins, and those on their way arrive: who tries again goes on.
        let failed = AtomicBool::new(false);
        let sends = missing.map(async |part| {
            if failed.load(Ordering::Relaxed) {
                return Ok(());
            }
            let sent = self.send_part(outbox, staged, file, upload, part, guard, going).await;
            match sent {
                Ok(()) => drop(counted.fetch_add(upload.length(part), Ordering::Relaxed)),
                Err(_) => failed.store(true, Ordering::Relaxed),
            }
            sent
        });
        let mut sends = futures_util::stream::iter(sends).buffer_unordered(PARTS_AT_ONCE);
        let mut first = Ok(());
        while let Some(sent) = sends.next().await {
            first = first.and(sent);
        }
        if first.is_err() {
            // Who tries again counts what is there anew.
            going.lost(counted.load(Ordering::Relaxed));
        }
        first
    }

    #[expect(clippy::too_many_arguments, reason = "everything that sending one part needs")]
    async fn send_part(
        &self,
        outbox: &Outbox,
        staged: &Staged,
        (file, mark): (&Outgoing, Mark),
        upload: &Upload,
        part: u64,
        guard: &Guard,
        going: &Going,
    ) -> Result<(), PartFault> {
        let length = upload.length(part);
        let mib = u32::try_from(length.div_ceil(1 << 20)).unwrap_or(u32::MAX).min(PARTS_MIB_MAX);
        let room = self.objects.room.acquire_many(mib).await;
        let _room = room.map_err(|_| Snag::from("the agent ends".to_owned()))?;
        guard.check().map_err(Snag::from)?;
        let bytes = piece(&file.path, mark, part * upload.part_bytes, length).await;
        let bytes = bytes.map_err(|error| unread(file, &error))?;
        let number = usize::try_from(part).expect("at most 10,000 parts");
        let store = &staged.bucket.store;
        match store.put_part(&staged.to, &upload.id, number, bytes.into()).await {
            Ok(PartId { content_id: tag }) => {
                let (slot, id) = (staged.slot.clone(), upload.id.clone());
                outbox.enter(Step::Part { slot, id, part, tag });
                going.came(length);
                Ok(())
            }
            Err(Error::NotFound { .. }) => Err(PartFault::Gone),
            Err(error) => Err(snag(&error).about(&file.name).into()),
        }
    }

    /// Gives objects their names, and removes what lay under the attempt's key.
    pub(in super::super) async fn name_objects(
        &self,
        attempt: AttemptId,
        staged: &[Staged],
        guard: &Guard,
    ) -> Result<Naming, Snag> {
        if staged.is_empty() {
            return Ok(Naming::Done);
        }
        let outbox = self.outbox(attempt);
        let _sending = outbox.sending.read().await;
        let namings = staged.iter().cloned();
        let namings = namings.map(|object| self.name_one(attempt, &outbox, object, guard));
        let mut namings = futures_util::stream::iter(namings).buffer_unordered(REQUESTS_AT_ONCE);
        let mut all = Naming::Done;
        while let Some(naming) = namings.next().await {
            if naming? == Naming::Lost {
                all = Naming::Lost;
            }
        }
        if all == Naming::Lost {
            return Ok(all);
        }
        let removals = staged.iter().cloned().map(|object| clear(&outbox, object));
        let removals = futures_util::stream::iter(removals).buffer_unordered(REQUESTS_AT_ONCE);
        removals.collect::<()>().await;
        Ok(all)
    }

    async fn name_one(
        &self,
        attempt: AttemptId,
        outbox: &Outbox,
        object: Staged,
        guard: &Guard,
    ) -> Result<Naming, Snag> {
        let mut patience = Patience::of(self, attempt);
        loop {
            match name_object(outbox, object.clone(), guard).await {
                Ok(naming) => return Ok(naming),
                Err(snag) => patience.after(snag, guard).await?,
            }
        }
    }

    /// What was sent for an attempt is of no use any more: what has no name goes.
    pub(in super::super) fn forget_objects(&self, attempt: AttemptId) {
        let outbox = {
            let mut all = self.objects.outboxes.lock().expect("nobody panics while holding it");
            all.remove(&attempt)
        };
        // Without a bucket that is open here there is no secret any more: `sweep` sees to it later.
        let Some(outbox) = outbox else {
            return Outbox::remove(&self.record(attempt));
        };
        tokio::spawn(async move {
            let _alone = outbox.sending.write().await;
            for (slot, sent) in outbox.all() {
                if sent.named {
                    continue;
                }
                if let Some(staged) = outbox.staged(&slot) {
                    drop_sent(&outbox, &staged, &sent).await;
                }
            }
            Outbox::remove(outbox.path());
        });
    }
}

/// Begins an upload, and writes it down in the bucket: there is no other way to find it again from
/// elsewhere.
async fn begin(
    outbox: &Outbox,
    staged: &Staged,
    file: &Outgoing,
    mark: Mark,
) -> Result<Upload, Snag> {
    let size = mark.size();
    if size > OBJECT_BYTES_MAX {
        let most = OBJECT_BYTES_MAX >> 40;
        return Err(Snag::job(format!(
            "{} has {size} bytes; an object may have {most} TiB at most, so cut it into parts",
            file.name
        )));
    }
    let store = &staged.bucket.store;
    let id = store.create_multipart(&staged.to).await;
    let id = id.map_err(|error| snag(&error).about(&file.name))?;
    let part_bytes = part_bytes(size);
    let slot = staged.slot.clone();
    outbox.enter(Step::Began { slot, mark, id: id.clone(), part_bytes, size });
    let upload =
        Upload { id, part_bytes, size, parts: BTreeMap::new(), before: None, noted: false };
    note(outbox, staged, &upload).await.map_err(|snag| snag.about(&file.name))?;
    Ok(Upload { noted: true, ..upload })
}

/// Writes an upload down in the bucket, unless that was done.
async fn note(outbox: &Outbox, staged: &Staged, upload: &Upload) -> Result<(), Snag> {
    if upload.noted {
        return Ok(());
    }
    let note = Note { key: staged.to.to_string(), upload: upload.id.clone() };
    let note = serde_json::to_vec(&note).expect("text");
    staged.bucket.store.put(&staged.note, note.into()).await.map_err(|error| snag(&error))?;
    outbox.enter(Step::Noted { slot: staged.slot.clone(), id: upload.id.clone() });
    Ok(())
}

/// A file that the task has left cannot be read.
fn unread(file: &Outgoing, error: &std::io::Error) -> Snag {
    Snag::of_file(format!("{}: {error}", file.name), error, &file.root)
}

async fn name_object(outbox: &Outbox, object: Staged, guard: &Guard) -> Result<Naming, Snag> {
    guard.check()?;
    let Some(sent) = outbox.sent(&object.slot) else { return Ok(Naming::Lost) };
    if sent.named {
        return Ok(Naming::Done);
    }
    let naming = match &sent.state {
        State::Put => match object.bucket.store.copy(&object.from, &object.to).await {
            Ok(()) => Naming::Done,
            Err(Error::NotFound { .. }) => Naming::Lost,
            Err(error) => return Err(snag(&error).about(object.to.as_ref())),
        },
        State::Parts(upload) => complete(outbox, &object, upload).await?,
    };
    let slot = object.slot;
    outbox.enter(match naming {
        Naming::Done => Step::Named { slot },
        Naming::Lost => Step::Dropped { slot },
    });
    Ok(naming)
}

/// Completes an upload. One that the store does not know any more may have been completed, by an earlier
/// process or by a request whose answer was lost: then another object than before lies there.
async fn complete(outbox: &Outbox, object: &Staged, upload: &Upload) -> Result<Naming, Snag> {
    if (0..upload.count()).any(|part| !upload.parts.contains_key(&part)) {
        return Ok(Naming::Lost);
    }
    let store = &object.bucket.store;
    let tag = async || {
        let head = store.head(&object.to).await.ok();
        head.map(|head| (head.size, head.e_tag.unwrap_or_default())).unwrap_or_default()
    };
    let before = match &upload.before {
        Some(before) => before.clone(),
        None => {
            let (_, before) = tag().await;
            let slot = object.slot.clone();
            outbox.enter(Step::Completing { slot, before: before.clone() });
            before
        }
    };
    let parts = upload.parts.values().map(|tag| PartId { content_id: tag.clone() }).collect();
    match store.complete_multipart(&object.to, &upload.id, parts).await {
        Ok(_) => Ok(Naming::Done),
        Err(Error::NotFound { .. }) => {
            let (size, now) = tag().await;
            let ours = size == upload.size && now != before;
            Ok(if ours { Naming::Done } else { Naming::Lost })
        }
        Err(error) => Err(snag(&error).about(object.to.as_ref())),
    }
}

/// What an object leaves behind that has its name goes.
async fn clear(outbox: &Outbox, object: Staged) {
    let left = match outbox.sent(&object.slot).map(|sent| sent.state) {
        Some(State::Parts(_)) => &object.note,
        Some(State::Put) | None => &object.from,
    };
    remove(&object.bucket, left).await;
}

/// What was sent of a file goes.
async fn drop_sent(outbox: &Outbox, object: &Staged, sent: &Sent) {
    match &sent.state {
        _ if sent.named => {}
        State::Put => remove(&object.bucket, &object.from).await,
        State::Parts(upload) => match abort(&*object.bucket.store, &object.to, &upload.id).await {
            Ok(()) => remove(&object.bucket, &object.note).await,
            Err(error) => {
                tracing::warn!(key = %object.to, error = describe(&error), "an upload was left");
            }
        },
    }
    outbox.enter(Step::Dropped { slot: object.slot.clone() });
}

async fn remove(bucket: &Bucket, at: &Key) {
    match bucket.store.delete(at).await {
        Ok(()) | Err(Error::NotFound { .. }) => {}
        Err(error) => tracing::warn!(key = %at, error = describe(&error), "was left behind"),
    }
}

async fn mark_of(path: &Path) -> std::io::Result<Mark> {
    let path = path.to_owned();
    let look = move || Mark::of_file(&opened::open(&path)?);
    tokio::task::spawn_blocking(look).await.map_err(std::io::Error::other)?
}

/// Some bytes of a file, if it is still the one that was looked at.
async fn piece(path: &Path, mark: Mark, from: u64, length: u64) -> std::io::Result<Vec<u8>> {
    let path = path.to_owned();
    let read = move || {
        let file = opened::open(&path)?;
        if Mark::of_file(&file)? != mark {
            return Err(std::io::Error::other("it was changed while it was sent"));
        }
        let mut bytes = vec![0; usize::try_from(length).map_err(std::io::Error::other)?];
        file.read_exact_at(&mut bytes, from)?;
        Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
}
