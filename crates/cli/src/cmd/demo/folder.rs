//! Where the demo keeps things, and where its programs are.

use std::path::{Path, PathBuf};

use crate::exit::{Failure, Said};
use crate::words::Word;

/// What the jobs run; built beside the `dayan` binary from `examples/`.
const PROGRAMS: [&str; 4] = ["dayan-render", "dayan-forecast", "dayan-tyre", "dayan-nbody"];
/// Folders tried for a demo that nobody gave a name.
const NAMES_MAX: u32 = 1_000;

/// The folder of one demo.
#[derive(Clone, Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder asked for, which must be new or empty, or a new one here.
    pub fn new(asked: Option<&Path>) -> Result<Self, Failure> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None => free_name()?,
        };
        let said = || Said::with(Word::WritingFile, "file", path.display().to_string());
        let taken = std::fs::read_dir(&path).is_ok_and(|mut inside| inside.next().is_some());
        if taken {
            let shown = path.display().to_string();
            return Err(Failure::usage(Said::with(Word::DemoFolderTaken, "dir", shown)));
        }
        std::fs::create_dir_all(&path).map_err(|error| Failure::local(said(), error))?;
        let path = path.canonicalize().map_err(|error| Failure::local(said(), error))?;
        std::fs::create_dir_all(path.join("results"))
            .map_err(|error| Failure::local(said(), error))?;
        Ok(Self(path))
    }
    /// For people.
    pub fn shown(&self) -> String {
        self.0.display().to_string()
    }
    /// The exchange's data.
    pub fn exchange(&self) -> PathBuf {
        self.0.join("exchange")
    }
    /// An agent's data.
    pub fn agent(&self, pool: &str) -> PathBuf {
        self.0.join("agents").join(pool)
    }
    /// What an agent says.
    pub fn agent_log(&self, pool: &str) -> PathBuf {
        self.0.join("agents").join(format!("{pool}.log"))
    }
    /// Where results are published.
    pub fn results(&self) -> PathBuf {
        self.0.join("results")
    }
}

fn free_name() -> Result<PathBuf, Failure> {
    let names = std::iter::once("dayan-demo".to_owned())
        .chain((2..NAMES_MAX).map(|number| format!("dayan-demo-{number}")));
    let free = names.map(PathBuf::from).find(|path| !path.exists());
    free.ok_or_else(|| Failure::usage(Said::with(Word::DemoFolderTaken, "dir", "dayan-demo")))
}

/// Where the programs of the jobs are.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The folder with all of them.
    pub folder: PathBuf,
}

/// Finds the programs beside this one.
pub fn programs() -> Result<Programs, Failure> {
    let here = std::env::current_exe()
        .map_err(|error| Failure::local(Said::plain(Word::StartingUp), error))?;
    let folder = here.parent().unwrap_or_else(|| Path::new("/")).to_owned();
    let missing: Vec<&str> =
        PROGRAMS.into_iter().filter(|program| !folder.join(program).is_file()).collect();
    if missing.is_empty() {
        return Ok(Programs { folder });
    }
    let said = Said::with(Word::DemoPrograms, "dir", folder.display().to_string());
    Err(Failure::usage(said.and("missing", missing.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_something_in_it_is_not_taken_over() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("demo");
        assert!(Folder::new(Some(&path)).is_ok());
        assert!(Folder::new(Some(&path)).is_err(), "the first one made `results` in it");
        assert!(path.join("results").is_dir());
    }
}
