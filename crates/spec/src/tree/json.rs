//! JSON into the tree. serde_json reads; its raw values are slices of the text, so that their
//! places are known, and numbers keep the digits they were written with.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{At, Bounds, Entry, Key, KeyStyle, Node, Stopped, Value};
use crate::code::Code;

/// Reads a text.
pub fn read_json(text: &str, bounds: Bounds) -> Result<Node, Stopped> {
    if text.trim().is_empty() {
        return Err(Stopped::new(Code::Empty, At { start: 0, end: 0 }));
    }
    let raw: &RawValue = serde_json::from_str(text).map_err(|error| {
        let at = byte_of(text, error.line(), error.column());
        // The library ends its message with the place, which is shown anyway.
        let whole = error.to_string();
        let detail = whole.split(" at line ").next().unwrap_or(&whole);
        Stopped::new(Code::JsonSyntax, At { start: at, end: at }).with("detail", &detail)
    })?;
    Reader { text, bounds, nodes: 0 }.node(raw, 0)
}

/// The byte at a line and a column in bytes, both from 1; brought to the nearest character.
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let byte = (start + column.saturating_sub(1)).min(text.len());
    (0..=byte).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

struct Reader<'t> {
    text: &'t str,
    bounds: Bounds,
    nodes: usize,
}

impl Reader<'_> {
    /// Each level reads its content once more; there are so few of them that that is bounded.
    fn node(&mut self, raw: &RawValue, depth: usize) -> Result<Node, Stopped> {
        let text = raw.get();
        // A borrowed raw value is a slice of the source.
        let start = text.as_ptr().addr() - self.text.as_ptr().addr();
        let at = At { start, end: start + text.len() };
        self.nodes += 1;
        if self.nodes > self.bounds.nodes {
            return Err(Stopped::new(Code::TooManyValues, at).with("max", &self.bounds.nodes));
        }
        let nested = text.starts_with(['{', '[']);
        if nested && depth == self.bounds.depth {
            return Err(Stopped::new(Code::TooDeep, at).with("max", &self.bounds.depth));
        }
        let value = match text.as_bytes()[0] {
            b'{' => Value::Map(self.entries(text, start, depth)?),
            b'[' => {
                let Items(items) = content(text, at)?;
                let items = items.into_iter().map(|item| self.node(item, depth + 1));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            b'"' => Value::Quoted(content(text, at)?),
            b'n' => Value::Nothing,
            _ => Value::Bare(text.to_owned()),
        };
        Ok(Node { at, value })
    }

    fn entries(&mut self, text: &str, start: usize, depth: usize) -> Result<Vec<Entry>, Stopped> {
        let Pairs(pairs) = content(text, At { start, end: start })?;
        let mut entries = Vec::with_capacity(pairs.len());
        // Where the value before ended: the key stands between there and its own value.
        let mut gap_start = start + 1;
        for (key, raw) in pairs {
            let value = self.node(raw, depth + 1)?;
            let gap = &self.text[gap_start..value.at.start];
            let open = gap_start + gap.find('"').unwrap_or(0);
            let close = gap_start + gap.rfind('"').unwrap_or(0) + 1;
            gap_start = value.at.end;
            let at = At { start: open, end: close.max(open) };
            entries.push(Entry { key: Key { at, text: key, style: KeyStyle::Quoted }, value });
        }
        Ok(entries)
    }
}

/// Only texts get here that are well-formed but may stand for no Unicode, as half of a surrogate pair
/// does.
fn content<'t, T: Deserialize<'t>>(text: &'t str, at: At) -> Result<T, Stopped> {
    let stopped =
        |error: serde_json::Error| Stopped::new(Code::JsonSyntax, at).with("detail", &error);
    serde_json::from_str(text).map_err(stopped)
}

struct Items<'t>(Vec<&'t RawValue>);
struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(Collect)
    }
}
impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Pairs<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}
