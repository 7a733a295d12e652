//! What this site has fetched: files under the SHA-256 of their bytes, shared by all its tasks.
//!
//! Invariants: a file is in the cache only after its bytes were hashed; it is hashed again whenever
//! it is copied into a task's folder, so that one that was tampered with is never used; the least
//! recently used go first when there are too many bytes, and none goes while somebody copies it.
//! Who wants the same at the same time waits for the one who fetches it. Must not know where files
//! come from.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::sync::OwnedMutexGuard;

use super::fetch::is_full;
use super::readers::{Reader, Readers};

/// What the cache holds at most unless the operator says otherwise: textures of a few shots, on the
/// disk of an ordinary machine.
pub(crate) const CACHE_BYTES_DEFAULT: u64 = 50_000_000_000;
/// Files that the exchange is told of: 20 KB of text, sent when they change. Most bytes are in few files.
const NAMED_MAX: usize = 1_000;
/// A smaller file is fetched in less time than one round trip more or less.
const NAMED_BYTES_MIN: u64 = 1_000_000;
/// How long what was cut off is kept to be gone on with: a store that is away for a night.
const PART_KEPT: Duration = Duration::from_hours(24);
/// What was cut off is at most so many hundredths of what the cache may hold, but for what is being fetched.
const PARTS_PERCENT_MAX: u64 = 10;
/// What grew so lately is not dropped for its size while there is room: an agent that was started again goes on with it.
const PART_FRESH: Duration = Duration::from_hours(1);
/// Files are read and hashed in pieces of this size.
const PIECE_BYTES: usize = 1 << 20;

#[derive(Clone, Copy, Debug)]
struct Kept {
    size: u64,
    /// Counts uses: the smallest goes first.
    used: u64,
    /// How many copy it now.
    pins: u32,
}

#[derive(Debug, Default)]
struct Index {
    kept: BTreeMap<String, Kept>,
    bytes: u64,
    uses: u64,
    /// Counts what comes and goes.
    changes: u64,
}

/// The cache of one site.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    bytes_max: u64,
    index: Mutex<Index>,
    flights: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Flown>>>>>,
    /// Who may have what for its digest.
    readers: Readers,
}

/// What the last one who had the turn has fetched.
#[derive(Debug)]
pub(crate) struct Flown {
    /// When its source was asked for it.
    pub(crate) asked: tokio::time::Instant,
    /// What it is.
    pub(crate) sha256: String,
}

/// A file of the cache that stays while this lives.
#[derive(Debug)]
pub(crate) struct Pinned {
    cache: Arc<Cache>,
    sha256: String,
    pub(crate) size: u64,
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut index = self.cache.index();
        if let Some(kept) = index.kept.get_mut(&self.sha256) {
            kept.pins = kept.pins.saturating_sub(1);
        }
        self.cache.evict(&mut index);
    }
}

/// Why a cached file is not where it should be.
#[derive(Debug)]
pub(crate) enum PlaceFault {
    /// It is not what it was: it is out of the cache, and has to be fetched again.
    Tampered,
    /// It does not fit on the disk.
    Full(String),
    /// It cannot be copied.
    Failed(String),
}

impl Cache {
    /// Opens the cache in a folder; what lies there counts as used in the order of its times.
    pub(crate) fn open(root: &Path, bytes_max: u64) -> io::Result<Self> {
        for folder in ["files", "parts", "seen"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(root.join("files"))? {
            let entry = entry?;
            let about = entry.metadata()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if about.is_file() && name.len() == 64 {
                found.push((about.modified()?, name, about.len()));
            }
        }
        found.sort();
        let mut index = Index::default();
        for (_, name, size) in found {
            index.uses += 1;
            index.bytes += size;
            index.kept.insert(name, Kept { size, used: index.uses, pins: 0 });
        }
        let readers = Readers::open(&root.join("readers"), |name| index.kept.contains_key(name))?;
        let cache = Self {
            readers,
            root: root.to_owned(),
            bytes_max,
            index: Mutex::new(index),
            flights: Mutex::default(),
        };
        cache.evict(&mut cache.index());
        cache.drop_parts(cache.parts_max(), PART_FRESH);
        Ok(cache)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        self.index.lock().expect("nobody panics while holding it")
    }
    fn file(&self, sha256: &str) -> PathBuf {
        self.root.join("files").join(sha256)
    }
    /// Where what is being fetched grows, under a key of its source.
    pub(crate) fn part(&self, key: &str) -> PathBuf {
        self.root.join("parts").join(key)
    }
    /// Where it is written down what an address was when it was last fetched.
    pub(crate) fn seen(&self, key: &str) -> PathBuf {
        self.root.join("seen").join(key)
    }

    /// The digests of what is here, the most recently used first.
    #[cfg(test)]
    fn held(&self) -> Vec<String> {
        let index = self.index();
        let mut held: Vec<(u64, &String)> =
            index.kept.iter().map(|(sha256, kept)| (kept.used, sha256)).collect();
        held.sort_unstable_by(|a, b| b.cmp(a));
        held.into_iter().map(|(_, sha256)| sha256.clone()).collect()
    }

    /// The largest files that are here, by the first 16 digits of their digests, and by what number this
    /// is known; none where it still is what had that number.
    pub(crate) fn holdings(&self, known: Option<u64>) -> Option<(u64, BTreeSet<String>)> {
        let index = self.index();
        if known == Some(index.changes) {
            return None;
        }
        let worth = index.kept.iter().filter(|(_, kept)| kept.size >= NAMED_BYTES_MIN);
        let mut largest: Vec<(u64, &String)> =
            worth.map(|(sha256, kept)| (kept.size, sha256)).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let named = largest.into_iter().take(NAMED_MAX);
        let named = named.filter_map(|(_, sha256)| Some(sha256.get(..16)?.to_owned()));
        Some((index.changes, named.collect()))
    }

    /// Removes what was cut off and is not being fetched, the oldest first: what is older than is worth to go
    /// on with, and what is more than so many bytes and has not grown for that long. Returns how many bytes went.
    fn drop_parts(&self, most: u64, fresh: Duration) -> u64 {
        let flown: BTreeSet<String> = {
            let flights = self.flights.lock().expect("nobody panics while holding it");
            let flown = flights.iter().filter(|(_, flight)| Arc::strong_count(flight) > 1);
            flown.map(|(key, _)| key.clone()).collect()
        };
        let entries = fs::read_dir(self.root.join("parts")).into_iter().flatten().flatten();
        let mut parts: Vec<(std::time::SystemTime, u64, PathBuf)> = entries
            .filter(|entry| {
                let path = entry.path();
                let key = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
                key.is_some_and(|key| !flown.contains(&key))
            })
            .filter_map(|entry| {
                let about = entry.metadata().ok()?;
                Some((about.modified().ok()?, about.len(), entry.path()))
            })
            .collect();
        parts.sort();
        let (mut held, mut gone) = (parts.iter().map(|(_, size, _)| size).sum::<u64>(), 0);
        for (changed, size, path) in parts {
            // What is of the future has just grown.
            let age = now().duration_since(changed).unwrap_or_default();
            let too_much = held > most && age >= fresh;
            if (age > PART_KEPT || too_much) && fs::remove_file(&path).is_ok() {
                held -= size;
                gone += size;
            }
        }
        gone
    }

    const fn parts_max(&self) -> u64 {
        self.bytes_max / 100 * PARTS_PERCENT_MAX
    }

    /// Waits for its turn to fetch what has this key.
    pub(crate) async fn flight(&self, key: &str) -> OwnedMutexGuard<Option<Flown>> {
        let flight = {
            let mut flights = self.flights.lock().expect("nobody panics while holding it");
            // Nobody waits for a flight that only the table knows.
            flights.retain(|_, flight| Arc::strong_count(flight) > 1);
            Arc::clone(flights.entry(key.to_owned()).or_default())
        };
        // It has the turn or waits for it by now, so that its own part is left alone.
        self.drop_parts(self.parts_max(), PART_FRESH);
        flight.lock_owned().await
    }

    /// The file with these bytes, if it is here and the organisation may have it for their digest.
    pub(crate) fn pin_for(self: &Arc<Self>, sha256: &str, org: &str) -> Option<Pinned> {
        self.readers.may(sha256, org).then(|| self.pin(sha256)).flatten()
    }

    /// Somebody has got these bytes from where they come from, and may have them again.
    pub(crate) fn open_to(&self, sha256: &str, reader: &Reader) -> io::Result<()> {
        self.readers.open_to(sha256, reader)
    }

    /// The file with these bytes, if it is here. Only for who was let to it by its source.
    pub(crate) fn pin(self: &Arc<Self>, sha256: &str) -> Option<Pinned> {
        let mut index = self.index();
        index.uses += 1;
        let used = index.uses;
        let kept = index.kept.get_mut(sha256)?;
        (kept.used, kept.pins) = (used, kept.pins + 1);
        let size = kept.size;
        // The order of use outlives the agent, as well as file times can tell it.
        if let Ok(file) = File::options().append(true).open(self.file(sha256)) {
            let _ = file.set_times(fs::FileTimes::new().set_modified(now()));
        }
        Some(Pinned { cache: Arc::clone(self), sha256: sha256.to_owned(), size })
    }

    /// Takes a fetched file in, whose bytes were hashed.
    pub(crate) fn take(
        self: &Arc<Self>,
        part: &Path,
        sha256: &str,
        size: u64,
    ) -> io::Result<Pinned> {
        fs::rename(part, self.file(sha256))?;
        let mut index = self.index();
        index.uses += 1;
        let used = index.uses;
        let kept = index.kept.entry(sha256.to_owned()).or_insert(Kept { size: 0, used, pins: 0 });
        let before = kept.size;
        *kept = Kept { size, used, pins: kept.pins + 1 };
        index.bytes = index.bytes - before + size;
        index.changes += 1;
        self.evict(&mut index);
        Ok(Pinned { cache: Arc::clone(self), sha256: sha256.to_owned(), size })
    }

    fn evict(&self, index: &mut Index) {
        self.shrink_to(index, self.bytes_max);
    }

    /// Lets so many bytes go, the least recently used first: the disk is full. False where nothing can.
    pub(crate) fn give_way(&self, bytes: u64) -> bool {
        // What nobody may ever go on with goes before what was fetched whole.
        if self.drop_parts(0, Duration::ZERO) > 0 {
            return true;
        }
        let mut index = self.index();
        let before = index.bytes;
        self.shrink_to(&mut index, before.saturating_sub(bytes));
        index.bytes < before
    }

    fn shrink_to(&self, index: &mut Index, most: u64) {
        while index.bytes > most {
            let free = index.kept.iter().filter(|(_, kept)| kept.pins == 0);
            let oldest = free.min_by_key(|(_, kept)| kept.used).map(|(sha256, _)| sha256.clone());
            let Some(sha256) = oldest else { return };
            self.drop_file(index, &sha256);
        }
    }

    fn drop_file(&self, index: &mut Index, sha256: &str) {
        if let Some(kept) = index.kept.remove(sha256) {
            index.bytes -= kept.size;
            index.changes += 1;
            self.readers.forget(sha256);
        }
        match fs::remove_file(self.file(sha256)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, sha256, "cannot be removed from the cache");
            }
            Ok(()) | Err(_) => {}
        }
    }
}

impl Pinned {
    /// What it is.
    pub(crate) fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Copies it, and looks on the way whether it still is what it was. On a full disk what nobody uses of the
    /// cache gives way.
    pub(crate) fn place(&self, to: &Path) -> Result<(), PlaceFault> {
        loop {
            match self.copy_to(to) {
                Err(PlaceFault::Full(why)) => {
                    let _ = fs::remove_file(to);
                    if !self.cache.give_way(self.size) {
                        return Err(PlaceFault::Failed(why));
                    }
                }
                placed => return placed,
            }
        }
    }

    fn copy_to(&self, to: &Path) -> Result<(), PlaceFault> {
        let failed = |error: io::Error| {
            let why = format!("{}: {error}", to.display());
            if is_full(error.kind()) { PlaceFault::Full(why) } else { PlaceFault::Failed(why) }
        };
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        let tampered = || {
            tracing::warn!(sha256 = self.sha256, "a cached file is not what it was; removed");
            self.cache.drop_file(&mut self.cache.index(), &self.sha256);
            PlaceFault::Tampered
        };
        let mut source = match File::open(self.cache.file(&self.sha256)) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(tampered()),
            Err(error) => return Err(failed(error)),
        };
        let mut target = File::create(to).map_err(failed)?;
        let mut hasher = Sha256::new();
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let read = source.read(&mut piece).map_err(failed)?;
            if read == 0 {
                break;
            }
            hasher.update(&piece[..read]);
            target.write_all(&piece[..read]).map_err(failed)?;
        }
        if hex::encode(hasher.finalize()) != self.sha256 {
            let _ = fs::remove_file(to);
            return Err(tampered());
        }
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a file's time is the wall clock's")]
fn now() -> std::time::SystemTime {
    std::time::SystemTime::now()
}

/// The digest of a file, in hex, and its size.
pub(crate) fn digest(path: &Path) -> io::Result<(String, u64)> {
    digest_of(File::open(path)?)
}

/// The same of one that is open.
pub(super) fn digest_of(mut file: File) -> io::Result<(String, u64)> {
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE_BYTES];
    let mut size = 0;
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            read => {
                hasher.update(&piece[..read]);
                size += read as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &Arc<Cache>, bytes: &[u8]) -> Pinned {
        let part = cache.part("p");
        fs::write(&part, bytes).expect("written");
        let (sha256, size) = digest(&part).expect("read");
        cache.take(&part, &sha256, size).expect("taken")
    }

    fn cache(dir: &Path, max: u64) -> Arc<Cache> {
        Arc::new(Cache::open(dir, max).expect("opened"))
    }

    #[test]
    fn the_least_recently_used_goes_first_and_never_while_it_is_copied() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = cache(dir.path(), 25);
        let first = put(&cache, b"0123456789").sha256().to_owned();
        let second = put(&cache, b"abcdefghij").sha256().to_owned();
        let pinned = cache.pin(&first).expect("here");
        let third = put(&cache, b"ABCDEFGHIJ").sha256().to_owned();
        assert!(cache.pin(&second).is_none(), "it was the least recently used");
        assert_eq!(cache.held(), [third.as_str(), first.as_str()]);
        let large = put(&cache, &[7; 24]);
        assert!(cache.pin(&third).is_none());
        assert!(pinned.place(&dir.path().join("x")).is_ok(), "it stays while it is pinned");
        drop(pinned);
        assert!(cache.pin(&first).is_none(), "and goes when it is not");
        assert_eq!(cache.held(), [large.sha256()]);
    }

    #[test]
    fn on_a_full_disk_it_gives_way_as_far_as_it_can() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = cache(dir.path(), 100);
        let first = put(&cache, b"0123456789").sha256().to_owned();
        let second = put(&cache, b"abcdefghij").sha256().to_owned();
        let (number, _) = cache.holdings(None).expect("the first time");
        assert!(cache.give_way(5));
        assert_eq!(cache.held(), [second.as_str()], "{first} went");
        assert!(cache.holdings(Some(number)).is_some(), "and that is told");
        let pinned = cache.pin(&second).expect("here");
        assert!(!cache.give_way(5), "what is being copied stays");
        drop(pinned);
        assert!(cache.give_way(u64::MAX) && !cache.give_way(1), "then there is nothing more");
    }

    #[tokio::test]
    async fn what_was_cut_off_goes_when_it_is_old_or_too_much_and_not_while_it_is_fetched() {
        let dir = tempfile::tempdir().expect("a folder");
        let part = |key: &str, age: Duration| {
            let path = dir.path().join("parts").join(key);
            fs::write(&path, [7; 60]).expect("written");
            let file = File::options().append(true).open(&path).expect("there");
            file.set_times(fs::FileTimes::new().set_modified(now() - age)).expect("ours");
        };
        let left = || {
            let entries = fs::read_dir(dir.path().join("parts")).expect("a folder").flatten();
            entries
                .map(|one| one.file_name().to_string_lossy().into_owned())
                .collect::<BTreeSet<_>>()
        };
        let names = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<BTreeSet<_>>();
        let first = cache(dir.path(), 1_000);
        part("day", PART_KEPT * 2);
        part("hours", PART_FRESH * 3);
        part("hour", PART_FRESH * 2);
        part("fresh", Duration::ZERO);
        drop(first);
        // 180 bytes without the old one, of 100: the next oldest go, and not what may just be gone on with.
        let again = cache(dir.path(), 1_000);
        assert_eq!(left(), names(&["fresh"]));
        part("flown", PART_KEPT * 2);
        let turn = again.flight("flown").await;
        assert_eq!(left(), names(&["flown", "fresh"]), "it is gone on with");
        assert!(again.give_way(1), "on a full disk");
        assert_eq!(left(), names(&["flown"]));
        drop(turn);
        drop(again.flight("other").await);
        assert_eq!(left(), names(&[]));
    }

    #[test]
    fn what_was_tampered_with_is_not_used() {
        let dir = tempfile::tempdir().expect("a folder");
        let cache = cache(dir.path(), 100);
        let pinned = put(&cache, b"0123456789");
        fs::write(cache.file(pinned.sha256()), b"0123456780").expect("written");
        let to = dir.path().join("out/x");
        assert!(matches!(pinned.place(&to), Err(PlaceFault::Tampered)));
        assert!(!to.exists() && cache.pin(pinned.sha256()).is_none());
    }

    #[test]
    fn the_next_agent_finds_what_is_there() {
        let dir = tempfile::tempdir().expect("a folder");
        let sha256 = put(&cache(dir.path(), 100), b"0123456789").sha256().to_owned();
        let again = cache(dir.path(), 100);
        assert_eq!(again.held(), [sha256.as_str()]);
        assert_eq!(again.pin(&sha256).map(|pinned| pinned.size), Some(10));
        assert!(cache(dir.path(), 5).held().is_empty(), "a smaller cache lets it go");
    }
}
