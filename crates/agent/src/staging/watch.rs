//! Outputs that are sent while the task runs: each file as soon as the program has closed it, or has not
//! written to it for a while where the kernel of this machine does not see who writes.
//!
//! Invariant: only bytes are sent early. What is published, and whether, is decided after the task
//! has ended, from the files as they are then; a file that was closed and changed again is sent
//! again. Missing an event costs time, never a file.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use dayan_units::AttemptId;
use dayan_wire::{LeaseOrder, OutputOrder};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::Guard;
use super::checkpoint::Mark;
use super::courier::Courier;
use super::fetch::is_remote;
use super::ship::{Outgoing, outgoing};
use super::snag::Snag;

/// How soon a watch ends after it was told to.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };
/// Folders that are watched below one task's: the kernel gives a user some 8,000 watches at least.
const FOLDERS_MAX: usize = 1_000;
/// Closed files that wait to be sent; of those beyond, the end takes care.
const QUEUE: usize = 4_096;

/// Where others than this machine's kernel write, the folder is looked at so often: after so many times
/// [`LOOK_EVERY`], five seconds.
const RESCAN_EVERY: u32 = 25;
/// Files that one look takes in at most. Each is a call over a network, half a millisecond on a good one, so
/// that a look is a second and a watch keeps a file server a fifth of one client busy. The next look goes on
/// behind them: of more files each is seen every so many looks, and sent the later.
const LOOKED_AT_MAX: usize = 2_000;
/// Files that are remembered between looks: some tens of MiB. Those beyond are sent at the end.
const REMEMBERED_MAX: usize = 100_000;
/// A file that was sent and written to again is sent early only after twice as many quiet looks, up to so
/// many: one that grows by bursts is not sent again and again.
const QUIET_LOOKS_MAX: u32 = 64;

/// Who sees that a file is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sees {
    /// This machine's kernel: tasks run here.
    Kernel,
    /// Nobody: tasks run on other machines, which have the folder over a network.
    Nobody,
}

/// Watches over running attempts.
#[derive(Debug, Default)]
pub(super) struct Watches(Mutex<BTreeMap<AttemptId, Watch>>);

/// One of them; it ends when it is dropped.
#[derive(Debug)]
struct Watch {
    over: Arc<AtomicBool>,
    guard: Guard,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        self.guard.cancel();
    }
}

impl Courier {
    /// Watches over the folder of an attempt that runs, if one of its outputs is sent early.
    pub(crate) fn watch(self: &Arc<Self>, order: &Arc<LeaseOrder>, folder: PathBuf, sees: Sees) {
        if !order.outputs.iter().any(|output| output.file_closed) {
            return;
        }
        let (over, guard) = (Arc::new(AtomicBool::new(false)), Guard::until(None));
        let watch = Watch { over: Arc::clone(&over), guard: guard.clone() };
        self.watches.0.lock().expect("nobody panics while holding it").insert(order.attempt, watch);
        let (tell, closed) = mpsc::channel(QUEUE);
        let root = folder.clone();
        tokio::task::spawn_blocking(move || {
            let done = match sees {
                Sees::Kernel => follow(&root, &over, &tell),
                Sees::Nobody => look_again(&root, &over, &tell),
            };
            if let Err(errno) = done {
                tracing::warn!(%errno, folder = %root.display(), "closed files are not seen; they \
                     are sent at the end");
            }
        });
        let (courier, order) = (Arc::clone(self), Arc::clone(order));
        tokio::spawn(async move { courier.send_closed(&order, &folder, &guard, closed).await });
    }

    /// The attempt does not run any more.
    pub(crate) fn unwatch(&self, attempt: AttemptId) {
        self.watches.0.lock().expect("nobody panics while holding it").remove(&attempt);
    }

    async fn send_closed(
        &self,
        order: &LeaseOrder,
        folder: &Path,
        guard: &Guard,
        mut closed: mpsc::Receiver<PathBuf>,
    ) {
        while let Some(first) = closed.recv().await {
            // A program closes a file many times in a moment; one look at the outputs is enough.
            let mut paths = BTreeSet::from([first]);
            while let Ok(more) = closed.try_recv() {
                paths.insert(more);
            }
            for (number, output) in (0..).zip(&order.outputs) {
                if !output.file_closed || !is_remote(&output.to) {
                    continue;
                }
                let (at, of) = (folder.to_owned(), output.clone());
                let found = tokio::task::spawn_blocking(move || outgoing(&at, &of)).await;
                // Nothing may be there yet, or something may be gone already.
                let Ok(Ok(found)) = found else { continue };
                let found = found.into_iter().filter(|file| paths.contains(&file.path));
                let found: Vec<_> = found.collect();
                if let Err(snag) = self.send_early(order, number, output, found, guard).await {
                    tracing::debug!(to = output.to, why = snag.why, "sent at the end instead");
                }
            }
        }
    }

    /// Sends files of an output while its task runs. One that is written to later is sent again.
    async fn send_early(
        &self,
        order: &LeaseOrder,
        number: u32,
        output: &OutputOrder,
        found: Vec<Outgoing>,
        guard: &Guard,
    ) -> Result<(), Snag> {
        if found.is_empty() {
            return Ok(());
        }
        let attempt = order.attempt;
        let going = self.begin(attempt);
        if output.to.starts_with("dayan://") {
            return self.send_files(attempt, Some(number), found, guard, &going).await.map(drop);
        }
        let secrets = self.secrets(order, guard).await?;
        self.send_objects(attempt, number, output, found, &secrets, guard, &going).await.map(drop)
    }
}

/// Tells of every file below a folder that is closed after it was written.
fn follow(root: &Path, over: &AtomicBool, tell: &mpsc::Sender<PathBuf>) -> Result<(), Errno> {
    let watcher = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let root = root.canonicalize().map_err(|_| Errno::NOENT)?;
    let mut folders: BTreeMap<i32, PathBuf> = BTreeMap::new();
    // Nobody reads any more when the attempt is over.
    let say = |path: PathBuf| drop(tell.try_send(path));
    add(&watcher, root, &mut folders, &say)?;
    let mut buffer = [MaybeUninit::uninit(); 16 << 10];
    while !over.load(Ordering::Acquire) && !tell.is_closed() {
        let mut ready = [PollFd::new(&watcher, PollFlags::IN)];
        match poll(&mut ready, Some(&LOOK_EVERY)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(errno) => return Err(errno),
        }
        let mut found = Vec::new();
        let mut reader = inotify::Reader::new(&watcher, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    use std::os::unix::ffi::OsStrExt as _;
                    let name = event
                        .file_name()
                        .map(|name| PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes())));
                    found.push((event.wd(), event.events(), name));
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
            if reader.is_buffer_empty() {
                break;
            }
        }
        for (wd, events, name) in found {
            let (Some(folder), Some(name)) = (folders.get(&wd), name) else { continue };
            let path = folder.join(name);
            if events.contains(ReadFlags::ISDIR) {
                if events.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                    // It may be gone by now.
                    let _ = add(&watcher, path, &mut folders, &say);
                }
            } else if events.intersects(ReadFlags::CLOSE_WRITE | ReadFlags::MOVED_TO) {
                say(path);
            }
        }
    }
    Ok(())
}

/// Tells of every file below a folder that nobody has written to between two looks. Over a network a look
/// may see what was a minute ago: then a file is sent that is not whole yet, and again at the end.
fn look_again(root: &Path, over: &AtomicBool, tell: &mpsc::Sender<PathBuf>) -> Result<(), Errno> {
    let root = root.canonicalize().map_err(|_| Errno::NOENT)?;
    let (mut looks, mut walk) = (Looks::default(), Walk::default());
    loop {
        let (files, ended) = walk.on(&root, LOOKED_AT_MAX);
        // What goes away meanwhile is not there.
        let seen = files.into_iter().filter_map(|file| Some((Mark::of(&file)?, file)));
        for settled in looks.settled(seen.map(|(mark, file)| (file, mark)), ended) {
            drop(tell.try_send(settled));
        }
        for _ in 0..RESCAN_EVERY {
            if over.load(Ordering::Acquire) || tell.is_closed() {
                return Ok(());
            }
            match poll(&mut [], Some(&LOOK_EVERY)) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// A way through all files below a folder, some at a time, that begins again when it has come to its end.
#[derive(Default)]
struct Walk {
    /// The folder that is being read, and where in it.
    reading: Option<std::fs::ReadDir>,
    /// Folders that are still to be read.
    open: Vec<PathBuf>,
}

/// Is that all of a folder, or does the next look go on?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ended {
    Yes,
    No,
}

impl Walk {
    /// The next files, and whether the way has come to its end with them. Folders and what is neither are
    /// looked at too, and counted: what a task makes is bounded in every way.
    fn on(&mut self, root: &Path, most: usize) -> (Vec<PathBuf>, Ended) {
        if self.reading.is_none() && self.open.is_empty() {
            self.open.push(root.to_owned());
        }
        let mut found = Vec::new();
        for _ in 0..most {
            let Some(reading) = &mut self.reading else {
                let Some(folder) = self.open.pop() else { return (found, Ended::Yes) };
                // What goes away meanwhile is not there.
                self.reading = std::fs::read_dir(folder).ok();
                continue;
            };
            match reading.next() {
                Some(Ok(entry)) => match entry.file_type() {
                    Ok(kind) if kind.is_dir() => self.open.push(entry.path()),
                    Ok(_) => found.push(entry.path()),
                    Err(_) => {}
                },
                Some(Err(_)) | None => self.reading = None,
            }
        }
        let ended = self.reading.is_none() && self.open.is_empty();
        (found, if ended { Ended::Yes } else { Ended::No })
    }
}

/// What the looks at a folder have shown so far.
#[derive(Default)]
struct Looks {
    files: BTreeMap<PathBuf, Looked>,
    /// How often all of the folder was looked at.
    round: u32,
}

struct Looked {
    mark: Mark,
    /// Looks at it since it was written to, and how many there have to be.
    quiet: u32,
    needs: u32,
    told: bool,
    /// When it was last there.
    round: u32,
}

impl Looks {
    /// The files that are to be told of after one more look, at some of them or at the last: pure.
    fn settled(
        &mut self,
        now: impl IntoIterator<Item = (PathBuf, Mark)>,
        ended: Ended,
    ) -> Vec<PathBuf> {
        let round = self.round;
        let mut settled = Vec::new();
        for (path, mark) in now {
            let new = Looked { mark, quiet: 0, needs: 1, told: false, round };
            let Some(looked) = self.files.get_mut(&path) else {
                if self.files.len() < REMEMBERED_MAX {
                    self.files.insert(path, new);
                }
                continue;
            };
            looked.round = round;
            if looked.mark == mark {
                looked.quiet = looked.quiet.saturating_add(1);
            } else {
                let again = if looked.told { 2 } else { 1 };
                let needs = (looked.needs * again).min(QUIET_LOOKS_MAX);
                *looked = Looked { needs, ..new };
            }
            if looked.quiet >= looked.needs && !looked.told {
                looked.told = true;
                settled.push(path);
            }
        }
        if ended == Ended::Yes {
            self.files.retain(|_, looked| looked.round == round);
            self.round = round.wrapping_add(1);
        }
        settled
    }
}

/// Watches a folder and those in it, and tells of the files that are there: they may have been
/// closed before it was watched.
fn add(
    watcher: &impl AsFd,
    folder: PathBuf,
    folders: &mut BTreeMap<i32, PathBuf>,
    say: &dyn Fn(PathBuf),
) -> Result<(), Errno> {
    let mut open = vec![folder];
    while let Some(folder) = open.pop() {
        if folders.len() >= FOLDERS_MAX {
            return Ok(());
        }
        let flags = WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::CREATE
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        let wd = inotify::add_watch(watcher, &folder, flags)?;
        let listed = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        for entry in listed {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                Ok(kind) if kind.is_file() => say(entry.path()),
                Ok(_) | Err(_) => {}
            }
        }
        folders.insert(wd, folder);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn where_nobody_sees_writes_a_file_is_told_of_once_it_is_quiet() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("frame");
        let mut looks = Looks::default();
        let mut text = String::new();
        let mut look = |written: bool| {
            if written {
                // It grows: no clock is needed to see it.
                text.push('x');
                std::fs::write(&path, &text).expect("written");
            }
            let mark = Mark::of(&path).expect("there");
            !looks.settled([(path.clone(), mark)], Ended::Yes).is_empty()
        };
        assert!(!look(true), "it may still be written to");
        assert!(!look(true));
        assert!(look(false), "nobody wrote between two looks");
        assert!(!look(false), "once is enough");
        assert!(!look(true));
        assert!(!look(false), "it was sent too early: now it takes longer");
        assert!(look(false));
        assert!(looks.settled([], Ended::Yes).is_empty() && looks.files.is_empty(), "it is gone");
    }

    #[test]
    fn a_folder_with_many_files_is_looked_at_some_at_a_time_and_none_is_left_out() {
        let dir = tempfile::tempdir().expect("a folder");
        let mut expect = BTreeSet::new();
        for number in 0..40 {
            let folder = dir.path().join(format!("deep/{}", number % 4));
            std::fs::create_dir_all(&folder).expect("made");
            let path = folder.join(number.to_string());
            std::fs::write(&path, "x").expect("written");
            expect.insert(path);
        }
        let (mut walk, mut looks) = (Walk::default(), Looks::default());
        let (mut told, mut largest) = (Vec::new(), 0);
        let mut round = |told: &mut Vec<PathBuf>| {
            let mut seen = BTreeSet::new();
            loop {
                let (files, ended) = walk.on(dir.path(), 7);
                largest = largest.max(files.len());
                seen.extend(files.iter().cloned());
                let marked = files.into_iter().filter_map(|file| Some((Mark::of(&file)?, file)));
                told.extend(looks.settled(marked.map(|(mark, file)| (file, mark)), ended));
                if ended == Ended::Yes {
                    return seen;
                }
            }
        };
        assert_eq!(round(&mut told), expect);
        assert!(told.is_empty(), "each was seen once: {told:?}");
        assert_eq!(round(&mut told), expect, "it begins again");
        assert_eq!(told.iter().cloned().collect::<BTreeSet<_>>(), expect);
        assert_eq!(round(&mut told).len(), 40);
        assert_eq!(told.len(), 40, "each is told of once");
        std::fs::remove_dir_all(dir.path().join("deep")).expect("removed");
        assert!(round(&mut told).is_empty());
        assert!(largest <= 7, "{largest}");
        assert!(looks.files.is_empty(), "what is gone is forgotten");
    }

    #[test]
    fn a_folder_that_nobody_sees_into_is_looked_at() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("there");
        std::fs::create_dir(root.join("deep")).expect("made");
        std::fs::write(root.join("deep/file"), "x").expect("written");
        let over = Arc::new(AtomicBool::new(false));
        let (tell, mut told) = mpsc::channel(64);
        let (at, end) = (root.clone(), Arc::clone(&over));
        let thread = std::thread::spawn(move || look_again(&at, &end, &tell));
        assert_eq!(told.blocking_recv(), Some(root.join("deep/file")));
        over.store(true, Ordering::Release);
        assert_eq!(thread.join().expect("no panic"), Ok(()));
    }

    #[test]
    fn files_are_told_of_when_they_are_closed_also_in_folders_that_come_later() {
        let dir = tempfile::tempdir().expect("a folder");
        let root = dir.path().canonicalize().expect("there");
        std::fs::write(root.join("before"), "x").expect("written");
        let over = Arc::new(AtomicBool::new(false));
        let (tell, mut told) = mpsc::channel(64);
        let (at, end) = (root.clone(), Arc::clone(&over));
        let thread = std::thread::spawn(move || follow(&at, &end, &tell));
        let mut next = |name: &str| {
            // The channel closes when the watch fails, so that this does not wait for ever.
            let path = told.blocking_recv().expect("the watch goes on");
            assert_eq!(path, root.join(name));
        };
        next("before");
        let mut open = std::fs::File::create(root.join("open")).expect("made");
        open.write_all(b"1").expect("written");
        std::fs::write(root.join("closed"), "x").expect("written");
        next("closed");
        drop(open);
        next("open");
        // Moved in with a file already in it.
        let other = tempfile::tempdir().expect("a folder");
        std::fs::write(other.path().join("in"), "x").expect("written");
        std::fs::rename(other.path(), root.join("moved")).expect("renamed");
        next("moved/in");
        std::fs::write(root.join("moved/late"), "x").expect("written");
        next("moved/late");
        over.store(true, Ordering::Release);
        assert_eq!(thread.join().expect("no panic"), Ok(()));
    }
}
