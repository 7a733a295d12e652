//! Pages and cursors. A cursor is opaque to whoever carries it; inside it is the key of the last
//! row seen, so a page costs the same wherever it starts and rows that come in meanwhile never
//! shift the next one.

use std::fmt;
use std::str::FromStr;

use crate::fault::Cause;

/// Rows on a page when nobody asks otherwise: a few screens.
pub const PAGE_ROWS_DEFAULT: u32 = 100;
/// Rows on a page at most: with documents of some kilobytes an answer stays under 10 MB.
pub const PAGE_ROWS_MAX: u32 = 1_000;
/// A cursor in its written form; the longest keys are two ids and a time.
const CURSOR_CHARS_MAX: usize = 1_024;

/// Where a page ended. Written as text, only to be given back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    list: String,
    key: Vec<String>,
}

/// A text that no list of ours has handed out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the cursor is not one of this list")]
pub struct BadCursor;

/// Separates the parts inside; ids, times and names hold no control characters.
const SEPARATOR: char = '\u{1f}';

impl Cursor {
    pub(crate) fn new(list: &str, key: Vec<String>) -> Self {
        Self { list: list.to_owned(), key }
    }
    /// Its key, if it was handed out by this list and has that many parts.
    pub(crate) fn key<const N: usize>(&self, list: &str) -> Result<&[String; N], Cause> {
        let key: Option<&[String; N]> = self.key.as_slice().try_into().ok();
        key.filter(|_| self.list == list).ok_or(Cause::Cursor(BadCursor))
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.list.clone();
        for part in &self.key {
            text.push(SEPARATOR);
            text.push_str(part);
        }
        f.write_str(&hex::encode(text))
    }
}

impl FromStr for Cursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Self, BadCursor> {
        if text.len() > CURSOR_CHARS_MAX {
            return Err(BadCursor);
        }
        let bytes = hex::decode(text).map_err(|_| BadCursor)?;
        let text = String::from_utf8(bytes).map_err(|_| BadCursor)?;
        if text.chars().any(|char| char.is_control() && char != SEPARATOR) {
            return Err(BadCursor);
        }
        let mut parts = text.split(SEPARATOR).map(str::to_owned);
        let list = parts.next().ok_or(BadCursor)?;
        let key: Vec<String> = parts.collect();
        if list.is_empty() || key.is_empty() {
            return Err(BadCursor);
        }
        Ok(Self { list, key })
    }
}

/// Which page: how many rows, and after which.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// How many rows; held between 1 and [`PAGE_ROWS_MAX`].
    pub limit: u32,
    /// The `next` of the page before.
    pub after: Option<Cursor>,
}

impl Default for Paging {
    fn default() -> Self {
        Self { limit: PAGE_ROWS_DEFAULT, after: None }
    }
}

impl Paging {
    pub(crate) fn rows(&self) -> usize {
        self.limit.clamp(1, PAGE_ROWS_MAX) as usize
    }
}

/// Some rows of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where to go on; none on the last page.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// From up to `limit + 1` rows: the one too many says that there are more.
    pub(crate) fn of(mut rows: Vec<T>, limit: usize, cursor: impl Fn(&T) -> Cursor) -> Self {
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = if more { rows.last().map(cursor) } else { None };
        Self { rows, next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_survive_their_written_form(
            list in "[a-z]{1,12}", key in proptest::collection::vec("[ -~]{0,40}", 1..4),
        ) {
            let cursor = Cursor::new(&list, key);
            prop_assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }

        #[test]
        fn no_text_breaks_the_parser(text in ".{0,80}") {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = Cursor::new("jobs", vec!["job_1".to_owned()]);
        assert!(cursor.key::<1>("jobs").is_ok());
        assert!(cursor.key::<2>("jobs").is_err());
        assert!(cursor.key::<1>("lines").is_err());
        for bad in ["", "zz", "6a", "ff1f", "6a1f00"] {
            assert_eq!(bad.parse::<Cursor>(), Err(BadCursor), "{bad}");
        }
    }
}
