//! Values as any version of the interface writes them. None of these fails: what is not understood is
//! not known.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::slurm::status::State;

/// A number: `7`, `"7"`, `{"set": true, "infinite": false, "number": 7}`; none where it is null, not set
/// or infinite.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Number(pub(super) Option<i64>);

/// A text: `"a"`, `["a", "b"]` (joined by commas), a number in words; empty where it is null.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Text(pub(super) String);

/// Words: `"A"`, `["A", "B"]`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Flags(pub(super) Vec<String>);

/// So much of what jobs are counted by: processors, memory, cards.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Tres {
    #[serde(rename = "type")]
    pub(super) kind: Text,
    pub(super) count: Number,
}

impl Number {
    /// As a count; 0 where it is not known.
    pub(super) fn count(self) -> u64 {
        self.0.and_then(|number| u64::try_from(number).ok()).unwrap_or(0)
    }
}

impl Flags {
    /// Is the word among them, however it is written?
    pub(super) fn has(&self, word: &str) -> bool {
        self.0.iter().any(|flag| flag.eq_ignore_ascii_case(word))
    }

    /// The state that they make together: one that is being cleaned up is not over, whatever it will be.
    pub(super) fn state(&self) -> State {
        if self.has("COMPLETING") {
            return State::Active;
        }
        let states: Vec<State> = self.0.iter().map(|word| State::parse(word)).collect();
        let over = states.iter().find(|state| state.is_over()).copied();
        let waits = states.contains(&State::Pending).then_some(State::Pending);
        let runs = (states == [State::Running]).then_some(State::Running);
        over.or(waits).or(runs).unwrap_or(State::Active)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_i64<E>(self, value: i64) -> Result<Number, E> {
        Ok(Number(Some(value)))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Number, E> {
        Ok(Number(i64::try_from(value).ok()))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Number, E> {
        // Counts and seconds: whatever has a fraction is rounded off, and no such is larger than 2^53.
        #[expect(
            clippy::cast_possible_truncation,
            reason = "saturates, which is as good as unknown"
        )]
        let whole = value as i64;
        Ok(Number(value.is_finite().then_some(whole)))
    }
    fn visit_str<E>(self, value: &str) -> Result<Number, E> {
        Ok(Number(value.trim().parse().ok()))
    }
    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }
    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number(None))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        let (mut set, mut infinite, mut number) = (true, false, Number(None));
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "set" => set = map.next_value::<Truth>()?.0,
                "infinite" => infinite = map.next_value::<Truth>()?.0,
                "number" => number = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(if set && !infinite { number } else { Number(None) })
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NumberVisitor)
    }
}

/// Yes or no; what is neither is no.
struct Truth(bool);

impl<'de> Deserialize<'de> for Truth {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Flags(words) = Flags::deserialize(from)?;
        Ok(Self(words.first().is_some_and(|word| word == "true")))
    }
}

struct FlagsVisitor;

impl<'de> Visitor<'de> for FlagsVisitor {
    type Value = Flags;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }
    fn visit_str<E>(self, value: &str) -> Result<Flags, E> {
        Ok(Flags(if value.is_empty() { Vec::new() } else { vec![value.to_owned()] }))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Flags, E> {
        Ok(Flags(vec![value.to_string()]))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Flags, E> {
        Ok(Flags(vec![value.to_string()]))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Flags, E> {
        Ok(Flags(vec![value.to_string()]))
    }
    fn visit_bool<E>(self, value: bool) -> Result<Flags, E> {
        Ok(Flags(vec![value.to_string()]))
    }
    fn visit_unit<E>(self) -> Result<Flags, E> {
        Ok(Flags::default())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Flags, A::Error> {
        let mut words = Vec::new();
        while let Some(Flags(more)) = seq.next_element()? {
            words.extend(more);
        }
        Ok(Flags(words))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Flags, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Flags::default())
    }
}

impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FlagsVisitor)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Flags::deserialize(from).map(|Flags(words)| Self(words.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_of_all_versions_are_read() {
        let check = |text: &str, expect: Option<i64>| {
            let got: Number = serde_json::from_str(text).expect("never fails");
            assert_eq!(got.0, expect, "{text}");
        };
        check("7", Some(7));
        check("-1", Some(-1));
        check("7.0", Some(7));
        check("\"7\"", Some(7));
        check(r#"{"set": true, "infinite": false, "number": 7}"#, Some(7));
        check(r#"{"number": 7}"#, Some(7));
        check(r#"{"set": false, "infinite": false, "number": 0}"#, None);
        check(r#"{"set": true, "infinite": true, "number": 0}"#, None);
        for unknown in ["null", "true", "[]", "[1]", "{}", "\"x\"", "18446744073709551615"] {
            check(unknown, None);
        }
    }

    #[test]
    fn states_are_strings_or_lists() {
        let check = |text: &str, expect| {
            let got: Flags = serde_json::from_str(text).expect("never fails");
            assert_eq!(got.state(), expect, "{text}");
        };
        check("\"RUNNING\"", State::Running);
        check("\"PREEMPTED\"", State::Preempted);
        check(r#"["COMPLETED"]"#, State::Completed);
        check(r#"["CANCELLED", "COMPLETING"]"#, State::Active);
        check(r#"["PENDING", "REQUEUED"]"#, State::Pending);
        check(r#"["RUNNING", "CONFIGURING"]"#, State::Active);
        check(r#"["FAILED", "LAUNCH_FAILED"]"#, State::Failed);
        for unknown in ["null", "7", "{}", "[]", "[[]]", "\"\"", r#"["NEWFANGLED"]"#] {
            check(unknown, State::Active);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_json_is_read(number: i32, text: String, truth: bool) {
            let values = [
                serde_json::json!(number), serde_json::json!(text), serde_json::json!(truth),
                serde_json::json!([number, [text], {"number": truth}]),
                serde_json::json!({"number": {"number": text}, "set": number, "infinite": [truth]}),
            ];
            for value in values {
                prop_assert!(Number::deserialize(&value).is_ok());
                prop_assert!(Text::deserialize(&value).is_ok());
                prop_assert!(Flags::deserialize(&value).is_ok());
            }
        }
    }
}
