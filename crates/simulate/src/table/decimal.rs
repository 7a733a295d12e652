//! Decimal numbers as whole numbers of a small unit, without a float between.

/// Digits before the point: no intensity and no price has more.
const WHOLE_DIGITS_MAX: usize = 9;

/// A decimal number in units of ten to the minus `places`, rounded half away from zero; none where
/// the text is not a plain decimal number.
pub(crate) fn scaled(text: &str, places: usize) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, part) = match digits.split_once('.') {
        Some((_, "")) => return None,
        Some(split) => split,
        None => (digits, ""),
    };
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > WHOLE_DIGITS_MAX || !plain(whole) || !plain(part) {
        return None;
    }
    let padded = part.bytes().chain(std::iter::repeat(b'0'));
    let digits = whole.bytes().chain(padded.take(places));
    let value = digits.fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    let up = part.as_bytes().get(places).is_some_and(|digit| *digit >= b'5');
    let value = value + i64::from(up);
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::scaled;

    #[test]
    fn decimals_are_exact_and_rounded_once() {
        let check = |text: &str, expect: Option<i64>| assert_eq!(scaled(text, 3), expect, "{text}");
        check("42.34123797146737", Some(42_341));
        check("0.0005", Some(1));
        check("-0.0005", Some(-1));
        check("0.00049999", Some(0));
        check("7", Some(7_000));
        check("999999999.9999", Some(1_000_000_000_000));
        for wrong in ["", "-", ".5", "5.", "1e3", "+1", " 1", "1 ", "nan", "1234567890", "1.2.3"] {
            check(wrong, None);
        }
    }
}
