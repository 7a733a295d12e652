//! Draws from a seed (SplitMix64: Steele, Lea and Flood, OOPSLA 2014), so that an instance is named
//! by its number on every machine.

pub struct Draws(u64);

impl Draws {
    pub fn new(seed: u64, purpose: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ purpose.rotate_left(32))
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From the first to the last, both included.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.bits() % (last - first + 1)
    }

    pub fn in_percent(&mut self, percent: u64) -> bool {
        self.between(1, 100) <= percent
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[usize::try_from(self.between(0, from.len() as u64 - 1)).expect("small")]
    }
}

/// How many instances: as many as one has time for, `usual` where nobody says.
pub fn instances(usual: u64) -> u64 {
    std::env::var("DAYAN_SEQUENCES").ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// The number of the first instance, to see others than the usual ones.
pub fn first() -> u64 {
    std::env::var("DAYAN_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0)
}
