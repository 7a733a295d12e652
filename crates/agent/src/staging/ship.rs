//! Sending outputs: bytes first, under the attempt's own key; their names only with the grant.
//!
//! Invariants: nothing that was sent is seen under its name before [`Courier::publish`], which the
//! exchange has granted; repeating any step changes nothing. In the data store the names of one
//! project appear all at once; in an object store each object is the old or the new one, whole.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dayan_spec::Pattern;
use dayan_units::AttemptId;
use dayan_wire::{LeaseOrder, NewOutput, OutputFile, OutputOrder, Publication};
use futures_util::{FutureExt as _, StreamExt as _};

use super::Guard;
use super::cache::digest_of;
use super::courier::Courier;
use super::fetch::is_remote;
use super::keeping::Total;
use super::left;
use super::objects::{Naming, Staged};
use super::opened;
use super::progress::Going;
use super::roots::inside;
use super::snag::Snag;
use crate::link::LinkFault;
use crate::program;

/// Bytes of a file are sent in parts of this size: what is lost when a link is cut, and a part takes
/// seconds on a slow one.
const PART_BYTES: usize = 8 << 20;
/// Begins of one upload without progress between them.
const BEGINS_MAX: usize = 8;
/// Files of one output that are sent at once: as many as are fetched, for the same reasons.
pub(super) const SENDS_MAX: usize = 4;
/// What the exchange says when it does not have the bytes of a file that is to be published.
pub(super) const NOT_SENT: &str = "data.not_sent";
/// Said when something is not there twice in a row: of a store that the job has named.
const LOST: &str = "the object store has lost what was sent to it before it could be published";

/// What was sent for an attempt.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manifest {
    /// Files in the data store.
    pub(super) files: Vec<OutputFile>,
    /// Objects that nobody sees yet, and what they are to be called.
    pub(super) objects: Vec<Staged>,
}

/// A file of an output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Outgoing {
    /// Its path below the output; empty for a single file.
    pub(super) below: String,
    /// Its own name.
    pub(super) name: String,
    /// Where it lies.
    pub(super) path: PathBuf,
    /// The attempt's own folder, which it lies in.
    pub(super) root: Arc<Path>,
}

impl Outgoing {
    /// May it be run as a program? What a link leads to is not looked at.
    pub(super) fn is_program(&self) -> bool {
        self.path.symlink_metadata().is_ok_and(|about| about.is_file() && program::is(&about))
    }
}

/// The files of an output, none of which leads out of the attempt's folder.
pub(super) fn outgoing(folder: &Path, output: &OutputOrder) -> Result<Vec<Outgoing>, Snag> {
    let real = folder.canonicalize().map_err(|error| format!("its folder: {error}"))?;
    let root: Arc<Path> = Arc::from(real.as_path());
    let within = |path: PathBuf, shown: &str| -> Result<PathBuf, Snag> {
        let path = path
            .canonicalize()
            .map_err(|error| Snag::of_file(format!("{shown}: {error}"), &error, &real))?;
        if path.starts_with(&real) {
            Ok(path)
        } else {
            Err(Snag::job(format!("`{shown}` leads out of its folder")))
        }
    };
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let pattern = Pattern::of(&output.from).map_err(|error| Snag::job(error.to_string()))?;
    let base = pattern.as_ref().map_or(output.from.as_str(), Pattern::base);
    // A file with a slash behind it is not there for the system; why is said below.
    let from = inside(&real, base.trim_end_matches('/')).map_err(Snag::job)?;
    let there = from.try_exists();
    if !there.map_err(|error| Snag::of_file(format!("{base}: {error}"), &error, &real))? {
        let what = if pattern.is_some() { "nothing like" } else { "no" };
        return Err(Snag::job(format!("it left {what} `{}`", output.from)));
    }
    let from = within(from, base)?;
    if from.is_file() {
        if output.from.ends_with('/') {
            return Err(Snag::job(format!("`{}` is not a folder", output.from)));
        }
        let name = name(&output.from);
        return Ok(vec![Outgoing { below: String::new(), name, path: from, root }]);
    }
    let mut found = Vec::new();
    for file in left::below(&from, &real)? {
        let below = file.to_str();
        let below = below.ok_or_else(|| Snag::job(format!("{}: not UTF-8", file.display())))?;
        let below = match &pattern {
            Some(pattern) => pattern.matches(&format!("{base}{below}")).map(str::to_owned),
            None => Some(below.to_owned()),
        };
        let Some(below) = below else { continue };
        let path = within(from.join(&file), &below).map_err(|snag| Snag {
            why: format!("`{below}` leads to a place that may not be read"),
            ..snag
        })?;
        if !path.is_file() {
            return Err(Snag::job(format!("`{below}` is not a file")));
        }
        found.push(Outgoing { name: name(&below), below, path, root: Arc::clone(&root) });
    }
    if found.is_empty() && pattern.is_some() {
        return Err(Snag::job(format!("it left nothing like `{}`", output.from)));
    }
    Ok(found)
}

impl Courier {
    /// Sends the bytes of every output that does not go to a folder of this machine.
    pub(crate) async fn ship(
        &self,
        order: &LeaseOrder,
        folder: &Path,
        guard: &Guard,
        going: &Going,
    ) -> Result<Total, Snag> {
        let (manifest, total) = self.send_all(order, folder, guard, going).await?;
        let mut manifests = self.manifests.lock().expect("nobody panics while holding it");
        manifests.insert(order.attempt, manifest);
        Ok(total)
    }

    async fn send_all(
        &self,
        order: &LeaseOrder,
        folder: &Path,
        guard: &Guard,
        going: &Going,
    ) -> Result<(Manifest, Total), Snag> {
        let mut manifest = Manifest::default();
        let (mut total, mut all) = (Total::default(), Vec::new());
        // All of it is looked at before the first byte is sent.
        for (number, output) in (0..).zip(&order.outputs) {
            if !is_remote(&output.to) {
                continue;
            }
            let (looked_for, below) = (output.clone(), folder.to_owned());
            let found = tokio::task::spawn_blocking(move || {
                let found = outgoing(&below, &looked_for)?;
                let bytes = bytes_of(&found);
                Ok::<_, Snag>((found, bytes))
            });
            let (found, bytes) = found.await.map_err(|error| error.to_string())??;
            total.add(found.len(), bytes)?;
            going.expect(bytes);
            all.push((number, output, found));
        }
        let mut secrets: Option<BTreeMap<String, String>> = None;
        let attempt = order.attempt;
        for (number, output, found) in all {
            if output.to.starts_with("dayan://") {
                let sent = self.send_files(attempt, Some(number), found, guard, going).await?;
                manifest.files.extend(sent.into_iter().map(|(file, sha256)| {
                    let executable = file.is_program();
                    let path = match (file.below.is_empty(), output.to.ends_with('/')) {
                        (true, true) => file.name,
                        (_, _) => file.below,
                    };
                    OutputFile { output: number, path, sha256, executable }
                }));
                continue;
            }
            if secrets.is_none() {
                secrets = Some(self.secrets(order, guard).await?);
            }
            let secrets = secrets.as_ref().expect("it was just asked for");
            let sent =
                self.send_objects(attempt, number, output, found, secrets, guard, going).await;
            let sent = sent.map_err(|snag| snag.about(&format!("`{}`", output.to)))?;
            manifest.objects.extend(sent);
        }
        Ok((manifest, total))
    }

    /// Sends files to the data store, several at once; each with its SHA-256, in their order.
    pub(super) async fn send_files(
        &self,
        attempt: AttemptId,
        output: Option<u32>,
        files: Vec<Outgoing>,
        guard: &Guard,
        going: &Going,
    ) -> Result<Vec<(Outgoing, String)>, Snag> {
        let mut sent = Vec::with_capacity(files.len());
        let sends = files.into_iter().map(|file| async move {
            let sha256 = self.send(attempt, output, &file, guard, going).await?;
            Ok::<_, Snag>((file, sha256))
        });
        let mut sends = futures_util::stream::iter(sends).buffered(SENDS_MAX);
        while let Some(file) = sends.next().await {
            sent.push(file?);
        }
        Ok(sent)
    }

    /// Sends one file's bytes to the data store, from where they are; of an output by number, or of the
    /// checkpoint. Gives back their SHA-256.
    pub(super) async fn send(
        &self,
        attempt: AttemptId,
        output: Option<u32>,
        file: &Outgoing,
        guard: &Guard,
        going: &Going,
    ) -> Result<String, Snag> {
        let failed = |why: &str| format!("{}: {why}", file.name);
        let _slot = self.slots.acquire().await.map_err(|_| "the agent ends".to_owned())?;
        let hashing = file.path.clone();
        let hashed = tokio::task::spawn_blocking(move || digest_of(opened::open(&hashing)?)).await;
        let hashed = hashed.map_err(|error| failed(&error.to_string()))?;
        let (sha256, size) = hashed
            .map_err(|error| Snag::of_file(failed(&error.to_string()), &error, &file.root))?;
        let new = NewOutput { attempt, output, size, sha256: sha256.clone() };
        let mut counted = 0;
        let mut count = |offset: u64| {
            going.came(offset.saturating_sub(counted));
            counted = counted.max(offset);
        };
        let (mut begins, mut last, mut furthest) = (0, String::new(), None);
        'begin: loop {
            begins += 1;
            if begins > BEGINS_MAX {
                return Err(failed(&format!("{last}; given up after {BEGINS_MAX} tries")).into());
            }
            if begins > 1 {
                tokio::time::sleep(super::fetch::PAUSE_FIRST * begins_shift(begins - 1)).await;
            }
            let begun = self.patiently(guard, || self.store.begin(&new).boxed()).await;
            let mut state = begun.map_err(|snag| snag.about(&file.name))?;
            // Equal bytes are one upload, whoever sends them: another task may be ahead of us.
            if furthest.is_some_and(|furthest| state.offset > furthest) {
                begins = 1;
            }
            furthest = furthest.max(Some(state.offset));
            count(state.offset);
            while !state.done {
                guard.check()?;
                let bytes = piece(&file.path, state.offset).await;
                let bytes = bytes.map_err(|error| failed(&error.to_string()))?;
                match self.store.append(&new, state.offset, bytes).await {
                    Ok(next) => {
                        if next.offset > state.offset {
                            begins = 0;
                        }
                        state = next;
                        furthest = furthest.max(Some(state.offset));
                        count(state.offset);
                    }
                    // Its end may have come all the same: ask.
                    Err(LinkFault::Away(why)) => {
                        tracing::info!(why, file = file.name, "sent on from where it is");
                        last = why;
                        continue 'begin;
                    }
                    Err(LinkFault::Rejected(why)) if is_out_of_step(&why) => {
                        last = why;
                        continue 'begin;
                    }
                    Err(fault) => {
                        return Err(Snag::refused(fault.to_string()).about(&file.name));
                    }
                }
            }
            count(size);
            break;
        }
        Ok(sha256)
    }

    /// Gives what was sent its names. The exchange has granted it.
    pub(crate) async fn publish(
        &self,
        order: &LeaseOrder,
        folder: Option<&Path>,
        guard: &Guard,
    ) -> Result<(), Snag> {
        let attempt = order.attempt;
        let sent = {
            let manifests = self.manifests.lock().expect("nobody panics while holding it");
            manifests.get(&attempt).cloned()
        };
        let Some(manifest) = sent else { return Ok(()) };
        let guard = &self.publishing(attempt, guard);
        if !manifest.files.is_empty() {
            let publication = Publication { attempt, files: manifest.files.clone() };
            let publish = || self.store.publish(&publication).boxed();
            match (self.patiently(guard, publish).await, folder) {
                // The exchange has lost track of what was sent: it is sent again, which costs
                // nothing where it has not.
                (Err(snag), Some(folder)) if snag.is(NOT_SENT) => {
                    let going = self.begin(attempt);
                    self.send_all(order, folder, guard, &going).await?;
                    drop(going);
                    self.patiently(guard, publish).await?;
                }
                (done, _) => done?,
            }
        }
        match (self.name_objects(attempt, &manifest.objects, guard).await?, folder) {
            (Naming::Done, _) => Ok(()),
            (Naming::Lost, Some(folder)) => {
                let going = self.begin(attempt);
                let (again, _) = self.send_all(order, folder, guard, &going).await?;
                drop(going);
                match self.name_objects(attempt, &again.objects, guard).await? {
                    Naming::Done => Ok(()),
                    Naming::Lost => Err(Snag::job(LOST.to_owned())),
                }
            }
            (Naming::Lost, None) => Err(Snag::job(LOST.to_owned())),
        }
    }

    /// What was sent for an attempt is of no use any more.
    pub(crate) fn forget(&self, attempt: AttemptId) {
        self.manifests.lock().expect("nobody panics while holding it").remove(&attempt);
        self.keeping.forget(attempt);
        self.forget_objects(attempt);
    }
}

/// What files come to.
pub(super) fn bytes_of(found: &[Outgoing]) -> u64 {
    let sizes = found.iter().filter_map(|file| file.path.metadata().ok());
    sizes.fold(0, |sum, about| sum.saturating_add(about.len()))
}

fn begins_shift(begins: usize) -> u32 {
    1 << begins.min(5)
}

/// Somebody else, or we ourselves in a request that was cut off, moved the upload on.
fn is_out_of_step(why: &str) -> bool {
    ["data.offset", "data.upload_unknown", "data.busy"].iter().any(|code| why.starts_with(code))
}

async fn piece(path: &Path, offset: u64) -> std::io::Result<Vec<u8>> {
    let path = path.to_owned();
    let read = move || {
        let mut file = opened::open(&path)?;
        file.seek(std::io::SeekFrom::Start(offset))?;
        let mut bytes = Vec::with_capacity(PART_BYTES);
        file.take(PART_BYTES as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    tokio::task::spawn_blocking(read).await.map_err(std::io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(from: &str, expect: Result<&[&str], &str>) {
        let dir = tempfile::tempdir().expect("a folder");
        for path in ["out/a.exr", "out/b.exr", "out/b.log", "out/deep/c.exr", "report"] {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, "x").expect("written");
        }
        std::fs::create_dir(dir.path().join("bad")).expect("made");
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("bad/x")).expect("linked");
        let output = OutputOrder { from: from.to_owned(), ..OutputOrder::default() };
        let found = outgoing(dir.path(), &output);
        match (found, expect) {
            (Ok(found), Ok(expect)) => {
                let found: Vec<&str> = found.iter().map(|file| file.below.as_str()).collect();
                assert_eq!(found, expect, "{from}");
            }
            (Err(snag), Err(part)) => {
                assert!(snag.why.contains(part), "{from}: {snag:?}");
                assert_eq!(snag.blame, dayan_wire::Blame::Job, "{from}: {snag:?}");
            }
            (found, expect) => panic!("{from}: {found:?} for {expect:?}"),
        }
    }

    #[test]
    fn outputs_are_files_folders_and_patterns_inside_the_folder() {
        check("report", Ok(&[""]));
        check("out", Ok(&["a.exr", "b.exr", "b.log", "deep/c.exr"]));
        check("out/", Ok(&["a.exr", "b.exr", "b.log", "deep/c.exr"]));
        check("out/*.exr", Ok(&["a.exr", "b.exr"]));
        check("out/**/*.exr", Ok(&["a.exr", "b.exr", "deep/c.exr"]));
        check("report/", Err("not a folder"));
        check("none", Err("left no `none`"));
        check("out/*.png", Err("nothing like"));
        check("bad/", Err("may not be read"));
        check("bad/x", Err("leads out"));
    }
}
