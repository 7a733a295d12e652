//! Who may have a cached file by its digest alone.
//!
//! A digest is no secret: it stands in job files, manifests and on web pages. So what one organisation
//! brought with its own rights is not given to another that merely names the digest. Invariant: who is
//! noted here has got these bytes from a source that let it, or they lie open. Must not know sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// How everybody is written down. No organisation is called so.
const EVERYBODY: &str = "*";

/// Who may have something.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Reader {
    /// It came from where no secret was asked for.
    Everybody,
    /// An organisation, by its name; empty where the exchange does not say which.
    Org(String),
}

/// Who may have which file of a cache.
#[derive(Debug)]
pub(super) struct Readers {
    root: PathBuf,
    known: Mutex<BTreeMap<String, BTreeSet<String>>>,
}

impl Readers {
    /// What was noted in a folder of files that are here; what is not here is forgotten.
    pub(super) fn open(root: &Path, here: impl Fn(&str) -> bool) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if here(&name) {
                let text = fs::read_to_string(entry.path())?;
                known.insert(name, text.lines().map(str::to_owned).collect());
            } else {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(Self { root: root.to_owned(), known: Mutex::new(known) })
    }

    /// May an organisation have it for its digest?
    pub(super) fn may(&self, sha256: &str, org: &str) -> bool {
        let known = self.known.lock().expect("nobody panics while holding it");
        known.get(sha256).is_some_and(|who| who.contains(EVERYBODY) || who.contains(org))
    }

    /// Somebody has got it from where it comes from.
    pub(super) fn open_to(&self, sha256: &str, reader: &Reader) -> io::Result<()> {
        let who = match reader {
            Reader::Everybody => EVERYBODY,
            Reader::Org(org) => org,
        };
        let mut known = self.known.lock().expect("nobody panics while holding it");
        if !known.entry(sha256.to_owned()).or_default().insert(who.to_owned()) {
            return Ok(());
        }
        let mut file = OpenOptions::new().create(true).append(true).open(self.root.join(sha256))?;
        file.write_all(format!("{who}\n").as_bytes())
    }

    /// The file is gone.
    pub(super) fn forget(&self, sha256: &str) {
        self.known.lock().expect("nobody panics while holding it").remove(sha256);
        // One that is left is removed by the next process.
        let _ = fs::remove_file(self.root.join(sha256));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_alone_opens_nothing_to_others() {
        let dir = tempfile::tempdir().expect("a folder");
        let readers = Readers::open(dir.path(), |_| true).expect("opened");
        let org = |name: &str| Reader::Org(name.to_owned());
        assert!(!readers.may("d1", "lab"));
        readers.open_to("d1", &org("lab")).expect("noted");
        readers.open_to("d1", &org("lab")).expect("noted");
        readers.open_to("d2", &Reader::Everybody).expect("noted");
        readers.open_to("d3", &org("")).expect("noted");
        let check = |readers: &Readers| {
            assert!(readers.may("d1", "lab") && !readers.may("d1", "other"));
            assert!(!readers.may("d1", "") && !readers.may("d3", "lab") && readers.may("d3", ""));
            assert!(readers.may("d2", "lab") && readers.may("d2", "other"));
        };
        check(&readers);
        check(&Readers::open(dir.path(), |_| true).expect("opened again"));
        readers.forget("d1");
        assert!(!readers.may("d1", "lab"));
        let later = Readers::open(dir.path(), |name| name != "d2").expect("opened again");
        assert!(!later.may("d1", "lab") && !later.may("d2", "lab"));
        assert!(!dir.path().join("d2").exists());
    }
}
