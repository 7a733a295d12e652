//! How long an attempt's results are kept where it ran while they cannot be published, and how much one
//! publication may be in all.
//!
//! A store that does not take results may be back in a moment or tomorrow; hours of work are worth the
//! wait, which costs disk and nothing else: the room of the task is given back, and nothing is billed.
//! Invariants: since when is counted is noted beside the agent, so that another process of it counts on;
//! counted is by the clock of this boot, which no hand moves. What is decided gets the time as an argument.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use dayan_units::{AttemptId, BootTime, Span};
use rustix::time::{ClockId, clock_gettime};

use super::snag::Snag;

/// So long after its task has ended a store is asked again that does not take results: over night, or until
/// somebody has woken its owner.
#[cfg(any(test, feature = "s3"))]
pub(super) const KEPT_FOR: Span = Span::from_secs(24 * 3_600);
/// All of one publication together, whatever it waits for: a day of tries, and a day to send what is large.
/// No lease goes on for ever.
pub(super) const PUBLISHED_WITHIN: Span = Span::from_secs(48 * 3_600);
/// Results are kept longer than a moment only where so much of the disk is free, in thousandths: the tasks
/// that run there meanwhile need it.
#[cfg(any(test, feature = "s3"))]
const FREE_PERMILLE_MIN: u64 = 100;
/// Files of all outputs of one task: twice what one output may have. More are one archive.
pub(super) const FILES_TOTAL_MAX: usize = 200_000;
/// Bytes of all outputs of one task: six hours at a gigabyte a second, and more than most machines' disks
/// hold. What looks like more is a mistake, such as a file with holes.
pub(super) const BYTES_TOTAL_MAX: u64 = 20_000_000_000_000;
/// A note that is older is of an attempt that nobody knows any more.
const NOTE_AGE_MAX: Duration = Duration::from_hours(7 * 24);

/// This moment, as leases are counted.
pub(super) fn now() -> BootTime {
    let time = clock_gettime(ClockId::Boottime);
    BootTime(time.tv_sec.saturating_mul(1_000_000).saturating_add(time.tv_nsec / 1_000))
}

/// Has the disk that results lie on room for what else happens there?
#[cfg(any(test, feature = "s3"))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disk {
    Roomy,
    Short,
}

/// Until when a store is asked again that does not do its part. `least`: until then in any case; `began`:
/// when the results were there.
#[cfg(any(test, feature = "s3"))]
pub(super) fn asked_until(least: BootTime, began: Option<BootTime>, disk: Disk) -> BootTime {
    match (began, disk) {
        (Some(began), Disk::Roomy) => least.max(began.plus(KEPT_FOR)),
        (Some(_) | None, _) => least,
    }
}

/// What one publication has come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Total {
    files: usize,
    bytes: u64,
}

impl Total {
    /// So many files more with so many bytes, if that is not too much.
    pub(super) fn add(&mut self, files: usize, bytes: u64) -> Result<(), Snag> {
        self.files = self.files.saturating_add(files);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.files > FILES_TOTAL_MAX {
            let why = format!(
                "its outputs are {} files together, and may be {FILES_TOTAL_MAX}; put them into an archive",
                self.files
            );
            return Err(Snag::job(why));
        }
        if self.bytes > BYTES_TOTAL_MAX {
            let why = format!(
                "its outputs are {} together, and may be {}; a file with holes counts as what it \
                 looks like",
                dayan_units::Bytes(self.bytes),
                dayan_units::Bytes(BYTES_TOTAL_MAX),
            );
            return Err(Snag::job(why));
        }
        Ok(())
    }
}

/// Since when results wait to be published.
#[derive(Debug)]
pub(super) struct Keeping {
    folder: PathBuf,
    /// Which boot of this machine its clock counts from.
    boot: String,
    began: Mutex<BTreeMap<AttemptId, BootTime>>,
    /// How the disk is looked at: a test says itself how it is.
    #[cfg(feature = "s3")]
    pub(super) looks: fn(&Path) -> Disk,
}

impl Keeping {
    /// With its notes in that folder.
    pub(super) fn open(folder: PathBuf) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
        fs::create_dir_all(&folder).map_err(failed)?;
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let age = entry.metadata().and_then(|about| about.modified()).ok();
            if age.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > NOTE_AGE_MAX) {
                remove(&entry.path());
            }
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let boot = boot.map_err(|error| format!("reading the boot id: {error}"))?;
        Ok(Self {
            folder,
            boot: boot.trim().to_owned(),
            began: Mutex::default(),
            #[cfg(any(test, feature = "s3"))]
            looks: disk_of,
        })
    }

    fn note(&self, attempt: AttemptId) -> PathBuf {
        let AttemptId { job, task, attempt } = attempt;
        self.folder.join(format!("{job}-{task}.{attempt}"))
    }

    /// The results of an attempt are there; since when, where that was noted before.
    pub(super) fn begin(&self, attempt: AttemptId, now: BootTime) -> BootTime {
        let mut all = self.began.lock().expect("nobody panics while holding it");
        *all.entry(attempt).or_insert_with(|| {
            let path = self.note(attempt);
            if let Some(noted) = fs::read_to_string(&path).ok().and_then(|text| self.read(&text)) {
                // A note of this boot is of its past.
                return noted.min(now);
            }
            if let Err(error) = fs::write(&path, format!("{} {}\n", self.boot, now.0)) {
                tracing::warn!(%error, path = %path.display(), "another process counts from anew");
            }
            now
        })
    }

    /// What was noted, if it was in this boot.
    fn read(&self, text: &str) -> Option<BootTime> {
        let (boot, micros) = text.trim().split_once(' ')?;
        micros.parse().ok().filter(|_| boot == self.boot).map(BootTime)
    }

    /// Since when the results of an attempt are there, if they are.
    #[cfg(any(test, feature = "s3"))]
    pub(super) fn began(&self, attempt: AttemptId) -> Option<BootTime> {
        self.began.lock().expect("nobody panics while holding it").get(&attempt).copied()
    }

    /// The attempt is over.
    pub(super) fn forget(&self, attempt: AttemptId) {
        self.began.lock().expect("nobody panics while holding it").remove(&attempt);
        // Also what another process has noted.
        remove(&self.note(attempt));
    }

    /// How the disk is that the agent's folder is on.
    #[cfg(feature = "s3")]
    pub(super) fn disk(&self) -> Disk {
        (self.looks)(&self.folder)
    }
}

#[cfg(any(test, feature = "s3"))]
fn disk_of(folder: &Path) -> Disk {
    match rustix::fs::statvfs(folder) {
        Ok(about) if is_short(about.f_bavail, about.f_blocks) => Disk::Short,
        // One that does not say so is not taken for full.
        Ok(_) | Err(_) => Disk::Roomy,
    }
}

#[cfg(any(test, feature = "s3"))]
const fn is_short(free: u64, all: u64) -> bool {
    free.saturating_mul(1_000) < all.saturating_mul(FREE_PERMILLE_MIN)
}

fn remove(path: &Path) {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %path.display(), "cannot be removed");
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dayan_units::JobId;

    const ATTEMPT: AttemptId = AttemptId { job: JobId::from_bits(7), task: 3, attempt: 2 };

    fn hours(hours: i64) -> Span {
        Span::from_secs(hours * 3_600)
    }

    #[test]
    fn a_store_is_asked_for_a_day_after_the_task_and_for_its_least_in_any_case() {
        let began = BootTime(0).plus(hours(100));
        let at = |after: i64| began.plus(hours(after));
        let check = |now: i64, began: Option<BootTime>, disk: Disk, expect: i64| {
            let until = asked_until(at(now).plus(hours(1)), began, disk);
            assert_eq!(until, at(expect), "{now} {began:?} {disk:?}");
        };
        check(0, Some(began), Disk::Roomy, 24);
        // The store goes away while the last of it is sent.
        check(30, Some(began), Disk::Roomy, 31);
        // Others need the disk.
        check(0, Some(began), Disk::Short, 1);
        // Nothing has ended yet: what is sent early is sent at the end as well.
        check(0, None, Disk::Roomy, 1);
    }

    #[test]
    fn another_process_counts_on_and_another_boot_counts_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let open = || Keeping::open(dir.path().join("kept")).expect("opened");
        let (first, later) = (BootTime(5_000_000), BootTime(9_000_000));
        let one = open();
        assert_eq!(one.began(ATTEMPT), None);
        assert_eq!(one.begin(ATTEMPT, first), first);
        assert_eq!(one.begin(ATTEMPT, later), first);
        drop(one);
        let other = open();
        assert_eq!(other.begin(ATTEMPT, later), first, "noted by another process");
        assert_eq!(other.began(ATTEMPT), Some(first));
        drop(other);
        let rebooted = Keeping { boot: "another".to_owned(), ..open() };
        assert_eq!(rebooted.begin(ATTEMPT, BootTime(1)), BootTime(1));
        rebooted.forget(ATTEMPT);
        assert_eq!(rebooted.began(ATTEMPT), None);
        assert_eq!(open().begin(ATTEMPT, later), later, "nothing is left of it");
        // A note that cannot be read is none.
        fs::write(open().note(ATTEMPT), "torn").expect("written");
        assert_eq!(open().begin(ATTEMPT, first), first);
    }

    #[test]
    fn what_all_outputs_come_to_has_an_end() {
        let mut total = Total::default();
        total.add(FILES_TOTAL_MAX, BYTES_TOTAL_MAX).expect("so much may be");
        let many = Total { bytes: 0, ..total }.add(1, 0).expect_err("one more");
        assert!(many.why.contains("200001 files"), "{}", many.why);
        let large = Total { files: 0, ..total }.add(1, 1).expect_err("one byte more");
        assert!(large.why.contains("together"), "{}", large.why);
        assert_eq!((many.blame, large.blame), (dayan_wire::Blame::Job, dayan_wire::Blame::Job));
        assert!(total.add(usize::MAX, u64::MAX).is_err(), "no sum overflows");
    }

    #[test]
    fn a_disk_is_short_where_less_than_a_tenth_is_free() {
        assert!(is_short(99, 1_000) && !is_short(100, 1_000) && !is_short(0, 0));
        assert!(is_short(1, u64::MAX));
    }
}
