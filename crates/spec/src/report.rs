//! Collects what is wrong with one job file. Knows the text, so that a place in bytes becomes a
//! line, a column and an excerpt only when it is shown.

use std::cell::RefCell;

use crate::code::Code;
use crate::error::{Excerpt, SpecError, SpecErrors};
use crate::limits::ERRORS_MAX;
use crate::tree::{At, Stopped};

pub(crate) struct Report<'s> {
    source: &'s str,
    found: RefCell<Found>,
}

#[derive(Default)]
struct Found {
    errors: Vec<SpecError>,
    omitted: usize,
}

impl<'s> Report<'s> {
    pub(crate) fn new(source: &'s str) -> Self {
        Self { source, found: RefCell::default() }
    }
    pub(crate) fn source(&self) -> &'s str {
        self.source
    }

    pub(crate) fn add(&self, code: Code, at: At, path: &str, args: &[(&'static str, String)]) {
        let mut found = self.found.borrow_mut();
        if found.errors.len() >= ERRORS_MAX {
            found.omitted += 1;
            return;
        }
        // What is missing at the end is shown behind the last thing that is there.
        let start = at.start.min(self.source.trim_end().len());
        let at = At { start, end: at.end.max(start) };
        let (line_start, line) = self.line_of(at.start);
        let text = self.line_text(line_start);
        let chars = |bytes: &str| bytes.chars().count();
        let begin = chars(&self.source[line_start..at.start]);
        let in_line = at.end.clamp(at.start, line_start + text.len().max(at.start - line_start));
        let end = begin + chars(self.source.get(at.start..in_line).unwrap_or(""));
        let place = (line, u32::try_from(begin + 1).unwrap_or(u32::MAX));
        let excerpt = Excerpt::of(text, begin, end);
        found.errors.push(SpecError::new(code, args.to_vec(), path.to_owned(), place, excerpt));
    }

    /// What was read, or none: then it is reported why.
    pub(crate) fn read<T>(&self, outcome: Result<T, Stopped>) -> Option<T> {
        outcome.map_err(|stopped| self.add(stopped.code, stopped.at, "", &stopped.args)).ok()
    }

    /// Byte where the line with this byte begins, and its number from 1.
    fn line_of(&self, byte: usize) -> (usize, u32) {
        let before = &self.source[..byte];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let number = before.bytes().filter(|b| *b == b'\n').count() + 1;
        (start, u32::try_from(number).unwrap_or(u32::MAX))
    }
    fn line_text(&self, start: usize) -> &'s str {
        self.source[start..].lines().next().unwrap_or("")
    }
    pub(crate) fn line_number(&self, byte: usize) -> u32 {
        self.line_of(byte).1
    }
    /// Will further errors only be counted?
    pub(crate) fn is_full(&self) -> bool {
        self.found.borrow().errors.len() == ERRORS_MAX
    }
    pub(crate) fn is_clean(&self) -> bool {
        self.found.borrow().errors.is_empty()
    }
    /// The errors in the order of the file.
    pub(crate) fn into_errors(self) -> SpecErrors {
        let Found { mut errors, omitted } = self.found.into_inner();
        errors.sort_by_key(|error| (error.line, error.column));
        SpecErrors { errors, omitted }
    }
}
