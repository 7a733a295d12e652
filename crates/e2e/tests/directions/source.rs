//! Reading source text for names that must not be in it. Not a parser: it knows comments, text
//! literals, the test module at a file's end, and `use` lists one level deep, which is what our
//! files hold.

use std::path::{Path, PathBuf};

/// Modules of the standard library that touch the world.
const MODULES: &[&str] = &["fs", "net", "env", "process", "thread", "os"];

/// Names that bring in a clock, chance or a runtime, however they were imported. Hash tables with
/// the standard hasher go through their entries in another order in every process.
const NAMES: &[(&str, &[&str])] = &[
    ("SystemTime::now", &["SystemTime", ":", ":", "now"]),
    ("Instant::now", &["Instant", ":", ":", "now"]),
    ("tokio", &["tokio"]),
    ("rand::rng", &["rand", ":", ":", "rng"]),
    ("rand::random", &["rand", ":", ":", "random"]),
    ("HashMap with the standard hasher", &["HashMap"]),
    ("HashSet with the standard hasher", &["HashSet"]),
];

/// Hashers of the standard library.
const STANDARD_HASHERS: &[&str] = &["DefaultHasher", "SipHasher"];

/// All files of Rust below a folder, in order.
pub fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// What of the world a text names, with the line.
pub fn touches(text: &str) -> Vec<(usize, String)> {
    let words = words(without_tests(text));
    let mut found = Vec::new();
    for at in 0..words.len() {
        let line = words[at].0;
        let here = |pattern: &[&str]| {
            pattern.len() <= words.len() - at
                && pattern.iter().zip(&words[at..]).all(|(want, (_, word))| want == word)
        };
        for (name, pattern) in NAMES {
            if here(pattern) && !has_own_hasher(&words[..at], &words[at..]) {
                found.push((line, (*name).to_owned()));
            }
        }
        if here(&["std", ":", ":"]) {
            for module in heads(&words[at + 3..]) {
                if MODULES.contains(&module) {
                    found.push((line, format!("std::{module}")));
                }
            }
        }
    }
    found
}

/// Is it the one thing that may be said of a standard table: its name with a hasher of our own, as in
/// `type OwnMap<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Own>>;`?
fn has_own_hasher(before: &[(usize, &str)], words: &[(usize, &str)]) -> bool {
    let named = ["<", "K", ",", "V", ">", "=", "std", ":", ":", "collections", ":", ":"];
    let table = ["HashMap", "<", "K", ",", "V", ",", "BuildHasherDefault", "<"];
    let before: Vec<&str> = before.iter().map(|(_, word)| *word).collect();
    let words: Vec<&str> = words.iter().take(table.len() + 4).map(|(_, word)| *word).collect();
    let is_type = before.len() >= named.len() + 2
        && before.ends_with(&named)
        && before[before.len() - named.len() - 2] == "type";
    let rest = words.strip_prefix(&table[..]);
    let own = rest.is_some_and(|rest| match rest {
        [hasher, ">", ">", ";"] => !STANDARD_HASHERS.contains(hasher),
        _ => false,
    });
    is_type && own
}

/// Up to the test module, which our files have at the end if at all.
fn without_tests(text: &str) -> &str {
    let cut = text.find("#[cfg(test)]\nmod ").unwrap_or(text.len());
    &text[..cut]
}

/// The first names of what follows `std::`: one, or those of a list in braces.
fn heads(words: &[(usize, &str)]) -> Vec<&'static str> {
    let known = |word: &str| MODULES.iter().find(|module| **module == word).copied();
    if words.first().is_none_or(|(_, word)| *word != "{") {
        return words.first().and_then(|(_, word)| known(word)).into_iter().collect();
    }
    let mut depth = 0;
    let mut starts = false;
    let mut found = Vec::new();
    for (_, word) in words {
        match *word {
            "{" => {
                depth += 1;
                starts = depth == 1;
            }
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," => starts = depth == 1,
            word => {
                found.extend(known(word).filter(|_| starts));
                starts = false;
            }
        }
    }
    found
}

/// Names and single signs with their lines; comments and text literals are passed over.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut words = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            rest.find("*/").map_or(rest.len(), |end| end + 2)
        } else if first == '"' {
            literal(rest)
        } else if first.is_alphanumeric() || first == '_' {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            words.push((line, &rest[..end]));
            end
        } else {
            let end = first.len_utf8();
            if !first.is_whitespace() {
                words.push((line, &rest[..end]));
            }
            // A quote sign as a character would look like the start of a text.
            let signs = ["'\"'", "'\\\"'"];
            signs.iter().find(|sign| rest.starts_with(**sign)).map_or(end, |sign| sign.len())
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    words
}

/// How long a text literal is, quotes included.
fn literal(text: &str) -> usize {
    let mut escaped = false;
    for (at, sign) in text.char_indices().skip(1) {
        match sign {
            '\\' => escaped = !escaped,
            '"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::touches;

    fn check(text: &str, expect: &[&str]) {
        let found: Vec<String> = touches(text).into_iter().map(|(_, name)| name).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn what_touches_the_world_is_found() {
        check("use std::fs;", &["std::fs"]);
        check("use std :: net :: TcpStream ;", &["std::net"]);
        check("use std::{fmt, fs::File, env};", &["std::fs", "std::env"]);
        check("let t = std::time::Instant::now();", &["Instant::now"]);
        check("use tokio::time;", &["tokio"]);
        check("let m = std::collections::HashMap::new();", &["HashMap with the standard hasher"]);
        let map = "HashMap with the standard hasher";
        for unnamed in [
            "fn f<K, V>(m: std::collections::HashMap<K, V, BuildHasherDefault<Own>>) {}",
            "let m: HashMap<K, V, BuildHasherDefault<Own>>;",
            "type T<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<DefaultHasher>>;",
            "type T<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<a::Own>>;",
            "type T<K, V> = std::collections::HashMap<K, V>;",
        ] {
            check(unnamed, &[map]);
        }
        check("let c = '\"'; use std::env;", &["std::env"]);
        check("let c = '\\\"'; use std::env;", &["std::env"]);
    }

    #[test]
    fn what_does_not_is_left_alone() {
        check("// std::fs, tokio\n/* std::env */ let a = \"std::net \\\" tokio\";", &[]);
        check("use std::{collections::BTreeMap, fmt}; use crate::fs;", &[]);
        check("use rustc_hash::FxHashMap; fn now(instant: Time) {}", &[]);
        check("use std::{sync::{Arc, env_of}, fmt};", &[]);
        check("type T<K, V> = std::collections::HashMap<K, V, BuildHasherDefault<Own>>;", &[]);
        check("fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }", &[]);
    }

    #[test]
    fn lines_are_counted_through_comments_and_texts() {
        let text = "//! a\n/* b\n */\nlet s = \"c\nd\";\nuse std::fs;\n";
        assert_eq!(touches(text), [(6, "std::fs".to_owned())]);
    }
}
