//! Lists of choices, kept once where they are equal: most asks of a country differ in size alone and
//! rank all bays alike, and ten thousand of them would hold ten thousand copies.
//!
//! Invariant: what is shared is equal to what was handed in. Knows nothing of what choices mean.

use std::sync::Arc;

use crate::judge::Choice;

/// Lists handed in lately that are compared: asks come in few kinds (without cards, with one, with
/// two, …), and each comparison reads both lists where they are as long as each other.
const RECENT_MAX: usize = 8;

/// The lists that were handed in lately, the latest in front.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists(Vec<Arc<[Choice]>>);

impl Lists {
    /// An equal list that is shared with those who handed one in before.
    pub fn share(&mut self, list: Vec<Choice>) -> Arc<[Choice]> {
        let known = self.0.iter().position(|known| **known == *list);
        let shared = known.map_or_else(|| list.into(), |at| self.0.remove(at));
        self.0.truncate(RECENT_MAX - 1);
        self.0.insert(0, Arc::clone(&shared));
        shared
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_one_and_those_of_long_ago_are_forgotten() {
        let list = |bay| vec![Choice { bay, offer: 0, need: 0, alternative: 0 }];
        let mut lists = Lists::default();
        let first = lists.share(list(0));
        assert!(Arc::ptr_eq(&first, &lists.share(list(0))));
        for bay in 1..=8 {
            assert_eq!(*lists.share(list(bay)), *list(bay));
        }
        assert_eq!(lists.0.len(), RECENT_MAX);
        assert!(!Arc::ptr_eq(&first, &lists.share(list(0))));
    }
}
