//! The three steps: inputs in, outputs gathered, outputs published.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use dayan_spec::Pattern;
use dayan_units::AttemptId;
use dayan_wire::{LeaseOrder, OutputOrder};
use rustix::io::Errno;

use super::cache::{PlaceFault, digest};
use super::copy::{Durability, copy, files};
use super::fetch::{Brought, is_remote};
use super::keeping::Total;
use super::roots::inside;
use super::ship::{bytes_of, outgoing};
use super::snag::Snag;
use super::{Guard, Roots};
use crate::launch::{HOSTFILE, Place, hostfile};
use crate::program;

/// What a file is called for the moment between its copy and its name, where the publishing root
/// spans file systems.
const PARTIAL: &str = "dayan-partial";

impl Roots {
    /// Prepares an attempt's folder: empty, then the inputs, the folder it starts in, the host
    /// file.
    pub(crate) fn stage(
        &self,
        order: &LeaseOrder,
        folder: &Path,
        guard: &Guard,
        place: &Place,
        brought: &[Brought],
    ) -> Result<(), StageFault> {
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(error).into());
            }
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(folder).map_err(failed)?;
        for file in brought {
            guard.check()?;
            let to = inside(folder, &file.to)?;
            match file.file.place(&to) {
                Ok(()) if file.executable => program::make(&to).map_err(failed)?,
                Ok(()) => {}
                Err(PlaceFault::Tampered) => return Err(StageFault::Again),
                Err(PlaceFault::Failed(why) | PlaceFault::Full(why)) => return Err(why.into()),
            }
        }
        for input in order.inputs.iter().filter(|input| !is_remote(&input.from)) {
            if self.stage_pattern(input, folder, guard)? {
                continue;
            }
            let from = self.source(&input.from).map_err(Snag::job)?;
            let mut to = inside(folder, &input.to)?;
            if from.is_file() && (input.to.ends_with('/') || to == folder) {
                to.push(from.file_name().unwrap_or_default());
            } else if input.from.ends_with('/') && !from.is_dir() {
                let why = format!("`{}` is not a folder", input.from);
                return Err(Snag::job(why).into());
            }
            copy(&from, &to, guard, Durability::Cached, &|real| self.may_read(real))?;
            if let Some(expected) = &input.sha256 {
                let (sha256, _) = digest(&to).map_err(failed)?;
                if sha256 != *expected {
                    let from = &input.from;
                    let why = format!("`{from}`: its SHA-256 is {sha256}, not {expected}");
                    return Err(Snag::job(why).into());
                }
            }
        }
        if let Some(checkpoint) = &order.checkpoint {
            fs::create_dir_all(inside(folder, &checkpoint.path)?).map_err(failed)?;
        }
        if let Some(workdir) = &order.workdir {
            fs::create_dir_all(inside(folder, workdir)?).map_err(failed)?;
        }
        for (path, text) in &order.files {
            let to = inside(folder, path)?;
            if let Some(above) = to.parent() {
                fs::create_dir_all(above).map_err(failed)?;
            }
            fs::write(&to, text).map_err(failed)?;
        }
        if let Some(hosts) = hostfile(order, place) {
            fs::write(folder.join(HOSTFILE), hosts).map_err(failed)?;
        }
        Ok(())
    }

    /// Copies what a pattern finds in a folder of this machine; false where there is no pattern.
    fn stage_pattern(
        &self,
        input: &OutputOrder,
        folder: &Path,
        guard: &Guard,
    ) -> Result<bool, Snag> {
        let pattern = Pattern::of(&input.from).map_err(|error| Snag::job(error.to_string()))?;
        let Some(pattern) = pattern else { return Ok(false) };
        let base = self.source(pattern.base()).map_err(Snag::job)?;
        let mut found = 0;
        for file in files(&base).map_err(|error| error.to_string())? {
            let Some(name) = file.to_str() else { continue };
            if let Some(below) = pattern.matches(&format!("{}{name}", pattern.base())) {
                let to = inside(folder, &input.to)?.join(below);
                let may_read = |real: &Path| self.may_read(real);
                copy(&base.join(&file), &to, guard, Durability::Cached, &may_read)?;
                found += 1;
            }
        }
        if found == 0 {
            return Err(Snag::job(format!("`{}`: nothing is like it", input.from)));
        }
        Ok(true)
    }

    /// May all outputs go where they are to go? Asked before the task starts: what can never be
    /// published here need not run here.
    pub(crate) fn may_publish(&self, order: &LeaseOrder) -> Result<(), Snag> {
        // Where it is to go is the job's to say, and another pool may publish there.
        let goes = |to: &str| self.target(to).map(drop).map_err(Snag::job);
        local(order).try_for_each(|(_, output)| goes(&output.to))
    }

    /// Copies the outputs to where they can be published from, and makes them durable.
    pub(crate) fn gather(
        &self,
        order: &LeaseOrder,
        folder: &Path,
        guard: &Guard,
        mut total: Total,
    ) -> Result<(), Snag> {
        self.clear(order.attempt);
        for (number, output) in local(order) {
            self.target(&output.to)?;
            let to = self.gathered(order.attempt)?.join(number.to_string());
            let within = |real: &Path| folder.canonicalize().is_ok_and(|f| real.starts_with(f));
            if output.from.ends_with('/')
                || inside(folder, &output.from).map_err(Snag::job)?.is_dir()
            {
                // Also one without files appears.
                fs::create_dir_all(&to).map_err(|error| format!("{}: {error}", to.display()))?;
            }
            let found = outgoing(folder, output)?;
            total.add(found.len(), bytes_of(&found))?;
            for file in found {
                let to = if file.below.is_empty() { to.clone() } else { to.join(&file.below) };
                let copied = copy(&file.path, &to, guard, Durability::Synced, &within);
                copied.map_err(|fault| fault.of_task(&file.root))?;
            }
        }
        Ok(())
    }

    /// Brings what was gathered under its names, file by file: each is either the old or the new
    /// one, whole.
    pub(crate) fn publish(&self, order: &LeaseOrder, guard: &Guard) -> Result<(), String> {
        let mut folders = BTreeSet::new();
        for (number, output) in local(order) {
            let from = self.gathered(order.attempt)?.join(number.to_string());
            let target = self.target(&output.to)?;
            if from.is_dir() {
                for file in files(&from).map_err(|error| error.to_string())? {
                    let to = target.join(&file);
                    self.place(order.attempt, &from.join(&file), &to, guard, &mut folders)?;
                }
            } else {
                let to = named(&target, output);
                self.place(order.attempt, &from, &to, guard, &mut folders)?;
            }
        }
        for folder in folders {
            File::open(&folder)
                .and_then(|folder| folder.sync_all())
                .map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        self.clear(order.attempt);
        Ok(())
    }

    fn place(
        &self,
        attempt: AttemptId,
        from: &Path,
        to: &Path,
        guard: &Guard,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", to.display());
        let folder = to.parent().ok_or_else(|| format!("{} is no file's name", to.display()))?;
        if folders.insert(folder.to_owned()) {
            self.make_folder(folder)?;
        }
        guard.check()?;
        match fs::rename(from, to) {
            Err(error) if error.raw_os_error() == Some(Errno::XDEV.raw_os_error()) => {
                // Others may be about to publish the same name.
                let AttemptId { job, task, attempt } = attempt;
                let partial = folder.join(format!(".{job}-{task}-{attempt}.{PARTIAL}"));
                let placed = fs::copy(from, &partial)
                    .and_then(|_| File::open(&partial)?.sync_all())
                    .map_err(failed)
                    .and_then(|()| guard.check())
                    .and_then(|()| fs::rename(&partial, to).map_err(failed));
                if placed.is_err() {
                    // What is half there takes the room of others.
                    let _ = fs::remove_file(&partial);
                }
                placed
            }
            other => other.map_err(failed),
        }
    }
}

/// The outputs that go to folders of this machine, with their numbers.
fn local(order: &LeaseOrder) -> impl Iterator<Item = (usize, &OutputOrder)> {
    order.outputs.iter().enumerate().filter(|(_, output)| !is_remote(&output.to))
}

/// Why a folder could not be prepared.
#[derive(Debug)]
pub(crate) enum StageFault {
    /// Something that was brought is not what it was: bring it again.
    Again,
    /// It cannot be.
    Failed(Snag),
}

impl<T: Into<Snag>> From<T> for StageFault {
    fn from(why: T) -> Self {
        Self::Failed(why.into())
    }
}

/// The name of a single file: the address, or below it where it is a folder.
fn named(target: &Path, output: &OutputOrder) -> PathBuf {
    if output.to.ends_with('/') || target.is_dir() {
        target.join(Path::new(&output.from).file_name().unwrap_or_default())
    } else {
        target.to_owned()
    }
}
