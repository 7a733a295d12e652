//! Reading keys by the table: what is unknown, missing, given twice or of the wrong shape is
//! reported here; the sections above only say which key becomes which field.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use dayan_units::{Bytes, FlopRate, MilliCpu, Money, QuantityError, Range, Span, Time, parse_span};

use crate::code::Code;
use crate::keys::{KeyDef, Need, Scalar, Section, Shape, sections};
use crate::limits::SPAN_MAX;
use crate::model::{Choice, NameError};
use crate::report::Report;
use crate::tree::{At, Entry, KeyStyle, Node, Value};

pub(super) use crate::model::quote;

/// Words that YAML 1.1 reads as true or false. `y` and `n`, which its text names as well, are left
/// out: the readers in use never took them so, and `N` is a common variable.
const BOOLEAN_WORDS: &[&str] = &["yes", "no", "on", "off", "true", "false"];

fn is_boolean_word(text: &str) -> bool {
    text.len() <= 5 && BOOLEAN_WORDS.contains(&text.to_ascii_lowercase().as_str())
}

/// How far a misspelt word may be from what is suggested: one wrong letter in three.
pub(super) fn suggestion(text: &str, known: &[&'static str]) -> Option<&'static str> {
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

/// One value with its key.
pub(super) struct Item<'a> {
    node: &'a Node,
    def: &'static KeyDef,
    shape: &'static Shape,
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

    fn open(
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
        Some(Item { node: &entry.value, def, shape: &def.shape, path, report: self.report })
    }

    /// Says that something is wrong with a key of this section.
    pub(super) fn fail(&self, key: &str, code: Code, args: &[(&'static str, String)]) {
        let entry = self.entries.iter().find(|entry| entry.key.text == key);
        let at = entry.or(self.entries.first()).map_or(At { start: 0, end: 0 }, |e| e.key.at);
        let path = if entry.is_some() { self.below(key) } else { self.path.clone() };
        self.report.add(code, at, &path, args);
    }
}

fn key_names(section: &'static Section) -> Vec<&'static str> {
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

fn check_twice(entries: &[Entry], path: &str, report: &Report<'_>) {
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

impl<'a> Item<'a> {
    pub(super) fn fail(&self, code: Code, args: &[(&'static str, String)]) {
        self.report.add(code, self.node.at, &self.path, args);
    }
    fn fail_value(&self, code: Code, value: &str) {
        self.fail(code, &[("key", self.def.name.to_owned()), ("value", quote(value))]);
    }

    fn scalar(&self) -> &'static Scalar {
        match self.shape {
            Shape::Scalar(scalar) => scalar,
            Shape::Whole { .. }
            | Shape::TrueFalse
            | Shape::Choice(_)
            | Shape::List { .. }
            | Shape::OneOrMany { .. }
            | Shape::Section(_)
            | Shape::TextMap { .. } => unreachable!("the table says that this is one value"),
        }
    }

    /// The characters of a single value, with or without quotes.
    fn raw(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Bare(text) | Value::Quoted(text) => Some(text),
            Value::Nothing => {
                self.fail(Code::NoValue, &[("key", self.def.name.to_owned())]);
                None
            }
            Value::List(_) | Value::Map(_) => {
                let mut args = vec![("key", self.def.name.to_owned())];
                args.extend(self.shape.example().map(|example| ("example", example)));
                self.fail(Code::ExpectedText, &args);
                None
            }
        }
    }

    /// The version as written: another one than 1 is not a wrong number but a file for others.
    pub(super) fn text_of_version(&self) -> Option<&'a str> {
        self.raw()
    }
    /// A text within the bounds of its kind.
    pub(super) fn text(&self) -> Option<&'a str> {
        let text = self.raw()?;
        check_text(text, self.scalar().chars_max, self.def.name, |code, args| self.fail(code, args))
            .then_some(text)
    }
    /// A text that reads as its type; what it is not is said with the code.
    pub(super) fn parse<T: FromStr>(&self, code: Code) -> Option<T> {
        let text = self.text()?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.fail_value(code, text);
        }
        parsed
    }
    /// A text that reads as a name, with a code of its own for paths that leave their folder.
    pub(super) fn name<T: FromStr<Err = NameError>>(&self, code: Code) -> Option<T> {
        let text = self.text()?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(NameError::Escape(_)) => {
                self.fail_value(Code::PathEscapes, text);
                None
            }
            Err(_) => {
                self.fail_value(code, text);
                None
            }
        }
    }
    /// A path that stays inside its folder.
    pub(super) fn inner_path(&self) -> Option<String> {
        let text = self.text()?;
        if crate::model::stays_inside(text) {
            return Some(text.to_owned());
        }
        self.fail_value(Code::PathEscapes, text);
        None
    }

    fn quantity<T>(&self, read: impl Fn(&str) -> Result<T, QuantityError>) -> Option<T> {
        let text = self.text()?;
        let error = match read(text) {
            Ok(value) => return Some(value),
            Err(error) => error,
        };
        let scalar = self.scalar();
        let value = ("value", quote(text));
        match error {
            QuantityError::TooFine(_) => self.fail(Code::TooFine, &[value]),
            QuantityError::TooLarge(_) => self.fail(Code::TooLarge, &[value]),
            QuantityError::Backwards(_) => self.fail(Code::RangeBackwards, &[value]),
            QuantityError::Form { .. } => {
                let mut args = vec![value, ("example", scalar.example.to_owned())];
                args.extend(scalar.units.map(|units| ("units", units.to_owned())));
                let negative = text.strip_prefix('-').is_some_and(|rest| read(rest).is_ok());
                let bare = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b' '));
                if negative {
                    self.fail(Code::Negative, &args[..1]);
                } else if bare && scalar.units.is_some() {
                    self.fail(Code::MissingUnit, &args);
                } else {
                    self.fail(Code::BadQuantity, &args);
                }
            }
        }
        None
    }
    fn zero(&self) {
        let mut args = vec![("key", self.def.name.to_owned())];
        if let Need::Default(default) = self.def.need {
            args.push(("default", default.to_owned()));
        }
        self.fail(Code::Zero, &args);
    }

    /// A range whose least is more than zero and whose ends are at most `max`.
    fn range<T>(
        &self,
        zero: T,
        max: T,
        read: impl Fn(&str) -> Result<Range<T>, QuantityError>,
    ) -> Option<Range<T>>
    where
        T: Copy + Ord + Display,
    {
        let range = self.quantity(read)?;
        let most = range.max.unwrap_or(range.min);
        if range.min == zero {
            self.zero();
            return None;
        }
        if most > max {
            self.fail(Code::TooLarge, &[("value", most.to_string()), ("max", max.to_string())]);
            return None;
        }
        Some(range)
    }
    pub(super) fn cpus(&self, max: MilliCpu) -> Option<Range<MilliCpu>> {
        self.range(MilliCpu::ZERO, max, str::parse)
    }
    pub(super) fn bytes(&self, max: Bytes) -> Option<Range<Bytes>> {
        self.range(Bytes::ZERO, max, str::parse)
    }
    /// Operations a second; for integers `TOPS` is the usual word for `TFLOPS`.
    pub(super) fn flops(&self) -> Option<Range<FlopRate>> {
        let read = |text: &str| match self.def.name {
            "int8" if !text.contains("FLOPS") => text.replace("OPS", "FLOPS").parse(),
            _ => text.parse(),
        };
        self.range(FlopRate::ZERO, FlopRate(u64::MAX), read)
    }
    /// A span of at most a year; zero is one.
    pub(super) fn span_or_zero(&self) -> Option<Span> {
        let span = self.quantity(parse_span)?;
        if span > SPAN_MAX {
            self.fail(
                Code::TooLarge,
                &[("value", span.to_string()), ("max", SPAN_MAX.to_string())],
            );
            return None;
        }
        Some(span)
    }
    pub(super) fn span(&self) -> Option<Span> {
        let span = self.span_or_zero()?;
        if span == Span::ZERO {
            self.zero();
            return None;
        }
        Some(span)
    }
    pub(super) fn money(&self) -> Option<Money> {
        let money = self.parse::<Money>(Code::BadMoney)?;
        self.positive(money).then_some(money)
    }
    pub(super) fn positive(&self, money: Money) -> bool {
        match money.micro.0 {
            1.. => true,
            0 => {
                self.zero();
                false
            }
            _ => {
                self.fail_value(Code::Negative, &money.to_string());
                false
            }
        }
    }
    pub(super) fn time(&self) -> Option<Time> {
        self.parse(Code::BadTime)
    }

    /// A whole number within the bounds of the table.
    pub(super) fn whole(&self) -> Option<u32> {
        let Shape::Whole { min, max } = self.shape else {
            unreachable!("the table says that this is a whole number")
        };
        let text = self.raw()?;
        let bare = matches!(self.node.value, Value::Bare(_));
        let args = [
            ("value", quote(text)),
            ("key", self.def.name.to_owned()),
            ("min", min.to_string()),
            ("max", max.to_string()),
        ];
        let digits = text.strip_prefix('-').unwrap_or(text);
        if !bare || digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            self.fail(Code::ExpectedWhole, &args);
            return None;
        }
        // More digits than a number holds are out of bounds as well.
        match text.parse::<u32>() {
            Ok(number) if (*min..=*max).contains(&number) => Some(number),
            Ok(_) | Err(_) => {
                self.fail(Code::OutOfBounds, &args);
                None
            }
        }
    }
    pub(super) fn true_false(&self) -> Option<bool> {
        let text = self.raw()?;
        match (&self.node.value, text) {
            (Value::Bare(_), "true") => return Some(true),
            (Value::Bare(_), "false") => return Some(false),
            _ => {}
        }
        let mut args = vec![("key", self.def.name.to_owned()), ("value", quote(text))];
        match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "y" | "true" => args.push(("suggestion", "true".to_owned())),
            "no" | "off" | "n" | "false" => args.push(("suggestion", "false".to_owned())),
            _ => {}
        }
        self.fail(Code::ExpectedTrueFalse, &args);
        None
    }
    pub(super) fn choice<C: Choice>(&self) -> Option<C> {
        let text = self.raw()?;
        if let Some(value) = C::ALL.iter().find(|value| value.word() == text) {
            return Some(*value);
        }
        let words: Vec<_> = C::ALL.iter().map(|value| value.word()).collect();
        let mut args = vec![("key", self.def.name.to_owned()), ("value", quote(text))];
        // The comparison folds case, so that `t2` finds `T2`.
        let folded = words.iter().find(|word| word.eq_ignore_ascii_case(text)).copied();
        let near = folded.or_else(|| suggestion(text, &words));
        args.extend(near.map(|near| ("suggestion", near.to_owned())));
        args.push(("choices", words.join(", ")));
        self.fail(Code::UnknownChoice, &args);
        None
    }

    /// The entries of a list, each with its number in the path.
    pub(super) fn items(&self) -> Option<Vec<Item<'a>>> {
        let (Shape::List { of, max } | Shape::OneOrMany { of, max }) = self.shape else {
            unreachable!("the table says that this is a list")
        };
        let item = |node, path| Item { node, def: self.def, shape: of, path, report: self.report };
        let Value::List(nodes) = &self.node.value else {
            if matches!(self.shape, Shape::OneOrMany { .. }) {
                return Some(vec![item(self.node, self.path.clone())]);
            }
            let mut args = vec![("key", self.def.name.to_owned())];
            args.extend(of.example().map(|example| ("example", example)));
            self.fail(Code::ExpectedList, &args);
            return None;
        };
        if nodes.len() > *max {
            let count = ("count", nodes.len().to_string());
            let args = [("key", self.def.name.to_owned()), count, ("max", max.to_string())];
            self.fail(Code::TooMany, &args);
            return None;
        }
        if nodes.is_empty() {
            self.fail(Code::EmptyValue, &[("key", self.def.name.to_owned())]);
            return None;
        }
        let numbered = nodes.iter().enumerate();
        Some(numbered.map(|(at, node)| item(node, format!("{}[{at}]", self.path))).collect())
    }
    /// A list whose entries are read one by one; an entry that is there twice is reported.
    pub(super) fn list<T: PartialEq + Display>(
        &self,
        read: impl Fn(&Item<'a>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let mut list: Vec<T> = Vec::new();
        for item in self.items()? {
            if let Some(value) = read(&item) {
                if list.contains(&value) {
                    item.fail_value(Code::Repeated, &value.to_string());
                } else {
                    list.push(value);
                }
            }
        }
        Some(list)
    }
    /// The keys under this one.
    pub(super) fn section(&self) -> Option<Fields<'a>> {
        let Shape::Section(section) = self.shape else {
            unreachable!("the table says that this is a section")
        };
        let Value::Map(entries) = &self.node.value else {
            let keys = key_names(section).join(", ");
            self.fail(Code::ExpectedMap, &[("key", self.def.name.to_owned()), ("keys", keys)]);
            return None;
        };
        let start = At { start: self.node.at.start, end: self.node.at.start };
        Some(Fields::open(entries, section, self.path.clone(), start, self.report))
    }
    /// Free names with texts.
    pub(super) fn text_map(
        &self,
        check: impl Fn(&Entry, &str) -> Result<(), (Code, Vec<(&'static str, String)>)>,
    ) -> Option<BTreeMap<String, String>> {
        let Shape::TextMap { max, .. } = self.shape else {
            unreachable!("the table says that this is a map of texts")
        };
        let name = || ("key", self.def.name.to_owned());
        let Value::Map(entries) = &self.node.value else {
            self.fail(Code::ExpectedMap, &[name()]);
            return None;
        };
        if entries.len() > *max {
            let count = ("count", entries.len().to_string());
            self.fail(Code::TooMany, &[name(), count, ("max", max.to_string())]);
            return None;
        }
        check_twice(entries, &self.path, self.report);
        let mut map = BTreeMap::new();
        for entry in entries {
            let path = format!("{}.{}", self.path, quote(&entry.key.text));
            let key = &entry.key.text;
            if entry.key.style == KeyStyle::Bare && is_boolean_word(key) {
                let args = [("key", quote(key)), ("quotable", quote(key))];
                self.report.add(Code::BooleanKey, entry.key.at, &path, &args);
                continue;
            }
            let text = match &entry.value.value {
                Value::Bare(text) | Value::Quoted(text) => text,
                Value::Nothing => {
                    self.report.add(Code::NoValue, entry.key.at, &path, &[("key", quote(key))]);
                    continue;
                }
                Value::List(_) | Value::Map(_) => {
                    let args = [("key", quote(key)), ("example", "text".to_owned())];
                    self.report.add(Code::ExpectedText, entry.value.at, &path, &args);
                    continue;
                }
            };
            if let Err((code, args)) = check(entry, text) {
                self.report.add(code, entry.key.at, &path, &args);
                continue;
            }
            map.insert(key.clone(), text.clone());
        }
        Some(map)
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
