//! A job file put together from options and from lines of keys, as the tree that every job file
//! becomes, and that tree as a text again. Must not know options.

use serde_json::{Map, Number};

use crate::keys::{JOB, Section, Shape};
use crate::tree::{At, Entry, Key, KeyStyle, Node, Value};

/// A text with its place.
pub(super) fn text(value: impl Into<String>, at: At) -> Node {
    Node { at, value: Value::Quoted(value.into()) }
}
/// A number, or true or false.
pub(super) fn bare(value: &impl ToString, at: At) -> Node {
    Node { at, value: Value::Bare(value.to_string()) }
}
/// Several.
pub(super) fn list(items: Vec<Node>, at: At) -> Node {
    Node { at, value: Value::List(items) }
}

/// Keys that are being put together.
#[derive(Default)]
pub(super) struct Keys(Vec<Entry>);

impl Keys {
    /// Sets a key by its path, `resources.time`.
    pub(super) fn set(&mut self, path: &str, node: Node) {
        let mut entries = &mut self.0;
        let mut parts = path.split('.').peekable();
        let at = node.at;
        let mut node = Some(node);
        while let Some(part) = parts.next() {
            let place = entries.iter().position(|entry| entry.key.text == part);
            let place = place.unwrap_or_else(|| {
                let key = Key { at, text: part.to_owned(), style: KeyStyle::Quoted };
                let value = Node { at, value: Value::Map(Vec::new()) };
                entries.push(Entry { key, value });
                entries.len() - 1
            });
            if parts.peek().is_none()
                && let Some(node) = node.take()
            {
                entries[place].value = node;
                return;
            }
            let Value::Map(below) = &mut entries[place].value.value else { return };
            entries = below;
        }
    }
    /// The tree of all of them.
    pub(super) fn finish(self, at: At) -> Node {
        Node { at, value: Value::Map(self.0) }
    }
}

/// One tree out of two. Where both have a value, the written one stands, but for what was given
/// behind byte `outside`, which is not in the script but with the command.
pub(super) fn merged(options: Node, written: Node, outside: usize) -> Node {
    let (at, mine, theirs) = match (options, written) {
        (Node { value: Value::Map(mine), .. }, Node { at, value: Value::Map(theirs) }) => {
            (at, mine, theirs)
        }
        (options, _) if options.at.start >= outside => return options,
        (_, written) => return written,
    };
    let mut all = theirs;
    for entry in mine {
        match all.iter().position(|other| other.key.text == entry.key.text) {
            None => all.push(entry),
            Some(place) => {
                let written =
                    std::mem::replace(&mut all[place].value, Node { at, value: Value::Nothing });
                all[place].value = merged(entry.value, written, outside);
            }
        }
    }
    Node { at, value: Value::Map(all) }
}

/// The tree as a job file in JSON.
pub(crate) fn file_of(root: &Node) -> serde_json::Value {
    of_section(root, &JOB)
}

fn of_section(node: &Node, section: &Section) -> serde_json::Value {
    let Value::Map(entries) = &node.value else { return plain(node) };
    let pairs = entries.iter().map(|entry| {
        let value = match section.key(&entry.key.text) {
            Some(def) => of_shape(&entry.value, &def.shape),
            None => plain(&entry.value),
        };
        (entry.key.text.clone(), value)
    });
    serde_json::Value::Object(pairs.collect::<Map<_, _>>())
}

fn of_shape(node: &Node, shape: &Shape) -> serde_json::Value {
    match (shape, &node.value) {
        (Shape::Section(section), _) => of_section(node, section),
        (Shape::List { of, .. } | Shape::OneOrMany { of, .. }, Value::List(items)) => {
            items.iter().map(|item| of_shape(item, of)).collect()
        }
        (Shape::OneOrMany { of, .. }, _) => of_shape(node, of),
        // Only of these does the reader ask that they stand without quotes.
        (Shape::Whole { .. }, Value::Bare(text)) => match text.parse::<u64>() {
            Ok(number) => serde_json::Value::Number(Number::from(number)),
            Err(_) => plain(node),
        },
        (Shape::TrueFalse, Value::Bare(text)) => match text.parse::<bool>() {
            Ok(value) => serde_json::Value::Bool(value),
            Err(_) => plain(node),
        },
        (
            Shape::Whole { .. }
            | Shape::TrueFalse
            | Shape::Scalar(_)
            | Shape::Choice(_)
            | Shape::List { .. }
            | Shape::TextMap { .. },
            _,
        ) => plain(node),
    }
}

/// Every single value as a text.
fn plain(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Nothing => serde_json::Value::Null,
        Value::Bare(text) | Value::Quoted(text) => serde_json::Value::String(text.clone()),
        Value::List(items) => items.iter().map(plain).collect(),
        Value::Map(entries) => {
            let pairs = entries.iter().map(|entry| (entry.key.text.clone(), plain(&entry.value)));
            serde_json::Value::Object(pairs.collect::<Map<_, _>>())
        }
    }
}
