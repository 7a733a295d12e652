//! Sending and naming against a store in memory that forgets uploads as S3 does, and counts.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use dayan_units::{AttemptId, BootTime, JobId, Span};
use dayan_wire::{Blame, OutputOrder};
use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as Key;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartId, MultipartUpload,
    ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload,
    PutResult, Result,
};

use super::super::courier::{Courier, CourierConfig};
use super::super::keeping;
use super::super::ship::Outgoing;
use super::super::{Guard, Reach, Store};
use super::Bucket;
use super::outputs::{Goes, Naming, Staged};
use crate::link::Link;

/// Enough for a second try, and no more.
const PATIENCE: Duration = Duration::from_millis(1_200);
/// Of a file that goes up in three parts.
const LARGE: usize = (40 << 20) + 5;

#[derive(Debug, Default)]
struct Memory {
    inner: InMemory,
    uploads: Mutex<BTreeSet<MultipartId>>,
    /// The parts that came, by upload and number.
    parts: Mutex<Vec<(MultipartId, usize)>>,
    /// Parts from this number on are refused so.
    refuses: Mutex<Option<usize>>,
    /// The next upload is completed and the answer lost: asked again, the store does not know it.
    loses_answer: Mutex<bool>,
    /// What is said to so many of the next puts and copies, instead of doing them.
    says: Mutex<Option<(String, usize)>>,
}

/// For as long as a test lasts.
const ALWAYS: usize = usize::MAX;

impl Memory {
    fn says(&self, words: &str, times: usize) {
        *self.says.lock().expect("sound") = Some((words.to_owned(), times));
    }
    fn may(&self) -> Result<()> {
        match &mut *self.says.lock().expect("sound") {
            Some((words, times)) if *times > 0 => {
                *times -= 1;
                Err(Error::Generic { store: "S3", source: words.clone().into() })
            }
            Some(_) | None => Ok(()),
        }
    }
    fn known(&self, path: &Key, id: &MultipartId) -> Result<()> {
        if self.uploads.lock().expect("sound").contains(id) {
            return Ok(());
        }
        Err(Error::NotFound { path: path.to_string(), source: "NoSuchUpload".into() })
    }
    fn parts(&self) -> Vec<usize> {
        let parts = std::mem::take(&mut *self.parts.lock().expect("sound"));
        let mut parts: Vec<usize> = parts.into_iter().map(|(_, part)| part).collect();
        parts.sort_unstable();
        parts
    }
    fn uploads(&self) -> usize {
        self.uploads.lock().expect("sound").len()
    }
    async fn keys(&self) -> Vec<String> {
        let listed = self.inner.list(None).map_ok(|object| object.location.to_string());
        listed.try_collect().await.expect("listed")
    }
    async fn text(&self, key: &str) -> Vec<u8> {
        let got = self.inner.get(&Key::from(key)).await.expect("there");
        got.bytes().await.expect("read").to_vec()
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl MultipartStore for Memory {
    async fn create_multipart(&self, path: &Key) -> Result<MultipartId> {
        let id = self.inner.create_multipart(path).await?;
        self.uploads.lock().expect("sound").insert(id.clone());
        Ok(id)
    }
    async fn put_part(
        &self,
        path: &Key,
        id: &MultipartId,
        part: usize,
        data: PutPayload,
    ) -> Result<PartId> {
        self.known(path, id)?;
        if self.refuses.lock().expect("sound").is_some_and(|from| part >= from) {
            let source = "status code: 403: not any more".into();
            return Err(Error::PermissionDenied { path: path.to_string(), source });
        }
        self.parts.lock().expect("sound").push((id.clone(), part));
        self.inner.put_part(path, id, part, data).await
    }
    async fn complete_multipart(
        &self,
        path: &Key,
        id: &MultipartId,
        parts: Vec<PartId>,
    ) -> Result<PutResult> {
        self.known(path, id)?;
        self.uploads.lock().expect("sound").remove(id);
        let done = self.inner.complete_multipart(path, id, parts).await?;
        if std::mem::take(&mut *self.loses_answer.lock().expect("sound")) {
            self.known(path, id)?;
        }
        Ok(done)
    }
    async fn abort_multipart(&self, path: &Key, id: &MultipartId) -> Result<()> {
        self.known(path, id)?;
        self.uploads.lock().expect("sound").remove(id);
        self.inner.abort_multipart(path, id).await
    }
}

#[async_trait]
impl ObjectStore for Memory {
    async fn put_opts(&self, at: &Key, data: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.may()?;
        self.inner.put_opts(at, data, how).await
    }
    async fn put_multipart_opts(
        &self,
        at: &Key,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }
    async fn get_opts(&self, at: &Key, how: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, how).await
    }
    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Key>>,
    ) -> BoxStream<'static, Result<Key>> {
        self.inner.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Key>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Key>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Key, to: &Key, how: CopyOptions) -> Result<()> {
        self.may()?;
        self.inner.copy_opts(from, to, how).await
    }
}

/// An agent's folder and a task's, and a bucket.
struct Bench {
    dir: tempfile::TempDir,
    memory: Arc<Memory>,
    bucket: Arc<Bucket>,
    goes: Goes,
    guard: Guard,
}

impl Bench {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("out")).expect("made");
        let memory = Arc::new(Memory::default());
        let bucket = Arc::new(Bucket {
            store: Arc::clone(&memory) as _,
            identity: "bucket".to_owned(),
            open: false,
        });
        let order = OutputOrder { from: "out/*".to_owned(), ..OutputOrder::default() };
        let goes = Goes::to(0, "film/", &order).expect("a folder");
        Self { dir, memory, bucket, goes, guard: Guard::until(None) }
    }

    /// A process of the agent.
    fn courier(&self) -> Courier {
        self.courier_of("http://127.0.0.1:1")
    }

    /// A process of the agent that has its exchange there.
    fn courier_of(&self, exchange: &str) -> Courier {
        let link = Link::new(exchange, None).expect("an address");
        let store = Store::new(Arc::new(link), "token".into());
        let config =
            CourierConfig { cache_bytes: 1, reach: Reach::Public, start_patience: Duration::ZERO };
        let mut courier = Courier::open(self.dir.path(), config, store).expect("opened");
        courier.objects.patience = PATIENCE;
        // Whatever else fills the disk that tests run on.
        courier.keeping.looks = |_| keeping::Disk::Roomy;
        courier
    }

    fn write(&self, name: &str, text: &[u8]) {
        std::fs::write(self.dir.path().join("out").join(name), text).expect("written");
    }

    async fn send(&self, courier: &Courier) -> std::result::Result<Vec<Staged>, super::Snag> {
        self.send_as(courier, attempt()).await
    }

    async fn send_as(
        &self,
        courier: &Courier,
        attempt: AttemptId,
    ) -> std::result::Result<Vec<Staged>, super::Snag> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(self.dir.path().join("out")).expect("there") {
            let path = entry.expect("there").path();
            let name = path.file_name().expect("a name").to_str().expect("UTF-8").to_owned();
            let root = self.dir.path().into();
            found.push(Outgoing { below: name.clone(), name, path, root });
        }
        let going = courier.begin(attempt);
        courier.send_found(attempt, &self.bucket, &self.goes, found, &self.guard, &going).await
    }

    async fn name(&self, courier: &Courier, staged: &[Staged]) -> Naming {
        courier.name_objects(attempt(), staged, &self.guard).await.expect("it may")
    }
}

fn attempt() -> AttemptId {
    AttemptId { job: JobId::from_bits(7), task: 3, attempt: 2 }
}

#[test]
fn objects_wait_below_the_folder_that_they_go_to() {
    let bench = Bench::new();
    let check = |prefix: &str, from: &str, below: &str, expect: &str, folder: &str| {
        let name = below.rsplit('/').next().expect("a name");
        let name = if name.is_empty() { "a" } else { name };
        let path = "x".into();
        let root = std::path::Path::new("x").into();
        let file = Outgoing { below: below.to_owned(), name: name.to_owned(), path, root };
        let order = OutputOrder { from: from.to_owned(), ..OutputOrder::default() };
        let goes = Goes::to(4, prefix, &order).expect("it goes there");
        let staged = goes.object(&bench.bucket, &file, attempt()).expect("keys");
        assert_eq!(staged.to.as_ref(), expect);
        let below = expect.strip_prefix(folder).expect("below it");
        assert_eq!(staged.from.as_ref(), format!("{folder}.dayan/{}/4/{below}", attempt()));
        assert_eq!(staged.note.as_ref(), format!("{folder}.dayan/{}/uploads/4/{below}", attempt()));
    };
    check("out/", "a", "", "out/a", "out/");
    check("out/b", "a", "", "out/b", "out/");
    check("out", "r", "c/d", "out/c/d", "");
    check("out", "r/", "c/d", "out/c/d", "out/");
    check("deep/out", "r/*", "d", "deep/out/d", "deep/out/");
    check("", "r/", "d", "d", "");
}

#[test]
fn no_upload_has_too_many_parts() {
    for size in [1, 17 << 20, 150 << 30, 5 << 40] {
        let part = super::outputs::part_bytes(size);
        assert!(u64::div_ceil(size, part) <= 10_000, "{size}");
        assert!(part >= 16 << 20 && part.is_multiple_of(1 << 20), "{size}: {part}");
    }
}

#[tokio::test]
async fn nothing_is_seen_under_its_name_before_the_grant_and_nothing_else_after() {
    let bench = Bench::new();
    bench.write("large", &vec![7; LARGE]);
    bench.write("small", b"text");
    let courier = bench.courier();
    let staged = bench.send(&courier).await.expect("sent");
    assert_eq!(bench.memory.parts(), [0, 1, 2]);
    let waiting = bench.memory.keys().await;
    assert!(waiting.iter().all(|key| key.starts_with("film/.dayan/")), "{waiting:?}");
    // Sent again, nothing is.
    let again = bench.send(&courier).await.expect("sent");
    assert_eq!((again.len(), bench.memory.parts()), (2, vec![]));
    assert_eq!(bench.name(&courier, &staged).await, Naming::Done);
    assert_eq!(bench.memory.keys().await, ["film/large", "film/small"]);
    assert_eq!(bench.memory.text("film/small").await, b"text");
    assert!(bench.memory.text("film/large").await == vec![7; LARGE]);
    // Named again, by another process, nothing changes.
    let other = bench.courier();
    let staged = bench.send(&other).await.expect("known");
    assert_eq!(bench.name(&other, &staged).await, Naming::Done);
    assert_eq!(bench.memory.keys().await, ["film/large", "film/small"]);
    assert_eq!((bench.memory.parts(), bench.memory.uploads()), (vec![], 0));
}

#[tokio::test]
async fn another_process_sends_the_parts_that_are_missing() {
    let bench = Bench::new();
    bench.write("large", &vec![7; LARGE]);
    *bench.memory.refuses.lock().expect("sound") = Some(2);
    let refused = bench.send(&bench.courier()).await.expect_err("the last part");
    assert_eq!(refused.blame, Blame::Job, "{refused:?}");
    assert_eq!(bench.memory.parts(), [0, 1]);
    *bench.memory.refuses.lock().expect("sound") = None;

    let next = bench.courier();
    let staged = bench.send(&next).await.expect("sent");
    assert_eq!((bench.memory.parts(), bench.memory.uploads()), (vec![2], 1));
    assert_eq!(bench.name(&next, &staged).await, Naming::Done);
    assert!(bench.memory.text("film/large").await == vec![7; LARGE]);
}

#[tokio::test]
async fn a_file_that_was_written_to_is_sent_anew() {
    let bench = Bench::new();
    bench.write("a", &vec![7; LARGE]);
    bench.write("b", b"small");
    let courier = bench.courier();
    bench.send(&courier).await.expect("sent");
    bench.write("a", b"small");
    bench.write("b", &vec![8; LARGE]);
    let staged = bench.send(&courier).await.expect("sent");
    assert_eq!(bench.memory.uploads(), 1, "the first one was aborted");
    assert_eq!(bench.name(&courier, &staged).await, Naming::Done);
    assert_eq!(bench.memory.keys().await, ["film/a", "film/b"]);
    assert_eq!(bench.memory.text("film/a").await, b"small");
    assert!(bench.memory.text("film/b").await == vec![8; LARGE]);
}

#[tokio::test]
async fn what_is_forgotten_leaves_nothing() {
    let bench = Bench::new();
    bench.write("large", &vec![7; LARGE]);
    bench.write("small", b"text");
    let courier = bench.courier();
    bench.send(&courier).await.expect("sent");
    let record = courier.record(attempt());
    assert!(record.exists());
    courier.forget_objects(attempt());
    let gone = async {
        while record.exists() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), gone).await.expect("in time");
    assert_eq!(bench.memory.keys().await, [""; 0]);
    assert_eq!(bench.memory.uploads(), 0);
}

#[tokio::test]
async fn what_was_completed_without_an_answer_is_not_sent_again_and_what_was_lost_is() {
    let bench = Bench::new();
    bench.write("large", &vec![7; LARGE]);
    // An object of an earlier job, of the same size.
    bench.memory.put(&Key::from("film/large"), vec![6; LARGE].into()).await.expect("put");
    let courier = bench.courier();
    let staged = bench.send(&courier).await.expect("sent");
    assert_eq!(bench.memory.parts(), [0, 1, 2]);
    // Somebody has aborted the upload: what lies there is not taken for it.
    let id = bench.memory.uploads.lock().expect("sound").first().cloned().expect("one");
    bench.memory.abort_multipart(&Key::from("film/large"), &id).await.expect("known");
    assert_eq!(bench.name(&courier, &staged).await, Naming::Lost);
    let staged = bench.send(&courier).await.expect("sent again");
    assert_eq!(bench.memory.parts(), [0, 1, 2]);

    *bench.memory.loses_answer.lock().expect("sound") = true;
    assert_eq!(bench.name(&courier, &staged).await, Naming::Done);
    assert!(bench.memory.text("film/large").await == vec![7; LARGE]);
    assert_eq!(bench.memory.parts(), [0; 0]);
    assert_eq!(bench.memory.keys().await, ["film/large"]);
}

/// An exchange that is reached, and says that it is that time there.
async fn exchange(date: Option<&'static str>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("it has one");
    let answer = move || async move {
        // Without one of ours the server's own clock is told.
        let mut headers = axum::http::HeaderMap::new();
        if let Some(date) = date {
            headers.insert("date", date.parse().expect("a value"));
        }
        headers
    };
    let app = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

const AWAY: &str = "http://127.0.0.1:1";
const BUSY: &str = "Server returned non-2xx status code: 503 Slow Down: ";
const SILENT: &str = "error sending request: connection refused";
const SKEWED: &str = "status code: 403 Forbidden: <Code>RequestTimeTooSkewed</Code>";

#[tokio::test]
async fn whose_it_is_that_a_store_does_not_do_its_part_is_asked_of_the_exchange() {
    let here = exchange(None).await;
    let wrong = exchange(Some("Sat, 01 Jan 2000 00:00:00 GMT")).await;
    let check = async |exchange: &str, words: &str, expect: Blame| {
        let bench = Bench::new();
        bench.write("small", b"text");
        bench.memory.says(words, ALWAYS);
        let snag = bench.send(&bench.courier_of(exchange)).await.expect_err("nothing is taken");
        assert_eq!(snag.blame, expect, "{exchange} {words}: {}", snag.why);
        assert!(snag.why.contains(words), "{}", snag.why);
    };
    check(&here, BUSY, Blame::Job).await;
    check(&here, SILENT, Blame::Job).await;
    check(AWAY, SILENT, Blame::Site).await;
    check(&here, SKEWED, Blame::Job).await;
    check(&wrong, SKEWED, Blame::Site).await;
    // A proxy's word, where there is no proxy.
    check(&here, "status code: 407 Proxy Authentication Required", Blame::Job).await;
}

#[tokio::test]
async fn what_passes_is_tried_again_before_anybody_is_blamed() {
    let bench = Bench::new();
    bench.write("small", b"text");
    let courier = bench.courier_of(&exchange(None).await);
    bench.memory.says(BUSY, 1);
    let staged = bench.send(&courier).await.expect("the second time");
    bench.memory.says(SILENT, 1);
    assert_eq!(bench.name(&courier, &staged).await, Naming::Done);
    assert_eq!(bench.memory.keys().await, ["film/small"]);
    // With the grant, too, it is the job's store that does not take it.
    bench.write("other", b"text");
    let staged = bench.send(&courier).await.expect("sent");
    bench.memory.says(BUSY, ALWAYS);
    let snag = courier.name_objects(attempt(), &staged, &bench.guard).await;
    assert_eq!(snag.expect_err("never named").blame, Blame::Job);
}

#[tokio::test(start_paused = true)]
async fn results_that_are_there_are_kept_and_sent_when_their_store_is_back() {
    let bench = Bench::new();
    bench.write("small", b"text");
    let courier = || {
        let mut courier = bench.courier_of(AWAY);
        courier.objects.patience = Duration::ZERO;
        courier
    };
    // Its task has not ended: what is sent early is sent again then.
    bench.memory.says(BUSY, 1);
    bench.send(&courier()).await.expect_err("it is not waited for");
    // It has, and the store is away for longer than anybody's patience.
    let first = courier();
    first.publishing(attempt(), &bench.guard);
    bench.memory.says(BUSY, 40);
    let staged = bench.send(&first).await.expect("sent when it is back");
    bench.memory.says(SILENT, 40);
    assert_eq!(bench.name(&first, &staged).await, Naming::Done);
    assert_eq!(bench.memory.keys().await, ["film/small"]);
    // Another process of the agent does not begin its day anew.
    let other = courier();
    other.keeping.begin(attempt(), BootTime(i64::MAX));
    assert_eq!(other.keeping.began(attempt()), first.keeping.began(attempt()));
    // Where the disk is wanted by others nothing is kept.
    let mut short = courier();
    short.keeping.looks = |_| keeping::Disk::Short;
    let crowded = AttemptId { attempt: 8, ..attempt() };
    short.publishing(crowded, &bench.guard);
    bench.memory.says(BUSY, 1);
    bench.send_as(&short, crowded).await.expect_err("it is not waited for");
    // A day later it is given up, and it is said for how long it was tried.
    let long_ago = AttemptId { attempt: 9, ..attempt() };
    other.keeping.begin(long_ago, keeping::now().plus(Span::from_secs(-25 * 3_600)));
    bench.memory.says(BUSY, ALWAYS);
    bench.write("late", b"text");
    let snag = bench.send_as(&other, long_ago).await.expect_err("never taken");
    assert!(snag.why.contains("asked again for"), "{}", snag.why);
    // All of it together has an end as well.
    let ancient = AttemptId { attempt: 10, ..attempt() };
    other.keeping.begin(ancient, keeping::now().plus(Span::from_secs(-49 * 3_600)));
    let over = other.publishing(ancient, &bench.guard).check().expect_err("it took too long");
    assert!(over.contains("all of it"), "{over}");
}

#[tokio::test]
async fn an_upload_whose_note_failed_is_noted_the_next_time() {
    let bench = Bench::new();
    bench.write("large", &vec![7; LARGE]);
    let courier = bench.courier();
    bench.memory.says("status code: 400 Bad Request", 1);
    bench.send(&courier).await.expect_err("its note is not taken");
    assert_eq!((bench.memory.uploads(), bench.memory.keys().await.len()), (1, 0));
    // By another process, for what this one has begun.
    bench.send(&bench.courier()).await.expect("sent");
    let note = format!("film/.dayan/{}/uploads/0/large", attempt());
    assert_eq!(bench.memory.keys().await, std::slice::from_ref(&note));
    let note = String::from_utf8(bench.memory.text(&note).await).expect("text");
    let id = bench.memory.uploads.lock().expect("sound").first().cloned().expect("one");
    assert!(note.contains(&id), "{note}");
    assert_eq!(bench.memory.uploads(), 1, "nothing was begun twice");
}
