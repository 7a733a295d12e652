//! Bringing inputs from afar into the site's cache: several at once, each resumed where it was cut,
//! checked before it counts, tried again where that may help.
//!
//! Invariant: every file that is handed on was hashed, and is what the job file or the store says it
//! is. Must not know the attempt's folder.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dayan_units::{AttemptId, Bytes, Span};
use dayan_wire::{Blame, LeaseOrder, OutputOrder};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt as _, StreamExt as _};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncWriteExt as _;

use super::cache::{Cache, Flown, Pinned, digest};
use super::courier::Courier;
use super::progress::Going;
use super::readers::Reader;
use super::snag::{Snag, status_in};
use super::web::{Answered, Part, WebFault};
use super::{Guard, roots};
use crate::backoff::Backoff;
use crate::link::{LinkFault, describe};

/// Files of one attempt that are fetched at once: enough to fill a link that a single stream does
/// not, few enough that none starves.
const FETCHES_MAX: usize = 4;
/// The first pause, doubled each time.
pub(super) const PAUSE_FIRST: Duration = Duration::from_millis(500);
/// The longest.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(20);
/// A source that sends nothing for so long has gone away.
const STALL_MAX: Duration = Duration::from_mins(1);

/// What a full disk is relieved of at least, where it is not known how much is to come.
const ROOM_BYTES_MIN: u64 = 100_000_000;

/// What stays free for the agent's own journal and for what tasks write.
const ROOM_KEPT: u64 = 16_000_000;

/// Is there no more room for what was to be written: on the disk, within the user's quota, or within what
/// a file of this process may have?
pub(crate) const fn is_full(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | FileTooLarge)
}

/// Is there room for so many bytes more, and some for the agent itself? What is known beforehand not to fit
/// is not begun with: a disk that is full stops all that runs on it.
fn have_room(bytes: u64, part: &Path) -> io::Result<()> {
    let folder = part.parent().unwrap_or(part);
    // Where nobody can say, writing tells.
    let Ok(about) = rustix::fs::statvfs(folder) else { return Ok(()) };
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    if bytes.saturating_add(ROOM_KEPT) <= free {
        return Ok(());
    }
    let why = format!("{} are to come, and {} are free", Bytes(bytes), Bytes(free));
    Err(io::Error::new(io::ErrorKind::StorageFull, why))
}

/// A file that was brought, and where it belongs.
#[derive(Debug)]
pub(crate) struct Brought {
    /// Its path in the attempt's folder.
    pub(crate) to: String,
    /// Its bytes.
    pub(crate) file: Pinned,
    /// May it be run as a program?
    pub(crate) executable: bool,
}

/// Bytes from a source, from some place on.
pub(super) struct Opened {
    pub(super) from: u64,
    pub(super) etag: Option<String>,
    /// How many bytes all of it has, where that is said.
    pub(super) size: Option<u64>,
    pub(super) bytes: BoxStream<'static, Result<Vec<u8>, String>>,
}

/// Why a try came to nothing.
#[derive(Debug)]
pub(super) enum Miss {
    /// Another try may help.
    Again(String),
    /// Another try may help, and it is this machine that failed.
    AgainHere(String),
    /// No other try helps from here; another site may be let to it.
    Never(String),
    /// It is not there, whoever asks.
    Gone(String),
    /// No other try helps on this machine.
    Here(String),
    /// It is what it was when it was last fetched.
    Unchanged,
}

impl Miss {
    fn words(self) -> String {
        match self {
            Self::Again(why)
            | Self::AgainHere(why)
            | Self::Never(why)
            | Self::Gone(why)
            | Self::Here(why) => why,
            Self::Unchanged => "it is what it was".to_owned(),
        }
    }
}

/// Where a file comes from.
#[derive(Debug)]
pub(super) enum Source {
    /// An input by number, or the task's checkpoint.
    Store {
        attempt: AttemptId,
        input: Option<usize>,
    },
    Web {
        address: String,
        bearer: Option<String>,
    },
    #[cfg(feature = "s3")]
    Object {
        bucket: Arc<super::objects::Bucket>,
        key: String,
        etag: Option<String>,
    },
}

/// A file that is wanted.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) to: String,
    /// For whom, by its organisation's name.
    pub(super) org: String,
    /// What it is called in messages.
    pub(super) called: String,
    pub(super) source: Source,
    pub(super) sha256: Option<String>,
    pub(super) size: Option<u64>,
    /// May it be run as a program? Only the data store says.
    pub(super) executable: bool,
}

impl Wanted {
    /// What it is known by while it is fetched: its bytes if they are known, else its source.
    fn key(&self) -> String {
        if let Some(sha256) = &self.sha256 {
            // A part of what one has fetched is not gone on with for another who only names it.
            return if self.is_claimed() {
                hex::encode(Sha256::digest(format!("{sha256}\n{}", self.org)))
            } else {
                sha256.clone()
            };
        }
        // Not the secret: who has it is asked by the source. But what one may see is not handed to
        // another who may not, so that it is part of the key.
        let secret = match &self.source {
            Source::Web { bearer, .. } => bearer.clone().unwrap_or_default(),
            Source::Store { .. } => String::new(),
            #[cfg(feature = "s3")]
            Source::Object { bucket, etag, .. } => {
                format!("{}\n{}", bucket.identity(), etag.as_deref().unwrap_or_default())
            }
        };
        hex::encode(Sha256::digest(format!("{}\n{secret}", self.called)))
    }
}

impl Wanted {
    /// Is its digest a claim of the job file's? What its own store holds for whom, the exchange says.
    const fn is_claimed(&self) -> bool {
        !matches!(self.source, Source::Store { .. })
    }

    /// What is in the cache already and may be taken without asking the source.
    fn cached(&self, cache: &Arc<Cache>) -> Option<Pinned> {
        let sha256 = self.sha256.as_deref()?;
        if self.is_claimed() { cache.pin_for(sha256, &self.org) } else { cache.pin(sha256) }
    }

    /// Who may have it for its digest from now on, since its source gave it.
    fn reader(&self) -> Reader {
        let open = match &self.source {
            Source::Store { .. } => false,
            // A right may stand in the address itself: a signed link, a name and a password.
            Source::Web { address, bearer } => bearer.is_none() && !address.contains(['?', '@']),
            #[cfg(feature = "s3")]
            Source::Object { bucket, .. } => bucket.is_open(),
        };
        if open { Reader::Everybody } else { Reader::Org(self.org.clone()) }
    }
}

/// Is the address brought by a courier, rather than from a folder of this machine?
pub(crate) fn is_remote(address: &str) -> bool {
    ["dayan://", "http://", "https://", "s3://"].iter().any(|scheme| address.starts_with(scheme))
}

/// Where a single file is put.
pub(super) fn single(to: &str, name: &str) -> String {
    if to.ends_with('/') || to == "." { format!("{to}/{name}") } else { to.to_owned() }
}
/// Where a file of a folder is put.
pub(super) fn below(to: &str, path: &str) -> String {
    format!("{}/{path}", to.trim_end_matches('/'))
}

/// Does an address say that nothing is there? It says so to everybody.
fn is_gone(why: &str) -> bool {
    matches!(status_in(why), Some(404 | 410))
}

/// Pauses between tries, up to the longest.
pub(super) fn pauses(longest: Duration) -> Backoff {
    Backoff::between(span(PAUSE_FIRST), span(longest))
}

pub(super) fn span(duration: Duration) -> Span {
    Span::from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
}

fn of_link(fault: LinkFault) -> Miss {
    match fault {
        LinkFault::Away(why) | LinkFault::Garbage(why) => Miss::Again(why),
        LinkFault::Refused(why) | LinkFault::Rejected(why) => match Snag::refused(why) {
            Snag { why, blame: Blame::Job, .. } => Miss::Never(why),
            Snag { why, blame: Blame::Site, .. } => Miss::Here(why),
        },
    }
}

impl Courier {
    /// Brings every input that is not in a folder of this machine.
    pub(crate) async fn bring(
        &self,
        order: &LeaseOrder,
        guard: &Guard,
        going: &Going,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Vec<Brought>, Snag> {
        let mut wanted = Vec::new();
        for (number, input) in order.inputs.iter().enumerate() {
            if is_remote(&input.from) {
                let found = self.look_up(order, number, input, (guard, going), secrets).await;
                wanted.extend(found.map_err(|snag| snag.about(&format!("`{}`", input.from)))?);
            }
        }
        self.bring_all(wanted, guard, going).await
    }

    /// Brings files, several at once.
    pub(super) async fn bring_all(
        &self,
        wanted: Vec<Wanted>,
        guard: &Guard,
        going: &Going,
    ) -> Result<Vec<Brought>, Snag> {
        for file in &wanted {
            // Before anything is fetched that has no place.
            roots::inside(Path::new(""), &file.to).map_err(Snag::job)?;
            going.expect(file.size.unwrap_or(0));
        }
        let fetches = wanted.into_iter().map(|wanted| self.fetch(wanted, guard, going));
        let mut fetches = futures_util::stream::iter(fetches).buffer_unordered(FETCHES_MAX);
        let mut brought = Vec::new();
        while let Some(file) = fetches.next().await {
            brought.push(file?);
        }
        Ok(brought)
    }

    /// The files that an input means.
    async fn look_up(
        &self,
        order: &LeaseOrder,
        number: usize,
        input: &OutputOrder,
        (guard, going): (&Guard, &Going),
        secrets: &BTreeMap<String, String>,
    ) -> Result<Vec<Wanted>, Snag> {
        let secret = match &input.secret {
            Some(name) => Some(secrets.get(name).ok_or_else(|| Snag::job(no_secret(name)))?),
            None => None,
        };
        let (attempt, org) = (order.attempt, order.org.clone().unwrap_or_default());
        if input.from.starts_with("dayan://") {
            let files = self.patiently(guard, || self.store.inputs(attempt, number).boxed());
            let files = files.await?;
            let alone = matches!(&files[..], [only] if only.path.is_empty());
            if let (Some(expected), [only]) = (&input.sha256, &files[..])
                && *expected != only.sha256
            {
                let why = format!(
                    "its SHA-256 is {}, and the job file says {expected}; correct one of them",
                    only.sha256
                );
                return Err(Snag::for_good(why));
            }
            return Ok(files
                .into_iter()
                .map(|file| Wanted {
                    to: if alone {
                        single(&input.to, &file.name)
                    } else {
                        below(&input.to, &file.path)
                    },
                    org: org.clone(),
                    called: format!("{} {}", input.from, file.path),
                    source: Source::Store { attempt, input: Some(number) },
                    sha256: Some(file.sha256),
                    size: Some(file.size),
                    executable: file.executable,
                })
                .collect());
        }
        if input.from.starts_with("s3://") {
            let found = self.look_up_objects(input, &org, secret, guard, going).await;
            return match found {
                Err(snag) => Err(self.settled(snag).await),
                found => found,
            };
        }
        let url = self.web.check(&input.from).map_err(Snag::job)?;
        let name = url.path().rsplit('/').next().filter(|name| !name.is_empty());
        Ok(vec![Wanted {
            to: single(&input.to, name.unwrap_or("index")),
            org,
            called: input.from.clone(),
            source: Source::Web { address: input.from.clone(), bearer: secret.cloned() },
            sha256: input.sha256.clone(),
            size: None,
            executable: false,
        }])
    }

    /// A question to the exchange, asked again while it is away and the lease lasts.
    pub(super) async fn patiently<'a, T>(
        &self,
        guard: &Guard,
        ask: impl Fn() -> BoxFuture<'a, Result<T, LinkFault>> + Send + 'a,
    ) -> Result<T, Snag> {
        let mut pauses = pauses(PAUSE_MAX);
        loop {
            guard.check()?;
            match ask().await {
                Ok(answer) => return Ok(answer),
                Err(LinkFault::Away(why)) => {
                    tracing::debug!(why, "the exchange was not reached; asked again");
                    tokio::time::sleep(pauses.next().to_std()).await;
                }
                Err(fault) => return Err(Snag::refused(fault.to_string())),
            }
        }
    }

    async fn fetch(&self, wanted: Wanted, guard: &Guard, going: &Going) -> Result<Brought, Snag> {
        let key = wanted.key();
        // Who wants the same waits here, and finds it in the cache afterwards.
        let asked = tokio::time::Instant::now();
        let mut turn = self.cache.flight(&key).await;
        if let Some(file) = wanted.cached(&self.cache) {
            going.came(file.size);
            return Ok(Brought { to: wanted.to, file, executable: wanted.executable });
        }
        // What the source was asked for while this one waited is what it would get now.
        let flown = turn.as_ref().filter(|flown| flown.asked >= asked && wanted.sha256.is_none());
        if let Some(file) = flown.and_then(|flown| self.cache.pin(&flown.sha256)) {
            let opened = self.cache.open_to(file.sha256(), &wanted.reader());
            opened.map_err(|error| error.to_string())?;
            if wanted.size.is_none() {
                going.expect(file.size);
            }
            going.came(file.size);
            return Ok(Brought { to: wanted.to, file, executable: wanted.executable });
        }
        let _slot = self.slots.acquire().await.map_err(|_| "the agent ends".to_owned())?;
        let part = self.cache.part(&key);
        let length = || part.metadata().map_or(0, |part| part.len());
        let (mut waits, mut before) = (pauses(PAUSE_MAX), length());
        let mut since = tokio::time::Instant::now();
        going.came(before);
        let mut expected = wanted.size.is_some();
        loop {
            guard.check()?;
            let failed = |why: &str| format!("`{}`: {why}", wanted.called.trim_end());
            let begun = tokio::time::Instant::now();
            match self.once(&wanted, &key, guard, going, &mut expected).await {
                Ok(file) => {
                    going.goes_on(wanted.called.trim_end());
                    *turn = Some(Flown { asked: begun, sha256: file.sha256().to_owned() });
                    return Ok(Brought { to: wanted.to, file, executable: wanted.executable });
                }
                Err(Miss::Unchanged) => {
                    // What it was has left the cache between the look and the answer.
                    let _ = std::fs::remove_file(self.cache.seen(&key));
                }
                Err(Miss::Never(why)) => return Err(Snag::job(failed(&why))),
                Err(Miss::Gone(why)) => return Err(Snag::for_good(failed(&why))),
                Err(Miss::Here(why)) => return Err(failed(&why).into()),
                Err(miss @ (Miss::Again(_) | Miss::AgainHere(_))) => {
                    // The exchange's own store, and this machine, are nothing that the job has named.
                    let (why, named) = match miss {
                        Miss::Again(why) => (why, wanted.is_claimed()),
                        other => (other.words(), false),
                    };
                    let now = length();
                    if now > before {
                        waits.reset();
                        since = tokio::time::Instant::now();
                    }
                    before = now;
                    let pause = waits.next().to_std();
                    if since.elapsed() + pause > self.start_patience {
                        let tried = span(since.elapsed());
                        let words = failed(&format!("{why}; asked again for {tried}"));
                        let snag = if named {
                            Snag { why: words, ..Snag::far(why) }
                        } else {
                            words.into()
                        };
                        return Err(self.settled(snag).await);
                    }
                    tracing::info!(what = wanted.called, why, ?pause, "fetched again");
                    going.stuck(wanted.called.trim_end(), &why);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    /// One try: from where the last one was cut, to the end, checked.
    async fn once(
        &self,
        wanted: &Wanted,
        key: &str,
        guard: &Guard,
        going: &Going,
        expected: &mut bool,
    ) -> Result<Pinned, Miss> {
        let part = self.cache.part(key);
        let about_disk = |error: io::Error| {
            let why = format!("{}: {error}", part.display());
            if !is_full(error.kind()) {
                return Miss::AgainHere(why);
            }
            // A full disk does not grow by waiting, but what was fetched before for others can be
            // fetched again.
            let needed = wanted.size.unwrap_or(ROOM_BYTES_MIN).max(ROOM_BYTES_MIN);
            if self.cache.give_way(needed) {
                Miss::AgainHere(why)
            } else {
                // What does not fit is of no use to anybody, and others need the room.
                let _ = std::fs::remove_file(&part);
                Miss::Here(format!("{why}; make room on the disk of the agent's data folder"))
            }
        };
        let tag_file = part.with_extension("etag");
        let mut there = part.metadata().map_or(0, |part| part.len());
        if wanted.size.is_some_and(|size| there > size) {
            going.lost(there);
            there = 0;
        }
        let on_disk = there;
        if wanted.size.is_none() && there > 0 {
            // It may be all there is, of which no rest can be asked for: its last byte is, again.
            there -= 1;
            going.lost(1);
        }
        let whole_already = wanted.size == Some(there) && wanted.sha256.is_some() && part.exists();
        let mut tag = std::fs::read_to_string(&tag_file).ok();
        if !whole_already {
            let seen = Seen::read(&self.cache.seen(key));
            let known = seen.filter(|seen| self.cache.pin(&seen.sha256).is_some());
            let opened = self.open_source(wanted, there, tag.as_deref(), known.as_ref()).await;
            let mut opened = match (opened, known) {
                (Err(Miss::Unchanged), Some(known)) => {
                    let file = self.cache.pin(&known.sha256).ok_or(Miss::Unchanged)?;
                    self.cache.open_to(&known.sha256, &wanted.reader()).map_err(about_disk)?;
                    if !std::mem::replace(expected, true) {
                        going.expect(file.size);
                    }
                    going.came(file.size);
                    return Ok(file);
                }
                (opened, _) => opened?,
            };
            if let Some(size) = opened.size
                && !std::mem::replace(expected, true)
            {
                going.expect(size);
            }
            if let Some(size) = opened.size.or(wanted.size) {
                have_room(size.saturating_sub(opened.from), &part).map_err(about_disk)?;
            }
            let mut options = tokio::fs::OpenOptions::new();
            let file = options.create(true).append(true).open(&part).await;
            let mut file = file.map_err(about_disk)?;
            if opened.from != there {
                going.lost(there);
            }
            if opened.from != on_disk || on_disk == 0 {
                file.set_len(opened.from).await.map_err(about_disk)?;
            }
            tag = opened.etag.take();
            match &tag {
                Some(tag) => std::fs::write(&tag_file, tag).map_err(about_disk)?,
                None => drop(std::fs::remove_file(&tag_file)),
            }
            loop {
                guard.check().map_err(Miss::Here)?;
                let next = tokio::time::timeout(STALL_MAX, opened.bytes.next()).await;
                let stalled = |_| Miss::Again(format!("nothing came for {STALL_MAX:?}"));
                let Some(bytes) = next.map_err(stalled)? else { break };
                let bytes = match bytes {
                    Ok(bytes) => bytes,
                    Err(why) => {
                        file.flush().await.map_err(about_disk)?;
                        return Err(Miss::Again(why));
                    }
                };
                file.write_all(&bytes).await.map_err(about_disk)?;
                going.came(bytes.len() as u64);
            }
            file.flush().await.map_err(about_disk)?;
            file.sync_data().await.map_err(about_disk)?;
        }
        let hashing = part.clone();
        let hashed = tokio::task::spawn_blocking(move || digest(&hashing)).await;
        let hashed = hashed.unwrap_or_else(|error| Err(io::Error::other(error)));
        let (sha256, size) = hashed.map_err(about_disk)?;
        if wanted.size.is_some_and(|expected| size < expected) {
            return Err(Miss::Again(format!("cut off after {size} bytes")));
        }
        if let Some(expected) = wanted.sha256.as_ref().filter(|expected| **expected != sha256) {
            let _ = std::fs::remove_file(&part);
            going.lost(size);
            let why = format!("its SHA-256 is {sha256}, and should be {expected}");
            // What was put together of parts may be fetched whole; what came whole is what it is, but for
            // what the exchange's own store has by that digest, which was changed on its way.
            let again = there > 0 || !wanted.is_claimed();
            return Err(if again { Miss::Again(why) } else { Miss::Never(why) });
        }
        // A time is told to be older or not, which an older file put in its place is as well: it tells
        // whether a part may be gone on with, and not what all of it is.
        let firm = tag.filter(|tag| !is_time(tag));
        if let (Some(tag), None) = (firm, &wanted.sha256) {
            let seen = Seen { etag: tag, sha256: sha256.clone() };
            seen.write(&self.cache.seen(key)).map_err(about_disk)?;
        }
        let _ = std::fs::remove_file(&tag_file);
        let file = self.cache.take(&part, &sha256, size).map_err(about_disk)?;
        self.cache.open_to(&sha256, &wanted.reader()).map_err(about_disk)?;
        Ok(file)
    }

    async fn open_source(
        &self,
        wanted: &Wanted,
        from: u64,
        tag: Option<&str>,
        known: Option<&Seen>,
    ) -> Result<Opened, Miss> {
        match &wanted.source {
            Source::Store { attempt, input } => {
                let sha256 = wanted.sha256.as_deref().unwrap_or_default();
                let response = self.store.content(*attempt, *input, sha256, from).await;
                let mut response = response.map_err(of_link)?;
                let mut begins = begins_at(&response, from);
                if begins.is_none() && from > 0 {
                    tracing::info!(wanted.called, from, "{OTHER_BYTES}");
                    let all = self.store.content(*attempt, *input, sha256, 0).await;
                    response = all.map_err(of_link)?;
                    begins = begins_at(&response, 0);
                }
                let from = begins.ok_or_else(|| Miss::Again(OTHER_BYTES.to_owned()))?;
                Ok(Opened { from, etag: None, size: None, bytes: stream(response) })
            }
            Source::Web { address, bearer } => {
                let known = known.map(|known| known.etag.as_str());
                let got = self.web.get(address, bearer.as_deref(), from, tag, known).await;
                match got {
                    Ok(Answered::Unchanged) => Err(Miss::Unchanged),
                    Ok(Answered::Bytes { response, from, etag }) => {
                        let size = response.content_length().map(|rest| from + rest);
                        Ok(Opened { from, etag, size, bytes: stream(response) })
                    }
                    Err(WebFault::Again(why)) => Err(Miss::Again(why)),
                    // A proxy of the site's may say it of what others reach.
                    Err(WebFault::Never(why)) if is_gone(&why) && !self.web.is_proxied() => {
                        Err(Miss::Gone(why))
                    }
                    Err(WebFault::Never(why)) => Err(Miss::Never(why)),
                }
            }
            #[cfg(feature = "s3")]
            Source::Object { bucket, key, etag } => {
                if let (Some(known), Some(etag)) = (known, etag)
                    && known.etag == *etag
                {
                    return Err(Miss::Unchanged);
                }
                // A part of another content is not gone on with.
                let from = if tag == etag.as_deref() { from } else { 0 };
                bucket.open_at(key, from, etag.clone()).await
            }
        }
    }
}

/// Said where a part is not the one that was asked for.
const OTHER_BYTES: &str = "other bytes came than were asked for";

/// Where an answer begins to a question for the bytes from there on: one that is no part has all of them.
/// None where it has other ones.
fn begins_at(response: &reqwest::Response, from: u64) -> Option<u64> {
    if response.status() == reqwest::StatusCode::PARTIAL_CONTENT {
        return Part::of(response).filter(|part| part.is_rest_from(from)).map(|_| from);
    }
    Some(0)
}

/// Is what a source calls its content the time of its last change?
fn is_time(tag: &str) -> bool {
    tag.ends_with("GMT")
}

fn stream(response: reqwest::Response) -> BoxStream<'static, Result<Vec<u8>, String>> {
    let bytes = response.bytes_stream();
    bytes.map(|bytes| bytes.map(|b| b.to_vec()).map_err(|error| describe(&error))).boxed()
}

pub(super) fn no_secret(name: &str) -> String {
    format!("the project has no secret `{name}` any more")
}

/// What an address was when it was last fetched.
struct Seen {
    etag: String,
    sha256: String,
}

impl Seen {
    fn read(path: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let (sha256, etag) = text.split_once('\n')?;
        Some(Self { etag: etag.to_owned(), sha256: sha256.to_owned() })
    }
    fn write(&self, path: &Path) -> io::Result<()> {
        let temporary = path.with_extension("new");
        std::fs::write(&temporary, format!("{}\n{}", self.sha256, self.etag))?;
        std::fs::rename(&temporary, path)
    }
}
