//! Opening the engine: the folder, the wrapper's program in it, the cluster, and what an earlier
//! engine left.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dayan_units::{AttemptId, Span};
use rustix::fs::inotify;

use super::batch::{erase_launches, read_orders};
use super::book::{Book, Record};
use super::clerk::{Clerk, Desk};
use super::engine::{Parts, SlurmEngine};
use super::file_clock::FileClock;
use super::known;
use super::layout::{BatchId, Index, Layout};
use super::report::{Claim, read_claim};
use super::survey::Survey;
use super::together::Seen;
use super::waiting::Tray;
use super::way::{Accounting, Way};
use super::{SlurmConfig, accounts::Accounts, wrapper};
use crate::journal::Journal;
use crate::keeper::AGENT_LOCK;
use crate::{BootClock, Fault, Features, Waker};

/// How long a cluster that is known already is asked what it is: tasks wait to be taken over, and
/// the picture is taken again later.
const KNOWN_WITHIN: Span = Span::from_secs(5);

impl SlurmEngine {
    /// Opens the folder, looks at the cluster, and takes over what an earlier engine left.
    pub fn open(config: SlurmConfig) -> Result<Self, Fault> {
        let at = |what: &str| format!("{what} {}", config.dir.display());
        let layout = Layout::open(&config.dir).map_err(Fault::io(at("opening")))?;
        let lock = layout.folder().lock(AGENT_LOCK).map_err(Fault::io(at("locking")))?;
        let Some(lock) = lock else { return Err(Fault::Busy(layout.root().to_owned())) };
        let clock = BootClock::of_this_machine().map_err(Fault::io("reading the boot id"))?;
        let way = Way::of(&config)?;
        let survey = surveyed(&way, &config, &layout, clock)?;
        let (mut journal, records) = Journal::<Record>::open(&layout.journal())
            .map_err(Fault::io(at("opening the journal in")))?;
        let clock_file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(layout.clock())
            .map_err(Fault::io(at("opening the clock in")))?;
        let file_clock =
            FileClock::read(&clock_file, clock).map_err(Fault::io(at("reading the clock of")))?;
        let (mut tray, waiting) =
            Tray::open(&layout.waiting()).map_err(Fault::io(at("opening what waits in")))?;
        let told = records.iter().any(
            |record| matches!(record, Record::Launched { launches, .. } if !launches.is_empty()),
        );
        let mut book = Book::replay(records, waiting, clock.boot(), clock.now());
        if told {
            // Of an earlier version, which kept environments in its journal.
            tray.put(book.waiting.iter()).map_err(Fault::io(at("writing what waits to")))?;
            journal
                .rewrite(&book.records(clock.boot()))
                .map_err(Fault::io(at("rewriting the journal in")))?;
        }
        find_leases(&mut book, &layout, &file_clock);
        let cancels = taken_by_others(&book, &layout);
        erase_ended(&book, &layout);
        sweep(&book, &layout);
        let wrapper = installed(&config, &layout, book.batches.is_empty())
            .map_err(Fault::io(at("putting the wrapper into")))?;
        let bell = Waker::new().map_err(Fault::io("making a waker"))?;
        let waker = Waker::new().map_err(Fault::io("making a waker"))?;
        let accounting = if survey.accounting { Accounting::Kept } else { Accounting::Absent };
        let answers = config.answers.clone();
        let (seen, look_every) = (Seen::nothing(clock), config.pace.look_every);
        let clerk = Clerk::start(Desk { way, accounting, answers, seen, look_every }, bell.clone())
            .map_err(Fault::io("starting a thread"))?;
        journal.sync().map_err(Fault::io(at("writing the journal in")))?;
        let watch = watch(&layout.news());
        Ok(Self::new(Parts {
            features: features(&survey),
            accounts: Accounts::new(
                accounting,
                config.pace.accounts_after,
                layout.root().to_owned(),
                clock.now(),
            ),
            config,
            layout,
            clock,
            clock_file,
            journal,
            book,
            tray,
            clerk,
            survey,
            wrapper,
            cancels,
            bell,
            waker,
            watch,
            lock,
        }))
    }
}

/// The cluster as it is, or while nobody answers as it was.
fn surveyed(
    way: &Way,
    config: &SlurmConfig,
    layout: &Layout,
    clock: BootClock,
) -> Result<Survey, Fault> {
    let kept = known::kept(layout.root(), &config.site);
    let way = if kept.is_some() { way.sooner(KNOWN_WITHIN) } else { way.clone() };
    let picture = config.answers.picture(&way, &mut Seen::nothing(clock));
    match picture.and_then(|picture| Survey::of(&picture, &config.site)) {
        Ok(mut survey) => {
            let answers = (&config.answers, &mut Seen::nothing(clock));
            survey.see_access(&way, &config.site, answers, layout.root());
            if let Some(why) = &survey.partition.closed {
                let partition = &survey.partition.name;
                tracing::warn!(
                    partition,
                    why,
                    "Slurm takes no jobs of this user's; it is shown as not up"
                );
            }
            // Only for a later start.
            let _ = known::keep(&survey, layout.root());
            Ok(survey)
        }
        Err(fault @ Fault::Unreachable(_)) => {
            let survey = kept.ok_or(fault)?;
            tracing::warn!("the cluster does not answer; it is taken to be as it was last seen");
            Ok(survey)
        }
        Err(fault) => Err(fault),
    }
}

fn features(survey: &Survey) -> Features {
    let held = match (survey.cpus, survey.memory) {
        (true, true) => "processors and memory by cgroups",
        (true, false) => "processors by cgroups, memory by the wrapper's looking",
        (false, true) => "memory by cgroups",
        (false, false) => "memory by the wrapper's looking (the site's TaskPlugin uses no cgroups)",
    };
    Features {
        confinement: format!("Slurm {}: {held}", survey.version),
        cpu_limit: survey.cpu_limit(),
        memory_limit: survey.memory_limit(),
        pids_limit: crate::Enforcement::Watched,
        oom_told_apart: survey.memory,
        bubblewrap: false,
        energy: false,
        survives_agent: true,
        survives_keeper: false,
        signals: true,
        signals_told_apart: true,
        folders: true,
        images: false,
    }
}

/// Until when the attempts of an earlier engine may run, as their orders say; and which of them it
/// closed without writing that down.
fn find_leases(book: &mut Book, layout: &Layout, file_clock: &FileClock) {
    let batches: Vec<(BatchId, Vec<AttemptId>)> =
        book.batches.iter().map(|(id, batch)| (*id, batch.attempts.clone())).collect();
    for (batch, attempts) in batches {
        let orders = read_orders(&layout.orders(batch)).unwrap_or_default();
        for (attempt, index) in attempts.into_iter().zip(0u32..) {
            let Some(held) = book.live_mut(attempt) else { continue };
            let order = orders.get(index as usize).copied().flatten();
            if let Some(order) = order {
                held.lease_end = file_clock.here(order.until);
                (held.stop, held.ask) = (order.stop, order.ask);
            } else {
                // What is not known is over: the wrapper reads the same.
                held.lease_end = crate::BootTime::from_micros(0);
            }
            match read_claim(&layout.claim(batch, index)) {
                None => {}
                Some(Claim::Wrapper { under, node, .. }) => {
                    held.claimed = true;
                    held.under = under;
                    held.node = Some(node).filter(|node| !node.is_empty());
                }
                Some(Claim::Engine { outcome }) => {
                    let _ = book.end(attempt, crate::wall_now(), outcome);
                }
            }
        }
    }
    // Launched and never put into a batch, and their leases are over or nobody knows what they are:
    // nothing of them ever was in the queue.
    let waits: std::collections::BTreeSet<_> =
        book.waiting.iter().map(|launch| launch.attempt).collect();
    let loose =
        book.live().filter(|(attempt, held)| held.seat.is_none() && !waits.contains(attempt));
    let loose: Vec<_> = loose.map(|(attempt, _)| attempt).collect();
    for attempt in loose {
        let _ = book.end(attempt, crate::wall_now(), crate::Outcome::KeeperDied);
    }
}

/// Elements that run in another's job, or did: what an earlier engine did not come to cancel.
fn taken_by_others(book: &Book, layout: &Layout) -> Vec<String> {
    let mut targets = Vec::new();
    let live = |attempt: &AttemptId| book.get(*attempt).is_some_and(super::book::Held::is_live);
    for (id, batch) in book.batches.iter().filter(|(_, batch)| batch.attempts.iter().any(live)) {
        for index in (0..).take(batch.attempts.len()) {
            let claim = read_claim(&layout.claim(*id, index));
            if matches!(claim, Some(Claim::Wrapper { under: Some(_), .. })) {
                targets.extend(batch.target(index));
            }
        }
    }
    targets
}

/// Blanks what an earlier engine did not come to blank.
fn erase_ended(book: &Book, layout: &Layout) {
    for (id, batch) in &book.batches {
        let over = |attempt: &AttemptId| book.get(*attempt).is_none_or(|held| !held.is_live());
        let seats = batch.attempts.iter().zip(0..).filter(|(attempt, _)| over(attempt));
        let ended: Vec<Index> = seats.map(|(_, index)| index).collect();
        if !ended.is_empty()
            && let Err(error) = erase_launches(&layout.launches(*id), &ended)
        {
            tracing::warn!(%error, batch = id.text(), "cannot blank launches that are over");
        }
    }
}

/// Removes batches that nobody knows: what was cut off while they were made or removed.
fn sweep(book: &Book, layout: &Layout) {
    for entry in fs::read_dir(layout.batches()).into_iter().flatten().flatten() {
        let known = entry
            .file_name()
            .to_str()
            .and_then(BatchId::parse)
            .is_some_and(|batch| book.batches.contains_key(&batch));
        if !known {
            // The next start tries again.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Puts a copy of the wrapper's program where the nodes see it, under a name by which another
/// build of it is another file: jobs that run keep theirs. `idle`: nothing is left that could.
fn installed(config: &SlurmConfig, layout: &Layout, idle: bool) -> io::Result<Vec<String>> {
    let mut words = config.wrapper.iter();
    let program = words.next().ok_or_else(|| io::Error::other("no program was named"))?;
    let about = fs::metadata(program)?;
    let name = format!("{:x}-{:x}-{:x}", about.len(), about.mtime(), about.mtime_nsec());
    scripts(&layout.scripts())?;
    let folder = layout.root().join("bin");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    if !path.exists() {
        if idle {
            for entry in fs::read_dir(&folder)?.flatten() {
                let _ = fs::remove_file(entry.path());
            }
        }
        place(Path::new(program), &path)?;
    }
    let text = |word: String| -> String { word };
    let mut command = vec![text(path.to_string_lossy().into_owned())];
    command.extend(words.map(|word| word.to_string_lossy().into_owned()));
    Ok(command)
}

/// Puts there what scripts for Slurm find before Slurm's own. Scripts that run may be reading it.
fn scripts(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let all = [
        ("srun", wrapper::gang::srun_text()),
        (wrapper::gang::BASH_ENV, wrapper::gang::bash_env(folder)),
    ];
    for (name, text) in all {
        let path = folder.join(name);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        let fresh = folder.join(format!("{name}.new"));
        fs::write(&fresh, text)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o700))?;
        fs::rename(&fresh, path)?;
    }
    Ok(())
}

fn place(program: &Path, path: &Path) -> io::Result<()> {
    let fresh: PathBuf = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    // The copy keeps the program's permissions, so that it can be executed.
    fs::copy(program, &fresh)?;
    fs::rename(&fresh, path)
}

/// Watches the folder of news; none where the system gives no watch: then it is looked at.
fn watch(news: &Path) -> Option<OwnedFd> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let watch = inotify::init(flags).ok()?;
    inotify::add_watch(&watch, news, inotify::WatchFlags::CLOSE_WRITE).ok()?;
    Some(watch)
}
