//! A memory of what was heard of lately, under a bounded number of keys.
//!
//! Invariant: it holds at most [`LINES_MAX`] keys, and those that were heard of last. It must not
//! know what is remembered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// How many keys are remembered at the most: six for each kind of work, some 20,000 kinds. At about
/// 150 bytes each they take under 20 MB; those not heard of for longest are forgotten.
pub(crate) const LINES_MAX: usize = 120_000;

/// What is known by key. Stored as lists, because a key need not be a text.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(
    from = "Pages<K, V>",
    into = "Pages<K, V>",
    bound(
        serialize = "K: Clone + Ord + Serialize, V: Clone + Serialize",
        deserialize = "K: Ord + Deserialize<'de>, V: Deserialize<'de>"
    )
)]
pub(crate) struct Recent<K, V> {
    /// What was heard of lately.
    lines: BTreeMap<K, V>,
    /// What was heard of before; what is heard of again moves to the front.
    older: BTreeMap<K, V>,
}

/// [`Recent`] as it is stored.
#[derive(Serialize, Deserialize)]
struct Pages<K, V> {
    lines: Vec<(K, V)>,
    older: Vec<(K, V)>,
}

impl<K: Ord, V> From<Pages<K, V>> for Recent<K, V> {
    fn from(pages: Pages<K, V>) -> Self {
        let read = |lines: Vec<_>| lines.into_iter().collect();
        Self { lines: read(pages.lines), older: read(pages.older) }
    }
}

impl<K, V> From<Recent<K, V>> for Pages<K, V> {
    fn from(recent: Recent<K, V>) -> Self {
        let written = |lines: BTreeMap<_, _>| lines.into_iter().collect();
        Self { lines: written(recent.lines), older: written(recent.older) }
    }
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { lines: BTreeMap::new(), older: BTreeMap::new() }
    }
}

impl<K: Ord, V> Recent<K, V> {
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.lines.get(key).or_else(|| self.older.get(key))
    }

    pub(crate) fn set(&mut self, key: K, value: V) {
        self.lines.insert(key, value);
        if self.lines.len() >= LINES_MAX / 2 {
            self.older = std::mem::take(&mut self.lines);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lines.len() + self.older.len()
    }
}
