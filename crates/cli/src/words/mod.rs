//! What people read, in English and Chinese.
//!
//! Invariant: every message exists in every language (the tables are exhaustive matches) and takes
//! the same values (by test). Data never passes through here: codes, ids, amounts and the JSON
//! and YAML outputs are the same in every language.

mod en;
mod help_zh;
mod keys;
pub mod spec;
mod spec_zh;
mod state;
mod zh;

pub use help_zh::{EXIT_CODES as EXIT_CODES_ZH, localised};
pub use keys::Word;
pub use state::state;

/// Values by the names that stand in braces in the message.
pub type Args<'a> = &'a [(&'a str, &'a str)];

/// A language people can choose.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub enum Lang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// Its code, as the exchange knows it.
    pub const fn code(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// From what a system says: `zh_CN.UTF-8` is Chinese, everything else English.
    pub fn of_locale(locale: &str) -> Self {
        if locale.to_ascii_lowercase().starts_with("zh") { Self::Zh } else { Self::En }
    }
    /// For the `Accept-Language` header.
    pub const fn tag(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }
    /// A message as it stands in the table.
    pub const fn word(self, word: Word) -> &'static str {
        match self {
            Self::En => en::text(word),
            Self::Zh => zh::text(word),
        }
    }
    /// A message with its values.
    pub fn fill(self, word: Word, args: Args<'_>) -> String {
        fill(self.word(word), args)
    }
}

/// A template with `{name}` replaced; a name without a value stays as it is, which a test forbids
/// for our own messages.
fn fill(template: &str, args: Args<'_>) -> String {
    let mut out = String::with_capacity(template.len() + 40);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        let (before, from) = rest.split_at(open);
        out.push_str(before);
        let Some(close) = from.find('}') else {
            rest = from;
            break;
        };
        let name = &from[1..close];
        match args.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => out.push_str(value),
            None => out.push_str(&from[..=close]),
        }
        rest = &from[close + 1..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn placeholders(text: &str) -> BTreeSet<&str> {
        let parts = text.split('{').skip(1);
        parts.filter_map(|part| part.split_once('}')).map(|(name, _)| name).collect()
    }

    #[test]
    fn both_languages_take_the_same_values() {
        for word in Word::ALL {
            let (en, zh) = (en::text(*word), zh::text(*word));
            assert!(!en.is_empty() && !zh.is_empty(), "{word:?} is empty");
            assert_eq!(placeholders(en), placeholders(zh), "{word:?}: `{en}` and `{zh}`");
        }
    }

    #[test]
    fn no_two_messages_share_a_meaning_by_mistake() {
        let sentences: Vec<&str> =
            Word::ALL.iter().map(|word| en::text(*word)).filter(|t| t.contains(' ')).collect();
        let unique: BTreeSet<&str> = sentences.iter().copied().collect();
        assert_eq!(unique.len(), sentences.len());
    }

    #[test]
    fn values_fill_their_places_once() {
        let check = |template: &str, expect: &str| {
            assert_eq!(fill(template, &[("a", "{b}"), ("b", "2")]), expect);
        };
        check("{a} and {b}", "{b} and 2");
        check("none", "none");
        check("{c} {", "{c} {");
    }

    #[test]
    fn the_system_names_the_language() {
        let check = |locale: &str, lang| assert_eq!(Lang::of_locale(locale), lang, "{locale}");
        check("zh_CN.UTF-8", Lang::Zh);
        check("zh", Lang::Zh);
        check("en_US.UTF-8", Lang::En);
        check("C", Lang::En);
        check("", Lang::En);
    }
}
