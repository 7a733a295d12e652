//! Options as they were written, on lines of the script, in the environment and on the command
//! line. Later ones replace earlier ones, in that order, as with Slurm. Must not know what an
//! option's value means.

use std::collections::BTreeMap;

use super::lines::Word;
use super::table::{Known, OPTIONS, Takes, by_letter, by_name};
use crate::code::Code;
use crate::decode::suggestion;
use crate::model::quote;
use crate::report::Report;
use crate::tree::At;

/// An option with its value.
#[derive(Clone)]
pub(super) struct Given {
    pub(super) known: &'static Known,
    /// Empty where it takes none.
    pub(super) value: String,
    /// Of the value where there is one, else of the option.
    pub(super) at: At,
    /// As it was written: `--time`, `-t`, `SBATCH_TIMELIMIT`.
    pub(super) shown: String,
}

impl Given {
    /// Does it take a value, and is there nothing in it? Scripts write `-C "$FEATURES"`, and to Slurm an
    /// empty one is none.
    pub(super) fn is_empty(&self) -> bool {
        self.known.takes == Takes::Value && self.value.trim().is_empty()
    }
}

/// All of them, the last of each name.
#[derive(Default)]
pub(super) struct AllGiven {
    by_name: BTreeMap<&'static str, Given>,
}

impl AllGiven {
    pub(super) fn add(&mut self, options: Vec<Given>) {
        for given in options {
            self.by_name.insert(given.known.name, given);
        }
    }
    pub(super) fn get(&self, name: &'static str) -> Option<&Given> {
        debug_assert!(OPTIONS.iter().any(|known| known.name == name), "{name} is in the table");
        self.by_name.get(name)
    }
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.get(name).is_some()
    }
    /// Of options that exclude each other, the one that was given last: places grow from the
    /// script over the environment to the command line.
    pub(super) fn last_of(&self, names: &[&'static str]) -> Option<&Given> {
        names.iter().filter_map(|name| self.get(name)).max_by_key(|given| given.at.start)
    }
    /// In the order of their places.
    pub(super) fn in_order(&self) -> Vec<&Given> {
        let mut all: Vec<&Given> = self.by_name.values().collect();
        all.sort_by_key(|given| given.at.start);
        all
    }
}

/// Options from words; what stands from the first word on that is neither option nor value is left.
pub(super) fn options<'w>(words: &'w [Word], report: &Report<'_>) -> (Vec<Given>, &'w [Word]) {
    let mut given = Vec::new();
    let mut rest = words;
    while let [word, after @ ..] = rest {
        if word.text == "--" {
            return (given, after);
        }
        let taken = match word.text.strip_prefix("--") {
            Some(long) => long_option(word, long, after, report, &mut given),
            None if word.text.len() > 1 && word.text.starts_with('-') => {
                letters(word, after, report, &mut given)
            }
            None => return (given, rest),
        };
        rest = &after[taken..];
    }
    (given, rest)
}

/// How many of the words after it belong to it.
fn long_option(
    word: &Word,
    long: &str,
    after: &[Word],
    report: &Report<'_>,
    given: &mut Vec<Given>,
) -> usize {
    let (name, joined) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let known = match by_name(name) {
        Ok(known) => known,
        Err(begun) => {
            unknown(word, &format!("--{name}"), name, &begun, report);
            return 0;
        }
    };
    let shown = format!("--{}", known.name);
    let mut take = |value: &str, at: At| {
        given.push(Given { known, value: value.to_owned(), at, shown: shown.clone() });
    };
    let complain = |code| report.add(code, word.at, "", &[("option", shown.clone())]);
    match (known.takes, joined, after) {
        (Takes::Nothing | Takes::MaybeValue, None, _) => take("", word.at),
        (Takes::Nothing, Some(_), _) => complain(Code::SbatchTakesNoValue),
        (Takes::Value | Takes::MaybeValue, Some(value), _) => take(value, word.at),
        (Takes::Value, None, [value, ..]) => {
            take(&value.text, value.at);
            return 1;
        }
        (Takes::Value, None, []) => complain(Code::SbatchValueMissing),
    }
    0
}

/// `-N 2`, `-N2`, `-HQ`. How many of the words after it belong to it.
fn letters(word: &Word, after: &[Word], report: &Report<'_>, given: &mut Vec<Given>) -> usize {
    let mut letters = word.text[1..].chars();
    while let Some(letter) = letters.next() {
        let shown = format!("-{letter}");
        let Some(known) = by_letter(letter) else {
            unknown(word, &shown, "", &[], report);
            return 0;
        };
        let rest = letters.as_str();
        match known.takes {
            Takes::Nothing | Takes::MaybeValue => {
                given.push(Given { known, value: String::new(), at: word.at, shown });
            }
            Takes::Value if !rest.is_empty() => {
                // `-n=4` is often written, and no value begins with the sign.
                let value = rest.strip_prefix('=').unwrap_or(rest).to_owned();
                given.push(Given { known, value, at: word.at, shown });
                return 0;
            }
            Takes::Value => {
                if let Some(value) = after.first() {
                    given.push(Given { known, value: value.text.clone(), at: value.at, shown });
                    return 1;
                }
                report.add(Code::SbatchValueMissing, word.at, "", &[("option", shown)]);
                return 0;
            }
        }
    }
    0
}

fn unknown(word: &Word, shown: &str, name: &str, begun: &[&str], report: &Report<'_>) {
    let mut args = vec![("option", quote(shown))];
    let names: Vec<&'static str> = OPTIONS.iter().map(|known| known.name).collect();
    // To look for what was meant takes long; not for errors that are only counted.
    let near = if report.is_full() { None } else { suggestion(name, &names) };
    if !begun.is_empty() {
        let all: Vec<String> = begun.iter().map(|name| format!("--{name}")).collect();
        args.push(("choices", all.join(", ")));
    } else if let Some(near) = near {
        args.push(("suggestion", format!("--{near}")));
    }
    report.add(Code::SbatchUnknownOption, word.at, "", &args);
}

/// The option that a variable of the environment stands for.
pub(super) fn of_variable(name: &str, value: &str, at: At) -> Option<Given> {
    let known = OPTIONS.iter().find(|known| known.variable == Some(name))?;
    Some(Given { known, value: value.to_owned(), at, shown: name.to_owned() })
}
