//! Kubernetes' quantities, `500m`, `4`, `16Gi`, `1e3`, as integers in thousandths. Pure.
//!
//! The form is that of `resource.Quantity` in Kubernetes' API conventions: a decimal number with a
//! suffix of powers of two (`Ki` … `Ei`), of ten (`n u m k M G T P E`), or an exponent.

/// Digits after the point that are read: thousandths of the smallest suffix are no amount.
const FRACTION_DIGITS_MAX: usize = 9;

/// A quantity in thousandths, rounded down; none where it is not understood, is negative or does
/// not fit.
pub(crate) fn milli_floor(text: &str) -> Option<u64> {
    in_parts(text, 1_000)
}

/// The same in billionths.
pub(crate) fn nano_floor(text: &str) -> Option<u64> {
    in_parts(text, 1_000_000_000)
}

fn in_parts(text: &str, parts: u128) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let fraction = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let (times, over): (u128, u128) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (1_000_000_000, 1),
        "T" => (1_000_000_000_000, 1),
        "P" => (1_000_000_000_000_000, 1),
        "E" => (1_000_000_000_000_000_000, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        exponent => {
            let power: i32 = exponent.strip_prefix(['e', 'E'])?.parse().ok()?;
            let size = 10u128.checked_pow(power.unsigned_abs())?;
            if power >= 0 { (size, 1) } else { (1, size) }
        }
    };
    let over = over * 10u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from(digits.checked_mul(times)?.checked_mul(parts)? / over).ok()
}

/// A quantity in whole units, rounded down.
pub(crate) fn whole_floor(text: &str) -> Option<u64> {
    // Bytes in thousandths overflow only beyond 16 petabytes; then the thousandths do not matter.
    milli_floor(text).map(|milli| milli / 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read() {
        let check = |text, expect| assert_eq!(milli_floor(text), expect, "{text}");
        check("500m", Some(500));
        check("4", Some(4_000));
        check("0.5", Some(500));
        check("1.5Gi", Some(1_536 * 1_024 * 1_024 * 1_000));
        check("1e3", Some(1_000_000));
        check("12E2", Some(1_200_000));
        check("1E", None);
        check("100n", Some(0));
        check("", None);
        check("x", None);
        check("-1", None);
        check("5Qi", None);
        assert_eq!(whole_floor("16Gi"), Some(16 << 30));
        assert_eq!(whole_floor("110"), Some(110));
    }
}
