//! Reading keys by the table: what is unknown, missing, given twice or of the wrong shape is
//! reported here; the sections above only say which key becomes which field.

use std::collections::BTreeMap;

use super::item::Item;
use crate::code::Code;
use crate::keys::{Need, Section, sections};
use crate::model::quote;
use crate::report::Report;
use crate::tree::{At, Entry, KeyStyle, Node, Value};

/// Words that YAML 1.1 reads as true or false. `y` and `n`, which its text names as well, are left
/// out: the readers in use never took them so, and `N` is a common variable.
const BOOLEAN_WORDS: &[&str] = &["yes", "no", "on", "off", "true", "false"];

pub(super) fn is_boolean_word(text: &str) -> bool {
    text.len() <= 5 && BOOLEAN_WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// How far a misspelt word may be from what is suggested: one wrong letter in three.
pub(crate) fn suggestion(text: &str, known: &[&'static str]) -> Option<&'static str> {
    // Longer texts are no misspelt words, and the comparison takes the product of the lengths.
    if text.len() > 40 {
        return None;
    }
    let text = text.to_lowercase();
    known
        .iter()
        .map(|word| (strsim::damerau_levenshtein(&text, word), *word))
        .filter(|(distance, word)| *distance <= word.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The keys of one section as they were given.
pub(super) struct Fields<'a> {
    section: &'static Section,
    entries: &'a [Entry],
    path: String,
    report: &'a Report<'a>,
}

impl<'a> Fields<'a> {
    /// The whole file.
    pub(super) fn root(
        node: &'a Node,
        section: &'static Section,
        report: &'a Report<'a>,
    ) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            let at = At { start: node.at.start, end: node.at.start };
            report.add(Code::NotAMap, at, "", &[]);
            return None;
        };
        let start = At { start: node.at.start, end: node.at.start };
        Some(Self::open(entries, section, String::new(), start, report))
    }

    pub(super) fn open(
        entries: &'a [Entry],
        section: &'static Section,
        path: String,
        at: At,
        report: &'a Report<'a>,
    ) -> Self {
        let fields = Self { section, entries, path, report };
        fields.check_keys(at);
        fields
    }

    fn below(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    fn check_keys(&self, at: At) {
        check_twice(self.entries, &self.path, self.report);
        let names = key_names(self.section);
        let mut misspelt = Vec::new();
        for entry in self.entries {
            if self.section.key(&entry.key.text).is_none() {
                // To look for what was meant takes long; not for errors that are only counted.
                let full = self.report.is_full();
                let near = if full { None } else { suggestion(&entry.key.text, &names) };
                misspelt.extend(near);
                self.unknown(entry, near, &names);
            }
        }
        for key in self.section.keys {
            let given = self.entries.iter().any(|entry| entry.key.text == key.name);
            // A misspelt key has been named already; it is not missing as well.
            let named = given || misspelt.contains(&key.name);
            if matches!(key.need, Need::Required) && !named {
                let mut args = vec![("key", key.name.to_owned())];
                args.extend(key.shape.example().map(|example| ("example", example)));
                self.report.add(Code::MissingKey, at, &self.below(key.name), &args);
            }
        }
    }

    fn unknown(&self, entry: &Entry, near: Option<&'static str>, names: &[&'static str]) {
        let key = &entry.key;
        let path = self.below(&quote(&key.text));
        let mut args = vec![("key", quote(&key.text))];
        if key.style == KeyStyle::Bare && is_boolean_word(&key.text) {
            self.report.add(Code::BooleanKey, key.at, &path, &args);
            return;
        }
        if let Some(nested) = nested(&key.text) {
            args.push(("nested", nested));
        } else if let Some(near) = near {
            args.push(("suggestion", near.to_owned()));
        } else if let Some(home) = sections().iter().find(|home| home.key(&key.text).is_some()) {
            match home.name {
                "" => args.push(("top", key.text.clone())),
                name => args.push(("home", name.to_owned())),
            }
        }
        args.push(("keys", names.join(", ")));
        self.report.add(Code::UnknownKey, key.at, &path, &args);
    }

    /// The value of a key that is in the table, if it was given.
    pub(super) fn get(&self, key: &'static str) -> Option<Item<'a>> {
        let def = self.section.key(key).expect("the decoder asks only for keys of the table");
        let entry = self.entries.iter().find(|entry| entry.key.text == key)?;
        let path = self.below(key);
        if entry.value.value == Value::Nothing {
            self.report.add(Code::NoValue, entry.key.at, &path, &[("key", key.to_owned())]);
            return None;
        }
        Some(Item::new(&entry.value, def, path, self.report))
    }

    /// Says that something is wrong with a key of this section.
    pub(super) fn fail(&self, key: &str, code: Code, args: &[(&'static str, String)]) {
        let entry = self.entries.iter().find(|entry| entry.key.text == key);
        let at = entry.or(self.entries.first()).map_or(At { start: 0, end: 0 }, |e| e.key.at);
        let path = if entry.is_some() { self.below(key) } else { self.path.clone() };
        self.report.add(code, at, &path, args);
    }
}

pub(super) fn key_names(section: &'static Section) -> Vec<&'static str> {
    section.keys.iter().map(|key| key.name).collect()
}

/// How a path that was written as one key is written, if it is a path of the table.
fn nested(text: &str) -> Option<String> {
    let (home, key) = text.rsplit_once('.')?;
    let home = sections().into_iter().find(|section| section.name == home)?;
    home.key(key)?;
    Some(
        format!("{}: {{{key}: ...}}", home.name.replace('.', ": {"))
            + &"}".repeat(home.name.matches('.').count()),
    )
}

pub(super) fn check_twice(entries: &[Entry], path: &str, report: &Report<'_>) {
    let mut first: BTreeMap<&str, At> = BTreeMap::new();
    for Entry { key, .. } in entries {
        if let Some(before) = first.get(key.text.as_str()) {
            // Counting lines takes a walk over the file; not for errors that are only counted.
            let line = if report.is_full() { 0 } else { report.line_number(before.start) };
            let line = line.to_string();
            let args = [("key", quote(&key.text)), ("first_line", line)];
            report.add(Code::DuplicateKey, key.at, path, &args);
        } else {
            first.insert(&key.text, key.at);
        }
    }
}

/// Is it a text that can be kept: not empty, not too long, no control characters but line ends and
/// tabs?
pub(super) fn check_text(
    text: &str,
    chars_max: usize,
    key: &str,
    fail: impl FnOnce(Code, &[(&'static str, String)]),
) -> bool {
    let name = ("key", key.to_owned());
    let length = text.chars().count();
    let control = text.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'));
    if text.trim().is_empty() {
        fail(Code::EmptyValue, &[name]);
    } else if length > chars_max {
        let args = [name, ("length", length.to_string()), ("max", chars_max.to_string())];
        fail(Code::TooLong, &args);
    } else if let Some(control) = control {
        let character = format!("U+{:04X}", u32::from(control));
        fail(Code::ControlCharacter, &[name, ("character", character)]);
    } else {
        return true;
    }
    false
}
