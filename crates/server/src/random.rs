//! Where randomness enters: secrets, nonces, the ids of requests. Everything below is handed them.

use dayan_units::{RequestId, Time};
use rand::TryRng as _;

/// So many random bytes from the operating system.
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0u8; N];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .expect("without a source of randomness no secret can be made, and nothing may go on");
    bytes
}

/// A secret that fits in a header: a prefix that names its kind, and 256 random bits in hex.
pub fn secret(prefix: &str) -> String {
    format!("{prefix}_{}", hex::encode(random_bytes::<32>()))
}

/// Makes ids in the manner of UUID v7: milliseconds, a count within one process, random bits.
#[derive(Debug)]
pub struct RequestIds {
    last: u128,
}

impl RequestIds {
    /// Starts with fresh random bits.
    pub fn new() -> Self {
        Self { last: 0 }
    }
    /// The next one: later than all before it.
    pub fn next(&mut self, now: Time) -> RequestId {
        let millis = u128::try_from(now.micros() / 1_000).unwrap_or(0);
        let random = u128::from_be_bytes(random_bytes::<16>());
        let fresh = (millis << 80) | (random & ((1 << 80) - 1));
        // The top of the random part counts up where the clock stands still.
        self.last = if fresh > self.last { fresh } else { self.last + (1 << 64) };
        RequestId::from_bits(self.last)
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_only_grow() {
        let mut ids = RequestIds::new();
        let now = Time::from_micros(1_700_000_000_000_000);
        let made: Vec<RequestId> = (0..1_000).map(|_| ids.next(now)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
