//! A scenario's text as types. TOML, YAML and JSON give the tree that job files are read by, and one
//! reader makes the types of a scenario from it.
//!
//! Invariant: whatever is wrong with a text is told with the path of keys that leads there, and with its
//! line where it stands in the text. What the keys mean is not known here.

use std::fmt;

use dayan_spec::Code;
use dayan_spec::tree::{
    At, Bounds, Entry, Key, KeyStyle, Node, Stopped, Value, read_json, read_yaml,
};
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Error as _, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::scenario::ScenarioError;

/// The region's scenario has 2,000 keys and values; this is a country's. In each other it needs four.
const BOUNDS: Bounds = Bounds { nodes: 200_000, depth: 16 };

/// How a scenario is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// TOML.
    Toml,
    /// YAML, or JSON where it begins with `{`.
    Yaml,
}

/// A step of the way from the top to a value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Step {
    Key(String),
    Item(usize),
}

/// Something wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wrong {
    /// From the inside out while it is on its way, then from the top.
    path: Vec<Step>,
    /// The byte of the text, where it stands in it.
    at: Option<usize>,
    message: String,
}

impl Wrong {
    /// At a path from the top; where that is in the text is looked up.
    pub fn at(path: Vec<Step>, message: String) -> Self {
        Self { path, at: None, message }
    }

    fn of(at: At, message: impl Into<String>) -> Self {
        Self { path: Vec::new(), at: Some(at.start), message: message.into() }
    }

    fn within(mut self, step: Step, at: At) -> Self {
        self.path.push(step);
        self.at = self.at.or(Some(at.start));
        self
    }

    /// As it is told of a text.
    pub fn told(self, text: &str) -> ScenarioError {
        let mut key = String::new();
        for step in &self.path {
            match step {
                Step::Key(name) if key.is_empty() => key.push_str(name),
                Step::Key(name) => key.extend([".", name]),
                // Counted from 1, as people do.
                Step::Item(at) => {
                    let _ = fmt::Write::write_fmt(&mut key, format_args!("[{}]", at + 1));
                }
            }
        }
        let before = |at: usize| text.bytes().take(at).filter(|byte| *byte == b'\n').count();
        let message = self.message.lines().next().unwrap_or_default().to_owned();
        ScenarioError { line: self.at.map(|at| before(at) + 1), key, message }
    }
}

impl From<Stopped> for Wrong {
    fn from(stopped: Stopped) -> Self {
        let message = match stopped.code {
            // What is said of job files there.
            Code::Empty => return Self::at(Vec::new(), "the file is empty".to_owned()),
            Code::Anchor => "anchors and aliases are not read; write the value itself".to_owned(),
            Code::Tag => "tags are not read; write the value without it".to_owned(),
            Code::ManyDocuments => "a second document begins; a scenario is one".to_owned(),
            _ => stopped.message(),
        };
        Self::of(stopped.at, message)
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for Wrong {}
impl serde::de::Error for Wrong {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::at(Vec::new(), message.to_string())
    }
}

/// Reads a text.
pub(super) fn read(text: &str, form: Form) -> Result<Node, Wrong> {
    match form {
        Form::Toml => read_toml(text),
        Form::Yaml if text.trim_start().starts_with('{') => Ok(read_json(text, BOUNDS)?),
        Form::Yaml => Ok(read_yaml(text, BOUNDS)?),
    }
}

/// What a tree stands for.
pub(super) fn to_type<T: for<'de> Deserialize<'de>>(root: &Node) -> Result<T, Wrong> {
    T::deserialize(Reader(root)).map_err(|mut wrong| {
        wrong.path.reverse();
        wrong
    })
}

/// With the place of what its path leads to, or of the last part of the path that is there.
pub(super) fn placed(root: &Node, wrong: Wrong) -> Wrong {
    let (mut node, mut at) = (root, None);
    for step in &wrong.path {
        let next = match (step, &node.value) {
            (Step::Key(name), Value::Map(entries)) => {
                let found = entries.iter().find(|entry| entry.key.text == *name);
                found.map(|entry| (&entry.value, entry.key.at))
            }
            (Step::Item(nth), Value::List(items)) => items.get(*nth).map(|node| (node, node.at)),
            (Step::Key(_) | Step::Item(_), _) => None,
        };
        let Some((inner, here)) = next else { break };
        (node, at) = (inner, Some(here.start));
    }
    Wrong { at, ..wrong }
}

// ---- TOML ----

fn read_toml(text: &str) -> Result<Node, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let wrong = Wrong::at(Vec::new(), error.message().to_owned());
        Wrong { at: error.span().map(|span| span.start), ..wrong }
    })?;
    let mut left = BOUNDS.nodes;
    toml_table(table.get_ref(), At { start: 0, end: text.len() }, &mut left)
}

fn place<T>(of: &Spanned<T>) -> At {
    let span = of.span();
    At { start: span.start, end: span.end }
}

fn toml_table(table: &DeTable<'_>, at: At, left: &mut usize) -> Result<Node, Wrong> {
    let mut entries = Vec::with_capacity(table.len());
    for (name, value) in table {
        let text = name.get_ref().to_string();
        let key = Key { at: place(name), text, style: KeyStyle::Bare };
        entries.push(Entry { key, value: toml_value(value, left)? });
    }
    Ok(Node { at, value: Value::Map(entries) })
}

fn toml_value(value: &Spanned<DeValue<'_>>, left: &mut usize) -> Result<Node, Wrong> {
    let at = place(value);
    let too_many =
        || Wrong::of(at, format!("there are more than {} keys and values", BOUNDS.nodes));
    *left = left.checked_sub(1).ok_or_else(too_many)?;
    let value = match value.get_ref() {
        DeValue::String(text) => Value::Quoted(text.to_string()),
        DeValue::Integer(number) => {
            let value = i128::from_str_radix(number.as_str(), number.radix());
            Value::Bare(value.map_or_else(|_| number.to_string(), |value| value.to_string()))
        }
        DeValue::Float(number) => Value::Bare(number.as_str().to_owned()),
        DeValue::Boolean(value) => Value::Bare(value.to_string()),
        DeValue::Datetime(moment) => Value::Bare(moment.to_string()),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| toml_value(item, left));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        DeValue::Table(table) => return toml_table(table, at, left),
    };
    Ok(Node { at, value })
}

// ---- into types ----

/// Reads types from a node.
#[derive(Clone, Copy)]
struct Reader<'de>(&'de Node);

impl<'de> Reader<'de> {
    fn kind(self) -> &'static str {
        match self.0.value {
            Value::Nothing => "nothing",
            Value::Bare(_) => "a value",
            Value::Quoted(_) => "a text",
            Value::List(_) => "a list",
            Value::Map(_) => "keys with values",
        }
    }

    fn wrong(self, message: impl Into<String>) -> Wrong {
        Wrong::of(self.0.at, message)
    }

    fn seen<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.0.value {
            Value::Nothing => visitor.visit_unit(),
            Value::Bare(text) => {
                if let Ok(number) = text.parse::<u64>() {
                    visitor.visit_u64(number)
                } else if let Ok(number) = text.parse::<i64>() {
                    visitor.visit_i64(number)
                } else if let Ok(value) = text.parse::<bool>() {
                    visitor.visit_bool(value)
                } else if let Ok(number) = text.parse::<f64>() {
                    visitor.visit_f64(number)
                } else {
                    visitor.visit_str(text)
                }
            }
            Value::Quoted(text) => visitor.visit_str(text),
            Value::List(items) => {
                let mut left = Items { items: items.iter().enumerate() };
                let made = visitor.visit_seq(&mut left)?;
                match left.items.len() {
                    0 => Ok(made),
                    more => {
                        let due = items.len() - more;
                        Err(Wrong::custom(format!("a list of {}, not of {due}", items.len())))
                    }
                }
            }
            Value::Map(entries) => {
                let keys = entries.iter().map(|entry| &entry.key);
                let mut known = std::collections::BTreeSet::new();
                if let Some(key) = keys.clone().find(|key| !known.insert(&key.text)) {
                    return Err(Wrong::of(key.at, format!("`{}` is there twice", key.text)));
                }
                visitor.visit_map(Entries { entries: entries.iter(), value: None })
            }
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.seen(visitor)
            .map_err(|wrong| Wrong { at: wrong.at.or(Some(self.0.at.start)), ..wrong })
    }

    /// A number where a text is due is taken as it was written: `0.02` is an amount.
    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match &self.0.value {
            Value::Bare(text) | Value::Quoted(text) => visitor.visit_str(text),
            Value::Nothing | Value::List(_) | Value::Map(_) => {
                Err(self.wrong(format!("{} where a text is due", self.kind())))
            }
        }
    }
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        self.deserialize_str(visitor)
    }
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        match self.0.value {
            Value::Nothing => visitor.visit_none(),
            Value::Bare(_) | Value::Quoted(_) | Value::List(_) | Value::Map(_) => {
                visitor.visit_some(self)
            }
        }
    }
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        match &self.0.value {
            Value::Bare(text) | Value::Quoted(text) => {
                let text: StrDeserializer<'_, Wrong> = text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
                    .map_err(|wrong| Wrong { at: Some(self.0.at.start), ..wrong })
            }
            Value::Nothing | Value::List(_) | Value::Map(_) => self.deserialize_any(visitor),
        }
    }
    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }
    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

struct Items<'de> {
    items: std::iter::Enumerate<std::slice::Iter<'de, Node>>,
}

impl<'de> SeqAccess<'de> for &mut Items<'de> {
    type Error = Wrong;
    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Wrong> {
        let Some((nth, node)) = self.items.next() else { return Ok(None) };
        let made = seed.deserialize(Reader(node));
        made.map(Some).map_err(|wrong| wrong.within(Step::Item(nth), node.at))
    }
}

struct Entries<'de> {
    entries: std::slice::Iter<'de, Entry>,
    value: Option<&'de Entry>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Wrong;
    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        let Some(entry) = self.entries.next() else { return Ok(None) };
        self.value = Some(entry);
        let Key { at, text, .. } = &entry.key;
        let name: StrDeserializer<'_, Wrong> = text.as_str().into_deserializer();
        let made = seed.deserialize(name);
        made.map(Some).map_err(|wrong| wrong.within(Step::Key(text.clone()), *at))
    }
    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Entry { key, value } = self.value.take().expect("a value is asked for after its key");
        seed.deserialize(Reader(value)).map_err(|wrong| {
            // Where the value is wrong as a whole, its key says so best.
            let whole = wrong.path.is_empty() && wrong.at.is_none_or(|at| at == value.at.start);
            let at = if whole { None } else { wrong.at };
            Wrong { at, ..wrong }.within(Step::Key(key.text.clone()), key.at)
        })
    }
}
