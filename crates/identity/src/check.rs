//! Check digits of names.
//!
//! The text is read as one number in base 38 (digits, letters, `:` and `-`), and two decimal
//! digits are appended so that the result is 1 modulo 97, as ISO 7064 MOD 97-10 does for decimal
//! numbers. Writing letters as two decimal digits each, as bank account numbers do, would let some
//! swaps of a letter for a digit pass; here every single wrong character changes the number by
//! d · 38ᵏ with 0 < |d| < 97, and every swap of neighbours by d · 37 · 38ᵏ, neither of which the
//! prime 97 divides.

const RADIX: u32 = 38;
const MODULUS: u32 = 97;

/// 0–37 for the characters a name may hold.
fn value(byte: u8) -> Option<u32> {
    match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'a'..=b'z' => Some(u32::from(byte - b'a') + 10),
        b':' => Some(36),
        b'-' => Some(37),
        _ => None,
    }
}

/// The check number of a text, 2 to 98; nothing if it holds other characters.
pub(crate) fn check_number(text: &str) -> Option<u8> {
    let remainder =
        text.bytes().try_fold(0, |sum, byte| Some((sum * RADIX + value(byte)?) % MODULUS))?;
    let check = MODULUS + 1 - remainder * 100 % MODULUS;
    Some(u8::try_from(check).expect("at most 98"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALPHABET: &str = "0123456789abcdefghijklmnopqrstuvwxyz:-";

    #[test]
    fn the_appended_number_is_one_modulo_97() {
        // "10" is 38; 3800 mod 97 = 17; 98 − 17 = 81; 3881 = 40 · 97 + 1.
        assert_eq!(check_number("10"), Some(81));
        assert_eq!(check_number("0"), Some(98));
        assert_eq!(check_number("A"), None);
        assert_eq!(check_number("é"), None);
    }

    proptest! {
        #[test]
        fn every_wrong_character_is_noticed(
            text in "[0-9a-z:-]{1,80}", at in any::<prop::sample::Index>(), other in 0usize..38,
        ) {
            let at = at.index(text.len());
            let other = char::from(ALPHABET.as_bytes()[other]);
            prop_assume!(text.as_bytes()[at] != other as u8);
            let mut wrong = text.clone();
            wrong.replace_range(at..=at, &other.to_string());
            prop_assert_ne!(check_number(&text), check_number(&wrong));
        }

        #[test]
        fn every_swap_of_neighbours_is_noticed(
            text in "[0-9a-z:-]{2,80}", at in any::<prop::sample::Index>(),
        ) {
            let at = at.index(text.len() - 1);
            let mut bytes = text.clone().into_bytes();
            bytes.swap(at, at + 1);
            let swapped = String::from_utf8(bytes).expect("ASCII");
            prop_assume!(swapped != text);
            prop_assert_ne!(check_number(&text), check_number(&swapped));
        }
    }
}
