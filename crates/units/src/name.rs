//! Names that stand in paths, tables and bills: of organisations, users, providers and pools.

/// Characters of a name, which are bytes: more fill a table's column.
pub const NAME_CHARS_MAX: usize = 40;

/// What stands in the place of a machine's name for what waits in the queue of a site's own engine. No host
/// can be called so.
pub const QUEUE_NODE: &str = "(queue)";

/// Is it a name: lower-case letters, digits, hyphens, dots and underscores, the first of them a letter or
/// a digit?
pub fn is_name(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let plain = |byte: u8| first(byte) || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= NAME_CHARS_MAX
        && text.bytes().next().is_some_and(first)
        && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::{NAME_CHARS_MAX, is_name};

    #[test]
    fn names_are_what_every_table_and_path_takes() {
        for name in ["a", "7", "gui-an_1.x", &"x".repeat(NAME_CHARS_MAX)] {
            assert!(is_name(name), "{name}");
        }
        for other in ["", "-a", ".a", "A", "gui an", "güi", "a/b", &"x".repeat(NAME_CHARS_MAX + 1)]
        {
            assert!(!is_name(other), "{other}");
        }
    }
}
