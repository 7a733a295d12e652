//! The cache of a site: files of inputs that were fetched there, the longest unused of which go first.
//! It is on the machine's disk, so it outlives its agent.

use std::collections::BTreeSet;

/// Files that it keeps: fewer than are about, so that some are fetched again.
const FILES_MAX: usize = 3;

/// What is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cache {
    /// The last one used stands last.
    files: Vec<u64>,
    /// What was ever there, for the checker.
    pub(crate) ever: BTreeSet<u64>,
}

impl Cache {
    /// What is there now.
    pub(crate) fn files(&self) -> BTreeSet<u64> {
        self.files.iter().copied().collect()
    }

    /// Is all of it there?
    pub(crate) fn has(&self, files: &[u64]) -> bool {
        files.iter().all(|file| self.files.contains(file))
    }

    /// These are wanted: they are there from now on, and others may go.
    pub(crate) fn take_in(&mut self, files: &[u64]) {
        for file in files {
            self.files.retain(|known| known != file);
            self.files.push(*file);
            self.ever.insert(*file);
        }
        let over = self.files.len().saturating_sub(FILES_MAX.max(files.len()));
        self.files.drain(..over);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_unused_goes_first_and_what_is_wanted_stays() {
        let mut cache = Cache::default();
        cache.take_in(&[1, 2]);
        cache.take_in(&[3]);
        cache.take_in(&[1]);
        cache.take_in(&[4]);
        assert_eq!(cache.files(), BTreeSet::from([1, 3, 4]));
        assert!(cache.has(&[4, 1]) && !cache.has(&[2]) && cache.has(&[]));
        cache.take_in(&[5, 6, 7, 8]);
        assert_eq!(cache.files(), BTreeSet::from([5, 6, 7, 8]));
        assert_eq!(cache.ever.len(), 8);
    }
}
