//! Tables by task or attempt in which the tasks of one job lie near each other: an array is placed one
//! task after the other, and each would else be somewhere else in a table larger than the caches.
//!
//! Invariant: a hash is a function of the key. No decision may follow from where a key lies.

use std::hash::{BuildHasherDefault, Hasher};

/// A table by [`TaskId`](dayan_units::TaskId) or [`AttemptId`](dayan_units::AttemptId).
pub(crate) type NearMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Near>>;

/// So many bits of a task's number are its place beside its neighbours: 64 entries are some 40 cache
/// lines. Longer rows of different jobs would get into each other's way.
const TOGETHER_BITS: u32 = 6;

/// The table takes the lowest bits of a hash for the place, and the highest seven to tell those apart
/// that lie together.
const TAG_AT: u32 = 57;

/// Hashes a job, then the number of a task, then perhaps that of an attempt.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct Near {
    hash: u64,
    has_task: bool,
}

/// The golden ratio in 64 bits (Fibonacci hashing, Knuth vol. 3, 6.4), and a round of mixing around it.
const fn mix(value: u64) -> u64 {
    let value = (value ^ value >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    value ^ value >> 29
}

impl Hasher for Near {
    fn write_u128(&mut self, id: u128) {
        let half = |half: u128| u64::try_from(half).expect("64 bits of it");
        let (high, low) = (half(id >> 64), half(id & u128::from(u64::MAX)));
        self.hash = mix(mix(self.hash ^ high) ^ low);
    }
    fn write_u32(&mut self, number: u32) {
        if self.has_task {
            // An attempt lies where its task does.
            self.hash ^= mix(u64::from(number)) << TAG_AT;
            return;
        }
        let (block, place) = (number >> TOGETHER_BITS, number & ((1 << TOGETHER_BITS) - 1));
        let start = mix(self.hash ^ u64::from(block));
        self.hash = start.wrapping_add(u64::from(place)) ^ mix(u64::from(place)) << TAG_AT;
        self.has_task = true;
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = mix(self.hash ^ u64::from(*byte));
        }
    }
    fn finish(&self) -> u64 {
        self.hash
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use dayan_units::{JobId, TaskId};

    use super::*;

    #[test]
    fn tasks_of_a_job_are_neighbours_and_jobs_are_not() {
        let hasher = BuildHasherDefault::<Near>::default();
        let of = |job: u128, task| hasher.hash_one(TaskId { job: JobId::from_bits(job), task });
        let place = |hash: u64| hash % (1 << 20);
        for task in 0..63 {
            assert_eq!((place(of(7, task)) + 1) % (1 << 20), place(of(7, task + 1)));
            let attempt = TaskId { job: JobId::from_bits(7), task }.attempt(3);
            assert_eq!(place(hasher.hash_one(attempt)), place(of(7, task)));
        }
        let mut places: Vec<u64> = (0..1_000).map(|job| place(of(job, 0)) >> 10).collect();
        places.sort_unstable();
        places.dedup();
        // A thousand jobs in a thousand parts of the table: 632 parts would be met by chance.
        assert!((550..720).contains(&places.len()), "{}", places.len());
        let tags = (0..64).map(|task| of(7, task) >> 57);
        assert!(tags.collect::<std::collections::BTreeSet<_>>().len() > 30);
    }
}
