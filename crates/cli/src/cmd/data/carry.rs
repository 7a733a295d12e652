//! Bytes between this machine and the data store: hashed, sent and fetched, a few files at once,
//! each going on where it was cut, checked at its end.

use std::io::{Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use dayan_agent::program;
use dayan_spec::DataAddress;
use dayan_wire::{DataEntry, NewEntry, NewUpload};
use futures_util::StreamExt as _;
use indicatif::{ProgressBar, ProgressStyle};
use sha2::{Digest as _, Sha256};

use crate::client::Client;
use crate::cmd::session::{Progress, Session};
use crate::exit::{Exit, Failure, Said};
use crate::words::Word;

/// Files of one folder: more are brought as an archive.
const FILES_MAX: usize = 100_000;
/// Folders within folders.
const DEPTH_MAX: usize = 64;
/// What is looked at in all: links to folders can make a few look like more than there is time for.
const LOOKS_MAX: usize = 200_000;
/// Files that are sent or fetched at once: many small ones wait for answers, not for bytes.
const AT_ONCE: usize = 4;
/// A part of an upload: what is lost when a link is cut.
const PART_BYTES: usize = 8 << 20;
/// How often a file is gone on with, without a byte of progress between: twenty seconds in all.
const TRIES_MAX: u32 = 6;
/// Before the first further try; doubled each time.
const PAUSE_FIRST: Duration = Duration::from_millis(300);
/// A source that sends nothing for so long has gone away.
const STALL_MAX: Duration = Duration::from_mins(1);

/// Longer names get another one while they are fetched: with an ending they would be too long for a file.
const PART_NAME_BYTES_MAX: usize = 200;

/// A file of this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalFile {
    /// Its path below what was named; empty: it was named itself.
    pub below: String,
    /// Its own name.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
}

#[expect(clippy::needless_pass_by_value, reason = "errors and texts are handed over alike")]
fn unreadable(path: &Path, why: impl ToString) -> Failure {
    let said = Said::with(Word::CannotRead, "file", path.display().to_string());
    Failure::usage(said.and("why", why.to_string()))
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub struct Found {
    /// In the order of their names.
    pub files: Vec<LocalFile>,
    /// What is left out, and why, for people.
    pub left_out: Vec<Said>,
}

impl Found {
    fn leave(&mut self, below: String, why: Word) {
        self.left_out.push(Said::with(why, "path", below));
    }
}

/// A folder that is to be looked into.
struct Open {
    inside: String,
    /// The real places of it and of the folders above it.
    way: Vec<PathBuf>,
}

/// A file, or all files below a folder. What was named is taken wherever it leads. Below it links are
/// followed as far as they stay inside of `within`, also to folders, once on each way down; what leads out,
/// back or nowhere is left out, as is what holds no bytes: nobody means to send it, and it is no reason to
/// send nothing.
pub fn files(from: &Path, within: &Path) -> Result<Found, Failure> {
    let about = from.metadata().map_err(|error| unreadable(from, error))?;
    let mut found = Found::default();
    if about.is_file() {
        let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
        found.files.push(LocalFile { below: String::new(), name, path: from.to_owned() });
        return Ok(found);
    }
    let real = |path: &Path| path.canonicalize().map_err(|error| unreadable(path, error));
    // The folder of a file that was named without one.
    let within = if within.as_os_str().is_empty() { Path::new(".") } else { within };
    let (first, within) = (real(from)?, real(within)?);
    // Who names a folder that leads out means that folder.
    let within = if first.starts_with(&within) { within } else { first.clone() };
    let mut looks = 0;
    let mut open = vec![Open { inside: String::new(), way: vec![first] }];
    while let Some(Open { inside, way }) = open.pop() {
        let folder = way.last().map_or(from, PathBuf::as_path);
        let listed = std::fs::read_dir(folder).map_err(|error| unreadable(folder, error))?;
        for entry in listed {
            let entry = entry.map_err(|error| unreadable(folder, error))?;
            let path = entry.path();
            looks += 1;
            if looks > LOOKS_MAX {
                return Err(unreadable(from, format!("> {LOOKS_MAX}")));
            }
            let own = entry.file_name().into_string();
            let own = own.map_err(|_| unreadable(&path, "UTF-8"))?;
            let below = if inside.is_empty() { own.clone() } else { format!("{inside}/{own}") };
            let Ok(leads) = path.canonicalize() else {
                found.leave(below, Word::LeftOutNowhere);
                continue;
            };
            if !leads.starts_with(&within) {
                found.leave(below, Word::LeftOutAway);
            } else if leads.is_file() {
                found.files.push(LocalFile { below, name: own, path: leads });
                if found.files.len() > FILES_MAX {
                    return Err(unreadable(from, format!("> {FILES_MAX}")));
                }
            } else if !leads.is_dir() {
                found.leave(below, Word::LeftOutNoBytes);
            } else if way.contains(&leads) {
                found.leave(below, Word::LeftOutBack);
            } else if way.len() > DEPTH_MAX {
                return Err(unreadable(&path, format!("> {DEPTH_MAX}")));
            } else {
                let way = way.iter().cloned().chain([leads]).collect();
                open.push(Open { inside: below, way });
            }
        }
    }
    found.files.sort_by(|a, b| a.below.cmp(&b.below));
    Ok(found)
}

/// A file, what it is, and what it will be called.
#[derive(Clone, Debug)]
pub struct Hashed {
    pub file: LocalFile,
    pub address: DataAddress,
    pub sha256: String,
    pub size: u64,
    /// May it be run as a program?
    pub executable: bool,
}

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// Every file, sent or there already.
    pub entries: Vec<DataEntry>,
    /// How many were sent.
    pub files: u64,
    /// How many bytes.
    pub bytes: u64,
}

fn bar(session: &Session, bytes: u64) -> ProgressBar {
    match session.progress {
        Progress::Drawn => {
            let style = "{bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} {msg}";
            let style = ProgressStyle::with_template(style).expect("the template is fixed");
            ProgressBar::new(bytes).with_style(style)
        }
        Progress::Hidden => ProgressBar::hidden(),
    }
}

/// What files are, by their bytes.
pub async fn hash_all(
    files: Vec<(LocalFile, DataAddress)>,
    session: &Session,
) -> Result<Vec<Hashed>, Failure> {
    let sizes = files.iter().filter_map(|(file, _)| file.path.metadata().ok());
    let bar = bar(session, sizes.map(|about| about.len()).sum());
    bar.set_message("sha256");
    let mut hashed = Vec::with_capacity(files.len());
    for (file, address) in files {
        let (path, seen) = (file.path.clone(), bar.clone());
        let found = tokio::task::spawn_blocking(move || digest(&path, &seen)).await;
        let found = found.map_err(|error| unreadable(&file.path, error))?;
        let (sha256, size) = found.map_err(|error| unreadable(&file.path, error))?;
        let executable = file.path.metadata().is_ok_and(|about| program::is(&about));
        hashed.push(Hashed { file, address, sha256, size, executable });
    }
    bar.finish_and_clear();
    Ok(hashed)
}

fn digest(path: &Path, bar: &ProgressBar) -> std::io::Result<(String, u64)> {
    let mut file = std::fs::File::open(path)?;
    let (mut hasher, mut piece, mut size) = (Sha256::new(), vec![0; 1 << 20], 0);
    loop {
        match file.read(&mut piece)? {
            0 => return Ok((hex::encode(hasher.finalize()), size)),
            read => {
                hasher.update(&piece[..read]);
                size += read as u64;
                bar.inc(read as u64);
            }
        }
    }
}

/// Sends what is not there and names all of it.
pub async fn send_all(
    client: &Client,
    files: &[Hashed],
    session: &Session,
) -> Result<Sent, Failure> {
    let bar = bar(session, files.iter().map(|file| file.size).sum());
    let sends = files.iter().map(|file| send(client, file, &bar));
    // Names appear in the order of the list, whatever the order in which bytes arrive.
    let mut sends = futures_util::stream::iter(sends).buffered(AT_ONCE);
    let mut sent = Sent::default();
    while let Some(done) = sends.next().await {
        let (entry, bytes) = done?;
        sent.files += u64::from(bytes.is_some());
        sent.bytes += bytes.unwrap_or(0);
        sent.entries.push(entry);
    }
    bar.finish_and_clear();
    Ok(sent)
}

/// The code of a refusal.
fn code(failure: &Failure) -> &str {
    match failure {
        Failure::Refused(problem) => &problem.code,
        _ => "",
    }
}

/// Sends one file from where it is; how many bytes, if any had to be.
async fn send(
    client: &Client,
    file: &Hashed,
    bar: &ProgressBar,
) -> Result<(DataEntry, Option<u64>), Failure> {
    let new = NewUpload {
        address: file.address.to_string(),
        size: file.size,
        sha256: file.sha256.clone(),
    };
    let mut state = patiently(async || client.begin_upload(&new).await).await?;
    let first = state.offset;
    bar.inc(first);
    let sent = (!state.done).then_some(file.size - first);
    let mut misses = 0;
    while !state.done {
        let bytes = piece(&file.file.path, state.offset);
        let bytes = bytes.map_err(|error| unreadable(&file.file.path, error))?;
        let next = client.send_part(&new, state.offset, bytes).await;
        let before = state.offset;
        state = match next {
            Ok(next) => next,
            Err(failure) => {
                let out_of_step =
                    matches!(code(&failure), "data.offset" | "data.busy" | "data.upload_unknown");
                misses += 1;
                if misses > TRIES_MAX || !(out_of_step || failure.exit() == Exit::Unreachable) {
                    return Err(failure);
                }
                tokio::time::sleep(PAUSE_FIRST * 2u32.pow(misses - 1)).await;
                patiently(async || client.begin_upload(&new).await).await?
            }
        };
        if state.offset > before {
            misses = 0;
            bar.inc(state.offset - before);
        }
    }
    let executable = file.executable;
    let entry = NewEntry { address: new.address, sha256: new.sha256, executable };
    // Naming it twice is once.
    let named = patiently(async || client.name_data(&entry).await).await?;
    Ok((named, sent))
}

/// Asks again while the server cannot be reached: one that is started again is back within seconds.
async fn patiently<T>(ask: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut misses = 0;
    loop {
        match ask().await {
            Err(failure) if misses < TRIES_MAX && failure.exit() == Exit::Unreachable => {
                misses += 1;
                tokio::time::sleep(PAUSE_FIRST * 2u32.pow(misses - 1)).await;
            }
            answer => return answer,
        }
    }
}

fn piece(path: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    let mut file = std::fs::File::open(path)?;
    file.seek(std::io::SeekFrom::Start(offset))?;
    let mut bytes = Vec::with_capacity(PART_BYTES);
    file.take(PART_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Fetches files to where they go.
pub async fn fetch_all(
    client: &Client,
    files: Vec<(DataEntry, PathBuf)>,
    session: &Session,
) -> Result<(), Failure> {
    let bar = bar(session, files.iter().map(|(entry, _)| entry.size).sum());
    let bar = &bar;
    let fetches =
        files.into_iter().map(|(entry, to)| async move { fetch(client, &entry, &to, bar).await });
    let mut fetches = futures_util::stream::iter(fetches).buffer_unordered(AT_ONCE);
    while let Some(done) = fetches.next().await {
        done?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// Where a file grows that is being fetched. Another content under the same name is another part.
fn part_of(to: &Path, sha256: &str) -> PathBuf {
    let name = to.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let name = if name.len() <= PART_NAME_BYTES_MAX {
        name
    } else {
        hex::encode(&Sha256::digest(name.as_bytes())[..16])
    };
    to.with_file_name(format!("{name}.{}.part", &sha256[..sha256.len().min(8)]))
}

async fn fetch(
    client: &Client,
    entry: &DataEntry,
    to: &Path,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let local = |error: std::io::Error| {
        Failure::local(Said::with(Word::WritingFile, "file", to.display().to_string()), error)
    };
    if let Some(folder) = to.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(local)?;
    }
    let part = part_of(to, &entry.sha256);
    let length = || part.metadata().map_or(0, |part| part.len());
    let mut misses = 0;
    let mut there = length();
    if there > entry.size {
        std::fs::remove_file(&part).map_err(local)?;
        there = 0;
    }
    bar.inc(there);
    while there < entry.size || !part.exists() {
        let got = read_on(client, entry, &part, there, bar).await;
        let now = length();
        if now > there {
            misses = 0;
        }
        there = now;
        let Err(failure) = got else { continue };
        misses += 1;
        if misses > TRIES_MAX || failure.exit() != Exit::Unreachable {
            return Err(failure);
        }
        tokio::time::sleep(PAUSE_FIRST * 2u32.pow(misses - 1)).await;
    }
    let (found, _) = digest(&part, &ProgressBar::hidden()).map_err(local)?;
    if found != entry.sha256 {
        std::fs::remove_file(&part).map_err(local)?;
        let said = Said::with(Word::DataDamaged, "address", &entry.address);
        return Err(Failure::local(said, found));
    }
    if entry.executable {
        program::make(&part).map_err(local)?;
    }
    std::fs::rename(&part, to).map_err(local)
}

async fn read_on(
    client: &Client,
    entry: &DataEntry,
    part: &Path,
    from: u64,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let local = |error: std::io::Error| {
        Failure::local(Said::with(Word::WritingFile, "file", part.display().to_string()), error)
    };
    let mut options = std::fs::File::options();
    let mut file = options.create(true).append(true).open(part).map_err(local)?;
    if from >= entry.size {
        return Ok(());
    }
    let mut response = client.data_content(&entry.address, from).await?;
    if response.status() != reqwest::StatusCode::PARTIAL_CONTENT && from > 0 {
        file.set_len(0).map_err(local)?;
    }
    while let Some(bytes) = next(client, &mut response).await? {
        file.write_all(&bytes).map_err(local)?;
        bar.inc(bytes.len() as u64);
    }
    Ok(())
}

async fn next(
    client: &Client,
    response: &mut reqwest::Response,
) -> Result<Option<Vec<u8>>, Failure> {
    let cut = |why: String| Failure::Unreachable {
        url: client.target().url.to_string(),
        why,
        advice: None,
    };
    let chunk = tokio::time::timeout(STALL_MAX, response.chunk()).await;
    let chunk = chunk.map_err(|_| cut(client.lang().word(Word::NoAnswerInTime).to_owned()))?;
    Ok(chunk.map_err(|error| cut(error.to_string()))?.map(|bytes| bytes.to_vec()))
}

/// A file to standard output, as it comes.
pub async fn print(client: &Client, entry: &DataEntry, session: &Session) -> Result<(), Failure> {
    let mut response = client.data_content(&entry.address, 0).await?;
    let mut hasher = Sha256::new();
    while let Some(bytes) = next(client, &mut response).await? {
        hasher.update(&bytes);
        session.out.raw(&bytes)?;
    }
    let found = hex::encode(hasher.finalize());
    if found == entry.sha256 {
        return Ok(());
    }
    let said = Said::with(Word::DataDamaged, "address", &entry.address);
    Err(Failure::local(said, found))
}
