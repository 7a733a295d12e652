//! Measured values as people and scripts see them.

use serde_json::Value;

use super::jobs::with_keys;

/// Attributes as scripts see them: every documented key is there.
pub fn complete(attributes: Option<&mut Value>) {
    if let Some(Value::Array(attributes)) = attributes {
        for attribute in attributes {
            with_keys(attribute, &["nominal", "measured", "method", "at"]);
        }
    }
}

/// A quantity with a prefix, three digits shown: `1.23 G`.
pub fn scaled(value: Option<u64>) -> String {
    const PREFIXES: [(f64, &str); 5] =
        [(1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let Some(value) = value else { return "-".to_owned() };
    let amount = value as f64;
    match PREFIXES.iter().find(|(size, _)| amount >= *size && value >= 10_000) {
        Some((size, prefix)) => format!("{:.2} {prefix}", amount / size),
        None => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_have_prefixes() {
        let check = |value, expect: &str| assert_eq!(scaled(value), expect);
        check(None, "-");
        check(Some(0), "0");
        check(Some(9_999), "9999");
        check(Some(12_345), "12.35 k");
        check(Some(1_230_000_000), "1.23 G");
        check(Some(u64::MAX), "18446.74 P");
    }
}
