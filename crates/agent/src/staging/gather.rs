//! The three steps: inputs in, outputs gathered, outputs published.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use dayan_wire::{LeaseOrder, OutputOrder};
use rustix::io::Errno;

use super::copy::{Durability, copy, files};
use super::roots::inside;
use super::{Guard, Roots};
use crate::launch::{HOSTFILE, Place, hostfile};

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
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("{}: {error}", folder.display());
        match fs::remove_dir_all(folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
        fs::create_dir_all(folder).map_err(failed)?;
        for input in &order.inputs {
            let from = self.source(&input.from)?;
            let mut to = inside(folder, &input.to)?;
            if from.is_file() && (input.to.ends_with('/') || to == folder) {
                to.push(from.file_name().unwrap_or_default());
            } else if input.from.ends_with('/') && !from.is_dir() {
                return Err(format!("`{}` is not a folder", input.from));
            }
            copy(&from, &to, guard, Durability::Cached, &|real| self.may_read(real))?;
        }
        if let Some(workdir) = &order.workdir {
            fs::create_dir_all(inside(folder, workdir)?).map_err(failed)?;
        }
        if let Some(hosts) = hostfile(order, place) {
            fs::write(folder.join(HOSTFILE), hosts).map_err(failed)?;
        }
        Ok(())
    }

    /// Copies the outputs to where they can be published from, and makes them durable. Where they
    /// are to go is checked now: what can never be published need not wait for a grant.
    pub(crate) fn gather(
        &self,
        order: &LeaseOrder,
        folder: &Path,
        guard: &Guard,
    ) -> Result<(), String> {
        self.clear(order.attempt);
        let gathered = self.gathered(order.attempt)?;
        let real = folder.canonicalize().map_err(|error| format!("its folder: {error}"))?;
        for (number, output) in order.outputs.iter().enumerate() {
            self.target(&output.to)?;
            let from = inside(&real, &output.from)?;
            match from.metadata() {
                Ok(found) if output.from.ends_with('/') && !found.is_dir() => {
                    return Err(format!("`{}` is not a folder", output.from));
                }
                Ok(_) => {}
                Err(_) => return Err(format!("it left no `{}`", output.from)),
            }
            // The output's own name may be a link; what it leads to is judged like any other.
            let from = from.canonicalize().map_err(|error| format!("{}: {error}", output.from))?;
            if !from.starts_with(&real) {
                return Err(format!("`{}` leads out of its folder", output.from));
            }
            let to = gathered.join(number.to_string());
            copy(&from, &to, guard, Durability::Synced, &|path| path.starts_with(&real))?;
        }
        Ok(())
    }

    /// Brings what was gathered under its names, file by file: each is either the old or the new
    /// one, whole.
    pub(crate) fn publish(&self, order: &LeaseOrder, guard: &Guard) -> Result<(), String> {
        let gathered = self.gathered(order.attempt)?;
        let mut folders = BTreeSet::new();
        for (number, output) in order.outputs.iter().enumerate() {
            let from = gathered.join(number.to_string());
            let target = self.target(&output.to)?;
            if from.is_dir() {
                for file in files(&from)? {
                    self.place(&from.join(&file), &target.join(&file), guard, &mut folders)?;
                }
            } else {
                self.place(&from, &named(&target, output), guard, &mut folders)?;
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
                let name = to.file_name().unwrap_or_default().to_string_lossy();
                let partial = folder.join(format!(".{name}.{PARTIAL}"));
                fs::copy(from, &partial).map_err(failed)?;
                File::open(&partial).and_then(|file| file.sync_all()).map_err(failed)?;
                guard.check()?;
                fs::rename(&partial, to).map_err(failed)
            }
            other => other.map_err(failed),
        }
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
