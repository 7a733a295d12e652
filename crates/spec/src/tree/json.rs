//! JSON into the tree. serde_json reads; its raw values are slices of the text, so that their
//! places are known, and numbers keep the digits they were written with.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::{At, Entry, Key, KeyStyle, Node, Value};
use crate::code::Code;
use crate::limits::{DEPTH_MAX, NODES_MAX};
use crate::report::Report;

/// The tree, or none when the report says why not.
pub(crate) fn read_json(report: &Report<'_>) -> Option<Node> {
    let text = report.source();
    if text.trim().is_empty() {
        report.add(Code::Empty, At { start: 0, end: 0 }, "", &[]);
        return None;
    }
    let raw: &RawValue = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            let at = report.byte_of(error.line(), error.column());
            // The library ends its message with the place, which is shown anyway.
            let whole = error.to_string();
            let detail = whole.split(" at line ").next().unwrap_or(&whole).to_owned();
            report.add(Code::JsonSyntax, At { start: at, end: at }, "", &[("detail", detail)]);
            return None;
        }
    };
    Reader { report, nodes: 0 }.node(raw, 0)
}

struct Reader<'a> {
    report: &'a Report<'a>,
    nodes: usize,
}

impl Reader<'_> {
    /// Each level reads its content once more; with at most `DEPTH_MAX` levels that is bounded.
    fn node(&mut self, raw: &RawValue, depth: usize) -> Option<Node> {
        let text = raw.get();
        // A borrowed raw value is a slice of the source.
        let start = text.as_ptr().addr() - self.report.source().as_ptr().addr();
        let at = At { start, end: start + text.len() };
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            self.report.add(Code::TooManyValues, at, "", &[("max", NODES_MAX.to_string())]);
            return None;
        }
        let nested = text.starts_with(['{', '[']);
        if nested && depth == DEPTH_MAX {
            self.report.add(Code::TooDeep, at, "", &[("max", DEPTH_MAX.to_string())]);
            return None;
        }
        let value = match text.as_bytes()[0] {
            b'{' => Value::Map(self.entries(text, start, depth)?),
            b'[' => {
                let Items(items) = self.read(text, at)?;
                Value::List(
                    items
                        .into_iter()
                        .map(|item| self.node(item, depth + 1))
                        .collect::<Option<_>>()?,
                )
            }
            b'"' => Value::Quoted(self.read(text, at)?),
            b'n' => Value::Nothing,
            _ => Value::Bare(text.to_owned()),
        };
        Some(Node { at, value })
    }

    fn entries(&mut self, text: &str, start: usize, depth: usize) -> Option<Vec<Entry>> {
        let Pairs(pairs) = self.read(text, At { start, end: start })?;
        let mut entries = Vec::with_capacity(pairs.len());
        // Where the value before ended: the key stands between there and its own value.
        let mut gap_start = start + 1;
        for (key, raw) in pairs {
            let value = self.node(raw, depth + 1)?;
            let gap = &self.report.source()[gap_start..value.at.start];
            let open = gap_start + gap.find('"').unwrap_or(0);
            let close = gap_start + gap.rfind('"').unwrap_or(0) + 1;
            gap_start = value.at.end;
            let at = At { start: open, end: close.max(open) };
            entries.push(Entry { key: Key { at, text: key, style: KeyStyle::Quoted }, value });
        }
        Some(entries)
    }

    fn read<'t, T: Deserialize<'t>>(&self, text: &'t str, at: At) -> Option<T> {
        match serde_json::from_str(text) {
            Ok(value) => Some(value),
            // Only texts get here that are well-formed but stand for no Unicode, as half of a
            // surrogate pair does.
            Err(error) => {
                let detail = error.to_string();
                self.report.add(Code::JsonSyntax, at, "", &[("detail", detail)]);
                None
            }
        }
    }
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
