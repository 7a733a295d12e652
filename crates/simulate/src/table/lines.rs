//! Lines with their numbers, each of a bounded length, and so many at most.
//!
//! Invariant: whoever says that something is wrong in a line has its number from here; what is in no
//! line is told without one.

use std::io::{BufRead, Read as _};

use thiserror::Error;

/// A line of these tables has under 200 bytes; those with many columns have some hundreds.
const LINE_BYTES_MAX: usize = 4_096;

/// Why the next line cannot be had.
#[derive(Debug, Error)]
pub enum LineError {
    /// The source failed.
    #[error("{}cannot be read", place(*line))]
    Read {
        /// Counted from 1; 0: it is not known which.
        line: usize,
        /// What the source said.
        #[source]
        source: std::io::Error,
    },
    /// Not UTF-8.
    #[error("line {line}: this is not UTF-8 text")]
    NotText {
        /// Counted from 1.
        line: usize,
    },
    /// No line of such a table.
    #[error("line {line}: longer than {LINE_BYTES_MAX} bytes")]
    TooLong {
        /// Counted from 1.
        line: usize,
    },
    /// More than anybody has.
    #[error("more than {most} lines")]
    TooMany {
        /// How many are read.
        most: usize,
    },
}

/// Where something is, before what is wrong with it; nothing where no line is known, which is 0.
pub(crate) fn place(line: usize) -> String {
    if line == 0 { String::new() } else { format!("line {line}: ") }
}

/// Reads them one after the other.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    from: R,
    line: usize,
    most: usize,
}

impl<R: BufRead> Lines<R> {
    /// So many at most: what a wrong file can make us hold.
    pub(crate) const fn new(from: R, most: usize) -> Self {
        Self { from, line: 0, most }
    }

    /// The next line without its end.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, String)>, LineError> {
        self.line += 1;
        let line = self.line;
        let mut bytes = Vec::new();
        // One byte more than the most, to know a line that is too long from one that is not.
        let mut bounded = self.from.by_ref().take(LINE_BYTES_MAX as u64 + 1);
        bounded.read_until(b'\n', &mut bytes).map_err(|source| LineError::Read { line, source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if line > self.most {
            return Err(LineError::TooMany { most: self.most });
        }
        if bytes.len() > LINE_BYTES_MAX {
            return Err(LineError::TooLong { line });
        }
        let text = String::from_utf8(bytes).map_err(|_| LineError::NotText { line })?;
        Ok(Some((line, text.trim_end_matches(['\n', '\r']).to_owned())))
    }

    /// The first line, without a mark of the byte order; none where there is nothing at all.
    pub(crate) fn heading(&mut self) -> Result<Option<String>, LineError> {
        let first = self.next()?;
        Ok(first.map(|(_, text)| text.trim_start_matches('\u{feff}').to_owned()))
    }

    /// The next line that is not blank.
    pub(crate) fn row(&mut self) -> Result<Option<(usize, String)>, LineError> {
        while let Some((line, text)) = self.next()? {
            if !text.trim().is_empty() {
                return Ok(Some((line, text)));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_and_bounded() {
        let mut lines = Lines::new("\u{feff}a,b\n\n1,2\r\n".as_bytes(), 3);
        assert_eq!(lines.heading().expect("text").as_deref(), Some("a,b"));
        assert_eq!(lines.row().expect("text"), Some((3, "1,2".to_owned())));
        assert_eq!(lines.row().expect("the end"), None);
        let told = |text: &[u8], most| {
            let mut lines = Lines::new(text, most);
            let mut all = std::iter::from_fn(|| lines.next().transpose());
            all.find_map(Result::err).map(|error| error.to_string())
        };
        assert_eq!(told(b"a\nb", 2), None);
        assert_eq!(told(b"a\nb", 1).as_deref(), Some("more than 1 lines"));
        assert_eq!(told(b"a\n\xff\n", 9).as_deref(), Some("line 2: this is not UTF-8 text"));
        let long = [b"a\n".as_slice(), &[b'x'; 5_000]].concat();
        assert_eq!(told(&long, 9).as_deref(), Some("line 2: longer than 4096 bytes"));
    }
}
