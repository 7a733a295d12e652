//! One writer per data directory: an exclusive lock on a file in it, which the kernel gives up
//! when the process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::Path;

use crate::fault::{Cause, Fault};

const LOCK_FILE: &str = "store.lock";

/// Held as long as the value lives.
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    pub(crate) fn take(dir: &Path) -> Result<Self, Fault> {
        let open = |source: std::io::Error| Fault::Open {
            place: dir.display().to_string(),
            source: Cause::Io(source),
        };
        let path = dir.join(LOCK_FILE);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(open)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: an unreadable note does not hide the real trouble.
                let _ = file.read_to_string(&mut holder);
                let holder = holder.trim().to_owned();
                let holder = if holder.is_empty() { "unknown".to_owned() } else { holder };
                return Err(Fault::Locked { dir: dir.to_owned(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(open(error)),
        }
        file.set_len(0).map_err(open)?;
        // A full disk must not keep a stopped exchange from opening: the note is a courtesy.
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}
