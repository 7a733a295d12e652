//! Reading the two data files: lines of comma-separated fields, `#` for remarks, a heading.
//!
//! The files are ours and compiled in, so a fault in one is a bug and stops the first use; a test
//! reads every row.

/// Rows of fields after the heading.
pub(crate) fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .skip(1)
        .map(|line| line.split(',').map(str::trim).collect())
}

/// A field that may be empty.
pub(crate) fn given(field: &'static str) -> Option<&'static str> {
    (!field.is_empty()).then_some(field)
}

/// A decimal of at most three places, in thousandths.
pub(crate) fn thousandths(field: &str) -> Option<u64> {
    let (whole, fraction) = field.split_once('.').unwrap_or((field, ""));
    if whole.is_empty() || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    format!("{whole}{fraction:0<3}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_and_heading_are_skipped() {
        let rows: Vec<_> = rows("# about\na,b\n1,2\n\n3, 4\n").collect();
        assert_eq!(rows, [["1", "2"], ["3", "4"]]);
    }

    #[test]
    fn decimals_are_exact() {
        assert_eq!(thousandths("19.5"), Some(19_500));
        assert_eq!(thousandths("312"), Some(312_000));
        for bad in ["", "1.2345", "x", "-1", "1,5"] {
            assert_eq!(thousandths(bad), None, "{bad}");
        }
    }
}
