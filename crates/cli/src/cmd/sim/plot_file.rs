//! The file that a picture goes to: opened before a long run, so that a path that cannot be written
//! is told at once, and left as it was where the run fails.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use dayan_simulate::plot::Sheet;

use crate::exit::{Failure, Said};
use crate::words::Word;

/// A file that is open and not yet written.
#[derive(Debug)]
pub struct PlotFile {
    path: PathBuf,
    file: File,
    /// It was not there before, and is not wanted without a picture.
    fresh: bool,
}

impl PlotFile {
    /// Where one is asked for.
    pub fn open(path: Option<&Path>) -> Result<Option<Self>, Failure> {
        let Some(path) = path else { return Ok(None) };
        let fresh = !path.exists();
        if !fresh && !is_picture(path) {
            let said = Said::with(Word::NoPictureThere, "file", path.display().to_string());
            return Err(Failure::usage(said));
        }
        // Not truncated: a former picture stays until the new one is there.
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|error| Failure::local(writing(path), error))?;
        Ok(Some(Self { path: path.to_owned(), file, fresh }))
    }

    /// Writes the picture.
    pub fn write(mut self, sheet: &Sheet) -> Result<(), Failure> {
        let outcome = self.replace(sheet.svg().as_bytes());
        self.fresh &= outcome.is_err();
        outcome.map_err(|error| Failure::local(writing(&self.path), error))
    }

    fn replace(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        // A pipe or a device has no length.
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        self.file.write_all(bytes)?;
        self.file.flush()
    }
}

impl Drop for PlotFile {
    fn drop(&mut self) {
        if self.fresh {
            // An empty file that stays is no harm.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Is it empty, a picture, or no file at all? Another file is not written over: it may be the input.
fn is_picture(path: &Path) -> bool {
    const BEGINS: [&[u8]; 2] = [b"<svg", b"<?xml"];
    if !path.is_file() {
        return true;
    }
    let mut begins = Vec::new();
    let read = File::open(path).and_then(|file| file.take(5).read_to_end(&mut begins));
    read.is_ok() && (begins.is_empty() || BEGINS.iter().any(|known| begins.starts_with(known)))
}

fn writing(path: &Path) -> Said {
    Said::with(Word::WritingFile, "file", path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_fails_leaves_what_was_there_and_nothing_new() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.svg");
        drop(PlotFile::open(Some(&path)).expect("it can be written"));
        assert!(!path.exists());
        let sheet = Sheet { title: "first".to_owned(), ..Sheet::default() };
        let open = || PlotFile::open(Some(&path)).expect("it can be written").expect("a file");
        open().write(&sheet).expect("it is written");
        drop(open());
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), sheet.svg());
        let shorter = Sheet::default();
        open().write(&shorter).expect("it is written");
        assert_eq!(std::fs::read_to_string(&path).expect("it is there"), shorter.svg());
        let nowhere = PlotFile::open(Some(&folder.path().join("no/a.svg"))).err();
        assert!(nowhere.is_some_and(|failure| failure.exit() == crate::exit::Exit::Failed));
        assert!(PlotFile::open(None).expect("nothing is asked for").is_none());
    }
}
