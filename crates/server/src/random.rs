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

/// Ids that are made from one draw of random bytes: asking the system for each would cost more than
/// all else about an id.
const IDS_PER_DRAW: usize = 64;
/// Random bits of an id, in bytes: below the milliseconds of UUID v7.
const RANDOM_BYTES: usize = 10;

/// Bits below the part of an id that a job's number is made of (`JobId::number`).
const STAMP_SHIFT: u32 = 68;

/// Makes ids in the manner of UUID v7: milliseconds, a count within one process, random bits.
#[derive(Debug)]
pub struct RequestIds {
    last: u128,
    drawn: [u8; IDS_PER_DRAW * RANDOM_BYTES],
    /// How many ids of `drawn` are used.
    used: usize,
}

impl RequestIds {
    /// Starts with fresh random bits.
    pub fn new() -> Self {
        Self { last: 0, drawn: [0; IDS_PER_DRAW * RANDOM_BYTES], used: IDS_PER_DRAW }
    }
    /// The next one: later than all before it.
    pub fn next(&mut self, now: Time) -> RequestId {
        let millis = u128::try_from(now.micros() / 1_000).unwrap_or(0);
        let fresh = (millis << 80) | self.random_bits();
        // The top of the random part counts up where the clock stands still, in the bits that a
        // job's number shows: no two have the same.
        let stamp = |bits: u128| bits >> STAMP_SHIFT;
        let later = stamp(fresh) > stamp(self.last);
        self.last = if later { fresh } else { self.last + (1 << STAMP_SHIFT) };
        RequestId::from_bits(self.last)
    }

    fn random_bits(&mut self) -> u128 {
        if self.used == IDS_PER_DRAW {
            self.drawn = random_bytes();
            self.used = 0;
        }
        let at = self.used * RANDOM_BYTES;
        self.used += 1;
        let bytes = &self.drawn[at..at + RANDOM_BYTES];
        bytes.iter().fold(0, |bits, byte| (bits << 8) | u128::from(*byte))
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
        let now = Time::from_micros(1_800_000_000_000_000);
        let made: Vec<RequestId> = (0..1_000).map(|_| ids.next(now)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        let number = |id: &RequestId| dayan_units::JobId::from_bits(id.bits()).number();
        assert!(made.windows(2).all(|pair| number(&pair[0]) < number(&pair[1])));
    }
}
