//! Patterns in the addresses of data: `frames/*.exr`, `data/**`.
//!
//! `*` and `?` stand for characters of one name, `[ab]` for one of them, `**` for folders. Invariant:
//! what is found keeps the part of its path behind the last folder without a pattern. Must not know
//! where the names come from.

use glob::{MatchOptions, Pattern as Inner};

/// `*` does not cross folders, and a file whose name begins with a dot is hidden only where
/// somebody hides it.
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// A path with a pattern in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pattern {
    base: String,
    inner: Inner,
}

impl Pattern {
    /// The pattern in a path; none where it is a plain path.
    pub fn of(path: &str) -> Result<Option<Self>, glob::PatternError> {
        let Some(first) = path.find(['*', '?', '[']) else { return Ok(None) };
        let base = path[..first].rfind('/').map_or("", |slash| &path[..=slash]);
        Ok(Some(Self { base: base.to_owned(), inner: Inner::new(path)? }))
    }
    /// The folder that all of it lies below: empty, or with a slash at its end.
    pub fn base(&self) -> &str {
        &self.base
    }
    /// What a path is called below [`Self::base`], if it is meant.
    pub fn matches<'p>(&self, path: &'p str) -> Option<&'p str> {
        let below = path.strip_prefix(&self.base)?;
        self.inner.matches_with(path, OPTIONS).then_some(below)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(pattern: &str, path: &str, expect: Option<&str>) {
        let pattern = Pattern::of(pattern).expect(pattern).expect("a pattern");
        assert_eq!(pattern.matches(path), expect, "{pattern:?} {path}");
    }

    #[test]
    fn patterns_mean_names() {
        check("out/*.exr", "out/a.exr", Some("a.exr"));
        check("out/*.exr", "out/b/a.exr", None);
        check("out/*.exr", "out/a.png", None);
        check("out/**", "out/b/a.exr", Some("b/a.exr"));
        check("**/*.exr", "b/c/a.exr", Some("b/c/a.exr"));
        check("a/b-?/[xy].dat", "a/b-1/x.dat", Some("b-1/x.dat"));
        check("a/b-?/[xy].dat", "a/b-1/z.dat", None);
        check("*", ".hidden", Some(".hidden"));
        assert!(matches!(Pattern::of("out/a.exr"), Ok(None)));
        assert!(Pattern::of("out/[a").is_err() && Pattern::of("a**").is_err());
    }

    proptest! {
        #[test]
        fn a_star_is_one_name_and_what_is_found_lies_below_the_base(
            folder in "([a-c]{1,2}/){0,3}", name in "[a-c.]{1,5}", deeper in "[a-c]{1,2}",
        ) {
            let pattern = Pattern::of(&format!("{folder}*")).expect("well formed").expect("one");
            let path = format!("{folder}{name}");
            prop_assert_eq!(pattern.base(), folder.as_str());
            prop_assert_eq!(pattern.matches(&path), Some(name.as_str()));
            let inside = format!("{folder}{deeper}/{name}");
            prop_assert_eq!(pattern.matches(&inside), None);
            let all = Pattern::of(&format!("{folder}**")).expect("well formed").expect("one");
            prop_assert_eq!(all.matches(&inside), Some(&inside[folder.len()..]));
        }
    }
}
