//! A job file as a small tree of keys and values, each with its place in the text. YAML and JSON
//! give the same tree; what the values mean is not known here. Invariant: the tree is bounded by
//! [`crate::limits`], whatever the text.

mod json;
mod yaml;

pub(crate) use json::read_json;
pub(crate) use yaml::{read_yaml, read_yaml_of};

/// From byte to byte of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct At {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Node {
    pub(crate) at: At,
    pub(crate) value: Value,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    /// `null`, `~` or nothing behind a colon.
    Nothing,
    /// Written without quotes: may be a number, true or false, or a text.
    Bare(String),
    /// Written with quotes or as a block: a text.
    Quoted(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) value: Node,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Key {
    pub(crate) at: At,
    pub(crate) text: String,
    pub(crate) style: KeyStyle,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum KeyStyle {
    Bare,
    Quoted,
}

impl Node {
    /// Where the key at the end of the path stands, or the last part of the path that exists.
    pub(crate) fn find(&self, path: &str) -> At {
        let mut node = self;
        let mut at = At { start: node.at.start, end: node.at.start };
        for part in path.split('.') {
            let Value::Map(entries) = &node.value else { break };
            let Some(entry) = entries.iter().find(|entry| entry.key.text == part) else { break };
            at = entry.key.at;
            node = &entry.value;
        }
        at
    }
    /// Is the key at the top of the file, whatever its value?
    pub(crate) fn has(&self, key: &str) -> bool {
        match &self.value {
            Value::Map(entries) => entries.iter().any(|entry| entry.key.text == key),
            Value::Nothing | Value::Bare(_) | Value::Quoted(_) | Value::List(_) => false,
        }
    }
}
