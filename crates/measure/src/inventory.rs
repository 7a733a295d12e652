//! The text that stands for a machine's static attributes: model names, counts, serial numbers.
//!
//! Invariant: equal attributes give equal text, different attributes different text, whatever
//! they contain. The exchange and the agent hash this text; the hash itself is the caller's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Static attributes by name, such as `cpu.model`, `memory.bytes`, `accel.0.serial`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Inventory(pub BTreeMap<String, String>);

/// First line of the text; another layout gets another number.
const HEADING: &str = "dayan-inventory 1\n";

impl Inventory {
    /// Adds or replaces one attribute.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// The canonical text: a heading, then per attribute its name, `=`, its value and a line
    /// feed, sorted by name; in names and values backslash, `=` and line feed are escaped.
    pub fn canonical_text(&self) -> String {
        let mut text = String::from(HEADING);
        for (name, value) in &self.0 {
            escape(name, &mut text);
            text.push('=');
            escape(value, &mut text);
            text.push('\n');
        }
        text
    }
}

fn escape(part: &str, out: &mut String) {
    for c in part.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '=' => out.push_str("\\e"),
            '\n' => out.push_str("\\n"),
            plain => out.push(plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sorted_escaped_and_headed() {
        let inventory = Inventory::default()
            .with("memory.bytes", "270582939648")
            .with("cpu.model", "A=B\nC\\D");
        assert_eq!(
            inventory.canonical_text(),
            "dayan-inventory 1\ncpu.model=A\\eB\\nC\\\\D\nmemory.bytes=270582939648\n"
        );
    }

    proptest! {
        #[test]
        fn different_inventories_have_different_texts(
            a in prop::collection::btree_map("[a=\\\\\n]{0,3}", "[a=\\\\\n]{0,3}", 0..4),
            b in prop::collection::btree_map("[a=\\\\\n]{0,3}", "[a=\\\\\n]{0,3}", 0..4),
        ) {
            let (a, b) = (Inventory(a), Inventory(b));
            prop_assert_eq!(a == b, a.canonical_text() == b.canonical_text());
        }
    }
}
