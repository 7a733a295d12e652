//! What is wrong with a job file, said so that the writer can put it right: where, what and how.
//!
//! Invariant: the code and the arguments hold all there is to say and no English; the English text
//! is filled in from a table by code, and a table in another language needs nothing else. Must not
//! know how files are read.

use std::fmt;
use std::fmt::Write as _;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

pub use crate::code::Code;

/// One thing wrong with a job file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpecError {
    /// Which rule was broken; stable.
    pub code: Code,
    /// What the text of the message is filled with, by name.
    pub args: Vec<(&'static str, String)>,
    /// The key it is about, as `resources.memory` or `inputs[2].to`; empty: the whole file.
    pub path: String,
    /// Where its words stand, if that is not the file.
    pub outside: Option<Outside>,
    /// Line, from 1; 0 where its words do not stand in the file.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The line of the file, cut to what a terminal shows.
    excerpt: Excerpt,
}

/// Where words come from that say more about a job than its file does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outside {
    /// Options of a command.
    CommandLine,
    /// Variables of the environment.
    Environment,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Excerpt {
    text: String,
    /// Terminal columns before the caret.
    indent: usize,
    /// Terminal columns underlined, at least one.
    width: usize,
}

impl SpecError {
    /// The value an argument has.
    pub fn arg(&self, name: &str) -> Option<&str> {
        self.args.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
    /// What is wrong, in English.
    pub fn message(&self) -> String {
        self.fill(self.code.message()).unwrap_or_else(|| self.code.message().to_owned())
    }
    /// How to put it right, in English.
    pub fn help(&self) -> Option<String> {
        self.code.help().iter().find_map(|template| self.fill(template))
    }
    /// A template filled with the arguments; none if one is missing. Texts in other languages are
    /// filled by the same function.
    pub fn fill(&self, template: &str) -> Option<String> {
        fill(template, &self.args)
    }
    /// As a compiler shows it: code and message, place, line, caret, help.
    pub fn render(&self, file: &str) -> String {
        // What stands in no line has no number before it.
        let number = if self.outside.is_some() { " ".to_owned() } else { self.line.to_string() };
        let gutter = number.len();
        let place = if self.path.is_empty() { String::new() } else { format!(" ({})", self.path) };
        let mut out = String::new();
        // Writing to a text cannot fail.
        let _ = writeln!(out, "error[{}]: {}", self.code, self.message());
        let (line, column) = (self.line, self.column);
        let from = match self.outside {
            None => format!("{file}:{line}:{column}"),
            Some(Outside::CommandLine) => "on the command line".to_owned(),
            Some(Outside::Environment) => "in the environment".to_owned(),
        };
        let _ = writeln!(out, "{:gutter$}--> {from}{place}", "");
        if !self.excerpt.text.is_empty() {
            let Excerpt { text, indent, width } = &self.excerpt;
            let _ = writeln!(out, "{:gutter$} |\n{number} | {text}", "");
            let _ = writeln!(out, "{:gutter$} | {:indent$}{:^<width$}", "", "", "");
        }
        if let Some(help) = self.help() {
            let _ = writeln!(out, "{:gutter$} = help: {help}", "");
        }
        out
    }
}

/// A template with `{name}` replaced by arguments and `{{` by `{`; none if an argument is missing.
pub(crate) fn fill(template: &str, args: &[(&'static str, String)]) -> Option<String> {
    let mut filled = String::with_capacity(template.len() + 40);
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        filled.push_str(before);
        // A doubled brace stands for itself, as in the standard library's formats.
        if brace.starts_with("{{") || brace.starts_with("}}") {
            filled.push_str(&brace[..1]);
            rest = &brace[2..];
        } else {
            let (name, after) = brace[1..].split_once('}')?;
            filled.push_str(&args.iter().find(|(known, _)| *known == name)?.1);
            rest = after;
        }
    }
    filled.push_str(rest);
    Some(filled)
}

impl Serialize for SpecError {
    /// As the API shows it: code, arguments, path, line, column, message, help.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let args: std::collections::BTreeMap<_, _> =
            self.args.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let mut out = serializer.serialize_struct("SpecError", 7)?;
        out.serialize_field("code", self.code.as_str())?;
        out.serialize_field("args", &args)?;
        out.serialize_field("path", &self.path)?;
        out.serialize_field("line", &self.line)?;
        out.serialize_field("column", &self.column)?;
        out.serialize_field("message", &self.message())?;
        out.serialize_field("help", &self.help())?;
        out.end()
    }
}

/// Everything found wrong with a job file, in the order of the file; at least one error.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct SpecErrors {
    /// The errors.
    pub errors: Vec<SpecError>,
    /// How many more there were than are kept.
    pub omitted: usize,
}

impl SpecErrors {
    /// All of them as a compiler shows them.
    pub fn render(&self, file: &str) -> String {
        let mut out: Vec<String> = self.errors.iter().map(|error| error.render(file)).collect();
        if self.omitted > 0 {
            out.push(format!("and {} more errors\n", self.omitted));
        }
        out.join("\n")
    }
}
impl SpecErrors {
    /// What stands behind the file's own lines, in a text that has more, came from outside: the last
    /// line from the command, those before it from the environment.
    pub(crate) fn beyond(mut self, own: u32, last: u32) -> Self {
        for error in self.errors.iter_mut().filter(|error| error.line > own) {
            let command = error.line >= last;
            error.outside = Some(if command { Outside::CommandLine } else { Outside::Environment });
            error.line = 0;
        }
        self
    }
}

impl fmt::Display for SpecErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render("job file").trim_end())
    }
}
impl std::error::Error for SpecErrors {}

/// Terminal columns of a line that are shown around the caret.
const EXCERPT_COLUMNS_MAX: usize = 100;
/// Of those, how many before the caret when the line is cut.
const EXCERPT_LEAD: usize = 40;

/// Terminal columns a character takes: two for the wide scripts of East Asia.
fn columns(c: char) -> usize {
    let wide = matches!(u32::from(c),
        0x1100..=0x115F | 0x2E80..=0xA4CF | 0xAC00..=0xD7A3 | 0xF900..=0xFAFF
        | 0xFE30..=0xFE4F | 0xFF00..=0xFF60 | 0xFFE0..=0xFFE6 | 0x1F300..=0x1FAFF | 0x20000..=0x3FFFD);
    if wide { 2 } else { 1 }
}

impl Excerpt {
    /// Of a line, with the characters from `begin` to `end` underlined.
    pub(crate) fn of(line: &str, begin: usize, end: usize) -> Self {
        let clean = |c: char| if c.is_control() { ' ' } else { c };
        let chars: Vec<char> = line.trim_end().chars().map(clean).collect();
        let begin = begin.min(chars.len());
        let fits = chars.len() <= EXCERPT_COLUMNS_MAX;
        let from = if fits { 0 } else { begin.saturating_sub(EXCERPT_LEAD) };
        let to = chars.len().min(from + EXCERPT_COLUMNS_MAX);
        let end = end.clamp(begin, to);
        let lead = if from > 0 { "…" } else { "" };
        let tail = if to < chars.len() { "…" } else { "" };
        let shown: String = chars[from..to].iter().collect();
        let width_of = |part: &[char]| part.iter().map(|c| columns(*c)).sum::<usize>();
        Self {
            text: format!("{lead}{shown}{tail}"),
            indent: lead.chars().count() + width_of(&chars[from..begin]),
            width: width_of(&chars[begin..end]).max(1),
        }
    }
}

impl SpecError {
    pub(crate) fn new(
        code: Code,
        args: Vec<(&'static str, String)>,
        path: String,
        (line, column): (u32, u32),
        excerpt: Excerpt,
    ) -> Self {
        Self { code, args, path, outside: None, line, column, excerpt }
    }
}
