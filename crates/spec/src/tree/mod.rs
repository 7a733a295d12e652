//! A text as a small tree of keys and values, each with its place in the text. YAML and JSON give the
//! same tree; what the values mean is not known here. Job files are read by it, and so is whatever else
//! is written in the same way. Invariant: the tree is bounded, whatever the text.

mod json;
mod yaml;

use crate::code::Code;
use crate::error::fill;
use crate::limits::{DEPTH_MAX, NODES_MAX};

pub use json::read_json;
pub use yaml::read_yaml;

/// How large a tree may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// Keys and values in all.
    pub nodes: usize,
    /// Lists and maps inside one another.
    pub depth: usize,
}

impl Bounds {
    /// Those of a job file.
    pub const JOB_FILE: Self = Self { nodes: NODES_MAX, depth: DEPTH_MAX };
}

/// Why there is no tree: reading stops at the first thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stopped {
    /// Where.
    pub at: At,
    /// What.
    pub code: Code,
    /// What the text of the message is filled with, by name.
    pub args: Vec<(&'static str, String)>,
}

impl Stopped {
    pub(crate) fn new(code: Code, at: At) -> Self {
        Self { at, code, args: Vec::new() }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &impl ToString) -> Self {
        self.args.push((name, value.to_string()));
        self
    }

    /// What is wrong, in English.
    pub fn message(&self) -> String {
        let template = self.code.message();
        fill(template, &self.args).unwrap_or_else(|| template.to_owned())
    }
}

/// From byte to byte of the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At {
    /// The first.
    pub start: usize,
    /// The one behind the last.
    pub end: usize,
}

/// A value and where it stands.
#[derive(Clone, PartialEq, Debug)]
pub struct Node {
    /// Where.
    pub at: At,
    /// What.
    pub value: Value,
}

/// What stands behind a key, in a list, or for the whole text.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// `null`, `~` or nothing behind a colon.
    Nothing,
    /// Written without quotes: may be a number, true or false, or a text.
    Bare(String),
    /// Written with quotes or as a block: a text.
    Quoted(String),
    /// Items in their order.
    List(Vec<Node>),
    /// Keys with values in their order; one may be there twice.
    Map(Vec<Entry>),
}

/// A key and what stands behind it.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// What stands behind it.
    pub value: Node,
}

/// A key.
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    /// Where it stands.
    pub at: At,
    /// Without its quotes.
    pub text: String,
    /// How it is written.
    pub style: KeyStyle,
}

/// How a key is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyStyle {
    /// Without quotes.
    Bare,
    /// With quotes.
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
