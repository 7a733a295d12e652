//! No text makes the parser panic, and what it says always has a place in the text.

use dayan_spec::{SpecErrors, limits, parse, parse_json, parse_yaml};
use proptest::prelude::*;

fn check(text: &str) {
    for result in [parse_yaml(text), parse_json(text), parse(text)] {
        match result {
            Ok(job) => {
                let canonical = serde_json::to_string(&job).expect("a job can be written");
                assert_eq!(serde_json::from_str(&canonical).ok(), Some(job), "{canonical}");
            }
            Err(errors) => check_errors(text, &errors),
        }
    }
}

fn check_errors(text: &str, errors: &SpecErrors) {
    assert!(!errors.errors.is_empty() && errors.errors.len() <= limits::ERRORS_MAX);
    let lines = text.split('\n').count();
    for error in &errors.errors {
        assert!((1..=lines).contains(&(error.line as usize)), "{error:?}");
        assert!(error.column >= 1);
        assert!(error.fill(error.code.message()).is_some(), "an argument is missing: {error:?}");
        assert!(error.help().is_some() || error.code.help().is_empty(), "no help: {error:?}");
    }
    let rendered = errors.render("job.yaml");
    assert!(rendered.len() < 40_000, "{} bytes of errors", rendered.len());
}

const FILES: [&str; 4] = [
    include_str!("files/film.yaml"),
    include_str!("files/llm.yaml"),
    include_str!("files/tyre.yaml"),
    include_str!("files/forecast.yaml"),
];

fn boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn garbage(text in "\\PC{0,200}") { check(&text); }

    #[test]
    fn garbage_of_yaml(text in "[a-z0-9 :,\\-\\[\\]{}'\"|>&*!#%@`~?\t\n\r\u{feff}\u{4e2d}\u{0}]{0,120}") {
        check(&text);
    }

    #[test]
    fn garbage_of_json(text in "[{}\\[\\]:,\"\\\\u0-9dn.eE+\\- \n]{0,80}") { check(&text); }

    /// Some bytes of a valid file replaced by others.
    #[test]
    fn mutated(
        file in 0usize..4, from in 0usize..900, length in 0usize..40,
        insert in "[a-z0-9 :,\\-\\[\\]{}'\".\n]{0,12}|-|0|999999999999999999999|yes|null|~|\\.\\.|中",
    ) {
        let text = FILES[file];
        let from = boundary(text, from);
        let to = boundary(text, from + length).max(from);
        check(&format!("{}{insert}{}", &text[..from], &text[to..]));
    }
}

/// Texts of full size that are known to make readers slow or deep. What stands here ends with the
/// test; a reader that took the square of the length would not, within the time tests have.
#[test]
fn texts_that_hurt() {
    let full = limits::FILE_BYTES_MAX;
    let units = [
        "[", "{", "- ", "? ", ": ", "a: ", "[a,", "{a: ", "\"", "'", "&a ", "*a ", "!a ", "\n",
        "\t", "\r", "|\n", "a\n", "a\n\n", "#\n", "--- ", "%a ", "\\", "\u{feff}", "\u{85}", "中",
        "a:\n ", "-\n", "[],", "{},", "\"a\":", "{\"a\":", "[[],", "?\n", "a: b\n", "<<: ",
        "null,", "a,",
    ];
    let starts = ["", "{\"a\":[", "version: 1\nenv:\n  "];
    for start in starts {
        for unit in units {
            let count = (full - start.len()) / unit.len();
            let text = format!("{start}{}", unit.repeat(count));
            for result in [parse_yaml(&text), parse_json(&text)] {
                check_errors(&text, &result.expect_err("no job"));
            }
        }
    }
    // Falling indentation, and keys that are all different and all unknown.
    let stairs: Vec<String> = (0..350).map(|n| format!("{}a{n}:", " ".repeat(n))).collect();
    check(&stairs.join("\n"));
    let unknown: Vec<String> = (0..4_000).map(|n| format!("key{n}: {n}")).collect();
    check(&unknown.join("\n"));
    let same: String = "run: x\n".repeat(full / 7);
    check(&same);
}
