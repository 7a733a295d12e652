//! Reading one value: as a text, a quantity, a word of a closed set, a list, a section. The table
//! says what stands there; whoever asks for another kind is a mistake in this room.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use dayan_units::{Bytes, FlopRate, MilliCpu, Money, QuantityError, Range, Span, Time, parse_span};

use super::fields::{Fields, check_text, check_twice, is_boolean_word, key_names, suggestion};
use crate::code::Code;
use crate::keys::{KeyDef, Need, Scalar, Shape};
use crate::limits::SPAN_MAX;
use crate::model::{Choice, NameError, quote};
use crate::report::Report;
use crate::tree::{At, Entry, KeyStyle, Node, Value};

/// One value with its key.
pub(super) struct Item<'a> {
    node: &'a Node,
    def: &'static KeyDef,
    shape: &'static Shape,
    path: String,
    report: &'a Report<'a>,
}

/// A longer value is not repeated as an example.
const EXAMPLE_BYTES_MAX: usize = 40;

impl<'a> Item<'a> {
    pub(super) fn new(
        node: &'a Node,
        def: &'static KeyDef,
        path: String,
        report: &'a Report<'a>,
    ) -> Self {
        Self { node, def, shape: &def.shape, path, report }
    }
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
    pub(super) fn raw(&self) -> Option<&'a str> {
        match &self.node.value {
            Value::Bare(text) | Value::Quoted(text) => Some(text),
            Value::Nothing => {
                self.fail(Code::NoValue, &[("key", self.def.name.to_owned())]);
                None
            }
            Value::List(_) | Value::Map(_) => {
                // Of a list it is one element that is wrong, and not the key.
                let in_list = self.path.ends_with(']');
                let key = if in_list { self.path.clone() } else { self.def.name.to_owned() };
                let example = if in_list { "element" } else { "example" };
                let mut args = vec![("key", key)];
                args.extend(self.shape.example().map(|words| (example, words)));
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
    /// A name of something outside: one line, not framed by spaces, which nobody would see.
    pub(super) fn word(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim() != text {
            self.fail_value(Code::FramedBySpace, text);
            return None;
        }
        if let Some(control) = text.chars().find(|c| c.is_control()) {
            let character = format!("U+{:04X}", u32::from(control));
            self.fail(
                Code::ControlCharacter,
                &[("key", self.def.name.to_owned()), ("character", character)],
            );
            return None;
        }
        Some(text.to_owned())
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
            let names = key_names(section);
            let mut about = vec![("key", self.def.name.to_owned()), ("keys", names.join(", "))];
            // A single value is most likely meant for the first key, which is the chief one.
            if let (Value::Bare(value), Some(first)) = (&self.node.value, names.first())
                && value.len() <= EXAMPLE_BYTES_MAX
            {
                about.extend([("first", (*first).to_owned()), ("value", value.clone())]);
            }
            self.fail(Code::ExpectedMap, &about);
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
