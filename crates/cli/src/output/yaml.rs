//! JSON values as YAML text. Every text that could be read as anything but itself is quoted as in
//! JSON, which YAML 1.2 reads alike; so what is written is read back as it was.

use std::fmt::Write as _;

use serde_json::Value;

/// A value as a YAML document.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0),
        Value::Object(map) if !map.is_empty() => object(&mut out, map, 0),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
    out
}

fn list(out: &mut String, items: &[Value], indent: usize) {
    for item in items {
        let _ = write!(out, "{:indent$}- ", "");
        after_dash(out, item, indent + 2);
    }
}

/// A map or list inside a list begins on the line of its dash.
fn after_dash(out: &mut String, item: &Value, indent: usize) {
    let mut inner = String::new();
    match item {
        Value::Array(items) if !items.is_empty() => list(&mut inner, items, indent),
        Value::Object(map) if !map.is_empty() => object(&mut inner, map, indent),
        Value::Null
        | Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => {
            inner.push_str(&scalar(item));
            inner.push('\n');
        }
    }
    out.push_str(inner.trim_start_matches(' '));
}

fn object(out: &mut String, map: &serde_json::Map<String, Value>, indent: usize) {
    for (key, value) in map {
        let _ = write!(out, "{:indent$}{}:", "", text(key));
        match value {
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                list(out, items, indent + 2);
            }
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                object(out, map, indent + 2);
            }
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => {
                let _ = writeln!(out, " {}", scalar(value));
            }
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(said) => text(said),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
    }
}

/// Words that some reader of YAML takes for something else than a text.
const RESERVED: &[&str] =
    &["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

fn text(said: &str) -> String {
    let plain_start = said.starts_with(|c: char| c.is_ascii_alphabetic());
    let plain_rest = said
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.') || wide(c));
    let reserved = RESERVED.contains(&said.to_ascii_lowercase().as_str());
    if (plain_start || said.starts_with(wide)) && plain_rest && !reserved {
        said.to_owned()
    } else {
        Value::from(said).to_string()
    }
}

/// Chinese characters need no quotes.
fn wide(c: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&c)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use saphyr_parser::{Event, Parser, ScalarStyle};
    use serde_json::json;

    use super::*;

    #[test]
    fn reads_as_people_write_it() {
        let value = json!({
            "job": "job_0", "held": "0.50", "list": [], "no": null,
            "tasks": {"total": 3}, "attempts": [{"task": 0, "node": "n 1"}, [1, [2]]],
        });
        insta::assert_snapshot!(write(&value));
        assert_eq!(write(&json!([])), "[]\n");
        assert_eq!(write(&json!("a: b")), "\"a: b\"\n");
    }

    /// A second reading of YAML, enough for what is written here.
    fn read(text: &str) -> Value {
        let mut events: Vec<Event<'_>> = Parser::new_from_str(text)
            .map(|event| event.expect("well-formed").0)
            .filter(|event| {
                !matches!(
                    event,
                    Event::StreamStart
                        | Event::StreamEnd
                        | Event::DocumentStart(_)
                        | Event::DocumentEnd
                )
            })
            .collect();
        events.reverse();
        node(&mut events)
    }

    fn node(events: &mut Vec<Event<'_>>) -> Value {
        match events.pop().expect("a node") {
            Event::Scalar(text, ScalarStyle::Plain, ..) => match &*text {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                other => serde_json::from_str(other).unwrap_or_else(|_| Value::from(other)),
            },
            Event::Scalar(text, ..) => Value::from(&*text),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                while !matches!(events.last(), Some(Event::SequenceEnd)) {
                    items.push(node(events));
                }
                events.pop();
                Value::Array(items)
            }
            Event::MappingStart(..) => {
                let mut map = serde_json::Map::new();
                while !matches!(events.last(), Some(Event::MappingEnd)) {
                    let key = node(events).as_str().expect("a text key").to_owned();
                    map.insert(key, node(events));
                }
                events.pop();
                Value::Object(map)
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text =
            prop_oneof!["\\PC{0,12}", "[a-z.:#{}\\[\\],&*!|>'\"%@` -]{0,8}", "[0-9.eE+-]{1,6}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((text.clone(), inner), 0..5)
                    .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in any_value()) {
            prop_assert_eq!(read(&write(&value)), value);
        }
    }
}
