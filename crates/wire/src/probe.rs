//! What goes to and fro when an agent measures the way to the exchange.

/// The most bytes one probe has: what takes a second on 64 Mbit/s says enough of any link.
pub const PROBE_BYTES_MAX: usize = 8 << 20;

/// Bytes that nothing on the way can make smaller. The numbers are SplitMix64's (Steele, Lea and
/// Flood, Fast splittable pseudorandom number generators, OOPSLA 2014).
pub fn noise(bytes: usize) -> Vec<u8> {
    let number = |n: u64| {
        let mut z = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_le_bytes()
    };
    (1..).flat_map(number).take(bytes).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn noise_has_its_length_and_no_pattern() {
        for length in [0, 1, 7, 8, 1_000] {
            assert_eq!(super::noise(length).len(), length);
        }
        let mut counts = [0u32; 256];
        for byte in super::noise(256 * 1_000) {
            counts[usize::from(byte)] += 1;
        }
        // A thousand of each but for chance: five standard deviations are 160.
        assert!(counts.iter().all(|count| (840..1_160).contains(count)), "{counts:?}");
    }
}
