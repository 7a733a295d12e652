//! The form of a cron line: five fields of numbers, ranges, lists and steps. Only whether it is
//! one; when it is due is a matter of calendars and zones, which live elsewhere.

/// The fields in their order with their bounds. Day of week: 0 and 7 are Sunday.
const FIELDS: [(&str, u32, u32); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 7),
];

/// The name of the first field that is wrong, or of what is wrong with their number.
pub(crate) fn check(line: &str) -> Result<(), &'static str> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err("number of fields");
    }
    for (text, (name, min, max)) in fields.iter().zip(FIELDS) {
        if !text.split(',').all(|part| is_part(part, min, max)) {
            return Err(name);
        }
    }
    Ok(())
}

/// `*`, `5`, `1-5`, and with a step `*/15` or `0-30/10`.
fn is_part(part: &str, min: u32, max: u32) -> bool {
    let number = |text: &str| {
        let digits =
            !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse::<u32>().expect("two digits")).filter(|n| (min..=max).contains(n))
    };
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (part, None),
    };
    let step_is_right = step.is_none_or(|step| {
        step.parse::<u32>().is_ok_and(|n| n > 0 && n <= max) && !step.starts_with('+')
    });
    let range_is_right = match range.split_once('-') {
        Some((from, to)) => {
            matches!((number(from), number(to)), (Some(from), Some(to)) if from <= to)
        }
        None if range == "*" => true,
        None => number(range).is_some() && step.is_none(),
    };
    step_is_right && range_is_right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let ok = |line: &str| assert_eq!(check(line), Ok(()), "{line}");
        let bad = |line: &str, field| assert_eq!(check(line), Err(field), "{line}");
        ok("20 0,6,12,18 * * *");
        ok("*/15 8-18/2 1 1-6 1-5");
        ok("0 0 * * 7");
        bad("0 0 * *", "number of fields");
        bad("60 0 * * *", "minute");
        bad("0 24 * * *", "hour");
        bad("0 0 0 * *", "day of month");
        bad("0 0 * 13 *", "month");
        bad("0 0 * * 8", "day of week");
        bad("*/0 0 * * *", "minute");
        bad("5/2 0 * * *", "minute");
        bad("9-5 0 * * *", "minute");
        bad(", 0 * * *", "minute");
        bad("0 -1 * * *", "hour");
    }
}
